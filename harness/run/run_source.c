/* RUN|CHECKPOINT of the command line: a run of the database, or a checkpoint file by itself. */
#include "harness/run/run_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/run/checkpoint_row.h"
#include "harness/run/pipeline.h"
#include "harness/checkpoint/checkpoint.h"
#include "kernels/base/file.h"

static fs_status from_checkpoint(struct fs_source *source, const char *path, char **json, int64_t *update,
                                 struct fs_error *error)
{
    char source_hash[FS_HASH_TEXT];
    FS_TRY(fs_path(source->checkpoint, error, "%s", path));
    return fs_checkpoint_metadata(path, json, source->run, source_hash, update, error);
}

/* Opens the source in the database, which is not there (NULL) for a checkpoint by itself. */
static fs_status open_source(struct fs_source *source, const char *text, const char *out, struct fs_store *store,
                             char **json, struct fs_error *error)
{
    int64_t update;
    if (fs_ends_with(text, ".safetensors")) {
        FS_TRY(from_checkpoint(source, text, json, &update, error));
    } else {
        FS_TRY(fs_store_find_run(store, text, source->run, json, error));
        FS_TRY(fs_run_checkpoint(out ? out : "out", source->run, source->checkpoint, &update, error));
    }
    return store ? fs_checkpoint_row_check(store, source->run, update, source->checkpoint, false, error) : FS_OK;
}

fs_status fs_source_open(struct fs_source *source, const char *text, const char *out, const char *db,
                         struct fs_error *error)
{
    struct fs_store *store = NULL;
    char path[FS_PATH_ROOM], *json = NULL;
    *source = (struct fs_source){0};
    FS_TRY(fs_database_path(out, db, path, error));
    if (!fs_ends_with(text, ".safetensors") || access(path, F_OK) == 0) {
        FS_TRY(fs_store_open(path, FS_STORE_READ, &store, error));
    }
    fs_status status = open_source(source, text, out, store, &json, error);
    fs_store_close(store);
    if (status == FS_OK) {
        status = fs_config_from_json(json, &source->config, error);
    }
    free(json);
    return status;
}

void fs_source_close(struct fs_source *source)
{
    fs_config_free(&source->config);
}
