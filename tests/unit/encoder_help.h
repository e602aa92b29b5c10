/* What the encoder's tests share: a task and tables without files. */
#ifndef WEIR_TESTS_ENCODER_HELP_H
#define WEIR_TESTS_ENCODER_HELP_H

#include "common/catalog.h"
#include "common/err.h"
#include "common/event.h"
#include "common/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELP_TEXT(s)                                                                               \
    {                                                                                              \
        .kind = VALUE_TEXT, .bytes = {.data = (s), .size = sizeof(s) - 1 }                         \
    }
#define HELP_DECIMAL(s)                                                                            \
    {                                                                                              \
        .kind = VALUE_DECIMAL, .bytes = {.data = (s), .size = sizeof(s) - 1 }                      \
    }
#define HELP_INT(n)                                                                                \
    {                                                                                              \
        .kind = VALUE_INT, .i = (n)                                                                \
    }
#define HELP_DATE(n)                                                                               \
    {                                                                                              \
        .kind = VALUE_DATE, .days = (n)                                                            \
    }
#define HELP_NULL                                                                                  \
    {                                                                                              \
        .kind = VALUE_NULL                                                                         \
    }

static char help_percent[] = "%";
static char help_empty[] = "";

static struct selection_rule help_rule = {
    .rule_id = help_empty,
    .rule_name = help_empty,
    .action = SELECTION_INCLUDE,
    .schema_name = help_percent,
    .table_name = help_percent,
    .where = help_empty,
};

/* A task that selects everything, with DMS's defaults. */
static inline void
help_task(struct task *t)
{
    static char identifier[] = "TASK7";

    memset(t, 0, sizeof(*t));
    t->identifier = identifier;
    t->selections = &help_rule;
    t->n_selections = 1;
    t->source.trim_space_in_char = true;
    t->target.message_format = FORMAT_JSON;
    t->handle_source_table_dropped = true;
    t->handle_source_table_altered = true;
}

struct help_column {
    const char *name;
    enum dms_type type;
    uint32_t length;
    uint8_t precision;
    uint8_t scale;
    uint16_t key;
    bool is_lob;
    bool is_fixed_text;
    bool nullable;
};

static inline struct table_def *
help_table(uint32_t id, const char *schema, const char *name, const struct help_column *columns,
           uint16_t n)
{
    struct table_def *t = calloc(1, sizeof(*t));
    struct err e = ERR_INIT;

    t->id = id;
    t->version = 1;
    t->schema = strdup(schema);
    t->name = strdup(name);
    t->n_columns = n;
    t->columns = calloc(n, sizeof(*t->columns));
    for (uint16_t i = 0; i < n; i++) {
        t->columns[i] = (struct column_def){
            .name = strdup(columns[i].name),
            .source_type = strdup("?"),
            .type = columns[i].type,
            .length = columns[i].length,
            .precision = columns[i].precision,
            .scale = columns[i].scale,
            .nullable = columns[i].nullable,
            .is_lob = columns[i].is_lob,
            .is_fixed_text = columns[i].is_fixed_text,
            .key_ordinal = columns[i].key,
        };
    }
    if (catalog_finish(t, &e) != 0) { /* benchmarks come here too: no assertions of libcheck */
        (void)fprintf(stderr, "%s\n", e.text);
        abort();
    }
    return t;
}

/* dbo.invoices, the table of the examples. */
static const struct help_column help_invoice_columns[] = {
    {.name = "invoice_id", .type = DMS_INT4, .key = 1},
    {.name = "customer_id", .type = DMS_INT4},
    {.name = "billing_date", .type = DMS_DATE, .nullable = true},
    {.name = "due_date", .type = DMS_DATE, .nullable = true},
    {.name = "balance", .type = DMS_NUMERIC, .precision = 18, .scale = 2, .nullable = true},
    {.name = "monthly_kwh_use", .type = DMS_INT4, .nullable = true},
    {.name = "note", .type = DMS_WSTRING, .length = 50, .nullable = true},
};
#define HELP_INVOICE_COLUMNS 7

static inline struct table_def *
help_invoices(uint32_t id)
{
    return help_table(id, "dbo", "invoices", help_invoice_columns, HELP_INVOICE_COLUMNS);
}

static const struct value help_invoice_before[HELP_INVOICE_COLUMNS] = {
    HELP_INT(70001),        HELP_INT(815), HELP_DATE(20513),  HELP_DATE(20543),
    HELP_DECIMAL("129.40"), HELP_INT(412), HELP_TEXT("open"),
};
static const struct value help_invoice_after[HELP_INVOICE_COLUMNS] = {
    HELP_INT(70001),      HELP_INT(815), HELP_DATE(20513),           HELP_DATE(20543),
    HELP_DECIMAL("0.00"), HELP_INT(412), HELP_TEXT("paid \"cash\""),
};

/* An event of transaction 4127 at a SQL Server position. */
static inline struct event
help_event(enum event_operation operation, uint32_t table_id, const struct value *after, uint16_t n)
{
    struct position_sqlserver at = {
        .start_lsn = {0, 0, 0, 0x2a, 0, 0, 0x0f, 0x38, 0, 0x12},
        .seqval = {0, 0, 0, 0x2a, 0, 0, 0x0f, 0x38, 0, 0x11},
        .command_id = 2,
        .operation = 4,
    };
    struct event ev = {
        .operation = operation,
        .table_id = table_id,
        .version = 1,
        .commit_real_ns = 1772698446310000000,
        .transaction_id = {0, 0, 0, 0, 0x10, 0x1f},
        .transaction_id_size = 6,
        .record_number = 2,
        .captured_mono_ns = 5,
        .n_after = n,
        .after = after,
    };

    if (operation == EVENT_LOAD) {
        ev.transaction_id_size = 0;
        ev.record_number = 0;
        ev.commit_real_ns = 0;
        position_load_chunk(at.start_lsn, 3, &ev.position);
    } else {
        position_from_sqlserver(&at, &ev.position);
    }
    return ev;
}

#endif
