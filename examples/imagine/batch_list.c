/* batch_list.c: see batch_list.h. A picture is known by its file's name, which ends in a hash of
 * prompt and options: lines may be added, removed and moved between two runs. Of a prompt that
 * stands there twice the second one counts as another. */
#include "batch_list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exit_code.h"
#include "input.h"
#include "say.h"

#define LIST_SIZE_MAX (256 * 1024 * 1024)
#define JOBS_TOTAL_MAX 1000000
#define KEY_MASK UINT64_C(0xffffffffffff)
#define KEY_DIGITS 12
#define SLUG_SIZE 40

/* ---- names ------------------------------------------------------------------------------------
 */

/* FNV-1a. What is hashed ends in a NUL, so that two texts are never read as one. */
static uint64_t hash(uint64_t sum, const char *text) {
    const char *at = text != NULL ? text : "";
    do {
        sum = (sum ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
    } while (*at++ != '\0');
    return sum;
}

static uint64_t hash_options(const app_t *app) {
    const imagine_params_t *params = &app->options.params;
    char numbers[160];
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    snprintf(numbers, sizeof(numbers), "%u %u %d %lld %u %.15g %d", params->width, params->height,
             params->has_seed, (long long)params->seed, params->steps, params->guidance,
             params->enable_hd);
    sum = hash(sum, app->options.model); /* as asked: which one is the first may change */
    sum = hash(sum, params->ar);
    sum = hash(sum, params->negative_prompt);
    return hash(sum, numbers);
}

void batch_list_stem(const job_t *job, char out[STEM_SIZE]) {
    size_t size = 0;
    for (const char *at = job->prompt; *at != '\0' && size < SLUG_SIZE; at++) {
        bool is_upper = *at >= 'A' && *at <= 'Z';
        if (is_upper || (*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9'))
            out[size++] = is_upper ? (char)(*at - 'A' + 'a') : *at;
        else if (size > 0 && out[size - 1] != '-')
            out[size++] = '-';
    }
    if (size > 0 && out[size - 1] != '-')
        out[size++] = '-';
    snprintf(out + size, STEM_SIZE - size, "%012llx", (unsigned long long)job->key);
}

/* ---- the lines --------------------------------------------------------------------------------
 */

static int compare_keys(const void *a, const void *b) {
    const job_t *one = *(job_t *const *)a, *other = *(job_t *const *)b;
    if (one->key != other->key)
        return one->key < other->key ? -1 : 1;
    return one->line < other->line ? -1 : one->line > other->line;
}

static job_t **sort_jobs(const batch_list_t *list) {
    job_t **sorted = calloc(list->count + 1, sizeof(*sorted));
    for (size_t i = 0; sorted != NULL && i < list->count; i++)
        sorted[i] = &list->jobs[i];
    if (sorted != NULL && list->count > 0)
        qsort(sorted, list->count, sizeof(*sorted), compare_keys);
    return sorted;
}

/* The second of two that are the same gets a key of its own, and so on. */
static bool tell_apart(const batch_list_t *list) {
    job_t **sorted = sort_jobs(list);
    uint64_t last = 0;
    size_t copies = 0;
    for (size_t i = 0; sorted != NULL && i < list->count; i++) {
        char number[32];
        copies = i > 0 && sorted[i]->key == last ? copies + 1 : 0;
        last = sorted[i]->key;
        snprintf(number, sizeof(number), "%zu", copies);
        if (copies > 0)
            sorted[i]->key = hash(last, number);
    }
    for (size_t i = 0; i < list->count; i++)
        list->jobs[i].key = (list->jobs[i].key ^ list->jobs[i].key >> 48) & KEY_MASK;
    free(sorted);
    return sorted != NULL;
}

static bool add_job(batch_list_t *list, size_t *capacity, char *prompt, size_t line,
                    uint64_t options) {
    if (list->count == *capacity) {
        job_t *jobs = realloc(list->jobs, (*capacity * 2 + 64) * sizeof(*jobs));
        if (jobs == NULL)
            return false;
        list->jobs = jobs;
        *capacity = *capacity * 2 + 64;
    }
    list->jobs[list->count++] =
        (job_t){.prompt = prompt, .line = line, .key = hash(options, prompt)};
    return true;
}

static int read_jobs(batch_list_t *list, app_t *app, size_t text_size) {
    uint64_t options = hash_options(app);
    size_t capacity = 0, line = 0;
    if (strlen(list->text) != text_size)
        return say_failure(app, IMAGINE_EINVAL, "the prompts hold a NUL byte");
    for (char *at = list->text, *next; at != NULL; at = next) {
        next = strchr(at, '\n');
        if (next != NULL)
            *next++ = '\0';
        line++;
        at += strspn(at, " \t\r");
        size_t size = strlen(at);
        while (size > 0 && strchr(" \t\r", at[size - 1]) != NULL)
            at[--size] = '\0';
        if (size == 0 || *at == '#')
            continue;
        if (list->count == JOBS_TOTAL_MAX)
            return say_failure(app, IMAGINE_ETOOLARGE, "more than a million prompts");
        if (!add_job(list, &capacity, at, line, options))
            return say_failure(app, IMAGINE_ENOMEM, NULL);
    }
    if (list->count == 0)
        return say_failure(app, IMAGINE_EINVAL, "there is no prompt in it");
    return tell_apart(list) ? 0 : say_failure(app, IMAGINE_ENOMEM, NULL);
}

/* ---- the folder -------------------------------------------------------------------------------
 */

static int refuse_folder(app_t *app, const char *path, const char *reason) {
    char message[512];
    snprintf(message, sizeof(message), "%.400s: %s", path, reason);
    return say_failure(app, IMAGINE_EIO, message);
}

/* Two that work in one folder would make everything twice. */
static int lock_folder(batch_list_t *list, app_t *app) {
    const char *path = app->options.output;
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return refuse_folder(app, path, strerror(errno));
    list->lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (list->lock < 0)
        return refuse_folder(app, path, strerror(errno));
    if (flock(list->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return refuse_folder(app, path, "another batch works in it");
    return faccessat(list->lock, ".", W_OK, 0) == 0 ? 0 : refuse_folder(app, path, strerror(errno));
}

/* "….-0123456789ab.png" */
static bool read_key(const char *name, uint64_t *out) {
    const char *dot = strrchr(name, '.');
    char digits[KEY_DIGITS + 1];
    if (dot == NULL || dot - name < KEY_DIGITS)
        return false;
    memcpy(digits, dot - KEY_DIGITS, KEY_DIGITS);
    digits[KEY_DIGITS] = '\0';
    if (strspn(digits, "0123456789abcdef") != KEY_DIGITS)
        return false;
    *out = strtoull(digits, NULL, 16);
    return true;
}

/* What a process left that is no more: output.c names it ".imagine-PID-N.part". */
static void clean(const batch_list_t *list, const char *name) {
    long pid = 0;
    size_t size = strlen(name);
    if (strncmp(name, ".imagine-", 9) != 0 || size < 15 || strcmp(name + size - 5, ".part") != 0)
        return;
    pid = strtol(name + 9, NULL, 10);
    if (pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH)
        unlinkat(list->lock, name, 0);
}

static void mark_made(const batch_list_t *list, job_t **sorted, uint64_t key) {
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sorted[middle]->key < key)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < list->count && sorted[low]->key == key)
        sorted[low]->is_made = true;
}

static int look_what_is_there(batch_list_t *list, app_t *app) {
    job_t **sorted = sort_jobs(list);
    DIR *folder = opendir(app->options.output);
    const struct dirent *entry;
    uint64_t key;
    if (sorted == NULL || folder == NULL) {
        int reason = errno;
        free(sorted);
        if (folder != NULL)
            closedir(folder);
        return refuse_folder(app, app->options.output, strerror(reason));
    }
    while ((entry = readdir(folder)) != NULL) {
        clean(list, entry->d_name);
        if (read_key(entry->d_name, &key))
            mark_made(list, sorted, key);
    }
    closedir(folder);
    free(sorted);
    return 0;
}

/* ---- life -------------------------------------------------------------------------------------
 */

int batch_list_open(batch_list_t *list, app_t *app) {
    const options_t *options = &app->options;
    size_t size = 0;
    int code, err;
    memset(list, 0, sizeof(*list));
    list->lock = -1;
    if (options->word_count != 1)
        return say_failure(app, IMAGINE_EINVAL, "one file of prompts expected, or -");
    if (options->output == NULL || strcmp(options->output, "-") == 0)
        return say_failure(app, IMAGINE_EINVAL, "a folder for the pictures expected: -o DIR");
    err = input_read(options->words[0], LIST_SIZE_MAX, &list->text, &size);
    if (err != 0)
        return input_refuse(app, options->words[0], err);
    code = read_jobs(list, app, size);
    if (code == 0)
        code = lock_folder(list, app);
    if (code == 0)
        code = look_what_is_there(list, app);
    return code;
}

void batch_list_close(batch_list_t *list) {
    if (list->lock >= 0)
        close(list->lock);
    free(list->jobs);
    free(list->text);
}
