/* uv_host.h: a host with a loop and the libuv implementation of imagine_io_t on it, for tests. */
#ifndef IMI_TEST_UV_HOST_H
#define IMI_TEST_UV_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "imagine/io.h"

typedef struct uv_host {
    uv_loop_t loop;
    imagine_io_t *io;
    int closed_count;
} uv_host_t;

/* The one host of the program. `ca_file` NULL: the system's. Aborts the test when it fails. */
uv_host_t *uv_host_open(const char *ca_file);
/* Closes it, and fails the test if `closed` does not come once or anything stays on the loop. */
void uv_host_close(void);

void uv_host_turn(void); /* waits for one event */
void uv_host_run_until(const bool *is_done);
void uv_host_run_for(uint64_t ms);

#endif
