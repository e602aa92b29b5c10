/* Function calls: one table of names, argument forms and result types. */
#include <strings.h>

#include "tests/mssqld/sql/bind_parts.h"
#include "tests/mssqld/sql/cdc.h"
#include "tests/mssqld/sql/lex.h"

/*
 * Argument forms: s text (nvarchar unless already text), i bigint, f float, d datetime2 kept as
 * its own time type, T anything followed by its packed type, x anything, p date part word,
 * b binary.  The last form repeats.
 * Result: the first letter, see result_type().
 */
struct call {
    const char *name;
    int least;
    int most;
    const char *args;
    char result;
    const char *sql; /* SQLite function; NULL = ms_<name> in lower case */
};

static const struct call CALLS[] = {
    {"LEN", 1, 1, "s", 'i', NULL},
    {"DATALENGTH", 1, 1, "T", 'i', NULL},
    {"SUBSTRING", 3, 3, "Tii", '0', NULL},
    {"LEFT", 2, 2, "si", '0', NULL},
    {"RIGHT", 2, 2, "si", '0', NULL},
    {"UPPER", 1, 1, "s", '0', NULL},
    {"LOWER", 1, 1, "s", '0', NULL},
    {"LTRIM", 1, 1, "s", '0', NULL},
    {"RTRIM", 1, 1, "s", '0', NULL},
    {"TRIM", 1, 1, "s", '0', NULL},
    {"REVERSE", 1, 1, "s", '0', NULL},
    {"REPLACE", 3, 3, "sss", 'L', NULL},
    {"REPLICATE", 2, 2, "si", 'L', NULL},
    {"SPACE", 1, 1, "i", 'L', NULL},
    {"STUFF", 4, 4, "siis", 'L', NULL},
    {"CHARINDEX", 2, 3, "ssi", 'i', NULL},
    {"CONCAT", 2, 100, "s", 'N', NULL},
    {"CHAR", 1, 1, "i", 'c', NULL},
    {"NCHAR", 1, 1, "i", 'n', NULL},
    {"UNICODE", 1, 1, "s", 'i', NULL},
    {"ASCII", 1, 1, "s", 'i', NULL},
    {"STR", 1, 3, "fii", 'v', NULL},
    {"QUOTENAME", 1, 2, "ss", 'q', NULL},
    {"ABS", 1, 1, "T", 'a', NULL},
    {"SIGN", 1, 1, "T", 'a', NULL},
    {"FLOOR", 1, 1, "T", 'a', NULL},
    {"CEILING", 1, 1, "T", 'a', NULL},
    {"ROUND", 2, 3, "Tii", 'a', NULL},
    {"POWER", 2, 2, "ff", 'f', NULL},
    {"SQRT", 1, 1, "f", 'f', NULL},
    {"RAND", 0, 1, "i", 'f', NULL},
    {"CHECKSUM", 1, 100, "x", 'i', NULL},
    {"BINARY_CHECKSUM", 1, 100, "x", 'i', "ms_checksum"},
    {"HASHBYTES", 2, 2, "sT", 'B', NULL},
    {"GETDATE", 0, 0, "", 'd', NULL},
    {"CURRENT_TIMESTAMP", 0, 0, "", 'd', "ms_getdate"},
    {"GETUTCDATE", 0, 0, "", 'd', NULL},
    {"SYSDATETIME", 0, 0, "", '2', NULL},
    {"SYSUTCDATETIME", 0, 0, "", '2', NULL},
    {"SYSDATETIMEOFFSET", 0, 0, "", 'o', NULL},
    {"DATEADD", 3, 3, "piD", 'D', NULL},
    {"DATEDIFF", 3, 3, "pdd", 'i', NULL},
    {"DATEDIFF_BIG", 3, 3, "pdd", 'I', "ms_datediff"},
    {"DATEPART", 2, 2, "pd", 'i', NULL},
    {"DATENAME", 2, 2, "pd", 'v', NULL},
    {"YEAR", 1, 1, "d", 'i', NULL},
    {"MONTH", 1, 1, "d", 'i', NULL},
    {"DAY", 1, 1, "d", 'i', NULL},
    {"EOMONTH", 1, 1, "d", 'e', NULL},
    {"ISDATE", 1, 1, "s", 'i', NULL},
    {"ISNUMERIC", 1, 1, "s", 'i', NULL},
    {"NEWID", 0, 0, "", 'u', NULL},
    {"NEWSEQUENTIALID", 0, 0, "", 'u', "ms_newid"},
    {"DB_NAME", 0, 1, "i", 'y', NULL},
    {"DB_ID", 0, 1, "s", 'm', NULL},
    {"ORIGINAL_DB_NAME", 0, 0, "", 'y', "ms_db_name"},
    {"OBJECT_ID", 1, 2, "ss", 'i', NULL},
    {"OBJECT_NAME", 1, 2, "ii", 'y', NULL},
    {"OBJECT_SCHEMA_NAME", 1, 2, "ii", 'y', NULL},
    {"SCHEMA_NAME", 0, 1, "i", 'y', NULL},
    {"SCHEMA_ID", 0, 1, "s", 'i', NULL},
    {"USER_NAME", 0, 1, "i", 'y', NULL},
    {"USER_ID", 0, 1, "s", 'i', NULL},
    {"DATABASE_PRINCIPAL_ID", 0, 1, "s", 'i', "ms_user_id"},
    {"CURRENT_USER", 0, 0, "", 'y', "ms_user_name"},
    {"SESSION_USER", 0, 0, "", 'y', "ms_user_name"},
    {"USER", 0, 0, "", 'y', "ms_user_name"},
    {"SUSER_SNAME", 0, 1, "b", 'y', NULL},
    {"SUSER_NAME", 0, 1, "i", 'y', "ms_suser_sname"},
    {"SYSTEM_USER", 0, 0, "", 'y', "ms_suser_sname"},
    {"ORIGINAL_LOGIN", 0, 0, "", 'y', "ms_suser_sname"},
    {"SUSER_ID", 0, 1, "s", 'i', NULL},
    {"SUSER_SID", 0, 1, "s", 'B', NULL},
    {"TYPE_NAME", 1, 1, "i", 'y', NULL},
    {"TYPE_ID", 1, 1, "s", 'i', NULL},
    {"COL_NAME", 2, 2, "ii", 'y', NULL},
    {"COL_LENGTH", 2, 2, "ss", 'm', NULL},
    {"COLUMNPROPERTY", 3, 3, "iss", 'i', NULL},
    {"OBJECTPROPERTY", 2, 2, "is", 'i', NULL},
    {"SERVERPROPERTY", 1, 1, "s", 'V', NULL},
    {"DATABASEPROPERTYEX", 2, 2, "ss", 'V', NULL},
    {"CONNECTIONPROPERTY", 1, 1, "s", 'V', NULL},
    {"SQL_VARIANT_PROPERTY", 2, 2, "Ts", 'V', NULL},
    {"HAS_PERMS_BY_NAME", 3, 3, "sss", 'i', NULL},
    {"IS_MEMBER", 1, 1, "s", 'i', "ms_is_rolemember"},
    {"IS_ROLEMEMBER", 1, 2, "ss", 'i', NULL},
    {"IS_SRVROLEMEMBER", 1, 2, "ss", 'i', NULL},
    {"HAS_DBACCESS", 1, 1, "s", 'i', NULL},
    {"HOST_NAME", 0, 0, "", 'y', NULL},
    {"APP_NAME", 0, 0, "", 'y', NULL},
    {"SCOPE_IDENTITY", 0, 0, "", 'z', NULL},
    {"IDENT_CURRENT", 1, 1, "s", 'z', NULL},
    {"XACT_STATE", 0, 0, "", 'm', NULL},
    {"ERROR_NUMBER", 0, 0, "", 'i', NULL},
    {"ERROR_SEVERITY", 0, 0, "", 'i', NULL},
    {"ERROR_STATE", 0, 0, "", 'i', NULL},
    {"ERROR_LINE", 0, 0, "", 'i', NULL},
    {"ERROR_MESSAGE", 0, 0, "", 'S', NULL},
    {"ERROR_PROCEDURE", 0, 0, "", 'y', NULL},
    {"CURRENT_TRANSACTION_ID", 0, 0, "", 'I', NULL},
    {"FN_MSSQLD_MAY_READ", 2, 2, "is", 'i', NULL},
    {"FN_CDC_GET_MAX_LSN", 0, 0, "", 'l', NULL},
    {"FN_CDC_GET_MIN_LSN", 1, 1, "s", 'l', NULL},
    {"FN_CDC_INCREMENT_LSN", 1, 1, "b", 'l', NULL},
    {"FN_CDC_DECREMENT_LSN", 1, 1, "b", 'l', NULL},
    {"FN_CDC_MAP_LSN_TO_TIME", 1, 1, "b", 'd', NULL},
    {"FN_CDC_MAP_TIME_TO_LSN", 2, 2, "sd", 'l', NULL},
    {"FN_CDC_IS_BIT_SET", 2, 2, "ib", 't', NULL},
    {"FN_CDC_GET_COLUMN_ORDINAL", 2, 2, "ss", 'i', NULL},
    {"FN_CDC_HAS_COLUMN_CHANGED", 3, 3, "ssb", 't', NULL},
    {"$word", 0, 0, "", 'S', NULL},
};

static const struct call *
find_call(const char *name)
{
    for (size_t i = 0; i < sizeof CALLS / sizeof CALLS[0]; i++)
        if (strcasecmp(CALLS[i].name, name) == 0)
            return &CALLS[i];
    return NULL;
}

bool
call_is_aggregate(const struct expr *x)
{
    static const char *const NAMES[] = {"COUNT", "COUNT_BIG",  "MIN",          "MAX", "SUM",
                                        "AVG",   "STRING_AGG", "CHECKSUM_AGG", NULL};

    return x->kind == EXPR_CALL && call_one_of(x->name, NAMES);
}

static struct sql_type
text_result(const struct expr *x, bool longest)
{
    struct sql_type t = type_sized(SQL_NVARCHAR, 4000);

    if (x->n_args > 0 &&
        (type_is_text(x->args[0]->type.base) ||
         (type_is_binary(x->args[0]->type.base) && strcasecmp(x->name, "SUBSTRING") == 0))) {
        t = x->args[0]->type;
        if (t.base == SQL_CHAR || t.base == SQL_TEXT)
            t.base = SQL_VARCHAR;
        else if (t.base == SQL_NCHAR || t.base == SQL_NTEXT)
            t.base = SQL_NVARCHAR;
        else if (type_is_binary(t.base))
            t.base = SQL_VARBINARY;
    }
    if (longest && t.length != SQL_LENGTH_MAX)
        t.length = type_is_wide(t.base) ? 4000 : 8000;
    t.identity = false;
    t.nullable = true;
    return t;
}

/* FLOOR(int) is int, ABS(decimal) decimal, of text float. */
static struct sql_type
number_result(const struct expr *x)
{
    struct sql_type t = x->args[0]->type;

    if (t.base == SQL_BIT || t.base == SQL_TINYINT || t.base == SQL_SMALLINT)
        t = type_make(SQL_INT);
    else if (t.base == SQL_REAL || !type_is_number(t.base))
        t = type_make(SQL_FLOAT);
    else if (t.base == SQL_SMALLMONEY)
        t = type_make(SQL_MONEY);
    if (type_is_decimal(t.base) &&
        (strcasecmp(x->name, "FLOOR") == 0 || strcasecmp(x->name, "CEILING") == 0))
        t = type_decimal(t.precision, 0);
    t.identity = false;
    t.nullable = true;
    return t;
}

static struct sql_type
result_type(const struct expr *x, char code)
{
    switch (code) {
    case '0':
        return text_result(x, false);
    case 'L':
        return text_result(x, true);
    case 'a':
        return number_result(x);
    case 'N': {
        struct sql_type t = type_sized(SQL_VARCHAR, 8000);

        for (int i = 0; i < x->n_args; i++) {
            if (type_is_wide(x->args[i]->type.base))
                t = type_sized(SQL_NVARCHAR, 4000);
        }
        for (int i = 0; i < x->n_args; i++)
            if (type_is_text(x->args[i]->type.base) && type_is_max(&x->args[i]->type))
                t.length = SQL_LENGTH_MAX;
        return t;
    }
    case 'D':
        if (type_is_time(x->args[2]->type.base)) {
            struct sql_type t = x->args[2]->type;

            t.nullable = true;
            return t;
        }
        return type_make(SQL_DATETIME);
    case 'I':
        return type_make(SQL_BIGINT);
    case 'B':
        return type_sized(SQL_VARBINARY, 8000);
    case 'c':
        return type_sized(SQL_CHAR, 1);
    case 'n':
        return type_sized(SQL_NCHAR, 1);
    case 'v':
        return type_sized(SQL_VARCHAR, 50);
    case 'q':
        return type_sized(SQL_NVARCHAR, 258);
    case 'f':
        return type_make(SQL_FLOAT);
    case 'd':
        return type_make(SQL_DATETIME);
    case '2':
        return type_make(SQL_DATETIME2);
    case 'o':
        return type_make(SQL_DATETIMEOFFSET);
    case 'e':
        return type_make(SQL_DATE);
    case 'u':
        return type_make(SQL_UNIQUEIDENTIFIER);
    case 'y':
        return type_sized(SQL_NVARCHAR, 128);
    case 'S':
        return type_sized(SQL_NVARCHAR, 4000);
    case 'm':
        return type_make(SQL_SMALLINT);
    case 't':
        return type_make(SQL_BIT);
    case 'V':
        return type_make(SQL_VARIANT);
    case 'z':
        return type_decimal(38, 0);
    case 'l':
        return type_sized(SQL_BINARY, LSN_SIZE);
    default:
        return type_make(SQL_INT);
    }
}

static int
bind_aggregate(struct binder *b, struct expr *x)
{
    const char *n = x->name;
    struct sql_type t;

    if (x->star || strcasecmp(n, "COUNT") == 0 || strcasecmp(n, "COUNT_BIG") == 0) {
        x->type = type_make(strcasecmp(n, "COUNT_BIG") == 0 ? SQL_BIGINT : SQL_INT);
        return 0;
    }
    if (x->n_args < 1)
        return sqlerr_set(&b->s->error, 174, 15, 1, "The %s function requires 1 argument(s).", n);
    t = x->args[0]->type;
    t.identity = false;
    if (strcasecmp(n, "SUM") == 0 || strcasecmp(n, "AVG") == 0) {
        if (!type_is_number(t.base) || t.base == SQL_BIT)
            return sqlerr_set(&b->s->error, 8117, 16, 1,
                              "Operand data type %s is invalid for %s operator.", type_name(t.base),
                              n);
        if (type_is_integer(t.base) && t.base != SQL_BIGINT)
            t = type_make(SQL_INT);
        else if (t.base == SQL_REAL)
            t = type_make(SQL_FLOAT);
        else if (t.base == SQL_SMALLMONEY)
            t = type_make(SQL_MONEY);
        else if (type_is_decimal(t.base))
            t = type_decimal(38, n[0] == 'S' || n[0] == 's' ? t.scale : t.scale < 6 ? 6 : t.scale);
    } else if (strcasecmp(n, "STRING_AGG") == 0) {
        t = type_sized(type_is_wide(t.base) ? SQL_NVARCHAR : SQL_VARCHAR, SQL_LENGTH_MAX);
    } else if (strcasecmp(n, "CHECKSUM_AGG") == 0) {
        t = type_make(SQL_INT);
    }
    t.nullable = true;
    x->type = t;
    return 0;
}

int
bind_call(struct binder *b, struct expr *x)
{
    const struct call *c;
    int from = 0;

    b->s->error.line = x->line;
    if (strcmp(x->name, "$partition") == 0)
        return call_bind_partition(b, x);
    if (x->star &&
        (strcasecmp(x->name, "CHECKSUM") == 0 || strcasecmp(x->name, "BINARY_CHECKSUM") == 0))
        return call_bind_checksum(b, x);
    if (call_is_aggregate(x) || call_is_special(x->name)) {
        for (int i = 0; i < x->n_args; i++)
            if (bind_expr(b, x->args[i]) != 0)
                return -1;
        return call_is_aggregate(x) ? bind_aggregate(b, x) : call_bind_special(b, x);
    }
    c = find_call(x->name);
    if (c == NULL)
        return sqlerr_set(&b->s->error, 195, 15, 10,
                          "'%s' is not a recognized built-in function name.", x->name);
    if (x->n_args < c->least || x->n_args > c->most)
        return sqlerr_set(&b->s->error, 174, 15, 1, "The %s function requires %d argument(s).",
                          x->name, c->least);
    if (c->args[0] == 'p') {
        if (x->args[0]->kind != EXPR_COLUMN)
            return sqlerr_set(&b->s->error, 1023, 15, 1, "Invalid parameter 1 specified for %s.",
                              x->name);
        from = 1;
    }
    for (int i = from; i < x->n_args; i++)
        if (bind_expr(b, x->args[i]) != 0)
            return -1;
    x->type = result_type(x, c->result);
    return 0;
}

static void
emit_argument(struct binder *b, struct sbuf *o, const struct expr *x, char form)
{
    struct sql_type wide = type_sized(SQL_NVARCHAR, SQL_LENGTH_MAX);
    struct sql_type whole = type_make(SQL_BIGINT);
    struct sql_type real = type_make(SQL_FLOAT);
    struct sql_type moment = type_make(SQL_DATETIME2);
    struct sql_type bytes = type_sized(SQL_VARBINARY, SQL_LENGTH_MAX);

    switch (form) {
    case 'p':
        sbuf_fmt(o, "'%s'", x->name);
        break;
    case 's':
        if (type_is_text(x->type.base))
            emit_expr(b, o, x);
        else
            emit_as(b, o, x, &wide);
        break;
    case 'i':
        emit_as(b, o, x, &whole);
        break;
    case 'f':
        emit_as(b, o, x, &real);
        break;
    case 'b':
        emit_as(b, o, x, &bytes);
        break;
    case 'd':
        emit_as(b, o, x, &moment);
        break;
    case 'D': {
        struct sql_type t = type_is_time(x->type.base) ? x->type : type_make(SQL_DATETIME);

        emit_as(b, o, x, &t);
        sbuf_fmt(o, ",%lld", (long long)type_pack(&t));
        break;
    }
    case 'T':
        emit_expr(b, o, x);
        sbuf_fmt(o, ",%lld", (long long)type_pack(&x->type));
        break;
    default:
        emit_expr(b, o, x);
        break;
    }
}

static void
emit_aggregate(struct binder *b, struct sbuf *o, const struct expr *x)
{
    const char *n = x->name;
    const char *distinct = x->distinct ? "DISTINCT " : "";
    const struct expr *e = x->n_args > 0 ? x->args[0] : NULL;

    if (x->star) {
        sbuf_add(o, "count(*)");
    } else if (strcasecmp(n, "COUNT") == 0 || strcasecmp(n, "COUNT_BIG") == 0) {
        sbuf_fmt(o, "count(%s", distinct);
        emit_collated(b, o, e);
        sbuf_add(o, ")");
    } else if (strcasecmp(n, "MIN") == 0 || strcasecmp(n, "MAX") == 0) {
        sbuf_fmt(o, "%s(", strcasecmp(n, "MIN") == 0 ? "min" : "max");
        emit_collated(b, o, e);
        sbuf_add(o, ")");
    } else if (strcasecmp(n, "STRING_AGG") == 0) {
        sbuf_add(o, "group_concat(");
        emit_as(b, o, e, &x->type);
        sbuf_add(o, ",");
        emit_as(b, o, x->args[1], &x->type);
        sbuf_add(o, ")");
    } else {
        sbuf_fmt(o, "ms_%s(%s",
                 strcasecmp(n, "SUM") == 0   ? "sum"
                 : strcasecmp(n, "AVG") == 0 ? "avg"
                                             : "checksum_agg",
                 distinct);
        emit_expr(b, o, e);
        /* A DISTINCT aggregate takes one argument: the types travel in its name instead. */
        if (!x->distinct)
            sbuf_fmt(o, ",%lld,%lld", (long long)type_pack(&e->type),
                     (long long)type_pack(&x->type));
        sbuf_add(o, ")");
    }
}

void
emit_call(struct binder *b, struct sbuf *o, const struct expr *x)
{
    const struct call *c = find_call(x->name);
    size_t start;

    if (strcmp(x->name, "$partition") == 0) {
        call_emit_partition(b, o, x);
        return;
    }
    if (call_is_aggregate(x)) {
        emit_aggregate(b, o, x);
        return;
    }
    if (call_is_special(x->name)) {
        call_emit_special(b, o, x);
        return;
    }
    if (strcmp(c->name, "$word") == 0) {
        sbuf_fmt(o, "'%s'", x->qualifier);
        return;
    }
    start = o->size;
    if (c->sql != NULL) {
        sbuf_add(o, c->sql);
    } else {
        sbuf_fmt(o, "ms_%s", c->name);
        for (size_t i = start; i < o->size; i++)
            o->data[i] =
                (char)(o->data[i] >= 'A' && o->data[i] <= 'Z' ? o->data[i] + 32 : o->data[i]);
    }
    sbuf_add(o, "(");
    for (int i = 0; i < x->n_args; i++) {
        size_t forms = strlen(c->args);
        char form = c->args[(size_t)i < forms ? (size_t)i : forms - 1];

        sbuf_add(o, i > 0 ? "," : "");
        emit_argument(b, o, x->args[i], form);
    }
    sbuf_add(o, ")");
}
