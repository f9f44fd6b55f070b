/* main.c: imagine-server: settings, and for each of WORKERS a client, a gateway and a listener on a
 * loop; on SIGTERM they let what is running finish. Everything else is in the library.
 *
 * The first worker is the main thread's, and has the signals; each of the others has a thread. It
 * drains like them, but ends last: so a second signal always finds somebody who listens. */
#include <getopt.h>
#include <imagine/gateway.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
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
#define CROWD 16 /* requests; when all or most of so many are done, memory is given back, … */
#define TRIM_AFTER_MS 8000 /* … but not before idle connections went, too, and not at once: */
#define KEPT_SIZE (64 * 1024 * 1024) /* pages that the next pictures would only ask for again */

static const char usage[] =
    "Options: --port N, --host A, --env-file FILE, --check, --version, --help. Settings come from\n"
    "the environment, then .env.local, then .env (or from FILE instead of both):\n\n";
typedef struct worker {
    uv_loop_t loop;
    uv_thread_t thread; /* of all but the first */
    imagine_t *im;
    imagine_gateway_t *gateway;
    imagine_listener_t *listener; /* NULL: it is ending */
    uv_prepare_t turn;
    uv_async_t wake;
    uv_timer_t drain_timer, trim_timer;
    bool is_draining;
    size_t crowd; /* the most requests since memory was given back */
} worker_t;

static imagine_settings_t *settings; /* read by all, once they run */
static worker_t workers[IMAGINE_LISTENERS_MAX];
static size_t worker_count;
static atomic_size_t others_count; /* that have not ended */
static atomic_bool must_drain;
static _Thread_local bool is_worker; /* this thread is one: it has turns */

/* Without exit handlers: a storage's thread may be at work in what they clean up. */
static void leave(bool has_failed) {
    _exit(fflush(stdout) != 0 || fflush(stderr) != 0 || has_failed ? EXIT_FAILURE : EXIT_SUCCESS);
}

static void check(int err, const char *message) {
    if (err == 0)
        return;
    fprintf(stderr, "imagine-server: %s\n", message && *message ? message : imagine_strerror(err));
    leave(true);
}

static const char *get(const char *name) { /* NULL when it is not set, or empty */
    const char *value = imagine_settings_get(settings, name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static void on_log(int32_t level, const char *line, void *user) {
    char text[TEXT_SIZE];
    int is_json = (int)imagine_settings_get_int(settings, "LOG_FORMAT");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t unix_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    fwrite(text, 1, imagine_log_format(text, sizeof(text), is_json, unix_ms, level, line), stderr);
    if (!is_worker) /* it may not write for long */
        fflush(stderr);
    (void)user;
}

static void on_trim(uv_timer_t *timer) {
    imagine_process_trim();
    (void)timer;
}

static void on_drain_time(uv_timer_t *timer) { /* that it is not active any more says it */
    (void)timer;
}

static void drain(worker_t *worker) {
    worker->is_draining = true;
    imagine_gateway_drain(worker->gateway);
    imagine_listener_stop(worker->listener);
    uv_timer_start(&worker->drain_timer, on_drain_time,
                   1000 * (uint64_t)imagine_settings_get_int(settings, "DRAIN_SECONDS"), 0);
}

static void on_turn(uv_prepare_t *handle) { /* before the loop waits: one write for the log */
    worker_t *worker = handle->data;
    fflush(stderr);
    if (worker->listener == NULL)
        return;
    if (atomic_load(&must_drain) && !worker->is_draining)
        drain(worker);
    size_t in_flight = imagine_gateway_in_flight(worker->gateway);
    bool is_idle = in_flight == 0 || !uv_is_active((uv_handle_t *)&worker->drain_timer);
    if (worker->is_draining && is_idle && (worker != workers || atomic_load(&others_count) == 0))
        uv_stop(handle->loop);
    if (worker_count > 1)
        imagine_gateway_publish(worker->gateway);
    worker->crowd = in_flight > worker->crowd ? in_flight : worker->crowd;
    if (worker->crowd > 0 && !uv_is_active((uv_handle_t *)&worker->trim_timer) &&
        (in_flight == 0 || (worker->crowd >= CROWD && in_flight < worker->crowd / 8))) {
        worker->crowd = 0;
        uv_timer_start(&worker->trim_timer, on_trim, TRIM_AFTER_MS, 0);
    }
}

static void on_signal(uv_signal_t *handle, int number) {
    if (atomic_exchange(&must_drain, true))
        _exit(128 + number); /* the second one */
    imagine_log(workers[0].im, IMAGINE_LOG_INFO, "server.draining");
    for (size_t i = 0; i < worker_count; i++)
        uv_async_send(&workers[i].wake);
    (void)handle;
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
    char *models = imagine_models(workers[0].im, 0), base[TEXT_SIZE];
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

/* The clients first: all that may be wrong with the settings is told before a port is taken. */
static int open_workers(const imagine_options_t *common, int32_t *out_port, char **out_message) {
    imagine_t *ims[IMAGINE_LISTENERS_MAX];
    int err = 0;
    for (size_t i = 0; i < worker_count && err == 0; i++) {
        imagine_options_t options = *common;
        options.loop = &workers[i].loop;
        check(uv_loop_init(&workers[i].loop) != 0 ? IMAGINE_EIO : 0, "WORKERS: too many");
        check(imagine_open(&workers[i].im, &options),
              options.ca_file ? "CA_FILE: no PEM file of certificates" : "");
        ims[i] = workers[i].im;
    }
    err = imagine_configure_all(ims, worker_count, settings, out_message);
    for (size_t i = 0; i < worker_count && err == 0; i++) {
        worker_t *worker = &workers[i];
        err = imagine_gateway_open(&worker->gateway, worker->im, settings, out_message);
        if (err == 0)
            err = imagine_gateway_join(worker->gateway, workers[0].gateway);
    }
    if (err == 0)
        err = imagine_listener_open(&workers[0].listener, workers[0].gateway, &workers[0].loop,
                                    settings, out_port, out_message);
    for (size_t i = 1; i < worker_count && err == 0; i++)
        err = imagine_listener_join(&workers[i].listener, workers[0].listener, workers[i].gateway,
                                    &workers[i].loop, out_message);
    return err;
}

static void on_listener_closed(void *user) {
    worker_t *worker = user;
    imagine_gateway_close(worker->gateway);
    imagine_close(worker->im, NULL, NULL);
}

static void serve(void *user) {
    worker_t *worker = user;
    is_worker = true;
    uv_run(&worker->loop, UV_RUN_DEFAULT); /* until it has drained */
    uv_timer_stop(&worker->drain_timer);
    uv_timer_stop(&worker->trim_timer);
    imagine_listener_close(worker->listener, on_listener_closed, worker);
    worker->listener = NULL;
    uv_run(&worker->loop, UV_RUN_DEFAULT); /* until the client has written its state and is gone */
    if (worker == workers)
        return;
    atomic_fetch_sub(&others_count, 1);
    uv_async_send(&workers[0].wake);
}

static void start(worker_t *worker) {
    uv_timer_init(&worker->loop, &worker->drain_timer);
    uv_timer_init(&worker->loop, &worker->trim_timer);
    uv_prepare_init(&worker->loop, &worker->turn);
    worker->turn.data = worker;
    uv_prepare_start(&worker->turn, on_turn);
    uv_unref((uv_handle_t *)&worker->turn);
    check(uv_async_init(&worker->loop, &worker->wake, NULL) != 0 ? IMAGINE_EIO : 0, NULL);
    uv_unref((uv_handle_t *)&worker->wake);
}

static void close_handle(uv_handle_t *handle, void *user) {
    uv_close(handle, NULL);
    (void)user;
}

static void end(worker_t *worker) {
    if (worker != workers)
        uv_thread_join(&worker->thread);
    uv_walk(&worker->loop, close_handle, NULL);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    uv_loop_close(&worker->loop);
}

int main(int argc, char **argv) {
    static uv_signal_t signals[2];
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    struct rlimit files;
    char *text = NULL;
    int32_t port = 0;
    imagine_process_trim(); /* of what loading has touched */
    check(imagine_settings_open(&settings), NULL);
    bool is_check = read_arguments(argc, argv);
    find_web_root("../share/imagine/web");
    find_web_root("web");
    setvbuf(stderr, NULL, _IOFBF, LOG_BUFFER_SIZE);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow (ulimit -f) is like a full disk */
    mallopt(M_MMAP_THRESHOLD, KEPT_SIZE / 2);
    mallopt(M_TRIM_THRESHOLD, KEPT_SIZE);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max; /* one for each caller, and one for its provider */
        setrlimit(RLIMIT_NOFILE, &files);
    }
    options.log = on_log;
    options.log_level = (int32_t)imagine_settings_get_int(settings, "LOG_LEVEL");
    options.ca_file = get("CA_FILE");
    worker_count = (size_t)imagine_listener_count(settings);
    char *found = is_check ? imagine_settings_describe(settings) : NULL;
    if (is_check) /* HOST is tried; PORT may be that of a server that runs */
        imagine_settings_set(settings, "PORT", "0");
    int err = open_workers(&options, &port, &text);
    check(err, text);
    if (is_check) {
        text = imagine_describe(workers[0].im);
        printf("%s\n%s", found != NULL ? found : "", text != NULL ? text : "");
        leave(false);
    }
    for (size_t i = 0; i < worker_count; i++)
        start(&workers[i]);
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&workers[0].loop, &signals[i]);
        uv_signal_start(&signals[i], on_signal, i == 0 ? SIGTERM : SIGINT);
        uv_unref((uv_handle_t *)&signals[i]);
    }
    atomic_store(&others_count, worker_count - 1);
    for (size_t i = 1; i < worker_count; i++)
        check(uv_thread_create(&workers[i].thread, serve, &workers[i]) != 0 ? IMAGINE_EIO : 0,
              NULL);
    greet(get("HOST"), port);
    serve(&workers[0]);
    for (size_t i = worker_count; i > 0; i--)
        end(&workers[i - 1]);
    imagine_settings_close(settings);
    return fflush(stderr);
}
