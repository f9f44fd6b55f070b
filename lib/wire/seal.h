/* seal.h: a secret at rest. AES-256-GCM, random nonce, authenticated together with a context text
 * (what the secret belongs to), so that a sealed value cannot be moved to another record.
 * Format: "v1." base64( nonce[12] | ciphertext | tag[16] ). Key: HKDF-SHA256(secret, no salt, info
 * "libimagine seal v1"). */
#ifndef IMI_WIRE_SEAL_H
#define IMI_WIRE_SEAL_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/arena.h"

typedef struct imi_seal_key {
    uint8_t bytes[32];
} imi_seal_key_t;

bool imi_seal_key_derive(imi_seal_key_t *out, const char *secret);
/* NULL when memory is out. `nonce` is 12 random bytes, never used twice with one key. */
char *imi_seal(imi_arena_t *arena, const imi_seal_key_t *key, const uint8_t nonce[12],
               const char *context, const char *secret);
/* NULL: not ours, another key, another context, tampered with, or no memory. */
char *imi_unseal(imi_arena_t *arena, const imi_seal_key_t *key, const char *context,
                 const char *sealed);

#endif
