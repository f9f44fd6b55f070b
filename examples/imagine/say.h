/* say.h: what people and scripts are told: results and failures on standard output as JSON, or in
 * words; remarks and progress on standard error. Nothing here knows a secret. */
#ifndef SAY_H
#define SAY_H

#include <stdio.h>

#include "app.h"

/* One line on standard error, unless --quiet; what moves there is wiped first. */
void say_remark(app_t *app, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Why there is nothing: a line, or with --json an object. Returns the exit code. */
int say_failure(app_t *app, int error, const char *message);
int say_result_failure(app_t *app, const imagine_result_t *result);
/* Time is up for us, and not for the task. */
int say_unfinished(app_t *app, const char *task_id);
/* A line that takes the place of the one before; only on a terminal. "" wipes it. */
void say_progress(app_t *app, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for several lines. */
void say_block(app_t *app, const char *const *lines, size_t line_count);

/* Pieces of a JSON object; `lead` is "{" or ",". Nothing is written for a NULL text. */
void json_text(FILE *out, const char *lead, const char *name, const char *text);
/* A text without what a terminal would obey; free(). NULL: no memory. */
char *plain_text(const char *text);
/* "1.5 MiB", "3 min 20 s". */
const char *size_text(char *out, size_t capacity, double bytes);
const char *time_text(char *out, size_t capacity, int64_t ms);

#endif
