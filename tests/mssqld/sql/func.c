#include "tests/mssqld/sql/func.h"

#include <math.h>

#include "common/err.h"
#include "tests/mssqld/sql/collation.h"
#include "tests/mssqld/sql/utf.h"

struct session *
func_session(sqlite3_context *c)
{
    return sqlite3_user_data(c);
}

void
func_fail(sqlite3_context *c)
{
    sqlite3_result_error(c, "mssqld", -1);
}

bool
func_any_null(int n, sqlite3_value **v)
{
    for (int i = 0; i < n; i++)
        if (sqlite3_value_type(v[i]) == SQLITE_NULL)
            return true;
    return false;
}

struct value_context
func_context(sqlite3_context *c)
{
    struct session *s = func_session(c);

    arena_reset(&s->fn_arena);
    return (struct value_context){
        .arena = &s->fn_arena, .e = &s->fn_error, .mode = VALUE_CAST, .order = s->date_order};
}

void
func_result(sqlite3_context *c, const struct sql_type *t, const struct sql_value *v)
{
    struct stored out = {0};

    value_store(t, v, &func_session(c)->fn_arena, &out);
    stored_result(c, &out);
}

void
func_text(sqlite3_context *c, const char *text, size_t size)
{
    sqlite3_result_text64(c, text, size, SQLITE_TRANSIENT, SQLITE_UTF8);
}

void
func_string(sqlite3_context *c, const char *text)
{
    if (text == NULL)
        sqlite3_result_null(c);
    else
        func_text(c, text, strlen(text));
}

const char *
func_arg(sqlite3_value *v)
{
    const char *text = (const char *)sqlite3_value_text(v);

    return text == NULL ? "" : text;
}

static void
cast(sqlite3_context *c, sqlite3_value **v, bool try_cast)
{
    struct value_context x = func_context(c);
    struct sql_type from = type_unpack(sqlite3_value_int64(v[1]));
    struct sql_type to = type_unpack(sqlite3_value_int64(v[2]));
    struct sql_value value;

    if (sqlite3_value_type(v[0]) == SQLITE_NULL) {
        sqlite3_result_null(c);
        return;
    }
    x.style = sqlite3_value_int(v[3]);
    if (x.style == 0 && type_is_text(to.base) &&
        (from.base == SQL_DATETIME2 || from.base == SQL_DATETIMEOFFSET))
        x.style = 121;
    value_load(&from, v[0], x.arena, &value);
    if (value_convert(&x, &from, &value, &to, &value) == 0) {
        func_result(c, &to, &value);
    } else if (try_cast && x.e->number != 529) {
        x.e->number = 0;
        sqlite3_result_null(c);
    } else {
        func_fail(c);
    }
}

static void
fn_cast(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    cast(c, v, false);
}

static void
fn_try_cast(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    cast(c, v, true);
}

static int
arith_int(struct sqlerr *e, int op, int64_t a, int64_t b, const struct sql_type *t, int64_t *out)
{
    static const int64_t LOW[] = {0, 0, INT16_MIN, INT32_MIN, INT64_MIN};
    static const int64_t HIGH[] = {1, 255, INT16_MAX, INT32_MAX, INT64_MAX};
    bool bad = false;

    if ((op == '/' || op == '%') && b == 0)
        return sqlerr_set(e, 8134, 16, 1, "Divide by zero error encountered.");
    if (op == '+')
        bad = __builtin_add_overflow(a, b, out);
    else if (op == '-')
        bad = __builtin_sub_overflow(a, b, out);
    else if (op == '*')
        bad = __builtin_mul_overflow(a, b, out);
    else if (op == '^')
        *out = a ^ b;
    else if (b == -1)
        bad = op == '/' ? __builtin_sub_overflow(0, a, out) : (*out = 0, false);
    else
        *out = op == '/' ? a / b : a % b;
    if (bad || *out < LOW[t->base] || *out > HIGH[t->base])
        return sqlerr_overflow(e, type_name(t->base));
    return 0;
}

static int
arith_decimal(struct sqlerr *e, int op, struct decimal a, struct decimal b,
              const struct sql_type *t, struct decimal *out)
{
    bool ok = true;

    if ((op == '/' || op == '%') && b.value == 0)
        return sqlerr_set(e, 8134, 16, 1, "Divide by zero error encountered.");
    if (op == '*') {
        ok = decimal_multiply(&a, &b, t->scale, out);
    } else if (op == '/') {
        ok = decimal_divide(&a, &b, t->scale, out);
    } else {
        int scale = a.scale > b.scale ? a.scale : b.scale;

        ok = decimal_rescale(&a, scale) && decimal_rescale(&b, scale);
        out->scale = scale;
        out->value = op == '+'   ? a.value + b.value
                     : op == '-' ? a.value - b.value
                     : ok        ? a.value % b.value
                                 : 0;
        ok = ok && decimal_rescale(out, t->scale);
    }
    if (!ok || (out->value != 0 && decimal_digits(out->value) > t->precision))
        return sqlerr_set(e, 8115, 16, 2,
                          "Arithmetic overflow error converting expression to data type numeric.");
    return 0;
}

static int
arith_money(struct sqlerr *e, int op, int64_t a, int64_t b, int64_t *out)
{
    int128 r;

    if ((op == '/' || op == '%') && b == 0)
        return sqlerr_set(e, 8134, 16, 1, "Divide by zero error encountered.");
    r = op == '+'   ? (int128)a + b
        : op == '-' ? (int128)a - b
        : op == '*' ? (int128)a * b / 10000
        : op == '/' ? (int128)a * 10000 / b
                    : (int128)a % b;
    if (r > INT64_MAX || r < INT64_MIN)
        return sqlerr_overflow(e, "money");
    *out = (int64_t)r;
    return 0;
}

/* Both operands are of type t. */
static int
arith_values(const struct value_context *x, int op, const struct sql_type *t,
             const struct sql_value *a, const struct sql_value *b, struct sql_value *out)
{
    *out = (struct sql_value){0};
    if (type_is_integer(t->base))
        return arith_int(x->e, op, a->i, b->i, t, &out->i);
    if (t->base == SQL_MONEY)
        return arith_money(x->e, op, a->i, b->i, &out->i);
    if ((op == '/' || op == '%') && b->f == 0)
        return sqlerr_set(x->e, 8134, 16, 1, "Divide by zero error encountered.");
    out->f = op == '+'   ? a->f + b->f
             : op == '-' ? a->f - b->f
             : op == '*' ? a->f * b->f
             : op == '/' ? a->f / b->f
                         : fmod(a->f, b->f);
    if (!isfinite(out->f))
        return sqlerr_overflow(x->e, type_name(t->base));
    if (t->base == SQL_REAL)
        out->f = (double)(float)out->f;
    return 0;
}

/* datetime plus or minus days. */
static int
arith_time(const struct value_context *x, int op, const struct sql_type *ta, struct sql_value *a,
           const struct sql_type *tb, struct sql_value *b, const struct sql_type *t,
           struct sql_value *out)
{
    struct sql_type f = type_make(SQL_FLOAT);
    struct sql_type moment = type_make(SQL_DATETIME);
    struct sql_value l;
    struct sql_value r;

    if (value_convert(x, ta, a, &moment, &l) != 0 || value_convert(x, &moment, &l, &f, &l) != 0)
        return -1;
    r = *b;
    if (type_is_time(tb->base) || type_is_text(tb->base)) {
        if (value_convert(x, tb, b, &moment, &r) != 0 || value_convert(x, &moment, &r, &f, &r) != 0)
            return -1;
    } else if (value_convert(x, tb, b, &f, &r) != 0) {
        return -1;
    }
    l.f = op == '+' ? l.f + r.f : l.f - r.f;
    return value_convert(x, &f, &l, t, out);
}

/* ms_arith(op, a, type a, b, type b, result type) */
static void
fn_arith(sqlite3_context *c, int n, sqlite3_value **v)
{
    struct value_context x = func_context(c);
    int op = sqlite3_value_int(v[0]);
    struct sql_type ta = type_unpack(sqlite3_value_int64(v[2]));
    struct sql_type tb = type_unpack(sqlite3_value_int64(v[4]));
    struct sql_type t = type_unpack(sqlite3_value_int64(v[5]));
    struct sql_value a;
    struct sql_value b;
    struct sql_value out = {0};
    int rc;

    (void)n;
    if (func_any_null(4, v)) {
        sqlite3_result_null(c);
        return;
    }
    value_load(&ta, v[1], x.arena, &a);
    value_load(&tb, v[3], x.arena, &b);
    if (type_is_binary(t.base)) {
        char *p = arena_alloc(x.arena, a.bytes.size + b.bytes.size + 1);

        if (a.bytes.size > 0)
            memcpy(p, a.bytes.data, a.bytes.size);
        if (b.bytes.size > 0)
            memcpy(p + a.bytes.size, b.bytes.data, b.bytes.size);
        out.bytes.data = p;
        out.bytes.size = a.bytes.size + b.bytes.size;
        rc = 0;
    } else if (type_is_time(t.base)) {
        rc = arith_time(&x, op, &ta, &a, &tb, &b, &t, &out);
    } else if (type_is_decimal(t.base)) {
        struct sql_type wide = type_decimal(38, t.scale);
        struct decimal d;
        struct decimal e;
        struct decimal r = {0};

        rc = 0;
        if (!type_is_number(ta.base))
            rc = value_convert(&x, &ta, &a, &wide, &a);
        if (rc == 0 && !type_is_number(tb.base))
            rc = value_convert(&x, &tb, &b, &wide, &b);
        d = value_decimal(type_is_number(ta.base) ? &ta : &wide, &a);
        e = value_decimal(type_is_number(tb.base) ? &tb : &wide, &b);
        if (rc == 0)
            rc = arith_decimal(x.e, op, d, e, &t, &r);
        value_set_decimal(&out, r.value);
    } else {
        rc = value_convert(&x, &ta, &a, &t, &a);
        if (rc == 0)
            rc = value_convert(&x, &tb, &b, &t, &b);
        if (rc == 0)
            rc = arith_values(&x, op, &t, &a, &b, &out);
    }
    if (rc != 0)
        func_fail(c);
    else
        func_result(c, &t, &out);
}

static void
fn_negate(sqlite3_context *c, int n, sqlite3_value **v)
{
    struct value_context x = func_context(c);
    struct sql_type t = type_unpack(sqlite3_value_int64(v[1]));
    struct sql_value a;

    (void)n;
    if (sqlite3_value_type(v[0]) == SQLITE_NULL) {
        sqlite3_result_null(c);
        return;
    }
    value_load(&t, v[0], x.arena, &a);
    if (type_is_decimal(t.base))
        a.dec.negative = !a.dec.negative && a.dec.magnitude != 0;
    else if (t.base == SQL_REAL || t.base == SQL_FLOAT)
        a.f = -a.f;
    else if (__builtin_sub_overflow(0, a.i, &a.i)) {
        (void)sqlerr_overflow(x.e, type_name(t.base));
        func_fail(c);
        return;
    }
    func_result(c, &t, &a);
}

/* The UTC instant of a stored datetimeoffset: what comparisons see. */
static void
fn_instant(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    if (sqlite3_value_type(v[0]) == SQLITE_NULL)
        sqlite3_result_null(c);
    else
        sqlite3_result_blob(c, sqlite3_value_blob(v[0]), 8, SQLITE_TRANSIENT);
}

struct like {
    const char *p; /* pattern */
    size_t pn;
    uint32_t escape;
    bool ignore_case;
};

static bool
same_char(const struct like *l, uint32_t a, uint32_t b)
{
    char x[4];
    char y[4];

    if (a == b)
        return true;
    if (!l->ignore_case || a == ' ' || b == ' ')
        return false;
    return collation_compare_ci(x, utf_put(x, a), y, utf_put(y, b)) == 0;
}

/* [a-z], [^abc]; *i stands behind the bracket. */
static bool
in_set(const struct like *l, size_t *i, uint32_t c)
{
    bool negated = *i < l->pn && l->p[*i] == '^';
    bool hit = false;

    if (negated)
        ++*i;
    while (*i < l->pn && l->p[*i] != ']') {
        uint32_t low = utf_next(l->p, l->pn, i);

        if (*i + 1 < l->pn && l->p[*i] == '-' && l->p[*i + 1] != ']') {
            uint32_t high;

            ++*i;
            high = utf_next(l->p, l->pn, i);
            hit = hit || (c >= low && c <= high);
            if (l->ignore_case && c < 0x80 && ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
                hit = hit || ((c ^ 0x20) >= low && (c ^ 0x20) <= high);
        } else {
            hit = hit || same_char(l, low, c);
        }
    }
    if (*i < l->pn)
        ++*i;
    return hit != negated;
}

static bool
like(const struct like *l, size_t i, const char *s, size_t n, size_t j)
{
    while (i < l->pn) {
        uint32_t p = utf_next(l->p, l->pn, &i);
        uint32_t c;

        if (p == '%' && p != l->escape) {
            for (;;) {
                if (like(l, i, s, n, j))
                    return true;
                if (j >= n)
                    return false;
                (void)utf_next(s, n, &j);
            }
        }
        if (j >= n)
            return false;
        c = utf_next(s, n, &j);
        if (l->escape != 0 && p == l->escape && i < l->pn)
            p = utf_next(l->p, l->pn, &i);
        else if (p == '_')
            continue;
        else if (p == '[') {
            if (!in_set(l, &i, c))
                return false;
            continue;
        }
        if (!same_char(l, p, c))
            return false;
    }
    while (j < n && s[j] == ' ')
        j++; /* blanks at the end of the text do not count */
    return j >= n;
}

static void
fn_like(sqlite3_context *c, int n, sqlite3_value **v)
{
    struct like l = {.ignore_case = sqlite3_value_int(v[3]) != 0};
    size_t i = 0;

    (void)n;
    if (func_any_null(2, v)) {
        sqlite3_result_null(c);
        return;
    }
    l.p = func_arg(v[1]);
    l.pn = (size_t)sqlite3_value_bytes(v[1]);
    if (sqlite3_value_type(v[2]) != SQLITE_NULL)
        l.escape = utf_next(func_arg(v[2]), (size_t)sqlite3_value_bytes(v[2]), &i);
    sqlite3_result_int(c,
                       like(&l, 0, func_arg(v[0]), (size_t)sqlite3_value_bytes(v[0]), 0) ? 1 : 0);
}

/* SUM and AVG over any numeric type: exact types in 128 bits, the others in double. */
struct total {
    bool any;
    int64_t n;
    unsigned char exact[sizeof(int128)]; /* SQLite aligns to 8 only */
    double f;
    int64_t from;
    int64_t to;
};

static void
sum_step(sqlite3_context *c, int n, sqlite3_value **v)
{
    struct total *t = sqlite3_aggregate_context(c, sizeof *t);
    struct value_context x = func_context(c);
    struct sql_type type;
    struct sql_value value;
    struct sql_type whole = type_make(SQL_BIGINT);

    if (t == NULL || sqlite3_value_type(v[0]) == SQLITE_NULL)
        return;
    t->from = n > 1 ? sqlite3_value_int64(v[1]) : type_pack(&whole);
    t->to = n > 2 ? sqlite3_value_int64(v[2]) : type_pack(&whole);
    type = type_unpack(t->from);
    value_load(&type, v[0], x.arena, &value);
    t->any = true;
    t->n++;
    if (type_store(&type) == STORE_REAL)
        t->f += value.f;
    else {
        int128 sum;

        memcpy(&sum, t->exact, sizeof sum);
        sum += value_decimal(&type, &value).value;
        memcpy(t->exact, &sum, sizeof sum);
    }
}

static void
total_result(sqlite3_context *c, bool average)
{
    struct total *t = sqlite3_aggregate_context(c, 0);
    struct value_context x = func_context(c);
    struct sql_type from;
    struct sql_type to;
    struct sql_value out = {0};
    struct decimal d;

    if (t == NULL || !t->any) {
        sqlite3_result_null(c);
        return;
    }
    from = type_unpack(t->from);
    to = type_unpack(t->to);
    if (type_store(&from) == STORE_REAL) {
        sqlite3_result_double(c, average ? t->f / (double)t->n : t->f);
        return;
    }
    memcpy(&d.value, t->exact, sizeof d.value);
    d.scale = from.base == SQL_MONEY || from.base == SQL_SMALLMONEY ? 4
              : type_is_decimal(from.base)                          ? from.scale
                                                                    : 0;
    if (average && type_is_decimal(to.base)) {
        struct decimal count = {t->n, 0};

        if (!decimal_divide(&d, &count, to.scale, &d))
            d.value = decimal_power(38);
    } else if (average) {
        d.value /= t->n;
    }
    if (type_is_decimal(to.base)
            ? d.value >= decimal_power(38) || d.value <= -decimal_power(38)
            : d.value > INT64_MAX || d.value < INT64_MIN ||
                  (to.base == SQL_INT && (d.value > INT32_MAX || d.value < INT32_MIN))) {
        (void)sqlerr_overflow(x.e, type_name(to.base));
        func_fail(c);
        return;
    }
    if (type_is_decimal(to.base))
        value_set_decimal(&out, d.value);
    else
        out.i = (int64_t)d.value;
    func_result(c, &to, &out);
}

static void
sum_final(sqlite3_context *c)
{
    total_result(c, false);
}

static void
avg_final(sqlite3_context *c)
{
    total_result(c, true);
}

void
func_add(struct session *s, const struct func *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        CHECK(sqlite3_create_function_v2(s->db, list[i].name, list[i].n_args,
                                         SQLITE_UTF8 | (list[i].varies ? 0 : SQLITE_DETERMINISTIC),
                                         s, list[i].call, NULL, NULL, NULL) == SQLITE_OK);
}

void
func_identity(sqlite3_context *c, int64_t i)
{
    struct sql_type t = type_decimal(38, 0);
    struct sql_value out = {0};

    (void)func_context(c);
    value_set_decimal(&out, i);
    func_result(c, &t, &out);
}

void
func_register(struct session *s)
{
    static const struct func CORE[] = {
        {"ms_cast", 4, false, fn_cast},       {"ms_try_cast", 4, false, fn_try_cast},
        {"ms_arith", 6, false, fn_arith},     {"ms_negate", 2, false, fn_negate},
        {"ms_instant", 1, false, fn_instant}, {"ms_like", 4, false, fn_like},
    };

    func_add(s, CORE, sizeof CORE / sizeof CORE[0]);
    for (int n = 1; n <= 3; n += 2) {
        CHECK(sqlite3_create_function_v2(s->db, "ms_sum", n, SQLITE_UTF8, s, NULL, sum_step,
                                         sum_final, NULL) == SQLITE_OK);
        CHECK(sqlite3_create_function_v2(s->db, "ms_avg", n, SQLITE_UTF8, s, NULL, sum_step,
                                         avg_final, NULL) == SQLITE_OK);
    }
    func_register_text(s);
    func_register_number(s);
    func_register_time(s);
    func_register_meta(s);
    func_register_session(s);
    func_register_cdc(s);
}

void
func_forget(struct session *s)
{
    (void)s;
}
