/*
 * weirctl status: what wants somebody's attention, with the statement that mends it.
 */
#include "common/clock.h"
#include "deploy/weirctl/status.h"
#include "deploy/weirctl/text.h"

#include <string.h>

#define WIDTH 80U

/* Prints text in lines of at most WIDTH columns, broken at blanks, each behind `indent` blanks; the
   first one goes on where the cursor is, at column `at`. */
static void
print_wrapped(FILE *out, const char *text, size_t at, size_t indent)
{
    for (bool is_first = true; *text != '\0'; is_first = false) {
        size_t word = strcspn(text, " ");

        if (!is_first && at + 1 + word > WIDTH) {
            (void)fprintf(out, "\n%*s", (int)indent, "");
            at = indent;
        } else if (!is_first) {
            (void)fputc(' ', out);
            at++;
        }
        text_print_safe(out, text, word);
        at += word;
        text += word;
        text += strspn(text, " ");
    }
    (void)fputc('\n', out);
}

static void
print_alarm(FILE *out, const struct snapshot *s, const struct stage_row *row,
            const struct stats_alarm_view *a, bool has_colour)
{
    static const char *const colours[] = {[STATS_ALARM_NOTE] = "",
                                          [STATS_ALARM_WARNING] = "\033[33m",
                                          [STATS_ALARM_ERROR] = "\033[31m"};
    char since[TEXT_NUMBER];

    (void)text_duration(s->real_ns > a->since_real_ns ? s->real_ns - a->since_real_ns : 0, since,
                        sizeof(since));
    (void)fprintf(out, "%s%-8s%s%s of %s, for %s%s\n        ", has_colour ? colours[a->level] : "",
                  stats_alarm_level_name(a->level), has_colour ? "\033[0m" : "", a->code, row->name,
                  since, snapshot_stage_is_bad(row) ? " (as of its last sign)" : "");
    print_wrapped(out, a->text, 8, 8);
    if (a->remedy[0] == '\0')
        return;
    (void)fputs("        do: ", out);
    print_wrapped(out, a->remedy, 12, 12);
}

void
status_print_alarms(FILE *out, const struct snapshot *s, bool has_colour)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n_stages; i++)
        n += s->stages[i].n_alarms;
    if (n == 0)
        return;
    (void)fprintf(out, "%sALARMS%s\n", has_colour ? "\033[1m" : "", has_colour ? "\033[0m" : "");
    for (size_t i = 0; i < s->n_stages; i++)
        for (size_t k = 0; k < s->stages[i].n_alarms; k++)
            print_alarm(out, s, &s->stages[i], &s->stages[i].alarms[k], has_colour);
    (void)fputc('\n', out);
}
