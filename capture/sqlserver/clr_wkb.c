/*
 * geometry and geography.  The serialisation keeps four flat lists: points; figures, which are runs
 * of points; shapes, which are runs of figures, in depth-first order, each naming its container; and,
 * since version 2, segments, which cut the figures that mix lines and arcs.
 */
#include "capture/sqlserver/clr.h"

#include <endian.h>
#include <math.h>
#include <string.h>

#define HEAD_SIZE    6
#define POINT_SIZE   16
#define ORDINAL_SIZE 8
#define FIGURE_SIZE  5
#define SHAPE_SIZE   9
#define DEPTH_MAX    64

enum { HAS_Z = 1, HAS_M = 2, IS_POINT = 8, IS_LINE = 16 };

enum shape_type {
    POINT = 1,
    LINE_STRING,
    POLYGON,
    MULTI_POINT,
    MULTI_LINE_STRING,
    MULTI_POLYGON,
    COLLECTION,
    CIRCULAR_STRING,
    COMPOUND_CURVE,
    CURVE_POLYGON,
    FULL_GLOBE,
    WKB_FULL_GLOBE = 126,
};

/* What a figure of version 2 is, and a segment of one that is composite. */
enum { FIGURE_ARC = 2, FIGURE_COMPOSITE = 3 };
enum { SEGMENT_LINE, SEGMENT_ARC, SEGMENT_FIRST_LINE, SEGMENT_FIRST_ARC };

#define WKB_Z    0x80000000U
#define WKB_M    0x40000000U
#define WKB_SRID 0x20000000U

struct list {
    const uint8_t *items;
    uint32_t n;
};

struct spatial {
    uint32_t srid;
    uint8_t version;
    uint8_t flags;
    bool is_geography;
    struct list points;
    const uint8_t *z; /* NULL: none */
    const uint8_t *m;
    struct list figures;
    struct list shapes;
    struct list segments;
    /* while writing */
    uint32_t shape;   /* the next one; all were written in the end */
    uint32_t segment; /* likewise */
    uint8_t *out;     /* NULL: only counting */
    size_t size;
};

static uint32_t
get32(const uint8_t *at)
{
    uint32_t u;

    memcpy(&u, at, sizeof(u));
    return le32toh(u);
}

/* ---- reading the lists ---- */

struct input {
    const uint8_t *at;
    size_t left;
};

/* The next n items of `size` bytes; false when they are not there. */
static bool
take(struct input *in, uint32_t n, size_t size, const uint8_t **out)
{
    if (in->left / size < n)
        return false;
    *out = in->at;
    in->at += n * size;
    in->left -= n * size;
    return true;
}

static bool
take_list(struct input *in, size_t size, struct list *out)
{
    const uint8_t *count;

    if (!take(in, 1, sizeof(uint32_t), &count))
        return false;
    out->n = get32(count);
    return take(in, out->n, size, &out->items);
}

static bool
take_ordinates(struct input *in, struct spatial *s)
{
    return ((s->flags & HAS_Z) == 0 || take(in, s->points.n, ORDINAL_SIZE, &s->z)) &&
           ((s->flags & HAS_M) == 0 || take(in, s->points.n, ORDINAL_SIZE, &s->m));
}

/* A single point or line is written without lists: these are what they would be. */
static bool
take_simple(struct input *in, struct spatial *s)
{
    static const uint8_t figure[FIGURE_SIZE] = {1, 0, 0, 0, 0};
    static const uint8_t point[SHAPE_SIZE] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, POINT};
    static const uint8_t line[SHAPE_SIZE] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, LINE_STRING};
    bool is_point = (s->flags & IS_POINT) != 0;

    s->points.n = is_point ? 1 : 2;
    s->figures = (struct list){.items = figure, .n = 1};
    s->shapes = (struct list){.items = is_point ? point : line, .n = 1};
    return take(in, s->points.n, POINT_SIZE, &s->points.items) && take_ordinates(in, s);
}

static bool
take_lists(struct input *in, struct spatial *s)
{
    return take_list(in, POINT_SIZE, &s->points) && take_ordinates(in, s) &&
           take_list(in, FIGURE_SIZE, &s->figures) && take_list(in, SHAPE_SIZE, &s->shapes) &&
           (s->version < 2 || in->left == 0 || take_list(in, 1, &s->segments));
}

static uint32_t
figure_start(const struct spatial *s, uint32_t i)
{
    return i < s->figures.n ? get32(s->figures.items + (size_t)i * FIGURE_SIZE + 1) : s->points.n;
}

static uint8_t
figure_kind(const struct spatial *s, uint32_t i)
{
    return s->version >= 2 ? s->figures.items[(size_t)i * FIGURE_SIZE] : 1;
}

static int32_t
shape_parent(const struct spatial *s, uint32_t i)
{
    return (int32_t)get32(s->shapes.items + (size_t)i * SHAPE_SIZE);
}

/* -1: it has no figures. */
static int32_t
shape_figure(const struct spatial *s, uint32_t i)
{
    return (int32_t)get32(s->shapes.items + (size_t)i * SHAPE_SIZE + 4);
}

static uint8_t
shape_type(const struct spatial *s, uint32_t i)
{
    return s->shapes.items[(size_t)i * SHAPE_SIZE + 8];
}

/* Every offset rises and stays inside of its list; every container stands before its parts. */
static bool
is_sound(const struct spatial *s)
{
    int32_t figure = 0;

    for (uint32_t i = 0; i < s->figures.n; i++)
        if (figure_start(s, i) > figure_start(s, i + 1) || figure_kind(s, i) > FIGURE_COMPOSITE)
            return false;
    for (uint32_t i = 0; i < s->shapes.n; i++) {
        int32_t f = shape_figure(s, i);
        int32_t parent = shape_parent(s, i);

        if (shape_type(s, i) < POINT || shape_type(s, i) > FULL_GLOBE || f < -1 ||
            (f >= 0 && (f < figure || (uint32_t)f > s->figures.n)) ||
            (i == 0 ? parent != -1 : parent < 0 || (uint32_t)parent >= i))
            return false;
        if (f >= 0)
            figure = f;
    }
    return s->shapes.n > 0;
}

/* ---- writing ---- */

static void
put(struct spatial *s, const void *bytes, size_t size)
{
    if (s->out != NULL)
        memcpy(s->out + s->size, bytes, size);
    s->size += size;
}

static void
put32(struct spatial *s, uint32_t u)
{
    u = htole32(u);
    put(s, &u, sizeof(u));
}

static void
put_type(struct spatial *s, uint32_t type, bool is_outermost)
{
    static const uint8_t little_endian = 1;

    put(s, &little_endian, 1);
    type |= (s->flags & HAS_Z) != 0 ? WKB_Z : 0;
    type |= (s->flags & HAS_M) != 0 ? WKB_M : 0;
    put32(s, type | (is_outermost ? WKB_SRID : 0));
    if (is_outermost)
        put32(s, s->srid);
}

static void
put_point(struct spatial *s, uint32_t i)
{
    const uint8_t *at = s->points.items + (size_t)i * POINT_SIZE;

    put(s, at + (s->is_geography ? ORDINAL_SIZE : 0), ORDINAL_SIZE);
    put(s, at + (s->is_geography ? 0 : ORDINAL_SIZE), ORDINAL_SIZE);
    if (s->z != NULL)
        put(s, s->z + (size_t)i * ORDINAL_SIZE, ORDINAL_SIZE);
    if (s->m != NULL)
        put(s, s->m + (size_t)i * ORDINAL_SIZE, ORDINAL_SIZE);
}

static void
put_points(struct spatial *s, uint32_t from, uint32_t end)
{
    put32(s, end - from);
    for (uint32_t i = from; i < end; i++)
        put_point(s, i);
}

static void
put_empty_point(struct spatial *s)
{
    const double nan = NAN;
    int n = 2 + ((s->flags & HAS_Z) != 0 ? 1 : 0) + ((s->flags & HAS_M) != 0 ? 1 : 0);

    for (int i = 0; i < n; i++)
        put(s, &nan, sizeof(nan));
}

/* How many segments of figure i make its next part, a line or an arc string, and where that ends. */
static bool
next_part(const struct spatial *s, uint32_t segment, uint32_t start, uint32_t end, uint32_t *parts,
          uint32_t *upto)
{
    uint8_t first = segment < s->segments.n ? s->segments.items[segment] : SEGMENT_LINE;
    uint8_t more = first == SEGMENT_FIRST_LINE ? SEGMENT_LINE : SEGMENT_ARC;
    uint32_t step = more == SEGMENT_LINE ? 1 : 2;

    if (first != SEGMENT_FIRST_LINE && first != SEGMENT_FIRST_ARC)
        return false;
    *parts = 0;
    *upto = start;
    do {
        if (end - *upto <= step)
            return false;
        *upto += step;
        ++*parts;
    } while (*upto + 1 < end && segment + *parts < s->segments.n &&
             s->segments.items[segment + *parts] == more);
    return true;
}

/* The parts of a composite figure, each beginning where the one before ended. */
static bool
put_composite(struct spatial *s, uint32_t start, uint32_t end)
{
    size_t count_at = s->size;
    uint32_t n = 0;

    put32(s, 0);
    while (start + 1 < end) {
        bool is_line;
        uint32_t parts;
        uint32_t upto;

        if (!next_part(s, s->segment, start, end, &parts, &upto))
            return false;
        is_line = s->segments.items[s->segment] == SEGMENT_FIRST_LINE;
        put_type(s, is_line ? LINE_STRING : CIRCULAR_STRING, false);
        put_points(s, start, upto + 1);
        s->segment += parts;
        start = upto;
        n++;
    }
    if (s->out != NULL) {
        n = htole32(n);
        memcpy(s->out + count_at, &n, sizeof(n));
    }
    return true;
}

/* A ring of a curve polygon says what it is; one of a polygon is bare points. */
static bool
put_ring(struct spatial *s, uint32_t figure, bool is_curved)
{
    uint32_t start = figure_start(s, figure);
    uint32_t end = figure_start(s, figure + 1);
    uint8_t kind = figure_kind(s, figure);

    if (is_curved && kind == FIGURE_COMPOSITE) {
        put_type(s, COMPOUND_CURVE, false);
        return put_composite(s, start, end);
    }
    if (kind == FIGURE_COMPOSITE || (!is_curved && kind == FIGURE_ARC))
        return false;
    if (is_curved)
        put_type(s, kind == FIGURE_ARC ? CIRCULAR_STRING : LINE_STRING, false);
    put_points(s, start, end);
    return true;
}

/* The figures of a shape end where those of the next one that has any begin. */
static uint32_t
figures_end(const struct spatial *s, uint32_t shape)
{
    for (uint32_t i = shape + 1; i < s->shapes.n; i++)
        if (shape_figure(s, i) >= 0)
            return (uint32_t)shape_figure(s, i);
    return s->figures.n;
}

/* A shape that is made of figures only. */
static bool
put_figures(struct spatial *s, uint32_t shape)
{
    uint8_t type = shape_type(s, shape);
    int32_t first = shape_figure(s, shape);
    uint32_t end = first < 0 ? 0 : figures_end(s, shape);
    uint32_t n = first < 0 ? 0 : end - (uint32_t)first;
    uint32_t from = n == 0 ? 0 : figure_start(s, (uint32_t)first);
    uint32_t upto = n == 0 ? 0 : figure_start(s, end);

    if (type == POLYGON || type == CURVE_POLYGON) {
        put32(s, n);
        for (uint32_t i = 0; i < n; i++)
            if (!put_ring(s, (uint32_t)first + i, type == CURVE_POLYGON))
                return false;
        return true;
    }
    if (n > 1)
        return false;
    if (type == POINT) {
        if (upto - from > 1)
            return false;
        if (upto == from)
            put_empty_point(s);
        else
            put_point(s, from);
        return true;
    }
    if (type == COMPOUND_CURVE)
        return put_composite(s, from, upto);
    put_points(s, from, upto);
    return true;
}

/* A shape and, behind it, the shapes it contains. */
static bool
put_shape(struct spatial *s, unsigned depth)
{
    uint32_t shape = s->shape++;
    uint8_t type = shape_type(s, shape);
    size_t count_at;
    uint32_t n = 0;

    if (type == FULL_GLOBE) {
        put_type(s, WKB_FULL_GLOBE, depth == 0);
        return true;
    }
    put_type(s, type, depth == 0);
    if (type < MULTI_POINT || type > COLLECTION)
        return put_figures(s, shape);
    if (depth == DEPTH_MAX)
        return false;
    count_at = s->size;
    put32(s, 0);
    while (s->shape < s->shapes.n && shape_parent(s, s->shape) == (int32_t)shape) {
        if (!put_shape(s, depth + 1))
            return false;
        n++;
    }
    if (s->out != NULL) {
        n = htole32(n);
        memcpy(s->out + count_at, &n, sizeof(n));
    }
    return true;
}

size_t
clr_wkb(const uint8_t *in, size_t size, bool is_geography, uint8_t *out)
{
    struct spatial s = {.is_geography = is_geography, .out = out};
    struct input left;

    if (size < HEAD_SIZE)
        return 0;
    left = (struct input){.at = in + HEAD_SIZE, .left = size - HEAD_SIZE};
    s.srid = get32(in);
    s.version = in[4];
    s.flags = in[5];
    if (s.version < 1 || s.version > 2)
        return 0;
    if (!((s.flags & (IS_POINT | IS_LINE)) != 0 ? take_simple(&left, &s) : take_lists(&left, &s)))
        return 0;
    if (left.left != 0 || !is_sound(&s) || !put_shape(&s, 0))
        return 0;
    return s.shape == s.shapes.n && s.segment == s.segments.n ? s.size : 0;
}
