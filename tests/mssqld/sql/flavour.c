#include "tests/mssqld/sql/flavour.h"

#include <strings.h>

#include "common/err.h"
#include "tests/mssqld/sql/security.h"

struct override {
    char *view;
    char *column;
    char *value;
    char *database; /* of sys.databases: the row's name; NULL = every row */
    int database_id;
    int object_id; /* 0 = every row */
    struct override *next;
};

static const struct {
    int major;
    const char *version;
    const char *year;
} VERSIONS[] = {
    {11, "11.0.7507.2", "2012"}, {12, "12.0.6449.1", "2014"}, {13, "13.0.6300.2", "2016"},
    {14, "14.0.3456.2", "2017"}, {15, "15.0.4312.2", "2019"}, {16, "16.0.4135.4", "2022"},
};

static const struct {
    const char *name;
    int engine_edition;
    const char *edition;
} FLAVOURS[] = {
    [FLAVOUR_BOX] = {"box", 3, "Developer Edition (64-bit)"},
    [FLAVOUR_RDS] = {"rds", 2, "Standard Edition (64-bit)"},
    [FLAVOUR_AZURE] = {"azure-sql-database", 5, "SQL Azure"},
    [FLAVOUR_MI] = {"managed-instance", 8, "SQL Azure"},
};

enum flavour
flavour_of(const struct engine *g)
{
    return (enum flavour)atomic_load(&g->flavour);
}

int
flavour_major(const struct engine *g)
{
    int major = atomic_load(&g->major);

    return major != 0 ? major : 16;
}

static size_t
version_index(const struct engine *g)
{
    size_t i = 0;

    while (VERSIONS[i].major != flavour_major(g))
        i++;
    return i;
}

/* Azure's databases allow snapshots from the start. */
static void
allow_snapshots(struct engine *g)
{
    (void)pthread_mutex_lock(&g->mutex);
    for (struct database *d = g->databases; d != NULL; d = d->next)
        if (d->id > DB_MSDB && !d->dropped) {
            atomic_store(&d->snapshot_allowed, true);
            atomic_store(&d->rcsi, true);
        }
    (void)pthread_mutex_unlock(&g->mutex);
    for (struct database *d = g->databases; d != NULL; d = d->next)
        if (d->id > DB_MSDB && !d->dropped)
            engine_save_database(g, d);
}

int
flavour_set(struct session *s, const char *name, int major)
{
    struct engine *g = s->engine;

    if (major != 0 && (major < 11 || major > 16))
        return sqlerr_set(&s->error, 50000, 16, 1, "There is no version %d here: 11 to 16.", major);
    for (size_t i = 0; i < sizeof FLAVOURS / sizeof FLAVOURS[0]; i++) {
        if (strcasecmp(FLAVOURS[i].name, name) != 0)
            continue;
        atomic_store(&g->flavour, (int)i);
        atomic_store(&g->major, major);
        engine_catalog_changed(g);
        if (i == FLAVOUR_AZURE)
            allow_snapshots(g);
        if (i == FLAVOUR_RDS && engine_database(g, "rdsadmin") == NULL)
            return engine_create_database(s, "rdsadmin");
        return 0;
    }
    return sqlerr_set(&s->error, 50000, 16, 1,
                      "There is no flavour '%s' here: box, rds, azure-sql-database, "
                      "managed-instance.",
                      name);
}

const char *
flavour_property(const struct engine *g, const char *name, int *number)
{
    size_t v = version_index(g);
    enum flavour f = flavour_of(g);
    bool azure = f == FLAVOUR_AZURE || f == FLAVOUR_MI;

    *number = -1;
    if (strcasecmp(name, "EngineEdition") == 0) {
        *number = FLAVOURS[f].engine_edition;
        return NULL;
    }
    if (strcasecmp(name, "Edition") == 0)
        return FLAVOURS[f].edition;
    if (strcasecmp(name, "ProductVersion") == 0)
        return azure ? "12.0.2000.8" : VERSIONS[v].version;
    if (strcasecmp(name, "ProductMajorVersion") == 0) {
        static const char *const MAJORS[] = {"11", "12", "13", "14", "15", "16"};

        return azure ? "12" : MAJORS[v];
    }
    return NULL;
}

const char *
flavour_version(const struct engine *g)
{
    static const char *const TEXTS[] = {
        "Microsoft SQL Server 2012 (SP4) - 11.0.7507.2 (X64) (mssqld test server)",
        "Microsoft SQL Server 2014 (SP3) - 12.0.6449.1 (X64) (mssqld test server)",
        "Microsoft SQL Server 2016 (SP3) - 13.0.6300.2 (X64) (mssqld test server)",
        "Microsoft SQL Server 2017 (RTM-CU31) - 14.0.3456.2 (X64) (mssqld test server)",
        "Microsoft SQL Server 2019 (RTM-CU20) - 15.0.4312.2 (X64) (mssqld test server)",
        ("Microsoft SQL Server 2022 (RTM-CU14) (KB5038325) - 16.0.4135.4 (X64) \n\tDeveloper "
         "Edition (64-bit) on Linux (mssqld test server) <X64>"),
    };
    enum flavour f = flavour_of(g);

    if (f == FLAVOUR_AZURE || f == FLAVOUR_MI)
        return "Microsoft SQL Azure (RTM) - 12.0.2000.8 (mssqld test server)";
    return TEXTS[version_index(g)];
}

bool
flavour_has_view(const struct engine *g, const char *name)
{
    enum flavour f = flavour_of(g);

    if (strcasecmp(name, "cdc_jobs") == 0)
        return f == FLAVOUR_AZURE;
    if (f == FLAVOUR_AZURE)
        return strcasecmp(name, "dm_server_services") != 0;
    if (f == FLAVOUR_MI)
        return true;
    if (flavour_major(g) < 13)
        return strcasecmp(name, "dm_db_stats_histogram") != 0 &&
               strcasecmp(name, "dm_db_log_stats") != 0;
    return true;
}

int
flavour_check_name(struct session *s, const struct name *name)
{
    if (flavour_of(s->engine) != FLAVOUR_AZURE || s->cdc_internal || name->database == NULL ||
        strcasecmp(name->database, s->current->name) == 0 ||
        strcasecmp(name->database, "master") == 0 || strcasecmp(name->database, "tempdb") == 0)
        return 0;
    return sqlerr_set(&s->error, 40515, 15, 1,
                      "Reference to database and/or server name in '%s.%s.%s' is not supported in "
                      "this version of SQL Server.",
                      name->database, name->schema != NULL ? name->schema : "",
                      name->object != NULL ? name->object : "");
}

/* ---- what views show against the truth ---- */

static void
free_override(struct override *o)
{
    free(o->view);
    free(o->column);
    free(o->value);
    free(o->database);
    free(o);
}

static char *
copy(const char *text)
{
    char *out = text != NULL ? strdup(text) : NULL;

    CHECK(text == NULL || out != NULL);
    return out;
}

static bool
same_rows(const struct override *o, const char *database, int database_id, int object_id)
{
    bool both = o->database != NULL && database != NULL;

    return o->object_id == object_id && o->database_id == database_id &&
           (both ? strcasecmp(o->database, database) == 0
                 : o->database == NULL && database == NULL);
}

int
flavour_override(struct session *s, const char *view, const char *column, const char *value,
                 const char *object)
{
    struct engine *g = s->engine;
    const char *dot = strrchr(view, '.');
    bool of_databases = strcasecmp(dot != NULL ? dot + 1 : view, "databases") == 0;
    struct table *t = object != NULL && !of_databases ? security_object(s, object) : NULL;
    const char *database = of_databases ? object : NULL;
    int database_id = of_databases ? 0 : s->current->id;
    int object_id = t != NULL ? t->object_id : 0;
    struct override *o;

    view = dot != NULL ? dot + 1 : view;
    if (object != NULL && !of_databases && t == NULL)
        return sqlerr_set(&s->error, 208, 16, 1, "Invalid object name '%s'.", object);
    (void)pthread_mutex_lock(&g->mutex);
    for (struct override **link = &g->overrides; *link != NULL;) {
        o = *link;
        if (strcasecmp(o->view, view) == 0 && strcasecmp(o->column, column) == 0 &&
            same_rows(o, database, database_id, object_id)) {
            *link = o->next;
            free_override(o);
        } else {
            link = &o->next;
        }
    }
    if (value != NULL) {
        o = calloc(1, sizeof *o);
        CHECK(o != NULL);
        o->view = copy(view);
        o->column = copy(column);
        o->value = copy(value);
        o->database = copy(database);
        o->database_id = database_id;
        o->object_id = object_id;
        o->next = g->overrides;
        g->overrides = o;
    }
    (void)pthread_mutex_unlock(&g->mutex);
    engine_catalog_changed(g);
    return 0;
}

static void
emit_text(struct sbuf *o, const char *text)
{
    sbuf_add(o, "'");
    for (; *text != '\0'; text++) {
        sbuf_addn(o, text, 1);
        if (*text == '\'')
            sbuf_add(o, "'");
    }
    sbuf_add(o, "'");
}

void
flavour_emit_column(struct engine *g, const struct database *d, const char *view,
                    const char *column, bool is_text, struct sbuf *o)
{
    int open = 0;

    (void)pthread_mutex_lock(&g->mutex);
    for (const struct override *v = g->overrides; v != NULL; v = v->next) {
        if (strcasecmp(v->view, view) != 0 || strcasecmp(v->column, column) != 0 ||
            (v->database_id != 0 && v->database_id != d->id))
            continue;
        sbuf_add(o, "CASE WHEN ");
        if (v->database != NULL) {
            sbuf_add(o, "name = ");
            emit_text(o, v->database);
        } else if (v->object_id != 0) {
            sbuf_fmt(o, "object_id = %d", v->object_id);
        } else {
            sbuf_add(o, "1");
        }
        sbuf_add(o, is_text ? " THEN " : " THEN CAST(");
        emit_text(o, v->value);
        sbuf_add(o, is_text ? " ELSE " : " AS INT) ELSE ");
        open++;
    }
    (void)pthread_mutex_unlock(&g->mutex);
    sbuf_fmt(o, "\"%s\"", column);
    for (int i = 0; i < open; i++)
        sbuf_add(o, " END");
    if (open > 0)
        sbuf_fmt(o, " AS \"%s\"", column);
}

void
flavour_free(struct engine *g)
{
    while (g->overrides != NULL) {
        struct override *next = g->overrides->next;

        free_override(g->overrides);
        g->overrides = next;
    }
}
