/* test_json.c: JSON for programs without a reader of their own. */
#include <stdlib.h>
#include <string.h>

#include "imagine.h"
#include "support/check_main.h"

static const char models[] =
    "[{\"id\":\"a/b\",\"type\":[\"text2image\",\"upscaler\"],\"steps\":{\"range\":[1,20]}},"
    " {\"id\":\"\\u00e9 \\\"q\\\"\",\"note\":null,\"x\":-1.5e2}]";

static const struct {
    const char *path, *text; /* NULL: none there */
} text_cases[] = {
    {"[0].id", "a/b"},
    {"[1].id", "\xc3\xa9 \"q\""},
    {"[0].type[1]", "upscaler"},
    {"[0].type", NULL},
    {"[1].note", NULL},
    {"[2].id", NULL},
    {"[0].steps.range[0]", NULL},
    {"", NULL},
};

START_TEST(a_text_by_its_path) { /* _i walks text_cases */
    char *text = imagine_json_text(models, sizeof(models) - 1, text_cases[_i].path);
    if (text_cases[_i].text == NULL)
        ck_assert_msg(text == NULL, "%s: %s", text_cases[_i].path, text);
    else
        ck_assert_msg(text != NULL && strcmp(text, text_cases[_i].text) == 0, "%s: %s",
                      text_cases[_i].path, text);
    imagine_free(text);
}
END_TEST

static const struct {
    const char *path;
    size_t count;
} count_cases[] = {{"", 2}, {"[0]", 3}, {"[0].type", 2}, {"[0].id", 0}, {"[7]", 0}};

START_TEST(elements_and_members_are_counted) { /* _i walks count_cases */
    ck_assert_uint_eq(imagine_json_count(models, sizeof(models) - 1, count_cases[_i].path),
                      count_cases[_i].count);
}
END_TEST

START_TEST(members_have_names) {
    static const char *const names[] = {"id", "note", "x"};
    for (size_t i = 0; i < 3; i++) {
        char *name = imagine_json_name(models, sizeof(models) - 1, "[1]", i);
        ck_assert_str_eq(name, names[i]);
        imagine_free(name);
    }
    ck_assert_ptr_null(imagine_json_name(models, sizeof(models) - 1, "[1]", 3));
    ck_assert_ptr_null(imagine_json_name(models, sizeof(models) - 1, "", 0));
}
END_TEST

START_TEST(numbers_and_values) {
    double number = 0;
    size_t size = 99;
    const char *value = imagine_json_value(models, sizeof(models) - 1, "[0].steps", &size);
    ck_assert_uint_eq(size, strlen("{\"range\":[1,20]}"));
    ck_assert_mem_eq(value, "{\"range\":[1,20]}", size);
    ck_assert_int_eq(imagine_json_number(models, sizeof(models) - 1, "[1].x", &number), 1);
    ck_assert_double_eq(number, -150);
    ck_assert_int_eq(imagine_json_number(models, sizeof(models) - 1, "[0].id", &number), 0);
    ck_assert_ptr_null(imagine_json_value(models, sizeof(models) - 1, "[0].none", &size));
    ck_assert_uint_eq(size, 0);
    ck_assert_ptr_null(imagine_json_text(NULL, 0, ""));
}
END_TEST

/* A piece of a document, and one with a byte missing: nothing outside of it is read (ASan). */
START_TEST(a_broken_document_is_read_inside_its_bounds) {
    for (size_t size = 0; size < sizeof(models); size++) {
        char *piece = malloc(size > 0 ? size : 1);
        double number;
        size_t value_size;
        memcpy(piece, models, size);
        for (size_t i = 0; i < sizeof(text_cases) / sizeof(text_cases[0]); i++) {
            imagine_free(imagine_json_text(piece, size, text_cases[i].path));
            imagine_free(imagine_json_name(piece, size, text_cases[i].path, 1));
            imagine_json_count(piece, size, text_cases[i].path);
            imagine_json_number(piece, size, text_cases[i].path, &number);
            imagine_json_value(piece, size, text_cases[i].path, &value_size);
        }
        free(piece);
    }
}
END_TEST

START_TEST(a_text_is_quoted) {
    char *json = imagine_json_quote("a \"b\"\n\xff", 7);
    ck_assert_str_eq(json, "\"a \\\"b\\\"\\n\xef\xbf\xbd\"");
    imagine_free(json);
    json = imagine_json_quote(NULL, 5);
    ck_assert_str_eq(json, "null");
    imagine_free(json);
}
END_TEST

static Suite *json_suite(void) {
    Suite *suite = suite_create("json");
    TCase *tcase = tcase_create("json");
    tcase_add_loop_test(tcase, a_text_by_its_path, 0,
                        (int)(sizeof(text_cases) / sizeof(text_cases[0])));
    tcase_add_loop_test(tcase, elements_and_members_are_counted, 0,
                        (int)(sizeof(count_cases) / sizeof(count_cases[0])));
    tcase_add_test(tcase, members_have_names);
    tcase_add_test(tcase, numbers_and_values);
    tcase_add_test(tcase, a_broken_document_is_read_inside_its_bounds);
    tcase_add_test(tcase, a_text_is_quoted);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(json_suite)
