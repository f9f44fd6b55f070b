/* test_watch.c: descriptors come and go, and their numbers are used again: no watch may outlive its
 * descriptor, none may be deaf, and none may wake the loop for nothing. */
#include "uv/watch.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/check_main.h"
#include "uv/io.h"

typedef struct owner {
    int event_count;
    int events; /* the last ones */
    int fd;
} owner_t;

static uv_loop_t loop;
static imi_uv_t uv;
static imi_watches_t watches;

static void on_event(void *user, int fd, int events) {
    owner_t *owner = user;
    owner->event_count++;
    owner->events = events;
    owner->fd = fd;
}

static void setup(void) {
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    uv = (imi_uv_t){.loop = &loop, .handle_count = 1}; /* one more than there are: `uv` is ours */
    imi_watches_init(&watches, &uv, on_event);
}

static void teardown(void) {
    imi_watches_reset(&watches);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(uv.handle_count, 1);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static void close_timer(uv_timer_t *timer) {
    uv_close((uv_handle_t *)timer, NULL);
}

static void turn(void) {
    uv_timer_t timer; /* unreferenced watches alone do not make the loop look at them */
    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, close_timer, 5, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
}

static void make_pair(int fds[2]) {
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
}

static void say(int fd) {
    ck_assert_int_eq(write(fd, "x", 1), 1);
}

START_TEST(events_reach_their_owner) {
    owner_t owner = {0};
    int fds[2];
    make_pair(fds);
    ck_assert_int_eq(imi_watch_begin(&watches, fds[0], &loop), 0);
    ck_assert_int_eq(imi_watch_set(&watches, fds[0], IMI_WATCH_WRITABLE, &owner), 0);
    turn();
    ck_assert_int_ge(owner.event_count, 1);
    ck_assert_int_eq(owner.events, IMI_WATCH_WRITABLE);
    ck_assert_int_eq(imi_watch_set(&watches, fds[0], IMI_WATCH_READABLE, &owner), 0);
    owner.event_count = 0;
    turn();
    ck_assert_int_eq(owner.event_count, 0);
    say(fds[1]);
    turn();
    ck_assert_int_ge(owner.event_count, 1);
    ck_assert_int_eq(owner.fd, fds[0]);
    imi_watch_end(&watches, fds[0]);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(a_parked_connection_is_silent_and_wakes_again) {
    owner_t first = {0};
    owner_t second = {0};
    int fds[2];
    make_pair(fds);
    ck_assert_int_eq(imi_watch_begin(&watches, fds[0], &loop), 0);
    ck_assert_int_eq(imi_watch_set(&watches, fds[0], IMI_WATCH_READABLE, &first), 0);
    imi_watch_clear(&watches, fds[0]);
    say(fds[1]);
    turn();
    ck_assert_int_eq(first.event_count, 0);
    ck_assert_int_eq(imi_watch_set(&watches, fds[0], IMI_WATCH_READABLE, &second), 0);
    turn();
    ck_assert_int_eq(first.event_count, 0);
    ck_assert_int_ge(second.event_count, 1);
    imi_watch_end(&watches, fds[0]);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(a_socket_that_takes_over_a_number_is_heard) {
    owner_t owner = {0};
    int fds[2];
    int next[2];
    make_pair(fds);
    ck_assert_int_eq(imi_watch_begin(&watches, fds[0], &loop), 0);
    ck_assert_int_eq(imi_watch_set(&watches, fds[0], IMI_WATCH_READABLE, &owner), 0);
    close(fds[0]); /* without a word */
    close(fds[1]);
    make_pair(next);
    ck_assert_int_eq(next[0], fds[0]);
    ck_assert_int_eq(imi_watch_begin(&watches, next[0], &loop), 0); /* nothing is wanted anew */
    say(next[1]);
    turn();
    ck_assert_int_ge(owner.event_count, 1);
    imi_watch_end(&watches, next[0]);
    close(next[0]);
    close(next[1]);
}
END_TEST

static const struct {
    const char *name;
    bool is_announced;
    int events;
} forgotten_cases[] = {
    {"not announced", false, IMI_WATCH_READABLE},
    {"a connection that was never made", true, IMI_WATCH_WRITABLE},
};

/* These are closed without a word: the watch must be gone by then. */
START_TEST(what_may_be_closed_unseen_is_not_parked) { /* _i walks forgotten_cases */
    owner_t owner = {0};
    int fds[2];
    int next[2];
    make_pair(fds);
    if (forgotten_cases[_i].is_announced)
        ck_assert_int_eq(imi_watch_begin(&watches, fds[0], &loop), 0);
    ck_assert_int_eq(imi_watch_set(&watches, fds[0], forgotten_cases[_i].events, &owner), 0);
    imi_watch_clear(&watches, fds[0]);
    turn();
    ck_assert_uint_eq(uv.handle_count, 1);
    close(fds[0]);
    close(fds[1]);
    make_pair(next);
    ck_assert_int_eq(imi_watch_set(&watches, next[0], IMI_WATCH_WRITABLE, &owner), 0);
    turn();
    ck_assert_int_ge(owner.event_count, 1);
    imi_watch_end(&watches, next[0]);
    close(next[0]);
    close(next[1]);
}
END_TEST

static const struct {
    const char *name;
    const void *opener;
    int events;
    bool goes;
} given_up_cases[] = {
    {"never connected", &loop, IMI_WATCH_WRITABLE, true},
    {"another one's by now", &uv, IMI_WATCH_WRITABLE, false},
    {"a made connection", &loop, IMI_WATCH_READABLE, false},
};

START_TEST(
    a_socket_is_forgotten_when_its_opener_gives_up_connecting) { /* _i walks given_up_cases */
    owner_t owner = {0};
    int fds[2];
    make_pair(fds);
    ck_assert_int_eq(imi_watch_begin(&watches, fds[0], given_up_cases[_i].opener), 0);
    ck_assert_int_eq(imi_watch_set(&watches, fds[0], given_up_cases[_i].events, &owner), 0);
    imi_watch_give_up(&watches, fds[0], &loop);
    say(fds[1]);
    turn();
    ck_assert_int_eq(owner.event_count == 0, given_up_cases[_i].goes);
    imi_watch_end(&watches, fds[0]);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(what_nobody_watches_can_be_cleared_and_ended) {
    imi_watch_clear(&watches, 5);
    imi_watch_end(&watches, 5);
    imi_watch_end(&watches, -1);
    imi_watch_give_up(&watches, 5, &loop);
    imi_watch_clear(&watches, 1 << 20);
    ck_assert_int_eq(imi_watch_begin(&watches, -1, &loop), -1);
}
END_TEST

static Suite *uv_watch_suite(void) {
    Suite *suite = suite_create("uv/watch");
    TCase *tests = tcase_create("watches");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, events_reach_their_owner);
    tcase_add_test(tests, a_parked_connection_is_silent_and_wakes_again);
    tcase_add_test(tests, a_socket_that_takes_over_a_number_is_heard);
    tcase_add_loop_test(tests, what_may_be_closed_unseen_is_not_parked, 0,
                        sizeof(forgotten_cases) / sizeof(forgotten_cases[0]));
    tcase_add_loop_test(tests, a_socket_is_forgotten_when_its_opener_gives_up_connecting, 0,
                        sizeof(given_up_cases) / sizeof(given_up_cases[0]));
    tcase_add_test(tests, what_nobody_watches_can_be_cleared_and_ended);
    suite_add_tcase(suite, tests);
    return suite;
}

IMI_CHECK_MAIN(uv_watch_suite)
