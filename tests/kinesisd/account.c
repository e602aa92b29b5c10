#include "tests/kinesisd/account.h"

#include "common/err.h"
#include "tests/kinesisd/bytes.h"

bool
account_name_is_valid(const char *name)
{
    size_t len = strlen(name);

    return len >= 1 && len <= STREAM_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == len;
}

struct stream *
account_find(const struct account *a, const char *name)
{
    for (size_t i = 0; i < a->stream_count; i++) {
        if (strcmp(a->streams[i]->name, name) == 0)
            return a->streams[i];
    }
    return NULL;
}

struct stream *
account_add(struct account *a, const char *name, uint32_t shards, int64_t now_ms, int64_t delay_ms)
{
    char arn[STREAM_ARN_MAX];
    struct stream *s;
    size_t at = 0;

    CHECK(account_name_is_valid(name) && account_find(a, name) == NULL);
    (void)snprintf(arn, sizeof(arn), "arn:aws:kinesis:%s:%s:stream/%s", a->region, a->id, name);
    s = stream_new(name, arn, shards, &a->limits, now_ms, now_ms + delay_ms);
    a->streams = bytes_realloc(a->streams, (a->stream_count + 1) * sizeof(struct stream *));
    while (at < a->stream_count && strcmp(a->streams[at]->name, name) < 0)
        at++;
    (void)memmove(a->streams + at + 1, a->streams + at,
                  (a->stream_count - at) * sizeof(struct stream *));
    a->streams[at] = s;
    a->stream_count++;
    return s;
}

void
account_advance(struct account *a, int64_t now_ms)
{
    size_t kept = 0;

    for (size_t i = 0; i < a->stream_count; i++) {
        if (stream_advance(a->streams[i], now_ms))
            a->streams[kept++] = a->streams[i];
        else
            stream_free(&a->streams[i]);
    }
    a->stream_count = kept;
}

uint32_t
account_open_shards(const struct account *a)
{
    uint32_t n = 0;

    for (size_t i = 0; i < a->stream_count; i++)
        n += a->streams[i]->open_count;
    return n;
}

void
account_free(struct account *a)
{
    for (size_t i = 0; i < a->stream_count; i++)
        stream_free(&a->streams[i]);
    free(a->streams);
    a->streams = NULL;
    a->stream_count = 0;
}
