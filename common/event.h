/*
 * event - the change event: what travels in a change ring.
 *
 * One msgpack array a record:
 *
 *   [operation, version, position(bin 32), commit time(int ns, UTC), transaction id(bin),
 *    record number(uint), captured(int ns, monotonic), before(array | nil), after(array | nil)]
 *
 * The table id stands in the ring's record header.  Arrays hold one value a column of the
 * definition (table id, version), in its order.  NULL is nil, BOOL/INT/UINT/FLOAT/TEXT/BYTES
 * are msgpack's own, the rest are extension types: 1 unavailable (1 byte), 2 decimal (ASCII
 * digits), 3 date (int32 days), 4 time (int64 ns), 5 datetime (int64 s, uint32 ns), 6
 * datetimeoffset (int64 s, uint32 ns, int16 minutes), 7 uuid (16 bytes), 8 cut text and 9 cut
 * bytes (uint32 size of the whole value, then its beginning); integers big-endian.
 */
#ifndef WEIR_EVENT_H
#define WEIR_EVENT_H

#include "common/position.h"
#include "common/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define EVENT_FORMAT          2U /* record_format of change rings */
#define EVENT_MAX_COLUMNS     1024
#define EVENT_MAX_TRANSACTION 16

enum event_operation {
    EVENT_LOAD = 1,
    EVENT_INSERT = 2,
    EVENT_UPDATE = 3,
    EVENT_DELETE = 4,
    /* Control events.  The definition (table id, version) is the message; `after` holds the texts
       named below, NULL for what is not known. */
    EVENT_CREATE_TABLE = 16,   /* none */
    EVENT_DROP_TABLE = 17,     /* none */
    EVENT_RENAME_TABLE = 18,   /* old schema, old table, DDL */
    EVENT_ADD_COLUMN = 19,     /* column, its type, DDL */
    EVENT_DROP_COLUMN = 20,    /* column, its type, DDL */
    EVENT_CHANGE_TYPE = 21,    /* column, old type, new type, DDL */
    EVENT_CHANGE_COLUMNS = 22, /* DDL: something else about the columns changed */
};

/* Texts of a control event at most. */
#define EVENT_MAX_TEXTS 4

static inline bool
event_is_control(enum event_operation operation)
{
    return operation >= EVENT_CREATE_TABLE;
}

struct event {
    enum event_operation operation;
    uint32_t table_id; /* in the ring's header, not in the array */
    uint32_t version;
    struct position position;
    int64_t commit_real_ns; /* UTC; 0 = unknown */
    uint8_t transaction_id[EVENT_MAX_TRANSACTION];
    uint8_t transaction_id_size; /* 0 = none (load) */
    uint32_t record_number;      /* from 1 inside the transaction; 0 = not counted */
    int64_t captured_mono_ns;
    uint16_t n_before; /* 0 = no before image */
    uint16_t n_after;
    const struct value *before;
    const struct value *after;
};

/* An upper bound of the encoded size. */
size_t event_bound(const struct event *ev);

/* Writes ev to buf of at least event_bound() bytes.  Returns the length. */
size_t event_encode(const struct event *ev, void *buf);

/* Room for the values of one decoded event. */
struct event_values {
    struct value before[EVENT_MAX_COLUMNS];
    struct value after[EVENT_MAX_COLUMNS];
};

/*
 * Decodes; texts and bytes point into data.  Treats data as untrusted: ERR_CORRUPT for
 * anything that is not exactly the format.
 */
int event_decode(const void *data, size_t len, uint32_t table_id, struct event_values *room,
                 struct event *out, struct err *e);

#endif
