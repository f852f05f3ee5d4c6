/* What a table says in words. */
#include "harness/results/findings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"

const int64_t fs_findings_steps[FS_FINDINGS_STEPS] = {1, 4};

/* The one row of flow matching: among several there is none to compare with. */
static const struct fs_result_row *find_baseline(const struct fs_result_section *section)
{
    const struct fs_result_row *baseline = NULL;
    for (int i = 0; i < section->row_count; i++) {
        if (strcmp(section->rows[i].method, FS_TEACHER_METHOD) == 0) {
            if (baseline) {
                return NULL;
            }
            baseline = &section->rows[i];
        }
    }
    return baseline;
}

/* Of one training each: the logarithms' errors add in squares. */
static bool compare_by_samples(const struct fs_result_cell *base, const struct fs_result_cell *cell,
                               struct fs_finding *finding)
{
    const struct fs_result_score *a = &base->scores[0], *b = &cell->scores[0];
    if (!(a->value > 0 && a->low > 0 && b->value > 0 && b->low > 0)) { /* nor a NAN */
        return false;
    }
    const double effect = log(b->value / a->value);
    const double half = hypot(log(a->high / a->low), log(b->high / b->low)) / 2; /* 1.96·√(SE² + SE²) */
    finding->ratio = exp(effect);
    finding->low = exp(effect - half);
    finding->high = exp(effect + half);
    finding->relation = finding->high < 1  ? FS_RELATION_LOWER
                        : finding->low > 1 ? FS_RELATION_HIGHER
                                           : FS_RELATION_UNDECIDED;
    return isfinite(half);
}

/* Over common seeds, by the comparison that the section has of the two rows; false: there is none with an interval. */
static bool compare_by_seeds(const struct fs_result_section *section, int base, int row, int64_t steps,
                             struct fs_finding *finding, int *seeds)
{
    const struct fs_result_comparison *one = fs_result_comparison_of(section, base, row, steps);
    if (!one || one->seeds < 2 || !isfinite(one->outcome.low)) {
        return false;
    }
    /* The outcome is of log(other / row). */
    const bool forward = one->row == base;
    finding->ratio = exp(forward ? one->outcome.effect : -one->outcome.effect);
    finding->low = exp(forward ? one->outcome.low : -one->outcome.high);
    finding->high = exp(forward ? one->outcome.high : -one->outcome.low);
    finding->relation = one->relation;
    if (forward && one->relation != FS_RELATION_UNDECIDED) {
        finding->relation = one->relation == FS_RELATION_LOWER ? FS_RELATION_HIGHER : FS_RELATION_LOWER;
    }
    *seeds = one->seeds;
    return true;
}

static int by_ratio(const void *a, const void *b)
{
    const double x = ((const struct fs_finding *)a)->ratio, y = ((const struct fs_finding *)b)->ratio;
    return (x > y) - (x < y);
}

fs_status fs_findings_make(const struct fs_result_section *section, int64_t steps, struct fs_findings *findings,
                           struct fs_error *error)
{
    const struct fs_result_row *baseline = find_baseline(section);
    const struct fs_result_cell *base = baseline ? fs_result_cell_at(baseline, steps) : NULL;
    *findings = (struct fs_findings){.baseline = baseline, .steps = steps, .samples = section->measure.samples};
    if (!base || base->seeds < 1 || section->better != -1) {
        return FS_OK;
    }
    findings->value = base->mean;
    findings->list = fs_allocate((size_t)section->row_count, sizeof *findings->list, "findings", error);
    if (!findings->list) {
        return FS_FAILED;
    }
    for (int i = 0; i < section->row_count; i++) {
        const struct fs_result_row *row = &section->rows[i];
        const struct fs_result_cell *cell = row == baseline ? NULL : fs_result_cell_at(row, steps);
        struct fs_finding *next = &findings->list[findings->count];
        int seeds = 1;
        if (!cell || cell->seeds < 1) {
            continue;
        }
        *next = (struct fs_finding){.row = row, .value = cell->mean};
        if (compare_by_seeds(section, (int)(baseline - section->rows), i, steps, next, &seeds) ||
            compare_by_samples(base, cell, next)) {
            findings->seeds = findings->count == 0 || seeds < findings->seeds ? seeds : findings->seeds;
            findings->count++;
        }
    }
    qsort(findings->list, (size_t)findings->count, sizeof *findings->list, by_ratio);
    return FS_OK;
}

void fs_findings_free(struct fs_findings *findings)
{
    free(findings->list);
    *findings = (struct fs_findings){0};
}

double fs_mean_picture_score(const struct fs_result_section *section, int *labels)
{
    *labels = 0;
    for (int i = 0; i < section->exact_count; i++) {
        const struct fs_result_cell *cell = fs_result_cell_at(&section->exact[i], 1);
        if (cell) {
            const char *count = strrchr(section->exact[i].train_hash, ':'); /* "exact:NAME:SHA256:LABELS" */
            *labels = count ? atoi(count + 1) : 0;
            return cell->mean;
        }
    }
    return NAN;
}
