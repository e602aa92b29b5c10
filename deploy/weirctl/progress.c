#include "deploy/weirctl/progress.h"

#include "common/clock.h"
#include "deploy/weirctl/text.h"

#define MOST_BEFORE_THE_END 99.9

/* Rate, rest and percent of what is known of rows and times. */
static void
derive(const struct snapshot *s, struct progress *p)
{
    int64_t until = p->ended_real_ns != 0 ? p->ended_real_ns : s->real_ns;

    p->percent = -1;
    p->rows_per_second = -1;
    p->left_ns = -1;
    if (p->began_real_ns == 0)
        return;
    if (until > p->began_real_ns)
        p->rows_per_second =
            (double)p->rows / ((double)(until - p->began_real_ns) / (double)NS_PER_S);
    if (!p->is_loading) {
        p->percent = 100;
        return;
    }
    if (p->whole == 0)
        return;
    p->percent = 100.0 * (double)p->rows / (double)p->whole;
    if (p->percent > MOST_BEFORE_THE_END)
        p->percent = MOST_BEFORE_THE_END;
    if (p->rows_per_second > 0)
        p->left_ns =
            p->whole > p->rows
                ? (int64_t)((double)(p->whole - p->rows) / p->rows_per_second * (double)NS_PER_S)
                : 0;
}

static bool
is_loading(const struct table_row *t)
{
    return t->state == TABLE_FULL_LOAD || t->state == TABLE_RELOAD;
}

void
progress_of_table(const struct snapshot *s, const struct table_row *t, struct progress *out)
{
    *out = (struct progress){
        .is_loading = is_loading(t),
        .rows = t->captured[TSTAT_FULL_LOAD_ROWS],
        .whole = t->captured[TSTAT_FULL_LOAD_ESTIMATE],
        .began_real_ns = (int64_t)t->captured[TSTAT_FULL_LOAD_BEGAN],
        .ended_real_ns = (int64_t)t->captured[TSTAT_FULL_LOAD_ENDED],
    };
    derive(s, out);
}

static void
add_table(const struct table_row *t, const struct progress *p, struct task_progress *out,
          double *tables, bool *is_known)
{
    struct progress *all = &out->load;

    out->loaded += t->state == TABLE_COMPLETED ? 1 : 0;
    out->loading += p->is_loading ? 1 : 0;
    out->queued += t->state == TABLE_BEFORE_LOAD ? 1 : 0;
    out->errored += t->state == TABLE_ERROR ? 1 : 0;
    if (t->state == TABLE_ERROR)
        return;
    *tables += p->percent > 0 ? p->percent / 100 : 0;
    *is_known = *is_known && (p->whole != 0 || t->state == TABLE_COMPLETED);
    all->rows += p->rows;
    all->whole += p->whole > p->rows ? p->whole : p->rows;
    if (p->began_real_ns != 0 && (all->began_real_ns == 0 || p->began_real_ns < all->began_real_ns))
        all->began_real_ns = p->began_real_ns;
    if (p->ended_real_ns > all->ended_real_ns)
        all->ended_real_ns = p->ended_real_ns;
}

void
progress_of_task(const struct snapshot *s, struct task_progress *out)
{
    struct progress p;
    double tables = 0;
    bool is_known = true;
    size_t n;

    *out = (struct task_progress){.loaded = 0};
    for (size_t i = 0; i < s->n_tables; i++) {
        if (!s->tables[i].is_captured)
            continue;
        progress_of_table(s, &s->tables[i], &p);
        add_table(&s->tables[i], &p, out, &tables, &is_known);
    }
    out->load.is_loading = out->loading + out->queued > 0;
    if (out->load.is_loading)
        out->load.ended_real_ns = 0;
    derive(s, &out->load);
    n = out->loaded + out->loading + out->queued;
    if (is_known || !out->load.is_loading || n == 0)
        return;
    out->load.percent = 100.0 * tables / (double)n;
    out->load.left_ns = -1;
}

const char *
progress_text(const struct progress *p, char buf[PROGRESS_TEXT])
{
    char percent[TEXT_NUMBER];
    char whole[TEXT_NUMBER];
    char rate[TEXT_NUMBER];
    char left[TEXT_NUMBER];

    (void)snprintf(percent, sizeof(percent), p->percent >= 0 ? "%.1f %%" : "percent unknown",
                   p->percent);
    (void)snprintf(
        buf, PROGRESS_TEXT, "%s of %s rows, %s rows/s, %s%s left", percent,
        p->whole != 0 ? text_count(p->whole, whole, sizeof(whole)) : "unknown",
        text_rate(p->rows_per_second, rate, sizeof(rate)), p->left_ns >= 0 ? "about " : "",
        p->left_ns >= 0 ? text_duration(p->left_ns, left, sizeof(left)) : "unknown time");
    return buf;
}
