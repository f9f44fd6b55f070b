/* tally.h: how often each token served, and failed, as the sum over all who share a storage, and
 * over restarts. The pool counts; what it counted is added to the storage's numbers in the
 * background, and what others added comes back with the answers, and when somebody asks.
 *
 *   stat/<provider>/<fingerprint>/<served|failed>
 *
 * An add whose answer was lost is repeated, so an outage may count some calls twice, never less.
 * Without a storage that is shared, and adds in one step, nothing here does anything. */
#ifndef IMI_CORE_TALLY_H
#define IMI_CORE_TALLY_H

#include <stdbool.h>

#include "core/client.h"

int imi_tally_open(imagine_t *im); /* 0 or IMAGINE_ENOMEM */
void imi_tally_close(imagine_t *im);

/* For pools: there is something to tell. `user` is the imi_provider_t. */
void imi_tally_counted(void *user);
/* Another storage than before. */
void imi_tally_attach(imagine_t *im);
/* Learns what others have counted, for whoever asks next: unless that was done a second ago, or,
 * with `is_forced`, in any case: there are other tokens. */
void imi_tally_refresh(imagine_t *im, bool is_forced);
/* The client closes. False: the last counts are being told; imi_client_close_later() follows when
 * they are, or half a second has passed. */
bool imi_tally_end(imagine_t *im);

#endif
