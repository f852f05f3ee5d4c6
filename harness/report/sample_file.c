/* Which file of samples belongs to a row of a table. */
#include "harness/report/sample_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness/text/escape.h"
#include "harness/text/json.h"

void fs_sample_file_find(const char *samples, const char *experiment, const struct fs_result_row *row,
                         struct fs_sample_file *file)
{
    *file = (struct fs_sample_file){.of = NULL};
    for (int c = 0; c < row->cell_count && fs_is_file_name(experiment) && fs_is_file_name(row->method); c++) {
        for (int i = 0; i < row->cells[c].seeds; i++) {
            const struct fs_result_score *score = &row->cells[c].scores[i];
            struct fs_error ignored; /* what has no room was never drawn */
            if (fs_path(file->path, &ignored, "%s/%s/%s-%.8s-seed%" PRId64 ".png", samples, experiment, row->method,
                        score->run, score->seed) == FS_OK &&
                access(file->path, R_OK) == 0) {
                file->of = score;
                return;
            }
        }
    }
}

/* Of a file that does not tell its steps: those that the run's configuration asks for, in its order. Scores that were
 * made afterwards have no samples in it. A configuration that does not say so leaves those that were scored. */
static bool find_steps(const struct fs_result_row *row, const struct fs_result_score *of, struct fs_sample_grid *grid)
{
    json_t *config = json_loads(of->config, 0, NULL);
    const json_t *steps = fs_json_at(config, "evaluate.steps");
    const bool asked = (int)json_array_size(steps) == grid->rows, known = asked || row->cell_count == grid->rows;

    grid->step_count = known && grid->rows <= FS_SAMPLE_STEPS_MAX ? grid->rows : 0;
    for (int i = 0; i < grid->step_count; i++) {
        grid->steps[i] = asked ? json_integer_value(json_array_get(steps, (size_t)i)) : row->cells[i].steps;
    }
    json_decref(config);
    return grid->step_count > 0;
}

fs_status fs_sample_file_read(const struct fs_result_row *row, const struct fs_sample_file *file,
                              struct fs_sample_grid *grid, struct fs_error *error)
{
    FS_TRY(fs_sample_grid_read(file->path, FS_SAMPLE_COLUMNS, grid, error));
    if (grid->step_count > 0 || find_steps(row, file->of, grid)) {
        return FS_OK;
    }
    free(grid->picture.pixels);
    return fs_fail(error, FS_USAGE,
                   "%s: its %d rows are not the numbers of steps that its run's configuration asks for; remove it, and "
                   "`fewstep run` draws it again",
                   file->path, grid->rows);
}

int fs_sample_grid_row(const struct fs_sample_grid *grid, int64_t steps)
{
    for (int i = 0; i < grid->step_count; i++) {
        if (grid->steps[i] == steps) {
            return i;
        }
    }
    return -1;
}
