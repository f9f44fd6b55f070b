/* sqlite_file.h: the state file itself: found or made, checked, ready for work. Blocking, so only
 * for the worker. */
#ifndef IMI_STORAGE_SQLITE_FILE_H
#define IMI_STORAGE_SQLITE_FILE_H

#include <sqlite3.h>
#include <stdbool.h>

#define IMI_SQLITE_REASON_SIZE 256
#define IMI_SQLITE_PATH_SIZE_MAX 500 /* SQLite's own limit is 512, with its suffixes */

/**
 * Open the file, and make it (0600) and its directories (0700) if they are missing. A file that is
 * not ours, broken or from a newer version is refused and stays as it is.
 * `reason` receives why it failed, in one line without secrets.
 * @return 0, IMAGINE_EIO, IMAGINE_ENOMEM
 */
int imi_sqlite_file_open(const char *path, sqlite3 **out, char reason[IMI_SQLITE_REASON_SIZE]);

/* Is the open file no longer the one under its name? What is written to it would be lost. */
bool imi_sqlite_file_has_moved(sqlite3 *db);

/* Statements must be finalized. NULL is fine. */
void imi_sqlite_file_close(sqlite3 *db);

#endif
