#include "tests/mssqld/sql/fault.h"

#include "common/err.h"

struct fault {
    struct fault_order order; /* texts owned */
    int left;
    struct fault *next;
};

struct known {
    int32_t number;
    uint8_t severity;
    uint8_t state;
    enum fault_cut cut;
    const char *text;
};

/* Texts are short forms of the server's; "%" stands for nothing a client may rely on. */
static const struct known KNOWN[] = {
    {208, 16, 1, FAULT_KEEP, "Invalid object name."},
    {229, 14, 5, FAULT_KEEP, "The SELECT permission was denied on the object."},
    {313, 16, 3, FAULT_KEEP,
     "An insufficient number of arguments were supplied for the procedure or function "
     "cdc.fn_cdc_get_all_changes_ ... ."},
    {596, 21, 1, FAULT_CLOSE,
     "Cannot continue the execution because the session is in the kill "
     "state."},
    {601, 12, 3, FAULT_KEEP, "Could not continue scan with NOLOCK due to data movement."},
    {701, 17, 123, FAULT_KEEP,
     "There is insufficient system memory in resource pool 'default' to "
     "run this query."},
    {823, 24, 2, FAULT_CLOSE, "The operating system returned error 21 to SQL Server."},
    {845, 17, 1, FAULT_KEEP, "Time-out occurred while waiting for buffer latch."},
    {976, 14, 1, FAULT_KEEP,
     "The target database is participating in an availability group and is currently not "
     "accessible for queries."},
    {978, 14, 1, FAULT_KEEP,
     "The target database is in an availability group and is currently accessible for "
     "connections when the application intent is set to read only."},
    {983, 14, 1, FAULT_KEEP,
     "Unable to access availability database because the database replica is not in the PRIMARY "
     "or SECONDARY role."},
    {1105, 17, 2, FAULT_KEEP,
     "Could not allocate space for object because the 'PRIMARY' "
     "filegroup is full."},
    {1204, 19, 4, FAULT_KEEP,
     "The instance of the SQL Server Database Engine cannot obtain a LOCK "
     "resource at this time."},
    {1205, 13, 51, FAULT_KEEP,
     "Transaction was deadlocked on lock resources with another process and has been chosen as "
     "the deadlock victim. Rerun the transaction."},
    {1222, 16, 51, FAULT_KEEP, "Lock request time out period exceeded."},
    {3617, 25, 23, FAULT_CLOSE, "The query was interrupted."},
    {3906, 16, 1, FAULT_KEEP, "Failed to update database because the database is read-only."},
    {3952, 16, 1, FAULT_KEEP,
     "Snapshot isolation transaction failed accessing database because snapshot isolation is not "
     "allowed in this database. Use ALTER DATABASE to allow snapshot isolation."},
    {3960, 16, 2, FAULT_KEEP, "Snapshot isolation transaction aborted due to update conflict."},
    {3961, 16, 1, FAULT_KEEP,
     "Snapshot isolation transaction failed in database because the object accessed by the "
     "statement has been modified by a DDL statement in another concurrent transaction since the "
     "start of this transaction."},
    {4060, 11, 1, FAULT_CLOSE, "Cannot open database requested by the login. The login failed."},
    {4221, 16, 1, FAULT_CLOSE,
     "Login to read-secondary failed due to long wait on 'HADR_DATABASE_WAIT_FOR_TRANSITION_TO_"
     "VERSIONING'. The replica is not available for login because row versions are missing."},
    {6005, 10, 1, FAULT_CLOSE, "SHUTDOWN is in progress."},
    {8645, 17, 1, FAULT_KEEP,
     "A timeout occurred while waiting for memory resources to execute "
     "the query in resource pool 'default'."},
    {9002, 17, 4, FAULT_KEEP, "The transaction log for database is full due to 'REPLICATION'."},
    {10928, 16, 1, FAULT_CLOSE,
     "Resource ID: 1. The request limit for the database is 120 and has "
     "been reached."},
    {10929, 16, 1, FAULT_CLOSE,
     "Resource ID: 1. The server is currently too busy to support "
     "requests for this database."},
    {17142, 14, 1, FAULT_CLOSE,
     "SQL Server service has been paused. No new connections will be "
     "allowed."},
    {17187, 16, 1, FAULT_CLOSE, "SQL Server is not ready to accept new client connections."},
    {18456, 14, 1, FAULT_CLOSE, "Login failed."},
    {18470, 14, 1, FAULT_CLOSE, "Login failed. Reason: The account is disabled."},
    {18487, 14, 1, FAULT_CLOSE, "Login failed. Reason: The password of the account has expired."},
    {18488, 14, 1, FAULT_CLOSE,
     "Login failed. Reason: The password of the account must be "
     "changed."},
    {35250, 16, 7, FAULT_KEEP, "The connection to the primary replica is not active."},
    {40197, 17, 1, FAULT_CLOSE,
     "The service has encountered an error processing your request. "
     "Please try again. Error code 40166."},
    {40501, 20, 1, FAULT_CLOSE,
     "The service is currently busy. Retry the request after 10 "
     "seconds."},
    {40613, 17, 1, FAULT_CLOSE,
     "Database on server is not currently available. Please retry the "
     "connection later."},
    {49918, 16, 1, FAULT_CLOSE, "Cannot process request. Not enough resources to process request."},
    {49919, 16, 1, FAULT_CLOSE,
     "Cannot process create or update request. Too many operations in "
     "progress."},
    {49920, 16, 1, FAULT_CLOSE, "Cannot process request. Too many operations in progress."},
};

static const struct known *
find_known(int32_t number)
{
    for (size_t i = 0; i < sizeof KNOWN / sizeof KNOWN[0]; i++)
        if (KNOWN[i].number == number)
            return &KNOWN[i];
    return NULL;
}

static char *
copy(const char *text)
{
    char *out = text != NULL ? strdup(text) : NULL;

    CHECK(text == NULL || out != NULL);
    return out;
}

static void
free_one(struct fault *f)
{
    free((void *)(uintptr_t)f->order.like);
    free((void *)(uintptr_t)f->order.message);
    free((void *)(uintptr_t)f->order.sql);
    free(f);
}

void
fault_add(struct engine *g, const struct fault_order *order)
{
    struct fault *f = calloc(1, sizeof *f);
    struct fault **tail = &g->faults;

    CHECK(f != NULL);
    f->order = *order;
    f->order.like = copy(order->like != NULL ? order->like : "%");
    f->order.message = copy(order->message);
    f->order.sql = copy(order->sql);
    f->left = order->times;
    (void)pthread_mutex_lock(&g->mutex);
    while (*tail != NULL)
        tail = &(*tail)->next;
    *tail = f;
    (void)atomic_fetch_add(&g->n_faults, 1);
    (void)pthread_mutex_unlock(&g->mutex);
}

int
fault_clear(struct engine *g)
{
    int n = 0;

    (void)pthread_mutex_lock(&g->mutex);
    while (g->faults != NULL) {
        struct fault *next = g->faults->next;

        free_one(g->faults);
        g->faults = next;
        n++;
    }
    atomic_store(&g->n_faults, 0);
    (void)pthread_mutex_unlock(&g->mutex);
    return n;
}

void
fault_free(struct engine *g)
{
    (void)fault_clear(g);
}

static void
make_error(const struct fault_order *o, struct sqlerr *e)
{
    const struct known *k = find_known(o->number);
    uint8_t severity = o->severity > 0 ? (uint8_t)o->severity : k != NULL ? k->severity : 16;

    if (o->message != NULL)
        (void)sqlerr_set(e, o->number, severity, k != NULL ? k->state : 1, "%s", o->message);
    else if (k != NULL)
        (void)sqlerr_set(e, o->number, severity, k->state, "%s", k->text);
    else
        (void)sqlerr_set(e, o->number, severity, 1, "Error %d, as ordered by mssqld.fail_next.",
                         o->number);
}

static enum fault_cut
cut_of(const struct fault_order *o)
{
    const struct known *k = find_known(o->number);

    if (o->cut >= 0)
        return (enum fault_cut)o->cut;
    if (k != NULL)
        return k->cut;
    return o->severity >= 20 ? FAULT_CLOSE : FAULT_KEEP;
}

/* What a rule asks of the statement or login that it met. */
struct verdict {
    struct sqlerr e;
    int64_t after_rows;
    enum fault_cut cut;
    char *sql; /* the caller's to free */
};

/* Uses the first rule that matches; a used-up rule is forgotten. */
static bool
take(struct engine *g, const struct session *s, const char *text, struct verdict *v)
{
    bool found = false;

    (void)pthread_mutex_lock(&g->mutex);
    for (struct fault **link = &g->faults; *link != NULL && !found; link = &(*link)->next) {
        struct fault *f = *link;

        if (f->order.login != (s == NULL) || (s != NULL && f->order.except == s) ||
            sqlite3_strlike(f->order.like, text, 0) != 0)
            continue;
        if (f->order.skip > 0) {
            f->order.skip--;
            continue;
        }
        make_error(&f->order, &v->e);
        v->after_rows = f->order.after_rows;
        v->cut = cut_of(&f->order);
        v->sql = copy(f->order.sql);
        found = true;
        if (f->left > 0 && --f->left == 0) {
            *link = f->next;
            (void)atomic_fetch_sub(&g->n_faults, 1);
            free_one(f);
            break;
        }
    }
    (void)pthread_mutex_unlock(&g->mutex);
    return found;
}

/* A step of somebody else's, at the one moment it is wanted. */
static int
run_before(struct session *s, const char *sql)
{
    struct session *other = session_internal_open(s->engine, s->current);
    int rc;

    other->cdc_internal = false;
    rc = run_text(other, sql, NULL, 0, NULL, NULL);
    if (rc != 0 || other->error.number != 0)
        rc = sqlerr_set(&s->error, 50000, 16, 1, "mssqld.before_next: %d %s", other->error.number,
                        other->error.text);
    session_close(&other);
    return rc;
}

static int
fall(struct session *s, const struct sqlerr *e, enum fault_cut cut)
{
    s->error = *e;
    if (cut == FAULT_KEEP)
        return -1;
    session_end(s);
    if (cut == FAULT_ABORT) {
        engine_cut(s->engine, s->spid);
        s->peer_gone = true;
    }
    return -1;
}

int
fault_statement(struct session *s, const char *text, size_t size)
{
    struct verdict v = {.sql = NULL};
    const char *own = arena_strndup(&s->exec_arena, text, size);

    s->fault_after = -1;
    if (!take(s->engine, s, own, &v))
        return 0;
    if (v.sql != NULL) {
        int rc = run_before(s, v.sql);

        free(v.sql);
        return rc;
    }
    if (v.after_rows < 0)
        return fall(s, &v.e, v.cut);
    s->fault_after = v.after_rows;
    s->fault_error = v.e;
    s->fault_cut = (int)v.cut;
    return 0;
}

int
fault_row(struct session *s, int64_t rows, bool last)
{
    if (s->fault_after < 0 || (rows < s->fault_after && !last))
        return 0;
    s->fault_after = -1;
    return fall(s, &s->fault_error, (enum fault_cut)s->fault_cut);
}

bool
fault_login(struct engine *g, const char *user, struct sqlerr *e)
{
    struct verdict v = {.sql = NULL};

    if (atomic_load(&g->n_faults) == 0 || !take(g, NULL, user, &v))
        return false;
    free(v.sql);
    *e = v.e;
    return true;
}
