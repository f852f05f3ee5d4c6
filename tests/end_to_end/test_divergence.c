/* A training whose rate is too high: it fails and says so, or begins again at half the rate, and however often it is
 * killed ends with the same bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/support/folder.h"
#include "tests/support/pictures.h"
#include "tests/support/program.h"

#define KILLS 4

static char experiment[1024], calm[1024], killed[1024], data[1024];

/* At a rate of 0.3 the loss explodes within a few updates, at an eighth of it it does not. */
#define TEXT                                                                                                           \
    "experiment: wild\n"                                                                                               \
    "dataset: {name: few, kind: idx, path: %s}\n"                                                                      \
    "model: {preset: tiny, patch: 14, hidden: 32, depth: 2, heads: 2, classes: 10, finest_steps: 8}\n"                 \
    "train: {updates: 80, batch: 16, learning_rate: 0.3, warmup: 2, checkpoint_every: 0.02, on_divergence: "           \
    "restart-lower}\n"                                                                                                 \
    "method: flow-matching\n"                                                                                          \
    "evaluate: {steps: [8], samples: 100}\n"

static void it_stops_and_says_what_may_help(void **state)
{
    char arguments[2600], text[8192];

    (void)state;
    snprintf(arguments, sizeof arguments, "run %s --out %s-stopped --set train.on_divergence=stop --quiet > /dev/null",
             experiment, calm);
    assert_int_equal(test_program_run("", arguments, text, sizeof text), 3);
    assert_non_null(strstr(text, "lower train.learning_rate (or methods.flow-matching.learning_rate), lengthen "
                                 "train.warmup, or set train.beta2: 0.95 or train.clip_norm: 1; train.on_divergence: "
                                 "restart-lower"));
}

static void it_begins_again_and_is_named(void **state)
{
    char arguments[2600], text[8192], restarts[32];

    (void)state;
    test_program_finish(experiment, calm);
    test_program_query(calm, "SELECT state, restarts > 0 FROM runs", text, sizeof text);
    assert_string_equal(text, "trained 1 \n");
    test_program_query(calm, "SELECT 'at 1/' || (1 << restarts) || ' of its rate' FROM runs", restarts,
                       sizeof restarts);
    restarts[strcspn(restarts, "\n") - 1] = 0;
    snprintf(arguments, sizeof arguments, "table --out %s >&2", calm);
    assert_int_equal(test_program_run("", arguments, text, sizeof text), 0);
    assert_non_null(strstr(text, "Flow matching (Euler), seed 0, diverged and began again, at 1/"));
    assert_non_null(strstr(text, restarts));
}

static void killed_at_any_moment_it_ends_the_same(void **state)
{
    (void)state;
    for (int kills = 0; kills < KILLS; kills++) {
        const pid_t child = test_program_start(experiment, killed);
        test_sleep(0.2 + 0.8 * (double)rand() / RAND_MAX);
        kill(child, SIGKILL);
        test_program_wait(child);
    }
    test_program_finish(experiment, killed);
    test_program_same_results(calm, killed);
}

static int setup(void **state)
{
    char text[2048];

    (void)state;
    snprintf(experiment, sizeof experiment, "%s", test_path("wild.yaml"));
    snprintf(calm, sizeof calm, "%s", test_path("calm"));
    snprintf(killed, sizeof killed, "%s", test_path("killed"));
    snprintf(data, sizeof data, "%s", test_path("data"));
    test_small_fashion_mnist(data, 500, 200);
    const int length = snprintf(text, sizeof text, TEXT, data);
    test_write(experiment, text, (size_t)length);
    return 0;
}

int main(int argc, char **argv)
{
    test_program_find(argc > 0 ? argv[0] : "");
    srand((unsigned)time(NULL));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_stops_and_says_what_may_help),
        cmocka_unit_test(it_begins_again_and_is_named),
        cmocka_unit_test(killed_at_any_moment_it_ends_the_same),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
