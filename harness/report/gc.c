/* What runs and pairs cost on the disk, and which may go. */
#include "harness/report/gc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "harness/build_info.h"
#include "harness/text/number.h"
#include "harness/store/query.h"
#include "kernels/base/memory.h"

struct collection {
    struct fs_store *store;
    bool apply;
    FILE *stream;
    int64_t bytes, removable; /* all, and what may go */
    int folders, removable_folders;
};

/* Why a folder may go, or why it stays. */
struct verdict {
    bool removable;
    char reason[160];
};

typedef fs_status judge_function(struct fs_store *store, const char *name, struct verdict *verdict,
                                 struct fs_error *error);

/* --- what may go --- */

static fs_status judge_run(struct fs_store *store, const char *name, struct verdict *verdict, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;

    FS_TRY(fs_query_open(fs_store_handle(store), &query, error,
                         "SELECT method, seed, state, source_hash = ?2 FROM runs WHERE id = ?1", "tt", name,
                         fs_build_info.source_hash));
    const fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK && !row) {
        *verdict = (struct verdict){true, "not in the database"};
    } else if (status == FS_OK) {
        const char *state = fs_query_text(query, 2);
        verdict->removable = strcmp(state, "trained") != 0 && !sqlite3_column_int(query, 3);
        snprintf(verdict->reason, sizeof(verdict->reason), "%s, seed %d, %s", fs_query_text(query, 0),
                 sqlite3_column_int(query, 1), verdict->removable ? "half-trained by another source" : state);
    }
    sqlite3_finalize(query);
    return status;
}

static fs_status judge_pairs(struct fs_store *store, const char *name, struct verdict *verdict, struct fs_error *error)
{
    int64_t unfinished;

    (void)name;
    FS_TRY(fs_query_whole(fs_store_handle(store), &unfinished, 0, error,
                          "SELECT count(*) FROM runs WHERE method = 'reflow' AND state <> 'trained' AND source_hash = "
                          "?1",
                          "t", fs_build_info.source_hash));
    *verdict = unfinished ? (struct verdict){false, "a Reflow run is unfinished"}
                          : (struct verdict){true, "pairs, no Reflow run is unfinished"};
    return FS_OK;
}

/* --- the disk --- */

/* Adds up the files of a tree, and with `remove_them` takes it away. Links are never followed. */
static fs_status walk_tree(char *path, bool remove_them, int64_t *bytes, struct fs_error *error)
{
    char *roots[] = {path, NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    FTSENT *entry;
    fs_status status = FS_OK;

    if (!tree) {
        return fs_fail(error, FS_FAILED, "%s: %s", path, strerror(errno));
    }
    while (status == FS_OK && (entry = fts_read(tree))) {
        if (entry->fts_info == FTS_D) {
            continue; /* comes again, after what is in it */
        }
        if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS) {
            status = fs_fail(error, FS_FAILED, "%s: %s", entry->fts_path, strerror(entry->fts_errno));
        } else {
            *bytes += entry->fts_info == FTS_DP ? 0 : (int64_t)entry->fts_statp->st_size;
            if (remove_them && remove(entry->fts_accpath) != 0) {
                status = fs_fail(error, FS_FAILED, "%s: cannot be removed: %s", entry->fts_path, strerror(errno));
            }
        }
    }
    fts_close(tree);
    return status;
}

/* Takes the folder's lock as a run does, so that nothing goes that is being trained. -1: another process has it. A
 * folder without a lock file has no process: -2. */
static int lock_folder(const char *path, struct fs_error *error)
{
    char *name = fs_format(error, "%s/lock", path);
    const int file = name ? open(name, O_RDWR | O_CLOEXEC) : -1;

    free(name);
    if (file < 0) {
        return -2;
    }
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
        close(file);
        return -1;
    }
    return file;
}

static fs_status collect_folder(struct collection *all, const char *kind, const char *name, char *path,
                                judge_function *judge, struct fs_error *error)
{
    struct verdict verdict;
    char size[FS_NUMBER_TEXT];
    int64_t bytes = 0, removed = 0;

    FS_TRY(judge(all->store, name, &verdict, error));
    FS_TRY(walk_tree(path, false, &bytes, error));
    const int lock = lock_folder(path, error);
    if (lock == -1) {
        verdict.removable = false;
    }
    fs_status status = FS_OK;
    if (all->apply && verdict.removable) {
        status = walk_tree(path, true, &removed, error);
    }
    if (lock >= 0) {
        close(lock);
    }
    FS_TRY(status);
    fs_byte_size(bytes, size);
    fprintf(all->stream, "%-7s  %9s  %s/%.12s  %s%s\n",
            !verdict.removable ? "kept"
            : all->apply       ? "removed"
                               : "may go",
            size, kind, name, verdict.reason, lock == -1 ? ", in use" : "");
    all->bytes += bytes;
    all->folders++;
    all->removable += verdict.removable ? bytes : 0;
    all->removable_folders += verdict.removable;
    return FS_OK;
}

/* Names of ours: hashes, whole or their first 16 digits. */
static bool is_hash(const char *name)
{
    const size_t length = strlen(name);

    return (length == 64 || length == 16) && strspn(name, "0123456789abcdef") == length;
}

static fs_status collect_kind(struct collection *all, const char *out, const char *kind, judge_function *judge,
                              struct fs_error *error)
{
    char *folder = fs_format(error, "%s/%s", out, kind);
    struct dirent **entries;
    fs_status status = FS_OK;

    if (!folder) {
        return FS_FAILED;
    }
    const int count = scandir(folder, &entries, NULL, alphasort);
    if (count < 0 && errno != ENOENT) {
        status = fs_fail(error, FS_USAGE, "%s: %s", folder, strerror(errno));
    }
    for (int i = 0; i < count; i++) {
        if (status == FS_OK && is_hash(entries[i]->d_name)) {
            char *path = fs_format(error, "%s/%s", folder, entries[i]->d_name);
            status = path ? collect_folder(all, kind, entries[i]->d_name, path, judge, error) : FS_FAILED;
            free(path);
        }
        free(entries[i]);
    }
    if (count >= 0) {
        free(entries);
    }
    free(folder);
    return status;
}

fs_status fs_gc(struct fs_store *store, const char *out, bool apply, FILE *stream, struct fs_error *error)
{
    struct collection all = {.store = store, .apply = apply, .stream = stream};
    char bytes[FS_NUMBER_TEXT], removable[FS_NUMBER_TEXT];

    FS_TRY(collect_kind(&all, out, "runs", judge_run, error));
    FS_TRY(collect_kind(&all, out, "pairs", judge_pairs, error));
    fs_byte_size(all.bytes, bytes);
    fs_byte_size(all.removable, removable);
    fprintf(stream, "%d folders, %s; %d of them, %s, %s\n", all.folders, bytes, all.removable_folders, removable,
            apply                   ? "removed"
            : all.removable_folders ? "may go: `fewstep gc --apply` removes them"
                                    : "may go");
    return FS_OK;
}
