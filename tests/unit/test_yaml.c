/* The YAML tree: places, limits, refusals, and that no mutation of a file can break the reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "harness/config/yaml.h"

static fs_status parse(const char *text, struct fs_document *document, struct fs_node **root, struct fs_error *error)
{
    return fs_yaml_parse(document, "x.yaml", true, text, strlen(text), root, error);
}

static void keeps_places(void **state)
{
    (void)state;
    struct fs_document document = {0};
    struct fs_node *root;
    struct fs_error error;
    assert_int_equal(parse("a: 1\nb:\n  c: 'two'\n  d: [x,\n      y]\n", &document, &root, &error), FS_OK);
    assert_int_equal(root->kind, FS_NODE_MAP);
    const struct fs_node *c = fs_node_find(root, "b.c");
    assert_string_equal(c->text, "two");
    assert_true(c->quoted);
    assert_int_equal(c->line, 3);
    assert_int_equal(fs_node_find(root, "b")->key_line, 2);
    assert_int_equal(fs_node_find(root, "b.d")->first->next->line, 5);
    assert_null(fs_node_find(root, "b.c.d"));
    assert_null(fs_node_find(root, "b.missing"));
    assert_null(fs_node_find(root, "bb"));
    fs_document_free(&document);
}

static void puts_and_detaches(void **state)
{
    (void)state;
    struct fs_document document = {0};
    struct fs_node *root, *value;
    struct fs_error error;
    assert_int_equal(parse("a: 1\nb: {c: 2}\n", &document, &root, &error), FS_OK);
    assert_int_equal(parse("[3, 4]", &document, &value, &error), FS_OK);
    assert_int_equal(fs_node_put(&document, root, "b.c", value, &error), FS_OK);
    assert_int_equal(fs_node_put(&document, root, "d.e.f", value, &error), FS_OK);
    assert_string_equal(fs_node_find(root, "b.c")->first->text, "3");
    assert_string_equal(fs_node_find(root, "d.e.f")->first->next->text, "4");
    assert_string_equal(fs_node_detach(root, "a")->text, "1");
    assert_null(fs_node_find(root, "a"));
    assert_null(fs_node_detach(root, "a"));
    fs_document_free(&document);
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "x.yaml: is empty"},
        {"# only a comment\n", "x.yaml: is empty"},
        {"a: 1\na: 2\n", "x.yaml:2: the key 'a' stands here a second time"},
        {"a: 1\n---\nb: 2\n", "x.yaml:2: a second document begins here; expected one"},
        {"a: &x 1\nb: *x\n", "x.yaml:1: anchors and aliases are not supported: write the value out"},
        {"a: 1\nb: *x\n", "x.yaml:2: anchors and aliases are not supported: write the value out"},
        {"a: !!str 1\n", "x.yaml:1: tags are not supported"},
        {"[a, b]: 1\n", "x.yaml:1: a key must be plain text"},
        {"a: 1\n? {b: c}\n: 1\n", "x.yaml:2: a key must be plain text"},
        {"a: |\n  two\n  lines\n", "x.yaml:1: a text must be one line without control characters"},
        {"a: \"\\0\"\n", "x.yaml:1: a text must be one line without control characters"},
        {"a: 1\nb: [1, 2\n",
         "x.yaml:3: not valid YAML: did not find expected ',' or ']' while parsing a flow sequence"},
        {"a: 1\nb: \x01\n", "x.yaml:2: not valid YAML: control characters are not allowed"},
        {"a: 1\n\n\xff\xfe\n", "x.yaml:3: not valid YAML: invalid leading UTF-8 octet"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fs_document document = {0};
        struct fs_node *root;
        struct fs_error error = {.text = ""};
        assert_int_equal(parse(cases[i].text, &document, &root, &error), FS_USAGE);
        assert_string_equal(error.text, cases[i].message);
        fs_document_free(&document);
    }
}

static void keeps_limits(void **state)
{
    (void)state;
    struct fs_document document = {0};
    struct fs_node *root;
    struct fs_error error;
    char deep[64] = "";
    memset(deep, '[', FS_YAML_DEPTH_MAX + 2);
    assert_int_equal(parse(deep, &document, &root, &error), FS_USAGE);
    assert_string_equal(error.text, "x.yaml:1: nested too deeply for a configuration");
    fs_document_free(&document);

    const size_t size = FS_YAML_BYTES_MAX + 1;
    char *large = malloc(size + 1);
    assert_non_null(large);
    for (size_t i = 0; i < size; i++) {
        large[i] = i == 0 ? '[' : i % 2 == 1 ? '1' : ',';
    }
    large[size] = '\0';
    assert_int_equal(parse(large, &document, &root, &error), FS_USAGE);
    assert_string_equal(error.text, "x.yaml: 262145 bytes are too many for a configuration, at most 262144");
    large[size - 1] = '\0';
    assert_int_equal(parse(large, &document, &root, &error), FS_USAGE);
    assert_string_equal(error.text, "x.yaml:1: too many values for a configuration");
    fs_document_free(&document);
    free(large);
}

/* A generator of its own (xorshift, Marsaglia 2003), so that a failing seed can be run again anywhere. */
static uint32_t draw(uint32_t *state, uint32_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state % below;
}

static size_t mutate(char *text, size_t size, size_t capacity, uint32_t seed)
{
    static const char marks[] = "[]{}:,-?&*!|>'\"#%@`~\n\t \\\0\x80\xff.0";
    uint32_t state = seed * 2654435761U + 1;
    for (uint32_t edits = 1 + draw(&state, 6); edits > 0; edits--) {
        const size_t at = draw(&state, (uint32_t)size);
        const size_t length = 1 + draw(&state, 12);
        switch (draw(&state, 4)) {
        case 0: /* another byte */
            text[at] = (char)draw(&state, 256);
            break;
        case 1: /* a mark of YAML's */
            text[at] = marks[draw(&state, sizeof marks - 1)];
            break;
        case 2: /* a piece lost */
            if (at + length < size && size - length > 8) {
                memmove(text + at, text + at + length, size - at - length);
                size -= length;
            }
            break;
        default: /* a piece doubled */
            if (at + length < size && size + length <= capacity) {
                memmove(text + at + length, text + at, size - at);
                size += length;
            }
        }
    }
    return size;
}

static void survives_mutations(void **state)
{
    (void)state;
    static const char valid[] = "experiment: x\ntrain:\n  updates: 10 # few\n  batch: \"8\"\n"
                                "matrix: {seed: [0, 1, 2], method: [a, 'b']}\nevaluate:\n  steps:\n    - 1\n    - 4\n";
    int good = 0;
    for (uint32_t seed = 1; seed <= 5000; seed++) {
        char text[512];
        memcpy(text, valid, sizeof valid - 1);
        const size_t size = mutate(text, sizeof valid - 1, sizeof text, seed);
        struct fs_document document = {0};
        struct fs_node *root = NULL;
        struct fs_error error = {.text = ""};
        const fs_status status = fs_yaml_parse(&document, "x.yaml", true, text, size, &root, &error);
        if (status == FS_OK) {
            assert_non_null(root);
            good++;
        } else {
            assert_int_equal(status, FS_USAGE);
            assert_memory_equal(error.text, "x.yaml", 6);
            assert_null(strchr(error.text, '\n'));
        }
        fs_document_free(&document);
    }
    assert_in_range(good, 100, 4900); /* both roads were taken */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_places), cmocka_unit_test(puts_and_detaches),  cmocka_unit_test(refuses),
        cmocka_unit_test(keeps_limits), cmocka_unit_test(survives_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
