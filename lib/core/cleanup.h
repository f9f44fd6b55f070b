/* cleanup.h: removes what was hosted between two instants. */
#ifndef IMI_CORE_CLEANUP_H
#define IMI_CORE_CLEANUP_H

#include "core/hosting.h"

/* The one under way, if any, ends with IMAGINE_ECANCELED. */
void imi_cleanup_cancel(imi_hosting_t *hosting);

#endif
