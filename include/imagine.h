/**
 * imagine.h: ask any AI provider for a picture, a text or a video. This one include is enough for
 * an application.
 *
 *     imagine_t *im;
 *     imagine_request_t *request;
 *     imagine_open(&im, NULL);                  // NULL: a private thread runs everything
 *     imagine_configure_env(im);                // GITEE_TOKENS=a,b,c and friends
 *     imagine_params_t params = IMAGINE_PARAMS_INIT;
 *     params.model = "gitee/flux-2";
 *     params.prompt = "a cat";
 *     imagine_generate(im, &params, NULL, NULL, &request);
 *     imagine_wait(request, 120000);
 *     puts(imagine_request_result(request)->url);
 *
 * What holds everywhere:
 * - Functions that can fail return 0 or a negative IMAGINE_E… number.
 * - Texts are UTF-8 and NUL-terminated. Durations are milliseconds and end in `_ms`; instants of
 * the wall clock end in `_unix_ms`.
 * - A struct begins with `size`, its sizeof where the caller was compiled, and grows at its end:
 * set it with the …_INIT macro or the …_init function. All other zeros mean "default".
 * - A NULL client or request is no crash: what returns an error says IMAGINE_EINVAL, what returns a
 *   pointer NULL, the rest does nothing.
 * - Callbacks come on the loop's thread, never inside the call that asked for them, and carry the
 *   `user` pointer that they were registered with, last.
 * - Thread: with a loop of your own (options.loop or options.io), call everything on that loop's
 *   thread. With the private thread (neither set), call from any thread; callbacks then come on the
 *   private thread. With options.is_manual there is no thread: call everything on one of yours, at
 *   a time; callbacks come inside imagine_turn() and imagine_wait().
 * - fork(): fork first, then open, in both if you like; or close every client before. A child of a
 *   process with an open client may run another program or end with _exit(), which disturbs
 *   nothing, and calls no function of this library, neither on that client or its requests (threads
 *   and locks have stayed behind, connections and files are shared) nor to open one of its own.
 *   No descriptor of ours outlives an exec (libcurl has, for each 100 exchanges at once, a pair of
 *   sockets to wake itself that does; it is connected to nobody else).
 *
 * Memory: a request in flight costs about 3 KiB here, plus the prompt, plus its pictures, plus the
 * provider's answer as it arrives (options.response_size_max at most), plus what libcurl needs for
 * the exchange (about 16 KiB on plain HTTP, 18 KiB on HTTP/2 over TLS).
 */
#ifndef IMAGINE_H
#define IMAGINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef IMAGINE_API
#define IMAGINE_API __attribute__((visibility("default")))
#endif

/* ---- version ----------------------------------------------------------------------------------
 */

#define IMAGINE_VERSION "0.1.0"

/** The version of the library that is really linked, as "0.1.0". Static storage. */
IMAGINE_API const char *imagine_version(void);

/* ---- errors -----------------------------------------------------------------------------------
 */

/* Name, number (never changes), text of imagine_strerror(). */
#define IMAGINE_ERRORS(X)                                                       \
    X(EINVAL, -1, "invalid argument")                                           \
    X(ENOMEM, -2, "out of memory")                                              \
    X(ECLOSED, -3, "the client is closed or closing")                           \
    X(ECANCELED, -4, "canceled")                                                \
    X(ETIMEDOUT, -5, "timed out")                                               \
    X(EEXHAUSTED, -6, "every token of the provider is used up for now")         \
    X(EBREAKER, -7, "the provider keeps failing and is left alone for a while") \
    X(EPROTOCOL, -8, "the provider's answer could not be understood")           \
    X(ENOTOKEN, -9, "the provider needs a token and has none")                  \
    X(EPROVIDER, -10, "no such provider")                                       \
    X(EACTION, -11, "the provider does not offer this action")                  \
    X(EREJECTED, -12, "the provider refused the request")                       \
    X(ECONTENT, -13, "the provider refused the content")                        \
    X(ECONNECT, -14, "no connection")                                           \
    X(EUPSTREAM, -15, "the provider failed")                                    \
    X(ETOOLARGE, -16, "larger than allowed")                                    \
    X(EADDRESS, -17, "this address is not allowed")                             \
    X(EPICTURE, -18, "the picture could not be used")                           \
    X(ENOTFOUND, -19, "not found")                                              \
    X(EBUSY, -20, "too much in flight")                                         \
    X(ENOTSUP, -21, "not supported")                                            \
    X(EIO, -22, "input or output failed")                                       \
    X(EQUOTA, -23, "the token's quota is spent")                                \
    X(ERATE, -24, "the token is asked too often")                               \
    X(ETOKEN, -25, "the token is not valid")                                    \
    X(EPLAN, -26, "not in the token's plan")                                    \
    X(EEXIST, -27, "exists already")                                            \
    X(EDEADLK, -28, "would wait for itself")

#define IMAGINE_ERROR_NUMBER(name, number, text) IMAGINE_##name = number,
enum { IMAGINE_ERRORS(IMAGINE_ERROR_NUMBER) IMAGINE_OK = 0 };
#undef IMAGINE_ERROR_NUMBER

/** The meaning of an error number, one impersonal line. Never NULL; static storage. */
IMAGINE_API const char *imagine_strerror(int error);
/** Its name, as "IMAGINE_ETIMEDOUT"; "IMAGINE_OK" for 0, "IMAGINE_EUNKNOWN" for a stranger. */
IMAGINE_API const char *imagine_err_name(int error);
/** The HTTP status that fits it, as the gateway answers: 400, 404, 422, 429, 502, 503, 504… */
IMAGINE_API int imagine_err_http_status(int error);

/* ---- the client -------------------------------------------------------------------------------
 */

typedef struct imagine imagine_t;
typedef struct imagine_request imagine_request_t;
typedef struct imagine_settings imagine_settings_t;
typedef struct imagine_storage imagine_storage_t;   /* imagine/storage.h */
typedef struct imagine_provider imagine_provider_t; /* imagine/provider.h */
typedef struct imagine_io imagine_io_t;             /* imagine/io.h */

#define IMAGINE_LOG_ERROR 0 /* someone must act */
#define IMAGINE_LOG_WARN 1  /* we coped */
#define IMAGINE_LOG_INFO 2  /* once per life of a thing */
#define IMAGINE_LOG_DEBUG 3 /* once per request */
#define IMAGINE_LOG_TRACE 4 /* once per step */

/**
 * Receives one line, "event key=value …", without a line break and without secrets: a token appears
 * as its fingerprint (first 12 hex digits of its SHA-256). imagine_log_format() makes it printable.
 * Thread: the loop's, and for lines of imagine_log() the one that wrote them; so with the private
 *   thread two may come at once. The library is in the middle of something: of its functions call
 *   none but imagine_log_format().
 */
typedef void (*imagine_log_cb)(int32_t level, const char *line, void *user);
/** Runs when a handle is closed: nothing of it runs or exists afterwards. */
typedef void (*imagine_closed_cb)(void *user);

/**
 * Where a client's memory comes from. `resize` behaves as realloc: a NULL pointer allocates, size 0
 * frees and returns NULL, NULL means failure. Called on the loop's thread and, in private-thread
 * mode, on the callers' threads too. libcurl, libuv, SQLite, hiredis and cJSON keep the process's
 * allocator, and so do what is not one client's: storages, listeners, settings while they are read.
 * Never grows.
 */
typedef struct imagine_allocator {
    void *(*resize)(void *user, void *pointer, size_t size);
    void *user;
} imagine_allocator_t;

typedef struct imagine_options {
    size_t size;                          /* sizeof(imagine_options_t) */
    void *loop;                           /* uv_loop_t *, borrowed until closed */
    const imagine_io_t *io;               /* instead of a loop: your own, borrowed until closed */
    const imagine_allocator_t *allocator; /* copied; NULL: the C library's */
    imagine_log_cb log;                   /* NULL: silent */
    void *log_user;
    int32_t log_level;          /* IMAGINE_LOG_…, the most detailed level wanted; 0: errors */
    int32_t verify_tls;         /* 0: our default (yes), 1: yes, -1: no (tests only) */
    const char *ca_file;        /* PEM bundle to trust instead of the system's; copied */
    const char *user_agent;     /* copied; NULL: "libimagine/<version>" */
    uint32_t timeout_ms;        /* whole request, retries included; 0: 300000 */
    uint32_t in_flight_max;     /* requests at once, else IMAGINE_EBUSY; 0: no limit */
    uint64_t response_size_max; /* a provider's answer; 0: 64 MiB */
    const char *allow_private_hosts; /* see ALLOW_PRIVATE_HOSTS; copied; NULL: none */
    int32_t is_manual; /* 1: no thread and no loop of yours: all happens inside imagine_turn() */
    int32_t reserved;
} imagine_options_t;
#ifdef __cplusplus /* before C++20, -Wextra takes a shorter one for a mistake */
#define IMAGINE_INIT_OF(type)      \
    ([] {                          \
        type value = type();       \
        value.size = sizeof(type); \
        return value;              \
    }())
#define IMAGINE_OPTIONS_INIT IMAGINE_INIT_OF(imagine_options_t)
#else
#define IMAGINE_OPTIONS_INIT \
    { .size = sizeof(imagine_options_t) }
#endif
/** Sets `size` bytes of `options` to IMAGINE_OPTIONS_INIT (for FFI). */
IMAGINE_API void imagine_options_init(imagine_options_t *options, size_t size);

/**
 * Open a client. It knows the built-in providers and catalogue, holds no token and keeps its state
 * in memory until imagine_set_tokens(), imagine_configure() and imagine_set_storage() say more. The
 * sample provider is there to try it out: it is gone as soon as any provider has a token, unless
 * the setting SAMPLE_PROVIDER is "on". Ownership: `options` (NULL: all defaults) is copied, but for
 * `loop` and `io`, which are borrowed.
 *   `*out` is yours until imagine_close(); on failure it is NULL and there is nothing to undo.
 * Thread: the loop's; with neither loop nor io the call starts the private thread.
 * @return 0, IMAGINE_EINVAL, IMAGINE_ENOMEM, IMAGINE_EIO, IMAGINE_ENOTSUP (no io given and built
 *   without libuv)
 */
IMAGINE_API int imagine_open(imagine_t **out, const imagine_options_t *options);

/**
 * Close a client: refuses new work, ends requests in flight with IMAGINE_ECANCELED (each calls back
 * first), writes its state to the storage, closes the storage, then calls `closed` once.
 * Callback: `closed` may be NULL. With a loop of your own keep the loop running until it came. With
 *   the private thread `closed` NULL makes this call wait until all is gone, unless it is made on
 *   the private thread itself. With is_manual it always waits, unless it is made inside a callback:
 *   then go on turning until imagine_turn() returns IMAGINE_ECLOSED.
 * Cannot fail; NULL is fine; closing twice is a bug.
 */
IMAGINE_API void imagine_close(imagine_t *im, imagine_closed_cb closed, void *user);

/**
 * For a client that was opened with options.is_manual: do what is due, and call back. For a game's
 * frame, a coroutine scheduler, or any event loop (imagine_turn_fd()).
 * @param timeout_ms  how long it may wait for something to do; 0: not at all; negative: as long as
 *   it takes, but not when nothing is in flight. It may return earlier.
 * @return 1: something is in flight; 0: nothing is; IMAGINE_ECLOSED: imagine_close() was called
 *   inside a callback, and the client is gone now; IMAGINE_EDEADLK: called inside a callback;
 *   IMAGINE_ENOTSUP: it was not opened so; IMAGINE_EINVAL: `im` is NULL
 */
IMAGINE_API int imagine_turn(imagine_t *im, int64_t timeout_ms);
/** A descriptor that becomes readable (poll, epoll, GLib) when imagine_turn() has something to do.
 * The client's: only to be watched. Or IMAGINE_ENOTSUP. */
IMAGINE_API int imagine_turn_fd(const imagine_t *im);
/** How long imagine_turn() may be put off in ms if the descriptor stays silent; -1: for ever. Ask
 * again after every turn, and after everything that starts something: what starts is 0 at first.
 * Or IMAGINE_ENOTSUP. */
IMAGINE_API int imagine_turn_wait_ms(const imagine_t *im);
/**
 * Wait until one of these descriptors of imagine_turn_fd() is readable, and do nothing else: for
 * hosts whose event loop cannot watch a descriptor, but has a thread to spare for what blocks
 * (Node).
 * Thread: any; the clients' own may go on meanwhile, but for imagine_close(): end the wait before,
 *   by imagine_turn_wake(). They turn when imagine_turn_wait_ms() says so, which this does not look
 *   at.
 * @param timeout_ms  negative: as long as it takes
 * @return 1: one is; 0: none is, it may return earlier; IMAGINE_EINVAL (one is no descriptor),
 *   IMAGINE_ENOMEM, IMAGINE_ENOTSUP
 */
IMAGINE_API int imagine_turn_await(const int32_t *fds, size_t fd_count, int64_t timeout_ms);
/** Make the client's descriptor readable, until its next turn. Any thread. @return 0 or
 * IMAGINE_ENOTSUP */
IMAGINE_API int imagine_turn_wake(imagine_t *im);

/**
 * The tokens of a provider, as "a,b,c" (blanks around them are dropped; the same token twice counts
 * once). "token@group" puts tokens of one account into a group: they share its quota. Replaces the
 * list; a token that stays keeps its state. Requests in flight go on with what they have.
 * Never logged, never stored: only fingerprints are.
 * @param tokens  copied; "" or NULL: none
 * @return 0, IMAGINE_EPROVIDER, IMAGINE_EINVAL (a token with blanks or control characters inside),
 *   IMAGINE_ENOMEM, IMAGINE_ECLOSED
 */
IMAGINE_API int imagine_set_tokens(imagine_t *im, const char *provider, const char *tokens);

/**
 * Another base address for a provider, instead of the catalogue's (copied; trailing slashes do not
 * matter). NULL: the catalogue's again.
 * @return 0, IMAGINE_EPROVIDER, IMAGINE_EINVAL (no http or https address), IMAGINE_ENOMEM
 */
IMAGINE_API int imagine_set_api_base(imagine_t *im, const char *provider, const char *url);

/**
 * Lay a catalogue document over the one in force: providers, models, Spaces, argument templates,
 * base addresses, quota rules. The format is described in CATALOGUE.md, which is installed in
 * share/imagine beside the built-in document, catalogue.json. Members given replace, null removes,
 * the rest stays. A provider of your own that it describes has to be registered before.
 * @param out_message  NULL, or receives what is wrong with it in one line, free with imagine_free()
 * @return 0, IMAGINE_EINVAL (nothing was changed), IMAGINE_ENOMEM
 */
IMAGINE_API int imagine_set_catalogue(imagine_t *im, const char *json, size_t json_size,
                                      char **out_message);

/**
 * Keep state (exhausted tokens, tasks, counters) in this storage from now on; what it holds is
 * loaded in the background, and requests wait for that 250 ms at most. The storage belongs to the
 * client afterwards, also on failure, and is closed with it or when another one takes its place.
 * @return 0, IMAGINE_EINVAL, IMAGINE_ENOMEM, IMAGINE_ENOTSUP (it needs a libuv loop), IMAGINE_EIO
 */
IMAGINE_API int imagine_set_storage(imagine_t *im, imagine_storage_t *storage);

/**
 * Add a provider (imagine/provider.h); its models can be asked for at once. The struct and its
 * texts are copied, its functions and `user` must live as long as the client.
 * @return 0, IMAGINE_EINVAL (the log says what is wrong with its catalogue entry), IMAGINE_EEXIST
 *   (the name is taken), IMAGINE_ENOMEM
 */
IMAGINE_API int imagine_register_provider(imagine_t *im, const imagine_provider_t *provider);

/* ---- settings ---------------------------------------------------------------------------------
 */
/* The names and meanings are those of the README's table ("GITEE_TOKENS", "TIMEOUT_IMAGE_MS"); the
 * server, the gateway and the client read what concerns them from one such set. */

/** An empty set: everything has its default. @return 0 or IMAGINE_ENOMEM */
IMAGINE_API int imagine_settings_open(imagine_settings_t **out);
IMAGINE_API void imagine_settings_close(imagine_settings_t *settings);
/**
 * Set one by name; NULL unsets. Checked at once; names that nobody knows are kept for nothing.
 * @return 0, IMAGINE_EINVAL (imagine_settings_message() names it and says why), IMAGINE_ENOMEM
 */
IMAGINE_API int imagine_settings_set(imagine_settings_t *settings, const char *name,
                                     const char *value);
/** Take what the environment has; what is set already stays. Errors as imagine_settings_set(). */
IMAGINE_API int imagine_settings_read_env(imagine_settings_t *settings);
/**
 * Take what a file of NAME=value lines has (comments, quotes and `export` as in a shell's; of
 * several lines for one name the last counts); what is set already stays. Reads the file at once,
 * blocking.
 * @param path  NULL: .env.local, then .env of the working directory, whichever are there
 * @return 0, IMAGINE_ENOTFOUND (no such file), IMAGINE_EIO, or as imagine_settings_set()
 */
IMAGINE_API int imagine_settings_read_file(imagine_settings_t *settings, const char *path);
/** Why the last call failed: one line that names the setting, never its secret. "" if none did. */
IMAGINE_API const char *imagine_settings_message(const imagine_settings_t *settings);
/** The value in force (the default when none is set), NULL for none. Lives until it is changed. */
IMAGINE_API const char *imagine_settings_get(const imagine_settings_t *settings, const char *name);
/** The same as a whole number; of a choice ("text|json") its place, from 0; 0 when there is none.
 */
IMAGINE_API int64_t imagine_settings_get_int(const imagine_settings_t *settings, const char *name);
/** All of it as lines for a person, secrets masked; free with imagine_free(). NULL: no memory. */
IMAGINE_API char *imagine_settings_describe(const imagine_settings_t *settings);
/** The table of all settings with defaults and meanings, for --help. Static storage. */
IMAGINE_API const char *imagine_settings_help(void);

/**
 * Apply what concerns the client: tokens, base addresses, catalogue file, time limits, storage,
 * encryption key, sample provider, certificates to trust (CA_FILE wins over options.ca_file; with
 * options.io it is refused, IMAGINE_ENOTSUP). Opens the storage that the settings name: unless
 * STATE_FILE says otherwise, and once imagine_settings_read_env() was called, that is imagine.db in
 * $STATE_DIRECTORY, else in $XDG_STATE_HOME/imagine, else in ~/.local/state/imagine, and it is made
 * if it is missing
 * (":memory:": nothing is kept). A STATE_FILE that was set and cannot be opened is IMAGINE_EIO; of
 * a default one the log says so, and nothing is kept. Of <PROVIDER>_TOKENS whose provider nobody
 * knows the log warns: register providers of your own before.
 * @param out_message  NULL, or receives why it failed in one line, free with imagine_free()
 * @return 0, or the first error; what was applied before it stays
 */
IMAGINE_API int imagine_configure(imagine_t *im, const imagine_settings_t *settings,
                                  char **out_message);
/**
 * imagine_configure() for several clients of one process, each on a loop and a thread of its own,
 * that work together: they share one storage, also when nothing is kept ("memory:" then): see
 * imagine_storage_share(). Before the first request, and before a loop runs on another thread.
 *   The storage works on one more thread, which calls options.log of the first client and trusts
 * CA_FILE, else the system's certificates. Clients are closed in any order. After an error some of
 * them may be configured: close them all.
 * @param ims  `count` of them, 1 to 256 (IMAGINE_STORAGE_SHARES_MAX)
 * @return as imagine_configure(); IMAGINE_ENOTSUP also for a storage without atomic steps (Workers
 *   KV) and clients whose io has no loop
 */
IMAGINE_API int imagine_configure_all(imagine_t *const *ims, size_t count,
                                      const imagine_settings_t *settings, char **out_message);
/** imagine_configure() with the environment, then .env.local, then .env of the working directory:
 * also with the default STATE_FILE.
 */
IMAGINE_API int imagine_configure_env(imagine_t *im);

/* ---- what to make -----------------------------------------------------------------------------
 */

/**
 * A picture that goes in. Give `data` or `url`. Of an array, the first element's `size` is the
 * stride.
 */
typedef struct imagine_image {
    size_t size;
    const void *data;     /* PNG, JPEG, WebP, GIF or AVIF */
    size_t data_size;     /* at most 50 MiB */
    const char *mime;     /* NULL: found out from the data */
    const char *filename; /* NULL: one that fits */
    const char *url;      /* http, https (fetched, behind the address guard) or data: */
} imagine_image_t;

/**
 * A piece of a text as it arrives; dies when this returns. imagine_pause() stops the flow.
 * `user` is that of `done`.
 */
typedef void (*imagine_piece_cb)(const char *text, size_t text_size, void *user);

typedef struct imagine_params {
    size_t size;
    const char *model;           /* "provider/model"; without a slash: gitee's */
    const char *prompt;          /* at most 32 000 characters */
    const char *negative_prompt; /* NULL: the model's default */
    const char *ar;              /* "16:9" …; NULL: "1:1". width and height win over it */
    uint32_t width, height;      /* pixels, 16…8192; 0: from `ar` */
    int32_t has_seed;            /* 1: use `seed`; 0: a random one, reported in the result */
    int32_t enable_hd;           /* 0: the provider's rule, 1: yes, -1: no */
    int64_t seed;
    uint32_t steps;          /* 1…1000; 0: the model's default. Held to the model's range */
    uint32_t count;          /* pictures, 1…10; 0: 1 */
    double guidance;         /* 0: the model's default. Held to the model's range */
    double duration_s;       /* video, 1…60; 0: the provider's default */
    int32_t has_temperature; /* text: 1: use `temperature` */
    uint32_t max_tokens;     /* text; 0: the provider's default */
    double temperature;
    const imagine_image_t *images; /* edit: 1…16; video: the first frame; upscale: the one */
    size_t image_count;
    uint32_t timeout_ms; /* whole request, retries included; 0: the client's */
    uint32_t wait_ms; /* how long to wait for a token to recover before giving up; 0: not at all */
    int32_t want_bytes; /* 1: download a result that is an address, see imagine_result_bytes() */
    int32_t is_job;     /* 1: end as soon as the work was taken on, with result.task_id; it goes on
                           as a task, also when the process restarts. Video: always */
    const char *webhook_url; /* a job's outcome is posted there; http or https */
    imagine_piece_cb
        on_piece;            /* text: called for each piece as it comes; result.text is NULL then */
    uint32_t job_wait_ms;    /* is_job: wait that long for the end before answering with an id */
    int32_t response_format; /* IMAGINE_FORMAT_… */
    const char *id; /* of the task that it becomes, if it becomes one: 16 to 64 letters, digits, "-"
                       or "_", which nobody can guess; NULL, or taken: one that we draw */
} imagine_params_t;
#define IMAGINE_FORMAT_ANY 0 /* as the provider gives it */
#define IMAGINE_FORMAT_URL \
    1 /* an http(s) address: needs hosting (S3_…, MEDIA_DIR) or a provider that gives one */
#define IMAGINE_FORMAT_DATA 2 /* a data: address; downloaded where the provider gives another */
#ifdef __cplusplus
#define IMAGINE_PARAMS_INIT IMAGINE_INIT_OF(imagine_params_t)
#else
#define IMAGINE_PARAMS_INIT \
    { .size = sizeof(imagine_params_t) }
#endif
IMAGINE_API void imagine_params_init(imagine_params_t *params, size_t size);

/* ---- what came of it --------------------------------------------------------------------------
 */

/** A result belongs to its request: it lives until the last reference to that is released. */
typedef struct imagine_result {
    size_t size;
    int32_t status;         /* 0, or why there is nothing: IMAGINE_E… */
    int32_t http_status;    /* what the HTTP API answers with it: 200, 429, … */
    const char *message;    /* on failure: one line for a person, secrets masked; else NULL */
    const char *action;     /* "generate", "edit", "text", "video", "upscaler", "task-status" */
    const char *provider;   /* NULL until one was found */
    const char *model;      /* the full id, as asked */
    const char *url;        /* http(s) or data: address of the picture or video */
    size_t url_size;        /* its length */
    const char *type;       /* "base64" where the model answers with data: addresses, else NULL */
    const char *text;       /* text action */
    const char *usage_json; /* text: the provider's own `usage` object, or NULL */
    const char *task_id;    /* what imagine_task_status() takes: a video, a job, or, on a failure,
                               work that a provider took on and that goes on without you */
    const char *task_state; /* "processing", "success", "failed"; NULL: not a task */
    uint32_t predict_s;     /* a task: expected seconds */
    uint32_t width, height; /* 0: not known */
    uint32_t steps;         /* the value used; 0: none */
    double guidance;        /* the value used; 0: none */
    int32_t has_seed;
    uint32_t attempts; /* calls to the provider that this took, rotations included */
    int64_t seed;
    const char *token;       /* fingerprint of the token that served or, on failure, was asked
                                last; NULL: none */
    uint64_t retry_after_ms; /* on EEXHAUSTED, EBREAKER, EBUSY: earliest recovery; 0: unknown */
    const char *const *urls; /* of several pictures all addresses, `url` the first; else NULL */
    size_t url_count;
    const char *revised_prompt; /* the prompt that the provider made of ours; NULL: it tells none */
    double progress;            /* a task: 0…1; negative: not known */
    uint32_t queue_position;    /* a task: 0: not known, or not waiting */
    uint32_t reserved;
    const char *log_reason; /* on failure: `message` as a log may have it: 120 characters at most,
                               nothing in it of the prompt, no double quote; else NULL */
} imagine_result_t;

/** See imagine_generate(). `status` is result->status. */
typedef void (*imagine_done_cb)(int status, const imagine_result_t *result, void *user);

/**
 * The bytes of a picture or video: a data: address decoded, or what params.want_bytes downloaded.
 * Ownership: `*data` and `*mime` belong to the result's request.
 * @return 0, IMAGINE_ENOTFOUND (the result is an address that was not downloaded, or no picture),
 *   IMAGINE_EPROTOCOL (broken base64), IMAGINE_ENOMEM
 */
IMAGINE_API int imagine_result_bytes(const imagine_result_t *result, const void **data,
                                     size_t *data_size, const char **mime);

/** imagine_result_bytes() of one of several pictures (result.urls), counted from 0; of a result
 * with one address that is 0. An address that is not the first is not downloaded for want_bytes:
 * ask for IMAGINE_FORMAT_DATA, which brings all of them. */
IMAGINE_API int imagine_result_picture(const imagine_result_t *result, size_t index,
                                       const void **data, size_t *data_size, const char **mime);

/** One stretch of bytes. Never grows. */
typedef struct imagine_slice {
    const void *data;
    size_t size;
} imagine_slice_t;

/** The result as the JSON that the HTTP API answers. Belongs to the request, which keeps it, as it
 * keeps the bytes above: these functions take one result on one thread at a time. NULL: no memory.
 */
IMAGINE_API const char *imagine_result_json(const imagine_result_t *result, size_t *out_size);
#define IMAGINE_RESULT_SLICES_MAX 23 /* ten pictures, the first of them twice */
/**
 * The same in at most `capacity` pieces, so that the pictures inside are not copied.
 * @param capacity  IMAGINE_RESULT_SLICES_MAX is always enough
 * @return how many, 0: no memory, or more than `capacity`
 */
IMAGINE_API size_t imagine_result_json_slices(const imagine_result_t *result,
                                              imagine_slice_t *slices, size_t capacity);

/* ---- actions ----------------------------------------------------------------------------------
 */

/**
 * Start making a picture from a prompt. Returns at once; routing, tokens, retries and clean-up
 * happen inside.
 * Ownership: `params` is copied. `*out` (NULL if not wanted) is a counted reference, set before
 *   `done` can run; give it back with imagine_request_release(), before or after the end.
 * Callback: `done` (NULL if not wanted) runs exactly once for every accepted request. `result` is
 *   never NULL; it dies when `done` returns unless you hold a reference to the request. On failure
 * it carries the message, the provider and retry_after_ms. Inside `done` anything may be started or
 *   closed.
 * @return 0 if accepted. Else nothing was started and `done` never runs: IMAGINE_EINVAL (no params
 * or a size that is none), IMAGINE_ENOMEM, IMAGINE_ECLOSED. What is wrong with a parameter, and all
 *   that happens later, is told to `done`: IMAGINE_EINVAL, EPROVIDER, EACTION, ENOTOKEN,
 * EEXHAUSTED, EBREAKER, EBUSY, ECANCELED, ETIMEDOUT, EPICTURE, EADDRESS, EREJECTED, ECONTENT,
 * EPROTOCOL, EUPSTREAM, ECONNECT, ETOOLARGE, ENOMEM.
 */
IMAGINE_API int imagine_generate(imagine_t *im, const imagine_params_t *params,
                                 imagine_done_cb done, void *user, imagine_request_t **out);
/** Change pictures by a prompt: params.images. As imagine_generate(). */
IMAGINE_API int imagine_edit(imagine_t *im, const imagine_params_t *params, imagine_done_cb done,
                             void *user, imagine_request_t **out);
/** Rewrite a prompt into a better one: result.text. As imagine_generate(). */
IMAGINE_API int imagine_text(imagine_t *im, const imagine_params_t *params, imagine_done_cb done,
                             void *user, imagine_request_t **out);
/**
 * Make a video. Ends as soon as the provider took it on, with result.task_id; the client goes on
 * watching the task and imagine_task_status() tells. As imagine_generate().
 */
IMAGINE_API int imagine_video(imagine_t *im, const imagine_params_t *params, imagine_done_cb done,
                              void *user, imagine_request_t **out);
/** Enlarge a picture: params.images[0]; without a model the catalogue's first upscaler. As
 * imagine_generate(). */
IMAGINE_API int imagine_upscale(imagine_t *im, const imagine_params_t *params, imagine_done_cb done,
                                void *user, imagine_request_t **out);
/**
 * How a task stands: result.task_state, and result.url or result.message at its end. Answers from
 * what the client knows, within a second whatever the provider does. IMAGINE_ENOTFOUND: no such
 * task, or it ended more than 24 h ago.
 * A request that was cancelled or timed out after its provider took it on is a task too, from then
 * on, under params.id (result.task_id tells). Of several pictures that are made one by one, the
 * second one's id ends in "-2", and so on.
 */
IMAGINE_API int imagine_task_status(imagine_t *im, const char *task_id, imagine_done_cb done,
                                    void *user, imagine_request_t **out);

/** imagine_task_status(), and of a task that has succeeded its result is downloaded where that is
 * an address: imagine_result_bytes(). Takes as long as that takes. */
IMAGINE_API int imagine_task_result(imagine_t *im, const char *task_id, imagine_done_cb done,
                                    void *user, imagine_request_t **out);

/**
 * Give a task up: one that has not reached its provider never will; else the provider is told where
 * it can be, and the task fails with "canceled". Its result as imagine_task_status(). A task that
 * has ended stays as it is.
 */
IMAGINE_API int imagine_task_cancel(imagine_t *im, const char *task_id, imagine_done_cb done,
                                    void *user, imagine_request_t **out);

/**
 * Any action by name with its parameters as JSON, named as in the HTTP API ("negativePrompt",
 * "enableHD", "imageUrl" …): for FFI, scripts and gateways. A null or an empty text counts as not
 * given; a guidance of 0 does not, and is held to the model's range.
 * @param action  "generate" or "imagine", "edit", "text", "video", "upscaler", or "task-status"
 *   and "task-cancel" ({"taskId": …})
 * @param json    copied; a broken document or a field out of bounds is told to `done`
 *   (IMAGINE_EINVAL, the message names the field)
 * As imagine_generate() in all else.
 */
IMAGINE_API int imagine_submit(imagine_t *im, const char *action, const char *json,
                               size_t json_size, imagine_done_cb done, void *user,
                               imagine_request_t **out);

/** What imagine_submit_form() takes: JSON with pictures beside it, as in multipart/form-data. */
typedef struct imagine_form {
    size_t size;
    const char *action;
    const char *json;
    size_t json_size;
    const imagine_image_t *images; /* before those that the JSON names */
    size_t image_count;
    void (*release)(void *owner); /* NULL: all of it is copied. Else nothing is: it must live until
                                     release(owner) is called, once, on the loop's thread */
    void *owner;
    imagine_piece_cb on_piece; /* see imagine_params_t */
    int32_t is_job;            /* 1: as "async": true in the JSON */
    uint32_t job_wait_ms;
    const char *id; /* as in imagine_params_t */
} imagine_form_t;
/**
 * imagine_submit() with pictures beside the JSON, and without a copy where `release` is given. When
 * this call fails, `release` is not called.
 */
IMAGINE_API int imagine_submit_form(imagine_t *im, const imagine_form_t *form, imagine_done_cb done,
                                    void *user, imagine_request_t **out);

/* ---- requests ---------------------------------------------------------------------------------
 */

/**
 * Ask for an early end: `done` still runs, with IMAGINE_ECANCELED unless the end was quicker. What
 * a provider has accepted already is finished in the background, as the task result.task_id (but
 * for a text in pieces). Harmless after the end.
 */
IMAGINE_API void imagine_cancel(imagine_request_t *request);
/** Stop and go on receiving pieces: the provider's connection is held back as soon as its window is
 * full, at no cost of memory. Time limits of the request go on. Harmless after the end. */
IMAGINE_API void imagine_pause(imagine_request_t *request, int32_t is_paused);
/** Give a reference back (NULL is fine). The request itself goes on. Any thread, any time, even
 * after the client was closed. */
IMAGINE_API void imagine_request_release(imagine_request_t *request);
/** One more reference; returns `request`. */
IMAGINE_API imagine_request_t *imagine_request_retain(imagine_request_t *request);
/** The result once the request has ended, else NULL. Belongs to the request. */
IMAGINE_API const imagine_result_t *imagine_request_result(const imagine_request_t *request);
/**
 * Block until the request has ended and its `done` has run. For private-thread mode, and for
 * is_manual, where it turns meanwhile.
 * @param timeout_ms  negative: as long as it takes
 * @return 0, IMAGINE_ETIMEDOUT (the request goes on), IMAGINE_EDEADLK (called on the loop's thread,
 *   with is_manual inside a callback, or the client runs on a loop of yours)
 */
IMAGINE_API int imagine_wait(imagine_request_t *request, int64_t timeout_ms);

/* ---- looking around ---------------------------------------------------------------------------
 */

/** Frees what a function of this library gave you to free. NULL is fine. */
IMAGINE_API void imagine_free(void *pointer);

/**
 * Wait until what the storage holds is loaded, as requests do: 250 ms at most. Who looks around
 * right after imagine_configure() learns only then which tokens are set aside, and which models can
 * serve.
 * @return 0, IMAGINE_EINVAL (`im` is NULL), IMAGINE_ECLOSED, IMAGINE_EDEADLK (as imagine_wait())
 */
IMAGINE_API int imagine_wait_loaded(imagine_t *im);

#define IMAGINE_MODELS_ALL 1 /* also models whose provider cannot serve now */
/**
 * The models as a JSON array, in catalogue order {id, name, type, …}, as GET
 * /api/v1/models answers it.
 * @param flags  0: those whose provider can serve now (a usable token, or none needed)
 * @return text to free with imagine_free(); NULL: no memory or closed
 */
IMAGINE_API char *imagine_models(imagine_t *im, uint32_t flags);

/** Names of all providers as a JSON array of texts, in order; free with imagine_free(). */
IMAGINE_API char *imagine_providers(imagine_t *im);

/** All providers as lines for a person: whether they can serve now, and if not, which setting is
 * missing; free with imagine_free(). NULL: no memory or closed. */
IMAGINE_API char *imagine_describe(imagine_t *im);

/** total = active + exhausted + cooling + invalid. */
typedef struct imagine_token_stats {
    size_t size;
    uint32_t total, active, exhausted, cooling, invalid, reserved;
} imagine_token_stats_t;
/** @return 0, IMAGINE_EPROVIDER, IMAGINE_EINVAL, IMAGINE_ECLOSED */
IMAGINE_API int imagine_token_stats(imagine_t *im, const char *provider,
                                    imagine_token_stats_t *out);
/**
 * The tokens of a provider as a JSON array of {fingerprint, state, until, inFlight, served,
 * failed}. The last two are counted since the client was opened; with a storage that is shared they
 * are the sums over all who share it, as they were when this was last asked, or a second ago.
 * @return text to free with imagine_free(); NULL: no such provider, closed, or no memory
 */
IMAGINE_API char *imagine_token_details(imagine_t *im, const char *provider);
/** Forget that tokens are exhausted, cooling or invalid, here and in the storage, and close the
 * provider's breaker. @return 0, IMAGINE_EPROVIDER, IMAGINE_ECLOSED */
IMAGINE_API int imagine_token_reset(imagine_t *im, const char *provider);

#define IMAGINE_BREAKER_CLOSED 0
#define IMAGINE_BREAKER_OPEN 1
#define IMAGINE_BREAKER_PROBING 2
typedef struct imagine_counters {
    size_t size;
    uint64_t accepted, succeeded, failed, canceled; /* requests since the client was opened */
    uint64_t calls, rotations, retries; /* attempts at providers, and what they led to */
    uint64_t in_flight, tasks;          /* now */
} imagine_counters_t;
/** @return 0, IMAGINE_EINVAL, IMAGINE_ECLOSED */
IMAGINE_API int imagine_counters(imagine_t *im, imagine_counters_t *out);
/** IMAGINE_BREAKER_…, or IMAGINE_EPROVIDER. */
IMAGINE_API int imagine_breaker_state(imagine_t *im, const char *provider);

/**
 * The last webhooks (params.webhook_url), newest first, at most 200, as a JSON array of {id,
 * taskId, url, state, tries, lastStatus, lastError, nextAt}: `id` is what the receiver sees as
 * webhook-id, `url` lacks its query, `state` is "pending", "delivered" or "failed", `lastStatus`
 * the HTTP status of the last answer, `nextAt` when a pending one is due (ISO 8601); null: there
 * is none. One that has ended is kept for 24 h.
 * @return text to free with imagine_free(); NULL: closed or no memory
 */
IMAGINE_API char *imagine_webhooks(imagine_t *im);
/**
 * Deliver a webhook again, under its old id: one that has ended from the beginning, with ten tries;
 * one that waits for its next try at once.
 * @return 0, IMAGINE_ENOTFOUND, IMAGINE_EINVAL, IMAGINE_ECLOSED
 */
IMAGINE_API int imagine_webhook_redeliver(imagine_t *im, const char *id);

/* ---- JSON -------------------------------------------------------------------------------------
 */
/* For programs without a reader of their own: what imagine_models(), imagine_token_details() and
 * imagine_result_json() answer. A path is "[0].id" or "data[0].url", "" is the whole document. In
 * one that is broken they find nothing, or what looks right. */

/** A text; free with imagine_free(). NULL: none there, or no memory. */
IMAGINE_API char *imagine_json_text(const char *json, size_t json_size, const char *path);
/** 1 and `*out`, or 0: no number there. */
IMAGINE_API int imagine_json_number(const char *json, size_t json_size, const char *path,
                                    double *out);
/** A value of any type as it stands: a piece of `json`. NULL: none there. */
IMAGINE_API const char *imagine_json_value(const char *json, size_t json_size, const char *path,
                                           size_t *out_size);
/** How many elements an array has, or members an object; 0: neither is there. */
IMAGINE_API size_t imagine_json_count(const char *json, size_t json_size, const char *path);
/** The name of member `index` of an object; free with imagine_free(). NULL: none there, or no
 * memory. */
IMAGINE_API char *imagine_json_name(const char *json, size_t json_size, const char *path,
                                    size_t index);
/** A text as JSON, quotes and all ("null" for NULL); free with imagine_free(). NULL: no memory. */
IMAGINE_API char *imagine_json_quote(const char *text, size_t text_size);

/* ---- the log ----------------------------------------------------------------------------------
 */

/** Write a line to the client's log, as the library does ("event key=value …"). */
IMAGINE_API void imagine_log(imagine_t *im, int32_t level, const char *line);
/** 1 if a line of that level is wanted: else it need not even be built. Any thread. */
IMAGINE_API int32_t imagine_log_wants(const imagine_t *im, int32_t level);
/**
 * Turn a log line into what an operator reads: "2026-01-08T16:00:00.123Z info event key=value" or
 * one JSON object {time, level, event, …} in which codes, counts and times (status, ms, attempts)
 * are numbers and the rest is text, with a line break. Writes at most `capacity` bytes, the NUL
 * included.
 * @return length written, the NUL not counted
 */
IMAGINE_API size_t imagine_log_format(char *out, size_t capacity, int is_json, int64_t unix_ms,
                                      int32_t level, const char *line);

#ifdef __cplusplus
}
#endif

#endif
