/* output.c: see output.h. */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exit_code.h"
#include "loop.h"
#include "say.h"

#define FREE_NAMES_MAX 10000 /* that are tried until one is free */

/* What a file of a type may be called; the first is what we call it. */
static const struct {
    const char *mime, *extensions[3];
} types[] = {
    {"image/png", {".png"}},           {"image/jpeg", {".jpg", ".jpeg"}},
    {"image/webp", {".webp"}},         {"image/gif", {".gif"}},
    {"image/avif", {".avif"}},         {"video/mp4", {".mp4", ".m4v"}},
    {"video/webm", {".webm", ".mkv"}},
};
#define TYPE_COUNT (sizeof(types) / sizeof(types[0]))

const char *output_extension(const char *mime) {
    for (size_t i = 0; i < TYPE_COUNT; i++)
        if (strcmp(types[i].mime, mime) == 0)
            return types[i].extensions[0];
    return ".bin";
}

static const char *extension_of(const char *path) {
    const char *name = strrchr(path, '/'), *dot;
    name = name != NULL ? name + 1 : path;
    dot = strrchr(name, '.');
    return dot != NULL && dot != name ? dot : path + strlen(path);
}

static bool fits(const char *extension, const char *mime) {
    for (size_t i = 0; i < TYPE_COUNT; i++)
        for (size_t k = 0; k < 3 && types[i].extensions[k] != NULL; k++)
            if (strcmp(types[i].mime, mime) == 0 &&
                strcasecmp(extension, types[i].extensions[k]) == 0)
                return true;
    return extension[0] == '\0'; /* it claims nothing */
}

/* ---- writing ----------------------------------------------------------------------------------
 */

int output_all(int fd, const void *data, size_t data_size) {
    const char *at = data;
    while (data_size > 0) {
        ssize_t written = write(fd, at, data_size);
        if (written < 0 && errno == EINTR && loop_signal() == 0)
            continue;
        if (written <= 0)
            return written < 0 ? errno : EIO;
        at += written;
        data_size -= (size_t)written;
    }
    return 0;
}

static bool temporary_name(char *out, size_t capacity, const char *path) {
    static unsigned count;
    const char *name = strrchr(path, '/');
    int size = name != NULL ? (int)(name - path + 1) : 0;
    int length =
        snprintf(out, capacity, "%.*s.imagine-%ld-%u.part", size, path, (long)getpid(), count++);
    return length > 0 && (size_t)length < capacity;
}

static int write_temporary(const char *path, const void *data, size_t data_size) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666), err;
    if (fd < 0)
        return errno;
    err = output_all(fd, data, data_size);
    if (err == 0 && fsync(fd) != 0) /* a name must not outlive its bytes */
        err = errno;
    if (close(fd) != 0 && err == 0)
        err = errno;
    return err;
}

/* Under the name alone if it is free: then a failure leaves what another has written meanwhile. */
static int give_name(const char *temporary, const char *path, bool must_be_free) {
    if (!must_be_free)
        return rename(temporary, path) == 0 ? 0 : errno;
    if (link(temporary, path) == 0)
        return unlink(temporary) == 0 ? 0 : errno;
    if (errno != EPERM && errno != ENOTSUP && errno != ENOSYS)
        return errno;
    if (access(path, F_OK) == 0) /* a file system without links */
        return EEXIST;
    return rename(temporary, path) == 0 ? 0 : errno;
}

/* A device or a pipe is written as it is. */
static int write_special(const char *path, const void *data, size_t data_size) {
    int fd = open(path, O_WRONLY | O_CLOEXEC), err;
    if (fd < 0)
        return errno;
    err = output_all(fd, data, data_size);
    if (close(fd) != 0 && err == 0)
        err = errno;
    return err;
}

static int write_new(const char *path, const void *data, size_t data_size, bool must_be_free) {
    char temporary[NAME_SIZE];
    int err;
    if (!temporary_name(temporary, sizeof(temporary), path))
        return ENAMETOOLONG;
    loop_guard_file(temporary);
    err = write_temporary(temporary, data, data_size);
    if (err == 0)
        err = give_name(temporary, path, must_be_free);
    if (err != 0)
        unlink(temporary);
    loop_guard_file(NULL);
    return err;
}

int output_file(const char *path, const void *data, size_t data_size) {
    struct stat about;
    char *target = NULL;
    int err;
    if (stat(path, &about) == 0 && !S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode))
        return write_special(path, data, data_size);
    if (lstat(path, &about) == 0 && S_ISLNK(about.st_mode))
        target = realpath(path, NULL); /* the link stays one */
    err = write_new(target != NULL ? target : path, data, data_size, false);
    free(target);
    return err;
}

/* ---- names ------------------------------------------------------------------------------------
 */

static bool is_folder(const char *path) {
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

static int refuse_output(app_t *app, const char *path, int reason) {
    char message[512];
    snprintf(message, sizeof(message), "%.400s: %s",
             strcmp(path, "-") == 0 ? "standard output" : path, strerror(reason));
    return say_failure(app, IMAGINE_EIO, message);
}

int output_check(app_t *app) {
    const char *path = app->options.output, *slash;
    char folder[NAME_SIZE];
    if (path == NULL)
        path = "";
    slash = strrchr(path, '/');
    if (strcmp(path, "-") == 0 && app->options.is_json)
        return say_failure(app, IMAGINE_EINVAL, "--json and -o - both want standard output");
    if (strcmp(path, "-") == 0 && app->options.params.count > 1)
        return say_failure(app, IMAGINE_EINVAL, "several pictures are too many for -o -");
    if (strcmp(path, "-") == 0 && isatty(STDOUT_FILENO))
        return say_failure(app, IMAGINE_EINVAL, "a picture is nothing for a terminal: -o FILE");
    if (strcmp(path, "-") == 0 || (access(path, W_OK) == 0 && !is_folder(path)))
        return 0;
    snprintf(folder, sizeof(folder), "%.*s", slash == NULL ? 1 : (int)(slash - path + 1),
             slash == NULL ? "." : path);
    if (path[0] != '\0' && is_folder(path))
        snprintf(folder, sizeof(folder), "%s", path);
    if (access(folder, W_OK) != 0)
        return refuse_output(app, folder, errno);
    return is_folder(folder) ? 0 : refuse_output(app, folder, ENOTDIR);
}

/* A name of ours in a folder, that nobody has: imagine-42.png, imagine-42-2.png … */
static int write_own_name(const imagine_result_t *result, const char *folder, const char *mime,
                          const void *data, size_t size, char *out_name) {
    const char *slash = folder[0] == '\0' || folder[strlen(folder) - 1] == '/' ? "" : "/";
    char stem[64];
    int err = EEXIST;
    if (result->has_seed != 0)
        snprintf(stem, sizeof(stem), "imagine-%" PRId64, result->seed);
    else
        snprintf(stem, sizeof(stem), "imagine-%s", result->action);
    for (unsigned i = 1; err == EEXIST && i < FREE_NAMES_MAX; i++) {
        char number[16] = "";
        if (i > 1)
            snprintf(number, sizeof(number), "-%u", i);
        if (snprintf(out_name, NAME_SIZE, "%s%s%s%s%s", folder, slash, stem, number,
                     output_extension(mime)) >= NAME_SIZE)
            return ENAMETOOLONG;
        if (access(out_name, F_OK) != 0)
            err = write_new(out_name, data, size, true);
    }
    return err;
}

int output_write(app_t *app, const imagine_result_t *result, size_t index, char *out_name) {
    const char *wanted = app->options.output, *mime = "", *extension;
    const void *data = NULL;
    size_t size = 0;
    int err = imagine_result_picture(result, index, &data, &size, &mime);
    snprintf(out_name, NAME_SIZE, "%s", wanted != NULL ? wanted : "");
    if (err != 0)
        return say_failure(app, err == IMAGINE_ENOTFOUND ? IMAGINE_EPROTOCOL : err,
                           "the result is no picture");
    if (wanted != NULL && strcmp(wanted, "-") == 0) {
        err = output_all(STDOUT_FILENO, data, size);
    } else if (wanted == NULL || is_folder(wanted)) {
        err = write_own_name(result, wanted != NULL ? wanted : "", mime, data, size, out_name);
    } else {
        extension = extension_of(wanted);
        if (index > 0)
            snprintf(out_name, NAME_SIZE, "%.*s-%zu%s", (int)(extension - wanted), wanted,
                     index + 1, extension);
        if (!fits(extension, mime))
            say_remark(app, "%s: this is %s, whatever its name says", out_name, mime);
        err = output_file(out_name, data, size);
    }
    if (err != 0 && loop_signal() != 0)
        return CODE_SIGNAL + loop_signal();
    return err == 0 ? 0 : refuse_output(app, out_name, err);
}
