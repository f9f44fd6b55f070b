/* test_example.c: the storage that users copy from does what every storage must do. */
int file_storage_main(int argc, char **argv);
#define main file_storage_main /* of which only the storage is wanted here */
#include "examples/file_storage.c"
#undef main

#include <unistd.h>

#include "support/check_main.h"
#include "support/storage_conformance.h"

static char folder[64];

static void open_example(storage_bench_t *bench) {
    snprintf(folder, sizeof(folder), "/tmp/imagine-files-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(file_storage_open(&bench->storage, folder), 0);
}

static void close_example(storage_bench_t *bench) {
    char path[PATH_SIZE];
    const struct dirent *entry;
    DIR *all = opendir(folder);
    (void)bench;
    ck_assert_ptr_nonnull(all);
    while ((entry = readdir(all)) != NULL) {
        snprintf(path, sizeof(path), "%s/%.100s", folder, entry->d_name);
        if (entry->d_name[0] != '.')
            remove(path);
    }
    closedir(all);
    ck_assert_int_eq(rmdir(folder), 0);
}

static const storage_target_t targets[] = {
    {.name = "files", .open = open_example, .close = close_example}};

static Suite *example_suite(void) {
    Suite *suite = suite_create("example");
    suite_add_tcase(suite, storage_conformance(targets, 1));
    return suite;
}

IMI_CHECK_MAIN(example_suite)
