/* task.h: long work that outlives its request: a video, mostly. Its record is in memory and in the
 * store; one reader per task, a request without a caller; the outcome is kept for 24 hours. */
#ifndef IMI_CORE_TASK_H
#define IMI_CORE_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "imagine/provider.h"
#include "core/action.h"
#include "core/client.h"
#include "core/pool.h"
#include "core/sync.h"
#include "wire/list.h"

#define IMI_TASK_PREFIX "task/"               /* of keys in the store */
#define IMI_TASK_CANCEL_PREFIX "live/cancel/" /* another instance has ended one of ours */
#define IMI_TASK_KEPT_MS (24 * 60 * 60 * 1000)
#define IMI_TASKS_SIZE_MAX                                                \
    ((size_t)256 * 1024 * 1024) /* outcomes in memory; then the oldest go \
                                 */
#define IMI_TASK_ID_SIZE_MAX 67 /* 64 of the caller's, and "-10" for one of ten pictures */
#define IMI_TASK_TIME_MAX_MS (2 * 60 * 60 * 1000) /* a provider that needs longer has lost it */

typedef enum imi_task_state {
    IMI_TASK_PROCESSING,
    IMI_TASK_SUCCESS,
    IMI_TASK_FAILED
} imi_task_state_t;

typedef struct imi_task {
    char *id; /* ours, or the caller's: says nothing of the provider's */
    char *provider;
    char *model;       /* as asked */
    char *upstream_id; /* the provider's */
    char *fingerprint; /* of the token that made it; NULL: none */
    char *sealed; /* that token, for processes that do not have it; NULL: no key to seal with */
    imi_task_state_t state;
    imi_action_t action;
    bool is_sent;      /* its provider may have been asked */
    bool is_work;      /* noted as ours in the store (peers.h) */
    bool is_lost;      /* to another instance: nothing of it is written or told here any more */
    bool is_told;      /* the store has its webhook, or never will (tell.c) */
    char *params;      /* a job that could begin again: what was asked for, as JSON; else NULL */
    char *webhook_url; /* NULL: none */
    char *outcome;     /* the result as JSON, or the reason of the failure */
    size_t outcome_size;
    uint32_t predict_s;
    double progress;         /* 0…1; negative: not known */
    uint32_t queue_position; /* 0: not known, or not waiting */
    int64_t created_unix_ms;
    int64_t ended_unix_ms;
    imagine_request_t *reader; /* or a job's worker. Borrowed: it lets go when it ends */
    imi_list_t link;           /* in ended_tasks once it has ended */
    imi_list_t untold;         /* in untold_tasks while the webhook queue refuses it */
} imi_task_t;

/* 16 to IMI_TASK_ID_SIZE_MAX letters, digits, "-" and "_". */
bool imi_task_is_id(const char *text);
/* A new one for a request, under its params.id if that is free. `is_sent`: a provider took the work
 * on, or may have. NULL: no memory. */
imi_task_t *imi_task_new(imagine_request_t *request, const char *upstream_id, uint32_t predict_s,
                         bool is_sent);
/* The provider has an id for it, by which it can be read after a restart. */
void imi_task_took(imi_task_t *task, const imagine_call_t *call, const char *upstream_id,
                   uint32_t predict_s);
void imi_task_save(imagine_t *im, const imi_task_t *task);
/* As imi_sync_wait_written(). */
bool imi_task_wait_saved(imagine_t *im, const imi_task_t *task, imi_sync_waiter_t *waiter);
/* `outcome`: the result as JSON, an address, or the reason of the failure. */
void imi_task_ended(imagine_t *im, imi_task_t *task, bool has_succeeded, const char *outcome);

/* The token that made it, counted as in use: one of the pool, or as it was sealed. NULL: neither.
 */
imi_token_t *imi_task_hold_token(imagine_t *im, const imi_task_t *task, imi_pool_t *pool);

/* Whoever asked to be told of its end is, or never can be. */
void imi_task_told(imagine_t *im, imi_task_t *task);

/* Answers a task-status request, from memory or the store. */
void imi_task_answer(imagine_request_t *request, const char *id);

/* A record that the store brought: goes on reading if it is not over. */
void imi_task_load(imagine_t *im, const char *key, const void *value, size_t value_size);
/* Somebody says that a task, perhaps one of ours, was canceled: its record tells. */
void imi_task_cancel_load(imagine_t *im, const char *key, const void *value, size_t value_size);
/* Tasks without a reader get one, if what they need is configured by now. */
void imi_tasks_resume(imagine_t *im);
/* Done whenever a task is made, asked for or told: no timer that wakes an idle process. */
void imi_tasks_forget_old(imagine_t *im);
void imi_tasks_reset(imagine_t *im);

#endif
