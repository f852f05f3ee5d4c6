/* The road of one run: teacher, pairs, training, scores, pictures. */
#include "harness/run/pipeline.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "harness/run/job.h"
#include "harness/report/number.h"
#include "harness/checkpoint/checkpoint.h"

/* Every metric must have its tap; too few samples for one are said. */
static fs_status check_metrics(const struct fs_road *road, const struct fs_evaluate_config *evaluate,
                               struct fs_error *error)
{
    char last[256] = "";
    for (int i = 0; i < evaluate->metric_count; i++) {
        const struct fs_metric *metric = fs_metric_find(evaluate->metrics[i]);
        char warning[256];
        int tap = 0;
        if (!metric->of_pictures) {
            FS_TRY(fs_metric_tap(metric, &road->extractor, &tap, error));
        }
        if (fs_metric_warning(metric, evaluate->samples, road->extractor.taps[tap].dim, warning, sizeof warning) &&
            strcmp(warning, last) != 0) {
            fs_progress_note(&road->session->progress, "warning: %s", warning);
            snprintf(last, sizeof last, "%s", warning);
        }
    }
    return FS_OK;
}

static void show_reference(void *owner, int64_t done, int64_t of, double rate)
{
    struct fs_progress *progress = owner;
    if (fs_progress_due(progress, done == of)) {
        char left[FS_NUMBER_TEXT];
        fs_duration((int64_t)((double)(of - done) / rate), left);
        fs_progress_line(progress, done == of,
                         "reference: training picture %" PRId64 "/%" PRId64 ", %.0f images/s, %s left", done, of, rate,
                         left);
    }
}

fs_status fs_road_open(struct fs_road *road, struct fs_session *session, const struct fs_config *config,
                       struct fs_error *error)
{
    *road = (struct fs_road){.session = session};
    const struct fs_reference_watch watch = {&fs_stop, &session->progress, show_reference};
    char cache[1024];
    snprintf(cache, sizeof cache, "%s/references", session->out);
    fs_status status = fs_dataset_open(&config->dataset, FS_SPLIT_TRAIN, &road->train, error);
    if (status == FS_OK) {
        status = fs_dataset_open(&config->dataset, FS_SPLIT_TEST, &road->test, error);
    }
    if (status == FS_OK) {
        status = fs_extractor_open(config->evaluate.extractors[0], session->backend, &road->extractor, error);
    }
    if (status == FS_OK) {
        fs_extractor_set_resize(&road->extractor, config->evaluate.resize);
        status = check_metrics(road, &config->evaluate, error);
    }
    if (status == FS_OK) {
        status = fs_reference_open(&road->reference, fs_reference_parts(&config->evaluate), &road->extractor,
                                   &road->train, cache, &watch, error);
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

/* --- the whole road --- */

static fs_status walk_along(struct fs_walk *walk, enum fs_road_end *end, struct fs_error *error)
{
    char checkpoint[1024];
    bool scored;
    FS_TRY(fs_walk_scored(walk, &scored, error));
    if (scored && !fs_walk_trained(walk, checkpoint)) {
        *end = FS_ROAD_DONE; /* all scores are there, and the weights were cleared away */
        return FS_OK;
    }
    FS_TRY(fs_walk_train(walk, checkpoint, end, error));
    if (*end == FS_ROAD_DONE) {
        FS_TRY(fs_walk_score(walk, checkpoint, end, error));
    }
    return *end == FS_ROAD_DONE ? fs_walk_score_kept(walk, end, error) : FS_OK;
}

fs_status fs_road_run(struct fs_road *road, const struct fs_config *config, enum fs_road_end *end,
                      struct fs_error *error)
{
    struct fs_walk walk;
    bool locked = false;
    FS_TRY(fs_walk_begin(&walk, road, config, error));
    FS_TRY(fs_walk_lock(&walk, false, &locked, error));
    if (!locked) {
        *end = FS_ROAD_TAKEN;
        return FS_OK;
    }
    const fs_status status = walk_along(&walk, end, error);
    fs_walk_unlock(&walk);
    return status;
}

fs_status fs_road_floor(struct fs_road *road, const struct fs_config *config, enum fs_road_end *end,
                        struct fs_error *error)
{
    struct fs_walk walk = {.road = road, .config = config, .lock = -1, .name = "Data (test split)"};
    return fs_walk_score_data(&walk, end, error);
}

fs_status fs_road_score(struct fs_road *road, const struct fs_config *config, const char *run, const char *checkpoint,
                        enum fs_road_end *end, struct fs_error *error)
{
    struct fs_walk walk = {.road = road, .config = config, .lock = -1};
    snprintf(walk.name, sizeof walk.name, "%s, seed %" PRId64, config->method->label, config->seed);
    snprintf(walk.id, sizeof walk.id, "%s", run);
    return fs_walk_score(&walk, checkpoint, end, error);
}
