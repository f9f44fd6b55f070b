/* test_sample.c: pictures drawn locally: the same everywhere, in every size, labelled as what they
 * are, and drawn in slices. */
#include <spng.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imagine.h"
#include "providers/sample_art.h"
#include "providers/sample_label.h"
#include "support/check_main.h"
#include "support/failing_mem.h"
#include "support/script_io.h"

#define DEFAULT_SIZE_MAX (800 * 1000) /* bytes of a PNG of 1024x1024 */
#define SLICE_PIXELS_MAX 32768        /* what one turn of the loop may draw, and one row */

static const char *const styles[] = {"waves", "nebula", "terrain"};
#define STYLE_COUNT ((int)(sizeof(styles) / sizeof(styles[0])))

/* ---- the art alone ----------------------------------------------------------------------------
 */

/* All rows, free() it. */
static uint8_t *draw(const char *style, const char *prompt, int64_t seed, uint32_t width,
                     uint32_t height) {
    uint8_t *pixels = malloc((size_t)width * height * 3);
    void *memory = calloc(1, imi_art_size(width));
    imi_art_t *art;
    ck_assert(pixels != NULL && memory != NULL);
    art = imi_art_init(memory, imi_art_style(style), prompt, seed, width, height);
    for (uint32_t y = 0; y < height; y++)
        imi_art_row(art, y, pixels + (size_t)y * width * 3);
    free(memory);
    return pixels;
}

static uint64_t digest(const uint8_t *data, size_t size) { /* FNV-1a */
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ data[i]) * UINT64_C(0x100000001B3);
    return hash;
}

static uint64_t digest_of(const char *style, const char *prompt, int64_t seed, uint32_t width,
                          uint32_t height) {
    uint8_t *pixels = draw(style, prompt, seed, width, height);
    uint64_t hash = digest(pixels, (size_t)width * height * 3);
    free(pixels);
    return hash;
}

/* What these digests were on the machine that drew them first. A deliberate change of the art
 * changes them; another compiler, processor or optimiser must not. */
static const struct {
    const char *style, *prompt;
    int64_t seed;
    uint32_t width, height;
    uint64_t digest;
} known_pictures[] = {
    {"waves", "a cat", 7, 96, 64, UINT64_C(0xB3EE877C9CE67375)},
    {"waves", "", 0, 31, 17, UINT64_C(0x53B0E967A7224E61)},
    {"nebula", "a cat", 7, 96, 64, UINT64_C(0xA61B6CEB714A5E3C)},
    {"nebula", "night", 2147483646, 300, 200, UINT64_C(0xF2F18684EE03BE32)},
    {"terrain", "a cat", 7, 96, 64, UINT64_C(0xF7DA0358A858D612)},
    {"terrain", "deep sea", -1, 64, 300, UINT64_C(0xBB5D7F52C22DFD20)},
};

START_TEST(a_picture_is_the_same_on_every_machine) { /* _i walks known_pictures */
    uint64_t hash =
        digest_of(known_pictures[_i].style, known_pictures[_i].prompt, known_pictures[_i].seed,
                  known_pictures[_i].width, known_pictures[_i].height);
    ck_assert_msg(hash == known_pictures[_i].digest, "%s: digest 0x%016llX",
                  known_pictures[_i].style, (unsigned long long)hash);
}
END_TEST

START_TEST(prompt_seed_and_style_all_matter) {
    uint64_t hash = digest_of("waves", "a cat", 7, 64, 64);
    ck_assert_uint_ne(hash, digest_of("waves", "a dog", 7, 64, 64));
    ck_assert_uint_ne(hash, digest_of("waves", "a cat", 8, 64, 64));
    ck_assert_uint_ne(hash, digest_of("nebula", "a cat", 7, 64, 64));
    ck_assert_uint_ne(hash, digest_of("terrain", "a cat", 7, 64, 64));
}
END_TEST

START_TEST(an_unknown_style_is_drawn_as_waves) {
    ck_assert_int_eq(imi_art_style("cubism"), IMI_ART_WAVES);
    ck_assert_int_eq(imi_art_style(""), IMI_ART_WAVES);
}
END_TEST

/* Red minus blue, summed: which way a picture leans. */
static int64_t warmth(const char *prompt, int64_t seed) {
    uint8_t *pixels = draw("terrain", prompt, seed, 64, 64);
    int64_t sum = 0;
    for (size_t i = 0; i < 64 * 64; i++)
        sum += pixels[i * 3] - pixels[i * 3 + 2];
    free(pixels);
    return sum;
}

START_TEST(words_of_the_prompt_choose_the_colours) {
    for (int64_t seed = 0; seed < 10; seed++) {
        ck_assert_int_gt(warmth("Dragons, breathing FIRE", seed), 0);
        ck_assert_int_lt(warmth("a ship on the Ocean", seed), 0);
    }
}
END_TEST

/* ---- the label --------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    uint32_t width, height;
    uint32_t rows; /* that the label takes at the lower edge */
} label_cases[] = {
    {"the default", 1024, 1024, 42},  {"wide", 1920, 1080, 42},   {"small", 256, 256, 14},
    {"narrow: one word", 64, 64, 14}, {"too narrow", 39, 200, 0}, {"too low", 200, 13, 0},
    {"the largest", 8192, 8192, 294}, {"a strip", 8192, 16, 14},
};

START_TEST(the_label_takes_the_lowest_rows_and_no_other) { /* _i walks label_cases */
    uint32_t width = label_cases[_i].width, height = label_cases[_i].height;
    uint8_t *row = malloc((size_t)width * 3);
    uint32_t light_count = 0;
    ck_assert_ptr_nonnull(row);
    for (uint32_t y = 0; y < height; y++) {
        bool is_changed = false;
        memset(row, 100, (size_t)width * 3);
        imi_label_row(width, height, y, row);
        for (uint32_t i = 0; i < width * 3; i++) {
            is_changed = is_changed || row[i] != 100;
            light_count += row[i] > 200;
        }
        ck_assert_msg(is_changed == (y >= height - label_cases[_i].rows), "%s: row %u",
                      label_cases[_i].name, y);
    }
    ck_assert_msg((light_count > 0) == (label_cases[_i].rows > 0), "%s: %u light values",
                  label_cases[_i].name, light_count);
    free(row);
}
END_TEST

/* ---- the provider -----------------------------------------------------------------------------
 */

typedef struct artist {
    script_io_t *script;
    imagine_t *im;
    imagine_request_t *request;
    int done_count, closed_count, status;
    size_t step_count;
} artist_t;

static void on_done(int status, const imagine_result_t *result, void *user) {
    artist_t *artist = user;
    (void)result;
    artist->done_count++;
    artist->status = status;
}

static void on_closed(void *user) {
    ((artist_t *)user)->closed_count++;
}

/* false: no memory. */
static bool artist_open(artist_t *artist, const imagine_allocator_t *allocator) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    *artist = (artist_t){.script = script_io_open("", 0)};
    options.io = script_io_table(artist->script);
    options.allocator = allocator;
    if (imagine_open(&artist->im, &options) == 0)
        return true;
    script_io_close(artist->script);
    return false;
}

static bool artist_begin(artist_t *artist, const char *model, uint32_t width, uint32_t height) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    params.model = model;
    params.prompt = "a lake in winter";
    params.has_seed = 1;
    params.seed = 11;
    params.width = width;
    params.height = height;
    return imagine_generate(artist->im, &params, on_done, artist, &artist->request) == 0;
}

static void artist_finish(artist_t *artist) {
    while (artist->done_count == 0) {
        ck_assert(script_io_step(artist->script));
        artist->step_count++;
    }
    ck_assert_int_eq(artist->done_count, 1);
}

static void artist_close(artist_t *artist) {
    imagine_request_release(artist->request);
    imagine_close(artist->im, on_closed, artist);
    while (artist->closed_count == 0)
        ck_assert(script_io_step(artist->script));
    script_io_close(artist->script);
}

static const struct {
    const char *name;
    uint32_t width, height;
} size_cases[] = {
    {"the smallest", 16, 16},  {"one long row after the other", 8192, 16},
    {"one column", 16, 8192},  {"odd sides", 333, 77},
    {"prime sides", 17, 8191}, {"large and wide", 8191, 301},
    {"the usual", 1024, 576},
};
#define SIZE_COUNT ((int)(sizeof(size_cases) / sizeof(size_cases[0])))

static void check_text(spng_ctx *decoder) {
    struct spng_text texts[8];
    uint32_t count = 8;
    bool says_sample = false;
    ck_assert_int_eq(spng_get_text(decoder, texts, &count), 0);
    for (uint32_t i = 0; i < count; i++)
        says_sample = says_sample || strstr(texts[i].text, "drawn locally, no AI") != NULL;
    ck_assert_msg(says_sample, "no text chunk says what the picture is");
}

/* Decodes the PNG and compares it with the art and the label, row by row. */
static void check_png(const void *png, size_t png_size, const char *style, uint32_t width,
                      uint32_t height) {
    spng_ctx *decoder = spng_ctx_new(0);
    struct spng_ihdr header;
    size_t size = 0;
    uint8_t *decoded, *drawn = draw(style, "a lake in winter", 11, width, height);
    ck_assert_int_eq(spng_set_png_buffer(decoder, png, png_size), 0);
    ck_assert_int_eq(spng_get_ihdr(decoder, &header), 0);
    ck_assert_uint_eq(header.width, width);
    ck_assert_uint_eq(header.height, height);
    ck_assert_int_eq(spng_decoded_image_size(decoder, SPNG_FMT_RGB8, &size), 0);
    ck_assert_uint_eq(size, (size_t)width * height * 3);
    decoded = malloc(size);
    ck_assert_ptr_nonnull(decoded);
    ck_assert_int_eq(spng_decode_image(decoder, decoded, size, SPNG_FMT_RGB8, 0), 0);
    check_text(decoder);
    for (uint32_t y = 0; y < height; y++)
        imi_label_row(width, height, y, drawn + (size_t)y * width * 3);
    ck_assert_msg(memcmp(decoded, drawn, size) == 0, "the file holds another picture");
    free(decoded);
    free(drawn);
    spng_ctx_free(decoder);
}

START_TEST(every_size_is_a_png_that_says_what_it_is) { /* _i walks sizes, then styles */
    const char *style = styles[_i / SIZE_COUNT];
    uint32_t width = size_cases[_i % SIZE_COUNT].width, height = size_cases[_i % SIZE_COUNT].height;
    char model[32];
    artist_t artist;
    const imagine_result_t *result;
    const void *data;
    const char *mime;
    size_t data_size;
    snprintf(model, sizeof(model), "sample/%s", style);
    ck_assert(artist_open(&artist, NULL));
    ck_assert(artist_begin(&artist, model, width, height));
    artist_finish(&artist);
    result = imagine_request_result(artist.request);
    ck_assert_msg(result->status == 0, "%s: %s", size_cases[_i % SIZE_COUNT].name, result->message);
    ck_assert_uint_eq(result->width, width);
    ck_assert_uint_eq(result->height, height);
    ck_assert_int_eq(result->seed, 11);
    ck_assert_int_eq(imagine_result_bytes(result, &data, &data_size, &mime), 0);
    ck_assert_str_eq(mime, "image/png");
    check_png(data, data_size, style, width, height);
    ck_assert_msg(artist.step_count >= (size_t)width * height / SLICE_PIXELS_MAX,
                  "%zu steps are too few: one of them blocks the loop", artist.step_count);
    artist_close(&artist);
}
END_TEST

START_TEST(a_default_picture_is_a_small_file) { /* _i walks styles */
    char model[32];
    artist_t artist;
    const void *data;
    size_t data_size;
    snprintf(model, sizeof(model), "sample/%s", styles[_i]);
    ck_assert(artist_open(&artist, NULL));
    ck_assert(artist_begin(&artist, model, 1024, 1024));
    artist_finish(&artist);
    ck_assert_int_eq(
        imagine_result_bytes(imagine_request_result(artist.request), &data, &data_size, NULL), 0);
    ck_assert_uint_lt(data_size, DEFAULT_SIZE_MAX);
    artist_close(&artist);
}
END_TEST

START_TEST(a_picture_that_nobody_waits_for_leaves_nothing) { /* the leak checker watches */
    artist_t artist;
    ck_assert(artist_open(&artist, NULL));
    ck_assert(artist_begin(&artist, "sample/nebula", 1024, 1024));
    for (int i = 0; i < 10; i++)
        ck_assert(script_io_step(artist.script));
    ck_assert_int_eq(artist.done_count, 0);
    imagine_cancel(artist.request);
    artist_finish(&artist);
    ck_assert_int_eq(artist.status, IMAGINE_ECANCELED);
    artist_close(&artist);
}
END_TEST

START_TEST(it_ends_once_whichever_allocation_fails) {
    for (size_t n = 1; n < 2000; n++) {
        failing_mem_t failing;
        imagine_allocator_t allocator = {failing_mem_resize, &failing};
        artist_t artist;
        failing_mem_init(&failing, n);
        if (artist_open(&artist, &allocator)) {
            if (artist_begin(&artist, "sample/terrain", 200, 120))
                artist_finish(&artist);
            artist_close(&artist);
        }
        ck_assert_msg(failing.live_count == 0, "request %zu for memory failed: %zu blocks left", n,
                      failing.live_count);
        if (!failing.has_failed)
            return;
    }
    ck_abort_msg("more allocations than expected");
}
END_TEST

static Suite *sample_suite(void) {
    Suite *suite = suite_create("sample");
    TCase *tcase = tcase_create("art");
    tcase_add_loop_test(tcase, a_picture_is_the_same_on_every_machine, 0,
                        (int)(sizeof(known_pictures) / sizeof(known_pictures[0])));
    tcase_add_test(tcase, prompt_seed_and_style_all_matter);
    tcase_add_test(tcase, an_unknown_style_is_drawn_as_waves);
    tcase_add_test(tcase, words_of_the_prompt_choose_the_colours);
    tcase_add_loop_test(tcase, the_label_takes_the_lowest_rows_and_no_other, 0,
                        (int)(sizeof(label_cases) / sizeof(label_cases[0])));
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("provider");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, every_size_is_a_png_that_says_what_it_is, 0,
                        SIZE_COUNT * STYLE_COUNT);
    tcase_add_loop_test(tcase, a_default_picture_is_a_small_file, 0, STYLE_COUNT);
    tcase_add_test(tcase, a_picture_that_nobody_waits_for_leaves_nothing);
    tcase_add_test(tcase, it_ends_once_whichever_allocation_fails);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(sample_suite)
