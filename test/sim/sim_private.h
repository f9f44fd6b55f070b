/* sim_private.h: what the simulator's own files share. */
#ifndef IMI_TEST_SIM_PRIVATE_H
#define IMI_TEST_SIM_PRIVATE_H

#include "sim.h"

typedef void (*sim_event_cb)(void *user);

struct sim_event {
    uint64_t at_ms, sequence;
    size_t index;
    sim_event_cb run;
    void *user;
};

struct sim_reply {
    sim_reply_t *next;
    uint64_t delay_ms;
    int status;
    char *headers, *body;
    size_t body_size;
    size_t piece_size; /* 0: in one piece */
    uint64_t piece_delay_ms;
    int error; /* it breaks: before the head, or inside the body at cut_at */
    bool was_sent;
    size_t cut_at;
    bool is_stalled;
    size_t spends_token; /* chaos: its number plus one; 0: none */
};

struct imagine_http_exchange {
    sim_t *sim;
    const imagine_http_handler_t *handler;
    void *user;
    sim_reply_t *reply;
    sim_event_t *event, *time_limit;
    imagine_http_body_cb body_read; /* NULL: the body is there */
    void *body_read_user;
    uint64_t body_left;
    bool is_starved;     /* it had nothing to give */
    bool *was_cancelled; /* tells who runs a callback of it */
    bool has_head;
    size_t sent_size;
};

sim_event_t *sim_event_add(sim_t *sim, uint64_t delay_ms, sim_event_cb run, void *user);
void sim_event_remove(sim_t *sim, sim_event_t *event);

sim_reply_t *sim_reply_new(uint64_t delay_ms, int status, const char *headers, const char *body);
void sim_reply_free(sim_reply_t *reply);

/* sim_chaos.c */
sim_reply_t *sim_chaos_reply(sim_t *sim, const imagine_http_request_t *request);
void sim_chaos_delivered(sim_t *sim, const sim_reply_t *reply);
void sim_chaos_done(sim_t *sim, sim_request_t *request, const imagine_result_t *result);
void sim_chaos_free(sim_t *sim);

#endif
