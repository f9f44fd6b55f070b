/* sha256.h: SHA-256, HMAC-SHA256 and the fingerprint of a token (OpenSSL's, behind plain calls). */
#ifndef IMI_WIRE_SHA256_H
#define IMI_WIRE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "wire/str.h"

#define IMI_SHA256_SIZE 32
#define IMI_FINGERPRINT_SIZE 12 /* hex digits; a buffer for it needs one more */

/* Of what comes in pieces. */
typedef struct imi_sha256_sum {
    uint64_t state[16]; /* OpenSSL's */
} imi_sha256_sum_t;

void imi_sha256_begin(imi_sha256_sum_t *sum);
void imi_sha256_add(imi_sha256_sum_t *sum, const void *data, size_t size);
void imi_sha256_end(const imi_sha256_sum_t *sum, uint8_t out[IMI_SHA256_SIZE]); /* so far */

void imi_sha256(uint8_t out[IMI_SHA256_SIZE], const void *data, size_t size);
void imi_hmac_sha256(uint8_t out[IMI_SHA256_SIZE], const void *key, size_t key_size,
                     const void *data, size_t size);
void imi_fingerprint(char out[IMI_FINGERPRINT_SIZE + 1], const char *secret);

#endif
