/* stream.c: a text on its way to its caller in pieces, and back-pressure the other way.
 *
 * The caller's function runs inside the provider's step, and may want to leave there: that is put
 * off until it has returned (request->is_delivering), and then ends the call. It never runs inside
 * the caller's own call: what comes that early waits in call->streamed. */
#include <string.h>

#include "core/call.h"
#include "core/client.h"
#include "core/request.h"
#include "wire/json.h"

int32_t imagine_call_wants_pieces(const imagine_call_t *call) {
    return call->request->params.on_piece != NULL ? 1 : 0;
}

void imi_stream_flush(imagine_call_t *call) {
    imagine_request_t *request = call->request;
    imi_buf_t text = call->streamed;
    if (request->params.on_piece == NULL || text.size == 0)
        return;
    imi_buf_init(&call->streamed, &request->mem, 0);
    request->is_delivering = true;
    request->params.on_piece(text.data, text.size, request->user);
    request->is_delivering = false;
    imi_buf_reset(&text);
}

static void on_next_turn(void *user) {
    imagine_request_t *request = user;
    request->wait = NULL;
    if (request->call == NULL)
        return; /* it has ended, and brings them with the end */
    imi_stream_flush(request->call);
    if (request->has_left)
        imi_request_abandon(request, IMAGINE_ECANCELED, false);
}

/* Keeps it for the next turn of the loop. */
static void put_off(imagine_call_t *call, const char *text, size_t size) {
    imagine_request_t *request = call->request;
    const imagine_io_t *io = call->im->io;
    int err = imi_buf_append(&call->streamed, text, size);
    if (err == 0 && request->wait == NULL)
        err = io->timer_start(io->context, 0, on_next_turn, request, &request->wait);
    if (err != 0)
        imi_call_end(call, IMAGINE_ENOMEM, NULL);
}

static void deliver(imagine_call_t *call, const char *text, size_t size) {
    imagine_request_t *request = call->request;
    if (atomic_load(&request->has_ended)) /* the caller has left; what is paid for is read on */
        return;
    if (request->is_starting || call->streamed.size > 0) {
        put_off(call, text, size);
        return;
    }
    request->is_delivering = true;
    request->params.on_piece(text, size, request->user);
    request->is_delivering = false;
    if (request->has_left)
        imi_call_end(call, IMAGINE_ECANCELED, NULL);
}

void imagine_call_delta(imagine_call_t *call, const char *text, size_t text_size) {
    if (call->has_ended || text == NULL || text_size == 0)
        return;
    call->is_committed = true;
    call->has_streamed = true;
    if (call->request->params.on_piece != NULL)
        deliver(call, text, text_size);
    else if (imi_buf_append(&call->streamed, text, text_size) != 0)
        imi_call_end(call, IMAGINE_ENOMEM, NULL);
}

void imagine_call_delta_at(imagine_call_t *call, const imagine_http_response_t *data,
                           const char *path) {
    imi_slice_t value = imi_json_get((imi_slice_t){data->body, data->body_size}, path);
    imi_slice_t plain = imi_json_plain_text(value);
    imi_arena_t arena;
    size_t size = 0;
    char *text;
    if (plain.data != NULL || imi_json_type(value) != IMI_JSON_STRING) {
        imagine_call_delta(call, plain.data, plain.size);
        return;
    }
    imi_arena_init(&arena, &call->request->mem, 0);
    text = imi_json_text(&arena, value, &size);
    if (text != NULL)
        imagine_call_delta(call, text, size);
    else
        imi_call_end(call, IMAGINE_ENOMEM, NULL);
    imi_arena_reset(&arena);
}

const char *imi_stream_finish(imagine_call_t *call, const char *text) {
    if (call->request->params.on_piece == NULL)
        return text != NULL ? text : call->streamed.data;
    if (text != NULL && !call->has_streamed)
        imagine_call_delta(call, text, strlen(text));
    return NULL;
}

void imi_stream_paused(imagine_call_t *call) {
    const imagine_io_t *io = call->im->io;
    if (call->has_exchange && call->exchange.http != NULL && call->exchange.on_event != NULL &&
        io->http_pause != NULL)
        io->http_pause(io->context, call->exchange.http, call->request->is_paused ? 1 : 0);
}

typedef struct pause_step {
    imagine_request_t *request;
    bool is_paused;
} pause_step_t;

static int pause_request(void *user) {
    const pause_step_t *step = user;
    imagine_request_t *request = step->request;
    request->is_paused = step->is_paused;
    if (request->call != NULL)
        imi_stream_paused(request->call);
    return 1;
}

void imagine_pause(imagine_request_t *request, int32_t is_paused) {
    pause_step_t step = {request, is_paused != 0};
    if (request != NULL && !atomic_load_explicit(&request->has_ended, memory_order_acquire))
        imi_run(request->im, pause_request, &step);
}
