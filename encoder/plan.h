/*
 * plan - what the encoder knows about one version of one table, worked out once.
 *
 * A message is mostly constant text.  The plan holds that text cut into fragments, escaped and
 * with separators, so that encoding a row is copying fragments and printing values.  All
 * fragments of a plan lie in one block with slack behind it: see fragment_put().
 *
 * Plans are made from the catalogue when an event first names a table and version, and live as
 * long as the process.
 */
#ifndef WEIR_ENCODER_PLAN_H
#define WEIR_ENCODER_PLAN_H

#include "common/event.h"
#include "common/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct err;
struct stats;
struct stats_table;
struct table_def;
struct task;

/* Bytes that may be read behind a fragment and written behind its copy. */
#define FRAGMENT_SLACK 32

struct fragment {
    uint32_t at; /* in plan.text */
    uint32_t size;
};

/* The four operations that carry a row, as indexes. */
enum plan_row { PLAN_LOAD, PLAN_INSERT, PLAN_UPDATE, PLAN_DELETE, PLAN_ROWS };

/* The control operations that tell of a changed definition, as indexes. */
#define PLAN_ALTERS           (EVENT_CHANGE_COLUMNS - EVENT_RENAME_TABLE + 1)
#define PLAN_ALTER(operation) ((operation)-EVENT_RENAME_TABLE)

struct plan_column {
    struct fragment name;   /* separator, name, colon */
    struct fragment quoted; /* the name alone */
    uint8_t scale;          /* fraction digits of times */
    bool is_trimmed;        /* blanks at the end are padding */
};

struct plan_control {
    struct fragment head; /* up to the timestamp */
    struct fragment tail;
};

/* A control record with texts of its own, as the event brings them: members of "weir-change". */
struct plan_alter {
    bool is_sent; /* the settings want it */
    uint8_t n_texts;
    struct fragment texts[EVENT_MAX_TEXTS]; /* separator, name, colon, quote */
    struct fragment tail;
};

/* A partition key that is the same for every record, with its hash. */
struct plan_key {
    struct fragment text;
    uint8_t hash[16];
};

struct plan {
    uint32_t table_id;
    uint32_t version;
    bool is_selected; /* by the mapping rules; others make no messages */
    uint16_t n_columns;
    struct plan_column *columns;
    uint16_t n_key; /* 0: the partition key is `table_key` */
    uint16_t *key;
    struct plan_key table_key;    /* "schema.table" */
    struct plan_key control_key;  /* "task.schema.table" */
    struct fragment key_prefix;   /* "schema.table.", or empty */
    bool has_plain_prefix;        /* an integer behind it makes a key that fits as it is */
    struct fragment empty_prefix; /* "schema.table.": a key of no characters is not allowed */
    struct fragment data_open;
    struct fragment metadata_open;
    struct fragment row_head[PLAN_ROWS]; /* behind the timestamp, to the key or the table name */
    bool has_key_value;
    struct fragment after_key;
    struct fragment transaction_id;
    struct fragment transaction_record_id;
    struct fragment previous_transaction_id;
    struct fragment previous_record_id;
    struct fragment commit_timestamp;
    struct fragment stream_position;
    struct fragment unavailable;
    struct fragment truncated;
    struct fragment end;
    struct plan_control create_table;
    struct plan_control drop_table;
    bool is_drop_sent;
    bool has_details;           /* IncludeControlDetails */
    struct fragment alter_head; /* without details: up to the timestamp; else to the first text */
    struct fragment alter_details; /* behind the last text, up to the timestamp */
    struct plan_alter alters[PLAN_ALTERS];
    size_t fixed_bound; /* of a row's message without its key and the bytes of its values */
    char *text;
    struct stats_table *stats;
};

/* Copies a fragment; reads and writes up to FRAGMENT_SLACK bytes behind it. */
static inline char *
fragment_put(char *at, const struct plan *p, struct fragment f)
{
    const char *from = p->text + f.at;

    memcpy(at, from, FRAGMENT_SLACK);
    if (f.size > FRAGMENT_SLACK)
        memcpy(at + FRAGMENT_SLACK, from + FRAGMENT_SLACK, f.size - FRAGMENT_SLACK);
    return at + f.size;
}

/* Compiles one definition.  ERR_CORRUPT for a definition that makes no sense, ERR_NOMEM. */
int plan_compile(const struct task *task, const struct table_def *table, struct plan **out,
                 struct err *e);
void plan_free(struct plan **p);

/* ---- all plans of a process ---- */

struct plans;

/* stats may be NULL. */
int plans_open(const struct task *task, struct stats *stats, struct plans **out, struct err *e);
void plans_close(struct plans **p);

/* The plan of a table and version, from the catalogue at first use.  NULL: see e. */
const struct plan *plans_get(struct plans *p, uint32_t table_id, uint32_t version, struct err *e);

#endif
