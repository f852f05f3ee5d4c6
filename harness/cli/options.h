/* Command-line options from a table. */
#ifndef FEWSTEP_OPTIONS_H
#define FEWSTEP_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

#include "harness/config/config.h"
#include "metrics/metric.h"

#define FS_LIST_MAX 64

/* Values of an option that may be given many times. */
struct fs_list {
    const char *items[FS_LIST_MAX];
    int count;
};

enum fs_flag_kind {
    FS_FLAG_SWITCH, /* bool */
    FS_FLAG_TEXT,   /* const char * */
    FS_FLAG_WHOLE,  /* int64_t, ≥ 0 */
    FS_FLAG_REAL,   /* double */
    FS_FLAG_LIST,   /* struct fs_list */
};

struct fs_flag {
    const char *name; /* "--steps", or "-o" */
    enum fs_flag_kind kind;
    void *value;
    const char *argument; /* "N,N,…" for --help; NULL for a switch */
    const char *help;
};

/* A sub-command's use. */
struct fs_usage {
    const char *command;   /* "sample" */
    const char *arguments; /* "RUN|CHECKPOINT" */
    const char *summary, *example;
    const struct fs_flag *flags;
    int flag_count;
    int arguments_min, arguments_max;
};

/* Takes `--flag value` and `--flag=value`; what is no option goes to `arguments` [arguments_max]. *help: --help was
 * there, and was printed to stdout. Unknown or incomplete options are FS_USAGE. */
fs_status fs_options_parse(const struct fs_usage *usage, int argc, char **argv, const char **arguments, int *count,
                           bool *help, struct fs_error *error);

/* "1,4,128" into whole numbers; FS_USAGE naming `option`. */
fs_status fs_parse_numbers(const char *option, const char *text, int *numbers, int max, int *count,
                           struct fs_error *error);

/* "ema" or "raw" of --weights. */
fs_status fs_parse_weights(const char *text, enum fs_weights_kind *kind, struct fs_error *error);

/* "method", "heun" or "midpoint" of --sampler. */
fs_status fs_parse_solver(const char *text, enum fs_solver *solver, struct fs_error *error);

/* "0..255" to ends[0] < ends[1], and *range to `ends`; NULL: *range is NULL. FS_USAGE for anything else. */
fs_status fs_parse_range(const char *text, double ends[2], const double **range, struct fs_error *error);

/* "auto", "cpu" or "cuda" of --device. */
fs_status fs_parse_device(const char *text, enum fs_device_kind *kind, struct fs_error *error);

/* "fd,kid" of --metrics, each once; FS_USAGE names those there are. */
fs_status fs_parse_metrics(const char *text, const struct fs_metric *metrics[FS_METRICS_MAX], int *count,
                           struct fs_error *error);

#endif
