/* sync.h: the store follows memory. Loads at the start, writes what changed, tries again what the
 * store did not take. Nothing here is ever waited for, but for the first load, by 250 ms at most.
 */
#ifndef IMI_CORE_SYNC_H
#define IMI_CORE_SYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imagine/storage.h"
#include "core/client.h"
#include "wire/list.h"

/* A kind of record: whoever keeps such records takes them back when the store is read. */
typedef struct imi_sync_kind {
    const char *prefix; /* of its keys */
    void (*load)(imagine_t *im, const char *key, const void *value, size_t value_size);
    /* The store took what was put there. NULL: nobody cares. */
    void (*stored)(imagine_t *im, const char *key);
} imi_sync_kind_t;

/* Inside whatever waits for the first load. */
typedef struct imi_sync_waiter {
    imi_list_t link; /* leaves when it is removed */
    void (*on_loaded)(struct imi_sync_waiter *waiter);
} imi_sync_waiter_t;

/* Takes the storage over, closes the former one. `kinds` (borrowed) are read in their order. */
int imi_sync_attach(imagine_t *im, imagine_storage_t *storage, const imi_sync_kind_t *kinds,
                    size_t kind_count);
/* Writes what is pending, for a second at most, then closes the storage and calls back once. */
void imi_sync_close(imagine_t *im, imagine_closed_cb closed, void *user);

/* Once more, for tokens and providers that came later than the storage. */
void imi_sync_reload(imagine_t *im);
bool imi_sync_is_loading(const imagine_t *im);
void imi_sync_wait(imagine_t *im, imi_sync_waiter_t *waiter);

/* Keep `value` (copied; NULL: remove) under a key; a later write of the same key replaces a pending
 * one. Memory that runs out is logged: the store then lags behind. */
void imi_sync_put(imagine_t *im, const char *key, const char *value, size_t value_size,
                  uint64_t ttl_ms);
/* 0 when `done` will come. */
int imi_sync_get(imagine_t *im, const char *key, imagine_storage_get_cb done, void *user);

#endif
