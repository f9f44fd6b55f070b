/* spool.c: see spool.h. A file takes one operation at a time: what has come goes first, then who
 * waits for something. */
#include "core/spool.h"

#include <string.h>

#include "core/hosting.h"
#include "core/log.h"
#include "wire/assert.h"

#define SLACK_SIZE (16u * 1024) /* of what comes between a full window and the pause */

enum { NOTHING, READ, PUBLISH };

static void advance(imi_spool_t *spool);
static int start_writing(imi_spool_t *spool);
static void on_written(int64_t result, const void *data, void *user);
static void read_back(imi_spool_t *spool);
static void on_read_back(int64_t result, const void *data, void *user);
static int start_wanted(imi_spool_t *spool);
static void on_wanted_done(int64_t result, const void *data, void *user);

/* ---- life -------------------------------------------------------------------------------------
 */

int imi_spool_open(imi_spool_t **out, imagine_t *im, const char *mime) {
    imi_hosting_t *hosting = im->hosting;
    imi_spool_t *spool;
    int err;
    *out = NULL;
    if (hosting == NULL || hosting->spool_folder == NULL)
        return IMAGINE_ENOTSUP;
    spool = imi_mem_zalloc(&im->mem, sizeof(*spool));
    if (spool == NULL)
        return IMAGINE_ENOMEM;
    spool->im = im;
    spool->folder = hosting->spool_folder;
    spool->mime = mime;
    spool->is_hashed = hosting->has_s3 && !hosting->s3.is_https;
    imi_buf_init(&spool->pending, &im->mem, 0); /* as the answer, which has a limit */
    imi_buf_init(&spool->memory, &im->mem, 0);
    imi_sha256_begin(&spool->hash);
    imi_list_init(&spool->link);
    err = imi_media_file_name(im->io, mime, spool->name)
              ? spool->folder->create(spool->folder->self, spool->name, &spool->file)
              : IMAGINE_EIO;
    if (err != 0) {
        spool->file = NULL;
        imi_spool_close(spool);
        return err;
    }
    imi_list_append(&hosting->spools, &spool->link);
    *out = spool;
    return 0;
}

static void close_file(imi_spool_t *spool) {
    if (spool->file != NULL)
        spool->folder->close(spool->folder->self, spool->file);
    spool->file = NULL;
    spool->is_busy = false;
}

void imi_spool_close(imi_spool_t *spool) {
    if (spool == NULL)
        return;
    close_file(spool);
    imi_list_remove(&spool->link);
    imi_buf_reset(&spool->pending);
    imi_buf_reset(&spool->memory);
    imi_mem_free(&spool->im->mem, spool);
}

/* ---- what comes --------------------------------------------------------------------------------
 */

size_t imi_spool_pending_size(const imi_spool_t *spool) {
    return spool->pending.size;
}

bool imi_spool_is_settled(const imi_spool_t *spool) {
    return spool->error != 0 ||
           (spool->is_whole && !spool->is_reading_back && imi_spool_pending_size(spool) == 0);
}

int imi_spool_add(imi_spool_t *spool, const void *data, size_t size) {
    bool has_file = spool->file != NULL;
    IMI_ASSERT(!spool->is_whole);
    if (spool->error != 0)
        return spool->error;
    if (has_file && spool->pending.data == NULL) /* else it doubles its way to more than it needs */
        (void)imi_buf_reserve(&spool->pending, IMI_SPOOL_WINDOW_SIZE + SLACK_SIZE);
    if (imi_buf_append(has_file ? &spool->pending : &spool->memory, data, size) != 0)
        return spool->error = IMAGINE_ENOMEM;
    if (spool->is_hashed)
        imi_sha256_add(&spool->hash, data, size);
    spool->size += size;
    /* A whole piece at a time; the rest follows when the end has come. */
    if (imi_spool_pending_size(spool) >= IMI_SPOOL_PIECE_SIZE)
        advance(spool);
    return spool->error;
}

void imi_spool_end(imi_spool_t *spool) {
    spool->is_whole = true;
    advance(spool);
}

/* ---- the file ----------------------------------------------------------------------------------
 */

static void tell(imi_spool_t *spool) {
    if (spool->on_change != NULL)
        spool->on_change(spool, spool->change_user);
}

/* The next operation, if none is under way. Never calls back. */
static void advance(imi_spool_t *spool) {
    size_t waiting_size = imi_spool_pending_size(spool);
    if (spool->file == NULL || spool->is_busy || spool->error != 0 || spool->is_reading_back)
        return;
    if (waiting_size >= IMI_SPOOL_PIECE_SIZE || (spool->is_whole && waiting_size > 0)) {
        if (start_writing(spool) != 0)
            read_back(spool);
    }
}

static int start_writing(imi_spool_t *spool) {
    size_t size = imi_spool_pending_size(spool);
    int err;
    if (size > IMI_SPOOL_PIECE_SIZE)
        size = IMI_SPOOL_PIECE_SIZE;
    err = spool->folder->write(spool->folder->self, spool->file, spool->pending.data, size,
                               on_written, spool);
    spool->is_busy = err == 0;
    return err;
}

static void on_written(int64_t result, const void *data, void *user) {
    imi_spool_t *spool = user;
    (void)data;
    spool->is_busy = false;
    if (result < 0) {
        read_back(spool);
    } else {
        spool->written_size += (uint64_t)result;
        imi_buf_consume(&spool->pending, (size_t)result);
        if (imi_spool_is_settled(spool))
            imi_buf_reset(&spool->pending);
        advance(spool);
    }
    tell(spool);
}

static void lose(imi_spool_t *spool, int error) {
    imi_log(spool->im, IMAGINE_LOG_ERROR, "spool.lost reason=\"%s\"", imagine_strerror(error));
    spool->error = error;
    spool->is_reading_back = false;
    close_file(spool);
}

/* The file takes no more: all that is there, then what waits, into memory. Never calls back. */
static void read_back(imi_spool_t *spool) {
    uint64_t left = spool->written_size - spool->memory.size;
    size_t size = left < IMI_SPOOL_PIECE_SIZE ? (size_t)left : IMI_SPOOL_PIECE_SIZE;
    int err = 0;
    if (!spool->is_reading_back)
        imi_log(spool->im, IMAGINE_LOG_WARN,
                "spool.failed reason=\"a picture's file cannot be written\"");
    spool->is_reading_back = true;
    if (size > 0) {
        err = spool->folder->read(spool->folder->self, spool->file, spool->memory.size, size,
                                  on_read_back, spool);
        spool->is_busy = err == 0;
    } else {
        if (imi_buf_append(&spool->memory, spool->pending.data, spool->pending.size) != 0)
            err = IMAGINE_ENOMEM;
        imi_buf_reset(&spool->pending);
        spool->is_reading_back = false;
        close_file(spool);
    }
    if (err != 0)
        lose(spool, err);
}

static void on_read_back(int64_t result, const void *data, void *user) {
    imi_spool_t *spool = user;
    spool->is_busy = false;
    if (result <= 0)
        lose(spool, IMAGINE_EIO);
    else if (imi_buf_append(&spool->memory, data, (size_t)result) != 0)
        lose(spool, IMAGINE_ENOMEM);
    else
        read_back(spool);
    tell(spool);
}

/* ---- who waits for something -------------------------------------------------------------------
 */

void imi_spool_watch(imi_spool_t *spool, imi_spool_cb on_change, void *user) {
    spool->on_change = on_change;
    spool->change_user = user;
}

void imi_spool_leave(imi_spool_t *spool) {
    imi_spool_watch(spool, NULL, NULL);
    spool->is_left = spool->is_busy && imi_spool_is_settled(spool);
    spool->wanted = NOTHING;
}

static int want(imi_spool_t *spool, int wanted, imagine_folder_cb done, void *user) {
    IMI_ASSERT(imi_spool_is_settled(spool) && spool->wanted == NOTHING);
    if (spool->file == NULL)
        return IMAGINE_EIO;
    spool->wanted = wanted;
    spool->on_done = done;
    spool->done_user = user;
    return spool->is_busy ? 0 : start_wanted(spool);
}

int imi_spool_read(imi_spool_t *spool, uint64_t at, imagine_folder_cb done, void *user) {
    spool->wanted_at = at;
    return want(spool, READ, done, user);
}

int imi_spool_publish(imi_spool_t *spool, imagine_folder_cb done, void *user) {
    return want(spool, PUBLISH, done, user);
}

static int start_wanted(imi_spool_t *spool) {
    imagine_folder_t *folder = spool->folder;
    int err = spool->wanted == READ
                  ? folder->read(folder->self, spool->file, spool->wanted_at, IMI_SPOOL_PIECE_SIZE,
                                 on_wanted_done, spool)
                  : folder->finish(folder->self, spool->file, on_wanted_done, spool);
    spool->is_busy = err == 0;
    if (err != 0)
        spool->wanted = NOTHING;
    return err;
}

static void on_wanted_done(int64_t result, const void *data, void *user) {
    imi_spool_t *spool = user;
    bool is_left = spool->is_left;
    spool->is_busy = spool->is_left = false;
    if (is_left && spool->wanted == NOTHING)
        return;
    if (is_left) { /* the next one has waited for this one's end */
        int err = start_wanted(spool);
        if (err == 0)
            return;
        result = err;
    }
    spool->wanted = NOTHING;
    spool->on_done(result, data, spool->done_user);
}
