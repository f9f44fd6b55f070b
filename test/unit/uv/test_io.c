/* test_io.c: the libuv implementation keeps the rules of imagine/io.h on a host's loop, and opens
 * and closes as it says. */
#include "imagine/io.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "support/check_main.h"
#include "support/descriptors.h"
#include "support/failing_mem.h"
#include "support/io_conformance.h"
#include "support/tcp_server.h"
#include "support/uv_host.h"
#include "uv/io.h"

static tcp_server_t *server;

static const imagine_io_t *open_plain(void) {
    server = tcp_server_open(TCP_SERVER_PLAIN);
    return uv_host_open(NULL)->io;
}

static void close_both(void) {
    uv_host_close();
    tcp_server_close(server);
}

static const char *url_ok(void) {
    return tcp_server_url(server, "/ok");
}

static const char *url_large(void) {
    return tcp_server_url(server, "/chunks/1000000");
}

static const char *url_silent(void) {
    return tcp_server_url(server, "/silent");
}

static const char *url_cut(void) {
    return tcp_server_url(server, "/cut");
}

static const char *url_moved(void) {
    return tcp_server_url(server, "/status/302");
}

static const char *url_refused(void) {
    static char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", tcp_server_free_port());
    return url;
}

static const io_conformance_t on_http = {
    .name = "conformance, HTTP",
    .open = open_plain,
    .turn = uv_host_turn,
    .close = close_both,
    .url_ok = url_ok,
    .url_large = url_large,
    .url_silent = url_silent,
    .url_refused = url_refused,
    .url_cut = url_cut,
    .url_moved = url_moved,
};

/* ---- opening and closing ------------------------------------------------------------------- */

static const struct {
    const char *name;
    const char *ca_file;
    bool is_longer; /* a caller of the future, who sets a field that we do not know */
    int error;
} open_cases[] = {
    {"the system's certificates", NULL, false, 0},
    {"a file that is not there", "/nowhere/ca.pem", false, IMAGINE_EINVAL},
    {"a folder", "/", false, IMAGINE_EINVAL},
    {"a file without certificates", "/dev/null", false, IMAGINE_EINVAL},
    {"a field that is not known", NULL, true, IMAGINE_EINVAL},
};

START_TEST(opening_checks_its_options) { /* _i walks open_cases */
    struct {
        imagine_io_uv_options_t known;
        uint64_t unknown;
    } options = {.known = {.size = sizeof(options.known)}};
    uv_loop_t loop;
    imagine_io_t *io = NULL;
    if (open_cases[_i].is_longer) {
        options.known.size = sizeof(options);
        options.unknown = 1;
    }
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    options.known.loop = &loop;
    options.known.ca_file = open_cases[_i].ca_file;
    ck_assert_msg(imagine_io_uv_open(&io, &options.known) == open_cases[_i].error, "%s",
                  open_cases[_i].name);
    ck_assert((io != NULL) == (open_cases[_i].error == 0));
    imagine_io_uv_close(io, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0); /* also after a failure there is nothing to undo */
}
END_TEST

START_TEST(an_idle_client_does_not_keep_the_loop_alive) {
    uv_host_t *host = uv_host_open(NULL);
    ck_assert_int_eq(uv_run(&host->loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(host->closed_count, 0);
    uv_host_close();
}
END_TEST

static void on_time(void *user) {
    *(bool *)user = true;
}

START_TEST(a_timer_keeps_the_loop_alive_until_it_has_fired) {
    uv_host_t *host = uv_host_open(NULL);
    imagine_timer_t *timer = NULL;
    bool has_fired = false;
    ck_assert_int_eq(host->io->timer_start(host->io->context, 20, on_time, &has_fired, &timer), 0);
    ck_assert_int_eq(uv_run(&host->loop, UV_RUN_DEFAULT), 0);
    ck_assert(has_fired);
    uv_host_close();
}
END_TEST

static void on_end(const imagine_http_end_t *end, void *user) {
    (void)end;
    *(bool *)user = true;
}

START_TEST(an_exchange_keeps_the_loop_alive_and_its_kept_connection_does_not) {
    const imagine_io_t *io = open_plain();
    static const imagine_http_handler_t handler = {.size = sizeof(handler), .on_end = on_end};
    imagine_http_request_t request = {.size = sizeof(request), .method = "GET", .url = url_ok()};
    imagine_http_exchange_t *exchange = NULL;
    bool has_ended = false;
    ck_assert_int_eq(io->http_start(io->context, &request, &handler, &has_ended, &exchange), 0);
    uv_host_run_until(&has_ended);
    ck_assert_int_eq(uv_run((uv_loop_t *)io->loop, UV_RUN_DEFAULT), 0);
    close_both();
}
END_TEST

START_TEST(the_table_names_the_loop_and_waits_for_nobody) {
    uv_host_t *host = uv_host_open(NULL);
    ck_assert_ptr_eq(host->io->loop, &host->loop);
    ck_assert_ptr_null(host->io->await);
    ck_assert_uint_eq(host->io->size, sizeof(imagine_io_t));
    uv_host_close();
}
END_TEST

typedef struct closing {
    uv_host_t *host;
    bool is_closed;
} closing_t;

static void on_closed(void *user) {
    *(bool *)user = true;
}

static void close_inside(void *user) {
    closing_t *closing = user;
    imagine_io_uv_close(closing->host->io, on_closed, &closing->is_closed);
    ck_assert(!closing->is_closed);
}

START_TEST(closing_inside_a_callback_is_fine) {
    closing_t closing = {.host = uv_host_open(NULL)};
    const imagine_io_t *io = closing.host->io;
    imagine_timer_t *timer = NULL;
    ck_assert_int_eq(io->timer_start(io->context, 0, close_inside, &closing, &timer), 0);
    uv_run(&closing.host->loop, UV_RUN_DEFAULT);
    ck_assert(closing.is_closed);
    ck_assert_int_eq(uv_loop_close(&closing.host->loop), 0);
}
END_TEST

/* ---- trust ----------------------------------------------------------------------------------- */

static void keep_error(const imagine_http_end_t *end, void *user) {
    *(int *)user = end->error;
}

static int get_over_tls(const imagine_io_t *io) {
    static const imagine_http_handler_t handler = {.size = sizeof(handler), .on_end = keep_error};
    imagine_http_request_t request = {.size = sizeof(request), .method = "GET", .url = url_ok()};
    imagine_http_exchange_t *exchange = NULL;
    int error = 1;
    ck_assert_int_eq(io->http_start(io->context, &request, &handler, &error, &exchange), 0);
    while (error == 1)
        uv_host_turn();
    return error;
}

START_TEST(whom_to_trust_can_be_said_later) {
    uv_host_t *host = uv_host_open(NULL);
    server = tcp_server_open(TCP_SERVER_TLS);
    ck_assert_int_eq(get_over_tls(host->io), IMAGINE_ECONNECT);
    ck_assert_int_eq(imagine_io_uv_trust(host->io, "/nowhere/ca.pem"), IMAGINE_EINVAL);
    ck_assert_int_eq(imagine_io_uv_trust(host->io, NULL), IMAGINE_EINVAL);
    ck_assert_int_eq(get_over_tls(host->io), IMAGINE_ECONNECT);
    ck_assert_int_eq(imagine_io_uv_trust(host->io, tcp_server_certificate_file()), 0);
    ck_assert_int_eq(get_over_tls(host->io), 0);
    close_both();
}
END_TEST

/* ---- closing in a crowd --------------------------------------------------------------------- */

enum { IDLE = 50, BUSY = 50 }; /* connections that are kept, and that wait for an answer */

typedef struct crowd {
    imagine_io_t *io;
    imagine_http_exchange_t *busy[BUSY];
    size_t ended_count;
    size_t descriptor_count_min; /* when it closes */
    int closed_count;
    bool is_closing_inside; /* in the callback of the last exchange to end */
} crowd_t;

static const struct {
    const char *name;
    tcp_server_mode_t mode;
    const char *format; /* of an address */
    size_t idle_count, connection_count;
    bool is_closing_inside;
} crowd_cases[] = {
    {"HTTP", TCP_SERVER_PLAIN, "http://127.0.0.1:%d%s", IDLE, IDLE + BUSY, false},
    {"HTTP, inside a callback", TCP_SERVER_PLAIN, "http://127.0.0.1:%d%s", IDLE, IDLE + BUSY, true},
    {"by name", TCP_SERVER_PLAIN, "http://localhost:%d%s", IDLE, IDLE + BUSY, false},
    {"TLS", TCP_SERVER_TLS, "https://127.0.0.1:%d%s", IDLE, IDLE + BUSY, false},
    {"TLS, inside a callback", TCP_SERVER_TLS, "https://127.0.0.1:%d%s", IDLE, IDLE + BUSY, true},
    /* The others wait whether it speaks HTTP/2. */
    {"in the first handshake", TCP_SERVER_MUTE, "https://127.0.0.1:%d%s", 0, 1, false},
};

static void count_closed(void *user) {
    ++*(int *)user;
}

static void leave_all(crowd_t *crowd) {
    ck_assert_uint_ge(descriptors_count(), crowd->descriptor_count_min);
    for (size_t i = 0; i < BUSY; i++)
        crowd->io->http_cancel(crowd->io->context, crowd->busy[i]);
    imagine_io_uv_close(crowd->io, count_closed, &crowd->closed_count);
    ck_assert_int_eq(crowd->closed_count, 0);
}

static void on_idle(const imagine_http_end_t *end, void *user) {
    crowd_t *crowd = user;
    ck_assert_int_eq(end->error, 0);
    if (++crowd->ended_count == IDLE && crowd->is_closing_inside)
        leave_all(crowd);
}

static void on_busy(const imagine_http_end_t *end, void *user) {
    (void)user;
    ck_abort_msg("%s, and it was to wait", end->message == NULL ? "answered" : end->message);
}

static imagine_http_exchange_t *join(crowd_t *crowd, const char *format, bool is_idle) {
    static const imagine_http_handler_t idle = {.size = sizeof(idle), .on_end = on_idle};
    static const imagine_http_handler_t busy = {.size = sizeof(busy), .on_end = on_busy};
    imagine_http_request_t request = {.size = sizeof(request), .method = "GET"};
    imagine_http_exchange_t *exchange = NULL;
    char url[64];
    snprintf(url, sizeof(url), format, tcp_server_port(server), is_idle ? "/late/300" : "/silent");
    request.url = url;
    ck_assert_int_eq(crowd->io->http_start(crowd->io->context, &request, is_idle ? &idle : &busy,
                                           crowd, &exchange),
                     0);
    return exchange;
}

START_TEST(closing_in_a_crowd_leaves_nothing_behind) { /* _i walks crowd_cases */
    imagine_io_uv_options_t options = {.size = sizeof(options)};
    crowd_t crowd = {.is_closing_inside = crowd_cases[_i].is_closing_inside};
    size_t idle_count = crowd_cases[_i].idle_count;
    size_t connection_count = crowd_cases[_i].connection_count;
    size_t descriptor_count = 0;
    failing_mem_t mem; /* counts; none is to fail */
    const imagine_allocator_t allocator = {failing_mem_resize, &mem};
    uv_loop_t loop;
    failing_mem_init(&mem, 0);
    server = tcp_server_open(crowd_cases[_i].mode);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    descriptor_count = descriptors_count();
    crowd.descriptor_count_min = descriptor_count + 2 * connection_count; /* the server's too */
    options.loop = &loop;
    options.allocator = &allocator;
    options.ca_file = tcp_server_certificate_file();
    ck_assert_int_eq(imagine_io_uv_open(&crowd.io, &options), 0);
    for (size_t i = 0; i < idle_count; i++)
        (void)join(&crowd, crowd_cases[_i].format, true);
    for (size_t i = 0; i < BUSY; i++)
        crowd.busy[i] = join(&crowd, crowd_cases[_i].format, false);
    while (tcp_server_connections(server) < connection_count || crowd.ended_count < idle_count)
        uv_run(&loop, UV_RUN_ONCE);
    if (!crowd.is_closing_inside)
        leave_all(&crowd);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(crowd.closed_count, 1);
    ck_assert_uint_eq(mem.live_count, 0);
    descriptors_expect(descriptor_count);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    tcp_server_close(server);
}
END_TEST

static Suite *uv_io_suite(void) {
    Suite *suite = suite_create("uv/io");
    TCase *tests = tcase_create("opening and closing");
    tcase_add_loop_test(tests, opening_checks_its_options, 0,
                        sizeof(open_cases) / sizeof(open_cases[0]));
    tcase_add_test(tests, an_idle_client_does_not_keep_the_loop_alive);
    tcase_add_test(tests, a_timer_keeps_the_loop_alive_until_it_has_fired);
    tcase_add_test(tests, an_exchange_keeps_the_loop_alive_and_its_kept_connection_does_not);
    tcase_add_test(tests, the_table_names_the_loop_and_waits_for_nobody);
    tcase_add_test(tests, closing_inside_a_callback_is_fine);
    tcase_add_test(tests, whom_to_trust_can_be_said_later);
    tcase_add_loop_test(tests, closing_in_a_crowd_leaves_nothing_behind, 0,
                        sizeof(crowd_cases) / sizeof(crowd_cases[0]));
    tcase_set_timeout(tests, 30);
    suite_add_tcase(suite, tests);
    io_conformance_add(suite, &on_http);
    return suite;
}

IMI_CHECK_MAIN(uv_io_suite)
