/* catalogue.h: providers, models and their data: the built-in document with the user's laid over
 * it. A document once compiled does not change; requests hold a reference to the one they began
 * with. */
#ifndef IMI_CATALOGUE_CATALOGUE_H
#define IMI_CATALOGUE_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/arena.h"
#include "wire/mem.h"
#include "wire/str.h"

#define IMI_TYPE_TEXT2IMAGE 1u
#define IMI_TYPE_IMAGE2IMAGE 2u
#define IMI_TYPE_TEXT2TEXT 4u
#define IMI_TYPE_TEXT2VIDEO 8u
#define IMI_TYPE_IMAGE2VIDEO 16u
#define IMI_TYPE_UPSCALER 32u

typedef enum imi_quota_rule {
    IMI_QUOTA_DAY,         /* until midnight of a zone: offset_minutes */
    IMI_QUOTA_DAY_PACIFIC, /* until midnight in US Pacific time */
    IMI_QUOTA_ROLLING,     /* what the message tells, else hours after the mark */
    IMI_QUOTA_CREDIT,      /* no reset: looked at again after hours, with one probe */
} imi_quota_rule_t;

typedef struct imi_range {
    bool is_set;
    double min, max, value; /* value: the default */
} imi_range_t;

typedef struct imi_model {
    const char *key, *id, *api_id;
    uint32_t types;
    imi_range_t steps, guidance;
    const char *response_type; /* "base64" or NULL */
    double hd_scale;           /* generate: both sides times this when HD is on */
    const char *json;          /* its entry as GET /models answers it */
    imi_slice_t data;          /* its raw entry, for options */
} imi_model_t;

typedef struct imi_catalogue_provider {
    const char *name;
    const char *kind;     /* which code serves it; the name when the entry has none */
    const char *api_base; /* "" when the entry has none */
    bool has_hd;          /* generate uses HD unless the caller says otherwise */
    double hd_scale;      /* for models that the catalogue lacks */
    imi_quota_rule_t quota;
    int32_t quota_offset_minutes;
    uint32_t quota_hours;
    bool is_quota_per_model;
    const imi_model_t *models;
    size_t model_count;
    imi_slice_t data; /* its raw entry, for options */
} imi_catalogue_provider_t;

typedef struct imi_catalogue imi_catalogue_t;

/* `document` laid over `below` (NULL: over nothing). *out_message: what is wrong, free with
 * imi_mem_free. 0, IMAGINE_EINVAL, IMAGINE_ENOMEM. */
int imi_catalogue_new(imi_catalogue_t **out, const imi_mem_t *mem, const imi_catalogue_t *below,
                      imi_slice_t document, char **out_message);
/* The built-in one, from lib/providers/catalogue.json. */
int imi_catalogue_builtin(imi_catalogue_t **out, const imi_mem_t *mem);
imi_catalogue_t *imi_catalogue_retain(imi_catalogue_t *catalogue);
void imi_catalogue_release(imi_catalogue_t *catalogue);

size_t imi_catalogue_provider_count(const imi_catalogue_t *catalogue);
const imi_catalogue_provider_t *imi_catalogue_provider_at(const imi_catalogue_t *catalogue,
                                                          size_t index); /* in document order */
const imi_catalogue_provider_t *imi_catalogue_find(const imi_catalogue_t *catalogue,
                                                   const char *provider);
/* By key, by the id behind its first slash, or by an alias; NULL: the catalogue lacks it. O(1). */
const imi_model_t *imi_catalogue_model(const imi_catalogue_t *catalogue, const char *provider,
                                       const char *key);
/* Was it there, and a document removed it? */
bool imi_catalogue_was_removed(const imi_catalogue_provider_t *provider, const char *key);
/* What is strange about the last document, but no mistake; NULL: nothing. */
const char *imi_catalogue_note(const imi_catalogue_t *catalogue);
/* The HD scale of an API id that no model entry stands for. */
double imi_catalogue_hd_scale(const imi_catalogue_t *catalogue,
                              const imi_catalogue_provider_t *provider, const char *api_id);
/* The first model of this type, in document order; NULL: none. */
const imi_model_t *imi_catalogue_first_of_type(const imi_catalogue_t *catalogue, uint32_t type,
                                               const imi_catalogue_provider_t **out_provider);

/* Raw JSON of an option: model's entry, provider.actions[action], provider's entry,
 * "defaults".actions[action], "defaults". `model` may be NULL. Absent slice: in none. */
imi_slice_t imi_catalogue_option(const imi_catalogue_t *catalogue,
                                 const imi_catalogue_provider_t *provider, const imi_model_t *model,
                                 const char *action, const char *path);

/* When a token whose quota is spent comes back, by the provider's rule; retry_after_ms is what the
 * provider told (0: nothing). *out_is_probed: one request looks first. */
int64_t imi_quota_until(const imi_catalogue_provider_t *provider, int64_t now_unix_ms,
                        uint64_t retry_after_ms, bool *out_is_probed);

#endif
