/* The training stage of a run: its lock, its teacher, its pairs, the run itself. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/build_info.h"
#include "harness/run/job.h"
#include "harness/run/rows.h"
#include "harness/text/number.h"
#include "harness/checkpoint/checkpoint.h"
#include "harness/run/checkpoint_row.h"
#include "harness/results/curves.h"
#include "harness/store/query.h"
#include "harness/train/cost.h"
#include "harness/train/pairs.h"
#include "harness/train/trainer.h"
#include "kernels/base/clock.h"
#include "kernels/base/file.h"
#include "kernels/base/hash.h"
#include "kernels/base/memory.h"

/* --- the lock of a run's folder --- */

fs_status fs_job_lock(struct fs_job *job, bool wait, bool *taken, struct fs_error *error)
{
    char path[FS_PATH_ROOM];
    FS_TRY(fs_make_folder(job->folder, error));
    FS_TRY(fs_path(path, error, "%s/lock", job->folder));
    job->lock = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    if (job->lock < 0) {
        return fs_fail(error, FS_USAGE, "%s: %s", path, strerror(errno));
    }
    while (flock(job->lock, LOCK_EX | LOCK_NB) != 0) {
        if (!wait || fs_stop) {
            close(job->lock);
            job->lock = -1;
            *taken = false;
            return FS_OK;
        }
        sleep(1);
    }
    *taken = true;
    return FS_OK;
}

void fs_job_unlock(struct fs_job *job)
{
    if (job->lock >= 0) {
        close(job->lock);
        job->lock = -1;
    }
}

/* --- who is who --- */

fs_status fs_job_begin(struct fs_job *job, struct fs_pipeline *pipeline, const struct fs_config *config,
                       struct fs_error *error)
{
    *job = (struct fs_job){.pipeline = pipeline, .session = pipeline->session, .config = config, .lock = -1};
    snprintf(job->name, sizeof job->name, "%s, seed %" PRId64, config->method->label, config->seed);
    FS_TRY(fs_run_id(config, pipeline->train.sha256, job->id, error));
    char other[FS_HASH_TEXT];
    bool found;
    FS_TRY(fs_store_find_half_trained(pipeline->session->store, config->train_hash, config->seed,
                                      pipeline->train.sha256, fs_build_info.source_hash, other, &found, error));
    if (found && pipeline->adopt) {
        memcpy(job->id, other, sizeof other);
    } else if (found) {
        fs_progress_note(&pipeline->session->progress,
                         "%s: run %.8s is half-trained by another source and left alone; --adopt goes on with it",
                         job->name, other);
    }
    return fs_path(job->folder, error, "%s/runs/%s", pipeline->session->out, job->id);
}

static fs_status register_run(const struct fs_job *job, const char *teacher, bool is_teacher, struct fs_error *error)
{
    const struct fs_config *config = job->config;
    struct fs_cost cost;
    FS_TRY(fs_run_cost(config, &job->pipeline->train.shape, &cost, error));
    struct fs_run_row row = fs_run_row_of(config, job->pipeline->train.sha256);
    row.id = job->id;
    row.teacher = teacher;
    row.is_teacher = is_teacher;
    row.flops = cost.student_flops + cost.teacher_flops + cost.pair_flops;
    return fs_store_run(job->session->store, &row, is_teacher ? 0 : job->pipeline->experiment,
                        job->session->environment, error);
}

/* --- training --- */

static void show_training(void *owner, const struct fs_train_progress *p)
{
    struct fs_job *job = owner;
    struct fs_session *session = job->session;
    const bool last = p->update == p->updates;
    if (fs_progress_due(&session->progress, last)) {
        char left[FS_NUMBER_TEXT], share[32] = "", slow[64] = "";
        fs_duration((int64_t)p->seconds_left, left);
        if (p->slow_rank >= 0) {
            snprintf(slow, sizeof slow, "; rank %d is slow: %.1f times the usual time", p->slow_rank, p->slow_factor);
        }
        const double of_peak = session->peak_flops > 0 ? p->flops_per_second / session->peak_flops : 0;
        if (of_peak > 0 &&
            of_peak <= 1) { /* more than the whole says only that the machine was busy when it was asked */
            snprintf(share, sizeof share, ", %.0f %% of peak", 100 * of_peak);
        }
        fs_progress_line(&session->progress, last,
                         "%s: update %" PRId64 "/%" PRId64 " (%.0f %%), loss %.4f, %.2f updates/s%s, %s left%s",
                         job->name, p->update, p->updates, 100.0 * (double)p->update / (double)p->updates, p->loss,
                         p->updates_per_second, share, left, slow);
    }
}

static fs_status keep_curve(void *owner, int64_t update, const struct fs_train_value *values, int count,
                            struct fs_error *error)
{
    const struct fs_job *job = owner;
    struct fs_curve_point points[FS_TRAIN_VALUES_MAX];
    for (int i = 0; i < count; i++) {
        points[i] = (struct fs_curve_point){values[i].name, update, values[i].value};
    }
    return fs_store_curve(job->session->store, job->id, points, count, error);
}

static fs_status keep_checkpoint(void *owner, int64_t update, const struct fs_checkpoint_file *file,
                                 struct fs_error *error)
{
    const struct fs_job *job = owner;
    return fs_store_checkpoint(job->session->store, job->id, update, file->path, file->sha256, file->bytes, error);
}

static fs_status keep_restart(void *owner, int restarts, const char *reason, struct fs_error *error)
{
    const struct fs_job *job = owner;
    fs_progress_note(&job->session->progress, "%s: begins again at 1/%d of its rate: %s", job->name, 1 << restarts,
                     reason);
    return fs_store_run_restarts(job->session->store, job->id, restarts, error);
}

/* A training that is at its end, but lost on the way what it had learned. */
static fs_status warn_of_fall(const struct fs_job *job, struct fs_error *error)
{
    struct fs_result_fall fall;
    char before[FS_NUMBER_TEXT], peak[FS_NUMBER_TEXT];
    FS_TRY(fs_result_fall(job->session->store, job->id, &fall, error));
    if (fall.at_update > 0) {
        fs_three_digits(fall.before, before);
        fs_three_digits(fall.peak, peak);
        fs_progress_note(&job->session->progress,
                         "%s: warning: fell back at update %" PRId64 ": its loss rose from %s to %s; " FS_PACE_ADVICE,
                         job->name, fall.at_update, before, peak, job->config->method->name);
    }
    return FS_OK;
}

/* FS_FAILED for a run that diverged, in this call or an earlier one: the same training would diverge again. */
static fs_status refuse_failed(const struct fs_job *job, struct fs_error *error)
{
    const struct fs_pipeline *pipeline = job->pipeline;
    const struct fs_failed_run *failed = fs_failures_find(pipeline->failures, job->id);
    if (failed) {
        return fs_fail(error, FS_FAILED, "%s", failed->reason);
    }
    sqlite3_stmt *query;
    bool row;
    FS_TRY(fs_query_open(fs_store_handle(pipeline->session->store), &query, error,
                         "SELECT message FROM runs WHERE id = ?1 AND state = 'failed'", "t", job->id));
    fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK && row && !pipeline->retry_failed) {
        status = fs_fail(error, FS_FAILED, "it failed in an earlier call and is left alone (--retry-failed): %s",
                         fs_query_text(query, 0));
    }
    sqlite3_finalize(query);
    return status;
}

/* The checkpoint that the training would go on from, or that is scored. One that this call wrote was hashed for its row
 * as it was written, and is not read again. */
static fs_status check_newest(const struct fs_job *job, struct fs_error *error)
{
    char path[FS_PATH_ROOM];
    int64_t update;
    FS_TRY(fs_checkpoint_newest(job->folder, path, &update, error));
    return update < 0 ? FS_OK : fs_checkpoint_row_check(job->session->store, job->id, update, path, true, error);
}

/* The other ranks begin to do what this one is about to. */
fs_status fs_job_order(const struct fs_job *job, struct fs_order *order, struct fs_error *error)
{
    snprintf(order->run, sizeof order->run, "%s", job->id);
    snprintf(order->data_sha256, sizeof order->data_sha256, "%s", job->pipeline->train.sha256);
    snprintf(order->extractor_sha256, sizeof order->extractor_sha256, "%s", job->pipeline->extractor.sha256);
    return fs_order_give(job->session, order, job->config, error);
}

static fs_status train_here(struct fs_job *job, const char *teacher, const char *pairs, bool *finished,
                            struct fs_error *error)
{
    struct fs_session *session = job->session;
    enum fs_train_end end;
    const struct fs_training training = {
        .comm = session->comm,
        .backend = session->backend,
        .config = job->config,
        .data = &job->pipeline->train,
        .run = job->id,
        .source_hash = fs_build_info.source_hash,
        .folder = job->folder,
        .teacher = teacher,
        .pairs = pairs,
        .peak_flops = session->peak_flops,
        .stop = &fs_stop,
        .owner = job,
        .progress = show_training,
        .measured = keep_curve,
        .restarted = keep_restart,
        .checkpointed = keep_checkpoint,
    };
    const double begin = fs_seconds();
    FS_TRY(refuse_failed(job, error));
    FS_TRY(check_newest(job, error));
    fs_memory_peak_reset(); /* a process trains run after run */
    FS_TRY(fs_store_run_state(session->store, job->id, "training", NULL, 0, 0, error));
    struct fs_order order = {.kind = FS_ORDER_TRAIN, .has_teacher = teacher != NULL, .has_pairs = pairs != NULL};
    FS_TRY(fs_job_order(job, &order, error));
    const fs_status status = fs_train(&training, &end, error);
    if (training.backend->notice != NULL) {
        fs_progress_note(&session->progress, "%s: %s", job->name, training.backend->notice);
    }
    struct fs_error ignored;
    /* A full disk or too little memory is no property of the run: the next call goes on. */
    static const char *const states[] = {"training", "trained", "failed"};
    const fs_status noted =
        fs_store_run_state(session->store, job->id, states[end], status != FS_OK ? error->text : NULL,
                           fs_seconds() - begin, (double)fs_memory_peak(), status != FS_OK ? &ignored : error);
    *finished = end == FS_TRAIN_FINISHED;
    if (*finished && noted == FS_OK) {
        FS_TRY(warn_of_fall(job, error));
    }
    if (end == FS_TRAIN_DIVERGED) {
        FS_TRY(fs_failures_add(job->pipeline->failures, job->id, job->name, error->text, error));
    }
    return status != FS_OK ? status : noted;
}

bool fs_job_trained(const struct fs_job *job, char path[FS_PATH_ROOM])
{
    struct fs_error ignored;
    int64_t update;
    return fs_checkpoint_newest(job->folder, path, &update, &ignored) == FS_OK &&
           update == fs_config_method_setup(job->config).updates;
}

/* --- the teacher and its pairs --- */

/* Who the teacher is; it is in the store when this returns. `config` is the caller's to free. */
static fs_status register_teacher(struct fs_pipeline *pipeline, const struct fs_config *student,
                                  struct fs_config *config, struct fs_job *teacher, struct fs_error *error)
{
    FS_TRY(fs_config_teacher(student, config, error));
    FS_TRY(fs_job_begin(teacher, pipeline, config, error));
    snprintf(teacher->name, sizeof teacher->name, "Teacher, seed %" PRId64, config->seed);
    return register_run(teacher, NULL, true, error);
}

/* Trains the teacher unless it is there. Waits where another process trains it. */
static fs_status ensure_teacher(struct fs_job *teacher, char checkpoint[FS_PATH_ROOM], enum fs_pipeline_end *end,
                                struct fs_error *error)
{
    bool locked = false, finished = false;
    FS_TRY(fs_job_lock(teacher, true, &locked, error));
    fs_status status = FS_OK;
    if (locked) {
        finished = fs_job_trained(teacher, checkpoint);
        status = finished ? check_newest(teacher, error) : train_here(teacher, NULL, NULL, &finished, error);
    }
    if (status == FS_OK && finished && !fs_job_trained(teacher, checkpoint)) {
        status = fs_fail(error, FS_FAILED, "%s: the teacher's checkpoint is gone", teacher->folder);
    }
    fs_job_unlock(teacher);
    if (status == FS_FAILED || status == FS_USAGE) {
        fs_fail_in(error, "its teacher");
    }
    *end = finished ? FS_PIPELINE_DONE : FS_PIPELINE_STOPPED;
    return status;
}

static void show_pairs(void *owner, int64_t done, int64_t count)
{
    struct fs_job *job = owner;
    struct fs_progress *progress = &job->session->progress;
    if (fs_progress_due(progress, done == count)) {
        fs_progress_line(progress, done == count, "%s: pair %" PRId64 "/%" PRId64, job->name, done, count);
    }
}

/* The pairs are drawn by the teacher, so its method says how it is conditioned. */
static fs_status ensure_pairs(struct fs_job *job, const struct fs_job *teacher, const char *checkpoint,
                              char folder[FS_PATH_ROOM], bool *finished, struct fs_error *error)
{
    struct fs_pipeline *pipeline = job->pipeline;
    struct fs_generator generator;
    char name[FS_HASH_TEXT];
    FS_TRY(fs_pairs_name(teacher->id, job->config, name, error));
    FS_TRY(fs_path(folder, error, "%s/pairs/%.16s", pipeline->session->out, name));
    FS_TRY(fs_generator_open(&generator, pipeline->session->backend, teacher->config, &pipeline->train.shape,
                             checkpoint, FS_WEIGHTS_EMA, error));
    struct fs_comm *comm = pipeline->session->comm;
    struct fs_order order = {.kind = FS_ORDER_PAIRS};
    fs_status status = fs_job_order(job, &order, error);
    if (status == FS_OK) {
        status = fs_order_share_generator(comm, FS_OK, &generator, error);
    }
    if (status == FS_OK) {
        status =
            fs_pairs_make(folder, comm, &generator.sampler, job->config, &fs_stop, show_pairs, job, finished, error);
    }
    fs_generator_close(&generator);
    return status;
}

/* --- the run --- */

/* What the run is trained on, and the training. `teacher` is NULL for a method without one. */
static fs_status train_student(struct fs_job *job, struct fs_job *teacher, bool *finished, struct fs_error *error)
{
    char checkpoint[FS_PATH_ROOM], pairs[FS_PATH_ROOM];
    enum fs_pipeline_end end = FS_PIPELINE_DONE;
    const bool on_pairs = fs_config_pairs(job->config).count > 0;
    *finished = false;
    if (teacher) {
        FS_TRY(ensure_teacher(teacher, checkpoint, &end, error));
    }
    if (end != FS_PIPELINE_DONE) {
        return FS_OK;
    }
    if (on_pairs) {
        FS_TRY(ensure_pairs(job, teacher, checkpoint, pairs, finished, error));
        if (!*finished) {
            return FS_OK;
        }
    }
    return train_here(job, teacher ? checkpoint : NULL, on_pairs ? pairs : NULL, finished, error);
}

fs_status fs_job_train(struct fs_job *job, char checkpoint[FS_PATH_ROOM], enum fs_pipeline_end *end,
                       struct fs_error *error)
{
    const struct fs_config *config = job->config;
    const bool needs_teacher = config->method->teacher_share(&config->settings) > 0;
    struct fs_config teacher_config = {0};
    struct fs_job teacher;
    bool finished = fs_job_trained(job, checkpoint);
    fs_status status =
        needs_teacher ? register_teacher(job->pipeline, config, &teacher_config, &teacher, error) : FS_OK;
    if (status == FS_OK) {
        status = register_run(job, needs_teacher ? teacher.id : NULL, false, error);
    }
    if (status == FS_OK) {
        status =
            finished ? check_newest(job, error) : train_student(job, needs_teacher ? &teacher : NULL, &finished, error);
    }
    fs_config_free(&teacher_config);
    *end = finished && fs_job_trained(job, checkpoint) ? FS_PIPELINE_DONE : FS_PIPELINE_STOPPED;
    return status;
}
