/* test_base64.c: RFC 4648's examples, what providers send instead, and what is refused. */
#include "wire/base64.h"

#include <stdint.h>
#include <string.h>

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"
#include "../../support/random.h"

#define COUNT_OF(table) ((int)(sizeof(table) / sizeof((table)[0])))

static const struct {
    const char *plain, *text;
} rfc_cases[] = {
    /* RFC 4648, section 10 */
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

START_TEST(the_standards_examples) { /* _i walks rfc_cases */
    const char *plain = rfc_cases[_i].plain;
    char out[16];
    size_t size = 99;
    imi_buf_t buf;
    imi_buf_init(&buf, NULL, 0);
    imi_buf_append_text(&buf, ">");
    ck_assert_int_eq(imi_base64_encode(&buf, plain, strlen(plain)), 0);
    ck_assert_str_eq(buf.data + 1, rfc_cases[_i].text);
    ck_assert_uint_eq(buf.size - 1, imi_base64_encoded_size(strlen(plain)));
    ck_assert(imi_base64_decode(out, &size, imi_slice_of(rfc_cases[_i].text)));
    ck_assert_uint_eq(size, strlen(plain));
    ck_assert_int_eq(memcmp(out, plain, size), 0);
    imi_buf_reset(&buf);
}
END_TEST

static const struct {
    const char *name, *text, *plain; /* NULL: refused */
} decode_cases[] = {
    {"no padding", "Zm9vYg", "foob"},
    {"no padding, one less", "Zm9vYmE", "fooba"},
    {"line breaks", "Zm9v\r\nYmFy\n", "foobar"},
    {"line breaks anywhere", "\nZ\nm\r\n9v\nYg\n=\n=\n", "foob"},
    {"the URL's alphabet", "_-8-", "\xFF\xEF\x3E"},
    {"both alphabets", "/-8+", "\xFF\xEF\x3E"},
    {"line breaks alone", "\r\n", ""},
    {"absent", NULL, ""},
    {"one letter left", "Zm9vY", NULL},
    {"one letter", "Z", NULL},
    {"padding alone", "=", NULL},
    {"padding in place of a group", "====", NULL},
    {"padding after a whole group", "Zm9v=", NULL},
    {"too little padding", "Zg=", NULL},
    {"too much padding", "Zg===", NULL},
    {"far too much padding", "Zm9=============", NULL},
    {"padding after three and two more", "Zm8==", NULL},
    {"letters after padding", "Zg==Zg==", NULL},
    {"spare bits that are not zero", "Zh==", NULL},
    {"spare bits that are not zero, three", "Zm9=", NULL},
    {"spare bits without padding", "Zh", NULL},
    {"a blank", "Zm9v YmFy", NULL},
    {"a percent sign", "Zm9%", NULL},
    {"not ASCII", "Zm9vYm\xC3\xA4", NULL},
};

START_TEST(what_is_taken_and_what_is_refused) { /* _i walks decode_cases */
    imi_slice_t text = imi_slice_of(decode_cases[_i].text);
    const char *plain = decode_cases[_i].plain;
    char out[32];
    size_t size = 99;
    bool is_taken = imi_base64_decode(out, &size, text);
    ck_assert_msg(is_taken == (plain != NULL), "%s", decode_cases[_i].name);
    if (is_taken)
        ck_assert_msg(size == strlen(plain) && memcmp(out, plain, size) == 0, "%s",
                      decode_cases[_i].name);
}
END_TEST

START_TEST(every_byte_has_its_meaning) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int byte = 0; byte < 256; byte++) {
        const char *letter = byte == 0 ? NULL : strchr(letters, byte);
        char text[4] = {'A', 'A', 'A', (char)byte};
        unsigned char out[6];
        size_t size = 0;
        size_t value = letter != NULL ? (size_t)(letter - letters) : byte == '-' ? 62 : 63;
        bool is_letter = letter != NULL || byte == '-' || byte == '_';
        bool is_taken = imi_base64_decode(out, &size, (imi_slice_t){text, 4});
        ck_assert_msg(is_taken == (is_letter || byte == '=' || byte == '\r' || byte == '\n'),
                      "byte %d", byte);
        ck_assert_msg(!is_letter || (size == 3 && out[2] == value), "byte %d", byte);
    }
}
END_TEST

/* Any bytes, with line breaks anywhere, into a block of just the size that is asked for. */
START_TEST(any_bytes_come_back) { /* _i: the seed */
    uint64_t seed = (uint64_t)_i;
    for (int round = 0; round < 100; round++) {
        unsigned char data[200];
        size_t data_size = random_below(&seed, sizeof(data)), size = 0;
        size_t break_every = 1 + random_below(&seed, 80);
        unsigned char *out = NULL;
        imi_buf_t plain, broken;
        for (size_t i = 0; i < data_size; i++)
            data[i] = (unsigned char)random_next(&seed);
        imi_buf_init(&plain, NULL, 0);
        imi_buf_init(&broken, NULL, 0);
        ck_assert_int_eq(imi_base64_encode(&plain, data, data_size), 0);
        for (size_t i = 0; i < plain.size; i++) {
            imi_buf_append_byte(&broken, plain.data[i]);
            if (random_below(&seed, break_every) == 0)
                imi_buf_append_text(&broken, random_below(&seed, 2) == 0 ? "\n" : "\r\n");
        }
        out = malloc(imi_base64_decoded_size_max(broken.size));
        ck_assert_msg(imi_base64_decode(out, &size, (imi_slice_t){broken.data, broken.size}),
                      "seed %d", _i);
        ck_assert_uint_eq(size, data_size);
        ck_assert_msg(memcmp(out, data, size) == 0, "seed %d", _i);
        if (plain.size != 0) { /* where the text lies */
            ck_assert(imi_base64_decode(plain.data, &size, (imi_slice_t){plain.data, plain.size}));
            ck_assert_uint_eq(size, data_size);
            ck_assert_msg(memcmp(plain.data, data, size) == 0, "seed %d", _i);
        }
        free(out);
        imi_buf_reset(&plain);
        imi_buf_reset(&broken);
    }
}
END_TEST

START_TEST(sizes_are_exact_and_never_wrap) {
    ck_assert_uint_eq(imi_base64_encoded_size(0), 0);
    ck_assert_uint_eq(imi_base64_encoded_size(1), 4);
    ck_assert_uint_eq(imi_base64_encoded_size(3), 4);
    ck_assert_uint_eq(imi_base64_encoded_size(4), 8);
    ck_assert_uint_eq(imi_base64_encoded_size(SIZE_MAX), SIZE_MAX);
    ck_assert_uint_ge(imi_base64_decoded_size_max(7), 5);
    ck_assert_uint_lt(imi_base64_decoded_size_max(SIZE_MAX), SIZE_MAX);
}
END_TEST

START_TEST(an_encoding_that_does_not_fit_fails) {
    failing_mem_t failing;
    imi_buf_t buf;
    imi_buf_init(&buf, NULL, 7);
    ck_assert_int_eq(imi_base64_encode(&buf, "abcd", 4), IMI_BUF_TOO_LARGE);
    ck_assert_uint_eq(buf.size, 0);
    imi_buf_init(&buf, NULL, 8);
    ck_assert_int_eq(imi_base64_encode(&buf, "abcd", 4), 0);
    imi_buf_reset(&buf);
    failing_mem_init(&failing, 1);
    imi_buf_init(&buf, &failing.mem, 0);
    ck_assert_int_eq(imi_base64_encode(&buf, "abcd", 4), IMI_BUF_NOMEM);
}
END_TEST

static Suite *base64_suite(void) {
    Suite *suite = suite_create("base64");
    TCase *tcase = tcase_create("base64");
    tcase_add_loop_test(tcase, the_standards_examples, 0, COUNT_OF(rfc_cases));
    tcase_add_loop_test(tcase, what_is_taken_and_what_is_refused, 0, COUNT_OF(decode_cases));
    tcase_add_test(tcase, every_byte_has_its_meaning);
    tcase_add_loop_test(tcase, any_bytes_come_back, 0, 10);
    tcase_add_test(tcase, sizes_are_exact_and_never_wrap);
    tcase_add_test(tcase, an_encoding_that_does_not_fit_fails);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(base64_suite)
