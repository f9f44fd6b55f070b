/* lifetime.c: a client is opened, and closed.
 *
 *   open -> (settings, storage, providers, requests) -> close:
 *   requests called back -> storage written and closed -> io closed -> closed() -> memory gone */
#include <string.h>

#include "core/client.h"
#include "core/hosting.h"
#include "core/keyring.h"
#include "core/mark.h"
#include "core/peers.h"
#include "core/registry.h"
#include "core/request.h"
#include "core/secret.h"
#include "core/sync.h"
#include "core/tally.h"
#include "core/task.h"
#include "core/tell.h"
#include "core/webhook.h"
#include "providers/builtin.h"
#include "wire/assert.h"

#define TIMEOUT_MS 300000
#define RESPONSE_SIZE_MAX (64u * 1024 * 1024)
#define DOOR_WAIT_MS 1
#define FILES_WAIT_MS 5

static void on_close_turn(void *user);
static void on_sync_closed(void *user);
static void on_hosting_closed(void *user);

/* ---- open -------------------------------------------------------------------------------------
 */

static void init_sized(void *out, size_t size) {
    if (out == NULL || size < sizeof(size))
        return;
    memset(out, 0, size);
    memcpy(out, &size, sizeof(size));
}

void imagine_options_init(imagine_options_t *options, size_t size) {
    init_sized(options, size);
}

void imagine_params_init(imagine_params_t *params, size_t size) {
    init_sized(params, size);
}

static int read_options(imagine_options_t *out, const imagine_options_t *options) {
    imagine_options_init(out, sizeof(*out));
    if (options == NULL)
        return 0;
    if (options->size < sizeof(size_t))
        return IMAGINE_EINVAL;
    memcpy(out, options, options->size < sizeof(*out) ? options->size : sizeof(*out));
    for (size_t i = sizeof(*out); i < options->size; i++)
        if (((const char *)options)[i] != 0)
            return IMAGINE_EINVAL;
    return (out->loop != NULL) + (out->io != NULL) + (out->is_manual != 0) > 1 ? IMAGINE_EINVAL : 0;
}

/* io.h says of each function whether it may be missing. */
static bool is_whole(const imagine_io_t *io) {
    return io->size >= sizeof(*io) && io->http_start != NULL && io->http_cancel != NULL &&
           io->timer_start != NULL && io->timer_cancel != NULL && io->now_ms != NULL &&
           io->unix_ms != NULL && io->random != NULL;
}

static int open_io(imagine_t *im, const imagine_options_t *options) {
    imagine_io_uv_options_t uv = {.size = sizeof(uv)};
    if (options->io != NULL) {
        im->io = options->io;
        return is_whole(options->io) ? 0 : IMAGINE_EINVAL;
    }
#ifdef IMAGINE_WITHOUT_LIBUV
    (void)uv;
    return IMAGINE_ENOTSUP;
#else
    uv.loop = options->loop;
    uv.log = options->log;
    uv.log_user = options->log_user;
    uv.ca_file = options->ca_file;
    uv.verify_tls = options->verify_tls;
    uv.user_agent = options->user_agent;
    uv.allocator = options->allocator;
    uv.is_manual = options->is_manual;
    im->is_manual = options->is_manual != 0;
    im->has_thread = options->loop == NULL && !im->is_manual;
    int err = imagine_io_uv_open(&im->own_io, &uv);
    im->io = im->own_io;
    return err;
#endif
}

static int add_builtin(imagine_t *im) {
    int err = imi_catalogue_builtin(&im->catalogue, &im->mem);
    for (size_t i = 0; err == 0 && i < imi_builtin_provider_count; i++)
        err = imi_registry_add(im, imi_builtin_providers[i]->name, imi_builtin_providers[i]);
    return err != 0 ? err : imi_registry_adopt(im);
}

/* Everything that lives on the loop's thread. */
typedef struct opening {
    imagine_t *im;
    const imagine_options_t *options;
    int err;
} opening_t;

static int open_step(void *user) {
    opening_t *opening = user;
    imagine_t *im = opening->im;
    const char *bad;
    im->opened_at_ms = imi_now_ms(im);
    im->seed[0] = imi_random64(im);
    im->seed[1] = imi_random64(im);
    imi_map_init(&im->tasks, &im->mem, im->seed);
    im->on_mark = imi_mark_changed;
    im->on_count = imi_tally_counted;
    opening->err = imi_webhooks_open(im);
    if (opening->err == 0)
        opening->err = imi_peers_open(im);
    if (opening->err == 0)
        opening->err = imi_tally_open(im);
    if (opening->err == 0)
        opening->err = imi_client_allow_hosts(im, opening->options->allow_private_hosts, &bad);
    if (opening->err == 0)
        opening->err = add_builtin(im);
    return 1;
}

static void free_parts(imagine_t *im) {
    imi_tasks_reset(im);
    imi_webhooks_close(im);
    imi_peers_close(im);
    imi_registry_reset(im);
    imi_tally_close(im);
    if (im->catalogue != NULL)
        imi_catalogue_release(im->catalogue);
    im->catalogue = NULL;
    imi_secrets_reset(im);
    imi_keyring_reset(im);
    imi_arena_reset(&im->hosts_arena);
}

static void *resize_by_c_library(void *user, void *pointer, size_t size) {
    (void)user;
    return imi_mem_resize(NULL, pointer, size);
}

int imagine_open(imagine_t **out, const imagine_options_t *options) {
    imagine_options_t own;
    opening_t opening = {.options = &own};
    imi_mem_t mem = {resize_by_c_library, NULL};
    imagine_t *im;
    int err;
    if (out == NULL)
        return IMAGINE_EINVAL;
    *out = NULL;
    err = read_options(&own, options);
    if (err != 0)
        return err;
    if (own.allocator != NULL && own.allocator->resize == NULL)
        return IMAGINE_EINVAL;
    if (own.allocator != NULL)
        mem = (imi_mem_t){own.allocator->resize, own.allocator->user};
    im = imi_mem_zalloc(&mem, sizeof(*im));
    if (im == NULL)
        return IMAGINE_ENOMEM;
    im->mem = mem;
    atomic_init(&im->refs, 1);
    atomic_init(&im->door, 0);
    im->timeout_ms = own.timeout_ms != 0 ? own.timeout_ms : TIMEOUT_MS;
    im->in_flight_max = own.in_flight_max;
    im->response_size_max = own.response_size_max != 0 ? own.response_size_max : RESPONSE_SIZE_MAX;
    im->log_level = own.log_level;
    im->log = own.log;
    im->log_user = own.log_user;
    im->limits = (imi_limits_t){.text_ms = 30000,
                                .image_ms = 120000,
                                .download_ms = 60000,
                                .status_ms = 15000,
                                .webhook_ms = 10000,
                                .poll_interval_ms = 5000};
    im->counters.size = sizeof(im->counters);
    imi_arena_init(&im->hosts_arena, &im->mem, 0);
    imi_list_init(&im->requests);
    imi_list_init(&im->ended_tasks);
    imi_list_init(&im->untold_tasks);
    err = open_io(im, &own);
    if (err != 0) {
        imi_client_release(im);
        return err;
    }
    opening.im = im;
    err = imi_run(im, open_step, &opening);
    if (err == 0)
        err = opening.err;
    if (err != 0) {
        free_parts(im);
#ifndef IMAGINE_WITHOUT_LIBUV
        if (im->own_io != NULL)
            imagine_io_uv_close(im->own_io, NULL, NULL);
#endif
        imi_client_release(im);
        return err;
    }
    *out = im;
    return 0;
}

/* ---- close ------------------------------------------------------------------------------------
 */

static void on_io_closed(void *user) {
    imagine_t *im = user;
    imagine_closed_cb closed = im->on_closed;
    void *closed_user = im->closed_user;
    imi_client_release(im);
    if (closed != NULL)
        closed(closed_user);
}

/* A turn of the loop on the way to the end; comes again until everything is gone. */
static void on_close_turn(void *user) {
    imagine_t *im = user;
    im->close_timer = NULL;
    /* Without a timer there is no waiting for them. */
    if (imi_request_wait_for_files(im) &&
        (im->close_timer != NULL || im->io->timer_start(im->io->context, FILES_WAIT_MS,
                                                        on_close_turn, im, &im->close_timer) == 0))
        return;
    if (!imi_list_is_empty(&im->requests)) {
        /* The next one looks the list up again: a callback may have changed it. */
        while (!imi_list_is_empty(&im->requests)) {
            imagine_request_t *request = IMI_CONTAINER(im->requests.next, imagine_request_t, link);
            imi_request_abandon(request, IMAGINE_ECANCELED, true);
        }
        if (im->close_timer == NULL)
            imi_client_close_later(im, 0);
        return;
    }
    if (im->former_syncs > 0)
        return; /* on_former_closed() comes back here */
    imi_tell_stop(im);
    if (!imi_tally_end(im))
        return;
    imi_webhooks_reset(im);
    imi_peers_leave(im);
    if (im->sync != NULL) {
        imi_sync_close(im, on_sync_closed, im);
        return;
    }
    on_sync_closed(im);
}

static void on_sync_closed(void *user) {
    imagine_t *im = user;
    imi_hosting_close(im, on_hosting_closed, im);
}

static void on_hosting_closed(void *user) {
    imagine_t *im = user;
    atomic_fetch_or_explicit(&im->door, IMI_DOOR_CLOSED, memory_order_acq_rel);
    im->is_closed = true;
    /* Threads inside the door wait for requests that are over: they leave in the next turns. The
     * one that waits for this very end is counted too, and is told by is_closed. */
    if ((atomic_load_explicit(&im->door, memory_order_acquire) & ~IMI_DOOR_CLOSED) != 0) {
        imi_client_close_later(im, DOOR_WAIT_MS);
        return;
    }
    free_parts(im);
    if (im->is_awaited)
        return; /* imagine_close() itself, on its thread, does the rest */
#ifndef IMAGINE_WITHOUT_LIBUV
    if (im->own_io != NULL) {
        imagine_io_uv_close(im->own_io, on_io_closed, im);
        return;
    }
#endif
    on_io_closed(im);
}

static int close_step(void *user) {
    imagine_t *im = user;
    IMI_ASSERT(!im->is_closing); /* imagine_close() once */
    im->is_closing = true;
    im->close_turn = on_close_turn;
    imi_client_close_later(im, 0);
    return 1;
}

static int is_free_step(void *user) {
    const imagine_t *im = user;
    return im->is_closed && im->catalogue == NULL;
}

void imagine_close(imagine_t *im, imagine_closed_cb closed, void *user) {
    if (im == NULL)
        return;
    im->on_closed = closed;
    im->closed_user = user;
    im->is_awaited = (im->has_thread && closed == NULL) || im->is_manual;
    if (im->io->await == NULL) {
        close_step(im);
        return;
    }
    im->io->await(im->io->context, close_step, im, -1);
    if (!im->is_awaited)
        return;
    /* Past the door on purpose: it closes while we wait. */
    if (im->io->await(im->io->context, is_free_step, im, -1) == IMAGINE_EDEADLK) {
        im->is_awaited = false; /* in a callback: it cannot wait for its own end */
        return;
    }
#ifndef IMAGINE_WITHOUT_LIBUV
    imagine_io_uv_close(im->own_io, NULL, NULL);
#endif
    on_io_closed(im);
}

/* ---- a host that turns the loop itself ---------------------------------------------------------
 */

#ifndef IMAGINE_WITHOUT_LIBUV
int imagine_turn(imagine_t *im, int64_t timeout_ms) {
    if (im == NULL)
        return IMAGINE_EINVAL;
    return im->is_manual ? imagine_io_uv_turn(im->own_io, timeout_ms) : IMAGINE_ENOTSUP;
}

int imagine_turn_fd(const imagine_t *im) {
    if (im == NULL)
        return IMAGINE_EINVAL;
    return im->is_manual ? imagine_io_uv_turn_fd(im->own_io) : IMAGINE_ENOTSUP;
}

int imagine_turn_wait_ms(const imagine_t *im) {
    if (im == NULL)
        return IMAGINE_EINVAL;
    return im->is_manual ? imagine_io_uv_turn_wait_ms(im->own_io) : IMAGINE_ENOTSUP;
}

int imagine_turn_wake(imagine_t *im) {
    if (im == NULL)
        return IMAGINE_EINVAL;
    return im->is_manual ? imagine_io_uv_turn_wake(im->own_io) : IMAGINE_ENOTSUP;
}
#else
int imagine_turn(imagine_t *im, int64_t timeout_ms) {
    (void)im;
    (void)timeout_ms;
    return IMAGINE_ENOTSUP;
}

int imagine_turn_fd(const imagine_t *im) {
    (void)im;
    return IMAGINE_ENOTSUP;
}

int imagine_turn_wait_ms(const imagine_t *im) {
    (void)im;
    return IMAGINE_ENOTSUP;
}

int imagine_turn_wake(imagine_t *im) {
    (void)im;
    return IMAGINE_ENOTSUP;
}

int imagine_turn_await(const int32_t *fds, size_t fd_count, int64_t timeout_ms) {
    (void)fds;
    (void)fd_count;
    (void)timeout_ms;
    return IMAGINE_ENOTSUP;
}
#endif
