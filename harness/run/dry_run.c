/* What an experiment would cost, and what of it is already there. */
#include "harness/run/dry_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/data/dataset.h"
#include "harness/results/results.h"
#include "harness/text/escape.h"
#include "harness/text/number.h"
#include "harness/run/rows.h"
#include "harness/run/session.h"
#include "harness/store/query.h"
#include "harness/train/cost.h"
#include "harness/train/trainer.h"

#define DONE_TEXT 64
#define NAME_TEXT 512
#define TEACHERS_MAX 64
#define H100 2 /* in gpus */
#define USUAL_SHARE 0.35

/* Dense products in bf16 and memory by the makers' data sheets. */
static const struct {
    const char *name;
    double flops, bytes;
} gpus[] = {{"RTX4090", 165e12, 24e9},
            {"A100", 312e12, 80e9},
            {"H100", 989e12, 80e9},
            {"H200", 989e12, 141e9},
            {"B200", 2250e12, 180e9}};

/* What is kept from one run to the next. */
struct dry_run {
    struct fs_store *store;         /* NULL: there is none */
    const struct fs_config *opened; /* whose backend and extractor these are; NULL: none */
    struct fs_backend *backend;
    struct fs_extractor extractor;
    const char *out;
    const struct fs_config *read; /* whose training data these are; NULL: none */
    struct fs_dataset data;
    const struct fs_config *compared; /* whose reference this is; NULL: none */
    struct fs_reference_source reference;
    struct fs_error unknown; /* why scores are not known; "" */
    const struct fs_experiment *experiment;
    const bool *taken; /* of its runs */
    struct counted_teacher {
        const struct fs_config *of; /* a run that it is for */
        char hash[FS_HASH_TEXT];    /* of its training */
    } teachers[TEACHERS_MAX];       /* that are counted */
    int teacher_count;
    double flops, bytes, snapshot;   /* the largest of the last */
    const struct fs_config *largest; /* the run that takes the most memory, */
    struct fs_data_shape largest_shape;
    double largest_bytes; /* and how much */
    int width;            /* of the names */
};

/* A teacher's share is trained as a run of its own: what is left is this run's. */
static int64_t own_updates(const struct fs_config *config)
{
    return fs_config_method_setup(config).updates;
}

static void close_extractor(struct dry_run *all)
{
    if (all->opened) {
        fs_extractor_close(&all->extractor);
        all->backend->destroy(all->backend);
        all->opened = NULL;
    }
}

/* The hash of the training data is part of what a run is; runs of the same data read them once. */
static fs_status open_data(struct dry_run *all, const struct fs_config *config, struct fs_error *error)
{
    if (all->read && memcmp(&all->read->dataset, &config->dataset, sizeof config->dataset) == 0) {
        return FS_OK;
    }
    fs_dataset_close(&all->data);
    all->read = NULL;
    char cache[FS_PATH_ROOM];
    FS_TRY(fs_path(cache, error, "%s/data", all->out));
    const struct fs_data_access access = {.cache = cache, .only_kept = true};
    FS_TRY(fs_dataset_open_with(&config->dataset, &access, FS_SPLIT_TRAIN, &all->data, error));
    all->read = config;
    return FS_OK;
}

/* So is what samples are compared with part of a score. Pictures that were not decoded yet have no hash. */
static fs_status open_reference(struct dry_run *all, const struct fs_config *config, struct fs_error *error)
{
    char cache[FS_PATH_ROOM];
    if (all->compared && memcmp(&all->compared->dataset, &config->dataset, sizeof config->dataset) == 0 &&
        strcmp(all->compared->evaluate.reference, config->evaluate.reference) == 0) {
        return FS_OK;
    }
    fs_reference_source_close(&all->reference);
    all->compared = NULL;
    FS_TRY(fs_path(cache, error, "%s/data", all->out));
    const struct fs_data_access access = {.cache = cache, .only_kept = true};
    FS_TRY(fs_reference_source_open(config, &all->data, &access, &all->reference, error));
    all->compared = config;
    return FS_OK;
}

/* The device and the extractor are part of what a score is. */
static fs_status open_extractor(struct dry_run *all, const struct fs_config *config, struct fs_error *error)
{
    if (all->opened && all->opened->device == config->device &&
        strcmp(all->opened->evaluate.extractors[0], config->evaluate.extractors[0]) == 0) {
        return FS_OK;
    }
    close_extractor(all);
    FS_TRY(fs_open_backend(config->device, &all->backend, error));
    const fs_status status = fs_extractor_open(config->evaluate.extractors[0], all->backend, &all->extractor, error);
    if (status == FS_OK) {
        all->opened = config;
    } else {
        all->backend->destroy(all->backend);
    }
    return status;
}

/* Whether weights of the way that were to be kept are there. */
static fs_status are_kept(struct fs_store *store, const char *id, int64_t update, bool *kept, struct fs_error *error)
{
    sqlite3_stmt *query;
    FS_TRY(fs_query_open(fs_store_handle(store), &query, error,
                         "SELECT c.path FROM checkpoints c JOIN runs r ON r.number = c.run WHERE r.id = ? AND "
                         "c.at_update = ?",
                         "ti", id, update));
    const fs_status status = fs_query_next(query, kept, error);
    *kept = *kept && access(fs_query_text(query, 0), R_OK) == 0;
    sqlite3_finalize(query);
    return status;
}

/* "3/7 scores" of a trained run: those of the last update, and of the updates whose weights were kept on the way. */
static fs_status describe_scores(struct dry_run *all, const struct fs_config *config, const char *id,
                                 char text[DONE_TEXT], struct fs_error *error)
{
    struct fs_score_setup setup = {.extractor = &all->extractor, .device = all->backend->name};
    fs_score_setup_data(&setup, config, &all->data, &all->reference, 0);
    struct fs_kept_update weights[FS_KEPT_MAX + 1];
    const int kept_count = fs_config_kept_updates(config, weights);
    struct fs_score_tally tally = {0, 0}, gone = {0, 0};
    weights[kept_count] = (struct fs_kept_update){.update = own_updates(config)};
    fs_extractor_set_resize(&all->extractor, config->evaluate.resize);
    for (int k = 0; k <= kept_count; k++) {
        bool kept = true;
        if (k < kept_count) {
            FS_TRY(are_kept(all->store, id, weights[k].update, &kept, error));
        }
        FS_TRY(fs_tally_scores(all->store, 0, config, &setup, id, &weights[k], kept ? &tally : &gone, error));
    }
    snprintf(text, DONE_TEXT, "%d/%d scores", tally.made + gone.made, tally.asked + gone.made);
    if (gone.asked > gone.made) {
        snprintf(text + strlen(text), DONE_TEXT - strlen(text), ", %d of weights that were not kept",
                 gone.asked - gone.made);
    }
    return FS_OK;
}

/* A run of the same training by other code is none of this program's, but good to know of. */
static fs_status describe_other(sqlite3 *database, const struct fs_config *config, const char *data_sha256,
                                char text[DONE_TEXT], struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;
    FS_TRY(
        fs_query_open(database, &query, error,
                      "SELECT id FROM runs WHERE train_hash = ? AND seed = ? AND data_sha256 = ? ORDER BY number DESC",
                      "tit", config->train_hash, config->seed, data_sha256));
    const fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK) {
        snprintf(text, DONE_TEXT, "nothing%s%.8s%s", row ? "; run " : "", row ? fs_query_text(query, 0) : "",
                 row ? " is of another source" : "");
    }
    sqlite3_finalize(query);
    return status;
}

/* "trained, 3/7 scores", "update 1200/2000", "nothing". */
static fs_status describe_done(struct dry_run *all, const struct fs_config *config, const char *data_sha256,
                               char text[DONE_TEXT], struct fs_error *error)
{
    char id[FS_HASH_TEXT], scores[DONE_TEXT] = "scores not known";
    int64_t update;
    sqlite3 *database = fs_store_handle(all->store);
    FS_TRY(fs_run_id(config, data_sha256, id, error));
    FS_TRY(open_reference(all, config, error));
    FS_TRY(fs_query_whole(database, &update, -1, error,
                          "SELECT max(c.at_update) FROM checkpoints c JOIN runs r ON r.number = c.run WHERE r.id = ?",
                          "t", id));
    if (update < 0) {
        return describe_other(database, config, data_sha256, text, error);
    }
    if (update < own_updates(config)) {
        snprintf(text, DONE_TEXT, "update %" PRId64 "/%" PRId64, update, own_updates(config));
        return FS_OK;
    }
    if (open_extractor(all, config, &all->unknown) == FS_OK) {
        FS_TRY(describe_scores(all, config, id, scores, error));
    }
    snprintf(text, DONE_TEXT, "trained, %.50s", scores);
    return FS_OK;
}

/* Where there is no database nothing is done; where the package's data are missing it cannot be known. */
static fs_status find_done(struct dry_run *all, const struct fs_config *config, char text[DONE_TEXT],
                           struct fs_error *error)
{
    struct fs_error missing;
    if (!all->store && !config->dataset.path[0]) {
        snprintf(text, DONE_TEXT, "nothing");
        return FS_OK;
    }
    fs_status status = open_data(all, config, &missing);
    if (status != FS_OK) {
        snprintf(text, DONE_TEXT, "unknown without the data set");
        *error = config->dataset.path[0] ? missing : *error; /* a folder that was named must be there */
        return config->dataset.path[0] ? status : FS_OK;
    }
    if (all->store && all->data.sha256[0]) { /* nothing is made of data that were never decoded */
        status = describe_done(all, config, all->data.sha256, text, error);
    } else {
        snprintf(text, DONE_TEXT, "nothing");
    }
    return status;
}

/* The method, what sets its trainings apart, and how it is drawn: "Shortcut model, max_step 1/4", "Reflow, heun". */
static void name_run(const struct fs_config *config, const struct fs_results *planned, char name[NAME_TEXT])
{
    const struct fs_result_row *row = fs_result_training(planned, config->train_hash, "");
    const struct fs_evaluate_config *evaluate = &config->evaluate;
    const bool solver = evaluate->sampler != FS_SOLVER_METHOD;
    char shift[40] = "";
    if (evaluate->time_shift != 1) {
        snprintf(shift, sizeof shift, ", time shift %g", evaluate->time_shift);
    }
    snprintf(name, NAME_TEXT, "%s%s%s%s%s%s", config->method->label, row->apart[0] ? ", " : "", row->apart,
             solver ? ", " : "", solver ? fs_solver_name(evaluate->sampler) : "", shift);
}

/* Of one training, whose hash does not say which data it was on. */
static bool same_place(const struct fs_config *a, const struct fs_config *b)
{
    return a->seed == b->seed && memcmp(&a->dataset, &b->dataset, sizeof a->dataset) == 0;
}

/* A teacher that several runs share, or that is a run of the experiment, is trained once. */
static fs_status add_teacher(struct dry_run *all, const struct fs_config *config, double flops, struct fs_error *error)
{
    char hash[FS_HASH_TEXT];
    bool counted = flops == 0;
    if (counted) {
        return FS_OK;
    }
    struct fs_config teacher;
    FS_TRY(fs_config_teacher(config, &teacher, error));
    memcpy(hash, teacher.train_hash, sizeof hash);
    fs_config_free(&teacher);
    for (int i = 0; i < all->experiment->run_count; i++) {
        const struct fs_config *run = &all->experiment->runs[i];
        counted |= all->taken[i] && same_place(run, config) && strcmp(run->train_hash, hash) == 0;
    }
    for (int i = 0; i < all->teacher_count; i++) {
        counted |= same_place(all->teachers[i].of, config) && strcmp(all->teachers[i].hash, hash) == 0;
    }
    if (!counted && all->teacher_count < TEACHERS_MAX) {
        struct counted_teacher *new = &all->teachers[all->teacher_count++];
        new->of = config;
        memcpy(new->hash, hash, sizeof hash);
    }
    all->flops += counted ? 0 : flops;
    return FS_OK;
}

static fs_status print_run(struct dry_run *all, const struct fs_config *config, const struct fs_results *planned,
                           struct fs_error *error)
{
    struct fs_cost cost;
    char name[NAME_TEXT], done[DONE_TEXT], memory[FS_NUMBER_TEXT], disk[FS_NUMBER_TEXT];
    struct fs_data_shape shape;
    bool there;
    FS_TRY(fs_reference_source_check(config, error));
    FS_TRY(fs_dataset_plan(config, &shape, &there, error));
    FS_TRY(fs_run_cost(config, &shape, &cost, error));
    if (there) {
        FS_TRY(find_done(all, config, done, error));
    } else {
        snprintf(done, sizeof done, "nothing: the data are not there");
    }
    const double disk_bytes = cost.checkpoint_bytes + cost.pair_bytes;
    name_run(config, planned, name);
    fs_byte_size((int64_t)cost.memory_bytes, memory);
    fs_byte_size((int64_t)disk_bytes, disk);
    printf("%-*s %5" PRId64 " %8" PRId64 " %7.1f TF %7.1f TF %7.1f TF %7.1f TF %10s %10s  %s\n",
           all->width + (int)strlen(name) - fs_utf8_characters(name), name, config->seed,
           fs_config_teacher_updates(config) + own_updates(config), cost.student_flops * 1e-12,
           cost.teacher_flops * 1e-12, cost.pair_flops * 1e-12, cost.score_flops * 1e-12, memory, disk, done);
    if (cost.memory_bytes > all->largest_bytes) {
        all->largest = config;
        all->largest_shape = shape;
        all->largest_bytes = cost.memory_bytes;
    }
    all->flops += cost.student_flops + cost.pair_flops + cost.score_flops;
    FS_TRY(add_teacher(all, config, cost.teacher_flops, error));
    all->bytes += disk_bytes;
    all->snapshot = fmax(all->snapshot, cost.snapshot_bytes);
    return FS_OK;
}

static fs_status find_gpu(const struct fs_dry_run_rate *rate, int *gpu, struct fs_error *error)
{
    char names[128] = "";
    *gpu = H100;
    for (int i = 0; rate->gpu && i < (int)(sizeof gpus / sizeof *gpus); i++) {
        if (strcmp(gpus[i].name, rate->gpu) == 0) {
            *gpu = i;
            return FS_OK;
        }
        const size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", gpus[i].name);
    }
    return rate->gpu ? fs_fail(error, FS_USAGE, "--gpu: '%s' is not known; there are %s", rate->gpu, names) : FS_OK;
}

static void print_hours(const struct dry_run *all, const struct fs_dry_run_rate *rate, int gpu)
{
    const double share = rate->share > 0 ? rate->share : USUAL_SHARE;
    printf("one %s at %.0f %% of the %.0f TFLOP/s that its data sheet has for bf16: %.3g hours, without decoding and "
           "features (--gpu, --gpu-share)\n",
           gpus[gpu].name, 100 * share, gpus[gpu].flops * 1e-12, all->flops / (share * gpus[gpu].flops) / 3600);
}

#define RANKS_TOLD 8
#define RANKS_TRIED 64

static fs_status rank_bytes(const struct dry_run *all, int ranks, bool sharded, double *bytes, struct fs_error *error)
{
    struct fs_config config = *all->largest; /* a view of it: nothing of it is freed */
    config.train.shard_optimizer = sharded;
    const enum fs_type precision = config.train.precision == FS_PRECISION_BF16 ? FS_BF16 : FS_F32;
    return fs_training_bytes(&config, &all->largest_shape, FS_F32, precision, 0, ranks, bytes, error);
}

/* "2 ranks 1.2 GB, 4 ranks 0.8 GB", and the fewest of which each has at most `room` (0: there are none). */
static fs_status describe_ranks(const struct dry_run *all, bool sharded, double room, char *text, size_t size,
                                int *fewest, struct fs_error *error)
{
    *fewest = 0;
    text[0] = '\0';
    for (int ranks = 1; ranks <= RANKS_TRIED && ranks <= all->largest->train.batch; ranks *= 2) {
        double bytes;
        char number[FS_NUMBER_TEXT];
        FS_TRY(rank_bytes(all, ranks, sharded, &bytes, error));
        *fewest = *fewest == 0 && bytes <= room ? ranks : *fewest;
        if (ranks > 1 && ranks <= RANKS_TOLD) {
            const size_t used = strlen(text);
            fs_byte_size((int64_t)bytes, number);
            snprintf(text + used, size - used, "%s%d ranks %s", used ? ", " : "", ranks, number);
        }
    }
    return FS_OK;
}

/* What each of several processes needs for the run that needs the most, and how many it takes to fit. */
static fs_status print_ranks(const struct dry_run *all, int gpu, struct fs_error *error)
{
    char plain[256], sharded[256], fits[2][32];
    int fewest[2];
    if (!all->largest || all->largest->train.batch < 2) {
        return FS_OK;
    }
    FS_TRY(describe_ranks(all, false, gpus[gpu].bytes, plain, sizeof plain, &fewest[0], error));
    FS_TRY(describe_ranks(all, true, gpus[gpu].bytes, sharded, sizeof sharded, &fewest[1], error));
    for (int i = 0; i < 2; i++) {
        if (fewest[i] > 1) {
            snprintf(fits[i], sizeof fits[i], "%d ranks", fewest[i]);
        } else {
            snprintf(fits[i], sizeof fits[i], "%s", fewest[i] == 1 ? "one rank" : "no number of ranks");
        }
    }
    printf(
        "memory of each of several ranks (mpirun, srun), of the largest run: %s; with train.shard_optimizer: %s; the "
        "%.0f GB of one %s are enough for %s, sharded for %s\n",
        plain, sharded, gpus[gpu].bytes * 1e-9, gpus[gpu].name, fits[0], fits[1]);
    return FS_OK;
}

fs_status fs_dry_run(const struct fs_experiment *experiment, const bool *taken, const char *out, const char *db,
                     const struct fs_dry_run_rate *rate, struct fs_error *error)
{
    struct dry_run all = {.experiment = experiment, .taken = taken, .out = out, .width = 30};
    struct fs_results planned;
    char disk[FS_NUMBER_TEXT], name[NAME_TEXT];
    int gpu;
    FS_TRY(find_gpu(rate, &gpu, error));
    if (access(db, F_OK) == 0) {
        FS_TRY(fs_store_open(db, FS_STORE_READ, &all.store, error));
    }
    fs_status status = fs_results_planned(experiment, &planned, error);
    for (int i = 0; status == FS_OK && i < experiment->run_count; i++) {
        name_run(&experiment->runs[i], &planned, name);
        all.width = fs_utf8_characters(name) > all.width ? fs_utf8_characters(name) : all.width;
    }
    printf("%-*s %5s %8s %10s %10s %10s %10s %10s %10s  %s\n", all.width, "method", "seed", "updates", "train",
           "teacher", "pairs", "scores", "memory", "disk", "done");
    for (int i = 0; status == FS_OK && i < experiment->run_count; i++) {
        status = taken[i] ? print_run(&all, &experiment->runs[i], &planned, error) : FS_OK;
    }
    fs_results_free(&planned);
    close_extractor(&all);
    fs_reference_source_close(&all.reference);
    fs_dataset_close(&all.data);
    fs_store_close(all.store);
    if (status == FS_OK) {
        char snapshot[FS_NUMBER_TEXT];
        fs_byte_size((int64_t)all.bytes, disk);
        fs_byte_size((int64_t)all.snapshot, snapshot);
        printf(
            "at most %.1f TFLOP of matrix products in all, and %s on the disk: a teacher is counted and made once for "
            "all that share it, its pairs are made once, and the last checkpoint of each run is kept; memory is that "
            "of the network, "
            "its optimiser and a batch, to which data, "
            "libraries and scoring add a few hundred megabytes, and the copy that a checkpoint is written from up to "
            "%s\n",
            all.flops * 1e-12, disk, snapshot);
        print_hours(&all, rate, gpu);
        status = print_ranks(&all, gpu, error);
        if (all.unknown.text[0]) {
            printf("which scores are there is not known: %s\n", all.unknown.text);
        }
    }
    return status;
}
