/* pool.c: the tokens of one provider.
 *   active    --429--> cooling     --its time--> active
 *   active    --quota spent--> exhausted --its time--> active, or due for a probe
 *   active    --401--> invalid     --an hour--> due for a probe
 *   due       --picked--> probing  --success--> active, --refused--> set aside again,
 *                                  --no verdict--> due
 * A token is in exactly one place: in a lane (active), in the heap of its clock (set aside), in the
 * list of those due for a probe, or nowhere (while its probe is under way). Beside that it may be
 * passed over for single models: each such mark is a bit in the token, which chooses its lane, and
 * a node in a heap, which takes the bit back in time. */
#include "core/pool.h"

#include <string.h>

#include "core/lane.h"
#include "settings/token_list.h"
#include "wire/assert.h"
#include "wire/heap.h"
#include "wire/json.h"
#include "wire/list.h"
#include "wire/map.h"
#include "wire/time.h"

#define MODELS_MAX 64 /* that marks exist for at one time: one bit each */

enum {
    COOLING_FIRST_MS = 5 * 1000,
    COOLING_MAX_MS = 10 * 60 * 1000,
    COOLING_KEPT_MS = 60 * 1000, /* shorter ones end before anybody could read them back */
    COOLING_STEPS_MAX = 7,       /* 5 s doubled so often is past the maximum */
    HOUR_MS = 60 * 60 * 1000,
    EXHAUSTED_MIN_MS = 1000, /* a request that rotates must not meet the same token at once */
    NO_MEMORY_REST_MS = 5 * 1000,
    PROBE_PAUSE_MS = 1000
};
#define MARK_TIME_MAX_MS (INT64_C(31) * 24 * HOUR_MS) /* what a wrong clock can do at worst */

typedef struct mark {    /* this token is passed over for this model */
    imi_heap_node_t due; /* Unix ms */
    struct mark *next;   /* of the same token */
    imi_token_t *token;
    unsigned model; /* index in pool->models */
    imi_token_state_t state;
} mark_t;

/* What the storage has is `told` and `others`; what to show is `own` and `others`. */
typedef struct count {
    uint64_t own;     /* since we live */
    uint64_t told;    /* of these */
    uint64_t telling; /* on their way */
    uint64_t others;  /* other instances', and our former lives' */
    uint64_t told_at_ms;
} count_t;

struct imi_token {
    imi_lane_node_t place; /* active */
    imi_heap_node_t due;   /* cooling: monotonic ms; exhausted, invalid: Unix ms */
    imi_list_t probe_link; /* due for a probe */
    imi_list_t group_link; /* ring of the tokens of one account */
    imi_list_t untold_link;
    char *text;
    char *group; /* NULL: none */
    char fingerprint[IMI_FINGERPRINT_SIZE + 1];
    bool is_listed;
    bool is_probed; /* when its time has come, one call looks first */
    bool is_probing;
    imi_token_state_t state;
    uint32_t index;
    int64_t until; /* as `due` */
    uint32_t cooling_steps;
    uint64_t models; /* one bit per mark */
    mark_t *marks;
    count_t counts[IMI_COUNT_KINDS];
};

typedef struct model_slot {
    char *name; /* NULL: free */
    size_t mark_count;
} model_slot_t;

struct imi_pool {
    const imi_mem_t *mem;
    imi_pool_changed_cb changed;
    void *user;
    imi_token_t **tokens; /* in order of the list */
    size_t count;
    imi_map_t by_fingerprint;
    imi_lanes_t lanes;
    imi_heap_t cooling;   /* by the monotonic clock */
    imi_heap_t set_aside; /* by the wall clock */
    imi_heap_t marks;     /* by the wall clock */
    imi_list_t probes;    /* due for a probe */
    size_t probing_count;
    uint64_t probed_at_ms;
    bool has_probed;
    imi_list_t untold; /* tokens with counts that the storage was not told */
    size_t untold_count;
    imi_pool_counted_cb counted; /* NULL: nobody wants to know */
    uint32_t state_counts[4];
    model_slot_t models[MODELS_MAX];
};

#define TOKEN_OF_PLACE(node) IMI_CONTAINER(node, imi_token_t, place)
#define TOKEN_OF_DUE(node) IMI_CONTAINER(node, imi_token_t, due)
#define TOKEN_OF_PROBE(node) IMI_CONTAINER(node, imi_token_t, probe_link)
#define TOKEN_OF_UNTOLD(node) IMI_CONTAINER(node, imi_token_t, untold_link)
#define TOKEN_OF_GROUP(node) IMI_CONTAINER(node, imi_token_t, group_link)
#define MARK_OF_DUE(node) IMI_CONTAINER(node, mark_t, due)

/* ---- where a token is -------------------------------------------------------------------------
 */

static void take_out(imi_pool_t *pool, imi_token_t *token) {
    imi_lanes_leave(&pool->lanes, &token->place);
    imi_heap_remove(token->state == IMI_TOKEN_COOLING ? &pool->cooling : &pool->set_aside,
                    &token->due);
    imi_list_remove(&token->probe_link);
}

/* Cannot fail: lanes and heaps have room for every token of the list. */
static void put_in(imi_pool_t *pool, imi_token_t *token) {
    if (!token->is_listed || token->is_probing)
        return;
    if (token->state == IMI_TOKEN_ACTIVE)
        imi_lanes_join(&pool->lanes, &token->place, token->models);
    else if (token->state == IMI_TOKEN_COOLING)
        imi_heap_insert(&pool->cooling, &token->due, token->until);
    else
        imi_heap_insert(&pool->set_aside, &token->due, token->until);
}

static void end_probe(imi_pool_t *pool, imi_token_t *token) {
    IMI_ASSERT(!token->is_probing || pool->probing_count > 0);
    if (token->is_probing)
        pool->probing_count--;
    token->is_probing = false;
}

static void set_state(imi_pool_t *pool, imi_token_t *token, imi_token_state_t state, int64_t until,
                      bool is_probed) {
    take_out(pool, token);
    end_probe(pool, token);
    IMI_ASSERT(token->is_listed && pool->state_counts[token->state] > 0);
    pool->state_counts[token->state]--;
    pool->state_counts[state]++;
    token->state = state;
    token->until = until;
    token->is_probed = is_probed;
    put_in(pool, token);
}

static void drop_mark(imi_pool_t *pool, mark_t *mark) {
    imi_token_t *token = mark->token;
    model_slot_t *slot = &pool->models[mark->model];
    mark_t **at = &token->marks;
    while (*at != mark)
        at = &(*at)->next;
    *at = mark->next;
    token->models &= ~(UINT64_C(1) << mark->model);
    imi_heap_remove(&pool->marks, &mark->due);
    if (token->place.row != NULL) { /* to another lane */
        imi_lanes_leave(&pool->lanes, &token->place);
        imi_lanes_join(&pool->lanes, &token->place, token->models);
    }
    IMI_ASSERT(slot->name != NULL && slot->mark_count > 0);
    if (--slot->mark_count == 0) {
        imi_mem_free(pool->mem, slot->name);
        slot->name = NULL;
    }
    imi_mem_free(pool->mem, mark);
}

static void leave_untold(imi_pool_t *pool, imi_token_t *token) {
    if (imi_list_is_empty(&token->untold_link))
        return;
    imi_list_remove(&token->untold_link);
    pool->untold_count--;
}

/* Whatever has waited long enough comes back. Costs something only when there is such a thing. */
static void wake(imi_pool_t *pool, imi_clock_t clock) {
    imi_heap_node_t *first = NULL;
    while ((first = imi_heap_first(&pool->cooling)) != NULL && first->key <= (int64_t)clock.now_ms)
        set_state(pool, TOKEN_OF_DUE(first), IMI_TOKEN_ACTIVE, 0, false);
    while ((first = imi_heap_first(&pool->set_aside)) != NULL && first->key <= clock.unix_ms) {
        imi_token_t *token = TOKEN_OF_DUE(first);
        if (token->is_probed) {
            imi_heap_remove(&pool->set_aside, first);
            imi_list_append(&pool->probes, &token->probe_link);
        } else {
            set_state(pool, token, IMI_TOKEN_ACTIVE, 0, false);
        }
    }
    while ((first = imi_heap_first(&pool->marks)) != NULL && first->key <= clock.unix_ms)
        drop_mark(pool, MARK_OF_DUE(first));
}

/* ---- life -------------------------------------------------------------------------------------
 */

imi_pool_t *imi_pool_new(const imi_mem_t *mem, const uint64_t seed[2], imi_pool_changed_cb changed,
                         void *user) {
    imi_pool_t *pool = imi_mem_zalloc(mem, sizeof(*pool));
    if (pool == NULL)
        return NULL;
    pool->mem = mem;
    pool->changed = changed;
    pool->user = user;
    imi_map_init(&pool->by_fingerprint, mem, seed);
    imi_lanes_init(&pool->lanes, mem);
    imi_heap_init(&pool->cooling, mem);
    imi_heap_init(&pool->set_aside, mem);
    imi_heap_init(&pool->marks, mem);
    imi_list_init(&pool->probes);
    imi_list_init(&pool->untold);
    return pool;
}

static void token_free(const imi_mem_t *mem, imi_token_t *token) {
    if (token->text != NULL)
        imi_mem_wipe(token->text, strlen(token->text));
    imi_mem_free(mem, token->text);
    imi_mem_free(mem, token->group);
    imi_mem_free(mem, token);
}

/* It leaves the list; calls that hold it keep it alive. */
static void delist(imi_pool_t *pool, imi_token_t *token) {
    while (token->marks != NULL)
        drop_mark(pool, token->marks);
    take_out(pool, token);
    end_probe(pool, token);
    leave_untold(pool, token);
    imi_list_remove(&token->group_link);
    IMI_ASSERT(token->is_listed && pool->state_counts[token->state] > 0);
    pool->state_counts[token->state]--;
    token->is_listed = false;
    if (token->place.in_flight == 0)
        token_free(pool->mem, token);
}

void imi_pool_free(imi_pool_t *pool) {
    if (pool == NULL)
        return;
    for (size_t i = 0; i < pool->count; i++) {
        IMI_ASSERT(pool->tokens[i]->place.in_flight == 0); /* no call holds one any more */
        delist(pool, pool->tokens[i]);
    }
    imi_mem_free(pool->mem, pool->tokens);
    imi_map_reset(&pool->by_fingerprint);
    imi_heap_reset(&pool->cooling);
    imi_heap_reset(&pool->set_aside);
    imi_heap_reset(&pool->marks);
    imi_lanes_reset(&pool->lanes);
    imi_mem_free(pool->mem, pool);
}

/* ---- the list ---------------------------------------------------------------------------------
 */

/* A new list before it is in force: nothing in the pool has changed yet. */
typedef struct incoming {
    imi_token_t **tokens; /* new ones, and those of the pool that stay */
    char **groups;        /* NULL: none */
    size_t count;
    imi_map_t by_fingerprint;
    imi_map_t first_of_group; /* name -> token */
} incoming_t;

static void incoming_discard(imi_pool_t *pool, incoming_t *incoming) {
    for (size_t i = 0; i < incoming->count; i++) {
        imi_mem_free(pool->mem, incoming->groups[i]);
        if (!incoming->tokens[i]->is_listed)
            token_free(pool->mem, incoming->tokens[i]);
    }
    imi_mem_free(pool->mem, incoming->tokens);
    imi_mem_free(pool->mem, incoming->groups);
    imi_map_reset(&incoming->by_fingerprint);
    imi_map_reset(&incoming->first_of_group);
}

static imi_token_t *token_new(imi_pool_t *pool, const imi_token_item_t *item) {
    imi_token_t *token = imi_mem_zalloc(pool->mem, sizeof(*token));
    if (token == NULL)
        return NULL;
    imi_list_init(&token->place.link);
    imi_list_init(&token->probe_link);
    imi_list_init(&token->group_link);
    imi_list_init(&token->untold_link);
    memcpy(token->fingerprint, item->fingerprint, sizeof(token->fingerprint));
    token->text = imi_mem_strndup(pool->mem, item->text.data, item->text.size);
    if (token->text == NULL) {
        imi_mem_free(pool->mem, token);
        return NULL;
    }
    return token;
}

static int incoming_add(imi_pool_t *pool, incoming_t *incoming, const imi_token_item_t *item) {
    imi_token_t *token =
        imi_map_get(&pool->by_fingerprint, item->fingerprint, IMI_FINGERPRINT_SIZE);
    size_t index = incoming->count;
    if (token == NULL)
        token = token_new(pool, item);
    if (token == NULL)
        return IMAGINE_ENOMEM;
    incoming->tokens[index] = token; /* from here on discarded with the rest */
    incoming->count++;
    if (imi_map_set(&incoming->by_fingerprint, item->fingerprint, IMI_FINGERPRINT_SIZE, token) != 0)
        return IMAGINE_ENOMEM;
    if (item->group.data == NULL)
        return 0;
    incoming->groups[index] = imi_mem_strndup(pool->mem, item->group.data, item->group.size);
    if (incoming->groups[index] == NULL)
        return IMAGINE_ENOMEM;
    if (imi_map_get(&incoming->first_of_group, item->group.data, item->group.size) == NULL &&
        imi_map_set(&incoming->first_of_group, item->group.data, item->group.size, token) != 0)
        return IMAGINE_ENOMEM;
    return 0;
}

/* Takes all the memory that the new list will need. */
static int incoming_fill(imi_pool_t *pool, incoming_t *incoming, const imi_token_list_t *list) {
    incoming->tokens = imi_mem_zalloc(pool->mem, (list->count + 1) * sizeof(*incoming->tokens));
    incoming->groups = imi_mem_zalloc(pool->mem, (list->count + 1) * sizeof(*incoming->groups));
    if (incoming->tokens == NULL || incoming->groups == NULL ||
        imi_heap_reserve(&pool->cooling, list->count) != 0 ||
        imi_heap_reserve(&pool->set_aside, list->count) != 0 ||
        imi_lanes_reserve(&pool->lanes, list->count) != 0)
        return IMAGINE_ENOMEM;
    for (size_t i = 0; i < list->count; i++)
        if (incoming_add(pool, incoming, &list->items[i]) != 0)
            return IMAGINE_ENOMEM;
    return 0;
}

/* The new list takes the old one's place. Cannot fail. */
static void adopt(imi_pool_t *pool, incoming_t *incoming) {
    for (size_t i = 0; i < pool->count; i++)
        if (imi_map_get(&incoming->by_fingerprint, pool->tokens[i]->fingerprint,
                        IMI_FINGERPRINT_SIZE) == NULL)
            delist(pool, pool->tokens[i]);
    imi_mem_free(pool->mem, pool->tokens);
    imi_map_reset(&pool->by_fingerprint);
    pool->tokens = incoming->tokens;
    pool->count = incoming->count;
    pool->by_fingerprint = incoming->by_fingerprint;
    for (size_t i = 0; i < pool->count; i++) {
        imi_token_t *token = pool->tokens[i];
        imi_mem_free(pool->mem, token->group);
        token->group = incoming->groups[i];
        token->index = (uint32_t)i + 1;
        imi_list_remove(&token->group_link);
        if (!token->is_listed) {
            token->is_listed = true;
            pool->state_counts[token->state]++;
            put_in(pool, token);
        }
    }
    for (size_t i = 0; i < pool->count; i++) {
        imi_token_t *token = pool->tokens[i], *first = NULL;
        if (token->group != NULL)
            first = imi_map_get(&incoming->first_of_group, token->group, strlen(token->group));
        if (first != NULL && first != token)
            imi_list_append(&first->group_link, &token->group_link);
    }
    imi_mem_free(pool->mem, incoming->groups);
    imi_map_reset(&incoming->first_of_group);
}

int imi_pool_set_tokens(imi_pool_t *pool, const char *list, imi_clock_t clock) {
    imi_token_list_t items;
    incoming_t incoming = {0};
    int err = imi_token_list_read(&items, pool->mem, list);
    if (err != 0)
        return err;
    wake(pool, clock);
    imi_map_init(&incoming.by_fingerprint, pool->mem, pool->by_fingerprint.seed);
    imi_map_init(&incoming.first_of_group, pool->mem, pool->by_fingerprint.seed);
    err = incoming_fill(pool, &incoming, &items);
    if (err != 0)
        incoming_discard(pool, &incoming);
    else
        adopt(pool, &incoming);
    imi_token_list_reset(&items);
    return err;
}

/* ---- picking ----------------------------------------------------------------------------------
 */

/* The bit of a model that somebody is passed over for; 0: nobody is. */
static uint64_t model_bit(const imi_pool_t *pool, const char *model) {
    for (size_t i = 0; model != NULL && i < MODELS_MAX; i++)
        if (pool->models[i].name != NULL && strcmp(pool->models[i].name, model) == 0)
            return UINT64_C(1) << i;
    return 0;
}

static imi_token_t *due_for_probe(imi_pool_t *pool, uint64_t model) {
    for (imi_list_t *at = pool->probes.next; at != &pool->probes; at = at->next)
        if ((TOKEN_OF_PROBE(at)->models & model) == 0)
            return TOKEN_OF_PROBE(at);
    return NULL;
}

imi_token_t *imi_pool_pick(imi_pool_t *pool, const char *model, imi_clock_t clock) {
    imi_lane_node_t *healthy = NULL;
    imi_token_t *probe = NULL;
    uint64_t bit = 0;
    wake(pool, clock);
    bit = model_bit(pool, model);
    healthy = imi_lanes_first(&pool->lanes, bit);
    if (healthy == NULL || !pool->has_probed || clock.now_ms - pool->probed_at_ms >= PROBE_PAUSE_MS)
        probe = due_for_probe(pool, bit);
    if (probe != NULL) {
        take_out(pool, probe);
        probe->is_probing = true;
        pool->probing_count++;
        pool->probed_at_ms = clock.now_ms;
        pool->has_probed = true;
        imi_lanes_begin(&pool->lanes, &probe->place);
        return probe;
    }
    if (healthy == NULL)
        return NULL;
    imi_lanes_begin(&pool->lanes, healthy);
    return TOKEN_OF_PLACE(healthy);
}

imi_token_t *imi_pool_hold(imi_pool_t *pool, const char *fingerprint) {
    imi_token_t *token = imi_map_get(&pool->by_fingerprint, fingerprint, strlen(fingerprint));
    if (token != NULL)
        imi_lanes_begin(&pool->lanes, &token->place);
    return token;
}

imi_token_t *imi_pool_hold_text(imi_pool_t *pool, const char *text) {
    imi_token_item_t item = {.text = imi_slice_of(text)};
    imi_token_t *token;
    imi_fingerprint(item.fingerprint, text);
    token = imi_pool_hold(pool, item.fingerprint);
    if (token != NULL)
        return token;
    token = token_new(pool, &item);
    if (token != NULL)
        imi_lanes_begin(&pool->lanes, &token->place);
    return token;
}

void imi_pool_release(imi_pool_t *pool, imi_token_t *token) {
    imi_lanes_end(&pool->lanes, &token->place);
    if (token->is_probing) { /* without a verdict: it is due again */
        end_probe(pool, token);
        put_in(pool, token);
    }
    if (!token->is_listed && token->place.in_flight == 0)
        token_free(pool->mem, token);
}

const char *imi_token_text(const imi_token_t *token) {
    return token->text;
}

const char *imi_token_fingerprint(const imi_token_t *token) {
    return token->fingerprint;
}

bool imi_token_may_serve(const imi_token_t *token) {
    return token->state == IMI_TOKEN_ACTIVE || token->is_probing;
}

uint32_t imi_token_index(const imi_token_t *token) {
    return token->index;
}

/* ---- marks ------------------------------------------------------------------------------------
 */

/* A token that left the list and came back is another object; what old calls learn goes to it.
 * NULL: it did not come back. */
static imi_token_t *listed(imi_pool_t *pool, imi_token_t *token) {
    return token->is_listed
               ? token
               : imi_map_get(&pool->by_fingerprint, token->fingerprint, IMI_FINGERPRINT_SIZE);
}

static int64_t remaining_ms(const imi_token_t *token, imi_clock_t clock) {
    int64_t now = token->state == IMI_TOKEN_COOLING ? (int64_t)clock.now_ms : clock.unix_ms;
    return token->state == IMI_TOKEN_ACTIVE || token->until <= now ? 0 : token->until - now;
}

static int64_t limited(int64_t until_unix_ms, imi_clock_t clock) {
    int64_t latest = clock.unix_ms + MARK_TIME_MAX_MS;
    return until_unix_ms < latest ? until_unix_ms : latest;
}

static void tell(const imi_pool_t *pool, const imi_token_t *token, const char *model,
                 imi_token_state_t state, int64_t until_unix_ms) {
    if (pool->changed != NULL)
        pool->changed(token->fingerprint, model, state, until_unix_ms, pool->user);
}

/* Sets the token aside for so long, unless it is set aside for longer. True: something changed. */
static bool set_aside(imi_pool_t *pool, imi_token_t *token, imi_token_state_t state,
                      int64_t time_ms, bool is_probed, imi_clock_t clock) {
    int64_t now = state == IMI_TOKEN_COOLING ? (int64_t)clock.now_ms : clock.unix_ms;
    if (time_ms <= remaining_ms(token, clock))
        return false;
    set_state(pool, token, state, now + time_ms, is_probed);
    return true;
}

/* All marks of one model go, to make room for another model's. */
static void forget_model(imi_pool_t *pool, unsigned model) {
    for (size_t i = 0; i < pool->count && pool->models[model].name != NULL; i++) {
        mark_t *mark = pool->tokens[i]->marks;
        while (mark != NULL && mark->model != model)
            mark = mark->next;
        if (mark == NULL)
            continue;
        tell(pool, pool->tokens[i], pool->models[model].name, IMI_TOKEN_ACTIVE, 0);
        drop_mark(pool, mark);
    }
}

/* The slot of a model's name, made if it is missing; -1: no memory. */
static int slot_of(imi_pool_t *pool, const char *model) {
    int free_slot = -1;
    for (int i = MODELS_MAX; i-- > 0;) {
        if (pool->models[i].name == NULL)
            free_slot = i;
        else if (strcmp(pool->models[i].name, model) == 0)
            return i;
    }
    if (free_slot < 0) { /* callers choose models: the one that would end first gives way */
        free_slot = (int)MARK_OF_DUE(imi_heap_first(&pool->marks))->model;
        forget_model(pool, (unsigned)free_slot);
    }
    pool->models[free_slot].name = imi_mem_strdup(pool->mem, model);
    return pool->models[free_slot].name != NULL ? free_slot : -1;
}

static mark_t *mark_new(imi_pool_t *pool, imi_token_t *token, const char *model) {
    int slot = -1;
    mark_t *mark = imi_mem_zalloc(pool->mem, sizeof(*mark));
    if (mark == NULL)
        return NULL;
    if (imi_heap_reserve(&pool->marks, pool->marks.count + 1) == 0)
        slot = slot_of(pool, model);
    if (slot < 0) {
        imi_mem_free(pool->mem, mark);
        return NULL;
    }
    mark->token = token;
    mark->model = (unsigned)slot;
    mark->next = token->marks;
    token->marks = mark;
    token->models |= UINT64_C(1) << slot;
    pool->models[slot].mark_count++;
    if (token->place.row != NULL) { /* to the lane of those that share its marks */
        imi_lanes_leave(&pool->lanes, &token->place);
        imi_lanes_join(&pool->lanes, &token->place, token->models);
    }
    return mark;
}

static mark_t *find_mark(const imi_pool_t *pool, const imi_token_t *token, const char *model) {
    for (mark_t *mark = token->marks; mark != NULL; mark = mark->next)
        if (strcmp(pool->models[mark->model].name, model) == 0)
            return mark;
    return NULL;
}

/* True: something changed. */
static bool mark_model(imi_pool_t *pool, imi_token_t *token, const char *model,
                       imi_token_state_t state, int64_t until_unix_ms, imi_clock_t clock) {
    mark_t *mark = find_mark(pool, token, model);
    if (until_unix_ms <= clock.unix_ms || (mark != NULL && until_unix_ms <= mark->due.key))
        return false;
    if (mark == NULL)
        mark = mark_new(pool, token, model);
    if (mark == NULL) { /* rather the whole token for a moment than to meet it again at once */
        set_aside(pool, token, IMI_TOKEN_COOLING, NO_MEMORY_REST_MS, false, clock);
        return false;
    }
    mark->state = state;
    imi_heap_insert(&pool->marks, &mark->due, until_unix_ms); /* has room; moves it if it is in */
    return true;
}

static void exhaust(imi_pool_t *pool, imi_token_t *token, const char *model, int64_t until_unix_ms,
                    bool is_probed, imi_clock_t clock) {
    bool has_changed =
        model != NULL ? mark_model(pool, token, model, IMI_TOKEN_EXHAUSTED, until_unix_ms, clock)
                      : set_aside(pool, token, IMI_TOKEN_EXHAUSTED, until_unix_ms - clock.unix_ms,
                                  is_probed, clock);
    if (has_changed)
        tell(pool, token, model != NULL ? model : "", IMI_TOKEN_EXHAUSTED, until_unix_ms);
}

void imi_pool_exhausted(imi_pool_t *pool, imi_token_t *token, const char *model,
                        int64_t until_unix_ms, bool is_probed, imi_clock_t clock) {
    token = listed(pool, token);
    if (token == NULL)
        return;
    until_unix_ms = limited(until_unix_ms, clock);
    if (until_unix_ms < clock.unix_ms + EXHAUSTED_MIN_MS)
        until_unix_ms = clock.unix_ms + EXHAUSTED_MIN_MS;
    exhaust(pool, token, model, until_unix_ms, is_probed, clock);
    for (imi_list_t *at = token->group_link.next; at != &token->group_link; at = at->next)
        exhaust(pool, TOKEN_OF_GROUP(at), model, until_unix_ms, is_probed, clock);
}

uint64_t imi_pool_cooling(imi_pool_t *pool, imi_token_t *token, uint64_t retry_after_ms,
                          imi_clock_t clock) {
    int64_t time_ms =
        retry_after_ms < (uint64_t)MARK_TIME_MAX_MS ? (int64_t)retry_after_ms : MARK_TIME_MAX_MS;
    token = listed(pool, token);
    if (token == NULL)
        return retry_after_ms;
    if (retry_after_ms == 0) {
        /* Calls that were under way together and are refused together are one refusal. */
        if (token->state == IMI_TOKEN_COOLING && remaining_ms(token, clock) > 0)
            return (uint64_t)remaining_ms(token, clock);
        time_ms = (int64_t)COOLING_FIRST_MS << token->cooling_steps;
        if (time_ms > COOLING_MAX_MS)
            time_ms = COOLING_MAX_MS;
        if (token->cooling_steps < COOLING_STEPS_MAX)
            token->cooling_steps++;
    }
    if (set_aside(pool, token, IMI_TOKEN_COOLING, time_ms, false, clock) &&
        time_ms >= COOLING_KEPT_MS)
        tell(pool, token, "", IMI_TOKEN_COOLING, clock.unix_ms + time_ms);
    return (uint64_t)remaining_ms(token, clock);
}

void imi_pool_invalid(imi_pool_t *pool, imi_token_t *token, imi_clock_t clock) {
    token = listed(pool, token);
    if (token != NULL && set_aside(pool, token, IMI_TOKEN_INVALID, HOUR_MS, true, clock))
        tell(pool, token, "", IMI_TOKEN_INVALID, token->until);
}

void imi_pool_no_plan(imi_pool_t *pool, imi_token_t *token, const char *model, imi_clock_t clock) {
    int64_t until_unix_ms = clock.unix_ms + HOUR_MS;
    token = listed(pool, token);
    if (token != NULL && mark_model(pool, token, model, IMI_TOKEN_INVALID, until_unix_ms, clock))
        tell(pool, token, model, IMI_TOKEN_INVALID, until_unix_ms);
}

static void join_untold(imi_pool_t *pool, imi_token_t *token) {
    if (!imi_list_is_empty(&token->untold_link))
        return;
    imi_list_append(&pool->untold, &token->untold_link);
    pool->untold_count++;
    if (pool->counted != NULL)
        pool->counted(pool->user);
}

static void count(imi_pool_t *pool, imi_token_t *token, imi_count_t kind) {
    token->counts[kind].own++;
    join_untold(pool, token);
}

static void take_back(imi_pool_t *pool, imi_token_t *token) {
    set_state(pool, token, IMI_TOKEN_ACTIVE, 0, false);
    tell(pool, token, "", IMI_TOKEN_ACTIVE, 0);
}

/* The probe went well. Tokens of the same account that wait for a probe of the same kind need none
 * of their own. */
static void recover(imi_pool_t *pool, imi_token_t *token, imi_clock_t clock) {
    bool was_exhausted = token->state == IMI_TOKEN_EXHAUSTED;
    take_back(pool, token);
    for (imi_list_t *at = token->group_link.next; at != &token->group_link; at = at->next) {
        imi_token_t *other = TOKEN_OF_GROUP(at);
        if (was_exhausted && other->state == IMI_TOKEN_EXHAUSTED && remaining_ms(other, clock) == 0)
            take_back(pool, other);
    }
}

void imi_pool_succeeded(imi_pool_t *pool, imi_token_t *token, const char *model,
                        imi_clock_t clock) {
    (void)model; /* a success that began before a mark for its model says nothing about that */
    token = listed(pool, token);
    if (token == NULL)
        return;
    count(pool, token, IMI_COUNT_SERVED);
    if (token->is_probing)
        recover(pool, token, clock);
    if (token->state == IMI_TOKEN_ACTIVE)
        token->cooling_steps = 0;
}

void imi_pool_failed(imi_pool_t *pool, imi_token_t *token) {
    token = listed(pool, token);
    if (token != NULL)
        count(pool, token, IMI_COUNT_FAILED);
}

void imi_pool_apply(imi_pool_t *pool, const char *fingerprint, const char *model,
                    imi_token_state_t state, int64_t until_unix_ms, imi_clock_t clock) {
    imi_token_t *token = imi_map_get(&pool->by_fingerprint, fingerprint, strlen(fingerprint));
    bool is_for_model = model != NULL && model[0] != '\0';
    if (token == NULL)
        return;
    until_unix_ms = limited(until_unix_ms, clock);
    if (state == IMI_TOKEN_ACTIVE) {
        mark_t *mark = is_for_model ? find_mark(pool, token, model) : NULL;
        if (mark != NULL)
            drop_mark(pool, mark);
        else if (!is_for_model && token->state != IMI_TOKEN_ACTIVE)
            set_state(pool, token, IMI_TOKEN_ACTIVE, 0, false);
    } else if (until_unix_ms > clock.unix_ms) {
        if (is_for_model)
            mark_model(pool, token, model, state, until_unix_ms, clock);
        else
            set_aside(pool, token, state, until_unix_ms - clock.unix_ms, state == IMI_TOKEN_INVALID,
                      clock);
    }
}

int64_t imi_pool_exhausted_until(const imi_pool_t *pool, const char *fingerprint,
                                 const char *model) {
    const imi_token_t *token = imi_map_get(&pool->by_fingerprint, fingerprint, strlen(fingerprint));
    const mark_t *mark = token != NULL && model[0] != '\0' ? find_mark(pool, token, model) : NULL;
    if (mark != NULL)
        return mark->state == IMI_TOKEN_EXHAUSTED ? mark->due.key : 0;
    return token != NULL && model[0] == '\0' && token->state == IMI_TOKEN_EXHAUSTED ? token->until
                                                                                    : 0;
}

void imi_pool_reset(imi_pool_t *pool) {
    for (size_t i = 0; i < pool->count; i++) {
        imi_token_t *token = pool->tokens[i];
        while (token->marks != NULL) {
            tell(pool, token, pool->models[token->marks->model].name, IMI_TOKEN_ACTIVE, 0);
            drop_mark(pool, token->marks);
        }
        token->cooling_steps = 0;
        if (token->state != IMI_TOKEN_ACTIVE)
            take_back(pool, token);
    }
}

void imi_pool_tell_marks(const imi_pool_t *pool, imi_clock_t clock) {
    for (size_t i = 0; i < pool->count; i++) {
        const imi_token_t *token = pool->tokens[i];
        int64_t left_ms = remaining_ms(token, clock);
        if (left_ms >= (token->state == IMI_TOKEN_COOLING ? COOLING_KEPT_MS : 1))
            tell(pool, token, "", token->state, clock.unix_ms + left_ms);
        for (const mark_t *mark = token->marks; mark != NULL; mark = mark->next)
            tell(pool, token, pool->models[mark->model].name, mark->state, mark->due.key);
    }
}

/* ---- counts, and the storage's -----------------------------------------------------------------
 */

void imi_pool_set_counted(imi_pool_t *pool, imi_pool_counted_cb counted) {
    pool->counted = counted;
}

size_t imi_pool_untold_count(const imi_pool_t *pool) {
    return pool->untold_count;
}

bool imi_pool_take_untold(imi_pool_t *pool, imi_untold_t *out) {
    imi_token_t *token;
    if (imi_list_is_empty(&pool->untold))
        return false;
    token = TOKEN_OF_UNTOLD(pool->untold.next);
    leave_untold(pool, token);
    memcpy(out->fingerprint, token->fingerprint, sizeof(out->fingerprint));
    for (imi_count_t kind = 0; kind < IMI_COUNT_KINDS; kind++) {
        count_t *count = &token->counts[kind];
        IMI_ASSERT(count->told <= count->own);
        out->amounts[kind] = count->telling > 0 ? 0 : count->own - count->told;
        count->telling += out->amounts[kind];
    }
    return true;
}

static uint64_t minus(uint64_t total, uint64_t part) {
    return total > part ? total - part : 0;
}

void imi_pool_told(imi_pool_t *pool, const char *fingerprint, imi_count_t kind, uint64_t amount,
                   int64_t total, uint64_t now_ms) {
    imi_token_t *token = imi_map_get(&pool->by_fingerprint, fingerprint, strlen(fingerprint));
    count_t *count;
    if (token == NULL)
        return;
    count = &token->counts[kind];
    count->telling = 0;
    if (total >= 0) {
        count->told += amount;
        if (count->told > count->own) /* told by one that left the list and came back */
            count->told = count->own;
        if (count->told > (uint64_t)total) /* the storage was emptied */
            count->told = (uint64_t)total;
        count->others = minus((uint64_t)total, count->told);
        count->told_at_ms = now_ms;
    }
    if (count->own > count->told)
        join_untold(pool, token);
}

void imi_pool_heard(imi_pool_t *pool, const char *fingerprint, imi_count_t kind, int64_t total,
                    uint64_t asked_at_ms) {
    imi_token_t *token = imi_map_get(&pool->by_fingerprint, fingerprint, strlen(fingerprint));
    const count_t *count = token != NULL ? &token->counts[kind] : NULL;
    /* Of an amount that went there meanwhile nobody knows whether it is in the total. */
    if (token == NULL || total < 0 || count->telling > 0 ||
        (count->told > 0 && count->told_at_ms >= asked_at_ms))
        return;
    token->counts[kind].others = minus((uint64_t)total, count->told);
}

void imi_pool_retell(imi_pool_t *pool) {
    for (size_t i = 0; i < pool->count; i++)
        for (imi_count_t kind = 0; kind < IMI_COUNT_KINDS; kind++) {
            count_t *count = &pool->tokens[i]->counts[kind];
            *count = (count_t){.own = count->own};
            if (count->own > 0)
                join_untold(pool, pool->tokens[i]);
        }
}

/* ---- looking around ---------------------------------------------------------------------------
 */

bool imi_pool_is_empty(const imi_pool_t *pool) {
    return pool->count == 0;
}

bool imi_pool_can_serve(imi_pool_t *pool, imi_clock_t clock) {
    wake(pool, clock);
    return imi_lanes_first(&pool->lanes, 0) != NULL || !imi_list_is_empty(&pool->probes);
}

static uint64_t earlier(uint64_t wait_ms, int64_t other_ms) {
    return (uint64_t)other_ms < wait_ms ? (uint64_t)other_ms : wait_ms;
}

/* Walks all tokens; only for a model that some are passed over for, when none can serve it. */
static uint64_t wait_for_model(const imi_pool_t *pool, uint64_t bit, imi_clock_t clock) {
    uint64_t wait_ms = UINT64_MAX;
    for (size_t i = 0; i < pool->count; i++) {
        const imi_token_t *token = pool->tokens[i];
        int64_t own_ms = token->is_probing ? PROBE_PAUSE_MS : remaining_ms(token, clock);
        for (const mark_t *mark = token->marks; mark != NULL; mark = mark->next)
            if (UINT64_C(1) << mark->model == bit && mark->due.key - clock.unix_ms > own_ms)
                own_ms = mark->due.key - clock.unix_ms;
        wait_ms = earlier(wait_ms, own_ms);
    }
    return wait_ms;
}

uint64_t imi_pool_wait_ms(imi_pool_t *pool, const char *model, imi_clock_t clock) {
    const imi_heap_node_t *first = NULL;
    uint64_t bit = 0, wait_ms = UINT64_MAX;
    wake(pool, clock);
    bit = model_bit(pool, model);
    if (imi_lanes_first(&pool->lanes, bit) != NULL || due_for_probe(pool, bit) != NULL)
        return 0;
    if (bit != 0)
        return wait_for_model(pool, bit, clock);
    if (pool->probing_count > 0) /* what it says is not known yet: look again soon */
        wait_ms = PROBE_PAUSE_MS;
    if ((first = imi_heap_first(&pool->cooling)) != NULL)
        wait_ms = earlier(wait_ms, first->key - (int64_t)clock.now_ms);
    if ((first = imi_heap_first(&pool->set_aside)) != NULL)
        wait_ms = earlier(wait_ms, first->key - clock.unix_ms);
    return wait_ms;
}

void imi_pool_stats(imi_pool_t *pool, imi_clock_t clock, imagine_token_stats_t *out) {
    wake(pool, clock);
    out->total = (uint32_t)pool->count;
    out->active = pool->state_counts[IMI_TOKEN_ACTIVE];
    out->cooling = pool->state_counts[IMI_TOKEN_COOLING];
    out->exhausted = pool->state_counts[IMI_TOKEN_EXHAUSTED];
    out->invalid = pool->state_counts[IMI_TOKEN_INVALID];
}

static const char *const state_names[] = {"active", "cooling", "exhausted", "invalid"};

static void put_until(imi_json_writer_t *writer, int64_t until_unix_ms) {
    char text[IMI_TIME_TEXT_SIZE];
    imi_time_format(text, until_unix_ms, true);
    imi_json_put_text(writer, "until", text);
}

static void put_count(imi_json_writer_t *writer, const char *name, const count_t *count) {
    imi_json_put_int(writer, name, (int64_t)(count->own + count->others));
}

static void put_token(const imi_pool_t *pool, const imi_token_t *token, imi_clock_t clock,
                      imi_json_writer_t *writer) {
    imi_json_open_object(writer, NULL);
    imi_json_put_text(writer, "fingerprint", token->fingerprint);
    if (token->group != NULL)
        imi_json_put_text(writer, "group", token->group);
    imi_json_put_text(writer, "state", state_names[token->state]);
    if (token->state == IMI_TOKEN_ACTIVE)
        imi_json_put_null(writer, "until");
    else if (token->state == IMI_TOKEN_COOLING)
        put_until(writer, clock.unix_ms + remaining_ms(token, clock));
    else
        put_until(writer, token->until);
    imi_json_put_int(writer, "inFlight", token->place.in_flight);
    put_count(writer, "served", &token->counts[IMI_COUNT_SERVED]);
    put_count(writer, "failed", &token->counts[IMI_COUNT_FAILED]);
    if (token->marks != NULL) {
        imi_json_open_array(writer, "models");
        for (const mark_t *mark = token->marks; mark != NULL; mark = mark->next) {
            imi_json_open_object(writer, NULL);
            imi_json_put_text(writer, "model", pool->models[mark->model].name);
            imi_json_put_text(writer, "state",
                              mark->state == IMI_TOKEN_INVALID ? "no_plan"
                                                               : state_names[mark->state]);
            put_until(writer, mark->due.key);
            imi_json_close_object(writer);
        }
        imi_json_close_array(writer);
    }
    imi_json_close_object(writer);
}

void imi_pool_details(imi_pool_t *pool, imi_clock_t clock, imi_buf_t *out) {
    imi_json_writer_t writer;
    wake(pool, clock);
    imi_json_begin(&writer, out);
    imi_json_open_array(&writer, NULL);
    for (size_t i = 0; i < pool->count; i++)
        put_token(pool, pool->tokens[i], clock, &writer);
    imi_json_close_array(&writer);
}

uint64_t imi_pool_step_count(const imi_pool_t *pool) {
    return pool->lanes.step_count;
}
