/*
 * topology - how many encoders and shippers a task has, where their files are, and who
 * gets what.
 *
 * A generation is one arrangement of rings: a task that is started with other numbers of
 * encoders or shippers, or told to load from scratch, gets the next generation, with rings
 * and checkpoints of its own.  Capture decides that and is the only writer of
 * <state>/topology.json; the other stages wait until the file agrees with their task file.
 *
 * Files of generation g:
 *   <runtime>/g<g>/change.<e>.ring       capture -> encoder e
 *   <runtime>/g<g>/record.<e>.<s>.ring   encoder e -> shipper s
 *   <runtime>/stats.capture, stats.encoder.<e>, stats.shipper.<s>
 *   <state>/checkpoint.<g>.<s>.json      shipper s
 *   <state>/catalog/, <state>/capture.json
 *   <state>/ended.json                   where the task ended by itself
 *   <state>/requests/                    what operators ask for
 *   <state>/before.<g>/                  what generation g, a load from scratch, put aside
 */
#ifndef WEIR_TOPOLOGY_H
#define WEIR_TOPOLOGY_H

#include "common/position.h"
#include "common/request.h"

#include <stddef.h>
#include <stdint.h>

struct err;
struct task;

#define TOPOLOGY_PATH_MAX 512

struct topology {
    uint64_t generation; /* from 1 */
    uint32_t encoders;
    uint32_t shippers;
    struct position baseline; /* where the generation began; zero = from scratch */
    /* When it was asked for (common/request.h): by which request, and where a cdc task is to begin
       instead of at CdcStartPosition.  "" = not. */
    char request[REQUEST_ID_SIZE];
    char start[REQUEST_FROM_SIZE];
};

/* ERR_NOT_FOUND when the task never ran; ERR_LAYOUT when damaged. */
int topology_read(const struct task *t, struct topology *out, struct err *e);

/* Capture only: durable, atomic. */
int topology_write(const struct task *t, const struct topology *topo, struct err *e);

/* Removes the rings of a generation that nobody will use again.  Who still has one open is told by
   the next heartbeat (ERR_RETIRED). */
void topology_remove_rings(const struct task *t, const struct topology *topo);

/* Paths.  buf holds TOPOLOGY_PATH_MAX bytes; return buf. */
const char *topology_ring_directory(const struct task *t, const struct topology *topo, char *buf);
const char *topology_change_ring(const struct task *t, const struct topology *topo,
                                 uint32_t encoder, char *buf);
const char *topology_record_ring(const struct task *t, const struct topology *topo,
                                 uint32_t encoder, uint32_t shipper, char *buf);
const char *topology_stats(const struct task *t, const char *stage, char *buf);
const char *topology_state_file(const struct task *t, const char *name, char *buf);

/* The encoder for a partition key text (without schema and table), 0..n-1. */
uint32_t topology_encoder_of(const void *key, size_t size, uint32_t encoders);

/* The shipper whose contiguous range of the 128-bit hash space holds hash, 0..n-1. */
uint32_t topology_shipper_of(const uint8_t hash[16], uint32_t shippers);

#endif
