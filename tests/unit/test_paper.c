/* Queries into a LaTeX document: what becomes of an answer, what is held against the text, and the tables of the
 * results that the queries ask. That the paper itself says what it said is tests/end_to_end/test_outputs.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/report/latex_document.h"
#include "harness/results/published.h"
#include "harness/results/tables.h"
#include "harness/store/query.h"
#include "harness/text/number.h"
#include "kernels/base/file.h"
#include "kernels/base/memory.h"
#include "tests/support/folder.h"
#include "tests/support/study.h"

static struct fs_error error;
static struct fs_results published;
static char database[1100], samples[1100], folder[256], output[300];

static void good(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

/* --- a document of its own for each test --- */

static void put(const char *name, const char *text)
{
    char path[600];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    test_write(path, text, strlen(text));
}

static int begin(void **state)
{
    (void)state;
    test_folder_make(folder);
    snprintf(output, sizeof(output), "%s/made", folder);
    put("studies.sql", "SELECT 'main' AS study, 'table' AS experiment, 0 AS stable;\n");
    put("definitions.sql", "-- nothing is shared\n");
    return 0;
}

static int end(void **state)
{
    (void)state;
    test_folder_remove(folder);
    return 0;
}

static fs_status write_with(const struct fs_latex_given *values, int count, char **notes)
{
    const struct fs_latex_document document = {
        .folder = folder, .output = output, .published = &published, .values = values, .value_count = count};
    struct fs_store *store;

    *notes = NULL;
    good(fs_store_open(database, FS_STORE_READ, &store, &error));
    const fs_status status = fs_latex_document_write(store, &document, notes, &error);
    fs_store_close(store);
    return status;
}

static fs_status write_document(void)
{
    char *notes;
    const fs_status status = write_with(NULL, 0, &notes);

    free(notes);
    return status;
}

/* The document is refused with this in the message, and nothing is written. */
static void refused(const char *piece)
{
    assert_int_equal(write_document(), FS_USAGE);
    if (!strstr(error.text, piece)) {
        fail_msg("no '%s' in: %s", piece, error.text);
    }
    assert_int_not_equal(access(output, F_OK), 0);
}

static void is(const char *name, const char *expected)
{
    char path[600], *text;
    size_t size;

    snprintf(path, sizeof(path), "%s/%s", output, name);
    good(fs_file_read(path, 1 << 20, &text, &size, &error));
    const char *body = *text == '%' ? strchr(text, '\n') + 1 : text; /* behind the line that says who made it */
    assert_string_equal(body, expected);
    free(text);
}

/* --- what becomes of an answer --- */

static void test_answers(void **state)
{
    const struct fs_latex_given values[] = {{"colour", "a_b & 50%", true}, {"other", "unused", false}};
    char *notes;

    (void)state;
    put("text.tex",
        "\\newif\\iffsdeep\n\\fs{seeds/3}\\fs{colour}\\iffsdeep\\input{fs-body}\\fi \\addplot{fs-curve.dat};");
    put("facts.sql", "SELECT 'seeds/3' AS fact, 3 AS value UNION ALL SELECT 'none', NULL;\n"
                     "-- two statements in one file\n"
                     "SELECT 'colour' AS fact, latex(given('colour')) AS value WHERE given('nothing') IS NULL;\n");
    put("switches.sql", "SELECT 'deep' AS switch, 1 > 0 AS value;\nSELECT 'a note' AS note;");
    put("body.sql", "SELECT 'first \\\\' AS latex UNION ALL SELECT 'second';");
    put("curve.sql", "SELECT 1 AS x, shortest(0.1) AS y UNION ALL SELECT 2, shortest(1e10);");
    good(write_with(values, 2, &notes));
    assert_string_equal(notes, "a note\n");
    free(notes);
    is("fs-facts.tex", "\\fsset{seeds/3}{3}\n\\fsset{colour}{a\\_b \\& 50\\%}\n\\fsdeeptrue\n");
    is("fs-body.tex", "first \\\\\nsecond\n");
    is("fs-curve.dat", "x y\n1 0.1\n2 10000000000\n");
}

static void test_formats(void **state)
{
    static const struct {
        const char *expression, *expected;
    } all[] = {
        {"three_digits(1234.5)", "1230"},
        {"three_digits(0.669)", "0.669"},
        {"coalesce(three_digits(NULL), 'null')", "null"},
        {"table_cell(52.04, 1.2)", "52.0{\\scriptsize\\,$\\pm$\\,1.2}"},
        {"table_cell(52.04, NULL, 1)", "(52.0\\rlap{)}"},
        {"table_cell(52.04, NULL, 0, 'best', 2)", "\\textbf{52.0}\\rlap{$^{(2)}$}"},
        {"table_cell(52.04, NULL, 0, 'second')", "\\underline{52.0}"},
        {"coalesce(table_cell(NULL, 1), 'null')", "null"},
        {"duration(1230) || ', ' || byte_size(645e6)", "20 min, 645 MB"},
        {"method_label('shortcut') || ', ' || method_label('x_y')", "Shortcut model, x_y"},
        {"latex('{\\}#^~<')", "\\{\\textbackslash{}\\}\\#\\textasciicircum{}\\textasciitilde{}\\textless{}"},
        {"coalesce(file_path('/nowhere'), 'null')", "null"},
    };
    char sql[4096] = "", facts[4096] = "", text[512] = "";

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const size_t at = strlen(sql), in = strlen(facts), behind = strlen(text);
        snprintf(sql + at, sizeof(sql) - at, "SELECT '%zu' AS fact, %s AS value;\n", i, all[i].expression);
        snprintf(facts + in, sizeof(facts) - in, "\\fsset{%zu}{%s}\n", i, all[i].expected);
        snprintf(text + behind, sizeof(text) - behind, "\\fs{%zu}", i);
    }
    put("facts.sql", sql);
    put("text.tex", text);
    good(write_document());
    is("fs-facts.tex", facts);
}

/* --- what is held against the text --- */

static void test_what_is_missed_or_unused(void **state)
{
    (void)state;
    put("facts.sql", "SELECT 'here' AS fact, 1 AS value;");
    put("text.tex", "one line\n\\fs{here} and \\fs{there}");
    refused("no query makes the fact there (");
    refused("text.tex:2)");
    put("text.tex", "nothing % \\fs{here}\n\\newcommand\\fs[1]{\\csname fs@#1\\endcsname}");
    refused("no text uses the fact here (");
    refused("facts.sql)");
    put("text.tex", "\\%\\fs{here}\\input{fs-table}");
    refused("no query makes the file fs-table.tex (");
    put("table.sql", "SELECT 'x' AS latex WHERE 0;"); /* without a row there is no file */
    refused("no query makes the file fs-table.tex (");
    put("table.sql", "SELECT 'x' AS latex; SELECT 1 AS x;");
    refused("no text uses the file fs-table.dat (");
    put("table.sql", "SELECT '\\fs{within}' AS latex;"); /* a table may use facts, too */
    refused("no query makes the fact within (fs-table.tex:1)");
    put("table.sql", "SELECT 'flag' AS switch, 0 AS value;");
    put("text.tex", "\\fs{here}");
    refused("no text uses the switch flag (");
    put("text.tex", "\\fs{here}\\iffsflag\\fi\\iffsother\\fi");
    refused("no query makes the switch other (");
}

/* Of a branch that is not taken nothing needs to be there, but may. */
static void test_branches(void **state)
{
    (void)state;
    put("switches.sql", "SELECT 'yes' AS switch, 1 AS value UNION ALL SELECT 'no', 0;");
    put("facts.sql", "SELECT 'a' AS fact, 1 AS value UNION ALL SELECT 'b', 2;");
    put("text.tex", "\\iffsyes\\fs{a}\\else\\fs{missing}\\iffsno\\else\\fs{missing}\\fi\\fi"
                    "\\iffsno\\fs{b}\\iffsyes\\fs{missing}\\fi\\fi");
    good(write_document());
    is("fs-facts.tex", "\\fsset{a}{1}\n\\fsset{b}{2}\n\\fsyestrue\n\\fsnofalse\n");
    test_folder_remove(output);
    put("text.tex", "\\iffsno\\fs{b}\\else\\fs{missing}\\fi\\fs{a}\\iffsyes\\fi");
    refused("no query makes the fact missing (");
    put("text.tex", "\\fs{a}\\fs{b}\\iffsyes\\iffsno\\fi\\fi\\ifdim1pt>0pt\\fs{missing}\\fi"); /* who knows: both */
    refused("no query makes the fact missing (");
    put("text.tex", "a $\\iff$ b\n\\fi");
    refused("text.tex:2: \\fi without an \\if");
    put("text.tex", "\\iffsyes");
    refused("an \\if has no \\fi");
}

static void test_mistakes_in_queries(void **state)
{
    const struct fs_latex_given value = {"misspelt", "x", true};
    char *notes;

    (void)state;
    put("text.tex", "\\fs{a}");
    put("facts.sql", "SELECT 'a' AS fact, 1 AS value;\n\n\nSELECT x FROM nowhere;");
    refused("facts.sql: in the statement of line 4: no such table: nowhere");
    put("facts.sql", "SELECT 'a' AS fact, table_cell() AS value;");
    refused("facts.sql: in the statement of line 1: table_cell(");
    put("facts.sql", "SELECT 'a' AS fact, 1 AS value;");
    put("more.sql", "SELECT 'a' AS fact, 2 AS value;");
    refused("more.sql: a has been made already, by ");
    put("more.sql", "SELECT 'a}b' AS fact, 2 AS value;");
    refused("'a}b' is no name of a fact");
    put("more.sql", "SELECT 'a1' AS switch, 2 AS value;");
    refused("'a1' is no name of a switch");
    put("more.sql", "-- nothing");
    assert_int_equal(write_with(&value, 1, &notes), FS_USAGE);
    free(notes);
    assert_non_null(strstr(error.text, "asks for given('misspelt')"));
    put("studies.sql", "SELECT 'main' AS study;");
    refused("study, experiment, stable");
    put("studies.sql", "SELECT 'main' AS study, 'nothing' AS experiment, 0 AS stable;");
    refused("nothing: no such experiment");
}

/* --- the tables of the results --- */

static void open_tables(struct fs_store **store, enum fs_store_mode mode, bool stable)
{
    const struct fs_results_study studies[] = {
        {"main", "table", false}, {"stable", "table", true}, {"ablation", "ablation", false}};

    good(fs_store_open(database, mode, store, &error));
    if (stable) {
        char id[65]; /* this one falls back at update 2000, and recovers a little */
        test_study_run(2, 1, id);
        good(fs_execute(
            fs_store_handle(*store), &error,
            "UPDATE curves SET value = iif(at_update < 2000, 0.02, max(0.02, 0.75 - 0.01 * abs(at_update - 2020))) "
            "WHERE run = (SELECT number FROM runs WHERE id = ?1)",
            "t", id));
    }
    good(fs_results_tables(*store, studies, 3, &published, &error));
}

static double ask(struct fs_store *store, const char *sql)
{
    sqlite3_stmt *query;
    bool row;

    good(fs_query_open(fs_store_handle(store), &query, &error, sql, ""));
    good(fs_query_next(query, &row, &error));
    assert_true(row);
    const double value = fs_query_real(query, 0);
    sqlite3_finalize(query);
    return value;
}

static void near(struct fs_store *store, double expected, const char *sql)
{
    const double value = ask(store, sql);

    if (!(fabs(value - expected) <= 1e-12 * fabs(expected))) {
        fail_msg("%.17g, not %.17g: %s", value, expected, sql);
    }
}

#define FD "study = 'main' AND section = (SELECT min(section) FROM section WHERE study = 'main' AND metric = 'fd') "

static void test_tables(void **state)
{
    struct fs_store *store;
    double sum = 0, squares = 0, logs = 0;

    (void)state;
    open_tables(&store, FS_STORE_READ, false);
    for (int seed = 0; seed < 3; seed++) {
        sum += test_study_value(3, 4, seed) / 3;
        logs += log(test_study_value(3, 4, seed) / test_study_value(2, 4, seed)) / 3;
    }
    for (int seed = 0; seed < 3; seed++) {
        squares += pow(test_study_value(3, 4, seed) - sum, 2);
    }
    near(store, sum, "SELECT mean FROM cell WHERE " FD "AND method = 'shortcut' AND steps = 4 AND at_update IS NULL");
    near(store, sqrt(squares / 6),
         "SELECT error FROM cell WHERE " FD "AND method = 'shortcut' AND steps = 4 AND at_update IS NULL");
    near(store, 7 * 4, "SELECT count(*) FROM cell WHERE " FD "AND at_update IS NULL AND origin = 'run'");
    near(store, 7 * 4 * 3, "SELECT count(*) FROM seed_score WHERE " FD "AND at_update IS NULL AND run IS NOT NULL");
    /* the score of data, and where it comes from */
    near(store, 1, "SELECT count(*) FROM cell WHERE " FD "AND origin = 'data' AND label = 'test' AND steps IS NULL");
    near(store, ask(store, "SELECT mean FROM cell WHERE " FD "AND origin = 'data'"),
         "SELECT value FROM seed_score WHERE " FD "AND place IS NULL AND run IS NULL");
    /* each pair both ways */
    near(store, exp(logs), "SELECT ratio FROM comparison WHERE " FD "AND steps = 4 AND place = 3 AND other = 2");
    near(store, exp(-logs), "SELECT ratio FROM comparison WHERE " FD "AND steps = 4 AND place = 2 AND other = 3");
    near(store, 1, "SELECT finding = 'lower' FROM comparison WHERE " FD "AND steps = 4 AND place = 3 AND other = 2");
    near(store, 1, "SELECT finding = 'higher' FROM comparison WHERE " FD "AND steps = 4 AND place = 2 AND other = 3");
    near(store, 3, "SELECT lower_in FROM comparison WHERE " FD "AND steps = 4 AND place = 3 AND other = 2");
    near(store, 0, "SELECT lower_in FROM comparison WHERE " FD "AND steps = 4 AND place = 2 AND other = 3");
    near(store, 0,
         "SELECT count(*) FROM comparison a JOIN comparison b ON b.study = a.study AND b.section = a.section AND "
         "b.steps "
         "= a.steps AND b.place = a.other AND b.other = a.place WHERE (a.finding = 'lower') <> (b.finding = 'higher')");
    near(store, 3, "SELECT count(DISTINCT finding) FROM comparison WHERE " FD "AND place < other");
    near(store, 42, "SELECT comparisons FROM verdict WHERE " FD);
    near(store, ask(store, "SELECT count(*) / 2.0 FROM comparison WHERE " FD "AND finding <> 'undecided'"),
         "SELECT decided FROM verdict WHERE " FD);
    /* the best of a column has the lowest mean, the second the next */
    near(store, 1, "SELECT count(*) > 0 FROM cell WHERE " FD "AND mark = 'second'");
    near(store, 0,
         "SELECT count(*) FROM (SELECT mark, row_number() OVER (PARTITION BY steps ORDER BY mean) AS rank FROM cell "
         "WHERE " FD "AND origin = 'run' AND at_update IS NULL) WHERE mark <> iif(rank = 1, 'best', 'second')");
    near(store, 1234.5, "SELECT seconds FROM cell WHERE " FD "AND method = 'shortcut' AND steps = 4");
    near(store, 4e8, "SELECT peak_bytes FROM cell WHERE " FD "AND method = 'shortcut' AND steps = 4");
    /* on the way, and outside of use */
    near(store, 4000, "SELECT max(at_update) FROM cell WHERE " FD);
    near(store, 1, "SELECT min(at_update IS NULL OR at_update % 1000 = 0) FROM cell WHERE " FD);
    near(store, 1,
         "SELECT outside FROM cell WHERE " FD "AND method = 'flow-matching' AND steps = 1 AND at_update IS NULL");
    /* an ablation, published numbers, and a training that did not fall back */
    near(store, 7, "SELECT count(DISTINCT setting) FROM cell WHERE study = 'ablation'");
    near(store, 40.3,
         "SELECT mean FROM cell c JOIN section s USING (study, section) WHERE study = 'published' AND title "
         "LIKE 'ImageNet%' AND method = 'shortcut' AND steps = 1");
    near(store, 0,
         "SELECT confirmed FROM cell c JOIN section s USING (study, section) WHERE study = 'published' AND "
         "title LIKE 'ImageNet%' AND method = 'reflow' AND steps = 4");
    near(store, 0, "SELECT count(*) FROM fall");
    near(store, 3, "SELECT min(seeds) FROM cell WHERE study = 'stable' AND at_update IS NULL AND origin = 'run'");
    fs_store_close(store);
}

/* A training that fell back is told, and the study is there again without it. */
static void test_a_training_that_fell_back(void **state)
{
    struct fs_store *store;

    (void)state;
    open_tables(&store, FS_STORE_WRITE, true);
    near(store, 1, "SELECT count(*) FROM fall");
    near(store, 2000, "SELECT at_update FROM fall");
    near(store, 0.02, "SELECT before FROM fall");
    near(store, 0.75, "SELECT peak FROM fall");
    near(store, 2020, "SELECT peak_update FROM fall");
    near(store, (test_study_value(2, 4, 0) + test_study_value(2, 4, 2)) / 2,
         "SELECT mean FROM cell WHERE study = 'stable' AND section = (SELECT min(section) FROM section WHERE metric = "
         "'fd') AND method = 'reflow' AND steps = 4 AND at_update IS NULL");
    near(store, 0, "SELECT count(*) FROM seed_score WHERE study = 'stable' AND run IN (SELECT run FROM fall)");
    near(store, 3, "SELECT max(seeds) FROM cell WHERE study = 'stable' AND method = 'shortcut' AND at_update IS NULL");
    fs_store_close(store);
}

/* --- the paper's own queries, on other data --- */

/* Copies FOLDER/name of the repository behind `before` and in front of `after`. */
static void copy(const char *path, const char *name, const char *before, const char *after)
{
    char *text, *whole;
    size_t size;

    good(fs_file_read(path, 1 << 20, &text, &size, &error));
    whole = fs_format(&error, "%s%s%s", before, text, after);
    assert_non_null(whole);
    put(name, whole);
    free(whole);
    free(text);
}

static void has(const char *name, const char *piece)
{
    char path[600], *text;
    size_t size;

    snprintf(path, sizeof(path), "%s/%s", output, name);
    good(fs_file_read(path, 1 << 22, &text, &size, &error));
    if (!strstr(text, piece)) {
        fail_msg("no '%s' in %s:\n%s", piece, name, text);
    }
    free(text);
}

/* The fact is this number alone, in three digits. */
static void has_fact(const char *key, double value)
{
    char text[FS_NUMBER_TEXT], expected[256];

    fs_three_digits(value, text);
    snprintf(expected, sizeof(expected), "\\fsset{%s}{%s}\n", key, text);
    has("fs-facts.tex", expected);
}

/* Asks the queries of paper/ of the made-up study. The paper's text stands in a branch that is not taken: its facts may
 * be made, and need not be. */
static void ask_the_paper(const char *studies)
{
    const struct fs_latex_given values[] = {{"database", "a_b.db", false}, {"samples", samples, false}};
    char *notes;
    glob_t files;

    assert_int_equal(glob("paper/*.sql", 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        copy(files.gl_pathv[i], strrchr(files.gl_pathv[i], '/') + 1, "", "");
    }
    globfree(&files);
    copy("paper/fewstep.tex", "text.tex", "\\iffsoff ", "\\fi");
    put("off.sql", "SELECT 'off' AS switch, 0 AS value;");
    put("studies.sql", studies);
    good(write_with(values, 2, &notes));
    free(notes);
}

#define STUDY(study, experiment) " UNION ALL SELECT '" study "', '" experiment "', 0"

static void test_the_queries_of_the_paper(void **state)
{
    char mean[FS_NUMBER_TEXT], expected[256], id[65];
    double sum = 0, logs = 0, own = 0;

    (void)state;
    ask_the_paper("SELECT 'main' AS study, 'table' AS experiment, 0 AS stable" STUDY("ablation", "ablation") STUDY(
        "samplers", "table") STUDY("conditional", "commits") " UNION ALL SELECT 'stable', 'table', 1;");
    for (int seed = 0; seed < 3; seed++) {
        sum += test_study_value(3, 4, seed);
        logs += log(test_study_value(3, 4, seed) / test_study_value(0, 4, seed)) / 3;
        own += log(test_study_value(0, 4, seed) / test_study_value(0, 128, seed)) / 3;
    }
    fs_three_digits(sum / 3, mean);
    snprintf(expected, sizeof(expected), "\\fsset{main/shortcut/4}{%s{\\scriptsize", mean);
    has("fs-facts.tex", expected);
    has_fact("main/4/shortcut/vs/flow-matching/ratio", exp(logs));
    has_fact("main/flow-matching/ratio/4/128", exp(own));
    has("fs-facts.tex", "\\fsset{main/seeds-words}{3 seeds}\n");
    has("fs-facts.tex", "\\fsset{ablation/seeds-words}{2 seeds}\n");
    has("fs-facts.tex", "\\fsset{main/lowest}{at 1 step to ");
    has("fs-facts.tex", "\\fsset{main/128/shortcut/vs/flow-matching}{higher than}\n");
    has("fs-facts.tex", "\\fsset{main/floor-note}{ The score of data itself lies below the axis.}\n");
    has("fs-facts.tex", "\\fsset{main/power/shortcut/1}{");
    has("fs-facts.tex", "\\fsset{main/experiment}{table}\n");
    has("fs-facts.tex", "\\fsset{main/steps-list}{1, 2, 4, 8, 16, 32 and 128}\n");
    has("fs-facts.tex", "\\fsset{main/wall}{4 h}"); /* twelve trainings of 1234.5 seconds */
    has("fs-facts.tex", "\\fssamplestrue\n");
    has("fs-facts.tex", "\\fsset{main/trainings}{12}\n");
    has("fs-facts.tex", "\\fsset{main/failed}{none}\n");
    has("fs-facts.tex", "\\fsset{conditional/shortcut/1}{");
    has("fs-facts.tex", "\\fsset{claims/all}{17}\n");
    has("fs-facts.tex", "\\fsset{claims/inside/all}{6}\n");
    has("fs-facts.tex", "\\fsset{claims/undecided-alike}{0}\n");
    has("fs-facts.tex", "\\fsset{database/file}{a\\_b.db}\n");
    has("fs-facts.tex", "\\fsunstablefalse\n");
    has("fs-facts.tex", "\\fslabelsfalse\n");
    has("fs-facts.tex", "\\fsset{samplers/euler/4}{");
    has("fs-facts.tex", "\\fssamplersfalse\n"); /* a single grid */
    has("fs-facts.tex", "\\fshypothesesfalse\n");
    has("fs-ablation.tex", "xticklabels={{1},{1/2},{1/4},");
    has("fs-ablation.tex", "\\fsline{1}{1}{1 step}{fs-ablation.dat}\n\\fsmarks{1}{2}{inside}{fs-ablation.dat}\n");
    has("fs-ablation-scores.tex", "Shortcut model & 1/8 & ");
    has("fs-samplers-scores.tex", "Euler & uniform & ");
    has("fs-others.tex", "\\begin{fsother}{fashion-mnist, dit-xs/4, ");
    test_study_run(3, 2, id);
    snprintf(expected, sizeof(expected), "%.8s", id);
    has("fs-runs.tex", expected);
}

/* A row of these experiments is a method and its number of updates. */
static void test_longer_training_and_equal_work(void **state)
{
    double logs[2] = {0};

    (void)state;
    good(test_study_add_budgets(database, &error));
    ask_the_paper("SELECT 'main' AS study, 'table' AS experiment, 0 AS stable" STUDY("longer", "longer")
                      STUDY("work", "work") ";");
    for (int times = 1; times <= 4; times += 3) {
        has_fact(times > 1 ? "longer/ratio/last" : "longer/ratio/first",
                 test_study_value(3, 4, 5) / test_study_value(0, 4, 5) / times);
        has_fact(times > 1 ? "longer/flow-matching/128/last" : "longer/flow-matching/128/first",
                 test_study_value(0, 128, 5));
    }
    for (int seed = 5; seed < 8; seed++) {
        logs[0] += log(test_study_value(3, 4, seed) / test_study_value(0, 4, seed)) / 3;
        logs[1] += log(3 * test_study_value(2, 4, seed) / test_study_value(0, 4, seed)) / 3;
    }
    has_fact("work/4/shortcut/vs/flow-matching/ratio", exp(logs[0]));
    has_fact("work/4/reflow/vs/flow-matching/ratio", exp(logs[1]));
    has("fs-facts.tex", "\\fsset{work/4/reflow/vs/flow-matching}{higher than}\n");
    has("fs-facts.tex", "\\fslongertrue\n");
    has("fs-facts.tex", "\\fsworktrue\n");
    has("fs-work-scores.tex", "Shortcut model & 1000 & ");
    has("fs-longer-scores.tex", "Shortcut model & 16000 & ");
}

/* What labels narrow, and the rule that tells from the exact velocity where few-step training pays. */
static void test_the_rule_about_labels(void **state)
{
    char text[FS_NUMBER_TEXT], expected[256];
    double flow[3] = {0}, model[3] = {0};
    int right = 0;

    (void)state;
    good(test_study_add_groups(database, &error));
    ask_the_paper("SELECT 'main' AS study, 'table' AS experiment, 0 AS stable" STUDY("labels", "groups") ";");
    for (int told = 1; told <= 10; told += 9) {
        static const int steps[] = {1, 4, 128};
        for (int k = 0; k < 3; k++) {
            flow[k] = (test_study_told(0, told, steps[k], 0) + test_study_told(0, told, steps[k], 1)) / 2;
            model[k] = (test_study_told(3, told, steps[k], 0) + test_study_told(3, told, steps[k], 1)) / 2;
        }
        for (int k = 0; k < 2; k++) {
            const double exact = test_study_exact(told > 1 ? told : 0, steps[k]);
            right += (model[k] < flow[k]) == (exact > model[k] - flow[2]);
        }
        fs_three_digits(flow[1], text);
        snprintf(expected, sizeof(expected), "\\fsset{labels/4/%d}{%s{\\scriptsize", told, text);
        has("fs-facts.tex", expected);
        has_fact(told > 1 ? "labels/ratio/4/10" : "labels/ratio/4/1", model[1] / flow[1]);
        has_fact(told > 1 ? "labels/exact/4/10" : "labels/exact/4/1", test_study_exact(told > 1 ? told : 0, 4));
    }
    assert_in_range(right, 1, 3); /* the made-up numbers have both */
    snprintf(expected, sizeof(expected), "\\fsset{labels/rule/right}{%d}\n", right);
    has("fs-facts.tex", expected);
    has("fs-facts.tex", "\\fsset{labels/rule/all}{4}\n");
    has("fs-facts.tex", "\\fsset{labels/most}{128}\n");
    has("fs-facts.tex", "\\fslabelstrue\n");
    has("fs-labels.tex", "\n10 & exact velocity & 30.0 & 7.50 & ");
}

/* The training has fallen back in the database by now. */
static void test_words_about_a_fall(void **state)
{
    char mean[FS_NUMBER_TEXT], expected[256];

    (void)state;
    ask_the_paper("SELECT 'main' AS study, 'table' AS experiment, 0 AS stable UNION ALL SELECT 'stable', 'table', 1;");
    has("fs-facts.tex",
        "\\fsset{main/unstable}{Reflow (seed 1), whose loss rose from 0.0200 before update 2000 to 0.750 "
        "at update 2020}\n\\fsset{main/unstable/names}{Reflow (seed 1)}\n");
    has("fs-facts.tex", "\\fsunstabletrue\n");
    has("fs-facts.tex", "\\fsablationfalse\n");
    fs_three_digits((test_study_value(2, 4, 0) + test_study_value(2, 4, 2)) / 2, mean);
    snprintf(expected, sizeof(expected), " at 2, %s{\\scriptsize", mean);
    has("fs-facts.tex", expected);
}

/* One seed, whose trainings all fell back: nothing can be told from noise, and no study is left without them. */
static void test_one_seed_of_falls(void **state)
{
    struct fs_store *store;

    (void)state;
    good(fs_store_open(database, FS_STORE_WRITE, &store, &error));
    good(fs_execute(
        fs_store_handle(store), &error,
        "DELETE FROM experiment_scores WHERE score IN (SELECT s.number FROM scores s JOIN runs r ON r.number "
        "= s.run WHERE r.seed > 0)",
        ""));
    good(fs_execute(fs_store_handle(store), &error, "UPDATE curves SET value = iif(at_update < 2000, 0.02, 0.5)", ""));
    fs_store_close(store);
    ask_the_paper("SELECT 'main' AS study, 'table' AS experiment, 0 AS stable UNION ALL SELECT 'stable', 'table', 1;");
    has("fs-facts.tex", "\\fsset{main/seeds-words}{one seed}\n");
    has("fs-facts.tex", "\\fsset{main/128/shortcut/vs/flow-matching}{numerically higher than}\n");
    has("fs-facts.tex", "Shortcut model: no run is left; }");
    has("fs-facts.tex", "\\fsseedsfalse\n");
}

static int set_up(void **state)
{
    (void)state;
    snprintf(database, sizeof(database), "%s", test_path("study.db"));
    snprintf(samples, sizeof(samples), "%s", test_path("samples"));
    return fs_published_read(FS_PUBLISHED_FILE, &published, &error) || test_study_make(database, samples, &error);
}

static int tear_down(void **state)
{
    (void)state;
    fs_results_free(&published);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, begin, end),
        cmocka_unit_test_setup_teardown(test_formats, begin, end),
        cmocka_unit_test_setup_teardown(test_what_is_missed_or_unused, begin, end),
        cmocka_unit_test_setup_teardown(test_branches, begin, end),
        cmocka_unit_test_setup_teardown(test_mistakes_in_queries, begin, end),
        cmocka_unit_test(test_tables),
        cmocka_unit_test_setup_teardown(test_the_queries_of_the_paper, begin, end),
        cmocka_unit_test_setup_teardown(test_longer_training_and_equal_work, begin, end),
        cmocka_unit_test_setup_teardown(test_the_rule_about_labels, begin, end),
        cmocka_unit_test(test_a_training_that_fell_back), /* from here on the database is changed */
        cmocka_unit_test_setup_teardown(test_words_about_a_fall, begin, end),
        cmocka_unit_test_setup_teardown(test_one_seed_of_falls, begin, end),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
