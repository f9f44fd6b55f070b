/* test_state_file.c: what speaks against a place for state, before anything is opened. */
#include "settings/state_file.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/check_main.h"

static char folder[] = "/tmp/imagine-state-XXXXXX";

static void path_of(char out[128], const char *name) {
    snprintf(out, 128, "%s%s", folder, name);
}

static void write_file(const char *name, const char *text, size_t size) {
    char path[128];
    FILE *file;
    path_of(path, name);
    file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

static void set_up(void) {
    memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    write_file("/ours", "SQLite format 3\0and more", 24);
    write_file("/empty", "", 0);
    write_file("/other", "root:x:0:0:root:/root", 21);
}

static void tear_down(void) {
    static const char *const names[] = {"/ours", "/empty", "/other", ""};
    char path[128];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        path_of(path, names[i]);
        ck_assert_int_eq(remove(path), 0); /* and nothing else was made */
    }
}

static const struct {
    const char *name, *problem;
} cases[] = {
    {"/ours", NULL},
    {"/empty", NULL},
    {"/new", NULL},
    {"/to/be/made/state.db", NULL},
    {"", "it is a folder"},
    {"/other", NULL}, /* left as it is: the storage says so */
    {"/other/state.db", "a part of its path is no folder"},
    {"/other/far/below/state.db", "a part of its path is no folder"},
};

START_TEST(a_place_for_state) { /* _i walks cases */
    char path[128];
    const char *problem;
    path_of(path, cases[_i].name);
    problem = imi_state_file_problem(path);
    ck_assert_msg(cases[_i].problem == NULL
                      ? problem == NULL
                      : problem != NULL && strcmp(problem, cases[_i].problem) == 0,
                  "%s: %s", cases[_i].name, problem != NULL ? problem : "nothing");
}
END_TEST

START_TEST(a_relative_one_is_below_the_working_directory) {
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_ptr_null(imi_state_file_problem("new.db"));
    ck_assert_ptr_null(imi_state_file_problem("to/be/made.db"));
    ck_assert_ptr_nonnull(imi_state_file_problem("other/state.db"));
    ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

START_TEST(a_path_has_a_limit) {
    char path[600];
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    ck_assert_str_eq(imi_state_file_problem(path), "its path is too long");
}
END_TEST

static Suite *state_file_suite(void) {
    Suite *suite = suite_create("state_file");
    TCase *tcase = tcase_create("state_file");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, a_place_for_state, 0, (int)(sizeof(cases) / sizeof(cases[0])));
    tcase_add_test(tcase, a_relative_one_is_below_the_working_directory);
    tcase_add_test(tcase, a_path_has_a_limit);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(state_file_suite)
