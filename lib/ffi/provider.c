/* provider.c: a provider whose requests and answers are JSON texts. */
#include <stdbool.h>
#include <string.h>

#include "imagine/ffi.h"
#include "wire/json.h"
#include "wire/str.h"

#define DEPTH_MAX 64
#define HEADERS_MAX 64

static bool is_object(const char *json) {
    return json != NULL && imi_json_valid(imi_slice_of(json), DEPTH_MAX, NULL) &&
           imi_json_type(imi_slice_of(json)) == IMI_JSON_OBJECT;
}

static imi_slice_t member(const char *json, const char *name) {
    return imi_json_get(imi_slice_of(json), name);
}

/* ---- registering -------------------------------------------------------------------------------
 */

static bool set_action(imagine_provider_t *provider, imi_slice_t name, imagine_call_cb run) {
    struct {
        const char *name;
        imagine_call_cb *place;
    } actions[] = {{"generate", &provider->generate},
                   {"edit", &provider->edit},
                   {"text", &provider->text},
                   {"video", &provider->video},
                   {"upscaler", &provider->upscale}};
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (imi_slice_equals(name, actions[i].name)) {
            *actions[i].place = run;
            return true;
        }
    return false;
}

static int read_provider(imagine_provider_t *provider, imi_arena_t *arena, const char *json,
                         imagine_call_cb run) {
    imi_slice_t catalogue = member(json, "catalogue"), item;
    imi_json_cursor_t cursor = imi_json_walk(member(json, "actions"));
    bool is_optional = false;
    provider->name = imi_json_text(arena, member(json, "name"), NULL);
    if (provider->name == NULL)
        return IMAGINE_EINVAL;
    while (imi_json_next_item(&cursor, &item))
        if (!set_action(provider, imi_json_plain_text(item), run))
            return IMAGINE_EINVAL;
    if (imi_json_bool(member(json, "tokenOptional"), &is_optional) && is_optional)
        provider->flags |= IMAGINE_PROVIDER_TOKEN_OPTIONAL;
    if (catalogue.data == NULL)
        return 0;
    provider->catalogue = imi_arena_strndup(arena, catalogue.data, catalogue.size);
    return provider->catalogue != NULL ? 0 : IMAGINE_ENOMEM;
}

int imagine_register_json(imagine_t *im, const char *json, imagine_call_cb run, void *user) {
    imagine_provider_t provider = {.size = sizeof(provider), .user = user};
    imi_arena_t arena;
    int err;
    if (!is_object(json) || run == NULL)
        return IMAGINE_EINVAL;
    imi_arena_init(&arena, NULL, 0);
    err = read_provider(&provider, &arena, json, run);
    if (err == 0)
        err = imagine_register_provider(im, &provider);
    imi_arena_reset(&arena);
    return err;
}

/* ---- what is asked for -------------------------------------------------------------------------
 */

const char *imagine_call_params_json(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    const char *json = NULL;
    imi_json_writer_t writer;
    imi_buf_t buf;
    imi_buf_init(&buf, NULL, 0);
    imi_json_begin(&writer, &buf);
    imi_json_open_object(&writer, NULL);
    imi_json_put_text(&writer, "prompt", params->prompt);
    imi_json_put_text(&writer, "negativePrompt", params->negative_prompt);
    imi_json_put_text(&writer, "ar", params->ar);
    imi_json_put_int(&writer, "width", params->width);
    imi_json_put_int(&writer, "height", params->height);
    imi_json_put_int(&writer, "seed", params->seed);
    imi_json_put_int(&writer, "steps", params->steps);
    imi_json_put_number(&writer, "guidance", params->guidance);
    imi_json_put_int(&writer, "n", params->count);
    imi_json_put_number(&writer, "duration", params->duration_s);
    if (params->has_temperature != 0)
        imi_json_put_number(&writer, "temperature", params->temperature);
    imi_json_put_int(&writer, "max_tokens", params->max_tokens);
    imi_json_open_array(&writer, "images");
    for (size_t i = 0; i < params->image_count; i++)
        imi_json_put_text(&writer, NULL, imagine_call_image_url(call, i));
    imi_json_close_array(&writer);
    imi_json_close_object(&writer);
    if (buf.error == 0)
        json = imagine_call_concat(call, buf.data, "");
    imi_buf_reset(&buf);
    return json;
}

/* ---- asking ------------------------------------------------------------------------------------
 */

/* Text of the call's memory; NULL: there is none. */
static const char *text_of(imagine_call_t *call, imi_slice_t value) {
    imi_arena_t arena;
    const char *text;
    imi_arena_init(&arena, NULL, 0);
    text = imi_json_text(&arena, value, NULL);
    if (text != NULL)
        text = imagine_call_concat(call, text, "");
    imi_arena_reset(&arena);
    return text;
}

static const char *key_of(imagine_call_t *call, imi_slice_t key) {
    return imagine_call_printf(call, "%.*s", (int)key.size, key.data);
}

/* Its place among `names`, from 0; -1: it is none of them. */
static int place_of(imi_slice_t text, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (imi_slice_equals(text, names[i]))
            return (int)i;
    return -1;
}

static imagine_body_t *body_of(imagine_call_t *call, const char *json) {
    imi_slice_t whole = member(json, "json"), key, value;
    imi_json_cursor_t fields = imi_json_walk(member(json, "form"));
    imi_json_cursor_t files = imi_json_walk(member(json, "files"));
    imagine_body_t *body;
    int64_t index;
    if (whole.data != NULL)
        return imagine_body_whole(call,
                                  imagine_call_printf(call, "%.*s", (int)whole.size, whole.data));
    body = imagine_body_multipart(call);
    while (imi_json_next_member(&fields, &key, &value))
        imagine_body_put_text(body, key_of(call, key), text_of(call, value));
    while (imi_json_next_member(&files, &key, &value))
        if (imi_json_whole_number(value, &index) && index >= 0)
            imagine_body_put_image(body, key_of(call, key),
                                   imagine_call_image(call, (size_t)index));
    return body;
}

/* False: the call was failed. */
static bool read_request(imagine_call_t *call, const char *json, imagine_header_t *headers,
                         imagine_call_request_t *out) {
    static const char *const auths[] = {"bearer", "none", "basic"};
    static const char *const limits[] = {"auto", "text", "image", "status", "download"};
    imi_slice_t key, value;
    imi_json_cursor_t cursor;
    bool flag = false;
    int place;
    if (is_object(json))
        out->url = text_of(call, member(json, "url"));
    if (out->url == NULL) {
        imagine_call_fail(call, IMAGINE_EPROTOCOL,
                          "the provider asks without a JSON object with url");
        return false;
    }
    out->method = text_of(call, member(json, "method"));
    cursor = imi_json_walk(member(json, "headers"));
    while (out->header_count < HEADERS_MAX && imi_json_next_member(&cursor, &key, &value)) {
        headers[out->header_count].name = key_of(call, key);
        headers[out->header_count++].value = text_of(call, value);
    }
    out->headers = headers;
    if (member(json, "json").data != NULL || member(json, "form").data != NULL)
        out->body = body_of(call, json);
    place = place_of(imi_json_plain_text(member(json, "auth")), auths, 3);
    out->auth = place > 0 ? place : IMAGINE_AUTH_BEARER;
    place = place_of(imi_json_plain_text(member(json, "limit")), limits, 5);
    out->limit = place > 0 ? place : IMAGINE_LIMIT_AUTO;
    out->is_repeatable = imi_json_bool(member(json, "repeatable"), &flag) && flag;
    flag = false;
    out->accept_any_status = imi_json_bool(member(json, "anyStatus"), &flag) && flag;
    return true;
}

void imagine_call_http_json(imagine_call_t *call, const char *json,
                            imagine_response_cb on_response) {
    imagine_header_t headers[HEADERS_MAX];
    imagine_call_request_t request = {.size = sizeof(request)};
    if (read_request(call, json, headers, &request))
        imagine_call_http(call, &request, on_response);
}

void imagine_call_events_json(imagine_call_t *call, const char *json, imagine_event_cb on_event,
                              imagine_response_cb on_response) {
    imagine_header_t headers[HEADERS_MAX];
    imagine_call_request_t request = {.size = sizeof(request)};
    if (read_request(call, json, headers, &request))
        imagine_call_events(call, &request, on_event, on_response);
}

/* ---- answers -----------------------------------------------------------------------------------
 */

int imagine_response_status(const imagine_http_response_t *response) {
    return response->status;
}

const char *imagine_response_body(const imagine_http_response_t *response, size_t *out_size) {
    if (out_size != NULL)
        *out_size = response->body_size;
    return response->body;
}

void imagine_call_succeed_json(imagine_call_t *call, const char *json) {
    imagine_result_t result = {.size = sizeof(result)};
    imi_json_cursor_t cursor;
    imi_slice_t item, usage;
    int64_t number;
    if (!is_object(json)) {
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "the provider's result is no JSON object");
        return;
    }
    result.url = text_of(call, member(json, "url"));
    cursor = imi_json_walk(member(json, "urls"));
    while (imi_json_next_item(&cursor, &item)) {
        if (result.url != NULL)
            imagine_call_picture(call, result.url);
        result.url = text_of(call, item);
    }
    result.text = text_of(call, member(json, "text"));
    result.revised_prompt = text_of(call, member(json, "revisedPrompt"));
    usage = member(json, "usage");
    if (usage.data != NULL)
        result.usage_json = imagine_call_printf(call, "%.*s", (int)usage.size, usage.data);
    if (imi_json_whole_number(member(json, "width"), &number) && number > 0 && number < 100000)
        result.width = (uint32_t)number;
    if (imi_json_whole_number(member(json, "height"), &number) && number > 0 && number < 100000)
        result.height = (uint32_t)number;
    imagine_call_succeed(call, &result);
}
