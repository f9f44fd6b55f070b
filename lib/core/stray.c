/* stray.c: see stray.h. A misspelt name would otherwise look like a provider without tokens. */
#include "core/stray.h"

#include <stdio.h>
#include <string.h>

#include "core/client.h"
#include "core/log.h"
#include "core/registry.h"
#include "settings/settings.h"

#define SUFFIX "_TOKENS"
#define DISTANCE_MAX 2 /* letters that differ: more of them is another word */

/* Levenshtein's, a row at a time. */
static size_t distance(const char *a, const char *b) {
    size_t row[IMI_PROVIDER_SETTING_SIZE + 1];
    size_t size = strlen(b);
    if (size > IMI_PROVIDER_SETTING_SIZE)
        return SIZE_MAX;
    for (size_t k = 0; k <= size; k++)
        row[k] = k;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t corner = row[0];
        row[0] = i + 1;
        for (size_t k = 0; k < size; k++) {
            size_t change = corner + (a[i] != b[k]),
                   least = row[k] < row[k + 1] ? row[k] : row[k + 1];
            corner = row[k + 1];
            row[k + 1] = least + 1 < change ? least + 1 : change;
        }
    }
    return row[size];
}

static void tell(imagine_t *im, const char *name) {
    char own[IMI_PROVIDER_SETTING_SIZE], nearest[IMI_PROVIDER_SETTING_SIZE] = "";
    char provider[IMI_PROVIDER_SETTING_SIZE];
    size_t least = DISTANCE_MAX + 1, size = strlen(name) - strlen(SUFFIX);
    for (size_t i = 0; i < im->provider_count; i++) {
        size_t letters;
        imi_provider_setting(own, im->providers[i]->name, "TOKENS");
        letters = distance(name, own);
        if (letters == 0)
            return;
        if (letters < least) {
            least = letters;
            memcpy(nearest, own, sizeof(nearest));
        }
    }
    snprintf(provider, sizeof(provider), "%.*s", (int)size, name);
    for (char *at = provider; *at != '\0'; at++)
        *at = *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at;
    imi_log(im, IMAGINE_LOG_WARN, "settings.strange reason=\"%.64s: no provider %s%s%s%s\"", name,
            provider, nearest[0] != '\0' ? "; did you mean " : "", nearest,
            nearest[0] != '\0' ? "?" : "");
}

void imi_stray_tell(imagine_t *im, const imagine_settings_t *settings) {
    const char *name;
    for (size_t i = 0; (name = imi_settings_name_at(settings, i)) != NULL; i++) {
        size_t size = strlen(name), suffix_size = strlen(SUFFIX);
        if (size > suffix_size && strcmp(name + size - suffix_size, SUFFIX) == 0)
            tell(im, name);
    }
}
