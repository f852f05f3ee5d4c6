/* Sampling: from the noise bank to data in N steps of the method. */
#include "harness/sample/sampler.h"

#include <stdlib.h>

#include "kernels/base/memory.h"

fs_status fs_sampler_create(struct fs_sampler *sampler, struct fs_error *error)
{
    struct fs_backend *backend = sampler->backend;
    const size_t rows = (size_t)sampler->capacity;
    for (int i = 0; i < 3; i++) {
        FS_TRY(fs_view_create(backend, sampler->capacity, sampler->dim, &sampler->scratch[i], error));
    }
    FS_TRY(fs_view_create(backend, sampler->capacity, 2, &sampler->coefficients, error));
    sampler->t = fs_allocate(rows, sizeof *sampler->t, "times of the sampler", error);
    sampler->s = fs_allocate(rows, sizeof *sampler->s, "conditioning of the sampler", error);
    sampler->null_labels = fs_allocate(rows, sizeof *sampler->null_labels, "labels of the sampler", error);
    if (!sampler->t || !sampler->s || !sampler->null_labels) {
        return error->status;
    }
    for (size_t i = 0; i < rows; i++) {
        sampler->null_labels[i] = sampler->config->model.classes;
    }
    return FS_OK;
}

void fs_sampler_destroy(struct fs_sampler *sampler)
{
    struct fs_view *views[] = {&sampler->scratch[0], &sampler->scratch[1], &sampler->scratch[2],
                               &sampler->coefficients};
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        if (views[i]->data) {
            sampler->backend->release(sampler->backend, views[i]->data);
        }
        *views[i] = fs_no_view();
    }
    free(sampler->t);
    free(sampler->s);
    free(sampler->null_labels);
    sampler->t = sampler->s = NULL;
    sampler->null_labels = NULL;
}

static bool is_shifted(const struct fs_drawing *drawing)
{
    return drawing->time_shift != 0 && drawing->time_shift != 1;
}

static fs_status check_request(const struct fs_sampler *sampler, const struct fs_method_setup *setup,
                               const struct fs_drawing *drawing, struct fs_error *error)
{
    const struct fs_method *method = sampler->config->method;
    const int steps = drawing->steps;
    const double guidance_scale = drawing->guidance_scale;
    const char *reason = "";
    if (!fs_method_takes_steps(method, setup->finest_steps, steps)) {
        return fs_fail(error, FS_USAGE, "steps: expected a %s up to model.finest_steps, %d, got %d",
                       method->freedom & FS_ANY_STEPS ? "number" : "power of two", setup->finest_steps, steps);
    }
    if ((drawing->solver != FS_SOLVER_METHOD && !(method->freedom & FS_ANY_SOLVER)) ||
        (is_shifted(drawing) && !(method->freedom & FS_ANY_TIMES))) {
        return fs_fail(error, FS_USAGE, "%s: %s has steps of its own, all alike; take sampler method and time_shift 1",
                       is_shifted(drawing) ? "time_shift" : "sampler", method->name);
    }
    if (guidance_scale != 1 && !method->guidance_allowed(setup, steps, &reason)) {
        return fs_fail(error, FS_USAGE, "guidance: %g means nothing for %s at %d %s: %s; take 1", guidance_scale,
                       method->name, steps, steps == 1 ? "step" : "steps", reason);
    }
    return FS_OK;
}

/* --- what a step calls --- */

struct drawn_rows {
    struct fs_sampler *sampler;
    const struct fs_drawing *drawing;
};

static void mix(struct fs_step *step, struct fs_view out, double a, struct fs_view x, double c, struct fs_view y,
                double clip)
{
    const struct drawn_rows *drawn = step->owner;
    struct fs_backend *backend = step->backend;
    const struct fs_view rows = fs_view_rows(drawn->sampler->coefficients, 0, out.rows);
    const struct fs_view left = fs_view_cols(rows, 0, 1), right = fs_view_cols(rows, 1, 1);
    backend->fill(backend, left, a);
    backend->fill(backend, right, c);
    backend->mix(backend, out, left, x, right, y, clip);
}

static void velocity(struct fs_step *step, struct fs_view out, struct fs_view x, double t, float s)
{
    const struct drawn_rows *drawn = step->owner;
    struct fs_sampler *sampler = drawn->sampler;
    const double scale = drawn->drawing->guidance_scale;
    for (int64_t i = 0; i < x.rows; i++) {
        sampler->t[i] = (float)t;
        sampler->s[i] = s;
    }
    sampler->evaluate(sampler, out, x, sampler->t, sampler->s, drawn->drawing->labels);
    if (scale != 1) {
        const struct fs_view null = fs_view_rows(sampler->scratch[2], 0, x.rows);
        sampler->evaluate(sampler, null, x, sampler->t, sampler->s, sampler->null_labels);
        mix(step, out, scale, out, 1 - scale, null, 0);
    }
}

fs_status fs_sample(struct fs_sampler *sampler, struct fs_view x, const struct fs_drawing *drawing,
                    struct fs_error *error)
{
    const struct fs_method_setup setup = fs_config_method_setup(sampler->config);
    const struct fs_method *method = sampler->config->method;
    const int steps = drawing->steps;
    FS_TRY(check_request(sampler, &setup, drawing, error));
    if (x.rows > sampler->capacity || x.cols != sampler->dim) {
        return fs_fail(error, FS_FAILED, "sampler: %lld rows of %lld are more than its %d rows of %lld",
                       (long long)x.rows, (long long)x.cols, sampler->capacity, (long long)sampler->dim);
    }
    struct drawn_rows drawn = {sampler, drawing};
    struct fs_step step = {
        .backend = sampler->backend,
        .setup = setup,
        .x = x,
        .scratch = {fs_view_rows(sampler->scratch[0], 0, x.rows), fs_view_rows(sampler->scratch[1], 0, x.rows)},
        .steps = steps,
        .s = method->conditioning(&setup, steps),
        .seed = drawing->seed,
        .first_row = drawing->first_row,
        .velocity = velocity,
        .mix = mix,
        .owner = &drawn,
    };
    for (; step.step < steps; step.step++) {
        const double shift = is_shifted(drawing) ? drawing->time_shift : 1;
        step.t = fs_shifted_time((double)step.step / steps, shift);
        step.next = fs_shifted_time((step.step + 1.0) / steps, shift);
        fs_solver_step(drawing->solver, method, &step);
    }
    return FS_OK;
}

void fs_evaluation_noise(struct fs_backend *backend, struct fs_view x, uint32_t seed, uint32_t first_row)
{
    const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_EVALUATION_NOISE};
    backend->normals(backend, x, key, first_row);
}
