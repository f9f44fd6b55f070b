/* gateway_host.c: see gateway_host.h. The responder checks what every host relies on: one head,
 * then pieces, then one end, of the length that was told. */
#include "support/gateway_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/gateway.h"
#include "imagine/provider.h"

static void require(bool is_fine, const char *what) {
    if (is_fine)
        return;
    (void)fprintf(stderr, "gateway_host: %s\n", what);
    abort();
}

/* ---- providers ---------------------------------------------------------------------------------
 */

static const char *prompt_of(const imagine_call_t *call) {
    const char *prompt = imagine_call_params(call)->prompt;
    return prompt != NULL ? prompt : "";
}

static void succeed(imagine_call_t *call) {
    imagine_result_t result = {.size = sizeof(result), .url = "https://cdn.test/1.png"};
    imagine_call_succeed(call, &result);
}

static void succeed_late(imagine_call_t *call) {
    imagine_call_task(call, "upstream/2", 1);
    imagine_call_sleep(call, 1000, succeed);
}

static void succeed_at_length(imagine_call_t *call) {
    static const char front[] = "data:image/png;base64,";
    imagine_result_t result = {.size = sizeof(result)};
    char *url = imagine_call_alloc(call, 8001);
    memset(url, 'A', 8000);
    memcpy(url, front, sizeof(front) - 1);
    result.url = url;
    imagine_call_succeed(call, &result);
}

static int error_named(const char *name) {
    for (int error = -1; error > -40; error--)
        if (strcmp(imagine_err_name(error) + strlen("IMAGINE_"), name) == 0)
            return error;
    require(false, "no such error");
    return 0;
}

static void generate(imagine_call_t *call) {
    const char *prompt = prompt_of(call);
    if (strcmp(prompt, "wait") == 0)
        imagine_call_sleep(call, 1000, succeed);
    else if (strcmp(prompt, "paid") == 0)
        succeed_late(call);
    else if (strcmp(prompt, "long") == 0)
        succeed_at_length(call);
    else if (strncmp(prompt, "fail ", 5) == 0)
        imagine_call_fail(call, error_named(prompt + 5), "the provider's reason");
    else
        succeed(call);
}

/* Says what came in: each picture's size, or the address that the caller gave. */
static void edit(imagine_call_t *call) {
    imagine_result_t result = {.size = sizeof(result)};
    const char *url = "https://cdn.test/edited";
    const imagine_image_t *image;
    if (strcmp(prompt_of(call), "wait") == 0) {
        imagine_call_sleep(call, 1000, succeed);
        return;
    }
    for (size_t i = 0; (image = imagine_call_image(call, i)) != NULL; i++)
        url = imagine_call_printf(call, "%s/%zu-%.3s", url, image->data_size,
                                  (const char *)image->data);
    result.url = url;
    imagine_call_succeed(call, &result);
}

/* "pieces N": so many, one each 10 ms, "0 ", "1 " …; "broken N": then it fails. */
static void next_piece(imagine_call_t *call) {
    imagine_result_t result = {.size = sizeof(result)};
    int *done = imagine_call_state(call);
    int wanted = (int)strtol(prompt_of(call) + 7, NULL, 10);
    if (*done == wanted && prompt_of(call)[0] == 'b') {
        imagine_call_fail(call, IMAGINE_EUPSTREAM, "the provider's reason");
    } else if (*done == wanted) {
        imagine_call_succeed(call, &result);
    } else {
        const char *piece = imagine_call_printf(call, "%d ", (*done)++);
        imagine_call_delta(call, piece, strlen(piece));
        imagine_call_sleep(call, 10, next_piece);
    }
}

static void text(imagine_call_t *call) {
    imagine_result_t result = {.size = sizeof(result), .usage_json = "{\"total_tokens\":3}"};
    if (strncmp(prompt_of(call), "pieces ", 7) == 0 ||
        strncmp(prompt_of(call), "broken ", 7) == 0) {
        imagine_call_set_state(call, imagine_call_alloc(call, sizeof(int)));
        next_piece(call);
        return;
    }
    result.text = imagine_call_concat(call, "better: ", prompt_of(call));
    imagine_call_succeed(call, &result);
}

static void video(imagine_call_t *call) {
    imagine_call_task(call, "upstream/1", 120);
    imagine_call_sleep(call, 5000, succeed);
}

static const imagine_provider_t provider = {
    .size = sizeof(provider),
    .name = "test",
    .catalogue = "{\"api_base\":\"https://api.test\",\"models\":["
                 "{\"key\":\"one\",\"name\":\"One\",\"type\":[\"text2image\",\"image2image\"]},"
                 "{\"key\":\"up\",\"name\":\"Up\",\"type\":[\"upscaler\"]}]}",
    .flags = IMAGINE_PROVIDER_TOKEN_OPTIONAL,
    .generate = generate,
    .edit = edit,
    .text = text,
    .video = video,
    .upscale = edit,
};

/* ---- host --------------------------------------------------------------------------------------
 */

static void apply(imagine_settings_t *settings, const char *text_of_all) {
    char *copy = strdup(text_of_all), *rest = copy, *pair;
    require(copy != NULL, "no memory");
    while ((pair = strsep(&rest, ";")) != NULL) {
        char *equals = strchr(pair, '=');
        if (equals == NULL)
            continue;
        *equals = '\0';
        require(imagine_settings_set(settings, pair, equals + 1) == 0,
                imagine_settings_message(settings));
    }
    free(copy);
}

int gateway_host_open(gateway_host_t *host, const imi_mem_t *mem, const char *settings_text) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_provider_t needy = provider;
    imagine_settings_t *settings = NULL;
    int err;
    memset(host, 0, sizeof(*host));
    needy.name = "needy";
    needy.catalogue = "{\"api_base\":\"https://needy.test\",\"models\":["
                      "{\"key\":\"one\",\"name\":\"Needy\",\"type\":[\"text2image\"]}]}";
    needy.flags = 0;
    needy.edit = NULL;
    host->virtual = virtual_io_open();
    options.io = virtual_io_table(host->virtual);
    require(imagine_settings_open(&settings) == 0, "settings");
    if (settings_text != NULL)
        apply(settings, settings_text);
    options.log_level = (int32_t)imagine_settings_get_int(settings, "LOG_LEVEL");
    require(imagine_open(&host->im, &options) == 0, "imagine_open");
    require(imagine_register_provider(host->im, &provider) == 0, "register test");
    require(imagine_register_provider(host->im, &needy) == 0, "register needy");
    require(imagine_configure(host->im, settings, NULL) == 0, "imagine_configure");
    err = imi_gateway_open(&host->gateway, mem, host->im, settings, NULL);
    imagine_settings_close(settings);
    return err;
}

static void on_closed(void *user) {
    *(bool *)user = true;
}

void gateway_host_close(gateway_host_t *host) {
    bool is_closed = false;
    require(host->gateway == NULL || imagine_gateway_in_flight(host->gateway) == 0,
            "exchanges are left");
    imagine_gateway_close(host->gateway);
    imagine_close(host->im, on_closed, &is_closed);
    while (!is_closed && virtual_io_step(host->virtual))
        continue;
    require(is_closed, "the client does not close");
    virtual_io_close(host->virtual);
}

/* ---- visits ------------------------------------------------------------------------------------
 */

static void on_head(const imagine_gateway_answer_t *answer, void *user) {
    visit_t *visit = user;
    size_t size = 0;
    require(visit->head_count++ == 0, "a second head");
    visit->status = answer->status;
    visit->wants_close = answer->wants_close;
    visit->content_length = answer->content_length;
    for (size_t i = 0; i < answer->header_count; i++)
        size += (size_t)snprintf(visit->headers + size, sizeof(visit->headers) - size, "%s: %s\n",
                                 answer->headers[i].name, answer->headers[i].value);
    require(size < sizeof(visit->headers), "too many headers");
    if (visit->aborts_in_head)
        imagine_gateway_abort(visit->exchange);
    if (visit->releases_in_head)
        visit_release(visit);
}

static void on_body(const void *data, size_t data_size, void *user) {
    visit_t *visit = user;
    require(visit->head_count == 1 && visit->end_count == 0, "a piece at the wrong time");
    require(visit->exchange != NULL && !visit->aborts_in_head, "a piece for nobody");
    require(data_size > 0 && data_size < sizeof(visit->body) - visit->body_size, "a strange piece");
    memcpy(visit->body + visit->body_size, data, data_size);
    visit->body_size += data_size;
    visit->last_piece = data;
}

static void on_end(void *user) {
    visit_t *visit = user;
    require(visit->head_count == 1 && visit->end_count++ == 0, "an end at the wrong time");
    require(visit->exchange != NULL && !visit->aborts_in_head, "an end for nobody");
    require(visit->body_size == 0 || visit->content_length < 0 ||
                visit->content_length == (int64_t)visit->body_size,
            "another length than told");
    if (visit->releases_in_end)
        visit_release(visit);
}

static const imagine_gateway_responder_t responder = {
    .size = sizeof(responder), .on_head = on_head, .on_body = on_body, .on_end = on_end};

/* Cuts lines out of `text`, in place. */
static size_t read_headers(char *lines, imagine_header_t *headers, const char **out_peer) {
    char *line;
    size_t count = 0;
    while ((line = strsep(&lines, "\n")) != NULL) {
        char *colon = strstr(line, ": ");
        if (colon == NULL)
            continue;
        *colon = '\0';
        if (strcmp(line, "peer") == 0) {
            *out_peer = colon + 2;
            continue;
        }
        require(count < GATEWAY_HOST_HEADERS_MAX, "too many headers");
        headers[count++] = (imagine_header_t){line, colon + 2};
    }
    return count;
}

int visit_begin(visit_t *visit, gateway_host_t *host, const char *method, const char *target,
                const char *header_lines) {
    imagine_header_t headers[GATEWAY_HOST_HEADERS_MAX];
    char *lines = strdup(header_lines != NULL ? header_lines : "");
    imagine_gateway_request_t request = {.size = sizeof(request),
                                         .method = method,
                                         .target = target,
                                         .headers = headers,
                                         .peer = "127.0.0.1"};
    int err;
    require(lines != NULL, "no memory");
    visit->host = host;
    request.header_count = read_headers(lines, headers, &request.peer);
    err = imagine_gateway_begin(host->gateway, &request, &responder, visit, &visit->exchange);
    free(lines); /* nothing of it may be needed later */
    return err;
}

void visit_send(visit_t *visit, const char *body, size_t body_size, size_t piece_size) {
    for (size_t at = 0; at < body_size && visit->exchange != NULL;) {
        size_t size = piece_size == 0 || piece_size > body_size - at ? body_size - at : piece_size;
        char *copy = malloc(size); /* exact, and gone at once */
        require(copy != NULL, "no memory");
        memcpy(copy, body + at, size);
        imagine_gateway_body(visit->exchange, copy, size);
        free(copy);
        at += size;
    }
    if (visit->exchange != NULL)
        imagine_gateway_finish(visit->exchange);
}

void visit_wait(visit_t *visit) {
    while (visit->end_count == 0 && visit->exchange != NULL &&
           virtual_io_step(visit->host->virtual))
        continue;
}

void visit_release(visit_t *visit) {
    imagine_exchange_t *exchange = visit->exchange;
    visit->exchange = NULL;
    imagine_gateway_release(exchange);
}

void visit_make(visit_t *visit, gateway_host_t *host, const char *method, const char *target,
                const char *header_lines, const char *body) {
    char lines[8192];
    bool has_length = header_lines != NULL && (strstr(header_lines, "Content-Length") != NULL ||
                                               strstr(header_lines, "Transfer-Encoding") != NULL);
    memset(visit, 0, sizeof(*visit));
    (void)snprintf(lines, sizeof(lines), "%s", header_lines != NULL ? header_lines : "");
    if (body != NULL && !has_length)
        (void)snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines),
                       "\nContent-Length: %zu", strlen(body));
    if (visit_begin(visit, host, method, target, lines) != 0)
        return;
    visit_send(visit, body != NULL ? body : "", body != NULL ? strlen(body) : 0, 0);
    visit_wait(visit);
    visit_release(visit);
}
