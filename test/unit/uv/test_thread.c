/* test_thread.c: the private thread: steps of many threads, their time limits, and the three ways
 * to close. Runs under ThreadSanitizer too. */
#include "imagine/io.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>
#include <uv.h>

#include "support/check_main.h"
#include "support/tcp_server.h"

enum {
    THREADS = 16,
    STEPS_EACH = 200,
};

static imagine_io_t *io;

static void open_io(void) {
    ck_assert_int_eq(imagine_io_uv_open(&io, NULL), 0);
    ck_assert_ptr_nonnull(io->await);
    ck_assert_ptr_nonnull(io->loop);
}

static void close_io(void) {
    imagine_io_uv_close(io, NULL, NULL);
}

static int await(imagine_await_cb step, void *user, int64_t timeout_ms) {
    return io->await(io->context, step, user, timeout_ms);
}

/* ---- steps --------------------------------------------------------------------------------- */

typedef struct counter {
    int calls; /* touched by the loop's thread alone */
    int wanted;
    pthread_t thread;
} counter_t;

static int count_up(void *user) {
    counter_t *counter = user;
    counter->thread = pthread_self();
    return ++counter->calls >= counter->wanted;
}

START_TEST(a_step_runs_on_the_loops_thread) {
    counter_t one = {.wanted = 1};
    counter_t two = {.wanted = 1};
    ck_assert_int_eq(await(count_up, &one, -1), 0);
    ck_assert_int_eq(await(count_up, &two, -1), 0);
    ck_assert_int_eq(one.calls, 1);
    ck_assert(!pthread_equal(one.thread, pthread_self()));
    ck_assert(pthread_equal(one.thread, two.thread));
}
END_TEST

static void keep_turning(void *user);

static void start_turning(counter_t *turns) {
    imagine_timer_t *timer = NULL;
    ck_assert_int_eq(io->timer_start(io->context, 1, keep_turning, turns, &timer), 0);
}

static void keep_turning(void *user) {
    counter_t *turns = user;
    if (++turns->calls < turns->wanted)
        start_turning(turns);
}

static int start_turning_step(void *user) {
    start_turning(user);
    return 1;
}

static int is_over(void *user) {
    const counter_t *turns = user;
    return turns->calls >= turns->wanted;
}

START_TEST(a_step_is_asked_again_after_every_turn) {
    counter_t turns = {.wanted = 20};
    counter_t counter = {.wanted = 10};
    ck_assert_int_eq(await(start_turning_step, &turns, -1), 0);
    ck_assert_int_eq(await(count_up, &counter, 5000), 0);
    ck_assert_int_eq(counter.calls, 10);
    ck_assert_int_eq(await(is_over, &turns, 5000), 0);
}
END_TEST

/* What ends a wait happens in a timer, right before the loop goes to sleep for long. */
START_TEST(what_a_timer_has_done_is_noticed_at_once) {
    for (int i = 0; i < 200; i++) { /* the instant falls into every phase of the loop */
        counter_t turns = {.wanted = 1};
        ck_assert_int_eq(await(start_turning_step, &turns, -1), 0);
        ck_assert_int_eq(await(is_over, &turns, 5000), 0);
    }
}
END_TEST

static int open_gate(void *user) {
    *(int *)user = 1;
    return 1;
}

static int is_gate_open(void *user) {
    return *(int *)user;
}

static void *wait_for_gate(void *user) {
    return io->await(io->context, is_gate_open, user, 10000) == 0 ? user : NULL;
}

START_TEST(what_one_step_has_done_another_ones_caller_learns) {
    int gate = 0;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, wait_for_gate, &gate), 0);
    usleep(20 * 1000);
    ck_assert_int_eq(await(open_gate, &gate, -1), 0);
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        ck_assert_ptr_eq(result, &gate);
    }
}
END_TEST

static int never(void *user) {
    atomic_fetch_add((atomic_int *)user, 1);
    return 0;
}

START_TEST(after_its_time_a_step_runs_no_more) {
    atomic_int call_count = 0;
    counter_t turns = {.wanted = 50};
    uint64_t started_at = uv_hrtime();
    int calls_before = 0;
    ck_assert_int_eq(await(start_turning_step, &turns, -1), 0);
    ck_assert_int_eq(await(never, &call_count, 30), IMAGINE_ETIMEDOUT);
    ck_assert_uint_ge(uv_hrtime() - started_at, 30 * 1000000);
    calls_before = atomic_load(&call_count);
    ck_assert_int_ge(calls_before, 1);
    ck_assert_int_eq(await(is_over, &turns, 5000), 0);
    ck_assert_int_eq(atomic_load(&call_count), calls_before);
}
END_TEST

static int sleep_long(void *user) {
    usleep(300 * 1000);
    *(int *)user = 1;
    return 1;
}

START_TEST(a_step_that_runs_when_its_time_is_up_is_waited_for) {
    int was_run = 0;
    ck_assert_int_eq(await(sleep_long, &was_run, 150), 0); /* begins within, ends after */
    ck_assert_int_eq(was_run, 1);
}
END_TEST

static void *occupy(void *user) {
    io->await(io->context, sleep_long, user, -1);
    return NULL;
}

START_TEST(a_time_limit_holds_while_the_loop_is_busy) {
    pthread_t thread;
    int was_run = 0;
    atomic_int call_count = 0;
    uint64_t started_at = 0;
    ck_assert_int_eq(pthread_create(&thread, NULL, occupy, &was_run), 0);
    usleep(20 * 1000);
    started_at = uv_hrtime();
    ck_assert_int_eq(await(never, &call_count, 10), IMAGINE_ETIMEDOUT);
    ck_assert_uint_lt(uv_hrtime() - started_at, 250 * 1000000);
    pthread_join(thread, NULL);
    usleep(10 * 1000);
    ck_assert_int_eq(atomic_load(&call_count), 0); /* its turn never came, and never will */
}
END_TEST

typedef struct inner {
    int results[2];
    int calls;
} inner_t;

static int call_inside(void *user) {
    inner_t *inner = user;
    counter_t once = {.wanted = 1};
    counter_t twice = {.wanted = 2};
    inner->results[0] = io->await(io->context, count_up, &once, -1);
    inner->results[1] = io->await(io->context, count_up, &twice, -1);
    inner->calls = once.calls + twice.calls;
    return 1;
}

START_TEST(on_the_loops_thread_a_step_runs_once_and_at_once) {
    inner_t inner = {{1, 1}, 0};
    ck_assert_int_eq(await(call_inside, &inner, -1), 0);
    ck_assert_int_eq(inner.results[0], 0);
    ck_assert_int_eq(inner.results[1], IMAGINE_EDEADLK);
    ck_assert_int_eq(inner.calls, 2);
}
END_TEST

static int total; /* the loop's thread alone */

static int add_one(void *user) {
    (void)user;
    total++;
    return 1;
}

/* Some steps are done at once, some wait, some run out of time: none is lost, none runs twice. */
static void *call_often(void *user) {
    atomic_int *timeouts = user;
    for (int i = 0; i < STEPS_EACH; i++) {
        atomic_int call_count = 0;
        if (io->await(io->context, add_one, NULL, -1) != 0)
            return NULL;
        if (i % 20 == 0 && io->await(io->context, never, &call_count, 1) == IMAGINE_ETIMEDOUT)
            atomic_fetch_add(timeouts, 1);
    }
    return user;
}

START_TEST(many_threads_have_their_steps_done) {
    pthread_t threads[THREADS];
    atomic_int timeouts = 0;
    total = 0;
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, call_often, &timeouts), 0);
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        ck_assert_ptr_nonnull(result);
    }
    ck_assert_int_eq(total, THREADS * STEPS_EACH);
    ck_assert_int_eq(atomic_load(&timeouts), THREADS * STEPS_EACH / 20);
}
END_TEST

/* ---- exchanges ----------------------------------------------------------------------------- */

typedef struct fetch {
    imagine_http_request_t request;
    imagine_http_exchange_t *exchange;
    int32_t error;
    int is_done;
} fetch_t;

static void on_end(const imagine_http_end_t *end, void *user) {
    fetch_t *fetch = user;
    fetch->error = end->error;
    fetch->is_done = 1;
}

static int start_fetch(void *user) {
    static const imagine_http_handler_t handler = {.size = sizeof(handler), .on_end = on_end};
    fetch_t *fetch = user;
    return io->http_start(io->context, &fetch->request, &handler, fetch, &fetch->exchange) == 0;
}

static int is_fetched(void *user) {
    return ((const fetch_t *)user)->is_done;
}

static void *fetch_from_thread(void *user) {
    fetch_t fetch = {.request = {.size = sizeof(fetch.request), .method = "GET", .url = user}};
    for (int i = 0; i < 10; i++) {
        fetch.is_done = 0;
        if (io->await(io->context, start_fetch, &fetch, -1) != 0 ||
            io->await(io->context, is_fetched, &fetch, 20000) != 0 || fetch.error != 0)
            return NULL;
    }
    return user;
}

START_TEST(exchanges_run_while_their_callers_sleep) {
    tcp_server_t *server = tcp_server_open(TCP_SERVER_PLAIN);
    const char *url = tcp_server_url(server, "/late/5");
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, fetch_from_thread, (void *)url), 0);
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        ck_assert_ptr_nonnull(result);
    }
    close_io(); /* its connections too */
    tcp_server_close(server);
    open_io();
}
END_TEST

/* ---- closing ------------------------------------------------------------------------------- */

static atomic_int closed_count;

static void count_closed(void *user) {
    ck_assert_ptr_eq(user, &closed_count);
    atomic_fetch_add(&closed_count, 1);
}

static void wait_for_closed(void) {
    while (atomic_load(&closed_count) == 0)
        usleep(1000);
    usleep(10 * 1000); /* the thread's last steps */
    ck_assert_int_eq(atomic_load(&closed_count), 1);
}

START_TEST(closing_waits_for_the_thread_when_nobody_is_to_be_told) {
    for (int i = 0; i < 20; i++) {
        open_io();
        close_io();
    }
}
END_TEST

START_TEST(closing_tells_when_all_is_gone) {
    open_io();
    imagine_io_uv_close(io, count_closed, &closed_count);
    wait_for_closed();
}
END_TEST

static void close_inside(void *user) {
    imagine_io_uv_close(io, user == NULL ? NULL : count_closed, user);
}

static int close_step(void *user) {
    imagine_timer_t *timer = NULL;
    return io->timer_start(io->context, 1, close_inside, user, &timer) == 0;
}

START_TEST(closing_on_the_private_thread_does_not_wait_for_itself) { /* _i: is somebody told? */
    open_io();
    ck_assert_int_eq(await(close_step, _i == 0 ? NULL : &closed_count, -1), 0);
    if (_i == 0)
        usleep(50 * 1000);
    else
        wait_for_closed();
}
END_TEST

static void *wait_for_ever(void *user) {
    atomic_int call_count = 0;
    *(int *)user = io->await(io->context, never, &call_count, -1);
    return NULL;
}

START_TEST(closing_sends_away_who_still_waits) {
    pthread_t threads[THREADS];
    int results[THREADS] = {0};
    open_io();
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, wait_for_ever, &results[i]), 0);
    usleep(100 * 1000);
    close_io();
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(results[i], IMAGINE_ECLOSED);
    }
}
END_TEST

static Suite *uv_thread_suite(void) {
    Suite *suite = suite_create("uv/thread");
    TCase *steps = tcase_create("await");
    TCase *closing = tcase_create("closing");
    tcase_add_checked_fixture(steps, open_io, close_io);
    tcase_set_timeout(steps, 60);
    tcase_add_test(steps, a_step_runs_on_the_loops_thread);
    tcase_add_test(steps, a_step_is_asked_again_after_every_turn);
    tcase_add_test(steps, what_a_timer_has_done_is_noticed_at_once);
    tcase_add_test(steps, what_one_step_has_done_another_ones_caller_learns);
    tcase_add_test(steps, after_its_time_a_step_runs_no_more);
    tcase_add_test(steps, a_step_that_runs_when_its_time_is_up_is_waited_for);
    tcase_add_test(steps, a_time_limit_holds_while_the_loop_is_busy);
    tcase_add_test(steps, on_the_loops_thread_a_step_runs_once_and_at_once);
    tcase_add_test(steps, many_threads_have_their_steps_done);
    tcase_add_test(steps, exchanges_run_while_their_callers_sleep);
    tcase_set_timeout(closing, 30);
    tcase_add_test(closing, closing_waits_for_the_thread_when_nobody_is_to_be_told);
    tcase_add_test(closing, closing_tells_when_all_is_gone);
    tcase_add_loop_test(closing, closing_on_the_private_thread_does_not_wait_for_itself, 0, 2);
    tcase_add_test(closing, closing_sends_away_who_still_waits);
    suite_add_tcase(suite, steps);
    suite_add_tcase(suite, closing);
    return suite;
}

IMI_CHECK_MAIN(uv_thread_suite)
