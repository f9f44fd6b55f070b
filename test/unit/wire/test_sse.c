/* test_sse.c: every stream is read whole, split in two at every place, and byte by byte; what comes
 * out must be the same. */
#include "wire/sse.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"

#define COUNT_OF(table) ((int)(sizeof(table) / sizeof((table)[0])))
#define EVENT_SIZE_MAX 64

typedef struct seen {
    char text[4096]; /* "name=data;" for each event */
    size_t size;
    size_t event_count;
    size_t stop_after; /* 0: never */
} seen_t;

static bool on_event(void *user, const imi_sse_event_t *event) {
    seen_t *seen = user;
    int size =
        snprintf(seen->text + seen->size, sizeof(seen->text) - seen->size, "%.*s=%.*s;",
                 (int)event->name.size, event->name.data, (int)event->data.size, event->data.data);
    seen->size += (size_t)size;
    ck_assert_uint_lt(seen->size, sizeof(seen->text));
    ck_assert_int_eq(event->data.data[event->data.size], '\0');
    return ++seen->event_count != seen->stop_after;
}

/* In pieces of piece_size, the first one of first_size. */
static int read_stream(const char *stream, size_t size, size_t first_size, size_t piece_size,
                       seen_t *seen) {
    size_t at = 0, next = first_size;
    int err = 0;
    imi_sse_t sse;
    seen->size = 0;
    seen->event_count = 0;
    seen->text[0] = '\0';
    imi_sse_init(&sse, NULL, EVENT_SIZE_MAX);
    while (at < size) {
        char piece[4096]; /* a copy that ends where the piece ends, so that nobody looks further */
        size_t piece_left = next < size - at ? next : size - at;
        char *exact = piece + sizeof(piece) - piece_left;
        memcpy(exact, stream + at, piece_left);
        err = imi_sse_feed(&sse, exact, piece_left, on_event, seen);
        at += piece_left;
        next = piece_size;
    }
    imi_sse_reset(&sse);
    return err;
}

static const struct {
    const char *name, *stream, *events;
} stream_cases[] = {
    {"one event", "data: a\n\n", "message=a;"},
    {"a named one", "event: add\ndata: 73857293\n\n", "add=73857293;"},
    {"the name behind the data", "data: x\nevent: end\n\n", "end=x;"},
    {"the last name counts", "event: a\nevent: b\ndata: x\n\n", "b=x;"},
    {"an empty name is none", "event: a\nevent:\ndata: x\n\n", "message=x;"},
    {"a name does not outlive its event", "event: a\ndata: x\n\ndata: y\n\n", "a=x;message=y;"},
    {"a name without data is no event", "event: a\n\ndata: y\n\n", "message=y;"},
    {"CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", "message=a;message=b;"},
    {"a CRLF inside an event", "data: a\r\ndata: b\r\n\r\n", "message=a\nb;"},
    {"CR", "data: a\r\rdata: b\r\r", "message=a;message=b;"},
    {"all three mixed", "data: a\rdata: b\ndata: c\r\n\ndata: d\n\r", "message=a\nb\nc;message=d;"},
    {"CR LF CR is two line ends", "data: a\r\n\r", "message=a;"},
    {"LF CR is two line ends", "data: a\n\r\ndata: b\n\n", "message=a;message=b;"},
    {"several data lines", "data: YHOO\ndata: +2\ndata: 10\n\n", "message=YHOO\n+2\n10;"},
    {"only one space is dropped", "data:  a \n\n", "message= a ;"},
    {"no space at all", "data:a\ndata:{\"b\":1}\n\n", "message=a\n{\"b\":1};"},
    {"a tab stays", "data:\ta\n\n", "message=\ta;"},
    {"colons in the data", "data: a:b: c\n\n", "message=a:b: c;"},
    {"empty data is an event", "data\n\ndata:\n\ndata: \n\n", "message=;message=;message=;"},
    {"two empty data lines", "data\ndata\n\n", "message=\n;"},
    {"comments", ": keep-alive\n\n:\n\ndata: a\n: b\ndata: c\n\n", "message=a\nc;"},
    {"id and retry", "id: 7\nretry: 100\ndata: a\nid\n\n", "message=a;"},
    {"unknown fields", "dat: a\ndatas: b\nDATA: c\n data: d\ndata: e\n\n", "message=e;"},
    {"blank lines alone", "\n\r\n\r\n\n", ""},
    {"an event cut off is none", "data: a\n\ndata: b\n", "message=a;"},
    {"a line cut off is none", "data: a\n\ndata: b", "message=a;"},
    {"a byte order mark",
     "\xEF\xBB\xBF"
     "data: a\n\n",
     "message=a;"},
    {"a mark and nothing else on the line", "\xEF\xBB\xBF\ndata: a\n\n", "message=a;"},
    {"only one mark is dropped",
     "\xEF\xBB\xBF\xEF\xBB\xBF"
     "data: a\ndata: b\n\n",
     "message=b;"},
    {"a mark in the second line",
     "data: a\n\xEF\xBB\xBF"
     "data: b\n\n",
     "message=a;"},
    {"half a mark",
     "\xEF\xBB"
     "data: a\ndata: b\n\n",
     "message=b;"},
    {"UTF-8", "data: \xE7\x8C\xAB\n\n", "message=\xE7\x8C\xAB;"},
    {"a chat stream", "data: {\"delta\":\"Hi\"}\n\ndata: [DONE]\n\n",
     "message={\"delta\":\"Hi\"};message=[DONE];"},
    {"Gradio", "event: heartbeat\ndata: null\n\nevent: complete\ndata: [{\"path\": \"/t\"}]\n\n",
     "heartbeat=null;complete=[{\"path\": \"/t\"}];"},
};

START_TEST(a_stream_gives_its_events_however_it_is_split) { /* _i walks stream_cases */
    const char *stream = stream_cases[_i].stream;
    size_t size = strlen(stream);
    seen_t seen = {.stop_after = 0};
    for (size_t first_size = 1; first_size <= size; first_size++) {
        ck_assert_int_eq(read_stream(stream, size, first_size, size, &seen), 0);
        ck_assert_msg(strcmp(seen.text, stream_cases[_i].events) == 0, "%s, split at %zu: %s",
                      stream_cases[_i].name, first_size, seen.text);
    }
    ck_assert_int_eq(read_stream(stream, size, 1, 1, &seen), 0);
    ck_assert_msg(strcmp(seen.text, stream_cases[_i].events) == 0, "%s, byte by byte: %s",
                  stream_cases[_i].name, seen.text);
}
END_TEST

START_TEST(a_nul_is_a_byte_like_others) {
    static const char stream[] = "data: a\0b\n\n";
    seen_t seen = {.stop_after = 0};
    ck_assert_int_eq(read_stream(stream, sizeof(stream) - 1, 1, 1, &seen), 0);
    ck_assert_uint_eq(seen.event_count, 1);
}
END_TEST

static const struct {
    const char *name;
    size_t value_size, line_count; /* so many lines of "data:" and the value */
    int err;
} limit_cases[] = {
    {"a line of the limit", EVENT_SIZE_MAX - 5, 1, 0},
    {"a line over the limit", EVENT_SIZE_MAX - 4, 1, IMI_BUF_TOO_LARGE},
    {"lines that together are the limit", 15, 4, 0}, /* 4 * 15 and 3 line feeds: 63 */
    {"lines that together are over it", 12, 5, 0},   /* 5 * 12 and 4: 64 */
    {"one byte more", 12, 6, IMI_BUF_TOO_LARGE},
};

START_TEST(the_limit_holds_however_the_event_is_split) { /* _i walks limit_cases */
    char stream[1024];
    size_t size = 0;
    seen_t seen = {.stop_after = 0};
    for (size_t i = 0; i < limit_cases[_i].line_count; i++) {
        memcpy(stream + size, "data:", 5);
        memset(stream + size + 5, 'x', limit_cases[_i].value_size);
        size += 5 + limit_cases[_i].value_size;
        stream[size++] = '\n';
    }
    stream[size++] = '\n';
    for (size_t first_size = 1; first_size <= size; first_size++) {
        ck_assert_int_eq(read_stream(stream, size, first_size, size, &seen), limit_cases[_i].err);
        ck_assert_uint_eq(seen.event_count, limit_cases[_i].err == 0 ? 1 : 0);
    }
    ck_assert_int_eq(read_stream(stream, size, 1, 1, &seen), limit_cases[_i].err);
}
END_TEST

START_TEST(an_endless_line_fails_before_it_ends) {
    char piece[EVENT_SIZE_MAX + 1];
    seen_t seen = {.stop_after = 0};
    imi_sse_t sse;
    memset(piece, ':', sizeof(piece));
    imi_sse_init(&sse, NULL, EVENT_SIZE_MAX);
    ck_assert_int_eq(imi_sse_feed(&sse, piece, EVENT_SIZE_MAX, on_event, &seen), 0);
    ck_assert_int_eq(imi_sse_feed(&sse, piece, 1, on_event, &seen), IMI_BUF_TOO_LARGE);
    ck_assert_int_eq(imi_sse_feed(&sse, "\n", 1, on_event, &seen), IMI_BUF_TOO_LARGE);
    ck_assert_int_eq(imi_sse_feed(&sse, "", 0, on_event, &seen), IMI_BUF_TOO_LARGE);
    imi_sse_reset(&sse);
}
END_TEST

START_TEST(a_callback_can_stop_the_stream) {
    static const char stream[] = "data: a\n\ndata: b\n\ndata: c\n\n";
    for (size_t piece_size = 1; piece_size < sizeof(stream); piece_size++) {
        seen_t seen = {.stop_after = 2};
        ck_assert_int_eq(read_stream(stream, sizeof(stream) - 1, piece_size, piece_size, &seen), 0);
        ck_assert_str_eq(seen.text, "message=a;message=b;");
    }
}
END_TEST

START_TEST(a_reset_parser_reads_a_new_stream) {
    seen_t seen = {.stop_after = 1};
    imi_sse_t sse;
    imi_sse_init(&sse, NULL, EVENT_SIZE_MAX);
    ck_assert_int_eq(imi_sse_feed(&sse, "data: a\n\ndata: b\n\n\r", 19, on_event, &seen), 0);
    imi_sse_reset(&sse);
    ck_assert_int_eq(imi_sse_feed(&sse,
                                  "\xEF\xBB\xBF"
                                  "data: c\n\n",
                                  12, on_event, &seen),
                     0);
    ck_assert_str_eq(seen.text, "message=a;message=c;");
    imi_sse_reset(&sse);
}
END_TEST

START_TEST(any_failing_allocation_is_told_and_final) {
    static const char first[] = "event: name\ndata: a line and";
    static const char second[] = " its end\ndata: more\n\n";
    for (size_t fail_at = 1, has_failed = 1; has_failed != 0; fail_at++) {
        failing_mem_t failing;
        seen_t seen = {.stop_after = 0};
        imi_sse_t sse;
        int err = 0;
        failing_mem_init(&failing, fail_at);
        imi_sse_init(&sse, &failing.mem, 1 << 20);
        err = imi_sse_feed(&sse, first, sizeof(first) - 1, on_event, &seen);
        if (err != 0)
            ck_assert_int_eq(imi_sse_feed(&sse, second, 1, on_event, &seen), err);
        else
            err = imi_sse_feed(&sse, second, sizeof(second) - 1, on_event, &seen);
        has_failed = failing.has_failed;
        ck_assert_int_eq(err, has_failed ? IMI_BUF_NOMEM : 0);
        ck_assert_str_eq(seen.text, has_failed ? "" : "name=a line and its end\nmore;");
        imi_sse_reset(&sse);
        ck_assert_uint_eq(failing.live_count, 0);
    }
}
END_TEST

static bool on_large_event(void *user, const imi_sse_event_t *event) {
    *(size_t *)user += event->data.size;
    return true;
}

/* A search that starts anew for each line or byte would take minutes here. */
START_TEST(large_events_and_many_lines_take_linear_time) {
    enum { SIZE = 8 * 1024 * 1024 };
    static char stream[SIZE];
    size_t total_size = 0;
    imi_sse_t sse;
    memset(stream, 'x', SIZE);
    memcpy(stream, "data:", 5);
    memcpy(stream + SIZE - 2, "\r\r", 2);
    imi_sse_init(&sse, NULL, SIZE);
    ck_assert_int_eq(imi_sse_feed(&sse, stream, SIZE, on_large_event, &total_size), 0);
    ck_assert_uint_eq(total_size, SIZE - 7);
    for (size_t at = 0; at < SIZE; at += 1024)
        ck_assert_int_eq(imi_sse_feed(&sse, stream + at, 1024, on_large_event, &total_size), 0);
    ck_assert_uint_eq(total_size, 2 * (SIZE - 7));
    memset(stream, '\r', SIZE);
    ck_assert_int_eq(imi_sse_feed(&sse, stream, SIZE, on_large_event, &total_size), 0);
    ck_assert_uint_eq(total_size, 2 * (SIZE - 7));
    imi_sse_reset(&sse);
}
END_TEST

static Suite *sse_suite(void) {
    Suite *suite = suite_create("sse");
    TCase *tcase = tcase_create("sse");
    tcase_add_loop_test(tcase, a_stream_gives_its_events_however_it_is_split, 0,
                        COUNT_OF(stream_cases));
    tcase_add_test(tcase, a_nul_is_a_byte_like_others);
    tcase_add_loop_test(tcase, the_limit_holds_however_the_event_is_split, 0,
                        COUNT_OF(limit_cases));
    tcase_add_test(tcase, an_endless_line_fails_before_it_ends);
    tcase_add_test(tcase, a_callback_can_stop_the_stream);
    tcase_add_test(tcase, a_reset_parser_reads_a_new_stream);
    tcase_add_test(tcase, any_failing_allocation_is_told_and_final);
    tcase_add_test(tcase, large_events_and_many_lines_take_linear_time);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(sse_suite)
