/* pad_from: padding made from the array itself. */
#include "copy.h"

enum { REFLECT, EDGE, WRAP };

/* The element of 0..n-1 that place i, before or beyond them, shows. */
static inline int64_t source_of(int64_t mode, int64_t i, int64_t n)
{
    if (i >= 0 && i < n)
        return i;
    if (mode == EDGE || n == 1)
        return i < 0 ? 0 : n - 1;
    const int64_t period = mode == WRAP ? n : 2 * (n - 1), m = (i % period + period) % period;
    return m < n ? m : period - m;
}

/* One innermost row: `n` elements at `from`, with `before` more in front. */
#define DEFINE_ROW(type)                                                                                               \
    static inline void pad_row_##type(int64_t mode, const type *from, int64_t n, type *to, int64_t before,             \
                                      int64_t total)                                                                   \
    {                                                                                                                  \
        for (int64_t i = 0; i < before; i++)                                                                           \
            to[i] = from[source_of(mode, i - before, n)];                                                              \
        memcpy(to + before, from, (size_t)n * sizeof *to);                                                             \
        for (int64_t i = before + n; i < total; i++)                                                                   \
            to[i] = from[source_of(mode, i - before, n)];                                                              \
    }
DEFINE_ROW(uint8_t)
DEFINE_ROW(uint16_t)
DEFINE_ROW(uint32_t)
DEFINE_ROW(uint64_t)

static inline int64_t kept_extent(const rn_tensor *x, const int64_t *before, const int64_t *after, int d)
{
    return x->shape[d] + (before[d] < 0 ? before[d] : 0) + (after[d] < 0 ? after[d] : 0);
}

/* IN x, not empty; ints: mode, elements before each axis, elements after each axis, negative to cut. OUT y. */
RN_KERNEL(pad_from)
{
    const rn_tensor *x = call->in[0], *y = call->out[0];
    const int64_t mode = call->ints[0], *before = call->ints + 1, *after = before + x->ndim;
    const int last = x->ndim - 1, size = (int)rn_item_size(x->dtype);
    int64_t strides[RN_MAX_DIMS];
    if (!size)
        return RN_BAD_DTYPE;
    if (!y->size)
        return RN_OK;
    rn_strides(x, strides);
    const int64_t total = y->shape[last], rows = y->size / total;
    for (int64_t row = 0; row < rows; row++) {
        int64_t offset = before[last] < 0 ? -before[last] : 0, index = row;
        for (int d = last - 1; d >= 0; d--) {
            const int64_t cut = before[d] < 0 ? -before[d] : 0, put = before[d] > 0 ? before[d] : 0;
            offset += (cut + source_of(mode, index % y->shape[d] - put, kept_extent(x, before, after, d))) * strides[d];
            index /= y->shape[d];
        }
        const int64_t n = kept_extent(x, before, after, last), put = before[last] > 0 ? before[last] : 0;
        const char *from = (const char *)x->data + offset * size;
        char *to = (char *)y->data + row * total * size;
        switch (size) {
        case 1: pad_row_uint8_t(mode, (const uint8_t *)from, n, (uint8_t *)to, put, total); break;
        case 2: pad_row_uint16_t(mode, (const uint16_t *)from, n, (uint16_t *)to, put, total); break;
        case 4: pad_row_uint32_t(mode, (const uint32_t *)from, n, (uint32_t *)to, put, total); break;
        default: pad_row_uint64_t(mode, (const uint64_t *)from, n, (uint64_t *)to, put, total);
        }
    }
    return RN_OK;
}
