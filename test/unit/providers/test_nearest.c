/* test_nearest.c: a size that a caller chose becomes one that the model makes. */
#include "providers/nearest.h"

#include "support/check_main.h"

/* gpt-image-2's, see the catalogue. */
static const imi_size_bounds_t bounds = {
    .step = 16, .side_max = 3840, .ratio_max = 3, .pixels_min = 655360, .pixels_max = 3840 * 2160};

static const struct {
    const char *name;
    imi_size_t wanted, size;
} cases[] = {
    {"one that fits stays", {1920, 1088}, {1920, 1088}},
    {"sides are rounded to steps", {1919, 1081}, {1920, 1088}},
    {"the largest", {3840, 2160}, {3840, 2160}},
    {"the largest, upright", {2160, 3840}, {2160, 3840}},
    {"a square with as many pixels as there may be", {3840, 3840}, {2880, 2880}},
    {"one that is too large keeps its ratio", {8000, 4500}, {3840, 2160}},
    {"one that is too small, too", {160, 90}, {1072, 624}},
    {"the smallest there can be", {1, 1}, {816, 816}},
    {"three to one is as long as may be", {3000, 1000}, {2976, 992}},
    {"what is longer becomes that", {8192, 16}, {1392, 480}},
};

START_TEST(a_size_comes_within_the_bounds) { /* _i walks cases */
    imi_size_t size = imi_nearest_size(cases[_i].wanted, &bounds);
    ck_assert_msg(size.width == cases[_i].size.width && size.height == cases[_i].size.height,
                  "%s: got %ux%u", cases[_i].name, size.width, size.height);
}
END_TEST

START_TEST(every_size_does) {
    for (uint32_t width = 16; width <= 8192; width += 37)
        for (uint32_t height = 16; height <= 8192; height += 41) {
            imi_size_t size = imi_nearest_size((imi_size_t){width, height}, &bounds);
            uint64_t pixels = (uint64_t)size.width * size.height;
            ck_assert_msg(size.width % 16 == 0 && size.height % 16 == 0 && size.width <= 3840 &&
                              size.height <= 3840 && size.width <= 3 * size.height &&
                              size.height <= 3 * size.width && pixels >= bounds.pixels_min &&
                              pixels <= bounds.pixels_max,
                          "%ux%u became %ux%u", width, height, size.width, size.height);
        }
}
END_TEST

START_TEST(without_bounds_only_the_step_counts) {
    imi_size_bounds_t steps = {.step = 8};
    imi_size_t size = imi_nearest_size((imi_size_t){8191, 17}, &steps);
    ck_assert_uint_eq(size.width, 8192);
    ck_assert_uint_eq(size.height, 16);
}
END_TEST

static Suite *nearest_suite(void) {
    Suite *suite = suite_create("nearest");
    TCase *tcase = tcase_create("nearest");
    tcase_add_loop_test(tcase, a_size_comes_within_the_bounds, 0, sizeof(cases) / sizeof(cases[0]));
    tcase_add_test(tcase, every_size_does);
    tcase_add_test(tcase, without_bounds_only_the_step_counts);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(nearest_suite)
