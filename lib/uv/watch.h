/* watch.h: which descriptors curl wants to hear of, as uv_poll_t handles. */
#ifndef IMI_UV_WATCH_H
#define IMI_UV_WATCH_H

#include <stdbool.h>
#include <stddef.h>

typedef struct imi_uv imi_uv_t;
typedef struct imi_watch imi_watch_t;

enum { IMI_WATCH_READABLE = 1, IMI_WATCH_WRITABLE = 2, IMI_WATCH_BROKEN = 4 };

typedef void (*imi_watch_cb)(void *owner, int fd, int events);

typedef struct imi_watches {
    imi_uv_t *uv;
    imi_watch_cb on_event;
    imi_watch_t **by_fd; /* `capacity` places, NULL: not watched */
    size_t capacity;
} imi_watches_t;

void imi_watches_init(imi_watches_t *watches, imi_uv_t *uv, imi_watch_cb on_event);
void imi_watches_reset(imi_watches_t *watches); /* closes what is left */

/* A socket was opened, and imi_watch_end() will be called before it is closed, if it was connected.
 * -1: no memory. */
int imi_watch_begin(imi_watches_t *watches, int fd, const void *opener);
void imi_watch_end(imi_watches_t *watches, int fd);
/* Its opener goes: if it is still that one's and was not connected, it will be closed without a
 * word. */
void imi_watch_give_up(imi_watches_t *watches, int fd, const void *opener);

/* `owner` wants these events of the descriptor. -1: no memory. */
int imi_watch_set(imi_watches_t *watches, int fd, int events, void *owner);
/* Nobody wants any more. */
void imi_watch_clear(imi_watches_t *watches, int fd);

#endif
