/* keyring.h: the keys that seal what has to be secret in the store: the token that a task is bound
 * to. Sealed with the newest key, opened with any. Format and derivation: wire/seal.h. */
#ifndef IMI_CORE_KEYRING_H
#define IMI_CORE_KEYRING_H

#include "imagine.h"
#include "wire/arena.h"

/* Of a comma list of secrets, the newest first; NULL or "": none, and nothing is sealed. They take
 * the place of those before. 0, IMAGINE_EINVAL (more than eight), IMAGINE_ENOMEM. */
int imi_keyring_set(imagine_t *im, const char *secrets);
void imi_keyring_reset(imagine_t *im);

/* `context`: what it belongs to; it opens nowhere else. NULL: no key, or no memory. */
char *imi_keyring_seal(imagine_t *im, imi_arena_t *arena, const char *context, const char *secret);
/* NULL: no key of ours opens it, which the log is told once, or it was tampered with. */
char *imi_keyring_open(imagine_t *im, imi_arena_t *arena, const char *context, const char *sealed);

#endif
