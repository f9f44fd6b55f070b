/* test_stream.c: a text in pieces, from the provider's code to the bytes of a connection: the form
 * that callers know, failures before and inside the stream, callers that leave, slow callers. */
#include "imagine/gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check_main.h"
#include "support/gateway_host.h"

#define OUT_MAX (1024 * 1024)
#define EVENT(N) "data: {\"choices\":[{\"delta\":{\"content\":\"" N " \"}}]}\n\n"

typedef struct far {
    gateway_host_t host;
    imagine_http1_t *http1;
    bool is_slow; /* what is sent leaves when the test says so */
    unsigned waiting_count;
    bool is_closed;
    char out[OUT_MAX];
    size_t out_size;
} far_t;

static far_t far;

static int32_t on_send(const imagine_slice_t *pieces, size_t piece_count, void *user) {
    (void)user;
    ck_assert(!far.is_closed);
    for (size_t i = 0; i < piece_count; i++) {
        ck_assert_uint_lt(far.out_size + pieces[i].size, OUT_MAX);
        memcpy(far.out + far.out_size, pieces[i].data, pieces[i].size);
        far.out_size += pieces[i].size;
    }
    far.out[far.out_size] = '\0';
    far.waiting_count += far.is_slow;
    return far.is_slow ? 0 : 1;
}

static void on_pause(int32_t is_paused, void *user) {
    (void)is_paused, (void)user;
}

static void on_close(void *user) {
    (void)user;
    far.is_closed = true;
}

static const imagine_http1_stream_t stream = {
    .size = sizeof(stream), .send = on_send, .pause = on_pause, .close = on_close};

static void set_up(void) {
    memset(&far, 0, sizeof(far));
    ck_assert_int_eq(gateway_host_open(&far.host, NULL, "RATE_LIMIT=0"), 0);
    ck_assert_int_eq(imagine_http1_open(&far.http1, far.host.gateway, "127.0.0.1", &stream, &far),
                     0);
}

static void tear_down(void) {
    imagine_http1_close(far.http1);
    gateway_host_close(&far.host);
}

static void pass(uint64_t ms) {
    virtual_io_advance(far.host.virtual, ms);
}

static void ask(const char *version, const char *headers, const char *fields) {
    char body[512], request[1024];
    int size = snprintf(body, sizeof(body), "{\"model\":\"test/a\",%s}", fields);
    snprintf(request, sizeof(request),
             "POST /api/v1/text HTTP/%s\r\nHost: a\r\nContent-Type: application/json\r\n%s"
             "Content-Length: %d\r\n\r\n%s",
             version, headers, size, body);
    imagine_http1_receive(far.http1, request, strlen(request));
}

/* The answer's body, out of its chunks if it has some. */
static const char *body_of_answer(void) {
    static char body[OUT_MAX];
    const char *at = strstr(far.out, "\r\n\r\n");
    size_t length = 0;
    body[0] = '\0';
    if (at == NULL)
        return "";
    at += 4;
    if (strstr(far.out, "Transfer-Encoding: chunked") == NULL)
        return at;
    while (*at != '\0') {
        char *end;
        size_t size = strtoul(at, &end, 16);
        ck_assert(strncmp(end, "\r\n", 2) == 0);
        at = end + 2;
        memcpy(body + length, at, size);
        length += size;
        body[length] = '\0';
        ck_assert(strncmp(at + size, "\r\n", 2) == 0);
        at += size + 2;
        if (size == 0)
            break;
    }
    ck_assert_str_eq(at, "");
    return body;
}

START_TEST(pieces_leave_as_they_come) {
    ask("1.1", "", "\"prompt\":\"pieces 3\",\"stream\":true");
    pass(0);
    ck_assert_ptr_nonnull(strstr(far.out, "HTTP/1.1 200 OK\r\n"));
    ck_assert_ptr_nonnull(strstr(far.out, "\r\nContent-Type: text/event-stream\r\n"));
    ck_assert_ptr_nonnull(strstr(far.out, "\r\nTransfer-Encoding: chunked\r\n"));
    ck_assert_ptr_null(strstr(far.out, "\r\nContent-Length:"));
    ck_assert_str_eq(body_of_answer(), EVENT("0")); /* long before the second one */
    pass(10);
    ck_assert_str_eq(body_of_answer(), EVENT("0") EVENT("1"));
    pass(100);
    ck_assert_str_eq(body_of_answer(), EVENT("0") EVENT("1") EVENT("2") "data: [DONE]\n\n");
    ck_assert(!far.is_closed);
    far.out_size = 0; /* the connection lives on */
    far.out[0] = 0;
    ask("1.1", "", "\"prompt\":\"short\"");
    pass(1);
    ck_assert_msg(strstr(far.out, "{\"text\":\"better: short\"") != NULL, "%s", far.out);
}
END_TEST

/* Who asks how, and whether they get a stream. */
static const struct {
    const char *name, *headers, *fields;
    bool is_stream;
} askers[] = {
    {"nobody", "", "\"prompt\":\"pieces 2\"", false},
    {"the body", "", "\"prompt\":\"pieces 2\",\"stream\":true", true},
    {"the header", "Accept: text/event-stream\r\n", "\"prompt\":\"pieces 2\"", true},
    {"the body says no", "Accept: text/event-stream\r\n",
     "\"prompt\":\"pieces 2\",\"stream\":false", false},
    {"a provider that does not stream", "", "\"prompt\":\"x\",\"stream\":true", true},
};

START_TEST(a_stream_is_for_those_who_ask) {
    ask("1.1", askers[_i].headers, askers[_i].fields);
    pass(1000);
    if (askers[_i].is_stream)
        ck_assert_ptr_nonnull(strstr(body_of_answer(), "data: [DONE]\n\n"));
    else
        ck_assert_ptr_nonnull(strstr(body_of_answer(), "{\"text\":\"0 1 \""));
}
END_TEST

START_TEST(a_failure_inside_is_told_inside) {
    ask("1.1", "", "\"prompt\":\"broken 2\",\"stream\":true");
    pass(1000);
    const char *body = body_of_answer();
    ck_assert_int_eq(strncmp(body, EVENT("0") EVENT("1") "data: {\"error\":{\"message\":\"",
                             strlen(EVENT("0") EVENT("1")) + 20),
                     0);
    ck_assert_ptr_nonnull(strstr(body, "the provider's reason"));
    ck_assert_ptr_null(strstr(body, "[DONE]"));
}
END_TEST

START_TEST(a_failure_before_the_first_piece_is_an_answer) {
    ask("1.1", "", "\"prompt\":\"broken 0\",\"stream\":true");
    pass(1000);
    ck_assert_int_eq(strncmp(far.out, "HTTP/1.1 502 ", 13), 0);
    ck_assert_ptr_nonnull(strstr(body_of_answer(), "\"code\":\"IMAGINE_EUPSTREAM\""));
}
END_TEST

START_TEST(http_1_0_gets_it_without_chunks) {
    ask("1.0", "", "\"prompt\":\"pieces 2\",\"stream\":true");
    pass(1000);
    ck_assert_ptr_null(strstr(far.out, "chunked"));
    ck_assert_ptr_nonnull(strstr(far.out, "\r\nConnection: close\r\n"));
    ck_assert_str_eq(body_of_answer(), EVENT("0") EVENT("1") "data: [DONE]\n\n");
    ck_assert(far.is_closed);
}
END_TEST

START_TEST(a_caller_that_leaves_in_the_middle_ends_the_request) {
    imagine_counters_t counters = {.size = sizeof(counters)};
    ask("1.1", "", "\"prompt\":\"pieces 1000\",\"stream\":true");
    pass(50);
    imagine_http1_close(far.http1);
    far.http1 = NULL;
    pass(1);
    ck_assert_uint_eq(imagine_gateway_in_flight(far.host.gateway), 0);
    imagine_counters(far.host.im, &counters);
    ck_assert_uint_eq(counters.canceled, 1);
    pass(20000); /* what was begun is read to its end */
}
END_TEST

START_TEST(a_slow_caller_gets_every_piece_once) {
    far.is_slow = true;
    ask("1.1", "", "\"prompt\":\"pieces 500\",\"stream\":true");
    for (int i = 0; i < 600 || far.waiting_count > 0; i++) {
        pass(10);
        if (i % 7 == 0 && far.waiting_count > 0) {
            far.waiting_count--;
            imagine_http1_sent(far.http1);
        }
        ck_assert_uint_le(far.waiting_count, 1); /* one send at a time */
    }
    const char *at = body_of_answer();
    for (int i = 0; i < 500; i++) {
        char event[128];
        snprintf(event, sizeof(event),
                 "data: {\"choices\":[{\"delta\":{\"content\":\"%d \"}}]}\n\n", i);
        ck_assert_int_eq(strncmp(at, event, strlen(event)), 0);
        at += strlen(event);
    }
    ck_assert_str_eq(at, "data: [DONE]\n\n");
}
END_TEST

static Suite *stream_suite(void) {
    Suite *suite = suite_create("gateway/stream");
    TCase *tcase = tcase_create("stream");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, pieces_leave_as_they_come);
    tcase_add_loop_test(tcase, a_stream_is_for_those_who_ask, 0,
                        sizeof(askers) / sizeof(askers[0]));
    tcase_add_test(tcase, a_failure_inside_is_told_inside);
    tcase_add_test(tcase, a_failure_before_the_first_piece_is_an_answer);
    tcase_add_test(tcase, http_1_0_gets_it_without_chunks);
    tcase_add_test(tcase, a_caller_that_leaves_in_the_middle_ends_the_request);
    tcase_add_test(tcase, a_slow_caller_gets_every_piece_once);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(stream_suite)
