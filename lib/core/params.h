/* params.h: parameters copied, read from JSON, checked, and made whole by the catalogue. */
#ifndef IMI_CORE_PARAMS_H
#define IMI_CORE_PARAMS_H

#include "core/request.h"

#define IMI_PARAMS_DEPTH_MAX 64
#define IMI_SEED_MAX 2147483646 /* what every provider takes */

/* Copies the caller's struct into the request (shorter ones: the rest is zero). 0, IMAGINE_EINVAL
 * (the size), IMAGINE_ENOMEM. */
int imi_params_copy(imagine_request_t *request, const imagine_params_t *params);
/* Pictures behind those that are there already; borrowed: until the provider took them.
 * IMAGINE_EINVAL: a struct's size, or too many. */
int imi_params_add_images(imagine_request_t *request, const imagine_image_t *images, size_t count,
                          bool is_borrowed);
/* Reads the JSON body of an action. IMAGINE_EINVAL: *out_message (in the arena) names the field. */
int imi_params_read(imagine_request_t *request, imi_slice_t json, const char **out_message);

/* What was asked for, as JSON that imi_params_read() takes; free with imi_mem_free(). NULL: not
 * possible (pictures that came as bytes), or no memory. */
char *imi_params_write(const imagine_request_t *request);

/* Bounds of every field, and what the action needs. 0 or IMAGINE_EINVAL. */
int imi_params_check(imagine_request_t *request, const char **out_message);
/* Provider, model, size, steps, guidance, seed, texts. 0, IMAGINE_EPROVIDER, IMAGINE_EACTION,
 * IMAGINE_EINVAL, IMAGINE_ENOMEM. */
int imi_params_resolve(imagine_request_t *request, const char **out_message);

#endif
