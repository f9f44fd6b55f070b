/* test_divert.c: pictures are found in JSON while it comes: what is kept of it, what goes on as
 * bytes, and that neither depends on where the answer is cut. */
#include "core/divert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imagine.h"
#include "support/check_main.h"
#include "support/failing_mem.h"
#include "support/script_io.h"
#include "wire/base64.h"
#include "wire/str.h"

#define COUNT_OF(table) ((int)(sizeof(table) / sizeof((table)[0])))
#define HEAD_LETTERS (IMI_DIVERT_HEAD_SIZE - 1)
#define BIG 20000 /* bytes of a picture that is long enough */

/* ---- answers ----------------------------------------------------------------------------------
 */

static imi_buf_t answer;

static void put_letters(size_t size) {
    imi_buf_t picture;
    imi_buf_init(&picture, NULL, 0);
    script_append_picture(&picture, size);
    imi_base64_encode(&answer, picture.data, picture.size);
    imi_buf_reset(&picture);
}

/* As PHP and careful encoders write it: "\/" and "+" as a number. */
static void put_escaped_letters(size_t size) {
    size_t from = answer.size;
    imi_buf_t plain;
    put_letters(size);
    imi_buf_init(&plain, NULL, 0);
    imi_buf_append(&plain, answer.data + from, answer.size - from);
    answer.size = from;
    for (size_t i = 0; i < plain.size; i++) {
        if (plain.data[i] == '/')
            imi_buf_append_text(&answer, "\\/");
        else if (plain.data[i] == '+')
            imi_buf_append_text(&answer, i % 2 == 0 ? "\\u002b" : "\\u002B");
        else
            imi_buf_append_byte(&answer, plain.data[i]);
        if (i % 76 == 75)
            imi_buf_append_text(&answer, i % 3 == 0 ? "\\r\\n" : "\\n");
    }
    imi_buf_reset(&plain);
}

static void put_url_alphabet(size_t size) {
    size_t from = answer.size;
    put_letters(size);
    for (size_t i = from; i < answer.size; i++)
        answer.data[i] = answer.data[i] == '+' ? '-' : answer.data[i] == '/' ? '_' : answer.data[i];
    while (answer.data[answer.size - 1] == '=')
        answer.data[--answer.size] = '\0';
}

static void put_text(size_t size) {
    for (size_t i = 0; i < size; i++)
        imi_buf_append_text(&answer, i % 5 == 0 ? "\\\"" : i % 7 == 0 ? "\\\\" : "a");
}

static void one_picture(void) {
    imi_buf_append_text(&answer, "{\"created\":1,\"data\":[{\"b64_json\":\"");
    put_letters(BIG);
    imi_buf_append_text(&answer, "\",\"revised_prompt\":\"a \\\"cat\\\" \\\\\"}],\"usage\":{}}");
}

static void escaped_picture(void) {
    imi_buf_append_text(&answer, "{\"a\":\"");
    put_escaped_letters(BIG);
    imi_buf_append_text(&answer, "\"}");
}

static void url_alphabet(void) {
    imi_buf_append_text(&answer, "[\"");
    put_url_alphabet(BIG);
    imi_buf_append_text(&answer, "\"]");
}

static void two_pictures(void) {
    imi_buf_append_text(&answer, "[\"");
    put_letters(BIG);
    imi_buf_append_text(&answer, "\",\"short\",\"");
    put_escaped_letters(BIG + 1);
    imi_buf_append_text(&answer, "\"]");
}

static void just_long_enough(void) { /* not a byte behind what is kept */
    imi_buf_append_text(&answer, "[\"");
    put_letters(HEAD_LETTERS / 4 * 3);
    imi_buf_append_text(&answer, "AAA\"]");
}

static void one_too_short(void) {
    imi_buf_append_text(&answer, "[\"");
    put_letters(HEAD_LETTERS / 4 * 3);
    imi_buf_append_text(&answer, "AA\"]");
}

static void long_text(void) {
    imi_buf_append_text(&answer, "{\"text\":\"");
    put_text(BIG);
    imi_buf_append_text(&answer, "\",\"b\":\"x\"}");
}

static void data_address(void) { /* read as a text, so it stays one */
    imi_buf_append_text(&answer, "{\"url\":\"data:image/png;base64,");
    put_letters(BIG);
    imi_buf_append_text(&answer, "\"}");
}

static void no_picture(void) {
    imi_buf_append_text(&answer, "{\"thoughtSignature\":\"");
    for (size_t i = 0; i < BIG; i++)
        imi_buf_append_byte(&answer, 'A');
    imi_buf_append_text(&answer, "\"}");
}

static void broken(const char *what) {
    imi_buf_append_text(&answer, "[\"");
    put_letters(BIG);
    while (answer.data[answer.size - 1] == '=')
        answer.size--;
    imi_buf_append_text(&answer, what);
    imi_buf_append_text(&answer, "\"]");
}

static void broken_letter(void) {
    broken("AAAA*AAA");
}
static void broken_escape(void) {
    broken("AAAA\\u00e4AAA");
}
static void escaped_quote(void) {
    broken("AAAA\\\"AAA");
}
static void escaped_end(void) {
    broken("\\u002");
}
static void padded_inside(void) {
    broken("AA==AAAA");
}
static void one_letter_left(void) {
    imi_buf_append_text(&answer, "[\"");
    put_letters(BIG / 3 * 3);
    imi_buf_append_text(&answer, "A\"]");
}
static void cut_off(void) {
    imi_buf_append_text(&answer, "[\"");
    put_letters(BIG);
}

static const struct {
    const char *name;
    void (*build)(void);
    int error;
    bool is_open; /* the answer may not end there */
    size_t count;
    size_t sizes[2];
} cases[] = {
    {"one picture among other things", one_picture, 0, false, 1, {BIG, 0}},
    {"escapes and line breaks", escaped_picture, 0, false, 1, {BIG, 0}},
    {"the URL's alphabet without padding", url_alphabet, 0, false, 1, {BIG, 0}},
    {"two pictures", two_pictures, 0, false, 2, {BIG, BIG + 1}},
    {"as long as what is kept", just_long_enough, 0, false, 1, {0, 0}},
    {"one letter less", one_too_short, 0, false, 0, {0, 0}},
    {"a long text", long_text, 0, false, 0, {0, 0}},
    {"a data: address", data_address, 0, false, 0, {0, 0}},
    {"base64 of something else", no_picture, 0, false, 0, {0, 0}},
    {"what is no letter", broken_letter, IMAGINE_EPROTOCOL, true, 0, {0, 0}},
    {"an escape that is none", broken_escape, IMAGINE_EPROTOCOL, true, 0, {0, 0}},
    {"a quote inside", escaped_quote, IMAGINE_EPROTOCOL, true, 0, {0, 0}},
    {"an escape cut by the end", escaped_end, IMAGINE_EPROTOCOL, true, 0, {0, 0}},
    {"letters behind the padding", padded_inside, IMAGINE_EPROTOCOL, true, 0, {0, 0}},
    {"a letter that is no byte", one_letter_left, IMAGINE_EPROTOCOL, true, 0, {0, 0}},
    {"an answer that ends inside", cut_off, 0, true, 0, {0, 0}},
};

/* ---- reading them ------------------------------------------------------------------------------
 */

typedef struct seen {
    imi_buf_t kept;
    imi_buf_t bytes[2];
    size_t begun_count, ended_count, picture_max;
    size_t ats[2];
    int error, refusal;
    bool may_end;
} seen_t;

static bool on_picture(void *user, const char *mime, size_t at) {
    seen_t *seen = user;
    if (seen->begun_count == seen->picture_max)
        return false;
    ck_assert_str_eq(mime, "image/png");
    ck_assert_uint_eq(seen->begun_count, seen->ended_count);
    seen->ats[seen->begun_count++] = at;
    return true;
}

static int on_bytes(void *user, const void *data, size_t size) {
    seen_t *seen = user;
    ck_assert_uint_gt(size, 0);
    imi_buf_append(&seen->bytes[seen->begun_count - 1], data, size);
    return seen->refusal;
}

static void on_end(void *user) {
    seen_t *seen = user;
    ck_assert_uint_eq(++seen->ended_count, seen->begun_count);
}

static const imi_divert_handler_t handler = {on_picture, on_bytes, on_end};

static void seen_init(seen_t *seen) {
    *seen = (seen_t){.picture_max = 2};
    imi_buf_init(&seen->kept, NULL, 0);
    imi_buf_init(&seen->bytes[0], NULL, 0);
    imi_buf_init(&seen->bytes[1], NULL, 0);
}

static void seen_reset(seen_t *seen) {
    imi_buf_reset(&seen->kept);
    imi_buf_reset(&seen->bytes[0]);
    imi_buf_reset(&seen->bytes[1]);
}

/* The answer in two pieces, the second in pieces of `piece_size`. */
static void read_answer(seen_t *seen, size_t first_size, size_t piece_size) {
    imi_divert_t divert;
    imi_divert_init(&divert, &handler, seen);
    seen->error = imi_divert_feed(&divert, &seen->kept, answer.data, first_size);
    for (size_t at = first_size; seen->error == 0 && at < answer.size; at += piece_size) {
        size_t left = answer.size - at;
        seen->error = imi_divert_feed(&divert, &seen->kept, answer.data + at,
                                      left < piece_size ? left : piece_size);
    }
    seen->may_end = imi_divert_may_end(&divert);
}

static void setup(void) {
    imi_buf_init(&answer, NULL, 0);
}

static void teardown(void) {
    imi_buf_reset(&answer);
}

static void check_bytes(const imi_buf_t *bytes, size_t size) {
    imi_buf_t wanted;
    imi_buf_init(&wanted, NULL, 0);
    script_append_picture(&wanted, size);
    ck_assert_uint_eq(bytes->size, size);
    ck_assert_int_eq(memcmp(bytes->data, wanted.data, size), 0);
    imi_buf_reset(&wanted);
}

START_TEST(a_picture_goes_on_as_bytes_and_its_beginning_is_kept) { /* _i walks cases */
    seen_t seen;
    seen_init(&seen);
    cases[_i].build();
    read_answer(&seen, answer.size, 1);
    ck_assert_msg(seen.error == cases[_i].error, "%s: %d", cases[_i].name, seen.error);
    ck_assert_msg(seen.may_end != cases[_i].is_open, "%s", cases[_i].name);
    ck_assert_uint_eq(seen.ended_count, cases[_i].count);
    for (size_t i = 0; i < cases[_i].count; i++) {
        imi_slice_t kept = {seen.kept.data + seen.ats[i], 0};
        const char *end;
        if (cases[_i].sizes[i] != 0)
            check_bytes(&seen.bytes[i], cases[_i].sizes[i]);
        ck_assert_int_eq(kept.data[0], '"');
        end = strchr(kept.data + 1, '"');
        ck_assert_ptr_nonnull(end);
        ck_assert_int_ge((int)(end - kept.data), IMI_DIVERT_HEAD_SIZE - 5);
        ck_assert_int_le((int)(end - kept.data), IMI_DIVERT_HEAD_SIZE);
    }
    if (cases[_i].error == 0 && !cases[_i].is_open)
        ck_assert_msg(imi_json_valid((imi_slice_t){seen.kept.data, seen.kept.size}, 10, NULL),
                      "%s: what is kept is no JSON", cases[_i].name);
    if (seen.begun_count == 0) {
        ck_assert_uint_eq(seen.kept.size, answer.size);
        ck_assert_int_eq(memcmp(seen.kept.data, answer.data, answer.size), 0);
    }
    seen_reset(&seen);
}
END_TEST

static void check_same(const seen_t *whole, const seen_t *cut, const char *name, size_t at) {
    ck_assert_msg(whole->error == cut->error && whole->may_end == cut->may_end &&
                      whole->ended_count == cut->ended_count && whole->ats[0] == cut->ats[0] &&
                      whole->ats[1] == cut->ats[1],
                  "%s, cut at %zu: another end", name, at);
    if (whole->error != 0)
        return; /* what of a broken one has gone on is nobody's */
    ck_assert_msg(whole->kept.size == cut->kept.size &&
                      memcmp(whole->kept.data, cut->kept.data, whole->kept.size) == 0,
                  "%s, cut at %zu: something else is kept", name, at);
    for (size_t i = 0; i < whole->ended_count; i++)
        ck_assert_msg(whole->bytes[i].size == cut->bytes[i].size &&
                          memcmp(whole->bytes[i].data, cut->bytes[i].data, whole->bytes[i].size) ==
                              0,
                      "%s, cut at %zu: other bytes", name, at);
}

START_TEST(where_it_is_cut_does_not_matter) { /* _i walks cases */
    static const size_t piece_sizes[] = {1, 2, 3, 5, 7, 4095, 4097, 16384};
    seen_t whole, cut;
    seen_init(&whole);
    cases[_i].build();
    read_answer(&whole, answer.size, 1);
    for (size_t i = 0; i < sizeof(piece_sizes) / sizeof(piece_sizes[0]); i++) {
        seen_init(&cut);
        read_answer(&cut, 0, piece_sizes[i]);
        check_same(&whole, &cut, cases[_i].name, piece_sizes[i]);
        seen_reset(&cut);
    }
    for (size_t at = 0; at <= answer.size;
         at += at < 300 || at + 300 > answer.size || (at > 16000 && at < 16900) ? 1 : 97) {
        seen_init(&cut);
        read_answer(&cut, at, answer.size);
        check_same(&whole, &cut, cases[_i].name, at);
        seen_reset(&cut);
    }
    seen_reset(&whole);
}
END_TEST

START_TEST(what_nobody_takes_is_kept) {
    seen_t seen;
    seen_init(&seen);
    seen.picture_max = 1;
    two_pictures();
    read_answer(&seen, 0, 1000);
    ck_assert_int_eq(seen.error, 0);
    ck_assert_uint_eq(seen.ended_count, 1);
    ck_assert_uint_gt(seen.kept.size, IMI_DIVERT_HEAD_SIZE + BIG);
    ck_assert(imi_json_valid((imi_slice_t){seen.kept.data, seen.kept.size}, 10, NULL));
    seen_reset(&seen);
}
END_TEST

START_TEST(an_error_of_who_takes_it_comes_back) {
    seen_t seen;
    seen_init(&seen);
    seen.refusal = IMAGINE_EIO;
    one_picture();
    read_answer(&seen, 0, 1000);
    ck_assert_int_eq(seen.error, IMAGINE_EIO);
    seen_reset(&seen);
}
END_TEST

START_TEST(what_is_kept_has_its_limit) {
    seen_t seen;
    seen_init(&seen);
    seen.kept.size_max = 1000;
    one_picture();
    read_answer(&seen, 0, 100);
    ck_assert_int_eq(seen.error, IMAGINE_ETOOLARGE);
    seen_reset(&seen);
}
END_TEST

START_TEST(without_memory_it_says_so) {
    one_picture();
    for (size_t n = 1;; n++) {
        failing_mem_t failing;
        seen_t seen;
        seen_init(&seen);
        failing_mem_init(&failing, n);
        seen.kept.mem = &failing.mem;
        read_answer(&seen, 0, 100);
        ck_assert_int_eq(seen.error, failing.has_failed ? IMAGINE_ENOMEM : 0);
        seen_reset(&seen);
        ck_assert_uint_eq(failing.live_count, 0);
        if (!failing.has_failed)
            return;
    }
}
END_TEST

static Suite *divert_suite(void) {
    Suite *suite = suite_create("core/divert");
    TCase *tests = tcase_create("pictures");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, a_picture_goes_on_as_bytes_and_its_beginning_is_kept, 0,
                        COUNT_OF(cases));
    tcase_add_loop_test(tests, where_it_is_cut_does_not_matter, 0, COUNT_OF(cases));
    tcase_add_test(tests, what_nobody_takes_is_kept);
    tcase_add_test(tests, an_error_of_who_takes_it_comes_back);
    tcase_add_test(tests, what_is_kept_has_its_limit);
    tcase_add_test(tests, without_memory_it_says_so);
    suite_add_tcase(suite, tests);
    return suite;
}

IMI_CHECK_MAIN(divert_suite)
