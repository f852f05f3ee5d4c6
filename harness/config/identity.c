/* Canonical JSON of a resolved run, and the hashes that identify it. */
#include "harness/config/identity.h"

#include <stdlib.h>
#include <string.h>

#include "harness/config/preset.h"
#include "kernels/base/hash.h"
#include "kernels/base/memory.h"

/* A JSON object under construction, whose keys come in order as dotted names. */
struct object {
    FILE *stream;
    char section[FS_KEY_NAME]; /* the open one, "" at the top */
    bool begun;                /* something stands in the innermost braces, so a comma goes before the next */
};

/* Leaves the sections that are open beyond the first `kept` bytes of the open one's name. */
static void close_sections(struct object *object, size_t kept)
{
    for (size_t end = strlen(object->section); end > kept; object->section[end] = '\0') {
        fputc('}', object->stream);
        object->begun = true;
        while (end > kept && object->section[--end] != '.') {
        }
    }
}

/* Bytes of the open section's name that are a section of `name`, too. */
static size_t common_section(const struct object *object, const char *name)
{
    size_t common = 0, i = 0;
    for (; object->section[i] != '\0' && object->section[i] == name[i]; i++) {
        common =
            name[i + 1] == '.' && (object->section[i + 1] == '.' || object->section[i + 1] == '\0') ? i + 1 : common;
    }
    return common;
}

/* Sorted keys visit each section once. */
static void begin_key(struct object *object, const char *name)
{
    const size_t common = common_section(object, name);
    close_sections(object, common);
    const char *part = name + common + (common > 0);
    for (const char *dot; (dot = strchr(part, '.')) != NULL; part = dot + 1) {
        fprintf(object->stream, "%s\"%.*s\":{", object->begun ? "," : "", (int)(dot - part), part);
        object->begun = false;
        memcpy(object->section, name, (size_t)(dot - name));
        object->section[dot - name] = '\0';
    }
    fprintf(object->stream, "%s\"%s\":", object->begun ? "," : "", part);
    object->begun = true;
}

static fs_status default_config(const struct fs_schema *schema, const struct fs_method *method,
                                struct fs_config *defaults, struct fs_error *error)
{
    *defaults = (struct fs_config){.method = method};
    for (int i = 0; i < schema->count; i++) {
        const struct fs_key *key = &schema->keys[i];
        if (!fs_key_required(key) && (key->method == NULL || key->method == method)) {
            FS_TRY(fs_key_default(key, defaults, error));
        }
    }
    return fs_model_preset(defaults->model.preset, &defaults->model, error);
}

/* Where guided velocities are learned (reflow's pairs, distillation's first phase, bootstrap guidance), the scale is
 * part of what is trained. */
static bool moves_training(const struct fs_key *key, const struct fs_config *config)
{
    return key->trains ||
           (strcmp(key->name, "evaluate.guidance_scale") == 0 && config->method->trains_guided(&config->settings));
}

/* To be hashed: the key moves training and is not its default. */
static fs_status choose(const struct fs_key *key, const struct fs_config *config, const struct fs_config *defaults,
                        bool *chosen, struct fs_error *error)
{
    *chosen = moves_training(key, config);
    if (!*chosen || fs_key_required(key)) {
        return FS_OK;
    }
    char *value = fs_key_text(key, config, error), *usual = fs_key_text(key, defaults, error);
    const bool failed = value == NULL || usual == NULL;
    *chosen = failed || strcmp(value, usual) != 0;
    free(value);
    free(usual);
    return failed ? FS_FAILED : FS_OK;
}

/* Every key when `defaults` is NULL, else those that choose() takes. Owned by the caller. */
static fs_status write_json(const struct fs_schema *schema, const struct fs_config *config,
                            const struct fs_config *defaults, char **json, struct fs_error *error)
{
    size_t size = 0;
    *json = NULL;
    struct object object = {.stream = open_memstream(json, &size), .begun = true};
    if (object.stream == NULL) {
        return fs_fail(error, FS_FAILED, "out of memory for a configuration");
    }
    fprintf(object.stream, "{\"config_version\":%d", FS_CONFIG_VERSION);
    fs_status status = FS_OK;
    for (int i = 0; i < schema->count && status == FS_OK; i++) {
        const struct fs_key *key = &schema->keys[i];
        bool chosen = fs_key_counts(key, config);
        if (chosen && defaults != NULL) {
            status = choose(key, config, defaults, &chosen, error);
        }
        if (chosen) {
            begin_key(&object, key->name);
            fs_key_write(key, config, object.stream);
        }
    }
    close_sections(&object, 0);
    fputc('}', object.stream);
    if (fclose(object.stream) != 0 && status == FS_OK) {
        status = fs_fail(error, FS_FAILED, "out of memory for a configuration");
    }
    if (status != FS_OK) {
        free(*json);
        *json = NULL;
    }
    return status;
}

/* The configuration by what it makes, so that one training has one hash however it is written: a method's own pace
 * stands as the common one, and that of the teacher only where it differs; one group of labels is none, and as many as
 * there are classes are the classes. */
static struct fs_config by_effect(const struct fs_config *config)
{
    struct fs_config effect = *config, teacher = *config;
    const struct fs_pace_config pace = fs_config_pace(config);
    effect.train.learning_rate = pace.learning_rate;
    effect.train.clip_norm = pace.clip_norm;
    effect.own = effect.flow = (struct fs_pace_config){0, 0};
    if (config->method->teacher_share(&config->settings) > 0) {
        teacher.method = fs_method_find(FS_TEACHER_METHOD);
        const struct fs_pace_config its = fs_config_pace(&teacher);
        effect.flow.learning_rate = its.learning_rate != pace.learning_rate ? its.learning_rate : 0;
        effect.flow.clip_norm = its.clip_norm != pace.clip_norm ? its.clip_norm : 0;
    }
    if (config->dataset.groups > 0 && config->model.classes != config->dataset.classes) {
        effect.dataset.classes = config->model.classes == 0 ? 0 : config->dataset.classes;
    }
    if (config->model.classes == effect.dataset.classes) {
        effect.dataset.groups = 0;
    }
    return effect;
}

fs_status fs_config_identify(const struct fs_schema *schema, struct fs_config *config, struct fs_error *error)
{
    struct fs_config defaults;
    const struct fs_config effect = by_effect(config);
    char *identity;
    FS_TRY(default_config(schema, config->method, &defaults, error));
    FS_TRY(write_json(schema, &effect, &defaults, &identity, error));
    fs_sha256(identity, strlen(identity), config->train_hash);
    free(identity);
    return write_json(schema, config, NULL, &config->json, error);
}
