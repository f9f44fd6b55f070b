/* sim.c: the world: a heap of events in virtual time, and the io table over it. */
#include "sim.h"

#include <check.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim_private.h"
#include "wire/time.h"

struct imagine_timer {
    sim_t *sim;
    imagine_timer_cb on_timer;
    void *user;
    sim_event_t *event;
};

/* ---- events -----------------------------------------------------------------------------------
 */

static bool is_before(const sim_event_t *a, const sim_event_t *b) {
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->sequence < b->sequence;
}

static void place(sim_t *sim, size_t index, sim_event_t *event) {
    sim->heap[index] = event;
    event->index = index;
}

static void sift_up(sim_t *sim, size_t index) {
    sim_event_t *event = sim->heap[index];
    while (index > 0 && is_before(event, sim->heap[(index - 1) / 2])) {
        place(sim, index, sim->heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    place(sim, index, event);
}

static void sift_down(sim_t *sim, size_t index) {
    sim_event_t *event = sim->heap[index];
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= sim->event_count)
            break;
        if (child + 1 < sim->event_count && is_before(sim->heap[child + 1], sim->heap[child]))
            child++;
        if (!is_before(sim->heap[child], event))
            break;
        place(sim, index, sim->heap[child]);
        index = child;
    }
    place(sim, index, event);
}

sim_event_t *sim_event_add(sim_t *sim, uint64_t delay_ms, sim_event_cb run, void *user) {
    sim_event_t *event = calloc(1, sizeof(*event));
    ck_assert_ptr_nonnull(event);
    if (sim->event_count == sim->event_capacity) {
        sim->event_capacity = sim->event_capacity * 2 + 64;
        sim->heap = realloc(sim->heap, sim->event_capacity * sizeof(*sim->heap));
        ck_assert_ptr_nonnull(sim->heap);
    }
    event->at_ms = sim->now_ms + delay_ms;
    event->sequence = ++sim->sequence;
    event->run = run;
    event->user = user;
    sim->heap[sim->event_count] = event;
    sift_up(sim, sim->event_count++);
    return event;
}

void sim_event_remove(sim_t *sim, sim_event_t *event) {
    size_t index = event->index;
    sim_event_t *last = sim->heap[--sim->event_count];
    if (last != event) {
        place(sim, index, last);
        sift_up(sim, index);
        sift_down(sim, last->index);
    }
    free(event);
}

bool sim_step(sim_t *sim) {
    sim_event_t *event;
    sim_event_cb run;
    void *user;
    if (sim->event_count == 0)
        return false;
    event = sim->heap[0];
    if (event->at_ms > sim->now_ms) { /* else it is late: the process was stopped */
        sim->unix_ms += (int64_t)(event->at_ms - sim->now_ms);
        sim->now_ms = event->at_ms;
    }
    run = event->run;
    user = event->user;
    sim_event_remove(sim, event);
    run(user);
    return true;
}

void sim_run(sim_t *sim, uint64_t ms) {
    uint64_t end_ms = sim->now_ms + ms;
    while (sim->event_count > 0 && sim->heap[0]->at_ms <= end_ms)
        sim_step(sim);
    sim->unix_ms += (int64_t)(end_ms - sim->now_ms);
    sim->now_ms = end_ms;
}

/* ---- the io table -----------------------------------------------------------------------------
 */

static void on_timer_due(void *user) {
    imagine_timer_t *timer = user;
    imagine_timer_cb on_timer = timer->on_timer;
    void *timer_user = timer->user;
    timer->sim->timer_count--;
    free(timer);
    on_timer(timer_user);
}

static int timer_start(void *context, uint64_t delay_ms, imagine_timer_cb on_timer, void *user,
                       imagine_timer_t **out) {
    sim_t *sim = context;
    imagine_timer_t *timer = calloc(1, sizeof(*timer));
    ck_assert_ptr_nonnull(timer);
    timer->sim = sim;
    timer->on_timer = on_timer;
    timer->user = user;
    timer->event = sim_event_add(sim, delay_ms, on_timer_due, timer);
    sim->timer_count++;
    *out = timer;
    return 0;
}

static void timer_cancel(void *context, imagine_timer_t *timer) {
    sim_t *sim = context;
    sim_event_remove(sim, timer->event);
    sim->timer_count--;
    free(timer);
}

static uint64_t now_ms(void *context) {
    return ((sim_t *)context)->now_ms;
}

static int64_t unix_ms(void *context) {
    return ((sim_t *)context)->unix_ms;
}

uint64_t sim_random(sim_t *sim) {
    uint64_t x = sim->random += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static int random_bytes(void *context, void *out, size_t size) {
    unsigned char *bytes = out;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)sim_random(context);
    return 0;
}

static void append(char **text, size_t *text_size, const char *line) {
    size_t size = strlen(line);
    *text = realloc(*text, *text_size + size + 2);
    ck_assert_ptr_nonnull(*text);
    memcpy(*text + *text_size, line, size);
    memcpy(*text + *text_size + size, "\n", 2);
    *text_size += size + 1;
}

static void log_line(void *context, int32_t level, const char *line) {
    sim_t *sim = context;
    if (getenv("SIM_VERBOSE") != NULL)
        fprintf(stderr, "%d %s\n", level, line);
    if (level == IMAGINE_LOG_TRACE)
        append(&sim->trace, &sim->trace_size, line);
    else
        append(&sim->log, &sim->log_size, line);
}

/* ---- exchanges --------------------------------------------------------------------------------
 */

static void finish(imagine_http_exchange_t *exchange, int error, bool was_sent,
                   const char *message) {
    imagine_http_end_t end = {.size = sizeof(end)};
    const imagine_http_handler_t *handler = exchange->handler;
    void *user = exchange->user;
    end.error = error;
    end.was_sent = was_sent;
    end.message = message;
    if (exchange->time_limit != NULL)
        sim_event_remove(exchange->sim, exchange->time_limit);
    exchange->sim->exchange_count--;
    if (error == 0 && exchange->sim->chaos != NULL)
        sim_chaos_delivered(exchange->sim, exchange->reply);
    sim_reply_free(exchange->reply);
    free(exchange);
    handler->on_end(&end, user);
}

static void on_time_limit(void *user) {
    imagine_http_exchange_t *exchange = user;
    exchange->time_limit = NULL;
    if (exchange->event != NULL)
        sim_event_remove(exchange->sim, exchange->event);
    exchange->event = NULL;
    finish(exchange, IMAGINE_ETIMEDOUT, true, "no answer in time");
}

static void on_due(void *user);

static void next_event(imagine_http_exchange_t *exchange, uint64_t delay_ms) {
    exchange->event = sim_event_add(exchange->sim, delay_ms, on_due, exchange);
}

static void send_head(imagine_http_exchange_t *exchange) {
    imagine_header_t headers[17];
    imagine_http_head_t head = {.size = sizeof(head), .headers = headers};
    char *copy = strdup(exchange->reply->headers != NULL ? exchange->reply->headers : "");
    char *rest = copy;
    ck_assert_ptr_nonnull(copy);
    while (rest != NULL && *rest != '\0' && head.header_count < 16) {
        char *line = rest, *colon;
        rest = strchr(rest, '\n');
        if (rest != NULL)
            *rest++ = '\0';
        colon = strchr(line, ':');
        ck_assert_ptr_nonnull(colon);
        *colon = '\0';
        headers[head.header_count].name = line;
        headers[head.header_count++].value = colon + 1 + strspn(colon + 1, " ");
    }
    head.status = exchange->reply->status;
    head.http_version = 11;
    exchange->handler->on_head(&head, exchange->user);
    free(copy);
}

/* Takes what there is of a body in pieces. True: it is whole, and the answer may begin. */
static bool take_body(imagine_http_exchange_t *exchange) {
    while (exchange->body_read != NULL && exchange->body_left > 0) {
        char piece[4096];
        size_t capacity =
            exchange->body_left < sizeof(piece) ? (size_t)exchange->body_left : sizeof(piece);
        bool was_cancelled = false;
        int64_t size;
        exchange->was_cancelled = &was_cancelled;
        size = exchange->body_read(piece, capacity, exchange->body_read_user);
        if (was_cancelled)
            return false;
        exchange->was_cancelled = NULL;
        ck_assert_int_le(size, (int64_t)capacity);
        if (size < 0) {
            finish(exchange, (int)size, false, "the request's body could not be read");
            return false;
        }
        exchange->is_starved = size == 0;
        if (size == 0)
            return false;
        exchange->body_left -= (uint64_t)size;
    }
    return true;
}

/* One step of an answer: head, a piece of the body, the end; each in an event of its own, because
 * the receiver may cancel in each of them. */
static void on_due(void *user) {
    imagine_http_exchange_t *exchange = user;
    sim_reply_t *reply = exchange->reply;
    size_t left = reply->body_size - exchange->sent_size, size;
    exchange->event = NULL;
    if (!take_body(exchange))
        return;
    if (!exchange->has_head && (reply->error == 0 || reply->cut_at > 0)) {
        exchange->has_head = true;
        next_event(exchange, 0);
        send_head(exchange);
        return;
    }
    if (reply->error != 0 && (reply->cut_at == 0 || exchange->sent_size >= reply->cut_at)) {
        finish(exchange, reply->error, reply->was_sent, "broken by the simulator");
        return;
    }
    if (left > 0) {
        size = reply->piece_size == 0 || reply->piece_size > left ? left : reply->piece_size;
        next_event(exchange, reply->piece_delay_ms);
        exchange->sent_size += size;
        exchange->handler->on_body(reply->body + exchange->sent_size - size, size, exchange->user);
        return;
    }
    finish(exchange, 0, true, NULL);
}

static int http_start(void *context, const imagine_http_request_t *request,
                      const imagine_http_handler_t *handler, void *user,
                      imagine_http_exchange_t **out) {
    sim_t *sim = context;
    imagine_http_exchange_t *exchange;
    sim_reply_t *reply = sim->replies;
    if (strncmp(request->url, "http", 4) != 0)
        return IMAGINE_EINVAL;
    if (reply != NULL) {
        sim->replies = reply->next;
        if (sim->replies == NULL)
            sim->last_reply = &sim->replies;
    } else if (sim->is_chaos) {
        reply = sim_chaos_reply(sim, request);
    } else {
        ck_abort_msg("seed %" PRIu64 ": an exchange without a scripted reply: %s %s", sim->seed,
                     request->method, request->url);
    }
    exchange = calloc(1, sizeof(*exchange));
    ck_assert_ptr_nonnull(exchange);
    exchange->sim = sim;
    exchange->handler = handler;
    exchange->user = user;
    exchange->reply = reply;
    exchange->body_read = request->body_read;
    exchange->body_read_user = request->body_read_user;
    exchange->body_left = request->body_size;
    sim->exchange_count++;
    if (!reply->is_stalled)
        next_event(exchange, reply->delay_ms);
    if (request->timeout_ms != 0)
        exchange->time_limit = sim_event_add(sim, request->timeout_ms, on_time_limit, exchange);
    *out = exchange;
    return 0;
}

static void http_cancel(void *context, imagine_http_exchange_t *exchange) {
    sim_t *sim = context;
    if (exchange->event != NULL)
        sim_event_remove(sim, exchange->event);
    if (exchange->time_limit != NULL)
        sim_event_remove(sim, exchange->time_limit);
    sim->exchange_count--;
    if (exchange->was_cancelled != NULL)
        *exchange->was_cancelled = true;
    sim_reply_free(exchange->reply);
    free(exchange);
}

/* Of the answer's body all comes, paused or not: whoever pauses has to bear one more piece. */
static void http_pause(void *context, imagine_http_exchange_t *exchange, int32_t is_paused) {
    (void)context;
    if (is_paused == 0 && exchange->is_starved) {
        exchange->is_starved = false;
        next_event(exchange, 0);
    }
}

/* ---- scripts ----------------------------------------------------------------------------------
 */

void sim_reply_free(sim_reply_t *reply) {
    if (reply == NULL)
        return;
    free(reply->headers);
    free(reply->body);
    free(reply);
}

sim_reply_t *sim_reply_new(uint64_t delay_ms, int status, const char *headers, const char *body) {
    sim_reply_t *reply = calloc(1, sizeof(*reply));
    ck_assert_ptr_nonnull(reply);
    reply->delay_ms = delay_ms;
    reply->status = status;
    reply->headers = headers != NULL ? strdup(headers) : NULL;
    reply->body = strdup(body != NULL ? body : "");
    reply->body_size = strlen(reply->body);
    return reply;
}

static void enqueue(sim_t *sim, sim_reply_t *reply) {
    *sim->last_reply = reply;
    sim->last_reply = &reply->next;
}

void sim_reply_with(sim_t *sim, uint64_t delay_ms, int status, const char *headers,
                    const char *body) {
    enqueue(sim, sim_reply_new(delay_ms, status, headers, body));
}

void sim_reply(sim_t *sim, uint64_t delay_ms, int status, const char *body) {
    sim_reply_with(sim, delay_ms, status, NULL, body);
}

void sim_break(sim_t *sim, uint64_t delay_ms, int error, bool was_sent) {
    sim_reply_t *reply = sim_reply_new(delay_ms, 0, NULL, NULL);
    reply->error = error;
    reply->was_sent = was_sent;
    enqueue(sim, reply);
}

void sim_stall(sim_t *sim) {
    sim_reply_t *reply = sim_reply_new(0, 0, NULL, NULL);
    reply->is_stalled = true;
    enqueue(sim, reply);
}

void sim_set_unix_ms(sim_t *sim, int64_t unix_ms_now) {
    sim->unix_ms = unix_ms_now;
}

/* ---- the client -------------------------------------------------------------------------------
 */

static void *allocate(void *user, void *pointer, size_t size) {
    return failing_mem_resize(user, pointer, size);
}

sim_t *sim_open_failing(uint64_t seed, size_t fail_at) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    sim_t *sim = calloc(1, sizeof(*sim));
    ck_assert_ptr_nonnull(sim);
    failing_mem_init(&sim->mem, fail_at);
    sim->allocator = (imagine_allocator_t){allocate, &sim->mem};
    sim->seed = sim->random = seed;
    sim->unix_ms = SIM_START_UNIX_MS;
    sim->last_reply = &sim->replies;
    sim->io = (imagine_io_t){.size = sizeof(sim->io),
                             .context = sim,
                             .http_start = http_start,
                             .http_cancel = http_cancel,
                             .http_pause = http_pause,
                             .timer_start = timer_start,
                             .timer_cancel = timer_cancel,
                             .now_ms = now_ms,
                             .unix_ms = unix_ms,
                             .random = random_bytes,
                             .log = log_line};
    options.io = &sim->io;
    options.allocator = &sim->allocator;
    options.log_level = IMAGINE_LOG_TRACE;
    if (imagine_open(&sim->im, &options) == 0)
        return sim;
    ck_assert_ptr_null(sim->im);
    ck_assert_msg(sim->mem.has_failed, "the client could not be opened");
    ck_assert_uint_eq(sim->mem.live_count, 0);
    ck_assert_uint_eq(sim->timer_count, 0);
    free(sim->heap);
    free(sim->trace);
    free(sim->log);
    free(sim);
    return NULL;
}

sim_t *sim_open(uint64_t seed) {
    return sim_open_failing(seed, 0);
}

static void on_closed(void *user) {
    ((sim_t *)user)->is_closed = true;
}

void sim_close(sim_t *sim) {
    imagine_close(sim->im, on_closed, sim);
    for (int i = 0; i < 1000000 && !sim->is_closed && sim_step(sim); i++)
        ;
    ck_assert_msg(sim->is_closed, "seed %" PRIu64 ": the client does not close", sim->seed);
    for (size_t i = 0; i < sim->request_count; i++) {
        ck_assert_msg(sim->requests[i].done_count == 1,
                      "seed %" PRIu64 ": request %zu ended %d times", sim->seed, i + 1,
                      sim->requests[i].done_count);
        imagine_request_release(sim->requests[i].request);
    }
    ck_assert_msg(sim->timer_count == 0, "seed %" PRIu64 ": %zu timers left", sim->seed,
                  sim->timer_count);
    ck_assert_msg(sim->exchange_count == 0, "seed %" PRIu64 ": %zu exchanges left", sim->seed,
                  sim->exchange_count);
    ck_assert_msg(sim->mem.live_count == 0, "seed %" PRIu64 ": %zu blocks left", sim->seed,
                  sim->mem.live_count);
    while (sim->event_count > 0)
        sim_event_remove(sim, sim->heap[0]);
    while (sim->replies != NULL) {
        sim_reply_t *reply = sim->replies;
        sim->replies = reply->next;
        sim_reply_free(reply);
    }
    sim_chaos_free(sim);
    free(sim->heap);
    free(sim->trace);
    free(sim->log);
    free(sim);
}

static void copy(char *out, size_t size, const char *text) {
    snprintf(out, size, "%s", text != NULL ? text : "");
}

static void on_done(int status, const imagine_result_t *result, void *user) {
    sim_request_t *request = user;
    sim_t *sim = request->sim;
    ck_assert_msg(++request->done_count == 1, "seed %" PRIu64 ": a request ended twice", sim->seed);
    ck_assert_int_eq(status, result->status);
    sim->done_count++;
    request->status = status;
    request->http_status = result->http_status;
    request->retry_after_ms = result->retry_after_ms;
    request->done_at_ms = sim->now_ms;
    copy(request->message, sizeof(request->message), result->message);
    copy(request->url, sizeof(request->url), result->url != NULL ? result->url : result->text);
    copy(request->task_id, sizeof(request->task_id), result->task_id);
    copy(request->task_state, sizeof(request->task_state), result->task_state);
    if (sim->chaos != NULL)
        sim_chaos_done(sim, request, result);
}

static sim_request_t *new_request(sim_t *sim) {
    sim_request_t *request = &sim->requests[sim->request_count];
    ck_assert_uint_lt(sim->request_count, SIM_REQUESTS_MAX);
    request->sim = sim;
    return request;
}

/* A start that is refused leaves no trace of itself; the slot is used again. */
static sim_request_t *accept(sim_t *sim, sim_request_t *request, int err) {
    if (err != 0) {
        ck_assert_msg(sim->mem.has_failed, "not accepted: %s", imagine_err_name(err));
        ck_assert_int_eq(err, IMAGINE_ENOMEM);
        ck_assert_int_eq(request->done_count, 0);
        return NULL;
    }
    ck_assert_msg(request->done_count == 0, "ended inside the call that started it");
    sim->request_count++;
    sim->accepted_count++;
    return request;
}

sim_request_t *sim_start(sim_t *sim, const char *action, const char *json) {
    sim_request_t *request = new_request(sim);
    int err =
        imagine_submit(sim->im, action, json, strlen(json), on_done, request, &request->request);
    return accept(sim, request, err);
}

sim_request_t *sim_start_params(sim_t *sim, const imagine_params_t *params) {
    sim_request_t *request = new_request(sim);
    int err = imagine_generate(sim->im, params, on_done, request, &request->request);
    return accept(sim, request, err);
}

sim_request_t *sim_generate(sim_t *sim, const char *model) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    char prompt[64];
    snprintf(prompt, sizeof(prompt), "prompt-%zu.", sim->request_count + 1);
    params.model = model;
    params.prompt = prompt;
    params.has_seed = 1;
    params.seed = 7;
    return sim_start_params(sim, &params);
}

/* ---- traces -----------------------------------------------------------------------------------
 */

void sim_forget_trace(sim_t *sim) {
    sim->trace_size = 0;
    if (sim->trace != NULL)
        sim->trace[0] = '\0';
}

void sim_expect(sim_t *sim, const char *trace) {
    const char *got;
    sim_run(sim, 24 * 60 * 60 * 1000);
    got = sim->trace != NULL ? sim->trace : "";
    ck_assert_msg(strcmp(got, trace) == 0, "\nexpected:\n%s\ngot:\n%s", trace, got);
    sim_forget_trace(sim);
}

uint64_t sim_seed(int round) {
    const char *base = getenv("SIM_SEED");
    return (base != NULL ? (uint64_t)strtoull(base, NULL, 10) : UINT64_C(20260108)) +
           (uint64_t)round;
}
