/* aside.c: see aside.h. */
#include "core/aside.h"

#include <string.h>

#include "core/divert.h"
#include "core/hosting.h"
#include "core/request.h"

typedef struct picture {
    imi_spool_t *spool;
    size_t at;       /* of its string in the answer; SIZE_MAX: in an earlier one */
    const char *url; /* NULL: nobody has read it */
} picture_t;

struct imi_aside {
    imi_divert_t divert;
    size_t count;
    picture_t pictures[IMI_ASIDE_PICTURES_MAX];
};

static bool on_picture(void *user, const char *mime, size_t at);
static int on_bytes(void *user, const void *data, size_t size);
static void on_end(void *user);
static void on_change(imi_spool_t *spool, void *user);

static const imi_divert_handler_t handler = {on_picture, on_bytes, on_end};

/* Will its pictures be hosted, as far as can be told? */
static bool is_wanted(const imagine_call_t *call) {
    const imagine_request_t *request = call->request;
    bool makes_pictures = request->action == IMI_GENERATE || request->action == IMI_EDIT ||
                          request->action == IMI_UPSCALE;
    return call->has_json_pictures && makes_pictures && imi_hosting_is_on(call->im) &&
           call->im->hosting->spool_folder != NULL && request->params.want_bytes == 0 &&
           request->params.response_format != IMAGINE_FORMAT_DATA;
}

void imi_aside_begin(imagine_call_t *call) {
    struct imi_aside *aside = call->aside;
    size_t kept_count = 0;
    call->exchange.divert = NULL;
    for (size_t i = 0; aside != NULL && i < aside->count; i++) {
        picture_t *picture = &aside->pictures[i];
        if (picture->url == NULL) {
            imi_spool_close(picture->spool);
            continue;
        }
        picture->at = SIZE_MAX;
        aside->pictures[kept_count++] = *picture;
    }
    if (aside != NULL)
        aside->count = kept_count;
    if (!is_wanted(call))
        return;
    if (aside == NULL)
        aside = call->aside = imi_mem_zalloc(&call->request->mem, sizeof(*aside));
    if (aside == NULL)
        return; /* then they stay in memory, as far as there is some */
    imi_divert_init(&aside->divert, &handler, call);
    call->exchange.divert = &aside->divert;
}

void imi_aside_reset(imagine_call_t *call) {
    struct imi_aside *aside = call->aside;
    if (aside == NULL)
        return;
    call->exchange.divert = NULL;
    for (size_t i = 0; i < aside->count; i++)
        imi_spool_close(aside->pictures[i].spool);
    imi_mem_free(&call->request->mem, aside);
    call->aside = NULL;
}

/* ---- while the answer comes --------------------------------------------------------------------
 */

static bool on_picture(void *user, const char *mime, size_t at) {
    imagine_call_t *call = user;
    struct imi_aside *aside = call->aside;
    imi_spool_t *spool;
    if (aside->count == IMI_ASIDE_PICTURES_MAX || imi_spool_open(&spool, call->im, mime) != 0)
        return false;
    imi_spool_watch(spool, on_change, call);
    aside->pictures[aside->count++] = (picture_t){.spool = spool, .at = at};
    return true;
}

static bool is_full(const struct imi_aside *aside) {
    size_t size = 0;
    for (size_t i = 0; i < aside->count; i++)
        size += imi_spool_pending_size(aside->pictures[i].spool);
    return size >= IMI_SPOOL_WINDOW_SIZE;
}

static int on_bytes(void *user, const void *data, size_t size) {
    imagine_call_t *call = user;
    struct imi_aside *aside = call->aside;
    int err = imi_spool_add(aside->pictures[aside->count - 1].spool, data, size);
    if (err == 0 && is_full(aside))
        imi_exchange_pause(&call->exchange, true);
    return err;
}

static void on_end(void *user) {
    imagine_call_t *call = user;
    struct imi_aside *aside = call->aside;
    imi_spool_end(aside->pictures[aside->count - 1].spool);
}

/* One that is lost ends an answer that still comes; else the delivery finds it so. */
static void on_change(imi_spool_t *spool, void *user) {
    imagine_call_t *call = user;
    if (spool->error != 0)
        imi_exchange_fail(&call->exchange, spool->error, "a picture's file was lost");
    else if (!is_full(call->aside))
        imi_exchange_pause(&call->exchange, false);
}

/* ---- behind it ---------------------------------------------------------------------------------
 */

static picture_t *picture_at(const imagine_call_t *call, imi_slice_t value) {
    const imi_buf_t *answer = &call->exchange.answer;
    struct imi_aside *aside = call->aside;
    if (aside == NULL || value.data == NULL || answer->data == NULL || value.data < answer->data ||
        value.data >= answer->data + answer->size)
        return NULL;
    for (size_t i = 0; i < aside->count; i++)
        if (aside->pictures[i].at == (size_t)(value.data - answer->data))
            return &aside->pictures[i];
    return NULL;
}

bool imi_aside_holds(const imagine_call_t *call, imi_slice_t value) {
    return picture_at(call, value) != NULL;
}

void imi_aside_name(imagine_call_t *call, imi_slice_t value, const char *url) {
    picture_t *picture = picture_at(call, value);
    if (picture != NULL)
        picture->url = url;
}

static const char *payload_of(const char *url) {
    const char *comma = strchr(url, ',');
    return comma != NULL ? comma + 1 : url;
}

/* The provider may have made a copy of it, or named another kind of picture in front. */
imi_spool_t *imi_aside_find(const imagine_call_t *call, const char *url) {
    const struct imi_aside *aside = call->aside;
    if (aside == NULL || url == NULL || !imi_text_starts_with(url, "data:"))
        return NULL;
    for (size_t i = 0; i < aside->count; i++)
        if (aside->pictures[i].url == url)
            return aside->pictures[i].spool;
    for (size_t i = 0; i < aside->count; i++)
        if (aside->pictures[i].url != NULL &&
            strcmp(payload_of(url), payload_of(aside->pictures[i].url)) == 0)
            return aside->pictures[i].spool;
    return NULL;
}

bool imi_aside_is_in_result(const imagine_call_t *call) {
    const imagine_result_t *result = call->result;
    if (call->aside == NULL || result == NULL)
        return false;
    for (size_t i = 0; i < result->url_count; i++)
        if (imi_aside_find(call, result->urls[i]) != NULL)
            return true;
    return imi_aside_find(call, result->url) != NULL;
}
