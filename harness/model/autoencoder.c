/* The autoencoder: which latents are its own, and pictures through its networks in batches. */
#include "harness/model/autoencoder.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/model/autoencoder_file.h"
#include "harness/text/json.h"
#include "kernels/base/hash.h"
#include "kernels/base/memory.h"
#include "metrics/weights_file.h"

#define PUBLISHED_NAME "diffusion_pytorch_model.safetensors"
#define CONFIG_LIMIT 65536
#define BATCH_MAX 16 /* a device takes fewer where its memory is short */
#define COLOURS 3
#define LOG_VARIANCE_LOW (-30)
#define LOG_VARIANCE_HIGH 20

/* A part as a network for one size. */
struct part {
    struct fs_net *net; /* NULL: none yet */
    int64_t height, width;
    struct fs_net_slice out;
    float *input; /* [BATCH_MAX, height, width, channels] in the backend's memory */
};

struct fs_autoencoder {
    struct fs_backend *backend;
    struct fs_autoencoder_info info;
    struct fs_autoencoder_file file;
    struct part parts[2]; /* by enum fs_autoencoder_part */
};

/* --- whose latents --- */

/* Published files that need not stand beside their config.json. */
static const struct known {
    const char *sha256, *name;
    double scale;
} published[] = {
    {"a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815", "Stable Diffusion (sd-vae-ft-mse)", 0.18215},
    {"1598f3d24932bcfe6634e8b618ea1e30ab1d57f5aad13a6d2de446d2199f2341", "Stable Diffusion XL (sdxl-vae)", 0.13025},
    {"1b909373b28f2137098b0fd9dbc6f97f8410854f31f84ddc9fa04b077b0ace2c", "Stable Diffusion XL (sdxl-vae-fp16-fix)",
     0.13025},
};

static fs_status read_member(const char *path, const json_t *config, const char *name, double *value,
                             struct fs_error *error)
{
    const json_t *member = json_object_get(config, name);
    if (member == NULL || json_is_null(member)) {
        return FS_OK;
    }
    *value = json_number_value(member);
    return json_is_number(member) && isfinite(*value) ? FS_OK
                                                      : fs_fail(error, FS_USAGE, "%s: %s is no number", path, name);
}

/* What config.json beside the weights says, as diffusers writes it; *scale stays 0 without one. */
static fs_status read_config(const char *weights, double *scale, double *shift, struct fs_error *error)
{
    char path[FS_PATH_ROOM], *text;
    const char *slash = strrchr(weights, '/');
    const int folder = slash != NULL ? (int)(slash - weights) : 0;
    size_t size;
    FS_TRY(folder > 0 ? fs_path(path, error, "%.*s/config.json", folder, weights)
                      : fs_path(path, error, "%sconfig.json", slash != NULL ? "/" : ""));
    if (access(path, F_OK) != 0) {
        return FS_OK;
    }
    FS_TRY(fs_file_read(path, CONFIG_LIMIT, &text, &size, error));
    json_error_t reason;
    json_t *config = json_loadb(text, size, 0, &reason);
    free(text);
    if (config == NULL) {
        return fs_fail(error, FS_USAGE, "%s: %s", path, reason.text);
    }
    fs_status status = read_member(path, config, "scaling_factor", scale, error);
    status = status == FS_OK ? read_member(path, config, "shift_factor", shift, error) : status;
    json_decref(config);
    return status == FS_OK && *scale < 0 ? fs_fail(error, FS_USAGE, "%s: scaling_factor is negative", path) : status;
}

static fs_status find_scale(struct fs_autoencoder *a, struct fs_error *error)
{
    struct fs_autoencoder_info *info = &a->info;
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        if (strcmp(info->sha256, published[i].sha256) == 0) {
            info->scale = published[i].scale;
            info->scale_of = published[i].name;
            return FS_OK;
        }
    }
    FS_TRY(read_config(a->file.path, &info->scale, &info->shift, error));
    if (info->scale > 0) {
        info->scale_of = "config.json beside it";
        return FS_OK;
    }
    if (info->channels != 4) {
        return fs_fail(error, FS_USAGE,
                       "%s: latents of %lld channels, and no config.json beside it says their scaling_factor (FLUX has "
                       "0.3611, with shift_factor 0.1159): put the published one there",
                       a->file.path, (long long)info->channels);
    }
    info->scale = 0.18215;
    info->scale_of = "Stable Diffusion's, as no config.json beside it says otherwise";
    return FS_OK;
}

/* --- opening --- */

static bool is_folder(const char *path)
{
    struct stat stat_of;
    return stat(path, &stat_of) == 0 && S_ISDIR(stat_of.st_mode);
}

fs_status fs_autoencoder_find(const char *given, char path[FS_PATH_ROOM], struct fs_error *error)
{
    if (given == NULL) {
        return fs_weights_file_find("autoencoder", FS_AUTOENCODER_FILE,
                                    "it is " PUBLISHED_NAME " of stabilityai/sd-vae-ft-mse on Hugging Face; another "
                                    "place can be named (--vae, dataset.vae)",
                                    path, error);
    }
    FS_TRY(is_folder(given) ? fs_path(path, error, "%s/" PUBLISHED_NAME, given) : fs_path(path, error, "%s", given));
    return access(path, R_OK) == 0
               ? FS_OK
               : fs_fail(error, FS_USAGE, "autoencoder: %s: %s: expected a safetensors file as diffusers publishes it",
                         path, strerror(errno));
}

static fs_status check_precision(const struct fs_backend *backend, enum fs_type precision, struct fs_error *error)
{
    if (precision == FS_F32 || (precision == FS_BF16 && backend->native_bf16)) {
        return FS_OK;
    }
    return precision == FS_BF16
               ? fs_fail(error, FS_USAGE, "autoencoder: bf16 on %s (%s), which does not multiply in it: take fp32",
                         backend->name, backend->variant)
               : fs_fail(error, FS_USAGE, "autoencoder: expected fp32 or bf16");
}

static fs_status open_file(struct fs_autoencoder *a, const char *path, struct fs_error *error)
{
    FS_TRY(fs_autoencoder_file_open(path, &a->file, error));
    FS_TRY(fs_sha256_file(path, a->info.sha256, error));
    a->info.channels = a->file.channels;
    a->info.factor = (int64_t)1 << (a->file.stages - 1);
    return find_scale(a, error);
}

struct fs_autoencoder *fs_autoencoder_open(struct fs_backend *backend, const char *path, enum fs_type precision,
                                           struct fs_error *error)
{
    if (check_precision(backend, precision, error) != FS_OK) {
        return NULL;
    }
    struct fs_autoencoder *a = fs_allocate(1, sizeof *a, "the autoencoder", error);
    if (a == NULL) {
        return NULL;
    }
    a->backend = backend;
    a->file.fd = -1;
    a->info.precision = precision;
    if (open_file(a, path, error) != FS_OK) {
        fs_autoencoder_close(a);
        return NULL;
    }
    return a;
}

static void part_free(struct fs_autoencoder *a, struct part *part)
{
    fs_net_destroy(part->net);
    if (part->input != NULL) {
        a->backend->release(a->backend, part->input);
    }
    *part = (struct part){0};
}

void fs_autoencoder_close(struct fs_autoencoder *a)
{
    if (a != NULL) {
        part_free(a, &a->parts[FS_ENCODER]);
        part_free(a, &a->parts[FS_DECODER]);
        fs_autoencoder_file_close(&a->file);
        free(a);
    }
}

const struct fs_autoencoder_info *fs_autoencoder_info(const struct fs_autoencoder *a)
{
    return &a->info;
}

double fs_autoencoder_encode_flops(const struct fs_autoencoder *a)
{
    return a->parts[FS_ENCODER].net != NULL ? fs_net_flops(a->parts[FS_ENCODER].net) : 0;
}

double fs_autoencoder_decode_flops(const struct fs_autoencoder *a)
{
    return a->parts[FS_DECODER].net != NULL ? fs_net_flops(a->parts[FS_DECODER].net) : 0;
}

/* --- running --- */

fs_status fs_autoencoder_latents(const struct fs_autoencoder *a, int64_t height, int64_t width,
                                 struct fs_latent_shape *shape, struct fs_error *error)
{
    const int64_t factor = a->info.factor;
    if (height < 1 || width < 1 || height % factor != 0 || width % factor != 0) {
        return fs_fail(error, FS_USAGE, "pictures of %lld × %lld: expected sides that are multiples of %lld",
                       (long long)height, (long long)width, (long long)factor);
    }
    *shape = (struct fs_latent_shape){height / factor, width / factor, a->info.channels};
    return FS_OK;
}

static int64_t input_floats(const struct fs_autoencoder *a, enum fs_autoencoder_part index, int64_t height,
                            int64_t width)
{
    return height * width * (index == FS_ENCODER ? COLOURS : a->info.channels);
}

static fs_status make_part(struct fs_autoencoder *a, enum fs_autoencoder_part index, int64_t height, int64_t width,
                           struct fs_error *error)
{
    struct part *part = &a->parts[index];
    const int64_t floats = input_floats(a, index, height, width);
    part->height = height;
    part->width = width;
    part->net =
        fs_net_create(a->backend, FS_NET_THREADS_TOGETHER, BATCH_MAX, height, width, floats / (height * width), error);
    if (part->net == NULL) {
        return error->status;
    }
    FS_TRY(fs_autoencoder_layers(&a->file, index, part->net, a->info.precision, height, width, &part->out, error));
    part->input = a->backend->allocate(a->backend, (size_t)(BATCH_MAX * floats) * sizeof(float), error);
    if (part->input == NULL) {
        return FS_FAILED;
    }
    return fs_net_finish(part->net, error);
}

static fs_status prepare(struct fs_autoencoder *a, enum fs_autoencoder_part index, int64_t height, int64_t width,
                         struct fs_error *error)
{
    struct part *part = &a->parts[index];
    if (part->net != NULL && part->height == height && part->width == width) {
        return FS_OK;
    }
    part_free(a, part);
    const fs_status status = make_part(a, index, height, width, error);
    if (status != FS_OK) {
        part_free(a, part);
    }
    return status;
}

/* Up to BATCH_MAX pictures or latents of the host through a part; the result is the host's. */
static fs_status run_batch(struct fs_autoencoder *a, enum fs_autoencoder_part index, int64_t count, const float *in,
                           float *out, struct fs_error *error)
{
    const struct part *part = &a->parts[index];
    const struct fs_net_result result = {part->out, false, out};
    a->backend->upload(a->backend, part->input, in,
                       (size_t)(count * input_floats(a, index, part->height, part->width)) * sizeof *in);
    return fs_net_run(part->net, count, part->input, &result, 1, error);
}

static float clamped(float log_variance)
{
    /* NaN stays. */
    return log_variance < LOG_VARIANCE_LOW    ? LOG_VARIANCE_LOW
           : log_variance > LOG_VARIANCE_HIGH ? LOG_VARIANCE_HIGH
                                              : log_variance;
}

/* moments [pixels, 2·channels]: the means, then the log-variances. */
static void split(const float *moments, int64_t pixels, int64_t channels, float *mean, float *log_variance)
{
    for (int64_t p = 0; p < pixels; p++) {
        memcpy(mean + p * channels, moments + 2 * p * channels, (size_t)channels * sizeof *mean);
        for (int64_t c = 0; log_variance != NULL && c < channels; c++) {
            log_variance[p * channels + c] = clamped(moments[(2 * p + 1) * channels + c]);
        }
    }
}

static int64_t batch_of(int64_t count, int64_t first)
{
    return count - first < BATCH_MAX ? count - first : BATCH_MAX;
}

fs_status fs_autoencoder_encode(struct fs_autoencoder *a, int64_t count, int64_t height, int64_t width,
                                const float *pictures, float *mean, float *log_variance, struct fs_error *error)
{
    struct fs_latent_shape shape = {0};
    FS_TRY(fs_autoencoder_latents(a, height, width, &shape, error));
    FS_TRY(prepare(a, FS_ENCODER, height, width, error));
    const int64_t pixels = shape.height * shape.width, each = pixels * shape.channels;
    float *moments = fs_allocate((size_t)(2 * each * batch_of(count, 0)), sizeof *moments, "latents", error);
    fs_status status = moments != NULL ? FS_OK : FS_FAILED;
    for (int64_t first = 0; first < count && status == FS_OK; first += BATCH_MAX) {
        const int64_t batch = batch_of(count, first);
        status = run_batch(a, FS_ENCODER, batch, pictures + first * height * width * COLOURS, moments, error);
        if (status == FS_OK) {
            split(moments, batch * pixels, shape.channels, mean + first * each,
                  log_variance != NULL ? log_variance + first * each : NULL);
        }
    }
    free(moments);
    return status;
}

fs_status fs_autoencoder_decode(struct fs_autoencoder *a, int64_t count, int64_t height, int64_t width,
                                const float *latents, float *pictures, struct fs_error *error)
{
    if (height < 1 || width < 1) {
        return fs_fail(error, FS_USAGE, "latents of %lld × %lld", (long long)height, (long long)width);
    }
    FS_TRY(prepare(a, FS_DECODER, height, width, error));
    const int64_t in = height * width * a->info.channels;
    const int64_t out = height * width * a->info.factor * a->info.factor * COLOURS;
    for (int64_t first = 0; first < count; first += BATCH_MAX) {
        FS_TRY(run_batch(a, FS_DECODER, batch_of(count, first), latents + first * in, pictures + first * out, error));
    }
    return FS_OK;
}
