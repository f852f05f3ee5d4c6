/* RUN|CHECKPOINT of the command line: a run of the database, or a checkpoint file by itself. */
#ifndef FEWSTEP_RUN_SOURCE_H
#define FEWSTEP_RUN_SOURCE_H

#include "harness/config/config.h"

struct fs_source {
    struct fs_config config;
    char run[FS_HASH_TEXT];
    char checkpoint[FS_PATH_ROOM];
};

/* A path that ends in .safetensors is a checkpoint; anything else the prefix of a run's id in the database at `db`,
 * whose last checkpoint lies under `out`. FS_USAGE for a file that is not the one the database has its SHA-256 of. */
fs_status fs_source_open(struct fs_source *source, const char *text, const char *out, const char *db,
                         struct fs_error *error);
void fs_source_close(struct fs_source *source);

#endif
