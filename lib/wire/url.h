/* url.h: the parts of an http(s) address (RFC 3986), and where a redirect leads. */
#ifndef IMI_WIRE_URL_H
#define IMI_WIRE_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/arena.h"
#include "wire/str.h"

typedef struct imi_url {
    imi_slice_t scheme; /* as written */
    bool is_https;
    bool has_userinfo;
    imi_slice_t host; /* as written; of [::1] what stands inside */
    uint16_t port;    /* the scheme's when none is written */
    imi_slice_t path; /* from the first '/' to before '?' or '#'; empty when none */
    imi_slice_t query;
} imi_url_t;

/* http and https only. Refuses what curl and we could read differently: spaces, control bytes,
 * backslashes, non-ASCII in the host, an empty host, a port out of range, broken brackets. */
bool imi_url_parse(imi_slice_t text, imi_url_t *out);

/* Same scheme, host (ASCII case ignored) and port: credentials may go along. */
bool imi_url_is_same_origin(const imi_url_t *a, const imi_url_t *b);

/* RFC 3986 section 5.2: `reference` as seen from `base`, in the arena; NULL when it is no http(s)
 * address, or memory is out. */
char *imi_url_resolve(imi_arena_t *arena, const char *base, imi_slice_t reference);

/* "base/path" with one slash between, whatever slashes base ends with; base's query must be none.
 */
char *imi_url_join(imi_arena_t *arena, const char *base, const char *path);

#endif
