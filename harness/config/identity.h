/* What a run is: canonical JSON (sorted keys, shortest round-trip numbers, no spaces) and hashes over it. */
#ifndef FEWSTEP_IDENTITY_H
#define FEWSTEP_IDENTITY_H

#include "harness/config/schema.h"

/* Fills train_hash (config_version and the keys that move the trained weights, without those equal to their default)
 * and json (every key). The caller frees the configuration. */
fs_status fs_config_identify(const struct fs_schema *schema, struct fs_config *config, struct fs_error *error);

#endif
