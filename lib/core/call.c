/* call.c: one attempt with one token.
 *
 *   start -> step -> (exchange | pause -> step)* -> end -> imi_request_call_ended()
 *
 * A step is a function of the provider. It starts the next exchange or pause, or ends the call;
 * what it ended is reported only after it has returned, so that no provider ever runs on freed
 * memory.
 *
 * Repeating: only what provably never ran, or changes nothing. Once a provider has taken the work
 * on (is_committed), its reads are repeated until the deadline: the work is paid for. */
#include "core/call.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/aside.h"
#include "core/classify.h"
#include "core/client.h"
#include "core/hosting.h"
#include "core/log.h"
#include "core/request.h"
#include "wire/assert.h"
#include "wire/base64.h"
#include "wire/time.h"
#include "wire/url.h"

#define REPEATS_MAX 2 /* providers' documentation: "twice at most, with back-off" */
#define REFUSED_POLLS_MAX \
    3                  /* a provider that says three times that it knows no such task has lost it */
#define BACKOFF_MS 200 /* doubling */
#define BACKOFF_MAX_MS 5000
#define FIRST_POLL_MS 1000
#define MESSAGE_SIZE_MAX 500
#define EVENT_NAME_SIZE 64 /* longer ones are cut: no provider has any */

static void run_first(imagine_call_t *call, imagine_call_cb action);
static void on_exchange_done(imi_exchange_t *exchange);
static bool on_exchange_event(imi_exchange_t *exchange, const imi_sse_event_t *event);
static void on_timer(void *user);

int imi_call_start(imagine_request_t *request, imi_token_t *token, bool is_probe,
                   imagine_call_cb action, const char *task_id) {
    imagine_call_t *call = imi_mem_zalloc(&request->mem, sizeof(*call));
    if (call == NULL) {
        if (token != NULL)
            imi_pool_release(request->provider->pool, token);
        return IMAGINE_ENOMEM;
    }
    call->request = imagine_request_retain(request);
    call->im = request->im;
    call->token = token;
    call->is_probe = is_probe;
    call->task_id = task_id;
    call->is_committed = task_id != NULL;
    imi_arena_init(&call->arena, &request->mem, 512);
    call->exchange.im = request->im;
    call->exchange.arena = &call->arena;
    call->exchange.user = call;
    imi_buf_init(&call->exchange.answer, &request->mem, 0);
    imi_buf_init(&call->kept_answer, &request->mem, 0);
    imi_buf_init(&call->streamed, &request->mem, (size_t)request->im->response_size_max);
    request->call = call;
    request->attempts++;
    request->im->counters.calls++;
    run_first(call, action);
    return 0;
}

/* ---- steps ------------------------------------------------------------------------------------
 */

static void stop_step(imagine_call_t *call) {
    if (call->has_exchange)
        imi_exchange_reset(&call->exchange);
    call->has_exchange = false;
    if (call->timer != NULL)
        call->im->io->timer_cancel(call->im->io->context, call->timer);
    call->timer = NULL;
    if (call->upload != NULL)
        imi_hosting_cancel(call->upload);
    call->upload = NULL;
}

void imi_call_end(imagine_call_t *call, int error, const char *message) {
    if (call->has_ended)
        return;
    call->has_ended = true;
    call->error = error;
    call->message = message;
}

/* Reports the end; the call may be gone when this returns true. */
static bool leave_step(imagine_call_t *call) {
    IMI_ASSERT(call->is_in_step);
    call->is_in_step = false;
    if (!call->has_ended && !call->has_exchange && call->timer == NULL && call->upload == NULL) {
        call->verdict.reason = IMAGINE_EPROTOCOL;
        imi_call_end(call, IMAGINE_EPROTOCOL, "the provider's code took no next step");
    }
    if (!call->has_ended)
        return false;
    /* The answer stays: a result may lie in it. What is under way does not. */
    if (call->timer != NULL || call->upload != NULL)
        stop_step(call);
    if (call->has_exchange && call->exchange.http != NULL)
        stop_step(call);
    imi_request_call_ended(call->request, call);
    return true;
}

static void run_first(imagine_call_t *call, imagine_call_cb action) {
    call->is_in_step = true;
    action(call);
    leave_step(call);
}

static void on_timer(void *user) {
    imagine_call_t *call = user;
    imagine_call_cb next = call->next;
    call->timer = NULL;
    call->is_in_step = true;
    next(call);
    leave_step(call);
}

void imi_call_cancel(imagine_call_t *call) {
    stop_step(call);
    imi_aside_reset(call);
    call->has_ended = true;
    if (call->token != NULL)
        imi_pool_release(call->request->provider->pool, call->token);
    call->token = NULL;
    if (call->is_probe)
        imi_breaker_forgotten(&call->request->provider->breaker);
    call->is_probe = false;
}

void imi_call_free(imagine_call_t *call) {
    imagine_request_t *request = call->request;
    imi_mem_t mem = request->mem;
    IMI_ASSERT(call->token == NULL && request->call != call); /* given back, and reported */
    stop_step(call);
    for (imi_deferred_t *deferred = call->deferred; deferred != NULL; deferred = deferred->next)
        deferred->release(deferred->user);
    imi_exchange_reset(&call->exchange);
    imi_aside_reset(call);
    imi_buf_reset(&call->kept_answer);
    imi_buf_reset(&call->streamed);
    imi_bodies_free(call);
    imi_arena_reset(&call->arena);
    imi_mem_free(&mem, call);
}

bool imi_call_has_reached(const imagine_call_t *call) {
    return call->is_committed ||
           (call->has_exchange && call->exchange.http != NULL && !call->is_repeatable);
}

static void pause_until(imagine_call_t *call, uint64_t delay_ms, imagine_call_cb next) {
    IMI_ASSERT(call->timer == NULL); /* one pause at a time */
    call->next = next;
    if (call->im->io->timer_start(call->im->io->context, delay_ms, on_timer, call, &call->timer) !=
        0) {
        call->timer = NULL;
        imi_call_end(call, IMAGINE_ENOMEM, NULL);
    }
}

void imagine_call_sleep(imagine_call_t *call, uint64_t delay_ms, imagine_call_cb next) {
    if (call->has_ended)
        return;
    stop_step(call);
    pause_until(call, delay_ms, next);
}

static uint64_t poll_pause_ms(const imagine_call_t *call, uint32_t polls) {
    uint64_t pause = FIRST_POLL_MS;
    for (uint32_t i = 0; i < polls && pause < call->im->limits.poll_interval_ms; i++)
        pause += pause / 2;
    return pause < call->im->limits.poll_interval_ms ? pause : call->im->limits.poll_interval_ms;
}

void imagine_call_poll(imagine_call_t *call, imagine_call_cb next) {
    if (call->has_ended)
        return;
    stop_step(call);
    pause_until(call, poll_pause_ms(call, call->polls++), next);
}

/* ---- pictures that go in ------------------------------------------------------------------------
 */

static void on_picture_hosted(int error, const char *text, void *user);

/* The next picture that has no address; behind the last one the provider goes on. What could not be
 * hosted is none the worse for it. */
static void host_images(imagine_call_t *call) {
    imagine_request_t *request = call->request;
    bool is_on = imi_hosting_is_public(call->im);
    for (; is_on && call->upload_index < request->params.image_count; call->upload_index++) {
        const imagine_image_t *image = &request->images[call->upload_index];
        imi_slice_t bytes = {image->data, image->data_size};
        if (image->url == NULL &&
            imi_hosting_put(call->im, bytes, false, on_picture_hosted, call, &call->upload) == 0)
            return;
    }
    call->next(call);
}

static void on_picture_hosted(int error, const char *text, void *user) {
    imagine_call_t *call = user;
    imagine_request_t *request = call->request;
    call->upload = NULL;
    if (error == 0) /* without memory for it the picture stays without an address */
        request->images[call->upload_index].url = imi_arena_strdup(&request->arena, text);
    else
        imi_log(call->im, IMAGINE_LOG_WARN,
                "hosting.failed provider=%s request=%" PRIu32 " reason=\"%s\"",
                request->provider->name, request->number, text);
    call->upload_index++;
    call->is_in_step = true;
    host_images(call);
    leave_step(call);
}

void imagine_call_host_images(imagine_call_t *call, imagine_call_cb next) {
    if (call->has_ended)
        return;
    stop_step(call);
    call->next = next;
    call->upload_index = 0;
    host_images(call);
}

/* ---- exchanges --------------------------------------------------------------------------------
 */

static const char *path_of(const char *url, int *out_size) {
    imi_url_t parts;
    if (!imi_url_parse(imi_slice_of(url), &parts) || parts.path.size == 0) {
        *out_size = 1;
        return "/";
    }
    *out_size = (int)parts.path.size;
    return parts.path.data;
}

static void send_exchange(imagine_call_t *call) {
    imi_exchange_t *exchange = &call->exchange;
    int err, path_size;
    const char *path = path_of(exchange->url, &path_size);
    if (call->token != NULL)
        imi_trace(call->request, "http.start token=#%" PRIu32 " %s %.*s",
                  imi_token_index(call->token), exchange->method, path_size, path);
    else
        imi_trace(call->request, "http.start %s %.*s", exchange->method, path_size, path);
    IMI_ASSERT(!call->has_exchange); /* one exchange at a time */
    imi_aside_begin(call);
    err = imi_exchange_start(exchange);
    if (err != 0) {
        call->has_exchange = false;
        imi_call_end(call, err,
                     err == IMAGINE_EINVAL ? "the address of the provider is no http address"
                                           : NULL);
        if (err == IMAGINE_EINVAL)
            call->verdict.reason = IMAGINE_EPROTOCOL;
        return;
    }
    call->has_exchange = true;
    if (call->request->is_paused)
        imi_stream_paused(call);
}

static uint32_t limit_ms(const imagine_call_t *call, int32_t limit, const char *method) {
    const imi_limits_t *limits = &call->im->limits;
    imi_action_t action = call->request->action;
    if (limit == IMAGINE_LIMIT_AUTO) {
        if (strcmp(method, "GET") == 0)
            limit = IMAGINE_LIMIT_STATUS;
        else if (action == IMI_TEXT || action == IMI_VIDEO)
            limit = IMAGINE_LIMIT_TEXT;
        else
            limit = IMAGINE_LIMIT_IMAGE;
    }
    switch (limit) {
    case IMAGINE_LIMIT_TEXT:
        return limits->text_ms;
    case IMAGINE_LIMIT_STATUS:
        return limits->status_ms;
    case IMAGINE_LIMIT_DOWNLOAD:
        return limits->download_ms;
    default:
        return limits->image_ms;
    }
}

/* "Bearer TOKEN", or "Basic …" where it is asked for and the token is a name and a password. NULL:
 * no memory. */
static const char *authorization(imagine_call_t *call, int32_t auth) {
    const char *token = imi_token_text(call->token), *value = NULL;
    imi_buf_t buf;
    if (auth != IMAGINE_AUTH_BASIC || strchr(token, ':') == NULL)
        return imi_arena_printf(&call->arena, "Bearer %s", token);
    imi_buf_init(&buf, &call->request->mem, 0);
    if (imi_base64_encode(&buf, token, strlen(token)) == 0)
        value = imi_arena_printf(&call->arena, "Basic %.*s", (int)buf.size, buf.data);
    imi_buf_reset(&buf);
    return value;
}

/* The caller's headers, Content-Type and Authorization: all of them stay with the first host. */
static int build_headers(imagine_call_t *call, const imagine_call_request_t *request,
                         const char *content_type) {
    size_t count = 0;
    imagine_header_t *headers =
        imi_arena_alloc(&call->arena, (request->header_count + 2) * sizeof(*headers));
    if (headers == NULL)
        return IMAGINE_ENOMEM;
    for (size_t i = 0; i < request->header_count; i++) {
        if (request->headers[i].value == NULL)
            continue; /* as put_text leaves out a text that is not there */
        headers[count].name = imi_arena_strdup(&call->arena, request->headers[i].name);
        headers[count].value = imi_arena_strdup(&call->arena, request->headers[i].value);
        if (headers[count].name == NULL || headers[count].value == NULL)
            return IMAGINE_ENOMEM;
        count++;
    }
    if (content_type != NULL)
        headers[count++] = (imagine_header_t){"Content-Type", content_type};
    if (request->auth != IMAGINE_AUTH_NONE && call->token != NULL) {
        const char *value = authorization(call, request->auth);
        if (value == NULL)
            return IMAGINE_ENOMEM;
        headers[count++] = (imagine_header_t){"Authorization", value};
    }
    call->exchange.headers = headers;
    call->exchange.header_count = count;
    call->exchange.secret_header_count = count;
    return 0;
}

static void start_step(imagine_call_t *call, const imagine_call_request_t *request,
                       imagine_event_cb on_event, imagine_response_cb on_response) {
    imi_exchange_t *exchange = &call->exchange;
    const char *content_type = NULL, *url;
    if (call->has_ended)
        return;
    call->is_indexed = false;
    if (call->keeps_answer) { /* what the last answer's reader gave out lies in it */
        imi_buf_reset(&call->kept_answer);
        call->kept_answer = exchange->answer;
        imi_buf_init(&exchange->answer, &call->request->mem, 0);
        call->keeps_answer = false;
    }
    stop_step(call);
    imi_exchange_reset(exchange); /* the last answer, too */
    url = imi_arena_strdup(&call->arena, request->url);
    if (url == NULL || call->is_out_of_memory ||
        imi_body_finish(request->body, &exchange->body, &exchange->body_count, &content_type) !=
            0 ||
        build_headers(call, request, content_type) != 0) {
        imi_call_end(call, IMAGINE_ENOMEM, NULL);
        return;
    }
    exchange->url = url;
    exchange->method = request->method != NULL ? request->method
                       : request->body != NULL ? "POST"
                                               : "GET";
    exchange->timeout_ms = limit_ms(call, request->limit, exchange->method);
    exchange->stall_timeout_ms = 0;
    exchange->response_size_max = call->im->response_size_max;
    exchange->on_done = on_exchange_done;
    exchange->on_event = NULL;
    call->is_repeatable = request->is_repeatable != 0 || strcmp(exchange->method, "GET") == 0;
    if (on_event != NULL) {
        const imagine_request_t *owner = call->request;
        /* A stream of events can be read once. A task's may take as long as the task. */
        call->is_repeatable = request->is_repeatable != 0;
        exchange->on_event = on_exchange_event;
        exchange->stall_timeout_ms = call->im->limits.image_ms;
        exchange->timeout_ms =
            owner->task != NULL || owner->job != NULL ? 0 : call->im->limits.image_ms;
        if (call->request->params.on_piece != NULL) { /* a slow reader may take its time */
            exchange->stall_timeout_ms = call->im->limits.text_ms;
            exchange->timeout_ms = 0;
        }
    }
    call->accepts_any_status = request->accept_any_status != 0;
    call->has_json_pictures =
        request->size >= sizeof(*request) && on_event == NULL && request->has_json_pictures != 0;
    call->on_response = on_response;
    call->on_event = on_event;
    call->repeats = 0;
    send_exchange(call);
}

void imagine_call_http(imagine_call_t *call, const imagine_call_request_t *request,
                       imagine_response_cb on_response) {
    start_step(call, request, NULL, on_response);
}

void imagine_call_events(imagine_call_t *call, const imagine_call_request_t *request,
                         imagine_event_cb on_event, imagine_response_cb on_response) {
    start_step(call, request, on_event, on_response);
}

static bool on_exchange_event(imi_exchange_t *exchange, const imi_sse_event_t *event) {
    imagine_call_t *call = exchange->user;
    imagine_http_response_t data = imi_call_response(call);
    char name[EVENT_NAME_SIZE]; /* a stream may be long: nothing of an event is kept */
    size_t name_size = event->name.size < sizeof(name) ? event->name.size : sizeof(name) - 1;
    memcpy(name, event->name.data, name_size);
    name[name_size] = '\0';
    data.body = event->data.data;
    data.body_size = event->data.size;
    call->is_in_step = true;
    call->on_event(call, name, &data);
    return !leave_step(call);
}

imagine_http_response_t imi_call_response(imagine_call_t *call) {
    const imi_exchange_t *exchange = &call->exchange;
    imagine_http_response_t response = {.size = sizeof(response)};
    response.call = call;
    response.status = exchange->status;
    response.headers = exchange->answer_headers;
    response.header_count = exchange->answer_header_count;
    response.body = exchange->answer.data != NULL ? exchange->answer.data : "";
    response.body_size = exchange->answer.size;
    return response;
}

/* ---- what came back ---------------------------------------------------------------------------
 */

static void repeat(imagine_call_t *call) {
    if (!call->is_committed && call->token != NULL && !imi_token_may_serve(call->token)) {
        call->has_lost_token = true;
        imi_call_end(call, IMAGINE_EEXHAUSTED, NULL);
        return;
    }
    send_exchange(call);
}

static void repeat_later(imagine_call_t *call, uint64_t delay_ms) {
    uint64_t jitter = imi_random64(call->im) % (delay_ms / 4 + 1);
    call->repeats++;
    call->im->counters.retries++;
    imi_exchange_reset(&call->exchange);
    call->has_exchange = false;
    imi_trace(call->request, "http.repeat count=%" PRIu32, call->repeats);
    pause_until(call, delay_ms + jitter, repeat);
}

static uint64_t backoff_ms(const imagine_call_t *call) {
    uint64_t delay = BACKOFF_MS;
    for (uint32_t i = 0; i < call->repeats && delay < BACKOFF_MAX_MS; i++)
        delay *= 2;
    return delay < BACKOFF_MAX_MS ? delay : BACKOFF_MAX_MS;
}

static bool may_go_on_reading(const imagine_call_t *call) {
    return call->is_committed && call->is_repeatable;
}

static void on_broken(imagine_call_t *call) {
    const imi_exchange_t *exchange = &call->exchange;
    bool is_passing = exchange->error == IMAGINE_ECONNECT || exchange->error == IMAGINE_ETIMEDOUT ||
                      exchange->error == IMAGINE_EPROTOCOL;
    imi_trace(call->request, "http.broken error=%s sent=%d", imagine_err_name(exchange->error),
              exchange->was_sent);
    if (is_passing && may_go_on_reading(call)) {
        repeat_later(call, poll_pause_ms(call, call->repeats));
        return;
    }
    if (is_passing && call->repeats < REPEATS_MAX && (call->is_repeatable || !exchange->was_sent)) {
        repeat_later(call, backoff_ms(call));
        return;
    }
    if (!call->is_repeatable && exchange->was_sent)
        call->is_committed = true; /* it may have been carried out */
    call->verdict.reason = exchange->error;
    imi_call_end(call, exchange->error, exchange->message);
}

static void on_refused(imagine_call_t *call) {
    imagine_http_response_t response = imi_call_response(call);
    imagine_verdict_t *verdict = &call->verdict;
    int64_t now_unix_ms = call->im->io->unix_ms(call->im->io->context);
    verdict->size = sizeof(*verdict);
    imi_classify(verdict, &call->arena, &response, call->request->params.prompt, now_unix_ms);
    if (call->request->provider->code.classify != NULL)
        call->request->provider->code.classify(call, &response, verdict);
    imi_trace(call->request, "http.refused status=%" PRId32 " reason=%s", response.status,
              imagine_err_name(verdict->reason));
    if (may_go_on_reading(call)) {
        bool is_passing = verdict->reason == IMAGINE_ERATE || verdict->reason == IMAGINE_EQUOTA ||
                          verdict->reason == IMAGINE_EUPSTREAM ||
                          verdict->reason == IMAGINE_EPROTOCOL;
        if (is_passing || call->repeats + 1 < REFUSED_POLLS_MAX) {
            imi_request_mark_token(call->request, call, verdict->reason);
            uint64_t pause = poll_pause_ms(call, call->repeats);
            repeat_later(call, verdict->retry_after_ms > pause ? verdict->retry_after_ms : pause);
            return;
        }
    } else if (response.status == 503 && call->repeats < REPEATS_MAX) {
        repeat_later(call, backoff_ms(call));
        return;
    }
    call->http_status = response.status;
    if (call->is_committed && imi_request_mark_token(call->request, call, verdict->reason)) {
        /* The work was taken on with this token: another one would have it done, and paid, twice.
         * For the caller the provider failed; for the breaker it was the token. */
        verdict->reason = IMAGINE_EUPSTREAM;
        call->is_token_fault = true;
    }
    imi_call_end(call, verdict->reason, verdict->message);
}

static void on_exchange_done(imi_exchange_t *exchange) {
    imagine_call_t *call = exchange->user;
    bool is_good = exchange->status >= 200 && exchange->status <= 299;
    call->is_in_step = true;
    if (exchange->error != 0) {
        on_broken(call);
    } else if (!is_good && !call->accepts_any_status) {
        on_refused(call);
    } else {
        imagine_http_response_t response = imi_call_response(call);
        if (is_good && !call->is_repeatable)
            call->is_committed = true;
        call->has_exchange = false; /* it is over; its answer lives on until the next one starts */
        call->on_response(call, &response);
    }
    if (call->has_exchange && exchange->http == NULL)
        call->has_exchange = false;
    leave_step(call);
}

/* ---- the end ----------------------------------------------------------------------------------
 */

void imagine_call_task(imagine_call_t *call, const char *task_id, uint32_t predict_s) {
    if (call->has_ended || call->task_id != NULL)
        return;
    call->is_committed = true;
    call->task_id = imi_arena_strdup(&call->arena, task_id);
    if (call->task_id == NULL)
        imi_call_end(call, task_id == NULL ? IMAGINE_EPROTOCOL : IMAGINE_ENOMEM,
                     "a task without an id");
    else if (call->request->job != NULL)
        imi_task_took(call->request->job, call, call->task_id, predict_s);
    else if (call->request->action == IMI_VIDEO || call->request->task != NULL)
        imi_request_became_task(call->request, call->task_id, predict_s);
}

void imagine_call_spent(imagine_call_t *call, int32_t is_for_model) {
    imagine_request_t *request = call->request;
    bool is_probed = false;
    imi_clock_t clock = imi_clock(call->im);
    int64_t until;
    if (call->token == NULL)
        return;
    until = imi_quota_until(request->entry, clock.unix_ms, 0, &is_probed);
    imi_pool_exhausted(request->provider->pool, call->token,
                       is_for_model != 0 ? request->api_id : NULL, until, is_probed, clock);
}

void imagine_call_progress(imagine_call_t *call, double fraction, uint32_t queue_position) {
    imi_task_t *task = call->request->job != NULL ? call->request->job : call->request->task;
    if (task == NULL)
        return;
    task->progress = fraction > 1 ? 1 : fraction;
    task->queue_position = queue_position;
}

void imagine_call_picture(imagine_call_t *call, const char *url) {
    imi_picture_t *picture = url != NULL ? imagine_call_alloc(call, sizeof(*picture)) : NULL;
    if (picture == NULL)
        return; /* the step, or the end, sees that memory is out */
    picture->next = call->pictures;
    picture->url = url;
    call->pictures = picture;
    call->picture_count++;
}

/* Those of imagine_call_picture() in their order, and the one of the end behind them. */
static bool gather_pictures(imagine_call_t *call, imagine_result_t *kept) {
    size_t count = call->picture_count + (kept->url != NULL ? 1 : 0), at = call->picture_count;
    const char **urls;
    if (call->picture_count == 0)
        return true;
    urls = imi_arena_alloc(&call->arena, count * sizeof(*urls));
    if (urls == NULL)
        return false;
    if (kept->url != NULL)
        urls[at] = kept->url;
    for (const imi_picture_t *picture = call->pictures; picture != NULL; picture = picture->next)
        urls[--at] = picture->url;
    kept->url = urls[0];
    kept->url_size = strlen(urls[0]);
    kept->urls = count > 1 ? urls : NULL;
    kept->url_count = count > 1 ? count : 0;
    return true;
}

/* What callers do with an address of another kind (javascript:, file:) is nobody's to decide. */
static bool is_address(const char *url) {
    static const char *const starts[] = {"https://", "http://", "data:"};
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
        if (strncasecmp(url, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

static bool has_odd_address(const imagine_result_t *result) {
    for (size_t i = 0; i < result->url_count; i++)
        if (!is_address(result->urls[i]))
            return true;
    return result->url != NULL && !is_address(result->url);
}

void imagine_call_succeed(imagine_call_t *call, const imagine_result_t *result) {
    imi_arena_t *arena = &call->arena;
    imagine_result_t *kept;
    const char *text;
    if (call->has_ended)
        return;
    kept = imi_arena_zalloc(arena, sizeof(*kept));
    if (kept == NULL) {
        imi_call_end(call, IMAGINE_ENOMEM, NULL);
        return;
    }
    call->result = kept;
    kept->size = sizeof(*kept);
    kept->width = result->width;
    kept->height = result->height;
    text = imi_stream_finish(call, result->text);
    if (call->has_ended)
        return;
    kept->text = imi_arena_strdup(arena, text);
    kept->revised_prompt = imi_arena_strdup(arena, result->revised_prompt);
    kept->usage_json = imi_arena_strdup(arena, result->usage_json);
    if (result->url != NULL) {
        kept->url_size = strlen(result->url);
        /* An address that lies in the answer itself, or in the arena, is kept where it is. */
        kept->url = call->keeps_answer || kept->url_size > 4096
                        ? result->url
                        : imi_arena_strdup(arena, result->url);
    }
    if (!gather_pictures(call, kept) || (text != NULL && kept->text == NULL) ||
        (result->revised_prompt != NULL && kept->revised_prompt == NULL) ||
        (result->usage_json != NULL && kept->usage_json == NULL) ||
        (result->url != NULL && kept->url == NULL) || call->is_out_of_memory) {
        imi_call_end(call, IMAGINE_ENOMEM, NULL);
        return;
    }
    if (kept->url == NULL && kept->text == NULL && !call->has_streamed) {
        call->verdict.reason = IMAGINE_EPROTOCOL;
        imi_call_end(call, IMAGINE_EPROTOCOL, "an answer with no result in it");
        return;
    }
    if (has_odd_address(kept)) {
        call->verdict.reason = IMAGINE_EPROTOCOL;
        imi_call_end(call, IMAGINE_EPROTOCOL, "an address that is not http, https or data");
        return;
    }
    imi_call_end(call, 0, NULL);
}

void imagine_call_fail(imagine_call_t *call, int error, const char *message) {
    if (call->has_ended)
        return;
    if (call->is_out_of_memory || error == 0)
        error = IMAGINE_ENOMEM;
    call->verdict.size = sizeof(call->verdict);
    call->verdict.reason = error;
    if (message != NULL && (error == IMAGINE_EQUOTA || error == IMAGINE_ERATE)) {
        int64_t wait_ms = 0;
        if (imi_time_find_try_again(imi_slice_of(message), &wait_ms) && wait_ms > 0)
            call->verdict.retry_after_ms = (uint64_t)wait_ms;
    }
    imi_call_end(call, error,
                 message == NULL
                     ? NULL
                     : imi_text_clean(&call->arena, message, strlen(message), MESSAGE_SIZE_MAX));
}

void imagine_call_fail_response(imagine_call_t *call, const imagine_http_response_t *response,
                                int reason) {
    int64_t now_unix_ms = call->im->io->unix_ms(call->im->io->context);
    if (call->has_ended)
        return;
    call->verdict.size = sizeof(call->verdict);
    imi_classify(&call->verdict, &call->arena, response, call->request->params.prompt, now_unix_ms);
    if (call->request->provider->code.classify != NULL)
        call->request->provider->code.classify(call, response, &call->verdict);
    if (reason != 0)
        call->verdict.reason = reason;
    call->http_status = response->status;
    imi_call_end(call, call->verdict.reason, call->verdict.message);
}

/* ---- what a provider may know ------------------------------------------------------------------
 */

const imagine_params_t *imagine_call_params(const imagine_call_t *call) {
    return &call->request->params;
}

const char *imagine_call_action(const imagine_call_t *call) {
    return imi_action_name(call->request->action);
}

const char *imagine_call_model(const imagine_call_t *call) {
    return call->request->api_id;
}

const char *imagine_call_token(const imagine_call_t *call) {
    return call->token != NULL ? imi_token_text(call->token) : NULL;
}

const char *imagine_call_api_base(const imagine_call_t *call) {
    const imagine_request_t *request = call->request;
    return request->provider->api_base != NULL ? request->provider->api_base
                                               : request->entry->api_base;
}

void *imagine_call_user(const imagine_call_t *call) {
    return call->request->provider->code.user;
}

const char *imagine_call_task_id(const imagine_call_t *call) {
    return call->task_id;
}

void imagine_call_set_state(imagine_call_t *call, const void *state) {
    call->state = (void *)(uintptr_t)state;
}

void *imagine_call_state(const imagine_call_t *call) {
    return call->state;
}

const imagine_image_t *imagine_call_image(const imagine_call_t *call, size_t index) {
    const imagine_request_t *request = call->request;
    return index < request->params.image_count ? &request->images[index] : NULL;
}
