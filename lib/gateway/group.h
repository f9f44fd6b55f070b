/* group.h: gateways on threads of their own that are one server: what they count together. A
 * gateway that nobody joined is a group of one. */
#ifndef IMI_GATEWAY_GROUP_H
#define IMI_GATEWAY_GROUP_H

#include <stdatomic.h>
#include <stddef.h>

#include "gateway/metrics.h"
#include "wire/mem.h"

typedef struct imi_group {
    const imi_mem_t *mem; /* fit for several threads when they share the group */
    atomic_size_t use_count;
    atomic_size_t work_count; /* actions under way in all of them, for MAX_IN_FLIGHT */
    imi_metrics_t *members;   /* one for each that ever joined; stay as long as the group */
} imi_group_t;

/* A group without members; NULL without memory. Give it back with imi_group_leave(). */
imi_group_t *imi_group_new(const imi_mem_t *mem);
/* One member more, before the others have threads of their own; NULL without memory. Each
 * successful join is given back with imi_group_leave(). */
imi_metrics_t *imi_group_join(imi_group_t *group);
/* The last one frees the group. NULL is fine. Any thread. */
void imi_group_leave(imi_group_t *group);

#endif
