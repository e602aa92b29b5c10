#include "tests/mssqld/tds/rpc.h"

#include "common/err.h"
#include "tests/mssqld/tds/param.h"
#include "tests/mssqld/tds/paramtype.h"
#include "tests/mssqld/tds/pool.h"
#include "tests/mssqld/tds/reader.h"
#include "tests/mssqld/tds/text.h"

#include <strings.h>

#define PARAMS_MAX 2100 /* SQL Server's own limit */

#define SEPARATOR  0xFFU /* between the calls of one request, since 7.2 */
#define NO_EXEC    0xFEU
#define NAME_IS_ID 0xFFFFU

#define PARAM_BY_REFERENCE 0x01U
#define PARAM_DEFAULT      0x02U
#define OPTION_NO_METADATA 0x0002U

static const struct {
    uint16_t id;
    const char *name;
} well_known[] = {
    {RPC_EXECUTESQL, "sp_executesql"}, {RPC_PREPARE, "sp_prepare"},     {RPC_EXECUTE, "sp_execute"},
    {RPC_PREPEXEC, "sp_prepexec"},     {RPC_UNPREPARE, "sp_unprepare"},
};

int
rpc_skip_headers(struct reader *r, struct err *e)
{
    struct reader peek = *r;
    uint32_t total = reader_u32(&peek);

    if (peek.bad || total < 4 || total > reader_left(r))
        return err_set(e, ERR_PROTOCOL, "a request of %zu bytes says it has %u bytes of headers",
                       reader_left(r), total);
    (void)reader_take(r, total);
    return 0;
}

/* sp_executesql may come by name, with or without its schema. */
static void
find_well_known(struct rpc_call *call)
{
    const char *dot = strrchr(call->name, '.');
    const char *base = dot == NULL ? call->name : dot + 1;

    for (size_t i = 0; i < sizeof(well_known) / sizeof(well_known[0]); i++) {
        if (strcasecmp(base, well_known[i].name) == 0)
            call->id = well_known[i].id;
    }
}

static int
read_name(struct reader *r, struct pool *pool, struct rpc_call *call, struct err *e)
{
    uint16_t length = reader_u16(r);

    if (length == NAME_IS_ID) {
        call->id = reader_u16(r);
        call->name = "";
        for (size_t i = 0; i < sizeof(well_known) / sizeof(well_known[0]); i++) {
            if (well_known[i].id == call->id)
                call->name = well_known[i].name;
        }
        if (!r->bad && call->name[0] == '\0')
            return err_set(e, ERR_PROTOCOL, "procedure number %u is not served here", call->id);
    } else {
        const uint8_t *name = reader_take(r, (size_t)length * 2);

        if (name != NULL) {
            call->name = text_from_utf16(pool, name, (size_t)length * 2);
            if (call->name == NULL)
                return err_set(e, ERR_NOMEM, "no memory for a procedure name");
            find_well_known(call);
        }
    }
    call->no_metadata = (reader_u16(r) & OPTION_NO_METADATA) != 0;
    if (r->bad)
        return err_set(e, ERR_PROTOCOL, "the request ends inside the name of a procedure");
    return 0;
}

static int
read_param(struct reader *r, struct pool *pool, struct text_codec *codec, struct sql_param *param,
           struct err *e)
{
    uint8_t length = reader_u8(r);
    const uint8_t *name = reader_take(r, (size_t)length * 2);
    uint8_t status = reader_u8(r);
    struct paramtype type;

    if (r->bad)
        return err_set(e, ERR_PROTOCOL, "the request ends inside the name of a parameter");
    *param = (struct sql_param){.name = text_from_utf16(pool, name, (size_t)length * 2),
                                .output = (status & PARAM_BY_REFERENCE) != 0,
                                .use_default = (status & PARAM_DEFAULT) != 0};
    if (param->name == NULL)
        return err_set(e, ERR_NOMEM, "no memory for a parameter");
    if (paramtype_read(r, &type, e) != 0 ||
        param_read_value(r, &type, pool, codec, &param->value, e) != 0)
        return err_context(e, "parameter %s", param->name[0] != '\0' ? param->name : "(unnamed)");
    param->type = type.type;
    return 0;
}

static bool
at_separator(const struct reader *r)
{
    return r->at < r->end && (*r->at == SEPARATOR || *r->at == NO_EXEC);
}

int
rpc_next(struct reader *r, struct pool *pool, struct text_codec *codec, struct rpc_call *out,
         struct err *e)
{
    int room = 0;

    *out = (struct rpc_call){.id = RPC_NAMED};
    if (reader_left(r) == 0)
        return 0;
    if (read_name(r, pool, out, e) != 0)
        return -1;
    while (reader_left(r) > 0 && !at_separator(r)) {
        if (out->n_params == PARAMS_MAX)
            return err_set(e, ERR_PROTOCOL, "procedure %s is given more than %d parameters",
                           out->name, PARAMS_MAX);
        if (out->n_params == room) {
            struct sql_param *wider;

            room = room == 0 ? 8 : room * 2;
            wider = pool_alloc(pool, (size_t)room * sizeof(*wider));
            if (wider == NULL)
                return err_set(e, ERR_NOMEM, "no memory for parameters");
            if (out->n_params > 0)
                memcpy(wider, out->params, (size_t)out->n_params * sizeof(*wider));
            out->params = wider;
        }
        if (read_param(r, pool, codec, &out->params[out->n_params], e) != 0)
            return err_context(e, "procedure %s", out->name);
        out->n_params++;
    }
    if (at_separator(r))
        (void)reader_u8(r);
    return 1;
}
