/* grok.c: Grok (xAI). Everything is JSON, pictures that go in too: as the caller's address, or as a
 * data: URL. A video is a task:
 *   1. POST /videos/generations  -> request_id
 *   2. GET /videos/{request_id}  -> status "done" and video.url; 202 with next to nothing: pending
 */
#include "providers/builtin.h"

#include <string.h>

#include "providers/openai_compat.h"

#define PREDICT_S 120 /* what a video usually takes, for a catalogue that does not say */
#define DURATION_S 5

static void put_count(imagine_call_t *call, imagine_body_t *body) {
    if (imagine_call_params(call)->count > 1)
        imagine_body_put_int(body, "n", imagine_call_params(call)->count);
}

static void generate(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imagine_call_request_t request = {.size = sizeof(request)};
    imagine_body_t *body = imagine_body_json(call);
    imagine_body_put_text(body, "model", imagine_call_model(call));
    imagine_body_put_text(body, "prompt", params->prompt);
    put_count(call, body);
    imagine_body_put_text(body, "aspect_ratio", params->ar);
    request.url = imagine_call_url(call, "/images/generations");
    request.body = body;
    imagine_call_http(call, &request, imi_openai_compat_on_pictured);
}

static void put_picture(imagine_call_t *call, imagine_body_t *body, const char *name,
                        size_t index) {
    imagine_body_open_object(body, name);
    imagine_body_put_text(body, "url", imagine_call_image_url(call, index));
    imagine_body_put_text(body, "type", "image_url");
    imagine_body_close(body);
}

static void edit(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imagine_call_request_t request = {.size = sizeof(request)};
    imagine_body_t *body = imagine_body_json(call);
    imagine_body_put_text(body, "model", imagine_call_model(call));
    imagine_body_put_text(body, "prompt", params->prompt);
    put_count(call, body);
    if (params->image_count == 1) {
        put_picture(call, body, "image", 0);
    } else {
        imagine_body_open_array(body, "images");
        for (size_t i = 0; i < params->image_count; i++)
            put_picture(call, body, NULL, i);
        imagine_body_close(body);
    }
    request.url = imagine_call_url(call, "/images/edits");
    request.body = body;
    imagine_call_http(call, &request, imi_openai_compat_on_pictured);
}

static void text(imagine_call_t *call) {
    imi_openai_compat_text(call, imagine_call_url(call, "/chat/completions"), IMAGINE_AUTH_BEARER,
                           imi_openai_compat_on_written);
}

/* ---- video: a task -----------------------------------------------------------------------------
 */

static void on_created(imagine_call_t *call, const imagine_http_response_t *response);
static void poll_video(imagine_call_t *call);
static void on_polled(imagine_call_t *call, const imagine_http_response_t *response);

static void video(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imagine_call_request_t request = {.size = sizeof(request), .limit = IMAGINE_LIMIT_TEXT};
    imagine_body_t *body = imagine_body_json(call);
    imagine_body_put_text(body, "model", imagine_call_model(call));
    imagine_body_put_text(body, "prompt", params->prompt);
    imagine_body_put_number(body, "duration",
                            params->duration_s > 0 ? params->duration_s : DURATION_S);
    if (params->image_count > 0) {
        imagine_body_open_object(body, "image");
        imagine_body_put_text(body, "url", imagine_call_image_url(call, 0));
        imagine_body_close(body);
    }
    request.url = imagine_call_url(call, "/videos/generations");
    request.body = body;
    imagine_call_http(call, &request, on_created);
}

static void on_created(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *id = imagine_response_string(response, "request_id");
    if (id == NULL) {
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "an answer without request_id");
        return;
    }
    imagine_call_task(call, id, (uint32_t)imagine_call_option_int(call, "predict", PREDICT_S));
    imagine_call_poll(call, poll_video);
}

static void poll_video(imagine_call_t *call) {
    imagine_call_request_t request = {.size = sizeof(request), .limit = IMAGINE_LIMIT_STATUS};
    const char *id = imagine_call_escape(call, imagine_call_task_id(call));
    request.url = imagine_call_url(call, imagine_call_concat(call, "/videos/", id));
    imagine_call_http(call, &request, on_polled);
}

static const char *reason_of(const imagine_http_response_t *response) {
    static const char *const paths[] = {"error.message", "error", "message"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        const char *reason = imagine_response_string(response, paths[i]);
        if (reason != NULL)
            return reason;
    }
    return "the video failed without a reason";
}

static void on_polled(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *status = imagine_response_string(response, "status");
    imagine_result_t result = {.size = sizeof(result)};
    double percent;
    result.url = imagine_response_string(response, "video.url");
    if (response->status == 200 && result.url != NULL &&
        (status == NULL || strcmp(status, "done") == 0)) {
        imagine_call_succeed(call, &result);
        return;
    }
    if (status != NULL && strcmp(status, "done") == 0) {
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "a finished video without video.url");
        return;
    }
    if (status != NULL && (strcmp(status, "failed") == 0 || strcmp(status, "error") == 0 ||
                           strcmp(status, "expired") == 0)) {
        imagine_call_fail(call, IMAGINE_EUPSTREAM, reason_of(response));
        return;
    }
    if (imagine_response_number(response, "progress", &percent))
        imagine_call_progress(call, percent / 100, 0);
    imagine_call_poll(call, poll_video);
}

const imagine_provider_t imi_provider_grok = {
    .size = sizeof(imi_provider_grok),
    .name = "grok",
    .generate = generate,
    .edit = edit,
    .text = text,
    .video = video,
    .resume = poll_video,
};
