/* tcp_server.c: blocking sockets and threads, so that it is plain what happens on the wire. A
 * thread that waits, waits with poll(), for the stop pipe too. */
#include "support/tcp_server.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 8192,
    REQUEST_HEAD_MAX = 64 * 1024,
    REQUEST_BODY_MAX = 64 * 1024 * 1024,
    PIECE_SIZE = 64 * 1024,
};

struct tcp_server {
    tcp_server_mode_t mode;
    int listener;
    int port;
    int stop[2]; /* a pipe: readable once the server is to end */
    SSL_CTX *tls;
    pthread_t acceptor;
    pthread_t threads[CONNECTIONS_MAX];
    unsigned thread_count;
    atomic_uint connection_count;
    atomic_uint request_count;
};

typedef struct connection {
    tcp_server_t *server;
    int fd;
    SSL *tls; /* NULL: plain */
    char head[REQUEST_HEAD_MAX + 1];
    size_t head_size; /* all that was read; what follows the head is body */
    char *body;
    size_t body_size;
    unsigned request_count;
} connection_t;

static void die(const char *what) {
    perror(what);
    abort();
}

static void check(bool is_true, const char *what) {
    if (!is_true)
        die(what);
}

/* ---- the certificate ----------------------------------------------------------------------- */

static char certificate_file[] = "/tmp/imagine-test-cert-XXXXXX";
static char key_file[] = "/tmp/imagine-test-key-XXXXXX";
static pthread_once_t certificate_once = PTHREAD_ONCE_INIT;
static pid_t certificate_owner;

static void remove_certificate(void) {
    if (getpid() != certificate_owner)
        return; /* a forked test */
    unlink(certificate_file);
    unlink(key_file);
}

static void add_extension(X509 *certificate, int nid, const char *value) {
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    check(extension != NULL && X509_add_ext(certificate, extension, -1) == 1, "extension");
    X509_EXTENSION_free(extension);
}

static FILE *open_temporary(char *path) {
    int fd = mkstemp(path);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    check(file != NULL, path);
    return file;
}

static void make_certificate(void) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    FILE *file = NULL;
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), (long)getpid());
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 24 * 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1,
                               0);
    X509_set_issuer_name(certificate, name);
    add_extension(certificate, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
    check(X509_sign(certificate, key, EVP_sha256()) > 0, "sign");
    file = open_temporary(certificate_file);
    PEM_write_X509(file, certificate);
    fclose(file);
    file = open_temporary(key_file);
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
    certificate_owner = getpid();
    atexit(remove_certificate);
}

const char *tcp_server_certificate_file(void) {
    pthread_once(&certificate_once, make_certificate);
    return certificate_file;
}

const char *tcp_server_key_file(void) {
    pthread_once(&certificate_once, make_certificate);
    return key_file;
}

/* ---- bytes --------------------------------------------------------------------------------- */

/* Until the peer sends or leaves (true), the time is over (false), or the server ends (false). */
static bool wait_for_peer(const connection_t *connection, int timeout_ms) {
    struct pollfd fds[2] = {{.fd = connection->fd, .events = POLLIN},
                            {.fd = connection->server->stop[0], .events = POLLIN}};
    return poll(fds, 2, timeout_ms) > 0 && fds[1].revents == 0;
}

static void sleep_for(const connection_t *connection, int ms) {
    struct pollfd stop = {.fd = connection->server->stop[0], .events = POLLIN};
    poll(&stop, 1, ms);
}

static ssize_t receive(connection_t *connection, void *out, size_t size) {
    if ((connection->tls == NULL || SSL_pending(connection->tls) == 0) &&
        !wait_for_peer(connection, -1))
        return 0;
    if (connection->tls != NULL)
        return SSL_read(connection->tls, out, (int)size);
    return recv(connection->fd, out, size, 0);
}

static bool transmit(connection_t *connection, const void *data, size_t size) {
    const char *rest = data;
    while (size > 0) {
        ssize_t sent = connection->tls != NULL ? SSL_write(connection->tls, rest, (int)size)
                                               : send(connection->fd, rest, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        rest += sent;
        size -= (size_t)sent;
    }
    return true;
}

static bool transmit_text(connection_t *connection, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool transmit_text(connection_t *connection, const char *format, ...) {
    char text[1024];
    int size = 0;
    va_list arguments;
    va_start(arguments, format);
    size = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    check(size >= 0 && (size_t)size < sizeof(text), "a longer text than there is room for");
    return transmit(connection, text, (size_t)size);
}

/* ---- answers; false: the connection ends --------------------------------------------------- */

static bool answer(connection_t *connection, int status, const char *headers, const void *body,
                   size_t body_size) {
    return transmit_text(connection, "HTTP/1.1 %d Test\r\nContent-Length: %zu\r\n%s\r\n", status,
                         body_size, headers) &&
           transmit(connection, body, body_size);
}

static bool answer_ok(connection_t *connection) {
    return answer(connection, 200, "X-Twice: one\r\nX-Twice: two\r\n", "hello", 5);
}

static bool keep_silent(connection_t *connection) {
    char byte = 0;
    while (receive(connection, &byte, 1) > 0)
        continue;
    return false;
}

static bool reset(connection_t *connection) {
    struct linger linger = {.l_onoff = 1};
    setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    return false;
}

static bool send_filler(connection_t *connection, size_t size, bool is_chunked) {
    static const char filler[PIECE_SIZE];
    bool is_open =
        is_chunked
            ? transmit_text(connection, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            : transmit_text(connection, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", size);
    while (is_open && size > 0) {
        size_t piece_size = size < sizeof(filler) ? size : sizeof(filler);
        if (is_chunked)
            is_open = transmit_text(connection, "%zx\r\n", piece_size);
        is_open = is_open && transmit(connection, filler, piece_size);
        if (is_chunked)
            is_open = is_open && transmit(connection, "\r\n", 2);
        size -= piece_size;
    }
    return is_open && (!is_chunked || transmit(connection, "0\r\n\r\n", 5));
}

static bool send_bytewise(connection_t *connection) {
    static const char text[] = "HTTP/1.1 200 OK\r\nX-Twice: one\r\nX-Twice: two\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n"
                               "2\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: yes\r\n\r\n";
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        if (!transmit(connection, &text[i], 1))
            return false;
        sleep_for(connection, 1);
    }
    return true;
}

static bool send_many_headers(connection_t *connection, int count) {
    if (!transmit_text(connection, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"))
        return false;
    for (int i = 0; i < count; i++) {
        if (!transmit_text(connection, "X-Number-%d: %d\r\n", i, i))
            return false;
    }
    return transmit(connection, "\r\n", 2);
}

static bool echo(connection_t *connection) {
    size_t head_size = (size_t)(strstr(connection->head, "\r\n\r\n") + 4 - connection->head);
    return transmit_text(connection, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
                         head_size + connection->body_size) &&
           (strncmp(connection->head, "HEAD ", 5) == 0 ||
            transmit(connection, connection->head, head_size)) &&
           transmit(connection, connection->body, connection->body_size);
}

static bool respond(connection_t *connection, const char *path, int number) {
    if (strcmp(path, "/ok") == 0)
        return answer_ok(connection);
    if (strcmp(path, "/echo") == 0)
        return echo(connection);
    if (strcmp(path, "/status") == 0)
        return answer(connection, number, number / 100 == 3 ? "Location: /ok\r\n" : "", "", 0);
    if (strcmp(path, "/late") == 0) {
        sleep_for(connection, number);
        return answer_ok(connection);
    }
    if (strcmp(path, "/silent") == 0)
        return keep_silent(connection);
    if (strcmp(path, "/half") == 0)
        return transmit_text(connection, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello") &&
               keep_silent(connection);
    if (strcmp(path, "/half-head") == 0)
        return transmit_text(connection, "HTTP/1.1 200 OK\r\n") && keep_silent(connection);
    if (strcmp(path, "/cut") == 0)
        return transmit_text(connection, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello") &&
               false;
    if (strcmp(path, "/reset") == 0)
        return reset(connection);
    if (strcmp(path, "/size") == 0 || strcmp(path, "/chunks") == 0)
        return send_filler(connection, (size_t)number, path[1] == 'c');
    if (strcmp(path, "/bytewise") == 0)
        return send_bytewise(connection);
    if (strcmp(path, "/interim") == 0)
        return transmit_text(connection, "HTTP/1.1 103 Early Hints\r\nX-Early: yes\r\n\r\n") &&
               answer_ok(connection);
    if (strcmp(path, "/garbage") == 0)
        return transmit_text(connection, "\x01\x02 this is no answer\r\n\r\n") && false;
    if (strcmp(path, "/headers") == 0)
        return send_many_headers(connection, number);
    if (strcmp(path, "/folded") == 0)
        return answer(connection, 200, "X-Long: one\r\n  two\r\n", "", 0);
    if (strcmp(path, "/bye") == 0)
        return answer_ok(connection) && false;
    if (strcmp(path, "/once") == 0)
        return connection->request_count == 1 && answer_ok(connection);
    return strcmp(path, "/close") != 0 && answer(connection, 404, "", "", 0);
}

/* ---- requests ------------------------------------------------------------------------------ */

static const char *find_header(const char *head, const char *name) {
    const char *line = strstr(head, "\r\n");
    size_t name_size = strlen(name);
    while (line != NULL && strncmp(line, "\r\n\r\n", 4) != 0) {
        line += 2;
        if (strncasecmp(line, name, name_size) == 0 && line[name_size] == ':')
            return line + name_size + 1;
        line = strstr(line, "\r\n");
    }
    return NULL;
}

static bool read_head(connection_t *connection) {
    while (strstr(connection->head, "\r\n\r\n") == NULL) {
        ssize_t size = connection->head_size == REQUEST_HEAD_MAX
                           ? 0
                           : receive(connection, connection->head + connection->head_size,
                                     REQUEST_HEAD_MAX - connection->head_size);
        if (size <= 0)
            return false;
        connection->head_size += (size_t)size;
        connection->head[connection->head_size] = '\0';
    }
    return true;
}

/* Takes the body, of which a part came with the head, and leaves what follows it in `head`. */
static bool read_body(connection_t *connection, size_t head_size, size_t *out_rest_size) {
    const char *length = find_header(connection->head, "Content-Length");
    size_t size = length == NULL ? 0 : (size_t)strtoul(length, NULL, 10);
    size_t have_size = connection->head_size - head_size;
    check(size <= REQUEST_BODY_MAX, "a larger body than there is room for");
    connection->body = malloc(size + 1);
    connection->body_size = size;
    if (have_size > size)
        have_size = size;
    memcpy(connection->body, connection->head + head_size, have_size);
    *out_rest_size = connection->head_size - head_size - have_size;
    while (have_size < size) {
        ssize_t piece_size = receive(connection, connection->body + have_size, size - have_size);
        if (piece_size <= 0)
            return false;
        have_size += (size_t)piece_size;
    }
    return true;
}

static bool serve_request(connection_t *connection) {
    char path[128] = "";
    char *number = NULL;
    size_t head_size = 0;
    size_t rest_size = 0;
    bool is_open = false;
    if (!read_head(connection))
        return false;
    head_size = (size_t)(strstr(connection->head, "\r\n\r\n") + 4 - connection->head);
    sscanf(connection->head, "%*s %127[^ ?]", path);
    if (strcmp(path, "/deaf") == 0) {
        struct pollfd stop = {.fd = connection->server->stop[0], .events = POLLIN};
        poll(&stop, 1, -1);
        return false;
    }
    is_open = read_body(connection, head_size, &rest_size);
    if (is_open) {
        connection->request_count++;
        atomic_fetch_add(&connection->server->request_count, 1);
        number = path[0] == '\0' ? NULL : strchr(path + 1, '/');
        if (number != NULL)
            *number++ = '\0';
        is_open = respond(connection, path, number == NULL ? 0 : (int)strtol(number, NULL, 10));
    }
    free(connection->body);
    connection->body = NULL;
    memmove(connection->head, connection->head + connection->head_size - rest_size, rest_size);
    connection->head_size = rest_size;
    connection->head[rest_size] = '\0';
    return is_open;
}

static void *run_connection(void *argument) {
    connection_t *connection = argument;
    tcp_server_t *server = connection->server;
    bool is_open = true;
    if (server->mode == TCP_SERVER_RESETS)
        is_open = reset(connection);
    else if (server->mode == TCP_SERVER_MUTE)
        is_open = keep_silent(connection);
    if (is_open && server->tls != NULL) {
        connection->tls = SSL_new(server->tls);
        SSL_set_fd(connection->tls, connection->fd);
        is_open = SSL_accept(connection->tls) == 1;
    }
    while (is_open)
        is_open = serve_request(connection);
    SSL_free(connection->tls);
    close(connection->fd);
    free(connection);
    return NULL;
}

/* ---- the server ---------------------------------------------------------------------------- */

/* A descriptor that tests wait on must not be cut off by a peer that never reads. And head and body
 * leave in packets of their own: with Nagle's algorithm the second one would wait for 40 ms. */
static void set_up(int fd) {
    struct timeval patience = {.tv_sec = 10};
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

static void *run_acceptor(void *argument) {
    tcp_server_t *server = argument;
    struct pollfd fds[2] = {{.fd = server->listener, .events = POLLIN},
                            {.fd = server->stop[0], .events = POLLIN}};
    while (poll(fds, 2, -1) > 0 && fds[1].revents == 0) {
        connection_t *connection = NULL;
        int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        set_up(fd);
        connection = calloc(1, sizeof(*connection));
        check(connection != NULL && server->thread_count < CONNECTIONS_MAX, "connection");
        connection->server = server;
        connection->fd = fd;
        atomic_fetch_add(&server->connection_count, 1);
        check(pthread_create(&server->threads[server->thread_count++], NULL, run_connection,
                             connection) == 0,
              "pthread_create");
    }
    return NULL;
}

static int choose_alpn(SSL *tls, const unsigned char **out, unsigned char *out_size,
                       const unsigned char *in, unsigned in_size, void *user) {
    static const unsigned char ours[] = "\x08http/1.1";
    (void)tls;
    (void)user;
    return SSL_select_next_proto((unsigned char **)(void *)out, out_size, ours, sizeof(ours) - 1,
                                 in, in_size) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_NOACK;
}

static void open_tls(tcp_server_t *server) {
    server->tls = SSL_CTX_new(TLS_server_method());
    check(server->tls != NULL &&
              SSL_CTX_use_certificate_file(server->tls, tcp_server_certificate_file(),
                                           SSL_FILETYPE_PEM) == 1 &&
              SSL_CTX_use_PrivateKey_file(server->tls, tcp_server_key_file(), SSL_FILETYPE_PEM) ==
                  1,
          "TLS");
    SSL_CTX_set_alpn_select_cb(server->tls, choose_alpn, NULL);
}

static int listen_on_free_port(int *out_port) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
              listen(fd, 4096) == 0 && getsockname(fd, (struct sockaddr *)&address, &size) == 0,
          "listen");
    *out_port = ntohs(address.sin_port);
    return fd;
}

int tcp_server_free_port(void) {
    int port = 0;
    close(listen_on_free_port(&port));
    return port;
}

tcp_server_t *tcp_server_open(tcp_server_mode_t mode) {
    tcp_server_t *server = calloc(1, sizeof(*server));
    check(server != NULL && pipe(server->stop) == 0, "server");
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    server->mode = mode;
    server->listener = listen_on_free_port(&server->port);
    if (mode == TCP_SERVER_TLS)
        open_tls(server);
    check(pthread_create(&server->acceptor, NULL, run_acceptor, server) == 0, "pthread_create");
    return server;
}

void tcp_server_close(tcp_server_t *server) {
    check(write(server->stop[1], "x", 1) == 1, "stop");
    pthread_join(server->acceptor, NULL);
    for (unsigned i = 0; i < server->thread_count; i++)
        pthread_join(server->threads[i], NULL);
    close(server->listener);
    close(server->stop[0]);
    close(server->stop[1]);
    SSL_CTX_free(server->tls);
    free(server);
}

const char *tcp_server_url(const tcp_server_t *server, const char *path) {
    static char ring[8][256];
    static unsigned next;
    char *url = ring[next++ % 8];
    snprintf(url, sizeof(ring[0]), "%s://127.0.0.1:%d%s",
             server->mode == TCP_SERVER_TLS ? "https" : "http", server->port, path);
    return url;
}

int tcp_server_port(const tcp_server_t *server) {
    return server->port;
}

unsigned tcp_server_connections(tcp_server_t *server) {
    return atomic_load(&server->connection_count);
}

unsigned tcp_server_requests(tcp_server_t *server) {
    return atomic_load(&server->request_count);
}
