/* share.c: one storage for several clients, each on a thread of its own.
 *
 *   client's thread                              share's thread
 *   queue.c: check, copy --> handle.asked  ====> todo --> the real driver performs
 *   call back, free      <-- handle.answers <==== its answer, copied into the operation
 *   changed(key)         <-- handle.notes   <==== what another handle, or another process, changed
 *
 * Each of the three lists is guarded by its handle's mutex, held to link or unlink and never while
 * anything is called back, and whoever puts the first thing into an empty one wakes the other side:
 * one wake-up for all that comes before it looks. An operation travels as it is, there and back.
 *
 * A handle ends when all it asked for is answered. The last one to end tells the share's thread to
 * close the real storage, waits for it, and frees the share. */
#include <string.h>

#include <uv.h>

#include "storage/drivers.h"
#include "storage/queue.h"
#include "wire/assert.h"
#include "wire/str.h"

/* So many changes may wait for a handle whose thread is busy; then it hears that anything may have
 * changed. */
#define NOTES_MAX 4096
#define LIST_SIZE_MAX (256u * 1024 * 1024) /* keys and values of one list's answer */
#define ENTRIES_AT_FIRST 64                /* of a list's answer; doubled when it is full */

typedef struct share share_t;

typedef struct handle {
    imi_storage_queue_t queue; /* first, see queue.h */
    share_t *share;
    uv_async_t wake; /* on the loop of its client */
    bool is_started;
    bool is_delivering; /* inside on_wake() */
    imagine_storage_changed_cb changed;
    void *changed_user;

    uv_mutex_t mutex; /* for the rest */
    imi_list_t asked, answers, notes;
    size_t note_count;
    bool has_gap;   /* a note is lost */
    bool is_open;   /* started and not ended: may be woken */
    bool is_last;   /* of all, and waits for the share's thread, … */
    bool is_over;   /* … which has ended */
    bool has_watch; /* wants notes of keys with this prefix */
    char prefix[IMAGINE_STORAGE_KEY_SIZE_MAX + 1];
} handle_t;

typedef struct note {
    imi_list_t node;
    char key[];
} note_t;

struct share {
    const imi_mem_t *mem;
    imagine_storage_t *storage; /* the real one; below it its driver */
    const imagine_storage_driver_t *driver;
    void *self;
    uv_loop_t loop;
    uv_async_t wake;
    imagine_io_t *io; /* on that loop */
    uv_thread_t thread;

    uv_mutex_t mutex; /* for what stands up to the next empty line */
    bool has_thread, was_started;
    int start_error;
    size_t open_count;  /* handles that were not closed */
    size_t alive_count; /* handles that have not called `closed` */
    bool is_closing;

    imi_list_t todo;        /* the share's thread alone: not yet taken by the real driver, … */
    size_t performed_count; /* … and taken by it */
    bool is_feeding;        /* inside feed() */
    bool is_watched;        /* the real driver tells what other processes change */
    size_t count;
    handle_t handles[];
};

static int wake(imi_storage_queue_t *queue);
static void on_share_wake(uv_async_t *async);
static void feed(share_t *share);
static void answer(imi_storage_operation_t *operation, int status);
static void tell(share_t *share, const handle_t *but, const char *key);
static void on_wake(uv_async_t *async);
static void leave(handle_t *handle);

static void take_all(imi_list_t *from, imi_list_t *to) {
    imi_list_init(to);
    if (imi_list_is_empty(from))
        return;
    *to = *from;
    to->next->previous = to->previous->next = to;
    imi_list_init(from);
}

/* ---- on a client's thread: asking -------------------------------------------------------------
 */

static int wake(imi_storage_queue_t *queue) {
    handle_t *handle = (handle_t *)queue;
    imi_storage_operation_t *operation =
        IMI_CONTAINER(queue->operations.previous, imi_storage_operation_t, node);
    imi_list_remove(&operation->node);
    operation->owner = handle;
    if (queue->count == 1)
        uv_ref((uv_handle_t *)&handle->wake); /* the loop waits for its answer */
    uv_mutex_lock(&handle->mutex);
    bool is_first = imi_list_is_empty(&handle->asked);
    imi_list_append(&handle->asked, &operation->node);
    uv_mutex_unlock(&handle->mutex);
    if (is_first)
        uv_async_send(&handle->share->wake);
    return 0;
}

static int handle_watch(void *self, const char *prefix, imagine_storage_changed_cb changed,
                        void *user) {
    handle_t *handle = self;
    size_t size = 0;
    if (handle->queue.io == NULL || changed == NULL || handle->changed != NULL ||
        imi_storage_check_key(prefix, true, &size) != 0)
        return IMAGINE_EINVAL;
    if (handle->queue.is_closing)
        return IMAGINE_ECLOSED;
    handle->changed = changed;
    handle->changed_user = user;
    uv_mutex_lock(&handle->mutex);
    memcpy(handle->prefix, prefix, size + 1);
    handle->has_watch = true;
    uv_mutex_unlock(&handle->mutex);
    uv_async_send(&handle->share->wake);
    return 0;
}

/* ---- on the share's thread: performing --------------------------------------------------------
 */

static void collect(share_t *share) {
    for (size_t i = 0; i < share->count; i++) {
        handle_t *handle = &share->handles[i];
        imi_list_t asked;
        uv_mutex_lock(&handle->mutex);
        take_all(&handle->asked, &asked);
        uv_mutex_unlock(&handle->mutex);
        while (!imi_list_is_empty(&asked)) {
            imi_list_t *node = asked.next;
            imi_list_remove(node);
            imi_list_append(&share->todo, node);
        }
    }
}

static void on_get(int status, const void *value, size_t value_size, void *user) {
    imi_storage_operation_t *operation = user;
    if (status == 0) {
        void *copy = imi_arena_alloc(&operation->answer, value_size + 1);
        if (copy != NULL && value_size > 0)
            memcpy(copy, value, value_size);
        operation->value = copy;
        operation->value_size = value_size;
        status = copy == NULL ? IMAGINE_ENOMEM : 0;
    }
    answer(operation, status);
}

static void on_done(int status, void *user) {
    answer(user, status);
}

static void on_add(int status, int64_t sum, void *user) {
    imi_storage_operation_t *operation = user;
    operation->amount = sum;
    answer(operation, status);
}

/* The array is full when its count is a power of two: it is twice as large then. */
static bool has_room(imi_storage_operation_t *operation) {
    size_t count = operation->entry_count;
    if (count != 0 && (count < ENTRIES_AT_FIRST || (count & (count - 1)) != 0))
        return true;
    size_t capacity = count == 0 ? ENTRIES_AT_FIRST : count * 2;
    imagine_storage_entry_t *entries =
        imi_arena_alloc(&operation->answer, capacity * sizeof(*entries));
    if (entries == NULL)
        return false;
    if (count > 0)
        memcpy(entries, operation->entries, count * sizeof(*entries));
    operation->entries = entries;
    return true;
}

static int keep_entry(imi_storage_operation_t *operation, const imagine_storage_entry_t *entry) {
    size_t key_size = strlen(entry->key) + 1;
    operation->value_size += key_size + entry->value_size;
    if (operation->value_size > LIST_SIZE_MAX)
        return IMAGINE_ETOOLARGE;
    char *copy = imi_arena_alloc(&operation->answer, key_size + entry->value_size);
    if (copy == NULL || !has_room(operation))
        return IMAGINE_ENOMEM;
    memcpy(copy, entry->key, key_size);
    if (entry->value_size > 0)
        memcpy(copy + key_size, entry->value, entry->value_size);
    operation->entries[operation->entry_count++] = (imagine_storage_entry_t){
        .key = copy, .value = copy + key_size, .value_size = entry->value_size};
    return 0;
}

static void on_list(int status, const imagine_storage_entry_t *entries, size_t entry_count,
                    int32_t is_last, void *user) {
    imi_storage_operation_t *operation = user;
    for (size_t i = 0; i < entry_count && operation->status == 0; i++)
        operation->status = keep_entry(operation, &entries[i]);
    if (is_last != 0)
        answer(operation, status != 0 ? status : operation->status);
}

static int perform(share_t *share, imi_storage_operation_t *operation) {
    const imagine_storage_driver_t *driver = share->driver;
    bool is_for_ever = operation->expires_unix_ms == IMI_STORAGE_FOREVER;
    uint64_t ttl_ms =
        is_for_ever ? 0 : (uint64_t)(operation->expires_unix_ms - operation->asked_unix_ms);
    switch (operation->kind) {
    case IMI_STORAGE_GET:
        return driver->get(share->self, operation->key, on_get, operation);
    case IMI_STORAGE_SET:
        return driver->set(share->self, operation->key, operation->value, operation->value_size,
                           ttl_ms, on_done, operation);
    case IMI_STORAGE_REMOVE:
        return driver->remove(share->self, operation->key, on_done, operation);
    case IMI_STORAGE_ADD:
        return driver->add(share->self, operation->key, operation->amount, ttl_ms, on_add,
                           operation);
    case IMI_STORAGE_SWAP:
        return driver->swap(share->self, operation->key, operation->expected,
                            operation->expected_size,
                            operation->is_removal ? NULL : operation->value, operation->value_size,
                            ttl_ms, on_done, operation);
    default:
        operation->value_size = 0; /* counts the answer */
        return driver->list(share->self, operation->key, on_list, operation);
    }
}

/* What the real driver has no room for waits here until it has answered some of the rest. */
static void feed(share_t *share) {
    if (share->is_feeding)
        return;
    share->is_feeding = true;
    while (!imi_list_is_empty(&share->todo)) {
        imi_storage_operation_t *operation =
            IMI_CONTAINER(share->todo.next, imi_storage_operation_t, node);
        int err = perform(share, operation);
        if (err == IMAGINE_EBUSY && share->performed_count > 0)
            break;
        imi_list_remove(&operation->node);
        share->performed_count++;
        if (err != 0)
            answer(operation, err);
    }
    share->is_feeding = false;
}

static void answer(imi_storage_operation_t *operation, int status) {
    handle_t *handle = operation->owner;
    share_t *share = handle->share;
    share->performed_count--;
    operation->status = status;
    if (status == 0 && operation->kind != IMI_STORAGE_GET && operation->kind != IMI_STORAGE_LIST)
        tell(share, handle, operation->key);
    uv_mutex_lock(&handle->mutex);
    if (imi_list_is_empty(&handle->answers))
        uv_async_send(&handle->wake); /* inside: behind the last answer the handle may be gone */
    imi_list_append(&handle->answers, &operation->node);
    uv_mutex_unlock(&handle->mutex);
    feed(share);
}

static void add_note(handle_t *handle, const char *key) {
    size_t key_size = key == NULL ? 0 : strlen(key) + 1;
    note_t *note = NULL;
    if (key != NULL && handle->note_count < NOTES_MAX)
        note = imi_mem_alloc(handle->share->mem, sizeof(*note) + key_size);
    if (note == NULL) {
        handle->has_gap = true;
        return;
    }
    memcpy(note->key, key, key_size);
    imi_list_append(&handle->notes, &note->node);
    handle->note_count++;
}

static void tell(share_t *share, const handle_t *but, const char *key) {
    for (size_t i = 0; i < share->count; i++) {
        handle_t *handle = &share->handles[i];
        if (handle == but)
            continue;
        uv_mutex_lock(&handle->mutex);
        if (handle->is_open && handle->has_watch &&
            (key == NULL || imi_text_starts_with(key, handle->prefix))) {
            bool is_first = handle->note_count == 0 && !handle->has_gap;
            add_note(handle, key);
            if (is_first)
                uv_async_send(&handle->wake);
        }
        uv_mutex_unlock(&handle->mutex);
    }
}

static void on_changed(const char *key, void *user) {
    tell(user, NULL, key);
}

/* All handles watch the same prefix, so the first one's does. */
static void watch(share_t *share) {
    char prefix[IMAGINE_STORAGE_KEY_SIZE_MAX + 1];
    bool has_prefix = false;
    for (size_t i = 0; i < share->count && !has_prefix; i++) {
        handle_t *handle = &share->handles[i];
        uv_mutex_lock(&handle->mutex);
        has_prefix = handle->has_watch;
        memcpy(prefix, handle->prefix, sizeof(prefix));
        uv_mutex_unlock(&handle->mutex);
    }
    /* Without memory for it now, the next time. */
    share->is_watched =
        has_prefix && share->driver->watch(share->self, prefix, on_changed, share) == 0;
}

static void on_io_closed(void *user) {
    share_t *share = user;
    uv_close((uv_handle_t *)&share->wake, NULL);
}

static void on_storage_closed(void *user) {
    share_t *share = user;
    imagine_io_uv_close(share->io, on_io_closed, share);
}

static void on_share_wake(uv_async_t *async) {
    share_t *share = async->data;
    uv_mutex_lock(&share->mutex);
    bool is_closing = share->is_closing;
    uv_mutex_unlock(&share->mutex);
    if (is_closing) { /* only once, however often it is woken */
        if (share->storage != NULL)
            imagine_storage_close(share->storage, on_storage_closed, share);
        share->storage = NULL;
        return;
    }
    collect(share);
    feed(share);
    if (!share->is_watched && share->driver->watch != NULL)
        watch(share);
}

static void run(void *user) {
    share_t *share = user;
    uv_run(&share->loop, UV_RUN_DEFAULT);
    for (size_t i = 0; i < share->count; i++) {
        handle_t *handle = &share->handles[i];
        uv_mutex_lock(&handle->mutex);
        handle->is_over = handle->is_last;
        if (handle->is_over && handle->is_started)
            uv_async_send(&handle->wake);
        uv_mutex_unlock(&handle->mutex);
    }
}

/* ---- on a client's thread: what comes back ----------------------------------------------------
 */

static void deliver_notes(handle_t *handle, imi_list_t *notes, bool has_gap) {
    if (has_gap && !handle->queue.is_closing)
        handle->changed(NULL, handle->changed_user);
    while (!imi_list_is_empty(notes)) {
        note_t *note = IMI_CONTAINER(notes->next, note_t, node);
        imi_list_remove(&note->node);
        if (!has_gap && !handle->queue.is_closing)
            handle->changed(note->key, handle->changed_user);
        imi_mem_free(handle->share->mem, note);
    }
}

static void on_wake(uv_async_t *async) {
    handle_t *handle = async->data;
    imi_list_t answers, notes;
    uv_mutex_lock(&handle->mutex);
    take_all(&handle->answers, &answers);
    take_all(&handle->notes, &notes);
    bool has_gap = handle->has_gap, is_over = handle->is_over;
    handle->note_count = 0;
    handle->has_gap = false;
    uv_mutex_unlock(&handle->mutex);

    handle->is_delivering = true;
    deliver_notes(handle, &notes, has_gap);
    while (!imi_list_is_empty(&answers)) {
        imi_storage_operation_t *operation =
            IMI_CONTAINER(answers.next, imi_storage_operation_t, node);
        imi_storage_queue_take(&handle->queue, operation);
        if (handle->queue.count == 0 && !handle->queue.is_closing)
            uv_unref((uv_handle_t *)async);
        imi_storage_operation_end(operation);
    }
    handle->is_delivering = false;
    if (is_over || (handle->queue.is_closing && handle->queue.count == 0))
        leave(handle);
}

/* ---- life -------------------------------------------------------------------------------------
 */

static void free_share(share_t *share) {
    for (size_t i = 0; i < share->count; i++)
        uv_mutex_destroy(&share->handles[i].mutex);
    uv_mutex_destroy(&share->mutex);
    imi_mem_free(share->mem, share);
}

/* The share's loop has nobody who runs it: ends the real storage here. */
static void close_storage(share_t *share) {
    imagine_storage_close(share->storage, on_storage_closed, share);
    uv_run(&share->loop, UV_RUN_DEFAULT);
}

static void finish(handle_t *handle) {
    share_t *share = handle->share;
    imagine_closed_cb closed = handle->queue.closed;
    void *user = handle->queue.closed_user;
    uv_mutex_lock(&share->mutex);
    bool is_last = --share->alive_count == 0;
    uv_mutex_unlock(&share->mutex);
    if (is_last)
        free_share(share);
    if (closed != NULL)
        closed(user);
}

static void on_handle_closed(uv_handle_t *async) {
    finish(async->data);
}

/* The thread stands at its end, so this takes no time worth noticing. */
static void end_share(share_t *share) {
    if (share->has_thread)
        uv_thread_join(&share->thread);
    else
        close_storage(share);
    uv_loop_close(&share->loop);
}

/* Closed, and nothing of it is under way any more. Runs twice for the last one with a loop: when
 * the share has to end, and when it has. */
static void leave(handle_t *handle) {
    share_t *share = handle->share;
    imi_list_t notes;
    uv_mutex_lock(&share->mutex);
    bool was_last = handle->is_last;
    bool is_last = was_last || --share->open_count == 0;
    bool has_thread = share->has_thread;
    uv_mutex_unlock(&share->mutex);

    uv_mutex_lock(&handle->mutex);
    handle->is_open = false;
    handle->is_last = is_last;
    bool is_over = handle->is_over;
    take_all(&handle->notes, &notes);
    uv_mutex_unlock(&handle->mutex);
    deliver_notes(handle, &notes, false); /* frees them: it is closing */

    if (is_last && has_thread && !was_last) {
        uv_mutex_lock(&share->mutex);
        share->is_closing = true;
        uv_async_send(&share->wake); /* inside: before the thread can see it and end */
        uv_mutex_unlock(&share->mutex);
        if (handle->is_started)
            return; /* on_wake() */
    }
    if (was_last && !is_over)
        return;
    if (is_last)
        end_share(share);
    if (handle->is_started)
        uv_close((uv_handle_t *)&handle->wake, on_handle_closed);
    else
        finish(handle);
}

static int start_share(share_t *share) {
    uv_mutex_lock(&share->mutex);
    if (!share->was_started) {
        share->was_started = true;
        share->start_error = share->driver->start(share->self, share->io);
        if (share->start_error == 0 && uv_thread_create(&share->thread, run, share) != 0)
            share->start_error = IMAGINE_EIO;
        share->has_thread = share->start_error == 0;
    }
    int err = share->start_error;
    uv_mutex_unlock(&share->mutex);
    return err;
}

static int handle_start(void *self, const imagine_io_t *io) {
    handle_t *handle = self;
    if (io == NULL || io->loop == NULL || io->unix_ms == NULL)
        return IMAGINE_ENOTSUP;
    int err = start_share(handle->share);
    if (err != 0)
        return err;
    if (uv_async_init(io->loop, &handle->wake, on_wake) != 0)
        return IMAGINE_EIO;
    handle->wake.data = handle;
    uv_unref((uv_handle_t *)&handle->wake); /* an idle storage keeps no loop alive */
    handle->is_started = true;
    handle->queue.io = io;
    uv_mutex_lock(&handle->mutex);
    handle->is_open = true;
    uv_mutex_unlock(&handle->mutex);
    return 0;
}

static void handle_close(void *self, imagine_closed_cb closed, void *user) {
    handle_t *handle = self;
    handle->queue.is_closing = true;
    handle->queue.closed = closed;
    handle->queue.closed_user = user;
    if (handle->is_started)
        uv_ref((uv_handle_t *)&handle->wake);
    if (handle->queue.count == 0 && !handle->is_delivering)
        leave(handle);
}

static const imagine_storage_driver_t handle_driver = {
    .size = sizeof(imagine_storage_driver_t),
    .start = handle_start,
    .get = imi_storage_queue_get,
    .set = imi_storage_queue_set,
    .remove = imi_storage_queue_remove,
    .add = imi_storage_queue_add,
    .list = imi_storage_queue_list,
    .close = handle_close,
    .swap = imi_storage_queue_swap,
    .watch = handle_watch,
};

/* An older caller's struct is shorter; a newer caller's may be longer where it is zero. */
static int read_options(const imagine_io_uv_options_t *options, imagine_io_uv_options_t *out) {
    size_t size = options == NULL ? 0 : options->size;
    memset(out, 0, sizeof(*out));
    if (options != NULL && size < sizeof(size))
        return IMAGINE_EINVAL;
    for (size_t i = sizeof(*out); i < size; i++)
        if (((const char *)options)[i] != 0)
            return IMAGINE_EINVAL;
    if (options != NULL)
        memcpy(out, options, size < sizeof(*out) ? size : sizeof(*out));
    out->size = sizeof(*out);
    return out->loop == NULL ? 0 : IMAGINE_EINVAL;
}

static int open_loop(share_t *share, const imagine_io_uv_options_t *options) {
    imagine_io_uv_options_t all;
    int err = read_options(options, &all);
    if (err != 0)
        return err;
    all.loop = &share->loop;
    if (uv_loop_init(&share->loop) != 0)
        return IMAGINE_EIO;
    err = imagine_io_uv_open(&share->io, &all);
    if (err == 0 && uv_async_init(&share->loop, &share->wake, on_share_wake) != 0) {
        imagine_io_uv_close(share->io, NULL, NULL);
        err = IMAGINE_EIO;
    }
    if (err != 0) {
        uv_run(&share->loop, UV_RUN_DEFAULT);
        uv_loop_close(&share->loop);
    }
    share->wake.data = share;
    return err;
}

static share_t *share_new(const imi_mem_t *mem, size_t count, imagine_storage_t *storage) {
    share_t *share = imi_mem_zalloc(mem, sizeof(*share) + count * sizeof(share->handles[0]));
    if (share == NULL)
        return NULL;
    share->mem = mem;
    share->storage = storage;
    share->driver = imagine_storage_driver(storage, &share->self);
    share->count = share->open_count = share->alive_count = count;
    imi_list_init(&share->todo);
    uv_mutex_init(&share->mutex);
    for (size_t i = 0; i < count; i++) {
        handle_t *handle = &share->handles[i];
        imi_storage_queue_init(&handle->queue, mem, wake);
        handle->share = share;
        uv_mutex_init(&handle->mutex);
        imi_list_init(&handle->asked);
        imi_list_init(&handle->answers);
        imi_list_init(&handle->notes);
    }
    return share;
}

static int make_handles(share_t *share, imagine_storage_t **outs) {
    imagine_storage_driver_t driver = handle_driver;
    driver.name = share->driver->name;
    driver.flags = share->driver->flags | IMAGINE_STORAGE_IS_SHARED;
    if ((share->driver->flags & IMAGINE_STORAGE_IS_SHARED) != 0 && share->driver->watch == NULL)
        driver.flags |= IMAGINE_STORAGE_WATCHES_PROCESS;
    if (share->driver->swap == NULL)
        driver.swap = NULL;
    for (size_t i = 0; i < share->count; i++) {
        int err = imi_storage_new(share->mem, &outs[i], &driver, &share->handles[i]);
        if (err != 0)
            return err;
    }
    return 0;
}

/* Handles that nobody got are closed like those that somebody did not start. */
static void give_up(share_t *share, imagine_storage_t **outs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (outs[i] != NULL)
            imagine_storage_close(outs[i], NULL, NULL);
        else
            handle_close(&share->handles[i], NULL, NULL);
        outs[i] = NULL;
    }
}

int imi_storage_share(const imi_mem_t *mem, imagine_storage_t **outs, size_t count,
                      imagine_storage_t *storage, const imagine_io_uv_options_t *options) {
    if (outs == NULL || storage == NULL || count == 0 || count > IMAGINE_STORAGE_SHARES_MAX) {
        imagine_storage_close(storage, NULL, NULL);
        return IMAGINE_EINVAL;
    }
    memset(outs, 0, count * sizeof(*outs));
    share_t *share = share_new(mem, count, storage);
    int err = share == NULL ? IMAGINE_ENOMEM : open_loop(share, options);
    if (err != 0) {
        if (share != NULL)
            free_share(share);
        imagine_storage_close(storage, NULL, NULL);
        return err;
    }
    err = make_handles(share, outs);
    if (err != 0)
        give_up(share, outs, count);
    return err;
}

int imagine_storage_share(imagine_storage_t **outs, size_t count, imagine_storage_t *storage,
                          const imagine_io_uv_options_t *options) {
    return imi_storage_share(NULL, outs, count, storage, options);
}
