/* script_io.c: one list of events in the order of their time; every exchange and timer is one event
 * after the other in it. Rules of imagine_io_t: nothing completes inside the call that starts it,
 * nothing runs after a cancel. Out of memory ends the test program. */
#include "support/script_io.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "support/random.h"
#include "wire/buf.h"
#include "wire/multipart.h"
#include "wire/str.h"

#define HEADERS_MAX 24
#define ANSWER_DELAY_MS 10
#define BORN_UNIX_MS INT64_C(1767888000000) /* 2026-01-08T16:00:00Z */
#define COMPLAINT_MAX 4096

static const unsigned char picture[] = {
    0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0x00, 0x00, 0x00, 0x0D, 0x49, 0x48,
    0x44, 0x52, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x02, 0x00, 0x00,
    0x00, 0x90, 0x77, 0x53, 0xDE, 0x00, 0x00, 0x00, 0x0C, 0x49, 0x44, 0x41, 0x54, 0x78,
    0x9C, 0x63, 0x38, 0x61, 0x13, 0x05, 0x00, 0x03, 0x2E, 0x01, 0x5F, 0xCC, 0xDD, 0xA1,
    0xCA, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4E, 0x44, 0xAE, 0x42, 0x60, 0x82,
};

/* An exchange or a timer: the public types are only names for it. */
typedef struct event {
    struct event *next;
    uint64_t at_ms, order;
    bool is_cancelled, is_paused;

    imagine_timer_cb on_timer; /* a timer, or: */

    const imagine_http_handler_t *handler;
    imagine_http_request_t request; /* of which the body still comes in; else body_read is NULL */
    imi_buf_t wanted, sent;         /* its body, as in the script and as it comes */
    bool is_starved;                /* it had nothing to give */
    bool has_head;
    int32_t status;
    imagine_header_t headers[HEADERS_MAX]; /* copies */
    size_t header_count;
    imi_buf_t body;
    size_t body_at;
    imagine_http_end_t end;
    void *user;
} event_t;

struct script_io {
    imagine_io_t io;
    const char *at; /* the script's next line */
    size_t piece_size;
    uint64_t now_ms, order;
    uint64_t random;
    event_t *events;
    char complaint[COMPLAINT_MAX];
};

/* ---- complaints -------------------------------------------------------------------------------
 */

static void complain(script_io_t *script, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void complain(script_io_t *script, const char *format, ...) {
    va_list arguments;
    if (script->complaint[0] != '\0')
        return; /* what follows from the first one says nothing */
    va_start(arguments, format);
    vsnprintf(script->complaint, sizeof(script->complaint), format, arguments);
    va_end(arguments);
}

const char *script_io_complaint(script_io_t *script) {
    if (script->at[0] != '\0')
        complain(script, "never asked for: %.*s", (int)strcspn(script->at, "\n"), script->at);
    return script->complaint[0] != '\0' ? script->complaint : NULL;
}

/* ---- what is sent -----------------------------------------------------------------------------
 */

typedef struct form_reader {
    imi_buf_t *out;
    bool is_file;
    size_t size;
    char type[64];
} form_reader_t;

static int on_part(void *user, const imi_multipart_part_t *part) {
    form_reader_t *reader = user;
    reader->is_file = part->filename.data != NULL;
    reader->size = 0;
    imi_buf_printf(reader->out, "%.*s: ", (int)part->name.size, part->name.data);
    if (reader->is_file)
        imi_buf_printf(reader->out, "@%.*s %.*s", (int)part->filename.size, part->filename.data,
                       (int)part->content_type.size, part->content_type.data);
    return 0;
}

static int on_part_data(void *user, const char *data, size_t size) {
    form_reader_t *reader = user;
    reader->size += size;
    return reader->is_file ? 0 : imi_buf_append(reader->out, data, size);
}

static int on_part_end(void *user) {
    form_reader_t *reader = user;
    if (reader->is_file)
        imi_buf_printf(reader->out, " %zu", reader->size);
    return imi_buf_append_byte(reader->out, '\n');
}

static const imi_multipart_handler_t form_handler = {on_part, on_part_data, on_part_end};

static const char *header_of(const imagine_http_request_t *request, const char *name) {
    for (size_t i = 0; i < request->header_count; i++)
        if (strcasecmp(request->headers[i].name, name) == 0)
            return request->headers[i].value;
    return NULL;
}

/* A form becomes lines; all else stays as it is. */
static void read_body(const imagine_http_request_t *request, imi_buf_t *out) {
    const char *type = header_of(request, "content-type");
    char boundary[71];
    imi_multipart_t multipart;
    form_reader_t reader = {.out = out};
    if (type == NULL || !imi_multipart_boundary(imi_slice_of(type), boundary)) {
        for (size_t i = 0; i < request->body_count; i++)
            imi_buf_append(out, request->body[i].data, request->body[i].size);
        return;
    }
    imi_multipart_init(&multipart, NULL, boundary, 100, &form_handler, &reader);
    for (size_t i = 0; i < request->body_count; i++)
        imi_multipart_feed(&multipart, request->body[i].data, request->body[i].size);
    if (imi_multipart_finish(&multipart) != 0)
        imi_buf_append_text(out, "(a broken form)");
    imi_multipart_reset(&multipart);
}

static void compare_bodies(script_io_t *script, const imi_buf_t *wanted, const imi_buf_t *sent) {
    const char *wanted_text = wanted->size > 0 ? wanted->data : "";
    const char *sent_text = sent->size > 0 ? sent->data : "";
    cJSON *wanted_json = cJSON_Parse(wanted_text), *sent_json = cJSON_Parse(sent_text);
    bool is_same =
        wanted_json != NULL && sent_json != NULL
            ? cJSON_Compare(wanted_json, sent_json, true)
            : wanted->size == sent->size && memcmp(wanted_text, sent_text, sent->size) == 0;
    if (!is_same)
        complain(script, "the body that was sent:\n%s\nthe one in the script:\n%s", sent_text,
                 wanted_text);
    cJSON_Delete(wanted_json);
    cJSON_Delete(sent_json);
}

static bool is_free_header(const char *name) {
    return strcasecmp(name, "user-agent") == 0 || strcasecmp(name, "accept") == 0 ||
           strcasecmp(name, "accept-encoding") == 0;
}

/* As a line of the script has it. */
static void header_line(const imagine_header_t *header, char out[512]) {
    bool is_form = strcasecmp(header->name, "content-type") == 0 &&
                   strncmp(header->value, "multipart/form-data;", 20) == 0;
    snprintf(out, 512, "%s: %s", header->name, is_form ? "multipart/form-data" : header->value);
}

/* ---- the script -------------------------------------------------------------------------------
 */

/* The next line if it begins so: what stands behind that, and the script goes on. */
static bool take_line(script_io_t *script, const char *prefix, imi_slice_t *out) {
    size_t prefix_size = strlen(prefix), size = strcspn(script->at, "\n");
    if (strncmp(script->at, prefix, prefix_size) != 0)
        return false;
    *out = (imi_slice_t){script->at + prefix_size, size > prefix_size ? size - prefix_size : 0};
    script->at += size;
    script->at += *script->at == '\n';
    return true;
}

static void compare_headers(script_io_t *script, const imagine_http_request_t *request) {
    bool was_wanted[HEADERS_MAX] = {false};
    char sent[512];
    imi_slice_t line;
    while (script->at[0] == '>' && script->at[1] == ' ' && take_line(script, "> ", &line)) {
        bool is_found = false;
        for (size_t i = 0; i < request->header_count && i < HEADERS_MAX; i++) {
            header_line(&request->headers[i], sent);
            if (imi_slice_equals_nocase(line, sent))
                is_found = was_wanted[i] = true;
        }
        if (!is_found)
            complain(script, "without the header \"%.*s\"", (int)line.size, line.data);
    }
    for (size_t i = 0; i < request->header_count && i < HEADERS_MAX; i++)
        if (!was_wanted[i] && !is_free_header(request->headers[i].name))
            complain(script, "with the header \"%s: %s\"", request->headers[i].name,
                     request->headers[i].value);
}

static void expect_request(script_io_t *script, const imagine_http_request_t *request,
                           event_t *event) {
    imi_slice_t line;
    char first[2048];
    snprintf(first, sizeof(first), "%s %s", request->method, request->url);
    if (!take_line(script, "> ", &line)) {
        complain(script, "a request too many: %s", first);
        return;
    }
    if (!imi_slice_equals(line, first))
        complain(script, "asked for: %s\nin the script: %.*s", first, (int)line.size, line.data);
    compare_headers(script, request);
    while (take_line(script, ">> ", &line)) {
        imi_buf_append(&event->wanted, line.data, line.size);
        imi_buf_append_byte(&event->wanted, '\n');
    }
    if (take_line(script, ">@", &line)) {
        int64_t size;
        line = imi_slice_trim(line);
        if (imi_parse_int64(line, &size))
            script_append_picture(&event->wanted, (size_t)size);
        else
            imi_buf_append(&event->wanted, picture, sizeof(picture));
    }
    if (request->body_read != NULL) {
        event->request = *request; /* compared when it is whole */
        return;
    }
    read_body(request, &event->sent);
    compare_bodies(script, &event->wanted, &event->sent);
}

/* Takes what there is of a body in pieces. True: it is whole, and the answer may begin. */
static bool take_body(script_io_t *script, event_t *event) {
    const imagine_http_request_t *request = &event->request;
    char piece[64];
    while (request->body_read != NULL && event->sent.size < request->body_size) {
        size_t left = (size_t)request->body_size - event->sent.size;
        int64_t size = request->body_read(piece, left < sizeof(piece) ? left : sizeof(piece),
                                          request->body_read_user);
        event->is_starved = size == 0;
        if (event->is_cancelled || size == 0)
            return false;
        if (size < 0) {
            event->end.error = (int32_t)size;
            event->status = 0;
            event->request.body_read = NULL;
            return true;
        }
        imi_buf_append(&event->sent, piece, (size_t)size);
    }
    if (request->body_read != NULL)
        compare_bodies(script, &event->wanted, &event->sent);
    event->request.body_read = NULL;
    return true;
}

static int error_by_name(imi_slice_t name) {
#define ERROR_ROW(row_name, row_number, row_text) \
    if (imi_slice_equals(name, #row_name))        \
        return IMAGINE_##row_name;
    IMAGINE_ERRORS(ERROR_ROW)
#undef ERROR_ROW
    return IMAGINE_ECONNECT;
}

static void read_first_line(event_t *event, imi_slice_t line) {
    imi_slice_t word;
    int64_t status;
    imi_slice_split(&line, ' ', &word);
    if (imi_parse_int64(word, &status)) {
        event->status = (int32_t)status;
        return;
    }
    imi_slice_split(&line, ' ', &word); /* behind "broken" */
    event->end.error = error_by_name(word);
    event->end.was_sent = imi_slice_equals(line, "sent");
    event->end.message = "broken by the script";
}

static void add_header(event_t *event, imi_slice_t line) {
    imi_slice_t name;
    if (event->header_count == HEADERS_MAX || !imi_slice_split(&line, ':', &name))
        return;
    line = imi_slice_trim(line);
    event->headers[event->header_count].name = strndup(name.data, name.size);
    event->headers[event->header_count].value = strndup(line.data, line.size);
    event->header_count++;
}

static void read_answer(script_io_t *script, event_t *event) {
    imi_slice_t line;
    if (take_line(script, "< ", &line)) {
        read_first_line(event, line);
    } else {
        event->end.error = IMAGINE_ECONNECT;
        event->end.message = "the script has no answer";
        return;
    }
    while (take_line(script, "< ", &line))
        add_header(event, line);
    while (take_line(script, "<< ", &line) || take_line(script, "<<", &line)) {
        imi_buf_append(&event->body, line.data, line.size);
        imi_buf_append_byte(&event->body, '\n');
    }
    if (take_line(script, "<@", &line))
        imi_buf_append(&event->body, picture, sizeof(picture));
}

/* ---- the table --------------------------------------------------------------------------------
 */

static event_t *event_new(script_io_t *script, uint64_t delay_ms, void *user) {
    event_t *event = calloc(1, sizeof(*event));
    if (event == NULL)
        abort();
    event->at_ms = script->now_ms + delay_ms;
    event->order = script->order++;
    event->user = user;
    event->end.size = sizeof(event->end);
    event->next = script->events;
    script->events = event;
    return event;
}

static void event_remove(script_io_t *script, event_t *event) {
    event_t **link = &script->events;
    while (*link != event)
        link = &(*link)->next;
    *link = event->next;
    for (size_t i = 0; i < event->header_count; i++) {
        free((char *)(uintptr_t)event->headers[i].name);
        free((char *)(uintptr_t)event->headers[i].value);
    }
    imi_buf_reset(&event->body);
    imi_buf_reset(&event->wanted);
    imi_buf_reset(&event->sent);
    free(event);
}

static int http_start(void *context, const imagine_http_request_t *request,
                      const imagine_http_handler_t *handler, void *user,
                      imagine_http_exchange_t **out) {
    script_io_t *script = context;
    event_t *event = event_new(script, ANSWER_DELAY_MS, user);
    event->handler = handler;
    imi_buf_init(&event->body, NULL, 0);
    imi_buf_init(&event->wanted, NULL, 0);
    imi_buf_init(&event->sent, NULL, 0);
    expect_request(script, request, event);
    read_answer(script, event);
    *out = (imagine_http_exchange_t *)event;
    return 0;
}

static void http_cancel(void *context, imagine_http_exchange_t *exchange) {
    (void)context;
    ((event_t *)exchange)->is_cancelled = true;
}

static void http_pause(void *context, imagine_http_exchange_t *exchange, int32_t is_paused) {
    (void)context;
    ((event_t *)exchange)->is_paused = is_paused != 0;
    ((event_t *)exchange)->is_starved = false;
}

static int timer_start(void *context, uint64_t delay_ms, imagine_timer_cb on_timer, void *user,
                       imagine_timer_t **out) {
    event_t *event = event_new(context, delay_ms, user);
    event->on_timer = on_timer;
    *out = (imagine_timer_t *)event;
    return 0;
}

static void timer_cancel(void *context, imagine_timer_t *timer) {
    (void)context;
    ((event_t *)timer)->is_cancelled = true;
}

static uint64_t now_ms(void *context) {
    return ((script_io_t *)context)->now_ms;
}

static int64_t unix_ms(void *context) {
    return BORN_UNIX_MS + (int64_t)((script_io_t *)context)->now_ms;
}

/* The same in every run. */
static int random_bytes(void *context, void *out, size_t size) {
    script_io_t *script = context;
    for (size_t i = 0; i < size; i++) {
        script->random = script->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        ((unsigned char *)out)[i] = (unsigned char)(script->random >> 56);
    }
    return 0;
}

/* ---- running ----------------------------------------------------------------------------------
 */

static void run_exchange(script_io_t *script, event_t *event) {
    const imagine_http_handler_t *handler = event->handler;
    if (!take_body(script, event))
        return;
    if (!event->has_head && event->status != 0) {
        imagine_http_head_t head = {.size = sizeof(head), .status = event->status};
        head.http_version = 11;
        head.headers = event->headers;
        head.header_count = event->header_count;
        event->has_head = true;
        handler->on_head(&head, event->user);
    } else if (event->body_at < event->body.size) {
        size_t left = event->body.size - event->body_at;
        size_t size =
            script->piece_size == 0 || left < script->piece_size ? left : script->piece_size;
        event->body_at += size;
        handler->on_body(event->body.data + event->body_at - size, size, event->user);
    } else {
        event->is_cancelled = true; /* over: removed in the next turn */
        handler->on_end(&event->end, event->user);
    }
}

bool script_io_step(script_io_t *script) {
    event_t *due = NULL;
    for (event_t *event = script->events, *next; event != NULL; event = next) {
        next = event->next;
        if (event->is_cancelled)
            event_remove(script, event);
        else if (!event->is_paused && !event->is_starved &&
                 (due == NULL || event->at_ms < due->at_ms ||
                  (event->at_ms == due->at_ms && event->order < due->order)))
            due = event;
    }
    if (due == NULL)
        return false;
    if (due->at_ms > script->now_ms)
        script->now_ms = due->at_ms;
    due->order = script->order++; /* others of the same time have their turn in between */
    if (due->on_timer != NULL) {
        due->is_cancelled = true;
        due->on_timer(due->user);
    } else {
        run_exchange(script, due);
    }
    return true;
}

/* ---- life -------------------------------------------------------------------------------------
 */

script_io_t *script_io_open(const char *text, size_t piece_size) {
    script_io_t *script = calloc(1, sizeof(*script));
    if (script == NULL)
        abort();
    script->io = (imagine_io_t){.size = sizeof(script->io),
                                .context = script,
                                .http_start = http_start,
                                .http_cancel = http_cancel,
                                .http_pause = http_pause,
                                .timer_start = timer_start,
                                .timer_cancel = timer_cancel,
                                .now_ms = now_ms,
                                .unix_ms = unix_ms,
                                .random = random_bytes};
    script->at = text;
    script->piece_size = piece_size;
    script->now_ms = 1000;
    return script;
}

void script_io_close(script_io_t *script) {
    while (script->events != NULL) {
        if (!script->events->is_cancelled) {
            fprintf(stderr, "script_io: %s is left\n",
                    script->events->on_timer != NULL ? "a timer" : "an exchange");
            abort();
        }
        event_remove(script, script->events);
    }
    free(script);
}

const imagine_io_t *script_io_table(const script_io_t *script) {
    return &script->io;
}

const void *script_picture(size_t *out_size) {
    *out_size = sizeof(picture);
    return picture;
}

void script_append_picture(imi_buf_t *out, size_t size) {
    uint64_t state = size, word = 0;
    if (imi_buf_reserve(out, size) != 0)
        abort();
    for (size_t i = 0; i < size; i++, word >>= 8) {
        if (i % sizeof(word) == 0)
            word = random_next(&state);
        out->data[out->size + i] = i < sizeof(picture) ? (char)picture[i] : (char)word;
    }
    out->size += size;
    out->data[out->size] = '\0';
}
