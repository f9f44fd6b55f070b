/* exchange.c: the life of an exchange, from the head that the host gives us to its release. */
#include "gateway/exchange.h"

#include <string.h>

#include "gateway/answer.h"
#include "gateway/head.h"
#include "gateway/inspect.h"
#include "gateway/journal.h"

static imagine_exchange_t *new_exchange(imagine_gateway_t *gateway,
                                        const imagine_gateway_request_t *request);
static void judge_head(imagine_exchange_t *exchange, const imagine_gateway_request_t *request);
static void on_counted(const imi_limit_verdict_t *verdict, void *user);
static void await_body(imagine_exchange_t *exchange);
static void start_body_timer(imagine_gateway_t *gateway);
static void on_body_time(void *user);
static void carry_out_when_ready(imagine_exchange_t *exchange);

#define JOB_WAIT_MAX_S 600 /* longer than that no proxy keeps a request */

static const imi_refusal_t draining = {503, IMAGINE_ECLOSED, "Service Unavailable",
                                       "the server is shutting down"};
static const imi_refusal_t busy = {503, IMAGINE_EBUSY, "Service Unavailable",
                                   "too many requests are in flight"};
static const imi_refusal_t not_found = {404, IMAGINE_ENOTFOUND, "Not Found",
                                        "there is nothing at this path"};
static const imi_refusal_t wrong_method = {405, IMAGINE_ENOTSUP, "Method Not Allowed",
                                           "this path does not take this method: see Allow"};
static const imi_refusal_t too_often = {429, IMAGINE_ERATE, "Too Many Requests",
                                        "too many requests in this minute: see Retry-After"};
static const imi_refusal_t too_large = {413, IMAGINE_ETOOLARGE, "Payload Too Large",
                                        "the body is larger than allowed"};
static const imi_refusal_t compressed = {415, IMAGINE_ENOTSUP, "Unsupported Media Type",
                                         "a compressed body is not understood: send it as it is"};
static const imi_refusal_t too_slow = {408, IMAGINE_ETIMEDOUT, "Request Timeout",
                                       "the body did not arrive within 30 seconds"};
static const imi_refusal_t out_of_memory = {503, IMAGINE_ENOMEM, "Out of memory",
                                            "there is no memory for this request now"};

/* ---- begin -------------------------------------------------------------------------------------
 */

int imagine_gateway_begin(imagine_gateway_t *gateway, const imagine_gateway_request_t *request,
                          const imagine_gateway_responder_t *responder, void *user,
                          imagine_exchange_t **out) {
    imagine_exchange_t *exchange;
    *out = NULL;
    if (request->size < sizeof(*request) || responder->size < sizeof(*responder))
        return IMAGINE_EINVAL;
    exchange = new_exchange(gateway, request);
    if (exchange == NULL)
        return IMAGINE_ENOMEM;
    exchange->responder = responder;
    exchange->user = user;
    *out = exchange; /* before anything is answered: the host may want to release it there */
    judge_head(exchange, request);
    return 0;
}

/* Sixteen hex digits, unpredictable enough to be unique among processes: SplitMix64's step. */
static void set_id(imagine_gateway_t *gateway, char out[IMI_EXCHANGE_ID_SIZE + 1]) {
    static const char digits[] = "0123456789abcdef";
    const imagine_io_t *io = gateway->io;
    uint64_t id = ++gateway->last_id;
    if (gateway->id_count == 0 && io->random(io->context, gateway->ids, sizeof(gateway->ids)) == 0)
        gateway->id_count = sizeof(gateway->ids) / sizeof(gateway->ids[0]);
    if (gateway->id_count > 0)
        id = gateway->ids[--gateway->id_count];
    for (int i = 0; i < IMI_EXCHANGE_ID_SIZE; i++)
        out[i] = digits[id >> (60 - 4 * i) & 15];
    out[IMI_EXCHANGE_ID_SIZE] = '\0';
}

static void copy_method(imagine_exchange_t *exchange, const char *method) {
    size_t size = strlen(method);
    if (size > sizeof(exchange->method_name) - 1)
        size = sizeof(exchange->method_name) - 1;
    memcpy(exchange->method_name, method, size);
    exchange->method = imi_method_from_name(method);
}

/* One allocation: the struct and the target behind it. */
static imagine_exchange_t *new_exchange(imagine_gateway_t *gateway,
                                        const imagine_gateway_request_t *request) {
    imi_slice_t target = imi_slice_of(request->target), path, query;
    const imi_refusal_t *refusal = imi_gateway_target_read(target, &path, &query);
    imagine_exchange_t *exchange =
        imi_mem_alloc(gateway->mem, sizeof(*exchange) + path.size + query.size + 2);
    if (exchange == NULL)
        return NULL;
    memset(exchange, 0, sizeof(*exchange));
    exchange->gateway = gateway;
    exchange->mem = gateway->mem;
    exchange->refusal = refusal;
    exchange->path_size = path.size;
    exchange->query_size = query.size;
    memcpy(exchange->target, path.data, path.size);
    exchange->target[path.size] = '\0';
    memcpy(exchange->target + path.size + 1, query.data, query.size);
    exchange->target[path.size + 1 + query.size] = '\0';
    copy_method(exchange, request->method != NULL ? request->method : "");
    set_id(gateway, exchange->id);
    imi_buf_init(&exchange->text, exchange->mem, 0);
    imi_list_init(&exchange->awaited);
    exchange->route = imi_route_find(imi_exchange_path(exchange), exchange->method);
    exchange->began_at_ms = gateway->io->now_ms(gateway->io->context);
    gateway->in_flight++;
    imi_answer_header(exchange, "X-Request-Id", exchange->id);
    imi_answer_header(exchange, "X-Content-Type-Options", "nosniff");
    imi_answer_header(exchange, "X-Frame-Options", "DENY");
    imi_answer_header(exchange, "Referrer-Policy", "no-referrer");
    return exchange;
}

/* ---- the head ----------------------------------------------------------------------------------
 */

static void put_cors(imagine_exchange_t *exchange, imi_slice_t origin) {
    imagine_header_t headers[IMI_CORS_HEADERS_MAX];
    size_t count = imi_cors_headers(&exchange->gateway->cors, origin,
                                    exchange->method == IMI_OPTIONS, headers);
    for (size_t i = 0; i < count; i++)
        imi_answer_header(exchange, headers[i].name, headers[i].value);
}

static void refuse_and_close(imagine_exchange_t *exchange, const imi_refusal_t *refusal) {
    exchange->wants_close = true;
    imi_answer_refuse(exchange, refusal);
}

int imi_exchange_refuse(imagine_gateway_t *gateway, const imi_refusal_t *refusal,
                        const imagine_gateway_responder_t *responder, void *user,
                        imagine_exchange_t **out) {
    imagine_gateway_request_t unread = {.size = sizeof(unread), .method = "-", .target = "/"};
    imagine_exchange_t *exchange = new_exchange(gateway, &unread);
    *out = exchange;
    if (exchange == NULL)
        return IMAGINE_ENOMEM;
    exchange->responder = responder;
    exchange->user = user;
    refuse_and_close(exchange, refusal);
    return 0;
}

static bool is_static(const imi_route_t *route) {
    return route->carry_out == imi_exchange_serve_file;
}

static const imi_refusal_t *check_method(imagine_exchange_t *exchange) {
    if (exchange->route->carry_out == NULL)
        return &not_found;
    if (imi_route_takes(exchange->route, exchange->method))
        return NULL;
    if (is_static(exchange->route) && exchange->file == NULL)
        return &not_found;
    imi_answer_header(exchange, "Allow", imi_route_allow(exchange->route));
    return &wrong_method;
}

/* What a name of media stands for never changes; it goes after a day. */
static const char *cache_control(const imi_route_t *route) {
    return route->carry_out == imi_media_serve ? "private, max-age=86400, immutable"
           : is_static(route)                  ? "no-cache"
                                               : "no-store";
}

/* A file, or for a browser that goes to some place of the page's own the page itself. */
static void find_file(imagine_exchange_t *exchange, const imi_gateway_head_t *head) {
    const imi_static_t *files = &exchange->gateway->files;
    exchange->file = imi_static_find(files, imi_exchange_path(exchange));
    if (exchange->file == NULL && imi_static_is_navigation(head->accept, head->fetch_mode))
        exchange->file = imi_static_find(files, IMI_SLICE("/"));
    exchange->is_not_modified =
        exchange->file != NULL && imi_static_has_tag(head->if_none_match, exchange->file->etag);
}

/* How the body is to be read; what is wrong with it is told once the limiter has counted. */
static void plan_body(imagine_exchange_t *exchange, const imi_gateway_head_t *head) {
    imi_body_plan_t plan;
    exchange->refusal = imi_body_plan(&plan, head->content_type, head->content_length,
                                      exchange->gateway->body_size_max);
    if (exchange->refusal == NULL && head->is_compressed)
        exchange->refusal = &compressed; /* RFC 9110, section 15.5.16 */
    if (exchange->refusal != NULL)
        return;
    exchange->body = imi_gateway_body_new(exchange->mem, &plan);
    if (exchange->body == NULL)
        exchange->refusal = &out_of_memory;
}

static const imi_refusal_t *check_caller(imagine_exchange_t *exchange,
                                         const imagine_gateway_request_t *request,
                                         const imi_gateway_head_t *head, imi_caller_t *caller) {
    const char *fingerprint = NULL;
    const imi_refusal_t *refusal;
    imi_caller_find(caller, exchange->gateway->trusted_proxies, request->peer, request->headers,
                    request->header_count, head->is_forwarded);
    refusal = imi_auth_check(&exchange->gateway->auth, exchange->route->who, head->authorization,
                             caller->is_local, &fingerprint);
    if (fingerprint != NULL)
        imi_caller_set_token(caller, fingerprint);
    return refusal;
}

/* RFC 7240: "respond-async" and "wait=20" among others, in any order. */
static void read_preference(imagine_exchange_t *exchange, imi_slice_t prefer) {
    imi_slice_t item;
    while (imi_slice_split(&prefer, ',', &item)) {
        uint64_t seconds = 0;
        item = imi_slice_trim(item);
        if (imi_slice_equals_nocase(item, "respond-async"))
            exchange->wants_job = true;
        if (item.size <= 5 || !imi_slice_equals_nocase((imi_slice_t){item.data, 5}, "wait="))
            continue;
        for (size_t i = 5; i < item.size && item.data[i] >= '0' && item.data[i] <= '9'; i++)
            seconds = seconds < JOB_WAIT_MAX_S ? seconds * 10 + (uint64_t)(item.data[i] - '0')
                                               : JOB_WAIT_MAX_S;
        exchange->job_wait_ms =
            (uint32_t)(1000 * (seconds < JOB_WAIT_MAX_S ? seconds : JOB_WAIT_MAX_S));
    }
}

/* Every reason in the head to go no further, in the order of http-api.md: framing, CORS, shutting
 * down, who calls, what, how often, and how large. */
static void judge_head(imagine_exchange_t *exchange, const imagine_gateway_request_t *request) {
    imagine_gateway_t *gateway = exchange->gateway;
    const imagine_io_t *io = gateway->io;
    const imi_refusal_t *refusal;
    imi_gateway_head_t head;
    imi_caller_t caller;
    refusal = imi_gateway_head_read(&head, request->headers, request->header_count);
    read_preference(exchange, head.prefer);
    exchange->wants_events = imi_text_has_nocase(head.accept, "text/event-stream");
    /* HTTP/2 has neither length nor chunks of need: imagine_gateway_finish() tells the end. */
    exchange->body_left = head.content_length;
    if (!head.is_chunked && head.content_length < 0 && exchange->method != IMI_POST)
        exchange->body_left = 0;
    exchange->has_body = exchange->body_left != 0;
    exchange->range = imi_media_read_range(head.range);
    imi_answer_header(exchange, "Cache-Control", cache_control(exchange->route));
    if (imi_route_is_api(exchange->route))
        put_cors(exchange, head.origin);
    if (exchange->refusal != NULL || refusal != NULL) {
        refuse_and_close(exchange, exchange->refusal != NULL ? exchange->refusal : refusal);
        return;
    }
    if (gateway->is_draining && exchange->route->carry_out != imi_inspect_health) {
        imi_answer_retry_after(exchange, 1000);
        imi_answer_refuse(exchange, &draining);
        return;
    }
    if (exchange->method == IMI_OPTIONS && imi_route_is_api(exchange->route)) {
        imi_answer_send(exchange, 204, NULL, NULL, 0);
        return;
    }
    refusal = check_caller(exchange, request, &head, &caller);
    if (is_static(exchange->route))
        find_file(exchange, &head);
    if (refusal == NULL)
        refusal = check_method(exchange);
    if (refusal != NULL) {
        imi_answer_refuse(exchange, refusal);
        return;
    }
    if (exchange->method == IMI_POST)
        plan_body(exchange, &head);
    else if (head.content_length > 0 && (uint64_t)head.content_length > gateway->body_size_max)
        exchange->refusal = &too_large;
    imi_limit_count(&gateway->limit, exchange->route->limit, &caller, io->now_ms(io->context),
                    io->unix_ms(io->context), on_counted, exchange, &exchange->ticket);
}

/* One more action, unless all gateways of the group have MAX_IN_FLIGHT of them. */
static bool take_place(imagine_gateway_t *gateway) {
    size_t count = atomic_fetch_add(&gateway->group->work_count, 1);
    bool has_room = gateway->work_max == 0 || count < gateway->work_max;
    if (!has_room)
        atomic_fetch_sub(&gateway->group->work_count, 1);
    return has_room;
}

static void on_counted(const imi_limit_verdict_t *verdict, void *user) {
    imagine_exchange_t *exchange = user;
    imagine_gateway_t *gateway = exchange->gateway;
    exchange->ticket = NULL;
    if (verdict != NULL) {
        imi_answer_header(exchange, "X-RateLimit-Limit",
                          imi_decimal(exchange->limit_text, verdict->limit));
        imi_answer_header(exchange, "X-RateLimit-Remaining",
                          imi_decimal(exchange->remaining_text, verdict->remaining));
        imi_answer_header(exchange, "X-RateLimit-Reset",
                          imi_decimal(exchange->reset_text, (uint64_t)verdict->reset_unix_ms));
    }
    if (verdict != NULL && verdict->is_over) {
        imi_answer_retry_after(exchange, verdict->reset_ms);
        imi_answer_refuse(exchange, &too_often);
        return;
    }
    if (exchange->refusal != NULL) {
        refuse_and_close(exchange, exchange->refusal);
        return;
    }
    if (exchange->route->action != NULL) {
        if (!take_place(gateway)) {
            imi_answer_retry_after(exchange, 1000);
            imi_answer_refuse(exchange, &busy);
            return;
        }
        exchange->is_counted = true;
    }
    exchange->is_admitted = true;
    if (exchange->has_body && !exchange->is_whole)
        await_body(exchange);
    carry_out_when_ready(exchange);
}

/* ---- the body ----------------------------------------------------------------------------------
 */

/* All bodies have the same time, so the list in the order of arrival (but for the moment that the
 * limiter took) is the order of deadlines, and one timer, for the first of them, is enough. Once
 * running it is left to run: it costs one start in half a minute instead of one per request. */
static void await_body(imagine_exchange_t *exchange) {
    imi_list_append(&exchange->gateway->awaited, &exchange->awaited);
    start_body_timer(exchange->gateway);
}

static imagine_exchange_t *first_awaited(const imagine_gateway_t *gateway) {
    return imi_list_is_empty(&gateway->awaited)
               ? NULL
               : IMI_CONTAINER(gateway->awaited.next, imagine_exchange_t, awaited);
}

static void start_body_timer(imagine_gateway_t *gateway) {
    const imagine_io_t *io = gateway->io;
    const imagine_exchange_t *first = first_awaited(gateway);
    uint64_t now_ms, deadline_at_ms;
    if (first == NULL || gateway->body_timer != NULL)
        return;
    now_ms = io->now_ms(io->context);
    deadline_at_ms = first->began_at_ms + IMI_GATEWAY_BODY_TIME_MS;
    if (io->timer_start(io->context, deadline_at_ms > now_ms ? deadline_at_ms - now_ms : 0,
                        on_body_time, gateway, &gateway->body_timer) != 0)
        gateway->body_timer = NULL; /* the next body tries again */
}

/* One at a time, the timer first: the host may close the gateway when it has its answer. */
static void on_body_time(void *user) {
    imagine_gateway_t *gateway = user;
    imagine_exchange_t *first = first_awaited(gateway);
    uint64_t now_ms = gateway->io->now_ms(gateway->io->context);
    bool is_late = first != NULL && first->began_at_ms + IMI_GATEWAY_BODY_TIME_MS <= now_ms;
    gateway->body_timer = NULL;
    if (is_late)
        imi_list_remove(&first->awaited);
    start_body_timer(gateway);
    if (is_late)
        refuse_and_close(first, &too_slow);
}

void imi_exchange_stop_waiting(imagine_exchange_t *exchange) {
    imi_list_remove(&exchange->awaited);
    imi_gateway_body_release(exchange->body);
    exchange->body = NULL;
}

void imagine_gateway_body(imagine_exchange_t *exchange, const void *data, size_t data_size) {
    const imi_refusal_t *refusal;
    if (data_size == 0 || exchange->is_whole)
        return;
    if (exchange->body_left >= 0)
        exchange->body_left -=
            (uint64_t)exchange->body_left < data_size ? exchange->body_left : (int64_t)data_size;
    if (exchange->body == NULL) /* answered, or a GET, whose body means nothing */
        return;
    refusal = imi_gateway_body_feed(exchange->body, data, data_size);
    if (refusal == NULL)
        return;
    if (exchange->ticket == NULL) {
        refuse_and_close(exchange, refusal);
        return;
    }
    exchange->refusal = refusal; /* told once the limiter has counted */
    imi_gateway_body_release(exchange->body);
    exchange->body = NULL;
}

void imagine_gateway_finish(imagine_exchange_t *exchange) {
    if (exchange->is_whole)
        return;
    exchange->is_whole = true;
    imi_list_remove(&exchange->awaited);
    carry_out_when_ready(exchange);
}

static void carry_out_when_ready(imagine_exchange_t *exchange) {
    if (exchange->is_admitted && exchange->is_whole && !exchange->is_answered &&
        !exchange->is_aborted)
        exchange->route->carry_out(exchange);
}

/* ---- what routes use ---------------------------------------------------------------------------
 */

const char *imi_exchange_parameter(imagine_exchange_t *exchange, const char *name,
                                   bool *out_is_broken) {
    imi_slice_t raw = imi_gateway_query_get(imi_exchange_query(exchange), name);
    size_t size = 0;
    char *out;
    *out_is_broken = false;
    if (raw.size == 0)
        return NULL;
    /* From the '=' on, so that there is room for a NUL and the next '&' stays where it is. */
    out = exchange->target + (raw.data - exchange->target) - 1;
    *out_is_broken =
        !imi_percent_decode_bytes(out, &size, raw, false) || memchr(out, '\0', size) != NULL;
    if (*out_is_broken)
        return NULL;
    out[size] = '\0';
    return out;
}

void imi_exchange_serve_file(imagine_exchange_t *exchange) {
    const imi_static_file_t *file = exchange->file;
    imagine_slice_t piece;
    if (file == NULL) {
        imi_answer_refuse(exchange, &not_found);
        return;
    }
    imi_answer_header(exchange, "ETag", file->etag);
    if (exchange->is_not_modified) {
        imi_answer_send(exchange, 304, NULL, NULL, 0);
        return;
    }
    piece = (imagine_slice_t){file->data, file->size};
    imi_answer_send(exchange, 200, file->type, &piece, 1);
}

/* ---- the end -----------------------------------------------------------------------------------
 */

void imagine_gateway_abort(imagine_exchange_t *exchange) {
    bool is_over = exchange->is_aborted || (exchange->is_answered && !exchange->is_streaming);
    exchange->is_aborted = true; /* also while the answer is delivered: it stops there */
    if (is_over)
        return;
    if (!exchange->is_answered)
        exchange->duration_ms =
            exchange->gateway->io->now_ms(exchange->gateway->io->context) - exchange->began_at_ms;
    imi_limit_cancel(exchange->ticket);
    exchange->ticket = NULL;
    imi_exchange_stop_waiting(exchange);
    imi_media_stop(exchange->media);
    imagine_cancel(exchange->request);
}

void imagine_gateway_pause(imagine_exchange_t *exchange, int32_t is_paused) {
    if (exchange->media != NULL)
        imi_media_pause(exchange->media, is_paused != 0);
    else if (exchange->is_streaming)
        imagine_pause(exchange->request, is_paused);
}

void imagine_gateway_release(imagine_exchange_t *exchange) {
    imagine_gateway_t *gateway;
    if (exchange == NULL)
        return;
    imagine_gateway_abort(exchange); /* unless it was answered */
    gateway = exchange->gateway;
    imi_metrics_record(gateway->metrics, imi_route_index(exchange->route), exchange->answer.status,
                       exchange->duration_ms);
    imi_journal_write(exchange);
    gateway->in_flight--;
    if (exchange->is_counted)
        atomic_fetch_sub(&gateway->group->work_count, 1);
    exchange->is_released = true;
    if (!exchange->is_delivering && !exchange->is_pending)
        imi_gateway_exchange_free(exchange);
}

void imi_gateway_exchange_free(imagine_exchange_t *exchange) {
    imi_gateway_body_release(exchange->body);
    imagine_request_release(exchange->request);
    imagine_free(exchange->lent);
    imi_buf_reset(&exchange->text);
    imi_mem_free(exchange->mem, exchange);
}
