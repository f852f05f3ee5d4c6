/* RUN|CHECKPOINT of the command line: a run of the database, or a checkpoint file by itself. */
#include "harness/run/run_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/cli/options.h"
#include "harness/run/pipeline.h"
#include "harness/checkpoint/checkpoint.h"

static fs_status from_checkpoint(struct fs_source *source, const char *path, char **json, struct fs_error *error)
{
    char source_hash[FS_HASH_TEXT];
    int64_t update;
    if (strlen(path) >= sizeof source->checkpoint) {
        return fs_fail(error, FS_USAGE, "%.60s…: a name of more than %zu characters", path,
                       sizeof source->checkpoint - 1);
    }
    snprintf(source->checkpoint, sizeof source->checkpoint, "%s", path);
    return fs_checkpoint_metadata(path, json, source->run, source_hash, &update, error);
}

static fs_status from_run(struct fs_source *source, const char *prefix, const char *out, const char *db, char **json,
                          struct fs_error *error)
{
    char path[1024];
    struct fs_store *store;
    fs_database_path(out, db, path);
    FS_TRY(fs_store_open(path, FS_STORE_READ, &store, error));
    fs_status status = fs_store_find_run(store, prefix, source->run, json, error);
    fs_store_close(store);
    return status == FS_OK ? fs_run_checkpoint(out ? out : "out", source->run, source->checkpoint, error) : status;
}

fs_status fs_source_open(struct fs_source *source, const char *text, const char *out, const char *db,
                         struct fs_error *error)
{
    *source = (struct fs_source){0};
    char *json = NULL;
    fs_status status = fs_ends_with(text, ".safetensors") ? from_checkpoint(source, text, &json, error)
                                                          : from_run(source, text, out, db, &json, error);
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
