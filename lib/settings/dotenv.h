/* dotenv.h: a file of NAME=value lines, as shells and many tools have it.
 *   # a comment                     NAME = value   # up to a blank and a '#'
 *   export NAME='as it is, $ too'   NAME="with \n \r \t \" \\ \$, over several lines too"
 * Nothing is expanded. Pure: reads a text, touches nothing. */
#ifndef IMI_SETTINGS_DOTENV_H
#define IMI_SETTINGS_DOTENV_H

#include <stdbool.h>
#include <stddef.h>

#include "wire/buf.h"
#include "wire/str.h"

#define IMI_DOTENV_NAME_SIZE_MAX 64

typedef enum imi_dotenv_result {
    IMI_DOTENV_END,
    IMI_DOTENV_ENTRY,
    IMI_DOTENV_BROKEN, /* `problem` says why; nothing can be read behind it */
} imi_dotenv_result_t;

typedef struct imi_dotenv {
    imi_slice_t rest;
    size_t line; /* on which the entry last read begins, from 1 */
    size_t next_line;
    bool has_nul;
    const char *problem; /* static text */
} imi_dotenv_t;

/* A byte order mark in front is skipped. */
void imi_dotenv_init(imi_dotenv_t *dotenv, imi_slice_t text);
/* `value` is emptied first; its `error` tells when memory or its limit ran out. */
imi_dotenv_result_t imi_dotenv_next(imi_dotenv_t *dotenv, imi_slice_t *out_name, imi_buf_t *value);

#endif
