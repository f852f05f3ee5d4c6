/* The device memory that a training plans for, and what would fit where that is too much. */
#include "harness/train/fit.h"

#include <stdio.h>
#include <string.h>

#define MEBIBYTE 1048576.0
#define ROUNDING (64.0 * 256)    /* of all buffers to what a device aligns them to */
#define SPARE (640.0 * MEBIBYTE) /* what products and attention take beside, at most */

/* Bytes of device memory with `config`; negative where the network cannot be planned. */
static double bytes_with(const struct fs_training *training, const struct fs_config *config, int rows,
                         enum fs_type precision)
{
    struct fs_error error;
    double bytes;
    return fs_training_bytes(config, &training->data->shape, training->backend->real, precision, rows,
                             training->comm ? training->comm->size : 1, &bytes, &error) == FS_OK
               ? bytes + ROUNDING
               : -1;
}

static double bytes_needed(const struct fs_training *training, int rows, enum fs_type precision)
{
    return bytes_with(training, training->config, rows, precision);
}

/* What is saved where blocks are passed forward again; 0 where they are already. */
static double bytes_of_blocks(const struct fs_training *training, int rows, enum fs_type precision)
{
    struct fs_config less = *training->config;
    less.train.recompute = FS_RECOMPUTE_BLOCKS;
    return bytes_needed(training, rows, precision) - bytes_with(training, &less, rows, precision);
}

static enum fs_type precision_of(const struct fs_training *training)
{
    return training->config->train.precision == FS_PRECISION_BF16 ? FS_BF16 : training->backend->real;
}

fs_status fs_reserve_memory(const struct fs_training *training, int rows, struct fs_error *error)
{
    struct fs_backend *backend = training->backend;
    const double needed = backend->reserve ? bytes_needed(training, rows, precision_of(training)) : 0;
    return needed > 0 ? backend->reserve(backend, (size_t)needed, error) : FS_OK;
}

/* The most rows, `rows` halved some times, that fit; 0: not one. */
static int rows_that_fit(const struct fs_training *training, int rows, enum fs_type precision, double room)
{
    while (rows > 0 && bytes_needed(training, rows, precision) > room) {
        rows /= 2;
    }
    return rows;
}

void fs_suggest_fit(const struct fs_training *training, int rows, struct fs_error *error)
{
    struct fs_backend *backend = training->backend;
    const enum fs_type precision = precision_of(training);
    const bool half = precision == FS_BF16;
    if (backend->available == NULL) {
        return;
    }
    const double available = (double)backend->available(backend), needed = bytes_needed(training, rows, precision);
    const double room = available - (SPARE < available / 4 ? SPARE : available / 4);
    if (available <= 0 || needed <= room) {
        return; /* it is something else */
    }
    const int as_is = rows_that_fit(training, rows, precision, room),
              in_bf16 = half || !backend->native_bf16 ? 0 : rows_that_fit(training, rows, FS_BF16, room);
    const size_t length = strlen(error->text);
    char *end = error->text + length;
    const size_t left = sizeof error->text - length;
    const int said =
        snprintf(end, left, "; this training needs about %.0f MiB and the device has %.0f free: ", needed / MEBIBYTE,
                 available / MEBIBYTE);
    if (said < 0 || (size_t)said >= left) {
        return;
    }
    end += said;
    const size_t rest = left - (size_t)said;
    if (as_is > 0 && in_bf16 > as_is) {
        snprintf(end, rest, "train.micro_batch: %d fits, with train.precision: bf16 %d", as_is, in_bf16);
    } else if (as_is > 0) {
        snprintf(end, rest, "train.micro_batch: %d fits", as_is);
    } else if (in_bf16 > 0) {
        snprintf(end, rest, "train.micro_batch: %d fits with train.precision: bf16", in_bf16);
    } else {
        snprintf(end, rest, "not one row fits, so it has to be a smaller model");
    }
    const double saved = bytes_of_blocks(training, rows, precision);
    const size_t used = strlen(error->text);
    if (saved > 0) {
        snprintf(error->text + used, sizeof error->text - used, "; train.recompute: blocks needs %.0f MiB less",
                 saved / MEBIBYTE);
    }
}
