/* sync.h: the store follows memory. Loads at the start, writes what changed, tries again what the
 * store did not take. Nothing here is ever waited for, but for the first load, by 250 ms at most.
 */
#ifndef IMI_CORE_SYNC_H
#define IMI_CORE_SYNC_H

#include <stdbool.h>

#include "imagine/storage.h"
#include "core/client.h"

/* Takes the storage over, closes the former one. */
int imi_sync_attach(imagine_t *im, imagine_storage_t *storage);
/* Writes what is pending, for a second at most, then closes the storage and calls back once. */
void imi_sync_close(imagine_t *im, imagine_closed_cb closed, void *user);

/* Once more, for tokens and providers that came later than the storage. */
void imi_sync_reload(imagine_t *im);
bool imi_sync_is_loading(const imagine_t *im);
void imi_sync_wait(imagine_t *im, imagine_request_t *request);

/* Keep `value` (copied; NULL: remove) under a key; a later write of the same key replaces a pending
 * one. Memory that runs out is logged: the store then lags behind. */
void imi_sync_put(imagine_t *im, const char *key, const char *value, size_t value_size,
                  uint64_t ttl_ms);
/* 0 when `done` will come. */
int imi_sync_get(imagine_t *im, const char *key, imagine_storage_get_cb done, void *user);

/* For pools: a mark has changed. `user` is the imi_provider_t. */
void imi_sync_mark_changed(const char *fingerprint, const char *model, imi_token_state_t state,
                           int64_t until_unix_ms, void *user);

#endif
