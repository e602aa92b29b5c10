/* A batch from text to answers: plan cache, frames, tokens. */
#include <strings.h>

#include "common/err.h"
#include "tests/mssqld/sql/catalog.h"
#include "tests/mssqld/sql/fault.h"
#include "tests/mssqld/sql/parse.h"
#include "tests/mssqld/sql/plan.h"

#define PLANS_MAX    96
#define KEY_SIZE_MAX (256U * 1024U)
#define NESTING_MAX  32

struct value_context
run_context(struct session *s, enum value_mode mode)
{
    return (struct value_context){
        .arena = &s->exec_arena, .e = &s->error, .mode = mode, .order = s->date_order};
}

int
run_message(struct session *s, const struct sqlerr *e)
{
    if (s->sink == NULL)
        return 0;
    if (s->sink->message(s->sink->arg, e->number, e->state, e->severity, e->text,
                         s->frame != NULL && s->frame->procedure != NULL ? s->frame->procedure : "",
                         e->line > 0 ? e->line : 1) != 0) {
        s->peer_gone = true;
        return -1;
    }
    return 0;
}

int
run_done(struct session *s, uint16_t status, uint16_t command, int64_t rows)
{
    if (s->sink == NULL)
        return 0;
    if (s->nocount)
        status &= (uint16_t)~DONE_COUNT;
    if (s->sink->done(s->sink->arg, s->kind, status, command, (uint64_t)rows) != 0) {
        s->peer_gone = true;
        return -1;
    }
    return 0;
}

static uint64_t
hash_of(const char *key, size_t size)
{
    uint64_t h = 14695981039346656037U;

    for (; size >= 8; key += 8, size -= 8) {
        uint64_t word;

        memcpy(&word, key, 8);
        h = (h ^ word) * 1099511628211U;
        h ^= h >> 29;
    }
    for (; size > 0; key++, size--)
        h = (h ^ (unsigned char)*key) * 1099511628211U;
    return h;
}

static bool
cacheable(const struct stmt *x)
{
    for (; x != NULL; x = x->next)
        switch ((int)x->kind) {
        case STMT_SELECT:
        case STMT_INSERT:
        case STMT_UPDATE:
        case STMT_DELETE:
        case STMT_DECLARE:
        case STMT_SET_VAR:
        case STMT_SET_OPTION:
        case STMT_PRINT:
        case STMT_RETURN:
        case STMT_BREAK:
        case STMT_CONTINUE:
        case STMT_BEGIN_TRAN:
        case STMT_COMMIT:
        case STMT_ROLLBACK:
        case STMT_SAVE_TRAN:
        case STMT_EXEC:
            break;
        case STMT_IF:
        case STMT_WHILE:
        case STMT_BLOCK:
        case STMT_TRY:
            if (!cacheable(x->body) || !cacheable(x->other))
                return false;
            break;
        case STMT_EMPTY:
        default:
            return false;
        }
    return true;
}

static struct plan_entry *
find_plan(struct session *s, const struct sbuf *key, uint64_t hash)
{
    if (key->data == NULL)
        return NULL;
    for (struct plan_entry **link = &s->plans; *link != NULL; link = &(*link)->next) {
        struct plan_entry *e = *link;

        if (e->hash != hash || e->key_size != key->size || e->in_use || !e->keep ||
            memcmp(e->key, key->data, key->size) != 0)
            continue;
        *link = e->next; /* most recent first */
        e->next = s->plans;
        s->plans = e;
        return e;
    }
    return NULL;
}

static void
trim_plans(struct session *s)
{
    int n = 0;

    for (struct plan_entry **link = &s->plans; *link != NULL;) {
        struct plan_entry *e = *link;

        if ((++n > PLANS_MAX || !e->keep) && !e->in_use) {
            *link = e->next;
            plan_entry_free(e);
            s->n_plans--;
        } else {
            link = &e->next;
        }
    }
}

/* The batch's plan: from the cache, or parsed now.  NULL with s->error on a syntax error. */
static struct plan_entry *
get_plan(struct session *s, const char *text, struct lexed *l)
{
    uint64_t hash = hash_of(l->key.data != NULL ? l->key.data : "", l->key.size);
    /* Ordered faults look at statements' texts: a plan of another text will not do. */
    bool exact = atomic_load(&s->engine->n_faults) > 0;
    struct plan_entry *e = exact ? NULL : find_plan(s, &l->key, hash);
    struct lexed own = {0};

    if (e != NULL)
        return e;
    e = calloc(1, sizeof *e);
    CHECK(e != NULL);
    if (lex(text, &e->arena, &own, &s->error) != 0 ||
        parse_batch(text, &own, &e->arena, &e->stmts, &s->error) != 0) {
        sbuf_free(&own.key);
        plan_entry_free(e);
        return NULL;
    }
    sbuf_free(&own.key);
    e->keep = !exact && l->key.size <= KEY_SIZE_MAX && cacheable(e->stmts);
    e->hash = hash;
    e->key_size = l->key.size;
    e->key = malloc(l->key.size + 1);
    CHECK(e->key != NULL);
    if (l->key.data != NULL)
        memcpy(e->key, l->key.data, l->key.size);
    e->next = s->plans;
    s->plans = e;
    s->n_plans++;
    return e;
}

/* All DECLAREs of the batch, wherever they stand, make its variables. */
static void
declare(struct frame *f, const struct stmt *x)
{
    for (; x != NULL; x = x->next) {
        if (x->kind == STMT_DECLARE)
            for (int i = 0; i < x->n_vars; i++) {
                f->vars = arena_push(f->arena, f->vars, f->n_vars, sizeof *f->vars);
                f->vars[f->n_vars] = (struct variable){
                    .name = x->vars[i].name, .type = x->vars[i].type, .value = {.is_null = true}};
                f->n_vars++;
            }
        if (x->kind == STMT_CREATE_PROC)
            continue; /* its body's variables are its own */
        declare(f, x->body);
        declare(f, x->other);
    }
}

static void
key_prefix(struct session *s, const struct variable *params, int n, struct sbuf *key)
{
    sbuf_fmt(key, "\2%d", s->current->id);
    for (int i = 0; i < n; i++)
        sbuf_fmt(key, ",%s %lld", params[i].name, (long long)type_pack(&params[i].type));
}

static void
take_back(struct variable *params, int n, const struct frame *f, struct session *s)
{
    for (int i = 0; i < n; i++) {
        params[i].value = f->vars[i].value;
        if (!params[i].value.is_null &&
            (type_is_text(params[i].type.base) || type_is_binary(params[i].type.base) ||
             params[i].type.base == SQL_UNIQUEIDENTIFIER))
            params[i].value.bytes.data =
                arena_dup(&s->exec_arena, params[i].value.bytes.data, params[i].value.bytes.size);
    }
}

int
run_text(struct session *s, const char *text, struct variable *params, int n_params,
         const char *procedure, int32_t *return_value)
{
    struct arena arena = {0};
    struct lexed l = {0};
    struct frame f = {.text = text, .arena = &arena, .procedure = procedure, .up = s->frame};
    struct run r = {.s = s, .frame = &f};
    int rc;

    if (s->nesting >= NESTING_MAX)
        return sqlerr_set(&s->error, 217, 16, 1,
                          "Maximum stored procedure, function, trigger, or view nesting level "
                          "exceeded (limit 32).");
    s->error.number = 0;
    rc = lex(text, &arena, &l, &s->error);
    if (rc == 0) {
        key_prefix(s, params, n_params, &l.key);
        r.entry = get_plan(s, text, &l);
        rc = r.entry == NULL ? -1 : 0;
    }
    if (rc == 0) {
        f.literals = l.literals;
        for (int i = 0; i < n_params; i++) {
            f.vars = arena_push(&arena, f.vars, i, sizeof *f.vars);
            f.vars[i] = params[i];
        }
        f.n_vars = n_params;
        declare(&f, r.entry->stmts);
        s->frame = &f;
        s->nesting++;
        r.entry->in_use = true;
        if (run_block(&r, r.entry->stmts) == FLOW_STOP)
            rc = -1;
        r.entry->in_use = false;
        s->nesting--;
        s->frame = f.up;
        take_back(params, n_params, &f, s);
        if (return_value != NULL && f.has_return)
            *return_value = f.return_value;
        trim_plans(s);
    }
    sbuf_free(&l.key);
    arena_free(&arena);
    return rc;
}

/* An error that no statement reported: of lexing or parsing, or of an outer batch's call. */
static int
report(struct session *s)
{
    if (s->error.number == 0 || s->peer_gone)
        return 0;
    s->last_error = s->error.number;
    if (run_message(s, &s->error) != 0)
        return -1;
    s->error.number = 0;
    return run_done(s, DONE_ERROR, 0xFD, 0);
}

static void
run_begin(struct session *s, const struct sink *sink, enum done_kind kind)
{
    s->sink = sink;
    s->kind = kind;
    s->peer_gone = false;
    s->error.number = 0;
    s->fn_error.number = 0;
    s->fault_after = -1;
    arena_reset(&s->exec_arena);
}

static int
run_end(struct session *s)
{
    (void)report(s);
    /* A batch cut short outside a transaction must not keep a lock. */
    if (s->trancount == 0)
        (void)tx_end_statement(s, false);
    catalog_release(s);
    s->sink = NULL;
    return s->peer_gone ? -1 : 0;
}

/* Parameters as variables of their declared types. */
static int
make_variables(struct session *s, const struct sql_param *params, int n, struct variable **out)
{
    struct value_context c = run_context(s, VALUE_CAST);
    struct variable *v = arena_alloc(&s->exec_arena, (size_t)(n + 1) * sizeof *v);

    for (int i = 0; i < n; i++) {
        const struct sql_type *t =
            params[i].declared != NULL ? params[i].declared : &params[i].type;

        v[i].name = params[i].name;
        v[i].type = *t;
        v[i].output = params[i].output;
        if (params[i].use_default)
            v[i].value.is_null = true;
        else if (value_convert(&c, &params[i].type, &params[i].value, t, &v[i].value) != 0)
            return -1;
    }
    *out = v;
    return 0;
}

int
session_run(struct session *s, const char *text, const struct sql_param *params, int n_params,
            enum done_kind kind, const struct sink *sink)
{
    struct variable *vars = NULL;
    int32_t status = 0;

    run_begin(s, sink, kind);
    if (make_variables(s, params, n_params, &vars) == 0)
        (void)run_text(s, text, vars, n_params, NULL, &status);
    for (int i = 0; i < n_params && !s->peer_gone; i++)
        if (vars != NULL && vars[i].output &&
            sink->return_value(sink->arg, vars[i].name, &vars[i].type, &vars[i].value) != 0)
            s->peer_gone = true;
    return run_end(s);
}

int
session_call(struct session *s, const char *procedure, struct sql_param *params, int n_params,
             const struct sink *sink)
{
    struct lexed l = {0};
    struct name name = {0};
    struct proc_call call = {.name = &name, .n_args = n_params};
    int32_t status = 0;
    const char *parts[4];
    int n = 0;

    run_begin(s, sink, DONE_IN_PROC);
    if (lex(procedure, &s->exec_arena, &l, &s->error) == 0) {
        for (int i = 0; i < l.n_tokens && n < 4; i++)
            if (l.tokens[i].kind == TOKEN_WORD || l.tokens[i].kind == TOKEN_QUOTED)
                parts[n++] = l.tokens[i].text;
        name.object = n > 0 ? parts[n - 1] : "";
        name.schema = n > 1 ? parts[n - 2] : NULL;
        name.database = n > 2 ? parts[n - 3] : NULL;
        call.args = arena_alloc(&s->exec_arena, (size_t)(n_params + 1) * sizeof *call.args);
        for (int i = 0; i < n_params; i++) {
            call.args[i].name = params[i].name != NULL ? params[i].name : "";
            call.args[i].type = params[i].type;
            call.args[i].value = params[i].value;
            call.args[i].is_default = params[i].use_default;
            call.args[i].output = params[i].output;
        }
        if (atomic_load(&s->engine->n_faults) > 0 &&
            fault_statement(s, procedure, strlen(procedure)) != 0)
            n = 0;
        if (n > 0 && proc_call(s, &call, &status) == 0) {
            if (sink->return_status != NULL && sink->return_status(sink->arg, status) != 0)
                s->peer_gone = true;
            for (int i = 0; i < n_params && !s->peer_gone; i++)
                if (call.args[i].output &&
                    sink->return_value(sink->arg, call.args[i].name, &call.args[i].result_type,
                                       &call.args[i].result) != 0)
                    s->peer_gone = true;
        }
    }
    sbuf_free(&l.key);
    return run_end(s);
}

int
run_internal(struct session *s, const char *text)
{
    const struct sink *sink = s->sink;
    bool internal = s->cdc_internal;
    int rc;

    s->sink = NULL;
    s->cdc_internal = true;
    rc = run_text(s, text, NULL, 0, NULL, NULL);
    s->cdc_internal = internal;
    s->sink = sink;
    return rc != 0 || s->error.number != 0 ? -1 : 0;
}

static int
transaction_token(struct session *s, uint8_t type, uint64_t descriptor)
{
    if (s->sink->transaction_changed != NULL &&
        s->sink->transaction_changed(s->sink->arg, type, descriptor) != 0)
        s->peer_gone = true;
    return s->peer_gone ? -1 : 0;
}

/* Transaction manager requests: the front adds the DONE's place, we its command. */
static int
manager(struct session *s, const struct sink *sink, int rc, uint8_t type, uint64_t descriptor,
        uint16_t command)
{
    s->sink = sink;
    s->kind = DONE_BATCH;
    s->peer_gone = false;
    if (rc == 0 && type != 0)
        (void)transaction_token(s, type, descriptor);
    if (rc == 0 && !s->peer_gone)
        (void)run_done(s, 0, command, 0);
    return run_end(s);
}

int
session_begin(struct session *s, const struct sink *sink)
{
    int rc;

    s->error.number = 0;
    rc = tx_begin(s, NULL);
    return manager(s, sink, rc, 8, s->tran_descriptor, 0xD4);
}

int
session_commit(struct session *s, const struct sink *sink)
{
    uint64_t descriptor = s->tran_descriptor;
    int rc;

    s->error.number = 0;
    rc = tx_commit(s);
    return manager(s, sink, rc, s->trancount == 0 ? 9 : 0, descriptor, 0xD5);
}

int
session_rollback(struct session *s, const struct sink *sink)
{
    uint64_t descriptor = s->tran_descriptor;
    int rc = 0;

    s->error.number = 0;
    if (s->trancount == 0)
        rc = sqlerr_set(&s->error, 3903, 16, 1,
                        "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.");
    else
        rc = tx_rollback(s);
    return manager(s, sink, rc, 10, descriptor, 0xD2);
}

int
session_save(struct session *s, const char *name, const struct sink *sink)
{
    int rc;

    s->error.number = 0;
    rc = tx_save(s, name);
    return manager(s, sink, rc, 0, 0, 0xFD);
}

int
engine_parse_params(const char *text, struct sql_param **out, int *n, struct err *e)
{
    struct arena a = {0};
    struct lexed l = {0};
    struct sqlerr error = {0};
    struct var_def *vars = NULL;
    size_t names = 0;
    struct sql_param *block = NULL;
    char *p;

    *out = NULL;
    *n = 0;
    if (lex(text, &a, &l, &error) != 0 || parse_var_list(&l, &a, &vars, n, &error) != 0) {
        err_set(e, ERR_SQL, "parameter list \"%.200s\": %s", text, error.text);
    } else {
        for (int i = 0; i < *n; i++)
            names += strlen(vars[i].name) + 1;
        block = calloc(1, (size_t)(*n + 1) * sizeof *block + names);
        CHECK(block != NULL);
        p = (char *)(block + *n + 1);
        for (int i = 0; i < *n; i++) {
            size_t size = strlen(vars[i].name) + 1;

            block[i].name = memcpy(p, vars[i].name, size);
            block[i].type = vars[i].type;
            block[i].value.is_null = true;
            block[i].output = vars[i].output;
            p += size;
        }
        *out = block;
    }
    sbuf_free(&l.key);
    arena_free(&a);
    return block == NULL ? -1 : 0;
}
