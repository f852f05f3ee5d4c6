/* The scoring stage of a run: scores that are not there yet. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/run/checkpoint_row.h"
#include "harness/run/job.h"
#include "harness/run/rows.h"
#include "harness/sample/exact_velocity.h"
#include "harness/text/number.h"
#include "harness/checkpoint/checkpoint.h"
#include "kernels/base/file.h"
#include "kernels/base/memory.h"

/* --- scores --- */

static struct fs_score_setup setup_of(const struct fs_job *job)
{
    const struct fs_pipeline *pipeline = job->pipeline;
    struct fs_score_setup setup = {.extractor = &pipeline->extractor, .device = pipeline->session->backend->name};
    fs_score_setup_data(&setup, job->config, &pipeline->train, &pipeline->compared_with, pipeline->test.shape.count);
    return setup;
}

/* Missing scores under way. */
struct scoring {
    struct fs_job *job;
    struct fs_missing_scores *missing;
};

static void show_scoring(void *owner, const struct fs_score_progress *p)
{
    const struct fs_job *job = ((struct scoring *)owner)->job;
    struct fs_progress *progress = &job->session->progress;
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

/* The curve behind a score, as the database keeps it; owned by the caller. */
static struct fs_spectrum_point *copy_spectrum(const struct fs_metric_curve *curve, struct fs_error *error)
{
    struct fs_spectrum_point *points = fs_allocate((size_t)curve->count, sizeof *points, "a spectrum", error);
    for (int i = 0; points && i < curve->count; i++) {
        const struct fs_metric_point *point = &curve->points[i];
        points[i] = (struct fs_spectrum_point){point->x, point->value, point->standard_error, point->reference};
    }
    return points;
}

static fs_status keep_score(void *owner, const struct fs_score_result *result, struct fs_error *error)
{
    const struct scoring *scoring = owner;
    const struct fs_job *job = scoring->job;
    struct fs_session *session = job->session;
    struct fs_score_row row = scoring->missing->rows[result->metric];
    struct fs_spectrum_point *spectrum = copy_spectrum(result->curve, error);
    if (!spectrum) {
        return FS_FAILED;
    }
    row.value = result->estimate.value;
    row.low = result->estimate.low;
    row.high = result->estimate.high;
    row.seconds = result->seconds;
    row.spectrum = spectrum;
    row.spectrum_count = result->curve->count;
    const fs_status status =
        fs_store_score(session->store, &row, job->pipeline->experiment, session->environment, error);
    free(spectrum);
    FS_TRY(status);
    if (row.steps > 0) {
        fs_progress_note(&session->progress, "%s: %" PRId64 " step%s: %s %.4g", job->name, row.steps,
                         row.steps == 1 ? "" : "s", row.metric, row.value);
    } else {
        fs_progress_note(&session->progress, "%s: %s %.4g", job->name, row.metric, row.value);
    }
    return FS_OK;
}

/* The other ranks draw with this one. */
static fs_status order_scores(const struct fs_job *job, struct fs_generator *generator,
                              const struct fs_score_request *request, struct fs_error *error)
{
    struct fs_order order = {.kind = FS_ORDER_SCORE, .request = *request};
    for (int i = 0; i < request->metric_count; i++) {
        snprintf(order.metrics[i], sizeof order.metrics[i], "%s", request->metrics[i]->name);
    }
    FS_TRY(fs_job_order(job, &order, error));
    return fs_order_share_generator(job->session->comm, FS_OK, generator, error);
}

/* Computes and stores what is missing. `generator` NULL: of the data. *done is false when a signal came first. */
static fs_status make_scores(struct fs_job *job, struct fs_generator *generator, struct fs_missing_scores *missing,
                             bool *done, struct fs_error *error)
{
    const struct fs_pipeline *pipeline = job->pipeline;
    /* The exact velocity is rank 0's: the others have not the training set in memory. */
    const bool shared = generator && !generator->exact;
    struct scoring owner = {job, missing};
    const struct fs_scoring scoring = {
        .extractor = &job->pipeline->extractor,
        .comm = shared ? pipeline->session->comm : NULL, /* pictures of data are not worth the way */
        .reference = &pipeline->reference,
        .shape = &pipeline->picture,
        .decoder = pipeline->decoder.autoencoder ? &pipeline->decoder : NULL,
        .stop = &fs_stop,
        .owner = &owner,
        .progress = show_scoring,
        .result = keep_score,
    };
    *done = true;
    if (missing->count == 0) {
        return FS_OK;
    }
    const struct fs_score_row *row = &missing->rows[0];
    struct fs_score_request request = {.generator = generator,
                                       .data = scoring.decoder ? &pipeline->train : &pipeline->test,
                                       .steps = (int)row->steps,
                                       .guidance_scale = row->guidance_scale,
                                       .noise_seed = (uint32_t)row->noise_seed,
                                       .samples = row->samples,
                                       .quantize = row->quantize,
                                       .metric_count = missing->count};
    for (int i = 0; i < missing->count; i++) {
        request.metrics[i] = fs_metric_find(missing->rows[i].metric);
    }
    if (shared) {
        FS_TRY(order_scores(job, generator, &request, error));
    }
    return fs_score(&scoring, &request, done, error);
}

static fs_status tally(const struct fs_job *job, const struct fs_kept_update *weights, struct fs_score_tally *tally,
                       struct fs_error *error)
{
    const struct fs_score_setup setup = setup_of(job);
    return fs_tally_scores(job->session->store, job->pipeline->experiment, job->config, &setup, job->id, weights, tally,
                           error);
}

fs_status fs_job_scored(const struct fs_job *job, bool *scored, struct fs_error *error)
{
    struct fs_kept_update weights[FS_KEPT_MAX + 1];
    struct fs_score_tally all = {0, 0};
    const int kept_count = fs_config_kept_updates(job->config, weights);
    weights[kept_count] = (struct fs_kept_update){.update = fs_config_method_setup(job->config).updates};
    for (int i = 0; i <= kept_count; i++) {
        FS_TRY(tally(job, &weights[i], &all, error));
    }
    *scored = all.made == all.asked;
    return FS_OK;
}

void fs_score_list_free(struct fs_score_list *list)
{
    free(list->hashes);
    *list = (struct fs_score_list){0};
}

static fs_status add_scores(struct fs_score_list *list, const char (*hashes)[FS_HASH_TEXT], int count,
                            struct fs_error *error)
{
    for (int i = 0; list && i < count; i++) {
        bool there = false;
        for (int k = 0; !there && k < list->count; k++) {
            there = strcmp(list->hashes[k], hashes[i]) == 0;
        }
        void *more = there ? list->hashes : realloc(list->hashes, (size_t)(list->count + 1) * sizeof *list->hashes);
        if (!more) {
            return fs_fail(error, FS_FAILED, "no memory for a list of scores");
        }
        list->hashes = more;
        if (!there) {
            memcpy(list->hashes[list->count++], hashes[i], FS_HASH_TEXT);
        }
    }
    return FS_OK;
}

static fs_status score_steps(struct fs_job *job, struct fs_generator *generator, const int *steps, int count,
                             bool *done, struct fs_error *error)
{
    const struct fs_score_setup setup = setup_of(job);
    *done = true;
    for (int i = 0; *done && i < count; i++) {
        struct fs_missing_scores missing;
        FS_TRY(fs_missing_of_run(job->session->store, job->pipeline->experiment, job->config, &setup, job->id,
                                 generator->update, steps[i], &missing, error));
        FS_TRY(make_scores(job, generator, &missing, done, error));
        FS_TRY(add_scores(job->pipeline->scores, missing.found, missing.found_count, error));
        FS_TRY(add_scores(job->pipeline->scores, missing.hashes, *done ? missing.count : 0, error));
    }
    return FS_OK;
}

/* *kept_not: the weights are not on the disk, so that their scores cannot be made. */
static fs_status score_kept(struct fs_job *job, const struct fs_kept_update *kept, bool *done, bool *kept_not,
                            struct fs_error *error)
{
    char checkpoint[FS_PATH_ROOM];
    struct fs_generator generator;
    struct fs_score_tally there = {0, 0};
    int count;
    const int *steps = fs_config_steps_of(job->config, kept, &count);
    FS_TRY(tally(job, kept, &there, error));
    if (there.made == there.asked) {
        return FS_OK;
    }
    FS_TRY(fs_checkpoint_path(job->folder, kept->update, checkpoint, error));
    *kept_not = access(checkpoint, R_OK) != 0;
    if (*kept_not) {
        return FS_OK;
    }
    FS_TRY(fs_checkpoint_row_check(job->session->store, job->id, kept->update, checkpoint, true, error));
    FS_TRY(fs_generator_open(&generator, job->session->backend, job->config, &job->pipeline->train.shape, checkpoint,
                             job->config->evaluate.weights, error));
    const fs_status status = score_steps(job, &generator, steps, count, done, error);
    fs_generator_close(&generator);
    return status;
}

fs_status fs_job_score_kept(struct fs_job *job, enum fs_pipeline_end *end, struct fs_error *error)
{
    struct fs_kept_update kept[FS_KEPT_MAX];
    const int kept_count = fs_config_kept_updates(job->config, kept);
    char gone[256] = "";
    bool done = true;
    for (int i = 0; done && i < kept_count; i++) {
        bool kept_not = false;
        FS_TRY(score_kept(job, &kept[i], &done, &kept_not, error));
        if (kept_not) {
            const size_t length = strlen(gone);
            snprintf(gone + length, sizeof gone - length, "%s%" PRId64, length ? ", " : "", kept[i].update);
        }
    }
    *end = done ? FS_PIPELINE_DONE : FS_PIPELINE_STOPPED;
    return !gone[0] ? FS_OK
                    : fs_fail(error, FS_USAGE,
                              "the weights of update %s were not kept when it was trained, so their scores cannot be "
                              "made: train it again in a folder of its own (the same command with another --out), and "
                              "join the two databases with `fewstep merge`",
                              gone);
}

/* --- a checkpoint, and the test split --- */

fs_status fs_job_score(struct fs_job *job, const char *checkpoint, enum fs_pipeline_end *end, struct fs_error *error)
{
    struct fs_generator generator;
    bool done = false;
    FS_TRY(fs_generator_open(&generator, job->session->backend, job->config, &job->pipeline->train.shape, checkpoint,
                             job->config->evaluate.weights, error));
    const struct fs_evaluate_config *evaluate = &job->config->evaluate;
    fs_status status = score_steps(job, &generator, evaluate->steps, evaluate->step_count, &done, error);
    if (status == FS_OK && done) {
        status = fs_job_draw_samples(job, &generator, error);
    }
    fs_generator_close(&generator);
    *end = done ? FS_PIPELINE_DONE : FS_PIPELINE_STOPPED;
    return status;
}

fs_status fs_job_score_data(struct fs_job *job, enum fs_pipeline_end *end, struct fs_error *error)
{
    const struct fs_pipeline *pipeline = job->pipeline;
    const struct fs_score_setup setup = setup_of(job);
    struct fs_missing_scores missing;
    bool done;
    FS_TRY(fs_missing_of_data(pipeline->session->store, pipeline->experiment, job->config, &setup, &missing, error));
    FS_TRY(make_scores(job, NULL, &missing, &done, error));
    *end = done ? FS_PIPELINE_DONE : FS_PIPELINE_STOPPED;
    return FS_OK;
}

fs_status fs_job_score_exact(struct fs_job *job, enum fs_pipeline_end *end, struct fs_error *error)
{
    const struct fs_pipeline *pipeline = job->pipeline;
    const struct fs_score_setup setup = setup_of(job);
    struct fs_generator generator = {0};
    bool done = true;
    fs_status status = FS_OK;
    for (int i = 0; status == FS_OK && done && i < job->config->evaluate.step_count; i++) {
        struct fs_missing_scores missing;
        status = fs_missing_of_exact(pipeline->session->store, pipeline->experiment, job->config, &setup,
                                     job->config->evaluate.steps[i], &missing, error);
        if (status == FS_OK && missing.count > 0 && !generator.exact) {
            status =
                fs_generator_open_exact(&generator, pipeline->session->backend, job->config, &pipeline->train, error);
        }
        if (status == FS_OK) {
            status = make_scores(job, &generator, &missing, &done, error);
        }
    }
    if (generator.exact) {
        fs_generator_close(&generator);
    }
    *end = done ? FS_PIPELINE_DONE : FS_PIPELINE_STOPPED;
    return status;
}
