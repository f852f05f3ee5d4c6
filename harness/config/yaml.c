/* YAML events of libyaml to a tree, within limits. */
#include "harness/config/yaml.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "kernels/base/memory.h"

/* A piece of memory of a document; what was asked for follows it. */
struct fs_block {
    struct fs_block *next;
    max_align_t bytes[];
};

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    bool has_event;
    struct fs_document *document;
    const char *place, *bytes;
    size_t size;
    bool lines;
    struct fs_error *error;
};

static fs_status read_node(struct reader *reader, int depth, struct fs_node **out);

/* --- the document's memory --- */

static void *take(struct fs_document *document, size_t size, struct fs_error *error)
{
    struct fs_block *block = fs_allocate(1, sizeof *block + size, "a configuration", error);
    if (block == NULL) {
        return NULL;
    }
    block->next = document->blocks;
    document->blocks = block;
    return block->bytes;
}

static char *take_text(struct fs_document *document, const char *text, size_t length, struct fs_error *error)
{
    char *copy = take(document, length + 1, error);
    if (copy != NULL) {
        memcpy(copy, text, length);
    }
    return copy;
}

static struct fs_node *take_node(struct fs_document *document, struct fs_error *error)
{
    document->node_count++;
    return take(document, sizeof(struct fs_node), error);
}

void fs_document_free(struct fs_document *document)
{
    while (document->blocks != NULL) {
        struct fs_block *next = document->blocks->next;
        free(document->blocks);
        document->blocks = next;
    }
    *document = (struct fs_document){0};
}

/* --- messages --- */

fs_status fs_fail_at(struct fs_error *error, const char *place, int line, const char *name, const char *format, ...)
{
    char text[768];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    char where[16] = "";
    if (line > 0) {
        snprintf(where, sizeof where, ":%d", line);
    }
    fs_fail(error, FS_USAGE, "%s%s: %s%s%s", place, where, name, *name ? ": " : "", text);
    return FS_USAGE;
}

const char *fs_node_describe(const struct fs_node *node, char description[FS_DESCRIPTION])
{
    if (node->kind != FS_NODE_SCALAR) {
        return node->kind == FS_NODE_LIST ? "a list" : "a map";
    }
    if (*node->text == '\0' && !node->quoted) {
        return "nothing";
    }
    size_t length = strlen(node->text);
    const bool cut = length > 48;
    if (cut) {
        length = 48;
        while (((unsigned char)node->text[length] & 0xC0U) == 0x80U) {
            length--; /* not in the middle of a UTF-8 character */
        }
    }
    snprintf(description, FS_DESCRIPTION, "%s'%.*s%s'", node->quoted ? "the quoted text " : "", (int)length, node->text,
             cut ? "…" : "");
    return description;
}

/* --- events to nodes --- */

static int event_line(const struct reader *reader)
{
    return reader->lines ? (int)reader->event.start_mark.line + 1 : 0;
}

static fs_status refuse(struct reader *reader, const char *reason)
{
    return fs_fail_at(reader->error, reader->place, event_line(reader), "", "%s", reason);
}

/* libyaml's own complaint. Its reader knows an offset only, its scanner and parser a line. */
static fs_status refuse_syntax(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    if (parser->error == YAML_MEMORY_ERROR) {
        return fs_fail(reader->error, FS_FAILED, "%s: out of memory", reader->place);
    }
    size_t line = parser->problem_mark.line + 1;
    if (parser->error == YAML_READER_ERROR) {
        line = 1;
        for (size_t i = 0; i < parser->problem_offset && i < reader->size; i++) {
            line += reader->bytes[i] == '\n';
        }
    }
    const char *context = parser->error == YAML_READER_ERROR || parser->context == NULL ? "" : parser->context;
    return fs_fail_at(reader->error, reader->place, reader->lines ? (int)line : 0, "", "not valid YAML: %s%s%s",
                      parser->problem == NULL ? "unreadable" : parser->problem, *context ? " " : "", context);
}

static fs_status advance(struct reader *reader)
{
    if (reader->has_event) {
        yaml_event_delete(&reader->event);
        reader->has_event = false;
    }
    if (!yaml_parser_parse(&reader->parser, &reader->event)) {
        return refuse_syntax(reader);
    }
    reader->has_event = true;
    return FS_OK;
}

/* The scalar event's text, for a value or a key. */
static fs_status read_text(struct reader *reader, const char **text)
{
    const char *value = (const char *)reader->event.data.scalar.value;
    const size_t length = reader->event.data.scalar.length;
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7F) {
            return refuse(reader, "a text must be one line without control characters");
        }
    }
    *text = take_text(reader->document, value, length, reader->error);
    return *text == NULL ? FS_FAILED : FS_OK;
}

static fs_status read_list(struct reader *reader, int depth, struct fs_node *list)
{
    struct fs_node **end = &list->first;
    for (;;) {
        FS_TRY(advance(reader));
        if (reader->event.type == YAML_SEQUENCE_END_EVENT) {
            return FS_OK;
        }
        FS_TRY(read_node(reader, depth + 1, end));
        end = &(*end)->next;
    }
}

static fs_status read_map(struct reader *reader, int depth, struct fs_node *map)
{
    struct fs_node **end = &map->first;
    for (;;) {
        FS_TRY(advance(reader));
        if (reader->event.type == YAML_MAPPING_END_EVENT) {
            return FS_OK;
        }
        if (reader->event.type != YAML_SCALAR_EVENT) {
            return refuse(reader, "a key must be plain text");
        }
        const char *key = NULL;
        const int key_line = event_line(reader);
        FS_TRY(read_text(reader, &key));
        if (fs_node_child(map, key, strlen(key)) != NULL) {
            return fs_fail_at(reader->error, reader->place, key_line, "", "the key '%.80s' stands here a second time",
                              key);
        }
        FS_TRY(advance(reader));
        FS_TRY(read_node(reader, depth + 1, end));
        (*end)->key = key;
        (*end)->key_line = key_line;
        end = &(*end)->next;
    }
}

/* From the event that begins a node to the one that ends it. */
static fs_status read_node(struct reader *reader, int depth, struct fs_node **out)
{
    const yaml_event_t *event = &reader->event;
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (event->type == YAML_ALIAS_EVENT || anchor != NULL) {
        return refuse(reader, "anchors and aliases are not supported: write the value out");
    }
    if (tag != NULL) {
        return refuse(reader, "tags are not supported");
    }
    if (depth > FS_YAML_DEPTH_MAX) {
        return refuse(reader, "nested too deeply for a configuration");
    }
    if (reader->document->node_count >= FS_YAML_NODES_MAX) {
        return refuse(reader, "too many values for a configuration");
    }
    struct fs_node *node = take_node(reader->document, reader->error);
    if (node == NULL) {
        return FS_FAILED;
    }
    *out = node;
    node->place = reader->place;
    node->line = event_line(reader);
    if (event->type == YAML_SEQUENCE_START_EVENT) {
        node->kind = FS_NODE_LIST;
        return read_list(reader, depth, node);
    }
    if (event->type == YAML_MAPPING_START_EVENT) {
        node->kind = FS_NODE_MAP;
        return read_map(reader, depth, node);
    }
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return read_text(reader, &node->text);
}

static fs_status read_document(struct reader *reader, struct fs_node **root)
{
    FS_TRY(advance(reader)); /* stream start */
    FS_TRY(advance(reader));
    if (reader->event.type == YAML_STREAM_END_EVENT) {
        return fs_fail_at(reader->error, reader->place, 0, "", "is empty");
    }
    FS_TRY(advance(reader));
    FS_TRY(read_node(reader, 0, root));
    FS_TRY(advance(reader)); /* document end */
    FS_TRY(advance(reader));
    if (reader->event.type != YAML_STREAM_END_EVENT) {
        return refuse(reader, "a second document begins here; expected one");
    }
    return FS_OK;
}

fs_status fs_yaml_parse(struct fs_document *document, const char *place, bool lines, const char *bytes, size_t size,
                        struct fs_node **root, struct fs_error *error)
{
    if (size > FS_YAML_BYTES_MAX) {
        return fs_fail_at(error, place, 0, "", "%zu bytes are too many for a configuration, at most %d", size,
                          FS_YAML_BYTES_MAX);
    }
    struct reader reader = {.document = document, .bytes = bytes, .size = size, .lines = lines, .error = error};
    reader.place = take_text(document, place, strlen(place), error);
    if (reader.place == NULL) {
        return FS_FAILED;
    }
    if (!yaml_parser_initialize(&reader.parser)) {
        return fs_fail(error, FS_FAILED, "%s: out of memory", place);
    }
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)bytes, size);
    const fs_status status = read_document(&reader, root);
    if (reader.has_event) {
        yaml_event_delete(&reader.event);
    }
    yaml_parser_delete(&reader.parser);
    return status;
}

/* --- walking and changing the tree --- */

struct fs_node *fs_node_child(const struct fs_node *map, const char *key, size_t length)
{
    if (map->kind != FS_NODE_MAP) {
        return NULL;
    }
    for (struct fs_node *child = map->first; child != NULL; child = child->next) {
        if (strncmp(child->key, key, length) == 0 && child->key[length] == '\0') {
            return child;
        }
    }
    return NULL;
}

struct fs_node *fs_node_find(const struct fs_node *root, const char *name)
{
    struct fs_node *node = NULL;
    for (const struct fs_node *map = root; map != NULL; map = node) {
        const size_t length = strcspn(name, ".");
        node = fs_node_child(map, name, length);
        if (name[length] == '\0') {
            break;
        }
        name += length + 1;
    }
    return node;
}

fs_status fs_node_put(struct fs_document *document, struct fs_node *root, const char *name, const struct fs_node *value,
                      struct fs_error *error)
{
    struct fs_node *node = root;
    while (*name != '\0') {
        const size_t length = strcspn(name, ".");
        struct fs_node *child = fs_node_child(node, name, length);
        if (child == NULL) {
            child = take_node(document, error);
            char *key = take_text(document, name, length, error);
            if (child == NULL || key == NULL) {
                return FS_FAILED;
            }
            child->kind = FS_NODE_MAP;
            child->place = value->place;
            child->key = key;
            child->next = node->first;
            node->first = child;
        }
        node = child;
        name += length + (name[length] == '.');
    }
    node->kind = value->kind;
    node->place = value->place;
    node->line = value->line;
    node->text = value->text;
    node->quoted = value->quoted;
    node->first = value->first;
    return FS_OK;
}

struct fs_node *fs_node_detach(struct fs_node *map, const char *key)
{
    if (map->kind != FS_NODE_MAP) {
        return NULL;
    }
    for (struct fs_node **link = &map->first; *link != NULL; link = &(*link)->next) {
        struct fs_node *child = *link;
        if (strcmp(child->key, key) == 0) {
            *link = child->next;
            child->next = NULL;
            return child;
        }
    }
    return NULL;
}
