/* storage_script.h: operations on a storage whose driver speaks HTTP, against a script of requests
 * and answers (script_io.h), in virtual time. Operations are lines:
 *
 *     get KEY             list PREFIX          set KEY VALUE [TTL_MS]      add KEY NUMBER [TTL_MS]
 *     remove KEY          swap KEY EXPECTED VALUE [TTL_MS]    ("-": absent, removed)
 *     run                 until nothing is under way any more
 *     wait MS             as long as that
 *     hang                no request is answered from now on
 *     close               the storage; at the end it comes by itself
 *
 * Words have %XX for what cannot stand in them. What happened comes back: a line for each end ("get
 * k: v", "add n: EINVAL", "list p: a=1 b=2"), for each line of the log ("log 1 …"), and for what
 * was not as the script has it. */
#ifndef IMI_TEST_STORAGE_SCRIPT_H
#define IMI_TEST_STORAGE_SCRIPT_H

#include <stddef.h>

#include "wire/mem.h"

/* Answers come in pieces of `piece_size` bytes; 0: whole. With an allocator of one's own the script
 * may be left early, and nothing is said of that. To free(). Fails the test when an operation does
 * not call back once. */
char *storage_script_play(const imi_mem_t *mem, const char *url, const char *script,
                          const char *operations, size_t piece_size);

/* A row of a table, played whole, then with its answers cut into pieces of every small size, then
 * with every allocation failing. */
typedef struct storage_script {
    const char *name, *url, *script, *operations, *transcript;
} storage_script_t;
void storage_script_check(const storage_script_t *row);
/* The same without memory: nothing may leak, and everything still calls back. */
void storage_script_starve(const storage_script_t *row);

#endif
