/* Adding slices up at the rows that they were picked from. */
#include "index.h"

#include <string.h>

#define ADD_ROWS(type)                                                                                                 \
    {                                                                                                                  \
        const type *from = g->data;                                                                                    \
        type *to = y->data;                                                                                            \
        for (int64_t o = 0; o < outer; o++, to += extent * inner)                                                      \
            for (int64_t k = 0; k < indices->size; k++, from += inner) {                                               \
                int64_t index = rn_index_at(indices, k);                                                               \
                index += index < 0 ? extent : 0;                                                                       \
                type *row = to + index * inner;                                                                        \
                for (int64_t i = 0; i < inner; i++)                                                                    \
                    row[i] += from[i];                                                                                 \
            }                                                                                                          \
        return RN_OK;                                                                                                  \
    }

/* IN g (outer, indices, inner), indices of int32 or int64, negative from the end; ints: axis. OUT y (outer, extent,
 * inner), each row the sum of the slices at its index, in their order. An index out of range stops the run. */
RN_KERNEL(gather_gradient)
{
    const rn_tensor *g = call->in[0], *indices = call->in[1], *y = call->out[0];
    const int64_t axis = call->ints[0], extent = y->shape[axis];
    int64_t outer = 1, inner = 1;
    if (!rn_holds_indices(indices))
        return RN_BAD_DTYPE;
    for (int64_t i = 0; i < axis; i++)
        outer *= y->shape[i];
    for (int64_t i = axis + 1; i < y->ndim; i++)
        inner *= y->shape[i];
    for (int64_t k = 0; k < indices->size; k++) {
        const int64_t index = rn_index_at(indices, k);
        if (index < -extent || index >= extent)
            return RN_INDEX_RANGE;
    }
    if (y->size)
        memset(y->data, 0, (size_t)(y->size * (y->dtype == RN_F32 ? 4 : 8)));
    if (y->dtype == RN_F32)
        ADD_ROWS(float)
    if (y->dtype == RN_F64)
        ADD_ROWS(double)
    return RN_BAD_DTYPE;
}
