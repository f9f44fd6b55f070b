/* test_url.c: what an address means, what is refused because curl might see another meaning, and
 * the RFC's own examples of references. curl itself is asked about everything we accept. */
#include "wire/url.h"

#include <curl/curl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"

#define COUNT_OF(table) ((int)(sizeof(table) / sizeof((table)[0])))

static const struct {
    const char *text;
    bool is_https, has_userinfo;
    const char *host;
    uint16_t port;
    const char *path, *query; /* query NULL: none */
} good_cases[] = {
    {"http://a.test", false, false, "a.test", 80, "", NULL},
    {"https://a.test", true, false, "a.test", 443, "", NULL},
    {"https://a.test/", true, false, "a.test", 443, "/", NULL},
    {"HtTpS://A.Test:8443/B/c", true, false, "A.Test", 8443, "/B/c", NULL},
    {"http://a.test:/x", false, false, "a.test", 80, "/x", NULL},
    {"http://a.test:65535", false, false, "a.test", 65535, "", NULL},
    {"http://a.test:00080/", false, false, "a.test", 80, "/", NULL},
    {"http://a.test?q=1", false, false, "a.test", 80, "", "q=1"},
    {"http://a.test/?", false, false, "a.test", 80, "/", ""},
    {"http://a.test/p?q?r/s@t:1#f?g", false, false, "a.test", 80, "/p", "q?r/s@t:1"},
    {"http://a.test#f", false, false, "a.test", 80, "", NULL},
    {"http://a.test/a//b/../c;d=e,f/%2e%2E/", false, false, "a.test", 80,
     "/a//b/../c;d=e,f/%2e%2E/", NULL},
    {"http://a.test/@b.test/", false, false, "a.test", 80, "/@b.test/", NULL},
    {"http://user@a.test/", false, true, "a.test", 80, "/", NULL},
    {"http://user:pass%40w@a.test:81/", false, true, "a.test", 81, "/", NULL},
    {"http://@a.test/", false, true, "a.test", 80, "/", NULL},
    {"http://127.0.0.1:3000/x", false, false, "127.0.0.1", 3000, "/x", NULL},
    {"http://[::1]/x", false, false, "::1", 80, "/x", NULL},
    {"https://[2001:db8::a:1]:8443?q", true, false, "2001:db8::a:1", 8443, "", "q"},
    {"http://[::ffff:10.0.0.1]", false, false, "::ffff:10.0.0.1", 80, "", NULL},
    {"http://localhost", false, false, "localhost", 80, "", NULL},
    {"http://a_b-c.test./", false, false, "a_b-c.test.", 80, "/", NULL},
    {"http://xn--bcher-kva.test/", false, false, "xn--bcher-kva.test", 80, "/", NULL},
    {"http://1a.2b/", false, false, "1a.2b", 80, "/", NULL},
    {"http://a.test/\xE7\x8C\xAB?\xE7\x8C\xAB", false, false, "a.test", 80, "/\xE7\x8C\xAB",
     "\xE7\x8C\xAB"},
};

static void check_slice(const char *text, const char *what, imi_slice_t slice,
                        const char *expected) {
    ck_assert_msg(expected == NULL ? slice.data == NULL : imi_slice_equals(slice, expected),
                  "%s: %s is %.*s", text, what, (int)slice.size,
                  slice.data == NULL ? "" : slice.data);
}

START_TEST(an_address_has_its_parts) { /* _i walks good_cases */
    const char *text = good_cases[_i].text;
    imi_url_t url;
    ck_assert_msg(imi_url_parse(imi_slice_of(text), &url), "%s", text);
    ck_assert_msg(url.is_https == good_cases[_i].is_https, "%s", text);
    ck_assert_msg(url.has_userinfo == good_cases[_i].has_userinfo, "%s", text);
    ck_assert_msg(url.port == good_cases[_i].port, "%s: port %u", text, (unsigned)url.port);
    ck_assert(imi_slice_equals_nocase(url.scheme, url.is_https ? "https" : "http"));
    check_slice(text, "host", url.host, good_cases[_i].host);
    check_slice(text, "path", url.path, good_cases[_i].path);
    check_slice(text, "query", url.query, good_cases[_i].query);
}
END_TEST

static char *curl_part(CURLU *handle, CURLUPart part, unsigned flags) {
    char *out = NULL;
    return curl_url_get(handle, part, &out, flags) == CURLUE_OK ? out : NULL;
}

START_TEST(curl_reads_what_we_accept_as_we_do) { /* _i walks good_cases */
    const char *text = good_cases[_i].text;
    char host[64], port[8];
    bool is_ipv6 = strchr(good_cases[_i].host, ':') != NULL;
    CURLU *handle = curl_url();
    char *curl_host = NULL, *curl_port = NULL, *curl_scheme = NULL, *curl_path = NULL;
    ck_assert_msg(curl_url_set(handle, CURLUPART_URL, text, CURLU_PATH_AS_IS) == CURLUE_OK, "%s",
                  text);
    curl_host = curl_part(handle, CURLUPART_HOST, 0);
    curl_port = curl_part(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    curl_scheme = curl_part(handle, CURLUPART_SCHEME, 0);
    curl_path = curl_part(handle, CURLUPART_PATH, 0);
    snprintf(host, sizeof(host), is_ipv6 ? "[%s]" : "%s", good_cases[_i].host);
    snprintf(port, sizeof(port), "%u", (unsigned)good_cases[_i].port);
    ck_assert_msg(imi_text_equals_nocase(curl_host, host), "%s: %s", text, curl_host);
    ck_assert_msg(strcmp(curl_port, port) == 0, "%s: %s", text, curl_port);
    ck_assert_str_eq(curl_scheme, good_cases[_i].is_https ? "https" : "http");
    ck_assert_str_eq(curl_path, good_cases[_i].path[0] == '\0' ? "/" : good_cases[_i].path);
    curl_free(curl_host);
    curl_free(curl_port);
    curl_free(curl_scheme);
    curl_free(curl_path);
    curl_url_cleanup(handle);
}
END_TEST

static const char *const bad_cases[] = {
    "",
    "a.test",
    "//a.test/",
    "/path",
    "ftp://a.test/",
    "file:///etc/passwd",
    "gopher://a.test/",
    "data:text/plain,x",
    "httpx://a.test/",
    "http",
    "http:",
    "http:/a.test/",
    "http:a.test",
    "http://",
    "http:///",
    "http:///a.test/",
    "http://?q",
    "http://#f",
    "http://:80/",
    "http://user@/",
    "http://user@:80/",
    " http://a.test/",
    "http://a.test/ ",
    "http://a.test/a b",
    "http://a.test/?a b",
    "http://a.test/\t",
    "http://a.test/\r\nX: y",
    "http://a.test\n/",
    "http://a.test/\x7F",
    "http://a .test/",
    "http://a.test\\@b.test/",
    "http://a.test/\\b",
    "http:\\\\a.test\\",
    "http://a.test#@b.test\\",
    "http://user@a.test@b.test/",
    "http://us[er@a.test/",
    "http://us\"er@a.test/",
    "http://\xE7\x8C\xAB@a.test/",
    "http://a.test:80@b.test:81@c.test/",
    "http://b\xC3\xBCr.test/",
    "http://a\xE3\x80\x82test/", /* an ideographic full stop */
    "http://a%2Etest/",
    "http://%61.test/",
    "http://127.0.0.1%00.test/",
    "http://a,b.test/",
    "http://a;b.test/",
    "http://a!b.test/",
    "http://a*b.test/",
    "http://(a.test)/",
    "http://{a,b}.test/",
    "http://a~b.test/",
    "http://a..test/",
    "http://.a.test/",
    "http://./",
    "http://a.test../",
    "http://a.test:0/",
    "http://a.test:65536/",
    "http://a.test:000080/",
    "http://a.test:99999999999999999999/",
    "http://a.test:80a/",
    "http://a.test:+80/",
    "http://a.test:-1/",
    "http://a.test:8%30/",
    "http://a.test:80:81/",
    "http://::1/",
    "http://[::1/",
    "http://[::1]80/",
    "http://[::1]a.test/",
    "http://[]/",
    "http://[a.test]/",
    "http://[127.0.0.1]/",
    "http://[::1%25lo]/",
    "http://[fe80::1%lo]/",
    "http://[v1.a]/",
    "http://a[::1]/",
    "http://[::1]]/",
    "http://[[::1]]/",
    "http://::1]/",
    /* What some readers take for 127.0.0.1. */
    "http://0x7f000001/",
    "http://2130706433/",
    "http://017700000001/",
    "http://127.1/",
    "http://0177.0.0.1/",
    "http://0x7f.0.0.0x1/",
    "http://127.0.0.1./",
    "http://127.0.0.01/",
    "http://127.0.0.256/",
    "http://1.2.3.4.5/",
    "http://a.0x7f/",
    "http://a.0x/",
    "http://a.1/",
    "http://0/",
};

START_TEST(what_could_be_read_otherwise_is_refused) { /* _i walks bad_cases */
    imi_url_t url;
    ck_assert_msg(!imi_url_parse(imi_slice_of(bad_cases[_i]), &url), "%s", bad_cases[_i]);
}
END_TEST

START_TEST(no_nul_and_no_absent_text) {
    static const char with_nul[] = "http://a.test/\0";
    imi_url_t url;
    ck_assert(!imi_url_parse((imi_slice_t){with_nul, sizeof(with_nul) - 1}, &url));
    ck_assert(imi_url_parse((imi_slice_t){with_nul, sizeof(with_nul) - 2}, &url));
    ck_assert(!imi_url_parse((imi_slice_t){NULL, 0}, &url));
}
END_TEST

START_TEST(every_byte_is_judged_in_every_place) {
    static const char in_host[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (int c = 0; c < 256; c++) {
        char host[] = "http://a?b.test/", path[] = "http://a.test/a?b",
             query[] = "http://a.test?a!b";
        bool is_ending = c == '/' || c == '?' || c == '#';
        bool is_visible = c > ' ' && c != 0x7F && c != '\\';
        imi_url_t url;
        host[8] = path[15] = query[15] = (char)c;
        /* ':' leaves "b.test" as a port; '@' and '.' make another good address; the other three end
         * the host. */
        ck_assert_msg(
            imi_url_parse((imi_slice_t){host, sizeof(host) - 1}, &url) ==
                ((c != 0 && strchr(in_host, c) != NULL) || c == '@' || c == '.' || is_ending),
            "%02x in the host", (unsigned)c);
        ck_assert_msg(imi_url_parse((imi_slice_t){path, sizeof(path) - 1}, &url) == is_visible,
                      "%02x in the path", (unsigned)c);
        ck_assert_msg(imi_url_parse((imi_slice_t){query, sizeof(query) - 1}, &url) == is_visible,
                      "%02x in the query", (unsigned)c);
    }
}
END_TEST

START_TEST(a_host_has_254_bytes) {
    char text[300] = "http://";
    imi_url_t url;
    memset(text + 7, 'a', 254);
    for (size_t i = 7 + 60; i < 7 + 254; i += 60)
        text[i] = '.';
    ck_assert(imi_url_parse((imi_slice_t){text, 7 + 254}, &url));
    ck_assert(!imi_url_parse((imi_slice_t){text, 7 + 255}, &url));
    text[7 + 254] = 'a';
    ck_assert(!imi_url_parse((imi_slice_t){text, 7 + 255}, &url));
}
END_TEST

static const struct {
    const char *a, *b;
    bool is_same;
} origin_cases[] = {
    {"http://a.test", "HTTP://A.TEST:80/x?y", true},
    {"https://a.test:443/", "https://a.test/x", true},
    {"https://user@a.test/", "https://a.test/", true},
    {"http://[::1]:80/", "http://[::1]/", true},
    {"http://a.test/", "https://a.test/", false},
    {"http://a.test:443/", "https://a.test/", false},
    {"http://a.test:81/", "http://a.test/", false},
    {"http://a.test/", "http://b.test/", false},
    {"http://a.test/", "http://a.test.evil.test/", false},
    {"http://a.test/", "http://a.tes/", false},
    {"http://a.test/", "http://a.test./", false},
    {"http://a-b.test/", "http://a_b.test/", false},
    {"http://a0b.test/", "http://a-b.test/", false},
};

START_TEST(an_origin_is_scheme_host_and_port) { /* _i walks origin_cases */
    imi_url_t a, b;
    ck_assert(imi_url_parse(imi_slice_of(origin_cases[_i].a), &a));
    ck_assert(imi_url_parse(imi_slice_of(origin_cases[_i].b), &b));
    ck_assert_msg(imi_url_is_same_origin(&a, &b) == origin_cases[_i].is_same, "%s and %s",
                  origin_cases[_i].a, origin_cases[_i].b);
    ck_assert(imi_url_is_same_origin(&b, &a) == origin_cases[_i].is_same);
}
END_TEST

#define RFC_BASE "http://a/b/c/d;p?q"

static const struct {
    const char *base, *reference, *target; /* NULL: refused */
} resolve_cases[] = {
    /* RFC 3986, section 5.4.1 */
    {RFC_BASE, "g:h", NULL},
    {RFC_BASE, "g", "http://a/b/c/g"},
    {RFC_BASE, "./g", "http://a/b/c/g"},
    {RFC_BASE, "g/", "http://a/b/c/g/"},
    {RFC_BASE, "/g", "http://a/g"},
    {RFC_BASE, "//g", "http://g"},
    {RFC_BASE, "?y", "http://a/b/c/d;p?y"},
    {RFC_BASE, "g?y", "http://a/b/c/g?y"},
    {RFC_BASE, "#s", "http://a/b/c/d;p?q#s"},
    {RFC_BASE, "g#s", "http://a/b/c/g#s"},
    {RFC_BASE, "g?y#s", "http://a/b/c/g?y#s"},
    {RFC_BASE, ";x", "http://a/b/c/;x"},
    {RFC_BASE, "g;x", "http://a/b/c/g;x"},
    {RFC_BASE, "g;x?y#s", "http://a/b/c/g;x?y#s"},
    {RFC_BASE, "", "http://a/b/c/d;p?q"},
    {RFC_BASE, ".", "http://a/b/c/"},
    {RFC_BASE, "./", "http://a/b/c/"},
    {RFC_BASE, "..", "http://a/b/"},
    {RFC_BASE, "../", "http://a/b/"},
    {RFC_BASE, "../g", "http://a/b/g"},
    {RFC_BASE, "../..", "http://a/"},
    {RFC_BASE, "../../", "http://a/"},
    {RFC_BASE, "../../g", "http://a/g"},
    /* section 5.4.2 */
    {RFC_BASE, "../../../g", "http://a/g"},
    {RFC_BASE, "../../../../g", "http://a/g"},
    {RFC_BASE, "/./g", "http://a/g"},
    {RFC_BASE, "/../g", "http://a/g"},
    {RFC_BASE, "g.", "http://a/b/c/g."},
    {RFC_BASE, ".g", "http://a/b/c/.g"},
    {RFC_BASE, "g..", "http://a/b/c/g.."},
    {RFC_BASE, "..g", "http://a/b/c/..g"},
    {RFC_BASE, "./../g", "http://a/b/g"},
    {RFC_BASE, "./g/.", "http://a/b/c/g/"},
    {RFC_BASE, "g/./h", "http://a/b/c/g/h"},
    {RFC_BASE, "g/../h", "http://a/b/c/h"},
    {RFC_BASE, "g;x=1/./y", "http://a/b/c/g;x=1/y"},
    {RFC_BASE, "g;x=1/../y", "http://a/b/c/y"},
    {RFC_BASE, "g?y/./x", "http://a/b/c/g?y/./x"},
    {RFC_BASE, "g?y/../x", "http://a/b/c/g?y/../x"},
    {RFC_BASE, "g#s/./x", "http://a/b/c/g#s/./x"},
    {RFC_BASE, "g#s/../x", "http://a/b/c/g#s/../x"},
    {RFC_BASE, "http:g", NULL}, /* strict: a scheme stands for itself */
    /* ours */
    {"https://a.test", "b", "https://a.test/b"},
    {"https://a.test", "", "https://a.test"},
    {"https://a.test", "?q", "https://a.test?q"},
    {"https://a.test?x", "..", "https://a.test/"},
    {"https://a.test:8443/x#f", "y", "https://a.test:8443/y"},
    {"https://a.test/x#f", "", "https://a.test/x"},
    {"https://a.test/x", "//b.test:81/y", "https://b.test:81/y"},
    {"https://a.test/x", "http://b.test/a/../y?z#f", "http://b.test/y?z#f"},
    {"https://a.test/x", "HTTP://b.test", "HTTP://b.test"},
    {"https://a.test/a//b", "../c", "https://a.test/a/c"},
    {"https://a.test/a/b", "/c:d", "https://a.test/c:d"},
    {"https://a.test/a/b", "./c:d", "https://a.test/a/c:d"},
    {"https://a.test/a/b", "\xE7\x8C\xAB", "https://a.test/a/\xE7\x8C\xAB"},
    {"https://a.test/a", "//user@b.test/", "https://user@b.test/"},
    {"https://a.test/a", "..//b.test/", "https://a.test//b.test/"},
    {"https://a.test/a", "javascript:x", NULL},
    {"https://a.test/a", "file:///etc/passwd", NULL},
    {"https://a.test/a", "data:,x", NULL},
    {"https://a.test/a", "///b.test", NULL},
    {"https://a.test/a", "//", NULL},
    {"https://a.test/a", "b c", NULL},
    {"https://a.test/a", "\\\\b.test\\", NULL},
    {"https://a.test/a", "b\r\nX: y", NULL},
    {"https://a.test/a", NULL, NULL},
    {"ftp://a.test/a", "https://b.test/", NULL},
    {"", "https://b.test/", NULL},
};

START_TEST(a_reference_leads_where_the_standard_says) { /* _i walks resolve_cases */
    const char *expected = resolve_cases[_i].target;
    imi_arena_t arena;
    char *target = NULL;
    imi_arena_init(&arena, NULL, 0);
    target =
        imi_url_resolve(&arena, resolve_cases[_i].base, imi_slice_of(resolve_cases[_i].reference));
    ck_assert_msg((target == NULL) == (expected == NULL) &&
                      (target == NULL || strcmp(target, expected) == 0),
                  "%s from %s: %s", resolve_cases[_i].reference, resolve_cases[_i].base,
                  target == NULL ? "none" : target);
    imi_arena_reset(&arena);
}
END_TEST

static const struct {
    const char *base, *path, *url;
} join_cases[] = {
    {"https://a.test/v1", "images", "https://a.test/v1/images"},
    {"https://a.test/v1/", "images", "https://a.test/v1/images"},
    {"https://a.test/v1", "/images", "https://a.test/v1/images"},
    {"https://a.test/v1///", "//images/x?y", "https://a.test/v1/images/x?y"},
    {"https://a.test", "", "https://a.test/"},
};

START_TEST(a_join_has_one_slash) { /* _i walks join_cases */
    imi_arena_t arena;
    imi_arena_init(&arena, NULL, 0);
    ck_assert_str_eq(imi_url_join(&arena, join_cases[_i].base, join_cases[_i].path),
                     join_cases[_i].url);
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(without_memory_there_is_no_address) {
    failing_mem_t failing;
    imi_arena_t arena;
    failing_mem_init(&failing, 1);
    failing.is_lasting = true;
    imi_arena_init(&arena, &failing.mem, 0);
    ck_assert_ptr_null(imi_url_resolve(&arena, "http://a.test/", IMI_SLICE("b")));
    ck_assert_ptr_null(imi_url_join(&arena, "http://a.test/", "b"));
    imi_arena_reset(&arena);
}
END_TEST

static Suite *url_suite(void) {
    Suite *suite = suite_create("url");
    TCase *tcase = tcase_create("url");
    tcase_add_loop_test(tcase, an_address_has_its_parts, 0, COUNT_OF(good_cases));
    tcase_add_loop_test(tcase, curl_reads_what_we_accept_as_we_do, 0, COUNT_OF(good_cases));
    tcase_add_loop_test(tcase, what_could_be_read_otherwise_is_refused, 0, COUNT_OF(bad_cases));
    tcase_add_test(tcase, no_nul_and_no_absent_text);
    tcase_add_test(tcase, every_byte_is_judged_in_every_place);
    tcase_add_test(tcase, a_host_has_254_bytes);
    tcase_add_loop_test(tcase, an_origin_is_scheme_host_and_port, 0, COUNT_OF(origin_cases));
    tcase_add_loop_test(tcase, a_reference_leads_where_the_standard_says, 0,
                        COUNT_OF(resolve_cases));
    tcase_add_loop_test(tcase, a_join_has_one_slash, 0, COUNT_OF(join_cases));
    tcase_add_test(tcase, without_memory_there_is_no_address);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(url_suite)
