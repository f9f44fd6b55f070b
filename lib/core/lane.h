/* lane.h: the healthy tokens of a pool in the order in which they serve: fewest calls in flight
 * first, then unused longest. Tokens that are passed over for the same models share a lane; in a
 * lane stands one row per number of calls in flight, longest unused first. So a pick looks at the
 * head of each lane, and a call that begins or ends moves its token to the next row: neither
 * depends on how many tokens there are. After imi_lanes_reserve() nothing here can fail. */
#ifndef IMI_CORE_LANE_H
#define IMI_CORE_LANE_H

#include <stddef.h>
#include <stdint.h>

#include "wire/list.h"
#include "wire/mem.h"

typedef struct imi_row imi_row_t;
typedef struct imi_lane_chunk imi_lane_chunk_t;

typedef struct imi_lane_node { /* inside the token */
    imi_list_t link;
    imi_row_t *row; /* NULL: in no lane */
    uint64_t used;  /* when a call last began or ended here: smaller is longer ago, 0 is never */
    uint32_t in_flight; /* counts in and out of the lanes */
    uint32_t reserved;
} imi_lane_node_t;

typedef struct imi_lanes {
    const imi_mem_t *mem;
    imi_list_t lanes;
    imi_list_t spare_lanes, spare_rows;
    imi_lane_chunk_t *chunks; /* the memory of all of them */
    size_t capacity;          /* so many nodes may be in lanes */
    uint64_t last_use;
    uint64_t step_count; /* lanes and rows looked at so far: what a test holds constant */
} imi_lanes_t;

void imi_lanes_init(imi_lanes_t *lanes, const imi_mem_t *mem);
void imi_lanes_reset(imi_lanes_t *lanes);                /* the nodes are their owners' */
int imi_lanes_reserve(imi_lanes_t *lanes, size_t count); /* room for so many; -1: no memory */

/* `models`: one bit for each model that the node is passed over for. */
void imi_lanes_join(imi_lanes_t *lanes, imi_lane_node_t *node, uint64_t models);
void imi_lanes_leave(imi_lanes_t *lanes, imi_lane_node_t *node); /* harmless if it is in none */
/* The node that serves next among those that are not passed over for `model`, a bit or 0. NULL:
 * there is none. */
imi_lane_node_t *imi_lanes_first(imi_lanes_t *lanes, uint64_t model);
/* A call begins or has ended, whether the node is in a lane or not. */
void imi_lanes_begin(imi_lanes_t *lanes, imi_lane_node_t *node);
void imi_lanes_end(imi_lanes_t *lanes, imi_lane_node_t *node);

#endif
