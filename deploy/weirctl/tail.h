/*
 * tail - how one record of a stream is printed.
 */
#ifndef WEIR_WEIRCTL_TAIL_H
#define WEIR_WEIRCTL_TAIL_H

#include "shipper/kinesis/client.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct tail_look {
    bool as_json;      /* one object a line */
    bool has_metadata; /* a line with shard, sequence number and partition key before it */
    bool is_terminal;  /* control bytes are shown as \xNN */
};

void tail_print(FILE *out, const char *shard, const struct kinesis_record *r,
                const struct tail_look *look);

#endif
