/* log.c: see log.h; and imagine_log_format(), which turns a line into what an operator reads. */
#include "core/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/client.h"
#include "wire/buf.h"
#include "wire/json.h"
#include "wire/time.h"

static const char *const level_names[] = {"error", "warn", "info", "debug", "trace"};

static bool is_wanted(const imagine_t *im, int32_t level) {
    return im->io->log != NULL && level <= im->log_level;
}

void imi_log(imagine_t *im, int32_t level, const char *format, ...) {
    char line[IMI_LOG_LINE_SIZE_MAX];
    va_list arguments;
    if (!is_wanted(im, level))
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    im->io->log(im->io->context, level, line);
}

void imi_log_trace(imagine_t *im, uint32_t request_number, const char *format, ...) {
    char line[IMI_LOG_LINE_SIZE_MAX];
    va_list arguments;
    int head_size;
    if (!is_wanted(im, IMAGINE_LOG_TRACE))
        return;
    head_size = snprintf(line, sizeof(line), "[%4" PRIu64 "] r%" PRIu32 " ",
                         imi_now_ms(im) - im->opened_at_ms, request_number);
    va_start(arguments, format);
    vsnprintf(line + head_size, sizeof(line) - (size_t)head_size, format, arguments);
    va_end(arguments);
    im->io->log(im->io->context, IMAGINE_LOG_TRACE, line);
}

int32_t imagine_log_wants(const imagine_t *im, int32_t level) {
    return im != NULL && is_wanted(im, level) ? 1 : 0;
}

void imagine_log(imagine_t *im, int32_t level, const char *line) {
    if (im != NULL && line != NULL && is_wanted(im, level))
        im->io->log(im->io->context, level, line);
}

/* Takes " key=value" or " key=\"quoted value\"" off the front. */
static bool next_pair(imi_slice_t *rest, imi_slice_t *key, imi_slice_t *value) {
    const char *at = rest->data, *end = rest->data + rest->size, *start;
    while (at < end && *at == ' ')
        at++;
    start = at;
    while (at < end && *at != '=' && *at != ' ')
        at++;
    *key = (imi_slice_t){start, (size_t)(at - start)};
    *value = (imi_slice_t){NULL, 0};
    if (at < end && *at == '=') {
        start = ++at;
        if (at < end && *at == '"') {
            start = ++at;
            while (at < end && *at != '"')
                at += at[0] == '\\' && at + 1 < end ? 2 : 1;
            *value = (imi_slice_t){start, (size_t)(at - start)};
            if (at < end)
                at++;
        } else {
            while (at < end && *at != ' ')
                at++;
            *value = (imi_slice_t){start, (size_t)(at - start)};
        }
    }
    *rest = (imi_slice_t){at, (size_t)(end - at)};
    return key->size > 0;
}

/* What readers compare. Other values stay texts also where they are digits by chance, as ids are.
 */
static bool is_number(imi_slice_t key, imi_slice_t value) {
    static const char *const names[] = {"attempts", "at_ms",  "deleted", "ms",
                                        "request",  "status", "tries",   "waiting"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (imi_slice_equals(key, names[i]))
            return value.size > 0 && imi_number_size(value) == value.size;
    return false;
}

static void put_pair(imi_json_writer_t *writer, imi_slice_t key, imi_slice_t value) {
    char name[64];
    snprintf(name, sizeof(name), "%.*s", (int)key.size, key.data);
    if (is_number(key, value))
        imi_json_put_raw(writer, name, value);
    else
        imi_json_put_slice(writer, name, value);
}

/* "[ 329] r1 " in front of a step, as imi_log_trace() writes it. */
static void put_step(imi_json_writer_t *writer, imi_slice_t *rest) {
    const char *at = rest->size > 0 && *rest->data == '[' ? strstr(rest->data, "] r") : NULL;
    size_t number_size = at != NULL ? strspn(at + 3, "0123456789") : 0;
    if (number_size == 0)
        return;
    put_pair(writer, IMI_SLICE("at_ms"),
             imi_slice_trim((imi_slice_t){rest->data + 1, (size_t)(at - rest->data) - 1}));
    put_pair(writer, IMI_SLICE("request"), (imi_slice_t){at + 3, number_size});
    *rest = imi_slice_of(at + 3 + number_size);
}

/* All words in front of the next pair: a host's own line may begin with several. */
static void put_words(imi_json_writer_t *writer, const char *name, imi_slice_t *rest) {
    size_t size = strcspn(rest->data, "=");
    while (size < rest->size && size > 0 && rest->data[size - 1] != ' ')
        size--; /* the key */
    imi_json_put_slice(writer, name, imi_slice_trim((imi_slice_t){rest->data, size}));
    *rest = imi_slice_of(rest->data + size);
}

static void format_json(imi_buf_t *buf, const char *time, const char *level, const char *line) {
    imi_json_writer_t writer;
    imi_slice_t rest = imi_slice_of(line), key, value;
    imi_json_begin(&writer, buf);
    imi_json_open_object(&writer, NULL);
    imi_json_put_text(&writer, "time", time);
    imi_json_put_text(&writer, "level", level);
    put_step(&writer, &rest);
    put_words(&writer, "event", &rest);
    while (next_pair(&rest, &key, &value)) {
        if (value.data != NULL) {
            put_pair(&writer, key, value);
        } else { /* as the method and the path of a step */
            rest = imi_slice_of(key.data);
            put_words(&writer, "text", &rest);
        }
    }
    imi_json_close_object(&writer);
}

size_t imagine_log_format(char *out, size_t capacity, int is_json, int64_t unix_ms, int32_t level,
                          const char *line) {
    char time[IMI_TIME_TEXT_SIZE];
    const char *name = level_names[level < 0 ? 0 : level > 4 ? 4 : level];
    int size;
    if (out == NULL || capacity < 2)
        return 0;
    imi_time_format(time, unix_ms, true);
    if (is_json) {
        imi_buf_t buf;
        bool is_written = false;
        imi_buf_init(&buf, NULL, capacity - 2);
        format_json(&buf, time, name, line);
        size = (int)buf.size;
        if (buf.error == 0) {
            memcpy(out, buf.data, buf.size);
            memcpy(out + buf.size, "\n", 2);
            is_written = true;
        }
        imi_buf_reset(&buf);
        if (is_written)
            return (size_t)size + 1;
    }
    size = snprintf(out, capacity, "%s %s %s", time, name, line);
    if (size < 0)
        return 0;
    if ((size_t)size > capacity - 2)
        size = (int)(capacity - 2);
    memcpy(out + size, "\n", 2);
    return (size_t)size + 1;
}
