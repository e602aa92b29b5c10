/*
 * param - parameters of a request: TYPE_INFO and value from the wire into engine values.
 *
 * The input is hostile until proven otherwise: every length is checked against what is there,
 * and a type or value that makes no sense is refused with its name.
 */
#ifndef MSSQLD_TDS_PARAM_H
#define MSSQLD_TDS_PARAM_H

#include "tests/mssqld/engine.h"

#include <stdint.h>

struct pool;
struct err;
struct reader;
struct text_codec;

/* A type as a client declares it. */
struct param_type {
    struct sql_type type;
    uint8_t token;
    uint32_t max_size; /* bytes; TDS_LENGTH_MAX = PLP, for the u16-counted types */
};

int param_read_type(struct reader *r, struct param_type *out, struct err *e);

/* Reads a value of that type; its bytes lie in the pool or in the input. */
int param_read_value(struct reader *r, const struct param_type *type, struct pool *pool,
                     struct text_codec *codec, struct sql_value *out, struct err *e);

#endif
