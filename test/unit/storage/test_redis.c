/* test_redis.c: "redis:" beside what the conformance suite says: against a real redis-server of its
 * own, which is stopped, killed, started anew, and asks for passwords. */
#include "../../support/check_main.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "../../support/failing_mem.h"
#include "../../support/storage_conformance.h"
#include "../../support/tcp_server.h"
#include "imagine/storage.h"
#include "storage/drivers.h"
#include "storage/redis_url.h"

#define START_MS 10000
#define PORT_MAX 55535 /* a Cluster's other port is 10000 higher */
#define PASSWORD "p@ss:w/rd"
#define PASSWORD_ENCODED "p%40ss%3Aw%2Frd"

static int port, tls_port; /* tls_port 0: no TLS */
static pid_t server = -1;

static int any_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static int free_port(void) {
    int found = any_port();
    while (found > PORT_MAX)
        found = any_port();
    return found;
}

/* The answer's text, or NULL: nobody there. */
static redisReply *ask(const char *command) {
    struct timeval patience = {1, 0};
    redisContext *hiredis = redisConnectWithTimeout("127.0.0.1", port, patience);
    redisReply *reply = NULL;
    if (hiredis != NULL && hiredis->err == 0)
        reply = redisCommand(hiredis, command);
    if (hiredis != NULL)
        redisFree(hiredis);
    return reply;
}

static void start_server(const char *option, const char *value) {
    char port_text[16], nodes[32], tls_port_text[16];
    snprintf(port_text, sizeof(port_text), "%d", port);
    snprintf(tls_port_text, sizeof(tls_port_text), "%d", tls_port);
    snprintf(nodes, sizeof(nodes), "imagine-%d.conf", port); /* only a Cluster writes it */
    const char *words[32] = {"redis-server",
                             "--port",
                             port_text,
                             "--bind",
                             "127.0.0.1",
                             "127.0.0.2",
                             "--save",
                             "",
                             "--dir",
                             "/tmp",
                             "--cluster-config-file",
                             nodes,
                             option,
                             value};
    const char *tls_words[] = {"--tls-port",         tls_port_text,
                               "--tls-auth-clients", "no",
                               "--tls-cert-file",    tcp_server_certificate_file(),
                               "--tls-key-file",     tcp_server_key_file()};
    if (tls_port != 0)
        memcpy(&words[14], tls_words, sizeof(tls_words));
    server = fork();
    ck_assert_int_ge(server, 0);
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)freopen("/dev/null", "w", stdout);
        execvp(words[0], (char *const *)words);
        _exit(127);
    }
    for (int i = 0; i < START_MS / 20; i++) {
        redisReply *reply = ask("PING");
        if (reply != NULL) {
            freeReplyObject(reply);
            return;
        }
        usleep(20000);
    }
    ck_abort_msg("redis-server does not start");
}

static void kill_server(void) {
    if (server <= 0)
        return;
    kill(server, SIGKILL);
    kill(server, SIGCONT);
    waitpid(server, NULL, 0);
    server = -1;
}

static void setup(void) {
    port = free_port();
    start_server("--loglevel", "warning");
}

static void open_url(storage_bench_t *bench, const char *url) {
    char *message = NULL;
    ck_assert_msg(imagine_storage_open(&bench->storage, url, &message) == 0, "%s", message);
}

static void join_redis(storage_bench_t *bench) {
    char url[64];
    snprintf(url, sizeof(url), "redis://127.0.0.1:%d/3?prefix=im%%2A:", port);
    open_url(bench, url);
}

static void open_redis(storage_bench_t *bench) {
    if (server <= 0)
        setup();
    freeReplyObject(ask("FLUSHALL"));
    join_redis(bench);
}

static void close_redis(storage_bench_t *bench) {
    (void)bench;
    kill_server();
}

#ifdef IMI_HIREDIS_HAS_TLS
static const char *host = "127.0.0.1";
static bool is_trusted = true;

static void join_rediss(storage_bench_t *bench) {
    char url[160];
    snprintf(url, sizeof(url), "rediss://%s:%d/3?prefix=im%%2A:%s%s", host, tls_port,
             is_trusted ? "&ca=" : "", is_trusted ? tcp_server_certificate_file() : "");
    open_url(bench, url);
}

static void open_rediss(storage_bench_t *bench) {
    if (server <= 0) {
        tls_port = free_port();
        setup();
    }
    freeReplyObject(ask("FLUSHALL"));
    join_rediss(bench);
}

static void close_rediss(storage_bench_t *bench) {
    close_redis(bench);
    tls_port = 0;
}

static const storage_target_t with_tls = {
    .name = "rediss", .open = open_rediss, .close = close_rediss};

static const struct {
    const char *host;
    bool is_trusted;
    const char *said;
} strangers[] = {{"127.0.0.2", true, "certificate: IP address mismatch"},
                 {"127.0.0.1", false, "certificate: self-signed"}};

START_TEST(only_the_right_certificate_is_spoken_to) { /* _i walks strangers */
    host = strangers[_i].host;
    is_trusted = strangers[_i].is_trusted;
    storage_bench_t *bench = storage_bench_open(&with_tls);
    ck_assert_int_eq(storage_bench_set(bench, "k", "w", 0), IMAGINE_EIO);
    ck_assert_int_eq(storage_bench_get(bench, "k"), IMAGINE_EIO);
    ck_assert_uint_eq(mini_io_logged(bench->mini, strangers[_i].said), 1);
    storage_bench_close(bench);
}
END_TEST
#endif

static const storage_target_t targets[] = {
    {.name = "redis",
     .open = open_redis,
     .close = close_redis,
     .clock_slack_ms = 100,
     .join = join_redis},
#ifdef IMI_HIREDIS_HAS_TLS
    {.name = "rediss",
     .open = open_rediss,
     .close = close_rediss,
     .clock_slack_ms = 100,
     .join = join_rediss},
#endif
};

/* ---- addresses ---------------------------------------------------------------------------------
 */

static const struct {
    const char *url, *host, *user, *password, *prefix; /* host NULL: refused */
    int port, database;
} urls[] = {
    {"redis://localhost", "localhost", NULL, NULL, "", 6379, 0},
    {"redis://", "127.0.0.1", NULL, NULL, "", 6379, 0},
    {"redis://h:1/2", "h", NULL, NULL, "", 1, 2},
    {"redis://[::1]:7/", "::1", NULL, NULL, "", 7, 0},
    {"redis://u:p%40q@h", "h", "u", "p@q", "", 6379, 0},
    {"redis://:p@h?prefix=a%3A", "h", NULL, "p", "a:", 6379, 0},
    {"redis://h:0", NULL, NULL, NULL, NULL, 0, 0},
    {"redis://h:65536", NULL, NULL, NULL, NULL, 0, 0},
    {"redis://h/x", NULL, NULL, NULL, NULL, 0, 0},
    {"redis://h?other=1", NULL, NULL, NULL, NULL, 0, 0},
    {"redis://[::1", NULL, NULL, NULL, NULL, 0, 0},
    {"redis://a:1,b:2", NULL, NULL, NULL, NULL, 0, 0},
    {"redis://h?ca=/x", NULL, NULL, NULL, NULL, 0, 0},
    {"redis://h?prefix", "h", NULL, NULL, "", 6379, 0},
    {"rediss://h:1?prefix=a%26&ca=/x", "h", NULL, NULL, "a&", 1, 0},
    {"redis:h", NULL, NULL, NULL, NULL, 0, 0},
};

START_TEST(an_address_is_read) { /* _i walks urls */
    imi_redis_url_t url;
    imi_arena_t arena;
    const char *reason = NULL;
    imi_arena_init(&arena, NULL, 0);
    int err = imi_redis_url_parse(&url, &arena, urls[_i].url, &reason);
    ck_assert_int_eq(err == 0, urls[_i].host != NULL);
    if (err != 0) {
        ck_assert_ptr_nonnull(reason);
    } else {
        ck_assert_str_eq(url.host, urls[_i].host);
        ck_assert_pstr_eq(url.user, urls[_i].user);
        ck_assert_pstr_eq(url.password, urls[_i].password);
        ck_assert_str_eq(url.prefix, urls[_i].prefix);
        ck_assert_int_eq(url.port, urls[_i].port);
        ck_assert_int_eq(url.database, urls[_i].database);
    }
    imi_arena_reset(&arena);
}
END_TEST

/* ---- a server with moods -----------------------------------------------------------------------
 */

static void open_with_password(storage_bench_t *bench) {
    char url[96];
    snprintf(url, sizeof(url), "redis://:%s@127.0.0.1:%d", PASSWORD_ENCODED, port);
    open_url(bench, url);
}

static void open_plain(storage_bench_t *bench) {
    char url[64];
    snprintf(url, sizeof(url), "redis://127.0.0.1:%d", port);
    open_url(bench, url);
}

static const storage_target_t with_password = {.name = "redis", .open = open_with_password};
static const char *address; /* of at_address */
static void open_address(storage_bench_t *bench) {
    open_url(bench, address);
}

static const storage_target_t at_address = {.name = "redis", .open = open_address};
static const storage_target_t plain = {.name = "redis", .open = open_plain};

static uint64_t clock_ms(const storage_bench_t *bench) {
    return bench->io->now_ms(bench->io->context);
}

/* Until it works again. */
static void expect_soon(storage_bench_t *bench) {
    uint64_t began_ms = clock_ms(bench);
    while (storage_bench_set(bench, "k", "v", 0) != 0) {
        ck_assert_uint_lt(clock_ms(bench) - began_ms, 15000);
        usleep(20000);
    }
}

START_TEST(a_password_is_given_and_a_wrong_one_told) { /* _i: the wrong one */
    port = free_port();
    start_server("--requirepass", _i == 0 ? PASSWORD : "another");
    storage_bench_t *bench = storage_bench_open(&with_password);
    ck_assert_int_eq(storage_bench_set(bench, "k", "v", 0), _i == 0 ? 0 : IMAGINE_EIO);
    storage_bench_close(bench);
    kill_server();
}
END_TEST

START_TEST(nobody_waits_for_a_server_that_was_stopped) {
    setup();
    storage_bench_t *bench = storage_bench_open(&plain);
    uint64_t began_ms;
    ck_assert_int_eq(storage_bench_set(bench, "k", "v", 0), 0);
    kill(server, SIGSTOP);
    began_ms = clock_ms(bench);
    ck_assert_int_eq(storage_bench_set(bench, "k", "w", 0), IMAGINE_ETIMEDOUT);
    ck_assert_uint_lt(clock_ms(bench) - began_ms, 600);
    began_ms = clock_ms(bench);
    ck_assert_int_ne(storage_bench_get(bench, "k"), 0);
    ck_assert_uint_lt(clock_ms(bench) - began_ms, 600);
    kill(server, SIGCONT);
    expect_soon(bench);
    storage_bench_close(bench);
    kill_server();
}
END_TEST

START_TEST(a_server_that_was_killed_is_found_again) {
    setup();
    storage_bench_t *bench = storage_bench_open(&plain);
    ck_assert_int_eq(storage_bench_set(bench, "old", "v", 0), 0);
    kill_server();
    ck_assert_int_ne(storage_bench_set(bench, "k", "w", 0), 0);
    start_server("--loglevel", "warning");
    expect_soon(bench);
    storage_bench_expect(bench, "old", NULL);
    storage_bench_close(bench);
    kill_server();
}
END_TEST

START_TEST(a_program_that_is_run_inherits_no_connection) {
    int connections = 0;
    setup();
    storage_bench_t *bench = storage_bench_open(&plain);
    ck_assert_int_eq(storage_bench_set(bench, "k", "v", 0), 0);
    for (int fd = 0; fd < 1024; fd++) {
        struct sockaddr_in peer = {0};
        socklen_t size = sizeof(peer);
        if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0 || ntohs(peer.sin_port) != port)
            continue;
        ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
        connections++;
    }
    ck_assert_int_eq(connections, 1);
    storage_bench_close(bench);
    kill_server();
}
END_TEST

/* Else a listener would never learn that a router on the way has forgotten it. */
START_TEST(connections_that_are_silent_are_kept_alive) {
    int connections = 0;
    setup();
    storage_bench_t *bench = storage_bench_open(&plain);
    ck_assert_int_eq(storage_bench_set(bench, "k", "v", 0), 0);
    for (int fd = 0; fd < 1024; fd++) {
        struct sockaddr_in peer = {0};
        socklen_t size = sizeof(peer), is_kept_size = sizeof(int);
        int is_kept = 0;
        if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0 || ntohs(peer.sin_port) != port)
            continue;
        ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &is_kept, &is_kept_size), 0);
        ck_assert_int_eq(is_kept, 1);
        connections++;
    }
    ck_assert_int_eq(connections, 1);
    storage_bench_close(bench);
    kill_server();
}
END_TEST

static bool has_two_addresses;

typedef struct found {
    struct addrinfo info; /* first */
    struct sockaddr_in place;
} found_t;

/* In place of the C library's: a name whose first address is nobody's. */
__attribute__((visibility("default"))) int getaddrinfo(const char *name, const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **out) {
    bool is_ours = has_two_addresses && service == NULL; /* else hiredis', of an address */
    const char *const addresses[] = {is_ours ? "127.0.0.2" : name, "127.0.0.3"};
    *out = NULL;
    for (int i = 0; i < (is_ours ? 2 : 1); i++) {
        found_t *found = calloc(1, sizeof(*found));
        ck_assert_ptr_nonnull(found);
        found->place.sin_family = AF_INET;
        if (service != NULL)
            found->place.sin_port = htons((uint16_t)strtol(service, NULL, 10));
        ck_assert_int_eq(inet_pton(AF_INET, addresses[i], &found->place.sin_addr), 1);
        found->info = (struct addrinfo){.ai_family = AF_INET,
                                        .ai_socktype = hints->ai_socktype,
                                        .ai_addr = (struct sockaddr *)&found->place,
                                        .ai_addrlen = sizeof(found->place),
                                        .ai_next = *out};
        *out = &found->info;
    }
    return 0;
}

__attribute__((visibility("default"))) void freeaddrinfo(struct addrinfo *info) {
    while (info != NULL) {
        struct addrinfo *next = info->ai_next;
        free(info);
        info = next;
    }
}

START_TEST(a_name_with_two_addresses_leads_to_the_one_that_answers) {
    setup(); /* on 127.0.0.1 and 127.0.0.2 */
    has_two_addresses = true;
    storage_bench_t *bench = storage_bench_open(&plain);
    expect_soon(bench);
    ck_assert_uint_eq(mini_io_logged(bench->mini, "store.opened"), 1);
    storage_bench_close(bench);
    has_two_addresses = false;
    kill_server();
}
END_TEST

typedef struct hearer {
    int look_count;
    int told_count;
} hearer_t;

static void on_heard(const char *key, void *user) {
    hearer_t *hearer = user;
    *(key == NULL ? &hearer->look_count : &hearer->told_count) += 1;
}

static void wait_for(const storage_bench_t *bench, const int *count, int expected) {
    uint64_t began_ms = clock_ms(bench);
    while (*count < expected) {
        ck_assert_uint_lt(clock_ms(bench) - began_ms, 15000);
        mini_io_sleep(bench->mini, 20);
    }
}

/* Redis gives new users no channel. */
START_TEST(who_may_not_listen_looks_again_and_again) {
    hearer_t hearer = {0};
    char url[96];
    setup();
    freeReplyObject(ask("ACL SETUSER app on >s3cr3t ~* +@all"));
    snprintf(url, sizeof(url), "redis://app:s3cr3t@127.0.0.1:%d", port);
    address = url;
    storage_bench_t *bench = storage_bench_open(&at_address);
    ck_assert_int_eq(bench->driver->watch(bench->self, "live/", on_heard, &hearer), 0);
    wait_for(bench, &hearer.look_count, 5); /* rests of 50 to 800 ms lie between */
    ck_assert_uint_eq(mini_io_logged(bench->mini, "store.deaf"), 1);
    ck_assert_uint_eq(mini_io_logged(bench->mini, "NOPERM"), 1);
    ck_assert_uint_eq(mini_io_logged(bench->mini, "store.lost"), 0);
    freeReplyObject(ask("ACL SETUSER app &changes"));
    for (int i = 0; hearer.told_count == 0; i++) {
        ck_assert_int_lt(i, 1000);
        freeReplyObject(ask("PUBLISH changes 0123456789abcdef:live/token/x"));
        mini_io_sleep(bench->mini, 20);
    }
    storage_bench_close(bench);
    kill_server();
}
END_TEST

START_TEST(without_a_server_everything_fails_soon_and_closing_works) {
    port = free_port();
    storage_bench_t *bench = storage_bench_open(&plain);
    uint64_t began_ms = clock_ms(bench);
    ck_assert_int_ne(storage_bench_set(bench, "k", "w", 0), 0);
    ck_assert_uint_lt(clock_ms(bench) - began_ms, 600);
    storage_bench_close(bench);
}
END_TEST

/* What a server says no with, and what the log makes of it. */
typedef struct refusal {
    const char *option, *value; /* of the server */
    const char *command;        /* given to it; NULL: none */
    const char *user;           /* in the address */
    const char *said;
    int get_status;
} refusal_t;

static const refusal_t refusals[] = {
    {"--maxmemory", "1", NULL, "", "OOM command not allowed", IMAGINE_ENOTFOUND},
    {"--loglevel", "warning", "REPLICAOF 127.0.0.1 1", "", "read-only replica", IMAGINE_ENOTFOUND},
    {"--cluster-enabled", "yes", NULL, "", "Redis Cluster", IMAGINE_EIO},
    {"--loglevel", "warning", "ACL SETUSER app on >s3cr3t ~* +get +ping", "app:s3cr3t@", "NOPERM",
     IMAGINE_ENOTFOUND},
    {"--loglevel", "warning", "ACL SETUSER app on >s3cr3t ~other* +@all", "app:s3cr3t@", "NOPERM",
     IMAGINE_EIO},
    {"--loglevel", "warning", NULL, "app:s3cr3t@", "WRONGPASS", IMAGINE_EIO},
    {"--requirepass", "s3cr3t", NULL, "", "NOAUTH", IMAGINE_EIO},
};

START_TEST(what_a_server_refuses_is_said_once) { /* _i walks refusals */
    const refusal_t *refusal = &refusals[_i];
    char url[96], nodes[48];
    port = free_port();
    start_server(refusal->option, refusal->value);
    if (refusal->command != NULL)
        freeReplyObject(ask(refusal->command));
    snprintf(url, sizeof(url), "redis://%s127.0.0.1:%d", refusal->user, port);
    address = url;
    storage_bench_t *bench = storage_bench_open(&at_address);
    for (int i = 0; i < 20; i++) {
        int status = 0;
        (void)storage_bench_add(bench, "n", 1, 0, &status);
        ck_assert_int_eq(status, IMAGINE_EIO);
        ck_assert_int_eq(storage_bench_set(bench, "k", "w", 0), IMAGINE_EIO);
        ck_assert_int_eq(storage_bench_swap(bench, "k", NULL, "w", 0), IMAGINE_EIO);
        ck_assert_int_eq(storage_bench_get(bench, "k"), refusal->get_status);
    }
    ck_assert_uint_eq(mini_io_logged(bench->mini, refusal->said), 1);
    ck_assert_uint_le(mini_io_logged(bench->mini, "store.lost"),
                      2); /* a script says it otherwise */
    ck_assert_uint_eq(mini_io_logged(bench->mini, "s3cr3t"), 0);
    storage_bench_close(bench);
    kill_server();
    snprintf(nodes, sizeof(nodes), "/tmp/imagine-%d.conf", port);
    (void)unlink(nodes);
}
END_TEST

/* ---- a server whose words are ours: what a real one says only now and then --------------------
 */

typedef struct actor {
    int connections; /* so far */
    int refusals;    /* so many PINGs get `greeting`, those behind them PONG */
    char greeting[64];
    char reply[64]; /* to everything else */
} actor_t;

static actor_t *actor; /* shared with the process that plays it */

/* One connection after the other; a command begins with '*' at the start of a line. */
static void play(int listener) {
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        char data[4096];
        ssize_t size;
        actor->connections++;
        while (fd >= 0 && (size = recv(fd, data, sizeof(data) - 1, 0)) > 0) {
            data[size] = '\0';
            for (const char *at = data; (at = strchr(at, '*')) != NULL; at++) {
                bool is_ping = strstr(at, "PING") != NULL;
                bool is_refused = is_ping && actor->refusals > 0;
                const char *said = is_refused ? actor->greeting
                                   : is_ping  ? "+PONG\r\n"
                                              : actor->reply;
                if (is_refused)
                    actor->refusals--;
                if (*said == '\0' || send(fd, said, strlen(said), MSG_NOSIGNAL) < 0)
                    shutdown(fd, SHUT_RDWR); /* nothing to say: it hangs up */
            }
        }
        close(fd);
    }
}

static void start_actor(const char *greeting, int refused_count, const char *reply) {
    struct sockaddr_in place = {.sin_family = AF_INET};
    socklen_t size = sizeof(place);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&place, size), 0);
    ck_assert_int_eq(listen(listener, 16), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&place, &size), 0);
    port = ntohs(place.sin_port);
    actor = mmap(NULL, sizeof(*actor), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(actor, MAP_FAILED);
    actor->refusals = refused_count;
    snprintf(actor->greeting, sizeof(actor->greeting), "%s", greeting);
    snprintf(actor->reply, sizeof(actor->reply), "%s", reply);
    server = fork();
    ck_assert_int_ge(server, 0);
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        play(listener);
    }
    close(listener);
}

static void kill_actor(void) {
    kill_server();
    munmap(actor, sizeof(*actor));
}

START_TEST(a_server_that_still_loads_is_asked_again_and_not_too_often) {
    start_actor("-LOADING Redis is loading the dataset\r\n", 4, "+OK\r\n");
    storage_bench_t *bench = storage_bench_open(&plain);
    ck_assert_int_eq(storage_bench_set(bench, "k", "w", 0), IMAGINE_EIO);
    expect_soon(bench);
    ck_assert_int_eq(actor->connections, 5);
    ck_assert_uint_eq(mini_io_logged(bench->mini, "LOADING"), 1);
    ck_assert_uint_eq(mini_io_logged(bench->mini, "store.opened"), 1);
    storage_bench_close(bench);
    kill_actor();
}
END_TEST

START_TEST(each_rest_is_twice_as_long_as_the_one_before) {
    start_actor("", 1000, "");
    storage_bench_t *bench = storage_bench_open(&plain);
    uint64_t began_ms = clock_ms(bench);
    while (clock_ms(bench) - began_ms < 3000) /* 50 + 100 + 200 + 400 + 800 and up to a quarter */
        mini_io_sleep(bench->mini, 20);
    ck_assert_int_ge(actor->connections, 3);
    ck_assert_int_le(actor->connections, 6);
    ck_assert_uint_eq(mini_io_logged(bench->mini, "store.lost"), 1);
    storage_bench_close(bench);
    kill_actor();
}
END_TEST

START_TEST(a_server_that_hangs_up_when_asked_is_said_once) {
    start_actor("", 0, "");
    storage_bench_t *bench = storage_bench_open(&plain);
    for (int i = 0; actor->connections < 5; i++) {
        ck_assert_int_lt(i, 200);
        ck_assert_int_ne(storage_bench_set(bench, "k", "w", 0), 0);
        mini_io_sleep(bench->mini, 80);
    }
    ck_assert_uint_eq(mini_io_logged(bench->mini, "store.lost"), 1);
    ck_assert_uint_eq(mini_io_logged(bench->mini, "store.opened"), 2); /* at first, and again */
    storage_bench_close(bench);
    kill_actor();
}
END_TEST

START_TEST(what_a_server_says_breaks_no_line_of_the_log) {
    start_actor("", 0, "-ERR \"k\"\nis\x01 not\r\n");
    storage_bench_t *bench = storage_bench_open(&plain);
    ck_assert_int_eq(storage_bench_set(bench, "k", "w", 0), IMAGINE_EIO);
    ck_assert_uint_eq(mini_io_logged(bench->mini, "reason=\"ERR 'k' is  not\""), 1);
    storage_bench_close(bench);
    kill_actor();
}
END_TEST

static const char *const elsewhere[] = {
    "-MOVED 866 127.0.0.1:7001\r\n", "-ASK 866 127.0.0.1:7001\r\n",
    "-CROSSSLOT Keys in request don't hash to the same slot\r\n"};

START_TEST(a_cluster_is_named_whatever_it_says) { /* _i walks elsewhere */
    start_actor("", 0, elsewhere[_i]);
    storage_bench_t *bench = storage_bench_open(&plain);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(storage_bench_set(bench, "k", "w", 0), IMAGINE_EIO);
        ck_assert_int_eq(storage_bench_get(bench, "k"), IMAGINE_EIO);
    }
    ck_assert_uint_eq(mini_io_logged(bench->mini, "Redis Cluster: one server is supported"), 1);
    ck_assert_int_eq(actor->connections, 1);
    storage_bench_close(bench);
    kill_actor();
}
END_TEST

static const struct {
    const char *url, *said;
} unsupported[] = {
#ifndef IMI_HIREDIS_HAS_TLS
    {"rediss://h", "no TLS"},
#endif
    {"redis-sentinel://h", "no storage for redis-sentinel"},
    {"redis://a:1,b:2", "no Cluster and no Sentinel"},
};

START_TEST(what_is_not_supported_is_named) { /* _i walks unsupported */
    imagine_storage_t *storage = NULL;
    char *message = NULL;
    ck_assert_int_eq(imagine_storage_open(&storage, unsupported[_i].url, &message),
                     IMAGINE_ENOTSUP);
    ck_assert_ptr_nonnull(message);
    ck_assert_msg(strstr(message, unsupported[_i].said) != NULL, "%s", message);
    imagine_free(message);
}
END_TEST

/* ---- memory that runs out ----------------------------------------------------------------------
 */

static failing_mem_t failing;

static void open_failing(storage_bench_t *bench) {
    char url[64];
    snprintf(url, sizeof(url), "redis://127.0.0.1:%d", port);
    ck_assert_int_eq(imi_storage_open(&failing.mem, &bench->storage, url, NULL), 0);
}

static bool is_told(int status) {
    return status == 0 || status == IMAGINE_ENOMEM;
}

/* False when there is no such allocation. hiredis' own are not ours to fail. */
static bool ask_all(size_t fail_at, bool is_lasting) {
    static const storage_target_t target = {.name = "redis without memory", .open = open_failing};
    int add_status = 0, list_status = 0;
    freeReplyObject(ask("FLUSHALL"));
    failing_mem_init(&failing, 0);
    storage_bench_t *bench = storage_bench_open(&target);
    int first_status = -1;
    for (int i = 0; i < 20 && first_status != 0; i++) /* a busy machine may connect too late */
        first_status = storage_bench_set(bench, "n", "41", 0);
    ck_assert_int_eq(first_status, 0);
    failing.request_count = 0;
    failing.fail_at = fail_at;
    failing.is_lasting = is_lasting;
    int64_t sum = storage_bench_add(bench, "n", 1, 0, &add_status);
    int set_status = storage_bench_set(bench, "k", "x", 1000000);
    int swap_status = storage_bench_swap(bench, "s", NULL, "y", 0);
    int get_status = storage_bench_get(bench, "n");
    free(storage_bench_list(bench, "", &list_status));
    failing.fail_at = 0;
    ck_assert(is_told(set_status) && is_told(swap_status) && is_told(get_status));
    ck_assert(is_told(list_status) && (add_status == 0 ? sum == 42 : is_told(add_status)));
    storage_bench_expect(bench, "n", add_status == 0 ? "42" : "41");
    storage_bench_expect(bench, "k", set_status == 0 ? "x" : NULL);
    storage_bench_expect(bench, "s", swap_status == 0 ? "y" : NULL);
    storage_bench_close(bench);
    ck_assert_uint_eq(failing.live_count, 0);
    return failing.has_failed;
}

START_TEST(every_failing_allocation_is_told_and_changes_nothing) { /* _i: do all that follow? */
    size_t n = 1;
    setup();
    while (ask_all(n, _i != 0))
        n++;
    ck_assert_uint_gt(n, 10);
    kill_server();
}
END_TEST

static size_t connecting_fail_at;

static void open_then_fail(storage_bench_t *bench) {
    open_failing(bench);
    failing.request_count = 0;
    failing.fail_at = connecting_fail_at;
}

START_TEST(a_connection_that_found_no_memory_is_made_later) {
    static const storage_target_t target = {.name = "redis, connecting", .open = open_then_fail};
    setup();
    for (connecting_fail_at = 1;; connecting_fail_at++) {
        failing_mem_init(&failing, 0);
        storage_bench_t *bench = storage_bench_open(&target);
        expect_soon(bench);
        storage_bench_close(bench);
        ck_assert_uint_eq(failing.live_count, 0);
        if (!failing.has_failed)
            break;
    }
    ck_assert_uint_gt(connecting_fail_at, 3);
    kill_server();
}
END_TEST

static Suite *redis_suite(void) {
    Suite *suite = suite_create("redis");
    TCase *moods = tcase_create("moods");
    suite_add_tcase(suite, storage_conformance(targets, sizeof(targets) / sizeof(targets[0])));
    tcase_set_timeout(moods, 60);
    tcase_add_loop_test(moods, an_address_is_read, 0, (int)(sizeof(urls) / sizeof(urls[0])));
#ifdef IMI_HIREDIS_HAS_TLS
    tcase_add_loop_test(moods, only_the_right_certificate_is_spoken_to, 0,
                        (int)(sizeof(strangers) / sizeof(strangers[0])));
#endif
    tcase_add_loop_test(moods, a_password_is_given_and_a_wrong_one_told, 0, 2);
    tcase_add_test(moods, nobody_waits_for_a_server_that_was_stopped);
    tcase_add_test(moods, a_server_that_was_killed_is_found_again);
    tcase_add_test(moods, a_program_that_is_run_inherits_no_connection);
    tcase_add_test(moods, connections_that_are_silent_are_kept_alive);
    tcase_add_test(moods, a_name_with_two_addresses_leads_to_the_one_that_answers);
    tcase_add_test(moods, who_may_not_listen_looks_again_and_again);
    tcase_add_test(moods, without_a_server_everything_fails_soon_and_closing_works);
    tcase_add_loop_test(moods, what_a_server_refuses_is_said_once, 0,
                        (int)(sizeof(refusals) / sizeof(refusals[0])));
    tcase_add_loop_test(moods, what_is_not_supported_is_named, 0,
                        (int)(sizeof(unsupported) / sizeof(unsupported[0])));
    tcase_add_test(moods, a_server_that_still_loads_is_asked_again_and_not_too_often);
    tcase_add_test(moods, a_server_that_hangs_up_when_asked_is_said_once);
    tcase_add_test(moods, what_a_server_says_breaks_no_line_of_the_log);
    tcase_add_test(moods, each_rest_is_twice_as_long_as_the_one_before);
    tcase_add_loop_test(moods, a_cluster_is_named_whatever_it_says, 0,
                        (int)(sizeof(elsewhere) / sizeof(elsewhere[0])));
    tcase_add_test(moods, a_connection_that_found_no_memory_is_made_later);
    tcase_add_loop_test(moods, every_failing_allocation_is_told_and_changes_nothing, 0, 2);
    suite_add_tcase(suite, moods);
    return suite;
}

IMI_CHECK_MAIN(redis_suite)
