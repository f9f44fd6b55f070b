/* sim.h: the library in a world of one seed: virtual time, scripted or random answers, a store that
 * can be slow or away. It is one more imagine_io_t, so whatever it finds, it found in the real
 * core.
 *
 * A story scripts answers and asserts the trace; chaos lets the seed decide and asserts what always
 * holds:
 *   - every accepted request calls back once;
 *   - a token that was told to be exhausted is not used again before its time;
 *   - work that a provider took on, or may have, is not asked for twice;
 *   - nothing is left in the end: no byte, no timer, no exchange. */
#ifndef IMI_TEST_SIM_H
#define IMI_TEST_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imagine.h"
#include "imagine/io.h"
#include "support/failing_mem.h"

#define SIM_START_UNIX_MS INT64_C(1767859200000) /* 2026-01-08T08:00:00Z, 16:00 in Beijing */
#define SIM_REQUESTS_MAX 512

typedef struct sim_event sim_event_t;
typedef struct sim_reply sim_reply_t;

typedef struct sim_request {
    imagine_request_t *request;
    struct sim *sim;
    int done_count;
    int status;
    int http_status;
    uint64_t retry_after_ms;
    uint64_t done_at_ms;
    char message[256];
    char url[256];
    char task_id[64];
    char task_state[16];
} sim_request_t;

typedef struct sim {
    imagine_t *im;
    imagine_io_t io;
    failing_mem_t mem;
    imagine_allocator_t allocator;
    uint64_t seed, random;
    uint64_t now_ms;
    int64_t unix_ms;
    sim_event_t **heap;
    size_t event_count, event_capacity;
    uint64_t sequence;
    sim_reply_t *replies, **last_reply; /* scripted, first in first out */
    size_t exchange_count, timer_count; /* alive */
    char *trace;                        /* lines of level trace */
    size_t trace_size;
    char *log; /* lines of the other levels */
    size_t log_size;
    sim_request_t requests[SIM_REQUESTS_MAX];
    size_t request_count, accepted_count, done_count;
    bool is_chaos;
    bool is_closed;
    struct sim_chaos *chaos;
    struct sim_store *store;
} sim_t;

/* A client on a world of its own; the provider "gitee" and all others are there, without tokens. */
sim_t *sim_open(uint64_t seed);
/* As sim_open(), but every allocation from the n-th on fails once (0: none). NULL: the client could
 * not be opened, and left nothing behind. */
sim_t *sim_open_failing(uint64_t seed, size_t fail_at);
/* Closes the client and fails the test if anything is left. */
void sim_close(sim_t *sim);

/* The wall clock jumps; the monotonic one does not. */
void sim_set_unix_ms(sim_t *sim, int64_t unix_ms);

/* What the next exchange meets: an answer after delay_ms, with headers "Name: value\n…" or NULL. */
void sim_reply(sim_t *sim, uint64_t delay_ms, int status, const char *body);
void sim_reply_with(sim_t *sim, uint64_t delay_ms, int status, const char *headers,
                    const char *body);
/* It breaks instead; error IMAGINE_E…. */
void sim_break(sim_t *sim, uint64_t delay_ms, int error, bool was_sent);
/* It never ends by itself; only its own time limit ends it. */
void sim_stall(sim_t *sim);
/* From here on every exchange without a scripted reply gets a random one. */
void sim_chaos(sim_t *sim);
/* Likewise, in the same chaos: no work is asked for twice by both together. */
void sim_chaos_join(sim_t *sim, const sim_t *first);

/* Likewise, for a client that goes on after the other one was closed, which comes next. */
void sim_chaos_next_life(sim_t *sim, const sim_t *former);

sim_request_t *sim_generate(sim_t *sim, const char *model);
sim_request_t *sim_start(sim_t *sim, const char *action, const char *json);
sim_request_t *sim_start_params(sim_t *sim, const imagine_params_t *params);

/* Lets simulated time pass: until nothing is due any more, or `ms` have passed. */
void sim_run(sim_t *sim, uint64_t ms);
/* One event; false: there is none. */
bool sim_step(sim_t *sim);

/* Runs until nothing is due for a day, then compares the trace since the last call. */
void sim_expect(sim_t *sim, const char *trace);
void sim_forget_trace(sim_t *sim);

uint64_t sim_random(sim_t *sim);
/* The seed of round i: from SIM_SEED in the environment, or fixed; printed when a test fails. */
uint64_t sim_seed(int round);

/* ---- a store in the same world -----------------------------------------------------------------
 */

typedef enum sim_store_mode { SIM_STORE_UP, SIM_STORE_AWAY, SIM_STORE_SILENT } sim_store_mode_t;
typedef struct sim_store sim_store_t;
/* Its content outlives the client; free it after sim_close(). */
sim_store_t *sim_store_new(void);
void sim_store_free(sim_store_t *store);
void sim_store_set_mode(sim_store_t *store, sim_store_mode_t mode);
void sim_store_set_delay(sim_store_t *store, uint64_t delay_ms);
/* Several clients may have it, each in a world of its own whose clock the test keeps close to the
 * others'; `tells`: it has a watch. */
void sim_store_share(sim_store_t *store, bool tells);
/* As a server that begins anew: who watches is told of a gap. */
void sim_store_empty(sim_store_t *store);
/* Whatever concerns keys of this prefix fails; NULL: nothing does. */
void sim_store_refuse(sim_store_t *store, const char *prefix);
size_t sim_store_count(const sim_store_t *store);
bool sim_store_has(const sim_store_t *store, const char *prefix);
/* True if the text stands anywhere in it. */
bool sim_store_contains(const sim_store_t *store, const char *text);
/* Tampers with the first value that holds `text`, which `other` takes the place of. */
void sim_store_replace(sim_store_t *store, const char *text, const char *other);
void sim_attach_store(sim_t *sim, sim_store_t *store);

#endif
