/*
 * service - from one HTTP request to one HTTP answer, and everything the server remembers.
 *
 * The connection layer (server.h) hands over complete requests and carries out what the answer
 * asks for: a delay, a dropped connection.  One thread.
 */
#ifndef KINESISD_SERVICE_H
#define KINESISD_SERVICE_H

#include "tests/kinesisd/account.h"
#include "tests/kinesisd/bytes.h"
#include "tests/kinesisd/hostile.h"
#include "tests/kinesisd/http.h"
#include "tests/kinesisd/putbody.h"

struct digest;
struct history;
struct signature;

/* Largest body read: 10 MiB of data in base64 and room for keys and JSON around it. */
#define SERVICE_BODY_MAX ((size_t)24 * 1024 * 1024)

struct service_counters {
    uint64_t connections;
    uint64_t requests;
    uint64_t put_requests;
    uint64_t records; /* accepted */
    uint64_t bytes;   /* data and keys accepted */
    uint64_t throttled;
    uint64_t injected; /* records failed by a rule */
    uint64_t refused;  /* whole requests answered with 4xx */
    uint64_t signature_failures;
    uint64_t lost_answers;
    uint64_t read_records;
};

struct service {
    struct account account;
    struct digest *digest;
    struct signature *signature;
    struct history *history; /* NULL = none */
    struct hostile hostile;
    struct service_counters counters;
    struct putbody put;
    struct bytes body; /* of the answer being made */
    struct bytes text; /* scratch for messages */
    bool throttles_writes;
    bool throttles_reads;
    bool distributes; /* streams say RecordDistributionStrategy AUTO */
    uint32_t shard_limit;
    uint32_t reshard_limit; /* UpdateShardCount calls per stream and day; 0 = none */
    int64_t iterator_ms;    /* life of an iterator */
    int64_t token_ms;       /* life of a NextToken */
    int64_t clock_offset_s; /* added to the Date header and to the clock signatures are held to */
    int64_t now_ms;         /* real time of this request; never falls */
    int64_t now_ns;         /* monotonic time of this request */
    uint64_t id_state;      /* generator of request ids */
    uint64_t token_key;     /* makes iterators and tokens of other processes invalid */
    int64_t date_s;         /* second of the cached Date header */
    char date[64];
};

/* What the connection layer must do after putting the answer out. */
struct service_answer {
    enum hostile_ending ending;
    int64_t delay_ms;
};

/* Defaults of AWS; region and account must be set before streams are added. */
void service_init(struct service *s, const char *account_id, const char *region);
void service_free(struct service *s);

/* Sets now_ms and now_ns and carries out changes that are due. */
void service_tick(struct service *s);

/*
 * Answers one request into out.  text holds the head, body the decoded body, which is used up.
 */
void service_handle(struct service *s, const struct http_head *head, const char *text, char *body,
                    size_t body_len, struct bytes *out, struct service_answer *answer);

/* Appends a plain answer for requests that never reach the service (400, 413, ...). */
void service_plain(struct service *s, int status, struct bytes *out);

#endif
