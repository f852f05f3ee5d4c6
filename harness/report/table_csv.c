/* The table in long form, a line a cell: comma-separated values (RFC 4180). */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/text/number.h"
#include "harness/report/table_section.h"

#define ABLATED_TEXT 112

/* RFC 4180: quoted only where it must be. */
static void print_field(const char *text, FILE *stream)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, stream);
        return;
    }
    fputc('"', stream);
    for (; *text; text++) {
        fputs(*text == '"' ? "\"\"" : (char[]){*text, 0}, stream);
    }
    fputc('"', stream);
}

static void print_fields(FILE *stream, const char *const *fields, int count)
{
    for (int i = 0; i < count; i++) {
        fputs(i ? "," : "", stream);
        print_field(fields[i], stream);
    }
}

void fs_csv_heading(const struct fs_experiment_name *experiment, FILE *stream)
{
    fputs("experiment,dataset,model,method,steps,guidance_scale,extractor,metric,n_seeds,mean,std_error,samples,"
          "train_updates,train_flops,commit,source_hash,run_ids,teacher_updates,teacher_flops,wall_seconds,peak_bytes",
          stream);
    if (experiment->ablated[0]) { /* without it the rows of an ablation could not be told apart */
        fputc(',', stream);
        print_field(experiment->ablated, stream);
    }
    fputc('\n', stream);
}

static void print_number(double value, FILE *stream)
{
    char text[FS_NUMBER_TEXT] = "";

    if (isfinite(value)) {
        fs_shortest(value, text);
    }
    fprintf(stream, "%s,", text);
}

/* Where a cell comes from: builds and runs, each a set of words. */
struct provenance {
    char *commits, *sources, *runs;
};

static fs_status collect_provenance(struct fs_stretch cell, struct provenance *from, struct fs_error *error)
{
    for (int i = 0; i < cell.count; i++) {
        const char *run = cell.first[i].text[FS_TEXT_RUN];
        FS_TRY(fs_add_origins(&from->commits, &from->sources, cell.first[i].text[FS_TEXT_ORIGINS], error));
        FS_TRY(fs_add_word(&from->runs, run, strlen(run), error));
    }
    return FS_OK;
}

/* Mean wall time and largest resident set over the seeds; a teacher's are in them. */
static void print_cost(struct fs_stretch cell, bool floor, FILE *stream)
{
    const struct fs_cost_mean cost = fs_mean_cost(cell);
    char seconds[FS_NUMBER_TEXT], bytes[FS_NUMBER_TEXT], flops[FS_NUMBER_TEXT];

    fs_shortest(cost.seconds, seconds);
    fs_shortest(cost.peak_bytes, bytes);
    fs_shortest(cell.first->teacher_flops, flops);
    if (floor) {
        fputs(",,,,", stream);
    } else {
        fprintf(stream, ",%" PRId64 ",%s,%s,%s", cell.first->teacher_updates, flops, seconds, bytes);
    }
}

static void print_csv_row(const struct fs_section *section, struct fs_stretch cell, const struct provenance *from,
                          FILE *stream)
{
    const struct fs_table_score *of = cell.first, *named = section->all.first;
    const bool floor = of == section->floor; /* data has neither method nor steps nor training */
    const char *const names[] = {section->experiment->name, named->text[FS_TEXT_DATASET], named->text[FS_TEXT_MODEL],
                                 floor ? "data" : of->text[FS_TEXT_METHOD]};
    const char *const measure[] = {of->text[FS_TEXT_EXTRACTOR], of->text[FS_TEXT_METRIC]};
    const char *const origin[] = {from->commits ? from->commits : "", from->sources ? from->sources : "", from->runs};
    char ablated[ABLATED_TEXT] = FS_NO_VALUE;
    double mean, deviation;

    fs_mean_and_error(cell, &mean, &deviation);
    print_fields(stream, names, 4);
    fputc(',', stream);
    print_number(floor ? (double)NAN : (double)of->steps, stream);
    print_number(floor ? (double)NAN : of->guidance_scale, stream);
    print_fields(stream, measure, 2);
    fprintf(stream, ",%d,", cell.count);
    print_number(mean, stream);
    print_number(deviation, stream);
    print_number((double)of->samples, stream);
    print_number(floor ? (double)NAN : (double)of->updates, stream);
    print_number(floor ? (double)NAN : of->flops, stream);
    print_fields(stream, origin, 3);
    print_cost(cell, floor, stream);
    if (section->experiment->ablated[0]) {
        if (!floor) {
            fs_ablated_value(of, section->experiment->ablated, ablated, sizeof(ablated));
        }
        fputc(',', stream);
        print_field(strcmp(ablated, FS_NO_VALUE) == 0 ? "" : ablated, stream);
    }
    fputc('\n', stream);
}

static fs_status print_csv_cell(const struct fs_section *section, struct fs_stretch cell, FILE *stream,
                                struct fs_error *error)
{
    struct provenance from = {0};
    const fs_status status = collect_provenance(cell, &from, error);

    if (status == FS_OK) {
        print_csv_row(section, cell, &from, stream);
    }
    free(from.commits);
    free(from.sources);
    free(from.runs);
    return status;
}

fs_status fs_csv_section(const struct fs_section *section, FILE *stream, struct fs_error *error)
{
    struct fs_stretch cell;

    for (int at = 0; fs_next_stretch(section->all, &at, fs_same_cell, &cell);) {
        FS_TRY(print_csv_cell(section, cell, stream, error));
    }
    return section->floor ? print_csv_cell(section, (struct fs_stretch){section->floor, 1}, stream, error) : FS_OK;
}
