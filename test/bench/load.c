/* load.c: makes requests and tells, as one line of JSON, how many were answered and how long they
 * took, in microseconds. Plain HTTP/1.1, one thread, connections that stay open.
 *
 *     load PORT REQUEST_FILE closed CONNECTIONS SECONDS      as fast as answers come
 *     load PORT REQUEST_FILE open CONNECTIONS SECONDS RATE   RATE a second, whatever comes back
 *     load PORT REQUEST_FILE hold COUNT 0                    COUNT at once, one each; before it
 * waits it prints "held", with the time
 *
 * "open" counts from the instant at which a request was due, so that one that had to wait for a
 * slow one before it is counted as slow (no coordinated omission). */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 512
#define LATENCIES_MAX (8 * 1024 * 1024)
#define REQUEST_MAX 65536
#define CONNECT_AT_ONCE 256 /* so that no backlog overflows */

typedef struct connection {
    int fd;
    uint64_t began_ns; /* 0: free */
    char head[256];    /* of an answer, as far as it is needed to find its end */
    size_t head_size;
    size_t left; /* of the answer's body */
    struct connection *next_free;
} connection_t;

static struct sockaddr_in address = {.sin_family = AF_INET};
static char request[REQUEST_MAX];
static size_t request_size;
static uint32_t *latencies;
static size_t latency_count, error_count, status_count[6], open_count;
static connection_t *connections, *free_ones;
static int epoll_fd;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void open_connection(connection_t *connection) {
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = connection}};
    int on = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 ||
        connect(connection->fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        fail("connect");
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connection->fd, &event);
}

static void begin(connection_t *connection, uint64_t due_ns) {
    connection->began_ns = due_ns;
    connection->head_size = 0;
    connection->left = 0;
    open_count++;
    if (send(connection->fd, request, request_size, MSG_NOSIGNAL) == (ssize_t)request_size)
        return;
    /* It was closed while it was idle: once more on a new one. */
    close(connection->fd);
    open_connection(connection);
    if (send(connection->fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size)
        fail("send");
}

static void end(connection_t *connection, bool is_answer) {
    uint64_t took_us = (now_ns() - connection->began_ns) / 1000;
    if (is_answer && latency_count < LATENCIES_MAX)
        latencies[latency_count++] = (uint32_t)took_us;
    error_count += !is_answer;
    if (is_answer)
        status_count[connection->head[9] - '0' < 6 ? connection->head[9] - '0' : 0]++;
    connection->began_ns = 0;
    open_count--;
    connection->next_free = free_ones;
    free_ones = connection;
}

/* Takes what has come. True: the answer is whole. */
static bool take(connection_t *connection, const char *data, size_t size) {
    if (connection->left == 0) {
        const char *body = memmem(data, size, "\r\n\r\n", 4);
        const char *length = memmem(data, size, "Content-Length: ", 16);
        if (connection->head_size == 0) {
            connection->head_size = size < 12 ? size : 12;
            memcpy(connection->head, data, connection->head_size);
        }
        if (body == NULL || length == NULL || length > body)
            fail("an answer whose head is not in one piece");
        connection->left = strtoul(length + 16, NULL, 10);
        size -= (size_t)(body + 4 - data);
    }
    connection->left -= size < connection->left ? size : connection->left;
    return connection->left == 0;
}

static void on_readable(connection_t *connection) {
    static char input[REQUEST_MAX + 1];
    ssize_t size = recv(connection->fd, input, REQUEST_MAX, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size > 0 && connection->began_ns != 0) {
        input[size] = '\0';
        if (take(connection, input, (size_t)size))
            end(connection, true);
        return;
    }
    close(connection->fd);
    open_connection(connection);
    if (connection->began_ns != 0)
        end(connection, false);
}

static int poll_once(int timeout_ms) {
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(epoll_fd, events, EVENTS_MAX, timeout_ms);
    for (int i = 0; i < count; i++)
        if (events[i].data.ptr != NULL)
            on_readable(events[i].data.ptr);
    return count;
}

static void run_closed(uint64_t end_ns) {
    while (now_ns() < end_ns || open_count > 0) {
        while (free_ones != NULL && now_ns() < end_ns) {
            connection_t *connection = free_ones;
            free_ones = connection->next_free;
            begin(connection, now_ns());
        }
        poll_once(100);
    }
}

static void run_open(uint64_t begin_ns, uint64_t end_ns, uint64_t rate) {
    int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    uint64_t sent = 0, last_ns = end_ns + UINT64_C(5000000000), ticks;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &event);
    for (;;) {
        uint64_t now = now_ns(), due = begin_ns + sent * 1000000000 / rate;
        struct itimerspec at = {.it_value = {.tv_sec = (time_t)(due / 1000000000),
                                             .tv_nsec = (long)(due % 1000000000)}};
        while (due <= now && due < end_ns && free_ones != NULL) {
            connection_t *connection = free_ones;
            free_ones = connection->next_free;
            begin(connection, due);
            due = begin_ns + ++sent * 1000000000 / rate;
        }
        if ((due >= end_ns && open_count == 0) || now > last_ns)
            return;
        at.it_value = (struct timespec){.tv_sec = (time_t)(due / 1000000000),
                                        .tv_nsec = (long)(due % 1000000000)};
        if (due < end_ns && free_ones != NULL)
            timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
        poll_once(100);
        if (read(timer_fd, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
            fail("read");
    }
}

static void run_hold(size_t count, uint64_t begin_ns) {
    for (size_t i = 0; i < count; i++) {
        connection_t *connection = free_ones;
        free_ones = connection->next_free;
        begin(connection, now_ns());
    }
    printf("held %.3f\n", (double)(now_ns() - begin_ns) / 1e9);
    fflush(stdout);
    while (open_count > 0)
        poll_once(1000);
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static double percentile(double part) {
    return latency_count == 0 ? 0 : latencies[(size_t)(part * (double)(latency_count - 1))];
}

int main(int argc, char **argv) {
    uint64_t begin_ns, seconds, rate;
    size_t count;
    struct rlimit files;
    FILE *file;
    if (argc < 6 || (file = fopen(argv[2], "rb")) == NULL)
        fail("usage: load PORT REQUEST_FILE closed|open|hold COUNT SECONDS [RATE]");
    request_size = fread(request, 1, sizeof(request), file);
    fclose(file);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
    count = strtoul(argv[4], NULL, 10);
    seconds = strtoul(argv[5], NULL, 10);
    rate = argc > 6 ? strtoul(argv[6], NULL, 10) : 1;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    latencies = malloc(LATENCIES_MAX * sizeof(*latencies));
    connections = calloc(count, sizeof(*connections));
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (latencies == NULL || connections == NULL || epoll_fd < 0)
        fail("memory");
    for (size_t i = 0; i < count; i++) {
        open_connection(&connections[i]);
        connections[i].next_free = free_ones;
        free_ones = &connections[i];
        if (i % CONNECT_AT_ONCE == CONNECT_AT_ONCE - 1)
            usleep(10000);
    }
    begin_ns = now_ns();
    if (strcmp(argv[3], "hold") == 0)
        run_hold(count, begin_ns);
    else if (strcmp(argv[3], "open") == 0)
        run_open(begin_ns, begin_ns + seconds * 1000000000, rate);
    else
        run_closed(begin_ns + seconds * 1000000000);
    qsort(latencies, latency_count, sizeof(*latencies), compare);
    printf("{\"answers\":%zu,\"ok\":%zu,\"errors\":%zu,\"unfinished\":%zu,\"seconds\":%.3f,"
           "\"p50_us\":%.0f,\"p99_us\":%.0f,\"max_us\":%.0f}\n",
           latency_count, status_count[2], error_count, open_count,
           (double)(now_ns() - begin_ns) / 1e9, percentile(0.5), percentile(0.99), percentile(1.0));
    return 0;
}
