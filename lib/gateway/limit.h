/* limit.h: how often a caller may call: fixed windows of a minute, counted in memory. The verdict
 * comes through a callback, so that counting in a storage that many instances share can take its
 * time without a change on the caller's side. */
#ifndef IMI_GATEWAY_LIMIT_H
#define IMI_GATEWAY_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/caller.h"
#include "wire/list.h"
#include "wire/map.h"

enum {
    IMI_LIMIT_WINDOW_MS = 60 * 1000,
    /* Callers that are remembered; about 200 bytes each. Past that the oldest window goes first. */
    IMI_LIMIT_CALLERS_MAX = 65536,
};

typedef enum imi_limit_kind {
    IMI_LIMIT_POST,   /* RATE_LIMIT */
    IMI_LIMIT_STATUS, /* RATE_LIMIT_STATUS */
    IMI_LIMIT_KIND_COUNT,
    IMI_LIMIT_NONE = IMI_LIMIT_KIND_COUNT,
} imi_limit_kind_t;

typedef struct imi_limit_verdict {
    bool is_over;
    uint32_t limit;
    uint32_t remaining;
    uint64_t reset_ms; /* until the window ends, at least 1 */
    int64_t reset_unix_ms;
} imi_limit_verdict_t;

/* `verdict` dies when it returns; NULL: there is no limit of this kind. */
typedef void (*imi_limit_cb)(const imi_limit_verdict_t *verdict, void *user);

typedef struct imi_limit {
    const imi_mem_t *mem;
    uint32_t limits[IMI_LIMIT_KIND_COUNT]; /* 0: off */
    imi_map_t windows;                     /* kind and caller -> window_t */
    imi_list_t by_age;                     /* the window that ends first is in front */
} imi_limit_t;

/* Must not move afterwards. The seed keeps strangers from choosing colliding callers. */
void imi_limit_init(imi_limit_t *limit, const imi_mem_t *mem, const uint64_t seed[2],
                    uint32_t post_max, uint32_t status_max);
void imi_limit_reset(imi_limit_t *limit);

/* Counts one call more and tells how the caller stands; counting in memory, inside this call. */
void imi_limit_count(imi_limit_t *limit, imi_limit_kind_t kind, const imi_caller_t *caller,
                     uint64_t now_ms, int64_t now_unix_ms, imi_limit_cb decided, void *user);

#endif
