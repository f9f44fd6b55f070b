/* media.c: open -> head -> (read -> piece)* -> end. One piece at a time, and none while the host is
 * paused, so that a video of any size costs one piece of memory. */
#include "gateway/media.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "imagine/hosting.h"
#include "gateway/answer.h"
#include "gateway/exchange.h"

#define PREFIX "/media/"
#define STEM_SIZE 32 /* hex digits: 128 random bits */
#define PIECE_SIZE 65536

struct imi_media {
    imagine_exchange_t *exchange;
    const imi_mem_t *mem;
    const imagine_folder_t *folder;
    imagine_file_t *file;
    uint64_t at, end;
    bool is_paused;
    bool is_reading;
};

static void on_opened(int64_t result, const void *data, void *user);
static void begin(imi_media_t *media, uint64_t size);
static void read_on(imi_media_t *media);
static void on_read(int64_t result, const void *data, void *user);

static const imi_refusal_t not_found = {404, IMAGINE_ENOTFOUND, "Not Found",
                                        "there is nothing at this path, or not any more"};

static const struct {
    const char *extension, *type;
} types[] = {{"png", "image/png"},  {"jpg", "image/jpeg"},  {"webp", "image/webp"},
             {"gif", "image/gif"},  {"avif", "image/avif"}, {"mp4", "video/mp4"},
             {"webm", "video/webm"}};

static const char *type_of(imi_slice_t extension) {
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (imi_slice_equals(extension, types[i].extension))
            return types[i].type;
    return NULL;
}

static imi_slice_t extension_of(imi_slice_t path) {
    size_t front = sizeof(PREFIX) - 1 + STEM_SIZE + 1;
    return (imi_slice_t){path.data + front, path.size - front};
}

bool imi_media_has_path(imi_slice_t path) {
    size_t prefix_size = sizeof(PREFIX) - 1, front = prefix_size + STEM_SIZE + 1;
    if (path.size <= front || memcmp(path.data, PREFIX, prefix_size) != 0 ||
        path.data[front - 1] != '.')
        return false;
    for (size_t i = prefix_size; i < front - 1; i++)
        if (!(path.data[i] >= '0' && path.data[i] <= '9') &&
            !(path.data[i] >= 'a' && path.data[i] <= 'f'))
            return false;
    return type_of(extension_of(path)) != NULL;
}

/* ---- ranges ------------------------------------------------------------------------------------
 */

static bool read_bound(imi_slice_t text, int64_t *out) {
    return text.size > 0 && text.data[0] != '-' && imi_parse_int64(text, out);
}

imi_media_range_t imi_media_read_range(imi_slice_t header) {
    static const char unit[] = "bytes=";
    imi_media_range_t range = {.is_wanted = true, .first = -1, .last = -1};
    size_t unit_size = sizeof(unit) - 1;
    const char *dash;
    if (header.size <= unit_size || memcmp(header.data, unit, unit_size) != 0)
        return (imi_media_range_t){0};
    imi_slice_t spec = {header.data + unit_size, header.size - unit_size};
    dash = memchr(spec.data, '-', spec.size);
    if (dash == NULL)
        return (imi_media_range_t){0};
    imi_slice_t first = {spec.data, (size_t)(dash - spec.data)};
    imi_slice_t last = {dash + 1, spec.size - first.size - 1};
    if ((first.size > 0 && !read_bound(first, &range.first)) ||
        (last.size > 0 && !read_bound(last, &range.last)) || (first.size == 0 && last.size == 0) ||
        (first.size > 0 && last.size > 0 && range.last < range.first))
        return (imi_media_range_t){0};
    return range;
}

/* From `at` to before `end`; false: nothing of it is there. */
static bool find_range(const imi_media_range_t *range, uint64_t size, uint64_t *at, uint64_t *end) {
    *at = 0;
    *end = size;
    if (range->first >= 0) {
        *at = (uint64_t)range->first;
        if (range->last >= 0 && (uint64_t)range->last < size)
            *end = (uint64_t)range->last + 1;
    } else if ((uint64_t)range->last < size) {
        *at = size - (uint64_t)range->last;
    }
    return *at < *end;
}

/* ---- serving -----------------------------------------------------------------------------------
 */

void imi_media_serve(imagine_exchange_t *exchange) {
    const imagine_folder_t *folder = imagine_hosting_folder(exchange->gateway->im);
    const char *name = exchange->target + sizeof(PREFIX) - 1;
    imi_media_t *media;
    int err;
    if (folder == NULL) {
        imi_answer_refuse(exchange, &not_found);
        return;
    }
    media = imi_mem_zalloc(exchange->mem, sizeof(*media));
    if (media == NULL) {
        imi_answer_failed_call(exchange, IMAGINE_ENOMEM);
        return;
    }
    media->exchange = exchange;
    media->mem = exchange->mem;
    media->folder = folder;
    err = folder->open(folder->self, name, IMAGINE_HOSTING_KEPT_MS, on_opened, media, &media->file);
    if (err != 0) {
        imi_mem_free(media->mem, media);
        imi_answer_failed_call(exchange, err);
        return;
    }
    exchange->media = media;
}

void imi_media_stop(imi_media_t *media) {
    if (media == NULL)
        return;
    media->exchange->media = NULL;
    media->folder->close(media->folder->self, media->file);
    imi_mem_free(media->mem, media);
}

void imi_media_pause(imi_media_t *media, bool is_paused) {
    media->is_paused = is_paused;
    if (!is_paused && !media->is_reading && !media->exchange->is_delivering)
        read_on(media); /* else whoever delivers does */
}

static void on_opened(int64_t result, const void *data, void *user) {
    imi_media_t *media = user;
    imagine_exchange_t *exchange = media->exchange;
    (void)data;
    if (result > 0) {
        begin(media, (uint64_t)result);
        return;
    }
    imi_media_stop(media);
    imi_answer_refuse(exchange, &not_found);
}

/* The host may abort or release the exchange in each of its functions: true if it is still there,
 * and the media with it. */
static bool is_there(imagine_exchange_t *exchange) {
    exchange->is_delivering = false;
    if (!exchange->is_released)
        return exchange->media != NULL;
    imi_gateway_exchange_free(exchange);
    return false;
}

static void begin(imi_media_t *media, uint64_t size) {
    imagine_exchange_t *exchange = media->exchange;
    const char *type = type_of(extension_of(imi_exchange_path(exchange)));
    bool is_part = exchange->range.is_wanted && exchange->method == IMI_GET;
    imi_answer_header(exchange, "Accept-Ranges", "bytes");
    imi_answer_header(exchange, "Access-Control-Allow-Origin", "*"); /* the name is the secret */
    media->end = size;
    if (is_part && !find_range(&exchange->range, size, &media->at, &media->end)) {
        imi_media_stop(media);
        (void)snprintf(exchange->range_text, sizeof(exchange->range_text), "bytes */%" PRIu64,
                       size);
        imi_answer_header(exchange, "Content-Range", exchange->range_text);
        imi_answer_error(exchange, 416, IMAGINE_EINVAL, "Range Not Satisfiable",
                         "the file is shorter than that");
        return;
    }
    if (exchange->method == IMI_HEAD) {
        imagine_slice_t untold = {"", (size_t)size};
        imi_media_stop(media);
        imi_answer_send(exchange, 200, type, &untold, 1);
        return;
    }
    if (is_part) {
        (void)snprintf(exchange->range_text, sizeof(exchange->range_text),
                       "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, media->at, media->end - 1, size);
        imi_answer_header(exchange, "Content-Range", exchange->range_text);
    }
    exchange->is_delivering = true;
    imi_answer_begin_file(exchange, is_part ? 206 : 200, type, media->end - media->at);
    if (is_there(exchange))
        read_on(media);
}

static void read_on(imi_media_t *media) {
    uint64_t left = media->end - media->at;
    if (media->is_paused)
        return;
    media->is_reading = true;
    if (media->folder->read(media->folder->self, media->file, media->at,
                            left < PIECE_SIZE ? (size_t)left : PIECE_SIZE, on_read, media) != 0)
        on_read(IMAGINE_ENOMEM, NULL, media);
}

/* A file that cannot be read to its end leaves the answer shorter than told, on which the host cuts
 * the connection. */
static void on_read(int64_t result, const void *data, void *user) {
    imi_media_t *media = user;
    imagine_exchange_t *exchange = media->exchange;
    media->is_reading = false;
    exchange->is_delivering = true;
    if (result > 0) {
        media->at += (uint64_t)result;
        imi_answer_piece(exchange, data, (size_t)result);
    }
    if (!is_there(exchange))
        return;
    if (result > 0 && media->at < media->end) {
        read_on(media);
        return;
    }
    imi_media_stop(media);
    exchange->is_delivering = true;
    imi_answer_end_stream(exchange);
    (void)is_there(exchange);
}
