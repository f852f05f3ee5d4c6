/* The results as temporary tables: one reading of the model, so that a query computes nothing that a table, a page or
 * a verdict would compute another way. */
#include "harness/results/tables.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/results/hypotheses.h"
#include "harness/results/parts.h"
#include "harness/store/query.h"

/* As in the store, the comments are part of the SQL. */
static const char *const schema[] = {
    "CREATE TEMP TABLE study (\n"
    "    study TEXT PRIMARY KEY,        -- the name that the queries use\n"
    "    experiment TEXT NOT NULL,      -- its name\n"
    "    id INTEGER NOT NULL,           -- in experiments\n"
    "    ablated TEXT                   -- key that its matrix varies besides method and seed: max_step; NULL: none\n"
    ")",

    "CREATE TEMP TABLE section ( -- the scores of one measure; those of papers are of the study 'published'\n"
    "    study TEXT NOT NULL,\n"
    "    section INTEGER NOT NULL,      -- from 1, in the order of the tables\n"
    "    title TEXT NOT NULL,           -- what all its scores share\n"
    "    metric TEXT NOT NULL,\n"
    "    metric_label TEXT,             -- FID, or FD (fashion-cnn)\n"
    "    extractor TEXT,\n"
    "    samples INTEGER NOT NULL,\n"
    "    seeds INTEGER,                 -- the most that a cell has\n"
    "    PRIMARY KEY (study, section)\n"
    ")",

    "CREATE TEMP TABLE cell ( -- a row of a section at a number of steps\n"
    "    study TEXT NOT NULL,\n"
    "    section INTEGER NOT NULL,\n"
    "    origin TEXT NOT NULL,          -- run, data (the score of data itself), exact (the exact velocity's) or "
    "published\n"
    "    place INTEGER,                 -- of its row, from 0; NULL of data and of the exact velocity\n"
    "    method TEXT,                   -- NULL of both\n"
    "    label TEXT NOT NULL,           -- of the method; of data: its split\n"
    "    training TEXT,                 -- train_hash\n"
    "    setting TEXT,                  -- value of the ablated key; NULL without one; exact: how many labels tell its "
    "pictures apart\n"
    "    steps INTEGER,                 -- NULL of data: the same at each number\n"
    "    at_update INTEGER,             -- NULL: the run's last word; else its score on the way, after so many "
    "updates\n"
    "    mean REAL NOT NULL,\n"
    "    error REAL,                    -- standard error over seeds; NULL of one\n"
    "    seeds INTEGER,\n"
    "    low REAL,                      -- 95 % interval over the samples of a single seed\n"
    "    high REAL,\n"
    "    outside INTEGER NOT NULL,      -- 1: the method is not made for so many steps\n"
    "    mark TEXT,                     -- best or second of its column, by more than noise\n"
    "    confirmed INTEGER,             -- of papers: 1: found in a second place\n"
    "    updates INTEGER,               -- the whole budget of its training\n"
    "    teacher_updates INTEGER,       -- part of it\n"
    "    flops REAL,\n"
    "    teacher_flops REAL,\n"
    "    seconds REAL,                  -- wall time, the teacher's included: mean over seeds\n"
    "    peak_bytes REAL,               -- largest resident set\n"
    "    config_json TEXT\n"
    ")",

    "CREATE TEMP TABLE seed_score ( -- the scores behind a cell of runs, and that of data\n"
    "    study TEXT NOT NULL,\n"
    "    section INTEGER NOT NULL,\n"
    "    place INTEGER,                 -- NULL of data, as steps and run\n"
    "    steps INTEGER,\n"
    "    at_update INTEGER,             -- as in cell\n"
    "    seed INTEGER NOT NULL,\n"
    "    run TEXT,                      -- its id\n"
    "    score INTEGER NOT NULL,        -- its number in scores\n"
    "    value REAL NOT NULL\n"
    ")",

    "CREATE TEMP TABLE comparison ( -- two rows of a section at a number of steps, each pair both ways\n"
    "    study TEXT NOT NULL,\n"
    "    section INTEGER NOT NULL,\n"
    "    steps INTEGER NOT NULL,\n"
    "    place INTEGER NOT NULL,\n"
    "    other INTEGER NOT NULL,        -- place of the other row\n"
    "    finding TEXT NOT NULL,         -- lower, higher or undecided\n"
    "    ratio REAL,                    -- geometric mean of score over the other's; NULL without common seeds\n"
    "    seeds INTEGER NOT NULL,        -- common ones\n"
    "    lower_in INTEGER NOT NULL,     -- those in which it is the lower one\n"
    "    PRIMARY KEY (study, section, steps, place, other)\n"
    ")",

    "CREATE TEMP TABLE verdict ( -- what the comparisons of a section decide, and can decide at all\n"
    "    study TEXT NOT NULL,\n"
    "    section INTEGER NOT NULL,\n"
    "    alpha REAL NOT NULL,           -- chance of any false difference among them\n"
    "    comparisons INTEGER NOT NULL,  -- each pair once\n"
    "    decided INTEGER NOT NULL,\n"
    "    tested INTEGER NOT NULL,\n"
    "    dof REAL,                      -- the least degrees of freedom of a spread; NULL: nothing can be tested\n"
    "    smallest REAL,                 -- ratio that is decided, as the first of Holm's order: of the pair that "
    "varies\n"
    "    largest REAL,                  -- least, and of the one that varies most\n"
    "    PRIMARY KEY (study, section)\n"
    ")",

    "CREATE TEMP TABLE hypothesis ( -- of an experiment's file, by its main section; corrected for each other alone\n"
    "    study TEXT NOT NULL,\n"
    "    place INTEGER NOT NULL,        -- from 1, in the order of the file\n"
    "    lower TEXT NOT NULL,           -- label of the method that is expected to have the lower score\n"
    "    higher TEXT NOT NULL,\n"
    "    lower_method TEXT NOT NULL,\n"
    "    higher_method TEXT NOT NULL,\n"
    "    steps INTEGER NOT NULL,\n"
    "    finding TEXT NOT NULL,         -- confirmed, reversed, undecided or not tested\n"
    "    seeds INTEGER NOT NULL,        -- common ones\n"
    "    ratio REAL,                    -- of the lower's score to the higher's; NULL without scores\n"
    "    low REAL,                      -- its corrected interval\n"
    "    high REAL,\n"
    "    p REAL,                        -- before the correction\n"
    "    detectable REAL,               -- the ratio that would be confirmed with a chance of 0.8\n"
    "    before INTEGER NOT NULL,       -- 1: all were named before the first run began\n"
    "    PRIMARY KEY (study, place)\n"
    ")",

    "CREATE TEMP TABLE fall ( -- trainings whose loss rose from what they had reached to that of an untrained network\n"
    "    run TEXT PRIMARY KEY,          -- its id\n"
    "    before REAL NOT NULL,          -- loss\n"
    "    at_update INTEGER NOT NULL,    -- of the run's own training, where it rose\n"
    "    peak REAL NOT NULL,            -- the highest loss from there on\n"
    "    peak_update INTEGER NOT NULL\n"
    ")",
};

static const char falls[] = "INSERT INTO fall SELECT r.id, f.before, f.at_update, f.peak, f.peak_update "
                            "FROM (" FS_RESULT_FALLEN ") f JOIN runs r ON r.number = f.run";

/* --- one section --- */

/* What is being filled. */
struct filling {
    sqlite3 *database;
    const char *study;
    const struct fs_results *results;
    const struct fs_result_section *section;
    int64_t number; /* of the section, from 1 */
    struct fs_error *error;
};

static fs_status add_section(const struct filling *to)
{
    const struct fs_result_section *of = to->section;

    return fs_execute(to->database, to->error, "INSERT INTO section VALUES (?, ?, ?, ?, ?, ?, ?, ?)", "tittttii",
                      to->study, to->number, *of->title ? of->title : of->about, of->measure.metric, of->metric_label,
                      of->measure.extractor, of->measure.samples, (int64_t)of->seeds);
}

/* `at_update`: text of a number, or NULL for the last word. */
static fs_status add_scores(const struct filling *to, int64_t place, const struct fs_result_cell *cell,
                            const char *at_update)
{
    for (int i = 0; i < cell->seeds && cell->scores; i++) {
        const struct fs_result_score *score = &cell->scores[i];
        FS_TRY(fs_execute(to->database, to->error,
                          "INSERT INTO seed_score VALUES (?1, ?2, iif(?7 = '', NULL, ?3), nullif(?4, 0), ?5, ?6, "
                          "nullif(?7, ''), ?8, ?9)",
                          "tiiititid", to->study, to->number, place, cell->steps, at_update, score->seed, score->run,
                          score->number, score->value));
    }
    return FS_OK;
}

static fs_status add_cell(const struct filling *to, int64_t place, const struct fs_result_row *row,
                          const struct fs_result_cell *cell, const char *at_update)
{
    static const char *const orders[] = {NULL, "best", "second"};
    static const struct fs_result_score none = {0};
    const struct fs_result_score *of = cell->scores ? cell->scores : &none;
    const bool published = cell->origin == FS_CELL_PUBLISHED;

    FS_TRY(fs_execute(to->database, to->error,
                      "INSERT INTO cell VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
                      "?, ?)",
                      "tititttt"
                      "itddiddit"
                      "iiidddd"
                      "t",
                      to->study, to->number, published ? "published" : "run", place, row->method, row->name,
                      row->train_hash, to->results->experiment.ablated[0] ? row->varied[0] : NULL, cell->steps,
                      at_update, cell->mean, cell->error, (int64_t)cell->seeds, cell->low, cell->high,
                      (int64_t)(cell->use == FS_CELL_OUTSIDE), orders[cell->order], (int64_t)cell->confirmed,
                      of->updates, of->teacher_updates, of->flops, of->teacher_flops, row->seconds, row->peak_bytes,
                      row->config));
    return add_scores(to, place, cell, at_update);
}

static fs_status add_data(const struct filling *to)
{
    const struct fs_result_cell *data = to->section->data;

    if (!data) {
        return FS_OK;
    }
    FS_TRY(fs_execute(to->database, to->error,
                      "INSERT INTO cell (study, section, origin, label, mean, outside) VALUES (?, ?, 'data', ?, ?, 0)",
                      "titd", to->study, to->number, to->section->data_split, data->mean));
    return add_scores(to, 0, data, NULL);
}

/* The exact velocity of the training set, told of 0 labels or more. */
static fs_status add_exact(const struct filling *to)
{
    for (int r = 0; r < to->section->exact_count; r++) {
        const struct fs_result_row *row = &to->section->exact[r];
        const char *labels = strrchr(row->train_hash, ':'); /* "exact:NAME:SHA256:LABELS" */
        for (int c = 0; c < row->cell_count; c++) {
            FS_TRY(fs_execute(to->database, to->error,
                              "INSERT INTO cell (study, section, origin, label, setting, steps, mean, outside) VALUES "
                              "(?, ?, 'exact', ?, ?, ?, ?, 0)",
                              "tittid", to->study, to->number, row->name, labels ? labels + 1 : NULL,
                              row->cells[c].steps, row->cells[c].mean));
        }
    }
    return FS_OK;
}

/* The scores of a row on the way, of the section of the same measure. */
static fs_status add_history(const struct filling *to, int64_t place, const struct fs_result_row *row,
                             const struct fs_results *history)
{
    for (int i = 0; i < history->section_count; i++) {
        const struct fs_result_section *section = &history->sections[i];
        const struct fs_result_row *same =
            fs_measure_equal(&section->measure, &to->section->measure) ? fs_result_row_like(section, row) : NULL;
        for (int c = 0; same && c < same->cell_count; c++) {
            char update[32];
            snprintf(update, sizeof(update), "%lld", (long long)same->cells[c].at_update);
            FS_TRY(add_cell(to, place, row, &same->cells[c], update));
        }
    }
    return FS_OK;
}

/* In how many common seeds the first has the lower score. */
static int64_t count_lower(const struct fs_result_cell *first, const struct fs_result_cell *second)
{
    int64_t count = 0;

    for (int i = 0; i < first->seeds; i++) {
        for (int k = 0; k < second->seeds; k++) {
            count +=
                first->scores[i].seed == second->scores[k].seed && first->scores[i].value < second->scores[k].value;
        }
    }
    return count;
}

/* Both ways. */
static fs_status add_comparison(const struct filling *to, const struct fs_result_comparison *one)
{
    static const char *const findings[] = {"undecided", "lower", "higher"}, *const reversed[] = {"undecided", "higher",
                                                                                                 "lower"};
    const int64_t steps = to->section->steps[one->column];
    const struct fs_result_cell *cell = fs_result_cell_at(&to->section->rows[one->row], steps);
    const struct fs_result_cell *other = fs_result_cell_at(&to->section->rows[one->other], steps);

    for (int way = 0; way < 2; way++) {
        const char *finding = (way ? reversed : findings)[one->relation];
        const int64_t lower_in = !cell || !other ? 0 : way ? count_lower(other, cell) : count_lower(cell, other);
        FS_TRY(fs_execute(to->database, to->error, "INSERT INTO comparison VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                          "tiiiitdii", to->study, to->number, steps, (int64_t)(way ? one->other : one->row),
                          (int64_t)(way ? one->row : one->other), finding, way ? 1 / one->ratio : one->ratio,
                          (int64_t)one->seeds, lower_in));
    }
    return FS_OK;
}

static fs_status add_verdict(const struct filling *to)
{
    const struct fs_result_section *section = to->section;
    const struct fs_result_power *power = &section->power;
    int64_t decided = 0;

    for (int i = 0; i < section->comparison_count; i++) {
        decided += section->comparisons[i].relation != FS_RELATION_UNDECIDED;
        FS_TRY(add_comparison(to, &section->comparisons[i]));
    }
    return fs_execute(to->database, to->error, "INSERT INTO verdict VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", "tidiiiddd",
                      to->study, to->number, FS_RESULT_ALPHA, (int64_t)section->comparison_count, decided,
                      (int64_t)power->tested, power->tested ? power->dof : (double)NAN,
                      power->tested ? power->smallest : (double)NAN, power->tested ? power->largest : (double)NAN);
}

/* NAN becomes NULL. */
static fs_status add_hypotheses(sqlite3 *database, const char *study, const struct fs_results *results,
                                struct fs_error *error)
{
    for (int i = 0; i < results->hypothesis_count; i++) {
        const struct fs_hypothesis_test *test = &results->hypotheses[i];
        const struct fs_hypothesis *of = &test->hypothesis;
        FS_TRY(
            fs_execute(database, error, "INSERT INTO hypothesis VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                       "tittttitidddddi", study, (int64_t)i + 1, of->lower->label, of->higher->label, of->lower->name,
                       of->higher->name, of->steps, fs_hypothesis_finding_name(test->finding), (int64_t)test->seeds,
                       test->ratio, test->low, test->high, test->p, test->detectable, (int64_t)results->named_before));
    }
    return FS_OK;
}

/* --- all of them --- */

/* All sections of the results; `history`: with every update, or NULL. */
static fs_status add_results(sqlite3 *database, const char *study, const struct fs_results *results,
                             const struct fs_results *history, struct fs_error *error)
{
    struct filling to = {.database = database, .study = study, .results = results, .error = error};

    for (int i = 0; i < results->section_count; i++) {
        to.section = &results->sections[i];
        to.number = i + 1;
        FS_TRY(add_section(&to));
        for (int r = 0; r < to.section->row_count; r++) {
            const struct fs_result_row *row = &to.section->rows[r];
            for (int c = 0; c < row->cell_count; c++) {
                FS_TRY(add_cell(&to, r, row, &row->cells[c], NULL));
            }
            FS_TRY(history ? add_history(&to, r, row, history) : FS_OK);
        }
        FS_TRY(add_data(&to));
        FS_TRY(add_exact(&to));
        FS_TRY(history ? add_verdict(&to) : FS_OK);
    }
    return FS_OK;
}

static fs_status add_study(struct fs_store *store, const struct fs_results_study *study, struct fs_error *error)
{
    sqlite3 *database = fs_store_handle(store);
    const struct fs_result_filter filter = {.stable = study->stable};
    struct fs_results results = {0}, history = {0};
    struct fs_experiment_name experiment;
    int64_t left;

    FS_TRY(fs_experiment_find(store, study->experiment, &experiment, error));
    FS_TRY(fs_query_whole(database, &left, 0, error,
                          "SELECT count(*) FROM experiment_runs x JOIN runs r ON r.number = x.run WHERE x.experiment = "
                          "? AND r.id NOT IN (SELECT run FROM fall)",
                          "i", experiment.id));
    if (study->stable && left == 0) {
        return FS_OK;
    }
    fs_status status = fs_results_read(store, &experiment, &filter, FS_LAST_SCORE, &results, error);
    if (status == FS_OK && results.section_count == 0) {
        status = fs_fail(error, FS_USAGE, "%s: no run of it has a score yet; `fewstep run` with its file makes them",
                         experiment.name);
    }
    if (status == FS_OK) {
        status = fs_results_read(store, &experiment, &filter, FS_EVERY_UPDATE, &history, error);
    }
    if (status == FS_OK) {
        status = fs_execute(database, error, "INSERT INTO study VALUES (?, ?, ?, ?)", "ttit", study->name,
                            experiment.name, experiment.id, experiment.ablated[0] ? results.varied_name[0] : NULL);
    }
    if (status == FS_OK) {
        status = add_results(database, study->name, &results, &history, error);
    }
    if (status == FS_OK) {
        status = add_hypotheses(database, study->name, &results, error);
    }
    fs_results_free(&results);
    fs_results_free(&history);
    return status;
}

fs_status fs_results_tables(struct fs_store *store, const struct fs_results_study *studies, int count,
                            const struct fs_results *published, struct fs_error *error)
{
    sqlite3 *database = fs_store_handle(store);

    /* What is opened for reading is read-only, or a copy in memory that is marked so by this pragma alone. */
    FS_TRY(fs_execute(database, error, "PRAGMA query_only = OFF", ""));
    for (size_t i = 0; i < sizeof(schema) / sizeof(schema[0]); i++) {
        FS_TRY(fs_execute(database, error, schema[i], ""));
    }
    FS_TRY(fs_execute(database, error, falls, ""));
    for (int i = 0; i < count; i++) {
        FS_TRY(add_study(store, &studies[i], error));
    }
    return published ? add_results(database, "published", published, NULL, error) : FS_OK;
}
