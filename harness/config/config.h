/* A resolved run: everything that a training and its scores depend on. */
#ifndef FEWSTEP_CONFIG_H
#define FEWSTEP_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "harness/config/hypotheses.h"
#include "kernels/base/file.h"
#include "methods/method.h"
#include "methods/steps.h"
#include "metrics/resize.h"

/* Raised when a default changes: it is hashed, so that old numbers keep their meaning. */
#define FS_CONFIG_VERSION 1

#define FS_STEPS_MAX 16   /* step counts a run is scored at */
#define FS_UPDATES_MAX 32 /* updates it is scored at before its last */
#define FS_NAMES_MAX 4    /* extractors a run is scored with */
#define FS_METRICS_MAX 16
#define FS_NAME_ROOM 128 /* bytes of a name in a list, with its terminator */
#define FS_HASH_TEXT 65  /* SHA-256 in hexadecimal, with its terminator */

#define FS_TEACHER_METHOD "flow-matching" /* what every teacher is trained by */

enum fs_attention_scale { FS_SCALE_INV_D, FS_SCALE_INV_SQRT_D };
enum fs_schedule { FS_SCHEDULE_CONSTANT, FS_SCHEDULE_COSINE, FS_SCHEDULE_COSINE_PHASE };
enum fs_labels { FS_LABELS_CYCLE, FS_LABELS_UNIFORM };
enum fs_recompute { FS_RECOMPUTE_NONE, FS_RECOMPUTE_BLOCKS };
enum fs_divergence { FS_DIVERGENCE_STOP, FS_DIVERGENCE_RESTART_LOWER };
enum fs_pairing_kind { FS_PAIRING_INDEPENDENT, FS_PAIRING_OPTIMAL_TRANSPORT };
enum fs_precision { FS_PRECISION_FP32, FS_PRECISION_BF16 };
enum fs_weights_kind { FS_WEIGHTS_EMA, FS_WEIGHTS_RAW };
enum fs_crop { FS_CROP_CENTER, FS_CROP_NONE };
enum fs_background { FS_BACKGROUND_WHITE, FS_BACKGROUND_BLACK, FS_BACKGROUND_GREY };
enum fs_posterior { FS_POSTERIOR_SAMPLE, FS_POSTERIOR_MEAN };
enum fs_device_kind { FS_DEVICE_AUTO, FS_DEVICE_CPU, FS_DEVICE_CUDA };

/* What a network and a configuration must fit: the pictures of a data set. */
struct fs_data_shape {
    int height, width, channels;
    int classes; /* 0: without labels */
    int64_t count;
};
/* Numbers in a picture: H·W·C. */
static inline int64_t fs_shape_dim(const struct fs_data_shape *shape)
{
    return (int64_t)shape->height * shape->width * shape->channels;
}

struct fs_dataset_config {
    char name[64];
    char kind[32];           /* empty: the kind of this name */
    char path[FS_PATH_ROOM]; /* empty: where Debian's package puts it */
    bool mirror;             /* half of all visits of a training see the picture mirrored */

    /* What pictures of all sizes are made into; only for kinds whose pictures have no size of their own. */
    int size, channels; /* height and width (0: not given); 1 or 3 */
    enum fs_crop crop;
    enum fs_background background; /* behind transparent pixels, and beside what is not cropped to a square */
    double test_share;             /* of the pictures, where no folder says which are for testing */
    int classes;                   /* model.classes as written: those that the pictures have */
    int groups; /* that a network is told apart of them, see fs_config_label; 0: as many as there are classes */

    /* Of latents. */
    enum fs_posterior posterior; /* what a visit of a training sees: a draw of its own, or the mean */
    char vae[FS_PATH_ROOM];      /* the weights that decode what is drawn; empty: where they are looked for */
};

struct fs_model_config {
    char preset[32]; /* as written: dit-xs/4 */
    int patch, hidden, depth, heads;
    int classes; /* that it is told: dataset.groups where that is given; 0: the null label always */
    int finest_steps;
    enum fs_attention_scale attention_scale;
};

struct fs_train_config {
    int64_t updates; /* the whole budget, a teacher's share included (but not a teacher beside it) */
    int batch;
    int micro_batch; /* rows that go through the network at once; 0: the whole batch. Moves no number but rounding */
    double learning_rate;
    int64_t warmup;
    enum fs_schedule schedule;
    double beta1, beta2, weight_decay, clip_norm;
    double label_dropout;
    double ema;
    bool ema_warmup;
    bool ema_reset;                     /* averages begin again from the weights at each phase */
    enum fs_weights_kind student_start; /* which of its teacher's weights a student begins with */
    bool warmup_from_zero;              /* the first rate of a warm-up is 0 */
    enum fs_precision precision;
    enum fs_divergence on_divergence;
    enum fs_pairing_kind pairing; /* of noise with data */
    int pairing_group;            /* rows that may change places */
    bool shard_optimizer; /* moments and average are a part of each rank's (ZeRO stage 1). Moves no bit, not hashed */
    enum fs_recompute recompute; /* activations that the backward pass makes again. Moves no bit, not hashed */
    double checkpoint_every;     /* seconds; 0: auto. Not hashed */
};

/* What a method may have of its own, beside the common train.learning_rate and clip_norm; 0: the common one. */
struct fs_pace_config {
    double learning_rate, clip_norm;
};

struct fs_evaluate_config {
    int steps[FS_STEPS_MAX];
    int step_count;
    int updates[FS_UPDATES_MAX]; /* of the run itself, without its teacher's */
    int update_count;
    int64_t samples;
    enum fs_weights_kind weights;
    double guidance_scale;
    double guidance_scales[FS_STEPS_MAX]; /* one for each of `steps`, in place of guidance_scale when sampling */
    int guidance_count;                   /* 0: none */
    enum fs_labels labels;
    bool exact_velocity; /* beside the runs, the exact velocity of the training set is scored */
    enum fs_solver sampler;
    double time_shift; /* of the grid of times, as fs_shifted_time; 1: uniform */
    bool quantize;
    enum fs_resize resize;
    enum fs_precision decoder_precision; /* of latents */
    char reference[FS_PATH_ROOM];        /* "train", or the .npz or folder that is compared with */
    char extractors[FS_NAMES_MAX][FS_NAME_ROOM];
    int extractor_count;
    char metrics[FS_METRICS_MAX][FS_NAME_ROOM];
    int metric_count;
};

struct fs_config {
    char experiment[64];
    struct fs_dataset_config dataset;
    struct fs_model_config model;
    struct fs_train_config train;
    const struct fs_method *method;
    struct fs_method_settings settings; /* the chosen method's own keys */
    struct fs_pace_config own;          /* methods.X.learning_rate and clip_norm of the chosen method, */
    struct fs_pace_config flow;         /* and of flow matching, for its teacher or where that is chosen */
    int64_t seed;                       /* 0 … 2³² − 1 */
    struct fs_evaluate_config evaluate;
    enum fs_device_kind device;

    char train_hash[FS_HASH_TEXT]; /* data set, model, train and the method's own keys */
    char *json;                    /* the resolved configuration as canonical JSON, every key; owned */
    struct fs_key_place *places;   /* where its keys stand, for fs_config_fail; owned; NULL: nowhere */
};

/* An experiment: its runs in the order of the matrix, block after block (in a block the first key varies slowest). */
struct fs_experiment {
    char name[64];
    char path[FS_PATH_ROOM];
    char *text; /* the file as it was read */
    struct fs_config *runs;
    int run_count;
    const char *ablated; /* the dotted name of the matrix's key other than method and seed, or NULL */
    struct fs_hypotheses hypotheses;
};

/* The experiment file that `given` names: as it stands; or of those that come with the program, by the same path
 * ("experiments/demo.yaml") or by its name alone ("demo"). Where there is none, `given`. */
fs_status fs_experiment_file(const char *given, char path[FS_PATH_ROOM], struct fs_error *error);

/* Reads an experiment file (fs_experiment_file), applies `sets` ("train.batch=64"; a matrix key that is set becomes
 * that one value), expands the matrix and keeps the runs for which every `only` ("method=shortcut") holds. Every
 * mistake is FS_USAGE with file, line and key. */
fs_status fs_experiment_read(const char *path, const char *const *sets, int set_count, const char *const *only,
                             int only_count, struct fs_experiment *experiment, struct fs_error *error);
/* The same of a text; `path` stands in messages. */
fs_status fs_experiment_parse(const char *path, const char *text, const char *const *sets, int set_count,
                              const char *const *only, int only_count, struct fs_experiment *experiment,
                              struct fs_error *error);
void fs_experiment_free(struct fs_experiment *experiment);

/* The options of `fewstep run` that make the run with this stored configuration, and no other, of the experiment file
 * with this text: " --set train.batch=64 --only seed=0", quoted for a shell; owned by the caller. FS_USAGE where this
 * program cannot read the text or the configuration. */
fs_status fs_run_options(const char *text, const char *config_json, char **options, struct fs_error *error);

/* The configuration of the teacher that `config` needs: flow matching with its share of the updates or its own, all
 * else of `train`, `model` and `dataset` alike, so that all who need the same teacher share one run. Only when
 * config->method->teacher_share(…) > 0. Free with fs_config_free. */
fs_status fs_config_teacher(const struct fs_config *config, struct fs_config *teacher, struct fs_error *error);

/* A resolved configuration from its stored JSON (the `json` field), for `eval`, `sample` and `reproduce`. */
fs_status fs_config_from_json(const char *json, struct fs_config *config, struct fs_error *error);
void fs_config_free(struct fs_config *config);

/* The learning rate and the clipping that the run is trained with: the chosen method's own, or train's. */
struct fs_pace_config fs_config_pace(const struct fs_config *config);
/* What a network is told of a picture's label: 0 without classes; the label; or the group that it is in. Of C classes
 * in G groups (which divide C), class c is in group c mod G: the labels of ten classes in two groups say odd or even.
 */
int32_t fs_config_label(const struct fs_config *config, int32_t label);

/* Updates of the teacher (0: none), which has a share of train.updates or its own beside them, and what the method may
 * know of the run: its own updates are what is left. The plan points into `config`. */
int64_t fs_config_teacher_updates(const struct fs_config *config);
struct fs_method_setup fs_config_method_setup(const struct fs_config *config);
/* The pairs that the run is trained on; count 0: none. */
struct fs_pairs_request fs_config_pairs(const struct fs_config *config);
/* The updates whose weights are kept and scored besides the last ones, how many: those that evaluate.updates asks for,
 * and the ends of phases that the method keeps. */
#define FS_KEPT_MAX (FS_UPDATES_MAX + FS_PHASES_MAX)
struct fs_kept_update {
    int64_t update;
    int steps; /* that they are scored at; 0: all of evaluate.steps */
};
int fs_config_kept_updates(const struct fs_config *config, struct fs_kept_update kept[FS_KEPT_MAX]);
/* The numbers of steps that kept weights are scored at: *count of them. */
const int *fs_config_steps_of(const struct fs_config *config, const struct fs_kept_update *kept, int *count);

/* Whether the weights of `update` drawn at `steps` are used outside what the method was trained for: parentheses in
 * tables. Those that are kept for a number of steps are made for it. */
bool fs_config_outside_training(const struct fs_config *config, int64_t update, int steps);

/* "FILE:LINE: KEY: …", where the key stands: without a line when it has its default, without a file for a configuration
 * that was read from none. Returns FS_USAGE. */
fs_status fs_config_fail(const struct fs_config *config, const char *key, struct fs_error *error, const char *format,
                         ...) __attribute__((format(printf, 4, 5)));
/* Whether the key stands in the file, or has its default. */
bool fs_config_given(const struct fs_config *config, const char *key);

/* Whether the model keys fit the pictures that are to be learned. A configuration is read before its data are: whoever
 * opens them asks. FS_USAGE names file, line and key. */
fs_status fs_config_check_data(const struct fs_config *config, const struct fs_data_shape *shape,
                               struct fs_error *error);

/* Whether the evaluate keys fit the rest, for one that was changed after it was resolved. FS_USAGE names the key. */
fs_status fs_config_check_evaluation(const struct fs_config *config, struct fs_error *error);

/* The guidance scale that scores ask for at `steps`: its own among evaluate.guidance_scales, or guidance_scale. */
double fs_config_scale_at(const struct fs_evaluate_config *evaluate, int steps);
/* The explicit guidance that the run is scored with at `steps`: evaluate.guidance_scale, or 1 where the weights have
 * learned it already. */
double fs_config_guidance(const struct fs_config *config, int steps);

#endif
