/* fashion-cnn: the classifier (classifier.h) of 28 × 28 grey pictures that was trained on Fashion-MNIST. */
#ifndef FEWSTEP_FASHION_CNN_H
#define FEWSTEP_FASHION_CNN_H

#include "metrics/classifier.h"

/* Of metrics/fashion-cnn.safetensors. The committed file is the extractor, frozen: another one makes other scores. */
#define FS_FASHION_CNN_SHA256 "65cc99ceaf4bdd1fb0c0ea18e87afff6fad563104a28f40b0d97fb0549cbd9c5"

#define FS_FASHION_CNN_SIDE 28 /* pixels */

/* Where fashion-cnn.safetensors is (weights_file.h). */
fs_status fs_fashion_cnn_find(char path[FS_PATH_ROOM], struct fs_error *error);

/* The extractor (extractor.h). FS_USAGE when the weights are missing or not those of FS_FASHION_CNN_SHA256. */
fs_status fs_fashion_cnn_open(struct fs_backend *backend, struct fs_extractor *extractor, struct fs_error *error);

#endif
