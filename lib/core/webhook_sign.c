/* webhook_sign.c: see webhook_sign.h. */
#include "core/webhook_sign.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "wire/base64.h"
#include "wire/sha256.h"

#define STANDARD_PREFIX "whsec_"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Stricter than our decoder: what other libraries would not decode is raw bytes for all of us. */
static bool decode(uint8_t *out, size_t *out_size, const char *text) {
    size_t size = strlen(text), letter_count = strspn(text, letters);
    size_t padding_count = strspn(text + letter_count, "=");
    return size > 0 && size % 4 == 0 && letter_count + padding_count == size &&
           imi_base64_decode(out, out_size, (imi_slice_t){text, size});
}

int imi_webhook_secret_set(imi_webhook_secret_t *secret, const imi_mem_t *mem, const char *text) {
    imi_webhook_secret_t fresh = {0};
    if (text != NULL && text[0] != '\0') {
        bool has_prefix = imi_text_starts_with(text, STANDARD_PREFIX);
        const char *encoded = text + (has_prefix ? sizeof(STANDARD_PREFIX) - 1 : 0);
        fresh.text_size = strlen(text);
        fresh.text = imi_mem_strdup(mem, text);
        fresh.key = imi_mem_alloc(mem, fresh.text_size + 3); /* room for both readings */
        if (fresh.text == NULL || fresh.key == NULL) {
            imi_webhook_secret_reset(&fresh, mem);
            return IMAGINE_ENOMEM;
        }
        if (!decode(fresh.key, &fresh.key_size, encoded)) {
            memcpy(fresh.key, text, fresh.text_size);
            fresh.key_size = fresh.text_size;
        }
    }
    imi_webhook_secret_reset(secret, mem);
    *secret = fresh;
    return 0;
}

void imi_webhook_secret_reset(imi_webhook_secret_t *secret, const imi_mem_t *mem) {
    if (secret->text != NULL)
        imi_mem_wipe(secret->text, secret->text_size);
    if (secret->key != NULL)
        imi_mem_wipe(secret->key, secret->key_size);
    imi_mem_free(mem, secret->text);
    imi_mem_free(mem, secret->key);
    *secret = (imi_webhook_secret_t){0};
}

static void add(imi_webhook_headers_t *out, const char *name, const char *value) {
    out->headers[out->count++] = (imagine_header_t){name, value};
}

int imi_webhook_sign(imi_webhook_headers_t *out, const imi_mem_t *mem,
                     const imi_webhook_secret_t *secret, const char *id, int64_t unix_ms,
                     imi_slice_t body) {
    uint8_t digest[IMI_SHA256_SIZE];
    char hex[2 * IMI_SHA256_SIZE + 1];
    imi_buf_t buf;
    int error;
    out->count = 0;
    snprintf(out->timestamp, sizeof(out->timestamp), "%" PRId64, unix_ms / 1000);
    add(out, "content-type", "application/json");
    add(out, "webhook-id", id);
    add(out, "webhook-timestamp", out->timestamp);
    if (secret->text == NULL)
        return 0;
    imi_hmac_sha256(digest, secret->text, secret->text_size, body.data, body.size);
    imi_hex(hex, digest, sizeof(digest));
    snprintf(out->old_signature, sizeof(out->old_signature), "sha256=%s", hex);
    add(out, "x-webhook-signature", out->old_signature);

    imi_buf_init(&buf, mem, 0);
    imi_buf_printf(&buf, "%s.%s.", id, out->timestamp);
    imi_buf_append(&buf, body.data, body.size);
    if (buf.error == 0) {
        imi_hmac_sha256(digest, secret->key, secret->key_size, buf.data, buf.size);
        imi_buf_clear(&buf);
        imi_base64_encode(&buf, digest, sizeof(digest));
    }
    error = buf.error;
    if (error == 0) {
        snprintf(out->signature, sizeof(out->signature), "v1,%s", buf.data);
        add(out, "webhook-signature", out->signature);
    }
    imi_buf_reset(&buf);
    return error == 0 ? 0 : IMAGINE_ENOMEM;
}
