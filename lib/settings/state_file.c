/* state_file.c: see state_file.h. A file that is there has to be writable; for one that is missing,
 * the nearest folder that is there has to take it. What is in the file is the storage's business:
 * a damaged one is left as it is, and stops nobody. */
#include "settings/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE_MAX 500 /* as the storage has it */

static const char *why(int number) {
    switch (number) {
    case EACCES:
    case EPERM:
        return "no permission to write there";
    case EROFS:
        return "the file system is read-only";
    case ENOTDIR:
        return "a part of its path is no folder";
    default:
        return "it cannot be opened";
    }
}

static const char *problem_of_file(const char *path) {
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return why(errno);
    close(fd);
    return NULL;
}

const char *imi_state_file_problem(const char *path) {
    char folder[PATH_SIZE_MAX + 1];
    struct stat status;
    size_t size = strlen(path);
    if (size > PATH_SIZE_MAX)
        return "its path is too long";
    if (stat(path, &status) == 0)
        return S_ISDIR(status.st_mode) ? "it is a folder" : problem_of_file(path);
    memcpy(folder, path, size + 1);
    while (errno == ENOENT) {
        char *slash = strrchr(folder, '/');
        if (slash == NULL)
            return access(".", W_OK | X_OK) == 0 ? NULL : why(errno);
        slash[slash == folder ? 1 : 0] = '\0';
        if (stat(folder, &status) != 0)
            continue;
        errno = ENOTDIR;
        return S_ISDIR(status.st_mode) && access(folder, W_OK | X_OK) == 0 ? NULL : why(errno);
    }
    return why(errno);
}
