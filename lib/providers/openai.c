/* openai.c: OpenAI, and whatever server speaks as it does (a catalogue's provider of this kind).
 * The catalogue says where they differ: "text_api": "responses" or, by default, "chat". pictures
 * POST /images/generations, multipart /images/edits -> data[].b64_json text      POST /responses ->
 * output[].content[].text, in pieces as response.output_text.delta video     multipart POST /videos
 * -> id; GET /videos/{id}; its bytes at /videos/{id}/content */
#include "providers/builtin.h"

#include <stdbool.h>
#include <string.h>

#include "providers/openai_compat.h"

#define PREDICT_S 300 /* what a video usually takes, for a catalogue that does not say */
#define SIDE_STEP 16  /* gpt-image-2: multiples of it, up to 3840x2160, within 1:3 … 3:1 */
#define SIDE_MAX 3840
#define PIXELS_MAX (3840u * 2160u)

/* ---- pictures ----------------------------------------------------------------------------------
 */

/* Of the three sizes that all image models know the one whose shape fits. */
static const char *size_by_shape(const imagine_params_t *params) {
    if (params->width > params->height)
        return "1536x1024";
    return params->width < params->height ? "1024x1536" : "1024x1024";
}

/* A size in pixels is for models that take any: option "any_size". */
static const char *picture_size(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    uint32_t width = params->width / SIDE_STEP * SIDE_STEP;
    uint32_t height = params->height / SIDE_STEP * SIDE_STEP;
    bool fits = width > 0 && height > 0 && width <= SIDE_MAX && height <= SIDE_MAX &&
                width <= 3 * height && height <= 3 * width &&
                (uint64_t)width * height <= PIXELS_MAX;
    if (params->width == 0 || params->height == 0)
        return NULL;
    if (params->ar == NULL && fits && imagine_call_option(call, "any_size") != NULL)
        return imagine_call_printf(call, "%ux%u", width, height);
    return size_by_shape(params);
}

static void generate(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imagine_call_request_t request = {.size = sizeof(request)};
    imagine_body_t *body = imagine_body_json(call);
    imagine_body_put_text(body, "model", imagine_call_model(call));
    imagine_body_put_text(body, "prompt", params->prompt);
    imagine_body_put_int(body, "n", params->count);
    imagine_body_put_text(body, "size", picture_size(call));
    request.url = imagine_call_url(call, "/images/generations");
    request.body = body;
    imagine_call_http(call, &request, imi_openai_compat_on_pictured);
}

static void edit(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imagine_call_request_t request = {.size = sizeof(request)};
    imagine_body_t *body = imagine_body_multipart(call);
    imagine_body_put_text(body, "model", imagine_call_model(call));
    imagine_body_put_text(body, "prompt", params->prompt);
    if (params->count > 1)
        imagine_body_put_int(body, "n", params->count);
    for (size_t i = 0; i < params->image_count; i++)
        imagine_body_put_image(body, "image[]", imagine_call_image(call, i));
    request.url = imagine_call_url(call, "/images/edits");
    request.body = body;
    imagine_call_http(call, &request, imi_openai_compat_on_pictured);
}

/* ---- text: the Responses API -------------------------------------------------------------------
 */

static void on_written(imagine_call_t *call, const imagine_http_response_t *response);
static void on_piece(imagine_call_t *call, const char *name, const imagine_http_response_t *data);
static void on_stream_ended(imagine_call_t *call, const imagine_http_response_t *response);

static void respond(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imagine_call_request_t request = {.size = sizeof(request), .limit = IMAGINE_LIMIT_TEXT};
    imagine_body_t *body = imagine_body_json(call);
    imagine_body_put_text(body, "model", imagine_call_model(call));
    imagine_body_put_text(body, "instructions", imagine_call_option(call, "instruction"));
    imagine_body_put_text(body, "input", params->prompt);
    imagine_body_put_bool(body, "stream", imagine_call_wants_pieces(call));
    if (params->has_temperature)
        imagine_body_put_number(body, "temperature", params->temperature);
    if (params->max_tokens != 0)
        imagine_body_put_int(body, "max_output_tokens", params->max_tokens);
    request.url = imagine_call_url(call, "/responses");
    request.body = body;
    if (imagine_call_wants_pieces(call))
        imagine_call_events(call, &request, on_piece, on_stream_ended);
    else
        imagine_call_http(call, &request, on_written);
}

static void text(imagine_call_t *call) {
    const char *api = imagine_call_option(call, "text_api");
    if (api != NULL && strcmp(api, "responses") == 0)
        respond(call);
    else
        imi_openai_compat_text(call, imagine_call_url(call, "/chat/completions"),
                               IMAGINE_AUTH_BEARER, imi_openai_compat_on_written);
}

/* All pieces of type output_text, one after the other: reasoning and tools stand between them. */
static const char *text_of(imagine_call_t *call, const imagine_http_response_t *response) {
    size_t output_count = imagine_response_count(response, "output");
    const char *whole = "";
    for (size_t i = 0; i < output_count && whole != NULL; i++) {
        const char *path = imagine_call_printf(call, "output[%zu].content", i);
        size_t piece_count = path != NULL ? imagine_response_count(response, path) : 0;
        for (size_t j = 0; j < piece_count && whole != NULL; j++) {
            const char *type = imagine_response_string(
                response, imagine_call_printf(call, "output[%zu].content[%zu].type", i, j));
            const char *piece = imagine_response_string(
                response, imagine_call_printf(call, "output[%zu].content[%zu].text", i, j));
            if (piece != NULL && (type == NULL || strcmp(type, "output_text") == 0))
                whole = imagine_call_concat(call, whole, piece);
        }
    }
    return whole;
}

static void fail_with(imagine_call_t *call, const imagine_http_response_t *response,
                      const char *path) {
    const char *reason = imagine_response_string(response, path);
    imagine_call_fail(call, IMAGINE_EUPSTREAM,
                      reason != NULL ? reason : "the answer failed without a reason");
}

static void on_written(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *status = imagine_response_string(response, "status");
    imagine_result_t result = {.size = sizeof(result)};
    if (status != NULL && strcmp(status, "failed") == 0) {
        fail_with(call, response, "error.message");
        return;
    }
    if (imagine_response_json(response, "output") == NULL) {
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "an answer without output");
        return;
    }
    result.text = text_of(call, response);
    if (result.text != NULL && result.text[strspn(result.text, " \t\r\n")] == '\0')
        result.text = imagine_call_params(call)->prompt;
    result.usage_json = imagine_response_json(response, "usage");
    imagine_call_succeed(call, &result);
}

static void on_piece(imagine_call_t *call, const char *name, const imagine_http_response_t *data) {
    imagine_result_t result = {.size = sizeof(result)};
    if (strcmp(name, "response.output_text.delta") == 0) {
        imagine_call_delta_at(call, data, "delta");
    } else if (strcmp(name, "response.completed") == 0 ||
               strcmp(name, "response.incomplete") == 0) {
        result.text = imagine_call_params(call)->prompt; /* counts only if nothing was written */
        imagine_call_succeed(call, &result);
    } else if (strcmp(name, "response.failed") == 0) {
        fail_with(call, data, "response.error.message");
    } else if (strcmp(name, "error") == 0) {
        imagine_call_fail_response(call, data, 0);
    }
}

static void on_stream_ended(imagine_call_t *call, const imagine_http_response_t *response) {
    imi_openai_compat_end_stream(call, response, on_written);
}

/* ---- video: a task -----------------------------------------------------------------------------
 */

static void on_created(imagine_call_t *call, const imagine_http_response_t *response);
static void poll_video(imagine_call_t *call);
static void on_polled(imagine_call_t *call, const imagine_http_response_t *response);
static void on_content(imagine_call_t *call, const imagine_http_response_t *response);

/* Sora makes 4, 8 or 12 seconds. */
static const char *seconds_of(const imagine_params_t *params) {
    if (params->duration_s <= 0)
        return "8";
    return params->duration_s <= 4 ? "4" : params->duration_s <= 8 ? "8" : "12";
}

static void video(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imagine_call_request_t request = {.size = sizeof(request), .limit = IMAGINE_LIMIT_TEXT};
    imagine_body_t *body = imagine_body_multipart(call);
    imagine_body_put_text(body, "model", imagine_call_model(call));
    imagine_body_put_text(body, "prompt", params->prompt);
    imagine_body_put_text(body, "size", params->height > params->width ? "720x1280" : "1280x720");
    imagine_body_put_text(body, "seconds", seconds_of(params));
    if (params->image_count > 0)
        imagine_body_put_image(body, "input_reference", imagine_call_image(call, 0));
    request.url = imagine_call_url(call, "/videos");
    request.body = body;
    imagine_call_http(call, &request, on_created);
}

static void on_created(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *id = imagine_response_string(response, "id");
    if (id == NULL) {
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "an answer without id");
        return;
    }
    imagine_call_task(call, id, (uint32_t)imagine_call_option_int(call, "predict", PREDICT_S));
    imagine_call_poll(call, poll_video);
}

static const char *video_url(imagine_call_t *call, const char *rest) {
    const char *id = imagine_call_escape(call, imagine_call_task_id(call));
    return imagine_call_url(
        call, imagine_call_concat(call, imagine_call_concat(call, "/videos/", id), rest));
}

static void poll_video(imagine_call_t *call) {
    imagine_call_request_t request = {.size = sizeof(request), .limit = IMAGINE_LIMIT_STATUS};
    request.url = video_url(call, "");
    imagine_call_http(call, &request, on_polled);
}

static void on_polled(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *status = imagine_response_string(response, "status");
    imagine_call_request_t request = {.size = sizeof(request), .limit = IMAGINE_LIMIT_DOWNLOAD};
    double percent;
    if (status != NULL && strcmp(status, "completed") == 0) {
        request.url = video_url(call, "/content");
        imagine_call_http(call, &request, on_content);
        return;
    }
    if (status != NULL && (strcmp(status, "failed") == 0 || strcmp(status, "cancelled") == 0)) {
        const char *reason = imagine_response_string(response, "error.message");
        imagine_call_fail(call, IMAGINE_EUPSTREAM,
                          reason != NULL ? reason : "the video failed without a reason");
        return;
    }
    if (imagine_response_number(response, "progress", &percent))
        imagine_call_progress(call, percent / 100, 0);
    imagine_call_poll(call, poll_video);
}

static void on_content(imagine_call_t *call, const imagine_http_response_t *response) {
    imagine_result_t result = {.size = sizeof(result)};
    if (response->body_size == 0) {
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "a video without bytes");
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
    .resume = poll_video,
};

/* Any server that speaks as OpenAI does; those at home want no token. */
const imagine_provider_t imi_kind_openai = {
    .size = sizeof(imi_kind_openai),
    .name = "openai",
    .flags = IMAGINE_PROVIDER_TOKEN_OPTIONAL,
    .generate = generate,
    .edit = edit,
    .text = text,
    .video = video,
    .resume = poll_video,
};
