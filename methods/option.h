/* A method's own keys of the YAML file: each describes a field of the settings that only the method's file knows. */
#ifndef FEWSTEP_OPTION_H
#define FEWSTEP_OPTION_H

#include <stddef.h>

enum fs_option_kind { FS_OPTION_REAL, FS_OPTION_WHOLE, FS_OPTION_BOOL, FS_OPTION_CHOICE, FS_OPTION_STEP };
struct fs_option {
    const char *key;
    enum fs_option_kind kind;
    size_t offset;           /* in the settings; REAL: double, WHOLE: int64_t or int by `size`, BOOL: bool,
                                CHOICE: int index, STEP: int level from 1, 1/2, 1/4 … */
    size_t size;             /* bytes of the field */
    double fallback;         /* the default */
    double minimum, maximum; /* inclusive; REAL and WHOLE */
    const char *choices;     /* CHOICE: "teacher|scratch" */
};

/* Offset and size of an option: FS_SETTING(struct settings, teacher_share). */
#define FS_SETTING(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)NULL)->member)

/* The key `teacher_share` of a method that needs a flow-matching teacher; `type` is that of its settings. */
#define FS_TEACHER_SHARE_OPTION(type)                                                                                  \
    {                                                                                                                  \
        .key = "teacher_share", .kind = FS_OPTION_REAL, FS_SETTING(type, teacher_share), .fallback = 0.5,              \
        .minimum = 0.01, .maximum = 0.99                                                                               \
    }

/* The key `teacher_updates` of such a method: a teacher beside the budget, in place of a share of it. */
#define FS_TEACHER_UPDATES_OPTION(type)                                                                                \
    {                                                                                                                  \
        .key = "teacher_updates", .kind = FS_OPTION_WHOLE, FS_SETTING(type, teacher_updates), .minimum = 0,            \
        .maximum = 1e9                                                                                                 \
    }

/* The key `target_ema` of a method whose targets come from a moving average: the decay of that one, where it is another
 * than train.ema (−1). */
#define FS_TARGET_EMA_OPTION(type)                                                                                     \
    {                                                                                                                  \
        .key = "target_ema", .kind = FS_OPTION_REAL, FS_SETTING(type, target_ema), .fallback = -1, .minimum = -1,      \
        .maximum = 0.999999                                                                                            \
    }

/* A number into a field of the kind, and out of it. A choice is its index, a step its level, false and true 0 and 1;
 * `size` tells int64_t from int. */
void fs_number_store(void *field, enum fs_option_kind kind, size_t size, double value);
double fs_number_load(const void *field, enum fs_option_kind kind, size_t size);

#endif
