/* Opening and closing the database. While a run writes, it is in WAL mode with synchronous=FULL, so that readers never
 * wait and a commit is on the disk when it returns; the last writer to close folds everything into the single file. */
#include "harness/store/store.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "harness/store/query.h"
#include "harness/store/schema.h"
#include "kernels/base/memory.h"

#define BUSY_MILLISECONDS 60000

struct fs_store {
    sqlite3 *database;
    enum fs_store_mode mode;
};

struct sqlite3 *fs_store_handle(struct fs_store *store)
{
    return store->database;
}

/* SQLite's busy timeout does not cover a change of journal mode: another process that opens or closes the same file
 * may be in the middle of its own. */
static fs_status enter_wal(sqlite3 *database, const char *path, struct fs_error *error)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    int result = SQLITE_BUSY;

    for (int waited = 0; result == SQLITE_BUSY && waited < BUSY_MILLISECONDS; waited += 20) {
        sqlite3_stmt *query;

        FS_TRY(fs_query_open(database, &query, error, "PRAGMA journal_mode = WAL", ""));
        result = sqlite3_step(query);
        const bool entered = result == SQLITE_ROW && strcmp(fs_query_text(query, 0), "wal") == 0;
        sqlite3_finalize(query);
        if (entered) {
            return FS_OK;
        }
        if (result == SQLITE_ROW) {
            return fs_fail(error, FS_USAGE,
                           "%s: its file system (a network share?) does not allow SQLite's write-ahead log; give a "
                           "--db on a local disk",
                           path);
        }
        nanosleep(&pause, NULL);
    }
    return fs_query_fail(database, error);
}

static fs_status prepare_writer(sqlite3 *database, const char *path, struct fs_error *error)
{
    int count, version;
    const struct fs_migration *migrations = fs_store_migrations(&count);

    FS_TRY(fs_execute(database, error, "PRAGMA foreign_keys = ON", ""));
    FS_TRY(fs_execute(database, error, "PRAGMA synchronous = FULL", ""));
    FS_TRY(
        fs_store_check_schema(database, count, &version, error)); /* before a byte of someone else's file is changed */
    if (sqlite3_db_readonly(database, "main") == 1) {
        return fs_fail(error, FS_USAGE,
                       "%s: the database cannot be written; check its permissions or give another --db", path);
    }
    FS_TRY(enter_wal(database, path, error));
    return fs_store_migrate(database, migrations, count, error);
}

/* An older schema lacks tables that queries name: the whole file is copied into memory and brought up to date there. */
static fs_status read_in_memory(sqlite3 **database, struct fs_error *error)
{
    int count;
    sqlite3 *memory = NULL;
    const struct fs_migration *migrations = fs_store_migrations(&count);

    sqlite3_backup *backup =
        sqlite3_open(":memory:", &memory) == SQLITE_OK ? sqlite3_backup_init(memory, "main", *database, "main") : NULL;
    if (backup) {
        sqlite3_backup_step(backup, -1);
        sqlite3_backup_finish(backup);
    }
    fs_status status = sqlite3_errcode(memory) == SQLITE_OK ? FS_OK : fs_query_fail(memory, error);
    if (status == FS_OK) {
        status = fs_store_migrate(memory, migrations, count, error);
    }
    if (status == FS_OK) {
        status = fs_execute(memory, error, "PRAGMA query_only = ON", "");
    }
    sqlite3_close(status == FS_OK ? *database : memory);
    *database = status == FS_OK ? memory : *database;
    return status;
}

/* `older`: of an older schema, too, and as it is. */
static fs_status check_reader(sqlite3 **database, const char *path, bool older, struct fs_error *error)
{
    int count, version;

    fs_store_migrations(&count);
    FS_TRY(fs_store_check_schema(*database, count, &version, error));
    if (version == 0) {
        return fs_fail(error, FS_USAGE, "%s: empty, no database yet; `fewstep run` makes one", path);
    }
    return version < count && !older ? read_in_memory(database, error) : FS_OK;
}

/* Whether the file is marked for WAL but has none: left so by another tool, and readable without making files only if
 * SQLite is told that nobody writes. */
static fs_status is_wal_without_log(const char *path, bool *alone, struct fs_error *error)
{
    unsigned char header[20] = {0};
    FILE *file = fopen(path, "rb");

    if (!file) {
        return fs_fail(error, FS_USAGE, "%s: %s; `fewstep run` makes the database, --db names another", path,
                       strerror(errno));
    }
    const size_t size = fread(header, 1, sizeof(header), file);
    const int reason = size == 0 && ferror(file) ? errno : 0; /* a folder, for one, can be opened */
    fclose(file);
    if (reason != 0) {
        return fs_fail(error, FS_USAGE, "%s: %s; --db names a database", path, strerror(reason));
    }
    char *log = fs_format(error, "%s-wal", path);
    if (!log) {
        return FS_FAILED;
    }
    *alone = size == sizeof(header) && header[18] == 2 && access(log, F_OK) != 0;
    free(log);
    return FS_OK;
}

/* "file:" URI of a path, whatever characters it holds; owned by the caller. */
static char *read_only_uri(const char *path, bool immutable, struct fs_error *error)
{
    static const char digits[] = "0123456789ABCDEF";
    char *escaped = fs_allocate(3 * strlen(path) + 1, 1, "a path", error);
    char *out = escaped;

    if (!escaped) {
        return NULL;
    }
    for (const char *in = path; *in; in++) {
        if (strchr("%?#", *in)) {
            *out++ = '%';
            *out++ = digits[(unsigned char)*in >> 4];
            *out++ = digits[*in & 15];
        } else {
            *out++ = *in;
        }
    }
    /* An absolute path must not begin with two slashes, which would name a host. */
    char *uri =
        fs_format(error, "file:%s%s?mode=ro%s", path[0] == '/' ? "//" : "", escaped, immutable ? "&immutable=1" : "");
    free(escaped);
    return uri;
}

/* *database is to be closed also after a failure. */
static fs_status open_reader(const char *path, bool older, sqlite3 **database, struct fs_error *error)
{
    bool immutable = false;

    FS_TRY(is_wal_without_log(path, &immutable, error));
    char *uri = read_only_uri(path, immutable, error);
    if (!uri) {
        return FS_FAILED;
    }
    const int result = sqlite3_open_v2(uri, database, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
    free(uri);
    if (result != SQLITE_OK) {
        return fs_fail(error, FS_USAGE, "%s: %s; check the folder and its permissions, or give another --db", path,
                       sqlite3_errstr(result));
    }
    sqlite3_busy_timeout(*database, BUSY_MILLISECONDS);
    return check_reader(database, path, older, error);
}

static fs_status open_writer(const char *path, sqlite3 **database, struct fs_error *error)
{
    const int result = sqlite3_open_v2(path, database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);

    if (result != SQLITE_OK) {
        return fs_fail(error, FS_USAGE, "%s: %s; check the folder and its permissions, or give another --db", path,
                       sqlite3_errstr(result));
    }
    sqlite3_busy_timeout(*database, BUSY_MILLISECONDS);
    return prepare_writer(*database, path, error);
}

fs_status fs_store_open(const char *path, enum fs_store_mode mode, struct fs_store **store, struct fs_error *error)
{
    *store = fs_allocate(1, sizeof(**store), "the store", error);
    if (!*store) {
        return FS_FAILED;
    }
    (*store)->mode = mode;
    const fs_status status = mode == FS_STORE_READ ? open_reader(path, false, &(*store)->database, error)
                                                   : open_writer(path, &(*store)->database, error);
    if (status != FS_OK) {
        sqlite3_close((*store)->database);
        free(*store);
        *store = NULL;
    }
    return status;
}

void fs_store_close(struct fs_store *store)
{
    if (!store) {
        return;
    }
    if (store->mode == FS_STORE_WRITE) {
        /* Fails, and rightly, while another process has the database open: then that one does it. Nothing is lost
         * either way: the log is part of the database. */
        struct fs_error ignored;
        sqlite3_busy_timeout(store->database, 0);
        fs_execute(store->database, &ignored, "PRAGMA journal_mode = DELETE", "");
    }
    sqlite3_close(store->database);
    free(store);
}

bool fs_store_same_file(const char *a, const char *b)
{
    struct stat of_a, of_b;

    return stat(a, &of_a) == 0 && stat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

fs_status fs_store_copy(const char *from, const char *to, struct fs_error *error)
{
    sqlite3 *database = NULL;
    struct fs_store *copy;

    fs_status status = open_reader(from, true, &database, error);
    if (status == FS_OK) {
        status = fs_execute(database, error, "VACUUM INTO ?1", "t", to);
    }
    sqlite3_close(database);
    if (status == FS_OK) {
        status = fs_store_open(to, FS_STORE_WRITE, &copy, error);
    }
    if (status == FS_OK) {
        fs_store_close(copy);
    }
    return status;
}
