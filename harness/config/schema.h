/* The keys of an experiment file, or of another: one table of name, type, range, default and place in the object that
 * is read (struct fs_config). The keys of the methods join it from their own tables of options, as methods.NAME.KEY. */
#ifndef FEWSTEP_CONFIG_SCHEMA_H
#define FEWSTEP_CONFIG_SCHEMA_H

#include <stdio.h>

#include "harness/config/config.h"
#include "harness/config/yaml.h"
#include "harness/text/number.h"

enum fs_key_kind {
    FS_KEY_REAL = FS_OPTION_REAL,
    FS_KEY_WHOLE = FS_OPTION_WHOLE,
    FS_KEY_BOOL = FS_OPTION_BOOL,
    FS_KEY_CHOICE = FS_OPTION_CHOICE,
    FS_KEY_STEP = FS_OPTION_STEP,
    FS_KEY_TEXT,
    FS_KEY_METHOD, /* const struct fs_method * by its name */
    FS_KEY_WHOLES, /* int[], with its count */
    FS_KEY_TEXTS,  /* char[][FS_NAME_ROOM], with its count */
    FS_KEY_REALS,  /* double[], with its count */
    FS_KEY_NODES,  /* const struct fs_node *: a list with something in it, which the caller reads */
};

#define FS_KEY_NAME 96
#define FS_TEXTS_SIZE FS_NAME_ROOM

struct fs_key {
    char name[FS_KEY_NAME];         /* dotted: train.batch */
    const struct fs_method *method; /* whose key it is; NULL: everyone's */
    enum fs_key_kind kind;
    size_t offset, size;               /* of the field in the object; lists: of the whole array */
    size_t count_offset;               /* lists: of their int count */
    const char *fallback_text;         /* the default of texts and lists ("[1, 2]"), NULL: required */
    double fallback;                   /* the default of the others; NAN: required */
    double minimum, maximum;           /* a maximum of 0 below the minimum means none */
    bool above_minimum, below_maximum; /* the bound itself is outside */
    const char *choices;               /* CHOICE: "constant|cosine" */
    const char *zero;                  /* the word that stands for 0 */
    const char *(*name_at)(int index); /* the texts that are allowed, NULL past the last; not given: any */
    const char *ending;                /* texts that end so are allowed besides: names of files; not given: none */
    bool trains;                       /* part of train_hash */
    bool of_teacher;                   /* a method's key that counts where another one has it for a teacher, too */
};

/* Every key there is, in the order of their names. */
struct fs_schema {
    const struct fs_key *keys;
    int count;
};

fs_status fs_schema_create(struct fs_schema *schema, struct fs_error *error);
void fs_schema_destroy(struct fs_schema *schema);
const struct fs_key *fs_schema_find(const struct fs_schema *schema, const char *name); /* NULL: no such key */

/* Refuses keys of the tree that do not exist, and sections that are no maps. */
fs_status fs_schema_check(const struct fs_schema *schema, const struct fs_node *root, struct fs_error *error);
/* The message for a name that is no key, at place:line: a suggestion or the names there are. Returns FS_USAGE. */
fs_status fs_schema_refuse(const struct fs_schema *schema, const char *place, int line, const char *name,
                           struct fs_error *error);

/* Whether a key says something of the run: everyone's, its method's, and those of its teacher's. */
bool fs_key_counts(const struct fs_key *key, const struct fs_config *config);

/* The node's value, or the default, into the key's field of the object. FS_USAGE with place, line and key. */
fs_status fs_key_read(const struct fs_key *key, const struct fs_node *node, void *object, struct fs_error *error);
bool fs_key_required(const struct fs_key *key);
fs_status fs_key_default(const struct fs_key *key, void *object, struct fs_error *error);
/* A map with these keys and no others, each by its value or its default. FS_USAGE with place, line and key. */
fs_status fs_schema_read(const struct fs_schema *schema, const struct fs_node *map, void *object,
                         struct fs_error *error);
/* The field as canonical JSON. */
void fs_key_write(const struct fs_key *key, const struct fs_config *config, FILE *stream);
/* The same as fresh text, owned by the caller; NULL and `error` filled when there is no memory. */
char *fs_key_text(const struct fs_key *key, const struct fs_config *config, struct fs_error *error);

/* The shortest decimal text that strtod reads back as `value`; whole numbers below 10¹⁵ without exponent. */
const char *fs_number_text(double value, char text[FS_NUMBER_TEXT]);

#endif
