/* What a run is: its columns in the order of the table. */
#include "harness/store/columns.h"

#define AT(field) offsetof(struct fs_run_row, field)

static const struct fs_column list[] = {
    {"method", FS_SQL_TEXT, AT(method), FS_ROLE_WHAT, NULL, NULL},
    {"dataset", FS_SQL_TEXT, AT(dataset), FS_ROLE_WHAT, NULL, NULL},
    {"model", FS_SQL_TEXT, AT(model), FS_ROLE_WHAT, NULL, NULL},
    /* It asks for scores as well, which the same training may have had other ones of. */
    {"config_json", FS_SQL_TEXT, AT(config_json), FS_ROLE_COMMENT, NULL, NULL},
    {"train_hash", FS_SQL_TEXT, AT(train_hash), FS_ROLE_WHAT, "train", NULL},
    {"seed", FS_SQL_WHOLE, AT(seed), FS_ROLE_SEED, "seed", NULL},
    {"data_sha256", FS_SQL_TEXT, AT(data_sha256), FS_ROLE_WHAT, "data", NULL},
    {"source_hash", FS_SQL_TEXT, AT(source_hash), FS_ROLE_BUILD, "source", NULL},
    {"teacher", FS_SQL_TEXT, AT(teacher), FS_ROLE_WHAT, NULL, NULL},
    {"is_teacher", FS_SQL_BOOL, AT(is_teacher), FS_ROLE_COMMENT, NULL, NULL},
    {"updates", FS_SQL_WHOLE, AT(updates), FS_ROLE_WHAT, NULL, NULL},
    {"flops", FS_SQL_REAL, AT(flops), FS_ROLE_COMMENT, NULL, NULL},
};

const struct fs_columns fs_run_columns = {"runs", "id", list, sizeof list / sizeof *list};
