/* storage_script.h: operations on a storage whose driver speaks HTTP, against requests and answers
 * that are written down in a file, in virtual time. A story of such a file:
 *
 *     # a value is read out of its record
 *     $ get a                      what is asked for, see below
 *     > GET {place}/values/a       a request that must come, and its answer, as in script_io.h
 *     < 200
 *     << 1 0 1
 *     = get a: v                   what comes back: a line for each end ("add n: EINVAL", "list p:
 *                                  a=1 b=2") and for each line of the log ("log 1 …")
 *
 * "@ address" names the storage: in a story that story's, before the first one everybody's. "let
 * name text" up there makes {name} stand for the text. Operations are:
 *
 *     get KEY             list [PREFIX]        set KEY VALUE [TTL_MS]      add KEY NUMBER [TTL_MS]
 *     remove KEY          swap KEY EXPECTED VALUE [TTL_MS]     ("-": nothing is there, or left)
 *     run                 until nothing is under way any more
 *     wait MS             as long as that
 *     hang                no request is answered from now on
 *     close               the storage; at the end it comes by itself
 *
 * Words have %XX for what cannot stand in them, and "" is the empty one. */
#ifndef IMI_TEST_STORAGE_SCRIPT_H
#define IMI_TEST_STORAGE_SCRIPT_H

/* A test case with two tests for each story of the file: that all comes as written, whole and with
 * the answers in pieces of every small size; and that everything ends, and nothing leaks, whichever
 * allocation fails. One file in a program. Aborts when it cannot be read. */
#include <check.h>

TCase *storage_script(const char *path);

#endif
