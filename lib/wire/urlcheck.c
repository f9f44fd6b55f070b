/* urlcheck.c: the address guard. IPv4 is global unless a block below holds it; IPv6 is global only
 * inside 2000::/3 (all that IANA gives out), again unless a block holds it. Blocks whose registry
 * entry says "globally reachable" (AS112, AMT, the anycast addresses of 192.0.0.0/24) are refused
 * like the others: such services answer from inside the own network, and no picture lies there. */
#include "wire/urlcheck.h"

#include <string.h>

enum {
    IPV4_BITS = 32,
    IPV6_BITS = 128,
    HOST_SIZE_MAX = 254, /* RFC 1035, with the dot at the end that some write */
};

typedef struct block {
    uint8_t bytes[16];
    uint8_t prefix_bits;
} block_t;

/* iana.org/assignments/iana-ipv4-special-registry, and multicast (RFC 5771). */
static const block_t ipv4_blocks[] = {
    {{0}, 8},             /* this network (RFC 791) */
    {{10}, 8},            /* private (RFC 1918) */
    {{100, 64}, 10},      /* shared, behind carriers' NAT (RFC 6598) */
    {{127}, 8},           /* loopback (RFC 1122) */
    {{169, 254}, 16},     /* link-local (RFC 3927), where clouds keep their metadata */
    {{172, 16}, 12},      /* private */
    {{192, 0, 0}, 24},    /* protocol assignments (RFC 6890) */
    {{192, 0, 2}, 24},    /* documentation (RFC 5737) */
    {{192, 31, 196}, 24}, /* AS112 (RFC 7535) */
    {{192, 52, 193}, 24}, /* AMT (RFC 7450) */
    {{192, 88, 99}, 24},  /* 6to4 relays, retired (RFC 7526) */
    {{192, 168}, 16},     /* private */
    {{192, 175, 48}, 24}, /* AS112 (RFC 7534) */
    {{198, 18}, 15},      /* benchmarking (RFC 2544) */
    {{198, 51, 100}, 24}, /* documentation */
    {{203, 0, 113}, 24},  /* documentation */
    {{224}, 4},           /* multicast */
    {{240}, 4},           /* reserved (RFC 1112), broadcast */
};

/* iana.org/assignments/iana-ipv6-special-registry. Not listed, as they lie outside of 2000::/3:
 * ::/128, ::1/128, ::/96 (IPv4-compatible), ::ffff:0:0:0/96 (IPv4-translated), 64:ff9b:1::/48,
 * 100::/64, 100:0:0:1::/64, 5f00::/16, fc00::/7, fe80::/10, fec0::/10, ff00::/8. */
static const block_t ipv6_blocks[] = {
    {{0x20, 0x01}, 23},                         /* protocol assignments: Teredo, ORCHID, AMT, … */
    {{0x20, 0x01, 0x0d, 0xb8}, 32},             /* documentation (RFC 3849) */
    {{0x20, 0x02}, 16},                         /* 6to4 (RFC 3056) */
    {{0x26, 0x20, 0x00, 0x4f, 0x80, 0x00}, 48}, /* AS112 */
    {{0x3f, 0xff}, 20},                         /* documentation (RFC 9637) */
};

static const block_t ipv6_global = {{0x20}, 3};
static const block_t ipv6_loopback = {{[15] = 1}, 128};
static const block_t ipv4_loopback = {{127}, 8};
static const block_t mapped_block = {{[10] = 0xff, [11] = 0xff}, 96};
static const block_t nat64_block = {{0x00, 0x64, 0xff, 0x9b}, 96}; /* RFC 6052, section 2.1 */

/* ---- reading -----------------------------------------------------------------------------------
 */

static int digit_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* The whole text, in the base; as inet_aton does, nothing behind "0x" is zero. */
static bool parse_number(imi_slice_t text, uint32_t base, uint64_t max, uint64_t *out) {
    uint64_t value = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint32_t digit = (uint32_t)digit_value(text.data[i]);
        if (digit >= base)
            return false;
        value = value * base + digit;
        if (value > max)
            return false;
    }
    *out = value;
    return true;
}

static bool is_hex_number(imi_slice_t text) {
    return text.size >= 2 && text.data[0] == '0' && (text.data[1] == 'x' || text.data[1] == 'X');
}

static bool parse_octet(imi_slice_t text, uint64_t *out) {
    bool has_zero = text.size > 1 && text.data[0] == '0'; /* octal for some readers */
    return text.size != 0 && !has_zero && parse_number(text, 10, 255, out);
}

static bool parse_loose_number(imi_slice_t text, uint64_t max, uint64_t *out) {
    if (is_hex_number(text))
        return parse_number((imi_slice_t){text.data + 2, text.size - 2}, 16, max, out);
    return text.size != 0 && parse_number(text, text.data[0] == '0' ? 8 : 10, max, out);
}

/* One to four numbers; the last one fills all bytes that are left. */
static bool parse_ipv4_loose(imi_slice_t text, uint8_t out[4]) {
    uint64_t value = 0;
    size_t count = 0;
    imi_slice_t part;
    if (text.size != 0 && text.data[text.size - 1] == '.')
        text.size--; /* the root of a name: browsers drop it and read a number */
    while (imi_slice_split(&text, '.', &part)) {
        bool is_last = part.data + part.size == text.data && text.size == 0;
        if (count == 4 ||
            !parse_loose_number(part, is_last ? UINT32_MAX >> (8 * count) : 255, &value))
            return false;
        if (is_last) {
            for (size_t i = 4; i-- > count; value >>= 8)
                out[i] = (uint8_t)value;
            return true;
        }
        out[count++] = (uint8_t)value;
    }
    return false;
}

static bool parse_ipv4(imi_slice_t text, uint8_t out[4]) {
    uint64_t value = 0;
    size_t count = 0;
    imi_slice_t part;
    if (text.size == 0 || text.data[text.size - 1] == '.')
        return false;
    for (; imi_slice_split(&text, '.', &part); out[count++] = (uint8_t)value) {
        if (count == 4 || !parse_octet(part, &value))
            return false;
    }
    return count == 4;
}

/* Groups of 16 bits; `gap` is where "::" stands, the groups behind it move to the end. */
static bool parse_ipv6(imi_slice_t text, uint8_t out[16]) {
    size_t size = 0, gap = SIZE_MAX, at = 0;
    memset(out, 0, 16);
    if (text.size >= 2 && text.data[0] == ':' && text.data[1] == ':') {
        gap = 0;
        at = 2;
    }
    while (at < text.size) {
        imi_slice_t group = {text.data + at, 0};
        uint64_t value = 0;
        while (at + group.size < text.size && group.data[group.size] != ':')
            group.size++;
        at += group.size;
        if (at == text.size && size <= 12 && parse_ipv4(group, out + size)) {
            size += 4;
            break;
        }
        if (size == 16 || group.size == 0 || group.size > 4 ||
            !parse_number(group, 16, UINT16_MAX, &value))
            return false;
        out[size++] = (uint8_t)(value >> 8);
        out[size++] = (uint8_t)value;
        if (at == text.size)
            break;
        if (++at == text.size)
            return false; /* a single colon at the end */
        if (text.data[at] == ':') {
            if (gap != SIZE_MAX)
                return false;
            gap = size;
            at++;
        }
    }
    if (gap == SIZE_MAX || size == 16)
        return gap == SIZE_MAX && size == 16; /* "::" stands for a group at least */
    memmove(out + 16 - (size - gap), out + gap, size - gap);
    memset(out + gap, 0, 16 - size);
    return true;
}

bool imi_address_parse(imi_slice_t text, bool is_loose, imi_address_t *out) {
    const char *zone = NULL;
    *out = (imi_address_t){.is_ipv6 = false};
    if (text.size == 0)
        return false;
    if (memchr(text.data, ':', text.size) == NULL)
        return is_loose ? parse_ipv4_loose(text, out->bytes) : parse_ipv4(text, out->bytes);
    zone = memchr(text.data, '%', text.size);
    if (zone != NULL)
        text.size = (size_t)(zone - text.data);
    out->is_ipv6 = true;
    return parse_ipv6(text, out->bytes);
}

bool imi_host_is_name(imi_slice_t host) {
    size_t label_size = 0;
    for (size_t i = 0; i < host.size; i++) {
        char c = host.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool is_good = is_letter || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (c == '.' ? label_size == 0 : !is_good)
            return false;
        label_size = c == '.' ? 0 : label_size + 1;
    }
    return host.size != 0 && host.size <= HOST_SIZE_MAX && !imi_host_is_numeric(host);
}

/* As the WHATWG URL standard decides it ("ends in a number"). */
bool imi_host_is_numeric(imi_slice_t host) {
    imi_slice_t label = host;
    uint64_t value = 0;
    if (label.size != 0 && label.data[label.size - 1] == '.')
        label.size--;
    for (size_t i = label.size; i-- > 0;) {
        if (label.data[i] == '.') {
            label = (imi_slice_t){label.data + i + 1, label.size - i - 1};
            break;
        }
    }
    if (is_hex_number(label)) {
        label = (imi_slice_t){label.data + 2, label.size - 2};
        return parse_number(label, 16, UINT64_MAX, &value);
    }
    return label.size != 0 && parse_number(label, 10, UINT64_MAX, &value);
}

/* ---- judging -----------------------------------------------------------------------------------
 */

static bool has_prefix(const uint8_t *bytes, const block_t *block) {
    size_t whole = block->prefix_bits / 8u;
    unsigned rest = block->prefix_bits % 8u;
    unsigned mask = 0xFFu & (0xFF00u >> rest);
    return memcmp(bytes, block->bytes, whole) == 0 &&
           (rest == 0 || ((bytes[whole] ^ block->bytes[whole]) & mask) == 0);
}

static bool is_in_any(const uint8_t *bytes, const block_t *blocks, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (has_prefix(bytes, &blocks[i]))
            return true;
    }
    return false;
}

static bool is_mapped(const imi_address_t *address) {
    return address->is_ipv6 && has_prefix(address->bytes, &mapped_block);
}

static bool is_global_ipv4(const uint8_t *bytes) {
    return !is_in_any(bytes, ipv4_blocks, sizeof(ipv4_blocks) / sizeof(ipv4_blocks[0]));
}

bool imi_address_is_global(const imi_address_t *address) {
    if (!address->is_ipv6)
        return is_global_ipv4(address->bytes);
    if (is_mapped(address) || has_prefix(address->bytes, &nat64_block))
        return is_global_ipv4(address->bytes + 12);
    return has_prefix(address->bytes, &ipv6_global) &&
           !is_in_any(address->bytes, ipv6_blocks, sizeof(ipv6_blocks) / sizeof(ipv6_blocks[0]));
}

bool imi_address_is_loopback(const imi_address_t *address) {
    if (address->is_ipv6 && !is_mapped(address))
        return has_prefix(address->bytes, &ipv6_loopback);
    return has_prefix(address->bytes + (address->is_ipv6 ? 12 : 0), &ipv4_loopback);
}

/* ---- what the operator allows ------------------------------------------------------------------
 */

typedef enum rule_kind {
    RULE_ALL,
    RULE_LOOPBACK,
    RULE_NAME,
    RULE_DOMAIN,
    RULE_NETWORK
} rule_kind_t;

typedef struct rule {
    rule_kind_t kind;
    const char *name; /* RULE_NAME; RULE_DOMAIN: with the dot at its front */
    block_t network;
    bool is_ipv6;
} rule_t;

struct imi_hosts {
    size_t rule_count;
    rule_t rules[];
};

static imi_slice_t drop_root(imi_slice_t name) {
    if (name.size != 0 && name.data[name.size - 1] == '.')
        name.size--;
    return name;
}

static bool parse_network(imi_slice_t text, rule_t *out) {
    const char *slash = memchr(text.data, '/', text.size);
    imi_address_t address;
    uint64_t bits = 0, bits_max = 0;
    imi_slice_t prefix = {NULL, 0};
    if (slash != NULL) {
        prefix = (imi_slice_t){slash + 1, text.size - (size_t)(slash + 1 - text.data)};
        text.size = (size_t)(slash - text.data);
    }
    if (!imi_address_parse(text, false, &address))
        return false;
    bits = bits_max = address.is_ipv6 ? IPV6_BITS : IPV4_BITS;
    if (slash != NULL && (prefix.size == 0 || !parse_number(prefix, 10, bits_max, &bits)))
        return false;
    *out = (rule_t){.kind = RULE_NETWORK, .is_ipv6 = address.is_ipv6};
    memcpy(out->network.bytes, address.bytes, sizeof(address.bytes));
    out->network.prefix_bits = (uint8_t)bits;
    return true;
}

/* The name of the rule is left to the caller, who has the memory for it. */
static bool parse_rule(imi_slice_t item, rule_t *out) {
    bool is_domain = item.size > 2 && item.data[0] == '*' && item.data[1] == '.';
    imi_slice_t name = drop_root(item);
    *out = (rule_t){.kind = RULE_ALL};
    if (imi_slice_equals(item, "*"))
        return true;
    out->kind = RULE_LOOPBACK;
    if (imi_slice_equals_nocase(item, "loopback"))
        return true;
    out->kind = is_domain ? RULE_DOMAIN : RULE_NAME;
    if (is_domain)
        name = (imi_slice_t){name.data + 2, name.size - 2};
    return imi_host_is_name(name) || parse_network(item, out);
}

const imi_hosts_t *imi_hosts_parse(imi_arena_t *arena, const char *list, const char **out_bad) {
    imi_slice_t rest = imi_slice_of(list), item;
    size_t count_max = 1;
    imi_hosts_t *hosts = NULL;
    *out_bad = NULL;
    for (const char *at = list; *at != '\0'; at++)
        count_max += *at == ',' ? 1 : 0;
    hosts = imi_arena_zalloc(arena, sizeof(*hosts) + count_max * sizeof(hosts->rules[0]));
    if (hosts == NULL)
        return NULL;
    while (imi_slice_split(&rest, ',', &item)) {
        rule_t *rule = &hosts->rules[hosts->rule_count];
        item = imi_slice_trim(item);
        if (item.size == 0)
            continue;
        if (!parse_rule(item, rule)) {
            *out_bad = imi_arena_strndup(arena, item.data, item.size);
            return NULL;
        }
        if (rule->kind == RULE_NAME || rule->kind == RULE_DOMAIN) {
            size_t star_size = rule->kind == RULE_DOMAIN ? 1 : 0;
            imi_slice_t name = drop_root(item);
            rule->name = imi_arena_strndup(arena, name.data + star_size, name.size - star_size);
            if (rule->name == NULL)
                return NULL;
        }
        hosts->rule_count++;
    }
    return hosts;
}

static bool rule_has_name(const rule_t *rule, imi_slice_t name) {
    size_t size = 0;
    if (rule->kind == RULE_NAME)
        return imi_slice_equals_nocase(name, rule->name);
    if (rule->kind != RULE_DOMAIN)
        return rule->kind == RULE_ALL;
    size = strlen(rule->name);
    if (name.size <= size)
        return false;
    return imi_slice_equals_nocase((imi_slice_t){name.data + name.size - size, size}, rule->name);
}

bool imi_hosts_has_name(const imi_hosts_t *hosts, imi_slice_t name) {
    name = drop_root(name);
    for (size_t i = 0; hosts != NULL && i < hosts->rule_count; i++) {
        if (rule_has_name(&hosts->rules[i], name))
            return true;
    }
    return false;
}

static bool rule_has_address(const rule_t *rule, const imi_address_t *address) {
    if (rule->kind == RULE_LOOPBACK)
        return imi_address_is_loopback(address);
    if (rule->kind != RULE_NETWORK)
        return rule->kind == RULE_ALL;
    if (rule->is_ipv6 == address->is_ipv6)
        return has_prefix(address->bytes, &rule->network);
    return is_mapped(address) && has_prefix(address->bytes + 12, &rule->network);
}

bool imi_hosts_has_address(const imi_hosts_t *hosts, const imi_address_t *address) {
    for (size_t i = 0; hosts != NULL && i < hosts->rule_count; i++) {
        if (rule_has_address(&hosts->rules[i], address))
            return true;
    }
    return false;
}

bool imi_connection_is_allowed(const imi_hosts_t *allowed, imi_slice_t name, imi_slice_t address) {
    imi_address_t parsed;
    if (!imi_address_parse(address, false, &parsed))
        return false;
    return imi_address_is_global(&parsed) || imi_hosts_has_name(allowed, name) ||
           imi_hosts_has_address(allowed, &parsed);
}
