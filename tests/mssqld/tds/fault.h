/*
 * fault - what a connection suffers on the wire, as --fault-file says.
 *
 * The file is read for each connection, so a test changes it while the server runs; connections
 * are counted from 1 since its content changed last.  One fault a line, "#" begins a comment:
 *
 *     CONNECTION cut BYTES            ends after so many bytes of the server
 *     CONNECTION reset BYTES          the same with a TCP reset
 *     CONNECTION hold BYTES           sends no more after them, but stays (0 = silent from the start)
 *     CONNECTION slow BYTES MS        a pause after each so many bytes
 *     CONNECTION packet BYTES         grants packets of that size at most (512 at least)
 *     CONNECTION hostile KIND ANSWER  the so-manieth answer to a request is replaced: hostile.h
 *     CONNECTION route HOST PORT      the login is answered with a routing to another server
 *
 * CONNECTION is a number, a number and "+" (that one and all later ones), or "*".  Bytes are those
 * on the socket, TLS records included.  The end of each connection is logged with its number and
 * bytes.
 *
 * Thread use: fault_begin() from any; a struct fault belongs to its connection.
 */
#ifndef MSSQLD_TDS_FAULT_H
#define MSSQLD_TDS_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct fault {
    unsigned connection; /* 0 = no fault file */
    uint64_t sent;
    uint64_t end_after; /* UINT64_MAX = not */
    uint64_t hold_after;
    bool resets;
    bool has_ended;
    uint32_t slow_bytes; /* 0 = not slow */
    uint32_t slow_ms;
    uint32_t packet_size; /* 0 = as the client asks */
    const char *hostile;  /* kind; NULL = none */
    unsigned hostile_answer;
    unsigned answers;    /* so far */
    uint16_t route_port; /* 0 = no routing */
    char route_host[256];
    char hostile_kind[32];
};

/* Which faults the next connection has.  ERR_CONFIG names a line that is none, ERR_IO. */
int fault_begin(const char *path, struct fault *out, struct err *e);

/* send(2) of all bytes, as far as the faults let them out.  f may be NULL.  ERR_IO, ERR_CONNECT. */
int fault_send(struct fault *f, int fd, const void *data, size_t size, struct err *e);

#endif
