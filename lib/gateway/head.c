/* head.c: one pass over the headers, and the rules that keep two readers of the same bytes (a proxy
 * and us) from seeing two different requests: RFC 9112, sections 3.2 and 6.3. */
#include "gateway/head.h"

#include <string.h>

/* Content-Length in decimal digits; more of them could overflow and mean nothing. */
#define LENGTH_DIGITS_MAX 18

static const imi_refusal_t head_too_large = {431, IMAGINE_ETOOLARGE,
                                             "Request Header Fields Too Large",
                                             "the request's headers are larger than 16 KiB"};
static const imi_refusal_t bad_length = {400, IMAGINE_EINVAL, "Bad Request",
                                         "the Content-Length header is not a single whole number"};
static const imi_refusal_t bad_coding = {400, IMAGINE_EINVAL, "Bad Request",
                                         "the only Transfer-Encoding understood is chunked"};
static const imi_refusal_t two_lengths = {
    400, IMAGINE_EINVAL, "Bad Request", "Content-Length and Transfer-Encoding exclude each other"};
static const imi_refusal_t target_too_long = {414, IMAGINE_ETOOLARGE, "URI Too Long",
                                              "the request's target is longer than 8 KiB"};
static const imi_refusal_t bad_target = {400, IMAGINE_EINVAL, "Bad Request",
                                         "the request's target is not a path"};

typedef enum field {
    FIELD_OTHER,
    FIELD_ACCEPT,
    FIELD_AUTHORIZATION,
    FIELD_CONTENT_ENCODING,
    FIELD_CONTENT_LENGTH,
    FIELD_CONTENT_TYPE,
    FIELD_FETCH_MODE,
    FIELD_FORWARDED,
    FIELD_IF_NONE_MATCH,
    FIELD_ORIGIN,
    FIELD_PREFER,
    FIELD_RANGE,
    FIELD_TRANSFER_ENCODING,
} field_t;

static const struct {
    imi_slice_t name;
    field_t field;
} fields[] = {
    {{"range", 5}, FIELD_RANGE},
    {{"accept", 6}, FIELD_ACCEPT},
    {{"origin", 6}, FIELD_ORIGIN},
    {{"prefer", 6}, FIELD_PREFER},
    {{"forwarded", 9}, FIELD_FORWARDED},
    {{"content-type", 12}, FIELD_CONTENT_TYPE},
    {{"authorization", 13}, FIELD_AUTHORIZATION},
    {{"if-none-match", 13}, FIELD_IF_NONE_MATCH},
    {{"content-length", 14}, FIELD_CONTENT_LENGTH},
    {{"sec-fetch-mode", 14}, FIELD_FETCH_MODE},
    {{"x-forwarded-for", 15}, FIELD_FORWARDED},
    {{"cf-connecting-ip", 16}, FIELD_FORWARDED},
    {{"content-encoding", 16}, FIELD_CONTENT_ENCODING},
    {{"transfer-encoding", 17}, FIELD_TRANSFER_ENCODING},
};

static field_t field_of(imi_slice_t name) {
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (name.size == fields[i].name.size && imi_slice_equals_nocase(name, fields[i].name.data))
            return fields[i].field;
    return FIELD_OTHER;
}

static const imi_refusal_t *read_length(imi_gateway_head_t *head, imi_slice_t value) {
    int64_t length = 0;
    if (head->content_length >= 0 || value.size == 0 || value.size > LENGTH_DIGITS_MAX)
        return &bad_length;
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return &bad_length;
        length = length * 10 + (value.data[i] - '0');
    }
    head->content_length = length;
    return NULL;
}

/* Not so what is no content coding at all: careless clients name their character set here. */
static bool is_compression(imi_slice_t codings) {
    static const char *const names[] = {"gzip", "deflate", "br", "zstd", "compress"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (imi_text_has_nocase(codings, names[i]))
            return true;
    return false;
}

static const imi_refusal_t *read_field(imi_gateway_head_t *head, field_t field, imi_slice_t value) {
    switch (field) {
    case FIELD_ACCEPT:
        head->accept = value;
        break;
    case FIELD_AUTHORIZATION:
        head->authorization = head->authorization.data == NULL ? value : IMI_SLICE("");
        break;
    case FIELD_CONTENT_ENCODING:
        head->is_compressed |= is_compression(value);
        break;
    case FIELD_CONTENT_LENGTH:
        return read_length(head, value);
    case FIELD_CONTENT_TYPE:
        head->content_type = value;
        break;
    case FIELD_FETCH_MODE:
        head->fetch_mode = value;
        break;
    case FIELD_FORWARDED:
        head->is_forwarded = true;
        break;
    case FIELD_IF_NONE_MATCH:
        head->if_none_match = value;
        break;
    case FIELD_ORIGIN:
        head->origin = value;
        break;
    case FIELD_PREFER:
        head->prefer = value;
        break;
    case FIELD_RANGE:
        head->range = value;
        break;
    case FIELD_TRANSFER_ENCODING:
        if (head->is_chunked || !imi_slice_equals_nocase(value, "chunked"))
            return &bad_coding;
        head->is_chunked = true;
        break;
    case FIELD_OTHER:
        break;
    }
    return NULL;
}

const imi_refusal_t *imi_gateway_head_read(imi_gateway_head_t *head,
                                           const imagine_header_t *headers, size_t header_count) {
    size_t head_size = 0;
    *head = (imi_gateway_head_t){.content_length = -1};
    for (size_t i = 0; i < header_count; i++) {
        imi_slice_t name = imi_slice_of(headers[i].name);
        imi_slice_t value = imi_slice_of(headers[i].value);
        field_t field;
        head_size += name.size + value.size + sizeof(": \r\n") - 1;
        if (head_size > IMI_HEAD_SIZE_MAX)
            return &head_too_large;
        field = field_of(name);
        if (field != FIELD_OTHER && value.data != NULL) {
            const imi_refusal_t *refusal = read_field(head, field, imi_slice_trim(value));
            if (refusal != NULL)
                return refusal;
        }
    }
    return head->is_chunked && head->content_length >= 0 ? &two_lengths : NULL;
}

/* RFC 9112, section 3.2.2: a server takes the absolute form too. */
static imi_slice_t without_origin(imi_slice_t target) {
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t size = strlen(schemes[i]);
        imi_slice_t front = {target.data, size};
        if (target.size > size && imi_slice_equals_nocase(front, schemes[i])) {
            while (size < target.size && target.data[size] != '/' && target.data[size] != '?')
                size++;
            return (imi_slice_t){target.data + size, target.size - size};
        }
    }
    return target;
}

const imi_refusal_t *imi_gateway_target_read(imi_slice_t target, imi_slice_t *out_path,
                                             imi_slice_t *out_query) {
    const char *mark = NULL;
    *out_path = *out_query = IMI_SLICE("");
    if (target.size > IMI_TARGET_SIZE_MAX)
        return &target_too_long;
    target = without_origin(target);
    if (target.size == 0 || target.data[0] != '/')
        return &bad_target;
    mark = memchr(target.data, '?', target.size);
    *out_path = target;
    if (mark != NULL) {
        out_path->size = (size_t)(mark - target.data);
        *out_query = (imi_slice_t){mark + 1, target.size - out_path->size - 1};
    }
    return NULL;
}

imi_slice_t imi_gateway_query_get(imi_slice_t query, const char *name) {
    size_t name_size = strlen(name);
    imi_slice_t pair;
    while (imi_slice_split(&query, '&', &pair)) {
        if (pair.size >= name_size && memcmp(pair.data, name, name_size) == 0) {
            if (pair.size == name_size)
                return IMI_SLICE("");
            if (pair.data[name_size] == '=')
                return (imi_slice_t){pair.data + name_size + 1, pair.size - name_size - 1};
        }
    }
    return (imi_slice_t){NULL, 0};
}
