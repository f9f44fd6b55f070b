/* reason.c: see reason.h.
 *
 * A provider may quote the prompt, in whole or in part, and no prompt may reach a log. A run of 12
 * bytes that both have is taken for a quotation; of a shorter prompt, all of it. The prompt may be
 * a thousand times longer than the message, so it is walked once: a table of bits says of most
 * places at once that the message has nothing of the kind. */
#include "core/reason.h"

#include <stdbool.h>
#include <string.h>

#include "core/secret.h"
#include "wire/str.h"

enum {
    MESSAGE_SIZE_MAX = 500,
    RUN_SIZE = 12,
    RUN_SIZE_MIN = 4, /* a prompt of three bytes says nothing of anybody */
    TABLE_SIZE = 1024 /* bytes: one bit in sixteen is set by a message of full length */
};

static uint32_t place_of(const char *at) {
    uint32_t number;
    memcpy(&number, at, sizeof(number));
    return (number * UINT32_C(2654435761)) >> 19;
}

static void hide_prompt(char *text, const char *prompt) {
    unsigned char table[TABLE_SIZE] = {0};
    char original[MESSAGE_SIZE_MAX + 1];
    size_t size = strlen(text), prompt_size = strlen(prompt);
    size_t run_size = prompt_size < RUN_SIZE ? prompt_size : RUN_SIZE;
    if (run_size < RUN_SIZE_MIN || size < run_size || size > MESSAGE_SIZE_MAX)
        return;
    memcpy(original, text, size);
    for (size_t i = 0; i + RUN_SIZE_MIN <= size; i++)
        table[place_of(text + i) / 8] |= (unsigned char)(1u << place_of(text + i) % 8);
    for (size_t i = 0; i + run_size <= prompt_size; i++) {
        const char *run = prompt + i, *found = original;
        if ((table[place_of(run) / 8] >> place_of(run) % 8 & 1) == 0)
            continue;
        while ((found = memmem(found, size - (size_t)(found - original), run, run_size)) != NULL)
            memset(text + (found++ - original), '*', run_size);
    }
}

/* A character that was hidden in part is none any more: the asterisks go on to its end. */
static void mend_characters(char *text) {
    size_t size = strlen(text);
    for (size_t at = 0, step = 0; at < size; at += step) {
        bool is_valid = true;
        step = imi_utf8_next(text + at, size - at, &is_valid);
        if (!is_valid)
            memset(text + at, '*', step);
    }
}

const char *imi_reason(const imagine_t *im, imi_arena_t *arena, const char *message,
                       const char *prompt) {
    size_t size = 0, character_count = 0;
    char *reason =
        message == NULL ? NULL : imi_text_clean(arena, message, strlen(message), MESSAGE_SIZE_MAX);
    if (reason == NULL)
        return "";
    imi_secrets_mask(im, reason);
    if (prompt != NULL)
        hide_prompt(reason, prompt);
    mend_characters(reason);
    while (reason[size] != '\0' && character_count++ < IMI_REASON_CHARACTERS_MAX) {
        bool is_valid = true;
        if (reason[size] == '"' || reason[size] == '\\')
            reason[size] = '\'';
        size += imi_utf8_next(reason + size, strlen(reason + size), &is_valid);
    }
    reason[size] = '\0';
    return reason;
}
