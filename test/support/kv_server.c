/* kv_server.c: starts Node, and mixes two io tables. */
#include "support/kv_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t node;
static int node_stdin = -1;
static int upstash_port, cloudflare_port;

static void require(bool is_fine, const char *what) {
    if (is_fine)
        return;
    (void)fprintf(stderr, "kv_server: %s\n", what);
    abort();
}

void kv_server_start(void) {
    char line[128] = "";
    int in[2], out[2];
    require(pipe(in) == 0 && pipe(out) == 0, "no pipe");
    node = fork();
    if (node == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        close(in[1]);
        close(out[0]);
        execlp("node", "node", "test/support/kv.mjs", (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    node_stdin = in[1]; /* when it closes, with this process at the latest, Node ends */
    FILE *lines = fdopen(out[0], "r");
    require(lines != NULL && fgets(line, sizeof(line), lines) != NULL, "kv.mjs does not start");
    (void)fclose(lines);
    const char *upstash = strstr(line, "upstash="), *cloudflare = strstr(line, "cloudflare=");
    require(upstash != NULL && cloudflare != NULL, line);
    upstash_port = (int)strtol(upstash + strlen("upstash="), NULL, 10);
    cloudflare_port = (int)strtol(cloudflare + strlen("cloudflare="), NULL, 10);
    require(upstash_port > 0, "there is no redis-server");
}

void kv_server_stop(void) {
    close(node_stdin);
    (void)waitpid(node, NULL, 0);
}

/* Tests are forked: the process id tells one's storage from the other's. */
static unsigned next_number(void) {
    static unsigned number;
    return (unsigned)getpid() * 1000 + number++ % 1000;
}

const char *kv_server_upstash(const char *prefix) {
    static char url[1024];
    (void)snprintf(url, sizeof(url),
                   "upstash:http://:up%%2Fstash%%2Btoken%%3D@127.0.0.1:%d/?prefix=%u%s",
                   upstash_port, next_number(), prefix);
    return url;
}

const char *kv_server_cloudflare(const char *query) {
    static char url[2048];
    (void)snprintf(url, sizeof(url),
                   "cloudflare:http://:cloud-flare_token@127.0.0.1:%d/client/v4/accounts/a1"
                   "/storage/kv/namespaces/n%u%s",
                   cloudflare_port, next_number(), query == NULL ? "" : query);
    return url;
}

/* ---- io: HTTP from libuv's table, all else from the bench's ---- */

typedef struct mixed {
    imagine_io_t io;
    imagine_io_t *uv;
    mini_io_t *mini;
    size_t closed_count;
} mixed_t;

static int http_start(void *context, const imagine_http_request_t *request,
                      const imagine_http_handler_t *handler, void *user,
                      imagine_http_exchange_t **out) {
    mixed_t *mixed = context;
    return mixed->uv->http_start(mixed->uv->context, request, handler, user, out);
}

static void http_cancel(void *context, imagine_http_exchange_t *exchange) {
    mixed_t *mixed = context;
    mixed->uv->http_cancel(mixed->uv->context, exchange);
}

static int timer_start(void *context, uint64_t delay_ms, imagine_timer_cb on_timer, void *user,
                       imagine_timer_t **out) {
    mixed_t *mixed = context;
    return mixed->mini->io.timer_start(mixed->mini, delay_ms, on_timer, user, out);
}

static void timer_cancel(void *context, imagine_timer_t *timer) {
    mixed_t *mixed = context;
    mixed->mini->io.timer_cancel(mixed->mini, timer);
}

static uint64_t now_ms(void *context) {
    mixed_t *mixed = context;
    return mixed->mini->io.now_ms(mixed->mini);
}

static int64_t unix_ms(void *context) {
    mixed_t *mixed = context;
    return mixed->mini->io.unix_ms(mixed->mini);
}

static int random_bytes(void *context, void *out, size_t size) {
    mixed_t *mixed = context;
    return mixed->mini->io.random(mixed->mini, out, size);
}

static void log_line(void *context, int32_t level, const char *line) {
    mixed_t *mixed = context;
    mixed->mini->io.log(mixed->mini, level, line);
}

void kv_bench_open_io(storage_bench_t *bench) {
    mixed_t *mixed = calloc(1, sizeof(*mixed));
    require(mixed != NULL, "no memory");
    const imagine_io_uv_options_t options = {.size = sizeof(options), .loop = &bench->mini->loop};
    require(imagine_io_uv_open(&mixed->uv, &options) == 0, "imagine_io_uv_open");
    mixed->mini = bench->mini;
    mixed->io = (imagine_io_t){
        .size = sizeof(mixed->io),
        .context = mixed,
        .http_start = http_start,
        .http_cancel = http_cancel,
        .timer_start = timer_start,
        .timer_cancel = timer_cancel,
        .now_ms = now_ms,
        .unix_ms = unix_ms,
        .random = random_bytes,
        .log = log_line,
    };
    bench->io = &mixed->io;
    bench->context = mixed;
}

static void on_closed(void *user) {
    mixed_t *mixed = user;
    mixed->closed_count++;
}

void kv_bench_close_io(storage_bench_t *bench) {
    mixed_t *mixed = bench->context;
    imagine_io_uv_close(mixed->uv, on_closed, mixed);
    require(mini_io_run_until(bench->mini, &mixed->closed_count, 1, 5000), "io does not close");
    free(mixed);
}
