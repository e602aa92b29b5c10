/*
 * putbody - the bodies of PutRecords and PutRecord, parsed in one pass and in place.
 *
 * This is the hot path: no tree, no allocation.  Strings are unescaped and Data is decoded from
 * base64 over the text itself, so every pointer points into the body handed in and the body is
 * used up afterwards.  JSON is checked in full (grammar, UTF-8, depth); unknown members are
 * skipped, null counts as absent, of duplicate members the last one wins.
 */
#ifndef KINESISD_PUTBODY_H
#define KINESISD_PUTBODY_H

#include "tests/kinesisd/jsonscan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Entries kept: one more than AWS allows, so that "too many" can be told. */
#define PUTBODY_RECORDS 501

#define PUTBODY_MESSAGE_MAX 512

struct putbody_record {
    struct jsonscan_text data; /* decoded; chars unused */
    struct jsonscan_text key;
    struct jsonscan_text explicit_hash;
};

struct putbody {
    struct jsonscan_text stream_name;
    struct jsonscan_text stream_arn;
    struct jsonscan_text sequence_for_ordering; /* PutRecord only */
    bool dry_run;
    bool has_records;
    size_t count;                 /* entries seen; records[] holds the first PUTBODY_RECORDS */
    struct putbody_record single; /* PutRecord: the members of the body itself */
    struct putbody_record records[PUTBODY_RECORDS];
    char message[PUTBODY_MESSAGE_MAX]; /* why it was refused; "" = not JSON at all */
};

/* 0 = parsed; -1 = SerializationException with p->message.  base64_init() must have run. */
int putbody_parse(struct putbody *p, char *text, size_t len);

#endif
