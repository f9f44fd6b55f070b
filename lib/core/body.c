/* body.c: what a provider sends, built step by step; and memory for its steps. Every builder
 * accepts the NULL that an earlier one returned, and marks the call out of memory instead of
 * failing loudly. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/call.h"
#include "core/client.h"
#include "core/request.h"
#include "wire/base64.h"
#include "wire/dataurl.h"
#include "wire/json.h"
#include "wire/multipart.h"
#include "wire/url.h"

#define TEMPLATE_DEPTH_MAX 32
#define BODY_DEPTH_MAX 60 /* below what the writer can count */

struct imagine_body {
    imagine_call_t *call;
    imagine_body_t *next;
    bool is_multipart;
    imi_buf_t json;
    imi_json_writer_t writer;
    uint64_t is_array; /* one bit per depth: how imagine_body_close() closes it */
    imi_multipart_body_t multipart;
    imagine_slice_t *slices;
};

/* ---- memory -----------------------------------------------------------------------------------
 */

static void *remember(imagine_call_t *call, void *pointer) {
    if (pointer == NULL)
        call->is_out_of_memory = true;
    return pointer;
}

void *imagine_call_alloc(imagine_call_t *call, size_t size) {
    return remember(call, imi_arena_zalloc(&call->arena, size));
}

const char *imagine_call_strdup(imagine_call_t *call, const char *text) {
    return text == NULL ? NULL : remember(call, imi_arena_strdup(&call->arena, text));
}

const char *imagine_call_printf(imagine_call_t *call, const char *format, ...) {
    va_list arguments;
    char *text;
    va_start(arguments, format);
    text = imi_arena_vprintf(&call->arena, format, arguments);
    va_end(arguments);
    return remember(call, text);
}

const char *imagine_call_concat(imagine_call_t *call, const char *a, const char *b) {
    return imagine_call_printf(call, "%s%s", a != NULL ? a : "", b != NULL ? b : "");
}

const char *imagine_call_url(imagine_call_t *call, const char *path) {
    return path == NULL
               ? NULL
               : remember(call, imi_url_join(&call->arena, imagine_call_api_base(call), path));
}

int32_t imagine_call_is_own_address(const imagine_call_t *call, const char *url) {
    const char *base = imagine_call_api_base(call);
    imi_url_t own, other;
    return url != NULL && base != NULL && imi_url_parse(imi_slice_of(base), &own) &&
                   imi_url_parse(imi_slice_of(url), &other) && imi_url_is_same_origin(&own, &other)
               ? 1
               : 0;
}

const char *imagine_call_escape(imagine_call_t *call, const char *text) {
    imi_buf_t buf;
    char *escaped = NULL;
    if (text == NULL)
        return NULL;
    imi_buf_init(&buf, &call->request->mem, 0);
    if (imi_percent_encode(&buf, text, false) == 0)
        escaped = imi_arena_strndup(&call->arena, buf.data != NULL ? buf.data : "", buf.size);
    imi_buf_reset(&buf);
    return remember(call, escaped);
}

const char *imagine_call_quote(imagine_call_t *call, const char *text) {
    imi_json_writer_t writer;
    imi_buf_t buf;
    char *quoted = NULL;
    if (text == NULL)
        return NULL;
    imi_buf_init(&buf, &call->request->mem, 0);
    imi_json_begin(&writer, &buf);
    imi_json_put_text(&writer, NULL, text);
    if (buf.error == 0)
        quoted = imi_arena_strndup(&call->arena, buf.data, buf.size);
    imi_buf_reset(&buf);
    return remember(call, quoted);
}

int imagine_call_defer(imagine_call_t *call, void (*release)(void *user), void *user) {
    imi_deferred_t *deferred = imagine_call_alloc(call, sizeof(*deferred));
    if (deferred == NULL)
        return IMAGINE_ENOMEM;
    *deferred = (imi_deferred_t){call->deferred, release, user};
    call->deferred = deferred;
    return 0;
}

static imi_slice_t option(imagine_call_t *call, const char *path) {
    const imagine_request_t *request = call->request;
    if (path == NULL) /* one that no memory was left for */
        return (imi_slice_t){NULL, 0};
    return imi_catalogue_option(request->catalogue, request->entry, request->model,
                                imi_action_name(request->action), path);
}

const char *imagine_call_option(imagine_call_t *call, const char *path) {
    imi_slice_t value = option(call, path);
    if (value.data == NULL || imi_json_type(value) == IMI_JSON_NULL)
        return NULL;
    if (imi_json_type(value) == IMI_JSON_STRING)
        return remember(call, imi_json_text(&call->arena, value, NULL));
    return remember(call, imi_arena_strndup(&call->arena, value.data, value.size));
}

int64_t imagine_call_option_int(imagine_call_t *call, const char *path, int64_t otherwise) {
    int64_t number;
    return imi_json_whole_number(option(call, path), &number) ? number : otherwise;
}

const char *imagine_call_image_base64(imagine_call_t *call, size_t index) {
    const imagine_image_t *image = imagine_call_image(call, index);
    imi_buf_t buf;
    char *text = NULL;
    if (image == NULL)
        return NULL;
    imi_buf_init(&buf, &call->request->mem, 0);
    if (imi_base64_encode(&buf, image->data, image->data_size) == 0)
        text = imi_arena_strndup(&call->arena, buf.data, buf.size);
    imi_buf_reset(&buf);
    return remember(call, text);
}

const char *imagine_call_image_url(imagine_call_t *call, size_t index) {
    const imagine_image_t *image = imagine_call_image(call, index);
    imi_buf_t buf;
    char *url = NULL;
    if (image == NULL)
        return NULL;
    if (image->url != NULL)
        return image->url;
    imi_buf_init(&buf, &call->request->mem, 0);
    if (imi_dataurl_encode(&buf, image->mime, image->data, image->data_size) == 0)
        url = imi_arena_strndup(&call->arena, buf.data, buf.size);
    imi_buf_reset(&buf);
    return remember(call, url);
}

/* ---- bodies -----------------------------------------------------------------------------------
 */

static imagine_body_t *new_body(imagine_call_t *call) {
    imagine_body_t *body = imagine_call_alloc(call, sizeof(*body));
    if (body == NULL)
        return NULL;
    body->call = call;
    body->next = call->bodies;
    call->bodies = body;
    return body;
}

imagine_body_t *imagine_body_json(imagine_call_t *call) {
    imagine_body_t *body = new_body(call);
    if (body == NULL)
        return NULL;
    imi_buf_init(&body->json, &call->request->mem, 0);
    imi_json_begin(&body->writer, &body->json);
    imi_json_open_object(&body->writer, NULL);
    return body;
}

imagine_body_t *imagine_body_whole(imagine_call_t *call, const char *json) {
    imagine_body_t *body = json != NULL ? new_body(call) : NULL;
    if (body == NULL)
        return NULL;
    imi_buf_init(&body->json, &call->request->mem, 0);
    imi_json_begin(&body->writer, &body->json);
    imi_json_put_raw(&body->writer, NULL, imi_slice_of(json));
    return body;
}

imagine_body_t *imagine_body_multipart(imagine_call_t *call) {
    imagine_body_t *body = new_body(call);
    uint64_t random[2];
    if (body == NULL)
        return NULL;
    random[0] = imi_random64(call->im);
    random[1] = imi_random64(call->im);
    body->is_multipart = true;
    imi_buf_init(&body->json, &call->request->mem, 0);
    imi_multipart_body_init(&body->multipart, &call->arena, (const unsigned char *)random);
    return body;
}

void imi_bodies_free(imagine_call_t *call) {
    for (imagine_body_t *body = call->bodies; body != NULL; body = body->next)
        imi_buf_reset(&body->json);
    call->bodies = NULL;
}

static void close_container(imagine_body_t *body);

int imi_body_finish(imagine_body_t *body, const imagine_slice_t **out_slices, size_t *out_count,
                    const char **out_content_type) {
    *out_slices = NULL;
    *out_count = 0;
    if (body == NULL)
        return 0;
    if (body->is_multipart) {
        imi_multipart_body_end(&body->multipart);
        *out_count = body->multipart.slice_count;
        *out_content_type = imi_multipart_body_content_type(&body->multipart);
    } else {
        while (body->writer.depth > 0)
            close_container(body);
        *out_count = 1;
        *out_content_type = "application/json";
    }
    body->slices = imagine_call_alloc(body->call, (*out_count + 1) * sizeof(*body->slices));
    if (body->slices == NULL || body->multipart.error != 0 || body->json.error != 0 ||
        *out_content_type == NULL)
        return IMAGINE_ENOMEM;
    for (size_t i = 0; i < *out_count; i++)
        body->slices[i] = body->is_multipart ? (imagine_slice_t){body->multipart.slices[i].data,
                                                                 body->multipart.slices[i].size}
                                             : (imagine_slice_t){body->json.data, body->json.size};
    *out_slices = body->slices;
    return 0;
}

void imagine_body_put_text(imagine_body_t *body, const char *name, const char *text) {
    if (body == NULL || text == NULL)
        return;
    if (body->is_multipart)
        imi_multipart_body_field(&body->multipart, name, text);
    else
        imi_json_put_text(&body->writer, name, text);
}

void imagine_body_put_int(imagine_body_t *body, const char *name, int64_t value) {
    char text[24];
    if (body == NULL)
        return;
    if (!body->is_multipart) {
        imi_json_put_int(&body->writer, name, value);
        return;
    }
    snprintf(text, sizeof(text), "%" PRId64, value);
    imi_multipart_body_field(&body->multipart, name, text);
}

void imagine_body_put_number(imagine_body_t *body, const char *name, double value) {
    char text[32];
    if (body == NULL)
        return;
    if (!body->is_multipart) {
        imi_json_put_number(&body->writer, name, value);
        return;
    }
    imi_format_double(text, value);
    imi_multipart_body_field(&body->multipart, name, text);
}

void imagine_body_put_bool(imagine_body_t *body, const char *name, int32_t value) {
    if (body != NULL && !body->is_multipart)
        imi_json_put_bool(&body->writer, name, value != 0);
}

void imagine_body_put_json(imagine_body_t *body, const char *name, const char *json) {
    if (body != NULL && !body->is_multipart && json != NULL)
        imi_json_put_raw(&body->writer, name, imi_slice_of(json));
}

void imagine_body_put_base64(imagine_body_t *body, const char *name, const char *prefix,
                             const imagine_image_t *image) {
    if (body != NULL && !body->is_multipart && image != NULL)
        imi_json_put_base64(&body->writer, name, prefix, image->data, image->data_size);
}

static void open_container(imagine_body_t *body, const char *name, bool is_array) {
    uint64_t bit;
    if (body == NULL || body->is_multipart || body->writer.depth >= BODY_DEPTH_MAX)
        return;
    if (is_array)
        imi_json_open_array(&body->writer, name);
    else
        imi_json_open_object(&body->writer, name);
    bit = UINT64_C(1) << body->writer.depth;
    body->is_array = is_array ? body->is_array | bit : body->is_array & ~bit;
}

static void close_container(imagine_body_t *body) {
    if ((body->is_array >> body->writer.depth & 1) != 0)
        imi_json_close_array(&body->writer);
    else
        imi_json_close_object(&body->writer);
}

void imagine_body_open_object(imagine_body_t *body, const char *name) {
    open_container(body, name, false);
}

void imagine_body_open_array(imagine_body_t *body, const char *name) {
    open_container(body, name, true);
}

void imagine_body_close(imagine_body_t *body) {
    if (body != NULL && !body->is_multipart && body->writer.depth > 1)
        close_container(body);
}

void imagine_body_put_image(imagine_body_t *body, const char *name, const imagine_image_t *image) {
    if (body != NULL && body->is_multipart && image != NULL)
        imi_multipart_body_file(&body->multipart, name, image->filename, image->mime, image->data,
                                image->data_size);
}

/* ---- templates --------------------------------------------------------------------------------
 */

typedef struct filler {
    imagine_call_t *call;
    const imagine_template_value_t *values;
    size_t value_count;
    imi_json_writer_t writer;
} filler_t;

/* Writes the value of a standard name; false: it has none. */
static bool put_standard(filler_t *filler, const char *key, imi_slice_t name) {
    const imagine_params_t *params = imagine_call_params(filler->call);
    imi_json_writer_t *writer = &filler->writer;
    const struct {
        const char *name, *text;
    } texts[] = {{"prompt", params->prompt},
                 {"negative_prompt", params->negative_prompt},
                 {"ar", params->ar},
                 {"model", imagine_call_model(filler->call)}};
    const struct {
        const char *name;
        double number;
    } numbers[] = {{"width", params->width},
                   {"height", params->height},
                   {"steps", params->steps},
                   {"guidance", params->guidance},
                   {"duration", params->duration_s}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (imi_slice_equals(name, texts[i].name) && texts[i].text != NULL) {
            imi_json_put_text(writer, key, texts[i].text);
            return true;
        }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (imi_slice_equals(name, numbers[i].name) && numbers[i].number > 0) {
            imi_json_put_number(writer, key, numbers[i].number);
            return true;
        }
    if (imi_slice_equals(name, "seed"))
        imi_json_put_int(writer, key, params->seed);
    else if (imi_slice_equals(name, "randomize"))
        imi_json_put_bool(writer, key, params->has_seed == 0);
    else
        return false;
    return true;
}

static void put_placeholder(filler_t *filler, const char *key, imi_slice_t text) {
    imi_slice_t rest = {text.data + 1, text.size - 1}, name;
    if (!imi_slice_split(&rest, ':', &name))
        name = (imi_slice_t){"", 0};
    for (size_t i = 0; i < filler->value_count; i++)
        if (imi_slice_equals(name, filler->values[i].name) && filler->values[i].json != NULL) {
            imi_json_put_raw(&filler->writer, key, imi_slice_of(filler->values[i].json));
            return;
        }
    if (put_standard(filler, key, name))
        return;
    if (rest.size > 0 && imi_json_valid(rest, TEMPLATE_DEPTH_MAX, NULL))
        imi_json_put_raw(&filler->writer, key, rest);
    else
        imi_json_put_null(&filler->writer, key);
}

static void fill(filler_t *filler, const char *key, imi_slice_t value, int depth) {
    imi_arena_t *arena = &filler->call->arena;
    imi_json_cursor_t cursor = imi_json_walk(value);
    imi_slice_t name, item;
    char *text;
    switch (depth < TEMPLATE_DEPTH_MAX ? imi_json_type(value) : IMI_JSON_NULL) {
    case IMI_JSON_OBJECT:
        imi_json_open_object(&filler->writer, key);
        while (imi_json_next_member(&cursor, &name, &item)) {
            imi_slice_t quoted = {name.data - 1, name.size + 2};
            fill(filler, imi_json_text(arena, quoted, NULL), item, depth + 1);
        }
        imi_json_close_object(&filler->writer);
        break;
    case IMI_JSON_ARRAY:
        imi_json_open_array(&filler->writer, key);
        while (imi_json_next_item(&cursor, &item))
            fill(filler, NULL, item, depth + 1);
        imi_json_close_array(&filler->writer);
        break;
    case IMI_JSON_STRING:
        text = remember(filler->call, imi_json_text(arena, value, NULL));
        if (text != NULL && text[0] == '$')
            put_placeholder(filler, key, imi_slice_of(text));
        else
            imi_json_put_text(&filler->writer, key, text);
        break;
    default:
        imi_json_put_raw(&filler->writer, key, value);
    }
}

const char *imagine_call_fill(imagine_call_t *call, const char *template_json,
                              const imagine_template_value_t *values, size_t value_count) {
    filler_t filler = {.call = call, .values = values, .value_count = value_count};
    imi_slice_t document = imi_slice_of(template_json);
    imi_buf_t buf;
    char *filled = NULL;
    if (template_json == NULL || !imi_json_valid(document, TEMPLATE_DEPTH_MAX, NULL))
        return NULL;
    imi_buf_init(&buf, &call->request->mem, 0);
    imi_json_begin(&filler.writer, &buf);
    fill(&filler, NULL, imi_slice_trim(document), 0);
    if (buf.error == 0)
        filled = imi_arena_strndup(&call->arena, buf.data, buf.size);
    imi_buf_reset(&buf);
    return remember(call, filled);
}
