/* heap.c: a binary heap in an array. Every node knows its place, so that any of them can leave. */
#include "wire/heap.h"

#include "wire/assert.h"

enum { CAPACITY_MIN = 16 };

void imi_heap_init(imi_heap_t *heap, const imi_mem_t *mem) {
    *heap = (imi_heap_t){.mem = mem};
}

void imi_heap_reset(imi_heap_t *heap) {
    for (size_t i = 0; i < heap->count; i++)
        heap->nodes[i]->index = 0;
    imi_mem_free(heap->mem, heap->nodes);
    imi_heap_init(heap, heap->mem);
}

int imi_heap_reserve(imi_heap_t *heap, size_t count) {
    size_t capacity = heap->capacity == 0 ? CAPACITY_MIN : heap->capacity;
    imi_heap_node_t **nodes = NULL;
    if (count <= heap->capacity)
        return 0;
    if (count > SIZE_MAX / 2 / sizeof(imi_heap_node_t *))
        return -1;
    while (capacity < count)
        capacity *= 2;
    nodes = imi_mem_resize(heap->mem, heap->nodes, capacity * sizeof(imi_heap_node_t *));
    if (nodes == NULL)
        return -1;
    heap->nodes = nodes;
    heap->capacity = capacity;
    return 0;
}

static void put(imi_heap_t *heap, size_t place, imi_heap_node_t *node) {
    heap->nodes[place] = node;
    node->index = place + 1;
}

/* Puts the node where it belongs on the way from `place` to the top, or else to the bottom. */
static void settle(imi_heap_t *heap, size_t place, imi_heap_node_t *node) {
    while (place > 0 && node->key < heap->nodes[(place - 1) / 2]->key) {
        put(heap, place, heap->nodes[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * place + 1;
        if (child + 1 < heap->count && heap->nodes[child + 1]->key < heap->nodes[child]->key)
            child++;
        if (child >= heap->count || heap->nodes[child]->key >= node->key)
            break;
        put(heap, place, heap->nodes[child]);
        place = child;
    }
    put(heap, place, node);
}

int imi_heap_insert(imi_heap_t *heap, imi_heap_node_t *node, int64_t key) {
    IMI_ASSERT(node->index == 0 || heap->nodes[node->index - 1] == node); /* in no other heap */
    if (node->index != 0) {
        node->key = key;
        settle(heap, node->index - 1, node);
        return 0;
    }
    if (imi_heap_reserve(heap, heap->count + 1) != 0)
        return -1;
    node->key = key;
    heap->count++;
    settle(heap, heap->count - 1, node);
    return 0;
}

void imi_heap_remove(imi_heap_t *heap, imi_heap_node_t *node) {
    size_t place = node->index - 1;
    imi_heap_node_t *last = NULL;
    if (node->index == 0)
        return;
    IMI_ASSERT(node->index <= heap->count && heap->nodes[place] == node);
    node->index = 0;
    last = heap->nodes[--heap->count];
    if (last != node)
        settle(heap, place, last);
}

imi_heap_node_t *imi_heap_first(const imi_heap_t *heap) {
    return heap->count == 0 ? NULL : heap->nodes[0];
}
