/* A training without a network. */
#include "tests/support/mock_training.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "harness/train/dealt_rows.h"
#include "methods/steps.h"

static void *room(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    assert_non_null(memory);
    return memory;
}

void fs_mock_read(struct fs_backend *backend, struct fs_view view, double *values)
{
    const size_t bytes = (size_t)(view.rows * view.stride) * fs_type_size(view.type);
    char *copy = room(bytes, 1);
    backend->download(backend, copy, view.data, bytes);
    for (int64_t i = 0; i < view.rows; i++) {
        for (int64_t j = 0; j < view.cols; j++) {
            const int64_t at = i * view.stride + j;
            values[i * view.cols + j] = view.type == FS_F64 ? ((double *)copy)[at] : (double)((float *)copy)[at];
        }
    }
    free(copy);
}

void fs_mock_write(struct fs_backend *backend, struct fs_view view, const double *values)
{
    assert_int_equal(view.stride, view.cols);
    const size_t count = (size_t)(view.rows * view.cols);
    if (view.type == FS_F64) {
        backend->upload(backend, view.data, values, count * sizeof(double));
        return;
    }
    float *copy = room(count, sizeof *copy);
    for (size_t i = 0; i < count; i++) {
        copy[i] = (float)values[i];
    }
    backend->upload(backend, view.data, copy, count * sizeof *copy);
    free(copy);
}

static struct fs_view create_view(struct fs_backend *backend, int64_t rows, int64_t cols)
{
    struct fs_error error;
    void *data = backend->allocate(backend, (size_t)(rows * cols) * fs_type_size(backend->real), &error);
    assert_non_null(data);
    return fs_view(data, backend->real, rows, cols);
}

/* --- what the context calls --- */

static void forget_question(struct fs_mock_training *mock)
{
    free(mock->last.x);
    free(mock->last.t);
    free(mock->last.s);
    free(mock->last.labels);
    mock->last = (struct fs_mock_question){0};
}

static void *copy_of(const void *values, size_t size)
{
    return memcpy(room(size, 1), values, size);
}

static void remember_question(struct fs_mock_training *mock, struct fs_view x, const float *t, const float *s,
                              const int32_t *labels)
{
    const size_t rows = (size_t)x.rows;
    mock->last =
        (struct fs_mock_question){x.rows, room(rows * (size_t)mock->dim, sizeof(double)), copy_of(t, rows * sizeof *t),
                                  copy_of(s, rows * sizeof *s), copy_of(labels, rows * sizeof *labels)};
    fs_mock_read(mock->backend, x, mock->last.x);
}

/* The targets' first rows are what was asked last. */
static void check_known(struct fs_mock_training *mock, const struct fs_targets *targets,
                        const struct fs_mock_targets *made)
{
    const struct fs_mock_question *last = &mock->last;
    if (targets->known > 0) {
        const size_t rows = (size_t)targets->known;
        assert_true(targets->known == last->rows);
        assert_memory_equal(made->x, last->x, rows * (size_t)mock->dim * sizeof *last->x);
        assert_memory_equal(made->t, last->t, rows * sizeof *last->t);
        assert_memory_equal(made->s, last->s, rows * sizeof *last->s);
        assert_memory_equal(made->labels, last->labels, rows * sizeof *last->labels);
        mock->rows_known += targets->known;
    }
}

static void evaluate(struct fs_method_context *context, enum fs_network network, struct fs_view out, struct fs_view x,
                     const float *t, const float *s, const int32_t *labels)
{
    struct fs_mock_training *mock = context->owner;
    assert_int_equal(out.rows, x.rows);
    assert_true(x.rows > 0);
    forget_question(mock);
    double *states = room((size_t)x.rows * (size_t)mock->dim, sizeof *states);
    fs_mock_read(mock->backend, x, states);
    for (int64_t i = 0; i < x.rows; i++) {
        double velocity[64];
        mock->velocity(states + i * mock->dim, (double)t[i], (double)s[i], labels[i], network, mock->dim, velocity);
        memcpy(states + i * mock->dim, velocity, (size_t)mock->dim * sizeof *velocity);
    }
    fs_mock_write(mock->backend, out, states);
    mock->rows_asked[network] += x.rows;
    free(states);
}

static void evaluate_tangent(struct fs_method_context *context, enum fs_network network, struct fs_view out,
                             struct fs_view out_dot, struct fs_view x, const float *t, const float *s,
                             const int32_t *labels, struct fs_view x_dot, const float *t_dot, const float *s_dot)
{
    struct fs_mock_training *mock = context->owner;
    const double step = 1e-5;
    const int dim = mock->dim;
    assert_true(out.rows == x.rows && out_dot.rows == x.rows && x_dot.rows == x.rows && x.rows > 0);
    assert_true(context->phase->tangents > 0);
    forget_question(mock);
    if (network == FS_NETWORK_CURRENT) {
        remember_question(mock, x, t, s, labels);
    }
    double *states = room((size_t)(x.rows * dim), sizeof *states);
    double *directions = room((size_t)(x.rows * dim), sizeof *directions);
    fs_mock_read(mock->backend, x, states);
    fs_mock_read(mock->backend, x_dot, directions);
    for (int64_t i = 0; i < x.rows; i++) {
        double *state = states + i * dim, *direction = directions + i * dim, ends[2][64], moved[64];
        for (int end = 0; end < 2; end++) {
            const double by = end == 0 ? -step : step;
            for (int j = 0; j < dim; j++) {
                moved[j] = state[j] + by * direction[j];
            }
            mock->velocity(moved, (double)t[i] + by * (double)t_dot[i], (double)s[i] + by * (double)s_dot[i], labels[i],
                           network, dim, ends[end]);
        }
        mock->velocity(state, (double)t[i], (double)s[i], labels[i], network, dim, moved);
        for (int j = 0; j < dim; j++) {
            direction[j] = (ends[1][j] - ends[0][j]) / (2 * step);
        }
        memcpy(state, moved, (size_t)dim * sizeof *state);
    }
    fs_mock_write(mock->backend, out, states);
    fs_mock_write(mock->backend, out_dot, directions);
    mock->tangents_asked[network] += x.rows;
    free(states);
    free(directions);
}

static void mix(struct fs_method_context *context, struct fs_view out, const float *a, struct fs_view x, const float *c,
                struct fs_view y, double clip)
{
    struct fs_backend *backend = context->backend;
    double *left = room((size_t)out.rows, sizeof *left), *right = room((size_t)out.rows, sizeof *right);
    for (int64_t i = 0; i < out.rows; i++) {
        left[i] = (double)a[i];
        right[i] = (double)c[i];
    }
    const struct fs_view by_x = create_view(backend, out.rows, 1), by_y = create_view(backend, out.rows, 1);
    fs_mock_write(backend, by_x, left);
    fs_mock_write(backend, by_y, right);
    backend->mix(backend, out, by_x, x, by_y, y, clip);
    backend->release(backend, by_x.data);
    backend->release(backend, by_y.data);
    free(left);
    free(right);
}

/* --- a training --- */

void fs_mock_default_settings(const struct fs_method *method, struct fs_method_settings *settings)
{
    memset(settings, 0, sizeof *settings);
    for (int i = 0; i < method->option_count; i++) {
        const struct fs_option *option = &method->options[i];
        fs_number_store(settings->bytes + option->offset, option->kind, option->size, option->fallback);
    }
}

static const struct fs_option *find_option(const struct fs_method *method, const char *key)
{
    for (int i = 0; i < method->option_count; i++) {
        if (strcmp(method->options[i].key, key) == 0) {
            return &method->options[i];
        }
    }
    fail_msg("%s has no option %s", method->name, key);
    return NULL;
}

void fs_mock_set_option(const struct fs_method *method, struct fs_method_settings *settings, const char *key,
                        double value)
{
    const struct fs_option *option = find_option(method, key);
    fs_number_store(settings->bytes + option->offset, option->kind, option->size, value);
}

double fs_mock_option(const struct fs_method *method, const struct fs_method_settings *settings, const char *key)
{
    const struct fs_option *option = find_option(method, key);
    return fs_number_load(settings->bytes + option->offset, option->kind, option->size);
}

void fs_mock_expected_methods(char *text, size_t size)
{
    const struct fs_method *method;
    int used = snprintf(text, size, "expected ");
    for (int i = 0; (method = fs_method_at(i)) != NULL; i++) {
        const char *separator = i == 0 ? "" : fs_method_at(i + 1) != NULL ? ", " : " or ";
        used += snprintf(text + used, size - (size_t)used, "%s%s", separator, method->name);
        assert_in_range(used, 1, size - 1);
    }
}

void fs_mock_create(struct fs_mock_training *mock, struct fs_backend *backend, const struct fs_method *method,
                    int levels, int batch, int dim, fs_mock_velocity velocity)
{
    *mock = (struct fs_mock_training){.backend = backend,
                                      .method = method,
                                      .seed = 5,
                                      .update = 3,
                                      .dim = dim,
                                      .null_label = 4,
                                      .ranks = 1,
                                      .velocity = velocity};
    assert_true(dim <= 64);
    fs_mock_default_settings(method, &mock->settings);
    mock->setup = (struct fs_method_setup){.settings = &mock->settings,
                                           .finest_steps = 1 << levels,
                                           .levels = levels,
                                           .batch = batch,
                                           .updates = 1000,
                                           .guidance_scale = 1};
    const size_t values = (size_t)batch * (size_t)dim;
    mock->data = room(values, sizeof *mock->data);
    mock->noise = room(values, sizeof *mock->noise);
    mock->labels = room((size_t)batch, sizeof *mock->labels);
    for (int i = 0; i < batch; i++) {
        mock->labels[i] = i % 4;
    }
    const struct fs_random_key key = {.seed = 1, .stream = FS_STREAM_TEST};
    for (size_t i = 0; i < values; i++) {
        float four[4];
        fs_normals4(key, 0, (uint32_t)i, four);
        mock->data[i] = (double)four[0];
        mock->noise[i] = (double)four[1];
    }
}

void fs_mock_destroy(struct fs_mock_training *mock)
{
    free(mock->data);
    free(mock->noise);
    free(mock->labels);
}

static struct fs_mock_targets create_targets(int rows, int dim)
{
    const size_t batch = (size_t)rows, values = batch * (size_t)dim;
    struct fs_mock_targets all = {
        .x = room(values, sizeof(double)),
        .target = room(values, sizeof(double)),
        .t = room(batch, sizeof(float)),
        .s = room(batch, sizeof(float)),
        .weight = room(batch, sizeof(float)),
        .labels = room(batch, sizeof(int32_t)),
        .level = room(batch, sizeof(int32_t)),
    };
    for (size_t i = 0; i < batch; i++) {
        all.t[i] = all.s[i] = all.weight[i] = NAN;
        all.labels[i] = all.level[i] = -1;
    }
    return all;
}

void fs_mock_free_targets(struct fs_mock_targets *targets)
{
    free(targets->x);
    free(targets->target);
    free(targets->t);
    free(targets->s);
    free(targets->weight);
    free(targets->labels);
    free(targets->level);
}

/* The rows of the global batch that a part is, as doubles into a view. */
static void write_rows(struct fs_backend *backend, struct fs_view view, const struct fs_dealt_rows *part,
                       const double *global)
{
    double *values = room((size_t)(view.rows * view.cols), sizeof *values);
    for (int g = 0; g < part->group_count; g++) {
        const struct fs_row_range range = part->groups[g];
        memcpy(values + range.first * view.cols, global + range.global * view.cols,
               (size_t)(range.count * view.cols) * sizeof *values);
    }
    fs_mock_write(backend, view, values);
    free(values);
}

/* A context for the rows of the part, with scratch that holds NaN. */
static struct fs_method_context create_context(struct fs_mock_training *mock, const struct fs_phase *phase,
                                               const struct fs_dealt_rows *part)
{
    struct fs_backend *backend = mock->backend;
    int32_t *labels = room((size_t)part->rows, sizeof *labels);
    struct fs_method_context context = {
        .backend = backend,
        .setup = mock->setup,
        .phase = phase,
        .update = mock->update,
        .seed = mock->seed,
        .rows = part->rows,
        .dim = mock->dim,
        .null_label = mock->null_label,
        .label_dropout = mock->label_dropout,
        .guidance_scale = mock->setup.guidance_scale,
        .data = create_view(backend, part->rows, mock->dim),
        .labels = labels,
        .spare_labels = room((size_t)part->rows, sizeof(int32_t)),
        .evaluate = evaluate,
        .evaluate_tangent = evaluate_tangent,
        .mix = mix,
        .owner = mock,
    };
    memcpy(context.groups, part->groups, sizeof context.groups);
    for (int g = 0; g < part->group_count; g++) {
        const struct fs_row_range range = part->groups[g];
        memcpy(labels + range.first, mock->labels + range.global, (size_t)range.count * sizeof *labels);
    }
    write_rows(backend, context.data, part, mock->data);
    if (phase->pairs.count > 0) {
        context.noise = create_view(backend, part->rows, mock->dim);
        write_rows(backend, context.noise, part, mock->noise);
    }
    for (int k = 0; k < 4; k++) {
        context.scratch[k] = create_view(backend, part->rows, mock->dim);
        backend->fill(backend, context.scratch[k], (double)NAN);
        context.numbers[k] = room((size_t)part->rows, sizeof(float));
    }
    return context;
}

static void destroy_context(struct fs_method_context *context)
{
    struct fs_backend *backend = context->backend;
    backend->release(backend, context->data.data);
    if (context->noise.data) {
        backend->release(backend, context->noise.data);
    }
    for (int k = 0; k < 4; k++) {
        backend->release(backend, context->scratch[k].data);
        free(context->numbers[k]);
    }
    free(context->spare_labels);
    free((void *)context->labels);
}

/* Row `from` of the part's targets is row `to` of all. */
static void place_row(const struct fs_mock_targets *part, int from, struct fs_mock_targets *all, int to, int dim)
{
    memcpy(all->x + to * dim, part->x + from * dim, (size_t)dim * sizeof *all->x);
    memcpy(all->target + to * dim, part->target + from * dim, (size_t)dim * sizeof *all->target);
    all->t[to] = part->t[from];
    all->s[to] = part->s[from];
    all->labels[to] = part->labels[from];
    all->weight[to] = part->weight[from];
    all->level[to] = part->level[from];
}

static void make_rows(struct fs_mock_training *mock, const struct fs_phase *phase, const struct fs_dealt_rows *part,
                      struct fs_mock_targets *all)
{
    struct fs_backend *backend = mock->backend;
    struct fs_error error;
    struct fs_method_context context = create_context(mock, phase, part);
    struct fs_mock_targets made = create_targets(part->rows, mock->dim);
    struct fs_targets targets = {
        .x = create_view(backend, part->rows, mock->dim),
        .target = create_view(backend, part->rows, mock->dim),
        .t = made.t,
        .s = made.s,
        .labels = made.labels,
        .weight = made.weight,
        .level = made.level,
    };
    backend->fill(backend, targets.x, (double)NAN);
    backend->fill(backend, targets.target, (double)NAN);
    mock->method->make_targets(&context, &targets);
    assert_int_equal(backend->synchronise(backend, &error), FS_OK);
    fs_mock_read(backend, targets.x, made.x);
    fs_mock_read(backend, targets.target, made.target);
    check_known(mock, &targets, &made);
    forget_question(mock);
    for (int g = 0; g < part->group_count; g++) {
        const struct fs_row_range range = part->groups[g];
        for (int i = 0; i < range.count; i++) {
            place_row(&made, range.first + i, all, range.global + i, mock->dim);
        }
    }
    backend->release(backend, targets.x.data);
    backend->release(backend, targets.target.data);
    fs_mock_free_targets(&made);
    destroy_context(&context);
}

struct fs_mock_targets fs_mock_make(struct fs_mock_training *mock, const struct fs_phase *phase, int micro)
{
    struct fs_mock_targets all = create_targets(mock->setup.batch, mock->dim);
    mock->setup.settings = &mock->settings;
    for (int rank = 0; rank < mock->ranks; rank++) {
        const struct fs_comm comm = {.rank = rank, .size = mock->ranks};
        const struct fs_dealt_rows dealt = fs_deal_rows(&comm, mock->method, &mock->setup);
        for (int first = 0; first < dealt.rows; first += micro) {
            const int rest = dealt.rows - first;
            const struct fs_dealt_rows part = fs_part_of_rows(&dealt, first, rest < micro ? rest : micro);
            make_rows(mock, phase, &part, &all);
        }
    }
    return all;
}

/* --- sampling --- */

void fs_mock_renoise(struct fs_step *step)
{
    const struct fs_view end = step->scratch[0], noise = step->scratch[1];
    step->velocity(step, end, step->x, step->t, step->s);
    step->mix(step, end, 1, step->x, 1 - step->t, end, FS_MOCK_CLIP);
    fs_step_noise(step, noise);
    step->mix(step, step->x, step->next, end, 1 - step->next, noise, 0);
}
