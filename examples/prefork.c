/* prefork.c: workers as processes. The parent opens nothing before it forks; each child opens a
 * client of its own. What is remembered (which tokens are used up) they share through the storage
 * that the settings name: SQLite or Redis.
 *
 *   ./prefork sample/waves "a quiet sea" "a storm" "an island"     # one process for each prompt
 *
 * The other way round is forbidden: in a child of a process with an open client no function of the
 * library may be called. Such a child runs another program, or ends with _exit(). */
#include <imagine.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static int make_picture(const char *model, const char *prompt) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    imagine_request_t *request = NULL;
    imagine_t *im = NULL;
    int err = imagine_open(&im, NULL);
    if (err == 0)
        err = imagine_configure_env(im);
    params.model = model;
    params.prompt = prompt;
    params.width = params.height = 256;
    if (err == 0)
        err = imagine_generate(im, &params, NULL, NULL, &request);
    if (err == 0) {
        imagine_wait(request, -1);
        const imagine_result_t *result = imagine_request_result(request);
        err = result->status;
        if (err == 0)
            printf("%d: %s: %zu characters of address\n", (int)getpid(), prompt, result->url_size);
        else
            fprintf(stderr, "%d: %s: %s\n", (int)getpid(), prompt, result->message);
    }
    imagine_request_release(request);
    imagine_close(im, NULL, NULL);
    return err == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
    int failure_count = 0, status = 0;
    if (argc < 3)
        return fprintf(stderr, "usage: %s MODEL PROMPT…\n", argv[0]), 2;
    for (int i = 2; i < argc; i++) {
        pid_t child = fork();
        if (child == 0)
            return make_picture(argv[1], argv[i]);
        failure_count += child < 0;
    }
    while (wait(&status) > 0)
        failure_count += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    return failure_count == 0 ? 0 : 1;
}
