/* json_write.c: JSON into a buffer, with commas and escapes. */
#include "wire/json.h"

#include <inttypes.h>
#include <string.h>

#include "wire/assert.h"
#include "wire/base64.h"
#include "wire/json_scan.h"

static const char replacement_character[] = "\xEF\xBF\xBD"; /* U+FFFD */

void imi_json_begin(imi_json_writer_t *writer, imi_buf_t *buf) {
    *writer = (imi_json_writer_t){.buf = buf};
}

static uint64_t depth_bit(const imi_json_writer_t *writer) {
    return UINT64_C(1) << (writer->depth & IMI_JSON_WRITER_DEPTH_MAX); /* deeper is an error */
}

static void put_quoted(imi_buf_t *buf, const char *data, size_t size) {
    imi_buf_append_byte(buf, '"');
    imi_json_escape(buf, data, size);
    imi_buf_append_byte(buf, '"');
}

/* Every value begins here. */
static void begin_value(imi_json_writer_t *writer, const char *key) {
    if ((writer->has_items & depth_bit(writer)) != 0)
        imi_buf_append_byte(writer->buf, ',');
    writer->has_items |= depth_bit(writer);
    if (key == NULL)
        return;
    put_quoted(writer->buf, key, strlen(key));
    imi_buf_append_byte(writer->buf, ':');
}

static void open_container(imi_json_writer_t *writer, const char *key, char bracket) {
    begin_value(writer, key);
    imi_buf_append_byte(writer->buf, bracket);
    writer->depth++;
    writer->has_items &= ~depth_bit(writer);
    if (writer->depth > IMI_JSON_WRITER_DEPTH_MAX && writer->buf->error == 0)
        writer->buf->error = IMI_BUF_TOO_LARGE;
}

static void close_container(imi_json_writer_t *writer, char bracket) {
    IMI_ASSERT(writer->depth > 0); /* as many closed as opened */
    writer->depth--;
    imi_buf_append_byte(writer->buf, bracket);
}

void imi_json_open_object(imi_json_writer_t *writer, const char *key) {
    open_container(writer, key, '{');
}

void imi_json_close_object(imi_json_writer_t *writer) {
    close_container(writer, '}');
}

void imi_json_open_array(imi_json_writer_t *writer, const char *key) {
    open_container(writer, key, '[');
}

void imi_json_close_array(imi_json_writer_t *writer) {
    close_container(writer, ']');
}

void imi_json_put_text(imi_json_writer_t *writer, const char *key, const char *text) {
    imi_json_put_slice(writer, key, imi_slice_of(text));
}

void imi_json_put_slice(imi_json_writer_t *writer, const char *key, imi_slice_t text) {
    if (text.data == NULL) {
        imi_json_put_null(writer, key);
        return;
    }
    begin_value(writer, key);
    put_quoted(writer->buf, text.data, text.size);
}

void imi_json_put_int(imi_json_writer_t *writer, const char *key, int64_t value) {
    begin_value(writer, key);
    imi_buf_printf(writer->buf, "%" PRId64, value);
}

void imi_json_put_number(imi_json_writer_t *writer, const char *key, double value) {
    char text[32];
    size_t size = imi_format_double(text, value);
    begin_value(writer, key);
    imi_buf_append(writer->buf, text, size);
}

void imi_json_put_bool(imi_json_writer_t *writer, const char *key, bool value) {
    begin_value(writer, key);
    imi_buf_append_text(writer->buf, value ? "true" : "false");
}

void imi_json_put_null(imi_json_writer_t *writer, const char *key) {
    begin_value(writer, key);
    imi_buf_append_text(writer->buf, "null");
}

void imi_json_put_raw(imi_json_writer_t *writer, const char *key, imi_slice_t json) {
    if (json.data == NULL) {
        imi_json_put_null(writer, key);
        return;
    }
    begin_value(writer, key);
    imi_buf_append(writer->buf, json.data, json.size);
}

void imi_json_put_base64(imi_json_writer_t *writer, const char *key, const char *prefix,
                         const void *data, size_t data_size) {
    begin_value(writer, key);
    imi_buf_append_byte(writer->buf, '"');
    if (prefix != NULL)
        imi_buf_append_text(writer->buf, prefix);
    imi_base64_encode(writer->buf, data, data_size);
    imi_buf_append_byte(writer->buf, '"');
}

/* By hand: a body may be nothing but controls, and printf() would take seconds for it. */
static void escape_character(char character, char out[8]) {
    static const char names[] = "\"\\\b\f\n\r\t", values[] = "\"\\bfnrt";
    static const char digits[] = "0123456789abcdef";
    const char *name = character == '\0' ? NULL : strchr(names, character);
    unsigned char byte = (unsigned char)character;
    if (name != NULL)
        memcpy(out, (char[]){'\\', values[name - names], '\0'}, 3);
    else
        memcpy(out, (char[]){'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15], '\0'}, 7);
}

int imi_json_escape(imi_buf_t *buf, const char *data, size_t size) {
    size_t written = 0;
    imi_buf_reserve(buf, size); /* nothing gets shorter */
    for (size_t at = 0; at < size && buf->error == 0;) {
        char escaped[8] = "";
        size_t step = 1;
        bool is_valid = false;
        at += imi_json_plain_run(data + at, size - at);
        if (at == size)
            break;
        if ((data[at] & 0x80) == 0)
            escape_character(data[at], escaped);
        else
            step = imi_utf8_next(data + at, size - at, &is_valid);
        if (!is_valid) {
            imi_buf_append(buf, data + written, at - written);
            imi_buf_append_text(buf, escaped[0] != '\0' ? escaped : replacement_character);
            written = at + step;
        }
        at += step;
    }
    return imi_buf_append(buf, data + written, size - written);
}
