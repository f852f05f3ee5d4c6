/* The methods there are. A new one is a line here, the last: pages give a method its colour by its place. */
#include "methods/method.h"

#include <string.h>

/* clang-format off */
#define METHODS(X) \
    X(fs_flow_matching) \
    X(fs_progressive_distillation) \
    X(fs_reflow) \
    X(fs_shortcut) \
    X(fs_consistency_distillation) \
    X(fs_consistency_training) \
    X(fs_live_reflow) \
    X(fs_diffusion) \
    X(fs_split_mean_flow) \
    X(fs_transition_model) \
    X(fs_alpha_flow) \
    X(fs_mean_flow)
/* clang-format on */

#define DECLARATION(method) extern const struct fs_method method;
#define ADDRESS(method) &method,
METHODS(DECLARATION)
static const struct fs_method *const methods[] = {METHODS(ADDRESS)};

bool fs_method_takes_steps(const struct fs_method *method, int finest_steps, int steps)
{
    const bool power = (steps & (steps - 1)) == 0;
    return steps >= 1 && steps <= finest_steps && (power || (method->freedom & FS_ANY_STEPS));
}

const struct fs_method *fs_method_at(int index)
{
    const int count = sizeof methods / sizeof *methods;
    return index >= 0 && index < count ? methods[index] : NULL;
}

const struct fs_method *fs_method_find(const char *name)
{
    const struct fs_method *method;
    for (int i = 0; (method = fs_method_at(i)) != NULL; i++) {
        if (strcmp(method->name, name) == 0) {
            return method;
        }
    }
    return NULL;
}
