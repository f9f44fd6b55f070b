/* inspect.c: looking at a client: models, providers, tokens, counters. Everything answers at once,
 * from memory. */
#include <stdlib.h>
#include <string.h>

#include "core/client.h"
#include "core/registry.h"
#include "settings/settings.h"
#include "core/sync.h"
#include "core/tally.h"
#include "wire/json.h"

typedef struct look {
    imagine_t *im;
    const char *provider;
    uint32_t flags;
    char *text; /* malloc'ed: imagine_free() gives it back */
    void *out;
    int err;
} look_t;

static int run_look(look_t *look, imagine_await_cb step) {
    int err = imi_run(look->im, step, look);
    return err != 0 ? err : look->err;
}

static imi_provider_t *find(look_t *look) {
    imi_provider_t *provider =
        look->provider != NULL ? imi_registry_find(look->im, look->provider) : NULL;
    if (look->im->is_closing)
        look->err = IMAGINE_ECLOSED;
    else if (provider == NULL)
        look->err = IMAGINE_EPROVIDER;
    return look->err == 0 ? provider : NULL;
}

static int loaded_step(void *user) {
    const imagine_t *im = user;
    return im->is_closing || !imi_sync_is_loading(im);
}

int imagine_wait_loaded(imagine_t *im) {
    return im == NULL ? IMAGINE_EINVAL : imi_wait_in_door(im, loaded_step, im, -1);
}

/* In document order, with the sample's at the end: it is there to try us out. */
static void put_models(look_t *look, imi_json_writer_t *writer, bool is_sample) {
    imagine_t *im = look->im;
    for (size_t i = 0; i < imi_catalogue_provider_count(im->catalogue); i++) {
        const imi_catalogue_provider_t *entry = imi_catalogue_provider_at(im->catalogue, i);
        imi_provider_t *provider = imi_registry_find_visible(im, entry->name);
        if (provider == NULL || (strcmp(entry->name, "sample") == 0) != is_sample ||
            ((look->flags & IMAGINE_MODELS_ALL) == 0 && !imi_provider_can_serve(provider)))
            continue;
        for (size_t k = 0; k < entry->model_count; k++)
            imi_json_put_raw(writer, NULL, imi_slice_of(entry->models[k].json));
    }
}

static int models_step(void *user) {
    look_t *look = user;
    imi_json_writer_t writer;
    imi_buf_t buf;
    if (look->im->is_closing)
        return 1;
    imi_buf_init(&buf, NULL, 0);
    imi_json_begin(&writer, &buf);
    imi_json_open_array(&writer, NULL);
    put_models(look, &writer, false);
    put_models(look, &writer, true);
    imi_json_close_array(&writer);
    look->text = imi_buf_take(&buf, NULL);
    return 1;
}

char *imagine_models(imagine_t *im, uint32_t flags) {
    look_t look = {.im = im, .flags = flags};
    run_look(&look, models_step);
    return look.text;
}

static int providers_step(void *user) {
    look_t *look = user;
    imi_json_writer_t writer;
    imi_buf_t buf;
    if (look->im->is_closing)
        return 1;
    imi_buf_init(&buf, NULL, 0);
    imi_json_begin(&writer, &buf);
    imi_json_open_array(&writer, NULL);
    for (size_t i = 0; i < look->im->provider_count; i++)
        if (imi_provider_is_visible(look->im->providers[i]))
            imi_json_put_text(&writer, NULL, look->im->providers[i]->name);
    imi_json_close_array(&writer);
    look->text = imi_buf_take(&buf, NULL);
    return 1;
}

char *imagine_providers(imagine_t *im) {
    look_t look = {.im = im};
    run_look(&look, providers_step);
    return look.text;
}

static void describe(imi_buf_t *out, imi_provider_t *provider) {
    const imi_catalogue_provider_t *entry =
        imi_catalogue_find(provider->im->catalogue, provider->name);
    size_t model_count = entry != NULL ? entry->model_count : 0;
    imagine_token_stats_t stats = {.size = sizeof(stats)};
    char setting[IMI_PROVIDER_SETTING_SIZE];
    imi_pool_stats(provider->pool, imi_clock(provider->im), &stats);
    imi_provider_setting(setting, provider->name, "TOKENS");
    imi_buf_printf(out, "%s: ", provider->name);
    if (stats.total > 0)
        imi_buf_printf(out, "%u of %u token%s can serve", stats.active, stats.total,
                       stats.total == 1 ? "" : "s");
    else if ((provider->code.flags & IMAGINE_PROVIDER_TOKEN_OPTIONAL) != 0)
        imi_buf_append_text(out, "can serve without a token");
    else
        imi_buf_printf(out, "cannot serve, %s is not set", setting);
    imi_buf_printf(out, ", %zu model%s\n", model_count, model_count == 1 ? "" : "s");
}

static int describe_step(void *user) {
    look_t *look = user;
    imi_buf_t buf;
    if (look->im->is_closing)
        return 1;
    imi_buf_init(&buf, NULL, 0);
    for (size_t i = 0; i < look->im->provider_count; i++)
        if (imi_provider_is_visible(look->im->providers[i]))
            describe(&buf, look->im->providers[i]);
    look->text = imi_buf_take(&buf, NULL);
    return 1;
}

char *imagine_describe(imagine_t *im) {
    look_t look = {.im = im};
    run_look(&look, describe_step);
    return look.text;
}

static int stats_step(void *user) {
    look_t *look = user;
    imi_provider_t *provider = find(look);
    if (provider != NULL)
        imi_pool_stats(provider->pool, imi_clock(look->im), look->out);
    return 1;
}

int imagine_token_stats(imagine_t *im, const char *provider, imagine_token_stats_t *out) {
    imagine_token_stats_t stats = {.size = sizeof(stats)};
    look_t look = {.im = im, .provider = provider, .out = &stats};
    size_t size = out != NULL ? out->size : 0;
    int err;
    if (size < sizeof(size) + sizeof(uint32_t) || size > sizeof(stats))
        return IMAGINE_EINVAL;
    err = run_look(&look, stats_step);
    if (err != 0)
        return err;
    stats.size = size;
    memcpy(out, &stats, size);
    return 0;
}

static int details_step(void *user) {
    look_t *look = user;
    imi_provider_t *provider = find(look);
    imi_buf_t buf;
    if (provider == NULL)
        return 1;
    imi_buf_init(&buf, NULL, 0);
    imi_tally_refresh(look->im, false);
    imi_pool_details(provider->pool, imi_clock(look->im), &buf);
    look->text = imi_buf_take(&buf, NULL);
    return 1;
}

char *imagine_token_details(imagine_t *im, const char *provider) {
    look_t look = {.im = im, .provider = provider};
    run_look(&look, details_step);
    return look.text;
}

static int reset_step(void *user) {
    look_t *look = user;
    imi_provider_t *provider = find(look);
    if (provider == NULL)
        return 1;
    imi_pool_reset(provider->pool);
    imi_breaker_init(&provider->breaker);
    provider->anonymous_until_ms = 0;
    return 1;
}

int imagine_token_reset(imagine_t *im, const char *provider) {
    look_t look = {.im = im, .provider = provider};
    return run_look(&look, reset_step);
}

static int counters_step(void *user) {
    look_t *look = user;
    memcpy(look->out, &look->im->counters, sizeof(imagine_counters_t));
    return 1;
}

int imagine_counters(imagine_t *im, imagine_counters_t *out) {
    imagine_counters_t counters = {.size = sizeof(counters)};
    look_t look = {.im = im, .out = &counters};
    size_t size = out != NULL ? out->size : 0;
    int err;
    if (size < sizeof(size) || size > sizeof(counters))
        return IMAGINE_EINVAL;
    err = run_look(&look, counters_step);
    if (err != 0)
        return err;
    counters.size = size;
    memcpy(out, &counters, size);
    return 0;
}

static int breaker_step(void *user) {
    look_t *look = user;
    const imi_provider_t *provider = find(look);
    if (provider != NULL)
        look->err = provider->breaker.state;
    return 1;
}

int imagine_breaker_state(imagine_t *im, const char *provider) {
    look_t look = {.im = im, .provider = provider};
    return run_look(&look, breaker_step);
}
