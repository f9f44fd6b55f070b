/* delivery.c: see delivery.h. The addresses of a result are gone through one after the other:
 *
 *   data:, http(s)  --hosting is on--------------> our address
 *   http(s)         --IMAGINE_FORMAT_DATA--------> data:
 *   a picture in a file (aside.h) --it cannot be hosted--> data:
 *   all else stays as it is
 *
 * What fails is told to the log, and the provider's own address stays: a result that was paid for
 * is never lost for want of a better address. */
#include "core/delivery.h"

#include <inttypes.h>
#include <string.h>

#include "core/aside.h"
#include "core/fetch.h"
#include "core/hosting.h"
#include "core/log.h"
#include "wire/base64.h"
#include "wire/dataurl.h"
#include "wire/str.h"

typedef struct imi_delivery {
    imagine_request_t *request;
    const char **urls; /* in the request's arena */
    size_t url_count;
    size_t index; /* of the one under way */
    imi_upload_t *upload;
    uint64_t hurried_until_ms; /* not 0: nothing is hosted or fetched any more */
    imi_spool_t *spool;        /* is read back; NULL: none */
    imi_buf_t whole;           /* its data: address, as far as it was read */
    uint64_t read_size;
} delivery_t;

static void next(delivery_t *delivery);
static void on_hosted(int error, const char *text, void *user);
static void on_fetched(imi_exchange_t *exchange);
static void restore(delivery_t *delivery, imi_spool_t *spool);

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

static bool has_files(const delivery_t *delivery) {
    for (size_t i = delivery->index; i < delivery->url_count; i++)
        if (imi_aside_find(delivery->request->kept, delivery->urls[i]) != NULL)
            return true;
    return false;
}

/* Of a task's reader nobody looks at the request's result, but at what the call has left. */
static void keep_urls(const delivery_t *delivery) {
    imagine_request_t *request = delivery->request;
    imagine_result_t *results[] = {request->kept->result, &request->result};
    size_t count = atomic_load(&request->has_ended) ? 1 : 2;
    for (size_t i = 0; i < count; i++) {
        results[i]->url = delivery->urls[0];
        results[i]->url_size = strlen(delivery->urls[0]);
        results[i]->urls = delivery->url_count > 1 ? delivery->urls : NULL;
        results[i]->url_count = delivery->url_count > 1 ? delivery->url_count : 0;
    }
}

/* No memory to deliver it otherwise than it is. */
static void deliver_as_it_is(imagine_request_t *request) {
    if (request->kept->aside == NULL) {
        imi_request_succeed(request);
        return;
    }
    request->kept->result = NULL;
    imi_aside_reset(request->kept);
    imi_request_fail(request, IMAGINE_ENOMEM, NULL);
}

void imi_delivery_start(imagine_request_t *request) {
    const imagine_result_t *result = request->kept->result;
    bool has_ended = atomic_load(&request->has_ended);
    delivery_t *delivery;
    if (!imi_aside_is_in_result(request->kept))
        imi_aside_reset(request->kept);
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
        deliver_as_it_is(request);
        return;
    }
    delivery->request = request;
    request->delivery = delivery;
    if (set_urls(delivery, result)) {
        next(delivery);
    } else {
        request->delivery = NULL;
        imi_mem_free(&request->mem, delivery);
        deliver_as_it_is(request);
    }
}

static void stop_transfer(delivery_t *delivery) {
    imagine_request_t *request = delivery->request;
    if (delivery->upload != NULL)
        imi_hosting_cancel(delivery->upload);
    delivery->upload = NULL;
    if (request->is_fetching)
        imi_exchange_reset(&request->fetch);
    request->is_fetching = false;
}

void imi_delivery_stop(imagine_request_t *request) {
    delivery_t *delivery = request->delivery;
    if (delivery == NULL)
        return;
    request->delivery = NULL;
    stop_transfer(delivery);
    if (delivery->spool != NULL)
        imi_spool_leave(delivery->spool);
    if (has_files(delivery))
        request->kept->result = NULL;
    else
        keep_urls(delivery);
    imi_aside_reset(request->kept);
    imi_mem_free(&request->mem, delivery);
}

void imi_delivery_hurry(imagine_request_t *request) {
    delivery_t *delivery = request->delivery;
    delivery->hurried_until_ms = imi_now_ms(request->im) + IMI_HURRY_MS;
    stop_transfer(delivery);
    if (delivery->spool == NULL)
        next(delivery);
}

bool imi_delivery_is_hurried(const imagine_request_t *request) {
    return request->delivery->hurried_until_ms != 0;
}

bool imi_delivery_waits_for_file(const imagine_request_t *request) {
    const delivery_t *delivery = request->delivery;
    return has_files(delivery) && (delivery->hurried_until_ms == 0 ||
                                   imi_now_ms(request->im) < delivery->hurried_until_ms);
}

static void log_failure(const delivery_t *delivery, const char *event, const char *reason) {
    const imagine_request_t *request = delivery->request;
    imi_log(request->im, IMAGINE_LOG_WARN, "%s provider=%s request=%" PRIu32 " reason=\"%s\"",
            event, request->provider->name, request->number, reason);
    imi_trace(request, "%s", event);
}

static int host(delivery_t *delivery, const char *url, imi_spool_t *spool) {
    imagine_t *im = delivery->request->im;
    imi_dataurl_t parts;
    if (spool != NULL)
        return imi_hosting_put_spool(im, spool, on_hosted, delivery, &delivery->upload);
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
        imi_spool_t *spool = imi_aside_find(request->kept, url);
        bool is_hosted = request->params.response_format != IMAGINE_FORMAT_DATA;
        uint64_t size_max = request->action == IMI_VIDEO ? IMI_VIDEO_SIZE_MAX : IMI_IMAGE_SIZE_MAX;
        bool is_hurried = delivery->hurried_until_ms != 0;
        int err = 0;
        if (!is_hurried && !is_wanted(request, url))
            continue;
        if (!is_hurried) {
            err = is_hosted ? host(delivery, url, spool)
                            : imi_fetch_address(request, url, size_max, on_fetched);
            if (err == 0)
                return;
            log_failure(delivery, is_hosted ? "hosting.failed" : "result.not_fetched",
                        imagine_strerror(err));
        }
        if (spool != NULL) {
            restore(delivery, spool);
            return;
        }
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
        imi_spool_t *spool = imi_aside_find(request->kept, delivery->urls[delivery->index]);
        log_failure(delivery, "hosting.failed",
                    error != 0 ? text : imagine_strerror(IMAGINE_ENOMEM));
        if (spool != NULL) {
            restore(delivery, spool);
            return;
        }
    }
    delivery->index++;
    next(delivery);
}

/* ---- a picture in a file becomes a data: address ------------------------------------------------
 */

static void on_settled(imi_spool_t *spool, void *user);
static void restore_more(delivery_t *delivery);
static void on_read(int64_t result, const void *data, void *user);

static void restore(delivery_t *delivery, imi_spool_t *spool) {
    delivery->spool = spool;
    delivery->whole = (imi_buf_t){.data = NULL};
    delivery->read_size = 0;
    if (imi_spool_is_settled(spool))
        restore_more(delivery);
    else
        imi_spool_watch(spool, on_settled, delivery);
}

static void on_settled(imi_spool_t *spool, void *user) {
    if (!imi_spool_is_settled(spool))
        return;
    imi_spool_leave(spool);
    restore_more(user);
}

static void lose(delivery_t *delivery, int error) {
    imagine_request_t *request = delivery->request;
    imi_delivery_stop(request);
    imi_request_fail(request, error, "a picture could not be read back from its file");
}

/* A buffer in the request's arena, with room for all of it: "data:…;base64," as the provider's
 * code has it, and the letters. */
static bool begin_whole(delivery_t *delivery) {
    const char *url = delivery->urls[delivery->index];
    imi_buf_t *whole = &delivery->whole;
    size_t head_size = (size_t)(strchr(url, ',') - url) + 1;
    whole->size_max = head_size + imi_base64_encoded_size((size_t)delivery->spool->size);
    whole->capacity = whole->size_max + 1;
    whole->data = imi_arena_alloc(&delivery->request->arena, whole->capacity);
    return whole->data != NULL && imi_buf_append(whole, url, head_size) == 0;
}

static void restore_more(delivery_t *delivery) {
    imi_spool_t *spool = delivery->spool;
    int err = spool->error;
    if (err == 0 && delivery->whole.data == NULL && !begin_whole(delivery))
        err = IMAGINE_ENOMEM;
    if (err == 0 && spool->file == NULL) {
        imi_base64_encode(&delivery->whole, spool->memory.data, spool->memory.size);
        delivery->read_size = spool->size;
    }
    if (err == 0 && delivery->read_size < spool->size) {
        err = imi_spool_read(spool, delivery->read_size, on_read, delivery);
        if (err == 0)
            return;
    }
    if (err != 0) {
        lose(delivery, err);
        return;
    }
    delivery->spool = NULL;
    delivery->urls[delivery->index++] = delivery->whole.data;
    next(delivery);
}

static void on_read(int64_t result, const void *data, void *user) {
    delivery_t *delivery = user;
    size_t size = result > 0 ? (size_t)result : 0;
    if (delivery->read_size + size < delivery->spool->size)
        size -= size % 3; /* padding stands at the end alone */
    if (size == 0 || delivery->read_size + size > delivery->spool->size) {
        lose(delivery, result < 0 ? (int)result : IMAGINE_EIO);
        return;
    }
    imi_base64_encode(&delivery->whole, data, size);
    delivery->read_size += size;
    restore_more(delivery);
}

/* ---- an address becomes a data: address ---------------------------------------------------------
 */

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
