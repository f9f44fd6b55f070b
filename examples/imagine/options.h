/* options.h: the command line. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <imagine.h>
#include <stdbool.h>
#include <stddef.h>

#define IMAGES_MAX 16 /* as the library has it */
#define JOBS_MAX 256

typedef struct options options_t;
typedef struct app app_t;

/* What can be done, in the order of --help. */
typedef struct command {
    const char *name;
    const char *type; /* of a model that can do it, as the catalogue has it; NULL: none */
    const char *synopsis;
    const char *help;
    const char *letters;    /* the options that it takes beside the common ones, see options.c */
    int (*run)(app_t *app); /* returns the exit code */
} command_t;
extern const command_t commands[];
extern const size_t command_count;

struct options {
    const command_t *command;
    const char *model;    /* as given; NULL: the first that can do it */
    const char *output;   /* a file, "-", for batch a folder; NULL: none given */
    const char *server;   /* NULL: not on the command line */
    const char *env_file; /* NULL: .env.local, .env */
    const char *catalogue, *state_file;
    const char *images[IMAGES_MAX]; /* paths, addresses or "-" */
    size_t image_count;
    const char *const *words; /* what stands behind the options */
    size_t word_count;
    imagine_params_t params; /* what the options say of it: model, prompt and pictures come later */
    size_t job_count;
    bool is_json, is_quiet, is_verbose, shows_all, has_wait;
};

/* Reads it all. Returns -1 to go on, else the exit code: the help was shown, or what is wrong was
 * said. */
int options_read(options_t *options, int argc, char **argv);

#endif
