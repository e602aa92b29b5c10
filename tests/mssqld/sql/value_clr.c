/* hierarchyid from its path, and what SQL Server takes off an xml text before it keeps it. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "tests/mssqld/sql/value_parts.h"

/* Numbers of one range share the bits they begin with; 'x' is a bit of the offset from the lowest, T
   says whether the level ends.  In depth-first order these sort as bytes. */
static const struct {
    int64_t lowest;
    int64_t highest;
    const char *bits;
} RANGES[] = {
    {-281479271682120, -4294971465, "000100xxxxxxxxxxxxxx0xxxxxxxxxxxxxxxxxxxxx0xxxxxx0xxx0x1xxxT"},
    {-4294971464, -4169, "000101xxxxxxxxxxxxxxxxxxx0xxxxxx0xxx0x1xxxT"},
    {-4168, -73, "000110xxxxx0xxx0x1xxxT"},
    {-72, -9, "0010xx0x1xxxT"},
    {-8, -1, "00111xxxT"},
    {0, 3, "01xxT"},
    {4, 7, "100xxT"},
    {8, 15, "101xxxT"},
    {16, 79, "110xx0x1xxxT"},
    {80, 1103, "1110xxx0xxx0x1xxxT"},
    {1104, 5199, "11110xxxxx0xxx0x1xxxT"},
    {5200, 4294972495, "111110xxxxxxxxxxxxxxxxxxx0xxxxxx0xxx0x1xxxT"},
    {4294972496, 281479271683151, "111111xxxxxxxxxxxxxx0xxxxxxxxxxxxxxxxxxxxx0xxxxxx0xxx0x1xxxT"},
};

#define N_RANGES      (sizeof RANGES / sizeof RANGES[0])
#define HIERARCHY_MAX 892

struct bits {
    unsigned char *bytes;
    size_t n;
    size_t room;
};

static bool
put_number(struct bits *b, int64_t number, bool ends_level)
{
    const char *p = NULL;
    uint64_t offset = 0;
    unsigned left = 0;

    if (!ends_level)
        number++; /* 1.5 sorts behind 1 */
    for (size_t i = 0; i < N_RANGES && p == NULL; i++)
        if (number >= RANGES[i].lowest && number <= RANGES[i].highest) {
            p = RANGES[i].bits;
            offset = (uint64_t)(number - RANGES[i].lowest);
        }
    if (p == NULL || b->n + strlen(p) > 8 * b->room)
        return false;
    for (const char *c = p; *c != '\0'; c++)
        left += *c == 'x' ? 1 : 0;
    for (; *p != '\0'; p++, b->n++) {
        bool bit = *p == '1' || (*p == 'T' && ends_level);

        if (*p == 'x')
            bit = (offset >> --left & 1) != 0;
        if (bit)
            b->bytes[b->n / 8] |= (unsigned char)(0x80 >> b->n % 8);
    }
    return true;
}

/* "/1/2.5/" */
static bool
parse_path(const char *s, size_t size, struct bits *b)
{
    const char *end = s + size;

    if (size == 0 || *s++ != '/')
        return false;
    while (s < end) {
        char digits[24];
        size_t n = 0;
        char *stop;
        long long number;

        while (s < end && n + 1 < sizeof digits && (isdigit((unsigned char)*s) || *s == '-'))
            digits[n++] = *s++;
        digits[n] = '\0';
        errno = 0;
        number = strtoll(digits, &stop, 10);
        if (n == 0 || *stop != '\0' || errno != 0 || s == end || (*s != '/' && *s != '.') ||
            !put_number(b, number, *s == '/'))
            return false;
        s++;
    }
    return end[-1] == '/';
}

int
value_to_hierarchyid(const struct value_context *c, const struct sql_value *v,
                     struct sql_value *out)
{
    struct bits b = {.bytes = arena_alloc(c->arena, HIERARCHY_MAX), .room = HIERARCHY_MAX};

    memset(b.bytes, 0, HIERARCHY_MAX);
    if (!parse_path(v->bytes.data, v->bytes.size, &b))
        return sqlerr_set(c->e, 6522, 16, 2,
                          "A .NET Framework error occurred during execution of user-defined "
                          "routine or aggregate \"hierarchyid\": Microsoft.SqlServer.Types."
                          "HierarchyIdException: 24001: SqlHierarchyId.Parse failed because the "
                          "input string '%.*s' is not a valid string representation of a "
                          "SqlHierarchyId node.",
                          (int)v->bytes.size, (const char *)v->bytes.data);
    *out = (struct sql_value){.bytes = {b.bytes, (b.n + 7) / 8}};
    return 0;
}

void
value_trim_xml(struct sql_value *v)
{
    static const char BOM[] = "\xEF\xBB\xBF";
    const char *s = v->bytes.data;
    const char *end = s + v->bytes.size;
    const char *stop;

    if (end - s >= 3 && memcmp(s, BOM, 3) == 0)
        s += 3;
    if (end - s >= 6 && memcmp(s, "<?xml ", 6) == 0) {
        stop = memmem(s, (size_t)(end - s), "?>", 2);
        if (stop != NULL)
            s = stop + 2;
    }
    v->bytes.data = s;
    v->bytes.size = (size_t)(end - s);
}
