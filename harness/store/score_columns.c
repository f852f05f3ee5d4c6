/* What a score is: its columns in the order of the table. A new one needs a line here, a field in fs_score_row, a
 * migration, and its source in harness/run/rows.c. */
#include "harness/store/columns.h"

#define AT(field) offsetof(struct fs_score_row, field)

static const struct fs_column list[] = {
    {"run", FS_SQL_RUN, AT(run), FS_ROLE_RUN, "run", NULL},
    {"source", FS_SQL_TEXT, AT(source), FS_ROLE_WHAT, "source", NULL},
    {"at_update", FS_SQL_WHOLE, AT(update), FS_ROLE_WHAT, "update", NULL},
    {"weights", FS_SQL_TEXT, AT(weights), FS_ROLE_WHAT, "weights", NULL},
    {"steps", FS_SQL_WHOLE, AT(steps), FS_ROLE_WHAT, "steps", NULL},
    {"guidance_scale", FS_SQL_REAL, AT(guidance_scale), FS_ROLE_WHAT, "guidance_scale", NULL},
    {"labels", FS_SQL_TEXT, AT(labels), FS_ROLE_WHAT, "labels", NULL},
    {"noise_seed", FS_SQL_WHOLE, AT(noise_seed), FS_ROLE_SEED, "noise_seed", NULL},
    {"samples", FS_SQL_WHOLE, AT(samples), FS_ROLE_WHAT, "samples", NULL},
    {"quantize", FS_SQL_BOOL, AT(quantize), FS_ROLE_WHAT, "quantize", NULL},
    {"resize", FS_SQL_TEXT, AT(resize), FS_ROLE_WHAT, "resize", NULL},
    {"extractor", FS_SQL_TEXT, AT(extractor), FS_ROLE_WHAT, "extractor", NULL},
    {"extractor_sha256", FS_SQL_TEXT, AT(extractor_sha256), FS_ROLE_WHAT, "extractor_sha256", NULL},
    {"tap", FS_SQL_TEXT, AT(tap), FS_ROLE_WHAT, "tap", NULL},
    {"reference", FS_SQL_TEXT, AT(reference), FS_ROLE_WHAT, "reference", NULL},
    {"reference_sha256", FS_SQL_TEXT, AT(reference_sha256), FS_ROLE_WHAT, "reference_sha256", NULL},
    {"metric", FS_SQL_TEXT, AT(metric), FS_ROLE_WHAT, "metric", NULL},
    {"precision", FS_SQL_TEXT, AT(precision), FS_ROLE_WHAT, "precision", NULL},
    {"device", FS_SQL_TEXT, AT(device), FS_ROLE_MACHINE, "device", NULL},
    {"source_hash", FS_SQL_TEXT, AT(source_hash), FS_ROLE_BUILD, "source_hash", NULL},
    {"sampler", FS_SQL_TEXT, AT(sampler), FS_ROLE_WHAT, "sampler", FS_SCORE_SAMPLER},
    {"time_grid", FS_SQL_TEXT, AT(time_grid), FS_ROLE_WHAT, "time_grid", FS_SCORE_TIME_GRID},
    {"decoder_sha256", FS_SQL_TEXT, AT(decoder_sha256), FS_ROLE_WHAT, "decoder_sha256", ""},
    {"decoder_precision", FS_SQL_TEXT, AT(decoder_precision), FS_ROLE_WHAT, "decoder_precision", ""},
    {"value", FS_SQL_REAL, AT(value), FS_ROLE_RESULT, NULL, NULL},
    {"low", FS_SQL_REAL, AT(low), FS_ROLE_RESULT, NULL, NULL},
    {"high", FS_SQL_REAL, AT(high), FS_ROLE_RESULT, NULL, NULL},
    {"seconds", FS_SQL_REAL, AT(seconds), FS_ROLE_RESULT, NULL, NULL},
};

const struct fs_columns fs_score_columns = {"scores", "score_hash", list, sizeof list / sizeof *list};
