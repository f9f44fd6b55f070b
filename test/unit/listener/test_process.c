/* test_process.c: what imagine_process_trim() gives back, and what it leaves alone. */
#include "imagine/gateway.h"

#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/check_main.h"

/* Sanitizers have a malloc() of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#elif defined(__has_feature)
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
#define IS_LIBC_MALLOC
#endif
#else
#define IS_LIBC_MALLOC
#endif

enum {
    PAGE_SIZE_MIN = 4096,
    CODE_MIN_KIB = 1500, /* of libcrypto alone there is twice as much */
    BLOCKS = 4000,
    BLOCK_SIZE = 4000, /* 16 MB, in pieces that malloc() takes from its heap */
    HEAP_MIN_KIB = 8000,
    THREADS = 4,
    ROUNDS = 50,
};

/* A line of /proc/self/status, as "RssFile:". */
static long status_of(const char *name) {
    char line[256];
    long value = -1;
    FILE *file = fopen("/proc/self/status", "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtol(line + strlen(name), NULL, 10);
    }
    fclose(file);
    ck_assert_int_ge(value, 0);
    return value;
}

static int touch(struct dl_phdr_info *object, size_t size, void *user) {
    static volatile unsigned char sum;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        const volatile unsigned char *bytes = (void *)(object->dlpi_addr + part->p_vaddr);
        if (part->p_type != PT_LOAD || (part->p_flags & (PF_W | PF_R)) != PF_R)
            continue;
        for (size_t at = 0; at < part->p_filesz; at += PAGE_SIZE_MIN)
            sum = (unsigned char)(sum + bytes[at]);
    }
    (void)size;
    (void)user;
    return 0;
}

/* How much of it a trim gives back, once all code has been touched. */
static long trimmed_code_kib(void) {
    long before = 0;
    dl_iterate_phdr(touch, NULL);
    before = status_of("RssFile:");
    imagine_process_trim();
    return before - status_of("RssFile:");
}

START_TEST(code_that_is_not_run_is_given_back_and_can_be_run_again) {
    char text[32];
    ck_assert_int_gt(trimmed_code_kib(), CODE_MIN_KIB);
    snprintf(text, sizeof(text), "%.3f", 0.125 * 2);
    ck_assert_str_eq(text, "0.250");
}
END_TEST

#ifdef IS_LIBC_MALLOC
START_TEST(what_free_has_kept_is_given_back) {
    static char *blocks[BLOCKS];
    char *last = NULL;
    long before = 0;
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK_SIZE);
        ck_assert_ptr_nonnull(blocks[i]);
        memset(blocks[i], i, BLOCK_SIZE);
    }
    last = malloc(BLOCK_SIZE); /* above them, so that free() cannot shrink the heap by itself */
    ck_assert_ptr_nonnull(last);
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    before = status_of("RssAnon:");
    imagine_process_trim();
    ck_assert_int_lt(status_of("RssAnon:"), before - HEAP_MIN_KIB);
    free(last);
}
END_TEST
#endif

START_TEST(a_debuggers_breakpoints_stay) {
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(2);
        _exit(trimmed_code_kib() > CODE_MIN_KIB ? 1 : 0);
    }
    ck_assert_int_gt(pid, 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

static void *trim_often(void *user) {
    for (int i = 0; i < ROUNDS; i++) {
        char *block = malloc(BLOCK_SIZE);
        imagine_process_trim();
        memset(block, i, BLOCK_SIZE);
        free(block);
    }
    return user;
}

START_TEST(threads_may_call_it_at_once) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, trim_often, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}
END_TEST

static Suite *process_suite(void) {
    Suite *suite = suite_create("process");
    TCase *tcase = tcase_create("process");
    tcase_add_test(tcase, code_that_is_not_run_is_given_back_and_can_be_run_again);
#ifdef IS_LIBC_MALLOC
    tcase_add_test(tcase, what_free_has_kept_is_given_back);
#endif
    tcase_add_test(tcase, a_debuggers_breakpoints_stay);
    tcase_add_test(tcase, threads_may_call_it_at_once);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(process_suite)
