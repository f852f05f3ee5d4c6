/* Costs of a run, from its configuration alone. */
#include "harness/config/cost.h"

#include "harness/data/dataset.h"
#include "harness/model/dit.h"

/* Weights and biases of the backbone, layer by layer. */
static double count_parameters(const struct fs_model_config *model, int channels)
{
    const double width = model->hidden, features = 256;
    const double patch = (double)model->patch * model->patch * channels;
    const double patch_embedding = patch * width + width;
    const double scalar_embeddings = 2 * (features * width + width + width * width + width);
    const double labels = (model->classes + 1.0) * width;
    const double modulation = 6 * (width * width + width);
    const double attention = 4 * (width * width + width);
    const double mlp = 8 * width * width + 5 * width;
    const double final = 2 * (width * width + width) + width * patch + patch;
    return patch_embedding + scalar_embeddings + labels + model->depth * (modulation + attention + mlp) + final;
}

/* Floats of one sample: per token and block what the backward pass needs (the residual stream twice, two normed inputs,
 * q, k, v, attention's output, both branches' outputs, the MLP's hidden layer before and after GELU), and once what
 * stands around the blocks and the gradients inside one of them. */
static double count_activations(const struct fs_model_config *model, int height, int width, int channels)
{
    const int tokens = (height / model->patch) * (width / model->patch);
    const double block = (double)tokens * model->hidden * (2 + 2 + 3 + 1 + 2 + 8) + 6.0 * model->hidden;
    return model->depth * block + 14.0 * tokens * model->hidden + 4.0 * height * width * channels;
}

static bool has_own_average(const struct fs_config *config)
{
    const double decay = config->method->target_ema(&config->settings);
    return decay >= 0 && decay != config->train.ema;
}

/* Three forwards of the batch an update, and those without gradient, over the phases. */
static double training_flops(const struct fs_config *config, double forward_flops, bool *on_pairs, bool *with_teacher)
{
    const struct fs_method_setup setup = fs_config_method_setup(config);
    struct fs_phase phases[FS_PHASES_MAX];
    const int count = config->method->phases(&setup, phases);
    double forwards = 0;
    for (int i = 0; i < count; i++) {
        const double extra = config->method->extra_forwards(&setup, &phases[i]);
        forwards += (double)phases[i].updates * config->train.batch * (3 + extra);
        *on_pairs = *on_pairs || phases[i].on_pairs;
        *with_teacher = *with_teacher || phases[i].teacher_is_previous;
    }
    return forwards * forward_flops;
}

/* Guided, a step asks the network twice: with the label and without. */
static double scoring_forwards(const struct fs_config *config)
{
    double all_steps = 0;
    for (int i = 0; i < config->evaluate.step_count; i++) {
        const int steps = config->evaluate.steps[i];
        all_steps += steps * (fs_config_guidance(config, steps) == 1 ? 1.0 : 2.0);
    }
    struct fs_kept_update kept[FS_KEPT_MAX];
    const int kept_count = fs_config_kept_updates(config, kept);
    double forwards = all_steps;
    for (int i = 0; i < kept_count; i++) {
        forwards += kept[i].steps > 0 ? kept[i].steps : all_steps;
    }
    return forwards * (double)config->evaluate.samples;
}

static fs_status add_teacher(const struct fs_config *config, struct fs_cost *cost, struct fs_error *error)
{
    bool on_pairs = false, with_teacher = false;
    struct fs_config teacher;
    FS_TRY(fs_config_teacher(config, &teacher, error));
    cost->teacher_flops = training_flops(&teacher, cost->forward_flops, &on_pairs, &with_teacher);
    fs_config_free(&teacher);
    return FS_OK;
}

fs_status fs_config_cost(const struct fs_config *config, struct fs_cost *cost, struct fs_error *error)
{
    struct fs_dataset shape = {0};
    bool on_pairs = false, with_teacher = false;
    FS_TRY(fs_dataset_shape(&config->dataset, &shape, error));
    const double dim = (double)fs_dataset_dim(&shape);
    *cost = (struct fs_cost){.parameters = count_parameters(&config->model, shape.channels)};
    cost->forward_flops = fs_dit_forward_flops(&config->model, shape.height, shape.width, shape.channels);
    cost->student_flops = training_flops(config, cost->forward_flops, &on_pairs, &with_teacher);
    if (config->method->teacher_share(&config->settings) > 0) {
        FS_TRY(add_teacher(config, cost, error));
    }
    if (on_pairs) {
        const struct fs_reflow_settings *reflow = &config->settings.reflow;
        const int networks = config->evaluate.guidance_scale == 1 ? 1 : 2;
        cost->pair_flops = (double)reflow->pairs * reflow->teacher_steps * networks * cost->forward_flops;
        cost->pair_bytes = (double)reflow->pairs * dim * sizeof(float);
    }
    cost->score_flops = scoring_forwards(config) * cost->forward_flops;

    struct fs_kept_update updates[FS_KEPT_MAX];
    const int kept = 4 + has_own_average(config) + with_teacher; /* weights, EMA, two moments */
    cost->checkpoint_bytes = kept * cost->parameters * sizeof(float) * (1 + fs_config_kept_updates(config, updates));
    const int rows = config->train.micro_batch > 0 ? config->train.micro_batch : config->train.batch;
    const double activations = count_activations(&config->model, shape.height, shape.width, shape.channels);
    cost->memory_bytes = (kept + 1) * cost->parameters * sizeof(float) + /* + 1: gradients */
                         rows * activations * sizeof(float);
    return FS_OK;
}
