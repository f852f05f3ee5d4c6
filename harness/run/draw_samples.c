/* The picture of a run's samples. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness/data/sample_grid.h"
#include "harness/run/job.h"
#include "kernels/base/file.h"
#include "kernels/base/memory.h"

/* What is drawn: [rows, FS_SAMPLE_COLUMNS, dim], the data row last. */
struct drawing {
    const struct fs_decoder *decoder; /* of latents; else NULL */
    int64_t dim, latent_dim;
    float *rows, *latents;
};

static float *row_of(const struct drawing *drawing, int row)
{
    return drawing->rows + row * FS_SAMPLE_COLUMNS * drawing->dim;
}

static fs_status draw_steps(const struct fs_job *job, struct fs_generator *generator, const struct drawing *drawing,
                            struct fs_error *error)
{
    const struct fs_evaluate_config *evaluate = &job->config->evaluate;
    for (int i = 0; i < evaluate->step_count; i++) {
        float *row = row_of(drawing, i);
        FS_TRY(fs_generate(generator, (uint32_t)job->config->seed, 0, FS_SAMPLE_COLUMNS, evaluate->steps[i],
                           fs_config_guidance(job->config, evaluate->steps[i]),
                           drawing->decoder ? drawing->latents : row, error));
        if (drawing->decoder) {
            FS_TRY(fs_decode(drawing->decoder, drawing->latents, FS_SAMPLE_COLUMNS, row, error));
        }
    }
    return FS_OK;
}

/* Pictures of the training split, of the samples' labels. */
static fs_status draw_data(const struct fs_job *job, const struct drawing *drawing, struct fs_error *error)
{
    const struct fs_dataset *data = &job->pipeline->train;
    float *row = row_of(drawing, job->config->evaluate.step_count);
    int32_t labels[FS_SAMPLE_COLUMNS];
    int64_t indices[FS_SAMPLE_COLUMNS];
    for (int i = 0; i < FS_SAMPLE_COLUMNS; i++) {
        labels[i] = fs_evaluation_label(job->config, (uint32_t)job->config->seed, i);
    }
    fs_data_examples(data, job->config, labels, FS_SAMPLE_COLUMNS, indices);
    for (int i = 0; i < FS_SAMPLE_COLUMNS; i++) {
        FS_TRY(fs_dataset_read(data, indices[i],
                               drawing->decoder ? drawing->latents + i * drawing->latent_dim : row + i * drawing->dim,
                               error));
    }
    return drawing->decoder ? fs_decode(drawing->decoder, drawing->latents, FS_SAMPLE_COLUMNS, row, error) : FS_OK;
}

static fs_status write_sheet(const struct fs_job *job, const struct drawing *drawing, const char *path,
                             struct fs_error *error)
{
    const struct fs_config *config = job->config;
    const struct fs_data_shape *shape = &job->pipeline->picture;
    char title[256];
    snprintf(title, sizeof title, "%s · %s · seed %" PRId64, config->method->label, job->pipeline->experiment_name,
             config->seed);
    const struct fs_sample_sheet sheet = {.title = title,
                                          .note = config->model.classes > 0
                                                      ? "one noise and one label a column; last row: pictures of the "
                                                        "data with these labels"
                                                      : "one noise a column; last row: pictures of the data",
                                          .steps = config->evaluate.steps,
                                          .rows = config->evaluate.step_count,
                                          .samples = drawing->rows,
                                          .data = row_of(drawing, config->evaluate.step_count),
                                          .height = shape->height,
                                          .width = shape->width,
                                          .channels = shape->channels};
    return fs_sample_grid_write(path, &sheet, error);
}

static fs_status draw(const struct fs_job *job, struct fs_generator *generator, const char *path,
                      struct fs_error *error)
{
    struct drawing drawing = {.decoder = job->pipeline->decoder.autoencoder ? &job->pipeline->decoder : NULL,
                              .dim = fs_shape_dim(&job->pipeline->picture),
                              .latent_dim = generator->sampler.dim};
    const int64_t rows = job->config->evaluate.step_count + 1;
    drawing.rows = fs_allocate((size_t)(rows * FS_SAMPLE_COLUMNS * drawing.dim), sizeof(float), "a grid", error);
    drawing.latents = fs_allocate((size_t)(FS_SAMPLE_COLUMNS * drawing.latent_dim), sizeof(float), "a grid", error);
    fs_status status = drawing.rows && drawing.latents ? FS_OK : error->status;
    status = status == FS_OK ? draw_steps(job, generator, &drawing, error) : status;
    status = status == FS_OK ? draw_data(job, &drawing, error) : status;
    status = status == FS_OK ? write_sheet(job, &drawing, path, error) : status;
    free(drawing.latents);
    free(drawing.rows);
    return status;
}

fs_status fs_job_draw_samples(const struct fs_job *job, struct fs_generator *generator, struct fs_error *error)
{
    const struct fs_pipeline *pipeline = job->pipeline;
    if (!pipeline->experiment_name) {
        return FS_OK;
    }
    char folder[FS_PATH_ROOM], path[FS_PATH_ROOM];
    FS_TRY(fs_path(folder, error, "%s/samples/%s", pipeline->session->out, pipeline->experiment_name));
    const struct fs_evaluate_config *evaluate = &job->config->evaluate;
    char sampler[32] = "", shift[32] = ""; /* of a training that is drawn by several, each has its picture */
    if (evaluate->sampler != FS_SOLVER_METHOD) {
        snprintf(sampler, sizeof sampler, "-%s", fs_solver_name(evaluate->sampler));
    }
    if (evaluate->time_shift != 1) {
        snprintf(shift, sizeof shift, "-shift%g", evaluate->time_shift);
    }
    FS_TRY(fs_path(path, error, "%s/%s-%.8s-seed%" PRId64 "%s%s.png", folder, job->config->method->name, job->id,
                   job->config->seed, sampler, shift));
    if (access(path, R_OK) == 0) {
        return FS_OK;
    }
    FS_TRY(fs_make_folder(folder, error));
    return draw(job, generator, path, error);
}
