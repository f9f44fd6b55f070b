/* storage_conformance.c: the tests that every storage driver passes. */
#include "storage_conformance.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 20000
#define TTL_MS 1000 /* where the clock is ours; else REAL_TTL_MS */
#define REAL_TTL_MS 300
#define TEST_TIMEOUT_S 120

static const storage_target_t *all_targets;

/* ---- answers ---- */

/* Who waits for an operation: its callback fails the test when it comes twice or too early. */
typedef struct answer {
    storage_bench_t *bench;
    size_t count; /* callbacks; of a list: last ones */
    int status;
    char *value; /* get; with a NUL behind */
    size_t value_size;
    int64_t sum;
    size_t place; /* how many operations ended before this one */
    char **keys;  /* list */
    size_t *value_sizes;
    size_t key_count, key_capacity;
    void (*then)(struct answer *answer); /* runs inside the callback */
} answer_t;

static void note_end(answer_t *answer, int status) {
    storage_bench_t *bench = answer->bench;
    ck_assert_msg(!bench->is_inside, "%s: called back inside the call", bench->target->name);
    ck_assert_msg(answer->count == 0, "%s: called back twice", bench->target->name);
    ck_assert_msg(bench->closed_count == 0, "%s: called back after closed", bench->target->name);
    answer->count++;
    answer->status = status;
    answer->place = bench->ended_count++;
    if (answer->then != NULL)
        answer->then(answer);
}

static void on_done(int status, void *user) {
    note_end(user, status);
}

static void on_get(int status, const void *value, size_t value_size, void *user) {
    answer_t *answer = user;
    if (status == 0) {
        answer->value = calloc(1, value_size + 1);
        ck_assert_ptr_nonnull(answer->value);
        if (value_size > 0)
            memcpy(answer->value, value, value_size);
        answer->value_size = value_size;
    }
    note_end(answer, status);
}

static void on_add(int status, int64_t value, void *user) {
    answer_t *answer = user;
    answer->sum = value;
    note_end(answer, status);
}

static void on_list(int status, const imagine_storage_entry_t *entries, size_t entry_count,
                    int32_t is_last, void *user) {
    answer_t *answer = user;
    ck_assert_msg(answer->count == 0, "%s: a list went on after its last call",
                  answer->bench->target->name);
    ck_assert(status == 0 || (is_last == 1 && entry_count == 0));
    for (size_t i = 0; i < entry_count; i++) {
        if (answer->key_count == answer->key_capacity) {
            answer->key_capacity = answer->key_capacity * 2 + 16;
            answer->keys = realloc(answer->keys, answer->key_capacity * sizeof(char *));
            answer->value_sizes =
                realloc(answer->value_sizes, answer->key_capacity * sizeof(size_t));
            ck_assert(answer->keys != NULL && answer->value_sizes != NULL);
        }
        answer->keys[answer->key_count] = strdup(entries[i].key);
        answer->value_sizes[answer->key_count++] = entries[i].value_size;
    }
    if (is_last != 0)
        note_end(answer, status);
}

static void answer_reset(answer_t *answer) {
    for (size_t i = 0; i < answer->key_count; i++)
        free(answer->keys[i]);
    free(answer->keys);
    free(answer->value_sizes);
    free(answer->value);
    *answer = (answer_t){.bench = answer->bench};
}

/* ---- asking: the driver's functions, watched ---- */

static int note_asked(storage_bench_t *bench, int err) {
    bench->is_inside = false;
    bench->asked_count += err == 0;
    return err;
}

static int ask_get(answer_t *answer, const char *key) {
    storage_bench_t *bench = answer->bench;
    bench->is_inside = true;
    return note_asked(bench, bench->driver->get(bench->self, key, on_get, answer));
}

/* Hands out copies and spoils them afterwards: the driver must have made its own. */
static int ask_set(answer_t *answer, const char *key, const void *value, size_t size,
                   uint64_t ttl_ms) {
    storage_bench_t *bench = answer->bench;
    size_t key_size = strlen(key);
    char *key_copy = strdup(key);
    char *value_copy = malloc(size + 1);
    ck_assert(key_copy != NULL && value_copy != NULL);
    memcpy(value_copy, value, size);
    bench->is_inside = true;
    int err = note_asked(bench, bench->driver->set(bench->self, key_copy, value_copy, size, ttl_ms,
                                                   on_done, answer));
    memset(key_copy, '#', key_size);
    memset(value_copy, '#', size);
    free(key_copy);
    free(value_copy);
    return err;
}

static int ask_remove(answer_t *answer, const char *key) {
    storage_bench_t *bench = answer->bench;
    bench->is_inside = true;
    return note_asked(bench, bench->driver->remove(bench->self, key, on_done, answer));
}

static int ask_add(answer_t *answer, const char *key, int64_t amount, uint64_t ttl_ms) {
    storage_bench_t *bench = answer->bench;
    bench->is_inside = true;
    return note_asked(bench, bench->driver->add(bench->self, key, amount, ttl_ms, on_add, answer));
}

static int ask_list(answer_t *answer, const char *prefix) {
    storage_bench_t *bench = answer->bench;
    bench->is_inside = true;
    return note_asked(bench, bench->driver->list(bench->self, prefix, on_list, answer));
}

static char *copy_of(const void *bytes, size_t size) {
    char *copy = bytes == NULL ? NULL : malloc(size + 1);
    ck_assert(bytes == NULL || copy != NULL);
    if (bytes != NULL && size > 0)
        memcpy(copy, bytes, size);
    return copy;
}

static void spoil(char *copy, size_t size) {
    if (copy != NULL)
        memset(copy, '#', size);
    free(copy);
}

static int ask_swap(answer_t *answer, const char *key, const void *expected, size_t expected_size,
                    const void *value, size_t value_size, uint64_t ttl_ms) {
    storage_bench_t *bench = answer->bench;
    char *expected_copy = copy_of(expected, expected_size),
         *value_copy = copy_of(value, value_size);
    bench->is_inside = true;
    int err =
        note_asked(bench, bench->driver->swap(bench->self, key, expected_copy, expected_size,
                                              value_copy, value_size, ttl_ms, on_done, answer));
    spoil(expected_copy, expected_size);
    spoil(value_copy, value_size);
    return err;
}

/* For as long as there is progress, however slow the machine; callbacks may ask for more. */
static void wait_for_all(storage_bench_t *bench) {
    bool is_in_time = true;
    while (is_in_time && bench->ended_count < bench->asked_count)
        is_in_time =
            mini_io_run_until(bench->mini, &bench->ended_count, bench->ended_count + 1, TIMEOUT_MS);
    ck_assert_msg(is_in_time, "%s: %zu of %zu operations never called back", bench->target->name,
                  bench->asked_count - bench->ended_count, bench->asked_count);
}

/* ---- the bench ---- */

storage_bench_t *storage_bench_open(const storage_target_t *target) {
    storage_bench_t *bench = calloc(1, sizeof(*bench));
    ck_assert_ptr_nonnull(bench);
    bench->target = target;
    bench->mini = mini_io_open();
    bench->io = &bench->mini->io;
    if (target->clock_slack_ms == 0)
        mini_io_freeze(bench->mini);
    target->open(bench);
    ck_assert_ptr_nonnull(bench->storage);
    bench->driver = imagine_storage_driver(bench->storage, &bench->self);
    ck_assert_int_eq(bench->driver->start(bench->self, bench->io), 0);
    return bench;
}

storage_bench_t *storage_bench_join(const storage_bench_t *first) {
    storage_bench_t *bench = calloc(1, sizeof(*bench));
    ck_assert_ptr_nonnull(bench);
    bench->target = first->target;
    bench->mini = first->mini;
    bench->io = first->io;
    bench->is_joined = true;
    first->target->join(bench);
    ck_assert_ptr_nonnull(bench->storage);
    bench->driver = imagine_storage_driver(bench->storage, &bench->self);
    ck_assert_int_eq(bench->driver->start(bench->self, bench->io), 0);
    return bench;
}

static void on_closed(void *user) {
    storage_bench_t *bench = user;
    bench->closed_count++;
}

void storage_bench_close_storage(storage_bench_t *bench) {
    bench->is_inside = true;
    imagine_storage_close(bench->storage, on_closed, bench);
    bench->is_inside = false;
    bench->storage = NULL;
    ck_assert_msg(mini_io_run_until(bench->mini, &bench->closed_count, 1, TIMEOUT_MS),
                  "%s: close never called back", bench->target->name);
    ck_assert_uint_eq(bench->ended_count, bench->asked_count);
}

void storage_bench_close(storage_bench_t *bench) {
    if (bench->closed_count == 0)
        storage_bench_close_storage(bench);
    if (!bench->is_joined && bench->target->close != NULL)
        bench->target->close(bench);
    if (!bench->is_joined)
        mini_io_close(bench->mini); /* whatever still waits on the loop runs here */
    ck_assert_uint_eq(bench->ended_count, bench->asked_count);
    ck_assert_uint_eq(bench->closed_count, 1);
    free(bench);
}

int storage_bench_set_bytes(storage_bench_t *bench, const char *key, const void *value, size_t size,
                            uint64_t ttl_ms) {
    answer_t answer = {.bench = bench};
    int err = ask_set(&answer, key, value, size, ttl_ms);
    wait_for_all(bench);
    return err != 0 ? err : answer.status;
}

int storage_bench_set(storage_bench_t *bench, const char *key, const char *value, uint64_t ttl_ms) {
    return storage_bench_set_bytes(bench, key, value, strlen(value), ttl_ms);
}

int storage_bench_remove(storage_bench_t *bench, const char *key) {
    answer_t answer = {.bench = bench};
    int err = ask_remove(&answer, key);
    wait_for_all(bench);
    return err != 0 ? err : answer.status;
}

static int swap_bytes(storage_bench_t *bench, const char *key, const void *expected,
                      size_t expected_size, const void *value, size_t value_size, uint64_t ttl_ms) {
    answer_t answer = {.bench = bench};
    int err = ask_swap(&answer, key, expected, expected_size, value, value_size, ttl_ms);
    wait_for_all(bench);
    return err != 0 ? err : answer.status;
}

int storage_bench_swap(storage_bench_t *bench, const char *key, const char *expected,
                       const char *value, uint64_t ttl_ms) {
    return swap_bytes(bench, key, expected, expected == NULL ? 0 : strlen(expected), value,
                      value == NULL ? 0 : strlen(value), ttl_ms);
}

int64_t storage_bench_add(storage_bench_t *bench, const char *key, int64_t amount, uint64_t ttl_ms,
                          int *status) {
    answer_t answer = {.bench = bench};
    int err = ask_add(&answer, key, amount, ttl_ms);
    wait_for_all(bench);
    *status = err != 0 ? err : answer.status;
    return answer.sum;
}

int storage_bench_get(storage_bench_t *bench, const char *key) {
    answer_t answer = {.bench = bench};
    int err = ask_get(&answer, key);
    wait_for_all(bench);
    int status = err != 0 ? err : answer.status;
    answer_reset(&answer);
    return status;
}

static void expect_bytes(storage_bench_t *bench, const char *key, const void *value, size_t size) {
    answer_t answer = {.bench = bench};
    ck_assert_int_eq(ask_get(&answer, key), 0);
    wait_for_all(bench);
    const char *name = bench->target->name;
    if (value == NULL) {
        ck_assert_msg(answer.status == IMAGINE_ENOTFOUND, "%s: %s: status %d, should be absent",
                      name, key, answer.status);
    } else {
        ck_assert_msg(answer.status == 0, "%s: %s: status %d", name, key, answer.status);
        ck_assert_msg(answer.value_size == size && memcmp(answer.value, value, size) == 0,
                      "%s: %s: got %zu other bytes instead of %zu", name, key, answer.value_size,
                      size);
    }
    answer_reset(&answer);
}

void storage_bench_expect(storage_bench_t *bench, const char *key, const char *value) {
    expect_bytes(bench, key, value, value == NULL ? 0 : strlen(value));
}

static int compare_keys(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *storage_bench_list(storage_bench_t *bench, const char *prefix, int *status) {
    answer_t answer = {.bench = bench};
    int err = ask_list(&answer, prefix);
    wait_for_all(bench);
    *status = err != 0 ? err : answer.status;
    char *text = NULL;
    if (*status == 0) {
        size_t capacity = 1, size = 0;
        for (size_t i = 0; i < answer.key_count; i++)
            capacity += strlen(answer.keys[i]) + 1;
        text = calloc(1, capacity);
        ck_assert_ptr_nonnull(text);
        if (answer.key_count > 0)
            qsort(answer.keys, answer.key_count, sizeof(char *), compare_keys);
        for (size_t i = 0; i < answer.key_count; i++)
            size += (size_t)snprintf(text + size, capacity - size, "%s ", answer.keys[i]);
    }
    answer_reset(&answer);
    return text;
}

static void expect_list(storage_bench_t *bench, const char *prefix, const char *keys) {
    int status = 0;
    char *text = storage_bench_list(bench, prefix, &status);
    ck_assert_msg(status == 0, "%s: list %s: status %d", bench->target->name, prefix, status);
    ck_assert_msg(strcmp(text, keys) == 0, "%s: list \"%s\" gives \"%s\" instead of \"%s\"",
                  bench->target->name, prefix, text, keys);
    free(text);
}

static uint64_t ttl_of(const storage_bench_t *bench) {
    return bench->target->clock_slack_ms == 0 ? TTL_MS : REAL_TTL_MS;
}

/* To the last millisecond of a value set with ttl_of(); a clock of its own gets no closer. */
static void go_to_the_brink(storage_bench_t *bench) {
    if (bench->target->clock_slack_ms == 0)
        mini_io_advance(bench->mini, TTL_MS - 1);
}

static void go_over_it(storage_bench_t *bench) {
    if (bench->target->clock_slack_ms == 0)
        mini_io_advance(bench->mini, 1);
    else
        mini_io_sleep(bench->mini, REAL_TTL_MS + bench->target->clock_slack_ms);
}

/* ---- values ---- */

START_TEST(what_was_never_set_is_not_found) {
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    storage_bench_expect(bench, "nothing", NULL);
    ck_assert_int_eq(storage_bench_remove(bench, "nothing"), 0);
    expect_list(bench, "", "");
    storage_bench_close(bench);
}
END_TEST

START_TEST(a_value_comes_back_as_it_was_set) {
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    ck_assert_int_eq(storage_bench_set(bench, "key", "first", 0), 0);
    storage_bench_expect(bench, "key", "first");
    ck_assert_int_eq(storage_bench_set(bench, "key", "the second is longer", 0), 0);
    storage_bench_expect(bench, "key", "the second is longer");
    ck_assert_int_eq(storage_bench_remove(bench, "key"), 0);
    storage_bench_expect(bench, "key", NULL);
    storage_bench_close(bench);
}
END_TEST

START_TEST(values_are_bytes_of_any_kind) {
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    char all[256];
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (char)i;
    ck_assert_int_eq(storage_bench_set_bytes(bench, "all", all, sizeof(all), 0), 0);
    ck_assert_int_eq(storage_bench_set_bytes(bench, "nuls", "\0\0\0", 3, 0), 0);
    ck_assert_int_eq(storage_bench_set_bytes(bench, "crlf", "\r\n$3\r\n", 6, 0), 0);
    ck_assert_int_eq(storage_bench_set_bytes(bench, "empty", "", 0, 0), 0);
    expect_bytes(bench, "all", all, sizeof(all));
    expect_bytes(bench, "nuls", "\0\0\0", 3);
    expect_bytes(bench, "crlf", "\r\n$3\r\n", 6);
    expect_bytes(bench, "empty", "", 0);
    expect_list(bench, "", "all crlf empty nuls ");
    storage_bench_close(bench);
}
END_TEST

START_TEST(a_value_may_be_as_large_as_promised_but_no_larger) {
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    size_t size = IMAGINE_STORAGE_VALUE_SIZE_MAX;
    char *value = malloc(size + 1);
    ck_assert_ptr_nonnull(value);
    for (size_t i = 0; i <= size; i++)
        value[i] = (char)(i * 7 + i / 256);
    ck_assert_int_eq(storage_bench_set_bytes(bench, "large", value, size, 0), 0);
    expect_bytes(bench, "large", value, size);
    ck_assert_int_eq(storage_bench_set_bytes(bench, "large", value, size + 1, 0),
                     IMAGINE_ETOOLARGE);
    expect_bytes(bench, "large", value, size);
    free(value);
    storage_bench_close(bench);
}
END_TEST

/* ---- keys ---- */

START_TEST(keys_have_no_special_characters) {
    static const char *const keys[] = {
        "a%b",
        "a_b",
        "a\\b",
        "a*b",
        "a?b",
        "a[b]",
        "a{b}",
        "a^b",
        "a'b",
        "a\"b",
        "a b",
        "axb",
        "AXB",
        "a;b",
        "a|b",
        "a/b",
        "a..b",
        "a&b",
        "a%2fb",
        "a:b:c",
        "a\xc3\xa4",
        "$a",
        "-a",
        "a,b",
        "a+b",
        "a=b",
        "a#b",
        "a@b",
        "a~b",
        "a`b",
        "a<b>",
        "a(b)",
        "\xe7\x94\xbb\xe5\x83\x8f",
        "\xf0\x9f\x90\xb1",
    };
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char value[8];
        (void)snprintf(value, sizeof(value), "%zu", i);
        ck_assert_int_eq(storage_bench_set(bench, keys[i], value, 0), 0);
    }
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char value[8];
        (void)snprintf(value, sizeof(value), "%zu", i);
        storage_bench_expect(bench, keys[i], value);
        ck_assert_int_eq(storage_bench_remove(bench, keys[i]), 0);
    }
    expect_list(bench, "", "");
    storage_bench_close(bench);
}
END_TEST

START_TEST(a_key_may_be_as_long_as_promised_but_no_longer) {
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    char key[IMAGINE_STORAGE_KEY_SIZE_MAX + 2];
    int status = 0;
    memset(key, 'k', sizeof(key));
    key[IMAGINE_STORAGE_KEY_SIZE_MAX + 1] = '\0';
    ck_assert_int_eq(storage_bench_set(bench, key, "x", 0), IMAGINE_EINVAL);
    ck_assert_int_eq(storage_bench_get(bench, key), IMAGINE_EINVAL);
    ck_assert_int_eq(storage_bench_remove(bench, key), IMAGINE_EINVAL);
    (void)storage_bench_add(bench, key, 1, 0, &status);
    ck_assert_int_eq(status, IMAGINE_EINVAL);
    ck_assert_ptr_null(storage_bench_list(bench, key, &status));
    ck_assert_int_eq(status, IMAGINE_EINVAL);

    key[IMAGINE_STORAGE_KEY_SIZE_MAX] = '\0';
    ck_assert_int_eq(storage_bench_set(bench, key, "x", 0), 0);
    key[IMAGINE_STORAGE_KEY_SIZE_MAX - 1] = 'l'; /* the last byte counts */
    ck_assert_int_eq(storage_bench_set(bench, key, "y", 0), 0);
    storage_bench_expect(bench, key, "y");
    char *keys = storage_bench_list(bench, key, &status);
    ck_assert_uint_eq(strlen(keys), IMAGINE_STORAGE_KEY_SIZE_MAX + 1);
    free(keys);
    key[IMAGINE_STORAGE_KEY_SIZE_MAX - 1] = 'k';
    storage_bench_expect(bench, key, "x");
    storage_bench_close(bench);
}
END_TEST

START_TEST(what_is_no_key_is_refused) {
    static const char *const keys[] = {NULL, "", "a\nb", "a\rb", "\x7f", "\x01", "a\xff", "\xc3"};
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    answer_t answer = {.bench = bench};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        ck_assert_int_eq(ask_get(&answer, keys[i]), IMAGINE_EINVAL);
        ck_assert_int_eq(ask_remove(&answer, keys[i]), IMAGINE_EINVAL);
        ck_assert_int_eq(ask_add(&answer, keys[i], 1, 0), IMAGINE_EINVAL);
        if (keys[i] == NULL || keys[i][0] != '\0') /* a prefix may be empty */
            ck_assert_int_eq(ask_list(&answer, keys[i]), IMAGINE_EINVAL);
        ck_assert_int_eq(bench->driver->set(bench->self, keys[i], "x", 1, 0, on_done, &answer),
                         IMAGINE_EINVAL);
    }
    ck_assert_int_eq(bench->driver->set(bench->self, "key", NULL, 1, 0, on_done, &answer),
                     IMAGINE_EINVAL);
    ck_assert_int_eq(bench->driver->get(bench->self, "key", NULL, &answer), IMAGINE_EINVAL);
    storage_bench_close(bench); /* none of them may call back */
    ck_assert_uint_eq(answer.count, 0);
}
END_TEST

/* ---- time ---- */

START_TEST(a_value_lives_as_long_as_its_time_to_live) {
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    uint64_t ttl_ms = ttl_of(bench);
    ck_assert_int_eq(storage_bench_set(bench, "mortal", "x", ttl_ms), 0);
    ck_assert_int_eq(storage_bench_set(bench, "immortal", "y", 0), 0);
    go_to_the_brink(bench);
    storage_bench_expect(bench, "mortal", "x");
    expect_list(bench, "", "immortal mortal ");
    go_over_it(bench);
    storage_bench_expect(bench, "mortal", NULL);
    storage_bench_expect(bench, "immortal", "y");
    expect_list(bench, "", "immortal ");
    ck_assert_int_eq(storage_bench_remove(bench, "mortal"), 0);
    ck_assert_int_eq(storage_bench_set(bench, "mortal", "again", 0), 0);
    storage_bench_expect(bench, "mortal", "again");
    storage_bench_close(bench);
}
END_TEST

START_TEST(setting_anew_replaces_the_time_to_live) {
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    uint64_t ttl_ms = ttl_of(bench);
    ck_assert_int_eq(storage_bench_set(bench, "longer", "x", ttl_ms), 0);
    ck_assert_int_eq(storage_bench_set(bench, "longer", "x", ttl_ms * 100), 0);
    ck_assert_int_eq(storage_bench_set(bench, "for ever", "x", ttl_ms), 0);
    ck_assert_int_eq(storage_bench_set(bench, "for ever", "x", 0), 0);
    ck_assert_int_eq(storage_bench_set(bench, "shorter", "x", 0), 0);
    ck_assert_int_eq(storage_bench_set(bench, "shorter", "x", ttl_ms), 0);
    go_to_the_brink(bench);
    go_over_it(bench);
    storage_bench_expect(bench, "longer", "x");
    storage_bench_expect(bench, "for ever", "x");
    storage_bench_expect(bench, "shorter", NULL);
    storage_bench_close(bench);
}
END_TEST

START_TEST(a_time_to_live_beyond_all_time_is_for_ever) {
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    int status = 0;
    ck_assert_int_eq(storage_bench_set(bench, "a", "x", UINT64_MAX), 0);
    ck_assert_int_eq(storage_bench_set(bench, "b", "x", INT64_MAX), 0);
    ck_assert_int_eq(storage_bench_add(bench, "c", 1, UINT64_MAX - 1, &status), 1);
    storage_bench_expect(bench, "a", "x");
    storage_bench_expect(bench, "b", "x");
    storage_bench_expect(bench, "c", "1");
    expect_list(bench, "", "a b c ");
    storage_bench_close(bench);
}
END_TEST

/* A clock that we cannot move can still be looked at: what was answered before the time was over
 * is there, what was asked for after it is not. */
#define CLOCK_ROUNDING_MS 3
START_TEST(a_clock_of_its_own_is_exact_to_the_millisecond) {
    if (all_targets[_i].clock_slack_ms == 0)
        return; /* a_value_lives_as_long_as_its_time_to_live says it */
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    ck_assert_int_eq(storage_bench_get(bench, "mortal"), IMAGINE_ENOTFOUND); /* connected */
    uint64_t began_ms = uv_hrtime() / 1000000, asked_ms;
    ck_assert_int_eq(storage_bench_set(bench, "mortal", "x", REAL_TTL_MS), 0);
    uint64_t set_ms = uv_hrtime() / 1000000;
    int status = 0;
    do {
        asked_ms = uv_hrtime() / 1000000;
        status = storage_bench_get(bench, "mortal");
        if (status == 0)
            ck_assert_uint_le(asked_ms, set_ms + REAL_TTL_MS + CLOCK_ROUNDING_MS);
    } while (status == 0);
    ck_assert_int_eq(status, IMAGINE_ENOTFOUND);
    ck_assert_uint_ge(uv_hrtime() / 1000000 + CLOCK_ROUNDING_MS, began_ms + REAL_TTL_MS);
    storage_bench_close(bench);
}
END_TEST

/* ---- add ---- */

START_TEST(adding_makes_a_number_and_tells_the_sum) {
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    int status = 0;
    ck_assert_int_eq(storage_bench_add(bench, "n", 5, 0, &status), 5);
    ck_assert_int_eq(storage_bench_add(bench, "n", -7, 0, &status), -2);
    ck_assert_int_eq(storage_bench_add(bench, "n", 0, 0, &status), -2);
    ck_assert_int_eq(status, 0);
    storage_bench_expect(bench, "n", "-2");
    ck_assert_int_eq(storage_bench_set(bench, "n", "41", 0), 0);
    ck_assert_int_eq(storage_bench_add(bench, "n", 1, 0, &status), 42);
    storage_bench_expect(bench, "n", "42");
    ck_assert_int_eq(storage_bench_remove(bench, "n"), 0);
    ck_assert_int_eq(storage_bench_add(bench, "n", 1, 0, &status), 1);
    storage_bench_close(bench);
}
END_TEST

START_TEST(adding_refuses_what_is_no_number_and_leaves_it) {
    static const char *const values[] = {"", "x", " 5", "5 ", "5.0", "1e3", "9223372036854775808"};
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    int status = 0;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        ck_assert_int_eq(storage_bench_set(bench, "n", values[i], 0), 0);
        (void)storage_bench_add(bench, "n", 1, 0, &status);
        ck_assert_msg(status == IMAGINE_EINVAL, "%s: \"%s\" plus 1: status %d", bench->target->name,
                      values[i], status);
        storage_bench_expect(bench, "n", values[i]);
    }
    storage_bench_close(bench);
}
END_TEST

START_TEST(a_sum_stays_within_64_bits) {
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    int status = 0;
    ck_assert(storage_bench_add(bench, "n", INT64_MAX - 1, 0, &status) == INT64_MAX - 1);
    ck_assert(storage_bench_add(bench, "n", 1, 0, &status) == INT64_MAX);
    (void)storage_bench_add(bench, "n", 1, 0, &status);
    ck_assert_int_eq(status, IMAGINE_EINVAL);
    storage_bench_expect(bench, "n", "9223372036854775807");
    ck_assert(storage_bench_add(bench, "m", INT64_MIN, 0, &status) == INT64_MIN);
    (void)storage_bench_add(bench, "m", -1, 0, &status);
    ck_assert_int_eq(status, IMAGINE_EINVAL);
    storage_bench_expect(bench, "m", "-9223372036854775808");
    storage_bench_close(bench);
}
END_TEST

START_TEST(adding_sets_a_time_to_live_only_when_it_makes_the_key) {
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    uint64_t ttl_ms = ttl_of(bench);
    int status = 0;
    ck_assert_int_eq(storage_bench_add(bench, "made", 1, ttl_ms, &status), 1);
    ck_assert_int_eq(storage_bench_add(bench, "made", 1, ttl_ms * 100, &status), 2);
    ck_assert_int_eq(storage_bench_add(bench, "made", 1, 0, &status), 3);
    ck_assert_int_eq(storage_bench_add(bench, "for ever", 1, 0, &status), 1);
    ck_assert_int_eq(storage_bench_add(bench, "for ever", 1, ttl_ms, &status), 2);
    go_to_the_brink(bench);
    storage_bench_expect(bench, "made", "3");
    go_over_it(bench);
    storage_bench_expect(bench, "made", NULL);
    storage_bench_expect(bench, "for ever", "2");
    ck_assert_int_eq(storage_bench_add(bench, "made", 1, ttl_ms, &status), 1); /* made anew */
    storage_bench_close(bench);
}
END_TEST

#define ADD_COUNT 500
START_TEST(sums_asked_for_at_once_are_all_different) {
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    static answer_t answers[ADD_COUNT];
    memset(answers, 0, sizeof(answers));
    for (size_t i = 0; i < ADD_COUNT; i++) {
        answers[i].bench = bench;
        ck_assert_int_eq(ask_add(&answers[i], "n", 1, 0), 0);
    }
    wait_for_all(bench);
    for (size_t i = 0; i < ADD_COUNT; i++) {
        ck_assert_int_eq(answers[i].status, 0);
        ck_assert_int_eq(answers[i].sum, (int64_t)i + 1);
    }
    storage_bench_expect(bench, "n", "500");
    storage_bench_close(bench);
}
END_TEST

START_TEST(sums_of_two_handles_at_once_are_all_different) {
    if (all_targets[_i].join == NULL)
        return;
    storage_bench_t *a = storage_bench_open(&all_targets[_i]), *b = storage_bench_join(a);
    static answer_t answers[2 * ADD_COUNT];
    bool is_told[2 * ADD_COUNT + 1] = {false};
    memset(answers, 0, sizeof(answers));
    for (size_t i = 0; i < 2 * ADD_COUNT; i++) {
        answers[i].bench = i % 2 == 0 ? a : b;
        ck_assert_int_eq(ask_add(&answers[i], "n", 1, 0), 0);
    }
    wait_for_all(a);
    wait_for_all(b);
    for (size_t i = 0; i < 2 * ADD_COUNT; i++) {
        int64_t sum = answers[i].sum;
        ck_assert_int_eq(answers[i].status, 0);
        ck_assert_msg(sum > 0 && sum <= 2 * ADD_COUNT && !is_told[sum], "%s: %" PRId64 " twice",
                      a->target->name, sum);
        is_told[sum] = true;
    }
    storage_bench_expect(a, "n", "1000");
    storage_bench_close(b);
    storage_bench_close(a);
}
END_TEST

/* ---- swap ---- */

START_TEST(a_promised_step_is_there_and_no_other) {
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    bool is_atomic = (bench->driver->flags & IMAGINE_STORAGE_IS_ATOMIC) != 0;
    bool is_shared = (bench->driver->flags & IMAGINE_STORAGE_IS_SHARED) != 0;
    ck_assert_int_eq(bench->driver->swap != NULL, is_atomic);
    ck_assert(is_shared || bench->driver->watch == NULL); /* there are no others */
    ck_assert(is_shared || bench->target->join == NULL);
    storage_bench_close(bench);
}
END_TEST

/* NULL where there is no swap. */
static storage_bench_t *open_to_swap(int target_index) {
    storage_bench_t *bench = storage_bench_open(&all_targets[target_index]);
    if (bench->driver->swap != NULL)
        return bench;
    storage_bench_close(bench);
    return NULL;
}

START_TEST(a_swap_happens_over_what_is_expected_and_nothing_else) {
    storage_bench_t *bench = open_to_swap(_i);
    if (bench == NULL)
        return;
    ck_assert_int_eq(storage_bench_swap(bench, "k", "x", "y", 0), IMAGINE_ENOTFOUND);
    ck_assert_int_eq(storage_bench_swap(bench, "k", "", "y", 0), IMAGINE_ENOTFOUND);
    ck_assert_int_eq(storage_bench_swap(bench, "k", "x", NULL, 0), IMAGINE_ENOTFOUND);
    storage_bench_expect(bench, "k", NULL); /* empty is not absent */
    ck_assert_int_eq(swap_bytes(bench, "k", NULL, 0, "\0\xff", 2, 0), 0);
    ck_assert_int_eq(storage_bench_swap(bench, "k", NULL, "y", 0), IMAGINE_ENOTFOUND);
    ck_assert_int_eq(swap_bytes(bench, "k", "\0\xfe", 2, "y", 1, 0), IMAGINE_ENOTFOUND);
    ck_assert_int_eq(swap_bytes(bench, "k", "\0", 1, "y", 1, 0), IMAGINE_ENOTFOUND);
    ck_assert_int_eq(swap_bytes(bench, "k", "\0\xff\0", 3, NULL, 0, 0), IMAGINE_ENOTFOUND);
    expect_bytes(bench, "k", "\0\xff", 2);
    ck_assert_int_eq(swap_bytes(bench, "k", "\0\xff", 2, "", 0, 0), 0);
    storage_bench_expect(bench, "k", "");
    ck_assert_int_eq(storage_bench_swap(bench, "k", NULL, "y", 0), IMAGINE_ENOTFOUND);
    ck_assert_int_eq(storage_bench_swap(bench, "k", "", "base64:", 0), 0);
    storage_bench_expect(bench, "k", "base64:");
    ck_assert_int_eq(storage_bench_swap(bench, "k", "base64:", NULL, 0), 0);
    storage_bench_expect(bench, "k", NULL);
    ck_assert_int_eq(storage_bench_swap(bench, "k", NULL, NULL, 0), 0);
    expect_list(bench, "", "");
    storage_bench_close(bench);
}
END_TEST

START_TEST(a_swap_sees_sums_and_sums_see_it) {
    storage_bench_t *bench = open_to_swap(_i);
    if (bench == NULL)
        return;
    int status = 0;
    ck_assert_int_eq(storage_bench_add(bench, "n", 41, 0, &status), 41);
    ck_assert_int_eq(storage_bench_swap(bench, "n", "41", "7", 0), 0);
    ck_assert_int_eq(storage_bench_add(bench, "n", 1, 0, &status), 8);
    storage_bench_close(bench);
}
END_TEST

START_TEST(a_swap_takes_what_a_set_takes_and_no_more) {
    storage_bench_t *bench = open_to_swap(_i);
    if (bench == NULL)
        return;
    size_t size = IMAGINE_STORAGE_VALUE_SIZE_MAX;
    char key[IMAGINE_STORAGE_KEY_SIZE_MAX + 2], *value = calloc(1, size + 1);
    answer_t answer = {.bench = bench};
    ck_assert_ptr_nonnull(value);
    memset(key, 'k', sizeof(key));
    key[IMAGINE_STORAGE_KEY_SIZE_MAX + 1] = '\0';
    ck_assert_int_eq(storage_bench_swap(bench, key, NULL, "x", 0), IMAGINE_EINVAL);
    ck_assert_int_eq(storage_bench_swap(bench, "", NULL, "x", 0), IMAGINE_EINVAL);
    ck_assert_int_eq(bench->driver->swap(bench->self, "k", NULL, 0, "x", 1, 0, NULL, &answer),
                     IMAGINE_EINVAL);
    key[IMAGINE_STORAGE_KEY_SIZE_MAX] = '\0';
    ck_assert_int_eq(swap_bytes(bench, key, NULL, 0, value, size + 1, 0), IMAGINE_ETOOLARGE);
    ck_assert_int_eq(swap_bytes(bench, key, NULL, 0, value, size, 0), 0);
    value[size - 1] = 'x'; /* the last byte counts */
    ck_assert_int_eq(swap_bytes(bench, key, value, size, "y", 1, 0), IMAGINE_ENOTFOUND);
    value[size - 1] = '\0';
    ck_assert_int_eq(swap_bytes(bench, key, value, size, "y", 1, 0), 0);
    storage_bench_expect(bench, key, "y");
    free(value);
    storage_bench_close(bench);
}
END_TEST

START_TEST(a_swap_gives_the_value_its_time_to_live) {
    storage_bench_t *bench = open_to_swap(_i);
    if (bench == NULL)
        return;
    uint64_t ttl_ms = ttl_of(bench);
    ck_assert_int_eq(storage_bench_swap(bench, "made", NULL, "x", ttl_ms), 0);
    ck_assert_int_eq(storage_bench_set(bench, "shorter", "x", 0), 0);
    ck_assert_int_eq(storage_bench_swap(bench, "shorter", "x", "y", ttl_ms), 0);
    ck_assert_int_eq(storage_bench_set(bench, "for ever", "x", ttl_ms), 0);
    ck_assert_int_eq(storage_bench_swap(bench, "for ever", "x", "y", 0), 0);
    ck_assert_int_eq(storage_bench_set(bench, "refused", "x", ttl_ms), 0);
    ck_assert_int_eq(storage_bench_swap(bench, "refused", "z", "y", 0), IMAGINE_ENOTFOUND);
    go_to_the_brink(bench);
    expect_list(bench, "", "for ever made refused shorter ");
    go_over_it(bench);
    expect_list(bench, "", "for ever ");
    ck_assert_int_eq(storage_bench_swap(bench, "made", "x", "y", 0), IMAGINE_ENOTFOUND);
    ck_assert_int_eq(storage_bench_swap(bench, "made", NULL, "y", 0), 0); /* expired is absent */
    storage_bench_close(bench);
}
END_TEST

#define SWAPPER_COUNT 50
START_TEST(of_many_swappers_exactly_one_wins) { /* half of them on a second handle, if one can be */
    storage_bench_t *a = open_to_swap(_i), *b = a;
    if (a == NULL)
        return;
    if (a->target->join != NULL)
        b = storage_bench_join(a);
    for (int round = 0; round < 10; round++) {
        answer_t answers[SWAPPER_COUNT];
        char values[SWAPPER_COUNT][8], old[8];
        size_t winner = SWAPPER_COUNT, winner_count = 0;
        (void)snprintf(old, sizeof(old), "%d", round);
        ck_assert_int_eq(storage_bench_set(a, "lease", old, 0), 0);
        for (size_t i = 0; i < SWAPPER_COUNT; i++) {
            answers[i] = (answer_t){.bench = i % 2 == 0 ? a : b};
            (void)snprintf(values[i], sizeof(values[i]), "w%zu", i);
            ck_assert_int_eq(
                ask_swap(&answers[i], "lease", old, strlen(old), values[i], strlen(values[i]), 0),
                0);
        }
        wait_for_all(a);
        wait_for_all(b);
        for (size_t i = 0; i < SWAPPER_COUNT; i++) {
            ck_assert(answers[i].status == 0 || answers[i].status == IMAGINE_ENOTFOUND);
            winner = answers[i].status == 0 ? i : winner;
            winner_count += answers[i].status == 0;
        }
        ck_assert_uint_eq(winner_count, 1);
        storage_bench_expect(b, "lease", values[winner]);
    }
    if (b != a)
        storage_bench_close(b);
    storage_bench_close(a);
}
END_TEST

/* ---- watch ---- */

typedef struct watcher {
    storage_bench_t *bench;
    size_t count; /* of keys that were told; gaps may be at any time */
    char key[32]; /* the last one */
} watcher_t;

static void on_changed(const char *key, void *user) {
    watcher_t *watcher = user;
    ck_assert_msg(watcher->bench->closed_count == 0, "a change was told after closed");
    ck_assert_msg(!watcher->bench->is_inside, "a change was told inside a call");
    if (key == NULL)
        return;
    watcher->count++;
    (void)snprintf(watcher->key, sizeof(watcher->key), "%s", key);
}

static void change(storage_bench_t *bench, size_t kind, const char *key) {
    int status = 0;
    if (kind == 0)
        status = storage_bench_set(bench, key, "1", 0);
    else if (kind == 1)
        (void)storage_bench_add(bench, key, 1, 0, &status);
    else if (kind == 2 && bench->driver->swap != NULL)
        status = storage_bench_swap(bench, key, "2", "3", 0);
    else
        status = storage_bench_remove(bench, key);
    ck_assert_int_eq(status, 0);
}

#define WATCHER_COUNT 3 /* the last one makes the changes */
#define CHANGE_KINDS 4
START_TEST(watchers_are_told_of_what_others_change) {
    storage_bench_t *first = storage_bench_open(&all_targets[_i]);
    watcher_t watchers[WATCHER_COUNT] = {{.bench = first}};
    bool is_watched = first->driver->watch != NULL && first->target->join != NULL;
    for (size_t i = 0; is_watched && i < WATCHER_COUNT; i++) {
        storage_bench_t *bench = i == 0 ? first : storage_bench_join(first);
        watchers[i].bench = bench;
        ck_assert_int_eq(bench->driver->watch(bench->self, "live/", on_changed, &watchers[i]), 0);
    }
    storage_bench_t *writer = watchers[WATCHER_COUNT - 1].bench;
    for (int i = 0; is_watched && watchers[0].count * watchers[1].count == 0; i++) {
        ck_assert_int_lt(i, TIMEOUT_MS / 10); /* both listen by then */
        change(writer, 0, "live/begin");
        mini_io_sleep(first->mini, 10);
    }
    for (size_t kind = 0; is_watched && kind < CHANGE_KINDS; kind++) {
        mini_io_sleep(first->mini, 50);
        watchers[0].count = watchers[1].count = 0;
        change(writer, kind, "elsewhere/k");
        change(writer, kind, "live/k");
        for (size_t i = 0; i < 2; i++) {
            ck_assert(mini_io_run_until(first->mini, &watchers[i].count, 1, TIMEOUT_MS));
            ck_assert_str_eq(watchers[i].key, "live/k");
        }
        mini_io_sleep(first->mini, 20);
        ck_assert_uint_eq(watchers[0].count, 1);
        ck_assert_uint_eq(watchers[1].count, 1);
    }
    ck_assert_uint_eq(watchers[WATCHER_COUNT - 1].count, 0); /* it knows what it did */
    if (is_watched) { /* who closes hears no more (on_changed looks), and the other one does */
        storage_bench_close_storage(watchers[1].bench);
        watchers[0].count = 0;
        change(writer, 0, "live/end");
        ck_assert(mini_io_run_until(first->mini, &watchers[0].count, 1, TIMEOUT_MS));
        storage_bench_close(writer);
        storage_bench_close(watchers[1].bench);
    }
    storage_bench_close(first);
}
END_TEST

/* ---- order ---- */

START_TEST(operations_on_a_key_happen_in_the_order_asked) {
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    answer_t a[10];
    for (size_t i = 0; i < sizeof(a) / sizeof(a[0]); i++)
        a[i] = (answer_t){.bench = bench};
    ck_assert_int_eq(ask_get(&a[0], "k"), 0);
    ck_assert_int_eq(ask_set(&a[1], "k", "1", 1, 0), 0);
    ck_assert_int_eq(ask_get(&a[2], "k"), 0);
    ck_assert_int_eq(ask_add(&a[3], "k", 1, 0), 0);
    ck_assert_int_eq(ask_get(&a[4], "k"), 0);
    ck_assert_int_eq(ask_remove(&a[5], "k"), 0);
    ck_assert_int_eq(ask_get(&a[6], "k"), 0);
    ck_assert_int_eq(ask_list(&a[7], "k"), 0);
    ck_assert_int_eq(ask_set(&a[8], "k", "3", 1, 0), 0);
    ck_assert_int_eq(ask_get(&a[9], "k"), 0);
    wait_for_all(bench);
    ck_assert_int_eq(a[0].status, IMAGINE_ENOTFOUND);
    ck_assert_str_eq(a[2].value, "1");
    ck_assert_int_eq(a[3].sum, 2);
    ck_assert_str_eq(a[4].value, "2");
    ck_assert_int_eq(a[6].status, IMAGINE_ENOTFOUND);
    ck_assert_uint_eq(a[7].key_count, 0);
    ck_assert_str_eq(a[9].value, "3");
    for (size_t i = 0; i < sizeof(a) / sizeof(a[0]); i++)
        answer_reset(&a[i]);
    storage_bench_close(bench);
}
END_TEST

/* ---- lists ---- */

START_TEST(a_prefix_has_no_special_characters) {
    static const struct {
        const char *prefix, *keys;
    } cases[] = {
        {"a%", "a% a%b "},
        {"a_", "a_ a_b "},
        {"a\\", "a\\ a\\b "},
        {"a*", "a* a*b "},
        {"a?", "a?b "},
        {"a[", "a[b] "},
        {"A", "Ax "},
        {"a^", ""},
        {"ax", "ax axb "},
        {"axb", "axb "},
        {"axbc", ""},
        {"b", "b "},
        {"a'", "a'b "},
        {"a\"", ""},
        {"\xc3\xa4", "\xc3\xa4 \xc3\xa4z "},
        {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbfz "},
        {"~", "~ ~~ "},
    };
    static const char *const keys[] = {"a%",
                                       "a%b",
                                       "a_",
                                       "a_b",
                                       "a\\",
                                       "a\\b",
                                       "a*",
                                       "a*b",
                                       "a?b",
                                       "a[b]",
                                       "Ax",
                                       "ax",
                                       "axb",
                                       "b",
                                       "a'b",
                                       "\xc3\xa4",
                                       "\xc3\xa4z",
                                       "\xc3\xa5",
                                       "\xf4\x8f\xbf\xbfz",
                                       "~",
                                       "~~"};
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        ck_assert_int_eq(storage_bench_set(bench, keys[i], "x", 0), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_list(bench, cases[i].prefix, cases[i].keys);
    storage_bench_close(bench);
}
END_TEST

#define KEY_COUNT 5000
#define LISTED_COUNT ((KEY_COUNT + 2) / 3)
START_TEST(a_list_of_thousands_is_complete) {
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    static answer_t answers[KEY_COUNT];
    memset(answers, 0, sizeof(answers));
    for (size_t i = 0; i < KEY_COUNT; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "%s%04zu", i % 3 == 0 ? "t*?[a]\\" : "tax?a\\", i);
        answers[i].bench = bench;
        ck_assert_int_eq(ask_set(&answers[i], key, key, strlen(key), 0), 0);
        if (i % 1000 == 999) /* more at once may be too much */
            wait_for_all(bench);
    }
    wait_for_all(bench);
    answer_t list = {.bench = bench};
    ck_assert_int_eq(ask_list(&list, "t*?[a]\\"), 0);
    wait_for_all(bench);
    ck_assert_int_eq(list.status, 0);
    ck_assert_uint_eq(list.key_count, LISTED_COUNT);
    qsort(list.keys, list.key_count, sizeof(char *), compare_keys);
    for (size_t i = 0; i < list.key_count; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "t*?[a]\\%04zu", i * 3);
        ck_assert_str_eq(list.keys[i], key);
        ck_assert_uint_eq(list.value_sizes[i], strlen(key));
    }
    answer_reset(&list);
    ck_assert_int_eq(ask_list(&list, ""), 0);
    wait_for_all(bench);
    ck_assert_uint_eq(list.key_count, KEY_COUNT);
    answer_reset(&list);
    storage_bench_close(bench);
}
END_TEST

#define LARGE_COUNT 20
START_TEST(a_list_of_large_values_is_complete) {
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    char *value = calloc(1, IMAGINE_STORAGE_VALUE_SIZE_MAX);
    ck_assert_ptr_nonnull(value);
    for (int i = 0; i < LARGE_COUNT; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "large:%d", i);
        ck_assert_int_eq(
            storage_bench_set_bytes(bench, key, value, IMAGINE_STORAGE_VALUE_SIZE_MAX, 0), 0);
    }
    free(value);
    answer_t list = {.bench = bench};
    answer_t gets[LARGE_COUNT];
    ck_assert_int_eq(ask_list(&list, "large:"), 0);
    for (int i = 0; i < LARGE_COUNT; i++) { /* more than fits into one hand, too */
        gets[i] = (answer_t){.bench = bench};
        ck_assert_int_eq(ask_get(&gets[i], "large:7"), 0);
    }
    wait_for_all(bench);
    ck_assert_uint_eq(list.key_count, LARGE_COUNT);
    for (size_t i = 0; i < LARGE_COUNT; i++) {
        ck_assert_uint_eq(list.value_sizes[i], IMAGINE_STORAGE_VALUE_SIZE_MAX);
        ck_assert_uint_eq(gets[i].value_size, IMAGINE_STORAGE_VALUE_SIZE_MAX);
        answer_reset(&gets[i]);
    }
    answer_reset(&list);
    storage_bench_close(bench);
}
END_TEST

/* ---- inside callbacks, and the end ---- */

static void ask_the_next(answer_t *answer) {
    if (answer->sum < 20) {
        answer->count = 0; /* the same answer waits again */
        ck_assert_int_eq(ask_add(answer, "n", 1, 0), 0);
    }
}

START_TEST(a_callback_may_ask_for_more) {
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    answer_t answer = {.bench = bench, .then = ask_the_next};
    ck_assert_int_eq(ask_add(&answer, "n", 1, 0), 0);
    wait_for_all(bench);
    ck_assert_int_eq(answer.sum, 20);
    storage_bench_close(bench);
}
END_TEST

static void close_inside(answer_t *answer) {
    storage_bench_t *bench = answer->bench;
    bench->is_inside = true;
    imagine_storage_close(bench->storage, on_closed, bench);
    bench->is_inside = false;
    answer_t refused = {.bench = bench};
    ck_assert_int_eq(ask_get(&refused, "k"), IMAGINE_ECLOSED);
}

#define FLIGHT_COUNT 200
static void ask_of_every_kind(answer_t *answers, storage_bench_t *bench) {
    memset(answers, 0, FLIGHT_COUNT * sizeof(*answers));
    for (size_t i = 0; i < FLIGHT_COUNT; i++) {
        answer_t *answer = &answers[i];
        answer->bench = bench;
        if (i % 10 == 9 && bench->driver->swap != NULL)
            ck_assert_int_eq(ask_swap(answer, "s", NULL, 0, NULL, 0, 0), 0);
        else if (i % 5 == 0)
            ck_assert_int_eq(ask_set(answer, "k", "x", 1, 0), 0);
        else if (i % 5 == 1)
            ck_assert_int_eq(ask_get(answer, "k"), 0);
        else if (i % 5 == 2)
            ck_assert_int_eq(ask_add(answer, "n", 1, 0), 0);
        else if (i % 5 == 3)
            ck_assert_int_eq(ask_list(answer, ""), 0);
        else
            ck_assert_int_eq(ask_remove(answer, "r"), 0);
    }
}

static void expect_all_ended(answer_t *answers) {
    for (size_t i = 0; i < FLIGHT_COUNT; i++) {
        ck_assert_uint_eq(answers[i].count, 1);
        ck_assert_msg(answers[i].status == 0 || answers[i].status == IMAGINE_ECLOSED,
                      "operation %zu ended with %d", i, answers[i].status);
        answer_reset(&answers[i]);
    }
}

START_TEST(closing_ends_everything_that_was_asked_for) {
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    static answer_t answers[FLIGHT_COUNT];
    ask_of_every_kind(answers, bench);
    storage_bench_close(bench);
    expect_all_ended(answers);
}
END_TEST

START_TEST(closing_inside_a_callback_ends_the_rest_too) {
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    static answer_t answers[FLIGHT_COUNT];
    ask_of_every_kind(answers, bench);
    answers[17].then = close_inside;
    ck_assert(mini_io_run_until(bench->mini, &bench->closed_count, 1, TIMEOUT_MS));
    storage_bench_close(bench);
    expect_all_ended(answers);
}
END_TEST

START_TEST(closing_at_once_after_the_start_is_fine) {
    storage_bench_t *bench = storage_bench_open(&all_targets[_i]);
    storage_bench_close(bench);
}
END_TEST

START_TEST(a_storage_without_a_client_can_be_closed) {
    storage_bench_t bench = {.target = &all_targets[_i], .mini = mini_io_open()};
    bench.io = &bench.mini->io;
    bench.target->open(&bench);
    imagine_storage_close(bench.storage, on_closed, &bench);
    ck_assert(mini_io_run_until(bench.mini, &bench.closed_count, 1, TIMEOUT_MS));
    if (bench.target->close != NULL)
        bench.target->close(&bench);
    mini_io_close(bench.mini);
    ck_assert_uint_eq(bench.closed_count, 1);
}
END_TEST

TCase *storage_conformance(const storage_target_t *targets, size_t target_count) {
    static const TTest *const *const tests[] = {
        &what_was_never_set_is_not_found,
        &a_value_comes_back_as_it_was_set,
        &values_are_bytes_of_any_kind,
        &a_value_may_be_as_large_as_promised_but_no_larger,
        &keys_have_no_special_characters,
        &a_key_may_be_as_long_as_promised_but_no_longer,
        &what_is_no_key_is_refused,
        &a_value_lives_as_long_as_its_time_to_live,
        &setting_anew_replaces_the_time_to_live,
        &a_time_to_live_beyond_all_time_is_for_ever,
        &a_clock_of_its_own_is_exact_to_the_millisecond,
        &adding_makes_a_number_and_tells_the_sum,
        &adding_refuses_what_is_no_number_and_leaves_it,
        &a_sum_stays_within_64_bits,
        &adding_sets_a_time_to_live_only_when_it_makes_the_key,
        &sums_asked_for_at_once_are_all_different,
        &sums_of_two_handles_at_once_are_all_different,
        &a_promised_step_is_there_and_no_other,
        &a_swap_happens_over_what_is_expected_and_nothing_else,
        &a_swap_sees_sums_and_sums_see_it,
        &a_swap_takes_what_a_set_takes_and_no_more,
        &a_swap_gives_the_value_its_time_to_live,
        &of_many_swappers_exactly_one_wins,
        &watchers_are_told_of_what_others_change,
        &operations_on_a_key_happen_in_the_order_asked,
        &a_prefix_has_no_special_characters,
        &a_list_of_thousands_is_complete,
        &a_list_of_large_values_is_complete,
        &a_callback_may_ask_for_more,
        &closing_ends_everything_that_was_asked_for,
        &closing_inside_a_callback_ends_the_rest_too,
        &closing_at_once_after_the_start_is_fine,
        &a_storage_without_a_client_can_be_closed,
    };
    TCase *conformance = tcase_create("conformance");
    all_targets = targets;
    tcase_set_timeout(conformance, TEST_TIMEOUT_S);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        tcase_add_loop_test(conformance, *tests[i], 0, (int)target_count);
    return conformance;
}
