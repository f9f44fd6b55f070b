/* answer.c: status, headers and body, in that order, to the host's responder. */
#include "gateway/answer.h"

#include <string.h>

#include "wire/json.h"

/* A body that is still on its way and no longer than this is read and dropped, so that the
 * connection lives on; a longer one is not worth its bytes. */
#define DROPPED_BODY_MAX 65536

void imi_answer_header(imagine_exchange_t *exchange, const char *name, const char *value) {
    if (exchange->answer.header_count < IMI_EXCHANGE_HEADERS_MAX)
        exchange->headers[exchange->answer.header_count++] = (imagine_header_t){name, value};
}

const char *imi_decimal(char out[IMI_EXCHANGE_DECIMAL_SIZE], uint64_t value) {
    char digits[IMI_EXCHANGE_DECIMAL_SIZE];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    for (size_t i = 0; i < count; i++)
        out[i] = digits[count - 1 - i];
    out[count] = '\0';
    return out;
}

void imi_answer_retry_after(imagine_exchange_t *exchange, uint64_t delay_ms) {
    uint64_t seconds = delay_ms / 1000 + (delay_ms % 1000 != 0);
    imi_answer_header(exchange, "Retry-After",
                      imi_decimal(exchange->retry_text, seconds > 0 ? seconds : 1));
}

static bool must_close(const imagine_exchange_t *exchange) {
    bool is_coming = exchange->has_body && !exchange->is_whole;
    bool is_long = exchange->body_left < 0 || exchange->body_left > DROPPED_BODY_MAX;
    return exchange->wants_close || exchange->gateway->is_draining || (is_coming && is_long);
}

/* The host may abort or release the exchange in each of its functions. */
static void deliver(imagine_exchange_t *exchange, const imagine_slice_t *pieces,
                    size_t piece_count) {
    const imagine_gateway_responder_t *responder = exchange->responder;
    bool has_content = exchange->method != IMI_HEAD;
    exchange->is_delivering = true;
    responder->on_head(&exchange->answer, exchange->user);
    for (size_t i = 0; i < piece_count && has_content; i++)
        if (pieces[i].size > 0 && !exchange->is_aborted && !exchange->is_released)
            responder->on_body(pieces[i].data, pieces[i].size, exchange->user);
    if (!exchange->is_aborted && !exchange->is_released)
        responder->on_end(exchange->user);
    exchange->is_delivering = false;
    if (exchange->is_released)
        imi_gateway_exchange_free(exchange);
}

static void begin(imagine_exchange_t *exchange, int32_t status, const char *content_type) {
    imagine_gateway_t *gateway = exchange->gateway;
    imagine_gateway_answer_t *answer = &exchange->answer;
    exchange->is_answered = true;
    exchange->duration_ms = gateway->io->now_ms(gateway->io->context) - exchange->began_at_ms;
    imi_exchange_stop_waiting(exchange);
    if (content_type != NULL)
        imi_answer_header(exchange, "Content-Type", content_type);
    answer->size = sizeof(*answer);
    answer->status = status;
    answer->wants_close = must_close(exchange) ? 1 : 0;
    answer->headers = exchange->headers;
}

void imi_answer_send(imagine_exchange_t *exchange, int32_t status, const char *content_type,
                     const imagine_slice_t *pieces, size_t piece_count) {
    if (exchange->is_answered || exchange->is_aborted)
        return;
    begin(exchange, status, content_type);
    exchange->answer.content_length = 0;
    for (size_t i = 0; i < piece_count; i++)
        exchange->answer.content_length += (int64_t)pieces[i].size;
    deliver(exchange, pieces, piece_count);
}

/* ---- streams -----------------------------------------------------------------------------------
 */

/* The library owes a callback all the while (is_pending), so that an exchange that the host
 * releases inside its functions is still there behind them. */
void imi_answer_begin_stream(imagine_exchange_t *exchange, const char *content_type) {
    if (exchange->is_answered || exchange->is_aborted)
        return;
    imi_answer_header(exchange, "X-Accel-Buffering", "no"); /* nginx's: pass pieces on at once */
    begin(exchange, 200, content_type);
    exchange->answer.content_length = -1;
    exchange->answer.is_stream = 1;
    exchange->is_streaming = true;
    exchange->responder->on_head(&exchange->answer, exchange->user);
}

void imi_answer_begin_file(imagine_exchange_t *exchange, int32_t status, const char *content_type,
                           uint64_t size) {
    if (exchange->is_answered || exchange->is_aborted)
        return;
    begin(exchange, status, content_type);
    exchange->answer.content_length = (int64_t)size;
    exchange->answer.is_stream = 1;
    exchange->is_streaming = true;
    exchange->responder->on_head(&exchange->answer, exchange->user);
}

void imi_answer_piece(imagine_exchange_t *exchange, const void *data, size_t size) {
    if (exchange->is_streaming && !exchange->is_aborted && !exchange->is_released && size > 0)
        exchange->responder->on_body(data, size, exchange->user);
}

void imi_answer_end_stream(imagine_exchange_t *exchange) {
    if (!exchange->is_streaming || exchange->is_aborted || exchange->is_released)
        return;
    exchange->is_streaming = false;
    exchange->responder->on_end(exchange->user);
}

void imi_answer_send_text(imagine_exchange_t *exchange, int32_t status, const char *content_type) {
    static const char front[] =
        "{\"error\":\"Out of memory\",\"message\":\"there is no memory for an answer\","
        "\"code\":\"IMAGINE_ENOMEM\",\"requestId\":\"";
    if (exchange->text.error == 0) {
        imagine_slice_t piece = {exchange->text.data, exchange->text.size};
        imi_answer_send(exchange, status, content_type, &piece, 1);
    } else { /* what is there already has to do */
        imagine_slice_t pieces[] = {
            {front, sizeof(front) - 1}, {exchange->id, IMI_EXCHANGE_ID_SIZE}, {"\"}", 2}};
        imi_answer_send(exchange, 503, IMI_TYPE_JSON, pieces, 3);
    }
}

void imi_answer_error(imagine_exchange_t *exchange, int32_t status, int32_t code, const char *error,
                      const char *message) {
    imi_json_writer_t writer;
    exchange->error = code;
    imi_buf_clear(&exchange->text);
    imi_json_begin(&writer, &exchange->text);
    imi_json_open_object(&writer, NULL);
    imi_json_put_text(&writer, "error", error);
    imi_json_put_text(&writer, "message", message);
    imi_json_put_text(&writer, "code", imagine_err_name(code));
    imi_json_put_text(&writer, "requestId", exchange->id);
    imi_json_close_object(&writer);
    imi_answer_send_text(exchange, status, IMI_TYPE_JSON);
}

void imi_answer_refuse(imagine_exchange_t *exchange, const imi_refusal_t *refusal) {
    exchange->reason = refusal->message;
    if (refusal->status == 401)
        imi_answer_header(exchange, "WWW-Authenticate", "Bearer");
    imi_answer_error(exchange, refusal->status, refusal->code, refusal->error, refusal->message);
}

void imi_answer_failed_call(imagine_exchange_t *exchange, int err) {
    imi_answer_error(exchange, imagine_err_http_status(err), err, imagine_strerror(err),
                     imagine_strerror(err));
}
