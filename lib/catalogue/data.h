/* data.h: the text of lib/providers/catalogue.json, which the Makefile turns into
 * build/catalogue_data.c, so that the library needs no file at run time. */
#ifndef IMI_CATALOGUE_DATA_H
#define IMI_CATALOGUE_DATA_H

#include <stddef.h>

extern const unsigned char imi_catalogue_data[]; /* JSON, with a NUL behind it */
extern const size_t imi_catalogue_data_size;     /* without the NUL */

#endif
