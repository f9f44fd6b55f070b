/* test_files.c: a name of a file becomes what the file holds, and nothing else changes. */
#include "catalogue/files.h"

#include <stdlib.h>
#include <string.h>

#include "imagine.h"

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"

/* The files that there are. */
static char *read_file(void *user, const char *name, size_t *out_size) {
    static const char *const files[][2] = {
        {"a.json", " {\"1\": {\"class_type\": \"X\"}}\n"},
        {"dir/b.json", "{\"2\":{}}"},
        {"broken.json", "{\"1\":"},
        {"empty.json", ""},
    };
    ck_assert_str_eq(user, "user");
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (strcmp(files[i][0], name) == 0) {
            *out_size = strlen(files[i][1]);
            return strdup(files[i][1]);
        }
    return NULL;
}

static const struct {
    const char *name, *document, *result; /* or the message, behind '!' */
} cases[] = {
    {"no file", "{ \"a\" : [1, 2.50, \"\\u00e9\"] }", "{ \"a\" : [1, 2.50, \"\\u00e9\"] }"},
    {"a model's", "{\"models\":[{\"key\":\"m\",\"workflow_file\":\"a.json\",\"n\":1e3}]}",
     "{\"models\":[{\"key\":\"m\",\"workflow\":{\"1\": {\"class_type\": \"X\"}},\"n\":1e3}]}"},
    {"several, one in a folder",
     "{\"x\":{\"workflow_file\":\"a.json\"},\"y\":{\"workflow_file\":\"dir/b.json\"}}",
     "{\"x\":{\"workflow\":{\"1\": {\"class_type\": \"X\"}}},\"y\":{\"workflow\":{\"2\":{}}}}"},
    {"a name with escapes", "{\"workflow\\u005ffile\":\"x\",\"workflow_file\":\"dir\\/b.json\"}",
     "!workflow_file: x: the file cannot be read"},
    {"a text that says workflow_file", "{\"note\":\"workflow_file\"}",
     "{\"note\":\"workflow_file\"}"},
    {"one that is not there", "{\"workflow_file\":\"../none.json\"}",
     "!workflow_file: ../none.json: the file cannot be read"},
    {"one that is no JSON", "{\"workflow_file\":\"broken.json\"}",
     "!workflow_file: broken.json: not valid JSON, or nested too deeply"},
    {"an empty one", "{\"workflow_file\":\"empty.json\"}",
     "!workflow_file: empty.json: not valid JSON, or nested too deeply"},
    {"no name", "{\"workflow_file\":7}", "!workflow_file: : the name of a file expected"},
    {"a broken document goes on as it is", "{\"workflow_file\":\"a.json\"",
     "{\"workflow_file\":\"a.json\""},
};

START_TEST(names_of_files_become_their_content) { /* _i walks cases */
    imi_arena_t arena;
    imi_buf_t out;
    const char *message = NULL, *wanted = cases[_i].result;
    int err;
    imi_arena_init(&arena, NULL, 0);
    imi_buf_init(&out, NULL, 0);
    err = imi_catalogue_files(imi_slice_of(cases[_i].document), read_file, "user", &out, &arena,
                              &message);
    if (wanted[0] == '!') {
        ck_assert_msg(err != 0, "%s", cases[_i].name);
        ck_assert_str_eq(message, wanted + 1);
    } else {
        ck_assert_msg(err == 0, "%s: %s", cases[_i].name, message);
        ck_assert_msg(strcmp(out.data, wanted) == 0, "%s: %s", cases[_i].name, out.data);
    }
    imi_buf_reset(&out);
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(not_more_than_256_files) {
    const char *member = "{\"workflow_file\":\"dir/b.json\"}";
    imi_arena_t arena;
    imi_buf_t document, out;
    const char *message = NULL;
    imi_arena_init(&arena, NULL, 0);
    imi_buf_init(&document, NULL, 0);
    imi_buf_init(&out, NULL, 0);
    for (int i = 0; i < 257; i++) {
        imi_buf_append(&document, i == 0 ? "[" : ",", 1);
        imi_buf_append(&document, member, strlen(member));
    }
    imi_buf_append(&document, "]", 1);
    ck_assert_int_eq(imi_catalogue_files((imi_slice_t){document.data, document.size}, read_file,
                                         "user", &out, &arena, &message),
                     IMAGINE_EINVAL);
    ck_assert_str_eq(message, "workflow_file: dir/b.json: more than 256 files");
    imi_buf_reset(&document);
    imi_buf_reset(&out);
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(it_says_so_when_memory_is_out) {
    imi_slice_t document = imi_slice_of(cases[2].document);
    for (size_t n = 1; n < 100; n++) {
        failing_mem_t failing;
        imi_mem_t mem = {failing_mem_resize, &failing};
        imi_arena_t arena;
        imi_buf_t out;
        const char *message;
        int err;
        failing_mem_init(&failing, n);
        imi_arena_init(&arena, &mem, 0);
        imi_buf_init(&out, &mem, 0);
        err = imi_catalogue_files(document, read_file, "user", &out, &arena, &message);
        ck_assert_msg((err != 0) == failing.has_failed, "request %zu for memory", n);
        imi_buf_reset(&out);
        imi_arena_reset(&arena);
        ck_assert_uint_eq(failing.live_count, 0);
        if (!failing.has_failed)
            return;
    }
    ck_abort_msg("it takes too many allocations");
}
END_TEST

static Suite *catalogue_files_suite(void) {
    Suite *suite = suite_create("catalogue_files");
    TCase *tcase = tcase_create("catalogue_files");
    tcase_add_loop_test(tcase, names_of_files_become_their_content, 0,
                        sizeof(cases) / sizeof(cases[0]));
    tcase_add_test(tcase, not_more_than_256_files);
    tcase_add_test(tcase, it_says_so_when_memory_is_out);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(catalogue_files_suite)
