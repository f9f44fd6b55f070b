/* picture_size.c: the two numbers in front of a picture: PNG's IHDR, JPEG's start of frame, WebP's
 * three kinds of first chunk, GIF's screen. Nothing is decoded, and nothing behind `size` read. */
#include "providers/picture_size.h"

#include <string.h>

#include "wire/base64.h"

#define JPEG_SEGMENTS_MAX 1000 /* in front of the frame; real files have some tens */
#define HEAD_SIZE 8192         /* of base64, in which a size is looked for; whole groups of four */

typedef struct bytes {
    const unsigned char *data;
    size_t size;
} bytes_t;

static bool has(bytes_t bytes, size_t at, const char *text, size_t text_size) {
    return bytes.size >= at + text_size && memcmp(bytes.data + at, text, text_size) == 0;
}

static uint32_t big_16(const unsigned char *at) {
    return (uint32_t)at[0] << 8 | at[1];
}

static uint32_t little_16(const unsigned char *at) {
    return (uint32_t)at[1] << 8 | at[0];
}

static uint32_t little_24(const unsigned char *at) {
    return (uint32_t)at[2] << 16 | little_16(at);
}

static bool read_png(bytes_t png, uint32_t *out_width, uint32_t *out_height) {
    if (png.size < 24 || !has(png, 12, "IHDR", 4))
        return false;
    *out_width = big_16(png.data + 16) << 16 | big_16(png.data + 18);
    *out_height = big_16(png.data + 20) << 16 | big_16(png.data + 22);
    return true;
}

/* SOF0 to SOF15, but for the three numbers in between that mean something else. */
static bool is_frame(unsigned char marker) {
    return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

static bool read_jpeg(bytes_t jpeg, uint32_t *out_width, uint32_t *out_height) {
    size_t at = 2;
    for (int i = 0; i < JPEG_SEGMENTS_MAX && jpeg.size - at >= 9; i++) {
        const unsigned char *segment = jpeg.data + at;
        size_t segment_size;
        if (segment[0] != 0xFF)
            return false;
        if (segment[1] == 0xFF) { /* fill bytes may stand in front of a marker */
            at++;
            continue;
        }
        if (is_frame(segment[1])) {
            *out_height = big_16(segment + 5);
            *out_width = big_16(segment + 7);
            return true;
        }
        segment_size = 2 + (size_t)big_16(segment + 2);
        if (segment_size > jpeg.size - at)
            return false;
        at += segment_size;
    }
    return false;
}

static bool read_webp(bytes_t webp, uint32_t *out_width, uint32_t *out_height) {
    const unsigned char *chunk = webp.data + 20; /* behind RIFF, its size, WEBP, a name, a size */
    if (webp.size < 30)
        return false;
    if (has(webp, 12, "VP8X", 4)) {
        *out_width = little_24(chunk + 4) + 1;
        *out_height = little_24(chunk + 7) + 1;
        return true;
    }
    if (has(webp, 12, "VP8L", 4)) {
        *out_width = (little_16(chunk + 1) & 0x3FFF) + 1;
        *out_height = (little_24(chunk + 2) >> 6 & 0x3FFF) + 1;
        return true;
    }
    if (has(webp, 12, "VP8 ", 4) && has(webp, 23, "\x9D\x01\x2A", 3)) {
        *out_width = little_16(chunk + 6) & 0x3FFF;
        *out_height = little_16(chunk + 8) & 0x3FFF;
        return true;
    }
    return false;
}

bool imi_picture_size(const void *data, size_t size, uint32_t *out_width, uint32_t *out_height) {
    bytes_t bytes = {data, size};
    bool is_known = false;
    *out_width = *out_height = 0;
    if (has(bytes, 0, "\x89PNG\r\n\x1A\n", 8)) {
        is_known = read_png(bytes, out_width, out_height);
    } else if (has(bytes, 0, "\xFF\xD8", 2)) {
        is_known = read_jpeg(bytes, out_width, out_height);
    } else if (has(bytes, 0, "RIFF", 4) && has(bytes, 8, "WEBP", 4)) {
        is_known = read_webp(bytes, out_width, out_height);
    } else if (has(bytes, 0, "GIF8", 4) && size >= 10) {
        *out_width = little_16(bytes.data + 6);
        *out_height = little_16(bytes.data + 8);
        is_known = true;
    }
    return is_known && *out_width != 0 && *out_height != 0;
}

bool imi_picture_size_of_data_url(const char *url, uint32_t *out_width, uint32_t *out_height) {
    const char *comma = strchr(url, ',');
    unsigned char head[HEAD_SIZE / 4 * 3];
    imi_slice_t text;
    size_t size;
    *out_width = *out_height = 0;
    if (comma == NULL)
        return false;
    text = (imi_slice_t){comma + 1, strnlen(comma + 1, HEAD_SIZE)};
    return imi_base64_decode(head, &size, text) &&
           imi_picture_size(head, size, out_width, out_height);
}
