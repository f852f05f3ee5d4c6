/* The hypotheses of an experiment's file. */
#include "harness/config/hypotheses.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define KEY "hypotheses"
#define FORM "expected A < B at N, such as shortcut < flow-matching at 4"

int fs_hypotheses_find(const struct fs_hypotheses *hypotheses, const struct fs_hypothesis *hypothesis)
{
    for (int i = 0; i < hypotheses->count; i++) {
        const struct fs_hypothesis *one = &hypotheses->list[i];
        if (one->lower == hypothesis->lower && one->higher == hypothesis->higher && one->steps == hypothesis->steps) {
            return i;
        }
    }
    return -1;
}

static fs_status find_method(const struct fs_node *node, const char *name, const struct fs_method **method,
                             struct fs_error *error)
{
    *method = fs_method_find(name);
    return *method ? FS_OK : fs_fail_at(error, node->place, node->line, KEY, "there is no method '%s'", name);
}

static fs_status read_one(const struct fs_node *node, struct fs_hypothesis *one, struct fs_error *error)
{
    char description[FS_DESCRIPTION], lower[64], higher[64];
    int64_t steps;
    int end = 0;

    if (node->kind != FS_NODE_SCALAR ||
        sscanf(node->text, "%63[a-z-] < %63[a-z-] at %9" SCNd64 "%n", lower, higher, &steps, &end) != 3 ||
        node->text[end] != '\0' || steps < 1) {
        return fs_fail_at(error, node->place, node->line, KEY, FORM ", got %s", fs_node_describe(node, description));
    }
    *one = (struct fs_hypothesis){.steps = steps};
    FS_TRY(find_method(node, lower, &one->lower, error));
    FS_TRY(find_method(node, higher, &one->higher, error));
    return one->lower != one->higher
               ? FS_OK
               : fs_fail_at(error, node->place, node->line, KEY, "'%s' stands on both sides", lower);
}

fs_status fs_hypotheses_read(const struct fs_node *node, struct fs_hypotheses *hypotheses, struct fs_error *error)
{
    char description[FS_DESCRIPTION];

    hypotheses->count = 0;
    if (node == NULL) {
        return FS_OK;
    }
    if (node->kind != FS_NODE_LIST || node->first == NULL) {
        return fs_fail_at(error, node->place, node->line, KEY, "expected a list, got %s",
                          node->kind == FS_NODE_LIST ? "an empty one" : fs_node_describe(node, description));
    }
    for (const struct fs_node *child = node->first; child != NULL; child = child->next) {
        struct fs_hypothesis one = {0};
        FS_TRY(read_one(child, &one, error));
        if (hypotheses->count == FS_HYPOTHESES_MAX) {
            return fs_fail_at(error, child->place, child->line, KEY, "at most %d", FS_HYPOTHESES_MAX);
        }
        if (fs_hypotheses_find(hypotheses, &one) >= 0) {
            return fs_fail_at(error, child->place, child->line, KEY, "'%s' stands there twice", child->text);
        }
        hypotheses->list[hypotheses->count++] = one;
    }
    return FS_OK;
}

void fs_hypotheses_of_text(const char *text, struct fs_hypotheses *hypotheses)
{
    struct fs_document document = {0};
    struct fs_node *root;
    struct fs_error ignored;

    if (fs_yaml_parse(&document, "", true, text, strlen(text), &root, &ignored) != FS_OK || root->kind != FS_NODE_MAP ||
        fs_hypotheses_read(fs_node_child(root, KEY, strlen(KEY)), hypotheses, &ignored) != FS_OK) {
        hypotheses->count = 0;
    }
    fs_document_free(&document);
}
