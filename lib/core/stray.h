/* stray.h: tokens that were meant for somebody. */
#ifndef IMI_CORE_STRAY_H
#define IMI_CORE_STRAY_H

#include "imagine.h"

/* Warns of each <PROVIDER>_TOKENS whose provider nobody knows, and says which one may be meant. On
 * the loop's thread. */
void imi_stray_tell(imagine_t *im, const imagine_settings_t *settings);

#endif
