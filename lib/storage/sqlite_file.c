/* sqlite_file.c: open the state file, in this order:
 *
 *   1. directories, then an empty file, if they are missing
 *   2. whose is it? Ours carries APPLICATION_ID; an empty one becomes ours; any other is refused
 *      before a byte of it changes
 *   3. WAL mode; the tables, if they are missing; a look for damage
 *
 * How safe is what was acknowledged? In WAL mode a commit has left the process when it returns, so
 * it survives kill -9. With synchronous=NORMAL it is not yet on the disk then: when the machine
 * loses power the last commits may be gone, but the file is never broken. That is the right price
 * here: state that is lost is found out again from the providers.
 *
 * Several processes may do all this at once: SQLite's locks order them. */
#include "storage/sqlite_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "imagine.h"

#define APPLICATION_ID 0x494d4149             /* "IMAI", in the file's header; file(1) shows it */
#define SCHEMA_VERSION 1                      /* a higher one in the file is a newer library's */
#define BUSY_MAX_MS 5000                      /* how long a transaction waits for other processes */
#define CHECKED_SIZE_MAX (64ll * 1024 * 1024) /* a check reads it all: about 0.1 s at this size */
/* Switching to WAL and recovering after a crash can find the file busy without SQLite's own wait,
 * as waiting could be a deadlock: so the whole opening is tried again, for 3 s and more. */
#define OPEN_ATTEMPTS_MAX 30
#define OPEN_PAUSE_MS 100

static const char schema_sql[] =
    "CREATE TABLE entry (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL,"
    " expires_unix_ms INTEGER NOT NULL);" /* the largest integer: never */
    "CREATE INDEX entry_expiry ON entry (expires_unix_ms)"
    " WHERE expires_unix_ms < 9223372036854775807;"
    "PRAGMA application_id = 1229799753;" /* APPLICATION_ID */
    "PRAGMA user_version = 1;";           /* SCHEMA_VERSION */

static int make_directories(const char *path, char *reason);
static int make_file(const char *path, char *reason);
static int prepare_file(sqlite3 *db, char *reason);

int imi_sqlite_file_open(const char *path, sqlite3 **out, char reason[IMI_SQLITE_REASON_SIZE]) {
    *out = NULL;
    int err = make_directories(path, reason);
    if (err == 0)
        err = make_file(path, reason);
    if (err != 0)
        return err;

    for (int attempt = 1;; attempt++) {
        sqlite3 *db = NULL;
        /* No SQLITE_OPEN_CREATE: a file made by SQLite would be readable for everybody. One thread
         * at a time uses it, which is what NOMUTEX asks for. */
        int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
        if (rc == SQLITE_OK)
            rc = prepare_file(db, reason);
        else
            (void)snprintf(reason, IMI_SQLITE_REASON_SIZE, "%s", sqlite3_errstr(rc));
        if (rc == SQLITE_OK) {
            sqlite3_busy_timeout(db, BUSY_MAX_MS);
            *out = db;
            return 0;
        }
        imi_sqlite_file_close(db);
        if ((rc & 0xff) != SQLITE_BUSY || attempt == OPEN_ATTEMPTS_MAX)
            return (rc & 0xff) == SQLITE_NOMEM ? IMAGINE_ENOMEM : IMAGINE_EIO;
        sqlite3_sleep(OPEN_PAUSE_MS);
    }
}

/* ---- 1. directories and file ---- */

/* strerror() follows the locale and may share its memory between threads. */
static const char *text_of(int system_error) {
    switch (system_error) {
    case EACCES:
    case EPERM:
        return "permission denied";
    case EROFS:
        return "read-only file system";
    case ENOSPC:
    case EDQUOT:
        return "no space left";
    case ENOTDIR:
        return "a part of the path is no directory";
    case ENOENT:
        return "no such directory";
    case EMFILE:
    case ENFILE:
        return "too many open files";
    default:
        return "the system refused";
    }
}

static int fail(char *reason, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int fail(char *reason, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(reason, IMI_SQLITE_REASON_SIZE, format, arguments);
    va_end(arguments);
    return IMAGINE_EIO;
}

static int make_directories(const char *path, char *reason) {
    char directory[IMI_SQLITE_PATH_SIZE_MAX + 1];
    size_t size = strnlen(path, sizeof(directory));
    if (size >= sizeof(directory))
        return fail(reason, "the path is longer than %d bytes", IMI_SQLITE_PATH_SIZE_MAX);
    memcpy(directory, path, size + 1);
    for (size_t i = 1; i < size; i++) {
        if (directory[i] != '/')
            continue;
        directory[i] = '\0';
        if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
            int system_error = errno;
            struct stat status;
            /* Some file systems refuse for other reasons what is there already. */
            if (stat(directory, &status) != 0)
                return fail(reason, "cannot make the directory: %s (errno %d)",
                            text_of(system_error), system_error);
        }
        directory[i] = '/';
    }
    return 0;
}

static int make_file(const char *path, char *reason) {
    /* O_EXCL is not only for the race. POSIX drops all locks of a process on a file when the
     * process closes any descriptor of it, so an existing file, which another client in this
     * process may have open, must never be opened around SQLite. */
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) {
        (void)close(fd);
        return 0;
    }
    int system_error = errno;
    struct stat status;
    if (stat(path, &status) != 0)
        return fail(reason, "cannot make the file: %s (errno %d)", text_of(system_error),
                    system_error);
    if (!S_ISREG(status.st_mode)) /* a pipe would block the worker for ever */
        return fail(reason, "not a regular file");
    if (status.st_size == 1) /* SQLite takes this for an empty file, and would write to it */
        return fail(reason, "not a database");
    return 0;
}

/* ---- 2. whose is it? ---- */

static int fail_sqlite(sqlite3 *db, int rc, char *reason, const char *step) {
    (void)fail(reason, "%s: %s (sqlite %d)", step, sqlite3_errmsg(db),
               sqlite3_extended_errcode(db));
    return rc;
}

static int is_empty_or_ours(sqlite3 *db, bool *out_is_empty, char *reason) {
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db,
                                "SELECT application_id, user_version,"
                                " (SELECT count(*) FROM sqlite_master)"
                                " FROM pragma_application_id, pragma_user_version",
                                -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc != SQLITE_ROW) {
        rc = fail_sqlite(db, rc, reason, "cannot read it");
        sqlite3_finalize(statement);
        return rc;
    }
    int64_t application_id = sqlite3_column_int64(statement, 0);
    int64_t version = sqlite3_column_int64(statement, 1);
    int64_t object_count = sqlite3_column_int64(statement, 2);
    sqlite3_finalize(statement);

    *out_is_empty = application_id == 0 && version == 0 && object_count == 0;
    if (!*out_is_empty && application_id != APPLICATION_ID) {
        (void)fail(reason, "a database of another program; choose another file");
        return SQLITE_NOTADB;
    }
    if (version > SCHEMA_VERSION) {
        (void)fail(reason, "made by a newer version (schema %lld, known %d)", (long long)version,
                   SCHEMA_VERSION);
        return SQLITE_NOTADB;
    }
    return SQLITE_OK;
}

/* ---- 3. ready for work ---- */

static int run(sqlite3 *db, const char *sql, char *reason, const char *step) {
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? rc : fail_sqlite(db, rc, reason, step);
}

/* Runs a statement that answers one text, and compares. */
static int expect(sqlite3 *db, const char *sql, const char *wanted, char *reason,
                  const char *step) {
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        rc = text != NULL && strcmp(text, wanted) == 0 ? SQLITE_OK : SQLITE_CORRUPT;
        if (rc != SQLITE_OK)
            (void)fail(reason, "%s: %s", step, text == NULL ? "no answer" : text);
    } else {
        rc = fail_sqlite(db, rc, reason, step);
    }
    sqlite3_finalize(statement);
    return rc;
}

static int make_tables(sqlite3 *db, char *reason) {
    bool is_empty = false;
    int rc = run(db, "BEGIN IMMEDIATE", reason, "cannot write to it");
    if (rc != SQLITE_OK)
        return rc;
    rc = is_empty_or_ours(db, &is_empty, reason); /* another process may have been quicker */
    if (rc == SQLITE_OK && is_empty)
        rc = run(db, schema_sql, reason, "cannot make the tables");
    if (rc == SQLITE_OK)
        rc = run(db, "COMMIT", reason, "cannot write to it");
    if (rc != SQLITE_OK)
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

static int check(sqlite3 *db, char *reason) {
    const char *step = "damaged";
    sqlite3_stmt *statement = NULL;
    int64_t file_size = 0;
    int rc = sqlite3_prepare_v2(
        db, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", -1,
        &statement, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW)
        file_size = sqlite3_column_int64(statement, 0);
    else
        rc = fail_sqlite(db, rc, reason, step);
    sqlite3_finalize(statement);
    if (rc != SQLITE_ROW)
        return rc;
    if (file_size > CHECKED_SIZE_MAX)
        return SQLITE_OK; /* damage shows when it is read */
    return expect(db, "PRAGMA quick_check(1)", "ok", reason, step);
}

static int prepare_file(sqlite3 *db, char *reason) {
    bool is_empty = false;
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, OPEN_PAUSE_MS);
    /* Closing would otherwise tidy up a stranger's file, if it is one. */
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (sqlite3_db_readonly(db, "main") == 1) {
        (void)fail(reason, "the file is read-only");
        return SQLITE_READONLY;
    }
    int rc = is_empty_or_ours(db, &is_empty, reason);
    if (rc == SQLITE_OK)
        rc = expect(db, "PRAGMA journal_mode = WAL", "wal", reason, "cannot use WAL");
    if (rc == SQLITE_OK)
        rc = run(db,
                 "PRAGMA synchronous = NORMAL;"
                 "PRAGMA journal_size_limit = 4194304;" /* what a burst leaves of the WAL */
                 "PRAGMA max_page_count = 262144",      /* 1 GiB: only a leak comes that far */
                 reason, "cannot set it up");
    if (rc == SQLITE_OK && is_empty)
        rc = make_tables(db, reason);
    if (rc == SQLITE_OK)
        rc = check(db, reason);
    if (rc == SQLITE_OK)
        (void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    return rc;
}

/* ---- afterwards ---- */

bool imi_sqlite_file_has_moved(sqlite3 *db) {
    int has_moved = 0;
    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_HAS_MOVED, &has_moved) != SQLITE_OK ||
        has_moved == 0)
        return false;
    /* On closing it would remove the WAL under its old name, which may be a new file's by now. */
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return true;
}

void imi_sqlite_file_close(sqlite3 *db) {
    (void)sqlite3_close(db);
}
