/* open.c: a client, its texts and its results without structs. */
#include <stdbool.h>
#include <string.h>

#include "imagine/ffi.h"
#include "wire/json.h"
#include "wire/str.h"

#define DEPTH_MAX 4

typedef struct reader {
    imagine_options_t options;
    imi_arena_t arena;
    const char *bad; /* the member that is wrong; NULL: none */
} reader_t;

static bool read_size(imi_slice_t value, int64_t max, uint64_t *out) {
    int64_t number;
    if (!imi_json_whole_number(value, &number) || number < 0 || number > max)
        return false;
    *out = (uint64_t)number;
    return true;
}

static bool read_text(reader_t *reader, imi_slice_t value, const char **out) {
    *out = imi_json_text(&reader->arena, value, NULL);
    return *out != NULL;
}

static bool read_level(imi_slice_t value, int32_t *out) {
    static const char *const names[] = {"error", "warn", "info", "debug", "trace"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (imi_slice_equals(imi_json_plain_text(value), names[i])) {
            *out = (int32_t)i;
            return true;
        }
    return false;
}

/* False: there is no such option, or not with such a value. */
static bool read_option(reader_t *reader, imi_slice_t key, imi_slice_t value) {
    imagine_options_t *options = &reader->options;
    uint64_t number;
    bool flag;
    if (imi_json_key_is(key, "logLevel"))
        return read_level(value, &options->log_level);
    if (imi_json_key_is(key, "userAgent"))
        return read_text(reader, value, &options->user_agent);
    if (imi_json_key_is(key, "caFile"))
        return read_text(reader, value, &options->ca_file);
    if (imi_json_key_is(key, "allowPrivateHosts"))
        return read_text(reader, value, &options->allow_private_hosts);
    if (imi_json_key_is(key, "responseSizeMax"))
        return read_size(value, INT64_MAX, &options->response_size_max);
    if (imi_json_key_is(key, "timeoutMs") && read_size(value, UINT32_MAX, &number)) {
        options->timeout_ms = (uint32_t)number;
        return true;
    }
    if (imi_json_key_is(key, "inFlightMax") && read_size(value, UINT32_MAX, &number)) {
        options->in_flight_max = (uint32_t)number;
        return true;
    }
    if (imi_json_key_is(key, "manual") && imi_json_bool(value, &flag)) {
        options->is_manual = flag;
        return true;
    }
    if (imi_json_key_is(key, "verifyTls") && imi_json_bool(value, &flag)) {
        options->verify_tls = flag ? 1 : -1;
        return true;
    }
    return false;
}

static int read_options(reader_t *reader, const char *json) {
    imi_slice_t document = imi_slice_of(json), key, value;
    imi_json_cursor_t cursor;
    if (!imi_json_valid(document, DEPTH_MAX, NULL) || imi_json_type(document) != IMI_JSON_OBJECT) {
        reader->bad = "the options are no JSON object";
        return IMAGINE_EINVAL;
    }
    cursor = imi_json_walk(document);
    while (imi_json_next_member(&cursor, &key, &value)) {
        if (read_option(reader, key, value))
            continue;
        reader->bad = imi_arena_printf(&reader->arena, "no option, or not with this value: %.*s",
                                       (int)(key.size < 100 ? key.size : 100), key.data);
        return IMAGINE_EINVAL;
    }
    return 0;
}

int imagine_open_json(imagine_t **out, const char *json, imagine_log_cb log, void *log_user,
                      char **out_message) {
    reader_t reader = {.options = IMAGINE_OPTIONS_INIT};
    int err;
    if (out_message != NULL)
        *out_message = NULL;
    if (out == NULL)
        return IMAGINE_EINVAL;
    *out = NULL;
    imi_arena_init(&reader.arena, NULL, 0);
    reader.options.log = log;
    reader.options.log_user = log_user;
    err = read_options(&reader, json != NULL ? json : "{}");
    if (err == 0)
        err = imagine_open(out, &reader.options);
    if (err != 0 && out_message != NULL)
        *out_message =
            imi_mem_strdup(NULL, reader.bad != NULL ? reader.bad : imagine_strerror(err));
    imi_arena_reset(&reader.arena);
    return err;
}

int imagine_submit_text(imagine_t *im, const char *json, size_t json_size,
                        imagine_piece_cb on_piece, imagine_done_cb done, void *user,
                        imagine_request_t **out) {
    imagine_form_t form = {.size = sizeof(form),
                           .action = "text",
                           .json = json,
                           .json_size = json_size,
                           .on_piece = on_piece};
    return imagine_submit_form(im, &form, done, user, out);
}

int imagine_result_status(const imagine_result_t *result) {
    return result->status;
}

const char *imagine_result_message(const imagine_result_t *result) {
    return result->message;
}

int imagine_result_http_status(const imagine_result_t *result) {
    return result->http_status;
}

const char *imagine_result_task_id(const imagine_result_t *result) {
    return result->task_id;
}

uint64_t imagine_result_retry_after_ms(const imagine_result_t *result) {
    return result->retry_after_ms;
}
