/* result.c: a result is written as JSON once, when somebody asks. Long addresses (pictures as data:
 * URLs) are left out of the buffer and given as slices of their own: they are not copied. */
#include "core/result.h"

#include <string.h>

#include "core/client.h"
#include "wire/dataurl.h"
#include "wire/json.h"
#include "wire/json_scan.h"
#include "wire/list.h"

#define LONG_URL_SIZE 4096

imagine_request_t *imi_result_request(const imagine_result_t *result) {
    return IMI_CONTAINER(result, imagine_request_t, result);
}

void imi_result_reset(imagine_request_t *request) {
    imi_buf_reset(&request->json);
    imi_mem_free(&request->mem, request->bytes);
    request->bytes = NULL;
}

/* Could it stand inside a JSON string as it is? */
static bool is_plain(const char *text, size_t size) {
    return imi_json_plain_run(text, size) == size;
}

/* A long one leaves a gap between its quotes. */
static void put_url(imagine_request_t *request, imi_json_writer_t *writer, const char *url,
                    size_t size) {
    imi_gap_t *gap;
    if (url == NULL)
        return;
    if (size <= LONG_URL_SIZE || !is_plain(url, size) || request->gap_count == IMI_GAPS_MAX) {
        imi_json_put_text(writer, "url", url);
        return;
    }
    if (request->gaps == NULL)
        request->gaps = imi_arena_zalloc(&request->arena, IMI_GAPS_MAX * sizeof(*request->gaps));
    if (request->gaps == NULL) {
        request->json.error = IMI_BUF_NOMEM;
        return;
    }
    imi_json_put_text(writer, "url", "");
    gap = &request->gaps[request->gap_count++];
    *gap = (imi_gap_t){request->json.size - 1, {url, size}};
}

static void put_urls(imagine_request_t *request, imi_json_writer_t *writer) {
    const imagine_result_t *result = &request->result;
    put_url(request, writer, result->url, result->url_size);
    if (result->url_count == 0)
        return;
    imi_json_open_array(writer, "images");
    for (size_t i = 0; i < result->url_count; i++) {
        imi_json_open_object(writer, NULL);
        put_url(request, writer, result->urls[i], strlen(result->urls[i]));
        imi_json_close_object(writer);
    }
    imi_json_close_array(writer);
}

static void put_numbers(const imagine_result_t *result, imi_json_writer_t *writer) {
    if (result->width > 0 && result->height > 0 && strcmp(result->action, "generate") == 0) {
        imi_json_put_int(writer, "width", result->width);
        imi_json_put_int(writer, "height", result->height);
    }
    if (result->has_seed != 0)
        imi_json_put_int(writer, "seed", result->seed);
    if (result->steps > 0)
        imi_json_put_int(writer, "steps", result->steps);
    if (result->guidance > 0)
        imi_json_put_number(writer, "guidance", result->guidance);
}

static void put_failure(const imagine_result_t *result, imi_json_writer_t *writer) {
    imi_json_put_text(writer, "error", imagine_strerror(result->status));
    imi_json_put_text(writer, "message", result->message);
    imi_json_put_text(writer, "code", imagine_err_name(result->status));
}

/* The members of the result that the task ended with. */
static void put_outcome(imagine_request_t *request, imi_json_writer_t *writer) {
    imi_json_cursor_t cursor = imi_json_walk(request->outcome);
    imi_slice_t key, value;
    if (request->outcome.data == NULL)
        return;
    put_urls(request, writer);
    while (imi_json_next_member(&cursor, &key, &value)) {
        const char *name;
        if (imi_json_key_is(key, "url") || imi_json_key_is(key, "images"))
            continue;
        name = imi_arena_strndup(&request->arena, key.data, key.size);
        if (name != NULL)
            imi_json_put_raw(writer, name, value);
    }
}

char *imi_result_outcome(imagine_request_t *request) {
    const imagine_result_t *kept = request->kept != NULL ? request->kept->result : NULL;
    imi_json_writer_t writer;
    imi_buf_t out;
    if (kept == NULL)
        return NULL;
    imi_buf_init(&out, &request->mem, 0);
    imi_json_begin(&writer, &out);
    imi_json_open_object(&writer, NULL);
    if (kept->url != NULL)
        imi_json_put_text(&writer, "url", kept->url);
    if (kept->url_count > 0)
        imi_json_open_array(&writer, "images");
    for (size_t i = 0; i < kept->url_count; i++) {
        imi_json_open_object(&writer, NULL);
        imi_json_put_text(&writer, "url", kept->urls[i]);
        imi_json_close_object(&writer);
    }
    if (kept->url_count > 0)
        imi_json_close_array(&writer);
    if (kept->text != NULL)
        imi_json_put_text(&writer, "text", kept->text);
    imi_json_close_object(&writer);
    if (out.error == 0)
        return imi_buf_take(&out, NULL);
    imi_buf_reset(&out);
    return NULL;
}

static bool write_json(imagine_request_t *request) {
    const imagine_result_t *result = &request->result;
    imi_json_writer_t writer;
    imi_buf_init(&request->json, &request->mem, 0);
    request->gap_count = 0;
    imi_json_begin(&writer, &request->json);
    imi_json_open_object(&writer, NULL);
    if (result->status != 0) {
        put_failure(result, &writer);
    } else if (request->action == IMI_TASK_STATUS) {
        imi_json_put_text(&writer, "status", result->task_state);
        put_outcome(request, &writer);
        if (strcmp(result->task_state, "processing") == 0 && result->progress >= 0)
            imi_json_put_number(&writer, "progress", result->progress);
        if (result->queue_position > 0)
            imi_json_put_int(&writer, "queuePosition", result->queue_position);
        if (result->message != NULL)
            imi_json_put_text(&writer, "error", result->message);
    } else if (result->task_id != NULL) {
        imi_json_put_text(&writer, "taskId", result->task_id);
        imi_json_put_int(&writer, "predict", result->predict_s);
        if (result->http_status == 202)
            imi_json_put_text(&writer, "status", result->task_state);
    } else if (result->text != NULL) {
        imi_json_put_text(&writer, "text", result->text);
        if (result->usage_json != NULL)
            imi_json_put_raw(&writer, "usage", imi_slice_of(result->usage_json));
    } else {
        put_urls(request, &writer);
        if (request->action == IMI_GENERATE || request->action == IMI_EDIT)
            put_numbers(result, &writer);
        if (result->type != NULL)
            imi_json_put_text(&writer, "type", result->type);
        if (result->revised_prompt != NULL)
            imi_json_put_text(&writer, "revisedPrompt", result->revised_prompt);
    }
    imi_json_close_object(&writer);
    if (request->json.error != 0) {
        imi_buf_reset(&request->json);
        return false;
    }
    request->has_json = true;
    return true;
}

size_t imagine_result_json_slices(const imagine_result_t *result, imagine_slice_t *slices,
                                  size_t capacity) {
    imagine_request_t *request = imi_result_request(result);
    const imi_buf_t *json = &request->json;
    size_t count = 0, at = 0;
    if ((!request->has_json && !write_json(request)) || capacity < 2 * request->gap_count + 1)
        return 0;
    for (size_t i = 0; i < request->gap_count; i++) {
        const imi_gap_t *gap = &request->gaps[i];
        slices[count++] = (imagine_slice_t){json->data + at, gap->at - at};
        slices[count++] = gap->filling;
        at = gap->at;
    }
    slices[count++] = (imagine_slice_t){json->data + at, json->size - at};
    return count;
}

const char *imagine_result_json(const imagine_result_t *result, size_t *out_size) {
    imagine_request_t *request = imi_result_request(result);
    imagine_slice_t slices[IMAGINE_RESULT_SLICES_MAX];
    size_t count = imagine_result_json_slices(result, slices, IMAGINE_RESULT_SLICES_MAX);
    if (count == 0)
        return NULL;
    if (count > 1) { /* joined once, and kept so */
        imi_buf_t whole;
        imi_buf_init(&whole, &request->mem, 0);
        for (size_t i = 0; i < count; i++)
            imi_buf_append(&whole, slices[i].data, slices[i].size);
        if (whole.error != 0) {
            imi_buf_reset(&whole);
            return NULL;
        }
        imi_buf_reset(&request->json);
        request->json = whole;
        request->gap_count = 0;
    }
    if (out_size != NULL)
        *out_size = request->json.size;
    return request->json.data;
}

typedef struct picture {
    const void *data;
    size_t size;
    const char *mime;
} picture_t;

static int decode(imagine_request_t *request, imi_slice_t url, picture_t *out) {
    imi_dataurl_t parts;
    bool is_nomem = false;
    char *mime;
    if (!imi_dataurl_parse(url, &parts))
        return IMAGINE_ENOTFOUND;
    out->data = imi_dataurl_decode(&request->pictures, &parts, &out->size, &is_nomem);
    if (out->data == NULL)
        return is_nomem ? IMAGINE_ENOMEM : IMAGINE_EPROTOCOL;
    mime = imi_arena_strndup(&request->pictures, parts.mime.data, parts.mime.size);
    if (mime == NULL)
        return IMAGINE_ENOMEM;
    out->mime = imi_sniff_mime(out->data, out->size);
    out->mime = out->mime != NULL ? out->mime : mime;
    return 0;
}

int imagine_result_bytes(const imagine_result_t *result, const void **data, size_t *data_size,
                         const char **mime) {
    imagine_request_t *request = imi_result_request(result);
    if (request->bytes_view == NULL) {
        picture_t picture;
        int err = result->url == NULL
                      ? IMAGINE_ENOTFOUND
                      : decode(request, (imi_slice_t){result->url, result->url_size}, &picture);
        if (err != 0)
            return err;
        request->bytes_view = picture.data;
        request->bytes_size = picture.size;
        request->bytes_mime = picture.mime;
    }
    *data = request->bytes_view;
    *data_size = request->bytes_size;
    if (mime != NULL)
        *mime = request->bytes_mime;
    return 0;
}

int imagine_result_picture(const imagine_result_t *result, size_t index, const void **data,
                           size_t *data_size, const char **mime) {
    picture_t picture;
    int err;
    if (index == 0)
        return imagine_result_bytes(result, data, data_size, mime);
    if (index >= result->url_count)
        return IMAGINE_ENOTFOUND;
    err = decode(imi_result_request(result), imi_slice_of(result->urls[index]), &picture);
    if (err != 0)
        return err;
    *data = picture.data;
    *data_size = picture.size;
    if (mime != NULL)
        *mime = picture.mime;
    return 0;
}
