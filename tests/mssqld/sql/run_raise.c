/* PRINT, RAISERROR, THROW: messages that a batch makes itself. */
#include "tests/mssqld/sql/run_parts.h"

int
run_print(struct run *r, struct stmt *x)
{
    struct sql_type text = type_sized(SQL_NVARCHAR, 4000);
    struct sql_value v;
    struct sqlerr e = {.line = x->line};

    if (run_scalar(r, x, 0, x->expr, &text, NULL, &v) != 0)
        return -1;
    (void)sqlerr_set(&e, 1, 0, 1, "%.*s", v.is_null ? 0 : (int)v.bytes.size,
                     v.is_null ? "" : (const char *)v.bytes.data);
    e.number = 0;
    return run_message(r->s, &e);
}

/* printf-like substitution of RAISERROR: %s %d %i %u %x %%, without widths. */
static int
format_message(struct run *r, struct stmt *x, const char *f, struct sbuf *out)
{
    struct sql_type text = type_sized(SQL_NVARCHAR, 4000);
    int arg = 3;

    sbuf_add(out, "");
    for (; *f != '\0'; f++) {
        struct sql_value v;

        if (*f != '%' || f[1] == '\0') {
            sbuf_addn(out, f, 1);
            continue;
        }
        f++;
        if (*f == '%') {
            sbuf_addn(out, f, 1);
            continue;
        }
        while (*f != '\0' && strchr("-+ 0123456789.lI*", *f) != NULL)
            f++;
        if (arg >= x->n_exprs) {
            sbuf_add(out, "(null)");
            continue;
        }
        if (run_scalar(r, x, arg + 1, x->exprs[arg], &text, NULL, &v) != 0)
            return -1;
        arg++;
        if (v.is_null)
            sbuf_add(out, "(null)");
        else
            sbuf_addn(out, v.bytes.data, v.bytes.size);
    }
    return 0;
}

int
run_raiserror(struct run *r, struct stmt *x)
{
    struct sql_type whole = type_make(SQL_BIGINT);
    struct sql_type text = type_sized(SQL_NVARCHAR, 4000);
    struct sql_type type;
    struct sql_value v[3] = {{0}};
    struct sbuf out = {0};
    struct sqlerr e = {.line = x->line};
    int32_t number = 50000;
    int rc;

    if (x->n_exprs < 3)
        return sqlerr_syntax(&r->s->error, "RAISERROR");
    if (run_scalar(r, x, 1, x->exprs[0], NULL, &type, &v[0]) != 0 ||
        run_scalar(r, x, 2, x->exprs[1], &whole, NULL, &v[1]) != 0 ||
        run_scalar(r, x, 3, x->exprs[2], &whole, NULL, &v[2]) != 0)
        return -1;
    if (type_is_integer(type.base)) {
        number = (int32_t)v[0].i;
        sbuf_fmt(&out,
                 "Error %d, severity %lld, state %lld was raised, but no message with that "
                 "error number was found in sys.messages.",
                 number, (long long)v[1].i, (long long)v[2].i);
        rc = 0;
    } else {
        if (run_scalar(r, x, 4, x->exprs[0], &text, NULL, &v[0]) != 0)
            return -1;
        rc = format_message(r, x, arena_strndup(r->frame->arena, v[0].bytes.data, v[0].bytes.size),
                            &out);
    }
    if (rc == 0) {
        (void)sqlerr_set(&e, number,
                         (uint8_t)(v[1].i < 0    ? 0
                                   : v[1].i > 25 ? 25
                                                 : v[1].i),
                         (uint8_t)v[2].i, "%s", out.data);
        if (e.severity > 10) {
            r->s->error = e;
            rc = -1;
        } else {
            rc = run_message(r->s, &e);
        }
    }
    sbuf_free(&out);
    return rc;
}

int
run_throw(struct run *r, struct stmt *x)
{
    struct sql_type whole = type_make(SQL_BIGINT);
    struct sql_type text = type_sized(SQL_NVARCHAR, 2048);
    struct sql_value v[3];

    if (x->n_exprs == 0) {
        if (r->s->caught.number == 0)
            return sqlerr_set(&r->s->error, 10704, 15, 1,
                              "To rethrow an error, a THROW statement must be used inside a CATCH "
                              "block.");
        r->s->error = r->s->caught;
        return -1;
    }
    if (x->n_exprs != 3)
        return sqlerr_syntax(&r->s->error, "THROW");
    if (run_scalar(r, x, 1, x->exprs[0], &whole, NULL, &v[0]) != 0 ||
        run_scalar(r, x, 2, x->exprs[1], &text, NULL, &v[1]) != 0 ||
        run_scalar(r, x, 3, x->exprs[2], &whole, NULL, &v[2]) != 0)
        return -1;
    return sqlerr_set(&r->s->error, (int32_t)v[0].i, 16, (uint8_t)v[2].i, "%.*s",
                      (int)v[1].bytes.size, (const char *)v[1].bytes.data);
}
