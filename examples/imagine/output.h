/* output.h: where results go. A file appears whole or not at all: it is written under another name
 * in the same folder, and renamed. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include "app.h"

#define NAME_SIZE 4096

/* Can there be a file of -o? Asked before anybody is paid. 0, or the exit code: it was said. */
int output_check(app_t *app);

/* Writes picture or video `index` of a result to where -o says, or to a name that is free.
 * `*out_name` (of NAME_SIZE) is the file, "-" for standard output. 0, or the exit code: it was
 * said. */
int output_write(app_t *app, const imagine_result_t *result, size_t index, char *out_name);

/* The bytes as a file of this name. 0, or an errno. */
int output_file(const char *path, const void *data, size_t data_size);
/* To a descriptor; a signal ends it. 0, or an errno. */
int output_all(int fd, const void *data, size_t data_size);
/* How files of a type end, with the dot: ".png". */
const char *output_extension(const char *mime);

#endif
