/* turn.h: a loop without a thread: it turns when its host says so (options.is_manual). */
#ifndef IMI_UV_TURN_H
#define IMI_UV_TURN_H

#include <stdint.h>
#include <uv.h>

#include "imagine/io.h"
#include "wire/mem.h"

typedef struct imi_uv imi_uv_t;
typedef struct imi_turn imi_turn_t;

/* Makes the loop. NULL: no memory, or the system refused. */
imi_turn_t *imi_turn_new(const imi_mem_t *mem);
/* With whatever is closing on it; its handles were closed or never opened. */
void imi_turn_free(imi_turn_t *turn);
uv_loop_t *imi_turn_loop(imi_turn_t *turn);

/* The handles of `uv` exist: one more of them. */
void imi_turn_open_handles(imi_uv_t *uv);
/* Part of closing. */
void imi_turn_close_handles(imi_uv_t *uv);
/* imagine_io_uv_close(): returns when all is gone, or leaves that to the turn that it was called
 * in. */
void imi_turn_close(imi_uv_t *uv, imagine_closed_cb closed, void *user);

/* imagine_io_t.await. */
int imi_turn_await(void *context, imagine_await_cb step, void *user, int64_t timeout_ms);

#endif
