/* test_folder.c: a folder on disk: what is written is there, as a whole or not at all, and nothing
 * outside of it is ever touched. */
#include "imagine/hosting.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/check_main.h"
#include "support/uv_host.h"

#define NAME "0123456789abcdef0123456789abcdef.png"
#define HOUR_MS (60 * 60 * 1000)

static const imagine_io_t *io;
static imagine_folder_t *folder;
static char path[64];

typedef struct answer {
    bool is_done;
    int count;
    int64_t result;
    char data[64];
} answer_t;

static void on_done(int64_t result, const void *data, void *user) {
    answer_t *answer = user;
    answer->is_done = true;
    answer->count++;
    answer->result = result;
    if (data != NULL)
        memcpy(answer->data, data, (size_t)result < 63 ? (size_t)result : 63);
}

static void setup(void) {
    io = uv_host_open(NULL)->io;
    snprintf(path, sizeof(path), "/tmp/imagine-folder-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(path));
    ck_assert_int_eq(imagine_folder_uv_open(&folder, io, path), 0);
}

static void on_destroyed(void *user) {
    *(bool *)user = true;
}

static size_t count_files(bool is_removing) {
    DIR *directory = opendir(path);
    const struct dirent *entry;
    size_t count = 0;
    while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        count++;
        if (is_removing)
            (void)unlinkat(dirfd(directory), entry->d_name, 0);
    }
    closedir(directory);
    return count;
}

static void teardown(void) {
    bool is_destroyed = false;
    folder->destroy(folder->self, on_destroyed, &is_destroyed);
    uv_host_run_until(&is_destroyed);
    uv_host_close();
    count_files(true);
    rmdir(path);
}

static int64_t wait_for(answer_t *answer) {
    ck_assert_msg(!answer->is_done, "it was told inside the call");
    uv_host_run_until(&answer->is_done);
    ck_assert_int_eq(answer->count, 1);
    return answer->result;
}

static imagine_file_t *start_file(const char *name) {
    imagine_file_t *file = NULL;
    ck_assert_int_eq(folder->create(folder->self, name, &file), 0);
    ck_assert_ptr_nonnull(file);
    return file;
}

static int64_t write_text(imagine_file_t *file, const char *text) {
    answer_t answer = {0};
    char *copy = strdup(text);
    ck_assert_int_eq(folder->write(folder->self, file, copy, strlen(copy), on_done, &answer), 0);
    memset(copy, 'x', strlen(copy)); /* it was copied */
    free(copy);
    return wait_for(&answer);
}

static int64_t finish_file(imagine_file_t *file) {
    answer_t answer = {0};
    ck_assert_int_eq(folder->finish(folder->self, file, on_done, &answer), 0);
    return wait_for(&answer);
}

static void make_file(const char *name, const char *text) {
    imagine_file_t *file = start_file(name);
    ck_assert_int_eq(write_text(file, text), (int64_t)strlen(text));
    ck_assert_int_eq(finish_file(file), 0);
    folder->close(folder->self, file);
}

/* The size, or an error; the text is read into `out`. */
static int64_t read_file(const char *name, uint64_t max_age_ms, char out[64]) {
    imagine_file_t *file = NULL;
    answer_t opened = {0}, answer = {0};
    int err = folder->open(folder->self, name, max_age_ms, on_done, &opened, &file);
    if (err != 0)
        return err;
    if (wait_for(&opened) >= 0) {
        ck_assert_int_eq(folder->read(folder->self, file, 0, 63, on_done, &answer), 0);
        wait_for(&answer);
        memcpy(out, answer.data, 64);
    }
    folder->close(folder->self, file);
    return opened.result;
}

START_TEST(what_is_finished_can_be_read) {
    char text[64];
    imagine_file_t *file = start_file(NAME);
    ck_assert_int_eq(write_text(file, ""), 0);
    ck_assert_int_eq(write_text(file, "one "), 4);
    ck_assert_int_eq(write_text(file, "two"), 3);
    ck_assert_int_eq(read_file(NAME, HOUR_MS, text), IMAGINE_ENOTFOUND); /* not yet */
    ck_assert_int_eq(finish_file(file), 0);
    ck_assert_int_eq(read_file(NAME, HOUR_MS, text), 7);
    ck_assert_str_eq(text, "one two");
    folder->close(folder->self, file);
    uv_host_run_for(10);
    ck_assert_uint_eq(count_files(false), 1);
}
END_TEST

START_TEST(it_is_read_from_anywhere) {
    imagine_file_t *file = NULL;
    answer_t opened = {0}, middle = {0}, end = {0}, behind = {0};
    make_file(NAME, "0123456789");
    ck_assert_int_eq(folder->open(folder->self, NAME, HOUR_MS, on_done, &opened, &file), 0);
    ck_assert_int_eq(wait_for(&opened), 10);
    ck_assert_int_eq(folder->read(folder->self, file, 4, 3, on_done, &middle), 0);
    ck_assert_int_eq(wait_for(&middle), 3);
    ck_assert_str_eq(middle.data, "456");
    ck_assert_int_eq(folder->read(folder->self, file, 8, 50, on_done, &end), 0);
    ck_assert_int_eq(wait_for(&end), 2);
    ck_assert_int_eq(folder->read(folder->self, file, 10, 50, on_done, &behind), 0);
    ck_assert_int_eq(wait_for(&behind), 0);
    folder->close(folder->self, file);
}
END_TEST

START_TEST(a_new_file_can_be_read_by_whoever_writes_it) {
    answer_t first = {0}, second = {0};
    imagine_file_t *file = start_file(NAME);
    write_text(file, "one ");
    ck_assert_int_eq(folder->read(folder->self, file, 0, 50, on_done, &first), 0);
    ck_assert_int_eq(wait_for(&first), 4);
    ck_assert_str_eq(first.data, "one ");
    write_text(file, "two"); /* behind it, wherever was read */
    ck_assert_int_eq(folder->read(folder->self, file, 2, 50, on_done, &second), 0);
    ck_assert_int_eq(wait_for(&second), 5);
    ck_assert_str_eq(second.data, "e two");
    ck_assert_int_eq(finish_file(file), 0);
    folder->close(folder->self, file);
}
END_TEST

START_TEST(a_temporary_file_has_no_name) {
    bool is_destroyed = false;
    imagine_folder_t *kept = folder;
    imagine_file_t *file;
    answer_t answer = {0};
    setenv("TMPDIR", path, 1);
    ck_assert_int_eq(imagine_folder_uv_open(&folder, io, NULL), 0);
    unsetenv("TMPDIR");
    ck_assert_ptr_null(folder->finish);
    ck_assert_ptr_null(folder->open);
    ck_assert_ptr_null(folder->clean_up);
    file = start_file(NAME);
    ck_assert_int_eq(write_text(file, "secret"), 6);
    ck_assert_uint_eq(count_files(false), 0);
    ck_assert_int_eq(folder->read(folder->self, file, 0, 50, on_done, &answer), 0);
    ck_assert_int_eq(wait_for(&answer), 6);
    ck_assert_str_eq(answer.data, "secret");
    folder->close(folder->self, file);
    folder->destroy(folder->self, on_destroyed, &is_destroyed);
    uv_host_run_until(&is_destroyed);
    folder = kept;
}
END_TEST

/* A thread does it, some time. */
static void wait_until_empty(void) {
    for (int i = 0; i < 500 && count_files(false) > 0; i++)
        uv_host_run_for(10);
    ck_assert_uint_eq(count_files(false), 0);
}

START_TEST(what_is_not_finished_goes) { /* _i: 0 nothing written, 1 written, 2 while writing */
    answer_t answer = {0};
    imagine_file_t *file = start_file(NAME);
    if (_i == 1)
        write_text(file, "half");
    if (_i == 2)
        ck_assert_int_eq(folder->write(folder->self, file, "half", 4, on_done, &answer), 0);
    folder->close(folder->self, file);
    wait_until_empty();
    ck_assert_int_eq(answer.count, 0);
}
END_TEST

START_TEST(a_name_is_taken_once) {
    char text[64];
    imagine_file_t *second;
    make_file(NAME, "first");
    second = start_file(NAME);
    ck_assert_int_eq(write_text(second, "second"), 6);
    ck_assert_int_lt(finish_file(second), 0);
    folder->close(folder->self, second);
    uv_host_run_for(10);
    ck_assert_int_eq(read_file(NAME, HOUR_MS, text), 5);
    ck_assert_str_eq(text, "first");
    ck_assert_uint_eq(count_files(false), 1);
}
END_TEST

static const char *const bad_names[] = {"",
                                        ".",
                                        "..",
                                        "../a.png",
                                        "a/b.png",
                                        ".a.png",
                                        "a",
                                        "a..png",
                                        "a.b.png",
                                        "a b.png",
                                        "a%2f.png",
                                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.png"};

START_TEST(a_name_of_another_kind_is_none) { /* _i walks bad_names */
    imagine_file_t *file = NULL;
    answer_t answer = {0};
    ck_assert_int_eq(folder->create(folder->self, bad_names[_i], &file), IMAGINE_ENOTFOUND);
    ck_assert_int_eq(folder->open(folder->self, bad_names[_i], HOUR_MS, on_done, &answer, &file),
                     IMAGINE_ENOTFOUND);
    ck_assert_ptr_null(file);
}
END_TEST

static void set_age(const char *name, int64_t age_ms) {
    char full[128];
    int64_t at_s = (io->unix_ms(io->context) - age_ms) / 1000;
    struct timespec times[2] = {{.tv_sec = at_s}, {.tv_sec = at_s}};
    snprintf(full, sizeof(full), "%s/%s", path, name);
    ck_assert_int_eq(utimensat(AT_FDCWD, full, times, AT_SYMLINK_NOFOLLOW), 0);
}

START_TEST(what_is_too_old_is_not_there) {
    char text[64];
    make_file(NAME, "old");
    set_age(NAME, HOUR_MS - 60000);
    ck_assert_int_eq(read_file(NAME, HOUR_MS, text), 3);
    set_age(NAME, HOUR_MS + 60000);
    ck_assert_int_eq(read_file(NAME, HOUR_MS, text), IMAGINE_ENOTFOUND);
}
END_TEST

START_TEST(a_link_is_not_followed) {
    char text[64], full[128];
    snprintf(full, sizeof(full), "%s/%s", path, NAME);
    ck_assert_int_eq(symlink("/etc/hostname", full), 0);
    ck_assert_int_eq(read_file(NAME, HOUR_MS, text), IMAGINE_ENOTFOUND);
}
END_TEST

static void put_raw(const char *name) {
    char full[128];
    int fd;
    snprintf(full, sizeof(full), "%s/%s", path, name);
    fd = open(full, O_WRONLY | O_CREAT, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

START_TEST(cleaning_up_takes_files_of_the_time_that_are_ours) {
    answer_t answer = {0};
    int64_t now_unix_ms = io->unix_ms(io->context);
    char text[64];
    make_file("a.png", "a");
    make_file("b.png", "b");
    make_file("c.png", "c");
    put_raw("README");    /* somebody else's */
    put_raw(".half.png"); /* of a process that was killed */
    set_age("a.png", 3 * HOUR_MS);
    set_age("b.png", 2 * HOUR_MS);
    set_age("c.png", HOUR_MS);
    set_age("README", 2 * HOUR_MS);
    set_age(".half.png", 2 * HOUR_MS);
    ck_assert_int_eq(folder->clean_up(folder->self, now_unix_ms - 5 * HOUR_MS / 2,
                                      now_unix_ms - 3 * HOUR_MS / 2, on_done, &answer),
                     0);
    ck_assert_int_eq(wait_for(&answer), 1);
    ck_assert_int_eq(read_file("a.png", 9 * HOUR_MS, text), 1);
    ck_assert_int_eq(read_file("b.png", 9 * HOUR_MS, text), IMAGINE_ENOTFOUND);
    ck_assert_int_eq(read_file("c.png", 9 * HOUR_MS, text), 1);
    ck_assert_uint_eq(count_files(false), 3);
}
END_TEST

START_TEST(a_folder_that_cannot_be_is_told) {
    imagine_folder_t *other = NULL;
    imagine_io_t no_loop = *io;
    no_loop.loop = NULL;
    ck_assert_int_eq(imagine_folder_uv_open(&other, io, "/nowhere/at/all"), IMAGINE_EIO);
    ck_assert_int_eq(imagine_folder_uv_open(&other, io, "/etc/hostname"), IMAGINE_EIO);
    ck_assert_int_eq(imagine_folder_uv_open(&other, &no_loop, path), IMAGINE_ENOTSUP);
    ck_assert_ptr_null(other);
}
END_TEST

START_TEST(a_disk_that_fails_is_told) {
    imagine_file_t *file = start_file(NAME);
    char full[128];
    snprintf(full, sizeof(full), "%s/.%s", path, NAME);
    ck_assert_int_eq(mkdir(full, 0700), 0); /* stands in the way */
    ck_assert_int_eq(write_text(file, "x"), IMAGINE_EIO);
    folder->close(folder->self, file);
    uv_host_run_for(10);
    rmdir(full);
}
END_TEST

static Suite *folder_suite(void) {
    Suite *suite = suite_create("uv/folder");
    TCase *tests = tcase_create("folder");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, what_is_finished_can_be_read);
    tcase_add_test(tests, it_is_read_from_anywhere);
    tcase_add_test(tests, a_new_file_can_be_read_by_whoever_writes_it);
    tcase_add_test(tests, a_temporary_file_has_no_name);
    tcase_add_loop_test(tests, what_is_not_finished_goes, 0, 3);
    tcase_add_test(tests, a_name_is_taken_once);
    tcase_add_loop_test(tests, a_name_of_another_kind_is_none, 0,
                        (int)(sizeof(bad_names) / sizeof(bad_names[0])));
    tcase_add_test(tests, what_is_too_old_is_not_there);
    tcase_add_test(tests, a_link_is_not_followed);
    tcase_add_test(tests, cleaning_up_takes_files_of_the_time_that_are_ours);
    tcase_add_test(tests, a_folder_that_cannot_be_is_told);
    tcase_add_test(tests, a_disk_that_fails_is_told);
    suite_add_tcase(suite, tests);
    return suite;
}

IMI_CHECK_MAIN(folder_suite)
