#include "tests/kinesisd/control.h"

#include "common/err.h"
#include "tests/kinesisd/service.h"

#include <jansson.h>

static void
write_json(json_t *json, struct bytes *out)
{
    size_t need = json_dumpb(json, NULL, 0, JSON_COMPACT);

    out->len = 0;
    (void)json_dumpb(json, bytes_reserve(out, need), need, JSON_COMPACT);
    out->len = need;
    json_decref(json);
}

static json_t *
number(uint64_t v)
{
    return json_integer((json_int_t)v);
}

static json_t *
report_stream(const struct stream *s)
{
    json_t *shards = json_array();

    for (uint32_t i = 0; i < s->shard_count; i++) {
        const struct shard *sh = s->shards[i];

        (void)json_array_append_new(
            shards,
            json_pack("{s:s,s:o,s:o,s:o,s:o,s:b}", "shard", sh->id, "records", number(sh->log.next),
                      "kept", number(sh->log.next - sh->log.first), "bytes", number(sh->log.bytes),
                      "throttled", number(sh->throttled), "closed", sh->is_closed));
    }
    return json_pack("{s:s,s:o}", "status", stream_status_name(s), "shards", shards);
}

static json_t *
report(const struct service *s)
{
    const struct service_counters *c = &s->counters;
    json_t *streams = json_object();
    json_t *j =
        json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "connections",
                  number(c->connections), "requests", number(c->requests), "put_requests",
                  number(c->put_requests), "records", number(c->records), "bytes", number(c->bytes),
                  "throttled", number(c->throttled), "injected", number(c->injected), "refused",
                  number(c->refused), "signature_failures", number(c->signature_failures),
                  "lost_answers", number(c->lost_answers), "read_records", number(c->read_records));

    for (size_t i = 0; i < s->account.stream_count; i++)
        (void)json_object_set_new(streams, s->account.streams[i]->name,
                                  report_stream(s->account.streams[i]));
    return json_pack("{s:o,s:o,s:o}", "counters", j, "streams", streams, "rules",
                     hostile_report(&s->hostile));
}

/* "throttle": rates go to every stream, or to the one named. */
static int
set_throttle(struct service *s, json_t *throttle, struct err *e)
{
    json_error_t problem;
    int writes = s->throttles_writes;
    int reads = s->throttles_reads;
    json_int_t records = s->account.limits.shard_records_per_s;
    json_int_t bytes = s->account.limits.shard_bytes_per_s;
    const char *name = NULL;

    if (json_unpack_ex(throttle, &problem, JSON_STRICT, "{s?b,s?b,s?I,s?I,s?s}", "writes", &writes,
                       "reads", &reads, "records_per_s", &records, "bytes_per_s", &bytes, "stream",
                       &name) != 0)
        return err_set(e, ERR_CONFIG, "throttle: %s", problem.text);
    if (records < 1 || bytes < 1)
        return err_set(e, ERR_CONFIG, "throttle: rates must be positive");
    if (name != NULL && account_find(&s->account, name) == NULL)
        return err_set(e, ERR_CONFIG, "throttle: no stream is called \"%s\"", name);
    s->throttles_writes = writes != 0;
    s->throttles_reads = reads != 0;
    if (name == NULL) {
        s->account.limits.shard_records_per_s = records;
        s->account.limits.shard_bytes_per_s = bytes;
    }
    for (size_t i = 0; i < s->account.stream_count; i++) {
        struct stream *st = s->account.streams[i];

        if (name == NULL || strcmp(st->name, name) == 0)
            stream_set_rates(st, records, bytes);
    }
    return 0;
}

static int
configure(struct service *s, json_t *request, struct err *e)
{
    json_error_t problem;
    json_t *throttle = NULL;
    json_t *rules = NULL;
    json_int_t seed = 0;
    json_int_t offset_s = s->clock_offset_s;
    json_int_t iterator_ms = s->iterator_ms;
    json_int_t token_ms = s->token_ms;
    json_int_t delay_ms = s->account.state_delay_ms;
    json_int_t reshard_limit = s->reshard_limit;
    json_int_t shard_limit = s->shard_limit;
    int clear = 0;
    int reset_counters = 0;
    int distributes = s->distributes;

    if (json_unpack_ex(request, &problem, JSON_STRICT,
                       "{s?o,s?o,s?b,s?I,s?I,s?I,s?I,s?I,s?I,s?I,s?b,s?b}", "throttle", &throttle,
                       "rules", &rules, "clear", &clear, "seed", &seed, "clock_offset_s", &offset_s,
                       "iterator_ms", &iterator_ms, "token_ms", &token_ms, "state_delay_ms",
                       &delay_ms, "reshard_limit", &reshard_limit, "shard_limit", &shard_limit,
                       "reset_counters", &reset_counters, "distributes", &distributes) != 0)
        return err_set(e, ERR_CONFIG, "control: %s", problem.text);
    if (hostile_configure(&s->hostile, request, e) != 0)
        return -1;
    if (throttle != NULL && set_throttle(s, throttle, e) != 0)
        return -1;
    s->clock_offset_s = offset_s;
    s->iterator_ms = iterator_ms;
    s->token_ms = token_ms;
    s->account.state_delay_ms = delay_ms;
    s->reshard_limit = (uint32_t)reshard_limit;
    s->shard_limit = (uint32_t)shard_limit;
    s->distributes = distributes != 0;
    if (reset_counters)
        s->counters = (struct service_counters){0};
    return 0;
}

int
control_handle(struct service *s, bool is_post, const char *body, size_t body_len,
               struct bytes *out)
{
    struct err e = ERR_INIT;
    json_error_t problem;
    json_t *request;
    int status = 200;

    if (is_post) {
        request = json_loadb(body, body_len, JSON_REJECT_DUPLICATES, &problem);
        if (request == NULL)
            (void)err_set(&e, ERR_CONFIG, "control: line %d: %s", problem.line, problem.text);
        if (request == NULL || configure(s, request, &e) != 0)
            status = 400;
        json_decref(request);
    }
    write_json(status == 200 ? report(s) : json_pack("{s:s}", "error", e.text), out);
    return status;
}
