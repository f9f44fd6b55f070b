/* test_upstash.c: "upstash:" against a stand-in in front of a real redis-server, and against
 * scripts of what a service may answer. */
#include "../../support/check_main.h"

#include <stdlib.h>
#include <string.h>

#include "../../support/kv_server.h"
#include "../../support/storage_conformance.h"
#include "../../support/storage_script.h"

/* Redis' clock is not ours. */
#define SLACK_MS 150

static void open_plain(storage_bench_t *bench) {
    kv_bench_open_io(bench);
    ck_assert_int_eq(imagine_storage_open(&bench->storage, kv_server_upstash(""), NULL), 0);
}

/* A prefix that Redis' patterns could read otherwise. */
static void open_odd(storage_bench_t *bench) {
    kv_bench_open_io(bench);
    ck_assert_int_eq(
        imagine_storage_open(&bench->storage, kv_server_upstash("%5Ba-z%5D%5C%2A%3F%20"), NULL), 0);
}

static const storage_target_t targets[] = {
    {.name = "upstash", .open = open_plain, .close = kv_bench_close_io, .clock_slack_ms = SLACK_MS},
    {.name = "upstash with an odd prefix",
     .open = open_odd,
     .close = kv_bench_close_io,
     .clock_slack_ms = SLACK_MS},
};

/* ---- scripts ---- */

#define URL "upstash:https://:sesame@db.test"
#define ASK                              \
    "> POST https://db.test/pipeline\n"  \
    "> Authorization: Bearer sesame\n"   \
    "> Content-Type: application/json\n" \
    ">> "
#define ADD_SCRIPT                                                                 \
    "local made = redis.call('EXISTS', KEYS[1]) == 0 "                             \
    "redis.call('INCRBY', KEYS[1], ARGV[1]) "                                      \
    "if made and ARGV[2] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end " \
    "return redis.call('GET', KEYS[1])"
#define SWAP_SCRIPT                                                   \
    "local old = redis.call('GET', KEYS[1]) "                         \
    "if ARGV[1] == '0' then if old then return 0 end "                \
    "elseif not old or old ~= ARGV[2] then return 0 end "             \
    "if ARGV[3] == '0' then redis.call('DEL', KEYS[1]) "              \
    "elseif ARGV[5] == '0' then redis.call('SET', KEYS[1], ARGV[4]) " \
    "else redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5]) end "    \
    "return 1"
#define SCAN(cursor, pattern) \
    ASK "[[\"SCAN\",\"" cursor "\",\"MATCH\",\"" pattern "\",\"COUNT\",\"1000\"]]\n"

#define SCANNED(answer) SCAN("0", "*") "< 200\n<< " answer "\n"
#define FETCHED(keys, answer) ASK "[[\"MGET\"," keys "]]\n< 200\n<< " answer "\n"

static const storage_script_t rows[] = {
    {"what waits goes out at once, in order", URL,
     ASK
     "[[\"GET\",\"a\"],[\"SET\",\"b\",\"x\\\"y\"],[\"SET\",\"c\",\"z\",\"PX\",\"1500\"],"
     "[\"DEL\",\"d\"],[\"EVAL\",\"" ADD_SCRIPT "\",\"1\",\"e\",\"-5\",\"60000\"],"
     "[\"EVAL\",\"" SWAP_SCRIPT "\",\"1\",\"f\",\"1\",\"old\",\"1\",\"new\",\"0\"],"
     "[\"EVAL\",\"" SWAP_SCRIPT "\",\"1\",\"g\",\"0\",\"\",\"1\",\"new\",\"900\"],"
     "[\"EVAL\",\"" SWAP_SCRIPT "\",\"1\",\"h\",\"1\",\"old\",\"0\",\"\",\"0\"]]\n"
     "< 200\n"
     "<< [{\"result\":\"v\\u00e4\"}, {\"result\":\"OK\"}, {\"result\":\"OK\"}, {\"result\":0},\n"
     "<< {\"result\":\"9223372036854775807\"}, {\"result\":1}, {\"result\":0}, {\"result\":1}]\n",
     "get a\nset b x%22y\nset c z 1500\nremove d\nadd e -5 60000\nswap f old new\n"
     "swap g - new 900\nswap h old -\nrun\n",
     "get a: v%C3%A4\nset b: ok\nset c: ok\nremove d: ok\nadd e: 9223372036854775807\n"
     "swap f: ok\nswap g: ENOTFOUND\nswap h: ok\n"},
    {"what is no text, or looks like it, is kept in base64", URL,
     ASK "[[\"SET\",\"a\",\"base64:AP+A\"],[\"SET\",\"b\",\"base64:YmFzZTY0OngK\"],"
         "[\"SET\",\"c\",\"base64:Gw==\"],[\"SET\",\"d\",\"\"],[\"SET\",\"e\",\"tab\\t\\r\\n\"]]\n"
         "< 200\n"
         "<< [{\"result\":\"OK\"},{\"result\":\"OK\"},{\"result\":\"OK\"},{\"result\":\"OK\"},"
         "{\"result\":\"OK\"}]\n" ASK
         "[[\"GET\",\"a\"],[\"GET\",\"b\"],[\"GET\",\"c\"],[\"GET\",\"d\"],[\"GET\",\"e\"]]\n"
         "< 200\n"
         "<< [{\"result\":\"base64:AP+A\"},{\"result\":\"base64:YmFzZTY0OngK\"},"
         "{\"result\":\"base64:G!\"},{\"result\":\"\"},{\"result\":\"a\\u0000b\"}]\n",
     "set a %00%FF%80\nset b base64:x%0A\nset c %1B\nset d \nset e tab%09%0D%0A\nrun\n"
     "get a\nget b\nget c\nget d\nget e\nrun\n",
     "set a: ok\nset b: ok\nset c: ok\nset d: ok\nset e: ok\n"
     "get a: %00%FF%80\nget b: base64:x%0A\nget c: EPROTOCOL\nget d: \nget e: EPROTOCOL\n"},
    {"a command's own error is its operation's", URL,
     ASK "[[\"EVAL\",\"" ADD_SCRIPT "\",\"1\",\"a\",\"1\",\"0\"],"
         "[\"EVAL\",\"" ADD_SCRIPT "\",\"1\",\"b\",\"1\",\"0\"],"
         "[\"SET\",\"c\",\"x\"],[\"SET\",\"d\",\"x\"],[\"SET\",\"e\",\"x\"],[\"GET\",\"f\"]]\n"
         "< 200\n"
         "<< [{\"error\":\"ERR value is not an integer or out of range script: f, on @x:1.\"},\n"
         "<< {\"error\":\"ERR increment or decrement would overflow\"},\n"
         "<< {\"error\":\"READONLY You can't write \\\"here\\\"\"},\n"
         "<< {\"error\":\"ERR max daily request limit exceeded. Limit: 10000\"},\n"
         "<< {\"error\":\"ERR max request size exceeded\"},{\"result\":null}]\n",
     "add a 1\nadd b 1\nset c x\nset d x\nset e x\nget f\nrun\n",
     "add a: EINVAL\nadd b: EINVAL\n"
     "log 1 storage.failed driver=upstash status=200 reason=\"READONLY You can't write "
     "\\'here\\'\"\n"
     "set c: EIO\nset d: ERATE\nset e: ETOOLARGE\nget f: ENOTFOUND\n"},
    {"a token that is refused is told, but not which", URL,
     ASK "[[\"GET\",\"a\"]]\n< 401\n<< {\"error\":\"WRONGPASS invalid or missing auth token\"}\n",
     "get a\nrun\n",
     "log 1 storage.failed driver=upstash status=401 reason=\"{'error':'WRONGPASS invalid or "
     "missing auth token'}\"\nget a: ETOKEN\n"},
    {"a service that repeats the token does not bring it into the log", URL,
     ASK "[[\"GET\",\"a\"]]\n< 403\n<< {\"error\":\"who is sesame?\"}\n", "get a\nrun\n",
     "log 1 storage.failed driver=upstash status=403 reason=\"\"\nget a: ETOKEN\n"},
    {"after a 429 it is left alone for as long as it says", URL,
     ASK "[[\"GET\",\"a\"]]\n< 429\n< Retry-After: 2\n<< {\"error\":\"slow down\"}\n" ASK
         "[[\"GET\",\"d\"]]\n< 200\n<< [{\"result\":\"v\"}]\n",
     "get a\nrun\nget b\nlist b\nset b x\nwait 1900\nadd c 1\nwait 100\nget d\nrun\n",
     "log 1 storage.failed driver=upstash status=429 reason=\"{'error':'slow down'}\"\n"
     "get a: ERATE\nget b: ERATE\nlist b: ERATE\nset b: ERATE\nadd c: ERATE\nget d: v\n"},
    {"after a 429 that does not say how long it is a second", URL,
     ASK "[[\"GET\",\"a\"]]\n< 429\n" ASK "[[\"GET\",\"c\"]]\n< 200\n<< [{\"result\":\"v\"}]\n",
     "get a\nrun\nwait 900\nget b\nwait 100\nget c\nrun\n",
     "log 1 storage.failed driver=upstash status=429 reason=\"\"\n"
     "get a: ERATE\nget b: ERATE\nget c: v\n"},
    {"a 503 is asked again, once", URL,
     ASK "[[\"GET\",\"a\"],[\"SET\",\"b\",\"x\"]]\n< 503\n<< busy\n" ASK
         "[[\"GET\",\"a\"],[\"SET\",\"b\",\"x\"]]\n"
         "< 200\n<< [{\"result\":\"v\"},{\"result\":\"OK\"}]\n" ASK "[[\"GET\",\"c\"]]\n< 500\n" ASK
         "[[\"GET\",\"c\"]]\n< 502\n<< still\n",
     "get a\nset b x\nrun\nget c\nrun\n",
     "get a: v\nset b: ok\nlog 1 storage.failed driver=upstash status=502 reason=\"still\"\n"
     "get c: EIO\n"},
    {"what may have been added is not added again", URL,
     ASK "[[\"GET\",\"a\"],[\"EVAL\",\"" ADD_SCRIPT "\",\"1\",\"n\",\"1\",\"0\"]]\n"
         "< broken EPROTOCOL sent\n" ASK "[[\"EVAL\",\"" SWAP_SCRIPT
         "\",\"1\",\"k\",\"0\",\"\",\"1\",\"x\",\"0\"]]\n< 504\n",
     "get a\nadd n 1\nrun\nswap k - x\nrun\n",
     "log 1 storage.failed driver=upstash status=0 reason=\"broken by the script\"\n"
     "get a: EPROTOCOL\nadd n: EPROTOCOL\nswap k: EIO\n"},
    {"what never left is sent again", URL,
     ASK "[[\"EVAL\",\"" ADD_SCRIPT "\",\"1\",\"n\",\"1\",\"0\"]]\n< broken ECONNECT unsent\n" ASK
         "[[\"EVAL\",\"" ADD_SCRIPT "\",\"1\",\"n\",\"1\",\"0\"]]\n"
         "< 200\n<< [{\"result\":\"1\"}]\n",
     "add n 1\nrun\n", "add n: 1\n"},
    {"what was cut off is asked again, once", URL,
     ASK "[[\"GET\",\"a\"]]\n< broken EPROTOCOL sent\n" ASK
         "[[\"GET\",\"a\"]]\n< broken ECONNECT unsent\n",
     "get a\nrun\n",
     "log 1 storage.failed driver=upstash status=0 reason=\"broken by the script\"\n"
     "get a: ECONNECT\n"},
    {"a time limit was long enough", URL, ASK "[[\"GET\",\"a\"]]\n< broken ETIMEDOUT sent\n",
     "get a\nrun\n",
     "log 1 storage.failed driver=upstash status=0 reason=\"broken by the script\"\n"
     "get a: ETIMEDOUT\n"},
    {"an answer that is none", URL,
     ASK "[[\"GET\",\"a\"]]\n< 200\n<< <html>\n" ASK "[[\"GET\",\"a\"]]\n< 200\n" ASK
         "[[\"GET\",\"a\"]]\n< 200\n<< {\"result\":\"v\"}\n" ASK
         "[[\"GET\",\"a\"],[\"GET\",\"b\"]]\n< 200\n<< [{\"result\":\"v\"}]\n" ASK
         "[[\"GET\",\"a\"],[\"GET\",\"b\"],[\"GET\",\"c\"]]\n"
         "< 200\n<< [null,{\"other\":1},{\"result\":7}]\n" ASK
         "[[\"SET\",\"a\",\"x\"],[\"DEL\",\"b\"],[\"EVAL\",\"" ADD_SCRIPT
         "\",\"1\",\"c\",\"1\",\"0\"],"
         "[\"EVAL\",\"" SWAP_SCRIPT "\",\"1\",\"d\",\"0\",\"\",\"1\",\"x\",\"0\"]]\n"
         "< 200\n<< [{\"result\":\"KO\"},{\"result\":\"x\"},{\"result\":\"1.5\"},"
         "{\"result\":null}]\n" ASK "[[\"GET\",\"a\"]]\n< 200\n<< [{\"result\":[[[[1]]]]}]\n",
     "get a\nrun\nget a\nrun\nget a\nrun\nget a\nget b\nrun\nget a\nget b\nget c\nrun\n"
     "set a x\nremove b\nadd c 1\nswap d - x\nrun\nget a\nrun\n",
     "get a: EPROTOCOL\nget a: EPROTOCOL\nget a: EPROTOCOL\nget a: v\nget b: EPROTOCOL\n"
     "get a: EPROTOCOL\nget b: EPROTOCOL\nget c: EPROTOCOL\nset a: EPROTOCOL\n"
     "remove b: EPROTOCOL\nadd c: EPROTOCOL\nswap d: EPROTOCOL\nget a: EPROTOCOL\n"},
    {"a list tells every key once, and only ours",
     "upstash:http://:sesame@db.test:8080/redis/?prefix=a%2A%5B:",
     "> POST http://db.test:8080/redis/pipeline\n"
     "> Authorization: Bearer sesame\n> Content-Type: application/json\n"
     ">> [[\"SCAN\",\"0\",\"MATCH\",\"a\\\\*\\\\[:t\\\\?*\",\"COUNT\",\"1000\"]]\n"
     "< 200\n"
     "<< [{\"result\":[\"12345678901234567890\",[\"a*[:t?1\",\"a*[:t?1\",\"b:t?2\",\"a*[:u\"]]}]\n"
     "> POST http://db.test:8080/redis/pipeline\n"
     "> Authorization: Bearer sesame\n> Content-Type: application/json\n"
     ">> [[\"SCAN\",\"12345678901234567890\",\"MATCH\",\"a\\\\*\\\\[:t\\\\?*\",\"COUNT\","
     "\"1000\"]]\n"
     "< 200\n<< [{\"result\":[\"0\",[\"a*[:t?1\",\"a*[:t?\\u0000\",\"a*[:t?\\u0001\"]]}]\n"
     "> POST http://db.test:8080/redis/pipeline\n"
     "> Authorization: Bearer sesame\n> Content-Type: application/json\n"
     ">> [[\"MGET\",\"a*[:t?1\"]]\n"
     "< 200\n<< [{\"result\":[\"v\"]}]\n",
     "list t?\nrun\n", "list t?: t?1=v\n"},
    {"a value that has gone meanwhile, or is none, is not in a list", URL,
     SCANNED("[{\"result\":[\"0\",[\"a\"]]}]") FETCHED("\"a\"", "[{\"result\":[null]}]")
         SCANNED("[{\"result\":[\"0\",[\"a\"]]}]") FETCHED("\"a\"", "[{\"result\":[\"base64:!\"]}]")
             SCANNED("[{\"result\":[\"0\",[]]}]"),
     "list \nrun\nlist \nrun\nlist \nrun\n", "list :\nlist :\nlist :\n"},
    {"keys that cannot be read end a list with an error", URL,
     SCANNED("[{\"error\":\"ERR no\"}]") SCANNED("[{\"result\":[\"0\"]}]") SCANNED(
         "[{\"result\":[\"0\",[7]]}]") SCANNED("[{\"result\":[\"\",[]]}]") SCAN("0", "*") "< 404\n",
     "list \nrun\nlist \nrun\nlist \nrun\nlist \nrun\nlist \nrun\n",
     "log 1 storage.failed driver=upstash status=200 reason=\"ERR no\"\n"
     "list : EIO\nlist : EPROTOCOL\nlist : EPROTOCOL\nlist : EPROTOCOL\nlist : ENOTFOUND\n"},
    {"values that cannot be read end a list with an error", URL,
     SCANNED("[{\"result\":[\"0\",[\"a\"]]}]") FETCHED("\"a\"", "[{\"result\":[]}]")
         SCANNED("[{\"result\":[\"0\",[\"a\"]]}]") FETCHED("\"a\"", "[{\"result\":7}]")
             SCANNED("[{\"result\":[\"0\",[\"a\"]]}]") FETCHED("\"a\"", "[{\"error\":\"ERR no\"}]"),
     "list \nrun\nlist \nrun\nlist \nrun\n",
     "list : EPROTOCOL\nlist : EPROTOCOL\n"
     "log 1 storage.failed driver=upstash status=200 reason=\"ERR no\"\nlist : EIO\n"},
    {"a page that is too large is asked for in halves", URL,
     SCANNED("[{\"result\":[\"0\",[\"a\",\"b\",\"c\"]]}]") ASK
     "[[\"MGET\",\"a\",\"b\",\"c\"]]\n< broken ETOOLARGE sent\n" FETCHED(
         "\"a\"", "[{\"result\":[\"1\"]}]") FETCHED("\"b\"", "[{\"result\":[\"2\"]}]") ASK
     "[[\"MGET\",\"c\"]]\n< broken ETOOLARGE sent\n",
     "list \nrun\n",
     "log 1 storage.failed driver=upstash status=0 reason=\"broken by the script\"\n"
     "list : a=1 b=2 ETOOLARGE\n"},
    {"closing waits for what is under way, but not for ever", URL, "",
     "hang\nget a\nadd b 1\nwait 1\nlist c\nget d\nclose\nwait 1900\nwait 200\n",
     "get a: ECLOSED\nadd b: ECLOSED\nlist c: ECLOSED\nget d: ECLOSED\n"},
    {"closing in the middle of a list", URL, "", "hang\nlist a\nwait 1\nclose\n",
     "list a: ECLOSED\n"},
    {"closing does what was asked for", URL,
     ASK "[[\"SET\",\"a\",\"x\"]]\n< 200\n<< [{\"result\":\"OK\"}]\n", "set a x\nclose\n",
     "set a: ok\n"},
};

START_TEST(it_asks_and_reads_as_in_the_script) { /* _i walks rows */
    storage_script_check(&rows[_i]);
}
END_TEST

START_TEST(without_memory_everything_still_ends) { /* _i walks rows */
    storage_script_starve(&rows[_i]);
}
END_TEST

static Suite *upstash_suite(void) {
    Suite *suite = suite_create("storage/upstash");
    TCase *conformance = storage_conformance(targets, sizeof(targets) / sizeof(targets[0]));
    TCase *scripts = tcase_create("scripts");
    tcase_add_loop_test(scripts, it_asks_and_reads_as_in_the_script, 0,
                        (int)(sizeof(rows) / sizeof(rows[0])));
    tcase_add_loop_test(scripts, without_memory_everything_still_ends, 0,
                        (int)(sizeof(rows) / sizeof(rows[0])));
    suite_add_tcase(suite, scripts);
    tcase_add_unchecked_fixture(conformance, kv_server_start, kv_server_stop);
    suite_add_tcase(suite, conformance);
    return suite;
}

IMI_CHECK_MAIN(upstash_suite)
