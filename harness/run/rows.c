/* The rows that a configuration asks for. Nothing else says what a column of a score is made from. */
#include "harness/run/rows.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/build_info.h"
#include "harness/data/latents.h"
#include "metrics/metric.h"

/* --- the run --- */

struct fs_run_row fs_run_row_of(const struct fs_config *config, const char *data_sha256)
{
    return (struct fs_run_row){
        .method = config->method->name,
        .dataset = config->dataset.name,
        .model = config->model.preset,
        .config_json = config->json,
        .train_hash = config->train_hash,
        .data_sha256 = data_sha256,
        .source_hash = fs_build_info.source_hash,
        .seed = config->seed,
        .updates = fs_config_teacher_updates(config) + fs_config_method_setup(config).updates,
    };
}

fs_status fs_run_id(const struct fs_config *config, const char *data_sha256, char id[FS_HASH_TEXT],
                    struct fs_error *error)
{
    const struct fs_run_row row = fs_run_row_of(config, data_sha256);
    return fs_columns_hash(&fs_run_columns, &row, id, error);
}

/* --- its scores --- */

void fs_score_setup_data(struct fs_score_setup *setup, const struct fs_config *config, const struct fs_dataset *train,
                         const struct fs_reference_source *reference, int64_t test_count)
{
    const struct fs_latents_manifest *latents = fs_latents_of(train);
    setup->data_sha256 = train->sha256;
    setup->reference = reference->name;
    setup->reference_sha256 = reference->pictures.sha256;
    setup->data = latents ? "reconstructions" : "test";
    setup->data_count = latents ? train->shape.count : test_count;
    setup->decoder_sha256 = latents ? latents->autoencoder_sha256 : NULL;
    setup->decoder_precision = !latents                                                  ? NULL
                               : config->evaluate.decoder_precision == FS_PRECISION_BF16 ? "bf16"
                                                                                         : "fp32";
}

/* What stands for the data in the source of a score, which is hashed: a name that stands for its data, and of other
 * data, which are the same whatever their user calls them, the beginning of their hash. */
static void name_data(const struct fs_config *config, const struct fs_score_setup *setup, char name[64])
{
    const bool known = fs_dataset_name_is_known(config->dataset.name);
    snprintf(name, 64, "%.*s", known ? 63 : FS_SOURCE_DATA_DIGITS, known ? config->dataset.name : setup->data_sha256);
}

/* `metric`: an index into the configuration's. A metric of the pictures alone does not depend on the extractor. */
static fs_status score_row(const struct fs_config *config, const struct fs_score_setup *setup, int metric,
                           struct fs_score_row *row, struct fs_error *error)
{
    const struct fs_evaluate_config *evaluate = &config->evaluate;
    const struct fs_extractor *extractor = setup->extractor;
    const struct fs_metric *known = fs_metric_find(evaluate->metrics[metric]);
    const bool of_pictures = fs_metric_is_of_pictures(known);
    int tap = 0;
    if (!of_pictures) {
        FS_TRY(fs_metric_tap(known, extractor, &tap, error));
    }
    *row = (struct fs_score_row){
        .weights = evaluate->weights == FS_WEIGHTS_EMA ? "ema" : "raw",
        .guidance_scale = 1,
        .labels = config->model.classes ? "index mod classes" : "null",
        .samples = evaluate->samples,
        .quantize = evaluate->quantize,
        .resize = fs_resize_name(of_pictures ? FS_RESIZE_NONE : (int)extractor->resize),
        .extractor = of_pictures ? FS_PIXELS : extractor->label,
        .extractor_sha256 = of_pictures ? "" : extractor->sha256,
        .tap = of_pictures ? FS_PIXELS : extractor->taps[tap].name,
        .reference = setup->reference,
        .reference_sha256 = setup->reference_sha256,
        .metric = fs_extractor_metric(extractor, known->name),
        .precision = config->train.precision == FS_PRECISION_BF16 ? "bf16" : "fp32",
        .device = setup->device,
        .source_hash = fs_build_info.source_hash,
        .decoder_sha256 = setup->decoder_sha256,
        .decoder_precision = setup->decoder_precision,
        .low = NAN,
        .high = NAN,
    };
    return FS_OK;
}

/* Adds the row unless its score is there (then it also becomes one of the experiment's). */
static fs_status look_up(struct fs_store *store, int64_t experiment, const struct fs_score_row *row,
                         struct fs_missing_scores *missing, struct fs_error *error)
{
    double value;
    bool found;
    char *hash = missing->hashes[missing->count];
    FS_TRY(fs_columns_hash(&fs_score_columns, row, hash, error));
    FS_TRY(fs_store_find_score(store, hash, experiment, &found, &value, error));
    if (found) {
        memcpy(missing->found[missing->found_count++], hash, FS_HASH_TEXT);
    } else {
        missing->rows[missing->count] = *row;
        missing->rows[missing->count++].score_hash = hash;
    }
    return FS_OK;
}

static const char *labels_of(const struct fs_config *config)
{
    return config->model.classes == 0                     ? "null"
           : config->evaluate.labels == FS_LABELS_UNIFORM ? "uniform"
                                                          : "index mod classes";
}

fs_status fs_missing_of_run(struct fs_store *store, int64_t experiment, const struct fs_config *config,
                            const struct fs_score_setup *setup, const char *run, int64_t update, int steps,
                            struct fs_missing_scores *missing, struct fs_error *error)
{
    const double shift = config->evaluate.time_shift;
    missing->count = missing->found_count = 0;
    snprintf(missing->time_grid, sizeof missing->time_grid, shift == 1 ? FS_SCORE_TIME_GRID : "shifted %.6g", shift);
    for (int i = 0; i < config->evaluate.metric_count; i++) {
        struct fs_score_row row;
        FS_TRY(score_row(config, setup, i, &row, error));
        row.run = run[0] ? run : NULL;
        row.source = "run";
        row.update = update;
        row.steps = steps;
        row.guidance_scale = fs_config_guidance(config, steps);
        row.noise_seed = config->seed;
        row.labels = labels_of(config);
        row.sampler = fs_solver_name(config->evaluate.sampler);
        row.time_grid = missing->time_grid;
        FS_TRY(look_up(store, experiment, &row, missing, error));
    }
    return FS_OK;
}

fs_status fs_missing_of_exact(struct fs_store *store, int64_t experiment, const struct fs_config *config,
                              const struct fs_score_setup *setup, int steps, struct fs_missing_scores *missing,
                              struct fs_error *error)
{
    const double shift = config->evaluate.time_shift;
    char data[64];
    missing->count = missing->found_count = 0;
    name_data(config, setup, data);
    snprintf(missing->source, sizeof missing->source, FS_EXACT_SOURCE "%s:%.12s:%d", data, setup->data_sha256,
             config->model.classes);
    snprintf(missing->time_grid, sizeof missing->time_grid, shift == 1 ? FS_SCORE_TIME_GRID : "shifted %.6g", shift);
    for (int i = 0; i < config->evaluate.metric_count; i++) {
        struct fs_score_row row;
        FS_TRY(score_row(config, setup, i, &row, error));
        row.source = missing->source;
        row.steps = steps;
        row.noise_seed = config->seed;
        row.labels = labels_of(config);
        row.precision = "fp32";
        row.sampler = fs_solver_name(config->evaluate.sampler);
        row.time_grid = missing->time_grid;
        FS_TRY(look_up(store, experiment, &row, missing, error));
    }
    return FS_OK;
}

fs_status fs_missing_of_data(struct fs_store *store, int64_t experiment, const struct fs_config *config,
                             const struct fs_score_setup *setup, struct fs_missing_scores *missing,
                             struct fs_error *error)
{
    char data[64];
    missing->count = missing->found_count = 0;
    name_data(config, setup, data);
    snprintf(missing->source, sizeof missing->source, "dataset:%s:%s", data, setup->data);
    for (int i = 0; i < config->evaluate.metric_count; i++) {
        struct fs_score_row row;
        FS_TRY(score_row(config, setup, i, &row, error));
        row.source = missing->source;
        row.samples = row.samples < setup->data_count ? row.samples : setup->data_count;
        FS_TRY(look_up(store, experiment, &row, missing, error));
    }
    return FS_OK;
}

fs_status fs_tally_scores(struct fs_store *store, int64_t experiment, const struct fs_config *config,
                          const struct fs_score_setup *setup, const char *run, const struct fs_kept_update *weights,
                          struct fs_score_tally *tally, struct fs_error *error)
{
    int count;
    const int *steps = fs_config_steps_of(config, weights, &count);
    for (int i = 0; i < count; i++) {
        struct fs_missing_scores missing;
        FS_TRY(fs_missing_of_run(store, experiment, config, setup, run, weights->update, steps[i], &missing, error));
        tally->asked += config->evaluate.metric_count;
        tally->made += config->evaluate.metric_count - missing.count;
    }
    return FS_OK;
}
