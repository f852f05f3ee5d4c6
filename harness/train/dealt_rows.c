/* Which rows of the global batch a process takes. */
#include "harness/train/dealt_rows.h"

/* Of so many rows, all ranks get the same number, and what is left over goes a row each to the ranks from `turn` on,
 * one after the other: where the last group's leftovers ended, so that over all groups no rank has two rows more than
 * another.
 */
static void deal_group(const struct fs_comm *comm, int rows, int turn, int *first, int *count)
{
    *first = *count = 0;
    for (int r = 0; r <= comm->rank; r++) {
        const int place = (r + comm->size - turn) % comm->size;
        *first += *count;
        *count = rows / comm->size + (place < rows % comm->size);
    }
}

struct fs_dealt_rows fs_deal_rows(const struct fs_comm *comm, const struct fs_method *method,
                                  const struct fs_method_setup *setup)
{
    int counts[FS_ROW_GROUPS_MAX], begin = 0, turn = 0;
    struct fs_dealt_rows dealt = {.group_count = method->row_groups(setup, counts)};
    for (int i = 0; i < dealt.group_count; i++) {
        struct fs_row_range *group = &dealt.groups[i];
        int first;
        deal_group(comm, counts[i], turn, &first, &group->count);
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
