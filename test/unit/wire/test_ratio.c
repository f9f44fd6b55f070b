/* test_ratio.c: the table of ratios, and sizes held to a model's limits. */
#include "wire/ratio.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "../../support/check_main.h"

#define COUNT_OF(table) ((int)(sizeof(table) / sizeof((table)[0])))

static const struct {
    const char *ratio;
    double scale;
    uint32_t width, height;
} ratio_cases[] = {
    {"1:1", 1, 1024, 1024},
    {"16:9", 1, 1024, 576},
    {"4:3", 1, 1024, 768},
    {"3:2", 1, 960, 640},
    {"9:16", 1, 576, 1024},
    {"3:4", 1, 768, 1024},
    {"2:3", 1, 640, 960},
    {"7:5", 1, 1024, 1024},
    {"", 1, 1024, 1024},
    {"16:9 ", 1, 1024, 1024},
    {NULL, 1, 1024, 1024},
    {"16:9", 2, 2048, 1152},
    {"3:2", 1.5, 1440, 960},
    {"2:3", 0.5, 320, 480},
    {"16:9", 0.0009, 1, 1},
    {"9:16", 1.333, 768, 1365}, /* 767.8 and 1364.99 */
    {"1:1", 0, 1, 1},
    {"1:1", -1, 1, 1},
    {"1:1", NAN, 1, 1},
    {"1:1", 1e300, UINT32_MAX, UINT32_MAX},
    {"1:1", INFINITY, UINT32_MAX, UINT32_MAX},
};

START_TEST(a_size_from_a_ratio) { /* _i walks ratio_cases */
    imi_size_t size = imi_size_from_ratio(ratio_cases[_i].ratio, ratio_cases[_i].scale);
    ck_assert_msg(size.width == ratio_cases[_i].width && size.height == ratio_cases[_i].height,
                  "row %d: got %ux%u", _i, size.width, size.height);
}
END_TEST

static const struct {
    const char *name;
    imi_size_t size;
    uint32_t side_min, side_max;
    imi_size_t expected;
} clamp_cases[] = {
    {"fits", {1024, 576}, 64, 2048, {1024, 576}},
    {"just fits", {64, 2048}, 64, 2048, {64, 2048}},
    {"too wide", {2048, 1152}, 64, 1024, {1024, 576}},
    {"too tall", {1152, 2048}, 64, 1024, {576, 1024}},
    {"too large both", {4096, 4096}, 64, 1664, {1664, 1664}},
    {"rounded", {2000, 1333}, 64, 1664, {1664, 1109}},   /* 1109.06 */
    {"rounded up", {1999, 1000}, 64, 1000, {1000, 500}}, /* 500.25 */
    {"too small", {32, 64}, 64, 2048, {64, 128}},
    {"too small both", {16, 16}, 64, 2048, {64, 64}},
    {"grown until the other side is full", {16, 8192}, 64, 2048, {64, 2048}},
    {"shrunk below the smallest", {8192, 64}, 64, 1024, {1024, 64}},
    {"grown over the largest", {10, 1000}, 64, 2048, {64, 2048}},
    {"nothing", {0, 0}, 64, 2048, {64, 64}},
    {"no width", {0, 512}, 64, 2048, {64, 2048}},
    {"the largest numbers", {UINT32_MAX, UINT32_MAX}, 64, 2048, {2048, 2048}},
    {"and their ratio", {UINT32_MAX, 1}, 64, UINT32_MAX, {UINT32_MAX, 64}},
    {"one size only", {300, 200}, 512, 512, {512, 512}},
};

START_TEST(a_size_is_held_to_the_limits) { /* _i walks clamp_cases */
    imi_size_t size =
        imi_size_clamp(clamp_cases[_i].size, clamp_cases[_i].side_min, clamp_cases[_i].side_max);
    ck_assert_msg(size.width == clamp_cases[_i].expected.width &&
                      size.height == clamp_cases[_i].expected.height,
                  "%s: got %ux%u", clamp_cases[_i].name, size.width, size.height);
}
END_TEST

START_TEST(a_clamped_size_is_within_the_limits_and_keeps_its_ratio) {
    for (uint32_t width = 16; width <= 8192; width = width * 5 / 4 + 1) {
        for (uint32_t height = 16; height <= 8192; height = height * 5 / 4 + 1) {
            imi_size_t size = imi_size_clamp((imi_size_t){width, height}, 64, 1664);
            double lost = fabs((double)size.width * height - (double)size.height * width);
            double longer = width > height ? width : height, shorter = width + height - longer;
            ck_assert_uint_ge(size.width, 64);
            ck_assert_uint_le(size.width, 1664);
            ck_assert_uint_ge(size.height, 64);
            ck_assert_uint_le(size.height, 1664);
            if (longer / shorter <= 1664.0 / 64) /* no more than half a pixel off */
                ck_assert_msg(lost <= longer / 2 + 1, "%ux%u: %ux%u", width, height, size.width,
                              size.height);
        }
    }
}
END_TEST

static Suite *ratio_suite(void) {
    Suite *suite = suite_create("ratio");
    TCase *tcase = tcase_create("ratio");
    tcase_add_loop_test(tcase, a_size_from_a_ratio, 0, COUNT_OF(ratio_cases));
    tcase_add_loop_test(tcase, a_size_is_held_to_the_limits, 0, COUNT_OF(clamp_cases));
    tcase_add_test(tcase, a_clamped_size_is_within_the_limits_and_keeps_its_ratio);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(ratio_suite)
