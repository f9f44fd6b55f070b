/* test_fork.c: what a host that forks may rely on: a child that ends or runs another program
 * disturbs no client of its parent and inherits none of its descriptors; and who forks before
 * opening may open in both. */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "imagine.h"
#include "imagine/provider.h"
#include "imagine/storage.h"
#include "support/check_main.h"
#include "support/tcp_server.h"

enum { REQUESTS = 20, CHILDREN = 10, WAIT_MS = 30000, FD_MAX = 4096, SHARDS_MAX = 8 };

static void on_answer(imagine_call_t *call, const imagine_http_response_t *response) {
    imagine_result_t result = {.size = sizeof(result), .url = "https://pictures.test/a.png"};
    (void)response;
    imagine_call_succeed(call, &result);
}

static void generate(imagine_call_t *call) {
    imagine_call_request_t get = {.size = sizeof(get)};
    get.url = imagine_call_url(call, "/late/300");
    imagine_call_http(call, &get, on_answer);
}

static const imagine_provider_t provider = {
    .size = sizeof(provider),
    .name = "slow",
    .catalogue =
        "{\"api_base\": \"http://127.0.0.1\", \"models\": [{\"key\": \"m\", \"name\": \"M\","
        " \"type\": [\"text2image\"]}]}",
    .generate = generate,
};

static tcp_server_t *server;
static imagine_t *im;
static char folder[] = "/tmp/imagine-fork-XXXXXX";
static char path[64];
static imagine_request_t *requests[REQUESTS];

static void open_client(void) {
    imagine_storage_t *storage = NULL;
    char address[96];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/state.db", folder);
    snprintf(address, sizeof(address), "sqlite:%s", path);
    ck_assert_int_eq(imagine_open(&im, NULL), 0);
    ck_assert_int_eq(imagine_storage_open(&storage, address, NULL), 0);
    ck_assert_int_eq(imagine_set_storage(im, storage), 0);
    ck_assert_int_eq(imagine_register_provider(im, &provider), 0);
    ck_assert_int_eq(imagine_set_api_base(im, "slow", tcp_server_url(server, "")), 0);
    ck_assert_int_eq(imagine_set_tokens(im, "slow", "one"), 0);
    ck_assert_int_eq(imagine_wait_loaded(im), 0);
}

static void ask(void) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    params.model = "slow/m";
    params.prompt = "a cat";
    for (int i = 0; i < REQUESTS; i++)
        ck_assert_int_eq(imagine_generate(im, &params, NULL, NULL, &requests[i]), 0);
    while (tcp_server_requests(server) < REQUESTS)
        usleep(1000);
}

static void expect_answers(void) {
    for (int i = 0; i < REQUESTS; i++) {
        ck_assert_int_eq(imagine_wait(requests[i], WAIT_MS), 0);
        ck_assert_int_eq(imagine_request_result(requests[i])->status, 0);
        imagine_request_release(requests[i]);
    }
}

static void close_client(void) {
    char name[80];
    imagine_close(im, NULL, NULL);
    for (const char *const *end = (const char *const[]){"", "-wal", "-shm", NULL}; *end != NULL;
         end++) {
        snprintf(name, sizeof(name), "%s%s", path, *end);
        (void)unlink(name);
    }
    ck_assert_int_eq(rmdir(folder), 0);
}

static void expect_intact_file(void) {
    sqlite3 *file = NULL;
    sqlite3_stmt *statement = NULL;
    ck_assert_int_eq(sqlite3_open(path, &file), SQLITE_OK);
    ck_assert_int_eq(sqlite3_prepare_v2(file, "PRAGMA integrity_check", -1, &statement, NULL),
                     SQLITE_OK);
    ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
    ck_assert_str_eq((const char *)sqlite3_column_text(statement, 0), "ok");
    sqlite3_finalize(statement);
    sqlite3_close(file);
}

static void expect_success(pid_t child) {
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}

START_TEST(children_that_end_or_run_a_program_disturb_nothing) {
    server = tcp_server_open(TCP_SERVER_PLAIN);
    open_client();
    ask();
    for (int i = 0; i < CHILDREN; i++) {
        pid_t child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0 && i % 2 == 0)
            _exit(0);
        if (child == 0) {
            execlp("true", "true", (char *)NULL);
            _exit(127);
        }
        expect_success(child);
    }
    expect_answers();
    expect_intact_file();
    close_client();
    tcp_server_close(server);
}
END_TEST

/* Open before: not the client's. */
static bool was_open[FD_MAX];

START_TEST(a_program_that_is_run_inherits_no_descriptor) {
    int ours = 0, curls = 0;
    server = tcp_server_open(TCP_SERVER_PLAIN);
    for (int fd = 0; fd < FD_MAX; fd++)
        was_open[fd] = fcntl(fd, F_GETFD) >= 0;
    open_client();
    ask();
    for (int fd = 0; fd < FD_MAX; fd++) {
        struct sockaddr_storage name = {0};
        socklen_t size = sizeof(name);
        int flags = was_open[fd] ? -1 : fcntl(fd, F_GETFD);
        if (flags < 0)
            continue;
        ours++;
        if ((flags & FD_CLOEXEC) != 0)
            continue;
        /* libcurl has a pair of its own to wake itself, and gives nobody a hand on it. */
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&name, &size), 0);
        ck_assert_msg(name.ss_family == AF_UNIX, "descriptor %d would be inherited", fd);
        curls++;
    }
    ck_assert_int_le(curls, 2 * SHARDS_MAX);
    ck_assert_int_gt(ours, REQUESTS + 3); /* connections, loop, file */
    expect_answers();
    close_client();
    tcp_server_close(server);
}
END_TEST

/* ---- forking first
 * -------------------------------------------------------------------------------
 */

static void make_a_picture(void) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    imagine_request_t *request = NULL;
    ck_assert_int_eq(imagine_open(&im, NULL), 0);
    params.model = "sample/waves";
    params.prompt = "a cat";
    params.width = params.height = 64;
    ck_assert_int_eq(imagine_generate(im, &params, NULL, NULL, &request), 0);
    ck_assert_int_eq(imagine_wait(request, WAIT_MS), 0);
    ck_assert_int_eq(imagine_request_result(request)->status, 0);
    imagine_request_release(request);
    imagine_close(im, NULL, NULL);
}

START_TEST(who_forks_first_may_open_in_both) {
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    make_a_picture();
    if (child == 0)
        _exit(0);
    expect_success(child);
}
END_TEST

START_TEST(who_has_closed_all_may_fork_and_open_again) {
    pid_t child;
    make_a_picture();
    child = fork();
    ck_assert_int_ge(child, 0);
    make_a_picture();
    if (child == 0)
        _exit(0);
    expect_success(child);
}
END_TEST

static Suite *fork_suite(void) {
    Suite *suite = suite_create("fork");
    TCase *tcase = tcase_create("fork");
    tcase_set_timeout(tcase, 90);
    tcase_add_test(tcase, children_that_end_or_run_a_program_disturb_nothing);
    tcase_add_test(tcase, a_program_that_is_run_inherits_no_descriptor);
    tcase_add_test(tcase, who_forks_first_may_open_in_both);
    tcase_add_test(tcase, who_has_closed_all_may_fork_and_open_again);
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(fork_suite)
