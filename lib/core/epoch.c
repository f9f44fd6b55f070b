/* epoch.c: see epoch.h. */
#include "core/epoch.h"

#include <string.h>

#include "core/log.h"
#include "core/mark.h"
#include "core/peers.h"
#include "core/sync.h"
#include "wire/str.h"

static void tell_again(imagine_t *im) {
    imi_log(im, IMAGINE_LOG_WARN, "store.emptied");
    imi_marks_tell(im);
    imi_peers_renew(im);
}

/* Another epoch than ours was begun by somebody who found the storage empty. */
void imi_epoch_load(imagine_t *im, const char *key, const void *value, size_t value_size) {
    (void)key;
    if (value == NULL || value_size != IMI_EPOCH_SIZE)
        return; /* the next list tells */
    if (memcmp(im->epoch, value, IMI_EPOCH_SIZE) == 0)
        return;
    bool is_first = im->epoch[0] == '\0';
    memcpy(im->epoch, value, IMI_EPOCH_SIZE);
    if (!is_first)
        tell_again(im);
}

void imi_epoch_listed(imagine_t *im, size_t count) {
    bool is_first = im->epoch[0] == '\0';
    uint64_t random = imi_random64(im);
    if (count > 0 || !imi_sync_is_shared(im))
        return;
    imi_hex(im->epoch, &random, sizeof(random));
    imi_sync_put(im, IMI_EPOCH_KEY, im->epoch, IMI_EPOCH_SIZE, 0);
    if (!is_first)
        tell_again(im);
}
