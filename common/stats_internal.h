/*
 * stats_internal - what the writing and the reading side of the statistics share.
 */
#ifndef WEIR_STATS_INTERNAL_H
#define WEIR_STATS_INTERNAL_H

#include "common/stats_layout.h"

#include <stdbool.h>

/* The owner's end.  Everything points into the mapped file but the index. */
struct stats {
    int fd;
    int statm_fd;
    char *map;
    size_t size;
    struct stats_header *header;
    struct stats_live *live;
    struct stats_stage_section *stage;
    struct stats_section *tables_section;
    struct stats_table *tables; /* tables_section->capacity records, the last is "(others)" */
    struct stats_histogram *hists;
    struct stats_section *errors_section;
    struct stats_error_slot *errors;
    struct stats_section *alarms_section;
    struct stats_alarm_slot *alarms;
    uint32_t *index; /* table id -> record number + 1, open addressing; 0 = none */
    uint32_t index_mask;
    int64_t last_beat_ns;
    int64_t last_usage_ns;
    long page_bytes;
};

/* Checksum over the directory without the numbers that change. */
uint32_t stats_section_crc(const struct stats_header *h);

/* The kernel's id of this boot, padded with zeros; empty when it does not say. */
void stats_boot_id(char *buf, size_t size);

/* Copies n words that belong together.  False when the writer was inside all the while. */
bool stats_cell_read(const _Atomic uint32_t *seq, const _Atomic uint64_t *words, size_t n,
                     uint64_t *out);

#endif
