/* peers.c: see peers.h.
 *
 *   unknown --it has work--> alive --nothing heard for four seconds--> asked for, every second
 *      ^                       ^-------------- it is there -----------------|
 *      |--- its work is looked for, each piece taken over by a swap <-------| missing for two more
 *
 * Those two are for a store that was away: nobody could give a sign of life, and all do so within a
 * second once it is back. */
#include "core/peers.h"

#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/sync.h"
#include "imagine/storage.h"
#include "wire/assert.h"
#include "wire/list.h"
#include "wire/map.h"

#define RUN_PREFIX "run/"
#define OWNER "{\"owner\":\""
#define BEAT_MS 1000
#define LEASE_MS 4000
#define MISSING_MS 2000
#define RUN_KEPT_MS (24 * 60 * 60 * 1000)
#define SCAN_MS 10000 /* from one look for work that nobody does to the next */
#define ID_SIZE 128   /* of a piece of work */
#define KEY_SIZE (IMAGINE_STORAGE_KEY_SIZE_MAX + 1)

struct imi_peers {
    char self[IMI_PEER_ID_SIZE + 1];
    size_t work_count; /* of ours */
    imagine_timer_t *beat_timer;
    uint64_t beat_at_ms;
    bool was_away;    /* the store, at the last beat */
    imi_map_t others; /* those that have work: id -> peer_t */
    imagine_timer_t *watch_timer;
    bool is_scanning, has_scanned;
    uint64_t scanned_at_ms;
    imi_list_t steps; /* step_t: waiting for the store */
};

typedef struct peer {
    uint64_t heard_at_ms;
    bool is_asked_for, is_missing;
    uint64_t missing_at_ms; /* the first time */
    char id[IMI_PEER_ID_SIZE + 1];
} peer_t;

/* A question to the store that is under way: about an instance, or a piece of its work. */
typedef struct step {
    imi_list_t link;
    imagine_t *im;
    const imi_work_kind_t *kind;
    char owner[IMI_PEER_ID_SIZE + 1];
    char *record; /* as we want it */
    size_t record_size;
    char id[ID_SIZE];
} step_t;

static const imi_work_kind_t *const kinds[] = {&imi_task_work, &imi_webhook_work};

static void on_beat(void *user);
static void on_watch(void *user);
static void scan(imagine_t *im, const char *dead);

/* ---- life -------------------------------------------------------------------------------------
 */

int imi_peers_open(imagine_t *im) {
    uint64_t number = imi_random64(im);
    imi_peers_t *peers = imi_mem_zalloc(&im->mem, sizeof(*peers));
    if (peers == NULL)
        return IMAGINE_ENOMEM;
    imi_hex(peers->self, &number, sizeof(number));
    imi_map_init(&peers->others, &im->mem, im->seed);
    imi_list_init(&peers->steps);
    im->peers = peers;
    return 0;
}

static void stop_timers(imagine_t *im) {
    imi_peers_t *peers = im->peers;
    if (peers->beat_timer != NULL)
        im->io->timer_cancel(im->io->context, peers->beat_timer);
    if (peers->watch_timer != NULL)
        im->io->timer_cancel(im->io->context, peers->watch_timer);
    peers->beat_timer = peers->watch_timer = NULL;
}

void imi_peers_close(imagine_t *im) {
    imi_peers_t *peers = im->peers;
    const imi_map_entry_t *entry;
    size_t position = 0;
    if (peers == NULL)
        return;
    IMI_ASSERT(imi_list_is_empty(&peers->steps)); /* the storage has told each its end */
    stop_timers(im);
    while (imi_map_next(&peers->others, &position, &entry))
        imi_mem_free(&im->mem, entry->value);
    imi_map_reset(&peers->others);
    imi_mem_free(&im->mem, peers);
    im->peers = NULL;
}

const char *imi_peers_self(const imagine_t *im) {
    return im->peers->self;
}

/* ---- our own work ------------------------------------------------------------------------------
 */

static void set_peer_key(char out[KEY_SIZE], const char *id) {
    snprintf(out, KEY_SIZE, IMI_PEER_PREFIX "%s", id);
}

static void set_run_key(char out[KEY_SIZE], const char *owner, const imi_work_kind_t *kind,
                        const char *id) {
    snprintf(out, KEY_SIZE, RUN_PREFIX "%s/%c%s", owner, kind->letter, id);
}

static void beat(imagine_t *im) {
    imi_peers_t *peers = im->peers;
    char key[KEY_SIZE];
    set_peer_key(key, peers->self);
    imi_sync_put(im, key, "1", 1, LEASE_MS);
    peers->beat_at_ms = imi_now_ms(im);
    peers->was_away = imi_sync_is_away(im);
    if (peers->beat_timer == NULL &&
        im->io->timer_start(im->io->context, BEAT_MS, on_beat, im, &peers->beat_timer) != 0)
        peers->beat_timer = NULL; /* the next piece of work tries again */
}

static void renew_all(imagine_t *im) {
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        kinds[i]->renew(im);
}

static void on_beat(void *user) {
    imagine_t *im = user;
    imi_peers_t *peers = im->peers;
    bool was_silent =
        imi_now_ms(im) - peers->beat_at_ms > LEASE_MS || (peers->was_away && !imi_sync_is_away(im));
    peers->beat_timer = NULL;
    if (peers->work_count == 0 || im->is_closing)
        return;
    beat(im);
    if (was_silent)
        renew_all(im);
    imi_sync_refresh(im);
}

void imi_peers_renew(imagine_t *im) {
    if (im->peers->work_count == 0)
        return;
    beat(im);
    renew_all(im);
}

void imi_peers_note(imagine_t *im, const imi_work_kind_t *kind, const char *id) {
    char key[KEY_SIZE];
    set_run_key(key, im->peers->self, kind, id);
    imi_sync_put(im, key, "", 0, RUN_KEPT_MS);
}

/* First the sign of life, then the work: nobody finds work of an instance that seems dead. */
void imi_peers_begin(imagine_t *im, const imi_work_kind_t *kind, const char *id) {
    if (!imi_sync_is_shared(im))
        return;
    im->peers->work_count++;
    if (im->peers->beat_timer == NULL)
        beat(im);
    imi_peers_note(im, kind, id);
}

static void stop_beating(imagine_t *im) {
    char key[KEY_SIZE];
    if (im->peers->beat_timer != NULL)
        im->io->timer_cancel(im->io->context, im->peers->beat_timer);
    im->peers->beat_timer = NULL;
    set_peer_key(key, im->peers->self);
    imi_sync_put(im, key, NULL, 0, 0);
}

void imi_peers_end(imagine_t *im, const imi_work_kind_t *kind, const char *id) {
    char key[KEY_SIZE];
    if (!imi_sync_is_shared(im) || im->peers->work_count == 0)
        return;
    set_run_key(key, im->peers->self, kind, id);
    imi_sync_put(im, key, NULL, 0, 0);
    if (--im->peers->work_count == 0)
        stop_beating(im);
}

void imi_peers_leave(imagine_t *im) {
    if (imi_sync_is_shared(im) && im->peers->work_count > 0)
        stop_beating(im);
    stop_timers(im);
}

/* ---- others ------------------------------------------------------------------------------------
 */

static step_t *step_new(imagine_t *im, const imi_work_kind_t *kind, const char *owner,
                        const char *id) {
    step_t *step = imi_mem_zalloc(&im->mem, sizeof(*step));
    if (step == NULL) {
        imi_log(im, IMAGINE_LOG_WARN, "peer.no_memory"); /* the next look finds it again */
        return NULL;
    }
    step->im = im;
    step->kind = kind;
    snprintf(step->owner, sizeof(step->owner), "%s", owner);
    snprintf(step->id, sizeof(step->id), "%s", id);
    imi_list_append(&im->peers->steps, &step->link);
    return step;
}

static void step_free(step_t *step) {
    imi_list_remove(&step->link);
    imi_mem_free(&step->im->mem, step->record);
    imi_mem_free(&step->im->mem, step);
}

static void watch_later(imagine_t *im) {
    imi_peers_t *peers = im->peers;
    if (peers->watch_timer == NULL && peers->others.count > 0 &&
        im->io->timer_start(im->io->context, BEAT_MS, on_watch, im, &peers->watch_timer) != 0)
        peers->watch_timer = NULL;
}

static void forget(imagine_t *im, peer_t *peer) {
    imi_map_remove(&im->peers->others, peer->id, IMI_PEER_ID_SIZE);
    imi_mem_free(&im->mem, peer);
}

/* One that there is to know of. NULL: no memory. */
static peer_t *know(imagine_t *im, const char *id) {
    peer_t *peer = imi_map_get(&im->peers->others, id, strlen(id));
    if (peer != NULL)
        return peer;
    peer = imi_mem_zalloc(&im->mem, sizeof(*peer));
    if (peer == NULL)
        return NULL;
    snprintf(peer->id, sizeof(peer->id), "%s", id);
    peer->heard_at_ms = imi_now_ms(im);
    if (imi_map_set(&im->peers->others, id, strlen(id), peer) != 0) {
        imi_mem_free(&im->mem, peer);
        return NULL;
    }
    watch_later(im);
    return peer;
}

static void hear(imagine_t *im, const char *id) {
    peer_t *peer = know(im, id);
    if (peer == NULL)
        return;
    peer->heard_at_ms = imi_now_ms(im);
    peer->is_missing = false;
}

/* There is no sign of it. After a while, whatever work it has left is somebody else's: ours, if we
 * are the first. */
static void miss(imagine_t *im, const char *id) {
    char dead[IMI_PEER_ID_SIZE + 1];
    peer_t *peer = know(im, id);
    uint64_t now_ms = imi_now_ms(im);
    if (peer == NULL)
        return;
    if (!peer->is_missing)
        peer->missing_at_ms = now_ms;
    peer->is_missing = true;
    if (now_ms - peer->missing_at_ms < MISSING_MS)
        return;
    memcpy(dead, peer->id, sizeof(dead));
    forget(im, peer);
    scan(im, dead);
}

static bool is_peer_id(const char *text) {
    return strlen(text) == IMI_PEER_ID_SIZE && strspn(text, "0123456789abcdef") == IMI_PEER_ID_SIZE;
}

void imi_peer_load(imagine_t *im, const char *key, const void *value, size_t value_size) {
    const char *id = key + sizeof(IMI_PEER_PREFIX) - 1;
    (void)value_size;
    if (!is_peer_id(id) || strcmp(id, im->peers->self) == 0 || !imi_sync_is_shared(im))
        return;
    if (value != NULL)
        hear(im, id);
    else
        miss(im, id);
}

static void on_asked(int status, const void *value, size_t value_size, void *user) {
    step_t *step = user;
    imagine_t *im = step->im;
    peer_t *peer = imi_map_get(&im->peers->others, step->owner, IMI_PEER_ID_SIZE);
    (void)value, (void)value_size;
    if (peer != NULL)
        peer->is_asked_for = false;
    if (!im->is_closing && status == 0)
        hear(im, step->owner);
    else if (!im->is_closing && status == IMAGINE_ENOTFOUND)
        miss(im, step->owner);
    else if (peer != NULL)
        peer->is_missing = false; /* the store is away: nobody can be seen there */
    step_free(step);
}

static void ask_for(imagine_t *im, peer_t *peer) {
    step_t *step = step_new(im, NULL, peer->id, "");
    char key[KEY_SIZE];
    if (step == NULL)
        return;
    set_peer_key(key, peer->id);
    peer->is_asked_for = true;
    if (imi_sync_get(im, key, on_asked, step) == 0)
        return;
    peer->is_asked_for = false;
    step_free(step);
}

static void on_watch(void *user) {
    imagine_t *im = user;
    imi_peers_t *peers = im->peers;
    uint64_t now_ms = imi_now_ms(im);
    const imi_map_entry_t *entry;
    size_t position = 0;
    peers->watch_timer = NULL;
    if (im->is_closing)
        return;
    imi_sync_refresh(im);
    while (imi_map_next(&peers->others, &position, &entry)) {
        peer_t *peer = entry->value;
        if (!peer->is_asked_for && (peer->is_missing || now_ms - peer->heard_at_ms > LEASE_MS))
            ask_for(im, peer);
    }
    watch_later(im);
}

/* ---- taking over -------------------------------------------------------------------------------
 */

static void drop_run(step_t *step) {
    char key[KEY_SIZE];
    set_run_key(key, step->owner, step->kind, step->id);
    imi_sync_put(step->im, key, NULL, 0, 0);
}

/* The store did not answer: its owner is missed anew, and so its work looked for again. */
static void try_again(step_t *step) {
    if (!step->im->is_closing)
        miss(step->im, step->owner);
    step_free(step);
}

static void on_swapped(int status, void *user) {
    step_t *step = user;
    imagine_t *im = step->im;
    if (!im->is_closing && status == 0) {
        imi_slice_t record = {step->record, step->record_size};
        imi_log(im, IMAGINE_LOG_INFO, "peer.taken_over id=%s from=%s", step->id, step->owner);
        imi_peers_begin(im, step->kind, step->id);
        step->kind->take_over(im, step->id, record);
        drop_run(step);
    } else if (!im->is_closing && status == IMAGINE_ENOTFOUND) {
        drop_run(step); /* another was first */
    } else {
        try_again(step);
        return;
    }
    step_free(step);
}

static bool is_owned_by(imi_slice_t record, const char *owner) {
    size_t size = sizeof(OWNER) - 1;
    return record.size > size + IMI_PEER_ID_SIZE && memcmp(record.data, OWNER, size) == 0 &&
           memcmp(record.data + size, owner, IMI_PEER_ID_SIZE) == 0;
}

static void on_record(int status, const void *value, size_t value_size, void *user) {
    step_t *step = user;
    imagine_t *im = step->im;
    imi_slice_t record = {value, value_size};
    char key[KEY_SIZE];
    if (im->is_closing || (status != 0 && status != IMAGINE_ENOTFOUND)) {
        try_again(step);
        return;
    }
    if (status == IMAGINE_ENOTFOUND || !is_owned_by(record, step->owner)) {
        drop_run(step);
        step_free(step);
        return;
    }
    step->record = imi_mem_strndup(&im->mem, record.data, record.size);
    step->record_size = record.size;
    snprintf(key, sizeof(key), "%s%s", step->kind->record_prefix, step->id);
    if (step->record != NULL) {
        memcpy(step->record + sizeof(OWNER) - 1, im->peers->self, IMI_PEER_ID_SIZE);
        if (imi_sync_swap(im, key, record, (imi_slice_t){step->record, step->record_size},
                          RUN_KEPT_MS, on_swapped, step) == 0)
            return;
    }
    try_again(step);
}

static const imi_work_kind_t *kind_of(char letter) {
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i]->letter == letter)
            return kinds[i];
    return NULL;
}

/* "run/<instance>/<kind><id>". `dead`: that instance; "": one that is not known is missed, which
 * tells soon whether it lives. */
static void consider(imagine_t *im, const char *key, const char *dead) {
    const char *at = key + sizeof(RUN_PREFIX) - 1;
    char owner[IMI_PEER_ID_SIZE + 1], record_key[KEY_SIZE];
    const imi_work_kind_t *kind;
    step_t *step;
    snprintf(owner, sizeof(owner), "%s", at);
    if (!is_peer_id(owner) || at[IMI_PEER_ID_SIZE] != '/' || strcmp(owner, im->peers->self) == 0)
        return;
    if (dead[0] == '\0') {
        if (imi_map_get(&im->peers->others, owner, IMI_PEER_ID_SIZE) == NULL)
            miss(im, owner);
        return;
    }
    at += IMI_PEER_ID_SIZE + 1;
    kind = *at != '\0' ? kind_of(*at) : NULL;
    if (kind == NULL || strlen(at) > ID_SIZE)
        return;
    step = step_new(im, kind, owner, at + 1);
    if (step == NULL)
        return;
    snprintf(record_key, sizeof(record_key), "%s%s", kind->record_prefix, step->id);
    if (imi_sync_get(im, record_key, on_record, step) != 0)
        try_again(step);
}

static void on_runs(int status, const imagine_storage_entry_t *entries, size_t entry_count,
                    int32_t is_last, void *user) {
    step_t *step = user;
    imagine_t *im = step->im;
    for (size_t i = 0; i < entry_count && !im->is_closing; i++)
        consider(im, entries[i].key, step->owner);
    if (status != 0 && step->owner[0] != '\0' && !im->is_closing)
        miss(im, step->owner); /* not seen whole: once more */
    if (is_last == 0)
        return;
    if (step->owner[0] == '\0')
        im->peers->is_scanning = false;
    step_free(step);
}

/* Looks for the work of one instance, or ("") for that of all that are not known to live. */
static void scan(imagine_t *im, const char *dead) {
    step_t *step = step_new(im, NULL, dead, "");
    char prefix[KEY_SIZE];
    if (step == NULL)
        return;
    snprintf(prefix, sizeof(prefix), RUN_PREFIX "%s%s", dead, dead[0] != '\0' ? "/" : "");
    im->peers->is_scanning |= dead[0] == '\0';
    if (imi_sync_list(im, prefix, on_runs, step) == 0)
        return;
    if (dead[0] == '\0')
        im->peers->is_scanning = false;
    step_free(step);
}

void imi_peers_listed(imagine_t *im, size_t count) {
    (void)count;
    imi_peers_t *peers = im->peers;
    uint64_t now_ms = imi_now_ms(im);
    if (!imi_sync_is_shared(im) || peers->is_scanning ||
        (peers->has_scanned && now_ms - peers->scanned_at_ms < SCAN_MS))
        return;
    peers->has_scanned = true;
    peers->scanned_at_ms = now_ms;
    scan(im, "");
}
