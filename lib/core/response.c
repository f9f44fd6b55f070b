/* response.c: what a provider reads out of an answer. Texts are copied into the call's arena, but
 * for a picture: that one stays where it lies in the answer. */
#include <string.h>

#include "core/aside.h"
#include "core/call.h"
#include "core/request.h"
#include "wire/base64.h"
#include "wire/dataurl.h"
#include "wire/json.h"
#include "wire/str.h"

#define MIME_SIZE_MAX 64
#define PATH_SIZE_MAX 200
#define SNIFFED_SIZE 64 /* of base64: enough for every picture's first bytes */
#define USUAL_MIME "image/png"

const char *imagine_response_header(const imagine_http_response_t *response, const char *name) {
    for (size_t i = 0; i < response->header_count; i++)
        if (imi_text_equals_nocase(response->headers[i].name, name))
            return response->headers[i].value;
    return NULL;
}

/* The index of a large answer, made when it is first read. NULL: it has none. */
static const imi_json_index_t *index_of(const imagine_http_response_t *response) {
    imagine_call_t *call = response->call;
    if (response->body_size < IMI_JSON_INDEXED_SIZE || response->body == NULL ||
        response->body != call->exchange.answer.data)
        return NULL;
    if (call->index == NULL)
        call->index = imi_arena_alloc(&call->arena, sizeof(*call->index));
    if (call->index == NULL) /* slower, nothing else */
        return NULL;
    if (!call->is_indexed)
        imi_json_index(call->index, (imi_slice_t){response->body, response->body_size});
    call->is_indexed = true;
    return call->index;
}

/* A NULL path is one that no memory was left for. */
static imi_slice_t value_at(const imagine_http_response_t *response, const char *path) {
    imi_slice_t body = {response->body, response->body_size};
    return path != NULL ? imi_json_get_indexed(body, index_of(response), path)
                        : (imi_slice_t){NULL, 0};
}

static void *remember(imagine_call_t *call, void *pointer) {
    if (pointer == NULL)
        call->is_out_of_memory = true;
    return pointer;
}

const char *imagine_response_string(const imagine_http_response_t *response, const char *path) {
    imi_slice_t value = value_at(response, path);
    if (imi_json_type(value) != IMI_JSON_STRING || imi_aside_holds(response->call, value))
        return NULL;
    /* NULL also for an escaped NUL inside: such a text is none that we could pass on. */
    return imi_json_text(&response->call->arena, value, NULL);
}

const char *imagine_response_json(const imagine_http_response_t *response, const char *path) {
    imi_slice_t value = value_at(response, path);
    if (value.data == NULL || imi_aside_holds(response->call, value))
        return NULL;
    return remember(response->call,
                    imi_arena_strndup(&response->call->arena, value.data, value.size));
}

int imagine_response_number(const imagine_http_response_t *response, const char *path,
                            double *out) {
    return imi_json_number(value_at(response, path), out) ? 1 : 0;
}

size_t imagine_response_count(const imagine_http_response_t *response, const char *path) {
    imi_json_cursor_t cursor;
    imi_slice_t item;
    size_t count = 0;
    imi_slice_t value = value_at(response, path);
    if (imi_json_type(value) != IMI_JSON_ARRAY)
        return 0;
    cursor = imi_json_walk(value);
    cursor.index = index_of(response);
    while (imi_json_next_item(&cursor, &item))
        count++;
    return count;
}

const char *imagine_response_name(const imagine_http_response_t *response, const char *path,
                                  size_t index) {
    imi_slice_t value = value_at(response, path), name, item;
    imi_json_cursor_t cursor;
    if (imi_json_type(value) != IMI_JSON_OBJECT)
        return NULL;
    cursor = imi_json_walk(value);
    while (imi_json_next_member(&cursor, &name, &item))
        if (index-- == 0) {
            imi_slice_t quoted = {name.data - 1, name.size + 2};
            return imi_json_text(&response->call->arena, quoted, NULL);
        }
    return NULL;
}

const char *imagine_response_body_data_url(const imagine_http_response_t *response,
                                           const char *mime) {
    imagine_call_t *call = response->call;
    imi_buf_t url;
    char *text = NULL;
    if (mime == NULL)
        mime = imi_sniff_mime(response->body, response->body_size);
    if (mime == NULL)
        mime = USUAL_MIME;
    imi_buf_init(&url, &call->request->mem, 0);
    if (imi_dataurl_encode(&url, mime, response->body, response->body_size) == 0)
        text = imi_arena_strndup(&call->arena, url.data, url.size);
    imi_buf_reset(&url);
    return remember(call, text);
}

/* What base64 text is a picture of. */
static const char *sniff_base64(imi_slice_t text) {
    unsigned char data[SNIFFED_SIZE];
    imi_slice_t head = {text.data, text.size < SNIFFED_SIZE ? text.size : SNIFFED_SIZE};
    const char *mime = NULL;
    size_t size;
    if (imi_base64_decode(data, &size, head))
        mime = imi_sniff_mime(data, size);
    return mime != NULL ? mime : USUAL_MIME;
}

/* Does nothing else stand in any of the arrays that the path leads through? Else the next one could
 * not be read after this one was overwritten. */
static bool is_alone(const imagine_http_response_t *response, const char *path) {
    char array[PATH_SIZE_MAX];
    for (const char *at = strchr(path, '['); at != NULL; at = strchr(at + 1, '[')) {
        size_t size = (size_t)(at - path);
        if (size >= sizeof(array))
            return false;
        memcpy(array, path, size);
        array[size] = '\0';
        if (imagine_response_count(response, array) > 1)
            return false;
    }
    return true;
}

/* "data:<mime>;base64," is written over the JSON in front of the picture, and a NUL over the quote
 * behind it: an answer of 8 MB is not copied for the sake of 30 bytes. */
static const char *data_url_in_place(imagine_call_t *call, imi_slice_t text, const char *prefix,
                                     size_t prefix_size) {
    imi_buf_t *answer = &call->exchange.answer;
    size_t at;
    if (answer->data == NULL || text.data < answer->data ||
        text.data >= answer->data + answer->size)
        return NULL; /* an event's data, in the parser's memory */
    at = (size_t)(text.data - answer->data);
    if (at < prefix_size)
        return NULL;
    memcpy(answer->data + at - prefix_size, prefix, prefix_size);
    answer->data[at + text.size] = '\0';
    call->keeps_answer = true;
    return answer->data + at - prefix_size;
}

const char *imagine_response_data_url(const imagine_http_response_t *response, const char *path,
                                      const char *mime) {
    imagine_call_t *call = response->call;
    imi_slice_t value = value_at(response, path), text = imi_json_plain_text(value);
    const char *prefix, *url;
    size_t prefix_size;
    char *copy;
    if (text.data == NULL) /* escaped, as "\/": rare, and then a copy */
        text = imi_slice_of(imi_json_text(&call->arena, value, NULL));
    if (text.data == NULL || text.size == 0)
        return NULL;
    if (mime == NULL)
        mime = sniff_base64(text);
    if (strlen(mime) > MIME_SIZE_MAX)
        return NULL;
    prefix = imagine_call_printf(call, "data:%s;base64,", mime);
    if (prefix == NULL)
        return NULL;
    prefix_size = strlen(prefix);
    /* What stands for a file has an address of its own. */
    url = !imi_aside_holds(call, value) && is_alone(response, path)
              ? data_url_in_place(call, text, prefix, prefix_size)
              : NULL;
    if (url != NULL)
        return url;
    copy = remember(call, imi_arena_alloc(&call->arena, prefix_size + text.size + 1));
    if (copy == NULL)
        return NULL;
    memcpy(copy, prefix, prefix_size);
    memcpy(copy + prefix_size, text.data, text.size);
    copy[prefix_size + text.size] = '\0';
    imi_aside_name(call, value, copy);
    return copy;
}
