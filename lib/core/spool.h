/* spool.h: a picture that is put into a file while it comes, until it goes where it is hosted: the
 * file that will be hosted (MEDIA_DIR), or one without a name (S3).
 *
 *   growing -(imi_spool_end)-> whole -(all is written)-> settled
 *
 * When the file fails, what is in it is read back, and the picture stays in memory. */
#ifndef IMI_CORE_SPOOL_H
#define IMI_CORE_SPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "imagine/hosting.h"
#include "core/client.h"
#include "core/media.h"
#include "wire/buf.h"
#include "wire/list.h"
#include "wire/sha256.h"

#define IMI_SPOOL_WINDOW_SIZE (64u * 1024) /* may wait for the file; then the source waits, too */
#define IMI_SPOOL_PIECE_SIZE (48u * 1024)  /* of one operation; a multiple of 3, see base64 */

typedef struct imi_spool imi_spool_t;
typedef void (*imi_spool_cb)(imi_spool_t *spool, void *user);

struct imi_spool {
    imi_list_t link; /* in the hosting's spools */
    imagine_t *im;
    imagine_folder_t *folder;
    imagine_file_t *file; /* NULL: in memory, or gone */
    char name[IMI_MEDIA_NAME_SIZE];
    const char *mime;
    uint64_t size;         /* that have come */
    uint64_t written_size; /* that are in the file */
    imi_buf_t pending;     /* have come and are not there yet */
    imi_buf_t memory;      /* all of it, where there is no file */
    imi_sha256_sum_t hash;
    bool is_hashed;
    bool is_whole;
    bool is_reading_back;
    int error; /* IMAGINE_EIO, IMAGINE_ENOMEM: it is lost */

    imi_spool_cb on_change; /* there is room again, it is settled, or lost; NULL: nobody asks */
    void *change_user;

    /* the operation under way, and the one that somebody waits for */
    bool is_busy;
    bool is_left; /* … nobody waits for the one under way any more */
    int wanted;
    imagine_folder_cb on_done;
    void *done_user;
    uint64_t wanted_at;
};

/* 0; IMAGINE_ENOTSUP: there is no folder for it; IMAGINE_ENOMEM, IMAGINE_EIO. */
int imi_spool_open(imi_spool_t **out, imagine_t *im, const char *mime);
/* Never calls back. 0, or its error. */
int imi_spool_add(imi_spool_t *spool, const void *data, size_t size);
void imi_spool_end(imi_spool_t *spool);
/* How much waits for the file. */
size_t imi_spool_pending_size(const imi_spool_t *spool);
bool imi_spool_is_settled(const imi_spool_t *spool); /* or lost */

/* Who wants to know of changes, in place of whoever did. */
void imi_spool_watch(imi_spool_t *spool, imi_spool_cb on_change, void *user);
/* Nobody wants to know, or to read, any more. */
void imi_spool_leave(imi_spool_t *spool);

/* Of a settled one that has a file: a piece of it, or others may see it from now on. As
 * imagine_folder_t's functions; one at a time. */
int imi_spool_read(imi_spool_t *spool, uint64_t at, imagine_folder_cb done, void *user);
int imi_spool_publish(imi_spool_t *spool, imagine_folder_cb done, void *user);

/* Any time; the file goes, if it was not published. NULL is fine. */
void imi_spool_close(imi_spool_t *spool);

#endif
