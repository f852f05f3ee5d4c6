/* What the sampling steps of methods share, and steps that may stand in a method's place. */
#include "methods/steps.h"

void fs_euler_step(struct fs_step *step)
{
    const struct fs_view velocity = step->scratch[0];
    step->velocity(step, velocity, step->x, step->t, step->s);
    step->mix(step, step->x, 1, step->x, step->next - step->t, velocity, 0);
}

void fs_step_noise(struct fs_step *step, struct fs_view out)
{
    const struct fs_random_key key = {
        .seed = step->seed, .stream = FS_STREAM_SAMPLING_NOISE, .step = (uint32_t)step->step};
    step->backend->normals(step->backend, out, key, step->first_row);
}

/* x' = x + h·v(x, t); x ← x + h/2·v(x, t) + h/2·v(x', next). With x' alone at hand the first two terms are
 * (x + x')/2, so that two views are enough. */
static void heun_step(struct fs_step *step)
{
    const struct fs_view velocity = step->scratch[0], ahead = step->scratch[1];
    const double size = step->next - step->t;
    if (step->step + 1 == step->steps) {
        fs_euler_step(step);
        return;
    }
    step->velocity(step, velocity, step->x, step->t, step->s);
    step->mix(step, ahead, 1, step->x, size, velocity, 0);
    step->velocity(step, velocity, ahead, step->next, step->s);
    step->mix(step, step->x, 0.5, step->x, 0.5, ahead, 0);
    step->mix(step, step->x, 1, step->x, size / 2, velocity, 0);
}

/* x ← x + h·v(x + h/2·v(x, t), t + h/2) */
static void midpoint_step(struct fs_step *step)
{
    const struct fs_view velocity = step->scratch[0], halfway = step->scratch[1];
    const double size = step->next - step->t;
    step->velocity(step, velocity, step->x, step->t, step->s);
    step->mix(step, halfway, 1, step->x, size / 2, velocity, 0);
    step->velocity(step, velocity, halfway, step->t + size / 2, step->s);
    step->mix(step, step->x, 1, step->x, size, velocity, 0);
}

void fs_solver_step(enum fs_solver solver, const struct fs_method *method, struct fs_step *step)
{
    switch (solver) {
    case FS_SOLVER_HEUN:
        heun_step(step);
        return;
    case FS_SOLVER_MIDPOINT:
        midpoint_step(step);
        return;
    default:
        method->step(step);
    }
}

const char *fs_solver_name(enum fs_solver solver)
{
    static const char *const names[] = {"method", "heun", "midpoint"};
    return names[solver];
}

int64_t fs_solver_evaluations(enum fs_solver solver, int steps)
{
    return solver == FS_SOLVER_METHOD ? steps : 2 * (int64_t)steps - (solver == FS_SOLVER_HEUN);
}

double fs_shifted_time(double t, double shift)
{
    return shift == 1 ? t : t / (t + shift * (1 - t));
}
