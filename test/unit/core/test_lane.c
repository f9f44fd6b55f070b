/* test_lane.c: the order of the healthy tokens, against one that is looked for the slow way. */
#include "core/lane.h"

#include <stdbool.h>
#include <string.h>

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"

#define NODES 40

typedef struct crowd {
    imi_lanes_t lanes;
    imi_lane_node_t nodes[NODES];
    uint64_t models[NODES];
    uint64_t random;
} crowd_t;

static uint32_t dice(crowd_t *crowd, uint32_t sides) {
    crowd->random = crowd->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(crowd->random >> 33) % sides;
}

static void open_crowd(crowd_t *crowd, uint64_t random) {
    *crowd = (crowd_t){.random = random};
    imi_lanes_init(&crowd->lanes, NULL);
    ck_assert_int_eq(imi_lanes_reserve(&crowd->lanes, NODES), 0);
}

/* The fewest calls in flight; among those, if nobody was ever away, the one unused longest. */
static void check_first(crowd_t *crowd, uint64_t model, bool is_exact) {
    const imi_lane_node_t *best = NULL, *first = imi_lanes_first(&crowd->lanes, model);
    for (int i = 0; i < NODES; i++) {
        const imi_lane_node_t *node = &crowd->nodes[i];
        if (node->row == NULL || (crowd->models[i] & model) != 0)
            continue;
        if (best == NULL || node->in_flight < best->in_flight ||
            (node->in_flight == best->in_flight && node->used < best->used))
            best = node;
    }
    ck_assert((best == NULL) == (first == NULL));
    if (best == NULL)
        return;
    ck_assert_uint_eq(first->in_flight, best->in_flight);
    ck_assert_uint_eq(crowd->models[first - crowd->nodes] & model, 0);
    if (is_exact)
        ck_assert_uint_eq(first->used, best->used);
}

START_TEST(the_first_one_is_always_the_right_one) { /* _i is the seed */
    crowd_t crowd;
    open_crowd(&crowd, (uint64_t)_i);
    for (int i = 0; i < NODES; i++) {
        crowd.models[i] = dice(&crowd, 4);
        imi_lanes_join(&crowd.lanes, &crowd.nodes[i], crowd.models[i]);
    }
    for (int step = 0; step < 5000; step++) {
        imi_lane_node_t *node = &crowd.nodes[dice(&crowd, NODES)];
        if (node->in_flight > 0 && dice(&crowd, 2) == 0)
            imi_lanes_end(&crowd.lanes, node);
        else
            imi_lanes_begin(&crowd.lanes, node);
        for (uint64_t model = 0; model < 4; model++)
            check_first(&crowd, model, true);
    }
    imi_lanes_reset(&crowd.lanes);
}
END_TEST

START_TEST(nodes_come_and_go_and_change_lanes) { /* _i is the seed */
    crowd_t crowd;
    open_crowd(&crowd, (uint64_t)_i);
    for (int step = 0; step < 20000; step++) {
        size_t i = dice(&crowd, NODES);
        imi_lane_node_t *node = &crowd.nodes[i];
        switch (dice(&crowd, 4)) {
        case 0:
            if (node->row == NULL) {
                crowd.models[i] = UINT64_C(1) << dice(&crowd, 64); /* as many lanes as nodes */
                imi_lanes_join(&crowd.lanes, node, crowd.models[i]);
            }
            break;
        case 1:
            imi_lanes_leave(&crowd.lanes, node);
            ck_assert_ptr_null(node->row);
            break;
        case 2:
            if (node->in_flight > 0)
                imi_lanes_end(&crowd.lanes, node);
            break;
        default:
            imi_lanes_begin(&crowd.lanes, node); /* also one that is in no lane */
        }
        check_first(&crowd, dice(&crowd, 2) == 0 ? 0 : UINT64_C(1) << dice(&crowd, 64), false);
    }
    imi_lanes_reset(&crowd.lanes);
}
END_TEST

START_TEST(a_node_that_comes_back_waits_for_one_round_at_most) {
    crowd_t crowd;
    imi_lane_node_t *node = NULL;
    open_crowd(&crowd, 1);
    for (int i = 0; i < NODES; i++)
        imi_lanes_join(&crowd.lanes, &crowd.nodes[i], 0);
    for (int i = 0; i < 10; i++) {
        imi_lanes_begin(&crowd.lanes, &crowd.nodes[i]);
        imi_lanes_end(&crowd.lanes, &crowd.nodes[i]);
    }
    imi_lanes_leave(&crowd.lanes, &crowd.nodes[5]);
    imi_lanes_leave(&crowd.lanes, &crowd.nodes[20]);
    imi_lanes_join(&crowd.lanes, &crowd.nodes[20], 0); /* never used, as those in front */
    imi_lanes_join(&crowd.lanes, &crowd.nodes[5], 0);
    for (int i = 0; i < NODES; i++) {
        node = imi_lanes_first(&crowd.lanes, 0);
        if (node == &crowd.nodes[5])
            break;
        imi_lanes_begin(&crowd.lanes, node);
        imi_lanes_end(&crowd.lanes, node);
    }
    ck_assert_ptr_eq(node, &crowd.nodes[5]);
    imi_lanes_leave(&crowd.lanes, &crowd.nodes[30]); /* used, then away while the others are used */
    for (int i = 0; i < NODES; i++) {
        node = imi_lanes_first(&crowd.lanes, 0);
        imi_lanes_begin(&crowd.lanes, node);
        imi_lanes_end(&crowd.lanes, node);
    }
    imi_lanes_join(&crowd.lanes, &crowd.nodes[30], 0);
    ck_assert_ptr_eq(imi_lanes_first(&crowd.lanes, 0), &crowd.nodes[30]);
    imi_lanes_reset(&crowd.lanes);
}
END_TEST

START_TEST(memory_that_is_missing_changes_nothing) {
    failing_mem_t failing;
    imi_lanes_t lanes;
    failing_mem_init(&failing, 2);
    imi_lanes_init(&lanes, &failing.mem);
    ck_assert_int_eq(imi_lanes_reserve(&lanes, 4), 0);
    ck_assert_int_eq(imi_lanes_reserve(&lanes, 3), 0); /* there is room */
    ck_assert_int_eq(imi_lanes_reserve(&lanes, 5), -1);
    ck_assert_int_eq(imi_lanes_reserve(&lanes, 5), 0);
    ck_assert_int_eq(imi_lanes_reserve(&lanes, SIZE_MAX), -1);
    ck_assert_uint_eq(lanes.capacity, 5);
    imi_lanes_reset(&lanes);
    ck_assert_uint_eq(failing.live_count, 0);
}
END_TEST

static Suite *lane_suite(void) {
    Suite *suite = suite_create("core/lane");
    TCase *tcase = tcase_create("lane");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, the_first_one_is_always_the_right_one, 0, 5);
    tcase_add_loop_test(tcase, nodes_come_and_go_and_change_lanes, 0, 5);
    tcase_add_test(tcase, a_node_that_comes_back_waits_for_one_round_at_most);
    tcase_add_test(tcase, memory_that_is_missing_changes_nothing);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(lane_suite)
