/* limit.c: one window per caller. Where memory alone counts, its first call opens it; where
 * instances count together, it is the wall clock's minute, on which they agree. All windows are
 * equally long, so a list in the order of opening is a list in the order of ending: what is over is
 * dropped from its front, two for every one that may be added, and so is the oldest when there are
 * too many.
 *
 * A call that the storage counts:
 *   counted in memory -> added (one ticket) -> answered -> the storage's verdict
 *                                           \-> 250 ms -> the memory's verdict, alone
 *                                           \-> failed -> the memory's verdict, alone
 *   alone: the memory's verdict at once; after 5 s one call's ticket goes out without being waited
 *   for, and its answer in time ends it
 *   far from the limit, as the storage said just now: the memory's verdict at once; a ticket goes
 *   out a little later and carries all that were counted meanwhile
 * What the storage was not told, or did not take, goes with the next ticket of the same window. The
 * memory's count is never more than the truth, so once it has reached the limit nobody is asked. */
#include "gateway/limit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "imagine/storage.h"
#include "wire/assert.h"

#define KEY_SIZE (IMI_CALLER_KEY_SIZE + 1)
#define STORED_KEY_SIZE 96 /* "limit/status/", the caller in hex, a slash, a number */

typedef struct window {
    imi_list_t link;
    uint64_t ends_at_ms;
    int64_t ends_unix_ms;
    int64_t minute; /* since 1970; 0: counted here alone */
    uint32_t count;
    uint32_t untold;      /* of these, those that the storage does not know */
    uint64_t known_at_ms; /* when the storage was asked for what it told last; 0: never */
    imi_list_t behind;    /* in limit->behind: the storage is told soon */
    char key[KEY_SIZE];
} window_t;

struct imi_limit_ticket {
    imi_limit_t *limit; /* NULL: it is gone */
    const imi_mem_t *mem;
    imi_list_t link;    /* in limit->tickets */
    imi_list_t waiting; /* in limit->waiting */
    uint64_t asked_at_ms;
    int64_t minute;
    uint32_t amount;
    char key[KEY_SIZE];
    imi_limit_verdict_t verdict; /* the memory's */
    imi_limit_cb decided;
    void *user;
};

static void on_added(int status, int64_t value, void *user);
static void on_time(void *user);

void imi_limit_init(imi_limit_t *limit, const imi_mem_t *mem, imagine_t *im, const uint64_t seed[2],
                    uint32_t post_max, uint32_t status_max) {
    *limit = (imi_limit_t){.mem = mem, .im = im};
    limit->limits[IMI_LIMIT_POST] = post_max;
    limit->limits[IMI_LIMIT_STATUS] = status_max;
    imi_map_init(&limit->windows, mem, seed);
    imi_list_init(&limit->by_age);
    imi_list_init(&limit->tickets);
    imi_list_init(&limit->waiting);
    imi_list_init(&limit->behind);
}

/* ---- windows -----------------------------------------------------------------------------------
 */

static void drop(imi_limit_t *limit, window_t *window) {
    imi_list_remove(&window->link);
    imi_list_remove(&window->behind);
    (void)imi_map_remove(&limit->windows, window->key, KEY_SIZE);
    imi_mem_free(limit->mem, window);
}

static window_t *oldest(const imi_limit_t *limit) {
    return imi_list_is_empty(&limit->by_age) ? NULL
                                             : IMI_CONTAINER(limit->by_age.next, window_t, link);
}

static void stop_timer(imi_limit_t *limit, imagine_timer_t **timer) {
    if (*timer != NULL)
        imagine_io(limit->im)->timer_cancel(imagine_io(limit->im)->context, *timer);
    *timer = NULL;
}

void imi_limit_reset(imi_limit_t *limit) {
    window_t *window;
    IMI_ASSERT(imi_list_is_empty(&limit->waiting));
    while (!imi_list_is_empty(&limit->tickets)) { /* each goes with its answer */
        imi_limit_ticket_t *ticket = IMI_CONTAINER(limit->tickets.next, imi_limit_ticket_t, link);
        ticket->limit = NULL;
        imi_list_remove(&ticket->link);
    }
    stop_timer(limit, &limit->timer);
    stop_timer(limit, &limit->behind_timer);
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
    imi_list_init(&window->behind);
    return window;
}

static void open_window(imi_limit_t *limit, window_t *window, int64_t minute, uint64_t now_ms,
                        int64_t now_unix_ms) {
    int64_t left_ms = IMI_LIMIT_WINDOW_MS;
    if (minute != 0)
        left_ms -= now_unix_ms - minute * IMI_LIMIT_WINDOW_MS;
    window->minute = minute;
    window->ends_at_ms = now_ms + (uint64_t)left_ms;
    window->ends_unix_ms = now_unix_ms + left_ms;
    window->count = 0;
    window->untold = 0;
    window->known_at_ms = 0;
    imi_list_remove(&window->link);
    imi_list_append(&limit->by_age, &window->link);
}

/* The caller's window as it is now; NULL: no memory. */
static window_t *find_window(imi_limit_t *limit, const char key[KEY_SIZE], bool is_shared,
                             uint64_t now_ms, int64_t now_unix_ms) {
    window_t *window = imi_map_get(&limit->windows, key, KEY_SIZE);
    int64_t minute = is_shared ? now_unix_ms / IMI_LIMIT_WINDOW_MS : 0;
    if (window == NULL) {
        make_room(limit, now_ms);
        window = add_window(limit, key);
        if (window == NULL)
            return NULL;
    }
    if (window->minute != minute || (minute == 0 && window->ends_at_ms <= now_ms))
        open_window(limit, window, minute, now_ms, now_unix_ms);
    return window;
}

/* ---- the storage -------------------------------------------------------------------------------
 */

typedef struct store {
    const imagine_storage_driver_t *driver; /* NULL: none that can count for all */
    void *self;
} store_t;

static store_t find_store(const imi_limit_t *limit) {
    const uint32_t flags = IMAGINE_STORAGE_IS_SHARED | IMAGINE_STORAGE_IS_ATOMIC;
    store_t store = {NULL, NULL};
    if (limit->im != NULL)
        store.driver = imagine_client_storage(limit->im, &store.self);
    if (store.driver != NULL && (store.driver->flags & flags) != flags)
        store.driver = NULL;
    return store;
}

static void go_alone(imi_limit_t *limit, uint64_t now_ms, int error) {
    char line[96];
    limit->alone_until_ms = now_ms + IMI_LIMIT_ALONE_MS;
    if (limit->is_alone)
        return;
    limit->is_alone = true;
    (void)snprintf(line, sizeof(line), "limit.alone error=%s reason=\"counting in memory\"",
                   imagine_err_name(error));
    imagine_log(limit->im, IMAGINE_LOG_WARN, line);
}

/* The caller as it stands in the storage: a fingerprint or an address, in hex. */
static void stored_key(char out[STORED_KEY_SIZE], const window_t *window) {
    static const char digits[] = "0123456789abcdef";
    char caller[2 * IMI_CALLER_KEY_SIZE + 1];
    for (size_t i = 0; i < IMI_CALLER_KEY_SIZE; i++) {
        uint8_t byte = (uint8_t)window->key[i + 1];
        caller[2 * i] = digits[byte >> 4];
        caller[2 * i + 1] = digits[byte & 15];
    }
    caller[sizeof(caller) - 1] = '\0';
    (void)snprintf(out, STORED_KEY_SIZE, "limit/%s/%s/%" PRId64,
                   window->key[0] == IMI_LIMIT_STATUS ? "status" : "post", caller, window->minute);
}

/* Tells the storage what it does not know of this window. NULL: it cannot be told now. */
static imi_limit_ticket_t *tell(imi_limit_t *limit, store_t store, window_t *window,
                                uint64_t now_ms) {
    imi_limit_ticket_t *ticket = imi_mem_zalloc(limit->mem, sizeof(*ticket));
    uint64_t left_ms = window->ends_at_ms > now_ms ? window->ends_at_ms - now_ms : 0;
    char key[STORED_KEY_SIZE];
    int err;
    if (ticket == NULL)
        return NULL;
    stored_key(key, window);
    /* A window longer than needed: another instance's clock may be behind ours. */
    err = store.driver->add(store.self, key, window->untold, left_ms + IMI_LIMIT_WINDOW_MS,
                            on_added, ticket);
    if (err != 0) {
        imi_mem_free(limit->mem, ticket);
        go_alone(limit, now_ms, err);
        return NULL;
    }
    ticket->limit = limit;
    ticket->mem = limit->mem;
    ticket->asked_at_ms = now_ms;
    ticket->minute = window->minute;
    ticket->amount = window->untold;
    memcpy(ticket->key, window->key, KEY_SIZE);
    imi_list_init(&ticket->waiting);
    imi_list_append(&limit->tickets, &ticket->link);
    window->untold = 0;
    return ticket;
}

/* So far from the limit that it does not matter what other instances have counted since the storage
 * was asked, nor what one that dies did not tell. */
static bool is_far(const window_t *window, uint32_t count_max, uint64_t now_ms) {
    return count_max - window->count >= IMI_LIMIT_FAR && window->known_at_ms != 0 &&
           now_ms - window->known_at_ms < IMI_LIMIT_FRESH_MS;
}

static bool start_timer(imi_limit_t *limit, imagine_timer_t **timer, uint64_t delay_ms,
                        void (*on_due)(void *user)) {
    const imagine_io_t *io = imagine_io(limit->im);
    if (*timer == NULL && io->timer_start(io->context, delay_ms, on_due, limit, timer) != 0)
        *timer = NULL;
    return *timer != NULL;
}

static void on_behind(void *user) {
    imi_limit_t *limit = user;
    const imagine_io_t *io = imagine_io(limit->im);
    uint64_t now_ms = io->now_ms(io->context);
    store_t store = find_store(limit);
    limit->behind_timer = NULL;
    while (!imi_list_is_empty(&limit->behind)) {
        window_t *window = IMI_CONTAINER(limit->behind.next, window_t, behind);
        imi_list_remove(&window->behind);
        if (store.driver != NULL && !limit->is_alone && window->untold > 0)
            (void)tell(limit, store, window, now_ms);
    }
}

/* Once running the timer is left to run: it costs one start in 250 ms instead of one per call. */
static void on_time(void *user) {
    imi_limit_t *limit = user;
    const imagine_io_t *io = imagine_io(limit->im);
    uint64_t now_ms = io->now_ms(io->context);
    imi_list_t late;
    limit->timer = NULL;
    /* On a list of its own: whoever is told may release others, and the last one the gateway. */
    imi_list_init(&late);
    while (!imi_list_is_empty(&limit->waiting)) {
        imi_limit_ticket_t *ticket =
            IMI_CONTAINER(limit->waiting.next, imi_limit_ticket_t, waiting);
        uint64_t deadline_at_ms = ticket->asked_at_ms + IMI_LIMIT_WAIT_MS;
        if (deadline_at_ms > now_ms &&
            start_timer(limit, &limit->timer, deadline_at_ms - now_ms, on_time))
            break;
        imi_list_remove(&ticket->waiting);
        imi_list_append(&late, &ticket->waiting);
    }
    if (!imi_list_is_empty(&late))
        go_alone(limit, now_ms, IMAGINE_ETIMEDOUT);
    while (!imi_list_is_empty(&late)) {
        imi_limit_ticket_t *ticket = IMI_CONTAINER(late.next, imi_limit_ticket_t, waiting);
        imi_list_remove(&ticket->waiting);
        ticket->decided(&ticket->verdict, ticket->user);
    }
}

static void learn(imi_limit_t *limit, const imi_limit_ticket_t *ticket, int status, int64_t value) {
    window_t *window = imi_map_get(&limit->windows, ticket->key, KEY_SIZE);
    uint32_t count_max = limit->limits[(int)ticket->key[0]];
    if (window == NULL || window->minute != ticket->minute)
        return;
    if (status != 0) {
        window->untold += ticket->amount;
        return;
    }
    window->known_at_ms = ticket->asked_at_ms;
    if (value < count_max) /* what it does not know yet comes on top */
        value += window->untold;
    if (value > window->count)
        window->count = value < count_max ? (uint32_t)value : count_max;
}

static void on_added(int status, int64_t value, void *user) {
    imi_limit_ticket_t *ticket = user;
    imi_limit_t *limit = ticket->limit;
    imi_limit_verdict_t verdict = ticket->verdict;
    imi_limit_cb decided = ticket->decided;
    void *decided_user = ticket->user;
    bool is_awaited = !imi_list_is_empty(&ticket->waiting), is_probe, is_late;
    uint64_t now_ms;
    if (limit == NULL) {
        imi_mem_free(ticket->mem, ticket);
        return;
    }
    now_ms = imagine_io(limit->im)->now_ms(imagine_io(limit->im)->context);
    is_late = now_ms - ticket->asked_at_ms > IMI_LIMIT_WAIT_MS;
    is_probe = limit->probe == ticket;
    if (is_probe)
        limit->probe = NULL;
    if (status == IMAGINE_ECLOSED) /* another storage has taken its place */
        limit->alone_until_ms = 0;
    else if (status != 0 || is_late)
        go_alone(limit, now_ms, status != 0 ? status : IMAGINE_ETIMEDOUT);
    else if (is_probe)
        limit->is_alone = false;
    learn(limit, ticket, status, value);
    imi_list_remove(&ticket->waiting);
    imi_list_remove(&ticket->link);
    imi_mem_free(ticket->mem, ticket);
    if (!is_awaited)
        return;
    if (status == 0) {
        verdict.is_over = value > verdict.limit;
        verdict.remaining = value < verdict.limit ? verdict.limit - (uint32_t)value : 0;
    }
    decided(&verdict, decided_user);
}

void imi_limit_cancel(imi_limit_ticket_t *ticket) {
    if (ticket != NULL)
        imi_list_remove(&ticket->waiting);
}

/* ---- counting ----------------------------------------------------------------------------------
 */

/* True: the verdict comes with the storage's answer. */
static bool ask(imi_limit_t *limit, store_t store, window_t *window,
                const imi_limit_verdict_t *verdict, uint64_t now_ms, imi_limit_cb decided,
                void *user, imi_limit_ticket_t **out) {
    bool was_alone = limit->is_alone;
    imi_limit_ticket_t *ticket;
    window->untold++;
    if (was_alone && (limit->probe != NULL || now_ms < limit->alone_until_ms))
        return false;
    if (!was_alone && is_far(window, verdict->limit, now_ms) &&
        start_timer(limit, &limit->behind_timer, IMI_LIMIT_BEHIND_MS, on_behind)) {
        imi_list_remove(&window->behind);
        imi_list_append(&limit->behind, &window->behind);
        return false;
    }
    ticket = tell(limit, store, window, now_ms);
    if (ticket == NULL)
        return false;
    if (was_alone)
        limit->probe = ticket;
    if (was_alone || !start_timer(limit, &limit->timer, IMI_LIMIT_WAIT_MS, on_time))
        return false; /* it goes out all the same */
    ticket->verdict = *verdict;
    ticket->decided = decided;
    ticket->user = user;
    imi_list_append(&limit->waiting, &ticket->waiting);
    *out = ticket;
    return true;
}

void imi_limit_count(imi_limit_t *limit, imi_limit_kind_t kind, const imi_caller_t *caller,
                     uint64_t now_ms, int64_t now_unix_ms, imi_limit_cb decided, void *user,
                     imi_limit_ticket_t **out) {
    uint32_t count_max = kind < IMI_LIMIT_KIND_COUNT ? limit->limits[kind] : 0;
    imi_limit_verdict_t verdict;
    window_t *window;
    store_t store;
    char key[KEY_SIZE];
    if (count_max == 0) {
        decided(NULL, user);
        return;
    }
    key[0] = (char)kind;
    memcpy(key + 1, caller->key, IMI_CALLER_KEY_SIZE);
    store = find_store(limit);
    window = find_window(limit, key, store.driver != NULL, now_ms, now_unix_ms);
    if (window == NULL) {
        decided(NULL, user); /* without memory to count in, nobody is turned away */
        return;
    }
    verdict = (imi_limit_verdict_t){.is_over = window->count >= count_max, .limit = count_max};
    verdict.reset_ms = window->ends_at_ms > now_ms ? window->ends_at_ms - now_ms : 1;
    verdict.reset_unix_ms = window->ends_unix_ms;
    if (!verdict.is_over)
        window->count++;
    verdict.remaining = count_max - window->count;
    if (verdict.is_over || store.driver == NULL ||
        !ask(limit, store, window, &verdict, now_ms, decided, user, out))
        decided(&verdict, user);
}
