/* json.h: JSON (RFC 8259) read where it lies, and written into a buffer. Nothing here builds a
 * tree: a picture of 8 MB inside an answer is found and passed on as a slice. Trees (the catalogue)
 * are cJSON's. */
#ifndef IMI_WIRE_JSON_H
#define IMI_WIRE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/arena.h"
#include "wire/buf.h"
#include "wire/str.h"

enum {
    IMI_JSON_DEPTH_MAX = 512,       /* of what can be checked */
    IMI_JSON_WRITER_DEPTH_MAX = 63, /* of what can be written */
    IMI_JSON_PATH_STEPS_MAX = 16    /* names and indexes in a path */
};

typedef enum imi_json_type {
    IMI_JSON_NONE, /* absent */
    IMI_JSON_NULL,
    IMI_JSON_BOOL,
    IMI_JSON_NUMBER,
    IMI_JSON_STRING,
    IMI_JSON_ARRAY,
    IMI_JSON_OBJECT
} imi_json_type_t;

/* Strict check of a whole document: grammar, UTF-8, escapes (lone surrogates are refused), nesting
 * of at most depth_max (1 is "{}"; at most IMI_JSON_DEPTH_MAX), nothing behind it. *out_at (may be
 * NULL): where it breaks. */
bool imi_json_valid(imi_slice_t document, int depth_max, size_t *out_at);

/* The readers below take valid JSON, white space around it included; on anything else they find
 * nothing or what looks right, but stay inside it. */
imi_json_type_t imi_json_type(imi_slice_t value);

/* A value by path, as "data[0].image.url" or "[0][1]"; the absent slice when there is none. Names
 * with dots are out of reach of a path: use the iterators. Of members with one name the last
 * wins. The slice is the raw value: a string keeps its quotes. "" is the document itself. */
imi_slice_t imi_json_get(imi_slice_t document, const char *path);

/* Where the long strings of a document lie (pictures, mostly), so that those who read it again and
 * again step over them. Valid as long as the document stays where it is. */
#define IMI_JSON_INDEX_MAX 10
#define IMI_JSON_INDEXED_SIZE 16384 /* from this size on, quotes included */
typedef struct imi_json_index {
    size_t count;
    imi_slice_t strings[IMI_JSON_INDEX_MAX]; /* the first ones, with their quotes */
} imi_json_index_t;
void imi_json_index(imi_json_index_t *index, imi_slice_t document);
/* As imi_json_get. */
imi_slice_t imi_json_get_indexed(imi_slice_t document, const imi_json_index_t *index,
                                 const char *path);

/* Members of an object (key: decoded only of its quotes; compare with imi_json_key_is) and items
 * of an array, in order. Start with *cursor = the container. */
typedef struct imi_json_cursor {
    imi_slice_t rest;
    const imi_json_index_t *index; /* of the document around it; NULL: none */
    bool is_started;
} imi_json_cursor_t;
imi_json_cursor_t imi_json_walk(imi_slice_t container);
bool imi_json_next_member(imi_json_cursor_t *cursor, imi_slice_t *key, imi_slice_t *value);
bool imi_json_next_item(imi_json_cursor_t *cursor, imi_slice_t *value);
bool imi_json_key_is(imi_slice_t key, const char *name);

/* A string without its quotes and escapes; NULL when it is none, holds an escaped NUL, or memory
 * is out. */
char *imi_json_text(imi_arena_t *arena, imi_slice_t value, size_t *out_size);
/* The inside of a string that has no escapes, without a copy; absent otherwise. */
imi_slice_t imi_json_plain_text(imi_slice_t value);
bool imi_json_number(imi_slice_t value, double *out);
bool imi_json_whole_number(imi_slice_t value, int64_t *out); /* 3, 3.0 and 3e0; false for 3.5 */
bool imi_json_bool(imi_slice_t value, bool *out);

/* Writing: commas come by themselves; `key` is NULL inside an array and at the top. Errors stick
 * in the buffer; too deep a nesting is IMI_BUF_TOO_LARGE. Text that is not UTF-8 gets U+FFFD where
 * it breaks. */
typedef struct imi_json_writer {
    imi_buf_t *buf;
    uint64_t has_items; /* one bit per depth */
    int depth;
} imi_json_writer_t;
void imi_json_begin(imi_json_writer_t *writer, imi_buf_t *buf);
void imi_json_open_object(imi_json_writer_t *writer, const char *key);
void imi_json_close_object(imi_json_writer_t *writer);
void imi_json_open_array(imi_json_writer_t *writer, const char *key);
void imi_json_close_array(imi_json_writer_t *writer);
/* NULL, and the absent slice, are written as null. */
void imi_json_put_text(imi_json_writer_t *writer, const char *key, const char *text);
void imi_json_put_slice(imi_json_writer_t *writer, const char *key, imi_slice_t text);
void imi_json_put_int(imi_json_writer_t *writer, const char *key, int64_t value);
void imi_json_put_number(imi_json_writer_t *writer, const char *key, double value);
void imi_json_put_bool(imi_json_writer_t *writer, const char *key, bool value);
void imi_json_put_null(imi_json_writer_t *writer, const char *key);
void imi_json_put_raw(imi_json_writer_t *writer, const char *key, imi_slice_t json); /* as it is */
/* A string: `prefix` (NULL: none; as it is, without what needs escapes) and the base64 of `data`,
 * written where it will lie: a picture is not copied on the way. */
void imi_json_put_base64(imi_json_writer_t *writer, const char *key, const char *prefix,
                         const void *data, size_t data_size);
/* Only the escaped inside of a string, for texts that are put together. */
int imi_json_escape(imi_buf_t *buf, const char *data, size_t size);

#endif
