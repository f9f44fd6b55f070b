/* gitee.c: Gitee AI, an OpenAI-like API. A video is a task:
 *   1. POST /async/videos/image-to-video -> task_id, which the caller gets at once
 *   2. GET task/{id}, again and again    -> status "success" and output.file_url
 * The status address lies beside the API's base, not under it: …/v1 becomes …/api/v1/task/{id}. */
#include "providers/builtin.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "providers/openai_compat.h"

#define FRAMES_PER_SECOND 16
#define PREDICT_S 400 /* what a video usually takes, for a catalogue that does not say */

static void on_pictured(imagine_call_t *call, const imagine_http_response_t *response);

static void generate(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imagine_call_request_t request = {.size = sizeof(request)};
    imagine_body_t *body = imagine_body_json(call);
    imagine_body_put_text(body, "prompt", params->prompt);
    imagine_body_put_text(body, "model", imagine_call_model(call));
    imagine_body_put_int(body, "width", params->width);
    imagine_body_put_int(body, "height", params->height);
    imagine_body_put_int(body, "seed", params->seed);
    if (params->steps != 0)
        imagine_body_put_int(body, "num_inference_steps", params->steps);
    imagine_body_put_text(body, "response_format", "url");
    if (params->guidance > 0)
        imagine_body_put_number(body, "guidance_scale", params->guidance);
    request.url = imagine_call_url(call, "/images/generations");
    request.body = body;
    imagine_call_http(call, &request, on_pictured);
}

static void edit(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imagine_call_request_t request = {.size = sizeof(request)};
    imagine_body_t *body = imagine_body_multipart(call);
    imagine_body_put_text(body, "prompt", params->prompt);
    imagine_body_put_text(body, "model", imagine_call_model(call));
    if (params->steps != 0)
        imagine_body_put_int(body, "num_inference_steps", params->steps);
    if (params->guidance > 0)
        imagine_body_put_number(body, "cfg_scale", params->guidance);
    imagine_body_put_int(body, "seed", params->seed);
    imagine_body_put_text(body, "response_format", "url");
    imagine_body_put_text(body, "lora_weights", imagine_call_option(call, "lora_weights"));
    for (size_t i = 0; i < params->image_count; i++)
        imagine_body_put_image(body, "image", imagine_call_image(call, i));
    request.url = imagine_call_url(call, "/images/edits");
    request.body = body;
    imagine_call_http(call, &request, on_pictured);
}

static void on_pictured(imagine_call_t *call, const imagine_http_response_t *response) {
    imagine_result_t result = {.size = sizeof(result)};
    result.url = imagine_response_string(response, "data[0].url");
    if (result.url != NULL)
        imagine_call_succeed(call, &result);
    else
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "an answer without data[0].url");
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
    imagine_body_t *body = imagine_body_multipart(call);
    imagine_body_put_text(body, "image", imagine_call_image_url(call, 0));
    imagine_body_put_text(body, "prompt", params->prompt);
    imagine_body_put_text(body, "negative_prompt", params->negative_prompt);
    imagine_body_put_text(body, "model", imagine_call_model(call));
    if (params->steps != 0) {
        imagine_body_put_int(body, "num_inference_steps", params->steps);
        /* Seen in use with this spelling; which one Gitee reads is not known. */
        imagine_body_put_int(body, "num_inferenece_steps", params->steps);
    }
    imagine_body_put_int(body, "num_frames", llround(params->duration_s * FRAMES_PER_SECOND));
    if (params->guidance > 0)
        imagine_body_put_number(body, "guidance_scale", params->guidance);
    if (params->width != 0 && params->height != 0) {
        imagine_body_put_int(body, "height", params->height);
        imagine_body_put_int(body, "width", params->width);
    }
    request.url = imagine_call_url(call, "/async/videos/image-to-video");
    request.body = body;
    request.limit = IMAGINE_LIMIT_TEXT;
    imagine_call_http(call, &request, on_created);
}

static void on_created(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *task_id = imagine_response_string(response, "task_id");
    if (task_id == NULL) {
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "an answer without task_id");
        return;
    }
    imagine_call_task(call, task_id, (uint32_t)imagine_call_option_int(call, "predict", PREDICT_S));
    imagine_call_poll(call, poll_task);
}

/* "https://ai.gitee.com/v1" has its tasks under "https://ai.gitee.com/api/v1". */
static const char *task_base(imagine_call_t *call) {
    const char *base = imagine_call_option(call, "task_base");
    size_t root_size;
    if (base != NULL)
        return base;
    base = imagine_call_api_base(call);
    root_size = strlen(base);
    if (root_size >= 3 && strcmp(base + root_size - 3, "/v1") == 0)
        root_size -= 3;
    return imagine_call_printf(call, "%.*s/api/v1", (int)root_size, base);
}

static void poll_task(imagine_call_t *call) {
    const char *base = task_base(call);
    const char *id = imagine_call_escape(call, imagine_call_task_id(call));
    imagine_call_request_t request = {.size = sizeof(request), .limit = IMAGINE_LIMIT_STATUS};
    if (base != NULL && id != NULL)
        request.url = imagine_call_printf(call, "%s/task/%s", base, id);
    imagine_call_http(call, &request, on_polled);
}

static void on_polled(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *status = imagine_response_string(response, "status");
    imagine_result_t result = {.size = sizeof(result)};
    const char *reason;
    if (status == NULL) { /* no verdict: one odd answer does not end a task that is paid for */
        imagine_call_poll(call, poll_task);
    } else if (strcmp(status, "success") == 0) {
        result.url = imagine_response_string(response, "output.file_url");
        if (result.url != NULL)
            imagine_call_succeed(call, &result);
        else
            imagine_call_fail(call, IMAGINE_EPROTOCOL, "a finished task without output.file_url");
    } else if (strcmp(status, "failure") == 0 || strcmp(status, "cancelled") == 0) {
        reason = imagine_response_string(response, "output.error");
        if (reason == NULL)
            reason = imagine_response_string(response, "output.message");
        imagine_call_fail(call, IMAGINE_EUPSTREAM,
                          reason != NULL ? reason : "the task failed without a reason");
    } else {
        imagine_call_poll(call, poll_task);
    }
}

const imagine_provider_t imi_provider_gitee = {
    .size = sizeof(imi_provider_gitee),
    .name = "gitee",
    .generate = generate,
    .edit = edit,
    .text = text,
    .video = video,
    .resume = poll_task,
};
