/* test_aside.c: pictures inside JSON answers on their way to where they are hosted, while the files
 * that they wait in work, and while they do not. Whatever breaks: the caller gets an address of
 * ours, the whole picture, or an error; never the beginning of a picture, and no file stays open.
 */
#include "core/aside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imagine.h"
#include "imagine/provider.h"
#include "core/client.h"
#include "core/hosting.h"
#include "core/request.h"
#include "core/task.h"
#include "support/check_main.h"
#include "support/failing_mem.h"
#include "support/fake_folder.h"
#include "support/script_io.h"
#include "wire/base64.h"

#define COUNT_OF(table) ((int)(sizeof(table) / sizeof((table)[0])))
#define STEPS_MAX 1000000
#define ALLOCATIONS_MAX 3000
#define BIG 200000 /* bytes: some pieces of the spool's */
#define DATE "20260108T160001Z"
#define KEY "uploads/20260108/11111111-1111-4111-9111-111111111111.png"
#define NAME "11111111111111111111111111111111.png"
#define LINK                                                                                      \
    "https://s3.test/box/" KEY "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=id%2F20260108" \
    "%2Fauto%2Fs3%2Faws4_request&X-Amz-Date=" DATE                                                \
    "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="                              \
    "52db59f061922e8396445b759af37ae6fdcef38bfff35f5312b0d4d12ecdd08a"
#define PUT_HEAD                                                                                  \
    "> PUT https://s3.test/box/" KEY "\n> X-Amz-Date: " DATE                                      \
    "\n> X-Amz-Content-Sha256: UNSIGNED-PAYLOAD\n> Content-Type: image/png\n"                     \
    "> Authorization: AWS4-HMAC-SHA256 Credential=id/20260108/auto/s3/aws4_request,SignedHeaders" \
    "=content-type;host;x-amz-content-sha256;x-amz-date,Signature="                               \
    "75435d8ddf5b3eab45e619a133a8fbaa75ed93a27b392300079fdf5017f63e25\n"
#define MEDIA "/media/" NAME
#define DATA "(data)" /* the whole picture as a data: address */

typedef enum place { S3, FOLDER } place_t;

typedef struct story {
    const char *name;
    place_t place;
    const char *put_answers[2]; /* of the bucket; NULL: it is not asked again */
    bool has_limit;             /* of the files: the disk is full */
    size_t size_max, read_max;
    bool fails_to_finish;
    size_t refused_at;
    int status;
    const char *url; /* or what is said */
    const char *log; /* NULL: nothing */
} story_t;

/* clang-format off */
static const story_t stories[] = {
    {.name = "into the bucket", .place = S3, .put_answers = {"200"}, .url = LINK},
    {.name = "the bucket is asked again", .place = S3, .put_answers = {"500", "200"}, .url = LINK},
    {.name = "the bucket says no", .place = S3, .put_answers = {"403"}, .url = DATA,
     .log = "hosting.failed"},
    {.name = "the bucket is away", .place = S3, .put_answers = {"broken ECONNECT unsent"},
     .url = DATA, .log = "hosting.failed"},
    {.name = "into the folder", .place = FOLDER, .url = MEDIA},
    {.name = "a folder where nothing can be finished", .place = FOLDER, .fails_to_finish = true,
     .url = DATA, .log = "hosting.failed"},
    {.name = "no space at all", .place = S3, .put_answers = {"200"}, .has_limit = true,
     .url = LINK, .log = "spool.failed"},
    {.name = "no space for the second piece", .place = S3, .put_answers = {"200"},
     .has_limit = true, .size_max = 50000, .url = LINK, .log = "spool.failed"},
    {.name = "no space for the end", .place = S3, .put_answers = {"200"},
     .has_limit = true, .size_max = BIG - 1, .url = LINK, .log = "spool.failed"},
    {.name = "no space, and the bucket says no", .place = S3, .put_answers = {"403"},
     .has_limit = true, .size_max = 100000, .url = DATA, .log = "hosting.failed"},
    {.name = "no space in the folder", .place = FOLDER, .has_limit = true, .size_max = 100000,
     .url = DATA, .log = "hosting.failed"},
    {.name = "a write that is not accepted", .place = S3, .put_answers = {"200"}, .refused_at = 2,
     .url = LINK, .log = "spool.failed"},
    {.name = "the first one", .place = S3, .put_answers = {"200"}, .refused_at = 1, .url = LINK,
     .log = "spool.failed"},
    {.name = "a read that is not accepted", .place = S3, .put_answers = {"200"}, .refused_at = 6,
     .url = DATA, .log = "hosting.failed"},
    {.name = "publishing is not accepted", .place = FOLDER, .refused_at = 6, .url = DATA,
     .log = "hosting.failed"},
    {.name = "no space, and what is there cannot be read", .place = S3, .has_limit = true,
     .size_max = 100000, .read_max = 1, .status = IMAGINE_EIO, .url = "file", .log = "spool.lost"},
    {.name = "nothing can be read", .place = S3, .put_answers = {"200"}, .read_max = 1,
     .status = IMAGINE_EIO, .url = "could not be read back", .log = "hosting.failed"},
};
/* clang-format on */

/* ---- a world ----------------------------------------------------------------------------------
 */

typedef struct world {
    script_io_t *script;
    imi_buf_t text; /* the script */
    imagine_io_t io;
    imagine_t *im;
    fake_folder_t folder;
    bool has_folder;
    bool copies_url; /* the provider hands a copy on */
    bool is_silent;  /* … does not say that it can be done */
    bool reads_text; /* … tries to */
    int done_count, closed_count;
    int status;
    size_t url_count;
    char *urls[12]; /* or a message */
    char *task_id;
    char log[8192];
} world_t;

static world_t *the_world;

static int ones(void *context, void *out, size_t size) {
    (void)context;
    memset(out, 0x11, size);
    return 0;
}

static void on_log(void *context, int32_t level, const char *line) {
    size_t size = strlen(the_world->log);
    (void)context;
    if (level <= IMAGINE_LOG_WARN)
        snprintf(the_world->log + size, sizeof(the_world->log) - size, "%s\n", line);
}

static void on_generated(imagine_call_t *call, const imagine_http_response_t *response) {
    const world_t *world = imagine_call_user(call);
    imagine_result_t result = {.size = sizeof(result)};
    size_t count = imagine_response_count(response, "data");
    for (size_t i = 0; i < count; i++) {
        const char *path = imagine_call_printf(call, "data[%zu].b64_json", i), *url;
        if (world->reads_text) /* a text it is not: its beginning would be taken for all of it */
            ck_assert_ptr_null(imagine_response_string(response, path));
        url = imagine_response_data_url(response, path, NULL);
        if (url == NULL)
            continue;
        if (result.url != NULL)
            imagine_call_picture(call, result.url);
        result.url = world->copies_url ? imagine_call_strdup(call, url) : url;
    }
    if (result.url != NULL)
        imagine_call_succeed(call, &result);
    else
        imagine_call_fail(call, IMAGINE_EPROTOCOL, "no picture");
}

static void generate(imagine_call_t *call) {
    const world_t *world = imagine_call_user(call);
    imagine_call_request_t request = {.size = sizeof(request), .method = "POST"};
    request.url = imagine_call_url(call, "/make");
    request.has_json_pictures = !world->is_silent;
    imagine_call_http(call, &request, on_generated);
}

static void on_done(int status, const imagine_result_t *result, void *user) {
    world_t *world = user;
    world->done_count++;
    world->status = status;
    for (size_t i = 0; i < world->url_count; i++)
        free(world->urls[i]);
    world->url_count = 0;
    if (result->task_id != NULL && world->task_id == NULL)
        world->task_id = strdup(result->task_id);
    if (status != 0) { /* not even there */
        ck_assert_ptr_null(result->url);
        world->urls[world->url_count++] = strdup(result->message);
        return;
    }
    for (size_t i = 0; i < result->url_count; i++)
        world->urls[world->url_count++] = strdup(result->urls[i]);
    if (result->url_count == 0 && result->url != NULL)
        world->urls[world->url_count++] = strdup(result->url);
    if (result->url_count == 0 && result->url == NULL && result->task_state != NULL) {
        size_t size;
        world->urls[world->url_count++] = strdup(imagine_result_json(result, &size));
    }
}

static void on_closed(void *user) {
    ((world_t *)user)->closed_count++;
}

static void run_until(const world_t *world, const int *count) {
    for (int i = 0; i < STEPS_MAX && *count == 0; i++)
        ck_assert_msg(script_io_step(world->script), "nothing is under way any more");
    ck_assert_int_eq(*count, 1);
}

static bool configure(world_t *world, place_t place) {
    imagine_settings_t *settings = NULL;
    int err = imagine_settings_open(&settings);
    ck_assert_int_eq(err, 0);
    imagine_settings_set(settings, "S3_ENDPOINT", "https://s3.test");
    imagine_settings_set(settings, "S3_BUCKET_NAME", "box");
    imagine_settings_set(settings, "S3_ACCESS_KEY_ID", "id");
    imagine_settings_set(settings, "S3_SECRET_ACCESS_KEY", "a secret");
    err = imagine_configure(world->im, settings, NULL);
    imagine_settings_close(settings);
    if (err != 0)
        return false;
    /* No loop here, so no folder of libuv's: ours takes its place. */
    world->im->hosting->spool_folder = &world->folder.table;
    if (place == FOLDER) {
        world->im->hosting->folder = &world->folder.table;
        world->im->hosting->has_s3 = false;
    }
    world->has_folder = true;
    return true;
}

static bool open_world(world_t *world, place_t place, const imi_buf_t *text, size_t piece_size,
                       const imagine_allocator_t *allocator) {
    imagine_options_t options = IMAGINE_OPTIONS_INIT;
    imagine_provider_t provider = {
        .size = sizeof(provider), .name = "own", .generate = generate, .user = world};
    *world = (world_t){.script = script_io_open(text->data, piece_size)};
    provider.catalogue = "{\"api_base\":\"https://own.test\"}";
    provider.flags = IMAGINE_PROVIDER_TOKEN_OPTIONAL;
    the_world = world;
    world->text = *text;
    world->io = *script_io_table(world->script);
    world->io.random = ones;
    world->io.log = on_log;
    fake_folder_init(&world->folder, &world->io);
    options.io = &world->io;
    options.allocator = allocator;
    options.log_level = IMAGINE_LOG_WARN;
    if (imagine_open(&world->im, &options) != 0)
        return false;
    return imagine_register_provider(world->im, &provider) == 0 && configure(world, place);
}

static void close_world(world_t *world) {
    if (world->im != NULL) {
        imagine_close(world->im, on_closed, world);
        run_until(world, &world->closed_count);
    }
    ck_assert_uint_eq(world->folder.open_count, 0);
    ck_assert(!world->has_folder || world->folder.is_destroyed);
    script_io_close(world->script);
    fake_folder_reset(&world->folder);
    for (size_t i = 0; i < world->url_count; i++)
        free(world->urls[i]);
    free(world->task_id);
    imi_buf_reset(&world->text);
}

/* ---- scripts ------------------------------------------------------------------------------------
 */

static void put_base64(imi_buf_t *out, size_t size) {
    imi_buf_t picture;
    imi_buf_init(&picture, NULL, 0);
    script_append_picture(&picture, size);
    imi_base64_encode(out, picture.data, picture.size);
    imi_buf_reset(&picture);
}

static void begin_script(imi_buf_t *script, const char *head) {
    imi_buf_init(script, NULL, 0);
    imi_buf_append_text(script, "> POST https://own.test/make\n");
    imi_buf_append_text(script, head);
}

#define JSON_HEAD "< 200\n< Content-Type: application/json\n"

static void put_answer(imi_buf_t *script, size_t size, size_t count) {
    imi_buf_append_text(script, "<< {\"data\":[");
    for (size_t i = 0; i < count; i++) {
        imi_buf_append_text(script, i == 0 ? "{\"b64_json\":\"" : ",{\"b64_json\":\"");
        put_base64(script, size + i);
        imi_buf_append_text(script, "\"}");
    }
    imi_buf_append_text(script, "]}\n");
}

static void put_put(imi_buf_t *script, size_t size, const char *answer) {
    imi_buf_printf(script, PUT_HEAD ">@ %zu\n< %s\n", size, answer);
}

static char *data_url(size_t size) {
    imi_buf_t buf;
    imi_buf_init(&buf, NULL, 0);
    imi_buf_append_text(&buf, "data:image/png;base64,");
    put_base64(&buf, size);
    return imi_buf_take(&buf, NULL);
}

/* ---- stories ----------------------------------------------------------------------------------
 */

static void check_url(const char *name, const char *url, const char *wanted, size_t size) {
    char *whole = data_url(size);
    if (strcmp(wanted, DATA) == 0)
        wanted = whole;
    ck_assert_msg(strcmp(url, wanted) == 0, "%s: %zu bytes: %.200s", name, strlen(url), url);
    free(whole);
}

/* Whatever failed: an address of ours or all of it. */
static void check_not_cut(const world_t *world, size_t size) {
    char *whole = data_url(size);
    for (size_t i = 0; i < world->url_count && world->status == 0; i++)
        ck_assert_msg(strcmp(world->urls[i], whole) == 0 || strcmp(world->urls[i], LINK) == 0 ||
                          strcmp(world->urls[i], MEDIA) == 0,
                      "%zu bytes: %.200s", strlen(world->urls[i]), world->urls[i]);
    free(whole);
}

static void play(const story_t *story, size_t size, size_t piece_size,
                 const imagine_allocator_t *allocator) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    imi_buf_t text;
    world_t world;
    begin_script(&text, JSON_HEAD);
    put_answer(&text, size, 1);
    for (size_t i = 0; i < 2 && story->put_answers[i] != NULL; i++)
        put_put(&text, size, story->put_answers[i]);
    bool is_open = open_world(&world, story->place, &text, piece_size, allocator);
    ck_assert(is_open || allocator != NULL);
    world.folder.has_limit = story->has_limit;
    world.folder.size_max = story->size_max;
    world.folder.read_max = story->read_max;
    world.folder.fails_to_finish = story->fails_to_finish;
    world.folder.refused_at = story->refused_at;
    params.model = "own/any";
    params.prompt = "a cat";
    if (is_open && imagine_generate(world.im, &params, on_done, &world, NULL) == 0) {
        run_until(&world, &world.done_count);
        check_not_cut(&world, size);
        if (allocator == NULL) {
            const char *complaint = script_io_complaint(world.script);
            ck_assert_msg(complaint == NULL || story->status != 0, "%s: %s", story->name,
                          complaint);
            ck_assert_msg(world.status == story->status, "%s: %d %s", story->name, world.status,
                          world.urls[0]);
            if (story->status != 0)
                ck_assert_msg(strstr(world.urls[0], story->url) != NULL, "%s: %s", story->name,
                              world.urls[0]);
            else
                check_url(story->name, world.urls[0], story->url, size);
            if (story->log != NULL)
                ck_assert_msg(strstr(world.log, story->log) != NULL, "%s: %s", story->name,
                              world.log);
            else
                ck_assert_msg(world.log[0] == '\0', "%s: %s", story->name, world.log);
            ck_assert_uint_eq(world.folder.created_count,
                              story->place == FOLDER && story->has_limit ? 2 : 1);
            ck_assert_uint_eq(world.folder.open_count, 0); /* as soon as it is over */
        }
        if (allocator == NULL && story->url != NULL && strcmp(story->url, MEDIA) == 0) {
            imi_buf_t picture;
            imi_buf_init(&picture, NULL, 0);
            script_append_picture(&picture, size);
            ck_assert_str_eq(world.folder.finished_name, NAME);
            ck_assert_uint_eq(world.folder.finished_size, size);
            ck_assert_int_eq(memcmp(world.folder.finished, picture.data, size), 0);
            imi_buf_reset(&picture);
        }
    }
    close_world(&world);
}

START_TEST(a_picture_goes_where_it_should) { /* _i walks stories */
    play(&stories[_i], BIG, 0, NULL);
    play(&stories[_i], BIG, 16384, NULL);
    play(&stories[_i], BIG, 1009, NULL);
}
END_TEST

/* Opening takes as many allocations every time: the first story is enough to see each of them fail.
 */
static size_t first_to_fail(int index) {
    failing_mem_t failing;
    imagine_allocator_t allocator = {failing_mem_resize, &failing};
    imi_buf_t text;
    world_t world;
    size_t count;
    failing_mem_init(&failing, 0);
    imi_buf_init(&text, NULL, 0);
    imi_buf_append_text(&text, "");
    ck_assert(open_world(&world, stories[index].place, &text, 0, &allocator));
    count = failing.request_count;
    close_world(&world);
    return index == 0 ? 1 : count + 1;
}

START_TEST(it_ends_once_and_leaves_nothing_whichever_allocation_fails) { /* _i walks stories */
    for (size_t n = first_to_fail(_i);; n++) {
        failing_mem_t failing;
        imagine_allocator_t allocator = {failing_mem_resize, &failing};
        ck_assert_uint_lt(n, ALLOCATIONS_MAX);
        failing_mem_init(&failing, n);
        play(&stories[_i], BIG, 16384, &allocator);
        ck_assert_msg(failing.live_count == 0, "%s: request %zu for memory failed, %zu blocks left",
                      stories[_i].name, n, failing.live_count);
        if (!failing.has_failed)
            return;
    }
}
END_TEST

START_TEST(however_large_it_is_it_takes_a_window_of_memory) { /* _i: 0, S3; 1, a folder */
    failing_mem_t failing;
    imagine_allocator_t allocator = {failing_mem_resize, &failing};
    const size_t size = 6 * 1000 * 1000;
    size_t resting_size;
    imi_buf_t text;
    world_t world;
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    failing_mem_init(&failing, 0);
    begin_script(&text, "< 200\n< Content-Type: application/json\n< Content-Length: 8000026\n");
    put_answer(&text, size, 1);
    if (_i == 0)
        put_put(&text, size, "200");
    ck_assert(open_world(&world, _i == 0 ? S3 : FOLDER, &text, 16384, &allocator));
    world.folder.delay_ms = _i == 0 ? 0 : 3; /* a slow disk: then the provider waits */
    resting_size = failing.live_size;
    failing.live_size_max = 0;
    params.model = "own/any";
    params.prompt = "a cat";
    ck_assert_int_eq(imagine_generate(world.im, &params, on_done, &world, NULL), 0);
    run_until(&world, &world.done_count);
    ck_assert_int_eq(world.status, 0);
    ck_assert_str_eq(world.urls[0], _i == 0 ? LINK : MEDIA);
    ck_assert_uint_lt(failing.live_size_max - resting_size, 256 * 1024);
    close_world(&world);
    ck_assert_uint_eq(failing.live_count, 0);
}
END_TEST

/* ---- which answers ----------------------------------------------------------------------------
 */

static const struct {
    const char *name, *head;
    size_t size;
    int32_t format, want_bytes;
    bool is_silent;
    size_t created_count;
    int status;
} answer_cases[] = {
    {"a JSON answer", JSON_HEAD, BIG, IMAGINE_FORMAT_ANY, 0, false, 1, 0},
    {"an address is wanted", JSON_HEAD, BIG, IMAGINE_FORMAT_URL, 0, false, 1, 0},
    {"a short picture", JSON_HEAD, 5000, IMAGINE_FORMAT_ANY, 0, false, 0, 0},
    {"data: is wanted", JSON_HEAD, BIG, IMAGINE_FORMAT_DATA, 0, false, 0, 0},
    {"bytes are wanted", JSON_HEAD, BIG, IMAGINE_FORMAT_ANY, 1, false, 0, 0},
    {"the provider does not say so", JSON_HEAD, BIG, IMAGINE_FORMAT_ANY, 0, true, 0, 0},
    {"something else than JSON", "< 200\n< Content-Type: text/plain\n", BIG, IMAGINE_FORMAT_ANY, 0,
     false, 0, 0},
    {"a refusal", "< 400\n< Content-Type: application/json\n", BIG, IMAGINE_FORMAT_ANY, 0, false, 0,
     IMAGINE_EREJECTED},
};

START_TEST(only_what_will_be_hosted_goes_to_a_file) { /* _i walks answer_cases */
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    imi_buf_t text;
    world_t world;
    begin_script(&text, answer_cases[_i].head);
    put_answer(&text, answer_cases[_i].size, 1);
    ck_assert(open_world(&world, FOLDER, &text, 16384, NULL));
    world.is_silent = answer_cases[_i].is_silent;
    world.reads_text = answer_cases[_i].created_count > 0;
    params.model = "own/any";
    params.prompt = "a cat";
    params.response_format = answer_cases[_i].format;
    params.want_bytes = answer_cases[_i].want_bytes;
    ck_assert_int_eq(imagine_generate(world.im, &params, on_done, &world, NULL), 0);
    run_until(&world, &world.done_count);
    ck_assert_msg(world.status == answer_cases[_i].status, "%s: %d", answer_cases[_i].name,
                  world.status);
    ck_assert_msg(world.folder.created_count >= answer_cases[_i].created_count, "%s: not put aside",
                  answer_cases[_i].name);
    check_not_cut(&world, answer_cases[_i].size);
    close_world(&world);
}
END_TEST

START_TEST(several_pictures_keep_their_order) { /* _i: how many; from the 11th on in memory */
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    size_t count = (size_t)_i, hosted_count = count < 10 ? count : 10;
    imi_buf_t text;
    world_t world;
    begin_script(&text, JSON_HEAD);
    put_answer(&text, BIG, count);
    for (size_t i = 0; i < count; i++)
        put_put(&text, BIG + i, i % 2 == 0 ? "200" : "403");
    ck_assert(open_world(&world, S3, &text, 16384, NULL));
    params.model = "own/any";
    params.prompt = "a cat";
    ck_assert_int_eq(imagine_generate(world.im, &params, on_done, &world, NULL), 0);
    run_until(&world, &world.done_count);
    ck_assert_int_eq(world.status, 0);
    ck_assert_ptr_null(script_io_complaint(world.script));
    ck_assert_uint_eq(world.url_count, count);
    ck_assert_uint_eq(world.folder.created_count, hosted_count);
    for (size_t i = 0; i < count; i++)
        check_url("several", world.urls[i], i % 2 == 0 ? LINK : DATA, BIG + i);
    close_world(&world);
}
END_TEST

START_TEST(a_copy_of_its_address_stands_for_it_too) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    imi_buf_t text;
    world_t world;
    begin_script(&text, JSON_HEAD);
    put_answer(&text, BIG, 2);
    put_put(&text, BIG, "403");
    put_put(&text, BIG + 1, "200");
    ck_assert(open_world(&world, S3, &text, 0, NULL));
    world.copies_url = true;
    params.model = "own/any";
    params.prompt = "a cat";
    ck_assert_int_eq(imagine_generate(world.im, &params, on_done, &world, NULL), 0);
    run_until(&world, &world.done_count);
    ck_assert_ptr_null(script_io_complaint(world.script));
    check_url("first", world.urls[0], DATA, BIG);
    check_url("second", world.urls[1], LINK, BIG + 1);
    close_world(&world);
}
END_TEST

static const struct {
    const char *name, *behind, *message;
} broken_cases[] = {
    {"a letter that is none", "*\"}]}\n", "a picture in the answer is broken"},
    {"an end inside", "\n", "a picture in the answer is broken"}, /* the script's own line feed */
};

START_TEST(a_broken_picture_is_no_result) { /* _i walks broken_cases */
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    imi_buf_t text;
    world_t world;
    begin_script(&text, JSON_HEAD "<< {\"data\":[{\"b64_json\":\"");
    put_base64(&text, BIG);
    imi_buf_append_text(&text, broken_cases[_i].behind);
    ck_assert(open_world(&world, S3, &text, 16384, NULL));
    params.model = "own/any";
    params.prompt = "a cat";
    ck_assert_int_eq(imagine_generate(world.im, &params, on_done, &world, NULL), 0);
    run_until(&world, &world.done_count);
    ck_assert_int_eq(world.status, IMAGINE_EPROTOCOL);
    ck_assert_msg(strstr(world.urls[0], "inside a picture") != NULL ||
                      strstr(world.urls[0], broken_cases[_i].message) != NULL,
                  "%s: %s", broken_cases[_i].name, world.urls[0]);
    close_world(&world);
}
END_TEST

/* ---- when the caller does not wait ------------------------------------------------------------
 */

static imagine_request_t *start_story(world_t *world, place_t place, const char *put_answer_line,
                                      uint64_t disk_ms, uint32_t timeout_ms) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    imagine_request_t *request = NULL;
    imi_buf_t text;
    begin_script(&text, JSON_HEAD);
    put_answer(&text, BIG, 1);
    if (put_answer_line != NULL)
        put_put(&text, BIG, put_answer_line);
    ck_assert(open_world(world, place, &text, 16384, NULL));
    world->folder.delay_ms = disk_ms;
    params.model = "own/any";
    params.prompt = "a cat";
    params.timeout_ms = timeout_ms;
    ck_assert_int_eq(imagine_generate(world->im, &params, on_done, world, &request), 0);
    return request;
}

START_TEST(a_deadline_that_comes_meanwhile_gives_all_of_it) { /* _i: ms */
    world_t world;
    imagine_request_release(start_story(&world, S3, "200", 3, (uint32_t)_i));
    run_until(&world, &world.done_count);
    check_not_cut(&world, BIG);
    ck_assert(world.status == 0 || world.status == IMAGINE_ETIMEDOUT);
    if (_i >= 30) /* the answer was there by then */
        ck_assert_int_eq(world.status, 0);
    close_world(&world);
}
END_TEST

START_TEST(a_deadline_does_not_wait_for_a_disk_that_hangs) {
    world_t world;
    imagine_request_release(start_story(&world, FOLDER, NULL, 60 * 1000, 15));
    run_until(&world, &world.done_count);
    ck_assert_int_eq(world.status, IMAGINE_ETIMEDOUT);
    close_world(&world);
}
END_TEST

static void ask_task(world_t *world) {
    world->done_count = 0;
    ck_assert_ptr_nonnull(world->task_id);
    ck_assert_int_eq(imagine_task_status(world->im, world->task_id, on_done, world, NULL), 0);
    run_until(world, &world->done_count);
}

START_TEST(a_caller_who_leaves_finds_all_of_it_later) { /* _i: after so many steps */
    for (size_t i = 0; i < 2; i++) {
        char *whole = data_url(BIG);
        world_t world;
        imagine_request_t *request = start_story(&world, S3, i == 0 ? "200" : "403", 0, 0);
        for (int step = 0; step < _i && world.done_count == 0; step++)
            script_io_step(world.script);
        if (world.done_count == 0) {
            imagine_cancel(request);
            run_until(&world, &world.done_count);
            ck_assert_int_eq(world.status, IMAGINE_ECANCELED);
        }
        while (script_io_step(world.script)) {
        }
        if (world.task_id != NULL) {
            ask_task(&world);
            ck_assert_int_eq(world.status, 0);
            ck_assert_msg(strstr(world.urls[0], whole) != NULL ||
                              strstr(world.urls[0], "https://s3.test/box/" KEY) != NULL,
                          "after %d steps: %.300s", _i, world.urls[0]);
        }
        ck_assert_uint_eq(world.folder.open_count, 0);
        imagine_request_release(request);
        close_world(&world);
        free(whole);
    }
}
END_TEST

START_TEST(closing_the_client_closes_the_files) { /* _i: after so many steps */
    static const place_t places[] = {S3, FOLDER};
    for (size_t i = 0; i < 2; i++) {
        bool is_paid;
        world_t world;
        imagine_request_t *request =
            start_story(&world, places[i], places[i] == S3 ? "403" : NULL, 1, 0);
        for (int step = 0; step < _i && world.done_count == 0; step++)
            script_io_step(world.script);
        is_paid = request->delivery != NULL;
        imagine_close(world.im, on_closed, &world);
        run_until(&world, &world.closed_count); /* aborts if a file or an exchange is left */
        world.im = NULL;
        ck_assert_int_eq(world.done_count, 1);
        ck_assert(world.status == 0 || (world.status == IMAGINE_ECANCELED && !is_paid));
        check_not_cut(&world, BIG);
        close_world(&world);
        imagine_request_release(request); /* behind the client's end */
    }
}
END_TEST

START_TEST(closing_does_not_wait_for_a_disk_that_hangs) { /* _i: 1, nobody waits for it either */
    world_t world;
    imagine_request_t *request = start_story(&world, FOLDER, NULL, 0, 0);
    while (request->delivery == NULL)
        ck_assert(script_io_step(world.script));
    world.folder.delay_ms = 60 * 60 * 1000; /* from now on */
    if (_i == 1)
        imagine_cancel(request);
    while (_i == 1 && world.done_count == 0)
        ck_assert(script_io_step(world.script));
    imagine_request_release(request);
    close_world(&world);
    ck_assert_int_eq(world.done_count, 1);
    ck_assert_int_ne(world.status, 0);
}
END_TEST

START_TEST(settings_wait_for_files) {
    world_t world;
    imagine_request_release(start_story(&world, FOLDER, NULL, 1, 0));
    while (world.folder.open_count == 0)
        ck_assert(script_io_step(world.script));
    ck_assert(!configure(&world, FOLDER));
    run_until(&world, &world.done_count);
    close_world(&world);
}
END_TEST

/* ---- jobs, and more than one call -------------------------------------------------------------
 */

START_TEST(a_job_s_record_has_all_of_it) { /* _i: 0, hosted; 1, not */
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    char *whole = data_url(BIG);
    imi_buf_t text;
    world_t world;
    begin_script(&text, JSON_HEAD);
    put_answer(&text, BIG, 1);
    put_put(&text, BIG, _i == 0 ? "200" : "403");
    ck_assert(open_world(&world, S3, &text, 16384, NULL));
    params.model = "own/any";
    params.prompt = "a cat";
    params.is_job = 1;
    ck_assert_int_eq(imagine_generate(world.im, &params, on_done, &world, NULL), 0);
    run_until(&world, &world.done_count);
    while (script_io_step(world.script)) {
    }
    ask_task(&world);
    ck_assert_msg(strstr(world.urls[0], _i == 0 ? "https://s3.test/box/" KEY : whole) != NULL,
                  "%.300s", world.urls[0]);
    close_world(&world);
    free(whole);
}
END_TEST

START_TEST(parts_of_a_batch_bring_all_of_it) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    imi_buf_t text;
    world_t world;
    begin_script(&text, JSON_HEAD);
    put_answer(&text, BIG, 1);
    imi_buf_append_text(&text, "> POST https://own.test/make\n" JSON_HEAD);
    put_answer(&text, BIG, 1);
    put_put(&text, BIG, "403");
    put_put(&text, BIG, "200");
    ck_assert(open_world(&world, S3, &text, 16384, NULL));
    params.model = "own/any";
    params.prompt = "a cat";
    params.count = 2;
    ck_assert_int_eq(imagine_generate(world.im, &params, on_done, &world, NULL), 0);
    run_until(&world, &world.done_count);
    ck_assert_int_eq(world.status, 0);
    ck_assert_uint_eq(world.url_count, 2);
    check_url("first", world.urls[0], DATA, BIG);
    check_url("second", world.urls[1], LINK, BIG);
    close_world(&world);
}
END_TEST

static Suite *aside_suite(void) {
    Suite *suite = suite_create("core/aside");
    TCase *tests = tcase_create("pictures");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, a_picture_goes_where_it_should, 0, COUNT_OF(stories));
    tcase_add_loop_test(tests, it_ends_once_and_leaves_nothing_whichever_allocation_fails, 0,
                        COUNT_OF(stories));
    tcase_add_loop_test(tests, however_large_it_is_it_takes_a_window_of_memory, 0, 2);
    tcase_add_loop_test(tests, only_what_will_be_hosted_goes_to_a_file, 0, COUNT_OF(answer_cases));
    tcase_add_loop_test(tests, several_pictures_keep_their_order, 2, 13);
    tcase_add_test(tests, a_copy_of_its_address_stands_for_it_too);
    tcase_add_loop_test(tests, a_broken_picture_is_no_result, 0, COUNT_OF(broken_cases));
    tcase_add_loop_test(tests, a_deadline_that_comes_meanwhile_gives_all_of_it, 1, 80);
    tcase_add_test(tests, a_deadline_does_not_wait_for_a_disk_that_hangs);
    tcase_add_loop_test(tests, a_caller_who_leaves_finds_all_of_it_later, 0, 60);
    tcase_add_loop_test(tests, closing_the_client_closes_the_files, 0, 60);
    tcase_add_loop_test(tests, closing_does_not_wait_for_a_disk_that_hangs, 0, 2);
    tcase_add_test(tests, settings_wait_for_files);
    tcase_add_loop_test(tests, a_job_s_record_has_all_of_it, 0, 2);
    tcase_add_test(tests, parts_of_a_batch_bring_all_of_it);
    suite_add_tcase(suite, tests);
    return suite;
}

IMI_CHECK_MAIN(aside_suite)
