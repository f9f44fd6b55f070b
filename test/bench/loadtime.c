/* loadtime.c: how long it takes to load a shared library into this process, which has none of what
 * it needs: loadtime LIBRARY prints microseconds. */
#include <dlfcn.h>
#include <stdio.h>
#include <time.h>

static double now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

int main(int argc, char **argv) {
    double began_us = now_us();
    if (argc != 2 || dlopen(argv[1], RTLD_LAZY | RTLD_LOCAL) == NULL) {
        fprintf(stderr, "loadtime: %s\n", argc == 2 ? dlerror() : "one library, please");
        return 1;
    }
    printf("%.1f\n", now_us() - began_us);
    return 0;
}
