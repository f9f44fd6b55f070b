/* test_static.c: files below a directory, read once and found by path. */
#include "gateway/static.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "imagine.h"
#include "../../support/check_main.h"
#include "../../support/failing_mem.h"

static char top[] = "/tmp/imagine-static-XXXXXX"; /* holds root/ and what lies beside it */
static char path_text[1024];

static const char *at(const char *name) {
    (void)snprintf(path_text, sizeof(path_text), "%s/%s", top, name);
    return path_text;
}

static void make_directory(const char *name) {
    ck_assert_int_eq(mkdir(at(name), 0700), 0);
}

static void make_file(const char *name, const char *content) {
    FILE *file = fopen(at(name), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(content, 1, strlen(content), file), strlen(content));
    ck_assert_int_eq(fclose(file), 0);
}

static void make_link(const char *target, const char *name) {
    ck_assert_int_eq(symlink(target, at(name)), 0);
}

static void set_up(void) {
    memcpy(strchr(top, 'X'), "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(top));
    make_directory("root");
    make_directory("root/assets");
    make_directory("root/docs");
    make_directory("root/.git");
    make_directory("outside");
    make_file("root/index.html", "<page>");
    make_file("root/docs/index.html", "<docs>");
    make_file("root/assets/page.JS", "js");
    make_file("root/assets/a b.txt", "spaced");
    make_file("root/assets/unknown.zzz", "z");
    make_file("root/empty.css", "");
    make_file("root/.env", "SECRET=1");
    make_file("root/.git/config", "git");
    make_file("outside/secret.txt", "secret");
    make_file("root-too.txt", "beside");
    make_link("../outside/secret.txt", "root/out.txt");
    make_link("../root-too.txt", "root/beside.txt");
    make_link("/etc/passwd", "root/passwd.txt");
    make_link("../outside", "root/out");
    make_link("assets/a b.txt", "root/inside.txt");
    make_link("nowhere", "root/dangling.txt");
    make_link(".", "root/loop");
    ck_assert_int_eq(mkfifo(at("root/pipe"), 0600), 0);
}

static void tear_down(void) {
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -rf %s", top);
    ck_assert_int_eq(system(command), 0);
}

static const struct {
    const char *path, *content, *type; /* NULL: no such file */
} file_cases[] = {
    {"/index.html", "<page>", "text/html; charset=utf-8"},
    {"/", "<page>", "text/html; charset=utf-8"},
    {"/docs/", "<docs>", "text/html; charset=utf-8"},
    {"/docs", NULL, NULL},
    {"/assets/", NULL, NULL},
    {"/assets/page.JS", "js", "text/javascript; charset=utf-8"},
    {"/assets/page.js", NULL, NULL},
    {"/assets/a%20b.txt", "spaced", "text/plain; charset=utf-8"},
    {"/assets/a+b.txt", NULL, NULL},
    {"/assets%2Fa%20b.txt", "spaced", "text/plain; charset=utf-8"},
    {"/assets/unknown.zzz", "z", "application/octet-stream"},
    {"/empty.css", "", "text/css; charset=utf-8"},
    {"/inside.txt", "spaced", "text/plain; charset=utf-8"},
    {"/.env", NULL, NULL},
    {"/%2eenv", NULL, NULL},
    {"/.git/config", NULL, NULL},
    {"/out.txt", NULL, NULL},
    {"/beside.txt", NULL, NULL},
    {"/passwd.txt", NULL, NULL},
    {"/out/secret.txt", NULL, NULL},
    {"/loop/index.html", NULL, NULL},
    {"/dangling.txt", NULL, NULL},
    {"/pipe", NULL, NULL},
    {"/../outside/secret.txt", NULL, NULL},
    {"/assets/../index.html", NULL, NULL},
    {"//index.html", NULL, NULL},
    {"/index.html%00", NULL, NULL},
    {"/index.html%", NULL, NULL},
    {"/%zz", NULL, NULL},
    {"", NULL, NULL},
};

START_TEST(a_path_finds_its_file_or_nothing) {
    imi_static_t files;
    const char *message = NULL;
    const imi_static_file_t *file;
    ck_assert_int_eq(imi_static_open(&files, NULL, at("root"), &message), 0);
    file = imi_static_find(&files, imi_slice_of(file_cases[_i].path));
    ck_assert_msg((file == NULL) == (file_cases[_i].content == NULL), "%s", file_cases[_i].path);
    if (file != NULL) {
        ck_assert_msg(file->size == strlen(file_cases[_i].content) &&
                          memcmp(file->data, file_cases[_i].content, file->size) == 0,
                      "%s", file_cases[_i].path);
        ck_assert_str_eq(file->type, file_cases[_i].type);
    }
    imi_static_close(&files);
}
END_TEST

START_TEST(a_path_of_any_length_is_fine) {
    static char path[9000];
    imi_static_t files;
    const char *message = NULL;
    ck_assert_int_eq(imi_static_open(&files, NULL, at("root"), &message), 0);
    for (size_t size = 1000; size < 1100; size++) {
        memset(path, '/', size);
        ck_assert_ptr_null(imi_static_find(&files, (imi_slice_t){path, size}));
    }
    memset(path, 'x', sizeof(path));
    ck_assert_ptr_null(imi_static_find(&files, (imi_slice_t){path, sizeof(path)}));
    imi_static_close(&files);
}
END_TEST

START_TEST(a_tag_names_the_content) {
    imi_static_t files;
    const char *message = NULL;
    const imi_static_file_t *a, *b, *c;
    ck_assert_int_eq(imi_static_open(&files, NULL, at("root"), &message), 0);
    a = imi_static_find(&files, IMI_SLICE("/inside.txt"));
    b = imi_static_find(&files, IMI_SLICE("/assets/a%20b.txt"));
    c = imi_static_find(&files, IMI_SLICE("/index.html"));
    ck_assert_uint_eq(strlen(a->etag), 34);
    ck_assert(a->etag[0] == '"' && a->etag[33] == '"');
    ck_assert_str_eq(a->etag, b->etag);
    ck_assert_str_ne(a->etag, c->etag);
    imi_static_close(&files);
}
END_TEST

static const struct {
    const char *header;
    bool is_match;
} tag_cases[] = {
    {"\"abc\"", true},
    {"W/\"abc\"", true},
    {"\"x\", \"abc\"", true},
    {"\"x\",W/\"abc\"", true},
    {"*", true},
    {" \"abc\" ", true},
    {"\"abcd\"", false},
    {"abc", false},
    {"\"ab\"", false},
    {"", false},
    {NULL, false},
    {"W/", false},
};

START_TEST(if_none_match_is_compared_weakly) {
    ck_assert_msg(imi_static_has_tag(imi_slice_of(tag_cases[_i].header), "\"abc\"") ==
                      tag_cases[_i].is_match,
                  "%s", tag_cases[_i].header);
}
END_TEST

static const struct {
    const char *accept, *fetch_mode;
    bool is_navigation;
} navigation_cases[] = {
    {"text/html,application/xhtml+xml,*/*;q=0.8", "navigate", true},
    {"text/html,*/*", NULL, true},
    {"text/html", "no-cors", false},
    {"text/html", "cors", false},
    {"*/*", "navigate", false},
    {"application/json", NULL, false},
    {NULL, NULL, false},
};

START_TEST(a_browser_that_goes_somewhere_is_told_apart) {
    ck_assert_msg(imi_static_is_navigation(imi_slice_of(navigation_cases[_i].accept),
                                           imi_slice_of(navigation_cases[_i].fetch_mode)) ==
                      navigation_cases[_i].is_navigation,
                  "%s, %s", navigation_cases[_i].accept, navigation_cases[_i].fetch_mode);
}
END_TEST

START_TEST(a_root_that_cannot_be_read_is_told) {
    imi_static_t files;
    const char *message = NULL;
    ck_assert_int_eq(imi_static_open(&files, NULL, at("nowhere"), &message), IMAGINE_EIO);
    ck_assert_ptr_nonnull(message);
    ck_assert_int_eq(imi_static_open(&files, NULL, at("root/index.html"), &message), IMAGINE_EIO);
}
END_TEST

START_TEST(too_many_files_are_refused) {
    imi_static_t files;
    const char *message = NULL;
    char name[64];
    make_directory("many");
    for (unsigned i = 0; i <= IMI_STATIC_FILES_MAX; i++) {
        (void)snprintf(name, sizeof(name), "many/%u", i);
        make_file(name, "");
    }
    ck_assert_int_eq(imi_static_open(&files, NULL, at("many"), &message), IMAGINE_EIO);
    ck_assert_str_eq(message, "more than 4096 files");
    ck_assert_int_eq(unlink(at("many/0")), 0);
    ck_assert_int_eq(imi_static_open(&files, NULL, at("many"), &message), 0);
    ck_assert_uint_eq(files.count, IMI_STATIC_FILES_MAX);
    imi_static_close(&files);
}
END_TEST

START_TEST(too_large_files_are_refused) {
    imi_static_t files;
    const char *message = NULL;
    make_directory("large");
    make_file("large/a", "");
    make_file("large/b", "");
    ck_assert_int_eq(truncate(at("large/a"), IMI_STATIC_SIZE_MAX / 2), 0);
    ck_assert_int_eq(truncate(at("large/b"), IMI_STATIC_SIZE_MAX / 2 + 1), 0);
    ck_assert_int_eq(imi_static_open(&files, NULL, at("large"), &message), IMAGINE_EIO);
    ck_assert_str_eq(message, "more than 64 MiB of files");
}
END_TEST

START_TEST(directories_may_be_only_so_deep) {
    imi_static_t files;
    const char *message = NULL;
    char name[64] = "deep";
    for (int i = 0; i < IMI_STATIC_DEPTH_MAX; i++) {
        make_directory(name);
        memcpy(name + strlen(name), "/d", 3);
    }
    ck_assert_int_eq(imi_static_open(&files, NULL, at("deep"), &message), 0);
    imi_static_close(&files);
    make_directory(name);
    ck_assert_int_eq(imi_static_open(&files, NULL, at("deep"), &message), IMAGINE_EIO);
}
END_TEST

START_TEST(reading_survives_failing_memory) {
    bool has_failed = true;
    for (size_t fail_at = 1; has_failed; fail_at++) {
        failing_mem_t failing;
        imi_static_t files;
        const char *message = NULL;
        int err;
        failing_mem_init(&failing, fail_at);
        err = imi_static_open(&files, &failing.mem, at("root"), &message);
        has_failed = failing.has_failed;
        ck_assert_int_eq(err, has_failed ? IMAGINE_ENOMEM : 0);
        imi_static_close(&files);
        ck_assert_uint_eq(failing.live_count, 0);
    }
}
END_TEST

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static Suite *static_suite(void) {
    Suite *suite = suite_create("gateway/static");
    TCase *tcase = tcase_create("files");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, a_path_finds_its_file_or_nothing, 0, COUNT(file_cases));
    tcase_add_test(tcase, a_path_of_any_length_is_fine);
    tcase_add_test(tcase, a_tag_names_the_content);
    tcase_add_test(tcase, a_root_that_cannot_be_read_is_told);
    tcase_add_test(tcase, too_many_files_are_refused);
    tcase_add_test(tcase, too_large_files_are_refused);
    tcase_add_test(tcase, directories_may_be_only_so_deep);
    tcase_add_test(tcase, reading_survives_failing_memory);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("headers");
    tcase_add_loop_test(tcase, if_none_match_is_compared_weakly, 0, COUNT(tag_cases));
    tcase_add_loop_test(tcase, a_browser_that_goes_somewhere_is_told_apart, 0,
                        COUNT(navigation_cases));
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(static_suite)
