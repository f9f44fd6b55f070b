/* quota.c: when a token whose quota is spent comes back, by its provider's rule (catalogue.h). */
#include "catalogue/catalogue.h"
#include "wire/time.h"

#define HOUR_MS (INT64_C(60) * 60 * 1000)
#define RETRY_MAX_MS (INT64_C(30) * 24 * HOUR_MS)

int64_t imi_quota_until(const imi_catalogue_provider_t *provider, int64_t now_unix_ms,
                        uint64_t retry_after_ms, bool *out_is_probed) {
    int64_t told_ms =
        retry_after_ms < (uint64_t)RETRY_MAX_MS ? (int64_t)retry_after_ms : RETRY_MAX_MS;
    int64_t until = 0;
    *out_is_probed = false;
    if (provider == NULL)
        return imi_time_next_midnight(now_unix_ms, 0);
    switch (provider->quota) {
    case IMI_QUOTA_ROLLING:
        if (told_ms > 0)
            return now_unix_ms + told_ms;
        return now_unix_ms + (int64_t)provider->quota_hours * HOUR_MS;
    case IMI_QUOTA_CREDIT:
        *out_is_probed = true;
        until = now_unix_ms + (int64_t)provider->quota_hours * HOUR_MS;
        break;
    case IMI_QUOTA_DAY_PACIFIC:
        until = imi_time_next_midnight_pacific(now_unix_ms);
        break;
    case IMI_QUOTA_DAY:
        until = imi_time_next_midnight(now_unix_ms, provider->quota_offset_minutes);
        break;
    }
    return now_unix_ms + told_ms > until ? now_unix_ms + told_ms : until; /* the later end */
}
