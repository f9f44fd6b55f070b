/* reason.h: why something failed, as a log may have it: what strangers said without what is
 * nobody's business. */
#ifndef IMI_CORE_REASON_H
#define IMI_CORE_REASON_H

#include "imagine.h"
#include "wire/arena.h"

#define IMI_REASON_CHARACTERS_MAX 120

/* `message` on one line, cut; secrets and whatever it repeats of `prompt` (NULL: none) are
 * asterisks, and it can stand between quotes. "" for NULL or no memory. */
const char *imi_reason(const imagine_t *im, imi_arena_t *arena, const char *message,
                       const char *prompt);

#endif
