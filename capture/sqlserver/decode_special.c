#include "capture/sqlserver/arena.h"
#include "capture/sqlserver/clr.h"
#include "capture/sqlserver/decode.h"
#include "common/err.h"

#include <string.h>

int
decode_path(const void *data, size_t size, struct arena *a, struct value *out, struct err *e)
{
    size_t room = CLR_PATH_BOUND(size);
    char *text = arena_take(a, room);
    size_t n;

    if (text == NULL)
        return err_set(e, ERR_NOMEM, "hierarchyid of %zu bytes", size);
    n = clr_path(data, size, text);
    if (n == 0)
        return err_set(e, ERR_DATA, "%zu bytes that are no hierarchyid", size);
    arena_trim(a, room - n);
    out->kind = VALUE_TEXT;
    out->bytes.data = text;
    out->bytes.size = (uint32_t)n;
    return 0;
}

int
decode_spatial(enum type_wire wire, const void *data, size_t size, struct arena *a,
               struct value *out, struct err *e)
{
    bool is_geography = wire == WIRE_GEOGRAPHY;
    size_t n = clr_wkb(data, size, is_geography, NULL);
    uint8_t *wkb;

    if (n == 0 || n > UINT32_MAX)
        return err_set(e, ERR_DATA, "%zu bytes that are no %s this version knows", size,
                       is_geography ? "geography" : "geometry");
    wkb = arena_take(a, n);
    if (wkb == NULL)
        return err_set(e, ERR_NOMEM, "spatial value of %zu bytes", n);
    (void)clr_wkb(data, size, is_geography, wkb);
    out->kind = VALUE_BYTES;
    out->bytes.data = (const char *)wkb;
    out->bytes.size = (uint32_t)n;
    return 0;
}

/* "0x" and `digits` hexadecimal digits. */
static bool
get_bits(const char *text, size_t size, size_t digits, uint64_t *out)
{
    *out = 0;
    if (size != 2 + digits || memcmp(text, "0x", 2) != 0)
        return false;
    for (size_t i = 2; i < size; i++) {
        const char *all = "0123456789ABCDEF";
        const char *at = memchr(all, text[i], 16);

        if (at == NULL)
            return false;
        *out = *out << 4 | (uint64_t)(at - all);
    }
    return true;
}

/* A float in a sql_variant, by its bits; as text, as every value of such a column. */
static int
set_variant_float(const char *text, size_t size, bool is_real, struct arena *a, struct value *out,
                  struct err *e)
{
    struct value v = {.kind = is_real ? VALUE_FLOAT32 : VALUE_FLOAT64};
    char *copy = arena_take(a, VALUE_TEXT_MAX);
    uint64_t bits;
    uint32_t bits32;

    if (copy == NULL)
        return err_set(e, ERR_NOMEM, "sql_variant");
    if (!get_bits(text, size, is_real ? 8 : 16, &bits))
        return err_set(e, ERR_DATA, "a float in a sql_variant came as %zu characters", size);
    bits32 = (uint32_t)bits;
    if (is_real)
        memcpy(&v.f32, &bits32, sizeof(v.f32));
    else
        memcpy(&v.f64, &bits, sizeof(v.f64));
    out->kind = VALUE_TEXT;
    out->bytes.data = copy;
    out->bytes.size = (uint32_t)value_text(&v, 0, copy, VALUE_TEXT_MAX);
    return 0;
}

int
decode_variant(const void *data, size_t size, struct arena *a, struct value *out, struct err *e)
{
    const char *text;

    if (decode_wide(data, size, a, out, e) != 0)
        return -1;
    text = out->bytes.data;
    if (out->bytes.size == 0 || (text[0] != 't' && text[0] != 'd' && text[0] != 'r'))
        return err_set(e, ERR_DATA, "a sql_variant came without its mark");
    if (text[0] != 't')
        return set_variant_float(text + 1, out->bytes.size - 1, text[0] == 'r', a, out, e);
    out->bytes.data++;
    out->bytes.size--;
    return 0;
}
