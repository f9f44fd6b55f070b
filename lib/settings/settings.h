/* settings.h: one row per setting: what it is called, what it may be, what it is without being set,
 * and what it is for. Reading, checking, --help and --check walk the same table. */
#ifndef IMI_SETTINGS_SETTINGS_H
#define IMI_SETTINGS_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imagine.h"
#include "wire/mem.h"

typedef enum imi_setting_kind {
    IMI_SETTING_TEXT,
    IMI_SETTING_HOST,    /* name or address to listen on */
    IMI_SETTING_SECRET,  /* one secret */
    IMI_SETTING_SECRETS, /* a comma list of them */
    IMI_SETTING_TOKENS,  /* a comma list of a provider's tokens: token_list.h */
    IMI_SETTING_NUMBER,  /* whole, from min to max */
    IMI_SETTING_CHOICE,  /* one of `choices` */
    IMI_SETTING_URL,     /* http or https, no user info, query or fragment */
    IMI_SETTING_HOSTS,   /* imi_hosts_parse() */
    IMI_SETTING_PROXIES, /* the same without names: who calls has none */
    IMI_SETTING_ORIGINS, /* a comma list of "*" and "https://example.com" */
} imi_setting_kind_t;

typedef struct imi_setting {
    const char *name;
    imi_setting_kind_t kind;
    const char *otherwise; /* the default; NULL: none */
    int64_t min, max;
    const char *choices; /* "a|b|c" */
} imi_setting_t;

/* Row `index` of the table, then the two patterns that any provider has ("_TOKENS", "_API_BASE");
 * NULL behind the last one. */
const imi_setting_t *imi_setting_at(size_t index);

#define IMI_PROVIDER_SETTING_SIZE 64
/* "GITEE_TOKENS" for provider gitee and "TOKENS"; dashes become underscores. */
void imi_provider_setting(char out[IMI_PROVIDER_SETTING_SIZE], const char *provider,
                          const char *suffix);

/* Was it set, or has it its default? */
bool imi_settings_is_set(const imagine_settings_t *settings, const char *name);
/* The name of setting `index` of those that are set; NULL behind the last one. */
const char *imi_settings_name_at(const imagine_settings_t *settings, size_t index);

/* imagine_settings_open() with memory from elsewhere, which must outlive the settings. */
int imi_settings_open(imagine_settings_t **out, const imi_mem_t *mem);

#endif
