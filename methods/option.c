/* Numbers into fields that are known by kind, place and size alone. */
#include "methods/option.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

void fs_number_store(void *field, enum fs_option_kind kind, size_t size, double value)
{
    if (kind == FS_OPTION_REAL) { /* any size: it may be far above the largest whole number */
        memcpy(field, &value, sizeof value);
    } else if (kind == FS_OPTION_BOOL) {
        memcpy(field, &(bool){value != 0}, sizeof(bool));
    } else if (size == sizeof(int64_t)) {
        memcpy(field, &(int64_t){(int64_t)value}, sizeof(int64_t));
    } else {
        memcpy(field, &(int){(int)value}, sizeof(int));
    }
}

double fs_number_load(const void *field, enum fs_option_kind kind, size_t size)
{
    double real = 0;
    int64_t whole = 0;
    int small = 0;
    bool truth = false;
    if (kind == FS_OPTION_REAL) {
        memcpy(&real, field, sizeof real);
        return real;
    }
    if (kind == FS_OPTION_BOOL) {
        memcpy(&truth, field, sizeof truth);
        return truth;
    }
    if (size == sizeof whole) {
        memcpy(&whole, field, sizeof whole);
        return (double)whole;
    }
    memcpy(&small, field, sizeof small);
    return small;
}
