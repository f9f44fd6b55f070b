/* test_hearsay.c: what is understood of curl's debug text, and that nothing else is. */
#include "uv/hearsay.h"

#include <stdlib.h>
#include <string.h>

#include "support/check_main.h"

static const struct {
    const char *text;
    imi_hearsay_topic_t topic;
    int64_t number;
} cases[] = {
    {"Connected to example.com (192.0.2.1) port 443 (#7)\n", IMI_HEARSAY_CONNECTION, 7},
    {"Connected to example.com (192.0.2.1) port 443\n", IMI_HEARSAY_NOTHING, 0},
    {"Re-using existing connection #0 with host example.com\n", IMI_HEARSAY_CONNECTION, 0},
    {"Re-using existing connection #12 with proxy p\n", IMI_HEARSAY_CONNECTION, 12},
    {"Re-using existing connection with host example.com\n", IMI_HEARSAY_NOTHING, 0},
    {"Using Stream ID: 201 (easy handle 0x55979b706cf0)\n", IMI_HEARSAY_STREAM, 201},
    {"Using Stream ID: \n", IMI_HEARSAY_NOTHING, 0},
    {"recveived GOAWAY, error=0, last_stream=199\n", IMI_HEARSAY_GOAWAY, 199},
    {"received GOAWAY, error=2, last_stream=4294967295\n", IMI_HEARSAY_GOAWAY, 4294967295},
    {"received GOAWAY, error=2\n", IMI_HEARSAY_NOTHING, 0},
    {"received GOAWAY, error=0, last_stream=9999999999999999999\n", IMI_HEARSAY_NOTHING, 0},
    {"REFUSED_STREAM, retrying a fresh connect\n", IMI_HEARSAY_REFUSED, 0},
    {"h2h3 [x: REFUSED_STREAM]\n", IMI_HEARSAY_NOTHING, 0},
    {"h2h3 [x: received GOAWAY, error=0, last_stream=1]\n", IMI_HEARSAY_NOTHING, 0},
    {"", IMI_HEARSAY_NOTHING, 0},
};

START_TEST(the_words_of_curl_are_understood) { /* _i walks cases */
    size_t size = strlen(cases[_i].text);
    char *text = malloc(size + 1); /* not terminated, so that a sanitizer sees reading on */
    int64_t number = -1;
    memcpy(text, cases[_i].text, size);
    text = realloc(text, size == 0 ? 1 : size);
    ck_assert_msg(imi_hearsay_read(text, size, &number) == cases[_i].topic, "%s", cases[_i].text);
    if (cases[_i].topic != IMI_HEARSAY_NOTHING)
        ck_assert_int_eq(number, cases[_i].number);
    free(text);
}
END_TEST

START_TEST(a_text_cut_anywhere_is_read_no_further) { /* _i walks cases */
    for (size_t size = 0; size < strlen(cases[_i].text); size++) {
        char *text = malloc(size == 0 ? 1 : size);
        int64_t number = 0;
        memcpy(text, cases[_i].text, size);
        (void)imi_hearsay_read(text, size, &number);
        free(text);
    }
}
END_TEST

static Suite *uv_hearsay_suite(void) {
    Suite *suite = suite_create("uv/hearsay");
    TCase *tests = tcase_create("debug text");
    const int count = (int)(sizeof(cases) / sizeof(cases[0]));
    tcase_add_loop_test(tests, the_words_of_curl_are_understood, 0, count);
    tcase_add_loop_test(tests, a_text_cut_anywhere_is_read_no_further, 0, count);
    suite_add_tcase(suite, tests);
    return suite;
}

IMI_CHECK_MAIN(uv_hearsay_suite)
