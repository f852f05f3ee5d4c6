/* What runs and pairs cost on the disk, and which may go. */
#include "harness/run/gc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "harness/build_info.h"
#include "harness/data/picture_cache.h"
#include "harness/text/number.h"
#include "harness/store/query.h"
#include "harness/train/pairs.h"
#include "kernels/base/memory.h"

/* A folder, and why it goes or stays. */
struct folder {
    const char *kind;  /* "runs", "pairs" or "data" */
    char *path, *name; /* owned; the name is the end of the path */
    int64_t bytes;
    bool goes, removed;
    char reason[160];
};

/* Pairs that a run of the database is trained on. */
struct known_pairs {
    char name[FS_HASH_TEXT];
    bool finished; /* the run is trained */
};

struct collection {
    struct fs_store *store;
    const struct fs_gc_request *request;
    struct folder *folders;
    int count;
    struct known_pairs *pairs;
    int pair_count, unknown_runs, known_runs;
};

/* --- what may go --- */

static bool is_named(const struct fs_gc_request *request, const char *name)
{
    for (int i = 0; i < request->run_count; i++) {
        if (strncmp(name, request->runs[i], strlen(request->runs[i])) == 0) {
            return true;
        }
    }
    return false;
}

static fs_status judge_run(struct collection *all, struct folder *folder, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;

    FS_TRY(fs_query_open(fs_store_handle(all->store), &query, error,
                         "SELECT method, seed, state, source_hash = ?2 FROM runs WHERE id = ?1", "tt", folder->name,
                         fs_build_info.source_hash));
    const fs_status status = fs_query_next(query, &row, error);
    const bool named = is_named(all->request, folder->name);
    folder->goes = named;
    if (status == FS_OK && !row) {
        all->unknown_runs++;
        snprintf(folder->reason, sizeof(folder->reason), "not in this database%s",
                 named ? "" : ", so perhaps another one's: goes only when it is named");
    } else if (status == FS_OK) {
        const char *state = fs_query_text(query, 2);
        const bool half = strcmp(state, "trained") != 0 && !sqlite3_column_int(query, 3);
        all->known_runs++;
        folder->goes = named || (half && all->request->half_trained);
        snprintf(folder->reason, sizeof(folder->reason), "%s, seed %d, %s%s", fs_query_text(query, 0),
                 sqlite3_column_int(query, 1), half ? "half-trained by another source" : state,
                 half && !folder->goes ? ": goes with --half-trained" : "");
    }
    sqlite3_finalize(query);
    return status;
}

/* The pairs of every run that has some. A configuration that this program cannot read has none that it knows. */
static fs_status list_pairs(struct collection *all, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;
    int64_t count;
    sqlite3 *database = fs_store_handle(all->store);

    FS_TRY(fs_query_whole(database, &count, 0, error, "SELECT count(*) FROM runs WHERE teacher IS NOT NULL", ""));
    all->pairs = fs_allocate((size_t)count, sizeof(*all->pairs), "the list of pairs", error);
    if (!all->pairs) {
        return FS_FAILED;
    }
    FS_TRY(fs_query_open(database, &query, error,
                         "SELECT teacher, config_json, state = 'trained' FROM runs WHERE teacher IS NOT NULL", ""));
    fs_status status = fs_query_next(query, &row, error);
    while (status == FS_OK && row && all->pair_count < count) {
        struct fs_config config;
        struct fs_error ignored;
        struct known_pairs *pairs = &all->pairs[all->pair_count];
        if (fs_config_from_json(fs_query_text(query, 1), &config, &ignored) == FS_OK) {
            if (fs_config_pairs(&config).count > 0) {
                status = fs_pairs_name(fs_query_text(query, 0), &config, pairs->name, error);
                pairs->finished = sqlite3_column_int(query, 2);
                all->pair_count++;
            }
            fs_config_free(&config);
        }
        status = status == FS_OK ? fs_query_next(query, &row, error) : status;
    }
    sqlite3_finalize(query);
    return status;
}

static void judge_pairs(const struct collection *all, struct folder *folder)
{
    int users = 0, unfinished = 0;

    for (int i = 0; i < all->pair_count; i++) {
        const bool same = strncmp(all->pairs[i].name, folder->name, strlen(folder->name)) == 0;
        users += same;
        unfinished += same && !all->pairs[i].finished;
    }
    folder->goes = users > 0 && unfinished == 0;
    snprintf(folder->reason, sizeof(folder->reason), "%s",
             users == 0       ? "of no run in this database, so perhaps another one's"
             : unfinished > 0 ? "a run on them is unfinished"
                              : "pairs; every run on them is trained, and they can be made again");
}

/* Decoded pictures are made again from their files, if those are still there. */
static fs_status judge_data(const struct collection *all, struct folder *folder, struct fs_error *error)
{
    char sha256[FS_HASH_TEXT];
    int64_t users, unfinished;
    sqlite3 *database = fs_store_handle(all->store);
    fs_picture_cache_data(folder->path, sha256);
    FS_TRY(fs_query_whole(database, &users, 0, error,
                          "SELECT (SELECT count(*) FROM runs WHERE data_sha256 = ?1) + (SELECT count(*) FROM scores "
                          "WHERE reference_sha256 = ?1 AND reference <> 'train')",
                          "t", sha256));
    FS_TRY(fs_query_whole(database, &unfinished, 0, error,
                          "SELECT count(*) FROM runs WHERE data_sha256 = ?1 AND state != 'trained'", "t", sha256));
    folder->goes = !sha256[0] || (users > 0 && unfinished == 0);
    snprintf(folder->reason, sizeof(folder->reason), "%s",
             !sha256[0]       ? "pictures of which the decoding was not finished"
             : users == 0     ? "pictures of no run in this database, so perhaps another one's"
             : unfinished > 0 ? "pictures; a run on them is unfinished"
                              : "pictures; every run on them is trained, and they can be decoded again");
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

/* --- the folders --- */

/* Names of ours: hashes, whole or their first 16 digits. */
static bool is_hash(const char *name)
{
    const size_t length = strlen(name);

    return (length == 64 || length == 16) && strspn(name, "0123456789abcdef") == length;
}

static fs_status add_folder(struct collection *all, const char *kind, const char *name, struct fs_error *error)
{
    struct folder *folder = &all->folders[all->count];

    *folder = (struct folder){.kind = kind, .path = fs_format(error, "%s/%s/%s", all->request->out, kind, name)};
    if (!folder->path) {
        return FS_FAILED;
    }
    all->count++;
    folder->name = folder->path + strlen(folder->path) - strlen(name);
    FS_TRY(walk_tree(folder->path, false, &folder->bytes, error));
    if (strcmp(kind, "runs") == 0) {
        FS_TRY(judge_run(all, folder, error));
    } else if (strcmp(kind, "data") == 0) {
        FS_TRY(judge_data(all, folder, error));
    } else {
        judge_pairs(all, folder);
    }
    const int lock = lock_folder(folder->path, error);
    if (lock == -1) {
        folder->goes = false;
        snprintf(folder->reason + strlen(folder->reason), sizeof(folder->reason) - strlen(folder->reason), ", in use");
    } else if (lock >= 0) {
        close(lock);
    }
    return FS_OK;
}

static fs_status add_kind(struct collection *all, const char *kind, struct fs_error *error)
{
    char *path = fs_format(error, "%s/%s", all->request->out, kind);
    struct dirent **entries;
    fs_status status = FS_OK;

    if (!path) {
        return FS_FAILED;
    }
    const int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0 && errno != ENOENT) {
        status = fs_fail(error, FS_USAGE, "%s: %s", path, strerror(errno));
    }
    free(path);
    struct folder *more = count > 0 ? realloc(all->folders, (size_t)(all->count + count) * sizeof(*more)) : NULL;
    if (more) {
        all->folders = more;
    } else if (count > 0) {
        status = fs_fail(error, FS_FAILED, "no memory for a list of folders");
    }
    for (int i = 0; i < count; i++) {
        if (status == FS_OK && is_hash(entries[i]->d_name)) {
            status = add_folder(all, kind, entries[i]->d_name, error);
        }
        free(entries[i]);
    }
    if (count >= 0) {
        free(entries);
    }
    return status;
}

/* Each name that was given is that of one run's folder. */
static fs_status check_names(const struct collection *all, struct fs_error *error)
{
    for (int i = 0; i < all->request->run_count; i++) {
        const char *name = all->request->runs[i];
        int found = 0;
        for (int k = 0; k < all->count; k++) {
            found +=
                strcmp(all->folders[k].kind, "runs") == 0 && strncmp(all->folders[k].name, name, strlen(name)) == 0;
        }
        if (strlen(name) < 6 || found != 1) {
            return fs_fail(error, FS_USAGE,
                           "%s: %d of the folders in %s/runs begin so: give a run's id, its first 6 "
                           "digits or more, as many as it takes",
                           name, found, all->request->out);
        }
    }
    return FS_OK;
}

/* --- the whole --- */

static void list(const struct collection *all, bool going, const char *word, FILE *stream)
{
    for (int i = 0; i < all->count; i++) {
        const struct folder *folder = &all->folders[i];
        char size[FS_NUMBER_TEXT];
        if (folder->goes == going) {
            fs_byte_size(folder->bytes, size);
            fprintf(stream, "%-7s  %9s  %s/%.12s  %s\n", word, size, folder->kind, folder->name, folder->reason);
        }
    }
}

static fs_status remove_all(struct collection *all, struct fs_error *error)
{
    for (int i = 0; i < all->count; i++) {
        struct folder *folder = &all->folders[i];
        const int lock =
            folder->goes ? lock_folder(folder->path, error) : -1; /* since the list a process may have begun */
        int64_t removed = 0;
        if (lock == -1) {
            continue;
        }
        const fs_status status = walk_tree(folder->path, true, &removed, error);
        folder->removed = true;
        if (lock >= 0) {
            close(lock);
        }
        FS_TRY(status);
    }
    return FS_OK;
}

static void print_sum(const struct collection *all, FILE *stream)
{
    int64_t bytes = 0, going = 0;
    int folders = 0;
    char size[FS_NUMBER_TEXT], part[FS_NUMBER_TEXT];
    const bool apply = all->request->apply;

    for (int i = 0; i < all->count; i++) {
        const bool counts = apply ? all->folders[i].removed : all->folders[i].goes;
        bytes += all->folders[i].bytes;
        going += counts ? all->folders[i].bytes : 0;
        folders += counts;
    }
    fs_byte_size(bytes, size);
    fs_byte_size(going, part);
    fprintf(stream, "%d folders, %s; %d of them, %s, %s\n", all->count, size, folders, part,
            apply     ? "removed"
            : folders ? "may go: with --apply they are removed"
                      : "may go");
    if (all->unknown_runs > 0 && all->known_runs == 0) {
        fprintf(stream, "none of these runs is in this database: is it that of this folder?\n");
    }
}

static fs_status collect(struct collection *all, FILE *stream, struct fs_error *error)
{
    FS_TRY(list_pairs(all, error));
    FS_TRY(add_kind(all, "runs", error));
    FS_TRY(add_kind(all, "pairs", error));
    FS_TRY(add_kind(all, "data", error));
    FS_TRY(check_names(all, error));
    list(all, true, all->request->apply ? "goes" : "may go", stream);
    fflush(stream);
    if (all->request->apply) {
        FS_TRY(remove_all(all, error));
    }
    list(all, false, "kept", stream);
    print_sum(all, stream);
    return FS_OK;
}

fs_status fs_gc(struct fs_store *store, const struct fs_gc_request *request, FILE *stream, struct fs_error *error)
{
    struct collection all = {.store = store, .request = request};
    const fs_status status = collect(&all, stream, error);

    for (int i = 0; i < all.count; i++) {
        free(all.folders[i].path);
    }
    free(all.folders);
    free(all.pairs);
    return status;
}
