/* limit.c: one window per caller, opened by its first call. All windows are equally long, so a list
 * in the order of opening is a list in the order of ending: what is over is dropped from its front,
 * two for every one that may be added, and so is the oldest when there are too many. */
#include "gateway/limit.h"

#include <string.h>

#define KEY_SIZE (IMI_CALLER_KEY_SIZE + 1)

typedef struct window {
    imi_list_t link;
    uint64_t ends_at_ms;
    int64_t ends_unix_ms;
    uint32_t count;
    char key[KEY_SIZE];
} window_t;

void imi_limit_init(imi_limit_t *limit, const imi_mem_t *mem, const uint64_t seed[2],
                    uint32_t post_max, uint32_t status_max) {
    *limit = (imi_limit_t){.mem = mem};
    limit->limits[IMI_LIMIT_POST] = post_max;
    limit->limits[IMI_LIMIT_STATUS] = status_max;
    imi_map_init(&limit->windows, mem, seed);
    imi_list_init(&limit->by_age);
}

static void drop(imi_limit_t *limit, window_t *window) {
    imi_list_remove(&window->link);
    (void)imi_map_remove(&limit->windows, window->key, KEY_SIZE);
    imi_mem_free(limit->mem, window);
}

static window_t *oldest(const imi_limit_t *limit) {
    return imi_list_is_empty(&limit->by_age) ? NULL
                                             : IMI_CONTAINER(limit->by_age.next, window_t, link);
}

void imi_limit_reset(imi_limit_t *limit) {
    window_t *window;
    while ((window = oldest(limit)) != NULL)
        drop(limit, window);
    imi_map_reset(&limit->windows);
}

static void make_room(imi_limit_t *limit, uint64_t now_ms) {
    for (int i = 0; i < 2; i++) {
        window_t *window = oldest(limit);
        bool is_full = limit->windows.count >= IMI_LIMIT_CALLERS_MAX;
        if (window == NULL || (window->ends_at_ms > now_ms && !is_full))
            return;
        drop(limit, window);
    }
}

static window_t *add_window(imi_limit_t *limit, const char key[KEY_SIZE]) {
    window_t *window = imi_mem_zalloc(limit->mem, sizeof(*window));
    if (window == NULL)
        return NULL;
    memcpy(window->key, key, KEY_SIZE);
    if (imi_map_set(&limit->windows, key, KEY_SIZE, window) != 0) {
        imi_mem_free(limit->mem, window);
        return NULL;
    }
    imi_list_init(&window->link);
    return window;
}

void imi_limit_count(imi_limit_t *limit, imi_limit_kind_t kind, const imi_caller_t *caller,
                     uint64_t now_ms, int64_t now_unix_ms, imi_limit_cb decided, void *user) {
    imi_limit_verdict_t verdict;
    window_t *window;
    uint32_t count_max = kind < IMI_LIMIT_KIND_COUNT ? limit->limits[kind] : 0;
    char key[KEY_SIZE];
    if (count_max == 0) {
        decided(NULL, user);
        return;
    }
    key[0] = (char)kind;
    memcpy(key + 1, caller->key, IMI_CALLER_KEY_SIZE);
    window = imi_map_get(&limit->windows, key, KEY_SIZE);
    if (window == NULL) {
        make_room(limit, now_ms);
        window = add_window(limit, key);
        if (window == NULL) {
            decided(NULL, user); /* without memory to count in, nobody is turned away */
            return;
        }
    }
    if (window->ends_at_ms <= now_ms) {
        window->ends_at_ms = now_ms + IMI_LIMIT_WINDOW_MS;
        window->ends_unix_ms = now_unix_ms + IMI_LIMIT_WINDOW_MS;
        window->count = 0;
        imi_list_remove(&window->link);
        imi_list_append(&limit->by_age, &window->link);
    }
    verdict = (imi_limit_verdict_t){.is_over = window->count >= count_max,
                                    .limit = count_max,
                                    .reset_ms = window->ends_at_ms - now_ms,
                                    .reset_unix_ms = window->ends_unix_ms};
    if (!verdict.is_over)
        window->count++;
    verdict.remaining = count_max - window->count;
    decided(&verdict, user);
}
