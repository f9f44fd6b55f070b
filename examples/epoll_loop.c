/* epoll_loop.c: pictures inside an event loop that is not libuv's, without a thread. The loop's own
 * business here is a clock that ticks; GLib, libevent or a game's frames work the same way: watch
 * one descriptor, wait no longer than imagine_turn_wait_ms() says, then call imagine_turn().
 *
 *   cc epoll_loop.c $(pkg-config --cflags --libs libimagine) -o epoll_loop
 *   ./epoll_loop sample/waves "a quiet sea" "a storm" "low tide" */
#include <imagine.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define TICK_NS 20000000

static size_t waiting_count;

static void on_done(int status, const imagine_result_t *result, void *user) {
    printf("%s: %.40s\n", (const char *)user, status == 0 ? result->url : result->message);
    waiting_count--;
}

static int watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int main(int argc, char **argv) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    struct itimerspec every = {{0, TICK_NS}, {0, TICK_NS}};
    int epoll = epoll_create1(0), clock = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    uint64_t tick_count = 0, ticks;
    imagine_t *im = NULL;

    if (argc < 3)
        return fprintf(stderr, "usage: %s MODEL PROMPT…\n", argv[0]), 2;
    options.is_manual = 1;
    if (imagine_open(&im, &options) != 0 || imagine_configure_env(im) != 0 ||
        watch(epoll, imagine_turn_fd(im)) != 0 || watch(epoll, clock) != 0 ||
        timerfd_settime(clock, 0, &every, NULL) != 0)
        return fprintf(stderr, "this cannot be set up\n"), 1;
    for (int i = 2; i < argc; i++) {
        params.model = argv[1];
        params.prompt = argv[i];
        waiting_count += imagine_generate(im, &params, on_done, argv[i], NULL) == 0;
    }
    while (waiting_count > 0) {
        struct epoll_event events[2];
        epoll_wait(epoll, events, 2, imagine_turn_wait_ms(im));
        if (read(clock, &ticks, sizeof(ticks)) == sizeof(ticks))
            tick_count += ticks; /* the host's own business */
        imagine_turn(im, 0);
    }
    printf("%llu ticks meanwhile\n", (unsigned long long)tick_count);
    imagine_close(im, NULL, NULL); /* turns until all is gone */
    close(clock);
    close(epoll);
    return 0;
}
