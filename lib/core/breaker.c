/* breaker.c: stop asking a provider that keeps failing.
 *   closed  --5 faults in a row, or 11 among the last 20 within a minute--> open
 *   open    --60 s--> probing: one request passes, the others wait for what it says
 *   probing --success--> closed, --fault--> open, --no verdict--> the next request is the probe
 * Reports of requests that were under way when it opened change nothing while it is open. */
#include "core/breaker.h"

#include "imagine.h"

enum {
    FAILURES_IN_ROW_MAX = 5,
    WINDOW_SIZE = sizeof(((imi_breaker_t *)0)->window) / sizeof(((imi_breaker_t *)0)->window[0]),
    WINDOW_MS = 60 * 1000,
    OPEN_MS = 60 * 1000,
    PROBE_PAUSE_MS = 1000 /* how long somebody is told to wait for a probe that is under way */
};

void imi_breaker_init(imi_breaker_t *breaker) {
    *breaker = (imi_breaker_t){.state = IMAGINE_BREAKER_CLOSED};
}

bool imi_breaker_allow(imi_breaker_t *breaker, uint64_t now_ms, bool *out_is_probe) {
    *out_is_probe = false;
    if (breaker->state == IMAGINE_BREAKER_CLOSED)
        return true;
    if (breaker->state == IMAGINE_BREAKER_OPEN) {
        if (now_ms - breaker->opened_at_ms < OPEN_MS)
            return false;
        breaker->state = IMAGINE_BREAKER_PROBING;
        breaker->has_probe = false;
    }
    if (breaker->has_probe)
        return false;
    breaker->has_probe = true;
    *out_is_probe = true;
    return true;
}

static void open_breaker(imi_breaker_t *breaker, uint64_t now_ms) {
    breaker->state = IMAGINE_BREAKER_OPEN;
    breaker->opened_at_ms = now_ms;
    breaker->has_probe = false;
}

static void remember(imi_breaker_t *breaker, uint64_t now_ms, bool has_failed) {
    breaker->window[breaker->window_next].at_ms = now_ms;
    breaker->window[breaker->window_next].has_failed = has_failed;
    breaker->window_next = (breaker->window_next + 1) % WINDOW_SIZE;
    if (breaker->window_count < WINDOW_SIZE)
        breaker->window_count++;
}

static bool is_mostly_failing(const imi_breaker_t *breaker, uint64_t now_ms) {
    uint32_t failure_count = 0;
    for (uint32_t i = 0; i < breaker->window_count; i++)
        if (breaker->window[i].has_failed && now_ms - breaker->window[i].at_ms <= WINDOW_MS)
            failure_count++;
    return failure_count > WINDOW_SIZE / 2;
}

bool imi_breaker_succeeded(imi_breaker_t *breaker, uint64_t now_ms) {
    if (breaker->state == IMAGINE_BREAKER_OPEN)
        return false;
    if (breaker->state == IMAGINE_BREAKER_PROBING) {
        imi_breaker_init(breaker); /* what came before says nothing about the provider now */
        return true;
    }
    breaker->failures_in_row = 0;
    remember(breaker, now_ms, false);
    return false;
}

bool imi_breaker_failed(imi_breaker_t *breaker, uint64_t now_ms) {
    if (breaker->state == IMAGINE_BREAKER_OPEN)
        return false;
    if (breaker->state == IMAGINE_BREAKER_CLOSED) {
        breaker->failures_in_row++;
        remember(breaker, now_ms, true);
        if (breaker->failures_in_row < FAILURES_IN_ROW_MAX && !is_mostly_failing(breaker, now_ms))
            return false;
    }
    open_breaker(breaker, now_ms);
    return true;
}

bool imi_breaker_open_for(imi_breaker_t *breaker, uint64_t now_ms, uint64_t left_ms) {
    if (breaker->state != IMAGINE_BREAKER_CLOSED)
        return false;
    if (left_ms > OPEN_MS)
        left_ms = OPEN_MS;
    open_breaker(breaker, now_ms - (OPEN_MS - left_ms));
    return true;
}

bool imi_breaker_close(imi_breaker_t *breaker) {
    bool is_news = breaker->state == IMAGINE_BREAKER_OPEN;
    if (is_news)
        imi_breaker_init(breaker);
    return is_news;
}

void imi_breaker_forgotten(imi_breaker_t *breaker) {
    breaker->has_probe = false;
}

uint64_t imi_breaker_retry_after_ms(const imi_breaker_t *breaker, uint64_t now_ms) {
    uint64_t open_for_ms = now_ms - breaker->opened_at_ms;
    if (breaker->state == IMAGINE_BREAKER_OPEN)
        return open_for_ms < OPEN_MS ? OPEN_MS - open_for_ms : 0;
    return breaker->state == IMAGINE_BREAKER_PROBING && breaker->has_probe ? PROBE_PAUSE_MS : 0;
}
