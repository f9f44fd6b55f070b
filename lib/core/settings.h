/* settings.h: the table of all settings, and reading files of them. */
#ifndef IMI_CORE_SETTINGS_H
#define IMI_CORE_SETTINGS_H

#include <stdint.h>

#include "imagine.h"

typedef enum imi_setting_kind {
    IMI_SETTING_TEXT,
    IMI_SETTING_SECRET,  /* one secret */
    IMI_SETTING_SECRETS, /* a comma list of them */
    IMI_SETTING_NUMBER,  /* whole, from min to max */
    IMI_SETTING_CHOICE,  /* one of `choices` */
    IMI_SETTING_URL,     /* http or https, no user info, no query */
    IMI_SETTING_HOSTS,   /* see imi_hosts_parse() */
} imi_setting_kind_t;

typedef struct imi_setting {
    const char *name;
    imi_setting_kind_t kind;
    const char *otherwise; /* the default; NULL: none */
    int64_t min, max;
    const char *choices; /* "a|b|c" */
    const char *help;
    int support; /* IMI_SUPPORTED … */
} imi_setting_t;

enum {
    IMI_SUPPORTED,
    IMI_LATER,  /* known, and without effect in this version: said by the description */
    IMI_REFUSED /* known, and starting without its effect would mislead */
};

#endif
