/* token_list.h: the text of a setting as tokens: "a, b@group, c". */
#ifndef IMI_SETTINGS_TOKEN_LIST_H
#define IMI_SETTINGS_TOKEN_LIST_H

#include <stddef.h>

#include "wire/mem.h"
#include "wire/sha256.h"
#include "wire/str.h"

#define IMI_TOKENS_MAX 100000
#define IMI_TOKEN_SIZE_MAX 4096

typedef struct imi_token_item {
    imi_slice_t text;
    imi_slice_t group; /* absent: none */
    char fingerprint[IMI_FINGERPRINT_SIZE + 1];
} imi_token_item_t;

typedef struct imi_token_list {
    const imi_mem_t *mem;
    imi_token_item_t *items; /* their slices lie in the text that was read */
    size_t count;
    size_t capacity;
} imi_token_list_t;

/* Blanks around a token are dropped, empty items too; the same token twice counts once, with its
 * first group. 0, IMAGINE_EINVAL (blanks or control characters inside, nothing before or behind an
 * '@', too long, too many), IMAGINE_ENOMEM; then the list is empty. `text` NULL is an empty one. */
int imi_token_list_read(imi_token_list_t *out, const imi_mem_t *mem, const char *text);
void imi_token_list_reset(imi_token_list_t *list);

#endif
