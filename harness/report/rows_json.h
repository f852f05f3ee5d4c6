/* Rows of the database as JSON, and JSON as text for people. */
#ifndef FEWSTEP_ROWS_JSON_H
#define FEWSTEP_ROWS_JSON_H

#include <jansson.h>
#include <stdio.h>

#include "harness/store/store.h"

/* The rows of a query (types and values as in fs_query_open) as an array of objects with a member for each column by
 * its name; owned by the caller (json_decref). */
fs_status fs_rows_json(struct fs_store *store, json_t **rows, struct fs_error *error, const char *sql,
                       const char *types, const char *value);

/* A member by its dotted name ("methods.shortcut.max_step"); NULL when it is not there. Borrowed. */
const json_t *fs_json_at(const json_t *root, const char *dotted);
/* A scalar as it would stand in YAML; lists in brackets; cut off at `size`. */
void fs_json_text(const json_t *value, char *text, size_t size);
/* An object in the manner of YAML: a line a member, a line for each object of a list. */
void fs_json_print(const json_t *object, int indent, FILE *stream);

/* One experiment by name (NULL: the one used last): its newest row. FS_USAGE names those that there are. `name` and
 * `ablated` ("" when there is none) are copied. */
struct fs_experiment_name {
    int64_t id;
    char name[64], ablated[64];
};
fs_status fs_experiment_find(struct fs_store *store, const char *name, struct fs_experiment_name *experiment,
                             struct fs_error *error);
/* The value of a dotted key in a configuration's JSON, as fs_json_text writes it. */
void fs_config_text(const char *config_json, const char *key, char *text, size_t size);

#endif
