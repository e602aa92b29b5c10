/*
 * client_internal - what the client's own files share.  Included by shipper/kinesis/ only.
 */
#ifndef WEIR_KINESIS_CLIENT_INTERNAL_H
#define WEIR_KINESIS_CLIENT_INTERNAL_H

#include "common/aws/credentials.h"
#include "common/aws/endpoint.h"
#include "common/aws/http.h"
#include "common/aws/renewal.h"
#include "common/aws/sigv4.h"
#include "shipper/kinesis/client.h"

#include <jansson.h>

/* A PutRecords call under way or finished, one for each of the pool's calls. */
struct put {
    struct http_call *call;
    void *tag;
    size_t n;
    struct put *next; /* in the list of finished ones */
    struct target_result results[TARGET_MAX_RECORDS];
};

/* Where a refresh in the background stands. */
enum refresh_step { REFRESH_IDLE, REFRESH_DESCRIBE, REFRESH_LIST };

struct shard_list {
    struct target_shard *shards;
    size_t n;
    size_t capacity;
    char *next_token; /* NULL = that was the last page */
};

struct kinesis {
    struct aws_stream_arn arn;
    struct aws_endpoint endpoint;
    struct http *http;
    struct sigv4_signer signer;
    struct credentials credentials;
    struct renewal *renewal;
    int64_t renew_real_ns; /* when to look for newer ones */
    bool has_credentials;
    bool is_stale;          /* the service refused them: others are being looked for */
    int64_t offset_ns;      /* service's clock minus ours; 0 while within the Date's accuracy */
    int64_t told_offset_ns; /* of which a warning was written */

    uint32_t n_puts; /* the pool has one call more, for control */
    uint32_t puts_busy;
    struct put *puts;
    struct put *finished_head;
    struct put *finished_tail;
    struct put *shown; /* its answer is with the caller */
    struct target_answer answer;

    struct http_call *control; /* NULL = none under way */
    const char *control_what;
    bool control_done;

    enum refresh_step refresh;
    struct kinesis_stream refresh_stream;
    struct shard_list refresh_list;
};

/* client.c */

/* Signs and starts what stands in call->request. */
int client_start(struct kinesis *k, struct http_call *call, const char *operation, bool fresh,
                 struct err *e);
/* Takes the finished calls from the HTTP client: control apart, puts into their list. */
void client_collect(struct kinesis *k);
/* Learns the clock's offset from an answer. */
void client_learn_clock(struct kinesis *k, const struct http_call *call);

/* control.c */

/* Consumes request; a new reference to the answer, or NULL. */
json_t *control_ask(struct kinesis *k, const char *operation, json_t *request, struct err *e);
/* ERR_PROTOCOL: the answer has the form of JSON and not that of what was asked for. */
int control_no_sense(const struct kinesis *k, const char *what, struct err *e);

#endif
