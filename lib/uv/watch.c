/* watch.c: keeps the uv_poll_t of a connection armed between two exchanges, because stopping and
 * starting it costs two system calls each time.
 *
 *   begin (socket opened) --set--> wanted --clear--> parked: armed, nobody listens --set--> wanted
 *   parked --event (the peer left, mostly)--> silent: stopped until the next set
 *   end (about to be closed) from anywhere
 *
 * A watch must never outlive its descriptor, whose number the system gives to the next one: to any
 * thread, and epoll would be asked about that one. curl announces the end of a connection that was
 * made (CURLOPT_CLOSESOCKETFUNCTION), but closes a socket that was not connected yet without a
 * word, and so the pair of a resolver thread; it says afterwards that it wants no events of it.
 * What is not known to be a made connection is therefore never parked, and goes before curl hears
 * that its exchange is given up. Only of a made one does curl want to read. */
#include "uv/watch.h"

#include <stdint.h>
#include <uv.h>

#include "uv/io.h"
#include "wire/list.h"
#include "wire/mem.h"

enum { CAPACITY_MIN = 64 };

struct imi_watch {
    uv_poll_t poll;
    imi_watches_t *watches;
    void *owner;
    const void *opener; /* NULL: imi_watch_end() will not come */
    int fd;
    int wanted;    /* IMI_WATCH_… */
    int armed;     /* what `poll` waits for */
    bool was_read; /* a made connection */
};

_Static_assert((int)IMI_WATCH_READABLE == (int)UV_READABLE &&
                   (int)IMI_WATCH_WRITABLE == (int)UV_WRITABLE,
               "events are libuv's");

void imi_watches_init(imi_watches_t *watches, imi_uv_t *uv, imi_watch_cb on_event) {
    *watches = (imi_watches_t){.uv = uv, .on_event = on_event};
}

static imi_watch_t *find(const imi_watches_t *watches, int fd) {
    return fd >= 0 && (size_t)fd < watches->capacity ? watches->by_fd[fd] : NULL;
}

static void on_closed(uv_handle_t *handle) {
    imi_uv_t *uv = handle->data; /* the table may be gone by now */
    imi_mem_free(uv->mem, IMI_CONTAINER(handle, imi_watch_t, poll));
    imi_uv_forget(uv);
}

static void drop(imi_watch_t *watch) {
    watch->watches->by_fd[watch->fd] = NULL;
    uv_close((uv_handle_t *)&watch->poll, on_closed); /* stops it at once */
}

void imi_watches_reset(imi_watches_t *watches) {
    for (size_t fd = 0; fd < watches->capacity; fd++) {
        if (watches->by_fd[fd] != NULL)
            drop(watches->by_fd[fd]);
    }
    imi_mem_free(watches->uv->mem, watches->by_fd);
    watches->by_fd = NULL;
    watches->capacity = 0;
}

static int reserve(imi_watches_t *watches, int fd) {
    size_t capacity = watches->capacity == 0 ? CAPACITY_MIN : watches->capacity;
    imi_watch_t **by_fd = NULL;
    while (capacity <= (size_t)fd)
        capacity *= 2;
    if (capacity == watches->capacity)
        return 0;
    by_fd = imi_mem_resize(watches->uv->mem, watches->by_fd, capacity * sizeof(imi_watch_t *));
    if (by_fd == NULL)
        return -1;
    for (size_t i = watches->capacity; i < capacity; i++)
        by_fd[i] = NULL;
    watches->by_fd = by_fd;
    watches->capacity = capacity;
    return 0;
}

static imi_watch_t *add(imi_watches_t *watches, int fd) {
    imi_watch_t *watch = NULL;
    if (fd < 0 || reserve(watches, fd) != 0)
        return NULL;
    watch = imi_mem_zalloc(watches->uv->mem, sizeof(*watch));
    if (watch == NULL)
        return NULL;
    if (uv_poll_init(watches->uv->loop, &watch->poll, fd) != 0) {
        imi_mem_free(watches->uv->mem, watch);
        return NULL;
    }
    watch->poll.data = watches->uv;
    imi_uv_adopt(watches->uv, (uv_handle_t *)&watch->poll);
    watch->watches = watches;
    watch->fd = fd;
    watches->by_fd[fd] = watch;
    return watch;
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void arm(imi_watch_t *watch, int events) {
    if (watch->armed == events)
        return;
    watch->armed = events;
    if (events == 0)
        uv_poll_stop(&watch->poll);
    else
        uv_poll_start(&watch->poll, events, on_poll); /* fails for closing handles only */
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    imi_watch_t *watch = IMI_CONTAINER(poll, imi_watch_t, poll);
    imi_watches_t *watches = watch->watches;
    if (status < 0) {
        watch->armed = 0; /* libuv has stopped it */
        events = IMI_WATCH_BROKEN;
    }
    if (watch->wanted == 0) {
        arm(watch, 0);
        return;
    }
    watches->on_event(watch->owner, watch->fd, events);
    /* Closed handles are freed in a later phase of the turn, so that it can be looked at. */
    if (status < 0 && find(watches, watch->fd) == watch)
        arm(watch, watch->wanted);
}

int imi_watch_begin(imi_watches_t *watches, int fd, const void *opener) {
    imi_watch_t *stale = find(watches, fd);
    imi_watch_t *watch = NULL;
    void *owner = stale == NULL ? NULL : stale->owner;
    int wanted = stale == NULL ? 0 : stale->wanted;
    if (stale != NULL)
        drop(stale); /* its descriptor was closed without a word */
    watch = add(watches, fd);
    if (watch == NULL)
        return -1;
    watch->opener = opener;
    /* curl compares numbers too: when it wants of this socket what it wanted of the one before, it
     * does not ask again. */
    watch->owner = owner;
    watch->wanted = wanted;
    arm(watch, wanted);
    return 0;
}

void imi_watch_end(imi_watches_t *watches, int fd) {
    imi_watch_t *watch = find(watches, fd);
    if (watch != NULL)
        drop(watch);
}

void imi_watch_give_up(imi_watches_t *watches, int fd, const void *opener) {
    imi_watch_t *watch = find(watches, fd);
    if (watch != NULL && watch->opener == opener && !watch->was_read)
        drop(watch);
}

int imi_watch_set(imi_watches_t *watches, int fd, int events, void *owner) {
    imi_watch_t *watch = find(watches, fd);
    if (watch == NULL)
        watch = add(watches, fd);
    if (watch == NULL)
        return -1;
    watch->owner = owner;
    watch->wanted = events;
    watch->was_read = watch->was_read || (events & IMI_WATCH_READABLE) != 0;
    arm(watch, events);
    return 0;
}

void imi_watch_clear(imi_watches_t *watches, int fd) {
    imi_watch_t *watch = find(watches, fd);
    if (watch == NULL)
        return;
    watch->wanted = 0;
    if (watch->opener == NULL || !watch->was_read)
        drop(watch);
}
