/* The main experiment by its other measures: a table each, and facts. */
#include <inttypes.h>
#include <string.h>

#include "harness/report/latex.h"
#include "harness/report/paper_parts.h"

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
        fs_section_title(part.first, title, sizeof(title));
        fputs("\\begin{fsother}{", stream);
        fs_latex(stream, title);
        fputs("}\n", stream);
        FS_TRY(fs_latex_scores(&section, stream, error));
        fputs("\\end{fsother}\n", stream);
    }
    return FS_OK;
}

/* "main/spectrum/shortcut/4": one for each cell. */
static void cell_fact(FILE *stream, struct fs_stretch cell)
{
    char key[256];
    double mean, error;

    fs_mean_and_error(cell, &mean, &error);
    snprintf(key, sizeof(key), "main/%s/%s/%" PRId64, cell.first->text[FS_TEXT_METRIC],
             cell.first->text[FS_TEXT_METHOD], cell.first->steps);
    fs_paper_number_fact(stream, key, mean);
}

fs_status fs_paper_other_facts(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    const struct fs_study *main = &paper->main;
    const struct fs_stretch all = {main->scores.runs, main->scores.run_count};
    struct fs_stretch part, cell;
    bool spectrum = false;

    (void)error;
    for (int at = 0; fs_next_stretch(all, &at, fs_same_section, &part);) {
        if (part.first == main->section.all.first) {
            continue;
        }
        spectrum = spectrum || strcmp(part.first->text[FS_TEXT_METRIC], "spectrum") == 0;
        for (int in = 0; fs_next_stretch(part, &in, fs_same_cell, &cell);) {
            cell_fact(stream, cell);
        }
    }
    fprintf(stream, "\\fsspectrum%s\n", spectrum ? "true" : "false");
    return FS_OK;
}
