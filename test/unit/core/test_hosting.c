/* test_hosting.c: results on their way to a bucket, as transcripts of S3: what we must send, what
 * is answered, and what the caller gets; each also with answers that come byte by byte, and with
 * every allocation failing. Signatures are compared whole: test_sigv4.c says why they are right,
 * and the stand-in of test/e2e/hosting.test.mjs that a server finds them so. */
#include "imagine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imagine/hosting.h"
#include "imagine/provider.h"
#include "support/check_main.h"
#include "support/failing_mem.h"
#include "support/script_io.h"
#include "wire/base64.h"

#define COUNT_OF(table) ((int)(sizeof(table) / sizeof((table)[0])))
#define STEPS_MAX 100000
#define ALLOCATIONS_MAX 3000
#define DATE "20260108T160001Z"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define PUT_SIGNATURE "75435d8ddf5b3eab45e619a133a8fbaa75ed93a27b392300079fdf5017f63e25"
#define LINK_SIGNATURE "52db59f061922e8396445b759af37ae6fdcef38bfff35f5312b0d4d12ecdd08a"
#define KEY "uploads/20260108/11111111-1111-4111-9111-111111111111.png"
#define SIGNED(signature)                                                                          \
    "> Authorization: AWS4-HMAC-SHA256 Credential=id/20260108/auto/s3/aws4_request,SignedHeaders=" \
    "content-type;host;x-amz-content-sha256;x-amz-date,Signature=" signature "\n"
#define PUT_HTTPS(date, signature)               \
    "> PUT https://s3.test/box/" KEY "\n"        \
    "> X-Amz-Date: " date "\n"                   \
    "> X-Amz-Content-Sha256: UNSIGNED-PAYLOAD\n" \
    "> Content-Type: image/png\n" SIGNED(signature) ">@\n"
#define LINK(date, signature)                                                                     \
    "https://s3.test/box/" KEY "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=id%2F20260108" \
    "%2Fauto%2Fs3%2Faws4_request&X-Amz-Date=" date "&X-Amz-Expires=86400&X-Amz-SignedHeaders="    \
    "host&X-Amz-Signature=" signature
#define PUT_HTTP                                                         \
    "> PUT http://box.lan:9000/s3/box/" KEY "\n"                         \
    "> X-Amz-Date: " DATE "\n"                                           \
    "> X-Amz-Content-Sha256: "                                           \
    "392439ed3e0f26067217f02c0b3354ba8d5aca101e194ec3fe8ec6dc06a721e5\n" \
    "> Content-Type: image/png\n" SIGNED(                                \
        "212e453076205a9bdbdcacbc1d5af3ea8bb07780d0fb88fb7908e5b8cf1216e2") ">@\n"
#define LINK_HTTP                                                                             \
    "http://box.lan:9000/s3/box/" KEY "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=id" \
    "%2F20260108%2Fauto%2Fs3%2Faws4_request&X-Amz-Date=" DATE                                 \
    "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="                          \
    "c71cfa39cd6ddaa46b508c0b8a852af898188b822c1d55f63647605a0e310d0a"
#define GET_PICTURE "> GET https://cdn.test/1.png\n"
#define CDN "https://cdn.test/1.png"
#define DATA "(data)" /* stands for a data: address of the script's picture */

typedef struct story {
    const char *name;
    const char *endpoint, *cdn_url; /* endpoint NULL: no hosting */
    const char *result;             /* the provider's */
    int32_t format;
    int32_t want_bytes;
    const char *script;
    const char *url; /* the caller's */
    const char *log; /* must be in it; NULL: nothing of hosting must */
} story_t;

static const story_t stories[] = {
    {"a data: address goes to the bucket", "https://s3.test", NULL, DATA, IMAGINE_FORMAT_ANY, 0,
     PUT_HTTPS(DATE, PUT_SIGNATURE) "< 200\n", LINK(DATE, LINK_SIGNATURE), NULL},
    {"the CDN's address comes back", "https://s3.test/", "https://cdn.example/x/", DATA,
     IMAGINE_FORMAT_URL, 0, PUT_HTTPS(DATE, PUT_SIGNATURE) "< 200\n", "https://cdn.example/x/" KEY,
     NULL},
    {"an address is copied as it comes", "https://s3.test", NULL, CDN, IMAGINE_FORMAT_ANY, 0,
     GET_PICTURE "< 200\n< Content-Length: 69\n<@\n" PUT_HTTPS(DATE, PUT_SIGNATURE) "< 200\n",
     LINK(DATE, LINK_SIGNATURE), NULL},
    {"an answer without a length is gathered first", "https://s3.test", NULL, CDN,
     IMAGINE_FORMAT_ANY, 0, GET_PICTURE "< 200\n<@\n" PUT_HTTPS(DATE, PUT_SIGNATURE) "< 200\n",
     LINK(DATE, LINK_SIGNATURE), NULL},
    {"without TLS the body is signed too", "http://box.lan:9000/s3", NULL, DATA, IMAGINE_FORMAT_ANY,
     0, PUT_HTTP "< 200\n", LINK_HTTP, NULL},
    {"and an address is gathered for it first", "http://box.lan:9000/s3", NULL, CDN,
     IMAGINE_FORMAT_ANY, 0, GET_PICTURE "< 200\n< Content-Length: 69\n<@\n" PUT_HTTP "< 200\n",
     LINK_HTTP, NULL},
    {"a bucket that fails once is asked again", "https://s3.test", NULL, DATA, IMAGINE_FORMAT_ANY,
     0, PUT_HTTPS(DATE, PUT_SIGNATURE) "< 500\n" PUT_HTTPS(DATE, PUT_SIGNATURE) "< 200\n",
     LINK(DATE, LINK_SIGNATURE), NULL},
    {"a lost connection too, and the download begins anew", "https://s3.test", NULL, CDN,
     IMAGINE_FORMAT_ANY, 0,
     GET_PICTURE "< 200\n< Content-Length: 69\n<@\n" PUT_HTTPS(
         DATE, PUT_SIGNATURE) "< broken EPROTOCOL sent\n" GET_PICTURE
                              "< 200\n< Content-Length: 69\n<@\n" PUT_HTTPS(
                                  DATE, PUT_SIGNATURE) "< 200\n",
     LINK(DATE, LINK_SIGNATURE), NULL},
    {"a bucket that says no keeps the provider's own", "https://s3.test", NULL, DATA,
     IMAGINE_FORMAT_URL, 0,
     PUT_HTTPS(DATE, PUT_SIGNATURE) "< 403\n<< <Error><Code>AccessDenied</Code></Error>\n", DATA,
     "hosting.failed provider=own request=1 reason=\"the bucket answered 403 AccessDenied\""},
    {"a bucket that is away too", "https://s3.test", NULL, CDN, IMAGINE_FORMAT_ANY, 0,
     GET_PICTURE "< 200\n< Content-Length: 69\n<@\n" PUT_HTTPS(
         DATE, PUT_SIGNATURE) "< broken ECONNECT unsent\n",
     CDN, "reason=\"broken by the script\""},
    {"a result that is gone", "https://s3.test", NULL, CDN, IMAGINE_FORMAT_ANY, 0,
     GET_PICTURE "< 404\n<< no\n", CDN, "reason=\"the result's address answered 404\""},
    {"what is neither a picture nor a video is not hosted", "https://s3.test", NULL, CDN,
     IMAGINE_FORMAT_ANY, 0,
     GET_PICTURE "< 200\n<< <!doctype html><script>alert(1)</script> and so on until it is long\n",
     CDN, "reason=\"neither a picture nor a video\""},
    {"nor an empty answer", "https://s3.test", NULL, CDN, IMAGINE_FORMAT_ANY, 0,
     GET_PICTURE "< 200\n", CDN, "reason=\"neither a picture nor a video\""},
    {"nor a data: address of another kind", "https://s3.test", NULL, "data:text/html;base64,PGE+",
     IMAGINE_FORMAT_ANY, 0, "", "data:text/html;base64,PGE+", "hosting.failed"},
    {"a picture that is told to be too large", "https://s3.test", NULL, CDN, IMAGINE_FORMAT_ANY, 0,
     GET_PICTURE "< 200\n< Content-Length: 52428801\n<@\n", CDN, "hosting.failed"},
    {"an answer shorter than told is no picture of ours", "https://s3.test", NULL, CDN,
     IMAGINE_FORMAT_ANY, 0,
     GET_PICTURE "< 200\n< Content-Length: 69\n<@\n" PUT_HTTPS(DATE, PUT_SIGNATURE) "< 403\n", CDN,
     "hosting.failed"},
    {"data: on demand, by a download", NULL, NULL, CDN, IMAGINE_FORMAT_DATA, 0,
     GET_PICTURE "< 200\n<@\n", DATA, NULL},
    {"data: on demand needs no bucket", "https://s3.test", NULL, CDN, IMAGINE_FORMAT_DATA, 0,
     GET_PICTURE "< 200\n<@\n", DATA, NULL},
    {"data: that is there already stays", "https://s3.test", NULL, DATA, IMAGINE_FORMAT_DATA, 0, "",
     DATA, NULL},
    {"data: on demand that cannot be fetched", NULL, NULL, CDN, IMAGINE_FORMAT_DATA, 0,
     GET_PICTURE "< 404\n", CDN, "result.not_fetched"},
    {"data: on demand of what is no picture", NULL, NULL, CDN, IMAGINE_FORMAT_DATA, 0,
     GET_PICTURE "< 200\n<< text\n", CDN, "reason=\"neither a picture nor a video\""},
    {"bytes need no address", "https://s3.test", NULL, DATA, IMAGINE_FORMAT_ANY, 1, "", DATA, NULL},
    {"without hosting an address stays", NULL, NULL, CDN, IMAGINE_FORMAT_URL, 0, "", CDN, NULL},
    {"and data: too", NULL, NULL, DATA, IMAGINE_FORMAT_URL, 0, "", DATA, NULL},
};

/* ---- a world ----------------------------------------------------------------------------------
 */

typedef struct world {
    script_io_t *script;
    imagine_io_t io;
    imagine_t *im;
    char *provider_result;
    int done_count, closed_count, cleaned_count;
    int status, cleaned_status;
    int64_t deleted_count;
    char *url;
    char log[4096];
} world_t;

/* Ids are the same whatever else draws random numbers. */
static int ones(void *context, void *out, size_t size) {
    (void)context;
    memset(out, 0x11, size);
    return 0;
}

static void on_log(void *context, int32_t level, const char *line);
static world_t *the_world;

static void on_log(void *context, int32_t level, const char *line) {
    size_t size = strlen(the_world->log);
    (void)context;
    if (level <= IMAGINE_LOG_WARN)
        snprintf(the_world->log + size, sizeof(the_world->log) - size, "%s\n", line);
}

static void generate(imagine_call_t *call) {
    const world_t *world = imagine_call_user(call);
    imagine_result_t result = {.size = sizeof(result), .url = world->provider_result};
    imagine_call_succeed(call, &result);
}

/* Says what address the caller's picture has. */
static void tell(imagine_call_t *call) {
    imagine_call_fail(call, IMAGINE_EREJECTED, imagine_call_image_url(call, 0));
}

static void edit(imagine_call_t *call) {
    imagine_call_host_images(call, tell);
}

static void on_done(int status, const imagine_result_t *result, void *user) {
    world_t *world = user;
    world->done_count++;
    world->status = status;
    if (result->url != NULL)
        world->url = strdup(result->url);
    else if (result->message != NULL)
        world->url = strdup(result->message);
}

static void on_closed(void *user) {
    ((world_t *)user)->closed_count++;
}

static void run_until(world_t *world, const int *count) {
    for (int i = 0; i < STEPS_MAX && *count == 0; i++)
        ck_assert_msg(script_io_step(world->script), "nothing is under way any more");
    ck_assert_int_eq(*count, 1);
}

static bool configure(world_t *world, const char *endpoint, const char *cdn_url) {
    imagine_settings_t *settings = NULL;
    int err = imagine_settings_open(&settings);
    ck_assert_int_eq(err, 0);
    imagine_settings_set(settings, "S3_ENDPOINT", endpoint);
    imagine_settings_set(settings, "S3_BUCKET_NAME", "box");
    imagine_settings_set(settings, "S3_ACCESS_KEY_ID", "id");
    imagine_settings_set(settings, "S3_SECRET_ACCESS_KEY", "a secret");
    imagine_settings_set(settings, "S3_CDN_URL", cdn_url);
    err = imagine_configure(world->im, settings, NULL);
    imagine_settings_close(settings);
    return err == 0;
}

static bool open_world(world_t *world, const char *script, size_t piece_size,
                       const imagine_allocator_t *allocator) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_provider_t provider = {
        .size = sizeof(provider), .name = "own", .generate = generate, .edit = edit, .user = world};
    *world = (world_t){.script = script_io_open(script, piece_size)};
    provider.catalogue = "{\"api_base\":\"https://own.test\"}";
    provider.flags = IMAGINE_PROVIDER_TOKEN_OPTIONAL;
    the_world = world;
    world->io = *script_io_table(world->script);
    world->io.random = ones;
    world->io.log = on_log;
    options.io = &world->io;
    options.allocator = allocator;
    options.log_level = IMAGINE_LOG_WARN;
    if (imagine_open(&world->im, &options) != 0)
        return false;
    return imagine_register_provider(world->im, &provider) == 0;
}

static void close_world(world_t *world) {
    if (world->im != NULL) {
        imagine_close(world->im, on_closed, world);
        run_until(world, &world->closed_count);
    }
    script_io_close(world->script);
    free(world->url);
    free(world->provider_result);
}

/* ---- stories ----------------------------------------------------------------------------------
 */

static char *result_of(const char *text) {
    size_t size;
    const void *picture = script_picture(&size);
    imi_buf_t buf;
    char *url;
    if (strcmp(text, DATA) != 0)
        return strdup(text);
    imi_buf_init(&buf, NULL, 0);
    imi_buf_append_text(&buf, "data:image/png;base64,");
    imi_base64_encode(&buf, picture, size);
    url = strdup(buf.data);
    imi_buf_reset(&buf);
    return url;
}

static void play(const story_t *story, size_t piece_size, const imagine_allocator_t *allocator) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    char *wanted = result_of(story->url);
    world_t world;
    bool is_open = open_world(&world, story->script, piece_size, allocator);
    ck_assert(is_open || allocator != NULL);
    world.provider_result = result_of(story->result);
    params.model = "own/any";
    params.prompt = "a cat";
    params.response_format = story->format;
    params.want_bytes = story->want_bytes;
    if (is_open && configure(&world, story->endpoint, story->cdn_url) &&
        imagine_generate(world.im, &params, on_done, &world, NULL) == 0) {
        run_until(&world, &world.done_count);
        if (allocator == NULL) {
            const char *complaint = script_io_complaint(world.script);
            ck_assert_msg(complaint == NULL, "%s: %s", story->name, complaint);
            ck_assert_int_eq(world.status, 0);
            ck_assert_msg(strcmp(world.url, wanted) == 0, "%s: %s", story->name, world.url);
            if (story->log != NULL)
                ck_assert_msg(strstr(world.log, story->log) != NULL, "%s: %s", story->name,
                              world.log);
            else
                ck_assert_msg(world.log[0] == '\0', "%s: %s", story->name, world.log);
        }
    }
    close_world(&world);
    free(wanted);
}

START_TEST(a_result_goes_where_it_should) { /* _i walks stories */
    play(&stories[_i], 0, NULL);
}
END_TEST

START_TEST(answers_may_come_byte_by_byte) {
    play(&stories[_i], 1, NULL);
}
END_TEST

/* Opening takes as many allocations every time: the first story is enough to see each of them fail.
 */
static size_t first_to_fail(int index) {
    failing_mem_t failing;
    imagine_allocator_t allocator = {failing_mem_resize, &failing};
    world_t world;
    size_t count;
    failing_mem_init(&failing, 0);
    ck_assert(open_world(&world, "", 0, &allocator));
    count = failing.request_count;
    close_world(&world);
    return index == 0 ? 1 : count + 1;
}

START_TEST(it_ends_once_and_leaves_nothing_whichever_allocation_fails) {
    for (size_t n = first_to_fail(_i);; n++) {
        failing_mem_t failing;
        imagine_allocator_t allocator = {failing_mem_resize, &failing};
        ck_assert_uint_lt(n, ALLOCATIONS_MAX);
        failing_mem_init(&failing, n);
        play(&stories[_i], 7, &allocator);
        ck_assert_msg(failing.live_count == 0, "%s: request %zu for memory failed, %zu blocks left",
                      stories[_i].name, n, failing.live_count);
        if (!failing.has_failed)
            return;
    }
}
END_TEST

/* ---- cleaning up ------------------------------------------------------------------------------
 */

#define START_UNIX_MS INT64_C(1767744000000) /* 2026-01-07T00:00:00Z */
#define END_UNIX_MS INT64_C(1767830399999)   /* 2026-01-07T23:59:59.999Z */
#define LIST                                                                     \
    "> GET https://s3.test/box?list-type=2&max-keys=1000&prefix=uploads%2F\n"    \
    "> X-Amz-Date: " DATE "\n"                                                   \
    "> X-Amz-Content-Sha256: " EMPTY "\n"                                        \
    "> Authorization: AWS4-HMAC-SHA256 "                                         \
    "Credential=id/20260108/auto/s3/"                                            \
    "aws4_request,SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature=" \
    "78ba5395f8f97a318588ad82704494167d9aa2b37066264593c4d43049b2b08c\n"
#define LIST_NEXT                                                                      \
    "> GET "                                                                           \
    "https://s3.test/"                                                                 \
    "box?continuation-token=a%2Bb%2F%3D&list-type=2&max-keys=1000&prefix=uploads%2F\n" \
    "> X-Amz-Date: " DATE "\n"                                                         \
    "> X-Amz-Content-Sha256: " EMPTY "\n"                                              \
    "> Authorization: AWS4-HMAC-SHA256 "                                               \
    "Credential=id/20260108/auto/s3/"                                                  \
    "aws4_request,SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature="       \
    "d2d014fd9af7f4fd44549251da38587e24e4619595236b98e0edc1a688d96204\n"
#define DELETE_TWO                                                                               \
    "> POST https://s3.test/box?delete=\n"                                                       \
    "> X-Amz-Date: " DATE "\n"                                                                   \
    "> X-Amz-Content-Sha256: ff1728f00908f5eb281fd9eca17570f3f8427064a0d5a8243233d4fa0e30fa4a\n" \
    "> Content-Type: application/xml\n"                                                          \
    "> Content-MD5: CpM5uEpKqwbVnNMrcvE76A==\n"                                                  \
    "> Authorization: AWS4-HMAC-SHA256 "                                                         \
    "Credential=id/20260108/auto/s3/"                                                            \
    "aws4_request,SignedHeaders=content-md5;content-type;host;x-amz-content-sha256;x-amz-date,"  \
    "Signature=94e57c650dc3d3d07a2825748b8d62634c3a6e5be48929f8a8d4e4b96040bf30\n"               \
    ">> <?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"                                            \
    ">> <Delete "                                                                                \
    "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet><Object><Key>uploads/" \
    "20260107/a&amp;b.png</Key></Object><Object><Key>uploads/20260107/c.png</Key></Object></"    \
    "Delete>\n"
#define DELETE_ONE                                                                               \
    "> POST https://s3.test/box?delete=\n"                                                       \
    "> X-Amz-Date: " DATE "\n"                                                                   \
    "> X-Amz-Content-Sha256: 30786a81310557efe10d00b9653a3b72be28b1dba847abb8e4638262ae657963\n" \
    "> Content-Type: application/xml\n"                                                          \
    "> Content-MD5: IlW/ikhBXi1Ff8We65pFTg==\n"                                                  \
    "> Authorization: AWS4-HMAC-SHA256 "                                                         \
    "Credential=id/20260108/auto/s3/"                                                            \
    "aws4_request,SignedHeaders=content-md5;content-type;host;x-amz-content-sha256;x-amz-date,"  \
    "Signature=d6f45e8848f6b713e18f0fb0168c22e297980fd0ce3ea56a59dc9caee2b053cd\n"               \
    ">> <?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"                                            \
    ">> <Delete "                                                                                \
    "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet><Object><Key>uploads/" \
    "20260107/d.png</Key></Object></Delete>\n"
#define OBJECT(key, modified) \
    "<Contents><Key>" key "</Key><LastModified>" modified "</LastModified></Contents>"
#define PAGE(objects, more) \
    "<< <ListBucketResult xmlns=\"x\"><Name>box</Name>" objects more "</ListBucketResult>\n"
#define LAST "<IsTruncated>false</IsTruncated>"
#define MORE "<IsTruncated>true</IsTruncated><NextContinuationToken>a+b/=</NextContinuationToken>"
#define TWO                                                            \
    OBJECT("uploads/20260106/before.png", "2026-01-06T23:59:59.999Z")  \
    OBJECT("uploads/20260107/a&amp;b.png", "2026-01-07T00:00:00.000Z") \
    OBJECT("uploads/20260107/c.png", "2026-01-07T23:59:59.999Z")       \
    OBJECT("uploads/20260108/after.png", "2026-01-08T00:00:00.000Z")   \
    OBJECT("elsewhere/mine.png", "2026-01-07T12:00:00.000Z")
#define ONE OBJECT("uploads/20260107/d.png", "2026-01-07T12:00:00.000Z")

static const struct {
    const char *name, *script;
    int status;
    int64_t deleted_count;
} cleanup_cases[] = {
    {"an empty bucket", LIST "< 200\n" PAGE("", LAST), 0, 0},
    {"those of the time, below uploads/", LIST "< 200\n" PAGE(TWO, LAST) DELETE_TWO "< 200\n", 0,
     2},
    {"page after page",
     LIST "< 200\n" PAGE(TWO, MORE) DELETE_TWO "< 200\n<< <DeleteResult/>\n" LIST_NEXT
                                               "< 200\n" PAGE(ONE, LAST) DELETE_ONE "< 200\n",
     0, 3},
    {"a page with nothing of it",
     LIST "< 200\n" PAGE("", MORE) LIST_NEXT "< 200\n" PAGE(ONE, LAST) DELETE_ONE "< 200\n", 0, 1},
    {"what could not be deleted does not count",
     LIST "< 200\n" PAGE(TWO, LAST) DELETE_TWO
     "< 200\n<< <DeleteResult><Error><Key>k</Key></Error></DeleteResult>\n",
     0, 1},
    {"a bucket that says no", LIST "< 403\n<< <Error><Code>AccessDenied</Code></Error>\n",
     IMAGINE_EUPSTREAM, 0},
    {"a bucket that is away", LIST "< broken ECONNECT unsent\n", IMAGINE_ECONNECT, 0},
    {"a failure on the second page tells what was deleted",
     LIST "< 200\n" PAGE(TWO, MORE) DELETE_TWO "< 200\n" LIST_NEXT "< 500\n", IMAGINE_EUPSTREAM, 2},
    {"a page that says there is more, but not where",
     LIST "< 200\n" PAGE("", "<IsTruncated>true</IsTruncated>"), IMAGINE_EPROTOCOL, 0},
    {"an object without a key", LIST "< 200\n" PAGE("<Contents></Contents>", LAST),
     IMAGINE_EPROTOCOL, 0},
};

static void on_cleaned(int status, int64_t deleted_count, const char *message, void *user) {
    world_t *world = user;
    ck_assert_int_eq(message != NULL, status != 0);
    world->cleaned_count++;
    world->cleaned_status = status;
    world->deleted_count = deleted_count;
}

static void clean(size_t index, size_t piece_size, const imagine_allocator_t *allocator) {
    world_t world;
    if (open_world(&world, cleanup_cases[index].script, piece_size, allocator) &&
        configure(&world, "https://s3.test", NULL) &&
        imagine_hosting_clean_up(world.im, START_UNIX_MS, END_UNIX_MS, on_cleaned, &world) == 0) {
        run_until(&world, &world.cleaned_count);
        if (allocator == NULL) {
            const char *complaint = script_io_complaint(world.script);
            ck_assert_msg(complaint == NULL, "%s: %s", cleanup_cases[index].name, complaint);
            ck_assert_msg(world.cleaned_status == cleanup_cases[index].status, "%s: %d",
                          cleanup_cases[index].name, world.cleaned_status);
            ck_assert_int_eq(world.deleted_count, cleanup_cases[index].deleted_count);
        }
    } else {
        ck_assert_ptr_nonnull(allocator);
    }
    close_world(&world);
}

START_TEST(what_was_hosted_is_cleaned_up) { /* _i walks cleanup_cases */
    clean((size_t)_i, 0, NULL);
    clean((size_t)_i, 1, NULL);
}
END_TEST

START_TEST(cleaning_up_leaves_nothing_whichever_allocation_fails) {
    for (size_t n = first_to_fail(1);; n++) {
        failing_mem_t failing;
        imagine_allocator_t allocator = {failing_mem_resize, &failing};
        ck_assert_uint_lt(n, ALLOCATIONS_MAX);
        failing_mem_init(&failing, n);
        clean((size_t)_i, 0, &allocator);
        ck_assert_msg(failing.live_count == 0, "%s: request %zu for memory failed, %zu blocks left",
                      cleanup_cases[_i].name, n, failing.live_count);
        if (!failing.has_failed)
            return;
    }
}
END_TEST

START_TEST(without_hosting_there_is_nothing_to_clean_up) {
    world_t world;
    ck_assert(open_world(&world, "", 0, NULL));
    ck_assert_int_eq(imagine_hosting_clean_up(world.im, 0, 1, on_cleaned, &world), IMAGINE_ENOTSUP);
    close_world(&world);
    ck_assert_int_eq(world.cleaned_count, 0);
}
END_TEST

START_TEST(one_clean_up_at_a_time_and_closing_ends_it) {
    world_t world;
    ck_assert(open_world(&world, LIST "< 200\n" PAGE(TWO, LAST), 0, NULL));
    ck_assert(configure(&world, "https://s3.test", NULL));
    ck_assert_int_eq(
        imagine_hosting_clean_up(world.im, START_UNIX_MS, END_UNIX_MS, on_cleaned, &world), 0);
    ck_assert_int_eq(
        imagine_hosting_clean_up(world.im, START_UNIX_MS, END_UNIX_MS, on_cleaned, &world),
        IMAGINE_EBUSY);
    close_world(&world);
    ck_assert_int_eq(world.cleaned_count, 1);
    ck_assert_int_eq(world.cleaned_status, IMAGINE_ECANCELED);
}
END_TEST

/* ---- when the caller does not wait ------------------------------------------------------------
 */

START_TEST(a_deadline_that_comes_meanwhile_gives_the_providers_own) {
    static const char script[] = GET_PICTURE "< 200\n< Content-Length: 69\n<@\n";
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    world_t world;
    ck_assert(open_world(&world, script, 0, NULL));
    ck_assert(configure(&world, "https://s3.test", NULL));
    world.provider_result = strdup(CDN);
    params.model = "own/any";
    params.prompt = "a cat";
    params.timeout_ms = 1; /* the first answer takes 10 */
    ck_assert_int_eq(imagine_generate(world.im, &params, on_done, &world, NULL), 0);
    run_until(&world, &world.done_count);
    ck_assert_int_eq(world.status, 0);
    ck_assert_str_eq(world.url, CDN);
    close_world(&world);
}
END_TEST

START_TEST(a_caller_who_leaves_does_not_stop_it) {
    static const char script[] = PUT_HTTPS(DATE, PUT_SIGNATURE) "< 200\n";
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    imagine_request_t *request = NULL;
    world_t world;
    ck_assert(open_world(&world, script, 0, NULL));
    ck_assert(configure(&world, "https://s3.test", NULL));
    world.provider_result = result_of(DATA);
    params.model = "own/any";
    params.prompt = "a cat";
    ck_assert_int_eq(imagine_generate(world.im, &params, on_done, &world, &request), 0);
    imagine_cancel(request);
    run_until(&world, &world.done_count);
    ck_assert_int_eq(world.status, IMAGINE_ECANCELED);
    while (script_io_step(world.script)) {
    }
    ck_assert_ptr_null(script_io_complaint(world.script)); /* the bucket was asked */
    imagine_request_release(request);
    close_world(&world);
}
END_TEST

START_TEST(closing_the_client_ends_it) { /* _i: after so many steps */
    static const char script[] =
        GET_PICTURE "< 200\n< Content-Length: 69\n<@\n" PUT_HTTPS(DATE, PUT_SIGNATURE) "< 200\n";
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    world_t world;
    ck_assert(open_world(&world, script, 7, NULL));
    ck_assert(configure(&world, "https://s3.test", NULL));
    world.provider_result = strdup(CDN);
    params.model = "own/any";
    params.prompt = "a cat";
    ck_assert_int_eq(imagine_generate(world.im, &params, on_done, &world, NULL), 0);
    for (int i = 0; i < _i; i++)
        script_io_step(world.script);
    close_world(&world); /* aborts if an exchange is left */
    ck_assert_int_eq(world.done_count, 1);
}
END_TEST

/* ---- pictures that go in ----------------------------------------------------------------------
 */

static const struct {
    const char *name, *endpoint, *script, *url;
} input_cases[] = {
    {"hosted", "https://s3.test", PUT_HTTPS(DATE, PUT_SIGNATURE) "< 200\n",
     LINK(DATE, LINK_SIGNATURE)},
    {"a bucket that says no", "https://s3.test", PUT_HTTPS(DATE, PUT_SIGNATURE) "< 403\n", DATA},
    {"no hosting", NULL, "", DATA},
};

static void send_picture(size_t index, const imagine_allocator_t *allocator) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    imagine_image_t image = {.size = sizeof(image)};
    char *wanted = result_of(input_cases[index].url);
    world_t world;
    image.data = script_picture(&image.data_size);
    params.model = "own/any";
    params.prompt = "a cat";
    params.images = &image;
    params.image_count = 1;
    if (open_world(&world, input_cases[index].script, 0, allocator) &&
        configure(&world, input_cases[index].endpoint, NULL) &&
        imagine_edit(world.im, &params, on_done, &world, NULL) == 0) {
        run_until(&world, &world.done_count);
        if (allocator == NULL) {
            ck_assert_ptr_null(script_io_complaint(world.script));
            ck_assert_msg(strcmp(world.url, wanted) == 0, "%s: %s", input_cases[index].name,
                          world.url);
        }
    } else {
        ck_assert_ptr_nonnull(allocator);
    }
    close_world(&world);
    free(wanted);
}

START_TEST(a_picture_that_goes_in_gets_an_address) { /* _i walks input_cases */
    send_picture((size_t)_i, NULL);
}
END_TEST

START_TEST(sending_one_leaves_nothing_whichever_allocation_fails) {
    for (size_t n = first_to_fail(1);; n++) {
        failing_mem_t failing;
        imagine_allocator_t allocator = {failing_mem_resize, &failing};
        ck_assert_uint_lt(n, ALLOCATIONS_MAX);
        failing_mem_init(&failing, n);
        send_picture((size_t)_i, &allocator);
        ck_assert_uint_eq(failing.live_count, 0);
        if (!failing.has_failed)
            return;
    }
}
END_TEST

static Suite *hosting_suite(void) {
    Suite *suite = suite_create("core/hosting");
    TCase *tests = tcase_create("results");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, a_result_goes_where_it_should, 0, COUNT_OF(stories));
    tcase_add_loop_test(tests, answers_may_come_byte_by_byte, 0, COUNT_OF(stories));
    tcase_add_loop_test(tests, it_ends_once_and_leaves_nothing_whichever_allocation_fails, 0,
                        COUNT_OF(stories));
    tcase_add_test(tests, a_deadline_that_comes_meanwhile_gives_the_providers_own);
    tcase_add_test(tests, a_caller_who_leaves_does_not_stop_it);
    tcase_add_loop_test(tests, closing_the_client_ends_it, 0, 24);
    tcase_add_loop_test(tests, what_was_hosted_is_cleaned_up, 0, COUNT_OF(cleanup_cases));
    tcase_add_loop_test(tests, cleaning_up_leaves_nothing_whichever_allocation_fails, 0,
                        COUNT_OF(cleanup_cases));
    tcase_add_loop_test(tests, a_picture_that_goes_in_gets_an_address, 0, COUNT_OF(input_cases));
    tcase_add_loop_test(tests, sending_one_leaves_nothing_whichever_allocation_fails, 0,
                        COUNT_OF(input_cases));
    tcase_add_test(tests, without_hosting_there_is_nothing_to_clean_up);
    tcase_add_test(tests, one_clean_up_at_a_time_and_closing_ends_it);
    suite_add_tcase(suite, tests);
    return suite;
}

IMI_CHECK_MAIN(hosting_suite)
