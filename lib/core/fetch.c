/* fetch.c: addresses that are not the provider's: pictures that callers name, and results that they
 * want as bytes. Every one of them passes the address guard, at every hop.
 *
 *   picture: bytes | data: address | http(s) address -> fetched -> checked by its first bytes
 *
 * A picture that cannot be used is the caller's fault: no provider is asked. */
#include "core/fetch.h"

#include <inttypes.h>
#include <string.h>

#include "wire/dataurl.h"
#include "wire/str.h"
#include "wire/url.h"

static void next_picture(imagine_request_t *request);

static void fail_picture(imagine_request_t *request, int error, const char *reason) {
    const char *message = imi_arena_printf(&request->arena, "%s: %s", request->image_field, reason);
    imi_request_fail(request, error, message != NULL ? message : reason);
}

/* Bytes that say of themselves that they are a picture; false: the request has failed. */
static bool accept_picture(imagine_request_t *request, imagine_image_t *image) {
    const char *mime = imi_sniff_mime(image->data, image->data_size);
    if (image->data_size > IMI_IMAGE_SIZE_MAX) {
        fail_picture(request, IMAGINE_ETOOLARGE, "the picture is larger than 50 MiB");
        return false;
    }
    if (mime == NULL || !imi_mime_is_picture(mime)) {
        fail_picture(request, IMAGINE_EPICTURE, "not a PNG, JPEG, WebP, GIF or AVIF picture");
        return false;
    }
    image->mime = mime;
    if (image->filename == NULL) {
        image->filename = imi_arena_printf(&request->arena, "picture.%s",
                                           strcmp(mime, "image/jpeg") == 0 ? "jpg" : mime + 6);
        if (image->filename == NULL) {
            imi_request_fail(request, IMAGINE_ENOMEM, NULL);
            return false;
        }
    }
    return true;
}

static bool decode_picture(imagine_request_t *request, imagine_image_t *image) {
    imi_dataurl_t parts;
    bool is_nomem = false;
    if (!imi_dataurl_parse(imi_slice_of(image->url), &parts)) {
        fail_picture(request, IMAGINE_EPICTURE, "a broken data: address");
        return false;
    }
    image->data = imi_dataurl_decode(&request->pictures, &parts, &image->data_size, &is_nomem);
    if (image->data == NULL) {
        if (is_nomem)
            imi_request_fail(request, IMAGINE_ENOMEM, NULL);
        else
            fail_picture(request, IMAGINE_EPICTURE, "a broken data: address");
        return false;
    }
    image->url = NULL;
    return accept_picture(request, image);
}

static const char *fetch_failure(imagine_request_t *request, const imi_exchange_t *exchange,
                                 int *out_error) {
    *out_error = IMAGINE_EPICTURE;
    if (exchange->error == IMAGINE_EADDRESS) {
        *out_error = IMAGINE_EADDRESS;
        return "the address leads to a host that is not public";
    }
    if (exchange->error == IMAGINE_ENOMEM)
        *out_error = IMAGINE_ENOMEM;
    if (exchange->error == IMAGINE_ETOOLARGE)
        return "it is larger than allowed";
    if (exchange->error != 0)
        return exchange->message != NULL ? exchange->message : imagine_strerror(exchange->error);
    return imi_arena_printf(&request->arena, "the address answered %" PRId32, exchange->status);
}

static void on_picture_fetched(imi_exchange_t *exchange) {
    imagine_request_t *request = exchange->user;
    imagine_image_t *image = &request->images[request->next_image];
    void *data;
    int error;
    request->is_fetching = false;
    if (exchange->error != 0 || exchange->status != 200) {
        const char *reason = fetch_failure(request, exchange, &error);
        fail_picture(request, error, reason != NULL ? reason : "it could not be fetched");
        return;
    }
    data = imi_arena_alloc(&request->pictures, exchange->answer.size + 1);
    if (data == NULL) {
        imi_request_fail(request, IMAGINE_ENOMEM, NULL);
        return;
    }
    if (exchange->answer.size > 0)
        memcpy(data, exchange->answer.data, exchange->answer.size);
    image->data = data;
    image->data_size = exchange->answer.size;
    imi_exchange_reset(exchange);
    if (!accept_picture(request, image))
        return;
    request->next_image++;
    next_picture(request);
}

int imi_fetch_address(imagine_request_t *request, const char *url, uint64_t size_max,
                      imi_exchange_cb on_done) {
    imi_exchange_t *exchange = &request->fetch;
    imi_url_t parts;
    int err;
    if (!imi_url_parse(imi_slice_of(url), &parts) || parts.has_userinfo)
        return IMAGINE_EADDRESS;
    exchange->method = "GET";
    exchange->url = url;
    exchange->headers = NULL;
    exchange->header_count = 0;
    exchange->timeout_ms = request->im->limits.download_ms;
    exchange->response_size_max = size_max;
    exchange->is_guarded = true;
    exchange->on_done = on_done;
    err = imi_exchange_start(exchange);
    request->is_fetching = err == 0;
    return err;
}

static void next_picture(imagine_request_t *request) {
    int err;
    for (; request->next_image < request->params.image_count; request->next_image++) {
        imagine_image_t *image = &request->images[request->next_image];
        bool is_good;
        if (image->url == NULL) {
            is_good = accept_picture(request, image);
        } else if (imi_is_dataurl(image->url)) {
            is_good = decode_picture(request, image);
        } else {
            err = imi_fetch_address(request, image->url, IMI_IMAGE_SIZE_MAX, on_picture_fetched);
            if (err != 0)
                fail_picture(request, err,
                             err == IMAGINE_EADDRESS ? "not an http, https or data: address"
                                                     : imagine_strerror(err));
            return;
        }
        if (!is_good)
            return;
    }
    request->on_pictures(request);
}

void imi_fetch_pictures(imagine_request_t *request, void (*on_pictures)(imagine_request_t *)) {
    request->on_pictures = on_pictures;
    next_picture(request);
}

/* ---- the result ------------------------------------------------------------------------------ */

static void on_result_fetched(imi_exchange_t *exchange) {
    imagine_request_t *request = exchange->user;
    const char *mime;
    int error;
    request->is_fetching = false;
    if (exchange->error != 0 || exchange->status != 200) {
        const char *reason = fetch_failure(request, exchange, &error);
        const char *message = imi_arena_printf(&request->arena, "the result at its address: %s",
                                               reason != NULL ? reason : "");
        request->result.http_status = 502;
        imi_request_fail(request, exchange->error != 0 ? exchange->error : IMAGINE_EUPSTREAM,
                         message);
        return;
    }
    request->bytes_size = exchange->answer.size;
    request->bytes = imi_buf_take(&exchange->answer, NULL);
    request->bytes_view = request->bytes;
    mime = imi_sniff_mime(request->bytes, request->bytes_size);
    request->bytes_mime = mime != NULL ? mime : "application/octet-stream";
    imi_request_succeed(request);
}

void imi_fetch_result(imagine_request_t *request) {
    int err =
        imi_fetch_address(request, request->result.url, IMI_VIDEO_SIZE_MAX, on_result_fetched);
    if (err != 0)
        imi_request_fail(request, err, "the result's address cannot be fetched");
}
