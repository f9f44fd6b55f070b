/* http1_chunks.h: the frames of a chunked body (RFC 9112, section 7.1). No I/O, no memory. */
#ifndef IMI_GATEWAY_HTTP1_CHUNKS_H
#define IMI_GATEWAY_HTTP1_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/str.h"

typedef struct imi_http1_chunks { /* all zero: at the beginning */
    enum { IMI_CHUNK_SIZE, IMI_CHUNK_DATA, IMI_CHUNK_END, IMI_CHUNK_TRAILER } part;
    bool was_cr;
    bool is_in_extension;
    bool is_line_begun;
    uint32_t digit_count;
    uint32_t line_size; /* of the size's line, or of all trailers */
    uint64_t left;      /* of the chunk */
} imi_http1_chunks_t;

typedef enum imi_chunks_verdict {
    IMI_CHUNKS_MORE,  /* *out is a piece of the body, or absent: feed more */
    IMI_CHUNKS_WHOLE, /* the body has ended; `data` may have bytes that are not its own */
    IMI_CHUNKS_BROKEN,
} imi_chunks_verdict_t;

/* Takes bytes off the front of `data` up to the end of the next piece. */
imi_chunks_verdict_t imi_http1_chunks_read(imi_http1_chunks_t *chunks, imi_slice_t *data,
                                           imi_slice_t *out);

#endif
