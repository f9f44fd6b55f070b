/* check_main.h: the main() of a unit test program: runs one suite, fails if any test failed.
 * CK_FORK=no in the environment helps under a debugger. */
#ifndef IMI_TEST_CHECK_MAIN_H
#define IMI_TEST_CHECK_MAIN_H

#include <check.h>
#include <stdlib.h>

#define IMI_CHECK_MAIN(suite_function)                          \
    int main(void) {                                            \
        SRunner *runner = srunner_create(suite_function());     \
        int failed_count = 0;                                   \
        srunner_run_all(runner, CK_ENV);                        \
        failed_count = srunner_ntests_failed(runner);           \
        srunner_free(runner);                                   \
        return failed_count == 0 ? EXIT_SUCCESS : EXIT_FAILURE; \
    }

#endif
