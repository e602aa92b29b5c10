/*
 * wiretype - how a SQL type stands in a result: its type info and the form of its values.
 *
 * A plan is made once per column of a result and drives the row encoder (wirevalue.h), so that no
 * decision about a type is taken per row.  Sources: [MS-TDS] 2.2.5.4 to 2.2.5.6, 2.2.7.4.
 */
#ifndef MSSQLD_TDS_WIRETYPE_H
#define MSSQLD_TDS_WIRETYPE_H

#include "tests/mssqld/engine.h"

#include <stdint.h>

struct buf;

enum value_form {
    FORM_INT, /* width bytes */
    FORM_REAL,
    FORM_FLOAT,
    FORM_DECIMAL,
    FORM_SMALLMONEY,
    FORM_MONEY,
    FORM_DATE,
    FORM_TIME,
    FORM_SMALLDATETIME,
    FORM_DATETIME,
    FORM_DATETIME2,
    FORM_DATETIMEOFFSET,
    FORM_GUID,
    FORM_SHORT_RAW, /* u16 count, then data */
    FORM_SHORT_UTF16,
    FORM_SHORT_CODEPAGE,
    FORM_PLP_RAW, /* u64 total, chunks, u32 0 */
    FORM_PLP_UTF16,
    FORM_PLP_CODEPAGE,
    FORM_PLP_XML,
    FORM_LOB_RAW, /* text pointer, time stamp, u32 count, then data */
    FORM_LOB_UTF16,
    FORM_LOB_CODEPAGE,
    FORM_VARIANT,
};

struct wiretype_plan {
    struct sql_type type;
    uint8_t token;
    uint8_t form;      /* enum value_form */
    uint8_t width;     /* data bytes of the forms up to GUID */
    bool counted;      /* those forms: a length byte stands before the data */
    uint8_t null_size; /* bytes that NULL takes in a ROW; 0 = cannot be NULL */
    unsigned codepage;
    uint32_t max_size; /* bytes; of the types that declare a size */
};

/* Bytes of a decimal value, sign included: 5, 9, 13, 17. */
uint8_t wiretype_decimal_size(uint8_t precision);
/* Bytes of the time part at a scale: 3, 4, 5. */
uint8_t wiretype_time_size(uint8_t scale);

void wiretype_plan(const struct sql_type *type, struct wiretype_plan *out);

/* Appends TYPE_INFO. */
void wiretype_put_info(struct buf *b, const struct wiretype_plan *plan);

/* Appends user type, flags and TYPE_INFO, as COLMETADATA and RETURNVALUE both have them. */
void wiretype_put_description(struct buf *b, const struct wiretype_plan *plan);

/* Appends the COLMETADATA token. */
void wiretype_put_columns(struct buf *b, const struct sql_column *columns,
                          const struct wiretype_plan *plans, int n);

#endif
