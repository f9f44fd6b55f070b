/* caller.c: from a connection's peer to the caller behind it.
 *
 * X-Forwarded-For grows at its right end, hop by hop, so what stands left of the first hop that we
 * do not trust may be invented. We walk from the peer to the left while each hop is trusted.
 * CF-Connecting-IP has no such history, so it counts only where X-Forwarded-For is missing. */
#include "gateway/caller.h"

#include <string.h>

#include "wire/str.h"

enum { KEY_IPV4 = 4, KEY_IPV6 = 6, KEY_TEXT = 't', KEY_TOKEN = 'k' };

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80": proxies write all of these. */
static bool parse_hop(imi_slice_t hop, imi_address_t *out) {
    const char *colon;
    hop = imi_slice_trim(hop);
    if (hop.size > 0 && hop.data[0] == '[') {
        const char *end = memchr(hop.data, ']', hop.size);
        if (end == NULL)
            return false;
        hop = (imi_slice_t){hop.data + 1, (size_t)(end - hop.data) - 1};
    } else {
        colon = hop.size > 0 ? memchr(hop.data, ':', hop.size) : NULL;
        if (colon != NULL && memchr(hop.data, '.', (size_t)(colon - hop.data)) != NULL)
            hop.size = (size_t)(colon - hop.data);
    }
    return imi_address_parse(hop, false, out);
}

/* Follows one header's hops from right to left. False: `address` is the caller, look no further. */
static bool walk_hops(imi_slice_t hops, const imi_hosts_t *trusted, imi_address_t *address) {
    while (hops.size > 0) {
        size_t start = hops.size;
        imi_address_t next;
        while (start > 0 && hops.data[start - 1] != ',')
            start--;
        if (!parse_hop((imi_slice_t){hops.data + start, hops.size - start}, &next))
            return false;
        *address = next;
        if (!imi_hosts_has_address(trusted, address))
            return false;
        hops.size = start > 0 ? start - 1 : 0;
    }
    return true;
}

static void follow_proxies(const imi_hosts_t *trusted, const imagine_header_t *headers,
                           size_t header_count, imi_address_t *address) {
    bool has_hops = false;
    imi_address_t given;
    for (size_t i = header_count; i-- > 0;) {
        if (!imi_text_equals_nocase(headers[i].name, "x-forwarded-for"))
            continue;
        has_hops = true;
        if (!walk_hops(imi_slice_of(headers[i].value), trusted, address))
            return;
    }
    for (size_t i = 0; !has_hops && i < header_count; i++)
        if (imi_text_equals_nocase(headers[i].name, "cf-connecting-ip") &&
            parse_hop(imi_slice_of(headers[i].value), &given)) {
            *address = given;
            return;
        }
}

/* One host has a whole /64 of IPv6 addresses to call from, so that counts as one caller. */
static void set_key(imi_caller_t *caller, const imi_address_t *address) {
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (!address->is_ipv6) {
        caller->key[0] = KEY_IPV4;
        memcpy(caller->key + 1, address->bytes, 4);
    } else if (memcmp(address->bytes, mapped, sizeof(mapped)) == 0) {
        caller->key[0] = KEY_IPV4;
        memcpy(caller->key + 1, address->bytes + 12, 4);
    } else {
        caller->key[0] = KEY_IPV6;
        memcpy(caller->key + 1, address->bytes, 8);
    }
}

void imi_caller_find(imi_caller_t *caller, const imi_hosts_t *trusted, const char *peer,
                     const imagine_header_t *headers, size_t header_count, bool is_forwarded) {
    imi_address_t address;
    bool is_trusted;
    memset(caller, 0, sizeof(*caller));
    if (peer == NULL || !imi_address_parse(imi_slice_of(peer), false, &address)) {
        caller->key[0] = KEY_TEXT; /* a local socket, say: all of them are one caller */
        return;
    }
    is_trusted = imi_hosts_has_address(trusted, &address);
    /* A proxy on this machine that nobody told us of must not lend its loopback address to the
     * world: with a forwarding header, and no trust in it, the caller is not local. */
    caller->is_local = imi_address_is_loopback(&address) && (is_trusted || !is_forwarded);
    if (is_trusted && is_forwarded) {
        follow_proxies(trusted, headers, header_count, &address);
        caller->is_local = caller->is_local && imi_address_is_loopback(&address);
    }
    set_key(caller, &address);
}

void imi_caller_set_token(imi_caller_t *caller, const char *fingerprint) {
    size_t size = strlen(fingerprint);
    memset(caller->key, 0, sizeof(caller->key));
    caller->key[0] = KEY_TOKEN;
    memcpy(caller->key + 1, fingerprint,
           size < sizeof(caller->key) - 1 ? size : sizeof(caller->key) - 1);
}
