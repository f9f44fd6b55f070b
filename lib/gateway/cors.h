/* cors.h: which pages of other origins may read our answers (the Fetch standard's CORS protocol).
 */
#ifndef IMI_GATEWAY_CORS_H
#define IMI_GATEWAY_CORS_H

#include <stdbool.h>
#include <stddef.h>

#include "imagine/io.h"
#include "wire/arena.h"
#include "wire/str.h"

#define IMI_CORS_HEADERS_MAX 7

typedef struct imi_cors {
    bool is_any;
    const char **origins; /* else these */
    size_t origin_count;
} imi_cors_t;

/* A comma list of origins, "*" for any. It lives in the arena. 0 or IMAGINE_ENOMEM. */
int imi_cors_init(imi_cors_t *cors, imi_arena_t *arena, const char *list);

/* The headers of an answer to a page of this origin (absent: it is no page's request). They live as
 * long as the list. Returns how many. */
size_t imi_cors_headers(const imi_cors_t *cors, imi_slice_t origin, bool is_preflight,
                        imagine_header_t out[IMI_CORS_HEADERS_MAX]);

#endif
