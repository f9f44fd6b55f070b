/* heap.h: a binary heap of intrusive nodes ordered by a 64-bit key (an instant, mostly): the
 * smallest first, and any node can leave in O(log n). */
#ifndef IMI_WIRE_HEAP_H
#define IMI_WIRE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/mem.h"

typedef struct imi_heap_node {
    int64_t key;
    size_t index; /* place in the heap plus one; 0: in no heap (so a zeroed node is ready) */
} imi_heap_node_t;

typedef struct imi_heap {
    const imi_mem_t *mem;
    imi_heap_node_t **nodes;
    size_t count;
    size_t capacity;
} imi_heap_t;

void imi_heap_init(imi_heap_t *heap, const imi_mem_t *mem);
void imi_heap_reset(imi_heap_t *heap); /* frees the table; nodes still in it are let go */

int imi_heap_reserve(imi_heap_t *heap, size_t count); /* room for so many, -1: no memory */
/* A node that is in this heap already moves to its new key. -1: no memory. */
int imi_heap_insert(imi_heap_t *heap, imi_heap_node_t *node, int64_t key);
void imi_heap_remove(imi_heap_t *heap, imi_heap_node_t *node); /* harmless if it is in none */
imi_heap_node_t *imi_heap_first(const imi_heap_t *heap);       /* NULL: empty */

#endif
