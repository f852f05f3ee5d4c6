/* The schema. The comments are part of the SQL, so that `.schema` in the sqlite3 shell shows them too. A statement
 * that was released is never edited: a change is a new migration. Times are seconds since 1970 (UTC), hashes SHA-256
 * in hexadecimal. */
#include "harness/store/schema.h"

#include <inttypes.h>
#include <stdio.h>

#include "harness/store/outside.h"
#include "harness/store/query.h"

static const char *const version_1[] = {
    "CREATE TABLE environments ( -- what a number was made with and on; one row for each that differs\n"
    "    id INTEGER PRIMARY KEY,\n"
    "    hash TEXT NOT NULL UNIQUE,     -- over all that follows but created\n"
    "    commit_hash TEXT,              -- of the tree that was built; NULL outside git\n"
    "    dirty INTEGER NOT NULL,        -- 1: the tree had changes that were not committed\n"
    "    source_hash TEXT NOT NULL,     -- over everything that can change a number\n"
    "    compiler TEXT,\n"
    "    flags TEXT,\n"
    "    libraries TEXT,                -- names and versions\n"
    "    cpu TEXT,\n"
    "    isa TEXT,                      -- instruction set that was chosen\n"
    "    device TEXT,                   -- cpu or cuda\n"
    "    host TEXT,\n"
    "    threads INTEGER NOT NULL,\n"
    "    created INTEGER NOT NULL\n"
    ") STRICT",

    "CREATE TABLE experiments ( -- a matrix of runs, as it was read from a file\n"
    "    id INTEGER PRIMARY KEY,\n"
    "    name TEXT NOT NULL,\n"
    "    path TEXT NOT NULL,\n"
    "    text TEXT NOT NULL,            -- the whole file\n"
    "    hash TEXT NOT NULL,            -- of the text: an edited file is another experiment of the same name\n"
    "    ablated TEXT,                  -- dotted name of the key that its matrix varies besides method and seed\n"
    "    created INTEGER NOT NULL,\n"
    "    used INTEGER NOT NULL,         -- when it was last run\n"
    "    UNIQUE (name, hash)\n"
    ") STRICT",

    "CREATE TABLE runs ( -- one training\n"
    "    number INTEGER PRIMARY KEY,    -- short form of the id within this file; grows with time\n"
    "    id TEXT NOT NULL UNIQUE,       -- over train_hash, seed, data_sha256 and source_hash\n"
    "    method TEXT NOT NULL,          -- name as in YAML\n"
    "    dataset TEXT NOT NULL,\n"
    "    model TEXT NOT NULL,           -- preset: dit-xs/4\n"
    "    config_json TEXT NOT NULL,     -- the resolved configuration\n"
    "    train_hash TEXT NOT NULL,      -- over data set, model, train and the method's own keys\n"
    "    seed INTEGER NOT NULL,\n"
    "    data_sha256 TEXT NOT NULL,\n"
    "    source_hash TEXT NOT NULL,     -- of the program that began it\n"
    "    teacher TEXT REFERENCES runs (id),\n"
    "    is_teacher INTEGER NOT NULL,   -- 1: made only because other runs need it\n"
    "    updates INTEGER NOT NULL,      -- the whole budget, the teacher's share included\n"
    "    flops REAL NOT NULL,           -- of the whole training, teacher and pairs included\n"
    "    state TEXT NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'training', 'trained', 'failed')),\n"
    "    message TEXT,                  -- why it failed\n"
    "    seconds REAL NOT NULL DEFAULT 0,    -- wall time over all its sessions\n"
    "    peak_bytes REAL NOT NULL DEFAULT 0, -- largest resident set\n"
    "    created INTEGER NOT NULL,\n"
    "    changed INTEGER NOT NULL       -- when its state was last written\n"
    ") STRICT",

    "CREATE TABLE experiment_runs (\n"
    "    position INTEGER PRIMARY KEY,  -- the order in which they joined\n"
    "    experiment INTEGER NOT NULL REFERENCES experiments (id),\n"
    "    run INTEGER NOT NULL REFERENCES runs (number),\n"
    "    UNIQUE (experiment, run)\n"
    ") STRICT",

    "CREATE TABLE run_environments ( -- several when a run was continued elsewhere, or by another build with --adopt\n"
    "    position INTEGER PRIMARY KEY,\n"
    "    run INTEGER NOT NULL REFERENCES runs (number),\n"
    "    environment INTEGER NOT NULL REFERENCES environments (id),\n"
    "    created INTEGER NOT NULL,\n"
    "    UNIQUE (run, environment)\n"
    ") STRICT",

    "CREATE TABLE checkpoints (\n"
    "    run INTEGER NOT NULL REFERENCES runs (number),\n"
    "    at_update INTEGER NOT NULL,\n"
    "    path TEXT NOT NULL,\n"
    "    sha256 TEXT NOT NULL,\n"
    "    bytes INTEGER NOT NULL,\n"
    "    created INTEGER NOT NULL,\n"
    "    PRIMARY KEY (run, at_update)\n"
    ") STRICT, WITHOUT ROWID",

    "CREATE TABLE curves ( -- points: loss, loss/level/3, gradient_norm, weight_norm, updates_per_second, peak_share\n"
    "    run INTEGER NOT NULL REFERENCES runs (number),\n"
    "    name TEXT NOT NULL,\n"
    "    at_update INTEGER NOT NULL,\n"
    "    value REAL,                    -- NULL: not a number\n"
    "    PRIMARY KEY (run, name, at_update)\n"
    ") STRICT, WITHOUT ROWID",

    "CREATE TABLE scores ( -- one number with its whole identity\n"
    "    number INTEGER PRIMARY KEY,\n"
    "    score_hash TEXT NOT NULL UNIQUE, -- over the identity\n"
    "    run INTEGER REFERENCES runs (number), -- NULL: a score of data\n"
    "    source TEXT NOT NULL,          -- run, or dataset:fashion-mnist:test\n"
    "    at_update INTEGER NOT NULL,    -- of the checkpoint\n"
    "    weights TEXT NOT NULL,         -- ema or raw\n"
    "    steps INTEGER NOT NULL,        -- sampling steps; 0 for data\n"
    "    guidance_scale REAL NOT NULL,\n"
    "    labels TEXT NOT NULL,          -- which label each sample got\n"
    "    noise_seed INTEGER NOT NULL,   -- of the noise bank\n"
    "    samples INTEGER NOT NULL,\n"
    "    quantize INTEGER NOT NULL,     -- 1: rounded to 8 bits before the features\n"
    "    resize TEXT NOT NULL,\n"
    "    extractor TEXT NOT NULL,\n"
    "    extractor_sha256 TEXT NOT NULL,\n"
    "    tap TEXT NOT NULL,             -- which features of the extractor\n"
    "    reference TEXT NOT NULL,       -- what the samples are compared with\n"
    "    reference_sha256 TEXT NOT NULL,\n"
    "    metric TEXT NOT NULL,          -- fd: Frechet distance\n"
    "    precision TEXT NOT NULL,\n"
    "    device TEXT NOT NULL,\n"
    "    source_hash TEXT NOT NULL,     -- of the program that scored\n"
    "    value REAL NOT NULL,\n"
    "    low REAL,                      -- 95 % interval over samples\n"
    "    high REAL,\n"
    "    seconds REAL NOT NULL,\n"
    "    environment INTEGER NOT NULL REFERENCES environments (id),\n"
    "    created INTEGER NOT NULL\n"
    ") STRICT",

    "CREATE INDEX scores_of_run ON scores (run)",

    "CREATE TABLE experiment_scores (\n"
    "    experiment INTEGER NOT NULL REFERENCES experiments (id),\n"
    "    score INTEGER NOT NULL REFERENCES scores (number),\n"
    "    PRIMARY KEY (experiment, score)\n"
    ") STRICT, WITHOUT ROWID",

    NULL,
};

static const char *const version_2[] = {
    "CREATE TABLE spectra ( -- the curve behind a score of the metric spectrum: radially averaged power\n"
    "    score INTEGER NOT NULL REFERENCES scores (number),\n"
    "    bin INTEGER NOT NULL,\n"
    "    frequency REAL NOT NULL,       -- cycles a pixel, up to 1/2\n"
    "    power REAL NOT NULL,           -- of the samples, in the data's scale of -1 to 1: white noise has its "
    "variance\n"
    "    standard_error REAL NOT NULL,  -- of the power, over samples\n"
    "    reference_power REAL NOT NULL, -- of the pictures that the samples are compared with\n"
    "    PRIMARY KEY (score, bin)\n"
    ") STRICT, WITHOUT ROWID",

    NULL,
};

/* What is in a comment between the column's words stays with the table; one behind them would not. */
static const char *const version_3[] = {
    "ALTER TABLE scores ADD COLUMN outside INTEGER /* 1: drawn at a number of steps that the method was not trained "
    "for; NULL: of data, or not known */ CHECK (outside IN (0, 1))",
    "ALTER TABLE experiment_runs ADD COLUMN label TEXT /* the user's own name for the row in this experiment's tables; "
    "in no hash */ CHECK (label <> '')",

    NULL,
};

/* Each default is what was done before there was the column, and the value at which it enters no hash. */
static const char *const version_4[] = {
    "ALTER TABLE scores ADD COLUMN sampler TEXT /* of a step: method (the method's own; Euler for most), heun, "
    "midpoint */ NOT NULL DEFAULT 'method'",
    "ALTER TABLE scores ADD COLUMN time_grid TEXT /* the times between steps: uniform, or shifted by a number */ NOT "
    "NULL DEFAULT 'uniform'",
    "ALTER TABLE scores ADD COLUMN decoder_sha256 TEXT /* of the autoencoder that made pictures of latents; empty: "
    "none */ NOT NULL DEFAULT ''",
    "ALTER TABLE scores ADD COLUMN decoder_precision TEXT /* fp32 or bf16; empty: none */ NOT NULL DEFAULT ''",
    "ALTER TABLE environments ADD COLUMN ranks INTEGER /* processes that shared the work */ NOT NULL DEFAULT 1",
    "ALTER TABLE runs ADD COLUMN restarts INTEGER /* how often training diverged and began again at a lower rate */ "
    "NOT NULL DEFAULT 0",

    NULL,
};

static fs_status fill_outside(sqlite3 *database, struct fs_error *error)
{
    return fs_outside_fill(database, 0, error);
}

static const struct fs_migration migrations[] = {
    {version_1, NULL}, {version_2, NULL}, {version_3, fill_outside}, {version_4, NULL}};

const struct fs_migration *fs_store_migrations(int *count)
{
    *count = (int)(sizeof(migrations) / sizeof(migrations[0]));
    return migrations;
}

fs_status fs_store_check_schema(sqlite3 *database, int count, int *version, struct fs_error *error)
{
    const char *path = sqlite3_db_filename(database, "main");
    sqlite3_stmt *query;
    bool row = false;

    /* In one read, for another process may be making the schema just now. */
    FS_TRY(fs_query_open(database, &query, error,
                         "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM "
                         "pragma_user_version), (SELECT count(*) FROM sqlite_schema)",
                         ""));
    const fs_status status = fs_query_next(query, &row, error);
    const int64_t application = row ? sqlite3_column_int64(query, 0) : 0;
    const int64_t user_version = row ? sqlite3_column_int64(query, 1) : 0;
    const int64_t tables = row ? sqlite3_column_int64(query, 2) : 0;
    sqlite3_finalize(query);
    FS_TRY(status);
    if (application != FS_APPLICATION_ID && (application != 0 || user_version != 0 || tables != 0)) {
        return fs_fail(error, FS_USAGE, "%s: an SQLite database, but not one of fewstep; give another --db", path);
    }
    if (user_version > count) {
        return fs_fail(error, FS_USAGE,
                       "%s: its schema is version %" PRId64 " and this build knows up to %d; use a newer fewstep", path,
                       user_version, count);
    }
    *version = (int)user_version;
    return FS_OK;
}

/* Migration `next`, unless another process has made it since. */
static fs_status apply_one(sqlite3 *database, const struct fs_migration *migration, int next, struct fs_error *error)
{
    char mark[64];
    int64_t version;

    FS_TRY(fs_query_whole(database, &version, 0, error, "PRAGMA user_version", ""));
    if (version >= next) {
        return FS_OK;
    }
    for (const char *const *statement = migration->statements; *statement; statement++) {
        FS_TRY(fs_execute(database, error, *statement, ""));
    }
    if (migration->step) {
        FS_TRY(migration->step(database, error));
    }
    snprintf(mark, sizeof(mark), "PRAGMA application_id = %d", FS_APPLICATION_ID);
    FS_TRY(fs_execute(database, error, mark, ""));
    snprintf(mark, sizeof(mark), "PRAGMA user_version = %d", next);
    return fs_execute(database, error, mark, "");
}

fs_status fs_store_migrate(sqlite3 *database, const struct fs_migration *list, int count, struct fs_error *error)
{
    int version = 0;

    FS_TRY(fs_store_check_schema(database, count, &version, error));
    for (int i = version; i < count; i++) {
        FS_TRY(fs_write_begin(database, error));
        FS_TRY(fs_write_end(database, apply_one(database, &list[i], i + 1, error), error));
    }
    return FS_OK;
}
