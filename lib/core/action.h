/* action.h: what a provider can be asked for, and how callers name it. */
#ifndef IMI_CORE_ACTION_H
#define IMI_CORE_ACTION_H

typedef enum imi_action {
    IMI_GENERATE,
    IMI_EDIT,
    IMI_TEXT,
    IMI_VIDEO,
    IMI_UPSCALE,
    IMI_TASK_STATUS,
} imi_action_t;

const char *imi_action_name(imi_action_t action);
/* Accepts both spellings; -1: none. */
int imi_action_from_name(const char *name);

#endif
