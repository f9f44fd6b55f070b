/* files.h: parts of a catalogue that lie in files beside it, since they come from other
 * programs as files. Reading them is the caller's business. */
#ifndef IMI_CATALOGUE_FILES_H
#define IMI_CATALOGUE_FILES_H

#include "wire/arena.h"
#include "wire/buf.h"
#include "wire/str.h"

/* The whole file, malloc'ed; NULL: it cannot be read. */
typedef char *(*imi_catalogue_read_cb)(void *user, const char *name, size_t *out_size);

/* `document` with each "workflow_file": "name" replaced by "workflow": what that file holds. One
 * that names no file, or is no JSON, goes into `out` as it is. IMAGINE_EINVAL, IMAGINE_EIO:
 * *out_message says what is wrong, in memory of the arena. */
int imi_catalogue_files(imi_slice_t document, imi_catalogue_read_cb read, void *user,
                        imi_buf_t *out, imi_arena_t *arena, const char **out_message);

#endif
