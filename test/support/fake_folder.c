/* fake_folder.c: each operation is one timer. Out of memory ends the test program. */
#include "support/fake_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WRITE, FINISH, READ };

struct imagine_file {
    fake_folder_t *folder;
    char name[80];
    char *data;
    size_t size;
    int operation;
    char *piece;
    size_t piece_size;
    uint64_t offset;
    size_t read_size;
    imagine_timer_t *timer;
    imagine_folder_cb done;
    void *user;
};

static void *need(void *pointer) {
    if (pointer == NULL)
        abort();
    return pointer;
}

static int create(void *self, const char *name, imagine_file_t **out) {
    fake_folder_t *folder = self;
    imagine_file_t *file = need(calloc(1, sizeof(*file)));
    file->folder = folder;
    snprintf(file->name, sizeof(file->name), "%s", name);
    folder->created_count++;
    folder->open_count++;
    *out = file;
    return 0;
}

static int64_t run_write(imagine_file_t *file) {
    const fake_folder_t *folder = file->folder;
    if (folder->has_limit && file->size + file->piece_size > folder->size_max)
        return IMAGINE_EIO;
    file->data = need(realloc(file->data, file->size + file->piece_size + 1));
    memcpy(file->data + file->size, file->piece, file->piece_size);
    file->size += file->piece_size;
    return (int64_t)file->piece_size;
}

static int64_t run_finish(const imagine_file_t *file) {
    fake_folder_t *folder = file->folder;
    if (folder->fails_to_finish)
        return IMAGINE_EIO;
    free(folder->finished);
    folder->finished = need(malloc(file->size + 1));
    memcpy(folder->finished, file->data, file->size);
    folder->finished_size = file->size;
    snprintf(folder->finished_name, sizeof(folder->finished_name), "%s", file->name);
    return 0;
}

static int64_t run_read(imagine_file_t *file, const void **out) {
    const fake_folder_t *folder = file->folder;
    size_t size = file->offset < file->size ? file->size - (size_t)file->offset : 0;
    if (folder->read_max != 0 && file->read_size >= folder->read_max)
        return IMAGINE_EIO;
    size = size < file->piece_size ? size : file->piece_size;
    *out = file->data + file->offset;
    file->read_size += size;
    return (int64_t)size;
}

static void on_timer(void *user) {
    imagine_file_t *file = user;
    const void *data = NULL;
    int64_t result = file->operation == WRITE    ? run_write(file)
                     : file->operation == FINISH ? run_finish(file)
                                                 : run_read(file, &data);
    file->timer = NULL;
    free(file->piece);
    file->piece = NULL;
    file->done(result, data, file->user);
}

static int start(imagine_file_t *file, int operation, imagine_folder_cb done, void *user) {
    fake_folder_t *folder = file->folder;
    if (file->timer != NULL)
        abort(); /* one at a time */
    if (++folder->operation_count == folder->refused_at)
        return IMAGINE_ENOMEM;
    file->operation = operation;
    file->done = done;
    file->user = user;
    return folder->io->timer_start(folder->io->context, folder->delay_ms, on_timer, file,
                                   &file->timer);
}

static int write_piece(void *self, imagine_file_t *file, const void *data, size_t data_size,
                       imagine_folder_cb done, void *user) {
    int err;
    (void)self;
    file->piece = need(malloc(data_size + 1));
    memcpy(file->piece, data, data_size);
    file->piece_size = data_size;
    err = start(file, WRITE, done, user);
    if (err != 0) {
        free(file->piece);
        file->piece = NULL;
    }
    return err;
}

static int finish(void *self, imagine_file_t *file, imagine_folder_cb done, void *user) {
    (void)self;
    return start(file, FINISH, done, user);
}

static int read_piece(void *self, imagine_file_t *file, uint64_t offset, size_t data_size,
                      imagine_folder_cb done, void *user) {
    (void)self;
    file->offset = offset;
    file->piece_size = data_size;
    return start(file, READ, done, user);
}

static void close_file(void *self, imagine_file_t *file) {
    fake_folder_t *folder = self;
    if (file->timer != NULL)
        folder->io->timer_cancel(folder->io->context, file->timer);
    folder->open_count--;
    free(file->piece);
    free(file->data);
    free(file);
}

static int clean_up(void *self, int64_t start_unix_ms, int64_t end_unix_ms, imagine_folder_cb done,
                    void *user) {
    (void)self, (void)start_unix_ms, (void)end_unix_ms, (void)done, (void)user;
    return IMAGINE_ENOTSUP;
}

static void destroy(void *self, imagine_closed_cb closed, void *user) {
    fake_folder_t *folder = self;
    if (folder->open_count != 0 || folder->is_destroyed)
        abort(); /* files are closed before */
    folder->is_destroyed = true;
    if (closed != NULL)
        closed(user);
}

void fake_folder_init(fake_folder_t *folder, const imagine_io_t *io) {
    *folder = (fake_folder_t){.io = io};
    folder->table = (imagine_folder_t){.size = sizeof(folder->table),
                                       .self = folder,
                                       .create = create,
                                       .write = write_piece,
                                       .finish = finish,
                                       .read = read_piece,
                                       .close = close_file,
                                       .clean_up = clean_up,
                                       .destroy = destroy};
}

void fake_folder_reset(fake_folder_t *folder) {
    free(folder->finished);
    folder->finished = NULL;
}
