/* sqlite.c: "sqlite:/path/state.db", a storage in one file, shared by the processes of one machine.
 *
 * SQLite blocks, so the loop's thread never calls it. At most one job at a time runs on libuv's
 * thread pool and performs what waits, in order, in one transaction:
 *
 *   loop's thread:  queue --(no job is busy)--> batch             call back, start the next job
 *   worker:                                       open if need be, perform, commit
 *
 * While a job is busy the batch and what stands below it belong to the worker, else to the loop's
 * thread. Opening is the first job, so start returns at once. When it fails everything ends with
 * IMAGINE_EIO, until a job that comes RETRY_MS later succeeds.
 *
 * What was acknowledged survives kill -9; sqlite_file.c says what a loss of power does. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <uv.h>

#include "storage/drivers.h"
#include "storage/queue.h"
#include "storage/sqlite_file.h"
#include "wire/str.h"

#define RETRY_MS 5000
/* The log says a cause once in this time, however many operations fail. */
#define LOG_REPEAT_MS (10 * 60 * 1000)
#define LOG_SIZE 1024
/* So much goes into one transaction, which keeps other processes from writing while it lasts; and a
 * job comes back early when it has so many bytes to hand over. */
#define BATCH_COUNT_MAX 4096
#define BATCH_SIZE_MAX (8u * 1024 * 1024)
#define PAGE_COUNT 256 /* entries per call of a list's callback */
/* Expired rows are invisible at once and leave the file beside a write: so often, so many. */
#define PURGE_INTERVAL_MS 60000
#define PURGE_COUNT_MAX 1000

enum { BEGIN_READ, BEGIN_WRITE, COMMIT, GET, SET, REMOVE, LIST, PURGE, STATEMENT_COUNT };

static const char *const statement_sql[STATEMENT_COUNT] = {
    [BEGIN_READ] = "BEGIN",
    /* At once: a reader that turns into a writer may find that another process was quicker. */
    [BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [GET] = "SELECT value, expires_unix_ms FROM entry WHERE key = ?1 AND expires_unix_ms > ?2",
    [SET] = "INSERT INTO entry (key, value, expires_unix_ms) VALUES (?1, ?2, ?3)"
            " ON CONFLICT (key) DO UPDATE"
            " SET value = excluded.value, expires_unix_ms = excluded.expires_unix_ms",
    [REMOVE] = "DELETE FROM entry WHERE key = ?1",
    [LIST] = "SELECT key, value FROM entry WHERE key >= ?1 AND key < ?2 AND expires_unix_ms > ?3"
             " ORDER BY key",
    [PURGE] = "DELETE FROM entry WHERE rowid IN (SELECT rowid FROM entry"
              " WHERE expires_unix_ms <= ?1 AND expires_unix_ms < 9223372036854775807"
              " LIMIT ?2)",
};

typedef struct sqlite {
    imi_storage_queue_t queue; /* first, see queue.h */
    uv_work_t job;
    bool is_busy;                        /* from before the job until after its callbacks */
    char logged[IMI_SQLITE_REASON_SIZE]; /* the last cause that the log was told */
    uint64_t logged_at_ms;

    imi_list_t batch;   /* what the job performs; the rest of it is the next job's */
    bool is_last_job;   /* nothing is left but to close the file */
    bool is_closing;    /* queue.is_closing when the job started */
    uint64_t now_ms;    /* likewise */
    bool was_opened;    /* by this job */
    size_t answer_size; /* of this job */
    char reason[IMI_SQLITE_REASON_SIZE]; /* what went wrong in this job; "": nothing */
    sqlite3 *db;                         /* NULL: not open (yet) */
    sqlite3_stmt *statements[STATEMENT_COUNT];
    bool has_failed; /* to open */
    uint64_t failed_at_ms;
    uint64_t purged_at_ms;
    /* Where the list in front of the batch goes on; "": at its prefix. The job proposes, the loop's
     * thread takes over what was delivered. */
    char cursor[IMAGINE_STORAGE_KEY_SIZE_MAX + 1];
    char next_cursor[IMAGINE_STORAGE_KEY_SIZE_MAX + 1];
    char path[];
} sqlite_t;

static int wake(imi_storage_queue_t *queue);
static void start_job(sqlite_t *sqlite);
static void work(uv_work_t *job);
static void on_worked(uv_work_t *job, int status);
static void finish(sqlite_t *sqlite);

/* ---- the driver ---- */

static int sqlite_start(void *self, const imagine_io_t *io) {
    sqlite_t *sqlite = self;
    if (io == NULL || io->loop == NULL || io->now_ms == NULL || io->unix_ms == NULL ||
        sqlite3_threadsafe() == 0)
        return IMAGINE_ENOTSUP;
    sqlite->queue.io = io;
    start_job(sqlite);
    return 0;
}

static void sqlite_close(void *self, imagine_closed_cb closed, void *user) {
    sqlite_t *sqlite = self;
    sqlite->queue.is_closing = true;
    sqlite->queue.closed = closed;
    sqlite->queue.closed_user = user;
    if (sqlite->queue.io == NULL) {
        finish(sqlite);
    } else if (!sqlite->is_busy) {
        sqlite->is_last_job = true;
        start_job(sqlite);
    }
}

static const imagine_storage_driver_t sqlite_driver = {
    .size = sizeof(imagine_storage_driver_t),
    .name = "sqlite",
    .flags = IMAGINE_STORAGE_IS_SHARED | IMAGINE_STORAGE_IS_ATOMIC,
    .start = sqlite_start,
    .get = imi_storage_queue_get,
    .set = imi_storage_queue_set,
    .remove = imi_storage_queue_remove,
    .add = imi_storage_queue_add,
    .list = imi_storage_queue_list,
    .close = sqlite_close,
    .swap = imi_storage_queue_swap,
};

static const char *fault_of(const char *path) {
    size_t size = strnlen(path, IMI_SQLITE_PATH_SIZE_MAX + 1);
    if (size == 0 || path[size - 1] == '/')
        return "sqlite: needs the path of a file";
    if (size > IMI_SQLITE_PATH_SIZE_MAX)
        return "sqlite: the path is too long";
    if (strcmp(path, ":memory:") == 0)
        return "sqlite: needs a file; for none, the address is memory:";
    if (path[0] == '/' && path[1] == '/' && path[2] != '/')
        return "sqlite: takes a path but no host, as sqlite:/path/state.db";
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)path[i] < 0x20 || path[i] == 0x7f)
            return "sqlite: a control character in the path";
    return NULL;
}

int imi_sqlite_open(const imi_mem_t *mem, const char *url,
                    const imagine_storage_driver_t **out_driver, void **out_self,
                    const char **out_reason) {
    const char *path = url + strlen("sqlite:");
    const char *fault = fault_of(path);
    /* A relative path means today's directory, whenever the file is opened (again). */
    char directory[IMI_SQLITE_PATH_SIZE_MAX + 1] = "";
    if (fault == NULL && path[0] != '/' && getcwd(directory, sizeof(directory)) == NULL)
        fault = "sqlite: the working directory cannot be told; give the whole path";
    size_t directory_size = strlen(directory);
    size_t path_size = strnlen(path, IMI_SQLITE_PATH_SIZE_MAX);
    if (fault == NULL && directory_size + 1 + path_size > IMI_SQLITE_PATH_SIZE_MAX)
        fault = "sqlite: the path is too long";
    if (fault != NULL) {
        *out_reason = fault;
        return IMAGINE_EINVAL;
    }

    sqlite_t *sqlite = imi_mem_zalloc(mem, sizeof(*sqlite) + directory_size + 1 + path_size + 1);
    if (sqlite == NULL)
        return IMAGINE_ENOMEM;
    if (path[0] != '/') {
        memcpy(sqlite->path, directory, directory_size);
        sqlite->path[directory_size++] = '/';
    }
    memcpy(sqlite->path + directory_size, path, path_size);
    imi_storage_queue_init(&sqlite->queue, mem, wake);
    imi_list_init(&sqlite->batch);
    sqlite->job.data = sqlite;
    *out_driver = &sqlite_driver;
    *out_self = sqlite;
    return 0;
}

/* ---- on the loop's thread ---- */

static int wake(imi_storage_queue_t *queue) {
    sqlite_t *sqlite = (sqlite_t *)queue;
    if (!sqlite->is_busy)
        start_job(sqlite);
    return 0;
}

static imi_storage_operation_t *operation_of(imi_list_t *node) {
    return IMI_CONTAINER(node, imi_storage_operation_t, node);
}

static void fill_batch(sqlite_t *sqlite) {
    size_t count = 0, size = 0;
    imi_storage_operation_t *operation = NULL;
    while (count < BATCH_COUNT_MAX && size < BATCH_SIZE_MAX &&
           (operation = imi_storage_queue_pop(&sqlite->queue)) != NULL) {
        imi_list_append(&sqlite->batch, &operation->node);
        count++;
        size += operation->value_size;
    }
}

static void start_job(sqlite_t *sqlite) {
    const imagine_io_t *io = sqlite->queue.io;
    if (imi_list_is_empty(&sqlite->batch))
        fill_batch(sqlite);
    sqlite->is_busy = true;
    sqlite->is_closing = sqlite->queue.is_closing;
    sqlite->now_ms = io->now_ms(io->context);
    /* Fails only without a function to run. */
    (void)uv_queue_work(io->loop, &sqlite->job, work, on_worked);
}

static void log_line(const sqlite_t *sqlite, int32_t level, const char *event, const char *reason) {
    const imagine_io_t *io = sqlite->queue.io;
    char line[LOG_SIZE], said[IMI_SQLITE_REASON_SIZE];
    if (io->log == NULL)
        return;
    (void)snprintf(said, sizeof(said), "%s", reason == NULL ? "" : reason);
    imi_text_make_quotable(said); /* a look for damage has several lines to say */
    (void)snprintf(line, sizeof(line), "%s driver=sqlite path=\"%s\"%s%s%s", event, sqlite->path,
                   reason == NULL ? "" : " reason=\"", said, reason == NULL ? "" : "\"");
    io->log(io->context, level, line);
}

static void log_job(sqlite_t *sqlite) {
    bool is_news = strcmp(sqlite->reason, sqlite->logged) != 0 ||
                   sqlite->now_ms - sqlite->logged_at_ms >= LOG_REPEAT_MS;
    if (sqlite->reason[0] != '\0' && is_news) {
        memcpy(sqlite->logged, sqlite->reason, sizeof(sqlite->logged));
        sqlite->logged_at_ms = sqlite->now_ms;
        log_line(sqlite, IMAGINE_LOG_ERROR, "store.failed", sqlite->reason);
    }
    if (sqlite->was_opened)
        log_line(sqlite, IMAGINE_LOG_INFO, "store.opened", NULL);
}

static void on_worked(uv_work_t *job, int status) {
    sqlite_t *sqlite = job->data;
    (void)status; /* only a job that somebody cancels has one */
    log_job(sqlite);
    while (!imi_list_is_empty(&sqlite->batch) && operation_of(sqlite->batch.next)->is_done) {
        imi_storage_operation_t *operation = operation_of(sqlite->batch.next);
        if (operation->kind == IMI_STORAGE_LIST)
            sqlite->cursor[0] = '\0';
        imi_list_remove(&operation->node);
        imi_storage_operation_end(operation);
    }
    if (!imi_list_is_empty(&sqlite->batch) && operation_of(sqlite->batch.next)->entry_count > 0) {
        memcpy(sqlite->cursor, sqlite->next_cursor, sizeof(sqlite->cursor));
        imi_storage_operation_deliver(operation_of(sqlite->batch.next));
    }
    sqlite->is_busy = false;

    if (sqlite->is_last_job) {
        finish(sqlite);
    } else if (!imi_list_is_empty(&sqlite->batch) || sqlite->queue.count > 0) {
        start_job(sqlite);
    } else if (sqlite->queue.is_closing) {
        sqlite->is_last_job = true;
        start_job(sqlite);
    }
}

static void finish(sqlite_t *sqlite) {
    imagine_closed_cb closed = sqlite->queue.closed;
    void *user = sqlite->queue.closed_user;
    imi_mem_free(sqlite->queue.mem, sqlite);
    if (closed != NULL)
        closed(user);
}

/* ---- on the worker: the file ---- */

static void close_file(sqlite_t *sqlite) {
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        (void)sqlite3_finalize(sqlite->statements[i]);
        sqlite->statements[i] = NULL;
    }
    imi_sqlite_file_close(sqlite->db);
    sqlite->db = NULL;
}

/* Keeps the first cause in a job: the others follow from it. */
static int fail(sqlite_t *sqlite, int rc, const char *step) {
    if (sqlite->reason[0] == '\0')
        (void)snprintf(sqlite->reason, sizeof(sqlite->reason), "%s: %s (sqlite %d)", step,
                       sqlite3_errmsg(sqlite->db), sqlite3_extended_errcode(sqlite->db));
    return (rc & 0xff) == SQLITE_NOMEM ? IMAGINE_ENOMEM : IMAGINE_EIO;
}

static int open_file(sqlite_t *sqlite) {
    if (sqlite->has_failed && sqlite->now_ms - sqlite->failed_at_ms < RETRY_MS)
        return IMAGINE_EIO;
    int err = imi_sqlite_file_open(sqlite->path, &sqlite->db, sqlite->reason);
    for (int i = 0; err == 0 && i < STATEMENT_COUNT; i++) {
        int rc = sqlite3_prepare_v3(sqlite->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                                    &sqlite->statements[i], NULL);
        if (rc != SQLITE_OK)
            err = fail(sqlite, rc, "cannot use its tables");
    }
    if (err != 0)
        close_file(sqlite);
    sqlite->was_opened = err == 0;
    sqlite->has_failed = err != 0;
    sqlite->failed_at_ms = sqlite->now_ms;
    return err;
}

/* ---- on the worker: the operations ----
 *
 * Each gives SQLite's code; the operation's own status (a value that is no number …) is beside it
 * and no reason to give the transaction up. */

static sqlite3_stmt *bind_key(sqlite_t *sqlite, int which, const char *key, size_t key_size) {
    sqlite3_stmt *statement = sqlite->statements[which];
    /* STATIC: the text outlives the step. Binding it cannot fail: the index is right and the
     * statement is reset. */
    (void)sqlite3_bind_text(statement, 1, key, (int)key_size, SQLITE_STATIC);
    return statement;
}

static int finish_step(sqlite3_stmt *statement) {
    int rc = sqlite3_step(statement);
    (void)sqlite3_reset(statement);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int put(sqlite_t *sqlite, imi_storage_operation_t *operation, const void *value,
               size_t value_size, int64_t expires_unix_ms) {
    sqlite3_stmt *statement = bind_key(sqlite, SET, operation->key, operation->key_size);
    (void)sqlite3_bind_blob(statement, 2, value, (int)value_size, SQLITE_STATIC);
    (void)sqlite3_bind_int64(statement, 3, expires_unix_ms);
    return finish_step(statement);
}

static int get(sqlite_t *sqlite, imi_storage_operation_t *operation) {
    sqlite3_stmt *statement = bind_key(sqlite, GET, operation->key, operation->key_size);
    (void)sqlite3_bind_int64(statement, 2, operation->asked_unix_ms);
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_DONE) {
        operation->status = IMAGINE_ENOTFOUND;
        rc = SQLITE_OK;
    } else if (rc == SQLITE_ROW) {
        const void *value = sqlite3_column_blob(statement, 0);
        size_t size = (size_t)sqlite3_column_bytes(statement, 0);
        void *copy = imi_arena_alloc(&operation->answer, size + 1);
        if (copy == NULL || (value == NULL && size > 0)) {
            operation->status = IMAGINE_ENOMEM;
        } else {
            if (size > 0)
                memcpy(copy, value, size);
            operation->value = copy;
            operation->value_size = size;
            sqlite->answer_size += size;
        }
        rc = SQLITE_OK;
    }
    (void)sqlite3_reset(statement);
    operation->is_done = true;
    return rc;
}

static int add(sqlite_t *sqlite, imi_storage_operation_t *operation) {
    sqlite3_stmt *statement = bind_key(sqlite, GET, operation->key, operation->key_size);
    (void)sqlite3_bind_int64(statement, 2, operation->asked_unix_ms);
    int64_t expires_unix_ms = operation->expires_unix_ms;
    char text[IMI_STORAGE_NUMBER_SIZE];
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        const void *value = sqlite3_column_blob(statement, 0);
        operation->status =
            imi_storage_sum(value == NULL ? "" : value, (size_t)sqlite3_column_bytes(statement, 0),
                            operation->amount, &operation->amount);
        expires_unix_ms = sqlite3_column_int64(statement, 1);
    }
    (void)sqlite3_reset(statement);
    operation->is_done = true;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return rc;
    if (operation->status != 0)
        return SQLITE_OK;
    return put(sqlite, operation, text, imi_storage_format(text, operation->amount),
               expires_unix_ms);
}

static int swap(sqlite_t *sqlite, imi_storage_operation_t *operation) {
    sqlite3_stmt *statement = bind_key(sqlite, GET, operation->key, operation->key_size);
    (void)sqlite3_bind_int64(statement, 2, operation->asked_unix_ms);
    int rc = sqlite3_step(statement);
    const void *value = rc == SQLITE_ROW ? sqlite3_column_blob(statement, 0) : NULL;
    if (rc == SQLITE_ROW && value == NULL)
        value = ""; /* no bytes */
    if (!imi_storage_is_expected(operation, value,
                                 rc == SQLITE_ROW ? (size_t)sqlite3_column_bytes(statement, 0) : 0))
        operation->status = IMAGINE_ENOTFOUND;
    (void)sqlite3_reset(statement);
    operation->is_done = true;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return rc;
    if (operation->status != 0)
        return SQLITE_OK;
    if (operation->is_removal)
        return finish_step(bind_key(sqlite, REMOVE, operation->key, operation->key_size));
    return put(sqlite, operation, operation->value, operation->value_size,
               operation->expires_unix_ms);
}

/* Takes the row into the page; false when memory is out. */
static bool take_row(sqlite_t *sqlite, imi_storage_operation_t *operation, const char *key,
                     sqlite3_stmt *row) {
    const void *value = sqlite3_column_blob(row, 1);
    size_t size = (size_t)sqlite3_column_bytes(row, 1);
    char *copy = imi_arena_alloc(&operation->answer, size + 1);
    char *key_copy = imi_arena_strdup(&operation->answer, key);
    if (operation->entries == NULL)
        operation->entries =
            imi_arena_alloc(&operation->answer, PAGE_COUNT * sizeof(*operation->entries));
    if (copy == NULL || key_copy == NULL || operation->entries == NULL ||
        (value == NULL && size > 0))
        return false;
    if (size > 0)
        memcpy(copy, value, size);
    operation->entries[operation->entry_count++] =
        (imagine_storage_entry_t){.key = key_copy, .value = copy, .value_size = size};
    sqlite->answer_size += size;
    return true;
}

/* One page, from the cursor on. Not done when there is more: then it stays in front of the batch,
 * and nothing that was asked for later can overtake it. */
static int list(sqlite_t *sqlite, imi_storage_operation_t *operation, bool is_first) {
    /* The end of the range: the prefix with its last byte one higher (no byte of UTF-8 is 0xff), or
     * what is above all UTF-8. Compared byte by byte, so nothing in a prefix is special. */
    char end[IMAGINE_STORAGE_KEY_SIZE_MAX + 1] = "\xff";
    size_t end_size = operation->key_size == 0 ? 1 : operation->key_size;
    if (operation->key_size > 0) {
        memcpy(end, operation->key, operation->key_size);
        end[end_size - 1] = (char)((unsigned char)end[end_size - 1] + 1);
    }
    bool goes_on = is_first && sqlite->cursor[0] != '\0';
    const char *from = goes_on ? sqlite->cursor : operation->key;
    sqlite3_stmt *statement = bind_key(sqlite, LIST, from, strlen(from));
    (void)sqlite3_bind_text(statement, 2, end, (int)end_size, SQLITE_STATIC);
    (void)sqlite3_bind_int64(statement, 3, operation->asked_unix_ms);
    operation->is_done = true;
    int rc = SQLITE_OK;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *key = (const char *)sqlite3_column_text(statement, 0);
        size_t key_size = (size_t)sqlite3_column_bytes(statement, 0);
        if (key != NULL && (key_size >= sizeof(sqlite->next_cursor) || strlen(key) != key_size))
            continue; /* not written by us: no key of ours is like that */
        if (key != NULL &&
            (operation->entry_count == PAGE_COUNT ||
             (operation->entry_count > 0 && sqlite->answer_size >= BATCH_SIZE_MAX))) {
            memcpy(sqlite->next_cursor, key, key_size + 1);
            operation->is_done = false;
            break;
        }
        if (key == NULL || !take_row(sqlite, operation, key, statement)) {
            operation->status = IMAGINE_ENOMEM;
            break;
        }
    }
    (void)sqlite3_reset(statement);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int perform(sqlite_t *sqlite, imi_storage_operation_t *operation) {
    switch (operation->kind) {
    case IMI_STORAGE_GET:
        return get(sqlite, operation);
    case IMI_STORAGE_SET:
        operation->is_done = true;
        return put(sqlite, operation, operation->value, operation->value_size,
                   operation->expires_unix_ms);
    case IMI_STORAGE_REMOVE:
        operation->is_done = true;
        return finish_step(bind_key(sqlite, REMOVE, operation->key, operation->key_size));
    case IMI_STORAGE_ADD:
        return add(sqlite, operation);
    case IMI_STORAGE_SWAP:
        return swap(sqlite, operation);
    default:
        if (sqlite->is_closing) { /* a list may be long, and closing should not be */
            operation->status = IMAGINE_ECLOSED;
            operation->is_done = true;
            return SQLITE_OK;
        }
        return list(sqlite, operation, &operation->node == sqlite->batch.next);
    }
}

/* ---- on the worker: the transaction ---- */

static bool is_write(const imi_storage_operation_t *operation) {
    return operation->kind == IMI_STORAGE_SET || operation->kind == IMI_STORAGE_REMOVE ||
           operation->kind == IMI_STORAGE_ADD || operation->kind == IMI_STORAGE_SWAP;
}

static int purge(sqlite_t *sqlite, int64_t now_unix_ms) {
    if (sqlite->purged_at_ms != 0 && sqlite->now_ms - sqlite->purged_at_ms < PURGE_INTERVAL_MS)
        return SQLITE_OK;
    sqlite->purged_at_ms = sqlite->now_ms;
    sqlite3_stmt *statement = sqlite->statements[PURGE];
    (void)sqlite3_bind_int64(statement, 1, now_unix_ms);
    (void)sqlite3_bind_int64(statement, 2, PURGE_COUNT_MAX);
    int rc = finish_step(statement);
    if (rc == SQLITE_OK && sqlite3_changes(sqlite->db) == PURGE_COUNT_MAX)
        sqlite->purged_at_ms = 0; /* there may be more: go on beside the next write */
    return rc;
}

/* What is not done yet, as far as this job goes. A read that fails is its own affair; a write that
 * fails takes the transaction with it: 0 or the status for all writes. */
static int run_transaction(sqlite_t *sqlite, bool has_writes) {
    sqlite3 *db = sqlite->db;
    int64_t now_unix_ms = 0;
    sqlite->answer_size = 0;
    int rc = finish_step(sqlite->statements[has_writes ? BEGIN_WRITE : BEGIN_READ]);
    if (rc != SQLITE_OK)
        return fail(sqlite, rc, "cannot begin");
    for (imi_list_t *node = sqlite->batch.next; node != &sqlite->batch; node = node->next) {
        imi_storage_operation_t *operation = operation_of(node);
        if (operation->is_done)
            continue;
        now_unix_ms = operation->asked_unix_ms;
        rc = perform(sqlite, operation);
        if (rc != SQLITE_OK) {
            operation->status =
                fail(sqlite, rc, is_write(operation) ? "cannot write" : "cannot read");
            /* After a grave error SQLite has rolled back already. */
            if (is_write(operation) || sqlite3_get_autocommit(db) != 0)
                return operation->status;
        }
        if (!operation->is_done || sqlite->answer_size >= BATCH_SIZE_MAX)
            break;
    }
    if (has_writes) {
        rc = purge(sqlite, now_unix_ms);
        if (rc != SQLITE_OK)
            return fail(sqlite, rc, "cannot purge");
    }
    rc = finish_step(sqlite->statements[COMMIT]);
    return rc == SQLITE_OK ? 0 : fail(sqlite, rc, "cannot commit");
}

static void roll_back(sqlite_t *sqlite) {
    if (sqlite->db != NULL && sqlite3_get_autocommit(sqlite->db) == 0)
        (void)sqlite3_exec(sqlite->db, "ROLLBACK", NULL, NULL, NULL);
}

/* Forgets what the transaction answered and ends its writes, or everything, with `status`. */
static void fail_batch(sqlite_t *sqlite, int status, bool with_reads) {
    for (imi_list_t *node = sqlite->batch.next; node != &sqlite->batch; node = node->next) {
        imi_storage_operation_t *operation = operation_of(node);
        imi_storage_operation_clear(operation);
        if (!with_reads && !is_write(operation))
            continue;
        operation->status = status;
        operation->is_done = true;
    }
}

static void perform_batch(sqlite_t *sqlite, bool has_writes) {
    int err = run_transaction(sqlite, has_writes);
    if (err == 0)
        return;
    roll_back(sqlite);
    fail_batch(sqlite, err, !has_writes);
    if (!has_writes)
        return;
    /* A full disk or a file that another process keeps does not keep us from reading; and what is
     * read now has seen nothing of what failed. */
    err = run_transaction(sqlite, false);
    if (err == 0)
        return;
    roll_back(sqlite);
    fail_batch(sqlite, err, true);
}

static void work(uv_work_t *job) {
    sqlite_t *sqlite = job->data;
    bool has_writes = false;
    int err = 0;
    sqlite->reason[0] = '\0';
    sqlite->was_opened = false;
    if (sqlite->is_last_job) {
        close_file(sqlite);
        return;
    }
    for (imi_list_t *node = sqlite->batch.next; node != &sqlite->batch; node = node->next)
        has_writes = has_writes || (is_write(operation_of(node)) && !operation_of(node)->is_done);
    if (sqlite->db != NULL && has_writes && imi_sqlite_file_has_moved(sqlite->db))
        close_file(sqlite);
    if (sqlite->db == NULL)
        err = open_file(sqlite);
    if (err != 0)
        fail_batch(sqlite, err, true);
    else if (!imi_list_is_empty(&sqlite->batch))
        perform_batch(sqlite, has_writes);
}
