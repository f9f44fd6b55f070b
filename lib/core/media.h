/* media.h: how large pictures and videos may be, and what they are called where they are hosted: an
 * object of a bucket, or a file of a folder. */
#ifndef IMI_CORE_MEDIA_H
#define IMI_CORE_MEDIA_H

#include <stdbool.h>

#include "imagine/io.h"

#define IMI_IMAGE_SIZE_MAX (50u * 1024 * 1024)
#define IMI_VIDEO_SIZE_MAX (512u * 1024 * 1024)

#define IMI_MEDIA_PREFIX "uploads/" /* of every object of ours; nothing else is ever deleted */
#define IMI_MEDIA_NAME_SIZE 96

/* 128 random bits: the name is all that guards the file. False: no random bytes. */
bool imi_media_file_name(const imagine_io_t *io, const char *mime, char out[IMI_MEDIA_NAME_SIZE]);
/* In a folder of the day, with 122 random bits: the link is signed anyway. Likewise. */
bool imi_media_object_name(const imagine_io_t *io, const char *mime, char out[IMI_MEDIA_NAME_SIZE]);

#endif
