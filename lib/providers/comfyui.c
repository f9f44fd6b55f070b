/* comfyui.c: ComfyUI. What it does is a workflow, in the form that its "Export (API)" writes, and a
 * template of the catalogue ("workflow"): the prompt, sizes and all else go where it has their
 * names.
 *   1. POST /upload/image         each picture that goes in -> the name that the workflow loads
 *   2. POST /prompt               the workflow -> prompt_id, or node_errors
 *   3. GET  /history/{prompt_id}  {} until it is over -> outputs, by node: images, gifs, videos
 *           /prompt               how much is in the queue; nothing: the server has lost the work
 *   4. GET  /view?filename=…      the bytes of each
 * Given up, it leaves the queue, or is interrupted. A prompt that is through stays in the history:
 * the work can be gone on with after a restart of ours, not after one of the server. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "providers/builtin.h"

#define CLIENT_ID "libimagine" /* for the listeners of its websocket, of which we are none */
#define PREDICT_S 60           /* for a catalogue that does not say */
#define FRAMES_PER_SECOND 16
#define FRAMES_STEP 4 /* what video models want: a multiple of it, and one */
#define IMAGES_MAX 16
#define FILES_MAX 16
#define NODES_MAX 1000
#define MESSAGES_MAX 200
#define IDLE_MAX 3 /* empty queues in a row: a prompt may be on its way from queue to history */

typedef struct file {
    const char *name, *folder, *type;
} file_t;

typedef struct job {
    const char *id;
    const char *images[IMAGES_MAX]; /* as the server calls them */
    size_t image_index;
    uint32_t queue_position, idle_count;
    file_t files[FILES_MAX];
    size_t file_count, file_index;
    const char *url; /* of the file before */
} job_t;

static void upload_next(imagine_call_t *call);
static void on_uploaded(imagine_call_t *call, const imagine_http_response_t *response);
static void submit(imagine_call_t *call);
static void on_submitted(imagine_call_t *call, const imagine_http_response_t *response);
static void ask_history(imagine_call_t *call);
static void on_history(imagine_call_t *call, const imagine_http_response_t *response);
static void on_queue(imagine_call_t *call, const imagine_http_response_t *response);
static void view_next(imagine_call_t *call);
static void on_viewed(imagine_call_t *call, const imagine_http_response_t *response);

static job_t *job_new(imagine_call_t *call) {
    job_t *job = imagine_call_alloc(call, sizeof(*job));
    if (job == NULL) {
        imagine_call_fail(call, IMAGINE_ENOMEM, "out of memory");
        return NULL;
    }
    job->queue_position = UINT32_MAX;
    imagine_call_set_state(call, job);
    return job;
}

static bool is_video(const imagine_call_t *call) {
    return strcmp(imagine_call_action(call), "video") == 0;
}

/* Every action is a workflow, with pictures or without. */
static void begin(imagine_call_t *call) {
    if (imagine_call_option(call, "workflow") == NULL)
        imagine_call_fail(call, IMAGINE_EREJECTED,
                          "the catalogue has no workflow for this model and action");
    else if (imagine_call_params(call)->image_count > IMAGES_MAX)
        imagine_call_fail(call, IMAGINE_EREJECTED, "more pictures than a workflow takes");
    else if (job_new(call) != NULL)
        upload_next(call);
}

/* ---- 1: pictures ------------------------------------------------------------------------------
 */

static void upload_next(imagine_call_t *call) {
    const job_t *job = imagine_call_state(call);
    const imagine_image_t *image = imagine_call_image(call, job->image_index);
    imagine_call_request_t request = {.size = sizeof(request), .method = "POST"};
    imagine_body_t *body;
    if (image == NULL) {
        submit(call);
        return;
    }
    body = imagine_body_multipart(call);
    imagine_body_put_image(body, "image", image);
    imagine_body_put_text(body, "type", "input");
    request.url = imagine_call_url(call, "/upload/image");
    request.body = body;
    request.auth = IMAGINE_AUTH_BASIC;
    request.limit = IMAGINE_LIMIT_IMAGE; /* tens of megabytes may travel */
    request.is_repeatable = 1;           /* a second copy is a file that nobody asks for */
    imagine_call_http(call, &request, on_uploaded);
}

static void on_uploaded(imagine_call_t *call, const imagine_http_response_t *response) {
    job_t *job = imagine_call_state(call);
    const char *name = imagine_response_string(response, "name");
    const char *folder = imagine_response_string(response, "subfolder");
    if (name == NULL) {
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "an answer without the picture's name");
        return;
    }
    if (folder != NULL && folder[0] != '\0')
        name = imagine_call_printf(call, "%s/%s", folder, name);
    job->images[job->image_index++] = name;
    upload_next(call);
}

/* ---- 2: the workflow --------------------------------------------------------------------------
 */

/* How many frames the duration is; NULL: the caller and the catalogue name none. */
static const char *frames_json(imagine_call_t *call) {
    double seconds = imagine_call_params(call)->duration_s;
    double rate = (double)imagine_call_option_int(call, "fps", FRAMES_PER_SECOND);
    if (seconds <= 0)
        return NULL;
    return imagine_call_printf(call, "%lld",
                               llround(seconds * rate / FRAMES_STEP) * FRAMES_STEP + 1);
}

/* The template knows the pictures as image, image2, image3 … */
static const char *fill(imagine_call_t *call, const job_t *job) {
    const imagine_params_t *params = imagine_call_params(call);
    imagine_template_value_t values[2 + IMAGES_MAX] = {
        {"count", imagine_call_printf(call, "%u", params->count > 1 ? params->count : 1)},
        {"frames", frames_json(call)},
    };
    size_t count = 2;
    for (size_t i = 0; i < job->image_index; i++) {
        const char *name = i == 0 ? "image" : imagine_call_printf(call, "image%zu", i + 1);
        if (name != NULL)
            values[count++] =
                (imagine_template_value_t){name, imagine_call_quote(call, job->images[i])};
    }
    return imagine_call_fill(call, imagine_call_option(call, "workflow"), values, count);
}

static void submit(imagine_call_t *call) {
    const char *workflow = fill(call, imagine_call_state(call));
    imagine_call_request_t request = {.size = sizeof(request), .method = "POST"};
    imagine_body_t *body = imagine_body_json(call);
    if (workflow == NULL) {
        imagine_call_fail(call, IMAGINE_EREJECTED,
                          "the catalogue's \"workflow\" for this model is no template");
        return;
    }
    imagine_body_put_json(body, "prompt", workflow);
    imagine_body_put_text(body, "client_id", CLIENT_ID);
    request.url = imagine_call_url(call, "/prompt");
    request.body = body;
    request.auth = IMAGINE_AUTH_BASIC;
    request.limit = IMAGINE_LIMIT_TEXT; /* only to be put into the queue */
    imagine_call_http(call, &request, on_submitted);
}

/* What is wrong with the first node that is wrong; NULL: none is. */
static const char *node_reason(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *node = imagine_response_name(response, "node_errors", 0);
    const char *at = imagine_call_printf(call, "node_errors.%s", node != NULL ? node : "");
    const char *kind, *message, *details;
    if (node == NULL || at == NULL)
        return NULL;
    kind = imagine_response_string(response, imagine_call_concat(call, at, ".class_type"));
    message =
        imagine_response_string(response, imagine_call_concat(call, at, ".errors[0].message"));
    details =
        imagine_response_string(response, imagine_call_concat(call, at, ".errors[0].details"));
    return imagine_call_printf(call, "node %s (%s): %s%s%s", node, kind != NULL ? kind : "?",
                               message != NULL ? message : "not valid",
                               details != NULL && details[0] != '\0' ? ": " : "",
                               details != NULL ? details : "");
}

static void on_submitted(imagine_call_t *call, const imagine_http_response_t *response) {
    job_t *job = imagine_call_state(call);
    const char *reason;
    job->id = imagine_response_string(response, "prompt_id");
    if (job->id == NULL) {
        reason = node_reason(call, response);
        imagine_call_fail(call, reason != NULL ? IMAGINE_EREJECTED : IMAGINE_EPROTOCOL,
                          reason != NULL ? reason : "an answer without prompt_id");
        return;
    }
    imagine_call_task(call, job->id, (uint32_t)imagine_call_option_int(call, "predict", PREDICT_S));
    imagine_call_poll(call, ask_history);
}

static void classify(imagine_call_t *call, const imagine_http_response_t *response,
                     imagine_verdict_t *verdict) {
    const char *reason = node_reason(call, response);
    if (reason == NULL)
        return;
    verdict->reason = IMAGINE_EREJECTED;
    verdict->message = reason;
}

/* ---- 3: waiting -------------------------------------------------------------------------------
 */

static void get(imagine_call_t *call, const char *path, int32_t limit,
                imagine_response_cb on_response) {
    imagine_call_request_t request = {.size = sizeof(request), .limit = limit};
    request.url = imagine_call_url(call, path);
    request.auth = IMAGINE_AUTH_BASIC;
    imagine_call_http(call, &request, on_response);
}

static void ask_history(imagine_call_t *call) {
    const job_t *job = imagine_call_state(call);
    const char *id = imagine_call_escape(call, job->id);
    get(call, imagine_call_concat(call, "/history/", id), IMAGINE_LIMIT_STATUS, on_history);
}

static void resume(imagine_call_t *call) {
    job_t *job = job_new(call);
    if (job == NULL)
        return;
    job->id = imagine_call_task_id(call);
    ask_history(call);
}

static bool is_temporary(const file_t *file) {
    return file->type != NULL && strcmp(file->type, "temp") == 0;
}

static bool is_film(const file_t *file) {
    static const char *const ends[] = {".mp4", ".webm", ".mov", ".mkv", ".gif"};
    const char *end = strrchr(file->name, '.');
    for (size_t i = 0; end != NULL && i < sizeof(ends) / sizeof(ends[0]); i++)
        if (strcasecmp(end, ends[i]) == 0)
            return true;
    return false;
}

static void add_file(job_t *job, const file_t *file) {
    if (file->name != NULL && job->file_count < FILES_MAX)
        job->files[job->file_count++] = *file;
}

/* Which list a node's files are in depends on the node. */
static void gather_node(imagine_call_t *call, job_t *job, const imagine_http_response_t *response,
                        const char *node, bool wants_temporary) {
    static const char *const lists[] = {"images", "gifs", "videos"};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        const char *list = imagine_call_printf(call, "%s.outputs.%s.%s", job->id, node, lists[i]);
        size_t count = list != NULL ? imagine_response_count(response, list) : 0;
        for (size_t k = 0; k < count && k < FILES_MAX; k++) {
            const char *at = imagine_call_printf(call, "%s[%zu]", list, k);
            file_t file = {
                imagine_response_string(response, imagine_call_concat(call, at, ".filename")),
                imagine_response_string(response, imagine_call_concat(call, at, ".subfolder")),
                imagine_response_string(response, imagine_call_concat(call, at, ".type"))};
            if (is_temporary(&file) == wants_temporary)
                add_file(job, &file);
        }
    }
}

static void gather_nodes(imagine_call_t *call, const imagine_http_response_t *response,
                         bool wants_temporary) {
    job_t *job = imagine_call_state(call);
    const char *outputs = imagine_call_concat(call, job->id, ".outputs");
    const char *node = imagine_call_option(call, "output_node");
    if (node != NULL) {
        gather_node(call, job, response, node, wants_temporary);
        return;
    }
    for (size_t i = 0; outputs != NULL && i < NODES_MAX; i++) {
        node = imagine_response_name(response, outputs, i);
        if (node == NULL)
            return;
        gather_node(call, job, response, node, wants_temporary);
    }
}

/* What the workflow saved; what it only showed, if it saved nothing. Of a video's files, the film.
 */
static void gather(imagine_call_t *call, const imagine_http_response_t *response) {
    job_t *job = imagine_call_state(call);
    gather_nodes(call, response, false);
    if (job->file_count == 0)
        gather_nodes(call, response, true);
    for (size_t i = 0; is_video(call) && i < job->file_count; i++)
        if (is_film(&job->files[i])) {
            job->files[0] = job->files[i];
            job->file_count = 1;
        }
}

static void fail_by_history(imagine_call_t *call, const imagine_http_response_t *response) {
    const job_t *job = imagine_call_state(call);
    const char *messages = imagine_call_concat(call, job->id, ".status.messages");
    size_t count = messages != NULL ? imagine_response_count(response, messages) : 0;
    const char *reason = NULL, *node = NULL;
    for (size_t i = 0; i < count && i < MESSAGES_MAX && reason == NULL; i++) {
        const char *at = imagine_call_printf(call, "%s[%zu]", messages, i);
        const char *event = imagine_response_string(response, imagine_call_concat(call, at, "[0]"));
        if (event != NULL && strcmp(event, "execution_interrupted") == 0)
            reason = "interrupted at the server";
        if (event == NULL || strcmp(event, "execution_error") != 0)
            continue;
        node = imagine_response_string(response, imagine_call_concat(call, at, "[1].node_type"));
        reason = imagine_response_string(response,
                                         imagine_call_concat(call, at, "[1].exception_message"));
    }
    if (reason == NULL)
        reason = "the workflow failed without a reason";
    imagine_call_fail(call, IMAGINE_EUPSTREAM,
                      node != NULL ? imagine_call_printf(call, "%s: %s", node, reason) : reason);
}

static void on_history(imagine_call_t *call, const imagine_http_response_t *response) {
    job_t *job = imagine_call_state(call);
    const char *status =
        imagine_response_string(response, imagine_call_concat(call, job->id, ".status.status_str"));
    if (imagine_response_name(response, job->id, 0) == NULL) { /* it waits, or is being worked on */
        get(call, "/prompt", IMAGINE_LIMIT_STATUS, on_queue);
        return;
    }
    if (status != NULL && strcmp(status, "error") == 0) {
        fail_by_history(call, response);
        return;
    }
    gather(call, response);
    if (job->file_count > 0)
        view_next(call);
    else
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "a finished workflow that saved no picture");
}

/* The server tells how many prompts are left, and works on them in turn: those in front of ours are
 * fewer than all, and never grow more. */
static void on_queue(imagine_call_t *call, const imagine_http_response_t *response) {
    job_t *job = imagine_call_state(call);
    double left = 1; /* where it is not told, nothing is lost yet */
    imagine_response_number(response, "exec_info.queue_remaining", &left);
    job->idle_count = left < 1 ? job->idle_count + 1 : 0;
    if (job->idle_count == IDLE_MAX) {
        imagine_call_fail(call, IMAGINE_EUPSTREAM, "the server has lost the work: it restarted?");
        return;
    }
    if (left >= 1 && left - 1 < job->queue_position)
        job->queue_position = (uint32_t)(left - 1);
    imagine_call_progress(call, -1, job->queue_position != UINT32_MAX ? job->queue_position : 0);
    imagine_call_poll(call, ask_history);
}

/* ---- 4: what came of it -----------------------------------------------------------------------
 */

static void view_next(imagine_call_t *call) {
    const job_t *job = imagine_call_state(call);
    const file_t *file = &job->files[job->file_index];
    const char *name = imagine_call_escape(call, file->name);
    const char *folder = imagine_call_escape(call, file->folder != NULL ? file->folder : "");
    const char *type = imagine_call_escape(call, file->type != NULL ? file->type : "output");
    const char *path = NULL;
    if (name != NULL && folder != NULL && type != NULL)
        path =
            imagine_call_printf(call, "/view?filename=%s&subfolder=%s&type=%s", name, folder, type);
    get(call, path, IMAGINE_LIMIT_DOWNLOAD, on_viewed);
}

static void on_viewed(imagine_call_t *call, const imagine_http_response_t *response) {
    job_t *job = imagine_call_state(call);
    imagine_result_t result = {.size = sizeof(result)};
    if (response->body_size == 0) {
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "an empty file as the result");
        return;
    }
    if (job->url != NULL)
        imagine_call_picture(call, job->url);
    job->url = imagine_response_body_data_url(response, NULL);
    if (++job->file_index < job->file_count) {
        view_next(call);
        return;
    }
    result.url = job->url;
    imagine_call_succeed(call, &result);
}

/* ---- giving up --------------------------------------------------------------------------------
 */

static void on_dequeued(imagine_call_t *call, const imagine_http_response_t *response);
static void on_interrupted(imagine_call_t *call, const imagine_http_response_t *response);

static void tell(imagine_call_t *call, const char *path, imagine_body_t *body,
                 imagine_response_cb on_response) {
    imagine_call_request_t request = {.size = sizeof(request), .method = "POST"};
    request.url = imagine_call_url(call, path);
    request.body = body;
    request.auth = IMAGINE_AUTH_BASIC;
    request.limit = IMAGINE_LIMIT_STATUS;
    imagine_call_http(call, &request, on_response);
}

/* Out of the queue if it still waits there, which is nothing to a prompt that is being worked on.
 * One without an id is just being queued, and stays: an interruption would hit another's. */
static void cancel(imagine_call_t *call) {
    imagine_body_t *body;
    if (imagine_call_task_id(call)[0] == '\0') {
        imagine_call_fail(call, IMAGINE_ECANCELED, "the prompt has no id yet");
        return;
    }
    body = imagine_body_json(call);
    imagine_body_open_array(body, "delete");
    imagine_body_put_text(body, NULL, imagine_call_task_id(call));
    imagine_body_close(body);
    tell(call, "/queue", body, on_dequeued);
}

/* Servers of before 2025's summer do not read prompt_id: they interrupt whatever they work on. */
static void on_dequeued(imagine_call_t *call, const imagine_http_response_t *response) {
    imagine_body_t *body = imagine_body_json(call);
    (void)response;
    imagine_body_put_text(body, "prompt_id", imagine_call_task_id(call));
    tell(call, "/interrupt", body, on_interrupted);
}

static void on_interrupted(imagine_call_t *call, const imagine_http_response_t *response) {
    const imagine_result_t result = {.size = sizeof(result), .text = ""};
    (void)response;
    imagine_call_succeed(call, &result);
}

const imagine_provider_t imi_kind_comfyui = {
    .size = sizeof(imi_kind_comfyui),
    .name = "comfyui",
    .flags = IMAGINE_PROVIDER_TOKEN_OPTIONAL,
    .generate = begin,
    .edit = begin,
    .video = begin,
    .upscale = begin,
    .resume = resume,
    .cancel = cancel,
    .classify = classify,
};
