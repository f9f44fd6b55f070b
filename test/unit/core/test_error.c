/* test_error.c: every number has its name, its text and its status, and a stranger gets none. */
#include "imagine.h"

#include <stdlib.h>
#include <string.h>

#include "../../support/check_main.h"

static const struct {
    int error;
    const char *name;
    int http_status;
} rows[] = {
    {IMAGINE_OK, "IMAGINE_OK", 200},
    {IMAGINE_EINVAL, "IMAGINE_EINVAL", 400},
    {IMAGINE_ENOMEM, "IMAGINE_ENOMEM", 503},
    {IMAGINE_ECLOSED, "IMAGINE_ECLOSED", 503},
    {IMAGINE_ECANCELED, "IMAGINE_ECANCELED", 499},
    {IMAGINE_ETIMEDOUT, "IMAGINE_ETIMEDOUT", 504},
    {IMAGINE_EEXHAUSTED, "IMAGINE_EEXHAUSTED", 429},
    {IMAGINE_EBREAKER, "IMAGINE_EBREAKER", 503},
    {IMAGINE_EPROTOCOL, "IMAGINE_EPROTOCOL", 502},
    {IMAGINE_ENOTOKEN, "IMAGINE_ENOTOKEN", 503},
    {IMAGINE_EPROVIDER, "IMAGINE_EPROVIDER", 400},
    {IMAGINE_EACTION, "IMAGINE_EACTION", 400},
    {IMAGINE_EREJECTED, "IMAGINE_EREJECTED", 400},
    {IMAGINE_ECONTENT, "IMAGINE_ECONTENT", 422},
    {IMAGINE_ECONNECT, "IMAGINE_ECONNECT", 502},
    {IMAGINE_EUPSTREAM, "IMAGINE_EUPSTREAM", 502},
    {IMAGINE_ETOOLARGE, "IMAGINE_ETOOLARGE", 502},
    {IMAGINE_EADDRESS, "IMAGINE_EADDRESS", 400},
    {IMAGINE_EPICTURE, "IMAGINE_EPICTURE", 400},
    {IMAGINE_ENOTFOUND, "IMAGINE_ENOTFOUND", 404},
    {IMAGINE_EBUSY, "IMAGINE_EBUSY", 503},
    {IMAGINE_ENOTSUP, "IMAGINE_ENOTSUP", 400},
    {IMAGINE_EIO, "IMAGINE_EIO", 503},
    {IMAGINE_EQUOTA, "IMAGINE_EQUOTA", 429},
    {IMAGINE_ERATE, "IMAGINE_ERATE", 429},
    {IMAGINE_ETOKEN, "IMAGINE_ETOKEN", 502},
    {IMAGINE_EPLAN, "IMAGINE_EPLAN", 502},
    {IMAGINE_EEXIST, "IMAGINE_EEXIST", 400},
    {IMAGINE_EDEADLK, "IMAGINE_EDEADLK", 503},
    {-1000, "IMAGINE_EUNKNOWN", 502},
    {7, "IMAGINE_EUNKNOWN", 502},
};
#define ROW_COUNT ((int)(sizeof(rows) / sizeof(rows[0])))

START_TEST(an_error_has_its_name_and_status) { /* _i walks rows */
    ck_assert_str_eq(imagine_err_name(rows[_i].error), rows[_i].name);
    ck_assert_msg(imagine_err_http_status(rows[_i].error) == rows[_i].http_status, "%s: status %d",
                  rows[_i].name, imagine_err_http_status(rows[_i].error));
}
END_TEST

START_TEST(the_table_above_knows_every_error) {
    size_t count = 0;
#define ERROR_COUNTED(name, number, text) count++;
    IMAGINE_ERRORS(ERROR_COUNTED)
#undef ERROR_COUNTED
    ck_assert_uint_eq(count + 3, (size_t)ROW_COUNT); /* beside them: OK and two strangers */
}
END_TEST

START_TEST(every_text_is_one_line_of_its_own) {
    static const int numbers[] = {
#define ERROR_NUMBER(name, number, text) number,
        IMAGINE_ERRORS(ERROR_NUMBER)
#undef ERROR_NUMBER
    };
    size_t count = sizeof(numbers) / sizeof(numbers[0]);
    for (size_t i = 0; i < count; i++) {
        ck_assert_ptr_null(strchr(imagine_strerror(numbers[i]), '\n'));
        ck_assert_str_ne(imagine_strerror(numbers[i]), imagine_strerror(-1000));
        for (size_t k = 0; k < i; k++) {
            ck_assert_int_ne(numbers[i], numbers[k]);
            ck_assert_str_ne(imagine_strerror(numbers[i]), imagine_strerror(numbers[k]));
        }
    }
    ck_assert_str_eq(imagine_strerror(IMAGINE_OK), "success");
    ck_assert_str_eq(imagine_strerror(IMAGINE_ETIMEDOUT), "timed out");
}
END_TEST

START_TEST(the_version_is_the_headers) {
    ck_assert_str_eq(imagine_version(), IMAGINE_VERSION);
}
END_TEST

START_TEST(memory_of_malloc_goes_back_through_imagine_free) {
    imagine_free(malloc(16)); /* LeakSanitizer would tell */
    imagine_free(NULL);
}
END_TEST

static Suite *error_suite(void) {
    Suite *suite = suite_create("core/error");
    TCase *tcase = tcase_create("error");
    tcase_add_loop_test(tcase, an_error_has_its_name_and_status, 0, ROW_COUNT);
    tcase_add_test(tcase, the_table_above_knows_every_error);
    tcase_add_test(tcase, every_text_is_one_line_of_its_own);
    tcase_add_test(tcase, the_version_is_the_headers);
    tcase_add_test(tcase, memory_of_malloc_goes_back_through_imagine_free);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(error_suite)
