/* json.c: JSON for programs without a reader of their own: what this library answers, and texts on
 * their way into JSON. No client is needed. */
#include <string.h>

#include "imagine.h"
#include "wire/buf.h"
#include "wire/json.h"

static imi_slice_t value_at(const char *json, size_t json_size, const char *path) {
    imi_slice_t document = {json, json_size};
    if (json == NULL || path == NULL)
        return (imi_slice_t){NULL, 0};
    return imi_json_get(document, path);
}

/* In memory of malloc(), as imagine_free() wants it. */
static char *text_of(imi_slice_t value) {
    char *text = NULL, *copy;
    imi_arena_t arena;
    if (imi_json_type(value) != IMI_JSON_STRING)
        return NULL;
    imi_arena_init(&arena, NULL, 0);
    copy = imi_json_text(&arena, value, NULL);
    if (copy != NULL)
        text = imi_mem_strdup(NULL, copy);
    imi_arena_reset(&arena);
    return text;
}

char *imagine_json_text(const char *json, size_t json_size, const char *path) {
    return text_of(value_at(json, json_size, path));
}

int imagine_json_number(const char *json, size_t json_size, const char *path, double *out) {
    return imi_json_number(value_at(json, json_size, path), out) ? 1 : 0;
}

const char *imagine_json_value(const char *json, size_t json_size, const char *path,
                               size_t *out_size) {
    imi_slice_t value = value_at(json, json_size, path);
    if (imi_json_type(value) == IMI_JSON_NONE)
        value = (imi_slice_t){NULL, 0};
    *out_size = value.size;
    return value.data;
}

size_t imagine_json_count(const char *json, size_t json_size, const char *path) {
    imi_slice_t value = value_at(json, json_size, path), name, item;
    imi_json_cursor_t cursor;
    bool is_object = imi_json_type(value) == IMI_JSON_OBJECT;
    size_t count = 0;
    if (!is_object && imi_json_type(value) != IMI_JSON_ARRAY)
        return 0;
    cursor = imi_json_walk(value);
    while (is_object ? imi_json_next_member(&cursor, &name, &item)
                     : imi_json_next_item(&cursor, &item))
        count++;
    return count;
}

char *imagine_json_name(const char *json, size_t json_size, const char *path, size_t index) {
    imi_slice_t value = value_at(json, json_size, path), name, item;
    imi_json_cursor_t cursor;
    if (imi_json_type(value) != IMI_JSON_OBJECT)
        return NULL;
    cursor = imi_json_walk(value);
    while (imi_json_next_member(&cursor, &name, &item))
        if (index-- == 0)
            return text_of((imi_slice_t){name.data - 1, name.size + 2});
    return NULL;
}

char *imagine_json_quote(const char *text, size_t text_size) {
    imi_json_writer_t writer;
    imi_buf_t out;
    imi_buf_init(&out, NULL, 0);
    imi_json_begin(&writer, &out);
    imi_json_put_slice(&writer, NULL, (imi_slice_t){text, text != NULL ? text_size : 0});
    return imi_buf_take(&out, NULL);
}
