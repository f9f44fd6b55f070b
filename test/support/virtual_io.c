/* virtual_io.c: a list of timers in the order of their time, two clocks that only the test moves,
 * and a buffer of log lines. Out of memory ends the test program. */
#include "support/virtual_io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_SIZE_MAX 65536

struct imagine_timer {
    imagine_timer_t *next;
    uint64_t at_ms;
    imagine_timer_cb on_timer;
    void *user;
};

struct virtual_io {
    imagine_io_t io;
    imagine_timer_t *timers; /* those of one instant in the order of their start */
    size_t timer_count;
    uint64_t now_ms;
    uint64_t random;
    size_t log_size;
    char log[LOG_SIZE_MAX];
};

static int http_start(void *context, const imagine_http_request_t *request,
                      const imagine_http_handler_t *handler, void *user,
                      imagine_http_exchange_t **out) {
    (void)context, (void)request, (void)handler, (void)user, (void)out;
    return IMAGINE_ENOTSUP;
}

static void http_cancel(void *context, imagine_http_exchange_t *exchange) {
    (void)context, (void)exchange;
    abort(); /* none was started */
}

static void http_pause(void *context, imagine_http_exchange_t *exchange, int32_t is_paused) {
    (void)context, (void)exchange, (void)is_paused;
    abort();
}

static int timer_start(void *context, uint64_t delay_ms, imagine_timer_cb on_timer, void *user,
                       imagine_timer_t **out) {
    virtual_io_t *virtual = context;
    imagine_timer_t *timer = malloc(sizeof(*timer));
    imagine_timer_t **place = &virtual->timers;
    if (timer == NULL)
        abort();
    *timer =
        (imagine_timer_t){.at_ms = virtual->now_ms + delay_ms, .on_timer = on_timer, .user = user};
    while (*place != NULL && (*place)->at_ms <= timer->at_ms)
        place = &(*place)->next;
    timer->next = *place;
    *place = timer;
    virtual->timer_count++;
    *out = timer;
    return 0;
}

static void timer_cancel(void *context, imagine_timer_t *timer) {
    virtual_io_t *virtual = context;
    imagine_timer_t **place = &virtual->timers;
    while (*place != timer)
        place = &(*place)->next;
    *place = timer->next;
    virtual->timer_count--;
    free(timer);
}

static uint64_t now_ms(void *context) {
    return ((virtual_io_t *)context)->now_ms;
}

static int64_t unix_ms(void *context) {
    return VIRTUAL_IO_BORN_UNIX_MS + (int64_t)((virtual_io_t *)context)->now_ms;
}

static int random_bytes(void *context, void *out, size_t size) {
    virtual_io_t *virtual = context;
    for (size_t i = 0; i < size; i++) {
        virtual->random = virtual->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        ((unsigned char *)out)[i] = (unsigned char)(virtual->random >> 56);
    }
    return 0;
}

static void log_line(void *context, int32_t level, const char *line) {
    virtual_io_t *virtual = context;
    size_t size = strlen(line);
    if (size + 4 > sizeof(virtual->log))
        abort();
    if (size + 4 > sizeof(virtual->log) - virtual->log_size)
        virtual->log_size = 0;
    virtual->log_size +=
        (size_t)snprintf(virtual->log + virtual->log_size, sizeof(virtual->log) - virtual->log_size,
                         "%d %s\n", (int)level % 10, line);
}

virtual_io_t *virtual_io_open(void) {
    virtual_io_t *virtual = calloc(1, sizeof(*virtual));
    if (virtual == NULL)
        abort();
    virtual->io = (imagine_io_t){
        .size = sizeof(virtual->io),
        .context = virtual,
        .http_start = http_start,
        .http_cancel = http_cancel,
        .http_pause = http_pause,
        .timer_start = timer_start,
        .timer_cancel = timer_cancel,
        .now_ms = now_ms,
        .unix_ms = unix_ms,
        .random = random_bytes,
        .log = log_line,
    };
    return virtual;
}

void virtual_io_close(virtual_io_t *virtual) {
    if (virtual->timers != NULL) {
        (void)fprintf(stderr, "virtual_io: a timer is left\n");
        abort();
    }
    free(virtual);
}

const imagine_io_t *virtual_io_table(const virtual_io_t *virtual) {
    return &virtual->io;
}

bool virtual_io_step(virtual_io_t *virtual) {
    imagine_timer_t *timer = virtual->timers;
    if (timer == NULL)
        return false;
    imagine_timer_t first = *timer;
    if (virtual->now_ms < first.at_ms)
        virtual->now_ms = first.at_ms;
    timer_cancel(virtual, timer);
    first.on_timer(first.user);
    return true;
}

void virtual_io_advance(virtual_io_t *virtual, uint64_t ms) {
    uint64_t until_ms = virtual->now_ms + ms;
    while (virtual->timers != NULL && virtual->timers->at_ms <= until_ms)
        (void)virtual_io_step(virtual);
    virtual->now_ms = until_ms;
}

size_t virtual_io_timer_count(const virtual_io_t *virtual) {
    return virtual->timer_count;
}

const char *virtual_io_log(const virtual_io_t *virtual) {
    return virtual->log;
}

void virtual_io_log_clear(virtual_io_t *virtual) {
    virtual->log_size = 0;
    virtual->log[0] = '\0';
}
