/* head.h: the header lines of an answer, as they come, and as the handler gets them. */
#ifndef IMI_UV_HEAD_H
#define IMI_UV_HEAD_H

#include <stddef.h>

#include "imagine/io.h"
#include "wire/buf.h"

typedef struct imi_head {
    imi_buf_t text; /* name NUL value NUL, and so on */
    size_t count;
} imi_head_t;

void imi_head_init(imi_head_t *head, const imi_mem_t *mem);
void imi_head_reset(imi_head_t *head); /* frees; ready for the next head */

/* One line with its line break, the status line excepted. A line without a name is left out.
 * 0, IMAGINE_ETOOLARGE (too many, too long), IMAGINE_ENOMEM. */
int imi_head_add(imi_head_t *head, const char *line, size_t size);

/* The headers, in an array to free with imi_mem_free() and the head's `mem`; they live as long as
 * the head stays as it is. NULL: no memory. */
imagine_header_t *imi_head_list(const imi_head_t *head);

#endif
