/* Rows of the database as JSON, and JSON as text for people. */
#ifndef FEWSTEP_ROWS_JSON_H
#define FEWSTEP_ROWS_JSON_H

#include <jansson.h>
#include <stdio.h>

#include "harness/results/experiment.h"
#include "harness/store/store.h"
#include "harness/text/json.h"

/* The rows of a query (types and values as in fs_query_open) as an array of objects with a member for each column by
 * its name; owned by the caller (json_decref). */
fs_status fs_rows_json(struct fs_store *store, json_t **rows, struct fs_error *error, const char *sql,
                       const char *types, const char *value);

/* An object in the manner of YAML: a line a member, a line for each object of a list. */
void fs_json_print(const json_t *object, int indent, FILE *stream);

#endif
