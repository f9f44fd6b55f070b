/* pool.h: the tokens of one provider, and which of them serves next. No I/O; clocks come in as
 * arguments. Picking is O(1) in the number of tokens: healthy tokens stand in rows by how many
 * calls they have in flight (lane.h); those set aside wait in heaps for their time. */
#ifndef IMI_CORE_POOL_H
#define IMI_CORE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imagine.h"
#include "wire/buf.h"
#include "wire/mem.h"
#include "wire/sha256.h"

typedef enum imi_token_state {
    IMI_TOKEN_ACTIVE,
    IMI_TOKEN_COOLING,   /* asked too often; back by the monotonic clock */
    IMI_TOKEN_EXHAUSTED, /* quota spent; back by the wall clock */
    IMI_TOKEN_INVALID,   /* refused; one probe an hour, by the wall clock */
} imi_token_state_t;

typedef struct imi_pool imi_pool_t;
typedef struct imi_token
    imi_token_t; /* counted: lives while a call holds it, even out of the list */

typedef enum imi_count { IMI_COUNT_SERVED, IMI_COUNT_FAILED, IMI_COUNT_KINDS } imi_count_t;

typedef struct imi_clock {
    uint64_t now_ms; /* monotonic */
    int64_t unix_ms; /* wall */
} imi_clock_t;

/* A mark that changed and should be kept: state ACTIVE means "forget it". `model` "" : the whole
 * token. Cooling is told only from a minute on: shorter ones are not worth a write. The pool may
 * not be touched inside. */
typedef void (*imi_pool_changed_cb)(const char *fingerprint, const char *model,
                                    imi_token_state_t state, int64_t until_unix_ms, void *user);

imi_pool_t *imi_pool_new(const imi_mem_t *mem, const uint64_t seed[2], imi_pool_changed_cb changed,
                         void *user);
void imi_pool_free(imi_pool_t *pool); /* no call may hold a token any more */

/* The text of the setting (token_list.h). Tokens that stay keep their state. 0, IMAGINE_EINVAL,
 * IMAGINE_ENOMEM; on an error nothing has changed. */
int imi_pool_set_tokens(imi_pool_t *pool, const char *list, imi_clock_t clock);

/* The healthy token with the fewest calls in flight, the one unused longest first; counts the call.
 * Tokens set aside whose time has come are looked at first; one that is to be probed (INVALID, or
 * EXHAUSTED without a known end) serves exactly one call until that ends. While healthy ones can
 * serve, one probe a second is begun at most, so that no request has to try many dead tokens. NULL:
 * none can serve this model now. */
imi_token_t *imi_pool_pick(imi_pool_t *pool, const char *model, imi_clock_t clock);
/* A particular token by fingerprint, in whatever state, for a task that is bound to it; counts the
 * call. NULL: not in the list. */
imi_token_t *imi_pool_hold(imi_pool_t *pool, const char *fingerprint);
/* One that need not be in the list, by its text, for a task that was bound to it elsewhere: it
 * serves nobody else. NULL: no memory. */
imi_token_t *imi_pool_hold_text(imi_pool_t *pool, const char *text);
void imi_pool_release(imi_pool_t *pool,
                      imi_token_t *token); /* the call that picked or held it is over */

const char *imi_token_text(const imi_token_t *token);
const char *imi_token_fingerprint(const imi_token_t *token);
/* False once another call has set it aside meanwhile. */
bool imi_token_may_serve(const imi_token_t *token);
uint32_t imi_token_index(const imi_token_t *token); /* place in the list, from 1: "#1" in traces */

/* What a call learned. `model` NULL: the whole token. Exhaustion holds for the token's group too. A
 * mark never shortens one that holds longer, and only a success of a probe, or a reset, takes one
 * back early. A mark for one model just ends (is_probed is for whole tokens). Marks do not count as
 * failed: imi_pool_failed() does. */
void imi_pool_exhausted(imi_pool_t *pool, imi_token_t *token, const char *model,
                        int64_t until_unix_ms, bool is_probed, imi_clock_t clock);
/* retry_after_ms 0: 5 s, doubling to 10 min while it goes on. Returns the time it cools, in ms. */
uint64_t imi_pool_cooling(imi_pool_t *pool, imi_token_t *token, uint64_t retry_after_ms,
                          imi_clock_t clock);
void imi_pool_invalid(imi_pool_t *pool, imi_token_t *token,
                      imi_clock_t clock); /* an hour, probed */
/* Not in the token's plan: passed over for this model for an hour. */
void imi_pool_no_plan(imi_pool_t *pool, imi_token_t *token, const char *model, imi_clock_t clock);
void imi_pool_succeeded(imi_pool_t *pool, imi_token_t *token, const char *model, imi_clock_t clock);
void imi_pool_failed(imi_pool_t *pool, imi_token_t *token); /* counts; the state stays */

/* A mark from the store (another instance, or the last life): later ends win. ACTIVE: someone reset
 * it. */
void imi_pool_apply(imi_pool_t *pool, const char *fingerprint, const char *model,
                    imi_token_state_t state, int64_t until_unix_ms, imi_clock_t clock);

/* Until when it is exhausted (`model` "": as a whole), in Unix ms; 0: it is not. */
int64_t imi_pool_exhausted_until(const imi_pool_t *pool, const char *fingerprint,
                                 const char *model);

/* ---- for tally.h: what is counted here, and by others, together ----
 *
 * A token with counts that the storage was not told stands in a queue. Whatever is told (a total of
 * the storage's) becomes part of what imi_pool_details() says. */

typedef void (*imi_pool_counted_cb)(void *user);
/* `counted` runs, with the pool's user, for each token that comes into the queue. */
void imi_pool_set_counted(imi_pool_t *pool, imi_pool_counted_cb counted);

typedef struct imi_untold {
    char fingerprint[IMI_FINGERPRINT_SIZE + 1];
    uint64_t amounts[IMI_COUNT_KINDS]; /* 0: none, or they are on their way */
} imi_untold_t;

size_t imi_pool_untold_count(const imi_pool_t *pool); /* tokens in the queue */
/* The first leaves the queue; its amounts are on their way until imi_pool_told(). False: there is
 * none. */
bool imi_pool_take_untold(imi_pool_t *pool, imi_untold_t *out);
/* The storage's answer to an amount. Negative: it was not added, and is to be told again. */
void imi_pool_told(imi_pool_t *pool, const char *fingerprint, imi_count_t kind, uint64_t amount,
                   int64_t total, uint64_t now_ms);
/* What the storage had at some time after it was asked. */
void imi_pool_heard(imi_pool_t *pool, const char *fingerprint, imi_count_t kind, int64_t total,
                    uint64_t asked_at_ms);
/* Another storage, which knows nothing of ours. */
void imi_pool_retell(imi_pool_t *pool);

bool imi_pool_is_empty(const imi_pool_t *pool); /* no token at all */
/* Can a token serve now (any model)? For the list of models. */
bool imi_pool_can_serve(imi_pool_t *pool, imi_clock_t clock);
/* Milliseconds until the first token can serve the model; 0: one can now; UINT64_MAX: never. */
uint64_t imi_pool_wait_ms(imi_pool_t *pool, const char *model, imi_clock_t clock);

void imi_pool_stats(imi_pool_t *pool, imi_clock_t clock, imagine_token_stats_t *out);
/* JSON array of {fingerprint, group?, state, until (ISO 8601 or null), inFlight, served, failed,
 * models?} */
void imi_pool_details(imi_pool_t *pool, imi_clock_t clock, imi_buf_t *out);
void imi_pool_reset(imi_pool_t *pool); /* everything active again; `changed` tells each */
/* `changed` tells every mark that still lasts, as when it was made. */
void imi_pool_tell_marks(const imi_pool_t *pool, imi_clock_t clock);
/* Lanes and rows looked at so far: what picking costs, for tests. */
uint64_t imi_pool_step_count(const imi_pool_t *pool);

#endif
