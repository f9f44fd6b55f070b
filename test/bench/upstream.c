/* upstream.c: a provider's stand-in for measurements: answers every POST as Gitee's image service
 * does, at once, or, when the request says "wait=MS" somewhere, after so many milliseconds. One
 * thread, little memory, tens of thousands of connections.
 *
 *     upstream PORT     prints "listening PORT" (0: a free one is found) */
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
#include <time.h>
#include <unistd.h>

#define BACKLOG 16384
#define REQUEST_MAX 65536
#define EVENTS_MAX 512

typedef struct connection {
    int fd;
    uint64_t due_at_ms;      /* 0: not waiting */
    struct connection *next; /* of those that wait, or of those that are unused */
    char *part;              /* a request that is not whole; NULL: none */
    size_t part_size;
} connection_t;

/* All waits of one length end in the order in which they begin. */
typedef struct queue {
    uint64_t delay_ms;
    connection_t *first, *last;
} queue_t;

static queue_t queues[8];
static connection_t *unused;
static char input[REQUEST_MAX + 1];
static int epoll_fd;

static const char answer[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 79\r\n\r\n"
    "{\"created\":1767888000,\"data\":[{\"url\":\"https://cdn.example.com/picture/1.png\"}]}";

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void drop(connection_t *connection) {
    close(connection->fd);
    connection->fd = -1;
    free(connection->part);
    connection->part = NULL;
    connection->part_size = 0;
    if (connection->due_at_ms != 0)
        return; /* its queue still knows it */
    connection->next = unused;
    unused = connection;
}

static void reply(connection_t *connection) {
    if (send(connection->fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL) != sizeof(answer) - 1)
        drop(connection);
}

static void wait_for(connection_t *connection, uint64_t delay_ms) {
    for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++) {
        queue_t *queue = &queues[i];
        if (queue->delay_ms != delay_ms && queue->delay_ms != 0)
            continue;
        queue->delay_ms = delay_ms;
        connection->due_at_ms = now_ms() + delay_ms;
        connection->next = NULL;
        if (queue->first == NULL)
            queue->first = connection;
        else
            queue->last->next = connection;
        queue->last = connection;
        return;
    }
    reply(connection); /* more lengths than anybody uses */
}

/* Answers what is due; the time until the next is. */
static int run_queues(void) {
    uint64_t now = now_ms(), next = UINT64_MAX;
    for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++) {
        queue_t *queue = &queues[i];
        while (queue->first != NULL && queue->first->due_at_ms <= now) {
            connection_t *connection = queue->first;
            queue->first = connection->next;
            connection->due_at_ms = 0;
            if (connection->fd >= 0)
                reply(connection);
            else {
                connection->next = unused;
                unused = connection;
            }
        }
        if (queue->first != NULL && queue->first->due_at_ms < next)
            next = queue->first->due_at_ms;
    }
    return next == UINT64_MAX ? -1 : (int)(next - now);
}

/* The size of the request at the front, 0: not whole yet. */
static size_t request_size(const char *data, size_t size) {
    const char *end = memmem(data, size, "\r\n\r\n", 4), *length;
    size_t total;
    if (end == NULL)
        return 0;
    total = (size_t)(end - data) + 4;
    length = strcasestr(data, "\r\ncontent-length:");
    if (length != NULL && length < end)
        total += strtoul(length + 17, NULL, 10);
    return total <= size ? total : 0;
}

static void on_readable(connection_t *connection) {
    const char *wait;
    size_t kept = connection->part_size, size;
    ssize_t got;
    if (kept > 0)
        memcpy(input, connection->part, kept);
    got = recv(connection->fd, input + kept, REQUEST_MAX - kept, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        drop(connection);
        return;
    }
    size = kept + (size_t)got;
    input[size] = '\0';
    free(connection->part);
    connection->part = NULL;
    connection->part_size = 0;
    if (request_size(input, size) == 0) {
        connection->part = size < REQUEST_MAX ? malloc(size) : NULL;
        if (connection->part == NULL) {
            drop(connection);
            return;
        }
        memcpy(connection->part, input, size);
        connection->part_size = size;
        return;
    }
    wait = strstr(input, "wait=");
    if (wait != NULL && strtol(wait + 5, NULL, 10) > 0)
        wait_for(connection, (uint64_t)strtol(wait + 5, NULL, 10));
    else
        reply(connection);
}

static void on_connection(int listen_fd) {
    for (;;) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
        connection_t *connection = unused;
        struct epoll_event event = {.events = EPOLLIN};
        if (fd < 0)
            return;
        if (connection != NULL)
            unused = connection->next;
        else if ((connection = calloc(1, sizeof(*connection))) == NULL)
            fail("calloc");
        connection->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        event.data.ptr = connection;
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t address_size = sizeof(address);
    struct epoll_event events[EVENTS_MAX], event = {.events = EPOLLIN};
    struct rlimit files;
    int on = 1, listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    address.sin_port = htons((uint16_t)(argc > 1 ? strtol(argv[1], NULL, 10) : 0));
    setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listen_fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listen_fd, BACKLOG) != 0)
        fail("listen");
    getsockname(listen_fd, (struct sockaddr *)&address, &address_size);
    printf("listening %d\n", ntohs(address.sin_port));
    fflush(stdout);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &event);
    for (;;) {
        int count = epoll_wait(epoll_fd, events, EVENTS_MAX, run_queues());
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL)
                on_connection(listen_fd);
            else
                on_readable(events[i].data.ptr);
        }
    }
}
