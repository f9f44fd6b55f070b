/* delivery.h: a result on its way from the provider to the caller: hosted where hosting is
 * configured, turned into what params.response_format asks for, its bytes fetched where the caller
 * wants them. */
#ifndef IMI_CORE_DELIVERY_H
#define IMI_CORE_DELIVERY_H

#include "core/request.h"

/* The provider's result stands in the request: makes of it what the caller wants, then ends the
 * request (imi_request_succeed, imi_request_fail), at once or later. While `request->delivery` is
 * not NULL it is under way, also when the caller has left: the work was paid for. */
void imi_delivery_start(imagine_request_t *request);
/* Leaves it: what is there of the result stays as it is; a picture that is in a file alone is lost
 * and the result with it (imi_request_succeed knows). Harmless when none is under way. */
void imi_delivery_stop(imagine_request_t *request);
/* Time is up: the request ends with what there is, as soon as what is in files has been read; once,
 * and within IMI_HURRY_MS, or it is up to the caller. */
#define IMI_HURRY_MS 10000
void imi_delivery_hurry(imagine_request_t *request);
bool imi_delivery_is_hurried(const imagine_request_t *request);
/* Is one of its pictures in a file alone, which may still be read? */
bool imi_delivery_waits_for_file(const imagine_request_t *request);

#endif
