/* folder.c: imagine_folder_t on disk. Files are written under a name with a dot in front, and get
 * their own when they are whole.
 *
 *   create -> write* -> finish -> close        open -> read* -> close
 *
 * A folder for temporary files has no names at all: a file is gone when it is closed, however the
 * process ends.
 *
 * The loop's thread never touches the disk: each step is one job on libuv's thread pool, at most
 * one at a time per file. While it is busy, what stands below `work` belongs to the worker. Closing
 * a busy file waits for its job, without a word; the buffers are the file's own for that. */
#include "imagine/hosting.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <uv.h>

#include "wire/mem.h"

#define NAME_SIZE_MAX 64
#define PATH_EXTRA (NAME_SIZE_MAX + 3) /* "/", ".", name and a NUL */
#define READ_SIZE_MAX (1024u * 1024)   /* of one job */
#define NS_PER_MS 1000000

typedef struct folder {
    imagine_folder_t table;
    uv_loop_t *loop;
    const imagine_io_t *io;
    size_t busy_count; /* jobs, and files that are open */
    bool is_temporary;
    bool is_destroyed;
    imagine_closed_cb closed;
    void *closed_user;
    char path[];
} folder_t;

typedef enum step { WRITE, FINISH, OPEN, READ, CLOSE } step_t;

struct imagine_file {
    folder_t *folder;
    imagine_folder_cb done; /* NULL: nobody waits any more */
    void *user;
    bool is_busy;
    bool is_closed;
    uv_work_t work;
    step_t step;
    int fd;
    bool is_new; /* and not finished */
    int64_t result;
    char *buffer; /* to be written, or what was read */
    size_t buffer_size, size;
    uint64_t offset;
    int64_t oldest_unix_ms;
    char name[];
};

typedef struct sweep {
    folder_t *folder;
    imagine_folder_cb done;
    void *user;
    uv_work_t work;
    int64_t start_unix_ms, end_unix_ms;
    int64_t result;
} sweep_t;

/* ---- names -------------------------------------------------------------------------------------
 */

/* So that no name leads out of the folder, and nothing of somebody else's is taken for ours. */
static bool is_name(const char *name) {
    size_t dot_count = 0, size = strlen(name);
    for (const char *c = name; *c != '\0'; c++) {
        bool is_letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
        if (!is_letter && !(*c >= '0' && *c <= '9') && *c != '-' && *c != '.')
            return false;
        dot_count += *c == '.';
    }
    return size > 0 && size <= NAME_SIZE_MAX && dot_count == 1 && name[0] != '.';
}

static void set_path(char *out, size_t size, const folder_t *folder, bool is_new,
                     const char *name) {
    snprintf(out, size, "%s/%s%s", folder->path, is_new ? "." : "", name);
}

static int64_t error_of(int number) {
    return number == ENOMEM ? IMAGINE_ENOMEM : number == ENOENT ? IMAGINE_ENOTFOUND : IMAGINE_EIO;
}

/* ---- in the worker -----------------------------------------------------------------------------
 */

#define PATH_SIZE_MAX 4096

/* Not every file system has files without a name: there, a name is taken away at once. */
static int open_new(const imagine_file_t *file) {
    const folder_t *folder = file->folder;
    char path[PATH_SIZE_MAX];
    int fd = folder->is_temporary ? open(folder->path, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600) : -1;
    if (fd >= 0)
        return fd;
    set_path(path, sizeof(path), folder, true, file->name);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && folder->is_temporary)
        (void)unlink(path);
    return fd;
}

static int64_t write_all(imagine_file_t *file) {
    size_t at = 0;
    if (file->fd < 0)
        file->fd = open_new(file);
    if (file->fd < 0)
        return error_of(errno);
    while (at < file->size) {
        ssize_t written = write(file->fd, file->buffer + at, file->size - at);
        if (written < 0 && errno != EINTR)
            return error_of(errno);
        at += written > 0 ? (size_t)written : 0;
    }
    return (int64_t)file->size;
}

static int64_t finish_file(imagine_file_t *file) {
    char from[PATH_SIZE_MAX], to[PATH_SIZE_MAX];
    set_path(from, sizeof(from), file->folder, true, file->name);
    set_path(to, sizeof(to), file->folder, false, file->name);
    if (file->fd < 0 || link(from, to) != 0) /* unlike rename() it replaces nothing */
        return file->fd < 0 ? IMAGINE_EINVAL : error_of(errno);
    file->is_new = false;
    (void)unlink(from);
    return 0;
}

static int64_t modified_unix_ms(const struct stat *status) {
    return (int64_t)status->st_mtim.tv_sec * 1000 + status->st_mtim.tv_nsec / NS_PER_MS;
}

static int64_t open_file(imagine_file_t *file) {
    char path[PATH_SIZE_MAX];
    struct stat status;
    set_path(path, sizeof(path), file->folder, false, file->name);
    file->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (file->fd < 0)
        return errno == ENOMEM || errno == EMFILE || errno == ENFILE ? IMAGINE_EIO
                                                                     : IMAGINE_ENOTFOUND;
    if (fstat(file->fd, &status) != 0 || !S_ISREG(status.st_mode) ||
        modified_unix_ms(&status) < file->oldest_unix_ms)
        return IMAGINE_ENOTFOUND;
    return (int64_t)status.st_size;
}

static int64_t read_some(imagine_file_t *file) {
    size_t at = 0;
    while (at < file->size) {
        ssize_t got =
            pread(file->fd, file->buffer + at, file->size - at, (off_t)(file->offset + at));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_of(errno);
        if (got == 0)
            break;
        at += (size_t)got;
    }
    return (int64_t)at;
}

static int64_t close_file(const imagine_file_t *file) {
    char path[PATH_SIZE_MAX];
    if (file->fd >= 0)
        (void)close(file->fd);
    if (file->is_new && file->fd >= 0 && !file->folder->is_temporary) {
        set_path(path, sizeof(path), file->folder, true, file->name);
        (void)unlink(path);
    }
    return 0;
}

static void work_on_file(uv_work_t *work) {
    imagine_file_t *file = work->data;
    switch (file->step) {
    case WRITE:
        file->result = write_all(file);
        break;
    case FINISH:
        file->result = finish_file(file);
        break;
    case OPEN:
        file->result = open_file(file);
        break;
    case READ:
        file->result = read_some(file);
        break;
    case CLOSE:
        file->result = close_file(file);
        break;
    }
}

/* What a process that was killed left half-written is ours too. */
static void work_on_sweep(uv_work_t *work) {
    sweep_t *sweep = work->data;
    DIR *directory = opendir(sweep->folder->path);
    const struct dirent *entry;
    struct stat status;
    if (directory == NULL) {
        sweep->result = error_of(errno);
        return;
    }
    while ((entry = readdir(directory)) != NULL) {
        bool is_half = entry->d_name[0] == '.';
        if (!is_name(entry->d_name + is_half) ||
            fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(status.st_mode) || modified_unix_ms(&status) < sweep->start_unix_ms ||
            modified_unix_ms(&status) > sweep->end_unix_ms)
            continue;
        if (unlinkat(dirfd(directory), entry->d_name, 0) == 0 && !is_half)
            sweep->result++;
    }
    (void)closedir(directory);
}

/* ---- on the loop's thread ----------------------------------------------------------------------
 */

static void leave(folder_t *folder) {
    imagine_closed_cb closed = folder->closed;
    void *user = folder->closed_user;
    if (--folder->busy_count > 0 || !folder->is_destroyed)
        return;
    imi_mem_free(NULL, folder);
    if (closed != NULL)
        closed(user);
}

static void free_file(imagine_file_t *file) {
    folder_t *folder = file->folder;
    imi_mem_free(NULL, file->buffer);
    imi_mem_free(NULL, file);
    leave(folder);
}

static void on_worked(uv_work_t *work, int status);

/* libuv's own queue has no limit and takes every job. */
static void start_step(imagine_file_t *file, step_t step, imagine_folder_cb done, void *user) {
    file->step = step;
    file->done = done;
    file->user = user;
    file->is_busy = true;
    file->work.data = file;
    (void)uv_queue_work(file->folder->loop, &file->work, work_on_file, on_worked);
}

/* A file may wait long for what comes next: it keeps no buffer meanwhile. */
static void finish_step(imagine_file_t *file) {
    imi_mem_free(NULL, file->buffer);
    file->buffer = NULL;
    file->buffer_size = 0;
    file->done(file->result, NULL, file->user);
}

static void on_worked(uv_work_t *work, int status) {
    imagine_file_t *file = work->data;
    (void)status;
    file->is_busy = false;
    if (file->step == CLOSE)
        free_file(file);
    else if (file->is_closed)
        start_step(file, CLOSE, NULL, NULL);
    else if (file->step == READ)
        file->done(file->result, file->result > 0 ? file->buffer : NULL, file->user);
    else
        finish_step(file);
}

static bool reserve(imagine_file_t *file, size_t size) {
    char *grown;
    if (size <= file->buffer_size)
        return true;
    grown = imi_mem_resize(NULL, file->buffer, size);
    if (grown == NULL)
        return false;
    file->buffer = grown;
    file->buffer_size = size;
    return true;
}

static int new_file(folder_t *folder, const char *name, bool is_new, imagine_file_t **out) {
    imagine_file_t *file;
    *out = NULL;
    if (!is_name(name))
        return IMAGINE_ENOTFOUND;
    file = imi_mem_zalloc(NULL, sizeof(*file) + strlen(name) + 1);
    if (file == NULL)
        return IMAGINE_ENOMEM;
    memcpy(file->name, name, strlen(name) + 1);
    file->folder = folder;
    file->fd = -1;
    file->is_new = is_new;
    folder->busy_count++;
    *out = file;
    return 0;
}

static int create(void *self, const char *name, imagine_file_t **out) {
    return new_file(self, name, true, out);
}

static int write_piece(void *self, imagine_file_t *file, const void *data, size_t data_size,
                       imagine_folder_cb done, void *user) {
    (void)self;
    if (!reserve(file, data_size))
        return IMAGINE_ENOMEM;
    if (data_size > 0)
        memcpy(file->buffer, data, data_size);
    file->size = data_size;
    start_step(file, WRITE, done, user);
    return 0;
}

static int finish(void *self, imagine_file_t *file, imagine_folder_cb done, void *user) {
    (void)self;
    start_step(file, FINISH, done, user);
    return 0;
}

static int open_existing(void *self, const char *name, uint64_t max_age_ms, imagine_folder_cb done,
                         void *user, imagine_file_t **out) {
    folder_t *folder = self;
    int err = new_file(folder, name, false, out);
    if (err != 0)
        return err;
    (*out)->oldest_unix_ms = folder->io->unix_ms(folder->io->context) - (int64_t)max_age_ms;
    start_step(*out, OPEN, done, user);
    return 0;
}

static int read_piece(void *self, imagine_file_t *file, uint64_t offset, size_t data_size,
                      imagine_folder_cb done, void *user) {
    (void)self;
    if (data_size > READ_SIZE_MAX)
        data_size = READ_SIZE_MAX;
    if (!reserve(file, data_size))
        return IMAGINE_ENOMEM;
    file->size = data_size;
    file->offset = offset;
    start_step(file, READ, done, user);
    return 0;
}

static void close_any(void *self, imagine_file_t *file) {
    (void)self;
    file->is_closed = true;
    if (!file->is_busy)
        start_step(file, CLOSE, NULL, NULL);
}

static void on_swept(uv_work_t *work, int status) {
    sweep_t *sweep = work->data;
    folder_t *folder = sweep->folder;
    (void)status;
    if (!folder->is_destroyed && sweep->done != NULL)
        sweep->done(sweep->result, NULL, sweep->user);
    imi_mem_free(NULL, sweep);
    leave(folder);
}

static int clean_up(void *self, int64_t start_unix_ms, int64_t end_unix_ms, imagine_folder_cb done,
                    void *user) {
    folder_t *folder = self;
    sweep_t *sweep = imi_mem_zalloc(NULL, sizeof(*sweep));
    if (sweep == NULL)
        return IMAGINE_ENOMEM;
    sweep->folder = folder;
    sweep->done = done;
    sweep->user = user;
    sweep->start_unix_ms = start_unix_ms;
    sweep->end_unix_ms = end_unix_ms;
    sweep->work.data = sweep;
    folder->busy_count++;
    (void)uv_queue_work(folder->loop, &sweep->work, work_on_sweep, on_swept);
    return 0;
}

static void destroy(void *self, imagine_closed_cb closed, void *user) {
    folder_t *folder = self;
    folder->is_destroyed = true;
    folder->closed = closed;
    folder->closed_user = user;
    leave(folder);
}

/* Makes it if it is missing. */
static bool is_folder(const char *path) {
    struct stat status;
    return (mkdir(path, 0700) == 0 || errno == EEXIST) && stat(path, &status) == 0 &&
           S_ISDIR(status.st_mode) && access(path, R_OK | W_OK | X_OK) == 0;
}

int imagine_folder_uv_open(imagine_folder_t **out, const imagine_io_t *io, const char *path) {
    char temporary[PATH_SIZE_MAX];
    size_t path_size = sizeof(temporary);
    bool is_temporary = path == NULL;
    folder_t *folder;
    *out = NULL;
    if (io->loop == NULL)
        return IMAGINE_ENOTSUP;
    if (is_temporary && uv_os_tmpdir(temporary, &path_size) != 0)
        return IMAGINE_EIO;
    if (is_temporary)
        path = temporary;
    path_size = strlen(path);
    if (path_size + PATH_EXTRA > PATH_SIZE_MAX || !is_folder(path))
        return IMAGINE_EIO;
    folder = imi_mem_zalloc(NULL, sizeof(*folder) + path_size + 1);
    if (folder == NULL)
        return IMAGINE_ENOMEM;
    memcpy(folder->path, path, path_size + 1);
    folder->loop = io->loop;
    folder->io = io;
    folder->busy_count = 1; /* until it is destroyed */
    folder->table = (imagine_folder_t){.size = sizeof(folder->table),
                                       .self = folder,
                                       .create = create,
                                       .write = write_piece,
                                       .finish = finish,
                                       .open = open_existing,
                                       .read = read_piece,
                                       .close = close_any,
                                       .clean_up = clean_up,
                                       .destroy = destroy};
    if (is_temporary) {
        folder->is_temporary = true;
        folder->table.finish = NULL;
        folder->table.open = NULL;
        folder->table.clean_up = NULL;
    }
    *out = &folder->table;
    return 0;
}
