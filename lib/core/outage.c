/* outage.c: see outage.h. A process that has just started asks for itself: it may have been started
 * because the trouble is over. */
#include "core/outage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/sync.h"
#include "imagine/storage.h"

void imi_outage_changed(const imi_provider_t *provider) {
    imagine_t *im = provider->im;
    uint64_t left_ms = imi_breaker_retry_after_ms(&provider->breaker, imi_now_ms(im));
    char key[IMAGINE_STORAGE_KEY_SIZE_MAX + 1], value[32];
    int size;
    if (!imi_sync_is_shared(im))
        return;
    snprintf(key, sizeof(key), IMI_OUTAGE_PREFIX "%s", provider->name);
    size = snprintf(value, sizeof(value), "%" PRId64,
                    im->io->unix_ms(im->io->context) + (int64_t)left_ms);
    if (provider->breaker.state == IMAGINE_BREAKER_CLOSED)
        imi_sync_put(im, key, NULL, 0, 0);
    else
        imi_sync_put(im, key, value, (size_t)size, left_ms);
}

void imi_outage_load(imagine_t *im, const char *key, const void *value, size_t value_size) {
    imi_provider_t *provider = imi_registry_find(im, key + sizeof(IMI_OUTAGE_PREFIX) - 1);
    int64_t until, left_ms;
    bool has_changed;
    if (provider == NULL || imi_sync_is_loading(im))
        return;
    if (value == NULL) {
        has_changed = imi_breaker_close(&provider->breaker);
    } else {
        if (!imi_parse_int64((imi_slice_t){value, value_size}, &until))
            return;
        left_ms = until - im->io->unix_ms(im->io->context);
        has_changed = left_ms > 0 &&
                      imi_breaker_open_for(&provider->breaker, imi_now_ms(im), (uint64_t)left_ms);
    }
    if (has_changed)
        imi_log(im, IMAGINE_LOG_WARN, "breaker.%s provider=%s by=\"another instance\"",
                value != NULL ? "open" : "closed", provider->name);
}
