/* The scoring stage of a run: scores that are not there yet, and the grid of pictures. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness/build_info.h"
#include "harness/run/checkpoint_row.h"
#include "harness/run/job.h"
#include "harness/data/png.h"
#include "harness/text/number.h"
#include "harness/checkpoint/checkpoint.h"
#include "kernels/base/file.h"
#include "kernels/base/memory.h"

#define GRID_COLUMNS 12

/* --- scores --- */

/* `metric`: an index into the configuration's. A metric of the pictures alone does not depend on the extractor. */
static struct fs_score_row score_row(const struct fs_job *job, const char *source, int64_t update, int steps,
                                     int metric)
{
    const struct fs_evaluate_config *evaluate = &job->config->evaluate;
    const struct fs_pipeline *pipeline = job->pipeline;
    const struct fs_metric *known = fs_metric_find(evaluate->metrics[metric]);
    struct fs_error ignored; /* fs_pipeline_open has seen to the taps */
    int tap;
    fs_metric_tap(known, &pipeline->extractor, &tap, &ignored);
    return (struct fs_score_row){
        .run = job->id[0] ? job->id : NULL,
        .source = source,
        .update = update,
        .weights = evaluate->weights == FS_WEIGHTS_EMA ? "ema" : "raw",
        .steps = steps,
        .guidance_scale = fs_config_guidance(job->config, steps),
        .labels = job->config->model.classes ? "index mod classes" : "null",
        .noise_seed = job->config->seed,
        .samples = evaluate->samples,
        .quantize = evaluate->quantize,
        .resize = fs_resize_name(known->of_pictures ? FS_RESIZE_NONE : (int)pipeline->extractor.resize),
        .extractor = known->of_pictures ? FS_PIXELS : pipeline->extractor.label,
        .extractor_sha256 = known->of_pictures ? "" : pipeline->extractor.sha256,
        .tap = known->of_pictures ? FS_PIXELS : pipeline->extractor.taps[tap].name,
        .reference = "train",
        .reference_sha256 = pipeline->reference.sha256,
        .metric = fs_extractor_metric(&pipeline->extractor, known->name),
        .precision = job->config->train.precision == FS_PRECISION_BF16 ? "bf16" : "fp32",
        .device = pipeline->session->backend->name,
        .source_hash = fs_build_info.source_hash,
        .low = NAN,
        .high = NAN,
    };
}

static void show_scoring(void *owner, const struct fs_score_progress *p)
{
    struct fs_job *job = owner;
    struct fs_progress *progress = &job->pipeline->session->progress;
    if (fs_progress_due(progress, false)) {
        char left[FS_NUMBER_TEXT], steps[32] = "";
        const double rate = p->seconds > 0 ? (double)p->done / p->seconds : 0;
        fs_duration(rate > 0 ? (int64_t)((double)(p->of - p->done) / rate) : 0, left);
        if (p->steps > 0) {
            snprintf(steps, sizeof steps, "%d step%s: ", p->steps, p->steps == 1 ? "" : "s");
        }
        if (p->metric) {
            fs_progress_line(progress, false, "%s: %s%s, part %" PRId64 "/%" PRId64 ", %s left", job->name, steps,
                             p->metric, p->done, p->of, left);
        } else {
            fs_progress_line(progress, false, "%s: %ssample %" PRId64 "/%" PRId64 ", %.0f images/s, %s left", job->name,
                             steps, p->done, p->of, rate, left);
        }
    }
}

/* Rows of the metrics that are not in the store yet. */
struct missing {
    struct fs_score_row rows[FS_METRICS_MAX];
    char hashes[FS_METRICS_MAX][FS_HASH_TEXT];
    int count;
};

/* Adds the row unless its score is there (then it also becomes one of this experiment's). */
static fs_status look_up(const struct fs_job *job, const struct fs_score_row *row, struct missing *missing,
                         struct fs_error *error)
{
    double value;
    bool found;
    char *hash = missing->hashes[missing->count];
    FS_TRY(fs_score_hash(row, hash, error));
    FS_TRY(fs_store_find_score(job->pipeline->session->store, hash, job->pipeline->experiment, &found, &value, error));
    if (!found) {
        missing->rows[missing->count] = *row;
        missing->rows[missing->count++].score_hash = hash;
    }
    return FS_OK;
}

static fs_status look_up_run(const struct fs_job *job, int64_t update, int steps, struct missing *missing,
                             struct fs_error *error)
{
    missing->count = 0;
    for (int i = 0; i < job->config->evaluate.metric_count; i++) {
        const struct fs_score_row row = score_row(job, "run", update, steps, i);
        FS_TRY(look_up(job, &row, missing, error));
    }
    return FS_OK;
}

static fs_status keep_score(struct fs_job *job, const struct fs_score_row *row, struct fs_error *error)
{
    struct fs_session *session = job->pipeline->session;
    FS_TRY(fs_store_score(session->store, row, job->pipeline->experiment, session->environment, error));
    if (row->steps > 0) {
        fs_progress_note(&session->progress, "%s: %d step%s: %s %.4g", job->name, row->steps,
                         row->steps == 1 ? "" : "s", row->metric, row->value);
    } else {
        fs_progress_note(&session->progress, "%s: %s %.4g", job->name, row->metric, row->value);
    }
    return FS_OK;
}

/* Computes and stores what is missing. `generator` NULL: of the test split. *done is false when a signal came first. */
static fs_status make_scores(struct fs_job *job, struct fs_generator *generator, struct missing *missing, bool *done,
                             struct fs_error *error)
{
    struct fs_pipeline *pipeline = job->pipeline;
    const struct fs_scoring scoring = {
        .extractor = &pipeline->extractor,
        .reference = &pipeline->reference,
        .shape = &pipeline->train,
        .stop = &fs_stop,
        .owner = job,
        .progress = show_scoring,
    };
    *done = true;
    if (missing->count == 0) {
        return FS_OK;
    }
    fs_status status = generator ? fs_score_generator(&scoring, generator, missing->rows, missing->count, done, error)
                                 : fs_score_data(&scoring, &pipeline->test, missing->rows, missing->count, done, error);
    for (int i = 0; i < missing->count; i++) {
        if (status == FS_OK && *done) {
            status = keep_score(job, &missing->rows[i], error);
        }
        free(missing->rows[i].spectrum);
    }
    return status;
}

/* The numbers of steps that kept weights are scored at: *count of them. */
static const int *steps_of(const struct fs_job *job, const struct fs_kept_update *kept, int *count)
{
    *count = kept->steps > 0 ? 1 : job->config->evaluate.step_count;
    return kept->steps > 0 ? &kept->steps : job->config->evaluate.steps;
}

static fs_status all_there(const struct fs_job *job, int64_t update, const int *steps, int count, bool *all,
                           struct fs_error *error)
{
    *all = true;
    for (int i = 0; *all && i < count; i++) {
        struct missing missing;
        FS_TRY(look_up_run(job, update, steps[i], &missing, error));
        *all = missing.count == 0;
    }
    return FS_OK;
}

fs_status fs_job_scored(const struct fs_job *job, bool *scored, struct fs_error *error)
{
    struct fs_kept_update kept[FS_KEPT_MAX];
    const int kept_count = fs_config_kept_updates(job->config, kept);
    const struct fs_evaluate_config *evaluate = &job->config->evaluate;
    const int64_t update = fs_config_method_setup(job->config).updates;
    FS_TRY(all_there(job, update, evaluate->steps, evaluate->step_count, scored, error));
    for (int i = 0; *scored && i < kept_count; i++) {
        int count;
        const int *steps = steps_of(job, &kept[i], &count);
        FS_TRY(all_there(job, kept[i].update, steps, count, scored, error));
    }
    return FS_OK;
}

static fs_status score_steps(struct fs_job *job, struct fs_generator *generator, const int *steps, int count,
                             bool *done, struct fs_error *error)
{
    *done = true;
    for (int i = 0; *done && i < count; i++) {
        struct missing missing;
        FS_TRY(look_up_run(job, generator->update, steps[i], &missing, error));
        FS_TRY(make_scores(job, generator, &missing, done, error));
    }
    return FS_OK;
}

static fs_status score_kept(struct fs_job *job, const struct fs_kept_update *kept, bool *done, struct fs_error *error)
{
    char checkpoint[1024];
    struct fs_generator generator;
    int count;
    bool all;
    const int *steps = steps_of(job, kept, &count);
    FS_TRY(all_there(job, kept->update, steps, count, &all, error));
    if (all) {
        return FS_OK;
    }
    fs_checkpoint_path(job->folder, kept->update, checkpoint);
    if (access(checkpoint, R_OK) != 0) {
        fs_progress_note(&job->pipeline->session->progress,
                         "%s: the weights of update %" PRId64 " are not there, so they are not scored: the run was "
                         "trained before evaluate.updates asked for them, or they were cleared away",
                         job->name, kept->update);
        return FS_OK;
    }
    FS_TRY(fs_checkpoint_row_check(job->pipeline->session->store, job->id, kept->update, checkpoint, true, error));
    FS_TRY(fs_generator_open(&generator, job->pipeline->session->backend, job->config, &job->pipeline->train,
                             checkpoint, job->config->evaluate.weights, error));
    const fs_status status = score_steps(job, &generator, steps, count, done, error);
    fs_generator_close(&generator);
    return status;
}

fs_status fs_job_score_kept(struct fs_job *job, enum fs_pipeline_end *end, struct fs_error *error)
{
    struct fs_kept_update kept[FS_KEPT_MAX];
    const int kept_count = fs_config_kept_updates(job->config, kept);
    bool done = true;
    for (int i = 0; done && i < kept_count; i++) {
        FS_TRY(score_kept(job, &kept[i], &done, error));
    }
    *end = done ? FS_PIPELINE_DONE : FS_PIPELINE_STOPPED;
    return FS_OK;
}

/* --- pictures --- */

/* OUT/samples/EXPERIMENT/METHOD-seedS.png: a row a step count, the same noise in every column. */
static fs_status draw_grid(struct fs_job *job, struct fs_generator *generator, const char *path, struct fs_error *error)
{
    const struct fs_evaluate_config *evaluate = &job->config->evaluate;
    const struct fs_dataset *shape = &job->pipeline->train;
    const int64_t dim = generator->sampler.dim;
    float *samples = fs_allocate((size_t)(evaluate->step_count * GRID_COLUMNS * dim), sizeof(float), "a grid", error);
    fs_status status = samples ? FS_OK : error->status;
    for (int i = 0; status == FS_OK && i < evaluate->step_count; i++) {
        status =
            fs_generate(generator, (uint32_t)job->config->seed, 0, GRID_COLUMNS, evaluate->steps[i],
                        fs_config_guidance(job->config, evaluate->steps[i]), samples + i * GRID_COLUMNS * dim, error);
    }
    if (status == FS_OK) {
        status = fs_png_write_grid(path, samples, evaluate->step_count, GRID_COLUMNS, shape->height, shape->width,
                                   shape->channels, 2, error);
    }
    free(samples);
    return status;
}

static fs_status ensure_grid(struct fs_job *job, struct fs_generator *generator, struct fs_error *error)
{
    const struct fs_pipeline *pipeline = job->pipeline;
    if (!pipeline->experiment_name) {
        return FS_OK;
    }
    char folder[1024], path[1536];
    snprintf(folder, sizeof folder, "%s/samples/%s", pipeline->session->out, pipeline->experiment_name);
    snprintf(path, sizeof path, "%s/%s-%.8s-seed%" PRId64 ".png", folder, job->config->method->name, job->id,
             job->config->seed);
    if (access(path, R_OK) == 0) {
        return FS_OK;
    }
    FS_TRY(fs_make_folder(folder, error));
    return draw_grid(job, generator, path, error);
}

/* --- a checkpoint, and the test split --- */

fs_status fs_job_score(struct fs_job *job, const char *checkpoint, enum fs_pipeline_end *end, struct fs_error *error)
{
    struct fs_generator generator;
    bool done = false;
    FS_TRY(fs_generator_open(&generator, job->pipeline->session->backend, job->config, &job->pipeline->train,
                             checkpoint, job->config->evaluate.weights, error));
    const struct fs_evaluate_config *evaluate = &job->config->evaluate;
    fs_status status = score_steps(job, &generator, evaluate->steps, evaluate->step_count, &done, error);
    if (status == FS_OK && done) {
        status = ensure_grid(job, &generator, error);
    }
    fs_generator_close(&generator);
    *end = done ? FS_PIPELINE_DONE : FS_PIPELINE_STOPPED;
    return status;
}

fs_status fs_job_score_data(struct fs_job *job, enum fs_pipeline_end *end, struct fs_error *error)
{
    const struct fs_pipeline *pipeline = job->pipeline;
    char source[96];
    struct missing missing;
    bool done;
    snprintf(source, sizeof source, "dataset:%s:test", job->config->dataset.name);
    missing.count = 0;
    for (int i = 0; i < job->config->evaluate.metric_count; i++) {
        struct fs_score_row row = score_row(job, source, 0, 0, i);
        row.noise_seed = 0;
        row.guidance_scale = 1;
        row.samples = row.samples < pipeline->test.count ? row.samples : pipeline->test.count;
        FS_TRY(look_up(job, &row, &missing, error));
    }
    FS_TRY(make_scores(job, NULL, &missing, &done, error));
    *end = done ? FS_PIPELINE_DONE : FS_PIPELINE_STOPPED;
    return FS_OK;
}
