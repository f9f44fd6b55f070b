/* result.c: a result is written as JSON once, when somebody asks. A long address (a picture as a
 * data: URL) is left out of the buffer and given as a slice of its own: it is not copied. */
#include "core/result.h"

#include <string.h>

#include "core/client.h"
#include "wire/dataurl.h"
#include "wire/json.h"
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
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == '"' || c == '\\' || c >= 0x7f)
            return false;
    }
    return true;
}

static void put_url(imagine_request_t *request, imi_json_writer_t *writer) {
    const imagine_result_t *result = &request->result;
    if (result->url == NULL)
        return;
    if (result->url_size <= LONG_URL_SIZE || !is_plain(result->url, result->url_size)) {
        imi_json_put_text(writer, "url", result->url);
        return;
    }
    imi_json_put_text(writer, "url", "");
    request->json_url_at = request->json.size - 1; /* between its quotes */
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

static bool write_json(imagine_request_t *request) {
    const imagine_result_t *result = &request->result;
    imi_json_writer_t writer;
    imi_buf_init(&request->json, &request->mem, 0);
    request->json_url_at = SIZE_MAX;
    imi_json_begin(&writer, &request->json);
    imi_json_open_object(&writer, NULL);
    if (result->status != 0) {
        put_failure(result, &writer);
    } else if (request->action == IMI_TASK_STATUS) {
        imi_json_put_text(&writer, "status", result->task_state);
        put_url(request, &writer);
        if (result->message != NULL)
            imi_json_put_text(&writer, "error", result->message);
    } else if (result->task_id != NULL) {
        imi_json_put_text(&writer, "taskId", result->task_id);
        imi_json_put_int(&writer, "predict", result->predict_s);
    } else if (result->text != NULL) {
        imi_json_put_text(&writer, "text", result->text);
        if (result->usage_json != NULL)
            imi_json_put_raw(&writer, "usage", imi_slice_of(result->usage_json));
    } else {
        put_url(request, &writer);
        if (request->action == IMI_GENERATE || request->action == IMI_EDIT)
            put_numbers(result, &writer);
        if (result->type != NULL)
            imi_json_put_text(&writer, "type", result->type);
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
    if ((!request->has_json && !write_json(request)) || capacity < 3)
        return 0;
    if (request->json_url_at == SIZE_MAX) {
        slices[0] = (imagine_slice_t){json->data, json->size};
        return 1;
    }
    slices[0] = (imagine_slice_t){json->data, request->json_url_at};
    slices[1] = (imagine_slice_t){result->url, result->url_size};
    slices[2] =
        (imagine_slice_t){json->data + request->json_url_at, json->size - request->json_url_at};
    return 3;
}

const char *imagine_result_json(const imagine_result_t *result, size_t *out_size) {
    imagine_request_t *request = imi_result_request(result);
    imagine_slice_t slices[3];
    size_t count = imagine_result_json_slices(result, slices, 3);
    if (count == 0)
        return NULL;
    if (count > 1) { /* joined once, and kept so */
        imi_buf_t whole;
        imi_buf_init(&whole, &request->mem, 0);
        imi_buf_reserve(&whole, request->json.size + result->url_size);
        for (size_t i = 0; i < count; i++)
            imi_buf_append(&whole, slices[i].data, slices[i].size);
        if (whole.error != 0) {
            imi_buf_reset(&whole);
            return NULL;
        }
        imi_buf_reset(&request->json);
        request->json = whole;
        request->json_url_at = SIZE_MAX;
    }
    if (out_size != NULL)
        *out_size = request->json.size;
    return request->json.data;
}

static int decode(imagine_request_t *request) {
    imi_slice_t url = {request->result.url, request->result.url_size};
    imi_dataurl_t parts;
    size_t size = 0;
    char *mime;
    if (!imi_dataurl_parse(url, &parts))
        return IMAGINE_ENOTFOUND;
    bool is_nomem = false;
    void *data = imi_dataurl_decode(&request->pictures, &parts, &size, &is_nomem);
    if (data == NULL)
        return is_nomem ? IMAGINE_ENOMEM : IMAGINE_EPROTOCOL;
    mime = imi_arena_strndup(&request->pictures, parts.mime.data, parts.mime.size);
    if (mime == NULL)
        return IMAGINE_ENOMEM;
    request->bytes_view = data;
    request->bytes_size = size;
    request->bytes_mime = imi_sniff_mime(data, size) != NULL ? imi_sniff_mime(data, size) : mime;
    return 0;
}

int imagine_result_bytes(const imagine_result_t *result, const void **data, size_t *data_size,
                         const char **mime) {
    imagine_request_t *request = imi_result_request(result);
    if (request->bytes_view == NULL) {
        int err = result->url == NULL ? IMAGINE_ENOTFOUND : decode(request);
        if (err != 0)
            return err;
    }
    *data = request->bytes_view;
    *data_size = request->bytes_size;
    if (mime != NULL)
        *mime = request->bytes_mime;
    return 0;
}
