/* Which rows of the global batch a process takes: a slice of each of the method's groups, so that all have as much to
 * do and the number of processes changes no row. */
#ifndef FEWSTEP_DEALT_ROWS_H
#define FEWSTEP_DEALT_ROWS_H

#include "harness/comm/comm.h"
#include "methods/method.h"

/* The rows of one process, one group after the other. */
struct fs_dealt_rows {
    struct fs_row_range groups[FS_ROW_GROUPS_MAX];
    int group_count, rows;
};

struct fs_dealt_rows fs_deal_rows(const struct fs_comm *comm, const struct fs_method *method,
                                  const struct fs_method_setup *setup);
/* The part first … first + rows − 1 of them, its rows counted from 0: a micro-batch. Every group is there, with no row
 * where the part has none of it. */
struct fs_dealt_rows fs_part_of_rows(const struct fs_dealt_rows *dealt, int first, int rows);

#endif
