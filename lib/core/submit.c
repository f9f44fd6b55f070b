/* submit.c: the doors for work: each action of the public header, and the one for all of them by
 * name and JSON. What is wrong with a request is told to its callback; only what cannot be accepted
 * at all is told by the return value. */
#include <string.h>

#include "core/client.h"
#include "core/params.h"
#include "core/request.h"
#include "wire/json.h"

typedef struct submission {
    imagine_t *im;
    imi_action_t action;
    const imagine_params_t *params; /* or: */
    const imagine_form_t *form;     /* or: */
    const char *task_id;
    bool cancels_task, wants_bytes; /* of a task */
    imagine_done_cb done;
    void *user;
    imagine_request_t **out;
    int err;
} submission_t;

/* The body of an action, or {"taskId": …}. IMAGINE_EINVAL comes with a message. */
static int read_form(imagine_request_t *request, const imagine_form_t *form,
                     const char **out_message) {
    imi_slice_t json = {form->json, form->json != NULL ? form->json_size : 0};
    int err =
        imi_params_add_images(request, form->images, form->image_count, form->release != NULL);
    if (err == IMAGINE_EINVAL)
        *out_message = "image holds too many pictures: 16 at most";
    if (err == 0)
        err = imi_params_read(request, json, out_message);
    request->params.on_piece = form->on_piece;
    request->params.job_wait_ms = form->job_wait_ms;
    request->params.id = imi_arena_strdup(&request->arena, form->id);
    if (form->id != NULL && request->params.id == NULL)
        err = IMAGINE_ENOMEM;
    if (form->is_job > 0)
        request->params.is_job = 1;
    if (err == 0 && request->action == IMI_TASK_STATUS)
        request->task_id_asked = imi_json_text(&request->arena, imi_json_get(json, "taskId"), NULL);
    return err;
}

static int submit_step(void *user) {
    submission_t *submission = user;
    imagine_t *im = submission->im;
    imagine_request_t *request;
    const char *message = NULL;
    int err = 0;
    submission->err = im->is_closing ? IMAGINE_ECLOSED : 0;
    request = submission->err == 0 ? imi_request_new(im, submission->action) : NULL;
    if (request == NULL) {
        if (submission->err == 0)
            submission->err = IMAGINE_ENOMEM;
        return 1;
    }
    request->cancels_task = submission->cancels_task;
    request->done = submission->done;
    request->user = submission->user;
    if (submission->params != NULL) {
        submission->err = imi_params_copy(request, submission->params);
    } else if (submission->form != NULL) {
        err = read_form(request, submission->form, &message);
    } else {
        request->params.want_bytes = submission->wants_bytes;
        request->task_id_asked = imi_arena_strdup(&request->arena, submission->task_id);
        if (submission->task_id != NULL && request->task_id_asked == NULL)
            submission->err = IMAGINE_ENOMEM;
    }
    if (err == IMAGINE_ENOMEM)
        submission->err = err;
    if (submission->err == 0 && submission->form != NULL) {
        request->release = submission->form->release;
        request->owner = submission->form->owner;
    }
    if (submission->err == 0)
        submission->err = imi_request_start(request, err, message);
    if (submission->err != 0) {
        request->release = NULL; /* it stays the caller's */
        imagine_request_release(request);
        return 1;
    }
    if (submission->out != NULL)
        *submission->out = request;
    else
        imagine_request_release(request);
    return 1;
}

static int submit(submission_t *submission) {
    int err;
    if (submission->out != NULL)
        *submission->out = NULL;
    err = imi_run(submission->im, submit_step, submission);
    return err != 0 ? err : submission->err;
}

static int start(imagine_t *im, imi_action_t action, const imagine_params_t *params,
                 imagine_done_cb done, void *user, imagine_request_t **out) {
    submission_t submission = {
        .im = im, .action = action, .params = params, .done = done, .user = user, .out = out};
    return params == NULL ? IMAGINE_EINVAL : submit(&submission);
}

int imagine_generate(imagine_t *im, const imagine_params_t *params, imagine_done_cb done,
                     void *user, imagine_request_t **out) {
    return start(im, IMI_GENERATE, params, done, user, out);
}

int imagine_edit(imagine_t *im, const imagine_params_t *params, imagine_done_cb done, void *user,
                 imagine_request_t **out) {
    return start(im, IMI_EDIT, params, done, user, out);
}

int imagine_text(imagine_t *im, const imagine_params_t *params, imagine_done_cb done, void *user,
                 imagine_request_t **out) {
    return start(im, IMI_TEXT, params, done, user, out);
}

int imagine_video(imagine_t *im, const imagine_params_t *params, imagine_done_cb done, void *user,
                  imagine_request_t **out) {
    return start(im, IMI_VIDEO, params, done, user, out);
}

int imagine_upscale(imagine_t *im, const imagine_params_t *params, imagine_done_cb done, void *user,
                    imagine_request_t **out) {
    return start(im, IMI_UPSCALE, params, done, user, out);
}

static int ask_task(submission_t submission) {
    submission.action = IMI_TASK_STATUS;
    return submit(&submission);
}

int imagine_task_status(imagine_t *im, const char *task_id, imagine_done_cb done, void *user,
                        imagine_request_t **out) {
    return ask_task(
        (submission_t){.im = im, .task_id = task_id, .done = done, .user = user, .out = out});
}

int imagine_task_result(imagine_t *im, const char *task_id, imagine_done_cb done, void *user,
                        imagine_request_t **out) {
    return ask_task((submission_t){
        .im = im, .task_id = task_id, .wants_bytes = true, .done = done, .user = user, .out = out});
}

int imagine_task_cancel(imagine_t *im, const char *task_id, imagine_done_cb done, void *user,
                        imagine_request_t **out) {
    return ask_task((submission_t){.im = im,
                                   .task_id = task_id,
                                   .cancels_task = true,
                                   .done = done,
                                   .user = user,
                                   .out = out});
}

int imagine_submit_form(imagine_t *im, const imagine_form_t *form, imagine_done_cb done, void *user,
                        imagine_request_t **out) {
    imagine_form_t whole = {.size = sizeof(whole)};
    submission_t submission = {.im = im, .form = &whole, .done = done, .user = user, .out = out};
    int action;
    if (form == NULL || form->size < sizeof(size_t))
        return IMAGINE_EINVAL;
    memcpy(&whole, form, form->size < sizeof(whole) ? form->size : sizeof(whole));
    submission.cancels_task = whole.action != NULL && strcmp(whole.action, "task-cancel") == 0;
    action = submission.cancels_task ? IMI_TASK_STATUS : imi_action_from_name(whole.action);
    if (action < 0)
        return IMAGINE_EINVAL;
    submission.action = (imi_action_t)action;
    return submit(&submission);
}

int imagine_submit(imagine_t *im, const char *action, const char *json, size_t json_size,
                   imagine_done_cb done, void *user, imagine_request_t **out) {
    imagine_form_t form = {
        .size = sizeof(form), .action = action, .json = json, .json_size = json_size};
    return imagine_submit_form(im, &form, done, user, out);
}

/* ---- requests ---------------------------------------------------------------------------------
 */

static int cancel_step(void *user) {
    imagine_request_t *request = user;
    if (!atomic_load(&request->has_ended))
        imi_request_cancel(request);
    return 1;
}

void imagine_cancel(imagine_request_t *request) {
    if (request == NULL || atomic_load_explicit(&request->has_ended, memory_order_acquire))
        return;
    imi_run(request->im, cancel_step, request);
}

static int is_over_step(void *user) {
    const imagine_request_t *request = user;
    return atomic_load(&request->is_over);
}

int imagine_wait(imagine_request_t *request, int64_t timeout_ms) {
    int err;
    if (request == NULL)
        return IMAGINE_EINVAL;
    if (atomic_load_explicit(&request->is_over, memory_order_acquire))
        return 0;
    err = imi_wait_in_door(request->im, is_over_step, request, timeout_ms);
    /* A client that closed meanwhile has ended its requests first. */
    return err == IMAGINE_ECLOSED ? 0 : err;
}
