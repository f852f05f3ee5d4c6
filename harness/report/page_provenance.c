/* Where the numbers of the page come from: what was measured, each number's scores, and each run with the command that
 * makes it again. The page's script shows these entries beside a number; without it, links lead to them. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/html.h"
#include "harness/text/number.h"
#include "harness/report/page_model.h"
#include "harness/report/rows_json.h"
#include "harness/report/show.h"
#include "kernels/base/memory.h"
#include "methods/method.h"

/* A term and its value; nothing for a value that is not there. */
static void print_term(FILE *out, const char *term, const json_t *value)
{
    char text[1024];

    if (value && !json_is_null(value)) {
        fs_json_text(value, text, sizeof(text));
        fs_html(out, "<dt>%s<dd>%s\n", term, text);
    }
}

/* --- what was measured --- */

static const char measure_terms[] =
    "SELECT metric, extractor AS features, extractor_sha256 AS \"features’ SHA-256\", tap, reference AS \"compared "
    "with\", reference_sha256 AS \"its SHA-256\", samples, labels, iif(noise_seed = (SELECT seed FROM runs WHERE "
    "runs.number = run), 'the run’s own', noise_seed) AS \"noise bank’s seed\", weights, guidance_scale AS guidance, "
    "sampler, time_grid AS \"time grid\", "
    "iif(quantize, 'yes', 'no') AS \"rounded to 8 bits\", resize, precision, device FROM scores "
    "WHERE number = CAST(?1 AS INTEGER)";

static fs_status print_measure(struct fs_page *page, const struct fs_result_section *section, struct fs_error *error)
{
    char number[24], title[FS_PAGE_WHAT];
    const char *term;
    const json_t *value;
    json_t *rows;

    snprintf(number, sizeof(number), "%" PRId64, section->rows->cells->scores->number);
    FS_TRY(fs_rows_json(page->store, &rows, error, measure_terms, "t", number));
    fs_html(page->out, "<article id=\"m%d\"><h4>%s</h4><dl>", fs_page_measure(page, section),
            fs_page_title(section, title));
    json_object_foreach(json_array_get(rows, 0), term, value)
    {
        print_term(page->out, term, value);
    }
    fs_html(page->out, "</dl></article>\n");
    json_decref(rows);
    return FS_OK;
}

/* --- numbers --- */

/* The last of "commit:source commit:source": the build that scored came last. */
static void print_commits(const struct fs_result_score *score, FILE *out)
{
    for (const char *word = score->origins; *word;) {
        const int commit = (int)strcspn(word, ":"), dirty = commit > 6 && strncmp(word + commit - 6, "-dirty", 6) == 0;
        fs_html(out, "%s<code>%.*s%s</code>", word == score->origins ? ", commit " : " ", commit < 12 ? commit : 12,
                word, dirty && commit > 12 ? "-dirty" : "");
        word += strcspn(word, " ");
        word += strspn(word, " ");
    }
}

static bool has_item(const json_t *list, const char *text, int64_t number)
{
    size_t i;
    const json_t *item;

    json_array_foreach((json_t *)list, i, item)
    {
        if (text ? json_is_string(item) && strcmp(json_string_value(item), text) == 0
                 : json_integer_value(item) == number) {
            return true;
        }
    }
    return false;
}

/* Whether the run's own configuration asks for this score: else `fewstep eval` made it afterwards. */
static bool is_asked_for(const struct fs_page_number *number, const struct fs_result_score *score)
{
    json_t *config = json_loads(score->config, 0, NULL);
    const json_t *evaluate = json_object_get(config, "evaluate");
    const bool asked = has_item(json_object_get(evaluate, "metrics"), number->section->measure.metric, 0) &&
                       has_item(json_object_get(evaluate, "steps"), NULL, number->cell->steps) &&
                       json_integer_value(json_object_get(evaluate, "samples")) == score->samples;

    json_decref(config);
    return asked;
}

/* The command for a score that its run's own does not make, by the build that scored. */
static void print_scoring(const struct fs_page_number *number, const struct fs_result_score *score, FILE *out)
{
    const char *last = strrchr(score->origins, ' ');
    const char *build = last ? last + 1 : score->origins;
    const int commit = (int)strcspn(build, ":");

    fs_html(out,
            "<br>Scored afterwards: <code class=command tabindex=0>git checkout %.*s &amp;&amp; make &amp;&amp; "
            "build/fewstep eval %.8s --metrics %s --steps %ld --samples %ld</code>",
            commit < 12 ? commit : 12, build, score->run, number->section->measure.metric, (long)number->cell->steps,
            (long)score->samples);
}

static void print_score(const struct fs_page_number *number, const struct fs_result_score *score, FILE *out)
{
    char value[FS_NUMBER_TEXT], low[FS_NUMBER_TEXT], high[FS_NUMBER_TEXT];
    const char *run = score->run;

    fs_shortest(score->value, value);
    if (*run) {
        fs_html(out, "<li>seed %ld: <b>%s</b>", (long)score->seed, value);
    } else {
        fs_html(out, "<li><b>%s</b> of %s", value, score->of_data);
    }
    if (isfinite(score->low) && isfinite(score->high)) {
        fs_three_digits(score->low, low);
        fs_three_digits(score->high, high);
        fs_html(out, " (%s to %s)", low, high);
    }
    if (*run) {
        fs_html(out, ", run <a href=\"#run-%.8s\">%.8s</a>, update %ld", run, run, (long)score->at_update);
    }
    print_commits(score, out);
    if (*run && !is_asked_for(number, score)) {
        print_scoring(number, score, out);
    }
}

static void print_entry(const struct fs_page *page, int place, FILE *out)
{
    const struct fs_page_number *number = &page->numbers[place];
    const int measure = fs_page_measure(page, number->section);
    char value[FS_PAGE_VALUE];

    fs_page_value(number->cell, value);
    fs_html(out, "<tr id=\"n%d\"><th scope=row>%s<td>%s<td><a href=\"#m%d\">m%d</a><td><ul>", place + 1, number->what,
            value, measure, measure);
    for (int i = 0; i < number->cell->seeds; i++) {
        print_score(number, &number->cell->scores[i], out);
    }
    fs_html(out, "</ul>\n");
}

/* --- runs --- */

/* A list of runs without repetition. */
struct queue {
    json_t *ids, *known; /* an array, and an object with the same as keys */
};

static fs_status enqueue(struct queue *runs, const char *id, struct fs_error *error)
{
    if (!*id || json_object_get(runs->known, id)) {
        return FS_OK;
    }
    return json_array_append_new(runs->ids, json_string(id)) || json_object_set_new(runs->known, id, json_true())
               ? fs_fail(error, FS_FAILED, "no memory for a list of runs")
               : FS_OK;
}

/* Seconds and bytes as people read them. */
static void print_cost(FILE *out, const json_t *run)
{
    char text[FS_NUMBER_TEXT];

    fs_three_digits(json_number_value(json_object_get(run, "flops")) * 1e-12, text);
    fs_html(out, "<dt>work<dd>%ld updates, %s TFLOP, teacher included\n",
            (long)json_integer_value(json_object_get(run, "updates")), text);
    fs_duration((int64_t)json_number_value(json_object_get(run, "seconds")), text);
    fs_html(out, "<dt>wall time<dd>%s\n", text);
    fs_byte_size((int64_t)json_number_value(json_object_get(run, "peak_bytes")), text);
    fs_html(out, "<dt>peak memory<dd>%s\n", text);
}

static void print_environment(FILE *out, const json_t *environment)
{
    static const char *const keys[] = {"compiler", "libraries", "cpu", "isa", "device", "threads"};
    char text[512];

    fs_json_text(json_object_get(environment, "commit"), text, sizeof(text));
    fs_html(out, "<dt>commit<dd><code>%s</code>\n", text);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        print_term(out, keys[i], json_object_get(environment, keys[i]));
    }
}

static fs_status print_configuration(FILE *out, const json_t *configuration, struct fs_error *error)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);

    if (!memory) {
        return fs_fail(error, FS_FAILED, "no memory for a configuration");
    }
    fs_json_print(configuration, 0, memory);
    fclose(memory);
    fs_html(out, "<h5>Its whole configuration</h5><pre>%s</pre></details>", text);
    free(text);
    return FS_OK;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* The name itself where this build does not know it. */
static const char *method_label(const char *name)
{
    const struct fs_method *method = fs_method_find(name);

    return method ? method->label : name;
}

static fs_status print_run(FILE *out, const json_t *all, struct fs_error *error)
{
    const json_t *run = json_object_get(all, "run"), *item;
    const char *command = text_of(all, "command"), *id = text_of(run, "id"), *teacher = text_of(run, "teacher");
    size_t i;

    fs_html(out, "<article id=\"run-%.8s\"><h4>run %.8s: %s, seed %ld</h4>\n", id, id,
            method_label(text_of(run, "method")), (long)json_integer_value(json_object_get(run, "seed")));
    if (*command) {
        fs_html(out, "<p>To make it again:<br><code class=command tabindex=0>%s</code>\n", command);
    }
    fs_html(out, "<details><summary>everything about it</summary><dl><dt>id<dd><code>%s</code>\n", id);
    if (*teacher) {
        fs_html(out, "<dt>teacher<dd>run <a href=\"#run-%.8s\">%.8s</a>\n", teacher, teacher);
    }
    print_term(out, "model", json_object_get(run, "model"));
    print_term(out, "data", json_object_get(run, "dataset"));
    print_term(out, "data’s SHA-256", json_object_get(run, "data_sha256"));
    print_cost(out, run);
    json_array_foreach(json_object_get(all, "checkpoints"), i, item)
    {
        fs_html(out, "<dt>weights<dd>update %ld, %s, SHA-256 %s\n",
                (long)json_integer_value(json_object_get(item, "update")), text_of(item, "path"),
                text_of(item, "sha256"));
    }
    json_array_foreach(json_object_get(all, "environments"), i, item)
    {
        print_environment(out, item);
    }
    print_term(out, "source’s hash", json_object_get(run, "source_hash"));
    print_term(out, "begun", json_object_get(run, "created"));
    fs_html(out, "</dl>");
    FS_TRY(print_configuration(out, json_object_get(all, "configuration"), error));
    fs_html(out, "</article>\n");
    return FS_OK;
}

/* A run and what is known of it; of one that cannot be read the reason stands in its place. */
static fs_status print_queued(struct fs_page *page, const char *id, struct queue *runs, struct fs_error *error)
{
    struct fs_error reason;
    json_t *all;

    if (fs_run_json(page->store, id, &all, &reason) != FS_OK) {
        fs_html(page->out, "<article id=\"run-%.8s\"><h4>run %.8s</h4>\n", id, id);
        FS_TRY(fs_page_missing(page, fs_copy_text(reason.text, error), error));
        fs_html(page->out, "</article>\n");
        return FS_OK;
    }
    fs_status status = print_run(page->out, all, error);
    status = status == FS_OK ? enqueue(runs, text_of(json_object_get(all, "run"), "teacher"), error) : status;
    json_decref(all);
    return status;
}

/* The runs behind the numbers, in this order, then their teachers. */
static fs_status print_runs(struct fs_page *page, struct queue *runs, struct fs_error *error)
{
    for (int i = 0; i < page->number_count; i++) {
        for (int k = 0; k < page->numbers[i].cell->seeds; k++) {
            FS_TRY(enqueue(runs, page->numbers[i].cell->scores[k].run, error));
        }
    }
    for (size_t i = 0; i < json_array_size(runs->ids); i++) { /* printing one may add its teacher */
        FS_TRY(print_queued(page, json_string_value(json_array_get(runs->ids, i)), runs, error));
    }
    return FS_OK;
}

fs_status fs_page_provenance(struct fs_page *page, struct fs_error *error)
{
    FILE *out = page->out;
    struct queue runs = {json_array(), json_object()};
    fs_status status = FS_OK;

    fs_html(out, "<section id=provenance><h2>Where the numbers come from</h2>\n<details class=part><summary>"
                 "Numbers: each with its seeds, runs and commits</summary><div class=scroll "
                 "tabindex=0 role=region aria-label=\"All numbers\"><table class=entries><thead><tr><th scope=col>"
                 "number<th scope=col>value<th scope=col>measure<th scope=col>scores<tbody>\n");
    for (int i = 0; i < page->number_count; i++) {
        print_entry(page, i, out);
    }
    fs_html(out, "</table></div></details>\n<details class=part><summary>Measures: what was compared with what"
                 "</summary>\n");
    for (int i = 0; i < page->experiment_count && status == FS_OK; i++) {
        for (int k = 0; k < page->experiments[i].results.section_count && status == FS_OK; k++) {
            status = print_measure(page, fs_page_section(&page->experiments[i], k), error);
        }
    }
    fs_html(out, "</details>\n<details class=part><summary>Runs: the command that makes each again, its machine and "
                 "configuration</summary>\n");
    status = status == FS_OK ? print_runs(page, &runs, error) : status;
    fs_html(out, "</details></section>\n");
    json_decref(runs.ids);
    json_decref(runs.known);
    return status;
}
