/* multipart.c: multipart/form-data, both ways.
 *
 * Reading, one state per stretch of the body:
 *   preamble   --boundary--> delimited
 *   delimited  --blanks, CR LF--> head,  -- "--" --> epilogue (to the end of the input)
 *   head       --empty line--> data: on_part
 *   data       --CR LF boundary--> delimited: on_part_end
 * A delimiter begins with CR and holds no other one (boundary characters exclude it). So a
 * mismatch is never the beginning of another match: what was held back is data, and the search
 * goes on with the byte that differed.
 *
 * Names are read as browsers, curl and undici write them: %22, %0D and %0A stand for a quote and
 * the line break's bytes (WHATWG HTML, section 4.10.22.8), curl before 7.81 puts a backslash before
 * a quote or a backslash, and any other backslash is one. */
#include "wire/multipart.h"

#include <string.h>

enum {
    BOUNDARY_SIZE_MAX = 70, /* RFC 2046, section 5.1.1 */
    HEAD_SIZE_MAX = 8 * 1024,
    SLICE_COUNT_FIRST = 16,
    RANDOM_SIZE = 16,
};

enum {
    STATE_PREAMBLE,
    STATE_DELIMITED,
    STATE_DASH, /* the first of the two that end the body */
    STATE_PADDING,
    STATE_LINE_END, /* the CR was seen */
    STATE_HEAD,
    STATE_DATA,
    STATE_EPILOGUE,
};

/* ---- parameters of a header's value ------------------------------------------------------------
 */

typedef struct parameter {
    imi_slice_t name;
    imi_slice_t value; /* without the quotes around, escapes as they came */
} parameter_t;

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static void skip_blanks(imi_slice_t *rest) {
    while (rest->size != 0 && is_blank(rest->data[0])) {
        rest->data++;
        rest->size--;
    }
}

static imi_slice_t take(imi_slice_t *rest, size_t size) {
    imi_slice_t taken = {rest->data, size};
    rest->data += size;
    rest->size -= size;
    return taken;
}

/* Takes everything up to a separator. */
static imi_slice_t take_token(imi_slice_t *rest) {
    size_t size = 0;
    while (size < rest->size && memchr("; \t=\"", rest->data[size], 5) == NULL)
        size++;
    return take(rest, size);
}

/* `rest` begins behind the opening quote; the closing one is the first without a backslash before
 * it. With none, the last quote is it: browsers leave a name that ends in a backslash as it is. */
static bool take_quoted(imi_slice_t *rest, imi_slice_t *out) {
    size_t last = rest->size;
    for (size_t i = 0; i < rest->size; i++) {
        bool is_escape = rest->data[i] == '\\' && i + 1 < rest->size &&
                         (rest->data[i + 1] == '"' || rest->data[i + 1] == '\\');
        if (is_escape && rest->data[++i] == '\\')
            continue;
        if (rest->data[i] != '"')
            continue;
        last = i;
        if (!is_escape)
            break;
    }
    if (last == rest->size)
        return false;
    *out = take(rest, last);
    take(rest, 1);
    return true;
}

/* The value itself, before its parameters. */
static imi_slice_t take_value(imi_slice_t *rest) {
    skip_blanks(rest);
    return take_token(rest);
}

/* 1: `out` is the next parameter, 0: there is none, -1: the text is broken. A value without quotes
 * may hold '=': boundaries do. */
static int take_parameter(imi_slice_t *rest, parameter_t *out) {
    skip_blanks(rest);
    while (rest->size != 0 && rest->data[0] == ';') {
        take(rest, 1);
        skip_blanks(rest);
        if (rest->size == 0 || rest->data[0] == ';')
            continue;
        out->name = take_token(rest);
        skip_blanks(rest);
        if (out->name.size == 0 || rest->size == 0 || rest->data[0] != '=')
            return -1;
        take(rest, 1);
        skip_blanks(rest);
        if (rest->size != 0 && rest->data[0] == '"') {
            take(rest, 1);
            return take_quoted(rest, &out->value) ? 1 : -1;
        }
        out->value = (imi_slice_t){rest->data, 0};
        while (rest->size != 0 && rest->data[0] != ';' && !is_blank(rest->data[0])) {
            take(rest, 1);
            out->value.size++;
        }
        return 1;
    }
    return rest->size == 0 ? 0 : -1;
}

static bool is_boundary_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("'()+_,-./:=? ", c) != NULL);
}

bool imi_multipart_boundary(imi_slice_t content_type, char out[71]) {
    imi_slice_t rest = content_type, boundary = {NULL, 0};
    parameter_t parameter;
    int found = 0;
    if (content_type.data == NULL ||
        !imi_slice_equals_nocase(take_value(&rest), "multipart/form-data"))
        return false;
    while ((found = take_parameter(&rest, &parameter)) > 0) {
        if (!imi_slice_equals_nocase(parameter.name, "boundary"))
            continue;
        if (boundary.data != NULL)
            return false; /* two of them: somebody before us may have read the other one */
        boundary = parameter.value;
    }
    if (found < 0 || boundary.size == 0 || boundary.size > BOUNDARY_SIZE_MAX ||
        boundary.data[boundary.size - 1] == ' ')
        return false;
    for (size_t i = 0; i < boundary.size; i++) {
        if (!is_boundary_char(boundary.data[i]))
            return false;
    }
    memcpy(out, boundary.data, boundary.size);
    out[boundary.size] = '\0';
    return true;
}

/* ---- a part's headers --------------------------------------------------------------------------
 */

/* The three that browsers encode; any other percent sign is one. */
static char escaped_byte(imi_slice_t digits) {
    if (imi_slice_equals(digits, "22"))
        return '"';
    if (imi_slice_equals_nocase(digits, "0d"))
        return '\r';
    return imi_slice_equals_nocase(digits, "0a") ? '\n' : '%';
}

/* In place: the text only gets shorter. */
static imi_slice_t unescape(char *data, size_t size) {
    size_t out_size = 0;
    for (size_t i = 0; i < size; i++) {
        size_t left = size - i - 1;
        char c = data[i];
        if (c == '\\' && left >= 1 && (data[i + 1] == '"' || data[i + 1] == '\\')) {
            c = data[++i];
        } else if (c == '%' && left >= 2) {
            c = escaped_byte((imi_slice_t){data + i + 1, 2});
            i += c == '%' ? 0 : 2;
        }
        data[out_size++] = c;
    }
    return (imi_slice_t){data, out_size};
}

/* The header's text lies in `head`, which is ours to write. */
static imi_slice_t unescape_in(imi_buf_t *head, imi_slice_t text) {
    return unescape(head->data + (text.data - head->data), text.size);
}

/* A file whose name comes only as filename* (which RFC 7578, section 4.2, forbids) is a file still:
 * its name counts as empty. */
static int read_disposition(imi_buf_t *head, imi_slice_t value, imi_multipart_part_t *part) {
    parameter_t parameter;
    int found = 0;
    bool is_file = false;
    if (part->name.data != NULL || !imi_slice_equals_nocase(take_value(&value), "form-data"))
        return IMI_MULTIPART_BROKEN;
    while ((found = take_parameter(&value, &parameter)) > 0) {
        bool is_name = imi_slice_equals_nocase(parameter.name, "name");
        bool is_filename = imi_slice_equals_nocase(parameter.name, "filename");
        imi_slice_t *out = is_name ? &part->name : &part->filename;
        is_file = is_file || imi_slice_equals_nocase(parameter.name, "filename*");
        if (!is_name && !is_filename)
            continue;
        if (out->data != NULL)
            return IMI_MULTIPART_BROKEN;
        *out = unescape_in(head, parameter.value);
    }
    if (is_file && part->filename.data == NULL)
        part->filename = (imi_slice_t){"", 0};
    return found < 0 || part->name.data == NULL ? IMI_MULTIPART_BROKEN : 0;
}

static bool is_identity(imi_slice_t encoding) {
    return imi_slice_equals_nocase(encoding, "binary") ||
           imi_slice_equals_nocase(encoding, "8bit") || imi_slice_equals_nocase(encoding, "7bit");
}

static int read_header(imi_buf_t *head, imi_slice_t line, imi_multipart_part_t *part) {
    const char *colon = memchr(line.data, ':', line.size);
    imi_slice_t name = {line.data, colon == NULL ? 0 : (size_t)(colon - line.data)};
    imi_slice_t value = {line.data + name.size + 1, line.size - name.size - 1};
    if (name.size == 0)
        return IMI_MULTIPART_BROKEN;
    for (size_t i = 0; i < line.size; i++) { /* also a line folded the old way: nobody sends it */
        unsigned char c = (unsigned char)line.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7F || (i < name.size && c <= 0x20))
            return IMI_MULTIPART_BROKEN;
    }
    value = imi_slice_trim(value);
    if (imi_slice_equals_nocase(name, "content-disposition"))
        return read_disposition(head, value, part);
    if (imi_slice_equals_nocase(name, "content-type"))
        part->content_type = value;
    else if (imi_slice_equals_nocase(name, "content-transfer-encoding") && !is_identity(value))
        return IMI_MULTIPART_BROKEN; /* base64 (deprecated by RFC 7578) would pass for the data */
    return 0;
}

/* The head is complete, its empty line included. */
static int end_head(imi_multipart_t *multipart) {
    imi_multipart_part_t part = {.name = {NULL, 0}};
    imi_slice_t rest = {multipart->head.data, multipart->head.size - 2};
    imi_slice_t line;
    int err = 0;
    while (imi_slice_split(&rest, '\n', &line)) {
        if (line.size == 0 || line.data[line.size - 1] != '\r')
            return IMI_MULTIPART_BROKEN;
        line.size--;
        err = read_header(&multipart->head, line, &part);
        if (err != 0)
            return err;
    }
    if (part.name.data == NULL)
        return IMI_MULTIPART_BROKEN;
    if (multipart->part_count == multipart->part_count_max)
        return IMI_MULTIPART_TOO_LARGE;
    multipart->part_count++;
    multipart->state = STATE_DATA;
    err = multipart->handler->on_part(multipart->user, &part);
    imi_buf_clear(&multipart->head);
    return err;
}

/* ---- reading -----------------------------------------------------------------------------------
 */

void imi_multipart_init(imi_multipart_t *multipart, const imi_mem_t *mem, const char *boundary,
                        size_t part_count_max, const imi_multipart_handler_t *handler, void *user) {
    size_t size = strlen(boundary);
    *multipart = (imi_multipart_t){.handler = handler,
                                   .user = user,
                                   .state = STATE_PREAMBLE,
                                   .part_count_max = part_count_max};
    imi_buf_init(&multipart->head, mem, HEAD_SIZE_MAX);
    if (size == 0 || size > BOUNDARY_SIZE_MAX) {
        multipart->error = IMI_MULTIPART_BROKEN;
        return;
    }
    memcpy(multipart->delimiter, "\r\n--", 4);
    memcpy(multipart->delimiter + 4, boundary, size + 1);
    multipart->delimiter_size = size + 4;
    multipart->matched = 2; /* the line break is not there when the body begins with a boundary */
}

void imi_multipart_reset(imi_multipart_t *multipart) {
    imi_buf_reset(&multipart->head);
    *multipart = (imi_multipart_t){.head = multipart->head, .error = IMI_MULTIPART_BROKEN};
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static int on_data(imi_multipart_t *multipart, const char *data, size_t size) {
    if (multipart->state != STATE_DATA || size == 0)
        return 0; /* of the preamble nothing is told */
    return multipart->handler->on_data(multipart->user, data, size);
}

static int on_delimiter(imi_multipart_t *multipart) {
    bool was_data = multipart->state == STATE_DATA;
    multipart->matched = 0;
    multipart->state = STATE_DELIMITED;
    return was_data ? multipart->handler->on_part_end(multipart->user) : 0;
}

/* Goes on with a delimiter of which the end of the last piece has shown a part. */
static int resume_delimiter(imi_multipart_t *multipart, imi_slice_t *rest) {
    size_t held = multipart->matched;
    size_t size = smaller(rest->size, multipart->delimiter_size - held);
    if (memcmp(rest->data, multipart->delimiter + held, size) != 0) {
        multipart->matched = 0;
        return on_data(multipart, multipart->delimiter, held);
    }
    take(rest, size);
    multipart->matched += size;
    return multipart->matched == multipart->delimiter_size ? on_delimiter(multipart) : 0;
}

/* Takes all up to the delimiter, or to a beginning of one at the end of the input, and hands it out
 * in one piece: pictures are full of CRs that begin nothing. */
static int skip_to_delimiter(imi_multipart_t *multipart, imi_slice_t *rest) {
    const char *end = rest->data + rest->size;
    const char *found = memchr(rest->data, '\r', rest->size);
    imi_slice_t data;
    int err = 0;
    while (found != NULL) {
        multipart->matched = smaller((size_t)(end - found), multipart->delimiter_size);
        if (memcmp(found, multipart->delimiter, multipart->matched) == 0)
            break;
        multipart->matched = 0;
        found = memchr(found + 1, '\r', (size_t)(end - found) - 1);
    }
    data = take(rest, found == NULL ? rest->size : (size_t)(found - rest->data));
    take(rest, multipart->matched);
    err = on_data(multipart, data.data, data.size);
    if (err == 0 && multipart->matched == multipart->delimiter_size)
        err = on_delimiter(multipart);
    return err;
}

/* One byte of what follows a boundary on its line. */
static int step_delimiter_line(imi_multipart_t *multipart, char c) {
    int next = -1;
    switch (multipart->state) {
    case STATE_DELIMITED:
        if (c == '-') {
            next = STATE_DASH;
            break;
        }
        /* fall through */
    case STATE_PADDING:
        next = is_blank(c) ? STATE_PADDING : c == '\r' ? STATE_LINE_END : -1;
        break;
    case STATE_DASH:
        next = c == '-' ? STATE_EPILOGUE : -1;
        break;
    case STATE_LINE_END:
        next = c == '\n' ? STATE_HEAD : -1;
        break;
    default:
        break;
    }
    if (next < 0)
        return IMI_MULTIPART_BROKEN;
    multipart->state = next;
    return 0;
}

/* Takes a line of the head, or what is there of it. */
static int read_head(imi_multipart_t *multipart, imi_slice_t *rest) {
    imi_buf_t *head = &multipart->head;
    const char *found = memchr(rest->data, '\n', rest->size);
    imi_slice_t line = take(rest, found == NULL ? rest->size : (size_t)(found - rest->data) + 1);
    int err = imi_buf_append(head, line.data, line.size);
    if (err != 0)
        return err == IMI_BUF_NOMEM ? IMI_MULTIPART_NOMEM : IMI_MULTIPART_TOO_LARGE;
    if ((head->size == 2 && memcmp(head->data, "\r\n", 2) == 0) ||
        (head->size > 4 && memcmp(head->data + head->size - 4, "\r\n\r\n", 4) == 0))
        return end_head(multipart);
    return 0;
}

int imi_multipart_feed(imi_multipart_t *multipart, const char *data, size_t size) {
    imi_slice_t rest = {data, size};
    int err = multipart->error;
    while (err == 0 && rest.size != 0 && multipart->state != STATE_EPILOGUE) {
        if (multipart->state == STATE_HEAD)
            err = read_head(multipart, &rest);
        else if (multipart->state != STATE_PREAMBLE && multipart->state != STATE_DATA)
            err = step_delimiter_line(multipart, take(&rest, 1).data[0]);
        else if (multipart->matched != 0)
            err = resume_delimiter(multipart, &rest);
        else
            err = skip_to_delimiter(multipart, &rest);
    }
    return multipart->error = err;
}

int imi_multipart_finish(imi_multipart_t *multipart) {
    if (multipart->error == 0 && multipart->state != STATE_EPILOGUE)
        multipart->error = IMI_MULTIPART_BROKEN;
    return multipart->error;
}

/* ---- writing -----------------------------------------------------------------------------------
 */

void imi_multipart_body_init(imi_multipart_body_t *body, imi_arena_t *arena,
                             const unsigned char random[16]) {
    static const char prefix[] = "imagine-";
    *body = (imi_multipart_body_t){.arena = arena};
    memcpy(body->boundary, prefix, sizeof(prefix) - 1);
    imi_hex(body->boundary + sizeof(prefix) - 1, random, RANDOM_SIZE);
}

static void add_slice(imi_multipart_body_t *body, const void *data, size_t size) {
    if (body->error == 0 && body->slice_count == body->slice_capacity) {
        size_t capacity = body->slice_capacity == 0 ? SLICE_COUNT_FIRST : 2 * body->slice_capacity;
        imi_slice_t *slices = imi_arena_alloc(body->arena, capacity * sizeof(*slices));
        if (slices == NULL) {
            body->error = IMI_MULTIPART_NOMEM;
            return;
        }
        if (body->slice_count != 0)
            memcpy(slices, body->slices, body->slice_count * sizeof(*slices));
        body->slices = slices;
        body->slice_capacity = capacity;
    }
    if (body->error == 0 && size != 0)
        body->slices[body->slice_count++] = (imi_slice_t){data, size};
}

static void add_text(imi_multipart_body_t *body, const char *text) {
    if (text == NULL)
        body->error = IMI_MULTIPART_NOMEM;
    else
        add_slice(body, text, strlen(text));
}

/* A backslash too, which browsers leave alone: half of the readers take it for an escape, and one
 * before the closing quote would break the header for them. NULL when memory is out. */
static const char *escape(imi_arena_t *arena, const char *text) {
    char *out = imi_arena_alloc(arena, 3 * strlen(text) + 1);
    char *at = out;
    if (out == NULL)
        return NULL;
    for (; *text != '\0'; text++) {
        const char *code = *text == '"'    ? "%22"
                           : *text == '\\' ? "%5C"
                           : *text == '\r' ? "%0D"
                           : *text == '\n' ? "%0A"
                                           : NULL;
        if (code != NULL) {
            memcpy(at, code, 3);
            at += 3;
        } else {
            *at++ = *text;
        }
    }
    *at = '\0';
    return out;
}

void imi_multipart_body_field(imi_multipart_body_t *body, const char *name, const char *value) {
    const char *escaped = escape(body->arena, name);
    if (escaped == NULL) {
        body->error = IMI_MULTIPART_NOMEM;
        return;
    }
    add_text(body,
             imi_arena_printf(body->arena,
                              "--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n",
                              body->boundary, escaped, value));
}

void imi_multipart_body_file(imi_multipart_body_t *body, const char *name, const char *filename,
                             const char *mime, const void *data, size_t size) {
    const char *escaped_name = escape(body->arena, name);
    const char *escaped_filename = escape(body->arena, filename == NULL ? "file" : filename);
    const char *escaped_mime =
        escape(body->arena, mime == NULL ? "application/octet-stream" : mime);
    if (escaped_name == NULL || escaped_filename == NULL || escaped_mime == NULL) {
        body->error = IMI_MULTIPART_NOMEM;
        return;
    }
    add_text(body, imi_arena_printf(
                       body->arena,
                       "--%s\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"%s\"\r\n"
                       "Content-Type: %s\r\n\r\n",
                       body->boundary, escaped_name, escaped_filename, escaped_mime));
    add_slice(body, data, size);
    add_text(body, "\r\n");
}

void imi_multipart_body_end(imi_multipart_body_t *body) {
    add_text(body, imi_arena_printf(body->arena, "--%s--\r\n", body->boundary));
}

const char *imi_multipart_body_content_type(const imi_multipart_body_t *body) {
    return imi_arena_printf(body->arena, "multipart/form-data; boundary=%s", body->boundary);
}
