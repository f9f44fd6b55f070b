/* test_dataurl.c: addresses that hold their data, and pictures told by their first bytes. */
#include "wire/dataurl.h"

#include <string.h>

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"

#define COUNT_OF(table) ((int)(sizeof(table) / sizeof((table)[0])))

static const struct {
    const char *url;
    const char *mime; /* NULL: not a data: URL */
    const char *payload;
    bool is_base64;
    const char *decoded; /* NULL: broken */
} url_cases[] = {
    {"data:image/png;base64,aGk=", "image/png", "aGk=", true, "hi"},
    {"DATA:image/PNG;BASE64,aGk", "image/PNG", "aGk", true, "hi"},
    {"data:image/png;name=a.png; base64 ,aGk=", "image/png", "aGk=", true, "hi"},
    {"data:;base64,aGk=", "", "aGk=", true, "hi"},
    {"data:,a%20b+c", "", "a%20b+c", false, "a b+c"},
    {"data:text/plain;charset=utf-8,hi,there", "text/plain", "hi,there", false, "hi,there"},
    {"data:text/plain;base64;x=y,aGk=", "text/plain", "aGk=", false, "aGk="},
    {"data:image/png;base64,aGk%3D", "image/png", "aGk%3D", true, "hi"},
    {"data:image/png;base64,%2F-8%2b", "image/png", "%2F-8%2b", true, "\xFF\xEF\x3E"},
    {"data:image/png;base64,", "image/png", "", true, ""},
    {"data:image/png;base64,a", "image/png", "a", true, NULL},
    {"data:image/png;base64,aGk%3", "image/png", "aGk%3", true, NULL},
    {"data:,%zz", "", "%zz", false, NULL},
    {"data:image/png;base64", NULL, NULL, false, NULL},
    {"data:", NULL, NULL, false, NULL},
    {"dat", NULL, NULL, false, NULL},
    {"http://x.test/,", NULL, NULL, false, NULL},
    {" data:,", NULL, NULL, false, NULL},
    {NULL, NULL, NULL, false, NULL},
};

START_TEST(a_data_url_is_taken_apart) { /* _i walks url_cases */
    imi_slice_t text = imi_slice_of(url_cases[_i].url);
    imi_dataurl_t url;
    imi_arena_t arena;
    size_t size = 0;
    bool is_nomem = true;
    const char *decoded = NULL;
    bool is_url = imi_dataurl_parse(text, &url);
    ck_assert_msg(is_url == (url_cases[_i].mime != NULL), "%s", url_cases[_i].url);
    if (!is_url)
        return;
    ck_assert(imi_slice_equals(url.mime, url_cases[_i].mime));
    ck_assert(imi_slice_equals(url.payload, url_cases[_i].payload));
    ck_assert_msg(url.is_base64 == url_cases[_i].is_base64, "%s", url_cases[_i].url);
    imi_arena_init(&arena, NULL, 0);
    decoded = imi_dataurl_decode(&arena, &url, &size, &is_nomem);
    ck_assert(!is_nomem);
    ck_assert_msg((decoded != NULL) == (url_cases[_i].decoded != NULL), "%s", url_cases[_i].url);
    if (decoded != NULL) {
        ck_assert_uint_eq(size, strlen(url_cases[_i].decoded));
        ck_assert_int_eq(memcmp(decoded, url_cases[_i].decoded, size), 0);
    }
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(a_data_url_is_known_by_its_scheme) {
    ck_assert(imi_is_dataurl("data:image/png;base64,aGk="));
    ck_assert(imi_is_dataurl("DaTa:"));
    ck_assert(!imi_is_dataurl("data"));
    ck_assert(!imi_is_dataurl(" data:,"));
    ck_assert(!imi_is_dataurl("http://data:/,"));
    ck_assert(!imi_is_dataurl(""));
}
END_TEST

START_TEST(a_nul_is_data) {
    imi_dataurl_t url;
    imi_arena_t arena;
    size_t size = 0;
    bool is_nomem = false;
    imi_arena_init(&arena, NULL, 0);
    ck_assert(imi_dataurl_parse(imi_slice_of("data:,a%00b"), &url));
    ck_assert_int_eq(memcmp(imi_dataurl_decode(&arena, &url, &size, &is_nomem), "a\0b", 3), 0);
    ck_assert_uint_eq(size, 3);
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(one_percent_sign_at_the_end_of_much_base64_still_fits) {
    char text[500] = "data:;base64,";
    size_t head_size = strlen(text), size = 0;
    imi_dataurl_t url;
    imi_arena_t arena;
    bool is_nomem = false;
    memset(text + head_size, 'A', 402);
    memcpy(text + head_size + 402, "%3D=", 5);
    imi_arena_init(&arena, NULL, 0);
    ck_assert(imi_dataurl_parse(imi_slice_of(text), &url));
    ck_assert_ptr_nonnull(imi_dataurl_decode(&arena, &url, &size, &is_nomem));
    ck_assert_uint_eq(size, 301);
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(out_of_memory_is_told_from_broken) {
    failing_mem_t failing;
    imi_dataurl_t url;
    imi_arena_t arena;
    size_t size = 0;
    bool is_nomem = false;
    failing_mem_init(&failing, 1);
    imi_arena_init(&arena, &failing.mem, 0);
    ck_assert(imi_dataurl_parse(imi_slice_of("data:;base64,aGk="), &url));
    ck_assert_ptr_null(imi_dataurl_decode(&arena, &url, &size, &is_nomem));
    ck_assert(is_nomem);
}
END_TEST

START_TEST(encoding_takes_one_allocation_and_comes_back) {
    char data[3000];
    failing_mem_t failing;
    imi_buf_t buf;
    imi_dataurl_t url;
    imi_arena_t arena;
    size_t size = 0;
    bool is_nomem = false;
    memset(data, 0xC7, sizeof(data));
    failing_mem_init(&failing, 0);
    imi_arena_init(&arena, NULL, 0);
    imi_buf_init(&buf, &failing.mem, 0);
    ck_assert_int_eq(imi_dataurl_encode(&buf, "image/webp", data, sizeof(data)), 0);
    ck_assert_uint_eq(failing.request_count, 1);
    ck_assert(imi_text_starts_with(buf.data, "data:image/webp;base64,x8fH"));
    ck_assert(imi_dataurl_parse((imi_slice_t){buf.data, buf.size}, &url));
    ck_assert_int_eq(memcmp(imi_dataurl_decode(&arena, &url, &size, &is_nomem), data, sizeof(data)),
                     0);
    ck_assert_uint_eq(size, sizeof(data));
    imi_arena_reset(&arena);
    imi_buf_reset(&buf);
    failing_mem_init(&failing, 1);
    imi_buf_init(&buf, &failing.mem, 0);
    ck_assert_int_eq(imi_dataurl_encode(&buf, "image/webp", data, 3), IMI_BUF_NOMEM);
    imi_buf_init(&buf, NULL, 26);
    ck_assert_int_eq(imi_dataurl_encode(&buf, "image/webp", data, 3), IMI_BUF_TOO_LARGE);
    imi_buf_reset(&buf);
}
END_TEST

#define BYTES(literal) literal, sizeof(literal) - 1

static const struct {
    const char *name, *data;
    size_t size;      /* no byte less would do */
    const char *mime; /* NULL: none of ours */
} sniff_cases[] = {
    {"PNG", BYTES("\x89PNG\r\n\x1A\n"), "image/png"},
    {"JPEG", BYTES("\xFF\xD8\xFF"), "image/jpeg"},
    {"WebP", BYTES("RIFF\x24\x00\x00\x00WEBP"), "image/webp"},
    {"GIF 87", BYTES("GIF87a"), "image/gif"},
    {"GIF 89", BYTES("GIF89a"), "image/gif"},
    {"AVIF",
     BYTES("\0\0\0\x20"
           "ftypavif"),
     "image/avif"},
    {"AVIF sequence",
     BYTES("\0\0\0\x20"
           "ftypavis"),
     "image/avif"},
    {"AVIF that says mif1 first",
     BYTES("\0\0\0\x1C"
           "ftypmif1\0\0\0\0miafavif"),
     "image/avif"},
    {"MP4 isom",
     BYTES("\0\0\0\x20"
           "ftypiso"),
     NULL}, /* cut short: see the next */
    {"MP4",
     BYTES("\0\0\0\x20"
           "ftypisom"),
     "video/mp4"},
    {"MP4 42",
     BYTES("\0\0\0\x18"
           "ftypmp42"),
     "video/mp4"},
    {"MP4 by its second brand",
     BYTES("\0\0\0\x18"
           "ftypXXXX\0\0\0\0avc1"),
     "video/mp4"},
    {"WebM", BYTES("\x1A\x45\xDF\xA3\x9F\x42\x86\x81\x01\x42\x82\x84webm"), "video/webm"},
    {"Matroska", BYTES("\x1A\x45\xDF\xA3\xA3\x42\x82\x88matroska"), NULL},
    {"QuickTime",
     BYTES("\0\0\0\x14"
           "ftypqt  \0\0\0\0qt  "),
     NULL},
    {"HEIC",
     BYTES("\0\0\0\x18"
           "ftypheic\0\0\0\0mif1heic"),
     NULL},
    {"the version is no brand",
     BYTES("\0\0\0\x14"
           "ftypXXXXisomXXXX"),
     NULL},
    {"brands behind their box",
     BYTES("\0\0\0\x10"
           "ftypXXXX\0\0\0\0isom"),
     NULL},
    {"WAV", BYTES("RIFF\x24\x00\x00\x00WAVE"), NULL},
    {"SVG", BYTES("<svg xmlns=\"http://www.w3.org/2000/svg\"/>"), NULL},
    {"nothing", BYTES(""), NULL},
};

START_TEST(a_picture_is_known_by_its_first_bytes) { /* _i walks sniff_cases */
    size_t size = sniff_cases[_i].size;
    for (size_t cut = 0; cut <= size; cut++) { /* a block that ends just there */
        char *copy = malloc(cut == 0 ? 1 : cut);
        const char *mime = NULL;
        memcpy(copy, sniff_cases[_i].data, cut);
        mime = imi_sniff_mime(copy, cut);
        ck_assert_msg(cut == size ? (mime == NULL) == (sniff_cases[_i].mime == NULL) : mime == NULL,
                      "%s: %s after %zu bytes", sniff_cases[_i].name, mime, cut);
        if (mime != NULL)
            ck_assert_str_eq(mime, sniff_cases[_i].mime);
        free(copy);
    }
}
END_TEST

START_TEST(pictures_are_told_from_videos) {
    ck_assert(imi_mime_is_picture("image/png"));
    ck_assert(imi_mime_is_picture("IMAGE/webp"));
    ck_assert(!imi_mime_is_picture("video/mp4"));
    ck_assert(!imi_mime_is_picture("image/"));
    ck_assert(!imi_mime_is_picture("images/png"));
    ck_assert(!imi_mime_is_picture(""));
    ck_assert(!imi_mime_is_picture(NULL));
}
END_TEST

static Suite *dataurl_suite(void) {
    Suite *suite = suite_create("dataurl");
    TCase *tcase = tcase_create("dataurl");
    tcase_add_loop_test(tcase, a_data_url_is_taken_apart, 0, COUNT_OF(url_cases));
    tcase_add_test(tcase, a_data_url_is_known_by_its_scheme);
    tcase_add_test(tcase, a_nul_is_data);
    tcase_add_test(tcase, one_percent_sign_at_the_end_of_much_base64_still_fits);
    tcase_add_test(tcase, out_of_memory_is_told_from_broken);
    tcase_add_test(tcase, encoding_takes_one_allocation_and_comes_back);
    tcase_add_loop_test(tcase, a_picture_is_known_by_its_first_bytes, 0, COUNT_OF(sniff_cases));
    tcase_add_test(tcase, pictures_are_told_from_videos);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(dataurl_suite)
