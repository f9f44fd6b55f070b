/* sample.c: pictures without any provider, so that the library shows something before the first
 * token is there. Drawn by arithmetic from prompt and seed, and saying so, in the picture and in
 * the file. Nothing blocks the loop: a slice of rows is drawn and encoded, then the call sleeps for
 * no time. Of the picture only the compressed form is kept, as the data: address it becomes.
 *   generate -> draw_slice -> … -> draw_slice -> finish */
#include "providers/builtin.h"

#include <spng.h>
#include <stdbool.h>
#include <string.h>

#include "providers/sample_art.h"
#include "providers/sample_label.h"

#define SLICE_PIXELS 16384 /* 1 to 2 ms on a machine of today */
#define SIDE_MAX 8192
#define SIDE_DEFAULT 1024
#define COMPRESSION_LEVEL 3 /* more takes twice the time for a tenth of the size */
#define PIECE_SIZE 32768    /* a multiple of four: a group of digits is never split */
#define URL_PREFIX "data:image/png;base64,"

/* Base64 as it comes. Joined at the end, so that memory is twice the result's at most. */
typedef struct piece {
    struct piece *next;
    size_t size;
    char text[PIECE_SIZE];
} piece_t;

typedef struct sample {
    imagine_call_t *call;
    imi_art_t *art;
    spng_ctx *encoder;
    uint32_t width, height, next_row;
    uint8_t *row;

    piece_t *first_piece, *last_piece;
    size_t text_size; /* of all pieces; SIDE_MAX bounds it */
    uint8_t rest[3];  /* bytes that do not fill a group of base64 yet */
    size_t rest_size;
} sample_t;

static void draw_slice(imagine_call_t *call);
static void finish(imagine_call_t *call, sample_t *sample);

/* ---- the address that grows -------------------------------------------------------------------
 */

/* The group in `rest` as four digits, padded where it is short. false: no memory. */
static bool put_group(sample_t *sample) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = (uint32_t)sample->rest[0] << 16 | (uint32_t)sample->rest[1] << 8 |
                    (uint32_t)sample->rest[2];
    piece_t *piece = sample->last_piece;
    if (piece == NULL || piece->size == sizeof(piece->text)) {
        piece = imagine_call_alloc(sample->call, sizeof(*piece));
        if (piece == NULL)
            return false;
        if (sample->last_piece != NULL)
            sample->last_piece->next = piece;
        else
            sample->first_piece = piece;
        sample->last_piece = piece;
    }
    for (size_t i = 0; i < 4; i++)
        piece->text[piece->size++] =
            i <= sample->rest_size ? digits[bits >> (18 - 6 * i) & 63] : '=';
    memset(sample->rest, 0, sizeof(sample->rest));
    sample->rest_size = 0;
    sample->text_size += 4;
    return true;
}

/* libspng writes here as it compresses. */
static int on_written(spng_ctx *encoder, void *user, void *data, size_t data_size) {
    sample_t *sample = user;
    const uint8_t *bytes = data;
    (void)encoder;
    for (size_t i = 0; i < data_size; i++) {
        sample->rest[sample->rest_size++] = bytes[i];
        if (sample->rest_size == sizeof(sample->rest) && !put_group(sample))
            return SPNG_IO_ERROR;
    }
    return 0;
}

/* All pieces as one address; NULL: no memory. */
static const char *join(sample_t *sample) {
    size_t size = sizeof(URL_PREFIX) - 1;
    char *url = imagine_call_alloc(sample->call, size + sample->text_size + 1);
    if (url == NULL)
        return NULL;
    memcpy(url, URL_PREFIX, size);
    for (const piece_t *piece = sample->first_piece; piece != NULL; piece = piece->next) {
        memcpy(url + size, piece->text, piece->size);
        size += piece->size;
    }
    return url; /* zeroed memory: it ends with a NUL */
}

/* ---- the file ---------------------------------------------------------------------------------
 */

static void release_encoder(void *encoder) {
    spng_ctx_free(encoder);
}

static int describe(spng_ctx *encoder) {
    static char said[] = "sample \xB7 drawn locally, no AI"; /* tEXt is Latin-1 */
    static char software[] = "libimagine " IMAGINE_VERSION ", sample provider";
    struct spng_text texts[] = {
        {.keyword = "Software", .type = SPNG_TEXT, .length = strlen(software), .text = software},
        {.keyword = "Comment", .type = SPNG_TEXT, .length = strlen(said), .text = said},
    };
    return spng_set_text(encoder, texts, sizeof(texts) / sizeof(texts[0]));
}

/* 0 or an error of libspng. */
static int begin_file(sample_t *sample) {
    struct spng_ihdr header = {.width = sample->width,
                               .height = sample->height,
                               .bit_depth = 8,
                               .color_type = SPNG_COLOR_TYPE_TRUECOLOR};
    spng_ctx *encoder = sample->encoder;
    int err = spng_set_png_stream(encoder, on_written, sample);
    if (err == 0)
        err = spng_set_option(encoder, SPNG_IMG_COMPRESSION_LEVEL, COMPRESSION_LEVEL);
    if (err == 0) /* gradients: the row above says almost all, and trying others takes time */
        err = spng_set_option(encoder, SPNG_FILTER_CHOICE, SPNG_FILTER_CHOICE_UP);
    if (err == 0)
        err = spng_set_ihdr(encoder, &header);
    if (err == 0)
        err = describe(encoder);
    if (err == 0)
        err = spng_encode_image(encoder, NULL, 0, SPNG_FMT_PNG,
                                SPNG_ENCODE_PROGRESSIVE | SPNG_ENCODE_FINALIZE);
    return err;
}

/* ---- steps ------------------------------------------------------------------------------------
 */

static uint32_t side(uint32_t wanted) {
    if (wanted == 0)
        return SIDE_DEFAULT;
    return wanted < SIDE_MAX ? wanted : SIDE_MAX;
}

/* NULL: no memory. */
static sample_t *sample_new(imagine_call_t *call) {
    const imagine_params_t *params = imagine_call_params(call);
    sample_t *sample = imagine_call_alloc(call, sizeof(*sample));
    void *art;
    if (sample == NULL)
        return NULL;
    sample->call = call;
    sample->width = side(params->width);
    sample->height = side(params->height);
    sample->row = imagine_call_alloc(call, (size_t)sample->width * 3);
    art = imagine_call_alloc(call, imi_art_size(sample->width));
    if (sample->row == NULL || art == NULL)
        return NULL;
    sample->art = imi_art_init(art, imi_art_style(imagine_call_model(call)), params->prompt,
                               params->seed, sample->width, sample->height);
    sample->encoder = spng_ctx_new(SPNG_CTX_ENCODER);
    if (sample->encoder == NULL)
        return NULL;
    if (imagine_call_defer(call, release_encoder, sample->encoder) != 0) {
        spng_ctx_free(sample->encoder);
        return NULL;
    }
    return sample;
}

static void fail_encoding(imagine_call_t *call, int spng_error) {
    bool is_memory = spng_error == SPNG_EMEM || spng_error == SPNG_IO_ERROR;
    imagine_call_fail(call, is_memory ? IMAGINE_ENOMEM : IMAGINE_EPROTOCOL,
                      spng_strerror(spng_error));
}

static void generate(imagine_call_t *call) {
    sample_t *sample = sample_new(call);
    int err;
    if (sample == NULL) {
        imagine_call_fail(call, IMAGINE_ENOMEM, "out of memory");
        return;
    }
    err = begin_file(sample);
    if (err != 0) {
        fail_encoding(call, err);
        return;
    }
    imagine_call_set_state(call, sample);
    imagine_call_sleep(call, 0, draw_slice);
}

static void draw_slice(imagine_call_t *call) {
    sample_t *sample = imagine_call_state(call);
    uint32_t row_count = SLICE_PIXELS / sample->width + 1;
    for (; row_count > 0 && sample->next_row < sample->height; row_count--) {
        int err;
        imi_art_row(sample->art, sample->next_row, sample->row);
        imi_label_row(sample->width, sample->height, sample->next_row, sample->row);
        sample->next_row++;
        err = spng_encode_row(sample->encoder, sample->row, (size_t)sample->width * 3);
        if (err != 0 && err != SPNG_EOI) { /* EOI: that was the last row, and the file is whole */
            fail_encoding(call, err);
            return;
        }
    }
    if (sample->next_row < sample->height)
        imagine_call_sleep(call, 0, draw_slice);
    else
        finish(call, sample);
}

static void finish(imagine_call_t *call, sample_t *sample) {
    imagine_result_t result = {.size = sizeof(result)};
    if (sample->rest_size == 0 || put_group(sample))
        result.url = join(sample);
    result.width = sample->width;
    result.height = sample->height;
    if (result.url != NULL)
        imagine_call_succeed(call, &result);
    else
        imagine_call_fail(call, IMAGINE_ENOMEM, "out of memory");
}

const imagine_provider_t imi_provider_sample = {
    .size = sizeof(imi_provider_sample),
    .name = "sample",
    .flags = IMAGINE_PROVIDER_TOKEN_OPTIONAL,
    .generate = generate,
};
