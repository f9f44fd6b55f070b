/* test_listener.c: a listener over real sockets: it opens, says why it cannot, answers, is full,
 * stops, and closes with requests in flight, and leaves nothing on its loop. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "imagine/gateway.h"
#include "support/check_main.h"

#define TURNS_MAX 5000 /* of a millisecond at most */

static uv_loop_t loop;
static imagine_t *im;
static imagine_gateway_t *gateway;
static imagine_settings_t *settings;
static imagine_listener_t *listener;
static int32_t port;
static int closed_count;

static void on_closed(void *user) {
    ck_assert_ptr_eq(user, &closed_count);
    closed_count++;
}

static int open_listener(char **message) {
    return imagine_listener_open(&listener, gateway, &loop, settings, &port, message);
}

static void set_up(void) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    closed_count = 0;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    options.loop = &loop;
    ck_assert_int_eq(imagine_open(&im, &options), 0);
    ck_assert_int_eq(imagine_settings_open(&settings), 0);
    ck_assert_int_eq(imagine_settings_set(settings, "PORT", "0"), 0);
    ck_assert_int_eq(imagine_settings_set(settings, "HOST", "127.0.0.1"), 0);
    ck_assert_int_eq(imagine_settings_set(settings, "MAX_CONNECTIONS", "2"), 0);
    ck_assert_int_eq(imagine_settings_set(settings, "STATE_FILE", ":memory:"), 0);
    ck_assert_int_eq(imagine_configure(im, settings, NULL), 0);
    ck_assert_int_eq(imagine_gateway_open(&gateway, im, settings, NULL), 0);
}

static void tear_down(void) {
    imagine_gateway_close(gateway);
    imagine_close(im, NULL, NULL);
    imagine_settings_close(settings);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static void close_listener(void) {
    imagine_listener_close(listener, on_closed, &closed_count);
    ck_assert_int_eq(closed_count, 0); /* never inside the call */
    for (int i = 0; i < TURNS_MAX && closed_count == 0; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_int_eq(closed_count, 1);
    ck_assert_uint_eq(imagine_gateway_in_flight(gateway), 0);
}

static int connect_to_it(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void say(int fd, const char *text) {
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* What comes within so many milliseconds; "" also when the other end has closed. */
static const char *hear(int fd, int turns) {
    static char text[4096];
    ssize_t size = -1;
    for (int i = 0; i < turns && size < 0; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
        size = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
        if (size < 0)
            usleep(1000);
    }
    text[size > 0 ? size : 0] = '\0';
    return text;
}

static const char ask[] = "GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n";
static const char begin_post[] = "POST /api/v1/generate HTTP/1.1\r\nHost: x\r\n"
                                 "Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{";

START_TEST(it_answers_and_keeps_the_connection) {
    ck_assert_int_eq(open_listener(NULL), 0);
    ck_assert_int_gt(port, 0);
    int fd = connect_to_it();
    for (int i = 0; i < 3; i++) {
        say(fd, ask);
        ck_assert_int_eq(strncmp(hear(fd, TURNS_MAX), "HTTP/1.1 200 OK\r\n", 17), 0);
    }
    close_listener();
    ck_assert_str_eq(hear(fd, TURNS_MAX), "");
    close(fd);
}
END_TEST

static const struct {
    const char *first, *second; /* WORKERS */
} taken_cases[] = {{"1", "1"}, {"1", "2"}, {"2", "1"}, {"2", "2"}};

/* Also where the system would let both have it. */
START_TEST(a_port_that_is_taken_is_told) { /* _i walks taken_cases */
    imagine_listener_t *first = NULL;
    char *message = NULL, number[16];
    ck_assert_int_eq(imagine_settings_set(settings, "WORKERS", taken_cases[_i].first), 0);
    ck_assert_int_eq(open_listener(NULL), 0);
    first = listener;
    snprintf(number, sizeof(number), "%d", port);
    ck_assert_int_eq(imagine_settings_set(settings, "PORT", number), 0);
    ck_assert_int_eq(imagine_settings_set(settings, "WORKERS", taken_cases[_i].second), 0);
    ck_assert_int_eq(open_listener(&message), IMAGINE_EIO);
    ck_assert_ptr_null(listener);
    ck_assert_ptr_nonnull(message);
    ck_assert_ptr_nonnull(strstr(message, number));
    ck_assert_int_eq(strncmp(message, "HOST, PORT: 127.0.0.1, ", 23), 0);
    imagine_free(message);
    listener = first;
    close_listener();
}
END_TEST

static const struct {
    const char *workers;
    int32_t count; /* 0: what the machine can run at once */
} count_cases[] = {{"1", 1}, {"5", 5}, {"64", IMAGINE_LISTENERS_MAX}, {"0", 0}};

START_TEST(the_settings_say_how_many) { /* _i walks count_cases */
    int32_t count = count_cases[_i].count;
    if (count == 0)
        count = (int32_t)uv_available_parallelism();
    if (count > IMAGINE_LISTENERS_MAX)
        count = IMAGINE_LISTENERS_MAX;
    ck_assert_int_eq(imagine_settings_set(settings, "WORKERS", count_cases[_i].workers), 0);
    ck_assert_int_eq(imagine_listener_count(settings), count);
}
END_TEST

static imagine_listener_t *open_two(const char *connections_max) {
    imagine_listener_t *other = NULL;
    ck_assert_int_eq(imagine_settings_set(settings, "WORKERS", "2"), 0);
    ck_assert_int_eq(imagine_settings_set(settings, "MAX_CONNECTIONS", connections_max), 0);
    ck_assert_int_eq(open_listener(NULL), 0);
    ck_assert_int_eq(imagine_listener_join(&other, listener, gateway, &loop, NULL), 0);
    ck_assert_ptr_nonnull(other);
    return other;
}

/* Closed in either order: where one is gone, the other has every connection. */
START_TEST(one_that_joined_answers_on_the_same_port) { /* _i: which goes first */
    enum { COUNT = 40 };
    imagine_listener_t *both[2] = {NULL, NULL};
    int fds[COUNT], cut_count = 0;
    both[1] = open_two("1000");
    both[0] = listener;
    for (int i = 0; i < COUNT; i++) {
        say(fds[i] = connect_to_it(), ask);
        ck_assert_str_ne(hear(fds[i], TURNS_MAX), "");
    }
    listener = both[_i];
    close_listener();
    for (int i = 0; i < COUNT; i++) {
        cut_count += recv(fds[i], &(char){0}, 1, MSG_DONTWAIT) == 0;
        close(fds[i]);
    }
    ck_assert_int_gt(cut_count, 0); /* it would take one chance in 10^12 */
    ck_assert_int_lt(cut_count, COUNT);
    for (int i = 0; i < COUNT; i++) {
        say(fds[i] = connect_to_it(), ask);
        ck_assert_str_ne(hear(fds[i], TURNS_MAX), "");
        close(fds[i]);
    }
    listener = both[1 - _i];
    closed_count = 0;
    close_listener();
}
END_TEST

START_TEST(each_has_its_part_of_the_connections) {
    int fds[2];
    imagine_listener_t *other = open_two("2"), *first = listener;
    imagine_listener_stop(first);
    uv_run(&loop, UV_RUN_NOWAIT);
    for (int i = 0; i < 2; i++)
        say(fds[i] = connect_to_it(), ask);
    ck_assert_str_ne(hear(fds[0], TURNS_MAX), "");
    ck_assert_str_eq(hear(fds[1], 50), "");
    close(fds[0]);
    ck_assert_str_ne(hear(fds[1], TURNS_MAX), "");
    close(fds[1]);
    close_listener();
    listener = other;
    closed_count = 0;
    close_listener();
}
END_TEST

START_TEST(nobody_joins_one_that_is_alone) {
    imagine_listener_t *other = listener;
    char *message = NULL;
    ck_assert_int_eq(open_listener(NULL), 0); /* WORKERS is 1 */
    ck_assert_int_eq(imagine_listener_join(&other, listener, gateway, &loop, &message),
                     IMAGINE_EIO);
    ck_assert_ptr_null(other);
    ck_assert_str_eq(message, "WORKERS: address already in use");
    imagine_free(message);
    ck_assert_int_eq(imagine_listener_join(&other, listener, gateway, &loop, NULL), IMAGINE_EIO);
    close_listener();
}
END_TEST

START_TEST(a_host_that_is_not_ours_is_told) {
    char *message = NULL;
    ck_assert_int_eq(imagine_settings_set(settings, "HOST", "192.0.2.1"), 0);
    ck_assert_int_eq(open_listener(&message), IMAGINE_EIO);
    ck_assert_ptr_nonnull(message);
    imagine_free(message);
    imagine_listener_close(listener, on_closed, NULL); /* NULL: nothing happens */
}
END_TEST

START_TEST(a_connection_too_many_waits_for_its_turn) {
    int fds[3];
    ck_assert_int_eq(open_listener(NULL), 0);
    for (int i = 0; i < 3; i++)
        say(fds[i] = connect_to_it(), ask);
    ck_assert_str_ne(hear(fds[0], TURNS_MAX), "");
    ck_assert_str_ne(hear(fds[1], TURNS_MAX), "");
    ck_assert_str_eq(hear(fds[2], 50), "");
    close(fds[0]);
    ck_assert_str_ne(hear(fds[2], TURNS_MAX), "");
    close_listener();
    close(fds[1]);
    close(fds[2]);
}
END_TEST

START_TEST(when_stopped_it_answers_those_it_has) {
    ck_assert_int_eq(open_listener(NULL), 0);
    int fd = connect_to_it();
    say(fd, ask);
    ck_assert_str_ne(hear(fd, TURNS_MAX), "");
    imagine_listener_stop(listener);
    imagine_listener_stop(listener);
    say(fd, ask);
    ck_assert_str_ne(hear(fd, TURNS_MAX), "");
    close(fd);
    close_listener();
}
END_TEST

START_TEST(it_closes_with_requests_in_flight) {
    int fds[2];
    ck_assert_int_eq(open_listener(NULL), 0);
    for (int i = 0; i < 2; i++) {
        say(fds[i] = connect_to_it(), begin_post);
        ck_assert_str_eq(hear(fds[i], 20), "");
    }
    ck_assert_uint_eq(imagine_gateway_in_flight(gateway), 2);
    close_listener();
    close(fds[0]);
    close(fds[1]);
}
END_TEST

/* Closing at once with bytes unread would reset the connection and take the answer away. */
START_TEST(a_refusal_is_followed_by_the_end_of_what_we_send) {
    ck_assert_int_eq(open_listener(NULL), 0);
    int fd = connect_to_it();
    say(fd, "POST /api/v1/generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            "Content-Length: 99999999999\r\n\r\n");
    ck_assert_int_eq(strncmp(hear(fd, TURNS_MAX), "HTTP/1.1 413 ", 13), 0);
    say(fd, "{}");
    ck_assert_str_eq(hear(fd, 500), ""); /* recv() gives 0 at once, not after DROP_TIME_MS */
    ck_assert_int_eq(recv(fd, &(char){0}, 1, MSG_DONTWAIT), 0);
    close(fd);
    close_listener();
}
END_TEST

static Suite *listener_suite(void) {
    Suite *suite = suite_create("listener");
    TCase *tcase = tcase_create("listener");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, it_answers_and_keeps_the_connection);
    tcase_add_loop_test(tcase, a_port_that_is_taken_is_told, 0,
                        sizeof(taken_cases) / sizeof(taken_cases[0]));
    tcase_add_loop_test(tcase, the_settings_say_how_many, 0,
                        sizeof(count_cases) / sizeof(count_cases[0]));
    tcase_add_loop_test(tcase, one_that_joined_answers_on_the_same_port, 0, 2);
    tcase_add_test(tcase, each_has_its_part_of_the_connections);
    tcase_add_test(tcase, nobody_joins_one_that_is_alone);
    tcase_add_test(tcase, a_host_that_is_not_ours_is_told);
    tcase_add_test(tcase, a_connection_too_many_waits_for_its_turn);
    tcase_add_test(tcase, when_stopped_it_answers_those_it_has);
    tcase_add_test(tcase, it_closes_with_requests_in_flight);
    tcase_add_test(tcase, a_refusal_is_followed_by_the_end_of_what_we_send);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(listener_suite)
