/* hosting.c: what is configured, for as long as the client lives. Moving bytes: upload.c. */
#include "core/hosting.h"

#include <string.h>

#include "core/cleanup.h"
#include "core/spool.h"
#include "core/upload.h"
#include "wire/assert.h"

bool imi_hosting_is_on(const imagine_t *im) {
    return im->hosting != NULL;
}

bool imi_hosting_is_public(const imagine_t *im) {
    return im->hosting != NULL && (im->hosting->has_s3 || im->hosting->public_url[0] != '\0');
}

const imagine_folder_t *imagine_hosting_folder(const imagine_t *im) {
    return im != NULL && im->hosting != NULL ? im->hosting->folder : NULL;
}

static bool is_set(const char *text) {
    return text != NULL && text[0] != '\0';
}

static int open_folder(imagine_t *im, imi_hosting_t *hosting, const char *path) {
#ifdef IMAGINE_WITHOUT_LIBUV
    (void)im;
    (void)hosting;
    (void)path;
    return IMAGINE_ENOTSUP;
#else
    return imagine_folder_uv_open(&hosting->folder, im->io, path);
#endif
}

/* Without one, pictures wait in memory. */
static void open_spool_folder(imagine_t *im, imi_hosting_t *hosting) {
    hosting->spool_folder = hosting->folder;
#ifdef IMAGINE_WITHOUT_LIBUV
    (void)im;
#else
    if (hosting->has_s3)
        (void)imagine_folder_uv_open(&hosting->spool_folder, im->io, NULL);
#endif
}

static int open_hosting(imagine_t *im, imi_hosting_t *hosting,
                        const imi_hosting_settings_t *settings) {
    const imi_s3_settings_t *s3 = &settings->s3;
    const char *public_url = is_set(settings->public_url) ? settings->public_url : "";
    size_t size = strlen(public_url);
    while (size > 0 && public_url[size - 1] == '/')
        size--;
    hosting->public_url = imi_arena_strndup(&hosting->arena, public_url, size);
    if (hosting->public_url == NULL)
        return IMAGINE_ENOMEM;
    if (!is_set(s3->endpoint))
        return open_folder(im, hosting, settings->media_dir);
    if (!is_set(s3->access_key_id) || !is_set(s3->secret) || !is_set(s3->bucket))
        return IMAGINE_EINVAL;
    hosting->has_s3 = true;
    return imi_s3_init(&hosting->s3, &hosting->arena, s3);
}

int imi_hosting_configure(imagine_t *im, const imi_hosting_settings_t *settings) {
    bool is_wanted = is_set(settings->s3.endpoint) || is_set(settings->media_dir);
    imi_hosting_t *hosting = NULL;
    int err = 0;
    if (im->hosting != NULL &&
        (!imi_list_is_empty(&im->hosting->uploads) || !imi_list_is_empty(&im->hosting->spools) ||
         im->hosting->cleanup != NULL))
        return IMAGINE_EBUSY;
    if (is_wanted && im->io->http_pause == NULL)
        return IMAGINE_ENOTSUP; /* results pass through in pieces, at the slower end's pace */
    if (is_wanted) {
        hosting = imi_mem_zalloc(&im->mem, sizeof(*hosting));
        if (hosting == NULL)
            return IMAGINE_ENOMEM;
        imi_arena_init(&hosting->arena, &im->mem, 0);
        imi_list_init(&hosting->uploads);
        imi_list_init(&hosting->spools);
        err = open_hosting(im, hosting, settings);
    }
    if (err != 0) {
        imi_arena_reset(&hosting->arena);
        imi_mem_free(&im->mem, hosting);
        return err;
    }
    imi_hosting_close(im, NULL, NULL);
    im->hosting = hosting;
    if (hosting != NULL) {
        open_spool_folder(im, hosting);
        imi_upload_sweep(im);
    }
    return 0;
}

void imi_hosting_close(imagine_t *im, imagine_closed_cb closed, void *user) {
    imi_hosting_t *hosting = im->hosting;
    imagine_folder_t *folder = NULL;
    if (hosting != NULL) {
        while (!imi_list_is_empty(&hosting->uploads))
            imi_hosting_cancel(IMI_CONTAINER(hosting->uploads.next, imi_upload_t, link));
        imi_cleanup_cancel(hosting);
        IMI_ASSERT(imi_list_is_empty(&hosting->spools)); /* they ended with their requests */
        im->hosting = NULL;
        folder = hosting->spool_folder; /* which is hosting->folder, where there is one */
        imi_arena_reset(&hosting->arena);
        imi_mem_free(&im->mem, hosting);
    }
    if (folder != NULL)
        folder->destroy(folder->self, closed, user);
    else if (closed != NULL)
        closed(user);
}
