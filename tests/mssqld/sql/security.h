/* security - logins, users, roles and who may read what. */
#ifndef MSSQLD_SECURITY_H
#define MSSQLD_SECURITY_H

#include "tests/mssqld/sql/catalog.h"

/* True when the session's login has a user (or is sysadmin) in the database. */
bool security_may_enter(struct session *s, struct database *d);

/* Principal id of the session's user in the database: 1 = dbo; -1 = none. */
int security_user_id(struct session *s, struct database *d);
bool security_is_member(struct session *s, struct database *d, int role_id);
bool security_is_owner(struct session *s, struct database *d);

/* May the session's user use the permission ("SELECT", "INSERT" ...) on the object? */
bool security_allowed(struct session *s, const struct table *t, const char *permission);
/* Error 229 when not. */
int security_require(struct session *s, const struct table *t, const char *permission);
/* Error 262-like when the user is not db_owner. */
int security_require_owner(struct session *s);

/* Statements; -1 with s->error. */
int security_alter_login(struct session *s, const struct stmt *x);
int security_create_login(struct session *s, const struct stmt *x);
int security_drop_login(struct session *s, const struct stmt *x);
int security_create_user(struct session *s, const struct stmt *x);
int security_drop_user(struct session *s, const struct stmt *x);
int security_create_role(struct session *s, const char *name);
int security_member(struct session *s, const char *role, const char *member, bool add);
int security_grant(struct session *s, const struct stmt *x);

/* 0, or the error a login is refused with.  Sets *sysadmin and *database (malloc'd). */
int32_t
security_login(struct engine *g, const struct login_request *l, bool *sysadmin, char **database);
bool security_login_exists(struct engine *g, const char *name);
/* -1 = none of that name. */
int64_t security_principal(struct session *s, struct database *d, const char *name);
/* The object of a name as functions take it: 'dbo.t', '[a].[b]'; NULL when there is none. */
struct table *security_object(struct session *s, const char *text);

#endif
