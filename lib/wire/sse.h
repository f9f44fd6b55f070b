/* sse.h: server-sent events (WHATWG HTML, section 9.2.6), read as they come, split anywhere. */
#ifndef IMI_WIRE_SSE_H
#define IMI_WIRE_SSE_H

#include <stdbool.h>
#include <stddef.h>

#include "wire/buf.h"
#include "wire/str.h"

typedef struct imi_sse_event {
    imi_slice_t name; /* "message" when the stream names none */
    imi_slice_t data; /* lines joined with LF, NUL behind it */
} imi_sse_event_t;

/* Return false to stop: the rest of the input is dropped and feed returns at once. */
typedef bool (*imi_sse_cb)(void *user, const imi_sse_event_t *event);

typedef struct imi_sse {
    imi_buf_t line;
    imi_buf_t name;
    imi_buf_t data;
    bool has_data;
    bool was_cr;    /* a CR ended the last line: a LF right after belongs to it */
    bool was_begun; /* the byte order mark has been looked for */
    bool is_stopped;
} imi_sse_t;

void imi_sse_init(imi_sse_t *sse, const imi_mem_t *mem, size_t event_size_max);
void imi_sse_reset(imi_sse_t *sse); /* frees everything */

/* 0, IMI_BUF_NOMEM, or IMI_BUF_TOO_LARGE for an event over the limit (final). The callback may
 * not reset the parser, but may make it stop. */
int imi_sse_feed(imi_sse_t *sse, const char *data, size_t size, imi_sse_cb on_event, void *user);

#endif
