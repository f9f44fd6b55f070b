/* json_scan.h: the small steps that checking, reading and writing JSON share. */
#ifndef IMI_WIRE_JSON_SCAN_H
#define IMI_WIRE_JSON_SCAN_H

#include <stddef.h>

/* The first byte from `at` on that is no white space; `end` if there is none. */
const char *imi_json_skip_space(const char *at, const char *end);

/* How many bytes at the front stand for themselves inside a string: ASCII but '"', '\\' and
 * control characters. */
size_t imi_json_plain_run(const char *data, size_t size);

/* Reads the escape that begins at the backslash `at`, as UTF-8: the size of the escape, or 0 if it
 * is broken or half of a surrogate pair. */
size_t imi_json_read_escape(const char *at, const char *end, char out[4], size_t *out_size);

/* Numbers, true, false and null: the size of the one at the front, 0 if there is none. */
size_t imi_json_scalar_size(const char *at, const char *end);

#endif
