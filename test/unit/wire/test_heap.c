/* test_heap.c: the smallest key first, whatever came and went. */
#include "wire/heap.h"

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"
#include "../../support/random.h"

START_TEST(keys_leave_in_order) { /* _i: the seed */
    enum { COUNT = 500 };
    static imi_heap_node_t nodes[COUNT];
    uint64_t seed = (uint64_t)_i;
    int64_t previous = INT64_MIN;
    imi_heap_t heap;
    imi_heap_init(&heap, NULL);
    ck_assert_ptr_null(imi_heap_first(&heap));
    for (size_t i = 0; i < COUNT; i++) {
        nodes[i].index = 0;
        ck_assert_int_eq(imi_heap_insert(&heap, &nodes[i], (int64_t)random_below(&seed, 100) - 50),
                         0);
    }
    for (size_t i = 0; i < COUNT; i++) {
        imi_heap_node_t *first = imi_heap_first(&heap);
        ck_assert_msg(first->key >= previous, "seed %d", _i);
        previous = first->key;
        imi_heap_remove(&heap, first);
        ck_assert_uint_eq(first->index, 0);
    }
    ck_assert_ptr_null(imi_heap_first(&heap));
    imi_heap_reset(&heap);
}
END_TEST

/* Compares with a table of who is inside, after every random step. */
START_TEST(any_node_can_come_move_and_leave) { /* _i: the seed */
    enum { COUNT = 60, STEPS = 2000 };
    imi_heap_node_t nodes[COUNT] = {{.index = 0}};
    bool is_inside[COUNT] = {false};
    uint64_t seed = (uint64_t)_i;
    imi_heap_t heap;
    imi_heap_init(&heap, NULL);
    for (int step = 0; step < STEPS; step++) {
        size_t chosen = random_below(&seed, COUNT), count = 0;
        int64_t smallest = INT64_MAX;
        if (random_below(&seed, 2) == 0) {
            imi_heap_remove(&heap, &nodes[chosen]); /* harmless if it is not inside */
            is_inside[chosen] = false;
        } else {
            int64_t key = (int64_t)random_below(&seed, 1000);
            ck_assert_int_eq(imi_heap_insert(&heap, &nodes[chosen], key), 0);
            is_inside[chosen] = true;
        }
        for (size_t i = 0; i < COUNT; i++) {
            ck_assert_msg(is_inside[i] == (nodes[i].index != 0), "seed %d step %d", _i, step);
            count += is_inside[i];
            if (is_inside[i] && nodes[i].key < smallest)
                smallest = nodes[i].key;
        }
        ck_assert_uint_eq(heap.count, count);
        for (size_t i = 1; i < count; i++)
            ck_assert_msg(heap.nodes[i]->key >= heap.nodes[(i - 1) / 2]->key, "seed %d step %d", _i,
                          step);
        ck_assert_msg(count == 0 || imi_heap_first(&heap)->key == smallest, "seed %d step %d", _i,
                      step);
    }
    imi_heap_reset(&heap);
}
END_TEST

START_TEST(after_reserve_inserting_needs_no_memory) {
    imi_heap_node_t nodes[100] = {{.index = 0}};
    failing_mem_t failing;
    imi_heap_t heap;
    failing_mem_init(&failing, 2);
    failing.is_lasting = true;
    imi_heap_init(&heap, &failing.mem);
    ck_assert_int_eq(imi_heap_reserve(&heap, 100), 0);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(imi_heap_insert(&heap, &nodes[i], -i), 0);
    ck_assert_int_eq(imi_heap_reserve(&heap, 100), 0);
    ck_assert_ptr_eq(imi_heap_first(&heap), &nodes[99]);
    imi_heap_reset(&heap);
    ck_assert_uint_eq(failing.live_count, 0);
}
END_TEST

START_TEST(reset_lets_the_nodes_go) {
    imi_heap_node_t node = {.index = 0};
    imi_heap_t heap;
    imi_heap_init(&heap, NULL);
    imi_heap_insert(&heap, &node, 5);
    imi_heap_reset(&heap);
    ck_assert_uint_eq(node.index, 0);
    imi_heap_remove(&heap, &node);
    ck_assert_int_eq(imi_heap_insert(&heap, &node, 6), 0);
    ck_assert_ptr_eq(imi_heap_first(&heap), &node);
    imi_heap_reset(&heap);
}
END_TEST

START_TEST(without_memory_the_heap_stays_as_it_was) {
    imi_heap_node_t nodes[64] = {{.index = 0}};
    bool has_failed = true;
    for (size_t n = 1; has_failed; n++) {
        failing_mem_t failing;
        imi_heap_t heap;
        failing_mem_init(&failing, n);
        imi_heap_init(&heap, &failing.mem);
        for (int i = 0; i < 64; i++) {
            int err = imi_heap_insert(&heap, &nodes[i], 64 - i);
            ck_assert_uint_eq(nodes[i].index == 0, err != 0);
            if (err != 0)
                ck_assert_int_eq(imi_heap_insert(&heap, &nodes[i], 64 - i), 0); /* only once */
        }
        ck_assert_int_eq(imi_heap_first(&heap)->key, 1);
        has_failed = failing.has_failed;
        imi_heap_reset(&heap);
        ck_assert_uint_eq(failing.live_count, 0);
    }
}
END_TEST

START_TEST(an_impossible_count_is_refused) {
    imi_heap_t heap;
    imi_heap_init(&heap, NULL);
    ck_assert_int_eq(imi_heap_reserve(&heap, SIZE_MAX), -1);
    ck_assert_int_eq(imi_heap_reserve(&heap, SIZE_MAX / 4), -1);
    imi_heap_reset(&heap);
}
END_TEST

static Suite *heap_suite(void) {
    Suite *suite = suite_create("heap");
    TCase *tcase = tcase_create("heap");
    tcase_add_loop_test(tcase, keys_leave_in_order, 0, 10);
    tcase_add_loop_test(tcase, any_node_can_come_move_and_leave, 0, 10);
    tcase_add_test(tcase, after_reserve_inserting_needs_no_memory);
    tcase_add_test(tcase, reset_lets_the_nodes_go);
    tcase_add_test(tcase, without_memory_the_heap_stays_as_it_was);
    tcase_add_test(tcase, an_impossible_count_is_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(heap_suite)
