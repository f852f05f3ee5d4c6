/* What the paper takes from the database: facts, switches, figures' data, and the map of numbers to runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/text/number.h"
#include "harness/report/paper.h"
#include "harness/store/query.h"
#include "kernels/base/file.h"
#include "tests/support/folder.h"
#include "tests/support/study.h"

static struct fs_error error;
static struct fs_store *store;
static struct fs_results published;
static char database[1100], samples[1100], folder[1100];

static void good(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

static fs_status write_paper(const char *main, const char *ablation, char **notes)
{
    const struct fs_paper_options options = {
        .main = main, .ablation = ablation, .samples = samples, .database = "a_b.db", .published = &published};

    return fs_paper_write(store, &options, folder, notes, &error);
}

static void has(const char *file, const char *piece)
{
    char path[1300], *text;
    size_t size;

    snprintf(path, sizeof(path), "%s/%s", folder, file);
    good(fs_file_read(path, 1 << 20, &text, &size, &error));
    if (!strstr(text, piece)) {
        fail_msg("no '%s' in %s:\n%s", piece, file, text);
    }
    free(text);
}

static void test_the_whole_study(void **state)
{
    char *notes, expected[256], mean[FS_NUMBER_TEXT], id[65];
    double sum = 0, logs = 0;

    (void)state;
    good(write_paper("table", "ablation", &notes));
    assert_non_null(strstr(notes, "no scores of why-budget"));
    free(notes);
    for (int seed = 0; seed < 3; seed++) {
        sum += test_study_value(3, 4, seed);
    }
    fs_three_digits(sum / 3, mean);
    snprintf(expected, sizeof(expected), "\\fsset{main/shortcut/4}{%s{\\scriptsize", mean);
    has("fs-facts.tex", expected);
    has("fs-facts.tex", "\\fsset{main/seeds-words}{3 seeds}\n");
    has("fs-facts.tex", "\\fsset{main/lowest}{at 1 step to ");
    has("fs-facts.tex", "\\fsset{main/steps-list}{1, 2, 4, 8, 16, 32 and 128}\n");
    has("fs-facts.tex", "\\fsset{main/4/shortcut/vs/reflow}{lower than}\n");
    has("fs-facts.tex", "\\fsset{main/4/reflow/vs/shortcut}{higher than}\n");
    has("fs-facts.tex", "\\fsset{main/1/shortcut/vs/progressive-distillation}{not distinguishable from}\n");
    has("fs-facts.tex", "\\fsset{ablation/1/8/label}{Shortcut model}\n"); /* the row of 1/8 */
    has("fs-facts.tex", "\\fsset{database/file}{a\\_b.db}\n");
    has("fs-facts.tex", "\\fsset{published/imagenet256/shortcut/1}{40.3}\n");
    has("fs-facts.tex", "\\fsset{published/imagenet256/reflow/1}{44.8$^\\dagger$}\n");
    has("fs-facts.tex", "\\fsablationtrue\n\\fssamplestrue\n\\fsotherstrue\n\\fsseedstrue\n");
    has("fs-facts.tex", "\\fsset{main/spectrum/shortcut/8}{");
    has("fs-facts.tex", "\\fsspectrumtrue\n");
    has("fs-facts.tex", "\\fsset{main/unstable/without}{}\n\\fsunstablefalse\n");
    for (int seed = 0; seed < 3; seed++) {
        logs += log(test_study_value(3, 4, seed) / test_study_value(2, 4, seed)) / 3;
    }
    fs_three_digits(exp(logs), mean);
    snprintf(expected, sizeof(expected), "\\fsset{main/4/shortcut/vs/reflow/ratio}{%s}\n", mean);
    has("fs-facts.tex", expected);
    has("fs-facts.tex", "\\fsset{main/4/shortcut/vs/reflow/lower-in}{3 of 3 seeds}\n");
    has("fs-facts.tex", "\\fsset{main/test/dof}{4}\n");
    has("fs-facts.tex", "\\fsset{main/spectrum/seeds-words}{");
    has("fs-facts.tex", "\\fsset{main/power/shortcut/8}{");
    has("fs-facts.tex", "\\fsset{claims/inside/all}{6}\n");
    has("fs-facts.tex", "\\fsset{claims/all}{17}\n");
    has("fs-facts.tex", "\\fsset{claims/undecided-alike}{0}\n");
    has("fs-facts.tex", "\\fsset{main/floor-note}{ The score of data itself lies below the axis.}\n");
    has("fs-claims.tex", "Shortcut model $<$ Reflow & 1.33 & 1.16 & ");
    has("fs-claims.tex", "Shortcut model $<$ (Flow matching) & ");
    has("fs-ablation-figure.tex", "xticklabels={{1},{1/2},{1/4},");
    has("fs-main-1-outside.dat", "\n1 "); /* flow matching at one step */
    has("fs-main-1-inside.dat", "\n128 ");
    test_study_run(3, 2, id);
    snprintf(expected, sizeof(expected), "\\hyperlink{run:%.8s}{\\texttt{%.8s}} \\\\", id, id);
    has("fs-numbers.tex", expected);
    snprintf(expected, sizeof(expected), "\\hypertarget{run:%.8s}{", id);
    has("fs-runs.tex", expected);
    has("fs-runs.tex", "git checkout c0ffee00c0ff \\&\\& make");
    has("fs-runs.tex", " thread");
    has("fs-others.tex", "\\begin{fsother}{fashion-mnist, dit-xs/4, ");
    has("fs-samples.tex", "\\fssample{Shortcut model}{/");
}

/* A training that fell back is named, with what its loss was before and then. */
static void test_a_training_that_fell_back(void **state)
{
    struct fs_store *changed;
    char *notes, id[65], mean[FS_NUMBER_TEXT], expected[256];
    const struct fs_paper_options options = {
        .main = "table", .samples = samples, .database = "x.db", .published = &published};

    (void)state;
    test_study_run(2, 1, id);
    good(fs_store_open(database, FS_STORE_WRITE, &changed, &error));
    good(fs_execute(
        fs_store_handle(changed), &error,
        "UPDATE curves SET value = iif(at_update < 2000, 0.02, 0.75 / (1 + abs(at_update - 2000))) WHERE run "
        "= (SELECT number FROM runs WHERE id = ?1)",
        "t", id));
    good(fs_paper_write(changed, &options, folder, &notes, &error));
    free(notes);
    fs_store_close(changed);
    has("fs-facts.tex",
        "\\fsset{main/unstable}{Reflow (seed 1), whose loss rose from 0.0200 before update 2000 to 0.750 at update "
        "2000}\n\\fsset{main/unstable/names}{Reflow (seed 1)}\n");
    has("fs-facts.tex", "\n\\fsunstabletrue\n");
    /* the study again without it: of two seeds, and of the third what the others have */
    fs_three_digits((test_study_value(2, 4, 0) + test_study_value(2, 4, 2)) / 2, mean);
    snprintf(expected, sizeof(expected), "\\fsset{stable/reflow/4}{%s{\\scriptsize", mean);
    has("fs-facts.tex", expected);
    snprintf(expected, sizeof(expected), " at 2, %s{\\scriptsize", mean);
    has("fs-facts.tex", expected);
    has("fs-facts.tex", "\\fsset{stable/reflow/seeds}{2}\n");
    has("fs-facts.tex", "\\fsset{stable/shortcut/seeds}{3}\n");
    has("fs-facts.tex", "\\fsset{stable/claims/all}{17}\n");
    has("fs-facts.tex", "\\fsset{stable/4/shortcut/vs/reflow/lower-in}{2 of 2 seeds}\n");
    has("fs-facts.tex", "\\fsset{main/samples-seed}{0}\n");
}

/* Without an ablation and without published numbers the rest is made, and the switches say so. */
static void test_what_is_missing(void **state)
{
    struct fs_results none = {0};
    struct fs_paper_options options = {.main = "commits", .samples = "nowhere", .database = "x.db", .published = &none};
    char *notes;

    (void)state;
    good(fs_paper_write(store, &options, folder, &notes, &error));
    assert_non_null(strstr(notes, "no scores of ablation-max-step"));
    assert_non_null(strstr(notes, "no pictures"));
    free(notes);
    has("fs-facts.tex", "\\fsablationfalse\n\\fssamplesfalse\n\\fsothersfalse\n\\fsseedstrue\n");
    has("fs-facts.tex", "\\fsset{claims/all}{0}\n");
    options.main = NULL; /* fashion-table is not there: the one written to last that ablates nothing */
    good(fs_paper_write(store, &options, folder, &notes, &error));
    free(notes);
    has("fs-facts.tex", "\\fsset{main/name}{commits}\n");
    assert_int_equal(write_paper("nothing", NULL, &notes), FS_USAGE);
    assert_non_null(strstr(error.text, "nothing: no such experiment"));
    assert_int_equal(write_paper(TEST_STUDY_HOSTILE, NULL, &notes), FS_USAGE);
    assert_non_null(strstr(error.text, "no run of it has a score yet"));
    assert_int_equal(write_paper("table", "commits", &notes), FS_USAGE);
    assert_non_null(strstr(error.text, "varies only method and seed"));
}

/* The studies that ask why: scores at each update, from the first to the last. */
static void test_progress(void **state)
{
    const struct fs_paper_options options = {.main = "table",
                                             .budget = "table",
                                             .pairs = "ablation",
                                             .samples = samples,
                                             .database = "x.db",
                                             .published = &published};
    char *notes, expected[256], first[FS_NUMBER_TEXT];
    double logs = 0;

    (void)state;
    good(fs_paper_write(store, &options, folder, &notes, &error));
    assert_null(strstr(notes, "why"));
    free(notes);
    has("fs-facts.tex", "\\fsbudgettrue\n\\fspairstrue\n");
    has("fs-facts.tex", "\\fsset{budget/updates/before-last}{3000}\n\\fsset{budget/updates/last}{4000}\n");
    for (int seed = 0; seed < 3; seed++) {
        logs += log(test_study_value(3, 4, seed) / test_study_value(0, 4, seed)) / 3;
    }
    fs_three_digits(exp(logs), first);
    snprintf(expected, sizeof(expected), "\\fsset{budget/ratio/4/last}{%s}\n", first);
    has("fs-facts.tex", expected);
    has("fs-facts.tex", "\\fsset{budget/ratio/4/largest-at}{");
    has("fs-facts.tex", "\\fsset{budget/updates/first}{1000}\n");
    has("fs-facts.tex", "\\fsset{budget/at/4000/shortcut/4}{");
    has("fs-facts.tex", "\\fsset{budget/left/shortcut/4}{0.");
    has("fs-progress.tex", "\\multicolumn{7}{c}{Shortcut model, steps}");
    has("fs-progress.tex", "\n1000 & -- & -- & ");
    has("fs-pairs-scores.tex", "Shortcut model & 1/8 & ");
}

static int set_up(void **state)
{
    (void)state;
    snprintf(database, sizeof(database), "%s", test_path("study.db"));
    snprintf(samples, sizeof(samples), "%s", test_path("samples"));
    snprintf(folder, sizeof(folder), "%s", test_path("paper"));
    return fs_published_read(FS_PUBLISHED_FILE, &published, &error) || test_study_make(database, samples, &error) ||
           fs_store_open(database, FS_STORE_READ, &store, &error);
}

static int tear_down(void **state)
{
    (void)state;
    fs_store_close(store);
    fs_results_free(&published);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_whole_study), cmocka_unit_test(test_progress), cmocka_unit_test(test_what_is_missing),
        cmocka_unit_test(test_a_training_that_fell_back), /* last: it changes the database */
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
