/**
 * imagine/storage.h: where state outlives the process, and how to bring a storage of your own.
 *
 * The library keeps little there: one small record per token that is set aside (under the token's
 * fingerprint, never the token), one per task, counters. A request never waits for it: memory is
 * ahead, and the storage follows in the background. A storage that fails slows nothing down.
 */
#ifndef IMAGINE_STORAGE_H
#define IMAGINE_STORAGE_H

#include "../imagine.h"
#include "io.h"

#ifdef __cplusplus
extern "C" {
#endif

#define IMAGINE_STORAGE_KEY_SIZE_MAX 512             /* bytes, the NUL not counted */
#define IMAGINE_STORAGE_VALUE_SIZE_MAX (1024 * 1024) /* bytes */

/** The storage is shared with other processes or hosts. */
#define IMAGINE_STORAGE_IS_SHARED 1
/** `add` and `swap` are atomic steps across everybody who shares it. */
#define IMAGINE_STORAGE_IS_ATOMIC 2
/** `watch` tells of what this process changes; what others change is seen by listing again. */
#define IMAGINE_STORAGE_WATCHES_PROCESS 4

/** `status`: 0, IMAGINE_ENOTFOUND (get), or an error. */
typedef void (*imagine_storage_done_cb)(int status, void *user);
/** `value` dies when the callback returns. */
typedef void (*imagine_storage_get_cb)(int status, const void *value, size_t value_size,
                                       void *user);
typedef void (*imagine_storage_add_cb)(int status, int64_t value, void *user);

/** Never grows. */
typedef struct imagine_storage_entry {
    const char *key;
    const void *value;
    size_t value_size;
} imagine_storage_entry_t;
/** Somebody else set, added to, swapped or removed this key; NULL: anything may have changed. */
typedef void (*imagine_storage_changed_cb)(const char *key, void *user);
/** Runs any number of times with `is_last` 0, and once with it 1; after an error that one is next.
 */
typedef void (*imagine_storage_list_cb)(int status, const imagine_storage_entry_t *entries,
                                        size_t entry_count, int32_t is_last, void *user);

/**
 * A driver. Every function is called on the loop's thread, and every accepted operation calls back
 * there exactly once (list: see its callback), never inside the call. Keys are printable UTF-8 of
 * at most IMAGINE_STORAGE_KEY_SIZE_MAX bytes (a prefix may be empty); values are bytes; both are
 * copied. Times to live are milliseconds, 0 means for ever; an expired value is absent. Operations
 * on one key happen in the order in which they were asked for. What is not accepted never calls
 * back: IMAGINE_EINVAL (the key, no callback), IMAGINE_ETOOLARGE (the value), IMAGINE_EBUSY (too
 * much waits), IMAGINE_ECLOSED, IMAGINE_ENOMEM.
 */
typedef struct imagine_storage_driver {
    size_t size;
    const char *name; /* "redis", for the log */
    uint32_t flags;   /* IMAGINE_STORAGE_… */
    uint32_t reserved;

    /** The client that this storage now belongs to; comes first, once. IMAGINE_ENOTSUP when `io`
     * lacks what the driver needs. `io` lives until close has called back. */
    int (*start)(void *self, const imagine_io_t *io);
    int (*get)(void *self, const char *key, imagine_storage_get_cb done, void *user);
    int (*set)(void *self, const char *key, const void *value, size_t value_size, uint64_t ttl_ms,
               imagine_storage_done_cb done, void *user);
    /** Removing what is not there succeeds. */
    int (*remove)(void *self, const char *key, imagine_storage_done_cb done, void *user);
    /** Adds to a whole number (absent: 0) and tells the sum, which `get` gives as decimal text.
     * ttl_ms counts only when the key is made. IMAGINE_EINVAL for a value that is no number, or a
     * sum out of range. */
    int (*add)(void *self, const char *key, int64_t amount, uint64_t ttl_ms,
               imagine_storage_add_cb done, void *user);
    /** Everything whose key begins with `prefix`, in no particular order. */
    int (*list)(void *self, const char *prefix, imagine_storage_list_cb done, void *user);
    /** Ends what is under way (each operation calls back first, with IMAGINE_ECLOSED if it was not
     * done), writes what is not yet written, frees `self`, then calls `closed`. Also the only call
     * after a failed or missing start: then `closed` may run inside. `closed` may be NULL. */
    void (*close)(void *self, imagine_closed_cb closed, void *user);

    /** May be NULL (without IMAGINE_STORAGE_IS_ATOMIC). Sets the value, or removes it (value NULL),
     * only while it is `expected` (NULL: while it is absent). IMAGINE_ENOTFOUND: it is another one,
     * and stays. */
    int (*swap)(void *self, const char *key, const void *expected, size_t expected_size,
                const void *value, size_t value_size, uint64_t ttl_ms, imagine_storage_done_cb done,
                void *user);
    /** May be NULL: then whoever wants to know lists again. Once, after start: from now on until
     * close, `changed` tells of every change that others make to keys with this prefix, soon after
     * it was made; when it begins to hear, and after a gap, of NULL. Everybody who shares the
     * storage watches the same prefix.
     */
    int (*watch)(void *self, const char *prefix, imagine_storage_changed_cb changed, void *user);
} imagine_storage_driver_t;

/**
 * A storage from an address:
 *   "memory:"                 nothing outlives the process
 *   "redis://user:password@host:6379/0"   a Redis server (from 6 on), or with TLS
 *     "rediss://user:password@host:6379/0?ca=/path/ca.pem", where the build's hiredis has it (1.0
 *     with hiredis_ssl; else the message says so). The certificate must be the host's; without `ca`
 *     the system decides whom to trust. User, password, port and database may be left out.
 *     Not a Cluster, not Sentinel, not a Unix socket. All that its user needs, without ?prefix=
 *     (else ~<prefix>* and &<prefix>changes):
 *       ACL SETUSER app on >password ~* &changes -@all +ping +select +get +set +del +mget +scan
 *         +eval +exists +incrby +pexpire +publish +subscribe
 *     Redis gives a new user no channel: without it, what others change is looked for once a
 *     second, and the log says store.deaf. hiredis writes to its socket with write(): a host that
 *     must not end by SIGPIPE when a server closes its connection ignores that signal (we install
 *     no handler in a process that is not ours).
 *   "upstash:https://:token@host"   Upstash Redis over HTTP (the REST address and its token)
 *   "cloudflare:https://:token@api.cloudflare.com/client/v4/accounts/<id>/storage/kv/namespaces/<id>"
 *     Workers KV over HTTP: no step is atomic there, and others see a change up to a minute late
 *     (for redis, upstash and cloudflare: ?prefix=… in front of every key; what is no letter, digit
 *     or one of -._~ in a user, password, token or prefix is written as %XX)
 *   "sqlite:/path/state.db"   one file, made (0600, its directories 0700) if it is missing. What
 *     was acknowledged survives kill -9; a loss of power may take the last moments before it, but
 *     never breaks the file. Processes of one machine may share it. A file that is damaged or not
 *     ours is left as it is: the log says so, and every operation ends with IMAGINE_EIO.
 * The file is opened, in the background, when the storage is given to a client.
 * @param out_message  NULL, or receives what is wrong in one line (no password in it);
 * imagine_free()
 * @return 0, IMAGINE_EINVAL, IMAGINE_ENOTSUP (no such driver in this build), IMAGINE_ENOMEM
 */
IMAGINE_API int imagine_storage_open(imagine_storage_t **out, const char *url, char **out_message);

/**
 * A storage from a driver of your own. The table is copied, `self` is handed to its functions.
 * @return 0, IMAGINE_EINVAL (a function is missing), IMAGINE_ENOMEM; then `self` is still yours
 */
IMAGINE_API int imagine_storage_new(imagine_storage_t **out, const imagine_storage_driver_t *driver,
                                    void *self);

#define IMAGINE_STORAGE_SHARES_MAX 256
/**
 * One storage for several clients of this process, each on a loop (and a thread) of its own. Every
 * one of `outs` is a storage like any other, for one client, and is closed like any other: in any
 * order, on any thread. What one of them writes the others read, and hear of at once (`watch`),
 * whatever is behind it; "memory:" becomes IMAGINE_STORAGE_IS_SHARED.
 * The storage itself works on one more thread, from the first start to the last close; the last
 * close waits for it, and for its writes. Clients without a loop (options.io without `loop`) cannot
 * take part: start says IMAGINE_ENOTSUP.
 * @param outs     `count` (1 to IMAGINE_STORAGE_SHARES_MAX) places
 * @param storage  no client has it; it belongs to `outs` from now on, also when this fails (then it
 *   is closed)
 * @param options  of the io table that the storage works with: `log` is called on its thread,
 * `loop` must be NULL. NULL: all defaults
 * @return 0, IMAGINE_EINVAL, IMAGINE_ENOMEM, IMAGINE_EIO; then `outs` are NULL
 */
IMAGINE_API int imagine_storage_share(imagine_storage_t **outs, size_t count,
                                      imagine_storage_t *storage,
                                      const imagine_io_uv_options_t *options);

/** Only for a storage that no client has: closes it. NULL is fine; `closed` may be NULL. */
IMAGINE_API void imagine_storage_close(imagine_storage_t *storage, imagine_closed_cb closed,
                                       void *user);

/** The driver and its `self`, to use a storage directly. Both belong to the storage. */
IMAGINE_API const imagine_storage_driver_t *imagine_storage_driver(const imagine_storage_t *storage,
                                                                   void **out_self);

/**
 * The same of the storage that a client has now, for what a host counts or keeps beside us. Keys
 * that begin with live/, task/, webhook/, run/, stat/ or limit/ are ours. Ask anew each time:
 * imagine_set_storage() and imagine_close() take it away, and what is under way then still calls
 * back, with IMAGINE_ECLOSED if it was not done.
 * Thread: the loop's thread.
 * @return NULL: the client keeps everything in memory, or closes
 */
IMAGINE_API const imagine_storage_driver_t *imagine_client_storage(const imagine_t *im,
                                                                   void **out_self);

#ifdef __cplusplus
}
#endif

#endif
