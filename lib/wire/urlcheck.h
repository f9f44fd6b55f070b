/* urlcheck.h: may we connect there? For addresses that strangers give us. Numeric IPv4 and IPv6
 * are judged by the IANA special-purpose registries (RFC 6890 and its updates): nothing in them is
 * global (loopback, private, link-local, shared, multicast, documentation, benchmarking, anycast
 * services, unspecified, unique local …). Mapped addresses and those of the well-known NAT64 prefix
 * are what the IPv4 address inside is; the retired forms (compatible, 6to4, Teredo) and NAT64's
 * local prefix are never global, whatever is inside. */
#ifndef IMI_WIRE_URLCHECK_H
#define IMI_WIRE_URLCHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/arena.h"
#include "wire/str.h"

typedef struct imi_address {
    uint8_t bytes[16]; /* network order; IPv4 in the first four */
    bool is_ipv6;
} imi_address_t;

/* "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", an optional %zone is ignored. The odd IPv4 forms
 * that inet_aton takes (0x7f.1, 2130706433, 0177.0.0.1) are read too when is_loose: resolvers read
 * them, so the guard has to. */
bool imi_address_parse(imi_slice_t text, bool is_loose, imi_address_t *out);
/* Labels of letters, digits, hyphens and underscores; the last one may end in a dot and is no
 * number. */
bool imi_host_is_name(imi_slice_t host);
/* The last label is a number, so that some reader may take the host for an IPv4 address. */
bool imi_host_is_numeric(imi_slice_t host);
bool imi_address_is_global(const imi_address_t *address);
bool imi_address_is_loopback(const imi_address_t *address); /* 127/8, ::1, and mapped */

/* A comma list of names ("gpu.lan", "*.lan"), addresses, networks ("10.0.0.0/8", "fd00::/8"; IPv4
 * ones cover the mapped form too), the word "loopback", or "*" for all. The rules live in the
 * arena. NULL with *out_bad set to the item that is none of these (in the arena), or to NULL when
 * memory is out. */
typedef struct imi_hosts imi_hosts_t;
const imi_hosts_t *imi_hosts_parse(imi_arena_t *arena, const char *list, const char **out_bad);
bool imi_hosts_has_name(const imi_hosts_t *hosts, imi_slice_t name); /* NULL: false */
bool imi_hosts_has_address(const imi_hosts_t *hosts,
                           const imi_address_t *address); /* NULL: false */

/* The guard's whole rule for a connection about to be made: the address is global, or the name or
 * the address is listed in `allowed` (may be NULL). An address that cannot be read is refused. */
bool imi_connection_is_allowed(const imi_hosts_t *allowed, imi_slice_t name, imi_slice_t address);

#endif
