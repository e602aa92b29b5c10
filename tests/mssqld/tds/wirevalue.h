/*
 * wirevalue - values into rows: ROW, NBCROW, RETURNVALUE.
 *
 * The hot path of the server.  Nothing is allocated per row; the target buffer and the
 * scratch buffer keep their memory.
 */
#ifndef MSSQLD_TDS_WIREVALUE_H
#define MSSQLD_TDS_WIREVALUE_H

#include "tests/mssqld/engine.h"
#include "tests/mssqld/tds/buf.h"
#include "tests/mssqld/tds/text.h"
#include "tests/mssqld/tds/wiretype.h"

#include <stdint.h>

/* What encoding needs besides the plan; one per connection.  Free with wirevalue_encoder_free. */
struct wirevalue_encoder {
    struct text_codec codec;
    struct buf scratch;
    uint32_t plp_chunk;      /* bytes a chunk; 0 = one chunk a value */
    bool plp_unknown_length; /* announce no total, as SQL Server may */
};

void wirevalue_encoder_free(struct wirevalue_encoder *enc);

/* Appends one value in the form of its plan.  NULL in a column that cannot be NULL is a bug of
   the engine (CHECK). */
void wirevalue_put(struct buf *b, struct wirevalue_encoder *enc, const struct wiretype_plan *plan,
                   const struct sql_value *value);

/* Appends a row of n values: NBCROW when that is shorter than ROW, as SQL Server does. */
void wirevalue_put_row(struct buf *b, struct wirevalue_encoder *enc,
                       const struct wiretype_plan *plans, int n, const struct sql_value *values);

/* Appends the RETURNVALUE token of an output parameter. */
void
wirevalue_put_return(struct buf *b, struct wirevalue_encoder *enc, uint16_t ordinal,
                     const char *name, const struct sql_type *type, const struct sql_value *value);

#endif
