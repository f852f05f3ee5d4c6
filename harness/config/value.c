/* One key's value: from a node into struct fs_config, and from there to canonical JSON. */
#include "harness/config/schema.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/file.h"

/* --- numbers as text --- */

const char *fs_number_text(double value, char text[FS_NUMBER_TEXT])
{
    if (value == floor(value) && fabs(value) < 1e15) {
        snprintf(text, FS_NUMBER_TEXT, "%.0f", value + 0.0); /* + 0.0: no -0 */
        return text;
    }
    fs_shortest(value, text);
    return text;
}

static bool parse_real(const char *text, double *value)
{
    char *end;
    if (strspn(text, "0123456789+-.eE") != strlen(text)) {
        return false; /* strtod would take hexadecimal, inf and nan too */
    }
    *value = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*value);
}

static bool parse_whole(const char *text, double *value)
{
    const char *digits = text + (*text == '-');
    if (*digits == '\0' || strspn(digits, "0123456789") != strlen(digits) || (digits[0] == '0' && digits[1] != '\0')) {
        return false; /* leading zeros mean octal to some readers of YAML */
    }
    return parse_real(text, value) && fabs(*value) < 9007199254740992.0; /* exact in a double */
}

static bool parse_bool(const char *text, double *value)
{
    *value = strcmp(text, "true") == 0;
    return *value == 1 || strcmp(text, "false") == 0;
}

/* The level of a step size: 1 is 0, 1/2 is 1, 1/4 is 2 … */
static bool parse_step(const char *text, double *value)
{
    double denominator = 1;
    if (strcmp(text, "1") != 0 && (strncmp(text, "1/", 2) != 0 || !parse_whole(text + 2, &denominator))) {
        return false;
    }
    *value = 0;
    for (; denominator > 1 && fmod(denominator, 2) == 0; denominator /= 2) {
        *value += 1;
    }
    return denominator == 1;
}

static bool parse_choice(const char *choices, const char *text, double *value)
{
    const size_t length = strlen(text);
    *value = 0;
    for (const char *choice = choices; length > 0; *value += 1) {
        const size_t choice_length = strcspn(choice, "|");
        if (choice_length == length && strncmp(choice, text, length) == 0) {
            return true;
        }
        if (choice[choice_length] == '\0') {
            break;
        }
        choice += choice_length + 1;
    }
    return false;
}

/* --- what a key expects, in words --- */

struct words {
    char text[512];
    size_t used;
};

static void add_words(struct words *words, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add_words(struct words *words, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(words->text + words->used, sizeof words->text - words->used, format, arguments);
    va_end(arguments);
    if (length > 0) {
        words->used += (size_t)length;
        words->used = words->used < sizeof words->text ? words->used : sizeof words->text - 1;
    }
}

static bool has_maximum(const struct fs_key *key)
{
    return key->maximum > key->minimum && isfinite(key->maximum);
}

static void expect_number(const struct fs_key *key, const char *what, struct words *words)
{
    char low[FS_NUMBER_TEXT], high[FS_NUMBER_TEXT];
    fs_number_text(key->minimum, low);
    add_words(words, "%s ", what);
    if (!has_maximum(key)) {
        add_words(words, "%s %s", key->above_minimum ? ">" : "≥", low);
        return;
    }
    fs_number_text(key->maximum, high);
    if (key->kind == FS_KEY_REAL || key->kind == FS_KEY_REALS) {
        add_words(words, "in %s%s, %s%s", key->above_minimum ? "(" : "[", low, high, key->below_maximum ? ")" : "]");
    } else {
        add_words(words, "from %s to %s", low, high);
    }
}

static void expect_names(const struct fs_key *key, struct words *words)
{
    if (key->name_at == NULL) {
        add_words(words, "one line of text shorter than %zu bytes",
                  key->kind == FS_KEY_TEXTS ? (size_t)FS_TEXTS_SIZE : key->size);
        return;
    }
    const char *name;
    for (int i = 0; (name = key->name_at(i)) != NULL; i++) {
        const bool last = key->name_at(i + 1) == NULL && key->ending == NULL;
        const char *separator = i == 0 ? "" : last ? " or " : ", ";
        add_words(words, "%s%s", separator, name);
    }
    if (key->ending != NULL) {
        add_words(words, " or a file NAME%s", key->ending);
    }
}

static void expect_choices(const struct fs_key *key, struct words *words)
{
    for (const char *choice = key->choices;;) {
        const size_t length = strcspn(choice, "|");
        const bool last = choice[length] == '\0';
        add_words(words, "%s%.*s", choice == key->choices ? "" : last ? " or " : ", ", (int)length, choice);
        if (last) {
            return;
        }
        choice += length + 1;
    }
}

static fs_status refuse_value(const struct fs_key *key, const struct fs_node *node, struct fs_error *error)
{
    struct words words = {.used = 0};
    if (key->zero != NULL) {
        add_words(&words, "%s or ", key->zero);
    }
    switch (key->kind) {
    case FS_KEY_REAL:
        expect_number(key, "a number", &words);
        break;
    case FS_KEY_WHOLE:
        expect_number(key, "a whole number", &words);
        break;
    case FS_KEY_BOOL:
        add_words(&words, "true or false");
        break;
    case FS_KEY_CHOICE:
        expect_choices(key, &words);
        break;
    case FS_KEY_STEP:
        add_words(&words, "a step size 1, 1/2, 1/4, 1/8 …");
        break;
    case FS_KEY_WHOLES:
        expect_number(key, "a list of different whole numbers", &words);
        break;
    case FS_KEY_REALS:
        expect_number(key, "a list of numbers", &words);
        break;
    case FS_KEY_NODES:
        add_words(&words, "a list with something in it");
        break;
    case FS_KEY_TEXTS:
        add_words(&words, "a list of ");
        expect_names(key, &words);
        break;
    case FS_KEY_TEXT:
    case FS_KEY_METHOD:
        expect_names(key, &words);
        break;
    }
    char description[FS_DESCRIPTION];
    return fs_fail_at(error, node->place, node->line, key->name, "expected %s, got %s", words.text,
                      fs_node_describe(node, description));
}

/* --- into the field --- */

static void *field(const struct fs_key *key, void *object)
{
    return (char *)object + key->offset;
}

static int *list_count(const struct fs_key *key, void *object)
{
    return (int *)(void *)((char *)object + key->count_offset);
}

static void store_number(const struct fs_key *key, void *object, double value)
{
    fs_number_store(field(key, object), (enum fs_option_kind)key->kind, key->size, value);
}

static bool in_range(const struct fs_key *key, double value)
{
    const bool low = key->above_minimum ? value > key->minimum : value >= key->minimum;
    const bool high = !has_maximum(key) || (key->below_maximum ? value < key->maximum : value <= key->maximum);
    return low && high;
}

static bool parse_number(const struct fs_key *key, const struct fs_node *node, double *value)
{
    const char *text = node->text;
    if (key->zero != NULL && strcmp(text, key->zero) == 0) {
        *value = 0;
        return true;
    }
    if (key->kind == FS_KEY_CHOICE) {
        return parse_choice(key->choices, text, value);
    }
    if (key->kind == FS_KEY_STEP) {
        return parse_step(text, value);
    }
    if (node->quoted) {
        return false; /* "128" is a text */
    }
    if (key->kind == FS_KEY_BOOL) {
        return parse_bool(text, value);
    }
    if (!(key->kind == FS_KEY_REAL || key->kind == FS_KEY_REALS ? parse_real : parse_whole)(text, value)) {
        return false;
    }
    /* A default outside the range (target_ema: -1, "as train.ema") can be written too. */
    return in_range(key, *value) || (key->zero == NULL && *value == key->fallback);
}

static bool name_allowed(const struct fs_key *key, const char *text)
{
    const char *name = NULL;
    for (int i = 0; key->name_at != NULL && (name = key->name_at(i)) != NULL; i++) {
        if (strcmp(name, text) == 0) {
            return true;
        }
    }
    return key->name_at == NULL || (key->ending != NULL && fs_ends_with(text, key->ending));
}

static bool parse_text(const struct fs_key *key, const struct fs_node *node, char *out, size_t size)
{
    const size_t length = strlen(node->text);
    const bool empty_default = key->fallback_text != NULL && *key->fallback_text == '\0';
    if (length >= size || (length == 0 && !empty_default) || !name_allowed(key, node->text)) {
        return false;
    }
    memset(out, 0, size);
    memcpy(out, node->text, length);
    return true;
}

static size_t element_size(const struct fs_key *key)
{
    return key->kind == FS_KEY_TEXTS ? FS_TEXTS_SIZE : key->kind == FS_KEY_REALS ? sizeof(double) : sizeof(int);
}

static bool append(const struct fs_key *key, const struct fs_node *node, void *object)
{
    int *count = list_count(key, object);
    const size_t element = element_size(key);
    if (node->kind != FS_NODE_SCALAR || (size_t)*count >= key->size / element) {
        return false;
    }
    char *slot = (char *)field(key, object) + (size_t)*count * element;
    double value;
    if (key->kind == FS_KEY_TEXTS) {
        if (!parse_text(key, node, slot, element)) {
            return false;
        }
    } else if (!parse_number(key, node, &value)) {
        return false;
    } else if (key->kind == FS_KEY_REALS) {
        memcpy(slot, &value, sizeof value);
    } else {
        memcpy(slot, &(int){(int)value}, sizeof(int));
    }
    for (const char *earlier = field(key, object); key->kind != FS_KEY_REALS && earlier < slot; earlier += element) {
        if (memcmp(earlier, slot, element) == 0) {
            return false;
        }
    }
    ++*count;
    return true;
}

static fs_status read_list(const struct fs_key *key, const struct fs_node *node, void *object, struct fs_error *error)
{
    *list_count(key, object) = 0;
    memset(field(key, object), 0, key->size);
    if (node->kind == FS_NODE_SCALAR && append(key, node, object)) {
        return FS_OK; /* one value needs no brackets */
    }
    const bool may_be_empty = key->fallback_text != NULL && strcmp(key->fallback_text, "[]") == 0;
    if (node->kind != FS_NODE_LIST || (node->first == NULL && !may_be_empty)) {
        return refuse_value(key, node, error);
    }
    const int most = (int)(key->size / element_size(key));
    for (const struct fs_node *child = node->first; child != NULL; child = child->next) {
        if (*list_count(key, object) == most) {
            return fs_fail_at(error, child->place, child->line, key->name, "more than %d values", most);
        }
        if (!append(key, child, object)) {
            return refuse_value(key, child, error);
        }
    }
    return FS_OK;
}

fs_status fs_key_read(const struct fs_key *key, const struct fs_node *node, void *object, struct fs_error *error)
{
    double value;
    if (key->kind == FS_KEY_NODES) {
        memcpy(field(key, object), &node, sizeof node);
        return node->kind == FS_NODE_LIST && node->first != NULL ? FS_OK : refuse_value(key, node, error);
    }
    if (key->kind == FS_KEY_WHOLES || key->kind == FS_KEY_REALS || key->kind == FS_KEY_TEXTS) {
        return read_list(key, node, object, error);
    }
    if (node->kind != FS_NODE_SCALAR) {
        return refuse_value(key, node, error);
    }
    if (key->kind == FS_KEY_METHOD) {
        const struct fs_method *method = fs_method_find(node->text);
        memcpy(field(key, object), &method, sizeof method);
        return method != NULL ? FS_OK : refuse_value(key, node, error);
    }
    if (key->kind == FS_KEY_TEXT) {
        return parse_text(key, node, field(key, object), key->size) ? FS_OK : refuse_value(key, node, error);
    }
    if (!parse_number(key, node, &value)) {
        return refuse_value(key, node, error);
    }
    store_number(key, object, value);
    return FS_OK;
}

/* --- defaults --- */

static bool is_number(const struct fs_key *key)
{
    return key->kind <= FS_KEY_STEP;
}

bool fs_key_required(const struct fs_key *key)
{
    return is_number(key) ? isnan(key->fallback) : key->fallback_text == NULL;
}

fs_status fs_key_default(const struct fs_key *key, void *object, struct fs_error *error)
{
    if (is_number(key)) {
        store_number(key, object, key->fallback);
        return FS_OK;
    }
    struct fs_document document = {0};
    struct fs_node empty = {.place = "the default", .text = ""}, *node = &empty;
    fs_status status = FS_OK;
    if (*key->fallback_text != '\0') {
        status = fs_yaml_parse(&document, "the default", false, key->fallback_text, strlen(key->fallback_text), &node,
                               error);
    }
    if (status == FS_OK) {
        status = fs_key_read(key, node, object, error);
    }
    fs_document_free(&document);
    return status;
}

/* --- canonical JSON --- */

static double load_number(const struct fs_key *key, const struct fs_config *config)
{
    return fs_number_load((const char *)config + key->offset, (enum fs_option_kind)key->kind, key->size);
}

/* Texts hold valid UTF-8 without control characters: the YAML reader saw to that. */
static void write_text(const char *text, FILE *stream)
{
    fputc('"', stream);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            fputc('\\', stream);
        }
        fputc(*text, stream);
    }
    fputc('"', stream);
}

static void write_number(const struct fs_key *key, double value, FILE *stream)
{
    char text[FS_NUMBER_TEXT];
    if (key->zero != NULL && value == 0) {
        write_text(key->zero, stream);
    } else if (key->kind == FS_KEY_BOOL) {
        fputs(value != 0 ? "true" : "false", stream);
    } else if (key->kind == FS_KEY_CHOICE) {
        const char *choice = key->choices;
        for (int i = 0; i < (int)value; i++) {
            choice += strcspn(choice, "|") + 1;
        }
        fprintf(stream, "\"%.*s\"", (int)strcspn(choice, "|"), choice);
    } else if (key->kind == FS_KEY_STEP && value > 0) {
        fprintf(stream, "\"1/%.0f\"", ldexp(1, (int)value));
    } else if (key->kind == FS_KEY_STEP) {
        fputs("1", stream);
    } else {
        fputs(fs_number_text(value, text), stream);
    }
}

static void write_list(const struct fs_key *key, const struct fs_config *config, FILE *stream)
{
    const char *source = (const char *)config + key->offset;
    int count;
    memcpy(&count, (const char *)config + key->count_offset, sizeof count);
    fputc('[', stream);
    for (int i = 0; i < count; i++) {
        if (i > 0) {
            fputc(',', stream);
        }
        if (key->kind == FS_KEY_TEXTS) {
            write_text(source + (size_t)i * FS_TEXTS_SIZE, stream);
        } else if (key->kind == FS_KEY_REALS) {
            char text[FS_NUMBER_TEXT];
            double value;
            memcpy(&value, source + (size_t)i * sizeof value, sizeof value);
            fputs(fs_number_text(value, text), stream);
        } else {
            int value;
            memcpy(&value, source + (size_t)i * sizeof value, sizeof value);
            fprintf(stream, "%d", value);
        }
    }
    fputc(']', stream);
}

void fs_key_write(const struct fs_key *key, const struct fs_config *config, FILE *stream)
{
    if (key->kind == FS_KEY_TEXT) {
        write_text((const char *)config + key->offset, stream);
    } else if (key->kind == FS_KEY_METHOD) {
        write_text(config->method->name, stream);
    } else if (is_number(key)) {
        write_number(key, load_number(key, config), stream);
    } else {
        write_list(key, config, stream);
    }
}

char *fs_key_text(const struct fs_key *key, const struct fs_config *config, struct fs_error *error)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (stream != NULL) {
        fs_key_write(key, config, stream);
        if (fclose(stream) == 0) {
            return text;
        }
        free(text);
    }
    fs_fail(error, FS_FAILED, "out of memory for %s", key->name);
    return NULL;
}
