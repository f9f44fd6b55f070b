/* kv_server.h: test/support/kv.mjs as a process of its own, for tests in C: stand-ins for Upstash
 * (in front of a real redis-server) and for Workers KV. Run in the repository's root. */
#ifndef IMI_TEST_KV_SERVER_H
#define IMI_TEST_KV_SERVER_H

#include "storage_conformance.h"

/* As unchecked fixtures of a test case: once for all its tests, which are forked. */
void kv_server_start(void);
void kv_server_stop(void);

/* Addresses for imagine_storage_open(), each of an empty storage (a new prefix, a new namespace).
 * `query` (NULL: none) comes behind it. In a buffer that the next call overwrites. */
const char *kv_server_upstash(const char *prefix);
const char *kv_server_cloudflare(const char *query);

/* The io table over the bench's loop, with HTTP, and the bench's clocks and log. */
void kv_bench_open_io(storage_bench_t *bench);
void kv_bench_close_io(storage_bench_t *bench); /* after the storage was closed */

#endif
