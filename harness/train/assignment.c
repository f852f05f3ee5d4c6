/* The linear assignment problem by shortest augmenting paths (Kuhn 1955; Jonker & Volgenant 1987, section 2).
 *
 * Numbers r(i) of rows and c(j) of columns are kept for which no reduced cost d(i, j) = cost(i, j) − r(i) − c(j) is
 * negative and those of assigned pairs are 0. Whatever the permutation, its cost is then Σ r + Σ c and its reduced
 * costs, so one that uses only pairs of reduced cost 0 is the cheapest. Rows are assigned one after the other: from the
 * new row the cheapest path in reduced costs, alternately through an unassigned pair and back through an assigned one,
 * is sought to a free column (Dijkstra's way: the nearest column is settled next), the numbers of what was settled are
 * moved so that the whole path has reduced cost 0, and the pairs along it change sides. */
#include "harness/train/assignment.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "kernels/base/memory.h"

struct search {
    int n;
    const double *cost;
    double *row_number, *column_number;
    double *distance; /* of each column from the new row, along the best path that is known */
    int *before;      /* the row that this path reaches the column from */
    int *row_of;      /* of each column; −1: free */
    bool *settled;
};

/* From `row`, settled at `reached`, every column that is not settled may be nearer. */
static void look_from(struct search *search, int row, double reached)
{
    const double *cost = search->cost + (int64_t)row * search->n;
    for (int j = 0; j < search->n; j++) {
        const double there = reached + cost[j] - search->row_number[row] - search->column_number[j];
        if (!search->settled[j] && there < search->distance[j]) {
            search->distance[j] = there;
            search->before[j] = row;
        }
    }
}

static int nearest(const struct search *search)
{
    int best = -1;
    for (int j = 0; j < search->n; j++) {
        if (!search->settled[j] && (best < 0 || search->distance[j] < search->distance[best])) {
            best = j;
        }
    }
    return best;
}

/* The path's reduced costs become 0: a settled column was reached earlier than the last by `late`. */
static void move_numbers(struct search *search, int new_row, double reached)
{
    search->row_number[new_row] += reached;
    for (int j = 0; j < search->n; j++) {
        if (search->settled[j]) {
            const double late = reached - search->distance[j];
            search->column_number[j] -= late;
            search->row_number[search->row_of[j]] += late;
        }
    }
}

static void assign_row(struct search *search, int new_row, int *column_of)
{
    for (int j = 0; j < search->n; j++) {
        search->distance[j] = INFINITY;
        search->settled[j] = false;
    }
    look_from(search, new_row, 0);
    int column = nearest(search);
    while (search->row_of[column] >= 0) {
        search->settled[column] = true;
        look_from(search, search->row_of[column], search->distance[column]);
        column = nearest(search);
    }
    move_numbers(search, new_row, search->distance[column]);
    int row;
    do { /* back along the path: each of its rows takes the column that it led to */
        row = search->before[column];
        const int given_up = column_of[row];
        search->row_of[column] = row;
        column_of[row] = column;
        column = given_up;
    } while (row != new_row);
}

fs_status fs_assign(const double *cost, int n, int *column_of, struct fs_error *error)
{
    const size_t count = (size_t)n;
    struct search search = {.n = n, .cost = cost};
    const bool good = (search.row_number = fs_allocate(count, sizeof(double), "an assignment", error)) != NULL &&
                      (search.column_number = fs_allocate(count, sizeof(double), "an assignment", error)) != NULL &&
                      (search.distance = fs_allocate(count, sizeof(double), "an assignment", error)) != NULL &&
                      (search.before = fs_allocate(count, sizeof(int), "an assignment", error)) != NULL &&
                      (search.row_of = fs_allocate(count, sizeof(int), "an assignment", error)) != NULL &&
                      (search.settled = fs_allocate(count, sizeof(bool), "an assignment", error)) != NULL;
    for (int i = 0; good && i < n; i++) {
        search.row_number[i] = search.column_number[i] = 0;
        search.row_of[i] = column_of[i] = -1;
    }
    for (int i = 0; good && i < n; i++) {
        assign_row(&search, i, column_of);
    }
    free(search.row_number);
    free(search.column_number);
    free(search.distance);
    free(search.before);
    free(search.row_of);
    free(search.settled);
    return good ? FS_OK : error->status;
}
