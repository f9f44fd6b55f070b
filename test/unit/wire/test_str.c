/* test_str.c: slices, numbers, UTF-8, percent encoding, and what strangers send. */
#include "wire/str.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"
#include "../../support/random.h"

#define COUNT_OF(table) ((int)(sizeof(table) / sizeof((table)[0])))

START_TEST(absent_is_not_empty) {
    imi_slice_t absent = imi_slice_of(NULL), empty = imi_slice_of("");
    ck_assert_ptr_null(absent.data);
    ck_assert_uint_eq(absent.size, 0);
    ck_assert(imi_slice_equals(empty, ""));
    ck_assert(!imi_slice_equals(absent, ""));
    ck_assert(!imi_slice_equals_nocase(absent, ""));
    ck_assert(imi_slice_equals(IMI_SLICE(""), ""));
}
END_TEST

static const struct {
    const char *a, *b;
    bool is_equal, is_equal_nocase;
} equal_cases[] = {
    {"cat", "cat", true, true},    {"cat", "CaT", false, true}, {"cat", "cats", false, false},
    {"cats", "cat", false, false}, {"", "", true, true},        {"[", "{", false, false},
    {"@", "`", false, false},      {"Ä", "ä", false, false}, /* not ASCII: as it is */
};

START_TEST(text_equals) { /* _i walks equal_cases */
    const char *a = equal_cases[_i].a, *b = equal_cases[_i].b;
    ck_assert_int_eq(imi_slice_equals(imi_slice_of(a), b), equal_cases[_i].is_equal);
    ck_assert_int_eq(imi_slice_equals_nocase(imi_slice_of(a), b), equal_cases[_i].is_equal_nocase);
    ck_assert_int_eq(imi_text_equals_nocase(a, b), equal_cases[_i].is_equal_nocase);
}
END_TEST

START_TEST(trim_takes_blanks_off_both_ends) {
    ck_assert(imi_slice_equals(imi_slice_trim(imi_slice_of(" \t\r\n a b \n")), "a b"));
    ck_assert(imi_slice_equals(imi_slice_trim(imi_slice_of(" \t")), ""));
    ck_assert(imi_slice_equals(imi_slice_trim(imi_slice_of("x")), "x"));
    ck_assert_ptr_null(imi_slice_trim(imi_slice_of(NULL)).data);
}
END_TEST

static const struct {
    const char *text, *pieces; /* each in brackets */
} split_cases[] = {
    {"a,,b", "[a][][b]"}, {"a", "[a]"}, {"a,", "[a]"}, {",a", "[][a]"},
    {",", "[]"},          {"", ""},     {NULL, ""},
};

START_TEST(split_gives_the_pieces) { /* _i walks split_cases */
    imi_slice_t rest = imi_slice_of(split_cases[_i].text), piece = {NULL, 0};
    char pieces[64] = "";
    size_t size = 0;
    while (imi_slice_split(&rest, ',', &piece))
        size += (size_t)snprintf(pieces + size, sizeof(pieces) - size, "[%.*s]", (int)piece.size,
                                 piece.data);
    ck_assert_str_eq(pieces, split_cases[_i].pieces);
}
END_TEST

START_TEST(a_needle_is_found_in_any_case) {
    ck_assert(imi_text_has_nocase(imi_slice_of("Daily QUOTA exceeded"), "quota"));
    ck_assert(imi_text_has_nocase(imi_slice_of("quota"), "quota"));
    ck_assert(imi_text_has_nocase(imi_slice_of("qquota"), "quota"));
    ck_assert(imi_text_has_nocase(imi_slice_of("any"), ""));
    ck_assert(!imi_text_has_nocase(imi_slice_of("quot"), "quota"));
    ck_assert(!imi_text_has_nocase((imi_slice_t){"quota", 4}, "quota"));
    ck_assert(!imi_text_has_nocase(imi_slice_of(NULL), "quota"));
    ck_assert(imi_text_starts_with("data:x", "data:"));
    ck_assert(!imi_text_starts_with("dat", "data:"));
}
END_TEST

static const struct {
    const char *text;
    bool is_number;
    int64_t value;
} int_cases[] = {
    {"0", true, 0},
    {"-0", true, 0},
    {"007", true, 7},
    {"-12", true, -12},
    {"9223372036854775807", true, INT64_MAX},
    {"-9223372036854775808", true, INT64_MIN},
    {"9223372036854775808", false, 0},
    {"-9223372036854775809", false, 0},
    {"99999999999999999999999", false, 0},
    {"18446744073709551617", false, 0},
    {"", false, 0},
    {"-", false, 0},
    {"+1", false, 0},
    {" 1", false, 0},
    {"1 ", false, 0},
    {"1x", false, 0},
    {"--1", false, 0},
    {"0x10", false, 0},
    {NULL, false, 0},
};

START_TEST(int64_from_text) { /* _i walks int_cases */
    int64_t value = 77;
    bool is_number = imi_parse_int64(imi_slice_of(int_cases[_i].text), &value);
    ck_assert_msg(is_number == int_cases[_i].is_number, "%s", int_cases[_i].text);
    ck_assert_int_eq(value, is_number ? int_cases[_i].value : 77);
}
END_TEST

static const struct {
    const char *text;
    double value; /* NAN: no number */
} double_cases[] = {
    {"0", 0},
    {"3.5", 3.5},
    {"-3.5", -3.5},
    {"1e3", 1000},
    {"1E+3", 1000},
    {"25e-2", 0.25},
    {"0.1", 0.1},
    {"1e22", 1e22},
    {"1e23", 1e23},
    {"123456789012345678", 123456789012345678.0},
    {"9007199254740993", 9007199254740992.0}, /* half way: to even */
    {"9007199254740993.00000000000000000000000000000000001", 9007199254740994.0},
    {"1.7976931348623157e308", 1.7976931348623157e308},
    {"4.9406564584124654e-324", 4.9406564584124654e-324},
    {"2.2250738585072011e-308", 2.2250738585072011e-308},
    {"1e-400", 0},
    {"0e999999999999999999999999", 0},
    {"0.0000000000000000000000000000000000000001e40", 1},
    {"100000000000000000000000000000000000000000e-41", 1},
    {"1e400", NAN},
    {"1e99999999999999999999999999", NAN},
    {"-1.8e308", NAN},
    {"", NAN},
    {"-", NAN},
    {"+1", NAN},
    {"01", NAN},
    {"1.", NAN},
    {".5", NAN},
    {"1e", NAN},
    {"1e+", NAN},
    {"1,5", NAN},
    {"0x1p3", NAN},
    {"inf", NAN},
    {"NaN", NAN},
    {" 1", NAN},
    {"1 ", NAN},
    {"1.5.5", NAN},
    {"1e5e5", NAN},
    {NULL, NAN},
};

START_TEST(double_from_text) { /* _i walks double_cases */
    const char *text = double_cases[_i].text;
    double value = 77;
    bool is_number = imi_parse_double(imi_slice_of(text), &value);
    ck_assert_msg(is_number == !isnan(double_cases[_i].value), "%s", text);
    if (is_number)
        ck_assert_msg(memcmp(&value, &double_cases[_i].value, sizeof(value)) == 0, "%s: %.17g",
                      text, value);
    else
        ck_assert(value == 77);
}
END_TEST

/* 2^53 + 1 lies half way between two doubles; written with 900 digits behind the point, only the
 * last one says on which side this is. */
START_TEST(the_last_of_many_digits_still_decides) {
    char text[1000] = "9007199254740993.";
    double value = 0;
    size_t size = strlen(text);
    memset(text + size, '0', 900);
    ck_assert(imi_parse_double((imi_slice_t){text, size + 900}, &value));
    ck_assert(value == 9007199254740992.0);
    text[size + 899] = '1';
    ck_assert(imi_parse_double((imi_slice_t){text, size + 900}, &value));
    ck_assert(value == 9007199254740994.0);
}
END_TEST

static const struct {
    double value;
    const char *text;
} format_cases[] = {
    {0, "0"},
    {-0.0, "-0"},
    {1, "1"},
    {-3.5, "-3.5"},
    {0.1, "0.1"},
    {0.1 + 0.2, "0.30000000000000004"},
    {1.0 / 3, "0.3333333333333333"},
    {7.5, "7.5"},
    {100, "100"},
    {123456789, "123456789"},
    {1e20, "100000000000000000000"},
    {123456789012345680000.0, "123456789012345680000"},
    {1e21, "1e+21"},
    {1.5e300, "1.5e+300"},
    {0.000001, "0.000001"},
    {0.00000123, "0.00000123"},
    {1e-7, "1e-7"},
    {5e-324, "5e-324"},
    {-2.2250738585072014e-308, "-2.2250738585072014e-308"},
    {1.7976931348623157e308, "1.7976931348623157e+308"},
    {9007199254740992, "9007199254740992"},
    {5.684341886080802e-14, "5.684341886080802e-14"},
    {5.960464477539063e-8, "5.960464477539063e-8"}, /* 2^-24: see next_one_up */
    {INFINITY, "null"},
    {-INFINITY, "null"},
    {NAN, "null"},
};

START_TEST(double_to_text) { /* _i walks format_cases */
    char text[32];
    size_t size = imi_format_double(text, format_cases[_i].value);
    ck_assert_str_eq(text, format_cases[_i].text);
    ck_assert_uint_eq(size, strlen(text));
}
END_TEST

START_TEST(every_double_survives_its_text) { /* _i: the seed */
    uint64_t seed = (uint64_t)_i;
    for (int i = 0; i < 2000; i++) {
        uint64_t bits = random_next(&seed);
        double value = 0, back = 0;
        char text[32];
        if (i % 4 == 0) /* no, or few, digits behind the point */
            value = (double)(int64_t)(bits % 100000000) / 1000;
        else if (i % 4 == 1) /* powers of two and their neighbours */
            value = ldexp(1 + (double)(bits % 3) * 0x1p-52, (int)(bits / 3 % 2098) - 1074);
        else
            memcpy(&value, &bits, sizeof(value));
        if (!isfinite(value))
            continue;
        ck_assert_uint_le(imi_format_double(text, value), 31);
        ck_assert_msg(imi_parse_double(imi_slice_of(text), &back) &&
                          memcmp(&value, &back, sizeof(value)) == 0,
                      "seed %d: %.17g became %s", _i, value, text);
    }
}
END_TEST

/* Only as good as the locales of the machine; without one that has a comma this proves nothing. */
START_TEST(the_locale_has_no_say) {
    static const char *const locales[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8",
                                          "de_DE",       "fr_FR.utf8", "ps_AF.UTF-8"};
    char text[32];
    double value = 0;
    for (size_t i = 0; i < sizeof(locales) / sizeof(locales[0]); i++) {
        if (setlocale(LC_ALL, locales[i]) == NULL)
            continue;
        ck_assert_str_ne(localeconv()->decimal_point, ".");
        imi_format_double(text, 0.1 + 0.2);
        ck_assert_str_eq(text, "0.30000000000000004");
        ck_assert(imi_parse_double(imi_slice_of("3.14159265358979312"), &value));
        ck_assert(value > 3.14159265358979 && value < 3.1415926535898);
        ck_assert(!imi_parse_double(imi_slice_of("3,5"), &value));
    }
}
END_TEST

START_TEST(hex_is_lower_case) {
    char text[9];
    imi_hex(text, "\x00\x9F\xA0\xFF", 4);
    ck_assert_str_eq(text, "009fa0ff");
    imi_hex(text, NULL, 0);
    ck_assert_str_eq(text, "");
}
END_TEST

static const struct {
    const char *name, *text;
    bool is_valid;
    size_t first_size; /* what imi_utf8_next says of the front */
} utf8_cases[] = {
    {"ASCII", "cat", true, 1},
    {"two bytes", "\xC2\x80", true, 2},
    {"three bytes", "\xE0\xA0\x80", true, 3},
    {"before the surrogates", "\xED\x9F\xBF", true, 3},
    {"behind the surrogates", "\xEE\x80\x80", true, 3},
    {"four bytes", "\xF0\x9F\x90\x88", true, 4},
    {"the last character", "\xF4\x8F\xBF\xBF", true, 4},
    {"past the last character", "\xF4\x90\x80\x80", false, 1},
    {"a surrogate", "\xED\xA0\x80", false, 1},
    {"overlong slash", "\xC0\xAF", false, 1},
    {"overlong in three", "\xE0\x9F\xBF", false, 1},
    {"overlong in four", "\xF0\x8F\xBF\xBF", false, 1},
    {"a tail alone", "\x80", false, 1},
    {"no such lead", "\xF5\x80\x80\x80", false, 1},
    {"0xFF", "\xFF", false, 1},
    {"cut after one of two", "\xC3", false, 1},
    {"cut after two of three", "\xE2\x82", false, 2},
    {"cut after three of four", "\xF0\x9F\x90", false, 3},
    {"a letter instead of the third", "\xF0\x9Fx\x88", false, 2},
};

START_TEST(utf8_is_checked) { /* _i walks utf8_cases */
    const char *text = utf8_cases[_i].text;
    size_t size = strlen(text);
    bool is_valid = !utf8_cases[_i].is_valid;
    ck_assert_msg(imi_utf8_next(text, size, &is_valid) == utf8_cases[_i].first_size, "%s",
                  utf8_cases[_i].name);
    ck_assert_msg(is_valid == utf8_cases[_i].is_valid, "%s", utf8_cases[_i].name);
    for (size_t before = 0; before < 20; before++) { /* wherever it stands among ASCII */
        char line[64];
        memset(line, 'x', sizeof(line));
        memcpy(line + before, text, size);
        ck_assert_msg(imi_utf8_valid(line, sizeof(line)) == utf8_cases[_i].is_valid, "%s at %zu",
                      utf8_cases[_i].name, before);
        ck_assert_msg(imi_utf8_valid(line, before + size) == utf8_cases[_i].is_valid, "%s at %zu",
                      utf8_cases[_i].name, before);
    }
}
END_TEST

START_TEST(every_character_is_valid_and_every_cut_is_not) {
    for (uint32_t c = 0x80; c <= 0x10FFFF; c += c < 0x3000 ? 1 : 61) {
        char text[4];
        size_t size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        bool is_surrogate = c >= 0xD800 && c <= 0xDFFF;
        uint32_t left = c;
        for (size_t i = size - 1; i > 0; i--, left >>= 6)
            text[i] = (char)(unsigned char)(0x80 | (left & 0x3F));
        text[0] = (char)(unsigned char)((size == 2 ? 0xC0 : size == 3 ? 0xE0 : 0xF0) | left);
        ck_assert_msg(imi_utf8_valid(text, size) == !is_surrogate, "U+%04X", c);
        for (size_t cut = 1; cut < size; cut++)
            ck_assert_msg(!imi_utf8_valid(text, cut), "U+%04X cut at %zu", c, cut);
    }
}
END_TEST

static const struct {
    const char *text, *encoded;
    bool keep_slashes;
} encode_cases[] = {
    {"", "", false},
    {"AZaz09-._~", "AZaz09-._~", false},
    {"a b+c", "a%20b%2Bc", false},
    {"a/b", "a%2Fb", false},
    {"a/b", "a/b", true},
    {"猫%", "%E7%8C%AB%25", false},
};

START_TEST(percent_encoding_and_back) { /* _i walks encode_cases */
    imi_buf_t buf;
    imi_arena_t arena;
    imi_buf_init(&buf, NULL, 0);
    imi_arena_init(&arena, NULL, 0);
    ck_assert_int_eq(imi_percent_encode(&buf, encode_cases[_i].text, encode_cases[_i].keep_slashes),
                     0);
    if (buf.size != 0)
        ck_assert_str_eq(buf.data, encode_cases[_i].encoded);
    ck_assert_str_eq(imi_percent_decode(&arena, imi_slice_of(encode_cases[_i].encoded), false),
                     encode_cases[_i].text);
    imi_buf_reset(&buf);
    imi_arena_reset(&arena);
}
END_TEST

static const struct {
    const char *text, *plain; /* NULL: broken */
    bool plus_is_space;
} decode_cases[] = {
    {"a+b", "a+b", false},   {"a+b", "a b", true}, {"%2b%2B", "++", true},
    {"%2525", "%25", false}, /* once */
    {"%", NULL, false},      {"%4", NULL, false},  {"a%4g", NULL, false},
    {"%g4", NULL, false},    {"%00", NULL, false}, {"%%41", NULL, false},
};

START_TEST(percent_decoding) { /* _i walks decode_cases */
    imi_arena_t arena;
    const char *plain = NULL;
    imi_arena_init(&arena, NULL, 0);
    plain = imi_percent_decode(&arena, imi_slice_of(decode_cases[_i].text),
                               decode_cases[_i].plus_is_space);
    ck_assert_pstr_eq(plain, decode_cases[_i].plain);
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(bytes_may_be_nul_when_decoded_as_bytes) {
    char out[8];
    size_t size = 0;
    ck_assert(imi_percent_decode_bytes(out, &size, imi_slice_of("a%00+"), false));
    ck_assert_uint_eq(size, 3);
    ck_assert_int_eq(memcmp(out, "a\0+", 3), 0);
}
END_TEST

START_TEST(constant_time_equality_is_equality) {
    ck_assert(imi_equals_constant_time("secret", 6, "secret", 6));
    ck_assert(imi_equals_constant_time(NULL, 0, "", 0));
    ck_assert(!imi_equals_constant_time("secret", 6, "secret", 5));
    for (size_t i = 0; i < 6; i++) {
        char other[] = "secret";
        other[i] ^= 1;
        ck_assert(!imi_equals_constant_time("secret", 6, other, 6));
    }
}
END_TEST

static const struct {
    const char *name, *text;
    size_t size_max;
    const char *cleaned;
} clean_cases[] = {
    {"plain", "no quota left", 100, "no quota left"},
    {"lines become one", "a\r\n\tb", 100, "a b"},
    {"beside a blank nothing is added", "a \n b\n c", 100, "a  b c"},
    {"nothing at the ends", "\n\na\n", 100, "a"},
    {"nothing but control characters", "\x01\x7F\n", 100, ""},
    {"escape sequences lose their teeth", "\x1B[31mred", 100, "[31mred"},
    {"C1 and line separators",
     "a\xC2\x9B"
     "b\xE2\x80\xA8"
     "c\xE2\x80\xA9"
     "d",
     100, "a b c d"},
    {"what only looks like them", "\xC2\xA0\xE2\x80\xA7", 100, "\xC2\xA0\xE2\x80\xA7"},
    {"broken bytes", "a\xFF\xE2\x82z", 100, "a\xEF\xBF\xBD\xEF\xBF\xBDz"},
    {"cut", "abcdef", 4, "abcd"},
    {"never inside a character", "ab猫c", 4, "ab"},
    {"just fits", "ab猫c", 5, "ab猫"},
    {"a gap and a letter or neither", "ab\nc", 3, "ab"},
    {"no room at all", "abc", 0, ""},
};

START_TEST(strangers_text_is_cleaned) { /* _i walks clean_cases */
    imi_arena_t arena;
    const char *cleaned = NULL;
    imi_arena_init(&arena, NULL, 0);
    cleaned = imi_text_clean(&arena, clean_cases[_i].text, strlen(clean_cases[_i].text),
                             clean_cases[_i].size_max);
    ck_assert_msg(strcmp(cleaned, clean_cases[_i].cleaned) == 0, "%s: \"%s\"", clean_cases[_i].name,
                  cleaned);
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(whatever_comes_clean_text_is_clean) { /* _i: the seed */
    uint64_t seed = (uint64_t)_i;
    imi_arena_t arena;
    imi_arena_init(&arena, NULL, 0);
    for (int round = 0; round < 200; round++) {
        char text[40];
        size_t size = random_below(&seed, sizeof(text)), size_max = random_below(&seed, 60);
        const char *cleaned = NULL;
        for (size_t i = 0; i < size; i++)
            text[i] = "\n\x7F\xC2\x9B\xE2\x80\xA8\xF0\x9F\x90\x88 ab"[random_below(&seed, 13)];
        cleaned = imi_text_clean(&arena, text, size, size_max);
        ck_assert_uint_le(strlen(cleaned), size_max);
        ck_assert_msg(imi_utf8_valid(cleaned, strlen(cleaned)), "seed %d", _i);
        ck_assert_ptr_null(strpbrk(cleaned, "\n\x7F"));
        ck_assert_ptr_null(strstr(cleaned, "\xC2\x9B"));
        ck_assert_ptr_null(strstr(cleaned, "\xE2\x80\xA8"));
    }
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(what_is_made_quotable_ends_where_its_quotes_do) {
    char text[] = "say \\\"no\"\n\x7F\xC3\xA4 \\";
    imi_text_make_quotable(text);
    ck_assert_str_eq(text, "say \\'no'  \xC3\xA4 /");
}
END_TEST

START_TEST(without_memory_null_comes_back) {
    failing_mem_t failing;
    imi_arena_t arena;
    imi_buf_t buf;
    failing_mem_init(&failing, 1);
    failing.is_lasting = true;
    imi_arena_init(&arena, &failing.mem, 0);
    imi_buf_init(&buf, &failing.mem, 0);
    ck_assert_ptr_null(imi_text_clean(&arena, "a", 1, 10));
    ck_assert_ptr_null(imi_percent_decode(&arena, imi_slice_of("a"), false));
    ck_assert_int_eq(imi_percent_encode(&buf, "a b", false), IMI_BUF_NOMEM);
}
END_TEST

static Suite *str_suite(void) {
    Suite *suite = suite_create("str");
    TCase *tcase = tcase_create("str");
    tcase_add_test(tcase, absent_is_not_empty);
    tcase_add_test(tcase, what_is_made_quotable_ends_where_its_quotes_do);
    tcase_add_loop_test(tcase, text_equals, 0, COUNT_OF(equal_cases));
    tcase_add_test(tcase, trim_takes_blanks_off_both_ends);
    tcase_add_loop_test(tcase, split_gives_the_pieces, 0, COUNT_OF(split_cases));
    tcase_add_test(tcase, a_needle_is_found_in_any_case);
    tcase_add_loop_test(tcase, int64_from_text, 0, COUNT_OF(int_cases));
    tcase_add_loop_test(tcase, double_from_text, 0, COUNT_OF(double_cases));
    tcase_add_test(tcase, the_last_of_many_digits_still_decides);
    tcase_add_loop_test(tcase, double_to_text, 0, COUNT_OF(format_cases));
    tcase_add_loop_test(tcase, every_double_survives_its_text, 0, 5);
    tcase_add_test(tcase, the_locale_has_no_say);
    tcase_add_test(tcase, hex_is_lower_case);
    tcase_add_loop_test(tcase, utf8_is_checked, 0, COUNT_OF(utf8_cases));
    tcase_add_test(tcase, every_character_is_valid_and_every_cut_is_not);
    tcase_add_loop_test(tcase, percent_encoding_and_back, 0, COUNT_OF(encode_cases));
    tcase_add_loop_test(tcase, percent_decoding, 0, COUNT_OF(decode_cases));
    tcase_add_test(tcase, bytes_may_be_nul_when_decoded_as_bytes);
    tcase_add_test(tcase, constant_time_equality_is_equality);
    tcase_add_loop_test(tcase, strangers_text_is_cleaned, 0, COUNT_OF(clean_cases));
    tcase_add_loop_test(tcase, whatever_comes_clean_text_is_clean, 0, 10);
    tcase_add_test(tcase, without_memory_null_comes_back);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(str_suite)
