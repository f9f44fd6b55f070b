/* input.c: see input.h. */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exit_code.h"
#include "loop.h"
#include "say.h"

#define PIECE_SIZE 65536

static int read_all(int fd, size_t size_max, char **out, size_t *out_size) {
    char *data = NULL;
    size_t size = 0, capacity = 0;
    ssize_t got;
    do {
        if (capacity - size < PIECE_SIZE) {
            char *larger = realloc(data, capacity * 2 + PIECE_SIZE + 1);
            if (larger == NULL) {
                free(data);
                return IMAGINE_ENOMEM;
            }
            data = larger;
            capacity = capacity * 2 + PIECE_SIZE;
        }
        got = read(fd, data + size, capacity - size);
        if (got > 0)
            size += (size_t)got;
    } while ((got > 0 || (got < 0 && errno == EINTR && loop_signal() == 0)) && size <= size_max);
    if (got < 0 || size > size_max) {
        free(data);
        return got < 0 ? IMAGINE_EIO : IMAGINE_ETOOLARGE;
    }
    data[size] = '\0';
    *out = data;
    *out_size = size;
    return 0;
}

int input_read(const char *path, size_t size_max, char **out, size_t *out_size) {
    bool is_standard = strcmp(path, "-") == 0;
    int fd = is_standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC), err, reason;
    *out = NULL;
    *out_size = 0;
    if (fd < 0)
        return IMAGINE_EIO;
    err = read_all(fd, size_max, out, out_size);
    reason = errno;
    if (!is_standard)
        close(fd);
    errno = reason;
    return err;
}

int input_refuse(app_t *app, const char *path, int err) {
    char message[512];
    const char *reason = err == IMAGINE_EIO         ? strerror(errno)
                         : err == IMAGINE_ETOOLARGE ? "too large"
                                                    : imagine_strerror(err);
    snprintf(message, sizeof(message), "%.400s: %s",
             strcmp(path, "-") == 0 ? "standard input" : path, reason);
    if (loop_signal() != 0)
        return CODE_SIGNAL + loop_signal();
    return say_failure(app, err == IMAGINE_ENOMEM ? err : IMAGINE_EINVAL, message);
}

/* ---- the prompt -------------------------------------------------------------------------------
 */

static char *join_words(const options_t *options) {
    size_t size = 1;
    char *text, *at;
    for (size_t i = 0; i < options->word_count; i++)
        size += strlen(options->words[i]) + 1;
    text = at = malloc(size);
    for (size_t i = 0; text != NULL && i < options->word_count; i++) {
        size_t word_size = strlen(options->words[i]);
        if (i > 0)
            *at++ = ' ';
        memcpy(at, options->words[i], word_size);
        at += word_size;
    }
    if (text != NULL)
        *at = '\0';
    return text;
}

int input_prompt(app_t *app, char **out) {
    const options_t *options = &app->options;
    bool is_dash = options->word_count == 1 && strcmp(options->words[0], "-") == 0;
    size_t size = 0;
    int err = 0;
    *out = NULL;
    if (options->word_count > 0 && !is_dash) {
        *out = join_words(options);
        return *out != NULL ? 0 : say_failure(app, IMAGINE_ENOMEM, NULL);
    }
    if (!is_dash && isatty(STDIN_FILENO))
        return say_failure(app, IMAGINE_EINVAL, "a prompt expected, as words or on standard input");
    err = input_read("-", PROMPT_SIZE_MAX, out, &size);
    if (err != 0)
        return input_refuse(app, "-", err);
    if (strlen(*out) != size) {
        free(*out);
        *out = NULL;
        return say_failure(app, IMAGINE_EINVAL, "the prompt holds a NUL byte");
    }
    while (size > 0 && ((*out)[size - 1] == '\n' || (*out)[size - 1] == '\r'))
        (*out)[--size] = '\0';
    return 0;
}

/* ---- pictures ---------------------------------------------------------------------------------
 */

static bool is_address(const char *text) {
    return strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0 ||
           strncmp(text, "data:", 5) == 0;
}

int input_pictures(app_t *app, imagine_image_t images[IMAGES_MAX]) {
    const options_t *options = &app->options;
    memset(images, 0, IMAGES_MAX * sizeof(*images));
    for (size_t i = 0; i < options->image_count; i++) {
        char *data = NULL;
        int err = 0;
        images[i].size = sizeof(images[i]);
        if (is_address(options->images[i])) {
            images[i].url = options->images[i];
            continue;
        }
        err = input_read(options->images[i], PICTURE_SIZE_MAX, &data, &images[i].data_size);
        if (err != 0) {
            int code = input_refuse(app, options->images[i], err);
            input_release(app, images);
            return code;
        }
        images[i].data = data;
    }
    return 0;
}

void input_release(app_t *app, imagine_image_t images[IMAGES_MAX]) {
    for (size_t i = 0; i < app->options.image_count; i++)
        free((void *)(uintptr_t)images[i].data);
}
