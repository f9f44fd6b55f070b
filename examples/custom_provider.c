/* custom_provider.c: a provider of your own, with tokens and rotation, in about fifty lines.
 *
 * "Acme" makes a task of every picture; we ask until it is done. Which token, the next token when
 * one is spent, repeating, time limits and cancellation are the library's.
 *
 *   ./custom_provider http://127.0.0.1:8000 token-a,token-b "a cat" */
#include <imagine.h>
#include <imagine/provider.h>
#include <stdio.h>
#include <string.h>

static void on_polled(imagine_call_t *call, const imagine_http_response_t *response);

static void poll(imagine_call_t *call) {
    imagine_call_request_t get = {.size = sizeof(get)};
    const char *id = imagine_call_state(call);
    get.url =
        imagine_call_url(call, imagine_call_concat(call, "/tasks/", imagine_call_escape(call, id)));
    imagine_call_http(call, &get, on_polled);
}

static void on_polled(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *state = imagine_response_string(response, "task.state");
    imagine_result_t result = {.size = sizeof(result)};
    result.url = imagine_response_string(response, "task.images[0]");
    if (state != NULL && strcmp(state, "running") == 0)
        imagine_call_poll(call, poll);
    else if (result.url != NULL)
        imagine_call_succeed(call, &result);
    else
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "a finished task without task.images[0]");
}

static void on_created(imagine_call_t *call, const imagine_http_response_t *response) {
    const char *id = imagine_response_string(response, "task.id");
    if (id == NULL) {
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "an answer without task.id");
        return;
    }
    imagine_call_set_state(call, id);
    imagine_call_poll(call, poll);
}

static void generate(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    imagine_call_request_t post = {.size = sizeof(post)};
    post.url = imagine_call_url(call, "/pictures");
    post.body = imagine_body_json(call);
    imagine_body_put_text(post.body, "prompt", params->prompt);
    imagine_body_put_int(post.body, "width", params->width);
    imagine_body_put_int(post.body, "height", params->height);
    imagine_call_http(call, &post, on_created);
}

static const imagine_provider_t acme = {
    .size = sizeof(acme),
    .name = "acme",
    .catalogue = "{\"api_base\": \"https://api.acme.example\","
                 " \"models\": [{\"key\": \"fast\", \"name\": \"Acme Fast\","
                 "               \"type\": [\"text2image\"]}]}",
    .generate = generate,
};

int main(int argc, char **argv) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    imagine_request_t *request = NULL;
    imagine_t *im = NULL;
    int err;
    if (argc != 4) {
        fprintf(stderr, "usage: %s BASE_ADDRESS TOKENS PROMPT\n", argv[0]);
        return 2;
    }
    err = imagine_open(&im, NULL);
    if (err == 0)
        err = imagine_register_provider(im, &acme);
    if (err == 0)
        err = imagine_set_api_base(im, "acme", argv[1]);
    if (err == 0)
        err = imagine_set_tokens(im, "acme", argv[2]);
    params.model = "acme/fast";
    params.prompt = argv[3];
    if (err == 0)
        err = imagine_generate(im, &params, NULL, NULL, &request);
    if (err == 0) {
        imagine_wait(request, -1);
        const imagine_result_t *result = imagine_request_result(request);
        err = result->status;
        puts(err == 0 ? result->url : result->message);
    } else {
        fprintf(stderr, "%s\n", imagine_strerror(err));
    }
    imagine_request_release(request);
    imagine_close(im, NULL, NULL);
    return err == 0 ? 0 : 1;
}
