/* caller.h: who is at the other end, as far as limits and the loopback rule are concerned. */
#ifndef IMI_GATEWAY_CALLER_H
#define IMI_GATEWAY_CALLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imagine/gateway.h"
#include "wire/urlcheck.h"

#define IMI_CALLER_KEY_SIZE 17

typedef struct imi_caller {
    uint8_t key[IMI_CALLER_KEY_SIZE]; /* the same for the same caller */
    bool is_local; /* on this machine, and not a proxy that speaks for somebody else */
} imi_caller_t;

/* The caller's address: the peer's, or, behind peers of `trusted` (NULL: nobody is), what they say:
 * the rightmost hop of X-Forwarded-For that is not trusted itself, else CF-Connecting-IP. */
void imi_caller_find(imi_caller_t *caller, const imi_hosts_t *trusted, const char *peer,
                     const imagine_header_t *headers, size_t header_count, bool is_forwarded);
/* A caller known by a token's fingerprint. */
void imi_caller_set_token(imi_caller_t *caller, const char *fingerprint);

#endif
