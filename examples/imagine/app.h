/* app.h: what all rooms of the program share: what was asked for, and whom it asks. */
#ifndef APP_H
#define APP_H

#include <imagine.h>

#include "options.h"

struct app {
    options_t options;
    imagine_settings_t *settings;
    imagine_t *im;
    char *server;     /* its address, without a slash at its end; NULL: providers directly */
    char *model;      /* as the library wants it; NULL: not known yet */
    bool is_terminal; /* standard error: progress is a line that changes */
};

/* Reads the settings and opens the client. 0, or the exit code: what is wrong was said. */
int app_open(app_t *app);
void app_close(app_t *app);
/* Finds app->model: the one that was asked for, else the first that can do it now. 0, or the exit
 * code: what is wrong was said. */
int app_choose_model(app_t *app, const char *type);
/* What can serve now, or all, as a JSON array. *out is to be freed with imagine_free(). 0, or the
 * exit code: what is wrong was said. */
int app_models(app_t *app, bool wants_all, char **out);
/* The state of all tokens, as GET /api/v1/token-stats/all?details=1 answers it. Likewise. */
int app_tokens(app_t *app, char **out);
/* The model's name as people write it. */
const char *app_model_name(const app_t *app, const char *model);

#endif
