/* lane.c: see lane.h. Lanes and rows that are empty do not exist: a lane holds at least one row, a
 * row at least one node, so there are never more of either than nodes. */
#include "core/lane.h"

#include <stdbool.h>

#include "wire/assert.h"

struct imi_row {
    imi_list_t link; /* in its lane, by calls in flight; or among the spare ones */
    imi_list_t nodes;
    struct imi_lane *lane;
    uint32_t in_flight;
};

typedef struct imi_lane {
    imi_list_t link;
    imi_list_t rows;
    uint64_t models;
} imi_lane_t;

struct imi_lane_chunk {
    imi_lane_chunk_t *next;
    struct {
        imi_row_t row;
        imi_lane_t lane;
    } pairs[];
};

#define ROW(list) IMI_CONTAINER(list, imi_row_t, link)
#define LANE(list) IMI_CONTAINER(list, imi_lane_t, link)
#define NODE(list) IMI_CONTAINER(list, imi_lane_node_t, link)

void imi_lanes_init(imi_lanes_t *lanes, const imi_mem_t *mem) {
    *lanes = (imi_lanes_t){.mem = mem};
    imi_list_init(&lanes->lanes);
    imi_list_init(&lanes->spare_lanes);
    imi_list_init(&lanes->spare_rows);
}

void imi_lanes_reset(imi_lanes_t *lanes) {
    while (lanes->chunks != NULL) {
        imi_lane_chunk_t *chunk = lanes->chunks;
        lanes->chunks = chunk->next;
        imi_mem_free(lanes->mem, chunk);
    }
    imi_lanes_init(lanes, lanes->mem);
}

int imi_lanes_reserve(imi_lanes_t *lanes, size_t count) {
    imi_lane_chunk_t *chunk = NULL;
    size_t extra = count > lanes->capacity ? count - lanes->capacity : 0;
    if (extra == 0)
        return 0;
    if (extra > SIZE_MAX / 2 / sizeof(chunk->pairs[0]))
        return -1;
    chunk = imi_mem_alloc(lanes->mem, sizeof(*chunk) + extra * sizeof(chunk->pairs[0]));
    if (chunk == NULL)
        return -1;
    for (size_t i = 0; i < extra; i++) {
        imi_list_append(&lanes->spare_rows, &chunk->pairs[i].row.link);
        imi_list_append(&lanes->spare_lanes, &chunk->pairs[i].lane.link);
    }
    chunk->next = lanes->chunks;
    lanes->chunks = chunk;
    lanes->capacity = count;
    return 0;
}

/* ---- rows and lanes come and go with their nodes ----------------------------------------------
 */

static imi_lane_t *lane_of(imi_lanes_t *lanes, uint64_t models) {
    imi_lane_t *lane = NULL;
    for (imi_list_t *at = lanes->lanes.next; at != &lanes->lanes; at = at->next) {
        lanes->step_count++;
        if (LANE(at)->models == models)
            return LANE(at);
    }
    IMI_ASSERT(!imi_list_is_empty(&lanes->spare_lanes)); /* imi_lanes_reserve() came first */
    lane = LANE(lanes->spare_lanes.next);
    imi_list_remove(&lane->link);
    imi_list_append(&lanes->lanes, &lane->link);
    imi_list_init(&lane->rows);
    lane->models = models;
    return lane;
}

/* The row for so many calls in flight, looked for from `position` in either direction. */
static imi_row_t *row_near(imi_lanes_t *lanes, imi_lane_t *lane, imi_list_t *position,
                           uint32_t in_flight) {
    imi_row_t *row = NULL;
    while (position != &lane->rows && ROW(position)->in_flight >= in_flight) {
        lanes->step_count++;
        position = position->previous;
    }
    while (position->next != &lane->rows && ROW(position->next)->in_flight < in_flight) {
        lanes->step_count++;
        position = position->next;
    }
    if (position->next != &lane->rows && ROW(position->next)->in_flight == in_flight)
        return ROW(position->next);
    IMI_ASSERT(!imi_list_is_empty(&lanes->spare_rows));
    row = ROW(lanes->spare_rows.next);
    imi_list_remove(&row->link);
    imi_list_insert_after(position, &row->link);
    imi_list_init(&row->nodes);
    row->lane = lane;
    row->in_flight = in_flight;
    return row;
}

/* Takes the node out; where its row was, in *out_position. The lane stays, even when it is empty.
 */
static imi_lane_t *take_out(imi_lanes_t *lanes, imi_lane_node_t *node, imi_list_t **out_position) {
    imi_row_t *row = node->row;
    imi_lane_t *lane = row->lane;
    *out_position = &row->link;
    imi_list_remove(&node->link);
    node->row = NULL;
    if (imi_list_is_empty(&row->nodes)) {
        *out_position = row->link.previous;
        imi_list_remove(&row->link);
        imi_list_append(&lanes->spare_rows, &row->link);
    }
    return lane;
}

void imi_lanes_join(imi_lanes_t *lanes, imi_lane_node_t *node, uint64_t models) {
    IMI_ASSERT(node->row == NULL); /* in one lane at a time */
    imi_lane_t *lane = lane_of(lanes, models);
    imi_row_t *row = row_near(lanes, lane, &lane->rows, node->in_flight);
    bool is_oldest = !imi_list_is_empty(&row->nodes) && node->used < NODE(row->nodes.next)->used;
    node->row = row;
    /* Exactly by its last use would mean to walk the row. A node that was away goes to one of the
     * ends: it waits for one round at most. */
    if (is_oldest)
        imi_list_insert_after(&row->nodes, &node->link);
    else
        imi_list_append(&row->nodes, &node->link);
}

void imi_lanes_leave(imi_lanes_t *lanes, imi_lane_node_t *node) {
    imi_list_t *position = NULL;
    imi_lane_t *lane = NULL;
    if (node->row == NULL)
        return;
    lane = take_out(lanes, node, &position);
    if (imi_list_is_empty(&lane->rows)) {
        imi_list_remove(&lane->link);
        imi_list_append(&lanes->spare_lanes, &lane->link);
    }
}

/* ---- who serves next --------------------------------------------------------------------------
 */

imi_lane_node_t *imi_lanes_first(imi_lanes_t *lanes, uint64_t model) {
    imi_lane_node_t *best = NULL;
    for (imi_list_t *at = lanes->lanes.next; at != &lanes->lanes; at = at->next) {
        imi_lane_node_t *node = NODE(ROW(LANE(at)->rows.next)->nodes.next);
        lanes->step_count++;
        if ((LANE(at)->models & model) != 0)
            continue;
        if (best == NULL || node->in_flight < best->in_flight ||
            (node->in_flight == best->in_flight && node->used < best->used))
            best = node;
    }
    return best;
}

/* To the end of the row that it belongs to now: nobody was in use more recently. */
static void move(imi_lanes_t *lanes, imi_lane_node_t *node) {
    imi_list_t *position = NULL;
    imi_lane_t *lane = NULL;
    node->used = ++lanes->last_use;
    if (node->row == NULL)
        return;
    lane = take_out(lanes, node, &position);
    node->row = row_near(lanes, lane, position, node->in_flight);
    imi_list_append(&node->row->nodes, &node->link);
}

void imi_lanes_begin(imi_lanes_t *lanes, imi_lane_node_t *node) {
    node->in_flight++;
    move(lanes, node);
}

void imi_lanes_end(imi_lanes_t *lanes, imi_lane_node_t *node) {
    IMI_ASSERT(node->in_flight > 0);
    node->in_flight--;
    move(lanes, node);
}
