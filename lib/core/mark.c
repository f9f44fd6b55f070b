/* mark.c: see mark.h. */
#include "core/mark.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/registry.h"
#include "core/sync.h"
#include "wire/json.h"

/* Of two that marked one token at the same moment, the one that wrote last may know of the shorter
 * rest: the other says its own once more. */
static void insist(imagine_t *im, imi_provider_t *provider, const char *fingerprint,
                   const char *model, int64_t until_unix_ms) {
    int64_t ours = imi_pool_exhausted_until(provider->pool, fingerprint, model);
    if (ours > until_unix_ms && ours > im->io->unix_ms(im->io->context))
        imi_mark_changed(fingerprint, model, IMI_TOKEN_EXHAUSTED, ours, provider);
}

/* "live/token/<provider>/<fingerprint>" or "live/token/<provider>/<fingerprint>/<model>" */
void imi_mark_load(imagine_t *im, const char *key, const void *value, size_t value_size) {
    imi_slice_t rest = imi_slice_of(key + sizeof(IMI_MARK_PREFIX) - 1), name, fingerprint;
    imi_slice_t json = {value, value_size};
    imi_slice_t state = imi_json_plain_text(imi_json_get(json, "state"));
    const char *model;
    imi_provider_t *provider;
    int64_t until = 0;
    char provider_name[64], fingerprint_text[IMI_FINGERPRINT_SIZE + 1];
    if (!imi_slice_split(&rest, '/', &name) || !imi_slice_split(&rest, '/', &fingerprint) ||
        name.size >= sizeof(provider_name) || fingerprint.size != IMI_FINGERPRINT_SIZE ||
        (value != NULL && !imi_json_whole_number(imi_json_get(json, "until"), &until)))
        return;
    snprintf(provider_name, sizeof(provider_name), "%.*s", (int)name.size, name.data);
    snprintf(fingerprint_text, sizeof(fingerprint_text), "%.*s", (int)fingerprint.size,
             fingerprint.data);
    provider = imi_registry_find(im, provider_name);
    if (provider == NULL)
        return;
    model = rest.data != NULL ? rest.data : "";
    imi_pool_apply(provider->pool, fingerprint_text, model,
                   value == NULL                        ? IMI_TOKEN_ACTIVE
                   : imi_slice_equals(state, "cooling") ? IMI_TOKEN_COOLING
                                                        : IMI_TOKEN_EXHAUSTED,
                   until, imi_clock(im));
    if (value != NULL)
        insist(im, provider, fingerprint_text, model, until);
}

void imi_mark_changed(const char *fingerprint, const char *model, imi_token_state_t state,
                      int64_t until_unix_ms, void *user) {
    const imi_provider_t *provider = user;
    imagine_t *im = provider->im;
    int64_t left_ms = until_unix_ms - im->io->unix_ms(im->io->context);
    char key[IMAGINE_STORAGE_KEY_SIZE_MAX + 1], value[96];
    int size;
    /* An invalid token is looked at anew by every process: its owner may have renewed it. */
    if (state == IMI_TOKEN_INVALID)
        return;
    size = snprintf(key, sizeof(key), IMI_MARK_PREFIX "%s/%s%s%s", provider->name, fingerprint,
                    model[0] != '\0' ? "/" : "", model);
    if (size < 0 || (size_t)size >= sizeof(key))
        return;
    if (state == IMI_TOKEN_ACTIVE || left_ms <= 0) {
        imi_sync_put(im, key, NULL, 0, 0);
        return;
    }
    size = snprintf(value, sizeof(value), "{\"state\":\"%s\",\"until\":%" PRId64 "}",
                    state == IMI_TOKEN_COOLING ? "cooling" : "exhausted", until_unix_ms);
    imi_sync_put(im, key, value, (size_t)size, (uint64_t)left_ms);
}

void imi_marks_tell(imagine_t *im) {
    for (size_t i = 0; i < im->provider_count; i++)
        imi_pool_tell_marks(im->providers[i]->pool, imi_clock(im));
}
