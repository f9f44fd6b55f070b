/* fuzz_url.c: a base address, a line feed, a reference; each also as an address, a host and a list
 * of hosts.
 *
 *   What we accept curl accepts too, with the same scheme, host, port and path. Parts lie inside
 * the text. What resolves is an address again. Numeric addresses are read as the C library reads
 *   them. A connection is never allowed to what is not global. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/url.h"
#include "wire/urlcheck.h"

#define PROVE(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void prove_inside(imi_slice_t part, imi_slice_t whole) {
    PROVE(part.data == NULL || (part.data >= whole.data && part.size <= whole.size &&
                                (size_t)(part.data - whole.data) <= whole.size - part.size));
}

static char *curl_part(CURLU *handle, CURLUPart part, unsigned flags) {
    char *out = NULL;
    PROVE(curl_url_get(handle, part, &out, flags) == CURLUE_OK);
    return out;
}

/* curl writes IPv6 in its own way: compared as bytes. */
static void prove_same_host(imi_slice_t ours, const char *curls) {
    imi_address_t a, b;
    imi_slice_t inside = imi_slice_of(curls);
    if (curls[0] != '[') {
        PROVE(imi_slice_equals_nocase(ours, curls));
        return;
    }
    inside.data++;
    inside.size -= 2;
    PROVE(imi_address_parse(ours, false, &a) && imi_address_parse(inside, false, &b));
    PROVE(a.is_ipv6 && b.is_ipv6 && memcmp(a.bytes, b.bytes, 16) == 0);
}

static void prove_curl_agrees(const char *text, const imi_url_t *url) {
    CURLU *handle = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL, *path = NULL;
    PROVE(curl_url_set(handle, CURLUPART_URL, text, CURLU_PATH_AS_IS) == CURLUE_OK);
    scheme = curl_part(handle, CURLUPART_SCHEME, 0);
    host = curl_part(handle, CURLUPART_HOST, 0);
    port = curl_part(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    path = curl_part(handle, CURLUPART_PATH, 0);
    PROVE(strcmp(scheme, url->is_https ? "https" : "http") == 0);
    prove_same_host(url->host, host);
    PROVE(strtoul(port, NULL, 10) == url->port);
    PROVE(imi_slice_equals(url->path, path) || (url->path.size == 0 && strcmp(path, "/") == 0));
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(path);
    curl_url_cleanup(handle);
}

static void prove_url(const char *text, size_t size) {
    imi_slice_t whole = {text, size};
    imi_url_t url;
    if (!imi_url_parse(whole, &url))
        return;
    PROVE(strlen(text) == size && url.host.size != 0 && url.port != 0);
    prove_inside(url.scheme, whole);
    prove_inside(url.host, whole);
    prove_inside(url.path, whole);
    prove_inside(url.query, whole);
    PROVE(imi_url_is_same_origin(&url, &url));
    prove_curl_agrees(text, &url);
}

static void prove_address(const char *text, size_t size) {
    imi_address_t address, loose;
    uint8_t expected[16];
    struct in_addr ipv4;
    bool is_ipv6 = memchr(text, ':', size) != NULL;
    bool is_read = imi_address_parse((imi_slice_t){text, size}, false, &address);
    if (memchr(text, '\0', size) != NULL) {
        PROVE(!is_read || memchr(text, '%', size) != NULL);
        return;
    }
    if (memchr(text, '%', size) == NULL)
        PROVE(is_read == (inet_pton(is_ipv6 ? AF_INET6 : AF_INET, text, expected) == 1));
    if (is_read && memchr(text, '%', size) == NULL)
        PROVE(memcmp(address.bytes, expected, is_ipv6 ? 16 : 4) == 0);
    if (!is_ipv6 && strpbrk(text, " \t\n\v\f\r") == NULL && inet_aton(text, &ipv4) == 1)
        PROVE(imi_address_parse((imi_slice_t){text, size}, true, &loose) &&
              memcmp(loose.bytes, &ipv4, 4) == 0);
    PROVE(imi_connection_is_allowed(NULL, IMI_SLICE("a.test"), (imi_slice_t){text, size}) ==
          (is_read && imi_address_is_global(&address)));
    PROVE(!is_read || !imi_address_is_loopback(&address) || !imi_address_is_global(&address));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *bad = NULL;
    char *base = NULL, *reference = NULL, *target = NULL;
    size_t base_size = 0;
    const uint8_t *line_feed = size == 0 ? NULL : memchr(data, '\n', size);
    imi_arena_t arena;
    imi_arena_init(&arena, NULL, 0);
    base_size = line_feed == NULL ? size : (size_t)(line_feed - data);
    base = imi_arena_strndup(&arena, (const char *)data, base_size);
    reference = line_feed == NULL
                    ? imi_arena_strdup(&arena, "")
                    : imi_arena_strndup(&arena, (const char *)line_feed + 1, size - base_size - 1);
    prove_url(base, base_size);
    prove_url(reference, line_feed == NULL ? 0 : size - base_size - 1);
    prove_address(base, base_size);
    target = imi_url_resolve(&arena, base, imi_slice_of(reference));
    if (target != NULL) {
        imi_url_t url;
        PROVE(imi_url_parse(imi_slice_of(target), &url));
        PROVE(url.path.size == 0 || url.path.data[0] == '/');
        prove_url(target, strlen(target));
        PROVE(strcmp(target, imi_url_resolve(&arena, base, imi_slice_of(target))) == 0);
    }
    PROVE((imi_hosts_parse(&arena, base, &bad) == NULL) == (bad != NULL));
    imi_arena_reset(&arena);
    return 0;
}
