/* test_limit.c: fixed windows of a minute for each caller, in memory and in a storage that two
 * clients share. */
#include "gateway/limit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"
#include "gateway/gateway.h"
#include "imagine/storage.h"
#include "support/gateway_host.h"
#include "support/virtual_io.h"

static const uint64_t seed[2] = {1, 2};

typedef struct answer {
    unsigned count;
    bool is_there;
    imi_limit_verdict_t verdict;
} answer_t;

static void on_decided(const imi_limit_verdict_t *verdict, void *user) {
    answer_t *answer = user;
    answer->count++;
    answer->is_there = verdict != NULL;
    if (verdict != NULL)
        answer->verdict = *verdict;
}

static answer_t ask(imi_limit_t *limit, imi_limit_kind_t kind, const char *peer, uint64_t now_ms) {
    answer_t answer = {0};
    imi_caller_t caller;
    imi_limit_ticket_t *ticket = NULL;
    imi_caller_find(&caller, NULL, peer, NULL, 0, false);
    imi_limit_count(limit, kind, &caller, now_ms, (int64_t)now_ms + 1000000, on_decided, &answer,
                    &ticket);
    ck_assert_ptr_null(ticket);
    return answer;
}

START_TEST(the_limit_is_reached_and_a_new_minute_begins) {
    imi_limit_t limit;
    answer_t answer;
    imi_limit_init(&limit, NULL, NULL, seed, 3, 0);
    for (uint32_t i = 0; i < 3; i++) {
        answer = ask(&limit, IMI_LIMIT_POST, "192.0.2.1", 5000 + i);
        ck_assert(!answer.verdict.is_over);
        ck_assert_uint_eq(answer.verdict.limit, 3);
        ck_assert_uint_eq(answer.verdict.remaining, 2 - i);
        ck_assert_int_eq(answer.verdict.reset_unix_ms, 1000000 + 5000 + 60000);
    }
    answer = ask(&limit, IMI_LIMIT_POST, "192.0.2.1", 64999);
    ck_assert(answer.verdict.is_over);
    ck_assert_uint_eq(answer.verdict.remaining, 0);
    ck_assert_uint_eq(answer.verdict.reset_ms, 1);
    answer = ask(&limit, IMI_LIMIT_POST, "192.0.2.1", 65000);
    ck_assert(!answer.verdict.is_over);
    ck_assert_uint_eq(answer.verdict.remaining, 2);
    ck_assert_int_eq(answer.verdict.reset_unix_ms, 1000000 + 65000 + 60000);
    imi_limit_reset(&limit);
}
END_TEST

START_TEST(callers_and_kinds_count_apart) {
    imi_limit_t limit;
    imi_limit_init(&limit, NULL, NULL, seed, 1, 2);
    ck_assert(!ask(&limit, IMI_LIMIT_POST, "192.0.2.1", 1).verdict.is_over);
    ck_assert(ask(&limit, IMI_LIMIT_POST, "192.0.2.1", 2).verdict.is_over);
    ck_assert(!ask(&limit, IMI_LIMIT_POST, "192.0.2.2", 3).verdict.is_over);
    ck_assert_uint_eq(ask(&limit, IMI_LIMIT_STATUS, "192.0.2.1", 4).verdict.remaining, 1);
    imi_limit_reset(&limit);
}
END_TEST

START_TEST(zero_is_no_limit) {
    imi_limit_t limit;
    imi_limit_init(&limit, NULL, NULL, seed, 0, 1);
    for (int i = 0; i < 100; i++)
        ck_assert(!ask(&limit, IMI_LIMIT_POST, "192.0.2.1", 1).is_there);
    ck_assert(!ask(&limit, IMI_LIMIT_NONE, "192.0.2.1", 1).is_there);
    ck_assert(ask(&limit, IMI_LIMIT_STATUS, "192.0.2.1", 1).is_there);
    imi_limit_reset(&limit);
}
END_TEST

static void peer_name(char out[32], unsigned number) {
    (void)snprintf(out, 32, "10.%u.%u.%u", number >> 16 & 255, number >> 8 & 255, number & 255);
}

START_TEST(the_table_is_bounded_and_the_oldest_leave_first) {
    imi_limit_t limit;
    char peer[32];
    imi_limit_init(&limit, NULL, NULL, seed, 1, 0);
    for (unsigned i = 0; i < IMI_LIMIT_CALLERS_MAX + 10; i++) {
        peer_name(peer, i);
        ck_assert(!ask(&limit, IMI_LIMIT_POST, peer, 1000 + i / 100).verdict.is_over);
    }
    ck_assert_uint_le(limit.windows.count, IMI_LIMIT_CALLERS_MAX);
    peer_name(peer, IMI_LIMIT_CALLERS_MAX);
    ck_assert_msg(ask(&limit, IMI_LIMIT_POST, peer, 2000).verdict.is_over,
                  "the young one is known");
    peer_name(peer, 0);
    ck_assert_msg(!ask(&limit, IMI_LIMIT_POST, peer, 2000).verdict.is_over, "the oldest is not");
    imi_limit_reset(&limit);
}
END_TEST

START_TEST(what_is_over_is_forgotten_while_others_come) {
    imi_limit_t limit;
    char peer[32];
    imi_limit_init(&limit, NULL, NULL, seed, 1, 0);
    for (unsigned i = 0; i < 1000; i++) {
        peer_name(peer, i);
        (void)ask(&limit, IMI_LIMIT_POST, peer, 1);
    }
    for (unsigned i = 1000; i < 1600; i++) {
        peer_name(peer, i);
        (void)ask(&limit, IMI_LIMIT_POST, peer, 100000);
    }
    ck_assert_uint_eq(limit.windows.count, 600);
    imi_limit_reset(&limit);
}
END_TEST

START_TEST(without_memory_nobody_is_turned_away) {
    bool has_failed = true;
    for (size_t fail_at = 1; has_failed; fail_at++) {
        failing_mem_t failing;
        imi_limit_t limit;
        failing_mem_init(&failing, fail_at);
        imi_limit_init(&limit, &failing.mem, NULL, seed, 5, 5);
        for (int i = 0; i < 3; i++)
            ck_assert(!ask(&limit, IMI_LIMIT_POST, "192.0.2.1", 1).verdict.is_over);
        has_failed = failing.has_failed;
        imi_limit_reset(&limit);
        ck_assert_uint_eq(failing.live_count, 0);
    }
}
END_TEST

/* ---- in a storage ------------------------------------------------------------------------------
 */

#define SHELF_SIZE 16
#define CALLS_MAX 64

/* What the storage holds, as all see it. */
typedef struct shelf {
    char keys[SHELF_SIZE][IMAGINE_STORAGE_KEY_SIZE_MAX + 1];
    int64_t values[SHELF_SIZE];
    uint64_t ttl_ms[SHELF_SIZE];
    size_t count;
} shelf_t;

typedef struct world world_t;

/* An instance: a client with its storage, and a limiter. */
typedef struct instance {
    world_t *world;
    imagine_t *im;
    imi_limit_t limit;
    uint64_t delay_ms;
    int status;     /* of answers */
    int refusal;    /* instead of an answer; 0: none */
    unsigned asked; /* adds so far */
    struct operation *operations;
    answer_t calls[CALLS_MAX];
    imi_limit_ticket_t *tickets[CALLS_MAX];
    size_t call_count;
} instance_t;

struct world {
    virtual_io_t *virtual;
    const imagine_io_t *io;
    shelf_t shelf;
    instance_t instances[2];
};

typedef struct operation {
    struct operation *next;
    instance_t *instance;
    imagine_timer_t *timer;
    imagine_storage_add_cb on_added; /* NULL: a list */
    imagine_storage_list_cb on_listed;
    char key[IMAGINE_STORAGE_KEY_SIZE_MAX + 1];
    int64_t amount;
    uint64_t ttl_ms;
    void *user;
} operation_t;

static int64_t *value_of(shelf_t *shelf, const char *key, uint64_t ttl_ms) {
    size_t i = 0;
    while (i < shelf->count && strcmp(shelf->keys[i], key) != 0)
        i++;
    if (i == shelf->count) {
        ck_assert_uint_lt(shelf->count++, SHELF_SIZE);
        (void)snprintf(shelf->keys[i], sizeof(shelf->keys[i]), "%s", key);
        shelf->ttl_ms[i] = ttl_ms;
    }
    return &shelf->values[i];
}

static void conclude(operation_t *operation, int status) {
    operation_t **at = &operation->instance->operations;
    int64_t value = 0;
    while (*at != operation)
        at = &(*at)->next;
    *at = operation->next;
    if (operation->on_added != NULL && status == 0)
        value = *value_of(&operation->instance->world->shelf, operation->key, operation->ttl_ms) +=
            operation->amount;
    if (operation->on_added != NULL)
        operation->on_added(status, value, operation->user);
    else
        operation->on_listed(status, NULL, 0, 1, operation->user);
    free(operation);
}

static void on_due(void *user) {
    operation_t *operation = user;
    conclude(operation, operation->instance->status);
}

static operation_t *operation_new(instance_t *instance, uint64_t delay_ms, void *user) {
    const imagine_io_t *io = instance->world->io;
    operation_t *operation = calloc(1, sizeof(*operation));
    ck_assert_ptr_nonnull(operation);
    operation->instance = instance;
    operation->user = user;
    operation->next = instance->operations;
    instance->operations = operation;
    ck_assert_int_eq(io->timer_start(io->context, delay_ms, on_due, operation, &operation->timer),
                     0);
    return operation;
}

static int store_start(void *self, const imagine_io_t *io) {
    ck_assert_ptr_eq(((instance_t *)self)->world->io, io);
    return 0;
}

static int store_get(void *self, const char *key, imagine_storage_get_cb done, void *user) {
    (void)self, (void)key, (void)done, (void)user;
    return IMAGINE_EIO;
}

static int store_set(void *self, const char *key, const void *value, size_t value_size,
                     uint64_t ttl_ms, imagine_storage_done_cb done, void *user) {
    (void)self, (void)key, (void)value, (void)value_size, (void)ttl_ms, (void)done, (void)user;
    return IMAGINE_EIO;
}

static int store_remove(void *self, const char *key, imagine_storage_done_cb done, void *user) {
    (void)self, (void)key, (void)done, (void)user;
    return IMAGINE_EIO;
}

static int store_add(void *self, const char *key, int64_t amount, uint64_t ttl_ms,
                     imagine_storage_add_cb done, void *user) {
    instance_t *instance = self;
    operation_t *operation;
    instance->asked++;
    if (instance->refusal != 0)
        return instance->refusal;
    operation = operation_new(instance, instance->delay_ms, user);
    operation->on_added = done;
    (void)snprintf(operation->key, sizeof(operation->key), "%s", key);
    operation->amount = amount;
    operation->ttl_ms = ttl_ms;
    return 0;
}

static int store_list(void *self, const char *prefix, imagine_storage_list_cb done, void *user) {
    (void)prefix;
    operation_new(self, 0, user)->on_listed = done;
    return 0;
}

static void store_close(void *self, imagine_closed_cb closed, void *user) {
    instance_t *instance = self;
    const imagine_io_t *io = instance->world->io;
    while (instance->operations != NULL) {
        io->timer_cancel(io->context, instance->operations->timer);
        conclude(instance->operations, IMAGINE_ECLOSED);
    }
    if (closed != NULL)
        closed(user);
}

static const imagine_storage_driver_t store_driver = {
    .size = sizeof(store_driver),
    .name = "shelf",
    .flags = IMAGINE_STORAGE_IS_SHARED | IMAGINE_STORAGE_IS_ATOMIC,
    .start = store_start,
    .get = store_get,
    .set = store_set,
    .remove = store_remove,
    .add = store_add,
    .list = store_list,
    .close = store_close,
};

static void give_store(instance_t *instance, uint32_t flags) {
    imagine_storage_driver_t driver = store_driver;
    imagine_storage_t *storage;
    driver.flags = flags;
    ck_assert_int_eq(imagine_storage_new(&storage, &driver, instance), 0);
    ck_assert_int_eq(imagine_set_storage(instance->im, storage), 0);
}

static void instance_open(world_t *world, instance_t *instance, const imi_mem_t *mem,
                          uint32_t post_max) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    options.io = world->io;
    options.log_level = IMAGINE_LOG_WARN;
    *instance = (instance_t){.world = world, .delay_ms = 2};
    ck_assert_int_eq(imagine_open(&instance->im, &options), 0);
    give_store(instance, store_driver.flags);
    imi_limit_init(&instance->limit, mem, instance->im, seed, post_max, 0);
}

static void world_open_with(world_t *world, const imi_mem_t *mem, uint32_t post_max) {
    memset(world, 0, sizeof(*world));
    world->virtual = virtual_io_open();
    world->io = virtual_io_table(world->virtual);
    for (size_t i = 0; i < 2; i++)
        instance_open(world, &world->instances[i], mem, post_max);
    virtual_io_advance(world->virtual, 10);
}

static void world_open(world_t *world, uint32_t post_max) {
    world_open_with(world, NULL, post_max);
}

static void on_closed(void *user) {
    *(bool *)user = true;
}

static void world_close(world_t *world) {
    for (size_t i = 0; i < 2; i++) {
        bool is_closed = false;
        imi_limit_reset(&world->instances[i].limit);
        imagine_close(world->instances[i].im, on_closed, &is_closed);
        while (!is_closed)
            ck_assert(virtual_io_step(world->virtual));
    }
    virtual_io_close(world->virtual);
}

/* One call; its answer may come now, or with time. */
static answer_t *call(instance_t *instance) {
    const imagine_io_t *io = instance->world->io;
    size_t index = instance->call_count++;
    answer_t *answer = &instance->calls[index];
    imi_caller_t caller;
    ck_assert_uint_lt(index, CALLS_MAX);
    imi_caller_find(&caller, NULL, "192.0.2.1", NULL, 0, false);
    imi_limit_count(&instance->limit, IMI_LIMIT_POST, &caller, io->now_ms(io->context),
                    io->unix_ms(io->context), on_decided, answer, &instance->tickets[index]);
    ck_assert_uint_eq(answer->count, instance->tickets[index] == NULL ? 1 : 0);
    return answer;
}

/* The answer came within the time that a request may wait. */
static answer_t *call_and_wait(instance_t *instance) {
    answer_t *answer = call(instance);
    for (int i = 0; i <= IMI_LIMIT_WAIT_MS && answer->count == 0; i++)
        virtual_io_advance(instance->world->virtual, 1);
    ck_assert_uint_eq(answer->count, 1);
    return answer;
}

static size_t lines(const world_t *world, const char *text) {
    size_t count = 0;
    for (const char *at = virtual_io_log(world->virtual); (at = strstr(at, text)) != NULL; at++)
        count++;
    return count;
}

START_TEST(two_instances_keep_to_one_limit) {
    world_t world;
    instance_t *a = &world.instances[0], *b = &world.instances[1];
    unsigned served = 0;
    world_open(&world, 20);
    for (int i = 0; i < 30; i++) { /* all under way at the same time */
        call(a);
        call(b);
    }
    virtual_io_advance(world.virtual, IMI_LIMIT_WAIT_MS);
    for (int i = 0; i < 30; i++) {
        ck_assert_uint_eq(a->calls[i].count, 1);
        ck_assert_uint_eq(b->calls[i].count, 1);
        served += a->calls[i].verdict.is_over ? 0 : 1;
        served += b->calls[i].verdict.is_over ? 0 : 1;
        ck_assert_int_eq(a->calls[i].verdict.reset_unix_ms, VIRTUAL_IO_BORN_UNIX_MS + 60000);
    }
    ck_assert_uint_eq(served, 20);
    world_close(&world);
}
END_TEST

START_TEST(the_remaining_calls_are_those_of_all) {
    world_t world;
    answer_t *answer;
    world_open(&world, 4);
    ck_assert_uint_eq(call_and_wait(&world.instances[0])->verdict.remaining, 3);
    ck_assert_uint_eq(call_and_wait(&world.instances[1])->verdict.remaining, 2);
    ck_assert_uint_eq(call_and_wait(&world.instances[1])->verdict.remaining, 1);
    ck_assert_uint_eq(call_and_wait(&world.instances[0])->verdict.remaining, 0);
    answer = call_and_wait(&world.instances[1]);
    ck_assert(answer->verdict.is_over);
    ck_assert_uint_eq(answer->verdict.remaining, 0);
    world_close(&world);
}
END_TEST

START_TEST(a_window_is_the_wall_clocks_minute) {
    world_t world;
    answer_t *answer;
    world_open(&world, 1);
    virtual_io_advance(world.virtual, 59000 - 10);
    answer = call_and_wait(&world.instances[0]);
    ck_assert_uint_eq(answer->verdict.reset_ms, 1000);
    ck_assert_int_eq(answer->verdict.reset_unix_ms, VIRTUAL_IO_BORN_UNIX_MS + 60000);
    ck_assert(call_and_wait(&world.instances[1])->verdict.is_over);
    virtual_io_advance(world.virtual, 1000);
    answer = call_and_wait(&world.instances[1]);
    ck_assert(!answer->verdict.is_over);
    ck_assert_int_eq(answer->verdict.reset_unix_ms, VIRTUAL_IO_BORN_UNIX_MS + 120000);
    ck_assert_uint_eq(world.shelf.count, 2);
    ck_assert_uint_eq(world.shelf.ttl_ms[0], 1000 + 60000);
    world_close(&world);
}
END_TEST

START_TEST(the_key_names_kind_caller_and_minute) {
    world_t world;
    char key[128];
    world_open(&world, 1);
    call_and_wait(&world.instances[0]);
    (void)snprintf(key, sizeof(key), "limit/post/04c0000201%024d/%" PRId64, 0,
                   VIRTUAL_IO_BORN_UNIX_MS / 60000);
    ck_assert_str_eq(world.shelf.keys[0], key);
    world_close(&world);
}
END_TEST

START_TEST(who_is_over_costs_no_round_trip) {
    world_t world;
    instance_t *a = &world.instances[0];
    world_open(&world, 2);
    for (int i = 0; i < 20; i++)
        call_and_wait(a);
    ck_assert_uint_eq(a->asked, 2);
    ck_assert(call(a)->verdict.is_over);
    world_close(&world);
}
END_TEST

START_TEST(without_a_limit_nothing_is_asked) {
    world_t world;
    world_open(&world, 0);
    ck_assert(!call(&world.instances[0])->is_there);
    ck_assert_uint_eq(world.instances[0].asked, 0);
    world_close(&world);
}
END_TEST

static const struct {
    const char *name;
    uint32_t flags;
} unfit_cases[] = {
    {"nobody shares it", IMAGINE_STORAGE_IS_ATOMIC},
    {"its adds may be lost", IMAGINE_STORAGE_IS_SHARED},
};

START_TEST(a_storage_that_cannot_count_for_all_is_not_asked) {
    world_t world;
    world_open(&world, 1);
    give_store(&world.instances[0], unfit_cases[_i].flags);
    virtual_io_advance(world.virtual, 10);
    ck_assert_msg(!call(&world.instances[0])->verdict.is_over, "%s", unfit_cases[_i].name);
    ck_assert_msg(call(&world.instances[0])->verdict.is_over, "%s", unfit_cases[_i].name);
    ck_assert_uint_eq(world.instances[0].asked, 0);
    world_close(&world);
}
END_TEST

START_TEST(a_late_answer_is_not_waited_for) {
    world_t world;
    instance_t *a = &world.instances[0];
    answer_t *first, *second;
    world_open(&world, 3);
    a->delay_ms = 100000;
    first = call(a);
    virtual_io_advance(world.virtual, 100);
    second = call(a);
    virtual_io_advance(world.virtual, IMI_LIMIT_WAIT_MS - 101);
    ck_assert_uint_eq(first->count, 0);
    virtual_io_advance(world.virtual, 1);
    ck_assert_uint_eq(first->count, 1);
    ck_assert_uint_eq(first->verdict.remaining, 2);
    ck_assert_uint_eq(second->count, 0);
    virtual_io_advance(world.virtual, 100);
    ck_assert_uint_eq(second->count, 1);
    ck_assert_uint_eq(second->verdict.remaining, 1);
    for (int i = 0; i < 4; i++) /* nobody waits from here on */
        ck_assert(call(a)->verdict.is_over == (i > 0));
    ck_assert_uint_eq(a->asked, 2);
    ck_assert_uint_eq(lines(&world, "limit.alone error=IMAGINE_ETIMEDOUT"), 1);
    world_close(&world);
}
END_TEST

static const struct {
    const char *name;
    int status, refusal;
} failure_cases[] = {
    {"an error as the answer", IMAGINE_EIO, 0},
    {"refused at once", 0, IMAGINE_EBUSY},
};

START_TEST(a_failed_storage_is_left_alone_and_tried_again) {
    world_t world;
    instance_t *a = &world.instances[0], *b = &world.instances[1];
    const char *name = failure_cases[_i].name;
    world_open(&world, 20);
    a->status = failure_cases[_i].status;
    a->refusal = failure_cases[_i].refusal;
    ck_assert_msg(call_and_wait(a)->verdict.remaining == 19, "%s", name);
    for (int i = 0; i < 3; i++)
        ck_assert_msg(call(a)->count == 1, "%s: a request waits", name);
    ck_assert_uint_eq(a->asked, 1);
    virtual_io_advance(world.virtual, IMI_LIMIT_ALONE_MS);
    ck_assert_msg(call(a)->count == 1, "%s: the probe is waited for", name);
    ck_assert_uint_eq(a->asked, 2);
    virtual_io_advance(world.virtual, IMI_LIMIT_ALONE_MS + 10);
    ck_assert_uint_eq(lines(&world, "limit.alone"), 1);
    a->status = a->refusal = 0;
    ck_assert_msg(call(a)->count == 1, "%s: the probe is waited for", name);
    virtual_io_advance(world.virtual, 10);
    ck_assert_uint_eq(a->asked, 3);
    ck_assert_msg(world.shelf.values[0] == 6, "%s: what was counted alone is told later", name);
    ck_assert_uint_eq(call_and_wait(b)->verdict.remaining, 13);
    ck_assert_uint_eq(call_and_wait(a)->verdict.remaining, 12);
    ck_assert_msg(a->asked == 4, "%s: shared again", name);
    a->status = IMAGINE_EIO;
    call_and_wait(a);
    ck_assert_msg(lines(&world, "limit.alone") == 2, "%s: another outage is said anew", name);
    world_close(&world);
}
END_TEST

START_TEST(one_call_at_a_time_tries_whether_the_storage_is_back) {
    world_t world;
    instance_t *a = &world.instances[0];
    world_open(&world, 60);
    a->delay_ms = 20000;
    call_and_wait(a);
    virtual_io_advance(world.virtual, IMI_LIMIT_ALONE_MS);
    for (int i = 0; i < 5; i++)
        ck_assert_uint_eq(call(a)->count, 1);
    virtual_io_advance(world.virtual, IMI_LIMIT_ALONE_MS);
    ck_assert_uint_eq(call(a)->count, 1);
    ck_assert_uint_eq(a->asked, 2);
    world_close(&world);
}
END_TEST

START_TEST(who_has_left_is_not_told) {
    world_t world;
    instance_t *a = &world.instances[0];
    answer_t *answer, *other;
    world_open(&world, 5);
    answer = call(a);
    other = call(a);
    imi_limit_cancel(a->tickets[0]);
    virtual_io_advance(world.virtual, 1000);
    ck_assert_uint_eq(answer->count, 0);
    ck_assert_uint_eq(other->count, 1);
    ck_assert_uint_eq(other->verdict.remaining, 3);
    world_close(&world);
}
END_TEST

START_TEST(a_limiter_may_go_before_its_answers) {
    world_t world;
    instance_t *a = &world.instances[0];
    world_open(&world, 5);
    a->delay_ms = 400;
    call(a);
    imi_limit_cancel(a->tickets[0]);
    imi_limit_reset(&a->limit);
    imi_limit_init(&a->limit, NULL, a->im, seed, 5, 0);
    virtual_io_advance(world.virtual, 1000);
    ck_assert_uint_eq(a->calls[0].count, 0);
    world_close(&world);
}
END_TEST

START_TEST(another_storage_takes_over) {
    world_t world;
    instance_t *a = &world.instances[0];
    answer_t *answer;
    world_open(&world, 5);
    a->delay_ms = 100;
    answer = call(a);
    a->delay_ms = 2;
    give_store(a, store_driver.flags);
    virtual_io_advance(world.virtual, 2000); /* the former one closes within a second */
    ck_assert_uint_eq(answer->count, 1);
    ck_assert(!answer->verdict.is_over);
    ck_assert_uint_eq(lines(&world, "limit.alone"), 0);
    ck_assert_uint_eq(call_and_wait(a)->verdict.remaining, 3);
    world_close(&world);
}
END_TEST

START_TEST(without_memory_calls_are_counted_or_let_through) {
    const uint32_t count_max = _i == 0 ? 5 : 2 * IMI_LIMIT_FAR;
    bool has_failed = true;
    for (size_t fail_at = 1; has_failed; fail_at++) {
        failing_mem_t failing;
        world_t world;
        failing_mem_init(&failing, fail_at);
        world_open_with(&world, &failing.mem, count_max);
        for (int i = 0; i < 4; i++)
            ck_assert(!call_and_wait(&world.instances[i % 2])->verdict.is_over);
        has_failed = failing.has_failed;
        world_close(&world);
        ck_assert_uint_eq(failing.live_count, 0);
    }
}
END_TEST

/* ---- far from the limit ------------------------------------------------------------------------
 */

typedef struct tally {
    uint32_t served, over, least_remaining;
} tally_t;

static void on_tallied(const imi_limit_verdict_t *verdict, void *user) {
    tally_t *tally = user;
    if (verdict->is_over)
        tally->over++;
    else
        tally->served++;
    if (verdict->remaining < tally->least_remaining)
        tally->least_remaining = verdict->remaining;
}

/* One call more; true: it has its answer. */
static bool call_often(instance_t *instance, tally_t *tally) {
    const imagine_io_t *io = instance->world->io;
    imi_limit_ticket_t *ticket = NULL;
    imi_caller_t caller;
    imi_caller_find(&caller, NULL, "192.0.2.1", NULL, 0, false);
    imi_limit_count(&instance->limit, IMI_LIMIT_POST, &caller, io->now_ms(io->context),
                    io->unix_ms(io->context), on_tallied, tally, &ticket);
    return ticket == NULL;
}

START_TEST(far_from_the_limit_nobody_waits_and_one_round_trip_tells_all) {
    world_t world;
    instance_t *a = &world.instances[0], *b = &world.instances[1];
    tally_t tally = {.least_remaining = UINT32_MAX};
    world_open(&world, 20000);
    ck_assert_uint_eq(call_and_wait(a)->verdict.remaining, 19999);
    for (int i = 0; i < 500; i++)
        ck_assert(call_often(a, &tally));
    ck_assert_uint_eq(tally.least_remaining, 19499);
    ck_assert_uint_eq(a->asked, 1);
    virtual_io_advance(world.virtual, IMI_LIMIT_BEHIND_MS + a->delay_ms);
    ck_assert_uint_eq(a->asked, 2);
    ck_assert_int_eq(world.shelf.values[0], 501);
    ck_assert_uint_eq(call_and_wait(b)->verdict.remaining, 19498);
    ck_assert_uint_eq(tally.served, 500);
    world_close(&world);
}
END_TEST

START_TEST(a_limit_that_is_not_far_is_always_waited_for) {
    world_t world;
    instance_t *a = &world.instances[0];
    tally_t tally = {.least_remaining = UINT32_MAX};
    world_open(&world, IMI_LIMIT_FAR + 3);
    call_and_wait(a);
    ck_assert(call_often(a, &tally));
    ck_assert(call_often(a, &tally));
    for (int i = 0; i < 5; i++) /* fewer than IMI_LIMIT_FAR are left */
        ck_assert(!call_often(a, &tally));
    virtual_io_advance(world.virtual, IMI_LIMIT_WAIT_MS);
    ck_assert_uint_eq(tally.served, 7);
    ck_assert_uint_eq(tally.least_remaining, IMI_LIMIT_FAR + 3 - 8);
    ck_assert_int_eq(world.shelf.values[0], 8);
    world_close(&world);
}
END_TEST

START_TEST(what_is_known_of_the_others_grows_stale) {
    world_t world;
    instance_t *a = &world.instances[0];
    tally_t tally = {.least_remaining = UINT32_MAX};
    world_open(&world, 20000);
    call_and_wait(a);
    virtual_io_advance(world.virtual, IMI_LIMIT_FRESH_MS - a->delay_ms - 1);
    ck_assert(call_often(a, &tally));
    virtual_io_advance(world.virtual, IMI_LIMIT_BEHIND_MS + IMI_LIMIT_FRESH_MS);
    ck_assert(!call_often(a, &tally));
    virtual_io_advance(world.virtual, IMI_LIMIT_WAIT_MS);
    ck_assert_uint_eq(tally.served, 2);
    ck_assert_uint_eq(tally.least_remaining, 20000 - 3);
    world_close(&world);
}
END_TEST

/* Both are fast, and neither knows what the other has counted in the last moment. */
START_TEST(two_fast_instances_keep_to_a_high_limit_exactly) {
    world_t world;
    tally_t tally = {.least_remaining = UINT32_MAX};
    const uint32_t count_max = IMI_LIMIT_FAR + 3000;
    uint32_t calls = 0;
    world_open(&world, count_max);
    world.instances[1].delay_ms = 17;
    for (; calls < count_max + 2000; calls++) {
        (void)call_often(&world.instances[calls % 3 == 0], &tally);
        if (calls % 20 == 0)
            virtual_io_advance(world.virtual, 1);
    }
    virtual_io_advance(world.virtual, IMI_LIMIT_WAIT_MS);
    ck_assert_uint_eq(tally.served, count_max);
    ck_assert_uint_eq(tally.over, calls - count_max);
    ck_assert_uint_lt(world.instances[0].asked + world.instances[1].asked, IMI_LIMIT_FAR + 1000);
    ck_assert_uint_eq(lines(&world, "limit.alone"), 0);
    world_close(&world);
}
END_TEST

START_TEST(what_a_failed_storage_was_to_be_told_is_told_later) {
    world_t world;
    instance_t *a = &world.instances[0];
    tally_t tally = {.least_remaining = UINT32_MAX};
    world_open(&world, 20000);
    call_and_wait(a);
    a->status = failure_cases[_i].status;
    a->refusal = failure_cases[_i].refusal;
    for (int i = 0; i < 10; i++)
        ck_assert(call_often(a, &tally));
    virtual_io_advance(world.virtual, IMI_LIMIT_BEHIND_MS + a->delay_ms);
    ck_assert_uint_eq(a->asked, 2);
    ck_assert_uint_eq(lines(&world, "limit.alone"), 1);
    for (int i = 0; i < 10; i++)
        ck_assert(call_often(a, &tally));
    virtual_io_advance(world.virtual, IMI_LIMIT_ALONE_MS);
    ck_assert_uint_eq(a->asked, 2);
    a->status = a->refusal = 0;
    ck_assert(call_often(a, &tally));
    virtual_io_advance(world.virtual, 10);
    ck_assert_int_eq(world.shelf.values[0], 22);
    ck_assert_uint_eq(tally.served, 21);
    world_close(&world);
}
END_TEST

START_TEST(a_limiter_may_go_before_it_has_told) {
    world_t world;
    instance_t *a = &world.instances[0];
    tally_t tally = {.least_remaining = UINT32_MAX};
    world_open(&world, 20000);
    call_and_wait(a);
    ck_assert(call_often(a, &tally));
    imi_limit_reset(&a->limit);
    imi_limit_init(&a->limit, NULL, a->im, seed, 5, 0);
    virtual_io_advance(world.virtual, 1000);
    ck_assert_uint_eq(a->asked, 1);
    world_close(&world);
}
END_TEST

/* ---- a gateway whose storage takes its time -----------------------------------------------------
 */

#define POST_HEADERS "Content-Type: application/json\nTransfer-Encoding: chunked"

static visit_t visit;

/* A gateway for instance 0, whose storage answers after delay_ms. */
static gateway_host_t gateway_over(world_t *world, uint64_t delay_ms) {
    gateway_host_t host = {world->virtual, world->instances[0].im, NULL};
    imagine_settings_t *settings;
    world->instances[0].delay_ms = delay_ms;
    ck_assert_int_eq(imagine_settings_open(&settings), 0);
    ck_assert_int_eq(imagine_settings_set(settings, "RATE_LIMIT", "3"), 0);
    ck_assert_int_eq(imagine_settings_set(settings, "MAX_BODY_BYTES", "1024"), 0);
    ck_assert_int_eq(imi_gateway_open(&host.gateway, NULL, host.im, settings, NULL), 0);
    imagine_settings_close(settings);
    memset(&visit, 0, sizeof(visit));
    ck_assert_int_eq(visit_begin(&visit, &host, "POST", "/api/v1/generate", POST_HEADERS), 0);
    visit.host = NULL; /* ours is on the stack */
    return host;
}

static const struct {
    const char *name;
    size_t body_size;
    uint64_t delay_ms, answered_after_ms;
    int status;
} counted_cases[] = {
    {"a call", 2, 100, 100, 400},
    {"a body that is refused meanwhile", 5000, 100, 100, 413},
    {"no answer in time", 2, 10000, IMI_LIMIT_WAIT_MS, 400},
    {"a refused body, no answer in time", 5000, 10000, IMI_LIMIT_WAIT_MS, 413},
};

START_TEST(a_request_waits_for_its_count_and_no_longer) {
    const char *name = counted_cases[_i].name;
    char body[5000] = "{}";
    gateway_host_t host;
    world_t world;
    memset(body + 2, ' ', sizeof(body) - 2);
    world_open(&world, 0);
    host = gateway_over(&world, counted_cases[_i].delay_ms);
    visit_send(&visit, body, counted_cases[_i].body_size, 700);
    virtual_io_advance(world.virtual, counted_cases[_i].answered_after_ms - 1);
    ck_assert_msg(visit.head_count == 0, "%s: too early", name);
    virtual_io_advance(world.virtual, 1);
    ck_assert_msg(visit.end_count == 1, "%s: no answer", name);
    ck_assert_msg(visit.status == counted_cases[_i].status, "%s: %d", name, visit.status);
    ck_assert_msg(strstr(visit.headers, "X-RateLimit-Remaining: 2\n") != NULL, "%s", name);
    visit_release(&visit);
    imagine_gateway_close(host.gateway);
    world_close(&world);
}
END_TEST

START_TEST(a_body_may_come_after_the_count) {
    gateway_host_t host;
    world_t world;
    world_open(&world, 0);
    host = gateway_over(&world, 100);
    virtual_io_advance(world.virtual, 1000);
    ck_assert_uint_eq(visit.head_count, 0);
    visit_send(&visit, "{}", 2, 1);
    virtual_io_advance(world.virtual, 1);
    ck_assert_uint_eq(visit.end_count, 1);
    ck_assert_int_eq(visit.status, 400);
    visit_release(&visit);
    imagine_gateway_close(host.gateway);
    world_close(&world);
}
END_TEST

START_TEST(a_caller_may_leave_while_it_is_counted) {
    gateway_host_t host;
    world_t world;
    world_open(&world, 0);
    host = gateway_over(&world, 100);
    visit_send(&visit, "{", 1, 1);
    imagine_gateway_abort(visit.exchange);
    imagine_gateway_body(visit.exchange, "}", 1);
    if (_i == 1)
        virtual_io_advance(world.virtual, 1000);
    visit_release(&visit);
    imagine_gateway_close(host.gateway);
    virtual_io_advance(world.virtual, 1000);
    ck_assert_uint_eq(visit.head_count, 0);
    world_close(&world);
}
END_TEST

static Suite *limit_suite(void) {
    Suite *suite = suite_create("gateway/limit");
    TCase *tcase = tcase_create("limit");
    tcase_add_test(tcase, the_limit_is_reached_and_a_new_minute_begins);
    tcase_add_test(tcase, callers_and_kinds_count_apart);
    tcase_add_test(tcase, zero_is_no_limit);
    tcase_add_test(tcase, the_table_is_bounded_and_the_oldest_leave_first);
    tcase_add_test(tcase, what_is_over_is_forgotten_while_others_come);
    tcase_add_test(tcase, without_memory_nobody_is_turned_away);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("in a storage");
    tcase_add_test(tcase, two_instances_keep_to_one_limit);
    tcase_add_test(tcase, the_remaining_calls_are_those_of_all);
    tcase_add_test(tcase, a_window_is_the_wall_clocks_minute);
    tcase_add_test(tcase, the_key_names_kind_caller_and_minute);
    tcase_add_test(tcase, who_is_over_costs_no_round_trip);
    tcase_add_test(tcase, without_a_limit_nothing_is_asked);
    tcase_add_loop_test(tcase, a_storage_that_cannot_count_for_all_is_not_asked, 0,
                        sizeof(unfit_cases) / sizeof(unfit_cases[0]));
    tcase_add_test(tcase, a_late_answer_is_not_waited_for);
    tcase_add_loop_test(tcase, a_failed_storage_is_left_alone_and_tried_again, 0,
                        sizeof(failure_cases) / sizeof(failure_cases[0]));
    tcase_add_test(tcase, one_call_at_a_time_tries_whether_the_storage_is_back);
    tcase_add_test(tcase, who_has_left_is_not_told);
    tcase_add_test(tcase, a_limiter_may_go_before_its_answers);
    tcase_add_test(tcase, another_storage_takes_over);
    tcase_add_loop_test(tcase, without_memory_calls_are_counted_or_let_through, 0, 2);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("far from the limit");
    tcase_add_test(tcase, far_from_the_limit_nobody_waits_and_one_round_trip_tells_all);
    tcase_add_test(tcase, a_limit_that_is_not_far_is_always_waited_for);
    tcase_add_test(tcase, what_is_known_of_the_others_grows_stale);
    tcase_add_test(tcase, two_fast_instances_keep_to_a_high_limit_exactly);
    tcase_add_loop_test(tcase, what_a_failed_storage_was_to_be_told_is_told_later, 0,
                        sizeof(failure_cases) / sizeof(failure_cases[0]));
    tcase_add_test(tcase, a_limiter_may_go_before_it_has_told);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("in a gateway");
    tcase_add_loop_test(tcase, a_request_waits_for_its_count_and_no_longer, 0,
                        sizeof(counted_cases) / sizeof(counted_cases[0]));
    tcase_add_test(tcase, a_body_may_come_after_the_count);
    tcase_add_loop_test(tcase, a_caller_may_leave_while_it_is_counted, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(limit_suite)
