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
#include "wire/str.h"

/* What all who share a storage are to know soon lies under keys that begin with this. */
#define IMI_SYNC_LIVE "live/"

/* A kind of record: whoever keeps such records takes them back when the store is read. */
typedef struct imi_sync_kind {
    const char *prefix; /* of its keys */
    /* `value` NULL: it is not there any more (under IMI_SYNC_LIVE alone). */
    void (*load)(imagine_t *im, const char *key, const void *value, size_t value_size);
    /* All that are there have been loaded, so many. NULL: nobody wants to know. */
    void (*on_listed)(imagine_t *im, size_t count);
    /* The store took what was put there. NULL: nobody cares. */
    void (*stored)(imagine_t *im, const char *key);
    bool is_unshared; /* loaded only from a storage that nobody else has */
} imi_sync_kind_t;

#define IMI_SYNC_KINDS_MAX 8

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
/* Likewise. */
int imi_sync_list(imagine_t *im, const char *prefix, imagine_storage_list_cb done, void *user);
/* Likewise; IMAGINE_ENOTSUP unless imi_sync_is_shared(). */
int imi_sync_swap(imagine_t *im, const char *key, imi_slice_t expected, imi_slice_t value,
                  uint64_t ttl_ms, imagine_storage_done_cb done, void *user);

/* What was asked of the storage beside all this has failed: the log says so, once a minute. */
void imi_sync_failed(imagine_t *im, int error);
/* It has taken a write: what was away is back. */
void imi_sync_worked(imagine_t *im);

/* Others work with the same records, and one step can say who of them has one. */
bool imi_sync_is_shared(const imagine_t *im);
/* The storage took nothing lately. */
bool imi_sync_is_away(const imagine_t *im);
/* Somebody begins to work: hears of what others have changed, if the storage does not tell by
 * itself and the last look is some time ago. Nobody waits for it. */
void imi_sync_refresh(imagine_t *im);

/* Somebody else has written a record that was ours; it stays theirs, and what we had to write is
 * forgotten. */
typedef void (*imi_sync_lost_cb)(imagine_t *im, const char *key);
typedef void (*imi_sync_settled_cb)(imagine_t *im, const char *key);
/* From here on a write of this key (imi_sync_put) happens only as long as the store has what was
 * written last: `stored` (absent: nothing) at first. Without imi_sync_is_shared() nothing changes.
 * 0 or IMAGINE_ENOMEM. */
int imi_sync_own(imagine_t *im, const char *key, imi_slice_t stored, imi_sync_lost_cb on_lost);
/* The waiter is told when the store has what was last put under this key of ours, when it is lost,
 * or after 250 ms. False: nobody waits (it is written already, or not ours). */
bool imi_sync_wait_written(imagine_t *im, const char *key, imi_sync_waiter_t *waiter);
/* What is still to be written will be, or is lost; on_settled then runs, once (now, if nothing is),
 * and on_lost does not any more. */
void imi_sync_disown(imagine_t *im, const char *key, imi_sync_settled_cb on_settled);

#endif
