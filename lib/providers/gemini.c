/* gemini.c: Google's Gemini API. Pictures and texts are one question, a video is a task:
 *   POST /models/{id}:generateContent        -> candidates[0].content.parts[]: text, inlineData
 *   POST /models/{id}:streamGenerateContent  -> the same in events, each with the next of a text
 *   POST /models/{id}:predictLongRunning     -> name: the path of an operation, with slashes
 *   GET  /{name}, again and again            -> done, with an error or the video's address
 *   GET  that address                        -> its bytes
 * A refusal is a 200 without content: finishReason tells why, of a prompt that was not let in
 * promptFeedback.blockReason. The token goes in a header of Gemini's own. */
#include "providers/builtin.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "providers/nearest.h"
#include "providers/picture_size.h"

#define PARTS_MAX 256      /* of an answer that are looked at */
#define PREDICT_S 120      /* what a video usually takes, for a catalogue that does not say */
#define INVALID_ARGUMENT 3 /* google.rpc.Code: the request's fault */
/* The path of an operation. Anything else in it would lead elsewhere. */
#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./"

/* ---- asking -----------------------------------------------------------------------------------
 */

static const char *model_url(imagine_call_t *call, const char *verb) {
    const char *model = imagine_call_escape(call, imagine_call_model(call));
    return imagine_call_url(call, imagine_call_printf(call, "/models/%s:%s", model, verb));
}

/* The request with the token in it, for as long as `key` lives. */
static imagine_call_request_t with_key(imagine_call_t *call, imagine_header_t *key) {
    imagine_call_request_t request = {.size = sizeof(request)};
    *key = (imagine_header_t){"x-goog-api-key", imagine_call_token(call)};
    request.auth = IMAGINE_AUTH_NONE;
    request.headers = key;
    request.header_count = 1;
    return request;
}

static void ask(imagine_call_t *call, const char *url, imagine_body_t *body,
                imagine_response_cb on_response) {
    imagine_header_t key;
    imagine_call_request_t request = with_key(call, &key);
    request.url = url;
    request.body = body;
    request.has_json_pictures = 1;
    imagine_call_http(call, &request, on_response);
}

static void put_text_part(imagine_body_t *body, const char *text) {
    imagine_body_open_object(body, NULL);
    imagine_body_put_text(body, "text", text);
    imagine_body_close(body);
}

/* What every question begins with: our instruction, the prompt and all pictures. */
static imagine_body_t *question(imagine_call_t *call, const char *instruction) {
    const imagine_params_t *params = imagine_call_params(call);
    imagine_body_t *body = imagine_body_json(call);
    if (instruction != NULL) {
        imagine_body_open_object(body, "systemInstruction");
        imagine_body_open_array(body, "parts");
        put_text_part(body, instruction);
        imagine_body_close(body);
        imagine_body_close(body);
    }
    imagine_body_open_array(body, "contents");
    imagine_body_open_object(body, NULL);
    imagine_body_open_array(body, "parts");
    put_text_part(body, params->prompt);
    for (size_t i = 0; i < params->image_count; i++) {
        const imagine_image_t *image = imagine_call_image(call, i);
        imagine_body_open_object(body, NULL);
        imagine_body_open_object(body, "inline_data");
        imagine_body_put_text(body, "mime_type", image->mime);
        imagine_body_put_base64(body, "data", NULL, image);
        imagine_body_close(body);
        imagine_body_close(body);
    }
    imagine_body_close(body);
    imagine_body_close(body);
    imagine_body_close(body);
    return body;
}

/* The one of the catalogue's "ratios" that is nearest to the size; NULL: the caller wants none. */
static const char *aspect_ratio(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imi_size_t size = {params->width, params->height};
    return size.width != 0 && size.height != 0 ? imi_nearest_shape(call, "ratios", size) : NULL;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static const char *part_path(imagine_call_t *call, size_t index, const char *member) {
    return imagine_call_printf(call, "candidates[0].content.parts[%zu].%s", index, member);
}

static size_t part_count(const imagine_http_response_t *response) {
    size_t count = imagine_response_count(response, "candidates[0].content.parts");
    return count < PARTS_MAX ? count : PARTS_MAX;
}

static bool is_true(const char *json) {
    return json != NULL && strcmp(json, "true") == 0;
}

/* Models that think may show how: that is neither the text nor the picture. */
static bool is_thought(imagine_call_t *call, const imagine_http_response_t *response,
                       size_t index) {
    return is_true(imagine_response_json(response, part_path(call, index, "thought")));
}

static const char *text_of_part(imagine_call_t *call, const imagine_http_response_t *response,
                                size_t index) {
    return is_thought(call, response, index)
               ? NULL
               : imagine_response_string(response, part_path(call, index, "text"));
}

/* All that the model said; NULL: nothing. */
static const char *text_of(imagine_call_t *call, const imagine_http_response_t *response) {
    size_t count = part_count(response);
    const char *all = NULL;
    for (size_t i = 0; i < count; i++) {
        const char *text = text_of_part(call, response, i);
        if (text != NULL)
            all = all != NULL ? imagine_call_concat(call, all, text) : text;
    }
    return all;
}

static bool is_blank(const char *text) {
    return text == NULL || text[strspn(text, " \t\r\n")] == '\0';
}

static const char *finish_reason(const imagine_http_response_t *response) {
    return imagine_response_string(response, "candidates[0].finishReason");
}

static bool is_regular(const char *finish) {
    return finish == NULL || strcmp(finish, "STOP") == 0 || strcmp(finish, "MAX_TOKENS") == 0;
}

/* Does a finishReason blame what was asked for, or what came of it? */
static bool blames_content(const char *finish) {
    static const char *const words[] = {"SAFETY", "PROHIBITED", "BLOCKLIST", "SPII", "RECITATION"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strstr(finish, words[i]) != NULL)
            return true;
    return false;
}

/* The end of an answer without what was asked for: the most telling reason that is in it. */
static void refuse(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *block = imagine_response_string(response, "promptFeedback.blockReason");
    const char *finish = finish_reason(response);
    const char *said =
        imagine_response_string(response, block != NULL ? "promptFeedback.blockReasonMessage"
                                                        : "candidates[0].finishMessage");
    if (block == NULL && is_blank(said))
        said = text_of(call, response);
    if (is_blank(said))
        said = "no reason was told";
    if (block != NULL)
        imagine_call_fail(
            call, IMAGINE_ECONTENT,
            imagine_call_printf(call, "the prompt was blocked (%s): %s", block, said));
    else if (finish != NULL)
        imagine_call_fail(call, blames_content(finish) ? IMAGINE_ECONTENT : IMAGINE_EREJECTED,
                          imagine_call_printf(call, "the model refused (%s): %s", finish, said));
    else if (imagine_response_json(response, "error") != NULL)
        imagine_call_fail_response(call, response, 0); /* a refusal dressed as a 200 */
    else
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "an answer without candidates[0].content");
}

/* ---- pictures ---------------------------------------------------------------------------------
 */

static void on_drawn(imagine_call_t *call, const imagine_http_response_t *response);

static void draw(imagine_call_t *call) {
    const char *ratio = aspect_ratio(call);
    imagine_body_t *body = question(call, imagine_call_option(call, "picture_instruction"));
    if (ratio != NULL) {
        imagine_body_open_object(body, "generationConfig");
        imagine_body_open_object(body, "imageConfig");
        imagine_body_put_text(body, "aspectRatio", ratio);
        imagine_body_close(body);
        imagine_body_close(body);
    }
    ask(call, model_url(call, "generateContent"), body, on_drawn);
}

static void on_drawn(imagine_call_t *call, const imagine_http_response_t *response) {
    imagine_result_t result = {.size = sizeof(result)};
    size_t count = part_count(response);
    for (size_t i = 0; i < count; i++) {
        const char *mime, *path;
        if (is_thought(call, response, i))
            continue;
        mime = imagine_response_string(response, part_path(call, i, "inlineData.mimeType"));
        path = part_path(call, i, "inlineData.data");
        result.url = imagine_response_data_url(response, path, mime);
        if (result.url == NULL)
            continue;
        /* A ratio was asked for; the pixels are the model's choice. */
        imi_picture_size_of_data_url(result.url, &result.width, &result.height);
        imagine_call_succeed(call, &result);
        return;
    }
    refuse(call, response);
}

/* ---- texts ------------------------------------------------------------------------------------
 */

typedef struct stream {
    bool has_begun, has_finished;
    const char *usage;
} stream_t;

static void on_written(imagine_call_t *call, const imagine_http_response_t *response);
static void on_event(imagine_call_t *call, const char *name, const imagine_http_response_t *event);
static void on_streamed(imagine_call_t *call, const imagine_http_response_t *response);

static void put_text_settings(imagine_call_t *call, imagine_body_t *body) {
    const imagine_params_t *params = imagine_call_params(call);
    if (params->has_temperature == 0 && params->max_tokens == 0)
        return;
    imagine_body_open_object(body, "generationConfig");
    if (params->has_temperature != 0)
        imagine_body_put_number(body, "temperature", params->temperature);
    if (params->max_tokens != 0)
        imagine_body_put_int(body, "maxOutputTokens", params->max_tokens);
    imagine_body_close(body);
}

static void text(imagine_call_t *call) {
    imagine_header_t key;
    imagine_call_request_t request = with_key(call, &key);
    stream_t *stream = imagine_call_alloc(call, sizeof(*stream));
    request.body = question(call, imagine_call_option(call, "instruction"));
    put_text_settings(call, request.body);
    imagine_call_set_state(call, stream);
    if (imagine_call_wants_pieces(call) != 0) {
        request.url = model_url(call, "streamGenerateContent?alt=sse");
        imagine_call_events(call, &request, on_event, on_streamed);
    } else {
        request.url = model_url(call, "generateContent");
        imagine_call_http(call, &request, on_written);
    }
}

static int64_t count_at(const imagine_http_response_t *response, const char *path) {
    double count = 0;
    return imagine_response_number(response, path, &count) != 0 && count > 0 && count < 1e15
               ? (int64_t)count
               : 0;
}

/* In the words of chat completions, as other providers tell it. What was thought is paid for as
 * what was said. */
static const char *usage_of(imagine_call_t *call, const imagine_http_response_t *response) {
    int64_t prompt = count_at(response, "usageMetadata.promptTokenCount");
    int64_t total = count_at(response, "usageMetadata.totalTokenCount");
    return total == 0
               ? NULL
               : imagine_call_printf(call,
                                     "{\"prompt_tokens\":%" PRId64 ",\"completion_tokens\":%" PRId64
                                     ",\"total_tokens\":%" PRId64 "}",
                                     prompt, total > prompt ? total - prompt : 0, total);
}

static void on_written(imagine_call_t *call, const imagine_http_response_t *response) {
    imagine_result_t result = {.size = sizeof(result)};
    if (imagine_response_json(response, "candidates[0]") == NULL ||
        !is_regular(finish_reason(response))) {
        refuse(call, response);
        return;
    }
    result.text = text_of(call, response);
    if (is_blank(result.text))
        result.text = imagine_call_params(call)->prompt;
    result.usage_json = usage_of(call, response);
    imagine_call_succeed(call, &result);
}

static void on_event(imagine_call_t *call, const char *name, const imagine_http_response_t *event) {
    stream_t *stream = imagine_call_state(call);
    const char *finish = finish_reason(event);
    size_t count = part_count(event);
    (void)name; /* they have none */
    stream->has_begun = true;
    for (size_t i = 0; i < count; i++) {
        const char *piece = text_of_part(call, event, i);
        if (piece != NULL)
            imagine_call_delta(call, piece, strlen(piece));
    }
    if (!is_regular(finish) || imagine_response_json(event, "error") != NULL ||
        imagine_response_json(event, "promptFeedback.blockReason") != NULL) {
        refuse(call, event);
        return;
    }
    stream->has_finished |= finish != NULL;
    if (finish != NULL)
        stream->usage = usage_of(call, event);
}

static void on_streamed(imagine_call_t *call, const imagine_http_response_t *response) {
    const stream_t *stream = imagine_call_state(call);
    imagine_result_t result = {.size = sizeof(result)};
    if (!stream->has_begun) { /* a whole answer instead of a stream */
        on_written(call, response);
        return;
    }
    if (!stream->has_finished) {
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "a stream that ended without finishReason");
        return;
    }
    result.text = imagine_call_params(call)->prompt; /* counts only if no piece came */
    result.usage_json = stream->usage;
    imagine_call_succeed(call, &result);
}

/* ---- video: a task ---------------------------------------------------------------------------
 */

static void on_created(imagine_call_t *call, const imagine_http_response_t *response);
static void poll_task(imagine_call_t *call);
static void on_polled(imagine_call_t *call, const imagine_http_response_t *response);
static void on_downloaded(imagine_call_t *call, const imagine_http_response_t *response);

static void video(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    const imagine_image_t *image = imagine_call_image(call, 0);
    imagine_body_t *body = imagine_body_json(call);
    imagine_body_open_array(body, "instances");
    imagine_body_open_object(body, NULL);
    imagine_body_put_text(body, "prompt", params->prompt);
    if (image != NULL) {
        imagine_body_open_object(body, "image");
        imagine_body_put_base64(body, "bytesBase64Encoded", NULL, image);
        imagine_body_put_text(body, "mimeType", image->mime);
        imagine_body_close(body);
    }
    imagine_body_close(body);
    imagine_body_close(body);
    imagine_body_open_object(body, "parameters");
    imagine_body_put_text(body, "aspectRatio", aspect_ratio(call));
    if (params->duration_s > 0)
        imagine_body_put_int(body, "durationSeconds",
                             imi_nearest_number(call, "durations", params->duration_s));
    imagine_body_put_text(body, "negativePrompt", params->negative_prompt);
    if (params->has_seed != 0)
        imagine_body_put_int(body, "seed", params->seed);
    imagine_body_close(body);
    ask(call, model_url(call, "predictLongRunning"), body, on_created);
}

static void on_created(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *name = imagine_response_string(response, "name");
    if (is_blank(name)) {
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "an answer without name");
        return;
    }
    imagine_call_task(call, name, (uint32_t)imagine_call_option_int(call, "predict", PREDICT_S));
    imagine_call_poll(call, poll_task);
}

static void poll_task(imagine_call_t *call) {
    const char *name = imagine_call_task_id(call);
    if (name[strspn(name, NAME_CHARACTERS)] != '\0' || strstr(name, "..") != NULL) {
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "an operation whose name is no path");
        return;
    }
    ask(call, imagine_call_url(call, name), NULL, on_polled);
}

static void download(imagine_call_t *call, const char *url) {
    imagine_header_t key;
    imagine_call_request_t request = with_key(call, &key);
    request.url = url;
    request.limit = IMAGINE_LIMIT_DOWNLOAD;
    if (imagine_call_is_own_address(call, url) == 0)
        request.header_count = 0;
    imagine_call_http(call, &request, on_downloaded);
}

/* The operation is over, and has brought no video. */
static void fail_operation(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *filtered = imagine_response_string(
        response, "response.generateVideoResponse.raiMediaFilteredReasons[0]");
    const char *message = imagine_response_string(response, "error.message");
    double code = 0;
    imagine_response_number(response, "error.code", &code);
    if (filtered != NULL)
        imagine_call_fail(call, IMAGINE_ECONTENT, filtered);
    else if (imagine_response_json(response, "error") != NULL)
        imagine_call_fail(call, code == INVALID_ARGUMENT ? IMAGINE_EREJECTED : IMAGINE_EUPSTREAM,
                          message != NULL ? message : "the operation failed without a reason");
    else
        imagine_call_fail(call, IMAGINE_EPROTOCOL,
                          "a finished operation without generatedSamples[0].video.uri");
}

static void on_polled(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *url = imagine_response_string(
        response, "response.generateVideoResponse.generatedSamples[0].video.uri");
    if (!is_true(imagine_response_json(response, "done")))
        imagine_call_poll(call, poll_task); /* an odd answer, too: no verdict on what is paid for */
    else if (url != NULL)
        download(call, url);
    else
        fail_operation(call, response);
}

static void on_downloaded(imagine_call_t *call, const imagine_http_response_t *response) {
    imagine_result_t result = {.size = sizeof(result)};
    const char *type = imagine_response_header(response, "content-type");
    if (response->body_size == 0 || (type != NULL && strncmp(type, "text/", 5) == 0)) {
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "the address of the video holds none");
        return;
    }
    result.url = imagine_response_body_data_url(response, "video/mp4");
    imagine_call_succeed(call, &result);
}

const imagine_provider_t imi_provider_gemini = {
    .size = sizeof(imi_provider_gemini),
    .name = "gemini",
    .generate = draw,
    .edit = draw,
    .text = text,
    .video = video,
    .resume = poll_task,
};
