/* test_turn.c: a loop that its host turns: when it waits, what it tells a host with a loop of its
 * own, and how it closes. */
#include <poll.h>
#include <pthread.h>
#include <string.h>

#include "imagine.h"
#include "imagine/io.h"
#include "imagine/storage.h"
#include "support/check_main.h"
#include "support/tcp_server.h"

static imagine_io_t *io;

static void open_io(void) {
    imagine_io_uv_options_t options = {.size = sizeof(options), .is_manual = 1};
    ck_assert_int_eq(imagine_io_uv_open(&io, &options), 0);
}

static void close_io(void) {
    if (io != NULL)
        imagine_io_uv_close(io, NULL, NULL);
    io = NULL;
}

static void count(void *user) {
    ++*(int *)user;
}

static imagine_timer_t *start_timer(uint64_t delay_ms, imagine_timer_cb on_timer, void *user) {
    imagine_timer_t *timer = NULL;
    ck_assert_int_eq(io->timer_start(io->context, delay_ms, on_timer, user, &timer), 0);
    return timer;
}

static uint64_t now_ms(void) {
    return io->now_ms(io->context);
}

START_TEST(nothing_happens_but_inside_a_turn) {
    int fired = 0;
    start_timer(5, count, &fired);
    poll(NULL, 0, 20);
    ck_assert_int_eq(fired, 0);
    while (imagine_io_uv_turn(io, 1000) == 1) {
    }
    ck_assert_int_eq(fired, 1);
}
END_TEST

START_TEST(a_turn_waits_no_longer_than_it_may) {
    int fired = 0;
    uint64_t began = now_ms();
    imagine_timer_t *timer = start_timer(60000, count, &fired);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(imagine_io_uv_turn(io, 20), 1);
    ck_assert_uint_ge(now_ms() - began, 35); /* the first may be short: something was started */
    ck_assert_uint_lt(now_ms() - began, 5000);
    io->timer_cancel(io->context, timer);
    ck_assert_int_eq(imagine_io_uv_turn(io, 0), 0);
    began = now_ms();
    ck_assert_int_eq(imagine_io_uv_turn(io, -1), 0); /* nothing is in flight */
    ck_assert_uint_lt(now_ms() - began, 5000);
}
END_TEST

START_TEST(a_host_is_told_when_to_turn) {
    struct pollfd watched = {imagine_io_uv_turn_fd(io), POLLIN, 0};
    int fired = 0, wait_ms;
    ck_assert_int_ge(watched.fd, 0);
    imagine_io_uv_turn(io, 0);
    ck_assert_int_eq(imagine_io_uv_turn_wait_ms(io), -1);
    start_timer(30, count, &fired);
    for (int turns = 0; fired == 0 && turns < 1000; turns++) {
        wait_ms = imagine_io_uv_turn_wait_ms(io);
        ck_assert_int_le(wait_ms, 31);
        ck_assert_int_ge(wait_ms, 0);
        poll(&watched, 1, wait_ms);
        imagine_io_uv_turn(io, 0);
    }
    ck_assert_int_eq(fired, 1);
    ck_assert_int_eq(imagine_io_uv_turn_wait_ms(io), -1);
}
END_TEST

typedef struct answer {
    int status, end_count;
} answer_t;

static void on_head(const imagine_http_head_t *head, void *user) {
    ((answer_t *)user)->status = head->status;
}

static void on_body(const void *data, size_t data_size, void *user) {
    (void)data;
    (void)data_size;
    (void)user;
}

static void on_end(const imagine_http_end_t *end, void *user) {
    ck_assert_int_eq(end->error, 0);
    ((answer_t *)user)->end_count++;
}

START_TEST(exchanges_wake_the_descriptor) {
    static const imagine_http_handler_t handler = {sizeof(handler), on_head, on_body, on_end};
    tcp_server_t *server = tcp_server_open(TCP_SERVER_PLAIN);
    imagine_http_request_t request = {.size = sizeof(request), .method = "GET"};
    imagine_http_exchange_t *exchange = NULL;
    struct pollfd watched = {imagine_io_uv_turn_fd(io), POLLIN, 0};
    answer_t answer = {0};
    request.url = tcp_server_url(server, "/late/50");
    ck_assert_int_eq(io->http_start(io->context, &request, &handler, &answer, &exchange), 0);
    for (int turns = 0; answer.end_count == 0 && turns < 1000; turns++) {
        poll(&watched, 1, imagine_io_uv_turn_wait_ms(io));
        imagine_io_uv_turn(io, 0);
    }
    ck_assert_int_eq(answer.end_count, 1);
    ck_assert_int_eq(answer.status, 200);
    tcp_server_close(server);
}
END_TEST

static int is_set(void *user) {
    return *(int *)user;
}

START_TEST(waiting_turns_the_loop) {
    int fired = 0, never = 0;
    start_timer(10, count, &fired);
    ck_assert_int_eq(io->await(io->context, is_set, &fired, -1), 0);
    ck_assert_int_eq(fired, 1);
    ck_assert_int_eq(io->await(io->context, is_set, &never, 10), IMAGINE_ETIMEDOUT);
}
END_TEST

static void turn_inside(void *user) {
    int never = 0;
    ck_assert_int_eq(imagine_io_uv_turn(io, 0), IMAGINE_EDEADLK);
    ck_assert_int_eq(io->await(io->context, is_set, &never, 10), IMAGINE_EDEADLK);
    count(user);
}

START_TEST(a_callback_cannot_turn) {
    int fired = 0;
    start_timer(0, turn_inside, &fired);
    while (imagine_io_uv_turn(io, -1) == 1) {
    }
    ck_assert_int_eq(fired, 1);
}
END_TEST

static void close_inside(void *user) {
    imagine_io_uv_close(io, count, user);
}

START_TEST(closing_inside_a_callback_ends_with_the_turn) {
    int closed = 0, result = 1;
    start_timer(0, close_inside, &closed);
    for (int turns = 0; result == 1 && turns < 100; turns++) {
        ck_assert_int_eq(closed, 0);
        result = imagine_io_uv_turn(io, -1);
    }
    ck_assert_int_eq(result, IMAGINE_ECLOSED);
    ck_assert_int_eq(closed, 1);
    io = NULL;
}
END_TEST

START_TEST(closing_outside_waits) {
    int closed = 0;
    imagine_io_uv_close(io, count, &closed);
    ck_assert_int_eq(closed, 1);
    io = NULL;
}
END_TEST

static void *wake_later(void *user) {
    poll(NULL, 0, 20);
    ck_assert_int_eq(imagine_io_uv_turn_wake(user), 0);
    return NULL;
}

START_TEST(another_thread_waits_for_the_descriptors) {
    imagine_io_uv_options_t options = {.size = sizeof(options), .is_manual = 1};
    imagine_io_t *other = NULL;
    int32_t fds[2];
    pthread_t thread;
    int fired = 0;
    ck_assert_int_eq(imagine_io_uv_open(&other, &options), 0);
    fds[0] = imagine_io_uv_turn_fd(io);
    fds[1] = imagine_io_uv_turn_fd(other);
    ck_assert_int_eq(imagine_io_uv_turn(io, 0), 0);
    ck_assert_int_eq(imagine_io_uv_turn(other, 0), 0);
    ck_assert_int_eq(imagine_turn_await(fds, 2, 0), 0);
    ck_assert_int_eq(imagine_turn_await(fds, 2, 10), 0);
    start_timer(0, count, &fired); /* deadlines are the host's business */
    ck_assert_int_eq(imagine_turn_await(fds, 2, 10), 0);
    for (int i = 0; i < 2; i++) { /* a wake is remembered until the turn */
        ck_assert_int_eq(pthread_create(&thread, NULL, wake_later, other), 0);
        ck_assert_int_eq(imagine_turn_await(fds, 2, -1), 1);
        ck_assert_int_eq(imagine_turn_await(fds, 2, -1), 1);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        ck_assert_int_eq(imagine_io_uv_turn(other, 0), 0);
        ck_assert_int_eq(imagine_turn_await(fds, 2, 0), 0);
    }
    while (fired == 0)
        imagine_io_uv_turn(io, -1);
    imagine_io_uv_close(other, NULL, NULL);
}
END_TEST

START_TEST(what_is_no_descriptor_is_not_waited_for) {
    int32_t fds[] = {imagine_io_uv_turn_fd(io), -1};
    ck_assert_int_eq(imagine_turn_await(fds, 2, -1), IMAGINE_EINVAL);
    fds[1] = 1 << 20; /* past any limit of descriptors */
    ck_assert_int_eq(imagine_turn_await(fds, 2, -1), IMAGINE_EINVAL);
    ck_assert_int_eq(imagine_turn_await(fds, 0, -1), IMAGINE_EINVAL);
}
END_TEST

START_TEST(other_tables_cannot_be_turned) {
    imagine_io_uv_options_t both = {.size = sizeof(both), .is_manual = 1, .loop = io->loop};
    imagine_io_t *other = NULL;
    ck_assert_int_eq(imagine_io_uv_open(&other, &both), IMAGINE_EINVAL);
    ck_assert_int_eq(imagine_io_uv_open(&other, NULL), 0);
    ck_assert_int_eq(imagine_io_uv_turn(other, 0), IMAGINE_ENOTSUP);
    ck_assert_int_eq(imagine_io_uv_turn_fd(other), IMAGINE_ENOTSUP);
    ck_assert_int_eq(imagine_io_uv_turn_wait_ms(other), IMAGINE_ENOTSUP);
    ck_assert_int_eq(imagine_io_uv_turn_wake(other), IMAGINE_ENOTSUP);
    imagine_io_uv_close(other, NULL, NULL);
}
END_TEST

/* ---- a whole client ---------------------------------------------------------------------------
 */

static imagine_t *open_client(void) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_t *im = NULL;
    options.is_manual = 1;
    ck_assert_int_eq(imagine_open(&im, &options), 0);
    return im;
}

static void on_done(int status, const imagine_result_t *result, void *user) {
    ck_assert_int_eq(status, 0);
    ck_assert_ptr_nonnull(result->url);
    count(user);
}

static const char picture[] = "{\"model\":\"sample/waves\",\"prompt\":\"a cat\"}";

static imagine_request_t *ask(imagine_t *im, imagine_done_cb done, void *user) {
    imagine_request_t *request = NULL;
    ck_assert_int_eq(
        imagine_submit(im, "generate", picture, sizeof(picture) - 1, done, user, &request), 0);
    return request;
}

START_TEST(a_client_works_in_its_turns) {
    imagine_t *im = open_client();
    int done = 0;
    imagine_request_t *request = ask(im, on_done, &done);
    ck_assert_int_eq(done, 0);
    while (imagine_turn(im, -1) == 1) {
    }
    ck_assert_int_eq(done, 1);
    imagine_request_release(request);
    request = ask(im, on_done, &done);
    ck_assert_int_eq(imagine_wait(request, 60000), 0);
    ck_assert_int_eq(done, 2);
    imagine_request_release(request);
    done = 0;
    imagine_close(im, count, &done);
    ck_assert_int_eq(done, 1);
}
END_TEST

START_TEST(what_the_storage_holds_can_be_waited_for) {
    imagine_t *im = open_client();
    imagine_storage_t *storage = NULL;
    ck_assert_int_eq(imagine_wait_loaded(im), 0); /* there is none */
    ck_assert_int_eq(imagine_storage_open(&storage, "memory:", NULL), 0);
    ck_assert_int_eq(imagine_set_storage(im, storage), 0);
    ck_assert_int_eq(imagine_wait_loaded(im), 0);
    ck_assert_int_eq(imagine_turn(im, 0), 0); /* nothing is in flight: it is loaded */
    imagine_close(im, NULL, NULL);
}
END_TEST

typedef struct leaving {
    imagine_t *im;
    int done, closed;
} leaving_t;

static void close_client(int status, const imagine_result_t *result, void *user) {
    leaving_t *leaving = user;
    (void)status;
    (void)result;
    leaving->done++;
    imagine_close(leaving->im, count, &leaving->closed);
}

START_TEST(a_client_that_is_closed_by_its_callback_is_turned_to_its_end) { /* _i: in a wait? */
    leaving_t leaving = {.im = open_client()};
    imagine_request_t *request = ask(leaving.im, close_client, &leaving);
    int result = 1;
    if (_i == 1)
        ck_assert_int_eq(imagine_wait(request, 60000), 0);
    for (int turns = 0; result >= 0 && turns < 1000; turns++)
        result = imagine_turn(leaving.im, -1);
    ck_assert_int_eq(result, IMAGINE_ECLOSED);
    ck_assert_int_eq(leaving.done, 1);
    ck_assert_int_eq(leaving.closed, 1);
    imagine_request_release(request);
}
END_TEST

START_TEST(a_thousand_clients_come_and_go) {
    for (int i = 0; i < 1000; i++)
        imagine_close(open_client(), NULL, NULL);
}
END_TEST

static Suite *turn(void) {
    Suite *suite = suite_create("uv/turn");
    TCase *tcase = tcase_create("io");
    tcase_add_checked_fixture(tcase, open_io, close_io);
    tcase_add_test(tcase, nothing_happens_but_inside_a_turn);
    tcase_add_test(tcase, a_turn_waits_no_longer_than_it_may);
    tcase_add_test(tcase, a_host_is_told_when_to_turn);
    tcase_add_test(tcase, exchanges_wake_the_descriptor);
    tcase_add_test(tcase, waiting_turns_the_loop);
    tcase_add_test(tcase, a_callback_cannot_turn);
    tcase_add_test(tcase, closing_inside_a_callback_ends_with_the_turn);
    tcase_add_test(tcase, closing_outside_waits);
    tcase_add_test(tcase, another_thread_waits_for_the_descriptors);
    tcase_add_test(tcase, what_is_no_descriptor_is_not_waited_for);
    tcase_add_test(tcase, other_tables_cannot_be_turned);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("client");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_client_works_in_its_turns);
    tcase_add_test(tcase, what_the_storage_holds_can_be_waited_for);
    tcase_add_loop_test(tcase, a_client_that_is_closed_by_its_callback_is_turned_to_its_end, 0, 2);
    tcase_add_test(tcase, a_thousand_clients_come_and_go);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(turn)
