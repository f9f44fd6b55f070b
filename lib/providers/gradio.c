/* gradio.c: Hugging Face Spaces, which speak Gradio, and as a kind of its own any other Gradio app.
 * Which Space, function and arguments a model has is catalogue data ("space", else the provider's
 * address; "fn", "data"), since that is what changes.
 *   1. POST {space}/gradio_api/upload         multipart "files" -> ["path", …], only for pictures
 *   2. POST {space}/gradio_api/call/{fn}      {"data": […]}     -> {"event_id": …}
 *   3. GET  {space}/gradio_api/call/{fn}/{id} events: heartbeat and generating say nothing,
 *      complete brings a JSON array with the file, error a text, JSON or null
 * An event stream can be read once, and leaving it may cancel the work: the event is the task, and
 * this call its one reader. A Space that sleeps answers a page of text, with 200 sometimes. */
#include "providers/gradio.h"

#include <stdbool.h>
#include <string.h>

#include "providers/builtin.h"
#include "providers/nearest.h"
#include "providers/openai_compat.h"

#define PREDICT_S 60               /* a video, where the catalogue does not say */
#define EXCERPT_CHARACTERS_MAX 200 /* of what a sleeping Space says */

typedef struct job {
    imi_gradio_upload_t upload; /* first: the upload leaves itself as the call's state */
    const char *space;
    const char *fn; /* escaped */
} job_t;

static void start_job(imagine_call_t *call);
static void on_started(imagine_call_t *call, const imagine_http_response_t *response);
static void read_events(imagine_call_t *call, const char *event_id);
static void on_event(imagine_call_t *call, const char *name, const imagine_http_response_t *data);
static void on_stream_end(imagine_call_t *call, const imagine_http_response_t *response);

/* ---- a Space that does not speak Gradio now ---------------------------------------------------
 */

/* The words of a page without its tags, blanks as one space. Enough for a person to see what the
 * Space says; styles and scripts come late in such pages, if at all. */
static const char *excerpt(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *at = response->body, *end = response->body + response->body_size;
    char *out = imagine_call_alloc(call, 4 * EXCERPT_CHARACTERS_MAX + 1);
    size_t size = 0, character_count = 0;
    bool is_tag = false, is_gap = false;
    if (out == NULL)
        return NULL;
    for (; at < end && *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;
        bool is_continuation = (byte & 0xC0) == 0x80; /* of a UTF-8 character */
        if (byte == '<' || (is_tag && byte == '>') || byte <= ' ') {
            is_tag = byte == '<' || (is_tag && byte != '>');
            is_gap = true;
            continue;
        }
        if (is_tag)
            continue;
        if (!is_continuation && is_gap && size > 0 && character_count < EXCERPT_CHARACTERS_MAX) {
            out[size++] = ' ';
            character_count++;
        }
        if (!is_continuation && character_count++ >= EXCERPT_CHARACTERS_MAX)
            break;
        is_gap = false;
        if (size < 4 * EXCERPT_CHARACTERS_MAX)
            out[size++] = (char)byte;
    }
    return out; /* zeroed memory: it ends with a NUL */
}

static void fail_asleep(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *words = excerpt(call, response);
    if (words == NULL || words[0] == '\0')
        imagine_call_fail(call, IMAGINE_EUPSTREAM, "the Space answered nothing that Gradio says");
    else
        imagine_call_fail(call, IMAGINE_EUPSTREAM,
                          imagine_call_printf(call, "the Space is asleep or broken: %s", words));
}

/* ---- 1: pictures ------------------------------------------------------------------------------
 */

static void on_uploaded(imagine_call_t *call, const imagine_http_response_t *response);

void imi_gradio_upload(imagine_call_t *call, imi_gradio_upload_t *upload) {
    imagine_call_request_t request = {.size = sizeof(request), .method = "POST"};
    imagine_body_t *body = NULL;
    size_t file_count = 0;
    upload->count = imagine_call_params(call)->image_count;
    imagine_call_set_state(call, upload);
    if (upload->count > IMI_GRADIO_FILES_MAX) {
        imagine_call_fail(call, IMAGINE_EREJECTED, "more pictures than a Space takes");
        return;
    }
    for (size_t i = 0; i < upload->count; i++) {
        const imagine_image_t *image = imagine_call_image(call, i);
        upload->paths[i] = image != NULL ? image->url : NULL;
        if (upload->paths[i] != NULL)
            continue;
        if (file_count++ == 0)
            body = imagine_body_multipart(call);
        imagine_body_put_image(body, "files", image);
    }
    if (file_count == 0) {
        upload->next(call);
        return;
    }
    request.url = imagine_call_concat(call, upload->space, "/gradio_api/upload");
    request.body = body;
    request.auth = upload->auth;
    request.limit = IMAGINE_LIMIT_IMAGE; /* tens of megabytes may travel */
    request.is_repeatable = 1;           /* a second copy is a file that nobody asks for */
    imagine_call_http(call, &request, on_uploaded);
}

static void on_uploaded(imagine_call_t *call, const imagine_http_response_t *response) {
    imi_gradio_upload_t *upload = imagine_call_state(call);
    size_t file_index = 0;
    for (size_t i = 0; i < upload->count; i++) {
        if (upload->paths[i] != NULL)
            continue;
        upload->paths[i] =
            imagine_response_string(response, imagine_call_printf(call, "[%zu]", file_index++));
        if (upload->paths[i] == NULL) {
            fail_asleep(call, response);
            return;
        }
    }
    upload->next(call);
}

/* ---- 2: the job -------------------------------------------------------------------------------
 */

/* The job of this call, its Space and function found; NULL: the call was ended. */
static job_t *job_new(imagine_call_t *call) {
    job_t *job = imagine_call_alloc(call, sizeof(*job));
    const char *fn = imagine_call_option(call, "fn");
    if (job == NULL) {
        imagine_call_fail(call, IMAGINE_ENOMEM, "out of memory");
        return NULL;
    }
    job->space = imagine_call_option(call, "space");
    if (job->space == NULL && imagine_call_api_base(call)[0] != '\0')
        job->space = imagine_call_api_base(call);
    job->fn = fn != NULL ? imagine_call_escape(call, fn) : NULL;
    if (job->space == NULL || job->fn == NULL) {
        imagine_call_fail(call, IMAGINE_EREJECTED,
                          imagine_call_printf(call, "the catalogue has no %s for model '%s'",
                                              job->space == NULL ? "space" : "fn",
                                              imagine_call_model(call)));
        return NULL;
    }
    job->upload = (imi_gradio_upload_t){.space = job->space, .next = start_job};
    imagine_call_set_state(call, job);
    return job;
}

static void generate(imagine_call_t *call) {
    if (job_new(call) != NULL)
        start_job(call);
}

/* The pictures first. */
static void work_on_pictures(imagine_call_t *call) {
    job_t *job = job_new(call);
    if (job != NULL)
        imi_gradio_upload(call, &job->upload);
}

/* Gradio's form of a file, as JSON. */
static const char *file_json(imagine_call_t *call, const char *path) {
    const char *quoted = imagine_call_quote(call, path);
    return quoted == NULL
               ? NULL
               : imagine_call_printf(call, "{\"path\":%s,\"meta\":{\"_type\":\"gradio.FileData\"}}",
                                     quoted);
}

/* A Space that lets one choose among ratios refuses all others. NULL: it takes any, or no memory.
 */
static const char *ratio_json(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imi_size_t size = {params->width, params->height};
    const char *ratio = imi_nearest_shape(call, "ratios", size);
    return ratio != NULL ? imagine_call_quote(call, ratio) : NULL;
}

/* The arguments, as the catalogue's template has them. Beside what imagine_call_fill() knows:
 * "$image" is the first picture's file, "$images" a gallery: [{"image": file}, …]; and "$ar" is one
 * of the "ratios", where there are any. */
static const char *arguments(imagine_call_t *call, const job_t *job) {
    const char *template_json = imagine_call_option(call, "data");
    const char *ratio = ratio_json(call);
    imagine_template_value_t values[3];
    size_t value_count = 0;
    if (ratio != NULL)
        values[value_count++] = (imagine_template_value_t){"ar", ratio};
    if (job->upload.count > 0) {
        const char *gallery = "[";
        values[value_count++] =
            (imagine_template_value_t){"image", file_json(call, job->upload.paths[0])};
        for (size_t i = 0; gallery != NULL && i < job->upload.count; i++) {
            const char *file = file_json(call, job->upload.paths[i]);
            gallery = file == NULL ? NULL
                                   : imagine_call_printf(call, "%s%s{\"image\":%s}", gallery,
                                                         i > 0 ? "," : "", file);
        }
        if (gallery != NULL)
            gallery = imagine_call_concat(call, gallery, "]");
        values[value_count++] = (imagine_template_value_t){"images", gallery};
    }
    return template_json == NULL ? NULL
                                 : imagine_call_fill(call, template_json, values, value_count);
}

static void start_job(imagine_call_t *call) {
    const job_t *job = imagine_call_state(call);
    const char *data = arguments(call, job);
    imagine_call_request_t request = {.size = sizeof(request)};
    imagine_body_t *body = imagine_body_json(call);
    if (data == NULL) {
        imagine_call_fail(call, IMAGINE_EREJECTED,
                          "the catalogue's \"data\" for this model is no template");
        return;
    }
    imagine_body_put_json(body, "data", data);
    request.url = imagine_call_printf(call, "%s/gradio_api/call/%s", job->space, job->fn);
    request.body = body;
    request.limit = IMAGINE_LIMIT_TEXT; /* only to be put into the Space's queue */
    imagine_call_http(call, &request, on_started);
}

static void on_started(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *event_id = imagine_response_string(response, "event_id");
    if (event_id == NULL) {
        fail_asleep(call, response);
        return;
    }
    bool is_video = strcmp(imagine_call_action(call), "video") == 0;
    imagine_call_task(call, event_id,
                      (uint32_t)imagine_call_option_int(call, "predict", is_video ? PREDICT_S : 0));
    read_events(call, event_id);
}

/* After a restart: the Space may still hold the event, or says that it does not. */
static void resume(imagine_call_t *call) {
    if (job_new(call) != NULL)
        read_events(call, imagine_call_task_id(call));
}

/* ---- 3: its outcome ---------------------------------------------------------------------------
 */

static void read_events(imagine_call_t *call, const char *event_id) {
    const job_t *job = imagine_call_state(call);
    const char *id = imagine_call_escape(call, event_id);
    imagine_call_request_t request = {.size = sizeof(request), .limit = IMAGINE_LIMIT_IMAGE};
    if (id != NULL)
        request.url =
            imagine_call_printf(call, "%s/gradio_api/call/%s/%s", job->space, job->fn, id);
    imagine_call_events(call, &request, on_event, on_stream_end);
}

static void classify(imagine_call_t *call, const imagine_http_response_t *response,
                     imagine_verdict_t *verdict) {
    const char *id = imagine_call_task_id(call);
    if (response->status != 404 || id == NULL || id[0] == '\0')
        return;
    verdict->reason = IMAGINE_EUPSTREAM;
    verdict->message = "the Space has lost the work: it restarted, or nobody was listening";
}

/* Where Spaces put the file, most telling first. A path on the Space stands for an address that the
 * Space itself does not know. */
static const char *const result_paths[] = {
    "[0].url",  "[0].image.url",  "[0].video.url",  "[0][0].image.url", "[0][0].url",        "[0]",
    "[0].path", "[0].image.path", "[0].video.path", "[0][0].path",      "[0][0].image.path",
};

static bool starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* NULL: this is neither an address nor a path. */
static const char *absolute(imagine_call_t *call, const char *space, const char *file) {
    if (starts_with(file, "http://") || starts_with(file, "https://") || starts_with(file, "data:"))
        return file;
    if (starts_with(file, "/gradio_api/"))
        return imagine_call_concat(call, space, file);
    if (file[0] == '/')
        return imagine_call_printf(call, "%s/gradio_api/file=%s", space, file);
    return NULL;
}

static void complete(imagine_call_t *call, const imagine_http_response_t *data) {
    const job_t *job = imagine_call_state(call);
    const char *own_path = imagine_call_option(call, "result");
    imagine_result_t result = {.size = sizeof(result)};
    if (own_path != NULL) {
        const char *file = imagine_response_string(data, own_path);
        result.url = file != NULL ? absolute(call, job->space, file) : NULL;
    }
    for (size_t i = 0; i < sizeof(result_paths) / sizeof(result_paths[0]); i++) {
        const char *file =
            result.url == NULL ? imagine_response_string(data, result_paths[i]) : NULL;
        if (file != NULL)
            result.url = absolute(call, job->space, file);
    }
    if (result.url != NULL)
        imagine_call_succeed(call, &result);
    else
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "a complete event without a file in data[0]");
}

/* The text of an error event, which is JSON, a JSON string or bare words; NULL: it says nothing. */
static const char *reason_of(const imagine_http_response_t *data) {
    static const char *const paths[] = {"error", "message", "detail", "title", ""};
    if (data->body_size == 0 || strcmp(data->body, "null") == 0)
        return NULL;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        const char *reason = imagine_response_string(data, paths[i]);
        if (reason != NULL)
            return reason;
    }
    return strchr("{[\"", data->body[0]) == NULL ? data->body : NULL;
}

static void fail_by_event(imagine_call_t *call, const imagine_http_response_t *data) {
    const char *prompt = imagine_call_params(call)->prompt;
    const char *reason = reason_of(data);
    if (reason == NULL || reason[0] == '\0') {
        imagine_call_fail(call, IMAGINE_EUPSTREAM, "the Space failed without saying why");
        return;
    }
    /* The text may quote the prompt: a word that both have proves nothing. */
    if (strcasestr(reason, "quota") != NULL &&
        (prompt == NULL || strcasestr(prompt, "quota") == NULL))
        imagine_call_fail(call, IMAGINE_EQUOTA, reason);
    else
        imagine_call_fail(call, IMAGINE_EUPSTREAM, reason);
}

static void on_event(imagine_call_t *call, const char *name, const imagine_http_response_t *data) {
    if (strcmp(name, "complete") == 0)
        complete(call, data);
    else if (strcmp(name, "error") == 0)
        fail_by_event(call, data);
}

static void on_stream_end(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *type = imagine_response_header(response, "content-type");
    if (type != NULL && starts_with(type, "text/event-stream"))
        imagine_call_fail(call, IMAGINE_EUPSTREAM, "the Space's events ended without a result");
    else
        fail_asleep(call, response);
}

/* ---- text: Pollinations -----------------------------------------------------------------------
 */

/* Another service than the Spaces, so it never sees the token. */
static void text(imagine_call_t *call) {
    const char *base = imagine_call_option(call, "chat_base");
    if (base == NULL)
        imagine_call_fail(call, IMAGINE_EREJECTED, "the catalogue has no chat_base for this model");
    else
        imi_openai_compat_text(call, imagine_call_concat(call, base, "/openai"), IMAGINE_AUTH_NONE,
                               imi_openai_compat_on_written);
}

const imagine_provider_t imi_provider_gradio = {
    .size = sizeof(imi_provider_gradio),
    .name = "huggingface",
    .flags = IMAGINE_PROVIDER_TOKEN_OPTIONAL,
    .generate = generate,
    .edit = work_on_pictures,
    .text = text,
    .video = work_on_pictures,
    .upscale = work_on_pictures,
    .resume = resume,
    .classify = classify,
};

const imagine_provider_t imi_kind_gradio = {
    .size = sizeof(imi_kind_gradio),
    .name = "gradio",
    .flags = IMAGINE_PROVIDER_TOKEN_OPTIONAL,
    .generate = generate,
    .edit = work_on_pictures,
    .video = work_on_pictures,
    .upscale = work_on_pictures,
    .resume = resume,
    .classify = classify,
};
