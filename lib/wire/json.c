/* json.c: JSON read in one pass over the bytes, without a tree and without recursion.
 *
 * Readers come after imi_json_valid and trust its verdict: they skip a string by looking for its
 * closing quote only, a container by counting brackets, and so run over a picture as fast as
 * memchr does. What they trust is never more than what they find: every step ends at the end of
 * the slice. */
#include "wire/json.h"

#include <math.h>
#include <string.h>

#include "wire/json_scan.h"

/* What is read: up to where, and which of its strings need not be looked through again. */
typedef struct scope {
    const char *end;
    const imi_json_index_t *index; /* NULL: none */
} scope_t;

static const char *skip_known_string(const char *at, const scope_t *scope) {
    for (size_t i = 0; i < scope->index->count; i++) {
        imi_slice_t string = scope->index->strings[i];
        if (string.data == at && string.size <= (size_t)(scope->end - at))
            return at + string.size;
    }
    return NULL;
}

/* The place behind the string that begins at `at`; NULL if it does not end. A quote is the end
 * unless an odd number of backslashes stands before it. */
static const char *skip_string(const char *at, const scope_t *scope) {
    const char *from = at + 1, *end = scope->end;
    const char *known = scope->index != NULL ? skip_known_string(at, scope) : NULL;
    if (known != NULL)
        return known;
    for (;;) {
        const char *quote = memchr(from, '"', (size_t)(end - from));
        const char *slashes = quote;
        if (quote == NULL)
            return NULL;
        while (slashes > from && slashes[-1] == '\\')
            slashes--;
        if ((quote - slashes) % 2 == 0)
            return quote + 1;
        from = quote + 1;
    }
}

static const char *skip_container(const char *at, const scope_t *scope) {
    size_t depth = 0;
    while (at < scope->end) {
        switch (*at) {
        case '"':
            at = skip_string(at, scope);
            if (at == NULL)
                return NULL;
            break;
        case '{':
        case '[':
            depth++;
            at++;
            break;
        case '}':
        case ']':
            depth--;
            at++;
            if (depth == 0)
                return at;
            break;
        default:
            at++;
        }
    }
    return NULL;
}

/* The place behind the value that begins at `at`; NULL if none does. */
static const char *skip_value(const char *at, const scope_t *scope) {
    size_t size = 0;
    if (at == scope->end)
        return NULL;
    if (*at == '"')
        return skip_string(at, scope);
    if (*at == '{' || *at == '[')
        return skip_container(at, scope);
    size = imi_json_scalar_size(at, scope->end);
    return size == 0 ? NULL : at + size;
}

/* From behind a container's bracket, or behind one of its values, to the next value. */
typedef enum entry { ENTRY_BROKEN, ENTRY_END, ENTRY_VALUE } entry_t;

static entry_t next_entry(const char **at, const scope_t *scope, bool is_object, bool is_first,
                          imi_slice_t *key) {
    const char *end = scope->end;
    *at = imi_json_skip_space(*at, end);
    if (*at == end)
        return ENTRY_BROKEN;
    if (**at == (is_object ? '}' : ']')) {
        ++*at;
        return ENTRY_END;
    }
    if (!is_first) {
        if (**at != ',')
            return ENTRY_BROKEN;
        *at = imi_json_skip_space(*at + 1, end);
    }
    if (is_object) {
        const char *behind = *at < end && **at == '"' ? skip_string(*at, scope) : NULL;
        if (behind == NULL)
            return ENTRY_BROKEN;
        *key = (imi_slice_t){*at + 1, (size_t)(behind - *at) - 2};
        *at = imi_json_skip_space(behind, end);
        if (*at == end || **at != ':')
            return ENTRY_BROKEN;
        *at = imi_json_skip_space(*at + 1, end);
    }
    return ENTRY_VALUE;
}

imi_json_type_t imi_json_type(imi_slice_t value) {
    bool is_true = false;
    value = imi_slice_trim(value);
    if (value.size == 0)
        return IMI_JSON_NONE;
    switch (value.data[0]) {
    case '{':
        return IMI_JSON_OBJECT;
    case '[':
        return IMI_JSON_ARRAY;
    case '"':
        return IMI_JSON_STRING;
    case 't':
    case 'f':
        return imi_json_bool(value, &is_true) ? IMI_JSON_BOOL : IMI_JSON_NONE;
    case 'n':
        return imi_slice_equals(value, "null") ? IMI_JSON_NULL : IMI_JSON_NONE;
    default:
        return imi_number_size(value) == value.size ? IMI_JSON_NUMBER : IMI_JSON_NONE;
    }
}

/* Whether the inside of a string, decoded, is this text. */
static bool key_equals(imi_slice_t key, imi_slice_t text) {
    const char *at = key.data, *end = key.data + key.size;
    if (memchr(key.data, '\\', key.size) == NULL)
        return key.size == text.size && memcmp(key.data, text.data, text.size) == 0;
    while (at < end) {
        char decoded[4] = {*at};
        size_t decoded_size = 1;
        size_t step = *at == '\\' ? imi_json_read_escape(at, end, decoded, &decoded_size) : 1;
        if (step == 0 || decoded_size > text.size || memcmp(decoded, text.data, decoded_size) != 0)
            return false;
        at += step;
        text.data += decoded_size;
        text.size -= decoded_size;
    }
    return text.size == 0;
}

bool imi_json_key_is(imi_slice_t key, const char *name) {
    return key.data != NULL && key_equals(key, imi_slice_of(name));
}

typedef struct step {
    imi_slice_t name; /* absent: an index */
    size_t index;
} step_t;

/* The number of steps, or -1 if the path is none. */
static int parse_path(const char *path, step_t steps[IMI_JSON_PATH_STEPS_MAX]) {
    int count = 0;
    for (; *path != '\0'; count++) {
        step_t step = {.index = 0};
        if (count == IMI_JSON_PATH_STEPS_MAX)
            return -1;
        if (*path == '[') {
            size_t size = strcspn(++path, "]");
            int64_t index = 0;
            if (path[size] == '\0' || !imi_parse_int64((imi_slice_t){path, size}, &index) ||
                index < 0)
                return -1;
            step.index = (size_t)index;
            path += size + 1;
        } else {
            if (count > 0 && *path++ != '.')
                return -1;
            step.name = (imi_slice_t){path, strcspn(path, ".[")};
            if (step.name.size == 0)
                return -1;
            path += step.name.size;
        }
        steps[count] = step;
    }
    return count;
}

/* One pass over the whole document, because a later member of the same name hides an earlier one.
 * Containers on the path are entered, everything else is skipped. */
static imi_slice_t find(const char *at, const scope_t *scope, const step_t *steps, int step_count) {
    const imi_slice_t absent = {NULL, 0};
    imi_slice_t found = absent;
    size_t entry_counts[IMI_JSON_PATH_STEPS_MAX]; /* seen so far, per container we are in */
    int depth = 0;
    bool is_on_path = true; /* the first `depth` steps lead to the value at `at` */
    for (;;) {
        const char *begin = at;
        const step_t *step = NULL;
        imi_slice_t key = absent;
        entry_t entry = ENTRY_END;
        if (is_on_path && depth < step_count && at < scope->end &&
            *at == (steps[depth].name.data == NULL ? '[' : '{')) {
            entry_counts[depth++] = 0;
            at++;
        } else {
            at = skip_value(at, scope);
            if (at == NULL)
                return absent;
            if (is_on_path && depth == step_count)
                found = (imi_slice_t){begin, (size_t)(at - begin)};
        }
        while (depth > 0 && entry == ENTRY_END) {
            step = &steps[depth - 1];
            entry =
                next_entry(&at, scope, step->name.data != NULL, entry_counts[depth - 1] == 0, &key);
            if (entry == ENTRY_END)
                depth--;
        }
        if (depth == 0)
            return found;
        if (entry == ENTRY_BROKEN)
            return absent;
        is_on_path = step->name.data == NULL ? entry_counts[depth - 1] == step->index
                                             : key_equals(key, step->name);
        entry_counts[depth - 1]++;
        if (is_on_path)
            found = absent;
    }
}

imi_slice_t imi_json_get(imi_slice_t document, const char *path) {
    return imi_json_get_indexed(document, NULL, path);
}

imi_slice_t imi_json_get_indexed(imi_slice_t document, const imi_json_index_t *index,
                                 const char *path) {
    step_t steps[IMI_JSON_PATH_STEPS_MAX];
    int step_count = parse_path(path, steps);
    scope_t scope;
    document = imi_slice_trim(document);
    if (document.size == 0 || step_count < 0)
        return (imi_slice_t){NULL, 0};
    scope = (scope_t){document.data + document.size, index};
    return find(document.data, &scope, steps, step_count);
}

void imi_json_index(imi_json_index_t *index, imi_slice_t document) {
    const scope_t scope = {document.data + document.size, NULL};
    const char *at = document.data;
    index->count = 0;
    while (at < scope.end && index->count < IMI_JSON_INDEX_MAX) {
        const char *behind = *at == '"' ? skip_string(at, &scope) : at + 1;
        if (behind == NULL)
            return;
        if (behind - at >= IMI_JSON_INDEXED_SIZE)
            index->strings[index->count++] = (imi_slice_t){at, (size_t)(behind - at)};
        at = behind;
    }
}

imi_json_cursor_t imi_json_walk(imi_slice_t container) {
    return (imi_json_cursor_t){.rest = imi_slice_trim(container)};
}

static bool next_value(imi_json_cursor_t *cursor, bool is_object, imi_slice_t *key,
                       imi_slice_t *value) {
    const char *at = cursor->rest.data, *end = at == NULL ? NULL : at + cursor->rest.size;
    const scope_t scope = {end, cursor->index};
    bool is_first = !cursor->is_started;
    cursor->rest = (imi_slice_t){NULL, 0}; /* unless another value may follow */
    cursor->is_started = true;
    if (at == end || (is_first && *at++ != (is_object ? '{' : '[')) ||
        next_entry(&at, &scope, is_object, is_first, key) != ENTRY_VALUE)
        return false;
    value->data = at;
    at = skip_value(at, &scope);
    if (at == NULL)
        return false;
    value->size = (size_t)(at - value->data);
    cursor->rest = (imi_slice_t){at, (size_t)(end - at)};
    return true;
}

bool imi_json_next_member(imi_json_cursor_t *cursor, imi_slice_t *key, imi_slice_t *value) {
    return next_value(cursor, true, key, value);
}

bool imi_json_next_item(imi_json_cursor_t *cursor, imi_slice_t *value) {
    return next_value(cursor, false, NULL, value);
}

/* What stands between the quotes; absent if this is no string. */
static imi_slice_t string_inside(imi_slice_t value) {
    value = imi_slice_trim(value);
    if (value.size < 2 || value.data[0] != '"')
        return (imi_slice_t){NULL, 0};
    const scope_t scope = {value.data + value.size, NULL};
    if (skip_string(value.data, &scope) != scope.end)
        return (imi_slice_t){NULL, 0};
    return (imi_slice_t){value.data + 1, value.size - 2};
}

/* Into `out`, which is as long as the inside: no escape is shorter than what it stands for. */
static bool decode_string(imi_slice_t inside, char *out, size_t *out_size) {
    const char *at = inside.data, *end = inside.data + inside.size;
    char *to = out;
    while (at < end) {
        const char *slash = memchr(at, '\\', (size_t)(end - at));
        size_t plain_size = (size_t)((slash == NULL ? end : slash) - at);
        size_t decoded_size = 0, step = 0;
        char decoded[4];
        memcpy(to, at, plain_size);
        to += plain_size;
        at += plain_size;
        if (at == end)
            break;
        step = imi_json_read_escape(at, end, decoded, &decoded_size);
        if (step == 0 || decoded[0] == '\0')
            return false;
        memcpy(to, decoded, decoded_size);
        to += decoded_size;
        at += step;
    }
    *to = '\0';
    *out_size = (size_t)(to - out);
    return true;
}

char *imi_json_text(imi_arena_t *arena, imi_slice_t value, size_t *out_size) {
    imi_slice_t inside = string_inside(value);
    size_t size = 0;
    char *text = inside.data == NULL ? NULL : imi_arena_alloc(arena, inside.size + 1);
    if (text == NULL || !decode_string(inside, text, &size))
        return NULL;
    if (out_size != NULL)
        *out_size = size;
    return text;
}

/* A picture is looked at once. */
imi_slice_t imi_json_plain_text(imi_slice_t value) {
    imi_slice_t inside = imi_slice_trim(value);
    if (inside.size >= 2 && inside.data[0] == '"' && inside.data[inside.size - 1] == '"') {
        inside = (imi_slice_t){inside.data + 1, inside.size - 2};
        if (imi_json_plain_run(inside.data, inside.size) == inside.size)
            return inside;
    }
    inside = string_inside(value);
    if (inside.data != NULL && memchr(inside.data, '\\', inside.size) != NULL)
        return (imi_slice_t){NULL, 0};
    return inside;
}

bool imi_json_number(imi_slice_t value, double *out) {
    return imi_parse_double(imi_slice_trim(value), out);
}

bool imi_json_whole_number(imi_slice_t value, int64_t *out) {
    const double limit = 9223372036854775808.0; /* 2^63, the first that does not fit */
    double number = 0;
    value = imi_slice_trim(value);
    if (!imi_parse_double(value, &number) || !(number >= -limit && number <= limit))
        return false;
    if (imi_parse_int64(value, out)) /* exact where a double is not */
        return true;
    if (number >= limit || trunc(number) < number || trunc(number) > number)
        return false;
    *out = (int64_t)number;
    return true;
}

bool imi_json_bool(imi_slice_t value, bool *out) {
    value = imi_slice_trim(value);
    if (!imi_slice_equals(value, "true") && !imi_slice_equals(value, "false"))
        return false;
    *out = value.data[0] == 't';
    return true;
}
