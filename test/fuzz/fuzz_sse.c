/* fuzz_sse.c: any bytes, read whole and in pieces.
 *
 *   The first byte is the size of the pieces. Whole or in pieces, the same events come, with the
 *   same end. No event is larger than the limit, each has a name, and its data has a NUL behind. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/sse.h"

#define EVENT_SIZE_MAX 256
#define STOP_AFTER 100
#define PROVE(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct seen {
    imi_buf_t text;
    size_t count;
} seen_t;

static bool on_event(void *user, const imi_sse_event_t *event) {
    seen_t *seen = user;
    PROVE(seen->count < STOP_AFTER);
    PROVE(event->name.size != 0 && event->name.size <= EVENT_SIZE_MAX);
    PROVE(event->data.size <= EVENT_SIZE_MAX && event->data.data[event->data.size] == '\0');
    PROVE(memchr(event->name.data, '\n', event->name.size) == NULL);
    PROVE(memchr(event->data.data, '\r', event->data.size) == NULL);
    imi_buf_printf(&seen->text, "%zu %zu ", event->name.size, event->data.size);
    imi_buf_append(&seen->text, event->name.data, event->name.size);
    imi_buf_append(&seen->text, event->data.data, event->data.size);
    return ++seen->count != STOP_AFTER;
}

static int read_stream(const char *stream, size_t size, size_t piece_size, seen_t *seen) {
    int err = 0;
    imi_sse_t sse;
    seen->count = 0;
    imi_buf_init(&seen->text, NULL, 0);
    imi_sse_init(&sse, NULL, EVENT_SIZE_MAX);
    for (size_t at = 0; at < size; at += piece_size) {
        size_t left = size - at;
        err =
            imi_sse_feed(&sse, stream + at, left < piece_size ? left : piece_size, on_event, seen);
    }
    imi_sse_reset(&sse);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    seen_t whole, pieces;
    if (size < 2)
        return 0;
    PROVE(read_stream((const char *)data + 1, size - 1, size, &whole) ==
          read_stream((const char *)data + 1, size - 1, (size_t)data[0] + 1, &pieces));
    PROVE(whole.text.size == pieces.text.size);
    PROVE(whole.text.size == 0 || memcmp(whole.text.data, pieces.text.data, whole.text.size) == 0);
    imi_buf_reset(&whole.text);
    imi_buf_reset(&pieces.text);
    return 0;
}
