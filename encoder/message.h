/*
 * message - from a change event to the JSON text a consumer of DMS expects.
 *
 * message_row() prints into room the caller has; nothing is allocated.  The clock is read by
 * message_begin_batch(), once for many messages.
 */
#ifndef WEIR_ENCODER_MESSAGE_H
#define WEIR_ENCODER_MESSAGE_H

#include "common/clock.h"
#include "common/event.h"
#include "encoder/key.h"
#include "encoder/plan.h"

struct task;

/* The transaction in progress and the one before, as numbers. */
struct transactions {
    uint64_t current;
    uint64_t previous;
    uint32_t current_record; /* newest record number seen; 0 = no transaction known */
    uint32_t previous_record;
};

#define ID_TEXT_MAX 40 /* of 16 bytes: 39 digits */

struct message_writer {
    bool has_details;    /* IncludeTransactionDetails */
    bool has_previous;   /* this encoder sees every transaction whole */
    bool has_null;       /* IncludeNullAndEmpty */
    bool has_hex_prefix; /* not NoHexPrefix */
    bool is_formatted;
    char timestamp[CLOCK_ISO_SIZE + FRAGMENT_SLACK];
    int64_t commit_real_ns; /* whose text is in commit_text */
    char commit_text[CLOCK_ISO_SIZE];
    uint8_t id[EVENT_MAX_TRANSACTION]; /* of the current transaction */
    uint8_t id_size;
    uint8_t id_text_size;
    char id_text[ID_TEXT_MAX];
    uint64_t id_number; /* for ids of up to 8 bytes */
    struct transactions transactions;
};

/* encoders: of the topology. */
void message_open(struct message_writer *w, const struct task *task, uint32_t encoders);

/* Takes the time that the next messages carry. */
void message_begin_batch(struct message_writer *w, int64_t real_ns);

/* Keeps the books of transactions; to be called once for each row event, in order, before
   message_row(). */
void message_follow(struct message_writer *w, const struct event *ev);

/* The columns a row's message shows: the row after the change, or what was deleted. */
const struct value *message_values(const struct event *ev, uint16_t *n);

/* Room for message_row(); event_size is the encoded event's, which holds the values. */
size_t message_bound(const struct plan *plan, const struct value *values, const struct key *key,
                     size_t event_size);

/* values are plan->n_columns.  Returns the length. */
size_t message_row(struct message_writer *w, const struct plan *plan, const struct event *ev,
                   const struct value *values, const struct key *key, char *buf);

/* Whether the settings want the control record.  A drop-table that a load begins with is
   TargetTablePrepMode's, and no DDL of the source. */
bool message_is_sent(const struct plan *plan, const struct event *ev);

/* Whether ev's values are what a control event may have: a few texts or NULLs. */
bool message_control_is_sound(const struct event *ev);

/* Room for message_control(); ev is a sound control event. */
size_t message_control_bound(const struct plan *plan, const struct event *ev);

size_t message_control(const struct message_writer *w, const struct plan *plan,
                       const struct event *ev, char *buf);

#endif
