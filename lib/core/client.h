/* client.h: what one client holds together, and what all its parts need: the clocks, random
 * numbers, the door through which other threads come in. It knows its parts by name only; who opens
 * and closes them is lifetime.c. */
#ifndef IMI_CORE_CLIENT_H
#define IMI_CORE_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imagine.h"
#include "imagine/io.h"
#include "catalogue/catalogue.h"
#include "core/pool.h"
#include "wire/arena.h"
#include "wire/list.h"
#include "wire/map.h"
#include "wire/mem.h"
#include "wire/urlcheck.h"

#define IMI_EPOCH_SIZE 16 /* hex digits */

typedef struct imi_provider imi_provider_t;
typedef struct imi_sync imi_sync_t;
typedef struct imi_webhooks imi_webhooks_t;
typedef struct imi_keyring imi_keyring_t;
typedef struct imi_peers imi_peers_t;
typedef struct imi_tally imi_tally_t;

/* Time limits of one exchange each, in ms; the names are those of the settings. */
typedef struct imi_limits {
    uint32_t text_ms, image_ms, download_ms, status_ms, webhook_ms;
    uint32_t poll_interval_ms;
} imi_limits_t;

typedef enum imi_sample_mode { IMI_SAMPLE_AUTO, IMI_SAMPLE_ON, IMI_SAMPLE_OFF } imi_sample_mode_t;

struct imagine {
    atomic_uint refs; /* the owner's, and one per request: memory only */
    atomic_uint door; /* threads inside imi_run, plus IMI_DOOR_CLOSED */
    imi_mem_t mem;

    const imagine_io_t *io;
    imagine_io_t *own_io; /* the default one, ours to close; NULL: the host's */
    bool has_thread;      /* own_io runs on a private thread */
    bool is_manual;       /* own_io turns inside imagine_turn() */
    imagine_log_cb log;   /* the options', for what is shared and may outlive this client */
    void *log_user;

    uint32_t timeout_ms;
    uint32_t in_flight_max;
    uint64_t response_size_max;
    int32_t log_level;
    imi_limits_t limits;
    imi_sample_mode_t sample_mode;
    uint64_t opened_at_ms;
    uint64_t seed[2]; /* of every map that strangers' texts are keys of */

    imi_arena_t hosts_arena;
    const imi_hosts_t *allowed_hosts; /* NULL: none */

    char **secrets; /* never in a message: see secret.h */
    size_t secret_count;

    imi_catalogue_t *catalogue;
    imi_provider_t **providers; /* in order of registration */
    size_t provider_count;
    imi_pool_changed_cb on_mark; /* of every provider's pool, with the provider */
    imi_pool_counted_cb on_count;
    imi_sync_t *sync;
    struct imi_hosting *hosting;
    uint32_t former_syncs;  /* storages that were replaced and are still closing */
    imi_map_t tasks;        /* id -> imi_task_t */
    imi_list_t ended_tasks; /* oldest first */
    imi_list_t untold_tasks;
    imagine_timer_t *tell_timer; /* for the next try at all of them */
    uint64_t tell_pause_ms;
    size_t kept_size; /* of all outcomes */
    imi_webhooks_t *webhooks;
    char epoch[IMI_EPOCH_SIZE + 1];       /* of the storage, see epoch.h; "": not known yet */
    char epoch_claim[IMI_EPOCH_SIZE + 1]; /* ours, while it is being written; "": none is */
    imi_peers_t *peers;
    imi_tally_t *tally;
    imi_keyring_t *keyring; /* NULL: nothing is sealed */

    imi_list_t requests; /* accepted and not over, and those whose work goes on without a caller */
    uint32_t last_number;
    imagine_counters_t counters;

    bool is_closing;
    bool is_closed;  /* all but the io is gone */
    bool is_awaited; /* imagine_close() waits outside of the loop, and closes the io itself */
    imagine_timer_cb close_turn; /* the next step of closing */
    imagine_timer_t *close_timer;
    imagine_closed_cb on_closed;
    void *closed_user;
};

#define IMI_DOOR_CLOSED 0x80000000u

/* Runs `step` on the loop's thread and waits for it: at once when this is that thread. 0, or
 * IMAGINE_ECLOSED when the client is gone. `step` returns 1. */
int imi_run(imagine_t *im, imagine_await_cb step, void *user);

/* The same for a step that waits; IMAGINE_EDEADLK where waiting is not possible. */
int imi_wait_in_door(imagine_t *im, imagine_await_cb step, void *user, int64_t timeout_ms);

/* ALLOW_PRIVATE_HOSTS. IMAGINE_EINVAL: *out_bad is the item that is wrong. */
int imi_client_allow_hosts(imagine_t *im, const char *list, const char **out_bad);

imi_clock_t imi_clock(const imagine_t *im);
uint64_t imi_now_ms(const imagine_t *im);
/* 64 random bits; from the clock when the system has none to give. */
uint64_t imi_random64(const imagine_t *im);

void imi_client_retain(imagine_t *im);
void imi_client_release(imagine_t *im); /* memory only */
/* Closing: `close_turn` runs in a later turn of the loop. */
void imi_client_close_later(imagine_t *im, uint64_t delay_ms);
/* A request has left the list, or a former storage is closed: closing may go on. */
void imi_client_request_gone(imagine_t *im);

#endif
