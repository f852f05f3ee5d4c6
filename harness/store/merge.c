/* Several databases into one. A row's number holds only within its file, so the numbers that rows refer to each other
 * by are looked up anew; everything else is copied as it is, column by column. */
#include "harness/store/merge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/store/query.h"
#include "kernels/base/file.h"
#include "kernels/base/memory.h"

/* Every table, each after those that it refers to. `number` is what other tables refer to it by, `key` what makes two
 * rows the same; both are NULL where nothing refers to it. */
static const struct table {
    const char *name, *number, *key, *order;
} tables[] = {
    {"environments", "id", "hash", "created, id"},
    {"experiments", "id", "name, hash", "created, id"},
    {"runs", "number", "id", "created, number"},
    {"experiment_runs", NULL, NULL, "position"},
    {"run_environments", NULL, NULL, "created, position"},
    {"checkpoints", NULL, NULL, "created"},
    {"curves", NULL, NULL, "run, name, at_update"},
    {"scores", "number", "score_hash", "created, number"},
    {"experiment_scores", NULL, NULL, "score"},
    {"spectra", NULL, NULL, "score, bin"},
};
#define TABLES (sizeof tables / sizeof *tables)

/* --- conflicts --- */

/* The same weights or pictures scored on another machine: sums are rounded in another order, and a distance is what is
 * left of large numbers. Seen: 1e-5. */
#define ROUNDING "1e-4"

/* Two runs of one id that are not one training: %s is what each column differs in, then the columns of either. */
#define OTHER_TRAINING                                                                                                 \
    "SELECT 'run ' || substr(o.id, 1, 8) || ' is another training: it differs in' || %s FROM main.runs m "             \
    "JOIN other.runs o USING (id) WHERE (%s) IS NOT (%s)"

static const char *const conflicts[] = {
    /* The file holds the configuration as well, and that may ask for other scores of the same training. */
    "SELECT 'run ' || substr(r.id, 1, 8) || ': its checkpoint at update ' || o.at_update || ' has other bytes (SHA-256 "
    "' "
    "|| substr(o.sha256, 1, 12) || ', not ' || substr(m.sha256, 1, 12) || ')' "
    "FROM other.checkpoints o JOIN other.runs r ON r.number = o.run JOIN main.runs n ON n.id = r.id "
    "JOIN main.checkpoints m ON m.run = n.number AND m.at_update = o.at_update WHERE m.sha256 <> o.sha256 "
    "AND n.config_json = r.config_json",

    "SELECT 'score ' || substr(o.score_hash, 1, 8) || ' (' || coalesce('run ' || substr(r.id, 1, 8), o.source) || ', ' "
    "|| o.steps || iif(o.steps = 1, ' step, ', ' steps, ') || o.metric || ') is ' || printf('%.17g', o.value) || "
    "', not ' || printf('%.17g', m.value) FROM other.scores o JOIN main.scores m USING (score_hash) "
    "LEFT JOIN other.runs r ON r.number = o.run LEFT JOIN other.environments oe ON oe.id = o.environment "
    "LEFT JOIN main.environments me ON me.id = m.environment WHERE m.value <> o.value AND (me.hash IS oe.hash OR "
    "abs(m.value - o.value) > " ROUNDING " * max(abs(m.value), abs(o.value)))",
};

static fs_status tell_conflicts(sqlite3 *database, const char *sql, const char *name, struct fs_merge *merge,
                                struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row = true;

    FS_TRY(fs_query_open(database, &query, error, sql, ""));
    fs_status status = fs_query_next(query, &row, error);
    while (status == FS_OK && row) {
        char line[512];
        snprintf(line, sizeof(line), "%s: %s", name, fs_query_text(query, 0));
        merge->conflicts++;
        if (merge->conflict) {
            merge->conflict(merge->owner, line);
        }
        status = fs_query_next(query, &row, error);
    }
    sqlite3_finalize(query);
    return status;
}

static fs_status tell_other_trainings(sqlite3 *database, const char *name, struct fs_merge *merge,
                                      struct fs_error *error)
{
    const unsigned roles = FS_ROLE_WHAT | FS_ROLE_SEED | FS_ROLE_BUILD;
    char *differences = fs_columns_join(&fs_run_columns, roles, "iif(m.$ IS NOT o.$, ' $', '')", " || ", error);
    char *ours = fs_columns_join(&fs_run_columns, roles, "m.$", ", ", error);
    char *theirs = fs_columns_join(&fs_run_columns, roles, "o.$", ", ", error);
    char *sql = differences && ours && theirs ? fs_format(error, OTHER_TRAINING, differences, ours, theirs) : NULL;
    const fs_status status = sql ? tell_conflicts(database, sql, name, merge, error) : FS_FAILED;

    free(sql);
    free(theirs);
    free(ours);
    free(differences);
    return status;
}

/* --- one table --- */

/* The columns of a table, and the value of each in terms of the row `o` of the other database. The table's own number
 * is given anew, so it is left out. */
static const char columns_and_values[] =
    "SELECT group_concat(c.name, ', '), group_concat(CASE WHEN f.\"from\" IS NULL OR c.type = 'TEXT' THEN 'o.' || "
    "c.name "
    "ELSE printf('(SELECT new FROM temp.moved WHERE parent = %Q AND old = o.%s)', f.\"table\", c.name) END, ', ') "
    "FROM pragma_table_info(?1) c LEFT JOIN pragma_foreign_key_list(?1) f ON f.\"from\" = c.name "
    "WHERE c.pk = 0 OR (SELECT count(*) FROM pragma_table_info(?1) WHERE pk > 0) > 1";

static fs_status insert_rows(sqlite3 *database, const struct table *table, struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;
    char *sql = NULL;

    FS_TRY(fs_query_open(database, &query, error, columns_and_values, "t", table->name));
    fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK) {
        sql = fs_format(error,
                        "INSERT INTO main.%s (%s) SELECT %s FROM other.%s o WHERE true ORDER BY %s "
                        "ON CONFLICT DO NOTHING",
                        table->name, fs_query_text(query, 0), fs_query_text(query, 1), table->name, table->order);
        status = sql ? FS_OK : FS_FAILED;
    }
    sqlite3_finalize(query);
    if (status == FS_OK) {
        status = fs_execute(database, error, sql, "");
    }
    free(sql);
    return status;
}

/* Which number of the other file has become which here. */
static fs_status note_numbers(sqlite3 *database, const struct table *table, struct fs_error *error)
{
    if (!table->number) {
        return FS_OK;
    }
    char *sql =
        fs_format(error, "INSERT INTO temp.moved SELECT '%s', o.%s, m.%s FROM other.%s o JOIN main.%s m USING (%s)",
                  table->name, table->number, table->number, table->name, table->name, table->key);
    const fs_status status = sql ? fs_execute(database, error, sql, "") : FS_FAILED;
    free(sql);
    return status;
}

/* What may differ in a row that is in both. `instr` is how far a run has come. */
#define PROGRESS(of) "instr('new training failed trained', " of ".state)"
static const char *const updates[] = {
    "UPDATE main.experiments AS m SET created = min(m.created, o.created), used = max(m.used, o.used) "
    "FROM other.experiments o WHERE o.name = m.name AND o.hash = m.hash",
    "UPDATE main.experiment_runs AS m SET label = coalesce(m.label, o.label) FROM other.experiment_runs o "
    "JOIN temp.moved e ON e.parent = 'experiments' AND e.old = o.experiment "
    "JOIN temp.moved r ON r.parent = 'runs' AND r.old = o.run WHERE m.experiment = e.new AND m.run = r.new",
    "UPDATE main.runs AS m SET is_teacher = min(m.is_teacher, o.is_teacher), seconds = max(m.seconds, o.seconds), "
    "peak_bytes = max(m.peak_bytes, o.peak_bytes), restarts = max(m.restarts, o.restarts), created = min(m.created, "
    "o.created), "
    "changed = max(m.changed, o.changed), state = iif(" PROGRESS("o") " > " PROGRESS(
        "m") ", o.state, m.state), "
             "message = iif(" PROGRESS("o") " > " PROGRESS(
                 "m") ", o.message, m.message) FROM other.runs o WHERE o.id = m.id",
};

/* --- one database --- */

static fs_status copy_all(sqlite3 *database, struct fs_error *error)
{
    int64_t count;

    FS_TRY(fs_query_whole(database, &count, 0, error,
                          "SELECT count(*) FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
                          ""));
    if (count != (int64_t)TABLES) {
        return fs_fail(error, FS_FAILED, "the database has %d tables and merging knows %d", (int)count, (int)TABLES);
    }
    FS_TRY(fs_execute(database, error,
                      "CREATE TEMP TABLE moved (parent TEXT, old INTEGER, new INTEGER, PRIMARY KEY (parent, old)) "
                      "WITHOUT ROWID",
                      ""));
    for (size_t i = 0; i < TABLES; i++) {
        FS_TRY(insert_rows(database, &tables[i], error));
        FS_TRY(note_numbers(database, &tables[i], error));
    }
    for (size_t i = 0; i < sizeof(updates) / sizeof(updates[0]); i++) {
        FS_TRY(fs_execute(database, error, updates[i], ""));
    }
    return fs_execute(database, error, "DROP TABLE temp.moved", "");
}

static fs_status import_attached(sqlite3 *database, const char *name, struct fs_merge *merge, struct fs_error *error)
{
    const int before = merge->conflicts;

    FS_TRY(tell_other_trainings(database, name, merge, error));
    for (size_t i = 0; i < sizeof(conflicts) / sizeof(conflicts[0]); i++) {
        FS_TRY(tell_conflicts(database, conflicts[i], name, merge, error));
    }
    if (merge->conflicts > before && !merge->keep_first) {
        return fs_fail(error, FS_USAGE, "%s: %d conflict%s with what came before it; nothing was written", name,
                       merge->conflicts - before, merge->conflicts - before == 1 ? "" : "s");
    }
    return copy_all(database, error);
}

fs_status fs_store_import(struct fs_store *store, const char *path, const char *name, struct fs_merge *merge,
                          struct fs_error *error)
{
    sqlite3 *database = fs_store_handle(store);
    struct fs_error ignored;

    FS_TRY(fs_execute(database, error, "ATTACH ?1 AS other", "t", path));
    fs_status status = fs_write_begin(database, error);
    if (status == FS_OK) {
        status = fs_write_end(database, import_attached(database, name, merge, error), error);
    }
    fs_execute(database, &ignored, "DETACH other", "");
    return status;
}

/* --- many databases into a new file --- */

/* A folder beside the output, so that there is room for copies and nothing of them is left. */
struct workshop {
    char folder[FS_PATH_ROOM], copy[FS_PATH_ROOM], heap[FS_PATH_ROOM], sorted[FS_PATH_ROOM];
};

static fs_status workshop_open(struct workshop *workshop, const char *output, struct fs_error *error)
{
    char longest[FS_PATH_ROOM]; /* of what SQLite puts there, so that nothing is made that has no room */
    FS_TRY(fs_path(longest, error, "%s.merge-XXXXXX/sorted.db-journal", output));
    FS_TRY(fs_path(workshop->folder, error, "%s.merge-XXXXXX", output));
    if (!mkdtemp(workshop->folder)) {
        return fs_fail(error, FS_USAGE, "%s: cannot be written: %s", output, strerror(errno));
    }
    FS_TRY(fs_path(workshop->copy, error, "%s/copy.db", workshop->folder));
    FS_TRY(fs_path(workshop->heap, error, "%s/heap.db", workshop->folder));
    return fs_path(workshop->sorted, error, "%s/sorted.db", workshop->folder);
}

static void workshop_close(const struct workshop *workshop)
{
    const char *const files[] = {workshop->copy, workshop->heap, workshop->sorted};
    static const char *const endings[] = {"", "-wal", "-shm", "-journal"};
    char path[FS_PATH_ROOM];
    struct fs_error ignored;

    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 4; k++) {
            if (fs_path(path, &ignored, "%s%s", files[i], endings[k]) == FS_OK) {
                unlink(path);
            }
        }
    }
    rmdir(workshop->folder);
}

/* All inputs into one file, one after the other; then the same rows by age. */
static fs_status gather(const struct workshop *workshop, const char *const *inputs, int count, struct fs_merge *merge,
                        struct fs_error *error)
{
    struct fs_store *heap;

    FS_TRY(fs_store_open(workshop->heap, FS_STORE_WRITE, &heap, error));
    fs_status status = FS_OK;
    for (int i = 0; status == FS_OK && i < count; i++) {
        status = fs_store_copy(inputs[i], workshop->copy, error);
        if (status == FS_OK) {
            status = fs_store_import(heap, workshop->copy, inputs[i], merge, error);
        }
        unlink(workshop->copy);
    }
    fs_store_close(heap);
    return status;
}

static fs_status sort(const struct workshop *workshop, struct fs_error *error)
{
    struct fs_store *sorted;
    struct fs_merge none = {0};

    FS_TRY(fs_store_open(workshop->sorted, FS_STORE_WRITE, &sorted, error));
    fs_status status = fs_store_import(sorted, workshop->heap, workshop->heap, &none, error);
    if (status == FS_OK) {
        status = fs_execute(fs_store_handle(sorted), error, "VACUUM", "");
    }
    fs_store_close(sorted);
    return status;
}

static fs_status copy_bytes(const char *from, FILE *to, struct fs_error *error)
{
    char buffer[1 << 16];
    size_t size;
    FILE *file = fopen(from, "rb");

    if (!file) {
        return fs_fail(error, FS_FAILED, "%s: %s", from, strerror(errno));
    }
    while ((size = fread(buffer, 1, sizeof(buffer), file)) > 0 && fwrite(buffer, 1, size, to) == size) {
    }
    const bool failed = ferror(file);
    fclose(file);
    return failed ? fs_fail(error, FS_FAILED, "%s: cannot be read again", from) : FS_OK; /* `to` says so itself */
}

static fs_status publish(const char *sorted, const char *output, struct fs_error *error)
{
    struct fs_new_file file;

    FS_TRY(fs_new_file_open(&file, output, error));
    const fs_status status = copy_bytes(sorted, file.stream, error);
    if (status != FS_OK) {
        fs_new_file_abandon(&file);
        return status;
    }
    return fs_new_file_commit(&file, error);
}

static fs_status check_output(const char *const *inputs, int count, const char *output, struct fs_error *error)
{
    struct stat there;
    bool among = false;

    if (stat(output, &there) != 0) {
        return FS_OK;
    }
    for (int i = 0; i < count; i++) {
        among = among || fs_store_same_file(inputs[i], output);
    }
    if (!among) {
        return fs_fail(error, FS_USAGE, "%s: is there already; name it among the inputs to add to it, or remove it",
                       output);
    }
    char *log = fs_format(error, "%s-wal", output);
    if (!log) {
        return FS_FAILED;
    }
    const bool written = access(log, F_OK) == 0;
    free(log);
    return written ? fs_fail(error, FS_USAGE, "%s: somebody is writing to it; wait, or give another -o", output)
                   : FS_OK;
}

fs_status fs_store_merge(const char *const *inputs, int count, const char *output, struct fs_merge *merge,
                         struct fs_error *error)
{
    struct workshop workshop;

    FS_TRY(check_output(inputs, count, output, error));
    FS_TRY(workshop_open(&workshop, output, error));
    fs_status status = gather(&workshop, inputs, count, merge, error);
    if (status == FS_OK) {
        status = sort(&workshop, error);
    }
    if (status == FS_OK) {
        status = publish(workshop.sorted, output, error);
    }
    workshop_close(&workshop);
    return status;
}
