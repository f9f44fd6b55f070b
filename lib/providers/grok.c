/* grok.c: xAI. Pictures and texts are OpenAI's interface with ratios instead of sizes and JSON
 * throughout, a video is a task:
 *   POST /images/generations {model, prompt, n, aspect_ratio}  -> data[i].url, revised_prompt
 *   POST /images/edits {model, prompt, image or images}        -> the same
 *   POST /chat/completions                                     -> choices[0].message.content
 *   POST /videos/generations {model, prompt, duration, image}  -> request_id
 *   GET  /videos/{id}, again and again      -> 202, or status: done with video.url, failed, expired
 * Errors come as {"error":{"message"}}, as {"code", "error": "text"} with a sentence for a code,
 * and as {"error": "text"}: only their words tell some of them apart. */
#include "providers/builtin.h"

#include <stdbool.h>
#include <string.h>

#include "providers/nearest.h"
#include "providers/openai_compat.h"

#define PREDICT_S 120 /* what a video usually takes, for a catalogue that does not say */

/* ---- what went wrong --------------------------------------------------------------------------
 */

/* A word proves nothing where the prompt holds it too: the answer may quote it. */
static bool says(const imagine_call_t *call, const char *message, const char *words) {
    const char *prompt = imagine_call_params(call)->prompt;
    return message != NULL && strcasestr(message, words) != NULL &&
           (prompt == NULL || strcasestr(prompt, words) == NULL);
}

static bool blames_content(const imagine_call_t *call, const char *message) {
    return says(call, message, "moderation") || says(call, message, "usage guidelines");
}

/* A wrong token is a 400 here, and a text against the rules a 403. */
static void classify(imagine_call_t *call, const imagine_http_response_t *response,
                     imagine_verdict_t *verdict) {
    bool is_content = verdict->reason == IMAGINE_EREJECTED || verdict->reason == IMAGINE_EPLAN;
    (void)response;
    if (verdict->reason == IMAGINE_EREJECTED && says(call, verdict->message, "incorrect api key")) {
        verdict->reason = IMAGINE_ETOKEN;
    } else if (is_content && blames_content(call, verdict->message)) {
        verdict->reason = IMAGINE_ECONTENT;
        verdict->is_for_model = 0;
    }
}

/* ---- pictures and texts -----------------------------------------------------------------------
 */

static const char *aspect_ratio(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imi_size_t size = {params->width, params->height};
    return size.width != 0 && size.height != 0 ? imi_nearest_shape(call, "ratios", size) : NULL;
}

static void ask_pictures(imagine_call_t *call, const char *path, imagine_body_t *body) {
    imagine_call_request_t request = {.size = sizeof(request)};
    if (imagine_call_params(call)->count > 1)
        imagine_body_put_int(body, "n", imagine_call_params(call)->count);
    request.url = imagine_call_url(call, path);
    request.body = body;
    request.has_json_pictures = 1;
    imagine_call_http(call, &request, imi_openai_compat_on_pictured);
}

static imagine_body_t *question(imagine_call_t *call) {
    imagine_body_t *body = imagine_body_json(call);
    imagine_body_put_text(body, "model", imagine_call_model(call));
    imagine_body_put_text(body, "prompt", imagine_call_params(call)->prompt);
    return body;
}

static void generate(imagine_call_t *call) {
    imagine_body_t *body = question(call);
    imagine_body_put_text(body, "aspect_ratio", aspect_ratio(call));
    ask_pictures(call, "/images/generations", body);
}

/* The caller's address, else the picture itself. */
static void put_picture_url(imagine_call_t *call, imagine_body_t *body, size_t index) {
    const imagine_image_t *image = imagine_call_image(call, index);
    if (image->url != NULL)
        imagine_body_put_text(body, "url", image->url);
    else
        imagine_body_put_base64(body, "url",
                                imagine_call_printf(call, "data:%s;base64,", image->mime), image);
}

static void put_picture(imagine_call_t *call, imagine_body_t *body, const char *name,
                        size_t index) {
    imagine_body_open_object(body, name);
    put_picture_url(call, body, index);
    imagine_body_put_text(body, "type", "image_url");
    imagine_body_close(body);
}

static void edit(imagine_call_t *call) {
    size_t count = imagine_call_params(call)->image_count;
    imagine_body_t *body = question(call);
    if (count == 1) {
        put_picture(call, body, "image", 0);
    } else {
        imagine_body_open_array(body, "images");
        for (size_t i = 0; i < count; i++)
            put_picture(call, body, NULL, i);
        imagine_body_close(body);
    }
    ask_pictures(call, "/images/edits", body);
}

static void text(imagine_call_t *call) {
    imi_openai_compat_text(call, imagine_call_url(call, "/chat/completions"), IMAGINE_AUTH_BEARER,
                           imi_openai_compat_on_written);
}

/* ---- video: a task ---------------------------------------------------------------------------
 */

static void on_created(imagine_call_t *call, const imagine_http_response_t *response);
static void poll_task(imagine_call_t *call);
static void on_polled(imagine_call_t *call, const imagine_http_response_t *response);

static void video(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imagine_call_request_t request = {.size = sizeof(request)};
    imagine_body_t *body = question(call);
    if (params->duration_s > 0)
        imagine_body_put_int(body, "duration",
                             imi_nearest_number(call, "durations", params->duration_s));
    imagine_body_put_text(body, "aspect_ratio", aspect_ratio(call));
    if (params->image_count > 0) {
        imagine_body_open_object(body, "image");
        put_picture_url(call, body, 0);
        imagine_body_close(body);
    }
    request.url = imagine_call_url(call, "/videos/generations");
    request.body = body;
    imagine_call_http(call, &request, on_created);
}

static void on_created(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *id = imagine_response_string(response, "request_id");
    if (imi_openai_compat_is_blank(id)) {
        if (imi_openai_compat_has_error(response))
            imagine_call_fail_response(call, response, 0);
        else
            imagine_call_fail(call, IMAGINE_EPROTOCOL, "an answer without request_id");
        return;
    }
    imagine_call_task(call, id, (uint32_t)imagine_call_option_int(call, "predict", PREDICT_S));
    imagine_call_poll(call, poll_task);
}

static void poll_task(imagine_call_t *call) {
    const char *id = imagine_call_escape(call, imagine_call_task_id(call));
    imagine_call_request_t request = {.size = sizeof(request), .limit = IMAGINE_LIMIT_STATUS};
    request.url = imagine_call_url(call, imagine_call_concat(call, "/videos/", id));
    imagine_call_http(call, &request, on_polled);
}

static bool is_one_of(const char *status, const char *const words[], size_t count) {
    for (size_t i = 0; status != NULL && i < count; i++)
        if (strcmp(status, words[i]) == 0)
            return true;
    return false;
}

/* Taken on and paid for with this token: whatever the reason, no other one tries. */
static void fail_task(imagine_call_t *call, const imagine_http_response_t *response,
                      const char *status) {
    const char *message = imagine_response_string(response, "error.message");
    if (message == NULL)
        message = imagine_response_string(response, "error");
    if (message == NULL)
        message = status != NULL && strcmp(status, "expired") == 0
                      ? "the video has expired"
                      : "the task failed without a reason";
    imagine_call_fail(call, blames_content(call, message) ? IMAGINE_ECONTENT : IMAGINE_EUPSTREAM,
                      message);
}

static void finish_task(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *is_fit = imagine_response_json(response, "video.respect_moderation");
    imagine_result_t result = {.size = sizeof(result)};
    result.url = imagine_response_string(response, "video.url");
    if (!imi_openai_compat_is_blank(result.url))
        imagine_call_succeed(call, &result);
    else if (is_fit != NULL && strcmp(is_fit, "false") == 0)
        imagine_call_fail(call, IMAGINE_ECONTENT, "the video was withheld by xAI's moderation");
    else
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "a finished task without video.url");
}

static void on_polled(imagine_call_t *call, const imagine_http_response_t *response) {
    static const char *const failures[] = {"failed", "error", "expired"};
    const char *status = imagine_response_string(response, "status");
    double percent;
    if (status != NULL && strcmp(status, "done") == 0) {
        finish_task(call, response);
    } else if (is_one_of(status, failures, sizeof(failures) / sizeof(failures[0])) ||
               (status == NULL && imi_openai_compat_has_error(response))) {
        fail_task(call, response, status);
    } else { /* 202, mostly without a word; an odd answer is no verdict on what is paid for */
        if (imagine_response_number(response, "progress", &percent) != 0)
            imagine_call_progress(call, percent / 100, 0);
        imagine_call_poll(call, poll_task);
    }
}

const imagine_provider_t imi_provider_grok = {
    .size = sizeof(imi_provider_grok),
    .name = "grok",
    .generate = generate,
    .edit = edit,
    .text = text,
    .video = video,
    .resume = poll_task,
    .classify = classify,
};
