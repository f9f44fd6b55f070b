/* static.h: the page and its files, read once into memory, so that serving them never waits for a
 * disk and no path can lead out of the directory. */
#ifndef IMI_GATEWAY_STATIC_H
#define IMI_GATEWAY_STATIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/mem.h"
#include "wire/str.h"

enum {
    IMI_STATIC_FILES_MAX = 4096,
    IMI_STATIC_SIZE_MAX = 64 * 1024 * 1024, /* of all files together */
    IMI_STATIC_PATH_SIZE_MAX = 1024,        /* longer names are left out */
    IMI_STATIC_DEPTH_MAX = 16,              /* directories in directories */
};

typedef struct imi_static_file {
    char *path; /* "/assets/page.js" */
    const char *type;
    char *data;
    size_t size;
    char etag[35]; /* quoted */
} imi_static_file_t;

typedef struct imi_static {
    const imi_mem_t *mem;
    imi_static_file_t *files; /* sorted by path */
    size_t count;
    size_t capacity;
    size_t total_size;
} imi_static_t;

/* Reads everything below `root` but names that begin with a dot, links that lead out of it, and
 * links to directories. 0, IMAGINE_EIO or IMAGINE_ENOMEM; *out_message (static) says what is wrong.
 * Blocks: for the start. */
int imi_static_open(imi_static_t *files, const imi_mem_t *mem, const char *root,
                    const char **out_message);
void imi_static_close(imi_static_t *files);

/* The file for a request's raw path; a path that ends with a slash is its directory's index.html.
 * NULL: there is none. */
const imi_static_file_t *imi_static_find(const imi_static_t *files, imi_slice_t path);

/* Does a person's browser go there, so that a page is a better answer than an error? */
bool imi_static_is_navigation(imi_slice_t accept, imi_slice_t fetch_mode);
/* Does If-None-Match name this tag? Compared weakly (RFC 9110, section 13.1.2). */
bool imi_static_has_tag(imi_slice_t if_none_match, const char *etag);

#endif
