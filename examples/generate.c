/* generate.c: one picture into a file.
 *
 *   cc generate.c $(pkg-config --cflags --libs libimagine) -o generate
 *   ./generate "a quiet sea at dawn" sea.png                        # drawn locally, as a sample
 *   GITEE_TOKENS=… ./generate "a quiet sea" sea.png gitee/flux-2    # made by a provider */
#include <imagine.h>
#include <stdbool.h>
#include <stdio.h>

/* What imagine_configure_env() does, and says what is wrong with a setting. */
static bool configure(imagine_t *im) {
    imagine_settings_t *settings = NULL;
    char *message = NULL;
    int err = imagine_settings_open(&settings);
    if (err == 0)
        err = imagine_settings_read_env(settings);
    if (err == 0)
        err = imagine_settings_read_file(settings, NULL); /* .env.local, .env */
    if (err == 0)
        err = imagine_configure(im, settings, &message);
    else
        fprintf(stderr, "%s\n", imagine_settings_message(settings));
    if (message != NULL)
        fprintf(stderr, "%s\n", message);
    imagine_free(message);
    imagine_settings_close(settings);
    return err == 0;
}

int main(int argc, char **argv) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    imagine_request_t *request = NULL;
    imagine_t *im = NULL;
    const void *data;
    size_t size;
    FILE *file = NULL;

    if (argc < 3)
        return fprintf(stderr, "usage: %s PROMPT FILE [MODEL]\n", argv[0]), 2;
    if (imagine_open(&im, NULL) != 0 || !configure(im))
        return imagine_close(im, NULL, NULL), 1;
    params.model = argc > 3 ? argv[3] : "sample/nebula";
    params.prompt = argv[1];
    params.want_bytes = 1; /* also when the provider answers with an address */
    int err = imagine_generate(im, &params, NULL, NULL, &request);
    if (err == 0) {
        imagine_wait(request, -1);
        const imagine_result_t *result = imagine_request_result(request);
        err = imagine_result_bytes(result, &data, &size, NULL);
        if (result->status != 0)
            fprintf(stderr, "%s\n", result->message);
        else if (err == 0 && (file = fopen(argv[2], "wb")) != NULL)
            err = fwrite(data, 1, size, file) == size && fclose(file) == 0 ? 0 : IMAGINE_EIO;
    }
    imagine_request_release(request);
    imagine_close(im, NULL, NULL);
    return err == 0 ? 0 : 1;
}
