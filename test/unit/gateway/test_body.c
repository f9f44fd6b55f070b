/* test_body.c: bodies as they come in: JSON as it is, forms as JSON with pictures beside it. Every
 * case also comes in one byte at a time, and split in two at every byte. */
#include "gateway/body.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/head.h"
#include "../../support/check_main.h"
#include "../../support/failing_mem.h"

#define MIB ((size_t)1024 * 1024)

/* ---- the plan ----------------------------------------------------------------------------------
 */

static const struct {
    const char *name, *type;
    int64_t length;
    int status; /* 0: a body can come */
    imi_body_kind_t kind;
} plan_cases[] = {
    {"JSON", "application/json", 10, 0, IMI_BODY_JSON},
    {"JSON with a charset", "application/json; charset=utf-8", 10, 0, IMI_BODY_JSON},
    {"JSON in capitals", "Application/JSON", 10, 0, IMI_BODY_JSON},
    {"JSON in chunks", "application/json", -1, 0, IMI_BODY_JSON},
    {"an empty one", "application/json", 0, 0, IMI_BODY_JSON},
    {"a form", "multipart/form-data; boundary=xyz", 10, 0, IMI_BODY_MULTIPART},
    {"a form with a quoted boundary", "multipart/form-data; boundary=\"x z\"", 10, 0,
     IMI_BODY_MULTIPART},
    {"a form without boundary", "multipart/form-data", 10, 400, 0},
    {"a form with an empty boundary", "multipart/form-data; boundary=", 10, 400, 0},
    {"no type", NULL, 10, 0, IMI_BODY_UNTYPED},
    {"an empty type", "", 10, 0, IMI_BODY_UNTYPED},
    {"text", "text/plain", 10, 415, 0},
    {"what curl -d sends", "application/x-www-form-urlencoded", 10, 415, 0},
    {"JSON with a suffix", "application/jsonp", 10, 415, 0},
    {"no length", "application/json", -1, 0, IMI_BODY_JSON},
    {"JSON of 32 MiB", "application/json", 32 * 1024 * 1024, 0, IMI_BODY_JSON},
    {"JSON of 32 MiB and a byte", "application/json", 32 * 1024 * 1024 + 1, 413, 0},
    {"a form of 64 MiB", "multipart/form-data; boundary=x", 64 * 1024 * 1024, 0,
     IMI_BODY_MULTIPART},
    {"a form of 64 MiB and a byte", "multipart/form-data; boundary=x", 64 * 1024 * 1024 + 1, 413,
     0},
    {"more than any machine has", "application/json", INT64_MAX, 413, 0},
};

START_TEST(the_head_says_how_a_body_is_read) {
    imi_body_plan_t plan;
    const imi_refusal_t *refusal =
        imi_body_plan(&plan, imi_slice_of(plan_cases[_i].type), plan_cases[_i].length, 64 * MIB);
    ck_assert_msg((refusal == NULL ? 0 : refusal->status) == plan_cases[_i].status, "%s: %d",
                  plan_cases[_i].name, refusal == NULL ? 0 : refusal->status);
    if (refusal == NULL)
        ck_assert_msg(plan.kind == plan_cases[_i].kind, "%s", plan_cases[_i].name);
}
END_TEST

START_TEST(a_small_limit_holds_for_json_too) {
    imi_body_plan_t plan;
    imi_slice_t type = IMI_SLICE("application/json");
    ck_assert_ptr_null(imi_body_plan(&plan, type, 100, 100));
    ck_assert_int_eq(imi_body_plan(&plan, type, 101, 100)->status, 413);
}
END_TEST

/* ---- reading -----------------------------------------------------------------------------------
 */

typedef struct reading {
    imi_gateway_body_t *body;
    const imi_refusal_t *refusal;
    imagine_form_t form;
} reading_t;

/* Pieces of `step` bytes behind a first one of `first`. */
static reading_t take_in(const imi_mem_t *mem, const char *type, int64_t size_told,
                         const char *data, size_t size, size_t first, size_t step) {
    reading_t reading = {.form = {.size = sizeof(imagine_form_t)}};
    imi_body_plan_t plan;
    reading.refusal = imi_body_plan(&plan, imi_slice_of(type), size_told, 64 * MIB);
    if (reading.refusal != NULL)
        return reading;
    reading.body = imi_gateway_body_new(mem, &plan);
    if (reading.body == NULL)
        return reading;
    for (size_t at = 0; at < size && reading.refusal == NULL;) {
        size_t piece = at == 0 && first > 0 ? first : step;
        char *copy;
        if (piece > size - at)
            piece = size - at;
        copy = malloc(piece); /* exact, so that a byte too far is seen */
        memcpy(copy, data + at, piece);
        reading.refusal = imi_gateway_body_feed(reading.body, copy, piece);
        free(copy);
        at += piece;
    }
    if (reading.refusal == NULL)
        reading.refusal = imi_gateway_body_finish(reading.body, &reading.form);
    return reading;
}

static reading_t take_whole(const char *type, const char *text) {
    return take_in(NULL, type, (int64_t)strlen(text), text, strlen(text), 0, strlen(text) + 1);
}

START_TEST(json_comes_out_as_it_came_in_however_it_is_split) {
    static const char text[] = "{\"prompt\":\"a cat\",\"n\":1}";
    size_t size = sizeof(text) - 1;
    for (size_t first = 0; first <= size; first++) {
        for (int is_told = 0; is_told < 2; is_told++) {
            reading_t reading = take_in(NULL, "application/json", is_told ? (int64_t)size : -1,
                                        text, size, first, first == 0 ? 1 : size);
            ck_assert_ptr_null(reading.refusal);
            ck_assert_uint_eq(reading.form.json_size, size);
            ck_assert_mem_eq(reading.form.json, text, size);
            imi_gateway_body_release(reading.body);
        }
    }
}
END_TEST

START_TEST(a_small_json_body_holds_little_memory) {
    failing_mem_t failing;
    char text[200];
    reading_t reading;
    memset(text, ' ', sizeof(text));
    failing_mem_init(&failing, 0);
    reading = take_in(&failing.mem, "application/json", sizeof(text), text, sizeof(text), 0, 50);
    ck_assert_ptr_null(reading.refusal);
    ck_assert_uint_le(failing.live_size, 400);
    imi_gateway_body_release(reading.body);
    reading = take_in(&failing.mem, "application/json", -1, text, sizeof(text), 0, 1);
    ck_assert_uint_le(failing.live_size, 600);
    imi_gateway_body_release(reading.body);
    ck_assert_uint_eq(failing.live_count, 0);
}
END_TEST

START_TEST(a_large_length_alone_takes_no_memory) {
    failing_mem_t failing;
    reading_t reading;
    failing_mem_init(&failing, 0);
    reading = take_in(&failing.mem, "application/json", 32 * 1024 * 1024, "{", 1, 0, 1);
    ck_assert_uint_le(failing.live_size, 66 * 1024);
    imi_gateway_body_release(reading.body);
}
END_TEST

START_TEST(more_than_was_told_is_too_large) {
    char text[1024] = "";
    reading_t reading = take_in(NULL, "application/json", 10, text, sizeof(text), 0, 1);
    ck_assert_int_eq(reading.refusal->status, 413);
    imi_gateway_body_release(reading.body);
}
END_TEST

START_TEST(chunks_end_at_the_limit) {
    imi_body_plan_t plan;
    imi_gateway_body_t *body;
    static char page[1024 * 1024];
    const imi_refusal_t *refusal = NULL;
    size_t count = 0;
    ck_assert_ptr_null(imi_body_plan(&plan, IMI_SLICE("application/json"), -1, 3 * MIB));
    body = imi_gateway_body_new(NULL, &plan);
    for (; refusal == NULL && count < 5; count++)
        refusal = imi_gateway_body_feed(body, page, sizeof(page));
    ck_assert_int_eq(refusal->status, 413);
    ck_assert_uint_eq(count, 4);
    imi_gateway_body_release(body);
}
END_TEST

static const struct {
    const char *text;
    int status;
} untyped_cases[] = {
    {"{\"a\":1}", 0}, {"  \r\n\t{}", 0}, {"", 0},           {"   ", 0},
    {"[1]", 415},     {"hello", 415},    {"a=1&b={}", 415}, {" x{}", 415},
};

START_TEST(without_a_type_only_an_object_is_taken) {
    const char *text = untyped_cases[_i].text;
    for (size_t step = 1; step <= strlen(text) + 1; step++) {
        reading_t reading = take_in(NULL, NULL, (int64_t)strlen(text), text, strlen(text), 0, step);
        int status = reading.refusal == NULL ? 0 : reading.refusal->status;
        ck_assert_msg(status == untyped_cases[_i].status, "\"%s\": %d", text, status);
        imi_gateway_body_release(reading.body);
    }
}
END_TEST

/* ---- forms -------------------------------------------------------------------------------------
 */

#define FORM_TYPE "multipart/form-data; boundary=B"
#define FIELD(name, value) \
    "--B\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"
#define PICTURE(name, value)                                                           \
    "--B\r\nContent-Disposition: form-data; name=\"" name "\"; filename=\"a.png\"\r\n" \
    "Content-Type: image/png\r\n\r\n" value "\r\n"
#define END "--B--\r\n"

/* pictures: "file:…" and "url:…", one behind the other with a space. */
static const struct {
    const char *name, *body, *json, *pictures;
} form_cases[] = {
    {"nothing", END, "{}", ""},
    {"texts", FIELD("model", "gitee/x") FIELD("prompt", "a \"cat\"\r\n!") END,
     "{\"model\":\"gitee/x\",\"prompt\":\"a \\\"cat\\\"\\r\\n!\"}", ""},
    {"an empty text stays", FIELD("negativePrompt", "") END, "{\"negativePrompt\":\"\"}", ""},
    {"numbers lose their quotes",
     FIELD("steps", "9") FIELD("guidance", "3.5") FIELD("seed", "-1") FIELD("width", "1e3")
         FIELD("height", " 64 ") FIELD("n", "1") FIELD("duration", "5") FIELD("temperature", "0.7")
             FIELD("max_tokens", "10") END,
     "{\"steps\":9,\"guidance\":3.5,\"seed\":-1,\"width\":1e3,\"height\":64,\"n\":1,"
     "\"duration\":5,\"temperature\":0.7,\"max_tokens\":10}",
     ""},
    {"empty numbers are absent", FIELD("steps", "") FIELD("seed", "  ") END, "{}", ""},
    {"what is no number stays a text",
     FIELD("steps", "nine") FIELD("seed", "1,5") FIELD("width", "0x10") FIELD("n", "01") END,
     "{\"steps\":\"nine\",\"seed\":\"1,5\",\"width\":\"0x10\",\"n\":\"01\"}", ""},
    {"switches", FIELD("enableHD", "true") FIELD("stream", "false") FIELD("async", "") END,
     "{\"enableHD\":true,\"stream\":false}", ""},
    {"a switch that is none", FIELD("enableHD", "yes") END, "{\"enableHD\":\"yes\"}", ""},
    {"a number in a text field stays a text", FIELD("prompt", "42") END, "{\"prompt\":\"42\"}", ""},
    {"a file", PICTURE("image", "PNG") END, "{}", "file:PNG "},
    {"files under every name",
     PICTURE("image", "1") PICTURE("images", "2") PICTURE("image[]", "3") PICTURE("images[]", "4")
         PICTURE("imageUrl", "5") END,
     "{}", "file:1 file:2 file:3 file:4 file:5 "},
    {"an unused file input", PICTURE("image", "") END, "{}", ""},
    {"a file of another name is ignored", PICTURE("mask", "M") FIELD("prompt", "p") END,
     "{\"prompt\":\"p\"}", ""},
    {"an address", FIELD("image", "https://a.test/1.png") END, "{}", "url:https://a.test/1.png "},
    {"an empty address", FIELD("image", "") END, "{}", ""},
    {"imageUrl stays a text", FIELD("imageUrl", "https://a.test/1.png") END,
     "{\"imageUrl\":\"https://a.test/1.png\"}", ""},
    {"fields between files do not end up in them",
     PICTURE("image", "one") FIELD("prompt", "between") PICTURE("image", "two")
         FIELD("image", "data:,x") FIELD("steps", "4") PICTURE("image", "three") END,
     "{\"prompt\":\"between\",\"steps\":4}", "file:one file:two url:data:,x file:three "},
    {"a byte that is not UTF-8", FIELD("prompt", "a\xff") END, "{\"prompt\":\"a\xef\xbf\xbd\"}",
     ""},
};

static void append(char *out, const char *data, size_t size) {
    size_t used = strlen(out);
    memcpy(out + used, data, size);
    out[used + size] = '\0';
}

static void check_form(const reading_t *reading, size_t index, const char *how) {
    char pictures[256] = "";
    size_t kept_size = 0;
    ck_assert_msg(reading->refusal == NULL, "%s (%s)", form_cases[index].name, how);
    ck_assert_msg(reading->form.json_size == strlen(form_cases[index].json) &&
                      memcmp(reading->form.json, form_cases[index].json, reading->form.json_size) ==
                          0,
                  "%s (%s): %.*s", form_cases[index].name, how, (int)reading->form.json_size,
                  reading->form.json);
    for (size_t i = 0; i < reading->form.image_count; i++) {
        const imagine_image_t *image = &reading->form.images[i];
        ck_assert_uint_eq(image->size, sizeof(*image));
        kept_size += image->url != NULL ? strlen(image->url) + 1 : image->data_size;
        append(pictures, image->url != NULL ? "url:" : "file:", image->url != NULL ? 4 : 5);
        if (image->url != NULL)
            append(pictures, image->url, strlen(image->url));
        else
            append(pictures, image->data, image->data_size);
        append(pictures, " ", 1);
    }
    ck_assert_msg(reading->body->data.size == kept_size, "%s: fields take room among the pictures",
                  form_cases[index].name);
    ck_assert_msg(strcmp(pictures, form_cases[index].pictures) == 0, "%s (%s): %s",
                  form_cases[index].name, how, pictures);
}

START_TEST(a_form_becomes_json_and_pictures) {
    const char *body = form_cases[_i].body;
    size_t size = strlen(body);
    for (size_t first = 0; first <= size; first++) {
        reading_t reading = take_in(NULL, FORM_TYPE, first % 2 == 0 ? (int64_t)size : -1, body,
                                    size, first, first == 0 ? 1 : size);
        check_form(&reading, (size_t)_i, first == 0 ? "byte by byte" : "split in two");
        imi_gateway_body_release(reading.body);
    }
}
END_TEST

static const struct {
    const char *name, *body;
    int status;
} broken_forms[] = {
    {"nothing at all", "", 400},
    {"no end", FIELD("prompt", "p"), 400},
    {"no boundary", "hello", 400},
    {"a part without name", "--B\r\nContent-Type: text/plain\r\n\r\nx\r\n" END, 400},
    {"cut inside a part", "--B\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\nhal", 400},
};

START_TEST(a_broken_form_is_refused) {
    const char *body = broken_forms[_i].body;
    for (size_t step = 1; step <= strlen(body) + 1; step++) {
        reading_t reading =
            take_in(NULL, FORM_TYPE, (int64_t)strlen(body), body, strlen(body), 0, step);
        ck_assert_msg(reading.refusal != NULL && reading.refusal->status == broken_forms[_i].status,
                      "%s: %s", broken_forms[_i].name,
                      reading.refusal == NULL ? "taken" : reading.refusal->message);
        imi_gateway_body_release(reading.body);
    }
}
END_TEST

static reading_t take_pictures(size_t count) {
    static char body[64 * 1024];
    body[0] = '\0';
    for (size_t i = 0; i < count; i++)
        append(body, PICTURE("image", "x"), strlen(PICTURE("image", "x")));
    append(body, END, strlen(END));
    return take_whole(FORM_TYPE, body);
}

START_TEST(sixteen_pictures_and_no_more) {
    reading_t reading = take_pictures(16);
    ck_assert_ptr_null(reading.refusal);
    ck_assert_uint_eq(reading.form.image_count, 16);
    imi_gateway_body_release(reading.body);
    reading = take_pictures(17);
    ck_assert_int_eq(reading.refusal->status, 400);
    imi_gateway_body_release(reading.body);
}
END_TEST

START_TEST(a_form_has_a_bounded_number_of_parts) {
    static char body[64 * 1024];
    reading_t reading;
    body[0] = '\0';
    for (size_t i = 0; i < IMI_FORM_PARTS_MAX + 1; i++)
        append(body, FIELD("x", "y"), strlen(FIELD("x", "y")));
    append(body, END, strlen(END));
    reading = take_whole(FORM_TYPE, body);
    ck_assert_int_eq(reading.refusal->status, 413);
    imi_gateway_body_release(reading.body);
}
END_TEST

/* Feeds a picture of so many bytes, in pages. */
static const imi_refusal_t *feed_picture(imi_gateway_body_t *body, size_t size) {
    static const char head[] = "--B\r\nContent-Disposition: form-data; name=\"image\"; "
                               "filename=\"a\"\r\n\r\n";
    static char page[64 * 1024];
    const imi_refusal_t *refusal = imi_gateway_body_feed(body, head, sizeof(head) - 1);
    for (size_t at = 0; at < size && refusal == NULL; at += sizeof(page))
        refusal =
            imi_gateway_body_feed(body, page, size - at < sizeof(page) ? size - at : sizeof(page));
    return refusal != NULL ? refusal : imi_gateway_body_feed(body, "\r\n" END, strlen(END) + 2);
}

START_TEST(a_picture_has_fifty_mebibytes_at_most) {
    imi_body_plan_t plan;
    imi_gateway_body_t *body;
    ck_assert_ptr_null(imi_body_plan(&plan, IMI_SLICE(FORM_TYPE), -1, 64 * MIB));
    body = imi_gateway_body_new(NULL, &plan);
    ck_assert_ptr_null(feed_picture(body, 50 * MIB));
    imi_gateway_body_release(body);
    body = imi_gateway_body_new(NULL, &plan);
    ck_assert_int_eq(feed_picture(body, 50 * MIB + 1)->status, 413);
    imi_gateway_body_release(body);
}
END_TEST

START_TEST(an_address_with_a_nul_is_refused) {
    static const char body[] = FIELD("image", "https://a.test/\0x") END;
    reading_t reading = take_in(NULL, FORM_TYPE, sizeof(body) - 1, body, sizeof(body) - 1, 0, 7);
    ck_assert_int_eq(reading.refusal->status, 400);
    imi_gateway_body_release(reading.body);
}
END_TEST

START_TEST(a_body_outlives_its_first_owner) {
    reading_t reading = take_whole("application/json", "{}");
    imi_gateway_body_retain(reading.body);
    imi_gateway_body_release(reading.body);
    ck_assert_mem_eq(reading.form.json, "{}", 2);
    imi_gateway_body_release(reading.body);
}
END_TEST

START_TEST(bodies_survive_failing_memory) {
    static const char form[] = FIELD("prompt", "a cat") PICTURE("image", "PNG")
        FIELD("image", "https://a.test/1.png") FIELD("steps", "9") END;
    static const char json[] = "{\"prompt\":\"a cat\"}";
    const char *types[] = {FORM_TYPE, "application/json"};
    const char *bodies[] = {form, json};
    for (size_t i = 0; i < 2; i++) {
        bool has_failed = true;
        for (size_t fail_at = 1; has_failed; fail_at++) {
            failing_mem_t failing;
            reading_t reading;
            failing_mem_init(&failing, fail_at);
            reading = take_in(&failing.mem, types[i], (int64_t)strlen(bodies[i]), bodies[i],
                              strlen(bodies[i]), 0, 11);
            has_failed = failing.has_failed;
            if (has_failed)
                ck_assert(reading.body == NULL || reading.refusal->status == 503);
            else
                ck_assert_ptr_null(reading.refusal);
            imi_gateway_body_release(reading.body);
            ck_assert_uint_eq(failing.live_count, 0);
        }
    }
}
END_TEST

/* ---- the head ----------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    imagine_header_t headers[3];
    int status;
} head_cases[] = {
    {"a length", {{"Content-Length", "5"}}, 0},
    {"a length with spaces around", {{"content-length", " 5 "}}, 0},
    {"chunked", {{"Transfer-Encoding", "Chunked"}}, 0},
    {"two lengths", {{"Content-Length", "5"}, {"Content-Length", "6"}}, 400},
    {"the same length twice", {{"Content-Length", "5"}, {"content-length", "5"}}, 400},
    {"a list of lengths", {{"Content-Length", "5, 5"}}, 400},
    {"a negative length", {{"Content-Length", "-5"}}, 400},
    {"a signed length", {{"Content-Length", "+5"}}, 400},
    {"a length in hex", {{"Content-Length", "0x5"}}, 400},
    {"an empty length", {{"Content-Length", ""}}, 400},
    {"a length beyond all numbers", {{"Content-Length", "99999999999999999999"}}, 400},
    {"both", {{"Content-Length", "5"}, {"Transfer-Encoding", "chunked"}}, 400},
    {"both, the other way round", {{"Transfer-Encoding", "chunked"}, {"Content-Length", "5"}}, 400},
    {"another coding", {{"Transfer-Encoding", "gzip, chunked"}}, 400},
    {"chunked twice", {{"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}}, 400},
    {"identity", {{"Transfer-Encoding", "identity"}}, 400},
};

START_TEST(framing_has_one_meaning_or_none) {
    imi_gateway_head_t head;
    size_t count = 0;
    const imi_refusal_t *refusal;
    while (count < 3 && head_cases[_i].headers[count].name != NULL)
        count++;
    refusal = imi_gateway_head_read(&head, head_cases[_i].headers, count);
    ck_assert_msg((refusal == NULL ? 0 : refusal->status) == head_cases[_i].status, "%s: %d",
                  head_cases[_i].name, refusal == NULL ? 0 : refusal->status);
}
END_TEST

START_TEST(sixteen_kibibytes_of_headers_and_no_more) {
    static char value[IMI_HEAD_SIZE_MAX];
    imagine_header_t header = {"x", value};
    imi_gateway_head_t head;
    memset(value, 'v', sizeof(value) - 1);
    value[IMI_HEAD_SIZE_MAX - 5] = '\0';
    ck_assert_ptr_null(imi_gateway_head_read(&head, &header, 1));
    value[IMI_HEAD_SIZE_MAX - 5] = 'v';
    value[IMI_HEAD_SIZE_MAX - 4] = '\0';
    ck_assert_int_eq(imi_gateway_head_read(&head, &header, 1)->status, 431);
}
END_TEST

static const struct {
    const char *target, *path, *query;
    int status;
} target_cases[] = {
    {"/", "/", "", 0},
    {"/api/health", "/api/health", "", 0},
    {"/a?b=c", "/a", "b=c", 0},
    {"/a?", "/a", "", 0},
    {"/a?b?c", "/a", "b?c", 0},
    {"http://host/a?b", "/a", "b", 0},
    {"HTTPS://host:1/a", "/a", "", 0},
    {"http://host", "", "", 400},
    {"http://host?a", "", "", 400},
    {"", "", "", 400},
    {"*", "", "", 400},
    {"a/b", "", "", 400},
    {"?a", "", "", 400},
};

START_TEST(a_target_is_path_and_query) {
    imi_slice_t path, query;
    const imi_refusal_t *refusal =
        imi_gateway_target_read(imi_slice_of(target_cases[_i].target), &path, &query);
    ck_assert_msg((refusal == NULL ? 0 : refusal->status) == target_cases[_i].status, "%s",
                  target_cases[_i].target);
    ck_assert_msg(imi_slice_equals(path, target_cases[_i].path), "%s", target_cases[_i].target);
    ck_assert_msg(imi_slice_equals(query, target_cases[_i].query), "%s", target_cases[_i].target);
}
END_TEST

START_TEST(a_target_of_eight_kibibytes_and_no_more) {
    static char target[IMI_TARGET_SIZE_MAX + 1];
    imi_slice_t path, query;
    memset(target, '/', sizeof(target));
    ck_assert_ptr_null(
        imi_gateway_target_read((imi_slice_t){target, IMI_TARGET_SIZE_MAX}, &path, &query));
    ck_assert_int_eq(
        imi_gateway_target_read((imi_slice_t){target, IMI_TARGET_SIZE_MAX + 1}, &path, &query)
            ->status,
        414);
}
END_TEST

START_TEST(a_query_gives_the_first_of_a_name) {
    imi_slice_t query = IMI_SLICE("a=1&bb=2&b=3&b=4&c&d=");
    ck_assert(imi_slice_equals(imi_gateway_query_get(query, "b"), "3"));
    ck_assert(imi_slice_equals(imi_gateway_query_get(query, "c"), ""));
    ck_assert(imi_slice_equals(imi_gateway_query_get(query, "d"), ""));
    ck_assert_ptr_null(imi_gateway_query_get(query, "e").data);
    ck_assert_ptr_null(imi_gateway_query_get(IMI_SLICE(""), "a").data);
}
END_TEST

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static Suite *body_suite(void) {
    Suite *suite = suite_create("gateway/body");
    TCase *tcase = tcase_create("body");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, the_head_says_how_a_body_is_read, 0, COUNT(plan_cases));
    tcase_add_test(tcase, a_small_limit_holds_for_json_too);
    tcase_add_test(tcase, json_comes_out_as_it_came_in_however_it_is_split);
    tcase_add_test(tcase, a_small_json_body_holds_little_memory);
    tcase_add_test(tcase, a_large_length_alone_takes_no_memory);
    tcase_add_test(tcase, more_than_was_told_is_too_large);
    tcase_add_test(tcase, chunks_end_at_the_limit);
    tcase_add_loop_test(tcase, without_a_type_only_an_object_is_taken, 0, COUNT(untyped_cases));
    tcase_add_loop_test(tcase, a_form_becomes_json_and_pictures, 0, COUNT(form_cases));
    tcase_add_loop_test(tcase, a_broken_form_is_refused, 0, COUNT(broken_forms));
    tcase_add_test(tcase, sixteen_pictures_and_no_more);
    tcase_add_test(tcase, a_form_has_a_bounded_number_of_parts);
    tcase_add_test(tcase, a_picture_has_fifty_mebibytes_at_most);
    tcase_add_test(tcase, an_address_with_a_nul_is_refused);
    tcase_add_test(tcase, a_body_outlives_its_first_owner);
    tcase_add_test(tcase, bodies_survive_failing_memory);
    tcase_add_loop_test(tcase, framing_has_one_meaning_or_none, 0, COUNT(head_cases));
    tcase_add_test(tcase, sixteen_kibibytes_of_headers_and_no_more);
    tcase_add_loop_test(tcase, a_target_is_path_and_query, 0, COUNT(target_cases));
    tcase_add_test(tcase, a_target_of_eight_kibibytes_and_no_more);
    tcase_add_test(tcase, a_query_gives_the_first_of_a_name);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(body_suite)
