/*
 * tds_fake_engine - an engine of a few words behind mssqld's seam, for tests of the front alone.
 *
 * Defines every function of engine.h, so nothing of the real engine is linked.  Include once.
 *
 *   rows N     N rows of a change table with ten columns
 *   echo       the parameters as one row
 *   output     the parameters come back as output parameters
 *   types      the same as echo, of NULLs
 *   wait       runs until it is cancelled
 *   error      an ERROR, DONE with the error bit
 *   bare       an ERROR and no DONE
 *   two        two results
 *   use NAME   changes the database
 *   wide N     one nvarchar(max) of N letters
 */
#ifndef TDS_FAKE_ENGINE_H
#define TDS_FAKE_ENGINE_H

#include "common/err.h"
#include "tests/mssqld/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FAKE_COLLATION                                                                             \
    {                                                                                              \
        0x09, 0x04, 0xD0, 0x00, 0x34                                                               \
    }

struct session {
    char database[64];
    uint64_t transaction;
};

int
engine_open(const struct engine_config *config, struct engine **out, struct err *e)
{
    (void)config;
    (void)e;
    *out = NULL;
    return 0;
}

void
engine_close(struct engine **engine)
{
    (void)engine;
}

bool
session_ended(const struct session *session)
{
    (void)session;
    return false;
}

int
session_open(struct engine *engine, const struct login_request *login, uint16_t spid,
             const struct sink *sink, struct session **out)
{
    struct session *s;

    (void)engine;
    (void)spid;
    if (strcmp(login->user, "sa") != 0 || strcmp(login->password, "S3cret!") != 0) {
        (void)sink->message(sink->arg, 18456, 1, 14, "Login failed for user.", "", 1);
        return -1;
    }
    if (strcmp(login->database, "nowhere") == 0) {
        (void)sink->message(sink->arg, 4060, 1, 11, "Cannot open database.", "", 1);
        return -1;
    }
    s = calloc(1, sizeof(*s));
    CHECK(s != NULL);
    (void)snprintf(s->database, sizeof(s->database), "%s",
                   login->database[0] == '\0' ? "master" : login->database);
    *out = s;
    return 0;
}

void
session_close(struct session **session)
{
    free(*session);
    *session = NULL;
}

const char *
session_database(const struct session *session)
{
    return session->database;
}

/* Ten columns as a change table of CDC has them. */
static const struct sql_column fake_change_columns[10] = {
    {"__$start_lsn", {.base = SQL_BINARY, .length = 10}},
    {"__$end_lsn", {.base = SQL_BINARY, .length = 10, .nullable = true}},
    {"__$seqval", {.base = SQL_BINARY, .length = 10}},
    {"__$operation", {.base = SQL_INT}},
    {"__$update_mask", {.base = SQL_VARBINARY, .length = 128, .nullable = true}},
    {"id", {.base = SQL_INT, .nullable = true}},
    {"customer", {.base = SQL_BIGINT, .nullable = true}},
    {"due", {.base = SQL_DATE, .nullable = true}},
    {"amount", {.base = SQL_DECIMAL, .precision = 18, .scale = 4, .nullable = true}},
    {"name", {.base = SQL_NVARCHAR, .length = 50, .nullable = true, .collation = FAKE_COLLATION}},
};

static void
fake_change_row(struct sql_value *v, int i)
{
    static const char lsn[] = "\0\0\0\x20\0\0\0\x40\0\x05";

    memset(v, 0, 10 * sizeof(*v));
    v[0].bytes.data = lsn;
    v[0].bytes.size = 10;
    v[1].is_null = true;
    v[2] = v[0];
    v[3].i = 2;
    v[4].bytes.data = "\x0f";
    v[4].bytes.size = 1;
    v[5].i = i;
    v[6].i = 1000000 + i;
    v[7].dt.days = 738000 + i % 1000;
    v[8].dec.magnitude = (unsigned)i * 7919U;
    v[9].bytes.data = "customer number one";
    v[9].bytes.size = 19;
}

static int
fake_rows(const struct sink *sink, enum done_kind kind, int n)
{
    struct sql_value values[10];
    int i;

    if (sink->columns(sink->arg, fake_change_columns, 10) != 0)
        return -1;
    for (i = 0; i < n; i++) {
        if (sink->cancelled != NULL && i % 64 == 0 && sink->cancelled(sink->arg))
            return 0;
        fake_change_row(values, i);
        if (sink->row(sink->arg, values) != 0)
            return -1;
    }
    return sink->done(sink->arg, kind, DONE_COUNT, 0xC1, (uint64_t)i);
}

static int
fake_wide(const struct sink *sink, enum done_kind kind, size_t n)
{
    struct sql_column column = {"wide",
                                {.base = SQL_NVARCHAR,
                                 .length = SQL_LENGTH_MAX,
                                 .nullable = true,
                                 .collation = FAKE_COLLATION}};
    char *text = malloc(n + 1);
    struct sql_value value = {.bytes = {.data = text, .size = n}};
    int r = -1;

    CHECK(text != NULL);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)('a' + i % 26);
    if (sink->columns(sink->arg, &column, 1) == 0 && sink->row(sink->arg, &value) == 0)
        r = sink->done(sink->arg, kind, DONE_COUNT, 0xC1, 1);
    free(text);
    return r;
}

/* The parameters as a row; with nulls, of the same types without values. */
static int
fake_echo(const struct sink *sink, enum done_kind kind, const struct sql_param *params, int n,
          bool nulls)
{
    struct sql_column columns[64];
    struct sql_value values[64];

    CHECK(n <= 64);
    for (int i = 0; i < n; i++) {
        columns[i] = (struct sql_column){.name = params[i].name, .type = params[i].type};
        values[i] = params[i].value;
        if (nulls)
            values[i].is_null = true;
    }
    if (sink->columns(sink->arg, columns, n) != 0 || sink->row(sink->arg, values) != 0)
        return -1;
    return sink->done(sink->arg, kind, DONE_COUNT, 0xC1, 1);
}

static int
fake_two(const struct sink *sink, enum done_kind kind)
{
    struct sql_column column = {"a", {.base = SQL_INT}};
    struct sql_value value = {.i = 1};

    for (int i = 0; i < 2; i++) {
        if (sink->columns(sink->arg, &column, 1) != 0 || sink->row(sink->arg, &value) != 0 ||
            sink->done(sink->arg, kind, DONE_COUNT, 0xC1, 1) != 0)
            return -1;
    }
    return 0;
}

static bool
is_word(const char *text, size_t size, const char *word)
{
    return size == strlen(word) && memcmp(text, word, size) == 0;
}

int
session_run(struct session *session, const char *text, const struct sql_param *params, int n_params,
            enum done_kind kind, const struct sink *sink)
{
    char from[64];
    size_t word = strcspn(text, " \r\n");

    if (strncmp(text, "rows ", 5) == 0)
        return fake_rows(sink, kind, (int)strtol(text + 5, NULL, 10));
    if (strncmp(text, "wide ", 5) == 0)
        return fake_wide(sink, kind, strtoul(text + 5, NULL, 10));
    if (is_word(text, word, "echo") || is_word(text, word, "types"))
        return fake_echo(sink, kind, params, n_params, is_word(text, word, "types"));
    if (is_word(text, word, "two"))
        return fake_two(sink, kind);
    if (is_word(text, word, "output")) {
        for (int i = 0; i < n_params; i++) {
            if (params[i].output)
                (void)sink->return_value(sink->arg, params[i].name, &params[i].type,
                                         &params[i].value);
        }
        return 0;
    }
    if (is_word(text, word, "wait")) {
        while (!sink->cancelled(sink->arg))
            (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        return 0;
    }
    if (is_word(text, word, "error")) {
        (void)sink->message(sink->arg, 50000, 3, 16, "boo", "", 7);
        return sink->done(sink->arg, kind, DONE_ERROR, 0xFD, 0);
    }
    if (is_word(text, word, "bare"))
        return sink->message(sink->arg, 102, 1, 15, "Incorrect syntax.", "", 1);
    if (strcmp(text, "SET TRANSACTION ISOLATION LEVEL SNAPSHOT") == 0) {
        (void)sink->message(sink->arg, 1, 1, 0, "isolated", "", 1);
        return sink->done(sink->arg, kind, 0, 0xFD, 0);
    }
    if (strcmp(text, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE") == 0) {
        (void)sink->message(sink->arg, 3952, 1, 16, "no", "", 1);
        return sink->done(sink->arg, kind, DONE_ERROR, 0xFD, 0);
    }
    if (strncmp(text, "use ", 4) == 0) {
        memcpy(from, session->database, sizeof(from));
        (void)snprintf(session->database, sizeof(session->database), "%s", text + 4);
        return sink->database_changed(sink->arg, from, session->database);
    }
    return 0;
}

int
session_call(struct session *session, const char *procedure, struct sql_param *params, int n_params,
             const struct sink *sink)
{
    (void)session;
    if (strcmp(procedure, "echo") != 0)
        return sink->message(sink->arg, 2812, 62, 16, "Could not find stored procedure.", "", 1);
    if (fake_echo(sink, DONE_IN_PROC, params, n_params, false) != 0)
        return -1;
    (void)sink->return_status(sink->arg, 7);
    for (int i = 0; i < n_params; i++) {
        if (params[i].output)
            (void)sink->return_value(sink->arg, params[i].name, &params[i].type, &params[i].value);
    }
    return 0;
}

int
session_begin(struct session *session, const struct sink *sink)
{
    session->transaction++;
    (void)sink->transaction_changed(sink->arg, 8, session->transaction);
    return sink->done(sink->arg, DONE_BATCH, 0, 0xD4, 0);
}

int
session_commit(struct session *session, const struct sink *sink)
{
    (void)sink->transaction_changed(sink->arg, 9, session->transaction);
    return sink->done(sink->arg, DONE_BATCH, 0, 0xD5, 0);
}

int
session_rollback(struct session *session, const struct sink *sink)
{
    (void)sink->transaction_changed(sink->arg, 10, session->transaction);
    return sink->done(sink->arg, DONE_BATCH, 0, 0xD2, 0);
}

int
session_save(struct session *session, const char *name, const struct sink *sink)
{
    (void)session;
    (void)name;
    return sink->done(sink->arg, DONE_BATCH, 0, 0xFD, 0);
}

/* "@a t, @b t": names only; the types stay those of the values. */
int
engine_parse_params(const char *text, struct sql_param **out, int *n, struct err *e)
{
    size_t size = strlen(text) + 1;
    struct sql_param *params;
    char *names;
    char *save = NULL;
    int count = 0;

    for (const char *p = text; *p != '\0'; p++)
        count += *p == '@';
    params = calloc(1, (size_t)count * sizeof(*params) + size + 1);
    if (params == NULL)
        return err_set(e, ERR_NOMEM, "no memory");
    names = (char *)(params + count);
    memcpy(names, text, size);
    *n = 0;
    for (char *p = strtok_r(names, ",", &save); p != NULL; p = strtok_r(NULL, ",", &save)) {
        p += strspn(p, " ");
        if (*p != '@')
            continue;
        p[strcspn(p, " ")] = '\0';
        params[(*n)++].name = p;
    }
    *out = params;
    return 0;
}

#endif
