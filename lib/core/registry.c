/* registry.c: see registry.h. */
#include "core/registry.h"

#include <string.h>

#include "core/action.h"
#include "core/client.h"
#include "providers/builtin.h"
#include "wire/str.h"

#define NAME_SIZE_MAX 40
#define PROVIDERS_MAX 256
#define SAMPLE "sample"

static bool is_name(const char *name) {
    size_t size = name != NULL ? strlen(name) : 0;
    return size > 0 && size <= NAME_SIZE_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == size;
}

/* A shorter struct is an older provider: what it lacks is not supported. */
static bool copy_code(imagine_provider_t *out, const imagine_provider_t *code) {
    if (code->size < sizeof(size_t))
        return false;
    memset(out, 0, sizeof(*out));
    memcpy(out, code, code->size < sizeof(*out) ? code->size : sizeof(*out));
    for (size_t i = sizeof(*out); i < code->size; i++)
        if (((const char *)code)[i] != 0)
            return false;
    return true;
}

int imi_registry_add(imagine_t *im, const char *name, const imagine_provider_t *code) {
    const imi_mem_t *mem = &im->mem;
    imi_provider_t **providers, *provider;
    if (!is_name(name) || im->provider_count == PROVIDERS_MAX)
        return IMAGINE_EINVAL;
    if (imi_registry_find(im, name) != NULL)
        return IMAGINE_EEXIST;
    providers =
        imi_mem_resize(mem, im->providers, (im->provider_count + 1) * sizeof(*im->providers));
    if (providers == NULL)
        return IMAGINE_ENOMEM;
    im->providers = providers;
    provider = imi_mem_zalloc(mem, sizeof(*provider));
    if (provider == NULL)
        return IMAGINE_ENOMEM;
    provider->im = im;
    provider->name = imi_mem_strdup(mem, name);
    provider->pool = imi_pool_new(mem, im->seed, im->on_mark, provider);
    if (provider->pool != NULL)
        imi_pool_set_counted(provider->pool, im->on_count);
    imi_breaker_init(&provider->breaker);
    if (provider->name == NULL || provider->pool == NULL || !copy_code(&provider->code, code)) {
        int err =
            provider->name == NULL || provider->pool == NULL ? IMAGINE_ENOMEM : IMAGINE_EINVAL;
        if (provider->pool != NULL)
            imi_pool_free(provider->pool);
        imi_mem_free(mem, provider->name);
        imi_mem_free(mem, provider);
        return err;
    }
    providers[im->provider_count++] = provider;
    return 0;
}

imi_provider_t *imi_registry_find(const imagine_t *im, const char *name) {
    for (size_t i = 0; i < im->provider_count; i++)
        if (strcmp(im->providers[i]->name, name) == 0)
            return im->providers[i];
    return NULL;
}

bool imi_provider_is_visible(const imi_provider_t *provider) {
    const imagine_t *im = provider->im;
    if (imi_catalogue_find(im->catalogue, provider->name) == NULL)
        return false; /* a document took it away */
    if (strcmp(provider->name, SAMPLE) != 0 || im->sample_mode == IMI_SAMPLE_ON)
        return true;
    if (im->sample_mode == IMI_SAMPLE_OFF)
        return false;
    for (size_t i = 0; i < im->provider_count; i++)
        if (!imi_pool_is_empty(im->providers[i]->pool))
            return false;
    return true;
}

imi_provider_t *imi_registry_find_visible(const imagine_t *im, const char *name) {
    imi_provider_t *provider = imi_registry_find(im, name);
    return provider != NULL && imi_provider_is_visible(provider) ? provider : NULL;
}

/* The code for entries of a kind: made for entries alone, else a provider's. "openai" is both: the
 * servers at home want no token. NULL: this build and host have none. */
static const imagine_provider_t *code_of_kind(const imagine_t *im, const char *kind) {
    const imi_provider_t *provider;
    for (size_t i = 0; i < imi_builtin_kind_count; i++)
        if (strcmp(imi_builtin_kinds[i]->name, kind) == 0)
            return imi_builtin_kinds[i];
    provider = imi_registry_find(im, kind);
    return provider != NULL ? &provider->code : NULL;
}

static bool is_entry_kind(const char *kind) {
    for (size_t i = 0; i < imi_builtin_kind_count; i++)
        if (strcmp(imi_builtin_kinds[i]->name, kind) == 0)
            return true;
    return false;
}

static void put_kinds(const imagine_t *im, imi_buf_t *out) {
    imi_buf_append_text(out, "one of ");
    for (size_t i = 0; i < im->provider_count; i++) {
        const imi_provider_t *provider = im->providers[i];
        if (strcmp(provider->code.name, provider->name) == 0 && !is_entry_kind(provider->name))
            imi_buf_printf(out, "%s, ", provider->name);
    }
    for (size_t i = 0; i < imi_builtin_kind_count; i++)
        imi_buf_printf(out, "%s%s", imi_builtin_kinds[i]->name,
                       i + 1 < imi_builtin_kind_count ? ", " : " expected");
}

char *imi_registry_bad_kind(const imagine_t *im, const imi_catalogue_t *catalogue,
                            const char *own) {
    for (size_t i = 0; i < imi_catalogue_provider_count(catalogue); i++) {
        const imi_catalogue_provider_t *entry = imi_catalogue_provider_at(catalogue, i);
        const imi_catalogue_provider_t *old = imi_catalogue_find(im->catalogue, entry->name);
        char *message = NULL;
        imi_buf_t buf;
        if (code_of_kind(im, entry->kind) != NULL ||
            (own != NULL && strcmp(entry->name, own) == 0) ||
            (old != NULL && strcmp(old->kind, entry->kind) == 0))
            continue;
        imi_buf_init(&buf, &im->mem, 0);
        if (strcmp(entry->kind, entry->name) == 0) /* as it is where the entry tells none */
            imi_buf_printf(&buf, "providers.%s.kind: missing; ", entry->name);
        else
            imi_buf_printf(&buf, "providers.%s.kind: nobody speaks \"%.40s\"; ", entry->name,
                           entry->kind);
        put_kinds(im, &buf);
        message = imi_buf_take(&buf, NULL);
        return message != NULL ? message : imi_mem_strdup(&im->mem, "kind: unknown");
    }
    return NULL;
}

int imi_registry_adopt(imagine_t *im) {
    for (size_t i = 0; i < imi_catalogue_provider_count(im->catalogue); i++) {
        const imi_catalogue_provider_t *entry = imi_catalogue_provider_at(im->catalogue, i);
        const imagine_provider_t *code;
        int err;
        if (imi_registry_find(im, entry->name) != NULL)
            continue;
        code = code_of_kind(im, entry->kind);
        if (code == NULL)
            continue; /* a document may describe providers that this build or host lacks */
        err = imi_registry_add(im, entry->name, code);
        if (err != 0)
            return err;
    }
    return 0;
}

void imi_registry_reset(imagine_t *im) {
    const imi_mem_t *mem = &im->mem;
    for (size_t i = 0; i < im->provider_count; i++) {
        imi_provider_t *provider = im->providers[i];
        imi_pool_free(provider->pool);
        imi_mem_free(mem, provider->api_base);
        imi_mem_free(mem, provider->name);
        imi_mem_free(mem, provider);
    }
    imi_mem_free(mem, im->providers);
    im->providers = NULL;
    im->provider_count = 0;
}

bool imi_provider_can_serve(imi_provider_t *provider) {
    if (!imi_provider_is_visible(provider))
        return false;
    if (imi_pool_is_empty(provider->pool))
        return (provider->code.flags & IMAGINE_PROVIDER_TOKEN_OPTIONAL) != 0;
    return imi_pool_can_serve(provider->pool, imi_clock(provider->im));
}

imagine_call_cb imi_provider_action(const imi_provider_t *provider, int action) {
    const imagine_provider_t *code = &provider->code;
    const imagine_call_cb actions[] = {
        [IMI_GENERATE] = code->generate, [IMI_EDIT] = code->edit,       [IMI_TEXT] = code->text,
        [IMI_VIDEO] = code->video,       [IMI_UPSCALE] = code->upscale, [IMI_TASK_STATUS] = NULL};
    return actions[action];
}

const char *imi_registry_names(const imagine_t *im, imi_arena_t *arena) {
    const char *names = "";
    for (size_t i = 0; i < im->provider_count && names != NULL; i++) {
        const imi_provider_t *provider = im->providers[i];
        if (imi_provider_is_visible(provider))
            names = imi_arena_printf(arena, "%s%s%s", names, names[0] != '\0' ? ", " : "",
                                     provider->name);
    }
    return names;
}
