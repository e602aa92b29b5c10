/*
 * hostile - answers that lie about lengths, end in the middle, or never end.
 *
 * Each kind is one answer of a server that is broken or means harm; a client must get an error out
 * of it, in bounded time and memory.  Thread use: any.
 */
#ifndef MSSQLD_TDS_HOSTILE_H
#define MSSQLD_TDS_HOSTILE_H

#include <stdbool.h>

struct err;
struct packet_out;

bool hostile_is_known(const char *kind);

/* Sends the answer.  -1: the client is gone. */
int hostile_send(const char *kind, struct packet_out *out, struct err *e);

#endif
