/* Values in and out of SQLite, as the table in types.h says. */
#include "tests/mssqld/sql/value.h"

#include "common/err.h"

static void
put_big_endian(unsigned char *out, uint128 v, int n)
{
    for (int i = n - 1; i >= 0; i--) {
        out[i] = (unsigned char)v;
        v >>= 8;
    }
}

static uint128
get_big_endian(const unsigned char *p, int n)
{
    uint128 v = 0;

    for (int i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

/* SQL Server compares the last group first, then backwards; the first three from their ends. */
static const uint8_t GUID_ORDER[16] = {10, 11, 12, 13, 14, 15, 8, 9, 6, 7, 4, 5, 0, 1, 2, 3};

static void
store_blob(struct stored *out, const void *data, size_t size)
{
    out->kind = SQLITE_BLOB;
    out->data = data;
    out->size = size;
}

static void
store_int(struct stored *out, int64_t i)
{
    out->kind = SQLITE_INTEGER;
    out->i = i;
}

static void
store_variant(const struct sql_value *v, struct arena *a, struct stored *out)
{
    const struct sql_type *t = v->variant.type;
    struct stored in;
    unsigned char *p;
    const void *data = &in.i;
    size_t size = sizeof in.i;

    value_store(t, v->variant.value, a, &in);
    if (in.kind == SQLITE_FLOAT)
        data = &in.f;
    if (in.kind == SQLITE_TEXT || in.kind == SQLITE_BLOB) {
        data = in.data;
        size = in.size;
    }
    p = arena_alloc(a, 9 + size);
    put_big_endian(p, (uint128)(uint64_t)type_pack(t), 8);
    p[8] = (unsigned char)in.kind;
    if (size > 0)
        memcpy(p + 9, data, size);
    store_blob(out, p, 9 + size);
}

void
value_store(const struct sql_type *t, const struct sql_value *v, struct arena *a,
            struct stored *out)
{
    unsigned char *p;

    out->kind = SQLITE_NULL;
    if (v->is_null)
        return;
    if (type_is_text(t->base) || type_is_binary(t->base)) {
        store_blob(out, v->bytes.data, v->bytes.size);
        if (type_is_text(t->base))
            out->kind = SQLITE_TEXT;
    } else if (t->base == SQL_REAL || t->base == SQL_FLOAT) {
        out->kind = SQLITE_FLOAT;
        out->f = v->f;
    } else if (type_is_decimal(t->base)) {
        int128 n = v->dec.negative ? -(int128)v->dec.magnitude : (int128)v->dec.magnitude;

        if (t->precision <= 18) {
            store_int(out, (int64_t)n);
            return;
        }
        p = arena_alloc(a, 16);
        put_big_endian(p, (uint128)n ^ (uint128)1 << 127, 16);
        store_blob(out, p, 16);
    } else if (t->base == SQL_DATE) {
        store_int(out, v->dt.days);
    } else if (t->base == SQL_TIME) {
        store_int(out, v->dt.ticks);
    } else if (type_is_datetime(t->base)) {
        store_int(out, v->dt.days * TICKS_PER_DAY + v->dt.ticks);
    } else if (t->base == SQL_DATETIMEOFFSET) {
        p = arena_alloc(a, 10);
        put_big_endian(p, (uint128)(v->dt.days * TICKS_PER_DAY + v->dt.ticks), 8);
        put_big_endian(p + 8, (uint128)(uint16_t)(v->dt.offset_min + 0x4000), 2);
        store_blob(out, p, 10);
    } else if (t->base == SQL_UNIQUEIDENTIFIER) {
        p = arena_alloc(a, 16);
        for (int i = 0; i < 16; i++)
            p[i] = ((const unsigned char *)v->bytes.data)[GUID_ORDER[i]];
        store_blob(out, p, 16);
    } else if (t->base == SQL_VARIANT) {
        store_variant(v, a, out);
    } else {
        store_int(out, v->i);
    }
}

static void
load_bytes(struct sql_value *out, const void *data, size_t size)
{
    out->bytes.data = data != NULL ? data : "";
    out->bytes.size = size;
}

static void
load_variant(const struct stored *s, struct arena *a, struct sql_value *out)
{
    struct sql_type *t = arena_alloc(a, sizeof *t);
    struct sql_value *v = arena_alloc(a, sizeof *v);
    const unsigned char *p = s->data;
    struct stored in = {0};

    CHECK(s->size >= 9);
    *t = type_unpack((int64_t)(uint64_t)get_big_endian(p, 8));
    in.kind = p[8];
    in.data = p + 9;
    in.size = s->size - 9;
    if (in.kind == SQLITE_INTEGER)
        memcpy(&in.i, p + 9, sizeof in.i);
    if (in.kind == SQLITE_FLOAT)
        memcpy(&in.f, p + 9, sizeof in.f);
    value_unstore(t, &in, a, v);
    out->variant.type = t;
    out->variant.value = v;
}

static void
set_ticks(struct sql_value *out, int64_t ticks)
{
    out->dt.days = (int32_t)(ticks / TICKS_PER_DAY);
    out->dt.ticks = ticks % TICKS_PER_DAY;
    out->dt.offset_min = 0;
}

static void
load_blob(const struct sql_type *t, const struct stored *s, struct arena *a, struct sql_value *out)
{
    const unsigned char *p = s->data;
    unsigned char *guid;

    if (t->base == SQL_VARIANT) {
        load_variant(s, a, out);
    } else if (type_is_decimal(t->base)) {
        CHECK(s->size == 16);
        value_set_decimal(out, (int128)(get_big_endian(p, 16) ^ (uint128)1 << 127));
    } else if (t->base == SQL_DATETIMEOFFSET) {
        CHECK(s->size == 10);
        set_ticks(out, (int64_t)get_big_endian(p, 8));
        out->dt.offset_min = (int16_t)((int)get_big_endian(p + 8, 2) - 0x4000);
    } else if (t->base == SQL_UNIQUEIDENTIFIER) {
        CHECK(s->size == 16);
        guid = arena_alloc(a, 16);
        for (int i = 0; i < 16; i++)
            guid[GUID_ORDER[i]] = p[i];
        load_bytes(out, guid, 16);
    } else {
        load_bytes(out, s->data, s->size);
    }
}

void
value_unstore(const struct sql_type *t, const struct stored *s, struct arena *a,
              struct sql_value *out)
{
    *out = (struct sql_value){.is_null = s->kind == SQLITE_NULL};
    if (out->is_null)
        return;
    switch (type_store(t)) {
    case STORE_TEXT:
        load_bytes(out, s->data, s->size);
        return;
    case STORE_REAL:
        out->f = s->kind == SQLITE_INTEGER ? (double)s->i : s->f;
        return;
    case STORE_BLOB:
        load_blob(t, s, a, out);
        return;
    case STORE_INT:
        break;
    }
    if (type_is_decimal(t->base)) {
        value_set_decimal(out, s->i);
    } else if (t->base == SQL_DATE) {
        out->dt.days = (int32_t)s->i;
    } else if (t->base == SQL_TIME) {
        out->dt.ticks = s->i;
    } else if (type_is_datetime(t->base)) {
        set_ticks(out, s->i);
    } else {
        out->i = s->i;
    }
}

void
value_load(const struct sql_type *t, sqlite3_value *from, struct arena *a, struct sql_value *out)
{
    struct stored s;

    stored_take(from, &s);
    value_unstore(t, &s, a, out);
}

void
stored_take(sqlite3_value *from, struct stored *out)
{
    out->kind = sqlite3_value_type(from);
    switch (out->kind) {
    case SQLITE_INTEGER:
        out->i = sqlite3_value_int64(from);
        break;
    case SQLITE_FLOAT:
        out->f = sqlite3_value_double(from);
        break;
    case SQLITE_TEXT:
        out->data = sqlite3_value_text(from);
        out->size = (size_t)sqlite3_value_bytes(from);
        break;
    case SQLITE_BLOB:
        out->data = sqlite3_value_blob(from);
        out->size = (size_t)sqlite3_value_bytes(from);
        break;
    default:
        break;
    }
}

int
stored_bind(sqlite3_stmt *stmt, int index, const struct stored *s)
{
    const void *data = s->data != NULL ? s->data : "";

    switch (s->kind) {
    case SQLITE_INTEGER:
        return sqlite3_bind_int64(stmt, index, s->i);
    case SQLITE_FLOAT:
        return sqlite3_bind_double(stmt, index, s->f);
    case SQLITE_TEXT:
        return sqlite3_bind_text64(stmt, index, data, s->size, SQLITE_STATIC, SQLITE_UTF8);
    case SQLITE_BLOB:
        return sqlite3_bind_blob64(stmt, index, data, s->size, SQLITE_STATIC);
    default:
        return sqlite3_bind_null(stmt, index);
    }
}

void
stored_result(sqlite3_context *context, const struct stored *s)
{
    const void *data = s->data != NULL ? s->data : "";

    switch (s->kind) {
    case SQLITE_INTEGER:
        sqlite3_result_int64(context, s->i);
        break;
    case SQLITE_FLOAT:
        sqlite3_result_double(context, s->f);
        break;
    case SQLITE_TEXT:
        sqlite3_result_text64(context, data, s->size, SQLITE_TRANSIENT, SQLITE_UTF8);
        break;
    case SQLITE_BLOB:
        sqlite3_result_blob64(context, data, s->size, SQLITE_TRANSIENT);
        break;
    default:
        sqlite3_result_null(context);
        break;
    }
}

bool
stored_equal(const struct stored *a, const struct stored *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case SQLITE_INTEGER:
        return a->i == b->i;
    case SQLITE_FLOAT:
        return memcmp(&a->f, &b->f, sizeof a->f) == 0;
    case SQLITE_TEXT:
    case SQLITE_BLOB:
        return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
    default:
        return true;
    }
}
