/*
 * api - the operations of Kinesis_20131202, and what they share.
 *
 * An operation reads its arguments from call->args (PutRecord and PutRecords: from svc->put),
 * and writes the answer's JSON into svc->body.  An operation refuses with call_refuse() and
 * returns; the first refusal counts.  Violated constraints are collected and told at once by
 * call_is_valid(), as AWS does.  Texts follow AWS where known.
 */
#ifndef KINESISD_API_H
#define KINESISD_API_H

#include "tests/kinesisd/service.h"

#include <jansson.h>

struct call {
    struct service *svc;
    const char *operation;
    json_t *args; /* NULL for the put calls */
    int status;   /* of the answer; 200 until refused */
    bool is_refused;
    unsigned violation_count;
    struct hostile_verdict verdict;
    char stream_name[STREAM_NAME_MAX + 1]; /* "" until known */
};

struct api_operation {
    const char *name;
    void (*run)(struct call *c);
    bool is_put; /* takes svc->put instead of args */
};

/* NULL when there is no such operation. */
const struct api_operation *api_find(const char *name, size_t len);

/* Answers with an error: 400 and {"__type":code,"message":...}. */
void call_refuse(struct call *c, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void call_fail(struct call *c, int status, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Collects "Value <value> at '<member>' failed to satisfy constraint: <rule>". value NULL: null. */
void call_violation(struct call *c, const char *member, const char *value, const char *rule);

/* Refuses with the collected violations.  False when the call is refused for whatever reason. */
bool call_is_valid(struct call *c);

/* Arguments.  A wrong JSON type refuses with SerializationException; absent gives NULL or false. */
const char *call_string(struct call *c, const char *name, bool is_required);
bool call_integer(struct call *c, const char *name, bool is_required, json_int_t low,
                  json_int_t high, json_int_t *out);
bool call_number(struct call *c, const char *name, double *out);
bool call_bool(struct call *c, const char *name);
json_t *call_object(struct call *c, const char *name);

/* A string that must be one of the names (NULL-terminated). */
const char *
call_choice(struct call *c, const char *name, bool is_required, const char *const *names);

/* The stream named by name or arn; refuses when there is none, or when both differ. */
struct stream *call_select(struct call *c, const char *name, const char *arn);

/* The same by the members StreamName and StreamARN. */
struct stream *call_stream(struct call *c);

/* Refuses unless the stream is ACTIVE. */
bool call_needs_active(struct call *c, const struct stream *s);

/* The shard of that id; refuses when there is none. */
struct shard *call_shard(struct call *c, const struct stream *s, const char *id);

/* Answers a permitted dry run; true when it was one. */
bool call_is_dry_run(struct call *c, bool dry_run);

/* Writes the JSON and drops the reference. */
void call_answer(struct call *c, json_t *json);

/* Opaque text that only this process accepts: kind, a number, a time and up to two texts. */
struct api_token {
    char kind; /* 'I' iterator, 'S' shard list */
    int64_t issued_ms;
    uint64_t number;
    uint64_t number2;
    char stream[STREAM_NAME_MAX + 1];
};
#define API_TOKEN_TEXT_MAX 320
void api_token_write(const struct service *s, const struct api_token *t, char *out);
/* 0 = ours, -1 = malformed or foreign. */
int api_token_read(const struct service *s, const char *text, char kind, struct api_token *out);

/* Shared parts of answers. */
json_t *api_shard_json(const struct shard *sh);
json_t *api_time(int64_t ms);

/* The operations, by file. */
void api_put_record(struct call *c); /* api_put.c */
void api_put_records(struct call *c);
void api_get_shard_iterator(struct call *c); /* api_read.c */
void api_get_records(struct call *c);
void api_list_shards(struct call *c); /* api_shards.c */
void api_split_shard(struct call *c);
void api_merge_shards(struct call *c);
void api_update_shard_count(struct call *c);
void api_create_stream(struct call *c); /* api_stream.c */
void api_delete_stream(struct call *c);
void api_describe_stream(struct call *c);
void api_describe_stream_summary(struct call *c);
void api_list_streams(struct call *c);
void api_describe_limits(struct call *c);
void api_update_max_record_size(struct call *c);
void api_update_stream_mode(struct call *c);

#endif
