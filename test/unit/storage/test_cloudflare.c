/* test_cloudflare.c: "cloudflare:" against a stand-in, and against what a service may answer, in
 * cloudflare.txt. */
#include "../../support/check_main.h"

#include "../../support/kv_server.h"
#include "../../support/storage_conformance.h"
#include "../../support/storage_script.h"

static void open_plain(storage_bench_t *bench) {
    kv_bench_open_io(bench);
    ck_assert_int_eq(imagine_storage_open(&bench->storage, kv_server_cloudflare(NULL), NULL), 0);
}

/* With it, long keys make names that are too long. */
static void open_prefixed(storage_bench_t *bench) {
    kv_bench_open_io(bench);
    ck_assert_int_eq(
        imagine_storage_open(&bench->storage, kv_server_cloudflare("?prefix=..%2F%20%3D"), NULL),
        0);
}

static const storage_target_t targets[] = {
    {.name = "cloudflare", .open = open_plain, .close = kv_bench_close_io},
    {.name = "cloudflare with a prefix", .open = open_prefixed, .close = kv_bench_close_io},
};

static Suite *cloudflare_suite(void) {
    Suite *suite = suite_create("storage/cloudflare");
    TCase *conformance = storage_conformance(targets, sizeof(targets) / sizeof(targets[0]));
    tcase_add_unchecked_fixture(conformance, kv_server_start, kv_server_stop);
    suite_add_tcase(suite, storage_script("test/unit/storage/cloudflare.txt"));
    suite_add_tcase(suite, conformance);
    return suite;
}

IMI_CHECK_MAIN(cloudflare_suite)
