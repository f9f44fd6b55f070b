/* secret.h: texts that must never leave: tokens and keys that were configured. Messages from
 * outside pass through the mask once, before they reach a result or a log line. */
#ifndef IMI_CORE_SECRET_H
#define IMI_CORE_SECRET_H

#include "imagine.h"
#include "wire/str.h"

/* Remembers one, or each of a comma list ("a@group" counts as "a"). 0 or IMAGINE_ENOMEM. Never
 * forgotten while the client lives: an old token may still be quoted by a slow answer. */
int imi_secrets_add(imagine_t *im, const char *list);
void imi_secrets_reset(imagine_t *im);
/* Overwrites every secret of 4 bytes or more in the text with asterisks. */
void imi_secrets_mask(const imagine_t *im, char *text);

#endif
