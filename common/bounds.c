#include "common/bounds.h"

#include "common/clock.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define DAY_S         86400
#define YEAR_FIRST    1970
#define FRACTION_MAX  9
#define EPOCH_DIGITS  11 /* seconds of years with four digits have no more */
#define CHECKPOINT    "checkpoint:"
#define NATIVE_FIELD  2 /* of a checkpoint, counted from 0 */
#define LSN_DIGITS    (2 * LSN_SIZE)
#define COMMIT_PREFIX "commit_time:"
#define SERVER_PREFIX "server_time:"

static const char bad_time[] =
    "is no time; allowed is 2026-03-05T08:00:00, with a fraction and with Z or an offset if wanted "
    "(UTC when there is none)";

/* ---- times ---- */

/* Exactly n digits.  NULL when there are fewer, or at is NULL. */
static const char *
take_digits(const char *at, int n, int *out)
{
    *out = 0;
    for (; at != NULL && n > 0; n--, at++) {
        if (!isdigit((unsigned char)*at))
            return NULL;
        *out = *out * 10 + (*at - '0');
    }
    return at;
}

static const char *
take_mark(const char *at, char mark)
{
    return at != NULL && *at == mark ? at + 1 : NULL;
}

/* ".5" and the like, up to nanoseconds; nothing is 0. */
static const char *
take_fraction(const char *at, int64_t *ns)
{
    int64_t unit = NS_PER_S / 10;

    *ns = 0;
    if (at == NULL || *at != '.')
        return at;
    at++;
    if (!isdigit((unsigned char)*at))
        return NULL;
    for (int i = 0; isdigit((unsigned char)*at); i++, at++, unit /= 10) {
        if (i == FRACTION_MAX)
            return NULL;
        *ns += (*at - '0') * unit;
    }
    return at;
}

/* "Z", "+02:00" or nothing; to the end of the text. */
static bool
take_zone(const char *at, int64_t *offset_s)
{
    int hours = 0;
    int minutes = 0;
    bool is_west;

    *offset_s = 0;
    if (at == NULL)
        return false;
    if (*at == '\0' || strcmp(at, "Z") == 0)
        return true;
    if (*at != '+' && *at != '-')
        return false;
    is_west = *at == '-';
    at = take_digits(take_mark(take_digits(at + 1, 2, &hours), ':'), 2, &minutes);
    if (at == NULL || *at != '\0' || hours > 14 || minutes > 59)
        return false;
    *offset_s = (int64_t)(hours * 60 + minutes) * (is_west ? -60 : 60);
    return true;
}

/* A date that the calendar has: its days since 1970 turn into itself again. */
static bool
is_date(int year, int month, int day, int64_t *days)
{
    int y;
    unsigned m;
    unsigned d;

    if (year < YEAR_FIRST || month < 1 || month > 12 || day < 1 || day > 31)
        return false;
    *days = clock_days_from_civil(year, (unsigned)month, (unsigned)day);
    clock_civil_from_days(*days, &y, &m, &d);
    return y == year && m == (unsigned)month && d == (unsigned)day;
}

/* What nanoseconds in 64 bits cannot hold (from the year 2262 on) is "never". */
static int64_t
to_ns(int64_t seconds, int64_t ns)
{
    return seconds < INT64_MAX / NS_PER_S ? seconds * NS_PER_S + ns : INT64_MAX;
}

static const char *
read_time(const char *text, int64_t *real_ns)
{
    const char *at;
    int64_t offset_s;
    int64_t days;
    int64_t ns;
    int date[3];
    int time[3];

    at = take_mark(take_digits(text, 4, &date[0]), '-');
    at = take_mark(take_digits(at, 2, &date[1]), '-');
    at = take_digits(at, 2, &date[2]);
    at = take_mark(at, 'T');
    at = take_mark(take_digits(at, 2, &time[0]), ':');
    at = take_mark(take_digits(at, 2, &time[1]), ':');
    at = take_fraction(take_digits(at, 2, &time[2]), &ns);
    if (!take_zone(at, &offset_s))
        return bad_time;
    if (!is_date(date[0], date[1], date[2], &days) || time[0] > 23 || time[1] > 59 || time[2] > 59)
        return "is no time that a calendar has, in the years 1970 to 9999";
    *real_ns = to_ns(days * DAY_S + time[0] * 3600 + time[1] * 60 + time[2] - offset_s, ns);
    return *real_ns >= 0 ? NULL : "is a time before 1970";
}

const char *
bounds_time(const char *text, int64_t *real_ns)
{
    size_t n = strspn(text, "0123456789");
    int64_t seconds = 0;
    int64_t ns;
    const char *end;

    if (n == 0 || (text[n] != '\0' && text[n] != '.'))
        return read_time(text, real_ns);
    if (n > EPOCH_DIGITS)
        return "is no number of seconds since 1970 of a year with four digits";
    for (size_t i = 0; i < n; i++)
        seconds = seconds * 10 + (text[i] - '0');
    end = take_fraction(text + n, &ns);
    if (end == NULL || *end != '\0')
        return bad_time;
    *real_ns = to_ns(seconds, ns);
    return NULL;
}

/* ---- places in the log ---- */

static bool
read_lsn(const char *text, uint8_t lsn[LSN_SIZE])
{
    char split[LSN_DIGITS + 3];

    if (position_lsn_parse(text, lsn) == 0)
        return true;
    if (strncmp(text, "0x", 2) != 0 || strlen(text + 2) != LSN_DIGITS)
        return false;
    (void)snprintf(split, sizeof(split), "%.8s:%.8s:%.4s", text + 2, text + 10, text + 18);
    return position_lsn_parse(split, lsn) == 0;
}

/* Everything below the LSN is complete: the transaction that committed there is the next. */
static void
before_lsn(uint8_t lsn[LSN_SIZE], struct position *out)
{
    static const uint8_t none[LSN_SIZE];

    if (memcmp(lsn, none, LSN_SIZE) == 0) {
        *out = (struct position){.b = {0}};
        return;
    }
    for (int i = LSN_SIZE - 1; i >= 0; i--)
        if (lsn[i]-- != 0)
            break;
    position_lsn_complete(lsn, out);
}

/* "checkpoint:V1#27#00000014:00000061:0001#0#0#*#0#93": the third field is the source's own. */
static const char *
checkpoint_start(const char *text, struct start_bound *out)
{
    char native[64];
    uint8_t lsn[LSN_SIZE];
    const char *at = text + strlen(CHECKPOINT);

    if (strncmp(at, "V1#", 3) != 0)
        return "is a checkpoint of DMS, but not of version 1 (checkpoint:V1#...)";
    for (int i = 0; i < NATIVE_FIELD && at != NULL; i++) {
        at = strchr(at, '#');
        if (at != NULL)
            at++;
    }
    if (at == NULL)
        return "is a checkpoint of DMS without the position of its source (its third field)";
    (void)snprintf(native, sizeof(native), "%.*s", (int)strcspn(at, "#"), at);
    if (!read_lsn(native, lsn))
        return "is a checkpoint of DMS whose third field is no LSN of SQL Server; begin at a time "
               "instead";
    out->kind = START_POSITION;
    before_lsn(lsn, &out->position);
    return NULL;
}

const char *
bounds_start(const char *text, struct start_bound *out)
{
    uint8_t lsn[LSN_SIZE];

    *out = (struct start_bound){.kind = START_NONE};
    if (text[0] == '\0')
        return NULL;
    if (strcmp(text, "now") == 0) {
        out->kind = START_NOW;
    } else if (strcmp(text, "earliest") == 0) {
        out->kind = START_EARLIEST;
    } else if (strncmp(text, CHECKPOINT, strlen(CHECKPOINT)) == 0) {
        return checkpoint_start(text, out);
    } else if (read_lsn(text, lsn)) {
        out->kind = START_POSITION;
        before_lsn(lsn, &out->position);
    } else if (position_from_text(text, &out->position) == 0) {
        /* A loaded row stands behind the place where its load joined the log. */
        out->kind = START_POSITION;
        position_chunk_behind(&out->position, 0, &out->position);
    } else if (read_time(text, &out->real_ns) == NULL) {
        out->kind = START_TIME;
    } else {
        return "is none of now, earliest, a UTC time (2026-03-05T08:00:00), an LSN "
               "(00000014:00000061:0001, or 0x and 20 hexadecimal digits), a stream-position of a "
               "message, a checkpoint of DMS";
    }
    return NULL;
}

/* DMS's own examples have a blank behind the colon here and there. */
static bool
after_prefix(const char *text, const char *prefix, const char **rest)
{
    size_t n = strlen(prefix);

    if (strncmp(text, prefix, n) != 0)
        return false;
    *rest = text + n + strspn(text + n, " ");
    return true;
}

const char *
bounds_stop(const char *text, struct stop_bound *out)
{
    uint8_t lsn[LSN_SIZE];
    const char *time;

    *out = (struct stop_bound){.kind = STOP_NONE};
    if (text[0] == '\0')
        return NULL;
    if (after_prefix(text, COMMIT_PREFIX, &time)) {
        out->kind = STOP_COMMIT_TIME;
        return read_time(time, &out->real_ns);
    }
    if (after_prefix(text, SERVER_PREFIX, &time)) {
        out->kind = STOP_SERVER_TIME;
        return read_time(time, &out->real_ns);
    }
    out->kind = STOP_POSITION;
    if (read_lsn(text, lsn))
        position_lsn_complete(lsn, &out->position);
    else if (position_from_text(text, &out->position) != 0)
        return read_time(text, &out->real_ns) == NULL
                   ? "is a time; say which one: commit_time:... or server_time:..."
                   : "is none of commit_time:2026-03-05T08:00:00, server_time:2026-03-05T08:00:00 "
                     "(UTC), an LSN (00000014:00000061:0001), a stream-position of a message";
    return NULL;
}

const char *
bounds_start_text(const struct position *p, char *buf)
{
    struct position next = *p;
    struct position all;

    position_lsn_complete(p->b, &all);
    position_chunk_behind(&next, 0, &next);
    if (position_compare(&next, &all) == 0) {
        for (int i = LSN_SIZE - 1; i >= 0; i--)
            if (++next.b[i] != 0)
                break;
        (void)position_text(&next, buf);
        buf[strcspn(buf, ".")] = '\0';
    } else {
        (void)position_text(p, buf);
    }
    return buf;
}
