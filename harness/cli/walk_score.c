/* The scoring part of a run's road: scores that are not there yet, and the grid of pictures. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness/build_info.h"
#include "harness/cli/walk.h"
#include "harness/config/plan.h"
#include "harness/data/png.h"
#include "harness/report/number.h"
#include "kernels/base/file.h"
#include "kernels/base/memory.h"

#define GRID_COLUMNS 12

/* --- scores --- */

static struct fs_score_row score_row(const struct fs_walk *walk, const char *source, int64_t update, int steps)
{
    const struct fs_evaluate_config *evaluate = &walk->config->evaluate;
    const struct fs_road *road = walk->road;
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
        .resize = fs_resize_name((int)road->extractor.resize),
        .extractor = road->extractor.label,
        .extractor_sha256 = road->extractor.sha256,
        .tap = road->extractor.taps[0].name,
        .reference = "train",
        .reference_sha256 = road->reference.sha256,
        .metric = fs_extractor_metric(&road->extractor, evaluate->metrics[0]),
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
        char left[FS_NUMBER_TEXT];
        const double rate = p->seconds > 0 ? (double)p->samples / p->seconds : 0;
        fs_duration(rate > 0 ? (int64_t)((double)(p->of - p->samples) / rate) : 0, left);
        fs_progress_line(progress, false, "%s: %d step%s: sample %" PRId64 "/%" PRId64 ", %.0f images/s, %s left",
                         walk->name, p->steps, p->steps == 1 ? "" : "s", p->samples, p->of, rate, left);
    }
}

/* Identity of a score, and whether it is already there (then it also becomes one of this experiment's). */
static fs_status look_up(const struct fs_walk *walk, const struct fs_score_row *row, char hash[FS_HASH_TEXT],
                         bool *found, struct fs_error *error)
{
    double value;
    FS_TRY(fs_score_hash(row, hash, error));
    return fs_store_find_score(walk->road->session->store, hash, walk->road->experiment, found, &value, error);
}

/* Computes and stores a score that is not there yet; one that is also becomes this experiment's. `generator` NULL: of
 * the test split. *done is false when a signal came first. */
static fs_status ensure_score(struct fs_walk *walk, struct fs_generator *generator, const struct fs_score_row *identity,
                              bool *done, struct fs_error *error)
{
    struct fs_score_row row = *identity;
    struct fs_road *road = walk->road;
    struct fs_session *session = road->session;
    const struct fs_scoring scoring = {
        .extractor = &road->extractor,
        .reference = &road->reference,
        .shape = &road->train,
        .stop = &fs_stop,
        .owner = walk,
        .progress = show_scoring,
    };
    char hash[FS_HASH_TEXT];
    FS_TRY(look_up(walk, &row, hash, done, error));
    if (*done) {
        return FS_OK;
    }
    FS_TRY(generator ? fs_score_generator(&scoring, generator, &row, done, error)
                     : fs_score_data(&scoring, &road->test, &row, done, error));
    if (!*done) {
        return FS_OK;
    }
    row.score_hash = hash;
    FS_TRY(fs_store_score(session->store, &row, road->experiment, session->environment, error));
    if (row.steps > 0) {
        fs_progress_note(&session->progress, "%s: %d step%s: %s %.4g", walk->name, row.steps, row.steps == 1 ? "" : "s",
                         row.metric, row.value);
    } else {
        fs_progress_note(&session->progress, "%s: %s %.4g", walk->name, row.metric, row.value);
    }
    return FS_OK;
}

fs_status fs_walk_scored(const struct fs_walk *walk, bool *scored, struct fs_error *error)
{
    const struct fs_evaluate_config *evaluate = &walk->config->evaluate;
    const int64_t update = fs_config_plan(walk->config).updates;
    *scored = true;
    for (int i = 0; *scored && i < evaluate->step_count; i++) {
        const struct fs_score_row row = score_row(walk, "run", update, evaluate->steps[i]);
        char hash[FS_HASH_TEXT];
        FS_TRY(look_up(walk, &row, hash, scored, error));
    }
    return FS_OK;
}

static fs_status score_steps(struct fs_walk *walk, struct fs_generator *generator, bool *done, struct fs_error *error)
{
    const struct fs_evaluate_config *evaluate = &walk->config->evaluate;
    *done = true;
    for (int i = 0; *done && i < evaluate->step_count; i++) {
        const struct fs_score_row row = score_row(walk, "run", generator->update, evaluate->steps[i]);
        FS_TRY(ensure_score(walk, generator, &row, done, error));
    }
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
    fs_status status = score_steps(walk, &generator, &done, error);
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
    bool done;
    snprintf(source, sizeof source, "dataset:%s:test", walk->config->dataset.name);
    struct fs_score_row row = score_row(walk, source, 0, 0);
    row.noise_seed = 0;
    row.guidance_scale = 1;
    row.samples = row.samples < road->test.count ? row.samples : road->test.count;
    FS_TRY(ensure_score(walk, NULL, &row, &done, error));
    *end = done ? FS_ROAD_DONE : FS_ROAD_STOPPED;
    return FS_OK;
}
