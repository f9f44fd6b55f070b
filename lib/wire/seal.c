/* seal.c: AES-256-GCM around a secret (NIST SP 800-38D). What does not read back exactly as it was
 * written is refused, also another spelling of the same bytes in base64: one record, one text.
 * OpenSSL's error queue belongs to the thread, so to our host: we leave it as it was. */
#include "wire/seal.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

#include "wire/base64.h"
#include "wire/sha256.h"

enum {
    NONCE_SIZE = 12,
    TAG_SIZE = 16,
    TEXT_SIZE_MAX = 64 * 1024, /* secrets and contexts are short; OpenSSL counts in int */
};

static const char version[] = "v1.";
static const char key_info[] = "libimagine seal v1";

/* HKDF (RFC 5869) for one block of output: extract with no salt, which counts as 32 zeros, then
 * the first step of expand. */
bool imi_seal_key_derive(imi_seal_key_t *out, const char *secret) {
    static const uint8_t no_salt[IMI_SHA256_SIZE] = {0};
    uint8_t extracted[IMI_SHA256_SIZE];
    uint8_t info[sizeof(key_info)]; /* its NUL makes room for the block's number */
    *out = (imi_seal_key_t){.bytes = {0}};
    if (secret == NULL || secret[0] == '\0')
        return false;
    memcpy(info, key_info, sizeof(key_info) - 1);
    info[sizeof(info) - 1] = 1;
    imi_hmac_sha256(extracted, no_salt, sizeof(no_salt), secret, strlen(secret));
    imi_hmac_sha256(out->bytes, extracted, sizeof(extracted), info, sizeof(info));
    imi_mem_wipe(extracted, sizeof(extracted));
    return true;
}

/* `box` holds nonce, text and tag. Encrypts the text in place and writes the tag, or checks the tag
 * and decrypts. */
static bool run_cipher(EVP_CIPHER_CTX *cipher, const imi_seal_key_t *key, bool is_encrypting,
                       const char *context, uint8_t *box, size_t text_size) {
    uint8_t *text = box + NONCE_SIZE, *tag = text + text_size;
    int size = 0;
    if (EVP_CipherInit_ex(cipher, EVP_aes_256_gcm(), NULL, key->bytes, box,
                          is_encrypting ? 1 : 0) != 1)
        return false;
    if (!is_encrypting && EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, tag) != 1)
        return false;
    if (EVP_CipherUpdate(cipher, NULL, &size, (const uint8_t *)context, (int)strlen(context)) !=
            1 ||
        EVP_CipherUpdate(cipher, text, &size, text, (int)text_size) != 1 ||
        EVP_CipherFinal_ex(cipher, tag, &size) != 1) /* writes nothing: GCM pads nothing */
        return false;
    return !is_encrypting || EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, tag) == 1;
}

static bool crypt_box(const imi_seal_key_t *key, bool is_encrypting, const char *context,
                      uint8_t *box, size_t text_size) {
    EVP_CIPHER_CTX *cipher = NULL;
    bool is_done = false;
    ERR_set_mark();
    cipher = EVP_CIPHER_CTX_new();
    if (cipher != NULL)
        is_done = run_cipher(cipher, key, is_encrypting, context, box, text_size);
    EVP_CIPHER_CTX_free(cipher);
    ERR_pop_to_mark();
    return is_done;
}

/* The box as text, in the arena. */
static char *write_sealed(imi_arena_t *arena, const uint8_t *box, size_t box_size) {
    char *sealed = NULL;
    imi_buf_t text;
    imi_buf_init(&text, arena->mem, 0);
    imi_buf_append_text(&text, version);
    if (imi_base64_encode(&text, box, box_size) == 0)
        sealed = imi_arena_strndup(arena, text.data, text.size);
    imi_buf_reset(&text);
    return sealed;
}

char *imi_seal(imi_arena_t *arena, const imi_seal_key_t *key, const uint8_t nonce[12],
               const char *context, const char *secret) {
    size_t text_size = strlen(secret);
    size_t box_size = NONCE_SIZE + text_size + TAG_SIZE;
    char *sealed = NULL;
    uint8_t *box = NULL;
    if (text_size > TEXT_SIZE_MAX || strlen(context) > TEXT_SIZE_MAX)
        return NULL;
    box = imi_mem_alloc(arena->mem, box_size);
    if (box == NULL)
        return NULL;
    memcpy(box, nonce, NONCE_SIZE);
    memcpy(box + NONCE_SIZE, secret, text_size);
    if (crypt_box(key, true, context, box, text_size))
        sealed = write_sealed(arena, box, box_size);
    imi_mem_wipe(box, box_size);
    imi_mem_free(arena->mem, box);
    return sealed;
}

/* What write_sealed() would write, and nothing else. */
static bool read_sealed(const imi_mem_t *mem, const char *sealed, uint8_t *box, size_t *box_size) {
    imi_slice_t text = imi_slice_of(sealed + sizeof(version) - 1);
    bool is_same = false;
    imi_buf_t again;
    imi_buf_init(&again, mem, 0);
    if (imi_base64_decode(box, box_size, text) && imi_base64_encode(&again, box, *box_size) == 0)
        is_same = imi_slice_equals(text, again.data);
    imi_buf_reset(&again);
    return is_same;
}

char *imi_unseal(imi_arena_t *arena, const imi_seal_key_t *key, const char *context,
                 const char *sealed) {
    size_t sealed_size = strlen(sealed), room = 0, box_size = 0;
    char *secret = NULL;
    uint8_t *box = NULL;
    if (!imi_text_starts_with(sealed, version) || sealed_size > 2 * TEXT_SIZE_MAX ||
        strlen(context) > TEXT_SIZE_MAX)
        return NULL;
    room = imi_base64_decoded_size_max(sealed_size);
    box = imi_mem_alloc(arena->mem, room);
    if (box == NULL)
        return NULL;
    if (read_sealed(arena->mem, sealed, box, &box_size) && box_size >= NONCE_SIZE + TAG_SIZE &&
        crypt_box(key, false, context, box, box_size - NONCE_SIZE - TAG_SIZE))
        secret =
            imi_arena_strndup(arena, (char *)box + NONCE_SIZE, box_size - NONCE_SIZE - TAG_SIZE);
    imi_mem_wipe(box, room);
    imi_mem_free(arena->mem, box);
    return secret;
}
