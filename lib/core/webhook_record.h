/* webhook_record.h: one webhook, as the store keeps it and as an administrator sees it. */
#ifndef IMI_CORE_WEBHOOK_RECORD_H
#define IMI_CORE_WEBHOOK_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imagine/io.h"
#include "wire/heap.h"
#include "wire/json.h"
#include "wire/list.h"

#define IMI_WEBHOOK_KEY_PREFIX "webhook/"
#define IMI_WEBHOOK_ID_PREFIX "msg_"
#define IMI_WEBHOOK_TASK_ID_SIZE_MAX 64
#define IMI_WEBHOOK_KEY_SIZE                                                  \
    (sizeof(IMI_WEBHOOK_KEY_PREFIX) - 1 + sizeof(IMI_WEBHOOK_ID_PREFIX) - 1 + \
     IMI_WEBHOOK_TASK_ID_SIZE_MAX + 1)
#define IMI_WEBHOOK_URL_SIZE_MAX 8192
#define IMI_WEBHOOK_ERROR_SIZE 160
#define IMI_WEBHOOK_DEPTH_MAX 64 /* of a body */
#define IMI_WEBHOOK_TRIES_MAX 10

typedef struct imi_webhook_host imi_webhook_host_t; /* webhook.c's */

typedef enum imi_webhook_state {
    IMI_WEBHOOK_PENDING,
    IMI_WEBHOOK_DELIVERED,
    IMI_WEBHOOK_FAILED
} imi_webhook_state_t;

typedef struct imi_webhook {
    imagine_t *im;
    char *id; /* "msg_<task id>": a task that ends twice, because of a crash, tells it once */
    char *url;
    char *body; /* JSON */
    size_t body_size;
    imi_webhook_state_t state;
    uint32_t tries;
    int32_t last_status;                     /* 0: there was no answer */
    char last_error[IMI_WEBHOOK_ERROR_SIZE]; /* "": none */
    int64_t created_unix_ms;
    int64_t next_unix_ms; /* pending: of the next try */
    int64_t ended_unix_ms;

    /* the queue's */
    imi_webhook_host_t *host;
    imi_heap_node_t due; /* while it waits for its time */
    imi_list_t link;     /* in its host's waiting ones, or in the queue's ended ones */
    imagine_http_exchange_t *exchange;
    imagine_slice_t piece;
    int32_t status;          /* of the try in flight; 0: no answer yet */
    uint64_t retry_after_ms; /* as the receiver asks for; 0: it does not */
} imi_webhook_t;

/* A task's id may be part of ours: of a header, of what is signed, of a key. */
bool imi_webhook_is_task_id(imi_slice_t text);
const char *imi_webhook_task_id(const imi_webhook_t *webhook);
const char *imi_webhook_state_name(imi_webhook_state_t state);

/* "msg_<task id>" and copies of the others. NULL: no memory. */
imi_webhook_t *imi_webhook_new(imagine_t *im, imi_slice_t task_id, const char *url,
                               imi_slice_t body);
void imi_webhook_free(imi_webhook_t *webhook);

void imi_webhook_save(const imi_webhook_t *webhook);
/* NULL: not one of ours, or no memory. */
imi_webhook_t *imi_webhook_read(imagine_t *im, const char *key, imi_slice_t json);

/* {id, taskId, url, state, tries, lastStatus, lastError, nextAt}; the address without its query. */
void imi_webhook_write(imi_json_writer_t *writer, const imi_webhook_t *webhook);

#endif
