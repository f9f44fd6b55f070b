/* openai.c: OpenAI, and every server that speaks its interface (kind "openai" of a catalogue).
 * Pictures and texts are one question, a video is a task:
 *   POST /images/generations            -> data[i].b64_json or data[i].url
 *   POST /images/edits, multipart       -> the same
 *   POST /responses                     -> output[].content[]: output_text, refusal
 *     … as a stream of events           -> response.output_text.delta, … response.completed
 *   POST /chat/completions              -> in the older words, which most others speak
 *   POST /videos, multipart             -> id
 *   GET  /videos/{id}, again and again  -> status: queued, in_progress, completed, failed
 *   GET  /videos/{id}/content           -> its bytes
 * The catalogue says which of the two a text goes to ("text_api") and which sizes there are. */
#include "providers/builtin.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "providers/nearest.h"
#include "providers/openai_compat.h"
#include "providers/picture_size.h"

#define ITEMS_MAX 64  /* of an answer's output, and parts of an item, that are looked at */
#define PREDICT_S 300 /* what a video usually takes, for a catalogue that does not say */

/* ---- pictures ---------------------------------------------------------------------------------
 */

static void on_pictured(imagine_call_t *call, const imagine_http_response_t *response);

static uint32_t bound(imagine_call_t *call, const char *name) {
    int64_t value = imagine_call_option_int(call, imagine_call_concat(call, "bounds.", name), 0);
    return value > 0 && value <= UINT32_MAX ? (uint32_t)value : 0;
}

/* What the caller chose in pixels, within the catalogue's "bounds". */
static imi_size_t bounded_size(imagine_call_t *call, imi_size_t wanted) {
    imi_size_bounds_t bounds = {.step = bound(call, "step")};
    if (bounds.step == 0)
        bounds.step = 1;
    bounds.side_max = bound(call, "side_max");
    bounds.ratio_max = bound(call, "ratio_max");
    bounds.pixels_min = bound(call, "pixels_min");
    bounds.pixels_max = bound(call, "pixels_max");
    return imi_nearest_size(wanted, &bounds);
}

/* The one of the catalogue's "sizes" whose shape is nearest; without such a list the wanted one. */
static imi_size_t listed_size(imagine_call_t *call, imi_size_t wanted) {
    const char *text = imi_nearest_shape(call, "sizes", wanted);
    imi_size_t size = {0, 0};
    char *end;
    if (text == NULL)
        return wanted;
    size.width = (uint32_t)strtoul(text, &end, 10);
    if (*end == 'x')
        size.height = (uint32_t)strtoul(end + 1, NULL, 10);
    return size;
}

static void put_size(imagine_call_t *call, imagine_body_t *body, imi_size_t size) {
    if (size.width != 0 && size.height != 0)
        imagine_body_put_text(
            body, "size",
            imagine_call_printf(call, "%" PRIu32 "x%" PRIu32, size.width, size.height));
}

/* The size that goes along, which the answer may not repeat; NULL: no memory. An edit without one
 * keeps its picture's. */
static const imi_size_t *choose_size(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imi_size_t *size = imagine_call_alloc(call, sizeof(*size));
    imagine_call_set_state(call, size);
    if (size == NULL || params->width == 0 || params->height == 0)
        return size;
    *size = (imi_size_t){params->width, params->height};
    *size = imagine_call_option(call, "bounds") != NULL && imi_has_own_size(call)
                ? bounded_size(call, *size)
                : listed_size(call, *size);
    return size;
}

static void ask_pictures(imagine_call_t *call, const char *path, imagine_body_t *body) {
    imagine_call_request_t request = {.size = sizeof(request)};
    const imi_size_t *size = choose_size(call);
    if (size != NULL)
        put_size(call, body, *size);
    request.url = imagine_call_url(call, path);
    request.body = body;
    request.has_json_pictures = 1;
    imagine_call_http(call, &request, on_pictured);
}

static void generate(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imagine_body_t *body = imagine_body_json(call);
    imagine_body_put_text(body, "model", imagine_call_model(call));
    imagine_body_put_text(body, "prompt", params->prompt);
    imagine_body_put_int(body, "n", params->count);
    ask_pictures(call, "/images/generations", body);
}

static void edit(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imagine_body_t *body = imagine_body_multipart(call);
    imagine_body_put_text(body, "model", imagine_call_model(call));
    imagine_body_put_text(body, "prompt", params->prompt);
    for (size_t i = 0; i < params->image_count; i++)
        imagine_body_put_image(body, "image[]", imagine_call_image(call, i));
    if (params->count > 1)
        imagine_body_put_int(body, "n", params->count);
    ask_pictures(call, "/images/edits", body);
}

static void on_pictured(imagine_call_t *call, const imagine_http_response_t *response) {
    const imi_size_t *size = imagine_call_state(call);
    imagine_result_t result = {.size = sizeof(result)};
    if (!imi_openai_compat_read_pictures(call, response, &result))
        return;
    if (result.width == 0 || result.height == 0) {
        result.width = size->width;
        result.height = size->height;
    }
    imagine_call_succeed(call, &result);
}

/* ---- texts ------------------------------------------------------------------------------------
 */

typedef struct stream {
    bool has_begun;
} stream_t;

static void on_answered(imagine_call_t *call, const imagine_http_response_t *response);
static void on_event(imagine_call_t *call, const char *name, const imagine_http_response_t *event);
static void on_streamed(imagine_call_t *call, const imagine_http_response_t *response);

static void ask_response(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imagine_call_request_t request = {.size = sizeof(request)};
    imagine_body_t *body = imagine_body_json(call);
    imagine_body_put_text(body, "model", imagine_call_model(call));
    imagine_body_put_text(body, "instructions", imagine_call_option(call, "instruction"));
    imagine_body_put_text(body, "input", params->prompt);
    imagine_body_put_bool(body, "stream", imagine_call_wants_pieces(call));
    if (params->has_temperature != 0)
        imagine_body_put_number(body, "temperature", params->temperature);
    if (params->max_tokens != 0)
        imagine_body_put_int(body, "max_output_tokens", params->max_tokens);
    request.url = imagine_call_url(call, "/responses");
    request.body = body;
    imagine_call_set_state(call, imagine_call_alloc(call, sizeof(stream_t)));
    if (imagine_call_wants_pieces(call) != 0)
        imagine_call_events(call, &request, on_event, on_streamed);
    else
        imagine_call_http(call, &request, on_answered);
}

static void text(imagine_call_t *call) {
    const char *api = imagine_call_option(call, "text_api");
    if (api != NULL && strcmp(api, "responses") == 0)
        ask_response(call);
    else
        imi_openai_compat_text(call, imagine_call_url(call, "/chat/completions"),
                               IMAGINE_AUTH_BEARER, imi_openai_compat_on_written);
}

static bool is_text(const char *text, const char *wanted) {
    return text != NULL && strcmp(text, wanted) == 0;
}

/* All that stands in parts of this kind; NULL: nothing. */
static const char *parts_of(imagine_call_t *call, const imagine_http_response_t *response,
                            const char *type, const char *member) {
    size_t items = imagine_response_count(response, "output");
    const char *all = NULL;
    for (size_t i = 0; i < items && i < ITEMS_MAX; i++) {
        const char *content = imagine_call_printf(call, "output[%zu].content", i);
        size_t parts = imagine_response_count(response, content);
        for (size_t k = 0; k < parts && k < ITEMS_MAX; k++) {
            const char *part = imagine_call_printf(call, "%s[%zu].", content, k);
            const char *kind =
                imagine_response_string(response, imagine_call_concat(call, part, "type"));
            const char *text =
                is_text(kind, type)
                    ? imagine_response_string(response, imagine_call_concat(call, part, member))
                    : NULL;
            if (text != NULL)
                all = all != NULL ? imagine_call_concat(call, all, text) : text;
        }
    }
    return all;
}

static void on_answered(imagine_call_t *call, const imagine_http_response_t *response) {
    const stream_t *stream = imagine_call_state(call);
    const char *status = imagine_response_string(response, "status"), *refusal;
    imagine_result_t result = {.size = sizeof(result)};
    if (imi_openai_compat_has_error(response) || is_text(status, "failed")) {
        imagine_call_fail_response(call, response, 0);
        return;
    }
    if (!stream->has_begun && imagine_response_json(response, "output") == NULL) {
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "an answer without output");
        return;
    }
    result.text = parts_of(call, response, "output_text", "text");
    refusal = parts_of(call, response, "refusal", "refusal");
    if (imi_openai_compat_is_blank(result.text) && !imi_openai_compat_is_blank(refusal)) {
        imagine_call_fail(call, IMAGINE_ECONTENT, refusal);
        return;
    }
    if (is_text(imagine_response_string(response, "incomplete_details.reason"), "content_filter")) {
        imagine_call_fail(call, IMAGINE_ECONTENT,
                          "the provider's content filter withheld the text");
        return;
    }
    if (imi_openai_compat_is_blank(result.text))
        result.text = imagine_call_params(call)->prompt;
    result.usage_json = imi_openai_compat_usage(response);
    imagine_call_succeed(call, &result);
}

/* The last event holds the whole answer once more: it is read like one that did not stream. */
static void finish_stream(imagine_call_t *call, const imagine_http_response_t *event) {
    const char *json = imagine_response_json(event, "response");
    imagine_http_response_t whole = *event;
    whole.body = json != NULL ? json : "";
    whole.body_size = strlen(whole.body);
    on_answered(call, &whole);
}

static void on_event(imagine_call_t *call, const char *name, const imagine_http_response_t *event) {
    stream_t *stream = imagine_call_state(call);
    stream->has_begun = true;
    if (strcmp(name, "response.output_text.delta") == 0)
        imagine_call_delta_at(call, event, "delta");
    else if (strcmp(name, "response.completed") == 0 || strcmp(name, "response.incomplete") == 0 ||
             strcmp(name, "response.failed") == 0)
        finish_stream(call, event);
    else if (strcmp(name, "error") == 0)
        imagine_call_fail_response(call, event, 0);
}

static void on_streamed(imagine_call_t *call, const imagine_http_response_t *response) {
    const stream_t *stream = imagine_call_state(call);
    if (stream->has_begun)
        imagine_call_fail(call, IMAGINE_EPROTOCOL,
                          "a stream that ended without response.completed");
    else
        on_answered(call, response); /* a whole answer instead of a stream */
}

/* ---- video: a task ---------------------------------------------------------------------------
 */

static void on_created(imagine_call_t *call, const imagine_http_response_t *response);
static void poll_task(imagine_call_t *call);
static void on_polled(imagine_call_t *call, const imagine_http_response_t *response);
static void download(imagine_call_t *call);
static void on_downloaded(imagine_call_t *call, const imagine_http_response_t *response);

/* As the caller wants it, else as the first frame is. */
static imi_size_t video_size(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    const imagine_image_t *image = imagine_call_image(call, 0);
    imi_size_t size = {params->width, params->height};
    if ((size.width == 0 || size.height == 0) && image != NULL)
        imi_picture_size(image->data, image->data_size, &size.width, &size.height);
    if (size.width == 0 || size.height == 0)
        size = (imi_size_t){16, 9};
    return imagine_call_option(call, "sizes") != NULL ? listed_size(call, size)
                                                      : (imi_size_t){params->width, params->height};
}

static void video(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imagine_call_request_t request = {.size = sizeof(request)};
    imagine_body_t *body = imagine_body_multipart(call);
    imagine_body_put_text(body, "model", imagine_call_model(call));
    imagine_body_put_text(body, "prompt", params->prompt);
    put_size(call, body, video_size(call));
    if (params->duration_s > 0)
        imagine_body_put_int(body, "seconds",
                             imi_nearest_number(call, "durations", params->duration_s));
    if (params->image_count > 0)
        imagine_body_put_image(body, "input_reference", imagine_call_image(call, 0));
    request.url = imagine_call_url(call, "/videos");
    request.body = body;
    imagine_call_http(call, &request, on_created);
}

static void on_created(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *id = imagine_response_string(response, "id");
    if (imi_openai_compat_is_blank(id)) {
        if (imi_openai_compat_has_error(response))
            imagine_call_fail_response(call, response, 0);
        else
            imagine_call_fail(call, IMAGINE_EPROTOCOL, "an answer without id");
        return;
    }
    imagine_call_task(call, id, (uint32_t)imagine_call_option_int(call, "predict", PREDICT_S));
    imagine_call_poll(call, poll_task);
}

static const char *task_url(imagine_call_t *call, const char *behind) {
    const char *id = imagine_call_escape(call, imagine_call_task_id(call));
    return imagine_call_url(
        call, imagine_call_printf(call, "/videos/%s%s", id != NULL ? id : "", behind));
}

static void poll_task(imagine_call_t *call) {
    imagine_call_request_t request = {.size = sizeof(request), .limit = IMAGINE_LIMIT_STATUS};
    request.url = task_url(call, "");
    imagine_call_http(call, &request, on_polled);
}

/* Taken on and paid for with this token: whatever the reason, no other one tries. */
static void fail_task(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *code = imagine_response_string(response, "error.code");
    const char *message = imagine_response_string(response, "error.message");
    bool is_content = code != NULL && (strstr(code, "moderation") != NULL ||
                                       strstr(code, "content_policy") != NULL);
    imagine_call_fail(call, is_content ? IMAGINE_ECONTENT : IMAGINE_EUPSTREAM,
                      message != NULL ? message : "the task failed without a reason");
}

static void on_polled(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *status = imagine_response_string(response, "status");
    double percent;
    if (is_text(status, "completed")) {
        download(call);
    } else if (is_text(status, "failed") || is_text(status, "cancelled")) {
        fail_task(call, response);
    } else { /* an odd answer, too: no verdict on what is paid for */
        if (imagine_response_number(response, "progress", &percent) != 0)
            imagine_call_progress(call, percent / 100, 0);
        imagine_call_poll(call, poll_task);
    }
}

static void download(imagine_call_t *call) {
    imagine_call_request_t request = {.size = sizeof(request), .limit = IMAGINE_LIMIT_DOWNLOAD};
    request.url = task_url(call, "/content");
    imagine_call_http(call, &request, on_downloaded);
}

static void on_downloaded(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *type = imagine_response_header(response, "content-type");
    imagine_result_t result = {.size = sizeof(result)};
    if (response->body_size == 0 ||
        (type != NULL && (strncmp(type, "text/", 5) == 0 || strstr(type, "json") != NULL))) {
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "a finished task without a video");
        return;
    }
    result.url = imagine_response_body_data_url(response, "video/mp4");
    imagine_call_succeed(call, &result);
}

const imagine_provider_t imi_provider_openai = {
    .size = sizeof(imi_provider_openai),
    .name = "openai",
    .generate = generate,
    .edit = edit,
    .text = text,
    .video = video,
    .resume = poll_task,
};

/* Any other server of that interface: those at home want no token. */
const imagine_provider_t imi_kind_openai = {
    .size = sizeof(imi_kind_openai),
    .name = "openai",
    .flags = IMAGINE_PROVIDER_TOKEN_OPTIONAL,
    .generate = generate,
    .edit = edit,
    .text = text,
    .video = video,
    .resume = poll_task,
};
