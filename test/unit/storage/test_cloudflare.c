/* test_cloudflare.c: "cloudflare:" against a stand-in, and against scripts of what a service may
 * answer. */
#include "../../support/check_main.h"

#include <stdlib.h>

#include "../../support/kv_server.h"
#include "../../support/storage_conformance.h"
#include "../../support/storage_script.h"

static void open_plain(storage_bench_t *bench) {
    kv_bench_open_io(bench);
    ck_assert_int_eq(imagine_storage_open(&bench->storage, kv_server_cloudflare(NULL), NULL), 0);
}

/* With it, long keys make names that are too long. */
static void open_prefixed(storage_bench_t *bench) {
    kv_bench_open_io(bench);
    ck_assert_int_eq(
        imagine_storage_open(&bench->storage, kv_server_cloudflare("?prefix=..%2F%20%3D"), NULL),
        0);
}

static const storage_target_t targets[] = {
    {.name = "cloudflare", .open = open_plain, .close = kv_bench_close_io},
    {.name = "cloudflare with a prefix", .open = open_prefixed, .close = kv_bench_close_io},
};

/* ---- scripts ---- */

#define PLACE "api.test/client/v4/accounts/a1/storage/kv/namespaces/n1"
#define URL "cloudflare:https://:sesame@" PLACE
#define SAID                                                            \
    "log 2 storage.weak driver=cloudflare atomic=0 visible_after_s=60 " \
    "reason=\"limits are counted and work is claimed by each process alone\"\n"
#define ASK(method, path) "> " method " https://" PLACE path "\n> Authorization: Bearer sesame\n"
#define GET(path) ASK("GET", path)
#define PUT(path, metadata, size)                                                  \
    ASK("PUT", path)                                                               \
    "> Content-Type: multipart/form-data\n>> metadata: {\"v\":\"" metadata "\"}\n" \
    ">> value: @file application/octet-stream " size "\n"
#define FINE "< 200\n<< {\"result\":null,\"success\":true,\"errors\":[],\"messages\":[]}\n"
#define ERROR(status, code)                                                           \
    "< " status "\n<< {\"result\":null,\"success\":false,\"errors\":[{\"code\":" code \
    ",\"message\":\"m\"}],\"messages\":[]}\n"
#define PAGE(result, cursor)                                                             \
    "< 200\n<< {\"result\":[" result "],\"success\":true,\"errors\":[],\"messages\":[]," \
    "\"result_info\":{\"count\":1,\"cursor\":\"" cursor "\"}}\n"
#define LATER "1767888009000" /* the script begins at …001000 */
#define SOON "1767888002000"

static const storage_script_t
    rows
        [] =
            {
                {"a record says what it is, and comes along as metadata", URL,
                 PUT("/values/k", "MSAwIDEKa3Y=", "8")
                     FINE PUT("/values/a%2Fb%3D20c%3D3D%3AD%3DC3%3DA4?expiration_ttl=60",
                              "MSAxNzY3ODg4MDAyMDAwIDEwCmEvYiBjPTpEw6T/AA==", "31")
                         FINE PUT("/values/%3D2E.?expiration_ttl=61",
                                  "MSAxNzY3ODg4MDYxMDAwIDIKLi4g", "21") FINE,
                 "set k v\nset a/b%20c=:D%C3%A4 %FF%00 1000\nset .. %20 60000\nrun\n",
                 SAID "set k: ok\nset a/b c=:D\xc3\xa4: ok\nset ..: ok\n"},
                {"a value is read out of its record", URL,
                 GET("/values/a") "< 200\n<< 1 0 1\n<< av\n" GET("/values/b") "< 200\n<< 1 " LATER
                                                                              " 1\n<< b\n",
                 "get a\nget b\nrun\n", SAID "get a: v%0A\nget b: %0A\n"},
                {"an expired record is absent", URL,
                 GET("/values/a") "< 200\n<< 1 " SOON
                                  " 1\n<< av\n" GET("/values/a") "< 200\n<< 1 " SOON " 1\n<< av\n",
                 "wait 999\nget a\nrun\nwait 1\nget a\nrun\n",
                 SAID "get a: v%0A\nget a: ENOTFOUND\n"},
                {"what is no record of ours is refused", URL,
                 GET("/values/a") "< 200\n<< hello\n" GET("/values/a") "< 200\n" GET("/values/a") "< 200\n<< 1 0 1\n<< bv\n" GET(
                     "/values/a") "< 200\n<< 2 0 1\n<< av\n" GET("/values/a") "< 200\n<< 1 0 9\n<< "
                                                                              "av\n" GET("/values/"
                                                                                         "a") "< "
                                                                                              "200"
                                                                                              "\n<<"
                                                                                              " 1 "
                                                                                              "-1 "
                                                                                              "1\n<"
                                                                                              "< "
                                                                                              "av"
                                                                                              "\n" GET("/values/a") "< 200\n<< 1 0 1 1\n<< av\n" GET("/values/a") "< 200\n<< 1 0\n<< av\n" GET("/values/a") "< 200\n<< 1 0 0\n<< av\n",
                 "get a\nrun\nget a\nrun\nget a\nrun\nget a\nrun\nget a\nrun\nget a\nrun\nget "
                 "a\nrun\n"
                 "get a\nrun\nget a\nrun\n",
                 SAID "get a: EPROTOCOL\nget a: EPROTOCOL\nget a: EPROTOCOL\nget a: EPROTOCOL\n"
                      "get a: EPROTOCOL\nget a: EPROTOCOL\nget a: EPROTOCOL\nget a: EPROTOCOL\n"
                      "get a: EPROTOCOL\n"},
                {"a 404 is absence, unless it says that the namespace is not there", URL,
                 GET("/values/a") ERROR("404", "10009")
                     GET("/values/b") "< 404\n<< not found\n" ASK("DELETE", "/values/c")
                         ERROR("404", "10009") GET("/values/d") ERROR("404", "10013")
                             PUT("/values/e", "MSAwIDEKZXY=", "8") ERROR("404", "10009"),
                 "get a\nrun\nget b\nrun\nremove c\nrun\nget d\nrun\nset e v\nrun\n",
                 SAID "get a: ENOTFOUND\nget b: ENOTFOUND\nremove c: ok\n"
                      "log 1 storage.failed driver=cloudflare status=404 "
                      "reason=\"{'result':null,'success':"
                      "false,'errors':[{'code':10013,'message':'m'}],'messages':[]}\"\n"
                      "get d: EIO\nset e: EIO\n"},
                {"removing", URL,
                 ASK("DELETE", "/values/a") FINE ASK("DELETE", "/values/a") ERROR("200", "1")
                     ASK("DELETE", "/values/a") "< 200\n",
                 "remove a\nrun\nremove a\nrun\nremove a\nrun\n",
                 SAID "remove a: ok\n"
                      "log 1 storage.failed driver=cloudflare status=200 "
                      "reason=\"{'result':null,'success':"
                      "false,'errors':[{'code':1,'message':'m'}],'messages':[]}\"\n"
                      "remove a: EPROTOCOL\nremove a: EPROTOCOL\n"},
                {"a refused token, a limit, a failure", URL,
                 GET("/values/a") ERROR("401", "10000")
                     GET("/values/a") "< 429\n< Retry-After: 3\n" GET("/values/a") "< 500\n" GET(
                         "/values/a") "< 200\n<< 1 0 1\n<< a\n",
                 "get a\nrun\nget a\nrun\nget a\nlist \nwait 2900\nget a\nwait 100\nget a\nrun\n",
                 SAID "log 1 storage.failed driver=cloudflare status=401 "
                      "reason=\"{'result':null,'success':"
                      "false,'errors':[{'code':10000,'message':'m'}],'messages':[]}\"\n"
                      "get a: ETOKEN\nget a: ERATE\nget a: ERATE\nlist : ERATE\nget a: ERATE\nget "
                      "a: %0A\n"},
                {"adding reads and writes", URL,
                 GET("/values/n") ERROR("404", "10009")
                     PUT("/values/n?expiration_ttl=60", "MSAxNzY3ODg4MDAyMDAwIDEKbjU=", "20")
                         FINE GET("/values/m") "< 200\n<< 1 0 1\n<< mx\n" GET(
                             "/values/o") "< 500\n" GET("/values/o") "< 500\n",
                 "add n 5 1000\nrun\nadd m 1\nrun\nadd o 1\nrun\n",
                 SAID
                 "add n: 5\nadd m: EINVAL\n"
                 "log 1 storage.failed driver=cloudflare status=500 reason=\"\"\nadd o: EIO\n"},
                {"six at once, but one at a time on a key, and a list alone", URL,
                 GET("/values/a") ERROR("404", "10009") GET("/values/b") ERROR("404", "10009") GET(
                     "/values/c") ERROR("404", "10009") GET("/values/d") ERROR("404", "10009")
                     GET("/values/e") ERROR("404", "10009") GET("/values/f") ERROR("404", "10009")
                         ASK("DELETE", "/values/a") FINE GET("/values/g") ERROR("404", "10009")
                             GET("/values/a") ERROR("404", "10009") GET("/keys?limit=1000&prefix=a")
                                 PAGE("", "") GET("/values/h") ERROR("404", "10009"),
                 "get a\nremove a\nget a\nget b\nget c\nget d\nget e\nget f\nget g\nlist a\nget "
                 "h\nrun\n",
                 SAID "get a: ENOTFOUND\nget b: ENOTFOUND\nget c: ENOTFOUND\nget d: ENOTFOUND\n"
                      "get e: ENOTFOUND\nget f: ENOTFOUND\nremove a: ok\nget g: ENOTFOUND\nget a: "
                      "ENOTFOUND\n"
                      "list a:\nget h: ENOTFOUND\n"},
                {"a list takes what came along, and fetches the rest", URL "?prefix=p:",
                 GET("/keys?limit=1000&prefix=p%3Ak") PAGE(
                     "{\"name\":\"p:k1\",\"metadata\":{\"v\":\"MSAwIDIKazF2\"}},"
                     "{\"name\":\"p:k2\",\"expiration\":1},{\"name\":\"p:k3\",\"metadata\":{\"x\":"
                     "1}},"
                     "{\"name\":\"p:k4\",\"metadata\":{\"v\":\"MSAwIDIKazF2\"}},"
                     "{\"name\":\"p:k5\",\"metadata\":{\"v\":\"!\"}},"
                     "{\"name\":\"p:k6\",\"metadata\":{\"v\":\"MSAxIDIKazZ2\"}}",
                     "c/1=")
                     GET("/values/p%3Ak2") "< 200\n<< 1 0 2\n<< k2w\n" GET(
                         "/values/p%3Ak3") "< 200\n<< a stranger's\n" GET("/keys?limit=1000&prefix="
                                                                          "p%3Ak&cursor=c%2F1%3D")
                         PAGE("{\"name\":\"p:k7\"},{\"name\":\"p:k\\u0000\"},{\"name\":\"p:k8\"}",
                              "") GET("/values/p%3Ak7") ERROR("404", "10009")
                             GET("/values/p%3Ak8") "< 200\n<< 1 " LATER " 2\n<< k8x\n",
                 "list k\nrun\n", SAID "list k: k1=v k2=w\n k8=x\n\n"},
                {"a list that cannot be read ends with an error", URL,
                 GET("/keys?limit=1000") ERROR("404", "10013")
                     GET("/keys?limit=1000") "< 200\n<< []\n" GET(
                         "/keys?limit=1000") "< 200\n<< {\"success\":true,\"result\":{}}\n" GET("/k"
                                                                                                "ey"
                                                                                                "s?"
                                                                                                "li"
                                                                                                "mi"
                                                                                                "t="
                                                                                                "10"
                                                                                                "0"
                                                                                                "0")
                         PAGE("{\"name\":7}", "") GET("/keys?limit=1000")
                             PAGE("{\"name\":\"a\"},{\"name\":\"b\"}", "next") GET("/values/a")
                                 ERROR("403", "1") GET("/values/b") ERROR("404", "10009"),
                 "list \nrun\nlist \nrun\nlist \nrun\nlist \nrun\nlist \nrun\n",
                 SAID "log 1 storage.failed driver=cloudflare status=404 "
                      "reason=\"{'result':null,'success':"
                      "false,'errors':[{'code':10013,'message':'m'}],'messages':[]}\"\n"
                      "list : EIO\nlist : EPROTOCOL\nlist : EPROTOCOL\nlist : EPROTOCOL\nlist : "
                      "ETOKEN\n"},
                {"closing waits for what is under way, but not for ever", URL, "",
                 "hang\nget a\nget a\nset b x\nwait 1\nlist c\nget d\nclose\nwait 1900\nwait 200\n",
                 SAID "get a: ECLOSED\nset b: ECLOSED\nget a: ECLOSED\nlist c: ECLOSED\nget d: "
                      "ECLOSED\n"},
                {"closing in the middle of a list", URL,
                 GET("/keys?limit=1000") PAGE("{\"name\":\"a\"},{\"name\":\"b\"}", "next"),
                 "list \nwait 10\nhang\nclose\n", SAID "list : ECLOSED\n"},
};

START_TEST(it_asks_and_reads_as_in_the_script) { /* _i walks rows */
    storage_script_check(&rows[_i]);
}
END_TEST

START_TEST(without_memory_everything_still_ends) { /* _i walks rows */
    storage_script_starve(&rows[_i]);
}
END_TEST

static Suite *cloudflare_suite(void) {
    Suite *suite = suite_create("storage/cloudflare");
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

IMI_CHECK_MAIN(cloudflare_suite)
