/* Published numbers: the file in the repository, mistakes with their line, and where they are printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/table.h"
#include "harness/results/published.h"
#include "tests/support/database.h"
#include "tests/support/folder.h"

static struct fs_error error;
static char output[16384];

static void good(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

static void has(const char *piece)
{
    if (!strstr(output, piece)) {
        fail_msg("no '%s' in:\n%s", piece, output);
    }
}

/* --- the file in the repository --- */

static void print(const struct fs_results *published, const struct fs_result_section *setting,
                  enum fs_table_format format)
{
    FILE *stream = fmemopen(output, sizeof(output), "w");

    good(fs_table_print_published(published, setting, format, stream, &error));
    fclose(stream);
}

static struct fs_measure setting_of(const char *dataset, const char *model, const char *metric)
{
    return (struct fs_measure){.dataset = dataset, .model = model, .metric = metric};
}

static void test_the_committed_file(void **state)
{
    struct fs_results published;
    const struct fs_result_section *setting;

    (void)state;
    good(fs_published_read(FS_PUBLISHED_FILE, &published, &error));
    assert_int_equal(published.section_count, 2);
    good(fs_published_find(&published, "imagenet256", &setting, &error));
    assert_int_equal(setting->row_count, 8);
    assert_int_equal(setting->measure.samples, 50000);
    print(&published, setting, FS_TABLE_TEXT);
    has("\nProgressive distillation   (201.9)†  (142.5)†     35.6†\n");
    has("\nConsistency training          42.8†     43.0†      69.7\n"); /* 43.0, as printed, not 43 */
    has("\nShortcut model                 15.5      28.3      40.3\n");
    has("\nShortcut model: confirmed in the README of the authors' repository\n");
    print(&published, setting, FS_TABLE_MARKDOWN);
    has("| Shortcut model | 15.5 | 28.3 | 40.3 |\n");
    print(&published, setting, FS_TABLE_LATEX);
    has("Frans, Hafner, Levine \\& Abbeel");
    has("\nFlow matching (Euler) & 17.3\\rlap{$^\\dagger$} & (108.2\\rlap{)$^\\dagger$} & ");
    print(&published, setting, FS_TABLE_CSV);
    has("published:imagenet256,imagenet256,dit-b/2,shortcut,4,,,fid,,28.3,,50000,");
    assert_int_equal(fs_published_find(&published, "cifar", &setting, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "there are: celebahq256, imagenet256"));
    struct fs_measure measure = setting_of("imagenet256", "dit-b/2", "fid");
    assert_ptr_equal(fs_published_for(&published, &measure), &published.sections[1]);
    measure.metric = "fd";
    assert_null(fs_published_for(&published, &measure));
    measure = setting_of("imagenet256", "dit-xs/4", "fid");
    assert_null(fs_published_for(&published, &measure));
    fs_results_free(&published);
}

/* --- mistakes --- */

#define SETTING                                                                                                        \
    "published:\n  - name: a\n    title: A\n    dataset: fashion-mnist\n    model: dit-xs/4\n    metric: fid\n"        \
    "    source: S\n"
#define NUMBERS "    samples: 100\n    steps: [4, 1]\n"
#define ROW "    rows:\n      - {method: shortcut, values: [1, 2]"

static void refuses(const char *text, const char *piece)
{
    struct fs_results published;
    const char *path = test_path("published.yaml");

    test_write(path, text, strlen(text));
    const fs_status status = fs_published_read(path, &published, &error);
    fs_results_free(&published);
    if (status != FS_USAGE || !strstr(error.text, piece)) {
        fail_msg("status %d, no '%s' in: %s", status, piece, error.text);
    }
}

static void test_mistakes(void **state)
{
    struct fs_results published;

    (void)state;
    refuses("numbers: 3\n", "published.yaml:1: numbers: unknown key; the file has: published");
    refuses("published: 3\n", "published.yaml:1: published: expected a list with something in it, got '3'");
    refuses("published: []\n", "published.yaml:1: published: expected a list with something in it, got a list");
    refuses("published:\n  - 3\n", "published.yaml:2: expected lines of the form `key: value`, got '3'");
    refuses(SETTING "    colour: red\n", "published.yaml:8: colour: unknown key; the file has: name, title");
    refuses("published:\n  - name: a\n", "title: is missing");
    refuses("published:\n  - name: [a]\n",
            "published.yaml:2: name: expected one line of text shorter than 64 bytes, got a list");
    refuses(SETTING, "samples: is missing");
    refuses(SETTING "    samples: 1.5\n",
            "published.yaml:8: samples: expected a whole number from 1 to 1000000000, got '1.5'");
    refuses(SETTING "    samples: 100\n", "steps: is missing");
    refuses(SETTING "    samples: 100\n    steps: 4\n", "rows: is missing");
    refuses(SETTING "    samples: 100\n    steps: [4, 4]\n",
            "published.yaml:9: steps: expected a list of different whole numbers from 1 to 1000000000, got '4'");
    refuses(SETTING "    samples: 100\n    steps: []\n",
            "published.yaml:9: steps: expected a list of different whole numbers");
    refuses(SETTING NUMBERS, "rows: is missing");
    refuses(SETTING NUMBERS "    rows: []\n", "published.yaml:10: rows: expected a list with something in it");
    refuses(SETTING NUMBERS "    rows: [{method: x}]\n", "published.yaml:10: values: is missing");
    refuses(SETTING NUMBERS "    rows: [{method: x, values: [1]}]\n", "values: 1 numbers for 2 step counts");
    refuses(SETTING NUMBERS "    rows: [{method: x, values: [1, nan]}]\n",
            "values: expected a list of numbers in (0, 1000000000], got 'nan'");
    refuses(SETTING NUMBERS "    rows: [{method: x, values: [1, -2]}]\n",
            "values: expected a list of numbers in (0, 1000000000], got '-2'");
    refuses(SETTING NUMBERS ROW ", outside: [2]}\n", "outside: 2 is not among the setting's steps");
    refuses(SETTING NUMBERS ROW ", confirmed: [4]}\n", "published.yaml:11: confirmed: needs confirmed_in");
    refuses(SETTING NUMBERS ROW ", confirmed_in: there}\n", "confirmed: needs confirmed_in");
    refuses(SETTING NUMBERS ROW "}\n      - {method: shortcut, values: [1, 2]}\n",
            "published.yaml:12: method: shortcut stands here a second time");
    refuses(SETTING NUMBERS ROW "}\n  - name: a\n    title: A\n    dataset: b\n    model: c\n    metric: fid\n"
                                "    source: S\n" NUMBERS ROW "}\n",
            "name: a stands here a second time");
    assert_int_equal(fs_published_read(test_path("nowhere.yaml"), &published, &error), FS_USAGE);
    fs_results_free(&published);
}

/* --- beside ours --- */

static void table_of(struct fs_store *store, const struct fs_results *published, enum fs_table_format format)
{
    FILE *stream = fmemopen(output, sizeof(output), "w");

    good(fs_table_print(store, &(struct fs_table_request){.published = published, .format = format}, stream, &error));
    fclose(stream);
}

static void test_beside_ours_only_in_the_same_setting(void **state)
{
    static const char text[] = SETTING NUMBERS ROW ", outside: [1]}\n";
    const struct fs_environment about = test_environment();
    const char *path = test_path("fewstep.db");
    struct fs_results published;
    struct fs_store *store;
    int64_t environment, experiment;
    char id[65];

    (void)state;
    test_write(test_path("published.yaml"), text, strlen(text));
    good(fs_published_read(test_path("published.yaml"), &published, &error));
    good(fs_store_open(path, FS_STORE_WRITE, &store, &error));
    good(fs_store_environment(store, &about, &environment, &error));
    good(fs_store_experiment(store, "ours", "x.yaml", "a", NULL, &experiment, &error));
    test_id("ab", id);
    const struct fs_run_row run = test_run(id);
    good(fs_store_run(store, &run, experiment, environment, &error));
    struct fs_score_row score = test_score("fd", id);
    good(fs_store_score(store, &score, experiment, environment, &error));
    table_of(store, &published, FS_TABLE_TEXT);
    assert_null(strstr(output, "published")); /* its metric is another one */
    score.score_hash = "fid";
    score.metric = "fid";
    good(fs_store_score(store, &score, experiment, environment, &error));
    table_of(store, &published, FS_TABLE_TEXT);
    has("\n\npublished: A, dit-xs/4, FID, 100 samples\n\nmethod (published)  4 steps  1 step\n"
        "Shortcut model         1.0†  (2.0)†\n");
    table_of(store, &published, FS_TABLE_CSV);
    has("\npublished:a,fashion-mnist,dit-xs/4,shortcut,1,,,fid,,2,,100,,,,,,,,,\n");
    fs_store_close(store);
    fs_results_free(&published);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_committed_file),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_beside_ours_only_in_the_same_setting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
