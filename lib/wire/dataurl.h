/* dataurl.h: "data:" addresses (RFC 2397), and what a picture is by its first bytes. */
#ifndef IMI_WIRE_DATAURL_H
#define IMI_WIRE_DATAURL_H

#include <stdbool.h>
#include <stddef.h>

#include "wire/arena.h"
#include "wire/buf.h"
#include "wire/str.h"

typedef struct imi_dataurl {
    imi_slice_t mime; /* lower case is not forced; empty when none was given */
    imi_slice_t payload;
    bool is_base64;
} imi_dataurl_t;

/* By the scheme alone, in any case (RFC 3986, section 3.1). */
bool imi_is_dataurl(const char *url);
bool imi_dataurl_parse(imi_slice_t url, imi_dataurl_t *out); /* false: not a data: URL */
/* Decoded bytes in the arena; NULL when broken or memory is out (*out_is_nomem tells which). */
void *imi_dataurl_decode(imi_arena_t *arena, const imi_dataurl_t *url, size_t *out_size,
                         bool *out_is_nomem);
int imi_dataurl_encode(imi_buf_t *out, const char *mime, const void *data, size_t size);

/* "image/png", "image/jpeg", "image/webp", "image/gif", "image/avif", "video/mp4", "video/webm";
 * NULL: none of them. */
const char *imi_sniff_mime(const void *data, size_t size);
bool imi_mime_is_picture(const char *mime); /* any "image/…"; NULL is none */

#endif
