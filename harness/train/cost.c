/* What a run costs, from its configuration and the shape of its data. */
#include "harness/train/cost.h"

#include "harness/train/trainer.h"

double fs_update_flops(const struct fs_method *method, const struct fs_method_setup *setup,
                       const struct fs_phase *phase, const struct fs_dit_sizes *sizes)
{
    return (3 - phase->known + method->extra_forwards(setup, phase)) * sizes->forward_flops +
           phase->tangents * sizes->tangent_flops;
}

/* Of the batch's updates, over the phases. */
static double training_flops(const struct fs_config *config, const struct fs_dit_sizes *sizes)
{
    const struct fs_method_setup setup = fs_config_method_setup(config);
    struct fs_phase phases[FS_PHASES_MAX];
    const int count = config->method->phases(&setup, phases);
    double flops = 0;
    for (int i = 0; i < count; i++) {
        const double samples = (double)phases[i].updates * config->train.batch;
        flops += samples * fs_update_flops(config->method, &setup, &phases[i], sizes);
    }
    return flops;
}

/* Guided, an evaluation asks the network twice: with the label and without. */
static double scoring_forwards(const struct fs_config *config)
{
    double all_steps = 0;
    for (int i = 0; i < config->evaluate.step_count; i++) {
        const int steps = config->evaluate.steps[i];
        all_steps += (double)fs_solver_evaluations(config->evaluate.sampler, steps) *
                     (fs_config_guidance(config, steps) == 1 ? 1.0 : 2.0);
    }
    struct fs_kept_update kept[FS_KEPT_MAX];
    const int kept_count = fs_config_kept_updates(config, kept);
    double forwards = all_steps;
    for (int i = 0; i < kept_count; i++) {
        forwards +=
            kept[i].steps > 0 ? (double)fs_solver_evaluations(config->evaluate.sampler, kept[i].steps) : all_steps;
    }
    return forwards * (double)config->evaluate.samples;
}

fs_status fs_run_cost(const struct fs_config *config, const struct fs_data_shape *shape, struct fs_cost *cost,
                      struct fs_error *error)
{
    const enum fs_type precision = config->train.precision == FS_PRECISION_BF16 ? FS_BF16 : FS_F32;
    const struct fs_weight_copies copies = fs_weight_copies(config);
    struct fs_kept_update updates[FS_KEPT_MAX];
    struct fs_dit_sizes sizes;
    FS_TRY(fs_dit_sizes_of(FS_F32, &config->model, shape->height, shape->width, shape->channels, 1, FS_PASS_FORWARD,
                           precision, &sizes, error));
    *cost = (struct fs_cost){.forward_flops = sizes.forward_flops, .parameters = (double)sizes.parameters};
    cost->student_flops = training_flops(config, &sizes);
    if (config->method->teacher_share(&config->settings) > 0) {
        struct fs_config teacher;
        FS_TRY(fs_config_teacher(config, &teacher, error));
        cost->teacher_flops = training_flops(&teacher, &sizes);
        fs_config_free(&teacher);
    }
    const struct fs_pairs_request pairs = fs_config_pairs(config);
    const int networks = config->evaluate.guidance_scale == 1 ? 1 : 2;
    cost->pair_flops = (double)pairs.count * pairs.steps * networks * cost->forward_flops;
    cost->pair_bytes = (double)pairs.count * (double)fs_shape_dim(shape) * sizeof(float);
    cost->score_flops = scoring_forwards(config) * cost->forward_flops;
    const int held = 4 + copies.target + copies.teacher; /* with weights, their average and two moments */
    cost->checkpoint_bytes = held * cost->parameters * sizeof(float) * (1 + fs_config_kept_updates(config, updates));
    cost->snapshot_bytes = held * (double)sizes.flat * sizeof(float);
    return fs_training_bytes(config, shape, FS_F32, precision, 0, 1, &cost->memory_bytes, error);
}
