/* file_storage.c: a storage of your own, for imagine/storage.h: every value is a file in a folder.
 *
 *   GITEE_TOKENS=… ./file_storage /tmp/state "a quiet sea" gitee/flux-2
 *
 * What takes longest to get right is *when* to call back: never inside the call that asked, always
 * on the loop's thread, once, in the order of asking. So every operation is done at once (these are
 * small files), its answer goes to the end of a list, and a timer of 0 ms, in the loop's next turn,
 * hands the answers out. A storage that waits for a network or a thread fills the same list later.
 *
 * A file holds a line with the time when it expires, a line with the key, and the value. It is
 * named by a hash of the key, for keys may be longer than names of files. */
#include <dirent.h>
#include <errno.h>
#include <imagine.h>
#include <imagine/storage.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FOLDER_SIZE_MAX 512
#define PATH_SIZE (FOLDER_SIZE_MAX + 32)
#define FILE_SIZE_MAX (32 + IMAGINE_STORAGE_KEY_SIZE_MAX + IMAGINE_STORAGE_VALUE_SIZE_MAX)
#define WAITING_MAX 4096 /* answers; who asks for more has to wait */

typedef struct file {
    char *data; /* all of it; key and value lie in it, each with a NUL behind it */
    const char *key, *value;
    size_t value_size;
    uint64_t expires_unix_ms; /* 0: never */
} file_t;

/* ---- answers that wait for their turn ----------------------------------------------------------
 */

typedef struct answer {
    struct answer *next;
    int status;
    imagine_storage_get_cb on_get; /* one of these four */
    imagine_storage_done_cb on_done;
    imagine_storage_add_cb on_add;
    imagine_storage_list_cb on_list;
    void *user;
    int64_t sum;
    file_t file;   /* get, add */
    file_t *files; /* list */
    size_t file_count;
} answer_t;

typedef struct storage {
    const imagine_io_t *io; /* NULL until start */
    char folder[FOLDER_SIZE_MAX];
    answer_t *first, **last;
    size_t waiting_count;
    imagine_timer_t *timer;
    bool is_handing_out, is_closing;
    imagine_closed_cb on_closed;
    void *closed_user;
} storage_t;

static void hand_out_list(const answer_t *answer) {
    for (size_t i = 0; i < answer->file_count; i++) {
        const file_t *file = &answer->files[i];
        const imagine_storage_entry_t entry = {file->key, file->value, file->value_size};
        answer->on_list(0, &entry, 1, 0, answer->user);
    }
    answer->on_list(answer->status, NULL, 0, 1, answer->user);
}

static void hand_out(answer_t *answer) {
    if (answer->on_get != NULL && answer->status == 0)
        answer->on_get(0, answer->file.value, answer->file.value_size, answer->user);
    else if (answer->on_get != NULL)
        answer->on_get(answer->status, NULL, 0, answer->user);
    else if (answer->on_done != NULL)
        answer->on_done(answer->status, answer->user);
    else if (answer->on_add != NULL)
        answer->on_add(answer->status, answer->sum, answer->user);
    else
        hand_out_list(answer);
    for (size_t i = 0; i < answer->file_count; i++)
        free(answer->files[i].data);
    free(answer->files);
    free(answer->file.data);
    free(answer);
}

static void on_turn(void *user) {
    storage_t *storage = user;
    answer_t *answer = storage->first;
    storage->timer = NULL;
    storage->first = NULL; /* a callback may ask for more: that is for the next turn */
    storage->last = &storage->first;
    storage->waiting_count = 0;
    storage->is_handing_out = true;
    while (answer != NULL) {
        answer_t *next = answer->next;
        hand_out(answer);
        answer = next;
    }
    storage->is_handing_out = false;
    if (storage->is_closing && storage->timer == NULL) {
        imagine_closed_cb on_closed = storage->on_closed;
        void *closed_user = storage->closed_user;
        free(storage);
        if (on_closed != NULL)
            on_closed(closed_user);
    }
}

/* Without a timer the answer could never be handed out: then nothing is accepted. */
static int wake(storage_t *storage) {
    if (storage->timer != NULL)
        return 0;
    return storage->io->timer_start(storage->io->context, 0, on_turn, storage, &storage->timer);
}

/* Printable UTF-8 of at most so many bytes. */
static bool is_text(const char *key) {
    if (key == NULL || strlen(key) > IMAGINE_STORAGE_KEY_SIZE_MAX)
        return false;
    while (*key != '\0') {
        unsigned char c = (unsigned char)*key++;
        int more = c < 0x80 ? 0 : c < 0xC2 ? -1 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : c < 0xF5 ? 3 : -1;
        if (c < ' ' || c == 0x7F || more < 0)
            return false;
        while (more-- > 0)
            if (((unsigned char)*key++ & 0xC0) != 0x80)
                return false;
    }
    return true;
}

/* A prefix may be empty, a key may not. */
static bool is_empty(const char *key) {
    return key == NULL || *key == '\0';
}

/* Room for an answer, before anything is done: what was done must be told. */
static int expect(storage_t *storage, const char *key, void *user, answer_t **out) {
    int err = IMAGINE_ENOMEM;
    if (storage->is_closing)
        return IMAGINE_ECLOSED;
    if (!is_text(key))
        return IMAGINE_EINVAL;
    if (storage->waiting_count == WAITING_MAX)
        return IMAGINE_EBUSY;
    answer_t *answer = calloc(1, sizeof(*answer));
    if (answer != NULL)
        err = wake(storage);
    if (err != 0) {
        free(answer);
        return err;
    }
    answer->user = user;
    *storage->last = answer;
    storage->last = &answer->next;
    storage->waiting_count++;
    *out = answer;
    return 0;
}

/* ---- files -------------------------------------------------------------------------------------
 */

/* FNV-1a. Two keys of one hash among thousands are less likely than a broken disk: the second one
 * is refused. */
static void path_of(const storage_t *storage, const char *key, char out[PATH_SIZE]) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *key != '\0'; key++)
        hash = (hash ^ (unsigned char)*key) * UINT64_C(0x100000001b3);
    snprintf(out, PATH_SIZE, "%s/%016" PRIx64 ".value", storage->folder, hash);
}

/* The whole file, with a NUL behind it; NULL: errno says why. */
static char *read_whole(const char *path, size_t *out_size) {
    FILE *stream = fopen(path, "rb");
    char *data = stream != NULL ? malloc(FILE_SIZE_MAX + 1) : NULL, *fitting;
    if (data != NULL) {
        *out_size = fread(data, 1, FILE_SIZE_MAX, stream);
        data[*out_size] = '\0';
        fitting = realloc(data, *out_size + 1);
        data = fitting != NULL ? fitting : data;
    }
    if (stream != NULL)
        fclose(stream);
    return data;
}

/* 0 with out->data to free, IMAGINE_ENOTFOUND (also: expired), IMAGINE_EIO. */
static int read_file(const storage_t *storage, const char *path, file_t *out) {
    uint64_t now = (uint64_t)storage->io->unix_ms(storage->io->context), expires;
    size_t size = 0;
    char *data = read_whole(path, &size), *key = NULL, *value;
    if (data == NULL)
        return errno == ENOENT ? IMAGINE_ENOTFOUND : IMAGINE_EIO;
    expires = strtoull(data, &key, 10);
    value = *key == '\n' ? strchr(++key, '\n') : NULL;
    if (value == NULL || (expires != 0 && expires <= now)) {
        free(data);
        if (value != NULL)
            remove(path);
        return value != NULL ? IMAGINE_ENOTFOUND : IMAGINE_EIO;
    }
    *value++ = '\0';
    *out = (file_t){data, key, value, size - (size_t)(value - data), expires};
    return 0;
}

static int read_key(const storage_t *storage, const char *key, file_t *out) {
    char path[PATH_SIZE];
    path_of(storage, key, path);
    int err = read_file(storage, path, out);
    if (err != 0 || strcmp(out->key, key) == 0)
        return err;
    free(out->data);
    out->data = NULL;
    return IMAGINE_EIO; /* another key's */
}

/* Into a file beside it first, which then takes its place: nobody ever reads a half. */
static int write_key(const storage_t *storage, const char *key, const void *value, size_t size,
                     uint64_t expires_unix_ms) {
    char path[PATH_SIZE], beside[PATH_SIZE + 8];
    path_of(storage, key, path);
    snprintf(beside, sizeof(beside), "%s.new", path);
    FILE *stream = fopen(beside, "wb");
    if (stream == NULL)
        return IMAGINE_EIO;
    bool is_good = fprintf(stream, "%" PRIu64 "\n%s\n", expires_unix_ms, key) > 0 &&
                   fwrite(value, 1, size, stream) == size;
    is_good = fclose(stream) == 0 && is_good;
    if (is_good && rename(beside, path) == 0)
        return 0;
    remove(beside);
    return IMAGINE_EIO;
}

static uint64_t expiry(const storage_t *storage, uint64_t ttl_ms) {
    uint64_t now = (uint64_t)storage->io->unix_ms(storage->io->context);
    return ttl_ms == 0 || ttl_ms > UINT64_MAX - now ? 0 : now + ttl_ms;
}

/* ---- the driver --------------------------------------------------------------------------------
 */

static int start(void *self, const imagine_io_t *io) {
    storage_t *storage = self;
    storage->io = io;
    return mkdir(storage->folder, 0700) == 0 || errno == EEXIST ? 0 : IMAGINE_EIO;
}

static int get(void *self, const char *key, imagine_storage_get_cb done, void *user) {
    storage_t *storage = self;
    answer_t *answer;
    int err = done == NULL || is_empty(key) ? IMAGINE_EINVAL : expect(storage, key, user, &answer);
    if (err != 0)
        return err;
    answer->on_get = done;
    answer->status = read_key(storage, key, &answer->file);
    return 0;
}

static int set(void *self, const char *key, const void *value, size_t value_size, uint64_t ttl_ms,
               imagine_storage_done_cb done, void *user) {
    storage_t *storage = self;
    answer_t *answer;
    int err =
        done == NULL || is_empty(key) || (value == NULL && value_size > 0) ? IMAGINE_EINVAL : 0;
    if (err == 0 && value_size > IMAGINE_STORAGE_VALUE_SIZE_MAX)
        err = IMAGINE_ETOOLARGE;
    if (err == 0)
        err = expect(storage, key, user, &answer);
    if (err != 0)
        return err;
    answer->on_done = done;
    answer->status = write_key(storage, key, value, value_size, expiry(storage, ttl_ms));
    return 0;
}

static int remove_key(void *self, const char *key, imagine_storage_done_cb done, void *user) {
    storage_t *storage = self;
    answer_t *answer;
    char path[PATH_SIZE];
    int err = done == NULL || is_empty(key) ? IMAGINE_EINVAL : expect(storage, key, user, &answer);
    if (err != 0)
        return err;
    answer->on_done = done;
    path_of(storage, key, path);
    answer->status = remove(path) == 0 || errno == ENOENT ? 0 : IMAGINE_EIO;
    return 0;
}

/* Whole numbers as text; what is none, or too large, is refused. */
static int sum_up(const file_t *file, int64_t amount, int64_t *out) {
    char *end = NULL;
    int64_t number;
    errno = 0;
    number = strtoll(file->value, &end, 10);
    if (strspn(file->value, "-0123456789") != file->value_size || errno != 0 ||
        end != file->value + file->value_size || end == file->value ||
        (amount > 0 ? number > INT64_MAX - amount : number < INT64_MIN - amount))
        return IMAGINE_EINVAL;
    *out = number + amount;
    return 0;
}

/* Reading and writing is one step here, as long as one process uses the folder. A storage for
 * several has to do it in one, and then says IMAGINE_STORAGE_IS_ATOMIC. */
static int add(void *self, const char *key, int64_t amount, uint64_t ttl_ms,
               imagine_storage_add_cb done, void *user) {
    storage_t *storage = self;
    answer_t *answer;
    char text[32];
    int err = done == NULL || is_empty(key) ? IMAGINE_EINVAL : expect(storage, key, user, &answer);
    if (err != 0)
        return err;
    answer->on_add = done;
    err = read_key(storage, key, &answer->file);
    if (err == 0) {
        err = sum_up(&answer->file, amount, &answer->sum);
    } else if (err == IMAGINE_ENOTFOUND) {
        answer->sum = amount;
        answer->file.expires_unix_ms = expiry(storage, ttl_ms);
        err = 0;
    }
    snprintf(text, sizeof(text), "%" PRId64, answer->sum);
    answer->status =
        err != 0 ? err : write_key(storage, key, text, strlen(text), answer->file.expires_unix_ms);
    return 0;
}

static int add_entry(storage_t *storage, answer_t *answer, const char *name, const char *prefix) {
    char path[PATH_SIZE];
    file_t *files, file = {.data = NULL};
    size_t size = strlen(name);
    if (size != 22 || strcmp(name + 16, ".value") != 0)
        return 0; /* not one of ours */
    snprintf(path, sizeof(path), "%s/%.22s", storage->folder, name);
    int err = read_file(storage, path, &file);
    if (err == IMAGINE_ENOTFOUND)
        return 0;
    if (err != 0)
        return err;
    files = strncmp(file.key, prefix, strlen(prefix)) != 0
                ? NULL
                : realloc(answer->files, (answer->file_count + 1) * sizeof(*files));
    if (files == NULL) {
        err = strncmp(file.key, prefix, strlen(prefix)) != 0 ? 0 : IMAGINE_ENOMEM;
        free(file.data);
        return err;
    }
    answer->files = files;
    files[answer->file_count++] = file;
    return 0;
}

static int list(void *self, const char *prefix, imagine_storage_list_cb done, void *user) {
    storage_t *storage = self;
    const struct dirent *entry;
    answer_t *answer;
    DIR *folder;
    int err = done == NULL ? IMAGINE_EINVAL : expect(storage, prefix, user, &answer);
    if (err != 0)
        return err;
    answer->on_list = done;
    folder = opendir(storage->folder);
    answer->status = folder == NULL ? IMAGINE_EIO : 0;
    while (answer->status == 0 && (entry = readdir(folder)) != NULL)
        answer->status = add_entry(storage, answer, entry->d_name, prefix);
    if (folder != NULL)
        closedir(folder);
    return 0;
}

/* All was done when it was asked for: what is left is to tell it, and then that this is the end. */
static void close_storage(void *self, imagine_closed_cb closed, void *user) {
    storage_t *storage = self;
    storage->is_closing = true;
    storage->on_closed = closed;
    storage->closed_user = user;
    if (storage->is_handing_out)
        return; /* inside a callback: the end of that turn, or the next one, is the end */
    if (storage->io == NULL || wake(storage) != 0)
        on_turn(storage); /* never started: then it may be inside */
}

static const imagine_storage_driver_t driver = {
    .size = sizeof(driver),
    .name = "files",
    .start = start,
    .get = get,
    .set = set,
    .remove = remove_key,
    .add = add,
    .list = list,
    .close = close_storage,
};

static int file_storage_open(imagine_storage_t **out, const char *folder) {
    storage_t *storage = calloc(1, sizeof(*storage));
    int err = storage == NULL ? IMAGINE_ENOMEM : 0;
    if (err == 0 && strlen(folder) >= FOLDER_SIZE_MAX)
        err = IMAGINE_EINVAL;
    if (err == 0) {
        snprintf(storage->folder, sizeof(storage->folder), "%s", folder);
        storage->last = &storage->first;
        err = imagine_storage_new(out, &driver, storage);
    }
    if (err != 0)
        free(storage);
    return err;
}

/* ---- a client that keeps its state there --------------------------------------------------------
 */

static int open_client(imagine_t **out, const char *folder) {
    imagine_settings_t *settings = NULL;
    imagine_storage_t *storage = NULL;
    int err = imagine_open(out, NULL);
    if (err == 0)
        err = imagine_settings_open(&settings);
    if (err == 0)
        err = imagine_settings_read_env(settings);
    if (err == 0)
        err = imagine_settings_set(settings, "STATE_FILE", ":memory:"); /* not the built-in one */
    if (err == 0)
        err = imagine_configure(*out, settings, NULL);
    if (err == 0)
        err = file_storage_open(&storage, folder);
    if (err == 0)
        err = imagine_set_storage(*out, storage); /* the client's from here on */
    imagine_settings_close(settings);
    return err;
}

int main(int argc, char **argv) {
    imagine_params_t params = IMAGINE_PARAMS_INIT;
    imagine_request_t *request = NULL;
    imagine_t *im = NULL;
    if (argc < 3)
        return fprintf(stderr, "usage: %s FOLDER PROMPT [MODEL]\n", argv[0]), 2;
    params.prompt = argv[2];
    params.model = argc > 3 ? argv[3] : "sample/nebula";
    int err = open_client(&im, argv[1]);
    if (err == 0)
        err = imagine_generate(im, &params, NULL, NULL, &request);
    if (err != 0)
        fprintf(stderr, "%s\n", imagine_strerror(err));
    if (err == 0) {
        imagine_wait(request, -1);
        const imagine_result_t *result = imagine_request_result(request);
        err = result->status;
        printf("%.80s\n", err == 0 ? result->url : result->message);
    }
    imagine_request_release(request);
    imagine_close(im, NULL, NULL); /* writes what is not yet written */
    return err == 0 ? 0 : 1;
}
