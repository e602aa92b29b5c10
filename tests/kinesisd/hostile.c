#include "tests/kinesisd/hostile.h"

#include "common/err.h"

#include <string.h>

static const char *const action_names[] = {
#define X(action, name) name,
    HOSTILE_ACTIONS(X)
#undef X
};

static const char *const mode_names[] = {"random", "suffix", "prefix", "all", "indexes"};

void
hostile_init(struct hostile *h)
{
    *h = (struct hostile){.seed = 1, .state = 1};
}

/* splitmix64: small, seedable, good enough for coins. */
static uint64_t
draw(struct hostile *h)
{
    uint64_t z = (h->state += 0x9e3779b97f4a7c15ULL);

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

static bool
coin(struct hostile *h, double probability)
{
    if (probability >= 1)
        return true;
    return (double)(draw(h) >> 11) * 0x1p-53 < probability;
}

/* ---- configuration ---- */

static int
find_name(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(names[i], name) == 0)
            return (int)i;
    }
    return -1;
}

static int
read_indexes(struct hostile_rule *r, json_t *list, struct err *e)
{
    size_t i;
    json_t *item;

    json_array_foreach(list, i, item)
    {
        if (!json_is_integer(item) || i == HOSTILE_INDEXES_MAX)
            return err_set(e, ERR_CONFIG, "rule: \"indexes\" is not a list of at most %d numbers",
                           HOSTILE_INDEXES_MAX);
        r->indexes[r->index_count++] = (uint32_t)json_integer_value(item);
    }
    return 0;
}

static int
read_rule(struct hostile_rule *r, json_t *from, struct err *e)
{
    const char *action = NULL;
    const char *operation = "PutRecords";
    const char *stream = "";
    const char *mode = NULL;
    const char *code = "";
    const char *message = "";
    const char *key = "";
    const char *holds = "";
    json_t *indexes = NULL;
    int committed = 0;
    json_error_t problem;
    json_int_t shard = -1;
    json_int_t skip = 0;
    json_int_t count = -1;
    json_int_t status = 500;
    json_int_t delay_ms = 0;
    json_int_t number = 0;
    int found;

    *r = (struct hostile_rule){.probability = 1, .fraction = 0.5};
    if (json_unpack_ex(from, &problem, JSON_STRICT,
                       "{s:s,s?s,s?s,s?I,s?I,s?I,s?F,s?s,s?F,s?b,s?s,s?s,s?I,s?I,s?I,s?s,s?s,s?o}",
                       "action", &action, "operation", &operation, "stream", &stream, "shard",
                       &shard, "skip", &skip, "count", &count, "probability", &r->probability,
                       "mode", &mode, "fraction", &r->fraction, "committed", &committed, "code",
                       &code, "message", &message, "status", &status, "ms", &delay_ms, "number",
                       &number, "key", &key, "holds", &holds, "indexes", &indexes) != 0)
        return err_set(e, ERR_CONFIG, "rule: %s", problem.text);
    found = find_name(action_names, HOSTILE_ACTION_COUNT, action);
    if (found < 0)
        return err_set(e, ERR_CONFIG, "rule: no action is called \"%s\"", action);
    r->action = (enum hostile_action)found;
    found = mode == NULL ? (indexes != NULL ? HOSTILE_INDEXES : HOSTILE_RANDOM)
                         : find_name(mode_names, 5, mode);
    if (found < 0)
        return err_set(e, ERR_CONFIG, "rule: no mode is called \"%s\"", mode);
    r->mode = (enum hostile_mode)found;
    r->is_committed = committed != 0;
    r->shard = shard;
    r->skip = skip;
    r->count = count;
    r->status = status;
    r->delay_ms = delay_ms;
    r->number = number;
    (void)snprintf(r->operation, sizeof(r->operation), "%s", operation);
    (void)snprintf(r->stream, sizeof(r->stream), "%s", stream);
    (void)snprintf(r->code, sizeof(r->code), "%s", code);
    (void)snprintf(r->message, sizeof(r->message), "%s", message);
    (void)snprintf(r->key, sizeof(r->key), "%s", key);
    (void)snprintf(r->holds, sizeof(r->holds), "%s", holds);
    return indexes == NULL ? 0 : read_indexes(r, indexes, e);
}

int
hostile_configure(struct hostile *h, json_t *request, struct err *e)
{
    json_t *seed = json_object_get(request, "seed");
    json_t *rules = json_object_get(request, "rules");
    struct hostile_rule parsed[HOSTILE_RULES_MAX];
    size_t n = json_is_true(json_object_get(request, "clear")) ? 0 : h->count;
    size_t i;
    json_t *rule;

    if (rules != NULL && !json_is_array(rules))
        return err_set(e, ERR_CONFIG, "\"rules\" is not a list");
    if (json_array_size(rules) + n > HOSTILE_RULES_MAX)
        return err_set(e, ERR_CONFIG, "more than %d rules", HOSTILE_RULES_MAX);
    /* All or nothing: a half-taken request would make a test lie. */
    json_array_foreach(rules, i, rule)
    {
        if (read_rule(&parsed[i], rule, e) != 0)
            return -1;
    }
    if (rules != NULL)
        (void)memcpy(&h->rules[n], parsed, json_array_size(rules) * sizeof(parsed[0]));
    h->count = n + json_array_size(rules);
    if (json_is_integer(seed))
        h->seed = h->state = (uint64_t)json_integer_value(seed);
    return 0;
}

json_t *
hostile_report(const struct hostile *h)
{
    json_t *list = json_array();

    for (size_t i = 0; i < h->count; i++) {
        const struct hostile_rule *r = &h->rules[i];

        (void)json_array_append_new(
            list,
            json_pack("{s:s,s:s,s:s,s:I,s:I,s:I}", "action", action_names[r->action], "operation",
                      r->operation, "stream", r->stream, "matched", (json_int_t)r->matched, "hits",
                      (json_int_t)r->hits, "left", (json_int_t)r->count));
    }
    return list;
}

/* ---- judgement ---- */

static bool
fires(struct hostile *h, struct hostile_rule *r, const char *operation, const char *stream)
{
    if (strcmp(r->operation, "*") != 0 && strcmp(r->operation, operation) != 0)
        return false;
    if (r->stream[0] != '\0' && strcmp(r->stream, stream) != 0)
        return false;
    r->matched++;
    if (r->skip > 0) {
        r->skip--;
        return false;
    }
    if (r->count == 0 || !coin(h, r->probability))
        return false;
    if (r->count > 0)
        r->count--;
    r->hits++;
    return true;
}

static void
end_with(struct hostile_verdict *v, enum hostile_ending ending)
{
    if (v->ending == ENDING_ANSWER)
        v->ending = ending;
}

static void
apply(struct hostile_verdict *v, struct hostile_rule *r)
{
    switch (r->action) {
    case HOSTILE_FAIL_RECORDS:
        v->records = v->records == NULL ? r : v->records;
        break;
    case HOSTILE_ERROR:
    case HOSTILE_HTML:
    case HOSTILE_EXPIRED_TOKEN:
        v->error = v->error == NULL ? r : v->error;
        break;
    case HOSTILE_LOST_ANSWER:
        end_with(v, ENDING_LOST);
        break;
    case HOSTILE_CUT_ANSWER:
        end_with(v, ENDING_CUT);
        break;
    case HOSTILE_DROP:
        end_with(v, ENDING_DROP);
        break;
    case HOSTILE_RESET:
        end_with(v, ENDING_RESET);
        break;
    case HOSTILE_DELAY:
        v->delay_ms += r->delay_ms;
        break;
    case HOSTILE_WRONG_COUNT:
        v->count_change = r->number;
        break;
    case HOSTILE_LIE:
        v->lies = true;
        v->lie = r->number;
        break;
    case HOSTILE_POISON:
        v->poison = v->poison == NULL ? r : v->poison;
        break;
    case HOSTILE_ACTION_COUNT:
        break;
    }
}

void
hostile_judge(struct hostile *h, const char *operation, const char *stream,
              struct hostile_verdict *out)
{
    *out = (struct hostile_verdict){.ending = ENDING_ANSWER};
    for (size_t i = 0; i < h->count; i++) {
        if (fires(h, &h->rules[i], operation, stream))
            apply(out, &h->rules[i]);
    }
}

bool
hostile_fails(struct hostile *h, const struct hostile_rule *r, const struct hostile_record *of)
{
    if (r->shard >= 0 && r->shard != (int64_t)of->shard)
        return false;
    if (r->key[0] != '\0' &&
        (strlen(r->key) != of->key_len || memcmp(r->key, of->key, of->key_len) != 0))
        return false;
    switch (r->mode) {
    case HOSTILE_RANDOM:
        return coin(h, r->fraction);
    case HOSTILE_SUFFIX:
        return (double)(of->n - of->i) <= r->fraction * (double)of->n;
    case HOSTILE_PREFIX:
        return (double)of->i < r->fraction * (double)of->n;
    case HOSTILE_ALL:
        return true;
    case HOSTILE_INDEXES:
        for (size_t k = 0; k < r->index_count; k++) {
            if (r->indexes[k] == of->i)
                return true;
        }
        return false;
    }
    return false;
}
