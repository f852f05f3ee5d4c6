/* fewstep run: an experiment file to trained, scored, logged runs, the table and the pictures. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/cli/command.h"
#include "harness/run/dry_run.h"
#include "harness/cli/options.h"
#include "harness/data/dataset.h"
#include "harness/run/pipeline.h"
#include "harness/run/run_at.h"
#include "harness/run/worker.h"
#include "harness/report/findings_print.h"
#include "harness/report/table.h"
#include "harness/results/regress.h"
#include "harness/store/query.h"
#include "harness/text/escape.h"
#include "kernels/base/memory.h"

struct run_options {
    struct fs_list sets, only;
    const char *shard, *label, *db, *out, *at;
    struct fs_dry_run_rate rate;
    bool dry_run, adopt, retry_failed, verify, quiet, help;
    const char *experiment; /* the file */
    int shard_index, shard_count;
};

static fs_status parse_shard(struct run_options *options, struct fs_error *error)
{
    int length = 0;
    options->shard_index = options->shard_count = 1;
    if (options->shard &&
        (sscanf(options->shard, "%d/%d%n", &options->shard_index, &options->shard_count, &length) != 2 ||
         options->shard[length] || options->shard_index < 1 || options->shard_index > options->shard_count)) {
        return fs_fail(error, FS_USAGE, "--shard: expected i/n with 1 ≤ i ≤ n, such as 1/3, got '%s'", options->shard);
    }
    return FS_OK;
}

static fs_status parse(int argc, char **argv, struct run_options *options, struct fs_error *error)
{
    const struct fs_flag flags[] = {
        {"--set", FS_FLAG_LIST, &options->sets, "a.b=c", "another value for a key of the file; may be repeated"},
        {"--only", FS_FLAG_LIST, &options->only, "key=value", "only the runs for which this holds; may be repeated"},
        {"--shard", FS_FLAG_TEXT, &options->shard, "i/n", "only every n-th run, from the i-th"},
        {"--label", FS_FLAG_TEXT, &options->label, "NAME",
         "your own name for the runs in this experiment's tables ('': none)"},
        {"--dry-run", FS_FLAG_SWITCH, &options->dry_run, NULL, "the runs, what they cost, what is already done"},
        {"--gpu", FS_FLAG_TEXT, &options->rate.gpu, "NAME", "whose hours a dry run tells (H100)"},
        {"--gpu-share", FS_FLAG_REAL, &options->rate.share, "S", "of its rate by the data sheet (0.35)"},
        {"--at", FS_FLAG_TEXT, &options->at, "REV",
         "by another commit's program, built for it, and added to the database"},
        {"--retry-failed", FS_FLAG_SWITCH, &options->retry_failed, NULL,
         "train runs again that failed in an earlier call (else they are named and left alone)"},
        {"--adopt", FS_FLAG_SWITCH, &options->adopt, NULL, "go on with half-trained runs of another source"},
        {"--verify", FS_FLAG_SWITCH, &options->verify, NULL,
         "compare pictures that were decoded earlier with their files by contents, not by size and time"},
        {"--db", FS_FLAG_TEXT, &options->db, "FILE", "the database (OUT/fewstep.db)"},
        {"--out", FS_FLAG_TEXT, &options->out, "DIR", "where everything goes (out)"},
        {"--quiet", FS_FLAG_SWITCH, &options->quiet, NULL, "no progress"},
    };
    const struct fs_usage usage = {
        .command = "run",
        .arguments = "EXPERIMENT.yaml",
        .summary = "Expands the matrix, trains what is not trained, scores what is not scored, and prints the table.\n"
                   "Stopped at any moment (exit status 5), the same command goes on from there. Of runs that fail the\n"
                   "others are made, and the failed ones named at the end (exit status 3).",
        .example = "fewstep run experiments/fashion-unconditional.yaml --set seed=0 --only method=shortcut\n"
                   "  fewstep run experiments/demo.yaml --at HEAD~20",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
        .arguments_min = 1,
        .arguments_max = 1,
    };
    int count;
    FS_TRY(fs_options_parse(&usage, argc, argv, &options->experiment, &count, &options->help, error));
    if (!options->help && options->at && options->dry_run) {
        return fs_fail(error, FS_USAGE,
                       "fewstep run: --dry-run and --at do not go together: another commit's costs are "
                       "not known before it is built");
    }
    char plain[512];
    if (options->label && strcmp(fs_plain_text(options->label, plain, sizeof plain), options->label) != 0) {
        return fs_fail(error, FS_USAGE, "--label: expected a name on one line, of less than %zu bytes", sizeof plain);
    }
    return options->help ? FS_OK : parse_shard(options, error);
}

static bool in_shard(const struct run_options *options, int run)
{
    return run % options->shard_count == options->shard_index - 1;
}

static fs_status dry_run(const struct run_options *options, const struct fs_experiment *experiment,
                         struct fs_error *error)
{
    char db[FS_PATH_ROOM];
    FS_TRY(fs_database_path(options->out, options->db, db, error));
    bool *taken = fs_allocate((size_t)experiment->run_count, sizeof *taken, "the list of runs", error);
    if (!taken) {
        return error->status;
    }
    for (int i = 0; i < experiment->run_count; i++) {
        taken[i] = in_shard(options, i);
    }
    const fs_status status =
        fs_dry_run(experiment, taken, options->out ? options->out : "out", db, &options->rate, error);
    free(taken);
    return status;
}

/* --- the runs --- */

static bool same_pipeline(const struct fs_config *a, const struct fs_config *b)
{
    return memcmp(&a->dataset, &b->dataset, sizeof a->dataset) == 0 &&
           strcmp(a->evaluate.extractors[0], b->evaluate.extractors[0]) == 0 &&
           a->evaluate.decoder_precision == b->evaluate.decoder_precision && a->evaluate.resize == b->evaluate.resize &&
           a->evaluate.samples == b->evaluate.samples && strcmp(a->evaluate.reference, b->evaluate.reference) == 0 &&
           memcmp(a->evaluate.metrics, b->evaluate.metrics, sizeof a->evaluate.metrics) == 0;
}

/* Whether a run is the first of its experiment on its data, told as much of the labels, with its steps and sampler: the
 * exact velocity's samples, for which no training matters, are drawn and scored with that one, from its seed's noise.
 */
static bool first_of_its_samples(const struct fs_experiment *experiment, int run)
{
    const struct fs_config *config = &experiment->runs[run];
    for (int i = 0; i < run; i++) {
        const struct fs_config *before = &experiment->runs[i];
        if (memcmp(&before->dataset, &config->dataset, sizeof config->dataset) == 0 &&
            before->model.classes == config->model.classes &&
            memcmp(&before->evaluate, &config->evaluate, sizeof config->evaluate) == 0) {
            return false;
        }
    }
    return true;
}

/* What the runs of a command came to. */
struct outcome {
    struct fs_failures failures;
    int taken; /* by another process */
    bool stopped;
    bool any_score; /* of a run of this experiment */
};

/* Opens the pipeline for a run, or keeps the open one when it serves. */
static fs_status pipeline_for(struct fs_pipeline *pipeline, struct fs_session *session, const struct fs_config **opened,
                              const struct fs_config *config, const struct fs_experiment *experiment, int64_t id,
                              const struct run_options *options, struct fs_failures *failures, struct fs_error *error)
{
    if (*opened && same_pipeline(*opened, config)) {
        return FS_OK;
    }
    fs_pipeline_close(pipeline);
    *opened = NULL;
    FS_TRY(fs_pipeline_open(pipeline, session, config, error));
    pipeline->experiment = id;
    pipeline->experiment_name = experiment->name;
    pipeline->adopt = options->adopt;
    pipeline->retry_failed = options->retry_failed;
    pipeline->label = options->label;
    pipeline->failures = failures;
    *opened = config;
    enum fs_pipeline_end end;
    return fs_pipeline_baseline(pipeline, config, &end, error);
}

static fs_status run_all(const struct run_options *options, const struct fs_experiment *experiment,
                         struct fs_session *session, struct outcome *outcome, struct fs_error *error)
{
    int64_t id, scores = 0;
    const struct fs_config *opened = NULL;
    struct fs_pipeline pipeline = {0};
    FS_TRY(fs_store_experiment(session->store, experiment->name, experiment->path, experiment->text,
                               experiment->ablated, &id, error));
    fs_status status = FS_OK;
    for (int i = 0; status == FS_OK && !outcome->stopped && i < experiment->run_count; i++) {
        enum fs_pipeline_end end = FS_PIPELINE_DONE;
        if (!in_shard(options, i)) {
            continue;
        }
        const struct fs_config *config = &experiment->runs[i];
        status = pipeline_for(&pipeline, session, &opened, config, experiment, id, options, &outcome->failures, error);
        if (status == FS_OK && first_of_its_samples(experiment, i)) {
            status = fs_pipeline_exact(&pipeline, config, &end, error);
        }
        if (status == FS_OK && end == FS_PIPELINE_DONE) {
            status = fs_pipeline_run(&pipeline, config, &end, error);
        }
        outcome->taken += end == FS_PIPELINE_TAKEN;
        outcome->stopped = end == FS_PIPELINE_STOPPED || fs_stop;
    }
    fs_pipeline_close(&pipeline);
    if (status == FS_OK) {
        status = fs_query_whole(fs_store_handle(session->store), &scores, 0, error,
                                "SELECT count(*) FROM experiment_scores m JOIN scores s ON s.number = m.score "
                                "WHERE m.experiment = ?1 AND s.run IS NOT NULL",
                                "i", id);
    }
    outcome->any_score = scores > 0;
    return status;
}

/* The table and where the rest lies; without a score there is neither, where others make them or all failed. */
static fs_status print_results(const struct run_options *options, const struct fs_experiment *experiment,
                               struct fs_session *session, const struct outcome *outcome, struct fs_error *error)
{
    char pictures[FS_PATH_ROOM];
    if (outcome->taken) {
        fprintf(stderr, "%d of the runs belong%s to another process at the moment%s\n", outcome->taken,
                outcome->taken == 1 ? "s" : "",
                outcome->any_score ? "" : "; no run has a score yet: `fewstep table` prints them when there are some");
    }
    if (outcome->any_score || !(outcome->taken || outcome->failures.count)) {
        FS_TRY(
            fs_table_print(session->store, &(struct fs_table_request){.experiment = experiment->name}, stdout, error));
        const struct fs_metric *metric = fs_metric_find(experiment->runs[0].evaluate.metrics[0]);
        printf("\n%s: %s is better; the data's row is what real pictures of the test split score\n", metric->name,
               metric->larger_is_better ? "higher" : "lower");
        FS_TRY(fs_findings_print(session->store, experiment->name, stdout, error));
    }
    FS_TRY(fs_path(pictures, error, "%s/samples/%s/", session->out, experiment->name));
    if (access(pictures, F_OK) == 0) {
        printf("pictures: %s (a row a number of steps, the same noise in every column)\n", pictures);
    }
    printf("database: %s\n", session->db);
    if (outcome->any_score) {
        const bool usual = !options->db && !options->out;
        printf("next: `fewstep report%s%s` puts all of it on one page; `fewstep runs%s%s` lists the runs\n",
               usual ? "" : " --db ", usual ? "" : session->db, usual ? "" : " --db ", usual ? "" : session->db);
    }
    return FS_OK;
}

/* FS_FAILED where runs failed, which are named first. */
static fs_status tell_failures(const struct fs_failures *failures, struct fs_error *error)
{
    if (failures->count == 0) {
        return FS_OK;
    }
    fflush(stdout);
    for (int i = 0; i < failures->count; i++) {
        const struct fs_failed_run *run = &failures->runs[i];
        char reason[sizeof run->reason];
        fprintf(stderr, "failed: %s (run %.8s): %s\n", run->name, run->id,
                fs_plain_text(run->reason, reason, sizeof reason));
    }
    return fs_fail(error, FS_FAILED,
                   "%d run%s failed; the others are made. The same command goes on with those that "
                   "stopped for want of disk or memory; those that diverged are tried again with --retry-failed",
                   failures->count, failures->count == 1 ? "" : "s");
}

static fs_status run_and_print(const struct run_options *options, const struct fs_experiment *experiment,
                               struct fs_comm *comm, struct fs_error *error)
{
    struct fs_session session;
    struct outcome outcome = {0};
    FS_TRY(
        fs_session_open(&session, comm, options->out, options->db, experiment->runs[0].device, options->quiet, error));
    fs_catch_signals();
    session.verify_data = options->verify;
    fs_status status = run_all(options, experiment, &session, &outcome, error);
    if (status == FS_OK && outcome.stopped) {
        status = fs_fail(error, FS_STOPPED,
                         "stopped; nothing that was reported is lost: the same command goes on from here");
    } else if (status == FS_OK) {
        status = print_results(options, experiment, &session, &outcome, error);
        status = status == FS_OK ? tell_failures(&outcome.failures, error) : status;
    }
    fs_failures_free(&outcome.failures);
    fs_session_close(&session);
    return status;
}

/* --- by another commit's program --- */

#define OPTIONS_MAX (4 * FS_LIST_MAX + 8)

/* The options that go on to the other program. */
static void collect_options(const struct run_options *options, const char *list[OPTIONS_MAX])
{
    int count = 0;
    for (int i = 0; i < options->sets.count; i++) {
        list[count++] = "--set";
        list[count++] = options->sets.items[i];
    }
    for (int i = 0; i < options->only.count; i++) {
        list[count++] = "--only";
        list[count++] = options->only.items[i];
    }
    if (options->shard) {
        list[count++] = "--shard";
        list[count++] = options->shard;
    }
    if (options->label) {
        list[count++] = "--label";
        list[count++] = options->label;
    }
    if (options->adopt) {
        list[count++] = "--adopt";
    }
    if (options->retry_failed) {
        list[count++] = "--retry-failed";
    }
    if (options->verify) {
        list[count++] = "--verify";
    }
    if (options->quiet) {
        list[count++] = "--quiet";
    }
    list[count] = NULL;
}

/* The experiment that a source's runs were made for last: in our database another one may be newer. */
static fs_status last_experiment(struct fs_store *store, const char *source, char name[256], struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;
    name[0] = '\0';
    FS_TRY(fs_query_open(fs_store_handle(store), &query, error,
                         "SELECT e.name FROM experiments e JOIN experiment_runs x ON x.experiment = e.id JOIN runs r "
                         "ON r.number = x.run WHERE r.source_hash = ?1 ORDER BY e.used DESC, e.id DESC LIMIT 1",
                         "t", source));
    const fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK && row) {
        snprintf(name, 256, "%s", fs_query_text(query, 0));
    }
    sqlite3_finalize(query);
    return status;
}

/* The table of the commit's own runs. */
static fs_status print_commit(const char *revision, const char *db, struct fs_error *error)
{
    struct fs_store *store;
    struct fs_revision found;
    char name[256];
    FS_TRY(fs_store_open(db, FS_STORE_READ, &store, error));
    fs_status status = fs_revision_find(store, revision, true, &found, error);
    status = status == FS_OK ? last_experiment(store, found.source_hash, name, error) : status;
    if (status == FS_OK) {
        const struct fs_table_request request = {
            .experiment = name[0] ? name : NULL,
            .filter = {.source = found.source_hash, .revision = revision},
        };
        status = fs_table_print(store, &request, stdout, error);
    }
    fs_store_close(store);
    return status;
}

static fs_status run_at(const struct run_options *options, struct fs_error *error)
{
    const char *more[OPTIONS_MAX];
    collect_options(options, more);
    const struct fs_run_at at = {.revision = options->at,
                                 .experiment = options->experiment,
                                 .out = options->out ? options->out : "out",
                                 .db = options->db,
                                 .more = more};
    char db[FS_PATH_ROOM];
    bool added;
    struct fs_error none;
    FS_TRY(fs_database_path(at.out, at.db, db, error));
    const fs_status status = fs_run_at(&at, &added, error);
    const fs_status printed = added ? print_commit(at.revision, db, status == FS_OK ? error : &none) : FS_OK;
    return status == FS_OK ? printed : status;
}

/* The name becomes a folder of pictures and an argument of other commands. */
static fs_status check_name(const struct run_options *options, const char *name, struct fs_error *error)
{
    if (!fs_is_file_name(name)) {
        return fs_fail(
            error, FS_USAGE,
            "%s: experiment: '%s' is no name: use letters, digits, '.', '_' and '-', a letter or digit first",
            options->experiment, name);
    }
    return FS_OK;
}

static fs_status run_command(struct fs_comm *comm, int argc, char **argv, struct fs_error *error)
{
    struct run_options options = {0};
    struct fs_experiment experiment = {0};
    FS_TRY(parse(argc, argv, &options, error));
    if (options.help) {
        return FS_OK;
    }
    if (options.at && comm->size > 1) {
        return fs_fail(error, FS_USAGE, "fewstep run: --at builds and starts another commit's program: by one process");
    }
    if (options.at) {
        return run_at(&options, error);
    }
    FS_TRY(fs_experiment_read(options.experiment, options.sets.items, options.sets.count, options.only.items,
                              options.only.count, &experiment, error));
    fs_status status = check_name(&options, experiment.name, error);
    for (int i = 0; status == FS_OK && i < experiment.run_count; i++) { /* not after hours of work */
        struct fs_data_shape shape;
        bool there;
        status = options.dry_run ? fs_dataset_plan(&experiment.runs[i], &shape, &there, error)
                                 : fs_dataset_check(&experiment.runs[i], &shape, error);
    }
    if (status == FS_OK) {
        status =
            options.dry_run ? dry_run(&options, &experiment, error) : run_and_print(&options, &experiment, comm, error);
    }
    fs_experiment_free(&experiment);
    return status;
}

fs_status fs_command_run(int argc, char **argv, struct fs_error *error)
{
    return fs_run_ranks(run_command, argc, argv, error);
}
