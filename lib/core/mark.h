/* mark.h: that a token is set aside, as the store remembers it: across restarts, and for the other
 * processes. */
#ifndef IMI_CORE_MARK_H
#define IMI_CORE_MARK_H

#include <stddef.h>
#include <stdint.h>

#include "imagine.h"
#include "core/pool.h"

#define IMI_MARK_PREFIX "live/token/" /* of the keys: all who share a storage follow them */

/* For pools: a mark has changed. `user` is the imi_provider_t. */
void imi_mark_changed(const char *fingerprint, const char *model, imi_token_state_t state,
                      int64_t until_unix_ms, void *user);
/* A record that the store brought; value NULL: it is not there any more. */
/* All that the providers know, as if they had learned it just now. */
void imi_marks_tell(imagine_t *im);
void imi_mark_load(imagine_t *im, const char *key, const void *value, size_t value_size);

#endif
