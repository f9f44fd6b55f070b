/* store_address.h: which storage the settings name. */
#ifndef IMI_SETTINGS_STORE_ADDRESS_H
#define IMI_SETTINGS_STORE_ADDRESS_H

#include "imagine.h"
#include "wire/buf.h"

/* For imagine_storage_open(): of KV_REST_API_URL, REDIS_URL, CF_ACCOUNT_ID and STATE_FILE the first
 * one that is there; appends nothing when nothing is to be kept. `*out_name`: the setting that it
 * comes from, or that is missing beside it. 0, IMAGINE_EINVAL (one is missing), IMAGINE_ENOMEM. */
int imi_store_address(imi_buf_t *out, const imagine_settings_t *settings, const char **out_name);

#endif
