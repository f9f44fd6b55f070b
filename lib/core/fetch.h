/* fetch.h: what the library itself fetches, beside asking providers. */
#ifndef IMI_CORE_FETCH_H
#define IMI_CORE_FETCH_H

#include "core/request.h"

/* Decodes, fetches and checks the request's pictures, one after the other; then `on_pictures`, or
 * the request fails. */
void imi_fetch_pictures(imagine_request_t *request, void (*on_pictures)(imagine_request_t *));
/* Starts request->fetch: 0, or an error and nothing was started. */
int imi_fetch_address(imagine_request_t *request, const char *url, uint64_t size_max,
                      imi_exchange_cb on_done);
/* Downloads the result's address into the request's bytes, which ends it. */
void imi_fetch_result(imagine_request_t *request);

#endif
