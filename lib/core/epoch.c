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

static void on_read(int status, const void *value, size_t value_size, void *user) {
    if (status == 0)
        imi_epoch_load(user, IMI_EPOCH_KEY, value, value_size);
}

/* Several that begin together all find the storage empty: the first to write has begun the epoch,
 * and it is no news to the others. */
static void on_claimed(int status, void *user) {
    imagine_t *im = user;
    char claim[IMI_EPOCH_SIZE + 1];
    memcpy(claim, im->epoch_claim, sizeof(claim));
    im->epoch_claim[0] = '\0';
    if (status == IMAGINE_ENOTFOUND) /* without memory for it the next list tells */
        (void)imi_sync_get(im, IMI_EPOCH_KEY, on_read, im);
    if (status == IMAGINE_ENOTFOUND || status == IMAGINE_ECLOSED)
        return;
    memcpy(im->epoch, claim, sizeof(claim));
    if (status != 0)
        imi_sync_put(im, IMI_EPOCH_KEY, im->epoch, IMI_EPOCH_SIZE, 0);
}

void imi_epoch_listed(imagine_t *im, size_t count) {
    const imi_slice_t absent = {NULL, 0};
    bool is_first = im->epoch[0] == '\0';
    uint64_t random = imi_random64(im);
    int err;
    if (count > 0 || !imi_sync_is_shared(im) || im->epoch_claim[0] != '\0')
        return;
    im->epoch[0] = '\0';
    imi_hex(im->epoch_claim, &random, sizeof(random));
    err = imi_sync_swap(im, IMI_EPOCH_KEY, absent, (imi_slice_t){im->epoch_claim, IMI_EPOCH_SIZE},
                        0, on_claimed, im);
    if (err != 0)
        on_claimed(err, im);
    if (!is_first)
        tell_again(im);
}
