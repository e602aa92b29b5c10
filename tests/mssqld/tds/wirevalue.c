#include "tests/mssqld/tds/wirevalue.h"

#include "common/err.h"
#include "tests/mssqld/tds/proto.h"

#define TICKS_PER_MINUTE 600000000LL

static const uint32_t ticks_per_unit[8] = {10000000, 1000000, 100000, 10000, 1000, 100, 10, 1};

void
wirevalue_encoder_free(struct wirevalue_encoder *enc)
{
    text_codec_close(&enc->codec);
    buf_free(&enc->scratch);
}

/* ---- forms of fixed width ---- */

static inline uint8_t *
store(uint8_t *p, const void *v, size_t n)
{
    memcpy(p, v, n);
    return p + n;
}

static void
store_time(uint8_t *p, int64_t ticks, uint8_t scale)
{
    uint64_t units = (uint64_t)ticks / ticks_per_unit[scale];

    memcpy(p, &units, wiretype_time_size(scale));
}

static void
store_date(uint8_t *p, int32_t days)
{
    memcpy(p, &days, 3);
}

static void
store_datetime(uint8_t *p, const struct sql_value *value)
{
    int32_t days = value->dt.days - TDS_DAYS_1900;
    /* Ticks of 1/300 s; the engine's 100 ns are their rounding, so this gives them back. */
    uint32_t units = (uint32_t)((value->dt.ticks * 3 + 50000) / 100000);

    p = store(p, &days, 4);
    (void)store(p, &units, 4);
}

static void
store_decimal(uint8_t *p, const struct sql_value *value, uint8_t width)
{
    __extension__ unsigned __int128 magnitude = value->dec.magnitude;

    *p = value->dec.negative && magnitude != 0 ? 0 : 1;
    memcpy(p + 1, &magnitude, (size_t)width - 1);
}

/* Writes the width bytes of a value of one of the forms up to GUID. */
static void
store_fixed(uint8_t *p, const struct wiretype_plan *plan, const struct sql_value *value)
{
    switch ((enum value_form)plan->form) {
    case FORM_INT:
    case FORM_SMALLMONEY:
        memcpy(p, &value->i, plan->width);
        break;
    case FORM_REAL: {
        float f = (float)value->f;

        memcpy(p, &f, sizeof(f));
        break;
    }
    case FORM_FLOAT:
        memcpy(p, &value->f, sizeof(value->f));
        break;
    case FORM_DECIMAL:
        store_decimal(p, value, plan->width);
        break;
    case FORM_MONEY: {
        int32_t high = (int32_t)(value->i >> 32);
        uint32_t low = (uint32_t)value->i;

        p = store(p, &high, 4);
        (void)store(p, &low, 4);
        break;
    }
    case FORM_DATE:
        store_date(p, value->dt.days);
        break;
    case FORM_TIME:
        store_time(p, value->dt.ticks, plan->type.scale);
        break;
    case FORM_SMALLDATETIME: {
        uint16_t days = (uint16_t)(value->dt.days - TDS_DAYS_1900);
        uint16_t minutes = (uint16_t)(value->dt.ticks / TICKS_PER_MINUTE);

        p = store(p, &days, 2);
        (void)store(p, &minutes, 2);
        break;
    }
    case FORM_DATETIME:
        store_datetime(p, value);
        break;
    case FORM_DATETIME2:
        store_time(p, value->dt.ticks, plan->type.scale);
        store_date(p + plan->width - 3, value->dt.days);
        break;
    case FORM_DATETIMEOFFSET:
        store_time(p, value->dt.ticks, plan->type.scale);
        store_date(p + plan->width - 5, value->dt.days);
        memcpy(p + plan->width - 2, &value->dt.offset_min, 2);
        break;
    case FORM_GUID:
        CHECK(value->bytes.size == 16);
        memcpy(p, value->bytes.data, 16);
        break;
    case FORM_SHORT_RAW:
    case FORM_SHORT_UTF16:
    case FORM_SHORT_CODEPAGE:
    case FORM_PLP_RAW:
    case FORM_PLP_UTF16:
    case FORM_PLP_CODEPAGE:
    case FORM_PLP_XML:
    case FORM_LOB_RAW:
    case FORM_LOB_UTF16:
    case FORM_LOB_CODEPAGE:
    case FORM_VARIANT:
        CHECK(plan->form <= FORM_GUID); /* forms without a fixed width never come here */
    }
}

/* ---- forms of any length ---- */

/* Appends the data of a text or binary value without any count. */
static void
put_bytes(struct buf *b, struct wirevalue_encoder *enc, const struct wiretype_plan *plan,
          const struct sql_value *value)
{
    static const uint8_t bom[2] = {0xFF, 0xFE};

    switch ((enum value_form)plan->form) {
    case FORM_PLP_XML:
        buf_put(b, bom, sizeof(bom));
        text_put_utf16(b, value->bytes.data, value->bytes.size);
        break;
    case FORM_SHORT_UTF16:
    case FORM_PLP_UTF16:
    case FORM_LOB_UTF16:
        text_put_utf16(b, value->bytes.data, value->bytes.size);
        break;
    case FORM_SHORT_CODEPAGE:
    case FORM_PLP_CODEPAGE:
    case FORM_LOB_CODEPAGE:
        text_put_codepage(&enc->codec, plan->codepage, b, value->bytes.data, value->bytes.size);
        break;
    case FORM_SHORT_RAW:
    case FORM_PLP_RAW:
    case FORM_LOB_RAW:
        buf_put(b, value->bytes.data, value->bytes.size);
        break;
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
    case FORM_VARIANT:
        CHECK(plan->form > FORM_GUID && plan->form != FORM_VARIANT);
    }
}

static void
put_short(struct buf *b, struct wirevalue_encoder *enc, const struct wiretype_plan *plan,
          const struct sql_value *value)
{
    size_t at = b->size;
    size_t size;

    buf_u16(b, 0);
    put_bytes(b, enc, plan, value);
    if (b->failed)
        return;
    size = b->size - at - 2;
    /* The declared size is a promise to the client, whose buffers have it.  A conversion that
       grows the text is cut there, as an assignment in SQL Server would be; an odd cut cannot
       happen, UTF-16 sizes are even. */
    if (size > plan->max_size) {
        size = plan->max_size;
        b->size = at + 2 + size;
    }
    buf_patch_u16(b, at, (uint16_t)size);
}

static void
put_chunks(struct buf *b, const struct wirevalue_encoder *enc, const uint8_t *data, size_t size)
{
    size_t limit = enc->plp_chunk != 0 ? enc->plp_chunk : UINT32_MAX;

    buf_u64(b, enc->plp_unknown_length ? TDS_PLP_UNKNOWN : size);
    while (size > 0) {
        size_t n = size < limit ? size : limit;

        buf_u32(b, (uint32_t)n);
        buf_put(b, data, n);
        data += n;
        size -= n;
    }
    buf_u32(b, 0);
}

static void
put_plp(struct buf *b, struct wirevalue_encoder *enc, const struct wiretype_plan *plan,
        const struct sql_value *value)
{
    if (plan->form == FORM_PLP_RAW) {
        put_chunks(b, enc, value->bytes.data, value->bytes.size);
        return;
    }
    buf_clear(&enc->scratch);
    put_bytes(&enc->scratch, enc, plan, value);
    b->failed = b->failed || enc->scratch.failed;
    if (!b->failed)
        put_chunks(b, enc, enc->scratch.data, enc->scratch.size);
}

/* text, ntext, image: a text pointer that nobody may follow, then the data. */
static void
put_lob(struct buf *b, struct wirevalue_encoder *enc, const struct wiretype_plan *plan,
        const struct sql_value *value)
{
    static const char pointer[16] = "mssqld text ptr";
    static const char stamp[8] = "mssqld";
    size_t at;
    uint32_t size;

    buf_u8(b, sizeof(pointer));
    buf_put(b, pointer, sizeof(pointer));
    buf_put(b, stamp, sizeof(stamp));
    at = b->size;
    buf_u32(b, 0);
    put_bytes(b, enc, plan, value);
    if (b->failed)
        return;
    size = (uint32_t)(b->size - at - 4);
    memcpy(b->data + at, &size, sizeof(size));
}

/* ---- sql_variant ---- */

/* The token of the inner value: the fixed-length one where there is one. */
static void
plan_variant(const struct sql_type *type, struct wiretype_plan *plan)
{
    struct sql_type inner = *type;

    inner.nullable = false;
    wiretype_plan(&inner, plan);
}

static void
put_variant_properties(struct buf *b, const struct wiretype_plan *plan)
{
    switch ((enum value_form)plan->form) {
    case FORM_DECIMAL:
        buf_u8(b, 2);
        buf_u8(b, plan->type.precision);
        buf_u8(b, plan->type.scale);
        break;
    case FORM_TIME:
    case FORM_DATETIME2:
    case FORM_DATETIMEOFFSET:
        buf_u8(b, 1);
        buf_u8(b, plan->type.scale);
        break;
    case FORM_SHORT_RAW:
        buf_u8(b, 2);
        buf_u16(b, (uint16_t)plan->max_size);
        break;
    case FORM_SHORT_UTF16:
    case FORM_SHORT_CODEPAGE:
        buf_u8(b, 7);
        buf_put(b, plan->type.collation, 5);
        buf_u16(b, (uint16_t)plan->max_size);
        break;
    case FORM_INT:
    case FORM_REAL:
    case FORM_FLOAT:
    case FORM_SMALLMONEY:
    case FORM_MONEY:
    case FORM_DATE:
    case FORM_SMALLDATETIME:
    case FORM_DATETIME:
    case FORM_GUID:
    case FORM_PLP_RAW:
    case FORM_PLP_UTF16:
    case FORM_PLP_CODEPAGE:
    case FORM_PLP_XML:
    case FORM_LOB_RAW:
    case FORM_LOB_UTF16:
    case FORM_LOB_CODEPAGE:
    case FORM_VARIANT:
        buf_u8(b, 0);
        break;
    }
}

static void
put_variant(struct buf *b, struct wirevalue_encoder *enc, const struct sql_value *value)
{
    struct wiretype_plan plan;
    size_t at = b->size;
    uint32_t size;

    CHECK(value->variant.type != NULL && value->variant.value != NULL);
    if (value->variant.value->is_null) {
        buf_u32(b, 0);
        return;
    }
    plan_variant(value->variant.type, &plan);
    CHECK(plan.form <= FORM_SHORT_CODEPAGE); /* no (max), LOB, XML or CLR type fits a variant */
    buf_u32(b, 0);
    buf_u8(b, plan.token);
    put_variant_properties(b, &plan);
    if (plan.form <= FORM_GUID) {
        uint8_t *p = buf_room(b, plan.width);

        if (p == NULL)
            return;
        store_fixed(p, &plan, value->variant.value);
        b->size += plan.width;
    } else {
        put_bytes(b, enc, &plan, value->variant.value);
    }
    if (b->failed)
        return;
    size = (uint32_t)(b->size - at - 4);
    memcpy(b->data + at, &size, sizeof(size));
}

/* ---- any value ---- */

static void
put_null(struct buf *b, const struct wiretype_plan *plan)
{
    uint8_t *p;

    CHECK(plan->null_size != 0);
    p = buf_room(b, plan->null_size);
    if (p == NULL)
        return;
    /* NULL is a count of all ones where the count has 2 or 8 bytes, of zero elsewhere. */
    memset(p, plan->null_size == 2 || plan->null_size == 8 ? 0xFF : 0, plan->null_size);
    b->size += plan->null_size;
}

static inline void
put_present(struct buf *b, struct wirevalue_encoder *enc, const struct wiretype_plan *plan,
            const struct sql_value *value)
{
    if (plan->form <= FORM_GUID) {
        uint8_t *p = buf_room(b, (size_t)plan->width + 1);

        if (p == NULL)
            return;
        if (plan->counted)
            *p++ = plan->width;
        store_fixed(p, plan, value);
        b->size += (size_t)plan->width + plan->counted;
    } else if (plan->form <= FORM_SHORT_CODEPAGE) {
        put_short(b, enc, plan, value);
    } else if (plan->form <= FORM_PLP_XML) {
        put_plp(b, enc, plan, value);
    } else if (plan->form <= FORM_LOB_CODEPAGE) {
        put_lob(b, enc, plan, value);
    } else {
        put_variant(b, enc, value);
    }
}

void
wirevalue_put(struct buf *b, struct wirevalue_encoder *enc, const struct wiretype_plan *plan,
              const struct sql_value *value)
{
    if (value->is_null)
        put_null(b, plan);
    else
        put_present(b, enc, plan, value);
}

/* Writes the bitmap and returns true when NBCROW saves bytes; else writes nothing. */
static bool
put_null_bitmap(struct buf *b, const struct wiretype_plan *plans, int n,
                const struct sql_value *values)
{
    size_t bitmap_size = ((size_t)n + 7) / 8;
    size_t saved = 0;
    uint8_t *p;

    for (int i = 0; i < n; i++) {
        if (values[i].is_null)
            saved += plans[i].null_size;
    }
    if (saved < bitmap_size)
        return false;
    p = buf_room(b, bitmap_size + 1);
    if (p == NULL)
        return false;
    *p++ = TOKEN_NBCROW;
    memset(p, 0, bitmap_size);
    for (int i = 0; i < n; i++) {
        if (values[i].is_null)
            p[i / 8] |= (uint8_t)(1U << (i % 8));
    }
    b->size += bitmap_size + 1;
    return true;
}

void
wirevalue_put_row(struct buf *b, struct wirevalue_encoder *enc, const struct wiretype_plan *plans,
                  int n, const struct sql_value *values)
{
    bool compressed = put_null_bitmap(b, plans, n, values);

    if (!compressed)
        buf_u8(b, TOKEN_ROW);
    for (int i = 0; i < n; i++) {
        if (!values[i].is_null)
            put_present(b, enc, &plans[i], &values[i]);
        else if (!compressed)
            put_null(b, &plans[i]);
        else
            CHECK(plans[i].null_size != 0);
    }
}

void
wirevalue_put_return(struct buf *b, struct wirevalue_encoder *enc, uint16_t ordinal,
                     const char *name, const struct sql_type *type, const struct sql_value *value)
{
    struct sql_type nullable = *type;
    struct wiretype_plan plan;
    size_t at;
    size_t units;

    nullable.nullable = true;
    wiretype_plan(&nullable, &plan);
    buf_u8(b, TOKEN_RETURN_VALUE);
    buf_u16(b, ordinal);
    at = b->size;
    buf_u8(b, 0);
    units = text_put_utf16_max(b, name, UINT8_MAX);
    if (!b->failed)
        b->data[at] = (uint8_t)units;
    buf_u8(b, 1); /* an output parameter */
    wiretype_put_description(b, &plan);
    wirevalue_put(b, enc, &plan, value);
}
