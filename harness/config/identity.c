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

static void close_section(struct object *object)
{
    if (*object->section == '\0') {
        return;
    }
    fputc('}', object->stream);
    for (const char *dot = object->section; (dot = strchr(dot, '.')) != NULL; dot++) {
        fputc('}', object->stream);
    }
    *object->section = '\0';
    object->begun = true;
}

/* Sections hold either keys or sections ("methods" has no keys of its own), and sorted keys visit each once: all open
 * braces can be closed and the new ones opened. */
static void begin_key(struct object *object, const char *name)
{
    const char *last_dot = strrchr(name, '.');
    const size_t length = last_dot == NULL ? 0 : (size_t)(last_dot - name);
    if (strncmp(object->section, name, length) != 0 || object->section[length] != '\0') {
        close_section(object);
        for (const char *part = name; last_dot != NULL && part < last_dot;) {
            const size_t part_length = strcspn(part, ".");
            fprintf(object->stream, "%s\"%.*s\":{", object->begun ? "," : "", (int)part_length, part);
            object->begun = false;
            part += part_length + 1;
        }
        memcpy(object->section, name, length);
        object->section[length] = '\0';
    }
    fprintf(object->stream, "%s\"%s\":", object->begun ? "," : "", last_dot == NULL ? name : last_dot + 1);
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
        bool chosen = key->method == NULL || key->method == config->method;
        if (chosen && defaults != NULL) {
            status = choose(key, config, defaults, &chosen, error);
        }
        if (chosen) {
            begin_key(&object, key->name);
            fs_key_write(key, config, object.stream);
        }
    }
    close_section(&object);
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

fs_status fs_config_identify(const struct fs_schema *schema, struct fs_config *config, struct fs_error *error)
{
    struct fs_config defaults;
    char *identity;
    FS_TRY(default_config(schema, config->method, &defaults, error));
    FS_TRY(write_json(schema, config, &defaults, &identity, error));
    fs_sha256(identity, strlen(identity), config->train_hash);
    free(identity);
    return write_json(schema, config, NULL, &config->json, error);
}
