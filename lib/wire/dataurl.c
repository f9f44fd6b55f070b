/* dataurl.c: what "data:" addresses hold, and what bytes look like. The payload stays where it is
 * until somebody wants the bytes. */
#include "wire/dataurl.h"

#include <stdint.h>
#include <string.h>

#include "wire/base64.h"

static const size_t scheme_size = sizeof("data:") - 1;

static bool has_scheme(imi_slice_t url) {
    return url.size >= scheme_size &&
           imi_slice_equals_nocase((imi_slice_t){url.data, scheme_size}, "data:");
}

bool imi_is_dataurl(const char *url) {
    return has_scheme((imi_slice_t){url, strnlen(url, scheme_size)}); /* a picture is long */
}

bool imi_dataurl_parse(imi_slice_t url, imi_dataurl_t *out) {
    imi_slice_t parameters = {NULL, 0}, parameter = {NULL, 0};
    const char *comma = NULL;
    *out = (imi_dataurl_t){.is_base64 = false};
    if (!has_scheme(url))
        return false;
    url.data += scheme_size;
    url.size -= scheme_size;
    comma = memchr(url.data, ',', url.size);
    if (comma == NULL)
        return false;
    parameters = (imi_slice_t){url.data, (size_t)(comma - url.data)};
    out->payload = (imi_slice_t){comma + 1, url.size - parameters.size - 1};
    out->mime = (imi_slice_t){url.data, 0};
    if (imi_slice_split(&parameters, ';', &parameter))
        out->mime = imi_slice_trim(parameter);
    while (imi_slice_split(&parameters, ';', &parameter)) /* the last one decides */
        out->is_base64 = imi_slice_equals_nocase(imi_slice_trim(parameter), "base64");
    return true;
}

/* Base64 in an address may be percent-encoded ('+' as "%2B"): then it is unpacked twice. */
static bool decode(const imi_dataurl_t *url, void *out, size_t *out_size) {
    imi_slice_t payload = url->payload;
    bool is_escaped = memchr(payload.data, '%', payload.size) != NULL;
    if (is_escaped || !url->is_base64) {
        if (!imi_percent_decode_bytes(out, out_size, payload, false))
            return false;
        payload = (imi_slice_t){out, *out_size};
    }
    return !url->is_base64 || imi_base64_decode(out, out_size, payload);
}

void *imi_dataurl_decode(imi_arena_t *arena, const imi_dataurl_t *url, size_t *out_size,
                         bool *out_is_nomem) {
    size_t room = url->payload.size;
    void *out = NULL;
    if (url->is_base64 && memchr(url->payload.data, '%', room) == NULL)
        room = imi_base64_decoded_size_max(room);
    out = imi_arena_alloc(arena, room);
    *out_is_nomem = out == NULL;
    return out != NULL && decode(url, out, out_size) ? out : NULL;
}

int imi_dataurl_encode(imi_buf_t *out, const char *mime, const void *data, size_t size) {
    size_t encoded_size = imi_base64_encoded_size(size);
    size_t head_size = strlen("data:;base64,") + strlen(mime);
    imi_buf_reserve(out, encoded_size > SIZE_MAX - head_size ? SIZE_MAX : head_size + encoded_size);
    imi_buf_append_text(out, "data:");
    imi_buf_append_text(out, mime);
    imi_buf_append_text(out, ";base64,");
    return imi_base64_encode(out, data, size);
}

static bool has_at(imi_slice_t data, size_t at, const char *magic, size_t size) {
    return data.size >= at + size && memcmp(data.data + at, magic, size) == 0;
}

/* ISO base media files (ISO/IEC 14496-12) begin with a box that names a brand and the brands that
 * it is compatible with. AVIF may call itself "mif1" first; QuickTime and HEIC are none of ours. */
static const char *sniff_brands(imi_slice_t data) {
    static const struct {
        const char *brand;
        const char *mime;
    } brands[] = {
        {"avif", "image/avif"}, {"avis", "image/avif"}, {"iso", "video/mp4"},  {"mp4", "video/mp4"},
        {"avc1", "video/mp4"},  {"M4V", "video/mp4"},   {"dash", "video/mp4"},
    };
    const unsigned char *bytes = (const unsigned char *)data.data;
    const size_t brand_count_max = 32;
    size_t box_size =
        (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
    size_t end = box_size < data.size ? box_size : data.size;
    for (size_t at = 8; at + 4 <= end && at < 8 + 4 * brand_count_max; at += 4) {
        for (size_t i = 0; at != 12 && i < sizeof(brands) / sizeof(brands[0]); i++) {
            if (has_at(data, at, brands[i].brand, strlen(brands[i].brand)))
                return brands[i].mime;
        }
    }
    return NULL;
}

/* Matroska and WebM differ in the DocType element of their EBML head only. */
static bool is_webm(imi_slice_t data) {
    const size_t head_size_max = 64;
    for (size_t at = 4; at < head_size_max; at++) {
        if (has_at(data, at, "\x42\x82\x84webm", 7))
            return true;
    }
    return false;
}

const char *imi_sniff_mime(const void *data, size_t size) {
    imi_slice_t bytes = {data, size};
    if (has_at(bytes, 0, "\x89PNG\r\n\x1A\n", 8))
        return "image/png";
    if (has_at(bytes, 0, "\xFF\xD8\xFF", 3))
        return "image/jpeg";
    if (has_at(bytes, 0, "RIFF", 4) && has_at(bytes, 8, "WEBP", 4))
        return "image/webp";
    if (has_at(bytes, 0, "GIF87a", 6) || has_at(bytes, 0, "GIF89a", 6))
        return "image/gif";
    if (has_at(bytes, 4, "ftyp", 4))
        return sniff_brands(bytes);
    if (has_at(bytes, 0, "\x1A\x45\xDF\xA3", 4) && is_webm(bytes))
        return "video/webm";
    return NULL;
}

bool imi_mime_is_picture(const char *mime) {
    const size_t prefix_size = strlen("image/");
    return mime != NULL && strlen(mime) > prefix_size &&
           imi_slice_equals_nocase((imi_slice_t){mime, prefix_size}, "image/");
}
