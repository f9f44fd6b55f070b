/* test_http1.c: connections over a stream of the test's own: what comes back for what goes in, cut
 * at every byte; what happens when time passes, when the other end is slow, and when it leaves. */
#include "imagine/gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check_main.h"
#include "support/failing_mem.h"
#include "support/gateway_host.h"

#define HOST "Host: a\r\n"
#define GET_HEALTH "GET /api/health HTTP/1.1\r\n" HOST "\r\n"
#define POST_HEAD "POST /api/v1/generate HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
#define JSON "{\"model\":\"test/a\",\"prompt\":\"b\"}"
#define JSON_SIZE "31"
#define WAIT_JSON "{\"model\":\"test/a\",\"prompt\":\"wait\"}"
#define WAIT_SIZE "34"
#define OUT_MAX (256 * 1024)

typedef struct far {
    gateway_host_t host;
    imagine_http1_t *http1;
    bool is_slow; /* what is sent leaves when the test says so */
    unsigned waiting_count;
    bool is_paused, is_shut, is_closed;
    char out[OUT_MAX];
    size_t out_size;
} stream_end_t;

static stream_end_t far;

static int32_t on_send(const imagine_slice_t *pieces, size_t piece_count, void *user) {
    stream_end_t *at = user;
    ck_assert_uint_le(piece_count, IMAGINE_HTTP1_PIECES_MAX);
    ck_assert(!at->is_closed);
    for (size_t i = 0; i < piece_count; i++) {
        ck_assert_uint_lt(at->out_size + pieces[i].size, OUT_MAX);
        memcpy(at->out + at->out_size, pieces[i].data, pieces[i].size);
        at->out_size += pieces[i].size;
    }
    at->out[at->out_size] = '\0';
    at->waiting_count += at->is_slow;
    return at->is_slow ? 0 : 1;
}

static void on_pause(int32_t is_paused, void *user) {
    ((stream_end_t *)user)->is_paused = is_paused != 0;
}

static void on_shut(void *user) {
    ((stream_end_t *)user)->is_shut = true;
}

static void on_close(void *user) {
    ck_assert(!((stream_end_t *)user)->is_closed);
    ((stream_end_t *)user)->is_closed = true;
}

static const imagine_http1_stream_t stream = {
    .size = sizeof(stream), .send = on_send, .pause = on_pause, .shut = on_shut, .close = on_close};

static void connect_again(void) {
    far.is_paused = far.is_shut = far.is_closed = far.is_slow = false;
    far.waiting_count = 0;
    far.out_size = 0;
    far.out[0] = '\0';
    ck_assert_int_eq(imagine_http1_open(&far.http1, far.host.gateway, "127.0.0.1", &stream, &far),
                     0);
}

static void open_far(const char *settings) {
    memset(&far, 0, sizeof(far));
    ck_assert_int_eq(
        gateway_host_open(&far.host, NULL, settings != NULL ? settings : "RATE_LIMIT=0"), 0);
    connect_again();
}

static void hang_up(void) {
    imagine_http1_close(far.http1);
    far.http1 = NULL;
}

static void close_far(void) {
    hang_up();
    ck_assert_uint_eq(imagine_gateway_in_flight(far.host.gateway), 0);
    gateway_host_close(&far.host);
}

static void feed(const char *data, size_t size) {
    imagine_http1_receive(far.http1, data, size);
}

static void feed_text(const char *text) {
    feed(text, strlen(text));
}

static void pass(uint64_t ms) {
    virtual_io_advance(far.host.virtual, ms);
}

/* "200 404 ": the statuses of all answers so far, each checked to be as long as it tells. */
static const char *statuses(void) {
    static char out[256];
    size_t length = 0;
    const char *at = far.out;
    out[0] = '\0';
    while (*at != '\0') {
        const char *end = strstr(at, "\r\n\r\n");
        const char *told = strstr(at, "\r\nContent-Length: ");
        ck_assert_msg(strncmp(at, "HTTP/1.1 ", 9) == 0, "no answer: %.200s", at);
        ck_assert_ptr_nonnull(end);
        length += (size_t)snprintf(out + length, sizeof(out) - length, "%.3s ", at + 9);
        at = end + 4;
        if (told != NULL && told < end)
            at += strtoul(told + 18, NULL, 10);
        ck_assert(at <= far.out + far.out_size);
    }
    return out;
}

/* ---- framing ----------------------------------------------------------------------------------
 */

/* settings NULL: none. ends: the connection is closed, or about to be, behind the answers. */
static const struct {
    const char *name, *settings, *text, *statuses;
    bool ends;
    const char *part; /* of what comes out */
} cases[] = {
    {"a request", NULL, GET_HEALTH, "200 ", false, "\"status\":\"ok\""},
    {"two of them", NULL, GET_HEALTH GET_HEALTH, "200 200 ", false, ""},
    {"empty lines in front", NULL, "\r\n\r\n" GET_HEALTH "\r\n" GET_HEALTH, "200 200 ", false, ""},
    {"one that ends", NULL,
     "GET /api/health HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n" GET_HEALTH, "200 ", true,
     "\r\nConnection: close\r\n"},
    {"HTTP/1.0", NULL, "GET /api/health HTTP/1.0\r\n\r\n", "200 ", true,
     "\r\nConnection: close\r\n"},
    {"HTTP/1.0 that stays", NULL,
     "GET /api/health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" GET_HEALTH, "200 200 ", false,
     "\r\nConnection: keep-alive\r\n"},
    {"a body", NULL, POST_HEAD "Content-Length: " JSON_SIZE "\r\n\r\n" JSON GET_HEALTH, "200 200 ",
     false, "https://cdn.test/1.png"},
    {"chunks", NULL,
     POST_HEAD "Transfer-Encoding: chunked\r\n\r\n10\r\n{\"model\":\"test/a"
               "\r\nf\r\n\",\"prompt\":\"b\"}\r\n0\r\nX: y\r\n\r\n" GET_HEALTH,
     "200 200 ", false, "https://cdn.test/1.png"},
    {"a caller that asks first", NULL,
     POST_HEAD "Expect: 100-continue\r\nContent-Length: " JSON_SIZE "\r\n\r\n" JSON, "100 200 ",
     false, ""},
    {"one that asks first and may not", "API_TOKEN=u",
     POST_HEAD "Expect: 100-continue\r\nContent-Length: 9999999\r\n\r\n", "401 ", true, ""},
    {"a refused body that is short is read to its end", "API_TOKEN=u",
     POST_HEAD "Content-Length: " JSON_SIZE "\r\n\r\n" JSON GET_HEALTH, "401 200 ", false, ""},
    {"a refused body that is long ends it", "API_TOKEN=u",
     POST_HEAD "Content-Length: 999999\r\n\r\n" JSON, "401 ", true, ""},
    {"a body that is too large", "RATE_LIMIT=0;MAX_BODY_BYTES=2048",
     POST_HEAD "Content-Length: 5000\r\n\r\n{}", "413 ", true, "IMAGINE_ETOOLARGE"},
    {"HEAD", NULL, "HEAD /api/health HTTP/1.1\r\n" HOST "\r\n", NULL, false,
     "\r\nContent-Length: 72\r\n"},
    {"an answer without content", NULL, "OPTIONS /api/health HTTP/1.1\r\n" HOST "\r\n" GET_HEALTH,
     "204 200 ", false, ""},
    {"no request", NULL, "nonsense\r\n\r\n", "400 ", true, "\"code\":\"IMAGINE_EINVAL\""},
    {"another version", NULL, "GET / HTTP/3.0\r\n\r\n", "505 ", true, ""},
    {"line feeds alone", NULL, "GET /api/health HTTP/1.1\nHost: a\n\n", "400 ", true,
     "well-formed"},
    {"TLS where there is none", NULL, "\x16\x03\x01\x02\xfc\x01", "400 ", true, "well-formed"},
    {"no host", NULL, "GET /api/health HTTP/1.1\r\n\r\n", "400 ", true, "Host"},
    {"two lengths", NULL, POST_HEAD "Content-Length: 1\r\nContent-Length: 2\r\n\r\n{", "400 ", true,
     ""},
    {"a length and chunks", NULL,
     POST_HEAD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400 ", true,
     ""},
    {"neither length nor chunks", NULL, POST_HEAD "\r\n", "411 ", true, "Length Required"},
    {"nor where no POST is taken", NULL, "POST /api/health HTTP/1.1\r\n" HOST "\r\n", "405 ", true,
     "\r\nAllow: GET, HEAD, OPTIONS\r\n"},
    {"nor where there is nothing", NULL, "POST /nope HTTP/1.1\r\n" HOST "\r\n", "404 ", true, ""},
    {"no length, but one that needs none", NULL,
     "DELETE /api/v1/task-status?taskId=x HTTP/1.1\r\n" HOST "\r\n", "404 ", false, ""},
    {"a length with a sign", NULL, POST_HEAD "Content-Length: +5\r\n\r\nhello", "400 ", true, ""},
    {"another coding", NULL, POST_HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "400 ",
     true, ""},
    {"a broken chunk", NULL, POST_HEAD "Transfer-Encoding: chunked\r\n\r\nx\r\n", "400 ", true,
     "chunks"},
    {"a broken chunk behind a refusal", "API_TOKEN=u;RATE_LIMIT=0",
     POST_HEAD "Transfer-Encoding: chunked\r\n\r\nx\r\n", "401 ", true, ""},
};

static void check_case(int row, size_t cut) {
    size_t size = strlen(cases[row].text);
    feed(cases[row].text, cut);
    if (!far.is_closed)
        feed(cases[row].text + cut, size - cut);
    pass(10);
    if (cases[row].statuses != NULL)
        ck_assert_msg(strcmp(statuses(), cases[row].statuses) == 0, "%s, cut at %zu: %s",
                      cases[row].name, cut, statuses());
    ck_assert_msg(strstr(far.out, cases[row].part) != NULL, "%s: %s", cases[row].name, far.out);
    ck_assert_msg((far.is_closed || far.is_shut) == cases[row].ends, "%s, cut at %zu: %d%d",
                  cases[row].name, cut, far.is_closed, far.is_shut);
}

START_TEST(what_comes_is_read_the_same_however_it_is_cut) { /* _i walks cases */
    size_t size = strlen(cases[_i].text);
    open_far(cases[_i].settings);
    for (size_t cut = 0; cut <= size; cut++) {
        check_case(_i, cut);
        hang_up();
        connect_again();
    }
    for (size_t at = 0; at < size && !far.is_closed; at++)
        feed(cases[_i].text + at, 1);
    pass(10);
    if (cases[_i].statuses != NULL)
        ck_assert_str_eq(statuses(), cases[_i].statuses);
    close_far();
}
END_TEST

/* ---- sizes ------------------------------------------------------------------------------------
 */

static const struct {
    const char *name, *front;
    size_t filler_size;
    const char *back, *statuses;
} size_cases[] = {
    {"15 KiB of header", "GET /api/health HTTP/1.1\r\n" HOST "X: ", 15 * 1024, "\r\n\r\n", "200 "},
    {"17 KiB of header", "GET /api/health HTTP/1.1\r\n" HOST "X: ", 17 * 1024, "\r\n\r\n", "431 "},
    {"100 KiB of header", "GET /api/health HTTP/1.1\r\n" HOST "X: ", 100 * 1024, "\r\n\r\n",
     "431 "},
    {"a header without an end", "GET /api/health HTTP/1.1\r\n" HOST "X: ", 60 * 1024, "", "431 "},
    {"8 KiB of target", "GET /api/health?", 8 * 1024 - 16, " HTTP/1.1\r\n" HOST "\r\n", "200 "},
    {"9 KiB of target", "GET /api/health?", 9 * 1024, " HTTP/1.1\r\n" HOST "\r\n", "414 "},
    {"a line without an end", "GET /api/health?", 60 * 1024, "", "414 "},
};

START_TEST(heads_have_a_limit) { /* _i walks size_cases */
    static char text[128 * 1024];
    int length;
    open_far(NULL);
    length = snprintf(text, sizeof(text), "%s", size_cases[_i].front);
    memset(text + length, 'x', size_cases[_i].filler_size);
    length += (int)size_cases[_i].filler_size;
    length += snprintf(text + length, sizeof(text) - (size_t)length, "%s", size_cases[_i].back);
    for (int step = 1; step <= length; step = step * 7 + 1) { /* in pieces of some sizes */
        for (int at = 0; at < length && !far.is_closed; at += step)
            feed(text + at, (size_t)(length - at < step ? length - at : step));
        ck_assert_msg(strcmp(statuses(), size_cases[_i].statuses) == 0, "%s by %d: %s",
                      size_cases[_i].name, step, statuses());
        hang_up();
        connect_again();
    }
    close_far();
}
END_TEST

/* ---- time -------------------------------------------------------------------------------------
 */

START_TEST(a_header_that_does_not_come_is_a_408) {
    open_far(NULL);
    feed_text("GET /api/health HT");
    pass(29999);
    ck_assert_str_eq(statuses(), "");
    pass(1);
    ck_assert_str_eq(statuses(), "408 ");
    ck_assert_ptr_nonnull(strstr(far.out, "\"code\":\"IMAGINE_ETIMEDOUT\",\"requestId\":\""));
    ck_assert(far.is_shut && !far.is_closed);
    feed_text("TP/1.1\r\n" HOST "\r\n"); /* too late, and ignored */
    pass(5000);
    ck_assert(far.is_closed);
    ck_assert_str_eq(statuses(), "408 ");
    close_far();
}
END_TEST

START_TEST(a_byte_a_second_is_too_slow) {
    static const char text[] = GET_HEALTH;
    open_far(NULL);
    for (size_t i = 0; i < 29; i++) {
        feed(text + i, 1);
        pass(1000);
    }
    ck_assert_str_eq(statuses(), "");
    pass(1000);
    ck_assert_str_eq(statuses(), "408 ");
    close_far();
}
END_TEST

START_TEST(between_requests_there_are_75_seconds) {
    open_far(NULL);
    feed_text(GET_HEALTH);
    pass(74999);
    ck_assert(!far.is_closed);
    feed_text(GET_HEALTH); /* and 75 more */
    pass(74999);
    ck_assert(!far.is_closed);
    pass(1);
    ck_assert(far.is_closed);
    ck_assert_str_eq(statuses(), "200 200 "); /* nothing is said: it might cross a request */
    close_far();
}
END_TEST

START_TEST(the_second_header_has_its_own_30_seconds) {
    open_far(NULL);
    feed_text(GET_HEALTH "G");
    pass(29999);
    ck_assert_str_eq(statuses(), "200 ");
    pass(1);
    ck_assert_str_eq(statuses(), "200 408 ");
    close_far();
}
END_TEST

START_TEST(a_body_that_does_not_come_is_a_408) {
    open_far(NULL);
    feed_text(POST_HEAD "Content-Length: 100000\r\n\r\n{");
    pass(30000);
    ck_assert_str_eq(statuses(), "408 ");
    ck_assert(far.is_shut);
    pass(5000);
    ck_assert(far.is_closed);
    close_far();
}
END_TEST

START_TEST(an_answer_that_nobody_reads_is_given_up) {
    open_far(NULL);
    far.is_slow = true;
    feed_text(GET_HEALTH);
    pass(76000);
    ck_assert(far.is_closed);
    close_far();
}
END_TEST

/* ---- the other end ----------------------------------------------------------------------------
 */

START_TEST(a_caller_who_leaves_takes_the_request_along) {
    open_far(NULL);
    feed_text(POST_HEAD "Content-Length: " WAIT_SIZE "\r\n\r\n" WAIT_JSON);
    ck_assert_uint_eq(imagine_gateway_in_flight(far.host.gateway), 1);
    hang_up();
    pass(5000);
    ck_assert_uint_eq(imagine_gateway_in_flight(far.host.gateway), 0);
    ck_assert_uint_eq(far.out_size, 0);
    close_far();
}
END_TEST

START_TEST(a_request_behind_one_that_waits_has_to_wait) {
    open_far(NULL);
    feed_text(POST_HEAD "Content-Length: " WAIT_SIZE "\r\n\r\n" WAIT_JSON GET_HEALTH);
    ck_assert_str_eq(statuses(), "");
    ck_assert(far.is_paused);
    feed_text(GET_HEALTH); /* what was on its way already */
    pass(1000);
    ck_assert_str_eq(statuses(), "200 200 200 ");
    ck_assert_ptr_nonnull(strstr(far.out, "cdn.test"));
    ck_assert(strstr(far.out, "cdn.test") < strstr(far.out, "\"ok\""));
    ck_assert(!far.is_paused);
    close_far();
}
END_TEST

START_TEST(an_answer_has_left_before_the_next_request_begins) {
    open_far(NULL);
    far.is_slow = true;
    feed_text(GET_HEALTH GET_HEALTH);
    ck_assert_str_eq(statuses(), "200 ");
    ck_assert_uint_eq(imagine_gateway_in_flight(far.host.gateway), 1);
    imagine_http1_sent(far.http1);
    ck_assert_str_eq(statuses(), "200 200 ");
    imagine_http1_sent(far.http1);
    ck_assert_uint_eq(imagine_gateway_in_flight(far.host.gateway), 0);
    close_far();
}
END_TEST

START_TEST(the_last_answer_has_left_before_the_stream_is_closed) {
    open_far(NULL);
    far.is_slow = true;
    feed_text("GET /api/health HTTP/1.0\r\n\r\n");
    ck_assert(!far.is_closed);
    imagine_http1_sent(far.http1);
    ck_assert(far.is_closed);
    close_far();
}
END_TEST

START_TEST(more_ahead_than_can_be_kept_ends_the_connection) {
    static char filler[65536];
    open_far(NULL);
    memset(filler, 'x', sizeof(filler));
    feed_text(POST_HEAD "Content-Length: " WAIT_SIZE "\r\n\r\n" WAIT_JSON);
    for (int i = 0; i < 5 && !far.is_closed; i++) /* a host that does not pause */
        feed(filler, sizeof(filler));
    ck_assert(far.is_closed);
    close_far();
}
END_TEST

START_TEST(draining_ends_connections_behind_their_answers) {
    open_far(NULL);
    imagine_gateway_drain(far.host.gateway);
    feed_text(GET_HEALTH GET_HEALTH);
    ck_assert_ptr_nonnull(strstr(statuses(), "0"));
    ck_assert_uint_eq(strlen(statuses()), 4);
    ck_assert(far.is_closed || far.is_shut);
    close_far();
}
END_TEST

START_TEST(a_stream_or_a_peer_that_is_none_is_refused) {
    imagine_http1_stream_t old = {.size = sizeof(size_t)};
    imagine_http1_t *http1 = NULL;
    char peer[100];
    open_far(NULL);
    memset(peer, '1', sizeof(peer));
    peer[99] = '\0';
    ck_assert_int_eq(imagine_http1_open(&http1, far.host.gateway, "::1", &old, NULL),
                     IMAGINE_EINVAL);
    ck_assert_int_eq(imagine_http1_open(&http1, far.host.gateway, peer, &stream, NULL),
                     IMAGINE_EINVAL);
    ck_assert_ptr_null(http1);
    imagine_http1_close(NULL);
    close_far();
}
END_TEST

/* ---- without memory ---------------------------------------------------------------------------
 */

START_TEST(without_memory_there_is_a_whole_answer_or_none) {
    bool has_failed = true;
    for (size_t fail_at = 1; has_failed; fail_at++) {
        failing_mem_t failing;
        memset(&far, 0, sizeof(far));
        failing_mem_init(&failing, 0);
        ck_assert_int_eq(gateway_host_open(&far.host, &failing.mem, NULL), 0);
        failing.fail_at = failing.request_count + fail_at;
        if (imagine_http1_open(&far.http1, far.host.gateway, "::1", &stream, &far) == 0) {
            feed_text("GET /api/he");
            feed_text("alth HTTP/1.1\r\n" HOST "\r\n" POST_HEAD "Content-Length: " WAIT_SIZE
                      "\r\n\r\n");
            if (!far.is_closed)
                feed_text(WAIT_JSON GET_HEALTH);
            pass(1000);
            statuses(); /* checks that all are whole */
        }
        has_failed = failing.has_failed;
        ck_assert(has_failed || strcmp(statuses(), "200 200 200 ") == 0);
        hang_up();
        gateway_host_close(&far.host);
        ck_assert_uint_eq(failing.live_count, 0);
    }
}
END_TEST

static Suite *http1_suite(void) {
    const struct {
        const char *name;
        const TTest *test;
        int count;
    } tests[] = {
        {"cuts", what_comes_is_read_the_same_however_it_is_cut, sizeof(cases) / sizeof(cases[0])},
        {"sizes", heads_have_a_limit, sizeof(size_cases) / sizeof(size_cases[0])},
        {"time", a_header_that_does_not_come_is_a_408, 1},
        {"time", a_byte_a_second_is_too_slow, 1},
        {"time", between_requests_there_are_75_seconds, 1},
        {"time", the_second_header_has_its_own_30_seconds, 1},
        {"time", a_body_that_does_not_come_is_a_408, 1},
        {"time", an_answer_that_nobody_reads_is_given_up, 1},
        {"the other end", a_caller_who_leaves_takes_the_request_along, 1},
        {"the other end", a_request_behind_one_that_waits_has_to_wait, 1},
        {"the other end", an_answer_has_left_before_the_next_request_begins, 1},
        {"the other end", the_last_answer_has_left_before_the_stream_is_closed, 1},
        {"the other end", more_ahead_than_can_be_kept_ends_the_connection, 1},
        {"the other end", draining_ends_connections_behind_their_answers, 1},
        {"the other end", a_stream_or_a_peer_that_is_none_is_refused, 1},
        {"memory", without_memory_there_is_a_whole_answer_or_none, 1},
    };
    Suite *suite = suite_create("http1");
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        TCase *tcase = tcase_create(tests[i].name);
        tcase_set_timeout(tcase, 60);
        tcase_add_loop_test(tcase, tests[i].test, 0, tests[i].count);
        suite_add_tcase(suite, tcase);
    }
    return suite;
}

IMI_CHECK_MAIN(http1_suite)
