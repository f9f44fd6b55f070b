/* str.h: text and slices. ASCII rules only: never the locale's. */
#ifndef IMI_WIRE_STR_H
#define IMI_WIRE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/arena.h"
#include "wire/buf.h"

/* A view of bytes that somebody else owns. data NULL: absent, as different from empty. */
typedef struct imi_slice {
    const char *data;
    size_t size;
} imi_slice_t;

#define IMI_SLICE(literal) ((imi_slice_t){(literal), sizeof(literal) - 1})

imi_slice_t imi_slice_of(const char *text); /* NULL gives the absent slice */
bool imi_slice_equals(imi_slice_t slice, const char *text);
bool imi_slice_equals_nocase(imi_slice_t slice, const char *text);
imi_slice_t imi_slice_trim(imi_slice_t slice); /* spaces, tabs, CR, LF at both ends */

/* Takes what stands before the next `separator` off the front of `rest`; false when nothing is
 * left. "a,,b" gives "a", "", "b"; "a," gives "a" only. */
bool imi_slice_split(imi_slice_t *rest, char separator, imi_slice_t *out);

bool imi_text_equals_nocase(const char *a, const char *b);
bool imi_text_has_nocase(imi_slice_t text, const char *needle); /* needle is lower case */
bool imi_text_starts_with(const char *text, const char *prefix);

/* The whole slice must be the number. Decimal, optional minus; false when out of range. */
bool imi_parse_int64(imi_slice_t text, int64_t *out);
/* JSON's number grammar, whatever the locale says of the decimal point; false when too large. */
bool imi_parse_double(imi_slice_t text, double *out);
/* How many bytes at the front are a number by JSON's grammar; 0: none. */
size_t imi_number_size(imi_slice_t text);
/* Shortest text that reads back as the same number, with '.'; returns its length (at most 31).
 * Not finite: "null". */
size_t imi_format_double(char out[32], double value);

void imi_hex(char *out, const void *data, size_t size); /* lower case, 2 * size + NUL */

bool imi_utf8_valid(const char *data, size_t size);
/* The size of the character at the front, or of the ill-formed piece that U+FFFD stands for
 * (Unicode 15, table 3-7 and "maximal subpart"). size is at least 1. */
size_t imi_utf8_next(const char *data, size_t size, bool *is_valid);

/* RFC 3986: everything but unreserved characters is encoded; slashes stay if keep_slashes. */
int imi_percent_encode(imi_buf_t *out, const char *text, bool keep_slashes);
/* Decodes once; '+' stays unless plus_is_space. NULL for a broken escape, a NUL or no memory. */
char *imi_percent_decode(imi_arena_t *arena, imi_slice_t text, bool plus_is_space);
/* The same for bytes: NUL is one like the others. `out` has room for text.size bytes. */
bool imi_percent_decode_bytes(void *out, size_t *out_size, imi_slice_t text, bool plus_is_space);

/* Compares in time that depends on the sizes alone. */
bool imi_equals_constant_time(const void *a, size_t a_size, const void *b, size_t b_size);

/* What a stranger said, made fit for a log line and an answer: valid UTF-8 without control
 * characters and line separators (a run between words becomes one space), at most size_max bytes,
 * never cut inside a character. */
char *imi_text_clean(imi_arena_t *arena, const char *data, size_t size, size_t size_max);
/* In place: fit to stand between double quotes in a line of the log. */
void imi_text_make_quotable(char *text);

#endif
