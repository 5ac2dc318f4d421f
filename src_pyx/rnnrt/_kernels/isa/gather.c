/* Picking slices by index. */
#include "copy.h"
#include "index.h"

/* IN x (outer, extent, inner), indices of int32 or int64, negative from the end; ints: axis.
 * OUT y (outer, indices, inner). An index out of range stops the run. */
RN_KERNEL(gather)
{
    const rn_tensor *x = call->in[0], *indices = call->in[1], *y = call->out[0];
    int64_t axis = call->ints[0], outer = 1, inner = rn_item_size(x->dtype), extent = x->shape[axis];
    if (!inner || !rn_holds_indices(indices))
        return RN_BAD_DTYPE;
    for (int i = 0; i < axis; i++)
        outer *= x->shape[i];
    for (int i = axis + 1; i < x->ndim; i++)
        inner *= x->shape[i];
    for (int64_t k = 0; k < indices->size; k++) {
        int64_t index = rn_index_at(indices, k);
        if (index < -extent || index >= extent)
            return RN_INDEX_RANGE;
    }
    const char *from = x->data;
    char *to = y->data;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t k = 0; k < indices->size; k++) {
            int64_t index = rn_index_at(indices, k);
            index += index < 0 ? extent : 0;
            const char *source = from + (o * extent + index) * inner;
            char *target = to + (o * indices->size + k) * inner;
            if (inner == 4)
                memcpy(target, source, 4);
            else
                memcpy(target, source, inner);
        }
    return RN_OK;
}
