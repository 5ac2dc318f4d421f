/* softmax: one pass for the largest, one for exponentials and their sum, one to scale. */
#include "kernel.h"
#include "vecmath.h"
#include "walk.h"

#define RN_REAL_BITS 32
#include "real.h"
#include "softmax_body.h"
#undef RN_REAL_BITS
#define RN_REAL_BITS 64
#include "real.h"
#include "softmax_body.h"

/* IN x; ints: axis, whether to take the logarithm. OUT y; float32 and float64. */
RN_KERNEL(softmax)
{
    const rn_tensor *x = call->in[0], *y = call->out[0];
    const int64_t axis = call->ints[0], n = x->shape[axis];
    const int log = (int)call->ints[1];
    int64_t outer = 1, inner = 1;
    if (!x->size)
        return RN_OK;
    for (int64_t d = 0; d < axis; d++)
        outer *= x->shape[d];
    for (int64_t d = axis + 1; d < x->ndim; d++)
        inner *= x->shape[d];
    if (x->dtype == RN_F32 && log)
        softmax_all_f32(1, x->data, y->data, outer, n, inner);
    else if (x->dtype == RN_F32)
        softmax_all_f32(0, x->data, y->data, outer, n, inner);
    else if (x->dtype == RN_F64)
        softmax_all_f64(log, x->data, y->data, outer, n, inner);
    else
        return RN_BAD_DTYPE;
    return RN_OK;
}
