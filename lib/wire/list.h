/* list.h: a doubly linked ring; the node lives inside what it links. */
#ifndef IMI_WIRE_LIST_H
#define IMI_WIRE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "wire/assert.h"

typedef struct imi_list {
    struct imi_list *next, *previous;
} imi_list_t;

#define IMI_CONTAINER(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline void imi_list_init(imi_list_t *list) {
    list->next = list->previous = list;
}

static inline bool imi_list_is_empty(const imi_list_t *list) {
    return list->next == list;
}

static inline void imi_list_append(imi_list_t *list, imi_list_t *node) {
    IMI_ASSERT(node != list && list->previous->next == list); /* a whole ring, without it */
    node->previous = list->previous;
    node->next = list;
    list->previous->next = node;
    list->previous = node;
}

static inline void imi_list_insert_after(imi_list_t *position, imi_list_t *node) {
    imi_list_append(position->next, node);
}

/* The node is a ring of its own afterwards, so that removing twice is harmless. */
static inline void imi_list_remove(imi_list_t *node) {
    IMI_ASSERT(node->next != NULL && node->next->previous == node && node->previous->next == node);
    node->previous->next = node->next;
    node->next->previous = node->previous;
    imi_list_init(node);
}

#endif
