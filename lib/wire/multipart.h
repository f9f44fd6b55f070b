/* multipart.h: multipart/form-data (RFC 7578), read piece by piece and written as slices. */
#ifndef IMI_WIRE_MULTIPART_H
#define IMI_WIRE_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

#include "wire/arena.h"
#include "wire/buf.h"
#include "wire/str.h"

/* Reading. Parts come in order: one on_part, any number of on_data, one on_part_end each. A
 * callback that returns non-zero stops the parser, and feed returns that number. */
typedef struct imi_multipart_part {
    imi_slice_t name;
    imi_slice_t filename;     /* absent: a plain field */
    imi_slice_t content_type; /* absent: none given */
} imi_multipart_part_t;

typedef struct imi_multipart_handler {
    int (*on_part)(void *user, const imi_multipart_part_t *part);
    int (*on_data)(void *user, const char *data, size_t size);
    int (*on_part_end)(void *user);
} imi_multipart_handler_t;

enum { IMI_MULTIPART_NOMEM = -1, IMI_MULTIPART_BROKEN = -2, IMI_MULTIPART_TOO_LARGE = -3 };

typedef struct imi_multipart {
    const imi_multipart_handler_t *handler;
    void *user;
    int state;
    int error;
    imi_buf_t head;     /* a part's headers while they come: 8 KiB at most */
    char delimiter[76]; /* CR LF "--" boundary (70 characters at most, RFC 2046) */
    size_t delimiter_size;
    size_t matched; /* bytes of the delimiter seen so far */
    size_t part_count;
    size_t part_count_max;
} imi_multipart_t;

/* The boundary of a Content-Type value, copied into `out`; false when it has none or a bad one. */
bool imi_multipart_boundary(imi_slice_t content_type, char out[71]);

void imi_multipart_init(imi_multipart_t *multipart, const imi_mem_t *mem, const char *boundary,
                        size_t part_count_max, const imi_multipart_handler_t *handler, void *user);
void imi_multipart_reset(imi_multipart_t *multipart);
int imi_multipart_feed(imi_multipart_t *multipart, const char *data, size_t size);
int imi_multipart_finish(imi_multipart_t *multipart); /* 0, or BROKEN before the last boundary */

/* Writing: a list of slices that refer to the caller's data, so that a picture is not copied. All
 * else lives in the arena. */
typedef struct imi_multipart_body {
    imi_arena_t *arena;
    char boundary[71];
    imi_slice_t *slices;
    size_t slice_count;
    size_t slice_capacity;
    int error; /* IMI_MULTIPART_NOMEM sticks */
} imi_multipart_body_t;

/* `random` makes the boundary: 16 bytes of real randomness, so that no picture contains it. */
void imi_multipart_body_init(imi_multipart_body_t *body, imi_arena_t *arena,
                             const unsigned char random[16]);
void imi_multipart_body_field(imi_multipart_body_t *body, const char *name, const char *value);
/* The data must live until the body was sent; name, filename ("file" if NULL) and mime
 * ("application/octet-stream" if NULL) are copied, quotes and line breaks in them percent-encoded
 * as browsers do, and backslashes too. */
void imi_multipart_body_file(imi_multipart_body_t *body, const char *name, const char *filename,
                             const char *mime, const void *data, size_t size);
void imi_multipart_body_end(imi_multipart_body_t *body);
/* "multipart/form-data; boundary=…", in the arena */
const char *imi_multipart_body_content_type(const imi_multipart_body_t *body);

#endif
