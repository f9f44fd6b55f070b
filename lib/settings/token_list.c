/* token_list.c: see token_list.h. */
#include "settings/token_list.h"

#include <stdbool.h>

#include "imagine.h"
#include "wire/map.h"

static bool is_plain(imi_slice_t text) {
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return false;
    return text.size > 0 && text.size <= IMI_TOKEN_SIZE_MAX;
}

/* "token" or "token@group"; the last '@' counts. */
static bool read_item(imi_slice_t text, imi_token_item_t *item) {
    uint8_t digest[IMI_SHA256_SIZE];
    *item = (imi_token_item_t){.text = text};
    for (size_t i = text.size; i-- > 0;)
        if (text.data[i] == '@') {
            item->group = (imi_slice_t){text.data + i + 1, text.size - i - 1};
            item->text.size = i;
            break;
        }
    if (!is_plain(item->text) || (item->group.data != NULL && !is_plain(item->group)))
        return false;
    imi_sha256(digest, item->text.data, item->text.size);
    imi_hex(item->fingerprint, digest, IMI_FINGERPRINT_SIZE / 2);
    return true;
}

static imi_token_item_t *next_item(imi_token_list_t *list) {
    size_t capacity = list->capacity == 0 ? 16 : 2 * list->capacity;
    imi_token_item_t *items = NULL;
    if (list->count < list->capacity)
        return &list->items[list->count];
    items = imi_mem_resize(list->mem, list->items, capacity * sizeof(*items));
    if (items == NULL)
        return NULL;
    list->items = items;
    list->capacity = capacity;
    return &list->items[list->count];
}

static int read_items(imi_token_list_t *list, imi_map_t *seen, imi_slice_t rest) {
    imi_slice_t text;
    while (imi_slice_split(&rest, ',', &text)) {
        imi_token_item_t *item = NULL;
        text = imi_slice_trim(text);
        if (text.size == 0)
            continue;
        if (list->count == IMI_TOKENS_MAX)
            return IMAGINE_EINVAL;
        item = next_item(list);
        if (item == NULL)
            return IMAGINE_ENOMEM;
        if (!read_item(text, item))
            return IMAGINE_EINVAL;
        if (imi_map_get(seen, item->fingerprint, IMI_FINGERPRINT_SIZE) != NULL)
            continue;
        if (imi_map_set(seen, item->fingerprint, IMI_FINGERPRINT_SIZE, list) != 0)
            return IMAGINE_ENOMEM;
        list->count++;
    }
    return 0;
}

int imi_token_list_read(imi_token_list_t *out, const imi_mem_t *mem, const char *text) {
    imi_map_t seen;
    int err = 0;
    *out = (imi_token_list_t){.mem = mem};
    imi_map_init(&seen, mem, NULL); /* fingerprints spread by themselves */
    err = read_items(out, &seen, imi_slice_of(text));
    imi_map_reset(&seen);
    if (err != 0)
        imi_token_list_reset(out);
    return err;
}

void imi_token_list_reset(imi_token_list_t *list) {
    imi_mem_free(list->mem, list->items);
    *list = (imi_token_list_t){.mem = list->mem};
}
