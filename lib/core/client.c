/* client.c: see client.h.
 *
 * With a private thread, other threads come in through imi_run(): one counter, the door, says how
 * many are inside, and closing shuts it before the thread ends. */
#include "core/client.h"

#include "wire/assert.h"

/* ---- small things -----------------------------------------------------------------------------
 */

uint64_t imi_now_ms(const imagine_t *im) {
    return im->io->now_ms(im->io->context);
}

imi_clock_t imi_clock(const imagine_t *im) {
    return (imi_clock_t){imi_now_ms(im), im->io->unix_ms(im->io->context)};
}

uint64_t imi_random64(const imagine_t *im) {
    uint64_t number;
    if (im->io->random(im->io->context, &number, sizeof(number)) != 0)
        number = imi_now_ms(im) * UINT64_C(0x9e3779b97f4a7c15) ^
                 (uint64_t)im->io->unix_ms(im->io->context);
    return number;
}

void imi_client_retain(imagine_t *im) {
    atomic_fetch_add_explicit(&im->refs, 1, memory_order_relaxed);
}

void imi_client_release(imagine_t *im) {
    unsigned refs = atomic_fetch_sub_explicit(&im->refs, 1, memory_order_acq_rel);
    IMI_ASSERT(refs > 0);
    if (refs == 1) {
        imi_mem_t mem = im->mem;
        imi_mem_free(&mem, im);
    }
}

const imagine_io_t *imagine_io(const imagine_t *im) {
    return im != NULL ? im->io : NULL;
}

int imi_client_allow_hosts(imagine_t *im, const char *list, const char **out_bad) {
    const imi_hosts_t *hosts = NULL;
    *out_bad = NULL;
    if (list != NULL && list[0] != '\0') {
        hosts = imi_hosts_parse(&im->hosts_arena, list, out_bad);
        if (hosts == NULL)
            return *out_bad != NULL ? IMAGINE_EINVAL : IMAGINE_ENOMEM;
    }
    im->allowed_hosts = hosts;
    return 0;
}

void imi_client_close_later(imagine_t *im, uint64_t delay_ms) {
    const imagine_io_t *io = im->io;
    if (im->close_timer == NULL &&
        io->timer_start(io->context, delay_ms, im->close_turn, im, &im->close_timer) != 0) {
        /* Without a timer the promise of a later turn cannot be kept; closing all the same can. */
        im->close_timer = NULL;
        im->close_turn(im);
    }
}

void imi_client_request_gone(imagine_t *im) {
    if (im->is_closing && imi_list_is_empty(&im->requests) && im->former_syncs == 0)
        imi_client_close_later(im, 0);
}

/* ---- the door ---------------------------------------------------------------------------------
 */

int imi_run(imagine_t *im, imagine_await_cb step, void *user) {
    int err;
    if (im == NULL)
        return IMAGINE_EINVAL;
    if (im->io->await == NULL) {
        if (im->is_closed)
            return IMAGINE_ECLOSED;
        step(user);
        return 0;
    }
    if ((atomic_fetch_add_explicit(&im->door, 1, memory_order_acq_rel) & IMI_DOOR_CLOSED) != 0) {
        atomic_fetch_sub_explicit(&im->door, 1, memory_order_acq_rel);
        return IMAGINE_ECLOSED;
    }
    err = im->io->await(im->io->context, step, user, -1);
    atomic_fetch_sub_explicit(&im->door, 1, memory_order_acq_rel);
    return err;
}

int imi_wait_in_door(imagine_t *im, imagine_await_cb step, void *user, int64_t timeout_ms) {
    int err;
    if (im->io->await == NULL)
        return IMAGINE_EDEADLK;
    if ((atomic_fetch_add_explicit(&im->door, 1, memory_order_acq_rel) & IMI_DOOR_CLOSED) != 0) {
        atomic_fetch_sub_explicit(&im->door, 1, memory_order_acq_rel);
        return IMAGINE_ECLOSED;
    }
    err = im->io->await(im->io->context, step, user, timeout_ms);
    atomic_fetch_sub_explicit(&im->door, 1, memory_order_acq_rel);
    return err;
}
