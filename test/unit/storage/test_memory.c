/* test_memory.c: "memory:" beside what the conformance suite says: its own limits, and memory that
 * runs out. */
#include "../../support/check_main.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "../../support/failing_mem.h"
#include "../../support/storage_conformance.h"
#include "imagine/storage.h"
#include "storage/drivers.h"
#include "storage/queue.h"

#define MORE_THAN_A_PAGE 70 /* of a list */

static void open_memory(storage_bench_t *bench) {
    ck_assert_int_eq(imagine_storage_open(&bench->storage, "memory:", NULL), 0);
}

static const storage_target_t targets[] = {{.name = "memory", .open = open_memory}};

static failing_mem_t failing;
static void open_failing(storage_bench_t *bench) {
    ck_assert_int_eq(imi_storage_open(&failing.mem, &bench->storage, "memory:", NULL), 0);
}

static void count_end(int status, void *user) {
    size_t *count = user;
    (void)status;
    ++*count;
}

/* False when there is no such allocation. */
static bool ask_all(size_t fail_at, bool is_lasting) {
    static const storage_target_t target = {.name = "memory without memory", .open = open_failing};
    failing_mem_init(&failing, 0);
    storage_bench_t *bench = storage_bench_open(&target);
    int status = 0;
    ck_assert_int_eq(storage_bench_set(bench, "n", "41", 0), 0);
    for (int i = 0; i < MORE_THAN_A_PAGE; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "key-%d", i);
        ck_assert_int_eq(storage_bench_set(bench, key, "", 0), 0);
    }
    failing.request_count = 0;
    failing.fail_at = fail_at;
    failing.is_lasting = is_lasting;
    int add_status = 0;
    int64_t sum = storage_bench_add(bench, "n", 1, 0, &add_status);
    int made_status = storage_bench_set(bench, "made", "x", 1000);
    int replaced_status = storage_bench_set(bench, "n", "7", 500);
    char *keys = storage_bench_list(bench, "", &status);
    ck_assert(status == 0 || status == IMAGINE_ENOMEM);
    free(keys);
    failing.fail_at = 0;
    ck_assert(add_status == 0 ? sum == 42 : add_status == IMAGINE_ENOMEM);
    ck_assert(made_status == 0 || made_status == IMAGINE_ENOMEM);
    ck_assert(replaced_status == 0 || replaced_status == IMAGINE_ENOMEM);
    storage_bench_expect(bench, "made", made_status == 0 ? "x" : NULL);
    storage_bench_expect(bench, "n", replaced_status == 0 ? "7" : add_status == 0 ? "42" : "41");
    mini_io_advance(bench->mini, 500);
    storage_bench_expect(bench, "n", replaced_status == 0 ? NULL : add_status == 0 ? "42" : "41");
    storage_bench_close(bench);
    ck_assert_uint_eq(failing.live_count, 0);
    return failing.has_failed;
}

START_TEST(every_failing_allocation_is_told_and_changes_nothing) { /* _i: do all that follow? */
    size_t n = 1;
    while (ask_all(n, _i != 0))
        n++;
    ck_assert_uint_gt(n, 10);
}
END_TEST

START_TEST(without_a_timer_an_operation_is_refused_and_closing_still_works) {
    storage_bench_t *bench = storage_bench_open(&targets[0]);
    size_t end_count = 0;
    bench->mini->timers_until_failure = 0;
    ck_assert_int_eq(bench->driver->set(bench->self, "k", "x", 1, 0, count_end, &end_count),
                     IMAGINE_ENOMEM);
    ck_assert_int_eq(storage_bench_set(bench, "k", "y", 0), 0);
    storage_bench_expect(bench, "k", "y");
    bench->mini->timers_until_failure = 0;
    storage_bench_close(bench);
    ck_assert_uint_eq(end_count, 0);
}
END_TEST

START_TEST(more_than_the_queue_holds_is_refused) {
    storage_bench_t *bench = storage_bench_open(&targets[0]);
    size_t end_count = 0;
    int err = 0;
    for (size_t i = 0; i < IMI_STORAGE_WAITING_COUNT_MAX; i++)
        err |= bench->driver->remove(bench->self, "k", count_end, &end_count);
    ck_assert_int_eq(err, 0);
    ck_assert_int_eq(bench->driver->remove(bench->self, "k", count_end, &end_count), IMAGINE_EBUSY);
    ck_assert(mini_io_run_until(bench->mini, &end_count, IMI_STORAGE_WAITING_COUNT_MAX, 20000));
    ck_assert_int_eq(storage_bench_set(bench, "k", "x", 0), 0); /* there is room again */
    storage_bench_close(bench);
    ck_assert_uint_eq(end_count, IMI_STORAGE_WAITING_COUNT_MAX);
}
END_TEST

START_TEST(more_bytes_than_the_queue_holds_are_refused) {
    storage_bench_t *bench = storage_bench_open(&targets[0]);
    size_t end_count = 0, accepted_count = 0;
    int err = 0;
    char *value = calloc(1, IMAGINE_STORAGE_VALUE_SIZE_MAX);
    ck_assert_ptr_nonnull(value);
    while (err == 0 && accepted_count < 100) {
        err = bench->driver->set(bench->self, "k", value, IMAGINE_STORAGE_VALUE_SIZE_MAX, 0,
                                 count_end, &end_count);
        accepted_count += err == 0;
    }
    ck_assert_int_eq(err, IMAGINE_EBUSY);
    ck_assert_uint_eq(accepted_count, 63); /* 64 MiB with what each costs beside its value */
    free(value);
    storage_bench_close(bench);
    ck_assert_uint_eq(end_count, accepted_count);
}
END_TEST

START_TEST(more_than_it_may_store_is_too_large_until_something_leaves) {
    storage_bench_t *bench = storage_bench_open(&targets[0]);
    size_t stored_count = 0;
    int status = 0;
    char key[32];
    char *value = calloc(1, IMAGINE_STORAGE_VALUE_SIZE_MAX);
    ck_assert_ptr_nonnull(value);
    while (status == 0 && stored_count < 300) {
        (void)snprintf(key, sizeof(key), "k%zu", stored_count);
        status = storage_bench_set_bytes(bench, key, value, IMAGINE_STORAGE_VALUE_SIZE_MAX,
                                         stored_count == 1 ? 1000 : 0);
        stored_count += status == 0;
    }
    ck_assert_int_eq(status, IMAGINE_ETOOLARGE);
    ck_assert_uint_eq(stored_count, 255);
    ck_assert_int_eq(storage_bench_set(bench, "k0", "small", 0), 0); /* in place of a large one */
    ck_assert_int_eq(
        storage_bench_set_bytes(bench, "again", value, IMAGINE_STORAGE_VALUE_SIZE_MAX, 0), 0);
    ck_assert_int_eq(
        storage_bench_set_bytes(bench, "more", value, IMAGINE_STORAGE_VALUE_SIZE_MAX, 0),
        IMAGINE_ETOOLARGE);
    mini_io_advance(bench->mini, 1000); /* k1 goes */
    ck_assert_int_eq(
        storage_bench_set_bytes(bench, "more", value, IMAGINE_STORAGE_VALUE_SIZE_MAX, 0), 0);
    free(value);
    storage_bench_close(bench);
}
END_TEST

static Suite *memory_suite(void) {
    Suite *suite = suite_create("storage/memory");
    TCase *limits = tcase_create("limits");
    suite_add_tcase(suite, storage_conformance(targets, 1));
    tcase_set_timeout(limits, 60);
    tcase_add_loop_test(limits, every_failing_allocation_is_told_and_changes_nothing, 0, 2);
    tcase_add_test(limits, without_a_timer_an_operation_is_refused_and_closing_still_works);
    tcase_add_test(limits, more_than_the_queue_holds_is_refused);
    tcase_add_test(limits, more_bytes_than_the_queue_holds_are_refused);
    tcase_add_test(limits, more_than_it_may_store_is_too_large_until_something_leaves);
    suite_add_tcase(suite, limits);
    return suite;
}

IMI_CHECK_MAIN(memory_suite)
