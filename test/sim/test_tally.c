/* test_tally.c: two instances on one storage, each in a world of its own whose clocks go together:
 * how often a token served, and failed, is the sum of both. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim.h"
#include "support/check_main.h"
#include "wire/json.h"

#define GOOD "{\"data\":[{\"url\":\"https://cdn.test/1.png\"}]}"
#define BAD "{\"error\":{\"message\":\"prompt is missing\"}}"

typedef struct pair {
    sim_store_t *store;
    sim_t *a, *b;
} pair_t;

static sim_t *open_one(sim_store_t *store, uint64_t seed) {
    sim_t *sim = sim_open(seed);
    sim_attach_store(sim, store);
    ck_assert_int_eq(imagine_set_tokens(sim->im, "gitee", "secret"), 0);
    sim_run(sim, 10);
    return sim;
}

static pair_t open_pair(void) {
    pair_t pair = {.store = sim_store_new()};
    sim_store_share(pair.store, true);
    pair.a = open_one(pair.store, 1);
    pair.b = open_one(pair.store, 2);
    return pair;
}

static void close_pair(pair_t *pair) {
    ck_assert(!sim_store_contains(pair->store, "secret"));
    sim_close(pair->a);
    sim_close(pair->b);
    sim_store_free(pair->store);
}

static void run(const pair_t *pair, uint64_t ms) {
    for (uint64_t at = 0; at < ms; at += 5) {
        sim_run(pair->a, 5);
        sim_run(pair->b, 5);
    }
}

/* `served` pictures, and `failed` refusals of its breaking connection. */
static void work(sim_t *sim, unsigned served, unsigned failed) {
    for (unsigned i = 0; i < served + failed; i++) {
        sim_request_t *request;
        if (i < served)
            sim_reply(sim, 1, 200, GOOD);
        else
            sim_break(sim, 1, IMAGINE_ETIMEDOUT, true);
        request = sim_generate(sim, "gitee/z-image-turbo");
        ck_assert_ptr_nonnull(request);
        sim_run(sim, 5);
        ck_assert_int_eq(request->done_count, 1);
    }
}

static int64_t told(sim_t *sim, const char *what) {
    char path[16];
    int64_t number = -1;
    char *details = imagine_token_details(sim->im, "gitee");
    ck_assert_ptr_nonnull(details);
    snprintf(path, sizeof(path), "[0].%s", what);
    ck_assert(imi_json_whole_number(imi_json_get(imi_slice_of(details), path), &number));
    imagine_free(details);
    return number;
}

static void assert_told(sim_t *sim, int64_t served, int64_t failed) {
    ck_assert_int_eq(told(sim, "served"), served);
    ck_assert_int_eq(told(sim, "failed"), failed);
}

/* Asks, and once more when the storage has answered. */
static void assert_both(const pair_t *pair, int64_t served, int64_t failed) {
    run(pair, 1100);
    told(pair->a, "served");
    told(pair->b, "served");
    run(pair, 200);
    assert_told(pair->a, served, failed);
    assert_told(pair->b, served, failed);
}

START_TEST(both_tell_the_sum) {
    pair_t pair = open_pair();
    work(pair.a, 3, 0);
    assert_told(pair.a, 3, 0);
    work(pair.b, 2, 1);
    assert_told(pair.b, 2, 1);
    assert_both(&pair, 5, 1);
    work(pair.a, 1, 1);
    assert_told(pair.a, 6, 2);
    assert_both(&pair, 6, 2);
    close_pair(&pair);
}
END_TEST

START_TEST(at_rest_nothing_is_due) {
    pair_t pair = open_pair();
    work(pair.a, 2, 0);
    run(&pair, 5000);
    ck_assert_uint_eq(pair.a->timer_count, 0);
    ck_assert_uint_eq(pair.b->timer_count, 0);
    close_pair(&pair);
}
END_TEST

START_TEST(a_restart_forgets_nothing) {
    pair_t pair = open_pair();
    work(pair.a, 4, 1); /* within the second: told while it closes */
    sim_close(pair.a);
    pair.a = open_one(pair.store, 3);
    run(&pair, 100);
    assert_told(pair.a, 4, 1);
    work(pair.a, 1, 0);
    assert_both(&pair, 5, 1);
    close_pair(&pair);
}
END_TEST

START_TEST(what_was_counted_while_the_storage_was_away_is_told_later) {
    pair_t pair = open_pair();
    work(pair.a, 2, 0);
    run(&pair, 2000);
    sim_store_set_mode(pair.store, SIM_STORE_AWAY);
    work(pair.a, 3, 0);
    run(&pair, 3000);
    assert_told(pair.a, 5, 0);
    ck_assert_ptr_nonnull(strstr(pair.a->log, "store.failed"));
    sim_store_set_mode(pair.store, SIM_STORE_UP);
    run(&pair, 6000);
    ck_assert_ptr_nonnull(strstr(pair.a->log, "store.back"));
    work(pair.b, 1, 0);
    assert_both(&pair, 6, 0);
    close_pair(&pair);
}
END_TEST

START_TEST(an_emptied_storage_is_told_again) {
    pair_t pair = open_pair();
    work(pair.a, 7, 0);
    run(&pair, 2000);
    sim_store_empty(pair.store);
    assert_told(pair.a, 7, 0);
    work(pair.a, 1, 0);
    run(&pair, 4000);
    assert_both(&pair, 8, 0);
    close_pair(&pair);
}
END_TEST

START_TEST(counts_from_before_the_storage_are_told_too) {
    pair_t pair = open_pair();
    sim_close(pair.b);
    pair.b = sim_open(2);
    ck_assert_int_eq(imagine_set_tokens(pair.b->im, "gitee", "secret"), 0);
    work(pair.b, 2, 0);
    work(pair.a, 1, 0);
    sim_attach_store(pair.b, pair.store);
    assert_both(&pair, 3, 0);
    close_pair(&pair);
}
END_TEST

START_TEST(another_storage_is_told_anew) {
    pair_t pair = open_pair();
    sim_store_t *other = sim_store_new();
    sim_store_share(other, false);
    work(pair.a, 3, 0);
    run(&pair, 900);
    sim_store_set_delay(pair.store, 400); /* the round is under way */
    run(&pair, 300);
    sim_attach_store(pair.a, other);
    run(&pair, 3000);
    assert_told(pair.a, 3, 0);
    ck_assert(sim_store_contains(other, "stat/gitee/"));
    close_pair(&pair);
    sim_store_free(other);
}
END_TEST

START_TEST(a_slow_storage_counts_nothing_twice) {
    pair_t pair = open_pair();
    sim_store_set_delay(pair.store, 700);
    for (int i = 0; i < 20; i++) { /* lists and adds cross each other on the way */
        work(i % 2 == 0 ? pair.a : pair.b, 1, 0);
        told(pair.a, "served");
        run(&pair, 330);
        told(pair.b, "served");
    }
    sim_store_set_delay(pair.store, 0);
    run(&pair, 3000);
    assert_both(&pair, 20, 0);
    close_pair(&pair);
}
END_TEST

START_TEST(a_silent_storage_keeps_nobody_from_closing) {
    pair_t pair = open_pair();
    sim_store_set_mode(pair.store, SIM_STORE_SILENT);
    work(pair.a, 1, 0); /* its round begins with the end */
    work(pair.b, 1, 0);
    sim_run(pair.b, 1500); /* its round is under way */
    close_pair(&pair);
}
END_TEST

START_TEST(alone_nothing_is_written) {
    sim_t *sim = sim_open(1);
    sim_store_t *store = sim_store_new(); /* not shared */
    sim_attach_store(sim, store);
    ck_assert_int_eq(imagine_set_tokens(sim->im, "gitee", "secret"), 0);
    sim_run(sim, 10);
    work(sim, 2, 1);
    sim_run(sim, 5000);
    assert_told(sim, 2, 1);
    ck_assert(!sim_store_has(store, "stat/"));
    sim_close(sim);
    sim_store_free(store);
}
END_TEST

/* From the first call to the end of the client. */
START_TEST(no_allocation_may_fail_badly) {
    bool has_failed = true;
    for (size_t n = 1; has_failed; n++) {
        sim_store_t *store = sim_store_new();
        sim_t *sim;
        sim_store_share(store, true);
        sim = open_one(store, 1);
        sim->mem.fail_at = sim->mem.request_count + n;
        sim_reply(sim, 1, 200, GOOD);
        sim_generate(sim, "gitee/z-image-turbo");
        sim_run(sim, 10000);
        imagine_free(imagine_token_details(sim->im, "gitee"));
        sim_run(sim, 100);
        has_failed = sim->mem.has_failed;
        if (!has_failed)
            assert_told(sim, 1, 0);
        sim_close(sim);
        sim_store_free(store);
    }
}
END_TEST

static Suite *tally_suite(void) {
    Suite *suite = suite_create("sim/tally");
    TCase *tcase = tcase_create("tally");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, both_tell_the_sum);
    tcase_add_test(tcase, at_rest_nothing_is_due);
    tcase_add_test(tcase, a_restart_forgets_nothing);
    tcase_add_test(tcase, what_was_counted_while_the_storage_was_away_is_told_later);
    tcase_add_test(tcase, an_emptied_storage_is_told_again);
    tcase_add_test(tcase, counts_from_before_the_storage_are_told_too);
    tcase_add_test(tcase, another_storage_is_told_anew);
    tcase_add_test(tcase, a_slow_storage_counts_nothing_twice);
    tcase_add_test(tcase, a_silent_storage_keeps_nobody_from_closing);
    tcase_add_test(tcase, alone_nothing_is_written);
    tcase_add_test(tcase, no_allocation_may_fail_badly);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(tally_suite)
