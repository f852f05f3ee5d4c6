/* What runs the database holds. */
#include "harness/report/runs_list.h"

#include <string.h>
#include <time.h>

#include "harness/text/number.h"
#include "harness/report/rows_json.h"

/* How far a run has come is the last update of its curves or checkpoints, and the same of its teacher before it. */
#define RUNS                                                                                                           \
    "WITH progress AS (SELECT number, id, max("                                                                        \
    "  coalesce((SELECT max(at_update) FROM curves WHERE run = number), 0), "                                          \
    "  coalesce((SELECT max(at_update) FROM checkpoints WHERE run = number), 0)) AS done FROM runs) "                  \
    "SELECT r.id, r.method, r.model, r.dataset, r.seed, r.state, r.message, r.is_teacher, r.teacher, "                 \
    "own.done + coalesce(teacher.done, 0) AS done, r.updates, r.flops, r.seconds, r.peak_bytes, r.created, "           \
    "r.source_hash, (SELECT coalesce(e.commit_hash, 'unknown') || iif(e.dirty, '-dirty', '') FROM run_environments m " \
    "JOIN environments e ON e.id = m.environment WHERE m.run = r.number ORDER BY m.position LIMIT 1) AS commit_hash "  \
    "FROM runs r JOIN progress own ON own.number = r.number LEFT JOIN progress teacher ON teacher.id = r.teacher "
#define MEMBERS "SELECT m.run FROM experiment_runs m JOIN experiments e ON e.id = m.experiment WHERE e.name = ?1"

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));

    return text ? text : "–";
}

static void print_run(const json_t *row, FILE *stream)
{
    char updates[64], work[FS_NUMBER_TEXT], age[FS_NUMBER_TEXT];

    snprintf(updates, sizeof(updates), "%lld/%lld", (long long)json_integer_value(json_object_get(row, "done")),
             (long long)json_integer_value(json_object_get(row, "updates")));
    fs_three_digits(json_real_value(json_object_get(row, "flops")) * 1e-12, work);
    fs_duration(time(NULL) - json_integer_value(json_object_get(row, "created")), age);
    const char *commit = text_of(row, "commit_hash");
    const bool dirty = strlen(commit) > 12 && strstr(commit, "-dirty"); /* else it is within the twelve */
    fprintf(stream, "%.8s  %-26s %-10s %5lld  %-8s %13s %8s %8s  %.12s%s%s\n", text_of(row, "id"),
            text_of(row, "method"), text_of(row, "model"), (long long)json_integer_value(json_object_get(row, "seed")),
            text_of(row, "state"), updates, work, age, commit, dirty ? "-dirty" : "",
            json_integer_value(json_object_get(row, "is_teacher")) ? "  (teacher)" : "");
}

fs_status fs_runs_print(struct fs_store *store, const char *experiment, bool json, FILE *stream, struct fs_error *error)
{
    struct fs_experiment_name found;
    json_t *rows, *row;
    size_t i;

    if (experiment) {
        FS_TRY(fs_experiment_find(store, experiment, &found, error));
    }
    FS_TRY(fs_rows_json(store, &rows, error,
                        experiment ? RUNS "WHERE r.number IN (" MEMBERS ") OR r.id IN (SELECT teacher FROM runs WHERE "
                                          "number IN (" MEMBERS ")) ORDER BY r.number"
                                   : RUNS "ORDER BY r.number",
                        experiment ? "t" : "", experiment));
    if (!json) {
        fprintf(stream, "%-8s  %-26s %-10s %5s  %-8s %13s %8s %8s  %s\n", "run", "method", "model", "seed", "state",
                "updates", "TFLOP", "age", "commit");
        fputs(json_array_size(rows) == 0 ? "none yet; `fewstep run EXPERIMENT.yaml` makes some\n" : "", stream);
    }
    json_array_foreach(rows, i, row)
    {
        if (json) {
            json_dumpf(row, stream, JSON_COMPACT);
            fputc('\n', stream);
        } else {
            print_run(row, stream);
        }
    }
    json_decref(rows);
    return FS_OK;
}
