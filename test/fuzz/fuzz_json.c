/* fuzz_json.c: any bytes at all.
 *
 *   The readers stay inside what they were given, valid or not. In a valid document every value is
 *   valid by itself and has a type; every text comes back from being written; and a copy written
 *   from what the readers find is valid and copies to itself. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/json.h"

#define DEPTH_MAX (IMI_JSON_WRITER_DEPTH_MAX - 1)
#define PROVE(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void prove_inside(imi_slice_t part, imi_slice_t whole) {
    PROVE(part.data != NULL || part.size == 0);
    PROVE(part.data == NULL || (part.data >= whole.data && part.size <= whole.size &&
                                (size_t)(part.data - whole.data) <= whole.size - part.size));
}

static void prove_readers_stay_inside(imi_arena_t *arena, imi_slice_t document) {
    static const char *const paths[] = {"", "a", "a.b", "a[0]", "[0]", "[1][0].a", "data[0].url"};
    imi_json_cursor_t members = imi_json_walk(document), items = imi_json_walk(document);
    imi_slice_t key = {NULL, 0}, value = {NULL, 0};
    double number = 0;
    int64_t whole = 0;
    bool flag = false;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        value = imi_json_get(document, paths[i]);
        prove_inside(value, document);
        prove_inside(imi_json_plain_text(value), document);
        imi_json_text(arena, value, NULL);
        imi_json_number(value, &number);
        imi_json_whole_number(value, &whole);
        imi_json_bool(value, &flag);
    }
    while (imi_json_next_member(&members, &key, &value)) {
        prove_inside(key, document);
        prove_inside(value, document);
        imi_json_key_is(key, "a\n\xC3\xA4");
    }
    while (imi_json_next_item(&items, &value))
        prove_inside(value, document);
}

/* NULL only for a text with an escaped NUL. */
static char *prove_text(imi_arena_t *arena, imi_slice_t value) {
    size_t size = 0, again_size = 0;
    const char *again = NULL;
    char *text = imi_json_text(arena, value, &size);
    imi_slice_t plain = imi_json_plain_text(value);
    imi_json_writer_t writer;
    imi_buf_t buf;
    if (text == NULL) {
        PROVE(memmem(value.data, value.size, "\\u0000", 6) != NULL);
        return NULL;
    }
    PROVE(strlen(text) == size && imi_utf8_valid(text, size));
    PROVE(plain.data == NULL || (plain.size == size && memcmp(plain.data, text, size) == 0));
    PROVE(imi_json_key_is((imi_slice_t){value.data + 1, value.size - 2}, text));
    imi_buf_init(&buf, NULL, 0);
    imi_json_begin(&writer, &buf);
    imi_json_put_text(&writer, NULL, text);
    PROVE(imi_json_valid((imi_slice_t){buf.data, buf.size}, 1, NULL));
    again = imi_json_text(arena, (imi_slice_t){buf.data, buf.size}, &again_size);
    PROVE(again != NULL && again_size == size && memcmp(again, text, size) == 0);
    imi_buf_reset(&buf);
    return text;
}

static void copy_number(imi_json_writer_t *writer, const char *key, imi_slice_t value) {
    double number = 0, again = 0;
    int64_t whole = 0;
    char text[32];
    if (!imi_json_number(value, &number)) { /* too large for a double: no more than its text */
        imi_json_put_raw(writer, key, value);
        return;
    }
    PROVE(imi_format_double(text, number) == strlen(text));
    PROVE(imi_parse_double(imi_slice_of(text), &again));
    PROVE(memcmp(&again, &number, sizeof(number)) == 0);
    if (imi_json_whole_number(value, &whole))
        imi_json_put_int(writer, key, whole);
    else
        imi_json_put_number(writer, key, number);
}

/* Recursion ends at DEPTH_MAX, to which the document was checked. */
static void copy_value(imi_arena_t *arena, imi_json_writer_t *writer, const char *key,
                       imi_slice_t value, int depth_left) {
    imi_json_cursor_t cursor = imi_json_walk(value);
    imi_slice_t raw_key = {NULL, 0}, item = {NULL, 0};
    bool flag = false;
    PROVE(imi_json_valid(value, depth_left, NULL));
    switch (imi_json_type(value)) {
    case IMI_JSON_NONE:
        PROVE(imi_json_type(value) != IMI_JSON_NONE);
        break;
    case IMI_JSON_NULL:
        imi_json_put_null(writer, key);
        break;
    case IMI_JSON_BOOL:
        PROVE(imi_json_bool(value, &flag));
        imi_json_put_bool(writer, key, flag);
        break;
    case IMI_JSON_NUMBER:
        copy_number(writer, key, value);
        break;
    case IMI_JSON_STRING:
        imi_json_put_text(writer, key, prove_text(arena, value));
        break;
    case IMI_JSON_ARRAY:
        imi_json_open_array(writer, key);
        while (imi_json_next_item(&cursor, &item))
            copy_value(arena, writer, NULL, item, depth_left - 1);
        imi_json_close_array(writer);
        break;
    case IMI_JSON_OBJECT:
        imi_json_open_object(writer, key);
        while (imi_json_next_member(&cursor, &raw_key, &item)) {
            const char *name = prove_text(arena, (imi_slice_t){raw_key.data - 1, raw_key.size + 2});
            copy_value(arena, writer, name == NULL ? "" : name, item, depth_left - 1);
        }
        imi_json_close_object(writer);
        break;
    }
}

static void prove_copies_agree(imi_arena_t *arena, imi_slice_t document) {
    imi_json_writer_t writer;
    imi_buf_t first, second;
    imi_buf_init(&first, NULL, 0);
    imi_buf_init(&second, NULL, 0);
    imi_json_begin(&writer, &first);
    copy_value(arena, &writer, NULL, document, DEPTH_MAX);
    PROVE(first.error == 0);
    imi_json_begin(&writer, &second);
    copy_value(arena, &writer, NULL, (imi_slice_t){first.data, first.size}, DEPTH_MAX);
    PROVE(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
    imi_buf_reset(&first);
    imi_buf_reset(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    imi_slice_t document = {(const char *)data, size};
    imi_arena_t arena;
    size_t at = SIZE_MAX;
    bool is_valid = imi_json_valid(document, DEPTH_MAX, &at);
    PROVE(is_valid ? at == size : at <= size);
    imi_arena_init(&arena, NULL, 0);
    prove_readers_stay_inside(&arena, document);
    if (is_valid)
        prove_copies_agree(&arena, imi_json_get(document, ""));
    imi_arena_reset(&arena);
    return 0;
}
