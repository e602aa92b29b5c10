/*
 * task - the task file: one JSON document in the words of the DMS API, checked to the last key.
 *
 * task_load() refuses unknown keys, wrong types, values out of range, rules that contradict
 * themselves, and DMS settings that would change the output and are not implemented, each with
 * "file:line: $.json.path: what was found, what is allowed".  Settings of DMS that have no meaning
 * here are accepted and named in a warning.  The settings table (common/settings.def) is the only
 * place that knows a setting's name, type, range, default and help.
 *
 * Ownership: task_free() frees everything reachable from a struct task.  Strings are never NULL:
 * what was not given is the default or "".
 */
#ifndef WEIR_TASK_H
#define WEIR_TASK_H

#include "common/bounds.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum migration_type { MIGRATION_FULL_LOAD, MIGRATION_CDC, MIGRATION_FULL_LOAD_AND_CDC };
enum ssl_mode { SSL_NONE, SSL_REQUIRE, SSL_VERIFY_CA, SSL_VERIFY_FULL };
enum message_format { FORMAT_JSON, FORMAT_JSON_UNFORMATTED };
enum ordering { ORDERING_KEY, ORDERING_ROW, ORDERING_FINAL };
enum packing { PACKING_NONE, PACKING_LINES, PACKING_KPL };
enum refused_record { REFUSED_STOP, REFUSED_DEAD_LETTER };
enum authentication { AUTHENTICATION_PASSWORD, AUTHENTICATION_KERBEROS };
enum secret_kind { SECRET_NONE, SECRET_TEXT, SECRET_FILE, SECRET_ENV, SECRET_MANAGER };

/* Where a password is to be had; the password itself is never part of the task. */
struct secret {
    enum secret_kind kind;
    char *value; /* the text (SECRET_TEXT: allowed with a warning), file, variable or secret id */
};

struct source_endpoint {
    char *engine_name; /* "sqlserver" */
    char *server_name;
    uint16_t port;
    char *database_name;
    char *username;
    struct secret password;
    enum authentication authentication;
    char *service_principal; /* Kerberos: "" = MSSQLSvc/ServerName:Port */
    char *secret_id;         /* in AWS Secrets Manager: user, password, perhaps host; "" = none */
    char *secret_role_arn;   /* assumed to read secrets; "" = none */
    char *aws_region;        /* that of the target, for secrets without one of their own */
    enum ssl_mode ssl_mode;
    char *ssl_ca_file;     /* PEM; for verify-ca and verify-full; "" = the system's */
    bool read_only_intent; /* MicrosoftSQLServerSettings.ApplicationIntent */
    uint32_t login_timeout_s;
    uint32_t query_timeout_s;
    bool trim_space_in_char; /* TrimSpaceInChar, DMS default true */
    bool set_up_cdc;         /* SetUpMsCdcForTables */
};

struct target_endpoint {
    char *engine_name; /* "kinesis", "file" */
    char *stream_arn;
    char *stream_name; /* cut from the ARN */
    char *region;      /* cut from the ARN */
    enum message_format message_format;
    bool include_transaction_details;
    bool include_partition_value;
    bool partition_include_schema_table;
    bool include_table_alter_operations;
    bool include_control_details;
    bool include_null_and_empty;
    bool no_hex_prefix;
    char *endpoint_url;      /* Weir extension: a custom Kinesis endpoint; "" = AWS's own */
    char *ca_file;           /* Weir extension: PEM bundle for that endpoint; "" = the system's */
    char *file_directory;    /* target file: where the files go */
    uint64_t file_max_size;  /* bytes at which a file is finished */
    uint32_t file_max_age_s; /* age at which it is */
};

/* What becomes of (max) types and their like.  Neither cut nor left out unless the task says so. */
struct lob_settings {
    bool is_supported; /* SupportLobs; false: their columns are left out */
    bool is_full;      /* FullLobMode */
    bool is_limited;   /* LimitedSizeLobMode: what is longer than max_kb is cut and marked */
    uint32_t max_kb;   /* LobMaxSize */
};

enum selection_action { SELECTION_INCLUDE, SELECTION_EXCLUDE, SELECTION_EXPLICIT };

/* explicit names exactly one table: its names hold no wildcards. */
struct selection_rule {
    char *rule_id;
    char *rule_name;
    enum selection_action action;
    char *schema_name; /* with DMS wildcards */
    char *table_name;
    uint32_t load_order; /* 0 = not given; higher loads earlier */
    char *where;         /* "task.json:31: $.TableMappings.rules[2]", for complaints */
};

enum parallel_load_type { PARALLEL_LOAD_NONE, PARALLEL_LOAD_RANGES, PARALLEL_LOAD_PARTITIONS };

#define PARALLEL_LOAD_COLUMNS 10  /* of a boundary, as with DMS */
#define PARALLEL_LOAD_PARTS   999 /* boundaries, or partitions */

/* parallel-load of a table-settings rule: how a table is cut into pieces for its load. */
struct parallel_load {
    char *schema_name; /* exact */
    char *table_name;
    enum parallel_load_type type;
    char **columns; /* RANGES: of the boundaries, the most significant first */
    size_t n_columns;
    char **boundaries; /* n_boundaries * n_columns texts; each the exclusive end of a piece */
    size_t n_boundaries;
    uint32_t *partitions; /* PARTITIONS: these only; none = all */
    size_t n_partitions;
    char *where; /* "task.json:31: $.TableMappings.rules[2].parallel-load" */
};

enum load_handover { LOAD_AUTO, LOAD_EXACT, LOAD_REPEATS };

enum target_prep { TARGET_PREP_NOTHING, TARGET_PREP_DROP_AND_CREATE, TARGET_PREP_TRUNCATE };

/* Weir.ManageCaptureInstances: what weir may do to capture instances of the source. */
enum manage_instances { MANAGE_NO, MANAGE_OWN, MANAGE_ALL };

struct weir_settings {
    char *runtime_directory;   /* on tmpfs: rings and statistics */
    char *state_directory;     /* durable: catalogue, checkpoints, load progress */
    uint32_t encoders;         /* 1..64 */
    uint32_t shippers;         /* 1..64 */
    uint64_t change_ring_size; /* bytes */
    uint64_t record_ring_size; /* bytes */
    char *log_level;
    enum manage_instances manage_instances;
    bool merge_deferred_updates;    /* delete and insert of one row, one key: an update */
    bool reread_unavailable;        /* values the log left out come from the table */
    uint32_t poll_interval_ms;      /* longest pause between two looks at an idle log */
    uint32_t health_interval_ms;    /* between two looks at the source's health; 0 = none */
    uint32_t heartbeat_interval_ms; /* 0 = no heartbeat */
    char *heartbeat_statement;      /* run at the source so often; "" = none */
    uint32_t load_chunk_rows;       /* rows of one full-load chunk at most */
    enum load_handover load_handover;
    uint32_t load_view_minutes;
    uint32_t requests_in_flight; /* PutRecords calls at once, per shipper */
    uint32_t request_timeout_ms;
    uint32_t checkpoint_interval_ms;
    uint32_t window_records; /* records a shipper holds unacknowledged at most */
    enum ordering ordering;  /* what may be in flight together */
    enum packing packing;    /* changes in one Kinesis record */
    uint64_t pack_size;      /* bytes of a packed record at most, partition key included */
    enum refused_record refused_record; /* what happens to a record Kinesis will never take */
};

struct task {
    char *path;       /* of the file, as given */
    char *identifier; /* ReplicationTaskIdentifier */
    enum migration_type migration_type;
    char *cdc_start_time; /* the three as given, and below what they mean */
    char *cdc_start_position;
    char *cdc_stop_position;
    struct start_bound start;
    struct stop_bound stop;
    struct source_endpoint source;
    struct target_endpoint target;
    struct selection_rule *selections;
    size_t n_selections;
    struct parallel_load *parallel_loads;
    size_t n_parallel_loads;
    struct lob_settings lobs;
    uint32_t max_full_load_sub_tasks;
    uint32_t commit_rate; /* rows of one full-load chunk at most */
    enum target_prep target_prep;
    bool stop_after_load;
    bool stop_after_cached_changes;
    uint32_t transaction_consistency_timeout; /* seconds */
    bool handle_source_table_dropped; /* ChangeProcessingDdlHandlingPolicy, DMS default true */
    bool handle_source_table_altered;
    char **warnings; /* one complete sentence each */
    size_t n_warnings;
    struct weir_settings weir;
};

/* Reads and checks a task file.  On failure e holds the first complaint and *out is NULL.
   ERR_CONFIG, also when there is no such file; ERR_ACCESS, ERR_IO when it cannot be read. */
int task_load(const char *path, struct task **out, struct err *e);

/*
 * The same, but collects up to `max` complaints (heap strings the caller frees) instead of
 * stopping at the first; for `weirctl check`.  Returns 0 only when there are none; else e holds
 * the first and *out is NULL.
 */
int task_check(const char *path, struct task **out, char **complaints, size_t max, size_t *n,
               struct err *e);

void task_free(struct task **t);

/* True when the selection rules pick this table: (include or explicit) and not exclude.
   Wildcards % _ [_] [ab] [a-d] as DMS defines them; fold_case for case-insensitive sources. */
bool task_selects(const struct task *t, const char *schema, const char *table, bool fold_case);

/* The highest load-order of the rules that pick the table; 0 when none names one. */
uint32_t
task_load_order(const struct task *t, const char *schema, const char *table, bool fold_case);

/* The table's own parallel-load rule; NULL. */
const struct parallel_load *
task_parallel_load(const struct task *t, const char *schema, const char *table, bool fold_case);

/*
 * Reads the secret into a fresh buffer (NUL-terminated); secret_wipe() clears and frees it.
 * ERR_CONFIG with the file or variable named, also when it is missing.  SECRET_MANAGER is not read
 * here (it needs AWS): capture/login.h does that.
 */
int secret_read(const struct secret *s, const char *what, char **out, struct err *e);
void secret_wipe(char **text);

/* Writes the settings table: as text (one setting a line with type, range, default and help), as a
   JSON Schema for editors, as the reference page.  -1 when the descriptor cannot be written. */
int task_print_settings(int fd);
int task_print_schema(int fd);
int task_print_markdown(int fd);

#endif
