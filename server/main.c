/* main.c: imagine-server: settings in, signals in, log lines out; everything else is the library's.
 *
 *   start -> serving -> (SIGTERM) draining -> closing: listener, gateway, client -> exit 0
 *
 * A second signal ends at once. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <imagine.h>
#include <imagine/gateway.h>
#include <uv.h>

#include "listener.h"

typedef struct server {
    uv_loop_t loop;
    uv_signal_t signals[2];
    uv_prepare_t flush; /* log lines leave once per turn of the loop, in one write */
    uv_timer_t drain;
    imagine_settings_t *settings;
    imagine_t *im;
    imagine_gateway_t *gateway;
    listener_t *listener;
    int log_as_json, is_draining;
} server_t;

static server_t server;

static int fail(const char *what, const char *why) {
    fprintf(stderr, "imagine-server: %s%s%s\n", what, why[0] != '\0' ? ": " : "", why);
    return 1;
}

/* ---- the log ----------------------------------------------------------------------------------
 */

static void on_log(int32_t level, const char *line, void *user) {
    char text[4096];
    struct timespec now;
    size_t size;
    (void)user;
    clock_gettime(CLOCK_REALTIME, &now);
    size = imagine_log_format(text, sizeof(text), server.log_as_json,
                              now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000, level, line);
    fwrite(text, 1, size, stderr);
}

static void on_turn(uv_prepare_t *handle) {
    (void)handle;
    fflush(stderr);
}

static int32_t log_level(void) {
    static const char *const names[] = {"error", "warn", "info", "debug", "trace"};
    const char *name = imagine_settings_get(server.settings, "LOG_LEVEL");
    for (int32_t level = 0; level < 5; level++)
        if (strcmp(names[level], name) == 0)
            return level;
    return IMAGINE_LOG_INFO;
}

/* ---- settings ---------------------------------------------------------------------------------
 */

static void print_help(void) {
    printf(
        "imagine-server %s: pictures, edits, texts and videos from any AI provider, over HTTP.\n\n"
        "usage: imagine-server [--port N] [--host A] [--env-file FILE] [--check] [--help] "
        "[--version]\n\n"
        "  --port N, --host A   as PORT and HOST below\n"
        "  --env-file FILE      read settings from FILE, too; the environment wins\n"
        "  --check              read all settings, say what they are (secrets masked), and end\n\n"
        "Settings, from the environment, then .env.local, then .env in this folder:\n\n%s",
        imagine_version(), imagine_settings_help());
}

/* 0: go on; 1: a mistake, which was said; -1: all done. */
static int read_arguments(int argc, char **argv, int *out_is_check) {
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        int err = 0;
        if (strcmp(argv[i], "--help") == 0) {
            print_help();
            return -1;
        }
        if (strcmp(argv[i], "--version") == 0) {
            printf("imagine-server %s\n", imagine_version());
            return -1;
        }
        if (strcmp(argv[i], "--check") == 0) {
            *out_is_check = 1;
            continue;
        }
        if (value == NULL)
            return fail(argv[i], "not an option, or its value is missing (try --help)");
        if (strcmp(argv[i], "--port") == 0)
            err = imagine_settings_set(server.settings, "PORT", value);
        else if (strcmp(argv[i], "--host") == 0)
            err = imagine_settings_set(server.settings, "HOST", value);
        else if (strcmp(argv[i], "--env-file") == 0)
            err = imagine_settings_read_file(server.settings, value);
        else
            return fail(argv[i], "not an option (try --help)");
        if (err == IMAGINE_ENOTFOUND)
            return fail(value, "no such file");
        if (err != 0)
            return fail(imagine_settings_message(server.settings), "");
        i++;
    }
    return 0;
}

static int read_settings(void) {
    static const char *const files[] = {".env.local", ".env"};
    int err = imagine_settings_read_env(server.settings);
    for (size_t i = 0; err == 0 && i < 2; i++) {
        err = imagine_settings_read_file(server.settings, files[i]);
        if (err == IMAGINE_ENOTFOUND)
            err = 0;
    }
    return err == 0 ? 0 : fail(imagine_settings_message(server.settings), "");
}

/* The page that comes with us: installed beside the program, or in the tree where it was built. */
static void find_page(void) {
    static const char *const places[] = {"/../share/imagine/web", "/web"};
    char program[PATH_MAX], path[PATH_MAX + 32], *slash;
    ssize_t size = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (size <= 0 || imagine_settings_get(server.settings, "WEB_ROOT") != NULL)
        return;
    program[size] = '\0';
    slash = strrchr(program, '/');
    *slash = '\0';
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s%s", program, places[i]);
        if (access(path, R_OK | X_OK) == 0) {
            imagine_settings_set(server.settings, "WEB_ROOT", path);
            return;
        }
    }
}

/* ---- life -------------------------------------------------------------------------------------
 */

static void on_client_closed(void *user) {
    (void)user;
    uv_close((uv_handle_t *)&server.flush, NULL);
    uv_close((uv_handle_t *)&server.drain, NULL);
    for (size_t i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&server.signals[i], NULL);
}

static void on_listener_closed(void) {
    imagine_gateway_close(server.gateway);
    imagine_close(server.im, on_client_closed, NULL);
}

static void on_drained(uv_timer_t *timer) {
    uv_timer_stop(timer);
    listener_close(server.listener, on_listener_closed);
}

/* Looks again until nothing is in flight or the time is up; only while the server is ending. */
static void on_drain_turn(uv_timer_t *timer) {
    int64_t limit_ms = 1000 * imagine_settings_get_int(server.settings, "DRAIN_SECONDS");
    uint64_t since_ms = uv_now(&server.loop) - (uint64_t)(uintptr_t)timer->data;
    if (imagine_gateway_in_flight(server.gateway) == 0 || since_ms >= (uint64_t)limit_ms)
        on_drained(timer);
}

static void on_signal(uv_signal_t *handle, int number) {
    (void)handle;
    if (server.is_draining) {
        fflush(stderr);
        _exit(128 + number);
    }
    server.is_draining = 1;
    imagine_log(server.im, IMAGINE_LOG_INFO, "server.draining");
    listener_stop(server.listener);
    imagine_gateway_drain(server.gateway);
    server.drain.data = (void *)(uintptr_t)uv_now(&server.loop);
    uv_timer_start(&server.drain, on_drain_turn, 0, 20);
}

static int open_parts(void) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    char *message = NULL;
    int err;
    options.loop = &server.loop;
    options.log = on_log;
    options.log_level = log_level();
    options.ca_file = imagine_settings_get(server.settings, "CA_FILE");
    err = imagine_open(&server.im, &options);
    if (err != 0)
        return fail(options.ca_file != NULL ? "CA_FILE" : "the client", imagine_strerror(err));
    err = imagine_configure(server.im, server.settings, &message);
    if (err == 0)
        err = imagine_gateway_open(&server.gateway, server.im, server.settings, &message);
    if (err != 0)
        fail(message != NULL ? message : imagine_strerror(err), "");
    imagine_free(message);
    return err == 0 ? 0 : 1;
}

static int open_listener(void) {
    const imagine_settings_t *settings = server.settings;
    listener_options_t options = {0};
    const char *why;
    options.loop = &server.loop;
    options.gateway = server.gateway;
    options.host = imagine_settings_get(settings, "HOST");
    options.port = imagine_settings_get(settings, "PORT");
    options.tls_cert = imagine_settings_get(settings, "TLS_CERT");
    options.tls_key = imagine_settings_get(settings, "TLS_KEY");
    options.connections_max = (unsigned)imagine_settings_get_int(settings, "MAX_CONNECTIONS");
    why = listener_open(&server.listener, &options);
    return why == NULL ? 0 : fail("cannot listen", why);
}

static void greet(void) {
    const char *host = imagine_settings_get(server.settings, "HOST");
    const char *token = imagine_settings_get(server.settings, "API_TOKEN");
    const char *tls = imagine_settings_get(server.settings, "TLS_CERT");
    int is_any = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
    char *models = imagine_models(server.im, 0);
    const char *sample = models != NULL && strstr(models, "\"sample/") != NULL
                             ? "sample/nebula"
                             : "huggingface/z-image-turbo";
    char base[300];
    snprintf(base, sizeof(base),
             strchr(host, ':') != NULL && !is_any ? "%s://[%s]:%d" : "%s://%s:%d",
             tls != NULL ? "https" : "http", is_any ? "127.0.0.1" : host,
             listener_port(server.listener));
    printf("imagine-server %s listens on %s (%s)\n", imagine_version(), base,
           token != NULL ? "API_TOKEN needed"
                         : "open: no API_TOKEN is set; admin routes answer this machine only");
    printf(
        "A picture, to paste:\n\n"
        "curl -s %s/api/v1/generate -H 'Content-Type: application/json'%s -d '{\"model\": \"%s\", "
        "\"prompt\": \"a quiet sea at dawn\"}'%s\n\n",
        base, token != NULL ? " -H 'Authorization: Bearer YOUR_API_TOKEN'" : "", sample,
        strncmp(sample, "sample", 6) == 0
            ? " | sed 's/.*base64,//; s/\".*//' | base64 -d > picture.png"
            : "");
    fflush(stdout);
    imagine_free(models);
}

static void start_loop_handles(void) {
    static const int numbers[] = {SIGTERM, SIGINT};
    uv_prepare_init(&server.loop, &server.flush);
    uv_prepare_start(&server.flush, on_turn);
    uv_timer_init(&server.loop, &server.drain);
    for (size_t i = 0; i < 2; i++) {
        uv_signal_init(&server.loop, &server.signals[i]);
        uv_signal_start(&server.signals[i], on_signal, numbers[i]);
    }
}

int main(int argc, char **argv) {
    struct rlimit files;
    char *text;
    int is_check = 0, done;
    if (imagine_settings_open(&server.settings) != 0)
        return fail("out of memory", "");
    done = read_arguments(argc, argv, &is_check);
    if (done != 0)
        return done < 0 ? 0 : 1;
    if (read_settings() != 0)
        return 1;
    find_page();
    server.log_as_json = strcmp(imagine_settings_get(server.settings, "LOG_FORMAT"), "json") == 0;
    setvbuf(stderr, NULL, _IOFBF, 64 * 1024);
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) ==
        0) { /* one descriptor per waiting caller, and one more */
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    uv_loop_init(&server.loop);
    if (open_parts() != 0)
        return 1;
    if (is_check) {
        text = imagine_settings_describe(server.settings);
        printf("%sAll settings make sense.\n", text != NULL ? text : "");
        imagine_free(text);
        return 0;
    }
    if (open_listener() != 0)
        return 1;
    start_loop_handles();
    greet();
    uv_run(&server.loop, UV_RUN_DEFAULT);
    uv_loop_close(&server.loop);
    imagine_settings_close(server.settings);
    fflush(stderr);
    return 0;
}
