/* sigv4.h: AWS Signature Version 4 (AWS General Reference, "Create a signed AWS API request";
 * Amazon S3 API Reference, "Authenticating Requests"), in a header or in a query. No clock and no
 * connection: what is signed comes in, and the signature comes out. */
#ifndef IMI_WIRE_SIGV4_H
#define IMI_WIRE_SIGV4_H

#include <stddef.h>
#include <stdint.h>

#include "wire/arena.h"

#define IMI_SIGV4_DATE_SIZE 17                /* "20130524T000000Z" and a NUL */
#define IMI_SIGV4_HASH_SIZE 65                /* SHA-256 in hex and a NUL */
#define IMI_SIGV4_PAIRS_MAX 16                /* headers, and query parameters, of one request */
#define IMI_SIGV4_UNSIGNED "UNSIGNED-PAYLOAD" /* where TLS guards the body */

typedef struct imi_sigv4_pair {
    const char *name;
    const char *value;
} imi_sigv4_pair_t;

/* A request to be signed. Nothing in it is NULL. */
typedef struct imi_sigv4 {
    const char *access_key_id, *secret;
    const char *region, *service;
    int64_t unix_ms;
    const char *method;
    const char *path;              /* as it is sent: percent-encoded once */
    const imi_sigv4_pair_t *query; /* not encoded */
    size_t query_count;
    const imi_sigv4_pair_t *headers; /* those to be signed: Host, and every X-Amz-… */
    size_t header_count;
    const char *payload_hash; /* imi_sigv4_hash() of the body, or IMI_SIGV4_UNSIGNED */
} imi_sigv4_t;

/* X-Amz-Date. */
void imi_sigv4_date(char out[IMI_SIGV4_DATE_SIZE], int64_t unix_ms);
void imi_sigv4_hash(char out[IMI_SIGV4_HASH_SIZE], const void *data, size_t size);

/* The query as it is sent: sorted and encoded, without a '?'. NULL: no memory, or too many. */
char *imi_sigv4_query(imi_arena_t *arena, const imi_sigv4_pair_t *query, size_t query_count);
/* The value of Authorization. X-Amz-Date has to be among the headers. NULL as above. */
char *imi_sigv4_authorization(imi_arena_t *arena, const imi_sigv4_t *request);
/* The query of an address that works for `expires_s` seconds without any header but those given.
 * NULL as above. */
char *imi_sigv4_presigned_query(imi_arena_t *arena, const imi_sigv4_t *request, uint32_t expires_s);

#endif
