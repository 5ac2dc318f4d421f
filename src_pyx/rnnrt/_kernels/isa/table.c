/* The kernels of one instruction set by name. */
#include "kernel.h"

#include <string.h>

#define X(name) extern int RN_NAME(name)(const rn_call *call);
#include "kernels.def"
#undef X

static const struct {
    const char *name;
    rn_kernel kernel;
} table[] = {
#define X(name) {#name, RN_NAME(name)},
#include "kernels.def"
#undef X
};

rn_kernel RN_NAME(find_kernel)(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(table[i].name, name))
            return table[i].kernel;
    return NULL;
}
