/* Numbers as reports print them, written into `text`, which is returned. */
#ifndef FEWSTEP_NUMBER_H
#define FEWSTEP_NUMBER_H

#include <stdint.h>

#define FS_NUMBER_TEXT 32

/* Three significant digits without an exponent where that is readable: 0.00123, 7.30, 100, 1230; "nan", "inf". */
const char *fs_three_digits(double value, char text[FS_NUMBER_TEXT]);
/* The shortest decimal that reads back as the same double. */
const char *fs_shortest(double value, char text[FS_NUMBER_TEXT]);
/* "42 s", "5 min", "3 h", "12 d". */
const char *fs_duration(int64_t seconds, char text[FS_NUMBER_TEXT]);
/* "512 B", "12.3 MB". */
const char *fs_byte_size(int64_t bytes, char text[FS_NUMBER_TEXT]);

#endif
