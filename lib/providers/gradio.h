/* gradio.h: pictures that a Gradio Space is to work on must lie on that Space first. */
#ifndef IMI_PROVIDERS_GRADIO_H
#define IMI_PROVIDERS_GRADIO_H

#include <stddef.h>
#include <stdint.h>

#include "imagine/provider.h"

#define IMI_GRADIO_FILES_MAX 16 /* as many pictures as a request may have */

/* Lives in the call's memory, zeroed; `space`, `auth` and `next` are the caller's to set. */
typedef struct imi_gradio_upload {
    const char *space; /* "https://….hf.space" */
    int32_t auth;
    imagine_call_cb next; /* where the call goes on when every picture has its path */
    size_t count;
    const char *paths[IMI_GRADIO_FILES_MAX]; /* what the Space calls picture i; the caller's http
                                                address where it gave one */
} imi_gradio_upload_t;

/* A step: sends the pictures that have no address of their own, all in one request. Takes the
 * call's state until `next` runs; `upload` is its state then. */
void imi_gradio_upload(imagine_call_t *call, imi_gradio_upload_t *upload);

#endif
