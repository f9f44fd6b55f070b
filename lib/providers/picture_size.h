/* picture_size.h: how large a picture is, by its header alone. */
#ifndef IMI_PROVIDERS_PICTURE_SIZE_H
#define IMI_PROVIDERS_PICTURE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* PNG, JPEG, WebP and GIF. false: none of them, broken, or without a size. */
bool imi_picture_size(const void *data, size_t size, uint32_t *out_width, uint32_t *out_height);
/* The same of a "data:…;base64,…" address, of which only the beginning is decoded. */
bool imi_picture_size_of_data_url(const char *url, uint32_t *out_width, uint32_t *out_height);

#endif
