/* file_io.c: an io table of one's own, which reaches no network: it answers every exchange from a
 * file. Copy it into the tests of a program that makes pictures: they need no account, no server
 * and no time, for its clock leaps to whatever is due next.
 *
 *   ./file_io answers.json gitee/flux-2 "a cat"       with GITEE_TOKENS=any in the environment
 *
 * The file is an array. An exchange gets the first answer that is left and whose "url" is a part of
 * its own; without one there is no connection. "status" may be left out (200), and "headers"
 * (JSON).
 *
 *   [{"url": "/images/generations", "status": 429, "headers": {"Retry-After": "2"}, "body": {}},
 *    {"url": "/images/generations", "body": {"data": [{"url": "https://pictures.test/cat.png"}]}}]
 */
#include <imagine.h>
#include <imagine/io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define ANSWERS_MAX 256
#define FILE_SIZE_MAX (16 << 20)
#define HEADERS_MAX 16
#define PATH_SIZE 192
#define BORN_UNIX_MS INT64_C(1767888000000) /* always 2026-01-08: no test depends on today */

/* What is under way, of either kind: a timer, or an exchange whose answer is due. */
typedef struct event {
    uint64_t due_ms;
    imagine_timer_cb on_timer; /* NULL: an exchange */
    const imagine_http_handler_t *handler;
    void *user;
    size_t answer; /* ANSWERS_MAX: there is none for it */
    struct event *next;
} event_t;

static char *answers; /* the file */
static size_t answers_size;
static char is_used[ANSWERS_MAX];
static event_t *events;    /* the earliest first; of equal ones in the order they came */
static event_t *answering; /* whose callbacks run now; NULL: nobody's, or it was cancelled */
static uint64_t clock_ms;

/* ---- the table: nothing completes inside the call that starts it --------------------------------
 */

static int add_event(uint64_t delay_ms, event_t event, event_t **out) {
    event_t **at = &events, *added = malloc(sizeof(*added));
    if (added == NULL)
        return IMAGINE_ENOMEM;
    *added = event;
    added->due_ms = clock_ms + delay_ms;
    while (*at != NULL && (*at)->due_ms <= added->due_ms)
        at = &(*at)->next;
    added->next = *at;
    *at = added;
    *out = added;
    return 0;
}

static void drop_event(event_t *event) {
    event_t **at = &events;
    while (*at != event)
        at = &(*at)->next;
    *at = event->next;
    free(event);
}

static char *text_of(size_t answer, const char *name) { /* to free with imagine_free() */
    char path[PATH_SIZE];
    snprintf(path, sizeof(path), "[%zu].%s", answer, name);
    return imagine_json_text(answers, answers_size, path);
}

static size_t find_answer(const char *url) {
    size_t count = imagine_json_count(answers, answers_size, "");
    for (size_t i = 0; i < count && i < ANSWERS_MAX; i++) {
        char *part = text_of(i, "url");
        int fits = !is_used[i] && part != NULL && strstr(url, part) != NULL;
        imagine_free(part);
        if (fits)
            return i;
    }
    return ANSWERS_MAX;
}

static int http_start(void *context, const imagine_http_request_t *request,
                      const imagine_http_handler_t *handler, void *user,
                      imagine_http_exchange_t **out) {
    event_t event = {.handler = handler, .user = user, .answer = find_answer(request->url)};
    (void)context;
    fprintf(stderr, "%s %s -> %s\n", request->method, request->url,
            event.answer == ANSWERS_MAX ? "no answer" : "answered from the file");
    if (event.answer < ANSWERS_MAX)
        is_used[event.answer] = 1;
    return add_event(0, event, (event_t **)out);
}

static void http_cancel(void *context, imagine_http_exchange_t *exchange) {
    (void)context;
    if ((event_t *)exchange == answering)
        answering = NULL; /* one of its own callbacks does this: no other one runs */
    else
        drop_event((event_t *)exchange);
}

static int timer_start(void *context, uint64_t delay_ms, imagine_timer_cb on_timer, void *user,
                       imagine_timer_t **out) {
    (void)context;
    return add_event(delay_ms, (event_t){.on_timer = on_timer, .user = user}, (event_t **)out);
}

static void timer_cancel(void *context, imagine_timer_t *timer) {
    (void)context;
    drop_event((event_t *)timer);
}

static uint64_t now_ms(void *context) {
    (void)context;
    return clock_ms;
}

static int64_t unix_ms(void *context) {
    (void)context;
    return BORN_UNIX_MS + (int64_t)clock_ms;
}

static int random_bytes(void *context, void *out, size_t size) {
    (void)context;
    return getrandom(out, size, 0) == (ssize_t)size ? 0 : IMAGINE_EIO;
}

static const imagine_io_t file_io = {
    .size = sizeof(file_io),
    .http_start = http_start,
    .http_cancel = http_cancel,
    .timer_start = timer_start,
    .timer_cancel = timer_cancel,
    .now_ms = now_ms,
    .unix_ms = unix_ms,
    .random = random_bytes,
};

/* ---- what happens next
 * --------------------------------------------------------------------------- */

static void answer(const event_t *event) {
    imagine_header_t headers[HEADERS_MAX] = {{"Content-Type", "application/json"}};
    imagine_http_head_t head = {.size = sizeof(head), .status = 200, .http_version = 11};
    imagine_http_end_t end = {.size = sizeof(end), .was_sent = 1};
    char path[PATH_SIZE], *names[HEADERS_MAX] = {NULL}, *values[HEADERS_MAX] = {NULL};
    size_t body_size = 0;
    const char *body;
    double status;
    if (event->answer == ANSWERS_MAX) {
        end.error = IMAGINE_ECONNECT;
        end.was_sent = 0;
        end.message = "no answer is left in the file";
        event->handler->on_end(&end, event->user);
        return;
    }
    head.headers = headers;
    head.header_count = 1;
    snprintf(path, sizeof(path), "[%zu].headers", event->answer);
    for (size_t i = 0; i < HEADERS_MAX - 1; i++) {
        names[i] = imagine_json_name(answers, answers_size, path, i);
        if (names[i] == NULL)
            break;
        char value_path[PATH_SIZE - 32];
        snprintf(value_path, sizeof(value_path), "headers.%s", names[i]);
        values[i] = text_of(event->answer, value_path);
        headers[head.header_count++] = (imagine_header_t){names[i], values[i] ? values[i] : ""};
    }
    snprintf(path, sizeof(path), "[%zu].status", event->answer);
    if (imagine_json_number(answers, answers_size, path, &status) == 1)
        head.status = (int32_t)status;
    snprintf(path, sizeof(path), "[%zu].body", event->answer);
    body = imagine_json_value(answers, answers_size, path, &body_size);
    event->handler->on_head(&head, event->user);
    if (answering != NULL && body != NULL)
        event->handler->on_body(body, body_size, event->user);
    if (answering != NULL)
        event->handler->on_end(&end, event->user);
    for (size_t i = 0; i < HEADERS_MAX; i++) {
        imagine_free(names[i]);
        imagine_free(values[i]);
    }
}

/* 0: nothing is under way any more. */
static int turn(void) {
    event_t *event = events;
    if (event == NULL)
        return 0;
    events = event->next;
    if (event->due_ms > clock_ms)
        clock_ms = event->due_ms;
    if (event->on_timer != NULL) {
        event->on_timer(event->user);
    } else {
        answering = event;
        answer(event);
        answering = NULL;
    }
    free(event);
    return 1;
}

/* ---- a program, as its test would run it
 * --------------------------------------------------------- */

static int is_done;

static void on_done(int status, const imagine_result_t *result, void *user) {
    is_done = 1;
    *(int *)user = status;
    printf("%s after %llu ms and %u calls\n", status == 0 ? result->url : result->message,
           (unsigned long long)clock_ms, (unsigned)result->attempts);
}

static void on_closed(void *user) {
    *(int *)user = 1;
}

static int read_answers(const char *path) {
    FILE *file = fopen(path, "rb");
    answers = malloc(FILE_SIZE_MAX);
    if (file != NULL && answers != NULL)
        answers_size = fread(answers, 1, FILE_SIZE_MAX, file);
    if (file != NULL)
        fclose(file);
    return imagine_json_count(answers, answers_size, "") > 0 ? 0 : IMAGINE_EINVAL;
}

int main(int argc, char **argv) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    imagine_t *im = NULL;
    int status = 0, is_closed = 0;
    if (argc != 4)
        return fprintf(stderr, "usage: %s ANSWERS.json MODEL PROMPT\n", argv[0]), 2;
    if (read_answers(argv[1]) != 0)
        return fprintf(stderr, "%s: an array of answers is expected\n", argv[1]), 2;
    options.io = &file_io;
    if (imagine_open(&im, &options) != 0 ||
        imagine_set_tokens(im, "gitee", getenv("GITEE_TOKENS")) != 0)
        return fprintf(stderr, "this cannot be set up\n"), 1;
    params.model = argv[2];
    params.prompt = argv[3];
    params.wait_ms = 60000; /* for a token that is asked too often: it takes no time here */
    if (imagine_generate(im, &params, on_done, &status, NULL) == 0)
        while (!is_done && turn())
            ;
    imagine_close(im, on_closed, &is_closed);
    while (!is_closed && turn())
        ;
    free(answers);
    return status == 0 ? 0 : 1;
}
