/* test_upstash.c: "upstash:" against a stand-in in front of a real redis-server, and against what a
 * service may answer, in upstash.txt. */
#include "../../support/check_main.h"

#include <stdio.h>

#include "../../support/kv_server.h"
#include "../../support/storage_conformance.h"
#include "../../support/storage_script.h"

/* Redis' clock is not ours. */
#define SLACK_MS 150

static char url[1024]; /* of the storage that was opened last */

static void join(storage_bench_t *bench) {
    ck_assert_int_eq(imagine_storage_open(&bench->storage, url, NULL), 0);
}

static void open_prefix(storage_bench_t *bench, const char *prefix) {
    (void)snprintf(url, sizeof(url), "%s", kv_server_upstash(prefix));
    kv_bench_open_io(bench);
    join(bench);
}

static void open_plain(storage_bench_t *bench) {
    open_prefix(bench, "");
}

/* A prefix that Redis' patterns could read otherwise. */
static void open_odd(storage_bench_t *bench) {
    open_prefix(bench, "%5Ba-z%5D%5C%2A%3F%20");
}

static const storage_target_t targets[] = {
    {.name = "upstash",
     .open = open_plain,
     .close = kv_bench_close_io,
     .clock_slack_ms = SLACK_MS,
     .join = join},
    {.name = "upstash with an odd prefix",
     .open = open_odd,
     .close = kv_bench_close_io,
     .clock_slack_ms = SLACK_MS,
     .join = join},
};

static Suite *upstash_suite(void) {
    Suite *suite = suite_create("storage/upstash");
    TCase *conformance = storage_conformance(targets, sizeof(targets) / sizeof(targets[0]));
    tcase_add_unchecked_fixture(conformance, kv_server_start, kv_server_stop);
    suite_add_tcase(suite, storage_script("test/unit/storage/upstash.txt"));
    suite_add_tcase(suite, conformance);
    return suite;
}

IMI_CHECK_MAIN(upstash_suite)
