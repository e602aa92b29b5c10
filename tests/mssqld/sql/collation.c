#include "tests/mssqld/sql/collation.h"

#include <errno.h>
#include <iconv.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <strings.h>

#include "common/err.h"
#include "tests/mssqld/sql/utf.h"

/* Wire form: 20 bits LCID, flags from bit 20, version from bit 28, then the sort id byte. */
#define FLAG_IGNORE_CASE   (1U << 20)
#define FLAG_IGNORE_ACCENT (1U << 21)
#define FLAG_IGNORE_KANA   (1U << 22)
#define FLAG_IGNORE_WIDTH  (1U << 23)
#define FLAG_BINARY        (1U << 24)
#define FLAG_BINARY2       (1U << 25)
#define FLAG_UTF8          (1U << 26)

struct family {
    const char *prefix;
    uint32_t lcid;
    uint8_t sort_id;
    int page;
};

static const char *const PAGES[] = {"CP1252", "CP1250", "CP1251", "CP1253", "CP1254",
                                    "CP1255", "CP1256", "CP1257", "CP1258", "CP874",
                                    "CP932",  "CP936",  "CP949",  "CP950",  "UTF-8"};
#define PAGE_UTF8     14
#define N_SINGLE_BYTE 10 /* they come first */
#define N_PAGES       ((int)(sizeof PAGES / sizeof PAGES[0]))

static const struct family FAMILIES[] = {
    {"SQL_Latin1_General_CP1_", 0x409, 52, 0},
    {"Latin1_General_", 0x409, 0, 0},
    {"Polish_", 0x415, 0, 1},
    {"Czech_", 0x405, 0, 1},
    {"Hungarian_", 0x40E, 0, 1},
    {"Cyrillic_General_", 0x419, 0, 2},
    {"Greek_", 0x408, 0, 3},
    {"Turkish_", 0x41F, 0, 4},
    {"Hebrew_", 0x40D, 0, 5},
    {"Arabic_", 0x401, 0, 6},
    {"Estonian_", 0x425, 0, 7},
    {"Latvian_", 0x426, 0, 7},
    {"Lithuanian_", 0x427, 0, 7},
    {"Vietnamese_", 0x42A, 0, 8},
    {"Thai_", 0x41E, 0, 9},
    {"Japanese_", 0x411, 0, 10},
    {"Chinese_PRC_", 0x804, 0, 11},
    {"Korean_Wansung_", 0x412, 0, 12},
    {"Chinese_Taiwan_Stroke_", 0x404, 0, 13},
    {"Finnish_Swedish_", 0x40B, 0, 0},
    {"French_", 0x40C, 0, 0},
};
#define N_FAMILIES (sizeof FAMILIES / sizeof FAMILIES[0])

static uint32_t
word_of(const uint8_t b[5])
{
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static void
put_word(uint8_t out[5], uint32_t word, uint8_t sort_id)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(word >> (8 * i));
    out[4] = sort_id;
}

bool
collation_bytes(const char *name, uint8_t out[5])
{
    const struct family *f = NULL;
    uint32_t word;

    for (size_t i = 0; i < N_FAMILIES && f == NULL; i++)
        if (strncasecmp(name, FAMILIES[i].prefix, strlen(FAMILIES[i].prefix)) == 0)
            f = &FAMILIES[i];
    if (f == NULL)
        return false;
    word = f->lcid;
    if (strcasestr(name, "_BIN2") != NULL) {
        word |= FLAG_BINARY2;
    } else if (strcasestr(name, "_BIN") != NULL) {
        word |= FLAG_BINARY;
    } else {
        word |= strcasestr(name, "_CI_") != NULL ? FLAG_IGNORE_CASE : 0U;
        word |= strcasestr(name, "_AI") != NULL ? FLAG_IGNORE_ACCENT : 0U;
        word |= strcasestr(name, "_KS") != NULL ? 0U : FLAG_IGNORE_KANA;
        word |= strcasestr(name, "_WS") != NULL ? 0U : FLAG_IGNORE_WIDTH;
    }
    if (strcasestr(name, "_UTF8") != NULL)
        word |= FLAG_UTF8;
    if (strstr(name, "_100_") != NULL)
        word |= 2U << 28;
    put_word(out, word, (word & (FLAG_BINARY | FLAG_BINARY2)) != 0 ? 0 : f->sort_id);
    return true;
}

const char *
collation_name(const uint8_t bytes[5], char *buf, size_t size)
{
    uint32_t word = word_of(bytes);
    const struct family *f = &FAMILIES[0];
    const char *ver = word >> 28 == 2 ? "100_" : "";

    if (word == 0)
        return COLLATION_DEFAULT;
    for (size_t i = N_FAMILIES; i-- > 0;)
        if (FAMILIES[i].lcid == (word & 0xFFFFF) && FAMILIES[i].sort_id == bytes[4])
            f = &FAMILIES[i];
    if ((word & (FLAG_BINARY | FLAG_BINARY2)) != 0)
        (void)snprintf(buf, size, "%s%s%s%s", f->prefix, ver,
                       (word & FLAG_BINARY2) != 0 ? "BIN2" : "BIN",
                       (word & FLAG_UTF8) != 0 ? "_UTF8" : "");
    else
        (void)snprintf(buf, size, "%s%s%s_%s%s%s%s", f->prefix, ver,
                       (word & FLAG_IGNORE_CASE) != 0 ? "CI" : "CS",
                       (word & FLAG_IGNORE_ACCENT) != 0 ? "AI" : "AS",
                       (word & FLAG_IGNORE_KANA) != 0 ? "" : "_KS",
                       (word & FLAG_IGNORE_WIDTH) != 0 ? "" : "_WS",
                       (word & FLAG_UTF8) != 0 ? "_UTF8" : "");
    return buf;
}

const char *
collation_sqlite(const uint8_t bytes[5])
{
    uint32_t word = word_of(bytes);

    if ((word & (FLAG_BINARY | FLAG_BINARY2)) != 0)
        return "MSBIN";
    return word == 0 || (word & FLAG_IGNORE_CASE) != 0 ? "MSCI" : "MSCS";
}

int
collation_page(const uint8_t bytes[5])
{
    uint32_t word = word_of(bytes);

    if ((word & FLAG_UTF8) != 0)
        return PAGE_UTF8;
    for (size_t i = 0; i < N_FAMILIES; i++)
        if (FAMILIES[i].lcid == (word & 0xFFFFF))
            return FAMILIES[i].page;
    return 0;
}

void
collation_from_page(int page, uint8_t out[5])
{
    for (size_t i = 0; i < N_FAMILIES; i++)
        if (FAMILIES[i].page == page) {
            put_word(out,
                     FAMILIES[i].lcid | FLAG_IGNORE_CASE | FLAG_IGNORE_KANA | FLAG_IGNORE_WIDTH,
                     FAMILIES[i].sort_id);
            return;
        }
    put_word(out, 0x409 | FLAG_IGNORE_CASE | FLAG_IGNORE_KANA | FLAG_IGNORE_WIDTH | FLAG_UTF8, 0);
}

/* Bytes of each character below U+10000 in each page, 0 = it has none; filled at first use and
   kept by the process, because connections come and go. */
static uint8_t page_sizes[N_PAGES][0x10000];
static atomic_bool page_ready[N_PAGES];

/* Windows gives a byte without a character (0x81 in 1252) the control character of its number. */
static void
fill_controls(int page)
{
    iconv_t cd = iconv_open("UTF-8", PAGES[page]);

    CHECK(cd != (iconv_t)-1);
    for (uint32_t cp = 0x80; cp < 0xA0; cp++) {
        char in = (char)cp;
        char out[8];
        char *ip = &in;
        char *op = out;
        size_t il = 1;
        size_t ol = sizeof out;

        if (iconv(cd, &ip, &il, &op, &ol) == (size_t)-1) {
            (void)iconv(cd, NULL, NULL, NULL, NULL);
            page_sizes[page][cp] = 1;
        }
    }
    (void)iconv_close(cd);
}

static void
fill_page_sizes(int page)
{
    iconv_t cd = iconv_open(PAGES[page], "UTF-8");

    CHECK(cd != (iconv_t)-1);
    for (uint32_t cp = 0x80; cp <= 0xFFFF; cp++) {
        char in[4];
        char out[8];
        char *ip = in;
        char *op = out;
        size_t il = utf_put(in, cp);
        size_t ol = sizeof out;

        if (iconv(cd, &ip, &il, &op, &ol) == (size_t)-1)
            (void)iconv(cd, NULL, NULL, NULL, NULL);
        else
            page_sizes[page][cp] = (uint8_t)(sizeof out - ol);
    }
    (void)iconv_close(cd);
    if (page < N_SINGLE_BYTE)
        fill_controls(page);
}

int
collation_char_size(int page, uint32_t cp)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    char utf8[4];

    if (cp < 0x80)
        return 1;
    if (page == PAGE_UTF8)
        return (int)utf_put(utf8, cp);
    if (page == 0 && cp >= 0xA0 && cp < 0x100)
        return 1;
    if (page < 0 || page >= N_PAGES || cp > 0xFFFF)
        return 0;
    /* Pairs with the release below: whoever sees ready sees the table. */
    if (!atomic_load_explicit(&page_ready[page], memory_order_acquire)) {
        (void)pthread_mutex_lock(&lock);
        if (!atomic_load_explicit(&page_ready[page], memory_order_relaxed)) {
            fill_page_sizes(page);
            atomic_store_explicit(&page_ready[page], true, memory_order_release);
        }
        (void)pthread_mutex_unlock(&lock);
    }
    return page_sizes[page][cp];
}

/* Upper case of the scripts whose cases differ by a constant. */
static uint32_t
fold(uint32_t c)
{
    if (c < 0x80)
        return c >= 'a' && c <= 'z' ? c - 32 : c;
    if ((c >= 0xE0 && c <= 0xFE && c != 0xF7) || (c >= 0x3B1 && c <= 0x3C9 && c != 0x3C2) ||
        (c >= 0x430 && c <= 0x44F))
        return c - 32;
    if (c >= 0x450 && c <= 0x45F)
        return c - 80;
    if ((c >= 0x100 && c <= 0x137) || (c >= 0x14A && c <= 0x177) || (c >= 0x460 && c <= 0x481))
        return c & ~1U;
    if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17E))
        return (c - 1) | 1U;
    return c == 0xFF ? 0x178 : c;
}

/* Punctuation sorts before digits, digits before letters; accented letters follow theirs. */
static uint32_t
weight(uint32_t c)
{
    static const char BASE[] = "AAAAAAACEEEEIIIIDNOOOOO\0OUUUUY";

    if (c < 0x80)
        return c >= '0' ? (c <= '9' || (c >= 'A' && c <= 'Z') ? 0x1000 + (c << 8) : c) : c;
    if (c >= 0xC0 && c <= 0xDD && c != 0xD7)
        return 0x1000 + ((uint32_t)BASE[c - 0xC0] << 8) + (c - 0xBF);
    return 0x10000 + c;
}

static int
compare(const char *a, size_t an, const char *b, size_t bn, bool ignore_case)
{
    size_t i = 0;
    size_t j = 0;
    int tie = 0;

    while (an > 0 && a[an - 1] == ' ')
        an--;
    while (bn > 0 && b[bn - 1] == ' ')
        bn--;
    while (i < an && j < bn) {
        uint32_t x = (unsigned char)a[i] < 0x80 ? (unsigned char)a[i++] : utf_next(a, an, &i);
        uint32_t y = (unsigned char)b[j] < 0x80 ? (unsigned char)b[j++] : utf_next(b, bn, &j);
        uint32_t wx;
        uint32_t wy;

        if (x == y)
            continue;
        wx = weight(fold(x));
        wy = weight(fold(y));
        if (wx != wy)
            return wx < wy ? -1 : 1;
        if (tie == 0) /* lower case before upper case, as the Windows orders do */
            tie = x > y ? -1 : 1;
    }
    if (i < an || j < bn)
        return i < an ? 1 : -1;
    return ignore_case ? 0 : tie;
}

int
collation_compare_ci(const char *a, size_t a_size, const char *b, size_t b_size)
{
    return compare(a, a_size, b, b_size, true);
}

static int
compare_ci(void *arg, int an, const void *a, int bn, const void *b)
{
    (void)arg;
    return compare(a, (size_t)an, b, (size_t)bn, true);
}

static int
compare_cs(void *arg, int an, const void *a, int bn, const void *b)
{
    (void)arg;
    return compare(a, (size_t)an, b, (size_t)bn, false);
}

static int
compare_binary(void *arg, int an, const void *a, int bn, const void *b)
{
    const char *x = a;
    const char *y = b;
    int least;
    int order;

    (void)arg;
    while (an > 0 && x[an - 1] == ' ')
        an--;
    while (bn > 0 && y[bn - 1] == ' ')
        bn--;
    least = an < bn ? an : bn;
    order = least == 0 ? 0 : memcmp(x, y, (size_t)least);
    return order != 0 ? order : an - bn;
}

int
collation_register(struct sqlite3 *db)
{
    int rc = sqlite3_create_collation(db, "MSCI", SQLITE_UTF8, NULL, compare_ci);

    if (rc == SQLITE_OK)
        rc = sqlite3_create_collation(db, "MSCS", SQLITE_UTF8, NULL, compare_cs);
    if (rc == SQLITE_OK)
        rc = sqlite3_create_collation(db, "MSBIN", SQLITE_UTF8, NULL, compare_binary);
    return rc;
}
