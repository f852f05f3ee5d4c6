/* fewstep eval: score a run or a checkpoint again. */
#include <stdio.h>
#include <string.h>

#include "harness/cli/command.h"
#include "harness/cli/options.h"
#include "harness/run/pipeline.h"
#include "harness/run/run_source.h"
#include "harness/run/worker.h"
#include "harness/report/rows_json.h"
#include "harness/text/number.h"

struct eval_options {
    const char *source, *steps, *weights, *sampler, *metrics, *reference, *out, *db;
    int64_t samples;
    double guidance, time_shift;
    bool json, quiet, help;
};

static fs_status parse(int argc, char **argv, struct eval_options *options, struct fs_error *error)
{
    const struct fs_flag flags[] = {
        {"--steps", FS_FLAG_TEXT, &options->steps, "1,4,128", "step counts (those of the run's configuration)"},
        {"--samples", FS_FLAG_WHOLE, &options->samples, "N", "samples a score (those of the configuration)"},
        {"--guidance", FS_FLAG_REAL, &options->guidance, "S", "guidance scale (that of the configuration)"},
        {"--weights", FS_FLAG_TEXT, &options->weights, "ema|raw", "which weights (those of the configuration)"},
        {"--sampler", FS_FLAG_TEXT, &options->sampler, FS_SOLVER_NAMES,
         "what takes a step (that of the configuration)"},
        {"--time-shift", FS_FLAG_REAL, &options->time_shift, "S",
         "shift of the time grid; 1: uniform (the configuration's)"},
        {"--metrics", FS_FLAG_TEXT, &options->metrics, "M,M,…", "fd,kid,is … (those of the configuration)"},
        {"--reference", FS_FLAG_TEXT, &options->reference, "WHAT",
         "train, a folder of pictures or an .npz of statistics (the configuration's)"},
        {"--db", FS_FLAG_TEXT, &options->db, "FILE", "the database (OUT/fewstep.db)"},
        {"--out", FS_FLAG_TEXT, &options->out, "DIR", "where the runs are (out)"},
        {"--json", FS_FLAG_SWITCH, &options->json, NULL, "one JSON object a score"},
        {"--quiet", FS_FLAG_SWITCH, &options->quiet, NULL, "no progress"},
    };
    const struct fs_usage usage = {
        .command = "eval",
        .arguments = "RUN|CHECKPOINT",
        .summary =
            "Scores again, perhaps at other step counts or by other metrics, logs it for the tables of the\n"
            "experiments that the run is part of, and prints it. A score that is already there is not made again.",
        .example = "fewstep eval 3fa9c1 --steps 1,4,128 --samples 5000",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
        .arguments_min = 1,
        .arguments_max = 1,
    };
    int count;
    return fs_options_parse(&usage, argc, argv, &options->source, &count, &options->help, error);
}

/* The options over what the run's configuration says. */
static fs_status apply(const struct eval_options *options, struct fs_config *config, struct fs_error *error)
{
    struct fs_evaluate_config *evaluate = &config->evaluate;
    const struct fs_evaluate_config before = *evaluate;
    if (options->steps) {
        FS_TRY(
            fs_parse_numbers("--steps", options->steps, evaluate->steps, FS_STEPS_MAX, &evaluate->step_count, error));
    }
    evaluate->guidance_count = before.guidance_count > 0 ? evaluate->step_count : 0;
    for (int i = 0; i < evaluate->guidance_count; i++) {
        evaluate->guidance_scales[i] = fs_config_scale_at(&before, evaluate->steps[i]);
    }
    if (options->samples > 0) {
        evaluate->samples = options->samples;
    }
    if (options->guidance >= 0) {
        evaluate->guidance_scale = options->guidance;
        evaluate->guidance_count = 0;
    }
    if (options->weights) {
        FS_TRY(fs_parse_weights(options->weights, &evaluate->weights, error));
    }
    if (options->sampler) {
        FS_TRY(fs_parse_solver(options->sampler, &evaluate->sampler, error));
    }
    if (options->time_shift > 0) {
        evaluate->time_shift = options->time_shift;
    }
    if (options->metrics) {
        const struct fs_metric *metrics[FS_METRICS_MAX];
        FS_TRY(fs_parse_metrics(options->metrics, metrics, &evaluate->metric_count, error));
        for (int i = 0; i < evaluate->metric_count; i++) {
            snprintf(evaluate->metrics[i], sizeof evaluate->metrics[i], "%s", metrics[i]->name);
        }
    }
    if (options->reference) {
        FS_TRY(fs_path(evaluate->reference, error, "%s", options->reference));
    }
    return fs_config_check_evaluation(config, error);
}

/* The scores become those of each experiment that the run is part of, so that its table and page have them; made once.
 */
static fs_status score(struct fs_pipeline *pipeline, const struct fs_source *source, enum fs_pipeline_end *end,
                       struct fs_error *error)
{
    struct fs_store *store = pipeline->session->store;
    FS_TRY(fs_store_next_experiment(store, source->run, 0, &pipeline->experiment, error));
    do {
        FS_TRY(fs_pipeline_score(pipeline, &source->config, source->run, source->checkpoint, end, error));
        if (pipeline->experiment != 0) {
            FS_TRY(fs_store_next_experiment(store, source->run, pipeline->experiment, &pipeline->experiment, error));
        }
    } while (pipeline->experiment != 0 && *end == FS_PIPELINE_DONE);
    return FS_OK;
}

/* --- what they are --- */

static void print_text(const json_t *row)
{
    char value[FS_NUMBER_TEXT], low[FS_NUMBER_TEXT], high[FS_NUMBER_TEXT], measure[96], interval[80] = "";
    const char *extractor = json_string_value(json_object_get(row, "extractor"));
    const char *metric = json_string_value(json_object_get(row, "metric"));
    const json_t *end = json_object_get(row, "low");
    const char *sampler = json_string_value(json_object_get(row, "sampler"));
    const char *grid = json_string_value(json_object_get(row, "time_grid"));
    const bool usual_sampler = strcmp(sampler, FS_SCORE_SAMPLER) == 0,
               usual_grid = strcmp(grid, FS_SCORE_TIME_GRID) == 0;
    fs_three_digits(json_number_value(json_object_get(row, "value")), value);
    snprintf(measure, sizeof measure, "%s (%s)", metric, extractor);
    if (json_is_number(end)) {
        fs_three_digits(json_number_value(end), low);
        fs_three_digits(json_number_value(json_object_get(row, "high")), high);
        snprintf(interval, sizeof interval, "%s – %s", low, high);
    }
    printf("%5lld  %-26s  %9s  %-18s  %8lld  %-7s  %g%s%s%s%s\n",
           (long long)json_integer_value(json_object_get(row, "steps")), measure, value, *interval ? interval : "-",
           (long long)json_integer_value(json_object_get(row, "samples")),
           json_string_value(json_object_get(row, "weights")),
           json_number_value(json_object_get(row, "guidance_scale")), usual_sampler ? "" : ", ",
           usual_sampler ? "" : sampler, usual_grid ? "" : ", ", usual_grid ? "" : grid);
}

static fs_status print_scores(struct fs_store *store, const struct fs_score_list *scores, bool json,
                              struct fs_error *error)
{
    if (!json && scores->count > 0) {
        printf("%5s  %-26s  %9s  %-18s  %8s  %-7s  %s\n", "steps", "metric", "value", "95 % interval", "samples",
               "weights", "guidance, sampler and grid");
    }
    for (int i = 0; i < scores->count; i++) {
        json_t *rows;
        FS_TRY(fs_rows_json(store, &rows, error,
                            "SELECT r.id AS run, s.at_update AS \"update\", s.steps, s.metric, s.extractor, s.value, "
                            "s.low, s.high, s.samples, s.weights, s.guidance_scale, s.sampler, s.time_grid, "
                            "s.score_hash FROM scores s LEFT JOIN "
                            "runs r ON r.number = s.run WHERE s.score_hash = ?1",
                            "t", scores->hashes[i]));
        const json_t *row = json_array_get(rows, 0);
        if (row && json) {
            json_dumpf(row, stdout, JSON_COMPACT);
            putchar('\n');
        } else if (row) {
            print_text(row);
        }
        json_decref(rows);
    }
    return FS_OK;
}

static fs_status eval_command(struct fs_comm *comm, int argc, char **argv, struct fs_error *error)
{
    struct eval_options options = {.guidance = -1};
    struct fs_source source;
    struct fs_session session;
    struct fs_pipeline pipeline;
    struct fs_score_list scores = {0};
    enum fs_pipeline_end end = FS_PIPELINE_DONE;
    FS_TRY(parse(argc, argv, &options, error));
    if (options.help) {
        return FS_OK;
    }
    fs_status status = fs_source_open(&source, options.source, options.out, options.db, error);
    if (status == FS_OK) {
        status = apply(&options, &source.config, error);
    }
    if (status == FS_OK) {
        status = fs_session_open(&session, comm, options.out, options.db, source.config.device, options.quiet, error);
    }
    if (status != FS_OK) {
        fs_source_close(&source);
        return status;
    }
    fs_catch_signals();
    status = fs_pipeline_open(&pipeline, &session, &source.config, error);
    if (status == FS_OK) {
        pipeline.scores = &scores;
        status = score(&pipeline, &source, &end, error);
        fs_pipeline_close(&pipeline);
    }
    if (status == FS_OK) {
        status = print_scores(session.store, &scores, options.json, error);
    }
    fs_score_list_free(&scores);
    if (status == FS_OK && end == FS_PIPELINE_STOPPED) {
        status = fs_fail(error, FS_STOPPED, "stopped; the scores that were reported are kept");
    }
    fs_session_close(&session);
    fs_source_close(&source);
    return status;
}

fs_status fs_command_eval(int argc, char **argv, struct fs_error *error)
{
    return fs_run_ranks(eval_command, argc, argv, error);
}
