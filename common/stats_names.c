/*
 * Names, help and schema of every statistic, made from the definition file.
 */
#include "common/stats.h"
#include "common/stats_layout.h"

#define F_STAGE(id_, name_, type_, unit_, level_, help_)                                           \
    [STAT_##id_] = {(name_), STATS_TYPE_##type_, (unit_), STATS_LEVEL_##level_, (help_)},
#define F_TABLE(id_, name_, type_, unit_, level_, help_)
#define F_HIST(id_, name_, unit_, level_, help_)
static const struct stats_field stage_fields[STAT_COUNT] = {
#include "common/stats_fields.def"
};
#undef F_STAGE
#undef F_TABLE

#define F_STAGE(id_, name_, type_, unit_, level_, help_)
#define F_TABLE(id_, name_, type_, unit_, level_, help_)                                           \
    [TSTAT_##id_] = {(name_), STATS_TYPE_##type_, (unit_), STATS_LEVEL_##level_, (help_)},
static const struct stats_field table_fields[TSTAT_COUNT] = {
#include "common/stats_fields.def"
};
#undef F_TABLE
#undef F_HIST

#define F_TABLE(id_, name_, type_, unit_, level_, help_)
#define F_HIST(id_, name_, unit_, level_, help_)                                                   \
    [HIST_##id_] = {(name_), STATS_TYPE_counter, (unit_), STATS_LEVEL_##level_, (help_)},
static const struct stats_field hist_fields[HIST_COUNT] = {
#include "common/stats_fields.def"
};
#undef F_STAGE
#undef F_TABLE
#undef F_HIST

static_assert((unsigned)STAT_COUNT <= STATS_STAGE_SLOTS, "raise STATS_STAGE_SLOTS and the version");
static_assert((unsigned)TSTAT_COUNT <= STATS_TABLE_SLOTS,
              "raise STATS_TABLE_SLOTS and the version");
static_assert(STATS_BUCKETS == STATS_HIST_BUCKETS, "one number of buckets");

/* A member follows each entry, so that the list needs no knowledge of which entry is the last. */
#define ENTRY(kind, name, type, unit, level, help)                                                 \
    "{\"kind\":\"" kind "\",\"name\":\"" name "\",\"type\":\"" type "\",\"unit\":\"" unit          \
    "\",\"level\":\"" level "\",\"help\":\"" help "\"},\n"
#define F_STAGE(id, name, type, unit, level, help) ENTRY("stage", name, #type, unit, #level, help)
#define F_TABLE(id, name, type, unit, level, help) ENTRY("table", name, #type, unit, #level, help)
#define F_HIST(id, name, unit, level, help)                                                        \
    ENTRY("histogram", name, "histogram", unit, #level, help)

/* The text is longer than C17 asks compilers to take; gcc and clang take it. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverlength-strings"
static const char schema[] = "{\"fields\":[\n"
#include "common/stats_fields.def"
                             "{\"kind\":\"end\"}]}\n";
#pragma GCC diagnostic pop
#undef F_STAGE
#undef F_TABLE
#undef F_HIST

const char *
stats_schema(void)
{
    return schema;
}

const struct stats_field *
stats_stage_field(enum stat_id id)
{
    return &stage_fields[id];
}

const struct stats_field *
stats_table_field(enum tstat_id id)
{
    return &table_fields[id];
}

const struct stats_field *
stats_hist_field(enum hist_id id)
{
    return &hist_fields[id];
}

const char *
stats_state_name(enum stage_state s)
{
    static const char *const names[STATE_COUNT] = {[STATE_STARTING] = "STARTING",
                                                   [STATE_RECOVERING] = "RECOVERING",
                                                   [STATE_SNAPSHOT] = "SNAPSHOT",
                                                   [STATE_STREAMING] = "STREAMING",
                                                   [STATE_BACKPRESSURE] = "BACKPRESSURE",
                                                   [STATE_WAIT_SOURCE] = "WAIT_SOURCE",
                                                   [STATE_WAIT_SINK] = "WAIT_SINK",
                                                   [STATE_FATAL] = "FATAL",
                                                   [STATE_STOPPED] = "STOPPED"};

    return (unsigned)s < STATE_COUNT ? names[s] : "UNKNOWN";
}

const char *
stats_table_state_name(enum table_state s)
{
    static const char *const names[TABLE_STATE_COUNT] = {[TABLE_BEFORE_LOAD] = "Before load",
                                                         [TABLE_FULL_LOAD] = "Full load",
                                                         [TABLE_COMPLETED] = "Table completed",
                                                         [TABLE_ERROR] = "Table error",
                                                         [TABLE_RELOAD] =
                                                             "Table is being reloaded"};

    return (unsigned)s < TABLE_STATE_COUNT ? names[s] : "Unknown";
}

const char *
stats_alarm_level_name(enum stats_alarm_level level)
{
    static const char *const names[] = {[STATS_ALARM_NOTE] = "note",
                                        [STATS_ALARM_WARNING] = "warning",
                                        [STATS_ALARM_ERROR] = "error"};

    return (unsigned)level < sizeof(names) / sizeof(names[0]) ? names[level] : "unknown";
}
