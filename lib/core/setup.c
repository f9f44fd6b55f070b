/* setup.c: what a client is given: tokens, base addresses, a catalogue, a storage, providers. */
#include <stdlib.h>
#include <string.h>

#include "core/client.h"
#include "core/epoch.h"
#include "core/log.h"
#include "core/mark.h"
#include "core/outage.h"
#include "core/peers.h"
#include "core/reason.h"
#include "core/registry.h"
#include "core/secret.h"
#include "core/sync.h"
#include "core/tally.h"
#include "core/task.h"
#include "core/tell.h"
#include "core/webhook_record.h"
#include "core/webhook.h"
#include "wire/json.h"
#include "wire/url.h"

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
        imi_tally_refresh(im, true);
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

/* `own`: the provider that is about to be registered; NULL: none. */
static int lay_over(imagine_t *im, imi_slice_t document, const char *own, char **out_message) {
    imi_catalogue_t *catalogue = NULL;
    int err = imi_catalogue_new(&catalogue, &im->mem, im->catalogue, document, out_message);
    if (err != 0)
        return err;
    *out_message = imi_registry_bad_kind(im, catalogue, own);
    if (*out_message != NULL) {
        imi_catalogue_release(catalogue);
        return IMAGINE_EINVAL;
    }
    if (imi_catalogue_note(catalogue) != NULL)
        imi_log(im, IMAGINE_LOG_WARN, "catalogue.strange reason=\"%s\"",
                imi_catalogue_note(catalogue));
    imi_catalogue_release(im->catalogue);
    im->catalogue = catalogue;
    return imi_registry_adopt(im);
}

static int set_catalogue_step(void *user) {
    change_t *change = user;
    imagine_t *im = change->im;
    imi_slice_t document = {change->value, change->value_size};
    char *message = NULL;
    change->err = im->is_closing ? IMAGINE_ECLOSED : lay_over(im, document, NULL, &message);
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

/* What a store may hold of us, in the order in which it is read. Webhooks before tasks: one that
 * ends once more has told so already. */
static const imi_sync_kind_t kinds[] = {
    {.prefix = IMI_EPOCH_KEY, .load = imi_epoch_load, .on_listed = imi_epoch_listed},
    {.prefix = IMI_MARK_PREFIX, .load = imi_mark_load},
    {.prefix = IMI_PEER_PREFIX, .load = imi_peer_load, .on_listed = imi_peers_listed},
    {.prefix = IMI_OUTAGE_PREFIX, .load = imi_outage_load},
    {.prefix = IMI_TASK_CANCEL_PREFIX, .load = imi_task_cancel_load},
    {.prefix = IMI_WEBHOOK_KEY_PREFIX, .load = imi_webhook_load, .stored = imi_tell_stored},
    {.prefix = IMI_TASK_PREFIX, .load = imi_task_load, .is_unshared = true},
};

static int set_storage_step(void *user) {
    change_t *change = user;
    imagine_storage_t *storage = (imagine_storage_t *)(uintptr_t)change->object;
    if (change->im->is_closing) {
        imagine_storage_close(storage, NULL, NULL);
        change->err = IMAGINE_ECLOSED;
    } else {
        const imi_sync_t *former = change->im->sync;
        change->err = imi_sync_attach(change->im, storage, kinds, sizeof(kinds) / sizeof(kinds[0]));
        if (change->im->sync != former)
            imi_tally_attach(change->im);
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
    err = buf.error != 0
              ? IMAGINE_ENOMEM
              : lay_over(im, (imi_slice_t){buf.data, buf.size}, provider->name, &message);
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
