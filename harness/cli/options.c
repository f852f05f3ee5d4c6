/* Command-line options from a table. */
#include "harness/cli/options.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/cli/help.h"
#include "harness/text/nearest.h"

static const struct fs_flag *find_flag(const struct fs_usage *usage, const char *text, size_t length)
{
    for (int i = 0; i < usage->flag_count; i++) {
        const char *name = usage->flags[i].name;
        if (strlen(name) == length && strncmp(name, text, length) == 0) {
            return &usage->flags[i];
        }
    }
    return NULL;
}

static fs_status set_number(const struct fs_usage *usage, const struct fs_flag *flag, const char *text,
                            struct fs_error *error)
{
    char *end;
    errno = 0;
    if (flag->kind == FS_FLAG_WHOLE) {
        const long long value = strtoll(text, &end, 10);
        if (end == text || *end || errno || value < 0) {
            return fs_fail(error, FS_USAGE, "fewstep %s: %s: expected a whole number ≥ 0, got '%s'", usage->command,
                           flag->name, text);
        }
        *(int64_t *)flag->value = value;
        return FS_OK;
    }
    const double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value)) {
        return fs_fail(error, FS_USAGE, "fewstep %s: %s: expected a number, got '%s'", usage->command, flag->name,
                       text);
    }
    *(double *)flag->value = value;
    return FS_OK;
}

static fs_status set_flag(const struct fs_usage *usage, const struct fs_flag *flag, const char *text,
                          struct fs_error *error)
{
    if (flag->kind == FS_FLAG_TEXT) {
        *(const char **)flag->value = text;
        return FS_OK;
    }
    if (flag->kind != FS_FLAG_LIST) {
        return set_number(usage, flag, text, error);
    }
    struct fs_list *list = flag->value;
    if (list->count == FS_LIST_MAX) {
        return fs_fail(error, FS_USAGE, "fewstep %s: %s was given more than %d times", usage->command, flag->name,
                       FS_LIST_MAX);
    }
    list->items[list->count++] = text;
    return FS_OK;
}

static fs_status unknown_option(const struct fs_usage *usage, const char *text, size_t length, struct fs_error *error)
{
    char name[FS_WORD_MAX + 1];
    struct fs_nearest nearest = {.word = name};
    snprintf(name, sizeof name, "%.*s", (int)length, text);
    for (int i = 0; i < usage->flag_count; i++) {
        fs_nearest_try(&nearest, usage->flags[i].name);
    }
    if (nearest.name && length > 2) {
        return fs_fail(error, FS_USAGE, "fewstep %s: there is no option '%s'; did you mean %s?", usage->command, name,
                       nearest.name);
    }
    return fs_fail(error, FS_USAGE, "fewstep %s: there is no option '%s': see fewstep %s --help", usage->command, name,
                   usage->command);
}

/* One option at argv[*i], and its value, which may be the next word. */
static fs_status take_option(const struct fs_usage *usage, int argc, char **argv, int *i, struct fs_error *error)
{
    const char *text = argv[*i], *equals = strchr(text, '=');
    const size_t length = equals ? (size_t)(equals - text) : strlen(text);
    const struct fs_flag *flag = find_flag(usage, text, length);
    if (!flag) {
        return unknown_option(usage, text, length, error);
    }
    if (flag->kind == FS_FLAG_SWITCH) {
        if (equals) {
            return fs_fail(error, FS_USAGE, "fewstep %s: %s takes no value", usage->command, flag->name);
        }
        *(bool *)flag->value = true;
        return FS_OK;
    }
    if (!equals && *i + 1 >= argc) {
        return fs_fail(error, FS_USAGE, "fewstep %s: %s needs a value: %s", usage->command, flag->name, flag->argument);
    }
    return set_flag(usage, flag, equals ? equals + 1 : argv[++*i], error);
}

fs_status fs_options_parse(const struct fs_usage *usage, int argc, char **argv, const char **arguments, int *count,
                           bool *help, struct fs_error *error)
{
    enum fs_help kind;
    *count = 0;
    *help = false;
    for (int i = 0; i < argc; i++) {
        if (fs_help_asked(argv[i], &kind)) {
            fs_help_print(usage, kind);
            *help = true;
            return FS_OK;
        }
    }
    for (int i = 0; i < argc; i++) {
        if (argv[i][0] == '-' && argv[i][1]) {
            FS_TRY(take_option(usage, argc, argv, &i, error));
        } else if (*count == usage->arguments_max) {
            return fs_fail(error, FS_USAGE, "fewstep %s: one word too many: '%s': see fewstep %s --help",
                           usage->command, argv[i], usage->command);
        } else {
            arguments[(*count)++] = argv[i];
        }
    }
    if (*count < usage->arguments_min) {
        return fs_fail(error, FS_USAGE, "fewstep %s: needs %s: see fewstep %s --help", usage->command, usage->arguments,
                       usage->command);
    }
    return FS_OK;
}

fs_status fs_parse_numbers(const char *option, const char *text, int *numbers, int max, int *count,
                           struct fs_error *error)
{
    *count = 0;
    for (const char *at = text;;) {
        char *end;
        errno = 0;
        const long value = strtol(at, &end, 10);
        if (end == at || (*end && *end != ',') || errno || value < 1 || value > INT_MAX || *count == max) {
            return fs_fail(error, FS_USAGE, "%s: expected at most %d whole numbers ≥ 1 with commas between, got '%s'",
                           option, max, text);
        }
        numbers[(*count)++] = (int)value;
        if (!*end) {
            return FS_OK;
        }
        at = end + 1;
    }
}

fs_status fs_parse_weights(const char *text, enum fs_weights_kind *kind, struct fs_error *error)
{
    const bool ema = strcmp(text, "ema") == 0;
    if (!ema && strcmp(text, "raw") != 0) {
        return fs_fail(error, FS_USAGE, "--weights: expected ema or raw, got '%s'", text);
    }
    *kind = ema ? FS_WEIGHTS_EMA : FS_WEIGHTS_RAW;
    return FS_OK;
}

fs_status fs_parse_solver(const char *text, enum fs_solver *solver, struct fs_error *error)
{
    for (int i = FS_SOLVER_METHOD; i <= FS_SOLVER_MIDPOINT; i++) {
        if (strcmp(fs_solver_name(i), text) == 0) {
            *solver = i;
            return FS_OK;
        }
    }
    return fs_fail(error, FS_USAGE, "--sampler: expected method, heun or midpoint, got '%s'", text);
}

fs_status fs_parse_device(const char *text, enum fs_device_kind *kind, struct fs_error *error)
{
    static const char *const names[] = {[FS_DEVICE_AUTO] = "auto", [FS_DEVICE_CPU] = "cpu", [FS_DEVICE_CUDA] = "cuda"};
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++) {
        if (strcmp(names[i], text) == 0) {
            *kind = (enum fs_device_kind)i;
            return FS_OK;
        }
    }
    return fs_fail(error, FS_USAGE, "--device: expected auto, cpu or cuda, got '%s'", text);
}

fs_status fs_parse_range(const char *text, double ends[2], const double **range, struct fs_error *error)
{
    char *dots = NULL, *end = NULL;
    *range = NULL;
    if (!text) {
        return FS_OK;
    }
    ends[0] = strtod(text, &dots); /* "0." of "0..1" is a number too */
    dots -= dots > text && dots[-1] == '.' && *dots == '.';
    ends[1] = strncmp(dots, "..", 2) == 0 ? strtod(dots + 2, &end) : 0;
    if (dots == text || !end || end == dots + 2 || *end || !isfinite(ends[0]) || !isfinite(ends[1]) ||
        ends[0] >= ends[1]) {
        return fs_fail(error, FS_USAGE, "--range: expected two numbers such as 0..255, got '%s'", text);
    }
    *range = ends;
    return FS_OK;
}

static fs_status add_metric(const char *text, size_t length, const struct fs_metric *metrics[FS_METRICS_MAX],
                            int *count, struct fs_error *error)
{
    char names[256] = "", name[64];
    snprintf(name, sizeof name, "%.*s", (int)length, text);
    const struct fs_metric *metric = fs_metric_find(name);
    for (int i = 0; !metric && fs_metric_name(i); i++) {
        const size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", fs_metric_name(i));
    }
    if (!metric) {
        return fs_fail(error, FS_USAGE, "--metrics: unknown metric '%s': there are %s", name, names);
    }
    for (int i = 0; i < *count; i++) {
        if (metrics[i] == metric) {
            return FS_OK;
        }
    }
    metrics[(*count)++] = metric; /* FS_METRICS_MAX is more than there are */
    return FS_OK;
}

fs_status fs_parse_metrics(const char *text, const struct fs_metric *metrics[FS_METRICS_MAX], int *count,
                           struct fs_error *error)
{
    *count = 0;
    for (;;) {
        const size_t length = strcspn(text, ",");
        FS_TRY(add_metric(text, length, metrics, count, error));
        if (!text[length]) {
            return FS_OK;
        }
        text += length + 1;
    }
}
