/* hosting.h: results get an address of our own: an object of a bucket, or a file of a folder that a
 * gateway serves (imagine/hosting.h). Nothing is hosted but what its first bytes say is a picture
 * or a video. */
#ifndef IMI_CORE_HOSTING_H
#define IMI_CORE_HOSTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imagine/hosting.h"
#include "core/client.h"
#include "core/s3.h"
#include "wire/list.h"

#define IMI_HOSTING_MEDIA "/media/"

typedef struct imi_hosting {
    imi_arena_t arena; /* what the settings said */
    bool has_s3;
    imi_s3_t s3;
    imagine_folder_t *folder; /* NULL: S3 */
    imagine_folder_t
        *spool_folder;      /* what comes inside an answer goes there first; NULL: nowhere */
    const char *public_url; /* in front of IMI_HOSTING_MEDIA; "": addresses of the server's own */
    uint64_t swept_at_ms;
    imi_list_t uploads; /* under way */
    imi_list_t spools;
    struct imi_cleanup *cleanup;
} imi_hosting_t;

typedef struct imi_hosting_settings {
    imi_s3_settings_t s3;  /* endpoint NULL: not this */
    const char *media_dir; /* NULL: not this; S3 wins */
    const char *public_url;
} imi_hosting_settings_t;

/* Takes the place of what was configured before. 0, IMAGINE_EINVAL (S3: incomplete, or no address),
 * IMAGINE_EIO, IMAGINE_ENOTSUP (the folder), IMAGINE_EBUSY (something is being uploaded),
 * IMAGINE_ENOMEM. */
int imi_hosting_configure(imagine_t *im, const imi_hosting_settings_t *settings);
/* Uploads under way end without a word. `closed` may run inside. */
void imi_hosting_close(imagine_t *im, imagine_closed_cb closed, void *user);

/* Is there any? */
bool imi_hosting_is_on(const imagine_t *im);
/* Do its addresses lead anywhere for somebody who does not know our server's? */
bool imi_hosting_is_public(const imagine_t *im);

typedef struct imi_upload imi_upload_t;
typedef struct imi_spool imi_spool_t;
/* `text`: the new address, or why there is none; dies when this returns. */
typedef void (*imi_hosting_cb)(int error, const char *text, void *user);

/* Bytes at hand, or the base64 of them (then without a copy, if it is all letters); borrowed until
 * the end. 0 and `on_done` later, once, or an error and never. */
int imi_hosting_put(imagine_t *im, imi_slice_t bytes, bool is_base64, imi_hosting_cb on_done,
                    void *user, imi_upload_t **out);
/* What is, or will be, in a file; borrowed likewise. It stays there when hosting fails. */
int imi_hosting_put_spool(imagine_t *im, imi_spool_t *spool, imi_hosting_cb on_done, void *user,
                          imi_upload_t **out);
/* What lies at an address, guarded, at most 50 MiB of a picture and 512 MiB of a video. Likewise.
 */
int imi_hosting_copy(imagine_t *im, const char *url, imi_hosting_cb on_done, void *user,
                     imi_upload_t **out);
/* `on_done` does not run any more. */
void imi_hosting_cancel(imi_upload_t *upload);

#endif
