/* storage_conformance.h: what every storage driver must do, as one Check test case.
 *
 *     static const storage_target_t targets[] = {{.name = "memory", .open = open_memory}};
 *     …
 *     suite_add_tcase(suite, storage_conformance(targets, 1));
 *
 * Each test opens the target anew, so `open` must give an empty storage every time. */
#ifndef IMI_TEST_STORAGE_CONFORMANCE_H
#define IMI_TEST_STORAGE_CONFORMANCE_H

#include <check.h>

#include "imagine/storage.h"
#include "mini_io.h"

typedef struct storage_bench storage_bench_t;

typedef struct storage_target {
    const char *name;
    /* Sets bench->storage to an empty storage that was not started. May put another io table over
     * bench->mini->loop into bench->io, and anything into bench->context. */
    void (*open)(storage_bench_t *bench);
    /* After the storage was closed: takes away what open() made. NULL: nothing. */
    void (*close)(storage_bench_t *bench);
    /* 0: expiry follows io->unix_ms, to the millisecond. Else the driver goes by a clock that we
     * cannot move, and this much after its time a value must be gone. */
    uint32_t clock_slack_ms;
    /* Sets bench->storage to another handle on the storage that open() made last, over the same io
     * table. NULL: nobody can share it. */
    void (*join)(storage_bench_t *bench);
} storage_target_t;

struct storage_bench {
    const storage_target_t *target;
    mini_io_t *mini;
    const imagine_io_t *io;
    imagine_storage_t *storage;
    const imagine_storage_driver_t *driver; /* of the storage, with its self */
    void *self;
    void *context;
    size_t asked_count, ended_count; /* operations accepted, and those that called back */
    size_t closed_count;
    bool is_joined; /* the loop, the io table and what open() made are another bench's */
    bool is_inside; /* a driver's function is on the stack: no callback may run */
};

/* All targets in one test case; a failure names its target. */
TCase *storage_conformance(const storage_target_t *targets, size_t target_count);

/* ---- to write more tests with: each waits for the answer and gives its status, or what the driver
 * refused it with ---- */

/* Opens and starts. */
storage_bench_t *storage_bench_open(const storage_target_t *target);
/* Another handle on the storage of `first`, on the same loop; to be closed before `first`. */
storage_bench_t *storage_bench_join(const storage_bench_t *first);
/* Closes, and fails the test unless every operation has called back once and `closed` after it. */
void storage_bench_close(storage_bench_t *bench);
/* Only the storage: the bench stays for a look at its log. */
void storage_bench_close_storage(storage_bench_t *bench);

int storage_bench_set(storage_bench_t *bench, const char *key, const char *value, uint64_t ttl_ms);
int storage_bench_set_bytes(storage_bench_t *bench, const char *key, const void *value, size_t size,
                            uint64_t ttl_ms);
int storage_bench_remove(storage_bench_t *bench, const char *key);
/* Texts; NULL: nothing is there, or is to be left. */
int storage_bench_swap(storage_bench_t *bench, const char *key, const char *expected,
                       const char *value, uint64_t ttl_ms);
/* The sum, or the status when it is an error in `*status`. */
int64_t storage_bench_add(storage_bench_t *bench, const char *key, int64_t amount, uint64_t ttl_ms,
                          int *status);
/* Fails the test unless the answer is this value; NULL: unless it is absent. */
void storage_bench_expect(storage_bench_t *bench, const char *key, const char *value);
/* The status alone. */
int storage_bench_get(storage_bench_t *bench, const char *key);
/* Keys in order, each with a blank behind; to free(). NULL and `*status` after an error. */
char *storage_bench_list(storage_bench_t *bench, const char *prefix, int *status);

#endif
