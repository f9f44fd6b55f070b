/* io.h: what the files of this room share: one implementation of imagine_io_t on one libuv loop.
 *
 * All libuv handles here are unreferenced but `waker`, which is referenced while something is in
 * flight: so an idle client never keeps a host's loop alive, and a busy one always does. */
#ifndef IMI_UV_IO_H
#define IMI_UV_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "imagine/io.h"
#include "uv/http.h"
#include "uv/thread.h"
#include "uv/timer.h"
#include "uv/turn.h"
#include "wire/mem.h"

typedef struct imi_uv imi_uv_t;

struct imi_uv {
    imagine_io_t table;   /* what the client sees; the context of its functions is this struct */
    const imi_mem_t *mem; /* NULL: the C library's */
    imi_mem_t own_mem;    /* what it points to else */
    uv_loop_t *loop;
    imagine_log_cb log; /* NULL: silent */
    void *log_user;
    imi_timers_t timers;
    imi_http_t *http;
    imi_thread_t *thread; /* at most one of them: else the loop is the host's */
    imi_turn_t *turn;
    uv_async_t waker;
    uv_idle_t idle;      /* active while work waits for the next turn */
    size_t hold_count;   /* reasons to keep the loop alive */
    size_t handle_count; /* libuv handles that are not closed yet */
    bool is_working;     /* inside imi_uv_work(), which looks at its end what is left */
    bool is_closing;
    imagine_closed_cb closed; /* NULL: nobody asked */
    void *closed_user;
};

/* The loop stays alive until there were as many releases. */
void imi_uv_hold(imi_uv_t *uv);
void imi_uv_release(imi_uv_t *uv);

/* Runs imi_uv_work() in the next turn of the loop, which does not wait for events before it. */
void imi_uv_wake(imi_uv_t *uv);
/* Does what waited for a place outside of every callback: exchanges to start, closing. False when
 * there was nothing. */
bool imi_uv_work(imi_uv_t *uv);

/* A handle was initialised: unreferences and counts it. */
void imi_uv_adopt(imi_uv_t *uv, uv_handle_t *handle);
/* It has been closed. The last one may free `uv`. */
void imi_uv_forget(imi_uv_t *uv);
/* Closes a handle that lives inside `uv` (its data must be `uv`). */
void imi_uv_close_handle(uv_handle_t *handle);

/* The clock of all limits: never cached, so that a turn that took long shortens no limit. */
uint64_t imi_uv_now_ms(void);

/* Copies what the caller's version of a growing struct has; the rest is zero. False when it is too
 * short to be one (smaller than its `size`), or has something in a tail that we do not know. */
bool imi_uv_take_struct(void *out, size_t out_size, const void *in);

#endif
