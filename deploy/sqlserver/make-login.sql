-- Makes the login that weir reads with, and gives it no right that weir does not use.
--
-- SQL Server, Azure SQL Managed Instance, Amazon RDS; for Azure SQL Database take
-- make-user-azure.sql.  Run it as a member of sysadmin (on RDS: as the master user), after change
-- data capture is enabled for the database:
--
--   sqlcmd -S HOST -i make-login.sql -v Database=shop Login=weir Password="..." Schema=dbo \
--          Access=change-tables GatingRole=none Monitoring=yes ExactLoad=yes Msdb=yes
--
--   Database    the database of the task
--   Login       made if it is not there; the user in the database gets the same name
--   Password    of a login that is made; one that exists keeps its own
--   Schema      whose tables the task loads; run the script again for another one
--   Access      change-tables  SELECT on schema cdc: weir reads the change tables themselves
--               function       no right on the change tables: weir calls fn_cdc_get_all_changes_...
--                              as a member of GatingRole (slower, order inside a transaction less
--                              fine)
--   GatingRole  @role_name of the capture instances, with Access=function; else none
--   Monitoring  yes            VIEW DATABASE STATE: is the log still scanned?
--   ExactLoad   yes            VIEW SERVER STATE: the load joins the log exactly; also: does
--                              SQL Server Agent run?
--   Msdb        yes            SELECT on msdb's cdc_jobs and sysjobactivity; on RDS: no
--
-- Run again it changes nothing.  Nothing is ever revoked: see drop-login.sql.
:on error exit

USE [master];
GO
IF SUSER_ID(N'$(Login)') IS NULL
    CREATE LOGIN [$(Login)] WITH PASSWORD = N'$(Password)';
GO
IF N'$(ExactLoad)' = N'yes'
    GRANT VIEW SERVER STATE TO [$(Login)];
GO

USE [$(Database)];
GO
IF USER_ID(N'$(Login)') IS NULL
    CREATE USER [$(Login)] FOR LOGIN [$(Login)];
GO
-- The rows a full load reads; the function asks for this right too.
GRANT SELECT ON SCHEMA::[$(Schema)] TO [$(Login)];
GO
IF N'$(Access)' = N'change-tables'
    GRANT SELECT ON SCHEMA::[cdc] TO [$(Login)];
GO
IF N'$(Access)' = N'function'
BEGIN
    GRANT SELECT ON OBJECT::[cdc].[change_tables] TO [$(Login)];
    GRANT SELECT ON OBJECT::[cdc].[captured_columns] TO [$(Login)];
    GRANT SELECT ON OBJECT::[cdc].[index_columns] TO [$(Login)];
    GRANT SELECT ON OBJECT::[cdc].[ddl_history] TO [$(Login)];
    GRANT SELECT ON OBJECT::[cdc].[lsn_time_mapping] TO [$(Login)];
END;
GO
IF N'$(Access)' = N'function' AND N'$(GatingRole)' <> N'none'
    ALTER ROLE [$(GatingRole)] ADD MEMBER [$(Login)];
GO
IF N'$(Monitoring)' = N'yes'
    GRANT VIEW DATABASE STATE TO [$(Login)];
GO

USE [msdb];
GO
IF N'$(Msdb)' = N'yes' AND USER_ID(N'$(Login)') IS NULL
    CREATE USER [$(Login)] FOR LOGIN [$(Login)];
GO
IF N'$(Msdb)' = N'yes'
BEGIN
    GRANT SELECT ON OBJECT::[dbo].[cdc_jobs] TO [$(Login)];
    GRANT SELECT ON OBJECT::[dbo].[sysjobactivity] TO [$(Login)];
END;
GO
