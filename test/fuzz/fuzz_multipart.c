/* fuzz_multipart.c: any body, read whole and in pieces.
 *
 *   The first byte is the size of the pieces; the boundary is what the body's first line says, so
 *   that recorded bodies are good seeds. Whole or in pieces, the same parts come, with the same
 *   end; parts never overlap, and a finished body has no open part. A form that is written of the
 *   parts reads back to the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/multipart.h"

#define PART_COUNT_MAX 20
#define ROUND_TRIP_SIZE_MAX 2048
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
    imi_arena_t arena;
    imi_multipart_body_t again; /* the same form, written by us */
    char *name;
    char *filename; /* NULL: a field */
    imi_buf_t data;
    size_t part_count;
    bool is_open;
} seen_t;

static int on_part(void *user, const imi_multipart_part_t *part) {
    seen_t *seen = user;
    PROVE(!seen->is_open && part->name.data != NULL);
    seen->is_open = true;
    PROVE(++seen->part_count <= PART_COUNT_MAX);
    seen->name = imi_arena_strndup(&seen->arena, part->name.data, part->name.size);
    seen->filename = NULL;
    if (part->filename.data != NULL)
        seen->filename = imi_arena_strndup(&seen->arena, part->filename.data, part->filename.size);
    PROVE(memchr(part->name.data, '\0', part->name.size) == NULL);
    imi_buf_printf(&seen->text, "[%s|%s|%.*s:", seen->name,
                   seen->filename == NULL ? "\n" : seen->filename, (int)part->content_type.size,
                   part->content_type.data == NULL ? "" : part->content_type.data);
    return 0;
}

static int on_data(void *user, const char *data, size_t size) {
    seen_t *seen = user;
    PROVE(seen->is_open && size != 0);
    imi_buf_append(&seen->text, data, size);
    imi_buf_append(&seen->data, data, size);
    return 0;
}

static int on_part_end(void *user) {
    seen_t *seen = user;
    PROVE(seen->is_open);
    seen->is_open = false;
    imi_buf_append_text(&seen->text, "]");
    imi_multipart_body_file(
        &seen->again, seen->name, seen->filename == NULL ? "\n" : seen->filename, "a/b",
        imi_arena_strndup(&seen->arena, seen->data.data, seen->data.size), seen->data.size);
    imi_buf_clear(&seen->data);
    return 0;
}

static int read_body(const char *boundary, imi_slice_t body, size_t piece_size, seen_t *seen) {
    static const imi_multipart_handler_t handler = {on_part, on_data, on_part_end};
    static const unsigned char random[16] = {1, 2, 3};
    imi_multipart_t multipart;
    int err = 0;
    *seen = (seen_t){.is_open = false};
    imi_arena_init(&seen->arena, NULL, 0);
    imi_buf_init(&seen->text, NULL, 0);
    imi_buf_init(&seen->data, NULL, 0);
    imi_multipart_body_init(&seen->again, &seen->arena, random);
    imi_multipart_init(&multipart, NULL, boundary, PART_COUNT_MAX, &handler, seen);
    for (size_t at = 0; at < body.size && err == 0; at += piece_size) {
        size_t left = body.size - at;
        err = imi_multipart_feed(&multipart, body.data + at, left < piece_size ? left : piece_size);
    }
    err = imi_multipart_finish(&multipart);
    PROVE(err <= 0 && err != IMI_MULTIPART_NOMEM && (err != 0 || !seen->is_open));
    imi_multipart_reset(&multipart);
    imi_multipart_body_end(&seen->again);
    return err;
}

static void drop(seen_t *seen) {
    imi_buf_reset(&seen->text);
    imi_buf_reset(&seen->data);
    imi_arena_reset(&seen->arena);
}

static void prove_round_trip(seen_t *first) {
    imi_buf_t joined;
    seen_t second, third;
    imi_buf_init(&joined, NULL, 0);
    for (size_t i = 0; i < first->again.slice_count; i++)
        imi_buf_append(&joined, first->again.slices[i].data, first->again.slices[i].size);
    PROVE(read_body(first->again.boundary, (imi_slice_t){joined.data, joined.size}, SIZE_MAX / 2,
                    &second) == 0);
    PROVE(second.part_count == first->part_count);
    imi_buf_clear(&joined);
    for (size_t i = 0; i < second.again.slice_count; i++)
        imi_buf_append(&joined, second.again.slices[i].data, second.again.slices[i].size);
    PROVE(read_body(second.again.boundary, (imi_slice_t){joined.data, joined.size}, 7, &third) ==
          0);
    PROVE(third.text.size == second.text.size);
    PROVE(third.text.size == 0 || memcmp(third.text.data, second.text.data, third.text.size) == 0);
    drop(&second);
    drop(&third);
    imi_buf_reset(&joined);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    imi_slice_t body = {(const char *)data + 1, size - 1};
    char boundary[71] = "b", content_type[128];
    const char *line_end = NULL;
    seen_t whole, pieces;
    int err = 0;
    if (size < 4)
        return 0;
    imi_multipart_boundary((imi_slice_t){body.data, body.size}, boundary);
    line_end = memchr(body.data, '\r', body.size);
    if (line_end != NULL && memcmp(body.data, "--", 2) == 0) {
        snprintf(content_type, sizeof(content_type), "multipart/form-data; boundary=\"%.*s\"",
                 (int)(line_end - body.data - 2), body.data + 2);
        imi_multipart_boundary(imi_slice_of(content_type), boundary);
    }
    err = read_body(boundary, body, size, &whole);
    PROVE(err == read_body(boundary, body, (size_t)data[0] + 1, &pieces));
    PROVE(whole.part_count == pieces.part_count);
    if (err == 0) {
        PROVE(whole.text.size == pieces.text.size);
        PROVE(whole.text.size == 0 ||
              memcmp(whole.text.data, pieces.text.data, whole.text.size) == 0);
        /* Our boundary is random, but not here: the fuzzer finds it. And a head has a limit, which
         * three times the longest name must not pass. */
        if (size <= ROUND_TRIP_SIZE_MAX &&
            memmem(data, size, whole.again.boundary, strlen(whole.again.boundary)) == NULL)
            prove_round_trip(&whole);
    }
    drop(&whole);
    drop(&pieces);
    return 0;
}
