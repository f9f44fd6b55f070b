/**
 * imagine/ffi.h: the library for other languages: handles, numbers and texts, no struct and no
 * macro. With imagine.h's own functions that need neither (imagine_submit, imagine_settings_…,
 * imagine_configure, imagine_wait, imagine_turn, imagine_cancel, imagine_close …) this is all that
 * a binding needs; examples/python, examples/node and examples/lua are three. A C program is better
 * served by imagine.h and provider.h.
 *
 *     imagine_open_json(&im, "{\"manual\": true}", NULL, NULL, &message);
 *     imagine_submit(im, "generate", json, json_size, on_done, user, &request);
 *     while (imagine_turn(im, -1) == 1) { // on_done is called in here, with what came of it:
 *     }                                   // imagine_result_json() or imagine_result_message()
 *
 * Which thread calls back: the private thread, which is fine for a language whose callbacks take
 * its own lock (Python). Where they must come on the language's own thread (LuaJIT, Node, or
 * without callbacks at all), open with "manual" and turn: imagine_turn(), and imagine_turn_await()
 * where the language's event loop cannot watch imagine_turn_fd().
 */
#ifndef IMAGINE_FFI_H
#define IMAGINE_FFI_H

#include "provider.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * imagine_open() with the options as a JSON object, all of which may be left out: "manual" (true or
 * false, see imagine_turn()), "logLevel" ("error" … "trace"), "timeoutMs", "inFlightMax",
 * "responseSizeMax", "userAgent", "caFile", "verifyTls" (false: tests only), "allowPrivateHosts".
 * @param json         NULL: {}
 * @param log          NULL: silent
 * @param out_message  NULL, or receives what is wrong with it, free with imagine_free()
 * @return as imagine_open(); a name that is not above is IMAGINE_EINVAL
 */
IMAGINE_API int imagine_open_json(imagine_t **out, const char *json, imagine_log_cb log,
                                  void *log_user, char **out_message);

/** imagine_submit() of a text whose pieces are wanted as they come (imagine_params_t.on_piece). */
IMAGINE_API int imagine_submit_text(imagine_t *im, const char *json, size_t json_size,
                                    imagine_piece_cb on_piece, imagine_done_cb done, void *user,
                                    imagine_request_t **out);

/* ---- what came of it: fields of imagine_result_t that imagine_result_json() does not have -------
 */

/** 0, or IMAGINE_E…: imagine_err_name() has its name. */
IMAGINE_API int imagine_result_status(const imagine_result_t *result);
/** On failure one line for a person, else NULL. The result's. */
IMAGINE_API const char *imagine_result_message(const imagine_result_t *result);
/** What the HTTP API answers with it. */
IMAGINE_API int imagine_result_http_status(const imagine_result_t *result);
/** What imagine_task_status() takes, or NULL. The result's. */
IMAGINE_API const char *imagine_result_task_id(const imagine_result_t *result);
/** Earliest recovery; 0: not known. */
IMAGINE_API uint64_t imagine_result_retry_after_ms(const imagine_result_t *result);

/* ---- a provider in another language -------------------------------------------------------------
 */

/**
 * imagine_register_provider() for a JSON object {"name": "mine", "actions": ["generate", "text"],
 * "tokenOptional": true, "catalogue": {…}}: `actions` of "generate", "edit", "text", "video",
 * "upscaler"; the last two members may be left out.
 * @param run   begins every action: imagine_call_action() tells which. Lives as long as the client
 * @param user  imagine_call_user()
 * @return 0, IMAGINE_EINVAL (also: the catalogue is refused; the log says why, and so does
 *   imagine_set_catalogue(), given {"providers": {"mine": {…}}} after this without "catalogue"),
 *   IMAGINE_EEXIST, IMAGINE_ENOMEM
 */
IMAGINE_API int imagine_register_json(imagine_t *im, const char *json, imagine_call_cb run,
                                      void *user);
/** imagine_call_params() as a JSON object, named as in the HTTP API; "images" are addresses,
 * http(s) or data:. Memory of the call; NULL: none. */
IMAGINE_API const char *imagine_call_params_json(imagine_call_t *call);
/**
 * imagine_call_http() with the request as a JSON object: "url", and where wanted "method",
 * "headers" {name: value}, "json" (the body, any value) or "form" {name: text} with "files" {name:
 * index of an image}, "auth" ("bearer", "none", "basic"), "limit" ("text", "image", "status",
 * "download"), "repeatable", "anyStatus". What is no such object fails the call.
 */
IMAGINE_API void imagine_call_http_json(imagine_call_t *call, const char *json,
                                        imagine_response_cb on_response);
/** Likewise, imagine_call_events(). */
IMAGINE_API void imagine_call_events_json(imagine_call_t *call, const char *json,
                                          imagine_event_cb on_event,
                                          imagine_response_cb on_response);
IMAGINE_API int imagine_response_status(const imagine_http_response_t *response);
/** NUL-terminated; dies with the callback. */
IMAGINE_API const char *imagine_response_body(const imagine_http_response_t *response,
                                              size_t *out_size);
/** imagine_call_succeed() with the result as a JSON object: "url" or "urls" [first, …], "text",
 * "width", "height", "revisedPrompt", "usage". What is no such object fails the call. */
IMAGINE_API void imagine_call_succeed_json(imagine_call_t *call, const char *json);

#ifdef __cplusplus
}
#endif

#endif
