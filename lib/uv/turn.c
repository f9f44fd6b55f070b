/* turn.c: see turn.h.
 *
 * libuv does nothing at all on a loop that nothing keeps alive, and ours is kept alive only while
 * something is in flight. So the alarm, which also ends a turn in time, is referenced during it. */
#include "uv/turn.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>

#include "uv/io.h"
#include "wire/assert.h"

#define WAIT_MAX_MS (24 * 60 * 60 * 1000) /* of one turn: who waits for longer turns again */

struct imi_turn {
    const imi_mem_t *mem;
    uv_loop_t loop;
    uv_timer_t alarm;
    bool is_inside; /* the loop turns just now */
};

imi_turn_t *imi_turn_new(const imi_mem_t *mem) {
    imi_turn_t *turn = imi_mem_zalloc(mem, sizeof(*turn));
    if (turn == NULL)
        return NULL;
    turn->mem = mem;
    if (uv_loop_init(&turn->loop) != 0) {
        imi_mem_free(mem, turn);
        return NULL;
    }
    return turn;
}

void imi_turn_free(imi_turn_t *turn) {
    int err = 0;
    if (turn == NULL)
        return;
    uv_run(&turn->loop, UV_RUN_DEFAULT);
    err = uv_loop_close(&turn->loop);
    IMI_ASSERT(err == 0);
    imi_mem_free(turn->mem, turn);
}

uv_loop_t *imi_turn_loop(imi_turn_t *turn) {
    return &turn->loop;
}

void imi_turn_open_handles(imi_uv_t *uv) {
    uv_timer_init(uv->loop, &uv->turn->alarm); /* cannot fail */
    uv->turn->alarm.data = uv;
    imi_uv_adopt(uv, (uv_handle_t *)&uv->turn->alarm);
}

void imi_turn_close_handles(imi_uv_t *uv) {
    imi_uv_close_handle((uv_handle_t *)&uv->turn->alarm);
}

static void on_alarm(uv_timer_t *alarm) {
    (void)alarm; /* that the turn ends is all it is for */
}

/* One round of the loop, which may wait that long for something to do. */
static void turn_once(imi_uv_t *uv, int64_t wait_ms) {
    imi_turn_t *turn = uv->turn;
    uint64_t alarm_ms = wait_ms > 0 && wait_ms < WAIT_MAX_MS ? (uint64_t)wait_ms : WAIT_MAX_MS;
    uv_update_time(uv->loop);
    uv_timer_start(&turn->alarm, on_alarm, alarm_ms, 0);
    uv_ref((uv_handle_t *)&turn->alarm);
    turn->is_inside = true;
    uv_run(uv->loop, wait_ms == 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
    turn->is_inside = false;
    if (!uv_is_closing((uv_handle_t *)&turn->alarm)) {
        uv_timer_stop(&turn->alarm);
        uv_unref((uv_handle_t *)&turn->alarm);
    }
}

/* All that is left are handles on their way out. */
static void finish(imi_uv_t *uv) {
    imagine_closed_cb closed = uv->closed;
    void *user = uv->closed_user;
    imi_turn_free(uv->turn);
    imi_mem_free(uv->mem, uv);
    if (closed != NULL)
        closed(user);
}

void imi_turn_close(imi_uv_t *uv, imagine_closed_cb closed, void *user) {
    IMI_ASSERT(!uv->is_closing);
    uv->closed = closed;
    uv->closed_user = user;
    uv->is_closing = true;
    imi_uv_hold(uv);
    imi_uv_wake(uv);
    if (!uv->turn->is_inside)
        finish(uv);
}

int imi_turn_await(void *context, imagine_await_cb step, void *user, int64_t timeout_ms) {
    imi_uv_t *uv = context;
    uint64_t began_ms = imi_uv_now_ms();
    if (step(user) != 0)
        return 0;
    if (uv->turn->is_inside)
        return IMAGINE_EDEADLK;
    do {
        int64_t passed_ms = (int64_t)(imi_uv_now_ms() - began_ms);
        if (timeout_ms >= 0 && passed_ms >= timeout_ms)
            return IMAGINE_ETIMEDOUT;
        turn_once(uv, timeout_ms < 0 ? WAIT_MAX_MS : timeout_ms - passed_ms);
    } while (step(user) == 0);
    return 0;
}

/* ---- the host's side ------------------------------------------------------------------------ */

int imagine_io_uv_turn(imagine_io_t *io, int64_t timeout_ms) {
    imi_uv_t *uv = io->context;
    if (uv->turn == NULL)
        return IMAGINE_ENOTSUP;
    if (uv->turn->is_inside)
        return IMAGINE_EDEADLK;
    if (timeout_ms < 0)
        timeout_ms = uv->hold_count > 0 ? WAIT_MAX_MS : 0;
    turn_once(uv, timeout_ms);
    if (uv->is_closing) {
        finish(uv);
        return IMAGINE_ECLOSED;
    }
    return uv->hold_count > 0 ? 1 : 0;
}

int imagine_io_uv_turn_fd(const imagine_io_t *io) {
    const imi_uv_t *uv = io->context;
    return uv->turn != NULL ? uv_backend_fd(uv->loop) : IMAGINE_ENOTSUP;
}

int imagine_io_uv_turn_wait_ms(imagine_io_t *io) {
    imi_uv_t *uv = io->context;
    int wait_ms = -1;
    if (uv->turn == NULL)
        return IMAGINE_ENOTSUP;
    uv_update_time(uv->loop);
    imi_uv_hold(uv); /* of a loop that nothing keeps alive libuv would say 0 */
    wait_ms = uv_backend_timeout(uv->loop);
    imi_uv_release(uv);
    return wait_ms;
}

int imagine_io_uv_turn_wake(imagine_io_t *io) {
    imi_uv_t *uv = io->context;
    if (uv->turn == NULL)
        return IMAGINE_ENOTSUP;
    uv_async_send(&uv->waker);
    return 0;
}

/* Touches no client: they turn on their own thread meanwhile. */
int imagine_turn_await(const int32_t *fds, size_t fd_count, int64_t timeout_ms) {
    int wait_ms = timeout_ms < 0 || timeout_ms > INT_MAX ? -1 : (int)timeout_ms;
    bool is_any_bad = fds == NULL || fd_count == 0 || fd_count > INT_MAX;
    struct pollfd *all = NULL;
    int count = 0;
    if (is_any_bad)
        return IMAGINE_EINVAL;
    all = imi_mem_alloc(NULL, fd_count * sizeof(*all));
    if (all == NULL)
        return IMAGINE_ENOMEM;
    for (size_t i = 0; i < fd_count; i++) {
        all[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
        is_any_bad = is_any_bad || fds[i] < 0; /* poll() would leave it out */
    }
    if (!is_any_bad)
        count = poll(all, fd_count, wait_ms);
    is_any_bad = is_any_bad || (count < 0 && errno != EINTR);
    for (size_t i = 0; i < fd_count && count > 0; i++)
        is_any_bad = is_any_bad || (all[i].revents & POLLNVAL) != 0;
    imi_mem_free(NULL, all);
    return is_any_bad ? IMAGINE_EINVAL : count > 0 ? 1 : 0;
}
