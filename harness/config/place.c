/* Where the keys of a resolved run stand, so that what is wrong with one can be said later too. */
#include <stdarg.h>
#include <string.h>

#include "harness/config/resolve.h"
#include "kernels/base/memory.h"

/* Where a key stands. The list begins with the file itself, under no key, and ends with a place of NULL. */
struct fs_key_place {
    char key[FS_KEY_NAME];
    const char *place; /* the file, or "--set train.batch=64"; its text lies behind the list */
    int line;          /* 0: the place has no lines */
};

fs_status fs_config_keep_places(const struct fs_schema *schema, const struct fs_node *root, struct fs_config *config,
                                struct fs_error *error)
{
    size_t count = 2, bytes = strlen(root->place) + 1;
    for (int i = 0; i < schema->count; i++) {
        const struct fs_node *node = fs_node_find(root, schema->keys[i].name);
        count += node != NULL;
        bytes += node != NULL ? strlen(node->place) + 1 : 0;
    }
    config->places = fs_allocate(1, count * sizeof *config->places + bytes, "the places of keys", error);
    if (config->places == NULL) {
        return FS_FAILED;
    }
    struct fs_key_place *place = config->places;
    char *text = (char *)(config->places + count);
    place->place = strcpy(text, root->place);
    for (int i = 0; i < schema->count; i++) {
        const struct fs_node *node = fs_node_find(root, schema->keys[i].name);
        if (node != NULL) {
            text += strlen(text) + 1;
            place++;
            memcpy(place->key, schema->keys[i].name, sizeof place->key);
            place->place = strcpy(text, node->place);
            place->line = node->line;
        }
    }
    return FS_OK;
}

static const struct fs_key_place *find_place(const struct fs_config *config, const char *key)
{
    const struct fs_key_place *place = config->places;
    while (place != NULL && place->place != NULL && strcmp(place->key, key) != 0) {
        place++;
    }
    return place != NULL && place->place != NULL ? place : NULL;
}

bool fs_config_given(const struct fs_config *config, const char *key)
{
    return find_place(config, key) != NULL;
}

fs_status fs_config_fail(const struct fs_config *config, const char *key, struct fs_error *error, const char *format,
                         ...)
{
    char text[768];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (config->places == NULL) {
        return fs_fail(error, FS_USAGE, "%s: %s", key, text);
    }
    const struct fs_key_place *place = find_place(config, key);
    return fs_fail_at(error, place == NULL ? config->places->place : place->place, place == NULL ? 0 : place->line, key,
                      "%s", text);
}
