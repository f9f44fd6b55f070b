/* http1_chunks.c: a chunked body, byte by byte between the chunks and piece by piece inside them:
 *
 *   SIZE "1a;name=value" CR LF -> DATA, 26 bytes -> END CR LF -> SIZE -> …
 *   SIZE "0" CR LF -> TRAILER lines, read and forgotten, until an empty one -> whole */
#include "gateway/http1_chunks.h"

enum {
    DIGITS_MAX = 15, /* fits 64 bits, and is more than anybody allows */
    LINE_MAX = 256,  /* a size and its extensions */
    TRAILER_MAX = 8192,
};

static int hex_value(char c) {
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* Every line ends in CR LF; either of them alone is an error. */
static bool read_line_end(imi_http1_chunks_t *chunks, char c, bool *is_end) {
    bool was_cr = chunks->was_cr;
    *is_end = was_cr && c == '\n';
    chunks->was_cr = c == '\r';
    return was_cr == (c == '\n');
}

static bool read_size(imi_http1_chunks_t *chunks, char c) {
    int digit = hex_value(c);
    bool is_end;
    if (!read_line_end(chunks, c, &is_end) || ++chunks->line_size > LINE_MAX)
        return false;
    if (is_end) {
        chunks->part = chunks->left > 0 ? IMI_CHUNK_DATA : IMI_CHUNK_TRAILER;
        chunks->line_size = 0;
        return chunks->digit_count > 0;
    }
    if (c == '\r' || chunks->is_in_extension)
        return true;
    chunks->is_in_extension = c == ';';
    if (digit < 0)
        return chunks->is_in_extension;
    chunks->left = chunks->left * 16 + (uint64_t)digit;
    return ++chunks->digit_count <= DIGITS_MAX;
}

static bool read_end(imi_http1_chunks_t *chunks, char c) {
    bool is_end;
    if (!read_line_end(chunks, c, &is_end))
        return false;
    if (is_end)
        *chunks = (imi_http1_chunks_t){.part = IMI_CHUNK_SIZE};
    return is_end || c == '\r';
}

static bool read_trailer(imi_http1_chunks_t *chunks, char c, bool *is_whole) {
    bool is_end;
    if (!read_line_end(chunks, c, &is_end) || ++chunks->line_size > TRAILER_MAX)
        return false;
    *is_whole = is_end && !chunks->is_line_begun;
    if (c != '\r')
        chunks->is_line_begun = !is_end;
    return true;
}

imi_chunks_verdict_t imi_http1_chunks_read(imi_http1_chunks_t *chunks, imi_slice_t *data,
                                           imi_slice_t *out) {
    *out = (imi_slice_t){NULL, 0};
    while (data->size > 0) {
        bool is_whole = false;
        char c = *data->data;
        if (chunks->part == IMI_CHUNK_DATA) {
            size_t size = data->size < chunks->left ? data->size : (size_t)chunks->left;
            *out = (imi_slice_t){data->data, size};
            chunks->left -= size;
            if (chunks->left == 0)
                chunks->part = IMI_CHUNK_END;
            *data = (imi_slice_t){data->data + size, data->size - size};
            return IMI_CHUNKS_MORE;
        }
        *data = (imi_slice_t){data->data + 1, data->size - 1};
        if (!(chunks->part == IMI_CHUNK_SIZE  ? read_size(chunks, c)
              : chunks->part == IMI_CHUNK_END ? read_end(chunks, c)
                                              : read_trailer(chunks, c, &is_whole)))
            return IMI_CHUNKS_BROKEN;
        if (is_whole)
            return IMI_CHUNKS_WHOLE;
    }
    return IMI_CHUNKS_MORE;
}
