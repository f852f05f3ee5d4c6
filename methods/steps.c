/* What the sampling steps of methods share. */
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
