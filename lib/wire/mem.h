/* mem.h: where memory comes from. Every room allocates through one of these, so that a client can
 * bring its own allocator and a test can make the n-th allocation fail. NULL means the C library.
 */
#ifndef IMI_WIRE_MEM_H
#define IMI_WIRE_MEM_H

#include <stddef.h>

typedef struct imi_mem {
    /* As realloc: NULL pointer allocates, size 0 frees and returns NULL, NULL on failure. */
    void *(*resize)(void *user, void *pointer, size_t size);
    void *user;
} imi_mem_t;

void *imi_mem_alloc(const imi_mem_t *mem, size_t size); /* size 0 counts as 1 */
void *imi_mem_zalloc(const imi_mem_t *mem, size_t size);
void *imi_mem_resize(const imi_mem_t *mem, void *pointer, size_t size);
void imi_mem_free(const imi_mem_t *mem, void *pointer);       /* NULL is fine */
char *imi_mem_strdup(const imi_mem_t *mem, const char *text); /* NULL gives NULL */
char *imi_mem_strndup(const imi_mem_t *mem, const char *data, size_t size);

/* Overwrites and cannot be optimised away: for tokens and keys. */
void imi_mem_wipe(void *data, size_t size);

#endif
