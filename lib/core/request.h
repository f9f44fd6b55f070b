/* request.h: one picture asked for: from parameters to one callback, over as many calls as it
 * takes.
 *
 *   created -> (pictures fetched) -> (state loaded) -> attempt -> done
 *                                        ^------------- rotate | wait for a token
 *
 * When the caller leaves after a provider took the work on, the request is over for the caller, and
 * stays in memory for the call until that ends (`is_over` is then true). */
#ifndef IMI_CORE_REQUEST_H
#define IMI_CORE_REQUEST_H

#include <stdatomic.h>
#include <stdbool.h>

#include "core/action.h"
#include "core/call.h"
#include "core/client.h"
#include "core/exchange.h"
#include "core/log.h"
#include "core/media.h"
#include "core/registry.h"
#include "core/sync.h"
#include "core/task.h"
#include "wire/arena.h"
#include "wire/list.h"
#include "wire/str.h"

/* As imi_log(), with the request's number in front. */
#define imi_trace(request, ...) imi_log_trace((request)->im, (request)->number, __VA_ARGS__)

#define IMI_IMAGES_MAX 16

typedef struct imi_batch imi_batch_t;

enum { IMI_GAPS_MAX = 11 }; /* `url`, and ten pictures */

/* A long text that a JSON text lacks, and where it belongs. */
typedef struct imi_gap {
    size_t at;
    imagine_slice_t filling;
} imi_gap_t;

struct imagine_request {
    atomic_uint refs;      /* the callers', the list's, the call's */
    atomic_bool has_ended; /* the result stands */
    atomic_bool is_over;   /* and `done` has run */
    bool is_starting;      /* inside the call that accepts it: an end is put off */
    bool is_giving_up;     /* a task: what comes of it is nobody's */
    imagine_t *im;         /* memory is held by a reference; use it only on the loop's thread */
    imi_mem_t mem;         /* a copy: outlives the client */
    imi_list_t link;
    uint32_t number;
    imi_action_t action;
    imagine_done_cb done;
    void *user;

    imi_arena_t arena;    /* lives as long as the request */
    imi_arena_t pictures; /* decoded and fetched input; gone when the provider took it */
    imagine_params_t params;
    imagine_image_t *images; /* params.images as our own array */
    const char *image_field; /* how the caller names it in a message */
    size_t next_image;       /* to be fetched or checked */
    void (*on_pictures)(imagine_request_t *request);
    void (*release)(void *owner);
    void *owner;
    uint32_t borrower_count; /* requests that may still send these pictures */
    uint32_t attempts;
    const char *task_id_asked;

    uint64_t deadline_at_ms;
    imagine_timer_t *timer; /* the deadline; at the very end, the deferred end */
    imagine_timer_t *wait;  /* a pause between attempts */
    bool cancels_task;      /* task_id_asked's */
    bool is_delivering;     /* inside params.on_piece: so is leaving */
    bool has_left;          /* … which the caller did */
    bool is_paused;         /* by imagine_pause() */
    bool is_fetching;
    bool has_json;
    bool is_input_unwanted;  /* by this one */
    bool has_zero_guidance;  /* the caller wrote 0, which in params means that none was given */
    imi_sync_waiter_t state; /* waits for the first load of the store */

    imi_catalogue_t *catalogue;
    const imi_catalogue_provider_t *entry;
    const imi_model_t *model; /* NULL: the catalogue lacks it */
    const char *api_id;       /* what the provider calls it */
    const char *key;          /* what the caller calls it, without the provider */
    imi_provider_t *provider;
    imagine_call_t *call;      /* the attempt under way */
    imagine_call_t *kept;      /* the one that succeeded: the result lies in its memory */
    imi_batch_t *batch;        /* it is made of several (batch.c) */
    imi_task_t *task;          /* this request is the reader of a task */
    imi_task_t *job;           /* this request is the worker of a job (job.c) */
    imagine_request_t *outer;  /* a worker: who may wait for it; a reference */
    imagine_request_t *worker; /* a job: its result lies there; a reference */
    const char *job_id;
    imi_slice_t outcome; /* of the task that was asked about */

    imi_exchange_t fetch;          /* of a picture, or of the result */
    struct imi_delivery *delivery; /* the result is on its way to the caller: delivery.h */

    imagine_result_t result;
    imi_buf_t json;
    imi_gap_t *gaps; /* where long addresses belong in `json` */
    size_t gap_count;
    void *bytes;            /* downloaded result; NULL: none */
    const void *bytes_view; /* the result's bytes: these, or decoded ones in `pictures` */
    size_t bytes_size;
    const char *bytes_mime;
};

/* A new request with one reference, the caller's; not yet in the client's list. NULL: no memory. */
imagine_request_t *imi_request_new(imagine_t *im, imi_action_t action);
/* Puts it on its way: from here on it ends with `done`; `error` and `message`: what is wrong with
 * it already. 0, or an error: it was never accepted. */
int imi_request_start(imagine_request_t *request, int error, const char *message);
/* Ends it early, from the next turn of the loop on. */
void imi_request_cancel(imagine_request_t *request);
/* Likewise for one that is a task's reader, after a restart. IMAGINE_ENOTOKEN, EPROVIDER …: not
 * possible with what is configured now; the task stays as it is. */
int imi_request_resume(imagine_request_t *request, imi_task_t *task);

/* The reader of a task that is somebody else's now: stops reading, without a word to the provider.
 */
void imi_request_stop_reading(imagine_request_t *reader);
/* The reader of a task that was given up: stops reading, and tells the provider. */
void imi_request_give_up(imagine_request_t *reader);
/* Tells the provider that nobody wants what this request has it do, as far as it can be told;
 * before its call is stopped, which knows the work's id and token. */
void imi_request_tell_cancel(const imagine_request_t *request);

/* `inner` sends the pictures of `outer`, and holds it until they are not needed any more. */
void imi_request_lend_input(imagine_request_t *outer, imagine_request_t *inner);

/* Reports of the call under way (call.c). */
void imi_request_call_ended(imagine_request_t *request, imagine_call_t *call);
/* An answer blamed the token (IMAGINE_EQUOTA, ERATE, ETOKEN, EPLAN): sets it aside. False: it
 * blamed something else, or there is no other token to try. */
bool imi_request_mark_token(imagine_request_t *request, const imagine_call_t *call, int reason);
/* The provider took it on as a task: answers the caller, who may be gone after that. */
void imi_request_became_task(imagine_request_t *request, const char *task_id, uint32_t predict_s);

/* Ends it for the caller; `message` in any memory, masked and cleaned here. */
void imi_request_fail(imagine_request_t *request, int error, const char *message);
void imi_request_succeed(imagine_request_t *request);
/* What it brought, which nobody is told any more, becomes a task that has ended. */
void imi_request_keep(imagine_request_t *request);
/* The caller leaves (IMAGINE_ECANCELED), or the deadline has passed (IMAGINE_ETIMEDOUT). */
void imi_request_abandon(imagine_request_t *request, int error, bool is_closing);
/* Before closing: do results lie in files yet? They end their requests as soon as they have been
 * read, within IMI_HURRY_MS. */
bool imi_request_wait_for_files(imagine_t *im);

#endif
