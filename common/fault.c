#include "common/fault.h"

/* An empty translation unit is not C; the release build keeps this one declaration. */
typedef int fault_unit_is_not_empty;

#ifdef WEIR_FAULTS

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fault_rule {
    bool armed;
    char name[64];
    int error;
    atomic_long left; /* hits until it fires; < 0 = spent, 0 with every = always */
    bool every;
};

static struct fault_rule crash_rule;
static struct fault_rule fail_rule;
static atomic_bool loaded;

static void
rule_load(struct fault_rule *r, const char *variable)
{
    const char *text = getenv(variable);
    const char *colon;
    char *end;

    r->armed = false;
    if (text == NULL || (colon = strchr(text, ':')) == NULL)
        return;
    if ((size_t)(colon - text) >= sizeof(r->name))
        return;
    memcpy(r->name, text, (size_t)(colon - text));
    r->name[colon - text] = '\0';
    atomic_store(&r->left, strtol(colon + 1, &end, 10));
    r->every = atomic_load(&r->left) == 0;
    r->error = *end == ':' ? (int)strtol(end + 1, NULL, 10) : 0;
    r->armed = true;
}

void
fault_reload(void)
{
    rule_load(&crash_rule, "WEIR_CRASH");
    rule_load(&fail_rule, "WEIR_FAULT");
    atomic_store(&loaded, true);
}

static bool
rule_fires(struct fault_rule *r, const char *name)
{
    if (!atomic_load(&loaded))
        fault_reload();
    if (!r->armed || (strcmp(r->name, name) != 0 && strcmp(r->name, "*") != 0))
        return false;
    return r->every || atomic_fetch_sub(&r->left, 1) == 1;
}

void
fault_crash_point(const char *name)
{
    if (rule_fires(&crash_rule, name))
        (void)raise(SIGKILL);
}

int
fault_check(const char *name)
{
    return rule_fires(&fail_rule, name) ? fail_rule.error : 0;
}

#endif
