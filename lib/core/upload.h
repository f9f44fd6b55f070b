/* upload.h: one result on its way to where it is hosted. */
#ifndef IMI_CORE_UPLOAD_H
#define IMI_CORE_UPLOAD_H

#include "core/exchange.h"
#include "core/hosting.h"
#include "core/spool.h"

#define IMI_UPLOAD_WINDOW_SIZE (128u * 1024)          /* then a download is paused */
#define IMI_UPLOAD_SPOOL_SIZE_MAX (64u * 1024 * 1024) /* of what has to be whole before it goes */
#define IMI_UPLOAD_TRIES_MAX 2

struct imi_upload {
    imi_list_t link; /* in the hosting's uploads */
    imagine_t *im;
    imi_arena_t arena;
    imi_hosting_cb on_done;
    void *user;
    const char *mime; /* by the first bytes; NULL: not known yet */
    const char *name; /* of the object or the file */
    uint64_t size;    /* known where has_size is set */
    bool has_size;
    uint32_t tries;

    /* in memory: bytes, or letters that stand for them */
    imi_slice_t bytes;
    bool is_base64;
    void *decoded; /* what `bytes` lie in, if they are ours; NULL: they are not */
    size_t at;
    unsigned char carry[3]; /* a group of letters that the reader had no room for */
    size_t carry_at, carry_size;

    /* or in a file */
    imi_spool_t *spool; /* borrowed; NULL: it is not */
    uint64_t spool_at;
    bool is_reading;

    /* or behind an address */
    const char *url; /* NULL: in memory */
    imi_exchange_t download;
    bool is_downloading, is_paused;
    bool is_spooling; /* it has to be whole before it goes on */
    imi_buf_t window; /* what has come, or was read, and not gone, from window_at on */
    size_t window_at;
    uint64_t received_size;

    /* where it goes */
    imagine_http_exchange_t *put;
    int32_t put_status;
    imi_buf_t put_answer;
    imagine_file_t *file;
    char *piece; /* for the file */
    bool is_writing;
};

/* Removes files that are too old, if that was not done lately: there is no timer for it that would
 * wake an idle process. */
void imi_upload_sweep(imagine_t *im);

#endif
