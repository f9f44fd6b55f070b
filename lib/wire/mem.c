/* mem.c: the caller's allocator, or the C library's. Nothing is kept between calls. */
#include "wire/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *imi_mem_resize(const imi_mem_t *mem, void *pointer, size_t size) {
    if (mem != NULL)
        return mem->resize(mem->user, pointer, size);
    if (size != 0)
        return realloc(pointer, size);
    free(pointer); /* what realloc makes of size 0 differs between C libraries */
    return NULL;
}

void *imi_mem_alloc(const imi_mem_t *mem, size_t size) {
    return imi_mem_resize(mem, NULL, size == 0 ? 1 : size); /* NULL means one thing only */
}

void *imi_mem_zalloc(const imi_mem_t *mem, size_t size) {
    void *data = imi_mem_alloc(mem, size);
    return data == NULL ? NULL : memset(data, 0, size);
}

void imi_mem_free(const imi_mem_t *mem, void *pointer) {
    if (pointer != NULL)
        imi_mem_resize(mem, pointer, 0);
}

char *imi_mem_strdup(const imi_mem_t *mem, const char *text) {
    return text == NULL ? NULL : imi_mem_strndup(mem, text, strlen(text));
}

char *imi_mem_strndup(const imi_mem_t *mem, const char *data, size_t size) {
    char *copy = size == SIZE_MAX ? NULL : imi_mem_alloc(mem, size + 1);
    if (copy == NULL)
        return NULL;
    if (size != 0)
        memcpy(copy, data, size);
    copy[size] = '\0';
    return copy;
}

void imi_mem_wipe(void *data, size_t size) {
    if (size == 0)
        return;
    memset(data, 0, size);
    __asm__ __volatile__("" : : "r"(data) : "memory"); /* somebody might look: so it must happen */
}
