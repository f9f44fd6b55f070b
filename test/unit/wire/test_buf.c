/* test_buf.c: growth, the limit, and the failure that sticks. */
#include "wire/buf.h"

#include <stdint.h>
#include <string.h>

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"

START_TEST(what_is_appended_lies_there_with_a_nul_behind_it) {
    imi_buf_t buf;
    imi_buf_init(&buf, NULL, 0);
    ck_assert_ptr_null(buf.data);
    ck_assert_int_eq(imi_buf_append(&buf, "ab\0c", 4), 0);
    ck_assert_int_eq(imi_buf_append_text(&buf, "de"), 0);
    ck_assert_int_eq(imi_buf_append_byte(&buf, 'f'), 0);
    ck_assert_int_eq(imi_buf_printf(&buf, "-%d-%s", 7, "x"), 0);
    ck_assert_uint_eq(buf.size, 11);
    ck_assert_int_eq(memcmp(buf.data, "ab\0cdef-7-x", 12), 0);
    imi_buf_reset(&buf);
    ck_assert_ptr_null(buf.data);
    ck_assert_uint_eq(buf.size + buf.capacity, 0);
}
END_TEST

START_TEST(nothing_appended_is_an_empty_text) {
    imi_buf_t buf;
    imi_buf_init(&buf, NULL, 0);
    ck_assert_int_eq(imi_buf_append(&buf, NULL, 0), 0);
    ck_assert_str_eq(buf.data, "");
    imi_buf_reset(&buf);
}
END_TEST

START_TEST(a_million_bytes_one_by_one_take_few_allocations) {
    failing_mem_t failing;
    imi_buf_t buf;
    failing_mem_init(&failing, 0);
    imi_buf_init(&buf, &failing.mem, 0);
    for (int i = 0; i < 1000000; i++)
        ck_assert_int_eq(imi_buf_append_byte(&buf, (char)('a' + i % 26)), 0);
    ck_assert_uint_le(failing.request_count, 20);
    for (int i = 0; i < 1000000; i++)
        ck_assert_int_eq(buf.data[i], 'a' + i % 26);
    imi_buf_reset(&buf);
    ck_assert_uint_eq(failing.live_count, 0);
}
END_TEST

START_TEST(a_large_reserve_is_exact_and_enough) {
    failing_mem_t failing;
    imi_buf_t buf;
    failing_mem_init(&failing, 0);
    imi_buf_init(&buf, &failing.mem, 0);
    imi_buf_append_text(&buf, "x");
    ck_assert_int_eq(imi_buf_reserve(&buf, 1000000), 0);
    ck_assert_uint_eq(failing.live_size, 1000002);
    for (int i = 0; i < 1000; i++)
        imi_buf_printf(&buf, "%01000d", i);
    ck_assert_uint_eq(failing.request_count, 2);
    imi_buf_reset(&buf);
}
END_TEST

START_TEST(the_limit_itself_fits_and_one_more_byte_does_not) { /* _i: the limit */
    failing_mem_t failing;
    size_t limit = (size_t)_i;
    imi_buf_t buf;
    failing_mem_init(&failing, 0);
    imi_buf_init(&buf, &failing.mem, limit);
    for (size_t i = 0; i < limit; i++)
        ck_assert_int_eq(imi_buf_append_byte(&buf, 'x'), 0);
    ck_assert_uint_le(failing.live_size, limit + 1);
    ck_assert_int_eq(imi_buf_append_byte(&buf, 'y'), IMI_BUF_TOO_LARGE);
    ck_assert_uint_eq(buf.size, limit);
    ck_assert_int_eq(buf.error, IMI_BUF_TOO_LARGE);
    imi_buf_consume(&buf, 1); /* what is moved ends where the memory does */
    ck_assert_uint_eq(strlen(buf.data), limit - 1);
    imi_buf_reset(&buf);
}
END_TEST

START_TEST(a_failure_sticks_until_clear) {
    imi_buf_t buf;
    imi_buf_init(&buf, NULL, 4);
    imi_buf_append_text(&buf, "abc");
    ck_assert_int_eq(imi_buf_append_text(&buf, "de"), IMI_BUF_TOO_LARGE);
    ck_assert_int_eq(imi_buf_append_text(&buf, "d"), IMI_BUF_TOO_LARGE); /* would fit */
    ck_assert_int_eq(imi_buf_printf(&buf, "d"), IMI_BUF_TOO_LARGE);
    ck_assert_int_eq(imi_buf_reserve(&buf, 0), IMI_BUF_TOO_LARGE);
    ck_assert_str_eq(buf.data, "abc");
    ck_assert_ptr_null(imi_buf_take(&buf, NULL));
    imi_buf_clear(&buf);
    ck_assert_str_eq(buf.data, "");
    ck_assert_int_eq(imi_buf_append_text(&buf, "wxyz"), 0);
    ck_assert_str_eq(buf.data, "wxyz");
    imi_buf_reset(&buf);
    imi_buf_clear(&buf);
    ck_assert_int_eq(imi_buf_append_text(&buf, "vwxyz"), IMI_BUF_TOO_LARGE); /* the limit stayed */
    imi_buf_reset(&buf);
}
END_TEST

START_TEST(impossible_sizes_are_too_large) {
    imi_buf_t buf;
    imi_buf_init(&buf, NULL, 0);
    imi_buf_append_text(&buf, "abc");
    ck_assert_int_eq(imi_buf_reserve(&buf, SIZE_MAX), IMI_BUF_TOO_LARGE);
    imi_buf_clear(&buf);
    imi_buf_append_text(&buf, "abc");
    ck_assert_int_eq(imi_buf_reserve(&buf, SIZE_MAX - 3), IMI_BUF_TOO_LARGE);
    imi_buf_reset(&buf);
}
END_TEST

START_TEST(consume_drops_the_front) {
    imi_buf_t buf;
    imi_buf_init(&buf, NULL, 0);
    imi_buf_consume(&buf, 3);
    imi_buf_append_text(&buf, "abcdef");
    imi_buf_consume(&buf, 0);
    ck_assert_str_eq(buf.data, "abcdef");
    imi_buf_consume(&buf, 2);
    ck_assert_str_eq(buf.data, "cdef");
    imi_buf_append_text(&buf, "g");
    ck_assert_str_eq(buf.data, "cdefg");
    imi_buf_consume(&buf, 50);
    ck_assert_str_eq(buf.data, "");
    ck_assert_uint_eq(buf.size, 0);
    imi_buf_reset(&buf);
}
END_TEST

START_TEST(take_hands_the_memory_over) {
    imi_buf_t buf;
    size_t size = 99;
    char *text = NULL;
    imi_buf_init(&buf, NULL, 10);
    text = imi_buf_take(&buf, &size);
    ck_assert_str_eq(text, ""); /* an empty buffer gives an empty text */
    ck_assert_uint_eq(size, 0);
    imi_mem_free(NULL, text);
    imi_buf_append_text(&buf, "cat");
    text = imi_buf_take(&buf, &size);
    ck_assert_str_eq(text, "cat");
    ck_assert_uint_eq(size, 3);
    imi_mem_free(NULL, text);
    ck_assert_ptr_null(buf.data);
    ck_assert_int_eq(imi_buf_append_text(&buf, "ten bytes.."), IMI_BUF_TOO_LARGE);
    imi_buf_reset(&buf);
}
END_TEST

START_TEST(whichever_request_fails_what_was_there_stays) {
    bool has_failed = true;
    for (size_t n = 1; has_failed; n++) {
        failing_mem_t failing;
        imi_buf_t buf;
        size_t size = 0;
        failing_mem_init(&failing, n);
        imi_buf_init(&buf, &failing.mem, 0);
        for (int i = 0; i < 1000 && buf.error == 0; i++) {
            size = buf.size;
            imi_buf_printf(&buf, "%04d", i);
        }
        has_failed = failing.has_failed;
        ck_assert_int_eq(buf.error, has_failed ? IMI_BUF_NOMEM : 0);
        if (has_failed) {
            ck_assert_uint_eq(buf.size, size);
            ck_assert(size == 0 || memcmp(buf.data, "0000", 4) == 0);
            ck_assert_int_eq(imi_buf_append_byte(&buf, 'x'), IMI_BUF_NOMEM);
            ck_assert_ptr_null(imi_buf_take(&buf, NULL));
        }
        imi_buf_reset(&buf);
        ck_assert_int_eq(buf.error, 0);
        ck_assert_uint_eq(failing.live_count, 0);
    }
}
END_TEST

static Suite *buf_suite(void) {
    Suite *suite = suite_create("buf");
    TCase *tcase = tcase_create("buf");
    tcase_add_test(tcase, what_is_appended_lies_there_with_a_nul_behind_it);
    tcase_add_test(tcase, nothing_appended_is_an_empty_text);
    tcase_add_test(tcase, a_million_bytes_one_by_one_take_few_allocations);
    tcase_add_test(tcase, a_large_reserve_is_exact_and_enough);
    tcase_add_loop_test(tcase, the_limit_itself_fits_and_one_more_byte_does_not, 1, 300);
    tcase_add_test(tcase, a_failure_sticks_until_clear);
    tcase_add_test(tcase, impossible_sizes_are_too_large);
    tcase_add_test(tcase, consume_drops_the_front);
    tcase_add_test(tcase, take_hands_the_memory_over);
    tcase_add_test(tcase, whichever_request_fails_what_was_there_stays);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(buf_suite)
