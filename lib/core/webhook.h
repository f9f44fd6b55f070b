/* webhook.h: how the outcome of a job reaches whoever asked to be told: a durable queue that
 * delivers at least once. The receiver sees one webhook-id per task, whatever happens. */
#ifndef IMI_CORE_WEBHOOK_H
#define IMI_CORE_WEBHOOK_H

#include <stddef.h>
#include <stdint.h>

#include "core/webhook_sign.h"
#include "imagine.h"
#include "imagine/io.h"
#include "wire/heap.h"
#include "wire/list.h"
#include "wire/map.h"

#define IMI_WEBHOOKS_IN_FLIGHT_MAX 64
#define IMI_WEBHOOKS_PER_HOST_MAX 4
#define IMI_WEBHOOKS_MAX 100000                           /* in memory; then new ones are refused */
#define IMI_WEBHOOKS_SIZE_MAX ((size_t)256 * 1024 * 1024) /* their bodies, likewise */
#define IMI_WEBHOOKS_ENDED_MAX 1000                       /* kept to be looked at, sent again */
#define IMI_WEBHOOKS_ENDED_SIZE_MAX ((size_t)64 * 1024 * 1024) /* then the oldest of them go */
#define IMI_WEBHOOKS_SHOWN_MAX 200

/* Of a client. */
typedef struct imi_webhooks {
    imi_map_t by_id;  /* -> imi_webhook_t, which it owns */
    imi_map_t hosts;  /* -> imi_webhook_host_t */
    imi_heap_t due;   /* those that wait for their time; has room for all */
    imi_list_t ready; /* hosts that have one to send and may, by turns */
    imi_list_t ended; /* oldest first */
    size_t ended_count, ended_size;
    size_t size; /* of all bodies */
    uint32_t in_flight;
    imagine_timer_t *timer; /* for the first that is due */
    int64_t timer_at_ms;
    imi_webhook_secret_t secret;
} imi_webhooks_t;

int imi_webhooks_open(imagine_t *im); /* behind im->seed; 0 or IMAGINE_ENOMEM */
void imi_webhooks_close(imagine_t *im);
/* Cancels what is in flight and forgets all; the records in the store go on in the next process. */
void imi_webhooks_reset(imagine_t *im);
/* WEBHOOK_SECRET; NULL or "": none. 0 or IMAGINE_ENOMEM. */
int imi_webhooks_set_secret(imagine_t *im, const char *text);

/* Has `body` (JSON) posted to `url`. Both are copied, and in the store's hands before the first try
 * begins. A second one for the same task changes nothing. 0, IMAGINE_EINVAL (the body is no JSON,
 * or the task's id has odd characters), IMAGINE_EADDRESS (no http or https address, or one with
 * user info), IMAGINE_EBUSY (too much waits), IMAGINE_ENOMEM. */
int imi_webhook_enqueue(imagine_t *im, const char *url, const char *body, size_t body_size,
                        const char *task_id);
/* A record that the store brought: goes on with it if it is not over. */
void imi_webhook_load(imagine_t *im, const char *key, const void *value, size_t value_size);

#endif
