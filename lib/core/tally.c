/* tally.c: see tally.h.
 *
 *   a pool has untold counts --1 s--> a round: one add for each, so many at a time
 *   all answered --> at rest, or, if there are new ones, --1 s--> the next round
 *   one failed   --> the rest of the round waits for the next one, after 5 s
 *
 * A round tells of as many tokens as were waiting when it began, the longest waiting first: a token
 * that is busy costs one add a second, not one a call. */
#include "core/tally.h"

#include <stdio.h>
#include <string.h>

#include "imagine/storage.h"
#include "core/registry.h"
#include "core/sync.h"
#include "wire/assert.h"
#include "wire/str.h"

#define PREFIX "stat/"
#define ROUND_MS 1000
#define RETRY_MS 5000
#define END_MS 500
#define REFRESH_MS 1000
#define OPERATIONS_MAX 200 /* under way at a time */

struct imi_tally {
    imagine_t *im;
    uint32_t storage_number; /* grows with each storage: answers of former ones are void */

    imagine_timer_t *timer; /* to the next round, or the end */
    bool is_in_round;
    bool has_failed;       /* in this round */
    size_t round_left;     /* tokens */
    size_t provider_index; /* which was told of last: each in turn */
    size_t under_way;      /* adds */

    bool is_listing;
    bool must_list; /* once more */
    bool has_listed;
    uint64_t listed_at_ms;

    bool is_ending;
    bool has_ended;
};

typedef struct telling {
    imi_tally_t *tally;
    uint32_t storage_number;
    imi_provider_t *provider;
    imi_count_t kind;
    uint64_t amount;
    char fingerprint[IMI_FINGERPRINT_SIZE + 1];
} telling_t;

typedef struct listing {
    imi_tally_t *tally;
    uint32_t storage_number;
    uint64_t asked_at_ms;
} listing_t;

static void on_round(void *user);
static void on_added(int status, int64_t total, void *user);
static void end_round(imi_tally_t *tally);

static const char *const kind_names[IMI_COUNT_KINDS] = {
    [IMI_COUNT_SERVED] = "served", [IMI_COUNT_FAILED] = "failed"};

/* The storage that sums up; NULL: there is none. */
static const imagine_storage_driver_t *find_store(const imi_tally_t *tally, void **out_self) {
    const uint32_t flags = IMAGINE_STORAGE_IS_SHARED | IMAGINE_STORAGE_IS_ATOMIC;
    const imagine_storage_driver_t *driver = imagine_client_storage(tally->im, out_self);
    return driver != NULL && (driver->flags & flags) == flags ? driver : NULL;
}

static size_t untold_count(const imi_tally_t *tally) {
    size_t count = 0;
    for (size_t i = 0; i < tally->im->provider_count; i++)
        count += imi_pool_untold_count(tally->im->providers[i]->pool);
    return count;
}

/* ---- rounds ------------------------------------------------------------------------------------
 */

static void start_timer(imi_tally_t *tally, uint64_t delay_ms) {
    const imagine_io_t *io = tally->im->io;
    if (tally->timer == NULL &&
        io->timer_start(io->context, delay_ms, on_round, tally, &tally->timer) != 0)
        tally->timer = NULL; /* the next count tries again */
}

static void stop_timer(imi_tally_t *tally) {
    if (tally->timer != NULL)
        tally->im->io->timer_cancel(tally->im->io->context, tally->timer);
    tally->timer = NULL;
}

static int start_telling(imi_tally_t *tally, imi_provider_t *provider, const imi_untold_t *untold,
                         imi_count_t kind) {
    void *self;
    const imagine_storage_driver_t *driver = find_store(tally, &self);
    telling_t *telling;
    char key[IMAGINE_STORAGE_KEY_SIZE_MAX + 1];
    int size = snprintf(key, sizeof(key), PREFIX "%s/%s/%s", provider->name, untold->fingerprint,
                        kind_names[kind]);
    int err;
    if (driver == NULL || size < 0 || (size_t)size >= sizeof(key))
        return IMAGINE_ECLOSED;
    telling = imi_mem_zalloc(&tally->im->mem, sizeof(*telling));
    if (telling == NULL)
        return IMAGINE_ENOMEM;
    *telling = (telling_t){.tally = tally,
                           .storage_number = tally->storage_number,
                           .provider = provider,
                           .kind = kind,
                           .amount = untold->amounts[kind]};
    memcpy(telling->fingerprint, untold->fingerprint, sizeof(telling->fingerprint));
    err = driver->add(self, key, (int64_t)telling->amount, 0, on_added, telling);
    if (err != 0)
        imi_mem_free(&tally->im->mem, telling);
    else
        tally->under_way++;
    return err;
}

static void fail_round(imi_tally_t *tally, int error) {
    tally->has_failed = true;
    tally->round_left = 0;
    if (error != IMAGINE_ECLOSED)
        imi_sync_failed(tally->im, error);
}

static void tell_next(imi_tally_t *tally) {
    imagine_t *im = tally->im;
    imi_provider_t *provider = NULL;
    imi_untold_t untold;
    for (size_t i = 0; i < im->provider_count && provider == NULL; i++) {
        tally->provider_index = (tally->provider_index + 1) % im->provider_count;
        if (imi_pool_untold_count(im->providers[tally->provider_index]->pool) > 0)
            provider = im->providers[tally->provider_index];
    }
    if (provider == NULL || !imi_pool_take_untold(provider->pool, &untold)) {
        tally->round_left = 0; /* some tokens have left their list */
        return;
    }
    tally->round_left--;
    for (imi_count_t kind = 0; kind < IMI_COUNT_KINDS; kind++) {
        int err = untold.amounts[kind] > 0 ? start_telling(tally, provider, &untold, kind) : 0;
        if (err == 0)
            continue;
        imi_pool_told(provider->pool, untold.fingerprint, kind, untold.amounts[kind], -1,
                      imi_now_ms(im));
        fail_round(tally, err);
    }
}

static void go_on(imi_tally_t *tally) {
    while (tally->round_left > 0 && tally->under_way + IMI_COUNT_KINDS <= OPERATIONS_MAX)
        tell_next(tally);
    if (tally->under_way == 0)
        end_round(tally);
}

static void begin_round(imi_tally_t *tally) {
    IMI_ASSERT(!tally->is_in_round && tally->under_way == 0);
    tally->is_in_round = true;
    tally->has_failed = false;
    tally->round_left = untold_count(tally);
    go_on(tally);
}

static void finish(imi_tally_t *tally) {
    stop_timer(tally);
    tally->has_ended = true;
    imi_client_close_later(tally->im, 0);
}

static void end_round(imi_tally_t *tally) {
    bool has_more = untold_count(tally) > 0;
    tally->is_in_round = false;
    if (tally->has_ended)
        return;
    if (tally->is_ending && has_more && !tally->has_failed)
        begin_round(tally); /* what came while the last one was under way */
    else if (tally->is_ending)
        finish(tally);
    else if (has_more)
        start_timer(tally, tally->has_failed ? RETRY_MS : ROUND_MS);
}

static void on_round(void *user) {
    imi_tally_t *tally = user;
    void *self;
    tally->timer = NULL;
    if (tally->is_ending) { /* it took too long */
        tally->round_left = 0;
        finish(tally);
    } else if (!tally->is_in_round && find_store(tally, &self) != NULL) {
        begin_round(tally);
    }
}

static void on_added(int status, int64_t total, void *user) {
    telling_t *telling = user;
    imi_tally_t *tally = telling->tally;
    imagine_t *im = tally->im;
    bool is_void = telling->storage_number != tally->storage_number;
    if (!is_void) {
        imi_pool_told(telling->provider->pool, telling->fingerprint, telling->kind, telling->amount,
                      status == 0 ? total : -1, imi_now_ms(im));
        if (status != 0)
            fail_round(tally, status);
        else
            imi_sync_worked(im);
        tally->under_way--;
    }
    imi_mem_free(&im->mem, telling);
    if (!is_void && tally->under_way == 0)
        go_on(tally);
}

void imi_tally_counted(void *user) {
    const imi_provider_t *provider = user;
    imi_tally_t *tally = provider->im->tally;
    void *self;
    if (tally->timer == NULL && !tally->is_in_round && !tally->is_ending &&
        find_store(tally, &self) != NULL)
        start_timer(tally, ROUND_MS);
}

/* ---- what others counted -----------------------------------------------------------------------
 */

static void hear(imagine_t *im, const imagine_storage_entry_t *entry, uint64_t asked_at_ms) {
    imi_slice_t rest = imi_slice_of(entry->key + sizeof(PREFIX) - 1), name, fingerprint;
    imi_slice_t value = {entry->value, entry->value_size};
    char fingerprint_text[IMI_FINGERPRINT_SIZE + 1];
    int64_t total;
    if (!imi_slice_split(&rest, '/', &name) || !imi_slice_split(&rest, '/', &fingerprint) ||
        fingerprint.size != IMI_FINGERPRINT_SIZE || !imi_parse_int64(value, &total))
        return;
    memcpy(fingerprint_text, fingerprint.data, IMI_FINGERPRINT_SIZE);
    fingerprint_text[IMI_FINGERPRINT_SIZE] = '\0';
    for (size_t i = 0; i < im->provider_count; i++)
        for (imi_count_t kind = 0; kind < IMI_COUNT_KINDS; kind++)
            if (imi_slice_equals(name, im->providers[i]->name) &&
                imi_slice_equals(rest, kind_names[kind]))
                imi_pool_heard(im->providers[i]->pool, fingerprint_text, kind, total, asked_at_ms);
}

static void on_listed(int status, const imagine_storage_entry_t *entries, size_t entry_count,
                      int32_t is_last, void *user) {
    listing_t *listing = user;
    imi_tally_t *tally = listing->tally;
    imagine_t *im = tally->im;
    bool is_void = listing->storage_number != tally->storage_number;
    if (status != 0 && status != IMAGINE_ECLOSED && !is_void)
        imi_sync_failed(im, status);
    for (size_t i = 0; i < entry_count && !is_void; i++)
        hear(im, &entries[i], listing->asked_at_ms);
    if (is_last == 0)
        return;
    imi_mem_free(&im->mem, listing);
    if (is_void)
        return;
    tally->is_listing = false;
    if (tally->must_list)
        imi_tally_refresh(im, true);
}

void imi_tally_refresh(imagine_t *im, bool is_forced) {
    imi_tally_t *tally = im->tally;
    uint64_t now_ms = imi_now_ms(im);
    void *self;
    const imagine_storage_driver_t *driver = find_store(tally, &self);
    listing_t *listing;
    if (driver == NULL || im->is_closing)
        return;
    if (tally->is_listing) {
        tally->must_list = tally->must_list || is_forced;
        return;
    }
    if (!is_forced && tally->has_listed && now_ms - tally->listed_at_ms < REFRESH_MS)
        return;
    listing = imi_mem_zalloc(&im->mem, sizeof(*listing));
    if (listing == NULL)
        return;
    *listing = (listing_t){tally, tally->storage_number, now_ms};
    if (driver->list(self, PREFIX, on_listed, listing) != 0) {
        imi_mem_free(&im->mem, listing);
        return;
    }
    tally->is_listing = true;
    tally->must_list = false;
    tally->has_listed = true;
    tally->listed_at_ms = now_ms;
}

/* ---- life --------------------------------------------------------------------------------------
 */

void imi_tally_attach(imagine_t *im) {
    imi_tally_t *tally = im->tally;
    void *self;
    tally->storage_number++;
    tally->under_way = 0;
    tally->round_left = 0;
    tally->is_in_round = false;
    tally->is_listing = false;
    for (size_t i = 0; i < im->provider_count; i++)
        imi_pool_retell(im->providers[i]->pool);
    if (find_store(tally, &self) != NULL && untold_count(tally) > 0)
        start_timer(tally, ROUND_MS);
    imi_tally_refresh(im, true);
}

bool imi_tally_end(imagine_t *im) {
    imi_tally_t *tally = im->tally;
    void *self;
    if (tally->has_ended || tally->is_ending)
        return tally->has_ended;
    stop_timer(tally);
    if (find_store(tally, &self) != NULL && (tally->is_in_round || untold_count(tally) > 0))
        start_timer(tally, END_MS);
    tally->is_ending = true;
    tally->has_ended = tally->timer == NULL;
    if (!tally->has_ended && !tally->is_in_round)
        begin_round(tally);
    return tally->has_ended;
}

int imi_tally_open(imagine_t *im) {
    im->tally = imi_mem_zalloc(&im->mem, sizeof(*im->tally));
    if (im->tally == NULL)
        return IMAGINE_ENOMEM;
    im->tally->im = im;
    return 0;
}

void imi_tally_close(imagine_t *im) {
    IMI_ASSERT(im->tally == NULL || im->tally->timer == NULL);
    imi_mem_free(&im->mem, im->tally);
    im->tally = NULL;
}
