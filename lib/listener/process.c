/* process.c: gives the system back what the process holds of memory and does not need now.
 *
 * Heap: what free() kept. Code and constants: the loader, and constructors of libraries that
 * nothing calls later, touch megabytes of them (libcurl brings gnutls, krb5, ldap …). Such pages
 * are copies of files, so the system drops them, and maps them again where they are touched again.
 */
#include "imagine/gateway.h"

#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#ifdef __linux__ /* elsewhere MADV_DONTNEED means something else */
#define STATUS_SIZE 4096

/* A debugger's breakpoints are changes of code pages, and would be lost with them. Where nobody
 * knows (no /proc), there may be one. */
static bool is_traced(void) {
    static const char label[] = "\nTracerPid:\t";
    char text[STATUS_SIZE + 1];
    const char *found = NULL;
    ssize_t size = -1;
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        size = read(fd, text, STATUS_SIZE);
        close(fd);
    }
    text[size > 0 ? size : 0] = '\0';
    found = strstr(text, label);
    return found == NULL || found[strlen(label)] != '0';
}

/* Code that the loader itself had to change (32-bit programs built without -fPIC have such). */
static bool has_changed_code(const struct dl_phdr_info *object) {
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        const ElfW(Dyn) *entry = NULL;
        if (part->p_type != PT_DYNAMIC)
            continue;
        entry = (const ElfW(Dyn) *)(object->dlpi_addr + part->p_vaddr);
        for (; entry->d_tag != DT_NULL; entry++) {
            if (entry->d_tag == DT_TEXTREL ||
                (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL) != 0))
                return true;
        }
    }
    return false;
}

static int drop_code(struct dl_phdr_info *object, size_t size, void *user) {
    uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    (void)size;
    (void)user;
    if (has_changed_code(object))
        return 0;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        uintptr_t start = object->dlpi_addr + part->p_vaddr;
        uintptr_t end = start + part->p_memsz;
        if (part->p_type != PT_LOAD || (part->p_flags & PF_W) != 0)
            continue;
        start -= start % page_size;
        end += (page_size - end % page_size) % page_size;
        madvise((void *)start, end - start, MADV_DONTNEED);
    }
    return 0;
}
#endif

void imagine_process_trim(void) {
    static atomic_flag is_trimming = ATOMIC_FLAG_INIT; /* glibc's takes long: one is enough */
    if (atomic_flag_test_and_set(&is_trimming))
        return;
#ifdef __GLIBC__
    malloc_trim(0);
#endif
#ifdef __linux__
    if (!is_traced())
        dl_iterate_phdr(drop_code, NULL); /* none of them is unloaded meanwhile */
#endif
    atomic_flag_clear(&is_trimming);
}
