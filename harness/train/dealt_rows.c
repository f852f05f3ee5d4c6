/* Which rows of the global batch a process takes. */
#include "harness/train/dealt_rows.h"

/* A group's leftover rows go to the ranks behind those that had the last group's, so that over all groups no rank has
 * two rows more than another. */
struct fs_dealt_rows fs_deal_rows(const struct fs_comm *comm, const struct fs_method *method,
                                  const struct fs_method_setup *setup)
{
    int counts[FS_ROW_GROUPS_MAX], begin = 0, turn = 0;
    struct fs_dealt_rows dealt = {.group_count = method->row_groups(setup, counts)};
    for (int i = 0; i < dealt.group_count; i++) {
        struct fs_row_range *group = &dealt.groups[i];
        int first;
        fs_comm_rows(comm, counts[i], turn, &first, &group->count);
        turn = (turn + counts[i]) % comm->size;
        group->first = dealt.rows;
        group->global = begin + first;
        dealt.rows += group->count;
        begin += counts[i];
    }
    return dealt;
}

struct fs_dealt_rows fs_part_of_rows(const struct fs_dealt_rows *dealt, int first, int rows)
{
    struct fs_dealt_rows part = {.group_count = dealt->group_count, .rows = rows};
    for (int i = 0; i < dealt->group_count; i++) {
        const struct fs_row_range *group = &dealt->groups[i];
        const int end = group->first + group->count;
        const int from = first > group->first ? first : group->first, to = first + rows < end ? first + rows : end;
        part.groups[i] = from < to ? (struct fs_row_range){from - first, to - from, group->global + from - group->first}
                                   : (struct fs_row_range){0};
    }
    return part;
}
