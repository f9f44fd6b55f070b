/* test_upstash.c: "upstash:" against a stand-in in front of a real redis-server, and against what a
 * service may answer, in upstash.txt. */
#include "../../support/check_main.h"

#include "../../support/kv_server.h"
#include "../../support/storage_conformance.h"
#include "../../support/storage_script.h"

/* Redis' clock is not ours. */
#define SLACK_MS 150
#define TIMEOUT_MS 20000

static void open_plain(storage_bench_t *bench) {
    kv_bench_open_io(bench);
    ck_assert_int_eq(imagine_storage_open(&bench->storage, kv_server_upstash(""), NULL), 0);
}

/* A prefix that Redis' patterns could read otherwise. */
static void open_odd(storage_bench_t *bench) {
    kv_bench_open_io(bench);
    ck_assert_int_eq(
        imagine_storage_open(&bench->storage, kv_server_upstash("%5Ba-z%5D%5C%2A%3F%20"), NULL), 0);
}

static const storage_target_t targets[] = {
    {.name = "upstash", .open = open_plain, .close = kv_bench_close_io, .clock_slack_ms = SLACK_MS},
    {.name = "upstash with an odd prefix",
     .open = open_odd,
     .close = kv_bench_close_io,
     .clock_slack_ms = SLACK_MS},
};

/* ---- one step, whoever else is there ---- */

typedef struct outcome {
    storage_bench_t *bench;
    int status;
} outcome_t;

static void on_swapped(int status, void *user) {
    outcome_t *outcome = user;
    outcome->status = status;
    outcome->bench->ended_count++;
}

static int swap(storage_bench_t *bench, const char *expected, size_t expected_size,
                const char *value, size_t value_size, uint64_t ttl_ms) {
    outcome_t outcome = {.bench = bench};
    bench->asked_count++;
    ck_assert_int_eq(bench->driver->swap(bench->self, "k", expected, expected_size, value,
                                         value_size, ttl_ms, on_swapped, &outcome),
                     0);
    ck_assert(mini_io_run_until(bench->mini, &bench->ended_count, bench->asked_count, TIMEOUT_MS));
    return outcome.status;
}

START_TEST(a_swap_happens_over_what_is_expected_and_nothing_else) {
    storage_bench_t *bench = storage_bench_open(&targets[0]);
    ck_assert_int_eq(swap(bench, "x", 1, "y", 1, 0), IMAGINE_ENOTFOUND);
    ck_assert_int_eq(swap(bench, "", 0, "y", 1, 0), IMAGINE_ENOTFOUND); /* empty is not absent */
    ck_assert_int_eq(swap(bench, NULL, 0, "\0\xff", 2, 0), 0);
    ck_assert_int_eq(swap(bench, NULL, 0, "y", 1, 0), IMAGINE_ENOTFOUND);
    ck_assert_int_eq(swap(bench, "\0\xfe", 2, "y", 1, 0), IMAGINE_ENOTFOUND);
    ck_assert_int_eq(swap(bench, "\0\xff", 2, "", 0, 0), 0);
    ck_assert_int_eq(swap(bench, NULL, 0, "y", 1, 0), IMAGINE_ENOTFOUND);
    ck_assert_int_eq(swap(bench, "", 0, "base64:", 7, 0), 0);
    storage_bench_expect(bench, "k", "base64:");
    ck_assert_int_eq(swap(bench, "base64:", 7, NULL, 0, 0), 0);
    storage_bench_expect(bench, "k", NULL);
    ck_assert_int_eq(swap(bench, NULL, 0, NULL, 0, 0), 0);
    ck_assert_int_eq(swap(bench, NULL, 0, "mortal", 6, 200), 0);
    storage_bench_expect(bench, "k", "mortal");
    mini_io_sleep(bench->mini, 200 + SLACK_MS);
    storage_bench_expect(bench, "k", NULL);
    storage_bench_close(bench);
}
END_TEST

static Suite *upstash_suite(void) {
    Suite *suite = suite_create("storage/upstash");
    TCase *conformance = storage_conformance(targets, sizeof(targets) / sizeof(targets[0]));
    tcase_add_test(conformance, a_swap_happens_over_what_is_expected_and_nothing_else);
    tcase_add_unchecked_fixture(conformance, kv_server_start, kv_server_stop);
    suite_add_tcase(suite, storage_script("test/unit/storage/upstash.txt"));
    suite_add_tcase(suite, conformance);
    return suite;
}

IMI_CHECK_MAIN(upstash_suite)
