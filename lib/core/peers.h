/* peers.h: many instances on one storage: each piece of work (a job, a webhook) has one instance
 * that does it, and another takes it over when that one dies.
 *
 *   live/peer/<instance>        lives for four seconds, renewed every second while it has work
 *   run/<instance>/<kind><id>   one per piece of work: what to take over
 *   the record itself           begins with {"owner":"<instance>"; taking over is one swap of that
 *                               name, and from then on no write of the former owner (sync.h, own)
 *                               gets through: the record is its own fence
 *
 * Without imi_sync_is_shared() nothing here does anything. */
#ifndef IMI_CORE_PEERS_H
#define IMI_CORE_PEERS_H

#include <stdbool.h>
#include <stddef.h>

#include "imagine.h"
#include "core/client.h"
#include "wire/str.h"

#define IMI_PEER_PREFIX "live/peer/"
#define IMI_PEER_ID_SIZE 16 /* hex digits */

/* Work of one kind, and who does it. */
typedef struct imi_work_kind {
    char letter;
    const char *record_prefix; /* of its records' keys; the id stands behind it */
    /* The record is ours now: goes on with it, unless it is over. */
    void (*take_over)(imagine_t *im, const char *id, imi_slice_t record);
    /* Others may have thought us dead, or the store has lost everything: notes (imi_peers_note) and
     * writes every record that is ours once more, which shows whose it is. */
    void (*renew)(imagine_t *im);
} imi_work_kind_t;

extern const imi_work_kind_t imi_task_work, imi_webhook_work;

int imi_peers_open(imagine_t *im); /* 0 or IMAGINE_ENOMEM */
void imi_peers_close(imagine_t *im);
/* The client closes: others may take over at once. Comes before the storage is closed. */
void imi_peers_leave(imagine_t *im);

/* Our name in records; it is another one in every life. */
const char *imi_peers_self(const imagine_t *im);
/* We begin, or have ended, this piece of work. */
void imi_peers_begin(imagine_t *im, const imi_work_kind_t *kind, const char *id);
void imi_peers_end(imagine_t *im, const imi_work_kind_t *kind, const char *id);

/* Notes a piece of work that was begun once more. */
void imi_peers_note(imagine_t *im, const imi_work_kind_t *kind, const char *id);
/* Every piece of work that is ours is to be in the store, whatever became of it there. */
void imi_peers_renew(imagine_t *im);

/* What the store says of others: for imi_sync_kind_t. */
void imi_peer_load(imagine_t *im, const char *key, const void *value, size_t value_size);
void imi_peers_listed(imagine_t *im, size_t count);

#endif
