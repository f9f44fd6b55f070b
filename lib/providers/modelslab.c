/* modelslab.c: ModelsLab. The token travels in the body, and nearly every answer is a 200, whose
 * `status` says what it is:
 *   "success"            output[0…], or `link`
 *   "processing"         a task: POST …/fetch/{id} with the token, again and again
 *   "error", "failed"    message, sometimes spelled messege */
#include "providers/builtin.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define OUTPUTS_MAX 10
#define PREDICT_S                                                                   \
    60 /* what a video usually takes, for an answer and a catalogue that do not say \
        */
#define PREDICT_MAX_S 86400.0
#define ID_SIZE_MAX 200

static void on_created(imagine_call_t *call, const imagine_http_response_t *response);
static void poll_task(imagine_call_t *call);
static void on_polled(imagine_call_t *call, const imagine_http_response_t *response);

/* ---- asking -----------------------------------------------------------------------------------
 */

static imagine_body_t *body_with_token(imagine_call_t *call) {
    imagine_body_t *body = imagine_body_json(call);
    imagine_body_put_text(body, "key", imagine_call_token(call));
    return body;
}

/* Sizes, steps and counts are texts. */
static void put_count(imagine_call_t *call, imagine_body_t *body, const char *name,
                      uint32_t count) {
    if (count != 0)
        imagine_body_put_text(body, name, imagine_call_printf(call, "%u", count));
}

static void post(imagine_call_t *call, const char *path, imagine_body_t *body) {
    imagine_call_request_t request = {.size = sizeof(request), .auth = IMAGINE_AUTH_NONE};
    request.url = imagine_call_url(call, path);
    request.body = body;
    imagine_call_http(call, &request, on_created);
}

static void generate(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imagine_body_t *body = body_with_token(call);
    imagine_body_put_text(body, "prompt", params->prompt);
    imagine_body_put_text(body, "model_id", imagine_call_model(call));
    put_count(call, body, "width", params->width);
    put_count(call, body, "height", params->height);
    put_count(call, body, "samples", params->count);
    put_count(call, body, "num_inference_steps", params->steps);
    if (params->guidance > 0)
        imagine_body_put_number(body, "guidance_scale", params->guidance);
    imagine_body_put_text(body, "safety_checker", "no");
    imagine_body_put_int(body, "seed", params->seed);
    imagine_body_put_text(body, "negative_prompt", params->negative_prompt);
    post(call, "/images/text2img", body);
}

static void video(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imagine_body_t *body = body_with_token(call);
    imagine_body_put_text(body, "prompt", params->prompt);
    imagine_body_put_text(body, "model_id", imagine_call_model(call));
    put_count(call, body, "num_inference_steps", params->steps);
    post(call, "/video/text2video", body);
}

static bool is_video(const imagine_call_t *call) {
    return strcmp(imagine_call_action(call), "video") == 0;
}

/* The address is made here, not taken from `fetch_result`: the token goes to nobody else. */
static void poll_task(imagine_call_t *call) {
    const char *id = imagine_call_escape(call, imagine_call_task_id(call));
    imagine_call_request_t request = {.size = sizeof(request), .auth = IMAGINE_AUTH_NONE};
    request.url = imagine_call_url(
        call, imagine_call_concat(call, is_video(call) ? "/video/fetch/" : "/images/fetch/", id));
    request.body = body_with_token(call);
    request.limit = IMAGINE_LIMIT_STATUS;
    request.is_repeatable = 1;
    imagine_call_http(call, &request, on_polled);
}

/* ---- what went wrong --------------------------------------------------------------------------
 */

/* A word proves nothing where the prompt holds it too: the answer may quote it. */
static bool says(const imagine_call_t *call, const char *message, const char *word) {
    const char *prompt = imagine_call_params(call)->prompt;
    return strcasestr(message, word) != NULL &&
           (prompt == NULL || strcasestr(prompt, word) == NULL);
}

/* The reason by ModelsLab's own words, the first that fits; 0: they say nothing. */
static int reason_of(const imagine_call_t *call, const char *message) {
    static const struct {
        const char *word;
        int reason;
    } words[] = {
        {"rate limit", IMAGINE_ERATE},
        {"too many requests", IMAGINE_ERATE},
        {"queued requests", IMAGINE_ERATE},
        {"insufficient credits", IMAGINE_EQUOTA},
        {"out of credits", IMAGINE_EQUOTA},
        {"limit exceeded", IMAGINE_EQUOTA}, /* "Monthly limit exceeded, upgrade subscription" */
        {"exhausted", IMAGINE_EQUOTA},
        {"api key", IMAGINE_ETOKEN}, /* "Invalid API key", "Your API key has expired" */
        {"premium", IMAGINE_EPLAN},
        {"subscription", IMAGINE_EPLAN},
        {"nsfw", IMAGINE_ECONTENT},
        {"is required", IMAGINE_EREJECTED},
        {"must be", IMAGINE_EREJECTED},
        {"invalid", IMAGINE_EREJECTED},
        {"not found", IMAGINE_EREJECTED},
    };
    for (size_t i = 0; message != NULL && i < sizeof(words) / sizeof(words[0]); i++)
        if (says(call, message, words[i].word))
            return words[i].reason;
    return 0;
}

/* What did not pass the check of its fields: {"prompt": ["The prompt field is required."]}. */
static const char *wrong_field(imagine_call_t *call, const imagine_http_response_t *response) {
    static const char *const objects[] = {"message", "messege"};
    for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++) {
        const char *name = imagine_response_name(response, objects[i], 0);
        const char *text;
        if (name == NULL)
            continue;
        text = imagine_response_string(response,
                                       imagine_call_printf(call, "%s.%s[0]", objects[i], name));
        return text != NULL ? text : name;
    }
    return NULL;
}

/* The core knows what a status means, but not what these words do under a 200. */
static void classify(imagine_call_t *call, const imagine_http_response_t *response,
                     imagine_verdict_t *verdict) {
    const char *field = wrong_field(call, response);
    double wait_s = 0;
    int reason;
    if (response->status >= 200 && response->status <= 299) {
        reason = field != NULL ? IMAGINE_EREJECTED : reason_of(call, verdict->message);
        if (reason != 0)
            verdict->reason = reason;
    }
    if (field != NULL)
        verdict->message = field;
    if (verdict->reason == IMAGINE_ERATE && verdict->retry_after_ms == 0 &&
        imagine_response_number(response, "retry_after", &wait_s) != 0 && wait_s > 0 &&
        wait_s < PREDICT_MAX_S)
        verdict->retry_after_ms = (uint64_t)llround(wait_s * 1000);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

/* true: the call has ended with what is in the answer. */
static bool has_succeeded(imagine_call_t *call, const imagine_http_response_t *response) {
    imagine_result_t result = {.size = sizeof(result)};
    size_t count = imagine_response_count(response, "output");
    for (size_t i = 0; i < count && i < OUTPUTS_MAX; i++) {
        const char *url =
            imagine_response_string(response, imagine_call_printf(call, "output[%zu]", i));
        if (url == NULL || url[0] == '\0')
            continue;
        imagine_call_picture(call, result.url); /* the one before */
        result.url = url;
    }
    if (result.url == NULL)
        result.url = imagine_response_string(response, "link");
    if (result.url != NULL)
        imagine_call_succeed(call, &result);
    return result.url != NULL;
}

/* A number or a text; else the end of the address to ask. NULL: none. */
static const char *id_of(const imagine_http_response_t *response) {
    const char *id = imagine_response_string(response, "id");
    const char *address = imagine_response_string(response, "fetch_result");
    double number;
    if (id == NULL && imagine_response_number(response, "id", &number) != 0)
        id = imagine_response_json(response, "id");
    if (id == NULL && address != NULL && strrchr(address, '/') != NULL)
        id = strrchr(address, '/') + 1;
    return id != NULL && id[0] != '\0' && strlen(id) <= ID_SIZE_MAX ? id : NULL;
}

static uint32_t predict_s(imagine_call_t *call, const imagine_http_response_t *response) {
    double eta = 0;
    if (imagine_response_number(response, "eta", &eta) != 0 && eta >= 1 && eta <= PREDICT_MAX_S)
        return (uint32_t)ceil(eta);
    return (uint32_t)imagine_call_option_int(call, "predict", PREDICT_S);
}

static bool is_status(const char *status, const char *name) {
    return status != NULL && strcmp(status, name) == 0;
}

static bool has_failed(const char *status) {
    return is_status(status, "error") || is_status(status, "failed");
}

static void on_created(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *status = imagine_response_string(response, "status"), *id;
    if (has_failed(status)) {
        imagine_call_fail_response(call, response, 0);
        return;
    }
    if (!is_status(status, "processing") && has_succeeded(call, response))
        return;
    id = status != NULL ? id_of(response) : NULL;
    if (id == NULL || (!is_video(call) && !is_status(status, "processing"))) {
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "an answer without output[0]");
        return;
    }
    imagine_call_task(call, id, predict_s(call, response));
    imagine_call_poll(call, poll_task);
}

static void on_polled(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *status = imagine_response_string(response, "status"), *reason;
    int error;
    if (has_failed(status)) {
        reason = imagine_response_string(response, "message");
        if (reason == NULL)
            reason = imagine_response_string(response, "messege");
        error = reason_of(call, reason);
        if (error == IMAGINE_ERATE)
            imagine_call_poll(call, poll_task); /* asked too often; the work goes on */
        else /* taken on with this token: another one would have it done, and paid, twice */
            imagine_call_fail(call, error == IMAGINE_ECONTENT ? error : IMAGINE_EUPSTREAM,
                              reason != NULL ? reason : "the task failed without a reason");
    } else if (!is_status(status, "success")) {
        imagine_call_poll(call, poll_task); /* an odd answer is no verdict on what is paid for */
    } else if (!has_succeeded(call, response)) {
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "a finished task without output[0]");
    }
}

const imagine_provider_t imi_provider_modelslab = {
    .size = sizeof(imi_provider_modelslab),
    .name = "modelslab",
    .generate = generate,
    .video = video,
    .resume = poll_task,
    .classify = classify,
};
