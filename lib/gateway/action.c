/* action.c: submit -> (the library works) -> on_done -> answer. The body goes to the library as it
 * lies, and the result's JSON to the host as it lies: neither is copied. */
#include "gateway/action.h"

#include <stdio.h>
#include <string.h>

#include "gateway/answer.h"
#include "gateway/body.h"
#include "gateway/exchange.h"
#include "wire/json.h"

#define PIECES_MAX IMAGINE_RESULT_SLICES_MAX
#define TYPE_EVENTS "text/event-stream"

static void on_body_unused(void *owner);
static void on_piece(const char *text, size_t text_size, void *user);
static void on_done(int status, const imagine_result_t *result, void *user);

static const imi_refusal_t no_task_id = {400, IMAGINE_EINVAL, "taskId is required",
                                         "the query lacks a taskId"};
static const imi_refusal_t broken_task_id = {400, IMAGINE_EINVAL, "Invalid parameters",
                                             "taskId holds a broken percent-escape"};

/* A body that says yes or no wins over the Accept header. */
static bool wants_stream(const imagine_exchange_t *exchange, const imagine_form_t *form) {
    imi_slice_t json = {form->json, form->json_size};
    bool is_wanted = exchange->wants_events;
    if (strcmp(exchange->route->action, "text") != 0)
        return false;
    if (imi_json_bool(imi_json_get(json, "stream"), &is_wanted))
        return is_wanted;
    return exchange->wants_events;
}

void imi_action_carry_out(imagine_exchange_t *exchange) {
    imi_gateway_body_t *body = exchange->body;
    imagine_form_t form = {.size = sizeof(form),
                           .action = exchange->route->action,
                           .is_job = exchange->wants_job,
                           .job_wait_ms = exchange->job_wait_ms,
                           .id = exchange->id,
                           .release = on_body_unused,
                           .owner = body};
    const imi_refusal_t *refusal = imi_gateway_body_finish(body, &form);
    int err;
    if (refusal != NULL) {
        imi_answer_refuse(exchange, refusal);
        return;
    }
    if (wants_stream(exchange, &form))
        form.on_piece = on_piece;
    exchange->body = NULL; /* the library's from here on */
    exchange->is_pending = true;
    err = imagine_submit_form(exchange->gateway->im, &form, on_done, exchange, &exchange->request);
    if (err != 0) {
        exchange->is_pending = false;
        imi_gateway_body_release(body);
        imi_answer_failed_call(exchange, err);
    }
}

static void on_body_unused(void *owner) {
    imi_gateway_body_release(owner);
}

static void ask_task(imagine_exchange_t *exchange,
                     int (*ask)(imagine_t *im, const char *task_id, imagine_done_cb done,
                                void *user, imagine_request_t **out)) {
    bool is_broken = false;
    const char *task_id = imi_exchange_parameter(exchange, "taskId", &is_broken);
    int err;
    if (task_id == NULL) {
        imi_answer_refuse(exchange, is_broken ? &broken_task_id : &no_task_id);
        return;
    }
    exchange->is_pending = true;
    err = ask(exchange->gateway->im, task_id, on_done, exchange, &exchange->request);
    if (err != 0) {
        exchange->is_pending = false;
        imi_answer_failed_call(exchange, err);
    }
}

void imi_action_task_status(imagine_exchange_t *exchange) {
    ask_task(exchange, imagine_task_status);
}

void imi_action_cancel_task(imagine_exchange_t *exchange) {
    ask_task(exchange, imagine_task_cancel);
}

/* ---- what came of it ---------------------------------------------------------------------------
 */

/* The texts that clients compare (http-api.md) stand in both fields. */
static const char *short_error(const imagine_result_t *result, const char *message) {
    switch (result->status) {
    case IMAGINE_EEXHAUSTED:
    case IMAGINE_ENOTOKEN:
    case IMAGINE_EBREAKER:
        return message;
    case IMAGINE_EINVAL:
    case IMAGINE_EACTION:
    case IMAGINE_EADDRESS:
    case IMAGINE_EPICTURE:
        return "Invalid parameters";
    case IMAGINE_EPROVIDER:
        return "Invalid provider";
    default:
        return imagine_strerror(result->status);
    }
}

static void answer_failure(imagine_exchange_t *exchange, const imagine_result_t *result) {
    const char *message =
        result->message != NULL ? result->message : imagine_strerror(result->status);
    bool has_recovery = result->http_status == 429 || result->status == IMAGINE_EBREAKER ||
                        result->status == IMAGINE_EBUSY;
    if (has_recovery || result->retry_after_ms > 0)
        imi_answer_retry_after(exchange, result->retry_after_ms);
    imi_answer_error(exchange, result->http_status, result->status, short_error(result, message),
                     message);
}

/* Clients of task-status look at `status` first. */
static void answer_unknown_task(imagine_exchange_t *exchange, const imagine_result_t *result) {
    imi_json_writer_t writer;
    imi_json_begin(&writer, &exchange->text);
    imi_json_open_object(&writer, NULL);
    imi_json_put_text(&writer, "status", "error");
    imi_json_put_text(&writer, "message", result->message);
    imi_json_put_text(&writer, "error", imagine_strerror(result->status));
    imi_json_put_text(&writer, "code", imagine_err_name(result->status));
    imi_json_put_text(&writer, "requestId", exchange->id);
    imi_json_close_object(&writer);
    imi_answer_send_text(exchange, result->http_status, IMI_TYPE_JSON);
}

static void answer_success(imagine_exchange_t *exchange, const imagine_result_t *result) {
    imagine_slice_t pieces[PIECES_MAX];
    size_t count = imagine_result_json_slices(result, pieces, PIECES_MAX);
    if (result->http_status == 202) {
        snprintf(exchange->location, sizeof(exchange->location), "/api/v1/task-status?taskId=%s",
                 result->task_id);
        imi_answer_header(exchange, "Location", exchange->location);
    }
    if (count == 0)
        imi_answer_failed_call(exchange, IMAGINE_ENOMEM);
    else
        imi_answer_send(exchange, result->http_status, IMI_TYPE_JSON, pieces, count);
}

/* ---- a stream: http-api.md, "Streaming text to our callers" -------------------------------------
 */

static void send_event(imagine_exchange_t *exchange) {
    imi_buf_append(&exchange->text, "\n\n", 2);
    if (exchange->text.error == 0)
        imi_answer_piece(exchange, exchange->text.data, exchange->text.size);
    else /* a piece that is lost makes the text another one: better no end than a wrong one */
        imagine_cancel(exchange->request);
    imi_buf_clear(&exchange->text);
}

static void on_piece(const char *text, size_t text_size, void *user) {
    imagine_exchange_t *exchange = user;
    imi_json_writer_t writer;
    if (exchange->is_aborted || exchange->is_released)
        return;
    imi_answer_begin_stream(exchange, TYPE_EVENTS);
    imi_buf_append(&exchange->text, "data: ", 6);
    imi_json_begin(&writer, &exchange->text);
    imi_json_open_object(&writer, NULL);
    imi_json_open_array(&writer, "choices");
    imi_json_open_object(&writer, NULL);
    imi_json_open_object(&writer, "delta");
    imi_json_put_slice(&writer, "content", (imi_slice_t){text, text_size});
    imi_json_close_object(&writer);
    imi_json_close_object(&writer);
    imi_json_close_array(&writer);
    imi_json_close_object(&writer);
    send_event(exchange);
}

static void end_stream(imagine_exchange_t *exchange, const imagine_result_t *result) {
    imi_json_writer_t writer;
    imi_answer_begin_stream(exchange, TYPE_EVENTS);
    imi_buf_append(&exchange->text, "data: ", 6);
    if (result->status == 0) {
        imi_buf_append(&exchange->text, "[DONE]", 6);
    } else {
        imi_json_begin(&writer, &exchange->text);
        imi_json_open_object(&writer, NULL);
        imi_json_open_object(&writer, "error");
        imi_json_put_text(&writer, "message", result->message);
        imi_json_put_text(&writer, "code", imagine_err_name(result->status));
        imi_json_put_text(&writer, "requestId", exchange->id);
        imi_json_close_object(&writer);
        imi_json_close_object(&writer);
    }
    send_event(exchange);
    imi_answer_end_stream(exchange);
}

static void on_done(int status, const imagine_result_t *result, void *user) {
    imagine_exchange_t *exchange = user;
    bool is_stream =
        exchange->is_streaming ||
        (result->http_status == 200 && result->text == NULL && strcmp(result->action, "text") == 0);
    exchange->is_pending = false;
    if (exchange->is_released)
        imi_gateway_exchange_free(exchange);
    else if (exchange->is_aborted)
        return;
    else if (is_stream)
        end_stream(exchange, result);
    else if (status == 0)
        answer_success(exchange, result);
    else if (status == IMAGINE_ENOTFOUND && exchange->route->action == NULL)
        answer_unknown_task(exchange, result);
    else
        answer_failure(exchange, result);
}
