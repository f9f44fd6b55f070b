/* test_arena.c: memory that goes at once: how it is taken, aligned, kept apart and given back. */
#include "wire/arena.h"

#include <stdint.h>
#include <string.h>

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"
#include "../../support/random.h"

START_TEST(nothing_is_taken_before_the_first_allocation_and_reset_gives_all_back) {
    failing_mem_t failing;
    imi_arena_t arena;
    failing_mem_init(&failing, 0);
    imi_arena_init(&arena, &failing.mem, 0);
    ck_assert_uint_eq(failing.request_count, 0);
    for (int round = 0; round < 2; round++) { /* and it can be used again */
        ck_assert_ptr_nonnull(imi_arena_alloc(&arena, 10));
        ck_assert_ptr_nonnull(imi_arena_alloc(&arena, 100000));
        ck_assert_uint_ne(failing.live_count, 0);
        imi_arena_reset(&arena);
        ck_assert_uint_eq(failing.live_count, 0);
    }
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(every_allocation_is_aligned_and_shares_no_byte) { /* _i: the seed */
    enum { COUNT = 300 };
    struct {
        unsigned char *data;
        size_t size;
    } blocks[COUNT];
    uint64_t seed = (uint64_t)_i;
    imi_arena_t arena;
    imi_arena_init(&arena, NULL, random_below(&seed, 3000));
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i].size = random_below(&seed, random_below(&seed, 10) == 0 ? 20000 : 200);
        blocks[i].data = imi_arena_alloc(&arena, blocks[i].size);
        ck_assert_ptr_nonnull(blocks[i].data);
        ck_assert_uint_eq((uintptr_t)blocks[i].data % _Alignof(max_align_t), 0);
        memset(blocks[i].data, (int)(i & 0xFF), blocks[i].size);
    }
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t at = 0; at < blocks[i].size; at++)
            ck_assert_msg(blocks[i].data[at] == (i & 0xFF), "seed %d: block %zu, byte %zu", _i, i,
                          at);
    }
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(chunks_double_up_to_a_limit) {
    const size_t head_size_max = 64, expected[] = {1024, 2048, 4096, 8192, 16384, 16384};
    size_t chunk_count = 0;
    failing_mem_t failing;
    imi_arena_t arena;
    failing_mem_init(&failing, 0);
    imi_arena_init(&arena, &failing.mem, 1024);
    while (chunk_count < sizeof(expected) / sizeof(expected[0])) {
        size_t size_before = failing.live_size, count_before = failing.live_count;
        ck_assert_ptr_nonnull(imi_arena_alloc(&arena, 40));
        if (failing.live_count == count_before)
            continue;
        ck_assert_uint_ge(failing.live_size - size_before, expected[chunk_count]);
        ck_assert_uint_le(failing.live_size - size_before, expected[chunk_count] + head_size_max);
        chunk_count++;
    }
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(chunks_of_a_size_above_the_limit_keep_it) {
    failing_mem_t failing;
    imi_arena_t arena;
    failing_mem_init(&failing, 0);
    imi_arena_init(&arena, &failing.mem, 40000);
    while (failing.live_count < 3)
        ck_assert_ptr_nonnull(imi_arena_alloc(&arena, 1000));
    ck_assert_uint_ge(failing.live_size, 3 * 40000);
    ck_assert_uint_le(failing.live_size, 3 * 40000 + 3 * 64);
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(a_large_allocation_leaves_the_chunk_in_use) {
    failing_mem_t failing;
    imi_arena_t arena;
    failing_mem_init(&failing, 0);
    imi_arena_init(&arena, &failing.mem, 1024);
    ck_assert_ptr_nonnull(imi_arena_alloc(&arena, 10));
    ck_assert_ptr_nonnull(imi_arena_alloc(&arena, 1000000));
    ck_assert_uint_eq(failing.request_count, 2);
    ck_assert_uint_lt(failing.live_size, 1000000 + 1024 + 200);
    ck_assert_ptr_nonnull(imi_arena_alloc(&arena, 10));
    ck_assert_uint_eq(failing.request_count, 2);
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(a_large_allocation_may_come_first) {
    failing_mem_t failing;
    imi_arena_t arena;
    failing_mem_init(&failing, 0);
    imi_arena_init(&arena, &failing.mem, 1024);
    ck_assert_ptr_nonnull(imi_arena_alloc(&arena, 5000));
    ck_assert_ptr_nonnull(imi_arena_alloc(&arena, 10));
    ck_assert_uint_lt(failing.live_size, 5000 + 1024 + 200);
    imi_arena_reset(&arena);
    ck_assert_uint_eq(failing.live_count, 0);
}
END_TEST

START_TEST(zalloc_clears) {
    failing_mem_t failing;
    imi_arena_t arena;
    const unsigned char *data = NULL;
    failing_mem_init(&failing, 0);
    imi_arena_init(&arena, &failing.mem, 0);
    data = imi_arena_zalloc(&arena, 300);
    for (size_t i = 0; i < 300; i++)
        ck_assert_uint_eq(data[i], 0);
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(texts_are_copied_and_printed) {
    imi_arena_t arena;
    char *text = NULL;
    imi_arena_init(&arena, NULL, 0);
    ck_assert_ptr_null(imi_arena_strdup(&arena, NULL));
    ck_assert_str_eq(imi_arena_strdup(&arena, "cat"), "cat");
    ck_assert_int_eq(memcmp(imi_arena_strndup(&arena, "a\0bcd", 4), "a\0bc", 5), 0);
    ck_assert_str_eq(imi_arena_strndup(&arena, NULL, 0), "");
    ck_assert_str_eq(imi_arena_printf(&arena, "%s/tasks/%d", "x", 7), "x/tasks/7");
    text = imi_arena_printf(&arena, "%05000d|", 1);
    ck_assert_uint_eq(strlen(text), 5001);
    ck_assert_int_eq(text[5000], '|');
    imi_arena_reset(&arena);
}
END_TEST

/* A sum that wraps around would ask for something small. */
static void *refuse(void *user, void *pointer, size_t size) {
    (void)user;
    ck_assert_ptr_null(pointer);
    ck_assert_uint_gt(size, SIZE_MAX / 2);
    return NULL;
}

START_TEST(an_impossible_size_is_refused) {
    const imi_mem_t mem = {refuse, NULL};
    imi_arena_t arena;
    imi_arena_init(&arena, &mem, 0);
    for (size_t below = 0; below < 100; below++)
        ck_assert_ptr_null(imi_arena_alloc(&arena, SIZE_MAX - below));
    ck_assert_ptr_null(imi_arena_strndup(&arena, "x", SIZE_MAX));
}
END_TEST

START_TEST(whichever_request_fails_the_arena_stays_whole) {
    bool has_failed = true;
    for (size_t n = 1; has_failed; n++) {
        failing_mem_t failing;
        imi_arena_t arena;
        size_t null_count = 0;
        failing_mem_init(&failing, n);
        imi_arena_init(&arena, &failing.mem, 256);
        for (int i = 0; i < 10; i++) {
            null_count += imi_arena_alloc(&arena, 60) == NULL;
            null_count += imi_arena_strdup(&arena, "some text") == NULL;
            null_count += imi_arena_printf(&arena, "%01000d", i) == NULL;
            null_count += imi_arena_zalloc(&arena, 3000) == NULL;
        }
        has_failed = failing.has_failed;
        ck_assert_uint_eq(null_count, has_failed ? 1 : 0);
        imi_arena_reset(&arena);
        ck_assert_uint_eq(failing.live_count, 0);
    }
}
END_TEST

static Suite *arena_suite(void) {
    Suite *suite = suite_create("arena");
    TCase *tcase = tcase_create("arena");
    tcase_add_test(tcase, nothing_is_taken_before_the_first_allocation_and_reset_gives_all_back);
    tcase_add_loop_test(tcase, every_allocation_is_aligned_and_shares_no_byte, 0, 20);
    tcase_add_test(tcase, chunks_double_up_to_a_limit);
    tcase_add_test(tcase, chunks_of_a_size_above_the_limit_keep_it);
    tcase_add_test(tcase, a_large_allocation_leaves_the_chunk_in_use);
    tcase_add_test(tcase, a_large_allocation_may_come_first);
    tcase_add_test(tcase, zalloc_clears);
    tcase_add_test(tcase, texts_are_copied_and_printed);
    tcase_add_test(tcase, an_impossible_size_is_refused);
    tcase_add_test(tcase, whichever_request_fails_the_arena_stays_whole);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(arena_suite)
