/* test_http1_head.c: heads of requests, sound and not. */
#include "gateway/http1_head.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check_main.h"

#define HOST "Host: a\r\n"

/* `what` is "method target|name=value|…" and what framing knows, or the status of a refusal. */
static const struct {
    const char *name, *text, *what;
} cases[] = {
    {"the least", "GET / HTTP/1.1\r\n" HOST "\r\n", "GET /|Host=a| keep"},
    {"HTTP/1.0 needs no host", "GET / HTTP/1.0\r\n\r\n", "GET /| 1.0"},
    {"HTTP/1.0 that stays", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
     "GET /|Connection=Keep-Alive| 1.0 keep"},
    {"blanks around a value", "GET / HTTP/1.1\r\n" HOST "X: \t a b \t\r\n\r\n",
     "GET /|Host=a|X=a b| keep"},
    {"an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET /|Host=| keep"},
    {"a host of IPv6", "GET / HTTP/1.1\r\nHost: [2001:DB8::1]:80\r\n\r\n",
     "GET /|Host=[2001:DB8::1]:80| keep"},
    {"an empty value", "GET / HTTP/1.1\r\n" HOST "X:\r\n\r\n", "GET /|Host=a|X=| keep"},
    {"a colon in a value", "GET / HTTP/1.1\r\nHost: a:80\r\n\r\n", "GET /|Host=a:80| keep"},
    {"bytes that are not ASCII", "GET /\xc3\xa4 HTTP/1.1\r\n" HOST "X: \xc3\xa4\r\n\r\n",
     "GET /\xc3\xa4|Host=a|X=\xc3\xa4| keep"},
    {"a body", "POST /x?y=%20 HTTP/1.1\r\n" HOST "content-length: 12\r\n\r\n",
     "POST /x?y=%20|Host=a|content-length=12| keep length=12"},
    {"chunks", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n",
     "POST /|Host=a|Transfer-Encoding=chunked| keep chunked"},
    {"close", "GET / HTTP/1.1\r\n" HOST "Connection: x, Close\r\n\r\n",
     "GET /|Host=a|Connection=x, Close|"},
    {"a caller that asks first", "POST / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\n\r\n",
     "POST /|Host=a|Expect=100-Continue| keep continue"},
    {"HTTP/1.0 knows no 100", "POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n",
     "POST /|Expect=100-continue| 1.0"},
    {"nothing", "\r\n", "400"},
    {"no version", "GET /\r\n" HOST "\r\n", "400"},
    {"no target", "GET HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"an empty target", "GET  HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"no method", " / HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"a method that is none", "G(T / HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"a blank in the target", "GET /a b HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"a control in the target", "GET /\x01 HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"a later version", "GET / HTTP/2.0\r\n" HOST "\r\n", "505"},
    {"an earlier version", "GET / HTTP/0.9\r\n" HOST "\r\n", "505"},
    {"another protocol", "GET / RTSP/1.0\r\n" HOST "\r\n", "400"},
    {"a version in small letters", "GET / http/1.1\r\n" HOST "\r\n", "400"},
    {"a blank behind the version", "GET / HTTP/1.1 \r\n" HOST "\r\n", "400"},
    {"no host", "GET / HTTP/1.1\r\nX: y\r\n\r\n", "400"},
    {"two hosts", "GET / HTTP/1.1\r\n" HOST HOST "\r\n", "400"},
    {"a host of two words", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"},
    {"a host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"},
    {"a host with a user", "GET / HTTP/1.0\r\nHost: u@a\r\n\r\n", "400"},
    {"a host that is not ASCII", "GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n", "400"},
    {"a header without a colon", "GET / HTTP/1.1\r\n" HOST "X\r\n\r\n", "400"},
    {"a header without a name", "GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n", "400"},
    {"a blank in front of the colon", "GET / HTTP/1.1\r\n" HOST "X : y\r\n\r\n", "400"},
    {"a continued line", "GET / HTTP/1.1\r\n" HOST "X: y\r\n z\r\n\r\n", "400"},
    {"a line feed in a value", "GET / HTTP/1.1\r\n" HOST "X: a\nY: b\r\n\r\n", "400"},
    {"a return in a value", "GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", "400"},
    {"a control in a value", "GET / HTTP/1.1\r\n" HOST "X: a\x7f\r\n\r\n", "400"},
    {"chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400"},
};

static void describe(char *out, size_t capacity, const imi_http1_head_t *head) {
    int length = snprintf(out, capacity, "%s %s|", head->request.method, head->request.target);
    for (size_t i = 0; i < head->request.header_count; i++)
        length += snprintf(out + length, capacity - (size_t)length, "%s=%s|", head->headers[i].name,
                           head->headers[i].value);
    length +=
        snprintf(out + length, capacity - (size_t)length, "%s%s%s%s", head->is_http10 ? " 1.0" : "",
                 head->keeps_alive ? " keep" : "", head->is_chunked ? " chunked" : "",
                 head->expects_continue ? " continue" : "");
    if (head->length > 0)
        (void)snprintf(out + length, capacity - (size_t)length, " length=%d", (int)head->length);
}

START_TEST(a_head_is_taken_apart_or_refused) { /* _i walks cases */
    static imi_http1_head_t head;
    size_t size = strlen(cases[_i].text);
    char *text = malloc(size), out[256];
    const imi_refusal_t *refusal;
    memcpy(text, cases[_i].text, size);
    refusal = imi_http1_head_parse(&head, text, size);
    if (refusal != NULL)
        (void)snprintf(out, sizeof(out), "%d", (int)refusal->status);
    else
        describe(out, sizeof(out), &head);
    ck_assert_msg(strcmp(out, cases[_i].what) == 0, "%s: %s", cases[_i].name, out);
    free(text);
}
END_TEST

START_TEST(what_may_become_a_head_is_waited_for) { /* _i walks cases */
    const char *text = cases[_i].text;
    size_t size = strlen(text);
    bool may_go_on = true;
    for (size_t i = 0; i < size; i++) {
        bool is_sound = imi_http1_head_may_go_on(text, i + 1, i);
        ck_assert_msg(is_sound || cases[_i].what[0] == '4', "%s at %zu", cases[_i].name, i);
        may_go_on &= is_sound;
    }
    ck_assert_msg(imi_http1_head_may_go_on(text, size, 0) == may_go_on, "%s", cases[_i].name);
}
END_TEST

static const struct {
    const char *name, *text;
    size_t sound_size; /* in front of what no head has */
} hopeless_cases[] = {
    {"TLS", "\x16\x03\x01", 0},
    {"a line feed alone", "GET / HTTP/1.1\nHost: a", 14},
    {"a line feed at the very front", "\nGET", 0},
    {"a return alone", "GET / HTTP/1.1\rHost: a", 15}, /* it is known by what comes behind it */
    {"a delete", "GET /\x7f", 5},
};

START_TEST(what_cannot_become_a_head_is_known_at_once) { /* _i walks hopeless_cases */
    const char *text = hopeless_cases[_i].text;
    size_t sound_size = hopeless_cases[_i].sound_size;
    for (size_t known = 0; known <= sound_size; known++) {
        ck_assert_msg(imi_http1_head_may_go_on(text, sound_size, known), "%s",
                      hopeless_cases[_i].name);
        ck_assert_msg(!imi_http1_head_may_go_on(text, sound_size + 1, known), "%s",
                      hopeless_cases[_i].name);
    }
}
END_TEST

START_TEST(a_nul_is_refused_wherever_it_stands) {
    static const char text[] = "GET /abc HTTP/1.1\r\nHost: abc\r\n\r\n";
    static imi_http1_head_t head;
    for (size_t i = 0; i + 5 < sizeof(text); i++) {
        char copy[sizeof(text)];
        memcpy(copy, text, sizeof(text));
        copy[i] = '\0';
        ck_assert_msg(imi_http1_head_parse(&head, copy, sizeof(text) - 1) != NULL, "at %zu", i);
    }
}
END_TEST

START_TEST(a_hundred_headers_and_no_more) {
    static imi_http1_head_t head;
    char text[2048];
    for (int count = 100; count <= 101; count++) {
        int length = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n");
        for (int i = 1; i < count; i++)
            length += snprintf(text + length, sizeof(text) - (size_t)length, "X%d: y\r\n", i);
        length += snprintf(text + length, sizeof(text) - (size_t)length, "\r\n");
        if (count == 100)
            ck_assert_ptr_null(imi_http1_head_parse(&head, text, (size_t)length));
        else
            ck_assert_int_eq(imi_http1_head_parse(&head, text, (size_t)length)->status, 431);
    }
}
END_TEST

static Suite *http1_head_suite(void) {
    Suite *suite = suite_create("http1_head");
    TCase *tcase = tcase_create("http1_head");
    tcase_add_loop_test(tcase, a_head_is_taken_apart_or_refused, 0,
                        sizeof(cases) / sizeof(cases[0]));
    tcase_add_loop_test(tcase, what_may_become_a_head_is_waited_for, 0,
                        sizeof(cases) / sizeof(cases[0]));
    tcase_add_loop_test(tcase, what_cannot_become_a_head_is_known_at_once, 0,
                        sizeof(hopeless_cases) / sizeof(hopeless_cases[0]));
    tcase_add_test(tcase, a_nul_is_refused_wherever_it_stands);
    tcase_add_test(tcase, a_hundred_headers_and_no_more);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(http1_head_suite)
