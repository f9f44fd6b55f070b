/* gateway.h: what all exchanges of one gateway share. */
#ifndef IMI_GATEWAY_GATEWAY_H
#define IMI_GATEWAY_GATEWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imagine/gateway.h"
#include "gateway/auth.h"
#include "gateway/cors.h"
#include "gateway/group.h"
#include "gateway/limit.h"
#include "gateway/static.h"
#include "wire/arena.h"
#include "wire/list.h"
#include "wire/tls.h"
#include "wire/urlcheck.h"

#define IMI_GATEWAY_BODY_TIME_MS 30000 /* for a body to arrive, else 408 */

struct imagine_gateway {
    const imi_mem_t *mem;
    imagine_t *im;
    const imagine_io_t *io;
    imi_arena_t arena; /* what the settings said */

    imi_auth_t auth;
    imi_cors_t cors;
    const imi_hosts_t *trusted_proxies; /* NULL: none */
    imi_limit_t limit;
    imi_static_t files;
    imi_tls_identity_t *tls; /* for http1.c; NULL: plain */
    imi_group_t *group;
    imi_metrics_t *metrics; /* ours in it */
    size_t body_size_max;
    size_t work_max; /* MAX_IN_FLIGHT; 0: no limit */

    bool is_draining;
    size_t in_flight;  /* exchanges begun and not released */
    uint64_t ids[32];  /* random ones, drawn at once: a request's id opens its task to who has it */
    uint32_t id_count; /* of these, not used yet */
    uint64_t last_id;  /* when the system has no random bytes to give */

    imi_list_t awaited;          /* exchanges whose body comes in, the earliest deadline first */
    imagine_timer_t *body_timer; /* for the first of them; NULL: not running */
};

/* imagine_gateway_open() with memory of one's own, for tests. `mem` must outlive everything. */
int imi_gateway_open(imagine_gateway_t **out, const imi_mem_t *mem, imagine_t *im,
                     const imagine_settings_t *settings, char **out_message);

#endif
