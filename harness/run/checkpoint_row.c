/* A checkpoint on the disk and its row in the database. */
#include "harness/run/checkpoint_row.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "harness/checkpoint/checkpoint.h"
#include "harness/store/query.h"
#include "kernels/base/hash.h"

/* The row of a file that has none. */
static fs_status write_row(struct fs_store *store, const char *run, int64_t update, const char *path,
                           struct fs_error *error)
{
    char sha256[FS_HASH_TEXT];
    struct stat about;
    FS_TRY(fs_sha256_file(path, sha256, error));
    if (stat(path, &about) != 0) {
        return fs_fail(error, FS_FAILED, "%s: %s", path, strerror(errno));
    }
    return fs_store_checkpoint(store, run, update, path, sha256, about.st_size, error);
}

/* *known: the run is in the database; `sha256` is that of the checkpoint's row, or "". */
static fs_status find_row(struct fs_store *store, const char *run, int64_t update, bool *known,
                          char sha256[FS_HASH_TEXT], struct fs_error *error)
{
    sqlite3_stmt *query;
    sha256[0] = '\0';
    FS_TRY(fs_query_open(fs_store_handle(store), &query, error,
                         "SELECT c.sha256 FROM runs r LEFT JOIN checkpoints c ON c.run = r.number AND c.at_update = ?2 "
                         "WHERE r.id = ?1",
                         "ti", run, update));
    const fs_status status = fs_query_next(query, known, error);
    if (status == FS_OK && *known) {
        snprintf(sha256, FS_HASH_TEXT, "%s", fs_query_text(query, 0));
    }
    sqlite3_finalize(query);
    return status;
}

fs_status fs_checkpoint_row_check(struct fs_store *store, const char *run, int64_t update, const char *path,
                                  bool record, struct fs_error *error)
{
    char recorded[FS_HASH_TEXT], found[FS_HASH_TEXT];
    bool known;
    FS_TRY(find_row(store, run, update, &known, recorded, error));
    if (!recorded[0]) {
        FS_TRY(fs_checkpoint_check(path, run, update, error));
        return record && known ? write_row(store, run, update, path, error) : FS_OK;
    }
    FS_TRY(fs_sha256_file(path, found, error));
    return strcmp(found, recorded) == 0
               ? FS_OK
               : fs_fail(
                     error, FS_USAGE,
                     "%s: its SHA-256 is %.12s…, and the database has %.12s… for update %" PRId64 " of run %.8s: the "
                     "file was damaged or changed. Remove it: `fewstep run` then goes on from an earlier checkpoint, "
                     "or trains the run again",
                     path, found, recorded, update, run);
}
