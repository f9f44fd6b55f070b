/* test_sigv4.c: the signatures that AWS publishes: the examples of the S3 API Reference
 * ("Authenticating Requests") and rows of the Signature Version 4 test suite. */
#include "wire/sigv4.h"

#include <string.h>

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"

#define COUNT_OF(table) ((int)(sizeof(table) / sizeof((table)[0])))
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define S3_UNIX_MS INT64_C(1369353600000)    /* 2013-05-24T00:00:00Z */
#define SUITE_UNIX_MS INT64_C(1440938160000) /* 2015-08-30T12:36:00Z */

static const imi_sigv4_t s3 = {.access_key_id = "AKIAIOSFODNN7EXAMPLE",
                               .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                               .region = "us-east-1",
                               .service = "s3",
                               .unix_ms = S3_UNIX_MS,
                               .method = "GET",
                               .path = "/",
                               .payload_hash = EMPTY};
static const imi_sigv4_t suite = {.access_key_id = "AKIDEXAMPLE",
                                  .secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                                  .region = "us-east-1",
                                  .service = "service",
                                  .unix_ms = SUITE_UNIX_MS,
                                  .method = "GET",
                                  .path = "/",
                                  .payload_hash = EMPTY};

typedef struct header_case {
    const char *name;
    const imi_sigv4_t *base;
    const char *method, *path, *payload_hash; /* NULL: the base's */
    imi_sigv4_pair_t query[4], headers[6];
    const char *signed_headers, *signature;
} header_case_t;

static const header_case_t header_cases[] = {
    {"S3: GET Object with a range",
     &s3,
     NULL,
     "/test.txt",
     NULL,
     {{NULL, NULL}},
     {{"Host", "examplebucket.s3.amazonaws.com"},
      {"Range", "bytes=0-9"},
      {"x-amz-content-sha256", EMPTY},
      {"x-amz-date", "20130524T000000Z"}},
     "host;range;x-amz-content-sha256;x-amz-date",
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {"S3: PUT Object",
     &s3,
     "PUT",
     "/test%24file.text",
     "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
     {{NULL, NULL}},
     {{"x-amz-storage-class", "REDUCED_REDUNDANCY"},
      {"x-amz-date", "20130524T000000Z"},
      {"x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"},
      {"Host", "examplebucket.s3.amazonaws.com"},
      {"Date", "Fri, 24 May 2013 00:00:00 GMT"}},
     "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    {"S3: GET Bucket lifecycle, a parameter without a value",
     &s3,
     NULL,
     NULL,
     NULL,
     {{"lifecycle", ""}},
     {{"Host", "examplebucket.s3.amazonaws.com"},
      {"x-amz-date", "20130524T000000Z"},
      {"x-amz-content-sha256", EMPTY}},
     "host;x-amz-content-sha256;x-amz-date",
     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {"S3: GET Bucket, listing",
     &s3,
     NULL,
     NULL,
     NULL,
     {{"prefix", "J"}, {"max-keys", "2"}},
     {{"Host", "examplebucket.s3.amazonaws.com"},
      {"x-amz-date", "20130524T000000Z"},
      {"x-amz-content-sha256", EMPTY}},
     "host;x-amz-content-sha256;x-amz-date",
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
    {"suite: get-vanilla",
     &suite,
     NULL,
     NULL,
     NULL,
     {{NULL, NULL}},
     {{"Host", "example.amazonaws.com"}, {"X-Amz-Date", "20150830T123600Z"}},
     "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"suite: post-vanilla",
     &suite,
     "POST",
     NULL,
     NULL,
     {{NULL, NULL}},
     {{"Host", "example.amazonaws.com"}, {"X-Amz-Date", "20150830T123600Z"}},
     "host;x-amz-date",
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"suite: get-vanilla-query-order-key-case",
     &suite,
     NULL,
     NULL,
     NULL,
     {{"Param2", "value2"}, {"Param1", "value1"}},
     {{"Host", "example.amazonaws.com"}, {"X-Amz-Date", "20150830T123600Z"}},
     "host;x-amz-date",
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"suite: get-utf8",
     &suite,
     NULL,
     "/%E1%88%B4",
     NULL,
     {{NULL, NULL}},
     {{"Host", "example.amazonaws.com"}, {"X-Amz-Date", "20150830T123600Z"}},
     "host;x-amz-date",
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"suite: get-header-value-trim",
     &suite,
     NULL,
     NULL,
     NULL,
     {{NULL, NULL}},
     {{"Host", "example.amazonaws.com"},
      {"My-Header1", " value1"},
      {"My-Header2", " \"a   b   c\""},
      {"X-Amz-Date", "20150830T123600Z"}},
     "host;my-header1;my-header2;x-amz-date",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"suite: get-header-key-duplicate",
     &suite,
     NULL,
     NULL,
     NULL,
     {{NULL, NULL}},
     {{"Host", "example.amazonaws.com"},
      {"My-Header1", "value2"},
      {"My-Header1", "value2"},
      {"My-Header1", "value1"},
      {"X-Amz-Date", "20150830T123600Z"}},
     "host;my-header1;x-amz-date",
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
};

static size_t count_pairs(const imi_sigv4_pair_t *pairs, size_t max) {
    size_t count = 0;
    while (count < max && pairs[count].name != NULL)
        count++;
    return count;
}

static imi_sigv4_t request_of(const header_case_t *row) {
    imi_sigv4_t request = *row->base;
    request.method = row->method != NULL ? row->method : request.method;
    request.path = row->path != NULL ? row->path : request.path;
    request.payload_hash = row->payload_hash != NULL ? row->payload_hash : request.payload_hash;
    request.query = row->query;
    request.query_count = count_pairs(row->query, 4);
    request.headers = row->headers;
    request.header_count = count_pairs(row->headers, 6);
    return request;
}

START_TEST(signs_as_published) { /* _i walks header_cases */
    const header_case_t *row = &header_cases[_i];
    imi_sigv4_t request = request_of(row);
    imi_arena_t arena;
    char *expected, *text;
    imi_arena_init(&arena, NULL, 0);
    expected = imi_arena_printf(&arena,
                                "AWS4-HMAC-SHA256 Credential=%s/%.8s/us-east-1/%s/aws4_request,"
                                "SignedHeaders=%s,Signature=%s",
                                request.access_key_id,
                                request.unix_ms == S3_UNIX_MS ? "20130524" : "20150830",
                                request.service, row->signed_headers, row->signature);
    text = imi_sigv4_authorization(&arena, &request);
    ck_assert_msg(text != NULL && strcmp(text, expected) == 0, "%s:\n%s\nexpected:\n%s", row->name,
                  text, expected);
    imi_arena_reset(&arena);
}
END_TEST

static imi_sigv4_t presigned_example(const imi_sigv4_pair_t *host) {
    imi_sigv4_t request = s3;
    request.path = "/test.txt";
    request.headers = host;
    request.header_count = 1;
    request.payload_hash = IMI_SIGV4_UNSIGNED;
    return request;
}

START_TEST(presigns_as_published) {
    const imi_sigv4_pair_t host = {"Host", "examplebucket.s3.amazonaws.com"};
    imi_sigv4_t request = presigned_example(&host);
    imi_arena_t arena;
    imi_arena_init(&arena, NULL, 0);
    ck_assert_str_eq(
        imi_sigv4_presigned_query(&arena, &request, 86400),
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-"
        "east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-"
        "SignedHeaders=host&X-Amz-Signature="
        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(a_query_is_sorted_by_its_encoded_form) {
    const imi_sigv4_pair_t query[] = {
        {"prefix", "uploads/20260108/"}, {"b", "2"}, {"b", "1"}, {"a b", "+ä~"}, {"B", ""}};
    imi_arena_t arena;
    imi_arena_init(&arena, NULL, 0);
    ck_assert_str_eq(imi_sigv4_query(&arena, query, 5),
                     "B=&a%20b=%2B%C3%A4~&b=1&b=2&prefix=uploads%2F20260108%2F");
    ck_assert_str_eq(imi_sigv4_query(&arena, query, 0), "");
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(too_many_pairs_are_refused) {
    imi_sigv4_pair_t pairs[IMI_SIGV4_PAIRS_MAX + 1];
    imi_sigv4_t request = s3;
    imi_arena_t arena;
    for (size_t i = 0; i <= IMI_SIGV4_PAIRS_MAX; i++)
        pairs[i] = (imi_sigv4_pair_t){"host", "x"};
    imi_arena_init(&arena, NULL, 0);
    request.headers = request.query = pairs;
    request.header_count = request.query_count = IMI_SIGV4_PAIRS_MAX;
    ck_assert_ptr_nonnull(imi_sigv4_authorization(&arena, &request));
    ck_assert_ptr_nonnull(imi_sigv4_presigned_query(&arena, &request, 1));
    request.query_count++;
    ck_assert_ptr_null(imi_sigv4_authorization(&arena, &request));
    ck_assert_ptr_null(imi_sigv4_presigned_query(&arena, &request, 1));
    request.query_count = 0;
    request.header_count = IMI_SIGV4_PAIRS_MAX + 1;
    ck_assert_ptr_null(imi_sigv4_authorization(&arena, &request));
    request.header_count = 0;
    ck_assert_ptr_null(imi_sigv4_authorization(&arena, &request));
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(every_failing_allocation_is_told_and_leaks_nothing) {
    imi_sigv4_t request = request_of(&header_cases[3]);
    bool has_failed = true;
    for (size_t at = 1; has_failed; at++) {
        failing_mem_t failing;
        imi_arena_t arena;
        char *header, *query;
        failing_mem_init(&failing, at);
        imi_arena_init(&arena, &failing.mem, 64);
        header = imi_sigv4_authorization(&arena, &request);
        query = imi_sigv4_presigned_query(&arena, &request, 60);
        has_failed = failing.has_failed;
        ck_assert_msg((header == NULL || query == NULL) == has_failed, "allocation %zu", at);
        imi_arena_reset(&arena);
        ck_assert_uint_eq(failing.live_count, 0);
        ck_assert_uint_lt(at, 200);
    }
}
END_TEST

START_TEST(a_body_is_told_by_its_hash) {
    char hash[IMI_SIGV4_HASH_SIZE];
    imi_sigv4_hash(hash, "Welcome to Amazon S3.", 21);
    ck_assert_str_eq(hash, header_cases[1].payload_hash);
    imi_sigv4_hash(hash, NULL, 0);
    ck_assert_str_eq(hash, EMPTY);
}
END_TEST

static Suite *sigv4_suite(void) {
    Suite *result = suite_create("sigv4");
    TCase *tests = tcase_create("sigv4");
    tcase_add_loop_test(tests, signs_as_published, 0, COUNT_OF(header_cases));
    tcase_add_test(tests, presigns_as_published);
    tcase_add_test(tests, a_query_is_sorted_by_its_encoded_form);
    tcase_add_test(tests, too_many_pairs_are_refused);
    tcase_add_test(tests, every_failing_allocation_is_told_and_leaks_nothing);
    tcase_add_test(tests, a_body_is_told_by_its_hash);
    suite_add_tcase(result, tests);
    return result;
}

IMI_CHECK_MAIN(sigv4_suite)
