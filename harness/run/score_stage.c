/* The scoring part of a run's road: scores that are not there yet, and the grid of pictures. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness/build_info.h"
#include "harness/run/job.h"
#include "harness/config/cost.h"
#include "harness/data/png.h"
#include "harness/report/number.h"
#include "harness/checkpoint/checkpoint.h"
#include "kernels/base/file.h"
#include "kernels/base/memory.h"

#define GRID_COLUMNS 12

/* --- scores --- */

/* `metric`: an index into the configuration's. A metric of the pictures alone does not depend on the extractor. */
static struct fs_score_row score_row(const struct fs_walk *walk, const char *source, int64_t update, int steps,
                                     int metric)
{
    const struct fs_evaluate_config *evaluate = &walk->config->evaluate;
    const struct fs_road *road = walk->road;
    const struct fs_metric *known = fs_metric_find(evaluate->metrics[metric]);
    struct fs_error ignored; /* fs_road_open has seen to the taps */
    int tap;
    fs_metric_tap(known, &road->extractor, &tap, &ignored);
    return (struct fs_score_row){
        .run = walk->id[0] ? walk->id : NULL,
        .source = source,
        .update = update,
        .weights = evaluate->weights == FS_WEIGHTS_EMA ? "ema" : "raw",
        .steps = steps,
        .guidance_scale = fs_config_guidance(walk->config, steps),
        .labels = walk->config->model.classes ? "index mod classes" : "null",
        .noise_seed = walk->config->seed,
        .samples = evaluate->samples,
        .quantize = evaluate->quantize,
        .resize = fs_resize_name(known->of_pictures ? FS_RESIZE_NONE : (int)road->extractor.resize),
        .extractor = known->of_pictures ? FS_PIXELS : road->extractor.label,
        .extractor_sha256 = known->of_pictures ? "" : road->extractor.sha256,
        .tap = known->of_pictures ? FS_PIXELS : road->extractor.taps[tap].name,
        .reference = "train",
        .reference_sha256 = road->reference.sha256,
        .metric = fs_extractor_metric(&road->extractor, known->name),
        .precision = walk->config->train.precision == FS_PRECISION_BF16 ? "bf16" : "fp32",
        .device = road->session->backend->name,
        .source_hash = fs_build_info.source_hash,
        .low = NAN,
        .high = NAN,
    };
}

static void show_scoring(void *owner, const struct fs_score_progress *p)
{
    struct fs_walk *walk = owner;
    struct fs_progress *progress = &walk->road->session->progress;
    if (fs_progress_due(progress, false)) {
        char left[FS_NUMBER_TEXT], steps[32] = "";
        const double rate = p->seconds > 0 ? (double)p->done / p->seconds : 0;
        fs_duration(rate > 0 ? (int64_t)((double)(p->of - p->done) / rate) : 0, left);
        if (p->steps > 0) {
            snprintf(steps, sizeof steps, "%d step%s: ", p->steps, p->steps == 1 ? "" : "s");
        }
        if (p->metric) {
            fs_progress_line(progress, false, "%s: %s%s, part %" PRId64 "/%" PRId64 ", %s left", walk->name, steps,
                             p->metric, p->done, p->of, left);
        } else {
            fs_progress_line(progress, false, "%s: %ssample %" PRId64 "/%" PRId64 ", %.0f images/s, %s left",
                             walk->name, steps, p->done, p->of, rate, left);
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
static fs_status look_up(const struct fs_walk *walk, const struct fs_score_row *row, struct missing *missing,
                         struct fs_error *error)
{
    double value;
    bool found;
    char *hash = missing->hashes[missing->count];
    FS_TRY(fs_score_hash(row, hash, error));
    FS_TRY(fs_store_find_score(walk->road->session->store, hash, walk->road->experiment, &found, &value, error));
    if (!found) {
        missing->rows[missing->count] = *row;
        missing->rows[missing->count++].score_hash = hash;
    }
    return FS_OK;
}

static fs_status look_up_run(const struct fs_walk *walk, int64_t update, int steps, struct missing *missing,
                             struct fs_error *error)
{
    missing->count = 0;
    for (int i = 0; i < walk->config->evaluate.metric_count; i++) {
        const struct fs_score_row row = score_row(walk, "run", update, steps, i);
        FS_TRY(look_up(walk, &row, missing, error));
    }
    return FS_OK;
}

static fs_status keep_score(struct fs_walk *walk, const struct fs_score_row *row, struct fs_error *error)
{
    struct fs_session *session = walk->road->session;
    FS_TRY(fs_store_score(session->store, row, walk->road->experiment, session->environment, error));
    if (row->steps > 0) {
        fs_progress_note(&session->progress, "%s: %d step%s: %s %.4g", walk->name, row->steps,
                         row->steps == 1 ? "" : "s", row->metric, row->value);
    } else {
        fs_progress_note(&session->progress, "%s: %s %.4g", walk->name, row->metric, row->value);
    }
    return FS_OK;
}

/* Computes and stores what is missing. `generator` NULL: of the test split. *done is false when a signal came first. */
static fs_status make_scores(struct fs_walk *walk, struct fs_generator *generator, struct missing *missing, bool *done,
                             struct fs_error *error)
{
    struct fs_road *road = walk->road;
    const struct fs_scoring scoring = {
        .extractor = &road->extractor,
        .reference = &road->reference,
        .shape = &road->train,
        .stop = &fs_stop,
        .owner = walk,
        .progress = show_scoring,
    };
    *done = true;
    if (missing->count == 0) {
        return FS_OK;
    }
    fs_status status = generator ? fs_score_generator(&scoring, generator, missing->rows, missing->count, done, error)
                                 : fs_score_data(&scoring, &road->test, missing->rows, missing->count, done, error);
    for (int i = 0; i < missing->count; i++) {
        if (status == FS_OK && *done) {
            status = keep_score(walk, &missing->rows[i], error);
        }
        free(missing->rows[i].spectrum);
    }
    return status;
}

/* The numbers of steps that kept weights are scored at: *count of them. */
static const int *steps_of(const struct fs_walk *walk, const struct fs_kept_update *kept, int *count)
{
    *count = kept->steps > 0 ? 1 : walk->config->evaluate.step_count;
    return kept->steps > 0 ? &kept->steps : walk->config->evaluate.steps;
}

static fs_status all_there(const struct fs_walk *walk, int64_t update, const int *steps, int count, bool *all,
                           struct fs_error *error)
{
    *all = true;
    for (int i = 0; *all && i < count; i++) {
        struct missing missing;
        FS_TRY(look_up_run(walk, update, steps[i], &missing, error));
        *all = missing.count == 0;
    }
    return FS_OK;
}

fs_status fs_walk_scored(const struct fs_walk *walk, bool *scored, struct fs_error *error)
{
    struct fs_kept_update kept[FS_KEPT_MAX];
    const int kept_count = fs_config_kept_updates(walk->config, kept);
    const struct fs_evaluate_config *evaluate = &walk->config->evaluate;
    const int64_t update = fs_config_plan(walk->config).updates;
    FS_TRY(all_there(walk, update, evaluate->steps, evaluate->step_count, scored, error));
    for (int i = 0; *scored && i < kept_count; i++) {
        int count;
        const int *steps = steps_of(walk, &kept[i], &count);
        FS_TRY(all_there(walk, kept[i].update, steps, count, scored, error));
    }
    return FS_OK;
}

static fs_status score_steps(struct fs_walk *walk, struct fs_generator *generator, const int *steps, int count,
                             bool *done, struct fs_error *error)
{
    *done = true;
    for (int i = 0; *done && i < count; i++) {
        struct missing missing;
        FS_TRY(look_up_run(walk, generator->update, steps[i], &missing, error));
        FS_TRY(make_scores(walk, generator, &missing, done, error));
    }
    return FS_OK;
}

static fs_status score_kept(struct fs_walk *walk, const struct fs_kept_update *kept, bool *done, struct fs_error *error)
{
    char checkpoint[1024];
    struct fs_generator generator;
    int count;
    bool all;
    const int *steps = steps_of(walk, kept, &count);
    FS_TRY(all_there(walk, kept->update, steps, count, &all, error));
    if (all) {
        return FS_OK;
    }
    fs_checkpoint_path(walk->folder, kept->update, checkpoint);
    if (access(checkpoint, R_OK) != 0) {
        fs_progress_note(&walk->road->session->progress,
                         "%s: the weights of update %" PRId64 " are not there, so they are not scored: the run was "
                         "trained before evaluate.updates asked for them, or they were cleared away",
                         walk->name, kept->update);
        return FS_OK;
    }
    FS_TRY(fs_generator_open(&generator, walk->road->session->backend, walk->config, &walk->road->train, checkpoint,
                             walk->config->evaluate.weights, error));
    const fs_status status = score_steps(walk, &generator, steps, count, done, error);
    fs_generator_close(&generator);
    return status;
}

fs_status fs_walk_score_kept(struct fs_walk *walk, enum fs_road_end *end, struct fs_error *error)
{
    struct fs_kept_update kept[FS_KEPT_MAX];
    const int kept_count = fs_config_kept_updates(walk->config, kept);
    bool done = true;
    for (int i = 0; done && i < kept_count; i++) {
        FS_TRY(score_kept(walk, &kept[i], &done, error));
    }
    *end = done ? FS_ROAD_DONE : FS_ROAD_STOPPED;
    return FS_OK;
}

/* --- pictures --- */

/* OUT/samples/EXPERIMENT/METHOD-seedS.png: a row a step count, the same noise in every column. */
static fs_status draw_grid(struct fs_walk *walk, struct fs_generator *generator, const char *path,
                           struct fs_error *error)
{
    const struct fs_evaluate_config *evaluate = &walk->config->evaluate;
    const struct fs_dataset *shape = &walk->road->train;
    const int64_t dim = generator->sampler.dim;
    float *samples = fs_allocate((size_t)(evaluate->step_count * GRID_COLUMNS * dim), sizeof(float), "a grid", error);
    fs_status status = samples ? FS_OK : error->status;
    for (int i = 0; status == FS_OK && i < evaluate->step_count; i++) {
        status =
            fs_generate(generator, (uint32_t)walk->config->seed, 0, GRID_COLUMNS, evaluate->steps[i],
                        fs_config_guidance(walk->config, evaluate->steps[i]), samples + i * GRID_COLUMNS * dim, error);
    }
    if (status == FS_OK) {
        status = fs_png_write_grid(path, samples, evaluate->step_count, GRID_COLUMNS, shape->height, shape->width,
                                   shape->channels, 2, error);
    }
    free(samples);
    return status;
}

static fs_status ensure_grid(struct fs_walk *walk, struct fs_generator *generator, struct fs_error *error)
{
    const struct fs_road *road = walk->road;
    if (!road->experiment_name) {
        return FS_OK;
    }
    char folder[1024], path[1536];
    snprintf(folder, sizeof folder, "%s/samples/%s", road->session->out, road->experiment_name);
    snprintf(path, sizeof path, "%s/%s-%.8s-seed%" PRId64 ".png", folder, walk->config->method->name, walk->id,
             walk->config->seed);
    if (access(path, R_OK) == 0) {
        return FS_OK;
    }
    FS_TRY(fs_make_folder(folder, error));
    return draw_grid(walk, generator, path, error);
}

/* --- a checkpoint, and the test split --- */

fs_status fs_walk_score(struct fs_walk *walk, const char *checkpoint, enum fs_road_end *end, struct fs_error *error)
{
    struct fs_generator generator;
    bool done = false;
    FS_TRY(fs_generator_open(&generator, walk->road->session->backend, walk->config, &walk->road->train, checkpoint,
                             walk->config->evaluate.weights, error));
    const struct fs_evaluate_config *evaluate = &walk->config->evaluate;
    fs_status status = score_steps(walk, &generator, evaluate->steps, evaluate->step_count, &done, error);
    if (status == FS_OK && done) {
        status = ensure_grid(walk, &generator, error);
    }
    fs_generator_close(&generator);
    *end = done ? FS_ROAD_DONE : FS_ROAD_STOPPED;
    return status;
}

fs_status fs_walk_score_data(struct fs_walk *walk, enum fs_road_end *end, struct fs_error *error)
{
    const struct fs_road *road = walk->road;
    char source[96];
    struct missing missing;
    bool done;
    snprintf(source, sizeof source, "dataset:%s:test", walk->config->dataset.name);
    missing.count = 0;
    for (int i = 0; i < walk->config->evaluate.metric_count; i++) {
        struct fs_score_row row = score_row(walk, source, 0, 0, i);
        row.noise_seed = 0;
        row.guidance_scale = 1;
        row.samples = row.samples < road->test.count ? row.samples : road->test.count;
        FS_TRY(look_up(walk, &row, &missing, error));
    }
    FS_TRY(make_scores(walk, NULL, &missing, &done, error));
    *end = done ? FS_ROAD_DONE : FS_ROAD_STOPPED;
    return FS_OK;
}
