/* divert.c: see divert.h.
 *
 *   outside a string -> short -(end)-> outside
 *                         | 16 KiB have come: is it the base64 of a picture?
 *                         |-- no --> long -(end)-> outside         (all kept)
 *                         \-- yes -> picture -(end)-> outside      (its bytes go to the handler)
 *
 * What comes of an answer does not depend on how it is cut into pieces. */
#include "core/divert.h"

#include <string.h>

#include "imagine.h"
#include "wire/base64.h"
#include "wire/dataurl.h"

#define PIECE_SIZE 4096 /* of letters that are decoded at once; whole groups */

enum { OUTSIDE, SHORT, LONG, PICTURE };

static int decide(imi_divert_t *divert, imi_buf_t *kept);
static bool decode(imi_divert_t *divert, imi_slice_t text, unsigned char *out, size_t *out_size);

void imi_divert_init(imi_divert_t *divert, const imi_divert_handler_t *handler, void *user) {
    *divert = (imi_divert_t){.handler = handler, .user = user, .state = OUTSIDE};
}

bool imi_divert_may_end(const imi_divert_t *divert) {
    return divert->state != PICTURE;
}

static int keep(imi_buf_t *kept, const char *data, size_t size) {
    int err = imi_buf_append(kept, data, size);
    return err == 0 ? 0 : err == IMI_BUF_TOO_LARGE ? IMAGINE_ETOOLARGE : IMAGINE_ENOMEM;
}

/* How much of `text` is the string's: up to behind its quote, or all. */
static size_t string_run(bool *is_escaped, imi_slice_t text, bool *out_is_closed) {
    size_t at = 0, quote_at = 0;
    bool is_sought = true; /* each quote once, however many backslashes stand in front of it */
    *out_is_closed = false;
    while (at < text.size) {
        const char *found;
        if (*is_escaped) {
            *is_escaped = false;
            is_sought = is_sought || at == quote_at;
            at++;
            continue;
        }
        if (is_sought) {
            found = memchr(text.data + at, '"', text.size - at);
            quote_at = found != NULL ? (size_t)(found - text.data) : text.size;
            is_sought = false;
        }
        found = memchr(text.data + at, '\\', quote_at - at);
        if (found == NULL) {
            *out_is_closed = quote_at < text.size;
            return *out_is_closed ? quote_at + 1 : text.size;
        }
        at = (size_t)(found - text.data) + 1;
        *is_escaped = true;
    }
    return text.size;
}

static int feed_outside(imi_divert_t *divert, imi_buf_t *kept, imi_slice_t *rest) {
    const char *quote = memchr(rest->data, '"', rest->size);
    size_t size = quote != NULL ? (size_t)(quote - rest->data) + 1 : rest->size;
    int err = keep(kept, rest->data, size);
    rest->data += size;
    rest->size -= size;
    if (err == 0 && quote != NULL) {
        divert->state = SHORT;
        divert->string_at = kept->size - 1;
        divert->is_escaped = false;
    }
    return err;
}

static int feed_string(imi_divert_t *divert, imi_buf_t *kept, imi_slice_t *rest) {
    imi_slice_t text = *rest;
    bool is_closed;
    size_t size;
    int err;
    if (divert->state == SHORT) {
        size_t room = IMI_DIVERT_HEAD_SIZE - (kept->size - divert->string_at);
        text.size = text.size < room ? text.size : room;
    }
    size = string_run(&divert->is_escaped, text, &is_closed);
    err = keep(kept, text.data, size);
    rest->data += size;
    rest->size -= size;
    if (err != 0)
        return err;
    if (is_closed)
        divert->state = OUTSIDE;
    else if (divert->state == SHORT && kept->size - divert->string_at == IMI_DIVERT_HEAD_SIZE)
        return decide(divert, kept);
    return 0;
}

/* No letter is a quote: the first one ends the picture, or breaks it, if it is escaped. */
static int feed_picture(imi_divert_t *divert, imi_buf_t *kept, imi_slice_t *rest) {
    unsigned char bytes[PIECE_SIZE / 4 * 3 + 3];
    imi_slice_t text = {rest->data, rest->size < PIECE_SIZE ? rest->size : PIECE_SIZE};
    const char *quote = memchr(text.data, '"', text.size);
    size_t size = 0;
    int err = 0;
    if (quote != NULL)
        text.size = (size_t)(quote - text.data);
    if (!decode(divert, text, bytes, &size))
        return IMAGINE_EPROTOCOL;
    if (size > 0)
        err = divert->handler->on_bytes(divert->user, bytes, size);
    rest->data += text.size;
    rest->size -= text.size;
    if (err != 0 || quote == NULL)
        return err;
    if (divert->escape_size > 0 ||
        !imi_base64_decode(bytes, &size, (imi_slice_t){divert->group, divert->group_size}))
        return IMAGINE_EPROTOCOL;
    if (size > 0)
        err = divert->handler->on_bytes(divert->user, bytes, size);
    if (err != 0)
        return err;
    divert->handler->on_end(divert->user);
    divert->state = OUTSIDE;
    rest->data++;
    rest->size--;
    return keep(kept, "\"", 1);
}

int imi_divert_feed(imi_divert_t *divert, imi_buf_t *kept, const void *data, size_t size) {
    imi_slice_t rest = {data, size};
    int err = 0;
    while (err == 0 && rest.size > 0) {
        if (divert->state == OUTSIDE)
            err = feed_outside(divert, kept, &rest);
        else if (divert->state == PICTURE)
            err = feed_picture(divert, kept, &rest);
        else
            err = feed_string(divert, kept, &rest);
    }
    return err;
}

/* The beginning of a string has come, and it goes on. An escape that was cut is kept by the
 * decoder: in what is kept it would swallow the quote behind it. */
static int decide(imi_divert_t *divert, imi_buf_t *kept) {
    unsigned char head[IMI_DIVERT_HEAD_SIZE / 4 * 3 + 3];
    imi_slice_t text = {kept->data + divert->string_at + 1, IMI_DIVERT_HEAD_SIZE - 1};
    const char *mime = NULL;
    size_t size = 0;
    divert->escape_size = divert->group_size = 0;
    divert->is_padded = false;
    if (decode(divert, text, head, &size))
        mime = imi_sniff_mime(head, size);
    if (!imi_mime_is_picture(mime) ||
        !divert->handler->on_picture(divert->user, mime, divert->string_at)) {
        divert->state = LONG;
        return 0;
    }
    divert->state = PICTURE;
    kept->size -= divert->escape_size;
    kept->data[kept->size] = '\0';
    return divert->handler->on_bytes(divert->user, head, size);
}

/* ---- letters ----------------------------------------------------------------------------------
 */

/* One letter. False: it is none, or stands where none may. */
static bool take_letter(imi_divert_t *divert, char letter, unsigned char *out, size_t *size) {
    size_t group_size = 0;
    if (letter == '\n' || letter == '\r')
        return true;
    if (divert->is_padded && (letter != '=' || divert->group_size == 0))
        return false;
    divert->is_padded = letter == '=';
    divert->group[divert->group_size++] = letter;
    if (divert->group_size < sizeof(divert->group))
        return true;
    divert->group_size = 0;
    if (!imi_base64_decode(out + *size, &group_size, (imi_slice_t){divert->group, 4}))
        return false;
    *size += group_size;
    return true;
}

static int hex_value(char digit) {
    return digit >= '0' && digit <= '9'   ? digit - '0'
           : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
           : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                          : -1;
}

/* One more byte of an escape. False: it stands for nothing that base64 has. */
static bool take_escaped(imi_divert_t *divert, char byte, unsigned char *out, size_t *size) {
    int letter = byte == '/' ? '/' : byte == 'n' ? '\n' : byte == 'r' ? '\r' : 0;
    divert->escape[divert->escape_size++] = byte;
    if (divert->escape[1] == 'u') {
        if (divert->escape_size < sizeof(divert->escape))
            return true;
        for (size_t i = 2; i < sizeof(divert->escape); i++) {
            int value = hex_value(divert->escape[i]);
            if (value < 0)
                return false;
            letter = letter * 16 + value;
        }
    }
    divert->escape_size = 0;
    return letter > 0 && letter < 128 && take_letter(divert, (char)letter, out, size);
}

/* Whole groups of nothing but letters, all at once. How many letters that were. */
static size_t take_run(imi_slice_t text, unsigned char *out, size_t *size) {
    size_t run_size = 0;
    text.size -= text.size % 4;
    if (text.size == 0 || !imi_base64_decode(out + *size, &run_size, text) ||
        run_size != text.size / 4 * 3)
        return 0; /* something else is between them, or behind */
    *size += run_size;
    return text.size;
}

/* A piece of the string's inside as bytes; `out` has room for 3 per 4 of it, and 3. False: not
 * base64. */
static bool decode(imi_divert_t *divert, imi_slice_t text, unsigned char *out, size_t *out_size) {
    size_t at = 0, run_end = 0;
    bool is_run = true; /* may be letters alone, up to run_end */
    *out_size = 0;
    while (at < text.size) {
        if (divert->escape_size > 0) {
            if (!take_escaped(divert, text.data[at++], out, out_size))
                return false;
            continue;
        }
        if (at >= run_end) {
            const char *backslash = memchr(text.data + at, '\\', text.size - at);
            run_end = backslash != NULL ? (size_t)(backslash - text.data) : text.size;
            is_run = true;
        }
        if (at == run_end) {
            divert->escape[divert->escape_size++] = text.data[at++];
            continue;
        }
        if (is_run && divert->group_size == 0 && !divert->is_padded) {
            size_t size = take_run((imi_slice_t){text.data + at, run_end - at}, out, out_size);
            at += size;
            is_run = false; /* less than a group is left, or something else is in it */
            if (size > 0)
                continue;
        }
        if (!take_letter(divert, text.data[at++], out, out_size))
            return false;
    }
    return true;
}
