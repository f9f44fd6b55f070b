/* copies.c: two copies of the library in one process, as two plugins of a game bring them, each
 * with names of its own: copies LIBRARY COPY ROUNDS. Loads both, makes a picture with each at the
 * same time, on a private thread each, and unloads both, so many times. Prints what is left:
 * threads. */
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <imagine.h>

#define WAIT_MS 30000

typedef struct copy {
    void *library;
    imagine_t *im;
    imagine_request_t *request;
    int (*open)(imagine_t **, const imagine_options_t *);
    int (*generate)(imagine_t *, const imagine_params_t *, imagine_done_cb, void *,
                    imagine_request_t **);
    int (*wait)(imagine_request_t *, int64_t);
    const imagine_result_t *(*result)(const imagine_request_t *);
    void (*release)(imagine_request_t *);
    void (*close)(imagine_t *, imagine_closed_cb, void *);
} copy_t;

static void check(int is_fine, const char *what) {
    const char *reason = is_fine ? NULL : dlerror();
    if (is_fine)
        return;
    fprintf(stderr, "copies: %s%s%s\n", what, reason != NULL ? ": " : "",
            reason != NULL ? reason : "");
    exit(1);
}

/* POSIX: what dlsym() returns may be a function's address (dlsym, "Rationale"). */
static void find(const copy_t *copy, const char *name, void *out_function) {
    void *symbol = dlsym(copy->library, name);
    check(symbol != NULL, name);
    memcpy(out_function, &symbol, sizeof(symbol));
}

static void load(copy_t *copy, const char *path) {
    copy->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    check(copy->library != NULL, path);
    find(copy, "imagine_open", &copy->open);
    find(copy, "imagine_generate", &copy->generate);
    find(copy, "imagine_wait", &copy->wait);
    find(copy, "imagine_request_result", &copy->result);
    find(copy, "imagine_request_release", &copy->release);
    find(copy, "imagine_close", &copy->close);
}

static void begin(copy_t *copy) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    params.model = "sample/waves";
    params.prompt = "a cat";
    params.width = params.height = 64;
    check(copy->open(&copy->im, NULL) == 0, "imagine_open");
    check(copy->generate(copy->im, &params, NULL, NULL, &copy->request) == 0, "imagine_generate");
}

static void end(copy_t *copy) {
    check(copy->wait(copy->request, WAIT_MS) == 0, "imagine_wait");
    check(copy->result(copy->request)->status == 0, "the picture");
    copy->release(copy->request);
    copy->close(copy->im, NULL, NULL);
    check(dlclose(copy->library) == 0, "dlclose");
}

static int thread_count(void) {
    DIR *directory = opendir("/proc/self/task");
    int count = 0;
    check(directory != NULL, "/proc/self/task");
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count - 2;
}

int main(int argc, char **argv) {
    copy_t one = {NULL}, two = {NULL};
    check(argc == 4, "usage: copies LIBRARY COPY ROUNDS");
    for (int i = (int)strtol(argv[3], NULL, 10); i > 0; i--) {
        load(&one, argv[1]);
        load(&two, argv[2]);
        check(one.open != two.open, "they are the same");
        begin(&one);
        begin(&two);
        end(&one);
        end(&two);
    }
    printf("%d\n", thread_count());
    return 0;
}
