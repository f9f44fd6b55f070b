/* merge.h: one catalogue document laid over another, as trees. */
#ifndef IMI_CATALOGUE_MERGE_H
#define IMI_CATALOGUE_MERGE_H

#include <cjson/cJSON.h>

/* RFC 7396 (JSON merge patch), but for the "models" of a provider, which are merged entry by entry:
 * one with the same "key" (or, without a key, the same "id") is patched, {"key": …, "remove": true}
 * removes it, others are appended in order. *out_missing: a key that was to be removed and is not
 * there (it lies in `patch`), or NULL. 0 or IMAGINE_ENOMEM; then `document` is of no use. Both have
 * been checked (check.h): nesting and numbers of members are bounded. */
int imi_catalogue_merge(cJSON *document, const cJSON *patch, const char **out_missing);

/* The member of a provider that lists the names of models that were removed. */
#define IMI_CATALOGUE_REMOVED "removed"

#endif
