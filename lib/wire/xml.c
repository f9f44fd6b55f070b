/* xml.c: see xml.h. */
#include "wire/xml.h"

#include <string.h>

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Where the tag that begins at `at` ends (its '>'), looking over quoted values; NULL: nowhere. */
static const char *tag_end(const char *at, const char *end) {
    char quote = 0;
    for (; at < end; at++) {
        if (quote != 0)
            quote = *at == quote ? 0 : quote;
        else if (*at == '"' || *at == '\'')
            quote = *at;
        else if (*at == '>')
            return at;
    }
    return NULL;
}

/* Does the tag at '<' (or behind "</") have this name? */
static bool has_name(const char *at, const char *end, const char *name, size_t name_size) {
    if ((size_t)(end - at) <= name_size || memcmp(at, name, name_size) != 0)
        return false;
    return is_space(at[name_size]) || at[name_size] == '>' || at[name_size] == '/';
}

/* The end tag of this name; NULL: there is none. */
static const char *find_end_tag(const char *at, const char *end, const char *name,
                                size_t name_size) {
    while ((at = memchr(at, '<', (size_t)(end - at))) != NULL) {
        if (end - at > 2 && at[1] == '/' && has_name(at + 2, end, name, name_size))
            return at;
        at++;
    }
    return NULL;
}

bool imi_xml_next(imi_slice_t *rest, const char *name, imi_slice_t *out) {
    const char *at = rest->data, *end, *close, *last;
    size_t name_size = strlen(name);
    if (at == NULL)
        return false;
    end = at + rest->size;
    while ((at = memchr(at, '<', (size_t)(end - at))) != NULL) {
        at++;
        if (!has_name(at, end, name, name_size))
            continue;
        close = tag_end(at, end);
        if (close == NULL)
            return false;
        if (close[-1] == '/') {
            *out = (imi_slice_t){close, 0};
            *rest = (imi_slice_t){close + 1, (size_t)(end - close - 1)};
            return true;
        }
        last = find_end_tag(close + 1, end, name, name_size);
        at = last != NULL ? tag_end(last, end) : NULL;
        if (at == NULL)
            return false;
        *out = (imi_slice_t){close + 1, (size_t)(last - close - 1)};
        *rest = (imi_slice_t){at + 1, (size_t)(end - at - 1)};
        return true;
    }
    return false;
}

/* ---- entities ---------------------------------------------------------------------------------
 */

#define REFERENCE_SIZE_MAX 10 /* "#x10FFFF" and some zeros; what is longer is broken */

static const struct {
    const char *name;
    char character;
} entities[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};

static bool read_number(imi_slice_t digits, uint32_t base, uint32_t *out) {
    uint32_t number = 0;
    for (size_t i = 0; i < digits.size; i++) {
        char c = digits.data[i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : base;
        if (digit >= base)
            return false;
        number = number * base + digit;
        if (number > 0x10FFFF)
            return false;
    }
    *out = number;
    return digits.size > 0 && number > 0 && !(number >= 0xD800 && number <= 0xDFFF);
}

static size_t put_utf8(char *out, uint32_t code) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 63));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 63));
        out[2] = (char)(0x80 | (code & 63));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 63));
    out[2] = (char)(0x80 | (code >> 6 & 63));
    out[3] = (char)(0x80 | (code & 63));
    return 4;
}

/* What stands between '&' and ';'. Never longer than that: 0 for a broken one. */
static size_t read_reference(imi_slice_t inside, char out[4]) {
    uint32_t code = 0;
    for (size_t i = 0; i < sizeof(entities) / sizeof(entities[0]); i++) {
        if (imi_slice_equals(inside, entities[i].name)) {
            out[0] = entities[i].character;
            return 1;
        }
    }
    if (inside.size < 2 || inside.data[0] != '#')
        return 0;
    bool is_hex = inside.data[1] == 'x';
    imi_slice_t digits = {inside.data + 1 + is_hex, inside.size - 1 - is_hex};
    return read_number(digits, is_hex ? 16 : 10, &code) ? put_utf8(out, code) : 0;
}

char *imi_xml_text(imi_arena_t *arena, imi_slice_t text) {
    char *out = imi_arena_alloc(arena, text.size + 1);
    size_t size = 0;
    for (size_t at = 0; out != NULL && at < text.size;) {
        size_t left = text.size - at - 1;
        const char *semicolon;
        char piece[4];
        size_t piece_size;
        if (text.data[at] != '&') {
            out[size++] = text.data[at++];
            continue;
        }
        semicolon = memchr(text.data + at + 1, ';',
                           left < REFERENCE_SIZE_MAX + 1 ? left : REFERENCE_SIZE_MAX + 1);
        if (semicolon == NULL)
            return NULL;
        imi_slice_t inside = {text.data + at + 1, (size_t)(semicolon - text.data) - at - 1};
        piece_size = read_reference(inside, piece);
        if (piece_size == 0)
            return NULL;
        memcpy(out + size, piece, piece_size);
        size += piece_size;
        at += inside.size + 2;
    }
    if (out != NULL)
        out[size] = '\0';
    return out;
}

int imi_xml_escape(imi_buf_t *out, const char *text) {
    for (; *text != '\0'; text++) {
        size_t i = 0, count = sizeof(entities) / sizeof(entities[0]);
        while (i < count && entities[i].character != *text)
            i++;
        if (i < count)
            imi_buf_printf(out, "&%s;", entities[i].name);
        else if ((unsigned char)*text < ' ')
            imi_buf_printf(out, "&#%d;", *text);
        else
            imi_buf_append_byte(out, *text);
    }
    return out->error;
}
