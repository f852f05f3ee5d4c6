/* Rows dealt to ranks: each row once, in order, shares that differ by one at most. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "harness/train/comm.h"

static void each_row_is_dealt_once(void **state)
{
    (void)state;
    for (int size = 1; size <= 9; size++) {
        for (int rows = size; rows < 70; rows += 7) {
            int next = 0;
            for (int rank = 0; rank < size; rank++) {
                struct fs_comm comm = fs_comm_single();
                int first = -1, count = -1;
                comm.rank = rank;
                comm.size = size;
                fs_comm_rows(&comm, rows, &first, &count);
                assert_int_equal(first, next);
                assert_in_range(count, rows / size, (rows + size - 1) / size);
                next += count;
            }
            assert_int_equal(next, rows);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_row_is_dealt_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
