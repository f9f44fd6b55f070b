/* merge.c: see merge.h. */
#include "catalogue/merge.h"

#include <stdbool.h>
#include <string.h>

#include "imagine.h"

static cJSON *member(const cJSON *object, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* `value` belongs to the object afterwards, or is gone when memory is out. */
static int set_member(cJSON *object, const char *name, cJSON *value) {
    cJSON *old = member(object, name);
    if (value == NULL)
        return IMAGINE_ENOMEM;
    if (old != NULL) {               /* keeps its place */
        if (value->string == NULL) { /* and its name: what was duplicated has one already */
            value->string = old->string;
            old->string = NULL;
        }
        cJSON_ReplaceItemViaPointer(object, old, value);
        return 0;
    }
    if (cJSON_AddItemToObject(object, name, value))
        return 0;
    cJSON_Delete(value);
    return IMAGINE_ENOMEM;
}

/* The object under this name, made if there is none; NULL: no memory. */
static cJSON *object_member(cJSON *object, const char *name) {
    cJSON *found = member(object, name);
    if (cJSON_IsObject(found))
        return found;
    if (set_member(object, name, cJSON_CreateObject()) != 0)
        return NULL;
    return member(object, name);
}

static int merge_object(cJSON *object, const cJSON *patch);

static int merge_member(cJSON *object, const cJSON *patch) {
    cJSON *below = NULL;
    if (cJSON_IsNull(patch)) {
        cJSON_DeleteItemFromObjectCaseSensitive(object, patch->string);
        return 0;
    }
    if (!cJSON_IsObject(patch))
        return set_member(object, patch->string, cJSON_Duplicate(patch, true));
    below = object_member(object, patch->string);
    return below != NULL ? merge_object(below, patch) : IMAGINE_ENOMEM;
}

/* Nesting is bounded, and so is the recursion. */
static int merge_object(cJSON *object, const cJSON *patch) {
    int err = 0;
    for (const cJSON *at = patch->child; at != NULL && err == 0; at = at->next)
        err = merge_member(object, at);
    return err;
}

static bool has_same_text(const cJSON *a, const cJSON *b, const char *name) {
    const char *text = cJSON_GetStringValue(member(a, name));
    const char *other = cJSON_GetStringValue(member(b, name));
    return text != NULL && other != NULL && strcmp(text, other) == 0;
}

static cJSON *find_model(const cJSON *models, const cJSON *patch) {
    const char *name = member(patch, "key") != NULL ? "key" : "id";
    for (cJSON *at = models->child; at != NULL; at = at->next)
        if (has_same_text(at, patch, name))
            return at;
    return NULL;
}

/* ---- models that are gone ----------------------------------------------------------------------
 */

/* A provider serves what the catalogue lacks, too, as it is asked for; what was removed is another
 * matter, so its names are kept. They mean nothing once a model of that name is there again. */
static int remember_name(cJSON *provider, const char *name) {
    cJSON *removed = member(provider, IMI_CATALOGUE_REMOVED);
    cJSON *text = NULL;
    int err = cJSON_IsArray(removed)
                  ? 0
                  : set_member(provider, IMI_CATALOGUE_REMOVED, cJSON_CreateArray());
    if (err != 0)
        return err;
    removed = member(provider, IMI_CATALOGUE_REMOVED);
    for (const cJSON *at = removed->child; at != NULL; at = at->next)
        if (cJSON_IsString(at) && strcmp(at->valuestring, name) == 0)
            return 0;
    text = cJSON_CreateString(name);
    if (cJSON_AddItemToArray(removed, text))
        return 0;
    cJSON_Delete(text);
    return IMAGINE_ENOMEM;
}

static int remember_model(cJSON *provider, const cJSON *model) {
    const char *key = cJSON_GetStringValue(member(model, "key"));
    const char *id = cJSON_GetStringValue(member(model, "id"));
    const char *slash = id != NULL ? strchr(id, '/') : NULL;
    const cJSON *aliases = member(model, "aliases");
    int err = key != NULL ? remember_name(provider, key) : 0;
    if (err == 0 && slash != NULL && (key == NULL || strcmp(slash + 1, key) != 0))
        err = remember_name(provider, slash + 1);
    for (const cJSON *at = aliases != NULL ? aliases->child : NULL; at != NULL && err == 0;
         at = at->next)
        if (cJSON_IsString(at))
            err = remember_name(provider, at->valuestring);
    return err;
}

/* ---- models ------------------------------------------------------------------------------------
 */

static int remove_model(cJSON *provider, cJSON *models, cJSON *model, const cJSON *patch,
                        const char **out_missing) {
    const char *name =
        cJSON_GetStringValue(member(patch, member(patch, "key") != NULL ? "key" : "id"));
    int err = 0;
    if (model == NULL) {
        *out_missing = name; /* no mistake that stops anybody: catalogues change */
        return 0;
    }
    err = remember_model(provider, model);
    cJSON_Delete(cJSON_DetachItemViaPointer(models, model));
    return err;
}

static int merge_model(cJSON *provider, cJSON *models, const cJSON *patch,
                       const char **out_missing) {
    cJSON *model = find_model(models, patch);
    if (cJSON_IsTrue(member(patch, "remove")))
        return remove_model(provider, models, model, patch, out_missing);
    if (model == NULL) {
        model = cJSON_CreateObject();
        if (!cJSON_AddItemToArray(models, model)) {
            cJSON_Delete(model);
            return IMAGINE_ENOMEM;
        }
    }
    return merge_object(model, patch);
}

static int merge_models(cJSON *provider, const cJSON *patches, const char **out_missing) {
    cJSON *models = member(provider, "models");
    int err = 0;
    if (!cJSON_IsArray(models)) {
        err = set_member(provider, "models", cJSON_CreateArray());
        models = member(provider, "models");
    }
    for (const cJSON *at = patches->child; at != NULL && err == 0; at = at->next)
        err = merge_model(provider, models, at, out_missing);
    return err;
}

static int merge_provider(cJSON *provider, const cJSON *patch, const char **out_missing) {
    int err = 0;
    for (const cJSON *at = patch->child; at != NULL && err == 0; at = at->next)
        err = strcmp(at->string, "models") == 0 && cJSON_IsArray(at)
                  ? merge_models(provider, at, out_missing)
                  : merge_member(provider, at);
    return err;
}

int imi_catalogue_merge(cJSON *document, const cJSON *patch, const char **out_missing) {
    int err = 0;
    *out_missing = NULL;
    for (const cJSON *at = patch->child; at != NULL && err == 0; at = at->next) {
        cJSON *providers = NULL;
        if (strcmp(at->string, "providers") != 0 || !cJSON_IsObject(at)) {
            err = merge_member(document, at);
            continue;
        }
        providers = object_member(document, "providers");
        if (providers == NULL)
            return IMAGINE_ENOMEM;
        for (const cJSON *entry = at->child; entry != NULL && err == 0; entry = entry->next) {
            cJSON *provider =
                cJSON_IsObject(entry) ? object_member(providers, entry->string) : NULL;
            if (cJSON_IsObject(entry))
                err = provider != NULL ? merge_provider(provider, entry, out_missing)
                                       : IMAGINE_ENOMEM;
            else
                err = merge_member(providers, entry);
        }
    }
    return err;
}
