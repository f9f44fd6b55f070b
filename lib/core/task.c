/* task.c: see task.h.
 *
 *   created (processing) -> success | failed -> forgotten after 24 hours
 *
 * The record in the store is JSON under "task/<id>". A process that finds one still processing goes
 * on reading it with the token that made it. */
#include "core/task.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/fetch.h"
#include "core/job.h"
#include "core/keyring.h"
#include "core/log.h"
#include "core/params.h"
#include "core/peers.h"
#include "core/request.h"
#include "core/secret.h"
#include "core/sync.h"
#include "core/tell.h"
#include "imagine/storage.h"
#include "wire/assert.h"
#include "wire/json.h"
#include "wire/str.h"

#define KEY_SIZE (sizeof(IMI_TASK_PREFIX) + IMI_TASK_ID_SIZE_MAX)
#define ID_SIZE_MIN 16
#define STORE_WAIT_MS 900 /* task-status answers within a second */

#define CANCEL_KEPT_MS 60000 /* long enough for every instance to hear of it */

static void on_lost(imagine_t *im, const char *key);

/* ---- records ----------------------------------------------------------------------------------
 */

static void free_task(imagine_t *im, imi_task_t *task) {
    const imi_mem_t *mem = &im->mem;
    imi_list_remove(&task->link);
    imi_list_remove(&task->untold);
    imi_mem_free(mem, task->id);
    imi_mem_free(mem, task->provider);
    imi_mem_free(mem, task->model);
    imi_mem_free(mem, task->upstream_id);
    imi_mem_free(mem, task->fingerprint);
    imi_mem_free(mem, task->sealed);
    imi_mem_free(mem, task->params);
    imi_mem_free(mem, task->webhook_url);
    imi_mem_free(mem, task->outcome);
    IMI_ASSERT(im->kept_size >= task->outcome_size);
    im->kept_size -= task->outcome_size;
    imi_mem_free(mem, task);
}

static bool add_task(imagine_t *im, imi_task_t *task) {
    if (imi_map_set(&im->tasks, task->id, strlen(task->id), task) == 0)
        return true;
    free_task(im, task);
    return false;
}

static void set_key(char out[KEY_SIZE], const char *id) {
    snprintf(out, KEY_SIZE, IMI_TASK_PREFIX "%s", id);
}

static const char *const state_names[] = {"processing", "success", "failed"};

/* What would not fit beside the rest of a record is not kept over a restart, and said to be so. */
static const char too_large[] = "the result was too large to be kept over a restart";

static void write_record(imagine_t *im, const imi_task_t *task, imi_buf_t *out) {
    bool fits = task->outcome_size <= IMAGINE_STORAGE_VALUE_SIZE_MAX / 2;
    imi_json_writer_t writer;
    imi_buf_init(out, &im->mem, IMAGINE_STORAGE_VALUE_SIZE_MAX);
    imi_json_begin(&writer, out);
    imi_json_open_object(&writer, NULL);
    imi_json_put_text(&writer, "owner", imi_peers_self(im)); /* first: see peers.h */
    imi_json_put_text(&writer, "action", imi_action_name(task->action));
    imi_json_put_text(&writer, "provider", task->provider);
    imi_json_put_text(&writer, "model", task->model);
    imi_json_put_text(&writer, "upstreamId", task->upstream_id);
    imi_json_put_text(&writer, "token", task->fingerprint);
    imi_json_put_text(&writer, "sealed", task->state == IMI_TASK_PROCESSING ? task->sealed : NULL);
    imi_json_put_text(&writer, "state", state_names[fits ? task->state : IMI_TASK_FAILED]);
    imi_json_put_text(&writer, "outcome", fits ? task->outcome : too_large);
    imi_json_put_bool(&writer, "sent", task->is_sent);
    imi_json_put_text(&writer, "params", task->is_sent ? NULL : task->params);
    imi_json_put_text(&writer, "webhook", task->webhook_url);
    imi_json_put_bool(&writer, "told", task->is_told);
    imi_json_put_int(&writer, "predict", task->predict_s);
    imi_json_put_int(&writer, "created", task->created_unix_ms);
    imi_json_put_int(&writer, "ended", task->ended_unix_ms);
    imi_json_close_object(&writer);
}

void imi_task_save(imagine_t *im, const imi_task_t *task) {
    char key[KEY_SIZE];
    imi_buf_t buf;
    if (task->is_lost)
        return;
    write_record(im, task, &buf);
    set_key(key, task->id);
    if (buf.error == 0)
        imi_sync_put(im, key, buf.data, buf.size, IMI_TASK_KEPT_MS);
    else
        imi_log(im, IMAGINE_LOG_WARN, "task.not_saved id=%s", task->id);
    imi_buf_reset(&buf);
}

bool imi_task_wait_saved(imagine_t *im, const imi_task_t *task, imi_sync_waiter_t *waiter) {
    char key[KEY_SIZE];
    set_key(key, task->id);
    return imi_sync_wait_written(im, key, waiter);
}

bool imi_task_is_id(const char *text) {
    size_t size = strlen(text);
    return size >= ID_SIZE_MIN && size <= IMI_TASK_ID_SIZE_MAX &&
           strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") == size;
}

/* The caller's, unless a task has it already; else 32 hex digits. NULL: no memory. */
static char *choose_id(imagine_t *im, const char *wanted) {
    uint64_t random[2] = {imi_random64(im), imi_random64(im)};
    char *id;
    if (wanted != NULL && imi_map_get(&im->tasks, wanted, strlen(wanted)) == NULL)
        return imi_mem_strdup(&im->mem, wanted);
    id = imi_mem_alloc(&im->mem, 2 * sizeof(random) + 1);
    if (id != NULL)
        imi_hex(id, random, sizeof(random));
    return id;
}

/* Ours from here on, until it has ended; `stored` is what the store has of it. Without memory
 * another instance might take it over too soon, and reads on. */
static void own(imagine_t *im, imi_task_t *task, imi_slice_t stored) {
    char key[KEY_SIZE];
    set_key(key, task->id);
    task->is_work = true;
    if (imi_sync_own(im, key, stored, on_lost) != 0)
        imi_log(im, IMAGINE_LOG_WARN, "task.not_owned id=%s", task->id);
}

static void begin_work(imagine_t *im, imi_task_t *task, imi_slice_t stored) {
    imi_peers_begin(im, &imi_task_work, task->id);
    own(im, task, stored);
}

/* Its end is known to all: until then it is work, for another if we die now. */
static void on_settled(imagine_t *im, const char *key) {
    imi_peers_end(im, &imi_task_work, key + sizeof(IMI_TASK_PREFIX) - 1);
}

/* Until whoever wants to be told is, the task is work. */
static bool is_to_be_told(const imi_task_t *task) {
    return task->webhook_url != NULL && !task->is_told;
}

static void end_work(imagine_t *im, imi_task_t *task) {
    char key[KEY_SIZE];
    if (!task->is_work)
        return;
    task->is_work = false;
    set_key(key, task->id);
    imi_sync_disown(im, key, on_settled);
}

/* Which token the work was given to. NULL: none, or no memory. */
static char *fingerprint_of(const imagine_call_t *call) {
    return call != NULL && call->token != NULL
               ? imi_mem_strdup(&call->im->mem, imi_token_fingerprint(call->token))
               : NULL;
}

/* Sealed for this task alone. Without a key the fingerprint has to do. */
static char *sealed_for(const imagine_call_t *call, const char *id) {
    imi_arena_t arena;
    char *context, *sealed = NULL;
    if (call == NULL || call->token == NULL || call->im->keyring == NULL)
        return NULL;
    imi_arena_init(&arena, &call->im->mem, 0);
    context = imi_arena_printf(&arena, IMI_TASK_PREFIX "%s", id);
    if (context != NULL)
        sealed = imi_keyring_seal(call->im, &arena, context, imi_token_text(call->token));
    sealed = imi_mem_strdup(&call->im->mem, sealed);
    imi_arena_reset(&arena);
    return sealed;
}

imi_task_t *imi_task_new(imagine_request_t *request, const char *upstream_id, uint32_t predict_s,
                         bool is_sent) {
    imagine_t *im = request->im;
    const imi_mem_t *mem = &im->mem;
    imi_task_t *task = imi_mem_zalloc(mem, sizeof(*task));
    const imagine_call_t *call = request->call;
    imi_tasks_forget_old(im);
    if (task == NULL)
        return NULL;
    imi_list_init(&task->link);
    imi_list_init(&task->untold);
    task->id = choose_id(im, request->params.id);
    task->provider = imi_mem_strdup(mem, request->provider->name);
    task->model = imi_mem_strdup(mem, request->params.model);
    task->upstream_id = imi_mem_strdup(mem, upstream_id);
    task->fingerprint = fingerprint_of(call);
    task->sealed = task->id != NULL ? sealed_for(call, task->id) : NULL;
    task->action = request->action;
    task->webhook_url = imi_mem_strdup(mem, request->params.webhook_url);
    task->params = imi_params_write(request);
    task->is_sent = is_sent;
    task->predict_s = predict_s;
    task->progress = -1;
    task->created_unix_ms = im->io->unix_ms(im->io->context);
    task->reader = request;
    if (task->id == NULL || task->provider == NULL || task->model == NULL ||
        task->upstream_id == NULL ||
        (request->params.webhook_url != NULL && task->webhook_url == NULL) ||
        (call != NULL && call->token != NULL && task->fingerprint == NULL)) {
        free_task(im, task);
        return NULL;
    }
    if (!add_task(im, task))
        return NULL;
    im->counters.tasks++;
    begin_work(im, task, (imi_slice_t){NULL, 0});
    imi_task_save(im, task);
    imi_log(im, IMAGINE_LOG_INFO, "task.created id=%s provider=%s request=%" PRIu32, task->id,
            task->provider, request->number);
    return task;
}

void imi_task_took(imi_task_t *task, const imagine_call_t *call, const char *upstream_id,
                   uint32_t predict_s) {
    imagine_t *im = call->im;
    char *id = imi_mem_strdup(&im->mem, upstream_id), *fingerprint = fingerprint_of(call);
    if (id == NULL || (call->token != NULL && fingerprint == NULL)) {
        imi_mem_free(&im->mem, id); /* it can only not be resumed */
        imi_mem_free(&im->mem, fingerprint);
        return;
    }
    imi_mem_free(&im->mem, task->upstream_id);
    imi_mem_free(&im->mem, task->fingerprint);
    task->upstream_id = id;
    task->fingerprint = fingerprint;
    imi_mem_free(&im->mem, task->sealed);
    task->sealed = sealed_for(call, task->id);
    if (predict_s != 0)
        task->predict_s = predict_s;
    imi_task_save(im, task);
}

void imi_task_told(imagine_t *im, imi_task_t *task) {
    task->is_told = true;
    imi_task_save(im, task);
    end_work(im, task);
}

void imi_task_ended(imagine_t *im, imi_task_t *task, bool has_succeeded, const char *outcome) {
    IMI_ASSERT(task->state == IMI_TASK_PROCESSING && im->counters.tasks > 0); /* it ends once */
    task->state = has_succeeded && outcome != NULL ? IMI_TASK_SUCCESS : IMI_TASK_FAILED;
    task->outcome = imi_mem_strdup(&im->mem, outcome != NULL ? outcome : "");
    if (task->outcome == NULL)
        task->state = IMI_TASK_FAILED;
    task->outcome_size = task->outcome != NULL ? strlen(task->outcome) : 0;
    im->kept_size += task->outcome_size;
    task->reader = NULL;
    task->ended_unix_ms = im->io->unix_ms(im->io->context);
    im->counters.tasks--;
    imi_list_append(&im->ended_tasks, &task->link);
    imi_tell(im, task);
    imi_task_save(im, task);
    if (!is_to_be_told(task))
        end_work(im, task);
    imi_log(im, IMAGINE_LOG_INFO, "task.ended id=%s provider=%s state=%s", task->id, task->provider,
            state_names[task->state]);
}

void imi_tasks_forget_old(imagine_t *im) {
    int64_t now_unix_ms = im->io->unix_ms(im->io->context);
    while (!imi_list_is_empty(&im->ended_tasks)) {
        imi_task_t *task = IMI_CONTAINER(im->ended_tasks.next, imi_task_t, link);
        if (now_unix_ms - task->ended_unix_ms < IMI_TASK_KEPT_MS &&
            im->kept_size <= IMI_TASKS_SIZE_MAX)
            return;
        if (!imi_list_is_empty(&task->untold))
            imi_log(im, IMAGINE_LOG_ERROR, "webhook.lost task=%s", task->id);
        imi_map_remove(&im->tasks, task->id, strlen(task->id));
        free_task(im, task);
    }
}

void imi_tasks_reset(imagine_t *im) {
    size_t position = 0;
    const imi_map_entry_t *entry;
    while (imi_map_next(&im->tasks, &position, &entry))
        free_task(im, entry->value);
    imi_map_reset(&im->tasks);
}

/* ---- asking -----------------------------------------------------------------------------------
 */

/* What a task's outcome says, as the result of whoever asks. */
static bool read_outcome(imagine_request_t *request, const char *outcome) {
    imagine_result_t *result = &request->result;
    imi_slice_t json = imi_slice_of(imi_arena_strdup(&request->arena, outcome));
    imi_slice_t images = imi_json_get(json, "images"), item;
    imi_json_cursor_t cursor = imi_json_walk(images);
    const char **urls = NULL;
    size_t count = 0;
    if (json.data == NULL)
        return false;
    result->url = imi_json_text(&request->arena, imi_json_get(json, "url"), &result->url_size);
    result->text = imi_json_text(&request->arena, imi_json_get(json, "text"), NULL);
    while (imi_json_next_item(&cursor, &item))
        count++;
    if (count > 1)
        urls = imi_arena_zalloc(&request->arena, count * sizeof(*urls));
    cursor = imi_json_walk(images);
    for (size_t i = 0; urls != NULL && imi_json_next_item(&cursor, &item); i++)
        urls[i] = imi_json_text(&request->arena, imi_json_get(item, "url"), NULL);
    result->urls = urls;
    result->url_count = urls != NULL ? count : 0;
    request->outcome = json;
    return true;
}

static void answer(imagine_request_t *request, const imi_task_t *task) {
    imagine_result_t *result = &request->result;
    const char *outcome = task->outcome != NULL ? task->outcome : "";
    result->task_state = state_names[task->state];
    result->predict_s = task->predict_s;
    result->progress = task->progress;
    result->queue_position = task->queue_position;
    result->task_id = imi_arena_strdup(&request->arena, task->id);
    result->provider = imi_arena_strdup(&request->arena, task->provider);
    request->params.model = imi_arena_strdup(&request->arena, task->model);
    if (task->state == IMI_TASK_FAILED)
        result->message = imi_arena_strdup(&request->arena, outcome);
    if (task->state == IMI_TASK_SUCCESS && !read_outcome(request, outcome))
        imi_request_fail(request, IMAGINE_ENOMEM, NULL);
    else if (task->state == IMI_TASK_SUCCESS && request->params.want_bytes != 0 &&
             result->url != NULL && !imi_text_starts_with(result->url, "data:"))
        imi_fetch_result(request);
    else
        imi_request_succeed(request);
}

static void answer_or_cancel(imagine_request_t *request, imi_task_t *task) {
    if (request->cancels_task && task->state == IMI_TASK_PROCESSING) {
        if (task->reader != NULL && task->reader->job == task)
            imi_job_cancel(task->reader);
        else if (task->reader != NULL)
            imi_request_give_up(task->reader);
        else
            imi_task_ended(request->im, task, false, "canceled");
    }
    answer(request, task);
}

typedef struct question {
    imagine_request_t *request; /* a reference */
    imagine_timer_t *timer;     /* NULL: answered */
    imi_task_t *task;           /* being canceled at another instance */
    imi_buf_t record;           /* as it will be */
    char id[IMI_TASK_ID_SIZE_MAX + 1];
} question_t;

static void give_up(void *user) {
    question_t *question = user;
    question->timer = NULL;
    if (!atomic_load(&question->request->has_ended))
        imi_request_fail(question->request, IMAGINE_ENOTFOUND, "Task not found");
}

static void answer_from(question_t *question, imi_slice_t record);

static void question_free(question_t *question) {
    imagine_request_t *request = question->request;
    if (question->timer != NULL)
        request->im->io->timer_cancel(request->im->io->context, question->timer);
    imi_buf_reset(&question->record);
    imi_mem_free(&request->mem, question);
    imagine_request_release(request);
}

static void on_record(int status, const void *value, size_t value_size, void *user) {
    question_t *question = user;
    imagine_request_t *request = question->request;
    if (question->timer == NULL || atomic_load(&request->has_ended)) {
        question_free(question);
    } else if (status == 0) {
        answer_from(question, (imi_slice_t){value, value_size});
    } else {
        imi_request_fail(request, IMAGINE_ENOTFOUND, "Task not found");
        question_free(question);
    }
}

void imi_task_answer(imagine_request_t *request, const char *id) {
    imagine_t *im = request->im;
    imi_task_t *task;
    question_t *question;
    char key[KEY_SIZE];
    imi_tasks_forget_old(im);
    if (id == NULL || id[0] == '\0') {
        imi_request_fail(request, IMAGINE_EINVAL, "taskId is required");
        return;
    }
    task = imi_map_get(&im->tasks, id, strlen(id));
    if (task != NULL) {
        answer_or_cancel(request, task);
        return;
    }
    /* What cannot be an id is not worth a look into the store. */
    question =
        imi_task_is_id(id) && im->sync != NULL ? imi_mem_zalloc(&im->mem, sizeof(*question)) : NULL;
    if (question == NULL) {
        imi_request_fail(request, IMAGINE_ENOTFOUND, "Task not found");
        return;
    }
    question->request = imagine_request_retain(request);
    memcpy(question->id, id, strlen(id) + 1);
    set_key(key, id);
    if (im->io->timer_start(im->io->context, STORE_WAIT_MS, give_up, question, &question->timer) !=
            0 ||
        imi_sync_get(im, key, on_record, question) != 0) {
        imi_request_fail(request, IMAGINE_ENOTFOUND, "Task not found");
        question_free(question);
    }
}

/* ---- what the store brings ---------------------------------------------------------------------
 */

static char *read_text(imagine_t *im, imi_arena_t *arena, imi_slice_t json, const char *name) {
    const char *text = imi_json_text(arena, imi_json_get(json, name), NULL);
    return text == NULL ? NULL : imi_mem_strdup(&im->mem, text);
}

static int64_t read_number(imi_slice_t json, const char *name) {
    int64_t number;
    return imi_json_whole_number(imi_json_get(json, name), &number) ? number : 0;
}

static imi_task_t *read_task(imagine_t *im, const char *id, imi_slice_t json) {
    imi_task_t *task = imi_mem_zalloc(&im->mem, sizeof(*task));
    imi_slice_t state = imi_json_plain_text(imi_json_get(json, "state"));
    imi_arena_t arena;
    int action;
    if (task == NULL)
        return NULL;
    imi_arena_init(&arena, &im->mem, 0);
    imi_list_init(&task->link);
    imi_list_init(&task->untold);
    task->id = imi_mem_strdup(&im->mem, id);
    task->provider = read_text(im, &arena, json, "provider");
    task->model = read_text(im, &arena, json, "model");
    task->upstream_id = read_text(im, &arena, json, "upstreamId");
    task->fingerprint = read_text(im, &arena, json, "token");
    task->sealed = read_text(im, &arena, json, "sealed");
    task->params = read_text(im, &arena, json, "params");
    task->webhook_url = read_text(im, &arena, json, "webhook");
    action = imi_action_from_name(imi_json_text(&arena, imi_json_get(json, "action"), NULL));
    task->action = action >= 0 ? (imi_action_t)action : IMI_VIDEO;
    (void)imi_json_bool(imi_json_get(json, "sent"), &task->is_sent);
    (void)imi_json_bool(imi_json_get(json, "told"), &task->is_told);
    task->outcome = read_text(im, &arena, json, "outcome");
    task->predict_s = (uint32_t)read_number(json, "predict");
    task->progress = -1;
    task->created_unix_ms = read_number(json, "created");
    task->ended_unix_ms = read_number(json, "ended");
    task->state = imi_slice_equals(state, "success")  ? IMI_TASK_SUCCESS
                  : imi_slice_equals(state, "failed") ? IMI_TASK_FAILED
                                                      : IMI_TASK_PROCESSING;
    imi_arena_reset(&arena);
    task->outcome_size = task->outcome != NULL ? strlen(task->outcome) : 0;
    im->kept_size += task->outcome_size;
    if (task->id != NULL && task->provider != NULL && task->model != NULL &&
        task->upstream_id != NULL)
        return task;
    free_task(im, task);
    return NULL;
}

imi_token_t *imi_task_hold_token(imagine_t *im, const imi_task_t *task, imi_pool_t *pool) {
    imi_token_t *token = imi_pool_hold(pool, task->fingerprint);
    char *context, *text = NULL;
    imi_arena_t arena;
    if (token != NULL || task->sealed == NULL)
        return token;
    imi_arena_init(&arena, &im->mem, 0);
    context = imi_arena_printf(&arena, IMI_TASK_PREFIX "%s", task->id);
    if (context != NULL)
        text = imi_keyring_open(im, &arena, context, task->sealed);
    if (text != NULL && imi_secrets_add(im, text) == 0)
        token = imi_pool_hold_text(pool, text);
    if (text != NULL)
        imi_mem_wipe(text, strlen(text));
    imi_arena_reset(&arena);
    return token;
}

static const char interrupted[] = "interrupted by a restart: the provider may have carried it out";

/* A task whose provider or token is not configured (yet) waits for that; it is not lost. */
static void resume(imagine_t *im, imi_task_t *task) {
    imagine_request_t *reader = NULL;
    int err = IMAGINE_ENOMEM;
    if (task->upstream_id[0] == '\0' && (task->is_sent || task->params == NULL)) {
        imi_task_ended(im, task, false, interrupted);
        return;
    }
    if (task->upstream_id[0] == '\0') {
        err = imi_job_rerun(im, task);
    } else {
        reader = imi_request_new(im, task->action);
        if (reader != NULL)
            err = imi_request_resume(reader, task);
    }
    imagine_request_release(reader);
    if (err == IMAGINE_ENOTSUP) { /* its provider cannot go on reading */
        imi_task_ended(im, task, false, interrupted);
        return;
    }
    imi_log(im, err == 0 ? IMAGINE_LOG_INFO : IMAGINE_LOG_WARN, "task.%s id=%s provider=%s",
            err == 0 ? "resumed" : "waits", task->id, task->provider);
}

/* Takes it in: one that has ended, or one that is ours to go on with. */
static void take_in(imagine_t *im, imi_task_t *task) {
    if (!add_task(im, task))
        return;
    if (task->state != IMI_TASK_PROCESSING) {
        imi_list_append(&im->ended_tasks, &task->link);
        if (task->is_work || !imi_sync_is_shared(im))
            imi_tell(im, task);
        return;
    }
    im->counters.tasks++;
    resume(im, task);
}

/* NULL: it is known already, no record of ours, or there is no memory. */
static imi_task_t *read_record(imagine_t *im, const char *id, imi_slice_t record) {
    return imi_task_is_id(id) && imi_map_get(&im->tasks, id, strlen(id)) == NULL &&
                   imi_json_valid(record, 4, NULL)
               ? read_task(im, id, record)
               : NULL;
}

void imi_task_load(imagine_t *im, const char *key, const void *value, size_t value_size) {
    imi_task_t *task =
        read_record(im, key + sizeof(IMI_TASK_PREFIX) - 1, (imi_slice_t){value, value_size});
    if (task != NULL)
        take_in(im, task);
}

/* ---- with other instances ----------------------------------------------------------------------
 */

static void take_over(imagine_t *im, const char *id, imi_slice_t record) {
    imi_task_t *task = read_record(im, id, record);
    if (task != NULL && (task->state == IMI_TASK_PROCESSING || is_to_be_told(task)))
        own(im, task, record);
    else
        imi_peers_end(im, &imi_task_work, id);
    if (task != NULL)
        take_in(im, task);
}

static void renew(imagine_t *im) {
    const imi_map_entry_t *entry;
    size_t position = 0;
    while (imi_map_next(&im->tasks, &position, &entry)) {
        const imi_task_t *task = entry->value;
        if (!task->is_work)
            continue;
        imi_peers_note(im, &imi_task_work, task->id);
        imi_task_save(im, task);
    }
}

const imi_work_kind_t imi_task_work = {'t', IMI_TASK_PREFIX, take_over, renew};

/* Whoever has it now goes on, or has ended it: here, nothing of it is told any more. */
static void let_go(imagine_t *im, imi_task_t *task, bool is_canceled) {
    imagine_request_t *reader = task->reader;
    task->reader = NULL;
    if (reader != NULL && reader->job == task) {
        imi_job_stop(reader, is_canceled);
    } else if (reader != NULL) {
        if (is_canceled)
            imi_request_tell_cancel(reader);
        imi_request_stop_reading(reader);
    }
    if (task->is_work)
        imi_peers_end(im, &imi_task_work, task->id);
    im->counters.tasks -= task->state == IMI_TASK_PROCESSING;
    imi_map_remove(&im->tasks, task->id, strlen(task->id));
    free_task(im, task);
}

typedef struct farewell {
    imagine_t *im;
    char id[IMI_TASK_ID_SIZE_MAX + 1];
} farewell_t;

/* A task that somebody canceled elsewhere: its provider has not been told yet. */
static void on_last_look(int status, const void *value, size_t value_size, void *user) {
    farewell_t *farewell = user;
    imagine_t *im = farewell->im;
    imi_task_t *task = imi_map_get(&im->tasks, farewell->id, strlen(farewell->id));
    imi_slice_t record = {value, value_size};
    if (task != NULL && task->is_lost && !im->is_closing) {
        bool is_canceled = status == 0 && imi_json_valid(record, 4, NULL) &&
                           !imi_slice_equals(imi_json_plain_text(imi_json_get(record, "state")),
                                             state_names[IMI_TASK_PROCESSING]);
        let_go(im, task, is_canceled);
    }
    imi_mem_free(&im->mem, farewell);
}

static void on_lost(imagine_t *im, const char *key) {
    const char *id = key + sizeof(IMI_TASK_PREFIX) - 1;
    imi_task_t *task = imi_map_get(&im->tasks, id, strlen(id));
    farewell_t *farewell;
    if (task == NULL)
        return;
    task->is_lost = true; /* what the others say counts, for all of us */
    farewell = imi_mem_zalloc(&im->mem, sizeof(*farewell));
    if (farewell != NULL) {
        farewell->im = im;
        snprintf(farewell->id, sizeof(farewell->id), "%s", id);
        if (imi_sync_get(im, key, on_last_look, farewell) == 0)
            return;
    }
    imi_mem_free(&im->mem, farewell);
    let_go(im, task, false);
}

/* A write of ours finds out: it does not get through if the record has become another one. */
void imi_task_cancel_load(imagine_t *im, const char *key, const void *value, size_t value_size) {
    const char *id = key + sizeof(IMI_TASK_CANCEL_PREFIX) - 1;
    const imi_task_t *task = imi_map_get(&im->tasks, id, strlen(id));
    (void)value_size;
    if (value != NULL && task != NULL && task->state == IMI_TASK_PROCESSING)
        imi_task_save(im, task);
}

static void on_canceled(int status, void *user) {
    question_t *question = user;
    imagine_request_t *request = question->request;
    imagine_t *im = request->im;
    imi_task_t *task = question->task;
    bool is_open = question->timer != NULL && !atomic_load(&request->has_ended);
    char key[KEY_SIZE];
    question->task = NULL;
    if (status != 0 || im->is_closing ||
        imi_map_get(&im->tasks, task->id, strlen(task->id)) != NULL) {
        free_task(im, task);
        if (is_open) /* its owner was faster: what it wrote says more */
            imi_task_answer(request, question->id);
        question_free(question);
        return;
    }
    snprintf(key, sizeof(key), IMI_TASK_CANCEL_PREFIX "%s", task->id);
    imi_sync_put(im, key, "1", 1, CANCEL_KEPT_MS);
    if (is_open)
        answer(request, task);
    if (is_to_be_told(task)) {
        imi_slice_t record = {question->record.data, question->record.size};
        begin_work(im, task, record);
    }
    take_in(im, task);
    question_free(question);
}

/* As its owner would write it, had it been canceled there; what is left to do is ours then. */
static bool cancel_elsewhere(question_t *question, imi_task_t *task, imi_slice_t record) {
    imagine_t *im = question->request->im;
    char key[KEY_SIZE];
    task->state = IMI_TASK_FAILED;
    task->ended_unix_ms = im->io->unix_ms(im->io->context);
    imi_mem_free(&im->mem, task->outcome);
    task->outcome = imi_mem_strdup(&im->mem, "canceled");
    im->kept_size -= task->outcome_size;
    task->outcome_size = task->outcome != NULL ? strlen(task->outcome) : 0;
    im->kept_size += task->outcome_size;
    set_key(key, task->id);
    write_record(im, task, &question->record);
    question->task = task;
    if (question->record.error != 0 || task->outcome == NULL)
        return false;
    return imi_sync_swap(im, key, record,
                         (imi_slice_t){question->record.data, question->record.size},
                         IMI_TASK_KEPT_MS, on_canceled, question) == 0;
}

/* Of a task that is not in memory: it has ended, or another instance works on it. */
static void answer_from(question_t *question, imi_slice_t record) {
    imagine_request_t *request = question->request;
    imagine_t *im = request->im;
    imi_task_t *task = imi_map_get(&im->tasks, question->id, strlen(question->id));
    bool is_known = task != NULL;
    if (task == NULL)
        task = read_record(im, question->id, record);
    if (task == NULL) {
        imi_request_fail(request, IMAGINE_ENOTFOUND, "Task not found");
    } else if (is_known || task->state != IMI_TASK_PROCESSING || !imi_sync_is_shared(im)) {
        if (!is_known)
            take_in(im, task);
        task = imi_map_get(&im->tasks, question->id, strlen(question->id));
        if (task != NULL)
            answer_or_cancel(request, task);
        else
            imi_request_fail(request, IMAGINE_ENOMEM, NULL);
    } else if (!request->cancels_task) {
        answer(request, task);
        free_task(im, task);
    } else if (cancel_elsewhere(question, task, record)) {
        return;
    } else {
        free_task(im, task);
        imi_request_fail(request, IMAGINE_EBUSY, "the task could not be canceled now");
    }
    question_free(question);
}

void imi_tasks_resume(imagine_t *im) {
    const imi_map_entry_t *entry;
    size_t position = 0;
    while (imi_map_next(&im->tasks, &position, &entry)) {
        imi_task_t *task = entry->value;
        if (task->state == IMI_TASK_PROCESSING && task->reader == NULL)
            resume(im, task);
    }
}
