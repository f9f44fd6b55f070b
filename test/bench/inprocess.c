/* inprocess.c: what a call costs inside a process of one's own, with no HTTP and no network: the io
 * table below answers every exchange in the next turn, with what a provider sends back.
 *
 *   inprocess calls COUNT      one line of JSON: CPU time and allocations of a picture's request,
 *                              memory of one that waits, and, to compare, what cJSON alone takes to
 *                              write such a request and to read its answer
 *   inprocess idle MODE        threads and descriptors of a client that has nothing to do;
 *                              MODE: private, manual, loop, none (before a client is opened) */
#include <dirent.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <cjson/cJSON.h>
#include <uv.h>

#include <imagine.h>
#include <imagine/io.h>

#define BATCH 64 /* requests at once */
#define WAITING 10000
#define TIMERS_MAX (4 * WAITING)

static const char answer[] = "{\"created\":1767888000,\"data\":[{\"url\":\"https://pictures.test/"
                             "0123456789abcdef.png\",\"type\":\"image/png\"}]}";

static void check(bool is_fine, const char *what) {
    if (is_fine)
        return;
    fprintf(stderr, "inprocess: %s\n", what);
    exit(1);
}

/* ---- the table ---------------------------------------------------------------------------------
 */

struct imagine_http_exchange {
    const imagine_http_handler_t *handler;
    void *user;
    struct imagine_http_exchange *next, *before; /* in the list of those that wait */
};

/* Deadlines that nothing here reaches: they are kept, and never looked through. */
struct imagine_timer {
    imagine_timer_cb on_timer;
    void *user;
    struct imagine_timer *next, *before;
};

static struct imagine_http_exchange exchanges = {.next = &exchanges, .before = &exchanges};
static struct imagine_timer due = {.next = &due, .before = &due};
static struct imagine_timer later = {.next = &later, .before = &later};
static bool is_answering = true;

#define APPEND(list, node)                                                                  \
    ((node)->before = (list)->before, (node)->next = (list), (list)->before->next = (node), \
     (list)->before = (node))
#define REMOVE(node) ((node)->before->next = (node)->next, (node)->next->before = (node)->before)

static int http_start(void *context, const imagine_http_request_t *request,
                      const imagine_http_handler_t *handler, void *user,
                      imagine_http_exchange_t **out) {
    imagine_http_exchange_t *exchange = malloc(sizeof(*exchange));
    (void)context, (void)request;
    check(exchange != NULL, "no memory");
    exchange->handler = handler;
    exchange->user = user;
    APPEND(&exchanges, exchange);
    *out = exchange;
    return 0;
}

static void http_cancel(void *context, imagine_http_exchange_t *exchange) {
    (void)context;
    REMOVE(exchange);
    free(exchange);
}

static int timer_start(void *context, uint64_t delay_ms, imagine_timer_cb on_timer, void *user,
                       imagine_timer_t **out) {
    imagine_timer_t *timer = malloc(sizeof(*timer));
    (void)context;
    check(timer != NULL, "no memory");
    timer->on_timer = on_timer;
    timer->user = user;
    APPEND(delay_ms == 0 ? &due : &later, timer);
    *out = timer;
    return 0;
}

static void timer_cancel(void *context, imagine_timer_t *timer) {
    (void)context;
    REMOVE(timer);
    free(timer);
}

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t now_ms(void *context) {
    (void)context;
    return clock_ns(CLOCK_MONOTONIC) / 1000000u;
}

static int64_t unix_ms(void *context) {
    (void)context;
    return (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000u);
}

static int random_bytes(void *context, void *out, size_t size) {
    (void)context;
    return getrandom(out, size, 0) == (ssize_t)size ? 0 : IMAGINE_EIO;
}

static const imagine_io_t table = {.size = sizeof(imagine_io_t),
                                   .http_start = http_start,
                                   .http_cancel = http_cancel,
                                   .timer_start = timer_start,
                                   .timer_cancel = timer_cancel,
                                   .now_ms = now_ms,
                                   .unix_ms = unix_ms,
                                   .random = random_bytes};

/* False: there was nothing to do. */
static bool turn(void) {
    static const imagine_header_t headers[] = {{"Content-Type", "application/json"}};
    static const imagine_http_head_t head = {.size = sizeof(head),
                                             .status = 200,
                                             .http_version = 11,
                                             .headers = headers,
                                             .header_count = 1};
    static const imagine_http_end_t end = {.size = sizeof(end), .was_sent = 1};
    if (due.next != &due) {
        imagine_timer_t *timer = due.next;
        imagine_timer_cb on_timer = timer->on_timer;
        void *user = timer->user;
        REMOVE(timer);
        free(timer);
        on_timer(user);
        return true;
    }
    if (is_answering && exchanges.next != &exchanges) {
        imagine_http_exchange_t *exchange = exchanges.next;
        const imagine_http_handler_t *handler = exchange->handler;
        void *user = exchange->user;
        handler->on_head(&head, user);
        handler->on_body(answer, sizeof(answer) - 1, user);
        REMOVE(exchange);
        free(exchange);
        handler->on_end(&end, user);
        return true;
    }
    return false;
}

/* ---- calls -------------------------------------------------------------------------------------
 */

static uint64_t allocation_count, allocated_bytes, live_bytes;

static void *resize(void *user, void *pointer, size_t size) {
    void *resized;
    (void)user;
    live_bytes -= pointer != NULL ? malloc_usable_size(pointer) : 0;
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    resized = realloc(pointer, size);
    allocation_count++;
    allocated_bytes += size;
    live_bytes += malloc_usable_size(resized);
    return resized;
}

static uint64_t done_count;

static void on_done(int status, const imagine_result_t *result, void *user) {
    (void)user;
    check(status == 0, result->message);
    done_count++;
}

static void ask(imagine_t *im, uint64_t count) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    params.model = "gitee/flux-2";
    params.prompt = "a quiet sea";
    for (uint64_t i = 0; i < count; i++)
        check(imagine_generate(im, &params, on_done, NULL, NULL) == 0, "a request is refused");
}

static void run(imagine_t *im, uint64_t count) {
    for (uint64_t asked = 0; asked < count; asked += BATCH) {
        ask(im, BATCH);
        while (done_count < asked + BATCH)
            check(turn(), "a request is stuck");
    }
    while (turn())
        ;
    check(exchanges.next == &exchanges, "an exchange is left");
    done_count = 0;
}

/* Such a request and its answer, by cJSON alone. */
static void compare(uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        cJSON *request = cJSON_CreateObject(), *tree;
        char *text;
        cJSON_AddStringToObject(request, "model", "flux-2");
        cJSON_AddStringToObject(request, "prompt", "a quiet sea");
        cJSON_AddNumberToObject(request, "width", 1024);
        cJSON_AddNumberToObject(request, "height", 1024);
        cJSON_AddNumberToObject(request, "seed", (double)i);
        cJSON_AddNumberToObject(request, "num_inference_steps", 9);
        cJSON_AddStringToObject(request, "response_format", "url");
        text = cJSON_PrintUnformatted(request);
        tree = cJSON_Parse(answer);
        check(text != NULL && cJSON_GetObjectItem(tree, "data") != NULL, "cJSON fails");
        cJSON_free(text);
        cJSON_Delete(tree);
        cJSON_Delete(request);
    }
}

static imagine_t *open_client(void) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_allocator_t allocator = {resize, NULL};
    imagine_t *im = NULL;
    options.io = &table;
    options.allocator = &allocator;
    check(imagine_open(&im, &options) == 0, "no client");
    check(imagine_set_tokens(im, "gitee", "one,two") == 0, "no tokens");
    return im;
}

static void measure_calls(uint64_t count) {
    imagine_t *im = open_client();
    uint64_t began_ns, took_ns, compared_ns, allocations, bytes, waiting_bytes;
    count = (count + BATCH - 1) / BATCH * BATCH;
    run(im, count / 10 / BATCH * BATCH + BATCH); /* warm */
    allocations = allocation_count;
    bytes = allocated_bytes;
    began_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    run(im, count);
    took_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - began_ns;
    allocations = allocation_count - allocations;
    bytes = allocated_bytes - bytes;
    began_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    compare(count);
    compared_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - began_ns;

    is_answering = false;
    waiting_bytes = live_bytes;
    ask(im, WAITING);
    while (turn())
        ;
    waiting_bytes = live_bytes - waiting_bytes;
    is_answering = true;
    while (turn())
        ;
    check(done_count == WAITING, "one that waited has no answer");
    imagine_close(im, NULL, NULL);
    while (turn())
        ;
    check(live_bytes == 0, "memory is left");
    printf("{\"cpuNs\":%.1f,\"allocations\":%.2f,\"bytes\":%.1f,\"cjsonNs\":%.1f,"
           "\"waitingBytes\":%.1f}\n",
           (double)took_ns / (double)count, (double)allocations / (double)count,
           (double)bytes / (double)count, (double)compared_ns / (double)count,
           (double)waiting_bytes / WAITING);
}

/* ---- at rest -----------------------------------------------------------------------------------
 */

static int entries_of(const char *folder) {
    DIR *directory = opendir(folder);
    int count = 0;
    check(directory != NULL, folder);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count - 2; /* . and .. */
}

static void measure_idle(const char *mode) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_t *im = NULL;
    uv_loop_t loop;
    check(uv_loop_init(&loop) == 0, "no loop");
    options.is_manual = strcmp(mode, "manual") == 0;
    options.loop = strcmp(mode, "loop") == 0 ? &loop : NULL;
    if (strcmp(mode, "none") != 0)
        check(imagine_open(&im, &options) == 0, "no client");
    if (options.loop != NULL)
        uv_run(&loop, UV_RUN_NOWAIT);
    printf("{\"threads\":%d,\"descriptors\":%d}\n", entries_of("/proc/self/task"),
           entries_of("/proc/self/fd") - 1); /* that which counts them */
    imagine_close(im, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
}

int main(int argc, char **argv) {
    check(argc == 3, "usage: inprocess calls COUNT | inprocess idle MODE");
    if (strcmp(argv[1], "calls") == 0)
        measure_calls(strtoull(argv[2], NULL, 10));
    else
        measure_idle(argv[2]);
    return 0;
}
