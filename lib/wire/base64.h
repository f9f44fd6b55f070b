/* base64.h: RFC 4648, section 4. Several hundred MB/s and more: pictures pass through here. */
#ifndef IMI_WIRE_BASE64_H
#define IMI_WIRE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "wire/buf.h"
#include "wire/str.h"

size_t imi_base64_encoded_size(size_t data_size); /* without a NUL */
int imi_base64_encode(imi_buf_t *out, const void *data, size_t size);

/* Strict but for what providers really send: missing padding, line breaks and the URL alphabet are
 * taken too. `out` needs imi_base64_decoded_size_max() bytes and may be where `text` lies. */
size_t imi_base64_decoded_size_max(size_t text_size);
bool imi_base64_decode(void *out, size_t *out_size, imi_slice_t text);

#endif
