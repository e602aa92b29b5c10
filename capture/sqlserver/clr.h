/*
 * clr - the values of SQL Server's own CLR types, from the bytes they are kept in.
 *
 * Change tables hold the same bytes as tables, so both are read without calling a method of the
 * type in the server, and nothing a method would drop (Z, M, SRID, digits) is lost.
 *
 * Formats: MS-SSCLRT 2.1 (geometry, geography: version 1 and 2) and 2.2 (hierarchyid: ORDPATH).
 *
 * The bytes are not trusted: any input is either read whole or refused.  Allocation and blocking:
 * none.  Thread use: pure functions.
 */
#ifndef WEIR_SQLSERVER_CLR_H
#define WEIR_SQLSERVER_CLR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for the text of any hierarchyid of `size` bytes: its shortest step takes five bits and
   prints as two characters. */
#define CLR_PATH_BOUND(size) (4 * (size_t)(size) + 32)

/* "/1/2.5/-3/" as ToString() prints it.  Returns its length, 0 for bytes that are no hierarchyid. */
size_t clr_path(const uint8_t *in, size_t size, char *out);

/*
 * EWKB (well-known binary, little-endian, with the SRID in the outermost geometry) of a geometry or
 * geography.  A geography's points become longitude, latitude, as WKB has them.  Empty points are
 * NaN in every coordinate.  FULLGLOBE is type 126, as STAsBinary() has it.
 *
 * With out = NULL only the size is found.  Returns it; 0 for bytes that are no such value.
 */
size_t clr_wkb(const uint8_t *in, size_t size, bool is_geography, uint8_t *out);

#endif
