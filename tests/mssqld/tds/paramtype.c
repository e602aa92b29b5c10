#include "tests/mssqld/tds/paramtype.h"

#include "common/err.h"
#include "tests/mssqld/tds/proto.h"
#include "tests/mssqld/tds/reader.h"

int
paramtype_bad_size(struct err *e, uint8_t token, uint32_t size)
{
    return err_set(e, ERR_PROTOCOL, "a parameter of type 0x%02X cannot have %u bytes", token, size);
}

/* Picks the base of a type whose token stands for several sizes. */
static int
base_by_size(struct paramtype *out, uint8_t size, struct err *e)
{
    static const struct {
        uint8_t token;
        uint8_t size;
        enum sql_base base;
    } sizes[] = {
        {TYPE_INTN, 1, SQL_TINYINT},      {TYPE_INTN, 2, SQL_SMALLINT},
        {TYPE_INTN, 4, SQL_INT},          {TYPE_INTN, 8, SQL_BIGINT},
        {TYPE_BITN, 1, SQL_BIT},          {TYPE_FLTN, 4, SQL_REAL},
        {TYPE_FLTN, 8, SQL_FLOAT},        {TYPE_MONEYN, 4, SQL_SMALLMONEY},
        {TYPE_MONEYN, 8, SQL_MONEY},      {TYPE_DATETIMN, 4, SQL_SMALLDATETIME},
        {TYPE_DATETIMN, 8, SQL_DATETIME}, {TYPE_GUID, 16, SQL_UNIQUEIDENTIFIER},
        {TYPE_INT1, 1, SQL_TINYINT},      {TYPE_INT2, 2, SQL_SMALLINT},
        {TYPE_INT4, 4, SQL_INT},          {TYPE_INT8, 8, SQL_BIGINT},
        {TYPE_BIT, 1, SQL_BIT},           {TYPE_FLT4, 4, SQL_REAL},
        {TYPE_FLT8, 8, SQL_FLOAT},        {TYPE_MONEY4, 4, SQL_SMALLMONEY},
        {TYPE_MONEY, 8, SQL_MONEY},       {TYPE_DATETIME4, 4, SQL_SMALLDATETIME},
        {TYPE_DATETIME, 8, SQL_DATETIME},
    };

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (sizes[i].token == out->token && (size == 0 || sizes[i].size == size)) {
            out->type.base = sizes[i].base;
            out->max_size = sizes[i].size;
            return 0;
        }
    }
    return paramtype_bad_size(e, out->token, size);
}

/* The u16-sized types; in characters for the UTF-16 ones. */
static int
read_short_type(struct reader *r, struct paramtype *out, bool has_collation, struct err *e)
{
    bool is_utf16 = out->token == TYPE_NVARCHAR || out->token == TYPE_NCHAR;
    const uint8_t *collation;

    out->max_size = reader_u16(r);
    if (out->max_size == TDS_LENGTH_MAX)
        out->type.length = SQL_LENGTH_MAX;
    else if (out->max_size > 8000)
        return paramtype_bad_size(e, out->token, out->max_size);
    else
        out->type.length = (int32_t)(is_utf16 ? out->max_size / 2 : out->max_size);
    if (!has_collation)
        return 0;
    collation = reader_take(r, 5);
    if (collation != NULL)
        memcpy(out->type.collation, collation, 5);
    return 0;
}

static int
read_long_type(struct reader *r, struct paramtype *out, bool has_collation)
{
    const uint8_t *collation;

    out->max_size = reader_u32(r);
    out->type.length = SQL_LENGTH_MAX;
    if (!has_collation)
        return 0;
    collation = reader_take(r, 5);
    if (collation != NULL)
        memcpy(out->type.collation, collation, 5);
    return 0;
}

static int
read_decimal_type(struct reader *r, struct paramtype *out, struct err *e)
{
    out->max_size = reader_u8(r);
    out->type.precision = reader_u8(r);
    out->type.scale = reader_u8(r);
    if (r->bad)
        return 0; /* the caller reports it */
    if (out->type.precision < 1 || out->type.precision > 38 ||
        out->type.scale > out->type.precision)
        return err_set(e, ERR_PROTOCOL, "a parameter is decimal(%u, %u)", out->type.precision,
                       out->type.scale);
    return 0;
}

static int
read_scaled_type(struct reader *r, struct paramtype *out, struct err *e)
{
    out->type.scale = reader_u8(r);
    if (out->type.scale > 7)
        return err_set(e, ERR_PROTOCOL, "a time parameter has scale %u", out->type.scale);
    return 0;
}

static void
skip_name_u8(struct reader *r)
{
    (void)reader_take(r, (size_t)reader_u8(r) * 2);
}

/* Schema of an xml parameter: collection names that nothing here can use. */
static void
read_xml_type(struct reader *r)
{
    if (reader_u8(r) != 0) {
        skip_name_u8(r);
        skip_name_u8(r);
        (void)reader_take(r, (size_t)reader_u16(r) * 2);
    }
}

static int
read_type_body(struct reader *r, struct paramtype *out, struct err *e)
{
    switch (out->token) {
    case TYPE_INTN:
    case TYPE_BITN:
    case TYPE_FLTN:
    case TYPE_MONEYN:
    case TYPE_DATETIMN:
    case TYPE_GUID: {
        uint8_t size = reader_u8(r);

        return r->bad ? 0 : base_by_size(out, size == 0 ? UINT8_MAX : size, e);
    }
    case TYPE_INT1:
    case TYPE_BIT:
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
    case TYPE_FLT4:
    case TYPE_FLT8:
    case TYPE_MONEY:
    case TYPE_MONEY4:
    case TYPE_DATETIME:
    case TYPE_DATETIME4:
        return base_by_size(out, 0, e);
    case TYPE_NULL:
        out->type.base = SQL_INT;
        return 0;
    case TYPE_DECIMALN:
        out->type.base = SQL_DECIMAL;
        return read_decimal_type(r, out, e);
    case TYPE_NUMERICN:
        out->type.base = SQL_NUMERIC;
        return read_decimal_type(r, out, e);
    case TYPE_DATE:
        out->type.base = SQL_DATE;
        return 0;
    case TYPE_TIME:
        out->type.base = SQL_TIME;
        return read_scaled_type(r, out, e);
    case TYPE_DATETIME2:
        out->type.base = SQL_DATETIME2;
        return read_scaled_type(r, out, e);
    case TYPE_DATETIMEOFFSET:
        out->type.base = SQL_DATETIMEOFFSET;
        return read_scaled_type(r, out, e);
    case TYPE_BIGCHAR:
        out->type.base = SQL_CHAR;
        return read_short_type(r, out, true, e);
    case TYPE_BIGVARCHAR:
        out->type.base = SQL_VARCHAR;
        return read_short_type(r, out, true, e);
    case TYPE_NCHAR:
        out->type.base = SQL_NCHAR;
        return read_short_type(r, out, true, e);
    case TYPE_NVARCHAR:
        out->type.base = SQL_NVARCHAR;
        return read_short_type(r, out, true, e);
    case TYPE_BIGBINARY:
        out->type.base = SQL_BINARY;
        return read_short_type(r, out, false, e);
    case TYPE_BIGVARBIN:
        out->type.base = SQL_VARBINARY;
        return read_short_type(r, out, false, e);
    case TYPE_TEXT:
        out->type.base = SQL_TEXT;
        return read_long_type(r, out, true);
    case TYPE_NTEXT:
        out->type.base = SQL_NTEXT;
        return read_long_type(r, out, true);
    case TYPE_IMAGE:
        out->type.base = SQL_IMAGE;
        return read_long_type(r, out, false);
    case TYPE_VARIANT:
        out->type.base = SQL_VARIANT;
        return read_long_type(r, out, false);
    case TYPE_XML:
        out->type.base = SQL_XML;
        read_xml_type(r);
        return 0;
    default:
        return err_set(e, ERR_PROTOCOL, "a parameter has type 0x%02X, which is not served here",
                       out->token);
    }
}

int
paramtype_read(struct reader *r, struct paramtype *out, struct err *e)
{
    *out = (struct paramtype){.type = {.nullable = true}, .token = reader_u8(r)};
    if (r->bad)
        return err_set(e, ERR_PROTOCOL, "the request ends before the type of a parameter");
    if (read_type_body(r, out, e) != 0)
        return -1;
    if (r->bad)
        return err_set(e, ERR_PROTOCOL, "the request ends inside the type of a parameter");
    return 0;
}

int
paramtype_read_variant(struct reader *props, struct paramtype *inner, bool *counted, struct err *e)
{
    static const struct {
        uint8_t token;
        enum sql_base base;
        int32_t unit; /* bytes a unit of length */
        bool is_text;
    } counts[] = {
        {TYPE_NVARCHAR, SQL_NVARCHAR, 2, true},    {TYPE_NCHAR, SQL_NCHAR, 2, true},
        {TYPE_BIGVARCHAR, SQL_VARCHAR, 1, true},   {TYPE_BIGCHAR, SQL_CHAR, 1, true},
        {TYPE_BIGVARBIN, SQL_VARBINARY, 1, false}, {TYPE_BIGBINARY, SQL_BINARY, 1, false},
    };

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        const uint8_t *collation;

        if (counts[i].token != inner->token)
            continue;
        collation = counts[i].is_text ? reader_take(props, 5) : NULL;
        if (collation != NULL)
            memcpy(inner->type.collation, collation, 5);
        inner->type.base = counts[i].base;
        inner->type.length = reader_u16(props) / counts[i].unit;
        *counted = true;
        return 0;
    }
    *counted = false;
    if (inner->token == TYPE_DECIMALN || inner->token == TYPE_NUMERICN) {
        inner->type.base = inner->token == TYPE_DECIMALN ? SQL_DECIMAL : SQL_NUMERIC;
        inner->type.precision = reader_u8(props);
        inner->type.scale = reader_u8(props);
        return 0;
    }
    if (inner->token == TYPE_GUID)
        return base_by_size(inner, 16, e);
    if (inner->token == TYPE_VARIANT || inner->token == TYPE_XML)
        return err_set(e, ERR_PROTOCOL, "a sql_variant cannot hold type 0x%02X", inner->token);
    return read_type_body(props, inner, e);
}
