#include "shipper/kinesis/put_answer.h"

#define MAX_DEPTH 16

struct cursor {
    const char *at;
    const char *end;
};

struct span {
    const char *text;
    size_t size;
};

static void
skip_blanks(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
        c->at++;
}

/* Takes one punctuation mark. */
static bool
take(struct cursor *c, char mark)
{
    skip_blanks(c);
    if (c->at == c->end || *c->at != mark)
        return false;
    c->at++;
    return true;
}

static bool
next_is(struct cursor *c, char mark)
{
    skip_blanks(c);
    return c->at < c->end && *c->at == mark;
}

/* The raw text between the quotes: escapes stay as they are. */
static bool
take_string(struct cursor *c, struct span *out)
{
    const char *start;

    if (!take(c, '"'))
        return false;
    start = c->at;
    while (c->at < c->end && *c->at != '"') {
        if ((unsigned char)*c->at < 0x20)
            return false;
        c->at += *c->at == '\\' ? 2 : 1;
    }
    if (c->at >= c->end)
        return false;
    *out = (struct span){start, (size_t)(c->at - start)};
    c->at++;
    return true;
}

/* null, true, false or a number: told apart by whoever cares. */
static bool
take_word(struct cursor *c, struct span *out)
{
    const char *start;

    skip_blanks(c);
    start = c->at;
    while (c->at < c->end &&
           ((*c->at >= 'a' && *c->at <= 'z') || (*c->at >= '0' && *c->at <= '9') || *c->at == '-' ||
            *c->at == '+' || *c->at == '.' || *c->at == 'E'))
        c->at++;
    *out = (struct span){start, (size_t)(c->at - start)};
    return out->size > 0;
}

/* Any value, looked at no further than needed to find its end. */
static bool
skip_value(struct cursor *c, unsigned depth)
{
    struct span ignored;
    bool is_object = next_is(c, '{');
    char closing = is_object ? '}' : ']';

    if (next_is(c, '"'))
        return take_string(c, &ignored);
    if (!is_object && !next_is(c, '['))
        return take_word(c, &ignored);
    if (depth == MAX_DEPTH)
        return false;
    c->at++;
    if (take(c, closing))
        return true;
    do {
        if (is_object && (!take_string(c, &ignored) || !take(c, ':')))
            return false;
        if (!skip_value(c, depth + 1))
            return false;
    } while (take(c, ','));
    return take(c, closing);
}

static bool
span_is(struct span s, const char *text)
{
    return s.size == strlen(text) && memcmp(s.text, text, s.size) == 0;
}

/* A string, or null for "absent". */
static bool
take_string_or_null(struct cursor *c, struct span *out)
{
    *out = (struct span){NULL, 0};
    if (next_is(c, '"'))
        return take_string(c, out);
    if (!take_word(c, out) || !span_is(*out, "null"))
        return false;
    *out = (struct span){NULL, 0};
    return true;
}

static bool
is_sequence(struct span s)
{
    if (s.size >= KINESIS_SEQUENCE_SIZE)
        return false;
    for (size_t i = 0; i < s.size; i++) {
        if (s.text[i] < '0' || s.text[i] > '9')
            return false;
    }
    return true;
}

static enum target_outcome
outcome_of(struct span code)
{
    if (span_is(code, "ProvisionedThroughputExceededException") ||
        span_is(code, "KMSThrottlingException"))
        return TARGET_THROTTLED;
    if (span_is(code, "InternalFailure"))
        return TARGET_INTERNAL;
    return TARGET_OTHER;
}

static bool
take_entry(struct cursor *c, struct target_result *out)
{
    struct span sequence = {NULL, 0};
    struct span shard = {NULL, 0};
    struct span code = {NULL, 0};
    struct span name;

    if (!take(c, '{'))
        return false;
    do {
        bool ok;

        if (!take_string(c, &name) || !take(c, ':'))
            return false;
        if (span_is(name, "SequenceNumber"))
            ok = take_string_or_null(c, &sequence);
        else if (span_is(name, "ShardId"))
            ok = take_string_or_null(c, &shard);
        else if (span_is(name, "ErrorCode"))
            ok = take_string_or_null(c, &code);
        else
            ok = skip_value(c, 0);
        if (!ok)
            return false;
    } while (take(c, ','));
    if (!take(c, '}') || !is_sequence(sequence))
        return false;
    /* Neither number nor code is no outcome at all. */
    if (sequence.size == 0 && code.size == 0)
        return false;
    *out = (struct target_result){
        .outcome = sequence.size > 0 ? TARGET_STORED : outcome_of(code),
        .text = sequence.size > 0 ? sequence.text : code.text,
        .text_size = (uint32_t)(sequence.size > 0 ? sequence.size : code.size),
        .shard_id = shard.text,
        .shard_id_size = (uint32_t)(sequence.size > 0 ? shard.size : 0),
    };
    return true;
}

/* False when the text is no array of entries; *seen counts them, those too many included. */
static bool
take_entries(struct cursor *c, struct target_result *results, size_t n, size_t *seen)
{
    struct target_result surplus;

    *seen = 0;
    if (!take(c, '['))
        return false;
    if (take(c, ']'))
        return true;
    do {
        if (!take_entry(c, *seen < n ? &results[*seen] : &surplus))
            return false;
        (*seen)++;
    } while (take(c, ','));
    return take(c, ']');
}

int
put_answer_read(const char *body, size_t size, struct target_result *results, size_t n,
                struct err *e)
{
    struct cursor c = {body, body + size};
    struct span name;
    size_t seen = 0;
    bool ok = take(&c, '{');

    do {
        ok = ok && take_string(&c, &name) && take(&c, ':');
        if (ok && span_is(name, "Records"))
            ok = take_entries(&c, results, n, &seen);
        else if (ok)
            ok = skip_value(&c, 0);
    } while (ok && take(&c, ','));
    ok = ok && take(&c, '}');
    skip_blanks(&c);
    if (!ok || c.at != c.end)
        return err_set(e, ERR_PROTOCOL,
                       "an answer of %zu bytes is not one of PutRecords: it makes no sense from "
                       "byte %zu on",
                       size, (size_t)(c.at - body));
    if (seen != n)
        return err_set(e, ERR_PROTOCOL, "an answer has %zu records, the request had %zu", seen, n);
    return 0;
}
