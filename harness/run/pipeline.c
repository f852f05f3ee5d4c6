/* The pipeline of one run: teacher, pairs, training, scores, pictures. */
#include "harness/run/pipeline.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/data/latents.h"
#include "harness/run/job.h"
#include "harness/text/number.h"
#include "harness/checkpoint/checkpoint.h"

/* Every metric must have its tap; too few samples for one are said. */
static fs_status check_metrics(const struct fs_pipeline *pipeline, const struct fs_evaluate_config *evaluate,
                               struct fs_error *error)
{
    char last[256] = "";
    for (int i = 0; i < evaluate->metric_count; i++) {
        const struct fs_metric *metric = fs_metric_find(evaluate->metrics[i]);
        char warning[256];
        int tap = 0;
        if (!fs_metric_is_of_pictures(metric)) {
            FS_TRY(fs_metric_tap(metric, &pipeline->extractor, &tap, error));
        }
        if (fs_metric_warning(metric, evaluate->samples, pipeline->extractor.taps[tap].dim, warning, sizeof warning) &&
            strcmp(warning, last) != 0) {
            fs_progress_note(&pipeline->session->progress, "warning: %s", warning);
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
        fs_progress_line(progress, done == of, "reference: picture %" PRId64 "/%" PRId64 ", %.0f images/s, %s left",
                         done, of, rate, left);
    }
}

static void show_decoding(void *owner, int64_t done, int64_t of)
{
    struct fs_progress *progress = owner;
    if (fs_progress_due(progress, done == of)) {
        fs_progress_line(progress, done == of, "data: picture %" PRId64 "/%" PRId64 " decoded", done, of);
    }
}

/* Networks on latents need a decoder before anything of theirs can be looked at. */
static fs_status open_decoder(struct fs_pipeline *pipeline, const struct fs_config *config, struct fs_error *error)
{
    const struct fs_latents_manifest *latents = fs_latents_of(&pipeline->train);
    const bool half = config->evaluate.decoder_precision == FS_PRECISION_BF16;
    pipeline->picture = fs_picture_shape_of(&pipeline->train);
    return latents ? fs_decoder_open(&pipeline->decoder, pipeline->session->backend, &pipeline->train,
                                     config->dataset.vae, half ? FS_BF16 : FS_F32, error)
                   : FS_OK;
}

/* Of latents, `encode` has kept the statistics of their pictures beside them. */
static fs_status open_reference(struct fs_pipeline *pipeline, const struct fs_config *config, struct fs_error *error)
{
    const struct fs_reference_source *source = &pipeline->compared_with;
    const struct fs_reference_watch watch = {&fs_stop, &pipeline->session->progress, show_reference};
    const bool beside = fs_latents_of(&pipeline->train) && strcmp(source->name, FS_REFERENCE_TRAIN) == 0;
    char cache[FS_PATH_ROOM];
    FS_TRY(
        fs_path(cache, error, "%s/references", beside ? fs_latents_folder(&pipeline->train) : pipeline->session->out));
    const fs_status status =
        fs_reference_open(&pipeline->reference, &config->evaluate, &pipeline->extractor, source, cache, &watch, error);
    if (status == FS_USAGE && source->statistics) {
        const struct fs_error reason = *error;
        return fs_config_fail(config, "evaluate.reference", error, "%s", reason.text);
    }
    return status;
}

fs_status fs_pipeline_open(struct fs_pipeline *pipeline, struct fs_session *session, const struct fs_config *config,
                           struct fs_error *error)
{
    *pipeline = (struct fs_pipeline){.session = session};
    char data[FS_PATH_ROOM];
    FS_TRY(fs_path(data, error, "%s/data", session->out));
    struct fs_data_access access = {.cache = data,
                                    .verify = session->verify_data,
                                    .stop = &fs_stop,
                                    .owner = &session->progress,
                                    .progress = show_decoding};
    const bool leads = session->comm->rank == 0;
    fs_status status = fs_dataset_open_with(&config->dataset, &access, FS_SPLIT_TRAIN, &pipeline->train, error);
    if (status == FS_OK) {
        status = fs_config_check_data(config, &pipeline->train.shape, error);
    }
    if (status == FS_OK && leads) {
        status = fs_reference_source_open(config, &pipeline->train, &access, &pipeline->compared_with, error);
    }
    access.verify = false; /* of both splits */
    if (status == FS_OK) {
        status = open_decoder(pipeline, config, error);
    }
    if (status == FS_OK) {
        status = fs_dataset_open_with(&config->dataset, &access, FS_SPLIT_TEST, &pipeline->test, error);
    }
    if (status == FS_OK) {
        status = fs_extractor_open(config->evaluate.extractors[0], session->backend, &pipeline->extractor, error);
    }
    if (status == FS_OK) {
        fs_extractor_set_resize(&pipeline->extractor, config->evaluate.resize);
        status = check_metrics(pipeline, &config->evaluate, error);
    }
    if (status == FS_OK && leads) {
        status = open_reference(pipeline, config, error);
    }
    if (status != FS_OK) {
        fs_pipeline_close(pipeline);
    }
    return status;
}

void fs_pipeline_close(struct fs_pipeline *pipeline)
{
    fs_reference_close(&pipeline->reference);
    fs_reference_source_close(&pipeline->compared_with);
    if (pipeline->extractor.state) {
        fs_extractor_close(&pipeline->extractor);
    }
    fs_decoder_close(&pipeline->decoder);
    fs_dataset_close(&pipeline->train);
    fs_dataset_close(&pipeline->test);
    *pipeline = (struct fs_pipeline){0};
}

fs_status fs_run_checkpoint(const char *out, const char *run, char path[FS_PATH_ROOM], int64_t *update,
                            struct fs_error *error)
{
    char folder[FS_PATH_ROOM];
    FS_TRY(fs_path(folder, error, "%s/runs/%s", out, run));
    FS_TRY(fs_checkpoint_newest(folder, path, update, error));
    if (*update < 0) {
        return fs_fail(error, FS_USAGE, "run %.8s: there is no checkpoint in %s: `fewstep run` trains it again", run,
                       folder);
    }
    return FS_OK;
}

/* --- failures --- */

fs_status fs_failures_add(struct fs_failures *failures, const char *id, const char *name, const char *reason,
                          struct fs_error *error)
{
    if (fs_failures_find(failures, id)) {
        return FS_OK;
    }
    struct fs_failed_run *more = realloc(failures->runs, (size_t)(failures->count + 1) * sizeof *failures->runs);
    if (!more) {
        return fs_fail(error, FS_FAILED, "no memory for the list of failed runs; the last said: %s", reason);
    }
    failures->runs = more;
    struct fs_failed_run *run = &more[failures->count++];
    snprintf(run->id, sizeof run->id, "%s", id);
    snprintf(run->name, sizeof run->name, "%s", name);
    snprintf(run->reason, sizeof run->reason, "%s", reason);
    return FS_OK;
}

const struct fs_failed_run *fs_failures_find(const struct fs_failures *failures, const char *id)
{
    for (int i = 0; i < failures->count; i++) {
        if (strcmp(failures->runs[i].id, id) == 0) {
            return &failures->runs[i];
        }
    }
    return NULL;
}

void fs_failures_free(struct fs_failures *failures)
{
    free(failures->runs);
    *failures = (struct fs_failures){0};
}

/* --- all stages --- */

static fs_status run_stages(struct fs_job *job, enum fs_pipeline_end *end, struct fs_error *error)
{
    char checkpoint[FS_PATH_ROOM];
    bool scored;
    FS_TRY(fs_job_scored(job, &scored, error));
    if (scored && !fs_job_trained(job, checkpoint)) {
        *end = FS_PIPELINE_DONE; /* all scores are there, and the weights were cleared away */
        return FS_OK;
    }
    FS_TRY(fs_job_train(job, checkpoint, end, error));
    if (*end == FS_PIPELINE_DONE) {
        FS_TRY(fs_job_score(job, checkpoint, end, error));
    }
    return *end == FS_PIPELINE_DONE ? fs_job_score_kept(job, end, error) : FS_OK;
}

fs_status fs_pipeline_run(struct fs_pipeline *pipeline, const struct fs_config *config, enum fs_pipeline_end *end,
                          struct fs_error *error)
{
    struct fs_job job;
    bool locked = false;
    FS_TRY(fs_job_begin(&job, pipeline, config, error));
    FS_TRY(fs_job_lock(&job, false, &locked, error));
    if (!locked) {
        *end = FS_PIPELINE_TAKEN;
        return FS_OK;
    }
    fs_status status = run_stages(&job, end, error);
    fs_job_unlock(&job);
    if (status == FS_OK && pipeline->label) {
        status = fs_store_label(pipeline->session->store, job.id, pipeline->experiment, pipeline->label, error);
    }
    if (status == FS_OK || status == FS_STOPPED) {
        return status;
    }
    *end = FS_PIPELINE_FAILED;
    fs_progress_note(&pipeline->session->progress, "%s: failed: %s", job.name, error->text);
    const struct fs_error reason = *error;
    *error = (struct fs_error){0};
    return fs_failures_add(pipeline->failures, job.id, job.name, reason.text, error);
}

fs_status fs_pipeline_baseline(struct fs_pipeline *pipeline, const struct fs_config *config, enum fs_pipeline_end *end,
                               struct fs_error *error)
{
    struct fs_job job = {.pipeline = pipeline, .session = pipeline->session, .config = config, .lock = -1};
    snprintf(job.name, sizeof job.name, "Data (%s)",
             fs_latents_of(&pipeline->train) ? "the autoencoder's reconstructions" : "test split");
    const int64_t count = fs_latents_of(&pipeline->train) ? pipeline->train.shape.count : pipeline->test.shape.count;
    for (int i = 0; i < config->evaluate.metric_count; i++) {
        const struct fs_metric *metric = fs_metric_find(config->evaluate.metrics[i]);
        if (count < metric->minimum) {
            fs_progress_note(&pipeline->session->progress,
                             "no row of real pictures: the test split of %s has %" PRId64 ", and %s needs %" PRId64,
                             config->dataset.name, count, metric->name, metric->minimum);
            *end = FS_PIPELINE_DONE;
            return FS_OK;
        }
    }
    return fs_job_score_data(&job, end, error);
}

fs_status fs_pipeline_exact(struct fs_pipeline *pipeline, const struct fs_config *config, enum fs_pipeline_end *end,
                            struct fs_error *error)
{
    struct fs_job job = {.pipeline = pipeline, .session = pipeline->session, .config = config, .lock = -1};
    *end = FS_PIPELINE_DONE;
    snprintf(job.name, sizeof job.name, "Exact velocity, seed %" PRId64, config->seed);
    return config->evaluate.exact_velocity ? fs_job_score_exact(&job, end, error) : FS_OK;
}

fs_status fs_pipeline_score(struct fs_pipeline *pipeline, const struct fs_config *config, const char *run,
                            const char *checkpoint, enum fs_pipeline_end *end, struct fs_error *error)
{
    struct fs_job job = {.pipeline = pipeline, .session = pipeline->session, .config = config, .lock = -1};
    snprintf(job.name, sizeof job.name, "%s, seed %" PRId64, config->method->label, config->seed);
    snprintf(job.id, sizeof job.id, "%s", run);
    return fs_job_score(&job, checkpoint, end, error);
}
