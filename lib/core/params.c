/* params.c: parameters on their way in: copied or read, checked against the bounds of the HTTP
 * API's documentation, and made whole by what the catalogue says of the model. */
#include "core/params.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "wire/dataurl.h"
#include "wire/json.h"
#include "wire/ratio.h"
#include "wire/str.h"
#include "wire/url.h"
#include "wire/urlcheck.h"

#define PROMPT_CHARACTERS_MAX 32000
#define KEY_SIZE_MAX 200 /* of a model, without its provider */
#define STEPS_MAX 1000
#define SIDE_MIN 16
#define SIDE_MAX 8192
#define DURATION_MAX_S 60
#define COUNT_MAX 10
#define TOKENS_MAX 1000000
#define DEFAULT_PROVIDER "gitee"

/* ---- copying ----------------------------------------------------------------------------------
 */

/* A shorter struct is an older caller: the rest is zero. A longer one is fine while its tail is. */
static int copy_sized(void *out, size_t out_size, const void *in, size_t in_size) {
    if (in_size < sizeof(size_t))
        return IMAGINE_EINVAL;
    memset(out, 0, out_size);
    memcpy(out, in, in_size < out_size ? in_size : out_size);
    for (size_t i = out_size; i < in_size; i++)
        if (((const char *)in)[i] != 0)
            return IMAGINE_EINVAL;
    return 0;
}

static int copy_text(imagine_request_t *request, const char **text) {
    const char *copy;
    if (*text == NULL)
        return 0;
    copy = imi_arena_strdup(&request->arena, *text);
    *text = copy;
    return copy == NULL ? IMAGINE_ENOMEM : 0;
}

static int copy_image(imagine_request_t *request, imagine_image_t *out,
                      const imagine_image_t *image, size_t stride, bool is_borrowed) {
    int err = copy_sized(out, sizeof(*out), image, stride);
    if (err != 0)
        return err;
    if (is_borrowed)
        return 0;
    if (out->data != NULL && out->data_size > 0) {
        void *data = out->data_size <= IMI_IMAGE_SIZE_MAX
                         ? imi_arena_alloc(&request->pictures, out->data_size)
                         : NULL;
        if (data == NULL)
            return IMAGINE_ENOMEM;
        memcpy(data, out->data, out->data_size);
        out->data = data;
    }
    if (copy_text(request, &out->mime) != 0 || copy_text(request, &out->filename) != 0)
        return IMAGINE_ENOMEM;
    if (out->url != NULL) { /* may be a picture: to the pictures */
        out->url = imi_arena_strdup(&request->pictures, out->url);
        if (out->url == NULL)
            return IMAGINE_ENOMEM;
    }
    return 0;
}

int imi_params_add_images(imagine_request_t *request, const imagine_image_t *images, size_t count,
                          bool is_borrowed) {
    size_t stride = count > 0 ? images[0].size : 0;
    imagine_image_t *all;
    if (count == 0)
        return 0;
    if (stride < sizeof(size_t) || request->params.image_count + count > IMI_IMAGES_MAX + 1)
        return IMAGINE_EINVAL;
    all = imi_arena_zalloc(&request->arena, (request->params.image_count + count) * sizeof(*all));
    if (all == NULL)
        return IMAGINE_ENOMEM;
    if (request->params.image_count > 0)
        memcpy(all, request->images, request->params.image_count * sizeof(*all));
    for (size_t i = 0; i < count; i++) {
        const void *image = (const char *)images + i * stride;
        int err =
            copy_image(request, &all[request->params.image_count + i], image, stride, is_borrowed);
        if (err != 0)
            return err;
    }
    request->images = all;
    request->params.images = all;
    request->params.image_count += count;
    return 0;
}

int imi_params_copy(imagine_request_t *request, const imagine_params_t *params) {
    imagine_params_t *own = &request->params;
    const imagine_image_t *images;
    size_t image_count;
    int err;
    if (params == NULL)
        return IMAGINE_EINVAL;
    err = copy_sized(own, sizeof(*own), params, params->size);
    if (err != 0)
        return err;
    own->size = sizeof(*own);
    images = own->images;
    image_count = own->image_count;
    own->images = NULL;
    own->image_count = 0;
    if (copy_text(request, &own->model) != 0 || copy_text(request, &own->prompt) != 0 ||
        copy_text(request, &own->negative_prompt) != 0 || copy_text(request, &own->ar) != 0 ||
        copy_text(request, &own->webhook_url) != 0 || copy_text(request, &own->id) != 0)
        return IMAGINE_ENOMEM;
    if (image_count > 0 && images == NULL)
        return IMAGINE_EINVAL;
    return imi_params_add_images(request, images, image_count, false);
}

/* ---- reading JSON -----------------------------------------------------------------------------
 */

typedef enum field_kind {
    FIELD_TEXT,
    FIELD_WHOLE,    /* uint32_t */
    FIELD_POSITIVE, /* double > 0 */
    FIELD_SEED,
    FIELD_TEMPERATURE,
    FIELD_SWITCH, /* 0 unset, 1 yes, -1 no */
    FIELD_FORMAT, /* "url" or "b64_json" */
    FIELD_STREAM, /* only its type is looked at: who carries the pieces decides */
    FIELD_IMAGE,  /* an address or several; adds to the images */
} field_kind_t;

static const struct {
    const char *name;
    field_kind_t kind;
    size_t offset;
    int64_t min, max;
} fields[] = {
    {"model", FIELD_TEXT, offsetof(imagine_params_t, model), 0, 0},
    {"prompt", FIELD_TEXT, offsetof(imagine_params_t, prompt), 0, 0},
    {"negativePrompt", FIELD_TEXT, offsetof(imagine_params_t, negative_prompt), 0, 0},
    {"ar", FIELD_TEXT, offsetof(imagine_params_t, ar), 0, 0},
    {"webhookUrl", FIELD_TEXT, offsetof(imagine_params_t, webhook_url), 0, 0},
    {"width", FIELD_WHOLE, offsetof(imagine_params_t, width), SIDE_MIN, SIDE_MAX},
    {"height", FIELD_WHOLE, offsetof(imagine_params_t, height), SIDE_MIN, SIDE_MAX},
    {"steps", FIELD_WHOLE, offsetof(imagine_params_t, steps), 1, STEPS_MAX},
    {"n", FIELD_WHOLE, offsetof(imagine_params_t, count), 1, COUNT_MAX},
    {"max_tokens", FIELD_WHOLE, offsetof(imagine_params_t, max_tokens), 1, TOKENS_MAX},
    {"guidance", FIELD_POSITIVE, offsetof(imagine_params_t, guidance), 0, 100},
    {"duration", FIELD_POSITIVE, offsetof(imagine_params_t, duration_s), 1, DURATION_MAX_S},
    {"seed", FIELD_SEED, 0, 0, 0},
    {"temperature", FIELD_TEMPERATURE, 0, 0, 2},
    {"enableHD", FIELD_SWITCH, offsetof(imagine_params_t, enable_hd), 0, 0},
    {"async", FIELD_SWITCH, offsetof(imagine_params_t, is_job), 0, 0},
    {"response_format", FIELD_FORMAT, 0, 0, 0},
    {"stream", FIELD_STREAM, 0, 0, 0},
    {"image", FIELD_IMAGE, 0, 0, 0},
    {"images", FIELD_IMAGE, 0, 0, 0},
    {"imageUrl", FIELD_IMAGE, 0, 0, 0},
    {"image_url", FIELD_IMAGE, 0, 0, 0},
};
#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

static int refuse(imagine_request_t *request, const char **out_message, const char *field,
                  const char *rule) {
    *out_message = imi_arena_printf(&request->arena, "%s %s", field, rule);
    return *out_message == NULL ? IMAGINE_ENOMEM : IMAGINE_EINVAL;
}

static int refuse_bounds(imagine_request_t *request, const char **out_message, size_t index) {
    char rule[80];
    snprintf(rule, sizeof(rule), "must be a %snumber from %d to %d",
             fields[index].kind == FIELD_WHOLE ? "whole " : "", (int)fields[index].min,
             (int)fields[index].max);
    return refuse(request, out_message, fields[index].name, rule);
}

static int read_text(imagine_request_t *request, size_t index, imi_slice_t value, void *out,
                     const char **out_message) {
    char *text;
    if (imi_json_type(value) != IMI_JSON_STRING)
        return refuse(request, out_message, fields[index].name, "must be a text");
    text = imi_json_text(&request->arena, value, NULL);
    if (text == NULL)
        return refuse(request, out_message, fields[index].name, "must not contain a NUL character");
    memcpy(out, &text, sizeof(text));
    return 0;
}

static int read_image(imagine_request_t *request, size_t index, imi_slice_t value,
                      const char **out_message) {
    imi_json_cursor_t cursor = imi_json_walk(value);
    imagine_image_t image = {.size = sizeof(image)};
    imi_slice_t item;
    int err = 0;
    request->image_field = fields[index].name;
    if (imi_json_type(value) == IMI_JSON_ARRAY) {
        while (err == 0 && imi_json_next_item(&cursor, &item)) {
            if (imi_json_type(item) == IMI_JSON_ARRAY)
                return refuse(request, out_message, fields[index].name, "must be a text");
            err = read_image(request, index, item, out_message);
        }
        return err;
    }
    if (imi_json_type(value) != IMI_JSON_STRING)
        return refuse(request, out_message, fields[index].name, "must be a text");
    image.url = imi_json_text(&request->pictures, value, NULL);
    if (image.url == NULL)
        return refuse(request, out_message, fields[index].name, "must not contain a NUL character");
    if (image.url[0] == '\0')
        return 0;
    err = imi_params_add_images(request, &image, 1, true); /* the text is ours already */
    if (err == IMAGINE_EINVAL)
        return refuse(request, out_message, fields[index].name,
                      "holds too many pictures: 16 at most");
    return err;
}

static int read_field(imagine_request_t *request, size_t index, imi_slice_t value,
                      const char **out_message) {
    imagine_params_t *params = &request->params;
    void *out = (char *)params + fields[index].offset;
    const char *name = fields[index].name;
    int64_t whole;
    uint32_t small;
    double number;
    bool is_true;
    int32_t choice;
    switch (fields[index].kind) {
    case FIELD_TEXT:
        return read_text(request, index, value, out, out_message);
    case FIELD_IMAGE:
        return read_image(request, index, value, out_message);
    case FIELD_WHOLE:
        if (!imi_json_whole_number(value, &whole) || whole < fields[index].min ||
            whole > fields[index].max)
            return refuse_bounds(request, out_message, index);
        small = (uint32_t)whole;
        memcpy(out, &small, sizeof(small));
        return 0;
    case FIELD_POSITIVE:
        if (!imi_json_number(value, &number) || number < (double)fields[index].min ||
            number > (double)fields[index].max)
            return refuse_bounds(request, out_message, index);
        memcpy(out, &number, sizeof(number));
        if (out == &params->guidance)
            request->has_zero_guidance = number <= 0;
        return 0;
    case FIELD_SEED:
        if (!imi_json_whole_number(value, &params->seed))
            return refuse(request, out_message, name, "must be a whole number");
        params->has_seed = 1;
        return 0;
    case FIELD_TEMPERATURE:
        if (!imi_json_number(value, &params->temperature) || params->temperature < 0 ||
            params->temperature > 2)
            return refuse_bounds(request, out_message, index);
        params->has_temperature = 1;
        return 0;
    case FIELD_FORMAT:
        if (imi_slice_equals(imi_json_plain_text(value), "url"))
            params->response_format = IMAGINE_FORMAT_URL;
        else if (imi_slice_equals(imi_json_plain_text(value), "b64_json"))
            params->response_format = IMAGINE_FORMAT_DATA;
        else
            return refuse(request, out_message, name, "must be \"url\" or \"b64_json\"");
        return 0;
    case FIELD_STREAM:
        return imi_json_bool(value, &is_true)
                   ? 0
                   : refuse(request, out_message, name, "must be true or false");
    case FIELD_SWITCH:
        if (!imi_json_bool(value, &is_true))
            return refuse(request, out_message, name, "must be true or false");
        choice = is_true ? 1 : -1;
        memcpy(out, &choice, sizeof(choice));
        return 0;
    }
    return 0;
}

int imi_params_read(imagine_request_t *request, imi_slice_t json, const char **out_message) {
    imi_json_cursor_t cursor;
    imi_slice_t key, value;
    size_t at = 0;
    request->params.size = sizeof(request->params);
    json = imi_slice_trim(json);
    if (!imi_json_valid(json, IMI_PARAMS_DEPTH_MAX, &at)) {
        *out_message =
            imi_arena_printf(&request->arena, "the body is not valid JSON (at byte %zu)", at + 1);
        return *out_message == NULL ? IMAGINE_ENOMEM : IMAGINE_EINVAL;
    }
    if (imi_json_type(json) != IMI_JSON_OBJECT) {
        *out_message = "the body is not a JSON object";
        return IMAGINE_EINVAL;
    }
    cursor = imi_json_walk(json);
    while (imi_json_next_member(&cursor, &key, &value)) {
        if (imi_json_type(value) == IMI_JSON_NULL)
            continue; /* as absent: what clients send for a field left empty */
        for (size_t i = 0; i < FIELD_COUNT; i++)
            if (imi_json_key_is(key, fields[i].name)) {
                int err = read_field(request, i, value, out_message);
                if (err != 0)
                    return err;
                break;
            }
    }
    return 0;
}

char *imi_params_write(const imagine_request_t *request) {
    const imagine_params_t *params = &request->params;
    imi_json_writer_t writer;
    imi_buf_t out;
    imi_buf_init(&out, &request->im->mem, 0);
    imi_json_begin(&writer, &out);
    imi_json_open_object(&writer, NULL);
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const char *at = (const char *)params + fields[i].offset;
        const char *text;
        uint32_t small;
        double number;
        if (fields[i].kind == FIELD_TEXT && strcmp(fields[i].name, "webhookUrl") != 0) {
            memcpy(&text, at, sizeof(text));
            if (text != NULL)
                imi_json_put_text(&writer, fields[i].name, text);
        } else if (fields[i].kind == FIELD_WHOLE) {
            memcpy(&small, at, sizeof(small));
            if (small != 0)
                imi_json_put_int(&writer, fields[i].name, small);
        } else if (fields[i].kind == FIELD_POSITIVE) {
            memcpy(&number, at, sizeof(number));
            if (number > 0)
                imi_json_put_number(&writer, fields[i].name, number);
        }
    }
    imi_json_put_int(&writer, "seed", params->seed);
    if (params->has_temperature)
        imi_json_put_number(&writer, "temperature", params->temperature);
    if (params->enable_hd != 0)
        imi_json_put_bool(&writer, "enableHD", params->enable_hd > 0);
    if (params->response_format != IMAGINE_FORMAT_ANY)
        imi_json_put_text(&writer, "response_format",
                          params->response_format == IMAGINE_FORMAT_URL ? "url" : "b64_json");
    imi_json_open_array(&writer, "images");
    for (size_t i = 0; i < params->image_count; i++) {
        if (request->images[i].url == NULL || imi_is_dataurl(request->images[i].url))
            out.error = IMI_BUF_TOO_LARGE;
        else
            imi_json_put_text(&writer, NULL, request->images[i].url);
    }
    imi_json_close_array(&writer);
    imi_json_close_object(&writer);
    if (out.error != 0) {
        imi_buf_reset(&out);
        return NULL;
    }
    return imi_buf_take(&out, NULL);
}

/* ---- checking ---------------------------------------------------------------------------------
 */

static size_t count_characters(const char *text) {
    size_t count = 0;
    for (; *text != '\0'; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

static bool is_blank(const char *text) {
    return text == NULL || imi_slice_trim(imi_slice_of(text)).size == 0;
}

/* The bounds of what came as a struct; what came as JSON was checked while it was read. */
static int check_bounds(imagine_request_t *request, const char **out_message) {
    const imagine_params_t *params = &request->params;
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const char *at = (const char *)params + fields[i].offset;
        uint32_t small;
        double number;
        if (fields[i].kind == FIELD_WHOLE) {
            memcpy(&small, at, sizeof(small));
            if (small != 0 && (small < fields[i].min || small > fields[i].max))
                return refuse_bounds(request, out_message, i);
        } else if (fields[i].kind == FIELD_POSITIVE) {
            memcpy(&number, at, sizeof(number));
            if (!(number >= 0) ||
                (number != 0 && (number < (double)fields[i].min || number > (double)fields[i].max)))
                return refuse_bounds(request, out_message, i);
        }
    }
    if (params->has_temperature != 0 && !(params->temperature >= 0 && params->temperature <= 2))
        return refuse(request, out_message, "temperature", "must be a number from 0 to 2");
    return 0;
}

/* What can be seen without asking for the name's address; the guard looks again at each try. */
static int check_webhook(imagine_request_t *request, const char **out_message) {
    const imi_hosts_t *allowed = request->im->allowed_hosts;
    imi_url_t url;
    bool is_local;
    if (!imi_url_parse(imi_slice_of(request->params.webhook_url), &url) || url.has_userinfo)
        return refuse(request, out_message, "webhookUrl", "must be an http or https address");
    is_local =
        imi_slice_equals_nocase(url.host, "localhost") && !imi_hosts_has_name(allowed, url.host);
    if (imi_host_is_numeric(url.host) || memchr(url.host.data, ':', url.host.size) != NULL)
        is_local = !imi_connection_is_allowed(allowed, url.host, url.host);
    return is_local ? refuse(request, out_message, "webhookUrl", "is not a public address") : 0;
}

int imi_params_check(imagine_request_t *request, const char **out_message) {
    const imagine_params_t *params = &request->params;
    imi_action_t action = request->action;
    bool needs_prompt = action == IMI_GENERATE || action == IMI_EDIT || action == IMI_TEXT ||
                        (action == IMI_VIDEO && params->image_count == 0);
    int err = check_bounds(request, out_message);
    if (err != 0)
        return err;
    if (is_blank(params->webhook_url))
        request->params.webhook_url = NULL; /* as other fields that nobody filled in */
    if (needs_prompt && is_blank(params->prompt))
        return refuse(request, out_message, "prompt", "is required");
    if (params->prompt != NULL && count_characters(params->prompt) > PROMPT_CHARACTERS_MAX)
        return refuse(request, out_message, "prompt", "is longer than 32000 characters");
    if (params->prompt != NULL && !imi_utf8_valid(params->prompt, strlen(params->prompt)))
        return refuse(request, out_message, "prompt", "is not valid UTF-8");
    if (action == IMI_EDIT && params->image_count == 0)
        return refuse(request, out_message, "image", "is required");
    if (action == IMI_UPSCALE && params->image_count == 0)
        return refuse(request, out_message, "imageUrl", "is required");
    if (params->image_count > IMI_IMAGES_MAX)
        return refuse(request, out_message, "image", "holds too many pictures: 16 at most");
    if (params->id != NULL && !imi_task_is_id(params->id))
        return refuse(request, out_message, "id",
                      "must be 16 to 64 letters, digits, \"-\" and \"_\"");
    return params->webhook_url != NULL ? check_webhook(request, out_message) : 0;
}

/* ---- making whole -----------------------------------------------------------------------------
 */

static const char *option_text(imagine_request_t *request, const char *path) {
    imi_slice_t value = imi_catalogue_option(request->catalogue, request->entry, request->model,
                                             imi_action_name(request->action), path);
    return imi_json_type(value) == IMI_JSON_STRING ? imi_json_text(&request->arena, value, NULL)
                                                   : NULL;
}

static double option_number(imagine_request_t *request, const char *path) {
    imi_slice_t value = imi_catalogue_option(request->catalogue, request->entry, request->model,
                                             imi_action_name(request->action), path);
    double number;
    return imi_json_number(value, &number) ? number : 0;
}

/* A key may stand in an address and in a log line: nothing that could change what either means. */
static bool is_model_fit(const char *model) {
    size_t size = strlen(model), provider_size = strcspn(model, "/");
    size_t key_size = size - provider_size - (provider_size < size); /* of "provider/key" */
    if (provider_size > KEY_SIZE_MAX || key_size > KEY_SIZE_MAX || strstr(model, "..") != NULL ||
        !imi_utf8_valid(model, size))
        return false;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)model[i];
        if (c < 0x20 || c == 0x7f || c == '?' || c == '#')
            return false;
    }
    return true;
}

static int unknown_provider(imagine_request_t *request, const char *name,
                            const char **out_message) {
    const char *names = imi_registry_names(request->im, &request->arena);
    bool is_hidden = strcmp(name, "sample") == 0 && request->entry != NULL &&
                     request->im->sample_mode == IMI_SAMPLE_AUTO;
    *out_message = imi_arena_printf(
        &request->arena, "Provider '%s' is not supported. Available providers: %s%s", name,
        names != NULL ? names : "",
        is_hidden ? ". sample is off while other providers have tokens (SAMPLE_PROVIDER=on)" : "");
    return *out_message == NULL ? IMAGINE_ENOMEM : IMAGINE_EPROVIDER;
}

static int find_model(imagine_request_t *request, const char **out_message) {
    const char *model = request->params.model, *slash;
    char *name;
    if (is_blank(model) && request->action == IMI_UPSCALE) {
        const imi_model_t *first =
            imi_catalogue_first_of_type(request->catalogue, IMI_TYPE_UPSCALER, NULL);
        model = first != NULL ? first->id : NULL;
    }
    if (is_blank(model))
        return refuse(request, out_message, "model", "is required");
    if (!is_model_fit(model))
        return refuse(request, out_message, "model", "is not a model id");
    request->params.model = model;
    slash = strchr(model, '/');
    request->key = slash != NULL ? slash + 1 : model;
    name = slash != NULL ? imi_arena_strndup(&request->arena, model, (size_t)(slash - model))
                         : imi_arena_strdup(&request->arena, DEFAULT_PROVIDER);
    if (name == NULL)
        return IMAGINE_ENOMEM;
    request->provider = imi_registry_find_visible(request->im, name);
    request->entry = imi_catalogue_find(request->catalogue, name);
    if (request->provider == NULL || request->entry == NULL)
        return unknown_provider(request, name, out_message);
    if (request->key[0] == '\0')
        return refuse(request, out_message, "model", "names no model behind its provider");
    request->model = imi_catalogue_model(request->catalogue, name, request->key);
    request->api_id = request->model != NULL ? request->model->api_id : request->key;
    if (request->model == NULL && imi_catalogue_was_removed(request->entry, request->key)) {
        *out_message = imi_arena_printf(
            &request->arena, "model '%s' is not in the catalogue any more", request->params.model);
        return *out_message == NULL ? IMAGINE_ENOMEM : IMAGINE_EINVAL;
    }
    if (request->model == NULL) { /* one that is not listed may be served as one that is */
        const char *other = option_text(request, "default_model");
        request->model =
            other != NULL ? imi_catalogue_model(request->catalogue, name, other) : NULL;
    }
    if (imi_provider_action(request->provider, (int)request->action) != NULL)
        return 0;
    *out_message = imi_arena_printf(&request->arena, "Provider '%s' does not support '%s'", name,
                                    imi_action_name(request->action));
    return *out_message == NULL ? IMAGINE_ENOMEM : IMAGINE_EACTION;
}

static void resolve_size(imagine_request_t *request) {
    imagine_params_t *params = &request->params;
    bool has_hd = request->entry->has_hd && params->enable_hd >= 0;
    double scale = 1;
    imi_size_t size;
    if (params->width > 0 && params->height > 0)
        return;
    if (request->action != IMI_GENERATE && params->ar == NULL)
        return; /* the picture that goes in decides */
    if (has_hd)
        scale = request->model != NULL
                    ? request->model->hd_scale
                    : imi_catalogue_hd_scale(request->catalogue, request->entry, request->api_id);
    size = imi_size_from_ratio(params->ar, scale);
    if (params->width > 0) /* one side given: the other one by the ratio */
        size.height = (uint32_t)lround((double)params->width * size.height / size.width);
    else if (params->height > 0)
        size.width = (uint32_t)lround((double)params->height * size.width / size.height);
    if (params->width > 0)
        size.width = params->width;
    if (params->height > 0)
        size.height = params->height;
    params->width = size.width < SIDE_MIN   ? SIDE_MIN
                    : size.width > SIDE_MAX ? SIDE_MAX
                                            : size.width;
    params->height = size.height < SIDE_MIN   ? SIDE_MIN
                     : size.height > SIDE_MAX ? SIDE_MAX
                                              : size.height;
}

/* The caller's value held to the model's range, else the model's default, else the action's. */
static double resolve_number(imagine_request_t *request, double given, const imi_range_t *range,
                             const char *path) {
    if (given <= 0)
        return range != NULL && range->is_set ? range->value : option_number(request, path);
    if (range == NULL || !range->is_set)
        return given;
    return given < range->min ? range->min : given > range->max ? range->max : given;
}

int imi_params_resolve(imagine_request_t *request, const char **out_message) {
    imagine_params_t *params = &request->params;
    const imi_model_t *model;
    int err = find_model(request, out_message);
    if (err != 0)
        return err;
    model = request->model;
    if (params->count == 0)
        params->count = 1;
    if (request->action == IMI_TEXT || request->action == IMI_UPSCALE)
        return 0;
    if (is_blank(params->ar))
        params->ar = NULL; /* a form's field that nobody filled in */
    resolve_size(request);
    if (request->has_zero_guidance && model != NULL && model->guidance.is_set)
        params->guidance = model->guidance.min;
    params->steps = (uint32_t)resolve_number(request, params->steps,
                                             model != NULL ? &model->steps : NULL, "steps");
    params->guidance = resolve_number(request, params->guidance,
                                      model != NULL ? &model->guidance : NULL, "guidance");
    if (params->has_seed == 0)
        params->seed = (int64_t)(imi_random64(request->im) % (IMI_SEED_MAX + UINT64_C(1)));
    if (is_blank(params->negative_prompt))
        params->negative_prompt = option_text(request, "negative_prompt");
    if (request->action == IMI_VIDEO) {
        if (is_blank(params->prompt))
            params->prompt = option_text(request, "prompt");
        if (params->duration_s <= 0)
            params->duration_s = option_number(request, "duration");
    }
    return 0;
}
