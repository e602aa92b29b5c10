/* uses: capture */
/*
 * capture_drain - the two ends that capture.py holds weir-capture against.
 *
 *   capture_drain table PORT PASSWORD-FILE DATABASE INSTANCE COLUMNS ROWS
 *       the limit: a bare DB-Library loop that pages through the change table with the statements
 *       capture sends, looks at every value's pointer and length, and does nothing
 *   capture_drain ring RING-FILE ROWS
 *       the measured: a consumer that releases every change at once
 *   capture_drain numbers RING-FILE ROWS
 *       the same, but every change must bear the record number behind the one before, from 1
 *
 * Both print rows and the nanoseconds from the first row to the last.
 */
#include "common/clock.h"
#include "common/err.h"
#include "common/event.h"
#include "common/ring.h"

#include <sybfront.h>

#include <sybdb.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_ROWS   8192
#define PACKET_SIZE 32767
#define LSN_SIZE    10
#define USAGE                                                                                      \
    "usage: capture_drain table PORT PASSWORD-FILE DATABASE INSTANCE COLUMNS ROWS\n"               \
    "       capture_drain ring|numbers RING-FILE ROWS\n"

/* Where a page ended. */
struct tuple {
    uint8_t lsn[LSN_SIZE];
    uint8_t seqval[LSN_SIZE];
    int32_t command_id;
    int32_t operation;
};

struct count {
    uint64_t rows;
    int64_t first_ns;
    int64_t last_ns;
    uint64_t bytes;
};

static int
on_error(DBPROCESS *proc, int severity, int number, int os_error, char *text, char *os_text)
{
    (void)proc;
    (void)severity;
    (void)os_error;
    (void)os_text;
    (void)fprintf(stderr, "capture_drain: DB-Library %d: %s\n", number, text);
    return INT_CANCEL;
}

static int
on_message(DBPROCESS *proc, DBINT number, int state, int severity, char *text, char *server,
           char *procedure, int line)
{
    (void)proc;
    (void)state;
    (void)server;
    (void)procedure;
    (void)line;
    if (severity > 10)
        (void)fprintf(stderr, "capture_drain: server message %d: %s\n", number, text);
    return 0;
}

static DBPROCESS *
open_database(const char *port, const char *password_file, const char *database)
{
    char server[64];
    char password[256] = "";
    FILE *f = fopen(password_file, "r");
    LOGINREC *login;
    DBPROCESS *d;

    if (f == NULL || fgets(password, sizeof(password), f) == NULL || dbinit() != SUCCEED)
        return NULL;
    (void)fclose(f);
    password[strcspn(password, "\r\n")] = '\0';
    (void)dberrhandle(on_error);
    (void)dbmsghandle(on_message);
    login = dblogin();
    DBSETLUSER(login, "sa");
    DBSETLPWD(login, password);
    DBSETLCHARSET(login, "UTF-8");
    DBSETLDBNAME(login, database);
    DBSETLVERSION(login, DBVERSION_74);
    DBSETLPACKET(login, PACKET_SIZE);
    (void)snprintf(server, sizeof(server), "127.0.0.1:%s", port);
    d = dbopen(login, server);
    dbloginfree(login);
    return d;
}

static void
put_hex(char *to, const uint8_t *bytes)
{
    for (size_t i = 0; i < LSN_SIZE; i++)
        (void)snprintf(to + 2 * i, 3, "%02X", bytes[i]);
}

/* The statement of log_page.c. */
static int
send_page(DBPROCESS *d, const char *instance, const char *columns, const struct tuple *t)
{
    char lsn[2 * LSN_SIZE + 1];
    char seqval[2 * LSN_SIZE + 1];

    put_hex(lsn, t->lsn);
    put_hex(seqval, t->seqval);
    if (dbfcmd(d,
               "SELECT TOP (%d) [__$start_lsn], [__$command_id], [__$seqval], [__$operation], "
               "[__$update_mask], %s FROM cdc.[%s_CT] WHERE [__$start_lsn] >= 0x%s AND "
               "([__$start_lsn] > 0x%s OR ([__$command_id] > %d OR ([__$command_id] = %d AND "
               "([__$seqval] > 0x%s OR ([__$seqval] = 0x%s AND [__$operation] > %d))))) AND "
               "[__$start_lsn] <= 0xFFFFFFFFFFFFFFFFFFFF ORDER BY [__$start_lsn], "
               "[__$command_id], [__$seqval], [__$operation]",
               PAGE_ROWS, columns, instance, lsn, lsn, t->command_id, t->command_id, seqval, seqval,
               t->operation) == FAIL ||
        dbsqlexec(d) == FAIL || dbresults(d) != SUCCEED)
        return -1;
    return 0;
}

/* Rows of one page, -1 on an error. */
static int
take_page(DBPROCESS *d, struct tuple *t, struct count *c)
{
    int n_columns = dbnumcols(d);
    int rows = 0;
    STATUS status;

    while ((status = dbnextrow(d)) == REG_ROW) {
        for (int i = 1; i <= n_columns; i++)
            c->bytes += dbdata(d, i) != NULL ? (uint64_t)dbdatlen(d, i) : 0;
        if (c->rows++ == 0)
            c->first_ns = clock_mono_ns();
        memcpy(t->lsn, dbdata(d, 1), LSN_SIZE);
        memcpy(&t->command_id, dbdata(d, 2), sizeof(t->command_id));
        memcpy(t->seqval, dbdata(d, 3), LSN_SIZE);
        memcpy(&t->operation, dbdata(d, 4), sizeof(t->operation));
        rows++;
    }
    return status == NO_MORE_ROWS && dbresults(d) == NO_MORE_RESULTS ? rows : -1;
}

static int
drain_table(char **argv, struct count *c)
{
    uint64_t wanted = strtoull(argv[7], NULL, 10);
    DBPROCESS *d = open_database(argv[2], argv[3], argv[4]);
    struct tuple at = {.command_id = 0};
    int rows = PAGE_ROWS;

    while (d != NULL && rows == PAGE_ROWS && c->rows < wanted) {
        rows = send_page(d, argv[5], argv[6], &at) == 0 ? take_page(d, &at, c) : -1;
        if (rows < 0)
            return -1;
    }
    c->last_ns = clock_mono_ns();
    dbexit();
    return d != NULL && c->rows >= wanted ? 0 : -1;
}

/* Counts the changes of one transaction: none missing, none twice. */
static int
check_number(const struct ring_view *v, uint64_t expected, struct err *e)
{
    static struct event_values room;
    struct event ev;

    if (event_decode(v->data, v->len, v->table_id, &room, &ev, e) != 0)
        return -1;
    return ev.record_number == expected
               ? 0
               : err_set(e, ERR_CORRUPT, "record %u where %" PRIu64 " was due", ev.record_number,
                         expected);
}

static int
take_record(const struct ring_view *v, bool is_numbered, struct count *c, struct err *e)
{
    /* The table's announcement comes first: it counts as a row and has no number. */
    if (is_numbered && check_number(v, c->rows, e) != 0)
        return -1;
    if (c->rows++ == 0)
        c->first_ns = clock_mono_ns();
    c->bytes += v->len;
    return 0;
}

static int
drain_ring(char **argv, bool is_numbered, struct count *c)
{
    struct ring_config config = {.path = argv[2],
                                 .name = "change",
                                 .capacity = RING_CAPACITY_MIN,
                                 .generation = 1,
                                 .record_format = EVENT_FORMAT};
    uint64_t wanted = strtoull(argv[3], NULL, 10);
    struct ring *r = NULL;
    struct ring_view v;
    struct err e = ERR_INIT;
    int rc = ring_open_consumer(&config, &r, &e);

    while (rc == 0 && c->rows < wanted) {
        rc = ring_next(r, &v, &e);
        if (rc == 0) {
            (void)ring_wait_data(&r, 1, 100);
            continue;
        }
        if (rc < 0)
            break;
        rc = v.type == RING_DATA ? take_record(&v, is_numbered, c, &e) : 0;
        ring_release(r, v.end);
    }
    c->last_ns = clock_mono_ns();
    ring_close(&r);
    if (rc < 0)
        (void)fprintf(stderr, "capture_drain: %s\n", e.text);
    return rc;
}

int
main(int argc, char **argv)
{
    struct count c = {.rows = 0};
    int rc;

    if (argc == 8 && strcmp(argv[1], "table") == 0) {
        rc = drain_table(argv, &c);
    } else if (argc == 4 && (strcmp(argv[1], "ring") == 0 || strcmp(argv[1], "numbers") == 0)) {
        rc = drain_ring(argv, strcmp(argv[1], "numbers") == 0, &c);
    } else {
        (void)fputs(USAGE, stderr);
        return 2;
    }
    if (rc != 0)
        return 1;
    printf("%" PRIu64 " %" PRId64 " %" PRIu64 "\n", c.rows, c.last_ns - c.first_ns, c.bytes);
    return 0;
}
