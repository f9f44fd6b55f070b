/* delivery.h: a result on its way from the provider to the caller: its bytes fetched where the
 * caller wants them. */
#ifndef IMI_CORE_DELIVERY_H
#define IMI_CORE_DELIVERY_H

#include "core/request.h"

/* The provider's result stands in the request: makes of it what the caller wants, then ends the
 * request (imi_request_succeed, imi_request_fail), at once or later. While `request->delivery` is
 * not NULL it is under way. */
void imi_delivery_start(imagine_request_t *request);
/* Leaves it: what is there of the result stays as it is. Harmless when none is under way. */
void imi_delivery_stop(imagine_request_t *request);

#endif
