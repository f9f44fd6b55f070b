/* test_assert.c: what IMI_ASSERT does in this build. With -DIMI_ASSERTS a broken rule stops the
 * program; without, the condition is not even looked at. */
#include "wire/assert.h"

#include <signal.h>

#include "wire/list.h"

#include "../../support/check_main.h"

START_TEST(what_holds_passes) {
    int count = 1;
    IMI_ASSERT(count == 1);
    ck_assert_int_eq(count, 1);
}
END_TEST

#ifdef IMI_ASSERTS
START_TEST(what_does_not_hold_stops_the_program) {
    int count = 1;
    IMI_ASSERT(count == 2);
}
END_TEST

START_TEST(a_node_that_was_never_linked_cannot_be_removed) {
    imi_list_t node = {NULL, NULL};
    imi_list_remove(&node);
}
END_TEST
#else
START_TEST(a_release_does_not_evaluate_the_condition) {
    int count = 1;
    IMI_ASSERT(++count == 5);
    ck_assert_int_eq(count, 1);
}
END_TEST
#endif

static Suite *assert_suite(void) {
    Suite *suite = suite_create("assert");
    TCase *tcase = tcase_create("assert");
    tcase_add_test(tcase, what_holds_passes);
#ifdef IMI_ASSERTS
    tcase_add_test_raise_signal(tcase, what_does_not_hold_stops_the_program, SIGABRT);
    tcase_add_test_raise_signal(tcase, a_node_that_was_never_linked_cannot_be_removed, SIGABRT);
#else
    tcase_add_test(tcase, a_release_does_not_evaluate_the_condition);
#endif
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(assert_suite)
