/* test_pool.c: who serves next, who is set aside for how long, and that neither depends on how many
 * tokens there are. */
#include "core/pool.h"

#include <stdio.h>
#include <string.h>

#include "wire/json.h"

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"

#define START_UNIX_MS INT64_C(1767830400000) /* 2026-01-08T00:00:00Z */
#define SECOND_MS 1000
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)

static const uint64_t seed[2] = {1, 2};

/* What `changed` told last, and how often it did. */
typedef struct told {
    size_t count;
    char fingerprint[IMI_FINGERPRINT_SIZE + 1];
    char model[32];
    imi_token_state_t state;
    int64_t until_unix_ms;
} told_t;

static void on_changed(const char *fingerprint, const char *model, imi_token_state_t state,
                       int64_t until_unix_ms, void *user) {
    told_t *told = user;
    told->count++;
    snprintf(told->fingerprint, sizeof(told->fingerprint), "%s", fingerprint);
    snprintf(told->model, sizeof(told->model), "%s", model);
    told->state = state;
    told->until_unix_ms = until_unix_ms;
}

static told_t told;

static imi_clock_t at(int64_t ms) {
    return (imi_clock_t){.now_ms = (uint64_t)(5000 + ms), .unix_ms = START_UNIX_MS + ms};
}

static imi_pool_t *open_pool(const char *list) {
    imi_pool_t *pool = imi_pool_new(NULL, seed, on_changed, &told);
    ck_assert_ptr_nonnull(pool);
    ck_assert_int_eq(imi_pool_set_tokens(pool, list, at(0)), 0);
    told = (told_t){0};
    return pool;
}

/* "token-1,token-2,…" */
static char *many_tokens(size_t count) {
    size_t size = count * 16;
    char *list = malloc(size), *end = list;
    for (size_t i = 1; i <= count; i++)
        end += snprintf(end, size - (size_t)(end - list), "token-%zu,", i);
    return list;
}

static imi_token_t *pick(imi_pool_t *pool, const char *model, int64_t ms, uint32_t index) {
    imi_token_t *token = imi_pool_pick(pool, model, at(ms));
    if (index == 0) {
        ck_assert_ptr_null(token);
        return NULL;
    }
    ck_assert_ptr_nonnull(token);
    ck_assert_uint_eq(imi_token_index(token), index);
    return token;
}

/* One call, begun and ended at once; 0: none can serve. */
static uint32_t serve(imi_pool_t *pool, const char *model, int64_t ms) {
    imi_token_t *token = imi_pool_pick(pool, model, at(ms));
    uint32_t index = token != NULL ? imi_token_index(token) : 0;
    if (token != NULL)
        imi_pool_release(pool, token);
    return index;
}

static void assert_stats(imi_pool_t *pool, int64_t ms, uint32_t active, uint32_t exhausted,
                         uint32_t cooling, uint32_t invalid) {
    imagine_token_stats_t stats = {.size = sizeof(stats)};
    imi_pool_stats(pool, at(ms), &stats);
    ck_assert_uint_eq(stats.active, active);
    ck_assert_uint_eq(stats.exhausted, exhausted);
    ck_assert_uint_eq(stats.cooling, cooling);
    ck_assert_uint_eq(stats.invalid, invalid);
    ck_assert_uint_eq(stats.total, active + exhausted + cooling + invalid);
}

/* ---- the list ---------------------------------------------------------------------------------
 */

static const struct {
    const char *name, *list;
    int err;
    uint32_t count;
} lists[] = {
    {"none", "", 0, 0},
    {"no text", NULL, 0, 0},
    {"one", "a", 0, 1},
    {"blanks and empty items", " a ,\tb,, c,\r\n", 0, 3},
    {"the same one twice", "a,b,a", 0, 2},
    {"the same one in two groups", "a@x,a@y", 0, 1},
    {"a group", "a@x,b@x", 0, 2},
    {"an at sign inside", "a@b@x", 0, 1},
    {"a blank inside", "a b", IMAGINE_EINVAL, 0},
    {"a line break inside", "a\nb", IMAGINE_EINVAL, 0},
    {"a control character", "a\x01", IMAGINE_EINVAL, 0},
    {"delete", "a\x7f", IMAGINE_EINVAL, 0},
    {"a group without a name", "a@", IMAGINE_EINVAL, 0},
    {"a group without a token", "@x", IMAGINE_EINVAL, 0},
    {"a blank in a group", "a@x y", IMAGINE_EINVAL, 0},
    {"good, then bad", "a,b c", IMAGINE_EINVAL, 0},
};

START_TEST(a_list_is_read_whole_or_not_at_all) { /* _i walks lists */
    imi_pool_t *pool = open_pool("before");
    imagine_token_stats_t stats = {.size = sizeof(stats)};
    int err = imi_pool_set_tokens(pool, lists[_i].list, at(0));
    ck_assert_msg(err == lists[_i].err, "%s: %d", lists[_i].name, err);
    imi_pool_stats(pool, at(0), &stats);
    ck_assert_msg(stats.total == (err == 0 ? lists[_i].count : 1), "%s: %u tokens", lists[_i].name,
                  stats.total);
    ck_assert(imi_pool_is_empty(pool) == (stats.total == 0));
    ck_assert_uint_eq(stats.active, stats.total);
    imi_pool_free(pool);
}
END_TEST

START_TEST(a_token_that_stays_keeps_its_state_and_gets_its_new_place) {
    imi_pool_t *pool = open_pool("a,b,c");
    imi_token_t *b = NULL;
    imi_pool_release(pool, pick(pool, NULL, 0, 1));
    b = pick(pool, NULL, 0, 2);
    imi_pool_exhausted(pool, b, NULL, at(HOUR_MS).unix_ms, false, at(0));
    ck_assert_int_eq(imi_pool_set_tokens(pool, "x,b", at(0)), 0);
    ck_assert_uint_eq(imi_token_index(b), 2);
    ck_assert_str_eq(imi_token_text(b), "b");
    assert_stats(pool, 0, 1, 1, 0, 0);
    imi_pool_release(pool, b);
    ck_assert_uint_eq(serve(pool, NULL, 0), 1);
    ck_assert_uint_eq(serve(pool, NULL, HOUR_MS), 2); /* unused longer than x */
    imi_pool_free(pool);
}
END_TEST

START_TEST(a_token_that_left_lives_until_its_calls_are_over) {
    imi_pool_t *pool = open_pool("a");
    imi_token_t *first = pick(pool, NULL, 0, 1), *second = pick(pool, NULL, 0, 1), *again = NULL;
    ck_assert_int_eq(imi_pool_set_tokens(pool, "", at(0)), 0);
    ck_assert_str_eq(imi_token_text(first), "a");
    pick(pool, NULL, 0, 0);
    imi_pool_exhausted(pool, first, NULL, at(DAY_MS).unix_ms, false, at(0)); /* to nobody */
    imi_pool_release(pool, first);
    ck_assert_int_eq(imi_pool_set_tokens(pool, "b,a", at(0)), 0);
    again = pick(pool, NULL, 0, 1);
    imi_pool_release(pool, again);
    again = pick(pool, NULL, 0, 2);
    ck_assert_ptr_ne(again, second);
    imi_pool_invalid(pool, second, at(0)); /* an old call tells the new one */
    assert_stats(pool, 0, 1, 0, 0, 1);
    imi_pool_release(pool, second);
    imi_pool_release(pool, again);
    imi_pool_free(pool);
}
END_TEST

START_TEST(a_token_is_held_by_its_fingerprint_in_whatever_state) {
    imi_pool_t *pool = open_pool("a,b");
    imi_token_t *a = pick(pool, NULL, 0, 1), *held = NULL;
    char fingerprint[IMI_FINGERPRINT_SIZE + 1];
    imi_fingerprint(fingerprint, "a");
    ck_assert_str_eq(imi_token_fingerprint(a), fingerprint);
    imi_pool_invalid(pool, a, at(0));
    imi_pool_release(pool, a);
    held = imi_pool_hold(pool, fingerprint);
    ck_assert_ptr_eq(held, a);
    imi_pool_release(pool, held);
    ck_assert_ptr_null(imi_pool_hold(pool, "0123456789ab"));
    ck_assert_ptr_null(imi_pool_hold(pool, ""));
    imi_pool_free(pool);
}
END_TEST

/* ---- fairness ---------------------------------------------------------------------------------
 */

START_TEST(calls_one_after_the_other_go_round) {
    imi_pool_t *pool = open_pool("a,b,c");
    for (uint32_t i = 0; i < 30; i++)
        ck_assert_uint_eq(serve(pool, NULL, i), i % 3 + 1);
    imi_pool_free(pool);
}
END_TEST

START_TEST(the_token_with_the_fewest_calls_in_flight_serves) {
    imi_pool_t *pool = open_pool("a,b,c");
    imi_token_t *held[6];
    for (uint32_t i = 0; i < 6; i++)
        held[i] = pick(pool, NULL, 0, i % 3 + 1);
    imi_pool_release(pool, held[1]);
    held[1] = pick(pool, NULL, 0, 2);
    imi_pool_release(pool, held[2]);
    imi_pool_release(pool, held[5]);
    held[2] = pick(pool, NULL, 0, 3); /* twice in a row: it has none, the others two */
    held[5] = pick(pool, NULL, 0, 3);
    for (int i = 0; i < 6; i++)
        imi_pool_release(pool, held[i]);
    imi_pool_free(pool);
}
END_TEST

START_TEST(the_one_unused_longest_comes_first) {
    imi_pool_t *pool = open_pool("a,b,c");
    imi_token_t *a = pick(pool, NULL, 0, 1), *b = pick(pool, NULL, 0, 2),
                *c = pick(pool, NULL, 0, 3);
    imi_pool_release(pool, b);
    imi_pool_release(pool, c);
    imi_pool_release(pool, a);
    ck_assert_uint_eq(serve(pool, NULL, 0), 2);
    ck_assert_uint_eq(serve(pool, NULL, 0), 3);
    ck_assert_uint_eq(serve(pool, NULL, 0), 1);
    imi_pool_free(pool);
}
END_TEST

/* The most that one pick and one release cost, in lanes and rows looked at. */
static uint64_t worst_cost(imi_pool_t *pool, const char *model, int round_count) {
    imi_token_t *held[64] = {NULL};
    uint64_t worst = 0, random = 7;
    for (int i = 0; i < round_count; i++) {
        uint64_t before = imi_pool_step_count(pool);
        size_t slot = 0;
        random = random * 6364136223846793005u + 1442695040888963407u;
        slot = (size_t)(random >> 58);
        if (held[slot] != NULL) {
            imi_pool_release(pool, held[slot]);
            held[slot] = NULL;
        } else {
            held[slot] = imi_pool_pick(pool, model, at(0));
            ck_assert_ptr_nonnull(held[slot]);
        }
        if (imi_pool_step_count(pool) - before > worst)
            worst = imi_pool_step_count(pool) - before;
    }
    for (size_t i = 0; i < 64; i++)
        if (held[i] != NULL)
            imi_pool_release(pool, held[i]);
    return worst;
}

static const struct {
    const char *name;
    bool are_exhausted, are_passed_over; /* all but one of them */
} crowds[] = {
    {"all healthy", false, false},
    {"all but one exhausted", true, false},
    {"all but one passed over for the model", false, true},
};

START_TEST(picking_costs_the_same_with_1_and_with_10000_tokens) { /* _i walks crowds */
    char *list = many_tokens(10000);
    imi_pool_t *one = open_pool("alone"), *many = open_pool(list);
    imi_token_t **held = calloc(10000, sizeof(imi_token_t *));
    uint64_t cost_of_one = 0, cost_of_many = 0;
    for (size_t i = 0; i < 10000; i++)
        held[i] = imi_pool_pick(many, "m", at(0));
    for (size_t i = 0; i < 9999; i++) {
        if (crowds[_i].are_exhausted)
            imi_pool_exhausted(many, held[i], NULL, at(HOUR_MS).unix_ms, false, at(0));
        if (crowds[_i].are_passed_over)
            imi_pool_no_plan(many, held[i], "m", at(0));
    }
    for (size_t i = 0; i < 10000; i++)
        imi_pool_release(many, held[i]);
    cost_of_one = worst_cost(one, "m", 20000);
    cost_of_many = worst_cost(many, "m", 20000);
    ck_assert_msg(cost_of_many <= cost_of_one + 1, "%s: %u steps, %u with one token",
                  crowds[_i].name, (unsigned)cost_of_many, (unsigned)cost_of_one);
    ck_assert_uint_le(cost_of_many, 4);
    free(held);
    free(list);
    imi_pool_free(one);
    imi_pool_free(many);
}
END_TEST

/* ---- set aside --------------------------------------------------------------------------------
 */

typedef enum what { NOTHING, EXHAUSTED, CREDIT, COOLING, INVALID } what_t;

static void mark(imi_pool_t *pool, imi_token_t *token, what_t what, int64_t time_ms, int64_t ms) {
    switch (what) {
    case EXHAUSTED:
    case CREDIT:
        imi_pool_exhausted(pool, token, NULL, at(ms + time_ms).unix_ms, what == CREDIT, at(ms));
        break;
    case COOLING:
        imi_pool_cooling(pool, token, (uint64_t)time_ms, at(ms));
        break;
    case INVALID:
        imi_pool_invalid(pool, token, at(ms));
        break;
    case NOTHING:
        break;
    }
}

static const struct {
    const char *name;
    what_t first;
    int64_t first_ms;
    what_t second; /* ten seconds later */
    int64_t second_ms;
    int64_t back_at_ms;
    imi_token_state_t state; /* in between */
} deadlines[] = {
    {"exhausted", EXHAUSTED, HOUR_MS, NOTHING, 0, HOUR_MS, IMI_TOKEN_EXHAUSTED},
    {"cooling", COOLING, 30000, NOTHING, 0, 30000, IMI_TOKEN_COOLING},
    {"invalid", INVALID, 0, NOTHING, 0, HOUR_MS, IMI_TOKEN_INVALID},
    {"exhausted, then longer", EXHAUSTED, HOUR_MS, EXHAUSTED, DAY_MS, 10000 + DAY_MS,
     IMI_TOKEN_EXHAUSTED},
    {"exhausted, then shorter", EXHAUSTED, DAY_MS, EXHAUSTED, HOUR_MS, DAY_MS, IMI_TOKEN_EXHAUSTED},
    {"exhausted, then cooling", EXHAUSTED, HOUR_MS, COOLING, 30000, HOUR_MS, IMI_TOKEN_EXHAUSTED},
    {"exhausted, then cooling for longer", EXHAUSTED, MINUTE_MS, COOLING, HOUR_MS, 10000 + HOUR_MS,
     IMI_TOKEN_COOLING},
    {"cooling, then exhausted", COOLING, MINUTE_MS, EXHAUSTED, HOUR_MS, 10000 + HOUR_MS,
     IMI_TOKEN_EXHAUSTED},
    {"cooling, then exhausted for less", COOLING, HOUR_MS, EXHAUSTED, MINUTE_MS, HOUR_MS,
     IMI_TOKEN_COOLING},
    {"cooling, then invalid", COOLING, MINUTE_MS, INVALID, 0, 10000 + HOUR_MS, IMI_TOKEN_INVALID},
    {"exhausted for a day, then invalid", EXHAUSTED, DAY_MS, INVALID, 0, DAY_MS,
     IMI_TOKEN_EXHAUSTED},
    {"invalid, then exhausted for a day", INVALID, 0, EXHAUSTED, DAY_MS, 10000 + DAY_MS,
     IMI_TOKEN_EXHAUSTED},
    {"invalid, then cooling", INVALID, 0, COOLING, MINUTE_MS, HOUR_MS, IMI_TOKEN_INVALID},
    {"exhausted until yesterday: a second", EXHAUSTED, -DAY_MS, NOTHING, 0, SECOND_MS,
     IMI_TOKEN_EXHAUSTED},
    {"exhausted for ever: a month", EXHAUSTED, 400 * (int64_t)DAY_MS, NOTHING, 0,
     31 * (int64_t)DAY_MS, IMI_TOKEN_EXHAUSTED},
    {"cooling for ever: a month", COOLING, INT64_MAX, NOTHING, 0, 31 * (int64_t)DAY_MS,
     IMI_TOKEN_COOLING},
};

START_TEST(the_later_deadline_wins) { /* _i walks deadlines */
    imi_pool_t *pool = open_pool("a");
    imi_token_t *a = pick(pool, NULL, 0, 1);
    int64_t last_ms = deadlines[_i].back_at_ms - 1;
    imagine_token_stats_t stats = {.size = sizeof(stats)};
    mark(pool, a, deadlines[_i].first, deadlines[_i].first_ms, 0);
    mark(pool, a, deadlines[_i].second, deadlines[_i].second_ms, 10000);
    imi_pool_release(pool, a);
    ck_assert_msg(imi_pool_wait_ms(pool, NULL, at(last_ms)) == 1, "%s: %lld ms too many",
                  deadlines[_i].name, (long long)imi_pool_wait_ms(pool, NULL, at(last_ms)) - 1);
    ck_assert(!imi_pool_can_serve(pool, at(last_ms)));
    imi_pool_stats(pool, at(last_ms), &stats);
    ck_assert_uint_eq(stats.active, 0);
    ck_assert_uint_eq(deadlines[_i].state == IMI_TOKEN_EXHAUSTED, stats.exhausted);
    ck_assert_uint_eq(deadlines[_i].state == IMI_TOKEN_COOLING, stats.cooling);
    ck_assert_uint_eq(deadlines[_i].state == IMI_TOKEN_INVALID, stats.invalid);
    ck_assert_uint_eq(serve(pool, NULL, last_ms), 0);
    ck_assert_uint_eq(imi_pool_wait_ms(pool, NULL, at(last_ms + 1)), 0);
    ck_assert_uint_eq(serve(pool, NULL, last_ms + 1), 1);
    imi_pool_free(pool);
}
END_TEST

START_TEST(exhaustion_keeps_to_the_wall_clock_and_cooling_to_the_other) {
    imi_pool_t *pool = open_pool("a,b");
    imi_token_t *a = pick(pool, NULL, 0, 1), *b = pick(pool, NULL, 0, 2);
    imi_clock_t clock = at(0);
    imi_pool_exhausted(pool, a, NULL, clock.unix_ms + HOUR_MS, false, clock);
    imi_pool_cooling(pool, b, 30000, clock);
    imi_pool_release(pool, a);
    imi_pool_release(pool, b);
    clock.unix_ms += HOUR_MS; /* somebody set the clock: no time has passed */
    a = imi_pool_pick(pool, NULL, clock);
    ck_assert_uint_eq(imi_token_index(a), 1);
    imi_pool_release(pool, a);
    ck_assert_uint_eq(imi_pool_wait_ms(pool, NULL, clock), 0);
    clock.now_ms += 30000;
    ck_assert_ptr_nonnull(b = imi_pool_pick(pool, NULL, clock));
    ck_assert_uint_eq(imi_token_index(b), 2);
    imi_pool_release(pool, b);
    imi_pool_free(pool);
}
END_TEST

START_TEST(a_refused_token_is_passed_over_and_the_next_one_serves) {
    imi_pool_t *pool = open_pool("a,b,c");
    imi_token_t *token = pick(pool, NULL, 0, 1);
    imi_pool_exhausted(pool, token, NULL, at(HOUR_MS).unix_ms, false, at(0));
    imi_pool_release(pool, token);
    token = pick(pool, NULL, 0, 2);
    imi_pool_cooling(pool, token, 0, at(0));
    imi_pool_release(pool, token);
    token = pick(pool, NULL, 0, 3);
    imi_pool_invalid(pool, token, at(0));
    imi_pool_release(pool, token);
    pick(pool, NULL, 0, 0);
    assert_stats(pool, 0, 0, 1, 1, 1);
    ck_assert_uint_eq(imi_pool_wait_ms(pool, NULL, at(0)), 5 * SECOND_MS); /* the earliest one */
    assert_stats(pool, 5 * SECOND_MS, 1, 1, 0, 1);
    imi_pool_free(pool);
}
END_TEST

START_TEST(only_the_probe_takes_a_mark_back_early) {
    imi_pool_t *pool = open_pool("a");
    imi_token_t *first = pick(pool, NULL, 0, 1), *second = pick(pool, NULL, 0, 1);
    imi_pool_exhausted(pool, first, NULL, at(HOUR_MS).unix_ms, false, at(0));
    imi_pool_succeeded(pool, second, NULL, at(1)); /* began before the quota was spent */
    assert_stats(pool, 1, 0, 1, 0, 0);
    imi_pool_release(pool, first);
    imi_pool_release(pool, second);
    imi_pool_free(pool);
}
END_TEST

/* ---- cooling ----------------------------------------------------------------------------------
 */

START_TEST(cooling_doubles_while_it_goes_on) {
    static const uint64_t times[] = {5, 10, 20, 40, 80, 160, 320, 600, 600, 600};
    imi_pool_t *pool = open_pool("a");
    imi_token_t *a = NULL;
    int64_t ms = 0;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        a = pick(pool, NULL, ms, 1);
        ck_assert_uint_eq(imi_pool_cooling(pool, a, 0, at(ms)), times[i] * SECOND_MS);
        imi_pool_release(pool, a);
        ms += (int64_t)times[i] * SECOND_MS;
    }
    a = pick(pool, NULL, ms, 1);
    imi_pool_succeeded(pool, a, NULL, at(ms));
    ck_assert_uint_eq(imi_pool_cooling(pool, a, 0, at(ms)), 5 * SECOND_MS);
    imi_pool_release(pool, a);
    imi_pool_free(pool);
}
END_TEST

START_TEST(a_burst_that_is_refused_together_cools_once) {
    imi_pool_t *pool = open_pool("a");
    imi_token_t *a = NULL;
    for (int i = 0; i < 20; i++)
        a = pick(pool, NULL, 0, 1);
    for (int i = 0; i < 20; i++)
        ck_assert_uint_eq(imi_pool_cooling(pool, a, 0, at(i * 10)), 5000u - (unsigned)i * 10);
    for (int i = 0; i < 20; i++)
        imi_pool_release(pool, a);
    a = pick(pool, NULL, 5000, 1);
    ck_assert_uint_eq(imi_pool_cooling(pool, a, 0, at(5000)), 10 * SECOND_MS);
    imi_pool_release(pool, a);
    imi_pool_free(pool);
}
END_TEST

START_TEST(what_the_provider_tells_wins_over_our_own_rule) {
    imi_pool_t *pool = open_pool("a");
    imi_token_t *a = pick(pool, NULL, 0, 1);
    ck_assert_uint_eq(imi_pool_cooling(pool, a, 1500, at(0)), 1500);
    ck_assert_uint_eq(imi_pool_cooling(pool, a, 700, at(0)), 1500); /* the later end */
    ck_assert_uint_eq(imi_pool_cooling(pool, a, 90000, at(0)), 90000);
    imi_pool_release(pool, a);
    ck_assert_uint_eq(serve(pool, NULL, 90000), 1);
    a = pick(pool, NULL, 90000, 1);
    ck_assert_uint_eq(imi_pool_cooling(pool, a, 0, at(90000)), 5000); /* was never our own rule */
    imi_pool_release(pool, a);
    imi_pool_free(pool);
}
END_TEST

START_TEST(only_long_cooling_is_told) {
    imi_pool_t *pool = open_pool("a");
    imi_token_t *a = pick(pool, NULL, 0, 1);
    imi_pool_cooling(pool, a, 59999, at(0));
    ck_assert_uint_eq(told.count, 0);
    imi_pool_cooling(pool, a, 60000, at(0));
    ck_assert_uint_eq(told.count, 1);
    ck_assert_int_eq(told.state, IMI_TOKEN_COOLING);
    ck_assert_int_eq(told.until_unix_ms, at(60000).unix_ms);
    imi_pool_release(pool, a);
    imi_pool_free(pool);
}
END_TEST

/* ---- groups -----------------------------------------------------------------------------------
 */

START_TEST(tokens_of_one_account_are_exhausted_together) {
    imi_pool_t *pool = open_pool("a@x,b,c@x,d@y,e@x");
    imi_token_t *a = pick(pool, NULL, 0, 1);
    imi_pool_exhausted(pool, a, NULL, at(HOUR_MS).unix_ms, false, at(0));
    imi_pool_release(pool, a);
    ck_assert_uint_eq(told.count, 3);
    assert_stats(pool, 0, 2, 3, 0, 0);
    ck_assert_uint_eq(serve(pool, NULL, 0), 2);
    ck_assert_uint_eq(serve(pool, NULL, 0), 4);
    ck_assert_uint_eq(serve(pool, NULL, 0), 2);
    assert_stats(pool, HOUR_MS, 5, 0, 0, 0);
    imi_pool_free(pool);
}
END_TEST

START_TEST(a_group_shares_its_quota_of_a_model_but_neither_pace_nor_validity) {
    imi_pool_t *pool = open_pool("a@x,b@x");
    imi_token_t *a = pick(pool, NULL, 0, 1);
    imi_pool_exhausted(pool, a, "m", at(HOUR_MS).unix_ms, false, at(0));
    ck_assert_uint_eq(told.count, 2);
    imi_pool_release(pool, a);
    ck_assert_uint_eq(serve(pool, "m", 0), 0);
    ck_assert_uint_eq(serve(pool, "n", 0), 2);
    a = pick(pool, "n", 0, 1);
    imi_pool_cooling(pool, a, 0, at(0));
    assert_stats(pool, 0, 1, 0, 1, 0);
    imi_pool_invalid(pool, a, at(0));
    assert_stats(pool, 0, 1, 0, 0, 1);
    imi_pool_release(pool, a);
    imi_pool_free(pool);
}
END_TEST

START_TEST(groups_follow_the_list) {
    imi_pool_t *pool = open_pool("a@x,b@x,c");
    imi_token_t *a = pick(pool, NULL, 0, 1);
    ck_assert_int_eq(imi_pool_set_tokens(pool, "a@z,b@x,c@z", at(0)), 0);
    imi_pool_exhausted(pool, a, NULL, at(HOUR_MS).unix_ms, false, at(0));
    imi_pool_release(pool, a);
    assert_stats(pool, 0, 1, 2, 0, 0);
    ck_assert_uint_eq(serve(pool, NULL, 0), 2);
    imi_pool_free(pool);
}
END_TEST

/* ---- probes -----------------------------------------------------------------------------------
 */

static const what_t probed[] = {INVALID, CREDIT};

START_TEST(exactly_one_call_probes) { /* _i walks probed */
    imi_pool_t *pool = open_pool("a");
    imi_token_t *a = pick(pool, NULL, 0, 1);
    mark(pool, a, probed[_i], HOUR_MS, 0);
    imi_pool_release(pool, a);
    pick(pool, NULL, HOUR_MS - 1, 0);
    a = pick(pool, NULL, HOUR_MS, 1);
    for (int64_t i = 0; i < 5; i++) {
        pick(pool, NULL, HOUR_MS + i * MINUTE_MS, 0);
        ck_assert_uint_eq(imi_pool_wait_ms(pool, NULL, at(HOUR_MS)), SECOND_MS);
        ck_assert(!imi_pool_can_serve(pool, at(HOUR_MS)));
        assert_stats(pool, HOUR_MS, 0, probed[_i] == CREDIT, 0, probed[_i] == INVALID);
    }
    told.count = 0;
    imi_pool_succeeded(pool, a, NULL, at(HOUR_MS));
    ck_assert_uint_eq(told.count, 1);
    ck_assert_int_eq(told.state, IMI_TOKEN_ACTIVE);
    ck_assert_str_eq(told.model, "");
    assert_stats(pool, HOUR_MS, 1, 0, 0, 0);
    imi_pool_release(pool, a);
    ck_assert_uint_eq(serve(pool, NULL, HOUR_MS), 1);
    imi_pool_free(pool);
}
END_TEST

START_TEST(a_probe_that_is_refused_waits_again) { /* _i walks probed */
    imi_pool_t *pool = open_pool("a");
    imi_token_t *a = pick(pool, NULL, 0, 1);
    for (int64_t ms = 0; ms < 5 * HOUR_MS; ms += HOUR_MS) {
        mark(pool, a, probed[_i], HOUR_MS, ms);
        imi_pool_release(pool, a);
        pick(pool, NULL, ms + HOUR_MS - 1, 0);
        a = pick(pool, NULL, ms + HOUR_MS, 1);
        pick(pool, NULL, ms + HOUR_MS, 0);
    }
    imi_pool_release(pool, a);
    imi_pool_free(pool);
}
END_TEST

START_TEST(a_probe_without_a_verdict_is_due_again) { /* _i walks probed */
    imi_pool_t *pool = open_pool("a");
    imi_token_t *a = pick(pool, NULL, 0, 1);
    mark(pool, a, probed[_i], HOUR_MS, 0);
    imi_pool_release(pool, a);
    a = pick(pool, NULL, HOUR_MS, 1);
    imi_pool_failed(pool, a); /* the provider's fault */
    imi_pool_release(pool, a);
    assert_stats(pool, HOUR_MS, 0, probed[_i] == CREDIT, 0, probed[_i] == INVALID);
    ck_assert_uint_eq(imi_pool_wait_ms(pool, NULL, at(HOUR_MS)), 0);
    a = pick(pool, NULL, HOUR_MS, 1);
    pick(pool, NULL, HOUR_MS, 0);
    imi_pool_release(pool, a);
    imi_pool_free(pool);
}
END_TEST

START_TEST(a_good_probe_brings_its_account_back) {
    imi_pool_t *pool = open_pool("a@x,b@x,c@x,d");
    imi_token_t *a = pick(pool, NULL, 0, 1), *d = imi_pool_pick(pool, NULL, at(0));
    imi_pool_release(pool, d);
    d = pick(pool, NULL, 0, 3);
    imi_pool_invalid(pool, d, at(0)); /* c: for another reason, and longer */
    imi_pool_release(pool, d);
    imi_pool_exhausted(pool, a, NULL, at(HOUR_MS / 2).unix_ms, true, at(0));
    imi_pool_release(pool, a);
    assert_stats(pool, 0, 1, 2, 0, 1);
    a = imi_pool_pick(pool, NULL, at(HOUR_MS / 2));
    imi_pool_succeeded(pool, a, NULL, at(HOUR_MS / 2));
    imi_pool_release(pool, a);
    assert_stats(pool, HOUR_MS / 2, 3, 0, 0, 1);
    imi_pool_free(pool);
}
END_TEST

START_TEST(no_request_has_to_try_many_dead_tokens) {
    imi_pool_t *pool = open_pool("a,b,c,d,healthy");
    imi_token_t *held[5];
    uint32_t probe_count = 0;
    for (uint32_t i = 0; i < 5; i++)
        held[i] = pick(pool, NULL, 0, i + 1);
    for (uint32_t i = 0; i < 4; i++)
        imi_pool_invalid(pool, held[i], at(0));
    for (uint32_t i = 0; i < 5; i++)
        imi_pool_release(pool, held[i]);
    for (int i = 0; i < 10; i++) { /* at one instant */
        imi_token_t *token = imi_pool_pick(pool, NULL, at(HOUR_MS));
        if (imi_token_index(token) != 5) {
            probe_count++;
            imi_pool_invalid(pool, token, at(HOUR_MS));
        }
        imi_pool_release(pool, token);
    }
    ck_assert_uint_eq(probe_count, 1);
    ck_assert_uint_ne(serve(pool, NULL, HOUR_MS + SECOND_MS), 5); /* the next one is looked at */
    imi_pool_free(pool);
}
END_TEST

/* ---- single models ----------------------------------------------------------------------------
 */

START_TEST(a_mark_for_a_model_leaves_the_others_alone) {
    imi_pool_t *pool = open_pool("a,b");
    imi_token_t *a = pick(pool, "m", 0, 1);
    imi_pool_exhausted(pool, a, "m", at(HOUR_MS).unix_ms, false, at(0));
    imi_pool_exhausted(pool, a, "m", at(MINUTE_MS).unix_ms, false, at(0)); /* ends earlier */
    ck_assert_uint_eq(told.count, 1);
    ck_assert_str_eq(told.model, "m");
    imi_pool_release(pool, a);
    ck_assert_uint_eq(serve(pool, "m", MINUTE_MS), 2);
    ck_assert_uint_eq(serve(pool, "n", MINUTE_MS), 1);
    assert_stats(pool, 0, 2, 0, 0, 0);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(serve(pool, "m", 0), 2);
    ck_assert_uint_eq(serve(pool, "n", 0), 1);
    ck_assert_uint_eq(serve(pool, NULL, 0), 2);
    ck_assert_uint_eq(serve(pool, "m", HOUR_MS), 1);
    imi_pool_free(pool);
}
END_TEST

START_TEST(a_token_not_in_the_plan_is_passed_over_for_an_hour) {
    imi_pool_t *pool = open_pool("a");
    imi_token_t *a = pick(pool, "m", 0, 1);
    imi_pool_no_plan(pool, a, "m", at(0));
    imi_pool_release(pool, a);
    ck_assert_int_eq(told.state, IMI_TOKEN_INVALID);
    ck_assert_int_eq(told.until_unix_ms, at(HOUR_MS).unix_ms);
    pick(pool, "m", HOUR_MS - 1, 0);
    ck_assert_uint_eq(imi_pool_wait_ms(pool, "m", at(HOUR_MS - 7)), 7);
    ck_assert_uint_eq(imi_pool_wait_ms(pool, "n", at(0)), 0);
    ck_assert_uint_eq(serve(pool, "n", 0), 1);
    ck_assert_uint_eq(serve(pool, "m", HOUR_MS), 1);
    imi_pool_free(pool);
}
END_TEST

START_TEST(a_model_waits_for_the_later_of_both_marks) {
    imi_pool_t *pool = open_pool("a,b");
    imi_token_t *a = pick(pool, "m", 0, 1), *b = pick(pool, "m", 0, 2);
    imi_pool_exhausted(pool, a, "m", at(HOUR_MS).unix_ms, false, at(0));
    imi_pool_exhausted(pool, a, NULL, at(2 * HOUR_MS).unix_ms, false, at(0));
    imi_pool_exhausted(pool, b, "m", at(3 * HOUR_MS).unix_ms, false, at(0));
    imi_pool_cooling(pool, b, 30000, at(0));
    imi_pool_release(pool, a);
    imi_pool_release(pool, b);
    ck_assert_uint_eq(imi_pool_wait_ms(pool, "m", at(0)), 2 * HOUR_MS);
    ck_assert_uint_eq(imi_pool_wait_ms(pool, "n", at(0)), 30000);
    ck_assert_uint_eq(serve(pool, "n", 30000), 2);
    pick(pool, "m", 2 * HOUR_MS - 1, 0);
    ck_assert_uint_eq(serve(pool, "m", 2 * HOUR_MS), 1);
    ck_assert_uint_eq(serve(pool, "m", 2 * HOUR_MS), 1);
    imi_pool_free(pool);
}
END_TEST

START_TEST(callers_who_make_up_models_cannot_fill_the_memory) {
    imi_pool_t *pool = open_pool("a,b");
    for (int i = 0; i < 1000; i++) {
        char model[24];
        imi_token_t *token = NULL;
        snprintf(model, sizeof(model), "model-%d", i);
        for (int k = 0; k < 2; k++) { /* a request that rotates never meets a token twice */
            token = imi_pool_pick(pool, model, at(i));
            ck_assert_ptr_nonnull(token);
            imi_pool_no_plan(pool, token, model, at(i));
            imi_pool_release(pool, token);
        }
        ck_assert_ptr_null(imi_pool_pick(pool, model, at(i)));
    }
    ck_assert_uint_eq(serve(pool, "model-0", 1000), 1); /* forgotten, to make room */
    ck_assert_uint_eq(serve(pool, "model-999", 1000), 0);
    ck_assert_uint_eq(serve(pool, "another", 1000), 2);
    imi_pool_free(pool);
}
END_TEST

/* ---- the store and the operator ---------------------------------------------------------------
 */

START_TEST(marks_from_the_store_are_taken_over_when_they_end_later) {
    imi_pool_t *pool = open_pool("a,b");
    char a[IMI_FINGERPRINT_SIZE + 1], b[IMI_FINGERPRINT_SIZE + 1];
    imi_fingerprint(a, "a");
    imi_fingerprint(b, "b");
    imi_pool_apply(pool, a, "", IMI_TOKEN_EXHAUSTED, at(HOUR_MS).unix_ms, at(0));
    imi_pool_apply(pool, a, "", IMI_TOKEN_EXHAUSTED, at(MINUTE_MS).unix_ms, at(0));
    imi_pool_apply(pool, b, "m", IMI_TOKEN_INVALID, at(HOUR_MS).unix_ms, at(0));
    imi_pool_apply(pool, "0123456789ab", "", IMI_TOKEN_INVALID, at(HOUR_MS).unix_ms, at(0));
    imi_pool_apply(pool, b, "", IMI_TOKEN_EXHAUSTED, at(-1).unix_ms, at(0)); /* over already */
    imi_pool_apply(pool, b, "", IMI_TOKEN_EXHAUSTED, INT64_MIN, at(0));
    ck_assert_uint_eq(told.count, 0); /* the store knows */
    assert_stats(pool, HOUR_MS - 1, 1, 1, 0, 0);
    ck_assert_uint_eq(serve(pool, "m", HOUR_MS - 1), 0);
    ck_assert_uint_eq(serve(pool, "n", HOUR_MS - 1), 2);
    imi_pool_apply(pool, a, "", IMI_TOKEN_ACTIVE, 0, at(HOUR_MS - 1));
    imi_pool_apply(pool, b, "m", IMI_TOKEN_ACTIVE, 0, at(HOUR_MS - 1));
    imi_pool_apply(pool, b, "none", IMI_TOKEN_ACTIVE, 0, at(HOUR_MS - 1));
    assert_stats(pool, HOUR_MS - 1, 2, 0, 0, 0);
    ck_assert_uint_eq(serve(pool, "m", HOUR_MS - 1), 1);
    ck_assert_uint_eq(serve(pool, "m", HOUR_MS - 1), 2);
    imi_pool_apply(pool, a, "", IMI_TOKEN_COOLING, at(HOUR_MS + 70000).unix_ms, at(HOUR_MS));
    ck_assert_uint_eq(serve(pool, NULL, HOUR_MS + 69999), 2);
    assert_stats(pool, HOUR_MS + 69999, 1, 0, 1, 0);
    assert_stats(pool, HOUR_MS + 70000, 2, 0, 0, 0);
    imi_pool_free(pool);
}
END_TEST

START_TEST(an_invalid_token_from_the_store_is_probed_too) {
    imi_pool_t *pool = open_pool("a");
    char a[IMI_FINGERPRINT_SIZE + 1];
    imi_token_t *probe = NULL;
    imi_fingerprint(a, "a");
    imi_pool_apply(pool, a, NULL, IMI_TOKEN_INVALID, at(1000).unix_ms, at(0));
    probe = pick(pool, NULL, 1000, 1);
    pick(pool, NULL, 1000, 0);
    imi_pool_release(pool, probe);
    imi_pool_free(pool);
}
END_TEST

START_TEST(a_reset_makes_everything_active_and_tells) {
    imi_pool_t *pool = open_pool("a,b,c,d");
    imi_token_t *held[4];
    for (uint32_t i = 0; i < 4; i++)
        held[i] = pick(pool, NULL, 0, i + 1);
    imi_pool_exhausted(pool, held[0], NULL, at(DAY_MS).unix_ms, false, at(0));
    imi_pool_cooling(pool, held[1], 0, at(0));
    imi_pool_invalid(pool, held[2], at(0));
    imi_pool_no_plan(pool, held[3], "m", at(0));
    told.count = 0;
    imi_pool_reset(pool);
    ck_assert_uint_eq(told.count, 4);
    ck_assert_int_eq(told.state, IMI_TOKEN_ACTIVE);
    ck_assert_str_eq(told.model, "m");
    assert_stats(pool, 0, 4, 0, 0, 0);
    for (uint32_t i = 0; i < 4; i++)
        imi_pool_release(pool, held[i]);
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_uint_eq(serve(pool, "m", 0), i + 1);
    ck_assert_uint_eq(imi_pool_cooling(pool, pick(pool, NULL, 0, 1), 0, at(0)), 5000);
    imi_pool_release(pool, held[0]);
    imi_pool_reset(pool);
    imi_pool_reset(pool);
    ck_assert_uint_eq(told.count, 5); /* nothing to reset: nothing to tell */
    imi_pool_free(pool);
}
END_TEST

START_TEST(details_tell_it_all_and_no_token) {
    imi_pool_t *pool = open_pool("secret-a@team,secret-b");
    imi_token_t *a = pick(pool, "m", 0, 1), *b = pick(pool, "m", 0, 2);
    imi_buf_t out;
    imi_slice_t json;
    imi_buf_init(&out, NULL, 0);
    imi_pool_exhausted(pool, a, NULL, at(HOUR_MS).unix_ms, false, at(0));
    imi_pool_no_plan(pool, b, "m", at(0));
    imi_pool_succeeded(pool, b, "m", at(0));
    imi_pool_failed(pool, a);
    imi_pool_details(pool, at(0), &out);
    json = (imi_slice_t){out.data, out.size};
    ck_assert(imi_json_valid(json, 8, NULL));
    ck_assert_ptr_null(strstr(out.data, "secret"));
    ck_assert(imi_slice_equals(imi_json_get(json, "[0].group"), "\"team\""));
    ck_assert(imi_slice_equals(imi_json_get(json, "[0].state"), "\"exhausted\""));
    ck_assert(imi_slice_equals(imi_json_get(json, "[0].until"), "\"2026-01-08T01:00:00.000Z\""));
    ck_assert(imi_slice_equals(imi_json_get(json, "[0].inFlight"), "1"));
    ck_assert(imi_slice_equals(imi_json_get(json, "[0].failed"), "1"));
    ck_assert(imi_slice_equals(imi_json_get(json, "[0].served"), "0"));
    ck_assert(imi_slice_equals(imi_json_get(json, "[1].state"), "\"active\""));
    ck_assert(imi_slice_equals(imi_json_get(json, "[1].until"), "null"));
    ck_assert(imi_slice_equals(imi_json_get(json, "[1].served"), "1"));
    ck_assert(imi_slice_equals(imi_json_get(json, "[1].models[0].model"), "\"m\""));
    ck_assert(imi_slice_equals(imi_json_get(json, "[1].models[0].state"), "\"no_plan\""));
    ck_assert_ptr_null(imi_json_get(json, "[1].group").data);
    imi_buf_reset(&out);
    imi_pool_release(pool, a);
    imi_pool_release(pool, b);
    imi_pool_free(pool);
}
END_TEST

START_TEST(an_empty_pool_serves_nobody) {
    imi_pool_t *pool = open_pool("");
    ck_assert(imi_pool_is_empty(pool));
    ck_assert(!imi_pool_can_serve(pool, at(0)));
    ck_assert_uint_eq(imi_pool_wait_ms(pool, "m", at(0)), UINT64_MAX);
    pick(pool, "m", 0, 0);
    assert_stats(pool, 0, 0, 0, 0, 0);
    imi_pool_reset(pool);
    imi_pool_free(pool);
}
END_TEST

/* ---- memory -----------------------------------------------------------------------------------
 */

/* A life with a bit of everything; whatever fails, the pool stays usable. */
static void live(failing_mem_t *failing) {
    imi_pool_t *pool = imi_pool_new(&failing->mem, seed, on_changed, &told);
    imi_token_t *token = NULL;
    imi_clock_t clock = at(0);
    if (pool == NULL)
        return;
    if (imi_pool_set_tokens(pool, "a@x,b@x,c", clock) != 0)
        ck_assert(imi_pool_is_empty(pool));
    for (int i = 0; i < 4; i++) {
        token = imi_pool_pick(pool, "m", clock);
        if (token == NULL)
            break;
        if (i % 2 == 0)
            imi_pool_no_plan(pool, token, "m", clock);
        else
            imi_pool_exhausted(pool, token, "n", clock.unix_ms + HOUR_MS, false, clock);
        if (i % 2 == 0) { /* a rotation does not come back to it, with memory or without */
            imi_token_t *next = imi_pool_pick(pool, "m", clock);
            ck_assert_ptr_ne(next, token);
            if (next != NULL)
                imi_pool_release(pool, next);
        }
        imi_pool_release(pool, token);
    }
    token = imi_pool_pick(pool, NULL, clock);
    if (imi_pool_set_tokens(pool, "c@y,d,e@y,a", clock) != 0) {
        imagine_token_stats_t stats = {.size = sizeof(stats)};
        imi_pool_stats(pool, clock, &stats);
        ck_assert(stats.total == 3 || stats.total == 0);
    }
    if (token != NULL)
        imi_pool_release(pool, token);
    imi_pool_reset(pool);
    imi_pool_free(pool);
}

START_TEST(every_failing_allocation_leaves_the_pool_whole) {
    failing_mem_t failing;
    size_t fail_at = 1;
    do {
        failing_mem_init(&failing, fail_at);
        live(&failing);
        ck_assert_msg(failing.live_count == 0, "request %zu: %zu blocks left", fail_at,
                      failing.live_count);
        failing_mem_init(&failing, fail_at);
        failing.is_lasting = true;
        live(&failing);
        ck_assert_uint_eq(failing.live_count, 0);
    } while (failing.has_failed && fail_at++ < 1000);
    ck_assert_uint_gt(fail_at, 15); /* it did get somewhere */
    ck_assert(!failing.has_failed);
}
END_TEST

/* ---- random operations against a simple model -------------------------------------------------
 */

#define CROWD 12
#define MODELS 3

/* What the pool has to be equal to: no heaps, no rows, only what the rules say. */
typedef struct simple {
    bool is_listed;
    uint32_t in_flight;
    imi_token_state_t state;
    int64_t until; /* in ms since the start, whatever the clock */
    bool is_probed, is_probing;
    int64_t model_until[MODELS];
    uint32_t cooling_steps;
} simple_t;

typedef struct world {
    simple_t tokens[CROWD];
    imi_token_t *calls[200]; /* under way */
    uint32_t owners[200];
    size_t call_count;
    int64_t now;
    int64_t probed_at;
    uint64_t random;
    imi_pool_t *pool;
} world_t;

static uint32_t dice(world_t *world, uint32_t sides) {
    world->random = world->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(world->random >> 33) % sides;
}

static const char *const model_names[MODELS] = {"m0", "m1", "m2"};

static bool is_due(const simple_t *token, int64_t now) {
    return token->is_listed && token->state != IMI_TOKEN_ACTIVE && token->until <= now;
}

static void simple_wake(world_t *world) {
    for (int i = 0; i < CROWD; i++)
        if (is_due(&world->tokens[i], world->now) && !world->tokens[i].is_probed)
            world->tokens[i].state = IMI_TOKEN_ACTIVE;
}

static bool serves(const world_t *world, int i, int model) {
    return world->tokens[i].is_listed &&
           (model < 0 || world->tokens[i].model_until[model] <= world->now);
}

static bool may_probe(const world_t *world, int i, int model) {
    const simple_t *token = &world->tokens[i];
    return serves(world, i, model) && is_due(token, world->now) && token->is_probed &&
           !token->is_probing;
}

static void check_pick(world_t *world, int model) {
    uint32_t fewest = UINT32_MAX;
    bool has_probe = false, may_pace = false;
    imi_token_t *token = NULL;
    int index = -1;
    simple_wake(world);
    for (int i = 0; i < CROWD; i++) {
        if (serves(world, i, model) && world->tokens[i].state == IMI_TOKEN_ACTIVE &&
            world->tokens[i].in_flight < fewest)
            fewest = world->tokens[i].in_flight;
        has_probe |= may_probe(world, i, model);
    }
    may_pace = fewest != UINT32_MAX && world->now - world->probed_at < SECOND_MS;
    token = imi_pool_pick(world->pool, model < 0 ? NULL : model_names[model], at(world->now));
    ck_assert_int_eq(token != NULL, fewest != UINT32_MAX || has_probe);
    if (token == NULL)
        return;
    index = (int)strtol(imi_token_text(token), NULL, 10);
    if (has_probe && !may_pace) {
        ck_assert(may_probe(world, index, model));
        world->tokens[index].is_probing = true;
        world->probed_at = world->now;
    } else {
        ck_assert(serves(world, index, model));
        ck_assert_int_eq(world->tokens[index].state, IMI_TOKEN_ACTIVE);
        ck_assert_uint_eq(world->tokens[index].in_flight, fewest);
    }
    world->tokens[index].in_flight++;
    world->owners[world->call_count] = (uint32_t)index;
    world->calls[world->call_count++] = token;
}

static void simple_mark(world_t *world, int i, imi_token_state_t state, int64_t time_ms,
                        bool is_probed) {
    simple_t *token = &world->tokens[i];
    int64_t left = token->state == IMI_TOKEN_ACTIVE ? 0 : token->until - world->now;
    if (time_ms <= (left > 0 ? left : 0))
        return;
    token->state = state;
    token->until = world->now + time_ms;
    token->is_probed = is_probed;
    token->is_probing = false;
}

static void end_call(world_t *world, size_t call) {
    imi_token_t *token = world->calls[call];
    int i = (int)world->owners[call], model = (int)dice(world, MODELS);
    simple_t *simple = &world->tokens[i];
    int64_t time_ms = 1 + dice(world, 2 * HOUR_MS);
    bool is_probed = dice(world, 2) == 0;
    simple_wake(world);
    switch (dice(world, 8)) {
    case 0:
        imi_pool_exhausted(world->pool, token, NULL, at(world->now + time_ms).unix_ms, is_probed,
                           at(world->now));
        simple_mark(world, i, IMI_TOKEN_EXHAUSTED, time_ms < SECOND_MS ? SECOND_MS : time_ms,
                    is_probed);
        break;
    case 1:
        imi_pool_cooling(world->pool, token, (uint64_t)time_ms, at(world->now));
        simple_mark(world, i, IMI_TOKEN_COOLING, time_ms, false);
        break;
    case 2:
        imi_pool_invalid(world->pool, token, at(world->now));
        simple_mark(world, i, IMI_TOKEN_INVALID, HOUR_MS, true);
        break;
    case 3:
        imi_pool_no_plan(world->pool, token, model_names[model], at(world->now));
        if (simple->model_until[model] < world->now + HOUR_MS)
            simple->model_until[model] = world->now + HOUR_MS;
        break;
    case 4:
    case 5:
        imi_pool_succeeded(world->pool, token, model_names[model], at(world->now));
        if (simple->is_probing) {
            simple->state = IMI_TOKEN_ACTIVE;
            simple->is_probing = false;
        }
        break;
    default:
        imi_pool_failed(world->pool, token);
    }
    imi_pool_release(world->pool, token);
    simple->is_probing = false;
    simple->in_flight--;
    world->call_count--;
    world->calls[call] = world->calls[world->call_count];
    world->owners[call] = world->owners[world->call_count];
}

/* Tokens without calls come and go: what happens to the others has tests of its own. */
static void change_list(world_t *world) {
    char list[CROWD * 4] = "";
    size_t size = 0;
    for (int i = 0; i < CROWD; i++) {
        simple_t *token = &world->tokens[i];
        bool was_listed = token->is_listed;
        if (token->in_flight == 0 && dice(world, 4) == 0)
            token->is_listed = !token->is_listed;
        if (token->is_listed)
            size += (size_t)snprintf(list + size, sizeof(list) - size, "%d,", i);
        if (was_listed != token->is_listed)
            *token = (simple_t){.is_listed = token->is_listed};
    }
    ck_assert_int_eq(imi_pool_set_tokens(world->pool, list, at(world->now)), 0);
}

static void check_all(world_t *world) {
    imagine_token_stats_t stats = {.size = sizeof(stats)};
    uint32_t counts[4] = {0};
    int model = (int)dice(world, MODELS + 1) - 1;
    int64_t wait_ms = INT64_MAX;
    uint64_t told_ms =
        imi_pool_wait_ms(world->pool, model < 0 ? NULL : model_names[model], at(world->now));
    simple_wake(world);
    for (int i = 0; i < CROWD; i++) {
        const simple_t *token = &world->tokens[i];
        int64_t own_ms = token->state == IMI_TOKEN_ACTIVE ? 0 : token->until - world->now;
        if (!token->is_listed)
            continue;
        counts[token->state]++;
        if (own_ms < 0)
            own_ms = 0;
        if (token->is_probing)
            own_ms = SECOND_MS;
        if (model >= 0 && token->model_until[model] - world->now > own_ms)
            own_ms = token->model_until[model] - world->now;
        if (own_ms < wait_ms)
            wait_ms = own_ms;
    }
    ck_assert_uint_eq(told_ms, wait_ms == INT64_MAX ? UINT64_MAX : (uint64_t)wait_ms);
    imi_pool_stats(world->pool, at(world->now), &stats);
    ck_assert_uint_eq(stats.active, counts[IMI_TOKEN_ACTIVE]);
    ck_assert_uint_eq(stats.cooling, counts[IMI_TOKEN_COOLING]);
    ck_assert_uint_eq(stats.exhausted, counts[IMI_TOKEN_EXHAUSTED]);
    ck_assert_uint_eq(stats.invalid, counts[IMI_TOKEN_INVALID]);
    ck_assert_uint_eq(stats.total, counts[0] + counts[1] + counts[2] + counts[3]);
}

START_TEST(it_does_what_a_simple_model_does) { /* _i is the seed: Check names it in a failure */
    world_t world = {.random = (uint64_t)_i * 7919 + 1, .probed_at = -DAY_MS};
    world.pool = open_pool("");
    for (int step = 0; step < 4000; step++) {
        switch (dice(&world, 16)) {
        case 0:
            change_list(&world);
            break;
        case 1:
            if (dice(&world, 40) == 0) {
                imi_pool_reset(world.pool);
                for (int i = 0; i < CROWD; i++)
                    world.tokens[i] = (simple_t){.is_listed = world.tokens[i].is_listed,
                                                 .in_flight = world.tokens[i].in_flight};
            }
            break;
        case 2:
            world.now += dice(&world, HOUR_MS);
            break;
        case 3:
        case 4:
            world.now += dice(&world, 3 * SECOND_MS);
            break;
        case 5:
        case 6:
        case 7:
        case 8:
        case 9:
            if (world.call_count < 200)
                check_pick(&world, (int)dice(&world, MODELS + 1) - 1);
            break;
        default:
            if (world.call_count > 0)
                end_call(&world, dice(&world, (uint32_t)world.call_count));
        }
        check_all(&world);
    }
    while (world.call_count > 0)
        end_call(&world, 0);
    imi_pool_free(world.pool);
}
END_TEST

static Suite *pool_suite(void) {
    Suite *suite = suite_create("core/pool");
    TCase *tcase = tcase_create("list");
    tcase_add_loop_test(tcase, a_list_is_read_whole_or_not_at_all, 0,
                        (int)(sizeof(lists) / sizeof(lists[0])));
    tcase_add_test(tcase, a_token_that_stays_keeps_its_state_and_gets_its_new_place);
    tcase_add_test(tcase, a_token_that_left_lives_until_its_calls_are_over);
    tcase_add_test(tcase, a_token_is_held_by_its_fingerprint_in_whatever_state);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("fairness");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, calls_one_after_the_other_go_round);
    tcase_add_test(tcase, the_token_with_the_fewest_calls_in_flight_serves);
    tcase_add_test(tcase, the_one_unused_longest_comes_first);
    tcase_add_loop_test(tcase, picking_costs_the_same_with_1_and_with_10000_tokens, 0,
                        (int)(sizeof(crowds) / sizeof(crowds[0])));
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("set aside");
    tcase_add_loop_test(tcase, the_later_deadline_wins, 0,
                        (int)(sizeof(deadlines) / sizeof(deadlines[0])));
    tcase_add_test(tcase, exhaustion_keeps_to_the_wall_clock_and_cooling_to_the_other);
    tcase_add_test(tcase, a_refused_token_is_passed_over_and_the_next_one_serves);
    tcase_add_test(tcase, only_the_probe_takes_a_mark_back_early);
    tcase_add_test(tcase, cooling_doubles_while_it_goes_on);
    tcase_add_test(tcase, a_burst_that_is_refused_together_cools_once);
    tcase_add_test(tcase, what_the_provider_tells_wins_over_our_own_rule);
    tcase_add_test(tcase, only_long_cooling_is_told);
    tcase_add_test(tcase, tokens_of_one_account_are_exhausted_together);
    tcase_add_test(tcase, a_group_shares_its_quota_of_a_model_but_neither_pace_nor_validity);
    tcase_add_test(tcase, groups_follow_the_list);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("probes");
    tcase_add_loop_test(tcase, exactly_one_call_probes, 0, 2);
    tcase_add_loop_test(tcase, a_probe_that_is_refused_waits_again, 0, 2);
    tcase_add_loop_test(tcase, a_probe_without_a_verdict_is_due_again, 0, 2);
    tcase_add_test(tcase, a_good_probe_brings_its_account_back);
    tcase_add_test(tcase, no_request_has_to_try_many_dead_tokens);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("models");
    tcase_add_test(tcase, a_mark_for_a_model_leaves_the_others_alone);
    tcase_add_test(tcase, a_token_not_in_the_plan_is_passed_over_for_an_hour);
    tcase_add_test(tcase, a_model_waits_for_the_later_of_both_marks);
    tcase_add_test(tcase, callers_who_make_up_models_cannot_fill_the_memory);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("store and operator");
    tcase_add_test(tcase, marks_from_the_store_are_taken_over_when_they_end_later);
    tcase_add_test(tcase, an_invalid_token_from_the_store_is_probed_too);
    tcase_add_test(tcase, a_reset_makes_everything_active_and_tells);
    tcase_add_test(tcase, details_tell_it_all_and_no_token);
    tcase_add_test(tcase, an_empty_pool_serves_nobody);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("whatever happens");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, every_failing_allocation_leaves_the_pool_whole);
    tcase_add_loop_test(tcase, it_does_what_a_simple_model_does, 1, 21);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(pool_suite)
