/* Date and time functions.  Arguments of form d come as datetime2: ticks since 0001-01-01. */
#include <strings.h>

#include "tests/mssqld/sql/func.h"

enum part {
    YEAR,
    QUARTER,
    MONTH,
    DAYOFYEAR,
    DAY,
    WEEK,
    WEEKDAY,
    HOUR,
    MINUTE,
    SECOND,
    MS,
    US,
    NS,
    NONE
};

static enum part
part_of(const char *word)
{
    static const struct {
        const char *word;
        enum part part;
    } WORDS[] = {
        {"year", YEAR},       {"yy", YEAR},
        {"yyyy", YEAR},       {"quarter", QUARTER},
        {"qq", QUARTER},      {"q", QUARTER},
        {"month", MONTH},     {"mm", MONTH},
        {"m", MONTH},         {"dayofyear", DAYOFYEAR},
        {"dy", DAYOFYEAR},    {"y", DAYOFYEAR},
        {"day", DAY},         {"dd", DAY},
        {"d", DAY},           {"week", WEEK},
        {"wk", WEEK},         {"ww", WEEK},
        {"weekday", WEEKDAY}, {"dw", WEEKDAY},
        {"hour", HOUR},       {"hh", HOUR},
        {"minute", MINUTE},   {"mi", MINUTE},
        {"n", MINUTE},        {"second", SECOND},
        {"ss", SECOND},       {"s", SECOND},
        {"millisecond", MS},  {"ms", MS},
        {"microsecond", US},  {"mcs", US},
        {"nanosecond", NS},   {"ns", NS},
    };

    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++)
        if (strcasecmp(WORDS[i].word, word) == 0)
            return WORDS[i].part;
    return NONE;
}

/* 100 ns per part; 0 for calendar parts. */
static int64_t
part_ticks(enum part p)
{
    switch (p) {
    case DAY:
    case DAYOFYEAR:
    case WEEKDAY:
        return TICKS_PER_DAY;
    case WEEK:
        return 7 * TICKS_PER_DAY;
    case HOUR:
        return 60 * TICKS_PER_MINUTE;
    case MINUTE:
        return TICKS_PER_MINUTE;
    case SECOND:
        return TICKS_PER_SECOND;
    case MS:
        return 10000;
    case US:
        return 10;
    case NS:
    case YEAR:
    case QUARTER:
    case MONTH:
    case NONE:
    default:
        return 0;
    }
}

static void
bad_part(sqlite3_context *c, const char *word, const char *function)
{
    (void)sqlerr_set(&func_session(c)->fn_error, 155, 15, 1, "'%s' is not a recognized %s option.",
                     word, function);
    func_fail(c);
}

static int64_t
add_months(int64_t ticks, int64_t months)
{
    int y;
    int m;
    int d;
    int64_t all;
    int32_t days;

    datetime_civil((int32_t)(ticks / TICKS_PER_DAY), &y, &m, &d);
    all = (int64_t)y * 12 + m - 1 + months;
    while ((days = datetime_days((int)(all / 12), (int)(all % 12) + 1, d)) < 0 && d > 28)
        d--;
    return days < 0 ? -1 : days * TICKS_PER_DAY + ticks % TICKS_PER_DAY;
}

static void
fn_dateadd(sqlite3_context *c, int n, sqlite3_value **v)
{
    struct value_context x = func_context(c);
    enum part p = part_of(func_arg(v[0]));
    int64_t count = sqlite3_value_int64(v[1]);
    struct sql_type t = type_unpack(sqlite3_value_int64(v[3]));
    struct sql_value a;
    int64_t ticks;

    (void)n;
    if (p == NONE) {
        bad_part(c, func_arg(v[0]), "dateadd");
        return;
    }
    if (func_any_null(3, v))
        return;
    value_load(&t, v[2], x.arena, &a);
    ticks = a.dt.days * TICKS_PER_DAY + a.dt.ticks;
    if (p == YEAR || p == QUARTER || p == MONTH)
        ticks = add_months(ticks, count * (p == YEAR ? 12 : p == QUARTER ? 3 : 1));
    else if (p == NS)
        ticks += count / 100;
    else
        ticks += count * part_ticks(p);
    if (t.base == SQL_TIME)
        ticks = (ticks % TICKS_PER_DAY + TICKS_PER_DAY) % TICKS_PER_DAY;
    if (ticks < 0 || ticks / TICKS_PER_DAY > DAYS_MAX) {
        (void)sqlerr_set(x.e, 517, 16, 1, "Adding a value to a '%s' column caused an overflow.",
                         type_name(t.base));
        func_fail(c);
        return;
    }
    if (t.base == SQL_DATETIME)
        ticks = ticks / TICKS_PER_DAY * TICKS_PER_DAY + datetime_grid(ticks % TICKS_PER_DAY);
    a.dt.days = (int32_t)(ticks / TICKS_PER_DAY);
    a.dt.ticks = ticks % TICKS_PER_DAY;
    func_result(c, &t, &a);
}

static void
fn_datediff(sqlite3_context *c, int n, sqlite3_value **v)
{
    enum part p = part_of(func_arg(v[0]));
    int64_t a = sqlite3_value_int64(v[1]);
    int64_t b = sqlite3_value_int64(v[2]);
    int y[2];
    int m[2];
    int d;
    int64_t unit;

    (void)n;
    if (p == NONE) {
        bad_part(c, func_arg(v[0]), "datediff");
        return;
    }
    if (func_any_null(3, v))
        return;
    datetime_civil((int32_t)(a / TICKS_PER_DAY), &y[0], &m[0], &d);
    datetime_civil((int32_t)(b / TICKS_PER_DAY), &y[1], &m[1], &d);
    if (p == YEAR)
        sqlite3_result_int64(c, y[1] - y[0]);
    else if (p == QUARTER)
        sqlite3_result_int64(c, (y[1] - y[0]) * 4 + (m[1] - 1) / 3 - (m[0] - 1) / 3);
    else if (p == MONTH)
        sqlite3_result_int64(c, (y[1] - y[0]) * 12 + m[1] - m[0]);
    else if (p == NS)
        sqlite3_result_int64(c, (b - a) * 100);
    else {
        int64_t shift = p == WEEK ? TICKS_PER_DAY : 0; /* weeks begin on Sunday */

        unit = part_ticks(p);
        sqlite3_result_int64(c, (b + shift) / unit - (a + shift) / unit);
    }
}

static int64_t
part_value(enum part p, int64_t ticks)
{
    int y;
    int m;
    int d;
    int32_t days = (int32_t)(ticks / TICKS_PER_DAY);
    int64_t time = ticks % TICKS_PER_DAY;
    int32_t first;

    datetime_civil(days, &y, &m, &d);
    first = datetime_days(y, 1, 1);
    switch (p) {
    case YEAR:
        return y;
    case QUARTER:
        return (m - 1) / 3 + 1;
    case MONTH:
        return m;
    case DAYOFYEAR:
        return days - first + 1;
    case DAY:
        return d;
    case WEEK:
        return (days - first + (first + 1) % 7) / 7 + 1;
    case WEEKDAY:
        return (days + 1) % 7 + 1;
    case HOUR:
        return time / (60 * TICKS_PER_MINUTE);
    case MINUTE:
        return time / TICKS_PER_MINUTE % 60;
    case SECOND:
        return time / TICKS_PER_SECOND % 60;
    case MS:
        return time % TICKS_PER_SECOND / 10000;
    case US:
        return time % TICKS_PER_SECOND / 10;
    case NS:
        return time % TICKS_PER_SECOND * 100;
    case NONE:
    default:
        return 0;
    }
}

static void
fn_datepart(sqlite3_context *c, int n, sqlite3_value **v)
{
    enum part p = part_of(func_arg(v[0]));

    (void)n;
    if (p == NONE)
        bad_part(c, func_arg(v[0]), "datepart");
    else if (!func_any_null(2, v))
        sqlite3_result_int64(c, part_value(p, sqlite3_value_int64(v[1])));
}

static void
fn_datename(sqlite3_context *c, int n, sqlite3_value **v)
{
    static const char *const MONTHS[] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
    static const char *const DAYS[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};
    enum part p = part_of(func_arg(v[0]));
    int64_t value;
    char buf[32];

    (void)n;
    if (p == NONE) {
        bad_part(c, func_arg(v[0]), "datename");
        return;
    }
    if (func_any_null(2, v))
        return;
    value = part_value(p, sqlite3_value_int64(v[1]));
    (void)snprintf(buf, sizeof buf, "%lld", (long long)value);
    func_string(c, p == MONTH ? MONTHS[value - 1] : p == WEEKDAY ? DAYS[value - 1] : buf);
}

static void
simple_part(sqlite3_context *c, sqlite3_value **v, enum part p)
{
    if (!func_any_null(1, v))
        sqlite3_result_int64(c, part_value(p, sqlite3_value_int64(v[0])));
}

static void
fn_year(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    simple_part(c, v, YEAR);
}

static void
fn_month(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    simple_part(c, v, MONTH);
}

static void
fn_day(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    simple_part(c, v, DAY);
}

static void
fn_eomonth(sqlite3_context *c, int n, sqlite3_value **v)
{
    int y;
    int m;
    int d;
    int32_t days = (int32_t)(sqlite3_value_int64(v[0]) / TICKS_PER_DAY);

    (void)n;
    if (func_any_null(1, v))
        return;
    datetime_civil(days, &y, &m, &d);
    sqlite3_result_int64(c, (m == 12 ? datetime_days(y, 12, 31) : datetime_days(y, m + 1, 1) - 1));
}

static void
fn_isdate(sqlite3_context *c, int n, sqlite3_value **v)
{
    struct moment m;

    (void)n;
    sqlite3_result_int(c, sqlite3_value_bytes(v[0]) > 0 &&
                              datetime_parse(func_arg(v[0]), (size_t)sqlite3_value_bytes(v[0]),
                                             func_session(c)->date_order, 0, &m));
}

static void
now(sqlite3_context *c, const struct moment *m, enum sql_base base)
{
    struct sql_type t = type_make(base);
    struct sql_value v = {.dt = {m->days, m->ticks, 0}};

    (void)func_context(c);
    if (base == SQL_DATETIME)
        v.dt.ticks = datetime_grid(v.dt.ticks);
    if (base == SQL_DATETIMEOFFSET)
        v.dt.offset_min = func_session(c)->now_local.offset_min;
    if (v.dt.ticks >= TICKS_PER_DAY) {
        v.dt.days++;
        v.dt.ticks = 0;
    }
    func_result(c, &t, &v);
}

static void
fn_getdate(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    (void)v;
    now(c, &func_session(c)->now_local, SQL_DATETIME);
}

static void
fn_getutcdate(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    (void)v;
    now(c, &func_session(c)->now_utc, SQL_DATETIME);
}

static void
fn_sysdatetime(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    (void)v;
    now(c, &func_session(c)->now_local, SQL_DATETIME2);
}

static void
fn_sysutcdatetime(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    (void)v;
    now(c, &func_session(c)->now_utc, SQL_DATETIME2);
}

static void
fn_sysdatetimeoffset(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    (void)v;
    now(c, &func_session(c)->now_utc, SQL_DATETIMEOFFSET);
}

void
func_register_time(struct session *s)
{
    static const struct func LIST[] = {
        {"ms_dateadd", 4, false, fn_dateadd},
        {"ms_datediff", 3, false, fn_datediff},
        {"ms_datepart", 2, false, fn_datepart},
        {"ms_datename", 2, false, fn_datename},
        {"ms_year", 1, false, fn_year},
        {"ms_month", 1, false, fn_month},
        {"ms_day", 1, false, fn_day},
        {"ms_eomonth", 1, false, fn_eomonth},
        {"ms_isdate", 1, false, fn_isdate},
        {"ms_getdate", 0, true, fn_getdate},
        {"ms_getutcdate", 0, true, fn_getutcdate},
        {"ms_sysdatetime", 0, true, fn_sysdatetime},
        {"ms_sysutcdatetime", 0, true, fn_sysutcdatetime},
        {"ms_sysdatetimeoffset", 0, true, fn_sysdatetimeoffset},
    };

    func_add(s, LIST, sizeof LIST / sizeof LIST[0]);
}
