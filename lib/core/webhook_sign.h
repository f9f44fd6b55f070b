/* webhook_sign.h: what the receiver of a webhook checks. Two schemes, both HMAC-SHA256 under
 * WEBHOOK_SECRET:
 *
 *   x-webhook-signature: sha256=<hex of the body's>     key: the setting's text, as it is
 *   webhook-signature: v1,<base64 of "id.timestamp.body"'s>     (standardwebhooks.com)
 *     key: the bytes that the setting is the base64 of, after an optional "whsec_"; a setting that
 *     is no such base64 (RFC 4648 section 4, padded) is used as its raw bytes */
#ifndef IMI_CORE_WEBHOOK_SIGN_H
#define IMI_CORE_WEBHOOK_SIGN_H

#include <stddef.h>
#include <stdint.h>

#include "imagine/io.h"
#include "wire/mem.h"
#include "wire/str.h"

#define IMI_WEBHOOK_HEADERS_MAX 5

typedef struct imi_webhook_secret {
    char *text; /* NULL: none, nothing is signed */
    size_t text_size;
    uint8_t *key;
    size_t key_size;
} imi_webhook_secret_t;

/* Replaces it; NULL or "": none. 0 or IMAGINE_ENOMEM, then the former one stays. */
int imi_webhook_secret_set(imi_webhook_secret_t *secret, const imi_mem_t *mem, const char *text);
void imi_webhook_secret_reset(imi_webhook_secret_t *secret, const imi_mem_t *mem);

/* The headers of one try. They point into this struct and at `id`. */
typedef struct imi_webhook_headers {
    imagine_header_t headers[IMI_WEBHOOK_HEADERS_MAX];
    size_t count;
    char timestamp[24];
    char signature[56];     /* "v1," and 44 letters */
    char old_signature[80]; /* "sha256=" and 64 digits */
} imi_webhook_headers_t;

/* 0 or IMAGINE_ENOMEM. */
int imi_webhook_sign(imi_webhook_headers_t *out, const imi_mem_t *mem,
                     const imi_webhook_secret_t *secret, const char *id, int64_t unix_ms,
                     imi_slice_t body);

#endif
