#include "tests/mssqld/sql/datetime.h"

#include <stdatomic.h>

#include <ctype.h>
#include <strings.h>
#include <time.h>

#include "common/clock.h"

static const char *const MONTHS[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};

void
datetime_civil(int32_t days, int *year, int *month, int *day)
{
    unsigned m;
    unsigned d;

    clock_civil_from_days((int64_t)days - DAYS_TO_1970, year, &m, &d);
    *month = (int)m;
    *day = (int)d;
}

int32_t
datetime_days(int year, int month, int day)
{
    static const int LENGTH[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    if (year < 1 || year > 9999 || month < 1 || month > 12 || day < 1)
        return -1;
    if (day > LENGTH[month - 1] + (month == 2 && leap ? 1 : 0))
        return -1;
    return (int32_t)(clock_days_from_civil(year, (unsigned)month, (unsigned)day) + DAYS_TO_1970);
}

int64_t
datetime_round(int64_t ticks, int scale)
{
    int64_t unit = 1;

    for (int i = scale; i < 7; i++)
        unit *= 10;
    return (ticks + unit / 2) / unit * unit;
}

int64_t
datetime_grid(int64_t ticks)
{
    int64_t n = (ticks * 3 + 50000) / 100000;

    return (n * 200000 + 3) / 6;
}

struct reader {
    const char *s;
    size_t size;
    size_t i;
};

static void
skip_blanks(struct reader *r)
{
    while (r->i < r->size && (r->s[r->i] == ' ' || r->s[r->i] == '\t'))
        r->i++;
}

static char
peek(const struct reader *r)
{
    return r->i < r->size ? r->s[r->i] : '\0';
}

/* Digits at the place; *n counts them. */
static int64_t
number(struct reader *r, int *n)
{
    int64_t v = 0;

    for (*n = 0; r->i < r->size && isdigit((unsigned char)r->s[r->i]) && *n < 18; r->i++, ++*n)
        v = v * 10 + (r->s[r->i] - '0');
    return v;
}

static int
month_name(struct reader *r)
{
    size_t start = r->i;
    size_t n;

    while (isalpha((unsigned char)peek(r)))
        r->i++;
    n = r->i - start;
    for (int m = 0; m < 12; m++)
        if ((n == 3 || n == strlen(MONTHS[m])) && strncasecmp(r->s + start, MONTHS[m], n) == 0)
            return m + 1;
    r->i = start;
    return 0;
}

static int
full_year(int64_t y, int digits)
{
    if (digits > 2)
        return (int)y;
    return (int)(y < 50 ? 2000 + y : 1900 + y);
}

/* "Apr 15 2022", "April 15, 2022", "15 Apr 2022"; first holds a day already read, or 0. */
static bool
named_date(struct reader *r, int64_t first, struct moment *out)
{
    int n;
    int64_t day = first;
    int64_t year;
    int month = month_name(r);

    if (month == 0)
        return false;
    skip_blanks(r);
    if (first == 0) {
        day = number(r, &n);
        if (n == 0)
            return false;
        skip_blanks(r);
    }
    if (peek(r) == ',')
        r->i++;
    skip_blanks(r);
    year = number(r, &n);
    if (n != 4 && n != 2)
        return false;
    out->days = datetime_days(full_year(year, n), month, (int)day);
    return true;
}

static bool
three_numbers(struct reader *r, int64_t a, int an, enum date_order order, struct moment *out)
{
    char sep = peek(r);
    int bn;
    int cn;
    int64_t b;
    int64_t c;

    r->i++;
    b = number(r, &bn);
    if (peek(r) != sep || bn == 0 || bn > 2)
        return false;
    r->i++;
    c = number(r, &cn);
    if (cn == 0)
        return false;
    if (an == 4 || (order == DATE_YMD && cn <= 2))
        out->days = datetime_days(full_year(a, an), (int)b, (int)c);
    else if (order == DATE_DMY)
        out->days = datetime_days(full_year(c, cn), (int)b, (int)a);
    else
        out->days = datetime_days(full_year(c, cn), (int)a, (int)b);
    return true;
}

static bool
parse_date(struct reader *r, enum date_order order, struct moment *out)
{
    size_t start = r->i;
    int n;
    int64_t a;

    if (isalpha((unsigned char)peek(r)))
        return named_date(r, 0, out) && (out->has_date = true);
    a = number(r, &n);
    if (n == 0)
        return false;
    if (peek(r) == ':') {
        r->i = start;
        return true; /* a time alone */
    }
    if (n == 8) {
        out->days = datetime_days((int)(a / 10000), (int)(a / 100 % 100), (int)(a % 100));
    } else if (n == 6) {
        out->days = datetime_days(full_year(a / 10000, 2), (int)(a / 100 % 100), (int)(a % 100));
    } else if (peek(r) == '-' || peek(r) == '/' || peek(r) == '.') {
        if (!three_numbers(r, a, n, order, out))
            return false;
    } else if (peek(r) == ' ' && n <= 2) {
        skip_blanks(r);
        if (!isalpha((unsigned char)peek(r)) || toupper((unsigned char)peek(r)) == 'A' ||
            toupper((unsigned char)peek(r)) == 'P') {
            size_t here = r->i;

            if (month_name(r) == 0) {
                r->i = start;
                return true; /* "3 PM" */
            }
            r->i = here;
        }
        if (!named_date(r, a, out))
            return false;
    } else if (n == 4) {
        out->days = datetime_days((int)a, 1, 1);
    } else {
        r->i = start;
        return n <= 2;
    }
    out->has_date = true;
    return true;
}

static bool
parse_fraction(struct reader *r, int64_t *ticks)
{
    int n;
    int64_t f = number(r, &n);

    if (n == 0 || n > 9)
        return false;
    for (; n > 7; n--)
        f = (f + (n == 8 ? 5 : 0)) / 10;
    for (; n < 7; n++)
        f *= 10;
    *ticks += f;
    return true;
}

static bool
parse_time(struct reader *r, struct moment *out)
{
    int n;
    int64_t h = number(r, &n);
    int64_t m = 0;
    int64_t s = 0;
    int64_t fraction = 0;

    if (n == 0 || n > 2)
        return false;
    if (peek(r) == ':') {
        r->i++;
        m = number(r, &n);
        if (n == 0 || n > 2)
            return false;
        if (peek(r) == ':') {
            r->i++;
            s = number(r, &n);
            if (n == 0 || n > 2)
                return false;
            if (peek(r) == '.' || peek(r) == ':') {
                r->i++;
                if (!parse_fraction(r, &fraction))
                    return false;
            }
        }
    }
    skip_blanks(r);
    if (r->i + 1 < r->size && toupper((unsigned char)r->s[r->i + 1]) == 'M') {
        char half = (char)toupper((unsigned char)peek(r));

        if ((half != 'A' && half != 'P') || h < 1 || h > 12)
            return false;
        h = h % 12 + (half == 'P' ? 12 : 0);
        r->i += 2;
    }
    if (h > 23 || m > 59 || s > 59)
        return false;
    out->ticks = (h * 3600 + m * 60 + s) * TICKS_PER_SECOND + fraction;
    out->has_time = true;
    return true;
}

static bool
parse_zone(struct reader *r, struct moment *out)
{
    bool negative;
    int n;
    int64_t h;
    int64_t m;

    skip_blanks(r);
    if (peek(r) == 'Z' || peek(r) == 'z') {
        r->i++;
        out->has_zone = true;
        return true;
    }
    if (peek(r) != '+' && peek(r) != '-')
        return true;
    negative = r->s[r->i++] == '-';
    h = number(r, &n);
    if (n == 0 || n > 2 || peek(r) != ':')
        return false;
    r->i++;
    m = number(r, &n);
    if (n != 2 || h * 60 + m > 14 * 60 || m > 59)
        return false;
    out->offset_min = (int16_t)(negative ? -(h * 60 + m) : h * 60 + m);
    out->has_zone = true;
    return true;
}

bool
datetime_parse(const char *text, size_t size, enum date_order order, int style, struct moment *out)
{
    struct reader r = {text, size, 0};

    *out = (struct moment){.days = DAYS_TO_1900};
    while (r.size > 0 && (r.s[r.size - 1] == ' ' || r.s[r.size - 1] == '\0'))
        r.size--;
    skip_blanks(&r);
    if (r.i == r.size)
        return true; /* '' is 1900-01-01 */
    if (style % 100 == 3 || style % 100 == 4 || style % 100 == 5)
        order = DATE_DMY;
    else if (style % 100 == 1 || style % 100 == 10)
        order = DATE_MDY;
    if (!parse_date(&r, order, out) || out->days < 0)
        return false;
    if (peek(&r) == 'T' || peek(&r) == 't')
        r.i++;
    skip_blanks(&r);
    if (r.i < r.size && peek(&r) != 'Z' && peek(&r) != '+' && peek(&r) != '-' &&
        !parse_time(&r, out))
        return false;
    return parse_zone(&r, out) && r.i == r.size;
}

/* The server's clock against the machine's: one process is one server. */
static _Atomic int64_t shift_s;
static _Atomic int zone = DATETIME_OWN_ZONE;

void
datetime_shift(int64_t seconds)
{
    if (seconds == 0)
        atomic_store(&shift_s, 0);
    else
        (void)atomic_fetch_add(&shift_s, seconds);
}

void
datetime_zone(int minutes)
{
    atomic_store(&zone, minutes);
}

void
datetime_now(struct moment *utc, struct moment *local)
{
    int64_t ns = clock_real_ns() + atomic_load(&shift_s) * NS_PER_S;
    int zone_min = atomic_load(&zone);
    time_t now = (time_t)(ns / NS_PER_S);
    struct tm tm;
    int64_t ticks;

    (void)localtime_r(&now, &tm);
    if (zone_min != DATETIME_OWN_ZONE)
        tm.tm_gmtoff = zone_min * 60L;
    ticks = (int64_t)DAYS_TO_1970 * TICKS_PER_DAY + ns / 100;
    *utc = (struct moment){.days = (int32_t)(ticks / TICKS_PER_DAY),
                           .ticks = ticks % TICKS_PER_DAY,
                           .has_date = true,
                           .has_time = true,
                           .has_zone = true};
    ticks += (int64_t)tm.tm_gmtoff * TICKS_PER_SECOND;
    *local = *utc;
    local->days = (int32_t)(ticks / TICKS_PER_DAY);
    local->ticks = ticks % TICKS_PER_DAY;
    local->offset_min = (int16_t)(tm.tm_gmtoff / 60);
}

struct fields {
    int year;
    int month;
    int day;
    int hour;
    int minute;
    int second;
    int ms;
    char fraction[16]; /* ".123" by the type's own scale, or "" */
    char half[3];
    int hour12;
    const char *name;
};

static void
split(const struct moment *m, enum datetime_kind kind, int scale, struct fields *f)
{
    int64_t s = m->ticks / TICKS_PER_SECOND;
    int64_t part = m->ticks % TICKS_PER_SECOND;
    char all[16];

    datetime_civil(m->days, &f->year, &f->month, &f->day);
    f->hour = (int)(s / 3600);
    f->minute = (int)(s / 60 % 60);
    f->second = (int)(s % 60);
    f->ms = (int)((part + (kind == DT_DATETIME ? 5000 : 0)) / 10000);
    f->hour12 = f->hour % 12 == 0 ? 12 : f->hour % 12;
    (void)snprintf(f->half, sizeof f->half, "%s", f->hour < 12 ? "AM" : "PM");
    f->name = MONTHS[f->month - 1];
    f->fraction[0] = '\0';
    if (kind == DT_DATETIME) {
        (void)snprintf(f->fraction, sizeof f->fraction, ".%03d", f->ms % 1000);
    } else if (kind != DT_SMALL && scale > 0) {
        (void)snprintf(all, sizeof all, "%07d", (int)part);
        (void)snprintf(f->fraction, sizeof f->fraction, ".%.*s", scale, all);
    }
}

static bool
format_date(const struct fields *f, int style, char *buf, size_t n)
{
    int y = f->year;
    int m = f->month;
    int d = f->day;

    switch (style) {
    case 101:
        return snprintf(buf, n, "%02d/%02d/%04d", m, d, y) > 0;
    case 102:
        return snprintf(buf, n, "%04d.%02d.%02d", y, m, d) > 0;
    case 103:
        return snprintf(buf, n, "%02d/%02d/%04d", d, m, y) > 0;
    case 104:
        return snprintf(buf, n, "%02d.%02d.%04d", d, m, y) > 0;
    case 105:
        return snprintf(buf, n, "%02d-%02d-%04d", d, m, y) > 0;
    case 106:
        return snprintf(buf, n, "%02d %.3s %04d", d, f->name, y) > 0;
    case 107:
        return snprintf(buf, n, "%.3s %02d, %04d", f->name, d, y) > 0;
    case 1:
        return snprintf(buf, n, "%02d/%02d/%02d", m, d, y % 100) > 0;
    case 3:
        return snprintf(buf, n, "%02d/%02d/%02d", d, m, y % 100) > 0;
    case 110:
        return snprintf(buf, n, "%02d-%02d-%04d", m, d, y) > 0;
    case 111:
        return snprintf(buf, n, "%04d/%02d/%02d", y, m, d) > 0;
    case 112:
        return snprintf(buf, n, "%04d%02d%02d", y, m, d) > 0;
    case 12:
        return snprintf(buf, n, "%02d%02d%02d", y % 100, m, d) > 0;
    case 23:
        return snprintf(buf, n, "%04d-%02d-%02d", y, m, d) > 0;
    default:
        return false;
    }
}

static bool
format_both(const struct fields *f, int style, const char *fraction, char *buf, size_t n)
{
    switch (style) {
    case 0:
    case 100:
        return snprintf(buf, n, "%.3s %2d %04d %2d:%02d%s", f->name, f->day, f->year, f->hour12,
                        f->minute, f->half) > 0;
    case 9:
    case 109:
        return snprintf(buf, n, "%.3s %2d %04d %2d:%02d:%02d%s%s", f->name, f->day, f->year,
                        f->hour12, f->minute, f->second, fraction[0] != '\0' ? fraction : ":000",
                        f->half) > 0;
    case 8:
    case 24:
    case 108:
        return snprintf(buf, n, "%02d:%02d:%02d", f->hour, f->minute, f->second) > 0;
    case 13:
    case 113:
        return snprintf(buf, n, "%02d %.3s %04d %02d:%02d:%02d%s", f->day, f->name, f->year,
                        f->hour, f->minute, f->second, fraction) > 0;
    case 14:
    case 114:
        return snprintf(buf, n, "%02d:%02d:%02d:%03d", f->hour, f->minute, f->second, f->ms) > 0;
    case 20:
    case 120:
        return snprintf(buf, n, "%04d-%02d-%02d %02d:%02d:%02d", f->year, f->month, f->day, f->hour,
                        f->minute, f->second) > 0;
    case 21:
    case 25:
    case 121:
        return snprintf(buf, n, "%04d-%02d-%02d %02d:%02d:%02d%s", f->year, f->month, f->day,
                        f->hour, f->minute, f->second, fraction) > 0;
    case 126:
    case 127:
        return snprintf(buf, n, "%04d-%02d-%02dT%02d:%02d:%02d%s%s", f->year, f->month, f->day,
                        f->hour, f->minute, f->second,
                        fraction[0] == '.' && strspn(fraction, ".0") == strlen(fraction) ? ""
                                                                                         : fraction,
                        "") > 0;
    default:
        return format_date(f, style, buf, n);
    }
}

bool
datetime_format(const struct moment *m, enum datetime_kind kind, int scale, int style, char *buf,
                size_t size)
{
    struct fields f;
    size_t n;

    split(m, kind, scale, &f);
    if (kind == DT_DATE) {
        bool plain = style == 0 || style == 20 || style == 21 || style == 25 || style == 120 ||
                     style == 121 || style == 126 || style == 127;

        return format_date(&f, plain ? 23 : style, buf, size);
    }
    if (kind == DT_TIME) {
        if (style == 100)
            return snprintf(buf, size, "%2d:%02d%s", f.hour12, f.minute, f.half) > 0;
        return snprintf(buf, size, "%02d:%02d:%02d%s", f.hour, f.minute, f.second,
                        style == 108 || style == 120 || style == 8 ? "" : f.fraction) > 0;
    }
    if (style == 0 && (kind == DT_DATETIME2 || kind == DT_OFFSET))
        style = 121;
    if (kind == DT_SMALL && (style == 121 || style == 21 || style == 25))
        (void)snprintf(f.fraction, sizeof f.fraction, ".000");
    if (!format_both(&f, style, f.fraction, buf, size))
        return false;
    n = strlen(buf);
    if (kind == DT_OFFSET && style != 112 && style != 23) {
        int minutes = m->offset_min < 0 ? -m->offset_min : m->offset_min;

        (void)snprintf(buf + n, size - n, "%s%c%02d:%02d", style >= 126 ? "" : " ",
                       m->offset_min < 0 ? '-' : '+', minutes / 60, minutes % 60);
    }
    return true;
}
