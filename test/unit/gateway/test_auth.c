/* test_auth.c: who may call what, and who is at the other end. */
#include "gateway/auth.h"

#include "gateway/caller.h"
#include "imagine.h"
#include "../../support/check_main.h"
#include "../../support/failing_mem.h"

/* What stands in the Authorization header; NULL: there is none. */
static const struct {
    const char *name, *api, *admin;
    imi_who_t who;
    const char *authorization;
    bool is_local;
    int status; /* 0: may pass */
    const char *error;
} auth_cases[] = {
    {"health needs nothing", "u", "a", IMI_WHO_ALL, NULL, false, 0, NULL},
    {"an open server answers users", NULL, NULL, IMI_WHO_USER, NULL, false, 0, NULL},
    {"an open server ignores what a user sends", NULL, NULL, IMI_WHO_USER, "nonsense", false, 0,
     NULL},
    {"an empty list is no list", " , ,", "", IMI_WHO_USER, NULL, false, 0, NULL},
    {"an admin token alone leaves users alone", NULL, "a", IMI_WHO_USER, NULL, false, 0, NULL},
    {"a user's token", "u1,u2", NULL, IMI_WHO_USER, "Bearer u1", false, 0, NULL},
    {"the last of the list", "u1, u2 ,u3", NULL, IMI_WHO_USER, "Bearer u3", false, 0, NULL},
    {"scheme in capitals", "u", NULL, IMI_WHO_USER, "BEARER u", false, 0, NULL},
    {"scheme in small letters", "u", NULL, IMI_WHO_USER, "bearer u", false, 0, NULL},
    {"no header", "u", NULL, IMI_WHO_USER, NULL, true, 401, "Missing Authorization header"},
    {"empty header", "u", NULL, IMI_WHO_USER, "", false, 401, "Invalid Authorization format"},
    {"other scheme", "u", NULL, IMI_WHO_USER, "Basic u", false, 401,
     "Invalid Authorization format"},
    {"scheme without token", "u", NULL, IMI_WHO_USER, "Bearer", false, 401,
     "Invalid Authorization format"},
    {"scheme, space, nothing", "u", NULL, IMI_WHO_USER, "Bearer ", false, 401,
     "Invalid Authorization format"},
    {"token without scheme", "u", NULL, IMI_WHO_USER, "u", false, 401,
     "Invalid Authorization format"},
    {"two spaces", "u", NULL, IMI_WHO_USER, "Bearer  u", false, 401,
     "Invalid Authorization format"},
    {"two tokens", "u", NULL, IMI_WHO_USER, "Bearer u u", false, 401,
     "Invalid Authorization format"},
    {"scheme glued to the token", "u", NULL, IMI_WHO_USER, "Beareru", false, 401,
     "Invalid Authorization format"},
    {"wrong token", "u", NULL, IMI_WHO_USER, "Bearer v", false, 401, "Invalid token"},
    {"beginning of the token", "user", NULL, IMI_WHO_USER, "Bearer use", false, 401,
     "Invalid token"},
    {"token and more", "user", NULL, IMI_WHO_USER, "Bearer user1", false, 401, "Invalid token"},
    {"the whole list is no token", "u,v", NULL, IMI_WHO_USER, "Bearer u,v", false, 401,
     "Invalid token"},
    {"an admin's token is no user's", "u", "a", IMI_WHO_USER, "Bearer a", false, 401,
     "Invalid token"},
    {"admin row, admin's token", "u", "a", IMI_WHO_ADMIN, "Bearer a", false, 0, NULL},
    {"admin row, user's token", "u", "a", IMI_WHO_ADMIN, "Bearer u", false, 401, "Invalid token"},
    {"admin row falls back to API_TOKEN", "u", NULL, IMI_WHO_ADMIN, "Bearer u", false, 0, NULL},
    {"admin row on loopback still needs the token", "u", "a", IMI_WHO_ADMIN, NULL, true, 401,
     "Missing Authorization header"},
    {"admin row of an open server, here", NULL, NULL, IMI_WHO_ADMIN, NULL, true, 0, NULL},
    {"admin row of an open server, elsewhere", NULL, NULL, IMI_WHO_ADMIN, NULL, false, 403,
     "Forbidden"},
    {"no token helps there", NULL, NULL, IMI_WHO_ADMIN, "Bearer x", false, 403, "Forbidden"},
    {"metrics here need nothing", "u", "a", IMI_WHO_ADMIN_OR_LOCAL, NULL, true, 0, NULL},
    {"metrics elsewhere need the admin", "u", "a", IMI_WHO_ADMIN_OR_LOCAL, "Bearer a", false, 0,
     NULL},
    {"metrics elsewhere without token", "u", "a", IMI_WHO_ADMIN_OR_LOCAL, NULL, false, 401,
     "Missing Authorization header"},
    {"metrics of an open server elsewhere", NULL, NULL, IMI_WHO_ADMIN_OR_LOCAL, NULL, false, 403,
     "Forbidden"},
};

START_TEST(a_caller_passes_or_hears_why_not) {
    imi_arena_t arena;
    imi_auth_t auth;
    const char *fingerprint = "unset";
    const imi_refusal_t *refusal;
    imi_arena_init(&arena, NULL, 0);
    ck_assert_int_eq(imi_auth_init(&auth, &arena, auth_cases[_i].api, auth_cases[_i].admin), 0);
    refusal = imi_auth_check(&auth, auth_cases[_i].who, imi_slice_of(auth_cases[_i].authorization),
                             auth_cases[_i].is_local, &fingerprint);
    ck_assert_msg((refusal == NULL ? 0 : refusal->status) == auth_cases[_i].status, "%s: %d",
                  auth_cases[_i].name, refusal == NULL ? 0 : refusal->status);
    if (refusal != NULL)
        ck_assert_msg(strcmp(refusal->error, auth_cases[_i].error) == 0, "%s: %s",
                      auth_cases[_i].name, refusal->error);
    imi_auth_wipe(&auth);
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(a_caller_with_a_token_is_known_by_its_fingerprint) {
    imi_arena_t arena;
    imi_auth_t auth;
    const char *fingerprint = NULL;
    char wanted[IMI_FINGERPRINT_SIZE + 1];
    imi_arena_init(&arena, NULL, 0);
    imi_fingerprint(wanted, "second");
    ck_assert_int_eq(imi_auth_init(&auth, &arena, "first,second", NULL), 0);
    ck_assert_ptr_null(
        imi_auth_check(&auth, IMI_WHO_USER, IMI_SLICE("Bearer second"), false, &fingerprint));
    ck_assert_str_eq(fingerprint, wanted);
    ck_assert_ptr_null(
        imi_auth_check(&auth, IMI_WHO_ALL, IMI_SLICE("Bearer second"), false, &fingerprint));
    ck_assert_ptr_null(fingerprint);
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(tokens_are_wiped) {
    imi_arena_t arena;
    imi_auth_t auth;
    imi_arena_init(&arena, NULL, 0);
    ck_assert_int_eq(imi_auth_init(&auth, &arena, "secret", "other"), 0);
    imi_auth_wipe(&auth);
    ck_assert_mem_eq(auth.users.tokens[0].text, "\0\0\0\0\0\0", 6);
    ck_assert_mem_eq(auth.admins.tokens[0].text, "\0\0\0\0\0", 5);
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(lists_survive_failing_memory) {
    bool has_failed = true;
    for (size_t fail_at = 1; has_failed; fail_at++) {
        failing_mem_t failing;
        imi_arena_t arena;
        imi_auth_t auth;
        int err;
        failing_mem_init(&failing, fail_at);
        imi_arena_init(&arena, &failing.mem, 64);
        err = imi_auth_init(&auth, &arena, "a token that is rather long,another one", "third");
        has_failed = failing.has_failed;
        ck_assert_int_eq(err, has_failed ? IMAGINE_ENOMEM : 0);
        imi_arena_reset(&arena);
        ck_assert_uint_eq(failing.live_count, 0);
    }
}
END_TEST

/* `same_as`: the address whose key the caller must have. */
static const struct {
    const char *name, *trusted, *peer, *forwarded, *forwarded_more, *cloudflare, *same_as;
    bool is_local;
} caller_cases[] = {
    {"the peer", NULL, "192.0.2.1", NULL, NULL, NULL, "192.0.2.1", false},
    {"loopback", NULL, "127.0.0.1", NULL, NULL, NULL, "127.0.0.1", true},
    {"loopback of IPv6", NULL, "::1", NULL, NULL, NULL, "::1", true},
    {"mapped IPv4 is that IPv4", NULL, "::ffff:192.0.2.1", NULL, NULL, NULL, "192.0.2.1", false},
    {"mapped loopback", NULL, "::ffff:127.0.0.1", NULL, NULL, NULL, "127.0.0.1", true},
    {"one /64 is one caller", NULL, "2001:db8::1", NULL, NULL, NULL, "2001:db8::ffff", false},
    {"a peer that nobody trusts speaks for itself", NULL, "192.0.2.1", "203.0.113.9", NULL,
     "203.0.113.8", "192.0.2.1", false},
    {"a stranger cannot become local", NULL, "192.0.2.1", "127.0.0.1", NULL, "127.0.0.1",
     "192.0.2.1", false},
    {"a proxy here that nobody told of is not local", NULL, "127.0.0.1", "127.0.0.1", NULL, NULL,
     "127.0.0.1", false},
    {"behind a trusted proxy", "10.0.0.0/8", "10.0.0.1", "203.0.113.9", NULL, NULL, "203.0.113.9",
     false},
    {"the word loopback", "loopback", "127.0.0.1", "203.0.113.9", NULL, NULL, "203.0.113.9", false},
    {"a trusted proxy here for somebody here", "loopback", "127.0.0.1", "::1", NULL, NULL, "::1",
     true},
    {"a trusted proxy's own request", "loopback", "127.0.0.1", NULL, NULL, NULL, "127.0.0.1", true},
    {"the rightmost hop that is not trusted", "10.0.0.0/8", "10.0.0.1",
     "1.1.1.1, 203.0.113.9, 10.0.0.7", NULL, NULL, "203.0.113.9", false},
    {"what stands left of it is made up", "10.0.0.0/8", "10.0.0.1", "10.0.0.9,203.0.113.9", NULL,
     NULL, "203.0.113.9", false},
    {"all hops trusted: the first", "10.0.0.0/8", "10.0.0.1", "10.0.0.3, 10.0.0.2", NULL, NULL,
     "10.0.0.3", false},
    {"several headers are one list", "10.0.0.0/8", "10.0.0.1", "203.0.113.9", "10.0.0.2", NULL,
     "203.0.113.9", false},
    {"a hop with a port", "10.0.0.1", "10.0.0.1", "203.0.113.9:4711", NULL, NULL, "203.0.113.9",
     false},
    {"a hop in brackets with a port", "10.0.0.1", "10.0.0.1", "[2001:db8::9]:4711", NULL, NULL,
     "2001:db8::9", false},
    {"a broken bracket: the proxy", "10.0.0.1", "10.0.0.1", "[2001:db8::9", NULL, NULL, "10.0.0.1",
     false},
    {"words: the proxy", "10.0.0.1", "10.0.0.1", "unknown", NULL, NULL, "10.0.0.1", false},
    {"words left of a trusted hop", "10.0.0.0/8", "10.0.0.1", "unknown, 10.0.0.5", NULL, NULL,
     "10.0.0.5", false},
    {"an empty list", "10.0.0.1", "10.0.0.1", "", NULL, NULL, "10.0.0.1", false},
    {"Cloudflare's header", "10.0.0.1", "10.0.0.1", NULL, NULL, "203.0.113.9", "203.0.113.9",
     false},
    {"the list wins over Cloudflare's", "10.0.0.1", "10.0.0.1", "203.0.113.9", NULL, "1.1.1.1",
     "203.0.113.9", false},
    {"no address at all", NULL, "unix:", NULL, NULL, NULL, "@", false},
    {"no peer", "loopback", NULL, "127.0.0.1", NULL, NULL, "@", false},
};

START_TEST(a_caller_is_found_behind_trusted_proxies_only) {
    imagine_header_t headers[3];
    size_t count = 0;
    imi_arena_t arena;
    imi_caller_t caller, wanted;
    const imi_hosts_t *trusted = NULL;
    const char *bad = NULL;
    imi_arena_init(&arena, NULL, 0);
    if (caller_cases[_i].trusted != NULL)
        trusted = imi_hosts_parse(&arena, caller_cases[_i].trusted, &bad);
    if (caller_cases[_i].forwarded != NULL)
        headers[count++] = (imagine_header_t){"X-Forwarded-For", caller_cases[_i].forwarded};
    if (caller_cases[_i].cloudflare != NULL)
        headers[count++] = (imagine_header_t){"CF-Connecting-IP", caller_cases[_i].cloudflare};
    if (caller_cases[_i].forwarded_more != NULL)
        headers[count++] = (imagine_header_t){"x-forwarded-for", caller_cases[_i].forwarded_more};
    imi_caller_find(&caller, trusted, caller_cases[_i].peer, headers, count, count > 0);
    imi_caller_find(&wanted, NULL, caller_cases[_i].same_as, NULL, 0, false);
    ck_assert_msg(memcmp(caller.key, wanted.key, sizeof(caller.key)) == 0, "%s: key %d.%d.%d.%d",
                  caller_cases[_i].name, caller.key[1], caller.key[2], caller.key[3],
                  caller.key[4]);
    ck_assert_msg(caller.is_local == caller_cases[_i].is_local, "%s: local %d",
                  caller_cases[_i].name, caller.is_local);
    imi_arena_reset(&arena);
}
END_TEST

START_TEST(a_token_and_an_address_are_different_callers) {
    imi_caller_t a, b, c;
    imi_caller_find(&a, NULL, "192.0.2.1", NULL, 0, false);
    imi_caller_find(&b, NULL, "192.0.2.1", NULL, 0, false);
    imi_caller_find(&c, NULL, "192.0.2.1", NULL, 0, false);
    imi_caller_set_token(&b, "3f9c02d1a7be");
    imi_caller_set_token(&c, "3f9c02d1a7bf");
    ck_assert_mem_ne(a.key, b.key, sizeof(a.key));
    ck_assert_mem_ne(b.key, c.key, sizeof(b.key));
}
END_TEST

static Suite *auth_suite(void) {
    Suite *suite = suite_create("gateway/auth");
    TCase *tcase = tcase_create("auth");
    tcase_add_loop_test(tcase, a_caller_passes_or_hears_why_not, 0,
                        sizeof(auth_cases) / sizeof(auth_cases[0]));
    tcase_add_test(tcase, a_caller_with_a_token_is_known_by_its_fingerprint);
    tcase_add_test(tcase, tokens_are_wiped);
    tcase_add_test(tcase, lists_survive_failing_memory);
    tcase_add_loop_test(tcase, a_caller_is_found_behind_trusted_proxies_only, 0,
                        sizeof(caller_cases) / sizeof(caller_cases[0]));
    tcase_add_test(tcase, a_token_and_an_address_are_different_callers);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(auth_suite)
