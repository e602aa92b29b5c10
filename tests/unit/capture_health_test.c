/* What facts about the capture job amount to: one alarm for one cause, and when it is over. */
/* uses: capture aws */
#include "capture/capture_internal.h"
#include "capture/sqlserver/health.h"
#include "common/clock.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE (60 * NS_PER_S)

/* A busy database whose jobs are well. */
static struct health_facts
well(void)
{
    return (struct health_facts){
        .jobs = {.is_known = true,
                 .has_capture = true,
                 .has_cleanup = true,
                 .maxtrans = 500,
                 .maxscans = 10,
                 .is_continuous = true,
                 .pollinginterval_s = 5,
                 .retention_min = 4320},
        .scan = {.is_known = true, .good_age_s = 2, .last_age_s = 2, .error_age_s = -1},
        .agent_runs = HEALTH_YES,
        .job_runs = HEALTH_YES,
        .quiet_s = 3,
        .newest_ns = 1000000 * MINUTE,
        .oldest_ns = 1000000 * MINUTE - 4320 * MINUTE,
        .needed_ns = 1000000 * MINUTE - 10 * MINUTE};
}

/* The codes of what is raised, one behind the other. */
static const char *
codes(const struct health_facts *f, struct source_health *h)
{
    static char text[512];

    text[0] = '\0';
    health_judge(f, h);
    for (size_t i = 0; i < h->n; i++) {
        ck_assert(h->alarms[i].what[0] != '\0');
        ck_assert(h->alarms[i].level == SOURCE_OK || h->alarms[i].remedy[0] != '\0');
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i > 0 ? " " : "",
                       h->alarms[i].code);
    }
    return text;
}

START_TEST(nothing_is_amiss)
{
    struct health_facts f = well();
    struct source_health h;

    ck_assert_str_eq(codes(&f, &h), "");
    ck_assert_int_eq(h.retention_ns, 4320 * MINUTE);
    ck_assert_int_eq(h.headroom_ns, 4310 * MINUTE);
    ck_assert(!h.retention_is_observed);
    /* Nothing may be seen: nothing is guessed. */
    f = (struct health_facts){.quiet_s = 10,
                              .newest_ns = 100 * MINUTE,
                              .oldest_ns = 40 * MINUTE,
                              .needed_ns = 90 * MINUTE};
    ck_assert_str_eq(codes(&f, &h), "");
    ck_assert_int_eq(h.retention_ns, 60 * MINUTE);
    ck_assert_int_eq(h.headroom_ns, 50 * MINUTE);
    ck_assert(h.retention_is_observed);
}
END_TEST

/* Each cause alone, and named before what follows from it. */
START_TEST(one_cause_one_alarm)
{
    struct health_facts f = well();
    struct source_health h;

    f.scan.last_age_s = f.scan.good_age_s = 61; /* follows from each of the causes below */
    ck_assert_str_eq(codes(&f, &h), "capture-job-silent");
    f.job_runs = HEALTH_NO;
    ck_assert_str_eq(codes(&f, &h), "capture-job-stopped");
    ck_assert_str_eq(h.alarms[0].remedy, "EXEC sys.sp_cdc_start_job @job_type = N'capture'");
    f.jobs.has_capture = false;
    ck_assert_str_eq(codes(&f, &h), "capture-job-missing");
    ck_assert_str_eq(h.alarms[0].remedy, "EXEC sys.sp_cdc_add_job @job_type = N'capture'");
    f.job_runs = HEALTH_UNKNOWN;
    f.is_published = true; /* the Log Reader Agent captures in its place */
    ck_assert_str_eq(codes(&f, &h), "capture-job-silent");
    f.is_published = false;
    f.agent_runs = HEALTH_NO;
    ck_assert_str_eq(codes(&f, &h), "agent-stopped");
    /* A readable secondary has jobs and views of its own. */
    f.is_secondary = true;
    ck_assert_str_eq(codes(&f, &h), "");
}
END_TEST

START_TEST(a_job_that_is_run_now_and_then)
{
    struct health_facts f = well();
    struct source_health h;

    f.jobs.is_continuous = false;
    f.job_runs = HEALTH_NO;
    ck_assert_str_eq(codes(&f, &h), "");
    f.jobs.pollinginterval_s = 3600;
    f.scan.last_age_s = f.scan.good_age_s = 3 * 3600;
    ck_assert_str_eq(codes(&f, &h), "");
    f.scan.last_age_s = 3 * 3600 + 1;
    ck_assert_str_eq(codes(&f, &h), "capture-job-silent");
}
END_TEST

START_TEST(failing_until_a_scan_succeeds)
{
    struct health_facts f = well();
    struct source_health h;

    f.scan.error_age_s = 1;
    f.scan.error_number = 1105;
    (void)snprintf(f.scan.error_text, sizeof(f.scan.error_text), "the file group is full");
    ck_assert_str_eq(codes(&f, &h), "capture-job-failing");
    ck_assert_ptr_nonnull(strstr(h.alarms[0].what, "error 1105: the file group is full"));
    f.scan.good_age_s = -1; /* never well */
    ck_assert_str_eq(codes(&f, &h), "capture-job-failing");
    f.scan.good_age_s = 0; /* and well again */
    f.scan.last_age_s = 0;
    ck_assert_str_eq(codes(&f, &h), "");
}
END_TEST

START_TEST(slow_and_quiet)
{
    struct health_facts f = well();
    struct source_health h;

    f.scan.latency_s = 59;
    ck_assert_str_eq(codes(&f, &h), "");
    f.scan.latency_s = 60;
    ck_assert_str_eq(codes(&f, &h), "capture-job-slow");
    ck_assert_int_eq(h.alarms[0].level, SOURCE_WARNING);
    ck_assert_ptr_nonnull(strstr(h.alarms[0].what, "maxtrans 500, maxscans 10"));
    f = well();
    f.quiet_s = 900; /* the job scans, there is nothing to find */
    ck_assert_str_eq(codes(&f, &h), "");
    f.scan.is_known = false;
    ck_assert_str_eq(codes(&f, &h), "log-quiet");
    f.quiet_s = 899;
    ck_assert_str_eq(codes(&f, &h), "");
}
END_TEST

START_TEST(flavours)
{
    struct health_facts f = well();
    struct source_health h;

    f.flavour = FLAVOUR_AZURE; /* no Agent, no job activity */
    f.agent_runs = HEALTH_UNKNOWN;
    f.jobs.pollinginterval_s = 0;
    ck_assert_str_eq(codes(&f, &h), "latency-floor");
    ck_assert_int_eq(h.alarms[0].level, SOURCE_OK);
    ck_assert_ptr_nonnull(strstr(h.alarms[0].what, "every 20 seconds"));
    f.scan.last_age_s = f.scan.good_age_s = 61;
    ck_assert_str_eq(codes(&f, &h), "latency-floor capture-job-silent");
    ck_assert_ptr_nonnull(strstr(h.alarms[1].remedy, "sp_cdc_scan"));
    f = well();
    f.flavour = FLAVOUR_RDS; /* its jobs belong to another account */
    f.jobs.has_capture = false;
    f.jobs.has_cleanup = false;
    ck_assert_str_eq(codes(&f, &h), "");
    f.agent_runs = HEALTH_NO;
    ck_assert_str_eq(codes(&f, &h), "agent-stopped");
    ck_assert_ptr_nonnull(strstr(h.alarms[0].remedy, "RDS"));
}
END_TEST

START_TEST(retention_runs_out)
{
    struct health_facts f = well();
    struct source_health h;

    f.needed_ns = f.newest_ns - 4000 * MINUTE;
    (void)codes(&f, &h);
    ck_assert_int_eq(h.headroom_ns, 320 * MINUTE);
    f.needed_ns = f.newest_ns - 5000 * MINUTE;
    (void)codes(&f, &h);
    ck_assert_int_eq(h.headroom_ns, 0);
    f.needed_ns = f.newest_ns + MINUTE; /* it came between the two looks */
    (void)codes(&f, &h);
    ck_assert_int_eq(h.headroom_ns, 4320 * MINUTE);
    f.jobs.has_cleanup = false;
    ck_assert_str_eq(codes(&f, &h), "cleanup-job-missing");
    ck_assert(h.retention_is_observed);
}
END_TEST

/* Raised at 50 and 80 per cent, over only below 40 and 70: it does not flap. */
START_TEST(retention_levels)
{
    ck_assert_int_eq(health_retention_level(49, SOURCE_OK), SOURCE_OK);
    ck_assert_int_eq(health_retention_level(50, SOURCE_OK), SOURCE_WARNING);
    ck_assert_int_eq(health_retention_level(80, SOURCE_OK), SOURCE_ERROR);
    ck_assert_int_eq(health_retention_level(40, SOURCE_WARNING), SOURCE_WARNING);
    ck_assert_int_eq(health_retention_level(39, SOURCE_WARNING), SOURCE_OK);
    ck_assert_int_eq(health_retention_level(79, SOURCE_WARNING), SOURCE_WARNING);
    ck_assert_int_eq(health_retention_level(70, SOURCE_ERROR), SOURCE_ERROR);
    ck_assert_int_eq(health_retention_level(69, SOURCE_ERROR), SOURCE_WARNING);
    ck_assert_int_eq(health_retention_level(39, SOURCE_ERROR), SOURCE_OK);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("capture_health");
    TCase *tc = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, nothing_is_amiss);
    tcase_add_test(tc, one_cause_one_alarm);
    tcase_add_test(tc, a_job_that_is_run_now_and_then);
    tcase_add_test(tc, failing_until_a_scan_succeeds);
    tcase_add_test(tc, slow_and_quiet);
    tcase_add_test(tc, flavours);
    tcase_add_test(tc, retention_runs_out);
    tcase_add_test(tc, retention_levels);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
