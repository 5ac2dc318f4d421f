/* Picking and putting elements and slices by index. An index out of range stops the run. */
#include "copy.h"
#include "index.h"

enum { PUT, ADD, MUL, MAX, MIN };

static inline int takes(const rn_tensor *x, const rn_tensor *indices)
{
    return rn_item_size(x->dtype) && rn_holds_indices(indices);
}

/* n elements of `to` with those of `from`; max and min give NaN when either is NaN. Integers wrap. */
#define DEFINE_COMBINE(name, type, wide)                                                                               \
    static void name(int64_t op, type *to, const type *from, int64_t n)                                                \
    {                                                                                                                  \
        switch (op) {                                                                                                  \
        case ADD: for (int64_t i = 0; i < n; i++) to[i] = (type)((wide)to[i] + (wide)from[i]); return;                 \
        case MUL: for (int64_t i = 0; i < n; i++) to[i] = (type)((wide)to[i] * (wide)from[i]); return;                 \
        case MAX: for (int64_t i = 0; i < n; i++) to[i] = to[i] >= from[i] || to[i] != to[i] ? to[i] : from[i]; return;\
        case MIN: for (int64_t i = 0; i < n; i++) to[i] = to[i] <= from[i] || to[i] != to[i] ? to[i] : from[i]; return;\
        }                                                                                                              \
    }
DEFINE_COMBINE(combine_f32, float, float)
DEFINE_COMBINE(combine_f64, double, double)
DEFINE_COMBINE(combine_i32, int32_t, uint32_t)
DEFINE_COMBINE(combine_i64, int64_t, uint64_t)

/* `n` elements of y from element `at` on. */
static inline int put(int64_t op, const rn_tensor *y, int64_t at, const void *from, int64_t n)
{
    const int64_t size = rn_item_size(y->dtype);
    void *to = (char *)y->data + at * size;
    if (op == PUT && n == 1 && size == 4)
        memcpy(to, from, 4);
    else if (op == PUT)
        memcpy(to, from, (size_t)(n * size));
    else if (y->dtype == RN_F32)
        combine_f32(op, to, from, n);
    else if (y->dtype == RN_F64)
        combine_f64(op, to, from, n);
    else if (y->dtype == RN_I32)
        combine_i32(op, to, from, n);
    else if (y->dtype == RN_I64)
        combine_i64(op, to, from, n);
    else
        return RN_BAD_DTYPE;
    return RN_OK;
}

/* Where the slice that tuple `t` names begins, `first` axes of x going before; -1: out of range. */
static inline int64_t slice_at(const rn_tensor *indices, int64_t t, int64_t depth, const rn_tensor *x, int64_t first,
                               const int64_t *strides)
{
    int64_t at = 0;
    for (int64_t k = 0; k < depth; k++) {
        const int64_t extent = x->shape[first + k];
        int64_t index = rn_index_at(indices, t * depth + k);
        if (index < -extent || index >= extent)
            return -1;
        at += (index + (index < 0 ? extent : 0)) * strides[first + k];
    }
    return at;
}

/* IN x, indices (..., depth), updates; ints: op. OUT x with the updates at the slices that the indices name. */
RN_KERNEL(scatter_nd)
{
    const rn_tensor *x = call->in[0], *indices = call->in[1], *updates = call->in[2], *y = call->out[0];
    const int64_t size = rn_item_size(x->dtype);
    int64_t strides[RN_MAX_DIMS], inner = 1;
    if (!takes(x, indices))
        return RN_BAD_DTYPE;
    if (x->size)
        memcpy(y->data, x->data, (size_t)(x->size * size));
    const int64_t depth = indices->shape[indices->ndim - 1], tuples = depth ? indices->size / depth : 0;
    rn_strides(x, strides);
    for (int64_t d = depth; d < x->ndim; d++)
        inner *= x->shape[d];
    for (int64_t t = 0; t < tuples; t++) {
        const int64_t at = slice_at(indices, t, depth, x, 0, strides);
        if (at < 0)
            return RN_INDEX_RANGE;
        const int code = put(call->ints[0], y, at, (const char *)updates->data + t * inner * size, inner);
        if (code != RN_OK)
            return code;
    }
    return RN_OK;
}

/* IN x, indices (..., depth); ints: batch axes. OUT the slices that the indices name. */
RN_KERNEL(gather_nd)
{
    const rn_tensor *x = call->in[0], *indices = call->in[1], *y = call->out[0];
    const int64_t size = rn_item_size(x->dtype), batch_axes = call->ints[0];
    int64_t strides[RN_MAX_DIMS], inner = 1, batches = 1;
    if (!takes(x, indices))
        return RN_BAD_DTYPE;
    const int64_t depth = indices->shape[indices->ndim - 1], tuples = depth ? indices->size / depth : 0;
    rn_strides(x, strides);
    for (int64_t d = 0; d < batch_axes; d++)
        batches *= x->shape[d];
    for (int64_t d = batch_axes + depth; d < x->ndim; d++)
        inner *= x->shape[d];
    for (int64_t t = 0; t < tuples; t++) {
        const int64_t batch = t / (tuples / batches), at = slice_at(indices, t, depth, x, batch_axes, strides);
        if (at < 0)
            return RN_INDEX_RANGE;
        const int64_t from = batch * (x->size / batches) + at;
        memcpy((char *)y->data + t * inner * size, (const char *)x->data + from * size, (size_t)(inner * size));
    }
    return RN_OK;
}

/* The element of x at the place of element i of the indices, but at the index along `axis`; -1: out of range. */
static inline int64_t element_at(const rn_tensor *indices, int64_t i, const rn_tensor *x, int64_t axis,
                                 const int64_t *strides)
{
    const int64_t extent = x->shape[axis];
    int64_t index = rn_index_at(indices, i), at = 0;
    if (index < -extent || index >= extent)
        return -1;
    for (int d = x->ndim - 1; d >= 0; d--) {
        at += (d == axis ? index + (index < 0 ? extent : 0) : i % indices->shape[d]) * strides[d];
        i /= indices->shape[d];
    }
    return at;
}

/* IN x, indices; ints: axis. OUT for each index the element of x in its place, but at the index along the axis. */
RN_KERNEL(gather_elements)
{
    const rn_tensor *x = call->in[0], *indices = call->in[1], *y = call->out[0];
    const int64_t size = rn_item_size(x->dtype);
    int64_t strides[RN_MAX_DIMS];
    if (!takes(x, indices))
        return RN_BAD_DTYPE;
    rn_strides(x, strides);
    for (int64_t i = 0; i < indices->size; i++) {
        const int64_t at = element_at(indices, i, x, call->ints[0], strides);
        if (at < 0)
            return RN_INDEX_RANGE;
        memcpy((char *)y->data + i * size, (const char *)x->data + at * size, (size_t)size);
    }
    return RN_OK;
}

/* IN x, indices, updates; ints: axis, op. OUT x with each update in its place, but at the index along the axis. */
RN_KERNEL(scatter_elements)
{
    const rn_tensor *x = call->in[0], *indices = call->in[1], *updates = call->in[2], *y = call->out[0];
    const int64_t size = rn_item_size(x->dtype);
    int64_t strides[RN_MAX_DIMS];
    if (!takes(x, indices))
        return RN_BAD_DTYPE;
    if (x->size)
        memcpy(y->data, x->data, (size_t)(x->size * size));
    rn_strides(x, strides);
    for (int64_t i = 0; i < indices->size; i++) {
        const int64_t at = element_at(indices, i, x, call->ints[0], strides);
        if (at < 0)
            return RN_INDEX_RANGE;
        const int code = put(call->ints[1], y, at, (const char *)updates->data + i * size, 1);
        if (code != RN_OK)
            return code;
    }
    return RN_OK;
}

/* IN x, first elements of runs (int64, checked at plan time), updates; ints: elements of a run. OUT x with the runs
 * replaced by the updates. */
RN_KERNEL(scatter_runs)
{
    const rn_tensor *x = call->in[0], *starts = call->in[1], *updates = call->in[2], *y = call->out[0];
    const int64_t size = rn_item_size(x->dtype), bytes = call->ints[0] * size;
    if (!size)
        return RN_BAD_DTYPE;
    memcpy(y->data, x->data, (size_t)(x->size * size));
    const int64_t *start = starts->data;
    const char *from = updates->data;
    for (int64_t k = 0; k < starts->size; k++, from += bytes)
        memcpy((char *)y->data + start[k] * size, from, (size_t)bytes);
    return RN_OK;
}
