/* The tables of the database, as a list of migrations; schema.c says what each column means. */
#ifndef FEWSTEP_STORE_SCHEMA_H
#define FEWSTEP_STORE_SCHEMA_H

#include <sqlite3.h>

#include "kernels/base/error.h"

/* PRAGMA application_id: "FSTP". PRAGMA user_version: how many migrations have been applied. */
#define FS_APPLICATION_ID 0x46535450

/* A migration is a list of statements, NULL past the last, and then a step of its own where SQL cannot work out what
 * the new columns hold of the old rows; in one transaction. */
struct fs_migration {
    const char *const *statements;
    fs_status (*step)(sqlite3 *database, struct fs_error *error); /* NULL: none */
};

/* All migrations, oldest first; their number is the schema's version. */
const struct fs_migration *fs_store_migrations(int *count);

/* Brings an open database up to `count` migrations, each one transaction: an empty file gets them all, an older schema
 * those that it lacks. Safe when several processes do it at once. */
fs_status fs_store_migrate(sqlite3 *database, const struct fs_migration *migrations, int count, struct fs_error *error);

/* FS_USAGE when the open database is another program's, or of a schema newer than `count`. An empty file has version
 * 0 and is good. */
fs_status fs_store_check_schema(sqlite3 *database, int count, int *version, struct fs_error *error);

#endif
