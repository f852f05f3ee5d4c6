/* What an experiment would cost, and what of it is already there. */
#include "harness/run/dry_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/build_info.h"
#include "harness/data/dataset.h"
#include "harness/text/json.h"
#include "harness/text/number.h"
#include "harness/store/query.h"
#include "harness/store/store.h"
#include "harness/train/cost.h"
#include "metrics/metric.h"

#define DONE_TEXT 64
#define NAME_TEXT 128

/* The scores by one metric that this configuration asks for at one step count, whatever made them. */
#define SCORED                                                                                                         \
    "SELECT count(*) FROM scores s JOIN runs r ON r.number = s.run WHERE r.id = ? AND s.at_update = ? AND "            \
    "s.steps = ? AND s.samples = ? AND s.weights = ? AND s.extractor = ? AND s.quantize = ? AND s.metric IN (?, ?)"

/* A teacher's share is trained as a run of its own: what is left is this run's. */
static int64_t own_updates(const struct fs_config *config)
{
    return config->train.updates - fs_config_teacher_updates(config);
}

/* Scores of weights, and how many of them there are. */
struct tally {
    int made, asked;
};

static fs_status count_scores_at(sqlite3 *database, const struct fs_config *config, const char *id, int64_t update,
                                 int64_t steps, struct tally *tally, struct fs_error *error)
{
    const struct fs_evaluate_config *evaluate = &config->evaluate;
    for (int i = 0; i < evaluate->metric_count; i++) {
        const struct fs_metric *metric = fs_metric_find(evaluate->metrics[i]);
        int64_t found;
        FS_TRY(fs_query_whole(database, &found, 0, error, SCORED, "tiiittitt", id, update, steps, evaluate->samples,
                              evaluate->weights == FS_WEIGHTS_EMA ? "ema" : "raw",
                              metric->of_pictures ? FS_PIXELS : evaluate->extractors[0], (int64_t)evaluate->quantize,
                              metric->name, metric->fid_name));
        tally->made += found > 0;
        tally->asked++;
    }
    return FS_OK;
}

/* Those of the last update, and of the updates whose weights are kept on the way. */
static fs_status count_scores(sqlite3 *database, const struct fs_config *config, const char *id, struct tally *tally,
                              struct fs_error *error)
{
    struct fs_kept_update weights[FS_KEPT_MAX + 1];
    const int kept_count = fs_config_kept_updates(config, weights);
    weights[kept_count] = (struct fs_kept_update){.update = own_updates(config)};
    *tally = (struct tally){0, 0};
    for (int k = 0; k <= kept_count; k++) {
        const int count = weights[k].steps > 0 ? 1 : config->evaluate.step_count;
        for (int i = 0; i < count; i++) {
            FS_TRY(count_scores_at(database, config, id, weights[k].update,
                                   weights[k].steps > 0 ? weights[k].steps : config->evaluate.steps[i], tally, error));
        }
    }
    return FS_OK;
}

/* A run of the same training by other code is none of this program's, but good to know of. */
static fs_status describe_other(sqlite3 *database, const struct fs_config *config, const char *data_sha256,
                                char text[DONE_TEXT], struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;
    FS_TRY(
        fs_query_open(database, &query, error,
                      "SELECT id FROM runs WHERE train_hash = ? AND seed = ? AND data_sha256 = ? ORDER BY number DESC",
                      "tit", config->train_hash, config->seed, data_sha256));
    const fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK) {
        snprintf(text, DONE_TEXT, "nothing%s%.8s%s", row ? "; run " : "", row ? fs_query_text(query, 0) : "",
                 row ? " is of another source" : "");
    }
    sqlite3_finalize(query);
    return status;
}

/* "trained, 3/7 scores", "update 1200/2000", "nothing". */
static fs_status describe_done(struct fs_store *store, const struct fs_config *config, const char *data_sha256,
                               char text[DONE_TEXT], struct fs_error *error)
{
    char id[FS_HASH_TEXT];
    int64_t update;
    struct tally tally;
    sqlite3 *database = fs_store_handle(store);
    FS_TRY(fs_run_id(config, data_sha256, fs_build_info.source_hash, id, error));
    FS_TRY(fs_query_whole(database, &update, -1, error,
                          "SELECT max(c.at_update) FROM checkpoints c JOIN runs r ON r.number = c.run WHERE r.id = ?",
                          "t", id));
    FS_TRY(count_scores(database, config, id, &tally, error));
    if (update < 0) {
        return describe_other(database, config, data_sha256, text, error);
    }
    if (update < own_updates(config)) {
        snprintf(text, DONE_TEXT, "update %" PRId64 "/%" PRId64, update, own_updates(config));
    } else {
        snprintf(text, DONE_TEXT, "trained, %d/%d scores", tally.made, tally.asked);
    }
    return FS_OK;
}

/* Where there is no database nothing is done; where the package's data are missing it cannot be known. */
static fs_status find_done(struct fs_store *store, const struct fs_config *config, char text[DONE_TEXT],
                           struct fs_error *error)
{
    struct fs_dataset data;
    struct fs_error missing;
    if (!store && !config->dataset.path[0]) {
        snprintf(text, DONE_TEXT, "nothing");
        return FS_OK;
    }
    fs_status status = fs_dataset_open(&config->dataset, FS_SPLIT_TRAIN, &data, &missing);
    if (status != FS_OK) {
        snprintf(text, DONE_TEXT, "unknown without the data set");
        *error = config->dataset.path[0] ? missing : *error; /* a folder that was named must be there */
        return config->dataset.path[0] ? status : FS_OK;
    }
    if (store) {
        status = describe_done(store, config, data.sha256, text, error);
    } else {
        snprintf(text, DONE_TEXT, "nothing");
    }
    fs_dataset_close(&data);
    return status;
}

/* The method, and what tells the runs of an ablation apart: "Shortcut model, max_step 1/4". */
static void name_run(const struct fs_config *config, const char *ablated, char name[NAME_TEXT])
{
    char value[48] = "";
    const char *dot = ablated ? strrchr(ablated, '.') : NULL;
    if (ablated) {
        fs_config_text(config->json, ablated, value, sizeof value);
    }
    snprintf(name, NAME_TEXT, "%s%s%s%s%s", config->method->label, ablated ? ", " : "",
             dot       ? dot + 1
             : ablated ? ablated
                       : "",
             ablated ? " " : "", value);
}

struct sums {
    double flops, bytes;
};

static fs_status print_run(const struct fs_config *config, const char *ablated, struct fs_store *store,
                           struct sums *sums, struct fs_error *error)
{
    struct fs_cost cost;
    char name[NAME_TEXT], done[DONE_TEXT], memory[FS_NUMBER_TEXT], disk[FS_NUMBER_TEXT];
    struct fs_data_shape shape;
    FS_TRY(fs_dataset_check(config, &shape, error));
    FS_TRY(fs_run_cost(config, &shape, &cost, error));
    FS_TRY(find_done(store, config, done, error));
    const double disk_bytes = cost.checkpoint_bytes + cost.pair_bytes;
    name_run(config, ablated, name);
    fs_byte_size((int64_t)cost.memory_bytes, memory);
    fs_byte_size((int64_t)disk_bytes, disk);
    printf("%-30s %5" PRId64 " %8" PRId64 " %7.1f TF %7.1f TF %7.1f TF %7.1f TF %10s %10s  %s\n", name, config->seed,
           config->train.updates, cost.student_flops * 1e-12, cost.teacher_flops * 1e-12, cost.pair_flops * 1e-12,
           cost.score_flops * 1e-12, memory, disk, done);
    sums->flops += cost.student_flops + cost.teacher_flops + cost.pair_flops + cost.score_flops;
    sums->bytes += disk_bytes;
    return FS_OK;
}

fs_status fs_dry_run(const struct fs_experiment *experiment, const bool *taken, const char *db, struct fs_error *error)
{
    struct fs_store *store = NULL;
    struct sums sums = {0, 0};
    char disk[FS_NUMBER_TEXT];
    if (access(db, F_OK) == 0) {
        FS_TRY(fs_store_open(db, FS_STORE_READ, &store, error));
    }
    printf("%-30s %5s %8s %10s %10s %10s %10s %10s %10s  %s\n", "method", "seed", "updates", "train", "teacher",
           "pairs", "scores", "memory", "disk", "done");
    fs_status status = FS_OK;
    for (int i = 0; status == FS_OK && i < experiment->run_count; i++) {
        status = taken[i] ? print_run(&experiment->runs[i], experiment->ablated, store, &sums, error) : FS_OK;
    }
    fs_store_close(store);
    if (status == FS_OK) {
        fs_byte_size((int64_t)sums.bytes, disk);
        printf("at most %.1f TFLOP of matrix products in all, and %s on the disk: a teacher and its pairs are made once"
               " for all that share them, and the last checkpoint of each run is kept; memory is that of the network, "
               "its optimiser and a batch, to which data, "
               "libraries and scoring add a few hundred megabytes\n",
               sums.flops * 1e-12, disk);
    }
    return status;
}
