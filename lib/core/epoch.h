/* epoch.h: notices that a shared storage has lost everything (a Redis without a disk that began
 * anew), and says what we know once more, so that no mark and no work is forgotten.
 *
 *   live/epoch   a random name, written by whoever finds none
 *
 * A storage without it, or with another one than it had, was emptied. What others have taken back
 * meanwhile (a token that was reset) is not said again by this: their epoch is ours, too. */
#ifndef IMI_CORE_EPOCH_H
#define IMI_CORE_EPOCH_H

#include <stddef.h>

#include "core/client.h"

#define IMI_EPOCH_KEY "live/epoch"

/* For imi_sync_kind_t. */
void imi_epoch_load(imagine_t *im, const char *key, const void *value, size_t value_size);
void imi_epoch_listed(imagine_t *im, size_t count);

#endif
