/* test_sqlite.c: "sqlite:" beside what the conformance suite says: the file, who may read it, what
 * survives, what is refused and left alone, and what happens while the disk or another process says
 * no. */
#include "../../support/check_main.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "../../support/failing_mem.h"
#include "../../support/storage_conformance.h"
#include "imagine/storage.h"
#include "storage/drivers.h"

#define WAIT_MS 20000
#define NOBODY 65534

/* ---- a directory and a file of our own ---- */

static char directory[64];
static char path[128]; /* in it */

static void make_directory(void) {
    (void)snprintf(directory, sizeof(directory), "/tmp/imagine-sqlite-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/state.db", directory);
}

static void remove_directory(void) {
    static const char *const names[] = {"state.db", "state.db-wal", "state.db-shm",
                                        "state.db-journal"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char name[160];
        (void)snprintf(name, sizeof(name), "%s/%s", directory, names[i]);
        if (remove(name) != 0)
            ck_assert_int_eq(errno, ENOENT);
    }
    ck_assert_int_eq(rmdir(directory), 0);
}

/* Opens what is at `path`, whatever that is. */
static void open_path(storage_bench_t *bench) {
    char url[256];
    (void)snprintf(url, sizeof(url), "sqlite:%s", path);
    ck_assert_int_eq(imagine_storage_open(&bench->storage, url, NULL), 0);
}

static void open_fresh(storage_bench_t *bench) {
    make_directory();
    open_path(bench);
}

static void close_fresh(storage_bench_t *bench) {
    (void)bench;
    remove_directory();
}

static const storage_target_t fresh_target = {
    .name = "sqlite", .open = open_fresh, .close = close_fresh, .join = open_path};
static const storage_target_t path_target = {.name = "sqlite at a path", .open = open_path};

static void run_sql(const char *sql) {
    sqlite3 *db = NULL;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static int read_number(const char *sql) {
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
    int number = sqlite3_column_int(statement, 0);
    ck_assert_int_eq(sqlite3_finalize(statement), SQLITE_OK);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
    return number;
}

static void count_end(int status, void *user) {
    size_t *count = user;
    (void)status;
    ++*count;
}

/* The child has ended well: no assertion failed in it. */
static void expect_exit(pid_t child) {
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %#x",
                  (unsigned)status);
}

static pid_t fork_child(void) {
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    return child;
}

/* ---- the file ---- */

static void expect_mode(const char *name, mode_t mode) {
    struct stat status;
    ck_assert_msg(stat(name, &status) == 0, "%s: %s", name, strerror(errno));
    ck_assert_msg((status.st_mode & 0777) == mode, "%s: %o", name, status.st_mode & 0777u);
}

START_TEST(file_and_directories_are_made_for_us_alone) {
    char name[256];
    make_directory();
    (void)snprintf(path, sizeof(path), "%s/a/b/state.db", directory);
    storage_bench_t *bench = storage_bench_open(&path_target);
    ck_assert_int_eq(storage_bench_set(bench, "k", "x", 0), 0);
    (void)snprintf(name, sizeof(name), "%s/a", directory);
    expect_mode(name, 0700);
    (void)snprintf(name, sizeof(name), "%s/a/b", directory);
    expect_mode(name, 0700);
    expect_mode(path, 0600);
    (void)snprintf(name, sizeof(name), "%s-wal", path);
    expect_mode(name, 0600);
    (void)snprintf(name, sizeof(name), "%s-shm", path);
    expect_mode(name, 0600);
    ck_assert_uint_eq(mini_io_logged(bench->mini, "2 store.opened driver=sqlite path=\""), 1);
    ck_assert_uint_eq(bench->mini->line_count, 1);
    storage_bench_close(bench);
    ck_assert_int_eq(remove(path), 0); /* the last one out leaves one file */
    (void)snprintf(name, sizeof(name), "%s/a/b", directory);
    ck_assert_int_eq(rmdir(name), 0);
    (void)snprintf(name, sizeof(name), "%s/a", directory);
    ck_assert_int_eq(rmdir(name), 0);
    ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

START_TEST(what_was_set_is_there_after_opening_again) {
    make_directory();
    storage_bench_t *bench = storage_bench_open(&path_target);
    int status = 0;
    ck_assert_int_eq(storage_bench_set(bench, "kept", "x", 0), 0);
    ck_assert_int_eq(storage_bench_set(bench, "mortal", "x", 1000), 0);
    ck_assert_int_eq(storage_bench_add(bench, "n", 3, 0, &status), 3);
    storage_bench_close(bench);

    bench = storage_bench_open(&path_target);
    storage_bench_expect(bench, "kept", "x");
    storage_bench_expect(bench, "mortal", "x");
    ck_assert_int_eq(storage_bench_add(bench, "n", 1, 0, &status), 4);
    mini_io_advance(bench->mini, 1000);
    storage_bench_expect(bench, "mortal", NULL);
    storage_bench_close(bench);
    remove_directory();
}
END_TEST

START_TEST(what_waits_is_written_before_closing_ends) {
    make_directory();
    storage_bench_t *bench = storage_bench_open(&path_target);
    size_t end_count = 0;
    char key[16];
    for (size_t i = 0; i < 100; i++) {
        (void)snprintf(key, sizeof(key), "k%zu", i);
        ck_assert_int_eq(bench->driver->set(bench->self, key, "x", 1, 0, count_end, &end_count), 0);
    }
    storage_bench_close(bench);
    ck_assert_uint_eq(end_count, 100);
    ck_assert_int_eq(read_number("SELECT count(*) FROM entry"), 100);
    remove_directory();
}
END_TEST

START_TEST(expired_rows_leave_the_file_beside_a_write) {
    make_directory();
    storage_bench_t *bench = storage_bench_open(&path_target);
    char key[16];
    for (int i = 0; i < 1500; i++) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        size_t end_count = 0;
        ck_assert_int_eq(bench->driver->set(bench->self, key, "x", 1, 500, count_end, &end_count),
                         0);
        if (i % 100 == 99 || i == 0)
            ck_assert_int_eq(storage_bench_set(bench, "kept", "x", 0), 0);
        ck_assert(mini_io_run_until(bench->mini, &end_count, 1, WAIT_MS));
    }
    mini_io_advance(bench->mini, 1000);
    storage_bench_expect(bench, "k7", NULL);
    ck_assert_int_eq(storage_bench_set(bench, "kept", "y", 0), 0); /* purged a moment ago */
    ck_assert_int_eq(read_number("SELECT count(*) FROM entry"), 1501);
    mini_io_advance(bench->mini, 60000);
    storage_bench_expect(bench, "k7", NULL); /* reading does not write */
    ck_assert_int_eq(read_number("SELECT count(*) FROM entry"), 1501);
    ck_assert_int_eq(storage_bench_set(bench, "kept", "z", 0), 0);
    ck_assert_int_eq(read_number("SELECT count(*) FROM entry"), 501);
    ck_assert_int_eq(storage_bench_set(bench, "kept", "z", 0), 0); /* and the rest */
    ck_assert_int_eq(read_number("SELECT count(*) FROM entry"), 1);
    storage_bench_expect(bench, "kept", "z");
    storage_bench_close(bench);
    remove_directory();
}
END_TEST

START_TEST(a_file_that_goes_away_is_made_anew) {
    make_directory();
    storage_bench_t *bench = storage_bench_open(&path_target);
    ck_assert_int_eq(storage_bench_set(bench, "k", "x", 0), 0);
    ck_assert_int_eq(remove(path), 0);
    ck_assert_int_eq(storage_bench_set(bench, "k", "y", 0), 0);
    expect_mode(path, 0600);
    ck_assert_uint_eq(mini_io_logged(bench->mini, "store.opened"), 2);
    storage_bench_close(bench);
    bench = storage_bench_open(&path_target);
    storage_bench_expect(bench, "k", "y"); /* what was acknowledged is where one looks for it */
    storage_bench_close(bench);
    remove_directory();
}
END_TEST

/* ---- several processes ---- */

static void add_and_exit(size_t count) {
    storage_bench_t *bench = storage_bench_open(&path_target);
    int status = 0;
    for (size_t i = 0; i < count; i++) {
        char key[32];
        (void)storage_bench_add(bench, "n", 1, 0, &status);
        ck_assert_int_eq(status, 0);
        (void)snprintf(key, sizeof(key), "%d:%zu", (int)getpid(), i);
        if (i % 10 == 0)
            ck_assert_int_eq(storage_bench_set(bench, key, "x", 0), 0);
    }
    storage_bench_close(bench);
    _exit(0);
}

/* All of them make the file at once, too. */
START_TEST(processes_that_add_to_one_file_lose_nothing) { /* _i: once more */
    enum { CHILD_COUNT = 3, CHILD_ADD_COUNT = 200 };
    pid_t children[CHILD_COUNT];
    int status = 0;
    make_directory();
    for (int i = 0; i < CHILD_COUNT; i++) {
        children[i] = fork_child();
        if (children[i] == 0)
            add_and_exit(CHILD_ADD_COUNT);
    }
    for (int i = 0; i < CHILD_COUNT; i++)
        expect_exit(children[i]);
    storage_bench_t *bench = storage_bench_open(&path_target);
    ck_assert_int_eq(storage_bench_add(bench, "n", 0, 0, &status), CHILD_COUNT * CHILD_ADD_COUNT);
    storage_bench_close(bench);
    ck_assert_int_eq(read_number("SELECT count(*) FROM entry"),
                     1 + CHILD_COUNT * CHILD_ADD_COUNT / 10);
    remove_directory();
}
END_TEST

START_TEST(two_storages_of_one_process_share_a_file) {
    make_directory();
    storage_bench_t *a = storage_bench_open(&path_target);
    storage_bench_t *b = storage_bench_open(&path_target);
    int status = 0;
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(storage_bench_add(a, "n", 1, 0, &status), 2 * i + 1);
        ck_assert_int_eq(storage_bench_add(b, "n", 1, 0, &status), 2 * i + 2);
    }
    storage_bench_close(a);
    ck_assert_int_eq(storage_bench_add(b, "n", 1, 0, &status), 101);
    storage_bench_close(b);
    remove_directory();
}
END_TEST

/* ---- kill -9 ---- */

typedef struct acknowledged {
    int fd;
    int64_t number;
} acknowledged_t;

static void on_acknowledged(int status, int64_t sum, void *user) {
    acknowledged_t *out = user;
    ck_assert_int_eq(status, 0);
    if (write(out->fd, &sum, sizeof(sum)) != (ssize_t)sizeof(sum))
        _exit(1);
}

/* Adds for ever, many at once, and tells each sum when it was acknowledged. */
static void add_until_killed(int fd) {
    storage_bench_t *bench = storage_bench_open(&path_target);
    acknowledged_t out = {.fd = fd};
    size_t done_count = 0;
    char *filler = calloc(1, 20000);
    ck_assert_ptr_nonnull(filler);
    for (;;) {
        size_t wanted = done_count + 5;
        for (int i = 0; i < 5; i++) {
            char key[16];
            (void)snprintf(key, sizeof(key), "filler:%d", i);
            ck_assert_int_eq(bench->driver->add(bench->self, "n", 1, 0, on_acknowledged, &out), 0);
            ck_assert_int_eq(
                bench->driver->set(bench->self, key, filler, 20000, 0, count_end, &done_count), 0);
        }
        ck_assert(mini_io_run_until(bench->mini, &done_count, wanted, WAIT_MS));
    }
}

START_TEST(what_was_acknowledged_survives_kill_9) { /* _i: later and later */
    int fds[2];
    int status = 0;
    int64_t last_sum = 0, sum = 0;
    make_directory();
    ck_assert_int_eq(pipe(fds), 0);
    pid_t child = fork_child();
    if (child == 0) {
        (void)close(fds[0]);
        add_until_killed(fds[1]);
    }
    (void)close(fds[1]);
    int64_t wanted = 1 + 37 * (int64_t)_i;
    while (last_sum < wanted && read(fds[0], &sum, sizeof(sum)) == (ssize_t)sizeof(sum))
        last_sum = sum;
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    while (read(fds[0], &sum, sizeof(sum)) == (ssize_t)sizeof(sum))
        last_sum = sum; /* what it could still tell counts, too */
    (void)close(fds[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    ck_assert_int_ge(last_sum, wanted);

    storage_bench_t *bench = storage_bench_open(&path_target);
    int64_t kept = storage_bench_add(bench, "n", 0, 0, &status);
    ck_assert_int_eq(status, 0);
    ck_assert_msg(kept >= last_sum, "%d were acknowledged, %d are there", (int)last_sum, (int)kept);
    ck_assert_int_eq(storage_bench_set(bench, "k", "goes on", 0), 0);
    ck_assert_uint_eq(mini_io_logged(bench->mini, "store.failed"), 0);
    storage_bench_close(bench);
    remove_directory();
}
END_TEST

/* ---- files that we must leave alone ---- */

static void write_file(const char *data, size_t size) {
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

static char *read_file(size_t *size) {
    static char data[1 << 20];
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    *size = fread(data, 1, sizeof(data), file);
    ck_assert_int_eq(fclose(file), 0);
    char *copy = malloc(*size + 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, *size);
    return copy;
}

static void make_text(void) {
    write_file("my tax return, not to be lost\n", 30);
}

static void make_byte(void) {
    write_file("x", 1);
}

static void make_zeros(void) {
    static const char zeros[8192];
    write_file(zeros, sizeof(zeros));
}

static void make_other_database(void) {
    run_sql("CREATE TABLE recipe (name TEXT); INSERT INTO recipe VALUES ('soup')");
}

static void make_other_wal_database(void) {
    run_sql("PRAGMA journal_mode = WAL; CREATE TABLE recipe (name TEXT)");
}

/* As a crash leaves it: tidying up is its owner's affair. */
static void make_other_with_wal(void) {
    pid_t child = fork_child();
    if (child == 0) {
        sqlite3 *db = NULL;
        ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
        ck_assert_int_eq(sqlite3_exec(db,
                                      "PRAGMA journal_mode = WAL; CREATE TABLE recipe (name TEXT);"
                                      "INSERT INTO recipe VALUES ('soup')",
                                      NULL, NULL, NULL),
                         SQLITE_OK);
        _exit(0);
    }
    expect_exit(child);
}

static void make_other_application(void) {
    run_sql("PRAGMA application_id = 7; PRAGMA user_version = 1");
}

static void make_other_version(void) {
    run_sql("PRAGMA user_version = 1");
}

static void make_ours(void) {
    storage_bench_t *bench = storage_bench_open(&path_target);
    char *value = calloc(1, 3000);
    char key[16];
    ck_assert_ptr_nonnull(value);
    for (int i = 0; i < 40; i++) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        ck_assert_int_eq(storage_bench_set_bytes(bench, key, value, 3000, 0), 0);
    }
    free(value);
    storage_bench_close(bench);
}

static void make_newer(void) {
    make_ours();
    run_sql("PRAGMA user_version = 2");
}

static void make_damaged(void) {
    size_t size = 0;
    make_ours();
    char *data = read_file(&size);
    ck_assert_uint_gt(size, 40000);
    for (size_t at = 5000; at < 30000; at++)
        data[at] = (char)(at * 31);
    write_file(data, size);
    free(data);
}

static void make_truncated(void) {
    size_t size = 0;
    make_ours();
    char *data = read_file(&size);
    write_file(data, size / 2);
    free(data);
}

static void make_without_table(void) {
    make_ours();
    run_sql("DROP TABLE entry");
}

static const struct {
    const char *name;
    void (*make)(void);
    const char *reason;
} foreign_cases[] = {
    {"text", make_text, "not a database"},
    {"one byte", make_byte, "not a database"},
    {"zeros", make_zeros, "not a database"},
    {"other database", make_other_database, "a database of another program"},
    {"other database in WAL mode", make_other_wal_database, "a database of another program"},
    {"other database with a WAL", make_other_with_wal, "a database of another program"},
    {"other application", make_other_application, "a database of another program"},
    {"other version", make_other_version, "a database of another program"},
    {"newer schema", make_newer, "made by a newer version"},
    {"damaged", make_damaged, "damaged"},
    {"truncated", make_truncated, "malformed"},
    {"without its table", make_without_table, "no such table"},
};

static void expect_all_fail(storage_bench_t *bench) {
    int status = 0;
    ck_assert_int_eq(storage_bench_set(bench, "k", "x", 0), IMAGINE_EIO);
    ck_assert_int_eq(storage_bench_get(bench, "k"), IMAGINE_EIO);
    ck_assert_int_eq(storage_bench_remove(bench, "k"), IMAGINE_EIO);
    (void)storage_bench_add(bench, "k", 1, 0, &status);
    ck_assert_int_eq(status, IMAGINE_EIO);
    ck_assert_ptr_null(storage_bench_list(bench, "", &status));
    ck_assert_int_eq(status, IMAGINE_EIO);
}

START_TEST(a_file_that_is_not_ours_is_refused_and_stays_as_it_is) { /* _i walks foreign_cases */
    size_t size_before = 0, size_after = 0;
    make_directory();
    foreign_cases[_i].make();
    char *before = read_file(&size_before);
    storage_bench_t *bench = storage_bench_open(&path_target);
    expect_all_fail(bench);
    ck_assert_msg(bench->mini->line_count == 1, "%s: %zu log lines", foreign_cases[_i].name,
                  bench->mini->line_count);
    ck_assert_msg(strncmp(bench->mini->lines[0], "0 store.failed driver=sqlite path=", 34) == 0 &&
                      strstr(bench->mini->lines[0], foreign_cases[_i].reason) != NULL,
                  "%s: %s", foreign_cases[_i].name, bench->mini->lines[0]);
    ck_assert_ptr_null(strpbrk(bench->mini->lines[0], "\n\t"));
    mini_io_advance(bench->mini, 6000); /* it looks again, and says nothing new */
    expect_all_fail(bench);
    ck_assert_uint_eq(bench->mini->line_count, 1);
    storage_bench_close(bench);
    char *after = read_file(&size_after);
    ck_assert_msg(size_before == size_after && memcmp(before, after, size_after) == 0,
                  "%s: the file was changed", foreign_cases[_i].name);
    free(before);
    free(after);
    remove_directory();
}
END_TEST

START_TEST(a_pipe_or_a_directory_is_no_file) {
    make_directory();
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(i == 0 ? mkfifo(path, 0600) : mkdir(path, 0700), 0);
        storage_bench_t *bench = storage_bench_open(&path_target);
        expect_all_fail(bench);
        ck_assert_uint_eq(mini_io_logged(bench->mini, "not a regular file"), 1);
        storage_bench_close(bench);
        ck_assert_int_eq(remove(path), 0);
    }
    remove_directory();
}
END_TEST

START_TEST(a_failed_opening_is_tried_again_later) {
    make_directory();
    make_text();
    storage_bench_t *bench = storage_bench_open(&path_target);
    expect_all_fail(bench);
    ck_assert_int_eq(remove(path), 0);
    ck_assert_int_eq(storage_bench_set(bench, "k", "x", 0), IMAGINE_EIO); /* not at once */
    mini_io_advance(bench->mini, 5000);
    ck_assert_int_eq(storage_bench_set(bench, "k", "x", 0), 0);
    storage_bench_expect(bench, "k", "x");
    ck_assert_uint_eq(mini_io_logged(bench->mini, "store.opened"), 1);
    storage_bench_close(bench);
    remove_directory();
}
END_TEST

START_TEST(closing_after_a_failed_opening_ends_everything) {
    make_directory();
    make_text();
    storage_bench_t *bench = storage_bench_open(&path_target);
    size_t end_count = 0;
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(bench->driver->remove(bench->self, "k", count_end, &end_count), 0);
    storage_bench_close(bench);
    ck_assert_uint_eq(end_count, 100);
    remove_directory();
}
END_TEST

/* ---- when the system says no ---- */

static void expect_refused(const char *reason) {
    storage_bench_t *bench = storage_bench_open(&path_target);
    expect_all_fail(bench);
    ck_assert_msg(mini_io_logged(bench->mini, reason) == 1, "%s instead of %s",
                  bench->mini->lines[0], reason);
    storage_bench_close(bench);
}

START_TEST(what_may_not_be_written_is_told) {
    make_directory();
    pid_t child = fork_child();
    if (child == 0) { /* the thread pool must not start before the fork below */
        make_ours();
        _exit(0);
    }
    expect_exit(child);
    ck_assert_int_eq(chmod(path, 0444), 0);
    ck_assert_int_eq(chmod(directory, 0755), 0);
    child = fork_child();
    if (child == 0) {
        if (geteuid() == 0) { /* root may write everywhere */
            ck_assert_int_eq(setgid(NOBODY), 0);
            ck_assert_int_eq(setuid(NOBODY), 0);
        } else {
            ck_assert_int_eq(chmod(directory, 0555), 0);
        }
        expect_refused("the file is read-only");
        (void)snprintf(path, sizeof(path), "%s/new.db", directory);
        expect_refused("cannot make the file: permission denied");
        (void)snprintf(path, sizeof(path), "%s/new/state.db", directory);
        expect_refused("cannot make the directory: permission denied");
        _exit(0);
    }
    expect_exit(child);
    ck_assert_int_eq(chmod(directory, 0700), 0);
    remove_directory();
}
END_TEST

static void limit_file_size(rlim_t size) {
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void fill_and_exit(void) {
    storage_bench_t *bench = storage_bench_open(&path_target);
    size_t size = 100000, stored_count = 0;
    int status = 0;
    char key[16];
    char *value = calloc(1, size);
    ck_assert_ptr_nonnull(value);
    ck_assert_ptr_ne(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    ck_assert_int_eq(storage_bench_set(bench, "before", "x", 0), 0);
    limit_file_size(1000000);
    while (status == 0 && stored_count < 100) {
        (void)snprintf(key, sizeof(key), "k%zu", stored_count);
        status = storage_bench_set_bytes(bench, key, value, size, 0);
        stored_count += status == 0;
    }
    ck_assert_int_eq(status, IMAGINE_EIO);
    ck_assert_uint_gt(stored_count, 0);
    (void)storage_bench_set_bytes(bench, key, value, size, 0);
    storage_bench_expect(bench, "before", "x");
    storage_bench_expect(bench, key, NULL); /* what failed did not happen */
    ck_assert_uint_eq(mini_io_logged(bench->mini, "0 store.failed"), 1);

    limit_file_size(RLIM_INFINITY);
    ck_assert_int_eq(storage_bench_set_bytes(bench, key, value, size, 0), 0);
    free(value);
    storage_bench_close(bench);

    bench = storage_bench_open(&path_target);
    storage_bench_expect(bench, "before", "x");
    ck_assert_int_eq(storage_bench_get(bench, key), 0);
    storage_bench_close(bench);
    _exit(0);
}

START_TEST(a_full_disk_fails_writes_but_not_reads_and_passes) {
    make_directory();
    pid_t child = fork_child();
    if (child == 0)
        fill_and_exit();
    expect_exit(child);
    ck_assert_int_eq(read_number("SELECT count(*) > 1 FROM entry"), 1);
    remove_directory();
}
END_TEST

START_TEST(while_another_process_writes_the_loop_goes_on) {
    sqlite3 *other = NULL;
    size_t end_count = 0;
    int status = 0;
    make_directory();
    storage_bench_t *bench = storage_bench_open(&path_target);
    ck_assert_int_eq(storage_bench_set(bench, "k", "x", 0), 0);
    ck_assert_int_eq(sqlite3_open(path, &other), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    uint64_t begin_ms = bench->io->now_ms(bench->io->context);
    ck_assert_int_eq(bench->driver->set(bench->self, "k", "y", 1, 0, count_end, &end_count), 0);
    for (int i = 0; i < 30; i++)
        mini_io_sleep(bench->mini, 10); /* each would take 5 s if the loop were blocked */
    ck_assert_uint_lt(bench->io->now_ms(bench->io->context) - begin_ms, 2500);
    ck_assert_uint_eq(end_count, 0);
    ck_assert_int_eq(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    ck_assert(mini_io_run_until(bench->mini, &end_count, 1, WAIT_MS));
    storage_bench_expect(bench, "k", "y");

    /* One that never ends: writes fail after a while, reads in the same batch do not. */
    ck_assert_int_eq(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    ck_assert_int_eq(storage_bench_set(bench, "k", "z", 0), IMAGINE_EIO);
    storage_bench_expect(bench, "k", "y");
    ck_assert_uint_eq(mini_io_logged(bench->mini, "database is locked"), 1);
    ck_assert_int_eq(sqlite3_close(other), SQLITE_OK);
    ck_assert_int_eq(storage_bench_add(bench, "n", 1, 0, &status), 1);
    storage_bench_close(bench);
    remove_directory();
}
END_TEST

typedef struct mixed {
    storage_bench_t *bench;
    int set_status;
    char value[8];
    size_t count;
} mixed_t;

static void on_mixed_set(int status, void *user) {
    mixed_t *mixed = user;
    mixed->set_status = status;
    mixed->count++;
}

static void on_mixed_get(int status, const void *value, size_t value_size, void *user) {
    mixed_t *mixed = user;
    ck_assert_int_eq(status, 0);
    ck_assert_uint_lt(value_size, sizeof(mixed->value));
    memcpy(mixed->value, value, value_size);
    mixed->count++;
}

START_TEST(a_read_beside_a_failed_write_sees_nothing_of_it) {
    sqlite3 *other = NULL;
    make_directory();
    storage_bench_t *bench = storage_bench_open(&path_target);
    mixed_t mixed = {.bench = bench};
    size_t end_count = 0;
    ck_assert_int_eq(storage_bench_set(bench, "k", "old", 0), 0);
    ck_assert_int_eq(sqlite3_open(path, &other), SQLITE_OK);
    /* A trigger stands for whatever makes the second write of a transaction fail. */
    ck_assert_int_eq(sqlite3_exec(other,
                                  "CREATE TRIGGER no BEFORE INSERT ON entry WHEN new.key = 'bad'"
                                  " BEGIN SELECT RAISE(ABORT, 'no'); END",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    ck_assert_int_eq(sqlite3_close(other), SQLITE_OK);
    /* The first keeps the worker busy, so that the others become one batch. */
    ck_assert_int_eq(bench->driver->remove(bench->self, "x", count_end, &end_count), 0);
    ck_assert_int_eq(bench->driver->set(bench->self, "k", "new", 3, 0, on_mixed_set, &mixed), 0);
    ck_assert_int_eq(bench->driver->get(bench->self, "k", on_mixed_get, &mixed), 0);
    ck_assert_int_eq(bench->driver->set(bench->self, "bad", "x", 1, 0, count_end, &end_count), 0);
    ck_assert(mini_io_run_until(bench->mini, &end_count, 2, WAIT_MS));
    ck_assert_uint_eq(mixed.count, 2);
    ck_assert_int_eq(mixed.set_status, IMAGINE_EIO);
    ck_assert_str_eq(mixed.value, "old");
    storage_bench_expect(bench, "k", "old");
    storage_bench_close(bench);
    remove_directory();
}
END_TEST

START_TEST(without_a_libuv_loop_it_does_not_start) {
    mini_io_t *mini = mini_io_open();
    storage_bench_t bench = {.mini = mini};
    imagine_io_t io = mini->io;
    void *self = NULL;
    size_t end_count = 0;
    io.loop = NULL;
    make_directory();
    open_path(&bench);
    const imagine_storage_driver_t *driver = imagine_storage_driver(bench.storage, &self);
    ck_assert_int_eq(driver->start(self, &io), IMAGINE_ENOTSUP);
    ck_assert_int_eq(driver->remove(self, "k", count_end, &end_count), IMAGINE_EINVAL);
    imagine_storage_close(bench.storage, NULL, NULL);
    mini_io_close(mini);
    ck_assert_int_ne(access(path, F_OK), 0); /* nothing was made */
    remove_directory();
}
END_TEST

START_TEST(a_relative_path_stays_where_it_was_meant) {
    char before[256];
    make_directory();
    ck_assert_ptr_nonnull(getcwd(before, sizeof(before)));
    ck_assert_int_eq(chdir(directory), 0);
    imagine_storage_t *storage = NULL;
    ck_assert_int_eq(imagine_storage_open(&storage, "sqlite:state.db", NULL), 0);
    ck_assert_int_eq(chdir(before), 0);
    mini_io_t *mini = mini_io_open();
    void *self = NULL;
    size_t end_count = 0;
    const imagine_storage_driver_t *driver = imagine_storage_driver(storage, &self);
    ck_assert_int_eq(driver->start(self, &mini->io), 0);
    ck_assert_int_eq(driver->set(self, "k", "x", 1, 0, count_end, &end_count), 0);
    imagine_storage_close(storage, NULL, NULL);
    mini_io_close(mini);
    ck_assert_uint_eq(end_count, 1);
    ck_assert_int_eq(read_number("SELECT count(*) FROM entry"), 1);
    remove_directory();
}
END_TEST

/* ---- memory that runs out ---- */

static failing_mem_t failing;

static void open_failing(storage_bench_t *bench) {
    char url[256];
    make_directory();
    (void)snprintf(url, sizeof(url), "sqlite:%s", path);
    ck_assert_int_eq(imi_storage_open(&failing.mem, &bench->storage, url, NULL), 0);
}

/* False when there is no such allocation. */
static bool ask_all(size_t fail_at, bool is_lasting) {
    static const storage_target_t target = {
        .name = "sqlite without memory", .open = open_failing, .close = close_fresh};
    failing_mem_init(&failing, 0);
    storage_bench_t *bench = storage_bench_open(&target);
    int list_status = 0, add_status = 0;
    ck_assert_int_eq(storage_bench_set(bench, "n", "41", 0), 0);
    run_sql("WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number"
            " WHERE n < 300) INSERT INTO entry SELECT 'key-' || n, '', 9223372036854775807"
            " FROM number"); /* more than a page of a list */
    failing.request_count = 0;
    failing.fail_at = fail_at;
    failing.is_lasting = is_lasting;
    int64_t sum = storage_bench_add(bench, "n", 1, 0, &add_status);
    int set_status = storage_bench_set(bench, "k", "x", 0);
    int get_status = storage_bench_get(bench, "k");
    char *keys = storage_bench_list(bench, "", &list_status);
    failing.fail_at = 0;
    ck_assert(add_status == 0 ? sum == 42 : add_status == IMAGINE_ENOMEM);
    ck_assert(set_status == 0 || set_status == IMAGINE_ENOMEM);
    ck_assert(get_status == (set_status == 0 ? 0 : IMAGINE_ENOTFOUND) ||
              get_status == IMAGINE_ENOMEM);
    ck_assert(list_status == 0 || list_status == IMAGINE_ENOMEM);
    ck_assert(failing.has_failed == (add_status == IMAGINE_ENOMEM || set_status == IMAGINE_ENOMEM ||
                                     get_status == IMAGINE_ENOMEM ||
                                     list_status == IMAGINE_ENOMEM));
    free(keys);
    storage_bench_expect(bench, "n", add_status == 0 ? "42" : "41");
    storage_bench_expect(bench, "k", set_status == 0 ? "x" : NULL);
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

static Suite *sqlite_suite(void) {
    Suite *suite = suite_create("storage/sqlite");
    TCase *tests = tcase_create("sqlite");
    suite_add_tcase(suite, storage_conformance(&fresh_target, 1));
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, file_and_directories_are_made_for_us_alone);
    tcase_add_test(tests, what_was_set_is_there_after_opening_again);
    tcase_add_test(tests, what_waits_is_written_before_closing_ends);
    tcase_add_test(tests, expired_rows_leave_the_file_beside_a_write);
    tcase_add_test(tests, a_file_that_goes_away_is_made_anew);
    tcase_add_loop_test(tests, processes_that_add_to_one_file_lose_nothing, 0, 5);
    tcase_add_test(tests, two_storages_of_one_process_share_a_file);
    tcase_add_loop_test(tests, what_was_acknowledged_survives_kill_9, 0, 8);
    tcase_add_loop_test(tests, a_file_that_is_not_ours_is_refused_and_stays_as_it_is, 0,
                        (int)(sizeof(foreign_cases) / sizeof(foreign_cases[0])));
    tcase_add_test(tests, a_pipe_or_a_directory_is_no_file);
    tcase_add_test(tests, a_failed_opening_is_tried_again_later);
    tcase_add_test(tests, closing_after_a_failed_opening_ends_everything);
    tcase_add_test(tests, what_may_not_be_written_is_told);
    tcase_add_test(tests, a_full_disk_fails_writes_but_not_reads_and_passes);
    tcase_add_test(tests, while_another_process_writes_the_loop_goes_on);
    tcase_add_test(tests, a_read_beside_a_failed_write_sees_nothing_of_it);
    tcase_add_test(tests, without_a_libuv_loop_it_does_not_start);
    tcase_add_test(tests, a_relative_path_stays_where_it_was_meant);
    tcase_add_loop_test(tests, every_failing_allocation_is_told_and_changes_nothing, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}

IMI_CHECK_MAIN(sqlite_suite)
