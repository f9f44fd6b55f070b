/* sha256.c: digests by OpenSSL's plain SHA-256 functions. The EVP ones allocate and look the
 * algorithm up at each call, which is slower than a short digest itself, and can fail; these
 * cannot, and a digest that might be missing would be a trap in every comparison. */
#define OPENSSL_API_COMPAT 10100 /* declares them: OpenSSL 3 still has them, but advises EVP */
#include "wire/sha256.h"

#include <openssl/sha.h>
#include <string.h>

#include "wire/mem.h"

enum { BLOCK_SIZE = SHA256_CBLOCK };

void imi_sha256(uint8_t out[IMI_SHA256_SIZE], const void *data, size_t size) {
    SHA256_CTX context;
    SHA256_Init(&context);
    SHA256_Update(&context, data, size);
    SHA256_Final(out, &context); /* wipes the context */
}

_Static_assert(sizeof(SHA256_CTX) <= sizeof(imi_sha256_sum_t), "it lies in there");

void imi_sha256_begin(imi_sha256_sum_t *sum) {
    SHA256_Init((SHA256_CTX *)(void *)sum);
}

void imi_sha256_add(imi_sha256_sum_t *sum, const void *data, size_t size) {
    SHA256_Update((SHA256_CTX *)(void *)sum, data, size);
}

void imi_sha256_end(const imi_sha256_sum_t *sum, uint8_t out[IMI_SHA256_SIZE]) {
    imi_sha256_sum_t copy = *sum;
    SHA256_Final(out, (SHA256_CTX *)(void *)&copy);
}

/* One of the two digests that RFC 2104 nests: the key with a pattern over it, then the data. */
static void keyed_digest(uint8_t out[IMI_SHA256_SIZE], const uint8_t key[BLOCK_SIZE],
                         uint8_t pattern, const void *data, size_t size) {
    uint8_t block[BLOCK_SIZE];
    SHA256_CTX context;
    for (size_t i = 0; i < BLOCK_SIZE; i++)
        block[i] = key[i] ^ pattern;
    SHA256_Init(&context);
    SHA256_Update(&context, block, sizeof(block));
    SHA256_Update(&context, data, size);
    SHA256_Final(out, &context);
    imi_mem_wipe(block, sizeof(block));
}

void imi_hmac_sha256(uint8_t out[IMI_SHA256_SIZE], const void *key, size_t key_size,
                     const void *data, size_t size) {
    uint8_t block[BLOCK_SIZE] = {0};
    uint8_t inner[IMI_SHA256_SIZE];
    if (key_size > sizeof(block))
        imi_sha256(block, key, key_size);
    else if (key_size != 0)
        memcpy(block, key, key_size);
    keyed_digest(inner, block, 0x36, data, size);
    keyed_digest(out, block, 0x5C, inner, sizeof(inner));
    imi_mem_wipe(block, sizeof(block));
    imi_mem_wipe(inner, sizeof(inner));
}

void imi_fingerprint(char out[IMI_FINGERPRINT_SIZE + 1], const char *secret) {
    uint8_t digest[IMI_SHA256_SIZE];
    imi_sha256(digest, secret, strlen(secret));
    imi_hex(out, digest, IMI_FINGERPRINT_SIZE / 2);
}
