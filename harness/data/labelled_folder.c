/* The pictures in a folder, with their classes and splits. */
#include "harness/data/labelled_folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "harness/data/folder.h"
#include "kernels/base/hash.h"
#include "kernels/base/memory.h"

static const char *const split_folders[] = {[FS_SPLIT_TRAIN] = "train", [FS_SPLIT_TEST] = "test"};

/* Names of sub-folders, each the beginning of a path: not owned, not terminated. */
struct class
{
    const char *name;
    size_t length;
};
struct class_list {
    struct class *items;
    int count;
};

static int compare_classes(const void *a, const void *b)
{
    const struct class *x = a, *y = b;
    const int order = memcmp(x->name, y->name, x->length < y->length ? x->length : y->length);
    return order != 0 ? order : (x->length > y->length) - (x->length < y->length);
}

/* The class of a name below its root, "cats/more/1.png"; length 0: it lies in no sub-folder. */
static struct class class_of(const char *name)
{
    const char *slash = strchr(name, '/');
    return (struct class){name, slash ? (size_t)(slash - name) : 0};
}

/* --- splits --- */

static bool begins_with_folder(const char *name, const char *folder)
{
    const size_t length = strlen(folder);
    return strncmp(name, folder, length) == 0 && name[length] == '/';
}

/* Whether each picture lies in train/ or test/, and each of the two has some. */
static bool has_split_folders(const struct fs_labelled_folder *folder)
{
    int64_t in[2] = {0, 0};
    for (int64_t i = 0; i < folder->count; i++) {
        for (int split = 0; split < 2; split++) {
            in[split] += begins_with_folder(folder->files[i].name, split_folders[split]);
        }
    }
    return in[0] > 0 && in[1] > 0 && in[0] + in[1] == folder->count;
}

/* The name's place in [0, 1): the first 32 bits of its hash. */
static double place_of(const char *name)
{
    char text[65];
    fs_sha256(name, strlen(name), text);
    text[8] = '\0';
    return (double)strtoul(text, NULL, 16) / 4294967296.0;
}

/* The part of a name that classes are read from. */
static const char *below_root(const struct fs_labelled_file *file, bool split_folders_there)
{
    return file->name + (split_folders_there ? strlen(split_folders[file->split]) + 1 : 0);
}

static void set_splits(struct fs_labelled_folder *folder, bool split_folders_there, double test_share)
{
    for (int64_t i = 0; i < folder->count; i++) {
        struct fs_labelled_file *file = &folder->files[i];
        const bool test = split_folders_there ? begins_with_folder(file->name, split_folders[FS_SPLIT_TEST])
                                              : place_of(file->name) < test_share;
        file->split = test ? FS_SPLIT_TEST : FS_SPLIT_TRAIN;
        folder->split_count[file->split]++;
    }
    for (int64_t i = 0; folder->split_count[FS_SPLIT_TRAIN] == 0 && i < folder->count; i++) {
        folder->files[i].split = FS_SPLIT_TRAIN; /* of very few pictures all may have been for testing */
    }
    folder->split_count[FS_SPLIT_TEST] =
        folder->split_count[FS_SPLIT_TRAIN] == 0 ? 0 : folder->split_count[FS_SPLIT_TEST];
    folder->split_count[FS_SPLIT_TRAIN] = folder->count - folder->split_count[FS_SPLIT_TEST];
}

/* --- classes --- */

/* Each class of the training pictures (all, without folders of splits) once, sorted; none where one picture has no
 * sub-folder. Names are sorted, so that a class's stand together. */
static fs_status list_classes(const struct fs_labelled_folder *folder, bool split_folders_there,
                              struct class_list *classes, struct fs_error *error)
{
    classes->items = fs_allocate((size_t)folder->count, sizeof *classes->items, "a list of classes", error);
    if (!classes->items) {
        return FS_FAILED;
    }
    for (int64_t i = 0; i < folder->count; i++) {
        const struct fs_labelled_file *file = &folder->files[i];
        const struct class class = class_of(below_root(file, split_folders_there));
        if (class.length == 0) {
            classes->count = 0;
            return FS_OK;
        }
        if ((!split_folders_there || file->split == FS_SPLIT_TRAIN) &&
            (classes->count == 0 || compare_classes(&classes->items[classes->count - 1], &class) != 0)) {
            classes->items[classes->count++] = class;
        }
    }
    qsort(classes->items, (size_t)classes->count, sizeof *classes->items, compare_classes);
    return FS_OK;
}

static fs_status set_labels(const char *path, struct fs_labelled_folder *folder, bool split_folders_there,
                            const struct class_list *classes, struct fs_error *error)
{
    for (int64_t i = 0; classes->count > 0 && i < folder->count; i++) {
        struct fs_labelled_file *file = &folder->files[i];
        const struct class class = class_of(below_root(file, split_folders_there));
        const struct class *found =
            bsearch(&class, classes->items, (size_t)classes->count, sizeof *classes->items, compare_classes);
        if (!found) {
            return fs_fail(error, FS_USAGE,
                           "%s: class %.*s is in test and not in train: nothing could be trained on it", path,
                           (int)class.length, class.name);
        }
        file->label = (int32_t)(found - classes->items);
    }
    folder->classes = classes->count;
    return FS_OK;
}

/* A class that has lost its pictures would go without a word, and move the numbers of those behind it. */
static fs_status refuse_empty_classes(const char *root, const struct class_list *classes, struct fs_error *error)
{
    DIR *entries = opendir(root);
    if (!entries) {
        return fs_fail(error, FS_USAGE, "%s: cannot be read: %s", root, strerror(errno));
    }
    fs_status status = FS_OK;
    for (const struct dirent *entry; status == FS_OK && (entry = readdir(entries)) != NULL;) {
        const struct class class = {entry->d_name, strlen(entry->d_name)};
        struct stat about;
        char path[FS_PATH_ROOM];
        if (entry->d_name[0] == '.' ||
            bsearch(&class, classes->items, (size_t)classes->count, sizeof *classes->items, compare_classes)) {
            continue;
        }
        status = fs_path(path, error, "%s/%s", root, entry->d_name);
        if (status == FS_OK && stat(path, &about) == 0 && S_ISDIR(about.st_mode)) {
            status = fs_fail(
                error, FS_USAGE,
                "%s: a class without a picture: put some there (.png, .jpg or .jpeg), or remove the folder", path);
        }
    }
    closedir(entries);
    return status;
}

/* --- the whole --- */

static fs_status classify(const char *path, double test_share, struct fs_labelled_folder *folder,
                          struct class_list *classes, struct fs_error *error)
{
    const bool split_folders_there = has_split_folders(folder);
    char root[FS_PATH_ROOM];
    set_splits(folder, split_folders_there, test_share);
    FS_TRY(list_classes(folder, split_folders_there, classes, error));
    FS_TRY(set_labels(path, folder, split_folders_there, classes, error));
    FS_TRY(fs_path(root, error, "%s%s%s", path, split_folders_there ? "/" : "",
                   split_folders_there ? split_folders[FS_SPLIT_TRAIN] : ""));
    return folder->classes > 0 ? refuse_empty_classes(root, classes, error) : FS_OK;
}

fs_status fs_labelled_folder_list(const char *path, double test_share, struct fs_labelled_folder *folder,
                                  struct fs_error *error)
{
    *folder = (struct fs_labelled_folder){0};
    struct class_list classes = {NULL, 0};
    FS_TRY(fs_folder_pictures(path, &folder->paths, &folder->count, error));
    folder->files = fs_allocate((size_t)folder->count, sizeof *folder->files, "a list of pictures", error);
    if (!folder->files) {
        return FS_FAILED;
    }
    const size_t length = strlen(path), skip = length + (length > 0 && path[length - 1] == '/' ? 0 : 1);
    for (int64_t i = 0; i < folder->count; i++) {
        folder->files[i] = (struct fs_labelled_file){.path = folder->paths[i], .name = folder->paths[i] + skip};
    }
    const fs_status status = classify(path, test_share, folder, &classes, error);
    free(classes.items);
    return status;
}

int32_t *fs_labelled_folder_labels(const struct fs_labelled_folder *folder, enum fs_split split, struct fs_error *error)
{
    int32_t *labels = fs_allocate((size_t)folder->split_count[split], sizeof *labels, "labels", error);
    for (int64_t i = 0, row = 0; labels && i < folder->count; i++) {
        if (folder->files[i].split == split) {
            labels[row++] = folder->files[i].label;
        }
    }
    return labels;
}

void fs_labelled_folder_free(struct fs_labelled_folder *folder)
{
    fs_folder_free(folder->paths, folder->count);
    free(folder->files);
    *folder = (struct fs_labelled_folder){0};
}
