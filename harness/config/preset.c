/* The sizes of the backbone by name (Peebles & Xie 2023, table 1, and two smaller ones). */
#include <stdlib.h>
#include <string.h>

#include "harness/config/preset.h"

static const struct {
    const char *name;
    int hidden, depth, heads;
} PRESETS[] = {
    {"dit-xs", 128, 4, 4},  {"dit-ti", 192, 6, 3},   {"dit-s", 384, 12, 6},
    {"dit-b", 768, 12, 12}, {"dit-l", 1024, 24, 16}, {"dit-xl", 1152, 28, 16},
};

fs_status fs_model_preset(const char *preset, struct fs_model_config *config, struct fs_error *error)
{
    const size_t length = strcspn(preset, "/");
    const char *patch = preset[length] == '/' ? preset + length + 1 : "";
    const size_t digits = strspn(patch, "0123456789");
    const bool patch_good = digits >= 1 && digits <= 3 && patch[digits] == '\0' && *patch != '0';
    for (size_t i = 0; patch_good && i < sizeof PRESETS / sizeof *PRESETS; i++) {
        if (strlen(PRESETS[i].name) == length && strncmp(PRESETS[i].name, preset, length) == 0) {
            config->patch = atoi(patch);
            config->hidden = PRESETS[i].hidden;
            config->depth = PRESETS[i].depth;
            config->heads = PRESETS[i].heads;
            return FS_OK;
        }
    }
    return fs_fail(error, FS_USAGE,
                   "expected dit-xs, dit-ti, dit-s, dit-b, dit-l or dit-xl with a patch size, such as dit-xs/4, "
                   "got '%s'",
                   preset);
}
