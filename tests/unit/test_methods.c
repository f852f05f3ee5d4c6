/* What every method has to hold to, whatever it trains: a new method passes this without a line here. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "harness/train/dealt_rows.h"
#include "tests/support/mock_training.h"

#define LEVELS 7 /* where the defaults of every method fit */
#define BATCH 131
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

/* --- every phase of every method, with all its choices --- */

typedef void (*phase_check)(struct fs_mock_training *mock, const struct fs_phase *phase);

static void check_phases(const struct fs_method *method, double guidance_scale, const struct fs_option *option,
                         double value, phase_check body)
{
    struct fs_mock_training mock;
    struct fs_phase phases[FS_PHASES_MAX];
    struct fs_error error = {.text = ""};
    fs_mock_create(&mock, backend, method, LEVELS, BATCH, DIM, waves);
    mock.label_dropout = 0.25;
    mock.setup.guidance_scale = guidance_scale;
    if (option != NULL) {
        fs_mock_set_option(method, &mock.settings, option->key, value);
    }
    if (method->check(&mock.setup, &error) != FS_OK) {
        fail_msg("%s: %s", method->name, error.text);
    }
    const int count = method->phases(&mock.setup, phases);
    int64_t begin = 0;
    for (int k = 0; k < count; k++) {
        mock.update = begin + (phases[k].updates > 3 ? 3 : 0);
        body(&mock, &phases[k]);
        begin += phases[k].updates;
    }
    fs_mock_destroy(&mock);
}

static int values_of(const struct fs_option *option)
{
    if (option->kind == FS_OPTION_BOOL) {
        return 2;
    }
    int choices = option->kind == FS_OPTION_CHOICE;
    for (const char *c = choices ? option->choices : ""; *c; c++) {
        choices += *c == '|';
    }
    return choices;
}

/* At the defaults, and with each value of each option that has few. */
static void for_every_phase(phase_check body)
{
    const struct fs_method *method;
    for (int i = 0; (method = fs_method_at(i)) != NULL; i++) {
        for (int guided = 0; guided < 2; guided++) {
            const double scale = guided ? 1.5 : 1;
            check_phases(method, scale, NULL, 0, body);
            for (int k = 0; k < method->option_count; k++) {
                for (int value = 0; value < values_of(&method->options[k]); value++) {
                    check_phases(method, scale, &method->options[k], value, body);
                }
            }
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
        assert_true(targets.t[i] >= 0 && targets.t[i] <= 1);
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

static void check_ranks(struct fs_mock_training *mock, const struct fs_phase *phase)
{
    struct fs_mock_targets whole = fs_mock_make(mock, phase, mock->setup.batch);
    for (mock->ranks = 2; mock->ranks <= 5; mock->ranks++) {
        struct fs_mock_targets targets = fs_mock_make(mock, phase, 9);
        assert_true(same_bits(mock, &whole, &targets));
        fs_mock_free_targets(&targets);
    }
    mock->ranks = 1;
    fs_mock_free_targets(&whole);
}

static void ranks_move_no_bit(void **state)
{
    (void)state;
    for_every_phase(check_ranks);
}

/* Each process gets its share of every group, to a row, and of the whole batch, to a row. */
static void groups_are_dealt_evenly(void **state)
{
    (void)state;
    const struct fs_method *method;
    for (int i = 0; (method = fs_method_at(i)) != NULL; i++) {
        struct fs_mock_training mock;
        int counts[FS_ROW_GROUPS_MAX], sum = 0;
        fs_mock_create(&mock, backend, method, LEVELS, BATCH, DIM, waves);
        const int groups = method->row_groups(&mock.setup, counts);
        assert_in_range(groups, 1, FS_ROW_GROUPS_MAX);
        for (int g = 0; g < groups; g++) {
            assert_true(counts[g] >= 0);
            sum += counts[g];
        }
        assert_int_equal(sum, BATCH);
        for (int ranks = 1; ranks <= BATCH; ranks++) {
            int next[FS_ROW_GROUPS_MAX] = {0};
            for (int rank = 0; rank < ranks; rank++) {
                const struct fs_comm comm = {.rank = rank, .size = ranks};
                const struct fs_dealt_rows dealt = fs_deal_rows(&comm, method, &mock.setup);
                assert_in_range(dealt.rows, BATCH / ranks, (BATCH + ranks - 1) / ranks);
                for (int g = 0, begin = 0; g < groups; begin += counts[g++]) {
                    assert_in_range(dealt.groups[g].count, counts[g] / ranks, (counts[g] + ranks - 1) / ranks);
                    assert_int_equal(dealt.groups[g].global, begin + next[g]);
                    next[g] += dealt.groups[g].count;
                }
            }
            assert_memory_equal(next, counts, (size_t)groups * sizeof *counts);
        }
        fs_mock_destroy(&mock);
    }
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
    memset(mock->tangents_asked, 0, sizeof mock->tangents_asked);
    mock->rows_known = 0;
    struct fs_mock_targets targets = fs_mock_make(mock, phase, 9);
    double asked = 0, tangents = 0;
    for (int network = 0; network < 3; network++) {
        asked += (double)mock->rows_asked[network];
        tangents += (double)mock->tangents_asked[network];
    }
    assert_true(phase->asks_teacher ==
                (mock->rows_asked[FS_NETWORK_TEACHER] + mock->tangents_asked[FS_NETWORK_TEACHER] > 0));
    assert_true(phase->asks_average ==
                (mock->rows_asked[FS_NETWORK_AVERAGE] + mock->tangents_asked[FS_NETWORK_AVERAGE] > 0));
    assert_true(fabs(tangents - phase->tangents * mock->setup.batch) < 1e-6);
    assert_true(fabs((double)mock->rows_known - phase->known * mock->setup.batch) < 1e-6);
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
            const bool teacher = method->teacher_share(&mock.settings) > 0;
            struct fs_pairs_request pairs = {0};
            int64_t sum = 0;
            for (int k = 0; k < count; k++) {
                const struct fs_pairs_request own = phases[k].pairs;
                assert_true(teacher || (!phases[k].asks_teacher && own.count == 0));
                assert_true(teacher || phases[k].start != FS_START_TEACHER);
                if (own.count > 0) {
                    assert_true(own.steps >= 1 && own.steps <= mock.setup.finest_steps);
                    assert_true(pairs.count == 0 || (pairs.count == own.count && pairs.steps == own.steps));
                    pairs = own;
                }
                const struct fs_loss loss = method->loss(&mock.setup, &phases[k]);
                assert_true(loss.kind == FS_LOSS_MEAN_SQUARE || (loss.c > 0 && loss.power >= 0));
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
        assert_true(option->fallback >= 0 && option->fallback < values_of(option));
    }
}

/* Whether guidance is learned at these settings, or may be asked for at some number of steps; where it may not, there
 * is a reason. */
static bool knows_guidance(const struct fs_mock_training *mock)
{
    const struct fs_method *method = mock->method;
    bool known = method->trains_guided(&mock->settings);
    for (int steps = 1; steps <= mock->setup.finest_steps; steps *= 2) {
        const char *reason = NULL;
        const bool allowed = method->guidance_allowed(&mock->setup, steps, &reason);
        assert_true(allowed || (reason && strlen(reason) > 0));
        known = known || allowed;
    }
    return known;
}

/* At its defaults, with 128 rows and M = 128, every method may be used as it is; guidance it knows there, or with some
 * value of some option. */
static void table_is_complete(void **state)
{
    (void)state;
    const struct fs_method *method;
    for (int i = 0; (method = fs_method_at(i)) != NULL; i++) {
        assert_ptr_equal(fs_method_find(method->name), method);
        assert_true(strlen(method->label) > 0 && strlen(method->citation) > 0);
        assert_true(method->settings_size <= FS_SETTINGS_MAX);
        struct fs_mock_training mock;
        struct fs_error error;
        fs_mock_create(&mock, backend, method, 7, 128, 1, waves);
        assert_int_equal(method->check(&mock.setup, &error), FS_OK);
        const double share = method->teacher_share(&mock.settings);
        assert_true(share >= 0 && share < 1);
        assert_true(method->target_ema(&mock.settings) < 1);
        bool inside = false, guided = knows_guidance(&mock);
        for (int steps = 1; steps <= 128; steps *= 2) {
            assert_true(isfinite(method->conditioning(&mock.setup, steps)));
            inside = inside || !method->outside_training(&mock.setup, steps);
        }
        assert_true(inside);
        for (int k = 0; k < method->option_count; k++) {
            const struct fs_option *option = &method->options[k];
            check_option(method, option);
            for (int value = 0; value < values_of(option); value++) {
                fs_mock_set_option(method, &mock.settings, option->key, value);
                guided = knows_guidance(&mock) || guided;
            }
            fs_mock_set_option(method, &mock.settings, option->key, option->fallback);
        }
        assert_true(guided);
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
        cmocka_unit_test(ranks_move_no_bit),
        cmocka_unit_test(groups_are_dealt_evenly),
        cmocka_unit_test(seed_and_update_move_rows),
        cmocka_unit_test(extra_forwards_are_those_asked_for),
        cmocka_unit_test(phases_add_up),
        cmocka_unit_test(table_is_complete),
    };
    return cmocka_run_group_tests(tests, open_backend, close_backend);
}
