/* xml.h: the little XML that S3 speaks, read where it lies: elements by name, and their texts. No
 * tree, no declarations, no entities but the five of XML itself and numbers. */
#ifndef IMI_WIRE_XML_H
#define IMI_WIRE_XML_H

#include <stdbool.h>

#include "wire/arena.h"
#include "wire/buf.h"
#include "wire/str.h"

/* The next element of this name in `rest`, however deep; its inside, and `rest` goes on behind it.
 * An element with another of its own name inside ends at the first end tag. False: there is none,
 * or it does not end. */
bool imi_xml_next(imi_slice_t *rest, const char *name, imi_slice_t *out);
/* A text without its entities, NUL-terminated. NULL: an unknown or broken one, or no memory. */
char *imi_xml_text(imi_arena_t *arena, imi_slice_t text);
/* The other way round. Errors stick in the buffer. */
int imi_xml_escape(imi_buf_t *out, const char *text);

#endif
