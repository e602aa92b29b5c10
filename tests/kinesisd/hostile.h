/*
 * hostile - faults on demand: rules that decide, request by request, what goes wrong.
 *
 * A rule names an operation, optionally a stream and a shard, and an action; it lets `skip`
 * matching requests pass, then fires `count` times (-1 = for ever) with `probability`.  All
 * randomness comes from one seeded generator, so a run can be repeated.  Rules are tried in the
 * order they were given and add up; of two that contradict each other the first wins.
 */
#ifndef KINESISD_HOSTILE_H
#define KINESISD_HOSTILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define HOSTILE_RULES_MAX   32
#define HOSTILE_INDEXES_MAX 64
#define HOSTILE_TEXT_MAX    256

/* X(enum, name in JSON) */
#define HOSTILE_ACTIONS(X)                                                                         \
    X(HOSTILE_FAIL_RECORDS, "fail_records")                                                        \
    X(HOSTILE_ERROR, "error")                                                                      \
    X(HOSTILE_HTML, "html")                                                                        \
    X(HOSTILE_LOST_ANSWER, "lost_answer")                                                          \
    X(HOSTILE_CUT_ANSWER, "cut_answer")                                                            \
    X(HOSTILE_DROP, "drop")                                                                        \
    X(HOSTILE_RESET, "reset")                                                                      \
    X(HOSTILE_DELAY, "delay")                                                                      \
    X(HOSTILE_WRONG_COUNT, "wrong_count")                                                          \
    X(HOSTILE_LIE, "lie_failed_count")                                                             \
    X(HOSTILE_EXPIRED_TOKEN, "expired_token")                                                      \
    X(HOSTILE_POISON, "poison")

enum hostile_action {
#define X(action, name) action,
    HOSTILE_ACTIONS(X)
#undef X
        HOSTILE_ACTION_COUNT
};

enum hostile_mode { HOSTILE_RANDOM, HOSTILE_SUFFIX, HOSTILE_PREFIX, HOSTILE_ALL, HOSTILE_INDEXES };

struct hostile_rule {
    enum hostile_action action;
    char operation[64]; /* "*" = every one */
    char stream[132];   /* "" = every one */
    int64_t shard;      /* fail_records: -1 = every one */
    int64_t skip;
    int64_t count; /* firings left, -1 = no end */
    double probability;
    int64_t hits;
    int64_t matched;
    enum hostile_mode mode;
    double fraction;   /* of records, for random, suffix and prefix */
    bool is_committed; /* fail_records: stored all the same; error: carried out all the same */
    char code[64];
    char message[HOSTILE_TEXT_MAX]; /* "" = AWS's text */
    char key[HOSTILE_TEXT_MAX];     /* fail_records: of this partition key only; "" = every one */
    char holds[HOSTILE_TEXT_MAX];   /* poison: what the data of the refused record holds */
    int64_t status;
    int64_t delay_ms;
    int64_t number; /* wrong_count: entries added or removed; lie: the FailedRecordCount told */
    uint32_t indexes[HOSTILE_INDEXES_MAX];
    size_t index_count;
};

struct hostile {
    struct hostile_rule rules[HOSTILE_RULES_MAX];
    size_t count;
    uint64_t seed;
    uint64_t state; /* of the generator */
};

/* How the connection ends. */
enum hostile_ending {
    ENDING_ANSWER, /* properly */
    ENDING_DROP,   /* closed without an answer, nothing carried out */
    ENDING_LOST,   /* carried out, closed without an answer */
    ENDING_CUT,    /* carried out, closed half-way through the answer */
    ENDING_RESET,  /* RST, nothing carried out */
};

/* What the rules say of one request. */
struct hostile_verdict {
    enum hostile_ending ending;
    int64_t delay_ms;
    struct hostile_rule *error;   /* error, html or expired_token; NULL = none */
    struct hostile_rule *records; /* fail_records */
    struct hostile_rule *poison;  /* refuses the request that holds the record */
    int64_t count_change;
    bool lies;
    int64_t lie;
};

void hostile_init(struct hostile *h);

/* Takes "rules" (appended), "clear" and "seed" from a control request. */
int hostile_configure(struct hostile *h, json_t *request, struct err *e);

/* Rules and their hits, for GET /control.  A new reference. */
json_t *hostile_report(const struct hostile *h);

/* Judges a request; stream may be "". */
void hostile_judge(struct hostile *h, const char *operation, const char *stream,
                   struct hostile_verdict *out);

/* A record of a request, as far as rules look at it. */
struct hostile_record {
    size_t i; /* of n */
    size_t n;
    uint32_t shard; /* where it goes */
    const char *key;
    size_t key_len;
};

/* True when the record is to fail by this rule. */
bool
hostile_fails(struct hostile *h, const struct hostile_rule *r, const struct hostile_record *of);

#endif
