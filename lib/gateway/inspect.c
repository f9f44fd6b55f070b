/* inspect.c: health, models, tokens, metrics; and two switches of the administrator's. */
#include "gateway/inspect.h"

#include <string.h>

#include "imagine/hosting.h"
#include "gateway/answer.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/head.h"
#include "gateway/metrics.h"
#include "wire/json.h"
#include "wire/time.h"

#define DEFAULT_PROVIDER "gitee" /* of old clients, as in model ids without a provider */
#define DEPTH_MAX 64

static const imi_refusal_t broken_query = {400, IMAGINE_EINVAL, "Invalid parameters",
                                           "the query holds a broken percent-escape"};
static const imi_refusal_t no_provider = {400, IMAGINE_EINVAL, "Provider is required",
                                          "the body must be an object with a text \"provider\""};
static const imi_refusal_t not_json = {400, IMAGINE_EINVAL, "Invalid parameters",
                                       "the body is not valid JSON"};
static const imi_refusal_t bad_dates = {
    400, IMAGINE_EINVAL, "Invalid parameters",
    "startDate and endDate must be ISO 8601 dates, the first no later than the second"};
static const imi_refusal_t no_hosting = {400, IMAGINE_ENOTSUP, "S3 service is not enabled",
                                         "no hosting for results is configured"};

static void on_cleaned_up(int status, int64_t deleted_count, const char *message, void *user);

void imi_inspect_health(imagine_exchange_t *exchange) {
    const imagine_io_t *io = exchange->gateway->io;
    imi_json_writer_t writer;
    char timestamp[IMI_TIME_TEXT_SIZE];
    bool is_draining = exchange->gateway->is_draining;
    imi_time_format(timestamp, io->unix_ms(io->context), true);
    imi_json_begin(&writer, &exchange->text);
    imi_json_open_object(&writer, NULL);
    imi_json_put_text(&writer, "status", is_draining ? "draining" : "ok");
    imi_json_put_text(&writer, "timestamp", timestamp);
    imi_json_put_text(&writer, "version", imagine_version());
    imi_json_close_object(&writer);
    imi_answer_send_text(exchange, is_draining ? 503 : 200, IMI_TYPE_JSON);
}

/* ---- models ------------------------------------------------------------------------------------
 */

static void answer_models(imagine_exchange_t *exchange, uint32_t flags) {
    imagine_slice_t piece;
    exchange->lent = imagine_models(exchange->gateway->im, flags);
    if (exchange->lent == NULL) {
        imi_answer_failed_call(exchange, IMAGINE_ENOMEM);
        return;
    }
    piece = (imagine_slice_t){exchange->lent, strlen(exchange->lent)};
    imi_answer_send(exchange, 200, IMI_TYPE_JSON, &piece, 1);
}

void imi_inspect_models(imagine_exchange_t *exchange) {
    answer_models(exchange, 0);
}

void imi_inspect_all_models(imagine_exchange_t *exchange) {
    answer_models(exchange, IMAGINE_MODELS_ALL);
}

/* ---- tokens ------------------------------------------------------------------------------------
 */

/* "Valid providers: a, b" */
static void answer_unknown_provider(imagine_exchange_t *exchange) {
    char *names = imagine_providers(exchange->gateway->im);
    imi_json_cursor_t cursor = imi_json_walk(imi_slice_of(names));
    imi_slice_t name;
    imi_buf_t message;
    imi_buf_init(&message, exchange->mem, 0);
    imi_buf_append_text(&message, "Valid providers: ");
    for (bool is_first = true; imi_json_next_item(&cursor, &name); is_first = false) {
        imi_buf_append_text(&message, is_first ? "" : ", ");
        name = imi_json_plain_text(name);
        imi_buf_append(&message, name.data, name.size);
    }
    imagine_free(names);
    imi_answer_error(exchange, 400, IMAGINE_EPROVIDER, "Invalid provider",
                     message.error == 0 ? message.data : imagine_strerror(IMAGINE_EPROVIDER));
    imi_buf_reset(&message);
}

static void put_stats(imi_json_writer_t *writer, const imagine_token_stats_t *stats) {
    imi_json_put_int(writer, "total", stats->total);
    imi_json_put_int(writer, "exhausted", stats->exhausted);
    imi_json_put_int(writer, "active", stats->active);
    imi_json_put_int(writer, "cooling", stats->cooling);
    imi_json_put_int(writer, "invalid", stats->invalid);
}

void imi_inspect_tokens(imagine_exchange_t *exchange) {
    imagine_token_stats_t stats = {.size = sizeof(stats)};
    imi_json_writer_t writer;
    bool is_broken = false;
    const char *provider = imi_exchange_parameter(exchange, "provider", &is_broken);
    int err;
    if (is_broken) {
        imi_answer_refuse(exchange, &broken_query);
        return;
    }
    err = imagine_token_stats(exchange->gateway->im, provider != NULL ? provider : DEFAULT_PROVIDER,
                              &stats);
    if (err == IMAGINE_EPROVIDER) {
        answer_unknown_provider(exchange);
        return;
    }
    if (err != 0) {
        imi_answer_failed_call(exchange, err);
        return;
    }
    imi_json_begin(&writer, &exchange->text);
    imi_json_open_object(&writer, NULL);
    put_stats(&writer, &stats);
    imi_json_close_object(&writer);
    imi_answer_send_text(exchange, 200, IMI_TYPE_JSON);
}

static void put_provider(imagine_t *im, imi_json_writer_t *writer, const char *provider,
                         bool has_details) {
    imagine_token_stats_t stats = {.size = sizeof(stats)};
    char *details;
    if (imagine_token_stats(im, provider, &stats) != 0)
        return;
    imi_json_open_object(writer, provider);
    put_stats(writer, &stats);
    details = has_details ? imagine_token_details(im, provider) : NULL;
    if (details != NULL)
        imi_json_put_raw(writer, "tokens", imi_slice_of(details));
    imagine_free(details);
    imi_json_close_object(writer);
}

void imi_inspect_all_tokens(imagine_exchange_t *exchange) {
    imagine_t *im = exchange->gateway->im;
    bool has_details =
        imi_slice_equals(imi_gateway_query_get(imi_exchange_query(exchange), "details"), "1");
    char *names = imagine_providers(im);
    imi_json_cursor_t cursor = imi_json_walk(imi_slice_of(names));
    imi_json_writer_t writer;
    imi_arena_t arena;
    imi_slice_t item;
    if (names == NULL) {
        imi_answer_failed_call(exchange, IMAGINE_ENOMEM);
        return;
    }
    imi_arena_init(&arena, exchange->mem, 0);
    imi_json_begin(&writer, &exchange->text);
    imi_json_open_object(&writer, NULL);
    while (imi_json_next_item(&cursor, &item)) {
        const char *provider = imi_json_text(&arena, item, NULL);
        if (provider == NULL)
            exchange->text.error = IMI_BUF_NOMEM;
        else
            put_provider(im, &writer, provider, has_details);
    }
    imi_json_close_object(&writer);
    imi_arena_reset(&arena);
    imagine_free(names);
    imi_answer_send_text(exchange, 200, IMI_TYPE_JSON);
}

static void reset_provider(imagine_exchange_t *exchange, const char *provider) {
    imi_json_writer_t writer;
    int err = imagine_token_reset(exchange->gateway->im, provider);
    if (err == IMAGINE_EPROVIDER) {
        answer_unknown_provider(exchange);
        return;
    }
    if (err != 0) {
        imi_answer_failed_call(exchange, err);
        return;
    }
    imi_json_begin(&writer, &exchange->text);
    imi_json_open_object(&writer, NULL);
    imi_json_put_bool(&writer, "success", true);
    imi_buf_append_text(&exchange->text, ",\"message\":\"Token status reset for ");
    imi_json_escape(&exchange->text, provider, strlen(provider));
    imi_buf_append_byte(&exchange->text, '"');
    imi_json_close_object(&writer);
    imi_answer_send_text(exchange, 200, IMI_TYPE_JSON);
}

void imi_inspect_reset_tokens(imagine_exchange_t *exchange) {
    imagine_form_t form = {.size = sizeof(form)};
    const imi_refusal_t *refusal = imi_gateway_body_finish(exchange->body, &form);
    imi_slice_t json = {form.json, form.json_size};
    const char *provider = NULL;
    imi_arena_t arena;
    imi_arena_init(&arena, exchange->mem, 0);
    if (refusal == NULL && imi_slice_trim(json).size == 0)
        refusal = &no_provider;
    if (refusal == NULL && !imi_json_valid(json, DEPTH_MAX, NULL))
        refusal = &not_json;
    if (refusal == NULL) {
        provider = imi_json_text(&arena, imi_json_get(json, "provider"), NULL);
        if (provider == NULL || provider[0] == '\0')
            refusal = &no_provider;
    }
    if (refusal != NULL)
        imi_answer_refuse(exchange, refusal);
    else
        reset_provider(exchange, provider);
    imi_arena_reset(&arena);
}

/* ---- the rest ----------------------------------------------------------------------------------
 */

/* Absent is fine; false for what is no date. */
static bool read_date(imagine_exchange_t *exchange, const char *name, int64_t *out_unix_ms) {
    bool is_broken = false;
    const char *text = imi_exchange_parameter(exchange, name, &is_broken);
    return !is_broken && (text == NULL || imi_time_parse(imi_slice_of(text), out_unix_ms));
}

void imi_inspect_clean_up_storage(imagine_exchange_t *exchange) {
    int64_t start_unix_ms = INT64_MIN, end_unix_ms = INT64_MAX;
    bool has_dates = read_date(exchange, "startDate", &start_unix_ms) &&
                     read_date(exchange, "endDate", &end_unix_ms) && start_unix_ms <= end_unix_ms;
    int err;
    if (!has_dates) {
        imi_answer_refuse(exchange, &bad_dates);
        return;
    }
    exchange->is_pending = true;
    err = imagine_hosting_clean_up(exchange->gateway->im, start_unix_ms, end_unix_ms, on_cleaned_up,
                                   exchange);
    if (err == 0)
        return;
    exchange->is_pending = false;
    if (err == IMAGINE_ENOTSUP)
        imi_answer_refuse(exchange, &no_hosting);
    else
        imi_answer_failed_call(exchange, err);
}

static void on_cleaned_up(int status, int64_t deleted_count, const char *message, void *user) {
    imagine_exchange_t *exchange = user;
    imi_json_writer_t writer;
    exchange->is_pending = false;
    if (exchange->is_released) {
        imi_gateway_exchange_free(exchange);
        return;
    }
    if (status != 0) {
        imi_answer_error(exchange, imagine_err_http_status(status), status,
                         imagine_strerror(status), message);
        return;
    }
    imi_json_begin(&writer, &exchange->text);
    imi_json_open_object(&writer, NULL);
    imi_json_put_text(&writer, "status", "success");
    imi_json_put_int(&writer, "deletedCount", deleted_count);
    imi_json_close_object(&writer);
    imi_answer_send_text(exchange, 200, IMI_TYPE_JSON);
}

void imi_inspect_metrics(imagine_exchange_t *exchange) {
    imagine_gateway_t *gateway = exchange->gateway;
    imagine_gateway_publish(gateway);
    imi_metrics_write(gateway->group->members, gateway->im, &exchange->text);
    imi_answer_send_text(exchange, 200, IMI_METRICS_TYPE);
}
