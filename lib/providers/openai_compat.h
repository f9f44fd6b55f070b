/* openai_compat.h: what half of the providers speak as OpenAI once did: chat completions for texts,
 * and answers with pictures in data[]. */
#ifndef IMI_PROVIDERS_OPENAI_COMPAT_H
#define IMI_PROVIDERS_OPENAI_COMPAT_H

#include <stdbool.h>
#include <stdint.h>

#include "imagine/provider.h"

/* The text action: posts the catalogue's "instruction" and the prompt to `url`, as a stream when
 * the caller wants pieces. The end of either goes to `on_written`: the function below, or the
 * provider's own, which ends with it. The call's state is taken. */
void imi_openai_compat_text(imagine_call_t *call, const char *url, int32_t auth,
                            imagine_response_cb on_written);
/* Ends the call with what the model wrote. */
void imi_openai_compat_on_written(imagine_call_t *call, const imagine_http_response_t *response);

/* Ends the call with all pictures of data[], addresses or base64. */
void imi_openai_compat_on_pictured(imagine_call_t *call, const imagine_http_response_t *response);
/* The same, but for the end: fills `out`, with a size too if the picture itself tells it. false:
 * there is no picture, and the call has ended. */
bool imi_openai_compat_read_pictures(imagine_call_t *call, const imagine_http_response_t *response,
                                     imagine_result_t *out);

/* Is there an "error" in it that is none of null? */
bool imi_openai_compat_has_error(const imagine_http_response_t *response);
/* The answer's "usage" object; NULL: none. */
const char *imi_openai_compat_usage(const imagine_http_response_t *response);
/* Nothing but white space, or NULL. */
bool imi_openai_compat_is_blank(const char *text);

#endif
