/* check.c: see check.h. What is known is checked strictly; what is not known is
 * an option of some provider and may be anything. Where a typing error would silently do nothing
 * (at the top, in a quota rule, among the actions), unknown names are refused. */
#include "catalogue/check.h"

#include <math.h>
#include <string.h>

#include "catalogue/catalogue.h"
#include "catalogue/merge.h"
#include "catalogue/template.h"
#include "imagine.h"
#include "wire/str.h"
#include "wire/url.h"

enum {
    NAME_SIZE_MAX = 40, /* of a provider */
    KEY_SIZE_MAX = 200,
    TEXT_SIZE_MAX = 64 * 1024,
    MEMBERS_MAX = 4096, /* of one object or array: lookups walk them */
    STEPS_MAX = 1000,
    SIDE_MAX = 16384,
    HOURS_MAX = 720
};

/* Where we are: a chain on the stack, written out only when something is wrong. */
typedef struct path {
    const struct path *parent;
    const char *name; /* NULL: an item of an array */
    int index;
    const char *key; /* of a model, whose place in the whole list nobody knows; NULL: none */
} path_t;

typedef struct check {
    bool is_patch;
    imi_arena_t *arena;
    const char *message;
} check_t;

static const char *path_text(imi_arena_t *arena, const path_t *path) {
    const char *before = path->parent != NULL ? path_text(arena, path->parent) : "";
    if (before == NULL)
        return NULL;
    if (path->key != NULL)
        return imi_arena_printf(arena, "%s[key %.80s]", before, path->key);
    if (path->name == NULL)
        return imi_arena_printf(arena, "%s[%d]", before, path->index);
    return imi_arena_printf(arena, "%s%s%s", before, before[0] != '\0' ? "." : "", path->name);
}

static int refuse(check_t *check, const path_t *path, const char *what) {
    const char *where = path_text(check->arena, path);
    if (where != NULL)
        check->message = imi_arena_printf(check->arena, "%s: %s", where, what);
    return check->message != NULL ? IMAGINE_EINVAL : IMAGINE_ENOMEM;
}

static cJSON *member(const cJSON *object, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* ---- values -----------------------------------------------------------------------------------
 */

static bool is_text(const cJSON *value) {
    return cJSON_IsString(value) && value->valuestring[0] != '\0' &&
           strlen(value->valuestring) <= TEXT_SIZE_MAX;
}

/* As http-api.md has it for the key that a caller sends. */
static bool is_key(const cJSON *value) {
    if (!is_text(value) || strlen(value->valuestring) > KEY_SIZE_MAX ||
        strstr(value->valuestring, "..") != NULL)
        return false;
    for (const char *at = value->valuestring; *at != '\0'; at++)
        if ((unsigned char)*at <= ' ' || *at == 0x7f || *at == '?' || *at == '#')
            return false;
    return true;
}

static bool is_texts(const cJSON *value) {
    if (!cJSON_IsArray(value))
        return false;
    for (const cJSON *at = value->child; at != NULL; at = at->next)
        if (!is_text(at))
            return false;
    return true;
}

static bool is_keys(const cJSON *value) {
    if (!cJSON_IsArray(value))
        return false;
    for (const cJSON *at = value->child; at != NULL; at = at->next)
        if (!is_key(at))
            return false;
    return true;
}

static bool is_types(const cJSON *value) {
    if (!is_texts(value) || value->child == NULL)
        return false;
    for (const cJSON *at = value->child; at != NULL; at = at->next)
        if (imi_catalogue_type(at->valuestring) == 0)
            return false;
    return true;
}

static bool is_address(const cJSON *value) {
    imi_url_t url;
    return is_text(value) && imi_url_parse(imi_slice_of(value->valuestring), &url) &&
           !url.has_userinfo && url.query.size == 0 && strchr(value->valuestring, '#') == NULL;
}

static bool is_bool(const cJSON *value) {
    return cJSON_IsBool(value);
}

static bool is_object(const cJSON *value) {
    return cJSON_IsObject(value);
}

/* As ComfyUI's "Export (API)" writes it: nodes by their ids. What its canvas saves is another
 * format, with a list of nodes. In a patch a node may be null: it goes. */
static bool is_workflow(const cJSON *value) {
    if (!cJSON_IsObject(value))
        return false;
    for (const cJSON *at = value->child; at != NULL; at = at->next)
        if (!cJSON_IsObject(at) && !cJSON_IsNull(at))
            return false;
    return true;
}

/* Where no file can be read; in one that CATALOGUE names, its content stands in its place by now.
 */
static bool is_never(const cJSON *value) {
    (void)value;
    return false;
}

static bool is_array(const cJSON *value) {
    return cJSON_IsArray(value);
}

static bool is_within(const cJSON *value, double min, double max) {
    return cJSON_IsNumber(value) && value->valuedouble >= min && value->valuedouble <= max;
}

static bool is_whole(const cJSON *value, double min, double max) {
    return is_within(value, min, max) && floor(value->valuedouble) == value->valuedouble;
}

static bool is_scale(const cJSON *value) {
    return is_within(value, 0.25, 4);
}

static bool is_side(const cJSON *value) {
    return is_whole(value, 1, SIDE_MAX);
}

static bool is_steps(const cJSON *value) {
    return is_whole(value, 1, STEPS_MAX);
}

static bool is_guidance(const cJSON *value) {
    return is_within(value, 0, 1000);
}

static bool is_duration(const cJSON *value) {
    return is_within(value, 0.1, 3600);
}

static bool is_predict(const cJSON *value) {
    return is_whole(value, 1, 86400);
}

static bool is_hours(const cJSON *value) {
    return is_whole(value, 1, HOURS_MAX);
}

static bool is_reset(const cJSON *value) {
    const char *text = cJSON_GetStringValue(value);
    return text != NULL && (strcmp(text, "day") == 0 || strcmp(text, "rolling") == 0 ||
                            strcmp(text, "credit") == 0);
}

static bool is_zone(const cJSON *value) {
    int minutes = 0;
    bool is_pacific = false;
    return is_text(value) && imi_catalogue_zone(value->valuestring, &minutes, &is_pacific);
}

/* ---- rules ------------------------------------------------------------------------------------
 */

typedef struct rule {
    const char *name;
    bool (*is_good)(const cJSON *value);
    const char *expected;
} rule_t;
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define A_TEXT "a text expected"
#define TWO_NUMBERS "two numbers expected, smallest first"
#define AN_ADDRESS "an http or https address without query expected"

/* These hold wherever such a member stands: at a provider, at a model, at an action. */
static const rule_t common_rules[] = {
    {"api_base", is_address, AN_ADDRESS},
    {"chat_base", is_address, AN_ADDRESS},
    {"task_base", is_address, AN_ADDRESS},
    {"space", is_address, AN_ADDRESS},
    {"upload_space", is_address, AN_ADDRESS},
    {"fn", is_text, A_TEXT},
    {"data", is_array, "a template array expected"},
    {"body", is_object, "a template object expected"},
    {"workflow", is_workflow, "a workflow in ComfyUI's API format expected"},
    {"workflow_file", is_never, "only the file that CATALOGUE names can name another"},
    {"default_model", is_key, "a model key expected"},
    {"result", is_text, "a path such as \"[0].url\" expected"},
    {"prompt", is_text, A_TEXT},
    {"negative_prompt", is_text, A_TEXT},
    {"instruction", is_text, A_TEXT},
    {"hd_scale", is_scale, "a number from 0.25 to 4 expected"},
    {"side_min", is_side, "a whole number of pixels expected"},
    {"side_max", is_side, "a whole number of pixels expected"},
    {"duration", is_duration, "a number of seconds expected"},
    {"predict", is_predict, "a whole number of seconds expected"},
};

static const rule_t provider_rules[] = {
    {"kind", is_text, "the name of a built-in provider expected"},
    {"hd", is_bool, "true or false expected"},
    {IMI_CATALOGUE_REMOVED, is_keys, "a list of model keys expected"},
};

static const rule_t quota_rules[] = {
    {"reset", is_reset, "\"day\", \"rolling\" or \"credit\" expected"},
    {"zone", is_zone, "\"+08:00\", \"UTC\" or \"pacific\" expected"},
    {"hours", is_hours, "a whole number from 1 to 720 expected"},
    {"per_model", is_bool, "true or false expected"},
};

static const rule_t action_rules[] = {
    {"steps", is_steps, "a whole number from 1 to 1000 expected"},
    {"guidance", is_guidance, "a number from 0 to 1000 expected"},
};

static const rule_t model_rules[] = {
    {"key", is_key, "a model key expected: no blanks, no \"..\", '?' or '#', 200 bytes at most"},
    {"id", is_key, "a model id expected: \"provider/name\""},
    {"api_id", is_text, A_TEXT},
    {"name", is_text, A_TEXT},
    {"type", is_types,
     "a list expected of text2image, image2image, text2text, text2video, image2video, upscaler"},
    {"aliases", is_keys, "a list of model keys expected"},
    {"responseType", is_text, A_TEXT},
    {"async", is_bool, "true or false expected"},
    {"enableHD", is_bool, "true or false expected"},
    {"remove", is_bool, "true or false expected"},
};

static int check_rules(check_t *check, const path_t *path, const cJSON *object, const rule_t *rules,
                       size_t count) {
    for (size_t i = 0; i < count; i++) {
        const cJSON *value = member(object, rules[i].name);
        path_t at = {path, rules[i].name, 0, NULL};
        if (value == NULL || cJSON_IsNull(value))
            continue;
        if (!rules[i].is_good(value))
            return refuse(check, &at, rules[i].expected);
    }
    return 0;
}

static int check_known(check_t *check, const path_t *path, const cJSON *object, const rule_t *rules,
                       size_t count) {
    for (const cJSON *at = object->child; at != NULL; at = at->next) {
        path_t here = {path, at->string, 0, NULL};
        size_t i = 0;
        while (i < count && strcmp(rules[i].name, at->string) != 0)
            i++;
        if (i == count)
            return refuse(check, &here, "unknown name");
    }
    return check_rules(check, path, object, rules, count);
}

/* ---- the document -----------------------------------------------------------------------------
 */

static int check_actions(check_t *check, const path_t *parent, const cJSON *actions) {
    static const char *const names[] = {"generate", "edit", "text", "video", "upscaler"};
    path_t path = {parent, "actions", 0, NULL};
    int err = 0;
    if (actions == NULL || cJSON_IsNull(actions))
        return 0;
    if (!cJSON_IsObject(actions))
        return refuse(check, &path, "an object expected");
    for (const cJSON *at = actions->child; at != NULL && err == 0; at = at->next) {
        path_t here = {&path, at->string, 0, NULL};
        size_t i = 0;
        while (i < COUNT(names) && strcmp(names[i], at->string) != 0)
            i++;
        if (i == COUNT(names))
            return refuse(check, &here, "one of generate, edit, text, video, upscaler expected");
        if (cJSON_IsNull(at))
            continue;
        if (!cJSON_IsObject(at))
            return refuse(check, &here, "an object expected");
        err = check_rules(check, &here, at, common_rules, COUNT(common_rules));
        if (err == 0)
            err = check_rules(check, &here, at, action_rules, COUNT(action_rules));
    }
    return err;
}

static int check_defaults(check_t *check, const cJSON *defaults) {
    path_t path = {NULL, "defaults", 0, NULL}, scales_path = {&path, "hd_scales", 0, NULL};
    const cJSON *scales = member(defaults, "hd_scales");
    int err = 0;
    if (defaults == NULL || cJSON_IsNull(defaults))
        return 0;
    if (!cJSON_IsObject(defaults))
        return refuse(check, &path, "an object expected");
    if (scales != NULL && !cJSON_IsNull(scales) && !cJSON_IsObject(scales))
        return refuse(check, &scales_path, "an object expected");
    for (const cJSON *at = scales != NULL ? scales->child : NULL; at != NULL; at = at->next) {
        path_t here = {&scales_path, at->string, 0, NULL};
        if (!cJSON_IsNull(at) && !is_scale(at))
            return refuse(check, &here, "a number from 0.25 to 4 expected");
    }
    err = check_rules(check, &path, defaults, common_rules, COUNT(common_rules));
    return err != 0 ? err : check_actions(check, &path, member(defaults, "actions"));
}

/* {"range": [min, max], "default": value} */
static int check_range(check_t *check, const path_t *parent, const cJSON *model, const char *name,
                       bool (*is_good)(const cJSON *value), const char *expected) {
    const cJSON *object = member(model, name), *range = NULL, *value = NULL;
    path_t path = {parent, name, 0, NULL}, range_path = {&path, "range", 0, NULL};
    path_t default_path = {&path, "default", 0, NULL};
    bool is_range = false;
    if (object == NULL || cJSON_IsNull(object))
        return 0;
    if (!cJSON_IsObject(object))
        return refuse(check, &path, "an object with range and default expected");
    range = member(object, "range");
    value = member(object, "default");
    if (cJSON_GetArraySize(range) == 2 && cJSON_IsArray(range))
        is_range = is_good(range->child) && is_good(range->child->next) &&
                   range->child->valuedouble <= range->child->next->valuedouble;
    if (!is_range && (range != NULL || !check->is_patch))
        return refuse(check, &range_path, expected);
    if (value == NULL && check->is_patch)
        return 0;
    if (!is_good(value))
        return refuse(check, &default_path, "a number that fits the range expected");
    if (is_range && !is_within(value, range->child->valuedouble, range->child->next->valuedouble))
        return refuse(check, &default_path, "a number inside the range expected");
    return 0;
}

static int check_model(check_t *check, const path_t *path, const cJSON *model,
                       const char *provider) {
    const cJSON *key = member(model, "key"), *id = member(model, "id");
    path_t key_path = {path, "key", 0, NULL}, id_path = {path, "id", 0, NULL},
           type_path = {path, "type", 0, NULL};
    size_t name_size = strlen(provider);
    int err = 0;
    if (!cJSON_IsObject(model))
        return refuse(check, path, "an object expected");
    if (key == NULL && (!check->is_patch || id == NULL))
        return refuse(check, &key_path, "missing");
    if (cJSON_IsNull(key))
        return refuse(check, &key_path, "cannot be removed");
    err = check_rules(check, path, model, model_rules, COUNT(model_rules));
    if (err == 0)
        err = check_rules(check, path, model, common_rules, COUNT(common_rules));
    if (err == 0)
        err = check_range(check, path, model, "steps", is_steps, TWO_NUMBERS);
    if (err == 0)
        err = check_range(check, path, model, "guidance", is_guidance, TWO_NUMBERS);
    if (err != 0)
        return err;
    if (cJSON_IsString(id) &&
        (strncmp(id->valuestring, provider, name_size) != 0 || id->valuestring[name_size] != '/' ||
         id->valuestring[name_size + 1] == '\0'))
        return refuse(check, &id_path, "the provider's name, a slash and a key expected");
    if (!check->is_patch && member(model, "type") == NULL)
        return refuse(check, &type_path, "missing");
    return 0;
}

static int check_models(check_t *check, const path_t *parent, const cJSON *models,
                        const char *provider) {
    path_t path = {parent, "models", 0, NULL};
    path_t here = {.parent = &path};
    int err = 0;
    if (models == NULL || cJSON_IsNull(models))
        return 0;
    if (!cJSON_IsArray(models))
        return refuse(check, &path, "an array expected");
    for (const cJSON *at = models->child; at != NULL && err == 0; at = at->next, here.index++) {
        here.key = cJSON_GetStringValue(member(at, "key"));
        err = check_model(check, &here, at, provider);
    }
    return err;
}

/* ---- templates ---------------------------------------------------------------------------------
 */

/* Nesting is bounded, and so is the recursion. */
static int check_template(check_t *check, const path_t *path, const cJSON *value) {
    path_t here = {.parent = path};
    const char *complaint =
        cJSON_IsString(value) ? imi_catalogue_template_complaint(value->valuestring) : NULL;
    int err = complaint != NULL ? refuse(check, path, complaint) : 0;
    for (const cJSON *at = value->child; at != NULL && err == 0; at = at->next, here.index++) {
        here.name = at->string;
        err = check_template(check, &here, at);
    }
    return err;
}

static int check_templates_of(check_t *check, const path_t *path, const cJSON *object) {
    static const char *const members[] = {"data", "body", "workflow"};
    int err = 0;
    for (size_t i = 0; i < COUNT(members) && err == 0; i++) {
        const cJSON *value = member(object, members[i]);
        path_t here = {path, members[i], 0, NULL};
        if (value != NULL)
            err = check_template(check, &here, value);
    }
    return err;
}

/* Only the whole document tells the kind. */
static int check_templates(check_t *check, const path_t *path, const cJSON *provider) {
    const char *kind = cJSON_GetStringValue(member(provider, "kind"));
    const cJSON *models = member(provider, "models"), *actions = member(provider, "actions");
    path_t models_path = {path, "models", 0, NULL}, model_path = {.parent = &models_path};
    path_t actions_path = {path, "actions", 0, NULL}, action_path = {.parent = &actions_path};
    int err = 0;
    if (check->is_patch || !imi_catalogue_template_is_known(kind != NULL ? kind : path->name))
        return 0;
    err = check_templates_of(check, path, provider);
    for (const cJSON *at = models != NULL ? models->child : NULL; at != NULL && err == 0;
         at = at->next) {
        model_path.key = cJSON_GetStringValue(member(at, "key"));
        err = check_templates_of(check, &model_path, at);
    }
    for (const cJSON *at = actions != NULL ? actions->child : NULL; at != NULL && err == 0;
         at = at->next) {
        action_path.name = at->string;
        err = check_templates_of(check, &action_path, at);
    }
    return err;
}

/* ---- providers ----------------------------------------------------------------------------------
 */

static int check_quota(check_t *check, const path_t *parent, const cJSON *quota) {
    path_t path = {parent, "quota", 0, NULL};
    if (quota == NULL || cJSON_IsNull(quota))
        return 0;
    if (!cJSON_IsObject(quota))
        return refuse(check, &path, "an object expected");
    return check_known(check, &path, quota, quota_rules, COUNT(quota_rules));
}

static bool is_provider_name(const char *name) {
    size_t size = strlen(name);
    return size > 0 && size <= NAME_SIZE_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == size;
}

static int check_provider(check_t *check, const path_t *path, const cJSON *provider) {
    int err = 0;
    if (!is_provider_name(path->name))
        return refuse(check, path, "a provider's name is lower-case letters, digits, '-' and '_'");
    if (cJSON_IsNull(provider) && check->is_patch)
        return 0;
    if (!cJSON_IsObject(provider))
        return refuse(check, path, "an object expected");
    err = check_rules(check, path, provider, provider_rules, COUNT(provider_rules));
    if (err == 0)
        err = check_rules(check, path, provider, common_rules, COUNT(common_rules));
    if (err == 0)
        err = check_quota(check, path, member(provider, "quota"));
    if (err == 0)
        err = check_actions(check, path, member(provider, "actions"));
    if (err == 0)
        err = check_models(check, path, member(provider, "models"), path->name);
    if (err == 0)
        err = check_templates(check, path, provider);
    return err;
}

/* Nothing may be so long that walking it gets slow. Nesting is bounded before. */
static int check_sizes(check_t *check, const path_t *path, const cJSON *value) {
    path_t here = {path, NULL, 0, NULL};
    int err = 0;
    for (const cJSON *at = value->child; at != NULL && err == 0; at = at->next, here.index++) {
        if (here.index == MEMBERS_MAX)
            return refuse(check, path, "more than 4096 members");
        here.name = at->string;
        err = check_sizes(check, &here, at);
    }
    return err;
}

static int check_document(check_t *check, const cJSON *document) {
    path_t top = {NULL, "document", 0, NULL}, path = {NULL, "providers", 0, NULL};
    const cJSON *providers = member(document, "providers");
    int err = 0;
    if (!cJSON_IsObject(document))
        return refuse(check, &top, "an object expected");
    err = check_sizes(check, &(path_t){NULL, "", 0, NULL}, document);
    if (err != 0)
        return err;
    for (const cJSON *at = document->child; at != NULL; at = at->next) {
        path_t here = {NULL, at->string, 0, NULL};
        if (strcmp(at->string, "defaults") != 0 && strcmp(at->string, "providers") != 0 &&
            strcmp(at->string, "note") != 0)
            return refuse(check, &here, "one of defaults, providers, note expected");
    }
    err = check_defaults(check, member(document, "defaults"));
    if (err != 0 || providers == NULL || cJSON_IsNull(providers))
        return err;
    if (!cJSON_IsObject(providers))
        return refuse(check, &path, "an object expected");
    for (const cJSON *at = providers->child; at != NULL && err == 0; at = at->next)
        err = check_provider(check, &(path_t){&path, at->string, 0, NULL}, at);
    return err;
}

int imi_catalogue_check(const cJSON *document, bool is_patch, imi_arena_t *arena,
                        const char **out_message) {
    check_t check = {.is_patch = is_patch, .arena = arena};
    int err = check_document(&check, document);
    *out_message = check.message;
    return err;
}

/* ---- words ------------------------------------------------------------------------------------
 */

unsigned imi_catalogue_type(const char *name) {
    static const struct {
        const char *name;
        unsigned type;
    } types[] = {
        {"text2image", IMI_TYPE_TEXT2IMAGE},   {"image2image", IMI_TYPE_IMAGE2IMAGE},
        {"text2text", IMI_TYPE_TEXT2TEXT},     {"text2video", IMI_TYPE_TEXT2VIDEO},
        {"image2video", IMI_TYPE_IMAGE2VIDEO}, {"upscaler", IMI_TYPE_UPSCALER},
    };
    for (size_t i = 0; i < COUNT(types); i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].type;
    return 0;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool imi_catalogue_zone(const char *zone, int *out_minutes, bool *out_is_pacific) {
    int hours = 0, minutes = 0;
    *out_is_pacific = strcmp(zone, "pacific") == 0;
    *out_minutes = 0;
    if (*out_is_pacific || strcmp(zone, "UTC") == 0 || strcmp(zone, "Z") == 0)
        return true;
    if (strlen(zone) != 6 || (zone[0] != '+' && zone[0] != '-') || !is_digit(zone[1]) ||
        !is_digit(zone[2]) || zone[3] != ':' || !is_digit(zone[4]) || !is_digit(zone[5]))
        return false;
    hours = (zone[1] - '0') * 10 + zone[2] - '0';
    minutes = (zone[4] - '0') * 10 + zone[5] - '0';
    *out_minutes = (zone[0] == '-' ? -1 : 1) * (hours * 60 + minutes);
    return hours <= 14 && minutes <= 59;
}

bool imi_catalogue_is_address(const char *name) {
    for (size_t i = 0; i < COUNT(common_rules); i++)
        if (common_rules[i].is_good == is_address && strcmp(common_rules[i].name, name) == 0)
            return true;
    return false;
}
