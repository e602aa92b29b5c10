/* Number functions. */
#include <math.h>

#include "tests/mssqld/sql/func.h"

static void
fn_str(sqlite3_context *c, int n, sqlite3_value **v)
{
    int width = n > 1 ? sqlite3_value_int(v[1]) : 10;
    int digits = n > 2 ? sqlite3_value_int(v[2]) : 0;
    char out[400];

    if (func_any_null(n, v))
        return;
    width = width > 300 ? 300 : width < 0 ? 0 : width;
    digits = digits > 16 ? 16 : digits < 0 ? 0 : digits;
    (void)snprintf(out, sizeof out, "%*.*f", width, digits, sqlite3_value_double(v[0]));
    if ((int)strlen(out) > width) {
        memset(out, '*', (size_t)width);
        out[width] = '\0';
    }
    func_string(c, out);
}

/* ABS, SIGN, FLOOR, CEILING, ROUND by the name in op. */
static void
number_function(sqlite3_context *c, sqlite3_value **v, char op, int places, bool cut)
{
    struct value_context x = func_context(c);
    struct sql_type t = type_unpack(sqlite3_value_int64(v[1]));
    struct sql_value a;
    struct sql_value out = {0};
    struct decimal d;
    double scale;

    if (sqlite3_value_type(v[0]) == SQLITE_NULL)
        return;
    value_load(&t, v[0], x.arena, &a);
    if (!type_is_number(t.base)) {
        struct sql_type f = type_make(SQL_FLOAT);

        if (value_convert(&x, &t, &a, &f, &a) != 0) {
            func_fail(c);
            return;
        }
        t = f;
    }
    if (type_store(&t) == STORE_REAL) {
        scale = pow(10, places);
        sqlite3_result_double(c, op == 'a'   ? fabs(a.f)
                                 : op == 's' ? (double)((a.f > 0) - (a.f < 0))
                                 : op == 'f' ? floor(a.f)
                                 : op == 'c' ? ceil(a.f)
                                 : cut       ? trunc(a.f * scale) / scale
                                             : round(a.f * scale) / scale);
        return;
    }
    d = value_decimal(&t, &a);
    if (op == 'a')
        d.value = d.value < 0 ? -d.value : d.value;
    if (op == 's')
        d.value = (d.value > 0 ? 1 : d.value < 0 ? -1 : 0) * decimal_power(d.scale);
    if (op == 'f' || op == 'c') {
        int128 unit = decimal_power(d.scale);
        int128 rest = d.value % unit;

        d.value -= rest;
        d.value += op == 'c' && rest > 0 ? unit : op == 'f' && rest < 0 ? -unit : 0;
        if (type_is_decimal(t.base)) {
            d.value /= unit;
            t = type_decimal(t.precision, 0);
        }
    }
    if (op == 'r' && places < d.scale && d.scale - places <= 38) {
        int128 unit = decimal_power(d.scale - places);
        int128 rest = d.value % unit;

        d.value -= rest;
        if (!cut && (rest < 0 ? -rest : rest) * 2 >= unit)
            d.value += rest < 0 ? -unit : unit;
    }
    if (type_is_decimal(t.base))
        value_set_decimal(&out, d.value);
    else
        out.i = (int64_t)d.value;
    func_result(c, &t, &out);
}

static void
fn_abs(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    number_function(c, v, 'a', 0, false);
}

static void
fn_sign(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    number_function(c, v, 's', 0, false);
}

static void
fn_floor(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    number_function(c, v, 'f', 0, false);
}

static void
fn_ceiling(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    number_function(c, v, 'c', 0, false);
}

static void
fn_round(sqlite3_context *c, int n, sqlite3_value **v)
{
    number_function(c, v, 'r', sqlite3_value_int(v[2]), n > 3 && sqlite3_value_int(v[3]) != 0);
}

static void
fn_power(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    if (!func_any_null(2, v))
        sqlite3_result_double(c, pow(sqlite3_value_double(v[0]), sqlite3_value_double(v[1])));
}

static void
fn_sqrt(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    if (!func_any_null(1, v))
        sqlite3_result_double(c, sqrt(sqlite3_value_double(v[0])));
}

static void
fn_rand(sqlite3_context *c, int n, sqlite3_value **v)
{
    uint32_t r;

    (void)n;
    (void)v;
    sqlite3_randomness(sizeof r, &r);
    sqlite3_result_double(c, r / 4294967296.0);
}

static void
fn_isnumeric(sqlite3_context *c, int n, sqlite3_value **v)
{
    const char *s = func_arg(v[0]);
    char *end;

    (void)n;
    (void)strtod(s, &end);
    while (*end == ' ')
        end++;
    sqlite3_result_int(c, end != s && *end == '\0' && strpbrk(s, "xXnN") == NULL);
}

void
func_register_number(struct session *s)
{
    static const struct func LIST[] = {
        {"ms_str", -1, false, fn_str},        {"ms_abs", 2, false, fn_abs},
        {"ms_sign", 2, false, fn_sign},       {"ms_floor", 2, false, fn_floor},
        {"ms_ceiling", 2, false, fn_ceiling}, {"ms_round", -1, false, fn_round},
        {"ms_power", 2, false, fn_power},     {"ms_sqrt", 1, false, fn_sqrt},
        {"ms_rand", -1, true, fn_rand},       {"ms_isnumeric", 1, false, fn_isnumeric},
    };

    func_add(s, LIST, sizeof LIST / sizeof LIST[0]);
}
