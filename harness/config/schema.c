/* The table of keys, and how unknown names are answered. */
#include "harness/config/schema.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/text/nearest.h"
#include "kernels/base/memory.h"
#include "metrics/metric.h"

#define FIELD(member) .offset = offsetof(struct fs_config, member), .size = sizeof(((struct fs_config *)NULL)->member)
#define COUNT(member) .count_offset = offsetof(struct fs_config, member)

static const char *method_name(int index)
{
    const struct fs_method *method = fs_method_at(index);
    return method == NULL ? NULL : method->name;
}

/* By subject; fs_schema_create sorts them. */
static const struct fs_key KEYS[] = {
    {.name = "experiment", .kind = FS_KEY_TEXT, FIELD(experiment)},
    {.name = "seed", .kind = FS_KEY_WHOLE, FIELD(seed), .maximum = 4294967295.0},
    {.name = "device", .kind = FS_KEY_CHOICE, FIELD(device), .choices = "auto|cpu|cuda"},
    {.name = "method", .kind = FS_KEY_METHOD, FIELD(method), .name_at = method_name, .trains = true},

    /* Which kinds there are is known where they are opened. What the data are is hashed with the run's id: what they
     * are called, how they are read and where they lie moves no number. */
    {.name = "dataset.kind", .kind = FS_KEY_TEXT, FIELD(dataset.kind), .fallback_text = ""},
    {.name = "dataset.name", .kind = FS_KEY_TEXT, FIELD(dataset.name), .fallback_text = "fashion-mnist"},
    {.name = "dataset.groups",
     .kind = FS_KEY_WHOLE,
     FIELD(dataset.groups),
     .minimum = 1,
     .maximum = 1000000,
     .zero = "classes",
     .trains = true},
    {.name = "dataset.path", .kind = FS_KEY_TEXT, FIELD(dataset.path), .fallback_text = ""},
    {.name = "dataset.mirror", .kind = FS_KEY_BOOL, FIELD(dataset.mirror), .trains = true},
    /* What these make of a picture is in the hash of the data. 0: not given */
    {.name = "dataset.size", .kind = FS_KEY_WHOLE, FIELD(dataset.size), .maximum = 4096},
    {.name = "dataset.channels",
     .kind = FS_KEY_WHOLE,
     FIELD(dataset.channels),
     .fallback = 3,
     .minimum = 1,
     .maximum = 3},
    {.name = "dataset.crop", .kind = FS_KEY_CHOICE, FIELD(dataset.crop), .choices = "center|none"},
    {.name = "dataset.background", .kind = FS_KEY_CHOICE, FIELD(dataset.background), .choices = "white|black|grey"},
    {.name = "dataset.test_share",
     .kind = FS_KEY_REAL,
     FIELD(dataset.test_share),
     .fallback = 0.1,
     .maximum = 1,
     .below_maximum = true},
    {.name = "dataset.posterior",
     .kind = FS_KEY_CHOICE,
     FIELD(dataset.posterior),
     .choices = "sample|mean",
     .trains = true},
    /* That its weights are those that the latents were made with is checked by their hash. */
    {.name = "dataset.vae", .kind = FS_KEY_TEXT, FIELD(dataset.vae), .fallback_text = ""},

    /* The preset is a name for the four sizes, which are hashed. */
    {.name = "model.preset", .kind = FS_KEY_TEXT, FIELD(model.preset), .fallback_text = "dit-xs/4"},
    {.name = "model.patch",
     .kind = FS_KEY_WHOLE,
     FIELD(model.patch),
     .minimum = 1,
     .maximum = 1024,
     .zero = "preset",
     .trains = true},
    {.name = "model.hidden",
     .kind = FS_KEY_WHOLE,
     FIELD(model.hidden),
     .minimum = 4,
     .maximum = 16384,
     .zero = "preset",
     .trains = true},
    {.name = "model.depth",
     .kind = FS_KEY_WHOLE,
     FIELD(model.depth),
     .minimum = 1,
     .maximum = 256,
     .zero = "preset",
     .trains = true},
    {.name = "model.heads",
     .kind = FS_KEY_WHOLE,
     FIELD(model.heads),
     .minimum = 1,
     .maximum = 1024,
     .zero = "preset",
     .trains = true},
    {.name = "model.classes",
     .kind = FS_KEY_WHOLE,
     FIELD(dataset.classes),
     .fallback = 10,
     .maximum = 1000000,
     .trains = true},
    {.name = "model.finest_steps",
     .kind = FS_KEY_WHOLE,
     FIELD(model.finest_steps),
     .fallback = 128,
     .minimum = 2,
     .maximum = 1024,
     .trains = true},
    {.name = "model.attention_scale",
     .kind = FS_KEY_CHOICE,
     FIELD(model.attention_scale),
     .choices = "inv_d|inv_sqrt_d",
     .trains = true},

    {.name = "train.updates",
     .kind = FS_KEY_WHOLE,
     FIELD(train.updates),
     .fallback = NAN,
     .minimum = 1,
     .maximum = 1e9,
     .trains = true},
    {.name = "train.batch",
     .kind = FS_KEY_WHOLE,
     FIELD(train.batch),
     .fallback = 128,
     .minimum = 1,
     .maximum = 65536,
     .trains = true},
    {.name = "train.micro_batch", .kind = FS_KEY_WHOLE, FIELD(train.micro_batch), .maximum = 65536},
    {.name = "train.learning_rate",
     .kind = FS_KEY_REAL,
     FIELD(train.learning_rate),
     .fallback = 1e-3,
     .above_minimum = true,
     .trains = true},
    {.name = "train.warmup",
     .kind = FS_KEY_WHOLE,
     FIELD(train.warmup),
     .fallback = 200,
     .maximum = 1e9,
     .trains = true},
    {.name = "train.schedule",
     .kind = FS_KEY_CHOICE,
     FIELD(train.schedule),
     .choices = "constant|cosine|cosine-phase",
     .trains = true},
    {.name = "train.beta1",
     .kind = FS_KEY_REAL,
     FIELD(train.beta1),
     .fallback = 0.9,
     .maximum = 1,
     .below_maximum = true,
     .trains = true},
    {.name = "train.beta2",
     .kind = FS_KEY_REAL,
     FIELD(train.beta2),
     .fallback = 0.999,
     .maximum = 1,
     .below_maximum = true,
     .trains = true},
    {.name = "train.weight_decay", .kind = FS_KEY_REAL, FIELD(train.weight_decay), .fallback = 0.01, .trains = true},
    /* 0: no clipping */
    {.name = "train.clip_norm", .kind = FS_KEY_REAL, FIELD(train.clip_norm), .trains = true},
    {.name = "train.label_dropout",
     .kind = FS_KEY_REAL,
     FIELD(train.label_dropout),
     .maximum = 1,
     .below_maximum = true,
     .trains = true},
    {.name = "train.ema",
     .kind = FS_KEY_REAL,
     FIELD(train.ema),
     .fallback = 0.999,
     .maximum = 1,
     .below_maximum = true,
     .trains = true},
    {.name = "train.ema_warmup", .kind = FS_KEY_BOOL, FIELD(train.ema_warmup), .fallback = 1, .trains = true},
    {.name = "train.ema_reset", .kind = FS_KEY_BOOL, FIELD(train.ema_reset), .fallback = 1, .trains = true},
    {.name = "train.student_start",
     .kind = FS_KEY_CHOICE,
     FIELD(train.student_start),
     .choices = "ema|raw",
     .trains = true},
    {.name = "train.warmup_from_zero", .kind = FS_KEY_BOOL, FIELD(train.warmup_from_zero), .trains = true},
    {.name = "train.precision", .kind = FS_KEY_CHOICE, FIELD(train.precision), .choices = "fp32|bf16", .trains = true},
    {.name = "train.pairing",
     .kind = FS_KEY_CHOICE,
     FIELD(train.pairing),
     .choices = "independent|optimal-transport",
     .trains = true},
    {.name = "train.pairing_group",
     .kind = FS_KEY_WHOLE,
     FIELD(train.pairing_group),
     .fallback = 64,
     .minimum = 2,
     .maximum = 1024,
     .trains = true},
    {.name = "train.on_divergence",
     .kind = FS_KEY_CHOICE,
     FIELD(train.on_divergence),
     .choices = "stop|restart-lower",
     .trains = true},
    {.name = "train.shard_optimizer", .kind = FS_KEY_BOOL, FIELD(train.shard_optimizer)},
    {.name = "train.recompute", .kind = FS_KEY_CHOICE, FIELD(train.recompute), .choices = "none|blocks"},
    {.name = "train.checkpoint_every",
     .kind = FS_KEY_REAL,
     FIELD(train.checkpoint_every),
     .above_minimum = true,
     .zero = "auto"},

    {.name = "evaluate.steps",
     .kind = FS_KEY_WHOLES,
     FIELD(evaluate.steps),
     COUNT(evaluate.step_count),
     .fallback_text = "[1, 2, 4, 8, 16, 32, 128]",
     .fallback = NAN,
     .minimum = 1,
     .maximum = 1024},
    {.name = "evaluate.updates",
     .kind = FS_KEY_WHOLES,
     FIELD(evaluate.updates),
     COUNT(evaluate.update_count),
     .fallback_text = "[]",
     .fallback = NAN,
     .minimum = 1,
     .maximum = 1e9},
    {.name = "evaluate.samples",
     .kind = FS_KEY_WHOLE,
     FIELD(evaluate.samples),
     .fallback = 5000,
     .minimum = 2,
     .maximum = 1e7},
    {.name = "evaluate.weights", .kind = FS_KEY_CHOICE, FIELD(evaluate.weights), .choices = "ema|raw"},
    {.name = "evaluate.guidance_scale", .kind = FS_KEY_REAL, FIELD(evaluate.guidance_scale), .fallback = 1},
    {.name = "evaluate.guidance_scales",
     .kind = FS_KEY_REALS,
     FIELD(evaluate.guidance_scales),
     COUNT(evaluate.guidance_count),
     .fallback_text = "[]",
     .fallback = NAN},
    {.name = "evaluate.labels", .kind = FS_KEY_CHOICE, FIELD(evaluate.labels), .choices = "cycle|uniform"},
    {.name = "evaluate.exact_velocity", .kind = FS_KEY_BOOL, FIELD(evaluate.exact_velocity)},
    {.name = "evaluate.sampler",
     .kind = FS_KEY_CHOICE,
     FIELD(evaluate.sampler),
     .choices = FS_SOLVER_NAMES,
     .fallback = FS_SOLVER_METHOD},
    {.name = "evaluate.time_shift",
     .kind = FS_KEY_REAL,
     FIELD(evaluate.time_shift),
     .fallback = 1,
     .above_minimum = true,
     .maximum = 1000},
    {.name = "evaluate.quantize", .kind = FS_KEY_BOOL, FIELD(evaluate.quantize), .fallback = 1},
    {.name = "evaluate.resize",
     .kind = FS_KEY_CHOICE,
     FIELD(evaluate.resize),
     .choices = "none|clean|torch|tf1|authors", /* fs_resize_name */
     .fallback = FS_RESIZE_CLEAN},
    {.name = "evaluate.decoder_precision",
     .kind = FS_KEY_CHOICE,
     FIELD(evaluate.decoder_precision),
     .choices = "fp32|bf16"},
    /* Where it lies moves no number: scores have the hash of what it holds. */
    {.name = "evaluate.reference", .kind = FS_KEY_TEXT, FIELD(evaluate.reference), .fallback_text = "train"},
    {.name = "evaluate.extractors",
     .kind = FS_KEY_TEXTS,
     FIELD(evaluate.extractors),
     COUNT(evaluate.extractor_count),
     .fallback_text = "[fashion-cnn]",
     .name_at = fs_extractor_name,
     .ending = FS_EXTRACTOR_ENDING},
    {.name = "evaluate.metrics",
     .kind = FS_KEY_TEXTS,
     FIELD(evaluate.metrics),
     COUNT(evaluate.metric_count),
     .fallback_text = "[fd]",
     .name_at = fs_metric_name},
};

/* --- the whole schema --- */

#define PACE_KEYS 2 /* a method's learning_rate and clip_norm */

static struct fs_key method_key(const struct fs_method *method, const struct fs_option *option)
{
    struct fs_key key = {
        .method = method,
        .kind = (enum fs_key_kind)option->kind,
        .offset = offsetof(struct fs_config, settings) + option->offset,
        .size = option->size,
        .fallback = option->fallback,
        .minimum = option->minimum,
        .maximum = option->maximum,
        .choices = option->choices,
        .trains = true,
    };
    snprintf(key.name, sizeof key.name, "methods.%s.%s", method->name, option->key);
    return key;
}

/* The key of a pace that a method has of its own, or flow matching for those whose teacher it is. A rate that is given
 * is hashed as the train key that it stands for: see fs_config_identify. */
static struct fs_key pace_key(const struct fs_method *method, const char *name, size_t offset)
{
    const bool of_teacher = strcmp(method->name, FS_TEACHER_METHOD) == 0;
    const size_t pace = of_teacher ? offsetof(struct fs_config, flow) : offsetof(struct fs_config, own);
    struct fs_key key = {
        .method = method,
        .kind = FS_KEY_REAL,
        .offset = pace + offset,
        .size = sizeof(double),
        .above_minimum = true,
        .zero = "train",
        .trains = true,
        .of_teacher = of_teacher,
    };
    snprintf(key.name, sizeof key.name, "methods.%s.%s", method->name, name);
    return key;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct fs_key *)a)->name, ((const struct fs_key *)b)->name);
}

fs_status fs_schema_create(struct fs_schema *schema, struct fs_error *error)
{
    const size_t common = sizeof KEYS / sizeof *KEYS;
    size_t count = common;
    const struct fs_method *method;
    for (int i = 0; (method = fs_method_at(i)) != NULL; i++) {
        if (method->settings_size > FS_SETTINGS_MAX) {
            return fs_fail(error, FS_FAILED,
                           "%s: its settings are %zu bytes: raise FS_SETTINGS_MAX in method.h above %d", method->name,
                           method->settings_size, FS_SETTINGS_MAX);
        }
        count += (size_t)method->option_count + PACE_KEYS;
    }
    struct fs_key *keys = fs_allocate(count, sizeof *keys, "the table of keys", error);
    *schema = (struct fs_schema){.keys = keys};
    if (keys == NULL) {
        return FS_FAILED;
    }
    memcpy(keys, KEYS, sizeof KEYS);
    schema->count = (int)common;
    for (int i = 0; (method = fs_method_at(i)) != NULL; i++) {
        for (int k = 0; k < method->option_count; k++) {
            keys[schema->count++] = method_key(method, &method->options[k]);
        }
        keys[schema->count++] = pace_key(method, "learning_rate", offsetof(struct fs_pace_config, learning_rate));
        keys[schema->count++] = pace_key(method, "clip_norm", offsetof(struct fs_pace_config, clip_norm));
    }
    qsort(keys, count, sizeof *keys, by_name);
    return FS_OK;
}

bool fs_key_counts(const struct fs_key *key, const struct fs_config *config)
{
    return key->method == NULL || key->method == config->method ||
           (key->of_teacher && config->method->teacher_share(&config->settings) > 0);
}

void fs_schema_destroy(struct fs_schema *schema)
{
    free((void *)schema->keys);
    *schema = (struct fs_schema){0};
}

const struct fs_key *fs_schema_find(const struct fs_schema *schema, const char *name)
{
    for (int i = 0; i < schema->count; i++) {
        if (strcmp(schema->keys[i].name, name) == 0) {
            return &schema->keys[i];
        }
    }
    return NULL;
}

/* --- unknown names --- */

/* A name under which keys stand: "train"; a method's section even where it has no keys. */
static bool is_section(const struct fs_schema *schema, const char *name)
{
    const size_t length = strlen(name);
    for (int i = 0; i < schema->count; i++) {
        if (strncmp(schema->keys[i].name, name, length) == 0 && schema->keys[i].name[length] == '.') {
            return true;
        }
    }
    static const char methods[] = "methods";
    return strcmp(name, methods) == 0 ||
           (strncmp(name, "methods.", sizeof methods) == 0 && fs_method_find(name + sizeof methods) != NULL);
}

static const char *leaf(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot == NULL ? name : dot + 1;
}

/* The key or section that was probably meant, in `suggestion`; false when nothing is near. */
static bool suggest(const struct fs_schema *schema, const char *name, char suggestion[FS_KEY_NAME])
{
    if (strlen(name) >= FS_KEY_NAME) {
        return false;
    }
    static const char *const others[] = {"matrix", "hypotheses"};
    int best = 3;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (fs_edit_distance(name, others[i]) < best) {
            best = fs_edit_distance(name, others[i]);
            snprintf(suggestion, FS_KEY_NAME, "%s", others[i]);
        }
    }
    for (int i = 0; i < schema->count; i++) {
        const char *key = schema->keys[i].name;
        if (best > 1 && strcmp(leaf(name), leaf(key)) == 0) {
            best = 1;
            snprintf(suggestion, FS_KEY_NAME, "%s", key);
        }
        for (const char *end = strchr(key, '.');; end = strchr(end + 1, '.')) {
            char candidate[FS_KEY_NAME];
            snprintf(candidate, sizeof candidate, "%.*s", end == NULL ? FS_KEY_NAME : (int)(end - key), key);
            if (fs_edit_distance(name, candidate) < best) {
                best = fs_edit_distance(name, candidate);
                snprintf(suggestion, FS_KEY_NAME, "%s", candidate);
            }
            if (end == NULL) {
                break;
            }
        }
    }
    return best < 3;
}

/* "batch, beta1, …": what stands directly in a section ("" is the top). */
static void list_section(const struct fs_schema *schema, const char *section, char *list, size_t size)
{
    const size_t skip = *section == '\0' ? 0 : strlen(section) + 1;
    size_t used = 0, previous_length = 0;
    const char *previous = "";
    list[0] = '\0';
    for (int i = 0; i < schema->count; i++) {
        const char *key = schema->keys[i].name;
        if (skip > 0 && (strncmp(key, section, skip - 1) != 0 || key[skip - 1] != '.')) {
            continue;
        }
        const char *name = key + skip;
        const size_t length = strcspn(name, ".");
        if ((length == previous_length && strncmp(name, previous, length) == 0) || used >= size) {
            continue;
        }
        used += (size_t)snprintf(list + used, size - used, "%s%.*s", used > 0 ? ", " : "", (int)length, name);
        previous = name;
        previous_length = length;
    }
}

fs_status fs_schema_refuse(const struct fs_schema *schema, const char *place, int line, const char *name,
                           struct fs_error *error)
{
    char shown[FS_KEY_NAME], suggestion[FS_KEY_NAME], section[FS_KEY_NAME], list[512];
    snprintf(shown, sizeof shown, "%s", name);
    if (is_section(schema, name)) {
        list_section(schema, name, list, sizeof list);
        return fs_fail_at(error, place, line, shown, "is a section, not a key; it has: %s", list);
    }
    if (suggest(schema, name, suggestion)) {
        return fs_fail_at(error, place, line, shown, "unknown key; did you mean %s?", suggestion);
    }
    memcpy(section, shown, sizeof section);
    do {
        char *dot = strrchr(section, '.');
        *(dot == NULL ? section : dot) = '\0';
    } while (*section != '\0' && !is_section(schema, section));
    list_section(schema, section, list, sizeof list);
    return fs_fail_at(error, place, line, shown, "unknown key; %s has: %s", *section ? section : "the file", list);
}

static fs_status check_map(const struct fs_schema *schema, const struct fs_node *map, const char *prefix,
                           struct fs_error *error)
{
    for (const struct fs_node *child = map->first; child != NULL; child = child->next) {
        char name[2 * FS_KEY_NAME];
        const bool cut = (size_t)snprintf(name, sizeof name, "%s%s", prefix, child->key) >= sizeof name;
        /* A key with a dot in it ("train.batch: 1") would be taken for a path. */
        const bool dotted = strchr(child->key, '.') != NULL;
        if (!cut && !dotted && fs_schema_find(schema, name) != NULL) {
            continue;
        }
        if (dotted && fs_schema_find(schema, name) != NULL) {
            return fs_fail_at(error, child->place, child->key_line, name,
                              "dotted names are for `matrix` and `--set`; write it as a key of its section");
        }
        if (cut || dotted || !is_section(schema, name)) {
            return fs_schema_refuse(schema, child->place, child->key_line, name, error);
        }
        if (child->kind != FS_NODE_MAP) {
            char description[FS_DESCRIPTION];
            return fs_fail_at(error, child->place, child->line, name, "expected a section of keys, got %s",
                              fs_node_describe(child, description));
        }
        char section[2 * FS_KEY_NAME + 1];
        snprintf(section, sizeof section, "%s.", name);
        FS_TRY(check_map(schema, child, section, error));
    }
    return FS_OK;
}

fs_status fs_schema_check(const struct fs_schema *schema, const struct fs_node *root, struct fs_error *error)
{
    if (root->kind != FS_NODE_MAP) {
        char description[FS_DESCRIPTION];
        return fs_fail_at(error, root->place, root->line, "", "expected lines of the form `key: value`, got %s",
                          fs_node_describe(root, description));
    }
    return check_map(schema, root, "", error);
}

fs_status fs_schema_read(const struct fs_schema *schema, const struct fs_node *map, void *object,
                         struct fs_error *error)
{
    FS_TRY(fs_schema_check(schema, map, error));
    for (int i = 0; i < schema->count; i++) {
        const struct fs_key *key = &schema->keys[i];
        const struct fs_node *node = fs_node_find(map, key->name);
        if (node == NULL && fs_key_required(key)) {
            return fs_fail_at(error, map->place, map->line, key->name, "is missing");
        }
        FS_TRY(node != NULL ? fs_key_read(key, node, object, error) : fs_key_default(key, object, error));
    }
    return FS_OK;
}
