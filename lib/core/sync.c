/* sync.c: the background traffic between memory and the store.
 *
 * Writes: a change goes into `pending` (one entry per key, the latest wins) and from there to the
 * driver, one operation per key at a time. What the driver refuses stays pending and is tried again
 * after a pause. Reads: everything once at the start; again, until it succeeds, when that failed.
 *
 * Of a storage that is shared, what others change under IMI_SYNC_LIVE is read when the driver tells
 * of it, else by listing it again, at most once a second and only while there is work. An entry
 * that is owned stays in `pending` and is written by swaps: `stored` -> `sent`. A swap that finds
 * something else looks at what is there: what we wanted (the answer to an earlier try was lost),
 * nothing (the store was emptied: begin anew), or another's. */
#include "core/sync.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "wire/assert.h"
#include "wire/list.h"
#include "wire/map.h"
#include "wire/str.h"

#define LOAD_WAIT_MS 250
#define RETRY_MS 5000
#define FLUSH_WAIT_MS 1000
#define COMPLAIN_EVERY_MS \
    60000 /* a full or broken store is said once a minute, not once a request */
#define REFRESH_MS 1000
#define SLOW_REFRESH_MS 60000 /* of a storage that shows changes only after a minute */

typedef struct pending {
    imi_sync_t *sync;
    imi_list_t link;
    char *key;
    char *value; /* NULL: remove */
    size_t value_size;
    uint64_t ttl_ms;
    bool is_sent;     /* an operation is under way */
    bool has_changed; /* since that operation was started */

    bool is_owned;
    imi_sync_settled_cb
        on_settled; /* NULL: not disowned; else the last write is still to be done */
    imi_sync_lost_cb on_lost;
    char *stored; /* what the store has; NULL: nothing */
    size_t stored_size;
    char *sent; /* what it will have */
    size_t sent_size;
    imi_list_t waiters; /* imi_sync_waiter_t: for it to be written */
    imagine_timer_t *patience;
} pending_t;

typedef struct listing {
    imi_sync_t *sync;
    const imi_sync_kind_t *kind;
    size_t count; /* of entries so far */
    bool is_under_way;
    bool has_failed;
} listing_t;

/* A key that somebody else has changed. */
typedef struct news {
    imi_sync_t *sync;
    imi_list_t link;
    char key[];
} news_t;

struct imi_sync {
    imagine_t *im;
    imagine_storage_t *storage;
    const imagine_storage_driver_t *driver;
    void *self;
    const imi_sync_kind_t *kinds;
    size_t kind_count;
    bool is_started;
    bool is_loading;
    listing_t listings[IMI_SYNC_KINDS_MAX];
    int lists_left;
    bool must_list; /* the last time failed */
    bool is_behind; /* what is being listed may have changed behind the reader */
    uint64_t listed_at_ms;
    imi_list_t news; /* being read */
    imagine_timer_t *load_timer;
    imi_list_t waiting; /* imi_sync_waiter_t */
    imi_map_t pending;  /* key -> pending_t */
    imi_list_t order;   /* of pending, oldest change first */
    imagine_timer_t *retry_timer;
    uint64_t complained_at_ms;
    bool has_complained;
    bool is_away;
    bool is_away_told;

    bool is_closing;
    imagine_timer_t *flush_timer;
    imagine_closed_cb closed;
    void *closed_user;
};

static void send(pending_t *pending);
static void look(pending_t *pending);
static void retry_later(imi_sync_t *sync);
static void list_kinds(imi_sync_t *sync, bool is_all);
static void finish_close(imi_sync_t *sync);

/* ---- loading ----------------------------------------------------------------------------------
 */

/* Moved to a list of their own: a request that goes on may end, and others with it. */
static void wake_all(imi_list_t *waiters) {
    imi_list_t waiting;
    imi_list_init(&waiting);
    while (!imi_list_is_empty(waiters)) {
        imi_list_t *node = waiters->next;
        imi_list_remove(node);
        imi_list_append(&waiting, node);
    }
    while (!imi_list_is_empty(&waiting)) {
        imi_sync_waiter_t *waiter = IMI_CONTAINER(waiting.next, imi_sync_waiter_t, link);
        imi_list_remove(&waiter->link);
        waiter->on_loaded(waiter);
    }
}

static void loaded(imi_sync_t *sync) {
    imagine_t *im = sync->im;
    if (sync->load_timer != NULL)
        im->io->timer_cancel(im->io->context, sync->load_timer);
    sync->load_timer = NULL;
    if (!sync->is_loading)
        return;
    sync->is_loading = false;
    wake_all(&sync->waiting);
}

static void on_load_late(void *user) {
    imi_sync_t *sync = user;
    sync->load_timer = NULL;
    imi_log(sync->im, IMAGINE_LOG_WARN, "store.slow driver=%s", sync->driver->name);
    loaded(sync);
}

static void complain(imi_sync_t *sync, int error) {
    imagine_t *im = sync->im;
    uint64_t now_ms = imi_now_ms(im);
    sync->is_away = true;
    if (sync->has_complained && now_ms - sync->complained_at_ms < COMPLAIN_EVERY_MS)
        return;
    sync->has_complained = true;
    sync->is_away_told = true;
    sync->complained_at_ms = now_ms;
    imi_log(im, IMAGINE_LOG_WARN, "store.failed driver=%s error=%s", sync->driver->name,
            imagine_err_name(error));
}

void imi_sync_failed(imagine_t *im, int error) {
    if (im->sync != NULL)
        complain(im->sync, error);
}

static void list_later(imi_sync_t *sync, int error) {
    sync->must_list = true;
    complain(sync, error);
    retry_later(sync);
}

static const imi_sync_kind_t *kind_of(const imi_sync_t *sync, const char *key) {
    for (size_t i = 0; i < sync->kind_count; i++)
        if (imi_text_starts_with(key, sync->kinds[i].prefix))
            return &sync->kinds[i];
    return NULL;
}

static void on_listed(int status, const imagine_storage_entry_t *entries, size_t entry_count,
                      int32_t is_last, void *user) {
    listing_t *listing = user;
    imi_sync_t *sync = listing->sync;
    imagine_t *im = sync->im;
    if (status != 0) {
        listing->has_failed = true;
        list_later(sync, status);
    }
    listing->count += entry_count;
    for (size_t i = 0; i < entry_count && !sync->is_closing; i++)
        listing->kind->load(im, entries[i].key, entries[i].value, entries[i].value_size);
    if (is_last == 0)
        return;
    IMI_ASSERT(listing->is_under_way && sync->lists_left > 0); /* the last one is told once */
    listing->is_under_way = false;
    sync->lists_left--;
    if (sync->is_closing)
        return;
    if (!listing->has_failed && listing->kind->on_listed != NULL)
        listing->kind->on_listed(im, listing->count);
    if (sync->lists_left > 0)
        return;
    loaded(sync);
    if (sync->is_behind && !sync->is_closing)
        list_kinds(sync, false);
}

static bool is_live(const imi_sync_kind_t *kind) {
    return imi_text_starts_with(kind->prefix, IMI_SYNC_LIVE);
}

static void list_kinds(imi_sync_t *sync, bool is_all) {
    sync->must_list = false;
    sync->is_behind = false;
    sync->listed_at_ms = imi_now_ms(sync->im);
    for (size_t i = 0; i < sync->kind_count; i++) {
        listing_t *listing = &sync->listings[i];
        const imi_sync_kind_t *kind = &sync->kinds[i];
        int err;
        if ((!is_all && !is_live(kind)) || (kind->is_unshared && imi_sync_is_shared(sync->im)))
            continue;
        if (listing->is_under_way) {
            sync->is_behind = true;
            continue;
        }
        *listing = (listing_t){.sync = sync, .kind = kind};
        err = sync->driver->list(sync->self, kind->prefix, on_listed, listing);
        if (err != 0) {
            list_later(sync, err);
            continue;
        }
        listing->is_under_way = true;
        sync->lists_left++;
    }
}

/* ---- what others change ------------------------------------------------------------------------
 */

static void on_news(int status, const void *value, size_t value_size, void *user) {
    news_t *news = user;
    imi_sync_t *sync = news->sync;
    const imi_sync_kind_t *kind = kind_of(sync, news->key);
    imi_list_remove(&news->link);
    if (!sync->is_closing && kind != NULL) {
        if (status == 0 || status == IMAGINE_ENOTFOUND)
            kind->load(sync->im, news->key, status == 0 ? value : NULL, value_size);
        else
            list_later(sync, status);
    }
    imi_mem_free(&sync->im->mem, news);
}

static void on_changed(const char *key, void *user) {
    imi_sync_t *sync = user;
    news_t *news;
    size_t size;
    int err = IMAGINE_ENOMEM;
    if (sync->is_closing || (key != NULL && kind_of(sync, key) == NULL))
        return;
    if (key == NULL) {
        list_kinds(sync, false);
        return;
    }
    size = strlen(key) + 1;
    news = imi_mem_alloc(&sync->im->mem, sizeof(*news) + size);
    if (news != NULL) {
        *news = (news_t){.sync = sync};
        memcpy(news->key, key, size);
        imi_list_append(&sync->news, &news->link);
        err = sync->driver->get(sync->self, key, on_news, news);
    }
    if (err == 0)
        return;
    if (news != NULL)
        imi_list_remove(&news->link);
    imi_mem_free(&sync->im->mem, news);
    list_later(sync, err);
}

const imagine_storage_driver_t *imagine_client_storage(const imagine_t *im, void **out_self) {
    const imi_sync_t *sync = im->sync;
    bool is_there = sync != NULL && !sync->is_closing;
    *out_self = is_there ? sync->self : NULL;
    return is_there ? sync->driver : NULL;
}

bool imi_sync_is_shared(const imagine_t *im) {
    const uint32_t flags = IMAGINE_STORAGE_IS_SHARED | IMAGINE_STORAGE_IS_ATOMIC;
    return im->sync != NULL && (im->sync->driver->flags & flags) == flags &&
           im->sync->driver->swap != NULL;
}

bool imi_sync_is_away(const imagine_t *im) {
    return im->sync != NULL && im->sync->is_away;
}

/* The driver tells of everybody's changes. */
static bool is_told(const imi_sync_t *sync) {
    return sync->driver->watch != NULL &&
           (sync->driver->flags & IMAGINE_STORAGE_WATCHES_PROCESS) == 0;
}

void imi_sync_refresh(imagine_t *im) {
    imi_sync_t *sync = im->sync;
    uint64_t pause_ms;
    if (sync == NULL || is_told(sync) || sync->is_closing || sync->lists_left > 0 ||
        (sync->driver->flags & IMAGINE_STORAGE_IS_SHARED) == 0)
        return;
    pause_ms =
        (sync->driver->flags & IMAGINE_STORAGE_IS_ATOMIC) != 0 ? REFRESH_MS : SLOW_REFRESH_MS;
    if (imi_now_ms(im) - sync->listed_at_ms >= pause_ms)
        list_kinds(sync, false);
}

static int start_loading(imi_sync_t *sync) {
    const imagine_io_t *io = sync->im->io;
    int err = io->timer_start(io->context, LOAD_WAIT_MS, on_load_late, sync, &sync->load_timer);
    if (err != 0)
        return err;
    sync->is_loading = true;
    list_kinds(sync, true);
    if (sync->lists_left == 0) /* nothing will come: nobody needs to wait */
        loaded(sync);
    return 0;
}

void imi_sync_reload(imagine_t *im) {
    if (im->sync != NULL && !im->sync->is_loading && start_loading(im->sync) != 0)
        complain(im->sync, IMAGINE_ENOMEM);
}

bool imi_sync_is_loading(const imagine_t *im) {
    return im->sync != NULL && im->sync->is_loading;
}

void imi_sync_wait(imagine_t *im, imi_sync_waiter_t *waiter) {
    imi_list_append(&im->sync->waiting, &waiter->link);
}

/* ---- writing ----------------------------------------------------------------------------------
 */

static void drop(pending_t *pending) {
    imi_sync_t *sync = pending->sync;
    const imi_mem_t *mem = &sync->im->mem;
    imi_list_t waiters;
    imi_map_remove(&sync->pending, pending->key, strlen(pending->key));
    imi_list_remove(&pending->link);
    if (pending->patience != NULL)
        sync->im->io->timer_cancel(sync->im->io->context, pending->patience);
    imi_list_init(&waiters);
    while (!imi_list_is_empty(&pending->waiters)) {
        imi_list_t *node = pending->waiters.next;
        imi_list_remove(node);
        imi_list_append(&waiters, node);
    }
    imi_mem_free(mem, pending->key);
    imi_mem_free(mem, pending->value);
    imi_mem_free(mem, pending->stored);
    imi_mem_free(mem, pending->sent);
    imi_mem_free(mem, pending);
    wake_all(&waiters);
}

static void on_retry(void *user) {
    imi_sync_t *sync = user;
    imi_list_t *node = sync->order.next;
    sync->retry_timer = NULL;
    while (node != &sync->order) {
        pending_t *pending = IMI_CONTAINER(node, pending_t, link);
        node = node->next;
        if (!pending->is_sent && pending->has_changed)
            send(pending);
    }
    if (sync->must_list && sync->lists_left == 0)
        list_kinds(sync, true);
}

static void retry_later(imi_sync_t *sync) {
    const imagine_io_t *io = sync->im->io;
    if (sync->retry_timer == NULL && !sync->is_closing)
        io->timer_start(io->context, RETRY_MS, on_retry, sync, &sync->retry_timer);
}

static void stop_waiting(pending_t *pending) {
    const imagine_io_t *io = pending->sync->im->io;
    if (pending->patience != NULL)
        io->timer_cancel(io->context, pending->patience);
    pending->patience = NULL;
    wake_all(&pending->waiters); /* last: it may end with the client */
}

static void on_impatient(void *user) {
    pending_t *pending = user;
    pending->patience = NULL;
    stop_waiting(pending);
}

bool imi_sync_wait_written(imagine_t *im, const char *key, imi_sync_waiter_t *waiter) {
    imi_sync_t *sync = im->sync;
    pending_t *pending = sync != NULL ? imi_map_get(&sync->pending, key, strlen(key)) : NULL;
    if (pending == NULL || !pending->is_owned || (!pending->is_sent && !pending->has_changed))
        return false;
    if (pending->patience == NULL &&
        im->io->timer_start(im->io->context, LOAD_WAIT_MS, on_impatient, pending,
                            &pending->patience) != 0) {
        pending->patience = NULL;
        return false;
    }
    imi_list_append(&pending->waiters, &waiter->link);
    return true;
}

/* A store that takes one write and refuses another is not told to come and go: the next complaint
 * has its minute all the same. */
static void said_ok(imi_sync_t *sync) {
    sync->is_away = false;
    if (!sync->is_away_told)
        return;
    sync->is_away_told = false;
    imi_log(sync->im, IMAGINE_LOG_INFO, "store.back driver=%s", sync->driver->name);
}

void imi_sync_worked(imagine_t *im) {
    if (im->sync != NULL)
        said_ok(im->sync);
}

/* A write that was not done is tried again, unless a newer one takes its place anyway. */
static void write_failed(pending_t *pending, int error) {
    imi_sync_t *sync = pending->sync;
    imi_mem_free(&sync->im->mem, pending->sent);
    pending->sent = NULL;
    pending->has_changed = true;
    complain(sync, error);
    retry_later(sync);
}

static void settle(pending_t *pending) {
    imagine_t *im = pending->sync->im;
    imi_sync_settled_cb on_settled = pending->on_settled;
    char key[IMAGINE_STORAGE_KEY_SIZE_MAX + 1];
    snprintf(key, sizeof(key), "%s", pending->key);
    drop(pending);
    if (!im->is_closing)
        on_settled(im, key);
}

static void written(pending_t *pending) {
    imi_sync_t *sync = pending->sync;
    const imi_sync_kind_t *kind = kind_of(sync, pending->key);
    said_ok(sync);
    if (kind != NULL && kind->stored != NULL && !sync->is_closing) {
        pending->is_sent = true; /* more may be put, under this very key, too */
        kind->stored(sync->im, pending->key);
        pending->is_sent = false;
    }
    if (pending->is_owned) {
        imi_mem_free(&sync->im->mem, pending->stored);
        pending->stored = pending->sent;
        pending->stored_size = pending->sent_size;
        pending->sent = NULL;
    }
    if (pending->has_changed)
        send(pending);
    else if (!pending->is_owned)
        drop(pending);
    else if (pending->on_settled != NULL)
        settle(pending);
    else
        stop_waiting(pending);
}

static void on_written(int status, void *user) {
    pending_t *pending = user;
    imi_sync_t *sync = pending->sync;
    pending->is_sent = false;
    if (status == IMAGINE_ENOTFOUND && pending->is_owned)
        look(pending);
    else if (status != 0)
        write_failed(pending, status);
    else
        written(pending);
    if (sync->is_closing)
        finish_close(sync);
}

static void lose(pending_t *pending) {
    imagine_t *im = pending->sync->im;
    imi_sync_lost_cb on_lost = pending->on_lost;
    imi_sync_settled_cb on_settled = pending->on_settled;
    char key[IMAGINE_STORAGE_KEY_SIZE_MAX + 1];
    snprintf(key, sizeof(key), "%s", pending->key);
    drop(pending);
    imi_log(im, IMAGINE_LOG_WARN, "store.lost key=%s reason=\"another instance has taken it over\"",
            key);
    if (!im->is_closing)
        on_lost(im, key);
    if (!im->is_closing && on_settled != NULL)
        on_settled(im, key);
}

/* The swap found something else there. */
static void on_looked(int status, const void *value, size_t value_size, void *user) {
    pending_t *pending = user;
    imi_sync_t *sync = pending->sync;
    bool is_sent_one = status == 0 && pending->sent != NULL && pending->sent_size == value_size &&
                       memcmp(pending->sent, value, value_size) == 0;
    pending->is_sent = false;
    if (is_sent_one || (status == IMAGINE_ENOTFOUND && pending->sent == NULL)) {
        written(pending);
    } else if (status == IMAGINE_ENOTFOUND) {
        imi_mem_free(&sync->im->mem, pending->stored);
        pending->stored = NULL;
        pending->stored_size = 0;
        imi_mem_free(&sync->im->mem, pending->sent);
        pending->sent = NULL;
        send(pending);
    } else if (status == 0) {
        lose(pending);
    } else {
        write_failed(pending, status);
    }
    if (sync->is_closing)
        finish_close(sync);
}

static void look(pending_t *pending) {
    imi_sync_t *sync = pending->sync;
    int err = sync->driver->get(sync->self, pending->key, on_looked, pending);
    pending->is_sent = err == 0;
    if (err != 0)
        write_failed(pending, err);
}

static int swap(pending_t *pending) {
    imi_sync_t *sync = pending->sync;
    imi_mem_free(&sync->im->mem, pending->sent);
    pending->sent = NULL;
    pending->sent_size = pending->value_size;
    if (pending->value != NULL) {
        pending->sent = imi_mem_strndup(&sync->im->mem, pending->value, pending->value_size);
        if (pending->sent == NULL)
            return IMAGINE_ENOMEM;
    }
    return sync->driver->swap(sync->self, pending->key, pending->stored, pending->stored_size,
                              pending->sent, pending->sent_size, pending->ttl_ms, on_written,
                              pending);
}

static void send(pending_t *pending) {
    imi_sync_t *sync = pending->sync;
    int err;
    IMI_ASSERT(!pending->is_sent); /* one operation per key at a time */
    pending->is_sent = true;
    pending->has_changed = false;
    if (pending->is_owned)
        err = swap(pending);
    else if (pending->value != NULL)
        err = sync->driver->set(sync->self, pending->key, pending->value, pending->value_size,
                                pending->ttl_ms, on_written, pending);
    else
        err = sync->driver->remove(sync->self, pending->key, on_written, pending);
    if (err == 0)
        return;
    pending->is_sent = false;
    write_failed(pending, err);
}

static pending_t *pending_of(imi_sync_t *sync, const char *key) {
    const imi_mem_t *mem = &sync->im->mem;
    pending_t *pending = imi_map_get(&sync->pending, key, strlen(key));
    if (pending != NULL)
        return pending;
    pending = imi_mem_zalloc(mem, sizeof(*pending));
    if (pending == NULL)
        return NULL;
    pending->sync = sync;
    imi_list_init(&pending->link);
    imi_list_init(&pending->waiters);
    pending->key = imi_mem_strdup(mem, key);
    if (pending->key == NULL || imi_map_set(&sync->pending, key, strlen(key), pending) != 0) {
        imi_mem_free(mem, pending->key);
        imi_mem_free(mem, pending);
        return NULL;
    }
    imi_list_append(&sync->order, &pending->link);
    return pending;
}

void imi_sync_put(imagine_t *im, const char *key, const char *value, size_t value_size,
                  uint64_t ttl_ms) {
    imi_sync_t *sync = im->sync;
    pending_t *pending;
    char *copy = NULL;
    if (sync == NULL || sync->is_closing)
        return;
    if (value != NULL)
        copy = imi_mem_strndup(&im->mem, value, value_size);
    pending = value != NULL && copy == NULL ? NULL : pending_of(sync, key);
    if (pending == NULL) {
        imi_mem_free(&im->mem, copy);
        complain(sync, IMAGINE_ENOMEM);
        return;
    }
    imi_mem_free(&im->mem, pending->value);
    pending->value = copy;
    pending->value_size = value_size;
    pending->ttl_ms = ttl_ms;
    pending->has_changed = true;
    if (!pending->is_sent)
        send(pending);
}

int imi_sync_own(imagine_t *im, const char *key, imi_slice_t stored, imi_sync_lost_cb on_lost) {
    pending_t *pending;
    if (!imi_sync_is_shared(im) || im->sync->is_closing)
        return 0;
    pending = pending_of(im->sync, key);
    if (pending == NULL)
        return IMAGINE_ENOMEM;
    if (stored.data != NULL) {
        pending->stored = imi_mem_strndup(&im->mem, stored.data, stored.size);
        if (pending->stored == NULL) {
            drop(pending);
            return IMAGINE_ENOMEM;
        }
        pending->stored_size = stored.size;
    }
    pending->is_owned = true;
    pending->on_settled = NULL;
    pending->on_lost = on_lost;
    return 0;
}

void imi_sync_disown(imagine_t *im, const char *key, imi_sync_settled_cb on_settled) {
    pending_t *pending =
        im->sync != NULL ? imi_map_get(&im->sync->pending, key, strlen(key)) : NULL;
    if (pending == NULL || !pending->is_owned) {
        on_settled(im, key);
        return;
    }
    pending->on_settled = on_settled;
    if (!pending->is_sent && !pending->has_changed)
        settle(pending);
}

int imi_sync_list(imagine_t *im, const char *prefix, imagine_storage_list_cb done, void *user) {
    imi_sync_t *sync = im->sync;
    if (sync == NULL || sync->is_closing)
        return IMAGINE_ECLOSED;
    return sync->driver->list(sync->self, prefix, done, user);
}

int imi_sync_swap(imagine_t *im, const char *key, imi_slice_t expected, imi_slice_t value,
                  uint64_t ttl_ms, imagine_storage_done_cb done, void *user) {
    imi_sync_t *sync = im->sync;
    if (!imi_sync_is_shared(im) || sync->is_closing)
        return IMAGINE_ENOTSUP;
    return sync->driver->swap(sync->self, key, expected.data, expected.size, value.data, value.size,
                              ttl_ms, done, user);
}

int imi_sync_get(imagine_t *im, const char *key, imagine_storage_get_cb done, void *user) {
    imi_sync_t *sync = im->sync;
    if (sync == NULL || sync->is_closing)
        return IMAGINE_ECLOSED;
    return sync->driver->get(sync->self, key, done, user);
}

/* ---- life -------------------------------------------------------------------------------------
 */

static void free_sync(imi_sync_t *sync) {
    imagine_t *im = sync->im;
    while (!imi_list_is_empty(&sync->order))
        drop(IMI_CONTAINER(sync->order.next, pending_t, link));
    IMI_ASSERT(imi_list_is_empty(&sync->news)); /* each has called back */
    imi_map_reset(&sync->pending);
    imi_mem_free(&im->mem, sync);
}

static void on_storage_closed(void *user) {
    imi_sync_t *sync = user;
    imagine_closed_cb closed = sync->closed;
    void *closed_user = sync->closed_user;
    free_sync(sync);
    closed(closed_user);
}

static void on_flush_late(void *user) {
    imi_sync_t *sync = user;
    imagine_storage_t *storage = sync->storage;
    sync->flush_timer = NULL;
    sync->storage = NULL;
    imagine_storage_close(storage, on_storage_closed, sync);
}

static void finish_close(imi_sync_t *sync) {
    const imagine_io_t *io = sync->im->io;
    if (sync->flush_timer == NULL) /* the storage is closing already */
        return;
    for (imi_list_t *node = sync->order.next; node != &sync->order; node = node->next)
        if (IMI_CONTAINER(node, pending_t, link)->is_sent)
            return;
    /* From a turn of its own: we may be inside the driver. */
    io->timer_cancel(io->context, sync->flush_timer);
    if (io->timer_start(io->context, 0, on_flush_late, sync, &sync->flush_timer) != 0)
        on_flush_late(sync);
}

static void close_sync(imi_sync_t *sync, imagine_closed_cb closed, void *user) {
    const imagine_io_t *io = sync->im->io;
    loaded(sync);
    sync->is_closing = true;
    sync->closed = closed;
    sync->closed_user = user;
    if (sync->retry_timer != NULL)
        io->timer_cancel(io->context, sync->retry_timer);
    sync->retry_timer = NULL;
    if (io->timer_start(io->context, FLUSH_WAIT_MS, on_flush_late, sync, &sync->flush_timer) != 0) {
        on_flush_late(sync);
        return;
    }
    finish_close(sync);
}

void imi_sync_close(imagine_t *im, imagine_closed_cb closed, void *user) {
    imi_sync_t *sync = im->sync;
    im->sync = NULL;
    if (sync == NULL)
        closed(user);
    else
        close_sync(sync, closed, user);
}

static void on_former_closed(void *user) {
    imagine_t *im = user;
    IMI_ASSERT(im->former_syncs > 0);
    im->former_syncs--;
    imi_client_request_gone(im); /* a client that is closing waits for it */
}

int imi_sync_attach(imagine_t *im, imagine_storage_t *storage, const imi_sync_kind_t *kinds,
                    size_t kind_count) {
    imi_sync_t *sync = imi_mem_zalloc(&im->mem, sizeof(*sync));
    imi_sync_t *former = im->sync;
    int err = IMAGINE_ENOMEM;
    if (sync != NULL) {
        sync->im = im;
        sync->storage = storage;
        sync->kinds = kinds;
        sync->kind_count = kind_count;
        sync->driver = imagine_storage_driver(storage, &sync->self);
        imi_list_init(&sync->waiting);
        imi_list_init(&sync->order);
        imi_list_init(&sync->news);
        imi_map_init(&sync->pending, &im->mem, im->seed);
        err = sync->driver->start(sync->self, im->io);
    }
    if (err != 0) {
        imi_mem_free(&im->mem, sync);
        imagine_storage_close(storage, NULL, NULL);
        return err;
    }
    im->sync = sync;
    if (former != NULL) {
        im->former_syncs++;
        close_sync(former, on_former_closed, im);
    }
    if (sync->driver->watch != NULL &&
        sync->driver->watch(sync->self, IMI_SYNC_LIVE, on_changed, sync) != 0)
        complain(sync, IMAGINE_ENOMEM);
    return start_loading(sync);
}
