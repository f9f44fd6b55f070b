/**
 * imagine/hosting.h: where results are kept so that they have an address: a bucket of an
 * S3-compatible server (S3_…), or a folder (MEDIA_DIR) that a gateway serves. An application that
 * configures one of the two needs nothing of this header; it is for gateways, and for hosts that
 * bring a folder of their own.
 *
 * Thread: the client's loop thread.
 */
#ifndef IMAGINE_HOSTING_H
#define IMAGINE_HOSTING_H

#include "../imagine.h"
#include "io.h"

#ifdef __cplusplus
extern "C" {
#endif

#define IMAGINE_HOSTING_KEPT_MS (24 * 60 * 60 * 1000) /* how long a result is there */

typedef struct imagine_file imagine_file_t; /* the implementation's own */

/** What came of it: a size, a count, or IMAGINE_E…. `data` (read only) dies when this returns. */
typedef void (*imagine_folder_cb)(int64_t result, const void *data, void *user);

/**
 * Files in one folder, without blocking. Nothing calls back inside the call that starts it; a call
 * that fails never does. One operation at a time per file. A file is for whoever opened it alone,
 * and is there for others as a whole or not at all.
 */
typedef struct imagine_folder {
    size_t size;
    void *self; /* first argument of every function below */

    /** A new file. `name`: letters, digits, '-' and one dot; it must not be there yet. */
    int (*create)(void *self, const char *name, imagine_file_t **out);
    /** Appends; copied. Tells the size. */
    int (*write)(void *self, imagine_file_t *file, const void *data, size_t data_size,
                 imagine_folder_cb done, void *user);
    /** Nothing more comes: from now on others see it. */
    int (*finish)(void *self, imagine_file_t *file, imagine_folder_cb done, void *user);
    /** A finished file that is no older than max_age_ms. Tells its size, or IMAGINE_ENOTFOUND. */
    int (*open)(void *self, const char *name, uint64_t max_age_ms, imagine_folder_cb done,
                void *user, imagine_file_t **out);
    /** At most `data_size` bytes from `offset` on, also of a new file. Tells how many. */
    int (*read)(void *self, imagine_file_t *file, uint64_t offset, size_t data_size,
                imagine_folder_cb done, void *user);
    /** Any time: what is under way does not call back any more. A new file that was not finished
     * goes. */
    void (*close)(void *self, imagine_file_t *file);
    /** Removes files of ours that were finished from start to end, both included. Tells how many.
     */
    int (*clean_up)(void *self, int64_t start_unix_ms, int64_t end_unix_ms, imagine_folder_cb done,
                    void *user);
    /** All files are closed; a clean-up under way does not call back any more. Frees this struct,
     * then calls `closed` (may be NULL), also inside this call. */
    void (*destroy)(void *self, imagine_closed_cb closed, void *user);
} imagine_folder_t;

/**
 * A folder on disk, by libuv's threads. It is made (0700) if it is missing; files in it that have
 * names of another kind are left alone. `path` NULL: the system's for temporary files (TMPDIR);
 * then files have no names, are gone when they are closed or the process ends, and finish, open and
 * clean_up are NULL.
 * @param io  with a libuv loop, must outlive the folder
 * @return 0, IMAGINE_ENOTSUP (no loop), IMAGINE_EIO (no folder, or not to be written),
 * IMAGINE_ENOMEM
 */
IMAGINE_API int imagine_folder_uv_open(imagine_folder_t **out, const imagine_io_t *io,
                                       const char *path);

/** The folder that the client's results are in, for a gateway that serves "/media/<name>". NULL:
 * none. */
IMAGINE_API const imagine_folder_t *imagine_hosting_folder(const imagine_t *im);

/** `status`: 0, or why it ended early; `deleted_count` were removed in any case. `message`: one
 * line, NULL when status is 0. */
typedef void (*imagine_cleanup_cb)(int status, int64_t deleted_count, const char *message,
                                   void *user);
/**
 * Remove the hosted results that were written from start to end, both included.
 * @return 0, IMAGINE_ENOTSUP (no hosting is configured), IMAGINE_EBUSY (one is under way),
 *   IMAGINE_ECLOSED, IMAGINE_ENOMEM; then `done` never runs
 */
IMAGINE_API int imagine_hosting_clean_up(imagine_t *im, int64_t start_unix_ms, int64_t end_unix_ms,
                                         imagine_cleanup_cb done, void *user);

#ifdef __cplusplus
}
#endif

#endif
