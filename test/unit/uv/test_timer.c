/* test_timer.c: timers on a real loop: exact enough, many, and no wake-ups for nothing. What every
 * implementation must keep is in test_io.c. */
#include "uv/timer.h"

#include <stdbool.h>
#include <stdlib.h>

#include "support/check_main.h"
#include "support/uv_host.h"

enum { MANY = 20000 };

static const imagine_io_t *io;
static uv_host_t *host;

static void setup(void) {
    host = uv_host_open(NULL);
    io = host->io;
}

static void on_time(void *user) {
    ++*(int *)user;
}

static imagine_timer_t *start(uint64_t delay_ms, int *count) {
    imagine_timer_t *timer = NULL;
    ck_assert_int_eq(io->timer_start(io->context, delay_ms, on_time, count, &timer), 0);
    return timer;
}

START_TEST(a_delay_counts_from_now_however_old_the_loops_clock_is) {
    int count = 0;
    uint64_t started_at = 0;
    uv_update_time(&host->loop);
    while (uv_hrtime() / 1000000 < uv_now(&host->loop) + 50)
        continue; /* the loop's clock is 50 ms behind now */
    started_at = uv_hrtime();
    start(20, &count);
    while (count == 0)
        uv_host_turn();
    ck_assert_uint_ge(uv_hrtime() - started_at, 20 * 1000000);
}
END_TEST

START_TEST(no_delay_means_no_sleep) {
    uint64_t started_at = uv_hrtime();
    int count = 0;
    for (int i = 0; i < 1000; i++) {
        start(0, &count);
        while (count == i)
            uv_host_turn();
    }
    ck_assert_uint_lt(uv_hrtime() - started_at, 500 * 1000000); /* a sleep each: over 500 ms */
}
END_TEST

START_TEST(an_endless_chain_of_timers_lets_events_through) {
    int count = 0;
    uint64_t started_at = uv_hrtime();
    imagine_timer_t *last = NULL;
    start(30, &count);
    while (count == 0) {
        int fired_count = 0;
        last = start(0, &fired_count);
        while (fired_count == 0)
            uv_host_turn();
    }
    (void)last;
    ck_assert_uint_lt(uv_hrtime() - started_at, 1000 * 1000000);
}
END_TEST

START_TEST(many_timers_are_kept_apart) {
    imagine_timer_t **timers = calloc(MANY, sizeof(*timers));
    int *counts = calloc(MANY, sizeof(*counts));
    srand(1);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < MANY; i++) {
            counts[i] = 0;
            timers[i] = start((uint64_t)rand() % 100, &counts[i]);
        }
        for (size_t i = 0; i < MANY; i += 2)
            io->timer_cancel(io->context, timers[i]);
        uv_host_run_for(101);
        for (size_t i = 0; i < MANY; i++)
            ck_assert_int_eq(counts[i], i % 2 == 0 ? 0 : 1);
    }
    free(timers);
    free(counts);
}
END_TEST

/* Requests set far limits and cancel them soon: the process must not wake for those. */
START_TEST(a_cancelled_timer_wakes_nobody) {
    int far_count = 0;
    int near_count = 0;
    int turn_count = 0;
    imagine_timer_t *cancelled = start(20, &near_count);
    start(80, &far_count);
    io->timer_cancel(io->context, cancelled);
    while (far_count == 0) {
        uv_host_turn();
        turn_count++;
    }
    ck_assert_int_eq(near_count, 0);
    ck_assert_int_le(turn_count, 2);
}
END_TEST

START_TEST(nothing_set_means_nothing_due) {
    int count = 0;
    io->timer_cancel(io->context, start(20, &count));
    ck_assert_int_eq(uv_run(&host->loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(count, 0);
}
END_TEST

START_TEST(a_delay_of_centuries_is_no_delay_of_none) {
    int count = 0;
    imagine_timer_t *timer = start(UINT64_MAX, &count);
    uv_host_run_for(5);
    ck_assert_int_eq(count, 0);
    io->timer_cancel(io->context, timer);
}
END_TEST

static Suite *uv_timer_suite(void) {
    Suite *suite = suite_create("uv/timer");
    TCase *tests = tcase_create("timers");
    tcase_add_checked_fixture(tests, setup, uv_host_close);
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, a_delay_counts_from_now_however_old_the_loops_clock_is);
    tcase_add_test(tests, no_delay_means_no_sleep);
    tcase_add_test(tests, an_endless_chain_of_timers_lets_events_through);
    tcase_add_test(tests, many_timers_are_kept_apart);
    tcase_add_test(tests, a_cancelled_timer_wakes_nobody);
    tcase_add_test(tests, nothing_set_means_nothing_due);
    tcase_add_test(tests, a_delay_of_centuries_is_no_delay_of_none);
    suite_add_tcase(suite, tests);
    return suite;
}

IMI_CHECK_MAIN(uv_timer_suite)
