/* tell.c: see tell.h.
 *
 *   ended -> queued -> told: the queue's own record is in the store
 *      \-> untold -> (after a pause) queued …
 *
 * The task's record says whether it is told. Where it says no, the process may have died on the way
 * from one record to the other: the next one tells, under the same webhook-id. */
#include "core/tell.h"

#include <string.h>

#include "core/log.h"
#include "core/webhook.h"
#include "core/webhook_record.h"
#include "wire/json.h"
#include "wire/str.h"

#define PAUSE_MS 5000 /* doubling */
#define PAUSE_MAX_MS (5 * 60 * 1000)
#define FAILURES_MAX 16 /* at one go: what refuses so many refuses the others, too */

/* POST body of http-api.md. */
static int enqueue(imagine_t *im, const imi_task_t *task) {
    bool is_done = task->state == IMI_TASK_SUCCESS;
    const char *outcome = task->outcome != NULL ? task->outcome : "";
    imi_json_writer_t writer;
    imi_buf_t body;
    int err;
    imi_buf_init(&body, &im->mem, 0);
    imi_json_begin(&writer, &body);
    imi_json_open_object(&writer, NULL);
    imi_json_put_text(&writer, "taskId", task->id);
    imi_json_put_text(&writer, "provider", task->provider);
    imi_json_put_text(&writer, "status", is_done ? "completed" : "failed");
    if (is_done)
        imi_json_put_raw(&writer, "result", imi_slice_of(outcome));
    else
        imi_json_put_text(&writer, "error", outcome);
    imi_json_close_object(&writer);
    err = body.error != 0
              ? IMAGINE_ENOMEM
              : imi_webhook_enqueue(im, task->webhook_url, body.data, body.size, task->id);
    imi_buf_reset(&body);
    return err;
}

static void on_pause_over(void *user);

/* Without memory for a timer, whatever is to be told next sets it. */
static void tell_later(imagine_t *im) {
    if (im->tell_timer != NULL || im->is_closing || imi_list_is_empty(&im->untold_tasks))
        return;
    im->tell_pause_ms = im->tell_pause_ms == 0 ? PAUSE_MS : 2 * im->tell_pause_ms;
    if (im->tell_pause_ms > PAUSE_MAX_MS)
        im->tell_pause_ms = PAUSE_MAX_MS;
    if (im->io->timer_start(im->io->context, im->tell_pause_ms, on_pause_over, im,
                            &im->tell_timer) != 0)
        im->tell_timer = NULL;
}

/* False: not now. */
static bool try_to_tell(imagine_t *im, imi_task_t *task) {
    int err = enqueue(im, task);
    imi_list_remove(&task->untold);
    if (err == IMAGINE_ENOMEM || err == IMAGINE_EBUSY) {
        imi_log(im, IMAGINE_LOG_WARN, "webhook.put_off task=%s error=%s", task->id,
                imagine_err_name(err));
        imi_list_append(&im->untold_tasks, &task->untold);
        return false;
    }
    if (err != 0) { /* the address or the body will not do: another time neither */
        imi_task_told(im, task);
        imi_log(im, IMAGINE_LOG_ERROR, "webhook.lost task=%s error=%s", task->id,
                imagine_err_name(err));
    }
    return true;
}

/* Each of them once: those that fail go to the end, so that one too large holds no other up. */
static void on_pause_over(void *user) {
    imagine_t *im = user;
    const imi_list_t *last;
    int failure_count = 0;
    bool is_last;
    im->tell_timer = NULL;
    imi_tasks_forget_old(im); /* which is what bounds the tries */
    last = im->untold_tasks.previous;
    is_last = imi_list_is_empty(&im->untold_tasks);
    while (!is_last && failure_count < FAILURES_MAX) {
        imi_task_t *task = IMI_CONTAINER(im->untold_tasks.next, imi_task_t, untold);
        is_last = &task->untold == last;
        if (!try_to_tell(im, task))
            failure_count++;
    }
    if (failure_count == 0)
        im->tell_pause_ms = 0;
    tell_later(im);
}

void imi_tell(imagine_t *im, imi_task_t *task) {
    if (task->webhook_url == NULL || task->is_told || task->is_lost)
        return;
    try_to_tell(im, task);
    tell_later(im);
}

void imi_tell_stored(imagine_t *im, const char *key) {
    static const char prefix[] = IMI_WEBHOOK_KEY_PREFIX IMI_WEBHOOK_ID_PREFIX;
    const char *id = imi_text_starts_with(key, prefix) ? key + sizeof(prefix) - 1 : key;
    imi_task_t *task = imi_map_get(&im->tasks, id, strlen(id));
    if (task == NULL || task->is_told || task->state == IMI_TASK_PROCESSING)
        return;
    imi_task_told(im, task);
}

void imi_tell_stop(imagine_t *im) {
    if (im->tell_timer != NULL)
        im->io->timer_cancel(im->io->context, im->tell_timer);
    im->tell_timer = NULL;
}
