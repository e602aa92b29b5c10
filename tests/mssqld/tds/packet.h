/*
 * packet - messages in packets ([MS-TDS] 2.2.3.1).
 *
 * Reading gathers the packets of one message; writing cuts a run of bytes into packets of the
 * negotiated size wherever they happen to end, tokens included.  Several packets leave in one
 * system call.
 */
#ifndef MSSQLD_TDS_PACKET_H
#define MSSQLD_TDS_PACKET_H

#include "tests/mssqld/tds/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct link;

/* ---- reading ---- */

struct packet_message {
    uint8_t type;
    uint8_t status; /* of all packets, or-ed */
    struct buf body;
};

struct packet_in {
    struct link *link;
    uint8_t *data; /* PACKET_IN_SIZE bytes */
    size_t start;
    size_t end;
    bool ended; /* the peer closed its side */
};

int packet_in_open(struct packet_in *in, struct link *link, struct err *e);
void packet_in_close(struct packet_in *in);

/*
 * Reads the next message into m, whose body is reused.  1 = one is there, 0 = the peer closed
 * between messages, -1 = broken packet, message longer than limit bytes, or lost connection.
 * An attention in the middle of another message takes its place: the client has given it up.
 */
int packet_read(struct packet_in *in, struct packet_message *m, size_t limit, struct err *e);

/* Looks without waiting whether an attention has arrived and takes it.  1 yes, 0 no, -1 gone. */
int packet_poll_attention(struct packet_in *in, struct err *e);

/* ---- writing ---- */

struct packet_out {
    struct link *link;
    uint8_t *data; /* whole packets of packet_size, the last one being filled */
    size_t cap;
    size_t packet_size; /* header included */
    size_t start;       /* of the packet being filled */
    size_t fill;        /* bytes in it, header included */
    uint64_t sends;     /* times the socket was written to */
    uint16_t spid;
    uint8_t id;
    uint8_t type;
};

int packet_out_open(struct packet_out *out, struct link *link, struct err *e);
void packet_out_close(struct packet_out *out);

/* Takes effect with the next message; size is within TDS_PACKET_MIN and _MAX. */
int packet_out_resize(struct packet_out *out, size_t size, struct err *e);

void packet_begin(struct packet_out *out, uint8_t type);
int packet_write(struct packet_out *out, const void *data, size_t size, struct err *e);
/* Marks the last packet and sends everything. */
int packet_finish(struct packet_out *out, struct err *e);

#endif
