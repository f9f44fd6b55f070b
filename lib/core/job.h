/* job.h: any action as a job: the caller gets the id of a task, the work goes on without them.
 *
 *   outer request -> task (queued) + worker -> task (sent) -> task (success | failed) -> webhook
 *         \-> ends with the id, or, when the worker is quick (job_wait_ms), with its result
 *
 * A process that finds a job which is still queued begins it again; one that was sent and whose
 * provider has no id for it may have been carried out, and is not repeated. */
#ifndef IMI_CORE_JOB_H
#define IMI_CORE_JOB_H

#include <stdbool.h>

#include "core/request.h"

bool imi_job_is_wanted(const imagine_request_t *request);
/* Starts the worker; the outer request ends by itself. */
void imi_job_start(imagine_request_t *request);
/* From here on the worker's provider may have been asked. Other instances have to know first: true
 * if request->state waits for that. */
bool imi_job_sent(imagine_request_t *worker);
/* Gives the task up that this worker works on; the task has ended then. */
void imi_job_cancel(imagine_request_t *worker);
/* The task is another instance's now, which canceled it (its provider is to be told), or goes on.
 */
void imi_job_stop(imagine_request_t *worker, bool is_canceled);
/* A worker for a job that an earlier process left queued. 0, or an error: it stays as it is. */
int imi_job_rerun(imagine_t *im, imi_task_t *task);

#endif
