/* timer.c: one heap of instants, and one uv_timer_t set to the first of them. It is set again
 * whenever the first one changes, so that the process wakes for what is due and for nothing else.
 *
 * Instants are nanoseconds: rounded to milliseconds, a timer could come up to one too early. */
#include "uv/timer.h"

#include "uv/io.h"
#include "wire/list.h"
#include "wire/mem.h"

enum {
    NS_PER_MS = 1000000,
    UNUSED_MAX = 1024, /* timers kept for the next ones; each has about 60 bytes */
};
#define DELAY_MAX_MS ((uint64_t)365 * 24 * 3600 * 1000) /* far, and the sums below hold */

struct imagine_timer {
    imi_alarm_t alarm;
    imi_uv_t *uv;
    imagine_timer_cb on_timer;
    void *user;
    imagine_timer_t *next; /* while unused */
};

static void on_uv_timer(uv_timer_t *timer);

/* Sets the uv_timer_t to the first alarm, if that is not what it waits for already. */
static void arm(imi_uv_t *uv) {
    imi_timers_t *timers = &uv->timers;
    const imi_heap_node_t *first = imi_heap_first(&timers->heap);
    uint64_t due_at_ms = 0;
    uint64_t now_ms = 0;
    if (timers->is_running)
        return; /* the end of the pass does it once for all */
    if (first == NULL) {
        if (timers->armed_at != 0)
            uv_timer_stop(&timers->timer);
        timers->armed_at = 0;
        return;
    }
    if (first->key == timers->armed_at)
        return;
    timers->armed_at = first->key;
    due_at_ms = ((uint64_t)first->key + NS_PER_MS - 1) / NS_PER_MS;
    now_ms = uv_now(uv->loop); /* behind the clock, maybe: but it is what libuv adds to */
    uv_timer_start(&timers->timer, on_uv_timer, due_at_ms > now_ms ? due_at_ms - now_ms : 0, 0);
}

/* An alarm that is set meanwhile is later than `now`, so that this ends. */
bool imi_timers_run(imi_uv_t *uv) {
    bool was_any_due = false;
    int64_t now = (int64_t)uv_hrtime();
    imi_heap_node_t *first = NULL;
    uv->timers.is_running = true;
    while ((first = imi_heap_first(&uv->timers.heap)) != NULL && first->key <= now) {
        imi_alarm_t *alarm = IMI_CONTAINER(first, imi_alarm_t, node);
        imi_heap_remove(&uv->timers.heap, first);
        alarm->on_due(alarm);
        was_any_due = true;
    }
    uv->timers.is_running = false;
    arm(uv);
    return was_any_due;
}

bool imi_timers_are_due(const imi_uv_t *uv) {
    const imi_heap_node_t *first = imi_heap_first(&uv->timers.heap);
    return first != NULL && first->key <= (int64_t)uv_hrtime();
}

static void on_uv_timer(uv_timer_t *timer) {
    imi_uv_t *uv = timer->data;
    uv->timers.armed_at = 0;
    (void)imi_timers_run(uv);
}

void imi_timers_init(imi_uv_t *uv) {
    imi_heap_init(&uv->timers.heap, uv->mem);
}

void imi_timers_open(imi_uv_t *uv) {
    uv_timer_init(uv->loop, &uv->timers.timer); /* cannot fail */
    uv->timers.timer.data = uv;
    imi_uv_adopt(uv, (uv_handle_t *)&uv->timers.timer);
}

void imi_timers_close(imi_uv_t *uv) {
    imi_timers_reset(uv);
    imi_uv_close_handle((uv_handle_t *)&uv->timers.timer);
}

void imi_timers_reset(imi_uv_t *uv) {
    while (uv->timers.unused != NULL) {
        imagine_timer_t *timer = uv->timers.unused;
        uv->timers.unused = timer->next;
        imi_mem_free(uv->mem, timer);
    }
    imi_heap_reset(&uv->timers.heap);
}

int imi_alarm_init(imi_uv_t *uv, imi_alarm_t *alarm, void (*on_due)(imi_alarm_t *alarm)) {
    if (imi_heap_reserve(&uv->timers.heap, uv->timers.alarm_count + 1) != 0)
        return IMAGINE_ENOMEM;
    uv->timers.alarm_count++;
    *alarm = (imi_alarm_t){.on_due = on_due};
    return 0;
}

void imi_alarm_reset(imi_uv_t *uv, imi_alarm_t *alarm) {
    imi_alarm_cancel(uv, alarm);
    uv->timers.alarm_count--;
}

void imi_alarm_set(imi_uv_t *uv, imi_alarm_t *alarm, uint64_t delay_ms) {
    uint64_t delay_ns = (delay_ms < DELAY_MAX_MS ? delay_ms : DELAY_MAX_MS) * NS_PER_MS;
    int64_t due_at =
        (int64_t)(uv_hrtime() + delay_ns + 1); /* + 1: later than the pass now running */
    (void)imi_heap_insert(&uv->timers.heap, &alarm->node, due_at); /* has its room */
    if (delay_ms == 0)
        imi_uv_wake(uv); /* libuv would sleep for what is left of this millisecond */
    arm(uv);
}

void imi_alarm_cancel(imi_uv_t *uv, imi_alarm_t *alarm) {
    if (alarm->node.index == 0)
        return;
    imi_heap_remove(&uv->timers.heap, &alarm->node);
    arm(uv);
}

static void retire(imagine_timer_t *timer) {
    imi_timers_t *timers = &timer->uv->timers;
    imi_uv_release(timer->uv);
    imi_alarm_reset(timer->uv, &timer->alarm);
    if (timers->unused_count == UNUSED_MAX) {
        imi_mem_free(timer->uv->mem, timer);
        return;
    }
    timer->next = timers->unused;
    timers->unused = timer;
    timers->unused_count++;
}

static void on_timer_due(imi_alarm_t *alarm) {
    imagine_timer_t *timer = IMI_CONTAINER(alarm, imagine_timer_t, alarm);
    imagine_timer_cb on_timer = timer->on_timer;
    void *user = timer->user;
    retire(timer);
    on_timer(user);
}

int imi_timer_start(void *context, uint64_t delay_ms, imagine_timer_cb on_timer, void *user,
                    imagine_timer_t **out) {
    imi_uv_t *uv = context;
    imagine_timer_t *timer = uv->timers.unused;
    *out = NULL;
    if (timer == NULL) {
        timer = imi_mem_alloc(uv->mem, sizeof(*timer));
        if (timer == NULL)
            return IMAGINE_ENOMEM;
    } else {
        uv->timers.unused = timer->next;
        uv->timers.unused_count--;
    }
    *timer = (imagine_timer_t){.uv = uv, .on_timer = on_timer, .user = user};
    if (imi_alarm_init(uv, &timer->alarm, on_timer_due) != 0) {
        imi_mem_free(uv->mem, timer);
        return IMAGINE_ENOMEM;
    }
    imi_uv_hold(uv);
    imi_alarm_set(uv, &timer->alarm, delay_ms);
    *out = timer;
    return 0;
}

void imi_timer_cancel(void *context, imagine_timer_t *timer) {
    (void)context;
    retire(timer);
}
