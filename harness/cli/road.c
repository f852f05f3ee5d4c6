/* The road of one run: teacher, pairs, training, scores, pictures. */
#include "harness/cli/road.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "harness/build_info.h"
#include "harness/config/plan.h"
#include "harness/data/png.h"
#include "harness/report/number.h"
#include "harness/train/checkpoint.h"
#include "harness/train/pairs.h"
#include "harness/train/trainer.h"
#include "kernels/base/file.h"
#include "kernels/base/hash.h"
#include "kernels/base/memory.h"

#define GRID_COLUMNS 12

/* One run on its road. */
struct walk {
    struct fs_road *road;
    const struct fs_config *config;
    char id[FS_HASH_TEXT];
    char folder[1024];
    int lock;
    const char *what; /* for progress: "shortcut, seed 0" */
    char name[96];
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static double peak_bytes(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return 1024.0 * (double)usage.ru_maxrss;
}

fs_status fs_road_open(struct fs_road *road, struct fs_session *session, const struct fs_config *config,
                       struct fs_error *error)
{
    *road = (struct fs_road){.session = session};
    char cache[1024];
    snprintf(cache, sizeof cache, "%s/references", session->out);
    fs_status status = fs_dataset_open(&config->dataset, FS_SPLIT_TRAIN, &road->train, error);
    if (status == FS_OK) {
        status = fs_dataset_open(&config->dataset, FS_SPLIT_TEST, &road->test, error);
    }
    if (status == FS_OK) {
        status = fs_extractor_open(config->evaluate.extractors[0], session->host, &road->extractor, error);
    }
    if (status == FS_OK) {
        fs_progress_note(&session->progress, "reference: features of %" PRId64 " training pictures", road->train.count);
        status = fs_reference_open(&road->reference, &road->extractor, &road->train, cache, error);
    }
    if (status != FS_OK) {
        fs_road_close(road);
    }
    return status;
}

void fs_road_close(struct fs_road *road)
{
    fs_reference_close(&road->reference);
    if (road->extractor.state) {
        fs_extractor_close(&road->extractor);
    }
    fs_dataset_close(&road->train);
    fs_dataset_close(&road->test);
    *road = (struct fs_road){0};
}

fs_status fs_run_checkpoint(const char *out, const char *run, char path[1024], struct fs_error *error)
{
    char folder[1024];
    int64_t update;
    snprintf(folder, sizeof folder, "%s/runs/%s", out, run);
    FS_TRY(fs_checkpoint_newest(folder, path, &update, error));
    if (update < 0) {
        return fs_fail(error, FS_USAGE, "run %.8s: there is no checkpoint in %s: `fewstep run` trains it again", run,
                       folder);
    }
    return FS_OK;
}

/* --- the lock of a run's folder
 * --------------------------------------------------------------------------------------- */

static fs_status take_lock(struct walk *walk, bool wait, bool *taken, struct fs_error *error)
{
    char path[1088];
    FS_TRY(fs_make_folder(walk->folder, error));
    snprintf(path, sizeof path, "%s/lock", walk->folder);
    walk->lock = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    if (walk->lock < 0) {
        return fs_fail(error, FS_USAGE, "%s: %s", path, strerror(errno));
    }
    while (flock(walk->lock, LOCK_EX | LOCK_NB) != 0) {
        if (!wait || fs_stop) {
            close(walk->lock);
            walk->lock = -1;
            *taken = false;
            return FS_OK;
        }
        sleep(1);
    }
    *taken = true;
    return FS_OK;
}

static void release_lock(struct walk *walk)
{
    if (walk->lock >= 0) {
        close(walk->lock);
        walk->lock = -1;
    }
}

/* --- training
 * ----------------------------------------------------------------------------------------------------------- */

static void show_training(void *owner, const struct fs_train_progress *p)
{
    struct walk *walk = owner;
    struct fs_session *session = walk->road->session;
    const bool last = p->update == p->updates;
    if (fs_progress_due(&session->progress, last)) {
        char left[FS_NUMBER_TEXT], share[32] = "";
        fs_duration((int64_t)p->seconds_left, left);
        if (session->peak_flops > 0) {
            snprintf(share, sizeof share, ", %.0f %% of peak", 100.0 * p->flops_per_second / session->peak_flops);
        }
        fs_progress_line(&session->progress, last,
                         "%s: update %" PRId64 "/%" PRId64 " (%.0f %%), loss %.4f, %.2f updates/s%s, %s left",
                         walk->name, p->update, p->updates, 100.0 * (double)p->update / (double)p->updates, p->loss,
                         p->updates_per_second, share, left);
    }
}

static fs_status keep_curve(void *owner, const struct fs_curve_point *points, int count, struct fs_error *error)
{
    const struct walk *walk = owner;
    return fs_store_curve(walk->road->session->store, walk->id, points, count, error);
}

static fs_status keep_checkpoint(void *owner, int64_t update, const char *path, struct fs_error *error)
{
    const struct walk *walk = owner;
    char sha256[FS_HASH_TEXT];
    FS_TRY(fs_sha256_file(path, sha256, error));
    FILE *file = fopen(path, "rb");
    long bytes = 0;
    if (file) {
        fseek(file, 0, SEEK_END);
        bytes = ftell(file);
        fclose(file);
    }
    return fs_store_checkpoint(walk->road->session->store, walk->id, update, path, sha256, bytes, error);
}

static fs_status train_here(struct walk *walk, const char *teacher, const char *pairs, bool *finished,
                            struct fs_error *error)
{
    struct fs_session *session = walk->road->session;
    const struct fs_training training = {
        .backend = session->backend,
        .config = walk->config,
        .data = &walk->road->train,
        .run = walk->id,
        .source_hash = fs_build_info.source_hash,
        .folder = walk->folder,
        .teacher = teacher,
        .pairs = pairs,
        .peak_flops = session->peak_flops,
        .stop = &fs_stop,
        .owner = walk,
        .progress = show_training,
        .curve = keep_curve,
        .checkpointed = keep_checkpoint,
    };
    const double begin = now();
    FS_TRY(fs_store_run_state(session->store, walk->id, "training", NULL, 0, 0, error));
    const fs_status status = fs_train(&training, finished, error);
    struct fs_error ignored;
    const char *state = status != FS_OK ? "failed" : *finished ? "trained" : "training";
    const fs_status noted = fs_store_run_state(session->store, walk->id, state, status != FS_OK ? error->text : NULL,
                                               now() - begin, peak_bytes(), status != FS_OK ? &ignored : error);
    return status != FS_OK ? status : noted;
}

/* --- who is who
 * ------------------------------------------------------------------------------------------------------------- */

static fs_status begin_walk(struct walk *walk, struct fs_road *road, const struct fs_config *config,
                            struct fs_error *error)
{
    *walk = (struct walk){.road = road, .config = config, .lock = -1};
    snprintf(walk->name, sizeof walk->name, "%s, seed %" PRId64, config->method->label, config->seed);
    FS_TRY(fs_run_id(config, road->train.sha256, fs_build_info.source_hash, walk->id, error));
    char other[FS_HASH_TEXT];
    bool found;
    FS_TRY(fs_store_find_half_trained(road->session->store, config->train_hash, config->seed, road->train.sha256,
                                      fs_build_info.source_hash, other, &found, error));
    if (found && road->adopt) {
        memcpy(walk->id, other, sizeof other);
    } else if (found) {
        fs_progress_note(&road->session->progress,
                         "%s: run %.8s is half-trained by another source and left alone; --adopt goes on with it",
                         walk->name, other);
    }
    snprintf(walk->folder, sizeof walk->folder, "%s/runs/%s", road->session->out, walk->id);
    return FS_OK;
}

static fs_status register_run(const struct walk *walk, const char *teacher, bool is_teacher, struct fs_error *error)
{
    const struct fs_config *config = walk->config;
    struct fs_cost cost;
    FS_TRY(fs_config_cost(config, &cost, error));
    const struct fs_run_row row = {
        .id = walk->id,
        .method = config->method->name,
        .dataset = config->dataset.name,
        .model = config->model.preset,
        .config_json = config->json,
        .train_hash = config->train_hash,
        .data_sha256 = walk->road->train.sha256,
        .source_hash = fs_build_info.source_hash,
        .teacher = teacher,
        .is_teacher = is_teacher,
        .seed = config->seed,
        .updates = config->train.updates,
        .flops = cost.student_flops + cost.teacher_flops + cost.pair_flops,
    };
    return fs_store_run(walk->road->session->store, &row, is_teacher ? 0 : walk->road->experiment,
                        walk->road->session->environment, error);
}

static bool trained_already(const struct walk *walk, char path[1024])
{
    struct fs_error ignored;
    int64_t update;
    return fs_checkpoint_newest(walk->folder, path, &update, &ignored) == FS_OK &&
           update == fs_config_plan(walk->config).updates;
}

/* --- the teacher and its pairs
 * ------------------------------------------------------------------------------------------------ */

/* Trains the teacher unless it is there; `id` and its checkpoint. Waits where another process trains it. */
static fs_status ensure_teacher(struct fs_road *road, const struct fs_config *student, char id[FS_HASH_TEXT],
                                char checkpoint[1024], enum fs_road_end *end, struct fs_error *error)
{
    struct fs_config config = {0};
    struct walk walk;
    bool locked = false, finished = false;
    FS_TRY(fs_config_teacher(student, &config, error));
    fs_status status = begin_walk(&walk, road, &config, error);
    snprintf(walk.name, sizeof walk.name, "Teacher, seed %" PRId64, config.seed);
    if (status == FS_OK) {
        memcpy(id, walk.id, sizeof walk.id);
        status = register_run(&walk, NULL, true, error);
    }
    if (status == FS_OK) {
        status = take_lock(&walk, true, &locked, error);
    }
    if (status == FS_OK && locked) {
        finished = trained_already(&walk, checkpoint);
        status = finished ? FS_OK : train_here(&walk, NULL, NULL, &finished, error);
    }
    if (status == FS_OK && finished && !trained_already(&walk, checkpoint)) {
        status = fs_fail(error, FS_FAILED, "%s: the teacher's checkpoint is gone", walk.folder);
    }
    release_lock(&walk);
    fs_config_free(&config);
    *end = finished ? FS_ROAD_DONE : FS_ROAD_STOPPED;
    return status;
}

static void show_pairs(void *owner, int64_t done, int64_t count)
{
    struct walk *walk = owner;
    struct fs_progress *progress = &walk->road->session->progress;
    if (fs_progress_due(progress, done == count)) {
        fs_progress_line(progress, done == count, "%s: pair %" PRId64 "/%" PRId64, walk->name, done, count);
    }
}

static fs_status ensure_pairs(struct walk *walk, const char *teacher, const char *checkpoint, char folder[1024],
                              bool *finished, struct fs_error *error)
{
    struct fs_road *road = walk->road;
    struct fs_config config = {0};
    struct fs_generator generator;
    char name[FS_HASH_TEXT];
    FS_TRY(fs_pairs_name(teacher, walk->config, name, error));
    snprintf(folder, 1024, "%s/pairs/%.16s", road->session->out, name);
    /* The pairs are drawn by the teacher, so its method says how it is conditioned. */
    FS_TRY(fs_config_teacher(walk->config, &config, error));
    config.settings = walk->config->settings;
    fs_status status =
        fs_generator_open(&generator, road->session->backend, &config, &road->train, checkpoint, FS_WEIGHTS_EMA, error);
    if (status == FS_OK) {
        status = fs_pairs_make(folder, &generator.sampler, &config, &fs_stop, show_pairs, walk, finished, error);
        fs_generator_close(&generator);
    }
    fs_config_free(&config);
    return status;
}

/* --- scores
 * ---------------------------------------------------------------------------------------------------------------------
 */

static struct fs_score_row score_row(const struct walk *walk, const char *source, int64_t update, int steps)
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
        .resize = "none",
        .extractor = road->extractor.name,
        .extractor_sha256 = road->extractor.sha256,
        .tap = road->extractor.taps[0].name,
        .reference = "train",
        .reference_sha256 = road->reference.sha256,
        .metric = evaluate->metrics[0],
        .precision = walk->config->train.precision == FS_PRECISION_BF16 ? "bf16" : "fp32",
        .device = road->session->backend->name,
        .source_hash = fs_build_info.source_hash,
        .low = NAN,
        .high = NAN,
    };
}

static void show_scoring(void *owner, const struct fs_score_progress *p)
{
    struct walk *walk = owner;
    struct fs_progress *progress = &walk->road->session->progress;
    if (fs_progress_due(progress, false)) {
        char left[FS_NUMBER_TEXT];
        const double rate = p->seconds > 0 ? (double)p->samples / p->seconds : 0;
        fs_duration(rate > 0 ? (int64_t)((double)(p->of - p->samples) / rate) : 0, left);
        fs_progress_line(progress, false, "%s: %d step%s: sample %" PRId64 "/%" PRId64 ", %.0f images/s, %s left",
                         walk->name, p->steps, p->steps == 1 ? "" : "s", p->samples, p->of, rate, left);
    }
}

/* Computes and stores one score unless it is there. `generator` NULL: the test split. */
static fs_status ensure_score(struct walk *walk, struct fs_generator *generator, struct fs_score_row *row, bool *done,
                              struct fs_error *error)
{
    struct fs_road *road = walk->road;
    struct fs_session *session = road->session;
    const struct fs_scoring scoring = {
        .config = walk->config,
        .extractor = &road->extractor,
        .reference = &road->reference,
        .shape = &road->train,
        .stop = &fs_stop,
        .owner = walk,
        .progress = show_scoring,
    };
    FS_TRY(generator ? fs_score_generator(&scoring, generator, row, done, error)
                     : fs_score_data(&scoring, &road->test, row, done, error));
    if (!*done) {
        return FS_OK;
    }
    FS_TRY(fs_store_score(session->store, row, road->experiment, session->environment, error));
    if (row->steps > 0) {
        fs_progress_note(&session->progress, "%s: %d step%s: %s %.4g", walk->name, row->steps,
                         row->steps == 1 ? "" : "s", row->metric, row->value);
    } else {
        fs_progress_note(&session->progress, "%s: %s %.4g", walk->name, row->metric, row->value);
    }
    return FS_OK;
}

/* Identity of a score, and whether it is already there (then it also becomes one of this experiment's). */
static fs_status look_up(const struct walk *walk, struct fs_score_row *row, char hash[FS_HASH_TEXT], bool *found,
                         struct fs_error *error)
{
    double value;
    FS_TRY(fs_score_hash(row, hash, error));
    row->score_hash = hash;
    return fs_store_find_score(walk->road->session->store, hash, walk->road->experiment, found, &value, error);
}

/* Step counts of this run that have no score yet. */
static fs_status missing_steps(const struct walk *walk, int64_t update, int steps[FS_STEPS_MAX], int *count,
                               struct fs_error *error)
{
    const struct fs_evaluate_config *evaluate = &walk->config->evaluate;
    *count = 0;
    for (int i = 0; i < evaluate->step_count; i++) {
        struct fs_score_row row = score_row(walk, "run", update, evaluate->steps[i]);
        char hash[FS_HASH_TEXT];
        bool found;
        FS_TRY(look_up(walk, &row, hash, &found, error));
        if (!found) {
            steps[(*count)++] = evaluate->steps[i];
        }
    }
    return FS_OK;
}

static fs_status score_steps(struct walk *walk, struct fs_generator *generator, const int *steps, int count,
                             enum fs_road_end *end, struct fs_error *error)
{
    for (int i = 0; i < count; i++) {
        struct fs_score_row row = score_row(walk, "run", generator->update, steps[i]);
        char hash[FS_HASH_TEXT];
        bool found, done = true;
        FS_TRY(look_up(walk, &row, hash, &found, error));
        if (!found) {
            FS_TRY(ensure_score(walk, generator, &row, &done, error));
        }
        if (!done) {
            *end = FS_ROAD_STOPPED;
            return FS_OK;
        }
    }
    *end = FS_ROAD_DONE;
    return FS_OK;
}

/* --- pictures
 * ----------------------------------------------------------------------------------------------------------------------
 */

/* OUT/samples/EXPERIMENT/METHOD-seedS.png: a row a step count, the same noise in every column. */
static fs_status draw_grid(struct walk *walk, struct fs_generator *generator, const char *path, struct fs_error *error)
{
    const struct fs_evaluate_config *evaluate = &walk->config->evaluate;
    const struct fs_dataset *shape = &walk->road->train;
    const int64_t dim = generator->sampler.dim;
    float *samples = fs_allocate((size_t)(evaluate->step_count * GRID_COLUMNS * dim), sizeof(float), "a grid", error);
    fs_status status = samples ? FS_OK : error->status;
    for (int i = 0; status == FS_OK && i < evaluate->step_count; i++) {
        status =
            fs_generate(generator, (uint32_t)walk->config->seed, 0, GRID_COLUMNS, -1, evaluate->steps[i],
                        fs_config_guidance(walk->config, evaluate->steps[i]), samples + i * GRID_COLUMNS * dim, error);
    }
    if (status == FS_OK) {
        status = fs_png_write_grid(path, samples, evaluate->step_count, GRID_COLUMNS, shape->height, shape->width,
                                   shape->channels, 2, error);
    }
    free(samples);
    return status;
}

static fs_status ensure_grid(struct walk *walk, struct fs_generator *generator, struct fs_error *error)
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

/* --- the whole road
 * -------------------------------------------------------------------------------------------------------------------
 */

static fs_status ensure_trained(struct walk *walk, char checkpoint[1024], enum fs_road_end *end, struct fs_error *error)
{
    const struct fs_config *config = walk->config;
    const bool needs_teacher = config->method->teacher_share(&config->settings) > 0;
    char teacher[FS_HASH_TEXT], teacher_checkpoint[1024], pairs[1024] = "";
    bool finished = trained_already(walk, checkpoint);
    *end = FS_ROAD_DONE;
    if (needs_teacher) {
        FS_TRY(ensure_teacher(walk->road, config, teacher, teacher_checkpoint, end, error));
    }
    if (*end != FS_ROAD_DONE) {
        return FS_OK;
    }
    FS_TRY(register_run(walk, needs_teacher ? teacher : NULL, false, error));
    if (finished) {
        return FS_OK;
    }
    const struct fs_method_plan plan = fs_config_plan(config);
    struct fs_phase phases[FS_PHASES_MAX];
    config->method->phases(&plan, phases);
    if (phases[0].on_pairs) {
        FS_TRY(ensure_pairs(walk, teacher, teacher_checkpoint, pairs, &finished, error));
    }
    if (!phases[0].on_pairs || finished) {
        FS_TRY(train_here(walk, needs_teacher ? teacher_checkpoint : NULL, phases[0].on_pairs ? pairs : NULL, &finished,
                          error));
    }
    *end = finished && trained_already(walk, checkpoint) ? FS_ROAD_DONE : FS_ROAD_STOPPED;
    return FS_OK;
}

static fs_status score_checkpoint(struct walk *walk, const char *checkpoint, const int *steps, int count,
                                  enum fs_road_end *end, struct fs_error *error)
{
    struct fs_generator generator;
    FS_TRY(fs_generator_open(&generator, walk->road->session->backend, walk->config, &walk->road->train, checkpoint,
                             walk->config->evaluate.weights, error));
    fs_status status = score_steps(walk, &generator, steps, count, end, error);
    if (status == FS_OK && *end == FS_ROAD_DONE) {
        status = ensure_grid(walk, &generator, error);
    }
    fs_generator_close(&generator);
    return status;
}

static fs_status walk_along(struct walk *walk, enum fs_road_end *end, struct fs_error *error)
{
    int steps[FS_STEPS_MAX], count;
    char checkpoint[1024];
    FS_TRY(missing_steps(walk, fs_config_plan(walk->config).updates, steps, &count, error));
    if (count == 0 && !trained_already(walk, checkpoint)) {
        *end = FS_ROAD_DONE; /* all scores are there, and the weights were cleared away */
        return FS_OK;
    }
    FS_TRY(ensure_trained(walk, checkpoint, end, error));
    return *end == FS_ROAD_DONE ? score_checkpoint(walk, checkpoint, steps, count, end, error) : FS_OK;
}

fs_status fs_road_run(struct fs_road *road, const struct fs_config *config, enum fs_road_end *end,
                      struct fs_error *error)
{
    struct walk walk;
    bool locked = false;
    FS_TRY(begin_walk(&walk, road, config, error));
    FS_TRY(take_lock(&walk, false, &locked, error));
    if (!locked) {
        *end = FS_ROAD_TAKEN;
        return FS_OK;
    }
    const fs_status status = walk_along(&walk, end, error);
    release_lock(&walk);
    return status;
}

fs_status fs_road_floor(struct fs_road *road, const struct fs_config *config, enum fs_road_end *end,
                        struct fs_error *error)
{
    struct walk walk = {.road = road, .config = config, .lock = -1};
    char source[96], hash[FS_HASH_TEXT];
    bool found, done = true;
    snprintf(walk.name, sizeof walk.name, "Data (test split)");
    snprintf(source, sizeof source, "dataset:%s:test", config->dataset.name);
    struct fs_score_row row = score_row(&walk, source, 0, 0);
    row.noise_seed = 0;
    row.guidance_scale = 1;
    row.samples = row.samples < road->test.count ? row.samples : road->test.count;
    FS_TRY(look_up(&walk, &row, hash, &found, error));
    if (!found) {
        FS_TRY(ensure_score(&walk, NULL, &row, &done, error));
    }
    *end = done ? FS_ROAD_DONE : FS_ROAD_STOPPED;
    return FS_OK;
}

fs_status fs_road_score(struct fs_road *road, const struct fs_config *config, const char *run, const char *checkpoint,
                        enum fs_road_end *end, struct fs_error *error)
{
    struct walk walk = {.road = road, .config = config, .lock = -1};
    snprintf(walk.name, sizeof walk.name, "%s, seed %" PRId64, config->method->label, config->seed);
    snprintf(walk.id, sizeof walk.id, "%s", run);
    return score_checkpoint(&walk, checkpoint, config->evaluate.steps, config->evaluate.step_count, end, error);
}
