/* batch_list.h: what a batch is to make: the lines of a file, each with a name for its picture, and
 * which of them are there already. */
#ifndef BATCH_LIST_H
#define BATCH_LIST_H

#include <stdint.h>

#include "app.h"

#define STEM_SIZE 64 /* of a file's name, without its extension */

typedef struct job {
    const char *prompt;
    size_t line;  /* from 1 */
    uint64_t key; /* of all that shapes the picture: 48 bits */
    bool is_made; /* its file was there before */
} job_t;

typedef struct batch_list {
    char *text;
    job_t *jobs; /* in the order of the lines */
    size_t count;
    int lock; /* the folder, locked */
} batch_list_t;

/* Reads the prompts, makes and locks the folder of -o, and looks what is there. 0, or the exit
 * code: what is wrong was said. */
int batch_list_open(batch_list_t *list, app_t *app);
void batch_list_close(batch_list_t *list);
/* The name of a job's file without folder and extension: "a-quiet-sea-0123456789ab". */
void batch_list_stem(const job_t *job, char out[STEM_SIZE]);

#endif
