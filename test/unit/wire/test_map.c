/* test_map.c: against a plain table as the model, and the hash against known answers. */
#include "wire/map.h"

#include <stdio.h>
#include <string.h>

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"
#include "../../support/random.h"

/* The keys are the bytes 0, 1, 2, …, the seed is 00 01 … 0f. The first answers agree with CPython's
 * and Rust's SipHash-1-3. */
static const struct {
    size_t key_size;
    uint64_t hash;
} hash_cases[] = {
    {0, UINT64_C(0xabac0158050fc4dc)},  {1, UINT64_C(0xc9f49bf37d57ca93)},
    {7, UINT64_C(0xd3927d989bb11140)},  {8, UINT64_C(0x369095118d299a8e)},
    {15, UINT64_C(0xd320d86d2a519956)}, {63, UINT64_C(0x9d199062b7bbb3a8)},
};

START_TEST(the_hash_is_siphash_1_3) { /* _i walks hash_cases */
    const uint64_t seed[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    const imi_map_entry_t *entry = NULL;
    size_t position = 0;
    char key[64];
    imi_map_t map;
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (char)i;
    imi_map_init(&map, NULL, seed);
    ck_assert_int_eq(imi_map_set(&map, key, hash_cases[_i].key_size, key), 0);
    ck_assert(imi_map_next(&map, &position, &entry));
    ck_assert_msg(entry->hash == hash_cases[_i].hash, "size %zu: %llx", hash_cases[_i].key_size,
                  (unsigned long long)entry->hash);
    imi_map_reset(&map);
}
END_TEST

START_TEST(an_empty_map_has_nothing) {
    imi_map_t map;
    size_t position = 0;
    const imi_map_entry_t *entry = NULL;
    imi_map_init(&map, NULL, NULL);
    ck_assert_ptr_null(imi_map_get(&map, "a", 1));
    ck_assert_ptr_null(imi_map_remove(&map, "a", 1));
    ck_assert(!imi_map_next(&map, &position, &entry));
    imi_map_reset(&map);
}
END_TEST

START_TEST(keys_are_bytes_and_copied) {
    char key[] = "a\0b";
    int first = 0, second = 0;
    size_t position = 0;
    const imi_map_entry_t *entry = NULL;
    imi_map_t map;
    imi_map_init(&map, NULL, NULL);
    imi_map_set(&map, key, 3, &first);
    key[2] = 'c';
    ck_assert_ptr_null(imi_map_get(&map, key, 3));
    ck_assert_ptr_null(imi_map_get(&map, "a", 1));
    ck_assert_ptr_eq(imi_map_get(&map, "a\0b", 3), &first);
    ck_assert(imi_map_next(&map, &position, &entry));
    ck_assert_uint_eq(entry->key_size, 3);
    ck_assert_int_eq(memcmp(entry->key, "a\0b", 4), 0);
    imi_map_set(&map, "", 0, &second); /* an empty key is one too */
    ck_assert_ptr_eq(imi_map_get(&map, "", 0), &second);
    imi_map_reset(&map);
}
END_TEST

START_TEST(setting_again_replaces_the_value) {
    int first = 0, second = 0;
    imi_map_t map;
    imi_map_init(&map, NULL, NULL);
    ck_assert_int_eq(imi_map_set(&map, "key", 3, &first), 0);
    ck_assert_int_eq(imi_map_set(&map, "key", 3, &second), 0);
    ck_assert_uint_eq(map.count, 1);
    ck_assert_ptr_eq(imi_map_remove(&map, "key", 3), &second);
    ck_assert_ptr_null(imi_map_remove(&map, "key", 3));
    ck_assert_uint_eq(map.count, 0);
    imi_map_reset(&map);
}
END_TEST

START_TEST(the_map_does_what_a_plain_table_does) { /* _i: the seed */
    enum { KEY_COUNT = 200, STEPS = 20000 };
    static int values[STEPS];
    void *model[KEY_COUNT] = {NULL};
    uint64_t seed = (uint64_t)_i;
    uint64_t map_seed[2] = {random_next(&seed), random_next(&seed)};
    size_t count = 0, position = 0;
    const imi_map_entry_t *entry = NULL;
    failing_mem_t failing;
    imi_map_t map;
    failing_mem_init(&failing, 0);
    imi_map_init(&map, &failing.mem, map_seed);
    for (int step = 0; step < STEPS; step++) {
        /* The range breathes, so that the map fills and empties. */
        size_t number = random_below(&seed, step / 4000 % 2 == 0 ? KEY_COUNT : KEY_COUNT / 10);
        char key[16];
        size_t key_size = (size_t)snprintf(key, sizeof(key), "k%zu", number);
        ck_assert_ptr_eq(imi_map_get(&map, key, key_size), model[number]);
        if (random_below(&seed, 3) == 0) {
            ck_assert_ptr_eq(imi_map_remove(&map, key, key_size), model[number]);
            model[number] = NULL;
        } else {
            model[number] = &values[step];
            ck_assert_int_eq(imi_map_set(&map, key, key_size, model[number]), 0);
        }
    }
    for (size_t i = 0; i < KEY_COUNT; i++)
        count += model[i] != NULL;
    ck_assert_uint_eq(map.count, count);
    while (imi_map_next(&map, &position, &entry)) {
        size_t number = strtoul(entry->key + 1, NULL, 10);
        ck_assert_msg(entry->value == model[number], "seed %d: key %s", _i, entry->key);
        model[number] = NULL; /* must not come twice */
        count--;
    }
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(failing.live_count, map.count + 1);
    imi_map_reset(&map);
    ck_assert_uint_eq(failing.live_count, 0);
}
END_TEST

START_TEST(without_memory_the_map_stays_as_it_was) {
    bool has_failed = true;
    for (size_t n = 1; has_failed; n++) {
        failing_mem_t failing;
        imi_map_t map;
        failing_mem_init(&failing, n);
        imi_map_init(&map, &failing.mem, NULL);
        for (char c = 'a'; c <= 'z'; c++) {
            size_t count = map.count;
            if (imi_map_set(&map, &c, 1, &failing) == 0)
                continue;
            ck_assert_uint_eq(map.count, count);
            ck_assert_ptr_null(imi_map_get(&map, &c, 1));
            ck_assert_int_eq(imi_map_set(&map, &c, 1, &failing), 0); /* only the n-th fails */
        }
        for (char c = 'a'; c <= 'z'; c++)
            ck_assert_ptr_eq(imi_map_get(&map, &c, 1), &failing);
        has_failed = failing.has_failed;
        imi_map_reset(&map);
        ck_assert_uint_eq(failing.live_count, 0);
    }
}
END_TEST

static Suite *map_suite(void) {
    Suite *suite = suite_create("map");
    TCase *tcase = tcase_create("map");
    tcase_add_loop_test(tcase, the_hash_is_siphash_1_3, 0,
                        sizeof(hash_cases) / sizeof(hash_cases[0]));
    tcase_add_test(tcase, an_empty_map_has_nothing);
    tcase_add_test(tcase, keys_are_bytes_and_copied);
    tcase_add_test(tcase, setting_again_replaces_the_value);
    tcase_add_loop_test(tcase, the_map_does_what_a_plain_table_does, 0, 10);
    tcase_add_test(tcase, without_memory_the_map_stays_as_it_was);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(map_suite)
