/* test_mem.c: both kinds of allocator, and the failing one that all other tests rely on. */
#include "wire/mem.h"

#include <stdint.h>
#include <string.h>

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"

START_TEST(without_an_allocator_the_c_library_serves) {
    char *data = imi_mem_alloc(NULL, 3);
    ck_assert_ptr_nonnull(data);
    memcpy(data, "ab", 3);
    data = imi_mem_resize(NULL, data, 1000);
    ck_assert_ptr_nonnull(data);
    ck_assert_str_eq(data, "ab");
    ck_assert_ptr_null(imi_mem_resize(NULL, data, 0)); /* frees: the sanitizer would tell */
    imi_mem_free(NULL, NULL);
}
END_TEST

START_TEST(a_given_allocator_serves_everything) {
    failing_mem_t failing;
    char *data = NULL;
    failing_mem_init(&failing, 0);
    data = imi_mem_alloc(&failing.mem, 5);
    ck_assert_uint_eq(failing.live_size, 5);
    data = imi_mem_resize(&failing.mem, data, 7);
    ck_assert_uint_eq(failing.live_size, 7);
    ck_assert_uint_eq(failing.request_count, 2);
    imi_mem_free(&failing.mem, NULL);
    imi_mem_free(&failing.mem, data);
    ck_assert_uint_eq(failing.live_count, 0);
    ck_assert_uint_eq(failing.live_size, 0);
    ck_assert_uint_eq(failing.live_size_max, 7);
}
END_TEST

START_TEST(an_allocation_of_nothing_is_still_one) {
    failing_mem_t failing;
    void *data = NULL;
    failing_mem_init(&failing, 0);
    data = imi_mem_alloc(&failing.mem, 0);
    ck_assert_ptr_nonnull(data);
    imi_mem_free(&failing.mem, data);
    ck_assert_uint_eq(failing.live_count, 0);
}
END_TEST

START_TEST(zalloc_clears) {
    failing_mem_t failing; /* whose memory is never zero by itself */
    unsigned char *data = NULL;
    failing_mem_init(&failing, 0);
    data = imi_mem_zalloc(&failing.mem, 100);
    for (size_t i = 0; i < 100; i++)
        ck_assert_uint_eq(data[i], 0);
    imi_mem_free(&failing.mem, data);
}
END_TEST

START_TEST(copies_of_text_end_with_a_nul) {
    char *text = imi_mem_strdup(NULL, "cat");
    char *part = imi_mem_strndup(NULL, "a\0bcd", 4);
    char *empty = imi_mem_strndup(NULL, NULL, 0);
    ck_assert_str_eq(text, "cat");
    ck_assert_int_eq(memcmp(part, "a\0bc", 5), 0);
    ck_assert_str_eq(empty, "");
    ck_assert_ptr_null(imi_mem_strdup(NULL, NULL));
    ck_assert_ptr_null(imi_mem_strndup(NULL, "x", SIZE_MAX)); /* no room for the NUL */
    imi_mem_free(NULL, text);
    imi_mem_free(NULL, part);
    imi_mem_free(NULL, empty);
}
END_TEST

START_TEST(a_refusal_arrives_as_null) {
    failing_mem_t failing;
    failing_mem_init(&failing, 1);
    failing.is_lasting = true;
    ck_assert_ptr_null(imi_mem_alloc(&failing.mem, 1));
    ck_assert_ptr_null(imi_mem_zalloc(&failing.mem, 1));
    ck_assert_ptr_null(imi_mem_strdup(&failing.mem, "x"));
    ck_assert_ptr_null(imi_mem_strndup(&failing.mem, "x", 1));
    ck_assert_uint_eq(failing.live_count, 0);
}
END_TEST

START_TEST(only_the_nth_request_fails_and_a_failed_resize_keeps_the_block) {
    failing_mem_t failing;
    char *data = NULL;
    failing_mem_init(&failing, 2);
    data = imi_mem_strdup(&failing.mem, "kept");
    ck_assert_ptr_nonnull(data);
    ck_assert(!failing.has_failed);
    ck_assert_ptr_null(imi_mem_resize(&failing.mem, data, 100));
    ck_assert(failing.has_failed);
    ck_assert_str_eq(data, "kept");
    data = imi_mem_resize(&failing.mem, data, 100);
    ck_assert_str_eq(data, "kept");
    imi_mem_free(&failing.mem, data);
    ck_assert_uint_eq(failing.live_count, 0);
}
END_TEST

START_TEST(wiping_leaves_zeros) {
    char secret[] = "sk-0123456789";
    imi_mem_wipe(secret, sizeof(secret) - 2);
    for (size_t i = 0; i < sizeof(secret) - 2; i++)
        ck_assert_int_eq(secret[i], 0);
    ck_assert_int_eq(secret[sizeof(secret) - 2], '9');
    imi_mem_wipe(NULL, 0);
}
END_TEST

static Suite *mem_suite(void) {
    Suite *suite = suite_create("mem");
    TCase *tcase = tcase_create("mem");
    tcase_add_test(tcase, without_an_allocator_the_c_library_serves);
    tcase_add_test(tcase, a_given_allocator_serves_everything);
    tcase_add_test(tcase, an_allocation_of_nothing_is_still_one);
    tcase_add_test(tcase, zalloc_clears);
    tcase_add_test(tcase, copies_of_text_end_with_a_nul);
    tcase_add_test(tcase, a_refusal_arrives_as_null);
    tcase_add_test(tcase, only_the_nth_request_fails_and_a_failed_resize_keeps_the_block);
    tcase_add_test(tcase, wiping_leaves_zeros);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(mem_suite)
