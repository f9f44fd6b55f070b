/* breaker.h: stop asking a provider that keeps failing. No I/O; time comes in as an argument. */
#ifndef IMI_CORE_BREAKER_H
#define IMI_CORE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct imi_breaker {
    int state; /* IMAGINE_BREAKER_… */
    uint32_t failures_in_row;
    uint64_t opened_at_ms;
    uint32_t window_count; /* outcomes in the window, at most 20 */
    uint32_t window_next;
    struct {
        uint64_t at_ms;
        bool has_failed;
    } window[20];
    bool has_probe; /* the one request that may pass while probing is under way */
} imi_breaker_t;

void imi_breaker_init(imi_breaker_t *breaker);
/* May a request pass? While probing, the one that is let through must end with succeeded, failed or
 * forgotten; *out_is_probe tells that it is the probe. */
bool imi_breaker_allow(imi_breaker_t *breaker, uint64_t now_ms, bool *out_is_probe);
/* Both return true when the state changed. */
bool imi_breaker_succeeded(imi_breaker_t *breaker, uint64_t now_ms);
bool imi_breaker_failed(imi_breaker_t *breaker, uint64_t now_ms);
/* What somebody else has found: true when that is news. Longer than usual never. */
bool imi_breaker_open_for(imi_breaker_t *breaker, uint64_t now_ms, uint64_t left_ms);
bool imi_breaker_close(imi_breaker_t *breaker);
void imi_breaker_forgotten(imi_breaker_t *breaker); /* the probe ended without a verdict */
/* 0: a request may pass now. */
uint64_t imi_breaker_retry_after_ms(const imi_breaker_t *breaker, uint64_t now_ms);

#endif
