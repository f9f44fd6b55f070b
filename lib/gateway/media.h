/* media.h: results that the client keeps in a folder (imagine/hosting.h), under "/media/<name>". */
#ifndef IMI_GATEWAY_MEDIA_H
#define IMI_GATEWAY_MEDIA_H

#include <stdbool.h>
#include <stdint.h>

#include "imagine/gateway.h"
#include "wire/str.h"

typedef struct imi_media imi_media_t;

/* One range of bytes (RFC 9110, section 14.1.2), as asked for. */
typedef struct imi_media_range {
    bool is_wanted;
    int64_t first; /* -1: the last so many */
    int64_t last;  /* -1: to the end; of those: so many */
} imi_media_range_t;

/* Is it the name of one of ours, so that no file of the page's own is hidden? */
bool imi_media_has_path(imi_slice_t path);
/* What is no single range is as good as none. */
imi_media_range_t imi_media_read_range(imi_slice_t header);

/* Route. */
void imi_media_serve(imagine_exchange_t *exchange);
void imi_media_pause(imi_media_t *media, bool is_paused);
/* Nothing of it is answered any more. NULL is fine. */
void imi_media_stop(imi_media_t *media);

#endif
