#include "tests/mssqld/tds/answer.h"

#include "common/clock.h"
#include "tests/mssqld/tds/proto.h"
#include "tests/mssqld/tds/token.h"

#include <strings.h>

/* Tokens gathered before they are cut into packets. */
#define SPILL_SIZE 16384U
/* How often an idle engine's cancelled() looks at the socket. */
#define POLL_NS    (1 * NS_PER_MS)

/* ---- sending ---- */

static int
spill(struct answer *a)
{
    if (a->gone)
        return -1;
    if (a->tokens.failed) {
        a->gone = true;
        return err_set(&a->e, ERR_NOMEM, "no memory for an answer");
    }
    if (packet_write(a->out, a->tokens.data, a->tokens.size, &a->e) != 0) {
        a->gone = true;
        return -1;
    }
    buf_clear(&a->tokens);
    return 0;
}

static void
poll_attention(struct answer *a)
{
    int r;

    if (a->gone || a->cancelled)
        return;
    r = packet_poll_attention(a->in, &a->e);
    if (r < 0)
        a->gone = true;
    else if (r > 0)
        a->cancelled = true;
}

/* To be called before a token is appended. */
static void
release_done(struct answer *a, bool more)
{
    if (!a->done.held)
        return;
    token_done(&a->tokens, a->done.token, (uint16_t)(a->done.status | (more ? DONE_MORE : 0)),
               a->done.command, a->done.rows);
    a->done.held = false;
}

/* True when a token may be appended; the held DONE has gone before it. */
static bool
may_append(struct answer *a)
{
    if (a->gone || a->cancelled || a->muted)
        return false;
    release_done(a, true);
    return true;
}

static int
result(const struct answer *a)
{
    return a->gone ? -1 : 0;
}

/* ---- the sink ---- */

static int
sink_columns(void *arg, const struct sql_column *columns, int n)
{
    struct answer *a = arg;

    if (!may_append(a))
        return result(a);
    if (n > a->cap_plans) {
        struct wiretype_plan *wider = realloc(a->plans, (size_t)n * sizeof(*wider));

        if (wider == NULL) {
            a->gone = true;
            return err_set(&a->e, ERR_NOMEM, "no memory for %d columns", n);
        }
        a->plans = wider;
        a->cap_plans = n;
    }
    a->n_plans = n;
    for (int i = 0; i < n; i++)
        wiretype_plan(&columns[i].type, &a->plans[i]);
    wiretype_put_columns(&a->tokens, columns, a->plans, n);
    return 0;
}

static int
sink_row(void *arg, const struct sql_value *values)
{
    struct answer *a = arg;

    if (!may_append(a))
        return result(a);
    wirevalue_put_row(&a->tokens, &a->encoder, a->plans, a->n_plans, values);
    if (a->tokens.size < SPILL_SIZE && !a->tokens.failed)
        return 0;
    if (spill(a) != 0)
        return -1;
    if (a->polled_sends != a->out->sends) {
        a->polled_sends = a->out->sends;
        poll_attention(a);
    }
    return result(a);
}

static int
sink_done(void *arg, enum done_kind kind, uint16_t status, uint16_t command, uint64_t rows)
{
    static const uint8_t tokens[] = {
        [DONE_BATCH] = TOKEN_DONE,
        [DONE_PROC] = TOKEN_DONEPROC,
        [DONE_IN_PROC] = TOKEN_DONEINPROC,
    };
    struct answer *a = arg;

    if (!may_append(a))
        return result(a);
    a->done.held = true;
    a->done.token = tokens[kind];
    a->done.status = (uint16_t)(status & ~DONE_MORE);
    a->done.command = command;
    a->done.rows = rows;
    a->any_error = false;
    return 0;
}

static int
sink_message(void *arg, int32_t number, uint8_t state, uint8_t severity, const char *text,
             const char *procedure, int32_t line)
{
    struct answer *a = arg;
    struct token_message m = {.number = number,
                              .state = state,
                              .severity = severity,
                              .text = text,
                              .server = a->server_name,
                              .procedure = procedure == NULL ? "" : procedure,
                              .line = line};

    if (!may_append(a))
        return result(a);
    token_message(&a->tokens, &m);
    if (severity > 10)
        a->any_error = true;
    return 0;
}

static int
sink_database_changed(void *arg, const char *from, const char *to)
{
    struct answer *a = arg;
    char text[300];

    if (!may_append(a))
        return result(a);
    token_env_text(&a->tokens, ENV_DATABASE, to, from);
    (void)snprintf(text, sizeof(text), "Changed database context to '%s'.", to);
    return sink_message(a, 5701, 2, 0, text, "", 1);
}

static int
sink_transaction_changed(void *arg, uint8_t env_type, uint64_t descriptor)
{
    struct answer *a = arg;
    bool begins = env_type == ENV_BEGIN;

    if (!may_append(a))
        return result(a);
    token_env_bytes(&a->tokens, env_type, &descriptor, begins ? sizeof(descriptor) : 0, &descriptor,
                    begins ? 0 : sizeof(descriptor));
    return 0;
}

static int
sink_return_status(void *arg, int32_t status)
{
    struct answer *a = arg;

    if (!may_append(a))
        return result(a);
    token_return_status(&a->tokens, status);
    if (a->in_rpc)
        a->status_sent = true;
    return 0;
}

/* Where the value belongs in the call: the parameter of that name, else the next output one. */
static uint16_t
return_ordinal(const struct answer *a, const char *name)
{
    int seen = 0;

    for (int i = 0; i < a->n_params; i++) {
        if (a->params[i].output && strcasecmp(a->params[i].name, name) == 0)
            return (uint16_t)i;
    }
    for (int i = 0; i < a->n_params; i++) {
        if (a->params[i].output && seen++ == a->n_returned)
            return (uint16_t)i;
    }
    return (uint16_t)a->n_returned;
}

static int
sink_return_value(void *arg, const char *name, const struct sql_type *type,
                  const struct sql_value *value)
{
    struct answer *a = arg;

    if (a->in_rpc && !a->status_sent)
        (void)sink_return_status(a, 0);
    if (!may_append(a))
        return result(a);
    wirevalue_put_return(&a->tokens, &a->encoder, return_ordinal(a, name), name, type, value);
    a->n_returned++;
    return 0;
}

static bool
sink_cancelled(void *arg)
{
    struct answer *a = arg;
    int64_t now;

    if (a->gone || a->cancelled || atomic_load_explicit(a->stopping, memory_order_relaxed))
        return true;
    now = clock_mono_ns();
    if (now >= a->next_poll_ns) {
        a->next_poll_ns = now + POLL_NS;
        poll_attention(a);
    }
    return a->gone || a->cancelled;
}

/* ---- messages ---- */

void
answer_open(struct answer *a, struct packet_in *in, struct packet_out *out, const char *server_name,
            const atomic_bool *stopping)
{
    *a = (struct answer){
        .in = in,
        .out = out,
        .server_name = server_name,
        .stopping = stopping,
        .sink = {.arg = a,
                 .columns = sink_columns,
                 .row = sink_row,
                 .done = sink_done,
                 .message = sink_message,
                 .database_changed = sink_database_changed,
                 .transaction_changed = sink_transaction_changed,
                 .return_status = sink_return_status,
                 .return_value = sink_return_value,
                 .cancelled = sink_cancelled},
    };
}

void
answer_close(struct answer *a)
{
    wirevalue_encoder_free(&a->encoder);
    buf_free(&a->tokens);
    free(a->plans);
    a->plans = NULL;
}

void
answer_begin(struct answer *a)
{
    buf_clear(&a->tokens);
    a->done.held = false;
    a->any_error = false;
    a->cancelled = false;
    a->in_rpc = false;
    a->n_plans = 0;
    packet_begin(a->out, TDS_ANSWER);
}

void
answer_begin_call(struct answer *a, const struct sql_param *params, int n_params)
{
    a->in_rpc = true;
    a->status_sent = false;
    a->params = params;
    a->n_params = n_params;
    a->n_returned = 0;
}

void
answer_end_call(struct answer *a)
{
    uint16_t status = a->any_error ? DONE_ERROR : 0;

    if (!a->status_sent)
        (void)sink_return_status(a, 0);
    (void)sink_done(a, DONE_PROC, status, 0, 0);
    a->in_rpc = false;
    a->params = NULL;
    a->n_params = 0;
}

void
answer_handle(struct answer *a, int32_t handle)
{
    struct sql_type type = {.base = SQL_INT, .nullable = true};
    struct sql_value value = {.i = handle};

    /* Exactly this name: tedious refuses any other. */
    (void)sink_return_value(a, "@handle", &type, &value);
}

void
answer_error(struct answer *a, int32_t number, uint8_t severity, const char *text)
{
    (void)sink_message(a, number, 1, severity, text, "", 1);
}

bool
answer_has_failed(const struct answer *a)
{
    return a->any_error || (a->done.held && (a->done.status & DONE_ERROR) != 0);
}

struct buf *
answer_tokens(struct answer *a)
{
    release_done(a, true);
    return &a->tokens;
}

int
answer_done_only(struct answer *a, uint16_t status)
{
    answer_begin(a);
    token_done(&a->tokens, TOKEN_DONE, status, TDS_COMMAND_OTHER, 0);
    if (spill(a) != 0)
        return -1;
    if (packet_finish(a->out, &a->e) != 0) {
        a->gone = true;
        return -1;
    }
    return 0;
}

int
answer_finish(struct answer *a)
{
    bool cancelled = a->cancelled;

    if (a->gone)
        return -1;
    if (cancelled) {
        release_done(a, true);
        token_done(&a->tokens, TOKEN_DONE, DONE_ERROR, TDS_COMMAND_OTHER, 0);
    } else if (!a->done.held || a->any_error) {
        /* No statement reported its end, or an error came after the last one that did. */
        release_done(a, true);
        token_done(&a->tokens, TOKEN_DONE, a->any_error ? DONE_ERROR : 0, TDS_COMMAND_OTHER, 0);
    } else {
        release_done(a, false);
    }
    if (spill(a) != 0)
        return -1;
    if (packet_finish(a->out, &a->e) != 0) {
        a->gone = true;
        return -1;
    }
    return cancelled ? answer_done_only(a, DONE_ATTN) : 0;
}
