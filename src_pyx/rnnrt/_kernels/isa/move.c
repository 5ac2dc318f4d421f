/* Kernels that move elements without looking at them: one strided box each. */
#include "copy.h"

/* IN x; ints: perm. OUT y[i...] = x[i permuted]. */
RN_KERNEL(transpose)
{
    const rn_tensor *x = call->in[0], *y = call->out[0];
    int64_t strides[RN_MAX_DIMS];
    rn_box box = {.ndim = x->ndim};
    rn_strides(x, strides);
    rn_strides(y, box.to);
    for (int i = 0; i < x->ndim; i++) {
        box.shape[i] = y->shape[i];
        box.from[i] = strides[call->ints[i]];
    }
    return rn_copy_box(box, x->dtype, x->data, 0, y->data, 0);
}

/* IN x; ints: first element of each axis, then steps. OUT y[i] = x[start + i * step]. */
RN_KERNEL(slice)
{
    const rn_tensor *x = call->in[0], *y = call->out[0];
    int64_t strides[RN_MAX_DIMS], offset = 0;
    rn_box box = {.ndim = x->ndim};
    rn_strides(x, strides);
    rn_strides(y, box.to);
    for (int i = 0; i < x->ndim; i++) {
        box.shape[i] = y->shape[i];
        box.from[i] = strides[i] * call->ints[x->ndim + i];
        offset += strides[i] * call->ints[i];
    }
    return rn_copy_box(box, x->dtype, x->data, offset, y->data, 0);
}

/* IN x, broadcast. OUT y of a larger shape, perhaps of a higher rank. */
RN_KERNEL(expand)
{
    const rn_tensor *x = call->in[0], *y = call->out[0];
    int64_t strides[RN_MAX_DIMS];
    rn_box box = {.ndim = y->ndim};
    int extra = y->ndim - x->ndim;
    rn_strides(x, strides);
    rn_strides(y, box.to);
    for (int i = 0; i < y->ndim; i++) {
        box.shape[i] = y->shape[i];
        box.from[i] = i < extra || x->shape[i - extra] == 1 ? 0 : strides[i - extra];
    }
    return rn_copy_box(box, x->dtype, x->data, 0, y->data, 0);
}

/* IN any number of tensors; ints: axis. OUT y holds them one after the other along the axis. */
RN_KERNEL(concat)
{
    const rn_tensor *y = call->out[0];
    int64_t axis = call->ints[0], at = 0;
    for (int k = 0; k < call->n_in; k++) {
        const rn_tensor *x = call->in[k];
        rn_box box = {.ndim = y->ndim};
        rn_strides(x, box.from);
        rn_strides(y, box.to);
        memcpy(box.shape, x->shape, sizeof box.shape);
        int code = rn_copy_box(box, y->dtype, x->data, 0, y->data, at * box.to[axis]);
        if (code != RN_OK)
            return code;
        at += x->shape[axis];
    }
    return RN_OK;
}

/* IN x; ints: axis, then the length of each piece. OUT the pieces; a missing one is skipped. */
RN_KERNEL(split)
{
    const rn_tensor *x = call->in[0];
    int64_t axis = call->ints[0], at = 0;
    for (int k = 0; k < call->n_out; k++) {
        const rn_tensor *y = call->out[k];
        if (y) {
            rn_box box = {.ndim = x->ndim};
            rn_strides(x, box.from);
            rn_strides(y, box.to);
            memcpy(box.shape, y->shape, sizeof box.shape);
            int code = rn_copy_box(box, x->dtype, x->data, at * box.from[axis], y->data, 0);
            if (code != RN_OK)
                return code;
        }
        at += call->ints[1 + k];
    }
    return RN_OK;
}

/* IN x, value (one element, or absent: zero); ints: elements before each axis, negative to cut. OUT y. */
RN_KERNEL(pad)
{
    const rn_tensor *x = call->in[0], *value = call->in[1], *y = call->out[0];
    int64_t from_offset = 0, to_offset = 0, size = rn_item_size(y->dtype), zero = 0;
    rn_box fill = {.ndim = 1, .shape = {y->size}, .from = {0}, .to = {1}}, box = {.ndim = x->ndim};
    if (!size)
        return RN_BAD_DTYPE;
    rn_copy_box(fill, y->dtype, value ? value->data : &zero, 0, y->data, 0);
    rn_strides(x, box.from);
    rn_strides(y, box.to);
    for (int i = 0; i < x->ndim; i++) {
        int64_t before = call->ints[i], cut = before < 0 ? -before : 0, put = before > 0 ? before : 0;
        int64_t left = x->shape[i] - cut, room = y->shape[i] - put;
        box.shape[i] = left < room ? left : room;
        if (box.shape[i] < 0)
            box.shape[i] = 0;
        from_offset += cut * box.from[i];
        to_offset += put * box.to[i];
    }
    return rn_copy_box(box, y->dtype, x->data, from_offset, y->data, to_offset);
}

/* IN x; ints: repeats are the ratio of the shapes. OUT y[i] = x[i mod extent]. */
RN_KERNEL(tile)
{
    const rn_tensor *x = call->in[0], *y = call->out[0];
    int64_t strides[RN_MAX_DIMS], to[RN_MAX_DIMS];
    rn_box box = {.ndim = 0};
    if (2 * x->ndim > RN_MAX_DIMS || !x->size)
        return x->size ? RN_BAD_VALUE : RN_OK;
    rn_strides(x, strides);
    rn_strides(y, to);
    for (int i = 0; i < x->ndim; i++) { /* each axis becomes two: which repeat, and where in it */
        box.shape[box.ndim] = y->shape[i] / x->shape[i];
        box.from[box.ndim] = 0;
        box.to[box.ndim++] = to[i] * x->shape[i];
        box.shape[box.ndim] = x->shape[i];
        box.from[box.ndim] = strides[i];
        box.to[box.ndim++] = to[i];
    }
    return rn_copy_box(box, x->dtype, x->data, 0, y->data, 0);
}
