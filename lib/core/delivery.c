/* delivery.c: see delivery.h. The addresses of a result are gone through one after the other:
 *
 *   data:, http(s)  --hosting is on--------------> our address
 *   http(s)         --IMAGINE_FORMAT_DATA--------> data:
 *   all else stays as it is
 *
 * What fails is told to the log, and the provider's own address stays: a result that was paid for
 * is never lost for want of a better address. */
#include "core/delivery.h"

#include <inttypes.h>
#include <string.h>

#include "core/fetch.h"
#include "core/hosting.h"
#include "core/log.h"
#include "wire/dataurl.h"
#include "wire/str.h"

typedef struct imi_delivery {
    imagine_request_t *request;
    const char **urls; /* in the request's arena */
    size_t url_count;
    size_t index; /* of the one under way */
    imi_upload_t *upload;
} delivery_t;

static void next(delivery_t *delivery);
static void on_hosted(int error, const char *text, void *user);
static void on_fetched(imi_exchange_t *exchange);

static bool is_data(const char *url) {
    return imi_text_starts_with(url, "data:");
}

static bool is_wanted(const imagine_request_t *request, const char *url) {
    if (request->params.response_format == IMAGINE_FORMAT_DATA)
        return !is_data(url);
    return imi_hosting_is_on(request->im);
}

static bool set_urls(delivery_t *delivery, const imagine_result_t *result) {
    size_t count = result->urls != NULL ? result->url_count : 1;
    delivery->urls = imi_arena_alloc(&delivery->request->arena, count * sizeof(*delivery->urls));
    if (delivery->urls == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        delivery->urls[i] = result->urls != NULL ? result->urls[i] : result->url;
    delivery->url_count = count;
    return true;
}

/* Of a task's reader nobody looks at the request's result, but at what the call has left. */
static void keep_urls(const delivery_t *delivery) {
    imagine_request_t *request = delivery->request;
    imagine_result_t *results[] = {request->kept->result, &request->result};
    size_t count = atomic_load(&request->has_ended) ? 1 : 2;
    for (size_t i = 0; i < count; i++) {
        results[i]->url = delivery->urls[0];
        results[i]->url_size = strlen(delivery->urls[0]);
        if (results[i]->urls != NULL)
            results[i]->urls = delivery->urls;
    }
}

void imi_delivery_start(imagine_request_t *request) {
    const imagine_result_t *result = request->kept->result;
    bool has_ended = atomic_load(&request->has_ended);
    delivery_t *delivery;
    if (result->url == NULL) {
        imi_request_succeed(request);
        return;
    }
    if (request->params.want_bytes != 0 && !has_ended) { /* bytes need no address */
        if (is_data(result->url))
            imi_request_succeed(request);
        else
            imi_fetch_result(request);
        return;
    }
    if (!is_wanted(request, result->url)) {
        imi_request_succeed(request);
        return;
    }
    delivery = imi_mem_zalloc(&request->mem, sizeof(*delivery));
    if (delivery == NULL) {
        imi_request_succeed(request);
        return;
    }
    delivery->request = request;
    request->delivery = delivery;
    if (set_urls(delivery, result)) {
        next(delivery);
    } else {
        imi_delivery_stop(request);
        imi_request_succeed(request);
    }
}

void imi_delivery_stop(imagine_request_t *request) {
    delivery_t *delivery = request->delivery;
    if (delivery == NULL)
        return;
    request->delivery = NULL;
    if (delivery->upload != NULL)
        imi_hosting_cancel(delivery->upload);
    if (request->is_fetching)
        imi_exchange_reset(&request->fetch);
    request->is_fetching = false;
    if (delivery->url_count > 0)
        keep_urls(delivery);
    imi_mem_free(&request->mem, delivery);
}

static void log_failure(const delivery_t *delivery, const char *event, const char *reason) {
    const imagine_request_t *request = delivery->request;
    imi_log(request->im, IMAGINE_LOG_WARN, "%s provider=%s request=%" PRIu32 " reason=\"%s\"",
            event, request->provider->name, request->number, reason);
    imi_trace(request, "%s", event);
}

static int host(delivery_t *delivery, const char *url) {
    imagine_t *im = delivery->request->im;
    imi_dataurl_t parts;
    if (!is_data(url))
        return imi_hosting_copy(im, url, on_hosted, delivery, &delivery->upload);
    if (!imi_dataurl_parse(imi_slice_of(url), &parts) || !parts.is_base64)
        return IMAGINE_EPROTOCOL;
    return imi_hosting_put(im, parts.payload, true, on_hosted, delivery, &delivery->upload);
}

/* The next address that is to be another one; behind the last one the request ends. */
static void next(delivery_t *delivery) {
    imagine_request_t *request = delivery->request;
    for (; delivery->index < delivery->url_count; delivery->index++) {
        const char *url = delivery->urls[delivery->index];
        bool is_hosted = request->params.response_format != IMAGINE_FORMAT_DATA;
        uint64_t size_max = request->action == IMI_VIDEO ? IMI_VIDEO_SIZE_MAX : IMI_IMAGE_SIZE_MAX;
        int err;
        if (!is_wanted(request, url))
            continue;
        err =
            is_hosted ? host(delivery, url) : imi_fetch_address(request, url, size_max, on_fetched);
        if (err == 0)
            return;
        log_failure(delivery, is_hosted ? "hosting.failed" : "result.not_fetched",
                    imagine_strerror(err));
    }
    imi_delivery_stop(request);
    imi_request_succeed(request);
}

static void on_hosted(int error, const char *text, void *user) {
    delivery_t *delivery = user;
    imagine_request_t *request = delivery->request;
    char *url = error == 0 ? imi_arena_strdup(&request->arena, text) : NULL;
    delivery->upload = NULL;
    if (url != NULL) {
        delivery->urls[delivery->index] = url;
        imi_trace(request, "hosting.done");
    } else {
        log_failure(delivery, "hosting.failed",
                    error != 0 ? text : imagine_strerror(IMAGINE_ENOMEM));
    }
    delivery->index++;
    next(delivery);
}

/* A data: address of what came; NULL: what is wrong with it stands in *out_reason. */
static const char *encode(imagine_request_t *request, const imi_exchange_t *exchange,
                          const char **out_reason) {
    const imi_buf_t *answer = &exchange->answer;
    const char *mime = imi_sniff_mime(answer->data, answer->size);
    const char *url = NULL;
    imi_buf_t buf;
    *out_reason = imagine_strerror(exchange->error != 0 ? exchange->error : IMAGINE_ENOMEM);
    if (exchange->error != 0 && exchange->message != NULL)
        *out_reason = exchange->message;
    else if (exchange->error == 0 && exchange->status != 200)
        *out_reason = "the result's address did not answer 200";
    else if (exchange->error == 0 && mime == NULL)
        *out_reason = "neither a picture nor a video";
    if (exchange->error != 0 || exchange->status != 200 || mime == NULL)
        return NULL;
    imi_buf_init(&buf, &request->mem, 0);
    if (imi_dataurl_encode(&buf, mime, answer->data, answer->size) == 0)
        url = imi_arena_strndup(&request->arena, buf.data, buf.size);
    imi_buf_reset(&buf);
    return url;
}

static void on_fetched(imi_exchange_t *exchange) {
    imagine_request_t *request = exchange->user;
    delivery_t *delivery = request->delivery;
    const char *reason, *url = encode(request, exchange, &reason);
    request->is_fetching = false;
    if (url != NULL)
        delivery->urls[delivery->index] = url;
    else
        log_failure(delivery, "result.not_fetched", reason);
    imi_exchange_reset(exchange);
    delivery->index++;
    next(delivery);
}
