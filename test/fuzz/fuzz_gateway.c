/* fuzz_gateway.c: whole requests into a gateway over a client with the sample provider, in virtual
 * time. An input reads as
 *
 *     4 POST /api/v1/generate            the size of the body's pieces, method, target
 *     Content-Type: application/json     headers; "peer: 192.0.2.1" says where it comes from
 *
 *     {"model":"sample/waves"}           the rest is the body
 *
 * with line feeds alone. Whatever comes in, there is one answer of the length that it tells, its
 * status is one of http-api.md, its JSON is valid, its headers have no line breaks, and nothing is
 * left behind. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "imagine/gateway.h"
#include "support/virtual_io.h"
#include "wire/json.h"

#define HEADERS_MAX 64
#define STEPS_MAX 40 /* of virtual time; then the caller leaves, for pictures may be large */

typedef struct answer {
    unsigned head_count, end_count;
    int32_t status;
    int64_t content_length;
    bool is_json, is_head;
    imi_buf_t body;
} answer_t;

static virtual_io_t *virtual;
static imagine_t *im;
static imagine_gateway_t *gateways[2]; /* an open one, and one with tokens and limits */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_fine) {
    if (!is_fine)
        abort();
}

static const struct {
    const char *name, *value;
} strict_settings[] = {
    {"API_TOKEN", "u"},         {"ADMIN_TOKEN", "a"},
    {"RATE_LIMIT", "1"},        {"ALLOWED_ORIGINS", "https://a.test"},
    {"MAX_BODY_BYTES", "1024"}, {"TRUSTED_PROXIES", "loopback,10.0.0.0/8"},
};

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_settings_t *settings = NULL;
    (void)argc, (void)argv;
    virtual = virtual_io_open();
    options.io = virtual_io_table(virtual);
    options.log_level = IMAGINE_LOG_INFO;
    require(imagine_open(&im, &options) == 0);
    require(imagine_settings_open(&settings) == 0);
    require(imagine_settings_set(settings, "SAMPLE_PROVIDER", "on") == 0);
    require(imagine_settings_set(settings, "RATE_LIMIT", "0") == 0);
    require(imagine_configure(im, settings, NULL) == 0);
    require(imagine_gateway_open(&gateways[0], im, settings, NULL) == 0);
    for (size_t i = 0; i < sizeof(strict_settings) / sizeof(strict_settings[0]); i++)
        require(imagine_settings_set(settings, strict_settings[i].name, strict_settings[i].value) ==
                0);
    require(imagine_gateway_open(&gateways[1], im, settings, NULL) == 0);
    imagine_settings_close(settings);
    return 0;
}

static bool is_known_status(int32_t status) {
    static const int16_t known[] = {200, 204, 304, 400, 401, 403, 404, 405, 408, 411,
                                    413, 414, 415, 422, 429, 431, 502, 503, 504};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (known[i] == status)
            return true;
    return false;
}

static void on_head(const imagine_gateway_answer_t *head, void *user) {
    answer_t *answer = user;
    require(answer->head_count++ == 0);
    require(is_known_status(head->status));
    answer->status = head->status;
    answer->content_length = head->content_length;
    for (size_t i = 0; i < head->header_count; i++) {
        require(strpbrk(head->headers[i].name, "\r\n: ") == NULL);
        require(strpbrk(head->headers[i].value, "\r\n") == NULL);
        if (strcmp(head->headers[i].name, "Content-Type") == 0)
            answer->is_json = strcmp(head->headers[i].value, "application/json") == 0;
    }
}

static void on_body(const void *data, size_t size, void *user) {
    answer_t *answer = user;
    require(answer->head_count == 1 && answer->end_count == 0 && size > 0);
    require(imi_buf_append(&answer->body, data, size) == 0);
}

static void on_end(void *user) {
    answer_t *answer = user;
    require(answer->head_count == 1 && answer->end_count++ == 0);
    require(answer->body.size == 0 || (int64_t)answer->body.size == answer->content_length);
    require(!answer->is_head || answer->body.size == 0);
    if (answer->is_json && !answer->is_head)
        require(imi_json_valid((imi_slice_t){answer->body.data, answer->body.size}, 64, NULL));
}

static const imagine_gateway_responder_t responder = {
    .size = sizeof(responder), .on_head = on_head, .on_body = on_body, .on_end = on_end};

/* Cuts a line off; it gets a NUL where it ends. */
static char *cut_line(char **rest, char *end) {
    char *line = *rest;
    char *feed = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
    *rest = feed != NULL ? feed + 1 : end;
    if (feed != NULL)
        *feed = '\0';
    return line;
}

static size_t cut_headers(char **rest, char *end, imagine_header_t *headers,
                          imagine_gateway_request_t *request) {
    size_t count = 0;
    while (*rest < end) {
        char *line = cut_line(rest, end);
        char *colon = strstr(line, ": ");
        if (line[0] == '\0')
            break;
        if (colon == NULL || count == HEADERS_MAX)
            continue;
        *colon = '\0';
        if (strcmp(line, "peer") == 0)
            request->peer = colon + 2;
        else
            headers[count++] = (imagine_header_t){line, colon + 2};
    }
    return count;
}

static void visit(imagine_gateway_t *gateway, const imagine_gateway_request_t *request,
                  const char *body, size_t body_size, size_t piece_size) {
    answer_t answer = {.is_head = strcmp(request->method, "HEAD") == 0};
    imagine_exchange_t *exchange = NULL;
    imi_buf_init(&answer.body, NULL, 0);
    require(imagine_gateway_begin(gateway, request, &responder, &answer, &exchange) == 0);
    for (size_t at = 0; at < body_size; at += piece_size)
        imagine_gateway_body(exchange, body + at,
                             body_size - at < piece_size ? body_size - at : piece_size);
    imagine_gateway_finish(exchange);
    for (int i = 0; i < STEPS_MAX && answer.end_count == 0; i++)
        require(virtual_io_step(virtual));
    imagine_gateway_release(exchange);
    require(imagine_gateway_in_flight(gateway) == 0);
    imi_buf_reset(&answer.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    imagine_header_t headers[HEADERS_MAX];
    imagine_gateway_request_t request = {
        .size = sizeof(request), .headers = headers, .peer = "127.0.0.1"};
    char *text = malloc(size + 1), *rest = text, *end = text + size, *line;
    size_t piece_size;
    require(text != NULL);
    memcpy(text, data, size);
    *end = '\0';
    line = cut_line(&rest, end);
    piece_size = (size_t)strtoul(line, &line, 10) % 4096;
    line += *line == ' ';
    request.method = line;
    line = strchr(line, ' ');
    request.target = line != NULL ? line + 1 : "/";
    if (line != NULL)
        *line = '\0';
    request.header_count = cut_headers(&rest, end, headers, &request);
    for (size_t i = 0; i < 2; i++)
        visit(gateways[i], &request, rest, (size_t)(end - rest), piece_size > 0 ? piece_size : 1);
    virtual_io_advance(virtual, 100); /* what was cancelled ends */
    free(text);
    return 0;
}
