/* limit.c: the tightest of the limits that apply in a phase. */
#include "uv/limit.h"

#include <stdio.h>

typedef struct limit {
    uint64_t due_at_ms;
    uint32_t span_ms;
    const char *format;
} limit_t;

static void tighten(limit_t *limit, uint64_t from_ms, uint32_t span_ms, const char *format) {
    if (span_ms != 0 && from_ms + span_ms < limit->due_at_ms)
        *limit = (limit_t){from_ms + span_ms, span_ms, format};
}

static limit_t first_of(const imi_limits_t *limits) {
    limit_t first = {.due_at_ms = UINT64_MAX, .format = "no limit of %u ms"};
    tighten(&first, limits->started_at_ms, limits->timeout_ms, "not done within %u ms");
    if (limits->phase == IMI_CONNECTING)
        tighten(&first, limits->started_at_ms, limits->connect_timeout_ms,
                "no connection within %u ms");
    if (limits->phase == IMI_SENDING || limits->phase == IMI_WAITING)
        tighten(&first, limits->connected_at_ms, limits->first_byte_timeout_ms,
                "no answer within %u ms");
    if (limits->phase == IMI_SENDING)
        tighten(&first, limits->active_at_ms, limits->stall_timeout_ms,
                "silence for %u ms inside the request's body");
    if (limits->phase == IMI_RECEIVING && !limits->is_paused)
        tighten(&first, limits->active_at_ms, limits->stall_timeout_ms,
                "silence for %u ms inside the answer");
    return first;
}

uint64_t imi_limits_due_at_ms(const imi_limits_t *limits) {
    return first_of(limits).due_at_ms;
}

void imi_limits_explain(const imi_limits_t *limits, char *out, size_t capacity) {
    limit_t first = first_of(limits);
    snprintf(out, capacity, first.format, first.span_ms);
}
