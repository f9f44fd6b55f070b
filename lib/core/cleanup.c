/* cleanup.c: see cleanup.h. In a bucket:
 *
 *   list a page of at most 1000 below uploads/ -> delete those of the time asked for -> next page
 *
 * What is deleted has been listed before, so that a page that was emptied moves nothing: the
 * token for the next page is the last key's. A failure ends it, with the count so far. */
#include "core/cleanup.h"

#include <inttypes.h>
#include <string.h>

#include "core/exchange.h"
#include "core/log.h"
#include "core/media.h"
#include "wire/base64.h"
#include "wire/md5.h"
#include "wire/time.h"
#include "wire/xml.h"

#define PAGE_SIZE_TEXT "1000" /* S3's maximum, of listing and of deleting */
#define PAGES_MAX 100000      /* a server that never comes to an end has gone mad */
#define PAGE_BYTES_MAX \
    (16u * 1024 * 1024) /* 1000 keys of 1024 bytes, and what stands around them */

typedef struct imi_cleanup {
    imagine_t *im;
    imi_hosting_t *hosting;
    imagine_cleanup_cb done;
    void *user;
    int64_t start_unix_ms, end_unix_ms;
    int64_t deleted_count;
    size_t page_count;
    size_t sent_count; /* keys in the request under way */
    char *next;        /* token of the next page; NULL: there is none */
    imi_arena_t arena; /* of one request */
    imi_exchange_t exchange;
    imi_buf_t body;
    imagine_slice_t body_slice;
} cleanup_t;

static int list_page(cleanup_t *cleanup);
static void on_listed(imi_exchange_t *exchange);
static int delete_page(cleanup_t *cleanup);
static void on_deleted(imi_exchange_t *exchange);

static void end(cleanup_t *cleanup, int error, const char *message) {
    imagine_t *im = cleanup->im;
    int64_t deleted_count = cleanup->deleted_count;
    cleanup->hosting->cleanup = NULL;
    imi_log(im, error == 0 ? IMAGINE_LOG_INFO : IMAGINE_LOG_WARN,
            "hosting.cleaned deleted=%" PRId64 " status=%s", deleted_count,
            imagine_err_name(error));
    cleanup->done(error, deleted_count,
                  error == 0 || message != NULL ? message : imagine_strerror(error), cleanup->user);
    imi_exchange_reset(&cleanup->exchange);
    imi_buf_reset(&cleanup->body);
    imi_arena_reset(&cleanup->arena);
    imi_mem_free(&im->mem, cleanup->next);
    imi_mem_free(&im->mem, cleanup);
}

void imi_cleanup_cancel(imi_hosting_t *hosting) {
    if (hosting->cleanup != NULL)
        end(hosting->cleanup, IMAGINE_ECANCELED, NULL);
}

static void on_folder_cleaned(int64_t result, const void *data, void *user) {
    cleanup_t *cleanup = user;
    (void)data;
    cleanup->deleted_count = result > 0 ? result : 0;
    end(cleanup, result < 0 ? (int)result : 0, NULL);
}

int imagine_hosting_clean_up(imagine_t *im, int64_t start_unix_ms, int64_t end_unix_ms,
                             imagine_cleanup_cb done, void *user) {
    imi_hosting_t *hosting = im->hosting;
    cleanup_t *cleanup;
    int err;
    if (im->is_closing)
        return IMAGINE_ECLOSED;
    if (hosting == NULL)
        return IMAGINE_ENOTSUP;
    if (hosting->cleanup != NULL)
        return IMAGINE_EBUSY;
    cleanup = imi_mem_zalloc(&im->mem, sizeof(*cleanup));
    if (cleanup == NULL)
        return IMAGINE_ENOMEM;
    cleanup->im = im;
    cleanup->hosting = hosting;
    cleanup->done = done;
    cleanup->user = user;
    cleanup->start_unix_ms = start_unix_ms;
    cleanup->end_unix_ms = end_unix_ms;
    imi_arena_init(&cleanup->arena, &im->mem, 0);
    imi_buf_init(&cleanup->body, &im->mem, PAGE_BYTES_MAX);
    if (hosting->has_s3)
        err = list_page(cleanup);
    else
        err = hosting->folder->clean_up(hosting->folder->self, start_unix_ms, end_unix_ms,
                                        on_folder_cleaned, cleanup);
    if (err != 0) {
        imi_arena_reset(&cleanup->arena);
        imi_mem_free(&im->mem, cleanup);
        return err;
    }
    hosting->cleanup = cleanup;
    return 0;
}

static int ask(cleanup_t *cleanup, const imi_s3_request_t *request, imi_exchange_cb on_done) {
    imagine_t *im = cleanup->im;
    imi_exchange_t *exchange = &cleanup->exchange;
    imagine_http_request_t http = {.size = sizeof(http)};
    if (!imi_s3_sign(&cleanup->hosting->s3, &cleanup->arena, im->io->unix_ms(im->io->context),
                     request, &http))
        return IMAGINE_ENOMEM;
    *exchange = (imi_exchange_t){.im = im, .arena = &cleanup->arena, .user = cleanup};
    exchange->method = http.method;
    exchange->url = http.url;
    exchange->headers = http.headers;
    exchange->header_count = exchange->secret_header_count = http.header_count;
    exchange->timeout_ms = im->limits.download_ms;
    exchange->response_size_max = PAGE_BYTES_MAX;
    exchange->on_done = on_done;
    if (cleanup->body.size > 0) {
        cleanup->body_slice = (imagine_slice_t){cleanup->body.data, cleanup->body.size};
        exchange->body = &cleanup->body_slice;
        exchange->body_count = 1;
    }
    return imi_exchange_start(exchange);
}

/* What the bucket answered, if it is what was asked for; else the clean-up has ended. */
static bool is_answered(cleanup_t *cleanup) {
    imi_exchange_t *exchange = &cleanup->exchange;
    imi_slice_t rest = {exchange->answer.data, exchange->answer.size}, code;
    const char *message = exchange->message;
    if (exchange->error == 0 && exchange->status == 200)
        return true;
    if (exchange->error == 0) {
        char *text = imi_xml_next(&rest, "Code", &code)
                         ? imi_text_clean(&cleanup->arena, code.data, code.size, 64)
                         : NULL;
        message =
            imi_arena_printf(&cleanup->arena, "the bucket answered %" PRId32 "%s%s",
                             exchange->status, text != NULL ? " " : "", text != NULL ? text : "");
    }
    end(cleanup, exchange->error != 0 ? exchange->error : IMAGINE_EUPSTREAM, message);
    return false;
}

static int list_page(cleanup_t *cleanup) {
    imi_sigv4_pair_t query[4] = {
        {"list-type", "2"}, {"max-keys", PAGE_SIZE_TEXT}, {"prefix", IMI_MEDIA_PREFIX}};
    imi_s3_request_t request = {.method = "GET", .query = query, .query_count = 3};
    char hash[IMI_SIGV4_HASH_SIZE];
    imi_sigv4_hash(hash, NULL, 0);
    request.payload_hash = imi_arena_strdup(&cleanup->arena, hash);
    if (cleanup->next != NULL)
        query[request.query_count++] = (imi_sigv4_pair_t){"continuation-token", cleanup->next};
    imi_buf_clear(&cleanup->body);
    return request.payload_hash == NULL ? IMAGINE_ENOMEM : ask(cleanup, &request, on_listed);
}

static bool is_meant(const cleanup_t *cleanup, imi_slice_t modified, const char *key) {
    int64_t unix_ms;
    return imi_time_parse(modified, &unix_ms) && unix_ms >= cleanup->start_unix_ms &&
           unix_ms <= cleanup->end_unix_ms && imi_text_starts_with(key, IMI_MEDIA_PREFIX);
}

/* Writes the keys that are meant into the body. 0, IMAGINE_EPROTOCOL, IMAGINE_ENOMEM. */
static int read_page(cleanup_t *cleanup) {
    imi_buf_t *body = &cleanup->body;
    imi_slice_t rest = {cleanup->exchange.answer.data, cleanup->exchange.answer.size};
    imi_slice_t all = rest, contents, inside, value;
    cleanup->sent_count = 0;
    imi_mem_free(&cleanup->im->mem, cleanup->next);
    cleanup->next = NULL;
    imi_buf_append_text(body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Delete "
                              "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true"
                              "</Quiet>");
    while (imi_xml_next(&rest, "Contents", &contents)) {
        const char *key = NULL;
        inside = contents;
        if (imi_xml_next(&inside, "Key", &value))
            key = imi_xml_text(&cleanup->arena, value);
        inside = contents;
        if (key == NULL || !imi_xml_next(&inside, "LastModified", &value))
            return IMAGINE_EPROTOCOL;
        if (!is_meant(cleanup, value, key))
            continue;
        imi_buf_append_text(body, "<Object><Key>");
        imi_xml_escape(body, key);
        imi_buf_append_text(body, "</Key></Object>");
        cleanup->sent_count++;
    }
    imi_buf_append_text(body, "</Delete>\n");
    inside = all;
    if (imi_xml_next(&inside, "IsTruncated", &value) && imi_slice_equals(value, "true")) {
        inside = all;
        const char *next = imi_xml_next(&inside, "NextContinuationToken", &value)
                               ? imi_xml_text(&cleanup->arena, value)
                               : NULL;
        if (next == NULL)
            return IMAGINE_EPROTOCOL;
        cleanup->next = imi_mem_strdup(&cleanup->im->mem, next);
        if (cleanup->next == NULL)
            return IMAGINE_ENOMEM;
    }
    return body->error != 0 ? IMAGINE_ENOMEM : 0;
}

static void next_page(cleanup_t *cleanup) {
    int err = 0;
    if (cleanup->next == NULL) {
        end(cleanup, 0, NULL);
        return;
    }
    imi_exchange_reset(&cleanup->exchange);
    imi_arena_reset(&cleanup->arena);
    if (++cleanup->page_count >= PAGES_MAX)
        err = IMAGINE_EPROTOCOL;
    if (err == 0)
        err = list_page(cleanup);
    if (err != 0)
        end(cleanup, err, NULL);
}

static void on_listed(imi_exchange_t *exchange) {
    cleanup_t *cleanup = exchange->user;
    int err;
    if (!is_answered(cleanup))
        return;
    err = read_page(cleanup);
    if (err == 0 && cleanup->sent_count == 0) {
        next_page(cleanup);
        return;
    }
    imi_exchange_reset(exchange);
    if (err == 0)
        err = delete_page(cleanup);
    if (err != 0)
        end(cleanup, err, err == IMAGINE_EPROTOCOL ? "the bucket's list is not readable" : NULL);
}

static int delete_page(cleanup_t *cleanup) {
    const imi_sigv4_pair_t query = {"delete", ""};
    imi_s3_request_t request = {
        .method = "POST", .query = &query, .query_count = 1, .content_type = "application/xml"};
    char hash[IMI_SIGV4_HASH_SIZE];
    uint8_t digest[IMI_MD5_SIZE];
    imi_buf_t md5;
    int err = IMAGINE_ENOMEM;
    imi_sigv4_hash(hash, cleanup->body.data, cleanup->body.size);
    imi_md5(digest, cleanup->body.data, cleanup->body.size);
    imi_buf_init(&md5, &cleanup->im->mem, 0);
    imi_base64_encode(&md5, digest, sizeof(digest));
    if (md5.error == 0) {
        request.content_md5 = imi_arena_strdup(&cleanup->arena, md5.data);
        request.payload_hash = imi_arena_strdup(&cleanup->arena, hash);
        if (request.content_md5 != NULL && request.payload_hash != NULL)
            err = ask(cleanup, &request, on_deleted);
    }
    imi_buf_reset(&md5);
    return err;
}

static void on_deleted(imi_exchange_t *exchange) {
    cleanup_t *cleanup = exchange->user;
    imi_slice_t rest, error;
    size_t failed_count = 0;
    if (!is_answered(cleanup))
        return;
    rest = (imi_slice_t){exchange->answer.data, exchange->answer.size};
    while (imi_xml_next(&rest, "Error", &error)) /* quiet: only what failed is told */
        failed_count++;
    if (failed_count > cleanup->sent_count)
        failed_count = cleanup->sent_count;
    cleanup->deleted_count += (int64_t)(cleanup->sent_count - failed_count);
    next_page(cleanup);
}
