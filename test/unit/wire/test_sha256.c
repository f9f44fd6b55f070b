/* test_sha256.c: the vectors of FIPS 180-4 (as NIST publishes them) and RFC 4231. */
#include "wire/sha256.h"

#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../support/check_main.h"

#define COUNT_OF(table) ((int)(sizeof(table) / sizeof((table)[0])))

static const struct {
    const char *text;
    size_t count; /* so many times the text */
    const char *digest;
} digest_cases[] = {
    {"", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmno"
     "pqrsmnopqrstnopqrstu",
     1, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    {"a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
};

START_TEST(the_standards_digests) { /* _i walks digest_cases */
    const char *text = digest_cases[_i].text;
    size_t size = strlen(text), count = digest_cases[_i].count;
    uint8_t out[IMI_SHA256_SIZE];
    char hex[2 * IMI_SHA256_SIZE + 1];
    char *data = malloc(size * count + 1);
    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < count; i++)
        memcpy(data + i * size, text, size);
    imi_sha256(out, data, size * count);
    imi_hex(hex, out, sizeof(out));
    ck_assert_str_eq(hex, digest_cases[_i].digest);
    free(data);
}
END_TEST

START_TEST(every_length_around_a_block_agrees_with_evp) {
    uint8_t data[200], out[IMI_SHA256_SIZE], expected[IMI_SHA256_SIZE];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7);
    for (size_t size = 0; size <= sizeof(data); size++) {
        imi_sha256(out, data, size);
        ck_assert_int_eq(EVP_Digest(data, size, expected, NULL, EVP_sha256(), NULL), 1);
        ck_assert_msg(memcmp(out, expected, sizeof(out)) == 0, "%zu bytes", size);
    }
}
END_TEST

START_TEST(pieces_sum_up_to_the_whole) {
    uint8_t data[300], out[IMI_SHA256_SIZE], expected[IMI_SHA256_SIZE];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 11);
    for (size_t piece_size = 1; piece_size <= sizeof(data); piece_size++) {
        imi_sha256_sum_t sum;
        imi_sha256_begin(&sum);
        for (size_t at = 0; at < sizeof(data); at += piece_size) {
            size_t left = sizeof(data) - at;
            imi_sha256_end(&sum, out); /* so far: it goes on all the same */
            imi_sha256(expected, data, at);
            ck_assert_int_eq(memcmp(out, expected, sizeof(out)), 0);
            imi_sha256_add(&sum, data + at, left < piece_size ? left : piece_size);
        }
        imi_sha256_end(&sum, out);
        imi_sha256(expected, data, sizeof(data));
        ck_assert_msg(memcmp(out, expected, sizeof(out)) == 0, "pieces of %zu", piece_size);
    }
}
END_TEST

START_TEST(nothing_may_be_absent) {
    uint8_t out[IMI_SHA256_SIZE], empty[IMI_SHA256_SIZE];
    imi_sha256(out, NULL, 0);
    imi_sha256(empty, "", 0);
    ck_assert_int_eq(memcmp(out, empty, sizeof(out)), 0);
    imi_hmac_sha256(out, NULL, 0, NULL, 0);
    imi_hmac_sha256(empty, "", 0, "", 0);
    ck_assert_int_eq(memcmp(out, empty, sizeof(out)), 0);
}
END_TEST

/* Keys and data as "text", or one byte repeated when the text is NULL. */
static const struct {
    const char *name, *key;
    uint8_t key_byte;
    size_t key_size;
    const char *data;
    uint8_t data_byte;
    size_t data_size;
    const char *mac; /* case 5 is given as its first 16 bytes */
} mac_cases[] = {
    {"case 1", NULL, 0x0b, 20, "Hi There", 0, 8,
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
    {"case 2", "Jefe", 0, 4, "what do ya want for nothing?", 0, 28,
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {"case 3", NULL, 0xaa, 20, NULL, 0xdd, 50,
     "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
    {"case 4",
     "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17"
     "\x18\x19",
     0, 25, NULL, 0xcd, 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
    {"case 5", NULL, 0x0c, 20, "Test With Truncation", 0, 20, "a3b6167473100ee06e0c796c2955552b"},
    {"case 6", NULL, 0xaa, 131, "Test Using Larger Than Block-Size Key - Hash Key First", 0, 54,
     "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
    {"case 7", NULL, 0xaa, 131,
     "This is a test using a larger than block-size key and a larger than block-size data. The key "
     "needs to be hashed before being used by the HMAC algorithm.",
     0, 152, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
};

START_TEST(the_rfcs_macs) { /* _i walks mac_cases */
    uint8_t key[131], data[152], out[IMI_SHA256_SIZE];
    char hex[2 * IMI_SHA256_SIZE + 1];
    size_t key_size = mac_cases[_i].key_size, data_size = mac_cases[_i].data_size;
    memset(key, mac_cases[_i].key_byte, sizeof(key));
    memset(data, mac_cases[_i].data_byte, sizeof(data));
    if (mac_cases[_i].key != NULL)
        memcpy(key, mac_cases[_i].key, key_size);
    if (mac_cases[_i].data != NULL)
        memcpy(data, mac_cases[_i].data, data_size);
    imi_hmac_sha256(out, key, key_size, data, data_size);
    imi_hex(hex, out, sizeof(out));
    ck_assert_msg(strncmp(hex, mac_cases[_i].mac, strlen(mac_cases[_i].mac)) == 0, "%s: %s",
                  mac_cases[_i].name, hex);
}
END_TEST

START_TEST(a_key_of_a_block_is_not_hashed_and_a_longer_one_is) {
    uint8_t key[65], digest[IMI_SHA256_SIZE], out[IMI_SHA256_SIZE], hashed[IMI_SHA256_SIZE];
    memset(key, 'k', sizeof(key));
    for (size_t size = 64; size <= 65; size++) {
        imi_sha256(digest, key, size);
        imi_hmac_sha256(out, key, size, "x", 1);
        imi_hmac_sha256(hashed, digest, sizeof(digest), "x", 1);
        ck_assert((memcmp(out, hashed, sizeof(out)) == 0) == (size == 65));
    }
}
END_TEST

START_TEST(a_fingerprint_is_the_first_12_digits) {
    char out[IMI_FINGERPRINT_SIZE + 1];
    imi_fingerprint(out, "abc");
    ck_assert_str_eq(out, "ba7816bf8f01");
    imi_fingerprint(out, "");
    ck_assert_str_eq(out, "e3b0c44298fc");
}
END_TEST

static Suite *sha256_suite(void) {
    Suite *suite = suite_create("sha256");
    TCase *tcase = tcase_create("sha256");
    tcase_add_loop_test(tcase, the_standards_digests, 0, COUNT_OF(digest_cases));
    tcase_add_test(tcase, every_length_around_a_block_agrees_with_evp);
    tcase_add_test(tcase, nothing_may_be_absent);
    tcase_add_test(tcase, pieces_sum_up_to_the_whole);
    tcase_add_loop_test(tcase, the_rfcs_macs, 0, COUNT_OF(mac_cases));
    tcase_add_test(tcase, a_key_of_a_block_is_not_hashed_and_a_longer_one_is);
    tcase_add_test(tcase, a_fingerprint_is_the_first_12_digits);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(sha256_suite)
