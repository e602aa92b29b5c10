/* Views of how tables are stored: indexes, partitions, statistics. */
#include "tests/mssqld/sql/sysview_parts.h"

/* p: object, its data space, partition number; a table on no scheme has one partition. */
#define PARTITIONS                                                                                 \
    "(SELECT o.object_id AS id, 1 AS n FROM D.sys_objects o WHERE o.type = 'U' AND NOT EXISTS "    \
    "(SELECT 1 FROM D.sys_partitioned x WHERE x.object_id = o.object_id) UNION ALL SELECT "        \
    "x.object_id, 1 FROM D.sys_partitioned x UNION ALL SELECT x.object_id, v.boundary_id + 1 "     \
    "FROM D.sys_partitioned x JOIN D.sys_partition_schemes s ON s.data_space_id = "                \
    "x.data_space_id JOIN D.sys_partition_values v ON v.function_id = s.function_id)"

#define INDEX_ID                                                                                   \
    "(SELECT count(*) FROM D.sys_indexes i WHERE i.object_id = o.object_id AND i.index_id = 1)"

#define SPACE                                                                                      \
    "coalesce((SELECT x.data_space_id FROM D.sys_partitioned x WHERE x.object_id = o.object_id), " \
    "1)"

/* The column a table is partitioned by, for its heap or clustered index. */
#define BY_COLUMN "(SELECT x.column_id FROM D.sys_partitioned x WHERE x.object_id = o.object_id)"

const struct sysview SYSVIEWS_STORAGE[] = {
    {"sys", "indexes",
     "object_id i!,name s,index_id i!,type t!,type_desc n,is_unique b,data_space_id "
     "i,ignore_dup_key b,is_primary_key b,is_unique_constraint b,fill_factor t!,is_disabled "
     "b,has_filter b,filter_definition S",
     "SELECT object_id, name, index_id, kind, CASE kind WHEN 1 THEN 'CLUSTERED' WHEN 5 THEN "
     "'CLUSTERED COLUMNSTORE' WHEN 6 THEN 'NONCLUSTERED COLUMNSTORE' ELSE 'NONCLUSTERED' END, "
     "is_unique, CASE index_id WHEN 1 THEN " SPACE " ELSE 1 END, 0, is_primary, is_constraint AND "
     "NOT is_primary, 0, 0, 0, NULL FROM D.sys_indexes o WHERE %SEEN% UNION ALL SELECT object_id, "
     "NULL, 0, 0, 'HEAP', 0, " SPACE ", 0, 0, 0, 0, 0, 0, NULL FROM D.sys_objects o WHERE type = "
     "'U' AND " INDEX_ID " = 0 AND %SEEN%"},
    {"sys", "index_columns",
     "object_id i!,index_id i!,index_column_id i!,column_id i!,key_ordinal t!,partition_ordinal "
     "t!,is_descending_key b,is_included_column b",
     "SELECT object_id, index_id, ordinal, column_id, ordinal, index_id = 1 AND column_id "
     "IS " BY_COLUMN ", descending, 0 FROM D.sys_index_columns o WHERE %SEEN% UNION ALL SELECT "
     "object_id, " INDEX_ID ", 100, column_id, 0, 1, 0, 0 FROM D.sys_partitioned o WHERE NOT "
     "EXISTS (SELECT 1 FROM D.sys_index_columns k WHERE k.object_id = o.object_id AND k.index_id = "
     "1 AND k.column_id = o.column_id) AND %SEEN%"},
    {"sys", "partitions",
     "partition_id I!,object_id i!,index_id i!,partition_number i!,hobt_id I!,rows I",
     "SELECT object_id * 1000 + n, object_id, " INDEX_ID ", n, object_id * 1000 + n, "
     "ms_row_count(%ID%, object_id, n) FROM (SELECT id AS object_id, n FROM " PARTITIONS ") o "
     "WHERE %SEEN%"},
    {"sys", "dm_db_partition_stats",
     "partition_id I!,object_id i!,index_id i!,partition_number i!,in_row_data_page_count "
     "I!,used_page_count I!,reserved_page_count I!,row_count I!",
     "SELECT object_id * 1000 + n, object_id, " INDEX_ID
     ", n, rows / 100 + 1, rows / 100 + 2, rows "
     "/ 100 + 9, rows FROM (SELECT id AS object_id, n, ms_row_count(%ID%, id, n) AS rows "
     "FROM " PARTITIONS ") o"},
    {"sys", "partition_functions",
     "name s!,function_id i!,type c,type_desc n,fanout i!,boundary_value_on_right b!,is_system b!",
     "SELECT name, function_id, 'R ', 'RANGE', 1 + (SELECT count(*) FROM D.sys_partition_values v "
     "WHERE v.function_id = f.function_id), is_right, 0 FROM D.sys_partition_functions f"},
    {"sys", "partition_schemes",
     "name s!,data_space_id i!,type c,type_desc n,is_default b,is_system b,function_id i!",
     "SELECT name, data_space_id, 'PS', 'PARTITION_SCHEME', 0, 0, function_id FROM "
     "D.sys_partition_schemes"},
    {"sys", "partition_range_values", "function_id i!,boundary_id i!,parameter_id i!,value V",
     "SELECT function_id, boundary_id, 1, box FROM D.sys_partition_values"},
    {"sys", "partition_parameters",
     "function_id i!,parameter_id i!,system_type_id t!,max_length m!,precision t!,scale "
     "t!,user_type_id i!",
     "SELECT function_id, 1, ms_type_info(type,'s'), ms_type_info(type,'l'), "
     "ms_type_info(type,'p'), ms_type_info(type,'c'), ms_type_info(type,'u') FROM "
     "D.sys_partition_functions"},
    {"sys", "data_spaces", "name s!,data_space_id i!,type c,type_desc n,is_default b",
     "SELECT 'PRIMARY', 1, 'FG', 'ROWS_FILEGROUP', 1 UNION ALL SELECT name, data_space_id, 'PS', "
     "'PARTITION_SCHEME', 0 FROM D.sys_partition_schemes"},
    {"sys", "stats",
     "object_id i!,name s,stats_id i!,auto_created b,user_created b,no_recompute b,has_filter "
     "b,filter_definition S,is_temporary b,is_incremental b",
     "SELECT object_id, name, index_id, 0, 0, 0, 0, NULL, 0, 0 FROM D.sys_indexes o WHERE kind < 5 "
     "AND %SEEN%"},
    {"sys", "stats_columns", "object_id i!,stats_id i!,stats_column_id i!,column_id i",
     "SELECT object_id, index_id, ordinal, column_id FROM D.sys_index_columns o WHERE %SEEN%"},
    {"sys", "dm_db_stats_properties",
     "object_id i!,stats_id i!,last_updated d,rows I,rows_sampled I,steps i,unfiltered_rows "
     "I,modification_counter I",
     "SELECT object_id, stats_id, updated, n_rows, n_rows, (SELECT count(*) FROM D.sys_histograms "
     "h "
     "WHERE h.object_id = o.object_id AND h.stats_id = o.stats_id), n_rows, "
     "abs(ms_row_count(%ID%, object_id) - n_rows) FROM D.sys_stats_state o WHERE object_id = "
     "CAST(%1% AS INT) AND stats_id = CAST(%2% AS INT) AND %SEEN%"},
    {"sys", "dm_db_stats_histogram",
     "object_id i!,stats_id i!,step_number i!,range_high_key V,range_rows r!,equal_rows "
     "r!,distinct_range_rows I!,average_range_rows r!",
     "SELECT object_id, stats_id, step, high, CAST(range_rows AS REAL), CAST(equal_rows AS REAL), "
     "distinct_rows, CASE distinct_rows WHEN 0 THEN 1.0 ELSE CAST(range_rows AS REAL) / "
     "distinct_rows END FROM D.sys_histograms o WHERE object_id = CAST(%1% AS INT) AND stats_id = "
     "CAST(%2% AS INT) AND %SEEN%"},
    {0},
};
