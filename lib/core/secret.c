/* secret.c: see secret.h. A plain list: it is walked only when something failed. */
#include "core/secret.h"

#include <string.h>

#include "core/client.h"

#define SECRET_SIZE_MIN 4 /* shorter ones would mask ordinary words */

static bool has_secret(const imagine_t *im, imi_slice_t secret) {
    for (size_t i = 0; i < im->secret_count; i++)
        if (imi_slice_equals(secret, im->secrets[i]))
            return true;
    return false;
}

int imi_secrets_add(imagine_t *im, const char *list) {
    imi_slice_t rest = imi_slice_of(list), item;
    while (imi_slice_split(&rest, ',', &item)) {
        char **secrets;
        item = imi_slice_trim(item);
        for (size_t i = item.size; i-- > 1;)
            if (item.data[i] == '@') {
                item.size = i;
                break;
            }
        if (item.size < SECRET_SIZE_MIN || has_secret(im, item))
            continue;
        if ((im->secret_count & (im->secret_count + 1)) == 0) { /* full at 2^n - 1: double */
            size_t capacity = 2 * im->secret_count + 1;
            secrets = imi_mem_resize(&im->mem, im->secrets, capacity * sizeof(*secrets));
            if (secrets == NULL)
                return IMAGINE_ENOMEM;
            im->secrets = secrets;
        }
        im->secrets[im->secret_count] = imi_mem_strndup(&im->mem, item.data, item.size);
        if (im->secrets[im->secret_count] == NULL)
            return IMAGINE_ENOMEM;
        im->secret_count++;
    }
    return 0;
}

void imi_secrets_reset(imagine_t *im) {
    for (size_t i = 0; i < im->secret_count; i++) {
        imi_mem_wipe(im->secrets[i], strlen(im->secrets[i]));
        imi_mem_free(&im->mem, im->secrets[i]);
    }
    imi_mem_free(&im->mem, im->secrets);
    im->secrets = NULL;
    im->secret_count = 0;
}

void imi_secrets_mask(const imagine_t *im, char *text) {
    if (text == NULL)
        return;
    for (size_t i = 0; i < im->secret_count; i++)
        for (char *at = text; (at = strstr(at, im->secrets[i])) != NULL;)
            memset(at, '*', strlen(im->secrets[i]));
}
