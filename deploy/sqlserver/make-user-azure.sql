-- Azure SQL Database: makes the user that weir reads with; see make-login.sql for the variables.
-- Run it in the database itself, as its db_owner:
--
--   sqlcmd -S SERVER.database.windows.net -d DATABASE -i make-user-azure.sql \
--          -v Login=weir Password="..." Schema=dbo Monitoring=yes
--
-- The user is contained in the database: there is no login in master.  Jobs stand in cdc.cdc_jobs,
-- which SELECT on schema cdc covers; there is no VIEW SERVER STATE to grant.
:on error exit

IF USER_ID(N'$(Login)') IS NULL
    CREATE USER [$(Login)] WITH PASSWORD = N'$(Password)';
GO
GRANT SELECT ON SCHEMA::[$(Schema)] TO [$(Login)];
GO
GRANT SELECT ON SCHEMA::[cdc] TO [$(Login)];
GO
IF N'$(Monitoring)' = N'yes'
    GRANT VIEW DATABASE STATE TO [$(Login)];
GO
