/* journal.c: "request id=… method=… path=… …", one line per request. What a stranger wrote is cut
 * to a bounded length, and every byte of it that could be taken for a part of the line itself, or
 * that a terminal would act upon, is percent-encoded. */
#include "gateway/journal.h"

#include <string.h>

#include "gateway/answer.h"

enum { LINE_SIZE_MAX = 2048, STRANGERS_SIZE_MAX = 160 };

#define STATUS_LEFT 499 /* nginx's number for a caller that left; nobody is sent it */

typedef struct line {
    char text[LINE_SIZE_MAX];
    size_t size;
} line_t;

static void put(line_t *line, const char *text, size_t size) {
    if (size > sizeof(line->text) - 1 - line->size)
        size = sizeof(line->text) - 1 - line->size;
    memcpy(line->text + line->size, text, size);
    line->size += size;
}

static void put_text(line_t *line, const char *key, const char *value) {
    put(line, key, strlen(key));
    put(line, value, strlen(value));
}

static void put_number(line_t *line, const char *key, uint64_t value) {
    char digits[IMI_EXCHANGE_DECIMAL_SIZE];
    put_text(line, key, imi_decimal(digits, value));
}

static bool is_harmless(unsigned char c) {
    return c > ' ' && c < 0x7f && c != '"' && c != '\\' && c != '=';
}

static void put_strangers(line_t *line, const char *key, const char *value, size_t size) {
    static const char digits[] = "0123456789ABCDEF";
    bool is_cut = size > STRANGERS_SIZE_MAX;
    put(line, key, strlen(key));
    for (size_t i = 0; i < (is_cut ? STRANGERS_SIZE_MAX : size); i++) {
        unsigned char c = (unsigned char)value[i];
        char escape[3] = {'%', digits[c >> 4], digits[c & 15]};
        if (is_harmless(c))
            put(line, value + i, 1);
        else
            put(line, escape, sizeof(escape));
    }
    if (is_cut)
        put(line, "...", 3);
}

static void put_result(line_t *line, const imagine_result_t *result) {
    if (result->provider != NULL)
        put_text(line, " provider=", result->provider);
    if (result->model != NULL)
        put_strangers(line, " model=", result->model, strlen(result->model));
}

/* The words of a refusal are our own; those of a result are fit for a log already. */
static void put_failure(line_t *line, const imagine_exchange_t *exchange,
                        const imagine_result_t *result) {
    bool has_failed = result != NULL && result->status != 0;
    int32_t error = has_failed ? result->status : exchange->error;
    const char *reason = has_failed ? result->log_reason : exchange->reason;
    if (error == 0)
        return;
    put_text(line, " error=", imagine_err_name(error));
    if (reason == NULL)
        return;
    put_text(line, " reason=\"", reason);
    put(line, "\"", 1);
}

void imi_journal_write(const imagine_exchange_t *exchange) {
    const imagine_gateway_t *gateway = exchange->gateway;
    const imagine_result_t *result;
    line_t line;
    if (!imagine_log_wants(gateway->im, IMAGINE_LOG_INFO))
        return;
    result = imagine_request_result(exchange->request);
    line.size = 0;
    put_text(&line, "request id=", exchange->id);
    put_strangers(&line, " method=", exchange->method_name, strlen(exchange->method_name));
    put_strangers(&line, " path=", exchange->target, exchange->path_size);
    if (exchange->route->action != NULL)
        put_text(&line, " action=", exchange->route->action);
    if (result != NULL)
        put_result(&line, result);
    put_number(&line,
               " status=", exchange->is_answered ? (uint64_t)exchange->answer.status : STATUS_LEFT);
    put_number(&line, " ms=", exchange->duration_ms);
    if (result != NULL && result->token != NULL)
        put_text(&line, " token=", result->token);
    if (result != NULL)
        put_number(&line, " attempts=", result->attempts);
    put_failure(&line, exchange, result);
    line.text[line.size] = '\0';
    imagine_log(gateway->im, IMAGINE_LOG_INFO, line.text);
}
