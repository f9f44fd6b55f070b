/* main.c: imagine-server: settings, a client, a gateway and a listener on one loop; on SIGTERM it
 * lets what is running finish. Everything else is in the library. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "listener.h"

#define PATH_SIZE 4096
#define LOG_LINE_SIZE 4096
#define LOG_BUFFER_SIZE 65536
#define DRAIN_LOOK_MS 20

static const char usage[] =
    "Options: --port N, --host A, --env-file FILE, --check, --version, --help.\nSettings come from "
    "the environment, then .env.local, then .env (or FILE instead of both):\n\n";

static imagine_settings_t *settings;
static imagine_t *im;
static imagine_gateway_t *gateway;
static listener_t *listener;
static uint64_t drain_until_ms; /* 0: serving */

static void check(int err, const char *message) {
    if (err == 0)
        return;
    if (message == NULL || message[0] == '\0')
        message = imagine_strerror(err);
    fprintf(stderr, "imagine-server: %s\n", message);
    exit(EXIT_FAILURE);
}

static const char *get(const char *name) { /* NULL when it is not set, or empty */
    const char *value = imagine_settings_get(settings, name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static void on_log(int32_t level, const char *line, void *user) {
    char text[LOG_LINE_SIZE];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t unix_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    size_t size = imagine_log_format(text, sizeof(text), user != NULL, unix_ms, level, line);
    fwrite(text, 1, size, stderr);
}

static void flush_log(uv_prepare_t *handle) { /* one write per turn of the loop */
    (void)handle;
    fflush(stderr);
}

static void look_if_drained(uv_timer_t *timer) {
    if (imagine_gateway_in_flight(gateway) == 0 || uv_now(timer->loop) >= drain_until_ms)
        uv_stop(timer->loop);
}

static void on_signal(uv_signal_t *handle, int number) {
    if (drain_until_ms != 0)
        _exit(128 + number); /* the second one */
    drain_until_ms =
        uv_now(handle->loop) + 1000 * (uint64_t)imagine_settings_get_int(settings, "DRAIN_SECONDS");
    imagine_log(im, IMAGINE_LOG_INFO, "server.draining");
    imagine_gateway_drain(gateway);
    listener_stop(listener);
    uv_timer_start(handle->data, look_if_drained, 0, DRAIN_LOOK_MS);
}

static int read_arguments(int argc, char **argv) { /* 1: only check */
    static const struct option options[] = {{"port", 1, NULL, 'p'},     {"host", 1, NULL, 'a'},
                                            {"env-file", 1, NULL, 'e'}, {"check", 0, NULL, 'c'},
                                            {"version", 0, NULL, 'v'},  {"help", 0, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *file = NULL;
    int option, is_check = 0, err = 0;
    while (err == 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'v' || option == 'h') {
            printf("imagine-server %s\n", imagine_version());
            printf("%s%s", option == 'h' ? usage : "",
                   option == 'h' ? imagine_settings_help() : "");
        }
        if (option == 'v' || option == 'h' ||
            option == '?') /* getopt_long() has said what is wrong */
            exit(option == '?' ? EXIT_FAILURE : EXIT_SUCCESS);
        if (option == 'p' || option == 'a')
            err = imagine_settings_set(settings, option == 'p' ? "PORT" : "HOST", optarg);
        file = option == 'e' ? optarg : file;
        is_check |= option == 'c';
    }
    check(optind < argc ? IMAGINE_EINVAL : 0, "there are only options: see --help");
    if (err == 0)
        err = imagine_settings_read_env(settings);
    if (err == 0)
        err = imagine_settings_read_file(settings, file);
    check(err, err == IMAGINE_ENOTFOUND ? "--env-file: there is no such file"
                                        : imagine_settings_message(settings));
    return is_check;
}

/* The page: where `make install` puts it, or beside the program in the build tree. */
static void find_web_root(const char *folder) {
    char path[PATH_SIZE];
    size_t size = sizeof(path) - strlen(folder) - 1;
    if (get("WEB_ROOT") != NULL || uv_exepath(path, &size) != 0)
        return;
    memcpy(strrchr(path, '/') + 1, folder, strlen(folder) + 1);
    if (access(path, R_OK) == 0)
        check(imagine_settings_set(settings, "WEB_ROOT", path), imagine_settings_message(settings));
}

/* Where it listens, and a line to paste that makes a picture. */
static void greet(const char *host) {
    char *models = imagine_models(im, 0), base[PATH_SIZE];
    int is_sample = models != NULL && strstr(models, "\"sample/nebula\"") != NULL;
    int is_any = strcmp(host, "::") == 0 || strcmp(host, "0.0.0.0") == 0;
    int has_token = get("API_TOKEN") != NULL;
    snprintf(base, sizeof(base),
             strchr(host, ':') && !is_any ? "http%s://[%s]:%d" : "http%s://%s:%d",
             get("TLS_CERT") ? "s" : "", is_any ? "127.0.0.1" : host, listener_port(listener));
    printf("imagine-server %s listens on %s%s. The API is %s.\nTo make a picture:\n\n"
           "curl -s %s/api/v1/generate -H 'content-type: application/json'%s"
           " -d '{\"model\":\"%s\",\"prompt\":\"a quiet sea\"}' | %s\n\n",
           imagine_version(), base, is_any ? " and all addresses of this machine" : "",
           has_token ? "for callers with a token" : "open: API_TOKEN is not set", base,
           has_token ? " -H \"authorization: Bearer $API_TOKEN\"" : "",
           is_sample ? "sample/nebula" : "gitee/flux-2",
           is_sample ? "sed 's/.*base64,//; s/\".*//' | base64 -d > picture.png"
                     : "sed 's/.*\"url\":\"//; s/\".*//' | xargs curl -so picture.png");
    fflush(stdout);
    imagine_free(models);
}

static void open_client(uv_loop_t *loop) {
    static const char *const levels[] = {"error", "warn", "info", "debug", "trace"};
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    char *message = NULL;
    options.loop = loop;
    options.log = on_log;
    options.log_user = strcmp(get("LOG_FORMAT"), "json") == 0 ? loop : NULL;
    while (strcmp(get("LOG_LEVEL"), levels[options.log_level]) != 0)
        options.log_level++;
    options.ca_file = get("CA_FILE");
    check(imagine_open(&im, &options),
          options.ca_file ? "CA_FILE: no PEM file of certificates" : NULL);
    check(imagine_configure(im, settings, &message), message);
    check(imagine_gateway_open(&gateway, im, settings, &message), message);
}

static void on_closed(void *user) {
    uv_stop(user);
}

int main(int argc, char **argv) {
    static uv_prepare_t flush;
    static uv_signal_t signals[2];
    static uv_timer_t look;
    struct rlimit files;
    uv_loop_t *loop = uv_default_loop();
    check(imagine_settings_open(&settings), NULL);
    int is_check = read_arguments(argc, argv);
    find_web_root("../share/imagine/web");
    find_web_root("web");
    setvbuf(stderr, NULL, _IOFBF, LOG_BUFFER_SIZE);
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max; /* one for each caller, and one for its provider */
        setrlimit(RLIMIT_NOFILE, &files);
    }
    open_client(loop);
    if (is_check)
        return printf("%s", imagine_settings_describe(settings)) < 0;
    const char *why =
        listener_open(&listener, loop, gateway, get("HOST"), get("PORT"),
                      (unsigned)imagine_settings_get_int(settings, "MAX_CONNECTIONS"));
    check(why == NULL ? 0 : IMAGINE_EIO, why);
    uv_prepare_init(loop, &flush);
    uv_prepare_start(&flush, flush_log);
    uv_timer_init(loop, &look);
    for (int i = 0; i < 2; i++) {
        uv_signal_init(loop, &signals[i]);
        uv_signal_start(&signals[i], on_signal, i == 0 ? SIGTERM : SIGINT);
        signals[i].data = &look;
    }
    greet(get("HOST"));
    uv_run(loop, UV_RUN_DEFAULT); /* until look_if_drained() stops it */
    listener_close(listener);
    imagine_gateway_close(gateway);
    imagine_close(im, on_closed, loop);
    uv_run(loop, UV_RUN_DEFAULT); /* until the client has written its state and is gone */
    imagine_settings_close(settings);
    return fflush(stderr);
}
