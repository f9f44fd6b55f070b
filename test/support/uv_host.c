/* uv_host.c: opens, turns and closes. */
#include "support/uv_host.h"

#include <check.h>
#include <stddef.h>

static uv_host_t host;

static void count_closed(void *user) {
    (void)user;
    host.closed_count++;
}

static void ignore_log(int32_t level, const char *line, void *user) {
    (void)level;
    (void)line;
    (void)user;
}

uv_host_t *uv_host_open(const char *ca_file) {
    imagine_io_uv_options_t options = {.size = sizeof(options)};
    options.loop = &host.loop;
    options.log = ignore_log;
    options.ca_file = ca_file;
    host.closed_count = 0;
    ck_assert_int_eq(uv_loop_init(&host.loop), 0);
    ck_assert_int_eq(imagine_io_uv_open(&host.io, &options), 0);
    return &host;
}

void uv_host_close(void) {
    imagine_io_uv_close(host.io, count_closed, NULL);
    ck_assert_int_eq(host.closed_count, 0);
    uv_run(&host.loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(host.closed_count, 1);
    ck_assert_int_eq(uv_loop_close(&host.loop), 0);
}

void uv_host_turn(void) {
    uv_run(&host.loop, UV_RUN_ONCE);
}

void uv_host_run_until(const bool *is_done) {
    while (!*is_done)
        uv_host_turn();
}

static void on_time(void *user) {
    *(bool *)user = true;
}

void uv_host_run_for(uint64_t ms) {
    imagine_timer_t *timer = NULL;
    bool is_done = false;
    ck_assert_int_eq(host.io->timer_start(host.io->context, ms, on_time, &is_done, &timer), 0);
    uv_host_run_until(&is_done);
}
