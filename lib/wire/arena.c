/* arena.c: a list of chunks, newest first. Small allocations are cut off the newest one; its
 * successor is twice as large, up to CHUNK_SIZE_MAX. What would take more than half of a
 * chunk gets one of its own, which nobody shares.
 *
 * AddressSanitizer is told which bytes are given out, with a gap behind each, so that a byte too
 * far inside an arena is found as surely as with malloc. */
#include "wire/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "wire/assert.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(HAS_ASAN)
#include <sanitizer/asan_interface.h>
#define HIDE(data, size) __asan_poison_memory_region(data, size)
#define SHOW(data, size) __asan_unpoison_memory_region(data, size)
enum { GAP_SIZE = alignof(max_align_t) };
#else
#define HIDE(data, size) ((void)(data), (void)(size))
#define SHOW(data, size) ((void)(data), (void)(size))
enum { GAP_SIZE = 0 };
#endif

enum { CHUNK_SIZE_DEFAULT = 1024, CHUNK_SIZE_MAX = 16 * 1024, ALIGNMENT = alignof(max_align_t) };

struct imi_arena_chunk {
    imi_arena_chunk_t *next;
    size_t capacity; /* 0 in a chunk that one allocation has for itself */
    size_t used;
    alignas(max_align_t) char data[];
};

void imi_arena_init(imi_arena_t *arena, const imi_mem_t *mem, size_t chunk_size) {
    *arena = (imi_arena_t){.mem = mem};
    arena->chunk_size = chunk_size == 0 ? CHUNK_SIZE_DEFAULT : chunk_size;
}

void imi_arena_reset(imi_arena_t *arena) {
    while (arena->chunks != NULL) {
        imi_arena_chunk_t *chunk = arena->chunks;
        arena->chunks = chunk->next;
        SHOW(chunk->data, chunk->capacity);
        imi_mem_free(arena->mem, chunk);
    }
}

/* A new chunk of `size` bytes in front of `*place`. */
static imi_arena_chunk_t *add_chunk(imi_arena_t *arena, imi_arena_chunk_t **place, size_t size) {
    imi_arena_chunk_t *chunk = NULL;
    if (size > SIZE_MAX - sizeof(*chunk))
        return NULL;
    chunk = imi_mem_alloc(arena->mem, sizeof(*chunk) + size);
    if (chunk == NULL)
        return NULL;
    *chunk = (imi_arena_chunk_t){.next = *place};
    *place = chunk;
    return chunk;
}

static size_t next_chunk_size(const imi_arena_t *arena) {
    size_t size = arena->chunk_size;
    if (arena->chunks != NULL && arena->chunks->capacity != 0)
        size = arena->chunks->capacity * 2;
    if (size > CHUNK_SIZE_MAX)
        size = arena->chunk_size > CHUNK_SIZE_MAX ? arena->chunk_size : CHUNK_SIZE_MAX;
    return size;
}

static void *cut(imi_arena_chunk_t *chunk, size_t size, size_t padded_size) {
    void *data = chunk->data + chunk->used;
    chunk->used += padded_size;
    IMI_ASSERT(chunk->used <= chunk->capacity);
    SHOW(data, size);
    return data;
}

void *imi_arena_alloc(imi_arena_t *arena, size_t size) {
    imi_arena_chunk_t *newest = arena->chunks;
    size_t chunk_size = next_chunk_size(arena);
    size_t padded_size = 0;
    IMI_ASSERT(arena->chunk_size > 0); /* imi_arena_init() came first */
    if (size == 0)
        size = 1; /* every allocation has an address of its own */
    if (size > SIZE_MAX - ALIGNMENT - GAP_SIZE)
        return NULL;
    padded_size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + GAP_SIZE;
    if (newest != NULL && newest->capacity - newest->used >= padded_size)
        return cut(newest, size, padded_size);
    if (padded_size > chunk_size / 2) { /* behind the newest, which stays in use */
        imi_arena_chunk_t *own =
            add_chunk(arena, newest == NULL ? &arena->chunks : &newest->next, size);
        return own == NULL ? NULL : own->data;
    }
    newest = add_chunk(arena, &arena->chunks, chunk_size);
    if (newest == NULL)
        return NULL;
    newest->capacity = chunk_size;
    HIDE(newest->data, newest->capacity);
    return cut(newest, size, padded_size);
}

void *imi_arena_zalloc(imi_arena_t *arena, size_t size) {
    void *data = imi_arena_alloc(arena, size);
    return data == NULL ? NULL : memset(data, 0, size);
}

char *imi_arena_strdup(imi_arena_t *arena, const char *text) {
    return text == NULL ? NULL : imi_arena_strndup(arena, text, strlen(text));
}

char *imi_arena_strndup(imi_arena_t *arena, const char *data, size_t size) {
    char *copy = size == SIZE_MAX ? NULL : imi_arena_alloc(arena, size + 1);
    if (copy == NULL)
        return NULL;
    if (size != 0)
        memcpy(copy, data, size);
    copy[size] = '\0';
    return copy;
}

char *imi_arena_printf(imi_arena_t *arena, const char *format, ...) {
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    text = imi_arena_vprintf(arena, format, arguments);
    va_end(arguments);
    return text;
}

char *imi_arena_vprintf(imi_arena_t *arena, const char *format, va_list arguments) {
    char *text = NULL;
    int size = 0;
    va_list measured;
    va_copy(measured, arguments);
    size = vsnprintf(NULL, 0, format, measured);
    va_end(measured);
    if (size < 0)
        return NULL;
    text = imi_arena_alloc(arena, (size_t)size + 1);
    if (text != NULL)
        vsnprintf(text, (size_t)size + 1, format, arguments);
    return text;
}
