/* Text functions. */
#include <openssl/evp.h>
#include <strings.h>

#include "tests/mssqld/sql/collation.h"
#include "tests/mssqld/sql/func.h"
#include "tests/mssqld/sql/utf.h"

static size_t
bytes_of(sqlite3_value *v)
{
    return (size_t)sqlite3_value_bytes(v);
}

static char *
scratch(sqlite3_context *c, size_t size)
{
    return arena_alloc(&func_session(c)->fn_arena, size + 8);
}

static void
fn_len(sqlite3_context *c, int n, sqlite3_value **v)
{
    const char *s = func_arg(v[0]);
    size_t size = bytes_of(v[0]);

    (void)n;
    if (sqlite3_value_type(v[0]) == SQLITE_NULL)
        return;
    while (size > 0 && s[size - 1] == ' ')
        size--;
    sqlite3_result_int64(c, (sqlite3_int64)utf_units(s, size));
}

static void
fn_datalength(sqlite3_context *c, int n, sqlite3_value **v)
{
    struct sql_type t = type_unpack(sqlite3_value_int64(v[1]));
    size_t size = bytes_of(v[0]);

    (void)n;
    if (sqlite3_value_type(v[0]) == SQLITE_NULL)
        return;
    if (type_is_wide(t.base))
        size = 2 * utf_units(func_arg(v[0]), size);
    else if (type_is_text(t.base))
        size = page_size(collation_page(t.collation), func_arg(v[0]), size);
    else if (!type_is_binary(t.base))
        size = (size_t)type_max_length(&t);
    sqlite3_result_int64(c, (sqlite3_int64)size);
}

static void
text_part(sqlite3_context *c, sqlite3_value *v, int64_t start, int64_t count)
{
    size_t size = bytes_of(v);
    char *out;

    /* SUBSTRING('abc', 0, 2) is 'a': positions before the first count. */
    if (start < 1) {
        count += start - 1;
        start = 1;
    }
    if (count < 0)
        count = 0;
    if (sqlite3_value_type(v) == SQLITE_BLOB) {
        size_t from = (size_t)(start - 1) < size ? (size_t)(start - 1) : size;
        size_t take = (size_t)count < size - from ? (size_t)count : size - from;

        sqlite3_result_blob64(c, (const char *)sqlite3_value_blob(v) + from, take,
                              SQLITE_TRANSIENT);
        return;
    }
    out = scratch(c, size);
    func_text(c, out, utf_substring(func_arg(v), size, (size_t)(start - 1), (size_t)count, out));
}

static void
fn_substring(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    (void)func_context(c);
    if (func_any_null(4, v))
        return;
    if (sqlite3_value_int64(v[3]) < 0) {
        (void)sqlerr_set(&func_session(c)->fn_error, 537, 16, 3,
                         "Invalid length parameter passed to the LEFT or SUBSTRING function.");
        func_fail(c);
        return;
    }
    text_part(c, v[0], sqlite3_value_int64(v[2]), sqlite3_value_int64(v[3]));
}

static void
fn_left(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    (void)func_context(c);
    if (!func_any_null(2, v))
        text_part(c, v[0], 1, sqlite3_value_int64(v[1]));
}

static void
fn_right(sqlite3_context *c, int n, sqlite3_value **v)
{
    int64_t units;
    int64_t want;

    (void)n;
    (void)func_context(c);
    if (func_any_null(2, v))
        return;
    units = (int64_t)utf_units(func_arg(v[0]), bytes_of(v[0]));
    want = sqlite3_value_int64(v[1]);
    want = want < units ? want : units;
    text_part(c, v[0], units - want + 1, want);
}

static void
change_case(sqlite3_context *c, sqlite3_value *v, bool up)
{
    const char *s = func_arg(v);
    size_t size = bytes_of(v);
    char *out;
    size_t o = 0;

    (void)func_context(c);
    if (sqlite3_value_type(v) == SQLITE_NULL)
        return;
    out = scratch(c, 2 * size);
    for (size_t i = 0; i < size;) {
        uint32_t cp = utf_next(s, size, &i);
        bool lower = (cp >= 'a' && cp <= 'z') || (cp >= 0xE0 && cp <= 0xFE && cp != 0xF7) ||
                     (cp >= 0x3B1 && cp <= 0x3C9 && cp != 0x3C2) || (cp >= 0x430 && cp <= 0x44F);
        bool upper = (cp >= 'A' && cp <= 'Z') || (cp >= 0xC0 && cp <= 0xDE && cp != 0xD7) ||
                     (cp >= 0x391 && cp <= 0x3A9) || (cp >= 0x410 && cp <= 0x42F);

        o += utf_put(out + o, up && lower ? cp - 32 : !up && upper ? cp + 32 : cp);
    }
    func_text(c, out, o);
}

static void
fn_upper(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    change_case(c, v[0], true);
}

static void
fn_lower(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    change_case(c, v[0], false);
}

static void
trim(sqlite3_context *c, sqlite3_value *v, bool left, bool right)
{
    const char *s = func_arg(v);
    size_t size = bytes_of(v);

    if (sqlite3_value_type(v) == SQLITE_NULL)
        return;
    while (right && size > 0 && s[size - 1] == ' ')
        size--;
    while (left && size > 0 && s[0] == ' ') {
        s++;
        size--;
    }
    func_text(c, s, size);
}

static void
fn_ltrim(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    trim(c, v[0], true, false);
}

static void
fn_rtrim(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    trim(c, v[0], false, true);
}

static void
fn_trim(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    trim(c, v[0], true, true);
}

static void
fn_reverse(sqlite3_context *c, int n, sqlite3_value **v)
{
    const char *s = func_arg(v[0]);
    size_t size = bytes_of(v[0]);
    char *out;
    size_t o = size;

    (void)n;
    (void)func_context(c);
    if (sqlite3_value_type(v[0]) == SQLITE_NULL)
        return;
    out = scratch(c, size);
    for (size_t i = 0; i < size;) {
        size_t from = i;

        (void)utf_next(s, size, &i);
        o -= i - from;
        memcpy(out + o, s + from, i - from);
    }
    func_text(c, out, size);
}

/* First place of what at or after byte `from`, by the case-insensitive collation; -1 = none. */
static ptrdiff_t
find(const char *s, size_t n, const char *what, size_t m, size_t from)
{
    for (size_t i = from; m > 0 && i + m <= n; i++)
        if (((unsigned char)s[i] & 0xC0) != 0x80 &&
            (memcmp(s + i, what, m) == 0 || (s[i + m - 1] != ' ' && what[m - 1] != ' ' &&
                                             collation_compare_ci(s + i, m, what, m) == 0)))
            return (ptrdiff_t)i;
    return -1;
}

static void
fn_replace(sqlite3_context *c, int n, sqlite3_value **v)
{
    const char *s = func_arg(v[0]);
    size_t size = bytes_of(v[0]);
    size_t old = bytes_of(v[1]);
    struct sbuf out = {0};
    size_t i = 0;
    ptrdiff_t at;

    (void)n;
    if (func_any_null(3, v))
        return;
    while ((at = find(s, size, func_arg(v[1]), old, i)) >= 0) {
        sbuf_addn(&out, s + i, (size_t)at - i);
        sbuf_addn(&out, func_arg(v[2]), bytes_of(v[2]));
        i = (size_t)at + old;
    }
    sbuf_addn(&out, s + i, size - i);
    func_text(c, out.data, out.size);
    sbuf_free(&out);
}

static void
fn_replicate(sqlite3_context *c, int n, sqlite3_value **v)
{
    int64_t times = sqlite3_value_int64(v[1]);
    struct sbuf out = {0};

    (void)n;
    if (func_any_null(2, v) || times < 0)
        return;
    if ((int64_t)bytes_of(v[0]) * times > 500000000) {
        sqlite3_result_error_toobig(c);
        return;
    }
    sbuf_add(&out, "");
    while (times-- > 0)
        sbuf_addn(&out, func_arg(v[0]), bytes_of(v[0]));
    func_text(c, out.data, out.size);
    sbuf_free(&out);
}

static void
fn_space(sqlite3_context *c, int n, sqlite3_value **v)
{
    int64_t times = sqlite3_value_int64(v[0]);

    (void)n;
    if (func_any_null(1, v) || times < 0)
        return;
    times = times > 8000 ? 8000 : times;
    (void)func_context(c);
    func_text(c, memset(scratch(c, (size_t)times), ' ', (size_t)times), (size_t)times);
}

static void
fn_stuff(sqlite3_context *c, int n, sqlite3_value **v)
{
    const char *s = func_arg(v[0]);
    size_t size = bytes_of(v[0]);
    int64_t start = sqlite3_value_int64(v[1]);
    int64_t count = sqlite3_value_int64(v[2]);
    char *out;
    size_t o;

    (void)n;
    (void)func_context(c);
    if (func_any_null(3, v) || start < 1 || count < 0 || start > (int64_t)utf_units(s, size))
        return;
    out = scratch(c, 2 * size + bytes_of(v[3]));
    o = utf_substring(s, size, 0, (size_t)start - 1, out);
    memcpy(out + o, func_arg(v[3]), bytes_of(v[3]));
    o += bytes_of(v[3]);
    o += utf_substring(s, size, (size_t)(start - 1 + count), SIZE_MAX, out + o);
    func_text(c, out, o);
}

static void
fn_charindex(sqlite3_context *c, int n, sqlite3_value **v)
{
    const char *s = func_arg(v[1]);
    size_t size = bytes_of(v[1]);
    int64_t start = n > 2 ? sqlite3_value_int64(v[2]) : 1;
    size_t from = 0;
    ptrdiff_t at;

    if (func_any_null(n, v))
        return;
    for (; start > 1 && from < size; start--)
        (void)utf_next(s, size, &from);
    at = find(s, size, func_arg(v[0]), bytes_of(v[0]), from);
    sqlite3_result_int64(c, at < 0 ? 0 : (sqlite3_int64)utf_units(s, (size_t)at) + 1);
}

static void
fn_concat(sqlite3_context *c, int n, sqlite3_value **v)
{
    struct sbuf out = {0};

    sbuf_add(&out, "");
    for (int i = 0; i < n; i++)
        sbuf_addn(&out, func_arg(v[i]), bytes_of(v[i]));
    func_text(c, out.data, out.size);
    sbuf_free(&out);
}

static void
fn_nchar(sqlite3_context *c, int n, sqlite3_value **v)
{
    int64_t cp = sqlite3_value_int64(v[0]);
    char out[4];

    (void)n;
    if (!func_any_null(1, v) && cp >= 0 && cp <= 0xFFFF)
        func_text(c, out, utf_put(out, (uint32_t)cp));
}

static void
fn_char(sqlite3_context *c, int n, sqlite3_value **v)
{
    int64_t code = sqlite3_value_int64(v[0]);
    struct value_context x = func_context(c);
    char byte = (char)code;
    size_t size;
    const char *text;

    (void)n;
    if (func_any_null(1, v) || code < 0 || code > 255)
        return;
    text = page_decode(0, &byte, 1, x.arena, &size);
    func_text(c, text, size);
}

static void
fn_unicode(sqlite3_context *c, int n, sqlite3_value **v)
{
    size_t i = 0;
    uint32_t cp;

    (void)n;
    if (func_any_null(1, v) || bytes_of(v[0]) == 0)
        return;
    cp = utf_next(func_arg(v[0]), bytes_of(v[0]), &i);
    sqlite3_result_int64(c, cp < 0x10000 ? cp : 0xD800 + ((cp - 0x10000) >> 10));
}

static void
fn_ascii(sqlite3_context *c, int n, sqlite3_value **v)
{
    struct value_context x = func_context(c);
    size_t size;
    const char *bytes;

    (void)n;
    if (func_any_null(1, v) || bytes_of(v[0]) == 0)
        return;
    bytes = page_encode(0, func_arg(v[0]), bytes_of(v[0]), x.arena, &size);
    sqlite3_result_int(c, (unsigned char)bytes[0]);
}

static void
fn_quotename(sqlite3_context *c, int n, sqlite3_value **v)
{
    const char *s = func_arg(v[0]);
    char quote = n > 1 ? func_arg(v[1])[0] : '[';
    char close = quote == '[' ? ']' : quote;
    struct sbuf out = {0};

    if (func_any_null(n, v))
        return;
    sbuf_addn(&out, &quote, 1);
    for (; *s != '\0'; s++) {
        sbuf_addn(&out, s, 1);
        if (*s == close)
            sbuf_addn(&out, s, 1);
    }
    sbuf_addn(&out, &close, 1);
    func_text(c, out.data, out.size);
    sbuf_free(&out);
}

static void
fn_checksum(sqlite3_context *c, int n, sqlite3_value **v)
{
    uint32_t h = 2166136261U;

    for (int i = 0; i < n; i++) {
        const unsigned char *p = sqlite3_value_text(v[i]);

        for (int k = 0; p != NULL && k < sqlite3_value_bytes(v[i]); k++)
            h = (h ^ p[k]) * 16777619U;
        h = (h ^ 0xFFU) * 16777619U;
    }
    sqlite3_result_int(c, (int32_t)h);
}

static void
fn_hashbytes(sqlite3_context *c, int n, sqlite3_value **v)
{
    struct value_context x = func_context(c);
    struct sql_type from = type_unpack(sqlite3_value_int64(v[2]));
    struct sql_type to = type_sized(SQL_VARBINARY, SQL_LENGTH_MAX);
    const char *name = func_arg(v[0]);
    struct sql_value a;
    unsigned char out[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    const EVP_MD *md = strcasecmp(name, "SHA2_256") == 0   ? EVP_sha256()
                       : strcasecmp(name, "SHA2_512") == 0 ? EVP_sha512()
                       : strcasecmp(name, "MD5") == 0      ? EVP_md5()
                                                           : EVP_sha1();

    (void)n;
    if (func_any_null(2, v))
        return;
    value_load(&from, v[1], x.arena, &a);
    if (value_convert(&x, &from, &a, &to, &a) != 0) {
        func_fail(c);
        return;
    }
    if (EVP_Digest(a.bytes.data, a.bytes.size, out, &size, md, NULL) == 1)
        sqlite3_result_blob(c, out, (int)size, SQLITE_TRANSIENT);
}

void
func_register_text(struct session *s)
{
    static const struct func LIST[] = {
        {"ms_len", 1, false, fn_len},
        {"ms_datalength", 2, false, fn_datalength},
        {"ms_substring", 4, false, fn_substring},
        {"ms_left", 2, false, fn_left},
        {"ms_right", 2, false, fn_right},
        {"ms_upper", 1, false, fn_upper},
        {"ms_lower", 1, false, fn_lower},
        {"ms_ltrim", 1, false, fn_ltrim},
        {"ms_rtrim", 1, false, fn_rtrim},
        {"ms_trim", 1, false, fn_trim},
        {"ms_reverse", 1, false, fn_reverse},
        {"ms_replace", 3, false, fn_replace},
        {"ms_replicate", 2, false, fn_replicate},
        {"ms_space", 1, false, fn_space},
        {"ms_stuff", 4, false, fn_stuff},
        {"ms_charindex", -1, false, fn_charindex},
        {"ms_concat", -1, false, fn_concat},
        {"ms_nchar", 1, false, fn_nchar},
        {"ms_char", 1, false, fn_char},
        {"ms_unicode", 1, false, fn_unicode},
        {"ms_ascii", 1, false, fn_ascii},
        {"ms_quotename", -1, false, fn_quotename},
        {"ms_checksum", -1, false, fn_checksum},
        {"ms_hashbytes", 3, false, fn_hashbytes},
    };

    func_add(s, LIST, sizeof LIST / sizeof LIST[0]);
}
