/* JSON as text for people. */
#ifndef FEWSTEP_TEXT_JSON_H
#define FEWSTEP_TEXT_JSON_H

#include <jansson.h>

/* A member by its dotted name ("methods.shortcut.max_step"); NULL when it is not there. Borrowed. */
const json_t *fs_json_at(const json_t *root, const char *dotted);
/* A text; what is no UTF-8, which JSON cannot hold, as U+FFFD. NULL where there is no memory. */
json_t *fs_json_string(const char *text);
/* A scalar as it would stand in YAML; lists in brackets; cut off at `size`. */
void fs_json_text(const json_t *value, char *text, size_t size);
/* The value of a dotted key in a configuration's JSON, as fs_json_text writes it. */
void fs_config_text(const char *config_json, const char *key, char *text, size_t size);

#endif
