/* Calls that are no functions of the table: ISNULL and its like, CHECKSUM(*), $PARTITION. */
#include <strings.h>

#include "tests/mssqld/sql/bind_parts.h"

bool
call_one_of(const char *name, const char *const *list)
{
    for (; *list != NULL; list++)
        if (strcasecmp(*list, name) == 0)
            return true;
    return false;
}

bool
call_is_special(const char *name)
{
    static const char *const NAMES[] = {"ISNULL", "COALESCE", "NULLIF", "IIF", NULL};

    return call_one_of(name, NAMES);
}

int
call_bind_special(struct binder *b, struct expr *x)
{
    struct sql_type t;
    bool all_nullable = true;
    int first = strcasecmp(x->name, "IIF") == 0 ? 1 : 0;

    if (x->n_args < 2 || (first == 1 && x->n_args != 3))
        return sqlerr_set(&b->s->error, 174, 15, 1, "The %s function requires 2 argument(s).",
                          x->name);
    t = x->args[first]->type;
    for (int i = first; i < x->n_args; i++)
        all_nullable = all_nullable && (x->args[i]->type.nullable || x->args[i]->kind == EXPR_NULL);
    if (strcasecmp(x->name, "ISNULL") == 0) {
        if (x->args[0]->kind == EXPR_NULL)
            t = x->args[1]->type;
    } else if (strcasecmp(x->name, "NULLIF") != 0) {
        bool have = x->args[first]->kind != EXPR_NULL;

        for (int i = first + 1; i < x->n_args; i++) {
            if (x->args[i]->kind == EXPR_NULL)
                continue;
            t = have ? type_unify(&t, &x->args[i]->type) : x->args[i]->type;
            have = true;
        }
    }
    t.nullable = all_nullable || strcasecmp(x->name, "NULLIF") == 0 || first == 1;
    t.identity = false;
    x->type = t;
    return 0;
}

/* CHECKSUM(*): all columns that can be compared. */
int
call_bind_checksum(struct binder *b, struct expr *x)
{
    x->star = false;
    for (int i = 0; b->scope != NULL && i < b->scope->n_rels; i++)
        for (int c = 0; c < b->scope->rels[i].n_columns; c++) {
            const struct rel_column *column = &b->scope->rels[i].columns[c];
            struct expr *e = arena_alloc(b->arena, sizeof *e);

            if (type_is_lob(&column->type) || column->type.base >= SQL_HIERARCHYID ||
                column->type.base == SQL_XML)
                continue;
            e->kind = EXPR_COLUMN;
            e->name = column->name;
            e->type = column->type;
            e->sql = column->sql;
            e->bound = true;
            x->args = arena_push(b->arena, x->args, x->n_args, sizeof *x->args);
            x->args[x->n_args++] = e;
        }
    x->type = type_make(SQL_INT);
    return x->n_args > 0 ? 0
                         : sqlerr_set(&b->s->error, 8184, 16, 1,
                                      "Error in binarychecksum. There are no comparable columns in "
                                      "the binarychecksum input.");
}

/* $PARTITION.f(x): the number of the partition a value belongs to. */
int
call_bind_partition(struct binder *b, struct expr *x)
{
    int64_t id = partition_function(b->s, b->s->current, x->qualifier, &x->cast_to);

    if (id < 0 || x->n_args != 1)
        return sqlerr_set(&b->s->error, 208, 16, 1, "Invalid object name '%s'.", x->qualifier);
    x->literal = (int)id;
    x->type = type_make(SQL_INT);
    return bind_expr(b, x->args[0]);
}

void
call_emit_special(struct binder *b, struct sbuf *o, const struct expr *x)
{
    if (strcasecmp(x->name, "IIF") == 0) {
        sbuf_add(o, "(CASE WHEN ");
        emit_expr(b, o, x->args[0]);
        sbuf_add(o, " THEN ");
        emit_as(b, o, x->args[1], &x->type);
        sbuf_add(o, " ELSE ");
        emit_as(b, o, x->args[2], &x->type);
        sbuf_add(o, " END)");
        return;
    }
    if (strcasecmp(x->name, "NULLIF") == 0) {
        struct sql_type t = type_unify(&x->args[0]->type, &x->args[1]->type);

        sbuf_add(o, "(CASE WHEN ");
        emit_as(b, o, x->args[0], &t);
        sbuf_add(o, type_is_text(t.base) ? " COLLATE MSCI=" : "=");
        emit_as(b, o, x->args[1], &t);
        sbuf_add(o, " THEN NULL ELSE ");
        emit_expr(b, o, x->args[0]);
        sbuf_add(o, " END)");
        return;
    }
    sbuf_add(o, "coalesce(");
    for (int i = 0; i < x->n_args; i++) {
        sbuf_add(o, i > 0 ? "," : "");
        emit_as(b, o, x->args[i], &x->type);
    }
    sbuf_add(o, ")");
}

void
call_emit_partition(struct binder *b, struct sbuf *o, const struct expr *x)
{
    int d = b->s->current->id;

    sbuf_fmt(o,
             "(1 + (SELECT count(*) FROM d%d.sys_partition_values pv JOIN "
             "d%d.sys_partition_functions pf ON pf.function_id = pv.function_id WHERE "
             "pv.function_id = %d AND CASE pf.is_right WHEN 1 THEN pv.v <= ",
             d, d, x->literal);
    emit_as(b, o, x->args[0], &x->cast_to);
    sbuf_add(o, " ELSE pv.v < ");
    emit_as(b, o, x->args[0], &x->cast_to);
    sbuf_add(o, " END))");
}
