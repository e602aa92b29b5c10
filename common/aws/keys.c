#include "common/aws/keys.h"

#include "common/aws/credentials.h"
#include "common/clock.h"
#include "common/err.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define LAST_YEAR 2261

/* ---- time ---- */

static bool
digits(const char **at, int n, int *out)
{
    *out = 0;
    for (int i = 0; i < n; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        *out = *out * 10 + (**at - '0');
    }
    return true;
}

static bool
sign(const char **at, const char *allowed)
{
    if (**at == '\0' || strchr(allowed, **at) == NULL)
        return false;
    (*at)++;
    return true;
}

/* "Z", "+01:00": seconds east of Greenwich. */
static bool
offset(const char **at, int *out)
{
    int east = **at == '-' ? -1 : 1;
    int hours;
    int minutes;

    *out = 0;
    if (sign(at, "Zz"))
        return true;
    if (!sign(at, "+-") || !digits(at, 2, &hours) || !sign(at, ":") || !digits(at, 2, &minutes))
        return false;
    *out = east * (hours * 3600 + minutes * 60);
    return true;
}

bool
keys_time(const char *text, int64_t *real_ns)
{
    int year;
    int month;
    int day;
    int hour;
    int minute;
    int second;
    int east;
    int64_t days;

    if (!digits(&text, 4, &year) || !sign(&text, "-") || !digits(&text, 2, &month) ||
        !sign(&text, "-") || !digits(&text, 2, &day) || !sign(&text, "Tt ") ||
        !digits(&text, 2, &hour) || !sign(&text, ":") || !digits(&text, 2, &minute) ||
        !sign(&text, ":") || !digits(&text, 2, &second))
        return false;
    if (sign(&text, "."))
        text += strspn(text, "0123456789");
    if (!offset(&text, &east) || *text != '\0' || year < 1970 || month < 1 || month > 12 ||
        day < 1 || day > 31)
        return false;
    /* Beyond what nanoseconds in 64 bits can count: as good as never. */
    if (year > LAST_YEAR) {
        *real_ns = INT64_MAX;
        return true;
    }
    days = clock_days_from_civil(year, (unsigned)month, (unsigned)day);
    *real_ns = (days * 86400 + hour * 3600 + minute * 60 + second - east) * NS_PER_S;
    return true;
}

/* ---- keys ---- */

int
keys_copy(char *to, size_t size, const char *from, const char *what, struct err *e)
{
    if (strlen(from) >= size)
        return err_set(e, ERR_CREDENTIALS, "%s has %zu characters, at most %zu expected", what,
                       strlen(from), size - 1);
    (void)snprintf(to, size, "%s", from);
    return 0;
}

static int
take(json_t *o, const char *token_name, const char *from, struct credentials *out, struct err *e)
{
    const char *id = json_string_value(json_object_get(o, "AccessKeyId"));
    const char *secret = json_string_value(json_object_get(o, "SecretAccessKey"));
    const char *token = json_string_value(json_object_get(o, token_name));
    const char *ends = json_string_value(json_object_get(o, "Expiration"));

    if (id == NULL || secret == NULL)
        return err_set(e, ERR_CREDENTIALS, "%s has no %s", from,
                       id == NULL ? "AccessKeyId" : "SecretAccessKey");
    if (keys_copy(out->access_key_id, sizeof(out->access_key_id), id, "AccessKeyId", e) != 0 ||
        keys_copy(out->secret, sizeof(out->secret), secret, "SecretAccessKey", e) != 0 ||
        keys_copy(out->token, sizeof(out->token), token != NULL ? token : "", token_name, e) != 0)
        return -1;
    out->expires_real_ns = 0;
    if (ends != NULL && !keys_time(ends, &out->expires_real_ns))
        return err_set(e, ERR_CREDENTIALS, "%s has an Expiration that is no time: \"%.40s\"", from,
                       ends);
    return 0;
}

int
keys_from_json(const char *text, const char *token_name, const char *from, struct credentials *out,
               struct err *e)
{
    json_t *o = json_loads(text, 0, NULL);
    int rc;

    if (!json_is_object(o)) {
        json_decref(o);
        return err_set(e, ERR_CREDENTIALS, "%s is not a JSON object", from);
    }
    rc = take(o, token_name, from, out, e);
    json_decref(o);
    return rc;
}
