/* test_tally.c: what a pool has to tell of its counts and what it makes of the storage's answers;
 * and how much the storage is asked at a time. The stories of two instances are in
 * sim/test_tally.c.
 */
#include "core/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../support/check_main.h"
#include "core/registry.h"
#include "imagine/storage.h"
#include "support/virtual_io.h"
#include "wire/json.h"

static const uint64_t seed[2] = {1, 2};
static const imi_clock_t clock_now = {1000, INT64_C(1767888000000)};

/* ---- a pool ------------------------------------------------------------------------------------
 */

typedef struct one {
    imi_pool_t *pool;
    unsigned counted;
    char fingerprint[IMI_FINGERPRINT_SIZE + 1];
} one_t;

static void on_counted(void *user) {
    ((one_t *)user)->counted++;
}

static void one_open(one_t *one) {
    *one = (one_t){0};
    one->pool = imi_pool_new(NULL, seed, NULL, one);
    ck_assert_ptr_nonnull(one->pool);
    imi_pool_set_counted(one->pool, on_counted);
    ck_assert_int_eq(imi_pool_set_tokens(one->pool, "secret", clock_now), 0);
    imi_fingerprint(one->fingerprint, "secret");
}

static void serve(imi_pool_t *pool, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        imi_token_t *token = imi_pool_pick(pool, NULL, clock_now);
        imi_pool_succeeded(pool, token, "m", clock_now);
        imi_pool_release(pool, token);
    }
}

static int64_t shown(imi_pool_t *pool) {
    imi_buf_t out;
    int64_t number = -1;
    imi_buf_init(&out, NULL, 0);
    imi_pool_details(pool, clock_now, &out);
    ck_assert(imi_json_whole_number(imi_json_get((imi_slice_t){out.data, out.size}, "[0].served"),
                                    &number));
    imi_buf_reset(&out);
    return number;
}

static uint64_t take(one_t *one) {
    imi_untold_t untold;
    ck_assert(imi_pool_take_untold(one->pool, &untold));
    ck_assert_str_eq(untold.fingerprint, one->fingerprint);
    ck_assert_uint_eq(untold.amounts[IMI_COUNT_FAILED], 0);
    return untold.amounts[IMI_COUNT_SERVED];
}

static void answer(one_t *one, uint64_t amount, int64_t total, uint64_t now_ms) {
    imi_pool_told(one->pool, one->fingerprint, IMI_COUNT_SERVED, amount, total, now_ms);
}

static void hear(one_t *one, int64_t total, uint64_t asked_at_ms) {
    imi_pool_heard(one->pool, one->fingerprint, IMI_COUNT_SERVED, total, asked_at_ms);
}

START_TEST(a_token_waits_once_however_much_is_counted) {
    one_t one;
    one_open(&one);
    serve(one.pool, 5);
    ck_assert_uint_eq(one.counted, 1);
    ck_assert_uint_eq(imi_pool_untold_count(one.pool), 1);
    ck_assert_uint_eq(take(&one), 5);
    ck_assert_uint_eq(imi_pool_untold_count(one.pool), 0);
    answer(&one, 5, 12, 2000);
    ck_assert_int_eq(shown(one.pool), 12);
    ck_assert_uint_eq(imi_pool_untold_count(one.pool), 0);
    imi_pool_free(one.pool);
}
END_TEST

START_TEST(what_is_on_its_way_is_not_told_again) {
    one_t one;
    one_open(&one);
    serve(one.pool, 2);
    ck_assert_uint_eq(take(&one), 2);
    serve(one.pool, 1);
    ck_assert_uint_eq(take(&one), 0);
    answer(&one, 2, 2, 2000);
    ck_assert_uint_eq(take(&one), 1);
    answer(&one, 1, 3, 2000);
    ck_assert_int_eq(shown(one.pool), 3);
    imi_pool_free(one.pool);
}
END_TEST

START_TEST(what_was_not_added_is_told_again) {
    one_t one;
    one_open(&one);
    serve(one.pool, 2);
    ck_assert_uint_eq(take(&one), 2);
    answer(&one, 2, -1, 2000);
    ck_assert_int_eq(shown(one.pool), 2);
    ck_assert_uint_eq(take(&one), 2);
    answer(&one, 2, 2, 2000);
    imi_pool_free(one.pool);
}
END_TEST

START_TEST(a_total_that_may_lack_our_own_is_not_believed) {
    one_t one;
    one_open(&one);
    hear(&one, 10, 1000); /* former lives */
    ck_assert_int_eq(shown(one.pool), 10);
    serve(one.pool, 3);
    ck_assert_int_eq(shown(one.pool), 13);
    ck_assert_uint_eq(take(&one), 3);
    hear(&one, 13, 1900); /* ours are in it, or three of somebody else's */
    ck_assert_int_eq(shown(one.pool), 13);
    answer(&one, 3, 15, 2000);
    ck_assert_int_eq(shown(one.pool), 15);
    hear(&one, 11, 2000); /* read before ours came */
    ck_assert_int_eq(shown(one.pool), 15);
    hear(&one, 20, 2001);
    ck_assert_int_eq(shown(one.pool), 20);
    imi_pool_free(one.pool);
}
END_TEST

START_TEST(a_token_that_left_takes_its_place_in_the_queue_along) {
    one_t one;
    one_open(&one);
    serve(one.pool, 1);
    ck_assert_int_eq(imi_pool_set_tokens(one.pool, "other", clock_now), 0);
    ck_assert_uint_eq(imi_pool_untold_count(one.pool), 0);
    answer(&one, 1, 1, 2000); /* of one that is gone */
    ck_assert_int_eq(imi_pool_set_tokens(one.pool, "secret", clock_now), 0);
    answer(&one, 5, 5, 2000); /* of its former self */
    ck_assert_int_eq(shown(one.pool), 5);
    serve(one.pool, 1);
    ck_assert_uint_eq(take(&one), 1);
    imi_pool_free(one.pool);
}
END_TEST

/* ---- a client with many tokens, and a storage that counts what it is asked ----------------------
 */

#define TOKEN_COUNT 10000
#define AT_A_TIME_MAX 200

typedef struct counter {
    const imagine_io_t *io;
    size_t under_way, under_way_max, adds, lists;
    int64_t sum;
    int status;
} counter_t;

typedef struct operation {
    counter_t *counter;
    imagine_storage_add_cb on_added;
    imagine_storage_list_cb on_listed;
    void *user;
    int64_t amount;
} operation_t;

static void on_due(void *user) {
    operation_t *operation = user;
    counter_t *counter = operation->counter;
    if (operation->on_added != NULL) {
        counter->under_way--;
        if (counter->status == 0)
            counter->sum += operation->amount;
        operation->on_added(counter->status, counter->sum, operation->user); /* others count too */
    } else {
        operation->on_listed(0, NULL, 0, 1, operation->user);
    }
    free(operation);
}

static operation_t *operation_new(counter_t *counter, void *user) {
    operation_t *operation = calloc(1, sizeof(*operation));
    imagine_timer_t *timer;
    ck_assert_ptr_nonnull(operation);
    operation->counter = counter;
    operation->user = user;
    ck_assert_int_eq(counter->io->timer_start(counter->io->context, 5, on_due, operation, &timer),
                     0);
    return operation;
}

static int counter_start(void *self, const imagine_io_t *io) {
    ((counter_t *)self)->io = io;
    return 0;
}

static int counter_get(void *self, const char *key, imagine_storage_get_cb done, void *user) {
    (void)self, (void)key, (void)done, (void)user;
    return IMAGINE_EIO;
}

static int counter_set(void *self, const char *key, const void *value, size_t value_size,
                       uint64_t ttl_ms, imagine_storage_done_cb done, void *user) {
    (void)self, (void)key, (void)value, (void)value_size, (void)ttl_ms, (void)done, (void)user;
    return IMAGINE_EIO;
}

static int counter_remove(void *self, const char *key, imagine_storage_done_cb done, void *user) {
    (void)self, (void)key, (void)done, (void)user;
    return IMAGINE_EIO;
}

static int counter_add(void *self, const char *key, int64_t amount, uint64_t ttl_ms,
                       imagine_storage_add_cb done, void *user) {
    counter_t *counter = self;
    operation_t *operation = operation_new(counter, user);
    ck_assert_int_eq(strncmp(key, "stat/gitee/", 11), 0);
    ck_assert_uint_eq(ttl_ms, 0);
    operation->on_added = done;
    operation->amount = amount;
    counter->adds++;
    if (++counter->under_way > counter->under_way_max)
        counter->under_way_max = counter->under_way;
    return 0;
}

static int counter_list(void *self, const char *prefix, imagine_storage_list_cb done, void *user) {
    counter_t *counter = self;
    operation_new(counter, user)->on_listed = done;
    counter->lists += strcmp(prefix, "stat/") == 0 ? 1 : 0;
    return 0;
}

static void counter_close(void *self, imagine_closed_cb closed, void *user) {
    ck_assert_uint_eq(((counter_t *)self)->under_way, 0);
    if (closed != NULL)
        closed(user);
}

static const imagine_storage_driver_t driver = {
    .size = sizeof(driver),
    .name = "counter",
    .flags = IMAGINE_STORAGE_IS_SHARED | IMAGINE_STORAGE_IS_ATOMIC,
    .start = counter_start,
    .get = counter_get,
    .set = counter_set,
    .remove = counter_remove,
    .add = counter_add,
    .list = counter_list,
    .close = counter_close,
};

typedef struct host {
    virtual_io_t *virtual;
    imagine_t *im;
    imi_pool_t *pool;
    counter_t counter;
} host_t;

static void host_open(host_t *host, size_t token_count) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_storage_t *storage;
    size_t size = token_count * 8 + 1, at = 0;
    char *tokens = malloc(size);
    ck_assert_ptr_nonnull(tokens);
    for (size_t i = 0; i < token_count; i++)
        at += (size_t)snprintf(tokens + at, size - at, "t%05zu,", i);
    tokens[at] = '\0';
    *host = (host_t){.virtual = virtual_io_open()};
    options.io = virtual_io_table(host->virtual);
    ck_assert_int_eq(imagine_open(&host->im, &options), 0);
    ck_assert_int_eq(imagine_storage_new(&storage, &driver, &host->counter), 0);
    ck_assert_int_eq(imagine_set_storage(host->im, storage), 0);
    ck_assert_int_eq(imagine_set_tokens(host->im, "gitee", tokens), 0);
    host->pool = imi_registry_find(host->im, "gitee")->pool;
    virtual_io_advance(host->virtual, 300);
    free(tokens);
}

static void on_closed(void *user) {
    *(bool *)user = true;
}

static void host_close(host_t *host) {
    bool is_closed = false;
    imagine_close(host->im, on_closed, &is_closed);
    while (!is_closed)
        ck_assert(virtual_io_step(host->virtual));
    virtual_io_close(host->virtual);
}

START_TEST(ten_thousand_tokens_are_told_of_two_hundred_at_a_time) {
    host_t host;
    host_open(&host, TOKEN_COUNT);
    serve(host.pool, 3 * TOKEN_COUNT);
    ck_assert_uint_eq(host.counter.adds, 0);
    virtual_io_advance(host.virtual, 3000);
    ck_assert_uint_eq(host.counter.adds, TOKEN_COUNT);
    ck_assert_uint_le(host.counter.under_way_max, AT_A_TIME_MAX);
    ck_assert_int_eq(host.counter.sum, 3 * TOKEN_COUNT);
    host_close(&host);
}
END_TEST

START_TEST(a_busy_token_costs_one_add_a_second) {
    host_t host;
    host_open(&host, 1);
    for (int i = 0; i < 10000; i++) {
        serve(host.pool, 1);
        virtual_io_advance(host.virtual, 1);
    }
    ck_assert_uint_le(host.counter.adds, 10);
    ck_assert_uint_ge(host.counter.adds, 9);
    virtual_io_advance(host.virtual, 2000);
    ck_assert_int_eq(host.counter.sum, 10000);
    ck_assert_uint_eq(virtual_io_timer_count(host.virtual), 0);
    host_close(&host);
}
END_TEST

START_TEST(a_storage_that_fails_is_tried_every_five_seconds) {
    host_t host;
    host_open(&host, TOKEN_COUNT);
    host.counter.status = IMAGINE_EIO;
    serve(host.pool, TOKEN_COUNT);
    virtual_io_advance(host.virtual, 900);
    ck_assert_uint_eq(host.counter.adds, 0);
    virtual_io_advance(host.virtual, 20000);
    ck_assert_uint_ge(host.counter.adds, 3 * AT_A_TIME_MAX);
    ck_assert_uint_le(host.counter.adds, 5 * AT_A_TIME_MAX);
    host.counter.status = 0;
    virtual_io_advance(host.virtual, 6000);
    ck_assert_int_eq(host.counter.sum, TOKEN_COUNT);
    host_close(&host);
}
END_TEST

START_TEST(asking_often_lists_once_a_second) {
    host_t host;
    size_t lists;
    host_open(&host, 1);
    lists = host.counter.lists;
    ck_assert_uint_ge(lists, 1);
    virtual_io_advance(host.virtual, 1000);
    for (int i = 0; i < 40; i++) {
        imagine_free(imagine_token_details(host.im, "gitee"));
        virtual_io_advance(host.virtual, 100);
    }
    ck_assert_uint_eq(host.counter.lists - lists, 4);
    virtual_io_advance(host.virtual, 10000);
    ck_assert_uint_eq(host.counter.lists - lists, 4);
    host_close(&host);
}
END_TEST

static Suite *tally_suite(void) {
    Suite *suite = suite_create("core/tally");
    TCase *tcase = tcase_create("a pool");
    tcase_add_test(tcase, a_token_waits_once_however_much_is_counted);
    tcase_add_test(tcase, what_is_on_its_way_is_not_told_again);
    tcase_add_test(tcase, what_was_not_added_is_told_again);
    tcase_add_test(tcase, a_total_that_may_lack_our_own_is_not_believed);
    tcase_add_test(tcase, a_token_that_left_takes_its_place_in_the_queue_along);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("a client");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, ten_thousand_tokens_are_told_of_two_hundred_at_a_time);
    tcase_add_test(tcase, a_busy_token_costs_one_add_a_second);
    tcase_add_test(tcase, a_storage_that_fails_is_tried_every_five_seconds);
    tcase_add_test(tcase, asking_often_lists_once_a_second);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(tally_suite)
