/* test_urlcheck.c: the address guard at both edges of every block of the IANA registries, IPv4
 * inside IPv6, addresses spelled oddly, and the operator's list. */
#include "wire/urlcheck.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"
#include "../../support/random.h"

#define COUNT_OF(table) ((int)(sizeof(table) / sizeof((table)[0])))

static imi_address_t address_of(const char *text) {
    imi_address_t address;
    ck_assert_msg(imi_address_parse(imi_slice_of(text), false, &address), "%s", text);
    return address;
}

static bool is_global(const char *text) {
    imi_address_t address = address_of(text);
    return imi_address_is_global(&address);
}

/* ---- what is global ----------------------------------------------------------------------------
 */

/* The first and the last address of a block, and their neighbours outside of it; NULL: another
 * block of the table is next to it. */
static const struct {
    const char *name, *before, *first, *last, *after;
} block_cases[] = {
    {"this network", NULL, "0.0.0.0", "0.255.255.255", "1.0.0.0"},
    {"private 10", "9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
    {"shared", "100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"},
    {"loopback", "126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"},
    {"link-local", "169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"},
    {"private 172", "172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"},
    {"protocol assignments", "191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"},
    {"documentation 1", "192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"},
    {"AS112", "192.31.195.255", "192.31.196.0", "192.31.196.255", "192.31.197.0"},
    {"AMT", "192.52.192.255", "192.52.193.0", "192.52.193.255", "192.52.194.0"},
    {"6to4 relays", "192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"},
    {"private 192", "192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"},
    {"AS112 direct", "192.175.47.255", "192.175.48.0", "192.175.48.255", "192.175.49.0"},
    {"benchmarking", "198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"},
    {"documentation 2", "198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"},
    {"documentation 3", "203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"},
    {"multicast", "223.255.255.255", "224.0.0.0", "239.255.255.255", NULL},
    {"reserved", NULL, "240.0.0.0", "255.255.255.255", NULL},

    {"unspecified and loopback", NULL, "::", "::1", NULL},
    {"compatible", NULL, "::2", "::ffff:ffff", NULL},
    {"translated", NULL, "::ffff:0:0:0", "::ffff:0:ffff:ffff", NULL},
    {"translated, with a public one", NULL, "::ffff:0:8.8.8.8", "::ffff:0:8.8.8.8", NULL},
    {"behind NAT64", NULL, "64:ff9b::1:0:0", "64:ff9b:0:ffff:ffff:ffff:ffff:ffff", NULL},
    {"NAT64's local prefix", NULL, "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", NULL},
    {"its next one", NULL, "64:ff9b:2::", "ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {"discard", NULL, "100::", "100::ffff:ffff:ffff:ffff", NULL},
    {"dummy prefix", NULL, "100:0:0:1::", "100:0:0:1:ffff:ffff:ffff:ffff", NULL},
    {"not given out below", NULL, "200::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::"},
    {"protocol assignments 6", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
     "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"},
    {"documentation 6", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
     "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"},
    {"6to4", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
     "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"},
    {"AS112 6", "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff",
     "2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "2620:4f:8001::"},
    {"documentation 6b", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
     "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"},
    {"not given out above", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
     "4000::", "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {"segment routing", NULL, "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {"not given out further above", NULL, "6000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
     NULL},
    {"unique local", NULL, "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {"link-local 6", NULL, "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {"site-local", NULL, "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {"multicast 6", NULL, "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},

    /* Parts of the blocks above that have entries of their own. */
    {"this host", NULL, "0.0.0.0", "0.0.0.0", NULL},
    {"dummy", NULL, "192.0.0.8", "192.0.0.8", NULL},
    {"port control anycast", NULL, "192.0.0.9", "192.0.0.9", NULL},
    {"TURN anycast", NULL, "192.0.0.10", "192.0.0.10", NULL},
    {"DNS64 discovery", NULL, "192.0.0.170", "192.0.0.171", NULL},
    {"broadcast", NULL, "255.255.255.255", "255.255.255.255", NULL},
    {"cloud metadata", NULL, "169.254.169.254", "169.254.169.254", NULL},
    {"cloud metadata 6", NULL, "fd00:ec2::254", "fd00:ec2::254", NULL},
    {"Teredo", NULL, "2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {"benchmarking 6", NULL, "2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", NULL},
    {"AMT 6", NULL, "2001:3::", "2001:3:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {"AS112 6b", NULL, "2001:4:112::", "2001:4:112:ffff:ffff:ffff:ffff:ffff", NULL},
    {"ORCHID", NULL, "2001:10::", "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {"ORCHIDv2", NULL, "2001:20::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {"drones", NULL, "2001:30::", "2001:3f:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
};

START_TEST(a_special_block_is_not_global_and_its_neighbours_are) { /* _i walks block_cases */
    const char *name = block_cases[_i].name;
    ck_assert_msg(!is_global(block_cases[_i].first), "%s: first", name);
    ck_assert_msg(!is_global(block_cases[_i].last), "%s: last", name);
    ck_assert_msg(block_cases[_i].before == NULL || is_global(block_cases[_i].before), "%s: before",
                  name);
    ck_assert_msg(block_cases[_i].after == NULL || is_global(block_cases[_i].after), "%s: after",
                  name);
}
END_TEST

static const char *const public_cases[] = {
    "1.1.1.1",          "8.8.8.8",
    "93.184.216.34",    "223.5.5.5",
    "100.0.0.1",        "172.64.0.1",
    "192.0.66.2",       "198.41.0.4",
    "203.0.114.1",      "2606:4700:4700::1111",
    "2a00:1450::1",     "2001:4860:4860::8888",
    "2400:3200::1",     "2c0f:fb50::1",
    "2620:fe::fe",      "::ffff:8.8.8.8",
    "64:ff9b::808:808",
};

START_TEST(public_addresses_are_global) { /* _i walks public_cases */
    ck_assert_msg(is_global(public_cases[_i]), "%s", public_cases[_i]);
}
END_TEST

START_TEST(ipv4_inside_ipv6_is_judged_by_itself) { /* _i walks block_cases */
    char text[64];
    const char *edges[] = {block_cases[_i].first, block_cases[_i].last};
    for (size_t i = 0; i < 2 && strchr(edges[i], ':') == NULL; i++) {
        imi_address_t inside = address_of(edges[i]);
        const uint8_t *b = inside.bytes;
        snprintf(text, sizeof(text), "::ffff:%s", edges[i]);
        ck_assert_msg(!is_global(text), "%s", text);
        snprintf(text, sizeof(text), "::ffff:%x:%x", b[0] << 8 | b[1], b[2] << 8 | b[3]);
        ck_assert_msg(!is_global(text), "%s", text);
        snprintf(text, sizeof(text), "::%s", edges[i]); /* compatible */
        ck_assert_msg(!is_global(text), "%s", text);
        snprintf(text, sizeof(text), "64:ff9b::%s", edges[i]);
        ck_assert_msg(!is_global(text), "%s", text);
        snprintf(text, sizeof(text), "64:ff9b:1::%s", edges[i]);
        ck_assert_msg(!is_global(text), "%s", text);
        snprintf(text, sizeof(text), "64:ff9b:1:%x:%x:%x::", b[0] << 8 | b[1], b[2], b[3] << 8);
        ck_assert_msg(!is_global(text), "%s", text);
        snprintf(text, sizeof(text), "2002:%x:%x::1", b[0] << 8 | b[1], b[2] << 8 | b[3]);
        ck_assert_msg(!is_global(text), "%s", text);
        snprintf(text, sizeof(text), "2001:0:4136:e378:8000:63bf:%x:%x",
                 (b[0] << 8 | b[1]) ^ 0xFFFF, (b[2] << 8 | b[3]) ^ 0xFFFF); /* Teredo's client */
        ck_assert_msg(!is_global(text), "%s", text);
        snprintf(text, sizeof(text), "2001:0:%x:%x:8000:63bf:3fff:fdd2", b[0] << 8 | b[1],
                 b[2] << 8 | b[3]); /* and its server */
        ck_assert_msg(!is_global(text), "%s", text);
    }
}
END_TEST

START_TEST(retired_forms_are_not_global_whatever_is_inside) {
    ck_assert(!is_global("::8.8.8.8"));
    ck_assert(!is_global("2002:808:808::1"));
    ck_assert(!is_global("2001:0:808:808:8000:63bf:f7f7:f7f7"));
    ck_assert(!is_global("64:ff9b:1::8.8.8.8"));
}
END_TEST

static const struct {
    const char *text;
    bool is_loopback;
} loopback_cases[] = {
    {"127.0.0.1", true},
    {"127.255.255.255", true},
    {"126.255.255.255", false},
    {"128.0.0.0", false},
    {"0.0.0.0", false},
    {"::1", true},
    {"::", false},
    {"::2", false},
    {"::ffff:127.0.0.1", true},
    {"::ffff:127.9.9.9", true},
    {"::ffff:10.0.0.1", false},
    {"::127.0.0.1", false},
    {"64:ff9b::127.0.0.1", false},
    {"fe80::1", false},
    {"::1%lo", true},
    {"100::1", false},
    {"7f00:1::", false},
};

START_TEST(loopback_is_known_in_three_forms) { /* _i walks loopback_cases */
    imi_address_t address = address_of(loopback_cases[_i].text);
    ck_assert_msg(imi_address_is_loopback(&address) == loopback_cases[_i].is_loopback, "%s",
                  loopback_cases[_i].text);
}
END_TEST

/* ---- reading -----------------------------------------------------------------------------------
 */

/* Strict IPv4 and all of IPv6 are what inet_pton takes; loose IPv4 what inet_aton takes, and more.
 */
static const char *const text_cases[] = {
    "0.0.0.0",
    "255.255.255.255",
    "1.2.3.4",
    "01.2.3.4",
    "1.2.3.04",
    "1.2.3.00",
    "256.1.1.1",
    "1.1.1.256",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.",
    ".1.2.3",
    "1..2.3",
    "1.2.3.4.",
    "1.2.3.4 ",
    " 1.2.3.4",
    "1.2.3.-4",
    "1.2.3.+4",
    "1.2.3.a",
    "1.2.3.4/8",
    "a",
    "",
    ".",
    "..",
    "...",
    "0",
    "00",
    "1",
    "127.1",
    "127.0.1",
    "0x7f.1",
    "0X7F.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "08",
    "0x",
    "0x.0x.0x.0x",
    "0xg",
    "4294967295",
    "4294967296",
    "99999999999999999999",
    "0xffffffff",
    "0x100000000",
    "00000000000000000000001",
    "1.16777215",
    "1.16777216",
    "1.2.65535",
    "1.2.65536",
    "256.0",
    "1.256.0",
    "1.2.256.0",
    "037777777777",
    "040000000000",
    "0x0000000000000001",
    "1.0x2.03.4",
    "127.0.0.1x",
    "0x7f.0x0.0x0.0x1",
    "::",
    "::1",
    "1::",
    "1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7::",
    "::2:3:4:5:6:7:8",
    "1::8",
    "1::3::5",
    ":",
    ":::",
    ":1",
    "1:",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7:8::",
    "::1:2:3:4:5:6:7:8",
    "1:2:3:4::5:6:7:8",
    "12345::",
    "g::",
    "::g",
    "ABCD:EF01::",
    "abcd::EF",
    "0001::00000",
    "::0001",
    "::1.2.3.4",
    "::ffff:1.2.3.4",
    "1:2:3:4:5:6:1.2.3.4",
    "1:2:3:4:5:6:7:1.2.3.4",
    "1:2:3:4:5:1.2.3.4",
    "1:2:3:4:5::1.2.3.4",
    "1:2:3:4:5:6::1.2.3.4",
    "::1.2.3.4:5",
    "1.2.3.4::",
    "::1.2.3",
    "::1.2.3.256",
    "::01.2.3.4",
    "::0x7f.1",
    "::1.2.3.4.",
    "1:2",
    "::1 ",
    " ::1",
    "[::1]",
    "::1/128",
    "1:::2",
    "::-1",
    "::+1",
    "1:2:3:4:5:6:7:",
    ":2:3:4:5:6:7:8",
    "fe80::1",
};

static void check_reading(const char *text, size_t size) {
    char exact[64];
    uint8_t expected[16];
    imi_address_t address;
    struct in_addr loose;
    bool is_ipv6 = memchr(text, ':', size) != NULL;
    bool is_read = imi_address_parse((imi_slice_t){text, size}, false, &address);
    memcpy(exact, text, size);
    exact[size] = '\0';
    ck_assert_msg(is_read == (inet_pton(is_ipv6 ? AF_INET6 : AF_INET, exact, expected) == 1), "%s",
                  exact);
    if (is_read) {
        ck_assert(address.is_ipv6 == is_ipv6);
        ck_assert_msg(memcmp(address.bytes, expected, is_ipv6 ? 16 : 4) == 0, "%s", exact);
    }
    is_read = imi_address_parse((imi_slice_t){text, size}, true, &address);
    if (is_ipv6 || strchr(exact, ' ') != NULL || inet_aton(exact, &loose) != 1)
        return; /* inet_aton stops at a blank; a host with one never gets here */
    ck_assert_msg(is_read && memcmp(address.bytes, &loose, 4) == 0, "%s, loosely", exact);
}

START_TEST(texts_are_read_as_the_c_library_reads_them) { /* _i walks text_cases */
    size_t size = strlen(text_cases[_i]);
    for (size_t part = 0; part <= size; part++) { /* also cut off anywhere */
        char *exact = malloc(part + 1);
        ck_assert_ptr_nonnull(exact);
        memcpy(exact, text_cases[_i], part);
        check_reading(exact, part);
        free(exact);
    }
}
END_TEST

START_TEST(random_texts_too) { /* _i is the seed */
    static const char alphabet[] = "0011237f9ax.::::..%";
    uint64_t dice = (uint64_t)_i;
    for (size_t round = 0; round < 20000; round++) {
        char text[24];
        size_t size = random_below(&dice, sizeof(text));
        for (size_t i = 0; i < size; i++)
            text[i] = alphabet[random_below(&dice, sizeof(alphabet) - 1)];
        if (memchr(text, '%', size) == NULL)
            check_reading(text, size);
    }
}
END_TEST

START_TEST(random_addresses_come_back) { /* _i is the seed */
    uint64_t dice = (uint64_t)_i;
    for (size_t round = 0; round < 5000; round++) {
        uint8_t bytes[16];
        char text[INET6_ADDRSTRLEN];
        for (size_t i = 0; i < sizeof(bytes); i += 2) { /* with many zero groups, for "::" */
            uint64_t word = random_below(&dice, 3) == 0 ? random_next(&dice) : 0;
            bytes[i] = (uint8_t)word;
            bytes[i + 1] = (uint8_t)(word >> 8);
        }
        ck_assert_ptr_nonnull(inet_ntop(AF_INET6, bytes, text, sizeof(text)));
        check_reading(text, strlen(text));
        ck_assert_ptr_nonnull(inet_ntop(AF_INET, bytes, text, sizeof(text)));
        check_reading(text, strlen(text));
    }
}
END_TEST

static const struct {
    const char *text;
    bool is_read;
    const char *expected;
} loose_cases[] = {
    {"0x7f.1", true, "127.0.0.1"},
    {"2130706433", true, "127.0.0.1"},
    {"017700000001", true, "127.0.0.1"},
    {"0177.0.0.1", true, "127.0.0.1"},
    {"0x7F.0.0x0.01", true, "127.0.0.1"},
    {"127.0.0.1.", true, "127.0.0.1"},
    {"127.1.", true, "127.0.0.1"},
    {"0x", true, "0.0.0.0"},
    {"0x.1", true, "0.0.0.1"},
    {"10.65535", true, "10.0.255.255"},
    {"1.2.3.4", true, "1.2.3.4"},
    {"::1", true, "::1"},
    {"127.1..", false, NULL},
    {"1.2.3.4.5", false, NULL},
    {"a.1", false, NULL},
    {"1.2.3.4 x", false, NULL},
};

START_TEST(odd_spellings_are_read_loosely) { /* _i walks loose_cases */
    imi_address_t address, expected;
    bool is_read = imi_address_parse(imi_slice_of(loose_cases[_i].text), true, &address);
    ck_assert_msg(is_read == loose_cases[_i].is_read, "%s", loose_cases[_i].text);
    if (!is_read)
        return;
    expected = address_of(loose_cases[_i].expected);
    ck_assert(address.is_ipv6 == expected.is_ipv6);
    ck_assert_msg(memcmp(address.bytes, expected.bytes, 16) == 0, "%s", loose_cases[_i].text);
}
END_TEST

START_TEST(a_zone_is_passed_over) {
    imi_address_t address = address_of("fe80::1%eth0"), same = address_of("fe80::1");
    ck_assert_int_eq(memcmp(address.bytes, same.bytes, 16), 0);
    ck_assert(!imi_address_parse(IMI_SLICE("10.0.0.1%eth0"), false, &address));
    ck_assert(!imi_address_parse(IMI_SLICE("%eth0"), false, &address));
    ck_assert(!imi_address_parse(IMI_SLICE("fe80%::1"), false, &address));
    ck_assert(!imi_address_parse((imi_slice_t){NULL, 0}, true, &address));
}
END_TEST

static const struct {
    const char *host;
    bool is_name, is_numeric;
} host_cases[] = {
    {"a", true, false},        {"a.test", true, false},
    {"a.test.", true, false},  {"A_b-9.test", true, false},
    {"4090box", true, false},  {"1.2.3.4a", true, false},
    {"0xg", true, false},      {"1.2.3.4", false, true},
    {"1.2.3.4.", false, true}, {"a.09", false, true},
    {"4090", false, true},     {"a.0x", false, true},
    {"a.0xFf", false, true},   {"a.99999999999999999999999", false, true},
    {"", false, false},        {".", false, false},
    {".a", false, false},      {"a..b", false, false},
    {"a..", false, false},     {"a b", false, false},
    {"a:1", false, false},     {"*.a", false, false},
    {"a%41", false, false},    {"\xC3\xBC", false, false},
};

START_TEST(a_host_is_a_name_or_a_number_or_neither) { /* _i walks host_cases */
    imi_slice_t host = imi_slice_of(host_cases[_i].host);
    ck_assert_msg(imi_host_is_name(host) == host_cases[_i].is_name, "%s", host.data);
    ck_assert_msg(imi_host_is_numeric(host) == host_cases[_i].is_numeric, "%s", host.data);
}
END_TEST

/* ---- what the operator allows ------------------------------------------------------------------
 */

static const struct {
    const char *list, *name, *address;
    bool has_name, has_address;
} list_cases[] = {
    {"", "a.test", "10.0.0.1", false, false},
    {" , ,", "", "10.0.0.1", false, false},
    {"*", "a.test", "10.0.0.1", true, true},
    {"a.test, *", "b.test", "::1", true, true},
    {"gpu.lan", "gpu.lan", "10.0.0.1", true, false},
    {"gpu.lan", "GPU.LAN.", "10.0.0.1", true, false},
    {"Gpu.Lan.", "gpu.lan", "10.0.0.1", true, false},
    {"gpu.lan", "x.gpu.lan", "10.0.0.1", false, false},
    {"gpu.lan", "gpu.lanx", "10.0.0.1", false, false},
    {"gpu.lan", "gpu.la", "10.0.0.1", false, false},
    {"*.lan", "gpu.lan", "10.0.0.1", true, false},
    {"*.lan", "a.b.LAN.", "10.0.0.1", true, false},
    {"*.lan.", "gpu.lan", "10.0.0.1", true, false},
    {"*.lan", "lan", "10.0.0.1", false, false},
    {"*.lan", ".lan", "10.0.0.1", false, false},
    {"*.lan", "evillan", "10.0.0.1", false, false},
    {"*.lan", "lan.evil", "10.0.0.1", false, false},
    {"a.test,  gpu.lan ,b.test", "gpu.lan", "10.0.0.1", true, false},
    {"10.0.0.1", "gpu.lan", "10.0.0.1", false, true},
    {"10.0.0.1", "gpu.lan", "10.0.0.2", false, false},
    {"10.0.0.0/8", "gpu.lan", "10.255.255.255", false, true},
    {"10.0.0.0/8", "gpu.lan", "11.0.0.0", false, false},
    {"10.9.9.9/8", "gpu.lan", "10.0.0.1", false, true},
    {"10.0.0.0/8", "gpu.lan", "::ffff:10.0.0.1", false, true},
    {"10.0.0.0/8", "gpu.lan", "::ffff:11.0.0.1", false, false},
    {"10.0.0.0/8", "gpu.lan", "64:ff9b::10.0.0.1", false, false},
    {"10.0.0.0/8", "gpu.lan", "a00::1", false, false},
    {"172.16.0.0/12", "gpu.lan", "172.31.0.1", false, true},
    {"172.16.0.0/12", "gpu.lan", "172.32.0.1", false, false},
    {"192.168.1.128/25", "gpu.lan", "192.168.1.128", false, true},
    {"192.168.1.128/25", "gpu.lan", "192.168.1.127", false, false},
    {"10.0.0.1/32", "gpu.lan", "10.0.0.1", false, true},
    {"10.0.0.1/32", "gpu.lan", "10.0.0.0", false, false},
    {"0.0.0.0/0", "gpu.lan", "10.0.0.1", false, true},
    {"0.0.0.0/0", "gpu.lan", "::1", false, false},
    {"fd00::/8", "gpu.lan", "fd12::1", false, true},
    {"fd00::/8", "gpu.lan", "fc00::1", false, false},
    {"fd00::1", "gpu.lan", "fd00::1", false, true},
    {"fd00::1/128", "gpu.lan", "fd00::2", false, false},
    {"::/0", "gpu.lan", "fd00::1", false, true},
    {"::/0", "gpu.lan", "10.0.0.1", false, false},
    {"::ffff:0:0/96", "gpu.lan", "::ffff:10.0.0.1", false, true},
    {"loopback", "localhost", "127.0.0.1", false, true},
    {"Loopback", "localhost", "::1", false, true},
    {"loopback", "localhost", "::ffff:127.3.2.1", false, true},
    {"loopback", "localhost", "10.0.0.1", false, false},
    {"loopback,10.0.0.0/8,*.lan", "x.lan", "10.1.1.1", true, true},
};

START_TEST(a_list_has_what_it_names) { /* _i walks list_cases */
    imi_address_t address = address_of(list_cases[_i].address);
    const char *bad = "unset";
    const imi_hosts_t *hosts = NULL;
    imi_arena_t arena;
    imi_arena_init(&arena, NULL, 0);
    hosts = imi_hosts_parse(&arena, list_cases[_i].list, &bad);
    ck_assert_ptr_nonnull(hosts);
    ck_assert_ptr_null(bad);
    ck_assert_msg(imi_hosts_has_name(hosts, imi_slice_of(list_cases[_i].name)) ==
                      list_cases[_i].has_name,
                  "%s has the name %s", list_cases[_i].list, list_cases[_i].name);
    ck_assert_msg(imi_hosts_has_address(hosts, &address) == list_cases[_i].has_address,
                  "%s has the address %s", list_cases[_i].list, list_cases[_i].address);
    imi_arena_reset(&arena);
}
END_TEST

static const char *const bad_items[] = {
    "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8",  "10.0.0.0/0x8",
    "10.0.0.0/a",  "10.0.0/8",  "10.0.0",      "10.1",        "256.1.1.1",     "1.2.3.4.5",
    "0x7f.1",      "4090",      "fd00::/129",  "fd00::/",     "fd00:/8",       "gpu.lan/8",
    "/8",          "*.",        "*.*",         "**",          "*lan",          "a.*",
    "*..",         "*.1.2.3.4", "a b",         "a..b",        ".lan",          "http://a.test",
    "a.test:80",   "[::1]",     "user@a.test", "a;b",         "\xC3\xBC.test",
};

START_TEST(a_bad_item_is_named) { /* _i walks bad_items */
    char list[64];
    const char *bad = NULL;
    imi_arena_t arena;
    imi_arena_init(&arena, NULL, 0);
    snprintf(list, sizeof(list), "a.test, %s ,b.test", bad_items[_i]);
    ck_assert_msg(imi_hosts_parse(&arena, list, &bad) == NULL, "%s", bad_items[_i]);
    ck_assert_ptr_nonnull(bad);
    ck_assert_str_eq(bad, bad_items[_i]);
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(a_list_without_memory_is_none_and_no_item_is_to_blame) {
    for (size_t fail_at = 1, has_failed = 1; has_failed != 0; fail_at++) {
        failing_mem_t failing;
        imi_arena_t arena;
        const char *bad = "unset";
        const imi_hosts_t *hosts = NULL;
        failing_mem_init(&failing, fail_at);
        imi_arena_init(&arena, &failing.mem, 1);
        hosts = imi_hosts_parse(&arena, "a.test,*.lan,10.0.0.0/8", &bad);
        has_failed = failing.has_failed;
        ck_assert((hosts == NULL) == (has_failed != 0));
        ck_assert_ptr_null(bad);
        imi_arena_reset(&arena);
        ck_assert_uint_eq(failing.live_count, 0);
    }
}
END_TEST

static const struct {
    const char *list; /* NULL: no list */
    const char *name, *address;
    bool is_allowed;
} connection_cases[] = {
    {NULL, "a.test", "93.184.216.34", true},
    {NULL, "a.test", "::ffff:93.184.216.34", true},
    {NULL, "localhost", "127.0.0.1", false},
    {NULL, "evil.test", "169.254.169.254", false},
    {NULL, "evil.test", "::ffff:169.254.169.254", false},
    {NULL, "evil.test", "fe80::1%eth0", false},
    {NULL, "evil.test", "0.0.0.0", false},
    {"gpu.lan", "gpu.lan", "10.0.0.1", true},
    {"gpu.lan", "evil.test", "10.0.0.1", false},
    {"10.0.0.0/8", "gpu.lan", "10.0.0.1", true},
    {"10.0.0.0/8", "gpu.lan", "127.0.0.1", false},
    {"loopback", "localhost", "::1", true},
    {"*", "x", "10.0.0.1", true},
    /* What cannot be read is refused, whoever is named. */
    {"*", "a.test", "", false},
    {"*", "a.test", "a.test", false},
    {"*", "a.test", "127.1", false},
    {"*", "a.test", "/run/socket", false},
    {"*", "a.test", "93.184.216.34:80", false},
    {NULL, "a.test", NULL, false},
    {NULL, NULL, "93.184.216.34", true},
    {"a.test", NULL, "10.0.0.1", false},
};

START_TEST(the_guard_allows_global_and_listed_and_nothing_else) { /* _i walks connection_cases */
    const char *bad = NULL;
    const imi_hosts_t *hosts = NULL;
    imi_arena_t arena;
    imi_arena_init(&arena, NULL, 0);
    if (connection_cases[_i].list != NULL)
        hosts = imi_hosts_parse(&arena, connection_cases[_i].list, &bad);
    ck_assert_msg(imi_connection_is_allowed(hosts, imi_slice_of(connection_cases[_i].name),
                                            imi_slice_of(connection_cases[_i].address)) ==
                      connection_cases[_i].is_allowed,
                  "row %d", _i);
    imi_arena_reset(&arena);
}
END_TEST

static Suite *urlcheck_suite(void) {
    Suite *suite = suite_create("urlcheck");
    TCase *tcase = tcase_create("global");
    tcase_add_loop_test(tcase, a_special_block_is_not_global_and_its_neighbours_are, 0,
                        COUNT_OF(block_cases));
    tcase_add_loop_test(tcase, public_addresses_are_global, 0, COUNT_OF(public_cases));
    tcase_add_loop_test(tcase, ipv4_inside_ipv6_is_judged_by_itself, 0, COUNT_OF(block_cases));
    tcase_add_test(tcase, retired_forms_are_not_global_whatever_is_inside);
    tcase_add_loop_test(tcase, loopback_is_known_in_three_forms, 0, COUNT_OF(loopback_cases));
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("reading");
    tcase_add_loop_test(tcase, texts_are_read_as_the_c_library_reads_them, 0, COUNT_OF(text_cases));
    tcase_add_loop_test(tcase, random_texts_too, 0, 5);
    tcase_add_loop_test(tcase, random_addresses_come_back, 0, 5);
    tcase_add_loop_test(tcase, odd_spellings_are_read_loosely, 0, COUNT_OF(loose_cases));
    tcase_add_test(tcase, a_zone_is_passed_over);
    tcase_add_loop_test(tcase, a_host_is_a_name_or_a_number_or_neither, 0, COUNT_OF(host_cases));
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("allowed");
    tcase_add_loop_test(tcase, a_list_has_what_it_names, 0, COUNT_OF(list_cases));
    tcase_add_loop_test(tcase, a_bad_item_is_named, 0, COUNT_OF(bad_items));
    tcase_add_test(tcase, a_list_without_memory_is_none_and_no_item_is_to_blame);
    tcase_add_loop_test(tcase, the_guard_allows_global_and_listed_and_nothing_else, 0,
                        COUNT_OF(connection_cases));
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(urlcheck_suite)
