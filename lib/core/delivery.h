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
/* Leaves it: what is there of the result stays as it is. Harmless when none is under way. */
void imi_delivery_stop(imagine_request_t *request);

#endif
