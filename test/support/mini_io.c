/* mini_io.c: timers of libuv behind the io table, and clocks with an offset. */
#include "mini_io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FROZEN_UNIX_MS INT64_C(1767888000000)

struct imagine_timer {
    uv_timer_t handle;
    mini_io_t *mini;
    imagine_timer_cb on_timer;
    void *user;
};

static void require(bool is_fine, const char *what) {
    if (is_fine)
        return;
    (void)fprintf(stderr, "mini_io: %s\n", what);
    abort();
}

static int refuse_http(void *context, const imagine_http_request_t *request,
                       const imagine_http_handler_t *handler, void *user,
                       imagine_http_exchange_t **out) {
    (void)context, (void)request, (void)handler, (void)user, (void)out;
    return IMAGINE_ENOTSUP;
}

static void cancel_nothing(void *context, imagine_http_exchange_t *exchange) {
    (void)context, (void)exchange;
    require(false, "http_cancel without an exchange");
}

static void pause_nothing(void *context, imagine_http_exchange_t *exchange, int32_t is_paused) {
    (void)context, (void)exchange, (void)is_paused;
    require(false, "http_pause without an exchange");
}

static void on_timer_closed(uv_handle_t *handle) {
    free(handle->data);
}

static void on_fired(uv_timer_t *handle) {
    imagine_timer_t *timer = handle->data;
    imagine_timer_cb on_timer = timer->on_timer;
    void *user = timer->user;
    timer->mini->timer_count--;
    uv_close((uv_handle_t *)handle, on_timer_closed);
    on_timer(user);
}

static int timer_start(void *context, uint64_t delay_ms, imagine_timer_cb on_timer, void *user,
                       imagine_timer_t **out) {
    mini_io_t *mini = context;
    if (mini->timers_until_failure != SIZE_MAX && mini->timers_until_failure-- == 0)
        return IMAGINE_ENOMEM;
    imagine_timer_t *timer = calloc(1, sizeof(*timer));
    if (timer == NULL)
        return IMAGINE_ENOMEM;
    timer->mini = mini;
    timer->on_timer = on_timer;
    timer->user = user;
    timer->handle.data = timer;
    require(uv_timer_init(&mini->loop, &timer->handle) == 0, "uv_timer_init");
    /* A cached clock could let the timer fire early. */
    uv_update_time(&mini->loop);
    require(uv_timer_start(&timer->handle, on_fired, delay_ms, 0) == 0, "uv_timer_start");
    mini->timer_count++;
    *out = timer;
    return 0;
}

static void timer_cancel(void *context, imagine_timer_t *timer) {
    mini_io_t *mini = context;
    mini->timer_count--;
    uv_close((uv_handle_t *)&timer->handle, on_timer_closed);
}

static uint64_t now_ms(void *context) {
    mini_io_t *mini = context;
    return (uint64_t)((int64_t)(uv_hrtime() / 1000000) + mini->offset_ms);
}

static int64_t unix_ms(void *context) {
    mini_io_t *mini = context;
    struct timespec now;
    if (mini->frozen_unix_ms != 0)
        return mini->frozen_unix_ms + mini->offset_ms;
    require(clock_gettime(CLOCK_REALTIME, &now) == 0, "clock_gettime");
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + mini->offset_ms;
}

static int random_bytes(void *context, void *out, size_t size) {
    (void)context;
    return uv_random(NULL, NULL, out, size, 0, NULL) == 0 ? 0 : IMAGINE_EIO;
}

static void log_line(void *context, int32_t level, const char *line) {
    mini_io_t *mini = context;
    size_t size = strlen(line) + 8;
    if (mini->line_count == MINI_IO_LINES_MAX)
        return;
    char *copy = malloc(size);
    require(copy != NULL, "no memory");
    (void)snprintf(copy, size, "%d %s", (int)level % 10, line);
    mini->lines[mini->line_count++] = copy;
}

mini_io_t *mini_io_open(void) {
    mini_io_t *mini = calloc(1, sizeof(*mini));
    require(mini != NULL, "no memory");
    require(uv_loop_init(&mini->loop) == 0, "uv_loop_init");
    mini->timers_until_failure = SIZE_MAX;
    mini->io = (imagine_io_t){
        .size = sizeof(mini->io),
        .context = mini,
        .loop = &mini->loop,
        .http_start = refuse_http,
        .http_cancel = cancel_nothing,
        .http_pause = pause_nothing,
        .timer_start = timer_start,
        .timer_cancel = timer_cancel,
        .now_ms = now_ms,
        .unix_ms = unix_ms,
        .random = random_bytes,
        .log = log_line,
    };
    return mini;
}

void mini_io_close(mini_io_t *mini) {
    require(mini->timer_count == 0, "a timer is left");
    (void)uv_run(&mini->loop, UV_RUN_DEFAULT);
    require(uv_loop_close(&mini->loop) == 0, "a handle is left on the loop");
    for (size_t i = 0; i < mini->line_count; i++)
        free(mini->lines[i]);
    free(mini);
}

void mini_io_freeze(mini_io_t *mini) {
    mini->frozen_unix_ms = FROZEN_UNIX_MS;
}

void mini_io_advance(mini_io_t *mini, int64_t ms) {
    mini->offset_ms += ms;
}

static void on_deadline(uv_timer_t *handle) {
    *(bool *)handle->data = true;
}

static void on_deadline_closed(uv_handle_t *handle) {
    handle->data = NULL;
}

/* The timer of its own keeps the loop waiting instead of spinning, and ends the wait. */
static bool run(mini_io_t *mini, const size_t *count, size_t wanted, uint64_t timeout_ms) {
    bool is_late = false;
    uv_timer_t deadline = {.data = &is_late};
    require(uv_timer_init(&mini->loop, &deadline) == 0, "uv_timer_init");
    uv_update_time(&mini->loop);
    require(uv_timer_start(&deadline, on_deadline, timeout_ms, 0) == 0, "uv_timer_start");
    while (!is_late && (count == NULL || *count < wanted))
        (void)uv_run(&mini->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&deadline, on_deadline_closed);
    while (deadline.data != NULL)
        (void)uv_run(&mini->loop, UV_RUN_NOWAIT);
    return count != NULL && *count >= wanted;
}

bool mini_io_run_until(mini_io_t *mini, const size_t *count, size_t wanted, uint64_t timeout_ms) {
    return *count >= wanted || run(mini, count, wanted, timeout_ms);
}

void mini_io_sleep(mini_io_t *mini, uint64_t ms) {
    (void)run(mini, NULL, 0, ms);
}

size_t mini_io_logged(const mini_io_t *mini, const char *text) {
    size_t count = 0;
    for (size_t i = 0; i < mini->line_count; i++)
        count += strstr(mini->lines[i], text) != NULL;
    return count;
}
