/* What bench and doctor print: no number where nothing was counted, shares above the whole explained, one line for what
 * no test has recorded. No time is looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "harness/bench/cases.h"
#include "tests/support/program.h"
#include "tests/support/shell.h"

static char text[1 << 16];

static int count_of(const char *piece)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, piece)) != NULL; at++) {
        count++;
    }
    return count;
}

static void test_bench(void **state)
{
    (void)state;
    assert_int_equal(test_shell(text, sizeof text, "OMP_NUM_THREADS=1 %s bench --op fill --model dit-xs/7 --batch 1",
                                test_program()),
                     0);
    assert_non_null(strstr(text, ", 1 thread: "));
    assert_non_null(strstr(text, "fill"));
    assert_null(strstr(text, " 0.0 ")); /* a fill has no FLOPs */
    assert_non_null(strstr(text, "peak measured again: "));
}

/* Each operation that a model has is a row; a mark has its line at the end. */
static void test_bench_of_a_model(void **state)
{
    (void)state;
    assert_int_equal(test_shell(text, sizeof text, "%s bench --model dit-xs/7 --batch 1", test_program()), 0);
    for (int i = 0; fs_operation_at(i) != NULL; i++) {
        assert_non_null(strstr(text, fs_operation_at(i)->name));
    }
    assert_non_null(strstr(text, "linear_forward qkv"));
    assert_non_null(strstr(text, "velocity and tangent take "));
    assert_int_equal(count_of("%*") > 0, count_of("\n* above 100%") > 0);
    test_program_refuses(2, "bench --op nope", "there are fill, copy, linear_forward");
}

/* A part of the network says what memory it takes, and stands alone. An update holds five buffers as large as the
 * weights, so a copy of these on the way to them would show: dit-s/4, of 33 million. */
static void test_bench_of_a_part(void **state)
{
    (void)state;
    double mib[2], buffer = 4.0 * 32.9e6 / (1 << 20);
    const char *const parts[] = {"update", "recompute"}, *const lines[] = {"update: ", "update, recompute: "};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(test_shell(text, sizeof text,
                                    "FEWSTEP_CPU=avx2 OMP_NUM_THREADS=1 %s bench --op %s --model dit-s/4 --batch 1",
                                    test_program(), parts[i]),
                         0);
        assert_int_equal(count_of("tangent") + count_of("loader"), 0);
        const char *line = strstr(text, lines[i]);
        assert_non_null(line);
        assert_int_equal(sscanf(line + strlen(lines[i]), "peak resident set %lf MiB", &mib[i]), 1);
#ifndef __SANITIZE_ADDRESS__ /* which keeps what is freed */
        assert_in_range((int)mib[i], (int)(5 * buffer), (int)(5.8 * buffer));
#endif
    }
    assert_true(mib[1] < mib[0]);
}

static void test_profile(void **state)
{
    double alone, layers, update;
    (void)state;
    assert_int_equal(test_shell(text, sizeof text, "%s bench --profile --model dit-xs/7 --batch 1", test_program()), 0);
    for (const char *at = text; (at = strstr(at, "linear layers alone: ")) != NULL; at++) {
        assert_int_equal(sscanf(at,
                                "linear layers alone: %lf ms, %*f%% of the peak; the layers take %lf, the update %lf",
                                &alone, &layers, &update),
                         3);
        assert_true(alone > 0 && layers > 0 && update > layers);
    }
    assert_int_equal(count_of("linear layers alone: "), count_of(": an update, the shortest of some seconds"));
    assert_true(count_of("linear layers alone: ") > 0);
}

static void test_doctor(void **state)
{
    (void)state;
    assert_int_equal(test_shell(text, sizeof text, "%s doctor", test_program()), 0);
    assert_int_equal(count_of("CUDA tests"), 1);
    assert_null(strstr(text, "norm_backward"));
    assert_int_equal(test_shell(text, sizeof text, "%s doctor --cuda", test_program()), 0);
    assert_int_equal(count_of("compiled: "), count_of("\n"));
    assert_non_null(strstr(text, "norm_backward"));
}

int main(int argc, char **argv)
{
    (void)argc;
    test_program_find(argv[0]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bench), cmocka_unit_test(test_bench_of_a_model),
                                       cmocka_unit_test(test_bench_of_a_part), cmocka_unit_test(test_profile),
                                       cmocka_unit_test(test_doctor)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
