/* test_head.c: header lines of all kinds, and the limits on them. */
#include "uv/head.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check_main.h"
#include "wire/mem.h"

static imi_head_t head;

static void setup(void) {
    imi_head_init(&head, NULL);
}

static void teardown(void) {
    imi_head_reset(&head);
}

static int add(const char *line) {
    return imi_head_add(&head, line, strlen(line));
}

static const struct {
    const char *line, *name, *value; /* name NULL: the line is left out */
} line_cases[] = {
    {"X-A: b\r\n", "X-A", "b"},
    {"X-A:b\n", "X-A", "b"},
    {"X-A: \t b c \r\n", "X-A", "b c"},
    {"X-A:\r\n", "X-A", ""},
    {"X-A : b\r\n", "X-A", "b"},
    {"X-A: b:c\r\n", "X-A", "b:c"},
    {"no colon\r\n", NULL, NULL},
    {": no name\r\n", NULL, NULL},
    {" a line that goes on, of none\r\n", NULL, NULL},
};

START_TEST(a_line_is_a_name_and_a_value) { /* _i walks line_cases */
    imagine_header_t *headers = NULL;
    ck_assert_int_eq(add(line_cases[_i].line), 0);
    headers = imi_head_list(&head);
    ck_assert_uint_eq(head.count, line_cases[_i].name == NULL ? 0 : 1);
    if (line_cases[_i].name != NULL) {
        ck_assert_str_eq(headers[0].name, line_cases[_i].name);
        ck_assert_str_eq(headers[0].value, line_cases[_i].value);
    }
    imi_mem_free(NULL, headers);
}
END_TEST

START_TEST(headers_stay_in_order_and_folded_values_are_one) {
    imagine_header_t *headers = NULL;
    ck_assert_int_eq(add("A: 1\r\n"), 0);
    ck_assert_int_eq(add("\t2\r\n"), 0);
    ck_assert_int_eq(add("  3 \r\n"), 0);
    ck_assert_int_eq(add("a: 4\r\n"), 0);
    headers = imi_head_list(&head);
    ck_assert_uint_eq(head.count, 2);
    ck_assert_str_eq(headers[0].value, "1 2 3");
    ck_assert_str_eq(headers[1].name, "a");
    ck_assert_str_eq(headers[1].value, "4");
    imi_mem_free(NULL, headers);
}
END_TEST

START_TEST(a_nul_cannot_end_a_value_too_early) {
    ck_assert_int_eq(imi_head_add(&head, "A: 1\0 2\r\n", 9), 0);
    ck_assert_uint_eq(head.count, 0);
}
END_TEST

START_TEST(there_are_limits_on_number_and_size) {
    char *line = malloc(70000);
    int error = 0;
    memset(line, 'x', 69999);
    line[69999] = '\0';
    line[1] = ':';
    ck_assert_int_eq(add(line), IMAGINE_ETOOLARGE);
    imi_head_reset(&head);
    for (int i = 0; i < 256; i++)
        ck_assert_int_eq(add("A: 1\r\n"), 0);
    ck_assert_int_eq(add("A: 1\r\n"), IMAGINE_ETOOLARGE);
    imi_head_reset(&head);
    ck_assert_int_eq(add("A: 1\r\n"), 0);
    line[0] = ' ';
    line[1000] = '\0';
    for (int i = 0; i < 100 && error == 0; i++)
        error = add(line);
    ck_assert_int_eq(error, IMAGINE_ETOOLARGE);
    free(line);
}
END_TEST

static Suite *uv_head_suite(void) {
    Suite *suite = suite_create("uv/head");
    TCase *tests = tcase_create("header lines");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, a_line_is_a_name_and_a_value, 0,
                        sizeof(line_cases) / sizeof(line_cases[0]));
    tcase_add_test(tests, headers_stay_in_order_and_folded_values_are_one);
    tcase_add_test(tests, a_nul_cannot_end_a_value_too_early);
    tcase_add_test(tests, there_are_limits_on_number_and_size);
    suite_add_tcase(suite, tests);
    return suite;
}

IMI_CHECK_MAIN(uv_head_suite)
