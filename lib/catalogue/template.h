/* template.h: what may stand in a template of the catalogue. */
#ifndef IMI_CATALOGUE_TEMPLATE_H
#define IMI_CATALOGUE_TEMPLATE_H

#include <stdbool.h>

/* Is it known which names the code of this kind gives its templates? Of a host's own it is not. */
bool imi_catalogue_template_is_known(const char *kind);
/* What is wrong with a text of a template; NULL: nothing. */
const char *imi_catalogue_template_complaint(const char *text);

#endif
