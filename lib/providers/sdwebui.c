/* sdwebui.c: AUTOMATIC1111's Stable Diffusion web UI, Forge and their kin, started with --api.
 *   POST /sdapi/v1/txt2img, /img2img, /extra-single-image -> base64 in images[] or image
 *   POST /sdapi/v1/interrupt stops what is being drawn now, whoever asked for it
 * What is posted is a template of the catalogue ("body"), or the usual one below. A model's api_id
 * is the name of its checkpoint, or of the upscaler.
 *
 * The answer comes when the picture is ready and holds the connection until then, and a call has
 * one exchange at a time: /sdapi/v1/progress is not asked. The work has no id and its result is not
 * kept: a job can be interrupted, but not gone on with after a restart. */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "providers/builtin.h"
#include "providers/picture_size.h"

#define COUNT_MAX 16
#define SIDE_MIN 64
#define SIDE_MAX 2048 /* for a catalogue that does not say */
#define SIDE_STEP 8   /* of a latent picture */

/* What stays null is the server's own default. The checkpoint stays loaded: going back to the one
 * before would cost every request the loading of two. */
#define USUAL_DRAWING                                                                  \
    "\"prompt\":\"$prompt\",\"negative_prompt\":\"$negative_prompt:\\\"\\\"\","        \
    "\"seed\":\"$seed\",\"steps\":\"$steps:20\",\"cfg_scale\":\"$guidance:7\","        \
    "\"width\":\"$width:1024\",\"height\":\"$height:1024\",\"batch_size\":\"$count\"," \
    "\"sampler_name\":\"$sampler\",\"scheduler\":\"$scheduler\","                      \
    "\"override_settings\":{\"sd_model_checkpoint\":\"$model\"},"                      \
    "\"override_settings_restore_afterwards\":false"
static const char usual_txt2img[] = "{" USUAL_DRAWING "}";
static const char usual_img2img[] =
    "{\"init_images\":[\"$image\"],\"denoising_strength\":\"$denoising:0.75\"," USUAL_DRAWING "}";
static const char usual_upscale[] = "{\"image\":\"$image\",\"resize_mode\":0,"
                                    "\"upscaling_resize\":\"$scale:4\",\"upscaler_1\":\"$model\"}";

typedef struct job {
    uint32_t width, height; /* 0: not known */
    uint32_t count;
} job_t;

static void on_drawn(imagine_call_t *call, const imagine_http_response_t *response);
static void on_upscaled(imagine_call_t *call, const imagine_http_response_t *response);

/* ---- asking -----------------------------------------------------------------------------------
 */

static uint32_t side_in_steps(uint64_t side) {
    uint32_t whole = (uint32_t)(side / SIDE_STEP) * SIDE_STEP;
    return whole > SIDE_MIN ? whole : SIDE_MIN;
}

/* The caller's size, else that of the picture to be edited, which would come back distorted
 * otherwise; as large as the catalogue allows, in steps that the server can draw. */
static void choose_size(imagine_call_t *call, job_t *job) {
    const imagine_params_t *params = imagine_call_params(call);
    const imagine_image_t *image = imagine_call_image(call, 0);
    uint64_t side_max = (uint64_t)imagine_call_option_int(call, "side_max", SIDE_MAX);
    uint64_t width = params->width, height = params->height, longer;
    if ((width == 0 || height == 0) && image != NULL &&
        imi_picture_size(image->data, image->data_size, &job->width, &job->height)) {
        width = job->width;
        height = job->height;
    }
    if (width == 0 || height == 0)
        return;
    longer = width > height ? width : height;
    if (longer > side_max) {
        width = width * side_max / longer;
        height = height * side_max / longer;
    }
    job->width = side_in_steps(width);
    job->height = side_in_steps(height);
}

static job_t *job_new(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    job_t *job = imagine_call_alloc(call, sizeof(*job));
    if (job == NULL) {
        imagine_call_fail(call, IMAGINE_ENOMEM, "out of memory");
        return NULL;
    }
    job->count = params->count < 1 ? 1 : params->count > COUNT_MAX ? COUNT_MAX : params->count;
    imagine_call_set_state(call, job);
    return job;
}

static const char *number_json(imagine_call_t *call, uint32_t number) {
    return number != 0 ? imagine_call_printf(call, "%u", number) : NULL;
}

/* A text of the catalogue as JSON; NULL: it has none. */
static const char *text_option(imagine_call_t *call, const char *name) {
    return imagine_call_quote(call, imagine_call_option(call, name));
}

/* What goes into "body" beside what every template knows. */
static const char *fill(imagine_call_t *call, const job_t *job, const char *usual) {
    const char *body = imagine_call_option(call, "body");
    const imagine_template_value_t values[] = {
        {"width", number_json(call, job->width)},
        {"height", number_json(call, job->height)},
        {"count", number_json(call, job->count)},
        {"image", imagine_call_quote(call, imagine_call_image_base64(call, 0))},
        {"sampler", text_option(call, "sampler")},
        {"scheduler", text_option(call, "scheduler")},
        {"denoising", imagine_call_option(call, "denoising")},
        {"scale", imagine_call_option(call, "scale")},
    };
    return imagine_call_fill(call, body != NULL ? body : usual, values,
                             sizeof(values) / sizeof(values[0]));
}

static void post(imagine_call_t *call, const char *path, const char *usual,
                 imagine_response_cb on_response) {
    const char *json = fill(call, imagine_call_state(call), usual);
    imagine_call_request_t request = {.size = sizeof(request)};
    if (json == NULL) {
        imagine_call_fail(call, IMAGINE_EREJECTED,
                          "the catalogue's \"body\" for this model is no template");
        return;
    }
    request.url = imagine_call_url(call, path);
    request.body = imagine_body_whole(call, json);
    request.auth = IMAGINE_AUTH_BASIC;
    request.limit = IMAGINE_LIMIT_IMAGE;
    request.has_json_pictures = 1;
    imagine_call_http(call, &request, on_response);
}

static void generate(imagine_call_t *call) {
    job_t *job = job_new(call);
    if (job == NULL)
        return;
    choose_size(call, job);
    post(call, "/sdapi/v1/txt2img", usual_txt2img, on_drawn);
}

static void edit(imagine_call_t *call) {
    job_t *job = job_new(call);
    if (job == NULL)
        return;
    choose_size(call, job);
    post(call, "/sdapi/v1/img2img", usual_img2img, on_drawn);
}

static void upscale(imagine_call_t *call) {
    if (job_new(call) != NULL)
        post(call, "/sdapi/v1/extra-single-image", usual_upscale, on_upscaled);
}

/* ---- what comes back --------------------------------------------------------------------------
 */

/* Base64 with or without a data: address in front of it, as the versions differ. */
static const char *picture_at(const imagine_http_response_t *response, const char *path) {
    const char *url = path != NULL ? imagine_response_data_url(response, path, NULL) : NULL;
    const char *inside = url != NULL ? strchr(url, ',') : NULL;
    return inside != NULL && strncmp(inside + 1, "data:", 5) == 0 ? inside + 1 : url;
}

/* Behind the pictures that were asked for, extensions put sketches of their own. */
static void on_drawn(imagine_call_t *call, const imagine_http_response_t *response) {
    const job_t *job = imagine_call_state(call);
    size_t count = imagine_response_count(response, "images");
    imagine_result_t result = {.size = sizeof(result), .width = job->width, .height = job->height};
    if (count > job->count)
        count = job->count;
    for (size_t i = 0; i < count; i++) {
        if (result.url != NULL)
            imagine_call_picture(call, result.url);
        result.url = picture_at(response, imagine_call_printf(call, "images[%zu]", i));
    }
    if (result.url != NULL)
        imagine_call_succeed(call, &result);
    else
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "an answer without pictures in images");
}

static void on_upscaled(imagine_call_t *call, const imagine_http_response_t *response) {
    imagine_result_t result = {.size = sizeof(result)};
    result.url = picture_at(response, "image");
    if (result.url != NULL)
        imagine_call_succeed(call, &result);
    else
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "an answer without a picture in image");
}

/* {"error": the exception's class, "detail": …, "errors": …}: what a person wants to read stands in
 * the last two. A server that was started without --api knows none of our paths. */
static void classify(imagine_call_t *call, const imagine_http_response_t *response,
                     imagine_verdict_t *verdict) {
    const char *detail = imagine_response_string(response, "detail");
    const char *errors = imagine_response_string(response, "errors");
    (void)call;
    if (response->status == 404 && detail != NULL && strcmp(detail, "Not Found") == 0) {
        verdict->reason = IMAGINE_EUPSTREAM;
        verdict->message = "the server has no /sdapi: it wants to be started with --api";
    } else if (detail != NULL && detail[0] != '\0') {
        verdict->message = detail;
    } else if (errors != NULL && errors[0] != '\0') {
        verdict->message = errors;
    }
}

/* ---- giving up
 * ------------------------------------------------------------------------------------
 */

static void on_interrupted(imagine_call_t *call, const imagine_http_response_t *response) {
    const imagine_result_t result = {.size = sizeof(result), .text = ""};
    (void)response;
    imagine_call_succeed(call, &result);
}

static void cancel(imagine_call_t *call) {
    imagine_call_request_t request = {.size = sizeof(request), .method = "POST"};
    request.url = imagine_call_url(call, "/sdapi/v1/interrupt");
    request.auth = IMAGINE_AUTH_BASIC;
    request.limit = IMAGINE_LIMIT_STATUS;
    imagine_call_http(call, &request, on_interrupted);
}

const imagine_provider_t imi_kind_sdwebui = {
    .size = sizeof(imi_kind_sdwebui),
    .name = "sdwebui",
    .flags = IMAGINE_PROVIDER_TOKEN_OPTIONAL,
    .generate = generate,
    .edit = edit,
    .upscale = upscale,
    .cancel = cancel,
    .classify = classify,
};
