/* test_chaos.c: two hundred exchanges at a time of all kinds with servers of all kinds: cancelled,
 * paused, limited and broken at random, in callbacks and between them. Whatever happens: each ends
 * once or was cancelled, never both; head, body and end come in order; what may have been sent says
 * so; and nothing is left. A failure prints its seed: UV_SEED=<seed> repeats its dice, though not
 * the timing of its servers. */
#include "uv/io.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check_main.h"
#include "support/descriptors.h"
#include "support/failing_mem.h"
#include "support/h2_server.h"
#include "support/random.h"
#include "support/tcp_server.h"

enum {
    ROUNDS = 3,
    EXCHANGES = 200,
    AT_ONCE = 60,        /* until some have ended */
    SENT_MAX = 300000,   /* bytes of a request's body */
    PATIENCE_MS = 20000, /* what runs into this was forgotten */
    LIMIT_MAX_MS = 60,
    TURNS_MAX = 1000000,
};

/* ---- what there is to ask for -------------------------------------------------------------- */

typedef enum place { PLAIN, TLS, RESETS, MUTE, NOBODY, HTTP2, PLACES } place_t;

/* What the servers do for these paths is in tcp_server.h and h2_server.h. `length`: of the body;
 * UINT64_MAX: of an answer that never is whole. */
static const struct {
    const char *path;
    uint64_t length;
    bool is_http2, is_silent; /* is there a limit needed? */
} answers[] = {
    {"/ok", 5, true, false},
    {"/late/20", 5, true, false},
    {"/status/302", 0, true, false},
    {"/size/100000", 100000, true, false},
    {"/size/2000000", 2000000, true, false},
    {"/silent", UINT64_MAX, true, true},
    {"/broken", UINT64_MAX, true, false},
    {"/chunks/300000", 300000, false, false},
    {"/bytewise", 5, false, false},
    {"/interim", 5, false, false},
    {"/headers/200", 0, false, false},
    {"/headers/300", UINT64_MAX, false, false},
    {"/deaf", UINT64_MAX, false, true},
    {"/half", UINT64_MAX, false, true},
    {"/half-head", UINT64_MAX, false, true},
    {"/cut", UINT64_MAX, false, false},
    {"/reset", UINT64_MAX, false, false},
    {"/close", UINT64_MAX, false, false},
    {"/garbage", UINT64_MAX, false, false},
    {"/bye", 5, false, false},
};
#define ANSWER_COUNT (sizeof(answers) / sizeof(answers[0]))

typedef struct subject {
    size_t index; /* in answers[] */
    place_t place;
    imagine_http_exchange_t *exchange; /* NULL: ended or cancelled */
    imagine_timer_t *timer;            /* the next whim */
    imagine_slice_t slice;
    uint64_t sent_size, given_size; /* of a body in pieces */
    uint64_t received_size;
    int head_count, end_count, cancel_count;
    bool is_paused, is_hungry, has_limit;
    bool is_unreachable; /* no connection, or no handshake, comes about */
} subject_t;

static uint64_t seed;
static uint64_t dice;
static failing_mem_t mem; /* counts; none is to fail */
static const imagine_io_t *io;
static tcp_server_t *servers[PLACES]; /* NOBODY and HTTP2: NULL */
static int nobodys_port;
static bool has_http2;
static subject_t subjects[EXCHANGES];
static size_t started_count, over_count, whole_count;
static char bytes[SENT_MAX];

#define PROVE(condition, subject)                                                     \
    ck_assert_msg(condition, "seed %" PRIu64 ", exchange %zu, %s: " #condition, seed, \
                  (size_t)((subject)-subjects), answers[(subject)->index].path)

static bool happens(unsigned percent) {
    return random_below(&dice, 100) < percent;
}

/* ---- whims --------------------------------------------------------------------------------- */

static void start_next(void);

static void on_whim(void *user);

static void plan_whim(subject_t *subject) {
    if (subject->timer == NULL)
        ck_assert_int_eq(io->timer_start(io->context, random_below(&dice, 30), on_whim, subject,
                                         &subject->timer),
                         0);
}

static void be_over(subject_t *subject) {
    if (subject->timer != NULL)
        io->timer_cancel(io->context, subject->timer);
    subject->timer = NULL;
    subject->exchange = NULL;
    over_count++;
    start_next();
}

static void leave(subject_t *subject) {
    io->http_cancel(io->context, subject->exchange);
    subject->cancel_count++;
    be_over(subject);
}

static void pause_or_go_on(subject_t *subject) {
    subject->is_paused = !subject->is_paused;
    io->http_pause(io->context, subject->exchange, subject->is_paused ? 1 : 0);
    if (subject->is_paused)
        plan_whim(subject); /* nobody else lets it go on */
}

/* Any exchange may do something to itself or to another one, at any time. */
static void have_whim(subject_t *subject) {
    subject_t *other = &subjects[random_below(&dice, started_count)];
    if (happens(5) && other != subject && other->exchange != NULL)
        leave(other);
    if (happens(4))
        leave(subject);
    else if (happens(25))
        pause_or_go_on(subject);
}

static void on_whim(void *user) {
    subject_t *subject = user;
    subject->timer = NULL;
    PROVE(subject->exchange != NULL, subject);
    if (subject->is_hungry) {
        subject->is_hungry = false;
        io->http_pause(io->context, subject->exchange, subject->is_paused ? 1 : 0);
    }
    if (subject->is_paused)
        pause_or_go_on(subject);
    else
        have_whim(subject);
}

/* ---- what comes ---------------------------------------------------------------------------- */

static void on_head(const imagine_http_head_t *head, void *user) {
    subject_t *subject = user;
    PROVE(subject->exchange != NULL, subject);
    PROVE(head->status >= 200 && head->status < 400, subject);
    PROVE(++subject->head_count == 1, subject);
    have_whim(subject);
}

static void on_body(const void *data, size_t data_size, void *user) {
    subject_t *subject = user;
    PROVE(subject->exchange != NULL, subject);
    PROVE(subject->head_count == 1, subject);
    PROVE(data != NULL && data_size > 0, subject);
    subject->received_size += data_size;
    if (happens(20))
        have_whim(subject);
}

static void on_end(const imagine_http_end_t *end, void *user) {
    subject_t *subject = user;
    bool is_whole = subject->received_size == answers[subject->index].length;
    PROVE(subject->exchange != NULL, subject);
    PROVE(++subject->end_count == 1, subject);
    PROVE((end->error == 0) == (end->message == NULL), subject);
    PROVE(end->error != 0 || (is_whole && subject->head_count == 1), subject);
    PROVE(end->error == 0 || end->error == IMAGINE_ECONNECT || end->error == IMAGINE_ETIMEDOUT ||
              end->error == IMAGINE_EPROTOCOL || end->error == IMAGINE_ETOOLARGE,
          subject);
    PROVE(end->error != IMAGINE_ETIMEDOUT || subject->has_limit, subject);
    PROVE(subject->head_count == 0 || end->was_sent == 1 || subject->sent_size > 0, subject);
    PROVE(end->was_sent == 0 || !subject->is_unreachable, subject);
    whole_count += end->error == 0;
    be_over(subject);
}

static int64_t give_piece(void *out, size_t capacity, void *user) {
    subject_t *subject = user;
    size_t size = 1 + random_below(&dice, 20000);
    PROVE(subject->exchange != NULL, subject);
    if (happens(10)) {
        leave(subject);
        return 0;
    }
    if (happens(30)) {
        subject->is_hungry = true;
        plan_whim(subject);
        return 0;
    }
    size = size < capacity ? size : capacity;
    PROVE(size <= subject->sent_size - subject->given_size, subject);
    memset(out, 'x', size);
    subject->given_size += size;
    return (int64_t)size;
}

static int let_pass(const char *host, const char *address, void *user) {
    (void)host, (void)address, (void)user;
    return 0;
}

/* ---- what is asked ------------------------------------------------------------------------- */

static void choose_answer(subject_t *subject) {
    do {
        subject->index = random_below(&dice, ANSWER_COUNT);
    } while (subject->place == HTTP2 ? !answers[subject->index].is_http2
                                     : strcmp(answers[subject->index].path, "/broken") == 0);
}

static void choose_place(subject_t *subject) {
    static const place_t places[] = {PLAIN, PLAIN, PLAIN, PLAIN, TLS,    TLS,
                                     HTTP2, HTTP2, HTTP2, MUTE,  RESETS, NOBODY};
    subject->place = places[random_below(&dice, sizeof(places) / sizeof(places[0]))];
    if (subject->place == HTTP2 && !has_http2)
        subject->place = PLAIN;
}

static void choose_body(subject_t *subject, imagine_http_request_t *request) {
    static const size_t sizes[] = {0, 0, 0, 1, 4096, 4097, 50000, SENT_MAX};
    subject->sent_size = sizes[random_below(&dice, sizeof(sizes) / sizeof(sizes[0]))];
    if (subject->sent_size == 0)
        return;
    request->method = happens(80) ? "POST" : "PUT";
    if (happens(40)) {
        request->body_read = give_piece;
        request->body_read_user = subject;
        request->body_size = subject->sent_size;
        return;
    }
    subject->slice = (imagine_slice_t){bytes, (size_t)subject->sent_size};
    request->body = &subject->slice;
    request->body_count = 1;
}

static void choose_limits(subject_t *subject, imagine_http_request_t *request) {
    bool is_needed = answers[subject->index].is_silent || subject->place == MUTE;
    uint32_t limit_ms = 1 + (uint32_t)random_below(&dice, LIMIT_MAX_MS);
    request->timeout_ms = PATIENCE_MS;
    if (!is_needed && happens(85))
        return;
    subject->has_limit = true;
    switch (is_needed ? 0 : random_below(&dice, 4)) {
    case 0:
        request->timeout_ms = limit_ms;
        break;
    case 1:
        request->connect_timeout_ms = limit_ms;
        break;
    case 2:
        request->first_byte_timeout_ms = limit_ms;
        break;
    default:
        request->stall_timeout_ms = limit_ms;
        break;
    }
}

static const char *url_of(subject_t *subject, char *out, size_t capacity) {
    const char *path = answers[subject->index].path;
    bool is_https = happens(30); /* where nothing is answered anyway */
    int port = nobodys_port;
    if (subject->place == HTTP2)
        return h2_server_url(path);
    if (subject->place == PLAIN || subject->place == TLS)
        return tcp_server_url(servers[subject->place], path);
    if (subject->place != NOBODY)
        port = tcp_server_port(servers[subject->place]);
    subject->is_unreachable = is_https || subject->place == NOBODY;
    snprintf(out, capacity, "%s://127.0.0.1:%d%s", is_https ? "https" : "http", port, path);
    return out;
}

static void start(subject_t *subject) {
    static const imagine_http_handler_t handler = {
        .size = sizeof(handler), .on_head = on_head, .on_body = on_body, .on_end = on_end};
    imagine_http_request_t request = {.size = sizeof(request), .method = "GET"};
    char url[64];
    choose_place(subject);
    choose_answer(subject);
    choose_limits(subject, &request);
    choose_body(subject, &request);
    if (happens(10))
        request.guard = let_pass;
    if (happens(5))
        request.response_size_max = 50000;
    request.url = url_of(subject, url, sizeof(url));
    ck_assert_int_eq(io->http_start(io->context, &request, &handler, subject, &subject->exchange),
                     0);
    if (happens(3))
        leave(subject);
    else if (happens(30))
        plan_whim(subject);
}

/* Also inside the callbacks of those that end. Starting can end one at once, which starts the next:
 * so this does not call itself. */
static void start_next(void) {
    static bool is_starting;
    if (is_starting)
        return;
    is_starting = true;
    while (started_count < EXCHANGES && started_count - over_count < AT_ONCE) {
        started_count++;
        start(&subjects[started_count - 1]);
    }
    is_starting = false;
}

/* ---- a round ------------------------------------------------------------------------------- */

static uint64_t seed_of(int round) {
    const char *given = getenv("UV_SEED");
    return given == NULL ? (uint64_t)round + 1 : strtoull(given, NULL, 10);
}

static void open_servers(void) {
    servers[PLAIN] = tcp_server_open(TCP_SERVER_PLAIN);
    servers[TLS] = tcp_server_open(TCP_SERVER_TLS);
    servers[RESETS] = tcp_server_open(TCP_SERVER_RESETS);
    servers[MUTE] = tcp_server_open(TCP_SERVER_MUTE);
    nobodys_port = tcp_server_free_port();
}

static void close_servers(void) {
    for (size_t i = 0; i < PLACES; i++) {
        if (servers[i] != NULL)
            tcp_server_close(servers[i]);
    }
}

static void count_closed(void *user) {
    ++*(int *)user;
}

START_TEST(each_ends_once_whatever_breaks) { /* _i: the round */
    imagine_io_uv_options_t options = {.size = sizeof(options)};
    const imagine_allocator_t allocator = {failing_mem_resize, &mem};
    imagine_io_t *table = NULL;
    size_t descriptor_count = 0;
    uv_loop_t loop;
    int closed_count = 0;
    seed = dice = seed_of(_i);
    failing_mem_init(&mem, 0);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    descriptor_count = descriptors_count();
    open_servers();
    options.loop = &loop;
    options.allocator = &allocator;
    options.ca_file = tcp_server_certificate_file();
    ck_assert_int_eq(imagine_io_uv_open(&table, &options), 0);
    io = table;
    start_next();
    for (int i = 0; i < TURNS_MAX && over_count < EXCHANGES; i++)
        uv_run(&loop, UV_RUN_ONCE);
    for (size_t i = 0; i < EXCHANGES; i++) {
        subject_t *subject = &subjects[i];
        PROVE(subject->end_count + subject->cancel_count == 1, subject);
    }
    ck_assert_msg(whole_count >= EXCHANGES / 10, "seed %" PRIu64 ": only %zu were answered", seed,
                  whole_count); /* else this proves nothing */
    imagine_io_uv_close(table, count_closed, &closed_count);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(closed_count, 1);
    ck_assert_uint_eq(mem.live_count, 0);
    close_servers();
    descriptors_expect(descriptor_count);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

static Suite *uv_chaos_suite(void) {
    Suite *suite = suite_create("uv in chaos");
    TCase *tests = tcase_create("whatever breaks");
    has_http2 = h2_server_open();
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, each_ends_once_whatever_breaks, 0, ROUNDS);
    suite_add_tcase(suite, tests);
    return suite;
}

IMI_CHECK_MAIN(uv_chaos_suite)
