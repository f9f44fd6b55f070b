/* limit.h: how often a caller may call: fixed windows of a minute. They are counted in memory and,
 * where the client's storage is shared and adds in one step, there too: then all instances together
 * keep to one limit, and the verdict comes with the storage's answer; but where thousands of calls
 * are left (limits above IMI_LIMIT_FAR only), memory answers and the storage is told a moment
 * later, once for all calls of that moment. Nobody waits longer than IMI_LIMIT_WAIT_MS for it, and
 * a storage that was too late, or failed, is left alone for IMI_LIMIT_ALONE_MS: until then memory
 * decides, and what it counts is told later. */
#ifndef IMI_GATEWAY_LIMIT_H
#define IMI_GATEWAY_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imagine.h"
#include "imagine/io.h"
#include "gateway/caller.h"
#include "wire/list.h"
#include "wire/map.h"

enum {
    IMI_LIMIT_WINDOW_MS = 60 * 1000,
    /* Callers that are remembered; about 200 bytes each. Past that the oldest window goes first. */
    IMI_LIMIT_CALLERS_MAX = 65536,
    IMI_LIMIT_WAIT_MS = 200, /* all who waited go on at once then: within 250 ms */
    IMI_LIMIT_ALONE_MS = 5000,
    IMI_LIMIT_FAR = 10000,    /* calls that are left */
    IMI_LIMIT_FRESH_MS = 100, /* so old may be what the storage said */
    IMI_LIMIT_BEHIND_MS = 20, /* until it is told */
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

typedef struct imi_limit_ticket imi_limit_ticket_t; /* a call that the storage is counting */

typedef struct imi_limit {
    const imi_mem_t *mem;
    imagine_t *im;                         /* whose storage counts too; NULL: memory alone */
    uint32_t limits[IMI_LIMIT_KIND_COUNT]; /* 0: off */
    imi_map_t windows;                     /* kind and caller -> window_t */
    imi_list_t by_age;                     /* the window that ends first is in front */

    imi_list_t tickets;     /* all that the storage has not answered */
    imi_list_t waiting;     /* of these, those whose verdict is awaited, in order of asking */
    imagine_timer_t *timer; /* for the first that waits, or one before it; NULL: not running */
    imi_list_t behind;      /* windows of whose calls the storage is told soon */
    imagine_timer_t *behind_timer; /* NULL: there are none */
    bool is_alone;                 /* the storage failed: memory decides */
    uint64_t alone_until_ms;       /* then the storage is tried again, by */
    imi_limit_ticket_t *probe;     /* one ticket that nobody waits for */
} imi_limit_t;

/* Must not move afterwards. The seed keeps strangers from choosing colliding callers. `im` (NULL:
 * there is none) and `mem` must outlive what the storage still has to answer. */
void imi_limit_init(imi_limit_t *limit, const imi_mem_t *mem, imagine_t *im, const uint64_t seed[2],
                    uint32_t post_max, uint32_t status_max);
/* Nobody may wait for a verdict any more. */
void imi_limit_reset(imi_limit_t *limit);

/* Counts one call more and tells how the caller stands: inside this call, or, with *out set to a
 * ticket that lives until then, later. */
void imi_limit_count(imi_limit_t *limit, imi_limit_kind_t kind, const imi_caller_t *caller,
                     uint64_t now_ms, int64_t now_unix_ms, imi_limit_cb decided, void *user,
                     imi_limit_ticket_t **out);
/* Nobody wants to know any more; the call stays counted. NULL is fine. */
void imi_limit_cancel(imi_limit_ticket_t *ticket);

#endif
