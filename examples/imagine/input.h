/* input.h: what goes in: the prompt and the pictures. */
#ifndef INPUT_H
#define INPUT_H

#include "app.h"

#define PROMPT_SIZE_MAX (4 * 32000) /* 32 000 characters, as the library has it */
#define PICTURE_SIZE_MAX (50 * 1024 * 1024)

/* A whole file ("-": standard input) in memory of malloc(), with a NUL behind it. 0, IMAGINE_EIO
 * (and errno), IMAGINE_ETOOLARGE or IMAGINE_ENOMEM. */
int input_read(const char *path, size_t size_max, char **out, size_t *out_size);
/* Says why it could not be read. Returns the exit code. */
int input_refuse(app_t *app, const char *path, int err);

/* The words of the command line as one text, or standard input. free(). 0, or the exit code: what
 * is wrong was said. */
int input_prompt(app_t *app, char **out);

/* The pictures of -i. 0, or the exit code. */
int input_pictures(app_t *app, imagine_image_t images[IMAGES_MAX]);
void input_release(app_t *app, imagine_image_t images[IMAGES_MAX]);

#endif
