/* JSON as text for people. */
#include "harness/text/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/text/escape.h"

const json_t *fs_json_at(const json_t *root, const char *dotted)
{
    char part[64];

    while (root && *dotted) {
        const size_t length = strcspn(dotted, ".");
        snprintf(part, sizeof(part), "%.*s", (int)length, dotted);
        root = json_object_get(root, part);
        dotted += length + (dotted[length] == '.');
    }
    return root;
}

void fs_json_text(const json_t *value, char *text, size_t size)
{
    size_t length = 0, i;
    const json_t *item;

    if (json_is_string(value)) {
        snprintf(text, size, "%s", json_string_value(value));
    } else if (json_is_integer(value)) {
        snprintf(text, size, "%lld", (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        snprintf(text, size, "%.6g", json_real_value(value));
    } else if (json_is_boolean(value)) {
        snprintf(text, size, "%s", json_is_true(value) ? "true" : "false");
    } else if (json_is_array(value)) {
        snprintf(text, size, "[");
        json_array_foreach(value, i, item)
        {
            length = strlen(text);
            snprintf(text + length, size - length, "%s", i ? ", " : "");
            length = strlen(text);
            fs_json_text(item, text + length, size - length);
        }
        length = strlen(text);
        snprintf(text + length, size - length, "]");
    } else {
        snprintf(text, size, "–");
    }
}

void fs_config_text(const char *config_json, const char *key, char *text, size_t size)
{
    json_t *config = json_loads(config_json, 0, NULL);

    fs_json_text(fs_json_at(config, key), text, size);
    json_decref(config);
}

json_t *fs_json_string(const char *text)
{
    json_t *as_is = json_string(text);

    if (as_is) {
        return as_is;
    }
    const size_t size = 3 * strlen(text) + 1; /* a byte becomes three at most */
    char *plain = malloc(size);
    json_t *replaced = plain ? json_string(fs_plain_text(text, plain, size)) : NULL;
    free(plain);
    return replaced;
}
