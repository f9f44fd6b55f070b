/* arena.h: memory that goes all at once, with the request or the call it belongs to. */
#ifndef IMI_WIRE_ARENA_H
#define IMI_WIRE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "wire/mem.h"

typedef struct imi_arena_chunk imi_arena_chunk_t;

typedef struct imi_arena {
    const imi_mem_t *mem;
    imi_arena_chunk_t *chunks; /* newest first; large allocations get a chunk of their own */
    size_t chunk_size;
} imi_arena_t;

/* No memory is taken before the first allocation. chunk_size 0: 1024 bytes. */
void imi_arena_init(imi_arena_t *arena, const imi_mem_t *mem, size_t chunk_size);
void imi_arena_reset(imi_arena_t *arena); /* frees all of it; the arena can be used again */

/* Aligned for any type, not cleared; NULL when memory is out. */
void *imi_arena_alloc(imi_arena_t *arena, size_t size);
void *imi_arena_zalloc(imi_arena_t *arena, size_t size);
char *imi_arena_strdup(imi_arena_t *arena, const char *text); /* NULL gives NULL */
char *imi_arena_strndup(imi_arena_t *arena, const char *data, size_t size);
char *imi_arena_printf(imi_arena_t *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
char *imi_arena_vprintf(imi_arena_t *arena, const char *format, va_list arguments);

#endif
