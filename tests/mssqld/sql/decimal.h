/* decimal - exact decimals of up to 38 digits: a sign, a magnitude, a scale. */
#ifndef MSSQLD_DECIMAL_H
#define MSSQLD_DECIMAL_H

#include "tests/mssqld/sql/types.h"

struct decimal {
    int128 value; /* unscaled */
    int scale;
};

#define DECIMAL_TEXT_SIZE 48

/* 10 to the n, n in 0..38. */
int128 decimal_power(int n);

/* Digits of |value|; 0 has one. */
int decimal_digits(int128 value);

/* Reads "[+-]digits[.digits][e[+-]n]" with blanks around; false when it is none or too long. */
bool decimal_parse(const char *text, size_t size, struct decimal *out);

/* Changes the scale, rounding half away from zero; false on overflow of 38 digits. */
bool decimal_rescale(struct decimal *d, int scale);

/* Drops digits instead of rounding. */
bool decimal_truncate(struct decimal *d, int scale);

/* Plain text with exactly `scale` fraction digits.  buf holds DECIMAL_TEXT_SIZE. */
size_t decimal_format(const struct decimal *d, char *buf);

double decimal_to_double(const struct decimal *d);
bool decimal_from_double(double f, int scale, struct decimal *out);

/* Results at the given scale; false on overflow.  Division by zero is the caller's check. */
bool
decimal_multiply(const struct decimal *a, const struct decimal *b, int scale, struct decimal *out);
bool
decimal_divide(const struct decimal *a, const struct decimal *b, int scale, struct decimal *out);

#endif
