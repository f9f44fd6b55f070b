/* options.c: see options.h. One table says what there is; --help is made of it.
 *
 * Each option has a letter, also where nobody can type it: by these letters a command says in
 * main.c which ones it takes. */
#include "options.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exit_code.h"

typedef struct option_row {
    char letter;
    bool is_short; /* -o, too */
    const char *name, *argument, *help;
} option_row_t;

/* Those that every command takes come last. */
static const option_row_t rows[] = {
    {'m', true, "model", "ID", "provider/model; without it the first one that can do it"},
    {'o', true, "output", "FILE", "a file, - for standard output, or a folder (for batch always)"},
    {'i', true, "image", "FILE", "picture that goes in: a file, an address, or - ; up to 16 times"},
    {'a', true, "ar", "W:H", "aspect ratio, as 16:9"},
    {'z', false, "size", "WxH", "size in pixels; wins over the ratio"},
    {'n', true, "count", "N", "so many pictures, 1 to 10"},
    {'s', false, "seed", "N", "seed; else a random one"},
    {'T', false, "steps", "N", "steps, held to the model's range"},
    {'g', false, "guidance", "X", "guidance, held to the model's range"},
    {'N', false, "negative", "TEXT", "what should not be seen"},
    {'H', false, "hd", NULL, "large pictures"},
    {'L', false, "no-hd", NULL, "small pictures"},
    {'d', false, "duration", "S", "seconds, 1 to 60"},
    {'x', false, "max-tokens", "N", "longest text"},
    {'p', false, "temperature", "X", "how freely it writes"},
    {'j', true, "jobs", "N", "so many at once; 4"},
    {'A', false, "all", NULL, "also those that cannot serve now"},
    {'w', false, "wait", "S", "how long to wait for a token that is used up; 0, for batch 120"},
    {'t', false, "timeout", "S", "how long it may take in all; 300, for a video 1800"},
    {'J', false, "json", NULL, "say on standard output what came of it, as JSON"},
    {'q', true, "quiet", NULL, "no progress, no remarks"},
    {'v', true, "verbose", NULL, "the library's log, on standard error (LOG_LEVEL, LOG_FORMAT)"},
    {'S', false, "server", "URL", "ask this imagine-server, with IMAGINE_API_TOKEN"},
    {'e', false, "env-file", "FILE", "settings, instead of .env.local and .env"},
    {'c', false, "catalogue", "FILE", "the setting CATALOGUE"},
    {'f', false, "state-file", "FILE", "the setting STATE_FILE"},
    {'h', true, "help", NULL, "this"},
    {'V', false, "version", NULL, "its version"},
};
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))
#define GIVEN_MAX 64 /* options on one command line */
static const char common[] = "tJqvSecfhV";

static const option_row_t *row_of(int letter) {
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (rows[i].letter == letter)
            return &rows[i];
    return NULL;
}

/* ---- --help -----------------------------------------------------------------------------------
 */

static void show_option(const option_row_t *row) {
    char left[40];
    snprintf(left, sizeof(left), "%c%c%s --%s%s%s", row->is_short ? '-' : ' ',
             row->is_short ? row->letter : ' ', row->is_short ? "," : " ", row->name,
             row->argument != NULL ? " " : "", row->argument != NULL ? row->argument : "");
    printf("  %-22s %s\n", left, row->help);
}

static void show_options(const char *letters) {
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (strchr(letters, rows[i].letter) != NULL)
            show_option(&rows[i]);
}

static void show_command(const command_t *command) {
    printf("usage: imagine %s %s\n\n%s\n\nOptions:\n", command->name, command->synopsis,
           command->help);
    show_options(command->letters);
    show_options(common);
    printf("\n%s", exit_code_help);
}

static void show_help(void) {
    printf("usage: imagine COMMAND [OPTION]… [WORD]…\n\n"
           "Pictures, texts and videos of whichever AI provider can make them now.\n\nCommands:\n");
    for (size_t i = 0; i < command_count; i++)
        printf("  %-9s %.*s\n", commands[i].name, (int)strcspn(commands[i].help, "\n"),
               commands[i].help);
    printf("\nOptions of every command (imagine COMMAND --help shows its own):\n");
    show_options(common);
    printf(
        "\nSettings come from the environment, then .env.local, then .env of the working\n"
        "directory, as imagine-server reads them: GITEE_TOKENS=a,b,c, CATALOGUE, STATE_FILE …\n"
        "(imagine-server --help has them all). Two are for this command:\n"
        "  IMAGINE_SERVER     ask this imagine-server instead of the providers\n"
        "  IMAGINE_API_TOKEN  the token that it wants\n\n"
        "%s\nExamples:\n"
        "  imagine generate -o sea.png \"a quiet sea\"     with no account: drawn here, no AI\n"
        "  imagine generate -m gitee/flux-2 -o - \"a cat\" | display\n"
        "  echo \"a cat\" | imagine text -m gemini/gemini-2.5-flash | imagine generate -o cat.png\n"
        "  imagine batch prompts.txt -j 8 -o out/        goes on where it was stopped\n",
        exit_code_help);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static int refuse(const char *name, const char *what) {
    fprintf(stderr, "imagine: %s: %s (see --help)\n", name, what);
    return CODE_USAGE;
}

static bool read_number(const char *text, double min, double max, double *out) {
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*out) && *out >= min && *out <= max;
}

static bool read_whole(const char *text, int64_t min, int64_t max, int64_t *out) {
    char *end;
    size_t size = strlen(text), digits = strspn(text, "-0123456789");
    *out = strtoll(text, &end, 10);
    return size > 0 && size < 19 && digits == size && *end == '\0' && *out >= min && *out <= max;
}

static bool read_count(const char *text, uint32_t max, uint32_t *out) {
    int64_t number;
    if (!read_whole(text, 1, max, &number))
        return false;
    *out = (uint32_t)number;
    return true;
}

static bool read_size(const char *text, imagine_params_t *params) {
    char width[12];
    size_t size = strcspn(text, "x");
    if (text[size] == '\0' || size >= sizeof(width))
        return false;
    memcpy(width, text, size);
    width[size] = '\0';
    return read_count(width, UINT32_MAX, &params->width) &&
           read_count(text + size + 1, UINT32_MAX, &params->height);
}

/* One that is none would be taken for a square. */
static bool is_ratio(const char *text) {
    size_t first = strspn(text, "0123456789"), second;
    if (first == 0 || text[first] != ':')
        return false;
    second = strspn(text + first + 1, "0123456789");
    return second > 0 && text[first + 1 + second] == '\0';
}

static bool read_ms(const char *text, double seconds_min, uint32_t *out) {
    double seconds;
    if (!read_number(text, seconds_min, 4000000, &seconds))
        return false;
    *out = (uint32_t)(seconds * 1000);
    return true;
}

/* What is wrong with it, or NULL. */
static const char *take(options_t *options, int letter, const char *text) {
    imagine_params_t *params = &options->params;
    uint32_t number = 0;
    switch (letter) {
    case 'm':
        options->model = text;
        return NULL;
    case 'o':
        options->output = text;
        return *text != '\0' ? NULL : "a name expected";
    case 'i':
        if (options->image_count == IMAGES_MAX)
            return "16 pictures at most";
        options->images[options->image_count++] = text;
        return NULL;
    case 'a':
        params->ar = text;
        return is_ratio(text) ? NULL : "a ratio as 16:9 expected";
    case 'z':
        return read_size(text, params) ? NULL : "a size as 1024x768 expected";
    case 'n':
        return read_count(text, 10, &params->count) ? NULL : "1 to 10 expected";
    case 's':
        params->has_seed = 1;
        return read_whole(text, INT64_MIN, INT64_MAX, &params->seed) ? NULL
                                                                     : "a whole number expected";
    case 'T':
        return read_count(text, 1000, &params->steps) ? NULL : "1 to 1000 expected";
    case 'g':
        return read_number(text, 1e-9, 1e9, &params->guidance) ? NULL : "a number above 0 expected";
    case 'N':
        params->negative_prompt = text;
        return NULL;
    case 'H':
    case 'L':
        params->enable_hd = letter == 'H' ? 1 : -1;
        return NULL;
    case 'd':
        return read_number(text, 1, 60, &params->duration_s) ? NULL : "1 to 60 seconds expected";
    case 'x':
        return read_count(text, UINT32_MAX, &params->max_tokens) ? NULL : "a number expected";
    case 'p':
        params->has_temperature = 1;
        return read_number(text, 0, 100, &params->temperature) ? NULL : "a number expected";
    case 'j':
        options->job_count = read_count(text, JOBS_MAX, &number) ? number : 0;
        return options->job_count != 0 ? NULL : "1 to 256 expected";
    case 'w':
        options->has_wait = true;
        return read_ms(text, 0, &params->wait_ms) ? NULL : "seconds expected";
    case 't':
        return read_ms(text, 0.001, &params->timeout_ms) ? NULL : "seconds expected";
    case 'A':
        options->shows_all = true;
        return NULL;
    case 'J':
        options->is_json = true;
        return NULL;
    case 'q':
        options->is_quiet = true;
        return NULL;
    case 'v':
        options->is_verbose = true;
        return NULL;
    case 'S':
        options->server = text;
        return NULL;
    case 'e':
        options->env_file = text;
        return NULL;
    case 'c':
        options->catalogue = text;
        return NULL;
    default:
        options->state_file = text;
        return NULL;
    }
}

static const command_t *find_command(const char *name) {
    for (size_t i = 0; i < command_count; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static void list_options(struct option *out, char *out_letters) {
    for (size_t i = 0; i < ROW_COUNT; i++) {
        *out++ = (struct option){rows[i].name, rows[i].argument != NULL, NULL, rows[i].letter};
        if (rows[i].is_short)
            *out_letters++ = rows[i].letter;
        if (rows[i].is_short && rows[i].argument != NULL)
            *out_letters++ = ':';
    }
    *out = (struct option){NULL, 0, NULL, 0};
    *out_letters = '\0';
}

typedef struct given {
    int letter;
    const char *text;
} given_t;

static int take_all(options_t *options, const given_t *given, size_t given_count) {
    const command_t *command = options->command;
    for (size_t i = 0; i < given_count; i++) {
        const option_row_t *row = row_of(given[i].letter);
        const char *what = NULL;
        char name[32];
        snprintf(name, sizeof(name), "--%s", row->name);
        if (strchr(command->letters, row->letter) == NULL && strchr(common, row->letter) == NULL)
            what = "not an option of this command";
        else
            what = take(options, row->letter, given[i].text);
        if (what != NULL)
            return refuse(name, what);
    }
    return -1;
}

/* The command is the first word that is no option, so it is known only when all were seen. */
int options_read(options_t *options, int argc, char **argv) {
    struct option names[ROW_COUNT + 1];
    char letters[2 * ROW_COUNT + 1];
    given_t given[GIVEN_MAX];
    size_t given_count = 0;
    bool wants_help = false;
    int letter;
    memset(options, 0, sizeof(*options));
    options->params.size = sizeof(options->params);
    options->job_count = 4;
    list_options(names, letters);
    while ((letter = getopt_long(argc, argv, letters, names, NULL)) != -1) {
        if (letter == '?') /* getopt_long() has said why */
            return CODE_USAGE;
        if (letter == 'V') {
            printf("imagine %s\n", imagine_version());
            return CODE_OK;
        }
        if (letter == 'h')
            wants_help = true;
        else if (given_count == GIVEN_MAX)
            return refuse("options", "too many");
        else
            given[given_count++] = (given_t){letter, optarg};
    }
    const char *name = optind < argc ? argv[optind] : NULL;
    if (name == NULL || (strcmp(name, "help") == 0 && optind + 1 == argc)) {
        if (name == NULL && !wants_help)
            return refuse("a command expected", "generate, edit, text, models …");
        show_help();
        return CODE_OK;
    }
    if (strcmp(name, "help") == 0) {
        wants_help = true;
        name = argv[++optind];
    }
    options->command = find_command(name);
    if (options->command == NULL)
        return refuse(name, "there is no such command");
    if (wants_help) {
        show_command(options->command);
        return CODE_OK;
    }
    options->words = (const char *const *)argv + optind + 1;
    options->word_count = (size_t)(argc - optind - 1);
    return take_all(options, given, given_count);
}
