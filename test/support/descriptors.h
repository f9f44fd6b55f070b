/* descriptors.h: how many files and sockets the process has open, to see that none stays behind. */
#ifndef IMI_TEST_DESCRIPTORS_H
#define IMI_TEST_DESCRIPTORS_H

#include <check.h>
#include <dirent.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

/* With suppressions, ThreadSanitizer asks a process of its own for names, at the first report that
 * may be one. Asked for one before anything is counted, it keeps that process, and its two pipes.
 */
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#include <sanitizer/common_interface_defs.h>
#define DESCRIPTORS_ASK_FOR_A_NAME(place, name) \
    __sanitizer_symbolize_pc(place, "%f", name, sizeof(name))
#endif
#endif
#ifndef DESCRIPTORS_ASK_FOR_A_NAME
#define DESCRIPTORS_ASK_FOR_A_NAME(place, name) (void)name
#endif

/* The one that looks is counted too, every time. */
static inline size_t descriptors_count(void) {
    DIR *directory = opendir("/proc/self/fd");
    size_t count = 0;
    char name[64];
    DESCRIPTORS_ASK_FOR_A_NAME(__builtin_return_address(0), name);
    ck_assert_ptr_nonnull(directory);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

/* Fails the test, and shows what is open, unless the number is `count` again soon: threads of a
 * server, or those that resolve a name, close theirs a little later. */
static inline void descriptors_expect(size_t count) {
    for (int i = 0; i < 1000 && descriptors_count() > count; i++)
        usleep(5000);
    if (descriptors_count() <= count)
        return;
    for (int fd = 0; fd < 1024; fd++) {
        char link[32];
        char target[128];
        ssize_t size = 0;
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        size = readlink(link, target, sizeof(target) - 1);
        if (size > 0)
            fprintf(stderr, "%d -> %.*s\n", fd, (int)size, target);
    }
    ck_abort_msg("%zu descriptors are open, not %zu", descriptors_count(), count);
}

#endif
