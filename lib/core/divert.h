/* divert.h: finds pictures in a JSON answer while it arrives, and hands their bytes on instead of
 * keeping their letters: an answer of 8 MB then costs no 8 MB of memory. No I/O. */
#ifndef IMI_CORE_DIVERT_H
#define IMI_CORE_DIVERT_H

#include <stdbool.h>
#include <stddef.h>

#include "wire/buf.h"
#include "wire/json.h"

#define IMI_DIVERT_HEAD_SIZE IMI_JSON_INDEXED_SIZE /* of a string, its quote included, is kept */

typedef struct imi_divert_handler {
    /* A picture: its string is at `at` of what is kept, with the quote. False: it is kept, too. */
    bool (*on_picture)(void *user, const char *mime, size_t at);
    /* Its next bytes, from the first one on. 0, or an error, which imi_divert_feed() returns. */
    int (*on_bytes)(void *user, const void *data, size_t data_size);
    void (*on_end)(void *user); /* all of it has come, and was good */
} imi_divert_handler_t;

typedef struct imi_divert {
    const imi_divert_handler_t *handler;
    void *user;
    int state;
    bool is_escaped;  /* a kept string's next byte stands behind a backslash */
    size_t string_at; /* in what is kept */

    /* a picture's letters on their way to bytes */
    char escape[6]; /* of JSON, as far as it has come */
    size_t escape_size;
    char group[4]; /* of base64, likewise */
    size_t group_size;
    bool is_padded; /* nothing may follow */
} imi_divert_t;

void imi_divert_init(imi_divert_t *divert, const imi_divert_handler_t *handler, void *user);
/* The next piece of the answer: what is no picture, and of a picture the beginning, is appended to
 * `kept`. 0, IMAGINE_EPROTOCOL (a picture is broken), IMAGINE_ETOOLARGE, IMAGINE_ENOMEM, or the
 * handler's error. */
int imi_divert_feed(imi_divert_t *divert, imi_buf_t *kept, const void *data, size_t size);
/* May the answer end here? Not inside a picture. */
bool imi_divert_may_end(const imi_divert_t *divert);

#endif
