/* What runs the database holds. */
#include "harness/report/runs_list.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness/text/escape.h"
#include "harness/text/number.h"
#include "harness/report/rows_json.h"
#include "harness/results/results.h"
#include "harness/store/query.h"

/* How far a run has come is the last update of its curves or checkpoints, and the same of its teacher before it. */
#define RUNS                                                                                                           \
    "WITH progress AS (SELECT number, id, max("                                                                        \
    "  coalesce((SELECT max(at_update) FROM curves WHERE run = number), 0), "                                          \
    "  coalesce((SELECT max(at_update) FROM checkpoints WHERE run = number), 0)) AS done FROM runs) "                  \
    "SELECT r.id, r.method, r.model, r.dataset, r.seed, r.state, r.message, r.is_teacher, r.teacher, "                 \
    "own.done + coalesce(teacher.done, 0) AS done, r.updates, r.flops, r.seconds, r.peak_bytes, r.created, "           \
    "r.source_hash, r.train_hash, r.data_sha256, (SELECT coalesce(e.commit_hash, 'unknown') || iif(e.dirty, "          \
    "'-dirty', '') FROM run_environments m "                                                                           \
    "JOIN environments e ON e.id = m.environment WHERE m.run = r.number ORDER BY m.position LIMIT 1) AS commit_hash "  \
    "FROM runs r JOIN progress own ON own.number = r.number LEFT JOIN progress teacher ON teacher.id = r.teacher "
#define MEMBERS "SELECT m.run FROM experiment_runs m JOIN experiments e ON e.id = m.experiment WHERE e.name = ?1"

#define NAME 1024 /* characters of what a run is called */

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));

    return text ? text : "–";
}

/* The trainings of the experiments whose runs are listed. */
struct trainings {
    struct fs_results *list;
    int count;
    bool all; /* of every experiment, so that a name begins with the experiment's */
};

static void trainings_free(struct trainings *trainings)
{
    for (int i = 0; i < trainings->count; i++) {
        fs_results_free(&trainings->list[i]);
    }
    free(trainings->list);
}

static fs_status add_experiment(struct fs_store *store, const struct fs_experiment_name *experiment,
                                struct trainings *trainings, struct fs_error *error)
{
    struct fs_results *grown = realloc(trainings->list, (size_t)(trainings->count + 1) * sizeof(*grown));

    if (!grown) {
        return fs_fail(error, FS_FAILED, "no memory for the names of runs");
    }
    trainings->list = grown;
    return fs_results_of_runs(store, experiment, &grown[trainings->count++], error);
}

/* Every experiment, the oldest first: a run that several contain is named by the one that it was made for. */
static fs_status add_all(struct fs_store *store, struct trainings *trainings, struct fs_error *error)
{
    struct fs_experiment_name found;
    sqlite3_stmt *names;
    bool row;

    FS_TRY(fs_query_open(fs_store_handle(store), &names, error,
                         "SELECT name FROM experiments GROUP BY name ORDER BY min(id)", ""));
    fs_status status = fs_query_next(names, &row, error);
    while (status == FS_OK && row) {
        status = fs_experiment_find(store, fs_query_text(names, 0), &found, error);
        status = status == FS_OK ? add_experiment(store, &found, trainings, error) : status;
        status = status == FS_OK ? fs_query_next(names, &row, error) : status;
    }
    sqlite3_finalize(names);
    return status;
}

/* The user's name of a run, and what sets its training apart from the others of its method in the experiment; "" for a
 * teacher. */
static void name_run(const struct trainings *trainings, const json_t *row, char name[NAME])
{
    name[0] = 0;
    for (int e = 0; e < trainings->count && !*name; e++) {
        const struct fs_results *of = &trainings->list[e];
        const struct fs_result_row *training =
            fs_result_training(of, text_of(row, "train_hash"), text_of(row, "data_sha256"));
        if (training) {
            const bool named = *training->label || *training->apart;
            snprintf(name, NAME, "%s%s%s%s%s", trainings->all ? of->experiment.name : "",
                     trainings->all && named ? ": " : "", training->label,
                     *training->label && *training->apart ? ", " : "", training->apart);
        }
    }
}

static void print_run(const json_t *row, const char *name, FILE *stream)
{
    char updates[64], work[FS_NUMBER_TEXT], age[FS_NUMBER_TEXT], line[NAME + 512];

    snprintf(updates, sizeof(updates), "%lld/%lld", (long long)json_integer_value(json_object_get(row, "done")),
             (long long)json_integer_value(json_object_get(row, "updates")));
    fs_three_digits(json_real_value(json_object_get(row, "flops")) * 1e-12, work);
    fs_duration(time(NULL) - json_integer_value(json_object_get(row, "created")), age);
    const char *commit = text_of(row, "commit_hash");
    const bool dirty = strlen(commit) > 12 && strstr(commit, "-dirty"); /* else it is within the twelve */
    snprintf(line, sizeof(line), "%.8s  %-26s %-10s %5lld  %-8s %13s %8s %8s  %.12s%s%s%s%s", text_of(row, "id"),
             text_of(row, "method"), text_of(row, "model"), (long long)json_integer_value(json_object_get(row, "seed")),
             text_of(row, "state"), updates, work, age, commit, dirty ? "-dirty" : "",
             json_integer_value(json_object_get(row, "is_teacher")) ? "  (teacher)" : "", *name ? "  " : "", name);
    fs_put_plain(line, stream); /* whatever the names hold, it is one line */
    fputc('\n', stream);
}

static fs_status print_runs(struct fs_store *store, const struct fs_experiment_name *experiment,
                            const struct trainings *trainings, bool json, FILE *stream, struct fs_error *error)
{
    json_t *rows, *row;
    char name[NAME];
    size_t i;

    FS_TRY(fs_rows_json(store, &rows, error,
                        experiment ? RUNS "WHERE r.number IN (" MEMBERS ") OR r.id IN (SELECT teacher FROM runs WHERE "
                                          "number IN (" MEMBERS ")) ORDER BY r.number"
                                   : RUNS "ORDER BY r.number",
                        experiment ? "t" : "", experiment ? experiment->name : NULL));
    if (!json) {
        fprintf(stream, "%-8s  %-26s %-10s %5s  %-8s %13s %8s %8s  %s\n", "run", "method", "model", "seed", "state",
                "updates", "TFLOP", "age", "commit");
        fputs(json_array_size(rows) == 0 ? "none yet; `fewstep run EXPERIMENT.yaml` makes some\n" : "", stream);
    }
    json_array_foreach(rows, i, row)
    {
        name_run(trainings, row, name);
        if (json) {
            json_object_set_new(row, "name", *name ? json_string(name) : json_null());
            json_dumpf(row, stream, JSON_COMPACT);
            fputc('\n', stream);
        } else {
            print_run(row, name, stream);
        }
    }
    json_decref(rows);
    return FS_OK;
}

fs_status fs_runs_print(struct fs_store *store, const char *experiment, bool json, FILE *stream, struct fs_error *error)
{
    struct fs_experiment_name found;
    struct trainings trainings = {.all = !experiment};
    fs_status status;

    if (experiment) {
        FS_TRY(fs_experiment_find(store, experiment, &found, error));
        status = add_experiment(store, &found, &trainings, error);
    } else {
        status = add_all(store, &trainings, error);
    }
    status = status == FS_OK ? print_runs(store, experiment ? &found : NULL, &trainings, json, stream, error) : status;
    trainings_free(&trainings);
    return status;
}
