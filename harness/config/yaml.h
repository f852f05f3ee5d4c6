/* YAML through libyaml, as a small tree whose nodes know where they stand. Only what a configuration needs: one
 * document of maps, lists and one-line scalars. Aliases, anchors, tags, duplicate keys and keys that are no plain text
 * are refused. */
#ifndef FEWSTEP_YAML_H
#define FEWSTEP_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/base/error.h"

#define FS_YAML_BYTES_MAX (256 * 1024)
#define FS_YAML_NODES_MAX 10000
#define FS_YAML_DEPTH_MAX 16

enum fs_node_kind { FS_NODE_SCALAR, FS_NODE_LIST, FS_NODE_MAP };

struct fs_node {
    enum fs_node_kind kind;
    const char *place;     /* the file, or "--set train.batch=64" */
    int line, key_line;    /* of the value and of its key, from 1; 0: the place has no lines */
    const char *key;       /* in a map; else NULL */
    const char *text;      /* of a scalar */
    bool quoted;           /* so a scalar is a text, whatever it looks like */
    struct fs_node *first; /* children of a list or map */
    struct fs_node *next;  /* sibling */
};

/* Owns every node and text that was parsed into it. Starts as {0}. */
struct fs_document {
    struct fs_block *blocks;
    int node_count;
};

/* Parses `size` bytes into `document` and gives the root. `place` goes before each message, with the line when
 * `lines`. An input without content is refused. */
fs_status fs_yaml_parse(struct fs_document *document, const char *place, bool lines, const char *bytes, size_t size,
                        struct fs_node **root, struct fs_error *error);
void fs_document_free(struct fs_document *document);

/* The child of a map under `key` (of `length` bytes), or NULL. */
struct fs_node *fs_node_child(const struct fs_node *map, const char *key, size_t length);
/* The node under a dotted name, or NULL. */
struct fs_node *fs_node_find(const struct fs_node *root, const char *name);
/* Puts the value of `value` under a dotted name, in place of what is there, and makes the maps on the way. */
fs_status fs_node_put(struct fs_document *document, struct fs_node *root, const char *name, const struct fs_node *value,
                      struct fs_error *error);
/* Takes the child under `key` out of a map; NULL when it is not there. */
struct fs_node *fs_node_detach(struct fs_node *map, const char *key);

/* "place:line: name: …"; without a line where line is 0. Returns FS_USAGE. */
fs_status fs_fail_at(struct fs_error *error, const char *place, int line, const char *name, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* What stands there, for messages: 'abc', the quoted text '12', nothing, a list, a map. Long texts are cut. */
#define FS_DESCRIPTION 96
const char *fs_node_describe(const struct fs_node *node, char description[FS_DESCRIPTION]);

#endif
