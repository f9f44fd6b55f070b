/* metrics.h: what the gateway counts, and all of it as Prometheus text (format 0.0.4). */
#ifndef IMI_GATEWAY_METRICS_H
#define IMI_GATEWAY_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "imagine.h"
#include "wire/buf.h"

#define IMI_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum {
    IMI_METRICS_BUCKET_COUNT = 14,
    IMI_METRICS_CLASS_COUNT = 6,
    IMI_METRICS_CLIENT_COUNT = 9, /* the numbers of imagine_counters_t, in its order */
};

/* Written by one thread, read by those of the other members (group.h). */
typedef _Atomic uint64_t imi_metric_t;

typedef struct imi_metrics_route {
    imi_metric_t by_class[IMI_METRICS_CLASS_COUNT]; /* [2]: 2xx …; [0]: the caller left first */
    imi_metric_t buckets[IMI_METRICS_BUCKET_COUNT]; /* answers no slower than each bound, not summed
                                                     */
    imi_metric_t duration_sum_ms;
} imi_metrics_route_t;

/* What one gateway counts. */
typedef struct imi_metrics {
    struct imi_metrics *next; /* of the other members of its group */
    imi_metric_t exchanges;   /* in flight; this one and the client's, when last published: */
    imi_metric_t client[IMI_METRICS_CLIENT_COUNT];
    imi_metrics_route_t routes[]; /* one per route of the table */
} imi_metrics_t;

/* status 0: there was no answer. */
void imi_metrics_record(imi_metrics_t *metrics, size_t route_index, int32_t status,
                        uint64_t duration_ms);
/* Takes over what the gateway's client counts. */
void imi_metrics_publish(imi_metrics_t *metrics, imagine_t *im, size_t in_flight);
/* The sum of all members; tokens and breakers as this client knows them. Errors stick in the
 * buffer. */
void imi_metrics_write(const imi_metrics_t *members, imagine_t *im, imi_buf_t *out);

#endif
