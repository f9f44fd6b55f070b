/* batch.c: see batch.h.
 *
 * The outer request holds its parts until its own memory goes, for the pictures lie in theirs. */
#include "core/batch.h"

#include <string.h>

#include "core/log.h"
#include "core/params.h"
#include "wire/assert.h"
#include "wire/json.h"

struct imi_batch {
    size_t part_count, left_count;
    imagine_request_t *parts[];
};

static uint32_t count_max(const imagine_request_t *request) {
    int64_t number = 1;
    imi_slice_t option = imi_catalogue_option(request->catalogue, request->entry, request->model,
                                              imi_action_name(request->action), "count_max");
    return imi_json_whole_number(option, &number) && number >= 1 && number <= 10 ? (uint32_t)number
                                                                                 : 1;
}

bool imi_batch_is_needed(const imagine_request_t *request) {
    bool makes_pictures = request->action == IMI_GENERATE || request->action == IMI_EDIT;
    return makes_pictures && request->params.count > 1 &&
           request->params.count > count_max(request);
}

/* ---- the parts ---------------------------------------------------------------------------------
 */

static void settle(imagine_request_t *request);

static void on_part_done(int status, const imagine_result_t *result, void *user) {
    imagine_request_t *request = user;
    (void)status, (void)result;
    IMI_ASSERT(request->batch->left_count > 0); /* each part ends once */
    request->batch->left_count--;
    if (request->batch->left_count == 0 && !atomic_load(&request->has_ended))
        settle(request);
}

static int start_part(imagine_request_t *request, size_t index, uint32_t count) {
    imi_batch_t *batch = request->batch;
    imagine_request_t *part = imi_request_new(request->im, request->action);
    imagine_params_t params = request->params;
    uint64_t now_ms = imi_now_ms(request->im);
    int err;
    if (part == NULL)
        return IMAGINE_ENOMEM;
    params.count = count;
    params.has_seed = 1; /* the caller's, or the one drawn for all: each part has its own */
    params.seed = (params.seed + (int64_t)index) % IMI_SEED_MAX;
    params.images = NULL;
    params.image_count = 0;
    params.is_job = 0;
    params.webhook_url = NULL;
    if (params.id != NULL && index > 0) {
        params.id = imi_arena_printf(&part->arena, "%s-%zu", params.id, index + 1);
        if (params.id == NULL) {
            imagine_request_release(part);
            return IMAGINE_ENOMEM;
        }
    }
    params.timeout_ms =
        request->deadline_at_ms > now_ms ? (uint32_t)(request->deadline_at_ms - now_ms) : 1;
    part->done = on_part_done;
    part->user = request;
    err = imi_params_copy(part, &params);
    if (err == 0)
        err =
            imi_params_add_images(part, request->params.images, request->params.image_count, true);
    if (err == 0) {
        err = imi_request_start(part, 0, NULL);
    }
    if (err != 0) {
        imagine_request_release(part);
        return err;
    }
    imi_request_lend_input(request, part); /* its end is put off while it starts */
    batch->parts[batch->part_count++] = part;
    batch->left_count++;
    return 0;
}

void imi_batch_start(imagine_request_t *request) {
    uint32_t left = request->params.count, most = count_max(request);
    size_t part_count = (left + most - 1) / most;
    int err = 0;
    request->batch = imi_mem_zalloc(
        &request->mem, sizeof(imi_batch_t) + part_count * sizeof(request->batch->parts[0]));
    if (request->batch == NULL) {
        imi_request_fail(request, IMAGINE_ENOMEM, NULL);
        return;
    }
    imi_trace(request, "batch.start pictures=%u parts=%zu", left, part_count);
    for (size_t i = 0; i < part_count && err == 0; i++) {
        uint32_t count = left < most ? left : most;
        err = start_part(request, i, count);
        left -= count;
    }
    if (err != 0 && request->batch->part_count == 0)
        imi_request_fail(request, err, NULL); /* else with what those that began bring */
}

void imi_batch_cancel(imagine_request_t *request) {
    for (size_t i = 0; i < request->batch->part_count; i++)
        imagine_cancel(request->batch->parts[i]);
}

void imi_batch_give_up(imagine_request_t *request) {
    for (size_t i = 0; i < request->batch->part_count; i++) {
        imagine_request_t *part = request->batch->parts[i];
        if (atomic_load(&part->has_ended))
            continue;
        part->is_giving_up = true;
        imi_request_tell_cancel(part);
        part->is_starting = true; /* its end is put off, as always */
        imi_request_abandon(part, IMAGINE_ECANCELED, true);
        part->is_starting = false;
    }
}

void imi_batch_keep(imagine_request_t *request) {
    for (size_t i = 0; i < request->batch->part_count; i++)
        if (request->batch->parts[i]->kept != NULL && request->batch->parts[i]->result.status == 0)
            imi_request_keep(request->batch->parts[i]);
}

const char *imi_batch_task_id(const imagine_request_t *request) {
    for (size_t i = 0; i < request->batch->part_count; i++)
        if (request->batch->parts[i]->result.task_id != NULL)
            return request->batch->parts[i]->result.task_id;
    return NULL;
}

void imi_batch_free(imagine_request_t *request) {
    for (size_t i = 0; request->batch != NULL && i < request->batch->part_count; i++)
        imagine_request_release(request->batch->parts[i]);
    imi_mem_free(&request->mem, request->batch);
}

/* ---- what came of them -------------------------------------------------------------------------
 */

static size_t gather(const imi_batch_t *batch, const char **out_urls) {
    size_t count = 0;
    for (size_t i = 0; i < batch->part_count; i++) {
        const imagine_result_t *result = imagine_request_result(batch->parts[i]);
        if (result == NULL || result->status != 0)
            continue;
        for (size_t j = 0; j < result->url_count; j++, count++)
            if (out_urls != NULL)
                out_urls[count] = result->urls[j];
        if (result->url_count == 0) {
            if (out_urls != NULL)
                out_urls[count] = result->url;
            count++;
        }
    }
    return count;
}

/* All the rest is told of the first part that brought something; of the first at all, if none did.
 */
static const imagine_result_t *leader(const imi_batch_t *batch) {
    const imagine_result_t *first = NULL;
    for (size_t i = 0; i < batch->part_count; i++) {
        const imagine_result_t *result = imagine_request_result(batch->parts[i]);
        if (result != NULL && result->status == 0)
            return result;
        if (first == NULL)
            first = result;
    }
    return first;
}

static void settle(imagine_request_t *request) {
    imi_batch_t *batch = request->batch;
    imagine_result_t *result = &request->result;
    const imagine_result_t *from = leader(batch);
    size_t count = gather(batch, NULL);
    const char **urls = count > 0 ? imi_arena_alloc(&request->arena, count * sizeof(*urls)) : NULL;
    for (size_t i = 0; i < batch->part_count; i++) {
        const imagine_result_t *part = imagine_request_result(batch->parts[i]);
        request->attempts += part != NULL ? part->attempts : 0;
    }
    result->token = from->token;
    if (urls == NULL) {
        result->retry_after_ms = from->retry_after_ms;
        result->http_status = count > 0 ? 0 : from->http_status;
        imi_request_fail(request, count > 0 ? IMAGINE_ENOMEM : from->status,
                         count > 0 ? NULL : from->message);
        return;
    }
    gather(batch, urls);
    result->url = urls[0];
    result->url_size = strlen(urls[0]);
    result->urls = count > 1 ? urls : NULL;
    result->url_count = count > 1 ? count : 0;
    result->width = from->width;
    result->height = from->height;
    result->revised_prompt = from->revised_prompt;
    imi_request_succeed(request);
}

bool imi_batch_settle(imagine_request_t *request) {
    if (gather(request->batch, NULL) == 0)
        return false;
    imi_batch_cancel(request);
    settle(request);
    return true;
}
