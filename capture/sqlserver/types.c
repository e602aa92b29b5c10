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
    bool is_text;
    bool is_old_lob;
    uint8_t precision; /* where the declaration has none */
    uint8_t scale;
    const char *name;
};

static const struct type_info infos[] = {
    {ID_TINYINT, PLAIN, DMS_UINT1, DMS_UINT1, false, false, 0, 0, "tinyint"},
    {ID_SMALLINT, PLAIN, DMS_INT2, DMS_INT2, false, false, 0, 0, "smallint"},
    {ID_INT, PLAIN, DMS_INT4, DMS_INT4, false, false, 0, 0, "int"},
    {ID_BIGINT, PLAIN, DMS_INT8, DMS_INT8, false, false, 0, 0, "bigint"},
    {ID_BIT, PLAIN, DMS_BOOLEAN, DMS_BOOLEAN, false, false, 0, 0, "bit"},
    {ID_DECIMAL, PRECISION_SCALE, DMS_NUMERIC, DMS_NUMERIC, false, false, 0, 0, "decimal"},
    {ID_NUMERIC, PRECISION_SCALE, DMS_NUMERIC, DMS_NUMERIC, false, false, 0, 0, "numeric"},
    {ID_MONEY, PLAIN, DMS_NUMERIC, DMS_NUMERIC, false, false, 19, 4, "money"},
    {ID_SMALLMONEY, PLAIN, DMS_NUMERIC, DMS_NUMERIC, false, false, 10, 4, "smallmoney"},
    {ID_REAL, PLAIN, DMS_REAL4, DMS_REAL4, false, false, 0, 0, "real"},
    {ID_FLOAT, PLAIN, DMS_REAL8, DMS_REAL8, false, false, 0, 0, "float"},
    {ID_DATETIME, PLAIN, DMS_DATETIME, DMS_DATETIME, false, false, 0, 3, "datetime"},
    {ID_SMALLDATETIME, PLAIN, DMS_DATETIME, DMS_DATETIME, false, false, 0, 0, "smalldatetime"},
    {ID_DATETIME2, SCALE, DMS_DATETIME, DMS_DATETIME, false, false, 0, 0, "datetime2"},
    {ID_DATE, PLAIN, DMS_DATE, DMS_DATE, false, false, 0, 0, "date"},
    {ID_TIME, SCALE, DMS_TIME, DMS_TIME, false, false, 0, 0, "time"},
    {ID_DATETIMEOFFSET, SCALE, DMS_WSTRING, DMS_WSTRING, false, false, 0, 0, "datetimeoffset"},
    {ID_CHAR, BYTES, DMS_STRING, DMS_STRING, true, false, 0, 0, "char"},
    {ID_VARCHAR, BYTES, DMS_STRING, DMS_CLOB, true, false, 0, 0, "varchar"},
    {ID_TEXT, PLAIN, DMS_CLOB, DMS_CLOB, true, true, 0, 0, "text"},
    {ID_NCHAR, UNITS, DMS_WSTRING, DMS_WSTRING, true, false, 0, 0, "nchar"},
    {ID_NVARCHAR, UNITS, DMS_WSTRING, DMS_NCLOB, true, false, 0, 0, "nvarchar"},
    {ID_NTEXT, PLAIN, DMS_NCLOB, DMS_NCLOB, true, true, 0, 0, "ntext"},
    {ID_BINARY, BYTES, DMS_BYTES, DMS_BYTES, false, false, 0, 0, "binary"},
    {ID_VARBINARY, BYTES, DMS_BYTES, DMS_BLOB, false, false, 0, 0, "varbinary"},
    {ID_IMAGE, PLAIN, DMS_BLOB, DMS_BLOB, false, true, 0, 0, "image"},
    {ID_TIMESTAMP, PLAIN, DMS_BYTES, DMS_BYTES, false, false, 0, 0, "timestamp"},
    {ID_UNIQUEIDENTIFIER, PLAIN, DMS_STRING, DMS_STRING, false, false, 0, 0, "uniqueidentifier"},
    {ID_XML, PLAIN, DMS_NCLOB, DMS_NCLOB, true, false, 0, 0, "xml"},
    {ID_VARIANT, PLAIN, DMS_WSTRING, DMS_WSTRING, true, false, 0, 0, "sql_variant"},
};

static const struct type_info clr_infos[] = {
    {ID_CLR, PLAIN, DMS_WSTRING, DMS_WSTRING, true, false, 0, 0, "hierarchyid"},
    {ID_CLR, PLAIN, DMS_CLOB, DMS_CLOB, true, false, 0, 0, "geometry"},
    {ID_CLR, PLAIN, DMS_CLOB, DMS_CLOB, true, false, 0, 0, "geography"},
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
    c->is_text = info->is_text;
    c->is_old_lob = info->is_old_lob;
    c->is_lob = c->max_length < 0 || info->is_old_lob || c->system_type == ID_XML ||
                c->system_type == ID_CLR;
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

/* CONVERT to nvarchar drops digits of some inner types; these forms do not. */
static void
add_variant(struct sql *q, const char *name)
{
    sql_add(q, "CASE WHEN CONVERT(nvarchar(128), SQL_VARIANT_PROPERTY(");
    sql_add_name(q, name);
    sql_add(q,
            ", 'BaseType')) IN (N'float', N'real') THEN CONVERT(nvarchar(4000), CONVERT(float, ");
    sql_add_name(q, name);
    sql_add(q, "), 3) WHEN CONVERT(nvarchar(128), SQL_VARIANT_PROPERTY(");
    sql_add_name(q, name);
    sql_add(q, ", 'BaseType')) IN (N'money', N'smallmoney') THEN CONVERT(nvarchar(4000), "
               "CONVERT(money, ");
    sql_add_name(q, name);
    sql_add(q, "), 2) WHEN CONVERT(nvarchar(128), SQL_VARIANT_PROPERTY(");
    sql_add_name(q, name);
    sql_add(q, ", 'BaseType')) IN (N'binary', N'varbinary') THEN CONVERT(nvarchar(4000), "
               "CONVERT(varbinary(8000), ");
    sql_add_name(q, name);
    sql_add(q, "), 1) ELSE CONVERT(nvarchar(4000), ");
    sql_add_name(q, name);
    sql_add(q, ", 121) END");
}

static void
add_text(struct sql *q, const struct type_column *c, const char *name)
{
    bool is_short =
        c->max_length >= 0 && !c->is_lob &&
        (c->system_type == ID_NCHAR || c->system_type == ID_NVARCHAR || c->max_length <= 4000);

    if (c->system_type == ID_VARIANT)
        is_short = true;
    sql_add(q, is_short ? "CONVERT(varbinary(8000), " : "CONVERT(varbinary(max), ");
    switch (c->system_type) {
    case ID_NCHAR:
    case ID_NVARCHAR:
        sql_add_name(q, name);
        break;
    case ID_VARIANT:
        add_variant(q, name);
        break;
    case ID_CLR:
        sql_add_name(q, name);
        sql_add(q, ".ToString()");
        break;
    default:
        sql_add(q, is_short ? "CONVERT(nvarchar(4000), " : "CONVERT(nvarchar(max), ");
        sql_add_name(q, name);
        sql_add(q, ")");
        break;
    }
    sql_add(q, ")");
}

void
type_add_select(struct sql *q, const struct type_column *c, const char *name)
{
    if (!c->is_text) {
        sql_add_name(q, name);
        return;
    }
    add_text(q, c, name);
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
    case VALUE_NULL:
    case VALUE_UNAVAILABLE:
        sql_add(q, "NULL");
        break;
    }
    sql_add(q, ")");
}
