/* What single keys cannot know: whether they fit each other, the data set and the method. */
#include "harness/config/resolve.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "harness/data/dataset.h"
#include "harness/config/preset.h"
#include "metrics/metric.h"

/* What the checks share: the tree (NULL: there is none) knows the places, the configuration the values. */
struct check {
    const struct fs_node *root;
    const struct fs_config *config;
    struct fs_error *error;
};

static fs_status blame(const struct check *check, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Fails at the place of a key; without a line when it has its default, without a file when there is no tree. */
static fs_status blame(const struct check *check, const char *name, const char *format, ...)
{
    char text[768];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (check->root == NULL) {
        return fs_fail(check->error, FS_USAGE, "%s: %s", name, text);
    }
    const struct fs_node *node = fs_node_find(check->root, name);
    return fs_fail_at(check->error, node == NULL ? check->root->place : node->place, node == NULL ? 0 : node->line,
                      name, "%s", text);
}

static bool is_power_of_two(int n)
{
    return n > 0 && (n & (n - 1)) == 0;
}

/* Either the preset alone, or all four sizes under a name of their own: a name never lies. */
static fs_status resolve_sizes(const struct check *check, struct fs_model_config *model)
{
    struct fs_model_config preset = *model;
    struct fs_error unknown = {.text = ""};
    const bool known = fs_model_preset(model->preset, &preset, &unknown) == FS_OK;
    const int given = (model->patch > 0) + (model->hidden > 0) + (model->depth > 0) + (model->heads > 0);
    if (given == 0) {
        if (!known) {
            return blame(check, "model.preset", "%s", unknown.text);
        }
        *model = preset;
        return FS_OK;
    }
    if (given < 4) {
        return blame(check, "model.preset",
                     "patch, hidden, depth and heads go together, under a name of their own in model.preset");
    }
    if (known && (model->patch != preset.patch || model->hidden != preset.hidden || model->depth != preset.depth ||
                  model->heads != preset.heads)) {
        return blame(check, "model.preset",
                     "%s has patch %d, hidden %d, depth %d, heads %d; other sizes need a name "
                     "of their own",
                     model->preset, preset.patch, preset.hidden, preset.depth, preset.heads);
    }
    return FS_OK;
}

static fs_status check_model(const struct check *check)
{
    const struct fs_model_config *model = &check->config->model;
    if (!is_power_of_two(model->finest_steps)) {
        return blame(check, "model.finest_steps", "expected a power of two from 2 to 1024, got %d",
                     model->finest_steps);
    }
    if (model->hidden % model->heads != 0) {
        return blame(check, "model.hidden", "%d is not divisible by %d heads", model->hidden, model->heads);
    }
    if (model->hidden % 4 != 0) {
        return blame(check, "model.hidden", "%d is not divisible by 4 (sine and cosine of row and column)",
                     model->hidden);
    }
    return FS_OK;
}

static fs_status check_dataset(const struct check *check)
{
    const struct fs_model_config *model = &check->config->model;
    struct fs_dataset shape = {0};
    struct fs_error reason = {.text = ""};
    const fs_status status = fs_dataset_shape(&check->config->dataset, &shape, &reason);
    if (status == FS_FAILED) {
        return fs_fail(check->error, status, "%s", reason.text);
    }
    if (status != FS_OK) {
        return blame(check, "dataset.name", "%s", reason.text);
    }
    if (shape.height % model->patch != 0 || shape.width % model->patch != 0) {
        const bool own = fs_node_find(check->root, "model.patch") != NULL;
        return blame(check, own ? "model.patch" : "model.preset",
                     "patches of %d do not divide the %d×%d pictures of %s", model->patch, shape.height, shape.width,
                     check->config->dataset.name);
    }
    if (model->classes != 0 && model->classes != shape.classes) {
        return blame(check, "model.classes", "expected the %d of %s, or 0 for no labels, got %d", shape.classes,
                     check->config->dataset.name, model->classes);
    }
    return FS_OK;
}

static fs_status check_training(const struct check *check)
{
    const struct fs_train_config *train = &check->config->train;
    if (train->micro_batch > train->batch) {
        return blame(check, "train.micro_batch", "%d is more than train.batch %d", train->micro_batch, train->batch);
    }
    const int64_t teacher = fs_config_teacher_updates(check->config);
    if (check->config->method->teacher_share(&check->config->settings) > 0 &&
        (teacher < 1 || teacher >= train->updates)) {
        return blame(check, "train.updates",
                     "%" PRId64 " cannot be shared: the teacher would get %" PRId64 " and the student %" PRId64,
                     train->updates, teacher, train->updates - teacher);
    }
    return FS_OK;
}

/* The method's own complaint begins with the key that it is about. */
static fs_status check_method(const struct check *check)
{
    const struct fs_method_setup setup = fs_config_method_setup(check->config);
    struct fs_error reason = {.text = ""};
    const fs_status status = check->config->method->check(&setup, &reason);
    if (status == FS_OK || status == FS_FAILED) {
        return status == FS_OK ? status : fs_fail(check->error, status, "%s", reason.text);
    }
    const char *colon = strstr(reason.text, ": ");
    char name[FS_KEY_NAME] = "";
    if (colon != NULL && (size_t)(colon - reason.text) < sizeof name) {
        memcpy(name, reason.text, (size_t)(colon - reason.text));
        if (strncmp(name, "methods.", 8) == 0 || strncmp(name, "train.", 6) == 0 || strncmp(name, "model.", 6) == 0) {
            return blame(check, name, "%s", colon + 2);
        }
    }
    return blame(check, "method", "%s", reason.text);
}

static fs_status check_guidance(const struct check *check, int steps)
{
    const struct fs_config *config = check->config;
    const struct fs_method_setup setup = fs_config_method_setup(config);
    const char *reason = "";
    if (config->evaluate.guidance_scale == 1) {
        return FS_OK;
    }
    if (config->model.classes == 0) {
        return blame(check, "evaluate.guidance_scale", "needs labels, and model.classes is 0");
    }
    if (config->train.label_dropout == 0) {
        return blame(check, "evaluate.guidance_scale",
                     "needs train.label_dropout above 0: without it the null label is never trained");
    }
    if (!config->method->trains_guided(&config->settings) &&
        !config->method->guidance_allowed(&setup, steps, &reason)) {
        return blame(check, "evaluate.guidance_scale", "means nothing for %s at %d steps: %s", config->method->name,
                     steps, reason);
    }
    return FS_OK;
}

static fs_status check_evaluation(const struct check *check)
{
    const struct fs_evaluate_config *evaluate = &check->config->evaluate;
    const int finest = check->config->model.finest_steps;
    for (int i = 0; i < evaluate->step_count; i++) {
        const int steps = evaluate->steps[i];
        if (!is_power_of_two(steps) || steps > finest) {
            return blame(check, "evaluate.steps", "expected powers of two up to model.finest_steps %d, got %d", finest,
                         steps);
        }
        FS_TRY(check_guidance(check, steps));
    }
    for (int i = 0; i < evaluate->update_count; i++) {
        if (evaluate->updates[i] >= check->config->train.updates) {
            return blame(check, "evaluate.updates",
                         "expected numbers below train.updates %" PRId64 " (the last is always scored), got %d",
                         check->config->train.updates, evaluate->updates[i]);
        }
    }
    for (int i = 0; i < evaluate->metric_count; i++) {
        const struct fs_metric *metric = fs_metric_find(evaluate->metrics[i]);
        if (evaluate->samples < metric->minimum) {
            return blame(check, "evaluate.samples", "%s needs %" PRId64 " or more, got %" PRId64, metric->name,
                         metric->minimum, evaluate->samples);
        }
    }
    return FS_OK;
}

fs_status fs_config_validate(const struct fs_node *root, struct fs_config *config, struct fs_error *error)
{
    const struct check check = {root, config, error};
    FS_TRY(resolve_sizes(&check, &config->model));
    FS_TRY(check_model(&check));
    FS_TRY(check_dataset(&check));
    FS_TRY(check_training(&check));
    FS_TRY(check_method(&check));
    return check_evaluation(&check);
}

fs_status fs_config_check_evaluation(const struct fs_config *config, struct fs_error *error)
{
    return check_evaluation(&(struct check){NULL, config, error});
}
