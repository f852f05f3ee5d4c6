/* The command `encode`: pictures, autoencoder and extractor opened, the pictures encoded, their statistics kept. */
#include "harness/run/encode_stage.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "harness/run/session.h"
#include "harness/sample/reference.h"
#include "harness/text/number.h"

#define DEFAULT_EXTRACTOR "inception-v3"

/* What is open while pictures are encoded. */
struct work {
    const struct fs_encode_job *job;
    struct fs_comm *comm;
    struct fs_config config; /* of a training on the pictures: the keys that say how they are read */
    struct fs_dataset pictures;
    struct fs_backend *backend;
    struct fs_autoencoder *autoencoder;
    struct fs_extractor extractor; /* state NULL: none */
    struct fs_progress progress;
};

/* --- what is to be read --- */

/* The options as keys of an experiment, so that they are checked and answered as these are. */
static fs_status resolve(const struct fs_encode_job *job, struct fs_config *config, struct fs_error *error)
{
    static const char prefix[] = "dataset:";
    const bool named = strncmp(job->source, prefix, strlen(prefix)) == 0;
    const struct {
        const char *key, *value;
    } texts[] = {
        {"dataset.name", named ? job->source + strlen(prefix) : "pictures"},
        {"dataset.kind", named       ? NULL
                         : job->kind ? job->kind
                                     : "image-folder"},
        {"dataset.crop", job->crop},
        {"dataset.background", job->background},
        {"dataset.test_share", job->split ? NULL : "0"}, /* all of a folder that does not say */
        {"evaluate.resize", job->resize},
    };
    char sets[8][256];
    const char *list[8];
    int count = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (texts[i].value) {
            snprintf(sets[count], sizeof sets[count], "%s=%s", texts[i].key, texts[i].value);
            list[count] = sets[count];
            count++;
        }
    }
    if (job->size > 0) {
        snprintf(sets[count], sizeof sets[count], "dataset.size=%" PRId64, job->size);
        list[count] = sets[count];
        count++;
    }
    struct fs_experiment experiment;
    FS_TRY(fs_experiment_parse("fewstep encode", "experiment: encode\nmethod: flow-matching\ntrain: {updates: 1}\n",
                               list, count, NULL, 0, &experiment, error));
    *config = experiment.runs[0];
    config->json = NULL;
    config->places = NULL;
    fs_experiment_free(&experiment);
    return named ? FS_OK : fs_path(config->dataset.path, error, "%s", job->source);
}

/* --- progress --- */

static void show_rate(struct fs_progress *progress, const char *what, int digits, int64_t done, int64_t of, double rate)
{
    if (fs_progress_due(progress, done == of)) {
        char left[FS_NUMBER_TEXT];
        fs_duration(rate > 0 ? (int64_t)((double)(of - done) / rate) : 0, left);
        fs_progress_line(progress, done == of, "%s: picture %" PRId64 "/%" PRId64 ", %.*f pictures/s, %s left", what,
                         done, of, digits, rate, left);
    }
}

static void show(void *owner, int64_t done, int64_t of, double rate)
{
    show_rate(owner, "encode", 1, done, of, rate);
}

static void show_first_look(void *owner, int64_t done, int64_t of)
{
    struct fs_progress *progress = owner;
    if (fs_progress_due(progress, done == of)) {
        fs_progress_line(progress, done == of, "encode: looked at picture %" PRId64 "/%" PRId64, done, of);
    }
}

static void show_reference(void *owner, int64_t done, int64_t of, double rate)
{
    show_rate(owner, "statistics", 0, done, of, rate);
}

/* --- statistics --- */

/* All metrics that this extractor has the taps for. */
static void all_metrics(const struct fs_extractor *extractor, struct fs_evaluate_config *evaluate)
{
    evaluate->metric_count = 0;
    for (int i = 0; fs_metric_name(i) && evaluate->metric_count < FS_METRICS_MAX; i++) {
        const struct fs_metric *metric = fs_metric_find(fs_metric_name(i));
        struct fs_error none;
        int tap;
        if (fs_metric_is_of_pictures(metric) || fs_metric_tap(metric, extractor, &tap, &none) == FS_OK) {
            snprintf(evaluate->metrics[evaluate->metric_count++], sizeof evaluate->metrics[0], "%s", metric->name);
        }
    }
}

static fs_status keep_statistics(struct work *work, const struct fs_latents_manifest *manifest, struct fs_error *error)
{
    struct fs_evaluate_config *evaluate = &work->config.evaluate;
    const struct fs_reference_watch watch = {&fs_stop, &work->progress, show_reference};
    struct fs_reference_source source = {.pictures = work->pictures};
    struct fs_reference reference;
    char folder[FS_PATH_ROOM], lock[FS_PATH_ROOM];
    FS_TRY(fs_path(folder, error, "%s/references", work->job->folder));
    FS_TRY(fs_path(lock, error, "%s/lock", folder));
    FS_TRY(fs_make_folder(folder, error));
    const int fd = open(lock, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0) {
        fs_progress_note(&work->progress, "statistics of the pictures: another process makes them");
        if (fd >= 0) {
            close(fd);
        }
        return FS_OK;
    }
    snprintf(source.pictures.sha256, sizeof source.pictures.sha256, "%s", manifest->pictures_sha256);
    fs_extractor_set_resize(&work->extractor, evaluate->resize);
    all_metrics(&work->extractor, evaluate);
    const fs_status status = fs_reference_open(&reference, evaluate, &work->extractor, &source, folder, &watch, error);
    if (status == FS_OK) {
        fs_reference_close(&reference);
    }
    unlink(lock);
    close(fd);
    return status;
}

/* --- opening --- */

/* Before the work, as it may be hours: the extractor that was asked for, or Inception where its weights are. */
static fs_status open_extractor(struct work *work, struct fs_error *error)
{
    const char *name = work->job->extractor;
    if (name && strcmp(name, "none") == 0) {
        return FS_OK;
    }
    struct fs_error missing;
    if (fs_extractor_open(name ? name : DEFAULT_EXTRACTOR, work->backend, &work->extractor, &missing) == FS_OK) {
        return FS_OK;
    }
    work->extractor.state = NULL;
    if (name) {
        *error = missing;
        return missing.status;
    }
    fs_progress_note(&work->progress, "no statistics of the pictures are kept: %s", missing.text);
    return FS_OK;
}

/* Whether an encoding into this folder has begun: then its pictures were looked at. */
static fs_status has_begun(const char *folder, bool *begun, struct fs_error *error)
{
    char done[FS_PATH_ROOM], unfinished[FS_PATH_ROOM];
    FS_TRY(fs_path(done, error, "%s/%s", folder, FS_LATENTS_MANIFEST));
    FS_TRY(fs_path(unfinished, error, "%s/%s", folder, FS_LATENTS_UNFINISHED));
    *begun = access(done, F_OK) == 0 || access(unfinished, F_OK) == 0;
    return FS_OK;
}

static fs_status open_all(struct work *work, struct fs_error *error)
{
    const struct fs_encode_job *job = work->job;
    char weights[FS_PATH_ROOM];
    bool begun;
    FS_TRY(resolve(job, &work->config, error));
    FS_TRY(has_begun(job->folder, &begun, error));
    const struct fs_data_access access = {
        .streamed = true, .verify = !begun, .stop = &fs_stop, .owner = &work->progress, .progress = show_first_look};
    FS_TRY(fs_autoencoder_find(job->vae, weights, error));
    FS_TRY(fs_dataset_open_with(&work->config.dataset, &access, job->test ? FS_SPLIT_TEST : FS_SPLIT_TRAIN,
                                &work->pictures, error));
    FS_TRY(fs_open_rank_backend(job->device, work->comm, &work->backend, error));
    work->autoencoder = fs_autoencoder_open(work->backend, weights, job->precision, error);
    return work->autoencoder ? open_extractor(work, error) : error->status;
}

static fs_status encode_share(struct work *work, struct fs_encode_outcome *outcome, struct fs_error *error)
{
    const struct fs_encode_job *job = work->job;
    const struct fs_comm *comm = work->comm;
    const struct fs_encode_request request = {
        .pictures = &work->pictures,
        .source = job->source,
        .identity = work->pictures.sha256,
        .autoencoder = work->autoencoder,
        .device = work->backend->name,
        .stored = job->stored,
        .folder = job->folder,
        .part = job->part + job->parts * comm->rank, /* of the files of this part, every size-th */
        .parts = job->parts * comm->size,
        .shard_rows = job->shard_rows,
        .stop = &fs_stop,
        .owner = &work->progress,
        .progress = show,
    };
    return fs_encode(&request, outcome, error);
}

/* Rank 0 looks again at what is there once all have come to their end. */
static fs_status encode(struct work *work, struct fs_encode_outcome *outcome, struct fs_error *error)
{
    struct fs_comm *comm = work->comm;
    FS_TRY(fs_comm_agree(comm, encode_share(work, outcome, error), error));
    if (comm->rank > 0) {
        return FS_OK;
    }
    if (comm->size > 1 && !outcome->complete) {
        fs_latents_manifest_free(&outcome->manifest);
        FS_TRY(encode_share(work, outcome, error));
    }
    return outcome->complete && work->extractor.state ? keep_statistics(work, &outcome->manifest, error) : FS_OK;
}

fs_status fs_encode_run(const struct fs_encode_job *job, struct fs_comm *comm, struct fs_encode_outcome *outcome,
                        struct fs_error *error)
{
    struct work work = {.job = job, .comm = comm};
    *outcome = (struct fs_encode_outcome){.shards = 0};
    fs_progress_begin(&work.progress, job->quiet || comm->rank > 0);
    fs_catch_signals();
    fs_status status = fs_comm_agree(comm, open_all(&work, error), error);
    if (status == FS_OK) {
        status = encode(&work, outcome, error);
    }
    if (work.extractor.state) {
        fs_extractor_close(&work.extractor);
    }
    if (work.autoencoder) {
        fs_autoencoder_close(work.autoencoder);
    }
    if (work.backend) {
        work.backend->destroy(work.backend);
    }
    fs_dataset_close(&work.pictures);
    return status;
}
