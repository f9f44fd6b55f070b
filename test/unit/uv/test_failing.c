/* test_failing.c: memory that runs out. One scenario with all that a client asks of this room runs
 * again and again, and each time a later allocation of ours fails: once alone, once with all that
 * follow. Whatever was accepted ends once, as it should or with IMAGINE_ENOMEM; after that the same
 * client does all of it without a fault; and nothing is left. (libcurl and libuv keep the process's
 * allocator.) */
#include "uv/io.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "support/check_main.h"
#include "support/descriptors.h"
#include "support/failing_mem.h"
#include "support/h2_server.h"
#include "support/tcp_server.h"

enum {
    PATIENCE_MS = 20000, /* an exchange that runs into this was forgotten */
    SHORT_MS = 6,
    LARGE_SIZE = 60000,
    PIECE_SIZE = 20000,
    TIMERS = 80,     /* more than the heap has room for at first */
    RUNS_MAX = 1000, /* far more than the scenario has allocations */
};

typedef enum place { PLAIN, LOCALHOST, NOBODY, TLS, HTTP2 } place_t;
typedef enum whim { STAYS, LEAVES_AT_ONCE, LEAVES_LATER, LEAVES_AT_THE_HEAD, PAUSES } whim_t;

static const struct {
    const char *name;
    place_t place;
    const char *path;
    size_t body_size;
    int error;
    whim_t whim;
    bool is_in_pieces, is_guarded, is_impatient;
} visits[] = {
    {.name = "GET", .path = "/ok"},
    {.name = "a small body", .path = "/echo", .body_size = 100},
    {.name = "a large body", .path = "/echo", .body_size = LARGE_SIZE},
    {.name = "pieces", .path = "/echo", .body_size = LARGE_SIZE, .is_in_pieces = true},
    {.name = "a redirect", .path = "/status/302", .body_size = 100},
    {.name = "a long head", .path = "/headers/200"},
    {.name = "a head too long", .path = "/headers/300", .error = IMAGINE_ETOOLARGE},
    {.name = "chunks", .path = "/chunks/200000"},
    {.name = "a pause", .path = "/chunks/200000", .whim = PAUSES},
    {.name = "cut", .path = "/cut", .error = IMAGINE_EPROTOCOL},
    {.name = "reset", .path = "/reset", .error = IMAGINE_EPROTOCOL},
    {.name = "silence", .path = "/silent", .is_impatient = true, .error = IMAGINE_ETIMEDOUT},
    {.name = "left at once", .path = "/silent", .whim = LEAVES_AT_ONCE},
    {.name = "left later", .path = "/silent", .whim = LEAVES_LATER},
    {.name = "left at the head", .path = "/chunks/200000", .whim = LEAVES_AT_THE_HEAD},
    {.name = "guarded", .path = "/ok", .is_guarded = true},
    {.name = "by name", .place = LOCALHOST, .path = "/ok"},
    {.name = "nobody", .place = NOBODY, .path = "/ok", .error = IMAGINE_ECONNECT},
    {.name = "TLS", .place = TLS, .path = "/echo", .body_size = 100},
    {.name = "TLS, left later", .place = TLS, .path = "/silent", .whim = LEAVES_LATER},
    {.name = "HTTP/2", .place = HTTP2, .path = "/echo", .body_size = LARGE_SIZE},
    {.name = "HTTP/2 again", .place = HTTP2, .path = "/ok"},
    {.name = "HTTP/2 broken", .place = HTTP2, .path = "/broken", .error = IMAGINE_EPROTOCOL},
    {.name = "HTTP/2, left later", .place = HTTP2, .path = "/silent", .whim = LEAVES_LATER},
};
#define VISIT_COUNT (sizeof(visits) / sizeof(visits[0]))

typedef struct visit {
    size_t index;
    imagine_http_exchange_t *exchange; /* NULL: not there any more */
    imagine_timer_t *timer;            /* to leave or to go on */
    size_t given_size;                 /* of a body in pieces */
} visit_t;

static failing_mem_t failing;
static tcp_server_t *plain_server;
static tcp_server_t *tls_server;
static int nobodys_port;
static bool has_http2;
static const char body[LARGE_SIZE];

static const imagine_io_t *io;
static visit_t asked[VISIT_COUNT];
static imagine_timer_t *timers[TIMERS];
static size_t open_count;    /* exchanges and timers that are to end */
static size_t refused_count; /* starts that failed, and exchanges that ended with IMAGINE_ENOMEM */

/* ---- timers -------------------------------------------------------------------------------- */

static void start_timer(uint64_t delay_ms, imagine_timer_cb on_timer, void *user,
                        imagine_timer_t **out) {
    int err = io->timer_start(io->context, delay_ms, on_timer, user, out);
    ck_assert(err == 0 || (err == IMAGINE_ENOMEM && failing.has_failed));
    ck_assert((err == 0) == (*out != NULL));
    open_count += err == 0;
    refused_count += err != 0;
}

static void stop_timer(imagine_timer_t **timer) {
    if (*timer == NULL)
        return;
    io->timer_cancel(io->context, *timer);
    *timer = NULL;
    open_count--;
}

static void on_timer(void *user) {
    imagine_timer_t **timer = user;
    ck_assert_ptr_nonnull(*timer); /* it was not cancelled */
    *timer = NULL;
    open_count--;
}

static void start_timers(void) {
    for (size_t i = 0; i < TIMERS; i++)
        start_timer(i % 7, on_timer, &timers[i], &timers[i]);
    for (size_t i = 0; i < TIMERS; i += 3)
        stop_timer(&timers[i]);
}

/* ---- exchanges ----------------------------------------------------------------------------- */

static void end_visit(visit_t *visit) {
    stop_timer(&visit->timer);
    visit->exchange = NULL;
    open_count--;
}

static void leave(visit_t *visit) {
    io->http_cancel(io->context, visit->exchange);
    end_visit(visit);
}

static void on_leave(void *user) {
    visit_t *visit = user;
    visit->timer = NULL;
    open_count--;
    leave(visit);
}

static void on_go_on(void *user) {
    visit_t *visit = user;
    visit->timer = NULL;
    open_count--;
    io->http_pause(io->context, visit->exchange, 0);
}

static void on_head(const imagine_http_head_t *head, void *user) {
    visit_t *visit = user;
    (void)head;
    ck_assert_ptr_nonnull(visit->exchange);
    if (visits[visit->index].whim == LEAVES_AT_THE_HEAD)
        leave(visit);
    if (visits[visit->index].whim != PAUSES)
        return;
    start_timer(2, on_go_on, visit, &visit->timer);
    if (visit->timer != NULL)
        io->http_pause(io->context, visit->exchange, 1);
}

static void on_body(const void *data, size_t data_size, void *user) {
    visit_t *visit = user;
    (void)data;
    ck_assert_uint_gt(data_size, 0);
    ck_assert_ptr_nonnull(visit->exchange);
}

static void on_end(const imagine_http_end_t *end, void *user) {
    visit_t *visit = user;
    ck_assert_ptr_nonnull(visit->exchange); /* neither a second time nor after a cancel */
    ck_assert_msg(end->error == visits[visit->index].error ||
                      (end->error == IMAGINE_ENOMEM && failing.has_failed),
                  "%s ended with %d, %s; allocation %zu failed", visits[visit->index].name,
                  end->error, end->message == NULL ? "" : end->message, failing.fail_at);
    ck_assert((end->error == 0) == (end->message == NULL));
    refused_count += end->error == IMAGINE_ENOMEM;
    end_visit(visit);
}

static int64_t read_piece(void *out, size_t capacity, void *user) {
    visit_t *visit = user;
    size_t size = capacity < PIECE_SIZE ? capacity : PIECE_SIZE;
    memset(out, 'x', size);
    visit->given_size += size;
    return (int64_t)size;
}

static int let_pass(const char *host, const char *address, void *user) {
    (void)host, (void)address, (void)user;
    return 0;
}

static const char *url_of(size_t index, char *out, size_t capacity) {
    const char *path = visits[index].path;
    switch (visits[index].place) {
    case LOCALHOST:
        snprintf(out, capacity, "http://localhost:%d%s", tcp_server_port(plain_server), path);
        return out;
    case NOBODY:
        snprintf(out, capacity, "http://127.0.0.1:%d%s", nobodys_port, path);
        return out;
    case TLS:
        return tcp_server_url(tls_server, path);
    case HTTP2:
        return h2_server_url(path);
    default:
        return tcp_server_url(plain_server, path);
    }
}

static void start_visit(size_t index) {
    static const imagine_http_handler_t handler = {
        .size = sizeof(handler), .on_head = on_head, .on_body = on_body, .on_end = on_end};
    static const imagine_header_t header = {"X-Header", "value"};
    static imagine_slice_t slices[VISIT_COUNT];
    visit_t *visit = &asked[index];
    imagine_http_request_t request = {.size = sizeof(request), .method = "GET"};
    char url[64];
    int err = 0;
    *visit = (visit_t){.index = index};
    request.url = url_of(index, url, sizeof(url));
    request.headers = &header;
    request.header_count = 1;
    request.timeout_ms = visits[index].is_impatient ? SHORT_MS : PATIENCE_MS;
    if (visits[index].body_size > 0)
        request.method = "POST";
    slices[index] = (imagine_slice_t){body, visits[index].body_size};
    if (visits[index].is_in_pieces) {
        request.body_read = read_piece;
        request.body_read_user = visit;
        request.body_size = visits[index].body_size;
    } else if (visits[index].body_size > 0) {
        request.body = &slices[index];
        request.body_count = 1;
    }
    if (visits[index].is_guarded)
        request.guard = let_pass;
    err = io->http_start(io->context, &request, &handler, visit, &visit->exchange);
    ck_assert_msg(err == 0 || (err == IMAGINE_ENOMEM && failing.has_failed), "%s: %d",
                  visits[index].name, err);
    ck_assert((err == 0) == (visit->exchange != NULL));
    open_count += err == 0;
    refused_count += err != 0;
    if (err != 0)
        return;
    if (visits[index].whim == LEAVES_LATER)
        start_timer(SHORT_MS / 2, on_leave, visit, &visit->timer);
    if (visits[index].whim == LEAVES_AT_ONCE ||
        (visits[index].whim == LEAVES_LATER && visit->timer == NULL))
        leave(visit);
}

static bool is_possible(size_t index) {
    return visits[index].place != HTTP2 || has_http2;
}

static void start_all(void) {
    for (size_t i = 0; i < VISIT_COUNT; i++) {
        if (is_possible(i))
            start_visit(i);
    }
    start_timers();
}

/* ---- on a loop of the host's ---------------------------------------------------------------- */

static void count_closed(void *user) {
    ++*(int *)user;
}

static void do_all(uv_loop_t *loop) {
    start_all();
    while (open_count > 0)
        uv_run(loop, UV_RUN_ONCE);
}

/* One life of a client, in which allocation `fail_at` fails; false when there was none such. */
static bool live(size_t fail_at, bool is_lasting) {
    imagine_io_uv_options_t options = {.size = sizeof(options)};
    const imagine_allocator_t allocator = {failing_mem_resize, &failing};
    imagine_io_t *table = NULL;
    uv_loop_t loop;
    bool has_failed = false;
    int closed_count = 0;
    int err = 0;
    failing_mem_init(&failing, fail_at);
    failing.is_lasting = is_lasting;
    refused_count = 0;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    options.loop = &loop;
    options.allocator = &allocator;
    options.ca_file = tcp_server_certificate_file();
    err = imagine_io_uv_open(&table, &options);
    ck_assert(err == 0 || (err == IMAGINE_ENOMEM && failing.has_failed));
    ck_assert((err == 0) == (table != NULL));
    if (err == 0) {
        io = table;
        do_all(&loop);
        ck_assert(is_lasting || refused_count <= 1);
        has_failed = failing.has_failed;
        failing.fail_at = 0;
        failing.has_failed = false; /* from here on nothing may end with IMAGINE_ENOMEM */
        refused_count = 0;
        do_all(&loop);
        ck_assert_uint_eq(refused_count, 0);
        imagine_io_uv_close(table, count_closed, &closed_count);
        uv_run(&loop, UV_RUN_DEFAULT);
        ck_assert_int_eq(closed_count, 1);
    }
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    ck_assert_msg(failing.live_count == 0, "allocation %zu failed: %zu blocks left", fail_at,
                  failing.live_count);
    return has_failed || err != 0;
}

START_TEST(everything_ends_once_whichever_allocation_fails) { /* _i: do all that follow? */
    size_t descriptor_count = 0;
    size_t n = 1;
    live(0, false); /* libuv keeps some from the first time on */
    descriptor_count = descriptors_count();
    while (live(n, _i != 0))
        ck_assert_uint_lt(++n, RUNS_MAX);
    descriptors_expect(descriptor_count);
    ck_assert_uint_gt(n, 50); /* else the scenario has lost its parts */
}
END_TEST

/* ---- with a private thread ------------------------------------------------------------------ */

static int start_step(void *user) {
    (void)user;
    start_all();
    return 1;
}

static int is_over(void *user) {
    (void)user;
    return open_count == 0;
}

static bool live_on_a_thread(size_t fail_at) {
    imagine_io_uv_options_t options = {.size = sizeof(options)};
    const imagine_allocator_t allocator = {failing_mem_resize, &failing};
    imagine_io_t *table = NULL;
    int err = 0;
    failing_mem_init(&failing, fail_at);
    options.allocator = &allocator;
    options.ca_file = tcp_server_certificate_file();
    err = imagine_io_uv_open(&table, &options);
    ck_assert(err == 0 || (err == IMAGINE_ENOMEM && failing.has_failed));
    if (err == 0) {
        io = table;
        ck_assert_int_eq(io->await(io->context, start_step, NULL, -1), 0);
        ck_assert_int_eq(io->await(io->context, is_over, NULL, 2 * PATIENCE_MS), 0);
        imagine_io_uv_close(table, NULL, NULL);
    }
    ck_assert_uint_eq(failing.live_count, 0);
    return failing.has_failed;
}

START_TEST(so_it_is_on_a_private_thread) {
    size_t n = 1;
    while (live_on_a_thread(n))
        ck_assert_uint_lt(++n, RUNS_MAX);
}
END_TEST

/* ---- all of it ------------------------------------------------------------------------------ */

static void open_servers(void) {
    plain_server = tcp_server_open(TCP_SERVER_PLAIN);
    tls_server = tcp_server_open(TCP_SERVER_TLS);
    nobodys_port = tcp_server_free_port();
}

static void close_servers(void) {
    tcp_server_close(plain_server);
    tcp_server_close(tls_server);
}

static Suite *uv_failing_suite(void) {
    Suite *suite = suite_create("uv without memory");
    TCase *tests = tcase_create("whichever allocation fails");
    has_http2 = h2_server_open();
    tcase_add_checked_fixture(tests, open_servers, close_servers);
    tcase_set_timeout(tests, 150);
    tcase_add_loop_test(tests, everything_ends_once_whichever_allocation_fails, 0, 2);
    tcase_add_test(tests, so_it_is_on_a_private_thread);
    suite_add_tcase(suite, tests);
    return suite;
}

IMI_CHECK_MAIN(uv_failing_suite)
