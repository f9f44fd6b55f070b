/* timer.h: all instants that somebody waits for, in one heap behind one uv_timer_t. */
#ifndef IMI_UV_TIMER_H
#define IMI_UV_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "imagine/io.h"
#include "wire/heap.h"

typedef struct imi_uv imi_uv_t;

/* An instant inside what it belongs to. */
typedef struct imi_alarm {
    imi_heap_node_t node; /* key: nanoseconds of uv_hrtime() */
    void (*on_due)(struct imi_alarm *alarm);
} imi_alarm_t;

typedef struct imi_timers {
    uv_timer_t timer;
    imi_heap_t heap;
    size_t alarm_count; /* alarms that exist, set or not: the heap has room for them all */
    int64_t armed_at;   /* key that `timer` waits for; 0: none */
    bool is_running;    /* inside imi_timers_run() */
    imagine_timer_t *unused;
    size_t unused_count;
} imi_timers_t;

void imi_timers_init(imi_uv_t *uv); /* then alarms can be initialised, */
void imi_timers_open(imi_uv_t *uv); /* and set */
void imi_timers_close(imi_uv_t *uv);
void imi_timers_reset(imi_uv_t *uv); /* frees; of timers that are not open, or closed */

/* Calls whatever is due. False: nothing was. */
bool imi_timers_run(imi_uv_t *uv);
bool imi_timers_are_due(const imi_uv_t *uv);

/* Makes room for one more alarm, so that setting it cannot fail: 0 or IMAGINE_ENOMEM. */
int imi_alarm_init(imi_uv_t *uv, imi_alarm_t *alarm, void (*on_due)(imi_alarm_t *alarm));
/* Cancels it and gives its room back. */
void imi_alarm_reset(imi_uv_t *uv, imi_alarm_t *alarm);
/* Comes once, in a later turn of the loop; replaces what was set. */
void imi_alarm_set(imi_uv_t *uv, imi_alarm_t *alarm, uint64_t delay_ms);
void imi_alarm_cancel(imi_uv_t *uv, imi_alarm_t *alarm);

/* imagine_io_t.timer_start and timer_cancel. */
int imi_timer_start(void *context, uint64_t delay_ms, imagine_timer_cb on_timer, void *user,
                    imagine_timer_t **out);
void imi_timer_cancel(void *context, imagine_timer_t *timer);

#endif
