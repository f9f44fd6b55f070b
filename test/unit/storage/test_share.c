/* test_share.c: one storage under several handles on threads of their own: the conformance suite
 * with another handle at work beside it, what handles hear of each other, and how they end. */
#include "../../support/check_main.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <uv.h>

#include "../../support/failing_mem.h"
#include "../../support/storage_conformance.h"
#include "imagine/storage.h"
#include "storage/drivers.h"

#define WAIT_MS 20000
#define TIMEOUT_S 120
#define SLACK_MS 100 /* the storage goes by the real clock */

/* ---- a handle on another thread ----------------------------------------------------------------
 */

typedef struct neighbor {
    imagine_storage_t *storage;
    uv_thread_t thread;
    atomic_bool must_end;
    bool leaves_early;
    size_t operation_count; /* of its own, until it ends by itself; 0: until it must */
    int64_t last_sum;
    /* Below its thread's alone, until it is joined. */
    mini_io_t *mini;
    const imagine_storage_driver_t *driver;
    void *self;
    size_t asked_count, ended_count, fault_count, closed_count;
} neighbor_t;

static void on_neighbor_done(int status, void *user) {
    neighbor_t *neighbor = user;
    neighbor->fault_count += status != 0;
    neighbor->ended_count++;
}

static void on_neighbor_sum(int status, int64_t sum, void *user) {
    neighbor_t *neighbor = user;
    neighbor->fault_count += status != 0 || sum <= neighbor->last_sum;
    neighbor->last_sum = sum;
    neighbor->ended_count++;
}

static void on_neighbor_closed(void *user) {
    neighbor_t *neighbor = user;
    neighbor->closed_count++;
}

/* Removing what is not there is work like any other, and leaves nothing in a list. */
static void work_beside(neighbor_t *neighbor) {
    for (int i = 0; i < 16; i++) {
        neighbor->asked_count++;
        if (neighbor->operation_count > 0)
            neighbor->fault_count +=
                neighbor->driver->add(neighbor->self, "sum", 1, 0, on_neighbor_sum, neighbor) != 0;
        else
            neighbor->fault_count += neighbor->driver->remove(neighbor->self, "nothing",
                                                              on_neighbor_done, neighbor) != 0;
    }
    if (!mini_io_run_until(neighbor->mini, &neighbor->ended_count, neighbor->asked_count, WAIT_MS))
        neighbor->fault_count++;
}

static void live_beside(void *user) {
    neighbor_t *neighbor = user;
    neighbor->mini = mini_io_open();
    neighbor->driver = imagine_storage_driver(neighbor->storage, &neighbor->self);
    neighbor->fault_count += neighbor->driver->start(neighbor->self, &neighbor->mini->io) != 0;
    while (neighbor->fault_count == 0 && !atomic_load(&neighbor->must_end) &&
           (neighbor->operation_count == 0 || neighbor->ended_count < neighbor->operation_count)) {
        work_beside(neighbor);
        if (neighbor->leaves_early)
            break;
        if (neighbor->operation_count == 0)
            mini_io_sleep(neighbor->mini, 1);
    }
    imagine_storage_close(neighbor->storage, on_neighbor_closed, neighbor);
    if (!mini_io_run_until(neighbor->mini, &neighbor->closed_count, 1, WAIT_MS))
        neighbor->fault_count++;
    mini_io_close(neighbor->mini);
}

static void neighbor_start(neighbor_t *neighbor) {
    ck_assert_int_eq(uv_thread_create(&neighbor->thread, live_beside, neighbor), 0);
}

static void neighbor_end(neighbor_t *neighbor) {
    atomic_store(&neighbor->must_end, true);
    ck_assert_int_eq(uv_thread_join(&neighbor->thread), 0);
    ck_assert_uint_eq(neighbor->fault_count, 0);
    ck_assert_uint_eq(neighbor->ended_count, neighbor->asked_count);
    ck_assert_uint_eq(neighbor->closed_count, 1);
}

/* ---- the conformance suite's targets -----------------------------------------------------------
 */

static char directory[64];

static void open_shared(storage_bench_t *bench, const char *url, bool leaves_early) {
    imagine_storage_t *real = NULL, *both[2];
    neighbor_t *neighbor = calloc(1, sizeof(*neighbor));
    ck_assert_ptr_nonnull(neighbor);
    ck_assert_int_eq(imagine_storage_open(&real, url, NULL), 0);
    ck_assert_int_eq(imagine_storage_share(both, 2, real, NULL), 0);
    bench->storage = both[0];
    neighbor->storage = both[1];
    neighbor->leaves_early = leaves_early;
    bench->context = neighbor;
    neighbor_start(neighbor);
}

static void open_memory(storage_bench_t *bench) {
    open_shared(bench, "memory:", false);
}

static void open_memory_alone(storage_bench_t *bench) {
    open_shared(bench, "memory:", true);
}

static void open_file(storage_bench_t *bench) {
    char url[128];
    (void)snprintf(directory, sizeof(directory), "/tmp/imagine-share-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    (void)snprintf(url, sizeof(url), "sqlite:%s/state.db", directory);
    open_shared(bench, url, false);
}

static void close_shared(storage_bench_t *bench) {
    neighbor_end(bench->context);
    free(bench->context);
}

static void close_file(storage_bench_t *bench) {
    static const char *const names[] = {"state.db", "state.db-wal", "state.db-shm"};
    close_shared(bench);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char name[160];
        (void)snprintf(name, sizeof(name), "%s/%s", directory, names[i]);
        if (remove(name) != 0)
            ck_assert_int_eq(errno, ENOENT);
    }
    ck_assert_int_eq(rmdir(directory), 0);
}

static const storage_target_t targets[] = {
    {"memory, shared", open_memory, close_shared, SLACK_MS, NULL},
    {"memory, the other leaves first", open_memory_alone, close_shared, SLACK_MS, NULL},
    {"sqlite, shared", open_file, close_file, SLACK_MS, NULL},
};
#define TARGET_COUNT (sizeof(targets) / sizeof(targets[0]))

/* ---- several handles on one loop: what they hear -----------------------------------------------
 */

#define HANDLES_MAX 3
typedef struct listener {
    size_t change_count, gap_count;
    char last_key[64];
} listener_t;

typedef struct house {
    mini_io_t *mini;
    imagine_storage_t *storages[HANDLES_MAX];
    const imagine_storage_driver_t *drivers[HANDLES_MAX];
    void *selves[HANDLES_MAX];
    listener_t listeners[HANDLES_MAX];
    size_t count, asked_count, ended_count, closed_count;
    int status;
    int64_t sum;
} house_t;

static void on_change(const char *key, void *user) {
    listener_t *listener = user;
    listener->change_count += key != NULL;
    listener->gap_count += key == NULL;
    if (key != NULL)
        (void)snprintf(listener->last_key, sizeof(listener->last_key), "%s", key);
}

static house_t *house_open(imagine_storage_t *real, size_t count) {
    house_t *house = calloc(1, sizeof(*house));
    ck_assert_ptr_nonnull(house);
    house->mini = mini_io_open();
    house->count = count;
    ck_assert_int_eq(imagine_storage_share(house->storages, count, real, NULL), 0);
    for (size_t i = 0; i < count; i++) {
        house->drivers[i] = imagine_storage_driver(house->storages[i], &house->selves[i]);
        ck_assert_int_eq(house->drivers[i]->start(house->selves[i], &house->mini->io), 0);
    }
    return house;
}

static house_t *house_on(const char *url, size_t count) {
    imagine_storage_t *real = NULL;
    ck_assert_int_eq(imagine_storage_open(&real, url, NULL), 0);
    return house_open(real, count);
}

static void on_house_closed(void *user) {
    ((house_t *)user)->closed_count++;
}

static void house_close_one(house_t *house, size_t index) {
    imagine_storage_close(house->storages[index], on_house_closed, house);
    house->storages[index] = NULL;
}

static void house_close(house_t *house) {
    for (size_t i = 0; i < house->count; i++)
        if (house->storages[i] != NULL)
            house_close_one(house, i);
    ck_assert(mini_io_run_until(house->mini, &house->closed_count, house->count, WAIT_MS));
    mini_io_close(house->mini);
    ck_assert_uint_eq(house->ended_count, house->asked_count);
    free(house);
}

static void on_house_done(int status, void *user) {
    house_t *house = user;
    house->status = status;
    house->ended_count++;
}

static void on_house_sum(int status, int64_t sum, void *user) {
    house_t *house = user;
    house->sum = sum;
    on_house_done(status, house);
}

static void house_ask_set(house_t *house, size_t index, const char *key) {
    ck_assert_int_eq(
        house->drivers[index]->set(house->selves[index], key, "x", 1, 0, on_house_done, house), 0);
    house->asked_count++;
}

static int house_wait(house_t *house) {
    ck_assert(mini_io_run_until(house->mini, &house->ended_count, house->asked_count, WAIT_MS));
    return house->status;
}

static int64_t house_add(house_t *house, size_t index, const char *key) {
    ck_assert_int_eq(
        house->drivers[index]->add(house->selves[index], key, 1, 0, on_house_sum, house), 0);
    house->asked_count++;
    ck_assert_int_eq(house_wait(house), 0);
    return house->sum;
}

static void house_watch_all(house_t *house) {
    for (size_t i = 0; i < house->count; i++)
        ck_assert_int_eq(
            house->drivers[i]->watch(house->selves[i], "live/", on_change, &house->listeners[i]),
            0);
}

START_TEST(handles_count_together_and_say_that_they_are_shared) {
    house_t *house = house_on("memory:", 3);
    for (int64_t i = 1; i <= 9; i++)
        ck_assert_int_eq(house_add(house, (size_t)i % 3, "n"), i);
    ck_assert_uint_eq(house->drivers[0]->flags,
                      IMAGINE_STORAGE_IS_SHARED | IMAGINE_STORAGE_IS_ATOMIC);
    ck_assert_str_eq(house->drivers[0]->name, "memory");
    ck_assert_ptr_nonnull(house->drivers[0]->swap);
    house_close(house);
}
END_TEST

START_TEST(adds_from_two_threads_are_all_different_and_none_is_lost) {
    enum { EACH = 4096 };
    imagine_storage_t *real = NULL, *storages[3];
    neighbor_t neighbors[2] = {{.operation_count = EACH}, {.operation_count = EACH}};
    ck_assert_int_eq(imagine_storage_open(&real, "memory:", NULL), 0);
    ck_assert_int_eq(imagine_storage_share(storages, 3, real, NULL), 0);
    for (size_t i = 0; i < 2; i++) {
        neighbors[i].storage = storages[i];
        neighbor_start(&neighbors[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(uv_thread_join(&neighbors[i].thread), 0);
        ck_assert_uint_eq(neighbors[i].fault_count, 0);
    }
    int64_t highest = neighbors[0].last_sum > neighbors[1].last_sum ? neighbors[0].last_sum
                                                                    : neighbors[1].last_sum;
    ck_assert_int_eq(highest, 2 * EACH);
    imagine_storage_close(storages[2], NULL, NULL); /* nobody started it: ends inside the call */
}
END_TEST

START_TEST(a_change_is_told_to_the_others_at_once_and_to_them_alone) {
    house_t *house = house_on("memory:", 3);
    house_watch_all(house);
    house_ask_set(house, 0, "live/a");
    house_ask_set(house, 0, "task/b"); /* not under the prefix */
    ck_assert_int_eq(house_wait(house), 0);
    ck_assert(mini_io_run_until(house->mini, &house->listeners[1].change_count, 1, WAIT_MS));
    ck_assert(mini_io_run_until(house->mini, &house->listeners[2].change_count, 1, WAIT_MS));
    mini_io_sleep(house->mini, 20);
    ck_assert_uint_eq(house->listeners[0].change_count, 0);
    ck_assert_uint_eq(house->listeners[1].change_count, 1);
    ck_assert_str_eq(house->listeners[2].last_key, "live/a");
    house_close(house);
}
END_TEST

START_TEST(every_kind_of_change_is_told_and_a_failed_one_is_not) {
    house_t *house = house_on("memory:", 2);
    const imagine_storage_driver_t *driver = house->drivers[0];
    void *self = house->selves[0];
    house_watch_all(house);
    ck_assert_int_eq(driver->set(self, "live/a", "x", 1, 0, on_house_done, house), 0);
    ck_assert_int_eq(driver->remove(self, "live/a", on_house_done, house), 0);
    ck_assert_int_eq(driver->add(self, "live/a", 1, 0, on_house_sum, house), 0);
    ck_assert_int_eq(driver->swap(self, "live/a", "1", 1, "y", 1, 0, on_house_done, house), 0);
    house->asked_count += 4;
    ck_assert_int_eq(house_wait(house), 0);
    ck_assert_int_eq(driver->swap(self, "live/a", "1", 1, "z", 1, 0, on_house_done, house), 0);
    house->asked_count++;
    ck_assert_int_eq(house_wait(house), IMAGINE_ENOTFOUND);
    ck_assert_int_eq(driver->add(self, "live/a", 1, 0, on_house_sum, house), 0);
    house->asked_count++;
    ck_assert_int_eq(house_wait(house), IMAGINE_EINVAL);
    mini_io_sleep(house->mini, 20);
    ck_assert_uint_eq(house->listeners[1].change_count, 4);
    house_close(house);
}
END_TEST

START_TEST(who_does_not_listen_for_long_hears_of_a_gap_once) {
    neighbor_t other = {.mini = mini_io_open()};
    imagine_storage_t *real = NULL, *both[2];
    listener_t listener = {0};
    ck_assert_int_eq(imagine_storage_open(&real, "memory:", NULL), 0);
    ck_assert_int_eq(imagine_storage_share(both, 2, real, NULL), 0);
    mini_io_t *still = mini_io_open();
    void *self;
    const imagine_storage_driver_t *driver = imagine_storage_driver(both[1], &self);
    ck_assert_int_eq(driver->start(self, &still->io), 0);
    ck_assert_int_eq(driver->watch(self, "live/", on_change, &listener), 0);
    other.driver = imagine_storage_driver(both[0], &other.self);
    ck_assert_int_eq(other.driver->start(other.self, &other.mini->io), 0);
    for (int i = 0; i < 5000; i++)
        ck_assert_int_eq(
            other.driver->set(other.self, "live/k", "x", 1, 0, on_neighbor_done, &other), 0);
    ck_assert(mini_io_run_until(other.mini, &other.ended_count, 5000, WAIT_MS));
    mini_io_sleep(still, 20);
    ck_assert_uint_eq(listener.gap_count, 1);
    ck_assert_uint_eq(listener.change_count, 0); /* that anything may have changed says it all */
    imagine_storage_close(both[0], on_neighbor_closed, &other);
    ck_assert(mini_io_run_until(other.mini, &other.closed_count, 1, WAIT_MS));
    imagine_storage_close(both[1], on_neighbor_closed, &other);
    other.closed_count = 0;
    ck_assert(mini_io_run_until(still, &other.closed_count, 1, WAIT_MS));
    mini_io_close(other.mini);
    mini_io_close(still);
}
END_TEST

START_TEST(an_idle_handle_keeps_no_loop_alive) {
    house_t *house = house_on("memory:", 2);
    house_watch_all(house);
    house_ask_set(house, 0, "k");
    (void)uv_run(&house->mini->loop, UV_RUN_DEFAULT); /* returns, with the answer */
    ck_assert_uint_eq(house->ended_count, 1);
    house_close(house);
}
END_TEST

START_TEST(handles_close_in_any_order) { /* _i: which first */
    house_t *house = house_on("memory:", 3);
    for (size_t i = 0; i < 3; i++)
        house_ask_set(house, i, "k");
    house_close_one(house, (size_t)_i);
    house_ask_set(house, ((size_t)_i + 1) % 3, "k");
    house_close_one(house, ((size_t)_i + 2) % 3);
    house_ask_set(house, ((size_t)_i + 1) % 3, "k");
    ck_assert_int_eq(house_wait(house), 0);
    house_close(house);
}
END_TEST

/* ---- a real driver of the test's own -----------------------------------------------------------
 */

/* Takes two operations at a time and answers them in the loop's next turn. */
typedef struct narrow {
    const imagine_io_t *io;
    imagine_storage_done_cb done[2];
    void *users[2];
    size_t waiting_count;
    atomic_int performed_count, refused_count;
    int start_error;
    imagine_storage_changed_cb changed;
    void *changed_user;
    imagine_timer_t *timer;
    char prefix[16];
    atomic_bool was_closed;
} narrow_t;

static int narrow_start(void *self, const imagine_io_t *io) {
    narrow_t *narrow = self;
    narrow->io = io;
    return narrow->start_error;
}

static void on_narrow_turn(void *user) {
    narrow_t *narrow = user;
    size_t count = narrow->waiting_count;
    narrow->timer = NULL;
    narrow->waiting_count = 0;
    imagine_storage_done_cb done[2] = {narrow->done[0], narrow->done[1]};
    void *users[2] = {narrow->users[0], narrow->users[1]};
    for (size_t i = 0; i < count; i++) {
        atomic_fetch_add(&narrow->performed_count, 1);
        done[i](0, users[i]);
    }
    if (narrow->changed != NULL && count > 0)
        narrow->changed("live/elsewhere", narrow->changed_user);
}

static int narrow_remove(void *self, const char *key, imagine_storage_done_cb done, void *user) {
    narrow_t *narrow = self;
    (void)key;
    if (narrow->waiting_count == 2) {
        atomic_fetch_add(&narrow->refused_count, 1);
        return IMAGINE_EBUSY;
    }
    if (narrow->timer == NULL && narrow->io->timer_start(narrow->io->context, 0, on_narrow_turn,
                                                         narrow, &narrow->timer) != 0)
        return IMAGINE_ENOMEM;
    narrow->done[narrow->waiting_count] = done;
    narrow->users[narrow->waiting_count++] = user;
    return 0;
}

static int narrow_get(void *self, const char *key, imagine_storage_get_cb done, void *user) {
    (void)self, (void)key, (void)done, (void)user;
    return IMAGINE_EIO;
}

static int narrow_set(void *self, const char *key, const void *value, size_t value_size,
                      uint64_t ttl_ms, imagine_storage_done_cb done, void *user) {
    (void)value, (void)value_size, (void)ttl_ms;
    return narrow_remove(self, key, done, user);
}

static int narrow_add(void *self, const char *key, int64_t amount, uint64_t ttl_ms,
                      imagine_storage_add_cb done, void *user) {
    (void)self, (void)key, (void)amount, (void)ttl_ms, (void)done, (void)user;
    return IMAGINE_EBUSY; /* always, also when nothing waits */
}

static int narrow_list(void *self, const char *prefix, imagine_storage_list_cb done, void *user) {
    (void)self, (void)prefix, (void)done, (void)user;
    return IMAGINE_ENOTSUP;
}

static void narrow_close(void *self, imagine_closed_cb closed, void *user) {
    narrow_t *narrow = self;
    if (narrow->timer != NULL)
        narrow->io->timer_cancel(narrow->io->context, narrow->timer);
    atomic_store(&narrow->was_closed, true);
    if (closed != NULL)
        closed(user);
}

static int narrow_watch(void *self, const char *prefix, imagine_storage_changed_cb changed,
                        void *user) {
    narrow_t *narrow = self;
    (void)snprintf(narrow->prefix, sizeof(narrow->prefix), "%s", prefix);
    narrow->changed = changed;
    narrow->changed_user = user;
    return 0;
}

static imagine_storage_driver_t narrow_table(void) {
    return (imagine_storage_driver_t){.size = sizeof(imagine_storage_driver_t),
                                      .name = "narrow",
                                      .start = narrow_start,
                                      .get = narrow_get,
                                      .set = narrow_set,
                                      .remove = narrow_remove,
                                      .add = narrow_add,
                                      .list = narrow_list,
                                      .close = narrow_close,
                                      .watch = narrow_watch};
}

static imagine_storage_t *narrow_open(narrow_t *narrow) {
    imagine_storage_driver_t driver = narrow_table();
    imagine_storage_t *storage = NULL;
    ck_assert_int_eq(imagine_storage_new(&storage, &driver, narrow), 0);
    return storage;
}

START_TEST(what_the_real_driver_has_no_room_for_waits) {
    narrow_t narrow = {0};
    house_t *house = house_open(narrow_open(&narrow), 2);
    for (size_t i = 0; i < 100; i++) {
        house_ask_set(house, i % 2, "k");
        if (i % 10 == 0)
            mini_io_sleep(house->mini, 1);
    }
    ck_assert_int_eq(house_wait(house), 0);
    ck_assert_int_eq(atomic_load(&narrow.performed_count), 100);
    ck_assert_int_gt(atomic_load(&narrow.refused_count), 0);
    ck_assert_int_eq(house->drivers[0]->add(house->selves[0], "n", 1, 0, on_house_sum, house), 0);
    house->asked_count++;
    ck_assert_int_eq(house_wait(house), IMAGINE_EBUSY); /* there is nothing to wait for */
    house_close(house);
    ck_assert(atomic_load(&narrow.was_closed));
}
END_TEST

START_TEST(what_the_real_driver_lacks_or_refuses_is_lacking_or_told) {
    narrow_t narrow = {0};
    house_t *house = house_open(narrow_open(&narrow), 2);
    ck_assert_ptr_null(house->drivers[0]->swap);
    ck_assert_uint_eq(house->drivers[0]->flags, IMAGINE_STORAGE_IS_SHARED);
    house_close(house);
}
END_TEST

START_TEST(what_the_real_driver_hears_all_handles_hear) {
    narrow_t narrow = {0};
    house_t *house = house_open(narrow_open(&narrow), 2);
    house_watch_all(house);
    mini_io_sleep(house->mini, 20); /* until the watch has reached the real one */
    house_ask_set(house, 0, "task/a");
    ck_assert_int_eq(house_wait(house), 0);
    for (size_t i = 0; i < 2; i++) {
        ck_assert(mini_io_run_until(house->mini, &house->listeners[i].change_count, 1, WAIT_MS));
        ck_assert_str_eq(house->listeners[i].last_key, "live/elsewhere");
    }
    ck_assert_str_eq(narrow.prefix, "live/");
    house_close(house);
}
END_TEST

static void count_closed(void *user) {
    ++*(size_t *)user;
}

START_TEST(a_real_driver_that_does_not_start_is_told_to_every_handle) {
    narrow_t narrow = {.start_error = IMAGINE_ENOTSUP};
    imagine_storage_t *both[2];
    mini_io_t *mini = mini_io_open();
    size_t closed_count = 0;
    ck_assert_int_eq(imagine_storage_share(both, 2, narrow_open(&narrow), NULL), 0);
    for (size_t i = 0; i < 2; i++) {
        void *self;
        const imagine_storage_driver_t *driver = imagine_storage_driver(both[i], &self);
        ck_assert_int_eq(driver->start(self, &mini->io), IMAGINE_ENOTSUP);
    }
    for (size_t i = 0; i < 2; i++)
        imagine_storage_close(both[i], count_closed, &closed_count);
    ck_assert_uint_eq(closed_count, 2);
    ck_assert(atomic_load(&narrow.was_closed));
    mini_io_close(mini);
}
END_TEST

START_TEST(a_real_driver_without_watch_leaves_other_processes_unheard) {
    narrow_t narrow = {0};
    imagine_storage_driver_t driver = narrow_table();
    imagine_storage_t *storage = NULL;
    driver.watch = NULL;
    driver.flags = IMAGINE_STORAGE_IS_SHARED;
    ck_assert_int_eq(imagine_storage_new(&storage, &driver, &narrow), 0);
    house_t *house = house_open(storage, 1);
    ck_assert_uint_eq(house->drivers[0]->flags,
                      IMAGINE_STORAGE_IS_SHARED | IMAGINE_STORAGE_WATCHES_PROCESS);
    house_close(house);
}
END_TEST

/* ---- refusals, and memory that runs out --------------------------------------------------------
 */

START_TEST(what_makes_no_sense_is_refused_and_the_storage_closed) {
    static const size_t counts[] = {0, IMAGINE_STORAGE_SHARES_MAX + 1, 2, 2};
    uv_loop_t loop;
    imagine_io_uv_options_t options = {.size = sizeof(options), .loop = &loop};
    imagine_storage_t *storages[2];
    narrow_t narrow = {0};
    if (_i == 3) {
        options.size = 1;
        options.loop = NULL;
    }
    ck_assert_int_eq(imagine_storage_share(storages, counts[_i], narrow_open(&narrow), &options),
                     IMAGINE_EINVAL);
    ck_assert(atomic_load(&narrow.was_closed));
}
END_TEST

START_TEST(only_a_client_with_a_loop_can_take_part) {
    imagine_storage_t *real = NULL, *storage;
    mini_io_t *mini = mini_io_open();
    imagine_io_t io = mini->io;
    void *self;
    io.loop = NULL;
    ck_assert_int_eq(imagine_storage_open(&real, "memory:", NULL), 0);
    ck_assert_int_eq(imagine_storage_share(&storage, 1, real, NULL), 0);
    const imagine_storage_driver_t *driver = imagine_storage_driver(storage, &self);
    ck_assert_int_eq(driver->start(self, &io), IMAGINE_ENOTSUP);
    ck_assert_int_eq(driver->watch(self, "", on_change, NULL), IMAGINE_EINVAL);
    imagine_storage_close(storage, NULL, NULL);
    mini_io_close(mini);
}
END_TEST

/* Several threads allocate, so each counts under a lock. */
static failing_mem_t failing;
static uv_mutex_t failing_mutex;
static void *resize_locked(void *user, void *pointer, size_t size) {
    uv_mutex_lock(&failing_mutex);
    void *result = failing_mem_resize(user, pointer, size);
    uv_mutex_unlock(&failing_mutex);
    return result;
}

static void on_values(int status, const imagine_storage_entry_t *entries, size_t entry_count,
                      int32_t is_last, void *user) {
    (void)entries, (void)entry_count;
    ck_assert(status == 0 || status == IMAGINE_ENOMEM);
    if (is_last != 0)
        on_house_done(status, user);
}

static void on_value(int status, const void *value, size_t value_size, void *user) {
    (void)value, (void)value_size;
    ck_assert(status == 0 || status == IMAGINE_ENOTFOUND || status == IMAGINE_ENOMEM);
    on_house_done(status, user);
}

static void ask_without_memory(house_t *house) {
    const imagine_storage_driver_t *driver = house->drivers[0];
    void *self = house->selves[0];
    house_watch_all(house);
    house->asked_count += driver->set(self, "live/a", "x", 1, 0, on_house_done, house) == 0;
    house->asked_count += driver->get(self, "live/a", on_value, house) == 0;
    house->asked_count += driver->list(self, "", on_values, house) == 0;
    (void)house_wait(house);
    mini_io_sleep(house->mini, 2);
}

static bool share_without_memory(const imi_mem_t *mem, size_t fail_at) {
    house_t *house = calloc(1, sizeof(*house));
    imagine_storage_t *real = NULL;
    ck_assert_ptr_nonnull(house);
    house->mini = mini_io_open();
    house->count = 2;
    failing.request_count = 0;
    failing.has_failed = false;
    failing.fail_at = fail_at;
    ck_assert_int_eq(imagine_storage_open(&real, "memory:", NULL), 0);
    int err = imi_storage_share(mem, house->storages, 2, real, NULL);
    ck_assert(err == 0 || err == IMAGINE_ENOMEM);
    for (size_t i = 0; err == 0 && i < 2; i++) {
        house->drivers[i] = imagine_storage_driver(house->storages[i], &house->selves[i]);
        ck_assert_int_eq(house->drivers[i]->start(house->selves[i], &house->mini->io), 0);
    }
    if (err == 0) {
        ask_without_memory(house);
        size_t heard = house->listeners[1].change_count + house->listeners[1].gap_count;
        ck_assert(heard > 0 || failing.has_failed);
    }
    house->count = err == 0 ? 2 : 0;
    house_close(house);
    ck_assert_uint_eq(failing.live_count, 0);
    return failing.has_failed;
}

START_TEST(every_failing_allocation_is_told_and_loses_nothing) {
    size_t n = 1;
    ck_assert_int_eq(uv_mutex_init(&failing_mutex), 0);
    failing_mem_init(&failing, 0);
    imi_mem_t mem = {resize_locked, &failing};
    while (share_without_memory(&mem, n))
        n++;
    ck_assert_uint_gt(n, 6);
    uv_mutex_destroy(&failing_mutex);
}
END_TEST

static Suite *share_suite(void) {
    Suite *suite = suite_create("storage/share");
    TCase *handles = tcase_create("handles");
    tcase_set_timeout(handles, TIMEOUT_S);
    tcase_add_test(handles, handles_count_together_and_say_that_they_are_shared);
    tcase_add_test(handles, adds_from_two_threads_are_all_different_and_none_is_lost);
    tcase_add_test(handles, a_change_is_told_to_the_others_at_once_and_to_them_alone);
    tcase_add_test(handles, every_kind_of_change_is_told_and_a_failed_one_is_not);
    tcase_add_test(handles, who_does_not_listen_for_long_hears_of_a_gap_once);
    tcase_add_test(handles, an_idle_handle_keeps_no_loop_alive);
    tcase_add_loop_test(handles, handles_close_in_any_order, 0, 3);
    tcase_add_test(handles, what_the_real_driver_has_no_room_for_waits);
    tcase_add_test(handles, what_the_real_driver_lacks_or_refuses_is_lacking_or_told);
    tcase_add_test(handles, what_the_real_driver_hears_all_handles_hear);
    tcase_add_test(handles, a_real_driver_that_does_not_start_is_told_to_every_handle);
    tcase_add_test(handles, a_real_driver_without_watch_leaves_other_processes_unheard);
    tcase_add_loop_test(handles, what_makes_no_sense_is_refused_and_the_storage_closed, 0, 4);
    tcase_add_test(handles, only_a_client_with_a_loop_can_take_part);
    tcase_add_test(handles, every_failing_allocation_is_told_and_loses_nothing);
    suite_add_tcase(suite, handles);
    suite_add_tcase(suite, storage_conformance(targets, TARGET_COUNT));
    return suite;
}

IMI_CHECK_MAIN(share_suite)
