/* job.c: see job.h. */
#include "core/job.h"

#include <string.h>

#include "core/batch.h"
#include "core/params.h"
#include "core/result.h"
#include "core/task.h"
#include "wire/json.h"

#define PREDICT_S 30
/* A worker's time. Nobody waits for it, so it may wait: for a token that recovers, for instance. */
#define WORKER_TIME_MS (30 * 60 * 1000)
#define WORKER_WAIT_MS (20 * 60 * 1000)

bool imi_job_is_wanted(const imagine_request_t *request) {
    return request->params.is_job > 0 && request->job == NULL && request->action != IMI_VIDEO &&
           request->action != IMI_TASK_STATUS;
}

/* ---- the worker --------------------------------------------------------------------------------
 */

/* The outer request ends with what its worker ended with. */
static void pass_on(imagine_request_t *outer, const imagine_result_t *from) {
    imagine_result_t *result = &outer->result;
    result->token = from->token;
    result->retry_after_ms = from->retry_after_ms;
    outer->attempts = from->attempts;
    if (from->status != 0) {
        result->http_status = from->http_status;
        imi_request_fail(outer, from->status, from->message);
        return;
    }
    result->url = from->url;
    result->url_size = from->url_size;
    result->urls = from->urls;
    result->url_count = from->url_count;
    result->text = from->text;
    result->usage_json = from->usage_json;
    result->revised_prompt = from->revised_prompt;
    result->width = from->width;
    result->height = from->height;
    imi_request_succeed(outer);
}

static void on_worked(int status, const imagine_result_t *result, void *user) {
    imagine_request_t *worker = user, *outer = worker->outer;
    imi_task_t *task = worker->job;
    size_t size = 0;
    worker->job = NULL;
    worker->outer = NULL;
    if (task != NULL && worker->im->is_closing && status != 0)
        task->reader = NULL; /* as the store has it: the next life sees */
    else if (task != NULL)
        imi_task_ended(worker->im, task, status == 0,
                       status == 0 ? imagine_result_json(result, &size) : result->message);
    if (outer != NULL && !atomic_load(&outer->has_ended))
        pass_on(outer, result);
    imagine_request_release(outer);
}

static imagine_request_t *new_worker(imagine_t *im, imi_task_t *task) {
    imagine_request_t *worker = imi_request_new(im, task->action);
    if (worker == NULL)
        return NULL;
    worker->done = on_worked;
    worker->user = worker;
    return worker;
}

static int start_worker(imagine_request_t *worker, imi_task_t *task) {
    int err;
    worker->params.timeout_ms = WORKER_TIME_MS;
    worker->params.wait_ms = WORKER_WAIT_MS;
    worker->job = task;
    err = imi_request_start(worker, 0, NULL);
    if (err == 0)
        task->reader = worker;
    else
        worker->job = NULL;
    return err;
}

bool imi_job_sent(imagine_request_t *worker) {
    if (worker->job == NULL || worker->job->is_sent)
        return false;
    worker->job->is_sent = true;
    imi_task_save(worker->im, worker->job);
    return imi_task_wait_saved(worker->im, worker->job, &worker->state);
}

/* ---- the outer request -------------------------------------------------------------------------
 */

static void answer_with_id(void *user) {
    imagine_request_t *request = user;
    request->wait = NULL;
    request->result.task_id = request->job_id;
    request->result.task_state = "processing";
    request->result.http_status = 202;
    imi_request_succeed(request);
}

static uint32_t predict_s(const imagine_request_t *request) {
    int64_t number = PREDICT_S;
    imi_slice_t option = imi_catalogue_option(request->catalogue, request->entry, request->model,
                                              imi_action_name(request->action), "predict");
    return imi_json_whole_number(option, &number) && number > 0 && number < 100000
               ? (uint32_t)number
               : PREDICT_S;
}

static int start_inner(imagine_request_t *request, imi_task_t *task) {
    imagine_request_t *worker = new_worker(request->im, task);
    imagine_params_t params = request->params;
    int err = worker != NULL ? 0 : IMAGINE_ENOMEM;
    params.is_job = 0;
    params.id = NULL;       /* the task has it */
    params.on_piece = NULL; /* its caller may be gone by then */
    params.has_seed = 1;    /* the one drawn, which the caller is told */
    params.images = NULL;
    params.image_count = 0;
    if (err == 0)
        err = imi_params_copy(worker, &params);
    if (err == 0)
        err = imi_params_add_images(worker, request->params.images, request->params.image_count,
                                    true);
    if (err == 0) {
        worker->outer = imagine_request_retain(request);
        err = start_worker(worker, task);
        if (err != 0) {
            worker->outer = NULL;
            imagine_request_release(request);
        }
    }
    if (err != 0) {
        imagine_request_release(worker);
        return err;
    }
    imi_request_lend_input(request, worker);
    request->worker = worker; /* for its result's memory */
    return 0;
}

void imi_job_start(imagine_request_t *request) {
    const imagine_io_t *io = request->im->io;
    uint32_t predict = predict_s(request);
    imi_task_t *task = imi_task_new(request, "", predict, false);
    int err = IMAGINE_ENOMEM;
    if (task == NULL) {
        imi_request_fail(request, IMAGINE_ENOMEM, NULL);
        return;
    }
    request->job_id = imi_arena_strdup(&request->arena, task->id);
    request->result.predict_s = predict;
    err = request->job_id != NULL ? start_inner(request, task) : IMAGINE_ENOMEM;
    if (err != 0) {
        imi_task_ended(request->im, task, false, imagine_strerror(err));
        imi_request_fail(request, err, NULL);
        return;
    }
    if (request->params.job_wait_ms == 0 ||
        io->timer_start(io->context, request->params.job_wait_ms, answer_with_id, request,
                        &request->wait) != 0)
        answer_with_id(request);
}

/* ---- giving up, and another life ---------------------------------------------------------------
 */

/* Its task has been taken from it. */
static void give_up(imagine_request_t *worker, bool tells_provider) {
    if (tells_provider)
        imi_request_tell_cancel(worker);
    if (worker->is_delivering) {
        imagine_cancel(worker);
    } else {
        worker->is_starting = true;                           /* its end is put off, as always */
        imi_request_abandon(worker, IMAGINE_ECANCELED, true); /* paid for or not: nobody wants it */
        worker->is_starting = false;
    }
    if (worker->batch != NULL)
        imi_batch_give_up(worker); /* behind its end: else the last part would end it */
}

void imi_job_cancel(imagine_request_t *worker) {
    imi_task_t *task = worker->job;
    imagine_request_retain(worker);
    worker->job = NULL;
    worker->is_giving_up = true;
    imi_task_ended(worker->im, task, false, "canceled");
    give_up(worker, true);
    imagine_request_release(worker);
}

void imi_job_stop(imagine_request_t *worker, bool is_canceled) {
    imagine_request_retain(worker);
    worker->job = NULL;
    worker->is_giving_up = true;
    give_up(worker, is_canceled);
    imagine_request_release(worker);
}

int imi_job_rerun(imagine_t *im, imi_task_t *task) {
    imi_provider_t *provider = imi_registry_find(im, task->provider);
    imagine_request_t *worker;
    const char *message = NULL;
    int err;
    if (provider == NULL)
        return IMAGINE_EPROVIDER;
    if (imi_pool_is_empty(provider->pool) &&
        (provider->code.flags & IMAGINE_PROVIDER_TOKEN_OPTIONAL) == 0)
        return IMAGINE_ENOTOKEN;
    worker = new_worker(im, task);
    if (worker == NULL)
        return IMAGINE_ENOMEM;
    err = imi_params_read(worker, imi_slice_of(task->params), &message);
    if (err == 0)
        err = start_worker(worker, task);
    imagine_request_release(worker);
    return err;
}
