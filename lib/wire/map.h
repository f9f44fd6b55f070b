/* map.h: text to pointer. Keys may come from strangers, so the hash is keyed with a random seed
 * (SipHash-1-3) that the owner draws through its io table. Keys are copied. */
#ifndef IMI_WIRE_MAP_H
#define IMI_WIRE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/mem.h"

typedef struct imi_map_entry {
    char *key; /* NUL-terminated copy */
    size_t key_size;
    void *value;
    uint64_t hash;
} imi_map_entry_t;

typedef struct imi_map {
    const imi_mem_t *mem;
    imi_map_entry_t *entries; /* open addressing; capacity is a power of two */
    size_t capacity;
    size_t count;
    uint64_t seed[2];
} imi_map_t;

void imi_map_init(imi_map_t *map, const imi_mem_t *mem, const uint64_t seed[2]); /* NULL: zeros */
void imi_map_reset(imi_map_t *map); /* frees keys and table, not the values */

void *imi_map_get(const imi_map_t *map, const char *key, size_t key_size);      /* NULL: absent */
int imi_map_set(imi_map_t *map, const char *key, size_t key_size, void *value); /* -1: no memory */
void *imi_map_remove(imi_map_t *map, const char *key, size_t key_size); /* its value, or NULL */

/* Walks in no particular order: start with *position = 0; false at the end. The map must not
 * change meanwhile. */
bool imi_map_next(const imi_map_t *map, size_t *position, const imi_map_entry_t **out);

#endif
