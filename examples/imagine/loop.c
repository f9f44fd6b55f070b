/* loop.c: see loop.h. */
#include "loop.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t signal_number;
static volatile sig_atomic_t has_file;
static char file_path[PATH_MAX];
static int wake_fds[2]; /* a signal between looking and waiting must end the waiting */

static void on_signal(int number) {
    if (signal_number != 0) {
        if (has_file)
            unlink(file_path);
        _exit(128 + number);
    }
    signal_number = number;
    (void)!write(wake_fds[1], "", 1); /* full: then it is awake */
}

int loop_start(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action;
    if (pipe2(wake_fds, O_NONBLOCK | O_CLOEXEC) != 0)
        return IMAGINE_EIO;
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal; /* without SA_RESTART: a read of the prompt ends, too */
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        sigaction(numbers[i], &action, NULL);
    action.sa_handler = SIG_IGN; /* who reads us may leave: the write says so */
    sigaction(SIGPIPE, &action, NULL);
    return 0;
}

int loop_signal(void) {
    return signal_number;
}

int64_t loop_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void loop_turn(imagine_t *im, int timeout_ms) {
    struct pollfd fds[2] = {{.fd = imagine_turn_fd(im), .events = POLLIN},
                            {.fd = wake_fds[0], .events = POLLIN}};
    int wait_ms = imagine_turn_wait_ms(im);
    char byte;
    poll(fds, 2, wait_ms >= 0 && wait_ms < timeout_ms ? wait_ms : timeout_ms);
    while (read(wake_fds[0], &byte, 1) == 1)
        ;
    imagine_turn(im, 0);
}

void loop_guard_file(const char *path) {
    has_file = 0;
    if (path == NULL || strlen(path) >= sizeof(file_path))
        return;
    memcpy(file_path, path, strlen(path) + 1);
    has_file = 1;
}
