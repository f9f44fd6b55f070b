/* static.c: walks WEB_ROOT once, sorts what it found by path, and finds it again by binary search.
 */
#include "gateway/static.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "imagine.h"
#include "wire/sha256.h"

#define INDEX "index.html"

typedef struct walk {
    imi_static_t *files;
    const char *root; /* resolved, without a slash at its end */
    size_t root_size;
    const char *message;
} walk_t;

static int walk_directory(walk_t *walk, int directory_fd, char *path, size_t path_size, int depth);

static const struct {
    const char *extension;
    const char *type;
} types[] = {
    {"html", "text/html; charset=utf-8"},
    {"htm", "text/html; charset=utf-8"},
    {"css", "text/css; charset=utf-8"},
    {"js", "text/javascript; charset=utf-8"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"map", "application/json"},
    {"webmanifest", "application/manifest+json"},
    {"txt", "text/plain; charset=utf-8"},
    {"md", "text/plain; charset=utf-8"},
    {"xml", "application/xml"},
    {"svg", "image/svg+xml"},
    {"png", "image/png"},
    {"jpg", "image/jpeg"},
    {"jpeg", "image/jpeg"},
    {"webp", "image/webp"},
    {"gif", "image/gif"},
    {"avif", "image/avif"},
    {"ico", "image/x-icon"},
    {"mp4", "video/mp4"},
    {"webm", "video/webm"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"ttf", "font/ttf"},
    {"wasm", "application/wasm"},
    {"pdf", "application/pdf"},
};

static const char *type_of(const char *path) {
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot != NULL && i < sizeof(types) / sizeof(types[0]); i++)
        if (imi_text_equals_nocase(dot + 1, types[i].extension))
            return types[i].type;
    return "application/octet-stream";
}

/* ---- reading -----------------------------------------------------------------------------------
 */

static int fail(walk_t *walk, int err, const char *message) {
    walk->message = message;
    return err;
}

static int compare_files(const void *a, const void *b) {
    return strcmp(((const imi_static_file_t *)a)->path, ((const imi_static_file_t *)b)->path);
}

int imi_static_open(imi_static_t *files, const imi_mem_t *mem, const char *root,
                    const char **out_message) {
    walk_t walk = {.files = files};
    char path[IMI_STATIC_PATH_SIZE_MAX] = "";
    char *resolved = NULL;
    int err = 0, fd;
    *files = (imi_static_t){.mem = mem};
    fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    resolved = fd >= 0 ? realpath(root, NULL) : NULL;
    if (resolved == NULL) {
        err = fail(&walk, errno == ENOMEM ? IMAGINE_ENOMEM : IMAGINE_EIO,
                   "this directory cannot be read");
        if (fd >= 0)
            (void)close(fd);
    } else {
        walk.root = resolved;
        walk.root_size = strcmp(resolved, "/") == 0 ? 0 : strlen(resolved);
        err = walk_directory(&walk, fd, path, 0, 0);
    }
    free(resolved);
    if (err != 0)
        imi_static_close(files);
    else if (files->count > 1)
        qsort(files->files, files->count, sizeof(*files->files), compare_files);
    *out_message = walk.message;
    return err;
}

void imi_static_close(imi_static_t *files) {
    for (size_t i = 0; i < files->count; i++) {
        imi_mem_free(files->mem, files->files[i].path);
        imi_mem_free(files->mem, files->files[i].data);
    }
    imi_mem_free(files->mem, files->files);
    *files = (imi_static_t){.mem = files->mem};
}

static int reserve(walk_t *walk, size_t extra_size) {
    imi_static_t *files = walk->files;
    if (files->count == IMI_STATIC_FILES_MAX)
        return fail(walk, IMAGINE_EIO, "more than 4096 files");
    if (extra_size > IMI_STATIC_SIZE_MAX - files->total_size)
        return fail(walk, IMAGINE_EIO, "more than 64 MiB of files");
    if (files->count == files->capacity) {
        size_t capacity = files->capacity == 0 ? 16 : files->capacity * 2;
        imi_static_file_t *grown =
            imi_mem_resize(files->mem, files->files, capacity * sizeof(*grown));
        if (grown == NULL)
            return IMAGINE_ENOMEM;
        files->files = grown;
        files->capacity = capacity;
    }
    return 0;
}

static int read_all(walk_t *walk, int fd, char *data, size_t size) {
    size_t done = 0;
    while (done < size) {
        ssize_t got = read(fd, data + done, size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) /* also a file that became shorter while we read */
            return fail(walk, IMAGINE_EIO, "a file cannot be read");
        done += (size_t)got;
    }
    return 0;
}

/* A tag of the content, so that it stays the same over restarts and machines. */
static void set_etag(imi_static_file_t *file) {
    uint8_t digest[IMI_SHA256_SIZE];
    imi_sha256(digest, file->data, file->size);
    file->etag[0] = '"';
    imi_hex(file->etag + 1, digest, 16);
    memcpy(file->etag + 33, "\"", 2);
}

static int add_file(walk_t *walk, int fd, const char *path) {
    imi_static_t *files = walk->files;
    imi_static_file_t file = {.type = type_of(path)};
    struct stat status;
    int err;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return 0; /* a device or a pipe is no file of a page */
    file.size = (size_t)status.st_size;
    err = reserve(walk, file.size);
    if (err != 0)
        return err;
    file.path = imi_mem_strdup(files->mem, path);
    file.data = imi_mem_alloc(files->mem, file.size);
    err = file.path == NULL || file.data == NULL ? IMAGINE_ENOMEM
                                                 : read_all(walk, fd, file.data, file.size);
    if (err != 0) {
        imi_mem_free(files->mem, file.path);
        imi_mem_free(files->mem, file.data);
        return err;
    }
    set_etag(&file);
    files->total_size += file.size;
    files->files[files->count++] = file;
    return 0;
}

/* Follows a link to a file as long as that lies below the root: a descriptor, or -1. */
static int open_link(const walk_t *walk, const char *path) {
    char full[2 * IMI_STATIC_PATH_SIZE_MAX];
    size_t path_size = strlen(path);
    char *resolved;
    int fd = -1;
    if (walk->root_size + path_size >= sizeof(full))
        return -1;
    memcpy(full, walk->root, walk->root_size);
    memcpy(full + walk->root_size, path, path_size + 1);
    resolved = realpath(full, NULL);
    if (resolved != NULL && strncmp(resolved, walk->root, walk->root_size) == 0 &&
        resolved[walk->root_size] == '/')
        fd = open(resolved, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    free(resolved);
    return fd;
}

static int add_entry(walk_t *walk, int directory_fd, const char *name, char *path, size_t path_size,
                     int depth) {
    struct stat status;
    int err, fd;
    if (fstatat(directory_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return 0; /* gone again */
    if (S_ISDIR(status.st_mode)) {
        if (depth + 1 == IMI_STATIC_DEPTH_MAX)
            return fail(walk, IMAGINE_EIO, "directories more than 16 deep");
        fd = openat(directory_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return fail(walk, IMAGINE_EIO, "a directory cannot be read");
        return walk_directory(walk, fd, path, path_size, depth + 1);
    }
    if (S_ISLNK(status.st_mode)) {
        fd = open_link(walk, path);
        if (fd < 0)
            return 0;
    } else if (S_ISREG(status.st_mode)) {
        fd = openat(directory_fd, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return fail(walk, IMAGINE_EIO, "a file cannot be read");
    } else {
        return 0;
    }
    err = add_file(walk, fd, path);
    (void)close(fd);
    return err;
}

/* `path` is the directory's own, and has room for IMI_STATIC_PATH_SIZE_MAX bytes. The descriptor is
 * closed here. */
static int walk_directory(walk_t *walk, int directory_fd, char *path, size_t path_size, int depth) {
    DIR *directory = fdopendir(directory_fd);
    const struct dirent *entry;
    int err = 0;
    if (directory == NULL) {
        (void)close(directory_fd);
        return IMAGINE_ENOMEM;
    }
    while (err == 0 && (entry = readdir(directory)) != NULL) {
        size_t name_size = strlen(entry->d_name);
        if (entry->d_name[0] == '.' || path_size + 1 + name_size >= IMI_STATIC_PATH_SIZE_MAX)
            continue;
        path[path_size] = '/';
        memcpy(path + path_size + 1, entry->d_name, name_size + 1);
        err = add_entry(walk, directory_fd, entry->d_name, path, path_size + 1 + name_size, depth);
        path[path_size] = '\0';
    }
    (void)closedir(directory);
    return err;
}

/* ---- finding -----------------------------------------------------------------------------------
 */

const imi_static_file_t *imi_static_find(const imi_static_t *files, imi_slice_t path) {
    char decoded[IMI_STATIC_PATH_SIZE_MAX + sizeof(INDEX)];
    const imi_static_file_t wanted = {.path = decoded};
    size_t size = 0;
    if (files->count == 0 || path.size >= IMI_STATIC_PATH_SIZE_MAX ||
        !imi_percent_decode_bytes(decoded, &size, path, false) || memchr(decoded, '\0', size))
        return NULL;
    decoded[size] = '\0';
    if (size > 0 && decoded[size - 1] == '/')
        memcpy(decoded + size, INDEX, sizeof(INDEX));
    return bsearch(&wanted, files->files, files->count, sizeof(*files->files), compare_files);
}

bool imi_static_is_navigation(imi_slice_t accept, imi_slice_t fetch_mode) {
    return imi_text_has_nocase(accept, "text/html") &&
           (fetch_mode.data == NULL || imi_slice_equals_nocase(fetch_mode, "navigate"));
}

bool imi_static_has_tag(imi_slice_t if_none_match, const char *etag) {
    imi_slice_t item;
    while (imi_slice_split(&if_none_match, ',', &item)) {
        item = imi_slice_trim(item);
        if (item.size > 2 && memcmp(item.data, "W/", 2) == 0)
            item = (imi_slice_t){item.data + 2, item.size - 2};
        if (imi_slice_equals(item, "*") || imi_slice_equals(item, etag))
            return true;
    }
    return false;
}
