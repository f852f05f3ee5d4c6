/* What is said below a table follows from its numbers: ratios and intervals by closed forms, whichever way they point.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/findings_print.h"
#include "harness/results/findings.h"
#include "tests/support/folder.h"
#include "tests/support/study.h"

enum { ROWS = 6 };

static struct fs_error error;

static void near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance)) {
        fail_msg("%.17g is not %.17g", value, expected);
    }
}

/* A section of one column, 4 steps; row 1 is the baseline. */
struct table {
    struct fs_result_section section;
    struct fs_result_row rows[ROWS], exact;
    struct fs_result_cell cells[ROWS], mean_picture;
    struct fs_result_score scores[ROWS];
    struct fs_result_comparison comparisons[2];
};

static void fill(struct table *table)
{
    static const double values[ROWS][3] = {{100, 95, 106},  {400, 390, 411}, {395, 380, 410},
                                           {800, 790, 810}, {10, NAN, NAN},  {5, 4, 6}};

    memset(table, 0, sizeof(*table));
    table->section = (struct fs_result_section){.rows = table->rows,
                                                .row_count = ROWS,
                                                .better = -1,
                                                .steps = {4},
                                                .step_count = 1,
                                                .measure = {.samples = 77}};
    for (int i = 0; i < ROWS; i++) {
        table->scores[i] = (struct fs_result_score){.value = values[i][0], .low = values[i][1], .high = values[i][2]};
        table->cells[i] =
            (struct fs_result_cell){.steps = 4, .seeds = 1, .mean = values[i][0], .scores = &table->scores[i]};
        table->rows[i] = (struct fs_result_row){.method = i == 1 ? "flow-matching" : "other",
                                                .name = "x",
                                                .apart = "",
                                                .cells = &table->cells[i],
                                                .cell_count = 1};
    }
    table->rows[5].cell_count = 0; /* has no score at 4 steps */
}

static void test_one_seed(void **state)
{
    struct table table;
    struct fs_findings findings;

    (void)state;
    fill(&table);
    assert_int_equal(fs_findings_make(&table.section, 4, &findings, &error), FS_OK);
    assert_int_equal(findings.count, 3); /* neither the baseline nor what has no interval or no score */
    assert_int_equal(findings.seeds, 1);
    assert_ptr_equal(findings.list[0].row, &table.rows[0]);
    assert_ptr_equal(findings.list[1].row, &table.rows[2]);
    assert_ptr_equal(findings.list[2].row, &table.rows[3]);
    assert_int_equal(findings.list[0].relation, FS_RELATION_LOWER);
    assert_int_equal(findings.list[1].relation, FS_RELATION_UNDECIDED);
    assert_int_equal(findings.list[2].relation, FS_RELATION_HIGHER);
    near(findings.list[0].ratio, 0.25, 1e-12);
    /* The standard error of each logarithm is a quarter of its interval's length, about; √ of the sum of squares. */
    const double error_a = log(411.0 / 390) / 3.92, error_b = log(106.0 / 95) / 3.92;
    const double half = 1.96 * sqrt(error_a * error_a + error_b * error_b);
    near(log(findings.list[0].low), log(0.25) - half, 1e-9);
    near(log(findings.list[0].high), log(0.25) + half, 1e-9);
    fs_findings_free(&findings);

    assert_int_equal(fs_findings_make(&table.section, 1, &findings, &error), FS_OK);
    assert_int_equal(findings.count, 0);
    fs_findings_free(&findings);
    table.section.better = 1; /* precision, say */
    assert_int_equal(fs_findings_make(&table.section, 4, &findings, &error), FS_OK);
    assert_int_equal(findings.count, 0);
    fs_findings_free(&findings);
}

/* Of a sweep of flow matching no row is the one to compare with. */
static void test_two_baselines_are_none(void **state)
{
    struct table table;
    struct fs_findings findings;

    (void)state;
    fill(&table);
    table.rows[3].method = "flow-matching";
    assert_int_equal(fs_findings_make(&table.section, 4, &findings, &error), FS_OK);
    assert_int_equal(findings.count, 0);
    fs_findings_free(&findings);
}

/* Over seeds the section's own comparisons speak, from whichever of the two rows they are seen. */
static void test_seeds(void **state)
{
    struct table table;
    struct fs_findings findings;

    (void)state;
    fill(&table);
    for (int i = 0; i < ROWS; i++) {
        table.cells[i].seeds = i < 3 ? 4 : 0;
    }
    /* log(baseline / row 0) = 1.2, 1.0 to 1.4: row 0 is lower. log(row 2 / baseline) = 0.3, 0.1 to 0.5: row 2 is
     * higher. */
    table.comparisons[0] = (struct fs_result_comparison){.row = 0,
                                                         .other = 1,
                                                         .seeds = 4,
                                                         .relation = FS_RELATION_LOWER,
                                                         .outcome = {.effect = 1.2, .low = 1.0, .high = 1.4}};
    table.comparisons[1] = (struct fs_result_comparison){.row = 1,
                                                         .other = 2,
                                                         .seeds = 3,
                                                         .relation = FS_RELATION_LOWER,
                                                         .outcome = {.effect = 0.3, .low = 0.1, .high = 0.5}};
    table.section.comparisons = table.comparisons;
    table.section.comparison_count = 2;
    assert_int_equal(fs_findings_make(&table.section, 4, &findings, &error), FS_OK);
    assert_int_equal(findings.count, 2);
    assert_int_equal(findings.seeds, 3);
    assert_int_equal(findings.list[0].relation, FS_RELATION_LOWER);
    near(findings.list[0].ratio, exp(-1.2), 1e-12);
    near(findings.list[0].low, exp(-1.4), 1e-12);
    near(findings.list[0].high, exp(-1.0), 1e-12);
    assert_int_equal(findings.list[1].relation, FS_RELATION_HIGHER);
    near(findings.list[1].low, exp(0.1), 1e-12);
    fs_findings_free(&findings);
}

static void test_mean_picture(void **state)
{
    struct table table;
    int labels;

    (void)state;
    fill(&table);
    assert_true(isnan(fs_mean_picture_score(&table.section, &labels)));
    table.mean_picture = (struct fs_result_cell){.steps = 1, .seeds = 1, .mean = 463};
    table.exact = (struct fs_result_row){
        .train_hash = "exact:fashion-mnist:0123456789ab:10", .cells = &table.mean_picture, .cell_count = 1};
    table.section.exact = &table.exact;
    table.section.exact_count = 1;
    near(fs_mean_picture_score(&table.section, &labels), 463, 0);
    assert_int_equal(labels, 10);
    table.mean_picture.steps = 4;
    assert_true(isnan(fs_mean_picture_score(&table.section, &labels)));
}

static void test_sentences(void **state)
{
    char database[1024], samples[1024], *text = NULL;
    size_t size;
    struct fs_store *store;
    FILE *stream = open_memstream(&text, &size);

    (void)state;
    snprintf(database, sizeof(database), "%s", test_path("study.db"));
    snprintf(samples, sizeof(samples), "%s", test_path("samples"));
    assert_int_equal(test_study_make(database, samples, &error), FS_OK);
    assert_int_equal(fs_store_open(database, FS_STORE_READ, &store, &error), FS_OK);
    assert_int_equal(fs_findings_print(store, "table", stream, &error), FS_OK);
    fflush(stream);
    assert_non_null(strstr(text, "\nat 1 step, Flow matching (Euler) has 2"));
    const char *four = strstr(text, "\nat 4 steps, Flow matching (Euler) has 1");
    assert_non_null(four);
    assert_non_null(strstr(four, "\n  below it: Shortcut model, 4"));
    assert_non_null(strstr(text, "\nintervals: 95 % over 3 seeds, corrected for all comparisons of the table\n"));
    assert_null(strstr(text, "mean picture")); /* nobody scored it */
    const size_t before = size;
    assert_int_equal(fs_findings_print(store, "ablation", stream, &error), FS_OK);
    fflush(stream);
    assert_int_equal(size, before); /* no flow matching, no sentence */
    fs_store_close(store);
    fclose(stream);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_seed),  cmocka_unit_test(test_two_baselines_are_none),
        cmocka_unit_test(test_seeds),     cmocka_unit_test(test_mean_picture),
        cmocka_unit_test(test_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
