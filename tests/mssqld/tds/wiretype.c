#include "tests/mssqld/tds/wiretype.h"

#include "tests/mssqld/tds/buf.h"
#include "tests/mssqld/tds/proto.h"
#include "tests/mssqld/tds/text.h"

#define SHORT_MAX 8000U

/* What a base type looks like before length, precision and nullability are applied. */
struct base_row {
    uint8_t nullable_token;
    uint8_t fixed_token; /* 0 = there is none */
    uint8_t form;
    uint8_t width;
};

static const struct base_row bases[] = {
    [SQL_BIT] = {TYPE_BITN, TYPE_BIT, FORM_INT, 1},
    [SQL_TINYINT] = {TYPE_INTN, TYPE_INT1, FORM_INT, 1},
    [SQL_SMALLINT] = {TYPE_INTN, TYPE_INT2, FORM_INT, 2},
    [SQL_INT] = {TYPE_INTN, TYPE_INT4, FORM_INT, 4},
    [SQL_BIGINT] = {TYPE_INTN, TYPE_INT8, FORM_INT, 8},
    [SQL_REAL] = {TYPE_FLTN, TYPE_FLT4, FORM_REAL, 4},
    [SQL_FLOAT] = {TYPE_FLTN, TYPE_FLT8, FORM_FLOAT, 8},
    [SQL_DECIMAL] = {TYPE_DECIMALN, 0, FORM_DECIMAL, 0},
    [SQL_NUMERIC] = {TYPE_NUMERICN, 0, FORM_DECIMAL, 0},
    [SQL_SMALLMONEY] = {TYPE_MONEYN, TYPE_MONEY4, FORM_SMALLMONEY, 4},
    [SQL_MONEY] = {TYPE_MONEYN, TYPE_MONEY, FORM_MONEY, 8},
    [SQL_DATE] = {TYPE_DATE, 0, FORM_DATE, 3},
    [SQL_TIME] = {TYPE_TIME, 0, FORM_TIME, 0},
    [SQL_SMALLDATETIME] = {TYPE_DATETIMN, TYPE_DATETIME4, FORM_SMALLDATETIME, 4},
    [SQL_DATETIME] = {TYPE_DATETIMN, TYPE_DATETIME, FORM_DATETIME, 8},
    [SQL_DATETIME2] = {TYPE_DATETIME2, 0, FORM_DATETIME2, 3},
    [SQL_DATETIMEOFFSET] = {TYPE_DATETIMEOFFSET, 0, FORM_DATETIMEOFFSET, 5},
    [SQL_CHAR] = {TYPE_BIGCHAR, 0, FORM_SHORT_CODEPAGE, 0},
    [SQL_VARCHAR] = {TYPE_BIGVARCHAR, 0, FORM_SHORT_CODEPAGE, 0},
    [SQL_TEXT] = {TYPE_TEXT, 0, FORM_LOB_CODEPAGE, 0},
    [SQL_NCHAR] = {TYPE_NCHAR, 0, FORM_SHORT_UTF16, 0},
    [SQL_NVARCHAR] = {TYPE_NVARCHAR, 0, FORM_SHORT_UTF16, 0},
    [SQL_NTEXT] = {TYPE_NTEXT, 0, FORM_LOB_UTF16, 0},
    [SQL_BINARY] = {TYPE_BIGBINARY, 0, FORM_SHORT_RAW, 0},
    [SQL_VARBINARY] = {TYPE_BIGVARBIN, 0, FORM_SHORT_RAW, 0},
    [SQL_IMAGE] = {TYPE_IMAGE, 0, FORM_LOB_RAW, 0},
    [SQL_UNIQUEIDENTIFIER] = {TYPE_GUID, 0, FORM_GUID, 16},
    [SQL_XML] = {TYPE_XML, 0, FORM_PLP_XML, 0},
    [SQL_ROWVERSION] = {TYPE_BIGBINARY, 0, FORM_SHORT_RAW, 0},
    [SQL_VARIANT] = {TYPE_VARIANT, 0, FORM_VARIANT, 0},
    [SQL_HIERARCHYID] = {TYPE_UDT, 0, FORM_PLP_RAW, 0},
    [SQL_GEOMETRY] = {TYPE_UDT, 0, FORM_PLP_RAW, 0},
    [SQL_GEOGRAPHY] = {TYPE_UDT, 0, FORM_PLP_RAW, 0},
};

uint8_t
wiretype_decimal_size(uint8_t precision)
{
    if (precision <= 9)
        return 5;
    if (precision <= 19)
        return 9;
    return precision <= 28 ? 13 : 17;
}

uint8_t
wiretype_time_size(uint8_t scale)
{
    if (scale <= 2)
        return 3;
    return scale <= 4 ? 4 : 5;
}

/* Declared size in bytes of a u16-counted type; the same form with PLP when it is (max). */
static void
plan_length(struct wiretype_plan *plan)
{
    uint32_t unit = plan->form == FORM_SHORT_UTF16 ? 2 : 1;
    int32_t length = plan->type.length;

    if (plan->type.base == SQL_ROWVERSION)
        length = 8;
    if (length == SQL_LENGTH_MAX) {
        plan->max_size = TDS_LENGTH_MAX;
        plan->form = (uint8_t)(plan->form + (FORM_PLP_RAW - FORM_SHORT_RAW));
        return;
    }
    /* A length of nothing does not exist in a declaration; '' is varchar(1). */
    plan->max_size = length <= 0 ? unit : (uint32_t)length * unit;
    if (plan->max_size > SHORT_MAX)
        plan->max_size = SHORT_MAX;
}

static uint8_t
plan_null_size(const struct wiretype_plan *plan)
{
    switch ((enum value_form)plan->form) {
    case FORM_SHORT_RAW:
    case FORM_SHORT_UTF16:
    case FORM_SHORT_CODEPAGE:
        return 2;
    case FORM_PLP_RAW:
    case FORM_PLP_UTF16:
    case FORM_PLP_CODEPAGE:
    case FORM_PLP_XML:
        return 8;
    case FORM_VARIANT:
        return 4;
    case FORM_LOB_RAW:
    case FORM_LOB_UTF16:
    case FORM_LOB_CODEPAGE:
        return 1;
    case FORM_INT:
    case FORM_REAL:
    case FORM_FLOAT:
    case FORM_DECIMAL:
    case FORM_SMALLMONEY:
    case FORM_MONEY:
    case FORM_DATE:
    case FORM_TIME:
    case FORM_SMALLDATETIME:
    case FORM_DATETIME:
    case FORM_DATETIME2:
    case FORM_DATETIMEOFFSET:
    case FORM_GUID:
        break;
    }
    return plan->counted ? 1 : 0;
}

void
wiretype_plan(const struct sql_type *type, struct wiretype_plan *out)
{
    const struct base_row *base = &bases[type->base];

    *out = (struct wiretype_plan){
        .type = *type,
        .token = base->nullable_token,
        .form = base->form,
        .width = base->width,
        .counted = true,
        .codepage = text_codepage(type->collation),
    };
    if (!type->nullable && base->fixed_token != 0) {
        out->token = base->fixed_token;
        out->counted = false;
    }
    if (out->form == FORM_DECIMAL)
        out->width = wiretype_decimal_size(type->precision);
    else if (out->form == FORM_TIME || out->form == FORM_DATETIME2 ||
             out->form == FORM_DATETIMEOFFSET)
        out->width = (uint8_t)(out->width + wiretype_time_size(type->scale));
    else if (out->form == FORM_SHORT_RAW || out->form == FORM_SHORT_UTF16 ||
             out->form == FORM_SHORT_CODEPAGE)
        plan_length(out);
    out->null_size = plan_null_size(out);
}

static void
put_name_u8(struct buf *b, const char *name)
{
    size_t at = b->size;
    size_t units;

    buf_u8(b, 0);
    units = text_put_utf16_max(b, name, UINT8_MAX);
    if (!b->failed)
        b->data[at] = (uint8_t)units;
}

static void
put_name_u16(struct buf *b, const char *name)
{
    size_t at = b->size;

    buf_u16(b, 0);
    buf_patch_u16(b, at, (uint16_t)text_put_utf16_max(b, name, UINT16_MAX));
}

static void
put_clr_info(struct buf *b, enum sql_base base)
{
#define CLR_ASSEMBLY                                                                               \
    ", Microsoft.SqlServer.Types, Version=11.0.0.0, Culture=neutral, "                             \
    "PublicKeyToken=89845dcd8080cc91"
    buf_u16(b, base == SQL_HIERARCHYID ? 892 : TDS_LENGTH_MAX);
    put_name_u8(b, "");
    put_name_u8(b, "sys");
    if (base == SQL_HIERARCHYID) {
        put_name_u8(b, "hierarchyid");
        put_name_u16(b, "Microsoft.SqlServer.Types.SqlHierarchyId" CLR_ASSEMBLY);
    } else if (base == SQL_GEOMETRY) {
        put_name_u8(b, "geometry");
        put_name_u16(b, "Microsoft.SqlServer.Types.SqlGeometry" CLR_ASSEMBLY);
    } else {
        put_name_u8(b, "geography");
        put_name_u16(b, "Microsoft.SqlServer.Types.SqlGeography" CLR_ASSEMBLY);
    }
#undef CLR_ASSEMBLY
}

/* What follows the token of the types that declare a size. */
static void
put_sized_info(struct buf *b, const struct wiretype_plan *plan)
{
    const struct sql_type *type = &plan->type;

    switch ((enum value_form)plan->form) {
    case FORM_SHORT_RAW:
        buf_u16(b, (uint16_t)plan->max_size);
        break;
    case FORM_PLP_RAW:
        if (plan->token == TYPE_UDT)
            put_clr_info(b, type->base);
        else
            buf_u16(b, TDS_LENGTH_MAX);
        break;
    case FORM_SHORT_UTF16:
    case FORM_SHORT_CODEPAGE:
    case FORM_PLP_UTF16:
    case FORM_PLP_CODEPAGE:
        buf_u16(b, (uint16_t)plan->max_size);
        buf_put(b, type->collation, 5);
        break;
    case FORM_PLP_XML:
        buf_u8(b, 0); /* no schema */
        break;
    case FORM_LOB_RAW:
        buf_u32(b, INT32_MAX);
        break;
    case FORM_LOB_UTF16:
        buf_u32(b, INT32_MAX - 1);
        buf_put(b, type->collation, 5);
        break;
    case FORM_LOB_CODEPAGE:
        buf_u32(b, INT32_MAX);
        buf_put(b, type->collation, 5);
        break;
    case FORM_VARIANT:
        buf_u32(b, TDS_VARIANT_MAX);
        break;
    case FORM_DECIMAL:
        buf_u8(b, plan->width);
        buf_u8(b, type->precision);
        buf_u8(b, type->scale);
        break;
    case FORM_TIME:
    case FORM_DATETIME2:
    case FORM_DATETIMEOFFSET:
        buf_u8(b, type->scale);
        break;
    case FORM_DATE:
        break;
    case FORM_INT:
    case FORM_REAL:
    case FORM_FLOAT:
    case FORM_SMALLMONEY:
    case FORM_MONEY:
    case FORM_SMALLDATETIME:
    case FORM_DATETIME:
    case FORM_GUID:
        buf_u8(b, plan->width);
        break;
    }
}

void
wiretype_put_info(struct buf *b, const struct wiretype_plan *plan)
{
    buf_u8(b, plan->token);
    if (plan->counted)
        put_sized_info(b, plan);
}

void
wiretype_put_description(struct buf *b, const struct wiretype_plan *plan)
{
    const struct sql_type *type = &plan->type;
    uint16_t flags = COLUMN_UPDATABLE;

    if (type->nullable)
        flags |= COLUMN_NULLABLE;
    if (type->identity)
        flags |= COLUMN_IDENTITY;
    if (type->computed)
        flags |= COLUMN_COMPUTED;
    buf_u32(b, type->base == SQL_ROWVERSION ? TDS_USER_TYPE_ROWVERSION : 0);
    buf_u16(b, flags);
    wiretype_put_info(b, plan);
}

void
wiretype_put_columns(struct buf *b, const struct sql_column *columns,
                     const struct wiretype_plan *plans, int n)
{
    buf_u8(b, TOKEN_COLMETADATA);
    buf_u16(b, (uint16_t)n);
    for (int i = 0; i < n; i++) {
        wiretype_put_description(b, &plans[i]);
        if (plans[i].form >= FORM_LOB_RAW && plans[i].form <= FORM_LOB_CODEPAGE) {
            /* Table name: one part, empty, as for a column that belongs to no table. */
            buf_u8(b, 1);
            buf_u16(b, 0);
        }
        put_name_u8(b, columns[i].name);
    }
}
