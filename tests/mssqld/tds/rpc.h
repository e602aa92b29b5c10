/*
 * rpc - remote procedure calls as they stand in a request ([MS-TDS] 2.2.6.6).
 */
#ifndef MSSQLD_TDS_RPC_H
#define MSSQLD_TDS_RPC_H

#include "tests/mssqld/engine.h"

#include <stdbool.h>
#include <stdint.h>

struct pool;
struct err;
struct reader;
struct text_codec;

enum rpc_id {
    RPC_NAMED = 0,
    RPC_EXECUTESQL = 10,
    RPC_PREPARE = 11,
    RPC_EXECUTE = 12,
    RPC_PREPEXEC = 13,
    RPC_UNPREPARE = 15,
};

struct rpc_call {
    uint16_t id;      /* enum rpc_id; the well-known names are turned into their ids */
    const char *name; /* of RPC_NAMED; of the others for messages */
    bool no_metadata; /* the client knows the columns; SQL Server sends them nevertheless */
    struct sql_param *params;
    int n_params;
};

/*
 * Reads the next call; everything lies in the pool or the input.  1 = one is there, 0 = the
 * request is at its end, -1 = malformed.
 */
int rpc_next(struct reader *r, struct pool *pool, struct text_codec *codec, struct rpc_call *out,
             struct err *e);

/* Skips ALL_HEADERS in front of a batch, RPC or transaction manager request. */
int rpc_skip_headers(struct reader *r, struct err *e);

#endif
