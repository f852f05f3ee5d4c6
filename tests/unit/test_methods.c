/* What every method has to hold to, whatever it trains: a new method passes this without a line here. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/mock_training.h"

#define LEVELS 5
#define BATCH 61
#define DIM 6

static struct fs_backend *backend;

static int open_backend(void **state)
{
    (void)state;
    struct fs_error error;
    backend = fs_cpu_backend(1, &error);
    return backend ? 0 : 1;
}

static int close_backend(void **state)
{
    (void)state;
    backend->destroy(backend);
    return 0;
}

/* Smooth, and different for each argument. */
static void waves(const double *x, double t, double s, int32_t label, enum fs_network network, int dim,
                  double *velocity)
{
    for (int d = 0; d < dim; d++) {
        velocity[d] = sin(x[d] + 2 * x[(d + 1) % dim] + t) + 0.1 * s + 0.2 * label + 0.3 * (double)network;
    }
}

/* Calls `body` for every phase of every method, on settings that give each kind of row. */
static void for_every_phase(void (*body)(struct fs_mock_training *mock, const struct fs_phase *phase))
{
    const struct fs_method *method;
    for (int i = 0; (method = fs_method_at(i)) != NULL; i++) {
        for (int guided = 0; guided < 2; guided++) {
            struct fs_mock_training mock;
            struct fs_phase phases[FS_PHASES_MAX];
            fs_mock_create(&mock, backend, method, LEVELS, BATCH, DIM, waves);
            mock.label_dropout = 0.25;
            mock.setup.guidance_scale = guided ? 1.5 : 1;
            if (strcmp(method->name, "shortcut") == 0) {
                fs_mock_set_option(method, &mock.settings, "bootstrap_guidance", guided);
                fs_mock_set_option(method, &mock.settings, "bootstrap_fraction", 0.4);
            } else if (strcmp(method->name, "reflow") == 0) {
                fs_mock_set_option(method, &mock.settings, "teacher_steps", 8);
            }
            struct fs_error error = {.text = ""};
            if (method->check(&mock.setup, &error) != FS_OK) {
                fail_msg("%s: %s", method->name, error.text);
            }
            const int count = method->phases(&mock.setup, phases);
            for (int k = 0; k < count; k++) {
                body(&mock, &phases[k]);
            }
            fs_mock_destroy(&mock);
        }
    }
}

static bool same_bits(const struct fs_mock_training *mock, const struct fs_mock_targets *a,
                      const struct fs_mock_targets *b)
{
    const size_t batch = (size_t)mock->setup.batch, values = batch * (size_t)mock->dim;
    return memcmp(a->x, b->x, values * sizeof *a->x) == 0 &&
           memcmp(a->target, b->target, values * sizeof *a->target) == 0 &&
           memcmp(a->t, b->t, batch * sizeof *a->t) == 0 && memcmp(a->s, b->s, batch * sizeof *a->s) == 0 &&
           memcmp(a->weight, b->weight, batch * sizeof *a->weight) == 0 &&
           memcmp(a->labels, b->labels, batch * sizeof *a->labels) == 0 &&
           memcmp(a->level, b->level, batch * sizeof *a->level) == 0;
}

static void check_rows(struct fs_mock_training *mock, const struct fs_phase *phase)
{
    struct fs_mock_targets targets = fs_mock_make(mock, phase, mock->setup.batch);
    for (int i = 0; i < mock->setup.batch; i++) {
        assert_true(targets.t[i] >= 0 && targets.t[i] < 1);
        const double grid = (double)targets.t[i] * mock->setup.finest_steps;
        assert_true(grid == floor(grid));
        assert_true(isfinite(targets.s[i]));
        assert_true(isfinite(targets.weight[i]) && targets.weight[i] > 0);
        assert_in_range(targets.level[i], 0, mock->setup.levels);
        assert_true(targets.labels[i] == mock->labels[i] || targets.labels[i] == mock->null_label);
        for (int d = 0; d < mock->dim; d++) {
            assert_true(isfinite(targets.x[i * mock->dim + d]));
            assert_true(isfinite(targets.target[i * mock->dim + d]));
        }
    }
    fs_mock_free_targets(&targets);
}

static void every_row_is_filled_and_in_range(void **state)
{
    (void)state;
    for_every_phase(check_rows);
}

static void check_pieces(struct fs_mock_training *mock, const struct fs_phase *phase)
{
    struct fs_mock_targets whole = fs_mock_make(mock, phase, mock->setup.batch);
    const int pieces[] = {1, 7, 13, 60, mock->setup.batch};
    for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++) {
        struct fs_mock_targets targets = fs_mock_make(mock, phase, pieces[k]);
        assert_true(same_bits(mock, &whole, &targets));
        fs_mock_free_targets(&targets);
    }
    fs_mock_free_targets(&whole);
}

static void micro_batches_move_no_bit(void **state)
{
    (void)state;
    for_every_phase(check_pieces);
}

/* Rows are a function of seed and update, and move with both. */
static void check_seeds(struct fs_mock_training *mock, const struct fs_phase *phase)
{
    struct fs_mock_targets one = fs_mock_make(mock, phase, mock->setup.batch);
    mock->seed++;
    struct fs_mock_targets other_seed = fs_mock_make(mock, phase, mock->setup.batch);
    mock->seed--;
    mock->update++;
    struct fs_mock_targets other_update = fs_mock_make(mock, phase, mock->setup.batch);
    mock->update--;
    assert_false(same_bits(mock, &one, &other_seed));
    assert_false(same_bits(mock, &one, &other_update));
    assert_false(same_bits(mock, &other_seed, &other_update));
    fs_mock_free_targets(&one);
    fs_mock_free_targets(&other_seed);
    fs_mock_free_targets(&other_update);
}

static void seed_and_update_move_rows(void **state)
{
    (void)state;
    for_every_phase(check_seeds);
}

static void check_forwards(struct fs_mock_training *mock, const struct fs_phase *phase)
{
    memset(mock->rows_asked, 0, sizeof mock->rows_asked);
    struct fs_mock_targets targets = fs_mock_make(mock, phase, 9);
    double asked = 0;
    for (int network = 0; network < 3; network++) {
        asked += (double)mock->rows_asked[network];
    }
    const double said = mock->method->extra_forwards(&mock->setup, phase) * mock->setup.batch;
    assert_true(fabs(asked - said) < 1e-6);
    fs_mock_free_targets(&targets);
}

/* The FLOPs that tables print are those that were spent. */
static void extra_forwards_are_those_asked_for(void **state)
{
    (void)state;
    for_every_phase(check_forwards);
}

static void phases_add_up(void **state)
{
    (void)state;
    const struct fs_method *method;
    for (int i = 0; (method = fs_method_at(i)) != NULL; i++) {
        for (int64_t updates = 30; updates < 40; updates++) {
            struct fs_mock_training mock;
            struct fs_phase phases[FS_PHASES_MAX];
            fs_mock_create(&mock, backend, method, LEVELS, BATCH, DIM, waves);
            mock.setup.updates = updates;
            const int count = method->phases(&mock.setup, phases);
            assert_in_range(count, 1, FS_PHASES_MAX);
            int64_t sum = 0;
            for (int k = 0; k < count; k++) {
                assert_true(phases[k].updates > 0);
                assert_in_range(phases[k].level, 0, LEVELS);
                assert_int_equal(phases[k].start == FS_START_CONTINUE, k > 0);
                sum += phases[k].updates;
            }
            assert_true(sum == updates);
            fs_mock_destroy(&mock);
        }
    }
}

static void check_option(const struct fs_method *method, const struct fs_option *option)
{
    assert_non_null(option->key);
    assert_true(option->offset + option->size <= method->settings_size);
    if (option->kind == FS_OPTION_REAL || option->kind == FS_OPTION_WHOLE) {
        assert_true(option->fallback >= option->minimum && option->fallback <= option->maximum);
    } else if (option->kind == FS_OPTION_CHOICE) {
        int choices = 1;
        for (const char *c = option->choices; *c; c++) {
            choices += *c == '|';
        }
        assert_true(option->fallback >= 0 && option->fallback < choices);
    }
}

/* At defaults (shortcut: with 128 rows, Reflow: with M = 128) every method may be used as it is. */
static void table_is_complete(void **state)
{
    (void)state;
    const struct fs_method *method;
    for (int i = 0; (method = fs_method_at(i)) != NULL; i++) {
        assert_ptr_equal(fs_method_find(method->name), method);
        assert_true(strlen(method->label) > 0 && strlen(method->citation) > 0);
        for (int k = 0; k < method->option_count; k++) {
            check_option(method, &method->options[k]);
        }
        struct fs_mock_training mock;
        struct fs_error error;
        fs_mock_create(&mock, backend, method, 7, 128, 1, waves);
        assert_int_equal(method->check(&mock.setup, &error), FS_OK);
        const double share = method->teacher_share(&mock.settings);
        assert_true(share >= 0 && share < 1);
        assert_true(method->target_ema(&mock.settings) < 1);
        bool inside = false, guided = method->trains_guided(&mock.settings);
        for (int steps = 1; steps <= 128; steps *= 2) {
            const char *reason = NULL;
            const float s = method->conditioning(&mock.setup, steps);
            assert_true(s >= 0 && s <= 7);
            inside = inside || !method->outside_training(&mock.setup, steps);
            const bool allowed = method->guidance_allowed(&mock.setup, steps, &reason);
            assert_true(allowed || (reason && strlen(reason) > 0));
            guided = guided || allowed;
        }
        assert_true(inside);
        assert_true(guided); /* learned, or asked for somewhere */
        fs_mock_destroy(&mock);
    }
    assert_null(fs_method_find("no-such-method"));
    assert_null(fs_method_at(-1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_filled_and_in_range),
        cmocka_unit_test(micro_batches_move_no_bit),
        cmocka_unit_test(seed_and_update_move_rows),
        cmocka_unit_test(extra_forwards_are_those_asked_for),
        cmocka_unit_test(phases_add_up),
        cmocka_unit_test(table_is_complete),
    };
    return cmocka_run_group_tests(tests, open_backend, close_backend);
}
