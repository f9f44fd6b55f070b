/* main.c: imagine-server: settings, a client, a gateway and a listener on one loop; on SIGTERM it
 * lets what is running finish. Everything else is in the library. */
#include <getopt.h>
#include <imagine/gateway.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#define TEXT_SIZE 4096 /* of a path, a log line */
#define LOG_BUFFER_SIZE 65536
#define CROWD 16           /* requests; when most of so many are done, memory is given back, … */
#define TRIM_AFTER_MS 8000 /* … but not before idle connections went, too */

static const char usage[] =
    "Options: --port N, --host A, --env-file FILE, --check, --version, --help. Settings come from\n"
    "the environment, then .env.local, then .env (or from FILE instead of both):\n\n";
static imagine_settings_t *settings;
static imagine_t *im;
static imagine_gateway_t *gateway;
static imagine_listener_t *listener;
static uv_timer_t drain_timer; /* active: draining */
static uv_timer_t trim_timer;

static void check(int err, const char *message) {
    if (err == 0)
        return;
    fprintf(stderr, "imagine-server: %s\n", message && *message ? message : imagine_strerror(err));
    exit(EXIT_FAILURE);
}

static const char *get(const char *name) { /* NULL when it is not set, or empty */
    const char *value = imagine_settings_get(settings, name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static void on_log(int32_t level, const char *line, void *user) {
    static char text[TEXT_SIZE];
    int is_json = (int)imagine_settings_get_int(settings, "LOG_FORMAT");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t unix_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    fwrite(text, 1, imagine_log_format(text, sizeof(text), is_json, unix_ms, level, line), stderr);
    (void)user;
}

static void on_trim(uv_timer_t *timer) {
    malloc_trim(0);
    (void)timer;
}

static void on_turn(uv_prepare_t *handle) { /* before the loop waits: one write for the log */
    static size_t crowd;
    size_t in_flight = gateway != NULL ? imagine_gateway_in_flight(gateway) : 0;
    fflush(stderr);
    if (uv_is_active((uv_handle_t *)&drain_timer) && in_flight == 0)
        uv_stop(handle->loop);
    crowd = in_flight > crowd ? in_flight : crowd;
    if (crowd >= CROWD && in_flight < crowd / 8) {
        crowd = 0;
        uv_timer_start(&trim_timer, on_trim, TRIM_AFTER_MS, 0);
    }
}

static void on_drain_time(uv_timer_t *timer) {
    uv_stop(timer->loop);
}

static void on_signal(uv_signal_t *handle, int number) {
    if (uv_is_active((uv_handle_t *)&drain_timer))
        _exit(128 + number); /* the second one */
    imagine_log(im, IMAGINE_LOG_INFO, "server.draining");
    imagine_gateway_drain(gateway);
    imagine_listener_stop(listener);
    (void)handle;
    uv_timer_start(&drain_timer, on_drain_time,
                   1000 * (uint64_t)imagine_settings_get_int(settings, "DRAIN_SECONDS"), 0);
}

static bool read_arguments(int argc, char **argv) { /* true: only check */
    static const struct option options[] = {{"port", 1, NULL, 'p'},     {"host", 1, NULL, 'a'},
                                            {"env-file", 1, NULL, 'e'}, {"check", 0, NULL, 'c'},
                                            {"version", 0, NULL, 'v'},  {"help", 0, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *file = NULL;
    bool is_check = false;
    int option, err = 0;
    while (err == 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'v' || option == 'h')
            printf("imagine-server %s\n%s%s", imagine_version(), option == 'h' ? usage : "",
                   option == 'h' ? imagine_settings_help() : "");
        if (option == 'v' || option == 'h' || option == '?') /* getopt_long() has said why */
            exit(option == '?' ? EXIT_FAILURE : EXIT_SUCCESS);
        if (option == 'p' || option == 'a')
            err = imagine_settings_set(settings, option == 'p' ? "PORT" : "HOST", optarg);
        file = option == 'e' ? optarg : file;
        is_check |= option == 'c';
    }
    check(optind < argc ? IMAGINE_EINVAL : 0, "there are only options: see --help");
    if (err == 0 && (err = imagine_settings_read_env(settings)) == 0)
        err = imagine_settings_read_file(settings, file);
    check(err, err == IMAGINE_ENOTFOUND ? "--env-file: there is no such file"
                                        : imagine_settings_message(settings));
    return is_check;
}

/* The page: where `make install` puts it, or beside the program in the build tree. */
static void find_web_root(const char *folder) {
    char path[TEXT_SIZE];
    size_t size = sizeof(path) - strlen(folder) - 1;
    if (get("WEB_ROOT") != NULL || uv_exepath(path, &size) != 0)
        return;
    memcpy(strrchr(path, '/') + 1, folder, strlen(folder) + 1);
    if (access(path, R_OK) == 0)
        check(imagine_settings_set(settings, "WEB_ROOT", path), path);
}

/* A model that makes pictures now, as it stands in the list: the sample's if it is there. */
static const char *model_to_try(const char *models) {
    const char *at = strstr(models, "{\"id\":\"sample/");
    at = at != NULL ? at : strstr(models, "\"text2image\"");
    while (at != NULL && at > models && strncmp(at, "{\"id\":\"", 7) != 0)
        at--;
    return at != NULL && at > models ? at + 7 : NULL;
}

/* Where it listens, and a line to paste that makes a picture. */
static void greet(const char *host, int32_t port) {
    char *models = imagine_models(im, 0), base[TEXT_SIZE];
    const char *model = models != NULL ? model_to_try(models) : NULL;
    int size = model != NULL ? (int)strcspn(model, "\"") : 0;
    bool is_open = get("API_TOKEN") == NULL;
    snprintf(base, sizeof(base), strchr(host, ':') ? "http%s://[%s]:%d" : "http%s://%s:%d",
             get("TLS_CERT") ? "s" : "", strcmp(host, "0.0.0.0") ? host : "127.0.0.1", port);
    printf("imagine-server %s listens on %s. The API is %s.\n", imagine_version(), base,
           is_open ? "open: API_TOKEN is not set" : "for callers with a token");
    if (model == NULL)
        printf("No provider can make a picture now: set GITEE_TOKENS (see --help, --check).\n");
    else
        printf(
            "To make a picture:\n\ncurl -s %s/api/v1/generate -H 'content-type: application/json'%s"
            " -d '{\"model\":\"%.*s\",\"prompt\":\"a quiet sea\",\"response_format\":\"b64_json\"}'"
            " | sed 's/.*base64,//; s/\".*//' | base64 -d > picture.png\n\n",
            base, is_open ? "" : " -H \"authorization: Bearer $API_TOKEN\"", size, model);
    fflush(stdout);
    imagine_free(models);
}

static void on_listener_closed(void *user) {
    imagine_gateway_close(gateway);
    gateway = NULL;
    imagine_close(im, NULL, NULL);
    (void)user;
}

int main(int argc, char **argv) {
    static uv_prepare_t turn;
    static uv_signal_t signals[2];
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    struct rlimit files;
    char *text = NULL;
    int32_t port = 0;
    uv_loop_t *loop = options.loop = uv_default_loop();
    check(imagine_settings_open(&settings), NULL);
    bool is_check = read_arguments(argc, argv);
    find_web_root("../share/imagine/web");
    find_web_root("web");
    setvbuf(stderr, NULL, _IOFBF, LOG_BUFFER_SIZE);
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max; /* one for each caller, and one for its provider */
        setrlimit(RLIMIT_NOFILE, &files);
    }
    options.log = on_log;
    options.log_level = (int32_t)imagine_settings_get_int(settings, "LOG_LEVEL");
    options.ca_file = get("CA_FILE");
    check(imagine_open(&im, &options),
          options.ca_file ? "CA_FILE: no PEM file of certificates" : "");
    int err = imagine_configure(im, settings, &text);
    if (err == 0)
        err = imagine_gateway_open(&gateway, im, settings, &text);
    char *found = is_check ? imagine_settings_describe(settings) : NULL;
    if (is_check) /* HOST is tried; PORT may be that of a server that runs */
        imagine_settings_set(settings, "PORT", "0");
    if (err == 0)
        err = imagine_listener_open(&listener, gateway, loop, settings, &port, &text);
    check(err, text);
    if (is_check) {
        text = imagine_describe(im);
        printf("%s\n%s", found != NULL ? found : "", text != NULL ? text : "");
        return fflush(stdout) != 0 || fflush(stderr) != 0;
    }
    uv_timer_init(loop, &drain_timer);
    uv_timer_init(loop, &trim_timer);
    uv_prepare_init(loop, &turn);
    uv_prepare_start(&turn, on_turn);
    uv_unref((uv_handle_t *)&turn);
    for (int i = 0; i < 2; i++) {
        uv_signal_init(loop, &signals[i]);
        uv_signal_start(&signals[i], on_signal, i == 0 ? SIGTERM : SIGINT);
        uv_unref((uv_handle_t *)&signals[i]);
    }
    greet(get("HOST"), port);
    uv_run(loop, UV_RUN_DEFAULT); /* until it has drained */
    uv_timer_stop(&drain_timer);
    uv_timer_stop(&trim_timer);
    imagine_listener_close(listener, on_listener_closed, NULL);
    uv_run(loop, UV_RUN_DEFAULT); /* until the client has written its state and all is gone */
    imagine_settings_close(settings);
    return fflush(stderr);
}
