/* An experiment file to its runs: read, apply --set, expand the matrix, keep what --only asks for. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/config/resolve.h"
#include "kernels/base/file.h"
#include "kernels/base/memory.h"

#define RUNS_MAX 4096

struct builder {
    struct fs_schema schema;
    struct fs_document document;
    struct fs_node *root;
    struct fs_node *matrix;     /* a map of lists, or a list of such maps; taken out of the tree; NULL: one run */
    struct fs_node *hypotheses; /* a list; taken out of the tree; NULL: none */
    bool scored[FS_HYPOTHESES_MAX][2]; /* whether a run is of the lower, the higher method, and scored at its steps */
    struct fs_error *error;
};

/* The matrix's blocks: maps of lists of values, one after the other; a map alone is one. */
static struct fs_node *first_block(const struct builder *builder)
{
    if (builder->matrix == NULL || builder->matrix->kind == FS_NODE_MAP) {
        return builder->matrix;
    }
    return builder->matrix->first;
}

static struct fs_node *next_block(const struct builder *builder, const struct fs_node *block)
{
    return block == builder->matrix ? NULL : block->next;
}

/* --- KEY=VALUE of --set and --only --- */

/* The key and the value of "KEY=VALUE"; `option` ("--set") goes before it in messages. */
static fs_status parse_assignment(struct builder *builder, const char *option, const char *assignment,
                                  const struct fs_key **key, struct fs_node **value)
{
    char name[FS_KEY_NAME] = "", place[512];
    snprintf(place, sizeof place, "%s %s", option, assignment);
    const char *equals = strchr(assignment, '=');
    if (equals == NULL) {
        return fs_fail_at(builder->error, place, 0, "", "expected KEY=VALUE, such as %s train.batch=64", option);
    }
    snprintf(name, sizeof name, "%.*s", (int)(equals - assignment), assignment);
    *key = fs_schema_find(&builder->schema, name);
    if (*key == NULL) {
        return fs_schema_refuse(&builder->schema, place, 0, name, builder->error);
    }
    if (equals[1] == '\0') {
        return fs_fail_at(builder->error, place, 0, name, "no value after '='");
    }
    return fs_yaml_parse(&builder->document, place, false, equals + 1, strlen(equals + 1), value, builder->error);
}

static fs_status apply_set(struct builder *builder, const char *set)
{
    const struct fs_key *key = NULL;
    struct fs_node *value = NULL;
    FS_TRY(parse_assignment(builder, "--set", set, &key, &value));
    for (struct fs_node *block = first_block(builder); block != NULL; block = next_block(builder, block)) {
        fs_node_detach(block, key->name); /* one value in place of all */
    }
    return fs_node_put(&builder->document, builder->root, key->name, value, builder->error);
}

/* *kept turns false when the run has another value under the key. */
static fs_status apply_only(struct builder *builder, const char *only, const struct fs_config *run, bool *kept)
{
    const struct fs_key *key = NULL;
    struct fs_node *value = NULL;
    struct fs_config wanted = {.seed = 0};
    FS_TRY(parse_assignment(builder, "--only", only, &key, &value));
    FS_TRY(fs_key_read(key, value, &wanted, builder->error));
    if (!fs_key_counts(key, run)) {
        *kept = false;
        return FS_OK;
    }
    char *expected = fs_key_text(key, &wanted, builder->error), *actual = fs_key_text(key, run, builder->error);
    const bool failed = expected == NULL || actual == NULL;
    if (!failed && strcmp(expected, actual) != 0) {
        *kept = false;
    }
    free(expected);
    free(actual);
    return failed ? FS_FAILED : FS_OK;
}

/* --- the matrix --- */

static fs_status check_axis(struct builder *builder, const struct fs_node *axis)
{
    char description[FS_DESCRIPTION];
    const struct fs_key *key = fs_schema_find(&builder->schema, axis->key);
    if (key == NULL) {
        return fs_schema_refuse(&builder->schema, axis->place, axis->key_line, axis->key, builder->error);
    }
    if (strcmp(key->name, "experiment") == 0) {
        return fs_fail_at(builder->error, axis->place, axis->key_line, "matrix.experiment",
                          "an experiment has one name");
    }
    if (axis->kind != FS_NODE_LIST || axis->first == NULL) {
        char name[FS_KEY_NAME + 8];
        snprintf(name, sizeof name, "matrix.%s", key->name);
        return fs_fail_at(builder->error, axis->place, axis->line, name, "expected a list of values, got %s",
                          axis->kind == FS_NODE_LIST ? "an empty one" : fs_node_describe(axis, description));
    }
    return FS_OK;
}

/* Each key of `block` stands in `other` too. */
static fs_status check_keys(struct builder *builder, const struct fs_node *block, const struct fs_node *other)
{
    for (const struct fs_node *axis = block->first; axis != NULL; axis = axis->next) {
        if (fs_node_child(other, axis->key, strlen(axis->key)) == NULL) {
            return fs_fail_at(builder->error, other->place, other->line, "matrix",
                              "its blocks name the same keys; this one has no %s", axis->key);
        }
    }
    return FS_OK;
}

/* Blocks have the same keys, since what a block does not name would have no value that all could know. */
static fs_status take_matrix(struct builder *builder)
{
    builder->matrix = fs_node_detach(builder->root, "matrix");
    if (builder->matrix == NULL) {
        return FS_OK;
    }
    char description[FS_DESCRIPTION];
    const struct fs_node *matrix = builder->matrix;
    if (matrix->kind != FS_NODE_MAP && (matrix->kind != FS_NODE_LIST || matrix->first == NULL)) {
        return fs_fail_at(builder->error, matrix->place, matrix->line, "matrix",
                          "expected dotted keys with lists of values, got %s", fs_node_describe(matrix, description));
    }
    const struct fs_node *first = first_block(builder);
    for (const struct fs_node *block = first; block != NULL; block = next_block(builder, block)) {
        if (block->kind != FS_NODE_MAP) {
            return fs_fail_at(builder->error, block->place, block->line, "matrix",
                              "expected dotted keys with lists of values in each of its blocks, got %s",
                              fs_node_describe(block, description));
        }
        for (const struct fs_node *axis = block->first; axis != NULL; axis = axis->next) {
            FS_TRY(check_axis(builder, axis));
        }
        FS_TRY(check_keys(builder, first, block));
        FS_TRY(check_keys(builder, block, first));
    }
    return FS_OK;
}

static int child_count(const struct fs_node *node)
{
    int count = 0;
    for (const struct fs_node *child = node->first; child != NULL; child = child->next) {
        count++;
    }
    return count;
}

/* How many combinations of values a block has; NULL: no matrix, one. More than RUNS_MAX: RUNS_MAX + 1. */
static int combination_count(const struct fs_node *block)
{
    int64_t count = 1;
    for (const struct fs_node *axis = block == NULL ? NULL : block->first; axis != NULL && count <= RUNS_MAX;
         axis = axis->next) {
        count *= child_count(axis);
    }
    return count > RUNS_MAX ? RUNS_MAX + 1 : (int)count;
}

static fs_status count_runs(const struct builder *builder, int *count)
{
    *count = builder->matrix == NULL;
    for (const struct fs_node *block = first_block(builder); block != NULL; block = next_block(builder, block)) {
        *count += combination_count(block);
        if (*count > RUNS_MAX) {
            return fs_fail_at(builder->error, builder->matrix->place, builder->matrix->key_line, "matrix",
                              "makes more than %d runs", RUNS_MAX);
        }
    }
    return FS_OK;
}

/* Puts the values of a block's combination `index` into the tree: the first key varies slowest. */
static fs_status put_combination(struct builder *builder, const struct fs_node *block, int index)
{
    int count = combination_count(block);
    for (const struct fs_node *axis = block == NULL ? NULL : block->first; axis != NULL; axis = axis->next) {
        count /= child_count(axis);
        const struct fs_node *value = axis->first;
        for (int skipped = index / count; skipped > 0; skipped--) {
            value = value->next;
        }
        index %= count;
        FS_TRY(fs_node_put(&builder->document, builder->root, axis->key, value, builder->error));
    }
    return FS_OK;
}

/* The same run twice: its method has no use for what varies, or a value stands in the list twice. */
static bool is_there(const struct fs_experiment *experiment, const struct fs_config *run)
{
    for (int i = 0; i < experiment->run_count; i++) {
        const struct fs_config *other = &experiment->runs[i];
        if (strcmp(other->train_hash, run->train_hash) == 0 && strcmp(other->json, run->json) == 0) {
            return true;
        }
    }
    return false;
}

static void mark_scored(struct builder *builder, const struct fs_hypotheses *hypotheses, const struct fs_config *run)
{
    for (int i = 0; i < hypotheses->count; i++) {
        const struct fs_hypothesis *one = &hypotheses->list[i];
        for (int k = 0; k < run->evaluate.step_count; k++) {
            if (run->evaluate.steps[k] == one->steps) {
                builder->scored[i][0] |= run->method == one->lower;
                builder->scored[i][1] |= run->method == one->higher;
            }
        }
    }
}

/* Of a file as it is written; --set may take away what a hypothesis is about. */
static fs_status check_hypotheses(const struct builder *builder, const struct fs_hypotheses *hypotheses)
{
    const struct fs_node *node = builder->hypotheses ? builder->hypotheses->first : NULL;
    for (int i = 0; i < hypotheses->count; i++, node = node->next) {
        const struct fs_hypothesis *one = &hypotheses->list[i];
        if (!builder->scored[i][0] || !builder->scored[i][1]) {
            return fs_fail_at(builder->error, node->place, node->line, "hypotheses",
                              "no run of this experiment is of %s and scored at %" PRId64 " step%s",
                              builder->scored[i][0] ? one->higher->name : one->lower->name, one->steps,
                              one->steps == 1 ? "" : "s");
        }
    }
    return FS_OK;
}

/* Takes the run that stands in the tree, where `only` keeps it and it is not there yet. */
static fs_status take_run(struct builder *builder, const char *const *only, int only_count,
                          struct fs_experiment *experiment)
{
    struct fs_config run;
    bool kept = true;
    FS_TRY(fs_config_resolve(&builder->schema, builder->root, &run, builder->error));
    memcpy(experiment->name, run.experiment, sizeof experiment->name);
    mark_scored(builder, &experiment->hypotheses, &run);
    fs_status status = FS_OK;
    for (int k = 0; k < only_count && status == FS_OK; k++) {
        status = apply_only(builder, only[k], &run, &kept);
    }
    if (status == FS_OK && kept && !is_there(experiment, &run)) {
        experiment->runs[experiment->run_count++] = run;
    } else {
        fs_config_free(&run);
    }
    return status;
}

static fs_status expand(struct builder *builder, const char *const *only, int only_count,
                        struct fs_experiment *experiment)
{
    int count;
    FS_TRY(count_runs(builder, &count));
    experiment->runs = fs_allocate((size_t)count, sizeof *experiment->runs, "the runs", builder->error);
    if (experiment->runs == NULL) {
        return FS_FAILED;
    }
    const struct fs_node *block = first_block(builder);
    do {
        for (int i = 0; i < combination_count(block); i++) {
            FS_TRY(put_combination(builder, block, i));
            FS_TRY(take_run(builder, only, only_count, experiment));
        }
        block = block == NULL ? NULL : next_block(builder, block);
    } while (block != NULL);
    if (experiment->run_count == 0) {
        return fs_fail(builder->error, FS_USAGE, "%s: --only leaves none of the %d runs", experiment->path, count);
    }
    return FS_OK;
}

/* How samples are drawn and scored sets no training apart: tables have a section for each measure. */
static bool sets_apart(const char *key)
{
    return strcmp(key, "method") != 0 && strcmp(key, "seed") != 0 && strncmp(key, "evaluate.", 9) != 0;
}

/* The first key that varies besides method and seed. */
static fs_status find_ablated(const struct builder *builder, struct fs_experiment *experiment)
{
    const struct fs_node *block = first_block(builder);
    for (const struct fs_node *axis = block == NULL ? NULL : block->first; axis != NULL; axis = axis->next) {
        if (sets_apart(axis->key)) {
            experiment->ablated = fs_copy_text(axis->key, builder->error);
            return experiment->ablated == NULL ? FS_FAILED : FS_OK;
        }
    }
    return FS_OK;
}

/* --- the file --- */

static fs_status build(struct builder *builder, const char *const *sets, int set_count, const char *const *only,
                       int only_count, struct fs_experiment *experiment)
{
    FS_TRY(fs_yaml_parse(&builder->document, experiment->path, true, experiment->text, strlen(experiment->text),
                         &builder->root, builder->error));
    FS_TRY(take_matrix(builder));
    builder->hypotheses = fs_node_detach(builder->root, "hypotheses");
    FS_TRY(fs_hypotheses_read(builder->hypotheses, &experiment->hypotheses, builder->error));
    FS_TRY(fs_schema_check(&builder->schema, builder->root, builder->error));
    for (int i = 0; i < set_count; i++) {
        FS_TRY(apply_set(builder, sets[i]));
    }
    FS_TRY(find_ablated(builder, experiment));
    FS_TRY(expand(builder, only, only_count, experiment));
    return set_count == 0 ? check_hypotheses(builder, &experiment->hypotheses) : FS_OK;
}

/* Takes `text` over. */
static fs_status take_text(const char *path, char *text, const char *const *sets, int set_count,
                           const char *const *only, int only_count, struct fs_experiment *experiment,
                           struct fs_error *error)
{
    *experiment = (struct fs_experiment){.text = text};
    if (fs_path(experiment->path, error, "%s", path) != FS_OK) {
        fs_experiment_free(experiment);
        return error->status;
    }
    struct builder builder = {.error = error};
    FS_TRY(fs_schema_create(&builder.schema, error));
    const fs_status status = build(&builder, sets, set_count, only, only_count, experiment);
    fs_document_free(&builder.document);
    fs_schema_destroy(&builder.schema);
    if (status != FS_OK) {
        fs_experiment_free(experiment);
    }
    return status;
}

fs_status fs_experiment_file(const char *given, char path[FS_PATH_ROOM], struct fs_error *error)
{
    static const char *const around[][2] = {{"", ""}, {"experiments/", ""}, {"experiments/", ".yaml"}};
    char own[FS_PATH_ROOM];
    struct fs_error ignored; /* what has no room is not there */
    for (size_t i = 0; access(given, F_OK) != 0 && *given != '/' && i < sizeof around / sizeof *around; i++) {
        if (fs_path(own, &ignored, "%s%s%s", around[i][0], given, around[i][1]) == FS_OK &&
            fs_program_file(own, path)) {
            return FS_OK;
        }
    }
    return fs_path(path, error, "%s", given);
}

fs_status fs_experiment_read(const char *given, const char *const *sets, int set_count, const char *const *only,
                             int only_count, struct fs_experiment *experiment, struct fs_error *error)
{
    char path[FS_PATH_ROOM], *text;
    size_t size;
    *experiment = (struct fs_experiment){.runs = NULL};
    FS_TRY(fs_experiment_file(given, path, error));
    FS_TRY(fs_file_read(path, FS_YAML_BYTES_MAX, &text, &size, error));
    if (strlen(text) != size) {
        free(text);
        return fs_fail(error, FS_USAGE, "%s: holds a zero byte: not a text", path);
    }
    return take_text(path, text, sets, set_count, only, only_count, experiment, error);
}

fs_status fs_experiment_parse(const char *path, const char *text, const char *const *sets, int set_count,
                              const char *const *only, int only_count, struct fs_experiment *experiment,
                              struct fs_error *error)
{
    char *copy = fs_copy_text(text, error);
    *experiment = (struct fs_experiment){.runs = NULL};
    return copy ? take_text(path, copy, sets, set_count, only, only_count, experiment, error) : FS_FAILED;
}

void fs_experiment_free(struct fs_experiment *experiment)
{
    for (int i = 0; i < experiment->run_count; i++) {
        fs_config_free(&experiment->runs[i]);
    }
    free(experiment->runs);
    free(experiment->text);
    free((void *)experiment->ablated);
    *experiment = (struct fs_experiment){.runs = NULL};
}
