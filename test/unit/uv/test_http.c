/* test_http.c: exchanges over curl against a real server: what goes out, what comes in, what is
 * told when it breaks, and that a request is never carried out twice. */
#include "imagine/io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/check_main.h"
#include "support/h2_server.h"
#include "support/io_conformance.h"
#include "support/tcp_server.h"
#include "support/uv_host.h"

enum { TEXT_MAX = 512 * 1024 };

static const imagine_io_t *io;
static tcp_server_t *server;

/* ---- one exchange -------------------------------------------------------------------------- */

typedef struct fetch {
    imagine_http_request_t request;
    imagine_http_exchange_t *exchange;
    int32_t status, http_version;
    size_t header_count;
    char value[64]; /* of the header that was asked for */
    const char *name;
    char *text; /* the body; the caller frees */
    size_t text_size;
    int32_t error, was_sent;
    char message[128];
    bool is_done;
} fetch_t;

static void on_head(const imagine_http_head_t *head, void *user) {
    fetch_t *fetch = user;
    fetch->status = head->status;
    fetch->http_version = head->http_version;
    fetch->header_count = head->header_count;
    for (size_t i = 0; fetch->name != NULL && i < head->header_count; i++) {
        if (strcmp(head->headers[i].name, fetch->name) == 0)
            snprintf(fetch->value, sizeof(fetch->value), "%s", head->headers[i].value);
    }
}

static void on_body(const void *data, size_t data_size, void *user) {
    fetch_t *fetch = user;
    if (fetch->text == NULL)
        fetch->text = calloc(1, TEXT_MAX + 1);
    if (fetch->text_size + data_size <= TEXT_MAX)
        memcpy(fetch->text + fetch->text_size, data, data_size);
    fetch->text_size += data_size;
}

static void on_end(const imagine_http_end_t *end, void *user) {
    fetch_t *fetch = user;
    fetch->error = end->error;
    fetch->was_sent = end->was_sent;
    if (end->message != NULL)
        snprintf(fetch->message, sizeof(fetch->message), "%s", end->message);
    fetch->is_done = true;
}

static const imagine_http_handler_t handler = {
    .size = sizeof(handler), .on_head = on_head, .on_body = on_body, .on_end = on_end};

static void start_fetch(fetch_t *fetch, const char *url) {
    fetch->request.size = sizeof(fetch->request);
    fetch->request.url = url;
    if (fetch->request.method == NULL)
        fetch->request.method = fetch->request.body == NULL ? "GET" : "POST";
    ck_assert_int_eq(
        io->http_start(io->context, &fetch->request, &handler, fetch, &fetch->exchange), 0);
}

static void run_fetch(fetch_t *fetch, const char *path) {
    start_fetch(fetch, tcp_server_url(server, path));
    uv_host_run_until(&fetch->is_done);
}

static void open_both(tcp_server_mode_t mode) {
    server = tcp_server_open(mode);
    io = uv_host_open(mode == TCP_SERVER_TLS ? tcp_server_certificate_file() : NULL)->io;
}

static void close_both(void) {
    uv_host_close();
    tcp_server_close(server);
}

static void open_plain(void) {
    open_both(TCP_SERVER_PLAIN);
}

static void open_tls(void) {
    open_both(TCP_SERVER_TLS);
}

/* ---- what goes out ------------------------------------------------------------------------- */

static const imagine_slice_t small_body[] = {{"hel", 3}, {"", 0}, {"lo", 2}};

static const struct {
    const char *name, *method;
    bool has_body;
    imagine_header_t header;
    const char *present, *absent; /* in the request as the server saw it */
} sent_cases[] = {
    {"GET", "GET", false, {"X-A", "1"}, "GET /echo HTTP/1.1\r\n", "Content-Length"},
    {"a header", "GET", false, {"X-A", "1"}, "\r\nX-A: 1\r\n", "Expect"},
    {"an empty header", "GET", false, {"X-A", ""}, "\r\nX-A:\r\n", "X-A;"},
    {"our name", "GET", false, {"X-A", "1"}, "\r\nUser-Agent: libimagine/", "curl"},
    {"another name", "GET", false, {"User-Agent", "me"}, "\r\nUser-Agent: me\r\n", "libimagine"},
    {"no encodings", "GET", false, {"X-A", "1"}, "\r\n", "Accept-Encoding"},
    {"a length of ours", "POST", true, {"Content-Length", "9"}, "Content-Length: 5\r\n", ": 9"},
    {"a host of ours", "GET", false, {"host", "evil"}, "Host: 127.0.0.1", "evil"},
    {"POST", "POST", true, {"X-A", "1"}, "\r\n\r\nhello", "Content-Type"},
    {"its type", "POST", true, {"content-type", "a/b"}, "content-type: a/b\r\n", "urlencoded"},
    {"POST without a body", "POST", false, {"X-A", "1"}, "Content-Length: 0\r\n", "Content-Type"},
    {"PUT", "PUT", true, {"X-A", "1"}, "PUT /echo HTTP/1.1\r\n", "Expect"},
    {"PATCH", "PATCH", true, {"X-A", "1"}, "PATCH /echo HTTP/1.1\r\n", "POST"},
    {"DELETE", "DELETE", false, {"X-A", "1"}, "DELETE /echo HTTP/1.1\r\n", "Content-Length"},
    {"DELETE with a body", "DELETE", true, {"X-A", "1"}, "\r\n\r\nhello", "POST"},
};

START_TEST(a_request_goes_out_as_asked) { /* _i walks sent_cases */
    fetch_t fetch = {.request.method = sent_cases[_i].method};
    fetch.request.headers = &sent_cases[_i].header;
    fetch.request.header_count = 1;
    if (sent_cases[_i].has_body) {
        fetch.request.body = small_body;
        fetch.request.body_count = 3;
    }
    run_fetch(&fetch, "/echo");
    ck_assert_int_eq(fetch.error, 0);
    ck_assert_msg(strstr(fetch.text, sent_cases[_i].present) != NULL, "%s: %s", sent_cases[_i].name,
                  fetch.text);
    ck_assert_msg(strstr(fetch.text, sent_cases[_i].absent) == NULL, "%s: %s", sent_cases[_i].name,
                  fetch.text);
    free(fetch.text);
}
END_TEST

/* The same easy handle serves methods of all kinds one after the other. */
START_TEST(a_request_takes_nothing_over_from_the_one_before) {
    static const char *const methods[] = {"POST", "GET",  "HEAD", "DELETE",
                                          "PUT",  "HEAD", "POST", "GET"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        fetch_t fetch = {.request.method = methods[i]};
        bool has_body = methods[i][0] == 'P';
        char line[32];
        if (has_body) {
            fetch.request.body = small_body;
            fetch.request.body_count = 3;
        }
        run_fetch(&fetch, "/echo");
        ck_assert_int_eq(fetch.error, 0);
        if (strcmp(methods[i], "HEAD") == 0) {
            ck_assert_uint_eq(fetch.text_size, 0);
            continue;
        }
        snprintf(line, sizeof(line), "%s /echo", methods[i]);
        ck_assert_ptr_eq(strstr(fetch.text, line), fetch.text);
        ck_assert_int_eq(strstr(fetch.text, "hello") != NULL, has_body);
        ck_assert_int_eq(strstr(fetch.text, "Content-Length: 5") != NULL, has_body);
        free(fetch.text);
    }
    ck_assert_uint_eq(tcp_server_connections(server), 1);
}
END_TEST

static const size_t body_sizes[] = {1, 4096, 4097, 16384, 16385, 200000};

START_TEST(a_body_of_any_size_arrives_whole) { /* _i walks body_sizes */
    size_t size = body_sizes[_i];
    char *data = malloc(size);
    imagine_slice_t slices[3] = {{data, size / 3}};
    fetch_t fetch = {.request.body = slices, .request.body_count = 3};
    for (size_t i = 0; i < size; i++)
        data[i] = (char)('a' + i % 23);
    slices[1] = (imagine_slice_t){data + size / 3, size / 2};
    slices[2] = (imagine_slice_t){data + size / 3 + size / 2, size - size / 3 - size / 2};
    run_fetch(&fetch, "/echo");
    ck_assert_int_eq(fetch.error, 0);
    ck_assert_uint_gt(fetch.text_size, size);
    ck_assert_mem_eq(fetch.text + fetch.text_size - size, data, size);
    free(fetch.text);
    free(data);
}
END_TEST

/* ---- a body in pieces ---------------------------------------------------------------------- */

typedef struct source {
    fetch_t fetch;
    size_t size, given_size;
    bool was_hungry;
} source_t;

static void on_fed(void *user) {
    source_t *source = user;
    io->http_pause(io->context, source->fetch.exchange, 0);
}

/* Nothing at every other call; then at most 5000 bytes. */
static int64_t read_source(void *out, size_t capacity, void *user) {
    source_t *source = user;
    size_t left = source->size - source->given_size;
    size_t size = left < capacity ? left : capacity;
    imagine_timer_t *timer = NULL;
    source->was_hungry = !source->was_hungry;
    if (source->was_hungry) {
        ck_assert_int_eq(io->timer_start(io->context, 0, on_fed, source, &timer), 0);
        return 0;
    }
    size = size < 5000 ? size : 5000;
    for (size_t i = 0; i < size; i++)
        ((char *)out)[i] = (char)('a' + (source->given_size + i) % 23);
    source->given_size += size;
    return (int64_t)size;
}

static void send_source(source_t *source, const char *url) {
    source->fetch.request.method = "PUT";
    source->fetch.request.body_read = read_source;
    source->fetch.request.body_read_user = source;
    source->fetch.request.body_size = source->size;
    start_fetch(&source->fetch, url);
    uv_host_run_until(&source->fetch.is_done);
    ck_assert_msg(source->fetch.error == 0, "%s", source->fetch.message);
    ck_assert_uint_ge(source->fetch.text_size, source->size);
    for (size_t i = 0; i < source->size; i++) {
        char c = source->fetch.text[source->fetch.text_size - source->size + i];
        ck_assert_msg(c == (char)('a' + i % 23), "byte %zu", i);
    }
    free(source->fetch.text);
}

static const size_t source_sizes[] = {0, 1, 4096, 5001, 16384, 200000};

START_TEST(a_body_in_pieces_arrives_whole) { /* _i walks source_sizes */
    source_t source = {.size = source_sizes[_i]};
    send_source(&source, tcp_server_url(server, "/echo"));
}
END_TEST

/* A kept connection that the server has closed meanwhile: what was read of a body cannot be read
 * again, so that curl may not repeat it by itself. */
START_TEST(a_body_in_pieces_is_not_sent_twice) {
    fetch_t first = {0};
    source_t source = {.size = 200000};
    run_fetch(&first, "/once");
    ck_assert_int_eq(first.error, 0);
    source.fetch.request.method = "PUT";
    source.fetch.request.body_read = read_source;
    source.fetch.request.body_read_user = &source;
    source.fetch.request.body_size = source.size;
    run_fetch(&source.fetch, "/once");
    ck_assert_int_eq(source.fetch.error, IMAGINE_EPROTOCOL);
    ck_assert_uint_le(source.given_size, source.size);
    free(first.text);
}
END_TEST

static const struct {
    const char *name, *method, *url;
    imagine_header_t header;
} invalid_cases[] = {
    {"no address", "GET", "nonsense", {"A", "b"}},
    {"another scheme", "GET", "file:///etc/passwd", {"A", "b"}},
    {"a method with a blank", "GET /", "http://127.0.0.1/", {"A", "b"}},
    {"no method", "", "http://127.0.0.1/", {"A", "b"}},
    {"a line break in a value", "GET", "http://127.0.0.1/", {"A", "b\r\nC: d"}},
    {"a line break in a name", "GET", "http://127.0.0.1/", {"A\r\nC", "b"}},
    {"an empty name", "GET", "http://127.0.0.1/", {"", "b"}},
    {"a colon in a name", "GET", "http://127.0.0.1/", {"A:", "b"}},
};

START_TEST(a_request_that_cannot_go_out_is_refused_at_once) { /* _i walks invalid_cases */
    imagine_http_request_t request = {.size = sizeof(request)};
    imagine_http_exchange_t *exchange = NULL;
    request.method = invalid_cases[_i].method;
    request.url = invalid_cases[_i].url;
    request.headers = &invalid_cases[_i].header;
    request.header_count = 1;
    ck_assert_msg(io->http_start(io->context, &request, &handler, NULL, &exchange) ==
                      IMAGINE_EINVAL,
                  "%s", invalid_cases[_i].name);
    ck_assert_ptr_null(exchange);
}
END_TEST

/* ---- what comes in ------------------------------------------------------------------------- */

static const struct {
    const char *path;
    int32_t status;
    const char *header, *value, *text;
    size_t size;
} answer_cases[] = {
    {"/ok", 200, "X-Twice", "two", "hello", 5},
    {"/bytewise", 200, "X-Twice", "two", "hello", 5},
    {"/interim", 200, "X-Twice", "two", "hello", 5},
    {"/late/30", 200, "X-Twice", "two", "hello", 5},
    {"/status/404", 404, "Content-Length", "0", NULL, 0},
    {"/status/204", 204, NULL, "", NULL, 0},
    {"/status/301", 301, "Location", "/ok", NULL, 0},
    {"/status/500", 500, NULL, "", NULL, 0},
    {"/folded", 200, "X-Long", "one two", NULL, 0},
    {"/size/300000", 200, "Content-Length", "300000", NULL, 300000},
    {"/chunks/300000", 200, NULL, "", NULL, 300000},
    {"/headers/200", 200, "X-Number-199", "199", NULL, 0},
    {"/bye", 200, NULL, "", "hello", 5},
};

START_TEST(an_answer_comes_in_as_sent) { /* _i walks answer_cases */
    fetch_t fetch = {.name = answer_cases[_i].header};
    run_fetch(&fetch, answer_cases[_i].path);
    ck_assert_msg(fetch.error == 0, "%s: %s", answer_cases[_i].path, fetch.message);
    ck_assert_int_eq(fetch.status, answer_cases[_i].status);
    ck_assert_int_eq(fetch.http_version, 11);
    ck_assert_str_eq(fetch.value, answer_cases[_i].value);
    ck_assert_uint_eq(fetch.text_size, answer_cases[_i].size);
    if (answer_cases[_i].text != NULL)
        ck_assert_str_eq(fetch.text, answer_cases[_i].text);
    free(fetch.text);
}
END_TEST

static const struct {
    const char *path;
    uint32_t first_byte_timeout_ms, stall_timeout_ms;
    int32_t error;
    const char *message;
} broken_cases[] = {
    {"/close", 9000, 9000, IMAGINE_EPROTOCOL, "connection closed before an answer"},
    {"/reset", 9000, 9000, IMAGINE_EPROTOCOL, "connection closed before an answer"},
    {"/cut", 9000, 9000, IMAGINE_EPROTOCOL, "answer cut off"},
    {"/garbage", 9000, 9000, IMAGINE_EPROTOCOL, "answer not readable as HTTP"},
    {"/headers/300", 9000, 9000, IMAGINE_ETOOLARGE, "head larger than allowed"},
    {"/size/2000", 9000, 9000, IMAGINE_ETOOLARGE, "answer larger than allowed"},
    {"/chunks/2000", 9000, 9000, IMAGINE_ETOOLARGE, "answer larger than allowed"},
    {"/silent", 60, 9000, IMAGINE_ETIMEDOUT, "no answer within 60 ms"},
    {"/half-head", 9000, 40, IMAGINE_ETIMEDOUT, "silence for 40 ms inside the answer"},
    {"/half", 9000, 40, IMAGINE_ETIMEDOUT, "silence for 40 ms inside the answer"},
};

START_TEST(an_answer_that_breaks_is_told_why) { /* _i walks broken_cases */
    fetch_t fetch = {0};
    fetch.request.first_byte_timeout_ms = broken_cases[_i].first_byte_timeout_ms;
    fetch.request.stall_timeout_ms = broken_cases[_i].stall_timeout_ms;
    fetch.request.response_size_max = 1000;
    run_fetch(&fetch, broken_cases[_i].path);
    ck_assert_msg(fetch.error == broken_cases[_i].error, "%s: %d %s", broken_cases[_i].path,
                  fetch.error, fetch.message);
    ck_assert_int_eq(fetch.was_sent, 1);
    ck_assert_str_eq(fetch.message, broken_cases[_i].message);
    free(fetch.text);
}
END_TEST

START_TEST(a_large_size_told_in_the_head_is_refused_before_the_body) {
    fetch_t fetch = {.request.response_size_max = 1000000};
    run_fetch(&fetch, "/size/2000000");
    ck_assert_int_eq(fetch.error, IMAGINE_ETOOLARGE);
    ck_assert_int_eq(fetch.status, 200);
    ck_assert_uint_eq(fetch.text_size, 0);
}
END_TEST

START_TEST(the_size_limit_is_not_for_what_a_head_request_only_tells) {
    fetch_t fetch = {.request.method = "HEAD", .request.response_size_max = 10};
    run_fetch(&fetch, "/status/200");
    ck_assert_int_eq(fetch.error, 0);
}
END_TEST

START_TEST(a_slow_but_steady_answer_is_no_stall) {
    fetch_t fetch = {.request.stall_timeout_ms = 100};
    run_fetch(&fetch, "/bytewise"); /* a byte every millisecond or more, over 100 in all */
    ck_assert_int_eq(fetch.error, 0);
    free(fetch.text);
}
END_TEST

START_TEST(an_upload_that_nobody_reads_is_a_stall_and_has_not_left) {
    static char data[16 * 1024 * 1024];
    imagine_slice_t slice = {data, sizeof(data)};
    fetch_t fetch = {.request.body = &slice, .request.body_count = 1};
    fetch.request.stall_timeout_ms = 100;
    run_fetch(&fetch, "/deaf");
    ck_assert_int_eq(fetch.error, IMAGINE_ETIMEDOUT);
    ck_assert_int_eq(fetch.was_sent, 0);
    ck_assert_str_eq(fetch.message, "silence for 100 ms inside the request's body");
}
END_TEST

/* A host that computes for long between two turns: the answer lies in the socket by then. */
START_TEST(a_loop_that_was_held_up_is_no_silence_of_the_server) {
    fetch_t fetch = {.request.first_byte_timeout_ms = 100, .request.timeout_ms = 150};
    start_fetch(&fetch, tcp_server_url(server, "/late/50"));
    uv_host_run_for(20);
    usleep(300 * 1000);
    uv_host_run_until(&fetch.is_done);
    ck_assert_msg(fetch.error == 0, "%s", fetch.message);
    free(fetch.text);
}
END_TEST

/* ---- connections --------------------------------------------------------------------------- */

START_TEST(exchanges_share_kept_connections) {
    for (int i = 0; i < 10; i++) {
        fetch_t fetch = {0};
        run_fetch(&fetch, "/ok");
        ck_assert_int_eq(fetch.error, 0);
        free(fetch.text);
    }
    ck_assert_uint_eq(tcp_server_connections(server), 1);
}
END_TEST

/* curl's own limit is four times what is under way, which is nothing when a crowd has ended. */
START_TEST(a_crowd_leaves_its_connections_to_the_next) {
    enum { COUNT = 80 }; /* fewer than one shard holds */
    for (int round = 0; round < 3; round++) {
        fetch_t fetches[COUNT] = {0};
        for (size_t i = 0; i < COUNT; i++)
            start_fetch(&fetches[i], tcp_server_url(server, "/late/200"));
        for (size_t i = 0; i < COUNT; i++) {
            uv_host_run_until(&fetches[i].is_done);
            ck_assert_msg(fetches[i].error == 0, "%zu: %s", i, fetches[i].message);
            free(fetches[i].text);
        }
    }
    ck_assert_uint_eq(tcp_server_connections(server), COUNT);
}
END_TEST

START_TEST(a_kept_connection_that_the_server_closed_is_not_used) {
    for (int i = 0; i < 5; i++) {
        fetch_t fetch = {.request.method = "POST"};
        run_fetch(&fetch, "/bye");
        ck_assert_msg(fetch.error == 0, "%s", fetch.message);
        free(fetch.text);
        uv_host_run_for(100); /* the end of the connection arrives */
    }
    ck_assert_uint_eq(tcp_server_connections(server), 5);
}
END_TEST

static const struct {
    const char *name, *method;
    size_t body_size;
} once_cases[] = {
    {"GET", "GET", 0},
    {"POST without a body", "POST", 0},
    {"a small POST", "POST", 100},
    {"a large POST", "POST", 100000},
};

/* The connection dies when the server has read the second request: curl by itself would repeat it
 * on a new one. */
START_TEST(a_request_that_may_have_been_carried_out_is_not_repeated) { /* _i walks once_cases */
    static char data[100000];
    imagine_slice_t slice = {data, once_cases[_i].body_size};
    fetch_t first = {0};
    fetch_t second = {.request.method = once_cases[_i].method};
    second.request.body = slice.size == 0 ? NULL : &slice;
    second.request.body_count = slice.size == 0 ? 0 : 1;
    run_fetch(&first, "/once");
    ck_assert_int_eq(first.error, 0);
    run_fetch(&second, "/once");
    ck_assert_msg(second.error == IMAGINE_EPROTOCOL, "%s: %d %s", once_cases[_i].name, second.error,
                  second.message);
    ck_assert_int_eq(second.was_sent, 1);
    uv_host_run_for(20);
    ck_assert_uint_eq(tcp_server_requests(server), 2);
    free(first.text);
}
END_TEST

START_TEST(many_exchanges_at_once_all_end) {
    enum { COUNT = 320 }; /* more than three shards hold, within 1024 descriptors */
    fetch_t *fetches = calloc(COUNT, sizeof(*fetches));
    for (size_t i = 0; i < COUNT; i++)
        start_fetch(&fetches[i], tcp_server_url(server, i % 2 == 0 ? "/late/300" : "/late/200"));
    for (size_t i = 0; i < COUNT; i++) {
        uv_host_run_until(&fetches[i].is_done);
        ck_assert_msg(fetches[i].error == 0, "%zu: %s", i, fetches[i].message);
        ck_assert_str_eq(fetches[i].text, "hello");
        free(fetches[i].text);
    }
    free(fetches);
}
END_TEST

/* ---- what never connects ------------------------------------------------------------------- */

START_TEST(what_never_connects_has_not_left) {
    fetch_t fetch = {.request.body = small_body, .request.body_count = 3};
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", tcp_server_free_port());
    start_fetch(&fetch, url);
    uv_host_run_until(&fetch.is_done);
    ck_assert_int_eq(fetch.error, IMAGINE_ECONNECT);
    ck_assert_int_eq(fetch.was_sent, 0);
    ck_assert_str_eq(fetch.message, "connection refused");
}
END_TEST

/* A number may have gone to another thread as soon as it was closed: epoll must not hear of it. */
static int closed_number_count;

__attribute__((visibility("default"))) int epoll_ctl(int epoll_fd, int operation, int fd,
                                                     struct epoll_event *event) {
    int result = (int)syscall(SYS_epoll_ctl, epoll_fd, operation, fd, event);
    if (result != 0 && errno == EBADF)
        closed_number_count++;
    return result;
}

/* Who connects to it waits for as long as these are open. */
static void open_full_server(int out[3], char *url, size_t url_size) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < 3; i++)
        ck_assert_int_ge(out[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), 0);
    ck_assert_int_eq(bind(out[0], (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(listen(out[0], 0), 0);
    ck_assert_int_eq(getsockname(out[0], (struct sockaddr *)&address, &size), 0);
    for (int i = 1; i < 3; i++)
        (void)connect(out[i], (struct sockaddr *)&address, size);
    snprintf(url, url_size, "http://127.0.0.1:%d/", ntohs(address.sin_port));
}

/* The kernel asks once more after a second, and is refused then. */
static void refuse(void) {
    fetch_t fetch = {0};
    char url[64];
    int fds[3];
    open_full_server(fds, url, sizeof(url));
    start_fetch(&fetch, url);
    for (int i = 0; i < 20; i++)
        uv_run(io->loop, UV_RUN_NOWAIT);
    ck_assert(!fetch.is_done);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    uv_host_run_until(&fetch.is_done);
    ck_assert_str_eq(fetch.message, "connection refused");
}

static void give_up(void) {
    fetch_t fetch = {0};
    char url[64];
    int fds[3];
    open_full_server(fds, url, sizeof(url));
    start_fetch(&fetch, url);
    for (int i = 0; i < 20; i++)
        uv_run(io->loop, UV_RUN_NOWAIT);
    ck_assert(!fetch.is_done);
    io->http_cancel(io->context, fetch.exchange);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}

static void wait_too_long(void) {
    fetch_t fetch = {.request.connect_timeout_ms = 50};
    char url[64];
    int fds[3];
    open_full_server(fds, url, sizeof(url));
    start_fetch(&fetch, url);
    uv_host_run_until(&fetch.is_done);
    ck_assert_str_eq(fetch.message, "no connection within 50 ms");
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}

static void (*const unconnected_cases[])(void) = {refuse, give_up, wait_too_long};

START_TEST(a_socket_that_never_connected_is_forgotten_before_it_is_closed) {
    int count_before = closed_number_count; /* _i walks unconnected_cases */
    unconnected_cases[_i]();
    ck_assert_int_eq(closed_number_count, count_before);
}
END_TEST

START_TEST(a_name_of_nobody_is_told) {
    fetch_t fetch = {.request.connect_timeout_ms = 3000};
    start_fetch(&fetch, "http://no-such-name.invalid/");
    uv_host_run_until(&fetch.is_done);
    ck_assert_int_eq(fetch.was_sent, 0);
    if (fetch.error != IMAGINE_ETIMEDOUT) /* a machine without a name server may wait for one */
        ck_assert_str_eq(fetch.message, "name not resolved");
}
END_TEST

/* Resolving takes a thread that cannot be stopped: nobody waits for it. */
START_TEST(a_cancel_does_not_wait_for_the_resolver) {
    fetch_t fetch = {0};
    uint64_t started_at = 0;
    start_fetch(&fetch, "http://no-such-name.invalid/");
    uv_run(io->loop, UV_RUN_NOWAIT);
    started_at = uv_hrtime();
    if (!fetch.is_done)
        io->http_cancel(io->context, fetch.exchange);
    ck_assert_uint_lt(uv_hrtime() - started_at, 1000 * 1000000);
}
END_TEST

/* "localhost" is ::1 first, where nobody listens: the next address gets its turn, with a socket
 * that may have the same number. */
START_TEST(a_refused_first_address_is_followed_by_the_next) {
    fetch_t fetch = {.request.timeout_ms = 5000};
    char url[64];
    snprintf(url, sizeof(url), "http://localhost:%d/ok", tcp_server_port(server));
    start_fetch(&fetch, url);
    uv_host_run_until(&fetch.is_done);
    ck_assert_msg(fetch.error == 0, "%s", fetch.message);
    free(fetch.text);
}
END_TEST

START_TEST(a_connection_reset_at_once_is_told) {
    fetch_t fetch = {.request.timeout_ms = 5000};
    open_both(TCP_SERVER_RESETS);
    run_fetch(&fetch, "/ok");
    ck_assert(fetch.error == IMAGINE_EPROTOCOL || fetch.error == IMAGINE_ECONNECT);
    close_both();
}
END_TEST

START_TEST(a_handshake_that_does_not_end_runs_into_the_limit_for_connecting) {
    fetch_t fetch = {.request.connect_timeout_ms = 80};
    char url[64];
    open_both(TCP_SERVER_MUTE);
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/", tcp_server_port(server));
    start_fetch(&fetch, url);
    uv_host_run_until(&fetch.is_done);
    ck_assert_int_eq(fetch.error, IMAGINE_ETIMEDOUT);
    ck_assert_int_eq(fetch.was_sent, 0);
    ck_assert_str_eq(fetch.message, "no connection within 80 ms");
    close_both();
}
END_TEST

/* The system's bundle takes 18 ms: a connection that reads it again fails without the file. */
START_TEST(certificates_are_read_once_for_all_connections) {
    static char copy[] = "/tmp/imagine-test-bundle-XXXXXX";
    int fd = mkstemp(copy);
    ck_assert_int_ge(fd, 0);
    close(fd);
    unlink(copy);
    ck_assert_int_eq(link(tcp_server_certificate_file(), copy), 0);
    server = tcp_server_open(TCP_SERVER_TLS);
    io = uv_host_open(copy)->io;
    for (int i = 0; i < 3; i++) {
        fetch_t fetch = {0};
        run_fetch(&fetch, "/bye");
        ck_assert_msg(fetch.error == 0, "%s", fetch.message);
        free(fetch.text);
        if (i == 0)
            ck_assert_int_eq(unlink(copy), 0);
        uv_host_run_for(20); /* the end of the connection arrives */
    }
    ck_assert_uint_eq(tcp_server_connections(server), 3);
    close_both();
}
END_TEST

START_TEST(a_certificate_of_nobody_is_refused) {
    fetch_t fetch = {0};
    server = tcp_server_open(TCP_SERVER_TLS);
    io = uv_host_open(NULL)->io;
    run_fetch(&fetch, "/ok");
    ck_assert_int_eq(fetch.error, IMAGINE_ECONNECT);
    ck_assert_int_eq(fetch.was_sent, 0);
    ck_assert_str_eq(fetch.message, "certificate not trusted");
    close_both();
}
END_TEST

/* ---- guards -------------------------------------------------------------------------------- */

typedef struct guard {
    int count;
    int error;
    char host[64], address[64];
} guard_t;

static int on_guard(const char *host, const char *address, void *user) {
    guard_t *guard = user;
    guard->count++;
    snprintf(guard->host, sizeof(guard->host), "%s", host);
    snprintf(guard->address, sizeof(guard->address), "%s", address);
    return guard->error;
}

START_TEST(a_guard_hears_the_name_and_the_number) {
    guard_t guard = {0};
    fetch_t fetch = {.request.guard = on_guard, .request.guard_user = &guard};
    char url[64];
    snprintf(url, sizeof(url), "http://localhost:%d/ok", tcp_server_port(server));
    start_fetch(&fetch, url);
    uv_host_run_until(&fetch.is_done);
    ck_assert_int_eq(fetch.error, 0);
    ck_assert_str_eq(guard.host, "localhost");
    ck_assert_str_eq(guard.address, "127.0.0.1");
    free(fetch.text);
}
END_TEST

START_TEST(guarded_exchanges_use_no_connection_of_others_and_no_proxy) {
    guard_t guard = {0};
    fetch_t plain = {0};
    fetch_t guarded = {.request.guard = on_guard, .request.guard_user = &guard};
    run_fetch(&plain, "/ok");
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    run_fetch(&guarded, "/ok");
    unsetenv("http_proxy");
    ck_assert_int_eq(guarded.error, 0);
    ck_assert_int_eq(guard.count, 1);
    ck_assert_uint_eq(tcp_server_connections(server), 2);
    free(plain.text);
    free(guarded.text);
}
END_TEST

START_TEST(a_kept_connection_is_put_to_the_next_guard_too) {
    guard_t lenient = {0};
    guard_t strict = {.error = IMAGINE_EADDRESS};
    fetch_t first = {.request.guard = on_guard, .request.guard_user = &lenient};
    fetch_t second = {.request.guard = on_guard, .request.guard_user = &strict};
    run_fetch(&first, "/ok");
    run_fetch(&second, "/ok");
    ck_assert_int_eq(first.error, 0);
    ck_assert_int_eq(second.error, IMAGINE_EADDRESS);
    ck_assert_int_eq(second.was_sent, 0);
    ck_assert_int_eq(strict.count, 1);
    ck_assert_uint_eq(tcp_server_requests(server), 1);
    free(first.text);
}
END_TEST

/* ---- HTTP/2 -------------------------------------------------------------------------------- */

static const imagine_io_t *open_h2(void) {
    io = uv_host_open(tcp_server_certificate_file())->io;
    return io;
}

static void setup_h2(void) {
    open_h2();
}

static const char *h2_ok(void) {
    return h2_server_url("/ok");
}

static const char *h2_large(void) {
    return h2_server_url("/size/1000000");
}

static const char *h2_silent(void) {
    return h2_server_url("/silent");
}

static const char *h2_cut(void) {
    return h2_server_url("/cut");
}

static const char *h2_moved(void) {
    return h2_server_url("/status/302");
}

static const io_conformance_t on_http2 = {
    .name = "conformance, HTTP/2",
    .open = open_h2,
    .turn = uv_host_turn,
    .close = uv_host_close,
    .url_ok = h2_ok,
    .url_large = h2_large,
    .url_silent = h2_silent,
    .url_cut = h2_cut,
    .url_moved = h2_moved,
};

static void run_h2(fetch_t *fetch, const char *path) {
    start_fetch(fetch, h2_server_url(path));
    uv_host_run_until(&fetch->is_done);
}

static int count_sessions(void) {
    fetch_t fetch = {0};
    int count = 0;
    run_h2(&fetch, "/sessions");
    ck_assert_msg(fetch.error == 0, "%s", fetch.message);
    count = (int)strtol(fetch.text, NULL, 10);
    free(fetch.text);
    return count;
}

START_TEST(exchanges_at_once_share_a_connection_over_http2) {
    enum { COUNT = 200 };
    fetch_t *fetches = calloc(COUNT, sizeof(*fetches));
    int session_count = count_sessions(); /* makes the first shard's */
    for (size_t i = 0; i < COUNT; i++)
        start_fetch(&fetches[i], h2_server_url("/late/100"));
    for (size_t i = 0; i < COUNT; i++) {
        uv_host_run_until(&fetches[i].is_done);
        ck_assert_msg(fetches[i].error == 0, "%zu: %s", i, fetches[i].message);
        ck_assert_int_eq(fetches[i].http_version, 20);
        free(fetches[i].text);
    }
    ck_assert_int_le(count_sessions(), session_count + 2); /* what is too much for it has its own */
    free(fetches);
}
END_TEST

START_TEST(a_body_in_pieces_arrives_whole_over_http2) { /* _i walks source_sizes */
    source_t source = {.size = source_sizes[_i]};
    send_source(&source, h2_server_url("/echo"));
}
END_TEST

START_TEST(a_body_of_any_size_arrives_whole_over_http2) { /* _i walks body_sizes */
    size_t size = body_sizes[_i];
    char *data = malloc(size);
    imagine_slice_t slice = {data, size};
    fetch_t fetch = {.request.body = &slice, .request.body_count = 1};
    for (size_t i = 0; i < size; i++)
        data[i] = (char)('a' + i % 23);
    run_h2(&fetch, "/echo");
    ck_assert_msg(fetch.error == 0, "%s", fetch.message);
    ck_assert_uint_eq(fetch.text_size, size + 5);
    ck_assert_mem_eq(fetch.text + 5, data, size);
    free(fetch.text);
    free(data);
}
END_TEST

START_TEST(a_broken_stream_is_told_and_leaves_the_others_alone) {
    fetch_t broken = {0};
    fetch_t late = {0};
    start_fetch(&late, h2_server_url("/late/100"));
    run_h2(&broken, "/broken");
    ck_assert_int_eq(broken.error, IMAGINE_EPROTOCOL);
    ck_assert_int_eq(broken.was_sent, 1);
    uv_host_run_until(&late.is_done);
    ck_assert_msg(late.error == 0, "%s", late.message);
    free(late.text);
}
END_TEST

static void pause_at_the_head(const imagine_http_head_t *head, void *user) {
    fetch_t *fetch = user;
    fetch->status = head->status;
    io->http_pause(io->context, fetch->exchange, 1);
}

/* Until its body lies with curl. */
static void start_paused_h2(fetch_t *fetch, const char *path) {
    static const imagine_http_handler_t pausing = {.size = sizeof(pausing),
                                                   .on_head = pause_at_the_head,
                                                   .on_body = on_body,
                                                   .on_end = on_end};
    fetch->request = (imagine_http_request_t){.size = sizeof(fetch->request), .method = "GET"};
    fetch->request.url = h2_server_url(path);
    ck_assert_int_eq(
        io->http_start(io->context, &fetch->request, &pausing, fetch, &fetch->exchange), 0);
    while (fetch->status == 0)
        uv_host_turn();
    uv_host_run_for(20);
}

/* Of a connection that another exchange uses, curl does not free what it kept back for the paused
 * one, and would give it to the next exchange with the same handle. */
START_TEST(what_a_paused_exchange_left_reaches_no_other) {
    fetch_t silent = {0};
    start_fetch(&silent, h2_server_url("/silent"));
    for (int i = 0; i < 5; i++) {
        fetch_t left = {0};
        fetch_t next = {0};
        start_paused_h2(&left, "/size/300000");
        io->http_cancel(io->context, left.exchange);
        start_paused_h2(&next, "/ok");
        io->http_pause(io->context, next.exchange, 0);
        uv_host_run_until(&next.is_done);
        ck_assert_msg(next.error == 0, "%s", next.message);
        ck_assert_uint_eq(next.text_size, 5);
        ck_assert_str_eq(next.text, "hello");
        free(next.text);
    }
    io->http_cancel(io->context, silent.exchange);
}
END_TEST

/* curl may miss the end of a stream: with all that was told of, an answer is one. */
START_TEST(an_answer_is_whole_when_its_length_has_come) {
    fetch_t fetch = {.request.timeout_ms = 20000};
    uint64_t started_at = uv_hrtime();
    run_h2(&fetch, "/unended");
    ck_assert_msg(fetch.error == 0, "%s", fetch.message);
    ck_assert_str_eq(fetch.text, "hello");
    ck_assert_uint_lt(uv_hrtime() - started_at, UINT64_C(10) * 1000 * 1000000);
    free(fetch.text);
}
END_TEST

static void run_named_h2(fetch_t *fetch, const char *what) {
    static const imagine_slice_t slice = {"hello", 5};
    char path[64];
    snprintf(path, sizeof(path), "/%s/%d", what, (int)getpid());
    fetch->request.body = &slice;
    fetch->request.body_count = 1;
    run_h2(fetch, path);
}

/* The server says that it has done nothing: then, and only then, it is asked again. */
START_TEST(a_refused_request_is_repeated) {
    fetch_t fetch = {0};
    run_named_h2(&fetch, "refused");
    ck_assert_msg(fetch.error == 0, "%s", fetch.message);
    ck_assert_int_eq(fetch.status, 200);
    free(fetch.text);
}
END_TEST

/* Depending on what comes first, the GOAWAY or the end, curl repeats or gives up. */
START_TEST(a_request_behind_a_goaway_has_not_left) {
    fetch_t first = {0};
    fetch_t fetch = {0};
    run_h2(&first, "/ok"); /* the stream of number 1 */
    run_named_h2(&fetch, "leaving");
    if (fetch.error == 0) {
        ck_assert_int_eq(fetch.status, 200);
    } else {
        ck_assert_int_eq(fetch.error, IMAGINE_ECONNECT);
        ck_assert_int_eq(fetch.was_sent, 0);
    }
    free(first.text);
    free(fetch.text);
}
END_TEST

/* They are read when they are first needed. */
START_TEST(certificates_that_cannot_be_read_any_more_trust_nobody) {
    fetch_t fetch = {0};
    char folder[] = "/tmp/imagine-trust-XXXXXX";
    char file[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(file, sizeof(file), "%s/ca.pem", folder);
    ck_assert_int_eq(symlink(tcp_server_certificate_file(), file), 0);
    io = uv_host_open(file)->io;
    ck_assert_int_eq(unlink(file), 0);
    ck_assert_int_eq(rmdir(folder), 0);
    run_h2(&fetch, "/ok");
    ck_assert_int_eq(fetch.error, IMAGINE_ECONNECT);
    ck_assert_int_eq(fetch.was_sent, 0);
    uv_host_close();
}
END_TEST

/* ---- all of it ----------------------------------------------------------------------------- */

#define COUNT_OF(array) ((int)(sizeof(array) / sizeof((array)[0])))

static TCase *plain_tests(void) {
    TCase *tests = tcase_create("HTTP/1.1");
    tcase_add_checked_fixture(tests, open_plain, close_both);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, a_request_goes_out_as_asked, 0, COUNT_OF(sent_cases));
    tcase_add_test(tests, a_request_takes_nothing_over_from_the_one_before);
    tcase_add_loop_test(tests, a_body_of_any_size_arrives_whole, 0, COUNT_OF(body_sizes));
    tcase_add_test(tests, a_body_in_pieces_is_not_sent_twice);
    tcase_add_loop_test(tests, a_body_in_pieces_arrives_whole, 0, COUNT_OF(source_sizes));
    tcase_add_loop_test(tests, a_request_that_cannot_go_out_is_refused_at_once, 0,
                        COUNT_OF(invalid_cases));
    tcase_add_loop_test(tests, an_answer_comes_in_as_sent, 0, COUNT_OF(answer_cases));
    tcase_add_loop_test(tests, an_answer_that_breaks_is_told_why, 0, COUNT_OF(broken_cases));
    tcase_add_test(tests, a_large_size_told_in_the_head_is_refused_before_the_body);
    tcase_add_test(tests, the_size_limit_is_not_for_what_a_head_request_only_tells);
    tcase_add_test(tests, a_slow_but_steady_answer_is_no_stall);
    tcase_add_test(tests, an_upload_that_nobody_reads_is_a_stall_and_has_not_left);
    tcase_add_test(tests, a_loop_that_was_held_up_is_no_silence_of_the_server);
    tcase_add_test(tests, exchanges_share_kept_connections);
    tcase_add_test(tests, a_kept_connection_that_the_server_closed_is_not_used);
    tcase_add_loop_test(tests, a_request_that_may_have_been_carried_out_is_not_repeated, 0,
                        COUNT_OF(once_cases));
    tcase_add_test(tests, many_exchanges_at_once_all_end);
    tcase_add_test(tests, a_crowd_leaves_its_connections_to_the_next);
    tcase_add_test(tests, what_never_connects_has_not_left);
    tcase_add_loop_test(tests, a_socket_that_never_connected_is_forgotten_before_it_is_closed, 0,
                        COUNT_OF(unconnected_cases));
    tcase_add_test(tests, a_name_of_nobody_is_told);
    tcase_add_test(tests, a_cancel_does_not_wait_for_the_resolver);
    tcase_add_test(tests, a_refused_first_address_is_followed_by_the_next);
    tcase_add_test(tests, a_guard_hears_the_name_and_the_number);
    tcase_add_test(tests, guarded_exchanges_use_no_connection_of_others_and_no_proxy);
    tcase_add_test(tests, a_kept_connection_is_put_to_the_next_guard_too);
    return tests;
}

static TCase *tls_tests(void) {
    TCase *tests = tcase_create("HTTP/1.1 over TLS");
    tcase_add_checked_fixture(tests, open_tls, close_both);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, a_request_goes_out_as_asked, 0, COUNT_OF(sent_cases));
    tcase_add_loop_test(tests, a_body_of_any_size_arrives_whole, 0, COUNT_OF(body_sizes));
    tcase_add_loop_test(tests, a_body_in_pieces_arrives_whole, 0, COUNT_OF(source_sizes));
    tcase_add_loop_test(tests, an_answer_comes_in_as_sent, 0, COUNT_OF(answer_cases));
    tcase_add_loop_test(tests, an_answer_that_breaks_is_told_why, 0, COUNT_OF(broken_cases));
    tcase_add_test(tests, exchanges_share_kept_connections);
    tcase_add_test(tests, a_kept_connection_that_the_server_closed_is_not_used);
    tcase_add_loop_test(tests, a_request_that_may_have_been_carried_out_is_not_repeated, 0,
                        COUNT_OF(once_cases));
    return tests;
}

static TCase *odd_servers_tests(void) {
    TCase *tests = tcase_create("odd servers");
    tcase_add_test(tests, a_connection_reset_at_once_is_told);
    tcase_add_test(tests, a_handshake_that_does_not_end_runs_into_the_limit_for_connecting);
    tcase_add_test(tests, certificates_are_read_once_for_all_connections);
    tcase_add_test(tests, a_certificate_of_nobody_is_refused);
    return tests;
}

static TCase *http2_tests(void) {
    TCase *tests = tcase_create("HTTP/2");
    tcase_add_checked_fixture(tests, setup_h2, uv_host_close);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, exchanges_at_once_share_a_connection_over_http2);
    tcase_add_loop_test(tests, a_body_in_pieces_arrives_whole_over_http2, 0,
                        COUNT_OF(source_sizes));
    tcase_add_loop_test(tests, a_body_of_any_size_arrives_whole_over_http2, 0,
                        COUNT_OF(body_sizes));
    tcase_add_test(tests, a_broken_stream_is_told_and_leaves_the_others_alone);
    tcase_add_test(tests, what_a_paused_exchange_left_reaches_no_other);
    tcase_add_test(tests, an_answer_is_whole_when_its_length_has_come);
    tcase_add_test(tests, a_refused_request_is_repeated);
    tcase_add_test(tests, a_request_behind_a_goaway_has_not_left);
    return tests;
}

static Suite *uv_http_suite(void) {
    Suite *suite = suite_create("uv/http");
    suite_add_tcase(suite, plain_tests());
    suite_add_tcase(suite, tls_tests());
    suite_add_tcase(suite, odd_servers_tests());
    if (h2_server_open()) {
        TCase *trust = tcase_create("trust");
        tcase_add_test(trust, certificates_that_cannot_be_read_any_more_trust_nobody);
        suite_add_tcase(suite, trust);
        suite_add_tcase(suite, http2_tests());
        io_conformance_add(suite, &on_http2);
    } else {
        printf("HTTP/2 skipped: no node here\n");
    }
    return suite;
}

IMI_CHECK_MAIN(uv_http_suite)
