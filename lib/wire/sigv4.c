/* sigv4.c: see sigv4.h.
 *
 *   canonical request = method, path, query, headers, names of headers, hash of the body
 *   string to sign    = algorithm, date, scope, hash of the canonical request
 *   signature         = HMAC(key of this day, region and service; string to sign) */
#include "wire/sigv4.h"

#include <string.h>

#include "wire/buf.h"
#include "wire/sha256.h"
#include "wire/str.h"
#include "wire/time.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define SCOPE_END "aws4_request"
#define DAY_SIZE 8           /* of a date: "20130524" */
#define QUERY_SIZE_MAX 16384 /* longer ones no server takes */
#define PRESIGNED_EXTRA 5    /* parameters that presigning adds */

void imi_sigv4_date(char out[IMI_SIGV4_DATE_SIZE], int64_t unix_ms) {
    char text[IMI_TIME_TEXT_SIZE];
    size_t size = 0;
    imi_time_format(text, unix_ms, false); /* "2013-05-24T00:00:00Z" */
    for (const char *c = text; *c != '\0' && size < IMI_SIGV4_DATE_SIZE - 1; c++)
        if (*c != '-' && *c != ':')
            out[size++] = *c;
    out[size] = '\0';
}

void imi_sigv4_hash(char out[IMI_SIGV4_HASH_SIZE], const void *data, size_t size) {
    uint8_t digest[IMI_SHA256_SIZE];
    imi_sha256(digest, data, size);
    imi_hex(out, digest, sizeof(digest));
}

/* ---- sorted pairs -----------------------------------------------------------------------------
 */

static int compare_pairs(const imi_sigv4_pair_t *a, const imi_sigv4_pair_t *b, bool has_values) {
    int order = strcmp(a->name, b->name);
    return order != 0 || !has_values ? order : strcmp(a->value, b->value);
}

/* Equal ones keep their order: of headers with one name it counts. */
static void sort_pairs(imi_sigv4_pair_t *pairs, size_t count, bool has_values) {
    for (size_t i = 1; i < count; i++) {
        imi_sigv4_pair_t pair = pairs[i];
        size_t at = i;
        for (; at > 0 && compare_pairs(&pair, &pairs[at - 1], has_values) < 0; at--)
            pairs[at] = pairs[at - 1];
        pairs[at] = pair;
    }
}

static char *take(imi_arena_t *arena, imi_buf_t *buf) {
    char *text = buf->error != 0 ? NULL : imi_arena_strndup(arena, buf->data, buf->size);
    imi_buf_reset(buf);
    return text;
}

static char *encode(imi_arena_t *arena, const char *text) {
    imi_buf_t buf;
    if (text[0] == '\0')
        return imi_arena_strdup(arena, "");
    imi_buf_init(&buf, arena->mem, QUERY_SIZE_MAX);
    imi_percent_encode(&buf, text, false);
    return take(arena, &buf);
}

char *imi_sigv4_query(imi_arena_t *arena, const imi_sigv4_pair_t *query, size_t query_count) {
    imi_sigv4_pair_t pairs[IMI_SIGV4_PAIRS_MAX + PRESIGNED_EXTRA];
    imi_buf_t buf;
    if (query_count > sizeof(pairs) / sizeof(pairs[0]))
        return NULL;
    if (query_count == 0)
        return imi_arena_strdup(arena, "");
    for (size_t i = 0; i < query_count; i++) {
        pairs[i].name = encode(arena, query[i].name);
        pairs[i].value = encode(arena, query[i].value);
        if (pairs[i].name == NULL || pairs[i].value == NULL)
            return NULL;
    }
    sort_pairs(pairs, query_count, true);
    imi_buf_init(&buf, arena->mem, QUERY_SIZE_MAX);
    for (size_t i = 0; i < query_count; i++)
        imi_buf_printf(&buf, "%s%s=%s", i == 0 ? "" : "&", pairs[i].name, pairs[i].value);
    return take(arena, &buf);
}

/* Lower case; of the value no blanks at its ends, and one for a run of them inside. */
static bool clean_header(imi_arena_t *arena, const imi_sigv4_pair_t *header,
                         imi_sigv4_pair_t *out) {
    imi_slice_t value = imi_slice_trim(imi_slice_of(header->value));
    char *name = imi_arena_strdup(arena, header->name);
    char *clean = imi_arena_alloc(arena, value.size + 1);
    size_t size = 0;
    if (name == NULL || clean == NULL)
        return false;
    for (char *c = name; *c != '\0'; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    for (size_t i = 0; i < value.size; i++)
        if (value.data[i] != ' ' || clean[size - 1] != ' ')
            clean[size++] = value.data[i];
    clean[size] = '\0';
    *out = (imi_sigv4_pair_t){name, clean};
    return true;
}

/* ---- signing ----------------------------------------------------------------------------------
 */

typedef struct signing {
    imi_arena_t *arena;
    const imi_sigv4_t *request;
    char date[IMI_SIGV4_DATE_SIZE];
    imi_sigv4_pair_t headers[IMI_SIGV4_PAIRS_MAX]; /* clean and sorted */
    const char *header_names;                      /* "host;x-amz-date" */
    const char *scope;
} signing_t;

/* Everything but the query. False: no memory, or too many headers. */
static bool prepare(signing_t *signing, imi_arena_t *arena, const imi_sigv4_t *request) {
    imi_buf_t names;
    signing->arena = arena;
    signing->request = request;
    if (request->header_count == 0 || request->header_count > IMI_SIGV4_PAIRS_MAX ||
        request->query_count > IMI_SIGV4_PAIRS_MAX)
        return false;
    imi_sigv4_date(signing->date, request->unix_ms);
    for (size_t i = 0; i < request->header_count; i++)
        if (!clean_header(arena, &request->headers[i], &signing->headers[i]))
            return false;
    sort_pairs(signing->headers, request->header_count, false);
    imi_buf_init(&names, arena->mem, 0);
    for (size_t i = 0; i < request->header_count; i++)
        if (i == 0 || strcmp(signing->headers[i].name, signing->headers[i - 1].name) != 0)
            imi_buf_printf(&names, "%s%s", i == 0 ? "" : ";", signing->headers[i].name);
    signing->header_names = take(arena, &names);
    signing->scope = imi_arena_printf(arena, "%.*s/%s/%s/" SCOPE_END, DAY_SIZE, signing->date,
                                      request->region, request->service);
    return signing->header_names != NULL && signing->scope != NULL;
}

static void put_headers(imi_buf_t *buf, const signing_t *signing) {
    size_t count = signing->request->header_count;
    for (size_t i = 0; i < count; i++) {
        const imi_sigv4_pair_t *header = &signing->headers[i];
        bool is_more = i > 0 && strcmp(header->name, header[-1].name) == 0;
        bool is_last = i + 1 == count || strcmp(header->name, header[1].name) != 0;
        imi_buf_printf(buf, "%s%s%s%s", is_more ? "" : header->name, is_more ? "," : ":",
                       header->value, is_last ? "\n" : "");
    }
}

/* The key is made anew for every request: caching it would save four short digests. */
static void derive_key(uint8_t key[IMI_SHA256_SIZE], imi_slice_t first, const signing_t *signing) {
    const imi_sigv4_t *request = signing->request;
    imi_hmac_sha256(key, first.data, first.size, signing->date, DAY_SIZE);
    imi_hmac_sha256(key, key, IMI_SHA256_SIZE, request->region, strlen(request->region));
    imi_hmac_sha256(key, key, IMI_SHA256_SIZE, request->service, strlen(request->service));
    imi_hmac_sha256(key, key, IMI_SHA256_SIZE, SCOPE_END, strlen(SCOPE_END));
}

/* `out` takes the signature in hex. False: no memory. */
static bool sign(char out[IMI_SIGV4_HASH_SIZE], const signing_t *signing, const char *query) {
    const imi_sigv4_t *request = signing->request;
    char *first = imi_arena_printf(signing->arena, "AWS4%s", request->secret);
    uint8_t key[IMI_SHA256_SIZE], signature[IMI_SHA256_SIZE];
    char hash[IMI_SIGV4_HASH_SIZE];
    imi_buf_t buf;
    bool is_good;
    if (first == NULL)
        return false;
    imi_buf_init(&buf, signing->arena->mem, 0);
    imi_buf_printf(&buf, "%s\n%s\n%s\n", request->method, request->path, query);
    put_headers(&buf, signing);
    imi_buf_printf(&buf, "\n%s\n%s", signing->header_names, request->payload_hash);
    is_good = buf.error == 0;
    if (is_good) {
        imi_sigv4_hash(hash, buf.data, buf.size);
        imi_buf_clear(&buf);
        imi_buf_printf(&buf, ALGORITHM "\n%s\n%s\n%s", signing->date, signing->scope, hash);
        is_good = buf.error == 0;
    }
    if (is_good) {
        derive_key(key, imi_slice_of(first), signing);
        imi_hmac_sha256(signature, key, sizeof(key), buf.data, buf.size);
        imi_hex(out, signature, sizeof(signature));
    }
    imi_buf_reset(&buf);
    imi_mem_wipe(first, strlen(first));
    imi_mem_wipe(key, sizeof(key));
    return is_good;
}

char *imi_sigv4_authorization(imi_arena_t *arena, const imi_sigv4_t *request) {
    char signature[IMI_SIGV4_HASH_SIZE];
    signing_t signing;
    const char *query;
    if (!prepare(&signing, arena, request))
        return NULL;
    query = imi_sigv4_query(arena, request->query, request->query_count);
    if (query == NULL || !sign(signature, &signing, query))
        return NULL;
    return imi_arena_printf(arena, ALGORITHM " Credential=%s/%s,SignedHeaders=%s,Signature=%s",
                            request->access_key_id, signing.scope, signing.header_names, signature);
}

char *imi_sigv4_presigned_query(imi_arena_t *arena, const imi_sigv4_t *request,
                                uint32_t expires_s) {
    imi_sigv4_pair_t pairs[IMI_SIGV4_PAIRS_MAX + PRESIGNED_EXTRA];
    size_t count = request->query_count;
    char signature[IMI_SIGV4_HASH_SIZE];
    const char *credential, *expires, *query;
    signing_t signing;
    if (!prepare(&signing, arena, request))
        return NULL;
    credential = imi_arena_printf(arena, "%s/%s", request->access_key_id, signing.scope);
    expires = imi_arena_printf(arena, "%u", (unsigned)expires_s);
    if (credential == NULL || expires == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        pairs[i] = request->query[i];
    pairs[count++] = (imi_sigv4_pair_t){"X-Amz-Algorithm", ALGORITHM};
    pairs[count++] = (imi_sigv4_pair_t){"X-Amz-Credential", credential};
    pairs[count++] = (imi_sigv4_pair_t){"X-Amz-Date", signing.date};
    pairs[count++] = (imi_sigv4_pair_t){"X-Amz-Expires", expires};
    pairs[count++] = (imi_sigv4_pair_t){"X-Amz-SignedHeaders", signing.header_names};
    query = imi_sigv4_query(arena, pairs, count);
    if (query == NULL || !sign(signature, &signing, query))
        return NULL;
    return imi_arena_printf(arena, "%s&X-Amz-Signature=%s", query, signature);
}
