/* say.c: see say.h. */
#include "say.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "exit_code.h"

#define LINE_SIZE 512
#define USUAL_WIDTH 80
#define USUAL_HEIGHT 24

static size_t progress_count; /* lines that are there to be wiped */

static size_t character_size(const char *at) {
    size_t size = 1;
    while ((at[size] & 0xc0) == 0x80)
        size++;
    return size;
}

/* How many columns of a terminal it may take. From U+1100 on, where the scripts of East Asia and
 * the pictograms are, two, but for the Latin, Greek and punctuation of U+1E00 to U+22FF. Too many
 * makes a line shorter; too few would break it, and then it could not be wiped. */
static size_t character_width(const char *at) {
    bool is_high = strncmp(at, "\xe1\x84\x80", 3) >= 0; /* UTF-8 is in the order of its numbers */
    bool is_western = strncmp(at, "\xe1\xb8\x80", 3) >= 0 && strncmp(at, "\xe2\x8c\x80", 3) < 0;
    return is_high && !is_western ? 2 : 1;
}

/* A character of a control set (also U+0080 to U+009F) is a question mark here. */
char *plain_text(const char *text) {
    char *copy = strdup(text != NULL ? text : "");
    for (char *at = copy; at != NULL && *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;
        if (byte < ' ' || byte == 0x7f)
            *at = '?';
        else if (byte == 0xc2 && (unsigned char)at[1] >= 0x80 && (unsigned char)at[1] < 0xa0)
            at[0] = at[1] = '?';
    }
    return copy;
}

/* The cursor stands at the end of the last line. */
static void wipe(void) {
    for (; progress_count > 0; progress_count--)
        fputs(progress_count > 1 ? "\r\033[K\033[A" : "\r\033[K", stderr);
}

static void put_line(const char *line, size_t columns) {
    char *plain = plain_text(line);
    for (const char *at = plain; at != NULL && *at != '\0' && columns >= character_width(at);) {
        size_t size = character_size(at);
        columns -= character_width(at);
        fwrite(at, 1, size, stderr);
        at += size;
    }
    free(plain);
}

void say_block(app_t *app, const char *const *lines, size_t line_count) {
    struct winsize size = {.ws_col = 0};
    if (!app->is_terminal || app->options.is_quiet)
        return;
    ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
    size_t columns = size.ws_col > 1 ? size.ws_col - 1u : USUAL_WIDTH - 1u; /* no line breaks */
    size_t rows = size.ws_row > 1 ? size.ws_row - 1u : USUAL_HEIGHT - 1u;
    size_t first = line_count > rows ? line_count - rows : 0;
    wipe();
    for (size_t i = first; i < line_count; i++) {
        if (i > first)
            fputc('\n', stderr);
        put_line(lines[i], columns);
        progress_count++;
    }
    fflush(stderr);
}

void say_progress(app_t *app, const char *format, ...) {
    char line[LINE_SIZE];
    const char *lines[] = {line};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    say_block(app, lines, line[0] != '\0' ? 1 : 0);
}

static void say_line(const char *lead, const char *line) {
    char *plain = plain_text(line);
    wipe();
    fprintf(stderr, "%s%s\n", lead, plain != NULL ? plain : "");
    fflush(stderr);
    free(plain);
}

void say_remark(app_t *app, const char *format, ...) {
    char line[LINE_SIZE];
    va_list arguments;
    if (app->options.is_quiet)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    say_line("", line);
}

void json_text(FILE *out, const char *lead, const char *name, const char *text) {
    char *quoted = text != NULL ? imagine_json_quote(text, strlen(text)) : NULL;
    if (quoted != NULL)
        fprintf(out, "%s\"%s\":%s", lead, name, quoted);
    imagine_free(quoted);
}

/* Two messages are names that programs rely on (the HTTP API's): a person is told what they mean.
 */
static const char *in_words(char *out, size_t capacity, const char *message) {
    static const char start[] = "error_", required[] = "_token_required",
                      exhausted[] = "_token_exhausted";
    const char *provider = message + sizeof(start) - 1, *end;
    char setting[64] = "";
    if (strncmp(message, start, sizeof(start) - 1) != 0)
        return message;
    if ((end = strstr(provider, exhausted)) != NULL) {
        snprintf(out, capacity, "every token of %.*s is used up: %s", (int)(end - provider),
                 provider, message);
        return out;
    }
    if ((end = strstr(provider, required)) == NULL)
        return message;
    for (size_t i = 0; i < sizeof(setting) - 1 && provider + i < end; i++)
        setting[i] = (char)(provider[i] == '-' ? '_' : toupper((unsigned char)provider[i]));
    snprintf(out, capacity, "%.*s needs a token, set %s_TOKENS: %s", (int)(end - provider),
             provider, setting, message);
    return out;
}

static int tell_failure(app_t *app, int error, const char *message, uint64_t retry_after_ms,
                        const char *task_id) {
    int code = exit_code_of(error);
    char line[2 * LINE_SIZE], when[64] = "", text[32], words[LINE_SIZE];
    if (error == IMAGINE_ECANCELED)
        code = CODE_OTHER;
    if (message == NULL || message[0] == '\0')
        message = imagine_strerror(error);
    if (app->options.is_json) {
        wipe();
        json_text(stdout, "{", "error", imagine_err_name(error));
        json_text(stdout, ",", "message", message);
        if (retry_after_ms > 0)
            printf(",\"retryAfterMs\":%" PRIu64, retry_after_ms);
        json_text(stdout, ",", "taskId", task_id);
        printf(",\"exitCode\":%d}\n", code);
        return code;
    }
    if (retry_after_ms > 0)
        snprintf(when, sizeof(when), " (again in %s)",
                 time_text(text, sizeof(text), (int64_t)retry_after_ms));
    snprintf(line, sizeof(line), "%s%s", in_words(words, sizeof(words), message), when);
    say_line("imagine: ", line);
    return code;
}

int say_failure(app_t *app, int error, const char *message) {
    return tell_failure(app, error, message, 0, NULL);
}

int say_result_failure(app_t *app, const imagine_result_t *result) {
    return tell_failure(app, result->status, result->message, result->retry_after_ms,
                        result->task_id);
}

int say_unfinished(app_t *app, const char *task_id) {
    char message[LINE_SIZE];
    snprintf(message, sizeof(message), "not there in time, it goes on: imagine task %.300s",
             task_id);
    return tell_failure(app, IMAGINE_ETIMEDOUT, message, 0, task_id);
}

const char *size_text(char *out, size_t capacity, double bytes) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB"};
    size_t unit = 0;
    for (; bytes >= 1024 && unit < 3; unit++)
        bytes /= 1024;
    snprintf(out, capacity, unit == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
    return out;
}

const char *time_text(char *out, size_t capacity, int64_t ms) {
    int64_t seconds = (ms + 500) / 1000;
    if (ms < 9950)
        snprintf(out, capacity, "%.1f s", (double)ms / 1000);
    else if (seconds < 60)
        snprintf(out, capacity, "%" PRId64 " s", seconds);
    else if (seconds < 3600)
        snprintf(out, capacity, "%" PRId64 " min %" PRId64 " s", seconds / 60, seconds % 60);
    else
        snprintf(out, capacity, "%" PRId64 " h %" PRId64 " min", seconds / 3600, seconds / 60 % 60);
    return out;
}
