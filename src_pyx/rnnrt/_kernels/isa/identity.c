/* identity: out = in, the same bytes. */
#include "kernel.h"

#include <string.h>

static const size_t item_bytes[] = {4, 8, 4, 8, 1, 1, 1, 2, 2, 4, 8};

RN_KERNEL(identity)
{
    const rn_tensor *in = call->in[0], *out = call->out[0];
    if (out->size)
        memcpy(out->data, in->data, (size_t)out->size * item_bytes[out->dtype]);
    return RN_OK;
}
