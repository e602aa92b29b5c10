#include "tests/mssqld/sql/decimal.h"

#include <math.h>

int128
decimal_power(int n)
{
    int128 p = 1;

    while (n-- > 0)
        p *= 10;
    return p;
}

int
decimal_digits(int128 value)
{
    uint128 m = value < 0 ? -(uint128)value : (uint128)value;
    int n = 1;

    while (m >= 10) {
        m /= 10;
        n++;
    }
    return n;
}

static bool
fits(int128 value)
{
    return value < decimal_power(38) && value > -decimal_power(38);
}

/* Reads an exponent at *i; false when letters follow that are none. */
static bool
parse_exponent(const char *s, size_t size, size_t *i, int *exponent)
{
    bool negative = false;
    bool any = false;
    int n = 0;

    *exponent = 0;
    if (*i >= size || (s[*i] != 'e' && s[*i] != 'E'))
        return true;
    ++*i;
    if (*i < size && (s[*i] == '-' || s[*i] == '+'))
        negative = s[(*i)++] == '-';
    for (; *i < size && s[*i] >= '0' && s[*i] <= '9'; ++*i) {
        n = n < 1000 ? n * 10 + (s[*i] - '0') : n;
        any = true;
    }
    *exponent = negative ? -n : n;
    return any;
}

bool
decimal_parse(const char *s, size_t size, struct decimal *out)
{
    size_t i = 0;
    bool negative = false;
    bool any = false;
    bool dot = false;
    int exponent;

    *out = (struct decimal){0};
    while (size > 0 && (s[size - 1] == ' ' || s[size - 1] == '\0'))
        size--;
    while (i < size && s[i] == ' ')
        i++;
    if (i < size && (s[i] == '-' || s[i] == '+'))
        negative = s[i++] == '-';
    for (; i < size; i++) {
        if (s[i] == '.' && !dot) {
            dot = true;
            continue;
        }
        if (s[i] < '0' || s[i] > '9')
            break;
        any = true;
        if (dot && out->scale >= 38)
            continue; /* finer than any type can hold */
        if (decimal_digits(out->value) >= 38 && out->value != 0) {
            if (!dot)
                return false;
            continue;
        }
        out->value = out->value * 10 + (s[i] - '0');
        out->scale += dot ? 1 : 0;
    }
    if (!any || !parse_exponent(s, size, &i, &exponent) || i != size)
        return false;
    if (negative)
        out->value = -out->value;
    out->scale -= exponent;
    if (out->scale < 0) {
        int up = -out->scale;

        out->scale = 0;
        if (out->value != 0 && decimal_digits(out->value) + up > 38)
            return false;
        out->value *= out->value == 0 ? 1 : decimal_power(up);
    }
    return out->scale <= 38 || decimal_rescale(out, 38);
}

bool
decimal_rescale(struct decimal *d, int scale)
{
    bool negative = d->value < 0;
    uint128 m = negative ? -(uint128)d->value : (uint128)d->value;

    for (; d->scale < scale; d->scale++) {
        if (m >= (uint128)decimal_power(37) && m != 0)
            return false;
        m *= 10;
    }
    if (d->scale > scale) {
        int drop = d->scale - scale;
        uint128 unit = drop > 38 ? 0 : (uint128)decimal_power(drop);
        uint128 rest = unit == 0 ? 0 : m % unit;

        m = unit == 0 ? 0 : m / unit;
        if (unit != 0 && rest >= unit / 2 + unit % 2)
            m++;
        d->scale = scale;
    }
    d->value = negative ? -(int128)m : (int128)m;
    return fits(d->value);
}

bool
decimal_truncate(struct decimal *d, int scale)
{
    if (d->scale > scale) {
        d->value /= decimal_power(d->scale - scale);
        d->scale = scale;
        return true;
    }
    return decimal_rescale(d, scale);
}

size_t
decimal_format(const struct decimal *d, char *buf)
{
    uint128 m = d->value < 0 ? -(uint128)d->value : (uint128)d->value;
    char digits[DECIMAL_TEXT_SIZE];
    int n = 0;
    size_t o = 0;

    while (m > 0 || n <= d->scale) {
        digits[n++] = (char)('0' + (int)(m % 10));
        m /= 10;
    }
    if (d->value < 0)
        buf[o++] = '-';
    while (n > 0) {
        if (n == d->scale)
            buf[o++] = '.';
        buf[o++] = digits[--n];
    }
    buf[o] = '\0';
    return o;
}

double
decimal_to_double(const struct decimal *d)
{
    char buf[DECIMAL_TEXT_SIZE];

    (void)decimal_format(d, buf);
    return strtod(buf, NULL);
}

bool
decimal_from_double(double f, int scale, struct decimal *out)
{
    char buf[400];
    int n;

    if (!isfinite(f) || fabs(f) >= 1e38)
        return false;
    n = snprintf(buf, sizeof buf, "%.*f", scale, f);
    if (n < 0 || (size_t)n >= sizeof buf)
        return false;
    return decimal_parse(buf, (size_t)n, out) && decimal_rescale(out, scale);
}

bool
decimal_multiply(const struct decimal *a, const struct decimal *b, int scale, struct decimal *out)
{
    struct decimal x = *a;
    struct decimal y = *b;

    /* 38 + 38 digits do not fit 128 bits: give up the finest digits of the longer one. */
    while (decimal_digits(x.value) + decimal_digits(y.value) > 38 && (x.scale > 0 || y.scale > 0) &&
           x.scale + y.scale > scale) {
        struct decimal *longer = x.scale >= y.scale ? &x : &y;

        if (!decimal_rescale(longer, longer->scale - 1))
            return false;
    }
    if (__builtin_mul_overflow(x.value, y.value, &out->value) || !fits(out->value))
        return false;
    out->scale = x.scale + y.scale;
    return decimal_rescale(out, scale);
}

bool
decimal_divide(const struct decimal *a, const struct decimal *b, int scale, struct decimal *out)
{
    bool negative = (a->value < 0) != (b->value < 0);
    uint128 n = a->value < 0 ? -(uint128)a->value : (uint128)a->value;
    uint128 d = b->value < 0 ? -(uint128)b->value : (uint128)b->value;
    uint128 q;
    uint128 rest;
    int have;

    while (d > (uint128)decimal_power(37)) {
        d /= 10;
        n /= 10;
    }
    q = n / d;
    rest = n % d;
    /* Long division, one digit a turn, from the scale the integers give to the one wanted. */
    for (have = a->scale - b->scale; have < scale; have++) {
        if (q > (uint128)decimal_power(37))
            return false;
        rest *= 10;
        q = q * 10 + rest / d;
        rest %= d;
    }
    out->value = negative ? -(int128)q : (int128)q;
    out->scale = have;
    if (have > scale) {
        if (have < 0)
            return false;
        return decimal_truncate(out, scale);
    }
    return fits(out->value);
}
