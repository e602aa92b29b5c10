/*
 * stats_layout - what lies where in a statistics file.  Version 1.2.
 *
 *   0      header: identity, live line, directory of the sections below
 *   4096   schema: JSON text that names every counter, in file order
 *   ...    stage counters and position | tables | histograms | errors | alarms (since 1.2)
 *
 * Little endian.  One writer; readers never write.  Everything a reader may see changing is
 * an aligned atomic word; what must be read together lies in a cell guarded by a sequence
 * number that is odd while the writer is inside.
 *
 * Fields are appended at the end of a kind only (minor version); anything else is a new major
 * version.  The golden file tests/vectors/stats/layout.txt holds names and offsets.
 */
#ifndef WEIR_STATS_LAYOUT_H
#define WEIR_STATS_LAYOUT_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define STATS_MAGIC        0x5354415452494557ULL /* "WEIRTATS" */
#define STATS_MAJOR        1
#define STATS_MINOR        2
#define STATS_HEADER_BYTES 4096U
#define STATS_PAGE         4096U

#define STATS_STAGE_SLOTS  128U /* room for F_STAGE lines */
#define STATS_TABLE_SLOTS  32U  /* room for F_TABLE lines */
#define STATS_TABLE_BYTES  1024U
#define STATS_NAME_BYTES   256U
#define STATS_HIST_BUCKETS 496U
#define STATS_ERROR_SLOTS  64U
#define STATS_ALARM_SLOTS  32U
#define STATS_SECTIONS     16U
#define STATS_TABLES_MAX   65536U

enum stats_kind {
    STATS_KIND_NONE,
    STATS_KIND_SCHEMA,
    STATS_KIND_STAGE,
    STATS_KIND_TABLE,
    STATS_KIND_HISTOGRAM,
    STATS_KIND_ERROR,
    STATS_KIND_ALARM
};

/* Written before the file gets its name and never again. */
struct stats_identity {
    uint64_t magic;
    uint16_t major;
    uint16_t minor;
    uint32_t header_bytes;
    uint64_t total_bytes;
    uint64_t epoch; /* random, of this start */
    int64_t start_real_ns;
    int64_t mono_to_real_ns; /* real clock minus monotonic clock at the start */
    int32_t pid;
    uint32_t zero;
    char boot_id[40]; /* of the kernel: monotonic times mean nothing in another boot */
    char build[64];
    char stage[64];
    char task[256];
    uint32_t section_crc32c; /* of the directory's constant part */
    uint32_t crc32c;         /* of the bytes before it */
};

/* What the writer touches all the time. */
struct stats_live {
    _Atomic uint32_t state; /* enum stage_state */
    _Atomic uint32_t error_seq;
    _Atomic uint64_t heartbeat_mono_ns;
    _Atomic uint64_t loop_count;
    _Atomic uint64_t max_loop_ns;
    _Atomic uint64_t slow_loops; /* turns of a second and more */
};

struct stats_section {
    uint32_t kind;
    uint32_t fields; /* counters a record holds */
    uint64_t offset;
    uint32_t stride;
    uint32_t capacity;
    _Atomic uint32_t used; /* records in use; grows only */
    uint32_t bytes;        /* of text, for the schema */
};

struct stats_header {
    struct stats_identity identity;
    alignas(128) struct stats_live live;
    alignas(128) struct stats_section sections[STATS_SECTIONS];
};

#define STATS_CELL_WORDS 15U

/* A small value read whole.  seq is odd while the writer is inside. */
struct stats_cell {
    alignas(128) _Atomic uint32_t seq;
    uint32_t zero;
    _Atomic uint64_t words[STATS_CELL_WORDS];
};

/* Words of a position cell: 0-3 position, 4 commit time, 5 monotonic time seen. */
#define STATS_POSITION_WORDS 6U

struct stats_stage_section {
    _Atomic uint64_t counters[STATS_STAGE_SLOTS];
    struct stats_cell position;
};

enum stats_record_state { STATS_FREE, STATS_LIVE, STATS_RETIRED };

struct stats_table {
    alignas(128) _Atomic uint32_t record_state; /* LIVE is stored last, with release */
    uint32_t table_id;
    uint64_t name_hash; /* of the whole name, which may be longer than what is kept */
    uint32_t name_bytes;
    _Atomic uint32_t state; /* enum table_state */
    alignas(128) _Atomic uint64_t counters[STATS_TABLE_SLOTS];
    struct stats_cell position;
    alignas(128) uint8_t spare[256];
    char name[STATS_NAME_BYTES]; /* UTF-8, not terminated when full */
};

/*
 * Log-linear: eight buckets a power of two.  Bucket b < 8 holds the value b; above, bucket
 * 8 * k + m holds values whose highest bit is k + 2 and whose next three bits are m.
 */
struct stats_histogram {
    _Atomic uint64_t count;
    _Atomic uint64_t sum_ns;
    _Atomic uint64_t max_ns;
    _Atomic uint64_t buckets[STATS_HIST_BUCKETS];
    uint8_t spare[STATS_PAGE - 8 * (3 + STATS_HIST_BUCKETS)];
};

struct stats_error_body {
    uint32_t line;
    uint32_t table_id;
    uint64_t count;
    int64_t first_real_ns;
    int64_t last_real_ns;
    char code[32];
    char file[40];
    char text[400];
};

#define STATS_ERROR_WORDS (sizeof(struct stats_error_body) / 8)

struct stats_error_slot {
    _Atomic uint32_t seq;
    uint32_t zero;
    _Atomic uint64_t words[STATS_ERROR_WORDS];
};

struct stats_alarm_body {
    uint32_t level;
    uint32_t is_raised; /* 0 = over: the slot is free for another */
    int64_t since_real_ns;
    int64_t last_real_ns;
    char code[48];
    char text[512];
    char remedy[432];
};

#define STATS_ALARM_WORDS (sizeof(struct stats_alarm_body) / 8)

struct stats_alarm_slot {
    _Atomic uint32_t seq;
    uint32_t zero;
    _Atomic uint64_t words[STATS_ALARM_WORDS];
};

static_assert(sizeof(struct stats_header) <= STATS_HEADER_BYTES, "the header is one page");
static_assert(offsetof(struct stats_header, live) == 512, "layout 1");
static_assert(offsetof(struct stats_header, sections) == 640, "layout 1");
static_assert(sizeof(struct stats_section) == 32, "layout 1");
static_assert(sizeof(struct stats_cell) == 128, "a cell is one pair of cache lines");
static_assert(sizeof(struct stats_table) == STATS_TABLE_BYTES, "layout 1");
static_assert(offsetof(struct stats_table, counters) == 128, "layout 1");
static_assert(offsetof(struct stats_table, position) == 384, "layout 1");
static_assert(offsetof(struct stats_table, name) == 768, "layout 1");
static_assert(sizeof(struct stats_histogram) == STATS_PAGE, "a histogram is one page");
static_assert(sizeof(struct stats_error_body) % 8 == 0, "an error is whole words");
static_assert(sizeof(struct stats_error_slot) == 512, "layout 1");
static_assert(sizeof(struct stats_alarm_body) % 8 == 0, "an alarm is whole words");
static_assert(sizeof(struct stats_alarm_slot) == 1024, "layout 1.2");

/* The bucket of a value, and the highest value a bucket holds. */
static inline uint32_t
stats_bucket(uint64_t ns)
{
    uint32_t high;

    if (ns < 8)
        return (uint32_t)ns;
    high = 63U - (uint32_t)__builtin_clzll(ns);
    return 8U * (high - 2U) + (uint32_t)(ns >> (high - 3U) & 7U);
}

static inline uint64_t
stats_bucket_top(uint32_t bucket)
{
    if (bucket < 8)
        return bucket;
    if (bucket >= STATS_HIST_BUCKETS - 1)
        return UINT64_MAX;
    return ((8ULL + (bucket & 7U) + 1) << (bucket / 8U - 1U)) - 1;
}

#endif
