/* group.c: a list that is complete before it is shared, and two counts: so nobody needs a lock. */
#include "gateway/group.h"

#include "gateway/route.h"

imi_group_t *imi_group_new(const imi_mem_t *mem) {
    imi_group_t *group = imi_mem_zalloc(mem, sizeof(*group));
    if (group == NULL)
        return NULL;
    group->mem = mem;
    atomic_init(&group->use_count, 1);
    atomic_init(&group->work_count, 0);
    return group;
}

imi_metrics_t *imi_group_join(imi_group_t *group) {
    imi_metrics_t *member =
        imi_mem_zalloc(group->mem, sizeof(*member) + imi_route_count() * sizeof(member->routes[0]));
    if (member == NULL)
        return NULL;
    member->next = group->members;
    group->members = member;
    atomic_fetch_add(&group->use_count, 1);
    return member;
}

void imi_group_leave(imi_group_t *group) {
    if (group == NULL || atomic_fetch_sub(&group->use_count, 1) > 1)
        return;
    while (group->members != NULL) {
        imi_metrics_t *member = group->members;
        group->members = member->next;
        imi_mem_free(group->mem, member);
    }
    imi_mem_free(group->mem, group);
}
