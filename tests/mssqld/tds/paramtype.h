/*
 * paramtype - TYPE_INFO of a parameter, read from a request ([MS-TDS] 2.2.5.4 to 2.2.5.6).
 *
 * Hostile input: sizes, precisions and scales that no server would declare are refused.
 */
#ifndef MSSQLD_TDS_PARAMTYPE_H
#define MSSQLD_TDS_PARAMTYPE_H

#include "tests/mssqld/engine.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct reader;

/* A type as a client declares it. */
struct paramtype {
    struct sql_type type;
    uint8_t token;
    uint32_t max_size; /* bytes; TDS_LENGTH_MAX = PLP, for the u16-counted types */
};

int paramtype_read(struct reader *r, struct paramtype *out, struct err *e);

/* The type inside a sql_variant: inner->token is known, the rest comes from its properties.
   *counted: a text or binary value, as long as what follows; else of fixed width. */
int
paramtype_read_variant(struct reader *props, struct paramtype *inner, bool *counted, struct err *e);

/* Refuses a size; -1. */
int paramtype_bad_size(struct err *e, uint8_t token, uint32_t size);

#endif
