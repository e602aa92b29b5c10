#include "common/value.h"

#include "common/clock.h"
#include "common/digits.h"
#include "common/err.h"

#include <math.h>

#define SECONDS_PER_DAY 86400
#define DIGITS_F32      9
#define DIGITS_F64      17

static const char hex_lower[] = "0123456789abcdef";
static const char hex_upper[] = "0123456789ABCDEF";

/* ---- floats ---- */

/* The decimal d[0].d[1..n-1] x 10^exponent, in the form ECMAScript prints numbers in. */
static char *
put_decimal_digits(char *at, const char *digits, int n, int exponent)
{
    int whole = exponent + 1; /* digits before the point */

    if (whole > 21 || whole <= -6) {
        *at++ = digits[0];
        if (n > 1) {
            *at++ = '.';
            memcpy(at, digits + 1, (size_t)n - 1);
            at += n - 1;
        }
        *at++ = 'e';
        *at++ = exponent < 0 ? '-' : '+';
        return digits_put_u64(at, (uint64_t)(exponent < 0 ? -exponent : exponent));
    }
    if (whole <= 0) {
        *at++ = '0';
        *at++ = '.';
        memset(at, '0', (size_t)-whole);
        at += -whole;
        memcpy(at, digits, (size_t)n);
        return at + n;
    }
    if (n <= whole) {
        memcpy(at, digits, (size_t)n);
        memset(at + n, '0', (size_t)(whole - n));
        return at + whole;
    }
    memcpy(at, digits, (size_t)whole);
    at += whole;
    *at++ = '.';
    memcpy(at, digits + whole, (size_t)(n - whole));
    return at + (n - whole);
}

/* Numbers as people write them, up to 15 digits with a point: a decimal r / 10^k whose parts are
   exact doubles is divided with one correct rounding, so equality proves that the text reads back
   as d; with at most 15 digits no other text of that length does. */
static char *
put_short_double(char *at, double d)
{
    double magnitude = fabs(d);

    if (magnitude >= 1e15 || (magnitude < 1e-5 && magnitude != 0))
        return NULL;
    for (unsigned k = 0; k <= 15; k++) {
        double power = (double)digits_pow10[k];
        double r = nearbyint(magnitude * power);
        uint64_t u;

        if (r >= 1e15)
            return NULL;
        if (r / power != magnitude)
            continue;
        u = (uint64_t)r;
        if (signbit(d))
            *at++ = '-';
        at = digits_put_u64(at, u / digits_pow10[k]);
        if (k > 0) {
            *at++ = '.';
            u %= digits_pow10[k];
            for (unsigned i = k; i > 0; i--) {
                at[i - 1] = (char)('0' + u % 10);
                u /= 10;
            }
            at += k;
        }
        return at;
    }
    return NULL;
}

/* One unit more in the last place of n digits; true when a digit more came in front. */
static bool
digits_increment(char *digits, int n)
{
    for (int i = n - 1; i >= 0; i--) {
        if (digits[i] != '9') {
            digits[i]++;
            return false;
        }
        digits[i] = '0';
    }
    digits[0] = '1';
    return true;
}

static bool
reads_back(const char *digits, int n, int exponent, double d, bool is_f32)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%.*se%d", n, digits, exponent - (n - 1));
    return is_f32 ? (double)strtof(text, NULL) == d : strtod(text, NULL) == d;
}

/*
 * The shortest decimal that reads back as d > 0, by trying precisions upwards.  At a power of
 * two the numbers that round to d reach twice as far upwards as downwards: there the next
 * decimal up may do where the nearest does not.
 */
static char *
put_any_float(char *at, double d, bool is_f32)
{
    int most = is_f32 ? DIGITS_F32 : DIGITS_F64;
    bool is_normal = is_f32 ? d >= 0x1p-126 : d >= 0x1p-1022;
    int binary_exponent;
    bool is_power_of_two = frexp(d, &binary_exponent) == 0.5;

    /* Below FLT_DIG, DBL_DIG digits only subnormals have to be looked at: what is shorter
       appears with zeros at the end. */
    for (int n = !is_normal ? 1 : is_f32 ? 6 : 15;; n++) {
        char text[40];
        char digits[DIGITS_F64 + 1];
        int exponent;

        (void)snprintf(text, sizeof(text), "%.*e", n - 1, d);
        digits[0] = text[0];
        if (n > 1)
            memcpy(digits + 1, text + 2, (size_t)n - 1);
        exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
        if (!reads_back(digits, n, exponent, d, is_f32) && n < most) {
            if (!is_power_of_two)
                continue;
            if (digits_increment(digits, n))
                exponent++;
            if (!reads_back(digits, n, exponent, d, is_f32))
                continue;
        }
        while (n > 1 && digits[n - 1] == '0')
            n--;
        return put_decimal_digits(at, digits, n, exponent);
    }
}

static char *
put_float(char *at, double d, bool is_f32)
{
    char *end;

    if (isnan(d)) {
        memcpy(at, "NaN", 3);
        return at + 3;
    }
    if (!is_f32 && (end = put_short_double(at, d)) != NULL)
        return end;
    if (signbit(d)) {
        *at++ = '-';
        d = -d;
    }
    if (isinf(d)) {
        memcpy(at, "Infinity", 8);
        return at + 8;
    }
    if (d < 0x1p24 && d == nearbyint(d))
        return digits_put_u64(at, (uint64_t)d);
    return put_any_float(at, d, is_f32);
}

/* ---- dates and times ---- */

/* Years outside 0..9999 get a sign, as ISO 8601 has it. */
static char *
put_far_date(char *at, int64_t days)
{
    int year;
    unsigned month;
    unsigned day;
    uint64_t magnitude;

    clock_civil_from_days(days, &year, &month, &day);
    magnitude = (uint64_t)(year < 0 ? -(int64_t)year : year);
    if (year != 0)
        *at++ = year < 0 ? '-' : '+';
    for (uint64_t limit = 1000; limit > 1 && magnitude < limit; limit /= 10)
        *at++ = '0';
    at = digits_put_u64(at, magnitude);
    *at++ = '-';
    at = digits_put_pair(at, month);
    *at++ = '-';
    return digits_put_pair(at, day);
}

static char *
put_date(char *at, int64_t days)
{
    if (days < DIGITS_DAYS_MIN || days > DIGITS_DAYS_MAX)
        return put_far_date(at, days);
    return digits_put_date(at, (int32_t)days);
}

static char *
put_time(char *at, uint32_t second_of_day, uint32_t nanos, unsigned scale)
{
    at = digits_put_pair(at, second_of_day / 3600);
    *at++ = ':';
    at = digits_put_pair(at, second_of_day / 60 % 60);
    *at++ = ':';
    at = digits_put_pair(at, second_of_day % 60);
    if (scale > 0) {
        uint32_t u = nanos / (uint32_t)digits_pow10[9 - scale];

        *at++ = '.';
        for (unsigned i = scale; i > 0; i--) {
            at[i - 1] = (char)('0' + u % 10);
            u /= 10;
        }
        at += scale;
    }
    return at;
}

static char *
put_datetime(char *at, int64_t seconds, uint32_t nanos, unsigned scale, char separator)
{
    int64_t days = seconds / SECONDS_PER_DAY;
    int64_t second_of_day = seconds % SECONDS_PER_DAY;

    if (second_of_day < 0) {
        second_of_day += SECONDS_PER_DAY;
        days--;
    }
    at = put_date(at, days);
    *at++ = separator;
    return put_time(at, (uint32_t)second_of_day, nanos, scale);
}

static char *
put_datetimeoffset(char *at, const struct value *v, unsigned scale)
{
    int offset = v->datetime.offset_min;
    uint32_t magnitude = (uint32_t)(offset < 0 ? -offset : offset);

    at =
        put_datetime(at, v->datetime.seconds + (int64_t)offset * 60, v->datetime.nanos, scale, ' ');
    *at++ = ' ';
    *at++ = offset < 0 ? '-' : '+';
    at = digits_put_pair(at, magnitude / 60);
    *at++ = ':';
    return digits_put_pair(at, magnitude % 60);
}

static char *
put_uuid(char *at, const uint8_t uuid[16])
{
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = hex_upper[uuid[i] >> 4];
        *at++ = hex_upper[uuid[i] & 15];
    }
    return at;
}

/* ---- all kinds ---- */

/* Room for VALUE_TEXT_MAX bytes at `at`. */
static char *
put_fixed(char *at, const struct value *v, unsigned scale)
{
    switch (v->kind) {
    case VALUE_BOOL:
        memcpy(at, v->boolean ? "true" : "false", v->boolean ? 4 : 5);
        return at + (v->boolean ? 4 : 5);
    case VALUE_INT:
        return digits_put_i64(at, v->i);
    case VALUE_UINT:
        return digits_put_u64(at, v->u);
    case VALUE_FLOAT32:
        return put_float(at, (double)v->f32, true);
    case VALUE_FLOAT64:
        return put_float(at, v->f64, false);
    case VALUE_DATE:
        return put_date(at, v->days);
    case VALUE_TIME:
        return put_time(at, (uint32_t)(v->time_ns / NS_PER_S), (uint32_t)(v->time_ns % NS_PER_S),
                        scale);
    case VALUE_DATETIME:
        return put_datetime(at, v->datetime.seconds, v->datetime.nanos, scale, 'T');
    case VALUE_DATETIMEOFFSET:
        return put_datetimeoffset(at, v, scale);
    case VALUE_UUID:
        return put_uuid(at, v->uuid);
    case VALUE_NULL:
    case VALUE_DECIMAL:
    case VALUE_TEXT:
    case VALUE_BYTES:
    case VALUE_CUT_TEXT:
    case VALUE_CUT_BYTES:
    case VALUE_UNAVAILABLE:
        break;
    }
    return at;
}

static size_t
put_hex(const struct value *v, char *buf, size_t size)
{
    size_t needed = 2 * (size_t)v->bytes.size;
    size_t fits = needed <= size ? v->bytes.size : size / 2;

    for (size_t i = 0; i < fits; i++) {
        uint8_t byte = (uint8_t)v->bytes.data[i];

        buf[2 * i] = hex_lower[byte >> 4];
        buf[2 * i + 1] = hex_lower[byte & 15];
    }
    return needed;
}

/* Into room that may be too small for the kind. */
static size_t
put_fixed_cut(const struct value *v, unsigned scale, char *buf, size_t size)
{
    char fixed[VALUE_TEXT_MAX];
    size_t n = (size_t)(put_fixed(fixed, v, scale) - fixed);

    if (size > 0)
        memcpy(buf, fixed, n < size ? n : size);
    return n;
}

static size_t
put_copy(const struct value *v, char *buf, size_t size)
{
    size_t n = v->bytes.size;

    if (n > 0 && size > 0)
        memcpy(buf, v->bytes.data, n < size ? n : size);
    return n;
}

size_t
value_text(const struct value *v, unsigned scale, char *buf, size_t size)
{
    if (v->kind == VALUE_DECIMAL || v->kind == VALUE_TEXT || v->kind == VALUE_CUT_TEXT)
        return put_copy(v, buf, size);
    if (v->kind == VALUE_BYTES || v->kind == VALUE_CUT_BYTES)
        return put_hex(v, buf, size);
    /* A decimal column may have up to 38. */
    CHECK(scale <= 9 || v->kind < VALUE_DATE || v->kind == VALUE_UNAVAILABLE);
    if (size < VALUE_TEXT_MAX)
        return put_fixed_cut(v, scale, buf, size);
    return (size_t)(put_fixed(buf, v, scale) - buf);
}

size_t
value_text_bound(const struct value *v)
{
    if (v->kind == VALUE_DECIMAL || v->kind == VALUE_TEXT || v->kind == VALUE_CUT_TEXT)
        return v->bytes.size;
    if (v->kind == VALUE_BYTES || v->kind == VALUE_CUT_BYTES)
        return 2 * (size_t)v->bytes.size;
    return VALUE_TEXT_MAX;
}
