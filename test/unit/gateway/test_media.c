/* test_media.c: which paths are ours, and which ranges are asked for. That files are served is
 * proven in test/e2e/hosting.test.mjs, over a real folder. */
#include "gateway/media.h"

#include "support/check_main.h"

#define COUNT_OF(table) ((int)(sizeof(table) / sizeof((table)[0])))
#define STEM "0123456789abcdef0123456789abcdef"

static const struct {
    const char *path;
    bool is_ours;
} path_cases[] = {
    {"/media/" STEM ".png", true},
    {"/media/" STEM ".jpg", true},
    {"/media/" STEM ".webp", true},
    {"/media/" STEM ".mp4", true},
    {"/media/" STEM ".html", false},
    {"/media/" STEM ".svg", false},
    {"/media/" STEM ".", false},
    {"/media/" STEM, false},
    {"/media/" STEM "0.png", false},
    {"/media/0123456789ABCDEF0123456789abcdef.png", false},
    {"/media/0123456789abcdef0123456789abcd/f.png", false},
    {"/media/../456789abcdef0123456789abcdef.png", false},
    {"/media/logo.png", false}, /* may be the page's own */
    {"/media/", false},
    {"/medium/" STEM ".png", false},
    {"", false},
};

START_TEST(a_path_is_ours_by_its_form) { /* _i walks path_cases */
    ck_assert_msg(imi_media_has_path(imi_slice_of(path_cases[_i].path)) == path_cases[_i].is_ours,
                  "%s", path_cases[_i].path);
}
END_TEST

static const struct {
    const char *header;
    bool is_wanted;
    int64_t first, last;
} range_cases[] = {
    {"bytes=0-0", true, 0, 0},  {"bytes=5-9", true, 5, 9},
    {"bytes=5-", true, 5, -1},  {"bytes=-5", true, -1, 5},
    {"bytes=-0", true, -1, 0},  {"bytes=9-5", false, 0, 0},
    {"bytes=-", false, 0, 0},   {"bytes=", false, 0, 0},
    {"bytes=a-b", false, 0, 0}, {"bytes=1-2,4-5", false, 0, 0}, /* one is enough for players */
    {"bytes=--5", false, 0, 0}, {"bytes=99999999999999999999-", false, 0, 0},
    {"items=0-5", false, 0, 0}, {"", false, 0, 0},
    {NULL, false, 0, 0},
};

START_TEST(a_range_is_read) { /* _i walks range_cases */
    imi_media_range_t range = imi_media_read_range(imi_slice_of(range_cases[_i].header));
    ck_assert_msg(range.is_wanted == range_cases[_i].is_wanted &&
                      range.first == range_cases[_i].first && range.last == range_cases[_i].last,
                  "%s", range_cases[_i].header);
}
END_TEST

static Suite *media_suite(void) {
    Suite *suite = suite_create("gateway/media");
    TCase *tests = tcase_create("media");
    tcase_add_loop_test(tests, a_path_is_ours_by_its_form, 0, COUNT_OF(path_cases));
    tcase_add_loop_test(tests, a_range_is_read, 0, COUNT_OF(range_cases));
    suite_add_tcase(suite, tests);
    return suite;
}

IMI_CHECK_MAIN(media_suite)
