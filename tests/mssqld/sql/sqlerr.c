#include "tests/mssqld/sql/sqlerr.h"

#include <stdarg.h>

int
sqlerr_set(struct sqlerr *e, int32_t number, uint8_t severity, uint8_t state, const char *fmt, ...)
{
    va_list args;

    e->number = number;
    e->severity = severity;
    e->state = state;
    va_start(args, fmt);
    (void)vsnprintf(e->text, sizeof e->text, fmt, args);
    va_end(args);
    return -1;
}

bool
sqlerr_ends_batch(const struct sqlerr *e)
{
    switch (e->number) {
    case 102:
    case 137:
    case 156:
    case 207:
    case 208:
    case 241:
    case 242:
    case 245:
    case 295:
    case 1205:
    case 3952:
    case 3960:
    case 3961:
    case 8114:
    case 8169:
        return true;
    default:
        return e->severity >= 19;
    }
}

int
sqlerr_conversion(struct sqlerr *e, const char *from, const char *value, const char *to)
{
    return sqlerr_set(e, 245, 16, 1,
                      "Conversion failed when converting the %s value '%s' to data type %s.", from,
                      value, to);
}

int
sqlerr_overflow(struct sqlerr *e, const char *to)
{
    return sqlerr_set(e, 8115, 16, 2,
                      "Arithmetic overflow error converting expression to data "
                      "type %s.",
                      to);
}

int
sqlerr_syntax(struct sqlerr *e, const char *near)
{
    return sqlerr_set(e, 102, 15, 1, "Incorrect syntax near '%s'.", near);
}
