/* thread.h: the private thread of a client without a loop of its own, and how other threads have
 * things done on it. */
#ifndef IMI_UV_THREAD_H
#define IMI_UV_THREAD_H

#include <stdint.h>
#include <uv.h>

#include "imagine/io.h"
#include "wire/mem.h"

typedef struct imi_uv imi_uv_t;
typedef struct imi_thread imi_thread_t;

/* Makes the loop, which does not run yet. NULL: no memory, or the system refused. */
imi_thread_t *imi_thread_new(const imi_mem_t *mem);
/* Of a thread that was never started, or that has ended. */
void imi_thread_free(imi_thread_t *thread);
uv_loop_t *imi_thread_loop(imi_thread_t *thread);

/* The handles of `uv` exist: runs the loop on a new thread. 0 or IMAGINE_EIO. */
int imi_thread_start(imi_uv_t *uv);
/* Part of closing, on the loop's thread. */
void imi_thread_close_handles(imi_uv_t *uv);

/* imagine_io_uv_close() of a client with a private thread: from any thread. */
void imi_thread_close(imi_uv_t *uv, imagine_closed_cb closed, void *user);

/* imagine_io_t.await. */
int imi_thread_await(void *context, imagine_await_cb step, void *user, int64_t timeout_ms);

#endif
