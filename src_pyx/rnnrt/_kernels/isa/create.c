/* Tensors made by a rule: ones at places, triangles. */
#include "copy.h"
#include "index.h"

/* IN indices (int64 or int32), values (off, on); ints: axis. OUT on where the place along the axis is the index, which
 * counts from the end when negative, off elsewhere. An index out of range marks nothing. */
RN_KERNEL(one_hot)
{
    const rn_tensor *indices = call->in[0], *values = call->in[1], *y = call->out[0];
    const int64_t axis = call->ints[0], depth = y->shape[axis], size = rn_item_size(y->dtype);
    const rn_box fill = {.ndim = 1, .shape = {y->size}, .from = {0}, .to = {1}};
    int64_t inner = 1;
    if (!size || !rn_holds_indices(indices))
        return RN_BAD_DTYPE;
    rn_copy_box(fill, y->dtype, values->data, 0, y->data, 0);
    for (int d = (int)axis + 1; d < y->ndim; d++)
        inner *= y->shape[d];
    for (int64_t i = 0; i < indices->size; i++) {
        int64_t k = rn_index_at(indices, i);
        k += k < 0 ? depth : 0;
        if (k >= 0 && k < depth) {
            const int64_t at = (i / inner * depth + k) * inner + i % inner;
            memcpy((char *)y->data + at * size, (const char *)values->data + size, (size_t)size);
        }
    }
    return RN_OK;
}

/* IN x, matrices in its last two axes; ints: whether the upper triangle stays, and from which diagonal on.
 * OUT x with zeros beyond it. */
RN_KERNEL(triangle)
{
    const rn_tensor *x = call->in[0], *y = call->out[0];
    const int64_t columns = x->shape[x->ndim - 1], rows = x->shape[x->ndim - 2], size = rn_item_size(x->dtype);
    if (!size)
        return RN_BAD_DTYPE;
    for (int64_t r = 0; columns && r < x->size / columns; r++) {
        const int64_t edge = r % rows + call->ints[1] + (call->ints[0] ? 0 : 1);
        const int64_t cut = edge < 0 ? 0 : edge < columns ? edge : columns;
        const int64_t from = call->ints[0] ? cut : 0, to = call->ints[0] ? columns : cut;
        char *row = (char *)y->data + r * columns * size;
        memset(row, 0, (size_t)(columns * size));
        memcpy(row + from * size, (const char *)x->data + (r * columns + from) * size, (size_t)((to - from) * size));
    }
    return RN_OK;
}
