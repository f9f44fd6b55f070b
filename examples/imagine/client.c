/* client.c: the client, as the settings have it: in front of the providers, or of a server
 * (server.h). Where the two differ, the rest of the program asks here. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app.h"
#include "say.h"
#include "server.h"

static void on_log(int32_t level, const char *line, void *user) {
    app_t *app = user;
    char text[4096];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    say_progress(app, "%s", "");
    fwrite(text, 1,
           imagine_log_format(text, sizeof(text),
                              (int)imagine_settings_get_int(app->settings, "LOG_FORMAT"),
                              (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, level, line),
           stderr);
}

static const char *setting(const app_t *app, const char *name) { /* NULL: not set, or empty */
    const char *value = imagine_settings_get(app->settings, name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* What stands on the command line wins, then the environment, then the files. */
static int read_settings(app_t *app) {
    const options_t *options = &app->options;
    imagine_settings_t *settings = app->settings;
    const struct {
        const char *name, *value;
    } given[] = {{"CATALOGUE", options->catalogue},
                 {"STATE_FILE", options->state_file},
                 {"IMAGINE_SERVER", options->server}};
    int err = 0;
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]) && err == 0; i++)
        if (given[i].value != NULL)
            err = imagine_settings_set(settings, given[i].name, given[i].value);
    if (err == 0)
        err = imagine_settings_read_env(settings);
    if (err == 0)
        err = imagine_settings_read_file(settings, options->env_file);
    if (err == IMAGINE_ENOTFOUND)
        return say_failure(app, IMAGINE_EINVAL, "--env-file: there is no such file");
    if (err != 0) /* a file that cannot be read is none of ours to write */
        return say_failure(app, err == IMAGINE_EIO ? IMAGINE_EINVAL : err,
                           imagine_settings_message(settings));
    return 0;
}

/* "http://host:3000/", "http://host:3000/api/v1": all the same server. */
static bool set_server(app_t *app, const char *address) {
    static const char *const ends[] = {"/", "/api", "/api/v1"};
    size_t size = address != NULL ? strlen(address) : 0;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]) && size > 0; i++) {
        size_t end_size = strlen(ends[i]);
        while (size > end_size && memcmp(address + size - end_size, ends[i], end_size) == 0)
            size -= end_size;
    }
    app->server = size > 0 ? strndup(address, size) : NULL;
    return size == 0 || app->server != NULL;
}

static int configure(app_t *app) {
    char *message = NULL;
    int err = imagine_configure(app->im, app->settings, &message), code = 0;
    if (err != 0)
        code = say_failure(app, err == IMAGINE_EIO ? IMAGINE_EINVAL : err, message);
    imagine_free(message);
    return code;
}

int app_open(app_t *app) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    int err = imagine_settings_open(&app->settings), code = 0;
    if (err != 0)
        return say_failure(app, err, NULL);
    code = read_settings(app);
    if (code != 0)
        return code;
    if (!set_server(app, setting(app, "IMAGINE_SERVER")))
        return say_failure(app, IMAGINE_ENOMEM, NULL);
    options.is_manual = 1;
    options.ca_file = setting(app, "CA_FILE");
    options.allow_private_hosts = setting(app, "ALLOW_PRIVATE_HOSTS");
    if (app->options.is_verbose) {
        options.log = on_log;
        options.log_user = app;
        options.log_level = (int32_t)imagine_settings_get_int(app->settings, "LOG_LEVEL");
    }
    err = imagine_open(&app->im, &options);
    if (err != 0)
        return say_failure(app, err, options.ca_file != NULL ? "CA_FILE: cannot be read" : NULL);
    if (app->server != NULL)
        return server_attach(app);
    return configure(app);
}

void app_close(app_t *app) {
    imagine_close(app->im, NULL, NULL); /* turns until what is to be kept is written */
    imagine_settings_close(app->settings);
    free(app->model);
    free(app->server);
}

/* ---- looking around ---------------------------------------------------------------------------
 */

int app_models(app_t *app, bool wants_all, char **out) {
    if (app->server != NULL)
        return server_get(app, wants_all ? "/models/all" : "/models", out);
    imagine_wait_loaded(app->im); /* a token that is spent is known only then */
    *out = imagine_models(app->im, wants_all ? IMAGINE_MODELS_ALL : 0);
    return *out != NULL ? 0 : say_failure(app, IMAGINE_ENOMEM, NULL);
}

/* What a provider has, as a member of the object. */
static void put_provider(app_t *app, FILE *out, const char *name, bool is_first) {
    imagine_token_stats_t stats = {.size = sizeof(stats)};
    char *details = imagine_token_details(app->im, name);
    char *quoted = imagine_json_quote(name, strlen(name));
    if (details != NULL && quoted != NULL && imagine_token_stats(app->im, name, &stats) == 0)
        fprintf(out,
                "%s%s:{\"total\":%" PRIu32 ",\"active\":%" PRIu32 ",\"exhausted\":%" PRIu32
                ",\"cooling\":%" PRIu32 ",\"invalid\":%" PRIu32 ",\"tokens\":%s}",
                is_first ? "" : ",\n ", quoted, stats.total, stats.active, stats.exhausted,
                stats.cooling, stats.invalid, details);
    imagine_free(details);
    imagine_free(quoted);
}

int app_tokens(app_t *app, char **out) {
    char *providers = NULL;
    size_t size = 0, count;
    bool has_failed = false;
    FILE *stream;
    if (app->server != NULL)
        return server_get(app, "/token-stats/all?details=1", out);
    imagine_wait_loaded(app->im);
    providers = imagine_providers(app->im);
    stream = open_memstream(out, &size);
    has_failed = providers == NULL || stream == NULL;
    count = has_failed ? 0 : imagine_json_count(providers, strlen(providers), "");
    if (!has_failed)
        fputc('{', stream);
    for (size_t i = 0; i < count; i++) {
        char path[32];
        snprintf(path, sizeof(path), "[%zu]", i);
        char *name = imagine_json_text(providers, strlen(providers), path);
        if (name != NULL)
            put_provider(app, stream, name, i == 0);
        imagine_free(name);
    }
    if (!has_failed)
        fputc('}', stream);
    imagine_free(providers);
    if (stream != NULL && fclose(stream) != 0)
        has_failed = true;
    return has_failed ? say_failure(app, IMAGINE_ENOMEM, NULL) : 0;
}

/* ---- the model --------------------------------------------------------------------------------
 */

static bool has_type(const char *model, size_t model_size, const char *type) {
    size_t count = imagine_json_count(model, model_size, "type");
    bool is_it = false;
    for (size_t i = 0; i < count && !is_it; i++) {
        char path[32];
        snprintf(path, sizeof(path), "type[%zu]", i);
        char *text = imagine_json_text(model, model_size, path);
        is_it = text != NULL && strcmp(text, type) == 0;
        imagine_free(text);
    }
    return is_it;
}

/* The sample's if they are there: then nothing else is set up. */
static char *first_model(const char *models, const char *type) {
    size_t size = strlen(models), count = imagine_json_count(models, size, "");
    char *first = NULL;
    for (size_t i = 0; i < count; i++) {
        char path[32];
        size_t model_size = 0;
        snprintf(path, sizeof(path), "[%zu]", i);
        const char *model = imagine_json_value(models, size, path, &model_size);
        if (model == NULL || !has_type(model, model_size, type))
            continue;
        char *id = imagine_json_text(model, model_size, "id");
        if (first == NULL || (id != NULL && strncmp(id, "sample/", 7) == 0)) {
            imagine_free(first);
            first = id;
        } else {
            imagine_free(id);
        }
    }
    return first;
}

int app_choose_model(app_t *app, const char *type) {
    char *models = NULL, *first = NULL, message[128];
    const char *wanted = app->options.model;
    int code = 0;
    if (wanted == NULL) {
        code = app_models(app, false, &models);
        if (code != 0)
            return code;
        first = first_model(models, type);
        imagine_free(models);
        wanted = first;
    }
    if (wanted == NULL) {
        snprintf(message, sizeof(message),
                 "no model can do this now (%s): see imagine models --all", type);
        return say_failure(app, IMAGINE_ENOTOKEN, message);
    }
    size_t size = sizeof(SERVER_PREFIX) + strlen(wanted);
    app->model = malloc(size);
    if (app->model != NULL)
        snprintf(app->model, size, "%s%s", app->server != NULL ? SERVER_PREFIX : "", wanted);
    imagine_free(first);
    return app->model != NULL ? 0 : say_failure(app, IMAGINE_ENOMEM, NULL);
}

const char *app_model_name(const app_t *app, const char *model) {
    size_t size = sizeof(SERVER_PREFIX) - 1;
    bool has_prefix = app->server != NULL && strncmp(model, SERVER_PREFIX, size) == 0;
    return has_prefix ? model + size : model;
}
