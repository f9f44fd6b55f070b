/* fuzz_http1.c: connections over a gateway with the sample provider, in virtual time. An input's
 * first byte says into how large pieces the rest is cut, and whether what is sent leaves at once.
 * Whatever comes in, what comes out is a row of whole answers, as long as they tell, and nothing is
 * left behind. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "imagine/gateway.h"
#include "support/virtual_io.h"

#define OUT_MAX (64 * 1024 * 1024)
#define STEPS_MAX 40 /* of virtual time; then the caller leaves */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct stream_end {
    bool is_slow, is_closed;
    unsigned waiting_count;
    char *out;
    size_t out_size;
} stream_end_t;

static virtual_io_t *virtual;
static imagine_t *im;
static imagine_gateway_t *gateway;

static void require(bool is_fine) {
    if (!is_fine)
        abort();
}

static int32_t on_send(const imagine_slice_t *pieces, size_t piece_count, void *user) {
    stream_end_t *end = user;
    require(!end->is_closed && piece_count <= IMAGINE_HTTP1_PIECES_MAX);
    for (size_t i = 0; i < piece_count; i++) {
        end->out = realloc(end->out, end->out_size + pieces[i].size + 1);
        require(end->out != NULL && end->out_size + pieces[i].size < OUT_MAX);
        memcpy(end->out + end->out_size, pieces[i].data, pieces[i].size);
        end->out_size += pieces[i].size;
        end->out[end->out_size] = '\0';
    }
    end->waiting_count += end->is_slow;
    return end->is_slow ? 0 : 1;
}

static void on_pause(int32_t is_paused, void *user) {
    (void)is_paused, (void)user;
}

static void on_close(void *user) {
    stream_end_t *end = user;
    require(!end->is_closed);
    end->is_closed = true;
}

static const imagine_http1_stream_t stream = {
    .size = sizeof(stream), .send = on_send, .pause = on_pause, .close = on_close};

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_settings_t *settings = NULL;
    (void)argc, (void)argv;
    virtual = virtual_io_open();
    options.io = virtual_io_table(virtual);
    require(imagine_open(&im, &options) == 0);
    require(imagine_settings_open(&settings) == 0);
    require(imagine_settings_set(settings, "SAMPLE_PROVIDER", "on") == 0);
    require(imagine_settings_set(settings, "RATE_LIMIT", "0") == 0);
    require(imagine_settings_set(settings, "MAX_BODY_BYTES", "1024") == 0);
    require(imagine_configure(im, settings, NULL) == 0);
    require(imagine_gateway_open(&gateway, im, settings, NULL) == 0);
    imagine_settings_close(settings);
    return 0;
}

/* Skips one answer. HEAD tells a length and has no body, so an answer may also be followed by the
 * next one at once. */
static const char *skip_answer(const char *at, const char *end) {
    const char *body = strstr(at, "\r\n\r\n");
    const char *told = strstr(at, "\r\nContent-Length: ");
    size_t size;
    require(strncmp(at, "HTTP/1.1 ", 9) == 0 && body != NULL);
    body += 4;
    size = told != NULL && told < body ? strtoul(told + 18, NULL, 10) : 0;
    if (body == end || strncmp(body, "HTTP/1.1 ", 9) == 0)
        return body;
    require(size <= (size_t)(end - body));
    return body + size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    stream_end_t end = {.is_slow = false};
    imagine_http1_t *http1 = NULL;
    size_t piece_size = size > 0 ? (size_t)(data[0] & 127) + 1 : 1;
    end.is_slow = size > 0 && (data[0] & 128) != 0;
    require(imagine_http1_open(&http1, gateway, "127.0.0.1", &stream, &end) == 0);
    for (size_t at = 1; at < size && !end.is_closed; at += piece_size) {
        imagine_http1_receive(http1, data + at, size - at < piece_size ? size - at : piece_size);
        if (end.waiting_count > 0) {
            end.waiting_count--;
            imagine_http1_sent(http1);
        }
    }
    for (int i = 0; i < STEPS_MAX && !end.is_closed; i++) {
        for (; end.waiting_count > 0 && !end.is_closed; end.waiting_count--)
            imagine_http1_sent(http1);
        if (!end.is_closed && !virtual_io_step(virtual))
            break;
    }
    imagine_http1_close(http1);
    while (virtual_io_step(virtual))
        continue;
    require(imagine_gateway_in_flight(gateway) == 0);
    for (const char *at = end.out; at != NULL && at < end.out + end.out_size;)
        at = skip_answer(at, end.out + end.out_size);
    free(end.out);
    return 0;
}
