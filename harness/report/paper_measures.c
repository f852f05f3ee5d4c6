/* The main experiment by its other measures: a table each, and facts. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/latex.h"
#include "harness/report/paper_parts.h"

#define HIGH_FREQUENCY 0.25 /* cycles a pixel: the upper half of the axis of the spectra */

/* The command that made the scores of a section, for a run, and the builds. */
static fs_status print_command(const struct fs_section *section, FILE *stream, struct fs_error *error)
{
    const struct fs_table_score *of = section->all.first;
    char *origins = fs_section_origins(section, error);

    if (!origins) {
        return FS_FAILED;
    }
    fputs("\\fsmade{", stream);
    fputs("build/fewstep eval RUN {-}{-}metrics ", stream);
    fs_latex(stream, of->text[FS_TEXT_METRIC]);
    fputs(" {-}{-}steps ", stream);
    for (int i = 0; i < section->step_count; i++) {
        fprintf(stream, "%s%" PRId64, i ? "," : "", section->steps[i]);
    }
    fprintf(stream, " {-}{-}samples %" PRId64 "}{", of->samples);
    fs_latex(stream, origins);
    fputs("}\n", stream);
    free(origins);
    return FS_OK;
}

fs_status fs_paper_others(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    const struct fs_study *main = &paper->main;
    const struct fs_stretch all = {main->scores.runs, main->scores.run_count};
    struct fs_stretch part;
    char title[512];

    for (int at = 0; fs_next_stretch(all, &at, fs_same_section, &part);) {
        if (part.first == main->section.all.first) {
            continue;
        }
        const struct fs_section section = fs_section_make(&main->scores, &main->name, part);
        const int seeds = fs_stretch_seeds(part);
        fs_section_title(part.first, title, sizeof(title));
        fputs("\\begin{fsother}{", stream);
        fs_latex(stream, title);
        fprintf(stream, ", %d seed%s}\n", seeds, seeds == 1 ? "" : "s");
        FS_TRY(fs_latex_scores(&section, stream, error));
        fputs("\\end{fsother}\n", stream);
        FS_TRY(print_command(&section, stream, error));
    }
    return FS_OK;
}

static const char *key_of(const struct fs_table_score *of, const char *what, char key[256])
{
    snprintf(key, 256, "main/%s/%s/%" PRId64, what, of->text[FS_TEXT_METHOD], of->steps);
    return key;
}

/* "main/spectrum/shortcut/4": one for each cell. */
static void cell_fact(FILE *stream, struct fs_stretch cell)
{
    double mean, error;
    char key[256];

    fs_mean_and_error(cell, &mean, &error);
    fprintf(stream, "\\fsset{%s}{", key_of(cell.first, cell.first->text[FS_TEXT_METRIC], key));
    fs_latex_value(stream, mean, error, 0, "");
    fputs("}\n", stream);
}

/* "main/power/shortcut/4": power at high frequencies over that of the data, geometric mean over frequencies and seeds.
 * The spectral distance has no sign; this says whether detail is missing (below 1) or noise is there (above 1). */
static fs_status power_fact(const struct fs_paper *paper, FILE *stream, struct fs_stretch cell, struct fs_error *error)
{
    double logs = 0;
    int points = 0;
    char key[256];

    for (int i = 0; i < cell.count; i++) {
        struct fs_spectrum_point *curve;
        int count;
        FS_TRY(fs_store_spectrum(paper->store, cell.first[i].number, &curve, &count, error));
        for (int k = 0; k < count; k++) {
            if (curve[k].frequency >= HIGH_FREQUENCY) {
                logs += log(curve[k].power / curve[k].reference_power);
                points++;
            }
        }
        free(curve);
    }
    if (points > 0 && isfinite(logs)) {
        fs_paper_number_fact(stream, key_of(cell.first, "power", key), exp(logs / points));
    }
    return FS_OK;
}

static fs_status section_facts(const struct fs_paper *paper, FILE *stream, struct fs_stretch part,
                               struct fs_error *error)
{
    const bool spectrum = strcmp(part.first->text[FS_TEXT_METRIC], "spectrum") == 0;
    const int seeds = fs_stretch_seeds(part);
    struct fs_stretch cell;

    for (int at = 0; fs_next_stretch(part, &at, fs_same_cell, &cell);) {
        cell_fact(stream, cell);
        if (spectrum) {
            FS_TRY(power_fact(paper, stream, cell, error));
        }
    }
    fprintf(stream, "\\fsset{main/%s/samples}{%" PRId64 "}\n\\fsset{main/%s/seeds-words}{%d seed%s}\n",
            part.first->text[FS_TEXT_METRIC], part.first->samples, part.first->text[FS_TEXT_METRIC], seeds,
            seeds == 1 ? "" : "s");
    return FS_OK;
}

fs_status fs_paper_other_facts(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    const struct fs_study *main = &paper->main;
    const struct fs_stretch all = {main->scores.runs, main->scores.run_count};
    struct fs_stretch part;
    bool spectrum = false;

    for (int at = 0; fs_next_stretch(all, &at, fs_same_section, &part);) {
        const bool is_spectrum = strcmp(part.first->text[FS_TEXT_METRIC], "spectrum") == 0;
        if (part.first != main->section.all.first && !(is_spectrum && spectrum)) { /* the first of several */
            FS_TRY(section_facts(paper, stream, part, error));
            spectrum = spectrum || is_spectrum;
        }
    }
    fprintf(stream, "\\fsspectrum%s\n", spectrum ? "true" : "false");
    return FS_OK;
}
