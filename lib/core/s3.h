/* s3.h: one bucket of an S3-compatible server: what a request to it looks like. Path-style
 * addresses (endpoint/bucket/key), Signature Version 4. */
#ifndef IMI_CORE_S3_H
#define IMI_CORE_S3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imagine/io.h"
#include "wire/arena.h"
#include "wire/sigv4.h"

#define IMI_S3_LINK_S (24 * 60 * 60) /* how long a presigned address works */
#define IMI_S3_HEADERS_MAX 8

typedef struct imi_s3 {
    const char *endpoint; /* without a slash at its end */
    const char *region, *access_key_id, *secret, *bucket;
    const char *cdn_url; /* NULL: presigned addresses; else without a slash at its end */
    const char *host;    /* as the Host header says it */
    const char *path;    /* of the endpoint; mostly "" */
    bool is_https;       /* the body need not be hashed */
} imi_s3_t;

typedef struct imi_s3_settings {
    const char *endpoint, *region, *access_key_id, *secret, *bucket, *cdn_url;
} imi_s3_settings_t;

/* Texts are copied into the arena. `region` NULL: "auto"; `cdn_url` NULL: none. 0, IMAGINE_EINVAL
 * (an endpoint that is no address), IMAGINE_ENOMEM. */
int imi_s3_init(imi_s3_t *out, imi_arena_t *arena, const imi_s3_settings_t *settings);

/* What is asked for. */
typedef struct imi_s3_request {
    const char *method;
    const char *key;               /* "uploads/…"; NULL: the bucket itself */
    const imi_sigv4_pair_t *query; /* not encoded */
    size_t query_count;
    const char *content_type; /* NULL: none */
    const char *content_md5;  /* base64; NULL: none */
    const char *payload_hash; /* see sigv4.h */
} imi_s3_request_t;

/* Fills in method, url and headers of `out`, all in the arena. False: no memory. */
bool imi_s3_sign(const imi_s3_t *s3, imi_arena_t *arena, int64_t unix_ms,
                 const imi_s3_request_t *request, imagine_http_request_t *out);
/* Where everybody can read it: under the CDN, or presigned. NULL: no memory. */
const char *imi_s3_link(const imi_s3_t *s3, imi_arena_t *arena, int64_t unix_ms, const char *key);

#endif
