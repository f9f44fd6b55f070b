/* limit.h: how long an exchange may take, phase by phase (imagine_http_request_t). No clock:
 * instants come in. */
#ifndef IMI_UV_LIMIT_H
#define IMI_UV_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum imi_phase {
    IMI_CONNECTING,
    IMI_SENDING, /* head or body of the request are still here */
    IMI_WAITING, /* for the status line */
    IMI_RECEIVING
} imi_phase_t;

typedef struct imi_limits {
    uint64_t started_at_ms;
    uint64_t connected_at_ms;
    uint64_t active_at_ms;       /* bytes went either way */
    uint32_t connect_timeout_ms; /* 0 of any of these: no such limit */
    uint32_t first_byte_timeout_ms;
    uint32_t stall_timeout_ms;
    uint32_t timeout_ms;
    imi_phase_t phase;
    bool is_paused; /* whoever reads the answer wants silence */
} imi_limits_t;

/* The first instant at which one of the limits is passed if nothing happens; UINT64_MAX: never. */
uint64_t imi_limits_due_at_ms(const imi_limits_t *limits);
/* Says which limit that is, in at most `capacity` bytes. */
void imi_limits_explain(const imi_limits_t *limits, char *out, size_t capacity);

#endif
