-- Takes away what make-login.sql made: the users and the login, with all their rights.
--
--   sqlcmd -S HOST -i drop-login.sql -v Database=shop Login=weir
:on error exit

USE [$(Database)];
GO
DROP USER IF EXISTS [$(Login)];
GO
USE [msdb];
GO
DROP USER IF EXISTS [$(Login)];
GO
USE [master];
GO
IF SUSER_ID(N'$(Login)') IS NOT NULL
    DROP LOGIN [$(Login)];
GO
