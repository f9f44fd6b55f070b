/* request.c: see request.h for the stages. Every path leads to finish(), once. */
#include "core/request.h"

#include <inttypes.h>
#include <string.h>

#include "core/aside.h"
#include "core/batch.h"
#include "core/classify.h"
#include "core/delivery.h"
#include "core/fetch.h"
#include "core/job.h"
#include "core/outage.h"
#include "core/params.h"
#include "core/reason.h"
#include "core/result.h"
#include "core/secret.h"
#include "wire/assert.h"
#include "wire/str.h"
#include "wire/time.h"

#define MESSAGE_SIZE_MAX 500

static void begin(imagine_request_t *request);
static void admit(imagine_request_t *request);
static void attempt(imagine_request_t *request);
static void finish(imagine_request_t *request);

/* ---- life -------------------------------------------------------------------------------------
 */

imagine_request_t *imi_request_new(imagine_t *im, imi_action_t action) {
    imagine_request_t *request = imi_mem_zalloc(&im->mem, sizeof(*request));
    if (request == NULL)
        return NULL;
    atomic_init(&request->refs, 1);
    imi_client_retain(im);
    request->im = im;
    request->mem = im->mem;
    request->action = action;
    request->image_field = "image";
    imi_list_init(&request->link);
    imi_list_init(&request->state.link);
    imi_arena_init(&request->arena, &request->mem, 256);
    imi_arena_init(&request->pictures, &request->mem, 0);
    imi_buf_init(&request->json, &request->mem, 0);
    request->fetch.im = im;
    request->fetch.arena = &request->arena;
    request->fetch.user = request;
    imi_buf_init(&request->fetch.answer, &request->mem, 0);
    request->result.size = sizeof(request->result);
    request->result.action = imi_action_name(action);
    return request;
}

imagine_request_t *imagine_request_retain(imagine_request_t *request) {
    if (request != NULL)
        atomic_fetch_add_explicit(&request->refs, 1, memory_order_relaxed);
    return request;
}

void imagine_request_release(imagine_request_t *request) {
    imi_mem_t mem;
    imagine_t *im;
    if (request == NULL || atomic_fetch_sub_explicit(&request->refs, 1, memory_order_acq_rel) != 1)
        return;
    mem = request->mem;
    im = request->im;
    imi_result_reset(request);
    imi_batch_free(request);
    imagine_request_release(request->worker);
    imi_buf_reset(&request->fetch.answer);
    if (request->kept != NULL)
        imi_call_free(request->kept);
    imi_arena_reset(&request->pictures);
    imi_arena_reset(&request->arena);
    imi_mem_free(&mem, request);
    imi_client_release(im);
}

const imagine_result_t *imagine_request_result(const imagine_request_t *request) {
    return request != NULL && atomic_load_explicit(&request->has_ended, memory_order_acquire)
               ? &request->result
               : NULL;
}

/* The pictures that went in are not needed any more: a task may take minutes. */
static void drop_input(imagine_request_t *request) {
    void (*release)(void *) = request->release;
    request->is_input_unwanted = true;
    if (request->borrower_count > 0)
        return; /* the last of them comes back here */
    request->params.image_count = 0;
    request->params.images = NULL;
    request->images = NULL;
    imi_arena_reset(&request->pictures);
    if (release != NULL) {
        request->release = NULL;
        release(request->owner);
    }
}

static void on_returned(void *owner) {
    imagine_request_t *outer = owner;
    IMI_ASSERT(outer->borrower_count > 0);
    if (--outer->borrower_count == 0 && outer->is_input_unwanted)
        drop_input(outer);
    imagine_request_release(outer);
}

void imi_request_lend_input(imagine_request_t *outer, imagine_request_t *inner) {
    inner->release = on_returned;
    inner->owner = imagine_request_retain(outer);
    outer->borrower_count++;
}

static void on_deadline(void *user) {
    imagine_request_t *request = user;
    request->timer = NULL;
    imi_request_abandon(request, IMAGINE_ETIMEDOUT, false);
}

static int arm_deadline(imagine_request_t *request, uint64_t timeout_ms) {
    const imagine_io_t *io = request->im->io;
    request->deadline_at_ms = imi_now_ms(request->im) + timeout_ms;
    return io->timer_start(io->context, timeout_ms, on_deadline, request, &request->timer);
}

static void stop_timer(imagine_request_t *request, imagine_timer_t **timer) {
    if (*timer != NULL)
        request->im->io->timer_cancel(request->im->io->context, *timer);
    *timer = NULL;
}

static void enlist(imagine_request_t *request) {
    imagine_t *im = request->im;
    IMI_ASSERT(imi_list_is_empty(&request->link)); /* accepted once */
    request->number = ++im->last_number;
    imi_list_append(&im->requests, &request->link);
    imagine_request_retain(request); /* the list's reference */
    im->counters.in_flight++;
    im->counters.accepted++;
}

int imi_request_start(imagine_request_t *request, int error, const char *message) {
    imagine_t *im = request->im;
    uint32_t timeout_ms =
        request->params.timeout_ms != 0 ? request->params.timeout_ms : im->timeout_ms;
    int err = arm_deadline(request, timeout_ms);
    if (err != 0)
        return err;
    imi_sync_refresh(im);
    enlist(request);
    request->catalogue = imi_catalogue_retain(im->catalogue);
    request->is_starting = true;
    if (error != 0)
        imi_request_fail(request, error, message);
    else if (im->in_flight_max != 0 && im->counters.in_flight > im->in_flight_max)
        imi_request_fail(request, IMAGINE_EBUSY, "too many requests are in flight");
    else if (request->action == IMI_TASK_STATUS)
        imi_task_answer(request, request->task_id_asked);
    else
        begin(request);
    request->is_starting = false;
    return 0;
}

/* What a provider has taken on, or may have: all that it takes to speak of it again. */
typedef struct work {
    const char *model, *upstream_id;
    const char *fingerprint; /* of the token that it was given to; NULL: none */
} work_t;

/* A request without a caller, for work that is under way already: its first step is what `step_of`
 * finds. `task`: the one that it reads; NULL: none. */
static int start_for_work(imagine_request_t *request, const work_t *work,
                          imagine_call_cb (*step_of)(const imagine_provider_t *code),
                          imi_task_t *task) {
    imi_token_t *token = NULL;
    imagine_call_cb step = NULL;
    const char *message = NULL, *upstream_id = NULL;
    int err;
    request->params.size = sizeof(request->params);
    request->params.model = imi_arena_strdup(&request->arena, work->model);
    upstream_id = imi_arena_strdup(&request->arena, work->upstream_id);
    if (request->params.model == NULL || upstream_id == NULL)
        return IMAGINE_ENOMEM;
    request->catalogue = imi_catalogue_retain(request->im->catalogue);
    err = imi_params_resolve(request, &message);
    if (err == 0)
        step = step_of(&request->provider->code);
    if (err == 0 && step == NULL)
        err = IMAGINE_ENOTSUP;
    if (err == 0 && work->fingerprint != NULL) {
        token = task != NULL ? imi_task_hold_token(request->im, task, request->provider->pool)
                             : imi_pool_hold(request->provider->pool, work->fingerprint);
        if (token == NULL)
            err = IMAGINE_ENOTOKEN;
    }
    if (err == 0)
        err = arm_deadline(request, IMI_TASK_TIME_MAX_MS);
    if (err != 0) {
        if (token != NULL)
            imi_pool_release(request->provider->pool, token);
        imi_catalogue_release(request->catalogue);
        request->catalogue = NULL;
        return err;
    }
    enlist(request);
    atomic_store(&request->has_ended, true);
    atomic_store(&request->is_over, true); /* nobody waits for it */
    request->im->counters.in_flight--;
    request->task = task;
    if (task != NULL)
        task->reader = request;
    request->is_giving_up = task == NULL;
    if (imi_call_start(request, token, false, step, upstream_id) != 0)
        imi_request_fail(request, IMAGINE_ENOMEM, NULL);
    return 0;
}

static imagine_call_cb resume_of(const imagine_provider_t *code) {
    return code->resume;
}

static imagine_call_cb cancel_of(const imagine_provider_t *code) {
    return code->cancel;
}

int imi_request_resume(imagine_request_t *request, imi_task_t *task) {
    work_t work = {task->model, task->upstream_id, task->fingerprint};
    return start_for_work(request, &work, resume_of, task);
}

void imi_request_tell_cancel(const imagine_request_t *request) {
    const imagine_call_t *call = request->call;
    work_t work = {.model = request->params.model};
    imagine_request_t *teller;
    if (call == NULL || !imi_call_has_reached(call))
        return;
    work.upstream_id = call->task_id != NULL ? call->task_id : "";
    work.fingerprint = call->token != NULL ? imi_token_fingerprint(call->token) : NULL;
    teller = imi_request_new(request->im, request->action);
    if (teller != NULL && start_for_work(teller, &work, cancel_of, NULL) != 0)
        imi_trace(request, "cancel untold");
    imagine_request_release(teller);
}

/* What is asked for is looked at whole before anything is fetched, and fetched before anybody is
 * asked. */
static void begin(imagine_request_t *request) {
    const char *message = NULL;
    int err = imi_params_check(request, &message);
    if (err == 0)
        err = imi_params_resolve(request, &message);
    if (err != 0) {
        imi_request_fail(request, err, message);
        return;
    }
    imi_trace(request, "request action=%s model=%s", request->result.action, request->params.model);
    imi_fetch_pictures(request, admit);
}

/* ---- attempts ---------------------------------------------------------------------------------
 */

static void ask_provider(imagine_request_t *request) {
    if (imi_batch_is_needed(request))
        imi_batch_start(request);
    else
        attempt(request);
}

/* One that another instance has taken over is stopped by task.c. */
static void on_recorded(imi_sync_waiter_t *waiter) {
    imagine_request_t *request = IMI_CONTAINER(waiter, imagine_request_t, state);
    if (request->job == NULL || !request->job->is_lost)
        ask_provider(request);
}

static void attempt_all(imagine_request_t *request) {
    if (imi_job_is_wanted(request)) {
        imi_job_start(request);
        return;
    }
    request->state.on_loaded = on_recorded;
    if (!imi_job_sent(request))
        ask_provider(request);
}

static void on_state_loaded(imi_sync_waiter_t *waiter) {
    attempt_all(IMI_CONTAINER(waiter, imagine_request_t, state));
}

static void admit(imagine_request_t *request) {
    request->state.on_loaded = on_state_loaded;
    if (imi_sync_is_loading(request->im))
        imi_sync_wait(request->im, &request->state);
    else
        attempt_all(request);
}

static void fail_named(imagine_request_t *request, int error, uint64_t retry_after_ms,
                       const char *format) {
    const char *message =
        imi_arena_printf(&request->arena, "%s%s%s", error == IMAGINE_EBREAKER ? "" : "error_",
                         error == IMAGINE_EBREAKER ? format : request->provider->name,
                         error == IMAGINE_EBREAKER ? request->provider->name : format);
    request->result.retry_after_ms = retry_after_ms == UINT64_MAX ? 0 : retry_after_ms;
    imi_request_fail(request, error, message);
}

static void on_waited(void *user) {
    imagine_request_t *request = user;
    request->wait = NULL;
    attempt(request);
}

/* No token can serve now: wait for the first one if the caller wants to, else say when. */
static void wait_or_fail(imagine_request_t *request, uint64_t earliest_ms) {
    const imagine_io_t *io = request->im->io;
    uint64_t now_ms = imi_now_ms(request->im);
    bool is_worth_it =
        earliest_ms <= request->params.wait_ms && now_ms + earliest_ms < request->deadline_at_ms;
    if (is_worth_it &&
        io->timer_start(io->context, earliest_ms, on_waited, request, &request->wait) == 0) {
        imi_trace(request, "token.wait ms=%" PRIu64, earliest_ms);
        return;
    }
    fail_named(request, IMAGINE_EEXHAUSTED, earliest_ms, "_token_exhausted");
}

static void attempt(imagine_request_t *request) {
    imi_provider_t *provider = request->provider;
    imi_clock_t clock = imi_clock(request->im);
    imi_token_t *token = NULL;
    bool is_probe = false;
    bool is_tokenless = imi_pool_is_empty(provider->pool);
    if (is_tokenless && (provider->code.flags & IMAGINE_PROVIDER_TOKEN_OPTIONAL) == 0) {
        fail_named(request, IMAGINE_ENOTOKEN, 0, "_token_required");
        return;
    }
    if (is_tokenless && provider->anonymous_until_ms > clock.now_ms) {
        wait_or_fail(request, provider->anonymous_until_ms - clock.now_ms);
        return;
    }
    if (!imi_breaker_allow(&provider->breaker, clock.now_ms, &is_probe)) {
        fail_named(request, IMAGINE_EBREAKER,
                   imi_breaker_retry_after_ms(&provider->breaker, clock.now_ms),
                   "Circuit breaker is OPEN for provider: ");
        return;
    }
    if (!is_tokenless) {
        token = imi_pool_pick(provider->pool, request->api_id, clock);
        if (token == NULL) {
            if (is_probe)
                imi_breaker_forgotten(&provider->breaker);
            wait_or_fail(request, imi_pool_wait_ms(provider->pool, request->api_id, clock));
            return;
        }
    }
    if (request->attempts > 0)
        request->im->counters.rotations++;
    if (is_probe)
        imi_trace(request, "breaker.probe provider=%s", provider->name);
    if (imi_call_start(request, token, is_probe,
                       imi_provider_action(provider, (int)request->action), NULL) != 0) {
        if (is_probe)
            imi_breaker_forgotten(&provider->breaker);
        imi_request_fail(request, IMAGINE_ENOMEM, NULL);
    }
}

/* ---- what a call came to ----------------------------------------------------------------------
 */

static void tell_breaker(imagine_request_t *request, bool has_changed) {
    static const char *const names[] = {"closed", "open", "probing"};
    const imi_provider_t *provider = request->provider;
    if (!has_changed)
        return;
    imi_trace(request, "breaker.%s provider=%s", names[provider->breaker.state], provider->name);
    imi_log(request->im, IMAGINE_LOG_WARN, "breaker.%s provider=%s", names[provider->breaker.state],
            provider->name);
    imi_outage_changed(provider);
}

/* With the provider's own words: that a token is not valid, and why, is told here alone; callers
 * learn only that none can serve. */
static void log_token(imagine_request_t *request, const imagine_call_t *call, const char *event,
                      const char *until) {
    const char *message = call->message != NULL ? call->message : call->verdict.message;
    imi_arena_t arena; /* a request may walk over thousands of tokens */
    imi_trace(request, "token.%s token=#%" PRIu32 "%s%s", event, imi_token_index(call->token),
              until[0] != '\0' ? " until=" : "", until);
    imi_arena_init(&arena, &request->mem, 0);
    imi_log(request->im, IMAGINE_LOG_INFO,
            "token.%s provider=%s token=%s%s%s request=%" PRIu32 " reason=\"%s\"", event,
            request->provider->name, imi_token_fingerprint(call->token),
            until[0] != '\0' ? " until=" : "", until, request->number,
            imi_reason(request->im, &arena, message, request->params.prompt));
    imi_arena_reset(&arena);
}

static void format_until(char out[IMI_TIME_TEXT_SIZE], int64_t unix_ms) {
    imi_time_format(out, unix_ms, false);
}

/* The token's fault: sets it aside. True: another one may try. */
bool imi_request_mark_token(imagine_request_t *request, const imagine_call_t *call, int reason) {
    const imagine_verdict_t *verdict = &call->verdict;
    imi_provider_t *provider = request->provider;
    imi_clock_t clock = imi_clock(request->im);
    char until_text[IMI_TIME_TEXT_SIZE] = "";
    bool is_for_model = verdict->is_for_model != 0 ||
                        (reason == IMAGINE_EQUOTA && request->entry->is_quota_per_model);
    const char *model = is_for_model ? request->api_id : NULL;
    uint64_t cooling_ms;
    bool is_probed = false;
    int64_t until;
    if (call->has_lost_token)
        return true; /* whoever learned it has marked it */
    if (reason == IMAGINE_EQUOTA) {
        until = imi_quota_until(request->entry, clock.unix_ms, verdict->retry_after_ms, &is_probed);
        format_until(until_text, until);
        if (call->token == NULL)
            provider->anonymous_until_ms = clock.now_ms + (uint64_t)(until - clock.unix_ms);
        else
            imi_pool_exhausted(provider->pool, call->token, model, until, is_probed, clock);
    } else if (reason == IMAGINE_ERATE) {
        cooling_ms = verdict->retry_after_ms != 0 ? verdict->retry_after_ms : 5000;
        if (call->token == NULL)
            provider->anonymous_until_ms = clock.now_ms + cooling_ms;
        else
            cooling_ms =
                imi_pool_cooling(provider->pool, call->token, verdict->retry_after_ms, clock);
        format_until(until_text, clock.unix_ms + (int64_t)cooling_ms);
    } else if (call->token == NULL) {
        return false; /* there is no token to blame, and none to try instead */
    } else if (reason == IMAGINE_ETOKEN) {
        imi_pool_invalid(provider->pool, call->token, clock);
    } else if (reason == IMAGINE_EPLAN) {
        imi_pool_no_plan(provider->pool, call->token, request->api_id, clock);
    } else {
        return false;
    }
    if (call->token != NULL)
        log_token(request, call,
                  reason == IMAGINE_EQUOTA   ? "exhausted"
                  : reason == IMAGINE_ERATE  ? "cooling"
                  : reason == IMAGINE_ETOKEN ? "invalid"
                                             : "no_plan",
                  until_text);
    return true;
}

static bool is_provider_fault(int error) {
    return error == IMAGINE_EUPSTREAM || error == IMAGINE_EPROTOCOL || error == IMAGINE_ECONNECT ||
           error == IMAGINE_ETIMEDOUT || error == IMAGINE_ETOOLARGE;
}

/* Token and breaker learn what happened. True: the next token may try. */
static bool account(imagine_request_t *request, imagine_call_t *call) {
    imi_provider_t *provider = request->provider;
    imi_clock_t clock = imi_clock(request->im);
    bool may_rotate = false;
    if (call->error == 0) {
        if (call->token != NULL)
            imi_pool_succeeded(provider->pool, call->token, request->api_id, clock);
        tell_breaker(request, imi_breaker_succeeded(&provider->breaker, clock.now_ms));
    } else {
        may_rotate = imi_request_mark_token(request, call, call->error);
        if (call->token != NULL)
            imi_pool_failed(provider->pool, call->token);
        if (is_provider_fault(call->error) && !call->is_token_fault)
            tell_breaker(request, imi_breaker_failed(&provider->breaker, clock.now_ms));
        else if (call->is_probe)
            imi_breaker_forgotten(&provider->breaker);
    }
    if (call->token != NULL)
        imi_pool_release(provider->pool, call->token);
    call->token = NULL;
    call->is_probe = false;
    return may_rotate;
}

static int http_status_of(const imagine_call_t *call) {
    if (call->error == IMAGINE_EREJECTED && (call->http_status == 413 || call->http_status == 422))
        return call->http_status;
    return imagine_err_http_status(call->error);
}

/* Which token the result tells of: that of the call under way, which is about to go. */
static void name_token(imagine_request_t *request, const imagine_call_t *call) {
    if (call != NULL && call->token != NULL && !atomic_load(&request->has_ended))
        request->result.token =
            imi_arena_strdup(&request->arena, imi_token_fingerprint(call->token));
}

void imi_request_call_ended(imagine_request_t *request, imagine_call_t *call) {
    bool may_rotate;
    IMI_ASSERT(request->call == call && call->has_ended); /* each call reports once */
    name_token(request, call);
    may_rotate = account(request, call);
    request->call = NULL;
    if (call->error == 0) {
        request->kept = call;
        if (!atomic_load(&request->has_ended)) {
            if (!imi_aside_is_in_result(call)) { /* else they are no addresses yet */
                request->result.url = call->result->url;
                request->result.url_size = call->result->url_size;
                request->result.urls = call->result->urls;
                request->result.url_count = call->result->url_count;
            }
            request->result.text = call->result->text;
            request->result.usage_json = call->result->usage_json;
            request->result.revised_prompt = call->result->revised_prompt;
            request->result.width = call->result->width;
            request->result.height = call->result->height;
        }
        /* The request is the call's keeper now: the call's own reference would be a circle. */
        imi_delivery_start(request);
        imagine_request_release(request);
        return;
    }
    /* Another token would begin a text anew of which the caller has pieces. */
    may_rotate = may_rotate && !call->has_streamed;
    if (may_rotate && request->task == NULL && !atomic_load(&request->has_ended)) {
        imi_call_free(call);
        attempt(request);
    } else {
        const char *message = call->message;
        if (!atomic_load(&request->has_ended)) {
            request->result.http_status = http_status_of(call);
            request->result.retry_after_ms = call->verdict.retry_after_ms;
        }
        imi_request_fail(request,
                         call->error == IMAGINE_EQUOTA || call->error == IMAGINE_ERATE
                             ? IMAGINE_EEXHAUSTED
                             : call->error,
                         message);
        imi_call_free(call);
    }
    imagine_request_release(request);
}

void imi_request_became_task(imagine_request_t *request, const char *task_id, uint32_t predict_s) {
    imi_task_t *task;
    imi_trace(request, "task.created predict=%" PRIu32, predict_s);
    drop_input(request);
    if (request->task != NULL) { /* its caller left before */
        imi_task_took(request->task, request->call, task_id, predict_s);
        return;
    }
    task = imi_task_new(request, task_id, predict_s, true);
    if (task == NULL) { /* the work goes on all the same; nobody can ask for it */
        imi_request_fail(request, IMAGINE_ENOMEM, NULL);
        return;
    }
    request->task = task;
    if (!atomic_load(&request->has_ended)) {
        name_token(request, request->call);
        request->result.task_id = imi_arena_strdup(&request->arena, task->id);
        request->result.predict_s = predict_s;
        request->result.task_state = "processing";
        if (request->params.is_job > 0)
            request->result.http_status = 202;
        finish(request);
    }
}

/* ---- the end ----------------------------------------------------------------------------------
 */

static const char *clean_message(imagine_request_t *request, int error, const char *message) {
    char *clean;
    if (message == NULL || message[0] == '\0')
        return imagine_strerror(error);
    clean = imi_text_clean(&request->arena, message, strlen(message), MESSAGE_SIZE_MAX);
    if (clean == NULL)
        return imagine_strerror(error);
    imi_secrets_mask(request->im, clean);
    return clean;
}

static void fill_result(imagine_request_t *request) {
    imagine_result_t *result = &request->result;
    const imagine_params_t *params = &request->params;
    if (request->provider != NULL) { /* what was refused for its model is not repeated in a log */
        result->provider = request->provider->name;
        result->model = params->model;
    }
    result->attempts = request->attempts;
    if (request->provider == NULL || request->action == IMI_TEXT ||
        request->action == IMI_UPSCALE || request->action == IMI_TASK_STATUS)
        return;
    if (result->width == 0 || result->height == 0) { /* else the provider made another size */
        result->width = params->width;
        result->height = params->height;
    }
    result->steps = params->steps;
    result->guidance = params->guidance;
    result->has_seed = 1;
    result->seed = params->seed;
    if (request->model != NULL && result->url != NULL &&
        imi_text_starts_with(result->url, "data:")) /* hosting may have made an address of it */
        result->type = request->model->response_type;
}

/* Takes it out of the client's list; the request may be gone afterwards. */
static void delist(imagine_request_t *request) {
    imagine_t *im = request->im;
    IMI_ASSERT(!imi_list_is_empty(&request->link) && atomic_load(&request->is_over));
    stop_timer(request, &request->timer);
    stop_timer(request, &request->wait);
    imi_list_remove(&request->state.link);
    imi_list_remove(&request->link);
    drop_input(request);
    if (request->catalogue != NULL)
        imi_catalogue_release(request->catalogue);
    request->catalogue = NULL;
    request->entry = NULL;
    request->model = NULL;
    imagine_request_release(request);
    imi_client_request_gone(im);
}

static void call_back(imagine_request_t *request) {
    imagine_t *im = request->im;
    IMI_ASSERT(atomic_load(&request->has_ended) && !atomic_load(&request->is_over));
    IMI_ASSERT(im->counters.in_flight > 0);
    imagine_request_retain(request);
    if (request->result.status == 0)
        im->counters.succeeded++;
    else if (request->result.status == IMAGINE_ECANCELED)
        im->counters.canceled++;
    else
        im->counters.failed++;
    im->counters.in_flight--;
    imi_trace(request, "done status=%s attempts=%" PRIu32, imagine_err_name(request->result.status),
              request->attempts);
    if (request->kept != NULL && request->result.status == 0)
        imi_stream_flush(request->kept);
    if (request->done != NULL)
        request->done(request->result.status, &request->result, request->user);
    atomic_store_explicit(&request->is_over, true, memory_order_release);
    if (request->call == NULL && request->delivery == NULL)
        delist(request);
    else if (arm_deadline(request, IMI_TASK_TIME_MAX_MS) != 0) /* a task, or paid for: goes on */
        imi_log(im, IMAGINE_LOG_WARN, "task.without_deadline request=%" PRIu32, request->number);
    imagine_request_release(request);
}

static void on_deferred_end(void *user) {
    imagine_request_t *request = user;
    request->timer = NULL;
    call_back(request);
}

/* The result stands. The callback follows at once, or in the loop's next turn when we are still
 * inside the caller's own call. */
static void finish(imagine_request_t *request) {
    const imagine_io_t *io = request->im->io;
    IMI_ASSERT(!atomic_load(&request->has_ended)); /* one result, one callback */
    stop_timer(request, &request->timer);
    fill_result(request);
    if (request->result.http_status == 0)
        request->result.http_status =
            request->result.status == 0 ? 200 : imagine_err_http_status(request->result.status);
    atomic_store_explicit(&request->has_ended, true, memory_order_release);
    if (request->is_starting) {
        int err = io->timer_start(io->context, 0, on_deferred_end, request, &request->timer);
        if (err == 0)
            return;
        /* No memory for a timer: rather inside the call than never. */
    }
    call_back(request);
}

/* What nobody waits for any more, but was paid for: it is kept as a task's outcome. */
static void keep_outcome(imagine_request_t *request, bool has_succeeded, const char *outcome) {
    if (request->task == NULL && has_succeeded && !request->is_giving_up)
        request->task = imi_task_new(request, "", 0, true);
    if (request->task != NULL)
        imi_task_ended(request->im, request->task, has_succeeded, outcome);
    request->task = NULL;
    if (atomic_load(&request->is_over)) /* else the caller is still to be told, and then */
        delist(request);
}

void imi_request_succeed(imagine_request_t *request) {
    if (request->kept != NULL && request->kept->result == NULL) {
        imi_request_fail(request, IMAGINE_ECANCELED, "the picture was still on its way");
        return;
    }
    if (atomic_load(&request->has_ended)) {
        char *outcome = imi_result_outcome(request);
        imi_mem_t mem = request->mem; /* the request may go */
        keep_outcome(request, outcome != NULL, outcome != NULL ? outcome : "out of memory");
        imi_mem_free(&mem, outcome);
        return;
    }
    finish(request);
}

void imi_request_fail(imagine_request_t *request, int error, const char *message) {
    const char *clean = clean_message(request, error, message);
    if (atomic_load(&request->has_ended)) {
        keep_outcome(request, false, clean);
        return;
    }
    request->result.status = error;
    request->result.message = clean;
    /* That message alone repeats what the caller wrote, which may be anything. */
    request->result.log_reason =
        error == IMAGINE_EPROVIDER
            ? imagine_strerror(error)
            : imi_reason(request->im, &request->arena, clean, request->params.prompt);
    finish(request);
}

/* Ends what is under way without a word; true: nothing goes on. */
static bool stop_work(imagine_request_t *request, bool is_closing) {
    stop_timer(request, &request->wait);
    imi_list_remove(&request->state.link);
    if (request->delivery != NULL) {
        if (!is_closing)
            return false;
        imi_delivery_stop(request);
    }
    if (request->is_fetching) {
        imi_exchange_reset(&request->fetch);
        request->is_fetching = false;
    }
    if (request->batch != NULL && !is_closing) /* then each is ended by itself */
        imi_batch_cancel(request);
    if (request->call == NULL)
        return true;
    if (!is_closing && imi_call_has_reached(request->call))
        return false;
    imagine_call_t *call = request->call;
    request->call = NULL;
    imi_call_cancel(call);
    imi_call_free(call);
    imagine_request_release(request); /* the call's reference; the list's is still there */
    return true;
}

void imi_request_keep(imagine_request_t *request) {
    char *outcome;
    imi_task_t *task;
    if (request->kept->result == NULL || imi_aside_is_in_result(request->kept))
        return; /* a picture that is in a file yet: it was closing time that ended it */
    outcome = imi_result_outcome(request);
    task = imi_task_new(request, "", 0, true);
    if (task != NULL) {
        imi_task_ended(request->im, task, outcome != NULL,
                       outcome != NULL ? outcome : "out of memory");
        request->result.task_id = imi_arena_strdup(&request->arena, task->id);
    }
    imi_mem_free(&request->mem, outcome);
}

/* The caller leaves: what was paid for goes on as a task, or is kept as one that has ended. Not so
 * a text in pieces, of which the caller has some, and a job, which is a task already. */
static void leave(imagine_request_t *request, bool goes_on) {
    const imagine_call_t *call = request->call;
    if (request->is_giving_up || request->job != NULL || request->params.on_piece != NULL)
        return;
    if (request->batch != NULL) {
        imi_batch_keep(request);
        request->result.task_id = imi_batch_task_id(request);
    } else if (goes_on) {
        const char *upstream_id = call != NULL && call->task_id != NULL ? call->task_id : "";
        request->task = imi_task_new(request, upstream_id, 0, true);
        if (request->task != NULL) /* else keep_outcome() tries again */
            request->result.task_id = imi_arena_strdup(&request->arena, request->task->id);
    } else if (request->kept != NULL) {
        imi_request_keep(request);
    }
}

void imi_request_stop_reading(imagine_request_t *reader) {
    imagine_request_retain(reader);
    stop_work(reader, true);
    reader->task = NULL;
    if (atomic_load(&reader->is_over)) /* else its caller is still to be told of the task */
        delist(reader);
    imagine_request_release(reader);
}

void imi_request_give_up(imagine_request_t *reader) {
    imi_task_t *task = reader->task;
    imagine_request_retain(reader);
    imi_request_tell_cancel(reader);
    stop_work(reader, true);
    imi_task_ended(reader->im, task, false, "canceled");
    reader->task = NULL;
    if (atomic_load(&reader->is_over)) /* else its caller is still to be told of the task */
        delist(reader);
    imagine_request_release(reader);
}

/* As far as it has come, but pictures as a whole. May end the request. False: it was told so
 * before.
 */
static bool hurry(imagine_request_t *request) {
    if (imi_delivery_is_hurried(request))
        return false;
    stop_timer(request, &request->timer);
    (void)arm_deadline(request, IMI_HURRY_MS); /* without one it takes what it takes */
    imi_delivery_hurry(request);
    return true;
}

bool imi_request_wait_for_files(imagine_t *im) {
    bool is_waiting = false;
    for (imi_list_t *link = im->requests.next; link != &im->requests;) {
        imagine_request_t *request = IMI_CONTAINER(link, imagine_request_t, link);
        link = link->next;
        if (request->delivery == NULL || !imi_delivery_waits_for_file(request))
            continue;
        is_waiting = true;
        if (hurry(request))
            link = im->requests.next; /* the list may be another one now */
    }
    return is_waiting;
}

void imi_request_abandon(imagine_request_t *request, int error, bool is_closing) {
    if (atomic_load(&request->has_ended)) {
        if (!is_closing && error == IMAGINE_ECANCELED)
            return; /* over already; what goes on goes on */
        if (!atomic_load(&request->is_over)) {
            stop_timer(request, &request->timer); /* its deferred end comes now */
            call_back(request);
            return;
        }
        if (request->delivery != NULL) { /* its result is at hand, as far as it has come */
            if (!is_closing && hurry(request))
                return;
            imi_delivery_stop(request);
            imi_request_succeed(request);
            return;
        }
        stop_work(request, true);
        if (is_closing) {
            if (request->task != NULL) /* its record is in the store: the next life resumes it */
                request->task->reader = NULL;
            request->task = NULL;
            delist(request);
        } else {
            keep_outcome(request, false, "the provider did not finish within two hours");
        }
        return;
    }
    if (request->delivery != NULL && error == IMAGINE_ETIMEDOUT && hurry(request))
        return; /* likewise */
    if (request->delivery != NULL && request->job != NULL) {
        imi_delivery_stop(request); /* a job that closing ends has its record for it */
        imi_request_succeed(request);
        return;
    }
    if (error == IMAGINE_ETIMEDOUT && request->batch != NULL && imi_batch_settle(request))
        return;
    name_token(request, request->call);
    leave(request, !stop_work(request, is_closing));
    request->result.status = error;
    request->result.message = request->result.log_reason = imagine_strerror(error);
    finish(request);
}

/* `done` never runs inside the caller's own call, so the end is put off to the next turn. */
void imi_request_cancel(imagine_request_t *request) {
    if (request->is_delivering) { /* inside the provider's step, which has to return first */
        request->has_left = true;
        return;
    }
    request->is_starting = true;
    imi_request_abandon(request, IMAGINE_ECANCELED, false);
    request->is_starting = false;
}
