#include "capture/sqlserver/types.h"

#include "capture/sqlserver/sql.h"
#include "common/catalog.h"
#include "common/err.h"

#include <stdio.h>

/* sys.columns.system_type_id */
enum {
    ID_IMAGE = 34,
    ID_TEXT = 35,
    ID_UNIQUEIDENTIFIER = 36,
    ID_DATE = 40,
    ID_TIME = 41,
    ID_DATETIME2 = 42,
    ID_DATETIMEOFFSET = 43,
    ID_TINYINT = 48,
    ID_SMALLINT = 52,
    ID_INT = 56,
    ID_SMALLDATETIME = 58,
    ID_REAL = 59,
    ID_MONEY = 60,
    ID_DATETIME = 61,
    ID_FLOAT = 62,
    ID_VARIANT = 98,
    ID_NTEXT = 99,
    ID_BIT = 104,
    ID_DECIMAL = 106,
    ID_NUMERIC = 108,
    ID_SMALLMONEY = 122,
    ID_BIGINT = 127,
    ID_VARBINARY = 165,
    ID_VARCHAR = 167,
    ID_BINARY = 173,
    ID_CHAR = 175,
    ID_TIMESTAMP = 189,
    ID_NVARCHAR = 231,
    ID_NCHAR = 239,
    ID_CLR = 240,
    ID_XML = 241,
};

/* sys.columns.user_type_id of the CLR types that come with the server */
enum { ID_HIERARCHYID = 128, ID_GEOMETRY = 129, ID_GEOGRAPHY = 130 };

/* How the declaration is printed. */
enum form { PLAIN, BYTES, UNITS, PRECISION_SCALE, SCALE };

struct type_info {
    uint8_t id;
    enum form form;
    enum dms_type dms;
    enum dms_type dms_max; /* when declared (max) */
    enum type_wire wire;
    bool is_old_lob;
    uint8_t precision; /* where the declaration has none */
    uint8_t scale;
    const char *name;
};

static const struct type_info infos[] = {
    {ID_TINYINT, PLAIN, DMS_UINT1, DMS_UINT1, WIRE_NATIVE, false, 0, 0, "tinyint"},
    {ID_SMALLINT, PLAIN, DMS_INT2, DMS_INT2, WIRE_NATIVE, false, 0, 0, "smallint"},
    {ID_INT, PLAIN, DMS_INT4, DMS_INT4, WIRE_NATIVE, false, 0, 0, "int"},
    {ID_BIGINT, PLAIN, DMS_INT8, DMS_INT8, WIRE_NATIVE, false, 0, 0, "bigint"},
    {ID_BIT, PLAIN, DMS_BOOLEAN, DMS_BOOLEAN, WIRE_NATIVE, false, 0, 0, "bit"},
    {ID_DECIMAL, PRECISION_SCALE, DMS_NUMERIC, DMS_NUMERIC, WIRE_NATIVE, false, 0, 0, "decimal"},
    {ID_NUMERIC, PRECISION_SCALE, DMS_NUMERIC, DMS_NUMERIC, WIRE_NATIVE, false, 0, 0, "numeric"},
    {ID_MONEY, PLAIN, DMS_NUMERIC, DMS_NUMERIC, WIRE_NATIVE, false, 19, 4, "money"},
    {ID_SMALLMONEY, PLAIN, DMS_NUMERIC, DMS_NUMERIC, WIRE_NATIVE, false, 10, 4, "smallmoney"},
    {ID_REAL, PLAIN, DMS_REAL4, DMS_REAL4, WIRE_NATIVE, false, 0, 0, "real"},
    {ID_FLOAT, PLAIN, DMS_REAL8, DMS_REAL8, WIRE_NATIVE, false, 0, 0, "float"},
    {ID_DATETIME, PLAIN, DMS_DATETIME, DMS_DATETIME, WIRE_NATIVE, false, 0, 3, "datetime"},
    {ID_SMALLDATETIME, PLAIN, DMS_DATETIME, DMS_DATETIME, WIRE_NATIVE, false, 0, 0,
     "smalldatetime"},
    {ID_DATETIME2, SCALE, DMS_DATETIME, DMS_DATETIME, WIRE_NATIVE, false, 0, 0, "datetime2"},
    {ID_DATE, PLAIN, DMS_DATE, DMS_DATE, WIRE_NATIVE, false, 0, 0, "date"},
    {ID_TIME, SCALE, DMS_TIME, DMS_TIME, WIRE_NATIVE, false, 0, 0, "time"},
    {ID_DATETIMEOFFSET, SCALE, DMS_WSTRING, DMS_WSTRING, WIRE_NATIVE, false, 0, 0,
     "datetimeoffset"},
    {ID_CHAR, BYTES, DMS_STRING, DMS_STRING, WIRE_UTF16, false, 0, 0, "char"},
    {ID_VARCHAR, BYTES, DMS_STRING, DMS_CLOB, WIRE_UTF16, false, 0, 0, "varchar"},
    {ID_TEXT, PLAIN, DMS_CLOB, DMS_CLOB, WIRE_UTF16, true, 0, 0, "text"},
    {ID_NCHAR, UNITS, DMS_WSTRING, DMS_WSTRING, WIRE_UTF16, false, 0, 0, "nchar"},
    {ID_NVARCHAR, UNITS, DMS_WSTRING, DMS_NCLOB, WIRE_UTF16, false, 0, 0, "nvarchar"},
    {ID_NTEXT, PLAIN, DMS_NCLOB, DMS_NCLOB, WIRE_UTF16, true, 0, 0, "ntext"},
    {ID_BINARY, BYTES, DMS_BYTES, DMS_BYTES, WIRE_NATIVE, false, 0, 0, "binary"},
    {ID_VARBINARY, BYTES, DMS_BYTES, DMS_BLOB, WIRE_NATIVE, false, 0, 0, "varbinary"},
    {ID_IMAGE, PLAIN, DMS_BLOB, DMS_BLOB, WIRE_NATIVE, true, 0, 0, "image"},
    {ID_TIMESTAMP, PLAIN, DMS_BYTES, DMS_BYTES, WIRE_NATIVE, false, 0, 0, "timestamp"},
    {ID_UNIQUEIDENTIFIER, PLAIN, DMS_STRING, DMS_STRING, WIRE_NATIVE, false, 0, 0,
     "uniqueidentifier"},
    {ID_XML, PLAIN, DMS_NCLOB, DMS_NCLOB, WIRE_UTF16, false, 0, 0, "xml"},
    {ID_VARIANT, PLAIN, DMS_WSTRING, DMS_WSTRING, WIRE_VARIANT, false, 0, 0, "sql_variant"},
};

static const struct type_info clr_infos[] = {
    {ID_CLR, PLAIN, DMS_WSTRING, DMS_WSTRING, WIRE_HIERARCHYID, false, 0, 0, "hierarchyid"},
    {ID_CLR, PLAIN, DMS_BLOB, DMS_BLOB, WIRE_GEOMETRY, false, 0, 0, "geometry"},
    {ID_CLR, PLAIN, DMS_BLOB, DMS_BLOB, WIRE_GEOGRAPHY, false, 0, 0, "geography"},
};

static const struct type_info *
info_of(const struct type_column *c)
{
    if (c->system_type == ID_CLR) {
        int32_t i = c->user_type - ID_HIERARCHYID;

        return i >= 0 && i <= ID_GEOGRAPHY - ID_HIERARCHYID ? &clr_infos[i] : NULL;
    }
    for (size_t i = 0; i < sizeof(infos) / sizeof(infos[0]); i++)
        if (infos[i].id == c->system_type)
            return &infos[i];
    return NULL;
}

/* "varchar(50)": the declaration as people write it. */
static void
print_declaration(struct type_column *c, const struct type_info *info)
{
    int n = c->max_length;

    switch (info->form) {
    case BYTES:
    case UNITS:
        if (n < 0)
            (void)snprintf(c->name, sizeof(c->name), "%s(max)", info->name);
        else
            (void)snprintf(c->name, sizeof(c->name), "%s(%d)", info->name,
                           info->form == UNITS ? n / 2 : n);
        break;
    case PRECISION_SCALE:
        (void)snprintf(c->name, sizeof(c->name), "%s(%u,%u)", info->name, c->precision, c->scale);
        break;
    case SCALE:
        (void)snprintf(c->name, sizeof(c->name), "%s(%u)", info->name, c->scale);
        break;
    case PLAIN:
        (void)snprintf(c->name, sizeof(c->name), "%s", info->name);
        break;
    }
}

static uint32_t
length_of(const struct type_column *c, const struct type_info *info)
{
    switch (c->system_type) {
    case ID_UNIQUEIDENTIFIER:
        return 36;
    case ID_DATETIMEOFFSET:
        return 34; /* "YYYY-MM-DD HH:MM:SS.fffffff +HH:MM" */
    case ID_TIMESTAMP:
        return 8;
    case ID_VARIANT:
        return 8000;
    case ID_CLR:
        return c->user_type == ID_HIERARCHYID ? 250 : 0; /* DMS's own bound */
    default:
        break;
    }
    if (c->max_length < 0 || (info->form != BYTES && info->form != UNITS))
        return 0;
    return (uint32_t)(info->form == UNITS ? c->max_length / 2 : c->max_length);
}

int
type_describe(struct type_column *c, struct column_def *out, struct err *e)
{
    const struct type_info *info = info_of(c);
    bool is_numeric;

    if (info == NULL) {
        err_set(e, ERR_DATA, "type %u (user type %d) is not supported", c->system_type,
                c->user_type);
        return err_hint(e, "leave the column out: enable change data capture for the table with a "
                           "@captured_column_list without it, or convert it in a computed copy");
    }
    if (info->form == PLAIN && info->scale != 0)
        c->scale = info->scale;
    print_declaration(c, info);
    c->wire = info->wire;
    c->is_old_lob = info->is_old_lob;
    c->is_lob = c->max_length < 0 || info->is_old_lob || c->system_type == ID_XML ||
                c->wire == WIRE_GEOMETRY || c->wire == WIRE_GEOGRAPHY;
    c->limit = 0;
    is_numeric = info->dms == DMS_NUMERIC;
    out->type = c->max_length < 0 ? info->dms_max : info->dms;
    out->length = length_of(c, info);
    out->precision = 0;
    if (is_numeric)
        out->precision = info->form == PLAIN ? info->precision : c->precision;
    out->scale = 0;
    if (is_numeric || out->type == DMS_TIME || out->type == DMS_DATETIME ||
        c->system_type == ID_DATETIMEOFFSET)
        out->scale = c->scale;
    if (c->system_type == ID_SMALLDATETIME)
        out->scale = 0;
    out->is_lob = c->is_lob;
    out->is_fixed_text = c->system_type == ID_CHAR || c->system_type == ID_NCHAR;
    return 0;
}

bool
type_is_key(const struct type_column *c)
{
    return !c->is_lob && c->system_type != ID_VARIANT;
}

/* ---- asking ---- */

/* CASE WHEN the inner type is one of the list. */
static void
add_when(struct sql *q, const char *name, const char *list)
{
    sql_add(q, " WHEN CONVERT(nvarchar(128), SQL_VARIANT_PROPERTY(");
    sql_add_name(q, name);
    sql_add(q, ", 'BaseType')) IN (%s)", list);
}

/*
 * CONVERT to nvarchar drops digits of floats and money and half of long varchars; these forms do
 * not.  Floats come as their bits (style 3, which prints all digits, is not in SQL Server 2014).
 */
static void
add_variant(struct sql *q, const char *name)
{
    sql_add(q, "CASE");
    add_when(q, name, "N'float'");
    sql_add(q, " THEN N'd' + CONVERT(nvarchar(18), CONVERT(binary(8), CONVERT(float, ");
    sql_add_name(q, name);
    sql_add(q, ")), 1)");
    add_when(q, name, "N'real'");
    sql_add(q, " THEN N'r' + CONVERT(nvarchar(10), CONVERT(binary(4), CONVERT(real, ");
    sql_add_name(q, name);
    sql_add(q, ")), 1)");
    add_when(q, name, "N'money', N'smallmoney'");
    sql_add(q, " THEN N't' + CONVERT(nvarchar(40), CONVERT(money, ");
    sql_add_name(q, name);
    sql_add(q, "), 2)");
    add_when(q, name, "N'binary', N'varbinary'");
    sql_add(q, " THEN N't' + CONVERT(nvarchar(max), CONVERT(varbinary(8000), ");
    sql_add_name(q, name);
    sql_add(q, "), 1)");
    add_when(q, name, "N'char', N'varchar'");
    sql_add(q, " AND DATALENGTH(");
    sql_add_name(q, name);
    sql_add(q, ") > 4000 THEN N't' + CONVERT(nvarchar(max), CONVERT(varchar(8000), ");
    sql_add_name(q, name);
    sql_add(q, ")) ELSE N't' + CONVERT(nvarchar(max), CONVERT(nvarchar(4000), ");
    sql_add_name(q, name);
    sql_add(q, ", 121)) END");
}

/* The column as a (max) type that SUBSTRING and DATALENGTH take. */
static void
add_whole(struct sql *q, const struct type_column *c, const char *name)
{
    const char *to = c->system_type == ID_TEXT                                ? "varchar(max)"
                     : c->system_type == ID_IMAGE                             ? "varbinary(max)"
                     : c->system_type == ID_NTEXT || c->system_type == ID_XML ? "nvarchar(max)"
                                                                              : NULL;

    if (to != NULL)
        sql_add(q, "CONVERT(%s, ", to);
    sql_add_name(q, name);
    if (to != NULL)
        sql_add(q, ")");
}

/*
 * Size of the whole in eight bytes, then at most one unit more than the limit: as many units of any
 * text are at least as many bytes of UTF-8, so the limit is reached when there is more.
 */
static void
add_limited(struct sql *q, const struct type_column *c, const char *name)
{
    bool is_narrow = c->system_type == ID_VARCHAR || c->system_type == ID_TEXT;

    sql_add(q, "CONVERT(binary(8), CONVERT(bigint, DATALENGTH(");
    add_whole(q, c, name);
    sql_add(q, "))) + CONVERT(varbinary(max), %sSUBSTRING(",
            is_narrow ? "CONVERT(nvarchar(max), " : "");
    add_whole(q, c, name);
    sql_add(q, ", 1, %u)%s)", c->limit + 1, is_narrow ? ")" : "");
}

static void
add_text(struct sql *q, const struct type_column *c, const char *name)
{
    bool is_wide = c->system_type == ID_NCHAR || c->system_type == ID_NVARCHAR;
    bool is_short = c->max_length >= 0 && !c->is_lob && (is_wide || c->max_length <= 4000);

    sql_add(q, is_short ? "CONVERT(varbinary(8000), " : "CONVERT(varbinary(max), ");
    if (!is_wide)
        sql_add(q, is_short ? "CONVERT(nvarchar(4000), " : "CONVERT(nvarchar(max), ");
    sql_add_name(q, name);
    sql_add(q, is_wide ? ")" : "))");
}

void
type_add_select(struct sql *q, const struct type_column *c, const char *name)
{
    if (c->limit > 0) {
        add_limited(q, c, name);
    } else if (c->wire == WIRE_VARIANT) {
        sql_add(q, "CONVERT(varbinary(max), ");
        add_variant(q, name);
        sql_add(q, ")");
    } else if (c->wire == WIRE_UTF16) {
        add_text(q, c, name);
    } else {
        sql_add_name(q, name);
    }
}

void
type_limit(struct type_column *c, uint32_t bytes)
{
    c->limit = c->is_lob && c->system_type != ID_CLR ? bytes : 0;
}

/* ---- literals ---- */

static void
add_text_literal(struct sql *q, const struct type_column *c, const struct value *v)
{
    sql_add_string(q, v->bytes.data, v->bytes.size);
    if (c->collation != NULL)
        sql_add(q, " COLLATE %s", c->collation);
}

void
type_add_literal(struct sql *q, const struct type_column *c, const struct value *v)
{
    char text[VALUE_TEXT_MAX];
    size_t n;

    sql_add(q, "CONVERT(%s, ", c->name);
    switch (v->kind) {
    case VALUE_TEXT:
        add_text_literal(q, c, v);
        break;
    case VALUE_BYTES:
        sql_add_binary(q, (const uint8_t *)v->bytes.data, v->bytes.size);
        break;
    case VALUE_DECIMAL:
        sql_add_n(q, v->bytes.data, v->bytes.size);
        break;
    case VALUE_FLOAT32:
        sql_add(q, "%.8E", (double)v->f32);
        break;
    case VALUE_FLOAT64:
        sql_add(q, "%.16E", v->f64);
        break;
    case VALUE_BOOL:
        sql_add(q, "%d", v->boolean ? 1 : 0);
        break;
    case VALUE_INT:
    case VALUE_UINT:
        n = value_text(v, 0, text, sizeof(text));
        sql_add_n(q, text, n);
        break;
    case VALUE_DATE:
    case VALUE_TIME:
    case VALUE_DATETIME:
    case VALUE_DATETIMEOFFSET:
    case VALUE_UUID:
        n = value_text(v, c->scale, text, sizeof(text));
        sql_add(q, "'%.*s'", (int)n, text);
        break;
    case VALUE_CUT_TEXT:
    case VALUE_CUT_BYTES:
    case VALUE_UNAVAILABLE:
        CHECK(!c->is_lob); /* none of them stands in a key */
        sql_add(q, "NULL");
        break;
    case VALUE_NULL:
        sql_add(q, "NULL");
        break;
    }
    sql_add(q, ")");
}
