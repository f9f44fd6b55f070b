/* test_gateway.c: the whole gateway over a real client and test providers: each row of http-api.md
 * as one request and its answer, then what takes time. */
#include "imagine/gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../support/check_main.h"
#include "../../support/failing_mem.h"
#include "gateway/answer.h"
#include "support/gateway_host.h"

#define JSON "Content-Type: application/json"
#define FORM "Content-Type: multipart/form-data; boundary=B"
#define USER "Authorization: Bearer u"
#define ADMIN "Authorization: Bearer a"
#define ELSEWHERE "peer: 192.0.2.1"
#define TOKENS "API_TOKEN=u;ADMIN_TOKEN=a"
#define ERROR(error, message, code)                                                  \
    "={\"error\":\"" error "\",\"message\":\"" message "\",\"code\":\"IMAGINE_" code \
    "\",\"requestId\":\"ID\"}"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static visit_t visit;
static gateway_host_t host;

/* `body`: "=" and the whole of it (a request id reads ID), else a part of it. `headers`: lines that
 * must be there; those that begin with "!" must not. */
typedef struct exchange_case {
    const char *name, *settings, *method, *target, *request_headers, *request_body;
    int status;
    const char *body, *headers;
} exchange_case_t;

static const char *find_header(const char *name, char out[512]) {
    char line[128];
    const char *at;
    (void)snprintf(line, sizeof(line), "\n%s: ", name);
    if (strncmp(visit.headers, line + 1, strlen(line) - 1) == 0)
        at = visit.headers + strlen(line) - 1;
    else if ((at = strstr(visit.headers, line)) != NULL)
        at += strlen(line);
    if (at == NULL)
        return NULL;
    (void)snprintf(out, 512, "%.*s", (int)strcspn(at, "\n"), at);
    return out;
}

static void hide_id(void) {
    char id[512];
    char *at;
    ck_assert_ptr_nonnull(find_header("X-Request-Id", id));
    ck_assert_uint_eq(strlen(id), 16);
    ck_assert_uint_eq(strspn(id, "0123456789abcdef"), 16);
    at = strstr(visit.body, id);
    if (at == NULL)
        return;
    memcpy(at, "ID", 2);
    memmove(at + 2, at + 16, strlen(at + 16) + 1);
    visit.body_size -= 14;
}

static void check_headers(const exchange_case_t *row) {
    static const char *const always[] = {"X-Content-Type-Options: nosniff\n",
                                         "X-Frame-Options: DENY\n",
                                         "Referrer-Policy: no-referrer\n", "X-Request-Id: "};
    char copy[1024], *rest = copy, *line;
    for (size_t i = 0; i < COUNT(always); i++)
        ck_assert_msg(strstr(visit.headers, always[i]) != NULL, "%s: no %s in\n%s", row->name,
                      always[i], visit.headers);
    (void)snprintf(copy, sizeof(copy), "%s", row->headers != NULL ? row->headers : "");
    while ((line = strsep(&rest, "\n")) != NULL) {
        bool is_wanted = line[0] != '!';
        const char *text = is_wanted ? line : line + 1;
        ck_assert_msg((strstr(visit.headers, text) != NULL) == is_wanted, "%s: %s in\n%s",
                      row->name, line, visit.headers);
    }
}

static void check_case(const exchange_case_t *row) {
    ck_assert_int_eq(gateway_host_open(&host, NULL, row->settings), 0);
    visit_make(&visit, &host, row->method, row->target, row->request_headers, row->request_body);
    ck_assert_msg(visit.end_count == 1, "%s: no answer", row->name);
    hide_id();
    ck_assert_msg(visit.status == row->status, "%s: %d\n%s", row->name, visit.status, visit.body);
    if (row->body != NULL && row->body[0] == '=')
        ck_assert_msg(strcmp(visit.body, row->body + 1) == 0, "%s:\n%s", row->name, visit.body);
    else if (row->body != NULL)
        ck_assert_msg(strstr(visit.body, row->body) != NULL, "%s:\n%s", row->name, visit.body);
    check_headers(row);
    gateway_host_close(&host);
}

/* ---- looking around ----------------------------------------------------------------------------
 */

static const exchange_case_t look_cases[] = {
    {"health", NULL, "GET", "/api/health", NULL, NULL, 200,
     "={\"status\":\"ok\",\"timestamp\":\"2026-01-08T16:00:00.000Z\",\"version\":\"" IMAGINE_VERSION
     "\"}",
     "Content-Type: application/json\nCache-Control: no-store\nAccess-Control-Allow-Origin: *"},
    {"health needs no token", TOKENS, "GET", "/api/health", ELSEWHERE, NULL, 200, "\"ok\"", NULL},
    {"health and a query", NULL, "GET", "/api/health?x=1", NULL, NULL, 200, "\"ok\"", NULL},
    {"HEAD of health", NULL, "HEAD", "/api/health", NULL, NULL, 200, "=",
     "Content-Type: application/json"},
    {"health with a body", NULL, "GET", "/api/health", JSON, "{}", 200, "\"ok\"", NULL},
    {"absolute target", NULL, "GET", "http://here.test/api/health", NULL, NULL, 200, "\"ok\"",
     NULL},
    {"models that can serve", NULL, "GET", "/api/v1/models", NULL, NULL, 200, "\"test/one\"", NULL},
    {"all models", NULL, "GET", "/api/v1/models/all", NULL, NULL, 200, "\"needy/one\"", NULL},
    {"models need the user's token", TOKENS, "GET", "/api/v1/models", NULL, NULL, 401,
     "{\"error\":\"Missing Authorization header\",", "WWW-Authenticate: Bearer"},
    {"models with it", TOKENS, "GET", "/api/v1/models", USER, NULL, 200, "\"test/one\"", NULL},
    {"a wrong token", TOKENS, "GET", "/api/v1/models/all", ADMIN, NULL, 401,
     "{\"error\":\"Invalid token\",", "WWW-Authenticate: Bearer\nAccess-Control-Allow-Origin: *"},
    {"a broken header", TOKENS, "GET", "/api/v1/models", "Authorization: u", NULL, 401,
     "{\"error\":\"Invalid Authorization format\",", NULL},
    {"two headers", TOKENS, "GET", "/api/v1/models", USER "\n" USER, NULL, 401,
     "{\"error\":\"Invalid Authorization format\",", NULL},
    {"tokens of nobody named", NULL, "GET", "/api/v1/token-stats", NULL, NULL, 200,
     "={\"total\":0,\"exhausted\":0,\"active\":0,\"cooling\":0,\"invalid\":0}", NULL},
    {"tokens of one", "NEEDY_TOKENS=x,y", "GET", "/api/v1/token-stats?provider=needy", NULL, NULL,
     200, "={\"total\":2,\"exhausted\":0,\"active\":2,\"cooling\":0,\"invalid\":0}", NULL},
    {"a provider's name is decoded", "NEEDY_TOKENS=x,y", "GET",
     "/api/v1/token-stats?provider=%6eeedy", NULL, NULL, 200, "\"total\":2", NULL},
    {"tokens of a stranger", NULL, "GET", "/api/v1/token-stats?provider=x", NULL, NULL, 400,
     "{\"error\":\"Invalid provider\",\"message\":\"Valid providers: ", NULL},
    {"a broken escape", NULL, "GET", "/api/v1/token-stats?provider=%4", NULL, NULL, 400,
     "{\"error\":\"Invalid parameters\",", NULL},
    {"tokens of all", "NEEDY_TOKENS=x,y", "GET", "/api/v1/token-stats/all", NULL, NULL, 200,
     "\"needy\":{\"total\":2,\"exhausted\":0,\"active\":2,\"cooling\":0,\"invalid\":0}", NULL},
    {"each token of all", "NEEDY_TOKENS=x,y", "GET", "/api/v1/token-stats/all?details=1", NULL,
     NULL, 200, "\"tokens\":[{\"fingerprint\":\"2d711642b726\"", NULL},
    {"tokens need the admin", TOKENS, "GET", "/api/v1/token-stats", USER, NULL, 401,
     "Invalid token", NULL},
    {"tokens with the admin's token", TOKENS, "GET", "/api/v1/token-stats", ADMIN "\n" ELSEWHERE,
     NULL, 200, "\"total\"", NULL},
    {"tokens of an open server elsewhere", NULL, "GET", "/api/v1/token-stats", ELSEWHERE, NULL, 403,
     "{\"error\":\"Forbidden\",", "!WWW-Authenticate"},
    {"tokens behind a proxy that nobody told of", NULL, "GET", "/api/v1/token-stats/all",
     "X-Forwarded-For: 192.0.2.1", NULL, 403, "{\"error\":\"Forbidden\",", NULL},
    {"reset", "NEEDY_TOKENS=x", "POST", "/api/v1/token-reset", JSON, "{\"provider\":\"needy\"}",
     200, "={\"success\":true,\"message\":\"Token status reset for needy\"}", NULL},
    {"reset by a form", "NEEDY_TOKENS=x", "POST", "/api/v1/token-reset", FORM,
     "--B\r\nContent-Disposition: form-data; name=\"provider\"\r\n\r\nneedy\r\n--B--\r\n", 200,
     "={\"success\":true,\"message\":\"Token status reset for needy\"}", NULL},
    {"reset of nobody", NULL, "POST", "/api/v1/token-reset", JSON, "{}", 400,
     "{\"error\":\"Provider is required\",", NULL},
    {"reset of nothing at all", NULL, "POST", "/api/v1/token-reset", NULL, "", 400,
     "{\"error\":\"Provider is required\",", NULL},
    {"reset of a number", NULL, "POST", "/api/v1/token-reset", JSON, "{\"provider\":1}", 400,
     "{\"error\":\"Provider is required\",", NULL},
    {"reset of a list", NULL, "POST", "/api/v1/token-reset", JSON, "[]", 400,
     "{\"error\":\"Provider is required\",", NULL},
    {"reset of a stranger", NULL, "POST", "/api/v1/token-reset", JSON, "{\"provider\":\"x\"}", 400,
     "{\"error\":\"Invalid provider\",\"message\":\"Valid providers: ", NULL},
    {"reset without JSON", NULL, "POST", "/api/v1/token-reset", JSON, "{", 400,
     "\"code\":\"IMAGINE_EINVAL\"", NULL},
    {"reset needs the admin", TOKENS, "POST", "/api/v1/token-reset", JSON "\n" USER,
     "{\"provider\":\"test\"}", 401, "Invalid token", NULL},
    {"clean-up without hosting", NULL, "DELETE",
     "/api/v1/storage/cleanup?startDate=2026-01-01&endDate=2026-01-02T10:00:00%2B08:00", NULL, NULL,
     400, "{\"error\":\"S3 service is not enabled\",", NULL},
    {"clean-up, a bad date", NULL, "DELETE",
     "/api/v1/storage/cleanup?startDate=yesterday&endDate=2026-01-02", NULL, NULL, 400,
     "{\"error\":\"Invalid parameters\",", NULL},
    {"clean-up, the other bad date", NULL, "DELETE",
     "/api/v1/storage/cleanup?startDate=2026-01-02&endDate=2026-02-30", NULL, NULL, 400,
     "{\"error\":\"Invalid parameters\",", NULL},
    {"clean-up, backwards", NULL, "DELETE",
     "/api/v1/storage/cleanup?startDate=2026-01-02&endDate=2026-01-01", NULL, NULL, 400,
     "{\"error\":\"Invalid parameters\",", NULL},
    {"clean-up needs the admin", TOKENS, "DELETE", "/api/v1/storage/cleanup", NULL, NULL, 401,
     "Missing Authorization header", NULL},
    {"metrics here", TOKENS, "GET", "/metrics", NULL, NULL, 200, "imagine_requests_total",
     "Content-Type: text/plain; version=0.0.4; charset=utf-8\n!Access-Control-Allow-Origin"},
    {"metrics elsewhere", TOKENS, "GET", "/metrics", ELSEWHERE, NULL, 401,
     "Missing Authorization header", NULL},
    {"metrics elsewhere with the admin's token", TOKENS, "GET", "/metrics", ELSEWHERE "\n" ADMIN,
     NULL, 200, "imagine_requests_total", NULL},
    {"metrics of an open server elsewhere", NULL, "GET", "/metrics", ELSEWHERE, NULL, 403,
     "{\"error\":\"Forbidden\",", NULL},
};

START_TEST(what_can_be_looked_at) {
    check_case(&look_cases[_i]);
}
END_TEST

/* ---- paths and methods -------------------------------------------------------------------------
 */

static const exchange_case_t route_cases[] = {
    {"unknown path below /api", NULL, "GET", "/api/nothing", NULL, NULL, 404,
     ERROR("Not Found", "there is nothing at this path", "ENOTFOUND"),
     "Access-Control-Allow-Origin: *"},
    {"/api itself", NULL, "GET", "/api", NULL, NULL, 404, "Not Found", NULL},
    {"unknown path below /api/v1", NULL, "POST", "/api/v1/nothing", JSON, "{}", 404, "Not Found",
     NULL},
    {"its existence is the users' business", TOKENS, "GET", "/api/v1/nothing", NULL, NULL, 401,
     "Missing Authorization header", NULL},
    {"a slash too many", NULL, "GET", "/api/v1/models/", NULL, NULL, 404, "Not Found", NULL},
    {"no page", NULL, "GET", "/", "Accept: text/html", NULL, 404, "Not Found", NULL},
    {"GET of an action", NULL, "GET", "/api/v1/generate", NULL, NULL, 405, "Method Not Allowed",
     "Allow: POST, OPTIONS\n"},
    {"HEAD of an action", NULL, "HEAD", "/api/v1/generate", NULL, NULL, 405, "=",
     "Allow: POST, OPTIONS\n"},
    {"PUT of an action", NULL, "PUT", "/api/v1/edit", JSON, "{}", 405, "Method Not Allowed",
     "Allow: POST, OPTIONS\n"},
    {"POST of a status", NULL, "POST", "/api/v1/task-status?taskId=1", JSON, "{}", 405,
     "Method Not Allowed", "Allow: GET, HEAD, DELETE, OPTIONS\n"},
    {"POST of health", NULL, "POST", "/api/health", JSON, "{}", 405, "Method Not Allowed",
     "Allow: GET, HEAD, OPTIONS\n"},
    {"GET of a clean-up", NULL, "GET", "/api/v1/storage/cleanup", NULL, NULL, 405,
     "Method Not Allowed", "Allow: DELETE, OPTIONS\n"},
    {"POST of metrics", NULL, "POST", "/metrics", JSON, "{}", 405, "Method Not Allowed",
     "Allow: GET, HEAD\n"},
    {"a method of small letters", NULL, "get", "/api/health", NULL, NULL, 405, "Method Not Allowed",
     NULL},
    {"a method that nobody knows", NULL, "MAKECOFFEE", "/api/health", NULL, NULL, 405,
     "Method Not Allowed", NULL},
    {"no path", NULL, "GET", "*", NULL, NULL, 400, "\"code\":\"IMAGINE_EINVAL\"", NULL},
    {"a preflight", NULL, "OPTIONS", "/api/v1/generate",
     "Origin: https://a.test\nAccess-Control-Request-Method: POST", NULL, 204, "=",
     "Access-Control-Allow-Origin: *\n"
     "Access-Control-Allow-Methods: GET, POST, PUT, DELETE, OPTIONS\n"
     "Access-Control-Allow-Headers: Content-Type, Authorization\n"
     "Access-Control-Max-Age: 86400\n!Content-Type: application\n!Credentials"},
    {"a preflight needs no token", TOKENS, "OPTIONS", "/api/v1/token-reset",
     "Origin: https://a.test", NULL, 204, "=", "Access-Control-Allow-Origin: *"},
    {"a preflight of a listed origin", "ALLOWED_ORIGINS=https://a.test,https://b.test", "OPTIONS",
     "/api/v1/generate", "Origin: https://b.test", NULL, 204, "=",
     "Access-Control-Allow-Origin: https://b.test\nAccess-Control-Allow-Credentials: true\n"
     "Vary: Origin"},
    {"a preflight of another origin", "ALLOWED_ORIGINS=https://a.test", "OPTIONS",
     "/api/v1/generate", "Origin: https://b.test", NULL, 204, "=",
     "Vary: Origin\n!Access-Control-Allow-Origin"},
    {"a refusal has CORS too", TOKENS, "GET", "/api/v1/models", "Origin: https://a.test", NULL, 401,
     "Missing Authorization header",
     "Access-Control-Allow-Origin: *\nAccess-Control-Expose-Headers: Content-Length, Content-Type, "
     "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"},
    {"OPTIONS of a page", NULL, "OPTIONS", "/", NULL, NULL, 404, "Not Found", NULL},
};

START_TEST(paths_and_methods) {
    check_case(&route_cases[_i]);
}
END_TEST

/* ---- actions -----------------------------------------------------------------------------------
 */

#define PART(name, value) \
    "--B\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"
#define FILE_PART(name, value)                                                         \
    "--B\r\nContent-Disposition: form-data; name=\"" name "\"; filename=\"a.gif\"\r\n" \
    "Content-Type: image/gif\r\n\r\n" value "\r\n"
#define PARTS_END "--B--\r\n"
#define LIMITED "X-RateLimit-Limit: 60\nX-RateLimit-Remaining: 59\nX-RateLimit-Reset: 1767888060000"

static const exchange_case_t action_cases[] = {
    {"generate", NULL, "POST", "/api/v1/generate", JSON,
     "{\"model\":\"test/one\",\"prompt\":\"a cat\",\"ar\":\"16:9\",\"seed\":7,\"steps\":9,"
     "\"guidance\":3.5}",
     200,
     "={\"url\":\"https://cdn.test/1.png\",\"width\":1024,\"height\":576,\"seed\":7,\"steps\":9,"
     "\"guidance\":3.5}",
     "Content-Type: application/json\n" LIMITED},
    {"its other spelling", NULL, "POST", "/api/v1/imagine", JSON,
     "{\"model\":\"test/one\",\"prompt\":\"a cat\"}", 200, "https://cdn.test/1.png", LIMITED},
    {"with a token", TOKENS, "POST", "/api/v1/generate", JSON "\n" USER,
     "{\"model\":\"test/one\",\"prompt\":\"a cat\"}", 200, "https://cdn.test/1.png", LIMITED},
    {"after a while", NULL, "POST", "/api/v1/generate", JSON,
     "{\"model\":\"test/one\",\"prompt\":\"wait\"}", 200, "https://cdn.test/1.png", NULL},
    {"with a charset where a coding belongs", NULL, "POST", "/api/v1/generate",
     JSON "\nContent-Encoding: utf-8", "{\"model\":\"test/one\",\"prompt\":\"a cat\"}", 200,
     "https://cdn.test/1.png", NULL},
    {"with a charset", NULL, "POST", "/api/v1/generate",
     "Content-Type: application/json; charset=utf-8",
     "{\"model\":\"test/one\",\"prompt\":\"a cat\"}", 200, "https://cdn.test/1.png", NULL},
    {"with a byte order mark", NULL, "POST", "/api/v1/generate", JSON,
     "\xef\xbb\xbf{\"model\":\"test/one\",\"prompt\":\"a cat\"}", 200, "https://cdn.test/1.png",
     NULL},
    {"with a byte order mark alone", NULL, "POST", "/api/v1/generate", NULL,
     "\xef\xbb\xbf{\"model\":\"test/one\",\"prompt\":\"a cat\"}", 200, "https://cdn.test/1.png",
     NULL},
    {"without a type", NULL, "POST", "/api/v1/generate", NULL,
     " {\"model\":\"test/one\",\"prompt\":\"a cat\"}", 200, "https://cdn.test/1.png", NULL},
    {"unknown fields are ignored", NULL, "POST", "/api/v1/generate", JSON,
     "{\"model\":\"test/one\",\"prompt\":\"a "
     "cat\",\"colour\":[{}],\"webhookUrl\":\"https://a.test\","
     "\"asynchronous\":true}",
     200, "https://cdn.test/1.png", NULL},
    {"three pictures", NULL, "POST", "/api/v1/generate", JSON,
     "{\"model\":\"test/one\",\"prompt\":\"a cat\",\"n\":3}", 200,
     "{\"url\":\"https://cdn.test/1.png\",\"images\":[{\"url\":\"https://cdn.test/1.png\"},"
     "{\"url\":\"https://cdn.test/1.png\"},{\"url\":\"https://cdn.test/1.png\"}],\"width\"",
     NULL},
    {"two long ones", NULL, "POST", "/api/v1/generate", JSON,
     "{\"model\":\"test/one\",\"prompt\":\"long\",\"n\":2}", 200, "AAAAAA\"}],\"width\":", NULL},
    {"two that fail", NULL, "POST", "/api/v1/generate", JSON,
     "{\"model\":\"test/one\",\"prompt\":\"fail ECONTENT\",\"n\":2}", 422, "the provider's reason",
     NULL},
    {"a job", NULL, "POST", "/api/v1/generate", JSON "\nPrefer: respond-async",
     "{\"model\":\"test/one\",\"prompt\":\"wait\"}", 202, "\"status\":\"processing\"}",
     "Location: /api/v1/task-status?taskId="},
    {"a job by its body", NULL, "POST", "/api/v1/text", JSON,
     "{\"model\":\"test/one\",\"prompt\":\"a\",\"async\":true,\"stream\":true}", 202,
     "{\"taskId\":\"", NULL},
    {"a job that is waited for", NULL, "POST", "/api/v1/generate",
     JSON "\nPrefer: handling=lenient, Wait=5, Respond-Async",
     "{\"model\":\"test/one\",\"prompt\":\"wait\"}", 200, "https://cdn.test/1.png", NULL},
    {"a job that is not waited for so long", NULL, "POST", "/api/v1/generate",
     JSON "\nPrefer: wait=0, respond-async", "{\"model\":\"test/one\",\"prompt\":\"wait\"}", 202,
     "\"taskId\"", NULL},
    {"a job that makes no sense", NULL, "POST", "/api/v1/generate", JSON "\nPrefer: respond-async",
     "{\"model\":\"test/one\"}", 400, "prompt", NULL},
    {"a webhook that is none", NULL, "POST", "/api/v1/video", JSON,
     "{\"model\":\"test/one\",\"prompt\":\"a\",\"webhookUrl\":\"ftp://a.test/\"}", 400,
     "webhookUrl must be", NULL},
    {"a webhook at home", NULL, "POST", "/api/v1/video", JSON,
     "{\"model\":\"test/one\",\"prompt\":\"a\",\"webhookUrl\":\"http://[::1]/x\"}", 400,
     "webhookUrl is not a public address", NULL},
    {"a webhook at home that may be", "ALLOW_PRIVATE_HOSTS=localhost", "POST", "/api/v1/video",
     JSON, "{\"model\":\"test/one\",\"prompt\":\"a\",\"webhookUrl\":\"http://LOCALHOST:1/x\"}", 200,
     "\"taskId\"", NULL},
    {"a cancel of an unknown task", NULL, "DELETE", "/api/v1/task-status?taskId=x", NULL, NULL, 404,
     "\"status\":\"error\"", NULL},
    {"a text in pieces", NULL, "POST", "/api/v1/text", JSON "\nAccept: text/event-stream",
     "{\"model\":\"test/one\",\"prompt\":\"a cat\",\"stream\":true}", 200,
     "=data: {\"choices\":[{\"delta\":{\"content\":\"better: a cat\"}}]}\n\ndata: [DONE]\n\n",
     "Content-Type: text/event-stream\n"},
    {"by a form", NULL, "POST", "/api/v1/generate", FORM,
     PART("model", "test/one") PART("prompt", "a cat") PART("seed", "7") PART("steps", "")
         PART("enableHD", "false") PARTS_END,
     200, "\"seed\":7", NULL},
    {"edit by a form", NULL, "POST", "/api/v1/edit", FORM,
     PART("model", "test/one") FILE_PART("image", "GIF89a") PART("prompt", "a hat")
         FILE_PART("image", "GIF89ab") PART("seed", "5") PARTS_END,
     200, "{\"url\":\"https://cdn.test/edited/6-GIF/7-GIF\",\"seed\":5", LIMITED},
    {"edit with an address in a form", NULL, "POST", "/api/v1/edit", FORM,
     PART("model", "test/one") PART("prompt", "a hat")
         PART("image", "data:image/gif;base64,R0lGODlh") PARTS_END,
     200, "https://cdn.test/edited/6-GIF", NULL},
    {"edit with JSON", NULL, "POST", "/api/v1/edit", JSON,
     "{\"model\":\"test/one\",\"prompt\":\"a hat\",\"image\":\"data:image/gif;base64,R0lGODlh\"}",
     200, "https://cdn.test/edited/6-GIF", NULL},
    {"edit without a picture", NULL, "POST", "/api/v1/edit", FORM,
     PART("model", "test/one") PART("prompt", "a hat") PARTS_END, 400,
     ERROR("Invalid parameters", "image is required", "EINVAL"), LIMITED},
    {"edit with no picture in the file", NULL, "POST", "/api/v1/edit", FORM,
     PART("model", "test/one") PART("prompt", "a hat") FILE_PART("image", "hello") PARTS_END, 400,
     "{\"error\":\"Invalid parameters\",\"message\":\"image: ", NULL},
    {"text", NULL, "POST", "/api/v1/text", JSON, "{\"model\":\"test/one\",\"prompt\":\"a cat\"}",
     200, "={\"text\":\"better: a cat\",\"usage\":{\"total_tokens\":3}}", LIMITED},
    {"video", NULL, "POST", "/api/v1/video", JSON, "{\"model\":\"test/one\",\"prompt\":\"a cat\"}",
     200, "\"predict\":120}", LIMITED},
    {"upscaler", NULL, "POST", "/api/v1/upscaler", JSON,
     "{\"model\":\"test/up\",\"imageUrl\":\"data:image/gif;base64,R0lGODlh\"}", 200,
     "={\"url\":\"https://cdn.test/edited/6-GIF\"}", LIMITED},
    {"no model", NULL, "POST", "/api/v1/generate", JSON, "{\"prompt\":\"a cat\"}", 400,
     "{\"error\":\"Invalid parameters\",", LIMITED},
    {"an empty model", NULL, "POST", "/api/v1/generate", JSON,
     "{\"model\":\"\",\"prompt\":\"a cat\"}", 400, "{\"error\":\"Invalid parameters\",", NULL},
    {"no prompt", NULL, "POST", "/api/v1/generate", JSON, "{\"model\":\"test/one\"}", 400,
     ERROR("Invalid parameters", "prompt is required", "EINVAL"), NULL},
    {"an unknown provider", NULL, "POST", "/api/v1/generate", JSON,
     "{\"model\":\"nobody/one\",\"prompt\":\"a cat\"}", 400,
     "{\"error\":\"Invalid provider\",\"message\":\"Provider 'nobody' is not supported. Available "
     "providers: ",
     NULL},
    {"an action that the provider lacks", NULL, "POST", "/api/v1/edit", JSON,
     "{\"model\":\"needy/one\",\"prompt\":\"x\",\"image\":\"data:image/gif;base64,R0lGODlh\"}", 400,
     "\"code\":\"IMAGINE_EACTION\"", NULL},
    {"not JSON", NULL, "POST", "/api/v1/generate", JSON, "{\"model\":", 400,
     "{\"error\":\"Invalid parameters\",\"message\":\"the body is not valid JSON", NULL},
    {"no object", NULL, "POST", "/api/v1/generate", JSON, "[]", 400,
     "{\"error\":\"Invalid parameters\",", NULL},
    {"nothing", NULL, "POST", "/api/v1/generate", JSON "\nContent-Length: 0", NULL, 400,
     "{\"error\":\"Invalid parameters\",", LIMITED},
    {"steps out of bounds", NULL, "POST", "/api/v1/generate", JSON,
     "{\"model\":\"test/one\",\"prompt\":\"a cat\",\"steps\":1001}", 400, "\"message\":\"steps ",
     NULL},
    {"steps of a form that are no number", NULL, "POST", "/api/v1/generate", FORM,
     PART("model", "test/one") PART("prompt", "a cat") PART("steps", "many") PARTS_END, 400,
     "\"message\":\"steps ", NULL},
    {"width out of bounds", NULL, "POST", "/api/v1/generate", JSON,
     "{\"model\":\"test/one\",\"prompt\":\"a cat\",\"width\":15}", 400, "\"message\":\"width ",
     NULL},
    {"a token is required", NULL, "POST", "/api/v1/generate", JSON,
     "{\"model\":\"needy/one\",\"prompt\":\"a cat\"}", 503,
     ERROR("error_needy_token_required", "error_needy_token_required", "ENOTOKEN"),
     LIMITED "\n!Retry-After"},
    {"every token is exhausted", "NEEDY_TOKENS=x", "POST", "/api/v1/generate", JSON,
     "{\"model\":\"needy/one\",\"prompt\":\"fail EQUOTA\"}", 429,
     ERROR("error_needy_token_exhausted", "error_needy_token_exhausted", "EEXHAUSTED"),
     LIMITED "\nRetry-After: "},
    {"the provider failed", NULL, "POST", "/api/v1/generate", JSON,
     "{\"model\":\"test/one\",\"prompt\":\"fail EUPSTREAM\"}", 502,
     ERROR("the provider failed", "the provider's reason", "EUPSTREAM"), "!Retry-After"},
    {"the provider refused the content", NULL, "POST", "/api/v1/generate", JSON,
     "{\"model\":\"test/one\",\"prompt\":\"fail ECONTENT\"}", 422,
     ERROR("the provider refused the content", "the provider's reason", "ECONTENT"), NULL},
    {"the provider refused the request", NULL, "POST", "/api/v1/generate", JSON,
     "{\"model\":\"test/one\",\"prompt\":\"fail EREJECTED\"}", 400,
     "\"message\":\"the provider's reason\",\"code\":\"IMAGINE_EREJECTED\"", NULL},
    {"the provider answered nonsense", NULL, "POST", "/api/v1/generate", JSON,
     "{\"model\":\"test/one\",\"prompt\":\"fail EPROTOCOL\"}", 502,
     "\"code\":\"IMAGINE_EPROTOCOL\"", NULL},
    {"it took too long", NULL, "POST", "/api/v1/generate", JSON,
     "{\"model\":\"test/one\",\"prompt\":\"fail ETIMEDOUT\"}", 504,
     "\"code\":\"IMAGINE_ETIMEDOUT\"", NULL},
    {"a status of nothing", NULL, "GET", "/api/v1/task-status", NULL, NULL, 400,
     "{\"error\":\"taskId is required\",",
     "X-RateLimit-Limit: 120\nX-RateLimit-Remaining: 119\nX-RateLimit-Reset: 1767888060000"},
    {"a status of an empty id", NULL, "GET", "/api/v1/task-status?taskId=&x=1", NULL, NULL, 400,
     "{\"error\":\"taskId is required\",", NULL},
    {"a status of an unknown id", NULL, "GET", "/api/v1/task-status?taskId=a%2Fb", NULL, NULL, 404,
     "{\"status\":\"error\",\"message\":\"", NULL},
    {"a status of a broken id", NULL, "GET", "/api/v1/task-status?taskId=a%2", NULL, NULL, 400,
     "broken percent-escape", NULL},
    {"a status of a NUL", NULL, "GET", "/api/v1/task-status?taskId=a%00b", NULL, NULL, 400,
     "broken percent-escape", NULL},
    {"HEAD of a status", NULL, "HEAD", "/api/v1/task-status?taskId=x", NULL, NULL, 404, "=",
     "Content-Type: application/json"},
};

START_TEST(actions_and_their_answers) {
    check_case(&action_cases[_i]);
}
END_TEST

/* ---- refusals ----------------------------------------------------------------------------------
 */

#define CAT "{\"model\":\"test/one\",\"prompt\":\"a cat\"}"

static const struct {
    exchange_case_t row;
    bool wants_close;
} refusal_cases[] = {
    {{"other type", NULL, "POST", "/api/v1/generate", "Content-Type: text/plain", CAT, 415,
      "{\"error\":\"Unsupported Media Type\",", LIMITED},
     true},
    {{"no type and no object", NULL, "POST", "/api/v1/generate", NULL, "model=test/one", 415,
      "{\"error\":\"Unsupported Media Type\",", LIMITED},
     true},
    {{"two byte order marks", NULL, "POST", "/api/v1/generate", JSON,
      "\xef\xbb\xbf\xef\xbb\xbf" CAT, 400,
      "{\"error\":\"Invalid parameters\",\"message\":\"the body is not valid JSON", LIMITED},
     false},
    {{"a compressed body", NULL, "POST", "/api/v1/generate", JSON "\nContent-Encoding: GZIP",
      "\x1f\x8b", 415, "{\"error\":\"Unsupported Media Type\",\"message\":\"a compressed body",
      LIMITED},
     true},
    {{"a form without boundary", NULL, "POST", "/api/v1/edit", "Content-Type: multipart/form-data",
      CAT, 400, "{\"error\":\"Invalid parameters\",", LIMITED},
     true},
    {{"a body that is too long", "MAX_BODY_BYTES=1024", "POST", "/api/v1/generate",
      JSON "\nContent-Length: 1025", NULL, 413, "{\"error\":\"Payload Too Large\",", LIMITED},
     true},
    {{"JSON that is too long", NULL, "POST", "/api/v1/generate", JSON "\nContent-Length: 33554433",
      NULL, 413, "{\"error\":\"Payload Too Large\",", LIMITED},
     true},
    {{"a form that is too long", NULL, "POST", "/api/v1/edit", FORM "\nContent-Length: 67108865",
      NULL, 413, "{\"error\":\"Payload Too Large\",", LIMITED},
     true},
    {{"a body of a GET that is too long", "MAX_BODY_BYTES=1024", "GET", "/api/health",
      "Content-Length: 1025", NULL, 413, "{\"error\":\"Payload Too Large\",", NULL},
     true},
    {{"two lengths", NULL, "POST", "/api/v1/generate",
      JSON "\nContent-Length: 2\nContent-Length: 3", NULL, 400, "{\"error\":\"Bad Request\",",
      "Access-Control-Allow-Origin: *"},
     true},
    {{"a length and chunks", NULL, "POST", "/api/v1/generate",
      JSON "\nContent-Length: 2\nTransfer-Encoding: chunked", NULL, 400,
      "{\"error\":\"Bad Request\",", NULL},
     true},
    {{"a broken form", NULL, "POST", "/api/v1/edit", FORM, "hello", 400,
      "{\"error\":\"Invalid parameters\",", LIMITED},
     false},
    {{"a wrong token keeps the connection", TOKENS, "POST", "/api/v1/generate", JSON, CAT, 401,
      "Missing Authorization header", NULL},
     false},
    {{"but not for a long body", TOKENS, "POST", "/api/v1/generate",
      JSON "\nContent-Length: 100000", NULL, 401, "Missing Authorization header", NULL},
     true},
    {{"nor for one of unknown length", TOKENS, "POST", "/api/v1/generate",
      JSON "\nTransfer-Encoding: chunked", NULL, 401, "Missing Authorization header", NULL},
     true},
    {{"chunks", NULL, "POST", "/api/v1/generate", JSON "\nTransfer-Encoding: chunked", CAT, 200,
      "https://cdn.test/1.png", NULL},
     false},
    {{"an ordinary answer", NULL, "POST", "/api/v1/generate", JSON, CAT, 200,
      "https://cdn.test/1.png", NULL},
     false},
};

START_TEST(a_refusal_closes_the_connection_where_it_must) {
    check_case(&refusal_cases[_i].row);
    ck_assert_msg(visit.wants_close == refusal_cases[_i].wants_close, "%s: %d",
                  refusal_cases[_i].row.name, visit.wants_close);
}
END_TEST

START_TEST(targets_and_heads_have_bounds) {
    static char target[9000], header[17000];
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    memset(target, 'x', 8193);
    target[0] = '/';
    visit_make(&visit, &host, "GET", target, NULL, NULL);
    ck_assert_int_eq(visit.status, 414);
    ck_assert_int_eq(visit.wants_close, 1);
    target[8192] = '\0';
    visit_make(&visit, &host, "GET", target, NULL, NULL);
    ck_assert_int_eq(visit.status, 404);
    memset(header, 'x', sizeof(header) - 1);
    memcpy(header, "X: ", 3);
    memset(&visit, 0, sizeof(visit));
    ck_assert_int_eq(visit_begin(&visit, &host, "GET", "/api/health", header), 0);
    ck_assert_int_eq(visit.status, 431);
    ck_assert_int_eq(visit.wants_close, 1);
    visit_release(&visit);
    gateway_host_close(&host);
}
END_TEST

START_TEST(a_body_may_grow_only_so_far) {
    static const char page[1000] = "{\"prompt\":\"";
    ck_assert_int_eq(gateway_host_open(&host, NULL, "MAX_BODY_BYTES=2000"), 0);
    memset(&visit, 0, sizeof(visit));
    ck_assert_int_eq(
        visit_begin(&visit, &host, "POST", "/api/v1/generate", JSON "\nTransfer-Encoding: chunked"),
        0);
    imagine_gateway_body(visit.exchange, page, sizeof(page));
    imagine_gateway_body(visit.exchange, page, sizeof(page));
    ck_assert_uint_eq(visit.head_count, 0);
    imagine_gateway_body(visit.exchange, page, 1);
    ck_assert_int_eq(visit.status, 413);
    ck_assert_int_eq(visit.wants_close, 1);
    ck_assert_uint_eq(visit.end_count, 1);
    imagine_gateway_body(visit.exchange, page, 1);
    imagine_gateway_finish(visit.exchange);
    visit_release(&visit);
    gateway_host_close(&host);
}
END_TEST

/* ---- limits ------------------------------------------------------------------------------------
 */

START_TEST(callers_have_a_number_of_posts_a_minute) {
    char text[512];
    ck_assert_int_eq(gateway_host_open(&host, NULL, "RATE_LIMIT=2;API_TOKEN=u,v"), 0);
    for (int i = 0; i < 2; i++) {
        visit_make(&visit, &host, "POST", "/api/v1/generate", JSON "\n" USER, CAT);
        ck_assert_int_eq(visit.status, 200);
        ck_assert_str_eq(find_header("X-RateLimit-Remaining", text), i == 0 ? "1" : "0");
    }
    virtual_io_advance(host.virtual, 18500);
    visit_make(&visit, &host, "POST", "/api/v1/text", JSON "\n" USER "\n" ELSEWHERE, CAT);
    ck_assert_int_eq(visit.status, 429);
    hide_id();
    ck_assert_msg(strncmp(visit.body, "{\"error\":\"Too Many Requests\",\"message\":\"", 39) == 0,
                  "%s", visit.body);
    ck_assert_str_eq(find_header("Retry-After", text), "42");
    ck_assert_str_eq(find_header("X-RateLimit-Limit", text), "2");
    ck_assert_str_eq(find_header("X-RateLimit-Remaining", text), "0");
    ck_assert_str_eq(find_header("X-RateLimit-Reset", text), "1767888060000");
    ck_assert_ptr_nonnull(find_header("Access-Control-Allow-Origin", text));
    visit_make(&visit, &host, "POST", "/api/v1/text", JSON "\nAuthorization: Bearer v", CAT);
    ck_assert_msg(visit.status == 200, "the other token is another caller");
    visit_make(&visit, &host, "GET", "/api/v1/task-status?taskId=1", USER, NULL);
    ck_assert_msg(visit.status == 404, "status reads are counted apart");
    virtual_io_advance(host.virtual, 41500);
    visit_make(&visit, &host, "POST", "/api/v1/text", JSON "\n" USER, CAT);
    ck_assert_msg(visit.status == 200, "a new minute");
    gateway_host_close(&host);
}
END_TEST

START_TEST(without_tokens_an_address_is_a_caller) {
    ck_assert_int_eq(gateway_host_open(&host, NULL, "RATE_LIMIT=1;TRUSTED_PROXIES=10.0.0.0/8"), 0);
    visit_make(&visit, &host, "POST", "/api/v1/generate", JSON "\npeer: 192.0.2.1", CAT);
    ck_assert_int_eq(visit.status, 200);
    visit_make(&visit, &host, "POST", "/api/v1/generate",
               JSON "\npeer: 192.0.2.1\nX-Forwarded-For: 192.0.2.7\nAuthorization: Bearer new",
               CAT);
    ck_assert_msg(visit.status == 429, "a header or a token of one's own making changes nothing");
    visit_make(&visit, &host, "POST", "/api/v1/generate",
               JSON "\npeer: 10.1.1.1\nX-Forwarded-For: 192.0.2.7", CAT);
    ck_assert_msg(visit.status == 200, "a trusted proxy's word counts");
    visit_make(&visit, &host, "POST", "/api/v1/generate",
               JSON "\npeer: 10.1.1.2\nX-Forwarded-For: 192.0.2.1", CAT);
    ck_assert_msg(visit.status == 429, "the same caller behind a proxy");
    gateway_host_close(&host);
}
END_TEST

START_TEST(zero_turns_a_limit_off) {
    char text[512];
    ck_assert_int_eq(gateway_host_open(&host, NULL, "RATE_LIMIT=0"), 0);
    for (int i = 0; i < 100; i++) {
        visit_make(&visit, &host, "POST", "/api/v1/generate", JSON, CAT);
        ck_assert_int_eq(visit.status, 200);
        ck_assert_ptr_null(find_header("X-RateLimit-Limit", text));
    }
    gateway_host_close(&host);
}
END_TEST

#define WAIT "{\"model\":\"test/one\",\"prompt\":\"wait\"}"

static void begin_wait(visit_t *waiting) {
    char lines[128];
    memset(waiting, 0, sizeof(*waiting));
    (void)snprintf(lines, sizeof(lines), JSON "\nContent-Length: %zu", strlen(WAIT));
    ck_assert_int_eq(visit_begin(waiting, &host, "POST", "/api/v1/generate", lines), 0);
    visit_send(waiting, WAIT, strlen(WAIT), 0);
}

START_TEST(so_much_work_is_taken_on_at_once) {
    static visit_t first, second;
    char text[512];
    ck_assert_int_eq(gateway_host_open(&host, NULL, "MAX_IN_FLIGHT=2"), 0);
    begin_wait(&first);
    begin_wait(&second);
    ck_assert_uint_eq(imagine_gateway_in_flight(host.gateway), 2);
    visit_make(&visit, &host, "POST", "/api/v1/generate", JSON, CAT);
    ck_assert_int_eq(visit.status, 503);
    ck_assert_str_eq(find_header("Retry-After", text), "1");
    ck_assert_ptr_nonnull(strstr(visit.body, "IMAGINE_EBUSY"));
    visit_make(&visit, &host, "GET", "/api/health", NULL, NULL);
    ck_assert_int_eq(visit.status, 200);
    visit_wait(&first);
    visit_release(&first);
    visit_make(&visit, &host, "POST", "/api/v1/generate", JSON, CAT);
    ck_assert_int_eq(visit.status, 200);
    visit_wait(&second);
    visit_release(&second);
    gateway_host_close(&host);
}
END_TEST

START_TEST(gateways_that_joined_take_on_so_much_work_together) {
    static visit_t first;
    gateway_host_t other;
    ck_assert_int_eq(gateway_host_open(&host, NULL, "MAX_IN_FLIGHT=1"), 0);
    ck_assert_int_eq(gateway_host_open(&other, NULL, "MAX_IN_FLIGHT=1"), 0);
    ck_assert_int_eq(imagine_gateway_join(other.gateway, host.gateway), 0);
    begin_wait(&first);
    visit_make(&visit, &other, "POST", "/api/v1/generate", JSON, CAT);
    ck_assert_int_eq(visit.status, 503);
    visit_wait(&first);
    visit_release(&first);
    visit_make(&visit, &other, "POST", "/api/v1/generate", JSON, CAT);
    ck_assert_int_eq(visit.status, 200);
    gateway_host_close(&host);
    gateway_host_close(&other);
}
END_TEST

static const struct {
    uint64_t delay_ms;
    const char *seconds;
} retry_cases[] = {{0, "1"}, {1, "1"}, {1000, "1"}, {1001, "2"}, {28800000, "28800"}};

START_TEST(a_delay_is_told_in_whole_seconds_that_are_enough) {
    static imagine_exchange_t exchange;
    exchange.answer.header_count = 0;
    imi_answer_retry_after(&exchange, retry_cases[_i].delay_ms);
    ck_assert_uint_eq(exchange.answer.header_count, 1);
    ck_assert_str_eq(exchange.headers[0].name, "Retry-After");
    ck_assert_str_eq(exchange.headers[0].value, retry_cases[_i].seconds);
}
END_TEST

START_TEST(a_draining_gateway_ends_what_it_began) {
    static visit_t waiting;
    char text[512];
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    begin_wait(&waiting);
    imagine_gateway_drain(host.gateway);
    visit_make(&visit, &host, "POST", "/api/v1/generate", JSON, CAT);
    ck_assert_int_eq(visit.status, 503);
    ck_assert_int_eq(visit.wants_close, 1);
    ck_assert_ptr_nonnull(strstr(visit.body, "IMAGINE_ECLOSED"));
    ck_assert_ptr_nonnull(find_header("Retry-After", text));
    visit_make(&visit, &host, "GET", "/api/health", NULL, NULL);
    ck_assert_int_eq(visit.status, 503);
    ck_assert_ptr_nonnull(strstr(visit.body, "{\"status\":\"draining\","));
    visit_wait(&waiting);
    ck_assert_int_eq(waiting.status, 200);
    ck_assert_int_eq(waiting.wants_close, 1);
    visit_release(&waiting);
    gateway_host_close(&host);
}
END_TEST

/* ---- time --------------------------------------------------------------------------------------
 */

START_TEST(a_body_has_thirty_seconds) {
    static visit_t early, late, whole;
    const char *lines = JSON "\nContent-Length: 100";
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    ck_assert_int_eq(visit_begin(&early, &host, "POST", "/api/v1/generate", lines), 0);
    ck_assert_int_eq(visit_begin(&whole, &host, "POST", "/api/v1/generate", lines), 0);
    virtual_io_advance(host.virtual, 10000);
    ck_assert_int_eq(visit_begin(&late, &host, "POST", "/api/v1/generate", lines), 0);
    imagine_gateway_body(early.exchange, "{", 1);
    visit_send(&whole, CAT, strlen(CAT), 0);
    virtual_io_advance(host.virtual, 19999);
    ck_assert_uint_eq(early.head_count, 0);
    ck_assert_int_eq(whole.status, 200);
    virtual_io_advance(host.virtual, 1);
    ck_assert_int_eq(early.status, 408);
    ck_assert_int_eq(early.wants_close, 1);
    ck_assert_ptr_nonnull(strstr(early.body, "{\"error\":\"Request Timeout\","));
    ck_assert_uint_eq(late.head_count, 0);
    virtual_io_advance(host.virtual, 10000);
    ck_assert_int_eq(late.status, 408);
    ck_assert_uint_eq(virtual_io_timer_count(host.virtual), 0);
    visit_release(&early);
    visit_release(&late);
    visit_release(&whole);
    gateway_host_close(&host);
}
END_TEST

START_TEST(a_body_that_came_in_time_is_late_no_more) {
    char lines[128];
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    memset(&visit, 0, sizeof(visit));
    (void)snprintf(lines, sizeof(lines), JSON "\nContent-Length: %zu", strlen(WAIT));
    ck_assert_int_eq(visit_begin(&visit, &host, "POST", "/api/v1/generate", lines), 0);
    virtual_io_advance(host.virtual, 29500);
    visit_send(&visit, WAIT, strlen(WAIT), 0);
    virtual_io_advance(host.virtual, 600);
    ck_assert_uint_eq(visit.head_count, 0);
    virtual_io_advance(host.virtual, 400);
    ck_assert_int_eq(visit.status, 200);
    visit_release(&visit);
    gateway_host_close(&host);
}
END_TEST

START_TEST(the_body_of_a_get_has_them_too) {
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    memset(&visit, 0, sizeof(visit));
    ck_assert_int_eq(visit_begin(&visit, &host, "GET", "/api/health", "Content-Length: 5"), 0);
    virtual_io_advance(host.virtual, 30000);
    ck_assert_int_eq(visit.status, 408);
    visit_release(&visit);
    gateway_host_close(&host);
}
END_TEST

START_TEST(a_gateway_closes_while_its_timer_runs) {
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    visit_make(&visit, &host, "POST", "/api/v1/generate", JSON, CAT);
    ck_assert_uint_eq(virtual_io_timer_count(host.virtual), 1);
    gateway_host_close(&host); /* complains about a timer that is left */
}
END_TEST

START_TEST(every_split_of_a_body_is_the_same_request) {
    static const char body[] = PART("model", "test/one") FILE_PART("image", "GIF89a")
        PART("prompt", "a hat") PART("seed", "5") PARTS_END;
    static const char json[] = "{\"model\":\"test/one\",\"prompt\":\"a hat\",\"seed\":5,"
                               "\"image\":\"data:image/gif;base64,R0lGODlh\"}";
    ck_assert_int_eq(gateway_host_open(&host, NULL, "RATE_LIMIT=0"), 0);
    for (int is_json = 0; is_json < 2; is_json++) {
        const char *text = is_json ? json : body;
        size_t size = strlen(text);
        for (size_t step = 1; step <= size; step++) {
            memset(&visit, 0, sizeof(visit));
            ck_assert_int_eq(visit_begin(&visit, &host, "POST", "/api/v1/edit",
                                         is_json ? JSON "\nTransfer-Encoding: chunked"
                                                 : FORM "\nTransfer-Encoding: chunked"),
                             0);
            visit_send(&visit, text, size, step);
            visit_wait(&visit);
            ck_assert_msg(visit.status == 200, "%s", visit.body);
            ck_assert_ptr_nonnull(strstr(visit.body, "edited/6-GIF\",\"seed\":5"));
            visit_release(&visit);
        }
    }
    gateway_host_close(&host);
}
END_TEST

/* As over HTTP/2, where nothing but the end of the stream tells the end of the body. */
START_TEST(a_body_without_length_or_chunks_ends_with_finish) {
    static const char text[] = "{\"model\":\"test/one\",\"prompt\":\"a cat\"}";
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    for (size_t step = 0; step < 3; step++) {
        memset(&visit, 0, sizeof(visit));
        ck_assert_int_eq(visit_begin(&visit, &host, "POST", "/api/v1/generate", JSON), 0);
        ck_assert_uint_eq(visit.head_count, 0);
        visit_send(&visit, text, strlen(text), step);
        visit_wait(&visit);
        ck_assert_msg(visit.status == 200, "%s", visit.body);
        visit_release(&visit);
    }
    memset(&visit, 0, sizeof(visit));
    ck_assert_int_eq(visit_begin(&visit, &host, "POST", "/api/v1/generate", JSON), 0);
    virtual_io_advance(host.virtual, 31000); /* one that never ends is late, like any other */
    ck_assert_int_eq(visit.status, 408);
    visit_release(&visit);
    gateway_host_close(&host);
}
END_TEST

/* ---- tasks and the breaker ---------------------------------------------------------------------
 */

START_TEST(a_video_is_asked_for_and_found) {
    char target[256], id[128];
    const char *at;
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    visit_make(&visit, &host, "POST", "/api/v1/video", JSON, CAT);
    ck_assert_int_eq(visit.status, 200);
    at = strstr(visit.body, "{\"taskId\":\"");
    ck_assert_ptr_nonnull(at);
    (void)snprintf(id, sizeof(id), "%.*s", (int)strcspn(at + 11, "\""), at + 11);
    (void)snprintf(target, sizeof(target), "/api/v1/task-status?taskId=%%%02x%s", id[0], id + 1);
    visit_make(&visit, &host, "GET", target, NULL, NULL);
    ck_assert_int_eq(visit.status, 200);
    ck_assert_str_eq(visit.body, "{\"status\":\"processing\"}");
    virtual_io_advance(host.virtual, 6000);
    visit_make(&visit, &host, "GET", target, NULL, NULL);
    ck_assert_str_eq(visit.body, "{\"status\":\"success\",\"url\":\"https://cdn.test/1.png\"}");
    gateway_host_close(&host);
}
END_TEST

START_TEST(an_open_breaker_is_told_with_the_time_to_wait) {
    char text[512];
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    for (int i = 0; i < 5; i++)
        visit_make(&visit, &host, "POST", "/api/v1/generate", JSON,
                   "{\"model\":\"test/one\",\"prompt\":\"fail EUPSTREAM\"}");
    visit_make(&visit, &host, "POST", "/api/v1/generate", JSON, CAT);
    hide_id();
    ck_assert_int_eq(visit.status, 503);
    ck_assert_str_eq(visit.body, "{\"error\":\"Circuit breaker is OPEN for provider: test\","
                                 "\"message\":\"Circuit breaker is OPEN for provider: test\","
                                 "\"code\":\"IMAGINE_EBREAKER\",\"requestId\":\"ID\"}");
    ck_assert_str_eq(find_header("Retry-After", text), "60");
    visit_make(&visit, &host, "POST", "/api/v1/token-reset", JSON, "{\"provider\":\"test\"}");
    ck_assert_int_eq(visit.status, 200);
    visit_make(&visit, &host, "POST", "/api/v1/generate", JSON, CAT);
    ck_assert_int_eq(visit.status, 200);
    gateway_host_close(&host);
}
END_TEST

START_TEST(an_exhausted_token_is_told_with_its_recovery) {
    char text[512];
    ck_assert_int_eq(gateway_host_open(&host, NULL, "NEEDY_TOKENS=x"), 0);
    visit_make(&visit, &host, "POST", "/api/v1/generate", JSON,
               "{\"model\":\"needy/one\",\"prompt\":\"fail EQUOTA\"}");
    ck_assert_int_eq(visit.status, 429);
    /* Without a rule of its own a provider's day ends at midnight UTC, 8 hours from the clock's
     * birth. */
    ck_assert_str_eq(find_header("Retry-After", text), "28800");
    visit_make(&visit, &host, "GET", "/api/v1/token-stats?provider=needy", NULL, NULL);
    ck_assert_str_eq(visit.body,
                     "{\"total\":1,\"exhausted\":1,\"active\":0,\"cooling\":0,\"invalid\":0}");
    gateway_host_close(&host);
}
END_TEST

/* ---- leaving -----------------------------------------------------------------------------------
 */

START_TEST(a_caller_that_leaves_cancels_its_work) {
    imagine_counters_t counters = {.size = sizeof(counters)};
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    begin_wait(&visit);
    imagine_gateway_abort(visit.exchange);
    imagine_gateway_abort(visit.exchange);
    imagine_gateway_finish(visit.exchange);
    imagine_gateway_body(visit.exchange, "x", 1);
    visit_release(&visit);
    ck_assert_uint_eq(imagine_gateway_in_flight(host.gateway), 0);
    virtual_io_advance(host.virtual, 5000);
    ck_assert_uint_eq(visit.head_count + visit.end_count, 0);
    ck_assert_int_eq(imagine_counters(host.im, &counters), 0);
    ck_assert_uint_eq(counters.canceled, 1);
    ck_assert_ptr_nonnull(strstr(virtual_io_log(host.virtual), " status=499 "));
    gateway_host_close(&host);
}
END_TEST

START_TEST(work_that_was_paid_for_is_found_by_the_id_of_the_request_whose_caller_left) {
    static const char body[] = "{\"model\":\"test/one\",\"prompt\":\"paid\"}";
    char lines[128], target[128], id[17];
    const char *line;
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    memset(&visit, 0, sizeof(visit));
    (void)snprintf(lines, sizeof(lines), JSON "\nContent-Length: %zu", strlen(body));
    ck_assert_int_eq(visit_begin(&visit, &host, "POST", "/api/v1/generate", lines), 0);
    visit_send(&visit, body, strlen(body), 0);
    imagine_gateway_abort(visit.exchange);
    visit_release(&visit);
    line = strstr(virtual_io_log(host.virtual), "request id=");
    ck_assert_ptr_nonnull(line);
    ck_assert_ptr_nonnull(strstr(line, " status=499 "));
    memcpy(id, line + strlen("request id="), 16);
    id[16] = '\0';
    (void)snprintf(target, sizeof(target), "/api/v1/task-status?taskId=%s", id);
    visit_make(&visit, &host, "GET", target, NULL, NULL);
    ck_assert_str_eq(visit.body, "{\"status\":\"processing\"}");
    virtual_io_advance(host.virtual, 2000);
    visit_make(&visit, &host, "GET", target, NULL, NULL);
    ck_assert_str_eq(visit.body, "{\"status\":\"success\",\"url\":\"https://cdn.test/1.png\"}");
    gateway_host_close(&host);
}
END_TEST

START_TEST(a_caller_may_leave_at_any_moment) {
    static const char *const stages[] = {"head", "body", "finished", "answered"};
    for (size_t i = 0; i < COUNT(stages); i++) {
        ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
        memset(&visit, 0, sizeof(visit));
        ck_assert_int_eq(
            visit_begin(&visit, &host, "POST", "/api/v1/edit", FORM "\nTransfer-Encoding: chunked"),
            0);
        if (i >= 1)
            imagine_gateway_body(visit.exchange, FILE_PART("image", "GIF89a"), 60);
        if (i >= 2)
            imagine_gateway_finish(visit.exchange);
        if (i >= 3)
            visit_wait(&visit);
        if (i % 2 == 0)
            imagine_gateway_abort(visit.exchange);
        visit_release(&visit); /* without an abort it does the same */
        gateway_host_close(&host);
    }
}
END_TEST

START_TEST(a_host_may_let_go_inside_its_functions) {
    for (int i = 0; i < 3; i++) {
        for (int is_late = 0; is_late < 2; is_late++) {
            const char *body = is_late ? WAIT : "{}";
            char lines[128];
            ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
            memset(&visit, 0, sizeof(visit));
            visit.releases_in_head = i == 0;
            visit.releases_in_end = i == 1;
            visit.aborts_in_head = i == 2;
            (void)snprintf(lines, sizeof(lines), JSON "\nContent-Length: %zu", strlen(body));
            ck_assert_int_eq(visit_begin(&visit, &host, "POST", "/api/v1/generate", lines), 0);
            visit_send(&visit, body, strlen(body), 0);
            while (visit.head_count == 0)
                ck_assert(virtual_io_step(host.virtual));
            ck_assert_uint_eq(visit.end_count, i == 1);
            ck_assert_uint_eq(visit.body_size > 0, i == 1);
            visit_release(&visit);
            ck_assert_uint_eq(imagine_gateway_in_flight(host.gateway), 0);
            gateway_host_close(&host);
        }
    }
}
END_TEST

START_TEST(an_early_refusal_may_be_released_inside) {
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    memset(&visit, 0, sizeof(visit));
    visit.releases_in_end = true;
    ck_assert_int_eq(visit_begin(&visit, &host, "POST", "/api/nothing", "Content-Length: 5"), 0);
    ck_assert_int_eq(visit.status, 404);
    ck_assert_ptr_null(visit.exchange);
    ck_assert_uint_eq(imagine_gateway_in_flight(host.gateway), 0);
    gateway_host_close(&host);
}
END_TEST

START_TEST(a_long_result_is_handed_over_in_pieces) {
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    visit_make(&visit, &host, "POST", "/api/v1/generate", JSON,
               "{\"model\":\"test/one\",\"prompt\":\"long\",\"seed\":1}");
    ck_assert_int_eq(visit.status, 200);
    ck_assert_uint_gt(visit.body_size, 8000);
    ck_assert_mem_eq(visit.body, "{\"url\":\"data:image/png;base64,AAAA", 34);
    ck_assert_ptr_nonnull(strstr(visit.body, "A\",\"width\":1024,"));
    gateway_host_close(&host);
}
END_TEST

START_TEST(a_closing_client_answers_503) {
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    begin_wait(&visit);
    imagine_gateway_abort(visit.exchange);
    visit_release(&visit);
    imagine_close(host.im, NULL, NULL);
    visit_make(&visit, &host, "POST", "/api/v1/generate", JSON, CAT);
    ck_assert_int_eq(visit.status, 503);
    ck_assert_ptr_nonnull(strstr(visit.body, "IMAGINE_ECLOSED"));
    imagine_gateway_close(host.gateway);
    while (virtual_io_step(host.virtual))
        continue;
    virtual_io_close(host.virtual);
}
END_TEST

/* ---- files -------------------------------------------------------------------------------------
 */

static char root[] = "/tmp/imagine-web-XXXXXX";

static void make_root(void) {
    char path[64];
    FILE *file;
    memcpy(strchr(root, 'X'), "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(root));
    (void)snprintf(path, sizeof(path), "%s/index.html", root);
    file = fopen(path, "w");
    ck_assert_int_ge(fputs("<page>", file), 0);
    ck_assert_int_eq(fclose(file), 0);
    (void)snprintf(path, sizeof(path), "%s/page.js", root);
    file = fopen(path, "w");
    ck_assert_int_ge(fputs("js();", file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static void drop_root(void) {
    char command[64];
    (void)snprintf(command, sizeof(command), "rm -rf %s", root);
    ck_assert_int_eq(system(command), 0);
}

static const exchange_case_t file_cases[] = {
    {"the page", TOKENS, "GET", "/", ELSEWHERE, NULL, 200, "=<page>",
     "Content-Type: text/html; charset=utf-8\nCache-Control: no-cache\nETag: \"\n"
     "!Access-Control-Allow-Origin"},
    {"HEAD of the page", NULL, "HEAD", "/", NULL, NULL, 200, "=",
     "Content-Type: text/html; charset=utf-8\nETag: \""},
    {"a file", NULL, "GET", "/page.js?v=1", NULL, NULL, 200, "=js();",
     "Content-Type: text/javascript; charset=utf-8"},
    {"a place of the page's own", NULL, "GET", "/gallery/7",
     "Accept: text/html,*/*\nSec-Fetch-Mode: navigate", NULL, 200, "=<page>", NULL},
    {"an old browser", NULL, "GET", "/gallery/7", "Accept: text/html,*/*", NULL, 200, "=<page>",
     NULL},
    {"a script that is missing", NULL, "GET", "/missing.js", "Accept: */*\nSec-Fetch-Mode: no-cors",
     NULL, 404, ERROR("Not Found", "there is nothing at this path", "ENOTFOUND"), NULL},
    {"a page's request for a page", NULL, "GET", "/gallery/7",
     "Accept: text/html\nSec-Fetch-Mode: cors", NULL, 404, "Not Found", NULL},
    {"a browser below /api gets no page", NULL, "GET", "/api/nothing", "Accept: text/html", NULL,
     404, "Not Found", "Content-Type: application/json"},
    {"POST of a file", NULL, "POST", "/page.js", JSON, "{}", 405, "Method Not Allowed",
     "Allow: GET, HEAD\n"},
    {"POST of nothing", NULL, "POST", "/nothing", JSON, "{}", 404, "Not Found", "!Allow"},
    {"another version", NULL, "GET", "/page.js", "If-None-Match: \"0123\"", NULL, 200, "=js();",
     NULL},
    {"any version", NULL, "GET", "/page.js", "If-None-Match: *", NULL, 304, "=",
     "ETag: \"\nCache-Control: no-cache\n!Content-Type: text"},
    {"out of the root", NULL, "GET", "/../../etc/passwd", NULL, NULL, 404, "Not Found", NULL},
    {"out of the root, encoded", NULL, "GET", "/%2e%2e/%2e%2e/etc/passwd", NULL, NULL, 404,
     "Not Found", NULL},
};

START_TEST(files_below_the_root) {
    char settings[256];
    exchange_case_t row = file_cases[_i];
    (void)snprintf(settings, sizeof(settings), "WEB_ROOT=%s;%s", root,
                   row.settings != NULL ? row.settings : "");
    row.settings = settings;
    check_case(&row);
}
END_TEST

START_TEST(a_known_version_is_not_sent_again) {
    char settings[256], etag[512], line[600];
    (void)snprintf(settings, sizeof(settings), "WEB_ROOT=%s", root);
    ck_assert_int_eq(gateway_host_open(&host, NULL, settings), 0);
    visit_make(&visit, &host, "GET", "/page.js", NULL, NULL);
    ck_assert_ptr_nonnull(find_header("ETag", etag));
    (void)snprintf(line, sizeof(line), "If-None-Match: \"x\", W/%s", etag);
    visit_make(&visit, &host, "GET", "/page.js", line, NULL);
    ck_assert_int_eq(visit.status, 304);
    ck_assert_int_eq(visit.content_length, 0);
    visit_make(&visit, &host, "HEAD", "/page.js", NULL, NULL);
    ck_assert_int_eq(visit.content_length, 5);
    gateway_host_close(&host);
}
END_TEST

/* ---- log ---------------------------------------------------------------------------------------
 */

START_TEST(each_request_leaves_one_line_without_what_is_private) {
    const char *line;
    ck_assert_int_eq(gateway_host_open(&host, NULL, "NEEDY_TOKENS=x"), 0);
    virtual_io_log_clear(host.virtual);
    visit_make(&visit, &host, "POST", "/api/v1/imagine?private=query",
               JSON "\nAuthorization: Bearer private",
               "{\"model\":\"needy/one\",\"prompt\":\"wait\",\"x\":\"private\"}");
    line = virtual_io_log(host.virtual);
    ck_assert_ptr_nonnull(strstr(visit.headers, "X-Request-Id: "));
    ck_assert_msg(strncmp(line, "2 request id=", 13) == 0, "%s", line);
    ck_assert_mem_eq(line + 13, strstr(visit.headers, "X-Request-Id: ") + 14, 16);
    ck_assert_str_eq(line + 29, " method=POST path=/api/v1/imagine action=generate provider=needy "
                                "model=needy/one status=200 ms=1000 token=2d711642b726 "
                                "attempts=1\n");
    gateway_host_close(&host);
}
END_TEST

static const struct {
    const char *name, *settings, *method, *target, *body, *end;
} failure_cases[] = {
    {"a refusal of ours", NULL, "GET", "/api/v1/nothing", NULL,
     " error=IMAGINE_ENOTFOUND reason=\"there is nothing at this path\"\n"},
    {"no token", NULL, "POST", "/api/v1/generate", "{\"model\":\"needy/one\",\"prompt\":\"a cat\"}",
     " error=IMAGINE_ENOTOKEN reason=\"error_needy_token_required\"\n"},
    {"a parameter", NULL, "POST", "/api/v1/generate",
     "{\"model\":\"test/one\",\"prompt\":\"a cat\",\"steps\":0}",
     " error=IMAGINE_EINVAL reason=\"steps must be a whole number from 1 to 1000\"\n"},
    {"a model that may be anything", NULL, "POST", "/api/v1/generate",
     "{\"model\":\"private/one\",\"prompt\":\"a cat\"}",
     " error=IMAGINE_EPROVIDER reason=\"no such provider\"\n"},
    {"a caller without a token", "API_TOKEN=u", "GET", "/api/v1/models", NULL,
     " error=IMAGINE_ETOKEN reason=\"this route needs a token: send the header Authorization: "
     "Bearer <token>\"\n"},
};
#define FAILURE_CASE_COUNT ((int)(sizeof(failure_cases) / sizeof(failure_cases[0])))

START_TEST(the_line_of_a_failure_says_why) { /* _i walks failure_cases */
    const char *line;
    size_t size, end_size = strlen(failure_cases[_i].end);
    ck_assert_int_eq(gateway_host_open(&host, NULL, failure_cases[_i].settings), 0);
    virtual_io_log_clear(host.virtual);
    visit_make(&visit, &host, failure_cases[_i].method, failure_cases[_i].target, JSON,
               failure_cases[_i].body);
    line = virtual_io_log(host.virtual);
    size = strlen(line);
    ck_assert_msg(size > end_size && strcmp(line + size - end_size, failure_cases[_i].end) == 0,
                  "%s: %s", failure_cases[_i].name, line);
    ck_assert_ptr_null(strstr(line, "private"));
    gateway_host_close(&host);
}
END_TEST

START_TEST(a_line_below_the_level_in_force_is_not_wanted_and_not_written) {
    ck_assert_int_eq(gateway_host_open(&host, NULL, "LOG_LEVEL=warn"), 0);
    ck_assert_int_eq(imagine_log_wants(host.im, IMAGINE_LOG_WARN), 1);
    ck_assert_int_eq(imagine_log_wants(host.im, IMAGINE_LOG_INFO), 0);
    virtual_io_log_clear(host.virtual);
    visit_make(&visit, &host, "GET", "/api/health", NULL, NULL);
    ck_assert_int_eq(visit.status, 200);
    ck_assert_str_eq(virtual_io_log(host.virtual), "");
    gateway_host_close(&host);
}
END_TEST

START_TEST(what_strangers_write_cannot_forge_a_line) {
    static char target[2000];
    const char *line;
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    virtual_io_log_clear(host.virtual);
    visit_make(&visit, &host, "GE T\x1b", "/a b\"\\=\x1b[31m\xff/end", NULL, NULL);
    line = virtual_io_log(host.virtual);
    ck_assert_ptr_nonnull(
        strstr(line, " method=GE%20T%1B path=/a%20b%22%5C%3D%1B[31m%FF/end status=404 ms=0 "));
    memset(target, '\x01', sizeof(target) - 1);
    target[0] = '/';
    virtual_io_log_clear(host.virtual);
    visit_make(&visit, &host, "GET", target, NULL, NULL);
    ck_assert_uint_lt(strlen(line), 700);
    ck_assert_ptr_nonnull(strstr(line, "%01... status=404 ms=0 "));
    virtual_io_log_clear(host.virtual);
    visit_make(&visit, &host, "POST", "/api/v1/generate", JSON,
               "{\"model\":\"test/x y\\n=\\u001b\",\"prompt\":\"a cat\"}");
    ck_assert_msg(strchr(line, '\x1b') == NULL && strchr(line, '\n') == line + strlen(line) - 1,
                  "%s", line);
    gateway_host_close(&host);
}
END_TEST

START_TEST(ids_differ) {
    char first[512], second[512];
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    visit_make(&visit, &host, "GET", "/api/health", NULL, NULL);
    ck_assert_ptr_nonnull(find_header("X-Request-Id", first));
    visit_make(&visit, &host, "GET", "/api/health", NULL, NULL);
    ck_assert_ptr_nonnull(find_header("X-Request-Id", second));
    ck_assert_str_ne(first, second);
    gateway_host_close(&host);
}
END_TEST

/* ---- opening, and no memory --------------------------------------------------------------------
 */

static const struct {
    const char *name, *value, *message;
} bad_settings[] = {
    {"WEB_ROOT", "/nowhere/at/all", "WEB_ROOT: this directory cannot be read: /nowhere/at/all"},
};

START_TEST(a_setting_that_makes_no_sense_is_named) {
    imagine_settings_t *settings = NULL;
    imagine_gateway_t *gateway = (imagine_gateway_t *)&visit;
    char *message = NULL;
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    ck_assert_int_eq(imagine_settings_open(&settings), 0);
    ck_assert_int_eq(imagine_settings_set(settings, bad_settings[_i].name, bad_settings[_i].value),
                     0);
    ck_assert_int_lt(imagine_gateway_open(&gateway, host.im, settings, &message), 0);
    ck_assert_ptr_null(gateway);
    ck_assert_str_eq(message, bad_settings[_i].message);
    imagine_free(message);
    ck_assert_int_lt(imagine_gateway_open(&gateway, host.im, settings, NULL), 0);
    imagine_settings_close(settings);
    gateway_host_close(&host);
}
END_TEST

START_TEST(a_gateway_opens_without_settings) {
    imagine_gateway_t *gateway = NULL;
    ck_assert_int_eq(gateway_host_open(&host, NULL, NULL), 0);
    ck_assert_int_eq(imagine_gateway_open(&gateway, host.im, NULL, NULL), 0);
    imagine_gateway_close(gateway);
    imagine_gateway_close(NULL);
    ck_assert_int_eq(imagine_gateway_open(&gateway, NULL, NULL, NULL), IMAGINE_EINVAL);
    gateway_host_close(&host);
}
END_TEST

static const struct {
    const char *method, *target, *headers, *body;
} memory_cases[] = {
    {"GET", "/api/health", NULL, NULL},
    {"GET", "/api/v1/token-stats/all?details=1", NULL, NULL},
    {"GET", "/api/v1/token-stats?provider=x", NULL, NULL},
    {"GET", "/api/v1/task-status?taskId=x", NULL, NULL},
    {"GET", "/metrics", NULL, NULL},
    {"GET", "/page.js", NULL, NULL},
    {"POST", "/api/v1/token-reset", JSON, "{\"provider\":\"test\"}"},
    {"POST", "/api/v1/generate", JSON, CAT},
    {"POST", "/api/v1/generate", JSON, "{}"},
    {"POST", "/api/v1/edit", FORM,
     PART("model", "test/one") PART("prompt", "a hat") FILE_PART("image", "GIF89a") PARTS_END},
};

/* With the n-th allocation failing there is the answer, or a 503, or the host is told. */
START_TEST(failing_memory_is_answered_503) {
    bool has_failed = true;
    int status = 0;
    char settings[256];
    (void)snprintf(settings, sizeof(settings), "WEB_ROOT=%s;NEEDY_TOKENS=x", root);
    for (size_t fail_at = 0; fail_at == 0 || has_failed; fail_at++) {
        failing_mem_t failing;
        int err;
        failing_mem_init(&failing, fail_at);
        err = gateway_host_open(&host, &failing.mem, settings);
        if (err == 0) {
            visit_make(&visit, &host, memory_cases[_i].method, memory_cases[_i].target,
                       memory_cases[_i].headers, memory_cases[_i].body);
            if (fail_at == 0)
                status = visit.status;
            if (visit.end_count == 1)
                ck_assert_msg(visit.status == status || visit.status == 503, "%d: %s", visit.status,
                              visit.body);
            if (visit.end_count == 1 && visit.status >= 400)
                ck_assert_msg(strstr(visit.body, "\"requestId\":\"") != NULL, "%s", visit.body);
        } else {
            ck_assert_int_eq(err, IMAGINE_ENOMEM);
        }
        gateway_host_close(&host);
        has_failed = failing.has_failed;
        ck_assert_uint_eq(failing.live_count, 0);
        ck_assert(has_failed || fail_at == 0 || visit.status == status);
    }
}
END_TEST

START_TEST(a_waiting_exchange_is_small) {
    failing_mem_t failing;
    size_t before;
    failing_mem_init(&failing, 0);
    ck_assert_int_eq(gateway_host_open(&host, &failing.mem, "RATE_LIMIT=0"), 0);
    before = failing.live_size;
    begin_wait(&visit);
    ck_assert_uint_le(failing.live_size - before, 1536);
    visit_wait(&visit);
    visit_release(&visit);
    ck_assert_uint_eq(failing.live_size, before);
    gateway_host_close(&host);
    ck_assert_uint_eq(failing.live_count, 0);
}
END_TEST

static Suite *gateway_suite(void) {
    Suite *suite = suite_create("gateway/gateway");
    TCase *tcase = tcase_create("rows");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, what_can_be_looked_at, 0, COUNT(look_cases));
    tcase_add_loop_test(tcase, paths_and_methods, 0, COUNT(route_cases));
    tcase_add_loop_test(tcase, actions_and_their_answers, 0, COUNT(action_cases));
    tcase_add_loop_test(tcase, a_refusal_closes_the_connection_where_it_must, 0,
                        COUNT(refusal_cases));
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("life");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, targets_and_heads_have_bounds);
    tcase_add_test(tcase, a_body_may_grow_only_so_far);
    tcase_add_test(tcase, callers_have_a_number_of_posts_a_minute);
    tcase_add_test(tcase, without_tokens_an_address_is_a_caller);
    tcase_add_test(tcase, zero_turns_a_limit_off);
    tcase_add_test(tcase, so_much_work_is_taken_on_at_once);
    tcase_add_test(tcase, gateways_that_joined_take_on_so_much_work_together);
    tcase_add_loop_test(tcase, a_delay_is_told_in_whole_seconds_that_are_enough, 0,
                        COUNT(retry_cases));
    tcase_add_test(tcase, a_draining_gateway_ends_what_it_began);
    tcase_add_test(tcase, a_body_has_thirty_seconds);
    tcase_add_test(tcase, a_body_that_came_in_time_is_late_no_more);
    tcase_add_test(tcase, the_body_of_a_get_has_them_too);
    tcase_add_test(tcase, a_gateway_closes_while_its_timer_runs);
    tcase_add_test(tcase, every_split_of_a_body_is_the_same_request);
    tcase_add_test(tcase, a_body_without_length_or_chunks_ends_with_finish);
    tcase_add_test(tcase, a_video_is_asked_for_and_found);
    tcase_add_test(tcase, an_open_breaker_is_told_with_the_time_to_wait);
    tcase_add_test(tcase, an_exhausted_token_is_told_with_its_recovery);
    tcase_add_test(tcase, a_caller_that_leaves_cancels_its_work);
    tcase_add_test(tcase, a_caller_may_leave_at_any_moment);
    tcase_add_test(tcase,
                   work_that_was_paid_for_is_found_by_the_id_of_the_request_whose_caller_left);
    tcase_add_test(tcase, a_host_may_let_go_inside_its_functions);
    tcase_add_test(tcase, an_early_refusal_may_be_released_inside);
    tcase_add_test(tcase, a_long_result_is_handed_over_in_pieces);
    tcase_add_test(tcase, a_closing_client_answers_503);
    tcase_add_test(tcase, each_request_leaves_one_line_without_what_is_private);
    tcase_add_loop_test(tcase, the_line_of_a_failure_says_why, 0, FAILURE_CASE_COUNT);
    tcase_add_test(tcase, a_line_below_the_level_in_force_is_not_wanted_and_not_written);
    tcase_add_test(tcase, what_strangers_write_cannot_forge_a_line);
    tcase_add_test(tcase, ids_differ);
    tcase_add_loop_test(tcase, a_setting_that_makes_no_sense_is_named, 0, COUNT(bad_settings));
    tcase_add_test(tcase, a_gateway_opens_without_settings);
    tcase_add_test(tcase, a_waiting_exchange_is_small);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("files");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, make_root, drop_root);
    tcase_add_loop_test(tcase, files_below_the_root, 0, COUNT(file_cases));
    tcase_add_test(tcase, a_known_version_is_not_sent_again);
    tcase_add_loop_test(tcase, failing_memory_is_answered_503, 0, COUNT(memory_cases));
    suite_add_tcase(suite, tcase);
    return suite;
}

IMI_CHECK_MAIN(gateway_suite)
