/* http1_head.c: takes a request's head apart, strictly: what could be read in two ways is refused,
 * not repaired, since a proxy in front of us may read it the other way. */
#include "gateway/http1_head.h"

#include <string.h>

#include "wire/str.h"

static const imi_refusal_t no_host = {400, IMAGINE_EINVAL, "Bad Request",
                                      "a request needs exactly one Host header"};
static const imi_refusal_t bad_host = {400, IMAGINE_EINVAL, "Bad Request",
                                       "the Host header is no host and port"};
static const imi_refusal_t other_version = {505, IMAGINE_ENOTSUP, "HTTP Version Not Supported",
                                            "only HTTP/1.1 and HTTP/1.0 are spoken here"};
const imi_refusal_t imi_http1_malformed_head = {400, IMAGINE_EINVAL, "Bad Request",
                                                "the request is not well-formed HTTP/1.1"};
const imi_refusal_t imi_http1_large_head = {431, IMAGINE_ETOOLARGE,
                                            "Request Header Fields Too Large",
                                            "the headers are more than 16 KiB or more than 100"};

static char *cut_line(char **rest, size_t *rest_size, size_t *out_size);
static const imi_refusal_t *parse_request_line(imi_http1_head_t *head, char *line, size_t size);
static const imi_refusal_t *parse_header(imi_http1_head_t *head, char *line, size_t size);

/* What the headers say on the way; the rest of it stays in `head`. */
typedef struct notes {
    size_t host_count;
    bool has_bad_host;
    bool is_close;
    bool is_keep_alive;
} notes_t;
static void read_framing(imi_http1_head_t *head, notes_t *notes, const imagine_header_t *header);

const imi_refusal_t *imi_http1_head_parse(imi_http1_head_t *head, char *text, size_t size) {
    notes_t notes = {.host_count = 0};
    const imi_refusal_t *refusal;
    size_t line_size = 0;
    char *line = cut_line(&text, &size, &line_size);
    head->request = (imagine_gateway_request_t){.size = sizeof(head->request)};
    head->request.headers = head->headers;
    head->is_chunked = head->expects_continue = head->has_length = false;
    head->length = 0;
    refusal = line == NULL ? &imi_http1_malformed_head : parse_request_line(head, line, line_size);
    while (refusal == NULL && (line = cut_line(&text, &size, &line_size)) != NULL &&
           line_size > 0) {
        refusal = parse_header(head, line, line_size);
        if (refusal == NULL)
            read_framing(head, &notes, &head->headers[head->request.header_count - 1]);
    }
    if (refusal != NULL)
        return refusal;
    if (notes.host_count > 1 || (notes.host_count == 0 && !head->is_http10))
        return &no_host;
    if (notes.has_bad_host)
        return &bad_host;
    if (head->is_chunked && head->is_http10)
        return &imi_http1_malformed_head; /* HTTP/1.0 has no chunks */
    head->expects_continue = head->expects_continue && !head->is_http10;
    head->keeps_alive = !notes.is_close && (!head->is_http10 || notes.is_keep_alive);
    return NULL;
}

/* Cuts the line off the front of `rest`; its end becomes a NUL. NULL: no line is left. */
static char *cut_line(char **rest, size_t *rest_size, size_t *out_size) {
    char *line = *rest;
    char *end = memmem(line, *rest_size, "\r\n", 2);
    if (end == NULL)
        return NULL;
    *end = '\0';
    *out_size = (size_t)(end - line);
    *rest = end + 2;
    *rest_size -= *out_size + 2;
    return line;
}

static bool is_token(const char *text, size_t size) { /* RFC 9110, section 5.6.2 */
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        bool is_plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        if (!is_plain && (c == '\0' || strchr(others, c) == NULL))
            return false;
    }
    return size > 0;
}

/* Neither controls nor, unless has_blanks, spaces and tabs. */
static bool is_clean(const char *text, size_t size, bool has_blanks) {
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c <= ' ' ? !has_blanks || (c != ' ' && c != '\t') : c == 127)
            return false;
    }
    return true;
}

static const imi_refusal_t *parse_request_line(imi_http1_head_t *head, char *line, size_t size) {
    char *end = line + size;
    char *target = memchr(line, ' ', size);
    char *version = target != NULL ? memchr(target + 1, ' ', (size_t)(end - target - 1)) : NULL;
    if (version == NULL || version == target + 1 || !is_token(line, (size_t)(target - line)) ||
        !is_clean(target + 1, (size_t)(version - target - 1), false) ||
        !is_clean(version + 1, (size_t)(end - version - 1), false))
        return &imi_http1_malformed_head;
    *target++ = '\0';
    *version++ = '\0';
    head->request.method = line;
    head->request.target = target;
    head->is_http10 = strcmp(version, "HTTP/1.0") == 0;
    if (head->is_http10 || strcmp(version, "HTTP/1.1") == 0)
        return NULL;
    return strncmp(version, "HTTP/", 5) == 0 ? &other_version : &imi_http1_malformed_head;
}

static const imi_refusal_t *parse_header(imi_http1_head_t *head, char *line, size_t size) {
    char *colon = memchr(line, ':', size);
    imi_slice_t value;
    if (head->request.header_count == IMI_HTTP1_HEADERS_MAX)
        return &imi_http1_large_head;
    if (colon == NULL || !is_token(line, (size_t)(colon - line)))
        return &imi_http1_malformed_head; /* a continued line, too: its blank is no part of a name
                                           */
    value = imi_slice_trim((imi_slice_t){colon + 1, (size_t)(line + size - colon - 1)});
    if (!is_clean(value.data, value.size, true))
        return &imi_http1_malformed_head;
    *colon = '\0';
    colon[1 + (value.data - colon - 1) + (ptrdiff_t)value.size] = '\0';
    head->headers[head->request.header_count++] = (imagine_header_t){line, value.data};
    return NULL;
}

/* The characters of a host and a port (RFC 3986, section 3.2); empty is allowed. */
static bool is_host(const char *value) {
    static const char others[] = "-._~%!$&'()*+,;=:[]";
    for (; *value != '\0'; value++) {
        bool is_plain =
            (*value >= '0' && *value <= '9') || ((*value | 32) >= 'a' && (*value | 32) <= 'z');
        if (!is_plain && strchr(others, *value) == NULL)
            return false;
    }
    return true;
}

static void read_framing(imi_http1_head_t *head, notes_t *notes, const imagine_header_t *header) {
    const char *value = header->value;
    switch (strlen(header->name)) {
    case 4:
        if (!imi_text_equals_nocase(header->name, "host"))
            break;
        notes->host_count++;
        notes->has_bad_host |= !is_host(value);
        break;
    case 6:
        if (imi_text_equals_nocase(header->name, "expect"))
            head->expects_continue = imi_text_equals_nocase(value, "100-continue");
        break;
    case 10:
        if (!imi_text_equals_nocase(header->name, "connection"))
            break;
        notes->is_close |= imi_text_has_nocase(imi_slice_of(value), "close");
        notes->is_keep_alive |= imi_text_has_nocase(imi_slice_of(value), "keep-alive");
        break;
    case 14:
        if (!imi_text_equals_nocase(header->name, "content-length"))
            break;
        head->has_length = true;
        for (head->length = 0; *value >= '0' && *value <= '9'; value++)
            head->length = head->length * 10 + (uint64_t)(*value - '0');
        break;
    case 17:
        head->is_chunked |= imi_text_equals_nocase(header->name, "transfer-encoding");
        break;
    default:
        break;
    }
}

bool imi_http1_head_may_go_on(const char *text, size_t size, size_t known_size) {
    for (size_t i = known_size > 0 ? known_size - 1 : 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\r'   ? i + 1 < size && text[i + 1] != '\n'
            : c == '\n' ? i == 0 || text[i - 1] != '\r'
                        : (c < ' ' && c != '\t') || c == 127)
            return false;
    }
    return true;
}
