/**
 * imagine/provider.h: teach the library one more provider. The built-in ones are written against
 * this same header, see lib/providers/.
 *
 * A provider says two things per action: how the request looks, and how the answer is read.
 *
 *     static void on_generated(imagine_call_t *call, const imagine_http_response_t *response) {
 *         imagine_result_t result = {.size = sizeof(result)};
 *         result.url = imagine_response_string(response, "data[0].url");
 *         if (result.url != NULL)
 *             imagine_call_succeed(call, &result);
 *         else
 *             imagine_call_fail(call, IMAGINE_EPROTOCOL, "an answer without data[0].url");
 *     }
 *
 *     static void generate(imagine_call_t *call) {
 *         const imagine_params_t *params = imagine_call_params(call);
 *         imagine_body_t *body = imagine_body_json(call);
 *         imagine_call_request_t request = {.size = sizeof(request)};
 *         imagine_body_put_text(body, "prompt", params->prompt);
 *         imagine_body_put_int(body, "width", params->width);
 *         request.url = imagine_call_url(call, "/images/generations");
 *         request.body = body;
 *         imagine_call_http(call, &request, on_generated);
 *     }
 *
 * All the rest is the core's: which token, the next token when one is spent, repeating what is safe
 * to repeat, time limits, redirects, cancellation, the breaker, memory. The rules that a provider
 * keeps:
 * - A step (an action, a callback) ends by starting exactly one next step (imagine_call_http,
 *   imagine_call_events, imagine_call_sleep, imagine_call_poll) or by ending the call
 *   (imagine_call_succeed, imagine_call_fail, imagine_call_fail_response), and does nothing
 * afterwards.
 * - Memory comes from the call and goes with it. A builder that is out of memory returns NULL, and
 * every function here accepts that NULL: the next step then fails the call with IMAGINE_ENOMEM by
 * itself.
 * - A callback is run only for an answer that can be read: a 2xx unless accept_any_status is set.
 *   Everything else was classified and dealt with before.
 *
 * Thread: the loop's, always.
 */
#ifndef IMAGINE_PROVIDER_H
#define IMAGINE_PROVIDER_H

#include "../imagine.h"
#include "io.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct imagine_call imagine_call_t; /* one attempt with one token */
typedef struct imagine_body imagine_body_t; /* a request's body while it is built */

typedef void (*imagine_call_cb)(imagine_call_t *call);

/** An answer, or one event of a stream. Lives until the callback returns; what the
 * imagine_response_ functions return lives as long as the call. */
typedef struct imagine_http_response {
    size_t size;
    imagine_call_t *call;
    int32_t status;
    uint32_t reserved;
    const imagine_header_t *headers;
    size_t header_count;
    const char *body; /* NUL-terminated, whatever it is */
    size_t body_size;
} imagine_http_response_t;

typedef void (*imagine_response_cb)(imagine_call_t *call, const imagine_http_response_t *response);
/** `name` is "message" for an event without one; `data` is the event's data, to be read like an
 * answer's body. May simply return: then the next event is awaited. */
typedef void (*imagine_event_cb)(imagine_call_t *call, const char *name,
                                 const imagine_http_response_t *data);

/** What the core makes of a failed answer, and what `classify` may sharpen. */
typedef struct imagine_verdict {
    size_t size;
    int32_t reason; /* IMAGINE_EQUOTA, ERATE, ETOKEN, EPLAN: the token's fault, the next one tries;
                       EREJECTED, ECONTENT: the request's; EUPSTREAM, EPROTOCOL: the provider's */
    int32_t is_for_model;    /* 1: the token still serves other models (EQUOTA, EPLAN) */
    uint64_t retry_after_ms; /* EQUOTA, ERATE: as the provider told; 0: the core's own rule */
    const char *message;     /* the provider's reason, found in the answer; may be replaced */
} imagine_verdict_t;

/** Works without a token (an anonymous quota); tokens are used while there are some. */
#define IMAGINE_PROVIDER_TOKEN_OPTIONAL 1

struct imagine_provider {
    size_t size;
    const char *name;      /* lower-case letters, digits, '-', '_': first part of its model ids */
    const char *catalogue; /* its catalogue entry as JSON (see CATALOGUE.md): "api_base",
                              "models", "quota" …; NULL: the catalogue in force has it */
    uint32_t flags;        /* IMAGINE_PROVIDER_… */
    uint32_t reserved;
    imagine_call_cb generate; /* each: NULL when the provider lacks the action */
    imagine_call_cb edit;
    imagine_call_cb text;
    imagine_call_cb video;
    imagine_call_cb upscale;
    imagine_call_cb resume; /* go on with a task after a restart: imagine_call_task_id() */
    imagine_call_cb cancel; /* the caller gave a task up: tell the provider. Its id is "" where none
                               was given to imagine_call_task(). NULL: it cannot be told */
    void (*classify)(imagine_call_t *call, const imagine_http_response_t *response,
                     imagine_verdict_t *verdict); /* NULL: the core's verdict stands */
    void *user;                                   /* imagine_call_user() */
};

/* ---- what is asked for ------------------------------------------------------------------------
 */

/**
 * The parameters, made whole: prompt, width and height (generate: always; else 0 when the caller
 * gave neither size nor ratio), steps and guidance (the model's or the provider's default, held to
 * the model's range; 0 when there is none), seed (always set; has_seed tells whether the caller
 * chose it), duration_s, negative_prompt. Pictures are decoded, fetched and checked. `count` is how
 * many pictures this call is to bring: 1, but for models whose option "count_max" allows more; what
 * a caller wants beyond that, the core gets by further calls with other seeds.
 */
IMAGINE_API const imagine_params_t *imagine_call_params(const imagine_call_t *call);
/** "generate", "edit", "text", "video", "upscaler". */
IMAGINE_API const char *imagine_call_action(const imagine_call_t *call);
/** The model's name at the provider (api_id; for a model that the catalogue lacks: the key asked
 * for). */
IMAGINE_API const char *imagine_call_model(const imagine_call_t *call);
/** The token of this attempt; NULL: none is needed. For headers and bodies only, never for a
 * message. */
IMAGINE_API const char *imagine_call_token(const imagine_call_t *call);
/** The base address in force, without a slash at its end. */
IMAGINE_API const char *imagine_call_api_base(const imagine_call_t *call);
/** The base address and a path that begins with a slash. */
IMAGINE_API const char *imagine_call_url(imagine_call_t *call, const char *path);
/** 1: an address that a provider named is of the same scheme, host and port as the base address,
 * which knows the token anyhow; 0: it must not see it. */
IMAGINE_API int32_t imagine_call_is_own_address(const imagine_call_t *call, const char *url);
/** Percent-encodes all but RFC 3986's unreserved characters: for a piece of a path or query. */
IMAGINE_API const char *imagine_call_escape(imagine_call_t *call, const char *text);
/**
 * A value of the catalogue, by path ("space", "upload.fn", "sizes[0]"): from the model's entry,
 * else the provider's "actions" entry for this action, else the provider's, else "defaults".
 * Numbers and booleans come as their text, objects and arrays as JSON. NULL: in none of them.
 */
IMAGINE_API const char *imagine_call_option(imagine_call_t *call, const char *path);
/** The same as a whole number; `otherwise` when there is none. */
IMAGINE_API int64_t imagine_call_option_int(imagine_call_t *call, const char *path,
                                            int64_t otherwise);
IMAGINE_API void *imagine_call_user(const imagine_call_t *call);
/** The id that imagine_call_task() was given, by this call or, inside `resume` and after it, by the
 * one that began the task. NULL: no task. */
IMAGINE_API const char *imagine_call_task_id(const imagine_call_t *call);

/* ---- memory -----------------------------------------------------------------------------------
 */

/** Zeroed, aligned for any type, freed with the call; NULL: no memory. */
IMAGINE_API void *imagine_call_alloc(imagine_call_t *call, size_t size);
IMAGINE_API const char *imagine_call_strdup(imagine_call_t *call, const char *text);
IMAGINE_API const char *imagine_call_printf(imagine_call_t *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** Two texts as one: imagine_call_printf() for languages without varargs. */
IMAGINE_API const char *imagine_call_concat(imagine_call_t *call, const char *a, const char *b);
/** A text as JSON, with its quotes and escapes: for imagine_template_value_t. NULL: no memory. */
IMAGINE_API const char *imagine_call_quote(imagine_call_t *call, const char *text);
/**
 * Run `release(user)` once when the call's memory goes, however the call ended (newest first): for
 * what another library allocated. Memory of the call can still be read then; nothing else may be
 * asked of it.
 * @return 0, or IMAGINE_ENOMEM: it will not run
 */
IMAGINE_API int imagine_call_defer(imagine_call_t *call, void (*release)(void *user), void *user);
/** What one step leaves for the next; NULL at first. It may be const: who reads it back knows. */
IMAGINE_API void imagine_call_set_state(imagine_call_t *call, const void *state);
IMAGINE_API void *imagine_call_state(const imagine_call_t *call);

/* ---- pictures that go in ----------------------------------------------------------------------
 */

/** Picture `index` with data, data_size, mime and filename set; its url only if the caller gave an
 * http(s) address. NULL: there is none. */
IMAGINE_API const imagine_image_t *imagine_call_image(const imagine_call_t *call, size_t index);
/** Its bytes as base64, without a prefix, made once. NULL: there is none, or no memory. */
IMAGINE_API const char *imagine_call_image_base64(imagine_call_t *call, size_t index);
/** An address for it: the caller's http(s) one or that of imagine_call_host_images(), else a data:
 * URL. NULL: there is none. */
IMAGINE_API const char *imagine_call_image_url(imagine_call_t *call, size_t index);
/** For providers that would rather have an address than bytes: pictures without one are hosted,
 * where hosting is configured, then `next` runs. One that cannot be hosted stays without. A step.
 */
IMAGINE_API void imagine_call_host_images(imagine_call_t *call, imagine_call_cb next);

/* ---- bodies -----------------------------------------------------------------------------------
 */

/** A JSON object. NULL: no memory, which everything below accepts. */
IMAGINE_API imagine_body_t *imagine_body_json(imagine_call_t *call);
/** A JSON text as it is, such as a filled template: nothing can be put into it. */
IMAGINE_API imagine_body_t *imagine_body_whole(imagine_call_t *call, const char *json);
/** multipart/form-data: put_text, put_int and put_number make fields. */
IMAGINE_API imagine_body_t *imagine_body_multipart(imagine_call_t *call);
/** `name` is NULL inside an array. A NULL text puts nothing. */
IMAGINE_API void imagine_body_put_text(imagine_body_t *body, const char *name, const char *text);
IMAGINE_API void imagine_body_put_int(imagine_body_t *body, const char *name, int64_t value);
IMAGINE_API void imagine_body_put_number(imagine_body_t *body, const char *name, double value);
/** JSON only. */
IMAGINE_API void imagine_body_put_bool(imagine_body_t *body, const char *name, int32_t value);
/** JSON only: a JSON text as it is. */
IMAGINE_API void imagine_body_put_json(imagine_body_t *body, const char *name, const char *json);
/** JSON only: a picture's bytes as base64 text, behind `prefix` ("data:image/png;base64,"; NULL:
 * none; without quotes or backslashes). Unlike imagine_call_image_base64() with put_text, it makes
 * no copy beside the body. A NULL picture puts nothing. */
IMAGINE_API void imagine_body_put_base64(imagine_body_t *body, const char *name, const char *prefix,
                                         const imagine_image_t *image);
IMAGINE_API void imagine_body_open_object(imagine_body_t *body, const char *name);
IMAGINE_API void imagine_body_open_array(imagine_body_t *body, const char *name);
/** Ends the innermost object or array that was opened; the outermost one ends by itself. */
IMAGINE_API void imagine_body_close(imagine_body_t *body);
/** Multipart only: a file part, not copied. */
IMAGINE_API void imagine_body_put_image(imagine_body_t *body, const char *name,
                                        const imagine_image_t *image);

/** A name of a template and the JSON that takes its place. Never grows. */
typedef struct imagine_template_value {
    const char *name; /* without the '$' */
    const char *json;
} imagine_template_value_t;
/**
 * Fill in a JSON template, as the catalogue has them: each text "$name" (the whole text) becomes
 * the value of that name, "$name:default" the JSON after the colon where the value is missing.
 * Known by themselves: prompt, negative_prompt, ar, width, height, seed, randomize (true when the
 * caller chose no seed), steps, guidance, duration, model. `values` come first. A name without a
 * value and default becomes null.
 * @return JSON text; NULL: not a template, or no memory
 */
IMAGINE_API const char *imagine_call_fill(imagine_call_t *call, const char *template_json,
                                          const imagine_template_value_t *values,
                                          size_t value_count);

/* ---- steps ------------------------------------------------------------------------------------
 */

#define IMAGINE_AUTH_BEARER 0 /* "Authorization: Bearer TOKEN" when the call has a token */
#define IMAGINE_AUTH_NONE 1   /* the provider does it itself, or the host must not see it */
#define IMAGINE_AUTH_BASIC 2  /* Basic for a token that is "user:password", else Bearer */

#define IMAGINE_LIMIT_AUTO 0     /* GET: status; else text and video: text; else image */
#define IMAGINE_LIMIT_TEXT 1     /* TIMEOUT_TEXT_MS: text, and creating a task */
#define IMAGINE_LIMIT_IMAGE 2    /* TIMEOUT_IMAGE_MS */
#define IMAGINE_LIMIT_STATUS 3   /* TIMEOUT_STATUS_MS: one poll */
#define IMAGINE_LIMIT_DOWNLOAD 4 /* TIMEOUT_DOWNLOAD_MS */

typedef struct imagine_call_request {
    size_t size;
    const char *method; /* NULL: "POST" with a body, else "GET" */
    const char *url;
    const imagine_header_t *headers; /* beside Authorization and Content-Type; dropped, like those,
                                        when a redirect leads to another host. One whose value is
                                        NULL is left out */
    size_t header_count;
    imagine_body_t *body;
    int32_t auth;              /* IMAGINE_AUTH_… */
    int32_t limit;             /* IMAGINE_LIMIT_… */
    int32_t is_repeatable;     /* 1: a POST that changes nothing. GET always is. Anything else is
                                  carried out once at most, as far as can be known */
    int32_t accept_any_status; /* 1: the callback wants error answers too */
    int32_t has_json_pictures; /* 1: pictures in a JSON answer are read by
                                  imagine_response_data_url() alone, and its texts handed on as they
                                  are. Where results are hosted, long ones then go there as they
                                  come: the text holds their first 12 KB */
    uint32_t reserved;
} imagine_call_request_t;

/** Ask, and read the whole answer. All of `request` may be a local variable. */
IMAGINE_API void imagine_call_http(imagine_call_t *call, const imagine_call_request_t *request,
                                   imagine_response_cb on_response);
/** Ask for a stream of server-sent events. `on_response` runs at its end, if no event ended the
 * call, or for an answer that is no event stream. Ending the call leaves the stream. */
IMAGINE_API void imagine_call_events(imagine_call_t *call, const imagine_call_request_t *request,
                                     imagine_event_cb on_event, imagine_response_cb on_response);
/** Go on later. 0: in the next turn of the loop (to cut long computing into slices). Also between
 * two steps, on the loop's thread: it takes the place of the sleep or exchange under way. So a host
 * that decides in its own time (a promise, a thread's work) sleeps long, and is woken by 0. */
IMAGINE_API void imagine_call_sleep(imagine_call_t *call, uint64_t delay_ms, imagine_call_cb next);
/** Go on at the time for the next poll: after 1 s at first, then ever later, POLL_INTERVAL_MS at
 * most. */
IMAGINE_API void imagine_call_poll(imagine_call_t *call, imagine_call_cb next);

/** The provider took the work on as a task of this id: for a video, the caller is answered now, and
 * this call goes on as the one reader of the task, until it succeeds or fails; a job of another
 * action can be read again after a restart, by `resume`. Not a step: go on with one. */
IMAGINE_API void imagine_call_task(imagine_call_t *call, const char *task_id, uint32_t predict_s);

/** The caller wants the text in pieces as they come (params.on_piece): ask the provider to stream,
 * and hand each piece to imagine_call_delta(). 0: nobody waits for pieces. */
IMAGINE_API int32_t imagine_call_wants_pieces(const imagine_call_t *call);
/** A piece of a text, for a caller who wants pieces; copied. The first one is the proof that the
 * work was taken on: no other token tries afterwards. Then end the call with `text` NULL. Not a
 * step. */
IMAGINE_API void imagine_call_delta(imagine_call_t *call, const char *text, size_t text_size);
/** imagine_call_delta() with the text at a path of an event's data: nothing of it is kept, however
 * long the stream. No text there: nothing happens. */
IMAGINE_API void imagine_call_delta_at(imagine_call_t *call, const imagine_http_response_t *data,
                                       const char *path);
/** How far the work is: `fraction` 0…1 (negative: not known), `queue_position` (0: not known, or
 * not waiting). For imagine_task_status(). Not a step. */
IMAGINE_API void imagine_call_progress(imagine_call_t *call, double fraction,
                                       uint32_t queue_position);
/** One more picture beside the `url` that imagine_call_succeed() is given: before it, in order.
 * Lives as long as the call (memory of the call, or what an imagine_response_ function returned).
 */
IMAGINE_API void imagine_call_picture(imagine_call_t *call, const char *url);

/** How the provider says that this token has nothing left, although the call itself went well. */
IMAGINE_API void imagine_call_spent(imagine_call_t *call, int32_t is_for_model);

/** The end: `url` or `text` (and usage_json) are set, and width and height when they are not those
 * that were asked for; all else is filled in by the core. Copied. */
IMAGINE_API void imagine_call_succeed(imagine_call_t *call, const imagine_result_t *result);
/**
 * The end of this attempt. IMAGINE_EQUOTA, ERATE, ETOKEN, EPLAN: the work was refused because of
 * the token, and the next token tries. IMAGINE_EREJECTED, ECONTENT: the request's own fault.
 * IMAGINE_EUPSTREAM, EPROTOCOL and all others: the provider's fault. `message`: one line, copied,
 * cleaned.
 */
IMAGINE_API void imagine_call_fail(imagine_call_t *call, int error, const char *message);
/** The end of this attempt by an answer that says why, in the words and codes the core knows, as
 * sharpened by `classify`: for providers that answer 200 to everything. `reason` (0: found out) is
 * an error as above. */
IMAGINE_API void imagine_call_fail_response(imagine_call_t *call,
                                            const imagine_http_response_t *response, int reason);

/* ---- reading answers --------------------------------------------------------------------------
 */

/** A header's value, the name in any case; NULL: none. */
IMAGINE_API const char *imagine_response_header(const imagine_http_response_t *response,
                                                const char *name);
/** A text of a JSON answer by path ("data[0].url", "[0].image.url"); NULL: none, or no text. */
IMAGINE_API const char *imagine_response_string(const imagine_http_response_t *response,
                                                const char *path);
/** The raw JSON at a path, of any type; NULL: none. */
IMAGINE_API const char *imagine_response_json(const imagine_http_response_t *response,
                                              const char *path);
/** 1 and `*out`, or 0: none, or no number. */
IMAGINE_API int imagine_response_number(const imagine_http_response_t *response, const char *path,
                                        double *out);
/** How many elements the array at a path has; 0: none, or no array. */
IMAGINE_API size_t imagine_response_count(const imagine_http_response_t *response,
                                          const char *path);
/** The name of member `index` of the object at a path; NULL: none, or no object. */
IMAGINE_API const char *imagine_response_name(const imagine_http_response_t *response,
                                              const char *path, size_t index);
/** The whole body, bytes of whatever kind, as "data:<mime>;base64,…". `mime` NULL: as the first
 * bytes tell, "image/png" if they tell nothing. NULL: no memory. */
IMAGINE_API const char *imagine_response_body_data_url(const imagine_http_response_t *response,
                                                       const char *mime);
/** "data:<mime>;base64,…" from base64 text at a path, `mime` as above. One that is the only item of
 * its array is not copied: what lies around it in the answer is overwritten, so read that before.
 * NULL: none. */
IMAGINE_API const char *imagine_response_data_url(const imagine_http_response_t *response,
                                                  const char *path, const char *mime);

#ifdef __cplusplus
}
#endif

#endif
