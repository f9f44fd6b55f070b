/* test_picture_size.c: the size of every kind of picture, and of nothing that is cut short. */
#include "providers/picture_size.h"

#include <stdlib.h>
#include <string.h>

#include "support/check_main.h"
#include "wire/dataurl.h"

#define BYTES(text) text, sizeof(text) - 1

static const struct {
    const char *name, *data;
    size_t size;
    uint32_t width, height; /* 0: not a picture */
} pictures[] = {
    {"PNG", BYTES("\x89PNG\r\n\x1A\n\0\0\0\x0DIHDR\0\1\0\2\0\0\3\4"), 0x10002, 0x304},
    {"PNG without its header", BYTES("\x89PNG\r\n\x1A\n\0\0\0\x0DIDAT\0\1\0\2\0\0\3\4"), 0, 0},
    {"JPEG", BYTES("\xFF\xD8\xFF\xE0\0\4JF\xFF\xC0\0\x0B\x08\1\2\3\4\1"), 0x304, 0x102},
    {"progressive JPEG behind tables and fill bytes",
     BYTES("\xFF\xD8\xFF\xC4\0\3x\xFF\xFF\xFF\xC2\0\x0B\x08\0\x10\0\x20\1"), 32, 16},
    {"JPEG without a frame", BYTES("\xFF\xD8\xFF\xDA\0\4xx\xFF\xD9\0\0\0\0\0\0\0"), 0, 0},
    {"JPEG with a segment that is longer than the file",
     BYTES("\xFF\xD8\xFF\xE0\xFF\xFFJF\xFF\xC0\0\x0B\x08\1\2\3\4\1"), 0, 0},
    {"WebP with all that can be in it", BYTES("RIFF....WEBPVP8X....\0\0\0\0\xFF\1\0\xFF\2\0"), 512,
     768},
    {"WebP without loss", BYTES("RIFF....WEBPVP8L....\x2F\x1F\xC0\x03\0\0\0\0\0\0"), 32, 16},
    {"WebP with loss", BYTES("RIFF....WEBPVP8 ....\0\0\0\x9D\1\x2A\x40\1\xF0\x40"), 320, 240},
    {"GIF", BYTES("GIF89a\x40\1\xF0\0"), 320, 240},
    {"a picture of no height", BYTES("GIF89a\x40\1\0\0"), 0, 0},
    {"a page", BYTES("<!doctype html><html><body>......"), 0, 0},
    {"nothing", "", 0, 0, 0},
};

START_TEST(size_of_a_picture) { /* _i walks pictures */
    uint32_t width, height;
    bool is_known = imi_picture_size(pictures[_i].data, pictures[_i].size, &width, &height);
    ck_assert_msg(is_known == (pictures[_i].width != 0), "%s", pictures[_i].name);
    if (is_known)
        ck_assert_msg(width == pictures[_i].width && height == pictures[_i].height, "%s: %ux%u",
                      pictures[_i].name, width, height);
}
END_TEST

/* In memory of exactly that size, so that a sanitizer sees what is read behind it. */
START_TEST(a_picture_cut_short_has_its_size_or_none) { /* _i walks pictures */
    for (size_t size = 0; size < pictures[_i].size; size++) {
        uint32_t width, height;
        char *data = malloc(size + (size == 0));
        ck_assert_ptr_nonnull(data);
        memcpy(data, pictures[_i].data, size);
        if (imi_picture_size(data, size, &width, &height))
            ck_assert_msg(width == pictures[_i].width && height == pictures[_i].height,
                          "%s, %zu bytes: %ux%u", pictures[_i].name, size, width, height);
        free(data);
    }
}
END_TEST

START_TEST(size_of_a_picture_in_a_data_address) { /* _i walks pictures */
    imi_buf_t url;
    uint32_t width, height;
    bool is_known;
    imi_buf_init(&url, NULL, 0);
    ck_assert_int_eq(imi_dataurl_encode(&url, "image/png", pictures[_i].data, pictures[_i].size),
                     0);
    is_known = imi_picture_size_of_data_url(url.data, &width, &height);
    ck_assert_msg(is_known == (pictures[_i].width != 0), "%s", pictures[_i].name);
    if (is_known)
        ck_assert_msg(width == pictures[_i].width && height == pictures[_i].height, "%s: %ux%u",
                      pictures[_i].name, width, height);
    imi_buf_reset(&url);
}
END_TEST

START_TEST(an_address_that_holds_no_data_has_no_size) {
    uint32_t width = 1, height = 1;
    ck_assert(!imi_picture_size_of_data_url("https://cdn.test/1.png", &width, &height));
    ck_assert(!imi_picture_size_of_data_url("data:image/png;base64,%%%%", &width, &height));
    ck_assert_uint_eq(width, 0);
    ck_assert_uint_eq(height, 0);
}
END_TEST

/* The header of a large picture is in its beginning. */
START_TEST(a_large_picture_is_not_decoded_whole) {
    size_t size = 1 << 20;
    char *data = calloc(1, size);
    imi_buf_t url;
    uint32_t width, height;
    ck_assert_ptr_nonnull(data);
    memcpy(data, pictures[0].data, pictures[0].size);
    imi_buf_init(&url, NULL, 0);
    ck_assert_int_eq(imi_dataurl_encode(&url, "image/png", data, size), 0);
    ck_assert(imi_picture_size_of_data_url(url.data, &width, &height));
    ck_assert_uint_eq(width, pictures[0].width);
    imi_buf_reset(&url);
    free(data);
}
END_TEST

static Suite *picture_size_suite(void) {
    Suite *suite = suite_create("picture_size");
    TCase *tcase = tcase_create("picture_size");
    const int count = sizeof(pictures) / sizeof(pictures[0]);
    tcase_add_loop_test(tcase, size_of_a_picture, 0, count);
    tcase_add_loop_test(tcase, a_picture_cut_short_has_its_size_or_none, 0, count);
    tcase_add_loop_test(tcase, size_of_a_picture_in_a_data_address, 0, count);
    tcase_add_test(tcase, an_address_that_holds_no_data_has_no_size);
    tcase_add_test(tcase, a_large_picture_is_not_decoded_whole);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(picture_size_suite)
