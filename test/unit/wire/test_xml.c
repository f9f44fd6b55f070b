/* test_xml.c: S3's answers, read as they are; and what is none. */
#include "wire/xml.h"

#include <stdlib.h>
#include <string.h>

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"

#define COUNT_OF(table) ((int)(sizeof(table) / sizeof((table)[0])))

static const struct {
    const char *name, *document, *inside, *rest;
} next_cases[] = {
    {"plain", "<a><Key>x</Key>y</a>", "x", "y</a>"},
    {"attributes, with a mark in a value", "<Key n='>' m=\"/>\">x</Key >", "x", ""},
    {"empty", "<Key></Key>", "", ""},
    {"closed by itself", "<Key/><b>", "", "<b>"},
    {"closed by itself, with a blank", "<Key /><b>", "", "<b>"},
    {"another name that begins so", "<Keys>1</Keys><Key>2</Key>", "2", ""},
    {"elements inside", "<Key><b>1</b></Key>", "<b>1</b>", ""},
    {"an end of another name inside", "<Key></Keys>1</Key>", "</Keys>1", ""},
    {"no end", "<Key>1", NULL, NULL},
    {"no end of the tag", "<Key", NULL, NULL},
    {"no end of the end tag", "<Key>1</Key", NULL, NULL},
    {"a quote without end", "<Key a='>1</Key>", NULL, NULL},
    {"none", "<a>1</a>", NULL, NULL},
    {"nothing", "", NULL, NULL},
};

START_TEST(the_next_element_is_found) { /* _i walks next_cases */
    size_t size = strlen(next_cases[_i].document);
    char *copy = malloc(size + 1); /* so that AddressSanitizer sees its end */
    imi_slice_t rest, inside;
    bool is_found;
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, next_cases[_i].document, size);
    rest = (imi_slice_t){copy, size};
    is_found = imi_xml_next(&rest, "Key", &inside);
    ck_assert_msg(is_found == (next_cases[_i].inside != NULL), "%s", next_cases[_i].name);
    if (is_found) {
        ck_assert_msg(imi_slice_equals(inside, next_cases[_i].inside), "%s: %.*s",
                      next_cases[_i].name, (int)inside.size, inside.data);
        ck_assert_msg(imi_slice_equals(rest, next_cases[_i].rest), "%s: %.*s", next_cases[_i].name,
                      (int)rest.size, rest.data);
    }
    free(copy);
}
END_TEST

START_TEST(what_is_cut_anywhere_is_never_read_past_its_end) {
    static const char document[] =
        "<R a='b'><Contents><Key>a&amp;b</Key></Contents><Contents><Key/></Contents></R>";
    for (size_t size = 0; size < sizeof(document); size++) {
        char *copy = malloc(size + 1);
        imi_slice_t rest, inside;
        ck_assert_ptr_nonnull(copy);
        copy = realloc(copy, size > 0 ? size : 1);
        memcpy(copy, document, size);
        rest = (imi_slice_t){copy, size};
        while (imi_xml_next(&rest, "Contents", &inside))
            ck_assert_uint_le(inside.size, size);
        free(copy);
    }
}
END_TEST

static const struct {
    const char *xml, *text; /* NULL: broken */
} text_cases[] = {
    {"plain", "plain"},
    {"", ""},
    {"&amp;&lt;&gt;&quot;&apos;", "&<>\"'"},
    {"a&#65;b&#x42;c&#xe4;&#8364;&#x1F600;", "aAbBc\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"},
    {"&amp;amp;", "&amp;"},
    {"&", NULL},
    {"&amp", NULL},
    {"&;", NULL},
    {"&unknown;", NULL},
    {"&#;", NULL},
    {"&#x;", NULL},
    {"&#0;", NULL},
    {"&#xD800;", NULL},
    {"&#x110000;", NULL},
    {"&#1a;", NULL},
    {"&#00000000065;", NULL},
};

START_TEST(texts_lose_their_entities) { /* _i walks text_cases */
    imi_arena_t arena;
    char *text;
    imi_arena_init(&arena, NULL, 0);
    text = imi_xml_text(&arena, imi_slice_of(text_cases[_i].xml));
    if (text_cases[_i].text == NULL)
        ck_assert_msg(text == NULL, "%s", text_cases[_i].xml);
    else
        ck_assert_msg(text != NULL && strcmp(text, text_cases[_i].text) == 0, "%s: %s",
                      text_cases[_i].xml, text);
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(escaping_and_reading_give_the_same_text) {
    static const char text[] = "a<b>&\"c'\n\xC3\xA4";
    imi_arena_t arena;
    imi_buf_t buf;
    imi_arena_init(&arena, NULL, 0);
    imi_buf_init(&buf, NULL, 0);
    ck_assert_int_eq(imi_xml_escape(&buf, text), 0);
    ck_assert_str_eq(buf.data, "a&lt;b&gt;&amp;&quot;c&apos;&#10;\xC3\xA4");
    ck_assert_str_eq(imi_xml_text(&arena, (imi_slice_t){buf.data, buf.size}), text);
    imi_buf_reset(&buf);
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(no_memory_is_told) {
    failing_mem_t failing;
    imi_arena_t arena;
    imi_buf_t buf;
    failing_mem_init(&failing, 1);
    failing.is_lasting = true;
    imi_arena_init(&arena, &failing.mem, 0);
    imi_buf_init(&buf, &failing.mem, 0);
    ck_assert_ptr_null(imi_xml_text(&arena, IMI_SLICE("x")));
    ck_assert_int_eq(imi_xml_escape(&buf, "<x>"), IMI_BUF_NOMEM);
    imi_arena_reset(&arena);
    imi_buf_reset(&buf);
    ck_assert_uint_eq(failing.live_count, 0);
}
END_TEST

static Suite *xml_suite(void) {
    Suite *suite = suite_create("xml");
    TCase *tests = tcase_create("xml");
    tcase_add_loop_test(tests, the_next_element_is_found, 0, COUNT_OF(next_cases));
    tcase_add_test(tests, what_is_cut_anywhere_is_never_read_past_its_end);
    tcase_add_loop_test(tests, texts_lose_their_entities, 0, COUNT_OF(text_cases));
    tcase_add_test(tests, escaping_and_reading_give_the_same_text);
    tcase_add_test(tests, no_memory_is_told);
    suite_add_tcase(suite, tests);
    return suite;
}

IMI_CHECK_MAIN(xml_suite)
