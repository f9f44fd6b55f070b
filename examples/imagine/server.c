/* server.c: an imagine-server as one more provider, written against imagine/provider.h like any
 * other. The work of the other end is not done twice here: which provider, which token, sizes and
 * defaults are the server's business, so what goes there is what was asked for.
 *
 *   POST generate, edit, upscaler  -> url: a data: address, as we ask for
 *   POST text                      -> events with choices[0].delta.content, then [DONE]
 *   POST video                     -> taskId
 *   GET task-status, again and again -> status: processing, success, failed
 *   DELETE task-status             when the caller gives up
 *
 * Pictures that go in make the body a form. The token is no token of the library's pool: there is
 * one, and a server that refuses it says why. */
#include "server.h"

#include <imagine/provider.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exit_code.h"
#include "loop.h"
#include "say.h"

#define TIMEOUT_MS (60 * 60 * 1000) /* of one answer: that of the request is shorter */
#define LOOKUP_MS 30000
#define LOOKUP_SIZE_MAX (16 * 1024 * 1024)
#define HEADER_SIZE 4096

static char authorization[HEADER_SIZE]; /* "Bearer …"; empty: the server is open */
static char origin[HEADER_SIZE];        /* scheme, host and port, for addresses without them */

/* ---- requests ---------------------------------------------------------------------------------
 */

static void ask(imagine_call_t *call, imagine_call_request_t *request,
                imagine_response_cb on_response) {
    imagine_header_t header = {"Authorization", authorization[0] != '\0' ? authorization : NULL};
    request->size = sizeof(*request);
    request->headers = &header;
    request->header_count = 1;
    request->auth = IMAGINE_AUTH_NONE;
    imagine_call_http(call, request, on_response);
}

/* What was asked for, and what the library made whole of it that the server may know. */
static imagine_body_t *describe(imagine_call_t *call) {
    const app_t *app = imagine_call_user(call);
    const imagine_params_t *params = imagine_call_params(call), *asked = &app->options.params;
    bool is_form = params->image_count > 0;
    imagine_body_t *body = is_form ? imagine_body_multipart(call) : imagine_body_json(call);
    imagine_body_put_text(body, "model", imagine_call_model(call));
    imagine_body_put_text(body, "prompt", params->prompt);
    imagine_body_put_text(body, "negativePrompt", asked->negative_prompt);
    imagine_body_put_text(body, "ar", asked->ar);
    if (asked->width != 0 && asked->height != 0) {
        imagine_body_put_int(body, "width", asked->width);
        imagine_body_put_int(body, "height", asked->height);
    }
    if (asked->steps != 0)
        imagine_body_put_int(body, "steps", asked->steps);
    if (asked->guidance > 0)
        imagine_body_put_number(body, "guidance", asked->guidance);
    if (asked->duration_s > 0)
        imagine_body_put_number(body, "duration", asked->duration_s);
    for (size_t i = 0; i < params->image_count; i++)
        imagine_body_put_image(body, "image", imagine_call_image(call, i));
    return body;
}

static void put_switch(imagine_call_t *call, imagine_body_t *body, const char *name, bool value) {
    if (imagine_call_params(call)->image_count > 0)
        imagine_body_put_text(body, name, value ? "true" : "false");
    else
        imagine_body_put_bool(body, name, value);
}

/* ---- pictures ---------------------------------------------------------------------------------
 */

static void on_pictured(imagine_call_t *call, const imagine_http_response_t *response) {
    imagine_result_t result = {.size = sizeof(result)};
    double width = 0, height = 0;
    result.url = imagine_response_string(response, "url");
    result.revised_prompt = imagine_response_string(response, "revisedPrompt");
    imagine_response_number(response, "width", &width);
    imagine_response_number(response, "height", &height);
    if (width > 0 && width <= UINT16_MAX && height > 0 && height <= UINT16_MAX) {
        result.width = (uint32_t)width;
        result.height = (uint32_t)height;
    }
    if (result.url != NULL)
        imagine_call_succeed(call, &result);
    else
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "the server's answer has no url");
}

static void make_picture(imagine_call_t *call) {
    const app_t *app = imagine_call_user(call);
    imagine_call_request_t request = {.limit = IMAGINE_LIMIT_IMAGE};
    imagine_body_t *body = describe(call);
    const char *action = imagine_call_action(call);
    if (strcmp(action, "upscaler") != 0) /* ours, so that the one we tell is the one it was */
        imagine_body_put_int(body, "seed", imagine_call_params(call)->seed);
    if (app->options.params.enable_hd != 0)
        put_switch(call, body, "enableHD", app->options.params.enable_hd > 0);
    imagine_body_put_text(body, "response_format", "b64_json");
    request.url = imagine_call_url(call, imagine_call_concat(call, "/api/v1/", action));
    request.body = body;
    ask(call, &request, on_pictured);
}

/* ---- texts ------------------------------------------------------------------------------------
 */

static void on_text(imagine_call_t *call, const imagine_http_response_t *response) {
    imagine_result_t result = {.size = sizeof(result)};
    result.text = imagine_response_string(response, "text");
    result.usage_json = imagine_response_json(response, "usage");
    if (result.text != NULL)
        imagine_call_succeed(call, &result);
    else
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "the server's answer has no text");
}

static void on_event(imagine_call_t *call, const char *name, const imagine_http_response_t *data) {
    imagine_result_t result = {.size = sizeof(result)};
    const char *error = imagine_response_string(data, "error.code");
    if (error != NULL)
        imagine_call_fail(call,
                          error_of_name(error) != 0 ? error_of_name(error) : IMAGINE_EUPSTREAM,
                          imagine_response_string(data, "error.message"));
    else if (data->body_size == 6 && memcmp(data->body, "[DONE]", 6) == 0)
        imagine_call_succeed(call, &result);
    else
        imagine_call_delta_at(call, data, "choices[0].delta.content");
    (void)name;
}

static void make_text(imagine_call_t *call) {
    const app_t *app = imagine_call_user(call);
    const imagine_params_t *asked = &app->options.params;
    imagine_call_request_t request = {.size = sizeof(request), .limit = IMAGINE_LIMIT_IMAGE};
    imagine_header_t header = {"Authorization", authorization[0] != '\0' ? authorization : NULL};
    imagine_body_t *body = describe(call);
    if (asked->has_temperature != 0)
        imagine_body_put_number(body, "temperature", asked->temperature);
    if (asked->max_tokens != 0)
        imagine_body_put_int(body, "max_tokens", asked->max_tokens);
    request.url = imagine_call_url(call, "/api/v1/text");
    request.body = body;
    if (imagine_call_wants_pieces(call) == 0) {
        ask(call, &request, on_text);
        return;
    }
    put_switch(call, body, "stream", true);
    request.headers = &header;
    request.header_count = 1;
    request.auth = IMAGINE_AUTH_NONE;
    imagine_call_events(call, &request, on_event, on_text);
}

/* ---- videos -----------------------------------------------------------------------------------
 */

static char task[512]; /* the server's name of it; "": none yet */

const char *server_task(void) {
    return task;
}

bool server_set_task(const char *id) {
    return (size_t)snprintf(task, sizeof(task), "%s", id) < sizeof(task);
}

static void on_polled(imagine_call_t *call, const imagine_http_response_t *response);

static const char *task_url(imagine_call_t *call) {
    const char *id = imagine_call_escape(call, imagine_call_task_id(call));
    return imagine_call_url(call, imagine_call_concat(call, "/api/v1/task-status?taskId=", id));
}

static void poll_task(imagine_call_t *call) {
    imagine_call_request_t request = {.url = task_url(call)};
    ask(call, &request, on_polled);
}

static void on_polled(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *status = imagine_response_string(response, "status");
    const char *url = imagine_response_string(response, "url");
    imagine_result_t result = {.size = sizeof(result)};
    double progress = -1, position = 0;
    if (status != NULL && strcmp(status, "failed") == 0) {
        const char *reason = imagine_response_string(response, "error");
        imagine_call_fail(call, IMAGINE_EUPSTREAM, reason != NULL ? reason : "the task failed");
    } else if (status != NULL && strcmp(status, "success") == 0 && url != NULL) {
        result.url = url[0] == '/' ? imagine_call_concat(call, origin, url) : url;
        imagine_call_succeed(call, &result);
    } else if (status != NULL && strcmp(status, "processing") == 0) {
        imagine_response_number(response, "progress", &progress);
        imagine_response_number(response, "queuePosition", &position);
        imagine_call_progress(call, progress,
                              position > 0 && position < 1e9 ? (uint32_t)position : 0);
        imagine_call_poll(call, poll_task);
    } else {
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "the server's answer is no task's state");
    }
}

static void on_taken_on(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *id = imagine_response_string(response, "taskId");
    double predict = 0;
    imagine_response_number(response, "predict", &predict);
    if (id == NULL) {
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "the server's answer has no taskId");
        return;
    }
    snprintf(task, sizeof(task), "%s", id);
    imagine_call_task(call, id, predict > 0 && predict < 1e6 ? (uint32_t)predict : 0);
    imagine_call_poll(call, poll_task);
}

static void make_video(imagine_call_t *call) {
    imagine_call_request_t request = {.limit = IMAGINE_LIMIT_IMAGE};
    if (task[0] != '\0') { /* the server has it under way */
        imagine_call_task(call, task, 0);
        imagine_call_poll(call, poll_task);
        return;
    }
    request.url = imagine_call_url(call, "/api/v1/video");
    request.body = describe(call);
    ask(call, &request, on_taken_on);
}

static void on_given_up(imagine_call_t *call, const imagine_http_response_t *response) {
    imagine_call_fail(call, IMAGINE_ECANCELED, NULL);
    (void)response;
}

static void give_up(imagine_call_t *call) {
    imagine_call_request_t request = {.method = "DELETE", .accept_any_status = 1};
    const char *id = imagine_call_task_id(call);
    if (id == NULL || id[0] == '\0') {
        imagine_call_fail(call, IMAGINE_ECANCELED, NULL);
        return;
    }
    request.url = task_url(call);
    ask(call, &request, on_given_up);
}

/* ---- the provider ------------------------------------------------------------------------------
 */

/* The server says in our own words why; when it may work again stands in a header. */
static void classify(imagine_call_t *call, const imagine_http_response_t *response,
                     imagine_verdict_t *verdict) {
    int error = error_of_name(imagine_response_string(response, "code"));
    const char *message = imagine_response_string(response, "message");
    const char *retry_after = imagine_response_header(response, "Retry-After");
    if (error == 0)
        return; /* not an imagine-server, or something in front of it */
    verdict->reason = error;
    verdict->is_for_model = 0;
    verdict->message = message;
    verdict->retry_after_ms = retry_after != NULL ? strtoull(retry_after, NULL, 10) * 1000 : 0;
    (void)call;
}

/* All hosts may be private that the caller has named: this one. */
static int allow_host(app_t *app, imagine_settings_t *settings) {
    const char *host = strstr(app->server, "://") + 3;
    const char *others = imagine_settings_get(app->settings, "ALLOW_PRIVATE_HOSTS");
    char list[HEADER_SIZE];
    size_t size = strcspn(host, ":/");
    if (*host == '[') {
        host++;
        size = strcspn(host, "]");
    }
    snprintf(list, sizeof(list), "%.*s%s%s", (int)size, host, others != NULL ? "," : "",
             others != NULL ? others : "");
    return imagine_settings_set(settings, "ALLOW_PRIVATE_HOSTS", list);
}

/* The library keeps nothing here, and leaves the time to the request: state is the server's. */
static int configure(app_t *app, char **out_message) {
    static const char *const kept[] = {"POLL_INTERVAL_MS", "TIMEOUT_DOWNLOAD_MS",
                                       "TIMEOUT_STATUS_MS", "CA_FILE"};
    imagine_settings_t *settings = NULL;
    char timeout[32];
    int err = imagine_settings_open(&settings);
    snprintf(timeout, sizeof(timeout), "%d", TIMEOUT_MS);
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]) && err == 0; i++)
        err = imagine_settings_set(settings, kept[i], imagine_settings_get(app->settings, kept[i]));
    if (err == 0)
        err = imagine_settings_set(settings, "STATE_FILE", ":memory:");
    if (err == 0)
        err = imagine_settings_set(settings, "SAMPLE_PROVIDER", "off");
    if (err == 0)
        err = imagine_settings_set(settings, "TIMEOUT_IMAGE_MS", timeout);
    if (err == 0)
        err = allow_host(app, settings);
    if (err == 0)
        err = imagine_configure(app->im, settings, out_message);
    imagine_settings_close(settings);
    return err;
}

int server_attach(app_t *app) {
    imagine_provider_t provider = {
        .size = sizeof(provider),
        .name = "server",
        .catalogue = "{\"models\":[]}",
        .flags = IMAGINE_PROVIDER_TOKEN_OPTIONAL,
        .generate = make_picture,
        .edit = make_picture,
        .upscale = make_picture,
        .text = make_text,
        .video = make_video,
        .resume = poll_task,
        .cancel = give_up,
        .classify = classify,
        .user = app,
    };
    const char *token = imagine_settings_get(app->settings, "IMAGINE_API_TOKEN");
    const char *host = strstr(app->server, "://") + 3;
    char *message = NULL;
    int err, code = 0;
    if (token != NULL && token[0] != '\0')
        snprintf(authorization, sizeof(authorization), "Bearer %s", token);
    snprintf(origin, sizeof(origin), "%.*s", (int)(host + strcspn(host, "/") - app->server),
             app->server);
    err = imagine_register_provider(app->im, &provider);
    if (err == 0)
        err = configure(app, &message);
    if (err == 0)
        err = imagine_set_api_base(app->im, "server", app->server);
    if (err != 0)
        code = say_failure(app, err, message);
    imagine_free(message);
    return code;
}

/* ---- looking around ---------------------------------------------------------------------------
 */
/* No action of a provider: an exchange through the client's own door to the world. */

typedef struct lookup {
    char *data;
    size_t size;
    int status, error;
    bool has_ended;
    char message[256];
} lookup_t;

static void on_head(const imagine_http_head_t *head, void *user) {
    lookup_t *lookup = user;
    lookup->status = head->status;
}

static void on_body(const void *data, size_t size, void *user) {
    lookup_t *lookup = user;
    char *larger = realloc(lookup->data, lookup->size + size + 1);
    if (larger == NULL) {
        lookup->error = IMAGINE_ENOMEM;
        return;
    }
    lookup->data = larger;
    memcpy(larger + lookup->size, data, size);
    lookup->size += size;
    larger[lookup->size] = '\0';
}

static void on_end(const imagine_http_end_t *end, void *user) {
    lookup_t *lookup = user;
    lookup->has_ended = true;
    if (lookup->error == 0)
        lookup->error = end->error;
    if (end->message != NULL)
        snprintf(lookup->message, sizeof(lookup->message), "%s", end->message);
}

static int judge(app_t *app, const lookup_t *lookup) {
    char *message = NULL, *name = NULL;
    int error = lookup->error, code;
    if (error == 0 && lookup->status == 200 && lookup->data != NULL &&
        (lookup->data[0] == '[' || lookup->data[0] == '{'))
        return 0;
    if (error == 0 && lookup->data != NULL) {
        message = imagine_json_text(lookup->data, lookup->size, "message");
        name = imagine_json_text(lookup->data, lookup->size, "code");
        error = error_of_name(name);
    }
    if (error == 0)
        error = IMAGINE_EUPSTREAM;
    code = say_failure(app, error,
                       message != NULL              ? message
                       : lookup->message[0] != '\0' ? lookup->message
                                                    : "the server did not answer as one");
    imagine_free(message);
    imagine_free(name);
    return code;
}

int server_get(app_t *app, const char *path, char **out) {
    static const imagine_http_handler_t handler = {sizeof(handler), on_head, on_body, on_end};
    const imagine_io_t *io = imagine_io(app->im);
    imagine_header_t header = {"Authorization", authorization};
    imagine_http_request_t request = {.size = sizeof(request), .method = "GET"};
    imagine_http_exchange_t *exchange = NULL;
    lookup_t lookup = {.status = 0};
    char url[HEADER_SIZE];
    int err, code;
    snprintf(url, sizeof(url), "%s/api/v1%s", app->server, path);
    request.url = url;
    request.headers = &header;
    request.header_count = authorization[0] != '\0' ? 1 : 0;
    request.timeout_ms = LOOKUP_MS;
    request.response_size_max = LOOKUP_SIZE_MAX;
    err = io->http_start(io->context, &request, &handler, &lookup, &exchange);
    if (err != 0)
        return say_failure(app, err, NULL);
    while (!lookup.has_ended && loop_signal() == 0)
        loop_turn(app->im, LOOKUP_MS);
    if (!lookup.has_ended) {
        io->http_cancel(io->context, exchange);
        code = CODE_SIGNAL + loop_signal();
    } else {
        code = judge(app, &lookup);
    }
    if (code == 0)
        *out = lookup.data;
    else
        free(lookup.data);
    return code;
}
