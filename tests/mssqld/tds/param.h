/*
 * param - values of parameters from the wire into engine values.
 *
 * The input is hostile until proven otherwise: every length is checked against what is there,
 * and a value that makes no sense is refused with its type.
 */
#ifndef MSSQLD_TDS_PARAM_H
#define MSSQLD_TDS_PARAM_H

#include "tests/mssqld/engine.h"

#include <stdint.h>

struct pool;
struct err;
struct paramtype;
struct reader;
struct text_codec;

/* Reads a value of that type; its bytes lie in the pool or in the input. */
int param_read_value(struct reader *r, const struct paramtype *type, struct pool *pool,
                     struct text_codec *codec, struct sql_value *out, struct err *e);

#endif
