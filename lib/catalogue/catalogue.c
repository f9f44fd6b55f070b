/* catalogue.c: a catalogue document made ready for use. In this order:
 *   1. the text is strict JSON, then a tree (cJSON), and the tree is a catalogue (check.c)
 *   2. it is laid over the document below (merge.c), and the whole is checked again
 *   3. the whole is kept as text, for the next document to be laid over
 *   4. each entry becomes a struct and a small text of its own, so that looking up an option never
 *      walks over what it does not concern
 * All of it lies in one arena and never changes afterwards. */
#include "catalogue/catalogue.h"

#include <stdatomic.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "catalogue/check.h"
#include "catalogue/data.h"
#include "catalogue/merge.h"
#include "imagine.h"
#include "wire/buf.h"
#include "wire/json.h"
#include "wire/list.h"
#include "wire/map.h"

enum {
    DOCUMENT_SIZE_MAX = 4 * 1024 * 1024,
    DEPTH_MAX = 32,
    NUMBER_SIZE_MAX = 61,
    PROVIDERS_MAX = 256,
    MESSAGE_SIZE_MAX = 400,
    ARENA_CHUNK_SIZE = 16 * 1024,
    ROLLING_HOURS = 24, /* what the providers' documentation says where a rule has no hours */
    CREDIT_HOURS = 6
};
#define HD_SCALE 2.0

typedef enum action { GENERATE, EDIT, TEXT, VIDEO, UPSCALER, ACTION_COUNT } action_t;
static const char *const action_names[ACTION_COUNT] = {"generate", "edit", "text", "video",
                                                       "upscaler"};

typedef struct provider {
    imi_catalogue_provider_t entry;
    imi_slice_t actions[ACTION_COUNT]; /* absent: none */
    imi_map_t models;                  /* key, id and alias -> imi_model_t */
    bool has_hd_scale;                 /* one of its own, for all its models */
} provider_t;

typedef struct hd_scale {
    const char *api_id;
    double scale;
} hd_scale_t;

struct imi_catalogue {
    atomic_uint refs;
    imi_mem_t mem; /* a copy: requests may outlive the client */
    imi_arena_t arena;
    imi_slice_t text; /* the whole document */
    const char *note; /* imi_catalogue_note() */
    imi_slice_t defaults;
    imi_slice_t default_actions[ACTION_COUNT];
    provider_t *providers;
    size_t provider_count;
    imi_map_t by_name;
    hd_scale_t *hd_scales;
    size_t hd_scale_count;
};

static void catalogue_free(imi_catalogue_t *catalogue) {
    imi_mem_t mem = catalogue->mem;
    for (size_t i = 0; i < catalogue->provider_count; i++)
        imi_map_reset(&catalogue->providers[i].models);
    imi_map_reset(&catalogue->by_name);
    imi_arena_reset(&catalogue->arena);
    imi_mem_free(mem.resize != NULL ? &mem : NULL, catalogue);
}

static imi_catalogue_t *catalogue_new(const imi_mem_t *mem) {
    imi_catalogue_t *catalogue = imi_mem_zalloc(mem, sizeof(*catalogue));
    if (catalogue == NULL)
        return NULL;
    atomic_init(&catalogue->refs, 1);
    if (mem != NULL) {
        catalogue->mem = *mem;
        mem = &catalogue->mem;
    }
    imi_arena_init(&catalogue->arena, mem, ARENA_CHUNK_SIZE);
    imi_map_init(&catalogue->by_name, mem, NULL);
    return catalogue;
}

/* ---- from the tree ----------------------------------------------------------------------------
 */

static cJSON *member(const cJSON *object, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* A text of the tree, in the arena; NULL: none, or no memory. */
static const char *text_member(imi_catalogue_t *catalogue, const cJSON *object, const char *name) {
    return imi_arena_strdup(&catalogue->arena, cJSON_GetStringValue(member(object, name)));
}

static double number_member(const cJSON *object, const char *name, double otherwise) {
    const cJSON *value = member(object, name);
    return cJSON_IsNumber(value) ? value->valuedouble : otherwise;
}

static bool bool_member(const cJSON *object, const char *name) {
    return cJSON_IsTrue(member(object, name));
}

/* The tree as text in the arena; absent: no memory. */
static imi_slice_t print(imi_catalogue_t *catalogue, const cJSON *value) {
    char *text = cJSON_PrintUnformatted(value);
    imi_slice_t slice = imi_slice_of(imi_arena_strdup(&catalogue->arena, text));
    cJSON_free(text);
    return slice;
}

/* Slashes at the end of an address do not matter, wherever it stands. */
static void trim_addresses(cJSON *value) {
    for (cJSON *at = value->child; at != NULL; at = at->next) {
        if (at->string != NULL && cJSON_IsString(at) && imi_catalogue_is_address(at->string)) {
            size_t size = strlen(at->valuestring);
            while (size > 0 && at->valuestring[size - 1] == '/')
                at->valuestring[--size] = '\0';
        }
        trim_addresses(at);
    }
}

/* ---- compiling --------------------------------------------------------------------------------
 */

static int compile_actions(imi_catalogue_t *catalogue, imi_slice_t out[ACTION_COUNT],
                           const cJSON *actions) {
    for (size_t i = 0; i < ACTION_COUNT; i++) {
        const cJSON *action = member(actions, action_names[i]);
        if (action == NULL)
            continue;
        out[i] = print(catalogue, action);
        if (out[i].data == NULL)
            return IMAGINE_ENOMEM;
    }
    return 0;
}

static int compile_defaults(imi_catalogue_t *catalogue, cJSON *defaults) {
    cJSON *actions = NULL, *scales = NULL;
    int err = 0;
    if (defaults == NULL)
        return 0;
    actions = cJSON_DetachItemFromObjectCaseSensitive(defaults, "actions");
    scales = cJSON_DetachItemFromObjectCaseSensitive(defaults, "hd_scales");
    err = compile_actions(catalogue, catalogue->default_actions, actions);
    catalogue->defaults = print(catalogue, defaults);
    catalogue->hd_scales = imi_arena_zalloc(
        &catalogue->arena, ((size_t)cJSON_GetArraySize(scales) + 1) * sizeof(hd_scale_t));
    if (catalogue->defaults.data == NULL || catalogue->hd_scales == NULL)
        err = IMAGINE_ENOMEM;
    for (const cJSON *at = scales != NULL ? scales->child : NULL; at != NULL && err == 0;
         at = at->next) {
        hd_scale_t *scale = &catalogue->hd_scales[catalogue->hd_scale_count++];
        scale->api_id = imi_arena_strdup(&catalogue->arena, at->string);
        scale->scale = at->valuedouble;
        if (scale->api_id == NULL)
            err = IMAGINE_ENOMEM;
    }
    cJSON_Delete(actions);
    cJSON_Delete(scales);
    return err;
}

static void compile_range(imi_range_t *out, const cJSON *object) {
    const cJSON *range = member(object, "range");
    if (range == NULL)
        return;
    out->is_set = true;
    out->min = range->child->valuedouble;
    out->max = range->child->next->valuedouble;
    out->value = number_member(object, "default", out->min);
}

/* The entry as callers of the HTTP API see it. */
static const char *public_json(imi_catalogue_t *catalogue, const imi_model_t *model,
                               const char *name, const cJSON *entry) {
    static const char *const members[] = {"type",     "steps", "guidance",
                                          "enableHD", "async", "responseType"};
    imi_json_writer_t writer;
    imi_buf_t buf;
    const char *json = NULL;
    imi_buf_init(&buf, catalogue->arena.mem, 0);
    imi_json_begin(&writer, &buf);
    imi_json_open_object(&writer, NULL);
    imi_json_put_text(&writer, "id", model->id);
    imi_json_put_text(&writer, "name", name);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        const cJSON *value = member(entry, members[i]);
        char *text = value != NULL ? cJSON_PrintUnformatted(value) : NULL;
        if (text != NULL)
            imi_json_put_raw(&writer, members[i], imi_slice_of(text));
        else if (value != NULL)
            buf.error = IMI_BUF_NOMEM;
        cJSON_free(text);
    }
    imi_json_close_object(&writer);
    if (buf.error == 0)
        json = imi_arena_strndup(&catalogue->arena, buf.data, buf.size);
    imi_buf_reset(&buf);
    return json;
}

static int compile_model(imi_catalogue_t *catalogue, const provider_t *provider, imi_model_t *model,
                         const cJSON *entry) {
    const char *name = cJSON_GetStringValue(member(entry, "name"));
    const cJSON *types = member(entry, "type");
    double scale = 0;
    model->key = text_member(catalogue, entry, "key");
    model->id = member(entry, "id") != NULL
                    ? text_member(catalogue, entry, "id")
                    : imi_arena_printf(&catalogue->arena, "%s/%s", provider->entry.name,
                                       model->key != NULL ? model->key : "");
    model->api_id =
        text_member(catalogue, entry, member(entry, "api_id") != NULL ? "api_id" : "key");
    for (const cJSON *at = types->child; at != NULL; at = at->next)
        model->types |= imi_catalogue_type(at->valuestring);
    compile_range(&model->steps, member(entry, "steps"));
    compile_range(&model->guidance, member(entry, "guidance"));
    model->response_type = text_member(catalogue, entry, "responseType");
    model->data = print(catalogue, entry);
    if (model->key == NULL || model->id == NULL || model->api_id == NULL ||
        model->data.data == NULL ||
        (model->response_type == NULL && member(entry, "responseType") != NULL))
        return IMAGINE_ENOMEM;
    scale = number_member(entry, "hd_scale", 0);
    model->hd_scale =
        scale > 0 ? scale : imi_catalogue_hd_scale(catalogue, &provider->entry, model->api_id);
    model->json = public_json(catalogue, model, name != NULL ? name : model->key, entry);
    return model->json != NULL ? 0 : IMAGINE_ENOMEM;
}

/* Who comes first keeps the name. */
static int name_model(provider_t *provider, const char *name, imi_model_t *model) {
    size_t size = strlen(name);
    if (imi_map_get(&provider->models, name, size) != NULL)
        return 0;
    return imi_map_set(&provider->models, name, size, model) == 0 ? 0 : IMAGINE_ENOMEM;
}

/* Keys before ids before aliases, so that an alias never hides a model. */
static int name_models(provider_t *provider, imi_model_t *models, const cJSON *entries) {
    size_t count = provider->entry.model_count, i = 0;
    int err = 0;
    for (i = 0; i < count && err == 0; i++)
        err = name_model(provider, models[i].key, &models[i]);
    for (i = 0; i < count && err == 0; i++)
        err = name_model(provider, strchr(models[i].id, '/') + 1, &models[i]);
    i = 0;
    for (const cJSON *at = entries->child; at != NULL; at = at->next, i++) {
        const cJSON *aliases = member(at, "aliases");
        for (const cJSON *alias = aliases != NULL ? aliases->child : NULL;
             alias != NULL && err == 0; alias = alias->next)
            err = name_model(provider, alias->valuestring, &models[i]);
    }
    return err;
}

static int compile_models(imi_catalogue_t *catalogue, provider_t *provider, const cJSON *entries) {
    size_t count = (size_t)cJSON_GetArraySize(entries), i = 0;
    imi_model_t *models = NULL;
    int err = 0;
    if (count == 0)
        return 0;
    models = imi_arena_zalloc(&catalogue->arena, count * sizeof(*models));
    if (models == NULL)
        return IMAGINE_ENOMEM;
    provider->entry.models = models;
    provider->entry.model_count = count;
    for (const cJSON *at = entries->child; at != NULL && err == 0; at = at->next)
        err = compile_model(catalogue, provider, &models[i++], at);
    return err != 0 ? err : name_models(provider, models, entries);
}

static void compile_quota(imi_catalogue_provider_t *entry, const cJSON *quota) {
    const char *reset = cJSON_GetStringValue(member(quota, "reset"));
    const char *zone = cJSON_GetStringValue(member(quota, "zone"));
    int minutes = 0;
    bool is_pacific = false;
    if (zone != NULL)
        imi_catalogue_zone(zone, &minutes, &is_pacific);
    entry->quota = is_pacific ? IMI_QUOTA_DAY_PACIFIC : IMI_QUOTA_DAY;
    entry->quota_offset_minutes = minutes;
    if (reset != NULL && strcmp(reset, "rolling") == 0)
        entry->quota = IMI_QUOTA_ROLLING;
    if (reset != NULL && strcmp(reset, "credit") == 0)
        entry->quota = IMI_QUOTA_CREDIT;
    entry->quota_hours = (uint32_t)number_member(
        quota, "hours", entry->quota == IMI_QUOTA_CREDIT ? CREDIT_HOURS : ROLLING_HOURS);
    entry->is_quota_per_model = bool_member(quota, "per_model");
}

static int compile_provider(imi_catalogue_t *catalogue, provider_t *provider, cJSON *tree) {
    imi_catalogue_provider_t *entry = &provider->entry;
    cJSON *models = cJSON_DetachItemFromObjectCaseSensitive(tree, "models");
    cJSON *actions = cJSON_DetachItemFromObjectCaseSensitive(tree, "actions");
    int err = compile_actions(catalogue, provider->actions, actions);
    entry->name = imi_arena_strdup(&catalogue->arena, tree->string);
    entry->kind = member(tree, "kind") != NULL ? text_member(catalogue, tree, "kind") : entry->name;
    entry->api_base =
        member(tree, "api_base") != NULL ? text_member(catalogue, tree, "api_base") : "";
    entry->has_hd = bool_member(tree, "hd");
    entry->hd_scale = number_member(tree, "hd_scale", HD_SCALE);
    provider->has_hd_scale = member(tree, "hd_scale") != NULL;
    compile_quota(entry, member(tree, "quota"));
    entry->data = print(catalogue, tree);
    if (entry->name == NULL || entry->kind == NULL || entry->api_base == NULL ||
        entry->data.data == NULL)
        err = IMAGINE_ENOMEM;
    if (err == 0)
        err = compile_models(catalogue, provider, models);
    cJSON_Delete(models);
    cJSON_Delete(actions);
    return err;
}

static int compile(imi_catalogue_t *catalogue, cJSON *tree) {
    cJSON *providers = member(tree, "providers");
    size_t count = (size_t)cJSON_GetArraySize(providers);
    int err = compile_defaults(catalogue, member(tree, "defaults"));
    if (err != 0 || count == 0)
        return err;
    catalogue->providers =
        imi_arena_zalloc(&catalogue->arena, count * sizeof(*catalogue->providers));
    if (catalogue->providers == NULL)
        return IMAGINE_ENOMEM;
    for (cJSON *at = providers->child; at != NULL && err == 0; at = at->next) {
        provider_t *provider = &catalogue->providers[catalogue->provider_count++];
        imi_map_init(&provider->models, catalogue->arena.mem, NULL);
        err = compile_provider(catalogue, provider, at);
        if (err == 0 && imi_map_set(&catalogue->by_name, provider->entry.name,
                                    strlen(provider->entry.name), provider) != 0)
            err = IMAGINE_ENOMEM;
    }
    return err;
}

/* ---- reading a document -----------------------------------------------------------------------
 */

/* What is JSON, but more than cJSON can hold: it ends a text at an escaped NUL without a word, and
 * reads 63 characters of a number. NULL: nothing of the kind. */
static const char *too_much_for_a_tree(imi_slice_t text) {
    bool is_inside = false; /* of a text */
    size_t number_size = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (is_inside && c == '\\') {
            if (text.size - i >= 6 && memcmp(text.data + i, "\\u0000", 6) == 0)
                return "a text holds \\u0000";
            i++;
        } else if (c == '"') {
            is_inside = !is_inside;
        }
        number_size = !is_inside && strchr("0123456789+-.eE", c) != NULL ? number_size + 1 : 0;
        if (number_size >= NUMBER_SIZE_MAX)
            return "a number has more than 60 digits";
    }
    return NULL;
}

static const char *syntax_message(imi_arena_t *arena, imi_slice_t document, size_t at) {
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at && i < document.size; i++) {
        column = document.data[i] == '\n' ? 1 : column + 1;
        line += document.data[i] == '\n';
    }
    return imi_arena_printf(arena, "line %zu, column %zu: not valid JSON, or nested too deeply",
                            line, column);
}

/* A byte order mark is what some editors put in front. */
static imi_slice_t without_mark(imi_slice_t document) {
    if (document.size >= 3 && memcmp(document.data, "\xef\xbb\xbf", 3) == 0)
        return (imi_slice_t){document.data + 3, document.size - 3};
    return document;
}

/* The tree of a document that is strict JSON; NULL with *out_err set. */
static cJSON *parse(imi_slice_t document, imi_arena_t *scratch, const char **out_message,
                    int *out_err) {
    cJSON *tree = NULL;
    size_t at = 0;
    *out_err = IMAGINE_EINVAL;
    document = without_mark(document);
    if (document.size > DOCUMENT_SIZE_MAX) {
        *out_message = "the document is larger than 4 MiB";
        return NULL;
    }
    if (!imi_json_valid(document, DEPTH_MAX, &at)) {
        *out_message = syntax_message(scratch, document, at);
        return NULL;
    }
    *out_message = too_much_for_a_tree(document);
    if (*out_message != NULL)
        return NULL;
    tree = cJSON_ParseWithLength(document.data, document.size);
    *out_err = tree != NULL ? 0 : IMAGINE_ENOMEM;
    return tree;
}

/* What only the whole document shows: two models of one key, too many providers. */
static int check_whole(const imi_catalogue_t *catalogue, imi_arena_t *scratch,
                       const char **out_message) {
    for (size_t i = 0; i < catalogue->provider_count; i++) {
        const provider_t *provider = &catalogue->providers[i];
        for (size_t k = 0; k < provider->entry.model_count; k++) {
            const imi_model_t *model = &provider->entry.models[k];
            if (imi_map_get(&provider->models, model->key, strlen(model->key)) == model)
                continue;
            *out_message =
                imi_arena_printf(scratch, "providers.%s.models[%zu].key: %s stands twice",
                                 provider->entry.name, k, model->key);
            return IMAGINE_EINVAL;
        }
    }
    return 0;
}

static int build(imi_catalogue_t *catalogue, const imi_catalogue_t *below, imi_slice_t document,
                 imi_arena_t *scratch, const char **out_message) {
    cJSON *whole = NULL, *patch = NULL;
    const char *missing = NULL;
    int err = 0;
    patch = parse(document, scratch, out_message, &err);
    if (patch == NULL)
        return err;
    err = imi_catalogue_check(patch, true, scratch, out_message);
    if (err == 0) {
        whole = below != NULL ? cJSON_ParseWithLength(below->text.data, below->text.size)
                              : cJSON_CreateObject();
        err = whole != NULL ? imi_catalogue_merge(whole, patch, &missing) : IMAGINE_ENOMEM;
    }
    if (err == 0)
        err = imi_catalogue_check(whole, false, scratch, out_message);
    if (err == 0 && cJSON_GetArraySize(member(whole, "providers")) > PROVIDERS_MAX) {
        *out_message = "providers: more than 256";
        err = IMAGINE_EINVAL;
    }
    if (err == 0) {
        trim_addresses(whole);
        catalogue->text = print(catalogue, whole);
        err = catalogue->text.data != NULL ? compile(catalogue, whole) : IMAGINE_ENOMEM;
    }
    if (err == 0)
        err = check_whole(catalogue, scratch, out_message);
    if (err == 0 && missing != NULL) {
        catalogue->note =
            imi_arena_printf(&catalogue->arena, "remove: there is no model %s", missing);
        err = catalogue->note != NULL ? 0 : IMAGINE_ENOMEM;
    }
    cJSON_Delete(patch);
    cJSON_Delete(whole);
    return err;
}

int imi_catalogue_new(imi_catalogue_t **out, const imi_mem_t *mem, const imi_catalogue_t *below,
                      imi_slice_t document, char **out_message) {
    imi_catalogue_t *catalogue = catalogue_new(mem);
    const char *message = NULL;
    imi_arena_t scratch;
    int err = IMAGINE_ENOMEM;
    *out = NULL;
    if (out_message != NULL)
        *out_message = NULL;
    imi_arena_init(&scratch, mem, 0);
    if (catalogue != NULL)
        err = build(catalogue, below, document, &scratch, &message);
    if (err != 0 && message != NULL && out_message != NULL) {
        const char *clean = imi_text_clean(&scratch, message, strlen(message), MESSAGE_SIZE_MAX);
        *out_message = imi_mem_strdup(mem, clean);
    }
    imi_arena_reset(&scratch);
    if (err != 0 && catalogue != NULL)
        catalogue_free(catalogue);
    else
        *out = catalogue;
    return err;
}

int imi_catalogue_builtin(imi_catalogue_t **out, const imi_mem_t *mem) {
    imi_slice_t document = {(const char *)imi_catalogue_data, imi_catalogue_data_size};
    return imi_catalogue_new(out, mem, NULL, document, NULL);
}

imi_catalogue_t *imi_catalogue_retain(imi_catalogue_t *catalogue) {
    if (catalogue != NULL)
        atomic_fetch_add_explicit(&catalogue->refs, 1, memory_order_relaxed);
    return catalogue;
}

void imi_catalogue_release(imi_catalogue_t *catalogue) {
    if (catalogue != NULL &&
        atomic_fetch_sub_explicit(&catalogue->refs, 1, memory_order_acq_rel) == 1)
        catalogue_free(catalogue);
}

/* ---- looking up -------------------------------------------------------------------------------
 */

static const provider_t *provider_of(const imi_catalogue_provider_t *entry) {
    return IMI_CONTAINER(entry, const provider_t, entry);
}

size_t imi_catalogue_provider_count(const imi_catalogue_t *catalogue) {
    return catalogue->provider_count;
}

const imi_catalogue_provider_t *imi_catalogue_provider_at(const imi_catalogue_t *catalogue,
                                                          size_t index) {
    return index < catalogue->provider_count ? &catalogue->providers[index].entry : NULL;
}

const imi_catalogue_provider_t *imi_catalogue_find(const imi_catalogue_t *catalogue,
                                                   const char *provider) {
    const provider_t *found = imi_map_get(&catalogue->by_name, provider, strlen(provider));
    return found != NULL ? &found->entry : NULL;
}

const imi_model_t *imi_catalogue_model(const imi_catalogue_t *catalogue, const char *provider,
                                       const char *key) {
    const provider_t *found = imi_map_get(&catalogue->by_name, provider, strlen(provider));
    return found != NULL ? imi_map_get(&found->models, key, strlen(key)) : NULL;
}

bool imi_catalogue_was_removed(const imi_catalogue_provider_t *provider, const char *key) {
    imi_json_cursor_t names = imi_json_walk(imi_json_get(provider->data, IMI_CATALOGUE_REMOVED));
    imi_slice_t name;
    while (imi_json_next_item(&names, &name))
        if (imi_json_type(name) == IMI_JSON_STRING &&
            imi_json_key_is((imi_slice_t){name.data + 1, name.size - 2}, key))
            return true;
    return false;
}

const char *imi_catalogue_note(const imi_catalogue_t *catalogue) {
    return catalogue->note;
}

double imi_catalogue_hd_scale(const imi_catalogue_t *catalogue,
                              const imi_catalogue_provider_t *provider, const char *api_id) {
    if (provider != NULL && provider_of(provider)->has_hd_scale)
        return provider->hd_scale;
    for (size_t i = 0; i < catalogue->hd_scale_count; i++)
        if (strcmp(catalogue->hd_scales[i].api_id, api_id) == 0)
            return catalogue->hd_scales[i].scale;
    return HD_SCALE;
}

const imi_model_t *imi_catalogue_first_of_type(const imi_catalogue_t *catalogue, uint32_t type,
                                               const imi_catalogue_provider_t **out_provider) {
    for (size_t i = 0; i < catalogue->provider_count; i++) {
        const imi_catalogue_provider_t *entry = &catalogue->providers[i].entry;
        for (size_t k = 0; k < entry->model_count; k++)
            if ((entry->models[k].types & type) != 0) {
                if (out_provider != NULL)
                    *out_provider = entry;
                return &entry->models[k];
            }
    }
    return NULL;
}

imi_slice_t imi_catalogue_option(const imi_catalogue_t *catalogue,
                                 const imi_catalogue_provider_t *provider, const imi_model_t *model,
                                 const char *action, const char *path) {
    imi_slice_t places[5] = {{NULL, 0}}, value = {NULL, 0};
    size_t index = 0;
    while (index < ACTION_COUNT && (action == NULL || strcmp(action_names[index], action) != 0))
        index++;
    if (model != NULL)
        places[0] = model->data;
    if (provider != NULL && index < ACTION_COUNT)
        places[1] = provider_of(provider)->actions[index];
    if (provider != NULL)
        places[2] = provider->data;
    if (index < ACTION_COUNT)
        places[3] = catalogue->default_actions[index];
    places[4] = catalogue->defaults;
    for (size_t i = 0; i < 5 && value.data == NULL; i++)
        if (places[i].data != NULL)
            value = imi_json_get(places[i], path);
    return value;
}
