/* failing_mem.h: an allocator that counts what lives and fails where a test wants it to.
 *
 *     failing_mem_t failing;
 *     failing_mem_init(&failing, 3);         the third request for memory fails, the others work
 *     thing_open(&thing, &failing.mem);
 *     …
 *     ck_assert_uint_eq(failing.live_count, 0);
 *
 * A whole scenario goes through every failure it can meet by running with 1, 2, … until
 * `has_failed` stays false: that run needed fewer requests than that. Three habits make mistakes
 * show: new bytes are never zero, a resize always moves, and blocks end where malloc's do, so that
 * AddressSanitizer sees the first byte too far. */
#ifndef IMI_TEST_FAILING_MEM_H
#define IMI_TEST_FAILING_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/mem.h"

typedef struct failing_mem {
    imi_mem_t mem;        /* what to hand out; points back here, so the struct must not move */
    size_t fail_at;       /* this request fails, counted from 1; 0: none does */
    bool is_lasting;      /* every later request fails too (set it after init) */
    bool has_failed;      /* a request was refused */
    size_t request_count; /* for memory: freeing does not count */
    size_t live_count;    /* blocks */
    size_t live_size;     /* bytes in them */
    size_t live_size_max; /* the most there ever were */
} failing_mem_t;

/* Stands in front of every block; as large as the strictest alignment. */
typedef union failing_mem_head {
    size_t size;
    max_align_t alignment;
} failing_mem_head_t;

static inline void failing_mem_drop(failing_mem_t *failing, failing_mem_head_t *head) {
    if (head == NULL)
        return;
    failing->live_count--;
    failing->live_size -= head->size;
    free(head);
}

static inline void *failing_mem_resize(void *user, void *pointer, size_t size) {
    failing_mem_t *failing = user;
    failing_mem_head_t *old = pointer == NULL ? NULL : (failing_mem_head_t *)pointer - 1;
    failing_mem_head_t *head = NULL;
    if (size == 0) {
        failing_mem_drop(failing, old);
        return NULL;
    }
    failing->request_count++;
    if (failing->fail_at != 0 && (failing->request_count == failing->fail_at ||
                                  (failing->is_lasting && failing->has_failed))) {
        failing->has_failed = true;
        return NULL;
    }
    if (size > SIZE_MAX - sizeof(*head))
        return NULL;
    head = malloc(sizeof(*head) + size);
    if (head == NULL)
        return NULL;
    head->size = size;
    memset(head + 1, 0xA5, size);
    if (old != NULL)
        memcpy(head + 1, old + 1, old->size < size ? old->size : size);
    failing_mem_drop(failing, old);
    failing->live_count++;
    failing->live_size += size;
    if (failing->live_size > failing->live_size_max)
        failing->live_size_max = failing->live_size;
    return head + 1;
}

static inline void failing_mem_init(failing_mem_t *failing, size_t fail_at) {
    *failing = (failing_mem_t){.mem = {failing_mem_resize, failing}, .fail_at = fail_at};
}

#endif
