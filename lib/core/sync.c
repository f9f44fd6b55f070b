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
#include "core/request.h"
#include "core/task.h"
#include "wire/assert.h"
#include "wire/json.h"
#include "wire/list.h"
#include "wire/map.h"

#define TOKEN_PREFIX "token/"
#define TASK_PREFIX "task/"
#define WEBHOOK_PREFIX "webhook/"
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
    bool is_started;
    bool is_loading;
    int lists_left;
    bool must_list; /* the last time failed */
    imagine_timer_t *load_timer;
    imi_list_t waiting; /* requests, by state_link */
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
        imagine_request_t *request = IMI_CONTAINER(waiting.next, imagine_request_t, state_link);
        imi_list_remove(&request->state_link);
        imi_request_state_loaded(request);
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

/* "token/<provider>/<fingerprint>" or "token/<provider>/<fingerprint>/<model>" */
static void load_mark(imagine_t *im, const imagine_storage_entry_t *entry) {
    imi_slice_t rest = imi_slice_of(entry->key + sizeof(TOKEN_PREFIX) - 1), name, fingerprint;
    imi_slice_t json = {entry->value, entry->value_size};
    imi_slice_t state = imi_json_plain_text(imi_json_get(json, "state"));
    imi_provider_t *provider;
    int64_t until;
    char provider_name[64], fingerprint_text[IMI_FINGERPRINT_SIZE + 1];
    if (!imi_slice_split(&rest, '/', &name) || !imi_slice_split(&rest, '/', &fingerprint) ||
        name.size >= sizeof(provider_name) || fingerprint.size != IMI_FINGERPRINT_SIZE ||
        !imi_json_whole_number(imi_json_get(json, "until"), &until))
        return;
    snprintf(provider_name, sizeof(provider_name), "%.*s", (int)name.size, name.data);
    snprintf(fingerprint_text, sizeof(fingerprint_text), "%.*s", (int)fingerprint.size,
             fingerprint.data);
    provider = imi_registry_find(im, provider_name);
    if (provider == NULL)
        return;
    imi_pool_apply(provider->pool, fingerprint_text, rest.data != NULL ? rest.data : "",
                   imi_slice_equals(state, "cooling") ? IMI_TOKEN_COOLING : IMI_TOKEN_EXHAUSTED,
                   until, imi_clock(im));
}

static void list_later(imi_sync_t *sync, int error) {
    sync->must_list = true;
    complain(sync, error);
    retry_later(sync);
}

static void on_listed(int status, const imagine_storage_entry_t *entries, size_t entry_count,
                      int32_t is_last, void *user) {
    imi_sync_t *sync = user;
    imagine_t *im = sync->im;
    if (status != 0)
        list_later(sync, status);
    for (size_t i = 0; i < entry_count && !sync->is_closing; i++) {
        if (imi_text_starts_with(entries[i].key, TOKEN_PREFIX))
            load_mark(im, &entries[i]);
        else if (imi_text_starts_with(entries[i].key, TASK_PREFIX))
            imi_task_load(im, entries[i].key, entries[i].value, entries[i].value_size);
        else if (imi_text_starts_with(entries[i].key, WEBHOOK_PREFIX))
            imi_webhook_load(im, entries[i].key, entries[i].value, entries[i].value_size);
    }
    IMI_ASSERT(sync->lists_left > 0); /* the driver tells the last one once */
    if (is_last != 0 && --sync->lists_left == 0 && !sync->is_closing)
        loaded(sync);
}

static void list_all(imi_sync_t *sync) {
    /* Webhooks before tasks: one that ends once more has told so already. */
    static const char *const prefixes[] = {TOKEN_PREFIX, WEBHOOK_PREFIX, TASK_PREFIX};
    sync->must_list = false;
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        int err = sync->driver->list(sync->self, prefixes[i], on_listed, sync);
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

void imi_sync_wait(imagine_t *im, imagine_request_t *request) {
    imi_list_append(&im->sync->waiting, &request->state_link);
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

void imi_sync_mark_changed(const char *fingerprint, const char *model, imi_token_state_t state,
                           int64_t until_unix_ms, void *user) {
    const imi_provider_t *provider = user;
    imagine_t *im = provider->im;
    int64_t left_ms = until_unix_ms - im->io->unix_ms(im->io->context);
    char key[IMAGINE_STORAGE_KEY_SIZE_MAX + 1], value[96];
    int size;
    /* An invalid token is looked at anew by every process: its owner may have renewed it. */
    if (state == IMI_TOKEN_INVALID)
        return;
    size = snprintf(key, sizeof(key), TOKEN_PREFIX "%s/%s%s%s", provider->name, fingerprint,
                    model[0] != '\0' ? "/" : "", model);
    if (size < 0 || (size_t)size >= sizeof(key))
        return;
    if (state == IMI_TOKEN_ACTIVE || left_ms <= 0) {
        imi_sync_put(im, key, NULL, 0, 0);
        return;
    }
    size = snprintf(value, sizeof(value), "{\"state\":\"%s\",\"until\":%" PRId64 "}",
                    state == IMI_TOKEN_COOLING ? "cooling" : "exhausted", until_unix_ms);
    imi_sync_put(im, key, value, (size_t)size, (uint64_t)left_ms);
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

int imi_sync_attach(imagine_t *im, imagine_storage_t *storage) {
    imi_sync_t *sync = imi_mem_zalloc(&im->mem, sizeof(*sync));
    imi_sync_t *former = im->sync;
    int err = IMAGINE_ENOMEM;
    if (sync != NULL) {
        sync->im = im;
        sync->storage = storage;
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
