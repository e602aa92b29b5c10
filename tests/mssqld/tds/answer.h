/*
 * answer - the message that goes back: the engine's sink, turned into tokens and packets.
 *
 * Tokens gather in a buffer that is cut into packets when it is full.  The last DONE is held
 * back by one token, because only the next token shows whether more follows.  While rows go
 * out, and whenever the engine asks cancelled(), the socket is polled for an attention.
 *
 * After an attention everything but the end of the message is dropped; answer_finish then
 * closes the message with DONE(error) and sends the acknowledgement as a message of its own,
 * which is the form that tedious needs and FreeTDS takes.
 *
 * Blocking: whatever sends.  Thread use: one thread; *stopping may be set by another.
 */
#ifndef MSSQLD_TDS_ANSWER_H
#define MSSQLD_TDS_ANSWER_H

#include "common/err.h"
#include "tests/mssqld/engine.h"
#include "tests/mssqld/tds/buf.h"
#include "tests/mssqld/tds/packet.h"
#include "tests/mssqld/tds/wirevalue.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct answer {
    struct packet_in *in;
    struct packet_out *out;
    const char *server_name;
    const atomic_bool *stopping;
    struct sink sink; /* hand &answer->sink to the engine */

    struct buf tokens;
    struct wirevalue_encoder encoder;
    struct wiretype_plan *plans;
    int n_plans;
    int cap_plans;

    struct {
        bool held;
        uint8_t token;
        uint16_t status;
        uint16_t command;
        uint64_t rows;
    } done;
    const struct sql_param *params; /* of the call being answered, for RETURNVALUE ordinals */
    int n_params;
    int n_returned;
    bool in_rpc;
    bool status_sent; /* RETURNSTATUS of the call */
    bool any_error;   /* an ERROR went out since the last DONE */
    bool cancelled;
    bool muted; /* a reset reopens the session without a word */
    bool gone;  /* the peer is lost; e says how */
    int64_t next_poll_ns;
    uint64_t polled_sends;
    struct err e;
};

void answer_open(struct answer *a, struct packet_in *in, struct packet_out *out,
                 const char *server_name, const atomic_bool *stopping);
void answer_close(struct answer *a);

/* Starts a message. */
void answer_begin(struct answer *a);

/* Around each call of an RPC request; end adds RETURNSTATUS and DONEPROC. */
void answer_begin_call(struct answer *a, const struct sql_param *params, int n_params);
void answer_end_call(struct answer *a);

/* RETURNVALUE @handle of sp_prepare and sp_prepexec; puts RETURNSTATUS in front. */
void answer_handle(struct answer *a, int32_t handle);

/* An ERROR of the front itself. */
void answer_error(struct answer *a, int32_t number, uint8_t severity, const char *text);

/* True when the last statement ended with an error. */
bool answer_has_failed(const struct answer *a);

/* For tokens written straight into a->tokens: sends the held DONE first. */
struct buf *answer_tokens(struct answer *a);

/* Ends and sends the message.  -1: the peer is gone, see a->e. */
int answer_finish(struct answer *a);

/* A whole message with one DONE. */
int answer_done_only(struct answer *a, uint16_t status);

#endif
