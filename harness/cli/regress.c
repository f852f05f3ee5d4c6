/* fewstep regress: did the scores move between two commits? */
#include "harness/report/regress_print.h"

#include <string.h>

#include "harness/cli/command.h"
#include "harness/cli/options.h"
#include "harness/run/session.h"

/* What git bisect understands: this commit cannot be judged; this search cannot go on. Exit status 2, wrong use, would
 * mean "bad" to it. */
enum { GIT_SKIP = 125, GIT_ABORT = 128 };

struct regress_options {
    const char *base, *head, *experiment, *db, *out, *format;
    struct fs_rule rule;
    bool bisect, json, help;
};

static fs_status check(const struct regress_options *options, struct fs_error *error)
{
    if (!options->base) {
        return fs_fail(error, FS_USAGE, "fewstep regress: --base is missing: --base REV");
    }
    if (strcmp(options->format, "text") != 0 && strcmp(options->format, "markdown") != 0 &&
        strcmp(options->format, "json") != 0) {
        return fs_fail(error, FS_USAGE, "fewstep regress: --format: expected text, markdown or json, got '%s'",
                       options->format);
    }
    if (!(options->rule.alpha > 0 && options->rule.alpha < 1)) {
        return fs_fail(error, FS_USAGE, "fewstep regress: --alpha: expected a share between 0 and 1");
    }
    if (!(options->rule.minimal >= 0)) {
        return fs_fail(error, FS_USAGE, "fewstep regress: --minimal: expected a share of 0 or more, such as 0.05");
    }
    return FS_OK;
}

static fs_status parse(int argc, char **argv, struct regress_options *options, struct fs_error *error)
{
    const struct fs_flag flags[] = {
        {"--base", FS_FLAG_TEXT, &options->base, "REV", "the revision to compare with"},
        {"--head", FS_FLAG_TEXT, &options->head, "REV", "the revision that is judged (HEAD)"},
        {"--alpha", FS_FLAG_REAL, &options->rule.alpha, "SHARE", "chance of any false worse or better (0.05)"},
        {"--minimal", FS_FLAG_REAL, &options->rule.minimal, "SHARE", "smallest change of interest (0.05)"},
        {"--bisect", FS_FLAG_SWITCH, &options->bisect, NULL,
         "exit status for git bisect run: 125 where undecided or without runs"},
        {"--format", FS_FLAG_TEXT, &options->format, "text|markdown|json", "markdown: of a comment's size (text)"},
        {"--json", FS_FLAG_SWITCH, &options->json, NULL, "one JSON object a line: the cells, then the verdict"},
        {"--db", FS_FLAG_TEXT, &options->db, "FILE", "the database (OUT/fewstep.db)"},
        {"--out", FS_FLAG_TEXT, &options->out, "DIR", "where the runs are (out)"},
    };
    const struct fs_usage usage = {
        .command = "regress",
        .arguments = "[EXPERIMENT] --base REV",
        .summary = "Says whether Frechet distances moved between two commits: better, same, worse or undecided. A cell "
                   "is one\n"
                   "training at one step count; its effect is the mean of log(head / base) over the seeds that both "
                   "have. Its\n"
                   "interval is Student's, with the spread pooled over the method's cells and over commits, corrected "
                   "by Holm's\n"
                   "procedure. Worse, better: the interval excludes no change, and the change is at least --minimal. "
                   "Same: the\n"
                   "interval lies within --minimal, or the bits are the same. Exit status: 0 same or better, 1 worse,\n"
                   "4 undecided. Commits that differ in nothing that can change a number share their runs.",
        .example = "fewstep regress --base HEAD~20\n"
                   "  fewstep regress fashion-unconditional --base HEAD~5 --head HEAD --db results/fewstep.db\n"
                   "  git bisect start HEAD REV && git bisect run build/fewstep regress --base REV --bisect",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
        .arguments_max = 1,
    };
    int count;
    FS_TRY(fs_options_parse(&usage, argc, argv, &options->experiment, &count, &options->help, error));
    return options->help ? FS_OK : check(options, error);
}

static fs_status print(const struct fs_regression *regression, const struct fs_revision *base,
                       const struct fs_revision *head, const struct regress_options *options, struct fs_error *error)
{
    if (options->json || strcmp(options->format, "json") == 0) {
        return fs_regression_print_json(regression, base, head, stdout, error);
    }
    (strcmp(options->format, "markdown") == 0 ? fs_regression_print_markdown : fs_regression_print)(regression, base,
                                                                                                    head, stdout);
    return FS_OK;
}

static fs_status compare(const struct regress_options *options, struct fs_store *store, enum fs_verdict *verdict,
                         struct fs_error *error)
{
    struct fs_revision base, head;
    struct fs_regression regression;
    /* What a changed tree left is shown, but no commit is blamed for it. */
    FS_TRY(fs_revision_find(store, options->base, !options->bisect, &base, error));
    FS_TRY(fs_revision_find(store, options->head, !options->bisect, &head, error));
    fs_status status =
        fs_regress(store, base.source_hash, head.source_hash, options->experiment, options->rule, &regression, error);
    if (status == FS_OK) {
        *verdict = regression.verdict;
        status = print(&regression, &base, &head, options, error);
    }
    fs_regression_free(&regression);
    return status;
}

static fs_status regress(const struct regress_options *options, enum fs_verdict *verdict, struct fs_error *error)
{
    char path[FS_PATH_ROOM];
    struct fs_store *store;
    FS_TRY(fs_database_path(options->out, options->db, path, error));
    FS_TRY(fs_store_open(path, FS_STORE_READ, &store, error));
    const fs_status status = compare(options, store, verdict, error);
    fs_store_close(store);
    return status;
}

fs_status fs_command_regress(int argc, char **argv, struct fs_error *error)
{
    struct regress_options options = {.head = "HEAD", .format = "text", .rule = FS_RULE_DEFAULT};
    enum fs_verdict verdict = FS_VERDICT_UNDECIDED;
    for (int i = 0; i < argc; i++) {
        options.bisect = options.bisect || strcmp(argv[i], "--bisect") == 0; /* also before an option that is wrong */
    }
    fs_status status = parse(argc, argv, &options, error);
    if (options.help) {
        return FS_OK;
    }
    if (status == FS_OK) {
        status = regress(&options, &verdict, error);
    }
    if (status != FS_OK) {
        return !options.bisect ? status : status == FS_USAGE ? (fs_status)GIT_ABORT : (fs_status)GIT_SKIP;
    }
    switch (verdict) {
    case FS_VERDICT_WORSE:
        return (fs_status)FS_EXIT_WORSE;
    case FS_VERDICT_UNDECIDED:
        return options.bisect ? (fs_status)GIT_SKIP : (fs_status)FS_EXIT_UNDECIDED;
    default:
        return FS_OK;
    }
}
