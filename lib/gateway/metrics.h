/* metrics.h: what the gateway counts, and all of it as Prometheus text (format 0.0.4). */
#ifndef IMI_GATEWAY_METRICS_H
#define IMI_GATEWAY_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "imagine.h"
#include "wire/buf.h"

#define IMI_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum { IMI_METRICS_BUCKET_COUNT = 14, IMI_METRICS_CLASS_COUNT = 6 };

typedef struct imi_metrics_route {
    uint64_t by_class[IMI_METRICS_CLASS_COUNT]; /* [2]: 2xx …; [0]: the caller left first */
    uint64_t buckets[IMI_METRICS_BUCKET_COUNT]; /* answers no slower than each bound, not summed */
    uint64_t duration_sum_ms;
} imi_metrics_route_t;

typedef struct imi_metrics {
    imi_metrics_route_t *routes; /* one per route of the table */
} imi_metrics_t;

/* status 0: there was no answer. */
void imi_metrics_record(imi_metrics_t *metrics, size_t route_index, int32_t status,
                        uint64_t duration_ms);
/* in_flight: the gateway's exchanges. Errors stick in the buffer. */
void imi_metrics_write(const imi_metrics_t *metrics, imagine_t *im, size_t in_flight,
                       imi_buf_t *out);

#endif
