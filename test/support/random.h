/* random.h: repeatable dice for tests (SplitMix64): one seed, one story. Print the seed on failure.
 */
#ifndef IMI_TEST_RANDOM_H
#define IMI_TEST_RANDOM_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t random_next(uint64_t *state) {
    uint64_t word = *state += UINT64_C(0x9E3779B97F4A7C15);
    word = (word ^ word >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    word = (word ^ word >> 27) * UINT64_C(0x94D049BB133111EB);
    return word ^ word >> 31;
}

/* 0 up to and without `count`, which is not 0. */
static inline size_t random_below(uint64_t *state, size_t count) {
    return (size_t)(random_next(state) % count);
}

#endif
