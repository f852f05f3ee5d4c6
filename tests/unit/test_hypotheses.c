/* Hypotheses of an experiment's file: each against the t test by closed forms, corrected for each other and for nothing
 * else, and whether they were named before the runs began. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/results/hypotheses.h"
#include "harness/store/query.h"
#include "tests/support/database.h"
#include "tests/support/folder.h"

enum { SEEDS = 5, METHODS = 3 };

static const char *const methods[METHODS] = {"flow-matching", "reflow", "shortcut"};
/* Logarithms of scores at 4 steps: reflow is far below flow matching, shortcut a little below reflow. */
static const double logs[METHODS][SEEDS] = {
    {4.61, 4.66, 4.58, 4.63, 4.60}, {4.02, 4.05, 3.97, 4.01, 4.04}, {3.97, 3.96, 3.94, 3.98, 3.95}};

static struct fs_error error;

static void good(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

/* --- Student's t by its density --- */

static double density(double t, double dof)
{
    return exp(lgamma((dof + 1) / 2) - lgamma(dof / 2)) / sqrt(dof * 3.14159265358979323846) *
           pow(1 + t * t / dof, -(dof + 1) / 2);
}

/* The chance of more than |t| on either side: 1 − 2·∫ from 0 to |t|, by Simpson's rule. */
static double two_sided(double t, double dof)
{
    const int pieces = 20000;
    const double h = fabs(t) / pieces;
    double sum = density(0, dof) + density(fabs(t), dof);
    for (int i = 1; i < pieces; i++) {
        sum += (i % 2 ? 4 : 2) * density(h * i, dof);
    }
    return 1 - 2 * sum * h / 3;
}

static double mean(const double *values)
{
    double sum = 0;
    for (int i = 0; i < SEEDS; i++) {
        sum += values[i] / SEEDS;
    }
    return sum;
}

static double squares(const double *values)
{
    double sum = 0;
    for (int i = 0; i < SEEDS; i++) {
        sum += (values[i] - mean(values)) * (values[i] - mean(values));
    }
    return sum;
}

/* --- a database --- */

#define TEXT(list) "experiment: e\nmatrix: {method: [flow-matching, reflow, shortcut]}\nhypotheses: [" list "]\n"

static struct fs_store *make_store(const char *name, const char *text, int64_t *experiment)
{
    struct fs_store *store;
    int64_t environment;
    const struct fs_environment about = test_environment();
    remove(test_path(name));
    good(fs_store_open(test_path(name), FS_STORE_WRITE, &store, &error));
    good(fs_store_environment(store, &about, &environment, &error));
    good(fs_store_experiment(store, "e", "e.yaml", text, NULL, experiment, &error));
    for (int m = 0; m < METHODS; m++) {
        for (int seed = 0; seed < SEEDS; seed++) {
            char digits[8], hash[16], id[65];
            snprintf(digits, sizeof digits, "%d%d", m + 1, seed);
            snprintf(hash, sizeof hash, "s%d-%d", m, seed);
            test_id(digits, id);
            struct fs_run_row run = test_run(id);
            run.method = run.train_hash = methods[m];
            run.seed = seed;
            good(fs_store_run(store, &run, *experiment, environment, &error));
            struct fs_score_row score = test_score(hash, id);
            score.value = exp(logs[m][seed]);
            good(fs_store_score(store, &score, *experiment, environment, &error));
        }
    }
    return store;
}

static void read_results(struct fs_store *store, struct fs_results *results)
{
    struct fs_experiment_name found;
    good(fs_experiment_find(store, "e", &found, &error));
    good(fs_results_read(store, &found, NULL, FS_LAST_SCORE, results, &error));
}

/* --- tests --- */

static void test_closed_forms(void **state)
{
    int64_t experiment;
    struct fs_store *store = make_store("forms.db",
                                        TEXT("reflow < flow-matching at 4, flow-matching < shortcut at 4, "
                                             "shortcut < reflow at 4, reflow < shortcut at 1"),
                                        &experiment);
    static const int lower[] = {1, 0, 2}, higher[] = {0, 2, 1};
    static const enum fs_hypothesis_finding findings[] = {FS_HYPOTHESIS_CONFIRMED, FS_HYPOTHESIS_REVERSED,
                                                          FS_HYPOTHESIS_CONFIRMED};
    struct fs_results results;
    (void)state;
    read_results(store, &results);
    assert_int_equal(results.hypothesis_count, 4);
    assert_int_equal(results.hypotheses[3].finding, FS_HYPOTHESIS_UNTESTED); /* nobody was scored at 1 step */
    for (int i = 0; i < 3; i++) {
        const struct fs_hypothesis_test *test = &results.hypotheses[i];
        const double *low = logs[lower[i]], *high = logs[higher[i]], effect = mean(low) - mean(high);
        const double deviation = sqrt((squares(low) + squares(high)) / (2 * SEEDS - 2));
        const double expected = two_sided(effect / (deviation * sqrt(2.0 / SEEDS)), 2 * SEEDS - 2);
        assert_int_equal(test->finding, findings[i]);
        assert_int_equal(test->seeds, SEEDS);
        assert_true(fabs(test->ratio - exp(effect)) < 1e-12);
        assert_true(fabs(test->p - expected) < 1e-9 + 1e-6 * expected);
        assert_true(test->detectable < 1 && test->detectable > 0.5);
    }
    fs_results_free(&results);
    fs_store_close(store);
}

/* Alone a hypothesis has the whole level, whatever else the table compares; of three each has Holm's turn. */
static void test_correction(void **state)
{
    struct fs_results results;
    int64_t experiment;
    (void)state;
    struct fs_store *store = make_store("alone.db", TEXT("reflow < flow-matching at 4"), &experiment);
    read_results(store, &results);
    const double alone = log(results.hypotheses[0].high / results.hypotheses[0].low);
    const struct fs_result_comparison *in_table = &fs_results_main(&results)->comparisons[0];
    assert_true(in_table->row == 0 && in_table->other == 1);
    assert_true(alone < 0.9 * (in_table->outcome.high - in_table->outcome.low));
    fs_results_free(&results);
    fs_store_close(store);

    store = make_store("three.db",
                       TEXT("reflow < flow-matching at 4, shortcut < reflow at 4, shortcut < flow-matching at 4"),
                       &experiment);
    read_results(store, &results);
    assert_true(log(results.hypotheses[0].high / results.hypotheses[0].low) > 1.1 * alone);
    assert_true(results.hypotheses[1].p > FS_RESULT_ALPHA / 50); /* the least sure has the last turn: the whole level */
    assert_true(results.hypotheses[1].finding == FS_HYPOTHESIS_CONFIRMED);
    fs_results_free(&results);
    fs_store_close(store);
}

static void test_named_before(void **state)
{
    struct fs_results results;
    int64_t experiment;
    struct fs_store *store = make_store("before.db", TEXT("shortcut < reflow at 4"), &experiment);
    (void)state;
    read_results(store, &results);
    assert_true(results.named_before);
    fs_results_free(&results);

    /* Another comment in the file: what is expected is older. */
    good(fs_execute(fs_store_handle(store), &error, "UPDATE runs SET created = created + 10", ""));
    good(fs_store_experiment(store, "e", "e.yaml", TEXT("shortcut < reflow at 4") "# later\n", NULL, &experiment,
                             &error));
    good(fs_execute(fs_store_handle(store), &error,
                    "UPDATE experiments SET created = created + 20, used = used + 20 WHERE id = ?", "i", experiment));
    good(fs_execute(fs_store_handle(store), &error,
                    "INSERT INTO experiment_scores (experiment, score) SELECT ?, number FROM scores", "i", experiment));
    read_results(store, &results);
    assert_true(results.named_before);
    fs_results_free(&results);

    /* One more hypothesis after the runs had begun. */
    good(fs_store_experiment(store, "e", "e.yaml", TEXT("shortcut < reflow at 4, reflow < flow-matching at 4"), NULL,
                             &experiment, &error));
    good(fs_execute(fs_store_handle(store), &error,
                    "UPDATE experiments SET created = created + 20, used = used + 40 WHERE id = ?", "i", experiment));
    good(fs_execute(fs_store_handle(store), &error,
                    "INSERT INTO experiment_scores (experiment, score) SELECT ?, number FROM scores", "i", experiment));
    read_results(store, &results);
    assert_int_equal(results.hypothesis_count, 2);
    assert_false(results.named_before);
    assert_non_null(strstr(fs_hypotheses_heading(&results), "after some of these runs had begun"));
    fs_results_free(&results);
    fs_store_close(store);
}

static void test_words(void **state)
{
    int64_t experiment;
    struct fs_store *store =
        make_store("words.db", TEXT("reflow < flow-matching at 4, reflow < shortcut at 1"), &experiment);
    struct fs_results results;
    (void)state;
    read_results(store, &results);
    char *first = fs_hypothesis_text(&results.hypotheses[0], &error);
    char *second = fs_hypothesis_text(&results.hypotheses[1], &error);
    assert_non_null(first);
    assert_non_null(second);
    assert_non_null(strstr(first, "Reflow below Flow matching (Euler) at 4 steps: confirmed, 0.550 times it ("));
    assert_non_null(strstr(first, " over 5 seeds; a true ratio of 0.9"));
    assert_string_equal(second, "Reflow below Shortcut model at 1 step: not tested");
    free(first);
    free(second);
    fs_results_free(&results);
    fs_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_forms),
        cmocka_unit_test(test_correction),
        cmocka_unit_test(test_named_before),
        cmocka_unit_test(test_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
