/* The page: one HTML file that needs no network, made from the database. */
#include "harness/report/page.h"

#include <stdlib.h>
#include <string.h>

#include "harness/report/html.h"
#include "harness/report/page_assets.h"
#include "harness/report/page_model.h"
#include "harness/report/rows_json.h"
#include "kernels/base/memory.h"

static const char counts[] = "SELECT (SELECT count(*) FROM runs) AS runs, (SELECT count(*) FROM scores) AS scores, "
                             "(SELECT strftime('%Y-%m-%d %H:%M', max(created), 'unixepoch') FROM scores) AS written";

static fs_status print_lede(struct fs_page *page, struct fs_error *error)
{
    json_t *rows;
    char written[64];

    FS_TRY(fs_rows_json(page->store, &rows, error, counts, "", NULL));
    const json_t *row = json_array_get(rows, 0);
    fs_json_text(json_object_get(row, "written"), written, sizeof(written));
    fs_html(page->out,
            "<p class=lede>%d experiment%s, %ld runs and %ld scores in <code>%s</code>; the last score is of %s UTC. "
            "Every number is a link: it shows the run, the commit and the command behind it.</p>\n",
            page->experiment_count, page->experiment_count == 1 ? "" : "s",
            (long)json_integer_value(json_object_get(row, "runs")),
            (long)json_integer_value(json_object_get(row, "scores")), page->options->database, written);
    json_decref(rows);
    return FS_OK;
}

static fs_status print_head(struct fs_page *page, struct fs_error *error)
{
    FILE *out = page->out;

    /* The policy forbids what the page does not need: anything from elsewhere. */
    fs_html(out, "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n"
                 "<meta name=viewport content=\"width=device-width, initial-scale=1\">\n"
                 "<meta name=color-scheme content=\"light dark\">\n"
                 "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; img-src data:; "
                 "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n<title>fewstep:");
    for (int i = 0; i < page->experiment_count; i++) {
        fs_html(out, "%s %s", i ? "," : "", page->experiments[i].results.experiment.name);
    }
    fs_html(out, "</title>\n<style>\n");
    fputs(fs_page_css, out);
    fs_html(out, "</style>\n</head>\n<body>\n<a class=skip href=\"#main\">to the results</a>\n"
                 "<header><h1>Few-step generative models, compared</h1>\n");
    FS_TRY(print_lede(page, error));
    const struct fs_results *first = page->experiment_count ? &page->experiments[0].results : NULL;
    if (first && first->section_count > 0) {
        FS_TRY(fs_page_findings(page, fs_page_section(&page->experiments[0], 0), first->experiment.name, error));
    }
    fs_html(out, "<nav aria-label=contents><ul>");
    for (int i = 0; i < page->experiment_count; i++) {
        fs_html(out, "<li><a href=\"#experiment-%d\">%s</a>", i + 1, page->experiments[i].results.experiment.name);
    }
    fs_html(out, "<li><a href=\"#provenance\">Where the numbers come from</a></ul></nav></header>\n<main id=main>\n");
    return FS_OK;
}

static fs_status print_section(struct fs_page *page, const struct fs_page_experiment *experiment,
                               const struct fs_result_section *section, struct fs_error *error)
{
    fs_page_table(page, section);
    FS_TRY(fs_page_steps_chart(page, section, error));
    FS_TRY(fs_page_spectra_charts(page, section, error));
    return fs_page_ablation_charts(page, experiment, section, error);
}

static fs_status print_experiment(struct fs_page *page, int place, struct fs_error *error)
{
    const struct fs_page_experiment *experiment = &page->experiments[place];
    const struct fs_results *results = &experiment->results;
    const char *name = results->experiment.name;
    char title[FS_PAGE_WHAT];

    fs_html(page->out, "<section id=\"experiment-%d\"><h2>%s</h2>\n", place + 1, name);
    if (results->section_count == 0) {
        FS_TRY(fs_page_missing(
            page, fs_format(error, "%s: no run of it has a score yet: `fewstep run` with its file makes them.", name),
            error));
        fs_html(page->out, "</section>\n");
        return FS_OK;
    }
    FS_TRY(fs_page_hypotheses(page, results, error));
    if (place > 0) { /* those of the first stand at the head of the page */
        FS_TRY(fs_page_findings(page, fs_page_section(experiment, 0), NULL, error));
    }
    FS_TRY(print_section(page, experiment, fs_page_section(experiment, 0), error));
    if (results->older > 0) {
        fs_html(page->out, "<p class=note>%d older run%s left out here; the charts against commits have them.</p>\n",
                results->older, results->older == 1 ? " of another source is" : "s of other sources are");
    }
    FS_TRY(fs_page_samples(page, experiment, error));
    FS_TRY(fs_page_updates_chart(page, experiment, error));
    FS_TRY(fs_page_commits_chart(page, experiment, error));
    for (int i = 1; i < results->section_count; i++) {
        const struct fs_result_section *section = fs_page_section(experiment, i);
        fs_html(page->out, "<details class=more><summary>%s</summary>\n", fs_page_title(section, title));
        FS_TRY(print_section(page, experiment, section, error));
        fs_html(page->out, "</details>\n");
    }
    fs_html(page->out, "</section>\n");
    return FS_OK;
}

static fs_status print_page(struct fs_page *page, struct fs_error *error)
{
    FS_TRY(print_head(page, error));
    for (int i = 0; i < page->experiment_count; i++) {
        FS_TRY(print_experiment(page, i, error));
    }
    if (page->of_one_source) {
        FS_TRY(fs_page_missing(page,
                               fs_format(error,
                                         "%s: all runs are of one source, so there are no charts against commits: "
                                         "`fewstep run` at another commit adds one.",
                                         page->of_one_source),
                               error));
    }
    FS_TRY(fs_page_provenance(page, error));
    fs_html(page->out, "</main>\n<p id=said aria-live=polite></p><aside id=panel hidden tabindex=-1 "
                       "aria-label=\"Where this number comes from\"></aside>\n<script>\n");
    fputs(fs_page_js, page->out);
    fs_html(page->out, "</script>\n</body>\n</html>\n");
    return FS_OK;
}

fs_status fs_page_print(struct fs_store *store, const struct fs_page_options *options, FILE *stream, char **notes,
                        struct fs_error *error)
{
    struct fs_page page = {.store = store, .options = options, .out = stream};

    fs_status status = fs_page_read(&page, error);
    if (status == FS_OK) {
        status = print_page(&page, error);
    }
    fs_page_free(&page);
    *notes = page.notes;
    return status;
}
