/* Resolved runs: from a tree of nodes, from stored JSON, and the run of a teacher. */
#include "harness/config/resolve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/config/identity.h"
#include "kernels/base/memory.h"

/* Every key of the tree, or its default. */
static fs_status read_keys(const struct fs_schema *schema, const struct fs_node *root, struct fs_config *config,
                           struct fs_error *error)
{
    struct fs_config other = {.seed = 0}; /* the keys of methods that were not chosen are checked, then dropped */
    /* `method` stands before `methods.…` in the order of names, so it is known when they come. */
    for (int i = 0; i < schema->count; i++) {
        const struct fs_key *key = &schema->keys[i];
        const struct fs_node *node = fs_node_find(root, key->name);
        struct fs_config *target =
            key->method == NULL || key->of_teacher || key->method == config->method ? config : &other;
        if (node != NULL) {
            FS_TRY(fs_key_read(key, node, target, error));
        } else if (fs_key_required(key)) {
            return fs_fail_at(error, root->place, 0, key->name, "is missing, and has no default");
        } else {
            FS_TRY(fs_key_default(key, target, error));
        }
    }
    return FS_OK;
}

fs_status fs_config_resolve(const struct fs_schema *schema, const struct fs_node *root, struct fs_config *config,
                            struct fs_error *error)
{
    *config = (struct fs_config){.seed = 0};
    fs_status status = read_keys(schema, root, config, error);
    if (status == FS_OK) {
        status = fs_config_keep_places(schema, root, config, error);
    }
    if (status == FS_OK) {
        status = fs_config_validate(config, error);
    }
    if (status == FS_OK) {
        status = fs_config_identify(schema, config, error);
    }
    if (status != FS_OK) {
        fs_config_free(config);
    }
    return status;
}

/* JSON is a subset of YAML, so stored configurations are read as written ones are. */
static fs_status resolve_stored(const struct fs_schema *schema, struct fs_node *root, struct fs_config *config,
                                struct fs_error *error)
{
    const struct fs_node *version = fs_node_detach(root, "config_version");
    if (version == NULL || version->kind != FS_NODE_SCALAR) {
        return fs_fail(error, FS_USAGE, "%s: config_version: is missing; this is no configuration of a run",
                       root->place);
    }
    if (atoi(version->text) > FS_CONFIG_VERSION) {
        return fs_fail(error, FS_USAGE, "%s: config_version: %s is newer than the %d that this program knows",
                       root->place, version->text, FS_CONFIG_VERSION);
    }
    FS_TRY(fs_schema_check(schema, root, error));
    return fs_config_resolve(schema, root, config, error);
}

fs_status fs_config_from_json(const char *json, struct fs_config *config, struct fs_error *error)
{
    struct fs_schema schema;
    struct fs_document document = {0};
    struct fs_node *root;
    FS_TRY(fs_schema_create(&schema, error));
    fs_status status = fs_yaml_parse(&document, "stored configuration", false, json, strlen(json), &root, error);
    if (status == FS_OK) {
        status = resolve_stored(&schema, root, config, error);
    }
    fs_document_free(&document);
    fs_schema_destroy(&schema);
    return status;
}

void fs_config_free(struct fs_config *config)
{
    free(config->json);
    free(config->places);
    config->json = NULL;
    config->places = NULL;
}

/* Updates of a teacher that has its own; 0: it has a share of train.updates, or there is none. */
static int64_t teacher_beside(const struct fs_config *config)
{
    return config->method->teacher_updates ? config->method->teacher_updates(&config->settings) : 0;
}

int64_t fs_config_teacher_updates(const struct fs_config *config)
{
    const int64_t beside = teacher_beside(config);
    return beside > 0 ? beside
                      : llround(config->method->teacher_share(&config->settings) * (double)config->train.updates);
}

struct fs_method_setup fs_config_method_setup(const struct fs_config *config)
{
    return (struct fs_method_setup){
        .settings = &config->settings,
        .finest_steps = config->model.finest_steps,
        .levels = (int)lround(log2(config->model.finest_steps)),
        .batch = config->train.batch,
        .updates = config->train.updates - (teacher_beside(config) > 0 ? 0 : fs_config_teacher_updates(config)),
        .guidance_scale = config->evaluate.guidance_scale,
    };
}

struct fs_pace_config fs_config_pace(const struct fs_config *config)
{
    const bool flow = strcmp(config->method->name, FS_TEACHER_METHOD) == 0;
    const struct fs_pace_config *own = flow ? &config->flow : &config->own;
    return (struct fs_pace_config){
        .learning_rate = own->learning_rate > 0 ? own->learning_rate : config->train.learning_rate,
        .clip_norm = own->clip_norm > 0 ? own->clip_norm : config->train.clip_norm,
    };
}

int32_t fs_config_label(const struct fs_config *config, int32_t label)
{
    if (config->model.classes == 0) {
        return 0; /* the null label, number 0, is the only one */
    }
    return config->dataset.groups > 0 ? label % config->dataset.groups : label;
}

struct fs_pairs_request fs_config_pairs(const struct fs_config *config)
{
    const struct fs_method_setup setup = fs_config_method_setup(config);
    struct fs_phase phases[FS_PHASES_MAX];
    const int count = config->method->phases(&setup, phases);
    int i = 0;
    while (i + 1 < count && phases[i].pairs.count == 0) {
        i++;
    }
    return phases[i].pairs;
}

int fs_config_kept_updates(const struct fs_config *config, struct fs_kept_update kept[FS_KEPT_MAX])
{
    const struct fs_method_setup setup = fs_config_method_setup(config);
    struct fs_phase phases[FS_PHASES_MAX];
    const int count = config->method->phases(&setup, phases);
    int64_t update = 0;
    int kept_count = 0;
    for (int i = 0; i < config->evaluate.update_count; i++) {
        if (config->evaluate.updates[i] < setup.updates) { /* a student has fewer than a run without a teacher */
            kept[kept_count++] = (struct fs_kept_update){config->evaluate.updates[i], 0};
        }
    }
    for (int i = 0; i < count; i++) {
        update += phases[i].updates;
        if (phases[i].keep) {
            kept[kept_count++] = (struct fs_kept_update){update, 1 << phases[i].level};
        }
    }
    return kept_count;
}

const int *fs_config_steps_of(const struct fs_config *config, const struct fs_kept_update *kept, int *count)
{
    *count = kept->steps > 0 ? 1 : config->evaluate.step_count;
    return kept->steps > 0 ? &kept->steps : config->evaluate.steps;
}

bool fs_config_outside_training(const struct fs_config *config, int64_t update, int steps)
{
    const struct fs_method_setup setup = fs_config_method_setup(config);
    struct fs_kept_update kept[FS_KEPT_MAX];
    const int kept_count = fs_config_kept_updates(config, kept);
    for (int i = 0; i < kept_count; i++) {
        if (kept[i].update == update && kept[i].steps == steps) {
            return false;
        }
    }
    return config->method->outside_training(&setup, steps);
}

double fs_config_scale_at(const struct fs_evaluate_config *evaluate, int steps)
{
    for (int i = 0; i < evaluate->guidance_count; i++) {
        if (evaluate->steps[i] == steps) {
            return evaluate->guidance_scales[i];
        }
    }
    return evaluate->guidance_scale;
}

double fs_config_guidance(const struct fs_config *config, int steps)
{
    const struct fs_method_setup setup = fs_config_method_setup(config);
    const char *reason;
    return config->method->guidance_allowed(&setup, steps, &reason) ? fs_config_scale_at(&config->evaluate, steps) : 1;
}

fs_status fs_config_teacher(const struct fs_config *config, struct fs_config *teacher, struct fs_error *error)
{
    struct fs_schema schema;
    FS_TRY(fs_schema_create(&schema, error));
    *teacher = *config;
    teacher->json = NULL;
    teacher->places = NULL;
    teacher->method = fs_method_find(FS_TEACHER_METHOD);
    teacher->settings = (struct fs_method_settings){{0}};
    teacher->train.updates = fs_config_teacher_updates(config);
    teacher->train.ema_reset = true; /* these say how students begin: the teacher is the same whatever they do */
    teacher->train.student_start = FS_WEIGHTS_EMA;
    teacher->evaluate.update_count = 0;
    fs_status status = FS_OK;
    for (int i = 0; i < schema.count && status == FS_OK; i++) {
        if (schema.keys[i].method == teacher->method && !schema.keys[i].of_teacher) {
            status = fs_key_default(&schema.keys[i], teacher, error);
        }
    }
    if (status == FS_OK) {
        status = fs_config_identify(&schema, teacher, error);
    }
    fs_schema_destroy(&schema);
    return status;
}
