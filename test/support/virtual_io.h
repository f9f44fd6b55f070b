/* virtual_io.h: an imagine_io_t without a world: time stands still until the test moves it, timers
 * run when it does, log lines are kept, and there is no HTTP (http_start says IMAGINE_ENOTSUP). For
 * tests and fuzzers of what works in memory. */
#ifndef IMI_TEST_VIRTUAL_IO_H
#define IMI_TEST_VIRTUAL_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imagine/io.h"

#define VIRTUAL_IO_BORN_UNIX_MS INT64_C(1767888000000) /* 2026-01-08T16:00:00Z */

typedef struct virtual_io virtual_io_t;

virtual_io_t *virtual_io_open(void);
/* Aborts if a timer is left. */
void virtual_io_close(virtual_io_t *virtual);

const imagine_io_t *virtual_io_table(const virtual_io_t *virtual);

/* Goes forward to the next timer and runs it; false: there is none. */
bool virtual_io_step(virtual_io_t *virtual);
/* Goes forward, running what is due on the way. */
void virtual_io_advance(virtual_io_t *virtual, uint64_t ms);
size_t virtual_io_timer_count(const virtual_io_t *virtual);

/* The last lines of the log, one behind the other with line feeds, "2 event key=value": the level
 * stands in front. */
const char *virtual_io_log(const virtual_io_t *virtual);
void virtual_io_log_clear(virtual_io_t *virtual);

#endif
