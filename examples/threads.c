/* threads.c: one client for many threads. Each asks for its picture and waits for it; the library's
 * own thread does all the work. The client's memory is counted, and its log goes where we want it.
 *
 *   ./threads sample/waves "a quiet sea" "a storm" "an island" */
#include <imagine.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS_MAX 64

static imagine_t *im;
static const char *model;
static atomic_size_t allocation_count;
static atomic_int failure_count;

/* Like realloc(). Called by several threads at once. */
static void *counted(void *user, void *pointer, size_t size) {
    atomic_fetch_add((atomic_size_t *)user, size != 0);
    if (size != 0)
        return realloc(pointer, size);
    free(pointer);
    return NULL;
}

/* On the library's thread: the shorter the better. */
static void log_line(int32_t level, const char *line, void *user) {
    (void)user;
    fprintf(stderr, "%s: %s\n", level <= IMAGINE_LOG_WARN ? "look at this" : "log", line);
}

static void *make_picture(void *prompt) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    imagine_request_t *request = NULL;
    const imagine_result_t *result;
    params.model = model;
    params.prompt = prompt;
    params.width = params.height = 256;
    if (imagine_generate(im, &params, NULL, NULL, &request) != 0) {
        failure_count++;
        return NULL;
    }
    imagine_wait(request, -1);
    result = imagine_request_result(request);
    failure_count += result->status != 0;
    if (result->status == 0)
        printf("%s: %zu characters of address\n", params.prompt, result->url_size);
    else
        fprintf(stderr, "%s: %s\n", params.prompt, result->message);
    imagine_request_release(request);
    return NULL;
}

int main(int argc, char **argv) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_allocator_t allocator = {counted, &allocation_count};
    pthread_t threads[THREADS_MAX];
    int count = argc - 2 < THREADS_MAX ? argc - 2 : THREADS_MAX;
    if (argc < 3)
        return fprintf(stderr, "usage: %s MODEL PROMPT…\n", argv[0]), 2;
    model = argv[1];
    options.allocator = &allocator;
    options.log = log_line;
    options.log_level = IMAGINE_LOG_INFO;
    if (imagine_open(&im, &options) != 0 || imagine_configure_env(im) != 0)
        return imagine_close(im, NULL, NULL), 1;
    for (int i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, make_picture, argv[2 + i]) != 0)
            return fputs("no thread\n", stderr), 1;
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    imagine_close(im, NULL, NULL); /* waits until all is gone */
    printf("%zu allocations\n", (size_t)allocation_count);
    return failure_count == 0 ? 0 : 1;
}
