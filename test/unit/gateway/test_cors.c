/* test_cors.c: which pages may read our answers. */
#include "gateway/cors.h"

#include "imagine.h"
#include "../../support/check_main.h"
#include "../../support/failing_mem.h"

#define EXPOSED \
    "Content-Length, Content-Type, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"

static const struct {
    const char *name, *list, *origin;
    const char *allowed; /* NULL: no such header */
    bool has_credentials, has_vary;
} cors_cases[] = {
    {"any", "*", "https://a.test", "*", false, false},
    {"any, and no page asks", "*", NULL, "*", false, false},
    {"any among others", "https://a.test,*", "https://b.test", "*", false, false},
    {"the one that is listed", "https://a.test", "https://a.test", "https://a.test", true, true},
    {"the second one", "https://a.test , http://b.test:8080", "http://b.test:8080",
     "http://b.test:8080", true, true},
    {"a slash at the end of a listed one", "https://a.test/", "https://a.test", "https://a.test",
     true, true},
    {"not listed", "https://a.test", "https://b.test", NULL, false, true},
    {"other scheme", "https://a.test", "http://a.test", NULL, false, true},
    {"longer", "https://a.test", "https://a.test.evil.test", NULL, false, true},
    {"shorter", "https://a.test", "https://a.tes", NULL, false, true},
    {"null is not listed", "https://a.test", "null", NULL, false, true},
    {"a list, and no page asks", "https://a.test", NULL, NULL, false, true},
    {"nobody", "", "https://a.test", NULL, false, true},
};

static const char *find(const imagine_header_t *headers, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(headers[i].name, name) == 0)
            return headers[i].value;
    return NULL;
}

static bool is_same(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

START_TEST(an_origin_gets_the_headers_it_may_have) {
    imagine_header_t headers[IMI_CORS_HEADERS_MAX];
    imi_arena_t arena;
    imi_cors_t cors;
    size_t count;
    imi_arena_init(&arena, NULL, 0);
    ck_assert_int_eq(imi_cors_init(&cors, &arena, cors_cases[_i].list), 0);
    for (int is_preflight = 0; is_preflight < 2; is_preflight++) {
        bool is_allowed = cors_cases[_i].allowed != NULL;
        count = imi_cors_headers(&cors, imi_slice_of(cors_cases[_i].origin), is_preflight != 0,
                                 headers);
        ck_assert_msg(
            is_same(find(headers, count, "Access-Control-Allow-Origin"), cors_cases[_i].allowed),
            "%s", cors_cases[_i].name);
        ck_assert_msg(is_same(find(headers, count, "Access-Control-Allow-Credentials"),
                              cors_cases[_i].has_credentials ? "true" : NULL),
                      "%s", cors_cases[_i].name);
        ck_assert_msg(
            is_same(find(headers, count, "Vary"), cors_cases[_i].has_vary ? "Origin" : NULL), "%s",
            cors_cases[_i].name);
        ck_assert_msg(is_same(find(headers, count, "Access-Control-Expose-Headers"),
                              is_allowed ? EXPOSED : NULL),
                      "%s", cors_cases[_i].name);
        is_allowed = is_allowed && is_preflight != 0;
        ck_assert_msg(is_same(find(headers, count, "Access-Control-Allow-Methods"),
                              is_allowed ? "GET, POST, PUT, DELETE, OPTIONS" : NULL),
                      "%s", cors_cases[_i].name);
        ck_assert_msg(is_same(find(headers, count, "Access-Control-Allow-Headers"),
                              is_allowed ? "Content-Type, Authorization" : NULL),
                      "%s", cors_cases[_i].name);
        ck_assert_msg(
            is_same(find(headers, count, "Access-Control-Max-Age"), is_allowed ? "86400" : NULL),
            "%s", cors_cases[_i].name);
    }
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(a_list_survives_failing_memory) {
    bool has_failed = true;
    for (size_t fail_at = 1; has_failed; fail_at++) {
        failing_mem_t failing;
        imi_arena_t arena;
        imi_cors_t cors;
        int err;
        failing_mem_init(&failing, fail_at);
        imi_arena_init(&arena, &failing.mem, 64);
        err = imi_cors_init(&cors, &arena, "https://one.test,https://two.test,https://three.test");
        has_failed = failing.has_failed;
        ck_assert_int_eq(err, has_failed ? IMAGINE_ENOMEM : 0);
        imi_arena_reset(&arena);
        ck_assert_uint_eq(failing.live_count, 0);
    }
}
END_TEST

static Suite *cors_suite(void) {
    Suite *suite = suite_create("gateway/cors");
    TCase *tcase = tcase_create("cors");
    tcase_add_loop_test(tcase, an_origin_gets_the_headers_it_may_have, 0,
                        sizeof(cors_cases) / sizeof(cors_cases[0]));
    tcase_add_test(tcase, a_list_survives_failing_memory);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(cors_suite)
