/* json_scan.c: strings, escapes and scalars, never past the end that is given. */
#include "wire/json_scan.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "wire/str.h"

enum { PLAIN_BLOCK = 32 }; /* bytes that are looked at together */

const char *imi_json_skip_space(const char *at, const char *end) {
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

/* Sixteen bytes side by side, as gcc and clang know them on every machine. They are signed, so that
 * what is no ASCII is less than a space, too. */
typedef signed char lanes_t __attribute__((vector_size(16)));

static bool is_plain_block(const char block[PLAIN_BLOCK]) {
    lanes_t odd = {0};
    uint64_t words[2];
    for (size_t i = 0; i < PLAIN_BLOCK; i += sizeof(lanes_t)) {
        lanes_t lanes;
        memcpy(&lanes, block + i, sizeof(lanes));
        odd |= (lanes < ' ') | (lanes == '"') | (lanes == '\\');
    }
    memcpy(words, &odd, sizeof(words));
    return (words[0] | words[1]) == 0;
}

size_t imi_json_plain_run(const char *data, size_t size) {
    size_t at = 0;
    while (size - at >= PLAIN_BLOCK && is_plain_block(data + at))
        at += PLAIN_BLOCK;
    while (at < size && (unsigned char)data[at] >= 0x20 && (unsigned char)data[at] < 0x80 &&
           data[at] != '"' && data[at] != '\\')
        at++;
    return at;
}

/* Four hexadecimal digits, or -1. */
static int32_t read_hex4(const char *at, const char *end) {
    int32_t value = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        if (c >= '0' && c <= '9')
            value = value * 16 + (c - '0');
        else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
            value = value * 16 + ((c | 0x20) - 'a' + 10);
        else
            return -1;
    }
    return value;
}

static size_t put_utf8(int32_t character, char out[4]) {
    size_t size = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    static const unsigned char leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = size - 1; i > 0; i--) {
        out[i] = (char)(unsigned char)(0x80 | (character & 0x3F));
        character >>= 6;
    }
    out[0] = (char)(unsigned char)(leads[size] | character);
    return size;
}

/* What "\u" begins: one unit, or two that are a surrogate pair. Returns the size of the escape, 0
 * if it is broken. */
static size_t read_unicode_escape(const char *at, const char *end, char out[4], size_t *out_size) {
    int32_t unit = read_hex4(at + 2, end);
    int32_t low = 0;
    if (unit < 0 || (unit >= 0xDC00 && unit <= 0xDFFF))
        return 0;
    if (unit < 0xD800 || unit > 0xDBFF) {
        *out_size = put_utf8(unit, out);
        return 6;
    }
    if (end - at < 12 || at[6] != '\\' || at[7] != 'u')
        return 0;
    low = read_hex4(at + 8, end);
    if (low < 0xDC00 || low > 0xDFFF)
        return 0;
    *out_size = put_utf8(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00), out);
    return 12;
}

size_t imi_json_read_escape(const char *at, const char *end, char out[4], size_t *out_size) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *name = NULL;
    if (end - at < 2 || at[1] == '\0')
        return 0;
    if (at[1] == 'u')
        return read_unicode_escape(at, end, out, out_size);
    name = strchr(names, at[1]);
    if (name == NULL)
        return 0;
    out[0] = values[name - names];
    *out_size = 1;
    return 2;
}

static size_t literal_size(const char *at, const char *end) {
    static const char *const literals[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++) {
        size_t size = strlen(literals[i]);
        if ((size_t)(end - at) >= size && memcmp(at, literals[i], size) == 0)
            return size;
    }
    return 0;
}

size_t imi_json_scalar_size(const char *at, const char *end) {
    size_t size = literal_size(at, end);
    return size != 0 ? size : imi_number_size((imi_slice_t){at, (size_t)(end - at)});
}
