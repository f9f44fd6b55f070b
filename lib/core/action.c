/* action.c: see action.h. */
#include "core/action.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *name, *other_name;
} action_names[] = {
    [IMI_GENERATE] = {"generate", "imagine"},
    [IMI_EDIT] = {"edit", NULL},
    [IMI_TEXT] = {"text", NULL},
    [IMI_VIDEO] = {"video", NULL},
    [IMI_UPSCALE] = {"upscaler", "upscale"},
    [IMI_TASK_STATUS] = {"task-status", NULL},
};

const char *imi_action_name(imi_action_t action) {
    return action_names[action].name;
}

int imi_action_from_name(const char *name) {
    for (int i = 0; name != NULL && i <= IMI_TASK_STATUS; i++)
        if (strcmp(action_names[i].name, name) == 0 ||
            (action_names[i].other_name != NULL && strcmp(action_names[i].other_name, name) == 0))
            return i;
    return -1;
}
