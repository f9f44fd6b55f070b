/* thread.c: a private thread that runs a loop, and await(), by which other threads have a step done
 * on it:
 *
 *   caller: puts a waiter into `fresh`, wakes the loop, sleeps on the waiter's condition
 *   loop:   before it sleeps, runs the fresh steps, then asks the waiting ones again
 *   step returned 0:      the waiter goes to `waiting` and is asked again in every turn
 *   step returned non-0:  the caller is woken
 *   caller's time is up:  it takes its waiter out, unless the step is running just then
 *   the thread ends:      it sends everybody away, and waits until they have gone
 *
 * A waiter lives on its caller's stack and belongs to the lists, hence to the mutex, until it is
 * done or taken out. Fresh steps do work and run without the mutex, so that others can queue up
 * meanwhile; a step that is asked again mostly looks at a flag, and all of them are asked under one
 * lock. */
#include "uv/thread.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "uv/io.h"
#include "wire/list.h"
#include "wire/assert.h"
#include "wire/mem.h"

enum {
    ROUNDS_MAX = 8, /* of asking all steps in one turn: then events have their chance */
    NS_PER_MS = 1000000,
};
#define TIMEOUT_MAX_MS (INT64_MAX / NS_PER_MS) /* longer is as good as for ever */

typedef struct waiter {
    imi_list_t node;
    uv_cond_t condition;
    imagine_await_cb step;
    void *user;
    int error;       /* what await() returns */
    bool is_running; /* the step, without the mutex */
    bool is_done;
} waiter_t;

struct imi_thread {
    const imi_mem_t *mem;
    uv_loop_t loop;
    uv_thread_t id;
    uv_prepare_t prepare; /* runs after timers and events, before the loop sleeps */
    uv_mutex_t mutex;
    imi_list_t fresh;
    imi_list_t waiting;
    size_t caller_count; /* threads inside await() */
    uv_cond_t all_left;  /* no such thread any more, and we are closing */
    bool is_closing;
    bool is_detached; /* nobody joins: the thread frees everything itself */
};

imi_thread_t *imi_thread_new(const imi_mem_t *mem) {
    imi_thread_t *thread = imi_mem_zalloc(mem, sizeof(*thread));
    if (thread == NULL)
        return NULL;
    thread->mem = mem;
    if (uv_mutex_init(&thread->mutex) != 0) {
        imi_mem_free(mem, thread);
        return NULL;
    }
    if (uv_cond_init(&thread->all_left) != 0) {
        uv_mutex_destroy(&thread->mutex);
        imi_mem_free(mem, thread);
        return NULL;
    }
    if (uv_loop_init(&thread->loop) != 0) {
        uv_cond_destroy(&thread->all_left);
        uv_mutex_destroy(&thread->mutex);
        imi_mem_free(mem, thread);
        return NULL;
    }
    imi_list_init(&thread->fresh);
    imi_list_init(&thread->waiting);
    return thread;
}

void imi_thread_free(imi_thread_t *thread) {
    int err = 0;
    if (thread == NULL)
        return;
    uv_run(&thread->loop, UV_RUN_DEFAULT); /* of a failed start: closes what was opened */
    err = uv_loop_close(&thread->loop);
    IMI_ASSERT(err == 0);
    uv_cond_destroy(&thread->all_left);
    uv_mutex_destroy(&thread->mutex);
    imi_mem_free(thread->mem, thread);
}

uv_loop_t *imi_thread_loop(imi_thread_t *thread) {
    return &thread->loop;
}

/* ---- on the loop's thread ---------------------------------------------------------------- */

static waiter_t *first_of(imi_list_t *list) {
    return imi_list_is_empty(list) ? NULL : IMI_CONTAINER(list->next, waiter_t, node);
}

static void finish(waiter_t *waiter) {
    imi_list_remove(&waiter->node);
    waiter->is_done = true;
    uv_cond_signal(&waiter->condition);
}

/* With the mutex held, as the next one. */
static void run_fresh(imi_thread_t *thread) {
    imi_list_t batch; /* those that are here now: more of them wait for the next turn */
    waiter_t *waiter = NULL;
    imi_list_init(&batch);
    while ((waiter = first_of(&thread->fresh)) != NULL) {
        imi_list_remove(&waiter->node);
        imi_list_append(&batch, &waiter->node);
    }
    while ((waiter = first_of(&batch)) != NULL) {
        bool is_done = false;
        waiter->is_running = true;
        uv_mutex_unlock(&thread->mutex);
        is_done = waiter->step(waiter->user) != 0;
        uv_mutex_lock(&thread->mutex);
        waiter->is_running = false;
        if (is_done) {
            finish(waiter);
            continue;
        }
        imi_list_remove(&waiter->node);
        imi_list_append(&thread->waiting, &waiter->node);
        uv_cond_signal(&waiter->condition); /* its time may have run out meanwhile */
    }
}

/* True: something was done, and others before it in the list may have waited for that. */
static bool run_waiting(imi_thread_t *thread) {
    bool was_any_done = false;
    imi_list_t *node = thread->waiting.next;
    while (node != &thread->waiting) {
        waiter_t *waiter = IMI_CONTAINER(node, waiter_t, node);
        node = node->next; /* only this thread adds, and nobody removes under the mutex */
        if (waiter->step(waiter->user) != 0) {
            finish(waiter);
            was_any_done = true;
        }
    }
    return was_any_done;
}

static bool run_steps(imi_uv_t *uv) {
    imi_thread_t *thread = uv->thread;
    bool was_any_done = false;
    uv_mutex_lock(&thread->mutex);
    run_fresh(thread);
    was_any_done = run_waiting(thread);
    uv->is_closing = thread->is_closing;
    uv_mutex_unlock(&thread->mutex);
    return was_any_done;
}

/* The loop goes to sleep next. So what the steps have started goes out before, and when anything
 * was done by either, the steps are asked once more. */
static void on_prepare(uv_prepare_t *prepare) {
    imi_uv_t *uv = prepare->data;
    bool is_busy = true;
    for (int i = 0; i < ROUNDS_MAX && is_busy && !uv->is_closing; i++) {
        is_busy = run_steps(uv);
        is_busy = imi_uv_work(uv) || is_busy;
    }
    if (is_busy && !uv->is_closing)
        imi_uv_wake(uv);
}

void imi_thread_close_handles(imi_uv_t *uv) {
    imi_uv_close_handle((uv_handle_t *)&uv->thread->prepare);
}

/* Callers whose step is done may still be on their way out; of others nobody will ask the step
 * again. None of them may find the mutex gone. */
static void send_callers_away(imi_thread_t *thread) {
    waiter_t *waiter = NULL;
    uv_mutex_lock(&thread->mutex);
    while ((waiter = first_of(&thread->fresh)) != NULL ||
           (waiter = first_of(&thread->waiting)) != NULL) {
        waiter->error = IMAGINE_ECLOSED;
        finish(waiter);
    }
    while (thread->caller_count > 0)
        uv_cond_wait(&thread->all_left, &thread->mutex);
    uv_mutex_unlock(&thread->mutex);
}

static void run(void *argument) {
    imi_uv_t *uv = argument;
    imi_thread_t *thread = uv->thread;
    imagine_closed_cb closed = NULL;
    void *user = NULL;
    uv_run(&thread->loop, UV_RUN_DEFAULT);
    send_callers_away(thread);
    if (!thread->is_detached)
        return; /* the one who joins frees it */
    closed = uv->closed;
    user = uv->closed_user;
    pthread_detach(pthread_self());
    imi_thread_free(thread);
    imi_mem_free(uv->mem, uv);
    if (closed != NULL)
        closed(user);
}

/* ---- on any thread ----------------------------------------------------------------------- */

/* Signals are the host's: none is to interrupt our thread. */
int imi_thread_start(imi_uv_t *uv) {
    imi_thread_t *thread = uv->thread;
    sigset_t all;
    sigset_t before;
    int err = 0;
    uv_prepare_init(&thread->loop, &thread->prepare); /* cannot fail */
    thread->prepare.data = uv;
    imi_uv_adopt(uv, (uv_handle_t *)&thread->prepare);
    uv_prepare_start(&thread->prepare, on_prepare);
    imi_uv_hold(uv); /* until it is closed */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    err = uv_thread_create(&thread->id, run, uv);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err == 0 ? 0 : IMAGINE_EIO;
}

static bool is_on_thread(const imi_thread_t *thread) {
    uv_thread_t self = uv_thread_self();
    return uv_thread_equal(&self, &thread->id) != 0;
}

void imi_thread_close(imi_uv_t *uv, imagine_closed_cb closed, void *user) {
    imi_thread_t *thread = uv->thread;
    uv_thread_t id = thread->id;
    bool is_detached = closed != NULL || is_on_thread(thread);
    uv_mutex_lock(&thread->mutex);
    IMI_ASSERT(!thread->is_closing);
    uv->closed = closed;
    uv->closed_user = user;
    thread->is_detached = is_detached;
    thread->is_closing = true;
    uv_async_send(&uv->waker); /* inside the lock: once it is released, `uv` may be gone */
    uv_mutex_unlock(&thread->mutex);
    if (is_detached)
        return;
    uv_thread_join(&id);
    imi_thread_free(thread);
    imi_mem_free(uv->mem, uv);
}

/* With the mutex held. After IMAGINE_ETIMEDOUT the step never runs again. */
static int wait_for(imi_thread_t *thread, waiter_t *waiter, int64_t timeout_ms) {
    uint64_t timeout_ns = timeout_ms < 0 ? 0 : (uint64_t)timeout_ms * NS_PER_MS;
    uint64_t start_at = uv_hrtime();
    if (timeout_ms > TIMEOUT_MAX_MS)
        timeout_ms = -1;
    while (!waiter->is_done) {
        uint64_t passed_ns = timeout_ms < 0 ? 0 : uv_hrtime() - start_at;
        if (timeout_ms < 0 || (passed_ns >= timeout_ns && waiter->is_running)) {
            uv_cond_wait(&waiter->condition, &thread->mutex);
        } else if (passed_ns >= timeout_ns) {
            imi_list_remove(&waiter->node);
            return IMAGINE_ETIMEDOUT;
        } else {
            (void)uv_cond_timedwait(&waiter->condition, &thread->mutex, timeout_ns - passed_ns);
        }
    }
    return waiter->error;
}

int imi_thread_await(void *context, imagine_await_cb step, void *user, int64_t timeout_ms) {
    imi_uv_t *uv = context;
    imi_thread_t *thread = uv->thread;
    waiter_t waiter = {.step = step, .user = user};
    bool is_first = false;
    int err = 0;
    if (is_on_thread(thread))
        return step(user) != 0 ? 0 : IMAGINE_EDEADLK;
    if (uv_cond_init(&waiter.condition) != 0)
        return IMAGINE_ENOMEM;
    imi_list_init(&waiter.node);
    uv_mutex_lock(&thread->mutex);
    thread->caller_count++;
    is_first = imi_list_is_empty(&thread->fresh);
    imi_list_append(&thread->fresh, &waiter.node);
    if (is_first)
        uv_async_send(&uv->waker); /* the others ride along */
    err = wait_for(thread, &waiter, timeout_ms);
    if (--thread->caller_count == 0)
        uv_cond_signal(&thread->all_left);
    uv_mutex_unlock(&thread->mutex);
    uv_cond_destroy(&waiter.condition);
    return err;
}
