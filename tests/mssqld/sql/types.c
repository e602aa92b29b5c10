#include "tests/mssqld/sql/types.h"

#include <strings.h>

#include "common/err.h"
#include "tests/mssqld/sql/collation.h"

struct type_info {
    const char *name;
    int system_id;
    int user_id;
    int rank; /* precedence: the higher wins */
    int max_length;
    int precision;
    int scale;
};

static const struct type_info INFO[] = {
    [SQL_BIT] = {"bit", 104, 104, 11, 1, 1, 0},
    [SQL_TINYINT] = {"tinyint", 48, 48, 12, 1, 3, 0},
    [SQL_SMALLINT] = {"smallint", 52, 52, 13, 2, 5, 0},
    [SQL_INT] = {"int", 56, 56, 14, 4, 10, 0},
    [SQL_BIGINT] = {"bigint", 127, 127, 15, 8, 19, 0},
    [SQL_REAL] = {"real", 59, 59, 19, 4, 24, 0},
    [SQL_FLOAT] = {"float", 62, 62, 20, 8, 53, 0},
    [SQL_DECIMAL] = {"decimal", 106, 106, 18, 9, 18, 0},
    [SQL_NUMERIC] = {"numeric", 108, 108, 18, 9, 18, 0},
    [SQL_SMALLMONEY] = {"smallmoney", 122, 122, 16, 4, 10, 4},
    [SQL_MONEY] = {"money", 60, 60, 17, 8, 19, 4},
    [SQL_DATE] = {"date", 40, 40, 22, 3, 10, 0},
    [SQL_TIME] = {"time", 41, 41, 21, 5, 16, 7},
    [SQL_SMALLDATETIME] = {"smalldatetime", 58, 58, 23, 4, 16, 0},
    [SQL_DATETIME] = {"datetime", 61, 61, 24, 8, 23, 3},
    [SQL_DATETIME2] = {"datetime2", 42, 42, 25, 8, 27, 7},
    [SQL_DATETIMEOFFSET] = {"datetimeoffset", 43, 43, 26, 10, 34, 7},
    [SQL_CHAR] = {"char", 175, 175, 3, 8000, 0, 0},
    [SQL_VARCHAR] = {"varchar", 167, 167, 4, 8000, 0, 0},
    [SQL_TEXT] = {"text", 35, 35, 8, 16, 0, 0},
    [SQL_NCHAR] = {"nchar", 239, 239, 5, 8000, 0, 0},
    [SQL_NVARCHAR] = {"nvarchar", 231, 231, 6, 8000, 0, 0},
    [SQL_NTEXT] = {"ntext", 99, 99, 9, 16, 0, 0},
    [SQL_BINARY] = {"binary", 173, 173, 1, 8000, 0, 0},
    [SQL_VARBINARY] = {"varbinary", 165, 165, 2, 8000, 0, 0},
    [SQL_IMAGE] = {"image", 34, 34, 7, 16, 0, 0},
    [SQL_UNIQUEIDENTIFIER] = {"uniqueidentifier", 36, 36, 10, 16, 0, 0},
    [SQL_XML] = {"xml", 241, 241, 27, -1, 0, 0},
    [SQL_ROWVERSION] = {"timestamp", 189, 189, 2, 8, 0, 0},
    [SQL_VARIANT] = {"sql_variant", 98, 98, 28, 8016, 0, 0},
    [SQL_HIERARCHYID] = {"hierarchyid", 240, 128, 29, 892, 0, 0},
    [SQL_GEOMETRY] = {"geometry", 240, 129, 29, -1, 0, 0},
    [SQL_GEOGRAPHY] = {"geography", 240, 130, 29, -1, 0, 0},
};

#define N_TYPES ((int)(sizeof INFO / sizeof INFO[0]))

static const struct {
    const char *name;
    enum sql_base base;
} ALIAS[] = {
    {"integer", SQL_INT},    {"dec", SQL_DECIMAL},  {"rowversion", SQL_ROWVERSION},
    {"character", SQL_CHAR}, {"double", SQL_FLOAT}, {"sysname", SQL_NVARCHAR},
};

struct sql_type
type_make(enum sql_base base)
{
    struct sql_type t = {.base = base, .nullable = true};

    collation_from_page(0, t.collation);
    t.precision = (uint8_t)INFO[base].precision;
    t.scale = (uint8_t)INFO[base].scale;
    if (type_is_text(base) || type_is_binary(base))
        t.length = 1;
    if (type_is_lob(&t) || base == SQL_XML || base == SQL_GEOMETRY || base == SQL_GEOGRAPHY)
        t.length = SQL_LENGTH_MAX;
    if (base == SQL_ROWVERSION)
        t.length = 8;
    if (base == SQL_HIERARCHYID)
        t.length = 892;
    if (base == SQL_VARIANT)
        t.length = 8016;
    return t;
}

struct sql_type
type_sized(enum sql_base base, int32_t length)
{
    struct sql_type t = type_make(base);

    t.length = length;
    return t;
}

struct sql_type
type_decimal(int precision, int scale)
{
    struct sql_type t = type_make(SQL_DECIMAL);

    t.precision = (uint8_t)precision;
    t.scale = (uint8_t)scale;
    return t;
}

const char *
type_name(enum sql_base base)
{
    return INFO[base].name;
}

const char *
type_describe(const struct sql_type *t, char *buf, size_t size)
{
    const char *name = type_name(t->base);

    if (type_is_lob(t) || t->base == SQL_XML || t->base == SQL_ROWVERSION)
        (void)snprintf(buf, size, "%s", name);
    else if ((type_is_text(t->base) || type_is_binary(t->base)) && t->length == SQL_LENGTH_MAX)
        (void)snprintf(buf, size, "%s(max)", name);
    else if (type_is_text(t->base) || type_is_binary(t->base))
        (void)snprintf(buf, size, "%s(%d)", name, t->length);
    else if (type_is_decimal(t->base))
        (void)snprintf(buf, size, "%s(%u,%u)", name, t->precision, t->scale);
    else if (t->base == SQL_TIME || t->base == SQL_DATETIME2 || t->base == SQL_DATETIMEOFFSET)
        (void)snprintf(buf, size, "%s(%u)", name, t->scale);
    else
        (void)snprintf(buf, size, "%s", name);
    return buf;
}

bool
type_by_name(const char *name, struct sql_type *t)
{
    for (int i = 0; i < N_TYPES; i++)
        if (strcasecmp(INFO[i].name, name) == 0) {
            *t = type_make((enum sql_base)i);
            return true;
        }
    for (size_t i = 0; i < sizeof ALIAS / sizeof ALIAS[0]; i++)
        if (strcasecmp(ALIAS[i].name, name) == 0) {
            *t = type_make(ALIAS[i].base);
            if (strcasecmp(name, "sysname") == 0) {
                t->length = 128;
                t->nullable = false;
            }
            return true;
        }
    return false;
}

int
type_system_id(enum sql_base base)
{
    return INFO[base].system_id;
}

int
type_user_id(enum sql_base base)
{
    return INFO[base].user_id;
}

int
type_max_length(const struct sql_type *t)
{
    if (type_is_lob(t))
        return 16;
    if (t->base == SQL_XML)
        return -1;
    if (type_is_text(t->base) || type_is_binary(t->base))
        return type_is_wide(t->base) && t->length > 0 ? 2 * t->length : t->length;
    if (type_is_decimal(t->base))
        return t->precision <= 9 ? 5 : t->precision <= 19 ? 9 : t->precision <= 28 ? 13 : 17;
    if (t->base == SQL_TIME)
        return t->scale <= 2 ? 3 : t->scale <= 4 ? 4 : 5;
    if (t->base == SQL_DATETIME2)
        return t->scale <= 2 ? 6 : t->scale <= 4 ? 7 : 8;
    if (t->base == SQL_DATETIMEOFFSET)
        return t->scale <= 2 ? 8 : t->scale <= 4 ? 9 : 10;
    return INFO[t->base].max_length;
}

int
type_precision(const struct sql_type *t)
{
    int dot = t->scale > 0 ? 1 + t->scale : 0;

    if (type_is_decimal(t->base))
        return t->precision;
    if (t->base == SQL_TIME)
        return 8 + dot;
    if (t->base == SQL_DATETIME2)
        return 19 + dot;
    if (t->base == SQL_DATETIMEOFFSET)
        return 26 + dot;
    return INFO[t->base].precision;
}

int
type_scale(const struct sql_type *t)
{
    if (type_is_decimal(t->base) || t->base == SQL_TIME || t->base == SQL_DATETIME2 ||
        t->base == SQL_DATETIMEOFFSET)
        return t->scale;
    return INFO[t->base].scale;
}

bool
type_is_integer(enum sql_base base)
{
    return base <= SQL_BIGINT;
}

size_t
type_integer_width(enum sql_base base)
{
    switch ((int)base) {
    case SQL_BIT:
    case SQL_TINYINT:
        return 1;
    case SQL_SMALLINT:
        return 2;
    case SQL_INT:
        return 4;
    default:
        return 8;
    }
}

bool
type_is_text(enum sql_base base)
{
    return (base >= SQL_CHAR && base <= SQL_NTEXT) || base == SQL_XML;
}

bool
type_is_wide(enum sql_base base)
{
    return (base >= SQL_NCHAR && base <= SQL_NTEXT) || base == SQL_XML;
}

bool
type_is_binary(enum sql_base base)
{
    return (base >= SQL_BINARY && base <= SQL_IMAGE) || base == SQL_ROWVERSION ||
           base >= SQL_HIERARCHYID;
}

bool
type_is_decimal(enum sql_base base)
{
    return base == SQL_DECIMAL || base == SQL_NUMERIC;
}

bool
type_is_number(enum sql_base base)
{
    return base <= SQL_MONEY;
}

bool
type_is_time(enum sql_base base)
{
    return base >= SQL_DATE && base <= SQL_DATETIMEOFFSET;
}

bool
type_is_datetime(enum sql_base base)
{
    return base >= SQL_SMALLDATETIME && base <= SQL_DATETIME2;
}

bool
type_is_lob(const struct sql_type *t)
{
    return t->base == SQL_TEXT || t->base == SQL_NTEXT || t->base == SQL_IMAGE;
}

bool
type_is_max(const struct sql_type *t)
{
    return t->length == SQL_LENGTH_MAX;
}

enum type_store
type_store(const struct sql_type *t)
{
    if (t->base == SQL_REAL || t->base == SQL_FLOAT)
        return STORE_REAL;
    if (type_is_text(t->base))
        return STORE_TEXT;
    if (type_is_decimal(t->base))
        return t->precision <= 18 ? STORE_INT : STORE_BLOB;
    if (type_is_integer(t->base) || t->base == SQL_MONEY || t->base == SQL_SMALLMONEY ||
        (type_is_time(t->base) && t->base != SQL_DATETIMEOFFSET))
        return STORE_INT;
    return STORE_BLOB;
}

bool
type_same_store(const struct sql_type *from, const struct sql_type *to)
{
    enum sql_base a = from->base;
    enum sql_base b = to->base;

    if (type_is_integer(a) && type_is_integer(b))
        return true;
    if (type_is_text(a) && type_is_text(b))
        return true;
    if (type_is_binary(a) && type_is_binary(b))
        return true;
    if (type_is_datetime(a) && type_is_datetime(b))
        return true;
    if ((a == SQL_MONEY || a == SQL_SMALLMONEY) && (b == SQL_MONEY || b == SQL_SMALLMONEY))
        return true;
    if ((a == SQL_REAL || a == SQL_FLOAT) && (b == SQL_REAL || b == SQL_FLOAT))
        return true;
    if (type_is_decimal(a) && type_is_decimal(b))
        return from->scale == to->scale && type_store(from) == type_store(to);
    return a == b;
}

struct sql_type
type_as_decimal(const struct sql_type *t)
{
    if (type_is_decimal(t->base))
        return *t;
    if (t->base == SQL_BIT)
        return type_decimal(1, 0);
    if (type_is_number(t->base))
        return type_decimal(INFO[t->base].precision, INFO[t->base].scale);
    return type_decimal(38, 6);
}

static struct sql_type
unify_decimals(const struct sql_type *a, const struct sql_type *b)
{
    struct sql_type x = type_as_decimal(a);
    struct sql_type y = type_as_decimal(b);
    int scale = x.scale > y.scale ? x.scale : y.scale;
    int whole_x = x.precision - x.scale;
    int whole_y = y.precision - y.scale;
    int whole = whole_x > whole_y ? whole_x : whole_y;

    if (whole + scale > 38)
        scale = 38 - whole;
    return type_decimal(whole + scale, scale);
}

struct sql_type
type_unify(const struct sql_type *a, const struct sql_type *b)
{
    const struct sql_type *hi = INFO[a->base].rank >= INFO[b->base].rank ? a : b;
    const struct sql_type *lo = hi == a ? b : a;
    struct sql_type t = *hi;

    if (type_is_decimal(hi->base) && type_is_number(lo->base)) {
        t = unify_decimals(a, b);
        t.base = hi->base;
    } else if ((type_is_text(hi->base) && (type_is_text(lo->base) || type_is_binary(lo->base))) ||
               (type_is_binary(hi->base) && type_is_binary(lo->base))) {
        if (type_is_max(a) || type_is_max(b))
            t.length = SQL_LENGTH_MAX;
        else
            t.length = a->length > b->length ? a->length : b->length;
        if (type_is_wide(hi->base) && t.length > 4000)
            t.length = SQL_LENGTH_MAX;
    } else if (hi->base == lo->base && lo->scale > t.scale) {
        t.scale = lo->scale;
    } else if (hi->base == SQL_DATETIME2 && lo->base == SQL_TIME && lo->scale > t.scale) {
        t.scale = lo->scale;
    }
    t.nullable = a->nullable || b->nullable;
    t.identity = false;
    t.computed = false;
    return t;
}

int64_t
type_pack(const struct sql_type *t)
{
    uint64_t page = type_is_text(t->base) ? (uint64_t)collation_page(t->collation) : 0;

    return (int64_t)((uint64_t)t->base | (uint64_t)t->precision << 8 | (uint64_t)t->scale << 16 |
                     (uint64_t)(uint32_t)t->length << 24 | page << 56);
}

struct sql_type
type_unpack(int64_t packed)
{
    uint64_t p = (uint64_t)packed;
    struct sql_type t = {.nullable = true};

    CHECK((p & 0xFF) < (uint64_t)N_TYPES);
    t.base = (enum sql_base)(p & 0xFF);
    t.precision = (uint8_t)(p >> 8);
    t.scale = (uint8_t)(p >> 16);
    t.length = (int32_t)(uint32_t)(p >> 24);
    collation_from_page((int)(p >> 56 & 0x7F), t.collation);
    return t;
}
