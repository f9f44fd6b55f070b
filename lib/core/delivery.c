/* delivery.c: see delivery.h. */
#include "core/delivery.h"

#include "core/fetch.h"
#include "wire/str.h"

void imi_delivery_start(imagine_request_t *request) {
    const imagine_result_t *result = &request->result;
    if (request->params.want_bytes != 0 && !atomic_load(&request->has_ended) &&
        result->url != NULL && !imi_text_starts_with(result->url, "data:"))
        imi_fetch_result(request);
    else
        imi_request_succeed(request);
}

void imi_delivery_stop(imagine_request_t *request) {
    request->delivery = NULL;
}
