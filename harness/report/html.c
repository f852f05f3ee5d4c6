/* Text in HTML and SVG, escaped. */
#include "harness/report/html.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "harness/text/escape.h"

static const char *escape_of(char character)
{
    switch (character) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void fs_html_text(FILE *stream, const char *text, size_t length)
{
    while (length > 0) {
        const size_t size = fs_utf8_length(text, length);
        const char *escape = escape_of(*text);
        const bool control = size > 0 && fs_is_control(text, size) && *text != '\n' && *text != '\t';

        if (escape || control || size == 0) {
            fputs(escape ? escape : FS_REPLACEMENT, stream);
        } else {
            fwrite(text, 1, size, stream);
        }
        text += size ? size : 1;
        length -= size ? size : 1;
    }
}

/* One conversion, its specification without length modifiers in `spec`; the value is taken from `values`. */
static void print_value(FILE *stream, const char *spec, char letter, bool wide, va_list *values)
{
    char text[64] = "";

    if (letter == 's') {
        const char *point = strchr(spec, '.');
        const int most = !point ? INT_MAX : point[1] == '*' ? va_arg(*values, int) : atoi(point + 1);
        const char *value = va_arg(*values, const char *);
        fs_html_text(stream, value, strnlen(value, (size_t)most));
        return;
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* checked where fs_html is called */
    if (letter == 'd' && wide) {
        snprintf(text, sizeof(text), "%" PRId64, va_arg(*values, int64_t));
    } else if (letter == 'd' || letter == 'x') {
        snprintf(text, sizeof(text), spec, va_arg(*values, int));
    } else {
        snprintf(text, sizeof(text), spec, va_arg(*values, double));
    }
#pragma GCC diagnostic pop
    fputs(text, stream);
}

void fs_html(FILE *stream, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    for (const char *percent; (percent = strchr(format, '%'));) {
        char spec[16] = "%";
        size_t length = 1;
        bool wide = false;

        fwrite(format, 1, (size_t)(percent - format), stream);
        for (format = percent + 1; strchr("0123456789.+-*l", *format) && *format && length < sizeof(spec) - 2;
             format++) {
            wide |= *format == 'l';
            if (*format != 'l') {
                spec[length++] = *format;
            }
        }
        spec[length] = *format;
        if (*format == '%') {
            fputc('%', stream);
        } else {
            print_value(stream, spec, *format, wide, &values);
        }
        format += *format != 0;
    }
    fputs(format, stream);
    va_end(values);
}
