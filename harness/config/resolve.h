/* From a tree of nodes to a resolved run. */
#ifndef FEWSTEP_RESOLVE_H
#define FEWSTEP_RESOLVE_H

#include "harness/config/schema.h"

/* Reads every key of the tree (or its default), checks the keys against each other and fills train_hash and json. The
 * names in the tree have been checked (fs_schema_check). On success the caller frees `config`. */
fs_status fs_config_resolve(const struct fs_schema *schema, const struct fs_node *root, struct fs_config *config,
                            struct fs_error *error);

/* Fills config->places from the tree. */
fs_status fs_config_keep_places(const struct fs_schema *schema, const struct fs_node *root, struct fs_config *config,
                                struct fs_error *error);

/* Fills in the sizes of the preset and checks the keys against each other. FS_USAGE with the place of the key that is
 * to blame. */
fs_status fs_config_validate(struct fs_config *config, struct fs_error *error);

#endif
