/* fuzz_divert.c: any bytes behind the beginning of a picture, read whole and in pieces.
 *
 *   The first byte is the size of the pieces. Whole or in pieces, the same is kept, the same bytes
 *   go on, and it ends likewise. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/divert.h"

#define PROVE(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct seen {
    imi_buf_t kept, bytes;
    size_t begun_count, ended_count;
    int error;
    bool may_end;
} seen_t;

static bool on_picture(void *user, const char *mime, size_t at) {
    seen_t *seen = user;
    PROVE(strcmp(mime, "image/png") == 0 && seen->kept.data[at] == '"');
    PROVE(seen->begun_count == seen->ended_count);
    seen->begun_count++;
    return true;
}

static int on_bytes(void *user, const void *data, size_t size) {
    seen_t *seen = user;
    PROVE(size > 0 && seen->begun_count == seen->ended_count + 1);
    return imi_buf_append(&seen->bytes, data, size);
}

static void on_end(void *user) {
    ((seen_t *)user)->ended_count++;
}

static const imi_divert_handler_t handler = {on_picture, on_bytes, on_end};

static void read_answer(const char *answer, size_t size, size_t piece_size, seen_t *seen) {
    imi_divert_t divert;
    *seen = (seen_t){.error = 0};
    imi_buf_init(&seen->kept, NULL, 0);
    imi_buf_init(&seen->bytes, NULL, 0);
    imi_divert_init(&divert, &handler, seen);
    for (size_t at = 0; at < size && seen->error == 0; at += piece_size) {
        size_t left = size - at;
        seen->error = imi_divert_feed(&divert, &seen->kept, answer + at,
                                      left < piece_size ? left : piece_size);
    }
    seen->may_end = imi_divert_may_end(&divert);
}

static bool is_same(const imi_buf_t *a, const imi_buf_t *b) {
    return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

/* Just short of what is looked at: the input decides how it goes on. */
static char *answer_of(const uint8_t *data, size_t size, size_t *out_size) {
    static const char begin[] = "[\"iVBORw0KGgo";
    size_t head_size = IMI_DIVERT_HEAD_SIZE - 8;
    char *answer = malloc(head_size + size + 1);
    PROVE(answer != NULL);
    memset(answer, 'A', head_size);
    memcpy(answer, begin, sizeof(begin) - 1);
    memcpy(answer + head_size, data, size);
    *out_size = head_size + size;
    return answer;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    seen_t whole, pieces;
    size_t answer_size;
    char *answer;
    if (size < 2)
        return 0;
    answer = answer_of(data + 1, size - 1, &answer_size);
    read_answer(answer, answer_size, answer_size, &whole);
    read_answer(answer, answer_size, (size_t)data[0] + 1, &pieces);
    PROVE(whole.error == pieces.error && whole.may_end == pieces.may_end);
    PROVE(whole.begun_count == pieces.begun_count && whole.ended_count == pieces.ended_count);
    PROVE(whole.error != 0 ||
          (is_same(&whole.kept, &pieces.kept) && is_same(&whole.bytes, &pieces.bytes)));
    PROVE(whole.begun_count > 0 || is_same(&whole.kept, &pieces.kept));
    imi_buf_reset(&whole.kept);
    imi_buf_reset(&whole.bytes);
    imi_buf_reset(&pieces.kept);
    imi_buf_reset(&pieces.bytes);
    free(answer);
    return 0;
}
