/* modelscope.c: ModelScope. A picture is made in the background, but quickly, so that the call
 * waits for it:
 *   1. POST /images/generations, header X-ModelScope-Async-Mode -> task_id
 *   2. GET  /tasks/{id}, again and again -> task_status: SUCCEED with output_images[0], FAILED, or
 *      neither, which means wait
 * Every answer tells in its headers what is left of the account's and of the model's quota: at 0
 * the token is set aside without waiting for a refusal. */
#include "providers/builtin.h"

#include <stdbool.h>
#include <string.h>

#include "providers/gradio.h"
#include "providers/openai_compat.h"
#include "wire/ratio.h"

/* Five minutes of polls that are 5 s apart, as they are but for the first few. */
#define FAMILIES_MAX 8
#define POLLS_MAX 60

typedef struct job {
    imi_gradio_upload_t upload; /* first: the upload leaves itself as the call's state */
    imi_size_t size;
    uint32_t poll_count;
} job_t;

static void create(imagine_call_t *call);
static void on_created(imagine_call_t *call, const imagine_http_response_t *response);
static void poll_task(imagine_call_t *call);
static void on_polled(imagine_call_t *call, const imagine_http_response_t *response);

static bool is_zero(const char *value) {
    return value != NULL && strcmp(value, "0") == 0;
}

static bool account_is_spent(const imagine_http_response_t *response) {
    return is_zero(imagine_response_header(response, "modelscope-ratelimit-requests-remaining"));
}

static bool model_is_spent(const imagine_http_response_t *response) {
    return is_zero(
        imagine_response_header(response, "modelscope-ratelimit-model-requests-remaining"));
}

static void note_quota(imagine_call_t *call, const imagine_http_response_t *response) {
    if (account_is_spent(response))
        imagine_call_spent(call, 0);
    else if (model_is_spent(response))
        imagine_call_spent(call, 1);
}

/* A 429 with nothing left is no matter of seconds. */
static void classify(imagine_call_t *call, const imagine_http_response_t *response,
                     imagine_verdict_t *verdict) {
    note_quota(call, response);
    if (verdict->reason != IMAGINE_ERATE)
        return;
    if (account_is_spent(response) || model_is_spent(response)) {
        verdict->reason = IMAGINE_EQUOTA;
        verdict->is_for_model = !account_is_spent(response);
        verdict->retry_after_ms = 0;
    }
}

/* ---- pictures ---------------------------------------------------------------------------------
 */

/* The largest side: the family's by a word in the model's name, so that it holds for models that
 * the catalogue lacks, too. */
static uint32_t side_max(imagine_call_t *call) {
    for (int i = 0; i < FAMILIES_MAX; i++) {
        const char *word =
            imagine_call_option(call, imagine_call_printf(call, "families[%d].word", i));
        if (word == NULL)
            break;
        if (strcasestr(imagine_call_model(call), word) != NULL)
            return (uint32_t)imagine_call_option_int(
                call, imagine_call_printf(call, "families[%d].side_max", i), 2048);
    }
    return (uint32_t)imagine_call_option_int(call, "side_max", 2048);
}

static job_t *job_new(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    job_t *job = imagine_call_alloc(call, sizeof(*job));
    if (job == NULL) {
        imagine_call_fail(call, IMAGINE_ENOMEM, "out of memory");
        return NULL;
    }
    if (params->width != 0 && params->height != 0)
        job->size =
            imi_size_clamp((imi_size_t){params->width, params->height},
                           (uint32_t)imagine_call_option_int(call, "side_min", 64), side_max(call));
    imagine_call_set_state(call, job);
    return job;
}

static void generate(imagine_call_t *call) {
    if (job_new(call) != NULL)
        create(call);
}

/* A picture travels as its address, a hosted one where it has none, or inside the body. A
 * stranger's public Space gets it only where the operator said so. */
static void edit(imagine_call_t *call) {
    const char *is_allowed = imagine_call_option(call, "allow_space_upload");
    const char *space = imagine_call_option(call, "upload_space");
    job_t *job = job_new(call);
    if (job == NULL)
        return;
    if (space == NULL || is_allowed == NULL || strcmp(is_allowed, "true") != 0) {
        imagine_call_host_images(call, create);
        return;
    }
    /* The Space is another host: the token is not for it. */
    job->upload = (imi_gradio_upload_t){.space = space, .auth = IMAGINE_AUTH_NONE, .next = create};
    imi_gradio_upload(call, &job->upload);
}

static const char *picture_address(imagine_call_t *call, const job_t *job, size_t index) {
    if (job->upload.count == 0)
        return imagine_call_image_url(call, index);
    if (imagine_call_image(call, index)->url != NULL)
        return job->upload.paths[index];
    return imagine_call_printf(call, "%s/gradio_api/file=%s", job->upload.space,
                               job->upload.paths[index]);
}

static void create(imagine_call_t *call) {
    static const imagine_header_t async_mode = {"X-ModelScope-Async-Mode", "true"};
    const imagine_params_t *params = imagine_call_params(call);
    const job_t *job = imagine_call_state(call);
    imagine_call_request_t request = {.size = sizeof(request)};
    imagine_body_t *body = imagine_body_json(call);
    imagine_body_put_text(body, "prompt", params->prompt);
    imagine_body_put_text(body, "model", imagine_call_model(call));
    if (params->image_count > 0) {
        imagine_body_open_array(body, "image_url");
        for (size_t i = 0; i < params->image_count; i++)
            imagine_body_put_text(body, NULL, picture_address(call, job, i));
        imagine_body_close(body);
    }
    if (job->size.width != 0)
        imagine_body_put_text(
            body, "size", imagine_call_printf(call, "%ux%u", job->size.width, job->size.height));
    imagine_body_put_int(body, "seed", params->seed);
    if (params->steps != 0)
        imagine_body_put_int(body, "steps", params->steps);
    if (params->guidance > 0)
        imagine_body_put_number(body, "guidance", params->guidance);
    request.url = imagine_call_url(call, "/images/generations");
    request.headers = &async_mode;
    request.header_count = 1;
    request.body = body;
    imagine_call_http(call, &request, on_created);
}

static void on_created(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *task_id = imagine_response_string(response, "task_id");
    note_quota(call, response);
    if (task_id == NULL) {
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "an answer without task_id");
        return;
    }
    imagine_call_task(call, task_id, 0);
    imagine_call_poll(call, poll_task);
}

static void poll_task(imagine_call_t *call) {
    static const imagine_header_t task_type = {"X-ModelScope-Task-Type", "image_generation"};
    const char *id = imagine_call_escape(call, imagine_call_task_id(call));
    imagine_call_request_t request = {.size = sizeof(request), .limit = IMAGINE_LIMIT_STATUS};
    if (id != NULL)
        request.url = imagine_call_url(call, imagine_call_concat(call, "/tasks/", id));
    request.headers = &task_type;
    request.header_count = 1;
    imagine_call_http(call, &request, on_polled);
}

static void resume(imagine_call_t *call) {
    void *job = imagine_call_alloc(call, sizeof(job_t));
    imagine_call_set_state(call, job);
    if (job != NULL)
        poll_task(call);
    else
        imagine_call_fail(call, IMAGINE_ENOMEM, NULL);
}

static void on_polled(imagine_call_t *call, const imagine_http_response_t *response) {
    job_t *job = imagine_call_state(call);
    const char *status = imagine_response_string(response, "task_status");
    imagine_result_t result = {.size = sizeof(result)};
    note_quota(call, response);
    if (status != NULL && strcmp(status, "SUCCEED") == 0) {
        result.url = imagine_response_string(response, "output_images[0]");
        result.width = job->size.width;
        result.height = job->size.height;
        if (result.url != NULL)
            imagine_call_succeed(call, &result);
        else
            imagine_call_fail(call, IMAGINE_EPROTOCOL, "a finished task without output_images[0]");
    } else if (status != NULL && strcmp(status, "FAILED") == 0) {
        const char *reason = imagine_response_string(response, "error_message");
        if (reason == NULL)
            reason = imagine_response_string(response, "errors.message");
        imagine_call_fail(call, IMAGINE_EUPSTREAM,
                          reason != NULL ? reason : "the task failed without a reason");
    } else if (++job->poll_count < imagine_call_option_int(call, "polls_max", POLLS_MAX)) {
        imagine_call_poll(call, poll_task);
    } else {
        imagine_call_fail(call, IMAGINE_ETIMEDOUT, "the task was not done after five minutes");
    }
}

static void on_written(imagine_call_t *call, const imagine_http_response_t *response) {
    note_quota(call, response);
    imi_openai_compat_on_written(call, response);
}

static void text(imagine_call_t *call) {
    imi_openai_compat_text(call, imagine_call_url(call, "/chat/completions"), IMAGINE_AUTH_BEARER,
                           on_written);
}

const imagine_provider_t imi_provider_modelscope = {
    .size = sizeof(imi_provider_modelscope),
    .name = "modelscope",
    .generate = generate,
    .edit = edit,
    .text = text,
    .resume = resume,
    .classify = classify,
};
