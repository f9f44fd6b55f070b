/* test_json.c: what is JSON and what is not, found where it lies, and written so that it is. */
#include "wire/json.h"

#include <stdio.h>
#include <string.h>

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"
#include "../../support/random.h"

#define COUNT_OF(table) ((int)(sizeof(table) / sizeof((table)[0])))
#define DEPTH_MAX 64

static const struct {
    const char *text;
    int broken_at; /* -1: valid */
} check_cases[] = {
    {"{}", -1},
    {"[]", -1},
    {" \t\r\n[ ] ", -1},
    {"0", -1},
    {"-0.5e-7", -1},
    {"\"\"", -1},
    {"true", -1},
    {"false", -1},
    {"null", -1},
    {"[1,2,[3,{\"a\":[]}],{}]", -1},
    {" { \"a\" : 1 , \"b\" : [ true , null ] } ", -1},
    {"{\"a\":1,\"a\":2}", -1}, /* names may repeat */
    {"{\"\":0}", -1},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\u0000\"", -1},
    {"\"\\ud83d\\udc08 \\uD83D\\uDC08\"", -1},
    {"\"\x7F 猫 \xF0\x9F\x90\x88\"", -1},
    {"", 0},
    {" ", 1},
    {"\xEF\xBB\xBF{}", 0}, /* a byte order mark is not JSON */
    {"{", 1},
    {"[", 1},
    {"[1", 2},
    {"[1,", 3},
    {"[1,]", 3},
    {"[,1]", 1},
    {"[1 2]", 3},
    {"[1}", 2},
    {"{]", 1},
    {"{\"a\"]", 4},
    {"{\"a\":1]", 6},
    {"{\"a\":1,}", 7},
    {"{\"a\":}", 5},
    {"{\"a\"}", 4},
    {"{\"a\" 1}", 5},
    {"{a:1}", 1},
    {"{1:1}", 1},
    {"{'a':1}", 1},
    {"{,}", 1},
    {"]", 0},
    {"{}}", 2},
    {"{} {}", 3},
    {"[],", 2},
    {"1 2", 2},
    {"01", 1},
    {"+1", 0},
    {".5", 0},
    {"1.", 0},
    {"-", 0},
    {"1e", 0},
    {"0x1", 1},
    {"NaN", 0},
    {"Infinity", 0},
    {"truex", 4},
    {"tru", 0},
    {"True", 0},
    {"nul", 0},
    {"//x\n1", 0},
    {"\"", 1},
    {"\"abc", 4},
    {"\"a\nb\"", 2},
    {"\"a\tb\"", 2},
    {"\"0123456789abcdef\x1F\"", 17},
    {"\"\\x\"", 1},
    {"\"\\u12g4\"", 1},
    {"\"\\u123\"", 1},
    {"\"\\", 1},
    {"\"\\ud83d\"", 1},
    {"\"\\udc08\"", 1},
    {"\"\\ud83d\\ud83d\"", 1},
    {"\"\\ud83dx\\udc08\"", 1},
    {"\"\\udc08\\ud83d\"", 1},
    {"\"\x80\"", 1},
    {"\"ab\xC0\xAF\"", 3},
    {"\"\xED\xA0\x80\"", 1},
    {"\"\xE7\x8C\"", 1},
    {"{\"\xFF\":1}", 2},
};

START_TEST(json_is_told_from_what_is_none) { /* _i walks check_cases */
    const char *text = check_cases[_i].text;
    size_t at = 12345;
    bool is_valid = imi_json_valid(imi_slice_of(text), DEPTH_MAX, &at);
    ck_assert_msg(is_valid == (check_cases[_i].broken_at < 0), "%s", text);
    if (is_valid)
        ck_assert_uint_eq(at, strlen(text));
    else
        ck_assert_msg(at == (size_t)check_cases[_i].broken_at, "%s: at %zu", text, at);
    ck_assert_int_eq(imi_json_valid(imi_slice_of(text), DEPTH_MAX, NULL), is_valid);
}
END_TEST

START_TEST(a_nul_is_a_byte_like_any_other_wrong_one) {
    size_t at = 0;
    ck_assert(!imi_json_valid((imi_slice_t){"[1]\0", 4}, DEPTH_MAX, &at));
    ck_assert_uint_eq(at, 3);
    ck_assert(!imi_json_valid((imi_slice_t){"\"a\0b\"", 5}, DEPTH_MAX, &at));
    ck_assert_uint_eq(at, 2);
    ck_assert(!imi_json_valid((imi_slice_t){NULL, 0}, DEPTH_MAX, &at));
    ck_assert_uint_eq(at, 0);
}
END_TEST

/* Every byte at every place of a string, against what the standard says of it. */
START_TEST(only_three_kinds_of_bytes_cannot_stand_in_a_string) {
    for (int byte = 0; byte < 256; byte++) {
        bool is_fine = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
        for (size_t place = 1; place < 39; place++) {
            char text[40];
            memset(text, 'x', sizeof(text));
            text[0] = text[39] = '"';
            text[place] = (char)byte;
            if (byte == '\\' && place < 38)
                text[place + 1] = '?'; /* no escape at all */
            ck_assert_msg(imi_json_valid((imi_slice_t){text, 40}, 1, NULL) == is_fine,
                          "byte %d at %zu", byte, place);
        }
    }
}
END_TEST

START_TEST(depth_is_bounded) { /* _i: the depth */
    char text[2 * 600];
    size_t depth = (size_t)_i;
    for (size_t i = 0; i < depth; i++) {
        text[i] = '[';
        text[2 * depth - 1 - i] = ']';
    }
    ck_assert(imi_json_valid((imi_slice_t){text, 2 * depth}, 10000, NULL) ==
              (depth <= IMI_JSON_DEPTH_MAX));
    ck_assert(imi_json_valid((imi_slice_t){text, 2 * depth}, _i, NULL) ==
              (depth <= IMI_JSON_DEPTH_MAX));
    ck_assert(!imi_json_valid((imi_slice_t){text, 2 * depth}, _i - 1, NULL));
}
END_TEST

START_TEST(brackets_are_remembered_at_every_depth) { /* _i: the seed */
    char text[2 * IMI_JSON_DEPTH_MAX * 6];
    char closing[IMI_JSON_DEPTH_MAX];
    uint64_t seed = (uint64_t)_i;
    size_t size = 0, depth = 1 + random_below(&seed, IMI_JSON_DEPTH_MAX);
    for (size_t i = 0; i < depth; i++) {
        bool is_object = random_below(&seed, 2) == 0;
        size += (size_t)snprintf(text + size, sizeof(text) - size, is_object ? "{\"\":" : "[");
        closing[i] = is_object ? '}' : ']';
    }
    text[size++] = '1';
    for (size_t i = depth; i > 0; i--)
        text[size++] = closing[i - 1];
    ck_assert(imi_json_valid((imi_slice_t){text, size}, (int)depth, NULL));
    for (size_t i = 0; i < depth; i++) {
        char *bracket = &text[size - 1 - i];
        char right = *bracket;
        *bracket = right == '}' ? ']' : '}';
        ck_assert_msg(!imi_json_valid((imi_slice_t){text, size}, (int)depth, NULL), "seed %d", _i);
        *bracket = right;
    }
}
END_TEST

static const char sample[] =
    " {\"created\": 1700000000, \"data\" : [ {\"b64_json\":\"aGk=\", \"size\":\"1x1\"},\n"
    "  {\"image\":{\"url\":\"https://x.test/a\\/b\"}} ], \"n\":null, \"ok\":true, \"empty\":{},\n"
    "  \"list\":[], \"deep\":[[1,2],[3,[4,5.5]]], \"quote\\\"d\":\"\\\\\", \"data2\":-1e2,\n"
    "  \"twice\":1, \"twice\":{\"x\":1}, \"twice\":{\"y\":\"[}\\\"\"} } ";

static const struct {
    const char *path, *value; /* NULL: absent */
} get_cases[] = {
    {"created", "1700000000"},
    {"data[0].b64_json", "\"aGk=\""},
    {"data[0].size", "\"1x1\""},
    {"data[1].image.url", "\"https://x.test/a\\/b\""},
    {"data[1].image", "{\"url\":\"https://x.test/a\\/b\"}"},
    {"n", "null"},
    {"ok", "true"},
    {"empty", "{}"},
    {"list", "[]"},
    {"deep", "[[1,2],[3,[4,5.5]]]"},
    {"deep[0]", "[1,2]"},
    {"deep[0][1]", "2"},
    {"deep[1][1][1]", "5.5"},
    {"quote\"d", "\"\\\\\""},
    {"data2", "-1e2"},
    {"twice", "{\"y\":\"[}\\\"\"}"},
    {"twice.y", "\"[}\\\"\""},
    {"twice.x", NULL}, /* the last one wins, whole */
    {"missing", NULL},
    {"data[2]", NULL},
    {"data[0].b64_json.x", NULL},
    {"data.b64_json", NULL},
    {"created[0]", NULL},
    {"empty.x", NULL},
    {"list[0]", NULL},
    {"[0]", NULL},
    {"dat", NULL},
    {"data22", NULL},
    {"n.x", NULL},
    {"data[-1]", NULL},
    {"data[]", NULL},
    {"data[0", NULL},
    {"data[x]", NULL},
    {"data[0]size", NULL},
    {"data[0]..size", NULL},
    {".data", NULL},
    {"data.", NULL},
    {"data[99999999999999999999]", NULL},
    {"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q", NULL},
};

START_TEST(a_path_leads_to_the_raw_value) { /* _i walks get_cases */
    imi_slice_t value = imi_json_get(imi_slice_of(sample), get_cases[_i].path);
    if (get_cases[_i].value == NULL)
        ck_assert_msg(value.data == NULL && value.size == 0, "%s: %.*s", get_cases[_i].path,
                      (int)value.size, value.data);
    else
        ck_assert_msg(imi_slice_equals(value, get_cases[_i].value), "%s: %.*s", get_cases[_i].path,
                      (int)value.size, value.data);
}
END_TEST

START_TEST(no_path_is_the_document_itself) {
    ck_assert(imi_slice_equals(imi_json_get(imi_slice_of(" [1] \n"), ""), "[1]"));
    ck_assert(imi_slice_equals(imi_json_get(imi_slice_of("[[7]]"), "[0][0]"), "7"));
    ck_assert_ptr_null(imi_json_get(imi_slice_of(" "), "").data);
    ck_assert_ptr_null(imi_json_get(imi_slice_of(NULL), "").data);
}
END_TEST

START_TEST(a_path_has_at_most_sixteen_steps) {
    const char *nested = "[[[[[[[[[[[[[[[[5]]]]]]]]]]]]]]]]";
    const char *path = "[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]";
    ck_assert(imi_slice_equals(imi_json_get(imi_slice_of(nested), path), "5"));
    ck_assert(imi_slice_equals(imi_json_get(imi_slice_of(nested), path + 3), "[5]"));
}
END_TEST

/* A copy that ends where its block ends, so that one byte too far is seen. */
static char *exact_copy(const char *data, size_t size) {
    char *copy = malloc(size == 0 ? 1 : size);
    ck_assert_ptr_nonnull(copy);
    if (size != 0)
        memcpy(copy, data, size);
    return copy;
}

static void assert_inside(imi_slice_t part, imi_slice_t whole) {
    ck_assert(part.data == NULL || (part.data >= whole.data && part.size <= whole.size &&
                                    part.data + part.size <= whole.data + whole.size));
}

static void read_everything(imi_slice_t document) {
    imi_arena_t arena;
    imi_slice_t key = {NULL, 0}, value = {NULL, 0};
    imi_json_cursor_t members = imi_json_walk(document), items = imi_json_walk(document);
    double number = 0;
    int64_t whole = 0;
    bool flag = false;
    imi_arena_init(&arena, NULL, 0);
    for (int i = 0; i < COUNT_OF(get_cases); i++) {
        imi_slice_t found = imi_json_get(document, get_cases[i].path);
        assert_inside(found, document);
        assert_inside(imi_json_plain_text(found), document);
        imi_json_text(&arena, found, NULL);
        imi_json_number(found, &number);
        imi_json_whole_number(found, &whole);
        imi_json_bool(found, &flag);
        imi_json_type(found);
    }
    while (imi_json_next_member(&members, &key, &value)) {
        assert_inside(key, document);
        assert_inside(value, document);
        imi_json_key_is(key, "quote\"d");
    }
    while (imi_json_next_item(&items, &value))
        assert_inside(value, document);
    imi_arena_reset(&arena);
}

START_TEST(no_beginning_of_a_document_is_one_and_readers_stay_inside) {
    ck_assert(imi_json_valid(IMI_SLICE(sample), DEPTH_MAX, NULL));
    for (size_t size = 0; size < sizeof(sample) - 1; size++) {
        char *copy = exact_copy(sample, size);
        imi_slice_t part = {copy, size};
        size_t at = 0;
        bool is_valid = imi_json_valid(part, DEPTH_MAX, &at);
        ck_assert_msg(is_valid == (size == sizeof(sample) - 2), "%zu", size); /* but for a blank */
        ck_assert_uint_le(at, size);
        read_everything(part);
        free(copy);
    }
}
END_TEST

START_TEST(readers_stay_inside_broken_documents) { /* _i: the seed */
    uint64_t seed = (uint64_t)_i;
    for (int round = 0; round < 200; round++) {
        size_t begin = random_below(&seed, sizeof(sample) - 1);
        size_t size = random_below(&seed, sizeof(sample) - begin);
        char *copy = exact_copy(sample + begin, size);
        for (size_t i = 0; size != 0 && i < random_below(&seed, 6); i++)
            copy[random_below(&seed, size)] = "\"\\{}[],:u0\x80 "[random_below(&seed, 12)];
        read_everything((imi_slice_t){copy, size});
        free(copy);
    }
}
END_TEST

START_TEST(a_broken_document_has_nothing) {
    ck_assert_ptr_null(imi_json_get(imi_slice_of("{\"a\":1"), "a").data);
    ck_assert_ptr_null(imi_json_get(imi_slice_of("{\"a\":1 \"b\":2}"), "a").data);
    ck_assert_ptr_null(imi_json_get(imi_slice_of("{\"a\":x}"), "a").data);
    ck_assert_ptr_null(imi_json_get(imi_slice_of("{\"a\":[1,2}"), "a").data);
    ck_assert_ptr_null(imi_json_get(imi_slice_of("{\"a\":\"b}"), "a").data);
    ck_assert_ptr_null(imi_json_get(imi_slice_of("[1,]"), "[1]").data);
}
END_TEST

START_TEST(a_large_string_is_skipped_whatever_stands_in_it) { /* _i: backslashes at its end */
    const size_t size = 100000;
    imi_buf_t buf;
    imi_slice_t value = {NULL, 0};
    imi_buf_init(&buf, NULL, 0);
    imi_buf_append_text(&buf, "{\"picture\":\"");
    for (size_t i = 0; i < size; i++)
        imi_buf_append_byte(&buf, "abc}]{["[i % 7]);
    for (int i = 0; i < _i; i++)
        imi_buf_append_text(&buf, i % 3 == 2 ? "\\\"" : "\\\\");
    imi_buf_append_text(&buf, "\",\"seed\":42}");
    ck_assert(imi_json_valid((imi_slice_t){buf.data, buf.size}, DEPTH_MAX, NULL));
    value = imi_json_get((imi_slice_t){buf.data, buf.size}, "seed");
    ck_assert(imi_slice_equals(value, "42"));
    value = imi_json_get((imi_slice_t){buf.data, buf.size}, "picture");
    ck_assert_uint_eq(value.size, size + 2 + 2 * (size_t)_i);
    imi_buf_reset(&buf);
}
END_TEST

/* _i: how many long strings there are. Whole and broken off anywhere near its long strings, an
 * indexed document says what it says without. */
START_TEST(an_index_changes_no_answer) {
    static const char *const paths[] = {"a",     "a[0]", "a[1].b", "a[9].b", "a[10].b",
                                        "a[11]", "z",    "",       "a[0].c"};
    imi_json_index_t index;
    imi_buf_t text;
    imi_buf_init(&text, NULL, 0);
    imi_buf_append_text(&text, "{\"a\":[");
    for (int i = 0; i < _i; i++) {
        imi_buf_append_text(&text, i == 0 ? "{\"b\":\"\\\"" : ",{\"b\":\"\\\"");
        for (int at = 0; at < IMI_JSON_INDEXED_SIZE; at += 8)
            imi_buf_append_text(&text, "}]\\\\abcd");
        imi_buf_append_text(&text, "\",\"c\":1}");
    }
    imi_buf_append_text(&text, "],\"z\":2}");
    for (size_t cut = 0; cut < 40 && cut < text.size; cut++) {
        imi_slice_t document = {text.data, text.size - cut};
        imi_json_index(&index, document);
        ck_assert_uint_le(index.count, IMI_JSON_INDEX_MAX);
        ck_assert(cut > 0 ||
                  index.count == (_i < IMI_JSON_INDEX_MAX ? (size_t)_i : IMI_JSON_INDEX_MAX));
        for (size_t i = 0; i < COUNT_OF(paths); i++) {
            imi_slice_t without = imi_json_get(document, paths[i]);
            imi_slice_t with = imi_json_get_indexed(document, &index, paths[i]);
            ck_assert_ptr_eq(with.data, without.data);
            ck_assert_uint_eq(with.size, without.size);
        }
    }
    imi_buf_reset(&text);
}
END_TEST

START_TEST(members_and_items_come_in_order) {
    imi_json_cursor_t cursor = imi_json_walk(imi_slice_of(" {\"a\":1 , \"b\" : [2, 3],\"a\":{}} "));
    imi_slice_t key = {NULL, 0}, value = {NULL, 0}, list = {NULL, 0};
    ck_assert(imi_json_next_member(&cursor, &key, &value));
    ck_assert(imi_slice_equals(key, "a") && imi_slice_equals(value, "1"));
    ck_assert(imi_json_next_member(&cursor, &key, &list));
    ck_assert(imi_slice_equals(key, "b") && imi_slice_equals(list, "[2, 3]"));
    ck_assert(imi_json_next_member(&cursor, &key, &value));
    ck_assert(imi_slice_equals(key, "a") && imi_slice_equals(value, "{}"));
    ck_assert(!imi_json_next_member(&cursor, &key, &value));
    ck_assert(!imi_json_next_member(&cursor, &key, &value)); /* and stays at the end */
    cursor = imi_json_walk(list);
    ck_assert(imi_json_next_item(&cursor, &value) && imi_slice_equals(value, "2"));
    ck_assert(imi_json_next_item(&cursor, &value) && imi_slice_equals(value, "3"));
    ck_assert(!imi_json_next_item(&cursor, &value));
}
END_TEST

static const char *const not_walkable[] = {"{}", "[]", "1", "\"{\"", "", "null", "{\"a\":1]"};

START_TEST(what_is_no_such_container_has_no_items) { /* _i walks not_walkable */
    imi_slice_t key = {NULL, 0}, value = {NULL, 0};
    imi_json_cursor_t cursor = imi_json_walk(imi_slice_of(not_walkable[_i]));
    ck_assert(!imi_json_next_item(&cursor, &value));
    cursor = imi_json_walk(imi_slice_of("[1]"));
    ck_assert(!imi_json_next_member(&cursor, &key, &value));
    cursor = imi_json_walk(imi_slice_of(NULL));
    ck_assert(!imi_json_next_member(&cursor, &key, &value));
}
END_TEST

static const struct {
    const char *key, *name;
    bool is_equal;
} key_cases[] = {
    {"prompt", "prompt", true},
    {"prompt", "promp", false},
    {"promp", "prompt", false},
    {"", "", true},
    {"\\u0070rompt", "prompt", true},
    {"\\u732b", "猫", true},
    {"\\ud83d\\udc08!", "🐈!", true},
    {"a\\\"b", "a\"b", true},
    {"a\\\"b", "a\\\"b", false},
    {"a\\nb", "a", false},
    {"a", "a\n", false},
    {"\\x", "x", false},
    {"\\x", "\\x", false},
};

START_TEST(keys_are_compared_decoded) { /* _i walks key_cases */
    ck_assert_msg(imi_json_key_is(imi_slice_of(key_cases[_i].key), key_cases[_i].name) ==
                      key_cases[_i].is_equal,
                  "%s", key_cases[_i].key);
    ck_assert(!imi_json_key_is(imi_slice_of(NULL), ""));
}
END_TEST

static const struct {
    const char *value;
    imi_json_type_t type;
} type_cases[] = {
    {"{\"a\":1}", IMI_JSON_OBJECT}, {" [1]", IMI_JSON_ARRAY}, {"\"x\"", IMI_JSON_STRING},
    {"true", IMI_JSON_BOOL},        {"false", IMI_JSON_BOOL}, {"null ", IMI_JSON_NULL},
    {"-1.5e3", IMI_JSON_NUMBER},    {"0", IMI_JSON_NUMBER},   {"", IMI_JSON_NONE},
    {"  ", IMI_JSON_NONE},          {"nul", IMI_JSON_NONE},   {"truth", IMI_JSON_NONE},
    {"-", IMI_JSON_NONE},           {"1x", IMI_JSON_NONE},    {"?", IMI_JSON_NONE},
    {NULL, IMI_JSON_NONE},
};

START_TEST(every_value_has_its_type) { /* _i walks type_cases */
    ck_assert_msg(imi_json_type(imi_slice_of(type_cases[_i].value)) == type_cases[_i].type, "%s",
                  type_cases[_i].value);
}
END_TEST

static const struct {
    const char *value, *text; /* NULL: none */
    bool is_plain;
} text_cases[] = {
    {"\"cat\"", "cat", true},
    {" \"cat\" ", "cat", true},
    {"\"\"", "", true},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", false},
    {"\"a\\u0041b\\u00e4\\u732b\\ud83d\\udc08c\"", "aAbä猫🐈c", false},
    {"\"\\uFFFF\\u0080\\u07ff\\u0800\"", "\xEF\xBF\xBF\xC2\x80\xDF\xBF\xE0\xA0\x80", false},
    {"\"a\\u0000b\"", NULL, false}, /* would end the text too early */
    {"\"\\ud83d\"", NULL, false},
    {"\"\\x\"", NULL, false},
    {"\"abc", NULL, false},
    {"\"", NULL, false},
    {"\"abc\\\"", NULL, false},
    {"\"a\" \"b\"", NULL, false},
    {"1", NULL, false},
    {"null", NULL, false},
    {"", NULL, false},
    {NULL, NULL, false},
};

START_TEST(text_from_a_string) { /* _i walks text_cases */
    const char *expected = text_cases[_i].text;
    imi_slice_t value = imi_slice_of(text_cases[_i].value), plain = imi_json_plain_text(value);
    imi_arena_t arena;
    size_t size = 0;
    const char *text = NULL;
    imi_arena_init(&arena, NULL, 0);
    text = imi_json_text(&arena, value, &size);
    ck_assert_pstr_eq(text, expected);
    ck_assert_uint_eq(size, expected == NULL ? 0 : strlen(expected));
    ck_assert_msg((plain.data != NULL) == text_cases[_i].is_plain, "%s", text_cases[_i].value);
    if (plain.data != NULL)
        ck_assert(imi_slice_equals(plain, expected));
    imi_arena_reset(&arena);
}
END_TEST

/* RFC 3629, section 3. */
static void expect_utf8(uint32_t c, char out[5]) {
    size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char leads[] = {0, 0x00, 0xC0, 0xE0, 0xF0};
    for (size_t i = 0; i < size; i++) {
        uint32_t bits = c >> (6 * (size - 1 - i));
        out[i] = (char)(unsigned char)(i == 0 ? leads[size] | bits : 0x80 | (bits & 0x3F));
    }
    out[size] = '\0';
}

START_TEST(what_is_absent_has_no_text) {
    imi_arena_t arena;
    imi_arena_init(&arena, NULL, 0);
    ck_assert_ptr_null(imi_json_text(&arena, imi_slice_of(NULL), NULL));
    ck_assert_ptr_null(imi_json_plain_text(imi_slice_of(NULL)).data);
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(every_escaped_unit_is_its_character_or_refused) { /* _i: lower or upper case */
    imi_arena_t arena;
    imi_arena_init(&arena, NULL, 0);
    for (unsigned unit = 1; unit <= 0xFFFF; unit++) {
        char value[16], expected[5];
        bool is_surrogate = unit >= 0xD800 && unit <= 0xDFFF;
        const char *text = NULL;
        snprintf(value, sizeof(value), _i == 0 ? "\"\\u%04x\"" : "\"\\u%04X\"", unit);
        text = imi_json_text(&arena, imi_slice_of(value), NULL);
        expect_utf8(unit, expected);
        ck_assert_msg((text == NULL) == is_surrogate, "%s", value);
        ck_assert_msg(is_surrogate || strcmp(text, expected) == 0, "%s", value);
        ck_assert_msg(imi_json_valid(imi_slice_of(value), 1, NULL) == !is_surrogate, "%s", value);
        imi_arena_reset(&arena);
    }
}
END_TEST

static const unsigned surrogate_edges[] = {0xD7FF, 0xD800, 0xD801, 0xDBFF, 0xDC00,
                                           0xDC01, 0xDFFE, 0xDFFF, 0xE000};

START_TEST(only_a_high_and_a_low_surrogate_make_a_pair) { /* _i walks surrogate_edges twice */
    const unsigned high = surrogate_edges[_i / COUNT_OF(surrogate_edges)];
    const unsigned low = surrogate_edges[_i % COUNT_OF(surrogate_edges)];
    bool is_pair = high >= 0xD800 && high <= 0xDBFF && low >= 0xDC00 && low <= 0xDFFF;
    bool is_none = (high < 0xD800 || high > 0xDFFF) && (low < 0xD800 || low > 0xDFFF);
    char value[16], expected[5];
    imi_slice_t key = {value + 1, 12};
    snprintf(value, sizeof(value), "\"\\u%04x\\u%04x\"", high, low);
    ck_assert_msg(imi_json_valid(imi_slice_of(value), 1, NULL) == (is_pair || is_none), "%s",
                  value);
    expect_utf8(0x10000 + ((high & 0x3FF) << 10 | (low & 0x3FF)), expected);
    ck_assert_msg(imi_json_key_is(key, expected) == is_pair, "%s", value);
    value[7] = 'x'; /* in place of the second backslash */
    ck_assert_msg(imi_json_valid(imi_slice_of(value), 1, NULL) == (high < 0xD800 || high > 0xDFFF),
                  "%s", value);
    value[7] = '\\';
    value[8] = 'x';
    ck_assert_msg(!imi_json_valid(imi_slice_of(value), 1, NULL), "%s", value);
}
END_TEST

static const struct {
    const char *value;
    bool is_number, is_whole;
    double number;
    int64_t whole;
} number_cases[] = {
    {"3", true, true, 3, 3},
    {"3.0", true, true, 3, 3},
    {"3e0", true, true, 3, 3},
    {"30e-1", true, true, 3, 3},
    {"-7", true, true, -7, -7},
    {"-0.0", true, true, 0, 0},
    {"3.5", true, false, 3.5, 0},
    {"1e3", true, true, 1000, 1000},
    {"9007199254740993", true, true, 9007199254740992.0, 9007199254740993},
    {"9223372036854775807", true, true, 9223372036854775808.0, INT64_MAX},
    {"-9223372036854775808", true, true, -9223372036854775808.0, INT64_MIN},
    {"-9223372036854775808.0", true, true, -9223372036854775808.0, INT64_MIN},
    {"9223372036854775808", true, false, 9223372036854775808.0, 0},
    {"9223372036854775808.0", true, false, 9223372036854775808.0, 0},
    {"1e300", true, false, 1e300, 0},
    {"1e999", false, false, 0, 0},
    {"007", false, false, 0, 0},
    {"\"3\"", false, false, 0, 0},
    {"null", false, false, 0, 0},
    {"", false, false, 0, 0},
    {NULL, false, false, 0, 0},
};

START_TEST(numbers_from_text) { /* _i walks number_cases */
    imi_slice_t value = imi_slice_of(number_cases[_i].value);
    double number = 0;
    int64_t whole = 0;
    ck_assert_msg(imi_json_number(value, &number) == number_cases[_i].is_number, "%s", value.data);
    ck_assert_msg(imi_json_whole_number(value, &whole) == number_cases[_i].is_whole, "%s",
                  value.data);
    if (number_cases[_i].is_number)
        ck_assert_double_eq(number, number_cases[_i].number);
    if (number_cases[_i].is_whole)
        ck_assert_int_eq(whole, number_cases[_i].whole);
}
END_TEST

START_TEST(booleans_are_two_words) {
    bool flag = false;
    ck_assert(imi_json_bool(imi_slice_of("true"), &flag) && flag);
    ck_assert(imi_json_bool(imi_slice_of(" false "), &flag) && !flag);
    ck_assert(!imi_json_bool(imi_slice_of("1"), &flag));
    ck_assert(!imi_json_bool(imi_slice_of("truex"), &flag));
    ck_assert(!imi_json_bool(imi_slice_of(NULL), &flag));
}
END_TEST

START_TEST(what_is_written_has_its_commas) {
    imi_buf_t buf;
    imi_json_writer_t writer;
    imi_buf_init(&buf, NULL, 0);
    imi_json_begin(&writer, &buf);
    imi_json_open_object(&writer, NULL);
    imi_json_put_text(&writer, "model", "flux");
    imi_json_put_text(&writer, "none", NULL);
    imi_json_put_slice(&writer, "part", (imi_slice_t){"flux", 2});
    imi_json_put_slice(&writer, "absent", imi_slice_of(NULL));
    imi_json_open_array(&writer, "list");
    imi_json_put_int(&writer, NULL, INT64_MIN);
    imi_json_put_number(&writer, NULL, 3.5);
    imi_json_open_object(&writer, NULL);
    imi_json_close_object(&writer);
    imi_json_open_array(&writer, NULL);
    imi_json_put_bool(&writer, NULL, true);
    imi_json_close_array(&writer);
    imi_json_put_null(&writer, NULL);
    imi_json_close_array(&writer);
    imi_json_put_bool(&writer, "no", false);
    imi_json_put_raw(&writer, "raw", imi_slice_of("{\"a\": 1}"));
    imi_json_put_raw(&writer, "nothing", imi_slice_of(NULL));
    imi_json_put_base64(&writer, "bytes", NULL, "\0\xFF?", 3);
    imi_json_put_base64(&writer, "address", "data:image/gif;base64,", "GIF8", 4);
    imi_json_put_base64(&writer, "empty", NULL, "", 0);
    imi_json_put_number(&writer, "a \"quoted\" key", 1e21);
    imi_json_close_object(&writer);
    ck_assert_int_eq(buf.error, 0);
    ck_assert_str_eq(buf.data, "{\"model\":\"flux\",\"none\":null,\"part\":\"fl\",\"absent\":null,"
                               "\"list\":[-9223372036854775808,3.5,{},[true],null],\"no\":false,"
                               "\"raw\":{\"a\": 1},\"nothing\":null,\"bytes\":\"AP8/\","
                               "\"address\":\"data:image/gif;base64,R0lGOA==\",\"empty\":\"\",\"a "
                               "\\\"quoted\\\" key\":1e+21}");
    ck_assert(imi_json_valid((imi_slice_t){buf.data, buf.size}, 3, NULL));
    imi_buf_reset(&buf);
}
END_TEST

static const struct {
    const char *text, *escaped;
} escape_cases[] = {
    {"plain / text", "plain / text"},
    {"\"\\", "\\\"\\\\"},
    {"\b\f\n\r\t", "\\b\\f\\n\\r\\t"},
    {"\x01\x1F\x7F", "\\u0001\\u001f\x7F"},
    {"猫 🐈", "猫 🐈"},
    {"a\xFFz", "a\xEF\xBF\xBDz"},
    {"a\xE7\x8Cz\xE7\x8C", "a\xEF\xBF\xBDz\xEF\xBF\xBD"},
    {"a\xED\xA0\x80", "a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
};

START_TEST(text_is_escaped) { /* _i walks escape_cases */
    imi_buf_t buf;
    imi_buf_init(&buf, NULL, 0);
    ck_assert_int_eq(imi_json_escape(&buf, escape_cases[_i].text, strlen(escape_cases[_i].text)),
                     0);
    ck_assert_str_eq(buf.data, escape_cases[_i].escaped);
    imi_buf_reset(&buf);
}
END_TEST

START_TEST(every_control_is_escaped_and_comes_back) {
    imi_arena_t arena;
    imi_arena_init(&arena, NULL, 0);
    for (char c = 1; c < 0x20; c++) {
        char text[] = {'a', c, 'b', '\0'};
        imi_buf_t buf;
        imi_buf_init(&buf, NULL, 0);
        imi_buf_append_byte(&buf, '"');
        ck_assert_int_eq(imi_json_escape(&buf, text, 3), 0);
        imi_buf_append_byte(&buf, '"');
        ck_assert(imi_json_valid((imi_slice_t){buf.data, buf.size}, 1, NULL));
        ck_assert_str_eq(imi_json_text(&arena, (imi_slice_t){buf.data, buf.size}, NULL), text);
        imi_buf_reset(&buf);
    }
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(an_escaped_text_may_be_too_large) {
    static const char text[] = "\x01\x01\x01";
    for (size_t size_max = 1; size_max <= 18; size_max++) {
        imi_buf_t buf;
        imi_buf_init(&buf, NULL, size_max);
        ck_assert_int_eq(imi_json_escape(&buf, text, 3), size_max < 18 ? IMI_BUF_TOO_LARGE : 0);
        imi_buf_reset(&buf);
    }
}
END_TEST

START_TEST(any_text_survives_writing_and_reading) { /* _i: the seed */
    uint64_t seed = (uint64_t)_i;
    for (int round = 0; round < 100; round++) {
        static const char *const pieces[] = {"a",    "\"", "\\", "\n",
                                             "\x01", "猫", "🐈",  "0123456789"};
        imi_buf_t text, json;
        imi_json_writer_t writer;
        imi_arena_t arena;
        size_t size = 0;
        imi_arena_init(&arena, NULL, 0);
        imi_buf_init(&text, NULL, 0);
        imi_buf_init(&json, NULL, 0);
        imi_buf_append(&text, NULL, 0);
        for (size_t i = random_below(&seed, 30); i > 0; i--)
            imi_buf_append_text(&text, pieces[random_below(&seed, 8)]);
        imi_json_begin(&writer, &json);
        imi_json_put_text(&writer, NULL, text.data);
        ck_assert_msg(imi_json_valid((imi_slice_t){json.data, json.size}, 1, NULL), "seed %d", _i);
        ck_assert_str_eq(imi_json_text(&arena, (imi_slice_t){json.data, json.size}, &size),
                         text.data);
        ck_assert_uint_eq(size, text.size);
        imi_buf_reset(&text);
        imi_buf_reset(&json);
        imi_arena_reset(&arena);
    }
}
END_TEST

START_TEST(sixty_three_levels_can_be_written_and_no_more) {
    for (int depth = 62; depth < 70; depth++) {
        imi_buf_t buf;
        imi_json_writer_t writer;
        imi_buf_init(&buf, NULL, 0);
        imi_json_begin(&writer, &buf);
        for (int i = 0; i < depth; i++) {
            imi_json_open_array(&writer, NULL);
            imi_json_put_null(&writer, NULL);
        }
        for (int i = 0; i < depth; i++)
            imi_json_close_array(&writer);
        ck_assert_int_eq(buf.error, depth <= IMI_JSON_WRITER_DEPTH_MAX ? 0 : IMI_BUF_TOO_LARGE);
        ck_assert(buf.error != 0 || imi_json_valid((imi_slice_t){buf.data, buf.size}, depth, NULL));
        imi_buf_reset(&buf);
    }
}
END_TEST

/* A document of random shape, written with the writer. */
static void write_random(imi_json_writer_t *writer, const char *key, uint64_t *seed, int depth) {
    static const char *const texts[] = {"", "a", "data", "\"\\\n", "猫", "a\\u0000"};
    size_t kind = random_below(seed, depth > 0 ? 7 : 5);
    switch (kind) {
    case 0:
        imi_json_put_null(writer, key);
        break;
    case 1:
        imi_json_put_bool(writer, key, random_below(seed, 2) == 0);
        break;
    case 2:
        imi_json_put_int(writer, key, (int64_t)random_next(seed));
        break;
    case 3:
        imi_json_put_number(writer, key, (double)(int64_t)random_next(seed) / 4096);
        break;
    case 4:
        imi_json_put_text(writer, key, texts[random_below(seed, 6)]);
        break;
    case 5:
        imi_json_open_array(writer, key);
        for (size_t i = random_below(seed, 5); i > 0; i--)
            write_random(writer, NULL, seed, depth - 1);
        imi_json_close_array(writer);
        break;
    default:
        imi_json_open_object(writer, key);
        for (size_t i = random_below(seed, 5); i > 0; i--)
            write_random(writer, texts[random_below(seed, 6)], seed, depth - 1);
        imi_json_close_object(writer);
    }
}

/* The same document again, written from what the readers find in it. */
static void copy_value(imi_json_writer_t *writer, const char *key, imi_slice_t value) {
    imi_json_cursor_t cursor = imi_json_walk(value);
    imi_slice_t raw_key = {NULL, 0}, item = {NULL, 0};
    imi_arena_t arena;
    double number = 0;
    int64_t whole = 0;
    bool flag = false;
    imi_arena_init(&arena, NULL, 0);
    switch (imi_json_type(value)) {
    case IMI_JSON_NONE:
        ck_abort_msg("no value: %.*s", (int)value.size, value.data);
        break;
    case IMI_JSON_NULL:
        imi_json_put_null(writer, key);
        break;
    case IMI_JSON_BOOL:
        ck_assert(imi_json_bool(value, &flag));
        imi_json_put_bool(writer, key, flag);
        break;
    case IMI_JSON_NUMBER:
        ck_assert(imi_json_number(value, &number));
        if (imi_json_whole_number(value, &whole))
            imi_json_put_int(writer, key, whole);
        else
            imi_json_put_number(writer, key, number);
        break;
    case IMI_JSON_STRING:
        imi_json_put_text(writer, key, imi_json_text(&arena, value, NULL));
        break;
    case IMI_JSON_ARRAY:
        imi_json_open_array(writer, key);
        while (imi_json_next_item(&cursor, &item))
            copy_value(writer, NULL, item);
        imi_json_close_array(writer);
        break;
    case IMI_JSON_OBJECT:
        imi_json_open_object(writer, key);
        while (imi_json_next_member(&cursor, &raw_key, &item)) {
            imi_slice_t quoted = {raw_key.data - 1, raw_key.size + 2};
            const char *name = imi_json_text(&arena, quoted, NULL);
            ck_assert(imi_json_key_is(raw_key, name));
            copy_value(writer, name, item);
        }
        imi_json_close_object(writer);
    }
    imi_arena_reset(&arena);
}

START_TEST(a_document_of_any_shape_survives_writing_and_reading) { /* _i: the seed */
    uint64_t seed = (uint64_t)_i;
    imi_buf_t first, second;
    imi_json_writer_t writer;
    imi_buf_init(&first, NULL, 0);
    imi_buf_init(&second, NULL, 0);
    imi_json_begin(&writer, &first);
    imi_json_open_array(&writer, NULL);
    for (int i = 0; i < 10; i++)
        write_random(&writer, NULL, &seed, 6);
    imi_json_close_array(&writer);
    ck_assert_int_eq(first.error, 0);
    ck_assert_msg(imi_json_valid((imi_slice_t){first.data, first.size}, 7, NULL), "seed %d: %s", _i,
                  first.data);
    imi_json_begin(&writer, &second);
    copy_value(&writer, NULL, (imi_slice_t){first.data, first.size});
    ck_assert_str_eq(second.data, first.data);
    imi_buf_reset(&first);
    imi_buf_reset(&second);
}
END_TEST

START_TEST(without_memory_text_is_null_and_writing_fails) {
    bool has_failed = true;
    for (size_t n = 1; has_failed; n++) {
        failing_mem_t failing;
        imi_arena_t arena;
        imi_buf_t buf;
        imi_json_writer_t writer;
        failing_mem_init(&failing, n);
        imi_arena_init(&arena, &failing.mem, 0);
        imi_buf_init(&buf, &failing.mem, 0);
        imi_json_begin(&writer, &buf);
        imi_json_open_object(&writer, NULL);
        for (int i = 0; i < 20; i++)
            imi_json_put_text(&writer, "prompt", "a \"cat\" on the wall");
        imi_json_close_object(&writer);
        has_failed = failing.has_failed;
        ck_assert_int_eq(buf.error, has_failed ? IMI_BUF_NOMEM : 0);
        if (!has_failed) {
            const char *text = imi_json_text(&arena, imi_slice_of("\"cat\\n\""), NULL);
            has_failed = failing.has_failed;
            ck_assert_pstr_eq(text, has_failed ? NULL : "cat\n");
        }
        imi_buf_reset(&buf);
        imi_arena_reset(&arena);
        ck_assert_uint_eq(failing.live_count, 0);
    }
}
END_TEST

static Suite *json_suite(void) {
    Suite *suite = suite_create("json");
    TCase *check = tcase_create("check"), *read = tcase_create("read");
    TCase *write = tcase_create("write");
    tcase_add_loop_test(check, json_is_told_from_what_is_none, 0, COUNT_OF(check_cases));
    tcase_add_test(check, a_nul_is_a_byte_like_any_other_wrong_one);
    tcase_add_test(check, only_three_kinds_of_bytes_cannot_stand_in_a_string);
    tcase_add_loop_test(check, depth_is_bounded, 1, 600);
    tcase_add_loop_test(check, brackets_are_remembered_at_every_depth, 0, 20);
    suite_add_tcase(suite, check);
    tcase_add_loop_test(read, a_path_leads_to_the_raw_value, 0, COUNT_OF(get_cases));
    tcase_add_test(read, no_path_is_the_document_itself);
    tcase_add_test(read, a_path_has_at_most_sixteen_steps);
    tcase_add_test(read, no_beginning_of_a_document_is_one_and_readers_stay_inside);
    tcase_add_loop_test(read, readers_stay_inside_broken_documents, 0, 20);
    tcase_add_test(read, a_broken_document_has_nothing);
    tcase_add_loop_test(read, a_large_string_is_skipped_whatever_stands_in_it, 0, 12);
    tcase_add_loop_test(read, an_index_changes_no_answer, 0, IMI_JSON_INDEX_MAX + 2);
    tcase_add_test(read, members_and_items_come_in_order);
    tcase_add_loop_test(read, what_is_no_such_container_has_no_items, 0, COUNT_OF(not_walkable));
    tcase_add_loop_test(read, keys_are_compared_decoded, 0, COUNT_OF(key_cases));
    tcase_add_loop_test(read, every_value_has_its_type, 0, COUNT_OF(type_cases));
    tcase_add_loop_test(read, text_from_a_string, 0, COUNT_OF(text_cases));
    tcase_add_test(read, what_is_absent_has_no_text);
    tcase_add_loop_test(read, every_escaped_unit_is_its_character_or_refused, 0, 2);
    tcase_add_loop_test(read, only_a_high_and_a_low_surrogate_make_a_pair, 0,
                        COUNT_OF(surrogate_edges) * COUNT_OF(surrogate_edges));
    tcase_add_loop_test(read, numbers_from_text, 0, COUNT_OF(number_cases));
    tcase_add_test(read, booleans_are_two_words);
    suite_add_tcase(suite, read);
    tcase_add_test(write, what_is_written_has_its_commas);
    tcase_add_loop_test(write, text_is_escaped, 0, COUNT_OF(escape_cases));
    tcase_add_test(write, every_control_is_escaped_and_comes_back);
    tcase_add_test(write, an_escaped_text_may_be_too_large);
    tcase_add_loop_test(write, any_text_survives_writing_and_reading, 0, 10);
    tcase_add_test(write, sixty_three_levels_can_be_written_and_no_more);
    tcase_add_loop_test(write, a_document_of_any_shape_survives_writing_and_reading, 0, 50);
    tcase_add_test(write, without_memory_text_is_null_and_writing_fails);
    suite_add_tcase(suite, write);
    return suite;
}

IMI_CHECK_MAIN(json_suite)
