/* io_conformance.c: the rules of imagine/io.h as tests. Everything is asked of the table alone; how
 * time passes is the implementation's (turn), so that none of this sleeps. */
#include "support/io_conformance.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    TURNS_MAX = 1000000, /* then what a test waits for does not come */
    TIMERS = 1000,
    LIMIT_MS = 50,
};

static const io_conformance_t *subject;
static const imagine_io_t *io;

static void setup(void) {
    io = subject->open();
    ck_assert_ptr_nonnull(io);
}

static void teardown(void) {
    subject->close();
    io = NULL;
}

static void run_until(const bool *is_done) {
    for (int i = 0; i < TURNS_MAX && !*is_done; i++)
        subject->turn();
    ck_assert_msg(*is_done, "it did not come");
}

/* ---- timers -------------------------------------------------------------------------------- */

typedef struct tick {
    imagine_timer_t *timer;
    struct tick *victim; /* cancelled when this one fires */
    struct tick *next;   /* started when this one fires */
    uint64_t delay_ms;
    uint64_t started_at_ms, fired_at_ms;
    int fired_count;
    bool is_done;
} tick_t;

static void start_tick(tick_t *tick);

static void on_tick(void *user) {
    tick_t *tick = user;
    tick->fired_count++;
    tick->fired_at_ms = io->now_ms(io->context);
    tick->is_done = true;
    if (tick->victim != NULL) {
        io->timer_cancel(io->context, tick->victim->timer);
        tick->victim->is_done = true;
    }
    if (tick->next != NULL)
        start_tick(tick->next);
}

static void start_tick(tick_t *tick) {
    tick->started_at_ms = io->now_ms(io->context);
    ck_assert_int_eq(io->timer_start(io->context, tick->delay_ms, on_tick, tick, &tick->timer), 0);
    ck_assert_ptr_nonnull(tick->timer);
    ck_assert_msg(tick->fired_count == 0, "it fired inside the call that started it");
}

/* Something that is surely later than what is due now. */
static void run_for(uint64_t ms) {
    tick_t tick = {.delay_ms = ms};
    start_tick(&tick);
    run_until(&tick.is_done);
}

static const uint64_t delays[] = {0, 1, 2, 7, 30};

START_TEST(a_timer_fires_once_and_not_too_early) { /* _i walks delays */
    tick_t tick = {.delay_ms = delays[_i]};
    start_tick(&tick);
    run_until(&tick.is_done);
    ck_assert_uint_ge(tick.fired_at_ms - tick.started_at_ms, tick.delay_ms);
    run_for(3);
    ck_assert_int_eq(tick.fired_count, 1);
}
END_TEST

START_TEST(timers_fire_in_the_order_of_their_instants) {
    tick_t late = {.delay_ms = 40};
    tick_t early = {.delay_ms = 10};
    start_tick(&late);
    start_tick(&early);
    run_until(&early.is_done);
    ck_assert_int_eq(late.fired_count, 0);
    run_until(&late.is_done);
}
END_TEST

START_TEST(a_cancelled_timer_does_not_fire) { /* _i walks delays */
    tick_t tick = {.delay_ms = delays[_i]};
    start_tick(&tick);
    io->timer_cancel(io->context, tick.timer);
    run_for(delays[_i] + 5);
    ck_assert_int_eq(tick.fired_count, 0);
}
END_TEST

/* Both are due in the same turn: the one that runs cancels the other, whichever comes first. */
START_TEST(a_timer_cancelled_by_another_of_the_same_turn_does_not_fire) { /* _i walks delays */
    tick_t one = {.delay_ms = delays[_i]};
    tick_t two = {.delay_ms = delays[_i]};
    one.victim = &two;
    two.victim = &one;
    start_tick(&one);
    start_tick(&two);
    run_until(&one.is_done);
    run_until(&two.is_done);
    run_for(delays[_i] + 5);
    ck_assert_int_eq(one.fired_count + two.fired_count, 1);
}
END_TEST

START_TEST(a_timer_may_start_the_next_one) {
    tick_t third = {.delay_ms = 0};
    tick_t second = {.delay_ms = 1, .next = &third};
    tick_t first = {.delay_ms = 0, .next = &second};
    start_tick(&first);
    run_until(&third.is_done);
    ck_assert_int_eq(first.fired_count + second.fired_count, 2);
}
END_TEST

START_TEST(a_thousand_timers_fire_once_each_and_the_cancelled_ones_never) {
    tick_t *ticks = calloc(TIMERS, sizeof(*ticks));
    for (size_t i = 0; i < TIMERS; i++) {
        ticks[i].delay_ms = i * 7919 % 50;
        start_tick(&ticks[i]);
    }
    for (size_t i = 0; i < TIMERS; i += 3)
        io->timer_cancel(io->context, ticks[i].timer);
    run_for(50);
    run_for(0);
    for (size_t i = 0; i < TIMERS; i++)
        ck_assert_int_eq(ticks[i].fired_count, i % 3 == 0 ? 0 : 1);
    free(ticks);
}
END_TEST

/* ---- clocks, random bytes, log ------------------------------------------------------------- */

START_TEST(the_clock_never_goes_back) {
    uint64_t before_ms = io->now_ms(io->context);
    for (uint64_t i = 0; i < 10; i++) {
        uint64_t now_ms = 0;
        run_for(i % 3);
        now_ms = io->now_ms(io->context);
        ck_assert_uint_ge(now_ms, before_ms);
        before_ms = now_ms;
    }
}
END_TEST

START_TEST(the_wall_clock_goes_as_fast_as_the_other_one) {
    int64_t unix_ms = io->unix_ms(io->context);
    uint64_t now_ms = io->now_ms(io->context);
    int64_t difference_ms = 0;
    run_for(300);
    difference_ms =
        io->unix_ms(io->context) - unix_ms - (int64_t)(io->now_ms(io->context) - now_ms);
    ck_assert_int_gt(unix_ms, 1600000000000);
    ck_assert_int_ge(difference_ms, -150);
    ck_assert_int_le(difference_ms, 150);
}
END_TEST

START_TEST(random_bytes_differ) {
    unsigned char one[32] = {0};
    unsigned char two[32] = {0};
    ck_assert_int_eq(io->random(io->context, one, sizeof(one)), 0);
    ck_assert_int_eq(io->random(io->context, two, sizeof(two)), 0);
    ck_assert_int_ne(memcmp(one, two, sizeof(one)), 0);
}
END_TEST

START_TEST(the_log_takes_every_level) {
    for (int32_t level = IMAGINE_LOG_ERROR; level <= IMAGINE_LOG_TRACE && io->log != NULL; level++)
        io->log(io->context, level, "test.line number=1");
}
END_TEST

/* ---- exchanges ----------------------------------------------------------------------------- */

typedef enum step { AT_HEAD, AT_BODY, AT_END, STEPS } step_t;

typedef struct fetch {
    imagine_http_exchange_t *exchange;
    struct fetch *victim; /* cancelled at `when` (may be this one itself) */
    struct fetch *next;   /* started at `when` */
    step_t when;
    const char *url;
    imagine_http_request_t request;
    int counts[STEPS];
    int32_t status;
    int x_twice_count;
    bool has_location;
    char body[16];
    size_t body_size;
    int pause_count; /* pauses left, one per piece, each for a moment */
    bool is_pausing; /* at the first piece, and stays so */
    int32_t error, was_sent;
    bool has_message;
    bool is_cancelled;
    bool is_done;
} fetch_t;

static void start_fetch(fetch_t *fetch);

static void cancel(fetch_t *fetch) {
    fetch->is_cancelled = true;
    io->http_cancel(io->context, fetch->exchange);
}

static void do_what_was_asked(fetch_t *fetch, step_t step) {
    ck_assert_msg(!fetch->is_cancelled, "a callback after the cancel");
    ck_assert_msg(fetch->exchange != NULL, "a callback inside the call that starts it");
    ck_assert_msg(fetch->counts[AT_END] == 0, "a callback after the end");
    fetch->counts[step]++;
    if (fetch->when != step)
        return;
    if (fetch->next != NULL) {
        start_fetch(fetch->next);
        fetch->next = NULL;
    }
    if (fetch->victim != NULL && !fetch->victim->is_done && !fetch->victim->is_cancelled)
        cancel(fetch->victim);
}

static void on_head(const imagine_http_head_t *head, void *user) {
    fetch_t *fetch = user;
    ck_assert_int_eq(fetch->counts[AT_HEAD] + fetch->counts[AT_BODY], 0);
    fetch->status = head->status;
    for (size_t i = 0; i < head->header_count; i++) {
        if (strcasecmp(head->headers[i].name, "X-Twice") == 0) {
            const char *value = fetch->x_twice_count++ == 0 ? "one" : "two";
            ck_assert_str_eq(head->headers[i].value, value);
        }
        if (strcasecmp(head->headers[i].name, "Location") == 0)
            fetch->has_location = true;
    }
    do_what_was_asked(fetch, AT_HEAD);
}

static void on_resume(void *user) {
    fetch_t *fetch = user;
    if (!fetch->is_done)
        io->http_pause(io->context, fetch->exchange, 0);
}

static void on_body(const void *data, size_t data_size, void *user) {
    fetch_t *fetch = user;
    size_t room = sizeof(fetch->body) - 1;
    ck_assert_int_eq(fetch->counts[AT_HEAD], 1);
    ck_assert_uint_gt(data_size, 0);
    if (fetch->body_size < room)
        memcpy(fetch->body + fetch->body_size, data,
               data_size < room - fetch->body_size ? data_size : room - fetch->body_size);
    fetch->body_size += data_size;
    if (fetch->pause_count > 0) {
        imagine_timer_t *timer = NULL;
        fetch->pause_count--;
        io->http_pause(io->context, fetch->exchange, 1);
        ck_assert_int_eq(io->timer_start(io->context, 1, on_resume, fetch, &timer), 0);
    }
    if (fetch->is_pausing)
        io->http_pause(io->context, fetch->exchange, 1);
    do_what_was_asked(fetch, AT_BODY);
}

static void on_end(const imagine_http_end_t *end, void *user) {
    fetch_t *fetch = user;
    fetch->error = end->error;
    fetch->was_sent = end->was_sent;
    fetch->has_message = end->message != NULL;
    fetch->is_done = true;
    do_what_was_asked(fetch, AT_END);
}

static const imagine_http_handler_t handler = {.size = sizeof(imagine_http_handler_t),
                                               .on_head = on_head,
                                               .on_body = on_body,
                                               .on_end = on_end};

static void start_fetch(fetch_t *fetch) {
    imagine_http_request_t *request = &fetch->request;
    imagine_http_exchange_t *exchange = NULL;
    request->size = sizeof(*request);
    request->method = "GET";
    request->url = fetch->url;
    ck_assert_int_eq(io->http_start(io->context, request, &handler, fetch, &exchange), 0);
    ck_assert_ptr_nonnull(exchange);
    fetch->exchange = exchange;
}

/* Nothing of it may come any more. */
static void assert_over(const fetch_t *fetch) {
    int counts[STEPS];
    memcpy(counts, fetch->counts, sizeof(counts));
    run_for(30);
    ck_assert_mem_eq(counts, fetch->counts, sizeof(counts));
}

static void assert_failed(const fetch_t *fetch, int32_t error) {
    ck_assert_int_eq(fetch->error, error);
    ck_assert(fetch->has_message);
    ck_assert_int_eq(fetch->counts[AT_END], 1);
}

START_TEST(an_answer_comes_as_head_body_and_end) {
    fetch_t fetch = {.url = subject->url_ok()};
    start_fetch(&fetch);
    run_until(&fetch.is_done);
    ck_assert_int_eq(fetch.error, 0);
    ck_assert_int_eq(fetch.was_sent, 1);
    ck_assert(!fetch.has_message);
    ck_assert_int_eq(fetch.status, 200);
    ck_assert_int_eq(fetch.x_twice_count, 2);
    ck_assert_str_eq(fetch.body, "hello");
    assert_over(&fetch);
}
END_TEST

START_TEST(a_start_that_fails_never_calls_back) {
    fetch_t fetch = {0};
    imagine_http_request_t request = {
        .size = sizeof(request), .method = "GET", .url = "no address"};
    imagine_http_exchange_t *exchange = NULL;
    ck_assert_int_eq(io->http_start(io->context, &request, &handler, &fetch, &exchange),
                     IMAGINE_EINVAL);
    assert_over(&fetch);
}
END_TEST

START_TEST(an_exchange_cancelled_at_once_never_calls_back) {
    fetch_t fetch = {.url = subject->url_ok()};
    start_fetch(&fetch);
    cancel(&fetch);
    assert_over(&fetch);
    ck_assert_int_eq(fetch.counts[AT_END], 0);
}
END_TEST

START_TEST(an_exchange_can_cancel_itself_in_its_callbacks) { /* _i: AT_HEAD, AT_BODY */
    fetch_t fetch = {.url = subject->url_ok(), .when = (step_t)_i};
    fetch.victim = &fetch;
    start_fetch(&fetch);
    run_until(&fetch.is_cancelled);
    assert_over(&fetch);
    ck_assert_int_eq(fetch.counts[_i], 1);
    ck_assert_int_eq(fetch.counts[AT_END], 0);
}
END_TEST

/* Several end at about the same time, so that some are cancelled when their end is on its way. */
START_TEST(an_exchange_can_cancel_others_in_its_callbacks) { /* _i walks step_t */
    fetch_t fetches[8] = {{0}};
    bool is_done = false;
    for (size_t i = 0; i < 8; i++) {
        fetches[i].url = subject->url_ok();
        fetches[i].when = (step_t)_i;
        fetches[i].victim = &fetches[(i + 1) % 8];
        start_fetch(&fetches[i]);
    }
    for (int i = 0; i < TURNS_MAX && !is_done; i++) {
        is_done = true;
        for (size_t j = 0; j < 8; j++)
            is_done = is_done && (fetches[j].is_done || fetches[j].is_cancelled);
        if (!is_done)
            subject->turn();
    }
    ck_assert(is_done);
    for (size_t i = 0; i < 8; i++)
        ck_assert_int_eq(fetches[i].counts[AT_END], fetches[i].is_done ? 1 : 0);
    run_for(30);
    for (size_t i = 0; i < 8; i++)
        ck_assert_int_eq(fetches[i].counts[AT_END], fetches[i].is_done ? 1 : 0);
}
END_TEST

START_TEST(an_exchange_can_start_another_in_its_callbacks) { /* _i walks step_t */
    fetch_t second = {.url = subject->url_ok()};
    fetch_t first = {.url = subject->url_ok(), .when = (step_t)_i, .next = &second};
    start_fetch(&first);
    run_until(&first.is_done);
    run_until(&second.is_done);
    ck_assert_str_eq(first.body, "hello");
    ck_assert_str_eq(second.body, "hello");
}
END_TEST

START_TEST(a_redirect_is_not_followed) {
    fetch_t fetch = {.url = subject->url_moved()};
    start_fetch(&fetch);
    run_until(&fetch.is_done);
    ck_assert_int_eq(fetch.error, 0);
    ck_assert_int_eq(fetch.status, 302);
    ck_assert(fetch.has_location);
}
END_TEST

START_TEST(a_refused_connection_is_told_later_and_nothing_has_left) {
    fetch_t fetch = {.url = subject->url_refused()};
    start_fetch(&fetch);
    ck_assert_int_eq(fetch.counts[AT_END], 0);
    run_until(&fetch.is_done);
    assert_failed(&fetch, IMAGINE_ECONNECT);
    ck_assert_int_eq(fetch.was_sent, 0);
    ck_assert_int_eq(fetch.counts[AT_HEAD], 0);
}
END_TEST

START_TEST(an_answer_cut_off_is_told_as_such) {
    fetch_t fetch = {.url = subject->url_cut()};
    start_fetch(&fetch);
    run_until(&fetch.is_done);
    assert_failed(&fetch, IMAGINE_EPROTOCOL);
    ck_assert_int_eq(fetch.was_sent, 1);
    ck_assert_int_eq(fetch.counts[AT_HEAD], 1);
}
END_TEST

START_TEST(silence_ends_by_the_limit_for_the_first_byte) {
    fetch_t fetch = {.url = subject->url_silent(), .request.first_byte_timeout_ms = LIMIT_MS};
    uint64_t started_at_ms = io->now_ms(io->context);
    start_fetch(&fetch);
    run_until(&fetch.is_done);
    ck_assert_uint_ge(io->now_ms(io->context) - started_at_ms, LIMIT_MS);
    assert_failed(&fetch, IMAGINE_ETIMEDOUT);
    ck_assert_int_eq(fetch.was_sent, 1);
}
END_TEST

START_TEST(silence_ends_by_the_limit_for_all_of_it) {
    fetch_t fetch = {.url = subject->url_silent(), .request.timeout_ms = LIMIT_MS};
    start_fetch(&fetch);
    run_until(&fetch.is_done);
    assert_failed(&fetch, IMAGINE_ETIMEDOUT);
}
END_TEST

START_TEST(a_silent_exchange_can_be_cancelled) {
    fetch_t fetch = {.url = subject->url_silent()};
    start_fetch(&fetch);
    run_for(20);
    cancel(&fetch);
    assert_over(&fetch);
}
END_TEST

START_TEST(a_large_answer_comes_whole) {
    fetch_t fetch = {.url = subject->url_large(),
                     .request.response_size_max = IO_CONFORMANCE_LARGE};
    start_fetch(&fetch);
    run_until(&fetch.is_done);
    ck_assert_int_eq(fetch.error, 0);
    ck_assert_uint_eq(fetch.body_size, IO_CONFORMANCE_LARGE);
    ck_assert_int_gt(fetch.counts[AT_BODY], 1);
}
END_TEST

START_TEST(an_answer_larger_than_allowed_is_given_up) {
    fetch_t fetch = {.url = subject->url_large(),
                     .request.response_size_max = IO_CONFORMANCE_LARGE - 1};
    start_fetch(&fetch);
    run_until(&fetch.is_done);
    assert_failed(&fetch, IMAGINE_ETOOLARGE);
    ck_assert_uint_lt(fetch.body_size, IO_CONFORMANCE_LARGE);
}
END_TEST

START_TEST(an_answer_paused_again_and_again_comes_whole) {
    fetch_t fetch = {.url = subject->url_large(), .pause_count = 10};
    start_fetch(&fetch);
    run_until(&fetch.is_done);
    ck_assert_int_eq(fetch.error, 0);
    ck_assert_int_eq(fetch.pause_count, 0);
    ck_assert_uint_eq(fetch.body_size, IO_CONFORMANCE_LARGE);
}
END_TEST

START_TEST(a_paused_answer_sends_nothing_and_can_be_cancelled) {
    fetch_t fetch = {.url = subject->url_large(), .is_pausing = true};
    start_fetch(&fetch);
    while (fetch.counts[AT_BODY] == 0)
        subject->turn();
    assert_over(&fetch);
    ck_assert_int_eq(fetch.counts[AT_BODY], 1);
    cancel(&fetch);
    assert_over(&fetch);
}
END_TEST

/* ---- bodies in pieces ---------------------------------------------------------------------- */

typedef struct source {
    fetch_t fetch;
    size_t given_size;
    int hunger_count; /* how often it still has nothing to give at first */
    int64_t failure;  /* given instead of the second piece; 0: none */
    bool is_cancelling;
    bool is_waiting;
} source_t;

enum { SOURCE_SIZE = 100000, SOURCE_PIECE = 7001 };

static void on_fed(void *user) {
    source_t *source = user;
    source->is_waiting = false;
    io->http_pause(io->context, source->fetch.exchange, 0);
}

static int64_t read_source(void *out, size_t capacity, void *user) {
    source_t *source = user;
    size_t size = SOURCE_SIZE - source->given_size;
    imagine_timer_t *timer = NULL;
    ck_assert_msg(source->fetch.exchange != NULL, "asked inside the call that starts it");
    ck_assert_msg(!source->is_waiting, "asked although it had nothing to give");
    ck_assert(!source->fetch.is_cancelled && !source->fetch.is_done);
    ck_assert_uint_gt(size, 0);
    if (source->given_size > 0 && source->is_cancelling)
        cancel(&source->fetch);
    if (source->given_size > 0 && source->failure != 0)
        return source->failure;
    if (source->hunger_count > 0) {
        source->hunger_count--;
        source->is_waiting = true;
        ck_assert_int_eq(io->timer_start(io->context, 1, on_fed, source, &timer), 0);
        return 0;
    }
    size = size < SOURCE_PIECE ? size : SOURCE_PIECE;
    size = size < capacity ? size : capacity;
    memset(out, 'a', size);
    source->given_size += size;
    return (int64_t)size;
}

static void start_source(source_t *source) {
    fetch_t *fetch = &source->fetch;
    imagine_http_exchange_t *exchange = NULL;
    fetch->request.size = sizeof(fetch->request);
    fetch->request.method = "PUT";
    fetch->request.url = subject->url_ok();
    fetch->request.body_read = read_source;
    fetch->request.body_read_user = source;
    fetch->request.body_size = SOURCE_SIZE;
    ck_assert_int_eq(io->http_start(io->context, &fetch->request, &handler, fetch, &exchange), 0);
    fetch->exchange = exchange;
}

static const int hungers[] = {0, 1, 5};

START_TEST(a_body_in_pieces_is_asked_for_until_it_is_whole) { /* _i walks hungers */
    source_t source = {.hunger_count = hungers[_i]};
    start_source(&source);
    run_until(&source.fetch.is_done);
    ck_assert_int_eq(source.fetch.error, 0);
    ck_assert_int_eq(source.fetch.status, 200);
    ck_assert_int_eq(source.hunger_count, 0);
    ck_assert_uint_eq(source.given_size, SOURCE_SIZE);
    assert_over(&source.fetch);
}
END_TEST

START_TEST(a_body_that_cannot_be_read_ends_the_exchange) {
    source_t source = {.failure = IMAGINE_EIO};
    start_source(&source);
    run_until(&source.fetch.is_done);
    assert_failed(&source.fetch, IMAGINE_EIO);
    ck_assert_int_eq(source.fetch.was_sent, 0);
}
END_TEST

START_TEST(an_exchange_can_be_cancelled_by_its_body) {
    source_t source = {.is_cancelling = true};
    start_source(&source);
    run_until(&source.fetch.is_cancelled);
    assert_over(&source.fetch);
}
END_TEST

START_TEST(a_body_is_either_there_or_in_pieces) {
    imagine_slice_t slice = {"x", 1};
    source_t source = {.fetch.request = {.size = sizeof(source.fetch.request),
                                         .method = "PUT",
                                         .url = subject->url_ok(),
                                         .body = &slice,
                                         .body_count = 1,
                                         .body_read = read_source,
                                         .body_size = 1}};
    imagine_http_exchange_t *exchange = NULL;
    ck_assert_int_eq(
        io->http_start(io->context, &source.fetch.request, &handler, &source, &exchange),
        IMAGINE_EINVAL);
}
END_TEST

static int refuse(const char *host, const char *address, void *user) {
    int *count = user;
    ck_assert_uint_gt(strlen(host), 0);
    ck_assert_uint_gt(strlen(address), 0);
    (*count)++;
    return IMAGINE_EADDRESS;
}

static int allow(const char *host, const char *address, void *user) {
    refuse(host, address, user);
    return 0;
}

START_TEST(a_guard_that_refuses_ends_the_exchange) {
    int asked_count = 0;
    fetch_t fetch = {
        .url = subject->url_ok(), .request.guard = refuse, .request.guard_user = &asked_count};
    start_fetch(&fetch);
    ck_assert_int_eq(fetch.counts[AT_END], 0);
    run_until(&fetch.is_done);
    assert_failed(&fetch, IMAGINE_EADDRESS);
    ck_assert_int_eq(fetch.was_sent, 0);
    ck_assert_int_ge(asked_count, 1);
}
END_TEST

START_TEST(a_guard_that_allows_is_asked_and_changes_nothing) {
    int asked_count = 0;
    fetch_t fetch = {
        .url = subject->url_ok(), .request.guard = allow, .request.guard_user = &asked_count};
    start_fetch(&fetch);
    run_until(&fetch.is_done);
    ck_assert_int_eq(fetch.error, 0);
    ck_assert_str_eq(fetch.body, "hello");
    ck_assert_int_ge(asked_count, 1);
}
END_TEST

/* ---- all of it ----------------------------------------------------------------------------- */

static void add_exchanges(TCase *tests) {
    tcase_add_test(tests, an_answer_comes_as_head_body_and_end);
    tcase_add_test(tests, a_start_that_fails_never_calls_back);
    tcase_add_test(tests, an_exchange_cancelled_at_once_never_calls_back);
    tcase_add_loop_test(tests, an_exchange_can_cancel_itself_in_its_callbacks, AT_HEAD, AT_END);
    tcase_add_loop_test(tests, an_exchange_can_cancel_others_in_its_callbacks, 0, STEPS);
    tcase_add_loop_test(tests, an_exchange_can_start_another_in_its_callbacks, 0, STEPS);
    tcase_add_loop_test(tests, a_body_in_pieces_is_asked_for_until_it_is_whole, 0,
                        sizeof(hungers) / sizeof(hungers[0]));
    tcase_add_test(tests, a_body_that_cannot_be_read_ends_the_exchange);
    tcase_add_test(tests, an_exchange_can_be_cancelled_by_its_body);
    tcase_add_test(tests, a_body_is_either_there_or_in_pieces);
    tcase_add_test(tests, a_guard_that_refuses_ends_the_exchange);
    tcase_add_test(tests, a_guard_that_allows_is_asked_and_changes_nothing);
    if (subject->url_moved != NULL)
        tcase_add_test(tests, a_redirect_is_not_followed);
    if (subject->url_refused != NULL)
        tcase_add_test(tests, a_refused_connection_is_told_later_and_nothing_has_left);
    if (subject->url_cut != NULL)
        tcase_add_test(tests, an_answer_cut_off_is_told_as_such);
    if (subject->url_silent != NULL) {
        tcase_add_test(tests, silence_ends_by_the_limit_for_the_first_byte);
        tcase_add_test(tests, silence_ends_by_the_limit_for_all_of_it);
        tcase_add_test(tests, a_silent_exchange_can_be_cancelled);
    }
    if (subject->url_large != NULL) {
        tcase_add_test(tests, a_large_answer_comes_whole);
        tcase_add_test(tests, an_answer_larger_than_allowed_is_given_up);
        tcase_add_test(tests, an_answer_paused_again_and_again_comes_whole);
        tcase_add_test(tests, a_paused_answer_sends_nothing_and_can_be_cancelled);
    }
}

void io_conformance_add(Suite *suite, const io_conformance_t *conformance) {
    TCase *tests = tcase_create(conformance->name);
    const int delay_count = (int)(sizeof(delays) / sizeof(delays[0]));
    subject = conformance;
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 30);
    tcase_add_loop_test(tests, a_timer_fires_once_and_not_too_early, 0, delay_count);
    tcase_add_test(tests, timers_fire_in_the_order_of_their_instants);
    tcase_add_loop_test(tests, a_cancelled_timer_does_not_fire, 0, delay_count);
    tcase_add_loop_test(tests, a_timer_cancelled_by_another_of_the_same_turn_does_not_fire, 0,
                        delay_count);
    tcase_add_test(tests, a_timer_may_start_the_next_one);
    tcase_add_test(tests, a_thousand_timers_fire_once_each_and_the_cancelled_ones_never);
    tcase_add_test(tests, the_clock_never_goes_back);
    tcase_add_test(tests, the_wall_clock_goes_as_fast_as_the_other_one);
    tcase_add_test(tests, random_bytes_differ);
    tcase_add_test(tests, the_log_takes_every_level);
    if (conformance->url_ok != NULL)
        add_exchanges(tests);
    suite_add_tcase(suite, tests);
}
