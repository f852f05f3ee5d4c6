/* Filling in an error's text. */
#include "kernels/base/error.h"

#include <stdio.h>
#include <string.h>

/* Copies `text` as one line: what came from a file (a key, a label) may hold line ends. */
static void set_text(struct fs_error *error, const char *text)
{
    size_t length = 0;
    for (; text[length] && length + 1 < sizeof error->text; length++) {
        const unsigned char c = (unsigned char)text[length];
        error->text[length] = (char)(c < ' ' || c == 127 ? ' ' : c);
    }
    error->text[length] = '\0';
}

fs_status fs_fail(struct fs_error *error, fs_status status, const char *format, ...)
{
    char text[sizeof error->text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    error->status = status;
    set_text(error, text);
    return status;
}

fs_status fs_fail_in(struct fs_error *error, const char *format, ...)
{
    char text[2 * sizeof error->text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof error->text, format, arguments);
    va_end(arguments);
    const size_t length = strlen(text);
    snprintf(text + length, sizeof text - length, ": %s", error->text);
    set_text(error, text);
    return error->status;
}
