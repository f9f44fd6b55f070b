/* outage.h: that a provider's breaker is open, for the other instances on a shared storage. */
#ifndef IMI_CORE_OUTAGE_H
#define IMI_CORE_OUTAGE_H

#include "core/registry.h"

#define IMI_OUTAGE_PREFIX "live/outage/" /* and the provider's name: until when, in Unix ms */

/* Its breaker has opened, or closed again. */
void imi_outage_changed(const imi_provider_t *provider);
/* What another instance found; value NULL: it is over. */
void imi_outage_load(imagine_t *im, const char *key, const void *value, size_t value_size);

#endif
