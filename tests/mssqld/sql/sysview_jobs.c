/* Views of the capture job and of SQL Server Agent: their rows come from job_rows(). */
#include "tests/mssqld/sql/sysview_parts.h"

/* a: one row for each job of msdb.dbo.cdc_jobs with what the capture job's state says of it. */
#define AGENT                                                                                      \
    "(SELECT j.c1 AS db, j.c2 AS type, j.c3 AS id, x.value->>1 AS dbname, x.value->>4 AS began, "  \
    "x.value->>5 AS ended, j.c2 = 'capture' AND x.value->>3 AS runs, x.value->>7 AS n FROM "       \
    "%CDCJOBS% j JOIN json_each(ms_job_rows(%ID%, 'jobs')) x ON x.value->>0 = j.c1 AND NOT "       \
    "ms_hides_jobs()) a"

const struct sysview SYSVIEWS_JOBS[] = {
    {"sys", "dm_server_services",
     "servicename n!,startup_type i!,startup_type_desc n!,status i,status_desc n!,process_id i",
     "SELECT 'SQL Server (MSSQLSERVER)', 2, 'Automatic', 4, 'Running', 100 UNION ALL SELECT "
     "'SQL Server Agent (MSSQLSERVER)', 2, 'Automatic', CASE ms_agent() WHEN 1 THEN 4 ELSE 1 END, "
     "CASE ms_agent() WHEN 1 THEN 'Running' ELSE 'Stopped' END, CASE ms_agent() WHEN 1 THEN 101 "
     "END"},
    {"sys", "dm_cdc_errors",
     "session_id i,phase_number i,entry_time d,error_number i,error_severity i,error_state "
     "i,error_message S,start_lsn n,begin_lsn n,sequence_value n",
     "SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, "
     "value->>7, value->>8, value->>9 FROM json_each(ms_job_rows(%ID%, 'errors'))"},
    {"sys", "dm_cdc_log_scan_sessions",
     "session_id i!,start_time d,end_time d,duration I!,scan_phase S,error_count i,start_lsn "
     "n,current_lsn n,end_lsn n,tran_count I!,last_commit_lsn n,last_commit_time "
     "d,log_record_count I!,schema_change_count I!,command_count I!,first_begin_cdc_lsn "
     "n,last_commit_cdc_lsn n,last_commit_cdc_time d,latency i,empty_scan_count "
     "I!,failed_sessions_count I!",
     "SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, "
     "value->>7, value->>8, value->>9, value->>10, value->>11, value->>12, value->>13, value->>14, "
     "value->>15, value->>16, value->>17, value->>18, value->>19, value->>20 FROM "
     "json_each(ms_job_rows(%ID%, 'sessions'))"},
    {"cdc", "cdc_jobs",
     "database_id i!,job_type s!,job_id u,maxtrans i,maxscans i,continuous b,pollinginterval "
     "I,retention I,threshold I",
     "SELECT c1, c2, c3, c4, c5, c6, c7, c8, c9 FROM %CDCJOBS% WHERE c1 = %ID%"},
    {"msdb", "sysjobs",
     "job_id u!,originating_server_id i!,name s!,enabled t!,description S,category_id "
     "i!,date_created d!,date_modified d!",
     "SELECT id, 0, 'cdc.' || dbname || '_' || type, 1, 'CDC job', 16, began, began FROM " AGENT},
    {"msdb", "sysjobactivity",
     "session_id i!,job_id u!,run_requested_date d,start_execution_date d,last_executed_step_id "
     "i,stop_execution_date d,job_history_id i,next_scheduled_run_date d",
     "SELECT 1, id, began, CASE type WHEN 'capture' THEN began END, NULL, CASE WHEN runs THEN NULL "
     "ELSE ended END, NULL, NULL FROM " AGENT},
    {"msdb", "syssessions", "session_id i!,agent_start_date d!", "SELECT 1, ms_getdate()"},
    {"msdb", "sysjobservers",
     "job_id u!,server_id i!,last_run_outcome t!,last_outcome_message S,last_run_date "
     "i!,last_run_time i!,last_run_duration i!",
     "SELECT id, 0, CASE WHEN type = 'capture' AND n > 0 THEN 3 ELSE 5 END, CASE WHEN type = "
     "'capture' AND n > 0 THEN 'The job was stopped prior to completion.' END, 0, 0, 0 "
     "FROM " AGENT},
    {"msdb", "sysjobhistory",
     "instance_id i!,job_id u!,step_id i!,step_name s!,sql_message_id i!,sql_severity i!,message "
     "S,run_status i!,run_date i!,run_time i!,run_duration i!,server s!",
     "SELECT db, id, 0, '(Job outcome)', 0, 0, 'The job was stopped prior to completion.', 3, 0, "
     "0, 0, ms_server() FROM " AGENT " WHERE type = 'capture' AND n > 0"},
    {0},
};
