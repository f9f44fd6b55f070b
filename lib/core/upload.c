/* upload.c: see upload.h.
 *
 *   bytes at hand, or in a file --------------------\
 *   address -> download -> first bytes: what is it? ---> PUT to the bucket, or a file -> address
 *                  \-> (spool: all of it) -----------/
 *
 * A download goes through a window: it is paused while the window is full, and the bucket waits
 * while it is empty. It has to be spooled where S3 wants to know something about all of it first:
 * its size, when the answer does not tell it, and its hash, when no TLS guards the body. */
#include "core/upload.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/media.h"
#include "wire/base64.h"
#include "wire/dataurl.h"
#include "wire/url.h"
#include "wire/xml.h"

#define SNIFF_SIZE 64         /* as many bytes as any picture or video needs to be known by */
#define PIECE_SIZE 65536      /* of what is written to a file */
#define ANSWER_SIZE_MAX 65536 /* of a bucket */
#define CONNECT_TIMEOUT_MS 5000
#define WINDOW_SLACK (4u * 1024 * 1024) /* what may still come after a pause */
#define SWEEP_INTERVAL_MS (10 * 60 * 1000)

static int start(imi_upload_t *upload);
static void on_piece(imi_exchange_t *download, const void *data, size_t size);
static int know_kind(imi_upload_t *upload);
static void on_downloaded(imi_exchange_t *download);
static int start_sink(imi_upload_t *upload);
static void on_put_ended(const imagine_http_end_t *end, void *user);
static void on_written(int64_t result, const void *data, void *user);
static void on_finished(int64_t result, const void *data, void *user);

/* ---- life -------------------------------------------------------------------------------------
 */

static imi_upload_t *upload_new(imagine_t *im, imi_hosting_cb on_done, void *user) {
    imi_upload_t *upload = imi_mem_zalloc(&im->mem, sizeof(*upload));
    if (upload == NULL)
        return NULL;
    upload->im = im;
    upload->on_done = on_done;
    upload->user = user;
    imi_arena_init(&upload->arena, &im->mem, 512);
    imi_buf_init(&upload->window, &im->mem, IMI_UPLOAD_WINDOW_SIZE + WINDOW_SLACK);
    imi_buf_init(&upload->put_answer, &im->mem, ANSWER_SIZE_MAX);
    imi_list_append(&im->hosting->uploads, &upload->link);
    return upload;
}

/* Stops what is under way; a next try may follow. */
static void stop(imi_upload_t *upload) {
    const imagine_io_t *io = upload->im->io;
    const imi_hosting_t *hosting = upload->im->hosting;
    if (upload->put != NULL)
        io->http_cancel(io->context, upload->put);
    upload->put = NULL;
    if (upload->file != NULL)
        hosting->folder->close(hosting->folder->self, upload->file);
    upload->file = NULL;
    if (upload->spool != NULL)
        imi_spool_leave(upload->spool);
    imi_exchange_reset(&upload->download);
    upload->is_downloading = upload->is_paused = upload->is_writing = upload->is_reading = false;
    imi_buf_clear(&upload->put_answer);
    imi_buf_clear(&upload->window);
    upload->window_at = upload->at = upload->carry_at = upload->carry_size = 0;
    upload->received_size = upload->spool_at = 0;
    upload->put_status = 0;
}

void imi_hosting_cancel(imi_upload_t *upload) {
    imagine_t *im = upload->im;
    stop(upload);
    imi_list_remove(&upload->link);
    imi_buf_reset(&upload->put_answer);
    imi_buf_reset(&upload->window);
    imi_mem_free(&im->mem, upload->decoded);
    imi_mem_free(&im->mem, upload->piece);
    imi_arena_reset(&upload->arena);
    imi_mem_free(&im->mem, upload);
}

/* The end. `text` may lie in the upload's arena. */
static void end(imi_upload_t *upload, int error, const char *text) {
    stop(upload);
    upload->spool = NULL; /* whoever is told may read it */
    upload->on_done(error, text != NULL ? text : imagine_strerror(error), upload->user);
    imi_hosting_cancel(upload);
}

/* False: no memory, or no random bytes. */
static bool set_name(imi_upload_t *upload) {
    const imagine_io_t *io = upload->im->io;
    char name[IMI_MEDIA_NAME_SIZE];
    bool is_named = upload->im->hosting->has_s3 ? imi_media_object_name(io, upload->mime, name)
                                                : imi_media_file_name(io, upload->mime, name);
    upload->name = is_named ? imi_arena_strdup(&upload->arena, name) : NULL;
    return upload->name != NULL;
}

/* ---- bytes at hand ----------------------------------------------------------------------------
 */

/* Base64 that holds nothing but letters and its padding can be read anywhere, group by group. */
static bool is_plain_base64(imi_slice_t text, uint64_t *out_size) {
    size_t size = text.size, rest;
    while (size > 0 && text.size - size < 2 && text.data[size - 1] == '=')
        size--;
    rest = size % 4;
    *out_size = (uint64_t)(size / 4 * 3 + (rest == 0 ? 0 : rest - 1));
    return size > 0 && rest != 1 && memchr(text.data, '\n', size) == NULL &&
           memchr(text.data, '\r', size) == NULL && memchr(text.data, '=', size) == NULL;
}

static int decode_all(imi_upload_t *upload) {
    const imi_mem_t *mem = &upload->im->mem;
    size_t size = 0;
    void *data = imi_mem_alloc(mem, imi_base64_decoded_size_max(upload->bytes.size));
    if (data == NULL)
        return IMAGINE_ENOMEM;
    if (!imi_base64_decode(data, &size, upload->bytes)) {
        imi_mem_free(mem, data);
        return IMAGINE_EPROTOCOL;
    }
    upload->decoded = data;
    upload->bytes = (imi_slice_t){data, size};
    upload->is_base64 = false;
    return 0;
}

static int look_at_bytes(imi_upload_t *upload) {
    const imi_hosting_t *hosting = upload->im->hosting;
    char first[SNIFF_SIZE / 4 * 3 + 3];
    imi_slice_t head = upload->bytes;
    size_t size = 0;
    if (upload->is_base64 && (!is_plain_base64(upload->bytes, &upload->size) ||
                              (hosting->has_s3 && !hosting->s3.is_https))) {
        int err = decode_all(upload);
        if (err != 0)
            return err;
        head = upload->bytes;
    }
    if (upload->is_base64) {
        head.size = head.size < SNIFF_SIZE ? head.size : SNIFF_SIZE;
        if (!imi_base64_decode(first, &size, head))
            return IMAGINE_EPROTOCOL;
        head = (imi_slice_t){first, size};
    } else {
        upload->size = upload->bytes.size;
    }
    upload->has_size = true;
    upload->mime = imi_sniff_mime(head.data, head.size);
    return upload->mime != NULL ? 0 : IMAGINE_EPROTOCOL;
}

int imi_hosting_put(imagine_t *im, imi_slice_t bytes, bool is_base64, imi_hosting_cb on_done,
                    void *user, imi_upload_t **out) {
    imi_upload_t *upload = upload_new(im, on_done, user);
    int err;
    if (upload == NULL)
        return IMAGINE_ENOMEM;
    upload->bytes = bytes;
    upload->is_base64 = is_base64;
    err = look_at_bytes(upload);
    if (err == 0)
        err = start(upload);
    if (err != 0) {
        imi_hosting_cancel(upload);
        return err;
    }
    *out = upload;
    return 0;
}

/* Letters as bytes, whole groups at a time; one that there is no room for is carried over. */
static int64_t take_base64(imi_upload_t *upload, unsigned char *out, size_t capacity) {
    size_t done = 0;
    for (;;) {
        size_t left = upload->bytes.size - upload->at, room, size = 0;
        while (done < capacity && upload->carry_at < upload->carry_size)
            out[done++] = upload->carry[upload->carry_at++];
        room = (capacity - done) / 3 * 4;
        if (done == capacity || left == 0)
            return (int64_t)done;
        imi_slice_t letters = {upload->bytes.data + upload->at, room > 0 ? room : 4};
        if (letters.size > left)
            letters.size = left;
        if (!imi_base64_decode(room > 0 ? out + done : upload->carry, &size, letters))
            return IMAGINE_EPROTOCOL;
        upload->at += letters.size;
        if (room > 0) {
            done += size;
        } else {
            upload->carry_at = 0;
            upload->carry_size = size;
        }
    }
}

static int64_t take_bytes(imi_upload_t *upload, void *out, size_t capacity) {
    size_t left = upload->bytes.size - upload->at;
    size_t size = left < capacity ? left : capacity;
    if (size > 0)
        memcpy(out, upload->bytes.data + upload->at, size);
    upload->at += size;
    return (int64_t)size;
}

/* ---- what is in a file -------------------------------------------------------------------------
 */

static void feed(imi_upload_t *upload);

/* It is all there. In memory, if the file failed. */
static int start_spooled(imi_upload_t *upload) {
    imi_spool_t *spool = upload->spool;
    int err = spool->error;
    if (err == 0 && spool->file == NULL) {
        upload->bytes = (imi_slice_t){spool->memory.data, spool->memory.size};
        upload->spool = NULL;
        err = look_at_bytes(upload);
    }
    upload->size = spool->size;
    upload->has_size = true;
    return err == 0 ? start(upload) : err;
}

static void on_spool_changed(imi_spool_t *spool, void *user) {
    imi_upload_t *upload = user;
    int err;
    if (!imi_spool_is_settled(spool))
        return;
    imi_spool_leave(spool);
    err = start_spooled(upload);
    if (err != 0)
        end(upload, err, NULL);
}

int imi_hosting_put_spool(imagine_t *im, imi_spool_t *spool, imi_hosting_cb on_done, void *user,
                          imi_upload_t **out) {
    imi_upload_t *upload = upload_new(im, on_done, user);
    int err = 0;
    if (upload == NULL)
        return IMAGINE_ENOMEM;
    upload->spool = spool;
    upload->mime = spool->mime;
    if (imi_spool_is_settled(spool))
        err = start_spooled(upload);
    else
        imi_spool_watch(spool, on_spool_changed, upload);
    if (err != 0) {
        imi_hosting_cancel(upload);
        return err;
    }
    *out = upload;
    return 0;
}

static void on_piece_read(int64_t result, const void *data, void *user) {
    imi_upload_t *upload = user;
    upload->is_reading = false;
    if (result <= 0) {
        end(upload, result < 0 ? (int)result : IMAGINE_EIO, "a picture's file cannot be read");
        return;
    }
    if (imi_buf_append(&upload->window, data, (size_t)result) != 0) {
        end(upload, IMAGINE_ENOMEM, NULL);
        return;
    }
    upload->spool_at += (uint64_t)result;
    feed(upload);
}

/* ---- what lies at an address ------------------------------------------------------------------
 */

int imi_hosting_copy(imagine_t *im, const char *url, imi_hosting_cb on_done, void *user,
                     imi_upload_t **out) {
    imi_upload_t *upload = upload_new(im, on_done, user);
    imi_url_t parts;
    int err = IMAGINE_EADDRESS;
    if (upload == NULL)
        return IMAGINE_ENOMEM;
    if (imi_url_parse(imi_slice_of(url), &parts) && !parts.has_userinfo) {
        upload->url = imi_arena_strdup(&upload->arena, url);
        err = upload->url != NULL ? start(upload) : IMAGINE_ENOMEM;
    }
    if (err != 0) {
        imi_hosting_cancel(upload);
        return err;
    }
    *out = upload;
    return 0;
}

static int start_download(imi_upload_t *upload) {
    imi_exchange_t *download = &upload->download;
    int err;
    *download = (imi_exchange_t){.im = upload->im, .arena = &upload->arena, .user = upload};
    download->method = "GET";
    download->url = upload->url;
    download->timeout_ms = upload->im->limits.download_ms;
    download->response_size_max = IMI_VIDEO_SIZE_MAX;
    download->is_guarded = true;
    download->on_piece = on_piece;
    download->on_done = on_downloaded;
    err = imi_exchange_start(download);
    upload->is_downloading = err == 0;
    return err;
}

static size_t waiting_size(const imi_upload_t *upload) {
    return upload->window.size - upload->window_at;
}

/* The bucket waits for more, or the file does. */
static void feed(imi_upload_t *upload) {
    const imagine_io_t *io = upload->im->io;
    if (upload->put != NULL)
        io->http_pause(io->context, upload->put, 0);
    else if (upload->file != NULL && !upload->is_writing)
        on_written(0, NULL, upload);
}

static void on_piece(imi_exchange_t *download, const void *data, size_t size) {
    imi_upload_t *upload = download->user;
    int err = imi_buf_append(&upload->window, data, size);
    upload->received_size += size;
    if (err != 0) {
        end(upload, err == IMI_BUF_TOO_LARGE ? IMAGINE_ETOOLARGE : IMAGINE_ENOMEM, NULL);
        return;
    }
    if (upload->mime == NULL && upload->window.size >= SNIFF_SIZE) {
        err = know_kind(upload);
        if (err != 0) {
            end(upload, err, err == IMAGINE_EPROTOCOL ? "neither a picture nor a video" : NULL);
            return;
        }
    }
    if (upload->mime != NULL && imi_mime_is_picture(upload->mime) &&
        upload->received_size > IMI_IMAGE_SIZE_MAX) {
        end(upload, IMAGINE_ETOOLARGE, "the picture is larger than 50 MiB");
        return;
    }
    if (!upload->is_spooling && waiting_size(upload) >= IMI_UPLOAD_WINDOW_SIZE &&
        !upload->is_paused) {
        upload->is_paused = true;
        imi_exchange_pause(download, true);
    }
    feed(upload);
}

/* The first bytes have come, or all of them: what is it, and how does it go on? */
static int know_kind(imi_upload_t *upload) {
    const imi_hosting_t *hosting = upload->im->hosting;
    const char *length = imi_exchange_header(&upload->download, "content-length");
    int64_t size = 0;
    upload->mime = imi_sniff_mime(upload->window.data, upload->window.size);
    if (upload->mime == NULL)
        return IMAGINE_EPROTOCOL;
    upload->has_size = length != NULL && imi_parse_int64(imi_slice_of(length), &size) && size > 0;
    upload->size = (uint64_t)size;
    if (upload->has_size && upload->size > (imi_mime_is_picture(upload->mime) ? IMI_IMAGE_SIZE_MAX
                                                                              : IMI_VIDEO_SIZE_MAX))
        return IMAGINE_ETOOLARGE;
    upload->is_spooling = hosting->has_s3 && (!upload->has_size || !hosting->s3.is_https);
    upload->window.size_max =
        upload->is_spooling ? IMI_UPLOAD_SPOOL_SIZE_MAX : IMI_UPLOAD_WINDOW_SIZE + WINDOW_SLACK;
    return upload->is_spooling ? 0 : start_sink(upload);
}

static void on_downloaded(imi_exchange_t *download) {
    imi_upload_t *upload = download->user;
    int err = download->error;
    upload->is_downloading = false;
    if (err == 0 && download->status != 200) {
        end(upload, IMAGINE_EUPSTREAM,
            imi_arena_printf(&upload->arena, "the result's address answered %" PRId32,
                             download->status));
        return;
    }
    if (err != 0) {
        end(upload, err, download->message);
        return;
    }
    if (upload->mime == NULL)
        err = know_kind(upload);
    if (err == 0 && upload->is_spooling) {
        upload->bytes = (imi_slice_t){upload->window.data, upload->window.size};
        upload->size = upload->window.size;
        upload->has_size = true;
        err = start_sink(upload);
    }
    if (err != 0)
        end(upload, err, err == IMAGINE_EPROTOCOL ? "neither a picture nor a video" : NULL);
    else
        feed(upload);
}

static int64_t take_window(imi_upload_t *upload, void *out, size_t capacity) {
    size_t size = waiting_size(upload);
    size = size < capacity ? size : capacity;
    if (size > 0)
        memcpy(out, upload->window.data + upload->window_at, size);
    upload->window_at += size;
    if (upload->window_at == upload->window.size) {
        imi_buf_clear(&upload->window);
        upload->window_at = 0;
    } else if (upload->window_at >= IMI_UPLOAD_WINDOW_SIZE / 2) {
        imi_buf_consume(&upload->window, upload->window_at);
        upload->window_at = 0;
    }
    if (upload->is_paused && waiting_size(upload) < IMI_UPLOAD_WINDOW_SIZE / 2) {
        upload->is_paused = false;
        imi_exchange_pause(&upload->download, false);
    }
    return (int64_t)size;
}

static int64_t take_spooled(imi_upload_t *upload, void *out, size_t capacity) {
    int64_t size = take_window(upload, out, capacity);
    int err = 0;
    if (waiting_size(upload) == 0 && !upload->is_reading && upload->spool_at < upload->size) {
        err = imi_spool_read(upload->spool, upload->spool_at, on_piece_read, upload);
        upload->is_reading = err == 0;
    }
    return err != 0 ? err : size;
}

/* ---- where it goes ----------------------------------------------------------------------------
 */

/* More of it, wherever it is; 0: nothing now, or nothing more. */
static int64_t take(imi_upload_t *upload, void *out, size_t capacity) {
    if (upload->spool != NULL)
        return take_spooled(upload, out, capacity);
    if (upload->url != NULL && !upload->is_spooling)
        return take_window(upload, out, capacity);
    return upload->is_base64 ? take_base64(upload, out, capacity)
                             : take_bytes(upload, out, capacity);
}

static int64_t read_body(void *out, size_t capacity, void *user) {
    imi_upload_t *upload = user;
    int64_t size = take(upload, out, capacity);
    return size == 0 && !upload->is_downloading && !upload->is_reading ? IMAGINE_EPROTOCOL : size;
}

static void on_put_head(const imagine_http_head_t *head, void *user) {
    ((imi_upload_t *)user)->put_status = head->status;
}

static void on_put_body(const void *data, size_t data_size, void *user) {
    imi_upload_t *upload = user;
    (void)imi_buf_append(&upload->put_answer, data, data_size); /* only for its error code */
}

static const imagine_http_handler_t put_handler = {.size = sizeof(put_handler),
                                                   .on_head = on_put_head,
                                                   .on_body = on_put_body,
                                                   .on_end = on_put_ended};

static void hash_spooled(const imi_spool_t *spool, char out[IMI_SIGV4_HASH_SIZE]) {
    uint8_t digest[IMI_SHA256_SIZE];
    imi_sha256_end(&spool->hash, digest);
    imi_hex(out, digest, sizeof(digest));
}

static int start_put(imi_upload_t *upload) {
    imagine_t *im = upload->im;
    const imi_s3_t *s3 = &im->hosting->s3;
    imagine_http_request_t put = {.size = sizeof(put)};
    imi_s3_request_t request = {.method = "PUT", .key = upload->name};
    char hash[IMI_SIGV4_HASH_SIZE];
    request.content_type = upload->mime;
    request.payload_hash = IMI_SIGV4_UNSIGNED;
    if (!s3->is_https) {
        if (upload->spool != NULL)
            hash_spooled(upload->spool, hash);
        else
            imi_sigv4_hash(hash, upload->bytes.data, upload->bytes.size);
        request.payload_hash = imi_arena_strdup(&upload->arena, hash);
    }
    if (request.payload_hash == NULL ||
        !imi_s3_sign(s3, &upload->arena, im->io->unix_ms(im->io->context), &request, &put))
        return IMAGINE_ENOMEM;
    put.connect_timeout_ms = CONNECT_TIMEOUT_MS;
    put.timeout_ms = im->limits.download_ms;
    put.response_size_max = ANSWER_SIZE_MAX;
    put.body_read = read_body;
    put.body_read_user = upload;
    put.body_size = upload->size;
    return im->io->http_start(im->io->context, &put, &put_handler, upload, &upload->put);
}

static int start_file(imi_upload_t *upload) {
    imagine_folder_t *folder = upload->im->hosting->folder;
    int err;
    if (upload->piece == NULL)
        upload->piece = imi_mem_alloc(&upload->im->mem, PIECE_SIZE);
    if (upload->piece == NULL)
        return IMAGINE_ENOMEM;
    err = folder->create(folder->self, upload->name, &upload->file);
    if (err == 0) { /* an empty piece: what there is to write comes behind it */
        upload->is_writing = true;
        err = folder->write(folder->self, upload->file, "", 0, on_written, upload);
    }
    return err;
}

/* The file is where it belongs already. */
static int publish(imi_upload_t *upload) {
    upload->name = upload->spool->name;
    return imi_spool_publish(upload->spool, on_finished, upload);
}

static int start_sink(imi_upload_t *upload) {
    if (upload->spool != NULL && !upload->im->hosting->has_s3)
        return publish(upload);
    if (!set_name(upload))
        return IMAGINE_ENOMEM;
    return upload->im->hosting->has_s3 ? start_put(upload) : start_file(upload);
}

static int start(imi_upload_t *upload) {
    upload->tries++;
    return upload->url != NULL ? start_download(upload) : start_sink(upload);
}

static const char *bucket_message(imi_upload_t *upload) {
    imi_slice_t rest = {upload->put_answer.data, upload->put_answer.size}, code;
    char *text = imi_xml_next(&rest, "Code", &code)
                     ? imi_text_clean(&upload->arena, code.data, code.size, 64)
                     : NULL;
    return imi_arena_printf(&upload->arena, "the bucket answered %" PRId32 "%s%s",
                            upload->put_status, text != NULL ? " " : "", text != NULL ? text : "");
}

static void on_put_ended(const imagine_http_end_t *result, void *user) {
    imi_upload_t *upload = user;
    imagine_t *im = upload->im;
    bool may_repeat = upload->put_status >= 500 ||
                      (result->error == IMAGINE_EPROTOCOL && upload->put_status == 0);
    const char *link = NULL;
    upload->put = NULL;
    if (result->error == 0 && upload->put_status >= 200 && upload->put_status < 300) {
        link = imi_s3_link(&im->hosting->s3, &upload->arena, im->io->unix_ms(im->io->context),
                           upload->name);
        end(upload, link != NULL ? 0 : IMAGINE_ENOMEM, link);
    } else if (may_repeat && upload->tries < IMI_UPLOAD_TRIES_MAX) { /* a new key: no harm done */
        int err;
        stop(upload);
        upload->is_spooling = false;
        if (upload->url != NULL)
            upload->mime = NULL;
        err = start(upload);
        if (err != 0)
            end(upload, err, NULL);
    } else if (result->error != 0) {
        end(upload, result->error, imi_arena_strdup(&upload->arena, result->message));
    } else {
        end(upload, IMAGINE_EUPSTREAM, bucket_message(upload));
    }
}

/* The folder has taken a piece: the next one, as far as there is one. */
static void on_written(int64_t result, const void *data, void *user) {
    imi_upload_t *upload = user;
    imagine_folder_t *folder = upload->im->hosting->folder;
    int64_t size = result < 0 ? result : take(upload, upload->piece, PIECE_SIZE);
    int err = 0;
    (void)data;
    upload->is_writing = false;
    if (size == 0 && upload->is_downloading)
        return; /* feed() comes back here */
    upload->is_writing = true;
    if (size < 0)
        err = (int)size;
    else if (size == 0)
        err = folder->finish(folder->self, upload->file, on_finished, upload);
    else
        err = folder->write(folder->self, upload->file, upload->piece, (size_t)size, on_written,
                            upload);
    if (err != 0)
        end(upload, err, err == IMAGINE_EIO ? "the folder of MEDIA_DIR cannot be written" : NULL);
}

static void on_finished(int64_t result, const void *data, void *user) {
    imi_upload_t *upload = user;
    const char *url;
    (void)data;
    if (result < 0) {
        end(upload, (int)result, "the folder of MEDIA_DIR cannot be written");
        return;
    }
    imi_upload_sweep(upload->im);
    url = imi_arena_printf(&upload->arena, "%s" IMI_HOSTING_MEDIA "%s",
                           upload->im->hosting->public_url, upload->name);
    end(upload, url != NULL ? 0 : IMAGINE_ENOMEM, url);
}

void imi_upload_sweep(imagine_t *im) {
    imi_hosting_t *hosting = im->hosting;
    uint64_t now_ms = imi_now_ms(im);
    int64_t end_unix_ms = im->io->unix_ms(im->io->context) - IMAGINE_HOSTING_KEPT_MS;
    if (hosting->folder == NULL ||
        (hosting->swept_at_ms != 0 && now_ms - hosting->swept_at_ms < SWEEP_INTERVAL_MS))
        return;
    /* A failure changes nothing: the next one comes. */
    if (hosting->folder->clean_up(hosting->folder->self, INT64_MIN, end_unix_ms, NULL, NULL) == 0)
        hosting->swept_at_ms = now_ms;
}
