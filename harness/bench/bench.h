/* `fewstep bench`: how fast this machine runs each operation and a whole update. */
#ifndef FEWSTEP_BENCH_H
#define FEWSTEP_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "harness/comm/comm.h"
#include "harness/config/config.h"
#include "kernels/base/error.h"

struct fs_bench_request {
    struct fs_comm *comm; /* of several ranks, for "reduction" */
    enum fs_device_kind device;
    const char *op, *model; /* NULL: all; dit-xs/4 at 128 rows and dit-b/2 at 4 */
    bool profile, json;
    int batch; /* rows; 0: 128 for dit-xs, else 4 */
    FILE *out;
};

/* Measures the float32 multiply-add peak (on a device: what its largest products reach, in float32 and bf16) and the
 * copy bandwidth, then the operations of cases.h at the model's sizes, a whole update (zero gradients, forward, MSE,
 * backward, AdamW with one average) and a sampling forward; prints time, GFLOP/s, GB/s and shares to `out`, as a table
 * or as one JSON object a line, and at the end the peak once more: where the two differ, something else ran.
 * op: only rows whose name begins so ("linear", "linear_forward qkv"), and no whole update; "update": only that, with
 * its rows from memory and from a folder of pictures ("loader": only these two); "inception-v3": only the features of
 * pictures (2 a thread, or `batch`); "reduction": what an update's gradients cost between the ranks, which all call;
 * rank 0 prints. `profile` (without op): an update alone, operation by operation, with the least time of each and what
 * it takes beyond. FS_USAGE for an unknown op or model, for several ranks where the work is one's, and the reverse. */
fs_status fs_bench(const struct fs_bench_request *request, struct fs_error *error);

/* The Fréchet distance from two 2048-dimensional means and covariances: the best of three. */
fs_status fs_bench_distance(bool json, FILE *out, struct fs_error *error);
/* All metrics from `rows` (0: 50 000) made-up features of 2048 dimensions, a spatial tap of 2023 and 1008 logits, a
 * line each with its time, and the peak resident set. */
fs_status fs_bench_metrics(int64_t rows, bool json, FILE *out, struct fs_error *error);

#endif
