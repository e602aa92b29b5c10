/*
 * request - what a logged-in client asks: batches, calls, transactions.
 *
 * Each function answers one message completely.
 */
#ifndef MSSQLD_TDS_REQUEST_H
#define MSSQLD_TDS_REQUEST_H

#include "tests/mssqld/tds/answer.h"
#include "tests/mssqld/tds/pool.h"
#include "tests/mssqld/tds/prepared.h"

#include <stddef.h>
#include <stdint.h>

struct session;

/* What requests of one connection work on. */
struct request_state {
    struct session *session;
    struct answer *answer;
    struct prepared_table prepared;
    struct pool pool; /* reset by each request */
};

/* Each returns 0, or -1 when the connection must end; *e then says why.  The answer is begun
   by the caller and finished here. */
int request_batch(struct request_state *s, const void *body, size_t size, struct err *e);
int request_rpc(struct request_state *s, const void *body, size_t size, struct err *e);
int request_transaction(struct request_state *s, const void *body, size_t size, struct err *e);

/* Answers with the error of a malformed request; -1 always, so that the connection ends. */
int request_refuse(struct request_state *s, struct err *e);

void request_state_free(struct request_state *s);

#endif
