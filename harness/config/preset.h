/* The sizes of the backbone by name. */
#ifndef FEWSTEP_PRESET_H
#define FEWSTEP_PRESET_H

#include "harness/config/config.h"

/* Fills hidden, depth, heads and patch from "dit-xs/4"; FS_USAGE names the presets there are. */
fs_status fs_model_preset(const char *preset, struct fs_model_config *config, struct fs_error *error);

#endif
