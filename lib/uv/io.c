/* io.c: the default imagine_io_t: opens and closes it, tells the time, draws random bytes, logs.
 *
 * Work that must not happen inside the call that asks for it (starting an exchange, closing) is
 * left to `idle`: libuv runs it in the next turn, and does not sleep before. */
#include "uv/io.h"

#include <string.h>
#include <sys/time.h>

#include "wire/assert.h"
#include "wire/mem.h"

enum { NS_PER_MS = 1000000 };

/* ---- the table's small functions ---------------------------------------------------------- */

uint64_t imi_uv_now_ms(void) {
    return uv_hrtime() / NS_PER_MS;
}

static uint64_t now_ms(void *context) {
    (void)context;
    return imi_uv_now_ms();
}

static int64_t unix_ms(void *context) {
    struct timeval now;
    (void)context;
    gettimeofday(&now, NULL);
    return (int64_t)now.tv_sec * 1000 + now.tv_usec / 1000;
}

static int random_bytes(void *context, void *out, size_t size) {
    (void)context;
    return uv_random(NULL, NULL, out, size, 0, NULL) == 0 ? 0 : IMAGINE_EIO;
}

static void write_log(void *context, int32_t level, const char *line) {
    imi_uv_t *uv = context;
    uv->log(level, line, uv->log_user);
}

bool imi_uv_take_struct(void *out, size_t out_size, const void *in) {
    const unsigned char *bytes = in;
    size_t in_size = 0;
    memcpy(&in_size, in, sizeof(in_size));
    memset(out, 0, out_size);
    if (in_size < sizeof(in_size))
        return false;
    for (size_t i = out_size; i < in_size; i++) {
        if (bytes[i] != 0)
            return false;
    }
    memcpy(out, in, in_size < out_size ? in_size : out_size);
    return true;
}

/* ---- keeping the loop alive, and waking it ------------------------------------------------ */

void imi_uv_hold(imi_uv_t *uv) {
    if (uv->hold_count++ == 0)
        uv_ref((uv_handle_t *)&uv->waker);
}

void imi_uv_release(imi_uv_t *uv) {
    if (--uv->hold_count == 0)
        uv_unref((uv_handle_t *)&uv->waker);
}

static void on_wake(uv_async_t *waker) {
    (void)waker; /* that the loop turns is all it is for */
}

static void on_idle(uv_idle_t *idle) {
    (void)imi_uv_work(idle->data);
}

void imi_uv_wake(imi_uv_t *uv) {
    if (!uv->is_working)
        uv_idle_start(&uv->idle, on_idle);
}

void imi_uv_adopt(imi_uv_t *uv, uv_handle_t *handle) {
    uv_unref(handle);
    uv->handle_count++;
}

static void on_handle_closed(uv_handle_t *handle) {
    imi_uv_forget(handle->data);
}

void imi_uv_close_handle(uv_handle_t *handle) {
    uv_close(handle, on_handle_closed);
}

/* ---- closing ------------------------------------------------------------------------------ */

static void close_handles(imi_uv_t *uv) {
    IMI_ASSERT(uv->hold_count == 1); /* our own: no exchange and no timer is left */
    imi_http_free(uv->http);
    uv->http = NULL;
    imi_timers_close(uv);
    if (uv->thread != NULL)
        imi_thread_close_handles(uv);
    if (uv->turn != NULL)
        imi_turn_close_handles(uv);
    imi_uv_close_handle((uv_handle_t *)&uv->idle);
    imi_uv_close_handle((uv_handle_t *)&uv->waker);
}

void imi_uv_forget(imi_uv_t *uv) {
    imagine_closed_cb closed = NULL;
    void *user = NULL;
    if (--uv->handle_count > 0 || uv->thread != NULL || uv->turn != NULL)
        return; /* a private loop ends by itself, and who runs it does the rest */
    /* Not before: of a private thread, a closer may just be writing it. */
    closed = uv->closed;
    user = uv->closed_user;
    imi_mem_free(uv->mem, uv);
    if (closed != NULL)
        closed(user);
}

bool imi_uv_work(imi_uv_t *uv) {
    bool was_busy = false;
    uv->is_working = true;
    was_busy = imi_timers_run(uv);
    was_busy = imi_http_work(uv->http) || was_busy;
    uv->is_working = false;
    if (uv->is_closing)
        close_handles(uv);
    else if (imi_timers_are_due(uv) || imi_http_has_work(uv->http))
        uv_idle_start(&uv->idle, on_idle);
    else
        uv_idle_stop(&uv->idle);
    return was_busy;
}

void imagine_io_uv_close(imagine_io_t *io, imagine_closed_cb closed, void *user) {
    imi_uv_t *uv = NULL;
    if (io == NULL)
        return;
    uv = io->context;
    if (uv->thread != NULL) {
        imi_thread_close(uv, closed, user);
        return;
    }
    if (uv->turn != NULL) {
        imi_turn_close(uv, closed, user);
        return;
    }
    IMI_ASSERT(!uv->is_closing);
    uv->closed = closed;
    uv->closed_user = user;
    uv->is_closing = true;
    imi_uv_hold(uv);
    imi_uv_wake(uv); /* the caller may stand inside one of our callbacks */
}

/* ---- opening ------------------------------------------------------------------------------ */

static void fill_table(imi_uv_t *uv) {
    uv->table = (imagine_io_t){
        .size = sizeof(imagine_io_t),
        .context = uv,
        .loop = uv->loop,
        .http_start = imi_http_start,
        .http_cancel = imi_http_cancel,
        .http_pause = imi_http_pause,
        .timer_start = imi_timer_start,
        .timer_cancel = imi_timer_cancel,
        .now_ms = now_ms,
        .unix_ms = unix_ms,
        .random = random_bytes,
        .log = uv->log == NULL ? NULL : write_log,
        .await = uv->thread != NULL ? imi_thread_await
                 : uv->turn != NULL ? imi_turn_await
                                    : NULL,
    };
}

/* All but the first cannot fail: when this does, nothing is open. */
static int open_handles(imi_uv_t *uv) {
    if (uv_async_init(uv->loop, &uv->waker, on_wake) != 0)
        return IMAGINE_EIO;
    uv->waker.data = uv;
    imi_uv_adopt(uv, (uv_handle_t *)&uv->waker);
    uv_idle_init(uv->loop, &uv->idle);
    uv->idle.data = uv;
    imi_uv_adopt(uv, (uv_handle_t *)&uv->idle);
    imi_timers_open(uv);
    if (uv->turn != NULL)
        imi_turn_open_handles(uv);
    return 0;
}

static int open_all(imi_uv_t *uv, const imagine_io_uv_options_t *options) {
    int err = 0;
    if (options->is_manual != 0)
        uv->turn = imi_turn_new(uv->mem);
    else if (options->loop == NULL)
        uv->thread = imi_thread_new(uv->mem);
    uv->loop = uv->turn != NULL     ? imi_turn_loop(uv->turn)
               : uv->thread != NULL ? imi_thread_loop(uv->thread)
                                    : options->loop;
    if (uv->loop == NULL)
        return IMAGINE_ENOMEM;
    uv->log = options->log;
    uv->log_user = options->log_user;
    fill_table(uv);
    imi_timers_init(uv);
    err = imi_http_new(&uv->http, uv, options);
    if (err == 0)
        err = open_handles(uv);
    return err;
}

int imagine_io_uv_open(imagine_io_t **out, const imagine_io_uv_options_t *options) {
    imagine_io_uv_options_t all = {.size = sizeof(all)};
    imi_mem_t mem;
    imi_uv_t *uv = NULL;
    int err = 0;
    *out = NULL;
    if ((options != NULL && !imi_uv_take_struct(&all, sizeof(all), options)) ||
        (all.allocator != NULL && all.allocator->resize == NULL) ||
        (all.loop != NULL && all.is_manual != 0))
        return IMAGINE_EINVAL;
    if (all.allocator != NULL)
        mem = (imi_mem_t){all.allocator->resize, all.allocator->user};
    uv = imi_mem_zalloc(all.allocator != NULL ? &mem : NULL, sizeof(*uv));
    if (uv == NULL)
        return IMAGINE_ENOMEM;
    if (all.allocator != NULL) {
        uv->own_mem = mem;
        uv->mem = &uv->own_mem;
    }
    err = open_all(uv, &all);
    if (err == 0 && uv->thread != NULL) {
        err = imi_thread_start(uv);
        if (err != 0)
            close_handles(uv); /* imi_thread_free() turns the loop until they are closed */
    }
    if (err != 0) {
        imi_http_free(uv->http);
        imi_timers_reset(uv);
        imi_thread_free(uv->thread);
        imi_turn_free(uv->turn);
        imi_mem_free(uv->mem, uv);
        return err;
    }
    *out = &uv->table;
    return 0;
}

int imagine_io_uv_trust(imagine_io_t *io, const char *ca_file) {
    imi_uv_t *uv = io->context;
    return ca_file != NULL ? imi_http_trust(uv->http, ca_file) : IMAGINE_EINVAL;
}
