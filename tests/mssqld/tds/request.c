#include "tests/mssqld/tds/request.h"

#include "tests/mssqld/tds/proto.h"
#include "tests/mssqld/tds/reader.h"
#include "tests/mssqld/tds/rpc.h"
#include "tests/mssqld/tds/text.h"

#define MESSAGE_BAD_STREAM   4002 /* "The incoming tabular data stream (TDS) protocol stream ..." */
#define MESSAGE_NO_HANDLE    8179
#define MESSAGE_NO_STATEMENT 214
#define SEVERITY_USER        16

enum tm_request {
    TM_BEGIN = 5,
    TM_PROMOTE = 6,
    TM_COMMIT = 7,
    TM_ROLLBACK = 8,
    TM_SAVE = 9,
};

#define TM_FLAG_BEGIN 0x01U /* commit and rollback: begin the next transaction at once */

void
request_state_free(struct request_state *s)
{
    prepared_free(&s->prepared);
    pool_free(&s->pool);
}

int
request_refuse(struct request_state *s, struct err *e)
{
    answer_error(s->answer, MESSAGE_BAD_STREAM, SEVERITY_USER, e->text);
    (void)answer_finish(s->answer);
    return -1;
}

static int
finish(struct request_state *s, struct err *e)
{
    if (answer_finish(s->answer) == 0)
        return 0;
    *e = s->answer->e;
    return -1;
}

int
request_batch(struct request_state *s, const void *body, size_t size, struct err *e)
{
    struct reader r = reader_of(body, size);
    size_t text_size;
    char *text;

    if (rpc_skip_headers(&r, e) != 0)
        return request_refuse(s, e);
    text_size = reader_left(&r);
    if (text_size % 2 != 0) {
        (void)err_set(e, ERR_PROTOCOL, "a batch of %zu bytes is no UTF-16 text", text_size);
        return request_refuse(s, e);
    }
    text = text_from_utf16(&s->pool, reader_take(&r, text_size), text_size);
    if (text == NULL)
        return err_set(e, ERR_NOMEM, "no memory for a batch of %zu bytes", text_size);
    (void)session_run(s->session, text, NULL, 0, DONE_BATCH, &s->answer->sink);
    return finish(s, e);
}

/* ---- calls ---- */

/* The text of a parameter, NUL-terminated; NULL after an ERROR when it is no text. */
static const char *
text_param(struct request_state *s, const struct rpc_call *call, int i)
{
    const struct sql_param *param;
    char *text;
    char message[128];

    if (i < call->n_params) {
        param = &call->params[i];
        if (param->value.is_null)
            return "";
        if (param->type.base >= SQL_CHAR && param->type.base <= SQL_NTEXT) {
            text = pool_alloc(&s->pool, param->value.bytes.size + 1);
            if (text != NULL)
                memcpy(text, param->value.bytes.data, param->value.bytes.size);
            return text;
        }
    }
    (void)snprintf(message, sizeof(message),
                   "Procedure expects parameter %d of '%s' to be of type 'ntext/nchar/nvarchar'.",
                   i + 1, call->name);
    answer_error(s->answer, MESSAGE_NO_STATEMENT, SEVERITY_USER, message);
    return NULL;
}

/* The handle in parameter i; 0 when there is none. */
static int32_t
handle_param(const struct rpc_call *call, int i)
{
    const struct sql_param *param = i < call->n_params ? &call->params[i] : NULL;

    if (param == NULL || param->value.is_null || param->type.base > SQL_BIGINT)
        return 0;
    return (int32_t)param->value.i;
}

static void
no_handle(struct request_state *s, int32_t handle)
{
    char message[100];

    (void)snprintf(message, sizeof(message), "Could not find prepared statement with handle %d.",
                   handle);
    answer_error(s->answer, MESSAGE_NO_HANDLE, SEVERITY_USER, message);
}

/* Runs text with the values from parameter `first` on bound to the declared ones. */
static void
run_bound(struct request_state *s, const struct rpc_call *call, int first, const char *text,
          const struct sql_param *declared, int n_declared)
{
    struct sql_param *bound = NULL;
    struct err e = ERR_INIT;
    const struct sql_param *values = first < call->n_params ? call->params + first : NULL;
    int n_values = first < call->n_params ? call->n_params - first : 0;

    if (prepared_bind(declared, n_declared, values, n_values, &s->pool, &bound, &e) != 0) {
        answer_error(s->answer, e.sys, SEVERITY_USER, e.text);
        return;
    }
    (void)session_run(s->session, text, bound, n_declared, DONE_IN_PROC, &s->answer->sink);
}

static void
call_executesql(struct request_state *s, const struct rpc_call *call)
{
    const char *text = text_param(s, call, 0);
    const char *declaration;
    struct sql_param *declared = NULL;
    struct err e = ERR_INIT;
    int n = 0;

    if (text == NULL)
        return;
    if (call->n_params > 1) {
        declaration = text_param(s, call, 1);
        if (declaration == NULL)
            return;
        if (engine_parse_params(declaration, &declared, &n, &e) != 0) {
            answer_error(s->answer, 102, 15, e.text);
            return;
        }
    }
    run_bound(s, call, 2, text, declared, n);
    free(declared);
}

/* sp_prepare and the first half of sp_prepexec: @handle output, @params, @stmt. */
static const struct prepared *
prepare(struct request_state *s, const struct rpc_call *call, int32_t *handle)
{
    const char *declaration = text_param(s, call, 1);
    const char *text = declaration == NULL ? NULL : text_param(s, call, 2);
    struct err e = ERR_INIT;

    if (text == NULL)
        return NULL;
    if (prepared_add(&s->prepared, text, declaration, handle, &e) != 0) {
        answer_error(s->answer, 102, 15, e.text);
        return NULL;
    }
    return prepared_find(&s->prepared, *handle);
}

static void
call_prepare(struct request_state *s, const struct rpc_call *call)
{
    int32_t handle;

    if (prepare(s, call, &handle) != NULL)
        answer_handle(s->answer, handle);
}

static void
call_prepexec(struct request_state *s, const struct rpc_call *call)
{
    int32_t handle;
    const struct prepared *p = prepare(s, call, &handle);

    if (p == NULL)
        return;
    run_bound(s, call, 3, p->text, p->declared, p->n_declared);
    answer_handle(s->answer, handle);
}

static void
call_execute(struct request_state *s, const struct rpc_call *call)
{
    int32_t handle = handle_param(call, 0);
    const struct prepared *p = prepared_find(&s->prepared, handle);

    if (p == NULL)
        no_handle(s, handle);
    else
        run_bound(s, call, 1, p->text, p->declared, p->n_declared);
}

static void
call_unprepare(struct request_state *s, const struct rpc_call *call)
{
    int32_t handle = handle_param(call, 0);

    if (prepared_remove(&s->prepared, handle) != 0)
        no_handle(s, handle);
}

static void
run_call(struct request_state *s, struct rpc_call *call)
{
    answer_begin_call(s->answer, call->params, call->n_params);
    switch ((enum rpc_id)call->id) {
    case RPC_EXECUTESQL:
        call_executesql(s, call);
        break;
    case RPC_PREPARE:
        call_prepare(s, call);
        break;
    case RPC_EXECUTE:
        call_execute(s, call);
        break;
    case RPC_PREPEXEC:
        call_prepexec(s, call);
        break;
    case RPC_UNPREPARE:
        call_unprepare(s, call);
        break;
    case RPC_NAMED:
        (void)session_call(s->session, call->name, call->params, call->n_params, &s->answer->sink);
        break;
    }
    answer_end_call(s->answer);
}

int
request_rpc(struct request_state *s, const void *body, size_t size, struct err *e)
{
    struct reader r = reader_of(body, size);
    struct rpc_call call;
    int more;

    if (rpc_skip_headers(&r, e) != 0)
        return request_refuse(s, e);
    while ((more = rpc_next(&r, &s->pool, &s->answer->encoder.codec, &call, e)) > 0) {
        run_call(s, &call);
        if (s->answer->cancelled || s->answer->gone)
            break;
    }
    if (more < 0)
        return request_refuse(s, e);
    return finish(s, e);
}

/* ---- transaction manager ---- */

static const char *
read_name(struct request_state *s, struct reader *r)
{
    size_t size = reader_u8(r); /* in bytes, unlike everywhere else */
    const uint8_t *name = reader_take(r, size);

    return name == NULL ? "" : text_from_utf16(&s->pool, name, size);
}

/* Begins a transaction in the isolation level that stands next in the request. */
static void
begin(struct request_state *s, struct reader *r)
{
    static const char *const levels[] = {
        NULL, /* as it is */
        "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET TRANSACTION ISOLATION LEVEL SNAPSHOT",
    };
    uint8_t level = reader_u8(r);

    if (level < sizeof(levels) / sizeof(levels[0]) && levels[level] != NULL) {
        (void)session_run(s->session, levels[level], NULL, 0, DONE_BATCH, &s->answer->sink);
        if (answer_has_failed(s->answer))
            return;
    }
    (void)session_begin(s->session, &s->answer->sink);
}

/* After a commit or rollback: the next transaction, if the client asked for it. */
static void
begin_next(struct request_state *s, struct reader *r)
{
    uint8_t flags = reader_u8(r);

    if ((flags & TM_FLAG_BEGIN) != 0)
        begin(s, r);
}

int
request_transaction(struct request_state *s, const void *body, size_t size, struct err *e)
{
    struct reader r = reader_of(body, size);
    const struct sink *sink = &s->answer->sink;
    uint16_t request;
    const char *name;

    if (rpc_skip_headers(&r, e) != 0)
        return request_refuse(s, e);
    request = reader_u16(&r);
    if (r.bad) {
        (void)err_set(e, ERR_PROTOCOL, "a transaction request of %zu bytes", size);
        return request_refuse(s, e);
    }
    switch (request) {
    case TM_BEGIN:
        begin(s, &r);
        break;
    case TM_COMMIT:
        (void)read_name(s, &r);
        (void)session_commit(s->session, sink);
        begin_next(s, &r);
        break;
    case TM_ROLLBACK:
        (void)read_name(s, &r);
        (void)session_rollback(s->session, sink);
        begin_next(s, &r);
        break;
    case TM_SAVE:
        name = read_name(s, &r);
        (void)session_save(s->session, name == NULL ? "" : name, sink);
        break;
    default:
        (void)err_set(e, ERR_PROTOCOL, "transaction request %u is not served here", request);
        return request_refuse(s, e);
    }
    return finish(s, e);
}
