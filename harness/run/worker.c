/* What the ranks behind rank 0 do during a command. */
#include "harness/run/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/build_info.h"
#include "harness/comm/open.h"
#include "harness/run/order.h"
#include "harness/run/pipeline.h"
#include "harness/store/environment.h"
#include "harness/train/pairs.h"
#include "harness/train/trainer.h"
#include "kernels/base/hash.h"

/* --- orders --- */

/* What stays open from one order to the next, where it serves. */
struct worker {
    struct fs_session session;
    struct fs_pipeline pipeline;
    struct fs_config config;
    char *json; /* of the configuration that all of it was opened for; NULL: of none */
};

static void close_work(struct worker *worker)
{
    if (worker->json) {
        fs_pipeline_close(&worker->pipeline);
        fs_config_free(&worker->config);
        free(worker->json);
        worker->json = NULL;
    }
}

static fs_status open_work(struct worker *worker, char *json, struct fs_error *error)
{
    close_work(worker);
    fs_status status = fs_config_from_json(json, &worker->config, error);
    if (status == FS_OK && !worker->session.backend) {
        status = fs_open_rank_backend(worker->config.device, worker->session.comm, &worker->session.backend, error);
    }
    if (status == FS_OK) {
        status = fs_pipeline_open(&worker->pipeline, &worker->session, &worker->config, error);
    }
    if (status != FS_OK) {
        fs_config_free(&worker->config);
        free(json);
        return status;
    }
    worker->json = json;
    return FS_OK;
}

/* The same numbers come only from the same configuration, data, features and instruction set. */
static fs_status check_work(const struct worker *worker, const struct fs_order *order, struct fs_error *error)
{
    const struct {
        const char *what, *mine, *theirs;
    } same[] = {
        {"the configuration", worker->config.train_hash, order->train_hash},
        {"the data set", worker->pipeline.train.sha256, order->data_sha256},
        {"the extractor", worker->pipeline.extractor.sha256, order->extractor_sha256},
    };
    char backend[128];
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        if (strcmp(same[i].mine, same[i].theirs) != 0) {
            return fs_fail(error, FS_USAGE, "%s is another here than on rank 0: SHA-256 %.12s, not %.12s", same[i].what,
                           same[i].mine, same[i].theirs);
        }
    }
    fs_order_backend(worker->session.backend, backend);
    if (strcmp(backend, order->backend) != 0) {
        return fs_fail(error, FS_USAGE,
                       "the device is another than that of rank 0, %s and not %s, and rounds otherwise: name one that "
                       "all have (FEWSTEP_CPU=avx2, device: cpu)",
                       backend, order->backend);
    }
    return FS_OK;
}

static void show_nothing(void *owner, const struct fs_train_progress *progress)
{
    (void)owner, (void)progress;
}

static fs_status train(struct worker *worker, const struct fs_order *order, struct fs_error *error)
{
    enum fs_train_end end;
    const struct fs_training training = {
        .comm = worker->session.comm,
        .backend = worker->session.backend,
        .config = &worker->config,
        .data = &worker->pipeline.train,
        .run = order->run,
        .source_hash = fs_build_info.source_hash,
        .folder = "",
        .teacher = order->has_teacher ? "" : NULL,
        .pairs = order->has_pairs ? "" : NULL,
        .stop = &fs_stop,
        .progress = show_nothing,
    };
    return fs_train(&training, &end, error);
}

/* A generator of the configuration, if there is one, with the weights that rank 0 sends. */
static fs_status open_generator(struct worker *worker, const struct fs_config *config, fs_status status,
                                struct fs_generator *generator, struct fs_error *error)
{
    if (status == FS_OK) {
        status = fs_generator_open(generator, worker->session.backend, config, &worker->pipeline.train.shape, NULL,
                                   config->evaluate.weights, error);
    }
    return fs_order_share_generator(worker->session.comm, status, generator, error);
}

static fs_status make_pairs(struct worker *worker, struct fs_error *error)
{
    struct fs_config teacher = {0};
    struct fs_generator generator = {0};
    bool finished;
    fs_status status = fs_config_teacher(&worker->config, &teacher, error);
    status = open_generator(worker, &teacher, status, &generator, error);
    if (status == FS_OK) {
        status = fs_pairs_make("", worker->session.comm, &generator.sampler, &worker->config, &fs_stop, NULL, NULL,
                               &finished, error);
    }
    if (generator.dit) {
        fs_generator_close(&generator);
    }
    fs_config_free(&teacher);
    return status;
}

static fs_status make_scores(struct worker *worker, const struct fs_order *order, struct fs_error *error)
{
    struct fs_score_request request = order->request;
    struct fs_generator generator = {0};
    const struct fs_decoder *decoder = &worker->pipeline.decoder;
    const struct fs_scoring scoring = {.comm = worker->session.comm,
                                       .extractor = &worker->pipeline.extractor,
                                       .shape = &worker->pipeline.picture,
                                       .decoder = decoder->autoencoder ? decoder : NULL,
                                       .stop = &fs_stop};
    bool done;
    fs_status status = open_generator(worker, &worker->config, FS_OK, &generator, error);
    if (status == FS_OK) {
        request.generator = &generator;
        request.data = NULL;
        for (int i = 0; i < request.metric_count; i++) {
            request.metrics[i] = fs_metric_find(order->metrics[i]);
        }
        status = fs_score(&scoring, &request, &done, error);
    }
    if (generator.dit) {
        fs_generator_close(&generator);
    }
    return status;
}

/* What fails here has failed on rank 0, too, which says so and goes on as it does by itself. */
static void carry_out(struct worker *worker, const struct fs_order *order, char *json)
{
    struct fs_error error = {0};
    const bool open = worker->json && strcmp(worker->json, json) == 0;
    fs_status status = open ? FS_OK : open_work(worker, json, &error);
    if (open) {
        free(json);
    }
    status = status == FS_OK ? check_work(worker, order, &error) : status;
    if (fs_comm_agree(worker->session.comm, status, &error) != FS_OK) {
        return;
    }
    worker->config.evaluate = order->evaluate; /* which `eval` changes without changing the configuration */
    if (order->kind == FS_ORDER_TRAIN) {
        train(worker, order, &error);
    } else if (order->kind == FS_ORDER_PAIRS) {
        make_pairs(worker, &error);
    } else {
        make_scores(worker, order, &error);
    }
}

static void work(struct fs_comm *comm)
{
    struct worker worker = {.session = {.comm = comm, .progress = {.quiet = true}}};
    struct fs_order order;
    char *json;
    fs_catch_signals();
    for (fs_order_receive(comm, &order, &json); json; fs_order_receive(comm, &order, &json)) {
        carry_out(&worker, &order, json);
    }
    close_work(&worker);
    fs_session_close(&worker.session);
}

/* --- who is there --- */

/* What must be the same on all ranks, each by its hash, and where this one is. */
struct presence {
    char program[FS_HASH_TEXT], command[FS_HASH_TEXT], host[64];
};

/* Source, compiler, flags and libraries: what else makes other numbers. */
static void hash_program(char text[FS_HASH_TEXT])
{
    char libraries[256];
    struct fs_sha256 hash;
    fs_library_versions(libraries, sizeof libraries);
    const char *const parts[] = {fs_build_info.source_hash, fs_build_info.commit, fs_build_info.compiler,
                                 fs_build_info.flags, libraries};
    fs_sha256_begin(&hash);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        fs_sha256_add(&hash, parts[i], strlen(parts[i]) + 1);
    }
    fs_sha256_end(&hash, text);
}

static struct presence present(int argc, char **argv)
{
    struct presence presence = {.host = "unknown"};
    struct fs_sha256 hash;
    hash_program(presence.program);
    fs_sha256_begin(&hash);
    for (int i = 0; i < argc; i++) {
        fs_sha256_add(&hash, argv[i], strlen(argv[i]) + 1);
    }
    fs_sha256_end(&hash, presence.command);
    if (gethostname(presence.host, sizeof presence.host - 1) != 0) {
        snprintf(presence.host, sizeof presence.host, "unknown");
    }
    return presence;
}

/* Of rank 0, which has all of them. */
static fs_status compare(const struct presence *all, int ranks, struct fs_error *error)
{
    for (int r = 1; r < ranks; r++) {
        const bool program = strcmp(all[r].program, all[0].program) == 0;
        if (!program || strcmp(all[r].command, all[0].command) != 0) {
            return fs_fail(error, FS_USAGE, "rank %d (%s) %s than rank 0 (%s)", r, all[r].host,
                           program ? "was started with other arguments"
                                   : "is another program, by its source, compiler or libraries,",
                           all[0].host);
        }
    }
    return FS_OK;
}

static fs_status meet(struct fs_comm *comm, int argc, char **argv, struct fs_error *error)
{
    struct presence all[FS_RANKS_MAX];
    const struct presence mine = present(argc, argv);
    fs_comm_gather_same(comm, &mine, sizeof mine, all);
    const fs_status status = comm->rank == 0 ? compare(all, comm->size, error) : FS_OK;
    return fs_comm_agree(comm, status, error);
}

/* What rank 0 does, which ends the others' work. */
static fs_status lead(fs_ranks_command *command, struct fs_comm *comm, int argc, char **argv, struct fs_error *error)
{
    const fs_status status = command(comm, argc, argv, error);
    if (comm->size > 1) {
        fs_order_end(comm);
    }
    return status;
}

/* What is printed is printed once. */
static fs_status be_silent(struct fs_error *error)
{
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    const bool silent = nowhere >= 0 && dup2(nowhere, STDOUT_FILENO) >= 0;
    if (nowhere >= 0) {
        close(nowhere);
    }
    return silent ? FS_OK : fs_fail(error, FS_FAILED, "/dev/null: %s", strerror(errno));
}

/* `each`: every rank runs the command; else rank 0 does, and the others what it orders. */
static fs_status run_ranks(fs_ranks_command *command, bool each, int argc, char **argv, struct fs_error *error)
{
    struct fs_comm *comm;
    FS_TRY(fs_comm_open(&comm, error));
    const bool leads = comm->rank == 0;
    fs_status status = comm->size > 1 ? meet(comm, argc, argv, error) : FS_OK;
    if (status == FS_OK && each) {
        status = fs_comm_agree(comm, leads ? FS_OK : be_silent(error), error);
        status = status == FS_OK ? command(comm, argc, argv, error) : status;
    } else if (status == FS_OK && leads) {
        status = lead(command, comm, argc, argv, error);
    } else if (status == FS_OK) {
        work(comm);
    }
    comm->close(comm);
    if (!leads) {
        error->text[0] = '\0';
        status = FS_OK;
    }
    return status;
}

fs_status fs_run_ranks(fs_ranks_command *command, int argc, char **argv, struct fs_error *error)
{
    return run_ranks(command, false, argc, argv, error);
}

fs_status fs_run_each_rank(fs_ranks_command *command, int argc, char **argv, struct fs_error *error)
{
    return run_ranks(command, true, argc, argv, error);
}
