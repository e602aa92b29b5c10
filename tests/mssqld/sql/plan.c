#include "tests/mssqld/sql/plan.h"

#include "common/err.h"

static void
plan_empty(struct plan *p)
{
    query_free(&p->query);
    query_free(&p->values);
    query_free(&p->conditions);
    arena_free(&p->arena);
    p->table = NULL;
    p->targets = NULL;
    p->n_targets = 0;
    p->types = NULL;
    p->plain_values = false;
    p->made = false;
}

struct plan *
plan_of(struct session *s, struct plan_entry *e, struct stmt *x)
{
    struct plan *p = x->plan;

    if (p == NULL) {
        p = calloc(1, sizeof *p);
        CHECK(p != NULL);
        p->next = e->plans;
        e->plans = p;
        x->plan = p;
    }
    catalog_refresh(s);
    if (p->version != s->catalog_version || p->database != s->current || p->table != NULL) {
        /* A table's cached form may have been dropped by a rollback: look it up anew. */
        if (p->version != s->catalog_version || p->database != s->current)
            plan_empty(p);
        p->version = s->catalog_version;
        p->database = s->current;
    }
    return p;
}

void
plan_entry_free(struct plan_entry *e)
{
    while (e->plans != NULL) {
        struct plan *next = e->plans->next;

        plan_empty(e->plans);
        free(e->plans);
        e->plans = next;
    }
    arena_free(&e->arena);
    free(e->key);
    free(e);
}

/* Entries that run now are left: their statements look at the catalog version themselves. */
void
plan_forget(struct session *s)
{
    struct plan_entry **link = &s->plans;

    while (*link != NULL) {
        struct plan_entry *e = *link;

        if (e->in_use) {
            e->keep = false;
            for (struct plan *p = e->plans; p != NULL; p = p->next)
                p->version = 0;
            link = &e->next;
            continue;
        }
        *link = e->next;
        s->n_plans--;
        plan_entry_free(e);
    }
}
