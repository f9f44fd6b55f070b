/* sync.c: the background traffic between memory and the store.
 *
 * Writes: a change goes into `pending` (one entry per key, the latest wins) and from there to the
 * driver, one operation per key at a time. What the driver refuses stays pending and is tried again
 * after a pause. Reads: everything once at the start; again, until it succeeds, when that failed.
 */
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

typedef struct pending {
    imi_sync_t *sync;
    imi_list_t link;
    char *key;
    char *value; /* NULL: remove */
    size_t value_size;
    uint64_t ttl_ms;
    bool is_sent;     /* an operation is under way */
    bool has_changed; /* since that operation was started */
} pending_t;

struct imi_sync {
    imagine_t *im;
    imagine_storage_t *storage;
    const imagine_storage_driver_t *driver;
    void *self;
    const imi_sync_kind_t *kinds;
    size_t kind_count;
    bool is_started;
    bool is_loading;
    int lists_left;
    bool must_list; /* the last time failed */
    imagine_timer_t *load_timer;
    imi_list_t waiting; /* imi_sync_waiter_t */
    imi_map_t pending;  /* key -> pending_t */
    imi_list_t order;   /* of pending, oldest change first */
    imagine_timer_t *retry_timer;
    uint64_t complained_at_ms;
    bool has_complained;
    bool is_away;

    bool is_closing;
    imagine_timer_t *flush_timer;
    imagine_closed_cb closed;
    void *closed_user;
};

static void send(pending_t *pending);
static void retry_later(imi_sync_t *sync);
static void finish_close(imi_sync_t *sync);

/* ---- loading ----------------------------------------------------------------------------------
 */

static void loaded(imi_sync_t *sync) {
    imagine_t *im = sync->im;
    imi_list_t waiting;
    if (sync->load_timer != NULL)
        im->io->timer_cancel(im->io->context, sync->load_timer);
    sync->load_timer = NULL;
    if (!sync->is_loading)
        return;
    sync->is_loading = false;
    /* Moved to a list of its own: a request that goes on may end, and others with it. */
    imi_list_init(&waiting);
    while (!imi_list_is_empty(&sync->waiting)) {
        imi_list_t *node = sync->waiting.next;
        imi_list_remove(node);
        imi_list_append(&waiting, node);
    }
    while (!imi_list_is_empty(&waiting)) {
        imi_sync_waiter_t *waiter = IMI_CONTAINER(waiting.next, imi_sync_waiter_t, link);
        imi_list_remove(&waiter->link);
        waiter->on_loaded(waiter);
    }
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
    sync->complained_at_ms = now_ms;
    imi_log(im, IMAGINE_LOG_WARN, "store.failed driver=%s error=%s", sync->driver->name,
            imagine_err_name(error));
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
    imi_sync_t *sync = user;
    imagine_t *im = sync->im;
    if (status != 0)
        list_later(sync, status);
    for (size_t i = 0; i < entry_count && !sync->is_closing; i++) {
        const imi_sync_kind_t *kind = kind_of(sync, entries[i].key);
        if (kind != NULL)
            kind->load(im, entries[i].key, entries[i].value, entries[i].value_size);
    }
    IMI_ASSERT(sync->lists_left > 0); /* the driver tells the last one once */
    if (is_last != 0 && --sync->lists_left == 0 && !sync->is_closing)
        loaded(sync);
}

static void list_all(imi_sync_t *sync) {
    sync->must_list = false;
    for (size_t i = 0; i < sync->kind_count; i++) {
        int err = sync->driver->list(sync->self, sync->kinds[i].prefix, on_listed, sync);
        if (err == 0)
            sync->lists_left++;
        else
            list_later(sync, err);
    }
}

static int start_loading(imi_sync_t *sync) {
    const imagine_io_t *io = sync->im->io;
    int err = io->timer_start(io->context, LOAD_WAIT_MS, on_load_late, sync, &sync->load_timer);
    if (err != 0)
        return err;
    sync->is_loading = true;
    list_all(sync);
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
    imi_map_remove(&sync->pending, pending->key, strlen(pending->key));
    imi_list_remove(&pending->link);
    imi_mem_free(mem, pending->key);
    imi_mem_free(mem, pending->value);
    imi_mem_free(mem, pending);
}

static void on_retry(void *user) {
    imi_sync_t *sync = user;
    imi_list_t *node = sync->order.next;
    sync->retry_timer = NULL;
    while (node != &sync->order) {
        pending_t *pending = IMI_CONTAINER(node, pending_t, link);
        node = node->next;
        if (!pending->is_sent)
            send(pending);
    }
    if (sync->must_list && sync->lists_left == 0)
        list_all(sync);
}

static void retry_later(imi_sync_t *sync) {
    const imagine_io_t *io = sync->im->io;
    if (sync->retry_timer == NULL && !sync->is_closing)
        io->timer_start(io->context, RETRY_MS, on_retry, sync, &sync->retry_timer);
}

static void on_written(int status, void *user) {
    pending_t *pending = user;
    imi_sync_t *sync = pending->sync;
    const imi_sync_kind_t *kind = kind_of(sync, pending->key);
    if (status == 0 && kind != NULL && kind->stored != NULL && !sync->is_closing)
        kind->stored(sync->im, pending->key); /* may put more, under this very key, too */
    pending->is_sent = false;
    if (status == 0 && sync->is_away) {
        sync->is_away = false;
        sync->has_complained = false;
        imi_log(sync->im, IMAGINE_LOG_INFO, "store.back driver=%s", sync->driver->name);
    }
    if (status != 0) {
        complain(sync, status);
        retry_later(sync);
    } else if (pending->has_changed) {
        send(pending);
    } else {
        drop(pending);
    }
    if (sync->is_closing)
        finish_close(sync);
}

static void send(pending_t *pending) {
    imi_sync_t *sync = pending->sync;
    int err;
    IMI_ASSERT(!pending->is_sent); /* one operation per key at a time */
    pending->is_sent = true;
    pending->has_changed = false;
    if (pending->value != NULL)
        err = sync->driver->set(sync->self, pending->key, pending->value, pending->value_size,
                                pending->ttl_ms, on_written, pending);
    else
        err = sync->driver->remove(sync->self, pending->key, on_written, pending);
    if (err == 0)
        return;
    pending->is_sent = false;
    complain(sync, err);
    retry_later(sync);
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
    err = start_loading(sync);
    return err;
}
