/* test_http1_chunks.c: chunked bodies, sound and broken, cut at every byte. */
#include "gateway/http1_chunks.h"

#include <string.h>

#include "support/check_main.h"

/* body NULL: broken. left: what stands behind the body. */
static const struct {
    const char *name, *text, *body, *left;
} cases[] = {
    {"one chunk", "5\r\nhello\r\n0\r\n\r\n", "hello", ""},
    {"several", "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "abc", ""},
    {"empty", "0\r\n\r\n", "", ""},
    {"hexadecimal in any case", "0a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
     "01234567890123456789", ""},
    {"an extension", "1;name=value\r\na\r\n0;last\r\n\r\n", "a", ""},
    {"trailers", "1\r\na\r\n0\r\nName: value\r\nOther: 1\r\n\r\n", "a", ""},
    {"the next request behind it", "1\r\na\r\n0\r\n\r\nGET /", "a", "GET /"},
    {"zeros in front", "00000000001\r\na\r\n000\r\n\r\n", "a", ""},
    {"bytes of any value", "3\r\n\r\n\n\r\n0\r\n\r\n", "\r\n\n", ""},
    {"no size", "\r\nhello\r\n", NULL, NULL},
    {"an extension without a size", ";a\r\nhello\r\n", NULL, NULL},
    {"no number", "x\r\n", NULL, NULL},
    {"a sign", "-1\r\n", NULL, NULL},
    {"0x", "0x5\r\nhello\r\n", NULL, NULL},
    {"a blank in front", " 5\r\nhello\r\n", NULL, NULL},
    {"a blank behind", "5 \r\nhello\r\n", NULL, NULL},
    {"more digits than fit", "1000000000000000\r\n", NULL, NULL},
    {"a line feed alone behind the size", "5\nhello\r\n0\r\n\r\n", NULL, NULL},
    {"a return alone behind the size", "5\rhello", NULL, NULL},
    {"two returns", "5\r\r\nhello", NULL, NULL},
    {"a line feed alone in an extension", "5;a\nb\r\nhello\r\n", NULL, NULL},
    {"a chunk longer than told", "1\r\nab\r\n0\r\n\r\n", NULL, NULL},
    {"a line feed alone behind the chunk", "1\r\na\n0\r\n\r\n", NULL, NULL},
    {"a line feed alone in the trailer", "0\r\n\n", NULL, NULL},
};

typedef struct outcome {
    char body[64];
    size_t body_size, used;
    imi_chunks_verdict_t verdict;
} outcome_t;

static void feed(imi_http1_chunks_t *chunks, outcome_t *outcome, const char *data, size_t size) {
    imi_slice_t rest = {data, size}, piece;
    while (rest.size > 0 && outcome->verdict == IMI_CHUNKS_MORE) {
        outcome->verdict = imi_http1_chunks_read(chunks, &rest, &piece);
        if (piece.data == NULL)
            continue;
        ck_assert_uint_le(outcome->body_size + piece.size, sizeof(outcome->body));
        memcpy(outcome->body + outcome->body_size, piece.data, piece.size);
        outcome->body_size += piece.size;
    }
    outcome->used += size - rest.size;
}

START_TEST(a_body_reads_the_same_however_it_is_cut) { /* _i walks cases */
    const char *text = cases[_i].text, *body = cases[_i].body;
    size_t size = strlen(text);
    for (size_t cut = 0; cut <= size; cut++) {
        imi_http1_chunks_t chunks = {.part = IMI_CHUNK_SIZE};
        outcome_t outcome = {.verdict = IMI_CHUNKS_MORE};
        feed(&chunks, &outcome, text, cut);
        feed(&chunks, &outcome, text + cut, size - cut);
        if (body == NULL) {
            ck_assert_msg(outcome.verdict == IMI_CHUNKS_BROKEN, "%s", cases[_i].name);
            continue;
        }
        ck_assert_msg(outcome.verdict == IMI_CHUNKS_WHOLE, "%s, cut at %zu", cases[_i].name, cut);
        ck_assert_uint_eq(outcome.body_size, strlen(body));
        ck_assert_mem_eq(outcome.body, body, strlen(body));
        if (cut == 0 || cut == size)
            ck_assert_str_eq(text + outcome.used, cases[_i].left);
    }
}
END_TEST

static imi_chunks_verdict_t verdict_of(const char *front, char filler, size_t count) {
    imi_http1_chunks_t chunks = {.part = IMI_CHUNK_SIZE};
    outcome_t outcome = {.verdict = IMI_CHUNKS_MORE};
    feed(&chunks, &outcome, front, strlen(front));
    for (size_t i = 0; i < count && outcome.verdict == IMI_CHUNKS_MORE; i++)
        feed(&chunks, &outcome, &filler, 1);
    return outcome.verdict;
}

START_TEST(lines_without_an_end_are_given_up) {
    ck_assert_int_eq(verdict_of("1;", 'a', 200), IMI_CHUNKS_MORE);
    ck_assert_int_eq(verdict_of("1;", 'a', 300), IMI_CHUNKS_BROKEN);
    ck_assert_int_eq(verdict_of("0\r\nName: ", 'a', 8000), IMI_CHUNKS_MORE);
    ck_assert_int_eq(verdict_of("0\r\nName: ", 'a', 9000), IMI_CHUNKS_BROKEN);
}
END_TEST

static Suite *http1_chunks_suite(void) {
    Suite *suite = suite_create("http1_chunks");
    TCase *tcase = tcase_create("http1_chunks");
    tcase_add_loop_test(tcase, a_body_reads_the_same_however_it_is_cut, 0,
                        sizeof(cases) / sizeof(cases[0]));
    tcase_add_test(tcase, lines_without_an_end_are_given_up);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(http1_chunks_suite)
