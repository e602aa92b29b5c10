/* rights - who may do what: objects, columns, databases, the server. */
#ifndef MSSQLD_RIGHTS_H
#define MSSQLD_RIGHTS_H

#include "tests/mssqld/sql/security.h"

/* A permission ("SELECT", "VIEW DEFINITION" ...) on an object; ids 0: on the whole database. */
bool rights_object(struct session *s, struct database *d, int object_id, int schema_id,
                   const char *permission);
/* On one column (its position): what is said of the column counts before the table's. */
bool rights_column(struct session *s, const struct table *t, int column, const char *permission);
/* Does any right speak of single columns of the table, for somebody who needs rights? */
bool rights_by_column(struct session *s, const struct table *t);
/* May the user know of the object, since it has some right on it? */
bool rights_visible(struct session *s, struct database *d, int object_id);
bool rights_database(struct session *s, struct database *d, const char *permission);
bool rights_server(struct session *s, const char *permission);
/* A name of msdb's job views as a securable: an id no table has; 0 = it is none of them. */
int rights_job_view(const char *name);
/* View `name` of the state: 'S' server, 'D' database, 'J' msdb; 0 none.  Errors 300, 262 and 297,
   229. */
int rights_require_state(struct session *s, struct database *d, const char *name, char right);
/* JSON array of the rights on a securable of class SERVER, DATABASE or OBJECT. */
void rights_list(struct session *s, const char *securable, const char *class, struct sbuf *out);

#endif
