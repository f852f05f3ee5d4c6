/* Files that changed on the disk are not scored, sampled or gone on from: checkpoints, pairs, references. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/folder.h"
#include "tests/support/program.h"
#include "tests/support/shell.h"

static char experiment[1024], out[1024], run_id[80];

static const char experiment_text[] =
    "experiment: damage\n"
    "model: {preset: tiny, patch: 14, hidden: 32, depth: 2, heads: 2, finest_steps: 8}\n"
    "train: {updates: 12, batch: 16, warmup: 2}\n"
    "methods:\n"
    "  reflow: {pairs: 64, teacher_steps: 2}\n"
    "matrix: {method: [flow-matching]}\n"
    "evaluate: {steps: [1], samples: 64}\n";

/* Changes one byte of the files that the pattern names, `from_end` bytes before their end; a second time undoes it. */
static void flip(const char *pattern, int from_end)
{
    char said[1024];
    const int status =
        test_shell(said, sizeof said,
                   "set -e; for f in %s/%s; do at=$(($(stat -c %%s \"$f\") - %d)); "
                   "byte=$(od -An -tu1 -j $at -N 1 \"$f\"); printf \"\\\\$(printf %%o $((byte ^ 1)))\" | "
                   "dd of=\"$f\" bs=1 seek=$at conv=notrunc 2>/dev/null; done",
                   out, pattern, from_end);
    if (status != 0) {
        fail_msg("%s: %s", pattern, said);
    }
}

static void refuses(int status, const char *arguments, const char *piece)
{
    char all[2400], text[8192];
    snprintf(all, sizeof all, "%s --out %s --quiet", arguments, out);
    const int got = test_program_run("", all, text, sizeof text);
    if (got != status || !strstr(text, piece)) {
        fail_msg("fewstep %s\n  status %d, expected %d\n  said: %s  expected: %s", all, got, status, text, piece);
    }
}

static void accepts(const char *arguments)
{
    refuses(0, arguments, "");
}

static const char *with_run(const char *format)
{
    static char text[512];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof text, format, run_id);
#pragma GCC diagnostic pop
    return text;
}

static const char *run_with(const char *options)
{
    static char text[2048];
    snprintf(text, sizeof text, "run %s %s", experiment, options);
    return text;
}

static void test_a_changed_checkpoint(void **state)
{
    (void)state;
    char sample[4096];
    flip("runs/*/checkpoint-12.safetensors", 5000);
    refuses(2, with_run("eval %.8s --steps 2"), "its SHA-256 is ");
    snprintf(sample, sizeof sample, "sample %.8s --count 1 -o %s/a.npy --out %s", run_id, out, out);
    test_program_refuses(2, sample, "its SHA-256 is ");
    snprintf(sample, sizeof sample, "sample %s/runs/%s/checkpoint-12.safetensors --count 1 -o %s/a.npy --out %s", out,
             run_id, out, out);
    test_program_refuses(2, sample, "its SHA-256 is ");
    refuses(3, run_with("--set evaluate.steps=[2]"), "its SHA-256 is ");
    flip("runs/*/checkpoint-12.safetensors", 5000);
    accepts(with_run("eval %.8s --steps 2"));
}

/* A teacher's checkpoint is one as well, and what is gone on from. */
static void test_a_changed_teacher(void **state)
{
    (void)state;
    char said[1024];
    accepts(run_with("--set method=reflow"));
    flip("runs/*/checkpoint-6.safetensors", 5000); /* the teacher and its student have six updates each */
    test_shell(said, sizeof said, "rm -r %s/pairs", out);
    refuses(3, run_with("--set method=reflow --set methods.reflow.pairs=65"), "its teacher: ");
    flip("runs/*/checkpoint-6.safetensors", 5000);
    accepts(run_with("--set method=reflow --set methods.reflow.pairs=65"));
}

static void test_changed_pairs(void **state)
{
    (void)state;
    flip("pairs/*/*.safetensors", 300);
    refuses(3, run_with("--set method=reflow --set methods.reflow.pairs=65 --set methods.reflow.init=scratch"),
            "the file was damaged or changed");
    flip("pairs/*/*.safetensors", 300);
    accepts(run_with("--set method=reflow --set methods.reflow.pairs=65 --set methods.reflow.init=scratch"));
}

/* A process was killed between the file's rename and its row. */
static void test_a_checkpoint_without_a_row(void **state)
{
    (void)state;
    char before[512], after[512], said[1024];
    static const char sql[] = "SELECT sha256, bytes, path FROM checkpoints WHERE at_update = 12 ORDER BY run LIMIT 1";
    test_program_query(out, sql, before, sizeof before);
    assert_int_equal(test_shell(said, sizeof said, "sqlite3 %s/fewstep.db 'DELETE FROM checkpoints'", out), 0);
    accepts(run_with("--set evaluate.steps=[4]"));
    test_program_query(out, sql, after, sizeof after);
    assert_string_equal(after, before);
    assert_int_equal(test_shell(said, sizeof said,
                                "sqlite3 %s/fewstep.db 'DELETE FROM checkpoints' && "
                                "truncate -s -4 %s/runs/%s/checkpoint-12.safetensors",
                                out, out, run_id),
                     0);
    refuses(3, run_with("--set evaluate.steps=[8]"), "checkpoint-12.safetensors");
}

static void test_a_changed_reference(void **state)
{
    (void)state;
    flip("references/*.safetensors", 300);
    refuses(2, run_with("--set train.batch=18"), "the file was damaged or changed; remove it");
    flip("references/*.safetensors", 300);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(experiment, sizeof experiment, "%s", test_path("damage.yaml"));
    snprintf(out, sizeof out, "%s", test_path("out"));
    test_write(experiment, experiment_text, sizeof experiment_text - 1);
    test_program_finish(experiment, out);
    test_program_query(out, "SELECT id FROM runs", run_id, sizeof run_id);
    run_id[64] = 0;
    return 0;
}

int main(int argc, char **argv)
{
    test_program_find(argc > 0 ? argv[0] : "");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_changed_checkpoint),       cmocka_unit_test(test_a_changed_reference),
        cmocka_unit_test(test_a_changed_teacher),          cmocka_unit_test(test_changed_pairs),
        cmocka_unit_test(test_a_checkpoint_without_a_row),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
