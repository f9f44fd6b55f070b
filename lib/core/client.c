/* client.c: a client's life.
 *
 *   open -> (settings, storage, providers, requests) -> close:
 *   requests called back -> storage written and closed -> io closed -> closed() -> memory gone
 *
 * With a private thread, other threads come in through imi_run(): one counter, the door, says how
 * many are inside, and closing shuts it before the thread ends. */
#include "core/client.h"

#include <stdlib.h>
#include <string.h>

#include "core/hosting.h"
#include "core/log.h"
#include "core/reason.h"
#include "core/request.h"
#include "core/secret.h"
#include "core/sync.h"
#include "core/task.h"
#include "providers/builtin.h"
#include "wire/assert.h"
#include "wire/json.h"
#include "wire/url.h"

#define TIMEOUT_MS 300000
#define RESPONSE_SIZE_MAX (64u * 1024 * 1024)
#define DOOR_WAIT_MS 1

static void on_close_turn(void *user);
static void on_sync_closed(void *user);
static void on_hosting_closed(void *user);

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

static const struct {
    const char *name, *other_name;
} action_names[] = {
    [IMI_GENERATE] = {"generate", "imagine"},
    [IMI_EDIT] = {"edit", NULL},
    [IMI_TEXT] = {"text", NULL},
    [IMI_VIDEO] = {"video", NULL},
    [IMI_UPSCALE] = {"upscaler", "upscale"},
    [IMI_TASK_STATUS] = {"task-status", NULL},
};

const char *imi_action_name(imi_action_t action) {
    return action_names[action].name;
}

int imi_action_from_name(const char *name) {
    for (int i = 0; name != NULL && i <= IMI_TASK_STATUS; i++)
        if (strcmp(action_names[i].name, name) == 0 ||
            (action_names[i].other_name != NULL && strcmp(action_names[i].other_name, name) == 0))
            return i;
    return -1;
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

/* ---- open -------------------------------------------------------------------------------------
 */

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
    return out->loop != NULL && out->io != NULL ? IMAGINE_EINVAL : 0;
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
    im->has_thread = options->loop == NULL;
    int err = imagine_io_uv_open(&im->own_io, &uv);
    im->io = im->own_io;
    return err;
#endif
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
    imi_webhooks_init(im);
    opening->err = imi_client_allow_hosts(im, opening->options->allow_private_hosts, &bad);
    if (opening->err == 0)
        opening->err = add_builtin(im);
    return 1;
}

static void free_parts(imagine_t *im) {
    imi_tasks_reset(im);
    imi_webhooks_reset(im);
    imi_registry_reset(im);
    if (im->catalogue != NULL)
        imi_catalogue_release(im->catalogue);
    im->catalogue = NULL;
    imi_secrets_reset(im);
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

static void go_on_closing(imagine_t *im, uint64_t delay_ms) {
    const imagine_io_t *io = im->io;
    if (im->close_timer == NULL &&
        io->timer_start(io->context, delay_ms, on_close_turn, im, &im->close_timer) != 0) {
        /* Without a timer the promise of a later turn cannot be kept; closing all the same can. */
        im->close_timer = NULL;
        on_close_turn(im);
    }
}

void imi_client_request_gone(imagine_t *im) {
    if (im->is_closing && imi_list_is_empty(&im->requests) && im->former_syncs == 0)
        go_on_closing(im, 0);
}

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
    if (!imi_list_is_empty(&im->requests)) {
        /* The next one looks the list up again: a callback may have changed it. */
        while (!imi_list_is_empty(&im->requests)) {
            imagine_request_t *request = IMI_CONTAINER(im->requests.next, imagine_request_t, link);
            imi_request_abandon(request, IMAGINE_ECANCELED, true);
        }
        if (im->close_timer == NULL)
            go_on_closing(im, 0);
        return;
    }
    if (im->former_syncs > 0)
        return; /* on_former_closed() comes back here */
    imi_webhooks_reset(im);
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
        go_on_closing(im, DOOR_WAIT_MS);
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
    go_on_closing(im, 0);
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
    im->is_awaited = im->has_thread && closed == NULL;
    if (im->io->await == NULL) {
        close_step(im);
        return;
    }
    im->io->await(im->io->context, close_step, im, -1);
    if (!im->is_awaited)
        return;
    /* Past the door on purpose: it closes while we wait. */
    if (im->io->await(im->io->context, is_free_step, im, -1) == IMAGINE_EDEADLK) {
        im->is_awaited = false; /* on the private thread itself: it cannot wait for its own end */
        return;
    }
#ifndef IMAGINE_WITHOUT_LIBUV
    imagine_io_uv_close(im->own_io, NULL, NULL);
#endif
    imi_client_release(im);
}

/* ---- what a client is given --------------------------------------------------------------------
 */

typedef struct change {
    imagine_t *im;
    const char *name, *value;
    size_t value_size;
    const void *object;
    char *message;
    int err;
} change_t;

static int run_change(change_t *change, imagine_await_cb step) {
    int err = imi_run(change->im, step, change);
    return err != 0 ? err : change->err;
}

static int set_tokens_step(void *user) {
    change_t *change = user;
    imagine_t *im = change->im;
    imi_provider_t *provider = imi_registry_find(im, change->name);
    const char *tokens = change->value != NULL ? change->value : "";
    change->err = im->is_closing ? IMAGINE_ECLOSED : provider == NULL ? IMAGINE_EPROVIDER : 0;
    if (change->err == 0)
        change->err = imi_secrets_add(im, tokens);
    if (change->err == 0)
        change->err = imi_pool_set_tokens(provider->pool, tokens, imi_clock(im));
    if (change->err == 0) {
        imi_sync_reload(im);
        imi_tasks_resume(im);
    }
    return 1;
}

int imagine_set_tokens(imagine_t *im, const char *provider, const char *tokens) {
    change_t change = {.im = im, .name = provider, .value = tokens};
    return provider == NULL ? IMAGINE_EINVAL : run_change(&change, set_tokens_step);
}

static int set_base_step(void *user) {
    change_t *change = user;
    imagine_t *im = change->im;
    imi_provider_t *provider = imi_registry_find(im, change->name);
    imi_url_t parts;
    char *base = NULL;
    change->err = im->is_closing ? IMAGINE_ECLOSED : provider == NULL ? IMAGINE_EPROVIDER : 0;
    if (change->err == 0 && change->value != NULL) {
        size_t size = strlen(change->value);
        if (!imi_url_parse(imi_slice_of(change->value), &parts) || parts.query.data != NULL ||
            parts.has_userinfo)
            change->err = IMAGINE_EINVAL;
        while (size > 0 && change->value[size - 1] == '/')
            size--;
        base = imi_mem_strndup(&im->mem, change->value, size);
        if (base == NULL)
            change->err = IMAGINE_ENOMEM;
    }
    if (change->err == 0) {
        imi_mem_free(&im->mem, provider->api_base);
        provider->api_base = base;
    } else {
        imi_mem_free(&im->mem, base);
    }
    return 1;
}

int imagine_set_api_base(imagine_t *im, const char *provider, const char *url) {
    change_t change = {.im = im, .name = provider, .value = url};
    return provider == NULL ? IMAGINE_EINVAL : run_change(&change, set_base_step);
}

static int lay_over(imagine_t *im, imi_slice_t document, char **out_message) {
    imi_catalogue_t *catalogue = NULL;
    int err = imi_catalogue_new(&catalogue, &im->mem, im->catalogue, document, out_message);
    if (err != 0)
        return err;
    imi_catalogue_release(im->catalogue);
    im->catalogue = catalogue;
    return imi_registry_adopt(im);
}

static int set_catalogue_step(void *user) {
    change_t *change = user;
    imagine_t *im = change->im;
    imi_slice_t document = {change->value, change->value_size};
    char *message = NULL;
    change->err = im->is_closing ? IMAGINE_ECLOSED : lay_over(im, document, &message);
    if (message != NULL) {
        change->message = strdup(message);
        imi_mem_free(&im->mem, message);
    }
    return 1;
}

int imagine_set_catalogue(imagine_t *im, const char *json, size_t json_size, char **out_message) {
    change_t change = {.im = im, .value = json, .value_size = json_size};
    int err;
    if (out_message != NULL)
        *out_message = NULL;
    if (json == NULL)
        return IMAGINE_EINVAL;
    err = run_change(&change, set_catalogue_step);
    if (out_message != NULL)
        *out_message = change.message;
    else
        free(change.message);
    return err;
}

static int set_storage_step(void *user) {
    change_t *change = user;
    imagine_storage_t *storage = (imagine_storage_t *)(uintptr_t)change->object;
    if (change->im->is_closing) {
        imagine_storage_close(storage, NULL, NULL);
        change->err = IMAGINE_ECLOSED;
    } else {
        change->err = imi_sync_attach(change->im, storage);
    }
    return 1;
}

int imagine_set_storage(imagine_t *im, imagine_storage_t *storage) {
    change_t change = {.im = im, .object = storage};
    return storage == NULL ? IMAGINE_EINVAL : run_change(&change, set_storage_step);
}

/* There is no message on the way out: the log has to say what is wrong. */
static void log_bad_entry(imagine_t *im, const char *name, const char *message) {
    imi_arena_t arena;
    imi_arena_init(&arena, &im->mem, 0);
    imi_log(im, IMAGINE_LOG_ERROR, "provider.refused provider=%.40s reason=\"%s\"", name,
            imi_reason(im, &arena, message, NULL));
    imi_arena_reset(&arena);
}

/* The provider's own entry becomes part of the catalogue in force. */
static int add_entry(imagine_t *im, const imagine_provider_t *provider) {
    imi_slice_t entry = imi_slice_of(provider->catalogue != NULL ? provider->catalogue : "{}");
    imi_json_writer_t writer;
    imi_buf_t buf;
    char *message = NULL;
    int err = IMAGINE_EINVAL;
    if (!imi_json_valid(entry, 32, NULL)) {
        log_bad_entry(im, provider->name, "its catalogue entry is not valid JSON");
        return err;
    }
    imi_buf_init(&buf, &im->mem, 0);
    imi_json_begin(&writer, &buf);
    imi_json_open_object(&writer, NULL);
    imi_json_open_object(&writer, "providers");
    imi_json_put_raw(&writer, provider->name, entry);
    imi_json_close_object(&writer);
    imi_json_close_object(&writer);
    err =
        buf.error != 0 ? IMAGINE_ENOMEM : lay_over(im, (imi_slice_t){buf.data, buf.size}, &message);
    if (message != NULL)
        log_bad_entry(im, provider->name, message);
    imi_mem_free(&im->mem, message);
    imi_buf_reset(&buf);
    return err;
}

static int register_step(void *user) {
    change_t *change = user;
    imagine_t *im = change->im;
    const imagine_provider_t *provider = change->object;
    change->err = im->is_closing ? IMAGINE_ECLOSED : 0;
    if (change->err == 0 && imi_registry_find(im, provider->name) != NULL)
        change->err = IMAGINE_EEXIST;
    if (change->err == 0 && (provider->catalogue != NULL ||
                             imi_catalogue_find(im->catalogue, provider->name) == NULL)) {
        /* First the entry: it is the part that can be wrong. */
        change->err = add_entry(im, provider);
    }
    if (change->err == 0)
        change->err = imi_registry_add(im, provider->name, provider);
    return 1;
}

int imagine_register_provider(imagine_t *im, const imagine_provider_t *provider) {
    change_t change = {.im = im, .object = provider};
    if (provider == NULL || provider->name == NULL)
        return IMAGINE_EINVAL;
    return run_change(&change, register_step);
}
