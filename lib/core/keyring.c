/* keyring.c: see keyring.h. */
#include "core/keyring.h"

#include "core/client.h"
#include "core/log.h"
#include "wire/seal.h"
#include "wire/str.h"

#define KEYS_MAX 8
#define NONCE_SIZE 12

struct imi_keyring {
    imi_seal_key_t keys[KEYS_MAX];
    size_t count;
    bool has_complained;
};

static int add_key(imi_keyring_t *keyring, imi_arena_t *arena, imi_slice_t secret) {
    char *text = imi_arena_strndup(arena, secret.data, secret.size);
    bool is_made;
    if (text == NULL)
        return IMAGINE_ENOMEM;
    is_made = imi_seal_key_derive(&keyring->keys[keyring->count], text);
    imi_mem_wipe(text, secret.size);
    keyring->count += is_made;
    return is_made ? 0 : IMAGINE_ENOMEM;
}

int imi_keyring_set(imagine_t *im, const char *secrets) {
    imi_slice_t rest = imi_slice_of(secrets != NULL ? secrets : ""), item;
    imi_keyring_t *keyring = NULL;
    imi_arena_t arena;
    int err = 0;
    imi_arena_init(&arena, &im->mem, 0);
    while (err == 0 && imi_slice_split(&rest, ',', &item)) {
        item = imi_slice_trim(item);
        if (item.size == 0)
            continue;
        if (keyring == NULL)
            keyring = imi_mem_zalloc(&im->mem, sizeof(*keyring));
        err = keyring == NULL              ? IMAGINE_ENOMEM
              : keyring->count == KEYS_MAX ? IMAGINE_EINVAL
                                           : add_key(keyring, &arena, item);
    }
    imi_arena_reset(&arena);
    if (err == 0)
        imi_keyring_reset(im);
    if (err == 0)
        im->keyring = keyring;
    else
        imi_mem_free(&im->mem, keyring);
    return err;
}

void imi_keyring_reset(imagine_t *im) {
    if (im->keyring != NULL)
        imi_mem_wipe(im->keyring, sizeof(*im->keyring));
    imi_mem_free(&im->mem, im->keyring);
    im->keyring = NULL;
}

char *imi_keyring_seal(imagine_t *im, imi_arena_t *arena, const char *context, const char *secret) {
    uint8_t nonce[NONCE_SIZE];
    if (im->keyring == NULL || im->io->random(im->io->context, nonce, sizeof(nonce)) != 0)
        return NULL;
    return imi_seal(arena, &im->keyring->keys[0], nonce, context, secret);
}

char *imi_keyring_open(imagine_t *im, imi_arena_t *arena, const char *context, const char *sealed) {
    imi_keyring_t *keyring = im->keyring;
    char *secret = NULL;
    if (keyring == NULL)
        return NULL;
    for (size_t i = 0; secret == NULL && i < keyring->count; i++)
        secret = imi_unseal(arena, &keyring->keys[i], context, sealed);
    if (secret == NULL && !keyring->has_complained) {
        keyring->has_complained = true;
        imi_log(im, IMAGINE_LOG_ERROR,
                "seal.broken reason=\"a sealed token opens with no key of ENCRYPTION_KEY\"");
    }
    return secret;
}
