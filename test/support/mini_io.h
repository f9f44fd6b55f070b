/* mini_io.h: the smallest imagine_io_t over a libuv loop of its own, for tests of what needs
 * timers, clocks and a log but no HTTP (http_start says IMAGINE_ENOTSUP).
 *
 * Clocks can be moved, so that a test of expiry need not sleep: the wall clock can also be frozen,
 * and both go forward with mini_io_advance(). Timers know nothing of that: they run in real time.
 */
#ifndef IMI_TEST_MINI_IO_H
#define IMI_TEST_MINI_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "imagine/io.h"

#define MINI_IO_LINES_MAX 256 /* later log lines are dropped */

typedef struct mini_io {
    imagine_io_t io; /* hand out &mini->io */
    uv_loop_t loop;
    int64_t frozen_unix_ms; /* 0: the real wall clock */
    int64_t offset_ms;
    size_t timer_count;          /* started and neither fired nor cancelled */
    size_t timers_until_failure; /* so many starts succeed, then one fails; SIZE_MAX: none does */
    char *lines[MINI_IO_LINES_MAX]; /* "0 event key=value": the level in front */
    size_t line_count;
} mini_io_t;

/* Aborts when it cannot be made: a test can do nothing about it. */
mini_io_t *mini_io_open(void);
/* Runs the loop until it is empty; aborts if a timer is left or the loop cannot be closed. */
void mini_io_close(mini_io_t *mini);

/* The wall clock stands still from now on, at 2026-01-08T16:00:00Z. */
void mini_io_freeze(mini_io_t *mini);
/* Both clocks go forward (or back). */
void mini_io_advance(mini_io_t *mini, int64_t ms);

/* Runs the loop until *count is at least `wanted`; false if that took longer than timeout_ms. */
bool mini_io_run_until(mini_io_t *mini, const size_t *count, size_t wanted, uint64_t timeout_ms);
/* Runs the loop for that long. */
void mini_io_sleep(mini_io_t *mini, uint64_t ms);

/* How many log lines contain the text. */
size_t mini_io_logged(const mini_io_t *mini, const char *text);

#endif
