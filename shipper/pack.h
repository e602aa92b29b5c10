/*
 * pack - several waiting changes of one partition key in one Kinesis record.
 *
 * A record is stored or refused as a whole, so the order inside it cannot break, and a key may
 * fill its shard although only one of its records is in flight (Weir.Packing):
 *
 *   none   one change a record, as it is
 *   lines  one change behind the other, each ending with a newline: what Firehose and Athena take
 *   kpl    an aggregated record of the Kinesis Producer Library, all of whose changes have the
 *          record's own partition key; one change alone goes as it is
 *
 * Source of kpl: aggregation-format.md of awslabs/amazon-kinesis-producer: the magic bytes
 * f3 89 9a c2, a protobuf message AggregatedRecord, the MD5 of that message.
 *
 * Pure: no memory is allocated.
 */
#ifndef WEIR_SHIPPER_PACK_H
#define WEIR_SHIPPER_PACK_H

#include "common/task.h"
#include "shipper/window.h"

/* One Kinesis record to be: n units of one partition key, first to last by next_same_key. */
struct parcel {
    struct unit *first;
    struct unit *last;
    uint32_t n;
    uint32_t data_size; /* of the record, as packed */
    uint32_t bytes;     /* the same with the partition key: what Kinesis counts */
};

/* A parcel of u alone. */
void pack_begin(enum packing packing, struct unit *u, struct parcel *p);

/* Adds the unit behind the last one.  False, and nothing changes, when there is none, when it has
   another partition key, or when the record would have more than `limit` bytes. */
bool pack_add(enum packing packing, struct parcel *p, uint64_t limit);

/* Writes the record's data, p->data_size bytes. */
void pack_write(enum packing packing, const struct parcel *p, void *out);

/* The parcel's only unit can be sent from where it lies. */
bool pack_is_plain(enum packing packing, const struct parcel *p);

#endif
