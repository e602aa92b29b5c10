#include "common/clock.h"

#include <time.h>

static int64_t
now(clockid_t id)
{
    struct timespec ts;

    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t
clock_mono_ns(void)
{
    return now(CLOCK_MONOTONIC);
}

int64_t
clock_real_ns(void)
{
    return now(CLOCK_REALTIME);
}

/*
 * The year is counted from March, so that the leap day is the last of its year;
 * eras of 400 years (146097 days) make every step integer arithmetic.
 */
void
clock_civil_from_days(int64_t days, int *year, unsigned *month, unsigned *day)
{
    int64_t z = days + 719468; /* days from 0000-03-01 */
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    uint32_t doe = (uint32_t)(z - era * 146097);
    uint32_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint32_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    uint32_t mp = (5 * doy + 2) / 153;

    *day = doy - (153 * mp + 2) / 5 + 1;
    *month = mp < 10 ? mp + 3 : mp - 9;
    *year = (int)((int64_t)yoe + era * 400 + (*month <= 2 ? 1 : 0));
}

int64_t
clock_days_from_civil(int year, unsigned month, unsigned day)
{
    int64_t y = (int64_t)year - (month <= 2 ? 1 : 0);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    uint32_t yoe = (uint32_t)(y - era * 400);
    uint32_t doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    uint32_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

    return era * 146097 + (int64_t)doe - 719468;
}

static void
put_digits(char *at, uint32_t value, int width)
{
    for (int i = width - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

const char *
clock_iso(int64_t real_ns, char *buf)
{
    int64_t secs = real_ns / NS_PER_S;
    int64_t frac = real_ns % NS_PER_S;
    int64_t days;
    uint32_t sod;
    int year;
    unsigned month;
    unsigned day;

    if (frac < 0) {
        frac += NS_PER_S;
        secs--;
    }
    days = secs / 86400;
    if (secs % 86400 < 0)
        days--;
    sod = (uint32_t)(secs - days * 86400);
    clock_civil_from_days(days, &year, &month, &day);
    put_digits(buf, (uint32_t)year, 4);
    buf[4] = '-';
    put_digits(buf + 5, month, 2);
    buf[7] = '-';
    put_digits(buf + 8, day, 2);
    buf[10] = 'T';
    put_digits(buf + 11, sod / 3600, 2);
    buf[13] = ':';
    put_digits(buf + 14, sod / 60 % 60, 2);
    buf[16] = ':';
    put_digits(buf + 17, sod % 60, 2);
    buf[19] = '.';
    put_digits(buf + 20, (uint32_t)(frac / 1000), 6);
    buf[26] = 'Z';
    buf[27] = '\0';
    return buf;
}
