/* buf.h: bytes that grow, up to a named limit. The first failure sticks: append as often as you
 * like, look at `error` once at the end (0, or one of the two below). */
#ifndef IMI_WIRE_BUF_H
#define IMI_WIRE_BUF_H

#include <stdarg.h>
#include <stddef.h>

#include "wire/mem.h"

enum { IMI_BUF_NOMEM = -1, IMI_BUF_TOO_LARGE = -2 };

typedef struct imi_buf {
    const imi_mem_t *mem;
    char *data; /* NUL-terminated as soon as anything was appended (the NUL is not counted) */
    size_t size;
    size_t capacity;
    size_t size_max;
    int error;
} imi_buf_t;

void imi_buf_init(imi_buf_t *buf, const imi_mem_t *mem, size_t size_max); /* 0: no limit */
void imi_buf_reset(imi_buf_t *buf); /* frees; the limit and the allocator stay */
void imi_buf_clear(imi_buf_t *buf); /* empties, forgets the error, keeps the memory */

int imi_buf_reserve(imi_buf_t *buf, size_t extra_size); /* exact when it is a large step */
int imi_buf_append(imi_buf_t *buf, const void *data, size_t size); /* no bytes of its own */
int imi_buf_append_text(imi_buf_t *buf, const char *text);
int imi_buf_append_byte(imi_buf_t *buf, char byte);
int imi_buf_printf(imi_buf_t *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
int imi_buf_vprintf(imi_buf_t *buf, const char *format, va_list arguments);

/* Drops `size` bytes at the front, moving the rest. */
void imi_buf_consume(imi_buf_t *buf, size_t size);

/* Hands the memory over (NUL-terminated, free with imi_mem_free) and leaves the buffer empty.
 * NULL after an error; an empty buffer gives an empty text, or NULL when memory is out. */
char *imi_buf_take(imi_buf_t *buf, size_t *out_size);

#endif
