/* Fashion-MNIST (Xiao, Rasul & Vollgraf 2017): four IDX files, whose contents are known. */
#include "harness/data/idx.h"

#define DEFAULT_FOLDER "/usr/share/datasets/fashion-mnist"

/* The name stands for these files and no others, wherever they lie. */
static struct fs_idx_folder published(const char *path)
{
    return (struct fs_idx_folder){
        .path = *path ? path : DEFAULT_FOLDER,
        .sha256 = {{"c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"},
                   {"5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"}},
        .missing = "install it with `apt install dataset-fashion-mnist`, or name the folder that holds it as "
                   "dataset.path",
        .wrong = "not the Fashion-MNIST file it should be: reinstall or download it again; other data in such files "
                 "have a name of their own and `kind: idx`",
    };
}

static fs_status fashion_mnist_shape(const struct fs_dataset_config *config, enum fs_split split,
                                     struct fs_data_shape *shape, struct fs_error *error)
{
    (void)config, (void)error;
    *shape = (struct fs_data_shape){28, 28, 1, 10, split == FS_SPLIT_TRAIN ? 60000 : 10000};
    return FS_OK;
}

static fs_status fashion_mnist_open(const struct fs_dataset_config *config, const struct fs_data_access *access,
                                    struct fs_dataset *dataset, struct fs_error *error)
{
    (void)access;
    const struct fs_idx_folder folder = published(config->path);
    return fs_idx_open(&folder, dataset, error);
}

const struct fs_data_source fs_fashion_mnist = {
    .kind = "fashion-mnist",
    .pictures = true,
    .mirrors = true,
    .shape = fashion_mnist_shape,
    .open = fashion_mnist_open,
    .read = fs_idx_read,
};
