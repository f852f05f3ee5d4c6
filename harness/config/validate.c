/* What single keys cannot know: whether they fit each other, the data set and the method. */
#include "harness/config/resolve.h"

#include <inttypes.h>
#include <string.h>

#include "harness/config/preset.h"
#include "metrics/metric.h"

static bool is_power_of_two(int n)
{
    return n > 0 && (n & (n - 1)) == 0;
}

/* Either the preset alone, or all four sizes under a name of their own: a name never lies. */
static fs_status resolve_sizes(struct fs_config *config, struct fs_error *error)
{
    struct fs_model_config *model = &config->model;
    struct fs_model_config preset = *model;
    struct fs_error unknown = {.text = ""};
    const bool known = fs_model_preset(model->preset, &preset, &unknown) == FS_OK;
    const int given = (model->patch > 0) + (model->hidden > 0) + (model->depth > 0) + (model->heads > 0);
    if (given == 0) {
        if (!known) {
            return fs_config_fail(config, "model.preset", error, "%s", unknown.text);
        }
        *model = preset;
        return FS_OK;
    }
    if (given < 4) {
        return fs_config_fail(config, "model.preset", error,
                              "patch, hidden, depth and heads go together, under a name of their own in model.preset");
    }
    if (known && (model->patch != preset.patch || model->hidden != preset.hidden || model->depth != preset.depth ||
                  model->heads != preset.heads)) {
        return fs_config_fail(config, "model.preset", error,
                              "%s has patch %d, hidden %d, depth %d, heads %d; other sizes need a name "
                              "of their own",
                              model->preset, preset.patch, preset.hidden, preset.depth, preset.heads);
    }
    return FS_OK;
}

/* How many labels the network has. */
static fs_status resolve_labels(struct fs_config *config, struct fs_error *error)
{
    const int classes = config->dataset.classes, groups = config->dataset.groups;
    config->model.classes = groups == 0 ? classes : groups == 1 ? 0 : groups;
    if (groups > 1 && (classes == 0 || classes % groups != 0)) {
        return fs_config_fail(config, "dataset.groups", error,
                              "expected a number that divides model.classes %d, so that all groups are alike, got %d",
                              classes, groups);
    }
    return FS_OK;
}

static fs_status check_model(const struct fs_config *config, struct fs_error *error)
{
    const struct fs_model_config *model = &config->model;
    if (!is_power_of_two(model->finest_steps)) {
        return fs_config_fail(config, "model.finest_steps", error, "expected a power of two from 2 to 1024, got %d",
                              model->finest_steps);
    }
    if (model->hidden % model->heads != 0) {
        return fs_config_fail(config, "model.hidden", error, "%d is not divisible by %d heads", model->hidden,
                              model->heads);
    }
    if (model->hidden % 4 != 0) {
        return fs_config_fail(config, "model.hidden", error,
                              "%d is not divisible by 4 (sine and cosine of row and column)", model->hidden);
    }
    return FS_OK;
}

fs_status fs_config_check_data(const struct fs_config *config, const struct fs_data_shape *shape,
                               struct fs_error *error)
{
    const struct fs_model_config *model = &config->model;
    const int classes = config->dataset.groups > 0 ? config->dataset.classes : model->classes;
    if (shape->height % model->patch != 0 || shape->width % model->patch != 0) {
        return fs_config_fail(config, fs_config_given(config, "model.patch") ? "model.patch" : "model.preset", error,
                              "patches of %d do not divide the %d×%d pictures of %s", model->patch, shape->height,
                              shape->width, config->dataset.name);
    }
    if (classes != 0 && shape->classes == 0) {
        return fs_config_fail(config, "model.classes", error, "expected 0: the pictures of %s have no labels, got %d",
                              config->dataset.name, classes);
    }
    if (classes != 0 && classes != shape->classes) {
        return fs_config_fail(config, "model.classes", error, "expected the %d of %s, or 0 for no labels, got %d",
                              shape->classes, config->dataset.name, classes);
    }
    return FS_OK;
}

static fs_status check_training(const struct fs_config *config, struct fs_error *error)
{
    const struct fs_train_config *train = &config->train;
    if (train->micro_batch > train->batch) {
        return fs_config_fail(config, "train.micro_batch", error, "%d is more than train.batch %d", train->micro_batch,
                              train->batch);
    }
    const int64_t teacher = fs_config_teacher_updates(config), own = fs_config_method_setup(config).updates;
    if (config->method->teacher_share(&config->settings) > 0 && (teacher < 1 || own < 1)) {
        return fs_config_fail(config, "train.updates", error,
                              "%" PRId64 " cannot be shared: the teacher would get %" PRId64
                              " and the student %" PRId64,
                              train->updates, teacher, own);
    }
    return FS_OK;
}

/* The method's own complaint begins with the key that it is about. */
static fs_status check_method(const struct fs_config *config, struct fs_error *error)
{
    const struct fs_method_setup setup = fs_config_method_setup(config);
    struct fs_error reason = {.text = ""};
    const fs_status status = config->method->check(&setup, &reason);
    if (status == FS_OK || status == FS_FAILED) {
        return status == FS_OK ? status : fs_fail(error, status, "%s", reason.text);
    }
    const char *colon = strstr(reason.text, ": ");
    char name[FS_KEY_NAME] = "";
    if (colon != NULL && (size_t)(colon - reason.text) < sizeof name) {
        memcpy(name, reason.text, (size_t)(colon - reason.text));
        if (strncmp(name, "methods.", 8) == 0 || strncmp(name, "train.", 6) == 0 || strncmp(name, "model.", 6) == 0) {
            return fs_config_fail(config, name, error, "%s", colon + 2);
        }
    }
    return fs_config_fail(config, "method", error, "%s", reason.text);
}

static fs_status check_guidance(const struct fs_config *config, int steps, struct fs_error *error)
{
    const struct fs_method_setup setup = fs_config_method_setup(config);
    const char *reason = "",
               *key = config->evaluate.guidance_count > 0 ? "evaluate.guidance_scales" : "evaluate.guidance_scale";
    if (fs_config_scale_at(&config->evaluate, steps) == 1) {
        return FS_OK;
    }
    if (config->model.classes == 0) {
        return fs_config_fail(config, key, error, "needs labels, and model.classes is 0");
    }
    if (config->train.label_dropout == 0) {
        return fs_config_fail(config, key, error,
                              "needs train.label_dropout above 0: without it the null label is never trained");
    }
    if (!config->method->trains_guided(&config->settings) &&
        !config->method->guidance_allowed(&setup, steps, &reason)) {
        return fs_config_fail(config, key, error, "means nothing for %s at %d steps: %s", config->method->name, steps,
                              reason);
    }
    return FS_OK;
}

static fs_status check_steps(const struct fs_config *config, struct fs_error *error)
{
    const struct fs_evaluate_config *evaluate = &config->evaluate;
    const struct fs_method *method = config->method;
    const int finest = config->model.finest_steps;
    if (evaluate->guidance_count > 0 && evaluate->guidance_count != evaluate->step_count) {
        return fs_config_fail(config, "evaluate.guidance_scales", error,
                              "expected a scale for each of the %d evaluate.steps, got %d", evaluate->step_count,
                              evaluate->guidance_count);
    }
    for (int i = 0; i < evaluate->step_count; i++) {
        if (!fs_method_takes_steps(method, finest, evaluate->steps[i])) {
            const bool any = method->freedom & FS_ANY_STEPS;
            return fs_config_fail(config, "evaluate.steps", error,
                                  "expected %s up to model.finest_steps %d for %s, got %d",
                                  any ? "numbers" : "powers of two", finest, method->name, evaluate->steps[i]);
        }
        FS_TRY(check_guidance(config, evaluate->steps[i], error));
    }
    if (evaluate->sampler != FS_SOLVER_METHOD && !(method->freedom & FS_ANY_SOLVER)) {
        return fs_config_fail(config, "evaluate.sampler", error,
                              "expected method for %s, whose steps are its own, got %s", method->name,
                              fs_solver_name(evaluate->sampler));
    }
    if (evaluate->time_shift != 1 && !(method->freedom & FS_ANY_TIMES)) {
        return fs_config_fail(config, "evaluate.time_shift", error,
                              "expected 1 for %s, whose steps are all alike, got %g", method->name,
                              evaluate->time_shift);
    }
    return FS_OK;
}

static fs_status check_evaluation(const struct fs_config *config, struct fs_error *error)
{
    const struct fs_evaluate_config *evaluate = &config->evaluate;
    FS_TRY(check_steps(config, error));
    for (int i = 0; i < evaluate->update_count; i++) {
        if (evaluate->updates[i] >= config->train.updates) {
            return fs_config_fail(config, "evaluate.updates", error,
                                  "expected numbers below train.updates %" PRId64
                                  " (the last is always scored), got %d",
                                  config->train.updates, evaluate->updates[i]);
        }
    }
    for (int i = 0; i < evaluate->metric_count; i++) {
        const struct fs_metric *metric = fs_metric_find(evaluate->metrics[i]);
        if (evaluate->samples < metric->minimum) {
            return fs_config_fail(config, "evaluate.samples", error, "%s needs %" PRId64 " or more, got %" PRId64,
                                  metric->name, metric->minimum, evaluate->samples);
        }
    }
    return FS_OK;
}

fs_status fs_config_validate(struct fs_config *config, struct fs_error *error)
{
    FS_TRY(resolve_sizes(config, error));
    FS_TRY(resolve_labels(config, error));
    FS_TRY(check_model(config, error));
    FS_TRY(check_training(config, error));
    FS_TRY(check_method(config, error));
    return check_evaluation(config, error);
}

fs_status fs_config_check_evaluation(const struct fs_config *config, struct fs_error *error)
{
    struct fs_config changed = *config; /* so the file does not say what is wrong */
    changed.places = NULL;
    return check_evaluation(&changed, error);
}
