/* test_md5.c: the test suite of RFC 1321, appendix A.5. */
#include "wire/md5.h"

#include <string.h>

#include "../../support/check_main.h"
#include "wire/str.h"

static const struct {
    const char *text, *digest;
} digest_cases[] = {
    {"", "d41d8cd98f00b204e9800998ecf8427e"},
    {"a", "0cc175b9c0f1b6a831c399e269772661"},
    {"abc", "900150983cd24fb0d6963f7d28e17f72"},
    {"message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
    {"abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"},
    {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
     "d174ab98d277d9f5a5611c2c9f419d9f"},
    {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
     "57edf4a22be3c955ac49da2e2107b67a"},
};

START_TEST(the_rfcs_digests) { /* _i walks digest_cases */
    uint8_t out[IMI_MD5_SIZE];
    char hex[2 * IMI_MD5_SIZE + 1];
    imi_md5(out, digest_cases[_i].text, strlen(digest_cases[_i].text));
    imi_hex(hex, out, sizeof(out));
    ck_assert_str_eq(hex, digest_cases[_i].digest);
}
END_TEST

static Suite *md5_suite(void) {
    Suite *suite = suite_create("md5");
    TCase *tests = tcase_create("md5");
    tcase_add_loop_test(tests, the_rfcs_digests, 0,
                        (int)(sizeof(digest_cases) / sizeof(digest_cases[0])));
    suite_add_tcase(suite, tests);
    return suite;
}

IMI_CHECK_MAIN(md5_suite)
