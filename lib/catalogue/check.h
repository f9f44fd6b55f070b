/* check.h: is this a catalogue? Says in one line what is wrong and where. */
#ifndef IMI_CATALOGUE_CHECK_H
#define IMI_CATALOGUE_CHECK_H

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "wire/arena.h"

/* A patch may leave anything out and hold null; a whole document may not. *out_message lies in the
 * arena: "providers.gitee.models[3].steps.range: two numbers expected". 0, IMAGINE_EINVAL,
 * IMAGINE_ENOMEM. */
int imi_catalogue_check(const cJSON *document, bool is_patch, imi_arena_t *arena,
                        const char **out_message);

/* The bit IMI_TYPE_… of "text2image"; 0: there is no such type. */
unsigned imi_catalogue_type(const char *name);
/* "+08:00", "Z" or "UTC" in minutes; "pacific" leaves *out_minutes and sets *out_is_pacific. */
bool imi_catalogue_zone(const char *zone, int *out_minutes, bool *out_is_pacific);
/* Members of this name hold an http(s) address, wherever they stand. */
bool imi_catalogue_is_address(const char *name);

#endif
